r"""How one particle answers light: its electric and magnetic polarizability, and what energy allows of it.

A `Polarizability` turns the six-vector :math:`\Phi = (E, \eta H)` [V/m] at the particle into its dipoles
:math:`\Pi = (p/\varepsilon_0, \eta m)` [V m^2], with :math:`\eta = \mu_0 c` and :math:`e^{-i\omega t}`; both
polarizabilities are in m^3. A positive imaginary part takes energy from the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import ComplexArray
from stochbind.errors import ScenarioError
from stochbind.optics import particles

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

#: A gain below this counts as round-off.
PASSIVE_TOLERANCE = 1e-9
_NONE = np.zeros((3, 3), dtype=np.complex128)


@dataclass(frozen=True, eq=False)
class Polarizability:
    r"""Electric and magnetic dipole polarizability of one particle, in the frame of the laboratory.

    Parameters
    ----------
    electric : (3, 3) complex
        :math:`\alpha_e` [m^3]: the dipole moment is :math:`\varepsilon_0 \alpha_e E`.
    magnetic : (3, 3) complex
        :math:`\alpha_m` [m^3]: the magnetic moment is :math:`\alpha_m H`.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    """

    electric: ComplexArray
    magnetic: ComplexArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "electric", checks.complex_array("electric", self.electric, (3, 3)))
        object.__setattr__(self, "magnetic", checks.complex_array("magnetic", self.magnetic, (3, 3)))

    @property
    def matrix(self) -> ComplexArray:
        """Both as one matrix for six-vectors, (6, 6) complex [m^3]."""
        return np.block([[self.electric, _NONE], [_NONE, self.magnetic]])

    def with_radiation_reaction(self, wavenumber: float) -> Polarizability:
        r"""Polarizability of the particle driven by its own radiation too, :math:`\alpha (1 - i k^3\alpha/6\pi)^{-1}`.

        It turns a static polarizability into one that obeys the optical theorem: it absorbs what the static one
        absorbs in the field at the particle, and a lossless one (real and symmetric) neither absorbs nor amplifies.

        Parameters
        ----------
        wavenumber : float
            k [1/m].
        """
        self_field = 1j * _positive("wavenumber", wavenumber) ** 3 / (6.0 * math.pi)

        def driven(static: ComplexArray) -> ComplexArray:
            return np.asarray(np.linalg.solve(np.eye(3) - self_field * static, static), dtype=np.complex128)

        with checks.in_range():
            return Polarizability(driven(self.electric), driven(self.magnetic))

    def extinction(self, wavenumber: float, field: npt.ArrayLike | None = None) -> float:
        r"""Extinction cross section, :math:`2k\,\mathrm{Im}(\Phi^\dagger\alpha\Phi)/\Phi^\dagger\Phi`.

        The power taken from the field, over the intensity :math:`\varepsilon_0 c\,\Phi^\dagger\Phi/4`; a plane wave
        gives the cross section of the textbooks.

        Parameters
        ----------
        wavenumber : float
            k [1/m].
        field : (6,) complex, optional
            :math:`(E, \eta H)` at the particle [V/m]. Without it: the mean over all directions and polarizations of a
            plane wave.

        Returns
        -------
        float
            Cross section [m^2].
        """
        return 2.0 * _positive("wavenumber", wavenumber) * _expectation(_hermitian_loss(self.matrix), field)

    def scattering(self, wavenumber: float, field: npt.ArrayLike | None = None) -> float:
        r"""Scattering cross section, :math:`(k^4/3\pi)\,|\alpha\Phi|^2/\Phi^\dagger\Phi`.

        Parameters, averages and units are those of `extinction`.
        """
        return 2.0 * _positive("wavenumber", wavenumber) * _expectation(_radiated(self.matrix, wavenumber), field)

    def absorption(self, wavenumber: float, field: npt.ArrayLike | None = None) -> float:
        """Absorption cross section: extinction less scattering. Negative for a particle that amplifies.

        Parameters, averages and units are those of `extinction`.
        """
        return 2.0 * _positive("wavenumber", wavenumber) * _expectation(self.absorption_matrix(wavenumber), field)

    def absorption_matrix(self, wavenumber: float) -> ComplexArray:
        r"""The optical theorem as a matrix, :math:`A = (\alpha - \alpha^\dagger)/2i - (k^3/6\pi)\alpha^\dagger\alpha`.

        The absorbed power is :math:`\tfrac12 \varepsilon_0 c k\,\Phi^\dagger A \Phi`: light taken from the field less
        light scattered. A passive particle has a positive semidefinite A.

        Parameters
        ----------
        wavenumber : float
            k [1/m].

        Returns
        -------
        (6, 6) complex
            Hermitian matrix [m^3].
        """
        return _hermitian_loss(self.matrix) - _radiated(self.matrix, _positive("wavenumber", wavenumber))

    def gain(self, wavenumber: float) -> float:
        r"""Optical gain that the particle needs: minus the smallest eigenvalue of its absorption matrix, relative.

        Zero for a passive particle. The scale is the sum of the largest eigenvalues, in absolute value, of the two
        parts of A, extinction and scattering; a particle that scatters and takes nothing from the light has one.

        Parameters
        ----------
        wavenumber : float
            k [1/m].

        Returns
        -------
        float
            Between 0 and 1.
        """
        taken, radiated = _hermitian_loss(self.matrix), _radiated(self.matrix, _positive("wavenumber", wavenumber))
        scale = float(np.linalg.norm(taken, 2) + np.linalg.norm(radiated, 2))
        needed = -float(np.linalg.eigvalsh(taken - radiated)[0])
        return needed / scale if needed > 0.0 else 0.0

    def gain_note(self, wavenumber: float) -> str | None:
        """Say in one sentence that the particle needs optical gain; None if `gain` is below `PASSIVE_TOLERANCE`."""
        gain = self.gain(wavenumber)
        if gain <= PASSIVE_TOLERANCE:
            return None
        return (
            f"This particle needs optical gain: at the wavenumber {wavenumber:.6g} /m it gives out more light than it "
            f"takes in, by up to {gain:.0%} of all that it exchanges; use `mie` or `with_radiation_reaction`."
        )


def rayleigh(radius: float, index: complex) -> Polarizability:
    r"""Sphere much smaller than the wavelength, :math:`\alpha_e = 4\pi R^3 (n^2 - 1)/(n^2 + 2)`.

    Without radiation reaction: a lossless one scatters light that it does not take from the field, and needs gain.

    Parameters
    ----------
    radius : float
        Radius [m].
    index : complex
        Refractive index; a positive imaginary part absorbs.

    Returns
    -------
    Polarizability
        Electric only.

    Raises
    ------
    ScenarioError
        If the radius is not positive, or the index has a negative real or imaginary part.
    """
    return ellipsoid([_positive("radius", radius)] * 3, index)


def radiation_corrected(radius: float, index: complex, wavenumber: float) -> Polarizability:
    r"""Small sphere with radiation reaction, :math:`\alpha/(1 - i k^3\alpha/6\pi)` with the Rayleigh :math:`\alpha`.

    Parameters
    ----------
    radius, index
        As for `rayleigh`.
    wavenumber : float
        k [1/m].

    Returns
    -------
    Polarizability
        Electric only; passive.
    """
    return rayleigh(radius, index).with_radiation_reaction(wavenumber)


def ellipsoid(semi_axes: npt.ArrayLike, index: complex, rotation: Rotation | None = None) -> Polarizability:
    r"""Ellipsoid much smaller than the wavelength, :math:`\alpha_e = R\,\mathrm{diag}(\chi V)\,R^T`.

    Parameters
    ----------
    semi_axes : (3,) float
        Semi-axes [m].
    index : complex
        As for `rayleigh`.
    rotation : scipy.spatial.transform.Rotation, optional
        One rotation, from the axes of the body to the laboratory.

    Returns
    -------
    Polarizability
        Electric only, and without radiation reaction, as `rayleigh`.

    Raises
    ------
    ScenarioError
        If a semi-axis or the index is impossible, or `rotation` is not one rotation.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (32) and (42).
    """
    axes, permittivity = checks.array("semi_axes", semi_axes, (3,)), _index(index) ** 2
    _one_rotation(rotation)
    with checks.in_range():
        principal = particles.ellipsoid_volume(axes) * particles.ellipsoid_susceptibility(permittivity, axes)
        return Polarizability(particles.lab_frame(principal, rotation), _NONE)


def size_corrected(
    semi_axes: npt.ArrayLike, index: complex, wavenumber: float, rotation: Rotation | None = None
) -> Polarizability:
    r"""Ellipsoid with retardation and radiation reaction, :math:`1/\alpha = (1 - c)/\chi V - i k^3/6\pi` for each axis.

    c is the relative change :math:`\Delta\chi/\chi` of `stochbind.optics.particles.size_correction`, complete to order
    :math:`(kR)^2`. As a correction of the inverse it leaves a lossless particle lossless, and a passive one passive.
    The magnetic dipole is of the same order and left out; for spheres, `mie` has both. Spheres of kR = 0.62 are off by
    0.9 % for n = 1.45 and 0.8 % for n = 3.5 (with radiation reaction alone 0.4 %, as c is small by chance, and 16 %).

    Parameters
    ----------
    semi_axes, index, rotation
        As for `ellipsoid`; equal semi-axes make a sphere.
    wavenumber : float
        k [1/m].

    Returns
    -------
    Polarizability
        Electric only.
    """
    axes, permittivity, k = (
        checks.array("semi_axes", semi_axes, (3,)),
        _index(index) ** 2,
        _positive("wavenumber", wavenumber),
    )
    _one_rotation(rotation)
    with checks.in_range():
        susceptibility = particles.ellipsoid_susceptibility(permittivity, axes)
        retarded = susceptibility / (1.0 - particles.size_correction(susceptibility, axes, k))
        static = particles.lab_frame(particles.ellipsoid_volume(axes) * retarded, rotation)
        return Polarizability(static, _NONE).with_radiation_reaction(k)


def mie(radius: float, index: complex, wavenumber: float) -> Polarizability:
    r"""Sphere of any size with its exact dipoles, :math:`\alpha_e = 6\pi i a_1/k^3`, :math:`\alpha_m = 6\pi i b_1/k^3`.

    `stochbind.optics.particles.neglected_multipoles` tells how much the dipoles leave out.

    Parameters
    ----------
    radius, index
        As for `rayleigh`.
    wavenumber : float
        k [1/m].

    Returns
    -------
    Polarizability
        Passive.
    """
    k, refractive = _positive("wavenumber", wavenumber), _index(index)
    with checks.in_range():
        a, b = particles.mie_coefficients(refractive, k * _positive("radius", radius), 1)
        unit = 6j * math.pi / k**3 * np.eye(3)
        return Polarizability(unit * a[0], unit * b[0])


def kerker_first(electric: npt.ArrayLike) -> Polarizability:
    r"""Ideal particle of the first Kerker condition, :math:`\alpha_m = \alpha_e`: it scatters nothing backward.

    Jazayeri et al., section V.

    Parameters
    ----------
    electric : complex or (3, 3) complex
        Electric polarizability [m^3], such as that of `rayleigh`; a number is isotropic.

    Returns
    -------
    Polarizability
        Passive where the electric dipole is.

    """
    alpha = _isotropic(electric)
    return Polarizability(alpha, alpha)


def kerker_second(electric: npt.ArrayLike) -> Polarizability:
    r"""Ideal particle of the second Kerker condition, :math:`\alpha_m = -\alpha_e`: it scatters nothing forward.

    Jazayeri et al., section V.
    No passive particle is one: nothing forward means no extinction, yet it scatters.

    Parameters
    ----------
    electric : complex or (3, 3) complex
        As for `kerker_first`.

    Returns
    -------
    Polarizability
        It needs optical gain, whatever the electric polarizability.
    """
    alpha = _isotropic(electric)
    return Polarizability(alpha, -alpha)


def _hermitian_loss(matrix: ComplexArray) -> ComplexArray:
    """What the dipoles take from the field, ``(alpha - alpha^dagger)/2i``."""
    result: ComplexArray = (matrix - matrix.conj().T) / 2j
    return result


def _radiated(matrix: ComplexArray, wavenumber: float) -> ComplexArray:
    """What the dipoles radiate, ``k^3/(6 pi) alpha^dagger alpha``."""
    result: ComplexArray = wavenumber**3 / (6.0 * math.pi) * (matrix.conj().T @ matrix)
    return result


def _expectation(hermitian: ComplexArray, field: npt.ArrayLike | None) -> float:
    """Value of a (6, 6) matrix in a field, over the field's square; or its mean over plane waves."""
    if field is None:
        return float(np.trace(hermitian).real) / 6.0
    phi = checks.complex_array("field", field, (6,))
    if not phi.any():
        raise ScenarioError("`field` must not be zero; leave it out for the mean over all plane waves.")
    phi = phi / np.abs(phi).max()
    return float(np.vdot(phi, hermitian @ phi).real / np.vdot(phi, phi).real)


def _isotropic(electric: npt.ArrayLike) -> ComplexArray:
    """(3, 3) polarizability from one, or from a number."""
    if np.ndim(electric) == 0:
        return np.eye(3, dtype=np.complex128) * complex(checks.complex_array("electric", electric, ()))
    return checks.complex_array("electric", electric, (3, 3))


def _positive(name: str, value: float) -> float:
    """Return `value` as a positive number."""
    return float(checks.positive(name, checks.array(name, value, ())))


def _index(value: complex) -> complex:
    """Return `value` as the refractive index of a passive material."""
    index = complex(checks.complex_array("index", value, ()))
    if index.real < 0.0 or index.imag < 0.0 or index == 0.0:
        raise ScenarioError(
            f"`index` must have a real and an imaginary part of zero or more, but is {index:.6g}; a positive imaginary "
            "part absorbs."
        )
    return index


def _one_rotation(rotation: Rotation | None) -> None:
    """Raise unless `rotation` is one rotation, or none."""
    if rotation is not None and (not hasattr(rotation, "as_matrix") or rotation.as_matrix().shape != (3, 3)):
        given = checks.short(rotation)
        raise ScenarioError(f"`rotation` must be one scipy Rotation, such as Rotation.from_quat makes, but is {given}.")
