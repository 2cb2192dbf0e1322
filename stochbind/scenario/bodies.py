"""The tables of particles in a scenario of dipoles."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.spatial.transform import Rotation

from stochbind.checks import FloatArray
from stochbind.optics import materials, particles, polarizability
from stochbind.optics.polarizability import Polarizability
from stochbind.quantities import quantity
from stochbind.scenario.illumination import Place
from stochbind.scenario.parts import Part

_Length = Annotated[float, *quantity("length", "positive")]
_Angle = Annotated[float, *quantity("angle")]
_Stiffness = Annotated[float, *quantity("stiffness")]

Model = Literal["mie", "size_corrected", "radiation_corrected", "rayleigh", "first_kerker", "second_kerker"]
#: Of these models the polarizability holds the reaction of the particle's own radiation. Ideal particles count as such:
#: what they scatter and do not take from the light is gain.
WITH_REACTION = ("mie", "size_corrected", "radiation_corrected", "first_kerker", "second_kerker")


class DipoleParticle(Part):
    """One sphere or ellipsoid.

    Give `radius` or `semi_axes`, and `refractive_index` (with `extinction_coefficient`, its imaginary part, if it
    absorbs) or `material`. `orientation` are the angles that turn an ellipsoid: about z, the new y and the new z axis.

    `polarizability` is the model: "mie" for a sphere's exact electric and magnetic dipoles (by default),
    "size_corrected" for small ellipsoids to second order in size over wavelength (their default),
    "radiation_corrected" for the static one with the reaction of its radiation, "rayleigh" without it; "first_kerker"
    and "second_kerker" for ideal particles whose magnetic polarizability is plus or minus the electric one of Rayleigh.

    `stiffness` is that of a trap of another kind beside the light, centred at `position`, along x, y and z.
    """

    position: Place
    radius: _Length | None = None
    semi_axes: tuple[_Length, _Length, _Length] | None = None
    orientation: tuple[_Angle, _Angle, _Angle] | None = None
    density: Annotated[float, *quantity("density", "positive")]
    refractive_index: Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)] | None = None
    extinction_coefficient: Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)] | None = None
    material: Annotated[str, Field(max_length=100)] | None = None
    polarizability: Model | None = None
    stiffness: tuple[_Stiffness, _Stiffness, _Stiffness] | None = None
    bath_temperature: Annotated[float, *quantity("temperature", "not negative")] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.radius is None) == (self.semi_axes is None):
            raise ValueError("needs either `radius` or `semi_axes`, and not both")
        if (self.refractive_index is None) == (self.material is None):
            raise ValueError("needs either `refractive_index` or `material`, and not both")
        if self.extinction_coefficient is not None and self.refractive_index is None:
            raise ValueError("has an `extinction_coefficient` without `refractive_index`; a material has its own")
        if self.material is not None and self.material not in materials.MATERIALS:
            known = ", ".join(sorted(materials.MATERIALS))
            raise ValueError(f"material must be one of {known}, but is {self.material!r}")
        if self.orientation is not None and self.semi_axes is None:
            raise ValueError("has an `orientation`, but a sphere has none; give `semi_axes` instead of `radius`")
        if self.semi_axes is not None and self.polarizability in ("mie", "first_kerker", "second_kerker"):
            raise ValueError(
                f'has polarizability = "{self.polarizability}", which is for spheres; set "size_corrected", '
                '"radiation_corrected" or "rayleigh"'
            )
        return self

    @property
    def model(self) -> Model:
        """Model of the polarizability, given or by default."""
        return self.polarizability or ("mie" if self.semi_axes is None else "size_corrected")

    @property
    def axes(self) -> tuple[float, float, float]:
        """Semi-axes of the body [m]; three radii of a sphere."""
        return self.semi_axes or (self.radius or 0.0,) * 3

    @property
    def largest_radius(self) -> float:
        """Radius of the smallest sphere around it [m]."""
        return max(self.axes)

    @property
    def mean_radius(self) -> float:
        """Radius of the sphere of its volume [m]."""
        return math.prod(self.axes) ** (1.0 / 3.0)

    @property
    def rotation(self) -> Rotation | None:
        """From the axes of the body to the laboratory; none of a sphere."""
        if self.semi_axes is None:
            return None
        return Rotation.from_euler("ZYZ", self.orientation or (0.0, 0.0, 0.0))

    @property
    def mass(self) -> float:
        """Mass [kg]."""
        return self.density * float(particles.ellipsoid_volume(np.array(self.axes)))

    @property
    def inertia(self) -> FloatArray:
        """Tensor of inertia in the frame of the laboratory [kg m^2], (3, 3)."""
        principal = particles.moments_of_inertia(np.array(self.axes), self.mass)
        return np.asarray(particles.lab_frame(principal, self.rotation).real)

    def index(self, wavelength: float) -> complex:
        """Complex refractive index at a wavelength [m]."""
        if self.material is not None:
            return materials.refractive_index(self.material, wavelength)
        return complex(self.refractive_index or 0.0, self.extinction_coefficient or 0.0)

    def polarizability_at(self, wavelength: float) -> Polarizability:
        """Polarizability of the model in the frame of the laboratory."""
        k, index = 2.0 * math.pi / wavelength, self.index(wavelength)
        if self.model == "mie":
            return polarizability.mie(self.axes[0], index, k)
        if self.model == "size_corrected":
            return polarizability.size_corrected(self.axes, index, k, self.rotation)
        static = polarizability.ellipsoid(self.axes, index, self.rotation)
        if self.model == "radiation_corrected":
            return static.with_radiation_reaction(k)
        if self.model == "first_kerker":
            return polarizability.kerker_first(static.electric)
        if self.model == "second_kerker":
            return polarizability.kerker_second(static.electric)
        return static
