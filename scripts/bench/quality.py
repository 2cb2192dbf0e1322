"""A quality factor of 1e9 over 1e8 periods: temperatures beside the exact ones, whatever the step."""

import math

import numpy as np

import stochbind as sb
from bench import line
from stochbind.oscillators import Oscillators

QUALITY = 1e9
PERIODS = 10**8
#: Periods of a step, and trajectories: as many as take about ten seconds.
STEPS = {10**6: 100_000, 10**4: 20_000, 10**2: 1024}


def pair():
    """Two like oscillators of that quality, the second acting on the first as strongly as the damping allows."""
    gamma = 1.0 / QUALITY
    return Oscillators(
        mass=np.ones(2), stiffness=np.ones(2), friction=np.full(2, gamma), bath_temperature=np.array([1.0, 0.8]),
        coupling=np.array([[0.0, 2.0 * gamma], [0.0, 0.0]]), reduced=True,
    )  # fmt: skip


def high_quality():
    """From rest, with steps of 100 to a million periods; z is the distance from the exact moment in standard errors."""
    array = pair()
    equations = array.langevin()
    start = array.initial_moments("rest")
    exact = equations.moments(2 * math.pi * PERIODS, start).covariance
    # Alone, a particle warms up as T (1 - exp(-gamma t)).
    alone = 0.8 * -math.expm1(-2 * math.pi * PERIODS / QUALITY)
    kinetic = f"{exact[2, 2]:.6f}, {exact[3, 3]:.6f} ({alone:.6f} by the closed form of a single particle)"
    line("Q = 1e9, 1e8 periods: exact temperature of driven and driver", kinetic)
    for periods, n_trajectories in STEPS.items():
        n_steps = PERIODS // periods
        found = sb.simulate(
            array, step=2 * math.pi * periods, n_steps=n_steps, save_every=n_steps, n_trajectories=n_trajectories,
            initial=start, seed=1,
        )  # fmt: skip
        for name, first in (("position", 0), ("velocity", 2)):
            square = found[name].to_numpy()[:, 0, :] ** 2
            mean, error = square.mean(axis=0), square.std(axis=0, ddof=1) / math.sqrt(n_trajectories)
            z = (mean - np.diagonal(exact)[first : first + 2]) / error
            words = ", ".join(f"{m:.3f} +- {e:.3f}, z {d:+.2f}" for m, e, d in zip(mean, error, z, strict=True))
            line(f"{n_trajectories} trajectories, {n_steps} steps of {periods} periods: <{name}^2>", words)
