r"""Bursts of energy, and how they pass from one particle to another.

A burst of a particle is a stretch of time in which its energy :math:`\tfrac12 m v^2 + \tfrac12 u q^2`, summed over the
axes along which it moves, is above a threshold; stretches that are at most a dead time apart are one burst. It happens
when the energy is highest. An ordered pair is a burst of k and one of j that happens later, by at most a window
:math:`\tau`. With the number :math:`n_{jk}` of such pairs, **j after k**, the asymmetry of the two directions is

.. math:: a_{jk} = \frac{n_{jk} - n_{kj}}{n_{jk} + n_{kj}}.

There is no closed form for it. But it is exactly zero on average where time has no direction, as for reciprocal
couplings and one temperature, however unlike the particles are: run backwards, bursts are the same bursts at the same
times, and pairs change their order. That is why bursts happen at their highest energy, and not where the energy crosses
the threshold upwards; and why pairs are counted, and not bursts that are followed. With either of those, two unlike
particles in equilibrium may show an asymmetry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind import checks
from stochbind.analysis import passes, thermodynamics
from stochbind.analysis.burst_detection import Detector
from stochbind.analysis.loops import follow
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.transfer import jackknife
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

#: Threshold in mean energies of the steady state, and times in those in which energy decays.
THRESHOLD, _DEAD_TIME, _WINDOW = 3.0, 0.25, 2.0
#: Fewest pairs of bursts that an asymmetry is told from.
_FEWEST_PAIRS = 20.0
#: Times are below this; bursts of different trajectories are so far apart.
_FAR = 2**40
_Indices = npt.NDArray[np.intp]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bursts:
    """How bursts pass between particles; of each matrix element [j, k] is **j after k**.

    Attributes
    ----------
    rate : Estimate
        Bursts of each particle per time [1/s], (N,).
    followed : Estimate
        Probability that a burst of k is followed by one of j within the window, (N, N); NaN where k has none.
    chance : Estimate
        The same where j is taken from another trajectory; NaN for records of one trajectory.
    delay : Estimate
        Mean time from a burst of k to the first one of j that follows within the window [s], (N, N).
    asymmetry : Estimate
        Of the numbers of ordered pairs, (N, N); see the module. NaN where there are fewer than 20, or none without
        one of the groups.
    passed : Estimate
        Probability that a burst of one end of the chain arrives at the other, from each particle of the chain to the
        next within a window: along the chain, and against it, (2,).
    passage_time : Estimate
        Mean time that such passages take [s], (2,).
    threshold : (N,) float
        Energy [J]; infinite where the mean energy is not above zero, as that of a particle at rest, or on a trap that
        does not hold. What is of such particles is NaN.
    window, dead_time : float
        [s].
    """

    rate: Estimate
    followed: Estimate
    chance: Estimate
    delay: Estimate
    asymmetry: Estimate
    passed: Estimate
    passage_time: Estimate
    threshold: FloatArray
    window: float
    dead_time: float


class BurstCounts:
    """Numbers of bursts and of pairs of them; a `stochbind.analysis.passes.Pass`.

    Bursts that are cut by the ends of the record are left out. Bursts count as the first of a pair only if all is known
    that may follow.

    Parameters
    ----------
    array : Oscillators
        The array.
    n_groups : int
        Number of cells.
    threshold : (N,) float
        Energy [J]; infinite for what has no bursts.
    window, dead_time : int
        In kept states, at least 1.
    chain : sequence of int
        Particles along which passages are counted, two or more.
    """

    def __init__(
        self,
        array: Oscillators,
        n_groups: int,
        *,
        threshold: FloatArray,
        window: int,
        dead_time: int,
        chain: Sequence[int],
    ) -> None:
        n, n_axes = array.n_particles, len(array.axes)
        inertia = [array.stiffness] if array.mass is None else [array.stiffness, array.mass]
        level = np.tile(np.repeat(threshold, n_axes), len(inertia))
        weight = 0.5 * np.concatenate(inertia) * array.langevin().unit ** 2 / level
        self._detector = Detector(weight, n, n_axes, dead_time)
        self.threshold = threshold
        self.window, self.dead_time, self._chain = window, dead_time, list(chain)
        self._reach = window * (len(self._chain) - 1)  # a passage takes no longer, nor does a pair
        self._waiting = np.zeros((0, 3), dtype=np.int64)
        self._judged_until = 0
        told = np.where(np.isfinite(threshold), 0.0, np.nan)
        #: Number of states in which bursts were counted, and of bursts.
        self.states = np.zeros((n_groups, 1))
        self.bursts = np.zeros((n_groups, n)) + told
        #: For each pair: bursts that are followed, their delays, pairs, bursts that another trajectory can be compared
        #: with, and those of them that are followed there.
        self.pairs = np.zeros((n_groups, 5, n, n)) + (told[:, None] + told)
        #: For each way along the chain: bursts at its beginning, passages, and how long they took.
        self.passages = np.zeros((n_groups, 3, 2)) + told[self._chain].sum()

    def add(self, state: FloatArray, *, cells: _Indices, first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        if first == 0:
            self._waiting, self._judged_until = self._waiting[:0], 0
        found = self._detector.add(state, first=first)
        bursts = np.concatenate([self._waiting, found])
        bursts = bursts[np.lexsort((bursts[:, 1], bursts[:, 0]))]
        # All trajectories keep step, so that one may serve as the chance of another.
        until = max(self._judged_until, self._detector.known_until - self._reach)
        begin = max(self._judged_until, self._detector.known_from)
        np.add.at(self.states[:, 0], cells, float(max(0, until - begin)))
        time = bursts[:, 1]
        self._count(bursts, bursts[(time >= begin) & (time < until)], cells)
        self._waiting, self._judged_until = bursts[time >= until], until

    def _count(self, bursts: _Integers, leading: _Integers, cells: _Indices) -> None:
        """Count what follows the bursts that lead; all are in the order of trajectories and times."""
        n = self.bursts.shape[1]
        key = [_key(bursts[bursts[:, 2] == j]) for j in range(n)]
        for k in range(n):
            lead = leading[leading[:, 2] == k]
            if not len(lead):
                continue
            cell, begin = cells[lead[:, 0]], _key(lead)
            other = begin + np.where(lead[:, 0] + 1 < len(cells), 1, 1 - len(cells)) * _FAR
            self.bursts[:, k] += self._by_cell(cell)
            for j in range(n):
                follower, pairs = _following(key[j], begin, self.window)
                by_chance = _following(key[j], other, self.window)[1] > 0
                delay = np.where(pairs > 0, follower - begin, 0)
                compared = np.full(len(lead), len(cells) > 1)
                for index, value in enumerate((pairs > 0, delay, pairs, compared, compared & by_chance)):
                    self.pairs[:, index, j, k] += self._by_cell(cell, value)
            for way, chain in enumerate((self._chain, self._chain[::-1])):
                if chain[0] == k:
                    end = begin
                    arrived = np.ones(len(begin), dtype=bool)
                    for j in chain[1:]:
                        end, pairs = _following(key[j], end, self.window)
                        arrived &= pairs > 0
                    for index, value in enumerate((np.ones(len(begin)), arrived, np.where(arrived, end - begin, 0))):
                        self.passages[:, index, way] += self._by_cell(cell, value)

    def _by_cell(self, cell: _Indices, value: npt.NDArray[Any] | None = None) -> FloatArray:
        """Sums of values, or their number, in each cell."""
        return np.bincount(cell, value, minlength=len(self.bursts)).astype(np.float64)


def _key(bursts: _Integers) -> _Integers:
    """Times of bursts, with those of different trajectories far apart."""
    result: _Integers = bursts[:, 0] * _FAR + bursts[:, 1]
    return result


def _following(key: _Integers, begin: _Integers, window: int) -> tuple[_Integers, _Integers]:
    """The first of the ascending keys after each of others, and how many there are within the window."""
    follower, number = np.empty_like(begin), np.empty_like(begin)
    follow(key, begin, window, follower, number)
    return follower, number


def bursts_of(counts: BurstCounts, interval: float) -> Bursts:
    """How bursts pass between particles, from what one reading has counted.

    Parameters
    ----------
    counts : BurstCounts
        The counts.
    interval : float
        Time between kept states [s].

    Returns
    -------
    Bursts
        With error bars.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two cells, or the record is too short to count in.
    """
    if not counts.states.sum() > 0:
        raise TooFewSamplesError(
            "The record is too short to tell which bursts follow which; make it longer than a few windows, take a "
            "shorter window, or a higher threshold if energies are hardly ever below it."
        )
    groups, n = counts.bursts.shape
    parts = [counts.states, counts.bursts, counts.pairs.reshape(groups, -1), counts.passages.reshape(groups, -1)]
    edge = np.cumsum([part.shape[1] for part in parts])[:-1]

    def estimate(function: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]) -> Estimate:
        def unpacked(sums: FloatArray) -> FloatArray:
            states, bursts, pairs, passages = np.split(sums, edge, axis=-1)
            shape = sums.shape[:-1]
            return function(states, bursts, pairs.reshape(*shape, 5, n, n), passages.reshape(*shape, 3, 2))

        one = jackknife(np.concatenate(parts, axis=1), unpacked)[0]
        # What would be undetermined without one of the groups is told by too few of them.
        return Estimate(np.where(np.isfinite(one.stderr), one.value, np.nan), one.stderr, one.n_eff)

    total = counts.pairs[:, 2].sum(axis=0)
    enough = total + total.T >= _FEWEST_PAIRS

    def contrast(pairs: FloatArray) -> FloatArray:
        back = np.swapaxes(pairs, -1, -2)
        return _ratio(pairs - back, np.where(enough, pairs + back, 0.0))

    return Bursts(
        rate=estimate(lambda states, bursts, _pairs, _passages: _ratio(bursts, states) / interval),
        followed=estimate(lambda _states, bursts, pairs, _passages: _ratio(pairs[..., 0, :, :], bursts[..., None, :])),
        chance=estimate(lambda _states, _bursts, pairs, _passages: _ratio(pairs[..., 4, :, :], pairs[..., 3, :, :])),
        delay=estimate(lambda _s, _b, pairs, _p: _ratio(pairs[..., 1, :, :], pairs[..., 0, :, :]) * interval),
        asymmetry=estimate(lambda _states, _bursts, pairs, _passages: contrast(pairs[..., 2, :, :])),
        passed=estimate(lambda _s, _b, _pairs, passages: _ratio(passages[..., 1, :], passages[..., 0, :])),
        passage_time=estimate(
            lambda _s, _b, _pairs, passages: _ratio(passages[..., 2, :], passages[..., 1, :]) * interval
        ),
        threshold=counts.threshold,
        window=counts.window * interval,
        dead_time=counts.dead_time * interval,
    )


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """The ratio, NaN where there is nothing below."""
    wide = np.broadcast_to(below, np.broadcast_shapes(above.shape, below.shape))
    return np.asarray(np.divide(above, wide, out=np.full(wide.shape, np.nan), where=wide > 0))


def burst_counts(
    array: Oscillators,
    n_groups: int,
    interval: float,
    *,
    threshold: float = THRESHOLD,
    window: float | None = None,
    dead_time: float | None = None,
    chain: Sequence[int] | None = None,
) -> BurstCounts:
    """What counts bursts in one reading; parameters as for `found_bursts`, with the number of cells and the interval.

    Raises
    ------
    PlanError
        If a number is not positive, or the chain is not of two or more different particles.
    UnstableError
        If there is no steady state.
    """
    equations = array.langevin()
    level = checks.positive("threshold", checks.array("threshold", threshold, (), error=PlanError), error=PlanError)
    mean = thermodynamics.energy(array, equations.stationary_covariance())
    mean = mean.reshape(array.n_particles, -1).sum(axis=1)
    mean = np.where(mean > 0.0, mean, np.inf)
    decay = -0.5 / equations.stability.growth_rate
    times = (
        _time("window", _WINDOW * decay if window is None else window),
        _time("dead_time", _DEAD_TIME * decay if dead_time is None else dead_time),
    )
    n = array.n_particles
    along = list(range(n)) if chain is None else list(chain)
    if len(along) < 2 or len(set(along)) < len(along) or not set(along) <= set(range(n)):
        raise PlanError(
            f"`chain` must be two or more different particles of 0 to {n - 1}, but is {checks.short(along)}."
        )
    longest, gap = (max(1, round(time / interval)) for time in times)
    return BurstCounts(array, n_groups, threshold=level * mean, window=longest, dead_time=gap, chain=along)


def found_bursts(
    dataset: xr.Dataset,
    array: Oscillators,
    *,
    start: int = 0,
    threshold: float = THRESHOLD,
    window: float | None = None,
    dead_time: float | None = None,
    chain: Sequence[int] | None = None,
) -> Bursts:
    """How bursts of energy pass between the particles of a record.

    Parameters
    ----------
    dataset : xarray.Dataset
        A record, of dims (trajectory, time, particle[, axis]), in SI.
    array : Oscillators
        A stable array: its steady state gives the mean energies.
    start : int
        First state of the window of the record.
    threshold : float
        In mean energies of each particle in the exact steady state.
    window, dead_time : float, optional
        Longest delay of what counts as following, and longest gap within a burst [s]; by default 2 and 1/4 of the time
        in which the energy of the slowest mode decays. Both are at least one interval between kept states.
    chain : sequence of int, optional
        Particles along which passages are counted; by default all, in their order.

    Returns
    -------
    Bursts
        With error bars by the jackknife over groups of trajectories, or over stretches of time.

    Raises
    ------
    PlanError
        If a number is not positive, or the chain is not of two or more different particles.
    UnstableError
        If there is no steady state.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are too few states or groups of them.
    """
    equations = array.langevin()
    interval = float(dataset["time"][1] - dataset["time"][0])
    asked: dict[str, Any] = {"threshold": threshold, "window": window, "dead_time": dead_time, "chain": chain}
    burst_counts(array, 1, interval, **asked)  # a wrong number is found before the record is read
    cells = passes.independent_cells(dataset, equations, start=start)
    counts = burst_counts(array, cells.n_groups, interval, **asked)
    passes.read(dataset, equations, [counts], start=start, cells=cells)
    return bursts_of(counts, interval)


def _time(name: str, value: float) -> float:
    return float(checks.positive(name, checks.array(name, value, (), error=PlanError), error=PlanError))
