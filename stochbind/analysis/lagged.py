r"""Lagged cross-correlations of positions, and which of two particles follows the other.

With :math:`C_{jk}(\tau) = \langle q_j(t+\tau) q_k(t) \rangle` and :math:`\tau \ge 0`, j follows k if the position of k
tells more of later positions of j than the other way round. Three numbers tell so:

- the curve :math:`a_{jk}(\tau) = (C_{jk}(\tau) - C_{kj}(\tau))/\sqrt{C_{jj}(0)\,C_{kk}(0)}`. Its sign is that of the
  correlation: it is positive where j follows k along, and negative where j follows k and is pushed the other way, as
  with a negative coupling, or where k follows j along. Underdamped, its slope at zero has the sign of the power that k
  delivers to j, times that of the coupling;
- its peak, the value at the lag where it is largest in size;
- the contrast :math:`\int (C_{jk}^2 - C_{kj}^2)\,d\tau / \int (C_{jk}^2 + C_{kj}^2)\,d\tau`, between -1 and 1,
  positive where **j follows k**, whatever the sign of the coupling.

All vanish where time has no direction: with reciprocal couplings and one temperature (Onsager). The reverse does not
hold: a difference of temperatures alone makes one particle follow the other. And one-way coupling does not make the
contrast one, as the driver too is correlated with what it drove before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind import checks
from stochbind.analysis import online, passes
from stochbind.analysis.exact_windows import steady_correlation
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.transfer import jackknife
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

#: Lags that are taken unless others are asked for, and the longest one, in decay times of the slowest mode.
_N_LAGS, _LONGEST = 32, 3.0
#: The contrast is told where the correlations are so many standard errors from zero.
_SIGNIFICANT = 5.0
#: States that are worked on at once: sums over more than 10^4 are shared among threads by OpenBLAS, which then wait for
#: each other longer than they work. And positions, of all lags: they fit in the cache [byte].
_AT_ONCE = 2**13
_CACHE_BYTES = 2**19


class LaggedAsymmetry(NamedTuple):
    """How positions follow each other; see the module.

    Attributes
    ----------
    lag : (n_lags,) float
        [s].
    curve : Estimate
        (n_lags, N, N); element [j, k] is positive where j follows k along.
    peak : Estimate
        (N, N), the curve at `peak_lag`.
    peak_lag : (N, N) float
        [s].
    contrast : Estimate
        (N, N), positive where j follows k; NaN where the two are not seen to be correlated. Its bias of first order in
        the inverse length of the record is taken off.
    """

    lag: FloatArray
    curve: Estimate
    peak: Estimate
    peak_lag: FloatArray
    contrast: Estimate


class ExactAsymmetry(NamedTuple):
    """What a `LaggedAsymmetry` is exactly; its arrays in place of the estimates."""

    lag: FloatArray
    curve: FloatArray
    peak: FloatArray
    peak_lag: FloatArray
    contrast: FloatArray


class LaggedProducts:
    """Sums of the products of positions at two times; a `stochbind.analysis.passes.Pass`.

    Parameters
    ----------
    positions : (N,) int
        Coordinates that are positions.
    lags : (n_lags,) int
        Lags in kept states, from zero, ascending.
    n_groups : int
        Number of cells.

    Attributes
    ----------
    sums : (n_groups, n_lags, N * N + 1) float
        Products, the later position first, and their number.

    Raises
    ------
    PlanError
        If the lags do not begin with zero, or do not ascend.
    """

    def __init__(self, positions: npt.NDArray[np.intp], lags: npt.NDArray[np.intp], n_groups: int) -> None:
        if len(lags) < 2 or lags[0] != 0 or (np.diff(lags) <= 0).any():
            raise PlanError(f"`lags` must begin with 0 and ascend, but is {checks.short(lags.tolist())}.")
        self.lags = lags
        self._positions = positions
        self.sums = np.zeros((n_groups, len(lags), len(positions) ** 2 + 1))
        self._tail: FloatArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        n, new = state.shape[:2]
        if self._tail is None or first == 0:
            self._tail = np.empty((n, len(self._positions), 0))
        tail, length = self._tail, self._tail.shape[2] + new
        kept = np.empty((*tail.shape[:2], min(int(self.lags[-1]), length)))
        products = np.zeros((n, *self.sums.shape[1:]))
        step = max(1, _CACHE_BYTES // (8 * len(self._positions) * min(length, _AT_ONCE)))
        for begin in range(0, n, step):
            rows = slice(begin, begin + step)
            # One position after the other: sums over time are then fast.
            joined = np.concatenate([tail[rows], state[rows].transpose(0, 2, 1)[:, self._positions]], axis=2)
            kept[rows] = joined[..., length - kept.shape[2] :]
            for late in range(length - new, length, _AT_ONCE):
                self._multiply(joined, slice(late, min(late + _AT_ONCE, length)), products[rows])
        np.add.at(self.sums, cells, products)
        self._tail = None if last else kept

    def _multiply(self, joined: FloatArray, late: slice, out: FloatArray) -> None:
        """Add the products of which the later positions, of (n, N, t), are in a stretch of time."""
        for index, lag in enumerate(self.lags):
            begin, end = max(late.start, int(lag)), late.stop
            if begin < end:
                later, earlier = joined[..., begin:end], joined[..., begin - lag : end - lag]
                out[:, index, :-1] += np.vecdot(later[:, :, None], earlier[:, None]).reshape(len(out), -1)
                out[:, index, -1] += end - begin


def asymmetry_of(sums: FloatArray, lag: FloatArray, *, at: npt.NDArray[np.intp] | None = None) -> LaggedAsymmetry:
    """How positions follow each other, from sums of products.

    Parameters
    ----------
    sums : (n_groups, n_lags, N * N + 1) float
        As in `LaggedProducts`.
    lag : (n_lags,) float
        [s].
    at : (N, N) int, optional
        Which lag the peak is taken at; by default where the found curve is largest, which noise makes larger than it
        is.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two cells, or fewer states than lags.
    """
    if not (sums[..., -1].sum(axis=0) > 0).all():
        raise TooFewSamplesError(f"The record is shorter than the longest lag, {lag[-1]:.4g} s; use shorter lags.")
    n = round((sums.shape[-1] - 1) ** 0.5)

    def correlation(part: FloatArray) -> FloatArray:
        mean = part[..., :-1] / np.maximum(part[..., -1:], 1.0)
        return np.asarray(mean.reshape(*mean.shape[:-1], n, n))

    curve, _ = jackknife(sums, lambda part: _curve(correlation(part)))
    where = np.abs(curve.value).argmax(axis=0) if at is None else at
    chosen = (where, *np.indices((n, n)))
    peak = Estimate(curve.value[chosen], curve.stderr[chosen], curve.n_eff)
    contrast, replicate = jackknife(sums, lambda part: _contrast(correlation(part), lag))
    size, _ = jackknife(sums, correlation)
    with np.errstate(invalid="ignore"):
        seen = (np.abs(size.value) > _SIGNIFICANT * size.stderr).any(axis=0)
    seen |= seen.T | np.eye(n, dtype=bool)
    # Noise adds to the squares of both directions alike, which brings the contrast nearer to zero.
    unbiased = contrast.value - (len(replicate) - 1) * (replicate.mean(axis=0) - contrast.value)
    told = [np.where(seen, value, np.nan) for value in (unbiased, contrast.stderr)]
    return LaggedAsymmetry(lag, curve, peak, lag[where], Estimate(told[0], told[1], contrast.n_eff))


def _curve(correlation: FloatArray) -> FloatArray:
    """Normalised difference of both directions, (..., n_lags, N, N)."""
    deviation = np.sqrt(np.diagonal(correlation[..., :1, :, :], axis1=-2, axis2=-1))
    difference = correlation - np.swapaxes(correlation, -1, -2)
    return np.asarray(difference / (deviation[..., :, None] * deviation[..., None, :]))


def _contrast(correlation: FloatArray, lag: FloatArray) -> FloatArray:
    """Contrast of the squares, (..., N, N)."""
    variance = np.diagonal(correlation[..., :1, :, :], axis1=-2, axis2=-1)
    size = np.trapezoid(correlation**2 / (variance[..., :, None] * variance[..., None, :]), lag, axis=-3)
    other = np.swapaxes(size, -1, -2)
    return np.asarray(np.divide(size - other, size + other, out=np.zeros_like(size), where=size + other > 0))


def default_lags(array: Oscillators, interval: float, n_states: int) -> npt.NDArray[np.intp]:
    """At most 33 lags, in kept states, up to three decay times of the slowest mode or a quarter of the record.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than eight states.
    """
    if n_states < 8:
        raise TooFewSamplesError(f"Lagged correlations need at least 8 states, but the window holds {n_states}.")
    stability = array.langevin().stability
    slowest = -1.0 / stability.growth_rate if stability.stable else np.inf
    longest = max(2, int(min(_LONGEST * slowest / interval, n_states // 4)))
    return np.unique(np.linspace(0, longest, _N_LAGS + 1).astype(np.intp))


def found_lagged_asymmetry(
    dataset: xr.Dataset, array: Oscillators, *, start: int = 0, lags: npt.ArrayLike | None = None
) -> LaggedAsymmetry:
    """How positions follow each other in a record, or in the statistic "correlations" of a run without one.

    Parameters
    ----------
    dataset : xarray.Dataset
        A record, or the statistic.
    array : Oscillators
        The array.
    start : int
        First state of the window of a record.
    lags : (n_lags,) int, optional
        Lags in kept states, from zero, ascending; by default see `default_lags`. Those of a statistic are given.

    Returns
    -------
    LaggedAsymmetry
        With error bars.

    Raises
    ------
    PlanError
        If the lags do not begin with zero, or there is neither a record nor the statistic.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are too few states or groups of them.
    """
    equations = array.langevin()
    where = equations.select("position")
    if "position" not in dataset:
        return _of_statistic(dataset, array)
    time = dataset["time"].to_numpy()
    interval = float(time[1] - time[0])
    n_states = len(time) - start
    steps = default_lags(array, interval, n_states) if lags is None else np.asarray(lags, dtype=np.intp)
    cells = passes.independent_cells(dataset, equations, start=start)
    one = LaggedProducts(where, steps, cells.n_groups)
    passes.read(dataset, equations, [one], start=start, cells=cells)
    return asymmetry_of(one.sums, steps.astype(np.float64) * interval)


def _of_statistic(dataset: xr.Dataset, array: Oscillators) -> LaggedAsymmetry:
    online.require_statistic(dataset, "correlation", "correlations")
    equations = array.langevin()
    where = equations.select("position")
    lag = dataset["lag"].to_numpy()
    if lag[0] != 0 or len(lag) < 2:
        raise PlanError('The statistic "correlations" needs the lag 0, and another one, to be normalised; add them.')
    value = online.ordered(dataset["correlation"], equations).to_numpy()[:, :, where[:, None], where]
    count = np.nan_to_num(dataset["correlation_count"].to_numpy())
    kept = count > 0
    flat = np.concatenate([value.reshape(*value.shape[:2], -1), np.ones((*value.shape[:2], 1))], axis=-1)
    return asymmetry_of(flat[kept] * count[kept, None, None], lag)


def exact_lagged_asymmetry(array: Oscillators, lag: npt.ArrayLike) -> ExactAsymmetry:
    """How positions follow each other in the steady state, exactly.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    lag : (n_lags,) float
        [s], from zero, ascending.

    Returns
    -------
    ExactAsymmetry
        At these lags; the integral of the contrast is by the same rule of trapezia as that of a record.

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    equations = array.langevin()
    lags = checks.array("lag", lag, ("n",), error=PlanError)
    where = equations.select("position")
    correlation = steady_correlation(equations, lags)[:, where[:, None], where]
    curve = _curve(correlation)
    at = np.abs(curve).argmax(axis=0)
    return ExactAsymmetry(lags, curve, curve[(at, *np.indices(at.shape))], lags[at], _contrast(correlation, lags))
