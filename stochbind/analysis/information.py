r"""Information in Gaussian states: mutual information, information flow, transfer entropy; in nats.

All exact, from matrices. Oscillators are taken in groups; an oscillator stands for its position and, underdamped, its
velocity. From a group to another: `transfer_entropy` tells how much the past of the sender improves the forecast of the
receiver, `flow` how the motion of one group changes the mutual information with all others at an instant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import linalg

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, PlanError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

Group = Sequence[int]
_Indices = npt.NDArray[np.intp]


def coordinates(array: Oscillators, group: Group, name: str = "group") -> _Indices:
    """Indices of the coordinates of some oscillators: positions, then velocities.

    Parameters
    ----------
    array : Oscillators
        The array.
    group : sequence of int
        Its oscillators.
    name : str
        Of the argument, for messages.

    Returns
    -------
    (m,) int
        Indices.

    Raises
    ------
    PlanError
        If an oscillator does not exist or is there twice, or there is none.
    """
    n = array.n_oscillators
    index = np.array([checks.integer(name, i, minimum=0, maximum=n - 1, error=PlanError) for i in group], dtype=np.intp)
    if not len(index) or len(set(index.tolist())) < len(index):
        raise PlanError(f"`{name}` must hold one or more different oscillators, but is {checks.short(list(group))}.")
    return index if array.overdamped else np.concatenate([index, index + n])


def particles(array: Oscillators) -> list[list[int]]:
    """Oscillators of each particle: one for each axis along which it moves."""
    n_axes = len(array.axes)
    return [list(range(j * n_axes, (j + 1) * n_axes)) for j in range(array.n_particles)]


def mutual_information(covariance: FloatArray, first: _Indices, second: _Indices) -> float:
    r"""Mutual information of two groups of coordinates of a Gaussian state.

    :math:`\tfrac12 \ln(|\Sigma_{aa}||\Sigma_{bb}|/|\Sigma_{ab,ab}|)`.

    Parameters
    ----------
    covariance : (..., d, d) float
        Covariance in any units.
    first, second : (m,), (n,) int
        Their coordinates.

    Returns
    -------
    (...) float
        [nats].
    """
    both = np.concatenate([first, second])
    deviation = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    correlation = covariance / (deviation[..., :, None] * deviation[..., None, :])
    parts = [np.linalg.slogdet(correlation[..., index[:, None], index])[1] for index in (first, second, both)]
    result: float = 0.5 * (parts[0] + parts[1] - parts[2])
    return result


def flow(equations: Langevin, covariance: FloatArray, group: _Indices) -> float:
    r"""Information flow into a group: the rate at which its own motion changes its mutual information with all others.

    :math:`\tfrac12[\mathrm{tr}(\Sigma_{aa}^{-1}\dot\Sigma_{aa}) - \mathrm{tr}(\Sigma^{-1}\dot\Sigma)]`, where the
    change of the covariance is that by the equations of the group alone (Horowitz and Esposito, Phys. Rev. X 4, 031015
    (2014); Loos and Klapp, New J. Phys. 22, 123051 (2020)). The flows into a group and into all others add up to the
    change of their mutual information, zero in a steady state. Noise that both have in common counts half for each, as
    it belongs to neither; then the second law of each group does not hold by itself.

    Parameters
    ----------
    equations : Langevin
        The equations.
    covariance : (d, d) float
        Covariance in scaled units, positive definite.
    group : (m,) int
        Coordinates of the group.

    Returns
    -------
    float
        [nats/s]; positive if the group learns of the others.
    """
    d = equations.dimension
    mine = np.zeros(d)
    mine[group] = 1.0
    drift = mine[:, None] * equations.drift_matrix @ covariance
    share = 0.5 * (mine[:, None] + mine[None, :])
    change = drift + drift.T + share * equations.noise_covariance
    inside = np.ix_(group, group)
    own = np.sum(np.linalg.inv(covariance[inside]) * change[inside])
    return float(0.5 * (own - np.sum(np.linalg.inv(covariance) * change)) / equations.time_unit)


def sampled_transfer_entropy(
    array: Oscillators, interval: float, receiver: Group, sender: Group, *, given: Group = ()
) -> float:
    r"""Transfer entropy between states that are kept every so often, with the whole past; nats per interval.

    :math:`\tfrac12 \ln(|V_1|/|V_2|)`, with :math:`V_1` the covariance of the receiver's next state given the past of
    receiver and `given`, and :math:`V_2` that with the past of the sender besides. What is not given is found by a
    Kalman filter, the steady one: the positive solution of a discrete Riccati equation.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    interval : float
        Time between states [s].
    receiver, sender : sequence of int
        Oscillators of either.
    given : sequence of int
        Oscillators on which to condition.

    Returns
    -------
    float
        [nats], not negative.

    Raises
    ------
    PlanError
        If the groups overlap, or an oscillator does not exist.
    UnstableError
        If there is no steady state.
    """
    equations = array.langevin()
    target, without, both = _groups(array, receiver, sender, given)
    equations.require_stable("Transfer entropy")
    step = equations.propagator(interval)
    errors = [_forecast_error(step.matrix, step.covariance, seen, target) for seen in (without, both)]
    deviation = np.sqrt(np.diagonal(errors[1]))
    size = [np.linalg.slogdet(error / np.outer(deviation, deviation))[1] for error in errors]
    return max(0.0, 0.5 * float(size[0] - size[1]))


def transfer_entropy(array: Oscillators, receiver: Group, sender: Group, *, given: Group = ()) -> float:
    r"""Transfer entropy rate of the continuous motion, with the whole past; nats per second.

    With P the error covariance of what is hidden, given the past of what is seen (Kalman and Bucy), the rate is
    :math:`\tfrac12 \mathrm{tr}[W^{-1} A_{rh} P A_{rh}^T]`, W the noise of the receiver (Duncan, SIAM J. Appl. Math. 19,
    215 (1970)); of the seen without the sender, less that of the seen with it. It is the limit of
    `sampled_transfer_entropy` over the interval.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    receiver, sender : sequence of int
        Oscillators of either.
    given : sequence of int
        Oscillators on which to condition.

    Returns
    -------
    float
        [nats/s], not negative.

    Raises
    ------
    PlanError
        If the groups overlap, or an oscillator does not exist.
    NoiseError
        If a receiver has no noise: then it tells at once all that drives it.
    UnstableError
        If there is no steady state.
    """
    equations = array.langevin()
    target, without, both = _groups(array, receiver, sender, given)
    equations.require_stable("Transfer entropy")
    rates = [_learning_rate(equations, seen, target) for seen in (without, both)]
    return max(0.0, (rates[0] - rates[1]) / equations.time_unit)


def _groups(array: Oscillators, receiver: Group, sender: Group, given: Group) -> tuple[_Indices, _Indices, _Indices]:
    """Coordinates of the receiver, of all that is seen without the sender, and with it."""
    target = coordinates(array, receiver, "receiver")
    source = coordinates(array, sender, "sender")
    more = coordinates(array, given, "given") if len(given) else np.zeros(0, dtype=np.intp)
    both = np.concatenate([target, more, source])
    if len(set(both.tolist())) < len(both):
        raise PlanError("`receiver`, `sender` and `given` must have no oscillator in common.")
    return target, np.concatenate([target, more]), both


def _forecast_error(matrix: FloatArray, noise: FloatArray, seen: _Indices, target: _Indices) -> FloatArray:
    """Covariance of the next state of the target, given the whole past of what is seen."""
    hidden = np.setdiff1d(np.arange(len(matrix)), seen)
    error = noise[np.ix_(target, target)]
    if not len(hidden) or not matrix[np.ix_(seen, hidden)].any():
        return error
    scale = np.sqrt(np.diagonal(noise))
    matrix, noise = matrix * (scale[None, :] / scale[:, None]), noise / np.outer(scale, scale)

    def part(of: FloatArray, rows: _Indices, columns: _Indices) -> FloatArray:
        result: FloatArray = of[np.ix_(rows, columns)]
        return result

    known = linalg.solve_discrete_are(
        part(matrix, hidden, hidden).T, part(matrix, seen, hidden).T, part(noise, hidden, hidden),
        part(noise, seen, seen), s=part(noise, hidden, seen),
    )  # fmt: skip
    lever = part(matrix, target, hidden)
    more = lever @ known @ lever.T * np.outer(scale[target], scale[target])
    result: FloatArray = error + 0.5 * (more + more.T)
    return result


def _learning_rate(equations: Langevin, seen: _Indices, target: _Indices) -> float:
    """Rate at which the target tells of what is hidden, given the past of what is seen; per unit of time."""
    drift, noise = equations.drift_matrix, equations.noise_covariance
    hidden = np.setdiff1d(np.arange(len(drift)), seen)
    noisy = seen[np.diagonal(noise)[seen] > 0]
    heard = target[np.diagonal(noise)[target] > 0]
    silent = np.setdiff1d(seen, noisy)
    if drift[np.ix_(silent, hidden)].any():
        raise NoiseError("Transfer entropy is infinite: a receiver without noise tells at once what drives it.", 0.0)
    lever = drift[np.ix_(heard, hidden)]
    if not lever.any():
        return 0.0
    error = linalg.solve_continuous_are(
        drift[np.ix_(hidden, hidden)].T, drift[np.ix_(noisy, hidden)].T, noise[np.ix_(hidden, hidden)],
        noise[np.ix_(noisy, noisy)], s=noise[np.ix_(hidden, noisy)],
    )  # fmt: skip
    return 0.5 * float(np.sum(np.linalg.inv(noise[np.ix_(heard, heard)]) * (lever @ error @ lever.T)))
