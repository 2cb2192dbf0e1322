r"""Eigenvalues and eigenvectors of a matrix, right also where modes are damped at 1e-9 of their frequency or coalesce.

Four things are done beyond a plain eigensolver. The matrix is taken apart into its strongly connected parts, so that
one-way arrays, which are nearly defective as a whole, have the eigenvalues of their parts. Of couplings that are
stronger one way than the other the scale of the coordinates takes out the skin effect. Eigenvalues that double
precision cannot tell apart are taken together, and whether they share one eigenvector or have one each is decided by
their Jordan block. All others are refined by Rayleigh quotients in extended precision.
"""

from __future__ import annotations

import math
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from stochbind.checks import ComplexArray, FloatArray
from stochbind.propagation import EXTENDED_PRECISION_UP_TO
from stochbind.stability import eigenvalue_round_off, symmetrising_scale

EPS = float(np.finfo(float).eps)
#: Round-off of an eigenvalue, in units of the last place of the norm of its matrix, at condition one.
_PLACES = 10.0
#: Largest condition of an eigenvalue that is known by itself: that where four of them meet.
_LARGEST_CONDITION = EPS**-0.75
#: Refinement costs more than it brings in larger matrices.
_REFINED_UP_TO = 4 * EXTENDED_PRECISION_UP_TO


class Triangular(NamedTuple):
    r"""Schur form by strongly connected parts, :math:`A = S Q T Q^\dagger S^{-1}`.

    Attributes
    ----------
    triangle : (d, d) complex
        T, upper triangular.
    basis : (d, d) complex
        S Q, the columns in which T is the matrix.
    inverse : (d, d) complex
        Its inverse.
    once : (d,) bool
        Eigenvalues without the second of each conjugate pair of a real matrix: the one with the negative imaginary part
        is kept.
    radius : (d,) float
        Round-off of each eigenvalue.
    size : (d,) float
        Norm of the part that each eigenvalue belongs to.
    part : (d,) int
        Number of that part.
    """

    triangle: ComplexArray
    basis: ComplexArray
    inverse: ComplexArray
    once: npt.NDArray[np.bool_]
    radius: FloatArray
    size: FloatArray
    part: npt.NDArray[np.intp]


class Decomposition(NamedTuple):
    r"""Eigenvalues and eigenvectors.

    Attributes
    ----------
    value : (d,) complex
        Eigenvalues; those that cannot be told apart are equal.
    right, left : (d, d) complex
        Columns; biorthonormal, :math:`l_i^\dagger r_j = \delta_{ij}`, except in clusters of an order above one, where
        both have norm one, and are repeated where there are fewer eigenvectors than eigenvalues.
    once : (d,) bool
        As in `Triangular`.
    cluster : (d,) int
        Number of the group of equal eigenvalues.
    order : (d,) int
        Size of the largest Jordan block of the cluster; one if there are as many eigenvectors as eigenvalues.
    round_off : (d,) float
        Uncertainty of each eigenvalue; of the mean of its cluster, if that is of an order above one.
    """

    value: ComplexArray
    right: ComplexArray
    left: ComplexArray
    once: npt.NDArray[np.bool_]
    cluster: npt.NDArray[np.intp]
    order: npt.NDArray[np.intp]
    round_off: FloatArray


def triangular(matrix: npt.NDArray[Any], *, balance: bool = True) -> Triangular:
    """Schur form by strongly connected parts; see `Triangular`.

    Parameters
    ----------
    matrix : (d, d) float or complex
        Any square matrix of finite numbers.
    balance : bool, optional
        Whether coordinates of each part may be scaled, by powers of two, so that its elements are of one size, and as
        large across the diagonal. Round-off is then relative to these, and numbers that are nearly zero count as what
        they are.

    Returns
    -------
    Triangular
        The form, with the round-off of its diagonal.
    """
    d = len(matrix)
    basis, inverse = np.zeros((d, d), complex), np.zeros((d, d), complex)
    once, radius, size, part = np.ones(d, bool), np.zeros(d), np.zeros(d), np.zeros(d, np.intp)
    start = 0
    for index, member in enumerate(_parts(matrix)):
        here = slice(start, start := start + len(member))
        part[here] = index
        block = matrix[np.ix_(member, member)]
        if len(member) == 1:  # most parts of a one-way chain of amplitudes are of one
            basis[member, here] = inverse[here, member] = 1.0
            size[here] = abs(block[0, 0])
            radius[here] = _PLACES * EPS * size[here]
            continue
        balanced: npt.NDArray[Any] = block
        scale: npt.NDArray[Any] = np.ones(len(member))
        if balance:  # without a rounding; matrices in SI hold numbers from 1 to 1e12
            skin = symmetrising_scale(block)
            balanced, (scale, _) = linalg.matrix_balance(block / skin[:, None] * skin, permute=False, separate=True)
            scale = scale * skin
        triangle, turn = linalg.schur(balanced, output="complex" if np.iscomplexobj(block) else "real")
        if not np.iscomplexobj(block):
            second = np.concatenate([np.diagonal(triangle, -1) != 0, [False]])
            pair = second | np.roll(second, 1)
            triangle, turn = linalg.rsf2csf(triangle, turn)
            once[here] = ~(pair & (np.diagonal(triangle).imag > 0))
        basis[member, here] = scale[:, None] * turn
        inverse[here, member] = turn.conj().T / scale
        size[here] = float(np.linalg.norm(balanced))
        _, left, right = linalg.eig(triangle, left=True, right=True)  # type: ignore[misc]
        overlap = np.abs(np.sum(left.conj() * right, axis=0))
        radius[here] = eigenvalue_round_off(size[here], overlap, len(member))
    # Zero below the diagonal, exactly, as the parts are in order; inside a part the Schur form made it so.
    return Triangular(np.triu(inverse @ matrix @ basis), basis, inverse, once, radius, size, part)


