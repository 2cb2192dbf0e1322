"""Estimates, and the sums over a record that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import special

from stochbind.analysis.exact_sums import augmented_moment, augmented_step, equal_steps, sum_of_moments, walked_sums
from stochbind.analysis.passes import FEWEST_CELLS, SHORTEST_BLOCK, Cells, independent_cells, read
from stochbind.analysis.passes import N_GROUPS as N_GROUPS
from stochbind.analysis.second_moments import SecondMoments
from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.langevin import Langevin, Moments
from stochbind.protocols import Protocol


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with its error bar.

    Attributes
    ----------
    value, stderr : (...) float
        Estimate and standard error.
    n_eff : float
        Number of independent samples behind the error bar.
    """

    value: FloatArray
    stderr: FloatArray
    n_eff: float

    def z(self, truth: FloatArray | float, *, scale: FloatArray | float = 0.0) -> FloatArray:
        """Distance from the truth in standard errors, as a normal deviate.

        With few samples the standard error itself is uncertain, and large distances are less surprising: Student's t
        with ``n_eff - 1`` degrees of freedom is mapped to the normal deviate of the same probability. Standard errors
        count as at least 1e-9 of the value: round-off is no disagreement.

        Parameters
        ----------
        truth : (...) float
            Exact value.
        scale : (...) float, optional
            Size of the terms whose difference the value is, for the round-off.
        """
        truth = np.asarray(truth, dtype=np.float64)
        round_off = 1e-9 * np.maximum(np.maximum(np.abs(self.value), np.abs(truth)), scale)
        difference = self.value - truth
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(difference == 0.0, 0.0, difference / np.maximum(self.stderr, round_off))
        deviate = -special.ndtri(special.stdtr(self.n_eff - 1.0, -np.abs(t)))
        result: FloatArray = np.sign(t) * np.where(np.isfinite(deviate), np.minimum(deviate, np.abs(t)), np.abs(t))
        return result


