"""Whole runs beside the exact theory, each with a twin that must fail.

Bias that a run can detect: with z <= 5 and about n independent values, 5 sqrt(2/n) of a temperature.
"""

from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.analysis import thermodynamics
from stochbind.analysis.validation import Row, Validation, settled
from stochbind.errors import IncompleteError, PlanError, TooFewSamplesError


def simulate(scenario, path, **change):
    plan = sb.Plan(**{"scenario": scenario, "step": 0.5, "n_steps": 1200, "n_trajectories": 256, "seed": 11, **change})
    sb.run(plan, path)
    return sb.open(path), plan


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    scenario = systems.pair_scenario(0.5, 0.2)
    dataset, plan = simulate(scenario, tmp_path_factory.mktemp("pair") / "run.zarr")
    return scenario, dataset, plan


def test_every_quantity_agrees(pair):
    scenario, dataset, plan = pair
    found = sb.validate(dataset)  # the dataset knows its scenario and initial state
    assert found == sb.validate(dataset, scenario, initial=plan.initial)
    assert found.agrees, found.worst
    quantities = {row.quantity for row in found.rows}
    assert quantities == {
        "kinetic temperature", "position temperature", "heat current", "power", "non-reciprocal power", "first law",
        "energy ratio", "energy asymmetry", "response ratio", "response asymmetry",
    }  # fmt: skip
    # error bars: not wider than a few per cent of what is measured
    for row in found.rows:
        if row.quantity.endswith("temperature"):
            assert 0 < row.stderr < 0.01 * row.exact
            assert row.exact == pytest.approx(row.steady, rel=1e-3, abs=0)
    spread = np.array([row.z for row in found.rows])
    assert 0.3 < np.sqrt(np.mean(spread**2)) < 2.0


@pytest.mark.parametrize(
    ("wrong", "caught_by"),
    [
        (systems.pair_scenario(0.5, 0.2, temperature=(1.1, 0.8)), "kinetic temperature"),
        (systems.pair_scenario(0.2, 0.5), "heat current"),
        (systems.pair_scenario(0.5, 0.2, damping=0.4), "heat current"),
        (systems.pair_scenario(0.5, 0.23), "response ratio"),
        (systems.pair_scenario(0.5, -0.2), "power"),
    ],
    ids=["hot bath", "transposed coupling", "damping", "weak coupling", "sign of a coupling"],
)
def test_wrong_theory_is_caught(pair, wrong, caught_by):
    _, dataset, plan = pair
    found = sb.validate(dataset, wrong, initial=plan.initial)
    assert not found.agrees
    assert max(abs(row.z) for row in found.rows if row.quantity == caught_by) > 5


def test_conjugated_recoil_is_caught(tmp_path):
    """Correlated recoil with the wrong sign of its correlation."""

    def scenario(cross):
        return systems.pair_scenario(0.0, 0.0, temperature=(0.1, 0.1)).model_copy(
            update={"momentum_diffusion": ((0.3, cross), (cross, 0.3))}
        )

    dataset, _ = simulate(scenario(0.25), tmp_path / "run.zarr")
    array = scenario(0.25).oscillators()
    # mode temperatures: k_B T + (D_11 +- Re D_12)/(m gamma)
    velocity = dataset["velocity"].values[:, 200:, :, 0]
    for sign, expected in ((1, 0.1 + 0.55 / 0.3), (-1, 0.1 + 0.05 / 0.3)):
        sample = np.mean((velocity[..., 0] + sign * velocity[..., 1]) ** 2 / 2, axis=1)
        z = (sample.mean() - expected) / (sample.std() / np.sqrt(len(sample)))
        assert abs(z) < 5
        twin = (sample.mean() - (0.1 + (0.3 - sign * 0.25) / 0.3)) / (sample.std() / np.sqrt(len(sample)))
        assert abs(twin) > 5
    heating = thermodynamics.recoil_heating(array, np.eye(4))
    np.testing.assert_allclose(heating, [0.3, 0.3])


