#!/usr/bin/env python3
"""Draw what trajectories of directional chains do: hot middles where they are stable, growth where they are not.

    .venv/bin/python scripts/figures/chain_temperatures.py [FOLDER]

Left, kinetic temperatures at 0.3 damping rates of coupling, simulated and exact. Right, the energy of trajectories at
one damping rate of coupling, from thermal states, with the growth rate of the mode that grows fastest. Prints the
distances in standard errors.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

import stochbind as sb
from stochbind.analysis import thermodynamics
from stochbind.optics import chains

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
LENGTHS = (10, 20, 40)


def scenario(name, n):
    """A shipped chain, of n particles."""
    shipped = sb.Scenario.from_toml(SCENARIOS / f"{name}.toml")
    return shipped.model_copy(update={"lattice": shipped.lattice.model_copy(update={"n": n})})


def temperatures(n, n_trajectories=4096):
    """Kinetic temperatures of the stable chain: exact, simulated, and standard errors [K]."""
    array = scenario("directional_chain", n).oscillators()
    steady = array.langevin().stationary
    data = sb.simulate(array, step=2e-3, n_steps=8, n_trajectories=n_trajectories, initial=steady, seed=n)
    each = array.mass * (data.velocity.to_numpy() ** 2).mean(axis=1) / array.boltzmann
    exact = thermodynamics.kinetic_temperature(array, steady.covariance)
    return exact, each.mean(axis=0), each.std(axis=0, ddof=1) / math.sqrt(len(each))


def growing(n, step=1e-5, n_steps=800, n_trajectories=256):
    """Energy of the unstable chain, (trajectory, time) in that of its bath; times [s]; and its growth rate."""
    chain = scenario("unstable_chain", n)
    array = chain.oscillators()
    start = array.initial_moments("thermal")
    data = sb.simulate(array, step=step, n_steps=n_steps, n_trajectories=n_trajectories, initial=start, seed=n)
    energy = 0.5 * (array.mass * data.velocity.to_numpy() ** 2).sum(axis=2) / array.thermal_energy[0]
    rate = chains.growth_rate(chain.rates, chain.angular_frequency, chain.damping_rate)
    return energy, data.time.to_numpy(), rate


def fitted(energy, time):
    """Growth rate of the amplitude in the second half of the record, and its standard error [1/s]."""
    half = len(time) // 2
    slope = 0.5 * np.log(energy[:, -1] / energy[:, half]) / (time[-1] - time[half])
    return float(slope.mean()), float(slope.std(ddof=1) / math.sqrt(len(slope)))


def figure(warm, wild):
    result = Figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = result.subplots(1, 2)
    for (n, (exact, mean, error)), color in zip(warm.items(), ("tab:blue", "tab:orange", "tab:green"), strict=True):
        place = np.linspace(0.0, 1.0, n)
        left.plot(place, exact, color=color, label=f"N = {n}")
        left.errorbar(place, mean, 5 * error, fmt=".", color=color)
    left.errorbar([], [], [], fmt=".", color="black", label="simulated, with 5 standard errors")
    left.plot([], [], color="black", label="exact")
    left.axhline(300.0, color="gray", linewidth=0.8, label="gas")
    left.set(
        xlabel="place along the chain", ylabel="kinetic temperature (K)", title=r"$g = 0.3\,\gamma$", ylim=(0, 1450)
    )
    left.legend(fontsize=7, ncols=2, loc="lower center")
    for (n, (energy, time, rate)), color in zip(wild.items(), ("tab:red", "tab:purple"), strict=True):
        right.semilogy(1e3 * time, energy[:4].T, color=color, linewidth=0.6)
        at = len(time) // 2
        line = energy[:4, at].mean() * np.exp(2.0 * rate * (time - time[at]))
        right.semilogy(1e3 * time, line, "--", color="black")
        right.semilogy([], [], color=color, label=f"N = {n}: four trajectories")
        right.semilogy([], [], "--", color="black", label=f"N = {n}: fastest mode, {rate:.0f} 1/s")
    right.set(
        xlabel="time (ms)", ylabel=r"kinetic energy $/k_BT$", xlim=(0.0, 2.5), ylim=(1e-1, 1e30), title=r"$g = \gamma$"
    )
    right.legend(fontsize=8)
    return result


def main():
    into = folder()
    warm = {n: temperatures(n) for n in LENGTHS}
    for n, (exact, mean, error) in warm.items():
        z = (mean - exact) / error
        print(
            f"N = {n}: first {exact[0]:.0f} K, last {exact[-1]:.0f} K, largest {exact.max():.0f} K; simulated with "
            f"errors up to {100 * (error / exact).max():.2f} %, largest |z| {np.abs(z).max():.2f}"
        )
    wild = {n: growing(n) for n in (3, 10)}
    for n, (energy, time, rate) in wild.items():
        slope, error = fitted(energy, time)
        print(
            f"N = {n}: grows at {slope:.1f} +- {error:.1f} 1/s, predicted {rate:.1f}: z = {(slope - rate) / error:+.2f}"
        )
    save(figure(warm, wild), into, "chain_temperatures.png")


if __name__ == "__main__":
    main()
