r"""Exact derivatives of the forces of light, by the places of all particles.

With :math:`X = \Phi` the field that makes the dipoles and :math:`Y = \partial\Phi` its gradient,

.. math::

    \frac{dF_{ja}}{dr_{kb}} = \mathrm{Re}\left[\frac{d\Pi_j}{dr_{kb}}^\dagger V_{ja}\right]
    + \frac{\varepsilon_0}{2}\mathrm{Re}\left[\Pi_j^\dagger \frac{dY_{ja}}{dr_{kb}}\right], \qquad
    V_{ja} = \frac{\varepsilon_0}{2} Y_{ja} - \frac{\varepsilon_0 k^4}{12\pi} (M_j \times e_a,\; e_a \times P_j),

where moving k by :math:`dr_{kb}` moves the place at which its own field is taken, and the source of the others' field.
Nothing is differenced.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import interaction
from stochbind.optics.dipoles import Dipoles, Solution

_AXES = np.eye(3)


def jacobian(dipoles: Dipoles, position: FloatArray) -> FloatArray:
    """Derivative of every force by every coordinate.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    (3N, 3N) float
        ``result[3 * j + a, 3 * k + b]``: force on j along a per displacement of k along b [N/m]. The part with j and k
        different is the coupling; minus the rest is the stiffness of each particle, the others held fixed.

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    place = dipoles.checked_array(position)
    found = dipoles.solve(place)
    if dipoles.scattering == "multiple" and dipoles.n_particles > 1:
        return _of_all_orders(dipoles, place, found)
    return _of_first_order(dipoles, place, found)


