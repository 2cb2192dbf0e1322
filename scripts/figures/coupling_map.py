#!/usr/bin/env python3
"""Draw how the couplings of two particles in tweezers depend on the distance and on the phase between the tweezers.

    .venv/bin/python scripts/figures/coupling_map.py [FOLDER]

Numbers are those of scenarios/unidirectional_pair.toml; its place, and those at which one particle drives the other and
does not feel it (Rudolph et al., Phys. Rev. A 110, 063507 (2024), eq. (91)), are marked. Prints the couplings there.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind import plots
from stochbind.analysis import couplings
from stochbind.scenario import Scenario

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "unidirectional_pair.toml"


def scenario():
    return Scenario.from_toml(SCENARIO)


def at_points(points):
    """Both couplings at phases and distances, (n, 2) [N/m]."""
    pair = scenario()
    return np.array([couplings.couplings(pair, [distance], [phase])[:, 0, 0] for phase, distance in points])


def figure(found):
    result = Figure(figsize=(9, 4), layout="constrained")
    for number, (ax, label) in enumerate(zip(result.subplots(1, 2), ("on 0 by 1", "on 1 by 0"), strict=True)):
        plots.coupling_map(
            ax,
            found.phase,
            found.distance,
            found.coupling[number],
            label=f"coupling {label}",
            points=found.one_way[number],
            given=found.given,
        )
    result.axes[0].legend(fontsize="small", loc="upper left")
    return result


def main():
    into = folder()
    found = couplings.coupling_plane(scenario())
    for (phase, distance), (felt, returned) in zip(found.one_way[0], at_points(found.one_way[0]), strict=True):
        print(
            f"phase {np.degrees(phase):.0f} degrees, distance {distance * 1e6:.4f} µm: coupling {felt * 1e9:.2f} nN/m "
            f"on 0 by 1, {returned * 1e9:.2f} nN/m on 1 by 0"
        )
    save(figure(found), into, "coupling_map.png")


if __name__ == "__main__":
    main()
