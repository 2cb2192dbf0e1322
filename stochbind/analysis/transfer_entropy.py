r"""Gaussian transfer entropy of sampled states: found in records, and exact for the same history.

The transfer entropy from k to j is what the past of k adds to the forecast of j that the past of j gives already,

.. math:: T_{jk} = \tfrac12 \ln \frac{|\mathrm{Cov}(x_j(t) \mid x_j^-)|}{|\mathrm{Cov}(x_j(t) \mid x_j^-, x_k^-)|},

in nats per kept state, where :math:`x^-` are the p states kept before. A party is a group of oscillators, with
all their coordinates. ``te[j, k]`` is **from k to j**. Schreiber, Phys. Rev. Lett. 85, 461 (2000); Barnett, Barrett
and Seth, Phys. Rev. Lett. 103, 238701 (2009), for normal laws, where it is half of Granger's causality. For the whole
past, and for continuous time, see `stochbind.analysis.information`.

It depends on how often states are kept and on how many of them count as the past; nothing but a value for the same
interval and history may be compared with a found one. It is a property of the joint law of the states, hence of the
noise as much as of the couplings: a weak coupling from a noisy particle may carry more than a strong one from a quiet
one. In equilibrium it is neither zero nor, between unlike particles, the same in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import special

from stochbind import checks
from stochbind.analysis import passes
from stochbind.analysis.curved import widened
from stochbind.analysis.embedding import Design, Embedding, Group
from stochbind.analysis.statistics import Estimate
from stochbind.analysis.transfer import jackknife
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

#: The asymmetry is told where the sum of both directions is so many standard errors from zero.
_SIGNIFICANT = 5.0


@dataclass(frozen=True, eq=False)
class TransferEntropy:
    r"""Transfer entropies between all parties of a record; of each array element [j, k] is **from k to j**.

    Attributes
    ----------
    per_sample : Estimate
        Without the bias [nats per kept state], (n, n), zero diagonal. Below zero where there is nothing but noise.
        Error bars are those of `stochbind.analysis.curved`, with :math:`q = \sqrt{\nu}/N`.
    bias : (n, n) float
        What was taken off, :math:`\nu/2N` with :math:`\nu = d_j d_k p`: if nothing goes from k to j, 2N times the plain
        estimate has the law of chi-square with :math:`\nu` degrees of freedom, provided that what is left over by the
        past is white.
    surrogate_mean, surrogate_deviation : (n, n) float
        Mean and standard deviation of the same estimate, without the bias, for surrogates; NaN without them.
    p_value : (n, n) float
        Share of surrogates, the record counted as one of them, with at least the transfer entropy of the record.
    p_value_chi_square : (n, n) float
        The same by the chi-square law.
    asymmetry : Estimate
        :math:`(T_{jk} - T_{kj})/(T_{jk} + T_{kj})`, (n, n): positive where more goes from k to j than back, and
        one, but for noise, where nothing comes back. NaN where the sum is less than five standard errors from zero.
    interval : float
        Time between kept states [s].
    n_samples : float
        Number N of forecasts.
    n_history : int
        Number p of states that count as the past.
    """

    per_sample: Estimate
    bias: FloatArray
    surrogate_mean: FloatArray
    surrogate_deviation: FloatArray
    p_value: FloatArray
    p_value_chi_square: FloatArray
    asymmetry: Estimate
    interval: float
    n_samples: float
    n_history: int

    @property
    def per_second(self) -> Estimate:
        """Transfer entropy per interval over the interval [nats/s], (n, n)."""
        one = self.per_sample
        return Estimate(one.value / self.interval, one.stderr / self.interval, one.n_eff)


def entropies_of(found: Embedding, interval: float) -> TransferEntropy:
    """Transfer entropies of what one reading of a record has added up.

    Parameters
    ----------
    found : Embedding
        The sums.
    interval : float
        Time between kept states [s].

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two cells or too few states, or histories are collinear.
    """
    design, size = found.design, found.design.size
    n_samples = float(found.sums[:, 0, 0].sum())
    if n_samples < 4 * found.width:
        raise TooFewSamplesError(
            f"Transfer entropy with a history of {design.n_history} needs at least {4 * found.width} states, but the "
            f"record has {n_samples:.0f}; keep more, or use a shorter history."
        )
    length = np.array([len(party) for party in design.parties], dtype=np.float64)
    freedom = np.outer(length, length) * design.n_history * (1.0 - np.eye(size))
    bias = freedom / (2.0 * n_samples)

    def corrected(sums: FloatArray) -> FloatArray:
        return np.asarray(found.entropies(sums) - freedom / (2.0 * sums[..., :1, :1]))

    plain, replicate = jackknife(found.sums, corrected)
    # What is left over by the past is white: each of the coefficients is known to 1/N.
    value = Estimate(plain.value, widened(plain.stderr, np.sqrt(freedom) / n_samples), plain.n_eff)
    mean, deviation, rank = (np.full((size, size), np.nan) for _ in range(3))
    if found.n_surrogates:
        each = corrected(found.surrogates).reshape(found.n_surrogates, found.per_surrogate, size, size)
        # Given all others, each sender has surrogates of its own.
        surrogate = np.einsum("rkjk->rjk", each) if design.conditional else each[:, 0]
        mean, deviation = surrogate.mean(axis=0), surrogate.std(axis=0)
        rank = (1.0 + (surrogate >= value.value).sum(axis=0)) / (1.0 + found.n_surrogates)
    chance = special.gammaincc(0.5 * freedom, np.clip(n_samples * (value.value + bias), 0.0, None))
    return TransferEntropy(
        per_sample=value,
        bias=bias,
        surrogate_mean=mean,
        surrogate_deviation=deviation,
        p_value=rank,
        p_value_chi_square=chance,
        asymmetry=_asymmetry(plain, value, replicate),
        interval=interval,
        n_samples=n_samples,
        n_history=design.n_history,
    )


def _asymmetry(plain: Estimate, found: Estimate, replicate: FloatArray) -> Estimate:
    """Difference over sum of both directions; what was added to the error bars of either is passed on to it."""

    def contrast(value: FloatArray) -> FloatArray:
        other = np.swapaxes(value, -1, -2)
        return np.asarray(np.divide(value - other, value + other, out=np.zeros_like(value), where=value + other != 0))

    n = len(replicate)
    value, each = contrast(found.value), contrast(replicate)
    variance = (n - 1) / n * ((each - each.mean(axis=0)) ** 2).sum(axis=0)
    total = found.value + found.value.T
    told = total > _SIGNIFICANT * np.hypot(found.stderr, found.stderr.T)
    slope = np.divide(2.0 * found.value.T, total**2, out=np.full(total.shape, np.nan), where=told)
    added = slope**2 * (found.stderr**2 - plain.stderr**2)
    stderr = np.sqrt(variance + added + added.T)
    return Estimate(np.where(told, value, np.nan), np.where(told, stderr, np.nan), found.n_eff)


def found_transfer_entropy(
    dataset: xr.Dataset,
    array: Oscillators,
    *,
    start: int = 0,
    n_history: int = 1,
    parties: Sequence[Group] | None = None,
    conditional: bool = False,
    n_surrogates: int = 19,
    seed: int = 0,
) -> TransferEntropy:
    """Transfer entropies between the parties of a record, by linear regression; exact for normal laws.

    Parameters
    ----------
    dataset : xarray.Dataset
        A record, of dims (trajectory, time, particle[, axis]), in SI.
    array : Oscillators
        The array.
    start : int
        First state of the window.
    n_history : int
        Number of earlier states that count as the past.
    parties : sequence of sequences of int, optional
        Groups of oscillators; by default those of each particle. Those in no party are hidden.
    conditional : bool
        Whether to take the pasts of all other parties as known, so that what a party passes on from another is not its
        own.
    n_surrogates, seed : int
        See `stochbind.analysis.embedding.Embedding`.

    Returns
    -------
    TransferEntropy
        With error bars by the jackknife over groups of trajectories, or over stretches of time.

    Raises
    ------
    PlanError
        If the parties overlap, an oscillator does not exist, or a number is impossible.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are too few states or groups of them, or histories are collinear.
    """
    design = Design.of(array, parties, n_history, conditional=conditional)
    equations = array.langevin()
    cells = passes.independent_cells(dataset, equations, start=start)
    one = Embedding(design, cells.n_groups, n_surrogates=n_surrogates, seed=seed)
    reading = passes.read(dataset, equations, [one], start=start, cells=cells)
    return entropies_of(one, reading.interval)


def exact_transfer_entropy(
    array: Oscillators,
    interval: float,
    *,
    n_history: int = 1,
    parties: Sequence[Group] | None = None,
    conditional: bool = False,
) -> FloatArray:
    r"""Exact transfer entropies of the steady state, per kept state, with a history of so many states.

    What is hidden has the stationary covariance before the first state of the history. Each state of the history is
    seen without error, which conditions the covariance, :math:`P \to P - P_{\cdot s} P_{ss}^{-1} P_{s\cdot}`, and then
    the motion goes on, :math:`P \to E P E^T + S`. No nearly equal numbers are subtracted, however short the interval.

    Parameters
    ----------
    array : Oscillators
        A stable array.
    interval : float
        Time between kept states [s].
    n_history, parties, conditional
        As for `found_transfer_entropy`.

    Returns
    -------
    (n, n) float
        [nats per kept state], element [j, k] from k to j; zero diagonal.

    Raises
    ------
    PlanError
        If the parties overlap, an oscillator does not exist, or a number is impossible.
    NoiseError
        If a party moves without noise, so that its past tells all.
    UnstableError
        If there is no steady state.
    """
    design = Design.of(array, parties, n_history, conditional=conditional)
    equations = array.langevin()
    step = equations.propagator(
        float(checks.positive("interval", checks.array("interval", interval, ()), error=PlanError))
    )
    before = equations.stationary_covariance()

    def uncertainty(seen: Sequence[int], receiver: int) -> float:
        known = np.concatenate([design.parties[i] for i in seen])
        covariance = before
        for _ in range(n_history):
            covariance = step.matrix @ _conditioned(covariance, known) @ step.matrix.T + step.covariance
        target = design.parties[receiver]
        return _logarithm(covariance[np.ix_(target, target)])

    result = np.zeros((design.size, design.size))
    for j in range(design.size):
        for k in range(design.size):
            if j != k:
                known = [j, *design.known(j, k)]
                result[j, k] = max(0.0, 0.5 * (uncertainty(known, j) - uncertainty([*known, k], j)))
    return result


def _conditioned(covariance: FloatArray, seen: npt.NDArray[np.intp]) -> FloatArray:
    """Covariance given that some coordinates were seen without error."""
    block = covariance[np.ix_(seen, seen)]
    scale = np.sqrt(np.diagonal(block))
    if not (scale > 0).all():
        raise NoiseError("Transfer entropy needs noise on every party, but one moves without any; give it a bath.", 0.0)
    weight = np.linalg.solve(block / np.outer(scale, scale), covariance[seen] / scale[:, None]) / scale[:, None]
    result: FloatArray = covariance - covariance[:, seen] @ weight
    result[seen] = 0.0
    result[:, seen] = 0.0
    return 0.5 * (result + result.T)


def _logarithm(covariance: FloatArray) -> float:
    """Logarithm of a determinant."""
    sign, value = np.linalg.slogdet(covariance)
    if sign <= 0:
        raise NoiseError("Transfer entropy needs noise on every party, but one moves without any; give it a bath.", 0.0)
    return float(value)
