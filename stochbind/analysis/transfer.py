r"""Directional transfer: which way energy and signals go between two particles.

For each pair the *strong* direction is the one with the larger effect. Two measures, each as a ratio
:math:`r = ` weak/strong and as an asymmetry :math:`(1 - |r|)/(1 + |r|)`: 0 is reciprocal, 1 is one-way.

- energy: r is the ratio of the powers that the pair deliver to each other. In a steady state
  :math:`\langle q_j v_k \rangle = -\langle q_k v_j \rangle`, so r is exactly minus the ratio of the couplings, whatever
  the baths; it is a test of stationarity, and undefined where no energy flows. Theory page, eq. (22).
- response: r is the modulus of the ratio of the susceptibilities at the resonance of the pair (at zero frequency if
  overdamped). It is a property of the equations alone. From a record it is found by regression of each state on the one
  before, which holds for linear systems in or out of equilibrium, where the fluctuation-dissipation theorem does not.
  Theory page, eqs. (23) and (24).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import linalg

from stochbind.analysis import online, thermodynamics
from stochbind.analysis.statistics import Estimate, Record
from stochbind.analysis.statistics import record as sum_record
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

#: Groups of the jackknife.
_GROUPS = 32
#: Beyond this condition number of its eigenvectors, the logarithm of a matrix is taken by SciPy's way through Schur's
#: form, which is slow where many are taken.
_DEFECTIVE = 1e5
#: A ratio is told only if its denominator is this many standard errors from zero.
_SIGNIFICANT = 10.0
#: And only if it is known to this much: then the weak direction is known too.
_LARGEST_RATIO_ERROR = 0.3


class Direction(NamedTuple):
    """The strong direction of a pair: `receiver` feels `sender` more than the other way round."""

    receiver: int
    sender: int


class Transfer(NamedTuple):
    """Ratio weak/strong and asymmetry of one measure for one pair."""

    direction: Direction
    ratio: Estimate
    asymmetry: Estimate


class Transfers(NamedTuple):
    """One measure for all coupled pairs.

    Attributes
    ----------
    found : list of Transfer
        Pairs with a ratio.
    undetermined : list of Direction
        Pairs of which the record shows too little: nothing flows, or it is too short.
    """

    found: list[Transfer]
    undetermined: list[Direction]


def pairs(strength: FloatArray) -> list[Direction]:
    """Strong direction of each pair with any strength; the lower index receives where both are equally strong.

    Parameters
    ----------
    strength : (N, N) float
        Of the effect on j of k; not negative.

    Returns
    -------
    list of Direction
        One for each pair.
    """
    return [
        Direction(j, k) if strength[j, k] >= (1.0 - 1e-9) * strength[k, j] else Direction(k, j)
        for j in range(len(strength))
        for k in range(j + 1, len(strength))
        if strength[j, k] > 0 or strength[k, j] > 0
    ]


def jackknife(
    sums: FloatArray, function: Callable[[FloatArray], FloatArray], *, n_groups: int = _GROUPS
) -> tuple[Estimate, FloatArray]:
    """Smooth function of sums over a record, with its error bar by leaving out one group after another.

    Parameters
    ----------
    sums : (n_cells, ...) float
        Sums of independent cells.
    function : callable
        From sums, with leading axes, to values with the same.
    n_groups : int
        Cells are gathered in at most so many groups.

    Returns
    -------
    estimate : Estimate
        Of the sum of all.
    replicate : (n_groups, ...) float
        Without each group in turn.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two cells.
    """
    n = min(len(sums), n_groups)
    if n < 2:
        raise TooFewSamplesError("Error bars need at least 2 independent parts of a record, but there is 1; run more.")
    edge = np.linspace(0, len(sums), n + 1).astype(int)[:-1]
    group = np.add.reduceat(sums, edge, axis=0)
    total = group.sum(axis=0)
    replicate = function(total - group)
    scatter = ((replicate - replicate.mean(axis=0)) ** 2).sum(axis=0)
    return Estimate(function(total[None])[0], np.sqrt((n - 1) / n * scatter), float(n)), replicate


def energy_transfer(array: Oscillators, record: Record) -> Transfers:
    """Directional transfer of energy: powers that the particles of each pair deliver to each other.

    Parameters
    ----------
    array : Oscillators
        The array.
    record : Record
        Of a run.

    Returns
    -------
    Transfers
        Ratio of the power in the weak direction of the coupling to that in the strong one, and asymmetry.
    """
    total, replicate = record.regrouped(_GROUPS).jackknife(lambda part: thermodynamics.power(array, part.second[0]))
    return transfers_of(pairs(np.abs(array.coupling)), total, replicate)


def exact_energy_transfer(array: Oscillators, second: FloatArray, direction: Direction) -> tuple[float, float]:
    """Ratio and asymmetry of the powers for exact second moments; see `energy_transfer`. NaN if nothing flows."""
    power = thermodynamics.power(array, second)
    strong = power[direction.receiver, direction.sender]
    ratio = float(power[direction.sender, direction.receiver] / strong) if strong != 0 else math.nan
    return ratio, (1.0 - abs(ratio)) / (1.0 + abs(ratio))


def resonance(array: Oscillators) -> FloatArray:
    """Angular frequency at which the susceptibilities of each pair are compared [rad/s], shape (N, N).

    The root mean square of the two trap frequencies; zero if overdamped.
    """
    if array.mass is None:
        return np.zeros((array.n_oscillators,) * 2)
    square = np.abs(array.stiffness) / array.mass
    result: FloatArray = np.sqrt(0.5 * (square[:, None] + square[None, :]))
    return result


def susceptibility(array: Oscillators, equations: Langevin, angular_frequency: float) -> ComplexArray:
    r"""Displacement of j per force on k, :math:`\chi_{jk}(\omega)` [m/N], shape (N, N).

    Parameters
    ----------
    array : Oscillators
        Masses and friction.
    equations : Langevin
        The equations of motion: exact, or found by `regressed_equations`.
    angular_frequency : float
        :math:`\omega` [rad/s].

    Returns
    -------
    (N, N) complex
        Susceptibility, in the convention :math:`e^{-i\omega t}`.
    """
    n = array.n_oscillators
    response = equations.susceptibility(angular_frequency)
    inertia = array.friction if array.mass is None else array.mass
    drive = equations.time_unit / (inertia * equations.unit[-n:])
    result: ComplexArray = equations.unit[:n, None] * response[:n, -n:] * drive[None, :]
    return result


def regressed_equations(equations: Langevin, record: Record) -> Langevin:
    r"""Equations of motion found from a record: drift :math:`\log(\hat E)/\Delta t` with :math:`\hat E` by regression.

    Parameters
    ----------
    equations : Langevin
        Exact equations: only their units, and whether the record resolves them, are used.
    record : Record
        Of one group.

    Returns
    -------
    Langevin
        With the drift of the record.

    Raises
    ------
    TooFewSamplesError
        If states are kept too rarely to follow the motion.
    """
    value = np.linalg.eigvals(equations.drift_matrix) * (record.interval / equations.time_unit)
    if np.abs(value.imag).max() > 0.9 * np.pi or value.real.min() < -4.0:
        fastest = max(float(np.abs(value.imag).max()) / (0.9 * np.pi), -float(value.real.min()) / 4.0)
        unit = "" if equations.reduced else " s"
        raise TooFewSamplesError(
            f"States are kept every {record.interval:.4g}{unit}, too rarely to follow the motion; the response needs "
            f"one every {record.interval / fastest:.3g}{unit} or less."
        )
    scale = np.sqrt(np.diagonal(record.before[0]))
    if not (scale > 1e-9 * scale.max()).all() or np.linalg.cond(record.before[0] / np.outer(scale, scale)) > 1e12:
        raise TooFewSamplesError("The record does not move in every direction, so that no response can be found.")
    matrix = np.linalg.solve(record.before[0].T, record.lagged[0].T).T
    drift = _logarithm(matrix) / (record.interval / equations.time_unit)
    return Langevin(
        drift_matrix=drift,
        noise_covariance=equations.noise_covariance,
        coordinate=equations.coordinate,
        unit=equations.unit,
        time_unit=equations.time_unit,
    )


def _logarithm(matrix: FloatArray) -> FloatArray:
    """Real part of the principal logarithm."""
    value, vector = np.linalg.eig(matrix)
    if np.linalg.cond(vector) > _DEFECTIVE:
        return np.asarray(np.real(linalg.logm(matrix)), dtype=np.float64)
    return np.asarray(np.real(np.linalg.solve(vector.T, (vector * np.log(value.astype(np.complex128))).T).T))


def spectrum(array: Oscillators, equations: Langevin, n_frequencies: int) -> tuple[FloatArray, ComplexArray]:
    """Susceptibility from zero to twice the fastest rate: frequencies [rad/s], (n,), and values [m/N], (n, N, N)."""
    omega = np.linspace(0.02, 2.0, n_frequencies) / equations.time_unit
    return omega, np.array([susceptibility(array, equations, value) for value in omega])


def strongest_response(value: ComplexArray) -> tuple[int, int]:
    """The two oscillators of an array of two or more of which one answers most to a force on the other.

    Parameters
    ----------
    value : (n, N, N) complex
        Susceptibility over frequency; see `spectrum`.

    Returns
    -------
    (int, int)
        In ascending order.
    """
    largest = np.abs(value).max(axis=0)
    np.fill_diagonal(largest, -1.0)
    j, k = divmod(int(largest.argmax()), len(largest))
    return min(j, k), max(j, k)


def found_spectrum(array: Oscillators, dataset: xr.Dataset, n_frequencies: int) -> tuple[FloatArray, ComplexArray]:
    """Susceptibility that the second half of a run shows; see `spectrum` and `regressed_equations`.

    Raises
    ------
    PlanError
        If the run kept neither trajectories nor moments.
    TooFewSamplesError
        If the states do not resolve it, or the moments are of windows of one state, which hold no pairs.
    """
    equations = array.langevin()
    if "position" in dataset:
        half = sum_record(dataset, equations, start=dataset.sizes["time"] // 2)
    else:
        first, _, _ = online.moment_windows(dataset)
        half = online.record_of_moments(dataset, equations, start=float(first[len(first) // 2]))
        if np.isnan(half.before).any():
            raise TooFewSamplesError("Windows of one state hold no pairs of states; use a larger `window`.")
    return spectrum(array, regressed_equations(equations, half.regrouped(1)), n_frequencies)


def response_transfer(array: Oscillators, equations: Langevin, record: Record) -> Transfers:
    """Directional transfer of signals, from the fluctuations of a record.

    Parameters
    ----------
    array : Oscillators
        The array.
    equations : Langevin
        Its exact equations; see `regressed_equations`.
    record : Record
        Of a run.

    Returns
    -------
    Transfers
        Ratio of the susceptibilities of each pair, weak to strong, and asymmetry.

    Raises
    ------
    TooFewSamplesError
        If states are kept too rarely to follow the motion.
    """

    def response(part: Record) -> ComplexArray:
        return resonant_susceptibility(array, regressed_equations(equations, part))

    exact = np.abs(resonant_susceptibility(array, equations))
    return transfers_of(pairs(exact * (1 - np.eye(len(exact)))), *record.regrouped(_GROUPS).jackknife(response))


def resonant_susceptibility(array: Oscillators, equations: Langevin) -> ComplexArray:
    """Susceptibility of each pair at its own resonance [m/N], shape (N, N)."""
    return at_resonance(array, lambda omega: susceptibility(array, equations, omega))


def at_resonance(array: Oscillators, function: Callable[[float], ComplexArray]) -> ComplexArray:
    """Elements [j, k] of matrices that depend on the frequency [rad/s], each at the resonance of its pair; (N, N)."""
    frequency, where = np.unique(resonance(array), return_inverse=True)
    chi = np.array([function(float(omega)) for omega in frequency])
    j, k = np.indices((array.n_oscillators,) * 2)
    result: ComplexArray = chi[where.reshape(j.shape), j, k]
    return result


def exact_response_transfer(chi: ComplexArray, direction: Direction) -> tuple[float, float]:
    """Ratio and asymmetry of exact susceptibilities from `resonant_susceptibility`; see `response_transfer`."""
    j, k = direction
    ratio = float(abs(chi[k, j]) / abs(chi[j, k]))
    return ratio, (1.0 - ratio) / (1.0 + ratio)


def transfers_of(
    directions: list[Direction], total: FloatArray | ComplexArray, replicate: FloatArray | ComplexArray
) -> Transfers:
    """Estimates from a matrix of effects on j of k, and its jackknife replicates.

    Parameters
    ----------
    directions : list of Direction
        Strong direction of each pair.
    total : (N, N) float or complex
        The matrix.
    replicate : (n_groups, N, N) float or complex
        Without each group in turn.

    Returns
    -------
    Transfers
        Of all pairs.
    """
    n = len(replicate)

    def error(value: FloatArray | ComplexArray) -> float:
        return float(np.sqrt((n - 1) / n * np.sum(np.abs(value - value.mean(axis=0)) ** 2)))

    result = Transfers([], [])
    for direction in directions:
        j, k = direction
        if not abs(total[j, k]) > _SIGNIFICANT * error(replicate[:, j, k]):
            result.undetermined.append(direction)
            continue
        ratio = total[k, j] / total[j, k]
        ratios = replicate[:, k, j] / replicate[:, j, k]
        # The modulus of a complex number near zero is biased, and no error of its own covers that; the error of both
        # parts together does. Away from zero the modulus has an error bar of its own.
        size, stderr = float(abs(ratio)), error(ratios)
        if size > 3.0 * stderr:
            stderr = error(np.abs(ratios))
        if stderr > _LARGEST_RATIO_ERROR:
            result.undetermined.append(direction)
            continue
        found = Estimate(np.asarray(size if np.iscomplexobj(total) else ratio), np.asarray(stderr), float(n))
        result.found.append(Transfer(direction, found, asymmetry_of_ratio(found)))
    return result


def asymmetry_of_ratio(ratio: Estimate) -> Estimate:
    """Asymmetry :math:`(1 - |r|)/(1 + |r|)` of a ratio weak/strong, with its error bar."""
    size, stderr = abs(float(ratio.value)), float(ratio.stderr)
    # The asymmetry bends most at small ratios: its slope is taken where the interval of the ratio is steepest.
    slope = 2.0 / (1.0 + max(0.0, size - 3.0 * stderr)) ** 2
    return Estimate(np.asarray((1 - size) / (1 + size)), np.asarray(slope * stderr), ratio.n_eff)
