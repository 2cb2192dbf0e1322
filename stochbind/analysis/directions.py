"""Which way energy and signals go: all measures of direction for each coupled pair, side by side.

Every measure is positive where it agrees with the strong direction of the coupling: from the sender, which the other
feels more, to the receiver. They measure different things and need not agree:

- responses are properties of the equations: temperatures do not matter;
- so is, in any steady state, the ratio of the powers that the pair deliver to each other: it is minus that of the
  couplings, and does not tell which way heat flows;
- lagged correlations, information flow and bursts are properties of the state: a hot particle in a reciprocal pair
  gives energy to a cold one and is followed by it, though both respond alike. For a pair in baths without recoil all
  three vanish where no heat flows, :math:`c_{kj}/c_{jk} = T_k/T_j`: in units of their thermal deviations such particles
  are in equilibrium;
- transfer entropy depends on what each particle knows by its own past as well: two unlike particles in equilibrium have
  an asymmetry of it, where all others vanish. It tells a direction of signals, and none of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from stochbind.analysis import information, passes
from stochbind.analysis.bursts import BurstCounts, burst_counts, bursts_of
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
    jackknife,
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
    "susceptibility if in equilibrium": "the same, from correlations by the fluctuation-dissipation theorem",
    "lagged correlations": "contrast of the squares of <q_j(t+s) q_k(t)> and <q_k(t+s) q_j(t)>, summed over lags s > 0",
    "transfer entropy": "(T_jk - T_kj)/(T_jk + T_kj), T_jk what the past of k adds to the forecast of j by its own",
    "information flow": "rate at which the motion of j changes its mutual information with all others [nats/s]",
    "energy bursts": "(n_jk - n_kj)/(n_jk + n_kj), n_jk the number of bursts of k with one of j within a window after",
}


class Measure(NamedTuple):
    """One measure of direction for one pair.

    Attributes
    ----------
    name : str
        A key of `DEFINITIONS`.
    direction : Direction
        The pair: positive values point from its sender to its receiver.
    estimate : Estimate
        What was found, NaN if it cannot be told.
    exact : float
        Exact value in the steady state; NaN if there is none.
    """

    name: str
    direction: Direction
    estimate: Estimate
    exact: float

    @property
    def definition(self) -> str:
        """What it is, in a line."""
        return DEFINITIONS[self.name]


class DirectionSums(NamedTuple):
    """What one reading adds up for the measures of direction besides second moments; each is a pass."""

    lagged: LaggedProducts
    bursts: BurstCounts
    embedding: Embedding

    @classmethod
    def of(
        cls, array: Oscillators, n_groups: int, interval: float, n_states: int, *, n_history: int = 1
    ) -> DirectionSums:
        """The passes for a steady record of so many cells and states."""
        lags = default_lags(array, interval, n_states)
        return cls(
            LaggedProducts(array.langevin().select("position"), lags, n_groups),
            burst_counts(array, n_groups, interval),
            Embedding(Design.of(array, None, n_history), n_groups),
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
    reading = passes.read(dataset, equations, [moments, *sums], start=start, cells=cells)
    record = Record(
        **moments.averages(reading), weight=reading.weight, interval=reading.interval, n_states=reading.n_states
    )
    notes: list[str] = []
    transfer = None
    try:
        transfer = entropies_of(sums.embedding, interval)
    except TooFewSamplesError as error:
        notes.append(f"Transfer entropy: {error}")
    return directions(array, record, sums.lagged, sums.bursts, transfer, notes)


def directions(
    array: Oscillators,
    record: Record,
    lagged: LaggedProducts,
    bursts: BurstCounts,
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
    bursts : BurstCounts
        Numbers of bursts.
    transfer : TransferEntropy or None
        Between single oscillators.
    notes : list of str, optional
        To which what cannot be told is added.

    Returns
    -------
    Directions
        For each pair with a coupling.
    """
    notes = [] if notes is None else notes
    found = pairs(np.abs(array.coupling))
    makers: tuple[Callable[[], Iterator[Measure]], ...] = (
        lambda: _energy(array, record, found),
        lambda: _responses(array, record, found),
        lambda: _naive_responses(array, record, found),
        lambda: _lagged(array, record, lagged, found),
        lambda: _transfer(array, transfer, found),
        lambda: _flow(array, record, found),
        lambda: _bursts(record, bursts, found),
    )
    rows: list[Measure] = []
    for name, make in zip(DEFINITIONS, makers, strict=True):
        try:
            rows.extend(make())
        except (TooFewSamplesError, NoiseError) as error:
            notes.append(f"{name[0].upper()}{name[1:]}: {error}")
    order = {direction: index for index, direction in enumerate(found)}
    return Directions(sorted(rows, key=lambda row: order[row.direction]), notes)


