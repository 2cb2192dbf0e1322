r"""Refrigerators of coupled oscillators: who is cooled, who pays, and how near to Carnot.

Any array whose oscillators are in two baths or more. Heat is positive **from the bath to the particles**; the work is
what the light does, by its coupling and by its recoil. In a steady state

.. math:: \sum_b Q_b + W = 0, \qquad \dot S = -\sum_b Q_b / k_B T_b \ge 0 .

In an array in which all couplings between the two baths have the same ratio, :math:`C_{jk} = r\,C_{kj}` for j in the
cold bath and k in the hot one, and those inside a bath are reciprocal, two things hold exactly, over- and underdamped,
however many particles there are. The works of the two on each other are :math:`W_{jk} = -r\,W_{kj}`, because
:math:`\langle q_j q_k \rangle` is steady; so the coefficient of performance is :math:`r/(1 - r)`. And where
:math:`r = T_\mathrm{cold}/T_\mathrm{hot}`, :math:`C_{jk} k_B T_k` is symmetric, the steady state is
one of detailed balance, :math:`\langle q q^T \rangle = (u - C)^{-1} k_B T`, and nothing flows: Carnot's limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize

from stochbind import checks
from stochbind.analysis import entropy, thermodynamics
from stochbind.analysis.refrigerator_pairs import carnot as carnot
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.oscillators import Oscillators


@dataclass(frozen=True, eq=False, kw_only=True)
class Balance:
    """What flows between the baths, the light and the particles in the steady state.

    Attributes
    ----------
    temperature : (B,) float
        Of each bath [K]; in reduced units, an energy.
    heat : (B,) float
        From each bath to the particles [W].
    oscillator_heat : (N,) float
        From its bath to each oscillator [W].
    coupling_power, recoil_power : float
        Power of the couplings, and of the momentum diffusion beside the baths, on all particles [W].
    entropy_production : float
        Entropy that the baths gain [k_B/s]: not negative, but for recoil, whose own entropy is not counted.
    """

    temperature: FloatArray
    heat: FloatArray
    oscillator_heat: FloatArray
    coupling_power: float
    recoil_power: float
    entropy_production: float

    @property
    def cold(self) -> int:
        """Number of the coldest bath."""
        return int(np.argmin(self.temperature))

    @property
    def cooling_power(self) -> float:
        """Heat that the coldest bath loses [W]; negative if it is heated."""
        return float(self.heat[self.cold])

    @property
    def heat_rejected(self) -> float:
        """Heat that goes into the other baths [W]."""
        return float(self.heat[self.cold] - self.heat.sum())

    @property
    def work(self) -> float:
        """Power that the light puts in, by coupling and recoil [W]."""
        return self.coupling_power + self.recoil_power

    @property
    def performance(self) -> float:
        """Coefficient of performance, cooling power over work; NaN if the coldest bath is not cooled, or by no work.

        With more than two baths heat from the hottest one may drive the cooling, and the light may even gain.
        """
        return self.cooling_power / self.work if self.cooling_power > 0.0 and self.work > 0.0 else float("nan")

    @property
    def carnot(self) -> float:
        """Carnot's limit of the coefficient of performance for two baths; NaN if there are more."""
        if len(self.temperature) != 2:
            return float("nan")
        return float(carnot(self.temperature.min(), self.temperature.max()))

    @property
    def efficiency(self) -> float:
        """Coefficient of performance relative to Carnot's limit; zero for equal baths."""
        return self.performance / self.carnot


def balance(array: Oscillators, *, bath: Any = None) -> Balance:
    """Exact flows in the steady state.

    Parameters
    ----------
    array : Oscillators
        Linear, with baths above zero temperature.
    bath : (N,) int, optional
        Number of the bath of each oscillator, counted from 0; by default oscillators of the same bath temperature
        share a bath, the coldest first.

    Returns
    -------
    Balance
        All of them.

    Raises
    ------
    UnstableError
        If there is no steady state.
    ScenarioError
        If forces are not linear, or a bath has a finite heat capacity; if there is only one bath, one of zero
        temperature, or one of two temperatures; or if an overdamped array has momentum diffusion, whose heat its bath
        takes up at once.
    """
    number = baths_of(array, bath)
    second = steady_moments(array)
    heat = thermodynamics.heat_current(array, second)
    baths = range(int(number.max()) + 1)
    return Balance(
        temperature=np.array([array.bath_temperature[number == b][0] for b in baths]),
        heat=np.array([heat[number == b].sum() for b in baths]),
        oscillator_heat=heat,
        coupling_power=float(thermodynamics.power(array, second).sum()),
        recoil_power=float(thermodynamics.recoil_heating(array, second).sum()),
        entropy_production=float(entropy.of_baths(array, second).sum()),
    )


