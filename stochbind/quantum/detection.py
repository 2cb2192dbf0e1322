r"""Records that detectors would have made of trajectories that are there already.

The noise of a record is independent of the motion, so a trajectory may be simulated first and detected later. Between
two kept states x and x' the integral of a position is Gaussian, given both: with :math:`x' = \Phi x + \eta_x` and
:math:`m = \Psi x + \eta_y`, the law of `stochbind.quantum.filtering.Sampling`, the record grows by

.. math:: m = \Psi x + S_{yx}S_{xx}^{-1}(x' - \Phi x) + \zeta, \qquad
    \langle\zeta\zeta^T\rangle = S_{yy} - S_{yx}S_{xx}^{-1}S_{xy},

which is exact for linear forces, at any interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import PlanError
from stochbind.langevin import Moments
from stochbind.propagation import covariance_root
from stochbind.quantum.filtering import Sampling, filtered, sampling
from stochbind.quantum.measurement import Homodyne, measured


class Detector:
    """Makes increments of records from states and noise of its own.

    Parameters
    ----------
    step : Sampling
        The law of state and record between two states.
    seed : int
        Seed of the noise; that of each trajectory depends on the seed and its number alone.
    """

    def __init__(self, step: Sampling, seed: int) -> None:
        self._seed = checks.integer("seed", seed, minimum=0, error=PlanError)
        self._step = step
        # The pseudo-inverse leaves out directions in which no noise moves the state: they tell nothing of the record.
        scale = np.sqrt(np.diagonal(step.state_noise))
        scale = np.where(scale > 0, scale, 1.0)
        inverse = np.linalg.pinv(step.state_noise / np.outer(scale, scale), hermitian=True) / np.outer(scale, scale)
        self._regression = step.cross_noise.T @ inverse
        rest = step.record_noise - self._regression @ step.cross_noise
        self._root = covariance_root(0.5 * (rest + rest.T))

    def generators(self, first: int, count: int) -> list[np.random.Generator]:
        """Sources of noise of trajectories `first` and on."""
        return [np.random.Generator(np.random.Philox(key=[self._seed, first + i])) for i in range(count)]

    def increments(self, state: FloatArray, generators: list[np.random.Generator]) -> FloatArray:
        """Increments (n, t - 1, M) of records between successive states.

        Parameters
        ----------
        state : (n, t, 2N) float
            States in quadratures, at the interval of the law.
        generators : list of numpy.random.Generator
            Sources of noise, which go on where they stopped.
        """
        before, after = state[:, :-1], state[:, 1:]
        size = len(self._root)
        noise = np.array([generator.standard_normal((before.shape[1], size)) for generator in generators])
        surprise = after - before @ self._step.transition.T
        result: FloatArray = before @ self._step.observation.T + surprise @ self._regression.T + noise @ self._root.T
        return result


def detected(dataset: xr.Dataset, homodyne: Homodyne, *, seed: int = 0) -> xr.Dataset:
    """A record of what detectors would have seen of trajectories, beside these.

    Parameters
    ----------
    dataset : xarray.Dataset
        Trajectories with `position` and `velocity`, two states or more at equal intervals; of the linear equations of
        the array.
    homodyne : Homodyne
        The detection.
    seed : int
        Seed of the noise of the detectors.

    Returns
    -------
    xarray.Dataset
        `position` and `velocity` from the second state on, and `record` (trajectory, time, record_component) since the
        first [m s], with times since the first state: what `conditional` and `filtered` take.

    Raises
    ------
    PlanError
        If there are fewer than two states, or they are not at equal intervals.
    """
    state, interval = _states(dataset, homodyne)
    detector = Detector(sampling(homodyne, interval), seed)
    increments = detector.increments(state, detector.generators(0, len(state)))
    unit = measured(homodyne).unit[homodyne.equations.dimension :]
    later = dataset[["position", "velocity"]].isel(time=slice(1, None))
    later = later.assign_coords(time=interval * np.arange(1, later.sizes["time"] + 1))
    dims = ("trajectory", "time", "record_component")
    return xr.Dataset({**later.data_vars, "record": (dims, np.cumsum(increments, axis=1) * unit)}, coords=later.coords)


def conditional(dataset: xr.Dataset, homodyne: Homodyne, initial: Moments, *, seed: int = 0) -> xr.Dataset:
    """What is known, by a detector and the filter of its record, along trajectories that are there already.

    Parameters
    ----------
    dataset, homodyne, seed
        As for `detected`.
    initial : Moments
        What is known of the first state, in quadratures: see `stochbind.quantum.filtering.filtered`.

    Returns
    -------
    xarray.Dataset
        As of `stochbind.quantum.filtering.filtered`.

    Raises
    ------
    PlanError, ScenarioError, NoiseError
        As `detected` and `filtered` do.
    """
    return filtered(detected(dataset, homodyne, seed=seed), homodyne, initial)


def _states(dataset: xr.Dataset, homodyne: Homodyne) -> tuple[FloatArray, float]:
    """States (n, t, 2N) in quadratures, and their interval [s]."""
    missing = [name for name in ("position", "velocity") if name not in dataset]
    if missing:
        raise PlanError(f"`dataset` must hold `{missing[0]}`; give a run that kept its trajectories.")
    time = np.asarray(dataset["time"].values, dtype=np.float64)
    steps = np.diff(time)
    if len(time) < 2 or not np.allclose(steps, steps[0], rtol=1e-6, atol=0.0):
        raise PlanError(f"`dataset` must hold two or more states at equal intervals, but holds {len(time)} states.")
    parts: list[Any] = []
    for name in ("position", "velocity"):
        value = dataset[name].transpose("trajectory", "time", ...).values
        parts.append(value.reshape(*value.shape[:2], -1))
    state = np.concatenate(parts, axis=-1)
    if state.shape[-1] != homodyne.equations.dimension:
        raise PlanError(
            f"`dataset` must hold the motion of {homodyne.array.n_oscillators} oscillators, but holds that of "
            f"{state.shape[-1] // 2}."
        )
    if not np.isfinite(state).all():
        raise PlanError("`dataset` must hold finite states; leave out the trajectories that diverged.")
    return state / homodyne.equations.unit, float(time[-1] - time[0]) / (len(time) - 1)
