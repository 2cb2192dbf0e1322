r"""The refrigerator study: couplings onto the colder bath are swept through the point where cooling ends.

Heat is what the ledger of each trajectory adds up: the energy gained less the work of the couplings. In a long run its
error bar is that of the work alone, and several times smaller than that of the heat current from second moments, which
is a small difference of large numbers. Both are in the table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import optimize

from stochbind import checks
from stochbind.analysis import refrigerators, windows
from stochbind.analysis.statistics import Estimate
from stochbind.checks import FloatArray
from stochbind.engine.sweep_store import SweepStore
from stochbind.engine.sweeps import with_run
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators
from stochbind.scenario import OscillatorScenario, Scenario, Sweep
from stochbind.studies.base import Design, Study, analysed, notes_of, points, require_oscillators, steady_run
from stochbind.studies.tables import Line, lines_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.plots.studies import Curve

#: The points reach from and to so much of the ratio at which cooling ends.
_FROM, _TO = 0.15, 1.35
#: Fewest points that a fit of three coefficients can be judged by.
_FEWEST_POINTS = 5
#: A bias of a fit that is none.
_ROUND_OFF = 1e-9
#: Points of exact curves, and of each side of the map.
_CURVE, _SIDE = 91, 46
#: Steps of each trajectory.
_USUAL_STEPS = 65536


@dataclass(frozen=True, eq=False, kw_only=True)
class Zero:
    """Where the heat current of the colder bath changes its sign.

    Attributes
    ----------
    found : Estimate
        Ratio of the couplings, from a fit to the simulated currents.
    exact : float
        Ratio of the temperatures.
    bias : float
        What the same fit to the exact currents is off by: the error of its form.
    chi_square : float
        Of the fit.
    n_free : int
        Points less coefficients.
    """

    found: Estimate
    exact: float
    bias: float
    chi_square: float
    n_free: int

    @property
    def relative_error(self) -> float:
        """Distance from the exact ratio, relative to it."""
        return float(self.found.value) / self.exact - 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class RefrigeratorStudy(Study):
    """A finished refrigerator study.

    Attributes
    ----------
    ratio : (n,) float
        Couplings onto the colder bath over those onto the hotter one, at each point.
    zero : Zero
        Where cooling ends.
    best : BestCooling
        Where the colder bath is cooled most, exactly.
    """

    ratio: FloatArray
    zero: Zero
    best: refrigerators.BestCooling

    @property
    def title(self) -> str:
        """What the study is of."""
        return f"Refrigerator: {self.sweep.base.name}"

    @property
    def shown(self) -> Sequence[str]:
        """Quantities that the report lists."""
        return ("bath heat", "light work", "performance")

    @property
    def array(self) -> Oscillators:
        """The oscillators of the scenario."""
        return self.sweep.base.oscillators()

    def findings(self) -> Iterator[str]:
        """What was found."""
        zero, found = self.zero, self.zero.found
        yield (
            f"The heat current of the colder bath changes its sign at c_cold/c_hot = {float(found.value):.5g} +- "
            f"{float(found.stderr):.2g}; exactly at T_cold/T_hot = {zero.exact:.5g}, {zero.relative_error:+.2%} away "
            f"(z = {float(found.z(zero.exact)):+.2f})."
        )
        form = "is exact" if abs(zero.bias) < _ROUND_OFF else f"moves the zero by {zero.bias / zero.exact:+.1e} of it"
        yield f"The fit has a chi square of {zero.chi_square:.3g} at {zero.n_free} degrees of freedom; its form {form}."
        best = self.best.balance
        yield (
            f"The colder bath is cooled most at c_cold/c_hot = {self.best.ratio:.4g}, by {best.cooling_power:.4g}"
            f"{f' {self.unit}' if self.unit else ''}, with a coefficient of performance of {best.performance:.4g}, "
            f"{best.efficiency:.3g} of Carnot's {best.carnot:.4g}."
        )
        error = np.abs(self.column("bath heat", "cold").stderr).max() / best.cooling_power
        yield f"The error bars of the heat of the colder bath are at most {error:.2%} of the largest cooling power."

    def panels(self) -> Iterator[str]:
        """What the panels of the figure show."""
        yield (
            "Heat from both baths and work of the light over the ratio of the couplings. They change their signs "
            "together where cooling ends: at the ratio of the temperatures (dotted), and as found by a fit (diamond)."
        )
        yield (
            "Cooling power per work where the colder bath is cooled, Carnot's limit (dotted), and the ratio of the "
            "couplings at which cooling is largest (star)."
        )
        yield (
            "Exact cooling power over the ratios of couplings and temperatures, blue where the colder bath is cooled, "
            "red where it is heated; below the thick line nothing is cooled. Thin lines have equal performance, which "
            "is written at them. Circles are the simulated points, filled with the colour of what was found."
        )

    def figure(self) -> Figure:
        """Heat and work over the ratio of the couplings, performance, map, and deviations."""
        from stochbind.plots import studies as plots

        line_x = np.linspace(0.0, 1.05 * float(self.ratio.max()), _CURVE)
        limit = self.zero.exact
        exact = refrigerators.cooling_map(self.array, line_x, [limit])
        cold, work = exact.cooling_power[:, 0], exact.work[:, 0]
        figure, axes = plots.panels((2, 2), self.title)
        currents = [
            self._curve("from the cold bath", "bath heat", "cold", line_x, cold),
            self._curve("from the hot bath", "bath heat", "hot", line_x, -cold - work),
            self._curve("work of the light", "light work", "", line_x, work),
        ]
        label = "coupling onto the cold / onto the hot"
        plots.curves(
            axes[0], currents, xlabel=label, ylabel="energy current to the particles", unit=self.unit,
            title="energy currents",
        )  # fmt: skip
        axes[0].axhline(0.0, color="0.8", lw=0.8, zorder=0)
        found = self.zero.found
        axes[0].axvline(limit, color="0.6", ls=":", zorder=0, label="temperature, cold / hot")
        axes[0].errorbar(
            [float(found.value)], [0.0], xerr=[float(found.stderr)], fmt="D", color="k", ms=4, capsize=3,
            label="end of cooling, fit",
        )  # fmt: skip
        legend = axes[0].legend(framealpha=1.0, edgecolor="none", fontsize="small")
        legend.set_zorder(1)  # it covers the dotted line, but no curve
        performance = [self._curve("simulated", "performance", "", line_x, exact.performance[:, 0])]
        plots.curves(axes[1], performance, xlabel=label, ylabel="cooling power / work", title="performance")
        axes[1].axhline(self.best.balance.carnot, color="0.6", ls=":", label="Carnot")
        axes[1].plot([self.best.ratio], [self.best.balance.performance], "*", color="k", label="most cooling")
        axes[1].legend(frameon=False, fontsize="small")
        chart = refrigerators.cooling_map(self.array, np.linspace(0.02, 1.2, _SIDE), np.linspace(0.02, 1, _SIDE))
        cooled = self.column("bath heat", "cold").value
        plots.cooling_chart(
            axes[2],
            plots.Chart(*chart[:3], chart.performance, self.ratio, cooled, limit, self.best.ratio),
            unit=self.unit,
        )
        plots.distances(axes[3], np.array([line.z for line in self.table]))
        plots.letter(axes)
        return figure

    def _curve(self, label: str, quantity: str, where: str, line_x: FloatArray, line: FloatArray) -> Curve:
        from stochbind.plots.studies import Curve

        found = self.column(quantity, where)
        return Curve(label, self.ratio[: len(found.value)], found.value, found.stderr, line_x, line)


class RefrigeratorDesign(Design):
    """A sweep of the couplings onto the colder bath; see `refrigerator`."""

    def __init__(
        self,
        scenario: Scenario | Sweep,
        *,
        n_points: int = 9,
        n_trajectories: int | None = None,
        n_steps: int | None = None,
        step: float | None = None,
        seed: int | None = None,
    ) -> None:
        base = require_oscillators(scenario, "couplings")
        count = checks.integer("points", n_points, minimum=_FEWEST_POINTS, maximum=1000, error=PlanError)
        array = base.oscillators()
        self.bath = refrigerators.baths_of(array)  # the colder one is number 0
        if self.bath.max() != 1:
            raise PlanError(
                f"{base.name}: has {self.bath.max() + 1} bath temperatures, but this study is of two; give the "
                "particles two temperatures."
            )
        temperature = [float(array.bath_temperature[self.bath == b][0]) for b in (0, 1)]
        self.limit = temperature[0] / temperature[1]
        self.best = refrigerators.best_cooling(array)
        self.ratio = self.limit * np.linspace(_FROM, _TO, count)
        sweep = Sweep(base, [_axis(base, self.bath == 0, self.ratio)])
        run = steady_run(n_trajectories, _USUAL_STEPS if n_steps is None else n_steps, step, seed)
        self.sweep = with_run(sweep, **run)

    def evaluate(self, store: SweepStore, directory: Path) -> RefrigeratorStudy:
        """The study of a finished sweep."""
        table: list[Line] = []
        notes = notes_of(store.sweep)
        for index, point, dataset in points(store):
            parameters = {**store.sweep.coordinates(index), "ratio": float(self.ratio[index])}
            table += self._lines(index, parameters, point.plan.scenario, dataset)
            table += analysed(index, parameters, point, dataset, notes)
        heat = [line for line in table if (line.quantity, line.where) == ("bath heat", "cold")]
        array = store.sweep.base.oscillators()
        return RefrigeratorStudy(
            directory=directory, sweep=store.sweep, fingerprint=store.fingerprint, table=tuple(table),
            notes=tuple(notes.told()), ratio=self.ratio, zero=self._zero(array, heat), best=self.best,
        )  # fmt: skip

    def _lines(self, index: int, parameters: dict[str, Any], scenario: Scenario, dataset: xr.Dataset) -> Iterator[Line]:
        """Heat of each bath, work, and their ratio at a point."""
        array = scenario.oscillators()
        exact = refrigerators.balance(array, bath=self.bath)
        unit = "" if array.reduced else "W"
        heat = bath_heat(dataset, np.array([self.bath == 0, self.bath == 1], dtype=np.float64))
        yield from lines_of(index, parameters, "bath heat", ("cold", "hot"), unit, heat, exact.heat)
        work = bath_heat(dataset, -np.ones((1, len(self.bath))))
        yield from lines_of(index, parameters, "light work", ("",), unit, work, np.array([exact.work]))
        if math.isnan(exact.performance):
            return
        ratio = heat.value[0] / work.value[0]
        # to first order, what an error of the heats does to their ratio
        change = bath_heat(dataset, (np.where(self.bath == 0, 1.0, 0.0) + ratio)[None] / work.value[0])
        performance = Estimate(np.array([ratio]), change.stderr, heat.n_eff)
        exact_ratio = np.array([exact.performance])
        yield from lines_of(index, parameters, "performance", ("",), "", performance, exact_ratio)

    def _zero(self, array: Oscillators, heat: Sequence[Line]) -> Zero:
        value, stderr, exact = (
            np.array([getattr(line, name) for line in heat]) for name in ("value", "stderr", "exact")
        )
        bent = not (array.overdamped and array.n_oscillators == 2)
        found, chi_square = sign_change(self.ratio, Estimate(value, stderr, heat[0].n_eff), bent=bent)
        ideal, _ = sign_change(self.ratio, Estimate(exact, stderr, heat[0].n_eff), bent=bent)
        return Zero(
            found=found, exact=self.limit, bias=float(ideal.value) - self.limit, chi_square=chi_square,
            n_free=len(heat) - (3 if bent else 2),
        )  # fmt: skip


def _axis(base: OscillatorScenario, cold: npt.NDArray[np.bool_], ratio: FloatArray) -> dict[str, Any]:
    """The axis of a sweep: couplings onto the cold bath as multiples of those the other way."""
    n = len(base.particle)
    coupling = base.oscillators().coupling[:n, :n]  # of the first of all copies
    settings = [
        {"parameter": f"coupling[{j}][{k}]", "values": [float(r * coupling[k, j]) for r in ratio]}
        for j in np.flatnonzero(cold[:n]).tolist()
        for k in np.flatnonzero(~cold[:n]).tolist()
        if coupling[k, j] != 0.0
    ]
    if not settings:
        raise PlanError(
            f"{base.name}: has no coupling onto the particles in the hotter bath from those in the colder one; give "
            "one, and the study finds those the other way."
        )
    return {**settings[0], "name": "coupling_onto_cold", "along": settings[1:]}


def bath_heat(dataset: xr.Dataset, weights: FloatArray) -> Estimate:
    """Weighted sums of the heat currents from the baths to the oscillators, from the ledger.

    Parameters
    ----------
    dataset : xarray.Dataset
        A run that was in its steady state all the time, without momentum diffusion, with the statistic "currents".
    weights : (K, N) float
        Of the oscillators in each sum.

    Returns
    -------
    Estimate
        [W], shape (K,).
    """
    sample = dataset["current_heat"]
    *_, of_oscillators = map(str, sample.dims)
    sums = xr.dot(sample, xr.DataArray(weights, dims=("sum", of_oscillators)), dim=of_oscillators)
    found = windows.path_current(dataset.assign(current_heat=sums), "heat", 0.0)
    assert found is not None
    return found


def sign_change(ratio: FloatArray, heat: Estimate, *, bent: bool) -> tuple[Estimate, float]:
    r"""Where a current changes its sign, by a weighted fit of :math:`g\,r\,(z - r)/(1 + s\,r)`.

    So the heat of the colder bath depends on the ratio r of the couplings, for overdamped pairs with :math:`s = 0`.

    Parameters
    ----------
    ratio : (n,) float
        r.
    heat : Estimate
        Currents, (n,), independent of each other.
    bent : bool
        Whether s is fitted too; else it is zero.

    Returns
    -------
    zero : Estimate
        z, with its error bar from those of the currents.
    chi_square : float
        Of the fit.

    Raises
    ------
    TooFewSamplesError
        If the zero is not found between the points.
    """

    def form(r: FloatArray, gain: float, zero: float, bend: float = 0.0) -> FloatArray:
        return np.asarray(gain * r * (zero - r) / (1.0 + bend * r))

    value, stderr = heat.value / heat.stderr.max(), heat.stderr / heat.stderr.max()
    weighted = np.stack([ratio, -(ratio**2)], axis=1) / stderr[:, None]
    linear, gain = np.linalg.lstsq(weighted, value / stderr)[0]
    guess = [gain, linear / gain, 0.0] if bent else [gain, linear / gain]
    try:
        with checks.without_warnings():  # of a covariance that cannot be told, which is then infinite
            found, covariance = optimize.curve_fit(
                form, ratio, value, guess, stderr, absolute_sigma=True, maxfev=10_000
            )
        zero, error = float(found[1]), math.sqrt(covariance[1, 1])
    except RuntimeError:  # no minimum was found
        zero, error = math.nan, math.inf
    if not ratio.min() + error < zero < ratio.max() - error:
        raise TooFewSamplesError(
            "Where the heat current of the colder bath changes its sign cannot be told from these points, as far as "
            "their error bars go; run longer, or more trajectories."
        )
    chi_square = float(np.sum(((value - form(ratio, *found)) / stderr) ** 2))
    return Estimate(np.asarray(zero), np.asarray(error), heat.n_eff), chi_square
