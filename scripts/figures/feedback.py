#!/usr/bin/env python3
"""Draw how far feedback cools: cold damping over its gain, optimal feedback over its delay, and a partner.

    .venv/bin/python scripts/figures/feedback.py [FOLDER]

Lines are exact, points are simulated. In the last panel only particle 0 is detected and pushed; particle 1 is cooled if
it is driven by particle 0, and is not if it drives. Prints what each comes to.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

import stochbind as sb
from stochbind.errors import UnstableError
from stochbind.plots.style import COLORS
from stochbind.quantum.feedback import best_gain, cold_damped_variance, cold_damping
from stochbind.quantum.measurement import Homodyne, conditional_covariance
from stochbind.quantum.regulators import regulated
from stochbind.quantum.states import GaussianState

#: One particle, in units of its frequency.
DAMPING, TEMPERATURE, RECOIL, EFFICIENCY, BANDWIDTH = 1e-4, 100.0, 0.01, 0.5, 10.0
GAINS = np.geomspace(1e-3, 1.0, 61)
DELAYS = {0.0: COLORS[0], 0.5: COLORS[1], 1.0: COLORS[2]}
LATE = np.linspace(0.0, 5.5, 56)
#: A pair of which one particle drives the other.
COUPLING, FRICTION, WARM = 0.05, 0.02, 20.0


def detected():
    """One particle in gas."""
    return Homodyne(
        sb.Oscillators(
            mass=[1.0], stiffness=[1.0], friction=[DAMPING], bath_temperature=[TEMPERATURE], coupling=[[0.0]],
            diffusion=[[RECOIL]], reduced=True,
        ),
        EFFICIENCY,
    )  # fmt: skip


def pair(driven):
    """Two particles of which `driven` feels the other, as light does it: with Im D12; only particle 0 is detected."""
    coupling = np.zeros((2, 2))
    coupling[driven, 1 - driven] = COUPLING
    common = 0.25j * (coupling[0, 1] - coupling[1, 0])
    return Homodyne(
        sb.Oscillators(
            mass=[1.0, 1.0], stiffness=[1.0, 1.0], friction=[FRICTION, FRICTION], bath_temperature=[WARM, WARM],
            coupling=coupling, diffusion=[[RECOIL * 5, common], [-common, RECOIL * 5]], reduced=True,
        ),
        EFFICIENCY,
        [0],
    )  # fmt: skip


def quanta(covariance, n):
    """Occupations of N particles, whose quadratures are the first of the coordinates."""
    return GaussianState(np.zeros(2 * n), covariance[: 2 * n, : 2 * n]).occupation


def damped(homodyne, gain, delay=0.0):
    """Occupations under cold damping; none if the loop is not stable."""
    n = homodyne.array.n_oscillators
    try:
        return quanta(cold_damping(homodyne, gain, BANDWIDTH, delay=delay).stationary_covariance(), n)
    except UnstableError:
        return np.full(n, np.nan)


def simulated(equations, n, seed):
    """Occupations of a run, and their errors."""
    interval = 5.0 / -equations.stability.growth_rate
    run = sb.simulate(
        equations, step=interval, n_steps=50, n_trajectories=1000, seed=seed, initial=equations.stationary
    )
    both = np.stack([run["position"] / equations.unit[:n], run["velocity"] / equations.unit[n : 2 * n]])
    energy = 0.5 * (both**2).sum(axis=0).reshape(-1, n)
    return energy.mean(axis=0) - 0.5, energy.std(axis=0) / math.sqrt(len(energy))


def points():
    """Simulated occupations: delay and gain (cold damping), delay (optimal), gain and pair (partner)."""
    one = detected()
    loops = {
        ("cold", delay, gain): cold_damping(one, gain, BANDWIDTH, delay=delay)
        for delay in DELAYS for gain in (0.003, 0.02, 0.1)
    }  # fmt: skip
    loops |= {("best", delay, 0.3): regulated(one, 0.3, delay=delay).equations for delay in (0.0, 1.5, 3.0, 4.5)}
    loops |= {
        ("pair", driven, gain): cold_damping(pair(driven), gain, BANDWIDTH) for driven in (0, 1) for gain in (0.01, 0.1)
    }
    found = {}
    for seed, (key, equations) in enumerate(loops.items()):
        n = 2 if key[0] == "pair" else 1
        found[key] = (*simulated(equations, n, seed), quanta(equations.stationary_covariance(), n))
    return found


def gain_panel(ax, found):
    one = detected()
    for delay, color in DELAYS.items():
        exact = np.array([damped(one, gain, delay)[0] for gain in GAINS])
        ax.plot(GAINS, exact, color=color, label=rf"delay {delay:g}$/\Omega$")
        mine = {key[2]: value for key, value in found.items() if key[:2] == ("cold", delay)}
        value, error = np.array([[v[0][0], v[1][0]] for v in mine.values()]).T
        ax.errorbar(list(mine), value, error, fmt="o", markersize=3, color=color)
    total = RECOIL + DAMPING * TEMPERATURE
    closed = [cold_damped_variance(DAMPING, total, EFFICIENCY * RECOIL, gain) - 0.5 for gain in GAINS]
    ax.plot(GAINS, closed, ":", color="0.4", label="position, wide loop")
    ax.axhline(quanta(conditional_covariance(one), 1)[0], color="0.6", linewidth=0.8, label="conditional state")
    ax.set(xscale="log", yscale="log", xlabel=r"gain $\Gamma/\Omega$", ylabel="quanta", ylim=(0.3, 30))
    ax.legend(fontsize=7)


def delay_panel(ax, found):
    one = detected()
    for rate, color in ((0.05, COLORS[3]), (0.3, COLORS[1]), (1.0, COLORS[0])):
        exact = [quanta(regulated(one, rate, delay=delay).equations.stationary_covariance(), 1)[0] for delay in LATE]
        ax.plot(LATE, exact, color=color, label=rf"optimal, $\kappa = {rate:g}\Omega$")
    mine = {key[1]: value for key, value in found.items() if key[0] == "best"}
    value, error = np.array([[v[0][0], v[1][0]] for v in mine.values()]).T
    ax.errorbar(list(mine), value, error, fmt="o", markersize=3, color=COLORS[1])
    best = best_gain(DAMPING, RECOIL + DAMPING * TEMPERATURE, EFFICIENCY * RECOIL)
    ax.plot(LATE, [damped(one, best, delay)[0] for delay in LATE], "--", color="0.4", label="cold damping")
    ax.axhline(quanta(conditional_covariance(one), 1)[0], color="0.6", linewidth=0.8)
    ax.set(xlabel=r"delay $\Omega\tau$", ylabel="quanta", ylim=(0, 4))
    ax.legend(fontsize=7)


def partner_panel(ax, found):
    for driven, style in ((1, "-"), (0, "--")):
        exact = np.array([damped(pair(driven), gain) for gain in GAINS])
        for particle in (0, 1):
            label = f"particle {particle}; {driven} feels {1 - driven}"
            ax.plot(GAINS, exact[:, particle], style, color=COLORS[particle], label=label)
        mine = {key[2]: value for key, value in found.items() if key[:2] == ("pair", driven)}
        for particle in (0, 1):
            value, error = np.array([[v[0][particle], v[1][particle]] for v in mine.values()]).T
            ax.errorbar(list(mine), value, error, fmt="o", markersize=3, color=COLORS[particle])
    ax.set(xscale="log", yscale="log", xlabel=r"gain on particle 0, $\Gamma/\Omega$", ylabel="quanta")
    ax.legend(fontsize=7)


def figure(found):
    """Three panels."""
    result = Figure(figsize=(11, 3.6), layout="constrained")
    axes = result.subplots(1, 3)
    gain_panel(axes[0], found)
    delay_panel(axes[1], found)
    partner_panel(axes[2], found)
    return result


def main():
    into = folder()
    found = points()
    for (kind, first, gain), (value, error, exact) in found.items():
        what = f"{kind}, {'driven' if kind == 'pair' else 'delay'} {first:g}, {gain:g}"
        z = np.abs((value - exact) / error).max()
        off = np.abs((value - exact) / (exact + 0.5)).max()
        print(f"{what}: n = {np.round(exact, 4)}; simulated {np.round(value, 4)}, |z| <= {z:.1f}, off by {off:.2%}")
    save(figure(found), into, "feedback.png")


if __name__ == "__main__":
    main()