def baths_of(array: Oscillators, bath: Any = None) -> npt.NDArray[np.intp]:
    """Number of the bath of each oscillator, (N,); see `balance`, which raises the same errors."""
    if array.forces:
        raise ScenarioError("The forces are not linear, so that the balance of the baths is not known exactly.")
    if array.has_finite_baths:
        raise ScenarioError("A bath of a finite heat capacity changes until nothing flows: there is no steady balance.")
    if array.overdamped and np.any(array.diffusion):
        raise ScenarioError(
            "An overdamped array with momentum diffusion has no balance: its baths take up the recoil at once; give "
            "the particles masses."
        )
    temperature = checks.positive("bath_temperature", array.bath_temperature)
    if bath is None:
        number = np.unique(temperature, return_inverse=True)[1].astype(np.intp)
    else:
        given = checks.array("bath", bath, (array.n_oscillators,))
        number = given.astype(np.intp)
        if (number != given).any() or set(number.tolist()) != set(range(int(number.max()) + 1)):
            raise ScenarioError(f"`bath` must number the baths from 0 on, but is {checks.short(given.tolist())}.")
    if number.max() == 0:
        raise ScenarioError(
            f"All oscillators are in one bath, at {temperature[0]:.6g}: a refrigerator needs two; give them other bath "
            "temperatures, or `bath`."
        )
    for b in range(int(number.max()) + 1):
        inside = temperature[number == b]
        if (inside != inside[0]).any():
            raise ScenarioError(f"Bath {b} has two temperatures, {inside.min():.6g} and {inside.max():.6g}; give one.")
    return number


def steady_moments(array: Oscillators) -> FloatArray:
    """Second moments of the steady state in scaled units, (d, d); raises `UnstableError` if there is none."""
    array.langevin().require_stable("The balance of the baths")
    return array.langevin().stationary_covariance()


def pumped_by_recoil(array: Oscillators) -> FloatArray:
    r"""Heat from the bath to each oscillator that is due to the correlation of their recoil alone [W], shape (N,).

    Heat is linear in the covariance of the noise; this is the part of the elements of :math:`\mathrm{Re}D` off the
    diagonal. It is zero for uncoupled oscillators, and for a pair of equal frequencies :math:`u/m`, whatever
    their masses and friction: with :math:`D_{12}` real, particle A gains by its force from B

    .. math:: c_A \, \frac{2 \mathrm{Re}D_{12}\,\zeta_A\zeta_B\,(m_A u_B - m_B u_A)}{a_1a_2a_3 - a_0a_3^2 - a_1^2a_4}

    with the coefficients of the pair's characteristic polynomial (`refrigerator_pairs`). Between others it pumps heat,
    even if the baths have the same temperature and the coupling is reciprocal, and can reverse what temperatures do.

    Raises
    ------
    UnstableError
        If there is no steady state.
    ScenarioError
        If the array is overdamped, see `balance`.
    """
    if array.overdamped:
        raise ScenarioError("Recoil pumps heat between particles that have masses; an overdamped array has none.")
    alone = replace(array, diffusion=np.diag(np.diagonal(np.asarray(array.diffusion)).real))
    both = [thermodynamics.heat_current(each, steady_moments(each)) for each in (array, alone)]
    return np.asarray(both[0] - both[1])


def with_ratio(array: Oscillators, ratio: float, *, bath: Any = None) -> Oscillators:
    """The same array with couplings onto the colder bath of `ratio` times those onto the hotter one.

    Parameters
    ----------
    array : Oscillators
        In two baths.
    ratio : float
        C[j, k] becomes ``ratio * C[k, j]`` for every j in the colder bath and k in the hotter one.
    bath : (N,) int, optional
        See `balance`.

    Raises
    ------
    ScenarioError
        If there are not two baths, or the ratio is not finite.
    """
    cold = _in_the_cold(array, baths_of(array, bath))
    onto_cold = cold[:, None] & ~cold[None, :]
    value = float(checks.array("ratio", ratio, ()))
    return replace(array, coupling=np.where(onto_cold, value * array.coupling.T, array.coupling))