@dataclass(frozen=True, eq=False)
class Record:
    """Second moments of a record, group by group of trajectories, in the scaled units of the equations.

    All quadratic observables, their error bars and the regression of the drift follow from these sums.

    Attributes
    ----------
    second : (n_groups, d, d) float
        Average of :math:`x x^T` over the trajectories of the group and the states of the window.
    before, lagged : (n_groups, d, d) float
        Averages of :math:`x_k x_k^T` and :math:`x_{k+1} x_k^T` over the pairs of successive states.
    first_state, last_state : (n_groups, d, d) float
        Averages of :math:`x x^T` over trajectories, in the first and the last state of the window.
    weight : (n_groups,) float
        Share of the trajectories in each group.
    interval : float
        Time between states [s].
    n_states : int
        Number of states in the window.
    """

    second: FloatArray
    before: FloatArray
    lagged: FloatArray
    first_state: FloatArray
    last_state: FloatArray
    weight: FloatArray
    interval: float
    n_states: int

    @property
    def duration(self) -> float:
        """Time from the first to the last state of the window [s]."""
        return self.interval * (self.n_states - 1)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.weight)

    def estimate(self, function: Callable[[FloatArray], FloatArray], of: FloatArray | None = None) -> Estimate:
        """Estimate of a linear function of the second moments.

        Parameters
        ----------
        function : callable
            From second moments, shape (..., d, d), to a result of shape ``(..., *shape)``.
        of : (n_groups, d, d) float, optional
            Moments to take instead of `second`.

        Returns
        -------
        Estimate
            Mean over groups, and its standard error from their scatter.
        """
        sample = function(self.second if of is None else of)
        return weighted_mean(sample, self.weight)

    def jackknife(self, function: Callable[[Record], npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Value and delete-one-group replicates of a smooth function of the record.

        Parameters
        ----------
        function : callable
            From a record of one group to an array.

        Returns
        -------
        value : (...) float or complex
            Of the whole record.
        replicate : (n_groups, ...) float or complex
            Without each group in turn.
        """
        names = ("second", "before", "lagged", "first_state", "last_state")
        total = {name: np.tensordot(self.weight, getattr(self, name), 1) for name in names}

        def merged(parts: dict[str, FloatArray]) -> Record:
            arrays = {name: part[None] for name, part in parts.items()}
            return Record(**arrays, weight=np.ones(1), interval=self.interval, n_states=self.n_states)

        value = function(merged(total))
        replicates = [
            function(
                merged(
                    {
                        name: (total[name] - self.weight[g] * getattr(self, name)[g]) / (1.0 - self.weight[g])
                        for name in names
                    }
                )
            )
            for g in range(self.n_groups)
        ]
        return value, np.array(replicates)

    def regrouped(self, n_groups: int) -> Record:
        """The same record in at most so many groups."""
        edges = np.unique(np.linspace(0, self.n_groups, min(n_groups, self.n_groups) + 1).astype(int))
        weight = np.add.reduceat(self.weight, edges[:-1])

        def merge(value: FloatArray) -> FloatArray:
            total = np.add.reduceat(self.weight[:, None, None] * value, edges[:-1], axis=0)
            result: FloatArray = total / weight[:, None, None]
            return result

        return Record(
            merge(self.second), merge(self.before), merge(self.lagged), merge(self.first_state), merge(self.last_state),
            weight, self.interval, self.n_states,
        )  # fmt: skip


def weighted_mean(sample: FloatArray, weight: FloatArray) -> Estimate:
    """Mean of independent groups of nearly equal weight, with its standard error.

    Parameters
    ----------
    sample : (n_groups, ...) float
        Group means.
    weight : (n_groups,) float
        Shares, which add up to one.

    Returns
    -------
    Estimate
        The mean.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two groups.
    """
    n = len(weight)
    mean = np.asarray(np.tensordot(weight, sample, 1))
    if n < 2:
        raise TooFewSamplesError(
            "Error bars need at least 2 trajectories, or one in its steady state that is "
            f"{FEWEST_CELLS * SHORTEST_BLOCK:g} autocorrelation times long or more; run more of them, or longer.",
            Estimate(mean, np.full(mean.shape, np.nan), float(n)),
        )
    scatter = np.tensordot(weight, (sample - mean) ** 2, 1)
    return Estimate(mean, np.asarray(np.sqrt(scatter / (n - 1))), float(n))


def jackknife(function: Callable[..., FloatArray], *samples: FloatArray, weight: FloatArray) -> Estimate:
    r"""Smooth function of means of independent groups, by leaving out each group in turn.

    With :math:`\theta` the function of the means, :math:`\theta_{-g}` that of the means without group g, and
    :math:`h_g` the inverse of the share of the group, the pseudo-values
    :math:`h_g \theta - (h_g - 1) \theta_{-g}` act as group means: their mean has no bias of the order of the inverse
    number of groups, and their scatter gives the standard error (Busing, Meijer and van der Leeden, Stat. Comput. 9, 3
    (1999), for groups of unequal size).

    Parameters
    ----------
    function : callable
        Of one array for each of the samples, of shape ``(..., *shape)``, to a result of shape ``(..., *result)``: it is
        called with means stacked along the first axis.
    *samples : (n_groups, ...) float
        Group means.
    weight : (n_groups,) float
        Shares, which add up to one.

    Returns
    -------
    Estimate
        Of the function of the means.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than eight groups: then the function may bend within the error bar of its arguments, and the
        pseudo-values tell little about it.
    """
    value, replicate = _leave_one_out(function, *samples, weight=weight)
    estimate = Estimate(value, np.full(value.shape, np.nan), float(len(weight)))
    if len(weight) > 1:
        inverse = 1.0 / weight.reshape(-1, *[1] * value.ndim)
        pseudo = inverse * value - (inverse - 1.0) * replicate
        mean = np.asarray(np.tensordot(weight, pseudo, 1))
        variance = np.mean((pseudo - mean) ** 2 / (inverse - 1.0), axis=0)
        estimate = Estimate(mean, np.asarray(np.sqrt(variance)), float(len(weight)))
    if len(weight) < FEWEST_CELLS:
        raise TooFewSamplesError(
            f"The error bar of a nonlinear function needs at least {FEWEST_CELLS} independent trajectories or blocks "
            f"of time, but the record has {len(weight)}; run more trajectories, or longer ones.",
            estimate,
        )
    return estimate


def _leave_one_out(
    function: Callable[..., FloatArray], *samples: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Function of means of shape (...), and without each group in turn, (n_groups, ...): NaN if there is one only."""
    left: list[FloatArray] = []
    means = [np.tensordot(weight, sample, 1) for sample in samples]
    for mean, sample in zip(means, samples, strict=True):
        share = weight.reshape(-1, *[1] * mean.ndim)
        with np.errstate(divide="ignore", invalid="ignore"):
            left.append((mean - share * sample) / (1.0 - share))
    return np.asarray(function(*(mean[None] for mean in means)))[0], np.asarray(function(*left))


def record(dataset: xr.Dataset, equations: Langevin, *, start: int = 0, cells: Cells | None = None) -> Record:
    """Sum up a record in one reading, in bounded memory.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position`, and `velocity` unless overdamped, of dims (trajectory, time, particle, axis), in SI.
    equations : Langevin
        Whose coordinates and units are meant.
    start : int
        First state of the window.
    cells : Cells, optional
        How the record is cut into groups; by default `stochbind.analysis.passes.independent_cells`.

    Returns
    -------
    Record
        The sums.

    Raises
    ------
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If the window holds fewer than two states.
    """
    cells = cells or independent_cells(dataset, equations, start=start)
    moments = SecondMoments(cells.n_groups, equations.dimension)
    reading = read(dataset, equations, [moments], start=start, cells=cells)
    return Record(
        **moments.averages(reading), weight=reading.weight, interval=reading.interval, n_states=reading.n_states
    )


def exact_record(
    system: Langevin | Protocol, initial: Moments, *, first_time: float, interval: float, n_states: int
) -> Record:
    r"""What a `Record` is on average, exactly, from the law of the initial state; stable or not.

    The sum of the second moments over n states is built by doubling,
    :math:`f(2n) = f(n) + E^n f(n) E^{nT}` and :math:`g(2n) = g(n) + n S_n + E^n g(n) E^{nT}`. Theory page, eq. (13).
    Where equations change with time, and the interval is not a whole number of periods, state by state.

    Parameters
    ----------
    system : Langevin or Protocol
        The equations of motion, with all that changes them with time.
    initial : Moments
        State at time zero.
    first_time : float
        Time of the first state of the window [s].
    interval : float
        Time between states [s].
    n_states : int
        Number of states in the window.

    Returns
    -------
    Record
        Of one group.
    """
    protocol = system if isinstance(system, Protocol) else Protocol.constant(system)
    d = protocol.equations.dimension
    first = augmented_moment(protocol, initial, first_time)
    last = augmented_moment(protocol, initial, first_time + interval * (n_states - 1))
    if equal_steps(protocol, interval):
        matrix, noise = augmented_step(protocol, interval)
        total = sum_of_moments(matrix, noise, first, n_states)
        before = total - last
        lagged = matrix @ before
    else:
        total, before, lagged = walked_sums(
            protocol, initial, first_time=first_time, interval=interval, window=n_states, n_states=n_states
        )
    return Record(
        second=total[None, :d, :d] / n_states,
        before=before[None, :d, :d] / (n_states - 1),
        lagged=lagged[None, :d, :d] / (n_states - 1),
        first_state=first[None, :d, :d],
        last_state=last[None, :d, :d],
        weight=np.ones(1),
        interval=interval,
        n_states=n_states,
    )
