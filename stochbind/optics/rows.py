r"""Particles in a row along a plane wave, each an electric and a magnetic dipole.

The wave travels along +x, its electric field along y and its magnetic field along z; the particles are on the x axis,
so that every field and dipole is a number and every force is along x.

In SI units and vacuum, with :math:`h = \eta H` [V/m], :math:`P = \alpha_e E` and :math:`M = \alpha_m h` [V m^2], the
field at j is (Jazayeri et al., eq. (4), which is written for two particles)

.. math::

    E_j = E_0 e^{ikx_j} + \sum_{l \ne j} [a(r) P_l + s\, b(r) M_l], \qquad
    h_j = E_0 e^{ikx_j} + \sum_{l \ne j} [s\, b(r) P_l + a(r) M_l],

with :math:`r = |x_j - x_l|`, s the sign of :math:`x_j - x_l`, and the propagators of their eq. (5),
:math:`4\pi a = (k^2/r + ik/r^2 - 1/r^3) e^{ikr}` and :math:`4\pi b = (k^2/r + ik/r^2) e^{ikr}`. The force on j is
(their eq. (3), the last term being the recoil of the light that j scatters)

.. math::

    F_j = \frac{\varepsilon_0}{2} \mathrm{Re}[P_j^* \partial_x E_j + M_j^* \partial_x h_j]
          - \frac{\varepsilon_0 k^4}{12\pi} \mathrm{Re}(P_j^* M_j).

The derivatives are of the field as a function of the place where it is measured, all particles being held fixed.

``events`` says how often the light is scattered: with :math:`E^{(0)}` the external wave, each event takes the fields
:math:`E^{(n)}` from the dipoles that :math:`E^{(n-1)}` induces; the force takes the dipoles of :math:`E^{(n)}` and the
derivative of the field of those of :math:`E^{(n-1)}`. 0 is no interaction, 1 is what the paper plots, and None solves
for all events at once, which is what a measurement would see.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError


class RowForces(NamedTuple):
    """Forces on particles in a row, and how they change with the positions.

    Attributes
    ----------
    isolated : (N,) float
        Force on each particle if it were alone [N].
    interaction : (..., N) float
        f: what the others add to it [N].
    jacobian : (..., N, N) float
        Element ``[j, k]`` is the derivative of the force on j with respect to the position of k [N/m]. Rows sum to
        zero, as shifting all particles together changes no force.
    """

    isolated: FloatArray
    interaction: FloatArray
    jacobian: FloatArray


class TrapLinearisation(NamedTuple):
    """Forces for small displacements of particles in traps.

    Attributes
    ----------
    stiffness : (..., N) float
        Restoring force on each particle per displacement of its own, trap and light together [N/m].
    coupling : (..., N, N) float
        Force on j per displacement of k [N/m]; zero diagonal.
    """

    stiffness: FloatArray
    coupling: FloatArray


def isolated_force(electric: Any, magnetic: Any, wavenumber: float, amplitude: float) -> FloatArray:
    r"""Force of the wave on a particle that is alone.

    .. math::

        F = \frac{\varepsilon_0}{2} |E_0|^2 \left[k\,\mathrm{Im}(\alpha_e + \alpha_m)
            - \frac{k^4}{6\pi} \mathrm{Re}(\alpha_e^* \alpha_m)\right]

    It may be negative only for a particle with optical gain, as an ideal first-Kerker particle
    (:math:`\alpha_m = \alpha_e`) without radiation damping is.

    Parameters
    ----------
    electric, magnetic : complex or (N,) complex
        Polarizabilities :math:`\alpha_e`, :math:`\alpha_m` [m^3].
    wavenumber : float
        k [1/m].
    amplitude : float
        Peak amplitude of the electric field of the wave [V/m].

    Returns
    -------
    (N,) float
        Force along the wave [N]; one element where both polarizabilities are numbers.

    Raises
    ------
    ScenarioError
        If a number is not finite, k is not positive, or the polarizabilities are not of as many particles.

    References
    ----------
    Jazayeri et al., eq. (3), with the external wave alone.
    """
    number = max(np.size(electric), np.size(magnetic))
    alpha = _polarizabilities(electric, magnetic, number)
    k, pressure = _wave(wavenumber, amplitude)
    cross = k**4 / (6.0 * math.pi) * (alpha[:, 0].conj() * alpha[:, 1]).real
    result: FloatArray = pressure * (k * alpha.imag.sum(axis=1) - cross)
    return result


def row_forces(
    position: Any, electric: Any, magnetic: Any, wavenumber: float, amplitude: float, *, events: int | None = 1
) -> RowForces:
    r"""Forces on N particles in a row, and their exact derivatives with respect to the positions.

    The fields are written as :math:`E_j = E_0 e^{ikx_j} v_j` and the scattered part of v alone is carried, so that the
    interaction is no small difference of large numbers: downstream the propagators lose their phase, upstream they
    have it twice.

    Parameters
    ----------
    position : (..., N) float
        Places on the x axis [m], in any order, no two of them equal.
    electric, magnetic : complex or (N,) complex
        Polarizabilities [m^3]; a number is that of every particle.
    wavenumber, amplitude : float
        As for `isolated_force`.
    events : int or None
        Number of scattering events; None for all of them.

    Returns
    -------
    RowForces
        Forces and Jacobian.

    Raises
    ------
    ScenarioError
        If two particles are at one place, `events` is negative, a shape does not fit, or a number is not finite.

    References
    ----------
    Jazayeri et al., eqs. (3)-(5), for any number of particles.
    """
    x = _positions(position)
    number = x.shape[-1]
    alpha = _polarizabilities(electric, magnetic, number)
    k, pressure = _wave(wavenumber, amplitude)
    if events is not None:
        events = checks.integer("events", events, minimum=0, maximum=10**6, error=ScenarioError)
    with checks.in_range():
        fields = _scatter(_interactions(x, alpha, k), x.shape, events)
        interaction, jacobian = _forces(fields, alpha, k)
    isolated = isolated_force(alpha[:, 0], alpha[:, 1], wavenumber, amplitude)
    return RowForces(isolated, pressure * interaction, pressure * jacobian)


def around_traps(jacobian: Any, trap_stiffness: Any) -> TrapLinearisation:
    r"""Stiffness and coupling of particles that traps hold where the Jacobian was taken.

    The total force on j is :math:`-u_j q_j + \sum_{k \ne j} c_{jk} q_k`, with
    :math:`u_j = \kappa_j - \partial F_j/\partial x_j` and :math:`c_{jk} = \partial F_j/\partial x_k`. For a pair, with
    primes for derivatives with respect to L,

    .. math::

        u_A = \kappa_A + f_A', \quad c_{AB} = f_A', \quad u_B = \kappa_B - f_B', \quad c_{BA} = -f_B':

    opposite forces, :math:`f_B = -f_A`, couple both particles alike. A coupling constant has the sign of the slope of
    its force for A, and the other sign for B.

    Parameters
    ----------
    jacobian : (..., N, N) float
        Of `RowForces`, or of `stochbind.optics.kerker.PairForces` [N/m].
    trap_stiffness : (N,) float
        :math:`\kappa_j` [N/m].

    Returns
    -------
    TrapLinearisation
        Stiffness and coupling.

    Raises
    ------
    ScenarioError
        If a shape does not fit, or a number is not finite.
    """
    slope = checks.real_numbers("jacobian", jacobian)
    if slope.ndim < 2 or slope.shape[-1] != slope.shape[-2]:
        raise ScenarioError(f"`jacobian` must have shape (..., N, N), but has shape {slope.shape}.")
    number = slope.shape[-1]
    trap = checks.array("trap_stiffness", trap_stiffness, (number,))
    own = np.diagonal(slope, axis1=-2, axis2=-1)
    return TrapLinearisation(trap - own, slope * (1.0 - np.eye(number)))


class _Scattered(NamedTuple):
    """The scattered field in units of the external one: w = v - 1 and its derivatives; c is E or h.

    ``slope`` is the derivative of the scattered field along x with the phase of the wave taken out; ``_by`` marks the
    derivative with respect to the position of the particle in the last axis.
    """

    field: ComplexArray  # (..., N, c)
    slope: ComplexArray  # (..., N, c)
    field_by: ComplexArray  # (..., N, c, N)
    slope_by: ComplexArray  # (..., N, c, N)


def _interactions(x: FloatArray, alpha: ComplexArray, k: float) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Field at j by the polarization of l, without the phase of the wave, and its two derivatives by x_j.

    Each has the shape (..., N, c, N, c).
    """
    number = x.shape[-1]
    separation = x[..., :, None] - x[..., None, :]
    sign = np.sign(separation)
    other = sign != 0.0
    r = np.where(other, np.abs(separation), 1.0)
    wave = np.where(sign < 0.0, 2.0 * k, 0.0)  # upstream the scattered wave meets the external one head on
    # Coefficients of r^-1, r^-2, ...
    far = [np.full(r.shape, c / (4.0 * math.pi), dtype=np.complex128) for c in (k**2, 1j * k)]
    near = [np.full(r.shape, -1.0 / (4.0 * math.pi), dtype=np.complex128)]
    a, b = far + near, far
    phase = np.where(other, np.exp(1j * wave * r), 0.0)
    result = []
    for order in range(3):
        turn = phase * sign**order  # each derivative by x_j is one by r, times the sign
        tensor = np.empty((*x.shape, 2, number, 2), dtype=np.complex128)
        tensor[..., :, 0, :, 0] = tensor[..., :, 1, :, 1] = turn * _series(a, r)
        tensor[..., :, 0, :, 1] = tensor[..., :, 1, :, 0] = turn * sign * _series(b, r)
        result.append(tensor * alpha)
        a, b = _derived(a, wave), _derived(b, wave)
    return result[0], result[1], result[2]


