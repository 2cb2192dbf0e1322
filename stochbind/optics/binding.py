r"""Optical binding of N spheres in N tweezers, for small motion along the beams.

Convention, here and everywhere: ``coupling[j, k]`` is the effect **on j of k**. The antireciprocal part of the
coupling is fixed by the imaginary part of the diffusion matrix, :math:`C_{jk} - C_{kj} = 4\,\mathrm{Im} D_{jk}/\hbar`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import green


class Binding(NamedTuple):
    """What the scattered light does to the motion along the beams.

    Attributes
    ----------
    coupling : (N, N) float
        C: force on j per displacement of k [N/m]; zero diagonal.
    stiffness : (N,) float
        K: stiffness added to the trap of j, the row sums of C [N/m].
    force : (N,) float
        F: constant force on j, radiation pressure included [N].
    diffusion : (N, N) complex
        D: Hermitian momentum diffusion by photon recoil [N^2 s]. The noise forces of a classical or symmetrised
        trajectory have the covariance ``2 Re D``; ``Im D`` lives in the coupling.
    """

    coupling: FloatArray
    stiffness: FloatArray
    force: FloatArray
    diffusion: ComplexArray


def binding(
    position: FloatArray,
    field: ComplexArray,
    polarizability: FloatArray,
    wavenumber: float,
    z_r: float,
    *,
    far_field: bool = True,
) -> Binding:
    r"""Coupling, stiffness shift, force and recoil diffusion of an array.

    With :math:`\kappa = k - 1/z_R` and :math:`X = \kappa^2 G - \partial_z^2 G`,

    .. math::

        C_{jk} = \tfrac{\varepsilon_0}{2} \alpha_j \alpha_k \mathrm{Re}(E_j^* X E_k), \quad
        D_{jk} = \tfrac{\hbar \varepsilon_0}{4} \alpha_j \alpha_k\, E_k^* (\mathrm{Im} X) E_j, \quad
        F_j = \tfrac{\varepsilon_0}{2} \sum_k \alpha_j \alpha_k \kappa\, \mathrm{Im}(E_j^* G E_k),

    the sum over k including j (radiation pressure), and :math:`K_j = \sum_k C_{jk}`. Theory page, eq. (5)-(8).

    Parameters
    ----------
    position : (N, 2) float
        Foci in the plane z = 0 [m].
    field : (N, 2) complex
        Field amplitude at each focus [V/m].
    polarizability : (N,) float
        :math:`\alpha = \chi V` [m^3]; the dipole moment is :math:`\varepsilon_0 \alpha E`.
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].
    far_field : bool
        Keep only the terms of order 1/distance (the published form), or the whole Green tensor.

    Returns
    -------
    Binding
        All four constants.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (84)-(87). Two corrections, each checked by angular
    quadrature of the scattered field: (87b) has :math:`E_{k}^* \cdot (1 - n_{jk} n_{jk}) \cdot E_j`, and the
    relation below (90) has no factor i.
    """
    n = len(position)
    kappa = wavenumber - 1.0 / z_r
    pair = np.outer(polarizability, polarizability)
    off = ~np.eye(n, dtype=bool)
    separation = position[:, None, :] - position[None, :, :]
    tensor = np.zeros((n, n, 2, 2), dtype=np.complex128)
    curvature = np.zeros_like(tensor)
    tensor[off], curvature[off] = green.in_plane(separation[off], wavenumber, far_field=far_field)
    x = kappa**2 * tensor - curvature

    forward = np.einsum("ja,jkab,kb->jk", field.conj(), x, field)
    coupling = 0.5 * constants.epsilon_0 * pair * forward.real

    self_x = wavenumber**3 * (5.0 * kappa**2 + 2.0 * wavenumber**2) / (30.0 * math.pi)
    x_imaginary = x.imag
    x_imaginary[~off] = self_x * np.eye(2)
    overlap = np.einsum("ka,jkab,jb->jk", field.conj(), x_imaginary, field)
    diffusion = 0.25 * constants.hbar * constants.epsilon_0 * pair * overlap
    np.fill_diagonal(diffusion, np.diagonal(diffusion).real)

    tensor[~off] = 1j * wavenumber**3 / (6.0 * math.pi) * np.eye(2)
    push = np.einsum("ja,jkab,kb->jk", field.conj(), tensor, field).imag
    force = 0.5 * constants.epsilon_0 * kappa * (pair * push).sum(axis=1)
    return Binding(coupling, coupling.sum(axis=1), force, diffusion)


def radiation_pressure(polarizability: FloatArray, field: FloatArray, wavenumber: float, z_r: float) -> FloatArray:
    r"""Force of a tweezer on a sphere at its focus, :math:`\varepsilon_0 \alpha^2 k^3 \kappa |E|^2 / 12\pi`.

    The term of j itself in F of `binding`. Theory page, eq. (7).

    Parameters
    ----------
    polarizability, field : (N,) float
        As for `binding`; the field's amplitude only.
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].

    Returns
    -------
    (N,) float
        Force [N].
    """
    kappa = wavenumber - 1.0 / z_r
    return constants.epsilon_0 * polarizability**2 * wavenumber**3 * kappa * field**2 / (12.0 * math.pi)


def far_field_error(position: FloatArray, field: ComplexArray, wavenumber: float, z_r: float) -> FloatArray:
    r"""How wrong the far field is for each pair, relative to the strength :math:`\kappa^2 k^2 |E_j||E_k|/4\pi d`.

    Parameters
    ----------
    position, field, wavenumber, z_r
        As for `binding`.

    Returns
    -------
    (N, N) float
        :math:`|E_j^* (X - X_\mathrm{far}) E_k|` over the strength; zero diagonal.
    """
    n = len(position)
    kappa = wavenumber - 1.0 / z_r
    error = np.zeros((n, n))
    off = ~np.eye(n, dtype=bool)
    separation = (position[:, None, :] - position[None, :, :])[off]
    exact = green.in_plane(separation, wavenumber, far_field=False)
    far = green.in_plane(separation, wavenumber, far_field=True)
    difference = kappa**2 * (exact.value - far.value) - exact.z_curvature
    strength = kappa**2 * wavenumber**2 / (4.0 * math.pi * np.linalg.norm(separation, axis=-1))
    j, k = np.nonzero(off)
    direction = field / np.linalg.norm(field, axis=-1, keepdims=True)
    error[off] = np.abs(np.einsum("pa,pab,pb->p", direction[j].conj(), difference, direction[k])) / strength
    return error
