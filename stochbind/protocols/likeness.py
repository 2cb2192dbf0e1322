"""What the pieces of a protocol have in common: coordinates, units and forces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stochbind import checks
from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin


def in_units_of(equations: Langevin, reference: Langevin) -> Langevin:
    """The same equations in the units of coordinates and time of others, so that both fit into one protocol."""
    if equations.coordinate != reference.coordinate:
        raise ScenarioError(
            f"`equations` must have the coordinates of `reference`, but has {equations.dimension} of its own where "
            f"those are {reference.dimension}, or other names."
        )
    time = reference.time_unit / equations.time_unit
    scale = equations.unit / reference.unit
    return replace(
        equations,
        drift_matrix=equations.drift_matrix * np.outer(scale, 1 / scale) * time,
        noise_covariance=equations.noise_covariance * np.outer(scale, scale) * time,
        constant_drift=equations.constant_drift * scale * time,
        unit=reference.unit,
        time_unit=reference.time_unit,
    )


def require_alike(name: str, equations: Langevin, first: Langevin) -> None:
    """Raise unless two pieces have coordinates, units and forces in common."""
    if equations.coordinate != first.coordinate:
        raise ScenarioError(f"`{name}` must have the coordinates of the first piece, but has others.")
    for what, a, b in (
        ("unit", equations.unit, first.unit),
        ("time_unit", equations.time_unit, first.time_unit),
        ("reduced", equations.reduced, first.reduced),
    ):
        if not np.array_equal(a, b):
            raise ScenarioError(
                f"`{name}.{what}` is {checks.short(a)}, but that of the first piece is {checks.short(b)}; bring all "
                "pieces to the same units with `in_units_of`."
            )
    if equations.forces and not np.array_equal(equations.mobility, first.mobility):
        raise ScenarioError(
            f"`{name}.mobility` is {checks.short(equations.mobility)}, but that of the first piece is "
            f"{checks.short(first.mobility)}; forces cannot change in time, and so neither what they drive."
        )
    same = len(equations.forces) == len(first.forces)
    if not (same and all(a is b for a, b in zip(equations.forces, first.forces, strict=True))):
        raise ScenarioError(
            f"`{name}.forces` must be the very forces of the first piece, as they cannot change in time."
        )
