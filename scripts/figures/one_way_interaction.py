#!/usr/bin/env python3
"""Draw Figs. 3, 4 and 5 of Jazayeri et al., One-way Optomechanical Interaction between Nanoparticles.

    .venv/bin/python scripts/figures/one_way_interaction.py [FOLDER]

Two particles one behind the other in a plane wave: ideal ones of the second Kerker condition and electric dipoles
(Fig. 3), silicon spheres (Fig. 4, in the dipole model), and ideal ones of the first Kerker condition (Fig. 5). Prints
where they balance and how much of the distances is one-way. Three statements of the text do not follow from its
equations: that electric dipoles are one-way at certain distances only, and that the pair of Fig. 5 has zeros and forces
of the same order; see `stochbind.optics.kerker.ideal_curves`.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind import plots
from stochbind.optics import kerker, particles, polarizability, waves

WAVELENGTH = 420e-9
WAVENUMBER = 2.0 * math.pi / WAVELENGTH
RADIUS = 45e-9
INDEX = 5.1 + 0.2j
AMPLITUDE = waves.amplitude_of_intensity(1.3e9)  # 1.3 mW/µm^2

DRAWN = np.linspace(150e-9, 1200e-9, 1051)
#: Where fractions of distances are counted, and what counts as one-way.
COUNTED = np.linspace(300e-9, 2000e-9, 8501)
ONE_WAY = 0.05
#: Scattering events, by name; None is the self-consistent solution.
EVENTS = {"one event": 1, "self-consistent": None}


def pairs():
    """Electric and magnetic polarizabilities of the pairs, by name [m^3]."""
    ideal = polarizability.rayleigh(RADIUS, INDEX).electric[0, 0]
    real = polarizability.mie(RADIUS, INDEX, WAVENUMBER)
    return {
        "second Kerker": (ideal, -ideal),
        "electric dipoles": (ideal, 0.0),
        "silicon spheres": (real.electric[0, 0], real.magnetic[0, 0]),
        "first Kerker": (ideal, ideal),
    }


def curves(name, distance=DRAWN, events=1):
    """Forces and non-reciprocity of a pair after some scattering events; None is the self-consistent solution."""
    return kerker.pair_curves(distance, *pairs()[name], WAVENUMBER, AMPLITUDE, events=events)


def zeros(name, events=1):
    """Distances at which the forces are equal."""
    return kerker.equilibria(float(DRAWN[0]), float(DRAWN[-1]), *pairs()[name], WAVENUMBER, AMPLITUDE, events=events)


def fractions(name, events=1):
    """Fractions of the distances at which each non-reciprocity factor is one-way."""
    found = curves(name, COUNTED, events)
    return tuple(float(np.mean(np.abs(factor - 0.5) < ONE_WAY)) for factor in (found.zeroth, found.first))


def forces_panel(ax, name, events=1):
    found = curves(name, events=events)
    shown = zeros(name, events)
    plots.force_curves(ax, found.distance, found.force_a, found.force_b, zeros=shown)
    ax.set_title(name)


def factors_panel(ax, shown, which):
    """Non-reciprocity factors of order zero or one of curves by label."""
    plots.reciprocity_curves(ax, DRAWN, {label: getattr(found, which) for label, found in shown.items()})
    ax.set_title(f"non-reciprocity of order {'zero' if which == 'zeroth' else 'one'}")


def figure_3():
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    chosen = ("second Kerker", "electric dipoles")
    for ax, name in zip(axes[0], chosen, strict=True):
        forces_panel(ax, name)
    for ax, which in zip(axes[1], ("zeroth", "first"), strict=True):
        factors_panel(ax, {name: curves(name) for name in chosen}, which)
    return figure


def figure_of_one(name):
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    forces_panel(axes[0], name)
    for ax, which in zip(axes[1:], ("zeroth", "first"), strict=True):
        factors_panel(ax, {words: curves(name, events=events) for words, events in EVENTS.items()}, which)
    return figure


def numbers():
    """What the figures come to, a line each."""
    small = particles.mie_coefficients(INDEX, WAVENUMBER * RADIUS, 1)
    yield f"Mie coefficients of the silicon spheres: a1 = {small[0][0]:.7f}, b1 = {small[1][0]:.7f}"
    for name in pairs():
        found = curves(name)
        yield f"{name}: largest f_A {found.force_a.max() * 1e15:.1f} fN, least {found.force_a.min() * 1e15:.1f} fN"
        places = [f"{z.distance * 1e9:.0f}{'S' if z.stable else 'U'}" for z in zeros(name)]
        yield f"{name}: f_A = f_B at {' '.join(places) or 'no distance'} (nm; S stable, U unstable)"
        for words, events in EVENTS.items():
            zeroth, first = fractions(name, events)
            yield (
                f"{name}, {words}: within {ONE_WAY} of one-way at {zeroth:.1%} (order zero) and {first:.1%} (order "
                f"one) of the distances from {COUNTED[0] * 1e9:.0f} to {COUNTED[-1] * 1e9:.0f} nm"
            )


def main():
    into = folder()
    for line in numbers():
        print(line)
    save(figure_3(), into, "kerker_and_electric_pairs.png")
    save(figure_of_one("silicon spheres"), into, "silicon_spheres.png")
    save(figure_of_one("first Kerker"), into, "first_kerker_pair.png")


if __name__ == "__main__":
    main()
