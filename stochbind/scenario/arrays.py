"""Scenarios of identical particles in a lattice, given by rates: PRA, eqs. (96)-(98)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.langevin import Langevin
from stochbind.optics import chains
from stochbind.oscillators import Oscillators
from stochbind.protocols import Protocol, in_units_of
from stochbind.protocols.protocol import LARGEST_SCHEDULE
from stochbind.quantities import quantity
from stochbind.quantum.modulation import PIECES
from stochbind.scenario.base import Derived, Scenario
from stochbind.scenario.lattices import PhaseLattice

#: Recoil heating over coupling rate and kd, below which no light is, across the line of two particles.
LEAST_RECOIL = 14.0 / 15.0
#: Of more particles the largest stable coupling rate is not derived: its time grows with the cube of their number.
_MOST_FOR_LIMIT = 1000
#: Largest coupling, as a share of the coupling rate, that counts as none.
_NO_COUPLING = 1e-12


class ArrayScenario(Scenario):
    r"""N identical particles in equal tweezers, coupled along the beams by the light they scatter, given by rates.

    `frequency` is that of each particle with optical binding included, the others held fixed: powers are taken as
    tuned so that it is the same for all. `coupling_rate` is the largest one of two neighbours, `recoil_rate` the recoil
    heating of each particle; without it recoil noise is left out. `polarization` is the angle between linearly
    polarized light and the x axis; by default the coupling is the same in all directions.

    With a `phase_rate` f the phases run,

    .. math:: \varphi_j(t) = \varphi_j - 2\pi f n_j t ,

    where :math:`n_j` counts phase steps: j along a chain, so that :math:`\varphi_j - \varphi_{j+1}` grows. The laser of
    each tweezer is then f above that of the one before, which is far too little to change k. Couplings :math:`C(t)` and
    recoil :math:`D(t)` follow the phases, and so does the stiffness,

    .. math:: u_j(t) = m\omega_0^2 + \sum_k [C_{jk}(t) - \bar C_{jk}] ,

    as the frequency is that with the average :math:`\bar C` over time: of a chain, that of each particle alone.
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
    phase_rate: Annotated[float, *quantity("frequency")] | None = None
    lattice: PhaseLattice

    def _check_physics(self) -> None:
        try:
            self._oscillators.langevin()
        except (ScenarioError, NoiseError) as error:
            raise ValueError(str(error).replace("`recoil` must", "the diffusion by recoil must")) from None
        size = 16 * self._n_pieces * (2 * self.n_particles) ** 2
        if self.modulated and size > LARGEST_SCHEDULE:
            raise ValueError(
                f"`phase_rate` of {self.n_particles} particles needs {size / 2**20:.0f} MiB of equations (limit "
                f"{LARGEST_SCHEDULE // 2**20} MiB); use fewer particles, or alternating phases"
            )

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

    @property
    def modulated(self) -> bool:
        """Whether phases run, and with them the couplings."""
        return bool(self.phase_rate) and not self._in_step.all()

    @cached_property
    def rates(self) -> FloatArray:
        """Coupling rates [1/s], shape (N, N), the effect on j of k; averages over time if the phases run."""
        return np.where(self._in_step, self.rates_at(0.0), 0.0) if self.modulated else self.rates_at(0.0)

    @cached_property
    def recoil(self) -> ComplexArray | None:
        r"""Momentum diffusion in units of :math:`\hbar m\omega_0` [1/s], shape (N, N), or None if it is left out.

        Averaged over time, if the phases run.
        """
        whole = self.recoil_at(0.0)
        return np.where(self._in_step, whole, 0.0) if whole is not None and self.modulated else whole

    def rates_at(self, time: float) -> FloatArray:
        """Coupling rates [1/s] at a time [s], shape (N, N); see `stochbind.optics.chains.couplings`."""
        return self._rates_at(time, self.coupling_rate)

    def recoil_at(self, time: float) -> ComplexArray | None:
        """Momentum diffusion at a time [s], as `recoil`; see `stochbind.optics.chains.recoil`."""
        if self.recoil_rate is None:
            return None
        return chains.recoil(
            self.lattice.places(self.lattice.distance_phase),
            self._phase_at(time),
            self.recoil_rate,
            self.coupling_rate,
            polarization=self.polarization,
        )

    def driven(self, equations: Langevin) -> Langevin | Protocol:
        r"""Equations of these particles with phases that run, and drives; see `Scenario.driven`.

        Phases are held through each of 64 pieces of the fastest period, at their value in its middle. Of what the
        couplings do that leaves the part :math:`\sin(x)/x` with :math:`x = \pi/64`: less than 0.05 % is lost.
        """
        if not self.modulated:
            return super().driven(equations)
        if not equations.forces:
            return self._protocol
        pieces = [(duration, piece.with_forces(*equations.forces)) for duration, piece in self._protocol.pieces]
        return Protocol(pieces=tuple(pieces), periodic=True, drives=tuple(self._drives))

    @property
    def stable(self) -> bool:
        """Whether every mode decays; if the phases run, in the long run of their periods."""
        return self._protocol.stable if self.modulated else super().stable

    @property
    def growth_rate(self) -> float:
        """Largest growth rate of a mode [1/s]; if the phases run, in the long run of their periods."""
        return self._protocol.growth_rate if self.modulated else super().growth_rate

    @property
    def verdict(self) -> str:
        """Whether the array is stable, in words."""
        if not self.modulated:
            return super().verdict
        unit = "" if self.reduced else " 1/s"
        if self.stable:
            return f"stable while its phases run: the slowest mode decays at {-self.growth_rate:.6g}{unit}"
        return f"not stable while its phases run: the largest growth rate of a mode is {self.growth_rate:.6g}{unit}"

    @cached_property
    def _protocol(self) -> Protocol:
        """The equations with phases that run."""
        reference, duration = self.langevin(), 2.0 * math.pi / abs(self._phase_speed)

        def at(time: float) -> Langevin:
            array = self._array(self.rates_at(time), self.recoil_at(time))
            return in_units_of(array.langevin(), reference)

        return Protocol.sampled(at, duration, self._n_pieces, periodic=True, drives=self._drives)

    @property
    def _phase_speed(self) -> float:
        """Rate of the phase between neighbours [rad/s]."""
        return (self.phase_rate or 0.0) * (1.0 if self.reduced else 2.0 * math.pi)

    def _rates_at(self, time: float, coupling_rate: float) -> FloatArray:
        return chains.couplings(
            self.lattice.places(self.lattice.distance_phase),
            self._phase_at(time),
            coupling_rate,
            polarization=self.polarization,
        )

    def _phase_at(self, time: float) -> FloatArray:
        return self.lattice.phase - self._phase_speed * time * self.lattice.phase_steps

    @property
    def _couples(self) -> bool:
        """Whether light goes from any particle to another."""
        return bool(np.abs(self.rates_at(0.0)).max() > _NO_COUPLING * self.coupling_rate)

    @cached_property
    def _in_step(self) -> npt.NDArray[np.bool_]:
        """Which particles keep their phase to each other, (N, N)."""
        steps = self.lattice.phase_steps
        result: npt.NDArray[np.bool_] = steps[:, None] == steps
        return result

    @property
    def _n_pieces(self) -> int:
        """Pieces of a period of the phase between neighbours, by that between the particles where it is fastest."""
        return PIECES * int(np.ptp(self.lattice.phase_steps))

    def oscillators(self) -> Oscillators:
        """The coupled oscillators: displacements along the light."""
        return self._oscillators

    @cached_property
    def _oscillators(self) -> Oscillators:
        return self._array(self.rates, self.recoil)

    def _array(self, rates: FloatArray, recoil: ComplexArray | None) -> Oscillators:
        """The oscillators with these rates, where their average over time is part of the frequency."""
        n, momentum = self.n_particles, self.mass * self.angular_frequency
        action = momentum * (1.0 if self.reduced else constants.hbar)
        return Oscillators(
            mass=np.full(n, self.mass),
            stiffness=momentum * (self.angular_frequency + 2.0 * (rates - self.rates).sum(axis=1)),
            friction=np.full(n, self.mass * self.damping_rate),
            bath_temperature=np.full(n, self.bath_temperature),
            coupling=2.0 * momentum * rates,
            diffusion=None if recoil is None else action * recoil,
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
            "mass": Derived(self.mass, unit("kg"), "of each particle"),
            "damping_rate": Derived(gamma, unit("1/s"), "of each particle, of velocities"),
            "position_phase": Derived(
                self.lattice.places(self.lattice.distance_phase), unit("rad"), "places times the wave number k"
            ),
            "phase": Derived(self.lattice.phase, unit("rad"), "of the tweezers"),
            "angular_frequency": Derived(omega, unit("rad/s"), "of each particle, the others held fixed"),
            "coupling": Derived(array.coupling, unit("N/m"), "C[j, k]: force on j per displacement of k"),
            "coupling_rates": Derived(self.rates, unit("rad/s"), "C[j, k] over 2 m w"),
        }
        if self.modulated:
            result["phase_rate"] = Derived(
                self.phase_rate or 0.0, unit("Hz"), "of phases between neighbours; the matrices are averages over time"
            )
            result["coupling_rates_at_start"] = Derived(self.rates_at(0.0), unit("rad/s"), "the same at time zero")
        if gamma > 0:
            result["quality_factor"] = Derived(omega / gamma, "", "angular frequency over damping rate")
        if gamma > 0 and not self.modulated and self.n_particles <= _MOST_FOR_LIMIT:
            limit = chains.stability_limit(self._rates_at(0.0, 1.0), omega, gamma)
            result["largest_stable_coupling_rate"] = Derived(limit, unit("1/s"), "above it a mode grows")
        if gamma > 0:
            quanta = gamma * array.thermal_energy[0] / (array.reduced_planck * omega)
            result["gas_heating_rate"] = Derived(quanta, unit("1/s"), "quanta that the gas gives to each particle")
        if self.recoil_rate is not None:
            result["recoil_heating_rate"] = Derived(
                self.recoil_rate, unit("1/s"), "quanta that recoil gives to each particle"
            )
        if self.recoil is not None:
            result["recoil_real"] = Derived(self.recoil.real, unit("1/s"), "Re D over hbar m w: recoil noise")
            result["recoil_imaginary"] = Derived(self.recoil.imag, unit("1/s"), "Im D over hbar m w: antireciprocity")
        return result

    def notes(self) -> list[str]:
        """Warnings about the validity of the model for these numbers, one sentence each."""
        notes = []
        if self.modulated:
            notes.append("Phases run: couplings, modes and steady states that are told are of averages over time.")
        if self.n_particles > 1 and self.coupling_rate > 0 and not self._couples:
            notes.append(
                "Nothing couples the particles, as they are in line with the polarization, along which dipoles scatter "
                "no light, or at phases that cancel; turn `polarization`, or change the phases."
            )
            return notes
        least = LEAST_RECOIL * self.coupling_rate * self.lattice.distance_phase
        unit = "" if self.reduced else " 1/s"
        if self.n_particles == 1 or least == 0.0:
            return notes
        if self.recoil is None:
            notes.append(
                "Recoil noise is left out; light that couples neighbours so heats each particle at a recoil rate of "
                f"{least:.6g}{unit} or more."
            )
        elif (self.recoil_rate or 0.0) < least:
            notes.append(
                f"The recoil rate of {self.recoil_rate:.6g}{unit} is less than that of any light that couples "
                f"neighbours so, {least:.6g}{unit}."
            )
        return notes
