"""The command that shows quantum states."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import stochbind as sb
from stochbind import errors
from stochbind.cli import quantum
from stochbind.quantum.measurement import Homodyne, conditional_covariance

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.fixture(scope="module")
def app():
    made = typer.Typer()
    made.callback()(lambda: None)
    quantum.register(made)
    return made


def invoke(app, *arguments):
    result = CliRunner().invoke(app, ["quantum", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_steady_state(app):
    report = json.loads(invoke(app, SCENARIOS / "rieser_like_pair.toml", "--json"))
    assert report["physical"]
    assert report["light_completely_positive"]
    assert report["light_entangles"] == [False, False]
    assert report["recoil_over_threshold"] == pytest.approx(14.59, rel=1e-3)
    assert report["occupation"] == pytest.approx([1.38e8] * 2, rel=0.06)  # 300 K at 47.6 kHz
    assert report["logarithmic_negativity"] == [0.0, 0.0]
    assert report["time"] is None
    text = invoke(app, SCENARIOS / "rieser_like_pair.toml")
    assert "Rieser-like pair: steady state" in text
    assert "their recoil is 14.59 times" in text


def test_after_a_time(app):
    report = json.loads(invoke(app, "rieser_like_pair", "--time", "0 us", "--json"))
    assert report["purity"] == pytest.approx(1.0, rel=1e-9)
    assert report["mode_variance"] == pytest.approx([0.5, 0.5], rel=1e-9)
    # round-off of the vacuum is no noise in dB, and columns stay apart
    row = invoke(app, "rieser_like_pair", "--time", "0 s", "--efficiency", "0.9").splitlines()[2].split()
    assert row[2:4] == ["0.5", "0"]
    text = invoke(app, "rieser_like_pair", "--time", "0.1 us")
    assert '1e-07 s after "ground"' in text


def test_what_is_known_by_detection(app):
    blind = json.loads(invoke(app, "rieser_like_pair", "--json"))
    known = json.loads(invoke(app, "rieser_like_pair", "--efficiency", "0.3", "--json"))
    assert known["occupation"][0] < 2e-3 * blind["occupation"][0]
    assert known["physical"]
    # of one oscillator the purity is the root of the part of all noise that is detected recoil
    array = sb.Scenario.from_toml(SCENARIOS / "rieser_like_pair.toml").oscillators()
    detected = 0.3 * array.diffusion[0, 0].real / array.force_noise[0, 0]
    assert known["purity"] == pytest.approx(detected, rel=0.01)
    assert blind["purity"] < 1e-7 * detected
    text = invoke(app, "rieser_like_pair", "--time", "0.1 us", "--efficiency", "0.3")
    assert "known by detection with efficiency 0.3" in text
    after = json.loads(invoke(app, "rieser_like_pair", "--time", "0.1 us", "--efficiency", "0.3", "--json"))
    exact = conditional_covariance(Homodyne(array, 0.3), 1e-7, 0.5 * np.eye(4))
    assert after["smallest_variance"] == pytest.approx(np.linalg.eigvalsh(exact)[0], rel=1e-9)
    assert abs(after["occupation"][0] / known["occupation"][0] - 1) > 0.01
    # of the recoil only the part counts that is not detected
    assert known["recoil_over_threshold"] == pytest.approx(0.7 * blind["recoil_over_threshold"], rel=1e-9)
    assert f"their undetected recoil is {known['recoil_over_threshold']:.4g} times" in text
    with pytest.raises(errors.ScenarioError, match="at most 1"):
        invoke(app, "rieser_like_pair", "--efficiency", "1.5")


def write(tmp_path, *, coupling=0.4, temperature=0.5, damping=1e-3):
    path = tmp_path / "pair.toml"
    table = f"mass = 1.0\nstiffness = 1.0\ndamping_rate = {damping}\nbath_temperature = {temperature}\n"
    path.write_text(
        'name = "quiet pair"\nkind = "oscillators"\nunits = "reduced"\n'
        + f"coupling = [[0.0, {coupling}], [{coupling}, 0.0]]\n"
        + f"\n[[particle]]\n{table}" * 2
        + "\n[run]\nstep = 0.1\nn_steps = 10\n"
    )
    return path


def test_a_pair_that_gets_entangled(app, tmp_path):
    path = write(tmp_path)
    report = json.loads(invoke(app, path, "--time", "1.5", "--json"))
    assert min(report["logarithmic_negativity"]) > 0.1
    assert report["light_entangles"] == [True, True]
    assert report["recoil_over_threshold"] == 0.0
    text = invoke(app, path, "--time", "1.5")
    assert "Without gas the coupling would entangle" in text
    assert "No recoil keeps particles" in text
    assert 'quiet pair: 1.5 after "ground"' in text


def test_a_bath_too_cold_to_be_classical(app, tmp_path):
    assert "No quantum state has this covariance" in invoke(app, write(tmp_path, temperature=0.1, coupling=0.01))


def test_one_particle(app):
    text = invoke(app, "duffing_particle")
    assert "negativity" not in text
    assert "Of all pairs" not in text
    assert "Forces beyond the linear ones are left out" in text
    assert "Drives are left out" in invoke(app, "driven_pair")
    driven = invoke(app, "cold_to_hot_pair")
    assert "left out" not in driven
    assert "antireciprocal coupling comes with recoil" in driven


def test_mistakes(app, tmp_path):
    with pytest.raises(errors.UnstableError, match="give a `--time`"):
        invoke(app, write(tmp_path, coupling=1.1))
    with pytest.raises(errors.ScenarioError, match="overdamped"):
        invoke(app, "loos_klapp_pair")
    with pytest.raises(errors.PlanError, match="`--time`"):
        invoke(app, "rieser_like_pair", "--time", "1 kg")
    with pytest.raises(errors.PlanError, match="`initial`"):
        invoke(app, "rieser_like_pair", "--time", "1 us", "--initial", "cold")
