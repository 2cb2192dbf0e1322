"""Figures of phase diagrams: classes over a plane, a rate with its sign, and eigenfrequencies along a line.

One function per panel, which draws what it is given and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.plots.style import COLORS, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stochbind.analysis.phase_diagrams import PhaseDiagram
    from stochbind.analysis.phase_points import PlaneAxis

#: Colours of the classes of all rules, by name: a class has one colour, whatever others a diagram shows.
CLASS_COLORS = {
    "no scenario": "#FFFFFF",
    # stability
    "stable": "#BBDDEE",
    "not damped": "#DDDDDD",
    "unstable": "#D55E00",
    # phases of PT symmetry
    "unbroken": "#BBDDEE",
    "unbroken, reciprocal": "#8FBFE0",
    "unbroken, antireciprocal": "#F5C77E",
    "broken": "#B8560A",
    "neither": "#EEEEEE",
    # who drives whom
    "both ways": "#EEEEEE",
    "0 is driven by 1": "#56B4E9",
    "1 is driven by 0": "#E69F00",
    # regimes: each alone, two of them, three and all
    "none": "#EEEEEE",
    "reciprocal": "#6BAED6",
    "directional": "#5DBB63",
    "antireciprocal": "#F59B42",
    "recoil": "#B07CC6",
    "reciprocal and directional": "#1F8F8F",
    "reciprocal and antireciprocal": "#8C6D4F",
    "directional and antireciprocal": "#B5BD2B",
    "reciprocal and recoil": "#4A55C4",
    "directional and recoil": "#6B2C91",
    "antireciprocal and recoil": "#D6336C",
    "reciprocal and directional and antireciprocal": "#F7E36B",
    "reciprocal and directional and recoil": "#0B3C6F",
    "reciprocal and antireciprocal and recoil": "#5A1A1A",
    "directional and antireciprocal and recoil": "#24521F",
    "reciprocal and directional and antireciprocal and recoil": "#000000",
}
#: Colours of all other classes, by their number.
_OTHERS = (
    *("#EEEEEE", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#7A4A21", "#000000"),
    *("#7F7F7F", "#A6D854", "#5E3C99", "#F4A6A0", "#17BECF", "#8B0000", "#003C30", "#C2A5CF"),
)


def class_color(name: str, code: int) -> str:
    """Colour of a class, by its name if it is one of the known rules, else by its number.

    Parameters
    ----------
    name : str
        Of the class.
    code : int
        Its number.

    Returns
    -------
    str
        One that does not depend on which other classes there are.
    """
    from matplotlib.colors import hsv_to_rgb, to_hex

    if name in CLASS_COLORS:
        return CLASS_COLORS[name]
    if 0 <= code < len(_OTHERS):
        return _OTHERS[code]
    # Turning by the golden ratio, hues never meet those before.
    hue = (code * (np.sqrt(5.0) - 1.0) / 2.0) % 1.0
    red, green, blue = map(float, hsv_to_rgb((hue, 0.45 + 0.5 * (code % 2), 0.55 + 0.35 * (code % 3) / 2.0)))
    return str(to_hex((red, green, blue)))


def class_map(
    ax: Axes,
    diagram: PhaseDiagram,
    *,
    colors: Mapping[str, str] | None = None,
    lines: Sequence[FloatArray] = (),
    computed: bool = False,
) -> Axes:
    """Classes over a plane, each in one colour.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    diagram : PhaseDiagram
        Of `stochbind.analysis.phase_diagrams.phase_diagram`.
    colors : mapping of str to str, optional
        Colours of classes by their names.
    lines : sequence of (m, 2) float
        Lines to draw, in the units of the axes: boundaries, or closed forms.
    computed : bool
        Whether the points that were computed are marked.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    code = np.unique(diagram.code)
    names = [diagram.name_of(each) for each in code]
    color = [
        (colors or {}).get(name) or class_color(name, each) for name, each in zip(names, code.tolist(), strict=True)
    ]
    (x, x_label), (y, y_label) = _shown(diagram.x), _shown(diagram.y)
    place = np.searchsorted(code, diagram.code)
    most = max(len(code) - 1, 1)
    ax.pcolormesh(
        x, y, place.T, cmap=ListedColormap(color), vmin=-0.5, vmax=most + 0.5, shading="nearest", rasterized=True
    )
    if computed:
        i, j = np.nonzero(diagram.computed)
        ax.plot(x[i], y[j], ",", color="0.25", alpha=0.5, rasterized=True)
    for line in lines:
        ax.plot(line[:, 0] / _factor(diagram.x), line[:, 1] / _factor(diagram.y), "k-", lw=1.0)
    ax.set(xlabel=x_label, ylabel=y_label, xlim=_ends(x), ylim=_ends(y))
    ax.legend(
        handles=[Patch(facecolor=c, edgecolor="0.5", label=name) for c, name in zip(color, names, strict=True)],
        frameon=False,
        fontsize="small",
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13 - 0.045 * x_label.count("\n")),
    )
    return ax


