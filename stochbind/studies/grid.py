"""A sweep of one's own as a study: everything that its points tell, in one table and one figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine.sweep_store import SweepStore
from stochbind.engine.sweeps import with_run
from stochbind.errors import PlanError
from stochbind.scenario import Scenario, Sweep
from stochbind.studies.base import Design, Study, analysed, notes_of, points
from stochbind.studies.tables import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.plots.studies import Curve

#: Most particles or pairs in a panel.
_MOST_CURVES = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class SweepStudy(Study):
    """A finished study of a sweep."""

    @property
    def title(self) -> str:
        """What the study is of."""
        return f"Sweep: {self.sweep.base.name}"

    @property
    def shown(self) -> Sequence[str]:
        """Quantities that the report lists: all."""
        return tuple(dict.fromkeys(line.quantity for line in self.table))

    def findings(self) -> Iterator[str]:
        """Where the temperatures are highest and lowest."""
        unit, names = " K" if self.unit else "", self.sweep.base.oscillators().names
        for name in ("kinetic temperature", "position temperature"):
            lines = [line for line in self.table if line.quantity == name and line.where in names]
            if lines:
                least, most = min(lines, key=lambda line: line.value), max(lines, key=lambda line: line.value)
                yield (
                    f"The {name} goes from {least.value:.5g} +- {least.stderr:.2g}{unit} (particle {least.where}, "
                    f"{self.sweep.label(least.point)}) to {most.value:.5g} +- {most.stderr:.2g}{unit} (particle "
                    f"{most.where}, {self.sweep.label(most.point)})."
                )
                return

    def panels(self) -> Iterator[str]:
        """What the panels of the figure show."""
        for what in ("Temperatures of the particles", "Heat from their baths", "Work of their couplings"):
            yield f"{what} over {self.sweep.axes[0].name}."

    def figure(self) -> Figure:
        """Temperatures, heat currents and powers over the first axis, the others at their first value; deviations."""
        from stochbind.plots import studies as plots

        first, *others = self.sweep.axes
        label = f"{first.name} ({first.unit})" if first.unit else first.name
        names = [str(value) for value in first.values] if first.values.dtype.kind == "U" else []
        fixed = f"; {', '.join(axis.name for axis in others)} at the first value" if others else ""
        known = {line.quantity for line in self.table}
        kind = "kinetic temperature" if "kinetic temperature" in known else "position temperature"
        figure, axes = plots.panels((2, 2), f"{self.title}{fixed}")
        kelvin = "K" if self.unit else ""
        shown = ((kind, kelvin), ("heat from the bath", self.unit), ("work of the coupling", self.unit))
        for ax, (quantity, unit) in zip(axes, shown, strict=False):
            curves = list(self._curves(quantity))
            plots.curves(ax, curves, xlabel=label, ylabel=quantity, unit=unit, title=quantity, names=names)
        plots.distances(axes[3], np.array([line.z for line in self.table]))
        plots.letter(axes)
        return figure

    def _curves(self, quantity: str) -> Iterator[Curve]:
        """A curve over the first axis for each particle or pair."""
        from stochbind.plots.studies import Curve

        first = self.sweep.axes[0]
        number = math.prod(len(axis) for axis in self.sweep.axes[1:])
        x: FloatArray = (
            np.arange(len(first), dtype=np.float64)
            if first.values.dtype.kind == "U"
            else np.asarray(first.values, dtype=np.float64)
        )
        on_axis = [line for line in self.table if line.quantity == quantity and line.point % number == 0]
        on_axis = [line for line in on_axis if "mode" not in line.where]
        for where in list(dict.fromkeys(line.where for line in on_axis))[:_MOST_CURVES]:
            lines = [line for line in on_axis if line.where == where]
            at = x[[line.point // number for line in lines]]
            value, stderr, exact = (
                np.array([getattr(line, name) for line in lines]) for name in ("value", "stderr", "exact")
            )
            yield Curve(where.replace("<-", "←"), at, value, stderr, at, exact)


class SweepDesign(Design):
    """A sweep as it was given; see `sweep`."""

    def __init__(
        self,
        given: Scenario | Sweep,
        *,
        n_trajectories: int | None = None,
        n_steps: int | None = None,
        step: float | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(given, Sweep):
            raise PlanError(
                f"{given.name}: has no [sweep] table, so that there is one point only; add one, or use `stochbind run` "
                "and `validate`."
            )
        effort: dict[str, Any] = {"n_trajectories": n_trajectories, "n_steps": n_steps, "step": step, "seed": seed}
        self.sweep = with_run(given, **effort)

    def evaluate(self, store: SweepStore, directory: Path) -> SweepStudy:
        """The study of a finished sweep."""
        table: list[Line] = []
        notes = notes_of(store.sweep)
        for index, point, dataset in points(store):
            table += analysed(index, store.sweep.coordinates(index), point, dataset, notes)
        return SweepStudy(
            directory=directory, sweep=store.sweep, fingerprint=store.fingerprint, table=tuple(table),
            notes=tuple(notes.told()),
        )  # fmt: skip
