#!/usr/bin/env python3
"""Draw what homodyne detection makes of bound particles: a conditional trajectory, and where the pair is entangled.

    .venv/bin/python scripts/figures/measurement.py [FOLDER]

One particle is detected from a thermal state on; its filter finds it, and the errors are those of the Riccati
equation. A conservatively bound pair is entangled in its conditional steady state beyond an efficiency that depends on
recoil and coupling. Prints the thresholds, and how far the simulated errors are from the exact ones.
"""

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save
from scipy import optimize

import stochbind as sb
from stochbind.langevin import Moments
from stochbind.optics.pairs import Rates
from stochbind.plots.style import COLORS
from stochbind.quantum.conditional_states import necessary_efficiency
from stochbind.quantum.entanglement import logarithmic_negativity, transposed_eigenvalue
from stochbind.quantum.filtering import filtered
from stochbind.quantum.measurement import (
    Homodyne,
    conditional_covariance,
    measured,
    measured_moments,
)

#: One particle, in units of its frequency: recoil, efficiency, and quanta at the beginning.
RECOIL, EFFICIENCY, QUANTA = 0.02, 0.6, 30.0
STEP, N_STEPS = 0.05, 1200
#: Recoil over coupling, and coupling over frequency, where the other one is drawn.
RATIO, RATE = 10.0, 0.02
#: Efficiencies, dense near one.
EFFICIENCIES = 1.0 - np.geomspace(0.4, 0.001, 70)
#: Pairs in each map.
POINTS = 40


def particle():
    """One particle without gas."""
    return sb.Oscillators(
        mass=[1.0], stiffness=[1.0], friction=[0.0], bath_temperature=[0.0], coupling=[[0.0]], diffusion=[[RECOIL]],
        reduced=True,
    )  # fmt: skip


def pair(rate, ratio):
    """Two particles bound conservatively, g_r over the frequency, with D11 / g_r."""
    coupling = 2.0 * rate * np.array([[0.0, 1.0], [1.0, 0.0]])
    return sb.Oscillators(
        mass=[1.0, 1.0], stiffness=1.0 + coupling.sum(axis=1), friction=[0.0, 0.0], bath_temperature=[0.0, 0.0],
        coupling=coupling, diffusion=ratio * rate * np.eye(2), reduced=True,
    )  # fmt: skip


def bound_rates(ratio):
    """Rates of such pairs over the coupling."""
    ratio = np.asarray(ratio, dtype=float)
    return Rates(np.ones(ratio.shape), np.zeros(ratio.shape), np.stack([ratio, ratio], axis=-1), np.zeros(ratio.shape))


def threshold(rate, ratio):
    """Efficiency at which the conditional steady state begins to be entangled."""

    def excess(efficiency):
        covariance = conditional_covariance(Homodyne(pair(rate, ratio), efficiency))
        return float(transposed_eigenvalue(covariance)) - 0.5

    return optimize.brentq(excess, 1e-3, 1.0)


def negativities(rates, ratios):
    """Logarithmic negativity for efficiencies (rows) of pairs (columns)."""
    arrays = [pair(rate, ratio) for rate, ratio in np.broadcast(rates, ratios)]
    states = [[conditional_covariance(Homodyne(array, eta)) for array in arrays] for eta in EFFICIENCIES]
    return logarithmic_negativity(np.array(states))


def simulated(n_trajectories=2000):
    """States, estimates and their covariances of the particle, in quadratures."""
    detected = Homodyne(particle(), EFFICIENCY)
    begin = Moments(np.zeros(2), (QUANTA + 0.5) * np.eye(2))
    run = sb.simulate(
        measured(detected), step=STEP, n_steps=N_STEPS, n_trajectories=n_trajectories, seed=3,
        initial=measured_moments(detected, begin),
    )  # fmt: skip
    found = filtered(run, detected, begin)
    both = [np.concatenate([one["position"], one["velocity"]], axis=-1) for one in (run, found)]
    return run["time"].values, *(one / detected.equations.unit for one in both), found["covariance"].values


