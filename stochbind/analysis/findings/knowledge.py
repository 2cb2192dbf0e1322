"""What particles know of each other: mutual information, information flow, transfer entropy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stochbind.analysis import information, thermodynamics
from stochbind.analysis.embedding import Design, Embedding
from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.transfer_entropy import TransferEntropy, entropies_of, exact_transfer_entropy
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, TooFewSamplesError

INFORMATION = "information"
#: Arrays of more oscillators have too many pairs for a table, and for the surrogates of a reading.
MOST_OSCILLATORS = 8


def information_findings(subject: Subject) -> Iterator[Finding]:
    """Mutual information of each oscillator and the others, information flow into it, and the second law with both.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None for single oscillators, forces that are not linear, or drives, whose means are not of the covariance.
    """
    array, equations = subject.array, subject.equations
    n = array.n_oscillators
    if n < 2 or not subject.linear or subject.scenario.drive or not array.coupling.any():
        return
    group = [information.coordinates(array, [j]) for j in range(n)]
    others = [information.coordinates(array, [k for k in range(n) if k != j]) for j in range(n)]
    smallest = float(np.linalg.eigvalsh(_correlation(subject.found.regrouped(1).second[0]))[0])
    if smallest < 1e-9:
        subject.notes.append("Information is left out: the record does not move in every direction.")
        return

    def shared(second: FloatArray) -> list[float]:
        return [information.mutual_information(second, a, b) for a, b in zip(group, others, strict=True)]

    def flow(second: FloatArray) -> FloatArray:
        return np.array([information.flow(equations, second, a) for a in group])

    names = [f"{subject.name(j)} and the others" if n > 2 else subject.name(j) for j in range(n)]
    if n == 2:
        names_shared, keep = [f"{subject.name(0)} and {subject.name(1)}"], slice(0, 1)
    else:
        names_shared, keep = names, slice(None)
    yield from subject.smooth_in_moments(
        INFORMATION, "mutual information", "nats", lambda second: np.array(shared(second))[keep], names_shared
    )
    if subject.covariance is None:
        return
    arrows = [f"into {subject.name(j)}" for j in range(n)]
    yield from subject.smooth_in_moments(INFORMATION, "information flow", "nats/s", flow, arrows)
    if np.any(array.diffusion) or (array.thermal_energy <= 0).any():
        return  # common noise is of no particle, and recoil has no temperature

    def excess(second: FloatArray) -> FloatArray:
        return -thermodynamics.heat_current(array, second) / array.thermal_energy - flow(second)

    own = list(array.names)
    yield from subject.smooth_in_moments(INFORMATION, "second law with information", "nats/s", excess, own)


def _correlation(second: FloatArray) -> FloatArray:
    scale = np.sqrt(np.diagonal(second))
    scale = np.where(scale > 0, scale, 1.0)
    result: FloatArray = second / np.outer(scale, scale)
    return result


def transfer_pass(setting: Setting, n_groups: int, *, n_history: int, n_surrogates: int) -> Embedding | None:
    """What adds up products of states and their past, if there are pairs to tell of, and not too many."""
    array = setting.array
    if array.n_oscillators < 2 or not array.coupling.any() or not setting.steady:
        return None
    if array.n_oscillators > MOST_OSCILLATORS:
        setting.notes.append(
            f"Transfer entropy is left out: of {array.n_oscillators} oscillators there are too many pairs (limit "
            f"{MOST_OSCILLATORS} oscillators); `stochbind.analysis.transfer_entropy` takes groups of them."
        )
        return None
    return Embedding(Design.of(array, None, n_history), n_groups, n_surrogates=n_surrogates)


def transfer_findings(subject: Subject, one: Embedding) -> tuple[list[Finding], TransferEntropy | None]:
    """Transfer entropy per second between each coupled pair, beside that of surrogates; and the whole result."""
    try:
        found = entropies_of(one, subject.interval)
        truth = exact_transfer_entropy(subject.array, subject.interval, n_history=found.n_history)
    except (TooFewSamplesError, NoiseError) as error:
        subject.notes.append(str(error))
        return [], None
    kept = (subject.array.coupling != 0) | (subject.array.coupling.T != 0)
    rows = list(
        subject.findings(
            INFORMATION, "transfer entropy", "nats/s", found.per_second, truth / subject.interval, kept=kept
        )
    )
    significant = np.nan_to_num(found.p_value, nan=1.0) * (1.0 + one.n_surrogates) < 1.5
    for j, k in subject.pairs:
        for a, b in ((j, k), (k, j)):
            if not significant[a, b] and one.n_surrogates:
                subject.notes.append(
                    f"Transfer entropy {subject.name(a, b)} is not above that of all {one.n_surrogates} surrogates."
                )
    subject.notes.append(
        f"Transfer entropy is that of states every {subject.interval:.4g}{subject.unit(' s')}, with {found.n_history} "
        "of them as the past; its exact value is for the same. It depends on both."
    )
    return rows, found
