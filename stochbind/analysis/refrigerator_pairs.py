r"""Closed forms of two coupled oscillators in two baths: heat, coefficient of performance, largest cooling power.

Oscillator A (number 0) feels B with :math:`c_A`, B feels A with :math:`c_B`. With :math:`L` the mean of
:math:`q_B \circ \dot q_A`,

.. math::

    L = \Gamma\,(c_A T_B - c_B T_A), \qquad Q_A = -c_A L, \qquad Q_B = c_B L,

heat positive from the bath to the particle and temperatures as energies. :math:`\Gamma` is positive in every stable
pair; so B is cooled, :math:`Q_B > 0 > Q_A`, if and only if :math:`0 < c_B/c_A < T_B/T_A`, whatever the springs, the
friction and the masses. The work that keeps it going is :math:`(c_A - c_B) L`, so that the coefficient of performance
is :math:`c_B/(c_A - c_B)`, and the condition says that it is below Carnot's :math:`T_B/(T_A - T_B)`.

Overdamped, after Loos and Klapp, New J. Phys. 22, 123051 (2020); underdamped, from the same equations by the integrals
of Routh and Hurwitz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import reciprocity
from stochbind.oscillators import Oscillators


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """Springs, friction and masses of two oscillators, for closed forms in couplings and temperatures.

    Parameters
    ----------
    stiffness : (2,) float
        Positive [N/m].
    friction : (2,) float
        Positive [kg/s].
    mass : (2,) float, optional
        Positive [kg]; without masses the pair is overdamped.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not positive.
    """

    stiffness: FloatArray
    friction: FloatArray
    mass: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("stiffness", "friction", "mass"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, checks.positive(name, checks.array(name, given, (2,))))

    @classmethod
    def of(cls, array: Oscillators) -> Pair:
        """The springs, friction and masses of an array of two oscillators.

        Raises
        ------
        ScenarioError
            If there are not two of them, or there is noise beside that of the baths.
        """
        if array.n_oscillators != 2:
            raise ScenarioError(f"The closed forms are of 2 oscillators, but the array has {array.n_oscillators}.")
        if np.any(array.diffusion):
            raise ScenarioError(
                "The closed forms are of two baths alone, but the array has momentum diffusion beside them; use "
                "`refrigerators.balance`."
            )
        return cls(stiffness=array.stiffness, friction=array.friction, mass=array.mass)

    def rate(self, coupling_a: Any, coupling_b: Any) -> FloatArray:
        r""":math:`\Gamma` [m/(N s)]: how fast the pair exchanges heat.

        Overdamped :math:`1/(\gamma_B u_A + \gamma_A u_B)`. Underdamped, with friction :math:`\gamma_j`,

        .. math::

            \Gamma = \gamma_A \gamma_B a_1 / (a_1 a_2 a_3 - a_0 a_3^2 - a_1^2 a_4)

        of the characteristic polynomial :math:`a_0 = m_A m_B`, :math:`a_1 = m_A \gamma_B + m_B \gamma_A`,
        :math:`a_2 = m_A u_B + m_B u_A + \gamma_A \gamma_B`, :math:`a_3 = \gamma_A u_B + \gamma_B u_A`,
        :math:`a_4 = u_A u_B - c_A c_B`.

        Parameters
        ----------
        coupling_a, coupling_b : (...) float
            Force on A per displacement of B, and on B per displacement of A [N/m].

        Returns
        -------
        (...) float
            NaN where the pair has no steady state.
        """
        (u_a, u_b), (g_a, g_b) = self.stiffness, self.friction
        product = np.asarray(coupling_a, dtype=np.float64) * np.asarray(coupling_b, dtype=np.float64)
        a3, a4 = g_a * u_b + g_b * u_a, u_a * u_b - product
        if self.mass is None:
            return np.where(a4 > 0.0, 1.0 / a3, np.nan)
        m_a, m_b = self.mass
        a1 = m_a * g_b + m_b * g_a
        hurwitz = self._hurwitz + a1**2 * product
        with np.errstate(divide="ignore"):
            return np.where((a4 > 0.0) & (hurwitz > 0.0), g_a * g_b * a1 / hurwitz, np.nan)

    @property
    def _hurwitz(self) -> float:
        """The determinant a1 a2 a3 - a0 a3^2 - a1^2 u_A u_B, without what the couplings add to it."""
        assert self.mass is not None
        (u_a, u_b), (g_a, g_b), (m_a, m_b) = self.stiffness, self.friction, self.mass
        a1, a3 = m_a * g_b + m_b * g_a, g_a * u_b + g_b * u_a
        # a2 a3 a1 - a0 a3^2 - a1^2 u_A u_B, with its parts of opposite sign multiplied out
        return float(a1 * a3 * g_a * g_b + g_a * g_b * (m_a * u_b - m_b * u_a) ** 2)

    def heat(self, coupling_a: Any, coupling_b: Any, energy_a: Any, energy_b: Any) -> FloatArray:
        r"""Heat from the bath of A to A, and from that of B to B [W].

        Parameters
        ----------
        coupling_a, coupling_b : (...) float
            Couplings [N/m]; see `rate`.
        energy_a, energy_b : (...) float
            Thermal energies ``k_B T`` of the baths [J].

        Returns
        -------
        (..., 2) float
            :math:`-c_A L` and :math:`c_B L`; NaN where there is no steady state.
        """
        c_a, c_b = np.asarray(coupling_a, dtype=np.float64), np.asarray(coupling_b, dtype=np.float64)
        area = self.rate(c_a, c_b) * (c_a * np.asarray(energy_b) - c_b * np.asarray(energy_a))
        return np.stack([-c_a * area, c_b * area], axis=-1)

    def best_ratio(self, coupling_a: float, temperature_ratio: Any) -> FloatArray:
        r"""The :math:`c_B/c_A` at which B is cooled most, for a given :math:`c_A`.

        With :math:`t = T_B/T_A` the cooling power is proportional to :math:`r (t - r) / (1 + s r)`, where overdamped
        :math:`s = 0`, and so :math:`r = t/2`; underdamped
        :math:`s = a_1^2 c_A^2 / (a_1 a_2 a_3 - a_0 a_3^2 - a_1^2 u_A u_B)`, and
        :math:`r = t / (1 + \sqrt{1 + s t})`: less, as a coupling both ways slows the exchange.

        Parameters
        ----------
        coupling_a : float
            Force on A per displacement of B [N/m].
        temperature_ratio : (...) float
            :math:`T_B/T_A`.

        Returns
        -------
        (...) float
            The ratio; NaN where there is no steady state at it.
        """
        t = np.asarray(temperature_ratio, dtype=np.float64)
        s = 0.0
        if self.mass is not None:
            a1 = self.mass[0] * self.friction[1] + self.mass[1] * self.friction[0]
            s = (a1 * coupling_a) ** 2 / self._hurwitz
        ratio = t / (1.0 + np.sqrt(1.0 + s * t))
        stable = np.isfinite(self.rate(coupling_a, ratio * coupling_a))
        return np.where(stable, ratio, np.nan)


def performance(coupling_a: Any, coupling_b: Any) -> FloatArray:
    r"""Coefficient of performance :math:`c_B/(c_A - c_B)`, where B is cooled; (...), see `cools`."""
    c_a, c_b = np.asarray(coupling_a, dtype=np.float64), np.asarray(coupling_b, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = c_b / (c_a - c_b)
    return result


def carnot(temperature_cold: Any, temperature_hot: Any) -> FloatArray:
    r"""Carnot's limit of the coefficient of performance, :math:`T_B/(T_A - T_B)`; (...), infinite for equal baths."""
    cold, hot = np.asarray(temperature_cold, dtype=np.float64), np.asarray(temperature_hot, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = cold / (hot - cold)
    return result


def cools(coupling_a: Any, coupling_b: Any, temperature_a: Any, temperature_b: Any) -> Any:
    r"""Whether heat flows out of the bath of B and into that of A, :math:`0 < c_B/c_A < T_B/T_A`; (...) bool.

    Parameters
    ----------
    coupling_a, coupling_b : (...) float
        Force on A per displacement of B, and on B per displacement of A, in the same unit.
    temperature_a, temperature_b : (...) float
        Of the baths.
    """
    c_a, c_b = np.asarray(coupling_a, dtype=np.float64), np.asarray(coupling_b, dtype=np.float64)
    return (c_a * c_b > 0.0) & (np.abs(c_b) * temperature_a < np.abs(c_a) * temperature_b)


def first_factor(coupling_a: Any, coupling_b: Any) -> FloatArray:
    r"""Non-reciprocity factor of order one of a pair with these couplings; see `stochbind.optics.reciprocity`.

    Forces that depend on the distance alone have :math:`\partial f_A/\partial x_B = c_A` and
    :math:`\partial f_B/\partial x_B = -c_B`. With :math:`\rho = c_B/c_A` between -1 and 1 the factor is
    :math:`(1 - \rho)/2`: below one half where the forces are opposite, above where they are alike.

    Parameters
    ----------
    coupling_a, coupling_b : (...) float
        Force on A per displacement of B, and on B per displacement of A, in the same unit.

    Returns
    -------
    (...) float
        Between 0 and 1.
    """
    return reciprocity.factor(coupling_a, -np.asarray(coupling_b, dtype=np.float64))


def cooling_window(temperature_ratio: Any) -> tuple[FloatArray, FloatArray]:
    r"""First non-reciprocity factors between which the bath of B is cooled, if A is the one that is pushed more.

    :math:`(1 - T_B/T_A)/2` and :math:`1/2`. The factor is the same whichever of the two is pushed more; only
    :math:`|c_B| < |c_A|` with B in the colder bath cools.

    Parameters
    ----------
    temperature_ratio : (...) float
        :math:`T_B/T_A`, from 0 to 1.

    Returns
    -------
    lower, upper : (...) float
        Ends of the open interval.
    """
    t = checks.real_numbers("temperature_ratio", temperature_ratio)
    if ((t < 0.0) | (t > 1.0)).any():
        raise ScenarioError(
            f"`temperature_ratio` must be T_B/T_A of a colder B, from 0 to 1, but holds {t[(t < 0) | (t > 1)][0]:.6g}."
        )
    return 0.5 * (1.0 - t), np.full(t.shape, 0.5)
