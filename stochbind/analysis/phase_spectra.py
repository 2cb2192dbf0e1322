r"""Spectra of many drift matrices at once, with the round-off of each eigenvalue, and what they say.

The rules are those of `stochbind.stability`: of one matrix both give the same verdict.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from stochbind.checks import ComplexArray, FloatArray
from stochbind.stability import eigenvalue_round_off, symmetrising_scale

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
_EPS = float(np.finfo(np.float64).eps)


class Spectra(NamedTuple):
    r"""Eigenvalues of many drift matrices.

    Attributes
    ----------
    value : (P, d) complex
        Eigenvalues of each A; a mode goes as :math:`e^{\lambda t}`.
    round_off : (P, d) float
        Uncertainty of each; large where A is nearly defective, at an exceptional point.
    """

    value: ComplexArray
    round_off: FloatArray

    @property
    def growth_rate(self) -> FloatArray:
        """Largest real part, (P,); zero where it is so within round-off."""
        rate, round_off = self._top
        return np.where(np.abs(rate) > round_off, rate, 0.0)

    @property
    def verdict(self) -> IntArray:
        """Verdict of each matrix, (P,): 0 stable, 1 not damped within round-off, 2 unstable."""
        rate, round_off = self._top
        return np.where(rate < -round_off, 0, np.where(rate > round_off, 2, 1))

    @property
    def n_unstable(self) -> IntArray:
        """Number of modes that grow, (P,): pairs of complex eigenvalues and real ones count once each."""
        grows = (self.value.real > self.round_off) & (self.value.imag > -self.round_off)
        return np.asarray(grows.sum(axis=1), np.int64)

    @property
    def pt_phase(self) -> IntArray:
        """Phase of PT symmetry of the modes that oscillate, (P,), as `stochbind.modes.Modes.pt_phase` has it.

        0 unbroken: all are equally damped, within round-off. 1 broken: two of one frequency are not. 2: neither, as
        with gas that damps particles differently, or with fewer than two modes that oscillate. An exceptional point
        counts as unbroken.
        """
        oscillates = self.value.imag > self.round_off
        differ, broken = (np.zeros(len(self.value), bool) for _ in range(2))
        for one in range(self.value.shape[1]):
            margin = self.round_off + self.round_off[:, [one]]
            both = oscillates & oscillates[:, [one]]
            unequal = both & (np.abs(self.value.real - self.value[:, [one]].real) > margin)
            same = np.abs(self.value.imag - self.value[:, [one]].imag) <= margin
            differ |= unequal.any(axis=1)
            broken |= (unequal & same).any(axis=1)
        return np.where(broken, 1, np.where(differ | (oscillates.sum(axis=1) < 2), 2, 0))

    @property
    def _top(self) -> tuple[FloatArray, FloatArray]:
        """Real part of the mode that decides on each spectrum, with its round-off."""
        rate = self.value.real
        doubt = np.where(rate > self.round_off, 2, np.where(rate < -self.round_off, 0, 1))
        top = np.where(doubt == doubt.max(axis=1, keepdims=True), rate, -np.inf).argmax(axis=1)[:, None]
        return np.take_along_axis(self.value.real, top, 1)[:, 0], np.take_along_axis(self.round_off, top, 1)[:, 0]


def spectra(drift_matrix: FloatArray) -> Spectra:
    """Eigenvalues of many drift matrices, from their strongly connected parts.

    Parameters
    ----------
    drift_matrix : (P, d, d) float
        A of each point.

    Returns
    -------
    Spectra
        In the unit of A; the eigenvalues of a matrix come part by part.
    """
    n_points, d, _ = drift_matrix.shape
    value, round_off = np.zeros((n_points, d), np.complex128), np.zeros((n_points, d))
    # Most matrices of a diagram have their zeros in the same places, and so the same parts.
    packed = np.packbits(drift_matrix.reshape(n_points, -1) != 0, axis=1)
    _, first, of_pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    for pattern, example in enumerate(first):
        chosen = np.flatnonzero(of_pattern.ravel() == pattern)
        count, part = connected_components(drift_matrix[example] != 0, directed=True, connection="strong")
        filled = 0
        for index in range(count):
            member = np.flatnonzero(part == index)
            found = _spectra_of_parts(drift_matrix[np.ix_(chosen, member, member)])
            where = np.ix_(chosen, np.arange(filled, filled + len(member)))
            value[where], round_off[where] = found
            filled += len(member)
    return Spectra(value, round_off)


def _spectra_of_parts(block: FloatArray) -> tuple[ComplexArray, FloatArray]:
    """Eigenvalues and their round-off, in scaled coordinates, as in `stochbind.stability.stability`."""
    scale = symmetrising_scale(block)
    block = block / scale[..., :, None] * scale[..., None, :]
    value, right = np.linalg.eig(block)
    # Left vectors of norm 1 / overlap; where the right ones are as good as dependent, the overlap is cut off below.
    u, singular, v = np.linalg.svd(right)
    inverse = np.einsum("pji,pj,pkj->pik", v.conj(), 1.0 / np.maximum(singular, _EPS), u.conj())
    largest = np.abs(block).max(axis=(-2, -1), initial=0.0)[:, None]
    overlap = 1.0 / np.linalg.norm(inverse, axis=-1)
    return value.astype(np.complex128), eigenvalue_round_off(largest, overlap, block.shape[-1])
