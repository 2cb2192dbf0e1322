"""Figures of runs. One function per panel, which draws what it is given and computes nothing.

Colour is the particle (the receiver, for pairs), the marker is the quantity, points with error bars are simulated, and
lines are exact. Where particles move along several axes, labels such as "0x" name both.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.plots.style import COLORS, scale

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stochbind.analysis.validation import Row, Validation

#: More particles or pairs than this are not drawn.
_MOST = 12
#: Temperatures that differ by more than this factor have powers of ten beside their axis, others bare numbers.
_WIDE = 30.0
#: Part of a period between kept states above which lines between them would show another motion.
_COARSEST = 1.0 / 3.0


class Response(NamedTuple):
    """Susceptibility over frequency.

    Attributes
    ----------
    angular_frequency : (n,) float
        [rad/s].
    value : (n, N, N) complex
        Displacement of j per force on k [m/N].
    names : tuple of str
        Of the oscillators; by default their numbers.
    pair : (int, int)
        Two oscillators, whose response to each other is drawn.
    """

    angular_frequency: FloatArray
    value: ComplexArray
    names: tuple[str, ...] = ()
    pair: tuple[int, int] = (0, 1)


def overview(
    dataset: xr.Dataset,
    validation: Validation,
    exact: Response | None,
    found: Response | None,
    *,
    bath_temperature: FloatArray,
    reduced: bool = False,
    relaxation: FloatArray | None = None,
    unstable: str = "",
    period: float = math.inf,
) -> Figure:
    """The figure of a run: paths, temperatures, energy currents, response and deviations, simulated and exact.

    A run that kept no trajectories has no paths to draw.

    Parameters
    ----------
    dataset : xarray.Dataset
        The run.
    validation : Validation
        Its table.
    exact, found : Response
        Exact susceptibility, and that found from the record, if it can be. Without the exact one, there is no panel.
    bath_temperature : (N,) float
        [K].
    reduced : bool
        Whether the numbers are in reduced units.
    relaxation : (time, K) float, optional
        With finite baths, the exact average of their temperatures at the recorded times; drawn in place of currents.
    unstable : str
        Why there is no response, if there is none; its panel then says so.
    period : float
        The shortest of all modes [s]; of states that are farther apart than a third of it only points are drawn.

    Returns
    -------
    matplotlib.figure.Figure
        Five panels, or fewer.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    recorded = "position" in dataset
    panel = exact is not None or unstable
    below = ("eee" if recorded else "eeeeee") if not panel else "dee" if recorded else "ddeeee"
    axes = figure.subplot_mosaic(f"{'abc' if recorded else 'bbbccc'};{below}")
    if recorded:
        paths(axes["a"], dataset, reduced=reduced, period=period)
    temperatures(axes["b"], validation, bath_temperature, reduced=reduced)
    if relaxation is None:
        currents(axes["c"], validation, reduced=reduced)
    else:
        bath_temperatures(axes["c"], dataset, relaxation, reduced=reduced)
    if unstable:
        _only_words(axes["d"], "response", unstable)
    elif exact is not None:
        susceptibilities(axes["d"], exact, found, reduced=reduced)
    if not unstable and exact is not None and not validation.judged:
        points = "" if found is None else "points: from the record; "
        axes["d"].set_title(f"response ({points}lines: linearised)")
    deviations(axes["e"], validation)
    for letter, ax in zip("abcde", axes.values(), strict=False):
        ax.set_title(f"({letter}) {ax.get_title()}", loc="left", fontsize="medium")
        ax.set_title("", loc="center")
    figure.suptitle(f"{dataset.attrs.get('title', '')}, {validation.n_trajectories} trajectories", fontsize="large")
    return figure


def paths(ax: Axes, dataset: xr.Dataset, *, reduced: bool = False, n_saves: int = 60, period: float = math.inf) -> Axes:
    """Position of the particles in trajectory 0, over the last states of the record; a style for each axis.

    States that are farther apart than a third of `period` [s] are not joined by lines.
    """
    part = dataset["position"].isel(trajectory=0, time=slice(-n_saves, None))
    position, time, axes = part.to_numpy(), part["time"].to_numpy(), part["axis"].to_numpy()
    factor, prefix = scale(position, reduced)
    time_factor, time_prefix = scale(time - time[0], reduced)
    joined = len(time) < 2 or time[1] - time[0] <= _COARSEST * period
    styles = (".-", ".--", ".:") if joined else (".", "x", "+")
    n = position.shape[1]
    drawn = min(n, len(COLORS))
    for j in range(drawn):
        for a, (axis, style) in enumerate(zip(axes, styles, strict=False)):
            label = f"{j}{axis if len(axes) > 1 else ''}"
            y = position[:, j, a] / factor
            ax.plot((time - time[0]) / time_factor, y, style, color=COLORS[j], lw=1, label=label)
    ax.set(
        xlabel="time" + ("" if reduced else f" ({time_prefix}s)"),
        ylabel="position" + ("" if reduced else f" ({prefix}m)"),
        title="end of one trajectory" + ("" if joined else ", states only"),
    )
    title = "particle" if drawn == n else f"first {drawn} of {n} particles"
    ax.margins(y=0.08)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.32 * (top - bottom))  # room for the legend, which covers no motion
    ax.legend(title=title, frameon=False, fontsize="small", ncols=4, loc="upper center", title_fontsize="small")
    return ax


