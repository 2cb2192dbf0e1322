#!/usr/bin/env python3
"""Draw squeezing and entanglement by a phase that runs at twice the trap frequency.

    .venv/bin/python scripts/figures/squeezing.py [FOLDER]

Left: the variance of the difference mode over time, for several recoil rates: simulated, exact and in closed form.
Right: how entangled two particles become at most, over the recoil rate.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

import stochbind as sb
from stochbind.analysis.gaussian_states import recorded_state
from stochbind.optics import pairs
from stochbind.plots.style import COLORS
from stochbind.quantum import entanglement, modulation, squeezing, states, symplectic
from stochbind.quantum import master_equation as me

#: D11 in units of G/kd, and the trap frequency in that unit.
RECOIL, FREQUENCY = (0.5, 1.0, 2.0, 5.0), 100.0
#: kd: at whole turns there is neither antireciprocal coupling nor correlated recoil.
DISTANCE_PHASE = 4.0 * math.pi
DIFFERENCE = np.array([[-1.0, 1.0]]) / math.sqrt(2.0)
VACUUM = states.vacuum(2)


def protocol(recoil, frequency=FREQUENCY):
    """Running phase, in units of G/kd."""
    return modulation.running_phase(DISTANCE_PHASE, DISTANCE_PHASE, recoil, frequency)


def quietest(covariance):
    """Smallest variance of the difference mode."""
    return squeezing.mode_variance(symplectic.mixed(covariance, DIFFERENCE))[..., 0]


def exact(recoil, time):
    """The same at times, exactly."""
    equations = protocol(recoil)
    return np.array([quietest(equations.moments(one, VACUUM).covariance) for one in time])


def simulated(recoil, n_trajectories=20_000):
    """Times of whole turns, and estimates from trajectories there."""
    equations = protocol(recoil)
    record = sb.simulate(
        equations, step=6 * equations.duration, n_steps=8, n_trajectories=n_trajectories, initial=VACUUM, seed=7
    )
    found = [recorded_state(record, equations.equations, index=i) for i in range(8)]
    return np.array([one.time for one in found]), [one.estimate(quietest) for one in found]


def entangled_at_most(recoil, *, running=True, start=VACUUM, duration=2.0, frequency=FREQUENCY, pieces=32):
    """Largest logarithmic negativity over time, for several recoil rates at once."""
    length = math.pi / frequency / pieces
    largest = np.zeros(len(recoil))
    both = np.column_stack([recoil, recoil])
    steps = []
    for middle in 2.0 * frequency * length * (np.arange(pieces if running else 1) + 0.5):
        rates = pairs.far_field_rates(DISTANCE_PHASE, middle if running else 0.0, DISTANCE_PHASE, both)
        steps.append(me.pair_generator(rates, frequency))
    covariance = np.broadcast_to(start.covariance, (len(recoil), 4, 4))
    for i in range(round(duration / length)):
        covariance = next(me.evolved(steps[i % len(steps)], covariance, length))
        largest = np.maximum(largest, entanglement.logarithmic_negativity(covariance))
    return largest


def figure():
    result = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = result.subplots(1, 2)
    time = np.linspace(0.0, 1.6, 129)
    for color, recoil in zip(COLORS, RECOIL, strict=False):
        left.plot(time, exact(recoil, time), color=color, lw=1, label=f"$D_{{11}} = {recoil:g}\\,g$")
        left.plot(time, modulation.squeezed_pair(DISTANCE_PHASE, DISTANCE_PHASE, recoil, time).squeezed, "k--", lw=0.7)
        at, estimate = simulated(recoil)
        value, error = np.array([one.value for one in estimate]), np.array([one.stderr for one in estimate])
        left.errorbar(at, value, error, color=color, fmt="o", ms=3)
    left.axhline(0.5, color="0.6", lw=0.8, zorder=0)
    left.set(xlabel="time $gt$", ylabel="smallest variance", yscale="log")
    left.minorticks_off()
    left.set_yticks([0.25, 0.5, 1.0, 2.0], ["0.25", "0.5", "1", "2"])
    left.set_ylim(0.23, 4.5)
    left.legend(fontsize="small", ncols=2, loc="upper left")
    recoil = np.linspace(0.02, 1.2, 60)
    for color, label, options in (
        (COLORS[0], "phase stays, ground state", {"running": False}),
        (COLORS[1], "phase runs, ground state", {}),
        (COLORS[2], "phase stays, squeezed", {"running": False, "start": states.squeezed([1.5, 1.5])}),
    ):
        right.semilogy(recoil, entangled_at_most(recoil, **options) + 1e-12, color=color, label=label)
    for place in (0.5, 1.0):
        right.axvline(place, color="0.6", lw=0.8, zorder=0)
    right.set(xlabel="recoil $D_{11} / g$", ylabel="largest negativity [nats]", ylim=(1e-7, 5))
    right.legend(fontsize="small")
    return result


def main():
    into = folder()
    for recoil in RECOIL:
        turn = np.arange(16) / 16 * math.pi / FREQUENCY
        late = exact(recoil, 4.0 + turn)
        at, estimate = simulated(recoil)
        truth = exact(recoil, at)
        worst = max(abs(float(one.z(value))) for one, value in zip(estimate, truth, strict=True))
        print(
            f"D11 = {recoil:g} g: variance {late.mean():.4f} (from {late.min():.4f} to {late.max():.4f} in a turn), "
            f"closed form {recoil / 2:.4f}; largest |z| of the simulation {worst:.1f}"
        )
    some = np.array([0.4, 0.6, 0.9, 0.99, 1.01])
    for label, options in (("stays", {"running": False}), ("runs", {})):
        shown = ", ".join(f"{value:.2g}" for value in entangled_at_most(some, **options))
        print(f"phase {label}: largest negativity {shown} at D11/g = {', '.join(map(str, some))}")
    save(figure(), into, "squeezing.png")


if __name__ == "__main__":
    main()
