"""Laser light with its exact derivatives: plane waves and Gaussian tweezers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics.beams import peak_field, rayleigh_range
from stochbind.optics.waves.base import Superposition, Values, Wave
from stochbind.optics.waves.polarizations import linear, transverse_basis, unit_direction, unit_polarization

#: Where the envelope of a tweezer is below exp(-60), its field counts as zero.
LARGEST_EXPONENT = 60.0
#: Largest detuning over the light's frequency: it changes the phase over a thousand wavelengths by less than 0.1.
LARGEST_DETUNING = 1e-5

# A tweezer and its derivatives need these powers of the two transverse derivatives, (i, j) with i + j up to 6: the
# magnetic field holds two, and each derivative along the beam two more.
_DEGREE = 6
_FIRST, _SECOND = np.array([(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]).T


class _Beam(Wave):
    """What plane waves and tweezers have in common."""

    wavelength: float
    direction: FloatArray
    polarization: ComplexArray
    amplitude: float
    phase: float

    def __post_init__(self) -> None:
        direction = unit_direction(self.direction)
        checked: dict[str, Any] = {
            "wavelength": _positive("wavelength", self.wavelength),
            "direction": direction,
            "polarization": unit_polarization(self.polarization, direction),
            "amplitude": _positive("amplitude", self.amplitude, or_zero=True),
            "phase": float(checks.array("phase", self.phase, ())),
            "detuning": float(checks.array("detuning", self.detuning, ())),
        }
        largest = LARGEST_DETUNING * constants.c / checked["wavelength"]
        if abs(checked["detuning"]) > largest:
            raise ScenarioError(
                f"`detuning` must be at most {largest:.3g} Hz, as all waves have one wavelength, but is "
                f"{checked['detuning']:.6g} Hz."
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def wavenumber(self) -> float:
        """Wavenumber [1/m]."""
        return 2.0 * math.pi / self.wavelength

    @property
    def _peak(self) -> ComplexArray:
        """Electric field where its phase is given, (3,)."""
        result: ComplexArray = self.amplitude * np.exp(1j * self.phase) * self.polarization
        return result


@dataclass(frozen=True, eq=False)
class PlaneWave(_Beam):
    r"""Plane wave, :math:`E = A e^{i\varphi}\, e\, e^{ik\,n\cdot r}` and :math:`\eta H = n \times E`.

    Parameters
    ----------
    wavelength : float
        [m].
    direction : (3,) float
        n, of propagation; stored as a unit vector.
    polarization : (3,) complex
        e, perpendicular to n; stored as a unit vector.
    amplitude : float
        A [V/m], zero or positive; the intensity is :math:`\varepsilon_0 c A^2/2`.
    phase : float
        :math:`\varphi` [rad], of the field at the origin.
    detuning : float
        [Hz].

    Raises
    ------
    ScenarioError
        If a number is impossible, or the polarization not perpendicular to the direction.
    """

    wavelength: float
    direction: FloatArray
    polarization: ComplexArray
    amplitude: float
    phase: float = 0.0
    detuning: float = 0.0

    @cached_property
    def _at_origin(self) -> ComplexArray:
        """Field, gradient and curvature at the origin, (78,)."""
        slope = 1j * self.wavenumber * self.direction
        field = self._peak
        value = np.concatenate([field, np.cross(self.direction, field)])
        gradient = np.multiply.outer(slope, value)
        curvature = np.multiply.outer(slope, gradient)
        return np.concatenate([value, gradient.ravel(), curvature.ravel()])

    def at(self, points: FloatArray) -> Values:
        """Field, gradient and curvature, see `Wave.at`."""
        phase = self.wavenumber * (checks.array("points", points, ("N", 3)) @ self.direction)
        return _split(np.multiply.outer(np.exp(1j * phase), self._at_origin))


@dataclass(frozen=True, eq=False)
class GaussianTweezer(_Beam):
    r"""Gaussian beam with any focus and direction.

    .. math::

        E = A e^{i\varphi}\, e\, e^{ikz} f(x, y, z), \qquad
        f = \frac{1}{1 + iz/z_R} \exp\left(-\frac{x^2 + y^2}{w^2 (1 + iz/z_R)}\right), \qquad z_R = k w^2/2,

    where x, y, z are coordinates from the focus, z along the direction n. The magnetic field is what Faraday's law
    makes of it, :math:`\eta H = \nabla \times E / ik`, without another approximation.

    This E solves the paraxial wave equation, and its divergence is of order 1/kw relative to k|E|. With `longitudinal`
    it gets the first correction of Lax and Davis, :math:`E_n = (i/k) \nabla_\perp \cdot E_\perp`; the divergence left
    is :math:`-\Delta_\perp/2k^2` of the former one, and Ampere's law holds to order :math:`(kw)^{-3}` instead of
    :math:`(kw)^{-1}`. The power through a plane is then P of `amplitude_of_power` exactly, without it
    :math:`P (1 - 1/(kw)^2)`; and circular light carries the angular momentum :math:`\pm P/\omega` per time, without it
    only half of that.

    Parameters
    ----------
    wavelength : float
        [m].
    waist : float
        w [m], where the field falls to 1/e in the focal plane; at least half a wavelength.
    focus : (3,) float
        [m].
    direction : (3,) float
        n, of propagation; stored as a unit vector.
    polarization : (3,) complex
        e, perpendicular to n; stored as a unit vector.
    amplitude : float
        A [V/m], zero or positive; of a power, `amplitude_of_power`.
    phase : float
        :math:`\varphi` [rad], of the field at the focus.
    detuning : float
        [Hz].
    longitudinal : bool
        Whether E has a component along n.

    Raises
    ------
    ScenarioError
        If a number is impossible, the polarization not perpendicular to the direction, or the focus too tight.

    Notes
    -----
    The field is a function :math:`u = e^{ikz} f` under differential operators, and :math:`\partial_z u = i(k +
    \Delta_\perp/2k)\, u` exactly. So every component of every derivative is a polynomial in :math:`\partial_x` and
    :math:`\partial_y` applied to u; these polynomials belong to the beam and are made once, in units of k.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (77), (78), there with all foci in the plane z = 0.
    Lax, Louisell and McKnight, Phys. Rev. A 11, 1365 (1975); Davis, Phys. Rev. A 19, 1177 (1979).
    """

    wavelength: float
    waist: float
    focus: FloatArray
    direction: FloatArray
    polarization: ComplexArray
    amplitude: float
    phase: float = 0.0
    detuning: float = 0.0
    longitudinal: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        waist = _positive("waist", self.waist)
        if waist < 0.5 * self.wavelength:
            raise ScenarioError(
                f"`waist` must be at least half the wavelength, {0.5 * self.wavelength:.6g} m, but is {waist:.6g} m: "
                "the paraxial approximation fails for a tighter focus."
            )
        object.__setattr__(self, "waist", waist)
        object.__setattr__(self, "focus", checks.array("focus", self.focus, (3,)))

    @property
    def rayleigh_range(self) -> float:
        """``k w^2 / 2`` [m]."""
        return rayleigh_range(self.wavelength, self.waist)

    def paraxial_error(self) -> float:
        r"""Size of the terms that the paraxial approximation leaves out, ``1/(k w)^2``.

        Returns
        -------
        float
            Relative to the field; at most :math:`1/\pi^2`.
        """
        return 1.0 / (self.wavenumber * self.waist) ** 2

    @cached_property
    def _axes(self) -> FloatArray:
        """Coordinate axes of the beam, one in a row."""
        return np.vstack([transverse_basis(self.direction), self.direction])

    @cached_property
    def _operators(self) -> ComplexArray:
        """What makes field, gradient and curvature of the transverse derivatives of u, (28, 78)."""
        size = _DEGREE + 1
        peak = self._peak
        electric = np.zeros((3, size, size), dtype=np.complex128)
        electric[:, 0, 0] = peak
        if self.longitudinal:
            electric[:, 1, 0] = 1j * self.direction * (self._axes[0] @ peak)
            electric[:, 0, 1] = 1j * self.direction * (self._axes[1] @ peak)
        slope = self._derivative(electric)
        magnetic = -1j * np.stack([slope[a - 2, a - 1] - slope[a - 1, a - 2] for a in range(3)])
        value = np.concatenate([electric, magnetic])
        gradient = self._derivative(value)
        k = self.wavenumber
        result = [table[..., _FIRST, _SECOND] for table in (value, k * gradient, k**2 * self._derivative(gradient))]
        return np.vstack([table.reshape(-1, len(_FIRST)) for table in result]).T

    def _derivative(self, table: ComplexArray) -> ComplexArray:
        """Derivatives in units of k along x, y, z of the laboratory, of polynomials in the two transverse ones.

        The last two axes of a table hold the coefficients; a new axis, of the derivative, comes first.
        """
        # Nothing of weight comes round from the end: there the coefficients are zero, within rounding.
        first, second = np.roll(table, 1, axis=-2), np.roll(table, 1, axis=-1)
        along = 1j * (table + 0.5 * (np.roll(first, 1, axis=-2) + np.roll(second, 1, axis=-1)))
        result: ComplexArray = np.einsum("ia,i...->a...", self._axes, np.stack([first, second, along]))
        return result

    def at(self, points: FloatArray) -> Values:
        """Field, gradient and curvature, see `Wave.at`."""
        local = self.wavenumber * self._axes @ (checks.array("points", points, ("N", 3)) - self.focus).T
        kw = self.wavenumber * self.waist
        near = (local[0] ** 2 + local[1] ** 2) / (kw**2 + (2.0 * local[2] / kw) ** 2) < LARGEST_EXPONENT
        x, y, z = local[:, near]
        q = 1.0 + 2j * z / kw**2
        s = 1.0 / (kw**2 * q)
        u = np.exp(1j * z - s * (x**2 + y**2)) / q
        derivative = _hermite(x, s)[_FIRST] * _hermite(y, s)[_SECOND] * u
        result = np.zeros((len(near), self._operators.shape[1]), dtype=np.complex128)
        result[near] = derivative.T @ self._operators
        return _split(result)


def standing_wave(wave: PlaneWave | GaussianTweezer, phase: float = 0.0) -> Superposition:
    r"""A wave and its counter-propagating copy, of the same amplitude, polarization vector and focus.

    For plane waves :math:`E = 2 A e^{i(\varphi + \psi/2)}\, e \cos(k\,n\cdot r - \psi/2)`, with :math:`\psi` the
    relative phase: with 0 an antinode is at the origin (the focus of a tweezer), with :math:`\pi` a node, and a
    positive phase moves the pattern along n. The copy of circular light has the same spin, and so the opposite
    helicity, as if reflected by a mirror.

    Parameters
    ----------
    wave : PlaneWave or GaussianTweezer
        The one along n.
    phase : float
        :math:`\psi` [rad], of the copy relative to it, at the origin or the focus.

    Returns
    -------
    Superposition
        Of the two.

    Raises
    ------
    ScenarioError
        If the phase is not a finite number.
    """
    shift = float(checks.array("phase", phase, ()))
    return Superposition((wave, replace(wave, direction=-wave.direction, phase=wave.phase + shift)))


def parallel_tweezers(
    position: FloatArray,
    wavelength: float,
    waist: float,
    amplitude: FloatArray,
    phase: FloatArray,
    angle: FloatArray,
) -> Superposition:
    """Tweezers along z with their foci in the plane z = 0, one for each particle of an array.

    Parameters
    ----------
    position : (N, 2) float
        Foci [m].
    wavelength, waist : float
        Of all [m].
    amplitude, phase, angle : (N,) float
        Amplitude [V/m] and phase [rad] at each focus, and angle between its linear polarization and the x axis [rad].

    Returns
    -------
    Superposition
        Of all.

    Raises
    ------
    ScenarioError
        If a number is impossible, or the waist below half a wavelength.
    """
    z = np.array([0.0, 0.0, 1.0])
    return Superposition(
        tuple(
            GaussianTweezer(
                wavelength=wavelength,
                waist=waist,
                focus=np.array([*place, 0.0]),
                direction=z,
                polarization=linear(float(turned), z),
                amplitude=float(peak),
                phase=float(start),
            )
            for place, peak, start, turned in zip(position, amplitude, phase, angle, strict=True)
        )
    )


def amplitude_of_intensity(intensity: float) -> float:
    r"""Field amplitude of a plane wave, :math:`I = \varepsilon_0 c |E|^2/2`.

    Parameters
    ----------
    intensity : float
        [W/m^2].

    Returns
    -------
    float
        [V/m].

    Raises
    ------
    ScenarioError
        If the intensity is negative or not finite.
    """
    return math.sqrt(2.0 * _positive("intensity", intensity, or_zero=True) / (constants.epsilon_0 * constants.c))


def amplitude_of_power(power: float, waist: float) -> float:
    r"""Field amplitude at the focus of a tweezer, :math:`|E|^2 = 4P/(\pi w^2 \varepsilon_0 c)`.

    Parameters
    ----------
    power : float
        [W].
    waist : float
        Radius at which the field falls to 1/e [m].

    Returns
    -------
    float
        [V/m].

    Raises
    ------
    ScenarioError
        If a number is impossible.
    """
    power = _positive("power", power, or_zero=True)
    return float(peak_field(np.asarray(power), _positive("waist", waist)))


def _hermite(x: FloatArray, s: ComplexArray) -> ComplexArray:
    """Derivatives of ``exp(-s x^2)`` relative to it, of order 0 to 6 in a row each."""
    result = np.ones((_DEGREE + 1, *x.shape), dtype=np.complex128)
    result[1] = -2.0 * s * x
    for n in range(1, _DEGREE):
        result[n + 1] = -2.0 * s * (x * result[n] + n * result[n - 1])
    return result


def _split(rows: ComplexArray) -> Values:
    """Rows of 6 + 18 + 54 numbers, one row for each point, as `Values`."""
    return Values(rows[:, :6], rows[:, 6:24].reshape(-1, 3, 6), rows[:, 24:].reshape(-1, 3, 3, 6))


def _positive(name: str, value: float, *, or_zero: bool = False) -> float:
    return float(checks.positive(name, checks.array(name, value, ()), or_zero=or_zero))
