"""What a finding is, and what findings are made from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.analysis.currents import variance_rate, work_current
from stochbind.analysis.ledgers import MOST_HIDDEN, hidden_variance
from stochbind.analysis.statistics import Estimate, Record
from stochbind.checks import FloatArray
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.scenario import Scenario

#: Groups of the jackknife.
GROUPS = 64
#: What is left of units in reduced units.
_REDUCED = {"nats": "nats", "nats/s": "nats per time", "k_B": "k_B", "k_B/s": "k_B per time", "1/s": "per time"}


class Finding(NamedTuple):
    """One answer.

    Attributes
    ----------
    section, quantity, where, unit : str
        To which question, what, of which oscillator, mode or pair (receiver first), in which unit.
    value, stderr, n_eff : float
        Estimate, standard error, and number of independent samples behind it.
    exact, z : float
        Exact value for the same states, and the distance as a normal deviate (see `Estimate.z`); NaN where there is
        none.
    """

    section: str
    quantity: str
    where: str
    unit: str
    value: float
    stderr: float
    n_eff: float
    exact: float
    z: float


@dataclass(frozen=True, eq=False)
class Setting:
    """A run before it is read.

    Attributes
    ----------
    dataset : xarray.Dataset
        The run.
    scenario : Scenario
        The theory.
    initial : str
        Its initial state.
    start, n_states : int
        First state of the window, and number of states in it.
    interval : float
        Time between states [s].
    first_time, last_time : float
        Times of the first and the last state of the window [s].
    n_trajectories : int
        Number of trajectories.
    steady : bool
        Whether the window shows a steady state without drives, of linear equations.
    notes : list of str
        What cannot be told, and why; sections add to it.
    """

    dataset: xr.Dataset
    scenario: Scenario
    initial: str
    start: int
    n_states: int
    interval: float
    first_time: float
    last_time: float
    n_trajectories: int
    steady: bool
    notes: list[str]

    @cached_property
    def array(self) -> Oscillators:
        """The oscillators."""
        return self.scenario.oscillators()

    @cached_property
    def equations(self) -> Langevin:
        """Their equations."""
        return self.array.langevin()

    @property
    def finite_baths(self) -> bool:
        """Whether temperatures of baths change."""
        return self.array.baths is not None and bool(self.array.baths.finite.any())

    @property
    def linear(self) -> bool:
        """Whether all forces are linear, and all baths infinite."""
        return not (self.equations.forces or self.dataset.attrs.get("own_forces") or self.finite_baths)

    @cached_property
    def covariance(self) -> FloatArray | None:
        """Exact covariance of the steady state, in scaled units, if the window shows it."""
        return self.equations.stationary_covariance() if self.steady else None

    @property
    def step(self) -> float:
        """Length of a step of the solver [s]; if the dataset does not tell it, no longer than between kept states."""
        return float(self.dataset.attrs.get("step", self.interval))

    def sees_work(self, what: str) -> bool:
        """Whether the ledger sees the work of all couplings but for a small part of its variance; or else a note.

        The note names what is left out.
        """
        if self.array.overdamped:
            reason = "of overdamped particles the law of what happens within a step is another one"
        else:
            hidden = [
                hidden_variance(self.array, int(j), int(k), self.step)
                / variance_rate(self.equations, work_current(self.array, int(j), int(k)))
                for j, k in np.argwhere(self.array.coupling != 0.0)
            ]
            if max(hidden, default=0.0) <= MOST_HIDDEN:
                return True
            reason = f"{100 * max(hidden):.2g} % of the variance of the work happens within steps; use shorter ones"
        self.notes.append(
            f"{what} are not compared: the ledger adds up what is expected given the ends of steps, and {reason}."
        )
        return False

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs with a coupling in either direction; the receiver of the stronger one first."""
        size = np.abs(self.array.coupling)
        return [
            (int(j), int(k)) if size[j, k] >= size[k, j] else (int(k), int(j))
            for j, k in np.argwhere(np.triu(size + size.T) > 0)
        ]

    def name(self, *index: int) -> str:
        """Name of an oscillator, or of a pair, the receiver first."""
        return " <- ".join(self.array.names[i] for i in index)

    def unit(self, unit: str) -> str:
        """A unit; in reduced units nothing, but for what is counted in nats or Boltzmann's constants, and rates."""
        return _REDUCED.get(unit, "") if self.scenario.reduced else unit


@dataclass(frozen=True, eq=False)
class Subject(Setting):
    """A run with its second moments.

    Attributes
    ----------
    found : Record
        Second moments of the window.
    exact : Record or None
        Their exact means over the same states; None if forces are not linear.
    """

    found: Record
    exact: Record | None

    def linear_in_moments(
        self,
        section: str,
        quantity: str,
        unit: str,
        function: Callable[[Oscillators, FloatArray], Any],
        *,
        names: Sequence[str] | None = None,
        kept: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[Finding]:
        """Findings of a linear function of the array and its second moments."""
        estimate = self.found.estimate(lambda second: np.asarray(function(self.array, second)))
        exact = None if self.exact is None else np.asarray(function(self.array, self.exact.second[0]))
        yield from self.findings(section, quantity, unit, estimate, exact, names=names, kept=kept)

    def smooth_in_moments(
        self,
        section: str,
        quantity: str,
        unit: str,
        function: Callable[[FloatArray], Any],
        names: Sequence[str] = ("",),
    ) -> Iterator[Finding]:
        """Findings of a smooth function of second moments, (n,), with the error bars and the bias of the jackknife."""
        estimate = self.jackknife(lambda one: function(one.second[0]))
        exact = None if self.exact is None else np.atleast_1d(function(self.exact.second[0]))
        yield from self.findings(section, quantity, unit, estimate, exact, names=names)

    def jackknife(self, function: Callable[[Record], Any]) -> Estimate:
        """Estimate of a smooth function of the record of one group, (n,); its bias of first order is taken off."""
        value, replicate = self.found.regrouped(GROUPS).jackknife(lambda part: np.atleast_1d(function(part)))
        n = len(replicate)
        mean = replicate.mean(axis=0)
        stderr = np.sqrt((n - 1) / n * ((replicate - mean) ** 2).sum(axis=0))
        return Estimate(n * value - (n - 1) * mean, stderr, float(n))

    def findings(
        self,
        section: str,
        quantity: str,
        unit: str,
        estimate: Estimate,
        exact: Any = None,
        *,
        names: Sequence[str] | None = None,
        kept: npt.NDArray[np.bool_] | None = None,
        scale: float = 0.0,
    ) -> Iterator[Finding]:
        """One finding for each element of an estimate; matrices are of pairs, vectors of oscillators or as named."""
        value = np.asarray(estimate.value)
        truth = np.full(value.shape, math.nan) if exact is None else np.broadcast_to(exact, value.shape)
        z, stderr = estimate.z(truth, scale=scale), np.broadcast_to(estimate.stderr, value.shape)
        for index in np.ndindex(value.shape):
            if kept is not None and not kept[index]:
                continue
            where = self.name(*index) if names is None else names[index[0] if index else 0]
            numbers = (value[index], stderr[index], estimate.n_eff, truth[index], z[index])
            yield Finding(section, quantity, where, self.unit(unit), *(float(number) for number in numbers))
