"""Figures of studies: quantities over a parameter, simulated and exact, and the map of a refrigerator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.plots.style import COLORS, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Beyond so many curves there is no legend.
_MOST_LABELS = 12
#: Deviations beyond this many standard errors are drawn as if they were so large.
_WIDEST = 6.0


class Curve(NamedTuple):
    """One quantity over a parameter.

    Attributes
    ----------
    label : str
        For the legend.
    x, value, stderr : (n,) float
        Where it was simulated, the estimates and their standard errors.
    line_x, line : (m,) float
        The exact curve; empty if there is none.
    """

    label: str
    x: FloatArray
    value: FloatArray
    stderr: FloatArray
    line_x: FloatArray
    line: FloatArray


def curves(
    ax: Axes,
    given: Sequence[Curve],
    *,
    xlabel: str,
    ylabel: str,
    unit: str = "",
    title: str = "",
    names: Sequence[str] = (),
) -> Axes:
    """Quantities over a parameter: points with error bars simulated, lines exact.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    given : sequence of Curve
        What to draw.
    xlabel, ylabel, title : str
        The words.
    unit : str
        SI unit of the quantities; empty if they have none.
    names : sequence of str
        Of the places 0, 1, ... on the horizontal axis, where the parameter is no number.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    factor, prefix = scale(np.concatenate([curve.value for curve in given] or [np.zeros(1)]), not unit)
    for number, curve in enumerate(given):
        color = COLORS[number % len(COLORS)]
        ax.plot(curve.line_x, curve.line / factor, color=color, lw=1)
        ax.errorbar(
            curve.x, curve.value / factor, curve.stderr / factor, fmt="o", ms=4, capsize=3, color=color,
            label=curve.label if len(given) <= _MOST_LABELS else None,
        )  # fmt: skip
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small")
    if names:
        ax.set_xticks(range(len(names)), names)
    ax.set(xlabel=xlabel, ylabel=f"{ylabel} ({prefix}{unit})" if unit else ylabel, title=title)
    return ax


class Chart(NamedTuple):
    """Cooling power over the ratios of couplings and temperatures, with the points of a study.

    Attributes
    ----------
    ratio : (n,) float
        Of the couplings.
    temperature_ratio : (m,) float
        Of the baths.
    cooling_power, performance : (n, m) float
        NaN where the array is unstable; the performance also where nothing is cooled.
    point_ratio : (p,) float
        Ratios of couplings that were simulated.
    point_cooling : (p,) float
        Cooling power there.
    point_temperature_ratio : float
        Of the baths there.
    best_ratio : float
        Ratio of couplings of the most cooling there.
    """

    ratio: FloatArray
    temperature_ratio: FloatArray
    cooling_power: FloatArray
    performance: FloatArray
    point_ratio: FloatArray
    point_cooling: FloatArray
    point_temperature_ratio: float
    best_ratio: float


