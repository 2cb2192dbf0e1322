"""Confidence intervals: of estimates, and of nonlinear functions of means by resampling independent cells.

Cells are groups of trajectories in blocks of time (`stochbind.analysis.passes.independent_cells`); to draw them anew,
with replacement, is a block bootstrap. Means and smooth functions of them are served by `interval`, of an estimate of
`stochbind.analysis.statistics.weighted_mean` or `stochbind.analysis.statistics.jackknife`: with Student's t it covers
the truth as often as it says. `bootstrap` is for functions that bend within their error bar, whose intervals are not
symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from stochbind import checks
from stochbind.analysis.passes import FEWEST_CELLS
from stochbind.analysis.statistics import Estimate, jackknife
from stochbind.checks import FloatArray
from stochbind.errors import PlanError


class Interval(NamedTuple):
    """Confidence interval.

    Attributes
    ----------
    low, high : (...) float
        Limits.
    """

    low: FloatArray
    high: FloatArray


def interval(estimate: Estimate, level: float = 0.95) -> Interval:
    """Confidence interval of an estimate, by Student's t with ``n_eff - 1`` degrees of freedom.

    Parameters
    ----------
    estimate : Estimate
        Of a mean, or of a smooth function of means.
    level : float
        Probability that the interval holds the truth.

    Returns
    -------
    Interval
        Symmetric about the value.

    Raises
    ------
    PlanError
        If the level is not between 0 and 1.
    """
    half = special.stdtrit(estimate.n_eff - 1.0, 0.5 * (1.0 + _checked(level))) * estimate.stderr
    return Interval(np.asarray(estimate.value - half), np.asarray(estimate.value + half))


def bootstrap(
    function: Callable[..., FloatArray],
    *samples: FloatArray,
    weight: FloatArray,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    r"""Confidence interval of a function of means of independent cells, by drawing cells anew.

    The limits are quantiles of the function over the resamples. For n cells they are those at
    :math:`\Phi(\pm \sqrt{n / (n - 1)}\, t)`, with Student's t of the level and :math:`n - 1` degrees of freedom:
    without, intervals of few cells are too short (Hesterberg, Am. Stat. 69, 371 (2015)). Quantiles stay sound where a
    ratio has an uncertain denominator, for which the jackknife, and corrections made with it, say too little.

    Parameters
    ----------
    function : callable
        As for `stochbind.analysis.statistics.jackknife`.
    *samples : (n_cells, ...) float
        Cell means.
    weight : (n_cells,) float
        Shares, which add up to one.
    level : float
        Probability that the interval holds the truth.
    n_resamples : int
        Number of resamples.
    seed : int
        Of the random numbers.

    Returns
    -------
    Interval
        For each element of the function's result.

    Raises
    ------
    PlanError
        If the level is not between 0 and 1, or a number of resamples or a seed is impossible.
    TooFewSamplesError
        If there are fewer than eight cells; carries the estimate of the jackknife.
    """
    level = _checked(level)
    checks.integer("n_resamples", n_resamples, minimum=100, error=PlanError)
    random = np.random.default_rng(checks.integer("seed", seed, minimum=0, error=PlanError))
    if len(weight) < FEWEST_CELLS:
        jackknife(function, *samples, weight=weight)
    n = len(weight)
    drawn = random.multinomial(n, np.full(n, 1.0 / n), size=n_resamples) * weight
    drawn /= drawn.sum(axis=1, keepdims=True)
    spread = np.asarray(function(*(np.tensordot(drawn, sample, 1) for sample in samples)))
    below = special.ndtr(math.sqrt(n / (n - 1.0)) * special.stdtrit(n - 1.0, 0.5 * (1.0 - level)))
    low, high = np.quantile(spread, [below, 1.0 - below], axis=0)
    return Interval(low, high)


def _checked(level: float) -> float:
    given = float(checks.array("level", level, (), error=PlanError))
    if not 0.0 < given < 1.0:
        raise PlanError(f"`level` must be between 0 and 1, but is {given:g}; 0.95 is usual.")
    return given
