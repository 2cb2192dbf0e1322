r"""A delay as linear coordinates: Pade's all-pass filters.

:math:`e^{-s\tau} \approx \theta_m(-s\tau/2)/\theta_m(s\tau/2)`, with the reverse Bessel polynomials, passes all
frequencies with their full strength. Up to a frequency near :math:`m/\tau` its phase is that of the delay, to many
digits; beyond, it stays behind. So a loop with a delay is a linear system like others, with an exact steady state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError

#: Highest order of a delay.
HIGHEST_ORDER = 20


@dataclass(frozen=True, eq=False)
class Delay:
    r"""A delay as a linear system, :math:`\dot\xi = F\xi + gu`, whose output is :math:`h\cdot\xi + d\,u`.

    It takes up what goes in and gives it out again, :math:`d|\xi|^2/dt = u^2 - (h\cdot\xi + d\,u)^2`: in these
    coordinates nothing is large or small.

    Attributes
    ----------
    drift : (m, m) float
        F [1/s].
    entry, exit : (m,) float
        g and h [1/sqrt(s)].
    direct : float
        d, which is 1 or -1.
    duration : float
        :math:`\tau` [s].
    phase_error : float
        Largest error of the phase within the band [rad].
    """

    drift: FloatArray
    entry: FloatArray
    exit: FloatArray
    direct: float
    duration: float
    phase_error: float

    @property
    def order(self) -> int:
        """Number of coordinates m."""
        return len(self.entry)

    def response(self, angular_frequency: float) -> complex:
        r"""Output per input :math:`e^{-i\omega t}`: near :math:`e^{i\omega\tau}`."""
        return _response(self.drift, self.entry, self.exit, self.direct, angular_frequency)


def pade_delay(duration: float, band: float, *, tolerance: float = 1e-6) -> Delay:
    r"""The delay of lowest order that is good enough within a band.

    Parameters
    ----------
    duration : float
        :math:`\tau` [s]; zero makes a delay without coordinates.
    band : float
        Angular frequency up to which the phase must be right [rad/s].
    tolerance : float
        Largest error of the phase there [rad].

    Returns
    -------
    Delay
        Of order up to `HIGHEST_ORDER`.

    Raises
    ------
    ScenarioError
        If no such order reaches the tolerance, or a number is impossible.

    References
    ----------
    The poles are those of Bessel's filters, as `scipy.signal.besselap` gives them.
    """
    tau = float(checks.positive("duration", checks.array("duration", duration, ()), or_zero=True))
    edge = float(checks.positive("band", checks.array("band", band, ())))
    allowed = float(checks.positive("tolerance", checks.array("tolerance", tolerance, ())))
    if tau == 0.0:
        return Delay(np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0, 0.0, 0.0)
    for order in range(1, HIGHEST_ORDER + 1):
        parts = _all_pass(order, tau)
        # The error grows with the frequency. As a turn of the ratio of both responses it is precise, up to whole turns.
        error = float(abs(np.angle(_response(*parts, edge) * np.exp(-1j * edge * tau))))
        if abs(_lag(parts[0], edge) - edge * tau) < np.pi and error <= allowed:
            return Delay(*parts, duration=tau, phase_error=error)
    raise ScenarioError(
        f"A delay of {tau:.6g} is too long for frequencies up to {edge:.6g} (`band`): at order {HIGHEST_ORDER} the "
        f"phase is off by {error:.2g} rad there, and {allowed:.2g} is allowed (`tolerance`); take a narrower band or "
        "a shorter delay."
    )


def _all_pass(order: int, duration: float) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Sections of one or two poles, one after the other: F, g, h and d."""
    poles = signal.besselap(order, norm="delay")[1] * 2.0 / duration
    drift, entry, out, direct = np.zeros((order, order)), np.zeros(order), np.zeros(order), 1.0
    at = 0
    for pole in poles[poles.imag >= 0.0]:
        width, sign = (1, -1.0) if abs(pole.imag) <= 1e-9 * abs(pole) else (2, 1.0)
        here, last = slice(at, at + width), at + width - 1
        # One pole -a: (a - s)/(a + s). Two: (s^2 - as + b)/(s^2 + as + b), where b is |pole|^2.
        damping = -width * pole.real
        root = np.sqrt(2.0 * damping)
        if width == 2:
            drift[at, last], drift[last, at] = abs(pole), -abs(pole)
        drift[last, last] = -damping
        drift[last, :at] = root * out[:at]
        entry[last] = root * direct
        out[here], direct, out[:at] = 0.0, sign * direct, sign * out[:at]
        out[last] = -sign * root
        at += width
    return drift, entry, out, direct


def _lag(drift: FloatArray, angular_frequency: float) -> float:
    """Phase by which an all-pass filter of these poles is behind, with all whole turns."""
    poles = np.linalg.eigvals(drift)
    return float(2.0 * np.arctan((angular_frequency - poles.imag) / -poles.real).sum())


def _response(
    drift: FloatArray, entry: FloatArray, out: FloatArray, direct: float, angular_frequency: float
) -> complex:
    """Output per input of one frequency."""
    resolvent = np.linalg.solve(-1j * angular_frequency * np.eye(len(entry)) - drift, entry)
    return complex(out @ resolvent + direct)
