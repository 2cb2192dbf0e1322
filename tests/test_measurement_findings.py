"""The section "measurement" of an analysis: what detectors would have told of a run."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
from stochbind.analysis import passes
from stochbind.analysis.findings import measurement
from stochbind.cli.entry import app
from stochbind.errors import NoiseError, ScenarioError
from stochbind.quantum import detection
from stochbind.quantum.measurement import Homodyne, conditional_covariance

PAIR = {
    "name": "detected pair",
    "kind": "oscillators",
    "units": "reduced",
    "particle": [
        {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.05, "bath_temperature": 1.0},
        {"mass": 1.0, "stiffness": 1.2, "damping_rate": 0.05, "bath_temperature": 2.0},
    ],
    "coupling": [[0.0, 0.1], [0.03, 0.0]],
    "momentum_diffusion": [[0.2, 0.02], [0.02, 0.3]],
    "run": {"step": 0.25, "n_steps": 400, "n_trajectories": 96, "seed": 4, "initial": "ground"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    scenario = sb.OscillatorScenario.model_validate(PAIR)
    path = tmp_path_factory.mktemp("detected") / "run.zarr"
    sb.run(sb.Plan.from_scenario(scenario), path, workers="serial")
    return path


def findings(store, **options):
    found = sb.analyse(sb.open(store), n_surrogates=0, **options)
    return [one for one in found.findings if one.section == measurement.MEASUREMENT]


def test_what_is_known_is_what_the_riccati_equation_says(store):
    rows = findings(store, efficiency=0.5)
    assert [(row.quantity, row.where) for row in rows] == [
        ("conditional occupation number", "0"),
        ("conditional occupation number", "1"),
        ("conditional purity", "all"),
        ("variance of innovations", "0"),
        ("variance of innovations", "1"),
        ("successive innovations", "0"),
        ("successive innovations", "1"),
    ]
    assert max(abs(row.z) for row in rows) < 4.5
    assert all(row.stderr < 0.03 for row in rows)
    known = conditional_covariance(Homodyne(sb.OscillatorScenario.model_validate(PAIR).oscillators(), 0.5))
    assert rows[0].exact == pytest.approx(0.5 * (known[0, 0] + known[2, 2]) - 0.5, rel=0.05, abs=0)


def test_a_filter_of_another_efficiency_is_seen_to_be_wrong(store, monkeypatch):
    """The detectors get 30 % and the filter takes it for 60 %."""
    plain = detection.Detector

    def dim(step, seed):
        right = measurement.sampling(Homodyne(sb.OscillatorScenario.model_validate(PAIR).oscillators(), 0.3), 0.25)
        other = plain(right, seed)
        unit = np.sqrt(0.5)  # a record of half the efficiency, in units of the other's noise

        class Dim:
            generators = staticmethod(other.generators)

            @staticmethod
            def increments(state, sources):
                return other.increments(state, sources) / unit

        return Dim()

    monkeypatch.setattr(measurement, "Detector", dim)
    rows = {(row.quantity, row.where): row for row in findings(store, efficiency=0.6)}
    assert rows["conditional occupation number", "0"].z > 5
    assert rows["variance of innovations", "0"].z > 15


def test_pieces_of_a_reading_make_no_difference(store, monkeypatch):
    whole = findings(store, efficiency=0.5)
    monkeypatch.setattr(passes, "_SLAB_BYTES", 2**12)
    monkeypatch.setattr(passes, "_SERIES_BYTES", 2**12)
    for one, other in zip(whole, findings(store, efficiency=0.5), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-9, abs=1e-12)


def test_what_cannot_be_detected(store):
    with pytest.raises(ScenarioError, match="`efficiency` must be positive"):
        findings(store, efficiency=0.0)
    with pytest.raises(NoiseError, match=r"more information than the light carries; .* may be at most 0\.9183 here"):
        findings(store, efficiency=1.0)


@pytest.mark.parametrize(
    ("options", "changes", "reason"),
    [
        ({"start_time": 98.0}, {}, "has settled for fewer than 16 of the 9 states"),
        ({}, {"drive": [{"particle": 0, "force": 1.0, "frequency": 0.9}]}, "without drives"),
        ({}, {"particle": [{**one, "cubic_stiffness": 0.1} for one in PAIR["particle"]]}, "linear forces"),
    ],
)
def test_what_is_left_out(store, options, changes, reason):
    """The rest of the analysis is there."""
    scenario = sb.OscillatorScenario.model_validate({**PAIR, **changes})
    found = sb.analyse(sb.open(store), scenario, n_surrogates=0, efficiency=0.5, **options)
    assert reason in " ".join(found.notes)
    assert measurement.MEASUREMENT not in found.sections
    assert found.findings


def test_a_record_that_is_read_rarely_is_told(tmp_path):
    """An oscillation between two states makes the growth of the record tell little."""
    rare = {**PAIR, "run": {**PAIR["run"], "step": 5.0, "n_steps": 120, "n_trajectories": 48}}
    sb.run(sb.Plan.from_scenario(sb.OscillatorScenario.model_validate(rare)), tmp_path / "run.zarr", workers="serial")
    found = sb.analyse(sb.open(tmp_path / "run.zarr"), n_surrogates=0, efficiency=0.5)
    assert "from state to state, every 5. A continuous record tells more" in " ".join(found.notes)
    plenty = sb.analyse(sb.open(tmp_path / "run.zarr"), n_surrogates=0)
    assert "continuous record" not in " ".join(plenty.notes)


def test_the_command(store):
    command = ["analyse", str(store), "--efficiency"]
    result = CliRunner().invoke(app, [*command, "0.5", "--section", "measurement", "--json", "-q"])
    assert len(json.loads(result.stdout)["findings"]) == 7
    wrong = CliRunner().invoke(app, [*command, "1.5"])
    assert isinstance(wrong.exception, ScenarioError)
    assert "`efficiency` must be at most 1" in str(wrong.exception)
