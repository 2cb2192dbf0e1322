"""What the points of a phase diagram are told apart by: rules from scenarios to classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind import checks
from stochbind.analysis.phase_pairs import PAIR_PHASES
from stochbind.analysis.phase_spectra import Spectra, spectra
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin
from stochbind.optics import pairs
from stochbind.optics.regimes import Regimes, regimes
from stochbind.scenario import Scenario, TweezerScenario

IntArray = npt.NDArray[np.int64]
#: One particle counts as driven if it feels the other more than so many times as strongly as the other way round.
_ONE_WAY = 2.0


class Classes(NamedTuple):
    """Classes of some points.

    Attributes
    ----------
    code : (n,) int
        Number of the class of each.
    growth_rate : (n,) float or None
        Largest real part of the eigenvalues of A [1/s], if the rule looks at them.
    """

    code: IntArray
    growth_rate: FloatArray | None = None


@dataclass(frozen=True)
class Rule:
    """A rule that tells points apart.

    Parameters
    ----------
    name : str
        Of the rule.
    names : sequence of str
        Of its classes, whose codes are 0, 1, ...
    read : callable
        What it needs to know of one scenario.
    judge : callable
        The classes of many points, from a list of that.
    """

    name: str
    names: tuple[str, ...]
    read: Callable[[Scenario], Any]
    judge: Callable[[list[Any]], Classes]


class _Light(NamedTuple):
    """What the light does to a pair: C [N/m], D [N^2 s], and the Planck constant of the units."""

    coupling: FloatArray
    diffusion: ComplexArray
    planck: float


def rule(classify: str | Callable[[Scenario], int], base: Scenario, names: Sequence[str] = ()) -> Rule:
    """The rule of this name for scenarios like `base`, or one made of a function.

    Parameters
    ----------
    classify : str or callable
        One of `RULES`, or a function from a scenario to a whole number from 0 on.
    base : Scenario
        Decides whether the rule applies.
    names : sequence of str
        Names of the classes of a function; by default their numbers.

    Returns
    -------
    Rule
        The rule.

    Raises
    ------
    ScenarioError
        If there is no such rule, it is for pairs and there is none, or it is for masses and there are none.
    """
    if callable(classify):
        return Rule("custom", tuple(names), classify, _own)
    if classify not in RULES:
        known = ", ".join(f'"{name}"' for name in RULES)
        raise ScenarioError(f"`classify` must be one of {known} or a function, but is {checks.short(classify)}.")
    if classify in ("regimes", "one_way") and base.n_oscillators != 2:
        count, axes = base.n_particles, len(base.axes)
        there = f"there {'are' if count > 1 else 'is'} {count} here" + (f", along {axes} axes" if axes > 1 else "")
        raise ScenarioError(
            f'`classify` "{classify}" is for two particles that move along one axis, but {there}; '
            'choose another rule, such as "stability".'
        )
    if classify == "pt" and base.oscillators().overdamped:
        raise ScenarioError('`classify` "pt" is for particles with masses, but the motion is overdamped.')
    return RULES[classify](base)


def _stability(base: Scenario) -> Rule:
    return Rule(
        "stability",
        ("stable", "not damped", "unstable"),
        _equations,
        lambda records: _of_spectra(records, lambda found: found.verdict),
    )


def _unstable_modes(base: Scenario) -> Rule:
    most = base.n_oscillators if base.oscillators().overdamped else 2 * base.n_oscillators
    names = tuple(f"{'no' if n == 0 else n} mode{'s' if n > 1 else ''} grow{'s' if n < 2 else ''}" for n in range(most))
    return Rule(
        "unstable_modes",
        (*names, f"{most} modes grow"),
        _equations,
        lambda records: _of_spectra(records, lambda found: found.n_unstable),
    )


def _pt(base: Scenario) -> Rule:
    pair = base.n_oscillators == 2

    def judge(records: list[Any]) -> Classes:
        unbroken = np.zeros(len(records), np.int64)
        if pair:
            coupling = np.array([array.coupling for array, _ in records])
            # |g_a| > |g_r| where both effects have opposite signs
            unbroken = np.where(np.sign(coupling[:, 0, 1]) * np.sign(coupling[:, 1, 0]) < 0.0, 1, 0)
        equations = [each for _, each in records]
        first = len(names) - 2  # broken, then neither
        return _of_spectra(equations, lambda found: np.where(found.pt_phase > 0, first + found.pt_phase - 1, unbroken))

    names = (*(PAIR_PHASES if pair else ("unbroken", "broken")), "neither")
    return Rule("pt", names, lambda scenario: (scenario.oscillators(), _equations(scenario)), judge)


def _regimes(base: Scenario) -> Rule:
    def judge(records: list[Any]) -> Classes:
        rates = pairs.rates_from(
            np.stack([each.coupling for each in records]),
            np.stack([each.diffusion * (constants.hbar / each.planck) for each in records]),
            mass=1.0,  # only ratios of the rates count
            angular_frequency=1.0,
        )
        return Classes(regime_code(regimes(rates.reciprocal, rates.antireciprocal, rates.recoil_correlation)))

    return Rule("regimes", REGIME_NAMES, _light, judge)


def _one_way(base: Scenario) -> Rule:
    def judge(records: list[Any]) -> Classes:
        on_first, on_second = (np.abs([each.coupling[place] for each in records]) for place in ((0, 1), (1, 0)))
        return Classes(np.where(on_first > _ONE_WAY * on_second, 1, np.where(on_second > _ONE_WAY * on_first, 2, 0)))

    return Rule("one_way", ("both ways", "0 is driven by 1", "1 is driven by 0"), _light, judge)


RULES: dict[str, Callable[[Scenario], Rule]] = {
    "stability": _stability,
    "pt": _pt,
    "unstable_modes": _unstable_modes,
    "regimes": _regimes,
    "one_way": _one_way,
}

#: Names of all sets of regimes, in the order of `regime_code`.
REGIME_NAMES = tuple(
    " and ".join(name for bit, name in enumerate(Regimes._fields) if code >> bit & 1) or "none"
    for code in range(2 ** len(Regimes._fields))
)


def regime_code(found: Regimes) -> IntArray:
    """Number of the set of regimes of each point: the sum of 1, 2, 4 and 8 of the flags, in their order."""
    result: IntArray = np.sum([flag.astype(np.int64) << bit for bit, flag in enumerate(found)], axis=0)
    return result


def _equations(scenario: Scenario) -> Langevin:
    scenario.require_constant("phase diagrams")
    return scenario.langevin()


def _light(scenario: Scenario) -> _Light:
    scenario.require_constant("phase diagrams")
    if isinstance(scenario, TweezerScenario) and not scenario.full:
        return _Light(scenario.binding.coupling, scenario.binding.diffusion, constants.hbar)
    array = scenario.oscillators()
    return _Light(array.coupling, np.asarray(array.diffusion), array.reduced_planck)


def _of_spectra(records: list[Any], code: Callable[[Spectra], IntArray]) -> Classes:
    found = spectra(np.stack([equations.drift_matrix for equations in records]))
    return Classes(code(found), found.growth_rate / np.array([equations.time_unit for equations in records]))


def _own(records: list[Any]) -> Classes:
    return Classes(whole("classify", np.array(records)))


def whole(name: str, value: Any) -> IntArray:
    """Codes of a user's own function, or `ScenarioError` unless they are whole numbers from 0 on."""
    given = np.asarray(value)
    if given.dtype.kind not in "biu" or (given.size and int(given.min()) < 0):
        raise ScenarioError(
            f"`{name}` must give whole numbers from 0 on, one for each point, but gives {checks.short(value)}."
        )
    return given.astype(np.int64)
