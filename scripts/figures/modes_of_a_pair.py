#!/usr/bin/env python3
"""Draw the modes of two tweezers along the power of one: exceptional points, and what a rotating frame makes of them.

    .venv/bin/python scripts/figures/modes_of_a_pair.py [FOLDER]

The shipped one-way pair, with purely antireciprocal coupling. Lines are the full equations, crosses the rotating frame.
Prints the exceptional points of both.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

import stochbind as sb
from stochbind.analysis.mode_families import mode_family, scenario_family
from stochbind.modes.exceptional_points import exceptional_points
from stochbind.modes.rotating_wave import rotating_wave_error
from stochbind.modes.spectrum import energy_metric, modes

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "unidirectional_pair.toml"
POWER = "particle[0].power"
START, STOP = 0.12, 0.38


def quarter():
    """The pair with a quarter of a turn between the tweezers."""
    return scenario_family(sb.Scenario.from_toml(SCENARIO), "particle[0].phase")(math.pi / 2)


def figure(family, points):
    result = Figure(figsize=(6.0, 7.0), layout="constrained")
    top, middle, bottom = result.subplots(3, sharex=True)
    fine, coarse = np.linspace(START, STOP, 601), np.linspace(START, STOP, 27)
    found = [modes(array, metric=energy_metric(array)) for array in map(family, fine)]
    frequency = np.array([each.frequency for each in found])
    frame = np.array([rotating_wave_error(family(power)).rotating for power in coarse])
    for axes, part in ((top, lambda w: w.real / 2 / math.pi / 1e3), (middle, lambda w: w.imag / 1e3)):
        axes.plot(fine, part(frequency), color="C0")
        axes.plot(coarse, part(frame), "x", color="C1", markersize=4)
    bottom.semilogy(fine, [each.petermann for each in found], color="C0")
    middle.axhline(0.0, color="black", linewidth=0.5)
    for axes in (top, middle, bottom):
        for point in points:
            axes.axvline(point.parameter, color="gray", linewidth=0.5, linestyle="--")
    top.set(ylabel="frequency (kHz)")
    middle.set(ylabel="growth (1/ms)")
    bottom.set(ylabel="Petermann factor", xlabel="power of tweezer 0 (W)", ylim=(0.8, 1e4))
    return result


def main():
    into = folder()
    points = {}
    for rotating in (False, True):
        points[rotating] = exceptional_points(mode_family(quarter(), POWER, rotating=rotating), START, STOP)
        for point in points[rotating]:
            words = "rotating frame" if rotating else "full equations"
            print(f"{words}: order {point.order} at {point.parameter:.9f} W, decay {-point.frequency.imag:.6g} 1/s")
    save(figure(mode_family(quarter(), POWER), points[False]), into, "modes_of_a_pair.png")


if __name__ == "__main__":
    main()
