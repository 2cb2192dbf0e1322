r"""Temperature of a particle from the spectrum of its position, fitted as a laboratory does.

An oscillator alone, in a bath of white noise, has the one-sided spectral density

.. math:: S(f) = \frac{4\gamma k_B T/m}{(\omega_0^2 - \omega^2)^2 + \gamma^2 \omega^2}, \qquad \omega = 2\pi f.

What a record gives is not S, but the average of periodograms of finite, tapered windows of samples. Their exact mean
is fitted, so that neither the width of the taper nor aliases make the temperature wrong, by the likelihood of averages
of n periodograms, which are gamma distributed with the shape n (Whittle's likelihood). The fitted temperature is that
of a single line: of coupled particles it is a number that a laboratory would report, and `exact_line` tells which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from stochbind.analysis.exact_windows import hann, steady_spectrum
from stochbind.analysis.periodograms import MOST_GROUPS, Spectrum, require_line
from stochbind.analysis.statistics import Estimate
from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.oscillators import Oscillators

#: Fewest groups of windows that carry an error bar.
FEWEST_GROUPS = 8
#: Smallest width of a line, in spacings of frequencies, that counts as resolved: windows are then almost independent.
NARROWEST_LINE = 1.0
#: Largest standard error of the logarithm of the width of a resolved line.
_LARGEST_WIDTH_ERROR = 0.5
#: Distance of the chi-square from its mean, in standard deviations, beyond which a line does not fit.
LARGEST_MISFIT = 5.0
#: Frequencies left out at both ends: a constant force stands in the lowest ones, tapered, and the highest is one-sided.
_EDGE = 2
#: Correlations of periodograms at neighbouring frequencies and at the next but one, by Hann's taper.
_NEIGHBOURS = (4.0 / 9.0, 1.0 / 36.0)
#: Step of numerical derivatives with respect to scaled parameters.
_SMALL = 1e-5
#: Residuals below this count as zero; and the least mean density, beside the average one.
_ALIKE, _LEAST = 1e-9, 1e-14


class Line(NamedTuple):
    r"""One line.

    Attributes
    ----------
    frequency : float
        Resonance frequency, :math:`\omega_0/2\pi` [Hz], or cycles per unit of time.
    damping_rate : float
        :math:`\gamma` [1/s]; the width of the line at half its height is :math:`\gamma/2\pi`.
    temperature : float
        T [K], or an energy in reduced units.
    noise_floor : float
        White density beside the line [m^2/Hz].
    """

    frequency: float
    damping_rate: float
    temperature: float
    noise_floor: float


@dataclass(frozen=True, eq=False)
class LineFit:
    """A fitted line.

    Attributes
    ----------
    frequency, damping_rate, temperature, noise_floor : Estimate
        As in `Line`, with error bars from the scatter between groups of windows (jackknife).
    likelihood_error : (3,) float
        Standard errors of the first three that the likelihood gives by itself, without any scatter.
    misfit : float
        How far chi-square is above its mean, in standard deviations; about normal if the spectrum is one line.
    note : str
        What is wrong with a single line; empty if it fits.
    """

    frequency: Estimate
    damping_rate: Estimate
    temperature: Estimate
    noise_floor: Estimate
    likelihood_error: FloatArray
    misfit: float
    note: str


class _Model:
    r"""Exact mean of the periodograms of a line, in four parameters of order one.

    The parameters are the shift of the free oscillation :math:`\sqrt{\omega_0^2 - \gamma^2/4}` in units of the first
    guess of the width, the logarithms of width and mean square over their first guesses, and the noise floor over the
    mean density.
    """

    def __init__(self, density: FloatArray, interval: float, window: int, nominal: float, noise_floor: bool) -> None:
        self.interval, self.window, self.free = interval, window, 4 if noise_floor else 3
        taper = hann(window)
        overlap = np.fft.irfft(np.abs(np.fft.rfft(taper, 2 * window)) ** 2, 2 * window)[:window]
        overlap[0] *= 0.5  # the lag of zero is counted from both sides
        self._overlap = overlap * 4.0 * interval / (taper**2).sum()
        self._lag = np.arange(window) * interval
        self.band = slice(_EDGE, window // 2 - 1)
        spacing = 2.0 * np.pi / (window * interval)
        peak = _EDGE + int(np.argmax(density[self.band]))
        # Of all frequencies that look alike when sampled at this interval, the one nearest to the nominal one.
        sampling = 2.0 * np.pi / interval
        around = sampling * (round(nominal / sampling) + np.array([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]))
        offset = peak * spacing * np.array([1.0, -1.0] * 3)
        nearest = int(np.argmin(np.abs(np.abs(around + offset) - nominal)))
        self._around, self._offset = float(around[nearest]), float(offset[nearest])
        self._square = float(density[self.band].sum()) * spacing / (2.0 * np.pi)
        self._floor = float(density[self.band].mean())
        self._width = max(4.0 * self._square / float(density[peak]), 0.5 * spacing)

    def line(self, x: FloatArray) -> tuple[float, float, float, float]:
        """Frequency of the free oscillation [rad/s], damping rate, mean square and noise floor."""
        width = self._width * math.exp(x[1])
        frequency = self._around + (self._offset + x[0] * self._width)
        return frequency, width, self._square * math.exp(x[2]), self._floor * x[3] if self.free == 4 else 0.0

    @property
    def begin(self) -> FloatArray:
        """First guess of the parameters."""
        return np.array([0.0, 0.0, 0.0, 1e-3])[: self.free]

    def density(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean density in the band, (K,), and the slopes of its logarithm, (K, 3), or (K, 4) with a noise floor."""
        omega, width, square, floor = self.line(x)
        # Whole turns between samples are left out, as a phase of many turns has lost its digits.
        turned = (self._offset + x[0] * self._width) * self._lag
        decay = square * np.exp(-0.5 * width * self._lag)
        cosine, sine = decay * np.cos(turned), decay * np.sin(turned) / omega
        correlation = cosine + 0.5 * width * sine
        by_frequency = -omega * self._lag * sine + 0.5 * width / omega * (self._lag * cosine - sine)
        by_width = 0.5 * (sine - self._lag * correlation)
        terms = [correlation, self._width * by_frequency, width * by_width, correlation]
        mean, *slopes = np.fft.rfft(self._overlap * np.array(terms)).real[:, self.band]
        if self.free == 4:
            slopes.append(np.full(len(mean), self._floor))
        mean = np.maximum(mean + floor, _LEAST * self._floor)  # rounding where a line is far above its tail
        return mean, np.array(slopes).T / mean[:, None]


