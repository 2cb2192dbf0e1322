"""Scenarios of particles that are electric and magnetic dipoles in any light: motion along one, two or three axes."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import constants

from stochbind import checks, fields
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.forces import Force
from stochbind.optics import approximations, heating, reciprocity, waves
from stochbind.optics.approximations import Deviation
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.orientation import libration_rates
from stochbind.optics.polarizability import Polarizability
from stochbind.optics.recoil import Recoil
from stochbind.optics.trapped import Equilibrium, TrappedDipoles
from stochbind.oscillators import Oscillators
from stochbind.scenario import dipole_notes
from stochbind.scenario.base import (
    LARGEST_COMPARED,
    LARGEST_MODEL_ERROR,
    LARGEST_SIZE_PARAMETER,
    Derived,
    Scenario,
    derived_errors,
)
from stochbind.scenario.bodies import WITH_REACTION, DipoleParticle
from stochbind.scenario.illumination import DipoleLight, Waves
from stochbind.scenario.spheres import Gas

#: Rates of rotation below this, relative to the largest, are round-off of a rate of zero.
SMALLEST_ROTATION = 1e-5
#: Cross sections below this, relative to the others, are round-off.
ROUND_OFF = 1e-12
#: Largest kR of one with them, beyond which higher multipoles scatter as much; and largest kR times index.
LARGEST_MIE_PARAMETER, LARGEST_OPTICAL_SIZE = 3.0, 100.0


class DipoleScenario(Scenario):
    """N small particles in plane waves and tweezers of any direction, lit by each other.

    The particles move along the axes `motion`; the origin of their motion is the equilibrium of all forces along these
    near the given positions, or, with ``origin = "given"``, the positions themselves, as if the constant forces there
    were balanced.
    """

    kind: Literal["dipoles"] = "dipoles"
    light: DipoleLight
    wave: Annotated[tuple[Waves, ...], Field(min_length=1, max_length=1000)]
    gas: Gas
    particle: Annotated[tuple[DipoleParticle, ...], Field(min_length=1, max_length=1000)]
    motion: Annotated[tuple[Literal["x", "y", "z"], ...], Field(min_length=1, max_length=3)] = ("x", "y", "z")
    origin: Literal["equilibrium", "given"] = "equilibrium"

    def _check_physics(self) -> None:
        if list(self.motion) != sorted(set(self.motion)):
            raise ValueError(f"motion must name each axis once, in the order x, y, z, but is {list(self.motion)}")
        try:
            self._check_sizes()
            self.gas.require_viscosity(self._mean_radius)
            self.oscillators().langevin()
            if self.light.scattering == "far_field" and self.n_particles <= LARGEST_COMPARED:
                self._check_far_field()
        except (ScenarioError, NoiseError) as error:
            raise ValueError(str(error)) from None

    def _check_sizes(self) -> None:
        for j, particle in enumerate(self.particle):
            size = self.wavenumber * particle.largest_radius
            inside = size * abs(particle.index(self.light.wavelength))
            if size > LARGEST_MIE_PARAMETER or inside > LARGEST_OPTICAL_SIZE:
                raise ValueError(
                    f"particle[{j}] is too large for a dipole: its k R is {size:.3g} (limit "
                    f"{LARGEST_MIE_PARAMETER:g}), and {inside:.3g} inside (limit {LARGEST_OPTICAL_SIZE:g}); use a "
                    "smaller particle or a longer wavelength"
                )
            if particle.model != "mie" and size > LARGEST_SIZE_PARAMETER:
                raise ValueError(
                    f"particle[{j}] is too large for a dipole of the model {particle.model}: its k R is {size:.3g} "
                    f'(limit {LARGEST_SIZE_PARAMETER:g}); use a smaller one, or a sphere with polarizability = "mie"'
                )

    def _check_far_field(self) -> None:
        error = self.deviations["far_field"].coupling if self.n_particles > 1 else 0.0
        if error > LARGEST_MODEL_ERROR:
            raise ValueError(
                f"The particles are too close for the far field, whose couplings are wrong by {error:.1%} of the "
                f'largest (limit {LARGEST_MODEL_ERROR:.0%}); move them apart or set light.scattering = "multiple"'
            )

    @property
    def n_particles(self) -> int:
        """Number of particles N."""
        return len(self.particle)

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of motion."""
        return self.motion

    @property
    def wavenumber(self) -> float:
        """Wave number k [1/m]."""
        return 2.0 * math.pi / self.light.wavelength

    @property
    def position(self) -> FloatArray:
        """Given positions [m], shape (N, 3)."""
        return np.array([p.position for p in self.particle])

    @property
    def mass(self) -> FloatArray:
        """Masses [kg], shape (N,)."""
        return np.array([p.mass for p in self.particle])

    @property
    def _mean_radius(self) -> FloatArray:
        return np.array([p.mean_radius for p in self.particle])

    @cached_property
    def polarizability(self) -> tuple[Polarizability, ...]:
        """Polarizabilities of the particles."""
        return tuple(p.polarizability_at(self.light.wavelength) for p in self.particle)

    @property
    def moves(self) -> npt.NDArray[np.bool_]:
        """The coordinates that move, shape (N, 3)."""
        return np.tile([axis in self.motion for axis in "xyz"], (self.n_particles, 1))

    @property
    def _free(self) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self.moves.ravel())

    @cached_property
    def array(self) -> TrappedDipoles:
        """The particles with their light and traps."""
        table = [wave for given in self.wave for wave in given.waves(self.light.wavelength)]
        groups = waves.coherent_groups(table)
        magnetic = np.array([p.magnetic for p in self.polarizability])
        stiffness = np.array([p.stiffness or (0.0, 0.0, 0.0) for p in self.particle])
        far = self.light.scattering == "far_field"
        return TrappedDipoles(
            parts=tuple(
                Dipoles(
                    light=light,
                    polarizability=np.array([p.electric for p in self.polarizability]),
                    magnetic=magnetic if magnetic.any() else None,
                    radius=np.array([p.largest_radius for p in self.particle]),
                    scattering="single" if self.light.scattering == "far_field" else self.light.scattering,
                    far_field=far,
                    radiation_reaction=np.array([p.model in WITH_REACTION for p in self.particle]),
                )
                for light in groups
            ),
            trap_position=self.position,
            trap_stiffness=stiffness,
        )

    @cached_property
    def equilibrium(self) -> Equilibrium | None:
        """Where all forces balance along the axes of motion; None if the origin is given."""
        return self.array.equilibrium(self.position, self.moves) if self.origin == "equilibrium" else None

    @property
    def origin_position(self) -> FloatArray:
        """Positions where all displacements are zero [m], shape (N, 3)."""
        return self.position if self.equilibrium is None else self.equilibrium.position

    @cached_property
    def _jacobian(self) -> FloatArray:
        return self.array.jacobian(self.origin_position)[np.ix_(self._free, self._free)]

    @cached_property
    def recoil(self) -> Recoil:
        """Momentum diffusion at the origin by photons, of the D coordinates that move."""
        block = np.ix_(self._free, self._free)
        return Recoil(*(part[block] for part in self.array.recoil(self.origin_position)))

    @cached_property
    def deviations(self) -> dict[str, Deviation]:
        """How wrong each approximation is for these particles; see `stochbind.optics.approximations`."""
        return approximations.deviations(self.array, self.origin_position, self.moves)

    def oscillators(self) -> Oscillators:
        """The coupled oscillators: displacements along the axes of motion from the origin."""
        return self._oscillators

    @cached_property
    def _oscillators(self) -> Oscillators:
        n_axes = len(self.motion)
        jacobian = self._jacobian
        friction = self.gas.friction(self._mean_radius)
        temperature = [
            p.bath_temperature if p.bath_temperature is not None else self.gas.temperature for p in self.particle
        ]
        diagonal = np.diagonal(jacobian)
        forces: tuple[Force, ...] = ()
        if self.light.forces == "full":
            forces = (fields.trapped_dipoles(self.array, self.origin_position, self._free, jacobian),)
        return Oscillators(
            mass=np.repeat(self.mass, n_axes),
            stiffness=-diagonal,
            friction=np.repeat(friction, n_axes),
            bath_temperature=np.repeat(temperature, n_axes),
            coupling=jacobian - np.diag(diagonal),
            diffusion=self.recoil.diffusion,
            axis=self.motion,
            forces=forces,
        )

    @checks.in_range()
    def derived(self) -> dict[str, Derived]:
        """All quantities computed from the numbers of the file, in SI."""
        result = self._of_particles() | self._of_motion()
        if any(particle.semi_axes is not None for particle in self.particle):
            inertia = np.array([particle.inertia for particle in self.particle])
            rate = libration_rates(self.torque_derivative, inertia)
            rate = np.where(np.abs(rate) > SMALLEST_ROTATION * np.abs(rate).max(), rate, 0.0)
            held = "of small rotations; the orientations themselves are held fixed"
            result["libration_angular_frequency"] = Derived(rate.real, "rad/s", held)
            result["tumbling_rate"] = Derived(rate.imag, "1/s", "growth of rotations that light does not hold")
        if self.n_particles == 2:
            factors = self.reciprocity_factors()
            result["non_reciprocity_zeroth"] = Derived(factors[0], "", "along x, y, z: 0 reciprocal, 1/2 one-way")
            result["non_reciprocity_first"] = Derived(factors[1], "", "[v, w]: of the derivative of v along w of 0")
        if self.n_particles <= LARGEST_COMPARED:
            result |= derived_errors(self.deviations)
        return result

    def _of_particles(self) -> dict[str, Derived]:
        k, origin = self.wavenumber, self.origin_position
        index = np.array([p.index(self.light.wavelength) for p in self.particle])

        def mean(part: Literal["electric", "magnetic"]) -> ComplexArray:
            return np.array([np.trace(getattr(p, part)) / 3.0 for p in self.polarizability])

        def section(name: Literal["extinction", "scattering", "absorption"]) -> FloatArray:
            scale = np.array([p.extinction(k) + p.scattering(k) for p in self.polarizability])
            found = np.array([getattr(p, name)(k) for p in self.polarizability])
            return np.where(np.abs(found) > ROUND_OFF * scale, found, 0.0)

        held = "at the origin of the motion"
        return {
            "wavenumber": Derived(k, "1/m", "k"),
            "mass": Derived(self.mass, "kg", "mass"),
            "size_parameter": Derived(k * np.array([p.largest_radius for p in self.particle]), "", "k R"),
            "refractive_index": Derived(index.real, "", "real part"),
            "extinction_coefficient": Derived(index.imag, "", "imaginary part of the refractive index"),
            "electric_polarizability_real": Derived(mean("electric").real, "m^3", "p/(eps0 E), mean over directions"),
            "electric_polarizability_imaginary": Derived(mean("electric").imag, "m^3", "absorbs and scatters"),
            "magnetic_polarizability_real": Derived(mean("magnetic").real, "m^3", "m/H, mean over directions"),
            "magnetic_polarizability_imaginary": Derived(mean("magnetic").imag, "m^3", "absorbs and scatters"),
            "extinction_cross_section": Derived(section("extinction"), "m^2", "mean over directions"),
            "scattering_cross_section": Derived(section("scattering"), "m^2", "mean over directions"),
            "absorption_cross_section": Derived(section("absorption"), "m^2", "negative where light is amplified"),
            "absorbed_power": Derived(self.absorbed_power, "W", "negative where light is amplified"),
            "optical_damping_rate": Derived(
                self.optical_damping_rate, "1/s", "about: the light's own friction, which is left out"
            ),
            "origin": Derived(origin, "m", "where all displacements are zero"),
            "displacement": Derived(origin - self.position, "m", "of the origin from the given positions"),
            "force": Derived(self.array.force(origin), "N", f"of light and traps {held}"),
            "binding_force": Derived(self.array.binding(origin).force, "N", "what the others add to it"),
            "torque": Derived(self.array.torque(origin), "N*m", f"of light {held}"),
        }

    def _of_motion(self) -> dict[str, Derived]:
        array, diffusion = self._oscillators, self.recoil
        mass = np.repeat(self.mass, len(self.motion))
        damping = array.friction / mass
        omega = np.sqrt(np.abs(array.stiffness) / mass)
        quantum = constants.hbar * np.where(omega > 0.0, omega, math.nan)
        both = np.real(np.diagonal(diffusion.diffusion))
        order = f"of {', '.join(array.names)}" if len(array.names) <= 12 else "particle by particle, axis by axis"
        result = {
            "stiffness": Derived(array.stiffness, "N/m", f"the others held fixed, {order}"),
            "angular_frequency": Derived(omega, "rad/s", "with optical binding, the others held fixed"),
            "coupling": Derived(array.coupling, "N/m", "C[j, k]: force on j per displacement of k"),
            "damping_rate": Derived(damping, "1/s", "of the gas: decay rate of the energy"),
            "momentum_diffusion_real": Derived(np.real(diffusion.diffusion), "N^2*s", "Re D: recoil noise"),
            "momentum_diffusion_imaginary": Derived(np.imag(diffusion.diffusion), "N^2*s", "Im D: antireciprocity"),
            "absorption_share": Derived(
                np.real(np.diagonal(diffusion.absorption)) / np.where(both > 0.0, both, 1.0),
                "",
                "share of photons absorbed, or emitted by gain, in the recoil noise",
            ),
            "recoil_heating_rate": Derived(both / (mass * quantum), "1/s", "quanta per second from photon recoil"),
            "gas_heating_rate": Derived(
                damping * array.thermal_energy / quantum, "1/s", "quanta per second from the gas"
            ),
        }
        if self.equilibrium is not None:
            value = self.equilibrium.eigenvalue
            result["force_matrix_eigenvalues_real"] = Derived(value.real, "N/m", "negative: does not hold")
            result["force_matrix_eigenvalues_imaginary"] = Derived(value.imag, "N/m", "not zero: needs friction")
        return result

    def reciprocity_factors(self) -> tuple[FloatArray, FloatArray]:
        """Non-reciprocity factors of a pair at the origin: (3,) of the forces, (3, 3) of their derivatives.

        They are of what the particles do to each other, see `TrappedDipoles.binding`.
        """
        force, jacobian = self.array.binding(self.origin_position)
        return reciprocity.zeroth(*force), reciprocity.first(jacobian[:3, :3], jacobian[3:, :3])

    def notes(self) -> list[str]:
        """Warnings about the validity of the model for these numbers, one sentence each."""
        return dipole_notes.notes(self)

    @cached_property
    def torque_derivative(self) -> FloatArray:
        """Change of the torques at the origin as each particle turns, (N, 3, 3) [N m]."""
        return self.array.torque_derivative(self.origin_position)

    @cached_property
    def absorbed_power(self) -> FloatArray:
        """Power that each particle absorbs at the origin [W], shape (N,); negative where it amplifies light."""
        each = [heating.absorbed_power(part, self.origin_position) for part in self.array.parts]
        taken = sum(heating.extinguished_power(part, self.origin_position) for part in self.array.parts)
        total = np.asarray(sum(each))
        return np.where(np.abs(total) > ROUND_OFF * np.abs(taken), total, 0.0)

    @cached_property
    def optical_damping_rate(self) -> FloatArray:
        """About how much the light's own friction damps each particle, power taken over m c^2 [1/s], shape (N,)."""
        taken = sum(heating.extinguished_power(part, self.origin_position) for part in self.array.parts)
        rate: FloatArray = np.abs(np.asarray(taken)) / (self.mass * constants.c**2)
        return rate
