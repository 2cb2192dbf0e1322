"""Scenarios of identical particles in a lattice, given by rates: PRA, eqs. (96)-(98)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.optics import chains
from stochbind.oscillators import Oscillators
from stochbind.quantities import quantity
from stochbind.scenario.base import Derived, Scenario
from stochbind.scenario.lattices import PhaseLattice

#: Recoil heating over coupling rate and kd, below which no light is, across the line of two particles.
LEAST_RECOIL = 14.0 / 15.0


class ArrayScenario(Scenario):
    """N identical particles in equal tweezers, coupled along the beams by the light they scatter, given by rates.

    `frequency` is that of each particle with optical binding included, the others held fixed: powers are taken as
    tuned so that it is the same for all. `coupling_rate` is the largest one of two neighbours, `recoil_rate` the recoil
    heating of each particle; without it recoil noise is left out. `polarization` is the angle between linearly
    polarized light and the x axis; by default the coupling is the same in all directions.
    """

    kind: Literal["array"] = "array"
    units: Literal["SI", "reduced"] = "SI"
    mass: Annotated[float, *quantity("mass", "positive")]
    frequency: Annotated[float, *quantity("frequency", "positive")]
    damping_rate: Annotated[float, *quantity("rate", "not negative")]
    bath_temperature: Annotated[float, *quantity("temperature", "not negative")]
    coupling_rate: Annotated[float, *quantity("rate", "not negative")]
    recoil_rate: Annotated[float, *quantity("rate", "not negative")] | None = None
    polarization: Annotated[float, *quantity("angle")] | None = None
    lattice: PhaseLattice

    def _check_physics(self) -> None:
        try:
            self._oscillators.langevin()
        except (ScenarioError, NoiseError) as error:
            raise ValueError(str(error).replace("`recoil` must", "the diffusion by recoil must")) from None

    @property
    def n_particles(self) -> int:
        """Number of particles N."""
        return self.lattice.n_places

    @property
    def axes(self) -> tuple[str, ...]:
        """The one direction along which particles move: that of the light."""
        return ("z",)

    @property
    def reduced(self) -> bool:
        """Whether the numbers are in reduced units."""
        return self.units == "reduced"

    @property
    def angular_frequency(self) -> float:
        """Frequency of each particle [rad/s], optical binding included; in reduced units it is the one given."""
        return self.frequency if self.reduced else 2.0 * math.pi * self.frequency

    @cached_property
    def rates(self) -> FloatArray:
        """Coupling rates [1/s], shape (N, N), the effect on j of k; see `stochbind.optics.chains.couplings`."""
        return chains.couplings(
            self.lattice.places(self.lattice.distance_phase),
            self.lattice.phase,
            self.coupling_rate,
            polarization=self.polarization,
        )

    @cached_property
    def recoil(self) -> ComplexArray | None:
        r"""Momentum diffusion in units of :math:`\hbar m\omega_0` [1/s], shape (N, N), or None if it is left out."""
        if self.recoil_rate is None:
            return None
        return chains.recoil(
            self.lattice.places(self.lattice.distance_phase),
            self.lattice.phase,
            self.recoil_rate,
            self.coupling_rate,
            polarization=self.polarization,
        )

    def oscillators(self) -> Oscillators:
        """The coupled oscillators: displacements along the light."""
        return self._oscillators

    @cached_property
    def _oscillators(self) -> Oscillators:
        n, momentum = self.n_particles, self.mass * self.angular_frequency
        action = momentum * (1.0 if self.reduced else constants.hbar)
        return Oscillators(
            mass=np.full(n, self.mass),
            stiffness=np.full(n, momentum * self.angular_frequency),
            friction=np.full(n, self.mass * self.damping_rate),
            bath_temperature=np.full(n, self.bath_temperature),
            coupling=2.0 * momentum * self.rates,
            diffusion=None if self.recoil is None else action * self.recoil,
            axis=self.axes,
            reduced=self.reduced,
        )

    @checks.in_range()
    def derived(self) -> dict[str, Derived]:
        """Rates and matrices that follow from the numbers."""
        array, omega, gamma = self._oscillators, self.angular_frequency, self.damping_rate

        def unit(si: str) -> str:
            return "" if self.reduced else si

        result = {
            "position_phase": Derived(
                self.lattice.places(self.lattice.distance_phase), unit("rad"), "places times the wave number k"
            ),
            "phase": Derived(self.lattice.phase, unit("rad"), "of the tweezers"),
            "angular_frequency": Derived(omega, unit("rad/s"), "of each particle, the others held fixed"),
            "coupling": Derived(array.coupling, unit("N/m"), "C[j, k]: force on j per displacement of k"),
            "coupling_rates": Derived(self.rates, unit("rad/s"), "C[j, k] over 2 m w"),
        }
        if gamma > 0:
            factor = chains.stability_limit(self.rates, omega, gamma)
            limit = self.coupling_rate * factor if math.isfinite(factor) else math.inf
            result["quality_factor"] = Derived(omega / gamma, "", "angular frequency over damping rate")
            result["largest_stable_coupling_rate"] = Derived(limit, unit("1/s"), "above it a mode grows")
        if self.recoil is not None:
            result["recoil_real"] = Derived(self.recoil.real, unit("1/s"), "Re D over hbar m w: recoil noise")
            result["recoil_imaginary"] = Derived(self.recoil.imag, unit("1/s"), "Im D over hbar m w: antireciprocity")
        return result

    def notes(self) -> list[str]:
        """Warnings about the validity of the model for these numbers, one sentence each."""
        least = LEAST_RECOIL * self.coupling_rate * self.lattice.distance_phase
        if self.n_particles == 1 or least == 0.0:
            return []
        unit = "" if self.reduced else " 1/s"
        if self.recoil is None:
            return [
                "Recoil noise is left out; light that couples neighbours so heats each particle at a recoil rate of "
                f"{least:.6g}{unit} or more."
            ]
        if (self.recoil_rate or 0.0) < least:
            return [
                f"The recoil rate of {self.recoil_rate:.6g}{unit} is less than that of any light that couples "
                f"neighbours so, {least:.6g}{unit}."
            ]
        return []
