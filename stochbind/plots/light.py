"""Figures of light: layouts, fields, scattering patterns, forces between pairs, couplings and regimes.

One function per panel, which draws what it is given and computes nothing. Colour is the particle; solid lines are
forces on one particle, dashed ones their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.plots.style import COLORS, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

    from stochbind.analysis.views import FieldPlane
    from stochbind.optics import kerker
    from stochbind.optics.regimes import Regimes

#: Colour, hatch and meaning of each regime.
_REGIMES = {
    "reciprocal": ("#0072B2", "///", "reciprocal"),
    "directional": ("#009E73", "...", "directional"),
    "antireciprocal": ("#E69F00", "\\\\\\", "antireciprocal"),
    "recoil": ("#CC79A7", "xx", "correlated recoil"),
}
#: Where the largest values are more than so many times what 98 % of them stay below, the frame leaves them out.
_STEEP = 3.0
_LEGEND: dict[str, Any] = {"fontsize": "small", "framealpha": 0.85, "edgecolor": "none"}


def force_curves(
    ax: Axes,
    distance: FloatArray,
    force_a: FloatArray,
    force_b: FloatArray,
    *,
    zeros: Sequence[kerker.Equilibrium] = (),
    given: float | None = None,
    names: tuple[str, str] = ("A", "B"),
) -> Axes:
    r"""Forces of two particles on each other over their distance, with the distances at which they are pushed alike.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    distance : (n,) float
        [m].
    force_a, force_b : (n,) float
        What each adds to the other's force, along the line from A to B [N].
    zeros : sequence of stochbind.optics.kerker.Equilibrium
        Of :math:`f_A - f_B`; full circles are stable, open ones are not.
    given : float, optional
        A distance to mark [m].
    names : (str, str)
        Of the particles.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    both = np.concatenate([force_a, force_b])
    usual, largest = float(np.quantile(np.abs(both), 0.98)), float(np.abs(both).max())
    steep = largest > _STEEP * usual > 0.0
    factor, prefix = scale(np.array([usual if steep else largest]), False)
    shown, (a, b) = _micrometres(distance), names
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.plot(shown, force_a / factor, color=COLORS[0], label=f"$f_{{{a}}}$")
    ax.plot(shown, force_b / factor, color=COLORS[1], label=f"$f_{{{b}}}$")
    ax.plot(shown, (force_a - force_b) / factor, "--", color="k", lw=0.8, label=f"$f_{{{a}}} - f_{{{b}}}$")
    for stable, face, meaning in ((True, "k", "stable"), (False, "w", "unstable")):
        places = [_micrometres(zero.distance) for zero in zeros if zero.stable == stable]
        if places:
            ax.plot(places, np.zeros(len(places)), "o", mec="k", mfc=face, ms=4, ls="none", label=meaning)
    if steep:
        ax.set_ylim(-2.0 * usual / factor, 2.0 * usual / factor)
    _mark(ax, given)
    ax.set(xlabel="distance (µm)", ylabel=f"force on each other ({prefix}N)", title="forces")
    ax.legend(**_LEGEND, ncols=2)
    return ax


def reciprocity_curves(
    ax: Axes,
    distance: FloatArray,
    factor: Mapping[str, FloatArray],
    *,
    given: float | None = None,
) -> Axes:
    """Non-reciprocity factors over the distance: 0 is reciprocal, 1/2 one-way, 1 a common force on both.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    distance : (n,) float
        [m].
    factor : mapping of str to (n,) float
        Curves by label.
    given : float, optional
        A distance to mark [m].

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    ax.axhline(0.5, color="0.6", ls=":", label="one-way")
    for number, (label, curve) in enumerate(factor.items()):
        ax.plot(_micrometres(distance), curve, color=COLORS[number % len(COLORS)], lw=1.2, label=label)
    _mark(ax, given)
    ax.set(xlabel="distance (µm)", ylabel="non-reciprocity factor", ylim=(-0.03, 1.03), title="non-reciprocity")
    ax.legend(**_LEGEND)
    return ax


def coupling_map(
    ax: Axes,
    phase: FloatArray,
    distance: FloatArray,
    value: FloatArray,
    *,
    label: str,
    unit: str = "N/m",
    points: FloatArray | None = None,
    given: tuple[float, float] | None = None,
) -> Axes:
    """A coupling, or any quantity with a sign, over phase and distance of two tweezers.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    phase : (p,) float
        Of the first tweezer less that of the second [rad].
    distance : (d,) float
        [m].
    value : (d, p) float
        In `unit`.
    label : str
        What it is.
    unit : str
        Its unit, or nothing.
    points : (n, 2) float, optional
        Phases and distances of unidirectional points [rad, m].
    given : (float, float), optional
        Phase and distance to mark [rad, m].

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    factor, prefix = scale(value, not unit)
    limit = float(np.abs(value).max()) / factor or 1.0
    degrees, shown = np.degrees(phase), _micrometres(distance)
    mesh = ax.pcolormesh(
        degrees, shown, value / factor, cmap="PuOr_r", vmin=-limit, vmax=limit, shading="nearest", rasterized=True
    )
    _colorbar(ax, mesh, f"{prefix}{unit}")
    if points is not None and len(points):
        x, y = np.degrees(points[:, 0]), _micrometres(points[:, 1])
        ax.plot(x, y, "^", mec="k", mfc="w", ms=5, ls="none", label="one-way, far away", clip_on=False)
    if given is not None:
        ax.plot(
            np.degrees(given[0]), _micrometres(given[1]), "kx", ms=7, mew=1.5, ls="none", label="given", clip_on=False
        )
    ax.set(xlabel="phase difference (degrees)", ylabel="distance (µm)", title=label)
    ax.set(xlim=(degrees[0], degrees[-1]), ylim=(shown[0], shown[-1]))
    ax.set_xticks([tick for tick in range(0, 361, 90) if degrees[0] - 1e-9 <= tick <= degrees[-1] + 1e-9])
    return ax


