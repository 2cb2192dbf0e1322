r"""Heating rates of normal modes from records of particles that were released from a cold state.

Two estimators of the same rates, both in one reading of the record:

* **Increments.** Between states an interval h apart a mode gains :math:`\eta = y(t+h) - e^{Ah}y(t)`, with its own
  frequency and damping rate in A. These gains are independent of each other, whatever the energy: the likelihood of
  the rate r is largest at :math:`r = \langle\eta^TS^{-1}\eta\rangle/2`, with the covariance :math:`rS` of the gains,
  and its relative error is :math:`1/\sqrt{RM}` for R trajectories of M intervals.
* **Energies.** The mean energy n grows linearly, and a line is fitted. The energy of one trajectory is exponentially
  distributed and correlated over the whole record, :math:`\mathrm{cov}(n, n') = \min(\langle n\rangle, \langle
  n'\rangle)^2` without damping, so that points count by the inverse of that matrix. Even so the relative error is
  :math:`1/\sqrt{R\,\tfrac12\ln(n_M/n_1)}` with the energies of the first and the last state: more states between
  them do not help. This one does not need the frequency.

Error bars are from the scatter between groups of trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import linalg

from stochbind.analysis.heating import ModeHeating, mode_heating
from stochbind.analysis.passes import cut, read
from stochbind.analysis.statistics import Estimate, jackknife, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.oscillators import Oscillators
from stochbind.propagation import propagate

#: Most states whose energies are fitted; what lies between them adds little.
MOST_STATES = 128
#: Largest share of their energy that modes may exchange over the record.
_LARGEST_EXCHANGE = 1e-3
#: Least energy at the begin of the fit, in units of what a mode gains between states.
_LEAST_ENERGY = 1e-6
#: Part of the variance of an energy that counts as its own in any case.
_LEAST_INDEPENDENT = 1e-12


@dataclass(frozen=True, eq=False)
class Reheating:
    """Heating rates of the normal modes of a record.

    Attributes
    ----------
    exact : ModeHeating
        Modes, and what the rates are exactly.
    by_increments : Estimate
        Quanta per second of each mode [1/s], (N,), from the gains between states.
    by_energies : Estimate
        The same, (N,), from the growth of the mean energies.
    difference : Estimate or None
        For two particles, the difference of the rates of the common and the differential mode over their mean, from
        increments; None for other numbers, or in fewer than 8 trajectories.
    exact_difference : float
        What it is exactly; NaN where there is none.
    """

    exact: ModeHeating
    by_increments: Estimate
    by_energies: Estimate
    difference: Estimate | None
    exact_difference: float


def reheating(dataset: xr.Dataset, array: Oscillators) -> Reheating:
    """Heating rates of all normal modes from a record, read once in bounded memory.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position` and `velocity` (trajectory, time, particle), in SI. Nothing is assumed of the initial state by
        increments; by energies, that it is cold beside what follows.
    array : Oscillators
        N oscillators whose normal modes move alone: underdamped, linear, reciprocal. Damping that is not weak is right
        by increments only.

    Returns
    -------
    Reheating
        Rates with error bars, beside the exact ones.

    Raises
    ------
    ScenarioError
        If the array is overdamped, its traps do not hold, its modes exchange energy within the record, or nothing
        heats them.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are fewer than two trajectories or two states.
    """
    heat = mode_heating(array)
    cells = cut(dataset)
    n_states = int(cells.edge[-1])
    time = dataset["time"].to_numpy()
    damping = _damping_of_lone_modes(array, heat, float(time[-1] - time[0]))
    sums = _Gains(array, heat, damping, float(time[1] - time[0]), cells.n_groups, n_states)
    read(dataset, array.langevin(), [sums], cells=cells)
    count = np.bincount(cells.group)
    sample = sums.gain / (count * (n_states - 1))[:, None]
    gains = weighted_mean(sample, cells.weight)
    if not (gains.value > 0.0).all():
        raise ScenarioError("Heating rates need noise, but a mode of the record gains nothing; check the scenario.")
    energy = sums.energy / count[:, None, None]
    fitted = np.stack(
        [_fit(energy[..., k], one, float(gains.value[k]), cells.weight) for k, one in enumerate(sums.fitted)], axis=-1
    )
    pair = _pair(heat)
    difference, exact_difference = None, float("nan")
    if pair is not None:
        exact_difference = float(_difference(heat.rate[list(pair)]))
        if cells.n_groups >= 8:
            difference = jackknife(_difference, sample[:, list(pair)], weight=cells.weight)
    return Reheating(heat, gains, weighted_mean(fitted, cells.weight), difference, exact_difference)


def common_mode(heat: ModeHeating) -> int | None:
    """Which mode of two particles is the common one, in which both move the same way; None for other numbers."""
    pair = _pair(heat)
    return None if pair is None else pair[0]


def _pair(heat: ModeHeating) -> tuple[int, int] | None:
    if heat.modes.shape.shape != (2, 2):
        return None
    common = int(np.argmax(heat.modes.shape.prod(axis=0)))
    return common, 1 - common


def _difference(rate: FloatArray) -> FloatArray:
    """Of rates (..., 2): the first less the second, over their mean."""
    result: FloatArray = 2.0 * (rate[..., 0] - rate[..., 1]) / (rate[..., 0] + rate[..., 1])
    return result


def _damping_of_lone_modes(array: Oscillators, heat: ModeHeating, duration: float) -> FloatArray:
    """Damping rates of the modes [1/s], or `ScenarioError` if they exchange energy."""
    root, shape, rate = np.sqrt(np.asarray(array.mass)), heat.modes.shape, heat.modes.rate
    force = shape.T @ (array.force_matrix / np.outer(root, root)) @ shape
    friction = shape.T @ (shape * (array.friction / root**2)[:, None])
    damping: FloatArray = friction.diagonal().copy()
    exchange = np.abs(force / np.sqrt(np.outer(rate, rate))) + np.abs(friction)
    np.fill_diagonal(exchange, 0.0)
    share = float(exchange.max(initial=0.0)) * duration
    if not share <= _LARGEST_EXCHANGE:
        raise ScenarioError(
            f"Heating rates need normal modes that move alone, but within the record these exchange about {share:.2g} "
            "of their energy, by antireciprocal coupling or unequal damping; take a shorter record, or other phases."
        )
    return damping


class _Mode(NamedTuple):
    """One mode in units of quanta, over an interval: both quadratures turn, decay, and gain at a rate of one."""

    matrix: FloatArray
    covariance: FloatArray

    @classmethod
    def over(cls, rate: float, damping: float, interval: float) -> _Mode:
        drift = np.array([[0.0, rate], [-rate, -damping]])
        step = propagate(drift, np.zeros(2), np.diag([0.0, 2.0]), interval)
        return cls(step.matrix, step.covariance)


class _Gains:
    """Squared gains of modes between states, and their energies: a `stochbind.analysis.passes.Pass`."""

    def __init__(
        self,
        array: Oscillators,
        heat: ModeHeating,
        damping: FloatArray,
        interval: float,
        n_groups: int,
        n_states: int,
    ) -> None:
        equations = array.langevin()
        n, rate = len(heat.quantum), heat.modes.rate
        weight = heat.modes.shape * np.sqrt(np.asarray(array.mass))[:, None] / np.sqrt(heat.quantum)
        self._position = equations.unit[:n, None] * weight * rate
        self._velocity = equations.unit[n:, None] * weight
        steps = [_Mode.over(w, g, interval) for w, g in zip(rate, damping, strict=True)]
        self._matrix = np.array([one.matrix for one in steps])
        self._whitener = np.array([linalg.inv(linalg.cholesky(one.covariance, lower=True)) for one in steps])
        self.stride = -(-n_states // MOST_STATES)
        #: The modes over the time between states whose energies are kept.
        self.fitted = [_Mode.over(w, g, interval * self.stride) for w, g in zip(rate, damping, strict=True)]
        #: Sums of half the squares of whitened gains, and of energies in quanta.
        self.gain = np.zeros((n_groups, n))
        self.energy = np.zeros((n_groups, -(-n_states // self.stride), n))
        self._previous: FloatArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        n = len(self._position)
        mode = np.stack([state[..., :n] @ self._position, state[..., n:] @ self._velocity], axis=-1)
        kept = np.arange(-first % self.stride, state.shape[1], self.stride)
        energy = 0.5 * (mode[:, kept] ** 2).sum(axis=-1)
        where = (first + kept) // self.stride
        np.add.at(self.energy, (cells[:, None], where[None]), energy)
        if self._previous is not None:
            mode = np.concatenate([self._previous, mode], axis=1)
        gain = mode[:, 1:] - np.einsum("kab,ntkb->ntka", self._matrix, mode[:, :-1])
        white = np.einsum("kab,ntkb->ntka", self._whitener, gain)
        np.add.at(self.gain, cells, 0.5 * np.einsum("ntka,ntka->nk", white, white))
        self._previous = None if last else mode[:, -1:].copy()


def _fit(energy: FloatArray, step: _Mode, rate: float, weight: FloatArray) -> FloatArray:
    """Rate of each group, (n_groups,), by generalised least squares of its energies, (n_groups, T).

    The first energy and the rate are free. Their covariance is that of a Gaussian mode of about these numbers, and the
    same for all groups, so that each group has an estimate of its own.
    """
    n = energy.shape[1]
    first = max(float(weight @ energy[:, 0]), _LEAST_ENERGY * rate * float(np.trace(step.covariance)))
    power, gained = np.empty((n, 2, 2)), np.zeros((n, 2, 2))
    power[0] = np.eye(2)
    for i in range(1, n):
        power[i] = step.matrix @ power[i - 1]
        gained[i] = step.matrix @ gained[i - 1] @ step.matrix.T + step.covariance
    kept = power @ power.transpose(0, 2, 1)
    design = 0.5 * np.stack([np.trace(kept, axis1=1, axis2=2), np.trace(gained, axis1=1, axis2=2)], axis=1)
    state = first * kept + rate * gained
    later, earlier = np.tril_indices(n)
    covariance = np.zeros((n, n))
    covariance[later, earlier] = 0.5 * ((power[later - earlier] @ state[earlier]) ** 2).sum(axis=(1, 2))
    covariance = np.where(covariance > 0.0, covariance, covariance.T)
    scale = np.sqrt(covariance.diagonal())
    # A little more on the diagonal: energies that hardly change are all but the same number.
    factor = linalg.cho_factor(covariance / np.outer(scale, scale) + _LEAST_INDEPENDENT * np.eye(n))
    whitened = linalg.cho_solve(factor, design / scale[:, None])
    weights = np.linalg.solve(whitened.T @ (design / scale[:, None]), whitened.T)[1] / scale
    result: FloatArray = energy @ weights
    return result
