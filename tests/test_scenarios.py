"""Every shipped scenario: the directory is the registry."""

import json
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import thermodynamics
from stochbind.engine.layout import Forecast
from stochbind.scenario import json_schema, read_any

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "scenarios").glob("*.toml"))
SWEEPS = [path for path in FILES if isinstance(read_any(path), sb.Sweep)]
SINGLE = [path for path in FILES if path not in SWEEPS]
LINEAR = [path for path in SINGLE if not sb.Scenario.from_toml(path).oscillators().forces]


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: path.stem)
def test_shipped_scenario(path, tmp_path):
    scenario = sb.Scenario.from_toml(path)
    assert scenario.source
    assert scenario.description
    (tmp_path / "again.toml").write_text(scenario.to_toml())
    assert sb.Scenario.from_toml(tmp_path / "again.toml") == scenario
    plan = sb.Plan.from_scenario(scenario)
    assert Forecast.of(plan).n_bytes < 2e8
    if plan.initial in ("rest", "ground"):  # the transient is what such a scenario is about
        return
    assert plan.relaxation_note() is None
    equations = scenario.langevin()
    assert equations.stability.stable
    assert np.linalg.eigvalsh(equations.stationary_covariance())[0] > 0


@pytest.mark.parametrize("path", LINEAR, ids=lambda path: path.stem)
def test_shipped_linear_scenario_agrees_with_the_theory(path, tmp_path):
    scenario = sb.Scenario.from_toml(path)
    small = sb.Plan.from_scenario(scenario, n_trajectories=128, n_steps=1000)
    sb.run(small, tmp_path / "run.zarr")
    found = sb.validate(sb.open(tmp_path / "run.zarr"), scenario, initial=small.initial)
    assert found.agrees, found.worst


def test_shipped_nonlinear_scenarios_run_and_say_that_nothing_is_exact(tmp_path):
    scenario = sb.Scenario.from_toml(ROOT / "scenarios" / "nonlinear_pair.toml")
    small = sb.Plan.from_scenario(scenario, n_trajectories=64, n_steps=4000)
    assert small.solver == "strang"
    sb.run(small, tmp_path / "run.zarr")
    found = sb.validate(sb.open(tmp_path / "run.zarr"))
    assert found.judged == ()
    assert any("not linear" in note for note in found.notes)
    assert found.value("kinetic temperature", "0").value > found.value("kinetic temperature", "1").value > 200.0


def test_shipped_duffing_particle_has_the_law_of_boltzmann(tmp_path):
    scenario = sb.Scenario.from_toml(ROOT / "scenarios" / "duffing_particle.toml")
    array = scenario.oscillators()
    u, beta = array.stiffness[0], scenario.particle[0].cubic_stiffness
    width = np.sqrt(array.thermal_energy[0] / u)
    x = np.linspace(-10, 10, 20001)
    weight = np.exp(-0.5 * x**2 - 0.25 * beta * width**4 / array.thermal_energy[0] * x**4)
    exact = width**2 * (x**2 * weight).sum() / weight.sum()
    sb.run(sb.Plan.from_scenario(scenario), tmp_path / "run.zarr")
    record = sb.open(tmp_path / "run.zarr")
    late = record.position[:, record.sizes["time"] // 2 :, 0, 0].to_numpy()
    means = (late**2).mean(axis=1)
    error = means.std() / np.sqrt(len(means))
    assert abs(means.mean() - exact) < 5 * error
    assert abs(means.mean() - width**2) > 10 * error  # the twin: without the cubic spring


def test_directions_of_the_shipped_pairs(unidirectional, cold_to_hot):
    coupling = unidirectional.oscillators().coupling
    assert abs(coupling[1, 0]) < 1e-12 * coupling[0, 1]
    reciprocal = sb.Scenario.from_toml(ROOT / "scenarios" / "reciprocal_pair.toml").oscillators()
    assert reciprocal.coupling[0, 1] == pytest.approx(reciprocal.coupling[1, 0], rel=1e-12, abs=0)
    heat = thermodynamics.heat_current(cold_to_hot.oscillators(), cold_to_hot.langevin().stationary_covariance())
    assert heat[1] > 0 > heat[0]  # from the colder bath, into the hotter


def test_schema_on_disk_is_current():
    """Regenerate with: stochbind scenarios --schema > docs/scenario.schema.json"""
    assert json.loads((ROOT / "docs" / "scenario.schema.json").read_text()) == json_schema()


def test_a_changed_copy_is_computed_and_checked_anew(unidirectional):
    coupling = unidirectional.oscillators().coupling[0, 1]
    particles = [p.model_copy(update={"power": 2 * p.power}) for p in unidirectional.particle]
    changed = unidirectional.model_copy(update={"particle": particles})
    assert changed.oscillators().coupling[0, 1] == pytest.approx(2 * coupling, rel=1e-12, abs=0)
    with pytest.raises(sb.errors.ScenarioError, match="must be positive"):
        unidirectional.particle[0].model_copy(update={"power": -1.0})


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweep_agrees_with_the_theory(path, tmp_path):
    sweep = sb.Sweep.from_toml(path)
    assert sweep.base.source
    assert sweep.base.description
    store = sb.run(sweep, tmp_path / "sweep.zarr")
    for index in range(sweep.size):
        assert sweep.point(index).langevin().stability.stable
        assert sb.Plan.from_scenario(sweep.point(index)).relaxation_note() is None
        found = sb.validate(sb.open(store.point_path(index)))
        assert found.agrees, (index, found.worst)
    wrong = sb.validate(sb.open(store.point_path(0)), sweep.point(sweep.size - 1), initial="thermal")
    assert not wrong.agrees  # the twin: another point
