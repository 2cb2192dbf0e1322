r"""Cumulants and generating functions of heat and work in windows of time: of a record, and exact.

The exact ones follow from `stochbind.analysis.generating_functions`, whose logarithm is analytic in k: with its values
on a circle of radius r,

.. math:: \kappa_n = \frac{n!}{2\pi r^n} \int_0^{2\pi} \ln\langle e^{re^{i\theta}J}\rangle\,e^{-in\theta}\,d\theta .

The mean of :math:`e^{kJ}` is made by rare windows; it is told for :math:`k = \pm 1/\sigma`, in units of the standard
deviation of J, where its own spread is finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from stochbind.analysis import generating_functions
from stochbind.analysis.currents import Current, heat_current, steady_covariance, window_variance, work_current
from stochbind.analysis.ledgers import window_gains
from stochbind.analysis.statistics import Estimate, jackknife
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

#: Radius of the circle of the exact cumulants, and conjugates of the found means, in inverse standard deviations.
_RADIUS, _CONJUGATES = 0.25, (-1.0, 1.0)
#: Points on the circle.
_POINTS = 64
#: Fewest groups of trajectories of a jackknife.
_FEWEST_GROUPS = 8
#: Largest mean square of exp(kJ) beside its squared mean: beyond, rare windows decide.
_SPREAD = 50.0


def exact_cumulants(equations: Langevin, current: Current, duration: float, order: int = 4) -> FloatArray:
    """Exact cumulants of a current over a finite time, from the steady state on.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    duration : float
        [s].
    order : int
        Number of cumulants.

    Returns
    -------
    (order,) float
        Mean, variance, third cumulant, ... [powers of `Current.unit`].

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    radius = _RADIUS / math.sqrt(window_variance(equations, current, duration))
    angle = 2.0 * math.pi * np.arange(_POINTS) / _POINTS
    log = generating_functions.logarithm(equations, current, radius * np.exp(1j * angle), duration)
    moment = (np.fft.fft(log) / _POINTS)[1 : order + 1].real
    powers = np.arange(1, order + 1)
    result: FloatArray = moment * np.array([math.factorial(int(n)) for n in powers]) / radius**powers
    return result


@dataclass(frozen=True, eq=False)
class Cumulants:
    r"""Cumulants of heat or work in windows of a record, beside the exact ones.

    Attributes
    ----------
    current : str
        Name of the current.
    duration : float
        Length of the windows [s].
    found : Estimate
        Mean, variance and third cumulant, (3,) [J, J^2, J^3].
    exact : (3,) float
        The same.
    conjugate : (n,) float
        k [1/J].
    logarithm : Estimate
        :math:`\ln\langle e^{kJ}\rangle`, (n,).
    exact_logarithm : (n,) float
        The same.
    """

    current: str
    duration: float
    found: Estimate
    exact: FloatArray
    conjugate: FloatArray
    logarithm: Estimate
    exact_logarithm: FloatArray


def found_cumulants(
    dataset: xr.Dataset,
    array: Oscillators,
    receiver: int,
    sender: int | None = None,
    *,
    start: float = 0.0,
    window: int | None = None,
) -> Cumulants:
    """Cumulants and generating function of work or heat in the ledger of a record.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `work` or `heat` along trajectories.
    array : Oscillators
        The array, underdamped: overdamped, a ledger leaves out what happens within a step; see
        `stochbind.analysis.ledgers.hidden_variance`.
    receiver : int
        Oscillator that receives.
    sender : int, optional
        Oscillator whose force works on it; without one, the heat from bath and recoil is meant.
    start : float
        First time [s], from which on the state should be steady.
    window : int, optional
        See `stochbind.analysis.ledgers.window_gains`.

    Returns
    -------
    Cumulants
        The numbers.

    Raises
    ------
    ScenarioError
        If the array is overdamped.
    PlanError, IncompleteError
        See `stochbind.analysis.ledgers.window_gains`.
    TooFewSamplesError
        If there are fewer than eight independent groups of windows.
    UnstableError
        If there is no steady state.
    """
    if array.overdamped:
        raise ScenarioError(
            "Cumulants of heat and work are of underdamped particles: of overdamped ones the ledger leaves out what "
            "happens within a step."
        )
    equations = array.langevin()
    steady_covariance(equations)
    name, where = ("heat", (receiver,)) if sender is None else ("work", (receiver, sender))
    current = heat_current(array, receiver) if sender is None else work_current(array, receiver, sender)
    cells, duration = window_gains(dataset, name, where, start, window, -equations.stability.growth_rate)
    if len(cells) < _FEWEST_GROUPS:
        raise TooFewSamplesError(
            f"Cumulants need {_FEWEST_GROUPS} independent groups of windows, but there are {len(cells)}; run longer."
        )
    exact = exact_cumulants(equations, current, duration, 3)
    k = np.array(_CONJUGATES) / math.sqrt(exact[1])
    allowed = _tame(equations, current, k, duration)
    weight = np.array([cell.size for cell in cells], dtype=np.float64)
    # Centred and scaled by exact numbers, so that sums of powers lose no digits.
    scaled = [(cell - exact[0]) / math.sqrt(exact[1]) for cell in cells]
    powers = np.array([[np.mean(cell**n) for n in (1, 2, 3)] for cell in scaled])
    waves = np.array([[np.mean(np.exp(np.minimum(c * cell, 300.0))) for c in _CONJUGATES] for cell in scaled])
    share, unit = weight / weight.sum(), math.sqrt(exact[1])
    centred = jackknife(_cumulants, powers, weight=share)
    found = Estimate(
        centred.value * unit ** np.arange(1, 4) + np.array([exact[0], 0.0, 0.0]),
        centred.stderr * unit ** np.arange(1, 4),
        centred.n_eff,
    )
    logs = jackknife(np.log, waves, weight=share)
    log = Estimate(
        np.where(allowed, logs.value + k * exact[0], np.nan), np.where(allowed, logs.stderr, np.nan), logs.n_eff
    )
    truth = generating_functions.logarithm(equations, current, k, duration).real
    return Cumulants(current.name, duration, found, exact, k, log, truth)


def _cumulants(moment: FloatArray) -> FloatArray:
    """First three cumulants of the first three moments, (..., 3)."""
    first, second, third = np.moveaxis(moment, -1, 0)
    return np.stack([first, second - first**2, third - 3.0 * first * second + 2.0 * first**3], axis=-1)


def _tame(equations: Langevin, current: Current, k: FloatArray, duration: float) -> FloatArray:
    """Whether means of exp(kJ) and their mean squares exist and are not ruled by rare windows."""
    # On the way from zero the function is finite and convex; where it does not exist, its analytic form turns complex.
    way = np.linspace(0.0, 2.0, 41)[1:]
    good = []
    for value in k:
        log = generating_functions.logarithm(equations, current, value * way, duration)
        convex = np.diff(np.concatenate([[0.0], log.real]), 2) > -1e-9
        spread = log.real[-1] - 2.0 * log.real[len(way) // 2 - 1]
        good.append(
            bool(convex.all() and (np.abs(np.exp(1j * log.imag) - 1.0) < 1e-6).all() and spread < math.log(_SPREAD))
        )
    return np.array(good)
