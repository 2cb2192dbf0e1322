r"""Thermodynamic uncertainty relations: what the precision of a current costs.

For a current J over a time t, such as work, and the entropy production rate :math:`\sigma`, the product

.. math:: P = \frac{\mathrm{var}(J)}{\langle J \rangle^2}\,\sigma t

is at least two in any overdamped steady state, for any t (Barato and Seifert, Phys. Rev. Lett. 114, 158101 (2015);
Horowitz and Gingrich, Phys. Rev. E 96, 020103(R) (2017)). Underdamped motion may fall below, and no verdict is given.
What binds both is the detailed fluctuation theorem (Hasegawa and Van Vu, Phys. Rev. Lett. 123, 110602 (2019)): if J
changes sign when the path is reversed, and :math:`S = \sigma t + R` is the mean entropy production of the path, with
R from the reversal of velocities (`SampledChain.reversal`), then

.. math:: \frac{\mathrm{var}(J)}{\langle J \rangle^2} \ge \frac{2}{e^S - 1}.

It is weak over long times, and stays true when only kept states are seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import linalg

from stochbind import checks
from stochbind.analysis import entropy
from stochbind.analysis.currents import Current, mean_rate, steady_covariance, variance_rate, window_variance
from stochbind.analysis.fluctuations import jackknife_of_sums
from stochbind.analysis.ledgers import window_gains
from stochbind.analysis.online import require_statistic
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.stochastic_entropy import parity
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

#: A current whose mean is below this part of its standard deviation over the slowest decay time flows by round-off.
_NOTHING = 1e-9
#: A product is told only if the mean current is this many standard errors from zero.
_SIGNIFICANT = 10.0
#: Least precision product of overdamped motion in a steady state.
OVERDAMPED_BOUND = 2.0


def reversal(equations: Langevin) -> float:
    r"""Divergence of the steady state from itself with all velocities flipped, in units of :math:`k_B`.

    :math:`\tfrac12(\mathrm{tr}\,\Sigma^{-1}\varepsilon\Sigma\varepsilon - d)`; zero overdamped and in equilibrium.
    """
    steady, sign = equations.stationary_covariance(), parity(equations)
    deviation = np.sqrt(np.diagonal(steady))
    correlation = steady / np.outer(deviation, deviation)
    flipped = sign[:, None] * correlation * sign[None, :]
    return max(0.0, 0.5 * (float(np.trace(linalg.solve(correlation, flipped, assume_a="pos"))) - len(sign)))


@dataclass(frozen=True)
class Precision:
    r"""Exact precision of a current, and what it costs.

    Attributes
    ----------
    current : str
        Name of the current.
    duration : float
        Time over which it is added up [s].
    mean : float
        Mean per time [`unit` per second].
    variance : float
        Variance over this time, per time [square of the unit per second].
    long_variance : float
        The same over long times.
    entropy_rate : float
        Entropy production rate of the whole array [1/s], in units of Boltzmann's constant.
    product : float
        :math:`P = \mathrm{var}\,\sigma t/\langle J\rangle^2`; infinite where nothing flows.
    long_product : float
        The same over long times.
    bound : float
        Two, overdamped; NaN underdamped, where there is none.
    relative_variance : float
        :math:`\mathrm{var}(J)/\langle J\rangle^2`.
    finite_bound : float
        :math:`2/(e^S - 1)`, below which the relative variance cannot fall if the current is odd, as work is.
    """

    current: str
    duration: float
    mean: float
    variance: float
    long_variance: float
    entropy_rate: float
    product: float
    long_product: float
    bound: float
    relative_variance: float
    finite_bound: float


def exact_precision(array: Oscillators, current: Current, duration: float) -> Precision:
    """Exact precision of a current in the steady state, and its bounds.

    Parameters
    ----------
    array : Oscillators
        Linear and stable, with noise on every particle.
    current : Current
        Such as `currents.work_current`.
    duration : float
        Time over which it is added up [s].

    Returns
    -------
    Precision
        The numbers.

    Raises
    ------
    NoiseError
        If the noise is degenerate: then the entropy production is infinite.
    PlanError
        If the duration is not positive.
    UnstableError
        If there is no steady state.
    """
    _require_positive(duration)
    equations = array.langevin()
    steady = steady_covariance(equations)
    rate = float(entropy.medium(array, steady).sum())
    mean = float(mean_rate(equations, current, steady))
    long_variance = variance_rate(equations, current)
    variance = window_variance(equations, current, duration) / duration
    # What round-off leaves of a mean: compared with the current in one decay time.
    slowest = -equations.stability.growth_rate
    flows = mean**2 > _NOTHING**2 * long_variance * slowest
    total = rate * duration + reversal(equations)
    return Precision(
        current=current.name,
        duration=duration,
        mean=mean,
        variance=variance,
        long_variance=long_variance,
        entropy_rate=rate,
        product=variance * rate / mean**2 if flows else math.inf,
        long_product=long_variance * rate / mean**2 if flows else math.inf,
        bound=OVERDAMPED_BOUND if array.overdamped else math.nan,
        relative_variance=variance / (mean**2 * duration) if flows else math.inf,
        finite_bound=finite_time_bound(total),
    )


def finite_time_bound(total: float) -> float:
    r"""Least relative variance :math:`2/(e^S - 1)` of an odd current along paths that produce S [k_B] on average."""
    return math.inf if total <= 0.0 else 2.0 / math.expm1(min(total, 700.0))


@dataclass(frozen=True, eq=False)
class FoundPrecision:
    """Precision of a current in a record, with error bars; see `Precision` for the exact values beside them.

    Attributes
    ----------
    duration : float
        Length of the windows [s].
    n_windows : int
        Number of windows.
    mean : Estimate
        Current [W].
    variance : Estimate
        Variance over a window, per time [J^2/s].
    relative_variance : Estimate
        Variance over the squared mean, of windows.
    product : Estimate
        Times the exact entropy production of a window.
    """

    duration: float
    n_windows: int
    mean: Estimate
    variance: Estimate
    relative_variance: Estimate
    product: Estimate


def found_precision(
    dataset: xr.Dataset,
    array: Oscillators,
    receiver: int,
    sender: int | None = None,
    *,
    start: float = 0.0,
    window: int | None = None,
) -> FoundPrecision:
    """Precision of work or heat in a run that kept it: in the ledger of a record, or in the statistic "currents".

    Overdamped, sums along the path miss what positions do within a step of the solver: their variance is too small by
    about the step over the shorter of the window and the decay times.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `work` or `heat` along trajectories; or else with the statistic "currents", whose windows are taken.
    array : Oscillators
        The array, for the exact entropy production rate.
    receiver : int
        Oscillator that receives.
    sender : int, optional
        Oscillator whose force works on it; without one, the heat from bath and recoil is meant.
    start : float
        First time [s], from which on the state should be steady.
    window : int, optional
        Number of intervals between kept states in a window, for a ledger; by default about 20 decay times, and at
        least eight windows.

    Returns
    -------
    FoundPrecision
        The numbers; `exact_precision` over the same duration is what they should be.

    Raises
    ------
    PlanError
        If the run kept neither, or the index of an oscillator is wrong.
    IncompleteError
        If parts of the ledger were never computed.
    NoiseError
        If the noise is degenerate.
    TooFewSamplesError
        If there are fewer than eight groups of windows, or too few to tell the mean from zero.
    """
    for name, index in (("receiver", receiver), ("sender", 0 if sender is None else sender)):
        checks.integer(name, index, minimum=0, maximum=array.n_oscillators - 1, error=PlanError)
    where = (receiver,) if sender is None else (receiver, sender)
    name = "heat" if sender is None else "work"
    equations = array.langevin()
    rate = float(entropy.medium(array, steady_covariance(equations)).sum())
    if name in dataset:
        cells, duration = window_gains(dataset, name, where, start, window, -equations.stability.growth_rate)
        sums = np.array([(cell.size, cell.sum(), (cell**2).sum()) for cell in cells], dtype=np.float64)
    else:
        sums, duration = _window_sums(dataset, name, where, start)
    n_windows = int(sums[:, 0].sum())
    if n_windows < 2:
        raise TooFewSamplesError(f"The variance of a current needs at least 2 windows, but there is {n_windows}.")

    def moments(part: FloatArray) -> FloatArray:
        mean = part[:, 0]
        variance = part[:, 1] - mean**2  # the jackknife takes off the bias of a sample
        relative = variance / mean**2
        return np.stack([mean / duration, variance / duration, relative, relative * rate * duration], axis=1)

    with np.errstate(divide="ignore", invalid="ignore"):
        both = jackknife_of_sums(moments, sums[:, 1:], sums[:, 0])
    mean, variance, relative, product = (
        Estimate(both.value[i], both.stderr[i], both.n_eff) for i in range(len(both.value))
    )
    if not abs(mean.value) > _SIGNIFICANT * mean.stderr:
        raise TooFewSamplesError(
            f"The precision of the current is undetermined: its mean, {float(mean.value):.4g}, has a standard error of "
            f"{float(mean.stderr):.2g}, and must be {_SIGNIFICANT:.0f} of them from zero; run longer."
        )
    return FoundPrecision(duration, n_windows, mean, variance, relative, product)


def _window_sums(dataset: xr.Dataset, name: str, where: tuple[int, ...], start: float) -> tuple[FloatArray, float]:
    """The same from the statistic "currents"."""
    require_statistic(dataset, "current_count", "currents")
    if f"current_{name}_square" not in dataset:
        raise PlanError(f"The run did not keep the squares of the {name} in windows.")
    begin, end = dataset["currents_start"].to_numpy(), dataset["currents_stop"].to_numpy()
    length = end - begin
    # The last window may be shorter: its variance is another one.
    used = np.flatnonzero((begin >= start * (1.0 - 1e-9)) & (np.abs(length - length[0]) <= 1e-6 * length[0]))
    if not len(used):
        raise TooFewSamplesError(f"No window of the currents begins at {start:.6g} or later; begin earlier.")
    duration = float(length[0])
    count = np.nan_to_num(dataset["current_count"].isel(currents_window=used).to_numpy())
    total = [count]
    for power, label in ((1, name), (2, f"{name}_square")):
        sample = dataset[f"current_{label}"].isel(currents_window=used)
        for dim, index in zip(sample.dims[2:], where, strict=True):
            sample = sample.isel({dim: index})
        total.append(np.nan_to_num(sample.to_numpy()) * count * duration**power)
    return np.stack([part.sum(axis=0) for part in total], axis=1), duration


def _require_positive(duration: float) -> None:
    if not (math.isfinite(duration) and duration > 0):
        raise PlanError(f"`duration` must be positive, but is {duration}.")