@pytest.mark.parametrize(("ratio", "cools"), [(0.4, True), (1.2, False)])
def test_cold_to_hot_on_both_sides_of_the_limit(tmp_path, ratio, cools):
    """Simulated: the colder bath (0.8) loses heat for c_B/c_A = 0.4 and gains it for 1.2, by more than 5 sigma."""
    scenario = systems.pair_scenario(0.5, 0.5 * ratio)
    dataset, plan = simulate(scenario, tmp_path / "run.zarr")
    found = sb.validate(dataset, scenario, initial=plan.initial)
    cold = found.value("heat current", "1")
    assert found.agrees
    assert (cold.value > 5 * cold.stderr) if cools else (cold.value < -5 * cold.stderr)


def test_overdamped_pair(tmp_path):
    scenario = sb.OscillatorScenario(
        name="overdamped",
        units="reduced",
        dynamics="overdamped",
        coupling=[[0.0, 0.5], [0.2, 0.0]],
        particle=[
            {"stiffness": 1.3, "friction": 0.7, "bath_temperature": 1.0},
            {"stiffness": 0.8, "friction": 1.9, "bath_temperature": 0.8},
        ],
    )
    dataset, plan = simulate(scenario, tmp_path / "run.zarr", step=0.8)
    found = sb.validate(dataset, scenario, initial=plan.initial)
    assert found.agrees, found.worst
    _, heat = systems.overdamped_truth()
    assert found.value("heat current", "0").steady == pytest.approx(heat[0], rel=1e-10, abs=0)
    assert "velocity" not in dataset


@pytest.mark.parametrize("initial", ["rest", "thermal", "stationary"])
def test_fair_before_the_steady_state(tmp_path, initial):
    """A record of a third of a decay time, from any initial state, agrees with the exact mean of the same states."""
    scenario = systems.pair_scenario(0.5, 0.2, damping=0.05)
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", n_steps=30, step=0.4, n_trajectories=2000, initial=initial)
    found = sb.validate(dataset, scenario, initial=initial)
    assert found.agrees, found.worst
    temperature = found.value("kinetic temperature", "0")
    if initial == "stationary":
        assert temperature.exact == pytest.approx(temperature.steady, rel=1e-9, abs=0)
    else:
        assert abs(temperature.exact - temperature.steady) > 5 * temperature.stderr  # the twin: not steady yet


def test_unstable_transient(tmp_path):
    scenario = systems.pair_scenario(0.4, -0.4, damping=0.05)
    assert not scenario.langevin().stability.stable
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", n_steps=40, n_trajectories=2000)
    found = sb.validate(dataset, scenario, initial="thermal")
    assert not found.stable
    assert found.agrees, found.worst
    assert np.isnan(found.value("kinetic temperature", "0").steady)


@pytest.mark.parametrize("quality", [1e6, 1e9])
def test_high_quality_spanned_by_long_steps(tmp_path, quality):
    """Steps of 1e3 to 1e7 periods: temperatures right within sampling error, 3 % with 5 sigma."""
    scenario = sb.OscillatorScenario(
        name="high Q",
        units="reduced",
        particle=[{"mass": 1.0, "stiffness": 1.0, "damping_rate": 1 / quality, "bath_temperature": 1.0}],
    )
    dataset, _ = simulate(
        scenario, tmp_path / "run.zarr", step=quality / 2 * (1 + 1e-4), n_steps=400, n_trajectories=512, initial="rest"
    )
    found = sb.validate(dataset, scenario, initial="rest")
    temperature = found.value("kinetic temperature", "0")
    assert found.agrees
    assert temperature.stderr < 0.006
    assert temperature.steady == pytest.approx(1.0, rel=1e-12, abs=0)


def test_response_is_left_out_where_states_are_kept_too_rarely(tmp_path):
    scenario = systems.pair_scenario(0.5, 0.2)
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", step=5.0, n_steps=100)
    found = sb.validate(dataset, scenario)
    assert any("too rarely" in note for note in found.notes)
    assert not any(row.quantity.startswith("response") for row in found.rows)
    assert found.agrees


def test_too_little_data(tmp_path):
    scenario = systems.pair_scenario(0.5, 0.2)
    dataset, _ = simulate(scenario, tmp_path / "one.zarr", n_trajectories=1, n_steps=4)
    with pytest.raises(TooFewSamplesError, match="2 trajectories"):
        sb.validate(dataset, scenario)
    dataset, _ = simulate(scenario, tmp_path / "short.zarr", n_trajectories=8, n_steps=1)
    with pytest.raises(TooFewSamplesError, match="2 states"):
        sb.validate(dataset, scenario)
    few, _ = simulate(scenario, tmp_path / "few.zarr", n_trajectories=4, n_steps=100)
    assert any("at least 8 trajectories" in note for note in sb.validate(few, scenario).notes)
    holes = few.load().copy(deep=True)
    holes["position"][1, 50:] = np.nan
    with pytest.raises(IncompleteError):
        sb.validate(holes, scenario)