def regime_map(
    ax: Axes,
    phase: FloatArray,
    distance_phase: FloatArray,
    found: Regimes,
    *,
    points: Mapping[str, tuple[float, float]] | None = None,
) -> Axes:
    """Regimes of optical binding over phase and distance; where areas overlap, both hatchings are seen.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    phase : (p,) float
        Of the first tweezer less that of the second [rad].
    distance_phase : (d,) float
        kd.
    found : Regimes
        Four flags of shape (d, p).
    points : mapping of str to (float, float), optional
        Places to name, by phase and kd.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    from matplotlib.patches import Patch

    handles = []
    for name, (color, hatch, meaning) in _REGIMES.items():
        flag = np.asarray(getattr(found, name), np.float64)
        # a contour has edges in the picture, not between pixels, and takes a hatching
        ax.contourf(
            phase / np.pi, distance_phase / np.pi, flag, [0.5, 1.5], colors=[color], alpha=0.45, hatches=[hatch]
        )
        handles.append(Patch(facecolor=color, alpha=0.45, hatch=hatch, label=meaning))
    for name, (x, y) in (points or {}).items():
        ax.plot(x / np.pi, y / np.pi, "o", mec="k", mfc="w", ms=5, clip_on=False)
        ax.annotate(name, (x / np.pi, y / np.pi), (4, 4), textcoords="offset points", weight="bold")
    ax.set(xlabel=r"phase difference $\varphi / \pi$", ylabel=r"distance $kd / \pi$", title="regimes")
    ax.legend(
        handles=handles, frameon=False, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13)
    )
    return ax


def field_map(ax: Axes, field: FieldPlane) -> Axes:
    """Intensity in a plane, with the particles as discs.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    field : FieldPlane
        Of `stochbind.analysis.views.field_plane`.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    from matplotlib.patches import Circle

    value = field.intensity * 1e-9  # W/m^2 to mW/µm^2
    top = float(np.nanquantile(value, 0.995))
    x, y = _micrometres(field.horizontal), _micrometres(field.vertical)
    mesh = ax.pcolormesh(x, y, value, cmap="magma", vmin=0.0, vmax=top, shading="nearest", rasterized=True)
    extend = "max" if float(np.nanmax(value)) > top else "neither"
    _colorbar(ax, mesh, r"$\varepsilon_0 c\,|E|^2/2$ (mW/µm$^2$)", extend=extend)
    for centre, radius in zip(_micrometres(field.disc_centre), _micrometres(field.disc_radius), strict=True):
        ax.add_patch(Circle(tuple(centre), radius, facecolor="0.75", edgecolor="w", lw=0.5))
    first, second = (("x", "y", "z")[axis] for axis in field.plane)
    ax.set(xlabel=f"{first} (µm)", ylabel=f"{second} (µm)", title="light and scattered light", aspect="equal")
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    return ax


def scattering_pattern(
    ax: Axes, angle: FloatArray, power: Mapping[str, FloatArray], *, plane: tuple[int, int] = (0, 1)
) -> Axes:
    """Power scattered into the directions of a plane.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Polar axes.
    angle : (n,) float
        [rad].
    power : mapping of str to (n,) float
        Curves by label [W/sr].
    plane : (int, int)
        Numbers of the axes at 0 and at 90 degrees.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    factor, prefix = scale(np.concatenate(list(power.values())), False)
    for number, (label, curve) in enumerate(power.items()):
        ax.plot(angle, curve / factor, ("--", "-")[number % 2], color=COLORS[number % len(COLORS)], label=label)
    names = [sign + "xyz"[axis] for sign in "+−" for axis in plane]
    ax.set_xticks(np.arange(4) * np.pi / 2, names)
    ax.tick_params(axis="y", labelsize="x-small")
    ax.set(title=f"scattered power ({prefix}W/sr)")
    ax.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return ax


def _micrometres(length: Any) -> Any:
    return np.asarray(length) * 1e6


def _mark(ax: Axes, given: float | None) -> None:
    if given is not None:
        ax.axvline(_micrometres(given), color="0.6", ls="-.", lw=0.8, zorder=0)


def _colorbar(ax: Axes, mesh: Any, label: str, **options: Any) -> Colorbar:
    bar = ax.figure.colorbar(mesh, ax=ax, label=label, shrink=0.85, **options)
    bar.ax.tick_params(labelsize="small")
    return bar
