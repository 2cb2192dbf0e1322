"""What fluctuation theorems tell of a record: checks, and the histogram of the entropy that stretches produce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stochbind.analysis.statistics import Estimate
from stochbind.checks import FloatArray

#: Edges of the histogram of entropy, in units of Boltzmann's constant; the outer bins reach to infinity.
EDGE = np.linspace(-10.0, 10.0, 201)


class Check(NamedTuple):
    """One check of a simulation.

    Attributes
    ----------
    name : str
        What is checked.
    estimate : Estimate
        Value of the record.
    exact : float
        What it is if the record obeys the equations.
    """

    name: str
    estimate: Estimate
    exact: float


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """Fluctuation theorems of a record.

    Attributes
    ----------
    tests : tuple of Check
        "integral fluctuation theorem" (exact value 1), "detailed fluctuation theorem, sign" and ", weighted" (0),
        "slope of ln p(s)/p(-s)" (1), "entropy of a stretch" [k_B] and "entropy production of kept states" [1/s]; those
        that the record decides.
    notes : tuple of str
        What it does not decide, and why.
    stretch : int
        Number of steps in a stretch.
    duration : float
        Its length [s].
    mean_entropy : float
        Exact mean entropy produced in a stretch, in units of Boltzmann's constant.
    n_stretches : int
        Number of stretches.
    count : (n_bins,) float
        Stretches with their entropy in each bin of `EDGE`.
    """

    tests: tuple[Check, ...]
    notes: tuple[str, ...]
    stretch: int
    duration: float
    mean_entropy: float
    n_stretches: int
    count: FloatArray

    @property
    def logarithmic_ratio(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        r""":math:`\ln p(s)/p(-s)` by bins, for a figure: s, the value, and its standard error.

        The error is that of independent stretches. Only bins that are not empty on either side; the outermost, which
        reach to infinity, are left out.
        """
        half = len(self.count) // 2
        forward, backward = self.count[half:-1], self.count[1:half][::-1]
        kept = (forward > 0) & (backward > 0)
        place = 0.5 * (EDGE[half:-2] + EDGE[half + 1 : -1])[kept]
        forward, backward = forward[kept], backward[kept]
        return place, np.log(forward / backward), np.sqrt(1.0 / forward + 1.0 / backward)


def most_likely_slope(histogram: FloatArray) -> FloatArray:
    r"""Most likely slope of :math:`\ln p(s)/p(-s)` over s, from histograms.

    An entropy of size :math:`|s|` is positive with probability :math:`1/(1 + e^{-\beta|s|})`, with :math:`\beta` the
    slope: it is the root of :math:`\sum |s|\,[\mathrm{sign}(s) - \tanh(\beta|s|/2)]`.

    Parameters
    ----------
    histogram : (n, 2, n_bins) float
        Counts in the bins of `EDGE`, and sums of the entropy in them, up to a common factor.

    Returns
    -------
    (n,) float
        Slopes; meaningless if all entropies have one sign.
    """
    half = histogram.shape[-1] // 2
    folded = histogram[..., half:], histogram[..., :half][..., ::-1]
    number = folded[0][:, 0] + folded[1][:, 0]
    surplus = folded[0][:, 0] - folded[1][:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(number > 0, (folded[0][:, 1] - folded[1][:, 1]) / number, 0.0)
    slope = np.zeros(len(histogram))
    # From zero on, Newton's steps never pass the root: the score is convex up to it.
    for _ in range(60):
        angle = np.tanh(0.5 * slope[:, None] * size)
        score = (size * (surplus - number * angle)).sum(axis=1)
        curvature = (0.5 * size**2 * number * (1.0 - angle**2)).sum(axis=1)
        change = score / np.maximum(curvature, 1e-300)
        slope = slope + change
        if np.abs(change).max() <= 1e-12 * np.abs(slope).max():
            break
    return slope
