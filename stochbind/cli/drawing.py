"""Pictures of scenarios, of which no run is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stochbind import errors
from stochbind.cli.common import scenario_of, shipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def names_scenario(text: str) -> bool:
    """Whether this is the name of a scenario or of its file, and not a store's."""
    return text.endswith(".toml") or (text in shipped() and not Path(text).is_dir())


def of_scenario(text: str) -> Figure:
    """The picture of a scenario's light; of a sweep, that of its base.

    Parameters
    ----------
    text : str
        A file, or the name of a shipped scenario.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.

    Raises
    ------
    ScenarioError
        If there is no such scenario, or it has no light, so that only its runs can be drawn.
    """
    from stochbind import plots
    from stochbind.analysis import couplings, views
    from stochbind.scenario import DipoleScenario, Sweep, TweezerScenario

    found = scenario_of(text)
    scenario = found.base if isinstance(found, Sweep) else found
    if not isinstance(scenario, (DipoleScenario, TweezerScenario)):
        raise errors.ScenarioError(
            f'{text}: is a scenario of kind "{scenario.kind}", which has numbers but no light to draw; run it, and '
            'plot its store, or draw a scenario of kind "dipoles" or "tweezers".'
        )
    where = views.layout(scenario)
    plane = views.telling_plane(where)
    corners = views.frame(where, plane)
    if isinstance(scenario, TweezerScenario):
        several = scenario.n_particles > 1
        found_couplings = couplings.coupling_plane(scenario) if several else None
        return plots.light_of_tweezers(where, plane, corners, found_couplings, title=scenario.name)
    return plots.light_of_dipoles(
        where,
        corners,
        views.field_plane(scenario, plane),
        views.pattern(scenario, plane),
        views.distance_curves(scenario) if scenario.n_particles == 2 else None,
        title=scenario.name,
    )
