#!/usr/bin/env python3
"""Draw where optical binding would entangle two particles, if light heated them less than it does.

    .venv/bin/python scripts/figures/entanglement_map.py [FOLDER]

Over the phase between the tweezers and the distance modulo a wavelength, for several recoil rates: the largest
logarithmic negativity that the ground state reaches, where the closed form says that it stays zero, and which
distances allow so little recoil at all.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind.optics import pairs
from stochbind.quantum import entanglement, states
from stochbind.quantum import master_equation as me

#: D11 in units of G/kd.
RECOIL = (0.25, 0.5, 0.75, 1.0)
#: Trap frequency in the same unit, and how long it is watched.
FREQUENCY, DURATION, STEPS = 10.0, 1.5, 60
#: kd of the lower edge, a whole number of turns; the rates in units of G/kd are the same at any.
EDGE = 8.0 * math.pi


def rates(phase, distance_phase, recoil):
    """Rates in units of G/kd at phases and kd modulo 2 pi."""
    kd = EDGE + np.asarray(distance_phase)
    return pairs.far_field_rates(kd, phase, kd, recoil)


def negativity(phase, distance_phase, recoil):
    """Largest logarithmic negativity over time, from the ground state; not a number where no light is that quiet."""
    phase, distance_phase = np.broadcast_arrays(phase, distance_phase)
    equation = me.pair_generator(rates(phase, distance_phase, recoil), FREQUENCY)
    allowed = me.completely_positive(equation)
    part = me.Generator(equation.drift[allowed], equation.noise[allowed])
    largest = np.zeros(allowed.sum())
    for covariance in me.evolved(part, states.vacuum(2).covariance, DURATION / STEPS, STEPS):
        largest = np.maximum(largest, entanglement.logarithmic_negativity(covariance))
    result = np.full(allowed.shape, np.nan)
    result[allowed] = largest
    return result


def areas(recoil, n_points=400):
    """Fractions of the plane: where the light may be that quiet, and where it then entangles."""
    middle = (np.arange(n_points) + 0.5) * math.pi / n_points  # half a turn each way is the whole
    here = rates(middle, middle[:, None], recoil)
    quiet = pairs.completely_positive(here)
    entangling = quiet & ~entanglement.never_entangles(here)
    return float(quiet.mean()), float(entangling.mean())


def figure(n_points=81):
    result = Figure(figsize=(8.5, 2.9), layout="constrained")
    axes = result.subplots(1, len(RECOIL), sharey=True)
    side = np.linspace(0.0, 2.0 * math.pi, n_points)
    maps = [negativity(side, side[:, None] + 1e-9, recoil) for recoil in RECOIL]
    largest = max(float(np.nanmax(one)) for one in maps)
    for ax, recoil, value in zip(axes, RECOIL, maps, strict=True):
        ax.set_facecolor("0.8")
        shown = ax.pcolormesh(
            side / math.pi, side / math.pi, value, vmin=0, vmax=largest, cmap="viridis", rasterized=True
        )
        threshold = entanglement.entanglement_threshold(rates(side, side[:, None], recoil))
        ax.contour(
            side / math.pi, side / math.pi, threshold, levels=[recoil], colors="w", linestyles="--", linewidths=1
        )
        ax.set(title=f"$D_{{11}} = {recoil:g}\\,G/kd$", xlabel=r"phase $\varphi / \pi$", aspect="equal")
    axes[0].set_ylabel(r"$(kd \;\mathrm{mod}\; 2\pi) / \pi$")
    result.colorbar(shown, ax=axes, label="negativity [nats]", shrink=0.8)
    return result


def main():
    into = folder()
    side = np.linspace(0.0, 2.0 * math.pi, 41)
    for recoil in RECOIL:
        quiet, entangling = areas(recoil)
        largest = np.nanmax(negativity(side, side[:, None] + 1e-9, recoil))
        print(
            f"D11 = {recoil:g} G/kd: possible in {quiet:.3f} of the plane, entangles in {entangling:.3f}; "
            f"largest negativity {largest:.4f}"
        )
    save(figure(), into, "entanglement_map.png")


if __name__ == "__main__":
    main()
