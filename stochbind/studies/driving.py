r"""The one-way study: a driven particle is heated by the motion of its driver, whatever its own bath does.

With :math:`c_B = 0` the heat into the bath of the driven particle A is :math:`c_A^2 T_B/(\gamma_B u_A + \gamma_A u_B)`
overdamped, and :math:`c_A^2 \Gamma T_B` underdamped: independent of :math:`T_A`. The bath of the driver B exchanges
nothing, and information flows from B to A.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.analysis import thermodynamics
from stochbind.analysis.statistics import Estimate
from stochbind.checks import FloatArray
from stochbind.engine.sweep_store import SweepStore
from stochbind.engine.sweeps import with_run
from stochbind.errors import PlanError
from stochbind.scenario import OscillatorScenario, Scenario, Sweep
from stochbind.studies.base import Design, Study, analysed, notes_of, points, require_oscillators, steady_run
from stochbind.studies.cooling import bath_heat
from stochbind.studies.tables import Line, lines_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.plots.studies import Curve

#: The temperature of the driven particle's bath goes from and to so much of the driver's.
_FROM, _TO = 0.3, 3.0
#: Steps of each trajectory.
_USUAL_STEPS = 65536


@dataclass(frozen=True, eq=False, kw_only=True)
class OneWayStudy(Study):
    """A finished one-way study.

    Attributes
    ----------
    temperature : (n,) float
        Of the bath of the driven particle, at each point.
    driven, driver : str
        Names of the particles.
    heat : Estimate
        Heat into the bath of the driven particle, the weighted mean over all temperatures.
    change : Estimate
        What a straight line through the heat over the temperature changes by from the first point to the last,
        relative to the mean.
    largest : float
        Largest distance of a point from the mean, relative to it.
    driver_heat : Estimate
        Heat into the bath of the driver, the weighted mean over all temperatures; exactly zero.
    """

    temperature: FloatArray
    driven: str
    driver: str
    heat: Estimate
    change: Estimate
    largest: float
    driver_heat: Estimate

    @property
    def title(self) -> str:
        """What the study is of."""
        return f"One way: {self.sweep.base.name}"

    @property
    def shown(self) -> Sequence[str]:
        """Quantities that the report lists."""
        return ("heat into the bath", "information flow")

    def findings(self) -> Iterator[str]:
        """What was found."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = float(self.temperature.min()), float(self.temperature.max())
        exact = self.column("heat into the bath", self.driven).exact
        yield (
            f"The heat into the bath of particle {self.driven} is {float(self.heat.value):.5g} +- "
            f"{float(self.heat.stderr):.2g}{unit} at any temperature of that bath, exactly {exact[0]:.5g}{unit}: from "
            f"{low:.4g} to {high:.4g}{'' if not unit else ' K'} it changes by {float(self.change.value):+.2%} +- "
            f"{float(self.change.stderr):.2%}, and no point is more than {self.largest:.2%} from the mean."
        )
        nothing = self.driver_heat
        yield (
            f"The heat into the bath of particle {self.driver}, which drives it, is {float(nothing.value):.2g} +- "
            f"{float(nothing.stderr):.2g}{unit} (z = {float(nothing.z(0.0)):+.2f})."
        )
        flow = self.column("information flow", f"into {self.driven}")
        ends = (f"{flow.value[k]:.4g} +- {flow.stderr[k]:.2g}" for k in (flow.value.argmin(), flow.value.argmax()))
        yield (
            f"Information flows from {self.driver} to {self.driven}, {' to '.join(ends)} "
            f"nats{'/s' if unit else ' a unit of time'}."
        )

    def panels(self) -> Iterator[str]:
        """What the panels of the figure show."""
        over = f"over the temperature of the bath of particle {self.driven}"
        yield f"Heat into the baths of particle {self.driven}, the driven one, and of its driver {self.driver} {over}."
        yield f"Temperatures of both particles {over}."
        yield f"Information that the motion of particle {self.driven} gains on its driver {over}."

    def figure(self) -> Figure:
        """Heat into both baths, temperatures and information flow over the temperature of a bath; deviations."""
        from stochbind.plots import studies as plots

        figure, axes = plots.panels((2, 2), self.title)
        label = f"temperature of the bath of particle {self.driven}{' (K)' if self.unit else ''}"
        heat = [
            self._curve(f"bath of {name}{note}", "heat into the bath", name)
            for name, note in ((self.driven, ", driven"), (self.driver, ""))
        ]
        plots.curves(axes[0], heat, xlabel=label, ylabel="heat into the bath", unit=self.unit, title="heat")
        kind = "position" if self.sweep.base.oscillators().overdamped else "kinetic"
        felt = [self._curve(f"particle {name}", f"{kind} temperature", name) for name in (self.driven, self.driver)]
        kelvin = "K" if self.unit else ""
        plots.curves(axes[1], felt, xlabel=label, ylabel=f"{kind} temperature", unit=kelvin, title="temperatures")
        flow = [self._curve("", "information flow", f"into {self.driven}")]
        rate = "nats/s" if self.unit else ""
        plots.curves(
            axes[2], flow, xlabel=label, ylabel="information flow", unit=rate, title="information to the driven"
        )
        axes[2].set_ylim(bottom=0.0)
        for ax in axes[:3]:
            ax.set_xscale("log")
            for set_formatter in (ax.xaxis.set_major_formatter, ax.xaxis.set_minor_formatter):
                set_formatter("{x:.2g}")
            ax.tick_params(axis="x", which="both", labelsize="small")
        plots.distances(axes[3], np.array([line.z for line in self.table]))
        plots.letter(axes)
        return figure

    def _curve(self, label: str, quantity: str, where: str) -> Curve:
        from stochbind.plots.studies import Curve

        found = self.column(quantity, where)
        return Curve(label, self.temperature, found.value, found.stderr, self.temperature, found.exact)


