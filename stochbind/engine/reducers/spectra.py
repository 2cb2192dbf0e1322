r"""Power spectral densities and cross-spectra, by Welch's method.

Of each window :math:`X_i(f) = \sum_t w_t x_i(t) e^{-2\pi i f t}` is taken with Hann's taper
:math:`w_t = \tfrac12(1 - \cos 2\pi t/W)`, and :math:`X_i X_j^*` is added up. The Fourier transform is our own: that of
a library gives other bits with other numbers of trajectories or on other processors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind import elementary
from stochbind.checks import FloatArray
from stochbind.compiling import compiled
from stochbind.engine.accounts import Ledger
from stochbind.engine.kernels import aligned
from stochbind.engine.reducers.base import Context, Reducer, ratio, variable
from stochbind.engine.reducers.trees import columns, fold, grouped, inlined, split
from stochbind.scenario.statistics import SpectrumStatistic

if TYPE_CHECKING:
    import xarray as xr

#: Trajectories that are taken at a time: their transforms stay in the cache.
_STRIP = 16


class Spectra(Reducer):
    r"""Sums of :math:`X_i X_j^*` at each frequency from zero to half the sampling rate.

    Entries: count of windows; then (frequency, 2, i, j), whose sum over the second index, times the window, is meant;
    see `stochbind.engine.reducers.trees`. It is real, and holds :math:`X_i X_i^*` on the diagonal and of each pair
    :math:`i < j` the real part of :math:`X_i X_j^*` at (i, j), and the imaginary part at (j, i).
    """

    def __init__(self, statistic: SpectrumStatistic, context: Context) -> None:
        super().__init__(context)
        self.name, self.window, self.start = statistic.name, statistic.window, statistic.start or 0
        self.n_frequencies = self.window // 2 + 1
        self.n_entries = 1 + 2 * self.n_frequencies * context.dimension**2
        turn = np.arange(self.window) / self.window
        self._cos, self._sin = elementary.cos_sin(2.0 * math.pi * turn)
        self.taper = 0.5 - 0.5 * self._cos
        self._place = _reversed_bits(self.window)

    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories; see `Reducer.sums`."""
        n = states.shape[-1]
        out, width = columns(self.n_entries, n, group, _STRIP)
        _add_up(states, self.taper, self._cos, self._sin, self._place, taking, width, out)
        return grouped(out, n, group, width)

    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates; see `Reducer.describe`."""
        c = self.context
        d = c.dimension
        count = data[0, :, 0]
        sums = self.window * data[0, :, 1:].reshape(-1, self.n_frequencies, 2, d, d).sum(axis=2)
        upper, lower = np.triu(sums, 1), np.swapaxes(np.tril(sums, -1), -1, -2)
        half = upper + 1j * lower
        spectrum = half + np.conj(np.swapaxes(half, -1, -2))
        i = np.arange(d)
        spectrum[..., i, i] = sums[..., i, i]
        # One-sided: what stands at negative frequencies is counted with the positive ones.
        sides = np.full(self.n_frequencies, 2.0)
        sides[[0, -1]] = 1.0
        density = spectrum * np.outer(c.unit, c.unit) * (c.interval / np.sum(self.taper**2)) * sides[:, None, None]
        frequency = np.arange(self.n_frequencies) / (self.window * c.interval)
        return {
            "frequency": variable(("frequency",), frequency, c.si("Hz"), "cycles per unit of time"),
            "spectrum_count": variable(("group",), count, "", "windows of trajectories that took part"),
            "cross_spectrum": variable(
                ("group", "frequency", "coordinate", "coordinate_from"),
                ratio(density, count),
                None,
                "one-sided density of X X*, Hann's taper",
            ),
        }


def _reversed_bits(n: int) -> npt.NDArray[np.int64]:
    """Each index below a power of two with its bits in reverse order."""
    result = np.zeros(1, dtype=np.int64)
    while len(result) < n:
        result = np.concatenate([2 * result, 2 * result + 1])
    return result


@inlined
def _butterfly(re_a: Any, im_a: Any, re_b: Any, im_b: Any, c: Any, s: Any, n: Any) -> None:
    """Twiddle the second by ``c - i s``; then sum and difference in place."""
    for b in range(n):
        re = c * re_b[b] + s * im_b[b]
        im = c * im_b[b] - s * re_b[b]
        re_b[b] = re_a[b] - re
        im_b[b] = im_a[b] - im
        re_a[b] = re_a[b] + re
        im_a[b] = im_a[b] + im


@compiled
def _transform(re: Any, im: Any, cos: Any, sin: Any, w: Any) -> None:
    """Fourier transform of rows, in place, from bit-reversed order; with the sign ``exp(-2 pi i f t)``."""
    n = re.shape[0]
    half = 1
    while half < n:
        stride = n // (2 * half)
        for base in range(0, n, 2 * half):
            for k in range(half):
                a, b = base + k, base + k + half
                _butterfly(re[a], im[a], re[b], im[b], cos[k * stride], sin[k * stride], w)
        half *= 2


@inlined
def _separate(re: Any, im: Any, p: Any, k: Any, n: Any, real: Any, imaginary: Any, i: Any, w: Any) -> None:
    """From the transform of ``x_i + i x_(i+1)`` those of both, at frequency k."""
    a, b = p * n + k, p * n + (n - k) % n
    re_a, im_a, re_b, im_b = re[a], im[a], re[b], im[b]
    first_re, first_im, second_re, second_im = real[i], imaginary[i], real[i + 1], imaginary[i + 1]
    for c in range(w):
        first_re[c] = 0.5 * (re_a[c] + re_b[c])
        first_im[c] = 0.5 * (im_a[c] - im_b[c])
        second_re[c] = 0.5 * (im_a[c] + im_b[c])
        second_im[c] = -0.5 * (re_a[c] - re_b[c])


@inlined
def _products(real: Any, imaginary: Any, d: Any, leaf: Any, w: Any) -> None:
    """X_i X_j^* of all pairs, as the entries have them."""
    for i in range(d):
        for j in range(i, d):
            re_i, im_i, re_j, im_j = real[i], imaginary[i], real[j], imaginary[j]
            re, im = leaf[i * d + j], leaf[j * d + i]
            if i == j:
                for b in range(w):
                    re[b] = 0.0 + re_i[b] * re_i[b] + im_i[b] * im_i[b]
            else:
                for b in range(w):
                    re[b] = 0.0 + re_i[b] * re_j[b] + im_i[b] * im_j[b]
                    im[b] = 0.0 + im_i[b] * re_j[b] - re_i[b] * im_j[b]


@compiled
def _add_up(states: Any, taper: Any, cos: Any, sin: Any, place: Any, taking: Any, width: Any, out: Any) -> None:
    """Entries of one window, strip by strip of trajectories; two coordinates in each transform."""
    n, d, size = states.shape
    n_pairs = (d + 1) // 2
    re, im = aligned(n_pairs * n, _STRIP), aligned(n_pairs * n, _STRIP)
    real, imaginary, leaf = aligned(2 * n_pairs, _STRIP), aligned(2 * n_pairs, _STRIP), aligned(2 * d * d, _STRIP)
    one = aligned(1, _STRIP)
    for strip in range(0, size, _STRIP):
        m = min(_STRIP, size - strip)
        if d % 2 == 1:
            im[:] = 0.0
        here = taking[strip : strip + m]
        for t in range(n):
            weight = taper[t]
            for i in range(d):
                row = (i // 2) * n + place[t]
                source, target = states[t, i, strip:], im[row] if i % 2 else re[row]
                for b in range(m):
                    target[b] = weight * source[b]
        for p in range(n_pairs):
            _transform(re[p * n : (p + 1) * n], im[p * n : (p + 1) * n], cos, sin, m)
        one[:] = 1.0
        fold(one, here, width, out, strip // width, 0)
        for k in range(n // 2 + 1):
            for p in range(n_pairs):
                _separate(re, im, p, k, n, real, imaginary, 2 * p, m)
            _products(real, imaginary, d, leaf, m)
            for e in range(d * d):
                split(leaf[e], leaf[d * d + e], 1.0 / n, m)
            fold(leaf, here, width, out, strip // width, 1 + 2 * k * d * d)
