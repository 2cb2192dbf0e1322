r"""Where the light goes: the field that particles scatter, at any point and far away.

Fields are six-vectors :math:`(E, \eta H)` and dipoles :math:`\Pi = (P, M)`, as in `stochbind.optics.interaction`. Far
away, along the unit vector n, the electric field scattered is :math:`F(n)\, e^{ikr}/r` with the amplitude

.. math::

    F(n) = \frac{k^2}{4\pi} \sum_j \left[P_j - n (n \cdot P_j) - n \times M_j\right] e^{-ik n\cdot r_j},

and the power scattered into a solid angle is :math:`dP/d\Omega = \tfrac12 \varepsilon_0 c\, |F|^2`. For a plane wave of
intensity I the differential cross section is that over I.

The dipoles are those whose field acts on the other particles: of an array with multiple scattering, the self-consistent
ones; in the other approximations, those that the light alone induces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import constants
from scipy.spatial.distance import cdist

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import interaction
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles

#: Pairs of points and particles that are worked on at once.
PAIRS_AT_ONCE = 2**16
#: Intensity of a plane wave over the square of its amplitude [W/V^2].
INTENSITY_OF_SQUARE = 0.5 * constants.epsilon_0 * constants.c


def particle_at(points: Any, position: Any, radius: Any) -> npt.NDArray[np.int64]:
    """The particle inside of which each point lies.

    Parameters
    ----------
    points : (M, 3) float
        [m].
    position : (N, 3) float
        Centres of the particles [m].
    radius : (N,) float
        Radii [m]; a particle of radius zero is its centre.

    Returns
    -------
    (M,) int
        Number of the particle, the nearest one if there are several; -1 outside of all.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    """
    where, place = checks.array("points", points, ("M", 3)), checks.array("position", position, ("N", 3))
    size = checks.positive("radius", checks.array("radius", radius, (len(place),)), or_zero=True)
    result = np.full(len(where), -1)
    for block in _blocks(len(where), len(place)):
        distance = cdist(where[block], place)
        inside = distance <= size
        nearest = np.where(inside, distance, np.inf).argmin(axis=1)
        result[block] = np.where(inside.any(axis=1), nearest, -1)
    return result


def scattered_field(dipoles: Dipoles, position: Any, points: Any) -> ComplexArray:
    r"""Field of all particles at any points outside of them, in the approximation of the array.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Places of the particles [m].
    points : (M, 3) float
        Where the field is wanted [m].

    Returns
    -------
    (M, 6) complex
        :math:`(E, \eta H)` [V/m].

    Raises
    ------
    ScenarioError
        If a point is inside of a particle, or particles overlap.
    """
    place, where = dipoles.checked_array(np.asarray(position)), checks.array("points", points, ("M", 3))
    _refuse_inside(where, place, np.asarray(dipoles.radius))
    source = _six(dipoles.solve(place).source)
    k = dipoles.light.wavenumber
    result = np.zeros((len(where), 6), dtype=np.complex128)
    for block in _blocks(len(where), len(place)):
        separation = where[block, None, :] - place
        result[block] = interaction.field(separation, dipoles.radial(separation, 2), source, k).sum(axis=1)
    return result


def total_field(dipoles: Dipoles, position: Any, points: Any) -> ComplexArray:
    """The light and what the particles scatter of it, together; parameters, shape and errors of `scattered_field`."""
    result = scattered_field(dipoles, position, points)
    where = checks.array("points", points, ("M", 3))
    for block in _blocks(len(where), 16):  # the light comes with 78 numbers at each point
        result[block] += dipoles.light.at(where[block]).value
    return result


def intensity(array: TrappedDipoles, position: Any, points: Any) -> FloatArray:
    r"""Electric field squared, as the intensity of a plane wave of that field, :math:`\varepsilon_0 c |E|^2/2`.

    Where several waves cross, and close to particles, it is no flux of energy; a small particle that absorbs is heated
    in proportion to it, and drawn to where it is large. Lasers that do not interfere add up.

    Parameters
    ----------
    array : TrappedDipoles
        The particles and their light.
    position : (N, 3) float
        Places of the particles [m].
    points : (M, 3) float
        Where it is wanted [m].

    Returns
    -------
    (M,) float
        [W/m^2].

    Raises
    ------
    ScenarioError
        If a point is inside of a particle, or particles overlap.
    """
    square = sum((np.abs(total_field(part, position, points)[:, :3]) ** 2).sum(axis=1) for part in array.parts)
    return np.asarray(INTENSITY_OF_SQUARE * square)


def far_amplitude(dipoles: Dipoles, position: Any, directions: Any) -> ComplexArray:
    """Amplitude F of the electric field scattered far away.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Places of the particles [m].
    directions : (M, 3) float
        n, of any length but zero.

    Returns
    -------
    (M, 3) complex
        F [V], perpendicular to n; phases are relative to the origin of the coordinates.

    Raises
    ------
    ScenarioError
        If a direction is zero, or particles overlap.
    """
    place, unit = dipoles.checked_array(np.asarray(position)), _unit(directions)
    k = dipoles.light.wavenumber
    source = _six(dipoles.solve(place).source)
    result = np.zeros(unit.shape, dtype=np.complex128)
    for block in _blocks(len(unit), len(place)):
        n = unit[block]
        total = np.exp(-1j * k * (n @ place.T)) @ source
        electric = total[:, :3] - n * interaction.dot(n, total[:, :3])[:, None]
        result[block] = k**2 / (4.0 * math.pi) * (electric - np.cross(n, total[:, 3:]))
    return result


def power_per_solid_angle(array: TrappedDipoles, position: Any, directions: Any) -> FloatArray:
    """Power that the particles scatter into each direction; of several lasers, the sum.

    Parameters
    ----------
    array : TrappedDipoles
        The particles and their light.
    position : (N, 3) float
        Places of the particles [m].
    directions : (M, 3) float
        Of any length but zero.

    Returns
    -------
    (M,) float
        [W/sr].

    Raises
    ------
    ScenarioError
        If a direction is zero, or particles overlap.
    """
    square = sum((np.abs(far_amplitude(part, position, directions)) ** 2).sum(axis=1) for part in array.parts)
    return np.asarray(INTENSITY_OF_SQUARE * square)


def scattered_power(array: TrappedDipoles, position: Any) -> float:
    r"""All the power that the particles scatter, the integral of `power_per_solid_angle`, in closed form.

    .. math:: P = \tfrac12 \varepsilon_0 c k \sum_{jk} \Pi_j^\dagger\, \mathrm{Im}\mathcal G(r_j - r_k)\, \Pi_k

    Parameters
    ----------
    array : TrappedDipoles
        The particles and their light.
    position : (N, 3) float
        Places of the particles [m].

    Returns
    -------
    float
        [W].

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    power = 0.0
    for part in array.parts:
        place, k = part.checked_array(np.asarray(position)), part.light.wavenumber
        source = _six(part.solve(place).source)
        for block in _blocks(len(place), len(place)):
            separation = place[block, None, :] - place
            r = interaction.dissipative_radial(separation, k, 2)
            back = interaction.field(separation, r, source, k).sum(axis=1)
            power += INTENSITY_OF_SQUARE * k * float(np.vdot(source[block], back).real)
    return power


