"""What runs refuse, set aside or resolve by themselves: units that fail, other engines, defaults of statistics."""

import json

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.engine import structure
from stochbind.engine.layout import Forecast, Layout
from stochbind.errors import IncompleteError, PlanError, StoreMismatchError

PLAN = {"step": 0.4, "n_steps": 64, "n_trajectories": 40, "seed": 3}


def poisoned(x, p):
    if np.max(x) > p[0]:
        raise RuntimeError("poisoned")
    return -0.1 * x**3


def cubic(x, p):
    return -0.1 * x**3


def forced(function, largest):
    force = sb.Force(function=function, parameters=np.full((2, 1), largest), vectorized=True)
    return sb.Plan(scenario=systems.pair_scenario(0.4, 0.1), **{**PLAN, "step": 0.05}, forces=(force,))


@pytest.mark.parametrize("workers", ["serial", "threads"])
def test_a_unit_whose_force_fails_is_set_aside_and_named(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan, n_runs=1: cls(4, 64)))
    usual = sb.simulate(
        forced(cubic, 1.0).equations, step=0.05, n_steps=64, n_trajectories=40, seed=3,
        initial=forced(cubic, 1.0).scenario.oscillators().initial_moments("thermal"),
    )  # fmt: skip
    largest = np.sort(usual.position.max(("time", "particle")).values)
    limit = 0.5 * float(largest[-1] + largest[-2])
    culprit = int(usual.position.max(("time", "particle")).argmax("trajectory"))
    with pytest.raises(IncompleteError, match=f"trajectories {culprit // 4 * 4} to {culprit // 4 * 4 + 3} .*poisoned"):
        sb.run(forced(poisoned, limit), tmp_path / "run.zarr", workers=workers)
    done = sb.Store.open(tmp_path / "run.zarr").done[:, 0]
    assert np.flatnonzero(~done).tolist() == [culprit // 4]
    report = json.loads((tmp_path / f"run.zarr/engine/ledger/failed/{culprit // 4}-0.json").read_text())
    assert report["failures"] == 3
    assert "poisoned" in report["error"]


def test_a_run_is_continued_only_by_the_same_steps(tmp_path, monkeypatch):
    plan = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN)
    sb.run(plan, tmp_path / "run.zarr", part=(1, 2), workers="serial")
    with monkeypatch.context() as patch:
        patch.setattr("stochbind.engine.store.STEPS", structure.STEPS + 1)
        with pytest.raises(StoreMismatchError, match="continue it with that one"):
            sb.run(plan, tmp_path / "run.zarr", workers="serial")
        with pytest.warns(UserWarning, match="not finished"):
            assert sb.open(tmp_path / "run.zarr").sizes["trajectory"] == 40
    assert sb.run(plan, tmp_path / "run.zarr").done.all()


def test_a_store_of_a_short_run_does_not_become_an_enormous_one(tmp_path):
    scenario = systems.pair_scenario(0.5, 0.2)
    plan = sb.Plan(scenario=scenario, step=0.4, n_steps=10, n_trajectories=2)
    sb.run(plan, tmp_path / "run.zarr", workers="serial")
    with pytest.raises(PlanError, match=r"would have 100000 units of work, instead of \d+; run the longer plan"):
        sb.extend(tmp_path / "run.zarr", n_steps=1_000_000)
    assert sb.Store.open(tmp_path / "run.zarr").plan == plan


def test_averages_begin_at_once_only_in_a_steady_state():
    """The linear steady state is not that of a run with other forces."""
    plain = {"initial": "stationary", "statistics": ["spectra"], "step": 0.05, "n_steps": 40960, "n_trajectories": 2}
    scenario = systems.pair_scenario(0.4, 0.1)
    assert sb.Plan(scenario=scenario, **plain).statistics[0].start == 0
    force = sb.Force(function=cubic, parameters=np.full((2, 1), 1.0), vectorized=True)
    assert sb.Plan(scenario=scenario, **plain, forces=(force,)).statistics[0].start > 0


def test_defaults_written_out_are_the_same_run():
    scenario = systems.pair_scenario(0.5, 0.2)
    usual = {"step": 0.4, "n_steps": 4096, "n_trajectories": 8}
    histogram = {"kind": "histograms", "largest": 6.0, "start": 0}
    one = sb.Plan(scenario=scenario, **usual, statistics=["moments", {**histogram, "largest": None}], keep_bits=52)
    other = sb.Plan(scenario=scenario, **usual, statistics=[histogram, {"kind": "moments", "window": 64}])
    assert one.fingerprint == other.fingerprint
    third = sb.Plan(scenario=scenario, **usual, statistics=[{**histogram, "largest": 5.0}, "moments"])
    assert third.fingerprint != one.fingerprint


def test_a_record_has_at_most_256_windows_by_default():
    scenario = systems.pair_scenario(0.5, 0.2)
    plan = sb.Plan(scenario=scenario, step=0.4, n_steps=10**7, n_trajectories=16, record=False, statistics=["moments"])
    assert plan.statistics[0].window == 65536
    assert Forecast.of(plan).worker_bytes < 5e8


def test_forecasts_hold(tmp_path):
    plan = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **{**PLAN, "n_steps": 4000}, statistics=["moments"])
    sb.run(plan, tmp_path / "run.zarr", workers="serial")
    files = [path for path in (tmp_path / "run.zarr").rglob("*") if path.is_file()]
    forecast = Forecast.of(plan)
    assert 0.8 < sum(path.stat().st_size for path in files) / forecast.n_bytes <= 1.0
    assert 0.8 < len(files) / forecast.n_files < 1.25
