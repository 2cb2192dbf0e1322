r"""How chains and lattices of identical particles respond to forces, and what is left of a signal beside recoil noise.

Arrays are those of `stochbind.optics.chains`: couplings c, frequency :math:`\omega_0` and damping rate
:math:`\gamma`. PRA stands for Rudolph et al., Phys. Rev. A 110, 063507 (2024).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, optimize

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import UnstableError
from stochbind.optics.chains import checked_array, growth_rate
from stochbind.optics.lattices import finite_number

#: Points of the search for the peak of a response, per decay rate, and their largest number.
_POINTS_PER_RATE, _MOST_POINTS = 32, 4000


class DirectionalGain(NamedTuple):
    r"""Response of one end of an array to a force on the other, and the other way round.

    Attributes
    ----------
    forward, backward : (...) float
        :math:`|\chi_{N1}|^2`, of the last particle to a force on the first, and :math:`|\chi_{1N}|^2`.
    """

    forward: FloatArray
    backward: FloatArray


class Peak(NamedTuple):
    r"""The frequency at which a response is largest, and its square there.

    Attributes
    ----------
    angular_frequency : float
        :math:`\omega`, in the unit of the rates.
    gain : float
        :math:`|\chi|^2`.
    """

    angular_frequency: float
    gain: float


def susceptibility(
    coupling: Any, frequency: float, damping_rate: float, angular_frequency: float, *, as_printed: bool = False
) -> ComplexArray:
    r"""Response of all particles to forces on all, scaled so that one particle alone has :math:`\chi(\omega_0) = 1`.

    .. math::

        \chi^{-1} = \frac{i}{\omega_0\gamma} \left[(\omega_0^2 - \omega^2 - i\gamma\omega) - 2\omega_0 c\right]

    Element [j, k] is the response **of j to a force on k**.

    Parameters
    ----------
    coupling, frequency, damping_rate
        As for `stochbind.optics.chains.growth_rate`.
    angular_frequency : float
        :math:`\omega`, in the same unit, of motion :math:`e^{-i\omega t}`.
    as_printed : bool
        With :math:`\omega^2 - \omega_0^2` in place of :math:`\omega_0^2 - \omega^2`, as in PRA, eq. (101). That is not
        the response of the equations of motion, except at :math:`\omega_0`; beside it, it is nearly the mirror image.

    Returns
    -------
    (N, N) complex
        :math:`\chi`. If the array is unstable, no motion settles to it.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.

    References
    ----------
    PRA, eq. (100). Its text takes :math:`\chi_{N1}` for the signal from N to 1; it is that from 1 to N.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    at = finite_number("angular_frequency", angular_frequency)
    diagonal = (at**2 - omega**2 if as_printed else omega**2 - at**2) - 1j * gamma * at
    inverse = np.linalg.inv(diagonal * np.eye(len(matrix)) - 2.0 * omega * matrix)
    return (-1j * omega * gamma * inverse).astype(np.complex128)


def directional_gain(
    coupling: Any, frequency: float, damping_rate: float, angular_frequency: Any, *, as_printed: bool = False
) -> DirectionalGain:
    r"""How well an array hands on a force from one end to the other, in both directions.

    The triangular form of the couplings is made once, so that each frequency takes the time of :math:`N^2` products.

    Parameters
    ----------
    coupling, frequency, damping_rate, as_printed
        As for `susceptibility`.
    angular_frequency : (...) float
        :math:`\omega`.

    Returns
    -------
    DirectionalGain
        Squares of the responses, those of one particle alone at resonance being one.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    given = checks.real_numbers("angular_frequency", angular_frequency)
    triangle, basis = linalg.schur(matrix, output="complex")
    ends = basis[[0, -1]]
    identity, found = np.eye(len(matrix)), np.empty((given.size, 2))
    for index, at in enumerate(given.ravel()):
        diagonal = (at**2 - omega**2 if as_printed else omega**2 - at**2) - 1j * gamma * at
        inside = linalg.solve_triangular(diagonal * identity - 2.0 * omega * triangle, ends.conj().T)
        response = omega * gamma * ends @ inside
        found[index] = abs(response[1, 0]) ** 2, abs(response[0, 1]) ** 2
    forward, backward = found.T.reshape(2, *given.shape)
    return DirectionalGain(forward, backward)


def peak_gain(coupling: Any, frequency: float, damping_rate: float, *, as_printed: bool = False) -> Peak:
    r"""Largest response of the last particle to a force on the first.

    It is searched for among the frequencies of the modes and a few decay rates beside them.

    Parameters
    ----------
    coupling, frequency, damping_rate, as_printed
        As for `susceptibility`.

    Returns
    -------
    Peak
        Where it is, and :math:`|\chi_{N1}|^2` there.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    sign = 1.0 if as_printed else -1.0
    modes = np.sqrt(omega**2 - 0.25 * gamma**2 + sign * 2.0 * omega * np.linalg.eigvals(matrix) + 0j).real
    low, high = max(0.0, float(modes.min()) - 2.0 * gamma), float(modes.max()) + 2.0 * gamma
    points = min(_MOST_POINTS, math.ceil(_POINTS_PER_RATE * (high - low) / gamma) + 1)
    # Next to the limit of stability, lines are so narrow that only the modes tell where they are.
    grid = np.unique(np.concatenate([np.linspace(low, high, points), modes]))
    top = int(np.argmax(directional_gain(matrix, omega, gamma, grid, as_printed=as_printed).forward))
    found: Any = optimize.minimize_scalar(
        lambda at: -float(directional_gain(matrix, omega, gamma, at, as_printed=as_printed).forward),
        bounds=(grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)]),
        method="bounded",
        options={"xatol": 1e-10 * omega},
    )
    return Peak(float(found.x), -float(found.fun))


def signal_to_recoil_noise(
    coupling: Any,
    recoil: Any,
    frequency: float,
    damping_rate: float,
    angular_frequency: float,
    *,
    formally: bool = False,
) -> float:
    r"""Signal of a force on the first particle over the recoil noise, read on the last, beside one particle alone.

    .. math::

        \frac{|\chi_{N1}|^2 D_{11}}{(\chi\,\mathrm{Re}D\,\chi^\dagger)_{NN}}

    One particle alone has :math:`1/D_{11}` at any frequency. Noise of the gas is taken in by a larger diagonal of
    `recoil`.

    Parameters
    ----------
    coupling, frequency, damping_rate, angular_frequency
        As for `susceptibility`.
    recoil : (N, N) complex
        D, of `stochbind.optics.chains.recoil`.
    formally : bool
        Whether to go on where the array is unstable, and signal and noise grow without end.

    Returns
    -------
    float
        Ratio; below one if the chain makes the signal harder to see.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.
    UnstableError
        If the array is unstable.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    noise = checks.complex_array("recoil", recoil, matrix.shape).real
    rate = growth_rate(matrix, omega, gamma)
    if rate >= 0 and not formally:
        raise UnstableError(
            f"A signal needs a steady state, but the array is unstable: a mode grows at {rate:.6g}. Lower the coupling "
            "or add damping.",
            rate,
        )
    response = susceptibility(matrix, omega, gamma, angular_frequency)[-1]
    return float(abs(response[0]) ** 2 * noise[0, 0] / (response @ noise @ response.conj()).real)
