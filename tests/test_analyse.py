"""The analysis of a run: all findings against their exact values, with theories that must be refused."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
from stochbind.analysis import refrigerators
from stochbind.cli import app
from stochbind.errors import IncompleteError, PlanError, StoreDamagedError, TooFewSamplesError

PAIR = {
    "name": "pair",
    "kind": "oscillators",
    "units": "reduced",
    "coupling": [[0.0, 0.4], [0.1, 0.0]],
    "particle": [
        {"mass": 1.0, "stiffness": 1.0, "friction": 0.4, "bath_temperature": 1.0},
        {"mass": 1.5, "stiffness": 1.3, "friction": 0.6, "bath_temperature": 0.5},
    ],
}
RUN = {"step": 0.1, "n_steps": 4000, "save_every": 4, "n_trajectories": 128, "seed": 5, "ledger": True}


def scenario(run=None, **changes):
    return sb.OscillatorScenario.model_validate({**PAIR, **changes, "run": {**RUN, **(run or {})}})


def overdamped():
    particle = [{k: v for k, v in p.items() if k != "mass"} for p in PAIR["particle"]]
    return scenario(dynamics="overdamped", particle=particle, run={"step": 0.05, "save_every": 5})


KINDS = {
    "underdamped": scenario(),
    "overdamped": overdamped(),
    "recoil": scenario(momentum_diffusion=[[0.2, 0.1], [0.1, 0.2]]),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for name, one in KINDS.items():
        sb.run(sb.Plan.from_scenario(one), folder / f"{name}.zarr", workers="serial")
    return folder


@pytest.fixture(scope="module")
def analyses(stores):
    return {name: sb.analyse(sb.open(stores / f"{name}.zarr")) for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_everything_agrees(analyses, name):
    """Each finding within five standard errors of its exact value, and told well enough to mean something."""
    analysis = analyses[name]
    judged = [finding for finding in analysis.findings if np.isfinite(finding.exact)]
    assert len(judged) > 35
    assert max(abs(finding.z) for finding in judged) < 5
    sections = {
        "temperature",
        "heat and work",
        "entropy",
        "precision",
        "information",
        "fluctuation theorems",
        "direction",
    }
    assert sections <= {*analysis.sections}
    assert analysis["position temperature", "0"].stderr < 0.02
    assert analysis["transfer entropy", "0 <- 1"].value > 4 * analysis["transfer entropy", "0 <- 1"].stderr
    assert analysis["asymmetry of energy current", "0 <- 1"].exact == pytest.approx(0.6, rel=1e-9)
    assert (analysis.table()["n_eff"] > 8).all()
    assert len({(finding.quantity, finding.where) for finding in analysis.findings}) == len(analysis.findings)
    with pytest.raises(KeyError, match="there are '0 <- 1', '1 <- 0'"):
        _ = analysis["transfer entropy", "2"]
    with pytest.raises(KeyError, match="a quantity and where"):
        _ = analysis["temperature"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (
            {"coupling": [[0.0, 0.1], [0.4, 0.0]]},
            {"work of the coupling", "transfer entropy", "asymmetry of susceptibility"},
        ),
        (
            {"particle": [{**PAIR["particle"][0], "bath_temperature": 1.2}, PAIR["particle"][1]]},
            {"kinetic temperature"},
        ),
    ],
    ids=["transposed", "hotter"],
)
def test_other_theories_are_refused(stores, changes, wrong):
    """A failing twin: the same record beside the exact values of other equations."""
    analysis = sb.analyse(sb.open(stores / "underdamped.zarr"), scenario(**changes))
    off = {finding.quantity for finding in analysis.findings if abs(finding.z) > 5}
    assert wrong <= off
    assert any("fluctuation theorem" in name or "entropy" in name for name in off)


def test_first_law_is_the_difference_of_two_heats(analyses):
    for analysis in (analyses["underdamped"], analyses["recoil"]):
        for j in "01":
            plain, balanced = analysis["heat from the bath", j], analysis["heat from the bath, by balance", j]
            law = analysis["first law", j].value
            assert law == pytest.approx(balanced.value - plain.value, rel=1e-6, abs=1e-9)
            assert law != 0.0


@pytest.mark.parametrize("j", [0, 1])
def test_information_flow_goes_into_the_particle_that_is_named(analyses, j):
    """What mutual information gains per time if this particle alone goes on."""
    equations = KINDS["underdamped"].oscillators().langevin()
    steady, moving = equations.stationary_covariance(), np.isin(np.arange(4), [j, j + 2])
    drift = np.where(moving[:, None], equations.drift_matrix, 0.0) @ steady
    rate = drift + drift.T + equations.noise_covariance * np.outer(moving, moving)

    def shared(covariance):
        parts = [covariance[np.ix_(one, one)] for one in (moving, ~moving, moving | True)]
        a, b, both = (np.linalg.slogdet(part)[1] for part in parts)
        return 0.5 * (a + b - both)

    gain = (shared(steady + 1e-5 * rate) - shared(steady - 1e-5 * rate)) / 2e-5 / equations.time_unit
    assert analyses["underdamped"]["information flow", f"into {j}"].exact == pytest.approx(gain, rel=1e-4, abs=0)
    assert analyses["underdamped"]["information flow", f"into {1 - j}"].exact * gain < 0.0  # the twin


def test_recoil_is_work_of_the_light(analyses):
    """In the steady state all that the light gives leaves by the baths."""
    analysis = analyses["recoil"]
    work = analysis["work of the light", ""]
    given = [analysis["heat from the bath", j] for j in "01"]
    assert work.exact == pytest.approx(-sum(one.exact for one in given), rel=1e-6)
    recoil = 0.2 / 1.0 + 0.2 / 1.5  # D/m of each
    assert work.exact == pytest.approx(analysis["work of all couplings", ""].exact + recoil, rel=1e-6)
    assert abs(work.value - work.exact) < 4.5 * work.stderr
    assert abs(work.value - recoil - work.exact) > 5 * work.stderr  # the twin


def test_first_law_and_second_law(analyses):
    """Heat by balance is the heat; what baths gain is not less than what particles learn."""
    analysis = analyses["underdamped"]
    for j in "01":
        plain, balanced = analysis["heat from the bath", j], analysis["heat from the bath, by balance", j]
        assert balanced.exact == pytest.approx(plain.exact, rel=1e-6)
        assert balanced.stderr < plain.stderr
        assert analysis["second law with information", j].exact > 0
    assert analysis["coefficient of performance", ""].exact == pytest.approx(0.1 / (0.4 - 0.1), rel=1e-6)


def test_few_trajectories(tmp_path):
    """One trajectory is enough if it is long: error bars come from stretches of it."""
    plan = sb.Plan.from_scenario(scenario({"n_trajectories": 1, "n_steps": 100_000}))
    sb.run(plan, tmp_path / "one.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "one.zarr"), n_surrogates=3)
    judged = [finding for finding in analysis.findings if np.isfinite(finding.exact)]
    assert len(judged) > 30
    assert max(abs(finding.z) for finding in judged) < 5
    short = sb.Plan.from_scenario(scenario({"n_trajectories": 1, "n_steps": 400}))
    sb.run(short, tmp_path / "short.zarr", workers="serial")
    with pytest.raises(TooFewSamplesError, match="long beside its correlations"):
        sb.analyse(sb.open(tmp_path / "short.zarr"))


def test_without_trajectories(tmp_path):
    """Averages, lines, distributions and precision from statistics alone; the rest is named."""
    statistics = ["moments", "currents", "spectra", {"kind": "histograms", "of": "work"}]
    one = scenario({"record": False, "statistics": statistics, "n_steps": 20_480})
    sb.run(sb.Plan.from_scenario(one), tmp_path / "a.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "a.zarr"), n_windows=2)
    judged = [finding for finding in analysis.findings if np.isfinite(finding.exact)]
    assert max(abs(finding.z) for finding in judged) < 5
    assert {"distributions", "precision", "history"} <= {*analysis.sections}
    assert any(finding.quantity == "temperature of the fitted line" for finding in analysis.findings)
    assert any("need trajectories" in note for note in analysis.notes)
    with pytest.raises(PlanError, match="start_time"):
        sb.analyse(sb.open(tmp_path / "a.zarr"), start_time=1.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"coupling": [[0.0, 2.0], [2.0, 0.0]], "run": {"initial": "rest", "n_steps": 40}}, "there is none"),
        ({"drive": [{"particle": 0, "force": 1.0, "frequency": 1.0}]}, "drives act"),
        ({"particle": [{**PAIR["particle"][0], "cubic_stiffness": 0.1}, PAIR["particle"][1]]}, "not linear"),
        ({"run": {"initial": "rest", "n_steps": 80}}, "run longer"),
    ],
    ids=["unstable", "driven", "nonlinear", "short"],
)
def test_what_needs_a_steady_state_is_left_out(tmp_path, changes, reason):
    changes = dict(changes)
    run = {"n_steps": 800, "n_trajectories": 64, **changes.pop("run", {})}
    sb.run(sb.Plan.from_scenario(scenario(run, **changes)), tmp_path / "a.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "a.zarr"))
    assert not analysis.steady
    assert any(reason in note for note in analysis.notes)
    assert "temperature" in analysis.sections
    assert not {"fluctuation theorems", "direction", "refrigeration"} & {*analysis.sections}
    assert all(abs(finding.z) < 5 for finding in analysis.findings if np.isfinite(finding.exact))


def test_finite_baths(tmp_path):
    """What changes is compared from the first state on, window by window; those of infinite baths would be far off."""
    bath = [{"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 0.5, "heat_capacity": 20.0}]
    particle = [{**p, "bath": name} for p, name in zip(PAIR["particle"], ("hot", "cold"), strict=True)]
    for one in particle:
        del one["bath_temperature"]
    one = scenario({"n_steps": 1200, "save_every": 12, "ledger": False}, particle=particle, bath=bath, copies=4)
    sb.run(sb.Plan.from_scenario(one), tmp_path / "a.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "a.zarr"), n_windows=3)
    assert {"finite baths", "history"} <= {*analysis.sections}
    judged = [finding for finding in analysis.findings if np.isfinite(finding.exact)]
    assert max(abs(finding.z) for finding in judged) < 5
    assert analysis["bath temperature at the end", "cold"].exact < 0.45
    assert analysis.window[0] == pytest.approx(1.2)


def test_three_baths_have_no_carnot_limit(tmp_path):
    """An absorption refrigerator: heat of the hottest bath cools the coldest, and the light gains."""
    one = scenario(
        {"n_steps": 12_000, "step": 0.05, "save_every": 8, "n_trajectories": 256, "ledger": False},
        dynamics="overdamped",
        coupling=[[0, 0.29013966, -0.14073022], [0.54364197, 0, -0.39311442], [-0.41356771, -0.47718811, 0]],
        particle=[
            {"stiffness": 1.73985627, "friction": 1.50915258, "bath_temperature": 0.9},
            {"stiffness": 1.30437078, "friction": 1.79152371, "bath_temperature": 1.0},
            {"stiffness": 1.19120545, "friction": 0.38691404, "bath_temperature": 3.0},
        ],
    )
    balance = refrigerators.balance(one.oscillators())
    assert balance.cooling_power > 0 > balance.work
    assert np.isnan(balance.performance)
    sb.run(sb.Plan.from_scenario(one), tmp_path / "a.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "a.zarr"), n_surrogates=0)
    assert "coefficient of performance" not in {finding.quantity for finding in analysis.findings}
    assert any("heat of others" in note for note in analysis.notes)


def test_steps_that_are_not_exact(tmp_path):
    """Euler-Maruyama: the kinetic temperature is off from the equations', and is that of its own steps."""
    run = {
        "solver": "euler_maruyama",
        "step": 0.02,
        "save_every": 20,
        "n_steps": 20_000,
        "allowed_bias": 0.2,
        "ledger": False,
    }
    store = sb.run(sb.Plan.from_scenario(scenario(run)), tmp_path / "a.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "a.zarr"), coefficients=store.coefficients)
    assert abs(analysis["kinetic temperature", "0"].z) > 5
    assert abs(analysis["kinetic temperature, of these steps", "0"].z) < 5


def test_start_time(stores):
    dataset = sb.open(stores / "overdamped.zarr")
    late = sb.analyse(dataset, start_time=100.0, n_surrogates=0)
    assert late.window[0] == pytest.approx(100.0)
    assert late.n_states == int((dataset["time"] >= 100.0 - 1e-9).sum())
    with pytest.raises(PlanError, match="must leave two states or more"):
        sb.analyse(dataset, start_time=1e6)


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_command(stores, tmp_path):
    """Tables, JSON and a file of all findings."""
    store = stores / "overdamped.zarr"
    table = invoke("analyse", store, "-q", "--surrogates", "0", "--csv", tmp_path / "all.csv")
    assert table.exit_code == 0, table.output
    assert "Fluctuation theorems" in table.stdout
    with open(tmp_path / "all.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = next(row for row in rows if row["quantity"] == "transfer entropy")
    assert float(found["value"]) > 0
    part = invoke("analyse", store, "-q", "--surrogates", "0", "--json", "--section", "heat")
    report = json.loads(part.stdout)
    assert {finding["section"] for finding in report["findings"]} == {"heat and work"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--section", "magic"), "`--section` must be one of temperature, heat and work"),
        (("--csv", "a.txt"), "`--csv` must end in .csv"),
        (("--point", "1"), "`--point` is for sweeps"),
        (("--start", "soon"), "`--start` must be a bare number"),
    ],
)
def test_mistakes_in_commands(stores, arguments, message):
    failed = invoke("analyse", stores / "overdamped.zarr", "-q", "--surrogates", "0", *arguments)
    assert isinstance(failed.exception, PlanError)
    assert message in str(failed.exception)


def test_damaged_store(stores, tmp_path):
    """A chunk with a wrong byte is named in a sentence, not in a traceback."""
    shutil.copytree(stores / "overdamped.zarr", tmp_path / "a.zarr")
    chunk = next(path for path in (tmp_path / "a.zarr" / "position").rglob("*") if path.name.startswith("c."))
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0xFF
    chunk.write_bytes(bytes(data))
    failed = invoke("analyse", tmp_path / "a.zarr", "-q", "--surrogates", "0")
    assert isinstance(failed.exception, StoreDamagedError)
    assert "stochbind repair" in str(failed.exception)


def test_unfinished_run(tmp_path):
    plan = sb.Plan.from_scenario(scenario({"n_trajectories": 2048, "n_steps": 4000}))
    sb.run(plan, tmp_path / "a.zarr", workers="serial", part=(1, 2))
    with pytest.warns(UserWarning, match="not finished"):
        dataset = sb.open(tmp_path / "a.zarr")
    with pytest.raises(IncompleteError, match="never computed"):
        sb.analyse(dataset)
