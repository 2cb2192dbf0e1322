r"""Traps that are not harmonic: cubic springs, Gaussian wells, pendulums.

The equations already hold the stiffness of each trap at its centre. Each field here is the remainder: the whole force
plus stiffness times displacement.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.elementary import cos_sin
from stochbind.forces import Force


def duffing_force(x: Any, p: Any) -> Any:
    """Scalar function of `duffing`: ``p = (cubic_stiffness,)``."""
    return -p[0] * (x * x * x)


def gaussian_trap_force(x: Any, p: Any) -> Any:
    """Scalar function of `gaussian_trap`: ``p = (stiffness, 1/length)``."""
    s = x * p[1]
    s = s * s
    whole = 1.0 + s
    return p[0] * x * (s * (2.0 + s)) / (whole * whole)


def pendulum_force(x: Any, p: Any) -> Any:
    """Scalar function of `pendulum`: ``p = (stiffness, length, 1/length)``."""
    angle = x * p[2]
    _, sine = cos_sin(angle)
    return p[0] * p[1] * (angle - sine)


def duffing(cubic_stiffness: FloatArray) -> Force:
    r"""Cubic springs, :math:`F = -\beta x^3`.

    Parameters
    ----------
    cubic_stiffness : (N,) float
        :math:`\beta` [N/m^3]; positive makes the trap stiffer with amplitude.

    Returns
    -------
    Force
        Acts on the particles whose cubic stiffness is not zero.

    Raises
    ------
    ScenarioError
        If the shape is wrong or a number is not finite.
    """
    beta = checks.array("cubic_stiffness", cubic_stiffness, ("N",))
    return Force(function=duffing_force, parameters=beta[:, None], active=beta != 0)


def gaussian_trap(stiffness: FloatArray, length: FloatArray, active: npt.NDArray[np.bool_] | None = None) -> Force:
    r"""What a Gaussian trap lacks of a harmonic one.

    The whole force is :math:`-u x/(1 + x^2/l^2)^2`, that of a Gaussian tweezer along its beam, with the potential
    :math:`-(u l^2/2)/(1 + x^2/l^2)`. The remainder is :math:`u x\, s (2 + s)/(1 + s)^2` with :math:`s = x^2/l^2`, in
    which nothing cancels.

    Parameters
    ----------
    stiffness : (N,) float
        u: stiffness of the trap at its centre, as held by the linear equations [N/m].
    length : (N,) float
        l [m]; the Rayleigh range, for a tweezer.
    active : (N,) bool, optional
        Which particles have such a trap; by default all.

    Returns
    -------
    Force
        The remainder.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or a length is not positive.
    """
    u, wide = _trap(stiffness, length)
    return Force(function=gaussian_trap_force, parameters=np.stack([u, 1.0 / wide], axis=1), active=active)


def pendulum(stiffness: FloatArray, length: FloatArray, active: npt.NDArray[np.bool_] | None = None) -> Force:
    r"""What a pendulum, or a particle in a standing wave, lacks of a harmonic trap.

    The whole force is :math:`-u\,l \sin(x/l)`; the remainder is :math:`u\,l\,(x/l - \sin(x/l))`. The two terms cancel
    for small x: the error of the remainder is about 1e-16 of :math:`u x`, so that the whole force keeps all digits.

    Parameters
    ----------
    stiffness : (N,) float
        u: stiffness at the centre, as held by the linear equations [N/m].
    length : (N,) float
        l [m]: displacement per radian; 1/2k in a standing wave of wave number k.
    active : (N,) bool, optional
        Which particles have such a trap; by default all.

    Returns
    -------
    Force
        The remainder. Right up to 1e6 radians from the centre.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or a length is not positive.
    """
    u, wide = _trap(stiffness, length)
    return Force(function=pendulum_force, parameters=np.stack([u, wide, 1.0 / wide], axis=1), active=active)


def _trap(stiffness: FloatArray, length: FloatArray) -> tuple[FloatArray, FloatArray]:
    u = checks.array("stiffness", stiffness, ("N",))
    return u, checks.positive("length", checks.array("length", length, (len(u),)))
