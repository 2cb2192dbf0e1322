r"""Unit vectors of polarization, perpendicular to a direction of propagation.

All angles are measured in the `transverse_basis` of the direction, from its first vector towards its second. Fields
are complex amplitudes in the time dependence :math:`e^{-i\omega t}`.
"""

from __future__ import annotations

import math

import numpy as np

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError

#: A polarization may have this much along the direction, relative to its length; it is removed.
LARGEST_COMPONENT_ALONG = 1e-6


def unit_direction(direction: FloatArray) -> FloatArray:
    """A direction as a unit vector.

    Parameters
    ----------
    direction : (3,) float
        Any length but zero.

    Returns
    -------
    (3,) float
        Length 1, read-only.

    Raises
    ------
    ScenarioError
        If it is not three finite numbers, or zero.
    """
    vector = checks.array("direction", direction, (3,))
    largest = np.abs(vector).max()
    if largest == 0.0:
        raise ScenarioError("`direction` must not be zero, but is (0, 0, 0): give a vector along the wave.")
    vector = vector / largest  # so that no square overflows or vanishes
    result: FloatArray = vector / np.linalg.norm(vector)
    result.setflags(write=False)
    return result


def unit_polarization(polarization: ComplexArray, direction: FloatArray) -> ComplexArray:
    """A polarization as a unit vector.

    Parameters
    ----------
    polarization : (3,) complex
        Any length but zero, perpendicular to the direction within `LARGEST_COMPONENT_ALONG`.
    direction : (3,) float
        Unit vector.

    Returns
    -------
    (3,) complex
        Length 1, perpendicular to the direction within rounding, read-only.

    Raises
    ------
    ScenarioError
        If it is not three finite numbers, zero, or not perpendicular.
    """
    try:
        vector = np.array(polarization, dtype=np.complex128)
    except (TypeError, ValueError, OverflowError):
        raise ScenarioError(
            f"`polarization` must be three complex numbers, but is {checks.short(polarization)}."
        ) from None
    largest = max(np.abs(checks.array("polarization", part, (3,))).max() for part in (vector.real, vector.imag))
    if largest == 0.0:
        raise ScenarioError("`polarization` must not be zero, but is (0, 0, 0): give the direction of the field.")
    vector = vector / largest
    vector = vector / np.linalg.norm(vector)
    along = complex(direction @ vector)
    if abs(along) > LARGEST_COMPONENT_ALONG:
        raise ScenarioError(
            f"`polarization` must be perpendicular to `direction`, but its component along it is {abs(along):.6g} of "
            "its length: use `linear`, `circular` or `elliptical`."
        )
    vector = vector - along * direction
    result: ComplexArray = vector / np.linalg.norm(vector)
    result.setflags(write=False)
    return result


def transverse_basis(direction: FloatArray) -> FloatArray:
    r"""Two unit vectors perpendicular to a direction n: what the smallest rotation of z to n makes of x and y.

    :math:`(e_1, e_2, n)` is right-handed. For n = z they are x and y. For n = -z no rotation is the smallest; half a
    turn about x is taken, which gives x and -y. With :math:`s = 1 + n_z`,

    .. math:: e_1 = (1 - n_x^2/s,\ -n_x n_y/s,\ -n_x), \qquad e_2 = (-n_x n_y/s,\ 1 - n_y^2/s,\ -n_y).

    Parameters
    ----------
    direction : (3,) float
        n, of any length but zero.

    Returns
    -------
    (2, 3) float
        :math:`e_1` and :math:`e_2`.

    Raises
    ------
    ScenarioError
        If the direction is not three finite numbers, or zero.
    """
    x, y, z = unit_direction(direction)
    across = x**2 + y**2
    if across == 0.0 and z < 0.0:
        return np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    s = 1.0 + z if z > 0.0 else across / (1.0 - z)  # the same number, without cancellation
    return np.array([[1.0 - x * x / s, -x * y / s, -x], [-x * y / s, 1.0 - y * y / s, -y]])


def elliptical(angle: float, ellipticity: float, direction: FloatArray) -> ComplexArray:
    r"""Elliptical polarization, :math:`a \cos\chi + i\, b \sin\chi`.

    a is the major axis, at `angle` from :math:`e_1`, and b = n x a. Positive ellipticity is positive helicity: seen by
    who looks against the light, the field turns counter-clockwise, and the spin of the light is along n.

    Parameters
    ----------
    angle : float
        Of the major axis [rad].
    ellipticity : float
        :math:`\chi` [rad], from :math:`-\pi/4` to :math:`\pi/4`; its tangent is the ratio of the axes.
    direction : (3,) float
        n, of any length but zero.

    Returns
    -------
    (3,) complex
        Unit vector.

    Raises
    ------
    ScenarioError
        If a number is not finite, the direction is zero, or the ellipticity is out of range.
    """
    turn = float(checks.array("angle", angle, ()))
    chi = float(checks.array("ellipticity", ellipticity, ()))
    if abs(chi) > math.pi / 4:
        raise ScenarioError(
            f"`ellipticity` must be between -pi/4 and pi/4, but is {chi:.6g}: beyond, turn the major axis by pi/2."
        )
    first, second = transverse_basis(direction)
    major = math.cos(turn) * first + math.sin(turn) * second
    minor = math.cos(turn) * second - math.sin(turn) * first
    result: ComplexArray = math.cos(chi) * major + 1j * math.sin(chi) * minor
    return result


def linear(angle: float, direction: FloatArray) -> ComplexArray:
    r"""Linear polarization, :math:`e_1 \cos\theta + e_2 \sin\theta`.

    Parameters
    ----------
    angle : float
        :math:`\theta` [rad].
    direction : (3,) float
        Of propagation, of any length but zero.

    Returns
    -------
    (3,) complex
        Unit vector.

    Raises
    ------
    ScenarioError
        If a number is not finite, or the direction is zero.
    """
    return elliptical(angle, 0.0, direction)


def circular(direction: FloatArray, handedness: int) -> ComplexArray:
    r"""Circular polarization, :math:`(e_1 \pm i e_2)/\sqrt{2}`.

    Parameters
    ----------
    direction : (3,) float
        n, of any length but zero.
    handedness : {1, -1}
        Helicity: with 1 the spin of the light is along n (left circular in the older words of optics).

    Returns
    -------
    (3,) complex
        Unit vector.

    Raises
    ------
    ScenarioError
        If the handedness is another number, or the direction is zero or not finite.
    """
    if handedness not in (1, -1):
        raise ScenarioError(f"`handedness` must be 1 or -1, but is {checks.short(handedness)}.")
    return elliptical(0.0, handedness * math.pi / 4, direction)
