r"""Forces and torques of light on N small particles, each an electric and perhaps a magnetic dipole.

The dipole of particle j is :math:`\Pi_j = \alpha_j \Phi_j`, in the six-vectors of `stochbind.optics.interaction`, and
the force on it

.. math::

    F_a = \frac{\varepsilon_0}{2} \mathrm{Re}\,\Pi^\dagger \partial_a \Phi
          - \frac{\varepsilon_0 k^4}{12\pi} \mathrm{Re}(P^* \times M)_a,

where the derivative acts on the field at fixed sources. Three approximations differ in the field :math:`\Phi`:

- ``"single"``: to first order in the scattered field, as published for weakly scattering particles;
- ``"one_event"``: the scattered field of the dipoles that the light alone induces, with all its terms in the force;
- ``"multiple"``: the self-consistent field, :math:`\Phi_j = \Phi^L_j + \sum_k \mathcal G_{jk} \alpha_k \Phi_k`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import interaction
from stochbind.optics.interaction import Radial
from stochbind.optics.waves import Wave

Scattering = Literal["single", "one_event", "multiple"]

#: Pairs of particles that are worked on at once: what they need stays in the processor's cache.
PAIRS_AT_ONCE = 4096
#: Scattering events are added up while each is this much smaller than the one before; else the equations are solved.
SLOWEST_CONVERGENCE = 0.3
#: Arrays of fewer six-vectors than this are solved at once: there it is the faster way.
SMALLEST_ITERATED = 40


class Solution(NamedTuple):
    r"""Fields and dipoles of an array; s is 6, or 3 for electric dipoles alone.

    Attributes
    ----------
    incident : (..., N, s) complex
        Light at the particles, :math:`(E, \eta H)` [V/m].
    incident_gradient : (..., N, 3, s) complex
        Its derivatives [V/m^2].
    scattered : (..., N, s) complex
        Field of the other particles.
    scattered_gradient : (..., N, 3, s) complex
        Its derivatives, at fixed sources.
    source : (..., N, s) complex
        Dipoles that this field comes from [V m^2].
    dipole : (..., N, s) complex
        Dipoles in the whole field.
    """

    incident: ComplexArray
    incident_gradient: ComplexArray
    scattered: ComplexArray
    scattered_gradient: ComplexArray
    source: ComplexArray
    dipole: ComplexArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Dipoles:
    """N particles in coherent light.

    Parameters
    ----------
    light : Wave
        The light without particles; see `stochbind.optics.waves`.
    polarizability : (N, 3, 3) complex
        Electric polarizability of each particle in the laboratory's frame [m^3]; see
        `stochbind.optics.polarizability`.
    magnetic : (N, 3, 3) complex, optional
        Magnetic polarizability [m^3]; none by default.
    radius : (N,) float, optional
        Radii [m], for which overlapping particles are refused.
    scattering : {"multiple", "one_event", "single"}
        How far light is followed from particle to particle.
    far_field : bool
        Keep only what falls off as 1/distance of the light scattered; for ``"single"`` only.
    radiation_reaction : bool or (N,) bool
        Whether the polarizabilities hold the reaction of the particles' own radiation (Mie's do, Rayleigh's do not):
        only then does the light scattered take angular momentum from a particle.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    """

    light: Wave
    polarizability: ComplexArray
    magnetic: ComplexArray | None = None
    radius: FloatArray | None = None
    scattering: Scattering = "multiple"
    far_field: bool = False
    radiation_reaction: bool | npt.NDArray[np.bool_] = True

    def __post_init__(self) -> None:
        electric = checks.complex_array("polarizability", self.polarizability, ("N", 3, 3))
        n = len(electric)
        object.__setattr__(self, "polarizability", electric)
        if self.magnetic is not None:
            object.__setattr__(self, "magnetic", checks.complex_array("magnetic", self.magnetic, (n, 3, 3)))
        radius = np.zeros(n) if self.radius is None else checks.array("radius", self.radius, (n,))
        object.__setattr__(self, "radius", checks.positive("radius", radius, or_zero=True))
        if np.shape(self.radiation_reaction) not in ((), (n,)):
            raise ScenarioError(
                f"`radiation_reaction` must be one bool or {n}, but has shape {np.shape(self.radiation_reaction)}."
            )
        if self.scattering not in ("single", "one_event", "multiple"):
            raise ScenarioError(
                f'`scattering` must be "single", "one_event" or "multiple", but is {self.scattering!r}.'
            )
        if self.far_field and self.scattering != "single":
            raise ScenarioError(
                f'`far_field` goes with scattering = "single", but scattering is {self.scattering!r}; leave it out.'
            )

    @property
    def n_particles(self) -> int:
        """Number of particles N."""
        return len(self.polarizability)

    @property
    def size(self) -> int:
        """Components of a dipole: 6, or 3 without magnetic dipoles."""
        return 3 if self.magnetic is None else 6

    @property
    def alpha(self) -> ComplexArray:
        """Polarizabilities as (N, s, s) matrices [m^3]."""
        if self.magnetic is None:
            return self.polarizability
        result = np.zeros((self.n_particles, 6, 6), dtype=np.complex128)
        result[:, :3, :3] = self.polarizability
        result[:, 3:, 3:] = self.magnetic
        return result

    @property
    def reaction(self) -> FloatArray:
        r"""Field of a particle's own radiation at itself, :math:`k^3/6\pi` or zero [1/m^3], shape (N,)."""
        holds = np.broadcast_to(self.radiation_reaction, (self.n_particles,))
        return np.where(holds, self.light.wavenumber**3 / (6.0 * math.pi), 0.0)

    def radial(self, separation: FloatArray, order: int) -> Radial:
        """Radial functions of pairs, in the approximation of this array."""
        choose = interaction.far_radial if self.far_field else interaction.exact_radial
        return choose(separation, self.light.wavenumber, order)

    def checked(self, position: FloatArray) -> FloatArray:
        """The positions as an array of shape (..., N, 3), or `ScenarioError` if particles overlap."""
        place = checks.real_numbers("position", position)
        n = self.n_particles
        if place.shape[-2:] != (n, 3):
            raise ScenarioError(f"`position` must have shape (..., {n}, 3), but has shape {place.shape}.")
        if self.n_particles > 1:
            distance, touching = self.distances(place)
            if (distance <= touching).any():
                self._refuse_overlap(distance, touching)
        return place

    def distances(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Distances of all pairs in the order of `numpy.triu_indices` (..., P), and those at which they touch (P,)."""
        j, k = np.triu_indices(self.n_particles, 1)
        radius = np.asarray(self.radius)
        return np.linalg.norm(position[..., j, :] - position[..., k, :], axis=-1), radius[j] + radius[k]

    def checked_array(self, position: FloatArray) -> FloatArray:
        """As `checked`, for one set of places, (N, 3)."""
        place = self.checked(position)
        if place.ndim != 2:
            raise ScenarioError(
                f"`position` must be one set of places, ({self.n_particles}, 3), but has shape {place.shape}; call "
                "this function for each of them."
            )
        return place

    def _refuse_overlap(self, distance: FloatArray, touching: FloatArray) -> None:
        """Raise `ScenarioError` for the pair that overlaps most."""
        closest = distance.reshape(-1, len(touching)).min(axis=0)
        worst = int(np.argmin(closest - touching))
        j, k = (int(side[worst]) for side in np.triu_indices(self.n_particles, 1))
        if closest[worst] == 0.0:
            raise ScenarioError(f"Particles {j} and {k} are at one place: give each its own `position`.")
        raise ScenarioError(
            f"Particles {j} and {k} overlap: their centres are {closest[worst]:.6g} m apart, but their radii add up "
            f"to {touching[worst]:.6g} m (of ellipsoids, the spheres around them); move them apart."
        )

    def incident(self, position: FloatArray, curvature: bool = False) -> tuple[ComplexArray, ...]:
        """The light at the particles: value, gradient and, if asked for, curvature, in s components."""
        values = self.light.at(position.reshape(-1, 3))
        parts = (values.value, values.gradient, *((values.curvature,) if curvature else ()))
        lead = position.shape[:-1]
        return tuple(part.reshape(*lead, *part.shape[1:])[..., : self.size] for part in parts)

    def pairs(self, position: FloatArray) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Blocks of receivers, the vectors to them from all particles, and one where the two differ, else zero."""
        n = self.n_particles
        rows = max(1, PAIRS_AT_ONCE // max(1, n * math.prod(position.shape[:-2])))
        for first in range(0, n, rows):
            block = slice(first, min(first + rows, n))
            separation = position[..., block, None, :] - position[..., None, :, :]
            itself = np.arange(block.stop - block.start), np.arange(block.start, block.stop)
            # Where a particle meets itself: any distance will do, and far enough to need no series.
            separation[..., itself[0], itself[1], :] = 4.0 / self.light.wavenumber
            other = np.ones((len(itself[0]), n))
            other[itself] = 0.0
            yield block, separation, other

    def interactions(self, position: FloatArray, order: int) -> Iterator[tuple[slice, FloatArray, Radial]]:
        """As `pairs`, with the radial functions up to an order, which are zero where a particle meets itself."""
        for block, separation, other in self.pairs(position):
            yield block, separation, self.radial(separation, order).of_others(other)

    def solve(self, position: FloatArray) -> Solution:
        """Fields and dipoles.

        Parameters
        ----------
        position : (..., N, 3) float
            Places of the particles [m].

        Returns
        -------
        Solution
            Of each set of places.

        Raises
        ------
        ScenarioError
            If particles overlap.
        """
        place = self.checked(position)
        light, gradient = self.incident(place)
        source = _apply(self.alpha, light)
        interactions: Iterable[tuple[slice, FloatArray, Radial]] = self.interactions(place, 3)
        if self.scattering == "multiple" and self.n_particles > 1:
            interactions = list(interactions)
            source = self._self_consistent(self._matrix(place.shape, interactions), light, source)
        scattered, slopes = self._scattered(interactions, source)
        dipole = _apply(self.alpha, light + scattered)
        return Solution(light, gradient, scattered, slopes, source, dipole)

    def force(self, position: FloatArray) -> FloatArray:
        """Force on each particle.

        Parameters
        ----------
        position : (..., N, 3) float
            Places of the particles [m].

        Returns
        -------
        (..., N, 3) float
            Forces [N].

        Raises
        ------
        ScenarioError
            If particles overlap.
        """
        found = self.solve(position)
        result = self.force_of(found.dipole, found.incident_gradient + found.scattered_gradient)
        if self.scattering == "single":
            second = _apply(self.alpha, found.scattered)
            result = result - self.force_of(second, found.scattered_gradient)
        return result

    def force_of(self, dipole: ComplexArray, gradient: ComplexArray) -> FloatArray:
        """Force on dipoles (..., N, s) in fields of this gradient (..., N, 3, s) [N]."""
        half = 0.5 * constants.epsilon_0
        result: FloatArray = half * np.einsum("...i,...ai->...a", dipole.conj(), gradient).real
        if self.magnetic is not None:
            recoil = half * self.light.wavenumber**4 / (6.0 * math.pi)
            result = result - recoil * np.cross(dipole[..., :3].conj(), dipole[..., 3:]).real
        return result

    def torque(self, position: FloatArray) -> FloatArray:
        r"""Torque on each particle.

        .. math::

            N = \frac{\varepsilon_0}{2} \mathrm{Re}\left[P^* \times \left(E + \frac{ik^3}{6\pi} P\right)\right]

        and the same of the magnetic dipole. The second term is the angular momentum of the particle's own light: it
        makes the torque on a sphere that does not absorb vanish, and is left out for polarizabilities without
        radiation reaction.

        Parameters
        ----------
        position : (..., N, 3) float
            Places of the particles [m].

        Returns
        -------
        (..., N, 3) float
            Torques [N m].

        Raises
        ------
        ScenarioError
            If particles overlap.

        References
        ----------
        Rudolph et al., Phys. Rev. A 110, 063507 (2024), eq. (17b) for a small particle; Chaumet and Rahmani, Opt.
        Express 17, 2224 (2009).
        """
        found = self.solve(position)
        reaction = 1j * self.reaction[:, None]

        def twist(dipole: ComplexArray, field: ComplexArray) -> FloatArray:
            result = np.zeros((*dipole.shape[:-1], 3))
            for part in (slice(0, 3), slice(3, 6))[: self.size // 3]:
                p = dipole[..., part]
                result += np.cross(p.conj(), field[..., part] + reaction * p).real
            return 0.5 * constants.epsilon_0 * result

        whole = twist(found.dipole, found.incident + found.scattered)
        if self.scattering == "single":
            whole = whole - twist(_apply(self.alpha, found.scattered), found.scattered)
        return whole

    def _scattered(
        self, interactions: Iterable[tuple[slice, FloatArray, Radial]], source: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray]:
        value = np.zeros(source.shape, dtype=np.complex128)
        gradient = np.zeros((*source.shape[:-1], 3, source.shape[-1]), dtype=np.complex128)
        for block, separation, r in interactions:
            value[..., block, :], gradient[..., block, :, :] = interaction.summed_field(
                separation, r, source, self.light.wavenumber
            )
        return value, gradient

    def matrix(self, position: FloatArray) -> ComplexArray:
        r"""The matrix :math:`\mathcal G_{jk}` of all pairs, zero where j = k, shape (..., sN, sN) [1/m^3]."""
        return self._matrix(position.shape, self.interactions(position, 2))

    def _matrix(self, shape: tuple[int, ...], interactions: Iterable[tuple[slice, FloatArray, Radial]]) -> ComplexArray:
        n, s = self.n_particles, self.size
        lead = shape[:-2]
        result = np.empty((*lead, n, s, n, s), dtype=np.complex128)
        for block, separation, r in interactions:
            result[..., block, :, :, :] = interaction.matrix(separation, r, s, self.light.wavenumber)
        return result.reshape(*lead, n * s, n * s)

    def _self_consistent(self, matrix: ComplexArray, light: ComplexArray, first: ComplexArray) -> ComplexArray:
        """Dipoles that induce each other, by adding up scattering events, or else by elimination."""
        n, s = self.n_particles, self.size
        lead = light.shape[:-2]
        if n * s >= SMALLEST_ITERATED and not lead:  # of many arrays, each must come out as it does alone
            total, event, before = first, first, math.inf
            for _ in range(60):
                field = (matrix @ event.reshape(*lead, n * s, 1)).reshape(*lead, n, s)
                event = _apply(self.alpha, field)
                total = total + event
                size = float(np.abs(event).max(initial=0.0))
                if size <= 1e-17 * float(np.abs(total).max()):
                    return total
                if size > SLOWEST_CONVERGENCE * before:
                    break
                before = size
        system = np.eye(n * s) - self.times_alpha(matrix)
        solved = np.linalg.solve(system, light.reshape(*lead, n * s, 1))
        return _apply(self.alpha, np.asarray(solved, np.complex128).reshape(*lead, n, s))

    def times_alpha(self, matrix: ComplexArray) -> ComplexArray:
        """The product of a (..., X, sN) matrix with the polarizabilities of all particles."""
        n, s = self.n_particles, self.size
        parts = matrix.reshape(*matrix.shape[:-1], n, s)
        result: ComplexArray = np.einsum("...ni,nij->...nj", parts, self.alpha).reshape(matrix.shape)
        return result


def _apply(alpha: ComplexArray, field: ComplexArray) -> ComplexArray:
    result: ComplexArray = np.einsum("nij,...nj->...ni", alpha, field)
    return result
