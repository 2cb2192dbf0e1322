"""Whole forces of light on dipoles, beyond the linear terms about one place: forces of all particles at once.

They are compiled for light that is made of plane waves and Gaussian tweezers. All their constants are parameters of the
force: they are kept with a run, and no processor computes them again. Forces in other light, a wave of one's own, are
those of `Remainder` in NumPy: tens of times slower, and with bits that may differ between kinds of processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.fields.dipole_tables import table_of
from stochbind.forces import Force
from stochbind.optics.trapped import TrappedDipoles


def dipole_forces(displacement: FloatArray, parameters: FloatArray) -> FloatArray:
    """Forces on dipoles less their value and their linear terms at one place, compiled.

    Each column of displacements comes out as it does alone, with the same bits on every processor. Where particles
    touch, or are nowhere, the forces are NaN: that trajectory has diverged. The phases of light at a particle mean
    nothing beyond `stochbind.elementary.LARGEST_ANGLE`, a tenth of a metre from the origin.

    Parameters
    ----------
    displacement : (D, B) float
        Of each coordinate that moves [m].
    parameters : (D, P) float
        The numbers of `stochbind.fields.dipole_tables.table_of`, row after row; what is left over is not read.

    Returns
    -------
    (D, B) float
        Forces [N].
    """
    from stochbind.fields.compiling import light_forces

    result = np.empty(np.shape(displacement))
    light_forces(np.ascontiguousarray(displacement, np.float64), np.ascontiguousarray(parameters).ravel(), result)
    return result


@dataclass(frozen=True, eq=False)
class Remainder:
    """The same forces in any light, in NumPy.

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
    table = table_of(array, origin, free, force, jacobian)
    if table is not None:
        parameters = np.zeros((len(free), -(-len(table) // len(free))))
        parameters.flat[: len(table)] = table
        return Force(function=dipole_forces, parameters=parameters, collective=True)
    return Force(
        function=Remainder(array, np.asarray(origin, np.float64), free, force, jacobian),
        parameters=np.zeros((len(free), 1)),
        collective=True,
    )
