"""How irreversible, how reliable: entropy production, fluctuation theorems, uncertainty of currents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from stochbind.analysis import cumulants, entropy, uncertainty
from stochbind.analysis.currents import work_current
from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.fluctuations import EntropyPass, choose_stretch
from stochbind.analysis.ledgers import MOST_HIDDEN, hidden_variance
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.stochastic_entropy import SampledChain
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, PlanError, ScenarioError, TooFewSamplesError, UnstableError
from stochbind.oscillators import Oscillators

ENTROPY, PRECISION, THEOREMS, DISTRIBUTION = "entropy", "precision", "fluctuation theorems", "distributions"


def entropy_findings(subject: Subject) -> Iterator[Finding]:
    """Entropy production as the paths show it, by particle and in all, and what the baths gain.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None for forces that are not linear, or noise that is degenerate.
    """
    if not subject.linear or subject.scenario.changes_with_time:
        return
    told = partial(subject.linear_in_moments, ENTROPY)
    try:
        # Off the steady state the state itself gains or loses entropy besides.
        name = "entropy production" if subject.steady else "entropy to the surroundings"
        yield from told(name, "k_B/s", entropy.medium)
        yield from told(f"{name}, in all", "k_B/s", _whole, names=[""])
    except NoiseError as error:
        subject.notes.append(str(error))
    if not np.any(subject.array.diffusion):
        return  # then the two are the same
    try:
        yield from told("entropy gained by the bath", "k_B/s", entropy.of_baths)
    except PlanError as error:
        subject.notes.append(str(error))


def _whole(array: Oscillators, second: FloatArray) -> FloatArray:
    return np.asarray(entropy.medium(array, second).sum(axis=-1))[..., None]


def entropy_pass(subject: Setting, n_groups: int) -> EntropyPass | None:
    """What adds up entropy along stretches of the record, if its law is known and there is anything to test."""
    if not subject.steady:
        return None
    try:
        chain = SampledChain(subject.equations, subject.interval)
        return EntropyPass(chain, n_groups, choose_stretch(chain, subject.n_states - 1))
    except (ScenarioError, NoiseError, UnstableError, TooFewSamplesError, PlanError) as error:
        subject.notes.append(f"Fluctuation theorems: {error}")
        return None


def theorem_findings(subject: Subject, one: EntropyPass) -> Iterator[Finding]:
    """Fluctuation theorems as tests of the simulation."""
    try:
        result = one.result()
    except TooFewSamplesError as error:
        subject.notes.append(str(error))
        return
    subject.notes.extend(result.notes)
    where = f"{result.stretch} steps, {result.mean_entropy:.3g} k_B"
    for test in result.tests:
        unit = "k_B/s" if "production" in test.name else "k_B" if test.name.startswith("entropy") else ""
        yield from subject.findings(THEOREMS, test.name, unit, test.estimate, test.exact, names=[where])


def precision_findings(subject: Subject) -> Iterator[Finding]:
    """Variance of the work of each coupling, and what its precision costs: the thermodynamic uncertainty relation.

    Parameters
    ----------
    subject : Subject
        The run; with a ledger or the statistic "currents".

    Yields
    ------
    Finding
        None where there is neither, or no steady state.
    """
    dataset, array = subject.dataset, subject.array
    if not subject.steady or not subject.pairs:
        return
    if not ("work" in dataset or "current_work" in dataset):
        subject.notes.append("Precision and distributions of work and heat need a ledger: `ledger = true`.")
        return
    for j, k in subject.pairs:
        for receiver, sender in ((j, k), (k, j)):
            if array.coupling[receiver, sender] == 0.0:
                continue
            where = subject.name(receiver, sender)
            try:
                found = uncertainty.found_precision(dataset, array, receiver, sender, start=subject.first_time)
                current = work_current(array, receiver, sender)
                exact = uncertainty.exact_precision(array, current, found.duration)
                hidden = hidden_variance(array, receiver, sender, subject.step)
            except (TooFewSamplesError, NoiseError, UnstableError) as error:
                subject.notes.append(f"Precision of the work {where}: {error}")
                continue
            told = partial(subject.findings, PRECISION, names=[f"{where}, {found.duration:.4g}{subject.unit(' s')}"])
            seen = 1.0 - hidden / exact.variance
            so = ", as the ledger sees it" if seen < 1.0 - MOST_HIDDEN else ""
            yield from told(f"variance of the work, per time{so}", "J^2/s", found.variance, exact.variance * seen)
            yield from told(f"precision product{so}", "k_B", found.product, exact.product * seen)
            if seen < 1.0 - MOST_HIDDEN:
                subject.notes.append(
                    f"Of the variance of the work {where} {100 * (1 - seen):.2g} % happens within steps, which the "
                    "ledger does not see; exact values are without it. Use shorter steps for all of it."
                )
    if array.overdamped:
        subject.notes.append(
            "The precision product of an overdamped steady state is 2 or more, with what happens within steps."
        )
    else:
        subject.notes.append("The precision product has no lower bound of 2 for underdamped motion.")


def cumulant_findings(subject: Subject) -> Iterator[Finding]:
    """Third cumulant and generating function of work and heat in windows of a ledger.

    Parameters
    ----------
    subject : Subject
        The run, underdamped, with a ledger in its record.

    Yields
    ------
    Finding
        None where there is none, or no steady state.
    """
    dataset, array = subject.dataset, subject.array
    if not subject.steady or "work" not in dataset or not subject.sees_work("Cumulants of heat and work"):
        return
    places: list[tuple[int, int | None]] = [(int(j), int(k)) for j, k in np.argwhere(array.coupling != 0.0)]
    for receiver, sender in (*places, *((j, None) for j in range(array.n_oscillators))):
        of = "heat" if sender is None else "work"
        index = (receiver,) if sender is None else (receiver, sender)
        try:
            one = cumulants.found_cumulants(dataset, array, receiver, sender, start=subject.first_time)
        except (TooFewSamplesError, UnstableError) as error:
            subject.notes.append(f"Cumulants of the {of} {subject.name(*index)}: {error}")
            continue
        where = f"{subject.name(*index)}, {one.duration:.4g}{subject.unit(' s')}"
        third = Estimate(one.found.value[2], one.found.stderr[2], one.found.n_eff)
        told = partial(subject.findings, DISTRIBUTION, names=[where])
        yield from told(f"third cumulant of the {of}", "J^3", third, one.exact[2])
        for i, k in enumerate(one.conjugate):
            if np.isfinite(one.logarithm.value[i]):
                log = Estimate(one.logarithm.value[i], one.logarithm.stderr[i], one.logarithm.n_eff)
                yield from told(f"ln <exp(kJ)> of the {of}, k = {k:+.3g}", "", log, one.exact_logarithm[i])
