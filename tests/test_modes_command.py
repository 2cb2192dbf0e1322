"""The command modes: its table, its points along a parameter, and its files."""

import csv
import json
import math

import pytest
from typer.testing import CliRunner

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