def trajectory_panel(ax, time, state, estimate, covariance):
    deviation = np.sqrt(covariance[:, 0, 0])
    ax.fill_between(time, estimate[0, :, 0] - 2 * deviation, estimate[0, :, 0] + 2 * deviation, color="0.85")
    ax.plot(time, state[0, :, 0], color=COLORS[0], linewidth=1.0, label="position")
    ax.plot(time, estimate[0, :, 0], "--", color=COLORS[1], linewidth=1.0, label=r"estimate $\pm 2\sigma$")
    ax.set(xlabel=r"time $\Omega t$", ylabel=r"$z$", xlim=(0, 40))
    ax.legend(fontsize=7, loc="upper right")


def error_panel(ax, time, state, estimate, covariance):
    detected = Homodyne(particle(), EFFICIENCY)
    error = ((state - estimate) ** 2).mean(axis=0)
    shown = slice(None, None, 25)
    for index, name in enumerate("zp"):
        ax.plot(time, covariance[:, index, index], color=COLORS[index], label=f"Riccati, {name}")
        ax.plot(time[shown], error[shown, index], "o", markersize=3, color=COLORS[index], label=f"filter, {name}")
    ax.axhline(conditional_covariance(detected)[0, 0], color="0.6", linewidth=0.8, linestyle=":")
    ax.axhline(0.5, color="0.6", linewidth=0.8)
    ax.set(xlabel=r"time $\Omega t$", ylabel="variance of the error", yscale="log")
    ax.legend(fontsize=7)


def map_panel(ax, values, negativity, edge, necessary):
    top = float(negativity.max())
    image = ax.pcolormesh(values, 1.0 - EFFICIENCIES, negativity, cmap="Blues", vmin=0.0, vmax=top, rasterized=True)
    ax.plot(values, 1.0 - edge, color=COLORS[1], label="threshold")
    ax.plot(values, 1.0 - necessary, "--", color=COLORS[2], label=r"$1 - \eta = g_r/D_{11}$")
    ax.set(yscale="log", xscale="log", ylabel=r"$1 - \eta$", ylim=(1.0 - EFFICIENCIES[-1], 1.0 - EFFICIENCIES[0]))
    ax.legend(fontsize=7, loc="lower left")
    ax.figure.colorbar(image, ax=ax, label="logarithmic negativity")


def figure(run):
    """Trajectory, errors, and two maps of negativity."""
    result = Figure(figsize=(9, 7), layout="constrained")
    axes = result.subplots(2, 2)
    trajectory_panel(axes[0, 0], *run)
    error_panel(axes[0, 1], *run)
    rates, ratios = np.geomspace(0.005, 0.5, POINTS), np.geomspace(1.0, 50.0, POINTS)
    edges = np.array([threshold(rate, RATIO) for rate in rates]), np.array([threshold(RATE, ratio) for ratio in ratios])
    needed = [necessary_efficiency(bound_rates(given)) for given in (np.full(POINTS, RATIO), ratios)]
    map_panel(axes[1, 0], rates, negativities(rates, RATIO), edges[0], needed[0])
    axes[1, 0].set(xlabel=rf"coupling $g_r/\Omega$, at $D_{{11}} = {RATIO:g}g_r$")
    map_panel(axes[1, 1], ratios, negativities(RATE, ratios), edges[1], needed[1])
    axes[1, 1].set(xlabel=rf"recoil $D_{{11}}/g_r$, at $g_r = {RATE:g}\Omega$")
    return result


def numbers(run):
    """What the figure comes to, a line each."""
    for rate in (RATE, 0.1):
        found, needed = threshold(rate, RATIO), float(necessary_efficiency(bound_rates(RATIO)))
        yield f"g_r = {rate:g} Omega, D11 = {RATIO:g} g_r: entangled beyond eta = {found:.4f}; necessary {needed:.4f}"
    _, state, estimate, covariance = run
    error = state - estimate
    for index in (0, 20, 200, N_STEPS - 1):
        own = error[:, index]
        truth = covariance[index]
        spread = np.sqrt((np.outer(np.diagonal(truth), np.diagonal(truth)) + truth**2) / len(own))
        z = (own.T @ own / len(own) - truth) / spread
        yield f"after {STEP * (index + 1):g}: errors of the filter, |z| <= {np.abs(z).max():.1f}"


def main():
    into = folder()
    run = simulated()
    for line in numbers(run):
        print(line)
    save(figure(run), into, "measurement.png")


if __name__ == "__main__":
    main()
