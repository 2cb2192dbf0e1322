"""Which way energy and signals go: every measure of direction, for each coupled pair."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stochbind.analysis.bursts import BurstCounts, Bursts, burst_counts, bursts_of
from stochbind.analysis.directions import (
    Directions,
    between,
    directions,
    particle_names,
    particle_pairs,
    require_spread,
)
from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.lagged import LaggedProducts, default_lags
from stochbind.analysis.responses import driven_response
from stochbind.analysis.transfer_entropy import TransferEntropy
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError, UnstableError
from stochbind.protocols import Protocol

DIRECTION, RESPONSE, BURSTS = "direction", "response", "energy bursts"
#: Arrays of more oscillators have too many pairs.
MOST_OSCILLATORS = 40


class DirectionPasses(NamedTuple):
    """What adds up lagged correlations and bursts."""

    lagged: LaggedProducts
    bursts: BurstCounts | None


def passes_of(setting: Setting, n_groups: int) -> DirectionPasses | None:
    """The passes, if there are pairs to tell of, and a steady state."""
    array = setting.array
    if array.n_oscillators < 2 or not array.coupling.any() or not setting.steady:
        return None
    if array.n_oscillators > MOST_OSCILLATORS:
        setting.notes.append(
            f"Measures of direction are left out: of {array.n_oscillators} oscillators there are too many pairs (limit "
            f"{MOST_OSCILLATORS} oscillators)."
        )
        return None
    try:
        require_spread(array)
        lags = default_lags(array, setting.interval, setting.n_states)
    except (ScenarioError, TooFewSamplesError) as error:
        setting.notes.append(f"Measures of direction are left out: {error}")
        return None
    bursts = burst_counts(array, n_groups, setting.interval) if array.n_particles > 1 else None
    for j in np.flatnonzero(np.isinf(bursts.threshold)) if bursts is not None else ():
        setting.notes.append(
            f"Energy bursts of {particle_names(array)[j]} are left out: its trap does not hold, and the mean energy, "
            "beside which bursts are measured, is not above zero."
        )
    return DirectionPasses(LaggedProducts(setting.equations.select("position"), lags, n_groups), bursts)


def direction_findings(subject: Subject, sums: DirectionPasses, transfer: TransferEntropy | None) -> Iterator[Finding]:
    """All measures of direction of all coupled pairs, positive towards the receiver of the stronger coupling.

    Parameters
    ----------
    subject : Subject
        The run.
    sums : DirectionPasses
        Of its reading.
    transfer : TransferEntropy, optional
        Of the same.

    Yields
    ------
    Finding
        Of what the record decides; notes tell the rest.
    """
    found: Directions = directions(subject.array, subject.found, sums.lagged, sums.bursts, transfer)
    subject.notes.extend(found.notes)
    undecided: dict[str, list[str]] = {}
    for measure in found.measures:
        if not math.isfinite(float(measure.estimate.value)):
            undecided.setdefault(measure.name, []).append(measure.where)
            continue
        flow, where = measure.name == "information flow", [measure.where]
        unit, name = ("nats/s", measure.name) if flow else ("", f"asymmetry of {measure.name}")
        yield from subject.findings(DIRECTION, name, unit, measure.estimate, measure.exact, names=where)
    for name, pairs in undecided.items():
        shown = ", ".join(pairs[:4]) + (", ..." if len(pairs) > 4 else "")
        subject.notes.append(f"The asymmetry by {name} of {shown} is undetermined: too little of it is seen.")
    try:
        if sums.bursts is not None:
            yield from _burst_findings(subject, bursts_of(sums.bursts, subject.interval))
    except TooFewSamplesError as error:
        subject.notes.append(f"Energy bursts: {error}")


def _burst_findings(subject: Subject, bursts: Bursts) -> Iterator[Finding]:
    """How often bursts happen, are followed by others, and pass along a chain; nothing of this has a closed form."""
    own = particle_names(subject.array)
    kept = np.isfinite(bursts.rate.value)
    yield from subject.findings(BURSTS, "bursts per time", "1/s", bursts.rate, names=own, kept=kept)
    for j, k in particle_pairs(subject.array):
        for where in ((j, k), (k, j)):
            for name, one in (("followed within the window", bursts.followed), ("the same by chance", bursts.chance)):
                if math.isfinite(float(one.value[where])):
                    single = type(one)(one.value[where], one.stderr[where], one.n_eff)
                    yield from subject.findings(BURSTS, name, "", single, names=[between(own, where)])
    if subject.array.n_particles < 3:
        return
    names = ["along the chain", "against it"]
    kept = np.isfinite(bursts.passed.value)
    yield from subject.findings(BURSTS, "bursts that pass the chain", "", bursts.passed, names=names, kept=kept)
    kept = np.isfinite(bursts.passage_time.value)
    yield from subject.findings(BURSTS, "passage time", "s", bursts.passage_time, names=names, kept=kept)


def response_findings(subject: Subject) -> Iterator[Finding]:
    """Susceptibilities from the drives of the run: displacement of each oscillator per force on the driven one.

    Parameters
    ----------
    subject : Subject
        A run with drives; linear or not.

    Yields
    ------
    Finding
        None without drives, or where couplings change with time.
    """
    system = subject.scenario.driven(subject.equations)
    if not isinstance(system, Protocol) or subject.scenario.modulated:
        return
    for index, drive in enumerate(system.drives):
        others = system.drives[:index] + system.drives[index + 1 :]
        try:
            found = driven_response(subject.dataset, subject.array, drive, others=others)
        except (PlanError, UnstableError, TooFewSamplesError) as error:
            subject.notes.append(f"Response to the drive of particle {drive.particle}: {error}")
            continue
        turn = 1.0 if subject.scenario.reduced else 2.0 * math.pi
        at = f"at {drive.angular_frequency / turn:.4g}{subject.unit(' Hz')}"
        names = [subject.name(j, found.oscillator) for j in range(subject.array.n_oscillators)]
        exact = np.abs(found.exact) if subject.linear else None
        name = f"susceptibility |chi| {at}"
        yield from subject.findings(RESPONSE, name, "m/N", found.modulus, exact, names=names)
