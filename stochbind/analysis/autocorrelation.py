r"""How long a series remembers: integrated autocorrelation times and effective sample sizes.

With the normalised autocorrelation :math:`\rho_k` of a stationary series, the mean of t samples has the variance
:math:`2 \tau \sigma^2 / t`, where :math:`\tau = \tfrac12 + \sum_{k \ge 1} \rho_k` is the integrated autocorrelation
time, in samples; so :math:`t / 2\tau` samples count as independent. The sum is cut where its terms are noise: at the
smallest lag W with :math:`W \ge 5 \max(\tau(W), 1)` (Madras and Sokal, J. Stat. Phys. 50, 109 (1988)). As the mean is
that of the samples, every term of n samples in all is too small by about :math:`2 \tau / n`; the factor
:math:`1 + (2 W + 1) / n` makes up for it (Wolff, Comput. Phys. Commun. 156, 143 (2004)).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError

#: The sum over lags ends at this many autocorrelation times.
_WINDOW = 5.0


def autocorrelation(series: FloatArray) -> FloatArray:
    """Normalised autocorrelation of stationary series of one law, about their common mean.

    Lag k is averaged over t - k pairs.

    Parameters
    ----------
    series : (n, t) float
        Samples in the order of time, of n independent series; or (t,) of one.

    Returns
    -------
    (t,) float
        Averaged over the series; one at lag zero. Of series that do not change, zero at all other lags.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two samples in a series.
    """
    series = checks.array("series", np.atleast_2d(series), ("n", "t"), error=TooFewSamplesError)
    t = series.shape[1]
    if t < 2:
        raise TooFewSamplesError(f"`series` must hold at least 2 samples in the order of time, but holds {t}.")
    deviation = series - series.mean()
    scale = float(np.abs(deviation).max())
    result: FloatArray = np.eye(1, t)[0]
    if scale == 0.0:
        return result
    power = np.abs(fft.rfft(deviation / scale, fft.next_fast_len(2 * t, real=True), axis=1)) ** 2
    total: FloatArray = fft.irfft(power.mean(axis=0), fft.next_fast_len(2 * t, real=True))[:t]
    result = total / total[0] * (t / np.arange(t, 0, -1))
    return result


def autocorrelation_time(series: FloatArray) -> float:
    """Integrated autocorrelation time of stationary series of one law.

    Parameters
    ----------
    series : (n, t) float
        Samples in the order of time, of n independent series; or (t,) of one.

    Returns
    -------
    float
        In samples: 1/2 for independent ones. Too short, if the series is shorter than about a hundred times this.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two samples in a series.
    """
    time = np.cumsum(autocorrelation(series)) - 0.5
    beyond = np.flatnonzero(np.arange(len(time)) >= _WINDOW * np.maximum(time, 1.0))
    window = int(beyond[0]) if len(beyond) else len(time) - 1
    return float(max(time[window] * (1.0 + (2 * window + 1) / np.size(series)), 0.0))


def effective_sample_size(series: FloatArray) -> float:
    """Number of independent samples that tell the mean as well as these; see `autocorrelation_time`.

    Parameters
    ----------
    series : (n, t) float
        Samples in the order of time, of n independent series; or (t,) of one.

    Returns
    -------
    float
        More than there are samples, if successive ones are anticorrelated.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two samples in a series.
    """
    size = np.size(series)
    return size / (2.0 * max(autocorrelation_time(series), 0.5 / size))
