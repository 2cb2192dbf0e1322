#!/usr/bin/env python3
"""Draw what correlated recoil does to a released pair: growth of both modes, and their difference over the distance.

    .venv/bin/python scripts/figures/reheating.py [FOLDER]

The pair is the shipped `reheating_pair`. Left: mean occupations of the common and the differential mode after the
release, simulated and exact. Right: difference of their heating rates over the mean, exact at all distances, and
fitted to records at those where the coupling vanishes; beside it the published range of 10 to 15 %. Prints rates,
errors and z.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save
from scipy import optimize

import stochbind as sb
from stochbind.analysis import heating, temperatures
from stochbind.analysis.reheating import reheating
from stochbind.optics import pairs
from stochbind.plots.style import COLORS

PAIR = sb.Scenario.from_toml(Path(__file__).resolve().parents[2] / "scenarios" / "reheating_pair.toml")
INTERVAL, STATES, TRAJECTORIES = 20e-6, 100, 4096
#: Distances, in wavelengths, near which the coupling vanishes.
NEAR = np.arange(1.75, 4.0, 0.5)


def array_at(distance):
    """The pair with its spheres at this distance [m]."""
    far = PAIR.particle[1].model_copy(update={"position": (float(distance), 0.0)})
    return PAIR.model_copy(update={"particle": (PAIR.particle[0], far)}).oscillators()


def uncoupled(wavelengths):
    """Distance at which the exact coupling vanishes [m], near a far-field one."""
    middle, width = wavelengths * PAIR.light.wavelength, 0.1 * PAIR.light.wavelength
    scale = array_at(middle).stiffness[0]
    return optimize.brentq(
        lambda d: array_at(d).coupling[0, 1] / scale, middle - width, middle + width, xtol=1e-15, rtol=1e-12
    )


def release(array, seed):
    """A simulated release from the ground states."""
    begin = array.initial_moments("ground")
    return sb.simulate(array, step=INTERVAL, n_steps=STATES, n_trajectories=TRAJECTORIES, initial=begin, seed=seed)


def difference(distance):
    """Exact difference of the recoil heating of both modes over its mean, the common one first."""
    array = array_at(distance)
    rates = pairs.rates_from(array.coupling, array.diffusion, array.mass, math.sqrt(array.stiffness[0] / array.mass[0]))
    common, differential = heating.collective_recoil(rates)
    return 2 * (common - differential) / (common + differential)


def growth_panel(ax, array, record):
    equations, begin = array.langevin(), array.initial_moments("ground")
    time = record.time.to_numpy()
    heat = heating.mode_heating(array)
    state = np.concatenate([record.position, record.velocity], axis=-1) / equations.unit
    second = np.einsum("rti,rtj->tij", state, state) / len(state)
    found = temperatures.mode_occupation(array, second)
    exact = temperatures.mode_occupation(array, np.array([equations.moments(t, begin).covariance for t in time]))
    common = int(np.argmax(heat.modes.shape.prod(axis=0)))
    for k, name, color in ((common, "common", COLORS[0]), (1 - common, "differential", COLORS[1])):
        ax.plot(time * 1e3, exact[:, k], color=color, label=f"{name}, {heat.rate[k]:.3g} quanta/s")
        ax.plot(time[4::5] * 1e3, found[4::5, k], "o", color=color, ms=3.5)
    ax.plot(time * 1e3, 0.5 * exact.sum(axis=1), ":", color="0.4", label="recoil not correlated")
    ax.set(xlabel="time after the release (ms)", ylabel="mean occupation (quanta)")
    ax.legend(frameon=False)


def distance_panel(ax, points):
    distance = np.linspace(1.6, 4.0, 241) * 1e-6
    k = PAIR.wavenumber
    largest = heating.largest_difference(distance, k, PAIR.rayleigh_range)
    ax.axhspan(10, 15, color="0.9", lw=0)
    ax.axhspan(-15, -10, color="0.9", lw=0)
    ax.plot(distance * 1e6, [100 * difference(d) for d in distance], color=COLORS[0], label="exact, recoil alone")
    for sign in (1, -1):
        ax.plot(distance * 1e6, sign * 100 * largest, "--", color="0.4", lw=1, label="2.02/kd" if sign > 0 else None)
    places, found = zip(*points, strict=True)
    ax.errorbar(
        np.array(places) * 1e6, [100 * float(one.value) for one in found], [100 * float(one.stderr) for one in found],
        fmt="o", ms=4, color=COLORS[1], label="fitted, no coupling",
    )  # fmt: skip
    ax.set(xlabel="distance (µm)", ylabel="difference of heating rates (%)")
    ax.legend(frameon=False, loc="center right", fontsize=8)


def main():
    into = folder()
    array = PAIR.oscillators()
    record = release(array, seed=1)
    found = reheating(record, array)
    for k, rate in enumerate(found.exact.rate):
        for name, one in (("increments", found.by_increments), ("energies", found.by_energies)):
            error = one.stderr[k] / rate
            z = one.z(found.exact.rate)[k]
            print(f"mode {k}: {one.value[k]:.5g} by {name} +- {error:.2%}, exact {rate:.5g}, z {z:+.2f}")
    points = []
    for seed, near in enumerate(NEAR):
        distance = uncoupled(near)
        one = reheating(release(array_at(distance), seed + 2), array_at(distance))
        points.append((distance, one.difference))
        shown = f"{one.difference.value:+.2%} +- {one.difference.stderr:.2%}, exact {one.exact_difference:+.2%}"
        print(f"{distance * 1e6:.4f} um: {shown}, z {float(one.difference.z(one.exact_difference)):+.2f}")
    near, far = heating.distance_of_difference([0.15, 0.10], PAIR.wavenumber, PAIR.rayleigh_range)
    print(f"15 % at {near * 1e6:.2f} um, 10 % at {far * 1e6:.2f} um")
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    growth_panel(left, array, record)
    distance_panel(right, points)
    save(figure, into, "reheating.png")


if __name__ == "__main__":
    main()