def _parts(matrix: npt.NDArray[Any]) -> list[npt.NDArray[np.intp]]:
    """Strongly connected parts, in an order that makes the matrix block upper triangular."""
    count, part = connected_components(matrix != 0, directed=True, connection="strong")
    members = [np.flatnonzero(part == index) for index in range(count)]
    if count == 1:
        return members
    graph: TopologicalSorter[int] = TopologicalSorter({index: () for index in range(count)})
    for row, column in np.argwhere(matrix != 0):
        if part[row] != part[column]:
            graph.add(int(part[column]), int(part[row]))
    return [members[index] for index in graph.static_order()]


def invariant_basis(form: Triangular, chosen: npt.NDArray[np.bool_]) -> tuple[ComplexArray, ComplexArray]:
    """The matrix in an orthonormal basis of the invariant subspace of the chosen eigenvalues.

    Parameters
    ----------
    form : Triangular
        Of a matrix of d rows.
    chosen : (d,) bool
        Which of its eigenvalues, m of them.

    Returns
    -------
    block : (m, m) complex
        Upper triangular.
    basis : (d, m) complex
        Columns of the basis, in that of the triangle.
    """
    m = int(chosen.sum())
    reordered = linalg.lapack.ztrsen(chosen, form.triangle, np.eye(len(chosen), dtype=complex), job="N")
    return np.triu(np.asarray(reordered[0])[:m, :m]), np.asarray(reordered[1])[:, :m]


def invariant_block(form: Triangular, chosen: npt.NDArray[np.bool_]) -> ComplexArray:
    """The matrix of `invariant_basis` alone."""
    return invariant_basis(form, chosen)[0]


def jordan_order(block: ComplexArray, round_off: float) -> int | None:
    r"""Size of the largest Jordan block of eigenvalues that are as good as equal; None if they are not.

    With N the matrix less the mean of its eigenvalues, the smallest k with
    :math:`|N^k| \le k\,\epsilon\,|N|^{k-1}`, which holds for a Jordan block of size k after a change by
    :math:`\epsilon`.

    Parameters
    ----------
    block : (m, m) complex
        Upper triangular.
    round_off : float
        :math:`\epsilon`, the uncertainty of the elements.

    Returns
    -------
    int or None
        The order.
    """
    m = len(block)
    diagonal = np.diagonal(block)
    nilpotent = block - np.mean(diagonal) * np.eye(m)
    exact = bool(np.abs(np.diagonal(nilpotent)).max() <= 16 * EPS * np.abs(diagonal).max())
    if exact:  # powers can then vanish by themselves, and long chains are told from short ones
        np.fill_diagonal(nilpotent, 0.0)
    size = _norm(nilpotent)
    if size <= round_off:
        return 1
    nilpotent = nilpotent / size
    power, largest = nilpotent, np.abs(nilpotent)
    for k in range(2, m + 1):
        power = power @ nilpotent
        if exact:
            largest = largest @ np.abs(nilpotent)
            vanishes = bool((np.abs(power) <= 1e-10 * largest).all())
            scale = float(largest.max()) or 1.0
            power, largest = power / scale, largest / scale
        else:
            vanishes = _norm(power) <= k * round_off / size
        if vanishes:
            return k
    return None


def _norm(matrix: ComplexArray) -> float:
    """A norm that is one for a chain of equal couplings, whatever its length."""
    size = np.abs(matrix)
    return math.sqrt(float(size.sum(axis=0).max()) * float(size.sum(axis=1).max()))


