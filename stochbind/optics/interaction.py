r"""The field of one dipole at another: electric and magnetic, with two derivatives, for any number of pairs.

Fields and dipoles are six-vectors in the same units: the field is :math:`\Phi = (E, \eta H)` [V/m] and the dipole
:math:`\Pi = (p/\varepsilon_0, \eta m)` [V m^2], with the wave impedance :math:`\eta`. Then
:math:`\Phi = \mathcal G \Pi` with

.. math::

    \mathcal G(r) = \begin{pmatrix} G & ik\,\nabla g\times \\ -ik\,\nabla g\times & G \end{pmatrix}, \qquad
    G = (\nabla\nabla + k^2) g, \quad g = e^{ikr}/4\pi r.

A form :math:`u^T \mathcal G v` depends on u and v through the 3 x 3 matrix M, the sum of :math:`u_a v_b` of both
blocks, and through the vector q of `cross` only; so do its derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import green

_IDENTITY = np.eye(3)
_CYCLES = ((0, 1, 2), (1, 2, 0), (2, 0, 1))


class Radial(NamedTuple):
    r"""Radial functions of pairs: those of the leading terms in 1/distance, and those of the others.

    Attributes
    ----------
    leading, other : list of (...) complex
        :math:`g_0, g_1, \ldots` of `stochbind.optics.green.radial`; in the far field the leading ones are their
        asymptotes, and the others are zero.
    """

    leading: list[Any]
    other: list[Any]

    def of_others(self, other: FloatArray) -> Radial:
        """The same times `other`, which is zero where a particle meets itself, and one elsewhere."""
        leading = [other * value for value in self.leading]
        return Radial(leading, leading if self.other is self.leading else [other * value for value in self.other])


def _length(separation: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(dot(separation, separation)))


def exact_radial(separation: FloatArray, wavenumber: float, order: int) -> Radial:
    """Radial functions of the whole field; `order` is 2 for values, 3 and 4 for one and two derivatives."""
    g = green.radial(_length(separation), wavenumber, order)
    return Radial(g, g)


def dissipative_radial(separation: FloatArray, wavenumber: float, order: int) -> Radial:
    """Their imaginary parts, which are finite where a particle meets itself."""
    g = green.regular_radial(_length(separation), wavenumber, order)
    return Radial(g, g)


def far_radial(separation: FloatArray, wavenumber: float, order: int) -> Radial:
    """What is left far away, where every derivative of g along r is a factor ik."""
    distance = _length(separation)
    g: list[Any] = [np.exp(1j * wavenumber * distance) / (4.0 * np.pi * distance)]
    for _ in range(order):
        g.append(g[-1] * 1j * wavenumber / distance)
    return Radial(g, [0.0] * (order + 1))


def far_dissipative_radial(separation: FloatArray, wavenumber: float, order: int) -> Radial:
    """Imaginary parts of `far_radial`; those of `dissipative_radial` where the distance is zero."""
    itself = _length(separation) == 0.0
    apart = np.where(itself[..., None], 1.0 / wavenumber, separation)
    far = far_radial(apart, wavenumber, order).leading
    own = green.regular_radial(np.zeros(()), wavenumber, order)
    leading = [np.where(itself, near, value.imag) for near, value in zip(own, far, strict=True)]
    return Radial(leading, [np.where(itself, near, 0.0) for near in own])


def dot(u: Any, v: Any) -> Any:
    """Sum over the last axis of the products, complex conjugation left to the caller."""
    return np.einsum("...i,...i->...", u, v)


class Form(NamedTuple):
    r"""What :math:`u^T \mathcal G v` needs to know of u and v.

    Attributes
    ----------
    matrix : (..., 3, 3) complex
        :math:`M_{ab} = \sum u_a v_b` over the electric and the magnetic block.
    cross : (..., 3) complex or None
        :math:`q = ik(v_m \times u_e - v_e \times u_m)`; None without magnetic dipoles.
    """

    matrix: ComplexArray
    cross: ComplexArray | None


def form(u: ComplexArray, v: ComplexArray, wavenumber: float) -> Form:
    """The form of two six-vectors, or of two three-vectors of electric dipoles alone; shapes are broadcast."""
    matrix = u[..., :3, None] * v[..., None, :3]
    if u.shape[-1] == 3:
        return Form(matrix, None)
    matrix = matrix + u[..., 3:, None] * v[..., None, 3:]
    cross = 1j * wavenumber * (np.cross(v[..., 3:], u[..., :3]) - np.cross(v[..., :3], u[..., 3:]))
    return Form(matrix, cross)


def value(separation: FloatArray, r: Radial, f: Form, wavenumber: float) -> ComplexArray:
    r""":math:`u^T \mathcal G v`.

    Parameters
    ----------
    separation : (..., 3) float
        R, from the source v to the receiver u [m].
    r : Radial
        Up to order 2.
    f : Form
        Of u and v.
    wavenumber : float
        k [1/m].

    Returns
    -------
    (...) complex
        The form.
    """
    g, h = r
    trace = np.einsum("...aa->...", f.matrix)
    along = np.einsum("...a,...ab,...b->...", separation, f.matrix, separation)
    result = (wavenumber**2 * g[0] + h[1]) * trace + g[2] * along
    if f.cross is not None:
        result = result + g[1] * dot(f.cross, separation)
    return np.asarray(result)


def gradient(separation: FloatArray, r: Radial, f: Form, wavenumber: float) -> ComplexArray:
    """Derivative of `value` by the place of the receiver, shape (..., 3); `r` up to order 3."""
    g, h = r
    trace = np.einsum("...aa->...", f.matrix)
    both = np.einsum("...ab,...b->...a", f.matrix + np.swapaxes(f.matrix, -1, -2), separation)
    along = 0.5 * dot(both, separation)
    radially = (wavenumber**2 * g[1] + h[2]) * trace + g[3] * along
    result = np.asarray(h[2])[..., None] * both
    if f.cross is not None:
        radially = radially + g[2] * dot(f.cross, separation)
        result = result + np.asarray(h[1])[..., None] * f.cross
    return np.asarray(result + radially[..., None] * separation)


def hessian(separation: FloatArray, r: Radial, f: Form, wavenumber: float) -> ComplexArray:
    """Second derivative of `value` by the place of the receiver, shape (..., 3, 3); `r` up to order 4."""
    g, h = r
    symmetric = f.matrix + np.swapaxes(f.matrix, -1, -2)
    trace = np.einsum("...aa->...", f.matrix)
    both = np.einsum("...ab,...b->...a", symmetric, separation)
    along = 0.5 * dot(both, separation)
    twice = (wavenumber**2 * g[2] + h[3]) * trace + g[4] * along
    diagonal = (wavenumber**2 * h[1] + h[2]) * trace + h[3] * along
    side = np.asarray(h[3])[..., None] * both
    if f.cross is not None:
        ahead = dot(f.cross, separation)
        twice = twice + g[3] * ahead
        diagonal = diagonal + h[2] * ahead
        side = side + np.asarray(h[2])[..., None] * f.cross
    side = side + 0.5 * twice[..., None] * separation
    mixed = separation[..., :, None] * side[..., None, :]
    return np.asarray(
        diagonal[..., None, None] * _IDENTITY
        + np.asarray(h[2])[..., None, None] * symmetric
        + mixed
        + np.swapaxes(mixed, -1, -2)
    )


def field(separation: FloatArray, r: Radial, v: ComplexArray, wavenumber: float) -> ComplexArray:
    r"""Field :math:`\mathcal G v` of dipoles v, in the shape of v; `r` up to order 2."""
    g, h = r
    near = np.asarray(wavenumber**2 * g[0] + h[1])[..., None]
    across = np.asarray(g[2])[..., None] * separation

    def own(part: ComplexArray) -> ComplexArray:
        return np.asarray(near * part + across * dot(separation, part)[..., None])

    if v.shape[-1] == 3:
        return own(v)
    turn = 1j * wavenumber * np.asarray(g[1])[..., None] * separation
    electric = own(v[..., :3]) + np.cross(turn, v[..., 3:])
    return np.concatenate([electric, own(v[..., 3:]) - np.cross(turn, v[..., :3])], axis=-1)


def field_gradient(separation: FloatArray, r: Radial, v: ComplexArray, wavenumber: float) -> ComplexArray:
    r"""Derivatives :math:`\partial_a(\mathcal G v)_i`, shape (..., 3, 3) or (..., 3, 6); `r` up to order 3."""
    g, h = r
    k = wavenumber
    outer = separation[..., :, None]

    def own(part: ComplexArray) -> ComplexArray:
        ahead = dot(separation, part)
        radially = np.asarray(k**2 * g[1] + h[2])[..., None] * part + (np.asarray(g[3]) * ahead)[..., None] * separation
        beside = np.asarray(h[2])
        rest = (beside * ahead)[..., None, None] * _IDENTITY + beside[..., None, None] * (
            part[..., :, None] * separation[..., None, :]
        )
        return np.asarray(outer * radially[..., None, :] + rest)

    def turned(part: ComplexArray) -> ComplexArray:
        """Derivatives of the curl, ``ik d_a (grad g) x part``."""
        axis = np.asarray(h[1])[..., None, None] * _IDENTITY
        axis = axis + np.asarray(g[2])[..., None, None] * (outer * separation[..., None, :])
        return np.asarray(1j * k * np.cross(axis, part[..., None, :]))

    if v.shape[-1] == 3:
        return own(v)
    electric, magnetic = v[..., :3], v[..., 3:]
    return np.concatenate([own(electric) + turned(magnetic), own(magnetic) - turned(electric)], axis=-1)


def matrix(separation: FloatArray, r: Radial, size: int, wavenumber: float) -> ComplexArray:
    r"""The matrices :math:`\mathcal G` themselves, of six-vectors or of three components alone; `r` up to order 2.

    Parameters
    ----------
    separation : (..., J, K, 3) float
        From source K to receiver J [m].
    r : Radial
        As for `value`.
    size : {3, 6}
        Components of a dipole.
    wavenumber : float
        k [1/m].

    Returns
    -------
    (..., J, size, K, size) complex
        With the component of the field beside the receiver, as a matrix of all of them has it.
    """
    g, h = r
    *lead, receivers, sources, _ = separation.shape
    result = np.zeros((*lead, receivers, size, sources, size), dtype=np.complex128)
    part = _complex_parts(separation)
    near = wavenumber**2 * g[0] + h[1]
    for a in range(3):
        across = g[2] * part[a]
        for b in range(a, 3):
            element = across * part[b] + near if a == b else across * part[b]
            for first in range(0, size, 3):
                result[..., first + a, :, first + b] = element
                result[..., first + b, :, first + a] = element
    if size == 6:
        turn = 1j * wavenumber * g[1]
        for a, b, c in _CYCLES:
            element = turn * part[b]
            result[..., a, :, 3 + c] = result[..., 3 + c, :, a] = element
            result[..., c, :, 3 + a] = result[..., 3 + a, :, c] = -element
    return result


def summed_field(
    separation: FloatArray, r: Radial, source: ComplexArray, wavenumber: float
) -> tuple[ComplexArray, ComplexArray]:
    r"""Field of all sources together, and its derivatives by the place of each receiver; `r` up to order 3.

    Each sum over sources is taken by itself, in their order: it does not depend on how many receivers there are.

    Parameters
    ----------
    separation : (..., J, K, 3) float
        From source K to receiver J [m].
    r : Radial
        As for `value`; zero where a source does not count.
    source : (..., K, s) complex
        Dipoles [V m^2].
    wavenumber : float
        k [1/m].

    Returns
    -------
    value : (..., J, s) complex
        As the sum of `field` [V/m].
    gradient : (..., J, 3, s) complex
        As the sum of `field_gradient` [V/m^2].
    """
    g, h = r
    k = wavenumber
    part = _complex_parts(separation)
    columns = np.swapaxes(source, -1, -2)[..., None, :, :].conj()

    def moment(weight: ComplexArray) -> ComplexArray:
        """Sum of the dipoles times a weight, (..., J, s)."""
        return np.asarray(np.vecdot(columns, weight[..., None, :]))

    value = moment(k**2 * g[0] + h[1])
    radially = k**2 * g[1] + h[2]
    gradient = np.stack([moment(radially * along) for along in part], axis=-2)
    beside = np.stack([moment(h[2] * along) for along in part], axis=-2)
    for first in range(0, source.shape[-1], 3):
        own = slice(first, first + 3)
        ahead = sum(along * source[..., None, :, first + i] for i, along in enumerate(part))
        across, beyond = g[2] * ahead, g[3] * ahead
        for i, along in enumerate(part):
            value[..., first + i] += np.vecdot(along, across)
            twice = beyond * along
            for a in range(3):
                gradient[..., a, first + i] += np.vecdot(part[a], twice)
        mixed = beside[..., own]
        gradient[..., own] += np.swapaxes(mixed, -1, -2)
        gradient[..., own] += np.einsum("...aa->...", mixed)[..., None, None] * _IDENTITY
    if source.shape[-1] == 6:
        turned = np.stack([moment(g[1] * along) for along in part], axis=-2)
        slopes = np.stack([np.stack([moment(g[2] * a * b) for b in part], axis=-2) for a in part], axis=-3)
        slopes += moment(h[1])[..., None, None, :] * _IDENTITY[:, :, None]
        value += _curl(turned, k)
        gradient += _curl(slopes, k)
    return value, gradient


def _complex_parts(separation: FloatArray) -> list[ComplexArray]:
    """Components along each axis, complex: products of arrays of one type are several times faster."""
    return [separation[..., a].astype(np.complex128) for a in range(3)]


def _curl(slope: ComplexArray, wavenumber: float) -> ComplexArray:
    """What (..., 3, 6) derivatives b of fields g Pi make of the other field, (..., 6): ik curl of M, -ik curl of P."""
    curl = 1j * wavenumber * np.stack([slope[..., b, c::3] - slope[..., c, b::3] for _, b, c in _CYCLES], axis=-2)
    return np.concatenate([curl[..., 1], -curl[..., 0]], axis=-1)