class OneWayDesign(Design):
    """A sweep of the temperature of a driven particle's bath; see `one_way`."""

    def __init__(
        self,
        scenario: Scenario | Sweep,
        *,
        n_points: int = 7,
        n_trajectories: int | None = None,
        n_steps: int | None = None,
        step: float | None = None,
        seed: int | None = None,
    ) -> None:
        base = require_oscillators(scenario, "temperatures")
        count = checks.integer("points", n_points, minimum=3, maximum=1000, error=PlanError)
        base, self.driven = one_way_of(base)
        self.driver = 1 - self.driven
        temperature = float(base.oscillators().bath_temperature[self.driver])
        if temperature <= 0.0:
            raise PlanError(f"{base.name}: particle {self.driver} drives, and needs a bath above zero temperature.")
        axis = {
            "parameter": f"particle[{self.driven}].bath_temperature", "name": "driven_bath_temperature",
            "start": _FROM * temperature, "stop": _TO * temperature, "n": count, "spacing": "logarithmic",
        }  # fmt: skip
        run = steady_run(n_trajectories, _USUAL_STEPS if n_steps is None else n_steps, step, seed)
        self.sweep = with_run(Sweep(base, [axis]), **run)

    def evaluate(self, store: SweepStore, directory: Path) -> OneWayStudy:
        """The study of a finished sweep."""
        table: list[Line] = []
        notes = notes_of(store.sweep)
        for index, point, dataset in points(store):
            parameters = store.sweep.coordinates(index)
            table += self._lines(index, parameters, point.plan.scenario, dataset)
            table += analysed(index, parameters, point, dataset, notes)
        names = store.sweep.base.oscillators().names
        temperature = np.asarray(store.sweep.axes[0].values, dtype=np.float64)
        into = [
            _estimates([line for line in table if (line.quantity, line.where) == ("heat into the bath", names[j])])
            for j in (self.driven, self.driver)
        ]
        mean = weighted(into[0])
        return OneWayStudy(
            directory=directory, sweep=store.sweep, fingerprint=store.fingerprint, table=tuple(table),
            notes=tuple(notes.told()), temperature=temperature, driven=names[self.driven], driver=names[self.driver],
            heat=mean, change=relative_change(temperature, into[0]),
            largest=float(np.abs(into[0].value / mean.value - 1.0).max()), driver_heat=weighted(into[1]),
        )  # fmt: skip

    def _lines(self, index: int, parameters: dict[str, Any], scenario: Scenario, dataset: xr.Dataset) -> Iterator[Line]:
        """Heat into both baths."""
        array = scenario.oscillators()
        into = bath_heat(dataset, -np.eye(array.n_oscillators))
        exact = -thermodynamics.heat_current(array, array.langevin().stationary_covariance())
        yield from lines_of(
            index, parameters, "heat into the bath", array.names, "" if array.reduced else "W", into, exact
        )


def one_way_of(scenario: OscillatorScenario) -> tuple[OscillatorScenario, int]:
    """A pair with the weaker of its couplings set to zero, and the number of the particle that is driven.

    Raises
    ------
    PlanError
        If there are not two particles, baths are shared, or both couplings are equally strong.
    """
    array = scenario.oscillators()
    if scenario.bath:
        raise PlanError(
            f"{scenario.name}: names its baths, but this study changes one of them; give each particle its "
            "`bath_temperature`."
        )
    if array.n_oscillators != 2:
        raise PlanError(f"{scenario.name}: has {array.n_oscillators} particles, but this study is of two.")
    strength = np.abs(array.coupling)
    if strength[0, 1] == strength[1, 0]:
        raise PlanError(
            f"{scenario.name}: couples both particles to each other equally, so that neither drives the other; make "
            "one of the couplings the stronger one."
        )
    driven = int(strength[1, 0] > strength[0, 1])
    coupling = [[0.0, 0.0], [0.0, 0.0]]
    coupling[driven][1 - driven] = float(array.coupling[driven, 1 - driven])
    return type(scenario).model_validate({**scenario.to_dict(), "coupling": coupling}), driven


def _estimates(lines: Sequence[Line]) -> Estimate:
    return Estimate(np.array([line.value for line in lines]), np.array([line.stderr for line in lines]), lines[0].n_eff)


def weighted(given: Estimate) -> Estimate:
    """Mean of independent estimates, (n,), weighted by their error bars."""
    weight = given.stderr**-2.0
    return Estimate(
        np.asarray((weight @ given.value) / weight.sum()), np.asarray(weight.sum() ** -0.5), given.n_eff * len(weight)
    )


def relative_change(x: FloatArray, given: Estimate) -> Estimate:
    """What a weighted straight line through estimates, (n,), changes by over all x, relative to their mean."""
    span = float(x.max() - x.min())
    basis = np.stack([np.ones(len(x)), (x - x.mean()) / span], axis=1) / given.stderr[:, None]
    covariance = np.linalg.inv(basis.T @ basis)
    slope = float((covariance @ basis.T @ (given.value / given.stderr))[1])
    mean = abs(float(weighted(given).value))
    return Estimate(np.asarray(slope / mean), np.asarray(covariance[1, 1] ** 0.5 / mean), given.n_eff * len(x))