def rate_map(
    ax: Axes, x: PlaneAxis, y: PlaneAxis, rate: FloatArray, *, label: str, lines: Sequence[FloatArray] = ()
) -> Axes:
    """A rate with its sign over a plane, such as the rate at which the fastest mode grows.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    x, y : PlaneAxis
        The axes.
    rate : (nx, ny) float
        [1/s]; what is NaN is left out.
    label : str
        What it is.
    lines : sequence of (m, 2) float
        Lines to draw, in the units of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    factor, prefix = scale(rate, False)
    limit = float(np.nanmax(np.abs(rate))) / factor or 1.0
    (shown_x, x_label), (shown_y, y_label) = _shown(x), _shown(y)
    mesh = ax.pcolormesh(
        shown_x, shown_y, rate.T / factor, cmap="PuOr_r", vmin=-limit, vmax=limit, shading="nearest", rasterized=True
    )
    unit = {"": "1/s", "k": "1/ms", "M": "1/µs"}.get(prefix, f"{factor:.0e}/s")
    bar = ax.figure.colorbar(mesh, ax=ax, label=f"{label} ({unit})", shrink=0.85)
    bar.ax.tick_params(labelsize="small")
    for line in lines:
        ax.plot(line[:, 0] / _factor(x), line[:, 1] / _factor(y), "k-", lw=1.0)
    ax.set(xlabel=x_label, ylabel=y_label, xlim=_ends(shown_x), ylim=_ends(shown_y))
    return ax


def eigenfrequency_curves(
    ax: Axes, detuning: FloatArray, eigenfrequency: ComplexArray, *, points: Sequence[float] = (), title: str = ""
) -> Axes:
    """Eigenfrequencies of a pair along the detuning: solid lines are real parts, dashed ones imaginary parts.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    detuning : (n,) float
        In any unit.
    eigenfrequency : (n, 2) complex
        In that unit.
    points : sequence of float
        Detunings to mark: exceptional points.
    title : str
        Above the panel.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    for point in points:
        ax.axvline(point, color="0.6", ls=":", lw=1.0)
    for mode in range(eigenfrequency.shape[1]):
        label = ("real part", "imaginary part") if mode == 0 else (None, None)
        ax.plot(detuning, eigenfrequency[:, mode].real, color=COLORS[0], lw=1.2, label=label[0])
        ax.plot(detuning, eigenfrequency[:, mode].imag, "--", color=COLORS[1], lw=1.2, label=label[1])
    ax.set(xlim=(detuning[0], detuning[-1]))
    ax.set_title(title, fontsize="small")
    return ax


def _factor(axis: PlaneAxis) -> float:
    """What a value is divided by to be shown."""
    if axis.unit == "rad":
        return float(np.pi / 180.0)
    return scale(axis.value, not axis.unit)[0]


def _shown(axis: PlaneAxis) -> tuple[FloatArray, str]:
    """Values of an axis as they are shown, and its label, with all parameters that change along it."""
    first, *others = [setting.parameter.path for setting in axis.settings] or [axis.name]
    label = f"{axis.name} ({_unit(axis)})" if axis.unit else axis.name
    # A name that was given stands for all of them.
    return axis.value / _factor(axis), label + (f",\nwith {', '.join(others)}" if others and axis.name == first else "")


def _unit(axis: PlaneAxis) -> str:
    """The unit of the values that are shown."""
    if axis.unit == "rad":
        return "degrees"
    factor, prefix = scale(axis.value, False)
    if axis.unit.isalpha() and axis.unit != "kg":
        return prefix + axis.unit
    return axis.unit if factor == 1.0 else f"$10^{{{round(np.log10(factor))}}}$ {axis.unit}"


def _ends(value: FloatArray) -> tuple[float, float]:
    return float(min(value[0], value[-1])), float(max(value[0], value[-1]))
