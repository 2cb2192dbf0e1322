"""Sketches of scenarios: where the particles are, where light comes from, and along which axes things move."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.plots.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stochbind.analysis.views import Beam, Scene

#: Light of one frequency has one colour; that of the particles is another.
_LIGHT = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9")
#: What is shorter than this when projected is drawn as seen along it.
_SHORT = 0.3
#: Arrays of more particles or waves than this get no labels.
_MOST_LABELS = 12


def layout_sketch(
    ax: Axes, where: Scene, plane: tuple[int, int], corners: tuple[FloatArray, FloatArray], *, tweezers: bool = False
) -> Axes:
    r"""Particles, beams and axes of motion, projected on a plane.

    Plane waves are arrows through the picture, tweezers their waists along the beam; circles with a dot or a cross
    travel towards or away from the reader. Beside each is its polarization: a double arrow, an ellipse, or a circle
    with a bar if it is perpendicular to the plane.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    where : Scene
        Of `stochbind.analysis.views.layout`.
    plane : (int, int)
        Numbers of the horizontal and the vertical axis.
    corners : (2,) float, (2,) float
        Lower left and upper right [m]; of `stochbind.analysis.views.frame`.
    tweezers : bool
        Whether wave j is the tweezer of particle j, and has its colour.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    low, high = 1e6 * corners[0], 1e6 * corners[1]
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title="layout")
    detunings = sorted({beam.detuning for beam in where.beam})
    for number, beam in enumerate(where.beam):
        frequency = detunings.index(beam.detuning)
        color = COLORS[number % len(COLORS)] if tweezers else _LIGHT[frequency % len(_LIGHT)]
        label = _label(beam, detunings) if len(where.beam) <= _MOST_LABELS else ""
        if beam.focus is None:
            _plane_wave(ax, beam, plane, (low, high), color, label, number)
        else:
            _tweezer(ax, beam, plane, where.wavelength, color, label)
    _particles(ax, where, plane)
    _motion(ax, where, plane, float((high - low).max()))
    first, second = ("xyz"[axis] for axis in plane)
    ax.set(xlabel=f"{first} (µm)", ylabel=f"{second} (µm)")
    return ax


def _label(beam: Beam, detunings: list[float]) -> str:
    phase = math.degrees(beam.phase) % 360.0
    words = [f"{phase:.4g}°"]
    if len(detunings) > 1:
        words.append(f"{beam.detuning / 1e6:+.4g} MHz")
    return ", ".join(words)


def _particles(ax: Axes, where: Scene, plane: tuple[int, int]) -> None:
    from matplotlib.patches import Circle

    for j, (place, radius) in enumerate(zip(where.position, where.radius, strict=True)):
        centre = 1e6 * place[list(plane)]
        color = COLORS[j % len(COLORS)] if len(where.position) <= _MOST_LABELS else "0.4"
        ax.add_patch(Circle((centre[0], centre[1]), 1e6 * radius, facecolor=color, edgecolor="k", lw=0.5, zorder=4))
        if len(where.position) <= _MOST_LABELS:
            ax.annotate(str(j), centre, (6, 6), textcoords="offset points", fontsize="small", weight="bold", zorder=5)


def _motion(ax: Axes, where: Scene, plane: tuple[int, int], extent: float) -> None:
    """Double arrows at each particle along the axes of motion in the plane, and all their names."""
    if len(where.position) <= _MOST_LABELS:
        for place, radius in zip(where.position, where.radius, strict=True):
            centre = 1e6 * place[list(plane)]
            for axis in where.motion:
                step = (1e6 * radius + 0.04 * extent) * np.array([axis == "xyz"[a] for a in plane], np.float64)
                if step.any():
                    _arrow(ax, centre - step, centre + step, "0.25", style="<->", lw=0.8)
    ax.annotate(
        f"motion along {', '.join(where.motion)}", (0.02, 0.02), xycoords="axes fraction", fontsize="x-small", zorder=6
    )


