"""Pictures of scenarios: all panels that show their light. They draw what they are given and compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stochbind.checks import FloatArray
from stochbind.plots import layouts, light

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.analysis.couplings import CouplingPlane
    from stochbind.analysis.views import DistanceCurves, FieldPlane, Pattern, Scene


def light_of_dipoles(
    where: Scene,
    corners: tuple[FloatArray, FloatArray],
    field: FieldPlane,
    pattern: Pattern,
    curves: DistanceCurves | None = None,
    *,
    title: str = "",
) -> Figure:
    """Layout, field and scattering pattern of dipoles, and of a pair the forces over the distance.

    Parameters
    ----------
    where : Scene
        Of `stochbind.analysis.views.layout`.
    corners : (2,) float, (2,) float
        Of the sketch; of `stochbind.analysis.views.frame`.
    field : FieldPlane
        Of `stochbind.analysis.views.field_plane`; its plane is that of the sketch.
    pattern : Pattern
        Of `stochbind.analysis.views.pattern`.
    curves : DistanceCurves, optional
        Of `stochbind.analysis.views.distance_curves`.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels, or five.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4 if curves is None else 7.5), layout="constrained")
    mosaic = "abc" if curves is None else "aabbcc;dddeee"
    axes = figure.subplot_mosaic(mosaic, per_subplot_kw={"c": {"projection": "polar"}})
    layouts.layout_sketch(axes["a"], where, field.plane, corners)
    light.field_map(axes["b"], field)
    light.scattering_pattern(axes["c"], pattern.angle, pattern.power, plane=pattern.plane)
    if curves is not None:
        light.force_curves(
            axes["d"],
            curves.distance,
            curves.force_a,
            curves.force_b,
            zeros=curves.zeros,
            given=curves.given,
            names=("0", "1"),
        )
        light.reciprocity_curves(axes["e"], curves.distance, {"of the forces": curves.zeroth}, given=curves.given)
    figure.suptitle(title, fontsize="large")
    return figure


def light_of_tweezers(
    where: Scene,
    plane: tuple[int, int],
    corners: tuple[FloatArray, FloatArray],
    couplings: CouplingPlane | None = None,
    *,
    title: str = "",
) -> Figure:
    """Layout of particles in tweezers, and of two and more the couplings of the first pair over phase and distance.

    Parameters
    ----------
    where : Scene
        Of `stochbind.analysis.views.layout`.
    plane : (int, int)
        Numbers of the horizontal and the vertical axis of the sketch.
    corners : (2,) float, (2,) float
        Of the sketch; of `stochbind.analysis.views.frame`.
    couplings : CouplingPlane, optional
        Of `stochbind.analysis.couplings.coupling_plane`.
    title : str
        Above all panels.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, or three.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 if couplings is None else 13, 4.5), layout="constrained")
    axes = figure.subplots(1, 1 if couplings is None else 3, squeeze=False)[0]
    layouts.layout_sketch(axes[0], where, plane, corners, tweezers=True)
    if couplings is not None:
        for number, label in enumerate(("on 0 by 1", "on 1 by 0")):
            light.coupling_map(
                axes[1 + number],
                couplings.phase,
                couplings.distance,
                couplings.coupling[number],
                label=f"coupling {label}",
                points=couplings.one_way[number],
                given=couplings.given,
            )
        axes[1].legend(fontsize="small", loc="upper left")
    figure.suptitle(title, fontsize="large")
    return figure
