r"""All constants of the forces on coupled dipoles in one row of numbers, which is kept with a run.

Workers take these numbers as they are: no light, polarizability or derivative is computed again on another processor.
The row holds, in this order:

- the number of particles N, of coordinates that move D, and of groups of coherent waves;
- the origin (N, 3) [m]; the coordinates that move (D,); stiffness and centre of traps, (N, 3) each; forces at the
  origin (D,) [N]; their derivatives (D, D) [N/m]; distances at which particles touch (N, N) [m];
- of each group: blocks of three components (1 without magnetic dipoles, else 2), kind of scattering, wavenumber k,
  number of waves, factor to newtons; polarizabilities (N, 2, 3, 3) complex, times k^3; and its waves.

A wave is its degree, the axes of the beam (3, 3), the focus (3,) [m], :math:`(kw)^2`, and coefficients (10, 2, 3)
complex: component i of the field is the sum of the coefficients times the derivatives of the mode u along the two
transverse axes, in the order 1; x, y; xx, xy, yy; ... up to the degree, in units of k. A plane wave has the degree -1
and a mode without transverse derivatives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles
from stochbind.optics.waves import GaussianTweezer, PlaneWave, Superposition, Wave, transverse_basis

SINGLE, FAR_FIELD, ONE_EVENT, MULTIPLE = range(4)
#: Numbers before the polarizabilities of a group, of each polarizability, before the coefficients of a wave.
PART_HEADER, POLARIZABILITY, WAVE_HEADER = 5, 36, 14
#: Derivatives of a mode that a field is made of, at most: up to the third.
FIELD_MODES = 10
WAVE = WAVE_HEADER + 12 * FIELD_MODES
#: Force of a dipole's own light in these units, :math:`1/6\pi` of :math:`\mathrm{Re}(P^* \times M)`.
RECOIL = 1.0 / (6.0 * math.pi)

_SCATTERING = {"single": SINGLE, "one_event": ONE_EVENT, "multiple": MULTIPLE}


def table_of(
    array: TrappedDipoles, origin: FloatArray, free: npt.NDArray[np.int64], force: FloatArray, jacobian: FloatArray
) -> FloatArray | None:
    """The row of numbers, or None for light other than plane waves and Gaussian tweezers.

    Parameters
    ----------
    array : TrappedDipoles
        The particles, their light and their traps.
    origin : (N, 3) float
        Where all displacements are zero [m].
    free : (D,) int
        Coordinates that move, of the 3N.
    force : (D,) float
        Forces there [N].
    jacobian : (D, D) float
        Their derivatives [N/m].

    Returns
    -------
    (P,) float or None
        All constants.
    """
    parts = [_part(part) for part in array.parts]
    if any(part is None for part in parts):
        return None
    radius = np.asarray(array.parts[0].radius)
    head = (
        (array.n_particles, len(free), len(parts)), origin, free, array.trap_stiffness, array.trap_position,
        force, jacobian, radius[:, None] + radius,
    )  # fmt: skip
    return np.concatenate([np.ravel(np.asarray(values, np.float64)) for values in (*head, *parts)])


def _part(dipoles: Dipoles) -> FloatArray | None:
    """Numbers of one group of coherent waves."""
    waves = _single_waves(dipoles.light)
    if waves is None:
        return None
    k = dipoles.light.wavenumber
    mode = FAR_FIELD if dipoles.far_field else _SCATTERING[dipoles.scattering]
    alpha = np.zeros((dipoles.n_particles, 2, 3, 3), np.complex128)
    alpha[:, 0] = dipoles.polarizability
    if dipoles.magnetic is not None:
        alpha[:, 1] = dipoles.magnetic
    header = (dipoles.size // 3, mode, k, len(waves), 0.5 * constants.epsilon_0 / k**2)
    return np.concatenate([header, _real(k**3 * alpha), *(_wave(wave) for wave in waves)])


def _single_waves(light: Wave) -> list[PlaneWave | GaussianTweezer] | None:
    """The waves that a light is the sum of; None if one is of another kind, of which nothing is known."""
    if type(light) is Superposition:
        found = [_single_waves(wave) for wave in light.waves]
        return None if None in found else [wave for waves in found if waves is not None for wave in waves]
    return [light] if isinstance(light, PlaneWave | GaussianTweezer) and type(light) in _KINDS else None


_KINDS = (PlaneWave, GaussianTweezer)


def _wave(wave: PlaneWave | GaussianTweezer) -> FloatArray:
    """Numbers of one wave."""
    axes = np.vstack([transverse_basis(wave.direction), wave.direction])
    peak = wave.amplitude * complex(math.cos(wave.phase), math.sin(wave.phase)) * wave.polarization
    coefficient = np.zeros((FIELD_MODES, 2, 3), np.complex128)
    if isinstance(wave, PlaneWave):
        coefficient[0] = peak, np.cross(wave.direction, peak)
        return np.concatenate([[-1.0], axes.ravel(), np.zeros(3), [1.0], _real(coefficient)])
    polynomial = _field(wave, axes, peak)
    degree = 0
    for (m, n), value in polynomial.items():
        coefficient[(m + n) * (m + n + 1) // 2 + n] = value
        degree = max(degree, m + n)
    square = (wave.wavenumber * wave.waist) ** 2
    return np.concatenate([[degree], axes.ravel(), wave.focus, [square], _real(coefficient)])


_Polynomial = dict[tuple[int, int], Any]


def _field(wave: GaussianTweezer, axes: FloatArray, peak: ComplexArray) -> _Polynomial:
    r"""Field of a tweezer: coefficients (2, 3) of the powers (m, n) of the two transverse derivatives of its mode.

    The electric field is the peak field times the mode u, or with its longitudinal part
    :math:`e u + (i/k) n (e \cdot \nabla_\perp) u`, and :math:`\eta H = \nabla \times E/ik`, with :math:`\partial_z u =
    i(1 + \tfrac12 \Delta_\perp)\, u` in units of k.
    """
    electric: _Polynomial = {(0, 0): peak}
    if wave.longitudinal:
        electric |= {(1, 0): 1j * wave.direction * (axes[0] @ peak), (0, 1): 1j * wave.direction * (axes[1] @ peak)}
    result = {power: np.array([value, np.zeros(3)]) for power, value in electric.items()}
    steps = (
        (axes[0], {(1, 0): 1.0}), (axes[1], {(0, 1): 1.0}), (axes[2], {(0, 0): 1j, (2, 0): 0.5j, (0, 2): 0.5j}),
    )  # fmt: skip
    for (m, n), value in electric.items():
        for axis, derivative in steps:
            for (more_m, more_n), factor in derivative.items():
                power = m + more_m, n + more_n
                result.setdefault(power, np.zeros((2, 3), np.complex128))
                result[power][1] += -1j * factor * np.cross(axis, value)
    return result


def _real(value: ComplexArray) -> FloatArray:
    """Complex numbers as pairs of real ones, in one row."""
    return np.ascontiguousarray(value, np.complex128).view(np.float64).ravel()
