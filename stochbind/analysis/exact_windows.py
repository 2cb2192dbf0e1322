"""What statistics of windows are on average, exactly: sums over windows, spectra of tapered windows, shares of bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from stochbind.analysis.exact_sums import augmented_moment, augmented_step, equal_steps, sum_of_moments, walked_sums
from stochbind.analysis.statistics import Record
from stochbind.checks import ComplexArray, FloatArray
from stochbind.langevin import Langevin, Moments
from stochbind.protocols import Protocol


def exact_record_of_windows(
    system: Langevin | Protocol, initial: Moments, *, first_time: float, interval: float, window: int, n_states: int
) -> Record:
    r"""What `stochbind.analysis.online.record_of_moments` gives on average, exactly; stable or not.

    As `stochbind.analysis.statistics.exact_record`, but only pairs within windows of :math:`W` states count. With the
    moments :math:`M_k` of kept state k, :math:`M_{k+1} = E M_k E^T + S`, the sum over all windows is one window that
    begins with the sum of all first moments:

    .. math:: \sum_w M_{wW+j} = E^j F E^{jT} + n S_j, \qquad F = \sum_{w<n} M_{wW},

    and F is itself such a sum, with the step :math:`E^W`. So the cost grows with the logarithm of the number of states;
    but where equations change with time, and the interval is not a whole number of periods, with the number itself.

    Parameters
    ----------
    system : Langevin or Protocol
        The equations of motion, with all that changes them with time.
    initial : Moments
        State at time zero.
    first_time : float
        Time of the first state of the first window [s].
    interval : float
        Time between states [s].
    window : int
        Number of states in a window; the last one may hold fewer.
    n_states : int
        Number of states in all windows.

    Returns
    -------
    Record
        Of one group. If windows hold one state there are no pairs, and `before` and `lagged` are NaN.
    """
    protocol = system if isinstance(system, Protocol) else Protocol.constant(system)
    d = protocol.equations.dimension
    n_whole, rest = divmod(n_states, window)
    first = augmented_moment(protocol, initial, first_time)
    if equal_steps(protocol, interval):
        matrix, noise = augmented_step(protocol, interval)
        total, before = np.zeros_like(first), np.zeros_like(first)
        if n_whole:
            starts = sum_of_moments(*augmented_step(protocol, interval * window), first, n_whole)
            total += sum_of_moments(matrix, n_whole * noise, starts, window)
            before += sum_of_moments(matrix, n_whole * noise, starts, window - 1)
        if rest:
            start = augmented_moment(protocol, initial, first_time + interval * (n_whole * window))
            total += sum_of_moments(matrix, noise, start, rest)
            before += sum_of_moments(matrix, noise, start, rest - 1)
        lagged = matrix @ before
    else:
        total, before, lagged = walked_sums(
            protocol, initial, first_time=first_time, interval=interval, window=window, n_states=n_states
        )
    n_pairs = n_states - n_whole - (rest > 0)
    share = 1.0 / n_pairs if n_pairs else np.nan
    last = augmented_moment(protocol, initial, first_time + interval * (n_states - 1))
    return Record(
        second=total[None, :d, :d] / n_states,
        before=before[None, :d, :d] * share,
        lagged=lagged[None, :d, :d] * share,
        first_state=first[None, :d, :d],
        last_state=last[None, :d, :d],
        weight=np.ones(1),
        interval=interval,
        n_states=n_states,
    )


def steady_correlation(equations: Langevin, lag: npt.ArrayLike) -> FloatArray:
    r"""Exact two-time correlation of the steady state, :math:`\langle x_i(t+\tau) x_j(t) \rangle`, in SI.

    .. math:: C(\tau) = e^{A\tau} \Sigma + \mu \mu^T.

    Parameters
    ----------
    equations : Langevin
        With a steady state.
    lag : (n,) float
        :math:`\tau` [s], not negative.

    Returns
    -------
    (n, d, d) float
        C; the later coordinate first.

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    mean, covariance = equations.stationary
    matrix = np.array([equations.propagator(float(tau)).matrix for tau in np.atleast_1d(lag)])
    result: FloatArray = (matrix @ covariance + np.outer(mean, mean)) * np.outer(equations.unit, equations.unit)
    return result


def hann(window: int) -> FloatArray:
    """Hann taper of so many states, periodic: the one that spectra are estimated with."""
    result: FloatArray = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)
    return result


def steady_spectrum(equations: Langevin, interval: float, window: int) -> tuple[FloatArray, ComplexArray]:
    r"""Exact mean of the one-sided cross-spectra of windows of the steady state, in SI.

    Of the estimate :math:`S_{ij}(f) = 2\,\Delta t\, \langle X_i X_j^* \rangle / \sum_n w_n^2`, with
    :math:`X_i(f) = \sum_n w_n x_i(n) e^{-2\pi i f n \Delta t}` and the Hann taper w; the factor two is missing at zero
    and at the highest frequency. A window is of finite length, and its mean spectrum is not that of the process:

    .. math:: \langle X_i X_j^* \rangle = \sum_{l=1-W}^{W-1} a_l\, C_{ij}(l \Delta t)\, e^{-2\pi i f l \Delta t},
              \qquad a_l = \sum_m w_{m+l} w_m,

    where :math:`C_{ij}(-\tau) = C_{ji}(\tau)`; see `steady_correlation`. No line is too narrow for this.

    Parameters
    ----------
    equations : Langevin
        With a steady state.
    interval : float
        Time between states :math:`\Delta t` [s].
    window : int
        Number of states W, even.

    Returns
    -------
    frequency : (W/2 + 1,) float
        f [Hz], or cycles per unit of time.
    spectrum : (W/2 + 1, d, d) complex
        S, whose diagonal adds up to the mean squares of the coordinates, ``S.sum(axis=0) * f[1]``.

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    mean, correlation = equations.stationary
    step = equations.propagator(interval).matrix
    taper = hann(window)
    overlap = np.fft.irfft(np.abs(np.fft.rfft(taper, 2 * window)) ** 2, 2 * window)[:window]
    overlap[0] *= 0.5  # the lag of zero is counted from both sides
    weighted = np.empty((window, *correlation.shape))
    for lag in range(window):
        weighted[lag] = overlap[lag] * (correlation + np.outer(mean, mean))
        correlation = step @ correlation
    half = np.fft.rfft(weighted, axis=0)
    # Lags of the other sign: C(-tau) is the transpose of C(tau), and the phase is conjugated.
    product = half + np.conj(np.swapaxes(half, 1, 2))
    product[1:-1] *= 2.0
    scale = interval / (taper**2).sum() * np.outer(equations.unit, equations.unit)
    frequency: FloatArray = np.arange(window // 2 + 1) / (window * interval)
    return frequency, product * scale


def normal_shares(edge: FloatArray, mean: FloatArray | float, deviation: FloatArray | float) -> FloatArray:
    """Exact shares of normal deviates below the first edge, between edges, and above the last one.

    Parameters
    ----------
    edge : (..., n) float
        Edges, increasing.
    mean, deviation : (...) float
        Of the normal law; a deviation of zero is a point.

    Returns
    -------
    (..., n + 1) float
        Shares, which add up to one.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (edge - np.asarray(mean)[..., None]) / np.asarray(deviation)[..., None]
    below = special.ndtr(np.nan_to_num(distance, nan=0.0))
    one = np.ones_like(below[..., :1])
    result: FloatArray = np.diff(below, axis=-1, prepend=0.0 * one, append=one)
    return result
