r"""Conditional trajectories: the Kalman-Bucy filter, run on simulated records.

Between two saved states the record of each detected particle grows by :math:`m = \Psi x + \eta_y`, while the state
becomes :math:`x' = \Phi x + \eta_x`. Both follow from the propagator of the measured array, with the covariance of
:math:`(\eta_x, \eta_y)`, so that the filter is exact at any save interval: it gives mean and covariance of the state
given the increments of the record. With finer intervals these tend to those given the continuous record.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError
from stochbind.langevin import Moments
from stochbind.quantum.measurement import Homodyne, measured, unsettled
from stochbind.quantum.riccati import Filtering, filtered_covariance, precision, settled

#: A covariance that changes by less than this from one step to the next, relative to its variances, has settled.
SETTLED = 1e-14
#: Largest part of the smallest variance that rounding may take.
LARGEST_ROUNDING = 1e-4


class Sampling(NamedTuple):
    r"""State and increments of records after an interval, given the state before.

    Attributes
    ----------
    transition : (2N, 2N) float
        :math:`\Phi`, in quadratures.
    observation : (M, 2N) float
        :math:`\Psi`, in units of records of `stochbind.quantum.measurement.measured`.
    state_noise : (2N, 2N) float
        Covariance of :math:`\eta_x`.
    cross_noise : (2N, M) float
        Covariance of :math:`\eta_x` and :math:`\eta_y`.
    record_noise : (M, M) float
        Covariance of :math:`\eta_y`.
    """

    transition: FloatArray
    observation: FloatArray
    state_noise: FloatArray
    cross_noise: FloatArray
    record_noise: FloatArray

    def gain(self, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gain K (2N, M) of the next estimate, and covariance (M, M) of the increments, from that of the estimate."""
        told = covariance @ self.observation.T
        spread: FloatArray = np.asarray(self.observation @ told + self.record_noise, dtype=np.float64)
        gain = np.linalg.solve(spread, (self.transition @ told + self.cross_noise).T).T
        return np.asarray(gain, dtype=np.float64), spread

    def filtering(self) -> Filtering:
        """What an interval does to covariances: noise that state and record share is first taken out of the state."""
        shared = np.linalg.solve(self.record_noise, self.cross_noise.T).T
        noise = self.state_noise - shared @ self.cross_noise.T
        information = self.observation.T @ np.linalg.solve(self.record_noise, self.observation)
        matrices = self.transition - shared @ self.observation, information, noise
        return Filtering(*(part.astype(precision(len(noise))) for part in matrices))


def sampling(homodyne: Homodyne, interval: float) -> Sampling:
    """Exact law of state and record over an interval.

    Parameters
    ----------
    homodyne : Homodyne
        The detection.
    interval : float
        Length [s].

    Returns
    -------
    Sampling
        Matrices.

    Raises
    ------
    PlanError
        If the interval is not positive, or an unstable mode outgrows floating point.
    """
    checks.positive("interval", checks.array("interval", interval, (), error=PlanError), error=PlanError)
    step = measured(homodyne).propagator(interval)
    d = homodyne.equations.dimension
    noise = step.covariance
    return Sampling(step.matrix[:d, :d], step.matrix[d:, :d], noise[:d, :d], noise[:d, d:], noise[d:, d:])


def sampled_covariance(homodyne: Homodyne, interval: float) -> FloatArray:
    r"""Steady covariance of the state given the increments of the record over intervals up to now.

    It exceeds `conditional_covariance` by terms of the order of the interval squared.

    Parameters
    ----------
    homodyne : Homodyne
        The detection.
    interval : float
        Length of an interval [s].

    Returns
    -------
    (2N, 2N) float
        Covariance, in quadratures.

    Raises
    ------
    PlanError
        As `sampling` does; if an array that is not stable grows too much within the interval for double precision.
    UnstableError
        If it does not settle: some motion is neither damped nor detected, or the measurement is too weak.
    """
    step = sampling(homodyne, interval)
    covariance, found = settled(step.filtering())
    if not found:
        raise unsettled(homodyne, "The covariance of the filter does not settle")
    result = np.asarray(covariance, dtype=np.float64)
    # What the record tells is a small rest of what an array that is not stable does within the interval.
    root = np.sqrt(np.abs(np.diagonal(step.state_noise)))
    least = np.linalg.eigvalsh(result)[0]
    if not np.finfo(float).eps * (root @ root) < LARGEST_ROUNDING * least:
        raise PlanError(
            f"The filter cannot be resolved over an interval of {interval:.6g}: within it noise grows to variances of "
            f"{root.max() ** 2:.2g}, beside which double precision loses the smallest that the record leaves; take a "
            "shorter interval."
        )
    return result


