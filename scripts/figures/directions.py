#!/usr/bin/env python3
"""Draw the measures of direction of one pair over the temperature of the bath of its sender.

    .venv/bin/python scripts/figures/directions.py [FOLDER]

The pair is the shipped `cold_to_hot_pair`: particle 0 feels particle 1 with 0.5, particle 1 feels particle 0 with 0.2.
Only the bath of particle 1 changes. Responses keep their direction; what is a property of the state turns round at
T_1/T_0 = 0.4, the ratio of the couplings, where no heat flows. Prints where it turns, exactly and in the runs.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save
from scipy import optimize

import stochbind as sb
from stochbind.analysis import information, lagged, responses, thermodynamics, transfer
from stochbind.analysis.directions import found_directions
from stochbind.analysis.transfer_entropy import exact_transfer_entropy
from stochbind.plots.style import COLORS

PAIR = sb.Scenario.from_toml(Path(__file__).resolve().parents[2] / "scenarios" / "cold_to_hot_pair.toml").oscillators()
#: Time between states.
INTERVAL = 0.5
DRAWN = np.geomspace(0.02, 5.0, 121)
SIMULATED = np.array([0.03, 0.1, 0.25, 0.6, 1.5, 4.0])
#: Measures, their names in `stochbind.analysis.directions` as far as they have a point, and their styles.
SHOWN = {
    "susceptibility": "-",
    "susceptibility if in equilibrium": "--",
    "transfer entropy": "-",
    "lagged correlations": "-.",
    "energy bursts": "",
}


def pair(ratio):
    """The pair with the bath of particle 1 at this part of the temperature of the other."""
    return replace(PAIR, bath_temperature=np.array([1.0, ratio]))


def exact(ratio):
    """Exact measures of direction, positive from particle 1 to particle 0."""
    array = pair(ratio)
    equations = array.langevin()
    second = equations.stationary_covariance()

    def contrast(matrix):
        return (matrix[0, 1] - matrix[1, 0]) / (matrix[0, 1] + matrix[1, 0])

    naive = responses.resonant_naive_susceptibility(array, equations, second)
    lag = INTERVAL * lagged.default_lags(array, INTERVAL, 2000)
    return {
        "susceptibility": contrast(np.abs(transfer.resonant_susceptibility(array, equations))),
        "susceptibility if in equilibrium": contrast(np.abs(naive)),
        "transfer entropy": contrast(exact_transfer_entropy(array, INTERVAL)),
        "lagged correlations": float(lagged.exact_lagged_asymmetry(array, lag).contrast[0, 1]),
        "heat": float(thermodynamics.heat_current(array, second)[1]),
        "information flow": information.flow(equations, second, information.coordinates(array, [0])),
    }


def simulated(ratio, seed):
    """The same measures of a run, with standard errors."""
    array = pair(ratio)
    equations = array.langevin()
    run = sb.simulate(
        equations, step=INTERVAL, n_steps=1000, n_trajectories=256, seed=seed, initial=equations.stationary
    )
    return {measure.name: measure.estimate for measure in found_directions(run, array).measures}


def turns(name):
    """Ratio of the temperatures at which an exact measure is zero."""
    return optimize.brentq(lambda ratio: exact(ratio)[name], 0.1, 1.0, xtol=1e-10)


def measures_panel(ax, curves, points):
    for (name, style), color in zip(SHOWN.items(), COLORS, strict=False):
        if style:
            ax.plot(DRAWN, [curve[name] for curve in curves], style, color=color, label=name)
        value, error = np.array([[float(one[name].value), float(one[name].stderr)] for one in points]).T
        label = None if style else name
        ax.errorbar(SIMULATED, value, error, fmt="o", markersize=3, color=color, label=label)
    ax.set_ylabel("asymmetry; positive: 0 after 1")
    ax.set_ylim(-1.05, 1.75)
    ax.legend(fontsize=7, loc="upper left", ncols=2)


def flows_panel(ax, curves, points):
    ax.plot(DRAWN, [curve["heat"] for curve in curves], color=COLORS[0], label="heat from the bath of 1")
    name = "information flow"
    ax.plot(DRAWN, [curve[name] for curve in curves], "--", color=COLORS[1], label="information flow into 0 [nats]")
    value, error = np.array([[float(one[name].value), float(one[name].stderr)] for one in points]).T
    ax.errorbar(SIMULATED, value, error, fmt="o", markersize=3, color=COLORS[1])
    ax.set_ylabel("per unit of time")
    ax.legend(fontsize=7, loc="upper left")


def figure(points):
    """Measures and flows over the ratio of the temperatures."""
    curves = [exact(ratio) for ratio in DRAWN]
    result = Figure(figsize=(9, 3.8), layout="constrained")
    axes = result.subplots(1, 2)
    measures_panel(axes[0], curves, points)
    flows_panel(axes[1], curves, points)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xlabel(r"temperature of the bath of 1 over that of 0, $T_1/T_0$")
        ax.axhline(0.0, color="0.7", linewidth=0.8)
        ax.axvline(PAIR.coupling[1, 0] / PAIR.coupling[0, 1], color="0.7", linewidth=0.8, linestyle=":")
    return result


def numbers(points):
    """What the figure comes to, a line each."""
    for name in ("heat", "information flow", "transfer entropy", "lagged correlations"):
        yield f"{name}: turns at T_1/T_0 = {turns(name):.6f}"
    for ratio, one in zip(SIMULATED, points, strict=True):
        truth = exact(ratio)
        largest = max(abs(float(one[name].z(truth[name]))) for name in one if name in truth)
        value, error = float(one["energy bursts"].value), float(one["energy bursts"].stderr)
        yield f"T_1/T_0 = {ratio:g}: bursts {value:+.3f} +- {error:.3f}; all others |z| <= {largest:.1f}"


def main():
    into = folder()
    points = [simulated(ratio, seed) for seed, ratio in enumerate(SIMULATED)]
    for line in numbers(points):
        print(line)
    save(figure(points), into, "directions.png")


if __name__ == "__main__":
    main()