def decompose(matrix: npt.NDArray[Any]) -> Decomposition:
    """Eigenvalues and eigenvectors; see `Decomposition`.

    Parameters
    ----------
    matrix : (d, d) float or complex
        Any square matrix of finite numbers.

    Returns
    -------
    Decomposition
        All d of them.
    """
    form = triangular(matrix)
    value, left, right = linalg.eig(form.triangle, left=True, right=True)  # type: ignore[misc]
    value = np.diagonal(form.triangle).copy()  # the same numbers: the eigensolver leaves a triangle as it is
    cluster, order = _clusters(form, value)
    once = form.once.copy()
    for index in range(int(cluster.max()) + 1):
        member = np.flatnonzero(cluster == index)
        if len(member) == 1:
            left[:, member] /= np.vdot(right[:, member], left[:, member])
            continue
        value[member] = np.mean(value[member])
        if not once[member].all() and once[member].any():  # a pair that meets its conjugate, on the real axis
            once[member], value[member] = True, value[member].real
        if order[member[0]] == 1:
            right[:, member], left[:, member] = linalg.qr(right[:, member], mode="economic")[0], left[:, member]
            left[:, member] = left[:, member] @ np.linalg.inv(left[:, member].conj().T @ right[:, member]).conj().T
    right, left = form.basis @ right, form.inverse.conj().T @ left
    alone = order == 1
    round_off = np.zeros(len(value))
    for index in np.unique(cluster[~alone]):
        round_off[cluster == index] = _round_off_of_mean(form, cluster == index)
    right[:, ~alone] /= np.linalg.norm(right[:, ~alone], axis=0)
    left[:, ~alone] /= np.linalg.norm(left[:, ~alone], axis=0)
    if alone.any():
        strength = np.sum(np.abs(left[:, alone]) * (np.abs(matrix) @ np.abs(right[:, alone])), axis=0)
        round_off[alone] = _PLACES * EPS * strength
        correction = np.zeros(len(value), complex)
        correction[alone] = _residual(matrix, value[alone], left[:, alone], right[:, alone])
        for index in np.unique(cluster[alone]):
            member = cluster == index
            step, radius = correction[member].mean(), float(form.radius[member].max())
            uncertain = abs(step)
            if abs(step) <= radius:
                value[member] += step
            if not abs(step) <= radius <= _PLACES * EPS * _LARGEST_CONDITION * float(form.size[member].max()):
                uncertain = np.fmax(radius, uncertain)  # the vectors may be none
            round_off[member] = np.maximum(round_off[member], uncertain)
    return Decomposition(value, right, left, once, cluster, order, round_off)


def _clusters(form: Triangular, value: ComplexArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Groups of eigenvalues that cannot be told apart, and the order of each."""
    d = len(value)
    cluster, order = np.arange(d), np.ones(d, np.intp)
    distance = np.abs(value[:, None] - value)
    radius = np.minimum(form.radius, _PLACES * EPS * _LARGEST_CONDITION * form.size)
    reach = radius[:, None] + radius
    waiting = [(np.arange(d), 1.0)]
    while waiting:
        member, shrink = waiting.pop()
        near = distance[np.ix_(member, member)] <= shrink * reach[np.ix_(member, member)]
        count, part = connected_components(near, directed=False)
        for group in (member[part == index] for index in range(count)):
            if len(group) == 1:
                continue
            chosen = np.isin(np.arange(d), group)
            found = jordan_order(invariant_block(form, chosen), _PLACES**2 * EPS * float(form.size[group].max()))
            if found is not None:
                cluster[group], order[group] = group[0], found
            elif shrink > 1e-8:  # some of them are apart after all
                waiting.append((group, 0.1 * shrink))
    return np.unique(cluster, return_inverse=True)[1], order


def _round_off_of_mean(form: Triangular, member: npt.NDArray[np.bool_]) -> float:
    """Round-off of the mean of a cluster: that of the projector on its invariant subspace in each of the parts."""
    result = 0.0
    for part in np.unique(form.part[member]):
        here = form.part == part
        triangle = form.triangle[np.ix_(here, here)]
        m = int(member[here].sum())
        room = max(1, m * (len(triangle) - m))
        found = linalg.lapack.ztrsen(member[here], triangle, np.eye(len(triangle), dtype=complex), job="E", lwork=room)
        projector = float(found[4])  # one over its norm
        result = max(result, _PLACES * EPS * float(form.size[here][0]) / max(projector, EPS))
    return result


def _residual(matrix: npt.NDArray[Any], value: ComplexArray, left: ComplexArray, right: ComplexArray) -> ComplexArray:
    """What the Rayleigh quotients of biorthonormal vectors are above the eigenvalues, in extended precision."""
    if len(matrix) > _REFINED_UP_TO:
        return np.zeros(len(value), complex)
    wide: Any = np.clongdouble
    product = np.zeros(right.shape, wide)
    for part, unit in ((matrix.real, 1), (matrix.imag, 1j)):
        if part.any():
            precise = part.astype(np.longdouble)
            product += unit * (precise @ right.real.astype(np.longdouble))
            product += unit * 1j * (precise @ right.imag.astype(np.longdouble))
    product -= value.astype(wide) * right.astype(wide)
    result: ComplexArray = np.sum(left.conj().astype(wide) * product, axis=0).astype(np.complex128)
    return result
