"""Phase diagrams as pictures and from the command line: colours, labels, what is refused, and phases of few modes."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
from stochbind.analysis import phase_classes
from stochbind.analysis.phase_diagrams import phase_diagram
from stochbind.analysis.phase_points import PlaneAxis
from stochbind.cli import app
from stochbind.errors import PlanError, ScenarioError
from stochbind.modes.spectrum import modes
from stochbind.scenario import scenario_from_dict

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.fixture(scope="module")
def rieser():
    """The reference pair."""
    return sb.Scenario.from_toml(SCENARIOS / "rieser_like_pair.toml")


def phase_axis(n):
    return {"parameter": "particle[0].phase", "start": "0 deg", "stop": "360 deg", "n": n}


def power_axis(n):
    """The first tweezer stronger, the second weaker."""
    turned = {"parameter": "particle[1].power", "start": "0.4 W", "stop": "0.2 W", "n": n}
    return {"parameter": "particle[0].power", "start": "0.2 W", "stop": "0.4 W", "n": n, "along": [turned]}


def command(*arguments):
    return CliRunner().invoke(app, ["diagram", *map(str, arguments)], catch_exceptions=False)


def test_every_class_of_a_rule_has_a_color_of_its_own(rieser):
    from matplotlib.colors import to_rgb

    from stochbind.plots.diagrams import class_color

    chain = sb.Scenario.from_toml(SCENARIOS / "directional_chain.toml")
    for base in (rieser, chain):
        for name in phase_classes.RULES:
            if base is chain and name in ("regimes", "one_way"):
                continue
            names = (*phase_classes.rule(name, base).names, "no scenario")
            color = np.array([to_rgb(class_color(each, code)) for code, each in enumerate(names[:-1])] + [(1, 1, 1)])
            apart = np.linalg.norm(color[:, None] - color, axis=-1) + 9 * np.eye(len(color))
            i, j = np.unravel_index(apart.argmin(), apart.shape)
            assert apart.min() > 0.09, (name, names[i], names[j])
    own = np.array([to_rgb(class_color(str(code), code)) for code in range(40)])
    assert (np.linalg.norm(own[:, None] - own, axis=-1) + 9 * np.eye(40)).min() > 0.03
    assert min(to_rgb(class_color("none", 0))) > 0.9


def test_the_color_of_a_class_does_not_depend_on_the_others():
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    from stochbind.plots import diagrams

    side, found = PlaneAxis("x", np.arange(4.0)), []
    for codes in ([0, 1, 2, 3], [9, 9, 2, 0]):
        plane = phase_diagram(lambda x, y, c=codes: np.take(c, x.astype(int)), side, side, names=["a", "b", "c", "d"])
        legend = diagrams.class_map(Figure().subplots(), plane).get_legend()
        found.append(
            {t.get_text(): to_hex(p.get_facecolor()) for t, p in zip(legend.texts, legend.get_patches(), strict=True)}
        )
    first, second = found
    assert all(first[name] == second[name] for name in first.keys() & second.keys())
    assert len(set({**first, **second}.values())) == 5


@pytest.mark.parametrize("coupling", [0.5, 1.0 - 1e-9, 1.5, 2.0])
def test_fewer_than_two_modes_that_oscillate_are_in_no_phase(coupling):
    data = sb.Scenario.from_toml(SCENARIOS / "cold_to_hot_pair.toml").to_dict()
    data["coupling"] = [[0.0, coupling], [coupling, 0.0]]
    pair = scenario_from_dict(data)
    phase = modes(pair.oscillators()).phase
    x, y = ({"parameter": f"particle[{j}].bath_temperature", "start": 1.0, "stop": 1.1, "n": 2} for j in (0, 1))
    (name,) = phase_diagram(pair, x, y, "pt", exhaustive=True).areas()
    assert name == {"none": "neither", "unbroken": "unbroken, reciprocal"}[phase]
    assert (name == "neither") == (coupling > 0.99)


def test_one_particle_is_in_no_phase_and_drives_nobody(tmp_path):
    data = sb.Scenario.from_toml(SCENARIOS / "directional_chain.toml").to_dict()
    data["lattice"]["n"] = 1
    alone = scenario_from_dict(data)
    x = {"parameter": "damping_rate", "start": "1000 1/s", "stop": "2000 1/s", "n": 3}
    y = {"parameter": "frequency", "start": "10 kHz", "stop": "20 kHz", "n": 3}
    assert modes(alone.oscillators()).phase == "none"
    assert set(phase_diagram(alone, x, y, "pt").areas()) == {"neither"}
    with pytest.raises(ScenarioError, match="for two particles that move along one axis, but there is 1 here"):
        phase_diagram(alone, x, y, "one_way")


def test_labels_of_axes_name_units_and_all_parameters(rieser):
    from matplotlib.figure import Figure

    from stochbind.plots import diagrams

    found = phase_diagram(rieser, phase_axis(5), power_axis(5), exhaustive=True)
    ax = diagrams.class_map(Figure().subplots(), found)
    assert ax.get_ylabel() == "particle[0].power (mW),\nwith particle[1].power"
    rate = PlaneAxis("coupling_rate", np.array([1e3, 2e3]), "1/s")
    mass = PlaneAxis("mass", np.array([1e-18, 9e-18]), "kg")
    plane = phase_diagram(lambda x, y: (x > 1.5e3).astype(int), rate, mass)
    ax = diagrams.class_map(Figure().subplots(), plane)
    assert ax.get_xlabel() == "coupling_rate ($10^{3}$ 1/s)"
    assert ax.get_ylabel() == "mass ($10^{-18}$ kg)"


def test_the_command_tells_what_it_draws(tmp_path):
    x, y = "particle[0].phase=0 deg:180 deg", "particle[0].power=0.2 W:0.4 W,particle[1].power=0.4 W:0.2 W"
    said = command("rieser_like_pair", "--x", x, "--y", y, "-n", 5, "-o", tmp_path / "a.png").stdout.splitlines()
    assert said[0] == "x: particle[0].phase from 0 to 3.14159 rad"
    assert said[1] == "y: particle[0].power from 0.2 to 0.4 W, particle[1].power from 0.4 to 0.2 W"


def test_the_command_refuses_before_it_computes(tmp_path, monkeypatch):
    from stochbind.analysis import phase_diagrams

    monkeypatch.setattr(phase_diagrams, "phase_diagram", None)
    y = ("--y", "coupling_rate=1000 1/s:2000 1/s")
    with pytest.raises(PlanError, match=r"there is no folder .*nowhere.*; make it first"):
        command("directional_chain", "--x", "lattice.phase_step=0 deg:9 deg", *y, "-o", tmp_path / "nowhere" / "a.png")
    with pytest.raises(PlanError, match=r"lattice\.n takes whole numbers or flags only"):
        command("directional_chain", "--x", "lattice.n=2:10", *y, "-o", tmp_path / "a.png")
    with pytest.raises(ScenarioError, match=r"there is no `lattice\.m`"):
        command("directional_chain", "--x", "lattice.m=2:10", *y, "-o", tmp_path / "a.png")
