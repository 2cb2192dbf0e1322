"""What `info` tells of arrays: notes of those without couplings, heating rates, and large ones without delay."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import constants
from typer.testing import CliRunner

import stochbind as sb
from stochbind import checks
from stochbind.cli import app
from stochbind.errors import NoiseError, PlanError, ScenarioError
from stochbind.langevin import Moments
from stochbind.scenario import scenario_from_dict

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def changed(name, **values):
    """A shipped scenario with other values; those of its lattice as a dict."""
    data = sb.Scenario.from_toml(SCENARIOS / f"{name}.toml").to_dict()
    data["lattice"].update(values.pop("lattice", {}))
    return scenario_from_dict({**data, **values})


@pytest.mark.parametrize(
    ("values", "alone"),
    [
        ({"polarization": 0.0}, True),
        ({"polarization": 0.5 * np.pi}, False),
        ({"lattice": {"n": 2, "distance_phase": 20.25 * 2 * np.pi, "phase_step": 0.0}}, True),
        ({"lattice": {"n": 1}, "polarization": 0.0}, False),
    ],
)
def test_particles_that_nothing_couples_are_told(values, alone):
    array = changed("directional_chain", **values)
    notes = [note for note in array.notes() if note.startswith("Nothing couples the particles")]
    assert bool(notes) == alone
    if alone:
        assert np.abs(array.rates).max() < 1e-9 * array.coupling_rate
        assert len(array.notes()) == 1  # no light is told to be too weak


def test_heating_rates_are_those_of_the_momentum_diffusion():
    array = sb.Scenario.from_toml(SCENARIOS / "directional_chain.toml")
    told = array.derived()
    mass, omega, gamma = 9e-18, 2 * np.pi * 40e3, 12566.37
    assert told["mass"].value == pytest.approx(mass, abs=0)
    assert told["damping_rate"].value == gamma
    assert told["gas_heating_rate"].value == pytest.approx(
        gamma * constants.k * 300 / (constants.hbar * omega), rel=1e-12
    )
    # noise forces of both, in quanta a second
    noise = array.oscillators().force_noise[0, 0] / (constants.hbar * mass * omega)
    assert told["gas_heating_rate"].value + told["recoil_heating_rate"].value == pytest.approx(noise, rel=1e-12)
    assert "recoil_heating_rate" not in sb.Scenario.from_toml(SCENARIOS / "circulating_ring.toml").derived()


def test_what_would_be_refused_is_not_advised():
    lattice = {"equal_frequencies": False}
    linear = changed("square_lattice", lattice=lattice)
    assert any("set lattice.equal_frequencies = true" in note for note in linear.notes())
    data = linear.to_dict()
    data["light"]["forces"] = "full"
    notes = scenario_from_dict(data).notes()
    assert any('are found for forces = "linear" alone' in note for note in notes)
    assert not any("set lattice.equal_frequencies" in note for note in notes)


def test_recoil_that_no_light_has_names_what_helps():
    with pytest.raises(ScenarioError, match=r"Raise `recoil_rate`, or lower `coupling_rate`\."):
        changed("directional_chain", recoil_rate=100.0)


def test_of_a_large_array_nothing_is_told_that_takes_long(monkeypatch):
    from stochbind import langevin
    from stochbind.cli import showing
    from stochbind.optics import chains
    from stochbind.scenario import arrays

    def slow(*_, **__):
        raise AssertionError("eigenvalues of a large array")

    monkeypatch.setattr(showing, "_MOST_JUDGED", 11)
    monkeypatch.setattr(arrays, "_MOST_FOR_LIMIT", 11)
    monkeypatch.setattr(langevin, "stability", slow)
    monkeypatch.setattr(chains, "stability_limit", slow)
    report = json.loads(CliRunner().invoke(app, ["info", "circulating_ring", "--json"], catch_exceptions=False).stdout)
    assert report["stability"] is None
    assert "largest_stable_coupling_rate" not in report["derived"]
    said = CliRunner().invoke(app, ["info", "circulating_ring"], catch_exceptions=False).stdout
    assert "oscillators stability is not told here" in said
    monkeypatch.setattr(showing, "_MOST_JUDGED", 12)
    with pytest.raises(AssertionError, match="of a large array"):
        CliRunner().invoke(app, ["info", "circulating_ring"], catch_exceptions=False)


def test_checks_of_noise_are_those_of_the_whole_matrix():
    rest = np.zeros((5, 5))
    rest[2:, 2:] = np.eye(3)
    checks.positive_semidefinite("noise", rest)
    checks.positive_semidefinite("noise", np.zeros((3, 3)))
    rest[2, 3] = rest[3, 2] = 1.1
    with pytest.raises(NoiseError, match=r"its smallest eigenvalue is -0\.1"):
        checks.positive_semidefinite("noise", rest)


@pytest.mark.parametrize(
    ("reduced", "words"), [(True, r"Over 1e\+06 the system"), (False, r"Over 1e\+06 s the system")]
)
def test_times_in_reduced_units_have_none(reduced, words):
    wild = sb.Langevin(drift_matrix=[[1.0]], noise_covariance=[[1.0]], reduced=reduced)
    with pytest.raises(PlanError, match=words):
        wild.moments(1e6, Moments(np.zeros(1), np.eye(1)))


def test_pictures_of_scenarios_without_light_say_what_can_be_drawn(tmp_path):
    with pytest.raises(ScenarioError, match=r'of kind "array".* plot its store, or draw a scenario of kind "dipoles"'):
        CliRunner().invoke(app, ["plot", "directional_chain", "-o", str(tmp_path / "a.png")], catch_exceptions=False)
