"""How wrong is the approximation here? Each way to follow the light, compared with the self-consistent one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import recoil
from stochbind.optics.trapped import TrappedDipoles

#: The approximations, from the roughest to the self-consistent solution.
APPROXIMATIONS = ("far_field", "single", "one_event", "multiple")


class Deviation(NamedTuple):
    """Errors of one approximation, each relative to the largest element of the self-consistent solution.

    Attributes
    ----------
    binding_force : float
        Of what the other particles add to the force on each.
    coupling : float
        Of the Jacobian between different particles.
    stiffness : float
        Of the Jacobian of each particle, the others held fixed, relative to the largest of these.
    diffusion : float
        Of the momentum diffusion between different particles and of each.
    """

    binding_force: float
    coupling: float
    stiffness: float
    diffusion: float


class _Found(NamedTuple):
    binding_force: FloatArray
    coupling: FloatArray
    stiffness: FloatArray
    diffusion: ComplexArray


def in_approximation(array: TrappedDipoles, name: str) -> TrappedDipoles:
    """The same particles and light, with the light followed by one of `APPROXIMATIONS`."""
    scattering: Any = "single" if name == "far_field" else name
    parts = tuple(replace(part, scattering=scattering, far_field=name == "far_field") for part in array.parts)
    return replace(array, parts=parts)


def deviations(
    array: TrappedDipoles, position: FloatArray, moves: npt.NDArray[np.bool_] | None = None
) -> dict[str, Deviation]:
    """Errors of all approximations at one place, beside the self-consistent solution.

    Where particles touch no far field, the error can be large; it says nothing about what dipoles leave out, for which
    see `stochbind.optics.particles.neglected_multipoles`.

    Parameters
    ----------
    array : TrappedDipoles
        The particles and their light, in any approximation.
    position : (N, 3) float
        Where they are [m].
    moves : (N, 3) bool, optional
        The coordinates to compare; by default all.

    Returns
    -------
    dict of str to Deviation
        For "far_field", "single" and "one_event". Empty for one particle, for which they are all the same.

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    n = array.n_particles
    if n == 1:
        return {}
    free = np.ones((n, 3), bool) if moves is None else np.asarray(moves, bool)
    best = _of(in_approximation(array, "multiple"), position, free)
    result = {}
    for name in APPROXIMATIONS[:-1]:
        found = _of(in_approximation(array, name), position, free)
        result[name] = Deviation(*(_error(a, b) for a, b in zip(found, best, strict=True)))
    return result


def _error(found: npt.NDArray[Any], best: npt.NDArray[Any]) -> float:
    largest = float(np.abs(best).max(initial=0.0))
    return float(np.abs(found - best).max(initial=0.0)) / largest if largest > 0.0 else 0.0


def _of(array: TrappedDipoles, position: FloatArray, free: npt.NDArray[np.bool_]) -> _Found:
    chosen = np.flatnonzero(free.ravel())
    block = np.ix_(chosen, chosen)
    owner = chosen // 3
    same = owner[:, None] == owner[None, :]
    binding = array.binding(position)
    jacobian = array.jacobian(position)[block]
    # What the far field would refuse is compared all the same.
    diffusion = sum(recoil.scattering_diffusion(part, position) for part in array.parts)
    return _Found(
        binding.force.ravel()[chosen],
        np.where(same, 0.0, jacobian),
        np.where(same, jacobian, 0.0),
        np.asarray(diffusion)[block],
    )