def _of_transfers(
    name: str, transfers: Transfers, found: list[Direction], exact: Callable[[Direction], float]
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
        yield Measure(name, direction, estimate, exact(direction))


def _energy(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    second = array.langevin().stationary_covariance()
    yield from _of_transfers(
        "energy current",
        energy_transfer(array, record),
        found,
        lambda direction: exact_energy_transfer(array, second, direction)[1],
    )


def _responses(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    equations = array.langevin()
    chi = resonant_susceptibility(array, equations)
    transfers = response_transfer(array, equations, record)
    yield from _of_transfers("susceptibility", transfers, found, lambda d: exact_response_transfer(chi, d)[1])


def _naive_responses(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    if (array.thermal_energy <= 0).any():
        return
    equations = array.langevin()
    chi: ComplexArray = resonant_naive_susceptibility(array, equations, equations.stationary_covariance())
    transfers = naive_response_transfer(array, equations, record)
    name = "susceptibility if in equilibrium"
    yield from _of_transfers(name, transfers, found, lambda d: exact_response_transfer(chi, d)[1])


def _lagged(array: Oscillators, record: Record, lagged: LaggedProducts, found: list[Direction]) -> Iterator[Measure]:
    lag = lagged.lags.astype(np.float64) * record.interval
    contrast = asymmetry_of(lagged.sums, lag).contrast
    yield from _of_matrix("lagged correlations", contrast, exact_lagged_asymmetry(array, lag).contrast, found)


def _transfer(array: Oscillators, transfer: TransferEntropy | None, found: list[Direction]) -> Iterator[Measure]:
    if transfer is None:
        return
    exact = exact_transfer_entropy(array, transfer.interval, n_history=transfer.n_history)
    total = exact + exact.T
    truth = np.divide(exact - exact.T, total, out=np.full(exact.shape, math.nan), where=total > 0)
    yield from _of_matrix("transfer entropy", transfer.asymmetry, truth, found)


def _flow(array: Oscillators, record: Record, found: list[Direction]) -> Iterator[Measure]:
    equations = array.langevin()
    group = [information.coordinates(array, [j]) for j in range(array.n_oscillators)]

    def flow(second: FloatArray) -> FloatArray:
        flat = second.reshape(-1, *second.shape[-2:])
        each = np.array([[information.flow(equations, one, index) for index in group] for one in flat])
        return each.reshape(*second.shape[:-2], len(group))

    # Sums of weighted averages, whose shares do not matter for a function of the covariance but for its size.
    sums = record.weight[:, None, None] * record.second
    rest = [sums, np.broadcast_to(record.weight[:, None, None], (len(sums), len(sums[0]), 1))]
    estimate, _ = jackknife(np.concatenate(rest, axis=2), lambda part: flow(part[..., :-1] / part[..., :1, -1:]))
    exact = flow(equations.stationary_covariance())
    for direction in found:
        j = direction.receiver
        one = Estimate(np.asarray(estimate.value[j]), np.asarray(estimate.stderr[j]), estimate.n_eff)
        yield Measure("information flow", direction, one, float(exact[j]))


def _bursts(record: Record, bursts: BurstCounts, found: list[Direction]) -> Iterator[Measure]:
    asymmetry = bursts_of(bursts, record.interval).asymmetry
    yield from _of_matrix("energy bursts", asymmetry, np.full(asymmetry.value.shape, math.nan), found)


def _of_matrix(name: str, estimate: Estimate, exact: FloatArray, found: list[Direction]) -> Iterator[Measure]:
    for direction in found:
        value, stderr = (np.asarray(matrix[direction]) for matrix in (estimate.value, estimate.stderr))
        yield Measure(name, direction, Estimate(value, stderr, estimate.n_eff), float(exact[direction]))