def _series(coefficients: list[ComplexArray], r: FloatArray) -> ComplexArray:
    """Sum of coefficients times r^-1, r^-2, ..."""
    total = np.zeros(r.shape, dtype=np.complex128)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) / r
    return total


def _derived(coefficients: list[ComplexArray], wave: FloatArray) -> list[ComplexArray]:
    """Coefficients of the derivative of the series times exp(i wave r), without that factor."""
    result = [1j * wave * c for c in coefficients] + [np.zeros(wave.shape, dtype=np.complex128)]
    for power, c in enumerate(coefficients, start=1):
        result[power] = result[power] - power * c
    return result


def _scatter(
    interactions: tuple[ComplexArray, ComplexArray, ComplexArray], shape: tuple[int, ...], events: int | None
) -> _Scattered:
    """The scattered fields after a number of events, or of all of them."""
    number = shape[-1]
    size = 2 * number
    lead = shape[:-1]
    s0, s1, s2 = (s.reshape(*lead, size, size) for s in interactions)
    external = np.ones((*lead, size, 1), dtype=np.complex128)
    same = np.repeat(np.eye(number), 2, axis=0)  # (2N, N): the particle of a component

    def moved(derivative: ComplexArray, source: ComplexArray) -> ComplexArray:
        """Change of the field (order 0) or its slope (order 1) by moving each particle, the source kept."""
        by_source = (derivative * source[..., None, :, 0]).reshape(*lead, size, number, 2).sum(axis=-1)
        result: ComplexArray = same * (derivative @ source) - by_source
        return result

    field: ComplexArray = np.zeros_like(external)
    slope: ComplexArray = np.zeros_like(external)
    field_by: ComplexArray = np.zeros((*lead, size, number), dtype=np.complex128)
    slope_by: ComplexArray = np.zeros_like(field_by)
    if events is None:
        response = np.eye(size) - s0
        field = np.asarray(np.linalg.solve(response, s0 @ external), dtype=np.complex128)
        source = external + field
        field_by = np.asarray(np.linalg.solve(response, moved(s1, source)), dtype=np.complex128)
        slope, slope_by = s1 @ source, moved(s2, source) + s1 @ field_by
    for _ in range(events or 0):
        source = external + field
        slope, slope_by = s1 @ source, moved(s2, source) + s1 @ field_by
        field, field_by = s0 @ source, moved(s1, source) + s0 @ field_by
    by = (*lead, number, 2, number)
    return _Scattered(field.reshape(*shape, 2), slope.reshape(*shape, 2), field_by.reshape(by), slope_by.reshape(by))


