r"""Momentum diffusion by the recoil of scattered and absorbed photons, of any array, in three dimensions.

A photon that leaves along n with polarization t tells of the amplitude of all dipoles that it may come from,

.. math::

    L_{nt} = \sqrt{\frac{\varepsilon_0 k^3}{2\hbar}}\,\frac{1}{4\pi}
             \sum_j t^* \cdot (P_j - n \times M_j)\,e^{-ikn\cdot r_j}, \qquad
    D_{\mu\nu} = \frac{\hbar^2}{2}\sum_t\int d^2n\,\partial_\mu L\,\partial_\nu L^*:

a Gram matrix, positive semidefinite whatever the array. In closed form it is a sum over the imaginary parts of the
Green tensors,

.. math::

    D_{\mu\nu} = \frac{\hbar\varepsilon_0}{4}\,\partial_\mu\,\partial^*_\nu \sum_{jk}
        \Pi_k^\dagger\, \mathrm{Im}\mathcal G(r_k - r_j)\, \Pi_j,

where :math:`\partial_\mu` acts on the unconjugated factor. The same holds with the dipoles of any order of scattering.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import interaction, linearised
from stochbind.optics.dipoles import PAIRS_AT_ONCE, Dipoles

#: A part of the polarizability below this, relative to all of it, is round-off and no absorption.
NO_ABSORPTION = 1e-12


class Recoil(NamedTuple):
    """Momentum diffusion of an array, split by its origin.

    Attributes
    ----------
    scattering : (3N, 3N) complex
        By photons scattered [N^2 s]; Hermitian. The classical noise forces have the covariance 2 Re D.
    absorption : (3N, 3N) complex
        By photons absorbed; by photons emitted, where a particle amplifies light.
    """

    scattering: ComplexArray
    absorption: ComplexArray

    @property
    def diffusion(self) -> ComplexArray:
        """Both together [N^2 s]."""
        return self.scattering + self.absorption


def recoil(dipoles: Dipoles, position: FloatArray) -> Recoil:
    r"""Momentum diffusion in closed form.

    Of particles that hold the reaction of their own radiation, in light scattered to all orders, the diffusion fixes
    how far the forces are from having a potential: with J of
    `stochbind.optics.linearised.jacobian`,

    .. math::

        J_{\mu\nu} - J_{\nu\mu} = \frac{4}{\hbar}\,\mathrm{Im} D_{\mu\nu},

    exactly and along all axes, as unitarity demands. To first order in the scattered field it holds too, between
    different electric dipoles of real polarizability.

    Absorption adds :math:`\frac{\hbar\varepsilon_0}{4}\sum_j \partial_\nu\Phi_j^\dagger a_j \partial_\mu\Phi_j`, with
    the absorbing part of the polarizability, :math:`a = (\alpha - \alpha^\dagger)/2i - \frac{k^3}{6\pi}
    \alpha^\dagger\alpha`. Where a has negative eigenvalues the particle amplifies light: it adds at least the noise of
    the photons it emits, which is the complex conjugate of the same with their magnitudes, as photons are made where
    they were taken. Of polarizabilities without radiation reaction the second term of a is left out, as it is no part
    of their imaginary part.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    Recoil
        Both parts, in the order of `stochbind.optics.linearised.jacobian`.

    Raises
    ------
    ScenarioError
        If particles overlap.
    NoiseError
        If the diffusion is not positive semidefinite, which happens to that of the far field only: for rows of
        particles at less than half a wavelength.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (76), (87), of which (87b) is to read
    :math:`E_{j'}^* \cdot (1 - n n) \cdot E_j`; Phys. Rev. Lett. 133, 233603 (2024), eq. (5).
    """
    result = _both(dipoles, position)
    if dipoles.far_field:
        hint = " The far field is at fault: the exact one is positive at any distance."
        checks.positive_semidefinite("diffusion", result.scattering, hint)
    return result


def scattering_diffusion(dipoles: Dipoles, position: FloatArray) -> ComplexArray:
    """The part of `recoil` by photons scattered, (3N, 3N) [N^2 s], of the far field also where it is not positive."""
    return _both(dipoles, position).scattering


def _both(dipoles: Dipoles, position: FloatArray) -> Recoil:
    place = dipoles.checked_array(position)
    if dipoles.scattering == "single":
        dipole, moved = linearised.single_derivatives(dipoles, place)
        result = Recoil(_local(dipoles, place, dipole, moved), _absorbed_alone(dipoles, moved))
    else:
        dipole, derivative = linearised.dipole_derivatives(dipoles, place)
        result = Recoil(_shared(dipoles, place, dipole, derivative), _absorbed(dipoles, derivative))
    for matrix in result:
        matrix *= 0.25 * constants.hbar * constants.epsilon_0
    return result


def _dissipative(dipoles: Dipoles, separation: FloatArray, order: int) -> interaction.Radial:
    choose = interaction.far_dissipative_radial if dipoles.far_field else interaction.dissipative_radial
    return choose(separation, dipoles.light.wavenumber, order)


def _local(dipoles: Dipoles, place: FloatArray, dipole: ComplexArray, moved: ComplexArray) -> ComplexArray:
    """The sum, in units of hbar eps0/4, where a particle's dipole depends on its own place only."""
    n, k = dipoles.n_particles, dipoles.light.wavenumber
    result = np.empty((n, 3, n, 3), dtype=np.complex128)
    rows = max(1, PAIRS_AT_ONCE // n)
    for first in range(0, n, rows):
        # Rows are the unconjugated factor, j; the matrix is Hermitian, and half of it is enough.
        block, rest = slice(first, min(first + rows, n)), slice(first, n)
        separation = place[None, rest, :] - place[block, None, :]
        r = _dissipative(dipoles, separation, 4)
        shape = separation.shape[:-1]
        v, u = np.broadcast_to(dipole[block, None, :], (*shape, dipoles.size)), dipole[None, rest, :].conj()
        u_moved = moved[None, rest].conj()
        part = -interaction.hessian(separation, r, interaction.form(u, v, k), k)
        push = interaction.field_gradient(separation, r, v, k)  # of the field of j at k, by the place of k
        part -= np.swapaxes(np.einsum("...bi,...ai->...ba", u_moved, push), -1, -2)
        for a in range(3):
            v_moved = np.broadcast_to(moved[block, None, a], v.shape)
            part[..., a, :] += interaction.gradient(separation, r, interaction.form(u, v_moved, k), k)
            carried = interaction.field(separation, r, v_moved, k)
            part[..., a, :] += np.einsum("...bi,...i->...b", u_moved, carried)
        result[block, :, rest, :] = np.moveaxis(part, 1, 2)
        result[rest, :, block, :] = np.transpose(part, (1, 3, 0, 2)).conj()
    return result.reshape(3 * n, 3 * n)


def _shared(dipoles: Dipoles, place: FloatArray, dipole: ComplexArray, derivative: ComplexArray) -> ComplexArray:
    """The same where every dipole depends on all places."""
    n, s, k = dipoles.n_particles, dipoles.size, dipoles.light.wavenumber
    separation = place[:, None, :] - place[None, :, :]  # receiver l, source i
    r = _dissipative(dipoles, separation, 4)
    tensor = np.empty((n, s, n, s), dtype=np.complex128)
    for i in range(s):
        unit = np.broadcast_to(np.eye(s, dtype=np.complex128)[i], (n, n, s))
        tensor[..., i] = np.swapaxes(interaction.field(separation, r, unit, k), -1, -2)
    change = derivative.reshape(n * s, 3 * n)
    # Field at l, less its part from the strength of the dipoles: that of the places of the sources.
    push = interaction.field_gradient(separation, r, np.broadcast_to(dipole, (n, n, s)), k)  # (l, i, b, component)
    carried = -np.moveaxis(push, (1, 2, 3), (2, 3, 1)).reshape(n * s, 3 * n)
    bent = -interaction.hessian(separation, r, interaction.form(dipole[:, None].conj(), dipole[None, :], k), k)
    own = change.conj().T @ (tensor.reshape(n * s, n * s) @ change)
    mixed = change.conj().T @ carried
    result = (own + mixed + mixed.conj().T + np.moveaxis(bent, 1, 2).reshape(3 * n, 3 * n)).T
    return np.asarray(0.5 * (result + result.conj().T))


def _exchanging(dipoles: Dipoles) -> tuple[ComplexArray, ComplexArray]:
    """Matrices that make, of a dipole, the amplitudes of photons it absorbs and of those it emits, each (N, s, s)."""
    alpha = dipoles.alpha
    absorbing = (alpha - np.swapaxes(alpha, -1, -2).conj()) / 2j
    absorbing = absorbing - dipoles.reaction[:, None, None] * (np.swapaxes(alpha, -1, -2).conj() @ alpha)
    eigenvalue, vector = np.linalg.eigh(absorbing)
    largest = np.abs(alpha).max(axis=(-1, -2), initial=0.0)[:, None]
    eigenvalue = np.where(np.abs(eigenvalue) > NO_ABSORPTION * largest, eigenvalue, 0.0)
    # The field that drives a dipole is the dipole over the polarizability.
    mode: ComplexArray = np.swapaxes(vector, -1, -2).conj() @ np.linalg.pinv(alpha)
    absorbed, emitted = (np.sqrt(np.maximum(sign * eigenvalue, 0.0))[..., None] * mode for sign in (1.0, -1.0))
    return absorbed, emitted


def _absorbed_alone(dipoles: Dipoles, moved: ComplexArray) -> ComplexArray:
    """Absorption in units of hbar eps0/4 where a particle's dipole depends on its own place only."""
    n = dipoles.n_particles
    absorbed, emitted = (np.einsum("nij,naj->nai", matrix, moved) for matrix in _exchanging(dipoles))
    result = np.zeros((n, 3, n, 3), dtype=np.complex128)
    own = np.einsum("nai,nbi->nab", absorbed, absorbed.conj()) + np.einsum("nai,nbi->nab", emitted.conj(), emitted)
    result[np.arange(n), :, np.arange(n), :] = own
    return result.reshape(3 * n, 3 * n)


def _absorbed(dipoles: Dipoles, derivative: ComplexArray) -> ComplexArray:
    """The same where every dipole depends on all places."""
    n, s = dipoles.n_particles, dipoles.size
    flat = derivative.reshape(n, s, 3 * n)
    absorbed, emitted = (np.matmul(matrix, flat).reshape(n * s, 3 * n) for matrix in _exchanging(dipoles))
    result: ComplexArray = absorbed.T @ absorbed.conj() + (emitted.T @ emitted.conj()).conj()
    return result


def quadrature(dipoles: Dipoles, position: FloatArray, order: int | None = None) -> ComplexArray:
    r"""Momentum diffusion by photons scattered, by summing over directions: the general route.

    A product rule, Gauss-Legendre in :math:`\cos\theta` and the trapezoidal rule in :math:`\varphi`. It converges
    faster than any power once its order exceeds k times the extent of the array.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].
    order : int, optional
        Number of polar angles; half the number of azimuths. By default enough for 12 digits.

    Returns
    -------
    (3N, 3N) complex
        D [N^2 s], positive semidefinite by its making.

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    place = dipoles.checked_array(position)
    dipole, derivative = linearised.dipole_derivatives(dipoles, place)
    place = place - np.mean(place, axis=0)
    n, k = dipoles.n_particles, dipoles.light.wavenumber
    extent = 2.0 * k * float(np.linalg.norm(place, axis=-1).max(initial=0.0))
    n_polar = order or int(extent + 8.0 * extent ** (1 / 3) + 16)
    cosine, weight = np.polynomial.legendre.leggauss(n_polar)
    azimuth = 2.0 * math.pi * np.arange(2 * n_polar) / (2 * n_polar)
    result = np.zeros((3 * n, 3 * n), dtype=np.complex128)
    for c, w in zip(cosine, weight, strict=True):
        sine = math.sqrt(1.0 - c * c)
        direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.full_like(azimuth, c)], axis=-1)
        amplitude = _amplitude_derivatives(place, dipole, derivative, direction, k).reshape(-1, 3 * n)
        result += w * math.pi / n_polar * (amplitude.T @ amplitude.conj())
    strength = 0.25 * constants.hbar * constants.epsilon_0 * k**3 / (4.0 * math.pi) ** 2
    total: ComplexArray = strength * result
    return total


def _amplitude_derivatives(
    place: FloatArray, dipole: ComplexArray, derivative: ComplexArray, direction: FloatArray, k: float
) -> ComplexArray:
    """Derivatives of the transverse far field along each direction, (directions, 3, N, 3)."""

    def radiating(source: ComplexArray) -> ComplexArray:
        """(1 - nn) P - n x M of dipoles (..., s), for directions on the first axis."""
        n = direction[(slice(None), *(None,) * (source.ndim - 1))]
        electric = source[..., :3]
        out = electric - n * np.sum(n * electric, axis=-1, keepdims=True)
        return np.asarray(out if source.shape[-1] == 3 else out - np.cross(n, source[..., 3:]))

    phase = np.exp(-1j * k * direction @ place.T)
    by_strength = np.einsum("di,dikbc->dckb", phase, radiating(np.moveaxis(derivative, 1, -1)))
    by_place = np.einsum("dk,dkc,db->dckb", -1j * k * phase, radiating(dipole), direction)
    result: ComplexArray = by_strength + by_place
    return result
