r"""Temperatures, heat and work of coupled oscillators.

Every quantity here is a linear function of the second moments of the state, :math:`\langle x x^T \rangle`, so the same
function gives the estimate (from the moments of a record) and the exact value (from those of the theory). Heat is
positive **from the bath to the particle**; ``power[j, k]`` is delivered **to j by k**.
"""

from __future__ import annotations

import numpy as np

from stochbind.checks import FloatArray
from stochbind.oscillators import Oscillators


def _blocks(array: Oscillators, second: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """SI moments of positions, of (velocity of j, position of k), and of velocities; the last two need masses."""
    unit = array.langevin().unit
    moment = second * np.outer(unit, unit)
    n = array.n_oscillators
    return moment[..., :n, :n], moment[..., n:, :n], moment[..., n:, n:]


def _diagonal(matrix: FloatArray) -> FloatArray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def kinetic_temperature(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Kinetic temperature :math:`m_j \langle v_j^2 \rangle / k_B` of underdamped particles.

    Parameters
    ----------
    array : Oscillators
        The array.
    second : (..., 2N, 2N) float
        Second moments in scaled units.

    Returns
    -------
    (..., N) float
        Temperature [K], or an energy in reduced units.

    Raises
    ------
    ValueError
        If the array is overdamped: then there is no velocity.
    """
    if array.mass is None:
        raise ValueError("An overdamped array has no velocities, and so no kinetic temperature.")
    result: FloatArray = array.mass * _diagonal(_blocks(array, second)[2]) / array.boltzmann
    return result


def position_temperature(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Position temperature :math:`u_j \langle q_j^2 \rangle / k_B`, with the stiffness that binding adds; (..., N).

    It differs from the kinetic temperature out of equilibrium, and for coupled particles even in it.
    """
    result: FloatArray = array.stiffness * _diagonal(_blocks(array, second)[0]) / array.boltzmann
    return result


def energy(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Energy :math:`\tfrac12 m_j v_j^2 + \tfrac12 u_j q_j^2` of each particle [J], interaction left out; (..., N)."""
    position, _, velocity = _blocks(array, second)
    result: FloatArray = 0.5 * array.stiffness * _diagonal(position)
    if array.mass is not None:
        result = result + 0.5 * array.mass * _diagonal(velocity)
    return result


def heat_current(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Heat current from the gas bath of j to particle j [W], shape (..., N).

    Underdamped, :math:`\gamma_j (k_B T_j - m_j v_j^2)`. Overdamped, minus the power of all forces on j,
    :math:`-F_j \circ \dot q_j`, where the product is Stratonovich's; the heat of other momentum diffusion is then
    part of it, as no inertia stands between the two. Theory page, eq. (14) and (16).
    """
    position, _, velocity = _blocks(array, second)
    friction = array.friction
    if array.mass is not None:
        result: FloatArray = friction / array.mass * (array.thermal_energy - array.mass * _diagonal(velocity))
        return result
    force = array.force_matrix
    squared = _diagonal(force @ position @ force.T)
    ito = (force * (array.force_noise / friction[None, :])).sum(axis=1)
    overdamped: FloatArray = (ito - squared) / friction
    return overdamped


def recoil_heating(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Power :math:`D_{jj}/m_j` of the momentum diffusion beside the gas [W], shape (..., N); zero if overdamped.

    Photon recoil heats at a constant rate, whatever the state.
    """
    shape = (*second.shape[:-2], array.n_oscillators)
    if array.mass is None:
        return np.zeros(shape)
    return np.broadcast_to(np.real(_diagonal(np.asarray(array.diffusion))) / array.mass, shape)


def power(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Power delivered to j by the force of k, :math:`C_{jk} q_k \circ \dot q_j` [W]; (..., N, N), zero diagonal.

    Theory page, eq. (15) and (16).
    """
    position, cross, _ = _blocks(array, second)
    if array.mass is not None:
        result: FloatArray = array.coupling * cross
        return result
    friction = array.friction
    drift = -np.einsum("jl,...lk->...jk", array.force_matrix, position) / friction[:, None]
    overdamped: FloatArray = array.coupling * (drift + array.force_noise / np.outer(friction, friction))
    return overdamped


def non_reciprocal_power(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Power of the antireciprocal part of the coupling, summed over all particles [W]; shape (...).

    What keeps the coupling going: the reciprocal part has a potential and does no work in the long run.
    """
    position, cross, _ = _blocks(array, second)
    antireciprocal = 0.5 * (array.coupling - array.coupling.T)
    if array.mass is not None:
        rate = cross
    else:
        friction = array.friction
        rate = -np.einsum("jl,...lk->...jk", array.force_matrix, position) / friction[:, None]
        rate = rate + array.force_noise / np.outer(friction, friction)
    result: FloatArray = (antireciprocal * rate).sum(axis=(-2, -1))
    return result


def light_power(array: Oscillators, second: FloatArray) -> FloatArray:
    """Net power of the scattered light on the array [W]: work of the coupling, and recoil heating; shape (...).

    In the long run; in a transient the reciprocal part of the coupling also stores energy.
    """
    result: FloatArray = non_reciprocal_power(array, second) + recoil_heating(array, second).sum(axis=-1)
    return result


def heat_by_balance(
    array: Oscillators, second: FloatArray, first_state: FloatArray, last_state: FloatArray, duration: float
) -> FloatArray:
    """Heat current from the bath by the first law [W]: energy gained per time, less all else that was received.

    The mean of it is that of `heat_current`. It fluctuates less, as the energy of a particle hardly changes over a long
    window, whatever the kinetic energy does in it. Parameters and shape are those of `first_law`.
    """
    gain = (energy(array, last_state) - energy(array, first_state)) / duration
    result: FloatArray = gain - recoil_heating(array, second) - power(array, second).sum(axis=-1)
    return result


def first_law(
    array: Oscillators, second: FloatArray, first_state: FloatArray, last_state: FloatArray, duration: float
) -> FloatArray:
    """Energy gained by each particle per time, minus all heat and work it received [W]; zero in a steady state.

    Theory page, eq. (17).

    Parameters
    ----------
    array : Oscillators
        The array.
    second, first_state, last_state : (..., d, d) float
        Second moments over the window, and in its first and last state.
    duration : float
        Time from the first to the last state [s].

    Returns
    -------
    (..., N) float
        Residual.
    """
    result: FloatArray = heat_by_balance(array, second, first_state, last_state, duration) - heat_current(array, second)
    return result
