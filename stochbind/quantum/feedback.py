r"""Feedback of the measured record: cold damping, with a filter and a delay.

The loop is electronics: it differentiates the record up to its bandwidth, waits, and pushes. All of it is linear, so
that array and loop together are `Langevin` equations, whose noise now also is that of the record: exact steady states,
and trajectories. The optimal loop is in `stochbind.quantum.regulators`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, UnstableError
from stochbind.langevin import Langevin
from stochbind.quantum.delays import Delay, pade_delay
from stochbind.quantum.measurement import Homodyne, extended, named
from stochbind.stability import Coordinate

#: The phase of a delay must be right up to so many times the fastest frequency of array and loop.
BAND = 4.0


def cold_damping(
    homodyne: Homodyne,
    gain: Any,
    bandwidth: float,
    *,
    delay: float = 0.0,
    targets: int | Sequence[int] | None = None,
    band: float | None = None,
    tolerance: float = 1e-6,
) -> Langevin:
    r"""A measured array with cold damping.

    The record :math:`r_j = q_j + n_j` is differentiated up to a bandwidth B, delayed by :math:`\tau`, and taken as a
    velocity to be damped: on the target k of record j acts the force :math:`-m_k\Gamma_j\hat v_j(t - \tau)` with

    .. math::

        \hat v_j = B(r_j - w_j), \qquad \dot w_j = B(r_j - w_j)

    Parameters
    ----------
    homodyne : Homodyne
        The detection, of M oscillators.
    gain : float or (M,) float
        :math:`\Gamma` [1/s]: the rate at which an immediate, noiseless loop of infinite bandwidth damps. A negative
        one drives.
    bandwidth : float
        B [rad/s].
    delay : float
        :math:`\tau` [s].
    targets : int or sequence of int, optional
        The oscillator on which each record acts; by default that of the record.
    band : float, optional
        Angular frequency up to which the phase of the delay must be right [rad/s]; by default `BAND` times the fastest
        of the traps and gains.
    tolerance : float
        Largest error of the phase there [rad].

    Returns
    -------
    Langevin
        In quadratures: the 2N coordinates of the array, ``("filter", j, axis)`` w of each record, and
        ``("delay", j, axis)`` the coordinates of its delay, if there is one. It has a steady state.

    Raises
    ------
    ScenarioError
        If a number or target is impossible, or the delay is too long for the band.
    UnstableError
        If array and loop together have no steady state.

    References
    ----------
    Poggio et al., Phys. Rev. Lett. 99, 017201 (2007), for infinite bandwidth; Genes et al., Phys. Rev. A 77, 033804
    (2008), for this filter.
    """
    count = len(homodyne.index)
    rates = checks.array("gain", np.full(count, gain) if np.ndim(gain) == 0 else gain, (count,))
    width = float(checks.positive("bandwidth", checks.array("bandwidth", bandwidth, ())))
    driven = _targets(targets, homodyne)
    wait = loop_delay(homodyne, delay, band, tolerance, float(np.abs(rates).max()))
    equations = homodyne.equations
    d, n, order, time = equations.dimension, equations.dimension // 2, wait.order, equations.time_unit
    size = d + count * (1 + order)
    drift, entry = np.zeros((size, size)), np.zeros((size, count))
    drift[:d, :d] = equations.drift_matrix
    for index, (sensor, target) in enumerate(zip(homodyne.index, driven, strict=True)):
        low_pass, momentum = d + index, n + target
        line = slice(d + count + index * order, d + count + (index + 1) * order)
        # What the record drives: the filter, and as a velocity in the unit of the target the delay and its way past.
        velocity = width * equations.unit[sensor] / equations.unit[momentum]
        entry[low_pass, index] = width * time
        entry[line, index] = math.sqrt(time) * wait.entry * velocity
        entry[momentum, index] = -rates[index] * time * wait.direct * velocity
        drift[line, line] = wait.drift * time
        drift[momentum, line] = -rates[index] * time * math.sqrt(time) * wait.exit
        drift[:, sensor] += entry[:, index]
        drift[:, low_pass] -= entry[:, index]
    noise = entry * homodyne.relative_noise @ entry.T
    noise[:d, :d] += equations.noise_covariance
    unit = np.concatenate([equations.unit[homodyne.index], delay_units(equations, wait, driven)])
    labels = named(homodyne, "filter") + delay_labels(equations, wait, homodyne.index)
    result = extended(equations, drift, 0.5 * (noise + noise.T), labels, unit)
    if not result.stability.stable:
        raise UnstableError(
            f"With this feedback the array is {result.stability.sentence}; lower `gain`, shorten `delay`, or widen "
            "`bandwidth`.",
            result.stability.growth_rate,
        )
    return result


def cold_damped_variance(damping_rate: float, diffusion: float, information: float, gain: float) -> float:
    r"""Variance of the position of one oscillator under immediate cold damping of infinite bandwidth.

    .. math::

        \langle z^2\rangle = \frac{2D_\mathrm{tot} + \Gamma^2/8\eta D}{2(\gamma + \Gamma)}

    in quadratures: what heats, and what the loop believes to see. That of the momentum is the same as long as the noise
    of the loop above the resonance is small, :math:`\Gamma^2B \ll 16\eta D\,\Omega^2`.

    Parameters
    ----------
    damping_rate : float
        :math:`\gamma` [1/s].
    diffusion : float
        :math:`D_\mathrm{tot} = D + \gamma k_BT/\hbar\Omega`, recoil and gas, of the dimensionless momentum [1/s].
    information : float
        :math:`\eta D` [1/s].
    gain : float
        :math:`\Gamma` [1/s].

    Returns
    -------
    float
        Variance.

    Raises
    ------
    ScenarioError
        If a number is not positive; damping and gain may be zero, but not both.
    """
    gamma, d, eta_d = _rates(damping_rate, diffusion, information)
    given = float(checks.positive("gain", checks.array("gain", gain, ()), or_zero=True))
    if gamma + given == 0.0:
        raise ScenarioError("`damping_rate` and `gain` must not both be zero: nothing would settle.")
    return (2.0 * d + given**2 / (8.0 * eta_d)) / (2.0 * (gamma + given))


def best_gain(damping_rate: float, diffusion: float, information: float) -> float:
    r"""The gain at which `cold_damped_variance` is least, :math:`\sqrt{\gamma^2 + 16D_\mathrm{tot}\,\eta D} - \gamma`.

    The least variance is this gain over :math:`8\eta D`; without gas it is :math:`1/2\sqrt\eta`, as that of the
    conditional state of an oscillator that is weakly measured.

    Parameters
    ----------
    damping_rate, diffusion, information : float
        As for `cold_damped_variance`.

    Returns
    -------
    float
        :math:`\Gamma` [1/s].

    Raises
    ------
    ScenarioError
        If a number is not positive; the damping may be zero.
    """
    gamma, d, eta_d = _rates(damping_rate, diffusion, information)
    return 16.0 * d * eta_d / (math.sqrt(gamma**2 + 16.0 * d * eta_d) + gamma)


def loop_delay(homodyne: Homodyne, delay: float, band: float | None, tolerance: float, fastest: float) -> Delay:
    """The delay of a loop whose own rates are up to `fastest` [1/s]; see `pade_delay`."""
    equations = homodyne.equations
    checks.positive("delay", checks.array("delay", delay, ()), or_zero=True)
    n = equations.dimension // 2
    frequency = float((equations.unit[n:] / equations.unit[:n]).max())
    return pade_delay(delay, BAND * max(frequency, fastest) if band is None else band, tolerance=tolerance)


def delay_labels(equations: Langevin, delay: Delay, oscillators: Any) -> tuple[Coordinate, ...]:
    """Names of the coordinates of one delay for each of the oscillators."""
    return tuple(equations.coordinate[j]._replace(quantity="delay") for j in oscillators for _ in range(delay.order))


def delay_units(equations: Langevin, delay: Delay, oscillators: Any) -> FloatArray:
    """Their units: what is delayed counts in units of the velocity, and a delay holds it over a time."""
    n = equations.dimension // 2
    unit = equations.unit[n + np.asarray(oscillators)] * math.sqrt(equations.time_unit)
    result: FloatArray = np.repeat(unit, delay.order)
    return result


def _targets(targets: int | Sequence[int] | None, homodyne: Homodyne) -> Any:
    if targets is None:
        return homodyne.index
    last = homodyne.array.n_oscillators - 1
    given = targets if isinstance(targets, Iterable) else [targets]
    result = [checks.integer("targets", j, minimum=0, maximum=last, error=ScenarioError) for j in given]
    if len(result) != len(homodyne.index):
        raise ScenarioError(f"`targets` must name {len(homodyne.index)} oscillators, but names {len(result)}.")
    return np.array(result)


def _rates(damping_rate: float, diffusion: float, information: float) -> tuple[float, float, float]:
    """Three rates, each checked."""
    gamma = float(checks.positive("damping_rate", checks.array("damping_rate", damping_rate, ()), or_zero=True))
    d = float(checks.positive("diffusion", checks.array("diffusion", diffusion, ())))
    return gamma, d, float(checks.positive("information", checks.array("information", information, ())))
