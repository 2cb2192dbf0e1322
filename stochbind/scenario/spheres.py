"""The tables of a tweezer scenario: its light, its gas, and its spheres."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stochbind.checks import FloatArray
from stochbind.optics import gas
from stochbind.quantities import quantity
from stochbind.scenario.parts import Part


class Light(Part):
    """The laser of all tweezers. They travel along z and share one waist.

    `binding` is "far_field" for the published couplings, first order in 1/distance, or "exact" for those of the whole
    dipole field. `forces` is "linear" for traps and couplings as they are at the foci, or "full" for Gaussian traps,
    radiation pressure and optical binding as functions of the displacements.
    """

    wavelength: Annotated[float, *quantity("length", "positive")]
    waist: Annotated[float, *quantity("length", "positive")]
    binding: Literal["far_field", "exact"] = "far_field"
    forces: Literal["linear", "full"] = "linear"


class Gas(Part):
    """The residual gas. `viscosity` is needed only for a gas other than air that is not dilute."""

    pressure: Annotated[float, *quantity("pressure", "not negative")]
    temperature: Annotated[float, *quantity("temperature", "positive")]
    molar_mass: Annotated[float, *quantity("molar mass", "positive")] = gas.AIR_MOLAR_MASS
    viscosity: Annotated[float, *quantity("viscosity", "positive")] | None = None

    @property
    def _viscosity(self) -> float:
        return self.viscosity if self.viscosity is not None else gas.air_viscosity(self.temperature)

    def require_viscosity(self, radius: FloatArray) -> None:
        """Raise `ValueError` if spheres of these radii [m] feel a viscosity that is not known."""
        if self.viscosity is None and self.molar_mass != gas.AIR_MOLAR_MASS and self.pressure > 0:
            path = gas.mean_free_path(self.pressure, self.temperature, self.molar_mass, self._viscosity)
            knudsen = float((path / radius).min())
            if knudsen < 100.0:
                raise ValueError(
                    f"gas.viscosity is needed, as the gas is neither air nor dilute (Knudsen number {knudsen:.3g})"
                )

    def friction(self, radius: FloatArray) -> FloatArray:
        """Friction coefficient of spheres of these radii [kg/s]; see `stochbind.optics.gas.friction`."""
        return gas.friction(radius, self.pressure, self.temperature, self.molar_mass, self._viscosity)


class Sphere(Part):
    """One sphere in its tweezer.

    `position` is that of the focus in the plane z = 0; `phase` that of the light there; `polarization` the angle
    between its electric field and the x axis. Give `power` or `peak_field`, and `refractive_index` or `permittivity`.
    """

    radius: Annotated[float, *quantity("length", "positive")]
    density: Annotated[float, *quantity("density", "positive")]
    refractive_index: Annotated[float, Field(strict=True, gt=1.0, allow_inf_nan=False)] | None = None
    permittivity: Annotated[float, Field(strict=True, gt=1.0, allow_inf_nan=False)] | None = None
    position: tuple[Annotated[float, *quantity("length")], Annotated[float, *quantity("length")]]
    power: Annotated[float, *quantity("power", "positive")] | None = None
    peak_field: Annotated[float, *quantity("electric field", "positive")] | None = None
    phase: Annotated[float, *quantity("angle")] = 0.0
    polarization: Annotated[float, *quantity("angle")]
    bath_temperature: Annotated[float, *quantity("temperature", "not negative")] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.refractive_index is None) == (self.permittivity is None):
            raise ValueError("needs either `refractive_index` or `permittivity`, and not both")
        if (self.power is None) == (self.peak_field is None):
            raise ValueError("needs either `power` or `peak_field`, and not both")
        return self
