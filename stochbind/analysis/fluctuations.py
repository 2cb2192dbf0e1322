r"""Fluctuation theorems as tests of a simulation.

The entropy :math:`\Delta s` produced along a stretch of a record (`stochbind.analysis.stochastic_entropy`) is computed
with the exact equations. If the record obeys them, then in the steady state

.. math:: \langle e^{-\Delta s} \rangle = 1 \qquad\text{and}\qquad p(\Delta s) = e^{\Delta s}\,p(-\Delta s),

the integral and the detailed theorem. The latter is told without a histogram: for any odd g,

.. math:: \langle g(\Delta s)\,[1 - \tanh(\Delta s/2)] \rangle = 0.

No temperature, coupling or step is fitted, so that a record of other equations fails. The tests are not equally sharp:

- the integral theorem holds, overdamped, for *any* law of the first state of a stretch: it judges the steps alone. A
  record that has not reached the steady state passes it; and it nearly passes the detailed one where stretches are
  short, as given its first state the entropy of a short one is nearly normal, with a variance of twice its mean, which
  obeys the theorem. The mean entropy beside its exact value tells;
- in equilibrium no path produces entropy, and the tests see nothing at all: not even a wrong temperature, or a wrong
  time step;
- averages of :math:`e^{-\Delta s}` are made by rare paths. So stretches are short, about one :math:`k_B` each, and the
  tests of the detailed theorem, of bounded quantities, are the sharper ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.analysis import currents, passes
from stochbind.analysis.fluctuation_checks import EDGE, Check, Fluctuations, most_likely_slope
from stochbind.analysis.loops import count_entropy
from stochbind.analysis.online import group_mean
from stochbind.analysis.statistics import Estimate, jackknife
from stochbind.analysis.stochastic_entropy import SampledChain
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.langevin import Langevin

#: Entropy wanted along a stretch, and most that one step may produce, in units of Boltzmann's constant.
_WANTED, _LARGEST = 1.5, 40.0
#: Stretches get no longer; their law is computed step by step. What they tell together hardly depends on it.
_LONGEST = 2048
#: Largest mean square of exp(-entropy): its average takes this many times more paths than if all were alike.
_SPREAD = 4.0
#: Below this mean entropy of the longest stretch there is nothing to test: it is round-off.
_NOTHING = 1e-6
#: Fewest stretches with negative entropy, and fewest effective ones in the average of exp(-entropy), for a verdict.
_FEWEST = 30.0
#: Functions of the entropy of a stretch that are averaged, in the order of `stochbind.analysis.loops.count_entropy`.
_FUNCTIONS = ("entropy", "entropy square", "exponential", "exponential square", "sign", "weighted")


def choose_stretch(chain: SampledChain, n_steps: int) -> int:
    """Number of steps over which to add up entropy.

    So many that about 1.5 k_B are produced, but no more than there are, and fewer where rare paths would rule the
    average of exp(-entropy): its exact mean square must stay below 4 and, where that can be, its third moment finite.

    Parameters
    ----------
    chain : SampledChain
        The exact law of the record.
    n_steps : int
        Number of steps of the record.

    Returns
    -------
    int
        Number of steps, at least one.

    Raises
    ------
    TooFewSamplesError
        If a single step already produces more than 40 k_B, or all of them nothing.
    """
    if n_steps < 1:
        raise TooFewSamplesError(f"Entropy along a path needs at least 2 states, but there are {n_steps + 1}.")
    if chain.mean(1) > _LARGEST:
        raise TooFewSamplesError(
            f"The fluctuation theorems are undetermined: between two states, {chain.interval:.4g} s apart, "
            f"{chain.mean(1):.4g} k_B are produced on average, and no path ever runs backwards; keep states more often."
        )
    if chain.mean(n_steps) < _NOTHING:
        raise TooFewSamplesError(
            f"There is nothing to test: along the whole record {max(chain.mean(n_steps), 0.0):.3g} k_B are produced on "
            "average, as in equilibrium, where paths look alike forwards and backwards; use unequal baths or a "
            "non-reciprocal coupling."
        )
    wanted = (_WANTED - chain.reversal) / max(chain.per_step, 1e-300)
    longest = int(np.clip(wanted, 1, min(n_steps, _LONGEST)))
    square, cube = (chain.generating_function(exponent, longest) for exponent in (2.0, 3.0))
    narrow = square <= _SPREAD
    good = np.flatnonzero(narrow & np.isfinite(cube)) if np.isfinite(cube).any() else np.flatnonzero(narrow)
    return int(good[-1]) + 1 if len(good) else longest


class EntropyPass:
    """Entropy produced along stretches of a record, and currents in them, added up group by group: a `passes.Pass`.

    A stretch ends where the next begins; one that ends in another block of time than it began counts to the later one.

    Parameters
    ----------
    chain : SampledChain
        The exact law of the record.
    n_groups : int
        Number of cells.
    stretch : int
        Number of steps in a stretch; see `choose_stretch`.
    current : sequence of currents.Current, optional
        Currents that change sign when time runs backwards: such as work, which depend on how positions move.

    Raises
    ------
    PlanError
        If a current depends on more than how positions move.
    """

    def __init__(
        self, chain: SampledChain, n_groups: int, stretch: int, *, current: Sequence[currents.Current] = ()
    ) -> None:
        odd = chain.parity < 0
        for one in current:
            if one.rate.any() or one.constant or one.circulation[odd].any() or one.circulation[:, odd].any():
                raise PlanError(
                    f"The current {one.name!r} depends on more than how positions move, so that it cannot be found "
                    "from kept states; use work."
                )
        self.chain, self.stretch, self.current = chain, stretch, tuple(current)
        #: Sums by group: number of stretches, then of entropy, its functions, and currents; see `_FUNCTIONS`.
        self.sums = np.zeros((n_groups, 1 + len(_FUNCTIONS) + 2 * len(self.current)))
        #: Number of steps by group, and the entropy that they give to the surroundings.
        self.steps = np.zeros((n_groups, 2))
        #: Number of stretches by group and bin, and their entropy.
        self.histogram = np.zeros((2, n_groups, len(EDGE) - 1))

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        if first == 0:
            self._begin = self._previous = state[:, :1].copy()
            self._open = np.zeros((1 + len(self.current), len(state)))
        n_steps = state.shape[1] - (first == 0)
        added = np.empty((1 + len(self.current), len(state), n_steps))
        functions: list[Callable[[FloatArray, FloatArray], FloatArray]] = [self.chain.medium]
        functions += [partial(_current, one) for one in self.current]
        for index, function in enumerate(functions):
            if first > 0:
                added[index, :, :1] = function(self._previous, state[:, :1])
            added[index, :, int(first > 0) :] = function(state[:, :-1], state[:, 1:])
        np.add.at(self.steps, cells, np.stack([np.full(len(state), float(n_steps)), added[0].sum(axis=1)], axis=1))
        # Whole stretches end at these states of the piece, and after so many of its steps.
        end = np.arange(-first % self.stretch or self.stretch * (first == 0), state.shape[1], self.stretch)
        after = end + (first > 0)
        if len(end):
            whole = np.add.reduceat(added[..., : after[-1]], np.append(0, after[:-1]), axis=2)
            whole[..., 0] += self._open
            edges = np.concatenate([self._begin, state[:, end]], axis=1)
            whole[0] += self.chain.system(edges[:, :-1], edges[:, 1:])
            self._count(whole, cells)
            self._begin = edges[:, -1:]
            self._open = added[..., after[-1] :].sum(axis=2)
        else:
            self._open = self._open + added.sum(axis=2)
        self._previous = state[:, -1:].copy()
        if last:
            del self._begin, self._previous, self._open

    def _count(self, whole: FloatArray, cells: npt.NDArray[np.intp]) -> None:
        """Add whole stretches, (1 + n_currents, n, m), to the sums."""
        n = 1 + len(_FUNCTIONS)
        count_entropy(whole[0], cells, EDGE, self.sums[:, :n], self.histogram)
        if self.current:
            values = np.concatenate([whole[1:].sum(axis=2), (whole[1:] ** 2).sum(axis=2)])
            np.add.at(self.sums[:, n:], cells, values.T)

    def mean(self, function: str) -> Estimate:
        """Mean over stretches of a function of the entropy: a name in the table of this module."""
        index = 1 + _FUNCTIONS.index(function)
        return group_mean(self._mean_of(index), self.sums[:, 0])

    def _mean_of(self, index: int) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            result: FloatArray = self.sums[:, index] / self.sums[:, 0]
        return result

    def slope(self) -> Estimate:
        r"""Slope of :math:`\ln p(s)/p(-s)` over s, which the detailed theorem says is one.

        The most likely one, given the absolute values: an entropy of this size is positive with probability
        :math:`1/(1 + e^{-\beta|s|})`.
        """
        return jackknife_of_sums(most_likely_slope, np.moveaxis(self.histogram, 1, 0), self.sums[:, 0])

    def relative_variance(self, index: int) -> Estimate:
        r"""Variance over squared mean of a current in stretches of kept states.

        At least :math:`2/(e^S - 1)` with the mean entropy S of a stretch; see `stochbind.analysis.uncertainty`.

        Parameters
        ----------
        index : int
            Which of the currents.

        Returns
        -------
        Estimate
            Variance of the current over its squared mean.

        Raises
        ------
        TooFewSamplesError
            If fewer than eight groups hold a stretch.
        """
        column = 1 + len(_FUNCTIONS) + index

        def relative(part: FloatArray) -> FloatArray:
            result: FloatArray = part[:, 1] / part[:, 0] ** 2 - 1.0
            return result

        return jackknife_of_sums(relative, self.sums[:, [column, column + len(self.current)]], self.sums[:, 0])

    def result(self) -> Fluctuations:
        """All tests that the record decides.

        Raises
        ------
        TooFewSamplesError
            If fewer than eight groups hold a stretch: of fewer, rare paths are in one of them or in none.
        """
        chain, groups = self.chain, int((self.sums[:, 0] > 0).sum())
        if groups < passes.FEWEST_CELLS:
            raise TooFewSamplesError(
                f"The fluctuation theorems need {passes.FEWEST_CELLS} independent parts of a record, trajectories or "
                f"long stretches of them, but there are {groups}; run more trajectories, or longer."
            )
        tests: list[Check] = []
        notes: list[str] = []
        self._integral(tests, notes)
        self._detailed(tests, notes)
        exact = chain.mean(self.stretch)
        with np.errstate(divide="ignore", invalid="ignore"):
            medium = group_mean(self.steps[:, 1] / self.steps[:, 0] / chain.interval, self.steps[:, 0])
        tests += [
            Check("entropy of a stretch", self.mean("entropy"), exact),
            Check("entropy production of kept states", medium, chain.rate),
        ]
        n, count = int(self.sums[:, 0].sum()), self.histogram[0].sum(axis=0)
        return Fluctuations(tuple(tests), tuple(notes), self.stretch, self.stretch * chain.interval, exact, n, count)

    def _integral(self, tests: list[Check], notes: list[str]) -> None:
        square = self.chain.generating_function(2.0, self.stretch)[-1]
        if not math.isfinite(square):
            notes.append(
                "The integral fluctuation theorem is left out: the mean square of exp(-entropy) is infinite even along "
                f"{self.stretch} steps, so that its average has no error bar; keep states more often."
            )
            return
        columns = [1 + _FUNCTIONS.index(name) for name in ("exponential", "exponential square")]
        n, first, second = self.sums[:, [0, *columns]].sum(axis=0)
        effective = first**2 / second
        if effective < _FEWEST:
            notes.append(
                f"The integral fluctuation theorem is undetermined: {effective:.3g} of {n:.0f} stretches decide the "
                f"average of exp(-entropy), where {n / square:.3g} should; run longer, unless other tests fail too."
            )
            return
        tests.append(Check("integral fluctuation theorem", self.mean("exponential"), 1.0))

    def _detailed(self, tests: list[Check], notes: list[str]) -> None:
        n = float(self.sums[:, 0].sum())
        backwards = float(self.histogram[0, :, : len(EDGE) // 2].sum())
        if min(backwards, n - backwards) < _FEWEST:
            notes.append(
                f"The detailed fluctuation theorem is undetermined: {backwards:.0f} of {n:.0f} stretches produced "
                "negative entropy; run longer, or keep states more often."
            )
            return
        tests += [
            Check("detailed fluctuation theorem, sign", self.mean("sign"), 0.0),
            Check("detailed fluctuation theorem, weighted", self.mean("weighted"), 0.0),
        ]
        try:
            tests.append(Check("slope of ln p(s)/p(-s)", self.slope(), 1.0))
        except TooFewSamplesError as error:
            notes.append(f"The slope of ln p(s)/p(-s) is left out: {error}")


def _current(current: currents.Current, before: FloatArray, after: FloatArray) -> FloatArray:
    """What a current adds up to in steps between two states, (n, t)."""
    rows, columns = np.nonzero(current.circulation)
    weight = 0.5 * current.circulation[rows, columns]
    middle, change = before + after, after - before
    result: FloatArray = np.einsum("p,ntp,ntp->nt", weight, middle[..., rows], change[..., columns])
    return result


def fluctuation_tests(dataset: xr.Dataset, equations: Langevin, *, start: int = 0) -> Fluctuations:
    """Test a record against the fluctuation theorems of its equations.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position`, and `velocity` unless overdamped, in SI, from a state on that should be steady.
    equations : Langevin
        What it should obey, without drives.
    start : int
        First state of the window.

    Returns
    -------
    Fluctuations
        The tests.

    Raises
    ------
    ScenarioError, NoiseError, UnstableError
        If the equations do not tell the entropy of a path; see `SampledChain`.
    TooFewSamplesError
        If there are fewer than two trajectories or states, or there is nothing to test; see `choose_stretch`.
    """
    cells = passes.independent_cells(dataset, equations, start=start)
    time = dataset["time"]
    chain = SampledChain(equations, float(time[1] - time[0]))
    stretch = choose_stretch(chain, int(cells.edge[-1]) - 1)
    one = EntropyPass(chain, cells.n_groups, stretch)
    passes.read(dataset, equations, [one], start=start, cells=cells)
    return one.result()


def jackknife_of_sums(function: Callable[[FloatArray], FloatArray], sums: FloatArray, count: FloatArray) -> Estimate:
    """Estimate of a smooth function of averages, from sums over groups; see `stochbind.analysis.statistics.jackknife`.

    Parameters
    ----------
    function : callable
        From averages of shape (n, ...) to values (n, ...).
    sums : (n_groups, ...) float
        Sums of each group.
    count : (n_groups,) float
        What was added up in each; groups without any are left out.

    Returns
    -------
    Estimate
        The value of all groups together.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than eight groups.
    """
    kept = count > 0
    number = count[kept]
    average: FloatArray = sums[kept] / number.reshape(-1, *[1] * (sums.ndim - 1))
    return jackknife(function, average, weight=number / number.sum())