def temperatures(ax: Axes, validation: Validation, bath_temperature: FloatArray, *, reduced: bool = False) -> Axes:
    """Kinetic and position temperature of each particle, and that of its bath; or of each particle along each axis."""
    known = ("kinetic temperature", "position temperature")
    names = list(dict.fromkeys(row.where for row in validation.rows if row.quantity in known))[:_MOST]
    n = len(names)
    for shift, marker, name in zip((-0.15, 0.15), "os", known, strict=True):
        rows = [row for row in validation.rows if row.quantity == name and row.where in names]
        for row in rows:
            _point(ax, names.index(row.where) + shift, row, marker, _color(row.where), 1.0)
        if rows:
            ax.plot([], [], marker, color="0.4", ms=4, label=name.removesuffix(" temperature"))
    ax.hlines(bath_temperature[:n], np.arange(n) - 0.4, np.arange(n) + 0.4, color="0.6", ls=":", label="bath")
    if validation.judged:
        ax.plot([], [], color="k", lw=1, label="exact")
    values = [_truth(row) for row in validation.rows if row.quantity.endswith("temperature")]
    values += [each for each in bath_temperature[:n].tolist() if each > 0]
    if values and min(values) > 0 and max(values) > 3 * min(values):
        ax.set_yscale("log")
        if max(values) < _WIDE * min(values):
            for set_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
                set_formatter("{x:g}")
    ax.set(xlabel="particle", ylabel="temperature" + ("" if reduced else " (K)"), title="temperatures")
    ax.set_xticks(range(n), names)
    ax.legend(frameon=False, fontsize="small")
    return ax


def bath_temperatures(ax: Axes, dataset: xr.Dataset, exact: FloatArray, *, reduced: bool = False) -> Axes:
    """Temperatures of shared baths: mean and scatter of the trajectories, and the exact average, (time, K)."""
    found = dataset["bath_temperature"]
    mean, scatter = found.mean("trajectory").to_numpy(), found.std("trajectory").to_numpy()
    factor, prefix = scale(found["time"].to_numpy(), reduced)
    time = found["time"].to_numpy() / factor
    for k, name in enumerate(found["bath"].to_numpy()[: len(COLORS)]):
        color = COLORS[k]
        ax.fill_between(time, mean[:, k] - scatter[:, k], mean[:, k] + scatter[:, k], color=color, alpha=0.25, lw=0)
        ax.plot(time, mean[:, k], color=color, lw=1.5, label=str(name))
        ax.plot(time, exact[:, k], color="k", lw=1, ls="--")
    ax.plot([], [], color="k", lw=1, ls="--", label="exact")
    ax.set(
        xlabel="time" + ("" if reduced else f" ({prefix}s)"),
        ylabel="temperature" + ("" if reduced else " (K)"),
        title="baths (band: scatter of trajectories)",
    )
    ax.legend(frameon=False, fontsize="small")
    return ax


def currents(ax: Axes, validation: Validation, *, reduced: bool = False) -> Axes:
    """Heat from the gas to each particle, and the power that each receives from others; the largest, where many."""
    rows = [row for row in validation.rows if row.quantity in ("heat current", "power")]
    least = sorted((abs(_truth(row)) for row in rows), reverse=True)[:_MOST][-1:]
    rows = [row for row in rows if abs(_truth(row)) >= least[0]][:_MOST]
    factor, prefix = scale(np.array([_truth(row) for row in rows]), reduced)
    labels = []
    for at, row in enumerate(rows):
        marker = "o" if row.quantity == "heat current" else "s"
        _point(ax, at, row, marker, _color(row.where), factor)
        labels.append(f"{row.where} ← bath" if row.quantity == "heat current" else row.where.replace("<-", "←"))
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.set_xticks(range(len(rows)), labels, rotation=0 if len(rows) <= 4 else 90, fontsize="small")
    ax.set_xlim(-0.6, len(rows) - 0.4)
    for marker, name in (("o", "heat"), ("s", "power")):
        ax.plot([], [], marker, color="0.4", ms=4, label=name)
    if validation.judged:
        ax.plot([], [], color="k", lw=1, label="exact")
    ax.legend(frameon=False, fontsize="small")
    ax.set(ylabel="to the particle" + ("" if reduced else f" ({prefix}W)"), title="energy currents")
    return ax


