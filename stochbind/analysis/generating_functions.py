r"""Generating functions and distributions of currents, exactly.

With :math:`W = B B^T`, :math:`M' = M + \tfrac12(NA + A^T N^T)` and :math:`c' = c + \tfrac12 \mathrm{tr}(N^T W)`, the
generating function of a current (`stochbind.analysis.currents`) is that of a quadratic form of a Gaussian process,

.. math::

   \langle e^{kJ} \rangle = e^{g(t)} \det(1 - \Sigma Q(t))^{-1/2}, \qquad
   \dot Q = \tilde A^T Q + Q \tilde A + Q W Q + 2k M' + k^2 N W N^T, \qquad
   \dot g = \tfrac12 \mathrm{tr}(WQ) + k c',

with :math:`\tilde A = A + k W N^T` and :math:`Q(0) = g(0) = 0`, from a Gaussian start of covariance :math:`\Sigma`.
The equation of Q is solved by the exponential of its Hamiltonian matrix, in steps; its steady solution gives the scaled
cumulant generating function.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import linalg

from stochbind.analysis.currents import Current, ito_drift, mean_rate, steady_covariance, variance_rate
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError
from stochbind.langevin import Langevin

#: Largest norm of the exponent of one step: beyond, columns of its matrix become parallel.
_LARGEST_EXPONENT = 4.0
#: Logarithm of a characteristic function that counts as zero, and most points at which it is computed.
_NEGLIGIBLE, _MOST_POINTS = -11.5, 2**12


def scaled(equations: Langevin, current: Current, k: float) -> float:
    r"""Scaled cumulant generating function :math:`\lambda(k) = \lim \ln\langle e^{kJ}\rangle / t` [1/s].

    From the steady state on. For the entropy current :math:`\lambda(k) = \lambda(-1-k)` for :math:`-1 < k < 0`, the
    symmetry of Gallavotti and Cohen. At and beyond the ends of the range of k where the motion in between decides, rare
    first or last states rule, as they do for entropy at k = -1: what leaves to the surroundings, without the change of
    the state, does not obey the integral theorem (van Zon and Cohen, Phys. Rev. Lett. 91, 110601 (2003)).

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    k : float
        Conjugate of the current [1 over its unit].

    Returns
    -------
    float
        The function; infinite where first or last states rule, though the mean may still exist.
    """
    steady = steady_covariance(equations)
    tilted, source, constant = _tilted(equations, current, k)
    noise = equations.noise_covariance
    root, one = equations.noise_matrix, np.eye(len(source))
    try:
        solution = -linalg.solve_continuous_are(tilted, root, -source, one)
        repelling = linalg.solve_continuous_are(-tilted, root, -source, one)
    except (np.linalg.LinAlgError, ValueError):
        return math.inf
    # The mean over first states exists; and from the last ones, where Q = 0, the equation runs to this solution.
    start = linalg.sqrtm(steady).real
    inner, outer = (np.linalg.eigvalsh(start @ (0.5 * (q + q.T)) @ start) for q in (solution, repelling))
    if inner[-1] >= 1.0 - 1e-9 or outer[0] <= 1e-9:
        return math.inf
    return float((0.5 * np.sum(noise * solution) + k * constant) / equations.time_unit)


def logarithm(equations: Langevin, current: Current, k: FloatArray | ComplexArray, duration: float) -> ComplexArray:
    r"""Logarithm of :math:`\langle e^{kJ}\rangle` over a finite time, from the steady state on.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    k : (n,) float or complex
        Conjugates of the current; of imaginary ones, ordered from zero outwards in small steps, the logarithm is
        continuous.
    duration : float
        [s].

    Returns
    -------
    (n,) complex
        Logarithms. For real k beyond the range where the mean exists they mean nothing.
    """
    steady = steady_covariance(equations)
    k = np.asarray(k, dtype=np.complex128)
    tilted, source, constant = _tilted(equations, current, k)
    noise = np.broadcast_to(equations.noise_covariance, tilted.shape)
    d, time = equations.dimension, duration / equations.time_unit
    hamiltonian = np.block([[-tilted, -noise], [source, np.swapaxes(tilted, -1, -2)]])
    n_steps = max(1, math.ceil(time * float(np.abs(hamiltonian).sum(axis=-1).max()) / _LARGEST_EXPONENT))
    step = linalg.expm(hamiltonian * (time / n_steps))
    solution: Any = np.zeros(tilted.shape, dtype=step.dtype)
    phase: ComplexArray = np.zeros(k.shape, dtype=np.complex128)
    for _ in range(n_steps):
        above = step[..., :d, :d] + step[..., :d, d:] @ solution
        below = step[..., d:, :d] + step[..., d:, d:] @ solution
        phase = phase + _logarithm_of_determinant(above)
        solution = np.swapaxes(np.linalg.solve(np.swapaxes(above, -1, -2), np.swapaxes(below, -1, -2)), -1, -2)
        solution = 0.5 * (solution + np.swapaxes(solution, -1, -2))
    phase = phase + _logarithm_of_determinant(np.eye(d) - steady @ solution)
    trace = np.trace(tilted, axis1=-2, axis2=-1)
    result: ComplexArray = k * constant * time - 0.5 * time * trace - 0.5 * phase
    # The logarithms of determinants are known up to whole turns, and the root halves them.
    return result.real + 1j * (np.unwrap(2.0 * result.imag) / 2.0)


def distribution(equations: Langevin, current: Current, duration: float, edge: FloatArray) -> FloatArray:
    r"""Exact probability that a current over a finite time is below each edge, from the steady state on.

    By the inversion of Gil-Pelaez, with the characteristic function from `logarithm`.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    duration : float
        [s].
    edge : (n,) float
        Values [`Current.unit`].

    Returns
    -------
    (n,) float
        Probabilities, to about 1e-6.

    Raises
    ------
    PlanError
        If the characteristic function decays too slowly to be inverted: the current is nearly discontinuous.
    """
    mean, deviation = _finite_moments(equations, current, duration)
    if not deviation > 0:
        return np.where(edge >= mean, 1.0, 0.0)
    reach = 24.0 * deviation + float(np.abs(edge - mean).max(initial=0.0))
    spacing = math.pi / reach
    n = 512
    while True:
        omega = (np.arange(n) + 0.5) * spacing
        log = logarithm(equations, current, np.asarray(1j * omega, dtype=np.complex128), duration) - 1j * omega * mean
        if log.real[-1] < _NEGLIGIBLE:
            break
        n *= 2
        if n > _MOST_POINTS:
            raise PlanError(
                f"The distribution of the current {current.name!r} over {duration:.3g} s has too sharp a peak to be "
                "computed from its characteristic function; use a longer duration."
            )
    weight = np.exp(log)
    place = np.asarray(edge)[:, None] - mean
    total: FloatArray = (np.imag(np.exp(-1j * omega * place) * weight) / (np.arange(n) + 0.5)).sum(axis=1)
    return np.clip(0.5 - total / math.pi, 0.0, 1.0)


def _finite_moments(equations: Langevin, current: Current, duration: float) -> tuple[float, float]:
    """Mean and standard deviation over a finite time."""
    mean = float(mean_rate(equations, current, steady_covariance(equations)) * duration)
    scale = math.sqrt(max(variance_rate(equations, current), 0.0) * duration) + abs(mean)
    scale = scale or 1.0
    for _ in range(60):
        # The second derivative of the real part at zero; the step adapts to short times.
        step = 1e-3 / scale
        drop = -2.0 * float(logarithm(equations, current, np.array([1j * step], dtype=np.complex128), duration)[0].real)
        deviation = math.sqrt(max(drop, 0.0)) / step
        if 0.03 * scale < deviation < 30.0 * scale or deviation == 0.0:
            break
        scale = deviation
    return mean, deviation


def _logarithm_of_determinant(matrix: Any) -> ComplexArray:
    sign, size = np.linalg.slogdet(matrix)
    result: ComplexArray = size + 1j * np.angle(sign)
    return result


def _tilted(equations: Langevin, current: Current, k: Any) -> tuple[Any, Any, float]:
    """Drift and source of the equation of Q, and c'."""
    smooth, constant = ito_drift(equations, current)
    k = np.asarray(k)[..., None, None]
    noise, n_matrix = equations.noise_covariance, current.circulation
    return (
        equations.drift_matrix + k * (noise @ n_matrix.T),
        2.0 * k * smooth + k**2 * (n_matrix @ noise @ n_matrix.T),
        constant,
    )
