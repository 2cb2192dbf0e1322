r"""Where the light scattered between two tweezers makes which effect dominate: regimes and special points of a pair.

Rates and phases are those of `stochbind.optics.pairs`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError

BoolArray = npt.NDArray[np.bool_]


class Regimes(NamedTuple):
    """Which of the effects of the scattered light dominate; more than one may, or none.

    Attributes
    ----------
    reciprocal, directional, antireciprocal, recoil : (...) bool
        The blue, green, orange and violet regions of PRL Fig. 3(a).
    """

    reciprocal: BoolArray
    directional: BoolArray
    antireciprocal: BoolArray
    recoil: BoolArray


class UnidirectionalPoints(NamedTuple):
    """Distances and phases at which one particle drives the other and does not feel it.

    Attributes
    ----------
    distance_phase : (n,) float
        kd, ascending.
    phase : (n,) float
        Phase of the first tweezer less that of the second [rad], from 0 to 2 pi.
    """

    distance_phase: FloatArray
    phase: FloatArray


def exceptional_points(reciprocal: float, antireciprocal: float) -> tuple[float, float]:
    r"""Mechanical detunings at which both modes of a pair become one, :math:`2 g_a \mp 2\sqrt{g_a^2 - g_r^2}`.

    Between them one mode grows and the other decays, by as much. Particle 1 has the frequency
    :math:`\omega - \delta\omega/2`, particle 2 :math:`\omega + \delta\omega/2`.

    Parameters
    ----------
    reciprocal, antireciprocal : float
        g_r and g_a, in any unit.

    Returns
    -------
    float, float
        Detunings, ascending, in that unit; equal where :math:`|g_a| = |g_r|`.

    Raises
    ------
    ScenarioError
        If the coupling is mostly reciprocal: there are no such points then.

    References
    ----------
    PRL, eqs. (11) and (12).
    """
    g_r = float(checks.array("reciprocal", reciprocal, ()))
    g_a = float(checks.array("antireciprocal", antireciprocal, ()))
    if abs(g_a) < abs(g_r):
        raise ScenarioError(
            f"`antireciprocal` must be at least as large as `reciprocal` for exceptional points to exist, but they are "
            f"{g_a:.6g} and {g_r:.6g}."
        )
    half = 2.0 * math.sqrt((g_a - g_r) * (g_a + g_r))
    return 2.0 * g_a - half, 2.0 * g_a + half


def unidirectional_points(largest: float, *, driven: int = 1) -> UnidirectionalPoints:
    r"""All distances and phases at which :math:`C_{12} = C > 0` and :math:`C_{21} = 0`, or the other way round.

    In the far field :math:`C_{12} = C \cos(kd - \varphi)` and :math:`C_{21} = C \cos(kd + \varphi)`, so that particle 1
    is driven where :math:`kd = \pi/4 + j\pi/2` and :math:`\varphi = kd` up to whole turns, particle 2 at the opposite
    phases. Half a turn more changes the sign of the coupling. There
    :math:`D_{12} = \tfrac12 \hbar C \sin(kd)\, e^{i\varphi}`, which is :math:`(1 + i) \hbar C/4` at
    :math:`kd = \varphi = \pi/4`.

    Parameters
    ----------
    largest : float
        Points up to this kd are listed.
    driven : int
        1 or 2, the particle that feels the other.

    Returns
    -------
    UnidirectionalPoints
        Distances and phases.

    Raises
    ------
    ScenarioError
        If `largest` is below pi/4, or `driven` is neither 1 nor 2.

    References
    ----------
    PRA, eqs. (91)-(93), where the first of these points is given.
    """
    driven = checks.integer("driven", driven, minimum=1, maximum=2, error=ScenarioError)
    limit = float(checks.array("largest", largest, ()))
    if limit < 0.25 * math.pi:
        raise ScenarioError(f"`largest` must be at least pi/4, where the first of the points is, but is {limit:.6g}.")
    odd = 2 * np.arange(math.floor(2.0 * limit / math.pi - 0.5) + 1) + 1
    turned = odd % 8  # the phase in units of pi/4, whole, so that full turns are taken off without rounding
    phase = turned if driven == 1 else 8 - turned
    unit = np.float64(0.25 * math.pi)
    return UnidirectionalPoints(unit * odd, unit * phase)


def regimes(reciprocal: Any, antireciprocal: Any, recoil_correlation: Any) -> Regimes:
    r"""Regimes of optical binding.

    * reciprocal: :math:`|g_r| > |g_a|` and :math:`|g_r| > |\mathrm{Re} D_{12}|`;
    * directional: one of :math:`|g_r \pm g_a|` is more than twice the other;
    * antireciprocal: :math:`|g_a| > |g_r|` and :math:`|g_a| > |\mathrm{Re} D_{12}|`;
    * recoil: :math:`|\mathrm{Re} D_{12}| > 2 \max |g_r \pm g_a|`.

    These are no partition. Of the plane of phase and distance the four take 37.5 %, 41.7 %, 37.5 % and 4.7 %; the
    second overlaps each of the first and the third in 13.0 % and the fourth in 2.4 %, and 6.9 % belong to none. The
    point called maximally unidirectional, where all three rates are equal, lies on the border of the first and the
    third, in neither of them.

    Parameters
    ----------
    reciprocal, antireciprocal : (...) float
        g_r and g_a.
    recoil_correlation : (...) float or complex
        D12, of which the real part counts.

    Returns
    -------
    Regimes
        Four flags.

    Raises
    ------
    ScenarioError
        If a number is not finite.

    References
    ----------
    PRL, Fig. 3(a).
    """
    signed_r, signed_a = (
        checks.real_numbers("reciprocal", reciprocal),
        checks.real_numbers("antireciprocal", antireciprocal),
    )
    recoil = np.abs(checks.real_numbers("recoil_correlation", np.real(recoil_correlation)))
    g_r, g_a = np.abs(signed_r), np.abs(signed_a)
    on_first, on_second = np.abs(signed_r + signed_a), np.abs(signed_r - signed_a)
    return Regimes(
        np.asarray((g_r > g_a) & (g_r > recoil)),
        np.asarray((on_first > 2.0 * on_second) | (on_second > 2.0 * on_first)),
        np.asarray((g_a > g_r) & (g_a > recoil)),
        np.asarray(recoil > 2.0 * np.maximum(on_first, on_second)),
    )
