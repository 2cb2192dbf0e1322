#!/usr/bin/env python3
"""Draw Fig. 3(b) of Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), and a diagram of an experiment.

    .venv/bin/python scripts/figures/phase_diagrams.py [FOLDER]

The first figure has the phases of PT symmetry of two particles over their detuning and antireciprocal coupling, in the
rotating frame and from the full drift, and the eigenfrequencies along three lines. The second has the growth rate of
the reference pair over the phase between its tweezers and the difference of their powers. Prints how much of each plane
every phase takes, where the two descriptions differ, and how much was computed.
"""

import numpy as np
from matplotlib.figure import Figure
from saving import folder, save

from stochbind.analysis.phase_diagrams import phase_diagram
from stochbind.analysis.phase_pairs import PAIR_PHASES, pair_diagram
from stochbind.analysis.phase_points import PlaneAxis
from stochbind.cli.common import shipped
from stochbind.optics import regimes
from stochbind.plots import diagrams
from stochbind.scenario import Scenario

#: Mean frequency of the particles for the full drift, in units of g_r.
FREQUENCY = 25.0
#: Antireciprocal couplings of the side panels, in units of g_r.
LINES = (0.5, 1.0, 1.5)
#: Pressures of the second figure: one at which the gas does nothing, and that of the scenario.
VACUUM, GAS = "1e-6 mbar", "10 mbar"


def plane(n_points, frequency=None):
    """Phases over detuning and g_a in units of g_r; in the rotating frame without a frequency."""
    return phase_diagram(
        lambda detuning, g_a: pair_diagram(1.0, g_a, detuning, frequency=frequency).phase,
        PlaneAxis(r"detuning $\delta\omega / g_r$", np.linspace(-4.0, 12.0, n_points)),
        PlaneAxis(r"antireciprocal coupling $g_a / g_r$", np.linspace(0.0, 3.0, n_points)),
        names=PAIR_PHASES,
    )


def exceptional_line():
    """Detuning and g_a of the exceptional points, from one end of the line to the other."""
    g_a = np.linspace(3.0, 1.0, 400)
    ends = np.array([regimes.exceptional_points(1.0, each) for each in g_a])
    return np.column_stack([np.concatenate([ends[:, 0], ends[::-1, 1]]), np.concatenate([g_a, g_a[::-1]])])


def phases(rotating, full):
    result = Figure(figsize=(11.5, 5.2), layout="constrained")
    axes = result.subplot_mosaic("aaabbbc;aaabbbd;aaabbbe", width_ratios=[1, 1, 1, 1, 1, 1, 1.8])
    for key, diagram, title in (
        ("a", rotating, "rotating frame"),
        ("b", full, rf"full drift, $\omega = {FREQUENCY:g}\,g_r$"),
    ):
        diagrams.class_map(axes[key], diagram, lines=[exceptional_line()])
        axes[key].set(title=title, xlim=(-4.0, 12.0))
        for g_a in LINES:
            axes[key].axhline(g_a, color="k", ls=":", lw=0.8)
    detuning = np.linspace(-4.0, 12.0, 801)
    for key, g_a in zip("edc", LINES, strict=True):
        points = regimes.exceptional_points(1.0, g_a) if g_a >= 1.0 else ()
        found = pair_diagram(1.0, g_a, detuning).eigenfrequency
        diagrams.eigenfrequency_curves(
            axes[key], detuning, found, points=points, title=rf"$\omega_\pm/g_r$ at $g_a = {g_a:g}\,g_r$"
        )
    axes["e"].set(xlabel=r"$\delta\omega / g_r$")
    axes["e"].legend(frameon=False, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.45))
    return result


def reference_pair(pressure):
    """The reference pair at a pressure."""
    pair = Scenario.from_toml(shipped()["rieser_like_pair"])
    return pair.model_copy(update={"gas": pair.gas.model_copy(update={"pressure": pressure})})


def experiment(pressure, n_points, **how):
    """Stability over the phase between the tweezers and their powers, which add up to 0.6 W."""
    power = {"start": "0.2 W", "stop": "0.4 W", "n": n_points}
    turned = {"start": "0.4 W", "stop": "0.2 W", "n": n_points}
    return phase_diagram(
        reference_pair(pressure),
        {
            "parameter": "particle[0].phase",
            "start": "0 deg",
            "stop": "360 deg",
            "n": n_points,
        },
        {
            "parameter": "particle[0].power",
            **power,
            "along": [{"parameter": "particle[1].power", **turned}],
        },
        **how,
    )


def growth(vacuum, gas):
    result = Figure(figsize=(6.5, 5.0), layout="constrained")
    ax = result.subplots()
    lines = vacuum.boundary("unstable"), gas.boundary("unstable")
    diagrams.rate_map(ax, vacuum.x, vacuum.y, vacuum.growth_rate, label="largest growth rate", lines=lines[0])
    for line in lines[1]:
        ax.plot(np.degrees(line[:, 0]), line[:, 1] * 1e3, "k--", lw=1.0)
    ax.set(
        ylabel="power of the first tweezer (mW)",
        xlabel="phase of the first tweezer less that of the second (degrees)",
        title=f"reference pair at {VACUUM}; dashed: border at {GAS}",
    )
    return result


def main(n_points=400, n_growth=81):
    into = folder()
    rotating, full = plane(n_points), plane(n_points, FREQUENCY)
    for name, diagram in (("rotating frame", rotating), ("full drift", full)):
        shown = ", ".join(f"{word}: {area:.3f}" for word, area in diagram.areas().items())
        print(f"{name}: {shown}; {diagram.fraction_computed:.1%} computed")
    print(f"the two differ in {np.mean(rotating.code != full.code):.4f} of the plane")
    save(phases(rotating, full), into, "phase_diagrams.png")
    vacuum, gas = experiment(VACUUM, n_growth, exhaustive=True), experiment(GAS, n_growth)
    for name, diagram in ((VACUUM, vacuum), (GAS, gas)):
        print(f"{name}: unstable: {diagram.areas().get('unstable', 0.0):.3f} of the plane")
    print(f"largest growth rate: {np.nanmax(vacuum.growth_rate):.4g} 1/s")
    save(growth(vacuum, gas), into, "growth_of_a_pair.png")


if __name__ == "__main__":
    main()
