r"""Optical binding with a running phase: two-mode squeezing, and the recoil that goes with it.

If the phase between two tweezers runs at twice the mechanical frequency, :math:`\varphi = 2\omega t + \varphi_0`, the
binding creates and destroys quanta in pairs. In the frame that rotates at :math:`\omega`, with
:math:`g = G/kd` and averaged over a turn,

.. math::

    \dot a_1 = \tfrac i2 g e^{i(kd - \varphi_0)}(a_2^\dagger - a_1^\dagger), \qquad
    \dot a_2 = \tfrac i2 g e^{-i(kd + \varphi_0)}(a_1^\dagger - a_2^\dagger),

which for :math:`a_- = (a_2 - a_1)/\sqrt2` and :math:`\varphi_0 = 0` is
:math:`H/\hbar = \tfrac12 g\cos kd\,(a_-^2 + \mathrm{h.c.})`, while
:math:`a_+ = (a_1 + a_2)/\sqrt2` follows :math:`a_-` by :math:`\dot a_+ = -g\sin kd\,a_-^\dagger`. PRL stands for Phys.
Rev. Lett. 133, 233603 (2024); the Hamiltonian is its eq. (13), the second equation, where :math:`\sin kd` is not zero,
is not there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.langevin import Langevin
from stochbind.optics.pairs import far_field_rates
from stochbind.protocols import Protocol
from stochbind.quantum.master_equation import Generator, equations_of_motion, pair_generator
from stochbind.quantum.squeezing import VACUUM
from stochbind.quantum.symplectic import covariance_stack

#: Pieces of a period: the error of the midpoint rule is then about 1e-3 of the effect of the binding.
PIECES = 64


class SqueezedPair(NamedTuple):
    """Variances of the difference mode, in the frame that rotates.

    Attributes
    ----------
    squeezed, antisqueezed : (...) float
        Of the quadrature that decays, and of the one that grows.
    """

    squeezed: FloatArray
    antisqueezed: FloatArray


def running_phase(
    distance_phase: float,
    strength: float,
    recoil: Any,
    frequency: float,
    *,
    phase: float = 0.0,
    phase_rate: float | None = None,
    damping: float = 0.0,
    occupation: float = 0.0,
    n_pieces: int = PIECES,
    unit: Any = None,
    reduced: bool = True,
) -> Protocol:
    r"""Two particles between whose tweezers the phase runs: all that the light does changes with it.

    Couplings, stiffnesses and correlated recoil are those of the far field at every moment; nothing is averaged.

    Parameters
    ----------
    distance_phase, strength : float
        kd and G [1/s], or in units of any rate.
    recoil : float or (2,) float
        D11 and D22, in the same unit.
    frequency : float
        :math:`\omega` of both particles alone.
    phase : float
        :math:`\varphi_0` [rad].
    phase_rate : float, optional
        :math:`\dot\varphi`, positive; :math:`2\omega` by default.
    damping, occupation : float
        :math:`\gamma` of the gas, and its quanta.
    n_pieces : int
        Pieces of a turn, in each of which the rates are those of its middle.
    unit, reduced
        As for `stochbind.quantum.master_equation.equations_of_motion`.

    Returns
    -------
    Protocol
        Periodic, of the quadratures z1, z2, p1, p2.

    Raises
    ------
    ScenarioError
        If a rate, frequency or kd is impossible.

    References
    ----------
    PRL, eqs. (6)-(9), with the phase of the text at eq. (13).
    """
    omega = float(checks.positive("frequency", checks.array("frequency", frequency, ())))
    rate = 2.0 * omega if phase_rate is None else phase_rate
    rate = float(checks.positive("phase_rate", checks.array("phase_rate", rate, ())))
    start = float(checks.array("phase", phase, ()))

    def at(time: float) -> Langevin:
        rates = far_field_rates(distance_phase, start + rate * time, strength, recoil)
        equation = pair_generator(rates, omega, damping=damping, occupation=occupation)
        return equations_of_motion(equation, unit=unit, reduced=reduced)

    return Protocol.sampled(at, 2.0 * math.pi / rate, n_pieces, periodic=True)


def rotating_frame(
    distance_phase: float,
    strength: float,
    recoil: Any,
    *,
    phase: float = 0.0,
    damping: float = 0.0,
    occupation: float = 0.0,
) -> Generator:
    r"""The same in the frame that rotates at the frequency, averaged over a turn of the phase :math:`2\omega t`.

    The noise is :math:`D_{jj}` in every quadrature. The correlated recoil oscillates too, and leaves
    :math:`\langle\xi_1\xi_2\rangle = -\tfrac12g\sin kd\,e^{-i\varphi_0}`. Relative errors are of the order of the rates
    over :math:`\omega`.

    Parameters
    ----------
    distance_phase, strength : float
        kd and G [1/s], or in units of any rate.
    recoil : float or (2,) float
        D11 and D22, in the same unit.
    phase : float
        :math:`\varphi_0` [rad].
    damping, occupation : float
        :math:`\gamma` of the gas, and its quanta.

    Returns
    -------
    Generator
        Of the quadratures z1, z2, p1, p2 in the rotating frame; see `to_rotating_frame`.

    Raises
    ------
    ScenarioError
        If a rate or kd is impossible.
    """
    rates = far_field_rates(float(checks.array("distance_phase", distance_phase, ())), 0.0, strength, recoil)
    start, gamma, quanta = (
        float(checks.array(name, value, ()))
        for name, value in (("phase", phase), ("damping", damping), ("occupation", occupation))
    )
    checks.positive("damping", np.asarray(gamma), or_zero=True)
    checks.positive("occupation", np.asarray(quanta), or_zero=True)
    g = float(strength) / float(distance_phase)
    turned = np.exp(1j * (np.array([1.0, -1.0]) * distance_phase - start))
    pump = 0.5j * g * turned[:, None] * np.array([[-1.0, 1.0], [1.0, -1.0]])
    pair = -0.5 * float(rates.recoil_correlation.real) * np.exp(-1j * start) * np.array([[0.0, 1.0], [1.0, 0.0]])
    own = np.diag(rates.recoil + gamma * (quanta + 0.5))
    loss = 0.5 * gamma * np.eye(2)
    return Generator(
        np.block([[pump.real - loss, pump.imag], [pump.imag, -pump.real - loss]]),
        np.block([[own + pair.real, pair.imag], [pair.imag, own - pair.real]]),
    )


def to_rotating_frame(covariance: Any, angle: Any) -> FloatArray:
    r"""Covariances in the frame that has turned by an angle :math:`\omega t`: of :math:`ae^{i\omega t}`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances of quadratures at rest.
    angle : (...) float
        :math:`\omega t` [rad].

    Returns
    -------
    (..., 2N, 2N) float
        Covariances of turned quadratures.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or a covariance is not symmetric.
    """
    whole = covariance_stack("covariance", covariance)
    theta = checks.real_numbers("angle", angle)[..., None, None]
    one = np.eye(whole.shape[-1] // 2)
    turn = np.kron(np.eye(2), one) * np.cos(theta) + np.kron(np.array([[0.0, -1.0], [1.0, 0.0]]), one) * np.sin(theta)
    return np.asarray(turn @ whole @ np.swapaxes(turn, -1, -2))


def squeezed_pair(
    distance_phase: Any, strength: Any, recoil: Any, time: Any, *, damping: Any = 0.0, occupation: Any = 0.0
) -> SqueezedPair:
    r"""Variances of the difference mode after a time from the ground state, in closed form.

    With :math:`s = g|\cos kd|` and :math:`M = D_{11} + \gamma(n + \tfrac12)`, one quadrature goes as

    .. math:: V = \frac{M}{2s + \gamma} + \left(\frac12 - \frac{M}{2s + \gamma}\right)e^{-(2s + \gamma)t}

    and the other with :math:`-s` in place of :math:`s`. Without gas the limit is :math:`D_{11}/2s`: below the vacuum
    only if the recoil is below the coupling. Within a turn of the phase the variance swings by a part of about
    :math:`1.3g/\omega`, which the rotating frame averages out. Where :math:`\sin kd` is not zero, the correlated recoil
    tilts the ellipse of noise, and quadratures between the two may be quieter; `squeezing_threshold` counts them.

    Parameters
    ----------
    distance_phase, strength : (...) float
        kd and G [1/s], or in units of any rate.
    recoil : (...) float
        D11 of each particle.
    time : (...) float
        t; may be infinite.
    damping, occupation : (...) float
        :math:`\gamma` of the gas, and its quanta.

    Returns
    -------
    SqueezedPair
        Both variances, in the rotating-wave approximation.

    Raises
    ------
    ScenarioError
        If kd is not positive, a rate or time is negative, or a number is not finite.

    References
    ----------
    PRL, text at eq. (13).
    """
    kd = checks.positive("distance_phase", checks.real_numbers("distance_phase", distance_phase))
    g, heating, gamma, quanta = (
        checks.positive(name, checks.real_numbers(name, value), or_zero=True)
        for name, value in (
            ("strength", strength),
            ("recoil", recoil),
            ("damping", damping),
            ("occupation", occupation),
        )
    )
    elapsed = np.asarray(time, dtype=np.float64)
    checks.positive("time", checks.real_numbers("time", np.where(np.isposinf(elapsed), 0.0, elapsed)), or_zero=True)
    pump = 2.0 * g / kd * np.abs(np.cos(kd))
    noise = heating + gamma * (quanta + 0.5)
    return SqueezedPair(_variance(gamma + pump, noise, elapsed), _variance(gamma - pump, noise, elapsed))


def squeezing_threshold(distance_phase: Any, strength: Any) -> FloatArray:
    r"""Recoil from which on a running phase squeezes nothing of the ground state, :math:`g\sqrt{(1+|\cos kd|)/2}`.

    In the rotating-wave approximation, and of all quadratures: for the one of the difference mode that decays,
    :math:`g|\cos kd|` is enough. It is never above g. Beyond the approximation there is squeezing of the order of
    :math:`g/\omega` at any recoil, for a part of a period, since any change of a trap squeezes a little.

    Parameters
    ----------
    distance_phase, strength : (...) float
        kd and G [1/s], or in units of any rate.

    Returns
    -------
    (...) float
        Of D11 = D22, in the unit of G.

    Raises
    ------
    ScenarioError
        If kd is not positive or a number is not finite.
    """
    kd = checks.positive("distance_phase", checks.real_numbers("distance_phase", distance_phase))
    g = checks.real_numbers("strength", strength) / kd
    result: FloatArray = np.abs(g) * np.sqrt(0.5 * (1.0 + np.abs(np.cos(kd))))
    return result


def _variance(rate: FloatArray, noise: FloatArray, time: FloatArray) -> FloatArray:
    """Variance that starts from the vacuum and goes as dV = -rate V + noise."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        left = VACUUM * np.where(rate == 0.0, 1.0, np.exp(-rate * time))
        added = np.where(rate == 0.0, noise * time, -noise * np.expm1(-rate * time) / rate)
    return np.asarray(left + np.where(noise == 0.0, 0.0, added))
