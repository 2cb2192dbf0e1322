"""What particles know of each other: mutual information, information flow, transfer entropy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stochbind.analysis import information, thermodynamics
from stochbind.analysis.curved import curved_estimate
from stochbind.analysis.directions import between, particle_names, particle_pairs
from stochbind.analysis.embedding import Design, Embedding
from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.transfer_entropy import TransferEntropy, entropies_of, exact_transfer_entropy
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, TooFewSamplesError
from stochbind.oscillators import Oscillators

INFORMATION = "information"
#: Arrays of more particles have too many pairs for a table, and for the surrogates of a reading.
MOST_PARTICLES = 8


def information_findings(subject: Subject) -> Iterator[Finding]:
    """Mutual information of each particle and the others, information flow into it, and the second law with both.

    Particles that nothing but common noise connects know of each other as well.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None for single particles, or where there is no steady state.
    """
    array, equations, record = subject.array, subject.equations, subject.found
    if subject.covariance is None or not _connected(array):
        return
    parties = information.particles(array)
    n = len(parties)
    group = [information.coordinates(array, party) for party in parties]
    others = [np.setdiff1d(np.arange(equations.dimension), one) for one in group]
    smallest = float(np.linalg.eigvalsh(_correlation(record.regrouped(1).second[0]))[0])
    if smallest < 1e-9:
        subject.notes.append("Information is left out: the record does not move in every direction.")
        return

    def shared(second: FloatArray) -> FloatArray:
        # Two have it in common.
        known = [information.mutual_information(second, a, b) for a, b in zip(group, others, strict=True)]
        return np.array(known[:1] if n == 2 else known)

    def flow(second: FloatArray) -> FloatArray:
        return np.array([information.flow(equations, second, one) for one in group])

    def excess(second: FloatArray) -> FloatArray:
        entropy = -thermodynamics.heat_current(array, second) / array.thermal_energy
        return np.asarray(entropy.reshape(n, -1).sum(axis=1) - flow(second))

    own = particle_names(array)
    names = ["0 and 1"] if n == 2 else [f"{name} and the others" for name in own]
    rows = [
        ("mutual information", "nats", shared, names),
        ("information flow", "nats/s", flow, [f"into {name}" for name in own]),
    ]
    # Common noise is of no particle, and recoil has no temperature.
    if np.any(array.diffusion) or (array.thermal_energy <= 0).any():
        subject.notes.append(
            "The second law with information is left out: it needs thermal baths alone, and there is other noise or a "
            "bath of no temperature."
        )
    else:
        rows.append(("second law with information", "nats/s", excess, own))
    for quantity, unit, function, where in rows:
        estimate, exact = curved_estimate(record, function), function(subject.covariance)
        yield from subject.findings(INFORMATION, quantity, unit, estimate, exact, names=where)


def _connected(array: Oscillators) -> bool:
    """Whether there are particles of which one feels another, or has noise in common with it."""
    n = array.n_particles
    strength = np.abs(array.coupling) + np.abs(np.real(np.asarray(array.diffusion)))
    between_particles = strength.reshape(n, array.n_oscillators // n, n, -1).sum(axis=(1, 3))
    return bool((between_particles * (1.0 - np.eye(n))).any())


def _correlation(second: FloatArray) -> FloatArray:
    scale = np.sqrt(np.diagonal(second))
    scale = np.where(scale > 0, scale, 1.0)
    result: FloatArray = second / np.outer(scale, scale)
    return result


def transfer_pass(setting: Setting, n_groups: int, *, n_history: int, n_surrogates: int) -> Embedding | None:
    """What adds up products of states and their past, if there are pairs to tell of, and not too many."""
    array = setting.array
    if not setting.steady or not particle_pairs(array):
        return None
    if array.n_particles > MOST_PARTICLES:
        setting.notes.append(
            f"Transfer entropy is left out: of {array.n_particles} particles there are too many pairs (limit "
            f"{MOST_PARTICLES} particles); `stochbind.analysis.transfer_entropy` takes groups of them."
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
    names, rate = particle_names(subject.array), found.per_second
    significant = np.nan_to_num(found.p_value, nan=1.0) * (1.0 + one.n_surrogates) < 1.5
    rows: list[Finding] = []
    for j, k in particle_pairs(subject.array):
        for pair in ((j, k), (k, j)):
            where = between(names, pair)
            single = Estimate(rate.value[pair], rate.stderr[pair], rate.n_eff)
            exact = truth[pair] / subject.interval
            rows += subject.findings(INFORMATION, "transfer entropy", "nats/s", single, exact, names=[where])
            if one.n_surrogates:
                chance = Estimate(found.p_value[pair], np.asarray(np.nan), float(one.n_surrogates))
                name = f"p-value of transfer entropy, of {one.n_surrogates} surrogates"
                rows += subject.findings(INFORMATION, name, "", chance, names=[where])
            if not significant[pair] and one.n_surrogates:
                subject.notes.append(
                    f"Transfer entropy {where} is not above that of all {one.n_surrogates} surrogates."
                )
    subject.notes.append(
        f"Transfer entropy is that of states every {subject.interval:.4g}{subject.unit(' s')}, with {found.n_history} "
        "of them as the past; its exact value is for the same. It depends on both."
    )
    return rows, found
