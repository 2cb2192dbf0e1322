"""The command modes: its table, its points along a parameter, and its files."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
from stochbind.cli import app
from stochbind.errors import PlanError


def invoke(*arguments):
    result = CliRunner().invoke(app, ["modes", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_the_table():
    text = invoke("unidirectional_pair").stdout
    assert "Petermann" in text
    assert "PT phase: unbroken." in text
    assert "The array is stable: the mode at 55429.4 Hz" in text
    assert "The rotating frame is wrong by up to 0.0093 of the coupling." in text
    reduced = invoke("driven_pair").stdout
    assert "angular frequency" in reduced
    assert "PT phase: exceptional." in reduced
    assert "rotating frame" not in invoke("loos_klapp_pair").stdout  # overdamped


def test_points_along_a_parameter():
    text = invoke("unidirectional_pair", "--along", "particle[0].phase=0 deg:170 deg").stdout
    lines = [line for line in text.splitlines() if line.startswith("Exceptional point of order 2")]
    assert len(lines) == 2
    assert "particle[0].phase = 0.7853981" in lines[0]  # pi/4, where the effect on particle 1 changes its sign
    assert "No exceptional points" in invoke("reciprocal_pair", "--along", "particle[0].power=0.2 W:0.4 W").stdout


def test_json_holds_the_same():
    options = ("--along", "coupling[1][0]=-0.1:0.11:201", "--json")
    full = json.loads(invoke("driven_pair", *options).stdout)
    frame = json.loads(invoke("driven_pair", "--rotating", *options).stdout)
    assert full["phase"] == "exceptional"
    assert full["stable"] is True
    assert full["modes"][0]["petermann"] is None  # infinite
    assert full["modes"][0]["angular_frequency"] == pytest.approx(math.sqrt(1 - 0.0025), rel=1e-12)
    assert frame["modes"][0]["angular_frequency"] == pytest.approx(1.0, rel=1e-12)
    for report in (full, frame):
        (point,) = report["points"]
        assert (point["kind"], point["order"]) == ("exceptional", 2)
        assert abs(point["parameter"]) < 1e-12
        assert point["growth_rate"] == pytest.approx(-0.05)
        assert report["along"]["path"] == "coupling[1][0]"
    assert frame["points"][0]["angular_frequency"] == pytest.approx(1.0)


def test_files(tmp_path):
    path = tmp_path / "modes.csv"
    result = invoke("driven_pair", "--csv", path)
    assert "2 rows written" in result.stderr
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert float(rows[0]["growth_rate"]) == pytest.approx(-0.05)
    invoke("driven_pair", "--along", "coupling[1][0]=0.1:0.02:9", "--csv", path, "--rotating")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 9
    for row in rows:
        split = 0.5 * math.sqrt(0.1 * float(row["coupling[1][0]"]))
        assert float(row["angular_frequency_0"]) == pytest.approx(1 - split, rel=1e-12)
        assert float(row["angular_frequency_1"]) == pytest.approx(1 + split, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--along", "x"], "`--along` must be PATH=FROM:TO"),
        (["--along", "particle[0].power=1:2"], "must have a unit"),
        (["--along", "particle[0].power=0.1 W:100 mW"], "from one number to another"),
        (["--along", "particle[0].power=0.1 W:0.2 W:2"], "a number of values from 5"),
        (["--along", "particle[0].pover=0.1 W:0.2 W"], "did you mean"),
        (["--csv", "modes.txt"], "`--csv` must be a file that ends in .csv"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(PlanError, match=words):
        CliRunner().invoke(app, ["modes", "unidirectional_pair", *options], catch_exceptions=False)


def test_axes_are_named_and_the_decay_is_told_to_be_of_amplitudes(tmp_path):
    text = invoke("ellipsoid_pair", "--csv", tmp_path / "m.csv").stdout
    assert "amplitude decay [1/s]" in text
    assert "1x (99%), 0x (1%)" in text
    (row, *_) = csv.DictReader((tmp_path / "m.csv").read_text().splitlines())
    shares = {key: float(value) for key, value in row.items() if key.startswith("share_")}
    assert set(shares) == {f"share_{j}{axis}" for j in (0, 1) for axis in "xyz"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["share_0z"] > 0.99


def test_particles_that_take_part_alike_are_not_put_in_the_order_of_round_off():
    text = invoke("circulating_ring").stdout
    assert "%" not in text
    assert text.count(" all ") == 13  # twelve modes, and the sentence
    assert "of all particles decays slowest" in text
    assert text == invoke("circulating_ring").stdout


def test_a_long_chain_has_a_sentence_with_somebody_in_it():
    from stochbind.stability import largest_shares

    chain = sb.Scenario.from_toml("scenarios/directional_chain.toml")
    verdict = chain.langevin().stability
    spread = 1.0 + 0.1 * np.sin(np.arange(250.0))
    many = verdict._replace(participation=dict(enumerate(spread / spread.sum())))
    assert max(many.participation.values()) < 0.005
    assert "Hz of all particles decays slowest" in many.sentence
    assert "of particle " in verdict.sentence
    assert largest_shares([0.004] * 249 + [0.004 + 2e-6]) == []
    assert largest_shares([0.1, 0.3, 0.3 - 1e-12, 0.3]) == [(1, 0.3), (2, 0.3 - 1e-12), (3, 0.3)]
    assert largest_shares([0.5, 0.5]) == [(0, 0.5), (1, 0.5)]
    assert largest_shares([0.001, 0.999]) == [(1, 0.999)]


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("nonlinear_pair", "Forces beyond the linear ones are left out."),
        ("driven_pair", "Drives are left out: they change no mode."),
        ("pair_through_directions", "These are the modes of the base of the sweep."),
        ("n_pair_refrigerator", "Finite baths are left out: their temperatures change the noise, but no mode."),
        ("unidirectional_pair", None),
    ],
)
def test_what_is_left_out_is_told(name, note):
    assert json.loads(invoke(name, "--json").stdout)["notes"] == ([] if note is None else [note])
    assert ("Note: " in invoke(name).stdout) == (note is not None)


def test_without_coupling_nothing_is_told_relative_to_it(tmp_path):
    text = Path("scenarios/directional_chain.toml").read_text()
    (tmp_path / "one.toml").write_text(text.replace("n = 10\n", "n = 1\n"))
    assert "rotating frame" not in invoke(tmp_path / "one.toml").stdout
    assert "rotating frame" in invoke("directional_chain").stdout


def test_what_only_runs_have_changes_no_mode():
    with pytest.raises(PlanError, match=r"`--along` run.step: what is in \[run\] changes runs only"):
        CliRunner().invoke(app, ["modes", "driven_pair", "--along", "run.step=1:2"], catch_exceptions=False)