def _in_the_cold(array: Oscillators, number: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether each oscillator is in the colder one of two baths."""
    if number.max() != 1:
        raise ScenarioError(f"Ratios of couplings are of two baths, but the array has {number.max() + 1}.")
    temperature = array.bath_temperature
    coldest = int(temperature[number == 1][0] < temperature[number == 0][0])
    return np.asarray(number == coldest)


class CoolingMap(NamedTuple):
    """Cooling power and work over the ratio of the couplings and that of the temperatures.

    Attributes
    ----------
    ratio : (n,) float
        Couplings onto the colder bath over those onto the hotter one.
    temperature_ratio : (m,) float
        Temperature of the colder bath over that of the hotter one.
    cooling_power, work : (n, m) float
        [W]; NaN where the array is unstable.
    """

    ratio: FloatArray
    temperature_ratio: FloatArray
    cooling_power: FloatArray
    work: FloatArray

    @property
    def performance(self) -> FloatArray:
        """Coefficient of performance, (n, m); NaN where the colder bath is not cooled."""
        with np.errstate(divide="ignore", invalid="ignore"):
            cools = (self.cooling_power > 0.0) & (self.work > 0.0)
            return np.where(cools, self.cooling_power / self.work, np.nan)


def cooling_map(array: Oscillators, ratio: Any, temperature_ratio: Any, *, bath: Any = None) -> CoolingMap:
    """Cooling power and work of an array over the ratios of its couplings and of its temperatures, exactly.

    The hotter bath and the couplings onto it stay as they are. Heat is linear in the temperatures, so that each
    ratio of the couplings takes two or three steady states, and not one for each temperature.

    Parameters
    ----------
    array : Oscillators
        In two baths.
    ratio : (n,) float
        See `with_ratio`.
    temperature_ratio : (m,) float
        Not negative.
    bath : (N,) int, optional
        See `balance`.

    Returns
    -------
    CoolingMap
        All of them.

    Raises
    ------
    ScenarioError
        See `balance` and `with_ratio`.
    """
    ratios = checks.array("ratio", ratio, ("n",))
    temperatures = checks.array("temperature_ratio", temperature_ratio, ("m",))
    checks.positive("temperature_ratio", temperatures, or_zero=True)
    number = baths_of(array, bath)
    cold = _in_the_cold(array, number)
    hot = float(array.bath_temperature[~cold][0])
    flows = np.full((2, len(ratios), len(temperatures)), np.nan)
    for n, value in enumerate(ratios):
        shaped = with_ratio(array, float(value), bath=number)
        if shaped.langevin().steady is None:
            continue
        light = _flows(shaped, cold, 0.0, 0.0) if np.any(array.diffusion) else np.zeros(2)
        of_hot, of_cold = _flows(shaped, cold, hot, 0.0) - light, _flows(shaped, cold, 0.0, hot) - light
        flows[:, n] = (light + of_hot)[:, None] + np.outer(of_cold, temperatures)
    return CoolingMap(ratios, temperatures, flows[0], flows[1])


def _flows(array: Oscillators, cold: npt.NDArray[np.bool_], hot_bath: float, cold_bath: float) -> FloatArray:
    """Cooling power and work at some temperatures of the baths, (2,)."""
    heated = replace(array, bath_temperature=np.where(cold, cold_bath, hot_bath))
    heat = thermodynamics.heat_current(heated, steady_moments(heated))
    return np.array([heat[cold].sum(), -heat.sum()])


class BestCooling(NamedTuple):
    """The ratio of couplings at which the colder bath is cooled most, and the flows there."""

    ratio: float
    balance: Balance


def best_cooling(array: Oscillators, *, bath: Any = None) -> BestCooling:
    r"""Largest cooling power over the ratio of the couplings, those onto the hotter bath given.

    Searched between zero and the ratio of the temperatures. A pair has a closed form,
    `stochbind.analysis.refrigerator_pairs.Pair.best_ratio`.

    Parameters
    ----------
    array : Oscillators
        In two baths of different temperatures.
    bath : (N,) int, optional
        See `balance`.

    Returns
    -------
    BestCooling
        The ratio, to about 1e-8, and the flows.

    Raises
    ------
    UnstableError
        If the array is unstable at one of these ratios.
    ScenarioError
        See `balance` and `with_ratio`; or if nothing couples the hotter bath to the colder one.
    """
    number = baths_of(array, bath)
    cold = _in_the_cold(array, number)
    if not array.coupling[np.ix_(~cold, cold)].any():
        raise ScenarioError("No ratio of the couplings cools the colder bath, as nothing couples the hotter one to it.")
    limit = float(array.bath_temperature[cold][0] / array.bath_temperature[~cold][0])

    def at(ratio: float) -> Balance:
        return balance(with_ratio(array, ratio, bath=number), bath=number)

    scale = float(np.abs(at(0.5 * limit).heat).max()) or 1.0
    found = optimize.minimize_scalar(
        lambda ratio: -at(float(ratio)).cooling_power / scale,
        bounds=(0.0, limit),
        method="bounded",
        options={"xatol": 1e-9 * limit},
    )
    return BestCooling(float(found.x), at(float(found.x)))
