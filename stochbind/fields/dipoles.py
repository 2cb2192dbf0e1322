"""Whole forces of light on dipoles, beyond the linear terms about one place: forces of all particles at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.forces import Force
from stochbind.optics.trapped import TrappedDipoles


@dataclass(frozen=True, eq=False)
class Remainder:
    """Forces on dipoles less their value and their linear terms at one place.

    Each column of displacements comes out as it does alone, so that trajectories do not depend on how they are batched.
    Where particles touch, the forces are NaN: that trajectory has diverged.

    Parameters
    ----------
    array : TrappedDipoles
        The particles, their light and their traps.
    origin : (N, 3) float
        The place [m].
    free : (D,) int
        Coordinates that move, of the 3N.
    force : (D,) float
        Forces there [N].
    jacobian : (D, D) float
        Their derivatives [N/m].
    """

    array: TrappedDipoles
    origin: FloatArray
    free: npt.NDArray[np.int64]
    force: FloatArray
    jacobian: FloatArray

    def __call__(self, displacement: FloatArray, parameters: FloatArray) -> FloatArray:
        """Forces (D, B) [N] at displacements (D, B) [m]; there are no parameters."""
        place = np.repeat(self.origin.reshape(1, -1), displacement.shape[1], axis=0)
        place[:, self.free] += displacement.T
        lost = self._collided(place)
        place[lost] = self.origin.ravel()
        whole = self.array.force(place.reshape(-1, *self.origin.shape)).reshape(len(place), -1)[:, self.free].T
        whole[:, lost] = np.nan
        linear = np.repeat(self.force[:, None], displacement.shape[1], axis=1)
        for column, moved in zip(self.jacobian.T, displacement, strict=True):  # no BLAS, whose sums depend on the shape
            linear += column[:, None] * moved
        result: FloatArray = whole - linear
        return result

    def _collided(self, place: FloatArray) -> npt.NDArray[np.bool_]:
        """Where particles touch, or are nowhere: no force is known there, and the trajectory ends."""
        lost: npt.NDArray[np.bool_] = ~np.asarray(np.isfinite(place).all(axis=1))
        if len(self.origin) > 1:
            whole = np.where(lost[:, None], self.origin.ravel(), place)
            distance, touching = self.array.parts[0].distances(whole.reshape(-1, *self.origin.shape))
            lost |= (distance <= touching).any(axis=1)
        return lost


def trapped_dipoles(
    array: TrappedDipoles, origin: FloatArray, free: npt.NDArray[np.int64], jacobian: FloatArray
) -> Force:
    """Forces of light on dipoles beyond the linear ones, as one collective force.

    Parameters
    ----------
    array : TrappedDipoles
        The particles, their light and their traps.
    origin : (N, 3) float
        Where all displacements are zero [m].
    free : (D,) int
        Coordinates that move, of the 3N.
    jacobian : (D, D) float
        Derivatives of their forces there, which the equations hold already [N/m].

    Returns
    -------
    Force
        Collective, of D oscillators.
    """
    force = array.force(origin).ravel()[free]
    return Force(
        function=Remainder(array, np.asarray(origin, np.float64), free, force, jacobian),
        parameters=np.zeros((len(free), 1)),
        collective=True,
    )