def cooling_chart(ax: Axes, chart: Chart, *, unit: str = "") -> Axes:
    """Cooling power in colours, with its sign change, lines of equal performance, and simulated points."""
    top = float(np.nanmax(chart.cooling_power, initial=0.0)) or 1.0
    factor, prefix = scale(np.array([top]), not unit)
    colors: Any = {"cmap": "RdBu", "vmin": -top / factor, "vmax": top / factor}
    cooling = chart.cooling_power.T / factor
    mesh = ax.pcolormesh(
        chart.ratio,
        chart.temperature_ratio,
        cooling,
        shading="gouraud",
        rasterized=True,
        **colors,
    )
    limit = ax.contour(chart.ratio, chart.temperature_ratio, cooling, [0.0], colors="k", linewidths=1.2)
    levels = [0.25, 0.5, 1.0, 2.0, 4.0]
    lines = ax.contour(chart.ratio, chart.temperature_ratio, chart.performance.T, levels, colors="0.4", linewidths=0.6)
    for level, parts in zip(levels, lines.allsegs, strict=True):
        ends = np.concatenate([np.empty((0, 2)), *parts])
        if len(ends):  # the level is on the map
            x, y = ends[ends[:, 1].argmax()]
            ax.annotate(f"{level:g}", (x, y), (2, -9), textcoords="offset points", fontsize="x-small")
    points = ax.scatter(
        chart.point_ratio, np.full(len(chart.point_ratio), chart.point_temperature_ratio), s=40, edgecolors="k",
        c=chart.point_cooling / factor, zorder=3, **colors,
    )  # fmt: skip
    (best,) = ax.plot([chart.best_ratio], [chart.point_temperature_ratio], "*", color="k", ms=7, zorder=4)
    assert ax.figure is not None
    clipped = bool(np.nanmin(cooling) < -top / factor)
    label = f"cooling power ({prefix}{unit})" if unit else "cooling power"
    ax.figure.colorbar(mesh, ax=ax, label=label, extend="min" if clipped else "neither")
    keys = {
        "simulated": points,
        "most cooling": best,
        "no cooling below": limit.legend_elements()[0][0],
        "equal performance": lines.legend_elements()[0][0],
    }
    ax.legend(list(keys.values()), list(keys), loc="lower right", framealpha=1.0, fontsize="small")
    ax.set(
        xlabel="coupling onto the cold / onto the hot", ylabel="temperature, cold / hot", title="cooling power, exact",
        xlim=(0.0, chart.ratio[-1]), ylim=(0.0, chart.temperature_ratio[-1]),
    )  # fmt: skip
    return ax


def distances(ax: Axes, z: FloatArray) -> Axes:
    """Histogram of distances from the exact values in standard errors, beside what chance alone gives."""
    known = z[np.isfinite(z)]
    edge, curve = np.linspace(-_WIDEST, _WIDEST, 25), np.linspace(-_WIDEST, _WIDEST, 241)
    ax.hist(np.clip(known, -0.999 * _WIDEST, 0.999 * _WIDEST), edge.tolist(), color="0.75", label="all quantities")
    normal = len(known) * (edge[1] - edge[0]) * np.exp(-0.5 * curve**2) / np.sqrt(2 * np.pi)
    ax.plot(curve, normal, color="k", lw=1, label="normal distribution")
    ax.legend(frameon=False, fontsize="small")
    ax.set(xlabel="deviation / standard error, z", ylabel="number of quantities", title="deviations from exact values")
    return ax


def described(figure: Figure) -> str:
    """What the panels of a figure show, in words for those who cannot see it: titles and axes."""
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    shown = "; ".join(f"{ax.get_title(loc='left')}: {ax.get_ylabel()} over {ax.get_xlabel()}" for ax in panels)
    return f"{figure.get_suptitle()}. {len(panels)} panels. {shown}."


def hides_error_bars(figure: Figure) -> bool:
    """Whether every error bar of a figure is shorter than the point that it belongs to."""
    from matplotlib.container import ErrorbarContainer

    figure.draw_without_rendering()  # the layout decides how long they are
    for ax in figure.axes:
        for container in ax.containers:
            if not isinstance(container, ErrorbarContainer):
                continue
            point, _, bars = container
            for bar in bars:
                ends = ax.transData.transform(np.reshape(bar.get_segments(), (-1, 2))).reshape(-1, 2, 2)
                length = np.abs(ends[:, 1] - ends[:, 0]).max(initial=0.0) * 72.0 / figure.dpi
                if length > point.get_markersize():
                    return False
    return True


def panels(shape: tuple[int, int], title: str) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of panels, (rows, columns), which are lettered by `letter`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * shape[1], 3.8 * shape[0]), layout="constrained")
    figure.suptitle(title, fontsize="large")
    return figure, list(np.ravel(figure.subplots(*shape)))


def letter(axes: Sequence[Axes]) -> None:
    """Put letters before the titles of panels, at the left."""
    for name, ax in zip("abcdefgh", axes, strict=False):
        ax.set_title(f"({name}) {ax.get_title()}", loc="left", fontsize="medium")
        ax.set_title("", loc="center")
