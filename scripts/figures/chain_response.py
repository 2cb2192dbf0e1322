#!/usr/bin/env python3
"""Draw Fig. 2(b) of Rudolph et al., Phys. Rev. A 110, 063507 (2024), beside the stability of its chains.

    .venv/bin/python scripts/figures/chain_response.py [FOLDER]

Left, the squares of the susceptibilities between the ends with the published coupling rate of one damping rate, where
the equations of motion have no steady state: formal curves. Middle, at 0.3 damping rates, where they have one. Right,
the growth rate over the coupling rate. Prints peaks, limits of stability and growth rates.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind.optics import chain_response, chains, lattices

#: In units of the damping rate.
FREQUENCY, DAMPING = 20.0, 1.0
LENGTHS = {10: "-", 20: "--", 40: ":"}


def rates(n, coupling_rate=1.0):
    """Coupling rates of the chain: kd of pi/4 beside whole turns, and a phase step of pi/4."""
    place, phase = lattices.chain(n, 0.25 * math.pi), lattices.stepped_phases(1, n, 0.25 * math.pi)
    return chains.couplings(place, phase, coupling_rate)


def responses(axes, coupling_rate):
    """Draw both directions over the frequency, and one particle alone."""
    ratio = np.linspace(0.87, 1.06, 1200)
    for n, style in LENGTHS.items():
        gain = chain_response.directional_gain(rates(n, coupling_rate), FREQUENCY, DAMPING, ratio * FREQUENCY)
        axes.semilogy(ratio, gain.forward, style, color="tab:red", label=f"$|\\chi_{{N1}}|^2$, N = {n}")
        axes.semilogy(ratio, gain.backward, style, color="tab:blue", label=f"$|\\chi_{{1N}}|^2$, N = {n}")
    alone = chain_response.directional_gain(np.zeros((1, 1)), FREQUENCY, DAMPING, ratio * FREQUENCY)
    axes.semilogy(ratio, alone.forward, "-.", color="black", label="one particle")
    axes.set(xlabel=r"frequency $\omega/\omega_0$", ylim=(1e-7, 1e5), xlim=(ratio[0], ratio[-1]))


def growth(axes):
    """Draw growth rates over the coupling rate."""
    coupling = np.linspace(0.0, 1.0, 201)
    for n, style in {2: "-", 3: "-.", 10: "--", 40: ":"}.items():
        rate = [chains.growth_rate(g * rates(n), FREQUENCY, DAMPING) for g in coupling]
        axes.plot(coupling, rate, style, color="black", label=f"N = {n}")
    axes.axhline(0.0, color="gray", linewidth=0.8)
    axes.axvline(1.0 / math.pi, color="tab:orange", linewidth=0.8, label=r"$g = \gamma/\pi$")
    axes.set(xlabel=r"coupling rate $g/\gamma$", ylabel=r"growth rate $/\gamma$")
    axes.legend(fontsize=8)


def figure():
    result = Figure(figsize=(11.0, 3.8), layout="constrained")
    formal, stable, limits = result.subplots(1, 3)
    responses(formal, 1.0)
    formal.set(ylabel=r"$|\chi|^2$", title=r"$g = \gamma$: unstable, formal curves")
    responses(stable, 0.3)
    stable.set_title(r"$g = 0.3\,\gamma$: stable")
    stable.legend(fontsize=6.5, loc="upper left", ncols=2)
    growth(limits)
    limits.set_title("stability")
    return result


def main():
    into = folder()
    for n in LENGTHS:
        formal = chain_response.peak_gain(rates(n), FREQUENCY, DAMPING)
        printed = chain_response.peak_gain(rates(n), FREQUENCY, DAMPING, as_printed=True)
        stable = chain_response.peak_gain(rates(n, 0.3), FREQUENCY, DAMPING)
        print(
            f"N = {n}: formal peak {formal.gain:.4g} at {formal.angular_frequency / FREQUENCY:.4f} w0 (with (101) as "
            f"printed {printed.gain:.4g} at {printed.angular_frequency / FREQUENCY:.4f} w0); at g = 0.3 gamma "
            f"{stable.gain:.3f} at {stable.angular_frequency / FREQUENCY:.4f} w0"
        )
    for n in (3, 4, 5, 10, 20, 40):
        limit = chains.stability_limit(rates(n), FREQUENCY, DAMPING)
        rate = chains.growth_rate(rates(n), FREQUENCY, DAMPING)
        print(f"N = {n}: stable up to g = {limit:.4f} gamma; at g = gamma the growth rate is {rate:.3f} gamma")
    save(figure(), into, "chain_response.png")


if __name__ == "__main__":
    main()