def _parameters(model: _Model, x: FloatArray, energy: float) -> Line:
    """The line, with the temperature `energy` times the mean square of the velocity."""
    omega, width, square, floor = model.line(x)
    resonance = math.hypot(omega, 0.5 * width)
    return Line(resonance / (2.0 * np.pi), width, energy * resonance**2 * square, floor)


def _fitted(model: _Model, density: FloatArray, begin: FloatArray) -> FloatArray:
    """Parameters of the largest likelihood: the least squares of the deviance residuals of gamma variables."""
    seen = density[model.band]

    def residual(x: FloatArray) -> FloatArray:
        excess = seen / model.density(x)[0] - 1.0
        result: FloatArray = np.sign(excess) * np.sqrt(2.0 * np.maximum(excess - np.log1p(excess), 0.0))
        return result

    def slopes(x: FloatArray) -> FloatArray:
        mean, slope = model.density(x)
        excess, value = seen / mean - 1.0, residual(x)
        # The derivative of a residual by the logarithm of the mean, -1 where both agree.
        factor = np.divide(-excess, value, out=np.full(len(seen), -1.0), where=np.abs(value) > _ALIKE)
        result: FloatArray = factor[:, None] * slope
        return result

    bounds = (
        np.array([-np.inf, -30.0, -30.0, 0.0])[: model.free],
        np.array([np.inf, 30.0, 30.0, np.inf])[: model.free],
    )
    found: Any = optimize.least_squares(residual, begin, slopes, bounds=bounds, xtol=1e-10, ftol=1e-13, gtol=None)
    result: FloatArray = found.x
    return result


