r"""How far an interaction between two particles is from action equals reaction.

Jazayeri et al. give it a number between 0 and 1, with respect to an axis: 0 where the two forces are opposite
(reciprocal), 1/2 where only one particle feels the other (one-way), 1 where the two forces are equal. The number says
nothing of which particle feels the other, nor of how strong the interaction is.

`zeroth` is of the forces, `first` of their derivatives, which decide how coupled oscillators exchange heat. With f the
part of the force that is due to the other particle, both are

.. math::

    \frac{|a + b|}{|a - b| + |a + b|} = \frac{|a + b|}{2 \max(|a|, |b|)},

a of particle A and b of particle B; the second form, equal to the first for real numbers, neither overflows nor loses
digits. Where both are zero the factor is 0: an interaction that does nothing violates nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError


def factor(of_a: Any, of_b: Any) -> FloatArray:
    r"""Non-reciprocity factor of two numbers, one of each particle.

    Parameters
    ----------
    of_a, of_b : (...) float
        The same component of the force on A and on B, or of its derivative with respect to the same coordinate, in
        any unit. They are broadcast against each other.

    Returns
    -------
    (...) float
        Between 0 and 1; 0 where both numbers are zero.

    Raises
    ------
    ScenarioError
        If a number is not finite, or the shapes do not fit.
    """
    a, b = _two("of_a", of_a, "of_b", of_b)
    larger = np.maximum(np.abs(a), np.abs(b))
    scale = np.where(larger > 0.0, larger, 1.0)
    result: FloatArray = 0.5 * np.abs(a / scale + b / scale)
    return result


def zeroth(force_a: Any, force_b: Any, directions: Any = None) -> FloatArray:
    r"""Non-reciprocity factors of order zero, of the forces, along each direction.

    Parameters
    ----------
    force_a, force_b : (..., 3) float
        Force on A due to the presence of B and on B due to the presence of A, in the same unit: what each particle
        feels less what it would feel alone.
    directions : (M, 3) float, optional
        Directions, of any length but zero; the axes x, y, z if not given.

    Returns
    -------
    (..., M) float
        Between 0 and 1, along each direction; 0 where both forces have no component there.

    Raises
    ------
    ScenarioError
        If a number is not finite, a shape does not fit, or a direction is zero.

    References
    ----------
    Jazayeri et al., eq. (1).
    """
    a, b = _two("force_a", force_a, "force_b", force_b, trailing=(3,))
    unit = _unit(directions)
    return factor(a @ unit.T, b @ unit.T)


def first(gradient_a: Any, gradient_b: Any, directions: Any = None) -> FloatArray:
    r"""Non-reciprocity factors of order one, of the derivatives of the forces.

    The derivatives are with respect to the position of one and the same particle, P = A or P = B. Where the forces
    depend on :math:`r_B - r_A` only, the two choices give the same factors. The factor ``[v, w]`` does not follow from
    ``[w, v]``, nor ``[v, v]`` from the factor of order zero.

    Parameters
    ----------
    gradient_a, gradient_b : (..., 3, 3) float
        Element ``[v, w]`` is the derivative of component v of the force on A (on B) with respect to coordinate w of
        particle P, in the same unit.
    directions : (M, 3) float, optional
        Directions, of any length but zero; the axes x, y, z if not given. Both components and displacements are
        taken along them; they need not be perpendicular to each other.

    Returns
    -------
    (..., M, M) float
        Between 0 and 1; element ``[v, w]`` is of the force along direction v under displacements along direction w.

    Raises
    ------
    ScenarioError
        If a number is not finite, a shape does not fit, or a direction is zero.

    References
    ----------
    Jazayeri et al., eq. (2).
    """
    a, b = _two("gradient_a", gradient_a, "gradient_b", gradient_b, trailing=(3, 3))
    unit = _unit(directions)
    return factor(unit @ a @ unit.T, unit @ b @ unit.T)


def _two(
    name_a: str, value_a: Any, name_b: str, value_b: Any, trailing: tuple[int, ...] = ()
) -> tuple[FloatArray, FloatArray]:
    """Both arrays, finite, with the trailing axes and broadcast against each other."""
    a, b = checks.real_numbers(name_a, value_a), checks.real_numbers(name_b, value_b)
    for name, value in ((name_a, a), (name_b, b)):
        if trailing and value.shape[-len(trailing) :] != trailing:
            wanted = ", ".join(map(str, ("...", *trailing)))
            raise ScenarioError(f"`{name}` must have shape ({wanted}), but has shape {value.shape}.")
    try:
        a, b = np.broadcast_arrays(a, b)
    except ValueError:
        raise ScenarioError(
            f"`{name_a}` and `{name_b}` must have shapes that fit each other, but have {a.shape} and {b.shape}."
        ) from None
    return a, b


def _unit(directions: Any) -> FloatArray:
    """Directions of length one."""
    if directions is None:
        return np.eye(3)
    given = checks.real_numbers("directions", directions)
    if given.ndim != 2 or given.shape[1] != 3 or len(given) == 0:
        raise ScenarioError(f"`directions` must have shape (M, 3), but has shape {given.shape}.")
    largest = np.abs(given).max(axis=1, keepdims=True)
    if (largest == 0.0).any():
        row = int(np.argmin(largest))
        raise ScenarioError(f"`directions[{row}]` must not be zero: give a vector along the direction that is meant.")
    scaled = given / largest
    result: FloatArray = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return result
