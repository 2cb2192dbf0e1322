r"""Error bars of what bends: quantities near an extremum, such as information between particles that hardly interact.

Mutual information, transfer entropy and information flow are quadratic in small correlations. Near zero, the jackknife
sees no slope, and calls a value exact that is small by chance. With :math:`\delta` the noise of the moments, V its
covariance and H the second derivatives of the function, noise alone moves the value by :math:`\tfrac12 \delta^T H
\delta`, whose variance is :math:`q^2/2` with :math:`q^2 = \mathrm{tr}(HV)^2`. With j the error bar of the jackknife,

.. math:: s = \sqrt{j^2 + jq + q^2}

is long enough wherever the truth is: intervals of two of them hold it in 95 % or more of all records, and hardly ever
is it beyond five. Where the slope tells all, q is small beside j and s is j. At zero itself they are longer than they
need be, as no symmetric interval is right both there and beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stochbind.analysis.statistics import Estimate, Record
from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError

#: Groups, and how many others each is paired with for the second derivatives.
_GROUPS, _PARTNERS = 32, 3


def widened(stderr: FloatArray, chance: FloatArray) -> FloatArray:
    """Standard errors s of the module, from those of the jackknife and q."""
    result: FloatArray = np.sqrt(stderr**2 + stderr * chance + chance**2)
    return result


def curved_estimate(record: Record, function: Callable[[FloatArray], FloatArray]) -> Estimate:
    r"""Estimate of a smooth function of the second moments that may have no slope where they are.

    With :math:`w_g \Delta_g` what group g adds to the mean of all, the differences :math:`f(\bar x - w_g \Delta_g) -
    f(\bar x)` give the bias of first order, which is taken off, and the error bar of the jackknife; and the mixed
    second differences of pairs of groups give q: they are free of slopes, and their squares, as the groups are
    independent, of bias.

    Parameters
    ----------
    record : Record
        Second moments, group by group.
    function : callable
        From second moments (d, d) to values (n,).

    Returns
    -------
    Estimate
        (n,), with the error bars of the module.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two groups.
    """
    groups = record.regrouped(_GROUPS)
    n = groups.n_groups
    if n < 2:
        raise TooFewSamplesError("Error bars need at least 2 independent parts of a record, but there is 1; run more.")
    mean = np.tensordot(groups.weight, groups.second, 1)
    part = groups.weight[:, None, None] * (groups.second - mean)

    value = np.asarray(function(mean), dtype=np.float64)
    without = np.array([function(mean - one) for one in part]) - value
    bias = without.sum(axis=0) * (n / (n - 1))
    stderr = np.sqrt(((without - without.mean(axis=0)) ** 2).sum(axis=0) * (n / (n - 1)))
    mixed = [
        function(mean - part[g] - part[(g + shift) % n]) - value - without[g] - without[(g + shift) % n]
        for shift in range(1, min(_PARTNERS, n - 1) + 1)
        for g in range(n)
    ]
    chance = n * np.sqrt(np.mean(np.square(mixed), axis=0))
    return Estimate(value - bias, widened(stderr, chance), float(n))