def fit_line(array: Oscillators, spectrum: Spectrum, *, noise_floor: bool = False) -> LineFit:
    """Fit one line to a spectrum.

    Frequency, width, height and, if asked for, a noise floor are free. Of the array only the mass is used, and the
    frequency where the line looks the same at another one, by aliasing.

    Parameters
    ----------
    array : Oscillators
        The array, underdamped.
    spectrum : Spectrum
        Of one of its oscillators, in at least 8 groups.
    noise_floor : bool
        Whether there is white noise beside the line, such as that of a detector.

    Returns
    -------
    LineFit
        The line, its error bars, and whether it is one.

    Raises
    ------
    ScenarioError
        If the array is overdamped.
    TooFewSamplesError
        If there are fewer than 8 groups of windows, or the windows do not resolve the width of the line.
    """
    require_line(array, spectrum.oscillator)
    density, weight = _gathered(spectrum)
    n = float(spectrum.count.sum())
    total = weight @ density
    nominal = math.sqrt(max(0.0, array.stiffness[spectrum.oscillator] / np.asarray(array.mass)[spectrum.oscillator]))
    model = _Model(total, spectrum.interval, spectrum.window, nominal, noise_floor)
    energy = float(np.asarray(array.mass)[spectrum.oscillator]) / array.boltzmann
    x = _fitted(model, total, model.begin)
    error, width_error = _likelihood_error(model, x, n, energy)
    _require_resolved(array, spectrum, _parameters(model, x, energy), error, width_error)
    replicate = np.array(
        [
            _parameters(model, _fitted(model, (total - w * one) / (1.0 - w), x), energy)
            for w, one in zip(weight, density, strict=True)
        ]
    )
    groups = len(weight)
    stderr = np.sqrt((groups - 1) * np.mean((replicate - replicate.mean(axis=0)) ** 2, axis=0))
    frequency, damping_rate, temperature, floor = (
        Estimate(np.asarray(value), np.asarray(one), float(groups))
        for value, one in zip(_parameters(model, x, energy), stderr, strict=True)
    )
    misfit, note = _judged(model, x, total, n, reduced=array.reduced)
    return LineFit(frequency, damping_rate, temperature, floor, error, misfit, note)


def _gathered(spectrum: Spectrum) -> tuple[FloatArray, FloatArray]:
    """Densities of at most 64 groups, and their weights."""
    if len(spectrum.count) < FEWEST_GROUPS:
        raise TooFewSamplesError(
            f"Error bars of a fit need at least {FEWEST_GROUPS} groups of windows, but the spectrum has "
            f"{len(spectrum.count)}; use shorter windows, or run longer or more."
        )
    edges = np.linspace(0, len(spectrum.count), min(MOST_GROUPS, len(spectrum.count)) + 1).astype(int)[:-1]
    count = np.add.reduceat(spectrum.count, edges)
    density = np.add.reduceat(spectrum.count[:, None] * spectrum.density, edges, axis=0) / count[:, None]
    return density, count / count.sum()


def _likelihood_error(model: _Model, x: FloatArray, n: float, energy: float) -> tuple[FloatArray, float]:
    """Standard errors of frequency, damping rate and temperature, and of the logarithm of the width.

    The inverse of the Fisher information is widened for what the likelihood does not know: the taper correlates
    neighbouring frequencies.
    """
    slope = model.density(x)[1]
    information = n * slope.T @ slope
    correlated = information.copy()
    for distance, share in enumerate(_NEIGHBOURS, start=1):
        product = n * share * slope[distance:].T @ slope[:-distance]
        correlated += product + product.T
    inverse = np.linalg.pinv(information, hermitian=True)
    covariance = inverse @ correlated @ inverse
    change = [
        np.subtract(_parameters(model, x + s, energy), _parameters(model, x - s, energy))[:3] / (2.0 * _SMALL)
        for s in _SMALL * np.eye(model.free)
    ]
    error: FloatArray = np.sqrt(np.einsum("ia,ij,ja->a", change, covariance, change))
    return error, math.sqrt(covariance[1, 1])


