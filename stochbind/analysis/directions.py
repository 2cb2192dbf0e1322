r"""Which way energy and signals go: all measures of direction for each coupled pair, side by side.

Every measure is positive where it agrees with the strong direction of the coupling: from the sender, which the other
feels more, to the receiver. They measure different things and need not agree:

- responses are properties of the equations: temperatures do not matter;
- so is, in any steady state, the ratio of the powers that the pair deliver to each other: it is minus that of the
  couplings, and does not tell which way heat flows;
- lagged correlations, information flow and bursts are properties of the state: a hot particle in a reciprocal pair
  gives energy to a cold one and is followed by it, though both respond alike. For a pair in baths without recoil all
  three vanish where no heat flows, :math:`c_{kj}/c_{jk} = T_k/T_j`: in units of their thermal deviations such particles
  are in equilibrium. The reverse does not hold: couplings of opposite signs may cancel in the correlation of the
  positions, and where :math:`\langle q_j q_k \rangle` of an overdamped pair changes its sign, information flow and the
  contrast of lagged correlations do so too, while heat flows on;
- transfer entropy depends on what each particle knows by its own past as well: two unlike particles in equilibrium have
  an asymmetry of it, where all others vanish. It tells a direction of signals, and none of time.

Forces, and with them responses, powers and lagged correlations, are between oscillators, a particle along an axis each.
Transfer entropy, information flow and bursts are between particles, with all their axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from stochbind.analysis import information, passes
from stochbind.analysis.bursts import BurstCounts, burst_counts, bursts_of
from stochbind.analysis.curved import curved_estimate
from stochbind.analysis.embedding import Design, Embedding
from stochbind.analysis.lagged import LaggedProducts, asymmetry_of, default_lags, exact_lagged_asymmetry
from stochbind.analysis.responses import naive_response_transfer, resonant_naive_susceptibility
from stochbind.analysis.second_moments import SecondMoments
from stochbind.analysis.statistics import Estimate, Record
from stochbind.analysis.transfer import (
    Direction,
    Transfers,
    energy_transfer,
    exact_energy_transfer,
    exact_response_transfer,
    pairs,
    resonant_susceptibility,
    response_transfer,
)
from stochbind.analysis.transfer_entropy import TransferEntropy, entropies_of, exact_transfer_entropy
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError, TooFewSamplesError
from stochbind.oscillators import Oscillators

#: A part of the largest variance that counts as none.
_SPREAD = 1e-12
#: Name of each measure: what it is, in a line, for receiver j and sender k.
DEFINITIONS = {
    "energy current": "(1 - |r|)/(1 + |r|), r the power delivered to k by j over that delivered to j by k",
    "susceptibility": "(1 - r)/(1 + r), r = |chi_kj|/|chi_jk| at resonance, by regression of states on those before",
    "susceptibility if in equilibrium": "the same by the fluctuation-dissipation theorem, if underdamped",
    "lagged correlations": "contrast of the squares of <q_j(t+s) q_k(t)> and <q_k(t+s) q_j(t)>, summed over lags s > 0",
    "transfer entropy": "(T_jk - T_kj)/(T_jk + T_kj), T_jk what the past of k adds to the forecast of j by its own",
    "information flow": "of a pair, rate at which the motion of j changes its mutual information with k [nats/s]",
    "energy bursts": "(n_jk - n_kj)/(n_jk + n_kj), n_jk the number of bursts of k with one of j within a window after",
}


class Measure(NamedTuple):
    """One measure of direction for one pair.

    Attributes
    ----------
    name : str
        A key of `DEFINITIONS`.
    direction : Direction
        The pair: positive values point from its sender to its receiver. Numbers of oscillators; of particles for
        transfer entropy, information flow and bursts.
    where : str
        Names of both, as "0 <- 1".
    estimate : Estimate
        What was found, NaN if it cannot be told.
    exact : float
        Exact value in the steady state; NaN if there is none.
    """

    name: str
    direction: Direction
    where: str
    estimate: Estimate
    exact: float

    @property
    def definition(self) -> str:
        """What it is, in a line."""
        return DEFINITIONS[self.name]


class DirectionSums(NamedTuple):
    """What one reading adds up for the measures of direction besides second moments; each is a pass."""

    lagged: LaggedProducts
    bursts: BurstCounts | None
    embedding: Embedding | None

    @classmethod
    def of(
        cls, array: Oscillators, n_groups: int, interval: float, n_states: int, *, n_history: int = 1
    ) -> DirectionSums:
        """The passes for a steady record of so many cells and states; a single particle has no others."""
        lags = default_lags(array, interval, n_states)
        return cls(
            LaggedProducts(array.langevin().select("position"), lags, n_groups),
            burst_counts(array, n_groups, interval) if array.n_particles > 1 else None,
            Embedding(Design.of(array, None, n_history), n_groups) if array.n_particles > 1 else None,
        )


def require_spread(array: Oscillators) -> None:
    """Raise `ScenarioError` unless the steady state is spread in all directions of the coordinates.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    """
    covariance = array.langevin().stationary_covariance()
    variance = np.diagonal(covariance)
    at_rest = np.flatnonzero(variance[: array.n_oscillators] < _SPREAD * variance.max())
    if at_rest.size:
        raise ScenarioError(
            f"A direction of transfer needs oscillators that move, but {array.names[at_rest[0]]} is at rest in the "
            "steady state, as it has no noise and nothing drives it; give its bath a temperature, or leave it out."
        )
    if np.linalg.eigvalsh(covariance / np.sqrt(np.outer(variance, variance)))[0] < _SPREAD:
        raise ScenarioError(
            "A direction of transfer needs a steady state that is spread in all directions, but a sum of coordinates "
            "is always zero in it; give each particle noise of its own."
        )


class Directions(NamedTuple):
    """All measures of direction.

    Attributes
    ----------
    measures : list of Measure
        Pair by pair.
    notes : list of str
        What cannot be told, and why.
    """

    measures: list[Measure]
    notes: list[str]


def found_directions(dataset: xr.Dataset, array: Oscillators, *, start: int = 0, n_history: int = 1) -> Directions:
    """All measures of direction of a record of a steady state, read once.

    Parameters
    ----------
    dataset : xarray.Dataset
        A record, of dims (trajectory, time, particle[, axis]), in SI, without drives.
    array : Oscillators
        A stable array.
    start : int
        First state of the window.
    n_history : int
        Number of earlier states that count as the past for transfer entropy.

    Returns
    -------
    Directions
        For each pair with a coupling.

    Raises
    ------
    UnstableError
        If there is no steady state.
    ScenarioError
        If a particle is at rest in it.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are fewer than two cells, or eight states.
    """
    equations = array.langevin()
    equations.require_stable("A direction of transfer")
    require_spread(array)
    interval = float(dataset["time"][1] - dataset["time"][0])
    cells = passes.independent_cells(dataset, equations, start=start)
    sums = DirectionSums.of(array, cells.n_groups, interval, dataset.sizes["time"] - start, n_history=n_history)
    moments = SecondMoments(cells.n_groups, equations.dimension)
    readers = [one for one in (moments, *sums) if one is not None]
    reading = passes.read(dataset, equations, readers, start=start, cells=cells)
    record = Record(
        **moments.averages(reading), weight=reading.weight, interval=reading.interval, n_states=reading.n_states
    )
    notes: list[str] = []
    transfer = None
    try:
        if sums.embedding is not None:
            transfer = entropies_of(sums.embedding, interval)
    except TooFewSamplesError as error:
        notes.append(f"Transfer entropy: {error}")
    return directions(array, record, sums.lagged, sums.bursts, transfer, notes)


def directions(
    array: Oscillators,
    record: Record,
    lagged: LaggedProducts,
    bursts: BurstCounts | None,
    transfer: TransferEntropy | None,
    notes: list[str] | None = None,
) -> Directions:
    """All measures of direction, from what one reading of a steady record has added up.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    record : Record
        Second moments.
    lagged : LaggedProducts
        Products of positions at two times.
    bursts : BurstCounts or None
        Numbers of bursts.
    transfer : TransferEntropy or None
        Between particles.
    notes : list of str, optional
        To which what cannot be told is added.

    Returns
    -------
    Directions
        For each pair with a coupling, of oscillators and of particles. Information flow is of two particles only:
        among more, what flows into one is from all others.
    """
    notes = [] if notes is None else notes
    found, of_particles = pairs(np.abs(array.coupling)), particle_pairs(array)
    makers: tuple[Callable[[], Iterator[Measure]], ...] = (
        lambda: _energy(array, record, found),
        lambda: _responses(array, record, found),
        lambda: _naive_responses(array, record, found),
        lambda: _lagged(array, record, lagged, found),
        lambda: _transfer(array, transfer, of_particles),
        lambda: _flow(array, record, of_particles),
        lambda: _bursts(array, record, bursts, of_particles),
    )
    rows: list[Measure] = []
    for name, make in zip(DEFINITIONS, makers, strict=True):
        try:
            rows.extend(make())
        except (TooFewSamplesError, NoiseError) as error:
            notes.append(f"{name[0].upper()}{name[1:]}: {error}")
    order = list(dict.fromkeys(row.where for row in rows))
    return Directions(sorted(rows, key=lambda row: order.index(row.where)), notes)


def particle_pairs(array: Oscillators) -> list[Direction]:
    """Strong direction of each pair of particles with a coupling along any of their axes, as numbers of particles."""
    n = array.n_particles
    between = array.coupling.reshape(n, array.n_oscillators // n, n, -1)
    strength = np.sqrt((between**2).sum(axis=(1, 3)))
    return pairs(strength * (1.0 - np.eye(n)))


def particle_names(array: Oscillators) -> list[str]:
    """Names of particles: their numbers."""
    return [str(j) for j in range(array.n_particles)]


def between(names: Sequence[str], direction: tuple[int, int]) -> str:
    """Names of receiver and sender, as "0 <- 1"."""
    return " <- ".join(names[i] for i in direction)


def _of_transfers(
    name: str, array: Oscillators, transfers: Transfers, found: list[Direction], exact: Callable[[Direction], float]
) -> Iterator[Measure]:
    """Asymmetries along the directions of the coupling; what is undetermined is NaN."""
    known = {(item.direction.receiver, item.direction.sender): item.asymmetry for item in transfers.found}
    for direction in found:
        j, k = direction
        estimate = Estimate(np.asarray(math.nan), np.asarray(math.nan), math.nan)
        if (j, k) in known:
            estimate = known[j, k]
        elif (k, j) in known:
            estimate = Estimate(-known[k, j].value, known[k, j].stderr, known[k, j].n_eff)
        yield Measure(name, direction, between(array.names, direction), estimate, exact(direction))


def _energy(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    second = array.langevin().stationary_covariance()
    yield from _of_transfers(
        "energy current",
        array,
        energy_transfer(array, record),
        found,
        lambda direction: exact_energy_transfer(array, second, direction)[1],
    )


def _responses(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    equations = array.langevin()
    chi = resonant_susceptibility(array, equations)
    transfers = response_transfer(array, equations, record)
    yield from _of_transfers("susceptibility", array, transfers, found, lambda d: exact_response_transfer(chi, d)[1])


def _naive_responses(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    # Overdamped the asymmetry would be that of the temperatures, and tell nothing of couplings or of the record.
    if array.overdamped or (array.thermal_energy <= 0).any():
        return
    equations = array.langevin()
    chi: ComplexArray = resonant_naive_susceptibility(array, equations, equations.stationary_covariance())
    transfers = naive_response_transfer(array, equations, record)
    name = "susceptibility if in equilibrium"
    yield from _of_transfers(name, array, transfers, found, lambda d: exact_response_transfer(chi, d)[1])


def _lagged(array: Oscillators, record: Record, lagged: LaggedProducts, found: list[Direction]) -> Iterator[Measure]:
    lag = lagged.lags.astype(np.float64) * record.interval
    contrast = asymmetry_of(lagged.sums, lag).contrast
    exact = exact_lagged_asymmetry(array, lag).contrast
    yield from _of_matrix("lagged correlations", array.names, contrast, exact, found)


def _transfer(array: Oscillators, transfer: TransferEntropy | None, found: list[Direction]) -> Iterator[Measure]:
    if transfer is None:
        return
    exact = exact_transfer_entropy(array, transfer.interval, n_history=transfer.n_history)
    total = exact + exact.T
    truth = np.divide(exact - exact.T, total, out=np.full(exact.shape, math.nan), where=total > 0)
    yield from _of_matrix("transfer entropy", particle_names(array), transfer.asymmetry, truth, found)


def _flow(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    if array.n_particles != 2:
        return
    equations = array.langevin()

    def flow(second: FloatArray) -> FloatArray:
        groups = [information.coordinates(array, group) for group in information.particles(array)]
        return np.array([information.flow(equations, second, group) for group in groups])

    estimate = curved_estimate(record, flow)
    exact = flow(equations.stationary_covariance())
    for direction in found:
        j = direction.receiver
        one = Estimate(np.asarray(estimate.value[j]), np.asarray(estimate.stderr[j]), estimate.n_eff)
        where = between(particle_names(array), direction)
        yield Measure("information flow", direction, where, one, float(exact[j]))


def _bursts(
    array: Oscillators, record: Record, bursts: BurstCounts | None, found: list[Direction]
) -> Iterator[Measure]:
    if bursts is None:
        return
    asymmetry = bursts_of(bursts, record.interval).asymmetry
    unknown = np.full(asymmetry.value.shape, math.nan)
    yield from _of_matrix("energy bursts", particle_names(array), asymmetry, unknown, found)


def _of_matrix(
    name: str, names: Sequence[str], estimate: Estimate, exact: FloatArray, found: list[Direction]
) -> Iterator[Measure]:
    for direction in found:
        value, stderr = (np.asarray(matrix[direction]) for matrix in (estimate.value, estimate.stderr))
        one = Estimate(value, stderr, estimate.n_eff)
        yield Measure(name, direction, between(names, direction), one, float(exact[direction]))
