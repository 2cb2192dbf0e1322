r"""Quadratic master equations of N modes, as drift and noise of their quadratures.

.. math::

    \dot\rho = -i\left[\tfrac12 R^ThR, \rho\right]
    + \sum_{jk}\Gamma_{jk}\left(R_j\rho R_k - \tfrac12\{R_kR_j, \rho\}\right)

gives :math:`\langle\dot R\rangle = A\langle R\rangle` and :math:`\dot V = AV + VA^T + N` with
:math:`A = J(h - \mathrm{Im}\Gamma)` and :math:`N = J\,\mathrm{Re}\Gamma\,J^T`. The other way round,
:math:`N - \tfrac i2(AJ + JA^T) = J\Gamma^*J^T`: whether the equation is completely positive is seen in drift and
noise. PRL stands for Phys. Rev. Lett. 133, 233603 (2024), PRA for Phys. Rev. A 110, 063507 (2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, PlanError, ScenarioError
from stochbind.langevin import Langevin
from stochbind.optics.pairs import Rates
from stochbind.oscillators import Oscillators
from stochbind.quantum.quadratures import quadratures
from stochbind.quantum.symplectic import BoolArray, covariance_stack, mode_indices, symplectic_form, transposition
from stochbind.stability import Coordinate

#: A generator whose dissipator has an eigenvalue below minus this part of its norm is not completely positive.
POSITIVE_TOLERANCE = 1e-12


class Generator(NamedTuple):
    r"""What changes Gaussian states, :math:`\dot V = AV + VA^T + N`.

    Attributes
    ----------
    drift : (..., 2N, 2N) float
        A [1/s], or in units of any rate.
    noise : (..., 2N, 2N) float
        N, in the same unit.
    """

    drift: FloatArray
    noise: FloatArray


def generator(hamiltonian: Any, dissipator: Any) -> Generator:
    r"""Drift and noise of a quadratic master equation.

    Parameters
    ----------
    hamiltonian : (2N, 2N) float
        h, symmetric: :math:`H/\hbar = \tfrac12R^ThR` [1/s].
    dissipator : (2N, 2N) complex
        :math:`\Gamma` [1/s], Hermitian, positive semidefinite.

    Returns
    -------
    Generator
        Drift and noise.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or the Hamiltonian is not symmetric.
    NoiseError
        If the dissipator is not positive semidefinite.
    """
    h = covariance_stack("hamiltonian", checks.array("hamiltonian", hamiltonian, ("2N", "2N")))
    gamma = checks.complex_array("dissipator", dissipator, h.shape)
    checks.positive_semidefinite("dissipator", gamma)
    form = symplectic_form(len(h) // 2)
    return Generator(form @ (h - gamma.imag), form @ gamma.real @ form.T)


def dissipator(equation: Generator) -> ComplexArray:
    r"""The matrix :math:`\Gamma` of a generator; it is completely positive if this is positive semidefinite.

    Parameters
    ----------
    equation : Generator
        Drift and noise.

    Returns
    -------
    (..., 2N, 2N) complex
        :math:`\Gamma`, Hermitian.
    """
    drift, noise = np.asarray(equation.drift), np.asarray(equation.noise)
    form = symplectic_form(drift.shape[-1] // 2)
    commutator = drift @ form + form @ np.swapaxes(drift, -1, -2)
    return np.asarray(form.T @ (noise + 0.5j * commutator) @ form, dtype=np.complex128)


def least_dissipation(equation: Generator) -> FloatArray:
    """Smallest eigenvalue of the dissipator, (...): negative if the equation is not completely positive.

    Noise of at least this rate, in all quadratures, would make it so.

    Parameters
    ----------
    equation : Generator
        Drift and noise.

    Returns
    -------
    (...) float
        In the unit of the generator.
    """
    return np.asarray(np.linalg.eigvalsh(dissipator(equation))[..., 0], dtype=np.float64)


def completely_positive(equation: Generator, *, tolerance: float = POSITIVE_TOLERANCE) -> BoolArray:
    r"""Whether a generator keeps every state, of these modes and any others, one of quantum mechanics.

    Optical binding is, where :math:`D_{11}D_{22} \ge |D_{12}|^2`. Damping by gas is not, if its noise acts on the
    momenta alone (Caldeira and Leggett): the dissipator of one mode of damping rate :math:`\gamma` and momentum noise
    :math:`N_{pp}` has the eigenvalue :math:`-\gamma^2/4N_{pp}`, about. With n quanta in the bath that is
    :math:`\gamma/(8n + 4)`; a position noise of that rate would mend it, which is far below everything else in a
    levitated particle.

    Parameters
    ----------
    equation : Generator
        Drift and noise.
    tolerance : float
        How far below zero an eigenvalue of the dissipator may be, relative to the largest.

    Returns
    -------
    (...) bool
        Whether it is.
    """
    value = np.linalg.eigvalsh(dissipator(equation))
    return np.asarray(value[..., 0] >= -tolerance * np.abs(value).max(axis=-1))


def partially_transposed(equation: Generator, party: Any) -> Generator:
    """The generator that the partial transposes of states obey: the momenta of one party change their sign.

    Parameters
    ----------
    equation : Generator
        Drift and noise.
    party : int or sequence of int
        Modes of one party.

    Returns
    -------
    Generator
        T A T and T N T.

    Raises
    ------
    ScenarioError
        If the party has no modes, all of them, or one that there is not.
    """
    sign = transposition(party, np.shape(equation.drift)[-1] // 2)
    both = sign[:, None] * sign
    return Generator(equation.drift * both, equation.noise * both)


def pair_generator(
    rates: Rates, frequency: float, *, detuning: Any = 0.0, damping: float = 0.0, occupation: float = 0.0
) -> Generator:
    r"""Two optically bound particles, in the quadratures of the mean frequency; no rotating-wave approximation.

    .. math::

        \dot z_j = \omega p_j, \qquad
        \dot p_1 = -\frac{\omega_1^2}{\omega}z_1 - \gamma p_1 + 2(g_r + g_a)(z_2 - z_1), \qquad
        \dot p_2 = -\frac{\omega_2^2}{\omega}z_2 - \gamma p_2 + 2(g_r - g_a)(z_1 - z_2)

    with :math:`\omega_{1,2} = \omega \mp \delta\omega/2` and the noise
    :math:`N_{p_jp_k} = 2\mathrm{Re}D_{jk} + \gamma(2n + 1)\delta_{jk}`.

    Parameters
    ----------
    rates : Rates
        Of the pair; arrays of any shape make a stack.
    frequency : float
        :math:`\omega` [rad/s], or in the unit of the rates.
    detuning : float or (...) float
        :math:`\delta\omega`.
    damping : float
        :math:`\gamma` of the gas.
    occupation : float
        n of the gas, at :math:`\omega`.

    Returns
    -------
    Generator
        Of z1, z2, p1, p2.

    Raises
    ------
    ScenarioError
        If a frequency is not positive, a rate is negative, or the imaginary part of D12 is not g_a.

    References
    ----------
    PRL, eqs. (7)-(9), with the frequencies of eq. (11), where particle 1 has the lower one; PRA, eqs. (82) and (94).
    """
    omega = float(checks.positive("frequency", checks.array("frequency", frequency, ())))
    delta = checks.real_numbers("detuning", detuning)
    gamma, quanta = (
        float(checks.positive(name, checks.array(name, value, ()), or_zero=True))
        for name, value in (("damping", damping), ("occupation", occupation))
    )
    if (abs(delta) >= 2.0 * omega).any():
        raise ScenarioError(
            f"`detuning` must be smaller than twice `frequency`, {omega:.6g}, but reaches {abs(delta).max():.6g}: "
            "no trap would be left."
        )
    g_r, g_a = (np.asarray(part, dtype=np.float64) for part in (rates.reciprocal, rates.antireciprocal))
    recoil, cross = np.asarray(rates.recoil), np.asarray(rates.recoil_correlation)
    _require_same_light(g_a, recoil, cross)
    on_first, on_second = 2.0 * (g_r + g_a), 2.0 * (g_r - g_a)
    shape = np.broadcast_shapes(g_r.shape, g_a.shape, cross.shape, recoil.shape[:-1], delta.shape)
    drift, noise = np.zeros((*shape, 4, 4)), np.zeros((*shape, 4, 4))
    drift[..., 0, 2] = drift[..., 1, 3] = omega
    drift[..., 2, 2] = drift[..., 3, 3] = -gamma
    drift[..., 2, 0] = -((omega - 0.5 * delta) ** 2) / omega - on_first
    drift[..., 2, 1] = on_first
    drift[..., 3, 1] = -((omega + 0.5 * delta) ** 2) / omega - on_second
    drift[..., 3, 0] = on_second
    for j in (0, 1):
        noise[..., 2 + j, 2 + j] = 2.0 * recoil[..., j] + gamma * (2.0 * quanta + 1.0)
    noise[..., 2, 3] = noise[..., 3, 2] = 2.0 * cross.real
    return Generator(drift, noise)


def array_generator(array: Oscillators, frequency: Any = None) -> Generator:
    """Drift and noise of the quadratures of any oscillators.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped; forces beyond the linear ones are left out.
    frequency : float or (N,) float, optional
        Of the vacuum [rad/s]; by default that of each particle with the others held fixed.

    Returns
    -------
    Generator
        [1/s].

    Raises
    ------
    ScenarioError
        If the array is overdamped, or a trap does not hold.
    """
    equations = quadratures(array, frequency)
    return Generator(equations.drift_matrix / equations.time_unit, equations.noise_covariance / equations.time_unit)


def rates_of(equation: Generator, first: int = 0, second: int = 1) -> Rates:
    r"""Rates of two of the particles of a generator; undoes `pair_generator`.

    Parameters
    ----------
    equation : Generator
        Drift and noise of N modes that are coupled by forces.
    first, second : int
        Numbers of two modes; the coupling of the second to the first is :math:`2(g_r + g_a)`.

    Returns
    -------
    Rates
        In the unit of the generator. Noise of gas counts as recoil.

    Raises
    ------
    ScenarioError
        If there are no two such modes.
    """
    drift, noise = np.asarray(equation.drift), np.asarray(equation.noise)
    n = drift.shape[-1] // 2
    j, k = (int(one) for one in mode_indices("modes", (first, second), n))
    on_first, on_second = 0.5 * drift[..., n + j, k], 0.5 * drift[..., n + k, j]
    g_a = 0.5 * (on_first - on_second)
    recoil = 0.5 * np.stack([noise[..., n + j, n + j], noise[..., n + k, n + k]], axis=-1)
    return Rates(0.5 * (on_first + on_second), g_a, recoil, 0.5 * noise[..., n + j, n + k] + 1j * g_a)


def equations_of_motion(equation: Generator, *, unit: Any = None, reduced: bool = True) -> Langevin:
    """Equations whose trajectories sample the Wigner function: positions are z, velocities are p.

    Parameters
    ----------
    equation : Generator
        One generator of N modes.
    unit : (2N,) float, optional
        Value of one unit of each quadrature, as of `stochbind.quantum.quadratures.quadrature_unit`, in which records
        then are; by default one.
    reduced : bool
        Whether times and units are in reduced units.

    Returns
    -------
    Langevin
        For exact moments, `stochbind.simulate` and protocols.

    Raises
    ------
    ScenarioError
        If this is a stack of generators.
    NoiseError
        If the noise is not positive semidefinite.
    """
    drift = checks.array("drift", equation.drift, ("2N", "2N"))
    n = len(drift) // 2
    return Langevin(
        drift_matrix=drift,
        noise_covariance=equation.noise,
        coordinate=tuple(Coordinate(kind, j, "z") for kind in ("position", "velocity") for j in range(n)),
        unit=unit,
        reduced=reduced,
    )


def evolved(equation: Generator, covariance: Any, step: float, n_steps: int = 1) -> Iterator[FloatArray]:
    r"""Covariances after each of a number of steps, of stacks of generators and states.

    Of each step :math:`V' = EVE^T + S` is exact; S comes from the block exponential of Van Loan, over a part of the
    step short enough for it, and is doubled from there on. For one system `stochbind.Langevin.moments` does the same in
    extended precision.

    Parameters
    ----------
    equation : Generator
        Generators (..., 2N, 2N).
    covariance : (..., 2N, 2N) float
        At time zero.
    step : float
        In the inverse unit of the generator.
    n_steps : int
        Number of steps.

    Yields
    ------
    (..., 2N, 2N) float
        Covariances after each step.

    Raises
    ------
    ScenarioError
        If a shape is wrong.
    PlanError
        If the step is not positive.
    """
    start = covariance_stack("covariance", covariance)
    length = float(checks.positive("step", checks.array("step", step, (), error=PlanError), error=PlanError))
    count = checks.integer("n_steps", n_steps, minimum=1, error=PlanError)
    return _evolved(_step(equation, length), start, count)


def _evolved(step: tuple[FloatArray, FloatArray], covariance: FloatArray, n_steps: int) -> Iterator[FloatArray]:
    matrix, added = step
    for _ in range(n_steps):
        covariance = matrix @ covariance @ np.swapaxes(matrix, -1, -2) + added
        covariance = 0.5 * (covariance + np.swapaxes(covariance, -1, -2))
        yield covariance


def _step(equation: Generator, length: float) -> tuple[FloatArray, FloatArray]:
    """Propagator and added covariance of a step."""
    drift, noise = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in equation))
    d = drift.shape[-1]
    fastest = float(np.abs(drift).sum(axis=-1).max(initial=0.0)) * length
    doublings = max(0, int(np.ceil(np.log2(fastest)))) if fastest > 0 else 0
    part = length / 2**doublings
    block = np.zeros((*drift.shape[:-2], 2 * d, 2 * d))
    block[..., :d, :d], block[..., :d, d:], block[..., d:, d:] = -drift, noise, np.swapaxes(drift, -1, -2)
    whole = linalg.expm(block * part)
    matrix = np.swapaxes(whole[..., d:, d:], -1, -2)
    added = matrix @ whole[..., :d, d:]
    for _ in range(doublings):
        added = added + matrix @ added @ np.swapaxes(matrix, -1, -2)
        matrix = matrix @ matrix
    return matrix, added


def _require_same_light(g_a: FloatArray, recoil: FloatArray, cross: ComplexArray) -> None:
    """Raise unless the recoil is positive and its correlation has the imaginary part that the coupling tells."""
    if (recoil < 0).any():
        raise NoiseError(f"`recoil` must be zero or positive, but reaches {recoil.min():.6g}.", float("nan"))
    size = np.abs(cross) + np.abs(g_a)
    if (bad := np.abs(cross.imag - g_a) > 1e-6 * size).any():
        where = tuple(np.argwhere(bad)[0])
        raise ScenarioError(
            "The imaginary part of `recoil_correlation` must be `antireciprocal`, "
            f"{np.broadcast_to(g_a, bad.shape)[where]:.6g}, but is "
            f"{np.broadcast_to(cross.imag, bad.shape)[where]:.6g}: the same scattered light makes both."
        )
