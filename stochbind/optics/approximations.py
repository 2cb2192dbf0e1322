"""How wrong is the approximation here? Each way to follow the light, compared with the self-consistent one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import recoil
from stochbind.optics.trapped import TrappedDipoles

#: Couplings below this, relative to the stiffness that holds the particles, do not matter.
NO_COUPLING = 1e-6
#: The approximations, from the roughest to the self-consistent solution.
APPROXIMATIONS = ("far_field", "single", "one_event", "multiple")


class Deviation(NamedTuple):
    """Errors of one approximation.

    Attributes
    ----------
    binding_force : float
        Of what the other particles add to the force on each, over `strength` or the largest of these forces.
    coupling : float
        Of the Jacobian between different particles, over k times `strength` or the largest of these couplings.
    stiffness : float
        Of the light's Jacobian of each particle, the others held fixed, over the same or the largest of these.
    diffusion : float
        Of the momentum diffusion by photons scattered, over the largest of all particles.
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
    reference = in_approximation(array, "multiple")
    best = _of(reference, position, free)
    k, force = array.parts[0].light.wavenumber, strength(reference, position)
    whole = float(np.abs(np.diagonal(reference.jacobian(position))).max())
    coupling = max(k * force, NO_COUPLING * whole)
    strong = (coupling / k, coupling, coupling, 0.0)
    scale = [max(size, float(np.abs(part).max())) for size, part in zip(strong, best, strict=True)]
    result = {}
    for name in APPROXIMATIONS[:-1]:
        found = _of(in_approximation(array, name), position, free)
        errors = [float(np.abs(a - b).max()) for a, b in zip(found, best, strict=True)]
        result[name] = Deviation(*(e / size if size > 0.0 else 0.0 for e, size in zip(errors, scale, strict=True)))
    return result


def strength(array: TrappedDipoles, position: FloatArray) -> float:
    r"""Largest force that two of the particles could make on each other, whatever their phases and directions.

    .. math::

        \max_{j \ne k} \frac{\varepsilon_0 k^3}{8\pi d_{jk}} \sum |\Pi_j| |\Pi_k|,

    the sum being over lasers that do not interfere. It is what errors of a far field are measured by: the forces
    themselves vanish at some phases and distances, and so do couplings along some axes.

    Parameters
    ----------
    array : TrappedDipoles
        Two particles or more, and their light.
    position : (N, 3) float
        Where they are [m].

    Returns
    -------
    float
        [N].

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    j, k = np.triu_indices(array.n_particles, 1)
    product = np.zeros(len(j))
    for part in array.parts:
        size = np.linalg.norm(part.solve(position).dipole, axis=-1)
        product += size[j] * size[k]
    distance, _ = array.parts[0].distances(np.asarray(position, np.float64))
    wavenumber = array.parts[0].light.wavenumber
    return float((constants.epsilon_0 * wavenumber**3 * product / (8.0 * np.pi * distance)).max())


def _of(array: TrappedDipoles, position: FloatArray, free: npt.NDArray[np.bool_]) -> _Found:
    chosen = np.flatnonzero(free.ravel())
    block = np.ix_(chosen, chosen)
    owner = chosen // 3
    same = owner[:, None] == owner[None, :]
    light = TrappedDipoles(parts=array.parts)
    jacobian = light.jacobian(position)[block]
    # What the far field would refuse is compared all the same.
    diffusion = sum(recoil.scattering_diffusion(part, position) for part in array.parts)
    return _Found(
        light.binding(position).force.ravel()[chosen],
        np.where(same, 0.0, jacobian),
        np.where(same, jacobian, 0.0),
        np.asarray(diffusion)[block],
    )