def alone(array: TrappedDipoles, particle: int) -> TrappedDipoles:
    """One of the particles, with the light of all and no other particle.

    Parameters
    ----------
    array : TrappedDipoles
        The particles and their light.
    particle : int
        Its number.

    Returns
    -------
    TrappedDipoles
        An array of one.

    Raises
    ------
    ScenarioError
        If there is no such particle.
    """
    j = checks.integer("particle", particle, minimum=0, maximum=array.n_particles - 1, error=ScenarioError)
    chosen = slice(j, j + 1)
    parts = tuple(
        replace(
            part,
            polarizability=part.polarizability[chosen],
            magnetic=None if part.magnetic is None else part.magnetic[chosen],
            radius=np.asarray(part.radius)[chosen],
            radiation_reaction=np.broadcast_to(part.radiation_reaction, (part.n_particles,))[chosen],
        )
        for part in array.parts
    )
    return TrappedDipoles(
        parts=parts, trap_position=array.trap_position[chosen], trap_stiffness=array.trap_stiffness[chosen]
    )


def _six(dipole: ComplexArray) -> ComplexArray:
    """Dipoles with their magnetic part, which may be zero: (N, 6)."""
    if dipole.shape[-1] == 6:
        return dipole
    return np.concatenate([dipole, np.zeros_like(dipole)], axis=-1)


def _unit(directions: Any) -> FloatArray:
    given = checks.array("directions", directions, ("M", 3))
    length = np.linalg.norm(given, axis=1, keepdims=True)
    if (length == 0.0).any():
        row = int(np.argmin(length))
        raise ScenarioError(f"`directions[{row}]` must not be zero: give a vector along the direction that is meant.")
    return np.asarray(given / length)


def _refuse_inside(points: FloatArray, place: FloatArray, radius: FloatArray) -> None:
    which = particle_at(points, place, radius)
    if (which >= 0).any():
        row = int(np.argmax(which >= 0))
        where = ", ".join(f"{x:.6g}" for x in points[row])
        raise ScenarioError(
            f"`points[{row}]`, ({where}) m, is inside of particle {which[row]}, where its field is not that of a "
            "dipole; leave such points out (`particle_at` finds them)."
        )


def _blocks(n_points: int, n_particles: int) -> Iterator[slice]:
    rows = max(1, PAIRS_AT_ONCE // n_particles)
    for first in range(0, n_points, rows):
        yield slice(first, min(first + rows, n_points))