def test_part_of_a_record(pair):
    """A dataset that starts later or is thinned is compared with the exact mean of what it holds."""
    _, dataset, _ = pair
    for part in (
        dataset.isel(time=slice(17, 60)),
        dataset.isel(time=slice(3, None, 2)),
        dataset.isel(time=slice(0, 2)),
    ):
        found = sb.validate(part)
        assert found.agrees, found.worst


@pytest.mark.parametrize("temperature", [(1.0, 0.0), (0.0, 0.0)])
def test_baths_at_zero_temperature(tmp_path, temperature):
    scenario = systems.pair_scenario(0.5, 0.0, temperature=temperature)
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", n_steps=100, n_trajectories=32)
    found = sb.validate(dataset)
    assert found.agrees, found.worst
    assert any("does not move in every direction" in note for note in found.notes)


def test_a_frictionless_oscillator_is_no_disagreement(tmp_path):
    scenario = sb.OscillatorScenario(
        name="free",
        units="reduced",
        particle=[{"mass": 1.0, "stiffness": 1.0, "friction": 0.0, "bath_temperature": 1.0}],
    )
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", n_steps=100, n_trajectories=32)
    found = sb.validate(dataset)
    assert found.agrees, found.worst


def test_light_power_of_tweezers(tmp_path, unidirectional):
    """The light's net power: work of the coupling and recoil heating, as the heat that the gas takes up."""
    plan = sb.Plan.from_scenario(unidirectional, n_trajectories=64, n_steps=500)
    sb.run(plan, tmp_path / "run.zarr")
    found = sb.validate(sb.open(tmp_path / "run.zarr"))
    light, work = (found.value(name, "").steady for name in ("light power", "non-reciprocal power"))
    recoil = sum(found.value("recoil heating", str(j)).exact for j in range(2))
    assert light == pytest.approx(work + recoil, rel=1e-12, abs=0)
    heat = sum(found.value("heat current", str(j)).steady for j in range(2))
    assert light == pytest.approx(-heat, rel=1e-9, abs=0)


@pytest.mark.parametrize("dynamics", ["overdamped", "underdamped"])
def test_a_chain_with_one_warm_bath(tmp_path, dynamics):
    """Far particles hardly move: their variances are round-off, and ratios with them are not told."""
    n = 4
    coupling = [[0.01 if j == k + 1 else 0.005 if k == j + 1 else 0.0 for k in range(n)] for j in range(n)]
    scenario = sb.OscillatorScenario(
        name="chain",
        units="reduced",
        dynamics=dynamics,
        coupling=coupling,
        particle=[
            {"stiffness": 1.0, "friction": 1.0, "bath_temperature": float(j == 0)}
            | ({"mass": 1.0} if dynamics == "underdamped" else {})
            for j in range(n)
        ],
    )
    dataset, _ = simulate(scenario, tmp_path / "run.zarr", n_steps=300, n_trajectories=64, seed=0)
    found = sb.validate(dataset)
    assert found.agrees, found.worst


def test_long_chains_are_not_refused():
    n = 20
    coupling = [[0.2 if j == k + 1 else 0.1 if k == j + 1 else 0.0 for k in range(n)] for j in range(n)]
    scenario = sb.OscillatorScenario(
        name="chain",
        units="reduced",
        dynamics="overdamped",
        coupling=coupling,
        particle=[{"stiffness": 1.0, "friction": 1.0, "bath_temperature": float(j == 0)} for j in range(n)],
    )
    for step in (1e-6, 1.0, 1e4):
        coefficients = sb.Plan(scenario=scenario, step=step, n_steps=2, n_trajectories=2).coefficients()
        assert np.isfinite(coefficients["root"]).all()
    assert (np.diag(scenario.langevin().stationary_covariance()) >= 0).all()


