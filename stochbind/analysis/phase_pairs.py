r"""Modes of two optically bound particles in closed form, for any number of them at once.

Particle 1 has the frequency :math:`\omega - \delta\omega/2`, particle 2 :math:`\omega + \delta\omega/2`, both the
damping rate :math:`\gamma`. PRL stands for Phys. Rev. Lett. 133, 233603 (2024).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
#: What the codes of `PairDiagram.phase` mean.
PAIR_PHASES = ("unbroken, reciprocal", "unbroken, antireciprocal", "broken")


class PairDiagram(NamedTuple):
    r"""Modes of pairs.

    Attributes
    ----------
    eigenfrequency : (..., 2) complex
        :math:`\omega_\pm`, less :math:`\omega + g_r`: a mode goes as :math:`e^{-i\omega_\pm t}`.
    growth_rate : (...) float
        Of the amplitude of the mode that grows fastest, or decays slowest: the largest imaginary part of
        :math:`\omega_\pm`.
    unstable : (...) bool
        Whether a mode grows.
    phase : (...) int
        0 and 1 where both modes are damped alike, with :math:`|g_a| \le |g_r|` or not; 2 where PT symmetry is broken.
        The names are `PAIR_PHASES`.
    """

    eigenfrequency: ComplexArray
    growth_rate: FloatArray
    unstable: BoolArray
    phase: IntArray


def pair_diagram(
    reciprocal: Any, antireciprocal: Any, detuning: Any = 0.0, damping: Any = 0.0, *, frequency: Any = None
) -> PairDiagram:
    r"""Modes of pairs, in the rotating frame or from the full drift.

    In the frame that rotates at :math:`\omega + g_r`,

    .. math:: \omega_\pm = \pm\tfrac12\sqrt{\delta\omega^2 + 4g_r^2 - 4g_a\delta\omega} - \tfrac i2\gamma .

    PT symmetry is broken where the root is imaginary, between the exceptional points
    :math:`\delta\omega = 2g_a \mp 2\sqrt{g_a^2 - g_r^2}`. With a `frequency` the modes are those of

    .. math::

        \ddot z_1 = -\omega_1(\omega_1 + 2g_+) z_1 + 2\omega_1 g_+ z_2 - \gamma\dot z_1, \qquad
        \ddot z_2 = -\omega_2(\omega_2 + 2g_-) z_2 + 2\omega_2 g_- z_1 - \gamma\dot z_2

    with :math:`g_\pm = g_r \pm g_a` and :math:`\omega_{1,2} = \omega \mp \delta\omega/2`, from which the rotating frame
    leaves out what turns at twice the frequency.

    Parameters
    ----------
    reciprocal, antireciprocal, detuning, damping : (...) float
        :math:`g_r`, :math:`g_a`, :math:`\delta\omega` and :math:`\gamma`, the decay rate of energies, in any one unit.
    frequency : (...) float, optional
        :math:`\omega` in that unit, for the full drift.

    Returns
    -------
    PairDiagram
        Of the shape to which all broadcast.

    Raises
    ------
    ScenarioError
        If a number is not finite, a damping rate is negative, shapes do not go together, or a particle has no positive
        frequency.

    References
    ----------
    PRL, eqs. (9)-(12) and Fig. 3(b).
    """
    given = {"reciprocal": reciprocal, "antireciprocal": antireciprocal, "detuning": detuning, "damping": damping}
    if frequency is not None:
        given["frequency"] = frequency
    number = {name: checks.real_numbers(name, value) for name, value in given.items()}
    checks.positive("damping", number["damping"], or_zero=True)
    try:
        g_r, g_a, delta, gamma, *carrier = np.broadcast_arrays(*number.values())
    except ValueError:
        shapes = ", ".join(f"`{name}` {value.shape}" for name, value in number.items())
        raise ScenarioError(f"The shapes of the rates must go together, but are {shapes}.") from None
    squared = delta**2 + 4.0 * g_r**2 - 4.0 * g_a * delta
    if carrier:
        omega, squared = _full_drift(g_r, g_a, delta, gamma, carrier[0])
    else:
        half = 0.5 * np.sqrt(squared.astype(np.complex128))
        omega = np.stack([half, -half], axis=-1) - 0.5j * gamma[..., None]
    growth = omega.imag.max(axis=-1)
    phase = np.where(squared < 0.0, 2, np.where(np.abs(g_a) > np.abs(g_r), 1, 0))
    return PairDiagram(omega, growth, np.asarray(growth > 0.0), phase)


def _full_drift(
    g_r: FloatArray, g_a: FloatArray, delta: FloatArray, gamma: FloatArray, omega: FloatArray
) -> tuple[ComplexArray, FloatArray]:
    """Both frequencies without the rotating-wave approximation, and the discriminant of the force matrix."""
    first = checks.positive("frequency less half the detuning", omega - 0.5 * delta)
    second = checks.positive("frequency plus half the detuning", omega + 0.5 * delta)
    plus, minus = g_r + g_a, g_r - g_a
    mean = 0.5 * (first * (first + 2.0 * plus) + second * (second + 2.0 * minus))
    # Half the difference of the diagonal elements, without that of large numbers.
    half = -omega * delta + first * plus - second * minus
    squared = half**2 + 4.0 * first * second * plus * minus
    root = np.sqrt(squared.astype(np.complex128))
    eigenvalue = np.stack([mean + root, mean - root], axis=-1)
    # Of each pair of roots that with the positive frequency; where none oscillates, the one that decays slower.
    value = np.sqrt(eigenvalue - 0.25 * gamma[..., None] ** 2)
    return value - 0.5j * gamma[..., None] - (omega + g_r)[..., None], squared
