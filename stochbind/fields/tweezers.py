"""All forces of light on an array of spheres, where they balance, and what they are about that place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.fields import light
from stochbind.forces import Force

#: Newton's method takes fewer than ten steps where there is an equilibrium near the foci.
LARGEST_NUMBER_OF_STEPS = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class TweezerForces:
    """Forces along the beams on N spheres in N parallel Gaussian tweezers: of their own light, and of each other's.

    The equations of each are those of `stochbind.fields.tweezer` and `stochbind.fields.optical_binding`.

    Parameters
    ----------
    stiffness, radiation_pressure : (N,) float
        Of each tweezer, at its focus [N/m], [N].
    position : (N, 2) float
        Foci in the plane z = 0 [m].
    field : (N, 2) complex
        Field amplitude at each focus [V/m].
    polarizability : (N,) float
        Susceptibility times volume [m^3].
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].

    Raises
    ------
    ScenarioError
        When a force is first asked for, if an array has the wrong shape or a number is impossible.
    """

    stiffness: FloatArray
    radiation_pressure: FloatArray
    position: FloatArray
    field: ComplexArray
    polarizability: FloatArray
    wavenumber: float
    z_r: float

    def forces(self, about: FloatArray | None = None) -> tuple[Force, Force]:
        """The force fields: of each particle's own tweezer, and between all pairs.

        Parameters
        ----------
        about : (N,) float, optional
            Distances from the foci [m]. Given, the results are the remainders about them.

        Returns
        -------
        tuple of 2 Force
            One-body and pair forces.
        """
        k, z_r = self.wavenumber, self.z_r
        return (
            light.tweezer(self.stiffness, self.radiation_pressure, k, z_r, about),
            light.optical_binding(self.position, self.field, self.polarizability, k, z_r, about),
        )

    @cached_property
    def _parameters(self) -> tuple[FloatArray, FloatArray]:
        """Of the whole forces, one array for each parameter: the functions take arrays of particles like that."""
        own, pair = self.forces()
        return own.parameters.T, np.moveaxis(pair.parameters, -1, 0)

    def force(self, z: FloatArray) -> FloatArray:
        """Whole force on each sphere.

        Parameters
        ----------
        z : (N,) float
            Distances from the foci [m].

        Returns
        -------
        (N,) float
            Forces along the beams [N].
        """
        own, pair = self._parameters
        by_others = light.optical_binding_force(z[:, None], z[None, :], pair).sum(axis=1)  # zero for j itself
        result: FloatArray = light.tweezer_force(z, own) + by_others
        return result

    def tweezer_stiffness(self, z: FloatArray) -> FloatArray:
        """Stiffness of each sphere's own tweezer, with its radiation pressure.

        Parameters
        ----------
        z : (N,) float
            Distances from the foci [m].

        Returns
        -------
        (N,) float
            Minus the slope of the force [N/m].
        """
        result: FloatArray = -light.tweezer_slope(z, self._parameters[0])
        return result

    def force_matrix(self, z: FloatArray) -> FloatArray:
        """Minus the Jacobian of `force`, in closed form.

        Parameters
        ----------
        z : (N,) float
            Distances from the foci [m].

        Returns
        -------
        (N, N) float
            Stiffness of each particle on the diagonal, minus the couplings beside it [N/m].
        """
        by_j, by_k = light.optical_binding_slopes(z[:, None], z[None, :], self._parameters[1])
        result: FloatArray = np.diag(self.tweezer_stiffness(z) - by_j.sum(axis=1)) - by_k  # by_k: zero for j itself
        return result

    @cached_property
    def equilibrium(self) -> FloatArray:
        """Distances from the foci where all forces vanish and every trap holds [m], shape (N,).

        By Newton's method from the foci, in steps of at most a quarter of the Rayleigh range.

        Raises
        ------
        ScenarioError
            If there is no such place.
        """
        z = np.zeros(len(self.stiffness))
        for _ in range(LARGEST_NUMBER_OF_STEPS):
            matrix = self.force_matrix(z)
            try:
                step = np.linalg.solve(matrix, self.force(z))
            except np.linalg.LinAlgError:
                break
            largest = float(np.abs(step).max())
            if largest < 1e-13 * self.z_r:
                if (np.diagonal(matrix) > 0).all():
                    result: FloatArray = z + step
                    return result
                break  # on the far side of a barrier
            if not largest < np.inf:
                break
            z = z + step * min(1.0, 0.25 * self.z_r / largest)
        raise ScenarioError(
            "These tweezers have no mechanical equilibrium near their foci: radiation pressure and optical binding "
            "push a particle out of its trap; use smaller particles, a smaller waist or larger distances."
        )
