"""The tables of light in a scenario of dipoles: plane waves and tweezers of one wavelength."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import waves
from stochbind.optics.waves.polarizations import LARGEST_COMPONENT_ALONG
from stochbind.quantities import quantity
from stochbind.scenario.parts import Part

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Length = Annotated[float, *quantity("length")]
# A direction in space, of any length.
Direction = tuple[_Number, _Number, _Number]
# A place [m].
Place = tuple[_Length, _Length, _Length]


class DipoleLight(Part):
    """The light's wavelength, and how it is followed.

    `scattering` is how far: "multiple" for particles that light each other until all agree; "one_event" for the light
    that each scatters of the lasers alone; "single" for the forces to first order in that; "far_field" for its part
    that falls off as 1/distance. `forces` is "linear" for the Jacobian at the origin of the motion, or "full" for the
    forces as functions of all displacements.
    """

    wavelength: Annotated[float, *quantity("length", "positive")]
    scattering: Literal["multiple", "one_event", "single", "far_field"] = "multiple"
    forces: Literal["linear", "full"] = "linear"


def _unit(vector: Direction) -> FloatArray:
    """The vector as one of length 1."""
    scaled = np.array(vector) / np.abs(vector).max()  # so that no square overflows or vanishes
    result: FloatArray = scaled / np.linalg.norm(scaled)
    return result


class _Wave(Part):
    """What plane waves and tweezers have in common.

    `polarization` is the direction of the electric field, or of the major axis of its ellipse; `ellipticity` is the
    angle whose tangent is minor over major axis, 45 degrees for circular light of positive helicity, -45 of negative.
    `phase` is that of the field at the origin, or at the focus of a tweezer. `standing` adds the wave that a mirror
    sends back, of relative phase `standing_phase`. Waves of different `detuning` do not interfere on average.
    """

    direction: Direction
    polarization: Direction
    ellipticity: Annotated[float, *quantity("angle")] = 0.0
    phase: Annotated[float, *quantity("angle")] = 0.0
    detuning: Annotated[float, *quantity("frequency")] = 0.0
    peak_field: Annotated[float, *quantity("electric field", "positive")] | None = None
    standing: Annotated[bool, Field(strict=True)] = False
    standing_phase: Annotated[float, *quantity("angle")] = 0.0

    @model_validator(mode="after")
    def _check_directions(self) -> Self:
        if not any(self.direction):
            raise ValueError("`direction` must not be zero, but is [0, 0, 0]; give a vector along the wave")
        if not any(self.polarization):
            raise ValueError(
                "`polarization` must not be zero, but is [0, 0, 0]; give a vector perpendicular to `direction`"
            )
        along = abs(_unit(self.direction) @ _unit(self.polarization))
        if along > LARGEST_COMPONENT_ALONG:
            raise ValueError(
                f"`polarization` must be perpendicular to `direction`, but its component along it is {along:.6g} of "
                "its length; choose a vector perpendicular to `direction`; set `ellipticity` for circular light"
            )
        return self

    @model_validator(mode="after")
    def _check_ellipticity(self) -> Self:
        if abs(self.ellipticity) > math.pi / 4 + 1e-12:
            raise ValueError(
                f"`ellipticity` must be between -45 deg and 45 deg, but is {math.degrees(self.ellipticity):.6g} deg"
            )
        if self.standing_phase and not self.standing:
            raise ValueError("has a `standing_phase`, but no standing wave; set standing = true")
        return self

    def _vector(self) -> ComplexArray:
        """Polarization, with the minor axis of its ellipse a quarter of a period behind."""
        major = _unit(self.polarization)
        minor = np.cross(_unit(self.direction), major)
        result: ComplexArray = math.cos(self.ellipticity) * major + 1j * math.sin(self.ellipticity) * minor
        return result

    def _standing(self, wave: waves.PlaneWave | waves.GaussianTweezer) -> tuple[waves.Wave, ...]:
        if not self.standing:
            return (wave,)
        return waves.standing_wave(wave, self.standing_phase).waves


class PlaneWaveTable(_Wave):
    """A plane wave. Give `intensity` or `peak_field`."""

    kind: Literal["plane"] = "plane"
    intensity: Annotated[float, *quantity("intensity", "positive")] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.intensity is None) == (self.peak_field is None):
            raise ValueError("needs either `intensity` or `peak_field`, and not both")
        return self

    def waves(self, wavelength: float) -> tuple[waves.Wave, ...]:
        """The wave, and the one that comes back if it is a standing one."""
        peak = self.peak_field if self.peak_field is not None else waves.amplitude_of_intensity(self.intensity or 0.0)
        return self._standing(
            waves.PlaneWave(
                wavelength=wavelength,
                direction=np.array(self.direction),
                polarization=self._vector(),
                amplitude=peak,
                phase=self.phase,
                detuning=self.detuning,
            )
        )


class TweezerTable(_Wave):
    """A Gaussian tweezer. Give `power` or `peak_field`.

    `longitudinal` adds the field along the beam that a focused beam has, to first order in 1/(k waist).
    """

    kind: Literal["tweezer"] = "tweezer"
    focus: Place
    waist: Annotated[float, *quantity("length", "positive")]
    power: Annotated[float, *quantity("power", "positive")] | None = None
    longitudinal: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.power is None) == (self.peak_field is None):
            raise ValueError("needs either `power` or `peak_field`, and not both")
        return self

    def waves(self, wavelength: float) -> tuple[waves.Wave, ...]:
        """The tweezer, and the one that comes back if it is a standing wave."""
        peak = self.peak_field
        if peak is None:
            peak = waves.amplitude_of_power(self.power or 0.0, self.waist)
        return self._standing(
            waves.GaussianTweezer(
                wavelength=wavelength,
                waist=self.waist,
                focus=np.array(self.focus),
                direction=np.array(self.direction),
                polarization=self._vector(),
                amplitude=peak,
                phase=self.phase,
                detuning=self.detuning,
                longitudinal=self.longitudinal,
            )
        )


def _at_its_wavelength(table: PlaneWaveTable | TweezerTable, info: ValidationInfo) -> PlaneWaveTable | TweezerTable:
    """Check what takes the wavelength of the scenario, while it is known which of the waves this is."""
    light = info.data.get("light")
    if isinstance(light, DipoleLight):  # else it has a fault of its own
        try:
            table.waves(light.wavelength)
        except ScenarioError as error:
            raise ValueError(str(error)) from None
    return table


Waves = Annotated[PlaneWaveTable | TweezerTable, Field(discriminator="kind"), AfterValidator(_at_its_wavelength)]
