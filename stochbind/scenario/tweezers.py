"""Scenarios given by spheres in optical tweezers: motion along the beams, coupled by the light they scatter."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.fields import TweezerForces
from stochbind.forces import Force
from stochbind.optics import approximations, beams, binding, chains, particles, polarizability
from stochbind.optics.approximations import Deviation
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles
from stochbind.optics.waves import parallel_tweezers
from stochbind.oscillators import Oscillators
from stochbind.scenario import tweezer_notes
from stochbind.scenario.base import (
    LARGEST_COMPARED,
    LARGEST_MODEL_ERROR,
    LARGEST_SIZE_PARAMETER,
    Derived,
    Scenario,
    derived_errors,
)
from stochbind.scenario.lattices import TweezerLattice
from stochbind.scenario.spheres import Gas, Light, Sphere


class TweezerScenario(Scenario):
    """N spheres in N parallel tweezers, coupled along the beams by optical binding.

    With a `lattice` there is one particle, which is put at each of its places; its own position and phase are those of
    the first, or of the centre of a ring.
    """

    kind: Literal["tweezers"] = "tweezers"
    light: Light
    gas: Gas
    particle: Annotated[tuple[Sphere, ...], Field(min_length=1, max_length=10_000)]
    lattice: TweezerLattice | None = None

    def _check_physics(self) -> None:
        if self.lattice is not None and len(self.particle) > 1:
            raise ValueError(
                f"`lattice` is for one particle that is put at each place, but there are {len(self.particle)}; leave "
                "one table [[particle]]"
            )
        if self.light.waist < self.light.wavelength / math.pi:
            raise ValueError(
                f"light.waist must be at least wavelength/pi = {self.light.wavelength / math.pi:.6g} m for a Gaussian "
                f"beam, but is {self.light.waist:.6g} m"
            )
        if self.full and self.lattice is not None and self.lattice.equal_frequencies:
            raise ValueError(
                'lattice.equal_frequencies needs light.forces = "linear", as frequencies are those at the foci'
            )
        if self.full and self.light.binding != "exact":
            raise ValueError(
                'light.forces = "full" takes the whole dipole field, but light.binding is "far_field"; '
                'set light.binding = "exact"'
            )
        for j, radius in enumerate(self.radius):
            if self.wavenumber * radius > LARGEST_SIZE_PARAMETER:
                raise ValueError(
                    f"particle[{j}].radius must be at most {LARGEST_SIZE_PARAMETER / self.wavenumber:.6g} m for a "
                    f"sphere to scatter as a dipole (k R <= {LARGEST_SIZE_PARAMETER:g}), but is {radius:.6g} m"
                )
        self.gas.require_viscosity(self.radius)
        self._check_distances()
        self._check_equilibrium()
        try:
            self._oscillators.langevin()
        except ScenarioError as error:
            raise ValueError(str(error)) from None
        except NoiseError as error:
            hint = ' The far-field form can do this; set light.binding = "exact".'
            raise ValueError(str(error) + (hint if self.light.binding == "far_field" else "")) from None

    def _check_distances(self) -> None:
        position, radius = self.position, self.radius
        for j, k in zip(*np.triu_indices(self.n_particles, 1), strict=True):
            distance = math.dist(position[j], position[k])
            if distance < radius[j] + radius[k]:
                raise ValueError(
                    f"particle[{j}] and particle[{k}] overlap: their centres are {distance:.6g} m apart, but their "
                    f"radii add up to {radius[j] + radius[k]:.6g} m; move them apart"
                )
        change = self.neighbour_intensity
        j, k = np.unravel_index(int(change.argmax()), change.shape)
        if change[j, k] > LARGEST_MODEL_ERROR:
            raise ValueError(
                f"particle[{j}] and particle[{k}] are too close for separate tweezers: that of {k} changes the "
                f"intensity at {j} by up to {change[j, k]:.1%} (limit {LARGEST_MODEL_ERROR:.0%}); move them apart"
            )
        if self.light.binding == "far_field" and self.n_particles > 1:
            error = self.far_field_error
            j, k = np.unravel_index(int(error.argmax()), error.shape)
            if error[j, k] > LARGEST_MODEL_ERROR:
                raise ValueError(
                    f"particle[{j}] and particle[{k}] are too close for the far-field couplings, which are wrong by "
                    f"{error[j, k]:.1%} of the largest coupling that a pair at this distance can have (limit "
                    f'{LARGEST_MODEL_ERROR:.0%}); move them apart or set light.binding = "exact"'
                )

    def _check_equilibrium(self) -> None:
        lost = np.flatnonzero(np.isnan(self.pushed_equilibrium[0]))
        if len(lost):
            j = int(lost[0])
            push = self.radiation_pressure[j] / (self.trap_stiffness[j] * self.rayleigh_range)
            raise ValueError(
                f"particle[{j}] is pushed out of its tweezer: radiation pressure is {push:.3g} of stiffness times "
                "Rayleigh range, and a trap holds up to 0.5; use a smaller particle or a smaller waist"
            )

    @property
    def n_particles(self) -> int:
        """Number of particles N."""
        return len(self.spheres)

    @cached_property
    def spheres(self) -> tuple[Sphere, ...]:
        """All spheres, those of a lattice one by one; their powers are those given, and `peak_field` has the tuned."""
        if self.lattice is None:
            return self.particle
        (one,) = self.particle
        places = np.array(one.position) + self.lattice.places(self.lattice.spacing)
        return tuple(
            one.model_copy(update={"position": tuple(map(float, place)), "phase": one.phase + float(phase)})
            for place, phase in zip(places, self.lattice.phase, strict=True)
        )

    @property
    def full(self) -> bool:
        """Whether the forces are whole functions of the displacements, not their linear terms only."""
        return self.light.forces == "full"

    @property
    def wavenumber(self) -> float:
        """Wave number k [1/m]."""
        return 2.0 * math.pi / self.light.wavelength

    @property
    def rayleigh_range(self) -> float:
        """Rayleigh range of the tweezers [m]."""
        return beams.rayleigh_range(self.light.wavelength, self.light.waist)

    @property
    def position(self) -> FloatArray:
        """Foci in the plane z = 0 [m], shape (N, 2)."""
        return np.array([p.position for p in self.spheres])

    @property
    def radius(self) -> FloatArray:
        """Radii [m], shape (N,)."""
        return np.array([p.radius for p in self.spheres])

    @property
    def mass(self) -> FloatArray:
        """Masses [kg], shape (N,)."""
        density: FloatArray = np.array([p.density for p in self.spheres])
        return particles.sphere_volume(self.radius) * density

    @property
    def susceptibility(self) -> FloatArray:
        """Electric susceptibilities of the spheres, shape (N,)."""
        permittivity = [
            p.permittivity if p.permittivity is not None else (p.refractive_index or 0.0) ** 2 for p in self.spheres
        ]
        return particles.sphere_susceptibility(np.array(permittivity))

    @cached_property
    def peak_field(self) -> FloatArray:
        """Field amplitudes at the foci [V/m], shape (N,)."""
        given = np.array(
            [
                p.peak_field
                if p.peak_field is not None
                else float(beams.peak_field(np.array(p.power or 0.0), self.light.waist))
                for p in self.spheres
            ]
        )
        if self.lattice is None or not self.lattice.equal_frequencies:
            return given
        equal = self._binding(self._field(given)).coupling / self._trap_stiffness(given)[:, None]
        return given * chains.equalising_fields(equal)

    @property
    def field(self) -> ComplexArray:
        """Complex field amplitudes along x and y at the foci [V/m], shape (N, 2)."""
        return self._field(self.peak_field)

    def _field(self, amplitude: FloatArray) -> ComplexArray:
        phase = np.array([p.phase for p in self.spheres])
        return beams.linear_polarization(amplitude, phase, np.array([p.polarization for p in self.spheres]))

    @property
    def trap_stiffness(self) -> FloatArray:
        """Stiffness of each tweezer alone [N/m], shape (N,)."""
        return self._trap_stiffness(self.peak_field)

    def _trap_stiffness(self, amplitude: FloatArray) -> FloatArray:
        volume = particles.sphere_volume(self.radius)
        return beams.axial_stiffness(self.susceptibility, volume, amplitude, self.rayleigh_range)

    @property
    def far_field_error(self) -> FloatArray:
        """Error of the far-field coupling of each pair, relative to its strength, shape (N, N)."""
        return binding.far_field_error(self.position, self.field, self.wavenumber, self.rayleigh_range)

    @property
    def neighbour_intensity(self) -> FloatArray:
        """Largest relative change of the intensity at j by the tweezer of k, whatever the phases, shape (N, N)."""
        field = self.field
        product = np.abs(field.conj() @ field.T) / self.peak_field[:, None] ** 2
        result: FloatArray = 2.0 * beams.overlap(self.position, self.light.waist) * product
        return result

    @property
    def pushed_equilibrium(self) -> tuple[FloatArray, FloatArray]:
        """Displacement by radiation pressure, in Rayleigh ranges, and the softening of the trap there; each (N,)."""
        return beams.pushed_equilibrium(self.trap_stiffness, self.radiation_pressure, self.rayleigh_range)

    @property
    def barrier(self) -> FloatArray:
        r"""Energy that takes each particle out of its tweezer along the beam, radiation pressure included [J], (N,).

        Trap and pressure of `pushed_equilibrium` balance at s and, on top of the barrier, at 1/s; between them they do
        the work :math:`u z_R^2 [(1-s^2)/2 - s(\pi/2 - 2\arctan s)]/(1+s^2)`.
        """
        s = self.pushed_equilibrium[0]
        work = (0.5 * (1.0 - s**2) - s * (0.5 * math.pi - 2.0 * np.arctan(s))) / (1.0 + s**2)
        result: FloatArray = self.trap_stiffness * self.rayleigh_range**2 * work
        return result

    @property
    def radiation_pressure(self) -> FloatArray:
        """Force of its own tweezer on each particle at the focus [N], shape (N,)."""
        volume = particles.sphere_volume(self.radius)
        return binding.radiation_pressure(
            self.susceptibility * volume, self.peak_field, self.wavenumber, self.rayleigh_range
        )

    def _binding(self, field: ComplexArray) -> binding.Binding:
        return binding.binding(
            self.position,
            field,
            self.susceptibility * particles.sphere_volume(self.radius),
            self.wavenumber,
            self.rayleigh_range,
            far_field=self.light.binding == "far_field",
        )

    @cached_property
    def binding(self) -> binding.Binding:
        """Coupling, stiffness shift, force and recoil diffusion by the scattered light."""
        return self._binding(self.field)

    def oscillators(self) -> Oscillators:
        """The coupled oscillators: displacements along z from the mechanical equilibrium."""
        return self._oscillators

    @cached_property
    def tweezer_forces(self) -> TweezerForces:
        """Whole forces of the light on the spheres."""
        return TweezerForces(
            stiffness=self.trap_stiffness,
            radiation_pressure=self.radiation_pressure,
            position=self.position,
            field=self.field,
            polarizability=self.susceptibility * particles.sphere_volume(self.radius),
            wavenumber=self.wavenumber,
            z_r=self.rayleigh_range,
        )

    @property
    def axes(self) -> tuple[str, ...]:
        """The one direction along which particles move: that of the light."""
        return ("z",)

    @property
    def dipoles(self) -> TrappedDipoles:
        """The same particles in three dimensions: all tweezers at once, light followed from particle to particle.

        Raises
        ------
        ScenarioError
            If the waist is below half a wavelength, where the paraxial field of a tweezer fails.
        """
        angle = np.array([p.polarization for p in self.spheres])
        phase = np.array([p.phase for p in self.spheres])
        light = parallel_tweezers(self.position, self.light.wavelength, self.light.waist, self.peak_field, phase, angle)
        permittivity = (3.0 + 2.0 * self.susceptibility) / (3.0 - self.susceptibility)
        each = [
            polarizability.radiation_corrected(radius, index, self.wavenumber).electric
            for radius, index in zip(self.radius, np.sqrt(permittivity), strict=True)
        ]
        return TrappedDipoles(parts=(Dipoles(light=light, polarizability=np.array(each), radius=self.radius),))

    @cached_property
    def deviations(self) -> dict[str, Deviation]:
        """How wrong each way to follow the light is at the foci; see `stochbind.optics.approximations`."""
        foci = np.column_stack([self.position, np.zeros(self.n_particles)])
        return approximations.deviations(self.dipoles, foci, np.tile([False, False, True], (self.n_particles, 1)))

    @cached_property
    def _oscillators(self) -> Oscillators:
        light = self.binding
        stiffness, coupling = self.trap_stiffness + light.stiffness, light.coupling
        forces: tuple[Force, ...] = ()
        if self.full:
            matrix = self.tweezer_forces.force_matrix(self.equilibrium)
            stiffness, coupling = np.diagonal(matrix), np.diag(np.diagonal(matrix)) - matrix
            forces = self.tweezer_forces.forces(about=self.equilibrium)
            forces = forces if self.n_particles > 1 else forces[:1]
        return Oscillators(
            mass=self.mass,
            stiffness=stiffness,
            friction=self.gas.friction(self.radius),
            bath_temperature=np.array(
                [p.bath_temperature if p.bath_temperature is not None else self.gas.temperature for p in self.spheres]
            ),
            coupling=coupling,
            diffusion=light.diffusion,
            axis=self.axes,
            forces=forces,
        )

    @property
    def equilibrium(self) -> FloatArray:
        """Displacement of the mechanical equilibrium from the foci, by all forces of the model [m], shape (N,)."""
        if self.full:
            return self.tweezer_forces.equilibrium
        return np.linalg.solve(self._oscillators.force_matrix, self.binding.force).astype(np.float64)

    @checks.in_range()
    def derived(self) -> dict[str, Derived]:
        """All quantities computed from the numbers of the file, in SI."""
        array, light, z_r = self._oscillators, self.binding, self.rayleigh_range
        mass, damping = self.mass, array.friction / self.mass
        omega = np.sqrt(self.trap_stiffness / mass)
        bound = np.sqrt(np.abs(array.stiffness) / mass)
        pair = 2.0 * np.sqrt(np.outer(mass * bound, mass * bound))
        recoil = np.real(np.diagonal(light.diffusion))
        binding_stiffness, where = light.stiffness, "displacement by the constant forces, harmonic trap"
        if self.full:
            binding_stiffness = array.stiffness - self.tweezer_forces.tweezer_stiffness(self.equilibrium)
            where = "displacement by all forces: the origin of positions"
        result = {
            "wavenumber": Derived(self.wavenumber, "1/m", "k"),
            "rayleigh_range": Derived(z_r, "m", "k w^2 / 2"),
            "mass": Derived(mass, "kg", "mass"),
            "susceptibility": Derived(self.susceptibility, "", "3 (eps - 1)/(eps + 2)"),
            "peak_field": Derived(self.peak_field, "V/m", "field amplitude at the focus"),
            "trap_stiffness": Derived(self.trap_stiffness, "N/m", "of the tweezer alone"),
            "trap_angular_frequency": Derived(omega, "rad/s", "of the tweezer alone"),
            "trap_frequency": Derived(omega / (2 * math.pi), "Hz", "of the tweezer alone"),
            "binding_stiffness": Derived(binding_stiffness, "N/m", "K_j: stiffness added by optical binding"),
            "angular_frequency": Derived(bound, "rad/s", "with optical binding, the others held fixed"),
            "coupling": Derived(array.coupling, "N/m", "C[j, k]: force on j per displacement of k"),
            "coupling_rate": Derived(
                array.coupling / pair, "rad/s", "C[j, k] over 2 sqrt(m_j w_j m_k w_k), w: angular_frequency"
            ),
            "constant_force": Derived(light.force, "N", "radiation pressure and binding force at the foci"),
            "equilibrium": Derived(self.equilibrium, "m", where),
            "radiation_pressure_shift": Derived(
                self.pushed_equilibrium[0] * z_r, "m", "displacement by radiation pressure, Gaussian trap"
            ),
            "radiation_pressure_softening": Derived(
                self.pushed_equilibrium[1], "", "stiffness of the tweezer there over that at the focus"
            ),
            "damping_rate": Derived(damping, "1/s", "of the gas: decay rate of the energy"),
            "momentum_diffusion_real": Derived(np.real(light.diffusion), "N^2*s", "Re D: recoil noise"),
            "momentum_diffusion_imaginary": Derived(np.imag(light.diffusion), "N^2*s", "Im D: antireciprocity"),
            "recoil_heating_rate": Derived(
                recoil / (constants.hbar * mass * omega), "1/s", "quanta per second from photon recoil"
            ),
            "gas_heating_rate": Derived(
                damping * array.thermal_energy / (constants.hbar * omega),
                "1/s",
                "quanta per second from the gas",
            ),
            "far_field_error": Derived(self.far_field_error, "", "of the far-field couplings, pair by pair"),
        }
        if self.light.waist >= 0.5 * self.light.wavelength and self.n_particles <= LARGEST_COMPARED:
            result |= derived_errors(self.deviations)
        return result

    def notes(self) -> list[str]:
        """Warnings about the validity of the model for these numbers, one sentence each."""
        return tweezer_notes.notes(self)
