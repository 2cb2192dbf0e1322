"""What detectors would have told of a run: how well the filter of their record knows the motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.statistics import jackknife, weighted_mean
from stochbind.checks import FloatArray
from stochbind.langevin import Moments
from stochbind.quantum.detection import Detector
from stochbind.quantum.filtering import Sampling, run_filter, sampled_covariance, sampling
from stochbind.quantum.measurement import Homodyne, conditional_covariance
from stochbind.quantum.quadratures import to_quadratures
from stochbind.quantum.symplectic import purity

MEASUREMENT = "measurement"
#: Seed of the noise of the detectors, which is none of the run's.
SEED = 1
#: States are averaged from where the covariance of the filter is that of its steady state to this part.
SETTLED = 1e-3
#: Fewest states that must be left to average over.
_LEAST_STATES = 16


class Sums(NamedTuple):
    """What is added up, cell by cell."""

    error: FloatArray  # (n_groups, 2N, 2N), products of errors
    innovation: FloatArray  # (n_groups, M), squares
    successive: FloatArray  # (n_groups, M), products with the one before
    n_states: FloatArray  # (n_groups,)


class Filter:
    """Detects and filters a record while it is read: a `stochbind.analysis.passes.Pass`.

    Parameters
    ----------
    setting : Setting
        The run.
    homodyne : Homodyne
        The detection.
    n_groups : int
        Number of cells.
    """

    def __init__(self, setting: Setting, homodyne: Homodyne, n_groups: int) -> None:
        self.homodyne = homodyne
        self._step: Sampling = sampling(homodyne, setting.interval)
        self._detector = Detector(self._step, SEED)
        d, m = homodyne.equations.dimension, len(homodyne.index)
        array = setting.array
        start = setting.equations.moments(setting.first_time, array.initial_moments(setting.initial))
        self._prior: Moments = to_quadratures(array, start)
        self._scale = setting.equations.unit / homodyne.equations.unit
        #: Covariance in the steady state of the filter, and the first state that counts.
        self.covariance = sampled_covariance(homodyne, setting.interval)
        self.first = self._settled(setting.n_states)
        self.sums = Sums(
            np.zeros((n_groups, d, d)), np.zeros((n_groups, m)), np.zeros((n_groups, m)), np.zeros(n_groups)
        )
        self._n_before = 0
        self._forget()

    def _settled(self, n_states: int) -> int:
        """Number of the first state at which the filter has settled; beyond the last one if none is."""
        none = np.zeros((1, 1, len(self.homodyne.index)))
        covariance, aim = self._prior.covariance, np.diagonal(self.covariance)
        mean = np.zeros((1, len(covariance)))
        for index in range(1, n_states):
            covariance = run_filter(self._step, none, mean, covariance)[2][0]
            if (np.abs(np.diagonal(covariance) - aim) <= SETTLED * aim).all():
                return index
        return n_states

    def _forget(self) -> None:
        self._last: tuple[FloatArray, FloatArray, FloatArray, FloatArray, list[np.random.Generator]] | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        state = state * self._scale
        if self._last is None:
            sources = self._detector.generators(self._n_before, len(state))
            mean = np.broadcast_to(self._prior.mean, (len(state), len(self._prior.mean)))
            covariance, surprise = self._prior.covariance, np.zeros((len(state), len(self.homodyne.index)))
        else:
            before, mean, covariance, surprise, sources = self._last
            state, first = np.concatenate([before, state], axis=1), first - 1
        if state.shape[1] > 1:
            increments = self._detector.increments(state, sources)
            estimate, innovation, spread = run_filter(self._step, increments, mean, covariance)
            earlier = np.concatenate([surprise[:, None], innovation[:, :-1]], axis=1)
            counted = slice(max(0, self.first - first - 1), None)
            error = (state[:, 1:] - estimate)[:, counted]
            now, then = innovation[:, counted], earlier[:, counted]
            np.add.at(self.sums.error, cells, np.einsum("ntj,ntk->njk", error, error))
            np.add.at(self.sums.innovation, cells, (now**2).sum(axis=1))
            np.add.at(self.sums.successive, cells, (now * then).sum(axis=1))
            np.add.at(self.sums.n_states, cells, float(error.shape[1]))
            mean, covariance, surprise = estimate[:, -1], spread[-1], innovation[:, -1]
        self._last = (state[:, -1:].copy(), mean, covariance, surprise, sources)
        if last:
            self._n_before += len(state)
            self._forget()


def filter_pass(setting: Setting, efficiency: float | None, n_groups: int) -> Filter | None:
    """What detects and filters, if it is asked for and can be; a note says why not.

    Raises
    ------
    ScenarioError, NoiseError
        If the efficiency is impossible, or the particles cannot be so detected.
    UnstableError
        If some motion is neither damped nor detected.
    """
    if efficiency is None:
        return None
    reason = None
    if setting.array.overdamped:
        reason = "motion without velocities has no quantum states"
    elif setting.finite_baths:
        reason = "baths change their temperature, and the filter takes them to be constant"
    elif not setting.linear or setting.scenario.changes_with_time:
        reason = "the filter is made for linear forces, without drives or couplings that change with time"
    else:
        found = Filter(setting, Homodyne(setting.array, efficiency), n_groups)
        if setting.n_states - found.first >= _LEAST_STATES:
            return found
        reason = (
            f"the filter has settled for fewer than {_LEAST_STATES} of the {setting.n_states} states of the record; "
            "keep states several times a period, and more of them"
        )
    setting.notes.append(f"Measurement is left out: {reason}.")
    return None


def measurement_findings(subject: Subject, one: Filter) -> Iterator[Finding]:
    """Covariance of the errors of the filter beside the Riccati equation's, and whether its innovations are white.

    Parameters
    ----------
    subject : Subject
        The run.
    one : Filter
        What was added up.

    Yields
    ------
    Finding
        For each oscillator the occupation that it has around what is known, for each detector its innovations.
    """
    kept = one.sums.n_states > 0
    count = one.sums.n_states[kept]
    weight = count / count.sum()
    error = one.sums.error[kept] / count[:, None, None]
    n = subject.array.n_oscillators
    told = subject.findings
    _tell_of_sampling(subject, one)
    occupation = 0.5 * np.diagonal(error, axis1=1, axis2=2)
    exact = 0.5 * np.diagonal(one.covariance)
    yield from told(
        MEASUREMENT,
        "conditional occupation number",
        "",
        weighted_mean(occupation[:, :n] + occupation[:, n:] - 0.5, weight),
        exact[:n] + exact[n:] - 0.5,
    )
    yield from told(
        MEASUREMENT,
        "conditional purity",
        "",
        jackknife(lambda mean: purity(mean)[..., None], error, weight=weight),
        np.atleast_1d(purity(one.covariance)),
        names=["all"],
    )
    names = [subject.name(int(j)) for j in one.homodyne.index]
    for quantity, sums, truth in (
        ("variance of innovations", one.sums.innovation, 1.0),
        ("successive innovations", one.sums.successive, 0.0),
    ):
        mean = weighted_mean(sums[kept] / count[:, None], weight)
        yield from told(MEASUREMENT, quantity, "", mean, truth, names=names, scale=1.0)


def _tell_of_sampling(subject: Subject, one: Filter) -> None:
    """A note if the record tells much less than a continuous one, because it is read so rarely."""
    n = subject.array.n_oscillators
    covariances = conditional_covariance(one.homodyne), one.covariance
    continuous, sampled = (0.5 * (v.diagonal()[:n] + v.diagonal()[n:]) - 0.5 for v in covariances)
    j = int(np.argmax((sampled + 0.5) / (continuous + 0.5)))
    if sampled[j] + 0.5 > 1.1 * (continuous[j] + 0.5):
        unit = "" if subject.scenario.reduced else " s"
        subject.notes.append(
            f"The filter is given the growth of the record from state to state, every {subject.interval:.3g}{unit}. A "
            f"continuous record tells more: the conditional occupation number of oscillator {subject.name(j)} would be "
            f"{continuous[j]:.4g} in place of {sampled[j]:.4g}."
        )
