"""Whether linear equations have a steady state, and which mode decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from stochbind.checks import ComplexArray, FloatArray

_EPS = float(np.finfo(float).eps)
#: Round-off of a matrix, in units of the last place of its size.
_PLACES = 10.0
#: Pairs whose weight is below this share of the largest do not decide on the scale of coordinates.
_LOOSE = 1e-12
#: Powers of two beyond this would leave floating point, where elements are divided by one and multiplied by another.
_LARGEST_EXPONENT = 480.0


#: So many particles are named, with shares of this much or more; shares that differ by less than that count as equal.
_NAMED, _LEAST_SHARE, _ALIKE = 3, 0.005, 1e-6


class Coordinate(NamedTuple):
    """What a coordinate is: ``("position", 0, "z")`` is the position of particle 0 along z."""

    quantity: str
    particle: int
    axis: str


class Stability(NamedTuple):
    """Verdict on the long-time behaviour.

    Attributes
    ----------
    stable : bool
        Whether every mode decays, beyond the round-off of the eigenvalues.
    growth_rate : float
        Largest real part of the eigenvalues of A [1/s]; negative if stable, zero within round-off.
    round_off : float
        Uncertainty of that rate [1/s]. It is large where A is nearly defective, at an exceptional point.
    angular_frequency : float
        Magnitude of the imaginary part of that eigenvalue [rad/s].
    mode : (d,) complex
        Its eigenvector, scaled to norm 1.
    participation : dict of int to float
        Share of each particle in the squared positions, or of each amplitude in the squares, of the mode.
    reduced : bool
        Whether times are in reduced units.
    """

    stable: bool
    growth_rate: float
    round_off: float
    angular_frequency: float
    mode: ComplexArray
    participation: dict[int, float]
    reduced: bool

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        named = largest_shares(list(self.participation.values()))
        numbers = list(self.participation)
        who = ", ".join(f"particle {numbers[at]} ({share:.0%})" for at, share in named) or "all particles"
        if self.reduced:
            mode = f"the mode at angular frequency {self.angular_frequency:.6g} of {who}"
        else:
            mode = f"the mode at {self.angular_frequency / (2 * math.pi):.6g} Hz of {who}"
        unit = "" if self.reduced else " 1/s"
        if self.stable:
            return f"stable: {mode} decays slowest, at {-self.growth_rate:.6g}{unit}"
        if self.growth_rate > 0:
            return f"unstable: {mode} grows at {self.growth_rate:.6g}{unit}"
        return (
            f"not damped, as far as double precision can tell: the growth rate of {mode} is zero "
            f"within {self.round_off:.2g}{unit}"
        )


def largest_shares(share: Sequence[float]) -> list[tuple[int, float]]:
    """Who takes part in a mode: up to three places with the largest shares, and these.

    Parameters
    ----------
    share : sequence of float
        Of all, adding up to one.

    Returns
    -------
    list of (int, float)
        The largest first, and of equal ones the first; none below half a percent, and none if more than three take
        part alike.
    """
    if len(share) > _NAMED and max(share) - min(share) < _ALIKE:
        return []
    order = sorted(range(len(share)), key=lambda at: (-round(share[at] / _ALIKE), at))
    return [(at, float(share[at])) for at in order[:_NAMED] if share[at] >= _LEAST_SHARE]


def symmetrising_scale(matrix: npt.NDArray[Any]) -> FloatArray:
    r"""Powers of two that make elements across the diagonal as equal as can be: the scale of the skin effect.

    A chain whose couplings are stronger one way than the other has eigenvectors that grow exponentially along it, and
    as it stands eigenvalues that no solver can tell. With coordinates :math:`x_i = s_i x_i'` it is symmetric, and they
    are right to the last place. The logarithms of s solve
    :math:`\log_2 s_i - \log_2 s_j = \tfrac12\log_2|a_{ij}/a_{ji}|` over all pairs that act on each other, by least
    squares with the weights :math:`|a_{ij}a_{ji}|`, which no scale changes. Balancing by norms of rows and columns
    (LAPACK's) does not find it: inside a chain they are equal already. Equations of second order are scaled by their
    stiffness, positions and velocities alike.

    Parameters
    ----------
    matrix : (..., d, d) float or complex
        Any square matrices.

    Returns
    -------
    (..., d) float
        s; ones where it would not make the elements beside the diagonal smaller.
    """
    d = matrix.shape[-1]
    n, odd = divmod(d, 2)
    positions, velocities = matrix[..., :n, :n], matrix[..., :n, n:]
    if not odd and not positions.any() and not velocities[..., ~np.eye(n, dtype=bool)].any():
        return np.tile(_scale_of_pairs(np.abs(matrix[..., n:, :n])), 2)
    return _scale_of_pairs(np.abs(matrix))


def _scale_of_pairs(size: FloatArray) -> FloatArray:
    """The scale of `symmetrising_scale`, of the magnitudes of elements."""
    d = size.shape[-1]
    beside = np.where(np.eye(d, dtype=bool), 0.0, size)
    beside = beside / np.maximum(beside.max(axis=(-2, -1), keepdims=True, initial=0.0), np.finfo(float).tiny)
    across = beside.swapaxes(-2, -1)
    weight = beside * across
    ratio = 0.5 * np.log2(np.divide(beside, across, out=np.ones_like(beside), where=weight > 0))
    laplacian = weight.sum(axis=-1)[..., None] * np.eye(d) - weight
    wanted = np.sum(weight * ratio, axis=-1)
    exponent = (np.linalg.pinv(laplacian, rcond=_LOOSE, hermitian=True) @ wanted[..., None])[..., 0]
    scale = np.exp2(np.round(np.clip(exponent, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)))
    scaled = beside / scale[..., :, None] * scale[..., None, :]
    better = np.linalg.norm(scaled, axis=(-2, -1)) < np.linalg.norm(beside, axis=(-2, -1))
    result: FloatArray = np.where(better[..., None], scale, 1.0)
    return result


def stability(
    drift_matrix: FloatArray, coordinates: Sequence[Coordinate], time_unit: float = 1.0, *, reduced: bool = False
) -> Stability:
    """The verdict on a drift matrix, from its eigenvalues and their conditioning.

    An eigenvalue that no double precision can tell from one that grows makes the verdict "not damped, as far as double
    precision can tell", even if others are larger: at an exceptional point of order m eigenvalues are wrong by the m-th
    root of the round-off.

    Parameters
    ----------
    drift_matrix : (d, d) float
        A [1/time_unit].
    coordinates : sequence of Coordinate
        What each coordinate is.
    time_unit : float
        Value of one unit of time [s].
    reduced : bool
        Whether times are in reduced units; only the words depend on it.
    """
    # The spectrum of a one-way array is that of its strongly connected parts. Taken together, they form
    # nearly defective matrices whose eigenvalues carry errors of the square root of the round-off.
    count, part = connected_components(drift_matrix != 0, directed=True, connection="strong")
    best: tuple[tuple[int, float], float, float, ComplexArray] = ((-1, -math.inf), 0.0, 0.0, np.zeros(0, complex))
    for index in range(count):
        member = np.flatnonzero(part == index)
        block = drift_matrix[np.ix_(member, member)]
        scale = symmetrising_scale(block)
        block = block / scale[:, None] * scale
        value, left, right = linalg.eig(block, left=True, right=True)  # type: ignore[misc]
        overlap = np.abs(np.sum(left.conj() * right, axis=0))
        round_off = eigenvalue_round_off(float(np.abs(block).max(initial=0.0)), overlap, len(member))
        doubt = np.where(value.real > round_off, 2, np.where(value.real < -round_off, 0, 1))
        top = int(np.lexsort((value.real, doubt))[-1])
        rank = int(doubt[top]), float(value[top].real)
        if rank > best[0]:
            mode = np.zeros(len(drift_matrix), complex)
            mode[member] = scale * right[:, top]
            best = (rank, float(abs(value[top].imag)), float(round_off[top]), mode / np.linalg.norm(mode))
    (doubtful, rate), frequency, uncertainty, mode = best
    weight: dict[int, float] = {}
    for amplitude, coordinate in zip(mode, coordinates, strict=True):
        if coordinate.quantity in ("position", "real", "imaginary"):
            weight[coordinate.particle] = weight.get(coordinate.particle, 0.0) + abs(amplitude) ** 2
    total = sum(weight.values()) or 1.0
    return Stability(
        stable=doubtful == 0,
        growth_rate=0.0 if doubtful == 1 else rate / time_unit,
        round_off=uncertainty / time_unit,
        angular_frequency=frequency / time_unit,
        mode=mode,
        participation={j: share / total for j, share in weight.items()},
        reduced=reduced,
    )


def eigenvalue_round_off(size: Any, overlap: FloatArray, d: int) -> FloatArray:
    r"""Uncertainty of eigenvalues in double precision, :math:`10\,\epsilon\,|A| / |l^\dagger r|`.

    First order perturbation theory, for an error of ten units in the last place. Next to an exceptional point of order
    m the overlap is :math:`m\,\epsilon^{1 - 1/m}`, and the error m times this, the m-th root of the round-off: where
    more than four eigenvalues can meet, ten is d, if d is more.

    Parameters
    ----------
    size : float or array
        Largest element of the matrix.
    overlap : array
        Of left and right vectors of norm one.
    d : int
        Number of rows of the matrix.

    Returns
    -------
    array
        In the unit of the matrix; at most ten times its size, or d times.
    """
    places = np.where(overlap < _EPS**0.75, max(_PLACES, d), _PLACES)
    result: FloatArray = places * _EPS * size / np.maximum(overlap, _EPS)
    return result