def susceptibilities(ax: Axes, exact: Response, found: Response | None, *, reduced: bool = False) -> Axes:
    """Response of two oscillators to a force on the other, both ways: lines exact, points from the record."""
    omega, size = exact.angular_frequency, np.abs(exact.value)
    factor, prefix = scale(omega / (2 * np.pi), reduced)
    turn = 1.0 if reduced else 2 * np.pi * factor
    pairs = [exact.pair, exact.pair[::-1]] if size.shape[-1] > 1 else [(0, 0)]
    names = exact.names or tuple(map(str, range(size.shape[-1])))
    top = max(float(size[:, j, k].max()) for j, k in pairs) or 1.0
    floor = 1e-3 * top
    for j, k in pairs:
        color = _color(names[j])
        if j > k and color == _color(names[k]):
            color = "0.3"  # two axes of one particle
        if size[:, j, k].max() > floor:
            ax.semilogy(omega / turn, size[:, j, k], color=color, lw=1, label=f"{names[j]} ← force on {names[k]}")
        else:
            below = f"{names[j]} ← force on {names[k]}: exact value below the frame"
            ax.annotate(below, (0.03, 0.93), xycoords="axes fraction", color=color, fontsize="small")
        if found is not None:
            ax.semilogy(found.angular_frequency / turn, np.abs(found.value[:, j, k]), ".", color=color, ms=4)
    ax.set(
        xlabel="angular frequency" if reduced else f"frequency ({prefix}Hz)",
        ylabel=r"$|\chi_{jk}|$" + ("" if reduced else " (m/N)"),
        title="response" + ("" if found is None else " (points: from the record)"),
        ylim=(floor, 3 * top),
    )
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small")
    return ax


def deviations(ax: Axes, validation: Validation) -> Axes:
    """Distance of every quantity from its exact value, in standard errors."""
    rows = validation.judged
    if not rows:
        _only_words(ax, "deviation from exact", "no exact values")
        return ax
    for edge, shade in ((5, "0.96"), (2, "0.9")):
        ax.axhspan(-edge, edge, color=shade, lw=0)
    for at, row in enumerate(rows):
        ax.plot(at, np.clip(row.z, -8, 8), "o", ms=4, color=_color(row.where))
    if len(rows) <= 40:
        labels = [f"{row.quantity} {row.where.replace(' <- ', '←')}".strip() for row in rows]
        ax.set_xticks(range(len(rows)), labels, rotation=60, ha="right", fontsize="x-small")
    ax.set_xlim(-0.7, len(rows) - 0.3)
    worst = max(5.6, *(min(abs(row.z), 8.0) + 0.5 for row in rows))
    ax.set(
        ylabel="z",
        ylim=(-worst, worst),
        title=f"deviation from exact, in standard errors; largest of {len(rows)}: {abs(validation.worst.z):.2f}",
    )
    return ax


def _only_words(ax: Axes, title: str, words: str) -> None:
    """A panel that says why it is empty."""
    ax.set(title=title, xticks=[], yticks=[])
    ax.text(0.5, 0.5, words, ha="center", va="center", color="0.4", transform=ax.transAxes)


def _color(where: str) -> str:
    """Colour of the particle that a label such as "0", "0x" or "0x <- 1z" begins with; grey for others."""
    number = re.match(r"\d+", where)
    return "0.3" if number is None else COLORS[int(number[0]) % len(COLORS)]


def _point(ax: Axes, at: float, row: Row, marker: str, color: str, factor: float) -> None:
    """A simulated value with its error bar on the line of the exact one."""
    ax.hlines(row.exact / factor, at - 0.28, at + 0.28, color="k", lw=1, zorder=1)
    ax.errorbar(at, row.value / factor, row.stderr / factor, fmt=marker, ms=4, capsize=5, color=color, zorder=2)


def _truth(row: Row) -> float:
    """The exact value, or the simulated one where there is none."""
    return row.value if np.isnan(row.exact) else row.exact
