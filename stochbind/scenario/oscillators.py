"""Scenarios given by masses, springs, baths and an arbitrary coupling matrix."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from stochbind import fields
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.forces import Force
from stochbind.oscillators import Baths, Oscillators
from stochbind.quantities import quantity, quantity_matrix
from stochbind.scenario.base import Derived, Scenario
from stochbind.scenario.parts import Part

#: Most particles, in all copies.
MOST_PARTICLES = 10_000
#: Depth of a trap, in thermal energies, below which a note says that a particle leaves it.
SHALLOWEST_TRAP = 10.0


class SharedBath(Part):
    """A bath that particles share, by its name; without a heat capacity it keeps its temperature.

    A finite bath has this temperature at time zero, and cools by the heat that it gives over its heat capacity.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    temperature: Annotated[float, *quantity("temperature", "not negative")]
    heat_capacity: Annotated[float, *quantity("heat capacity", "positive")] | None = None


class Oscillator(Part):
    """One particle: a mass on a spring in a bath.

    Give the spring as `stiffness` or `frequency`, the bath's drag as `friction` or `damping_rate`, and the bath itself
    as `bath_temperature`, or as `bath`, the name of one that is shared. A trap that is not harmonic has this stiffness
    at its centre, and `trap_length` as its size; `cubic_stiffness` adds to any trap.
    """

    mass: Annotated[float, *quantity("mass", "positive")] | None = None
    stiffness: Annotated[float, *quantity("stiffness")] | None = None
    frequency: Annotated[float, *quantity("frequency", "positive")] | None = None
    friction: Annotated[float, *quantity("friction", "not negative")] | None = None
    damping_rate: Annotated[float, *quantity("rate", "not negative")] | None = None
    bath_temperature: Annotated[float, *quantity("temperature", "not negative")] | None = None
    bath: Annotated[str, Field(max_length=100)] | None = None
    cubic_stiffness: Annotated[float, *quantity("cubic stiffness")] | None = None
    trap: Literal["harmonic", "gaussian", "pendulum"] = "harmonic"
    trap_length: Annotated[float, *quantity("length", "positive")] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.stiffness is None) == (self.frequency is None):
            raise ValueError("needs either `stiffness` or `frequency`, and not both")
        if (self.friction is None) == (self.damping_rate is None):
            raise ValueError("needs either `friction` or `damping_rate`, and not both")
        if (self.bath_temperature is None) == (self.bath is None):
            raise ValueError("needs either `bath_temperature` or `bath`, and not both")
        if self.mass is None and (self.frequency is not None or self.damping_rate is not None):
            raise ValueError("needs `mass`, as `frequency` and `damping_rate` are per mass")
        if self.trap == "harmonic" and self.trap_length is not None:
            raise ValueError('has a `trap_length`, but a harmonic trap has none; set trap = "gaussian" or "pendulum"')
        if self.trap != "harmonic" and self.trap_length is None:
            raise ValueError(f'needs `trap_length`, as trap = "{self.trap}"')
        return self


