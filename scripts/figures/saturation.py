#!/usr/bin/env python3
"""Draw where recoil stops the mode that antireciprocal coupling cools, without gas and with it.

    .venv/bin/python scripts/figures/saturation.py [FOLDER]

The pair is the shipped `saturating_pair`, recoil 12.5 times the coupling rate g_a. Left: occupations of both
quasi-modes from the ground state on, of the full oscillators and of amplitudes in the rotating frame, beside the exact
ones. Right: steady occupations in gas of different damping. Prints the numbers and their distances from the exact ones.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

import stochbind as sb
from stochbind import amplitudes
from stochbind.analysis import saturation
from stochbind.plots.style import COLORS

PAIR = sb.Scenario.from_toml(Path(__file__).resolve().parents[2] / "scenarios" / "saturating_pair.toml").oscillators()
#: Coupling rate and recoil heating, per unit of time.
COUPLING = float(PAIR.coupling[0, 1]) / 2.0
RECOIL = float(PAIR.diffusion[0, 0].real)
#: Decay times, interval between states in units of them, and trajectories.
DURATION, INTERVAL, TRAJECTORIES = 5.0, 0.1, 16384
#: Occupation of a quiet gas, and damping rates in units of the coupling rate.
THERMAL, GAS = 10.0, np.array([0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0])


def full(damping=0.0):
    """The pair in gas of this damping rate."""
    energy = PAIR.reduced_planck * (THERMAL + 0.5)
    return replace(PAIR, friction=np.full(2, damping) * PAIR.mass, bath_temperature=np.full(2, energy))


def rotating():
    """The pair in the rotating frame, normally ordered."""
    diffusion = np.array([[RECOIL, 1j * COUPLING], [-1j * COUPLING, RECOIL]])
    return sb.Langevin.from_complex(
        *amplitudes.optical_binding_pair(0.0, COUPLING, 2 * COUPLING, diffusion), reduced=True
    )


def in_time():
    """Times in units of 1/g_a, and occupations (T, 2) of growing and decaying mode: exact, full and in the frame."""
    step, n_steps = INTERVAL / COUPLING, round(DURATION / INTERVAL)
    options = {"step": step, "n_steps": n_steps, "n_trajectories": TRAJECTORIES}
    record = sb.simulate(PAIR, initial=PAIR.initial_moments("ground"), seed=1, **options)
    time = record.time.to_numpy()
    exact = saturation.quasi_modes(PAIR).occupation_at(time, 0.5 * np.eye(4))
    squares = np.abs(saturation.quasi_amplitudes(record, PAIR)) ** 2 - 0.5
    modes = np.array([[1, 1j], [1, -1j]]) / math.sqrt(2)  # of the growing one, then the decaying one
    normal = np.abs(sb.simulate(rotating(), seed=2, **options).amplitude.to_numpy() @ modes.T) ** 2
    return time * COUPLING, exact, squares, normal


def in_gas(damping, seed):
    """Exact occupations of growing and decaying mode in gas, infinite where there is none, and simulated ones."""
    array = full(damping)
    ground = array.initial_moments("ground")
    rate = 0.5 * damping + (COUPLING if damping < 2 * COUPLING else -COUPLING)  # of the slower mode that settles
    record = sb.simulate(array, step=0.25 / rate, n_steps=40, n_trajectories=TRAJECTORIES, initial=ground, seed=seed)
    found = saturation.quasi_record(record, array, start=20)
    return found.modes.occupation, found.occupation


def time_panel(ax, time, exact, squares, normal):
    for k, name, color in ((0, "grows", COLORS[1]), (1, "decays", COLORS[0])):
        ax.plot(time, exact[:, k], color=color, label=f"the mode that {name}")
        ax.plot(time[1::4], squares[:, 1::4, k].mean(axis=0), "o", color=color, ms=4, label=None)
        ax.plot(time[3::4], normal[:, 3::4, k].mean(axis=0), "x", color=color, ms=4.5, label=None)
    ax.axhline(2 * float(saturation.saturated_occupation(RECOIL, COUPLING)), ls=":", color="0.4", label="with noise 2D")
    ax.plot([], [], "ok", ms=4, label="simulated: full oscillators")
    ax.plot([], [], "xk", ms=4.5, label="simulated: rotating frame")
    ax.set(yscale="log", xlabel="time ($1/g_a$)", ylabel="occupation (quanta)")
    ax.legend(frameon=False, fontsize=8)


def gas_panel(ax, points):
    damping = np.geomspace(0.05, 12.0, 400)
    for sign, color, name in ((1, COLORS[0], "decays"), (-1, COLORS[1], "grows without gas")):
        n = saturation.saturated_occupation(
            RECOIL, sign * COUPLING, damping=damping * COUPLING, thermal_occupation=THERMAL
        )
        ax.plot(damping, np.where(n < 1e3, n, np.nan), color=color, label=f"the mode that {name}")
    for gas, (truth, one) in zip(GAS, points, strict=True):
        for k, color in ((0, COLORS[1]), (1, COLORS[0])):
            if np.isfinite(truth[k]):
                ax.errorbar(gas, one.value[k], one.stderr[k], fmt="o", ms=4, color=color)
    ax.axhline(THERMAL, ls=":", color="0.4", label="gas alone")
    ax.axvline(2.0, lw=0.8, color="0.7")
    ax.set(xscale="log", yscale="log", xlabel=r"damping by the gas ($\gamma/g_a$)", ylabel="steady occupation (quanta)")
    ax.legend(frameon=False, fontsize=8)


def main():
    into = folder()
    time, exact, squares, normal = in_time()
    for name, found in (("full oscillators", squares), ("rotating frame", normal)):
        late = time > 3.0
        mean = found[:, late, 1].mean(axis=1)
        truth = float(exact[late, 1].mean())
        error = float(mean.std() / math.sqrt(len(mean)))
        z = (mean.mean() - truth) / error
        print(f"{name}: saturates at {mean.mean():.3f} +- {error:.3f}, exact {truth:.3f}, z {z:+.2f}")
        gain = math.log(found[:, -1, 0].mean() / found[:, -21, 0].mean()) / (2 * 20 * INTERVAL)
        print(f"{name}: the other mode grows at {gain:.4f} g_a")
    points = [in_gas(float(gas) * COUPLING, seed) for seed, gas in enumerate(GAS)]
    for gas, (truth, one) in zip(GAS, points, strict=True):
        for k in np.flatnonzero(np.isfinite(truth)):
            z = (one.value[k] - truth[k]) / one.stderr[k]
            print(f"gas {gas} g_a: {one.value[k]:.3f} +- {one.stderr[k]:.3f}, exact {truth[k]:.3f}, z {z:+.2f}")
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    time_panel(left, time, exact, squares, normal)
    gas_panel(right, points)
    save(figure, into, "saturation.png")


if __name__ == "__main__":
    main()