def _forces(scattered: _Scattered, alpha: ComplexArray, k: float) -> tuple[FloatArray, FloatArray]:
    """Interaction forces and Jacobian in units of eps0 |E0|^2 / 2."""
    w, slope, w_by, slope_by = scattered
    v = 1.0 + w
    conjugate = (alpha * v).conj()
    pull = (conjugate * slope).real + k * alpha.imag * (2.0 * w.real + np.abs(w) ** 2)
    cross = k**4 / (6.0 * math.pi) * alpha[:, 0].conj() * alpha[:, 1]
    e, h = w[..., 0], w[..., 1]
    recoil = (cross * (e.conj() + h + e.conj() * h)).real
    pull_by = (
        conjugate[..., None] * slope_by
        + (alpha.conj() * slope)[..., None] * w_by.conj()
        + (2.0 * k * alpha.imag * v.conj())[..., None] * w_by
    ).real
    recoil_by = (
        (cross * (1.0 + h))[..., None] * w_by[..., 0, :].conj()
        + (cross * (1.0 + e.conj()))[..., None] * w_by[..., 1, :]
    ).real
    return pull.sum(axis=-1) - recoil, pull_by.sum(axis=-2) - recoil_by


def _wave(wavenumber: float, amplitude: float) -> tuple[float, float]:
    """Wavenumber, and eps0 |E0|^2 / 2 [N/m^2]."""
    k = float(checks.positive("wavenumber", checks.array("wavenumber", wavenumber, ())))
    size = float(checks.positive("amplitude", checks.array("amplitude", amplitude, ()), or_zero=True))
    return k, 0.5 * constants.epsilon_0 * size**2


def _positions(position: Any) -> FloatArray:
    """Positions, checked: (..., N)."""
    x = checks.real_numbers("position", position)
    if x.ndim == 0:
        raise ScenarioError("`position` must have shape (..., N), but is a number: give one for each particle.")
    ordered = np.sort(x, axis=-1)
    same = np.argwhere(ordered[..., 1:] == ordered[..., :-1])
    if len(same):
        raise ScenarioError(
            f"Two particles are at one place, {ordered[tuple(same[0])]:.6g} m: give each its own `position`."
        )
    return x


def _polarizabilities(electric: Any, magnetic: Any, number: int) -> ComplexArray:
    """Electric and magnetic polarizability of each particle: (N, 2)."""
    result = np.empty((number, 2), dtype=np.complex128)
    for column, (name, value) in enumerate((("electric", electric), ("magnetic", magnetic))):
        given = np.asarray(value)
        if given.ndim == 0 or given.shape == (1,):
            given = np.broadcast_to(given, (number,))
        result[:, column].real = checks.array(name, np.real(given), (number,))
        result[:, column].imag = checks.array(name, np.imag(given), (number,))
    return result
