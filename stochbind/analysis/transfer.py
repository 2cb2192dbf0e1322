r"""Directional transfer: which way energy and signals go between two particles.

For each pair the *strong* direction is the one with the larger coupling. Two measures, each as a ratio
:math:`r = ` weak/strong and as an asymmetry :math:`(1 - |r|)/(1 + |r|)`: 0 is reciprocal, 1 is one-way.

- energy: r is the ratio of the powers that the pair deliver to each other. In a steady state
  :math:`\langle q_j v_k \rangle = -\langle q_k v_j \rangle`, so r is exactly minus the ratio of the couplings, whatever
  the baths; it is a test of stationarity, and undefined where no energy flows. Theory page, eq. (22).
- response: r is the ratio of the susceptibilities at the resonance of the strong receiver (at zero frequency if
  overdamped). It is a property of the equations alone. From a record it is found by regression of each state on the one
  before, which holds for linear systems in or out of equilibrium, where the fluctuation-dissipation theorem does not.
  Theory page, eqs. (23) and (24).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

from stochbind.analysis import thermodynamics
from stochbind.analysis.statistics import Estimate, Record
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

_GROUPS = 32


class Direction(NamedTuple):
    """The strong direction of a pair: `receiver` feels `sender` more than the other way round."""

    receiver: int
    sender: int


class Transfer(NamedTuple):
    """Ratio weak/strong and asymmetry of one measure for one pair."""

    direction: Direction
    ratio: Estimate
    asymmetry: Estimate


def directions(array: Oscillators) -> list[Direction]:
    """Strong direction of each coupled pair; the lower index receives where both are equally strong."""
    size = np.abs(array.coupling)
    return [
        Direction(j, k) if size[j, k] >= size[k, j] else Direction(k, j)
        for j in range(array.n_particles)
        for k in range(j + 1, array.n_particles)
        if size[j, k] > 0 or size[k, j] > 0
    ]


def energy_transfer(array: Oscillators, record: Record, direction: Direction) -> Transfer:
    """Directional transfer of energy between two particles.

    Parameters
    ----------
    array : Oscillators
        The array.
    record : Record
        Of a run.
    direction : Direction
        The pair.

    Returns
    -------
    Transfer
        Ratio of the power delivered in the weak direction to that in the strong one, and asymmetry.

    Raises
    ------
    TooFewSamplesError
        If the power of the strong direction cannot be told from zero (5 standard errors): then no ratio can.
    """
    j, k = direction
    strong = record.estimate(lambda second: thermodynamics.power(array, second)[..., j, k])
    if not abs(strong.value) > 5.0 * strong.stderr:
        raise TooFewSamplesError(
            f"The power delivered to {j} by {k} is {strong.value:.3g} +- {strong.stderr:.2g}, too close to zero for a "
            "ratio; no energy flows, or the record is too short."
        )

    def ratio(part: Record) -> FloatArray:
        power = thermodynamics.power(array, part.second[0])
        return np.asarray(power[k, j] / power[j, k])

    return _transfer(direction, *record.regrouped(_GROUPS).jackknife(ratio))


def exact_energy_transfer(array: Oscillators, second: FloatArray, direction: Direction) -> tuple[float, float]:
    """Ratio and asymmetry of the powers for exact second moments; see `energy_transfer`."""
    power = thermodynamics.power(array, second)
    ratio = float(power[direction.sender, direction.receiver] / power[direction.receiver, direction.sender])
    return ratio, (1.0 - abs(ratio)) / (1.0 + abs(ratio))


def resonance(array: Oscillators, direction: Direction) -> float:
    """Angular frequency at which a pair's susceptibilities are compared [rad/s]."""
    if array.mass is None:
        return 0.0
    j = direction.receiver
    return float(np.sqrt(abs(array.stiffness[j]) / array.mass[j]))


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
    n = array.n_particles
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
        raise TooFewSamplesError(
            f"States are kept every {record.interval:.4g} s, too rarely to follow the motion; the response needs one "
            f"every {record.interval / fastest:.3g} s or less."
        )
    matrix = np.linalg.solve(record.before[0].T, record.lagged[0].T).T
    drift = np.real(linalg.logm(matrix)) / (record.interval / equations.time_unit)
    return Langevin(
        drift_matrix=drift,
        noise_covariance=equations.noise_covariance,
        coordinate=equations.coordinate,
        unit=equations.unit,
        time_unit=equations.time_unit,
    )


def response_transfer(
    array: Oscillators, equations: Langevin, record: Record, pairs: list[Direction]
) -> list[Transfer]:
    """Directional transfer of signals between particles, from the fluctuations of a record.

    Parameters
    ----------
    array : Oscillators
        The array.
    equations : Langevin
        Its exact equations; see `regressed_equations`.
    record : Record
        Of a run.
    pairs : list of Direction
        The pairs.

    Returns
    -------
    list of Transfer
        Ratio of the susceptibilities, weak to strong, and asymmetry, for each pair.

    Raises
    ------
    TooFewSamplesError
        If states are kept too rarely to follow the motion.
    """

    def ratios(part: Record) -> ComplexArray:
        found = regressed_equations(equations, part)
        return np.array([susceptibility_ratio(array, found, pair) for pair in pairs])

    value, replicate = record.regrouped(_GROUPS).jackknife(ratios)
    return [_transfer(pair, value[i], replicate[:, i]) for i, pair in enumerate(pairs)]


def susceptibility_ratio(array: Oscillators, equations: Langevin, direction: Direction) -> complex:
    """Complex ratio of the susceptibilities of a pair, weak to strong, at its resonance."""
    chi = susceptibility(array, equations, resonance(array, direction))
    return complex(chi[direction.sender, direction.receiver] / chi[direction.receiver, direction.sender])


def exact_response_transfer(array: Oscillators, equations: Langevin, direction: Direction) -> tuple[float, float]:
    """Ratio and asymmetry of the susceptibilities of exact equations; see `response_transfer`."""
    ratio = abs(susceptibility_ratio(array, equations, direction))
    return ratio, (1.0 - ratio) / (1.0 + ratio)


def _transfer(direction: Direction, value: FloatArray | ComplexArray, replicate: FloatArray | ComplexArray) -> Transfer:
    """Estimates from a ratio and its jackknife replicates: signed if real, its modulus if complex."""
    n = len(replicate)
    spread = replicate - replicate.mean(axis=0)
    # Real and imaginary errors are added, so that the modulus of a ratio near zero has an honest error bar.
    stderr = float(np.sqrt((n - 1) / n * np.sum(np.abs(spread) ** 2)))
    ratio = float(np.abs(value)) if np.iscomplexobj(value) else float(value)
    size = abs(ratio)
    return Transfer(
        direction,
        Estimate(np.asarray(ratio), np.asarray(stderr), float(n)),
        Estimate(np.asarray((1 - size) / (1 + size)), np.asarray(2 * stderr / (1 + size) ** 2), float(n)),
    )