def isolated(dipoles: Dipoles, position: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Force on each particle as if it were alone in the light, and its derivatives.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    force : (N, 3) float
        [N].
    derivative : (N, 3, 3) float
        ``derivative[j, a, b]``: of the force on j along a by its place along b [N/m].

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    place = dipoles.checked_array(position)
    value, gradient, curvature = dipoles.incident(place, curvature=True)
    dipole = np.einsum("nij,nj->ni", dipoles.alpha, value)
    return dipoles.force_of(dipole, gradient), _own(dipoles, dipole, gradient, gradient, curvature)


def dipole_derivatives(dipoles: Dipoles, position: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    """The dipoles, and their derivatives by every coordinate, to the order of `dipoles.scattering`.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    dipole : (N, s) complex
        For ``"single"``, those that the light alone induces [V m^2].
    derivative : (N, s, N, 3) complex
        Of component i of dipole j by coordinate b of particle k [V m].

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    place = dipoles.checked_array(position)
    n, s = dipoles.n_particles, dipoles.size
    itself = np.arange(n)
    result = np.zeros((n, s, n, 3), dtype=np.complex128)
    if dipoles.scattering == "single":
        dipole, moved = single_derivatives(dipoles, place)
        result[itself, :, itself, :] = np.swapaxes(moved, -1, -2)
        return dipole, result
    found = dipoles.solve(place)
    result[itself, :, itself, :] = np.swapaxes(_moved(dipoles, found.incident_gradient), -1, -2)
    if dipoles.scattering == "multiple" and n > 1:
        return found.dipole, _self_consistent(dipoles, place, found).reshape(n, s, n, 3)
    matrix = dipoles.matrix(place)
    field = _moved_sources(dipoles, place, found.source) + matrix @ result.reshape(n * s, 3 * n)
    field = field.reshape(n, s, n, 3)
    field[itself, :, itself, :] += np.swapaxes(found.incident_gradient + found.scattered_gradient, -1, -2)
    return found.dipole, np.einsum("nij,njkb->nikb", dipoles.alpha, field)


def single_derivatives(dipoles: Dipoles, position: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    """The dipoles that the light alone induces, (N, s), and their derivatives by their own places, (N, 3, s)."""
    value, gradient = dipoles.incident(dipoles.checked_array(position))
    return np.einsum("nij,nj->ni", dipoles.alpha, value), _moved(dipoles, gradient)


def _moved(dipoles: Dipoles, gradient: ComplexArray) -> ComplexArray:
    """Change of the dipoles in a field of this gradient as they move through it, (N, 3, s)."""
    result: ComplexArray = np.einsum("nij,naj->nai", dipoles.alpha, gradient)
    return result


def _levers(dipoles: Dipoles, dipole: ComplexArray, gradient: ComplexArray) -> ComplexArray:
    """V of the module's equation, (N, 3, s) [N / (V m^2)]."""
    half = 0.5 * constants.epsilon_0
    result = half * gradient
    if dipoles.magnetic is not None:
        electric, magnetic = dipole[:, None, :3], dipole[:, None, 3:]
        recoil = np.concatenate([np.cross(magnetic, _AXES), np.cross(_AXES, electric)], axis=-1)
        result = result - half * dipoles.light.wavenumber**4 / (6.0 * math.pi) * recoil
    return result


def _of_first_order(dipoles: Dipoles, place: FloatArray, found: Solution) -> FloatArray:
    """Jacobian where the sources are the dipoles that the light alone induces: pair by pair, in blocks of receivers."""
    n, k = dipoles.n_particles, dipoles.light.wavenumber
    moved = _moved(dipoles, found.incident_gradient)
    whole = found.incident_gradient + found.scattered_gradient
    # In the force to first order, a change of the scattered field meets the light alone.
    lever_dipole, lever_gradient = found.dipole, whole
    if dipoles.scattering == "single":
        lever_dipole, lever_gradient = found.source, found.incident_gradient
    levers = np.einsum("nai,nij->naj", _levers(dipoles, lever_dipole, lever_gradient).conj(), dipoles.alpha)
    source, receiver = found.source, lever_dipole.conj()
    half = 0.5 * constants.epsilon_0
    result = np.zeros((n, 3, n, 3))
    for block, separation, other in dipoles.pairs(place):
        r = dipoles.radial(separation, 4)
        u, mask = receiver[block, None, :], other[:, :, None, None]
        bent = half * interaction.hessian(separation, r, interaction.form(u, source, k), k)
        push = interaction.field_gradient(separation, r, source, k)
        bent = bent + np.einsum("jai,jkbi->jkab", levers[block], push)
        mean = np.where(mask > 0, bent, 0.0)
        pulled = np.empty_like(mean)
        for b in range(3):
            along = interaction.form(u, moved[:, b], k)
            pulled[..., b] = half * interaction.gradient(separation, r, along, k)
            carried = interaction.field(separation, r, np.broadcast_to(moved[:, b], push[..., 0, :].shape), k)
            pulled[..., b] += np.einsum("jai,jki->jka", levers[block], carried)
        rows = np.moveaxis(np.where(mask > 0, pulled, 0.0) - mean, 1, 2).real
        itself = np.arange(block.start, block.stop)
        rows[np.arange(len(itself)), :, itself, :] += mean.sum(axis=1).real
        result[block] = rows
    result[np.arange(n), :, np.arange(n), :] += _own(
        dipoles, found.dipole, found.incident_gradient, whole, dipoles.incident(place, curvature=True)[2]
    )
    return result.reshape(3 * n, 3 * n)


def _own(
    dipoles: Dipoles, dipole: ComplexArray, incident: ComplexArray, whole: ComplexArray, curvature: ComplexArray
) -> FloatArray:
    """Derivative of the force on each particle as it moves through the light, in the field of fixed dipoles."""
    own = np.einsum("nbi,nai->nab", _moved(dipoles, incident).conj(), _levers(dipoles, dipole, whole))
    own = own + 0.5 * constants.epsilon_0 * np.einsum("ni,nabi->nab", dipole.conj(), curvature)
    result: FloatArray = own.real
    return result


def _moved_sources(dipoles: Dipoles, place: FloatArray, source: ComplexArray) -> ComplexArray:
    """Change of the scattered field at every particle as they move, at fixed strength of the sources, (sN, 3N)."""
    n, s = dipoles.n_particles, dipoles.size
    result = np.zeros((n, s, n, 3), dtype=np.complex128)
    for block, separation, other in dipoles.pairs(place):
        r = dipoles.radial(separation, 3)
        push = interaction.field_gradient(separation, r, source, dipoles.light.wavenumber)
        result[block] = -np.moveaxis(np.where(other[:, :, None, None] > 0, push, 0.0), (1, 2, 3), (2, 3, 1))
    return result.reshape(n * s, 3 * n)


def _self_consistent(dipoles: Dipoles, place: FloatArray, found: Solution) -> ComplexArray:
    """Derivatives of dipoles that induce each other, (sN, 3N)."""
    n, s = dipoles.n_particles, dipoles.size
    driven = _moved_sources(dipoles, place, found.source).reshape(n, s, n, 3)
    itself = np.arange(n)
    driven[itself, :, itself, :] += np.swapaxes(found.incident_gradient + found.scattered_gradient, -1, -2)
    system = np.eye(n * s) - dipoles.times_alpha(dipoles.matrix(place))
    field = np.linalg.solve(system, driven.reshape(n * s, 3 * n)).reshape(n, s, 3 * n)
    result: ComplexArray = np.einsum("nij,njb->nib", dipoles.alpha, field).reshape(n * s, 3 * n)
    return result


def _of_all_orders(dipoles: Dipoles, place: FloatArray, found: Solution) -> FloatArray:
    """Jacobian of the self-consistent forces: one elimination for all derivatives of the dipoles."""
    n, s, k = dipoles.n_particles, dipoles.size, dipoles.light.wavenumber
    change = _self_consistent(dipoles, place, found)
    half = 0.5 * constants.epsilon_0
    curvature = dipoles.incident(place, curvature=True)[2]
    gradients = np.zeros((n, 3, n, s), dtype=np.complex128)
    result = np.zeros((n, 3, n, 3))
    for block, separation, other in dipoles.pairs(place):
        r = dipoles.radial(separation, 4)
        u, mask = found.dipole[block, None, :].conj(), other[:, :, None, None]
        bent = half * interaction.hessian(separation, r, interaction.form(u, found.source, k), k).real
        bent = np.where(mask > 0, bent, 0.0)
        rows = -np.moveaxis(bent, 1, 2)
        itself = np.arange(block.start, block.stop)
        rows[np.arange(len(itself)), :, itself, :] += bent.sum(axis=1)
        result[block] = rows
        # The interaction is a symmetric matrix: it works on u from the left as from the right.
        seen = interaction.field_gradient(separation, r, np.broadcast_to(u, (*other.shape, s)), k)
        gradients[block] = np.moveaxis(np.where(mask > 0, seen, 0.0), 1, 2)
    matrix = result.reshape(3 * n, 3 * n)
    levers = _levers(dipoles, found.dipole, found.incident_gradient + found.scattered_gradient)
    response = half * gradients.reshape(3 * n, n * s)
    response.reshape(n, 3, n, s)[np.arange(n), :, np.arange(n), :] += levers.conj()
    matrix += (response @ change).real
    own = half * np.einsum("ni,nabi->nab", found.dipole.conj(), curvature).real
    result[np.arange(n), :, np.arange(n), :] += own  # the matrix is a view of this
    return matrix