class OscillatorScenario(Scenario):
    """N oscillators with an arbitrary, possibly non-reciprocal, coupling.

    ``coupling[j][k]`` is the force on j per displacement of k, beside the spring of j. Overdamped particles have
    no mass. `copies` repeats all particles with their couplings so many times; copies share baths, and nothing else.
    """

    kind: Literal["oscillators"] = "oscillators"
    units: Literal["SI", "reduced"] = "SI"
    dynamics: Literal["underdamped", "overdamped"] = "underdamped"
    particle: Annotated[tuple[Oscillator, ...], Field(min_length=1, max_length=10_000)]
    bath: Annotated[tuple[SharedBath, ...], Field(max_length=10_000)] = ()
    copies: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    coupling: Annotated[tuple[tuple[float, ...], ...], *quantity_matrix("stiffness")] | None = None
    momentum_diffusion: Annotated[tuple[tuple[float, ...], ...], *quantity_matrix("momentum diffusion")] | None = None

    def _check_physics(self) -> None:
        for j, particle in enumerate(self.particle):
            if self.dynamics == "underdamped" and particle.mass is None:
                raise ValueError(f'particle[{j}] needs `mass`, or set dynamics = "overdamped"')
            if self.dynamics == "overdamped" and particle.friction is None:
                raise ValueError(f'particle[{j}] needs `friction`, as dynamics = "overdamped"')
            if self.dynamics == "overdamped" and particle.stiffness is None:
                raise ValueError(f'particle[{j}] needs `stiffness`, as dynamics = "overdamped"')
        n = len(self.particle)
        if n * self.copies > MOST_PARTICLES:
            raise ValueError(
                f"`copies` must be at most {MOST_PARTICLES // n}, as there may be {MOST_PARTICLES} particles, but is "
                f"{self.copies}"
            )
        self._check_baths()
        for name, matrix in (("coupling", self.coupling), ("momentum_diffusion", self.momentum_diffusion)):
            if matrix is not None and len(matrix) != n:
                raise ValueError(f"`{name}` must be {n} x {n} for {n} particles, but is {len(matrix)} x {len(matrix)}")
        try:
            self._oscillators.langevin()
        except (ScenarioError, NoiseError) as error:
            raise ValueError(str(error).replace("`diffusion`", "`momentum_diffusion`")) from None

    def _check_baths(self) -> None:
        """Raise `ValueError` unless particles name baths, and all of them."""
        known = [bath.name for bath in self.bath]
        for index, name in enumerate(known):
            if name in known[:index]:
                raise ValueError(f"bath[{index}].name must differ from those of the baths before, but is {name!r}")
        for j, particle in enumerate(self.particle):
            if particle.bath is not None and particle.bath not in known:
                there = ", ".join(map(repr, known)) if known else "none; add a table [[bath]]"
                raise ValueError(
                    f"particle[{j}].bath must be the name of a bath, but is {particle.bath!r}; there are {there}"
                )
        used = {particle.bath for particle in self.particle}
        for index, name in enumerate(known):
            if name not in used:
                raise ValueError(f"bath[{index}] has no particles; name it as the `bath` of some, or leave it out")
        if any(bath.heat_capacity is not None for bath in self.bath):
            if self.drive:
                raise ValueError("`drive` cannot be beside baths of a finite heat capacity; leave out one of them")
            if any(p.cubic_stiffness or p.trap != "harmonic" for p in self.particle):
                raise ValueError(
                    "`trap` and `cubic_stiffness` must be those of harmonic traps, as a bath has a finite heat capacity"
                )

    @property
    def n_particles(self) -> int:
        """Number of particles N, in all copies."""
        return len(self.particle) * self.copies

    @property
    def reduced(self) -> bool:
        """Whether the numbers are in reduced units."""
        return self.units == "reduced"

    def oscillators(self) -> Oscillators:
        """The coupled oscillators that the scenario comes to."""
        return self._oscillators

    @cached_property
    def _oscillators(self) -> Oscillators:
        # In reduced units a frequency is an angular one: there is no hertz.
        turn = 1.0 if self.reduced else 2.0 * math.pi
        stiffness = [
            p.stiffness if p.stiffness is not None else (p.mass or 0.0) * (turn * (p.frequency or 0.0)) ** 2
            for p in self.particle
        ]
        friction = [
            p.friction if p.friction is not None else (p.mass or 0.0) * (p.damping_rate or 0.0) for p in self.particle
        ]
        overdamped = self.dynamics == "overdamped"

        def each(value: list[float]) -> FloatArray:
            return np.tile(np.array(value), self.copies)

        def block(matrix: tuple[tuple[float, ...], ...]) -> FloatArray:
            return np.kron(np.eye(self.copies), np.array(matrix))

        temperature = {bath.name: bath.temperature for bath in self.bath}
        return Oscillators(
            mass=None if overdamped else each([p.mass or 0.0 for p in self.particle]),
            stiffness=each(stiffness),
            friction=each(friction),
            bath_temperature=each(
                [(p.bath_temperature or 0.0) if p.bath is None else temperature[p.bath] for p in self.particle]
            ),
            coupling=block(self.coupling or ((0.0,) * len(self.particle),) * len(self.particle)),
            diffusion=None if self.momentum_diffusion is None else block(self.momentum_diffusion),
            axis=self.axes,
            reduced=self.reduced,
            forces=self._forces(each(stiffness)),
            baths=self._baths(),
        )

    def _baths(self) -> Baths | None:
        """The baths that are shared, then those of particles that have one of their own."""
        if not self.bath:
            return None
        number = {bath.name: index for index, bath in enumerate(self.bath)}
        member, name = [], [bath.name for bath in self.bath]
        for j, particle in enumerate(self.particle * self.copies):
            if particle.bath is None:
                name.append(f"of particle {j}")
            member.append(len(name) - 1 if particle.bath is None else number[particle.bath])
        capacity = np.full(len(name), math.inf)
        for index, bath in enumerate(self.bath):
            capacity[index] = math.inf if bath.heat_capacity is None else bath.heat_capacity
        return Baths(member=np.array(member), heat_capacity=capacity, name=tuple(name))

    def _forces(self, stiffness: FloatArray) -> tuple[Force, ...]:
        """What the traps and cubic springs lack of the harmonic ones."""
        result, particles = [], self.particle * self.copies
        if any(p.cubic_stiffness for p in particles):
            result.append(fields.duffing(np.array([p.cubic_stiffness or 0.0 for p in particles])))
        length = np.array([p.trap_length or 1.0 for p in particles])  # of no effect where a trap is harmonic
        for name, build in (("gaussian", fields.gaussian_trap), ("pendulum", fields.pendulum)):
            active = np.array([p.trap == name for p in particles])
            if active.any():
                result.append(build(stiffness, length, active))
        return tuple(result)

    def notes(self) -> list[str]:
        """Warnings about traps that a particle can leave, one sentence each."""
        array, result = self._oscillators, []
        for j, particle in enumerate(self.particle):
            beta, energy = particle.cubic_stiffness or 0.0, float(array.thermal_energy[j])
            if beta < 0:
                result.append(
                    f"The cubic stiffness of particle {j} is negative: its trap ends where the force turns, and a "
                    "trajectory that gets there runs away."
                )
            depth = 0.5 * float(array.stiffness[j]) * (particle.trap_length or 0.0) ** 2
            if particle.trap == "gaussian" and 0 < depth < SHALLOWEST_TRAP * energy:
                result.append(
                    f"The trap of particle {j} is {depth / energy:.2g} k_B T deep: sooner or later a trajectory leaves "
                    "it."
                )
        return result

    def derived(self) -> dict[str, Derived]:
        """Rates and matrices that follow from the numbers."""
        array = self._oscillators

        def unit(si: str) -> str:
            return "" if self.reduced else si

        result = {
            "stiffness": Derived(array.stiffness, unit("N/m"), "restoring stiffness, the others held fixed"),
            "friction": Derived(array.friction, unit("kg/s"), "friction coefficient"),
            "coupling": Derived(array.coupling, unit("N/m"), "C[j, k]: force on j per displacement of k"),
        }
        if array.baths is not None:
            capacity = array.baths.heat_capacity
            result["heat_capacity"] = Derived(capacity, unit("J/K"), f"of the baths {', '.join(array.baths.name)}")
        if array.mass is None:
            rate = array.stiffness / array.friction
            result["relaxation_rate"] = Derived(rate, unit("1/s"), "stiffness over friction")
            return result
        omega = np.sqrt(np.abs(array.stiffness) / array.mass)
        damping = array.friction / array.mass
        result["angular_frequency"] = Derived(omega, unit("rad/s"), "of each particle, the others held fixed")
        result["damping_rate"] = Derived(damping, unit("1/s"), "decay rate of the energy")
        with np.errstate(divide="ignore", over="ignore"):
            result["quality_factor"] = Derived(omega / damping, "", "angular frequency over damping rate")
        return result