def _require_resolved(
    array: Oscillators, spectrum: Spectrum, line: Line, error: FloatArray, width_error: float
) -> None:
    """Raise `TooFewSamplesError`, with the temperature, if the spectrum does not tell the width of the line."""
    spacing = 1.0 / (spectrum.window * spectrum.interval)
    width, unit = line.damping_rate / (2.0 * math.pi), "" if array.reduced else " Hz"
    name = array.names[spectrum.oscillator]
    temperature = Estimate(np.asarray(line.temperature), error[2], float(spectrum.count.sum()))
    if width < NARROWEST_LINE * spacing:
        states = math.ceil(NARROWEST_LINE / (width * spectrum.interval))
        raise TooFewSamplesError(
            f"The line of oscillator {name} is not resolved: its width, about {width:.2g}{unit}, is below the spacing "
            f"of frequencies, {spacing:.3g}{unit}; use windows of about {states:.2g} states or more, or keep states "
            f"{states / spectrum.window:.2g} times more rarely.",
            temperature,
        )
    if width_error > _LARGEST_WIDTH_ERROR:
        raise TooFewSamplesError(
            f"The width of the line of oscillator {name} is told only to a factor of "
            f"{math.exp(min(width_error, 50.0)):.2g} by {spectrum.count.sum():g} windows; take about "
            f"{math.ceil((width_error / _LARGEST_WIDTH_ERROR) ** 2):.2g} times as many.",
            temperature,
        )


def _judged(model: _Model, x: FloatArray, density: FloatArray, n: float, *, reduced: bool) -> tuple[float, str]:
    """Distance of chi-square from its mean in standard deviations, and what does not fit."""
    excess = density[model.band] / model.density(x)[0] - 1.0
    k = len(excess)
    spread = 1.0 + 2.0 * sum(share**2 for share in _NEIGHBOURS)
    misfit = (n * float(excess @ excess) - (k - model.free)) / math.sqrt(k * (2.0 * spread + 6.0 / n))
    if misfit <= LARGEST_MISFIT:
        return misfit, ""
    smooth = np.convolve(excess, np.full(5, 0.2), mode="same")
    where = (_EDGE + int(np.argmax(smooth))) / (model.window * model.interval)
    unit = "" if reduced else " Hz"
    return misfit, (
        f"The spectrum is not that of one line: chi-square is {misfit:.3g} standard deviations too large, and most is "
        f"missing at {where:.4g}{unit}. Coupled particles have several lines, and the fitted temperature is of none."
    )


def exact_line(array: Oscillators, oscillator: int, *, interval: float, window: int, noise_floor: bool = False) -> Line:
    """What `fit_line` would tell of an endless run: the same fit of the exact spectrum.

    Parameters
    ----------
    array : Oscillators
        The array, underdamped, with a steady state.
    oscillator : int
        Which oscillator.
    interval : float
        Time between states [s].
    window : int
        States in a window, even.
    noise_floor : bool
        As in the fit.

    Returns
    -------
    Line
        For an oscillator that is alone, its own frequency, damping rate and temperature.

    Raises
    ------
    PlanError
        If there is no such oscillator.
    ScenarioError
        If the array is overdamped.
    UnstableError
        If there is no steady state.
    """
    require_line(array, oscillator)
    _, exact = steady_spectrum(array.langevin(), interval, window)
    density = exact[:, oscillator, oscillator].real
    mass = float(np.asarray(array.mass)[oscillator])
    nominal = math.sqrt(max(0.0, array.stiffness[oscillator] / mass))
    model = _Model(density, interval, window, nominal, noise_floor)
    x = _fitted(model, density, model.begin)
    return _parameters(model, x, mass / array.boltzmann)
