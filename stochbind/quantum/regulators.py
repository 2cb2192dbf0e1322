r"""The best linear feedback: forces from the conditional state, with a delay that the design knows of.

Filter and control separate: the forces are a linear function of the estimate of the Kalman-Bucy filter, the same as if
that were the state. Array, delay and filter together are `Langevin` equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import UnstableError
from stochbind.langevin import Langevin
from stochbind.quantum.delays import Delay
from stochbind.quantum.feedback import delay_labels, delay_units, loop_delay
from stochbind.quantum.measurement import Homodyne, conditional_covariance, extended
from stochbind.quantum.riccati import steady_covariance
from stochbind.quantum.symplectic import mode_indices


class Regulated(NamedTuple):
    r"""An array under optimal feedback.

    Attributes
    ----------
    equations : Langevin
        The closed loop, in quadratures: the 2N coordinates of the array, ``("delay", j, axis)`` of each actuator if
        there is a delay, then ``("estimated_position", j, axis)`` and ``("estimated_velocity", j, axis)``. It has a
        steady state, in which the covariance of the array is that of the estimate and the conditional one, added.
    conditional : (2N, 2N) float
        Covariance of the conditional state: no feedback does better.
    filter_gain : (2N, M) float
        :math:`VC^TR^{-1}`, in quadratures and the unit of time of the equations.
    control_gain : (K, 2N + Km) float
        Force of each actuator per estimate and per coordinate of the delays, with the opposite sign.
    """

    equations: Langevin
    conditional: FloatArray
    filter_gain: FloatArray
    control_gain: FloatArray


def regulated(
    homodyne: Homodyne,
    control_rate: float,
    *,
    actuators: int | Sequence[int] | None = None,
    weight: Any = None,
    delay: float = 0.0,
    band: float | None = None,
    tolerance: float = 1e-6,
) -> Regulated:
    r"""A measured array with linear-quadratic-Gaussian feedback.

    The forces u on the actuators, in units of :math:`\sqrt{\hbar m\Omega}` per time, make

    .. math::

        \left\langle \sum_j w_j \frac{z_j^2 + p_j^2}{2} + \sum_k \frac{u_k^2}{2\kappa^2} \right\rangle

    as small as it can be. With :math:`\kappa \ll \Omega` the control damps the estimate of a particle at the rate
    :math:`\sqrt2\kappa`; the larger :math:`\kappa`, the cheaper are forces.

    Parameters
    ----------
    homodyne : Homodyne
        The detection, of M oscillators.
    control_rate : float
        :math:`\kappa` [1/s].
    actuators : int or sequence of int, optional
        The K oscillators that forces act on, each once; all by default.
    weight : (N,) float, optional
        w of each oscillator, zero or positive; one by default. Zero leaves out those that are not to be cooled.
    delay : float
        Time from the estimate to the force [s].
    band, tolerance : float, optional
        As for `stochbind.quantum.feedback.cold_damping`.

    Returns
    -------
    Regulated
        The closed loop and its parts.

    Raises
    ------
    ScenarioError
        If a number or an actuator is impossible, or the delay is too long for the band.
    UnstableError
        If some motion is neither damped nor detected, or neither damped nor both of weight and within reach of the
        actuators.

    References
    ----------
    Kalman, Bol. Soc. Mat. Mex. 5, 102 (1960), and the separation theorem, Wonham, SIAM J. Control 6, 312 (1968). For
    quantum oscillators: Doherty and Jacobs, Phys. Rev. A 60, 2700 (1999).
    """
    n = homodyne.array.n_oscillators
    rate = float(checks.positive("control_rate", checks.array("control_rate", control_rate, ())))
    acting = tuple(int(j) for j in mode_indices("actuators", range(n) if actuators is None else actuators, n))
    weights = checks.positive(
        "weight", checks.array("weight", np.ones(n) if weight is None else weight, (n,)), or_zero=True
    )
    wait = loop_delay(homodyne, delay, band, tolerance, rate)
    plant, push = _plant(homodyne.equations, wait, acting)
    cost = np.zeros_like(plant)
    cost[: 2 * n, : 2 * n] = np.diag(np.tile(weights, 2))
    price = (rate * homodyne.equations.time_unit) ** 2
    value, found = steady_covariance(plant.T, cost, price * push @ push.T)
    if not found:
        raise UnstableError(
            "There is no best feedback, because some motion is neither damped nor both of `weight` and within reach of "
            f"the `actuators` {acting}; let more oscillators be acted on, or give all of them weight.",
            homodyne.equations.stability.growth_rate,
        )
    control = price * push.T @ value
    conditional = conditional_covariance(homodyne)
    gain = conditional @ homodyne.observation.T / homodyne.relative_noise
    return Regulated(_closed(homodyne, wait, acting, (plant, push), (gain, control)), conditional, gain, control)


def _plant(equations: Langevin, delay: Delay, actuators: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Drift of array and delays, and what a unit of each force does to them, at once."""
    d, n, order, time = equations.dimension, equations.dimension // 2, delay.order, equations.time_unit
    size = d + len(actuators) * order
    drift, push = np.zeros((size, size)), np.zeros((size, len(actuators)))
    drift[:d, :d] = equations.drift_matrix
    for index, actuator in enumerate(actuators):
        line = slice(d + index * order, d + (index + 1) * order)
        drift[line, line] = delay.drift * time
        drift[n + actuator, line] = delay.exit * math.sqrt(time)
        push[line, index] = delay.entry * math.sqrt(time)
        push[n + actuator, index] = delay.direct
    return drift, push


def _closed(
    homodyne: Homodyne,
    delay: Delay,
    actuators: Sequence[int],
    plant: tuple[FloatArray, FloatArray],
    gains: tuple[FloatArray, FloatArray],
) -> Langevin:
    """The equations of array, delays and estimates."""
    equations, (drift, push), (gain, control) = homodyne.equations, plant, gains
    d, size = equations.dimension, len(drift)
    told = gain @ homodyne.observation
    loop = np.zeros((size + d, size + d))
    loop[:size, :size] = drift
    loop[size:, d:size] = drift[:d, d:]
    loop[size:, size:] = drift[:d, :d] - told
    loop[size:, :d] = told
    forced = np.concatenate([push, push[:d]])
    loop[:, size:] -= forced @ control[:, :d]
    loop[:, d:size] -= forced @ control[:, d:]
    surprise = gain * homodyne.relative_noise @ gain.T
    noise = linalg.block_diag(equations.noise_covariance, np.zeros((size - d, size - d)), 0.5 * (surprise + surprise.T))
    estimates = tuple(c._replace(quantity=f"estimated_{c.quantity}") for c in equations.coordinate)
    labels = delay_labels(equations, delay, actuators) + estimates
    unit = np.concatenate([delay_units(equations, delay, actuators) / equations.time_unit, equations.unit])
    return extended(equations, loop, noise, labels, unit)