def test_verdict():
    row = Row("heat current", "0", "W", 1.0, 0.1, 0.4, 6.0, 0.4)
    assert not Validation((row,), (), (0.0, 1.0), 8, True).agrees
    assert not Validation((row._replace(z=float("nan")),), (), (0.0, 1.0), 8, True).agrees
    assert Validation((row._replace(z=-4.9),), (), (0.0, 1.0), 8, True).agrees
    with pytest.raises(KeyError):
        Validation((row,), (), (0.0, 1.0), 8, True).value("heat", "0")


def test_window_begins_after_settling():
    assert settled(-0.1, 1.0, 1000) == 60
    assert settled(-0.1, 1.0, 100) == 50
    assert settled(0.0, 1.0, 100) == 0


STATISTICS = [{"kind": kind, "start": 0, "window": 8} for kind in ("correlations", "spectra", "histograms")]
NOT_COMPARED = "Not compared, as exact means are told in an undriven steady state only"


def test_moments_of_a_run_with_trajectories_are_looked_at(tmp_path):
    plan = sb.Plan(
        scenario=systems.pair_scenario(0.5, 0.2), step=0.4, n_steps=205, n_trajectories=512, statistics=["moments"]
    )
    sb.run(plan, tmp_path / "run.zarr")
    dataset = sb.open(tmp_path / "run.zarr").load()
    found = sb.validate(dataset)
    assert found.agrees, found.worst
    shown = [(row.quantity, row.where) for row in found.rows if row.quantity.endswith(", moments")]
    assert len(shown) == 2 + 2 + 2
    for quantity, where in shown:
        both = found.value(quantity, where), found.value(quantity.removesuffix(", moments"), where)
        assert abs(both[0].value - both[1].value) < 5 * both[1].stderr
    wrong = sb.validate(dataset.assign(moments_second=1.3 * dataset.moments_second))
    assert not wrong.agrees
    assert wrong.worst.quantity.endswith("temperature, moments")
    turned = dataset.moments_second.copy(data=np.swapaxes(dataset.moments_second.to_numpy(), -1, -2))
    assert sb.validate(dataset.assign(moments_second=turned)).agrees  # symmetric: no twin
    crossed = dataset.moments_second.isel(coordinate=[1, 0, 3, 2]).to_numpy()
    wrong = sb.validate(dataset.assign(moments_second=dataset.moments_second.copy(data=crossed)))
    assert any(abs(row.z) > 5 for row in wrong.rows if row.quantity == "power, moments")
    few = sb.validate(dataset.isel(group=[0]))
    assert any(note.startswith("The moments are not compared") for note in few.notes)


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (systems.pair_scenario(0.4, -0.4, damping=0.05), {"initial": "thermal"}),
        (sb.Scenario.from_toml(Path(__file__).parent.parent / "scenarios" / "driven_pair.toml"), {"step": 0.4}),
        (systems.pair_scenario(0.5, 0.2), {"initial": "stationary"}),
    ],
    ids=["unstable", "driven", "steady"],
)
def test_statistics_that_are_not_compared_are_noted(tmp_path, scenario, words):
    words = {"step": 0.4, "n_steps": 40, "n_trajectories": 64, "ledger": True, **words}
    statistics = ["moments", *STATISTICS, {"kind": "currents", "window": 8}]
    sb.run(sb.Plan.from_scenario(scenario, record=False, statistics=statistics, **words), tmp_path / "run.zarr")
    found = sb.validate(sb.open(tmp_path / "run.zarr"))
    assert found.agrees, found.worst
    told = [note for note in found.notes if note.startswith(NOT_COMPARED)]
    steady = words.get("initial") == "stationary"
    assert told == (
        []
        if steady
        else [f"{NOT_COMPARED}: correlation, cross spectrum, histogram position, work and heat along the path."]
    )
    assert any(row.quantity.startswith("spectrum, band") for row in found.rows) == steady


def test_spectra_alone_are_not_judged(tmp_path):
    plan = sb.Plan(
        scenario=systems.pair_scenario(0.5, 0.2),
        step=0.4,
        n_steps=40,
        n_trajectories=64,
        record=False,
        statistics=STATISTICS[1:2],
    )
    sb.run(plan, tmp_path / "run.zarr")
    with pytest.raises(PlanError, match=r'without which no other statistic is judged.*"moments" among'):
        sb.validate(sb.open(tmp_path / "run.zarr"))
