#!/usr/bin/env python3
"""Draw Fig. 3(a) of Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024): regimes of optical binding.

    .venv/bin/python scripts/figures/regimes_of_binding.py [FOLDER]

Two particles in tweezers, over the phase between the tweezers and the distance modulo a wavelength. Prints how much of
the plane each regime takes; they overlap, and leave a part to none.
"""

import itertools
import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind import plots
from stochbind.optics import pairs, regimes

#: Special places, by phase and kd modulo 2 pi.
POINTS = {
    "I": (0.0, 0.0),
    "II": (0.25 * math.pi, 0.25 * math.pi),
    "III": (0.5 * math.pi, 0.5 * math.pi),
    "IV": (0.0, 0.5 * math.pi),
}
#: kd of the lower edge: a whole number of turns. The regimes depend on ratios of rates, which are the same at any.
EDGE = 8.0 * math.pi


def rates(phase, distance_phase):
    """Rates in units of G/kd: g_r, g_a and D12."""
    kd = EDGE + np.asarray(distance_phase)
    return pairs.far_field_rates(kd, phase, kd, 0.0)


def found(phase, distance_phase):
    """Regimes at phases and kd modulo 2 pi."""
    here = rates(phase, distance_phase)
    return regimes.regimes(here.reciprocal, here.antireciprocal, here.recoil_correlation)


def areas(n_points=2000):
    """Fractions of the plane: of each regime, of each pair of them, and of none."""
    middle = (np.arange(n_points) + 0.5) * math.pi / n_points  # half a turn each way is the whole
    flags = found(middle, middle[:, None])._asdict()
    result = {name: float(flag.mean()) for name, flag in flags.items()}
    for (one, first), (other, second) in itertools.combinations(flags.items(), 2):
        result[f"{one} and {other}"] = float((first & second).mean())
    result["none"] = float((~np.any(list(flags.values()), axis=0)).mean())
    return result


def figure():
    result = Figure(figsize=(5.5, 5.5), layout="constrained")
    side = np.linspace(0.0, 2.0 * math.pi, 601)
    # a little beside the axes, on which some of the rates are equal
    plots.regime_map(result.subplots(), side, side, found(side + 1e-6, side[:, None] + 2e-6), points=POINTS)
    result.axes[0].set(ylabel=r"distance $(kd \;\mathrm{mod}\; 2\pi) / \pi$", aspect="equal")
    return result


def main():
    into = folder()
    for name, (phase, kd) in POINTS.items():
        here = rates(phase, kd)
        values = (here.reciprocal, here.antireciprocal, here.recoil_correlation.real)
        words = zip(("g_r", "g_a", "Re D12"), values, strict=True)
        shown = ", ".join(f"{word} = {abs(value):.3f}" for word, value in words)
        print(f"point {name}: {shown}, in units of G/kd")
    for name, area in areas().items():
        print(f"{name}: {area:.3f} of the plane")
    save(figure(), into, "regimes_of_binding.png")


if __name__ == "__main__":
    main()
