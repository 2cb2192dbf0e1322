"""Phase diagrams over two parameters of a scenario, or of any function of two numbers.

Points are computed on a coarse lattice and at the boundaries that it finds, and filled in between; see
`stochbind.analysis.phase_grids` for how, and for what can be missed. The closed forms of a pair of given rates are in
`stochbind.analysis.phase_pairs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.analysis import phase_boundaries, phase_classes, phase_grids
from stochbind.analysis.phase_classes import Classes
from stochbind.analysis.phase_points import PlaneAxis, Points, axis_of
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, StochbindError
from stochbind.scenario import Axis, Scenario

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
#: Code of a point whose numbers make no scenario, and its name.
IMPOSSIBLE, IMPOSSIBLE_NAME = -1, "no scenario"
#: Cells of the first lattice along an axis, by default, if there are as many.
_FEWEST_CELLS = 24
#: Classes at places along both axes, counted in points of the grid.
_Evaluate = Callable[[npt.NDArray[Any], npt.NDArray[Any]], Classes]


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """Classes over a plane.

    Parameters
    ----------
    x, y : PlaneAxis
        The axes.
    rule : str
        What the points are told apart by.
    names : sequence of str
        Names of the classes 0, 1, ...
    code : (nx, ny) int
        Class of each point; -1 where the numbers make no scenario.
    computed : (nx, ny) bool
        Whether the class was computed, and not taken from the points around.
    growth_rate : (nx, ny) float or None
        Largest real part of the eigenvalues of A [1/s], NaN where nothing was computed; None if the rule is of
        something else.
    refused : str
        Why a point makes no scenario; empty if all do.
    """

    x: PlaneAxis
    y: PlaneAxis
    rule: str
    names: tuple[str, ...]
    code: IntArray
    computed: BoolArray
    growth_rate: FloatArray | None
    refused: str
    _evaluate: _Evaluate = field(repr=False)

    @property
    def fraction_computed(self) -> float:
        """How much of the grid was computed."""
        return float(self.computed.mean())

    def name_of(self, code: int) -> str:
        """Name of a class."""
        if code == IMPOSSIBLE:
            return IMPOSSIBLE_NAME
        return self.names[code] if code < len(self.names) else str(code)

    def areas(self) -> dict[str, float]:
        """Fraction of the points of each class that there is, by name, in the order of the codes."""
        code, count = np.unique(self.code, return_counts=True)
        return {self.name_of(int(c)): float(n) / self.code.size for c, n in zip(code, count, strict=True)}

    def boundary(self, name: str, tolerance: float = 1e-3) -> list[FloatArray]:
        """Lines around all areas of a class, each point found by bisection between two points of the grid.

        Parameters
        ----------
        name : str
            Of the class.
        tolerance : float
            Largest error of a point along the line of the grid on which it is, in spacings of the grid.

        Returns
        -------
        list of (m, 2) float
            Lines, in the units of the axes; closed ones end where they begin.

        Raises
        ------
        ScenarioError
            If the diagram has no such class, or the tolerance is not positive.
        """
        known = {self.name_of(code): code for code in map(int, np.unique(self.code))}
        if name not in known:
            raise ScenarioError(f"`name` must be one of {', '.join(known)}, but is {checks.short(name)}.")
        checks.positive("tolerance", checks.array("tolerance", tolerance, ()))
        inside = self.code == known[name]
        lines = phase_boundaries.lines_around(
            inside, lambda u, v: self._evaluate(u, v).code == known[name], float(tolerance)
        )
        return [np.column_stack([self.x.at(line[:, 0]), self.y.at(line[:, 1])]) for line in lines]


def phase_diagram(
    system: Scenario | Callable[[FloatArray, FloatArray], Any],
    x_axis: PlaneAxis | Axis | Mapping[str, Any],
    y_axis: PlaneAxis | Axis | Mapping[str, Any],
    classify: str | Callable[[Scenario], int] = "stability",
    *,
    names: Sequence[str] = (),
    coarse: int | None = None,
    exhaustive: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> PhaseDiagram:
    r"""A phase diagram over two parameters.

    Parameters
    ----------
    system : Scenario or callable
        A scenario; or a function of two arrays (n,), the values along x and y, that gives a whole number from 0 on for
        each point.
    x_axis, y_axis : PlaneAxis, Axis or mapping
        Of a scenario, an axis as a sweep has it: ``{"parameter": "particle[0].phase", "start": "0 deg", "stop":
        "360 deg", "n": 400}``, with `along` for what moves with it and any text as `name`. Of a function a `PlaneAxis`.
    classify : str or callable
        For scenarios: "stability" (stable, not damped, unstable), "pt" (unbroken if all modes that oscillate are
        damped alike, broken if two of one frequency are not; of a pair also which kind of coupling is stronger),
        "unstable_modes" (how many grow), "regimes" (those of `stochbind.optics.regimes`, of a pair), "one_way" (whether
        one of a pair feels the other more than twice as strongly); or a function from a scenario to a whole number
        from 0 on.
    names : sequence of str
        Names of the classes, if a function gives them.
    coarse : int, optional
        Spacing of the first lattice, in points of the grid; a power of two. Areas smaller than this can be missed. By
        default 16, or less where that would give fewer than 24 cells along an axis.
    exhaustive : bool
        Whether all points are computed, to check the others.
    progress : callable, optional
        Called with the number of points computed, that of the grid, and zero; at the end with that of the grid twice.

    Returns
    -------
    PhaseDiagram
        On the full grid.

    Raises
    ------
    ScenarioError
        If an axis, a rule, or what a function gives is wrong, or no point is a scenario.

    Notes
    -----
    Each point of the first lattice is checked like any scenario. Those between are made without these checks, but in
    cells of that lattice in which, or on whose edge, a point is no scenario, and in cells beside these.
    """
    if isinstance(system, Scenario):
        x, y = _axis_of(x_axis, system), _axis_of(y_axis, system)
        points = Points(system, x, y)
        rule = phase_classes.rule(classify, system, names)
        label, known, evaluate = rule.name, rule.names, _of_scenarios(points, rule)
    else:
        if not (callable(system) and isinstance(x_axis, PlaneAxis) and isinstance(y_axis, PlaneAxis)):
            raise ScenarioError("`system` must be a scenario, or a function with a PlaneAxis for each of its numbers.")
        x, y, points = x_axis, y_axis, None
        label, known, evaluate = "custom", tuple(names), _of_function(system, x, y)
    shape = (len(x), len(y))
    spacing = _spacing(coarse, min(shape))
    growth = np.full(shape, np.nan)
    done = 0

    def classes(place_x: IntArray, place_y: IntArray) -> IntArray:
        nonlocal done
        found = evaluate(place_x, place_y)
        if found.growth_rate is not None:
            growth[place_x, place_y] = found.growth_rate
        if points is not None and not (exhaustive or done):
            points.trust([phase_grids.lattice_lines(length, spacing) for length in shape])
        done += len(place_x)
        if progress is not None:
            progress(done, shape[0] * shape[1], 0)
        return found.code

    grid = phase_grids.exhaustive(classes, shape) if exhaustive else phase_grids.adaptive(classes, shape, spacing)
    if progress is not None:
        progress(shape[0] * shape[1], shape[0] * shape[1], 0)
    refused = points.refused if points is not None else ""
    if (grid.code == IMPOSSIBLE).all():
        raise ScenarioError(f"No point of the diagram is a scenario: {refused}")
    has_growth = bool(np.isfinite(growth).any())
    return PhaseDiagram(x, y, label, known, *grid, growth if has_growth else None, refused, evaluate)


def _spacing(coarse: int | None, n_points: int) -> int:
    """Spacing of the first lattice, given or by default."""
    if coarse is None:
        return next((spacing for spacing in (16, 8, 4, 2) if n_points - 1 >= spacing * _FEWEST_CELLS), 1)
    spacing = checks.integer("coarse", coarse, minimum=1, maximum=2**20, error=ScenarioError)
    if spacing & (spacing - 1):
        raise ScenarioError(f"`coarse` must be a power of two, but is {spacing}.")
    return spacing


def _axis_of(given: PlaneAxis | Axis | Mapping[str, Any], base: Scenario) -> PlaneAxis:
    if not isinstance(given, PlaneAxis):
        return axis_of(given, base)
    if not given.settings:
        raise ScenarioError(f"`{given.name}` must name a parameter of the scenario, but is an axis of bare values.")
    return given


def _of_scenarios(points: Points, rule: phase_classes.Rule) -> _Evaluate:
    """Classes of scenarios at places along both axes."""

    def evaluate(place_x: npt.NDArray[Any], place_y: npt.NDArray[Any]) -> Classes:
        records, possible = [], np.zeros(len(place_x), bool)
        for index, (u, v) in enumerate(zip(place_x.tolist(), place_y.tolist(), strict=True)):
            scenario = points.scenario(u, v)
            if scenario is None:
                continue
            try:
                records.append(rule.read(scenario))
            except StochbindError:
                # Of a point that was trusted: either its numbers make no scenario, or the rule fails at one that is.
                if points.scenario(u, v, checked=True) is not None:
                    raise
                continue
            possible[index] = True
        code, growth = np.full(len(place_x), IMPOSSIBLE, np.int64), np.full(len(place_x), np.nan)
        if not records:
            return Classes(code, growth)
        found = rule.judge(records)
        code[possible] = found.code
        if found.growth_rate is None:
            return Classes(code)
        growth[possible] = found.growth_rate
        return Classes(code, growth)

    return evaluate


def _of_function(function: Callable[[FloatArray, FloatArray], Any], x: PlaneAxis, y: PlaneAxis) -> _Evaluate:
    """Classes that a function gives, at places along both axes."""

    def evaluate(place_x: npt.NDArray[Any], place_y: npt.NDArray[Any]) -> Classes:
        code = phase_classes.whole("system", function(x.at(place_x), y.at(place_y)))
        if code.shape != place_x.shape:
            raise ScenarioError(
                f"`system` must give one number for each point, shape {place_x.shape}, but gives shape {code.shape}."
            )
        return Classes(code)

    return evaluate