def _plane_wave(
    ax: Axes,
    beam: Beam,
    plane: tuple[int, int],
    corners: tuple[FloatArray, FloatArray],
    color: str,
    label: str,
    number: int,
) -> None:
    low, high = corners
    size, middle = high - low, 0.5 * (low + high)
    along = beam.direction[list(plane)]
    projected = float(np.linalg.norm(along))
    scale = 0.05 * float(size.max())
    if projected < _SHORT:
        at = low + size * np.array([0.08 + 0.12 * (number % 7), 0.9])
        _towards(ax, at, _towards_reader(beam, plane), color, label)
        _polarization(ax, beam, plane, at + np.array([0.0, -2.2 * scale]), scale, color)
        return
    along = along / projected
    across = np.array([-along[1], along[0]])
    # as far out as all three stay in the frame, and a third of the way to the middle, so that particles stay in sight
    width = 0.4 * float(size.min())
    room = 0.48 * size - 0.5 * width * np.abs(across)
    reach = float(np.min(room / np.maximum(np.abs(along), 1e-9)))
    for shift in (-0.5, 0.0, 0.5):
        start = middle - reach * along + shift * width * across
        _arrow(ax, start, start + 0.35 * reach * along, color, style="-|>", lw=1.5)
    beside = middle - 0.85 * reach * along
    _polarization(ax, beam, plane, beside + 0.25 * width * across, scale, color)
    if label:
        text = beside - 0.25 * width * across
        ax.annotate(label, (text[0], text[1]), ha="center", va="center", color=color, fontsize="x-small")


def _tweezer(ax: Axes, beam: Beam, plane: tuple[int, int], wavelength: float, color: str, label: str) -> None:
    from matplotlib.patches import Circle

    assert beam.focus is not None
    assert beam.waist is not None
    focus, waist = 1e6 * beam.focus[list(plane)], 1e6 * beam.waist
    along = beam.direction[list(plane)]
    projected = float(np.linalg.norm(along))
    if projected < _SHORT:
        ax.add_patch(Circle((focus[0], focus[1]), waist, fill=False, edgecolor=color, ls="--", lw=1))
        at = focus + waist * np.array([0.7, 0.7])
        _towards(ax, at, _towards_reader(beam, plane), color, label)
        _polarization(ax, beam, plane, focus + np.array([0.0, -1.25 * waist]), 0.4 * waist, color)
        return
    along = along / projected
    across = np.array([-along[1], along[0]])
    rayleigh = 1e6 * math.pi * beam.waist**2 / wavelength * projected
    z = np.linspace(-20.0, 20.0, 401)
    for side in (1.0, -1.0):
        edge = focus + np.outer(rayleigh * z, along) + side * waist * np.outer(np.sqrt(1.0 + z**2), across)
        ax.plot(*edge.T, color=color, lw=1, scalex=False, scaley=False)
    tail = focus - 0.9 * waist * along
    _arrow(ax, tail, tail + 0.5 * waist * along, color, style="-|>", lw=1.5)
    _polarization(ax, beam, plane, focus - 1.2 * waist * along, 0.3 * waist, color)
    if label:
        text = focus - 1.2 * waist * along - 0.55 * waist * across
        ax.annotate(label, (text[0], text[1]), ha="center", va="center", color=color, fontsize="x-small")


def _towards_reader(beam: Beam, plane: tuple[int, int]) -> bool:
    """Whether light travels out of the page, of which the axes of `plane` are the right and the upper edge."""
    right, up = (np.eye(3)[axis] for axis in plane)
    return bool(beam.direction @ np.cross(right, up) > 0.0)


def _towards(ax: Axes, at: FloatArray, reader: bool, color: str, label: str) -> None:
    ax.plot(*at, "o", mfc="w", mec=color, ms=9)
    ax.plot(*at, "." if reader else "x", color=color, ms=5)
    if label:
        ax.annotate(
            label, (at[0], at[1]), (8, 0), textcoords="offset points", va="center", color=color, fontsize="x-small"
        )


def _polarization(ax: Axes, beam: Beam, plane: tuple[int, int], at: FloatArray, scale: float, color: str) -> None:
    """The path of the electric field over one period, projected."""
    seen: ComplexArray = beam.polarization[list(plane)]
    turn = np.exp(-1j * np.linspace(0.0, 2.0 * math.pi, 73))
    path = np.real(np.outer(turn, seen))
    size = np.linalg.norm(path, axis=1)
    if size.max() < _SHORT:
        ax.plot(*at, "o", mfc="w", mec=color, ms=6, mew=0.8)
        ax.plot(*at, "|", color=color, ms=4)
    elif size.min() < 0.05:
        tip = path[int(size.argmax())]
        _arrow(ax, at - scale * tip, at + scale * tip, color, style="<->", lw=1.0)
    else:
        ax.plot(*(at + scale * path).T, color=color, lw=1, scalex=False, scaley=False)


def _arrow(ax: Axes, start: FloatArray, end: FloatArray, color: str, *, style: str, lw: float) -> None:
    arrow = {"arrowstyle": style, "color": color, "lw": lw, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", tuple(end), tuple(start), arrowprops=arrow, annotation_clip=False, zorder=3)