def filtered(dataset: xr.Dataset, homodyne: Homodyne, initial: Moments) -> xr.Dataset:
    r"""Conditional trajectories of simulated records.

    .. math::

        \hat x' = \Phi\hat x + K(m - \Psi\hat x), \quad
        F = \Psi P\Psi^T + S_{yy}, \quad K = (\Phi P\Psi^T + S_{xy})F^{-1}, \quad
        P' = \Phi P\Phi^T + S_{xx} - KFK^T

    If the model is right, the innovations are independent and normal with unit variance, and :math:`x - \hat x` has
    the covariance P.

    Parameters
    ----------
    dataset : xarray.Dataset
        What ``sb.simulate(measured(homodyne), ...)`` gives: with `record` (trajectory, time, record_component), from
        time zero, at equal intervals.
    homodyne : Homodyne
        The detection, as the filter takes it to be.
    initial : Moments
        State at time zero as the filter knows it, in quadratures: mean (2N,) or (trajectory, 2N), and covariance.

    Returns
    -------
    xarray.Dataset
        `position` and `velocity`, the estimates, in the unit and with the dims of those in `dataset`; `innovation`
        (trajectory, time, record_component), of unit covariance; `covariance` (time, quadrature, also_quadrature) of
        the conditional state, in quadratures.

    Raises
    ------
    PlanError
        If the dataset has no records, not those of this detection, or they are not at equal intervals from time zero.
    ScenarioError
        If a shape of `initial` is wrong, or a number is not finite.
    NoiseError
        If the initial covariance is not positive semidefinite.

    References
    ----------
    Kalman, J. Basic Eng. 82, 35 (1960); with noise common to state and record, Anderson and Moore, Optimal Filtering
    (1979), section 5.4.
    """
    record, interval = _records(dataset, homodyne)
    scale = measured(homodyne).unit[homodyne.equations.dimension :]
    increments = np.diff(record / scale, axis=1, prepend=0.0)
    mean, covariance = _initial(initial, homodyne, len(record))
    estimate, innovation, spread = run_filter(sampling(homodyne, interval), increments, mean, covariance)
    si = estimate * homodyne.equations.unit
    n, axes = homodyne.array.n_oscillators, homodyne.array.axes
    dims: tuple[str, ...] = ("trajectory", "time", "particle")
    shape: tuple[int, ...] = si.shape[:2]
    dims, shape = ((*dims, "axis"), (*shape, -1, len(axes))) if len(axes) > 1 else (dims, (*shape, n))
    return xr.Dataset(
        {
            "position": (dims, si[..., :n].reshape(shape)),
            "velocity": (dims, si[..., n:].reshape(shape)),
            "innovation": (("trajectory", "time", "record_component"), innovation),
            "covariance": (("time", "quadrature", "also_quadrature"), spread),
        },
        coords={"time": dataset["time"]} | ({"axis": np.array(axes)} if len(axes) > 1 else {}),
    )


def run_filter(
    step: Sampling, increments: FloatArray, mean: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Estimates, normalised innovations and covariances after each interval, from increments of records.

    Parameters
    ----------
    step : Sampling
        The law of state and record over an interval.
    increments : (n, t, M) float
        Of n records, in units of records of `stochbind.quantum.measurement.measured`.
    mean : (n, 2N) float
        Estimates before the first interval, in quadratures.
    covariance : (2N, 2N) float
        That of the states around them.

    Returns
    -------
    tuple of (n, t, 2N), (n, t, M) and (t, 2N, 2N) float
        After each interval.
    """
    count, n_times, _ = increments.shape
    estimate, innovation = np.empty((count, n_times, len(covariance))), np.empty(increments.shape)
    spread = np.empty((n_times, *covariance.shape))
    filtering = step.filtering()
    has_settled = False
    for index in range(n_times):
        if not has_settled:
            gain, expected = step.gain(covariance)
            before, covariance = covariance, filtered_covariance(filtering, covariance)
            has_settled = _same(before, covariance)
            whiten = np.linalg.inv(np.linalg.cholesky(expected)).T
        surprise = increments[:, index] - mean @ step.observation.T
        mean = mean @ step.transition.T + surprise @ gain.T
        estimate[:, index], innovation[:, index], spread[index] = mean, surprise @ whiten, covariance
    return estimate, innovation, spread


def _same(before: FloatArray, after: FloatArray) -> bool:
    """Whether two covariances are equal, each element relative to the variances."""
    deviation = np.sqrt(np.diagonal(after))
    return bool((np.abs(after - before) <= SETTLED * np.outer(deviation, deviation)).all())


def _records(dataset: xr.Dataset, homodyne: Homodyne) -> tuple[FloatArray, float]:
    """Records (trajectory, time, M) in SI and their interval [s], or `PlanError`."""
    if "record" not in dataset:
        raise PlanError("`dataset` must hold a `record`; simulate `measured(homodyne)` with it.")
    record: Any = dataset["record"].transpose("trajectory", "time", "record_component").values
    count = len(homodyne.index)
    if record.shape[-1] != count:
        raise PlanError(f"`dataset` must hold records of {count} detected oscillators, but has {record.shape[-1]}.")
    time = dataset["time"].values
    if not np.allclose(time, time[0] * np.arange(1, len(time) + 1), rtol=1e-9, atol=0.0):
        raise PlanError("`dataset` must hold states at equal intervals from time zero on; give the whole of a run.")
    if not np.isfinite(record).all():
        raise PlanError("`dataset` must hold finite records; leave out the trajectories that diverged.")
    return record, float(time[0])


def _initial(initial: Moments, homodyne: Homodyne, count: int) -> tuple[FloatArray, FloatArray]:
    """Mean of every trajectory (trajectory, 2N), and covariance, each checked."""
    d = homodyne.equations.dimension
    given = np.asarray(initial.mean)
    if given.ndim == 1:
        given = np.broadcast_to(given, (count, *given.shape))
    mean = checks.array("initial.mean", given, (count, d), error=ScenarioError)
    covariance = checks.array("initial.covariance", initial.covariance, (d, d))
    checks.positive_semidefinite("initial.covariance", covariance)
    return mean, covariance
