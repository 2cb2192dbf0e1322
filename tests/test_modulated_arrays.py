"""Arrays whose phases run: the equations against other routes, and what runs, validates and refuses them."""

import json
import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, integrate
from typer.testing import CliRunner

import stochbind as sb
from stochbind.analysis import histories, statistics, thermodynamics
from stochbind.analysis.exact_windows import exact_record_of_windows
from stochbind.analysis.findings.analyses import analyse
from stochbind.analysis.phase_diagrams import phase_diagram
from stochbind.analysis.validation import validate
from stochbind.cli import app
from stochbind.errors import PlanError, ScenarioError
from stochbind.forces import Force
from stochbind.langevin import Langevin, Moments
from stochbind.protocols import Drive, Protocol
from stochbind.quantum import modulation, states
from stochbind.quantum.quadratures import to_quadratures
from stochbind.scenario import ArrayScenario, parse

SCENARIO = Path(__file__).parent.parent / "scenarios" / "squeezed_pair.toml"
OMEGA, RATE, G, GAMMA = 1.0, 2.0, 0.05, 0.02
CHAIN = {
    "units": "reduced",
    "mass": 1.5,
    "frequency": OMEGA,
    "damping_rate": GAMMA,
    "bath_temperature": 0.4,
    "coupling_rate": G,
    "recoil_rate": 0.9,
    "phase_rate": RATE,
    "lattice": {"shape": "chain", "n": 3, "distance_phase": 14.0, "phase_step": 0.3},
}


def made(**fields):
    lattice = {**CHAIN["lattice"], **fields.pop("lattice", {})}
    return ArrayScenario(**{**CHAIN, "name": "chain", **fields, "lattice": lattice})


def covariance_in_si(scenario, moments):
    unit = scenario.langevin().unit
    return moments.covariance * np.outer(unit, unit)


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def cubic(q, strength):
    return -strength[..., 0] * q**3


def solved_chain(time, initial, *, sign=1.0, binding=1.0, correlation=1.0):
    """Covariance of three particles in a chain at a time, from the letter's formulas by a solver of its own."""
    kd, step, mass = 14.0, 0.3, CHAIN["mass"]
    j, k = np.indices((3, 3))
    apart = np.abs(j - k)
    off = apart > 0

    def right(t, flat):
        covariance = flat.reshape(6, 6)
        phase = (j - k) * (step - sign * RATE * t)  # phi_j - phi_k
        rate = np.where(off, G * np.cos(kd * apart - phase) / np.where(off, apart, 1), 0.0)
        drift = np.zeros((6, 6))
        drift[:3, 3:] = np.eye(3)
        drift[3:, :3] = 2 * OMEGA * (rate - binding * np.diag(rate.sum(axis=1))) - OMEGA**2 * np.eye(3)
        drift[3:, 3:] = -GAMMA * np.eye(3)
        recoil = np.where(off, G * np.sin(kd * apart) * np.cos(phase) / np.where(off, apart, 1), 0.0) * correlation
        noise = np.zeros((6, 6))
        noise[3:, 3:] = 2 * OMEGA / mass * (recoil + CHAIN["recoil_rate"] * np.eye(3))
        noise[3:, 3:] += 2 * GAMMA * CHAIN["bath_temperature"] / mass * np.eye(3)
        return (drift @ covariance + covariance @ drift.T + noise).ravel()

    end = integrate.solve_ivp(right, (0.0, time), initial.ravel(), method="DOP853", rtol=1e-10, atol=1e-12)
    return end.y[:, -1].reshape(6, 6)


@pytest.fixture(scope="module")
def chain():
    scenario = made()
    initial = scenario.initial_moments("thermal")
    return scenario, initial, covariance_in_si(scenario, initial)


@pytest.mark.parametrize("time", [1.3, 30.0])
def test_covariances_are_those_of_the_equations(chain, time):
    scenario, initial, start = chain
    found = covariance_in_si(scenario, scenario.driven(scenario.langevin()).moments(time, initial))
    exact = solved_chain(time, start)
    free = covariance_in_si(scenario, scenario.langevin().moments(time, initial))  # without couplings
    effect = np.abs(exact - free).max()
    assert np.abs(found - exact).max() < 1e-3 * effect
    # twins: phases that run the other way, no stiffness of binding, no correlated recoil
    for wrong in ({"sign": -1.0}, {"binding": 0.0}, {"correlation": 0.0}):
        assert np.abs(found - solved_chain(time, start, **wrong)).max() > 0.03 * effect


@pytest.mark.parametrize("phase_rate", [RATE, -RATE])
def test_sign_of_the_phase(phase_rate):
    """phi_1 - phi_2 grows, and one turn of it later all is as before; from G/kd cos(kd - phi_1 + phi_2) alone."""
    scenario = made(phase_rate=phase_rate, lattice={"n": 2})
    for time in (0.0, 0.4, 2.0):
        phase = -0.3 + phase_rate * time  # phi_1 - phi_2, with phi_2 - phi_1 = 0.3 at time zero
        assert scenario.rates_at(time)[0, 1] == pytest.approx(G * math.cos(14.0 - phase), rel=1e-12)
        assert scenario.rates_at(time)[1, 0] == pytest.approx(G * math.cos(14.0 + phase), rel=1e-12)
        common = G * math.sin(14.0) * np.exp(1j * phase)
        np.testing.assert_allclose(scenario.recoil_at(time)[0, 1], common, rtol=1e-12)
    np.testing.assert_allclose(scenario.rates_at(math.pi), scenario.rates_at(0.0), rtol=1e-12)


def test_in_si_it_is_the_pair_of_quadratures():
    """Against `running_phase`, which makes its pieces of far-field rates and of quadratures."""
    omega, kd = 2 * math.pi * 50e3, 14.0
    scenario = sb.Scenario.from_toml(SCENARIO)
    scenario = scenario.model_copy(
        update={
            "lattice": scenario.lattice.model_copy(update={"distance_phase": kd, "phase_step": -0.4}),
            "recoil_rate": 7e3,
        }
    )
    quanta = constants.k * 300.0 / (constants.hbar * omega) - 0.5
    pair = partial(modulation.running_phase, kd, 5e3 * kd, 7e3, omega, damping=1e-6, occupation=quanta)
    for time in (3.7e-6, 1e-4, 1.234e-4):
        moments = scenario.driven(scenario.langevin()).moments(time, scenario.initial_moments("ground"))
        found = to_quadratures(scenario.oscillators(), moments).covariance
        exact = pair(phase=0.4).moments(time, states.vacuum(2)).covariance
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9 * np.abs(exact).max())
        assert np.abs(found - pair(phase=-0.4).moments(time, states.vacuum(2)).covariance).max() > 1e-4


@pytest.mark.parametrize(
    "lattice",
    [
        {},
        {"n": 4, "alternating": True},
        {"shape": "ring", "n": 5},
        {"shape": "square", "n": None, "rows": 2, "columns": 2},
    ],
)
def test_oscillators_are_the_average_over_time(lattice):
    scenario = made(lattice=lattice)
    n = scenario.n_particles
    times = (np.arange(64) + 0.5) / 64 * 2 * math.pi / RATE
    array, mass = scenario.oscillators(), CHAIN["mass"]
    rates = np.mean([scenario.rates_at(time) for time in times], axis=0)
    np.testing.assert_allclose(array.coupling, 2 * mass * OMEGA * rates, rtol=1e-10, atol=1e-14)
    recoil = np.mean([scenario.recoil_at(time) for time in times], axis=0)
    np.testing.assert_allclose(array.diffusion, mass * OMEGA * recoil, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(array.stiffness, mass * OMEGA**2, rtol=1e-14)
    pieces = [piece for _, piece in scenario.driven(scenario.langevin()).pieces]
    np.testing.assert_allclose(
        np.mean([piece.drift_matrix for piece in pieces], axis=0), array.langevin().drift_matrix, atol=1e-14
    )
    assert len(pieces) == 64 * {3: 2, 4: 1, 5: 4}[n]
    # couplings of places that keep step remain
    kept = np.argwhere(np.abs(array.coupling) > 1e-6)
    assert {tuple(map(int, pair)) for pair in kept} == {(j, k) for j, k in ((0, 2), (2, 0), (1, 3), (3, 1)) if n == 4}


def test_a_phase_that_stands_still_changes_nothing():
    still, none = made(phase_rate=0.0), made(phase_rate=None)
    for scenario in (still, none, made(lattice={"n": 1})):
        assert not scenario.modulated
        assert isinstance(scenario.driven(scenario.langevin()), Langevin)
        assert "phase_rate" not in scenario.derived()
    assert made().modulated
    assert made().changes_with_time
    np.testing.assert_array_equal(still.langevin().drift_matrix, none.langevin().drift_matrix)
    plan = sb.Plan(scenario=none, step=0.1, n_steps=10, n_trajectories=2)
    assert "phase_rate" not in plan.identity["scenario"]
    assert parse(made().to_toml()) == made()


def test_growth_is_that_of_parametric_pairs():
    """The rotating frame: the amplitude grows at g |cos kd| - gamma/2, up to g/omega."""
    fields = {"recoil_rate": None, "lattice": {"n": 2, "distance_phase": 4 * math.pi, "phase_step": 0.0}}
    for g, gamma in ((2e-3, 1e-3), (2e-3, 8e-3)):
        scenario = made(coupling_rate=g, damping_rate=gamma, **fields)
        assert scenario.growth_rate == pytest.approx(g - gamma / 2, abs=2 * g**2)
        assert scenario.stable is (g < gamma / 2)
        assert scenario.verdict.startswith("stable while" if scenario.stable else "not stable while")
    # off resonance nothing grows
    assert made(coupling_rate=2e-3, damping_rate=1e-4, phase_rate=1.7, **fields).stable


def test_drives_and_forces_of_ones_own_stay():
    drive = {"particle": 1, "force": 0.1, "frequency": 0.7}
    scenario = made(drive=[drive])
    system = scenario.driven(scenario.langevin())
    assert system.drives == (Drive(1, 0.1, 0.7, 0.0),)
    force = Force(function=cubic, parameters=np.ones((3, 1)), vectorized=True)
    both = scenario.driven(scenario.langevin().with_forces(force))
    assert both.drives == system.drives
    for (_, with_force), (_, without) in zip(both.pieces, system.pieces, strict=True):
        assert with_force.forces == (force,)
        np.testing.assert_array_equal(with_force.drift_matrix, without.drift_matrix)


# Exact means over kept states.


def plain_record(system, initial, first, interval, n_states, window):
    """Second moments of all states from the exact moments at their times, and which begin a pair."""
    moments = [system.moments(first + k * interval, initial) for k in range(n_states)]
    second = np.array([covariance + np.outer(mean, mean) for mean, covariance in moments])
    return second, [k for k in range(n_states - 1) if (k + 1) % window]


@pytest.mark.parametrize("interval", [math.pi, 2 * math.pi, math.pi / 5, 3 * math.pi / 7])
@pytest.mark.parametrize("window", [4, 30])
def test_exact_means_over_any_states(chain, interval, window):
    scenario, initial, _ = chain
    system = scenario.driven(scenario.langevin())
    n, first = 30, 2 * interval
    second, pairs = plain_record(system, initial, first, interval, n, window)
    found = exact_record_of_windows(system, initial, first_time=first, interval=interval, window=window, n_states=n)
    np.testing.assert_allclose(found.second[0], second.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.before[0], second[pairs].mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.last_state[0], second[-1], rtol=1e-9, atol=1e-12)
    schedule = system.schedule(interval, n + 2)
    lagged = np.mean([schedule.propagator(k + 2).matrix @ second[k] for k in pairs], axis=0)
    np.testing.assert_allclose(found.lagged[0], lagged, rtol=1e-9, atol=1e-12)
    if window == 30:
        whole = statistics.exact_record(system, initial, first_time=first, interval=interval, n_states=n)
        for name in ("second", "before", "lagged", "first_state", "last_state"):
            np.testing.assert_allclose(getattr(whole, name), getattr(found, name), rtol=1e-9, atol=1e-12)


def test_exact_means_across_a_quench():
    """Equations that change once have no step that repeats; the mean and a drive go along."""
    one = Langevin(drift_matrix=[[-0.3, 1.0], [-1.0, -0.1]], noise_covariance=np.eye(2), constant_drift=[0.2, -0.1])
    other = Langevin(drift_matrix=[[-0.1, 2.0], [-1.0, -0.2]], noise_covariance=0.3 * np.eye(2))
    drive = Drive(None, 0.4, 1.3, 0.2, coordinate=1)
    system = Protocol(pieces=((2.05, one), (math.inf, other)), drives=(drive,))
    initial = Moments(np.array([1.0, -2.0]), np.array([[0.5, 0.1], [0.1, 0.2]]))
    second, _ = plain_record(system, initial, 0.3, 0.1, 40, 40)
    found = statistics.exact_record(system, initial, first_time=0.3, interval=0.1, n_states=40)
    np.testing.assert_allclose(found.second[0], second.mean(axis=0), rtol=1e-10)
    # twin: the first step for all
    wrong = statistics.exact_record(
        Protocol.constant(one, drives=(drive,)), initial, first_time=0.3, interval=0.1, n_states=40
    )
    assert np.abs(wrong.second[0] / second.mean(axis=0) - 1).max() > 0.1


# Runs.


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("modulated") / "run.zarr"
    said = invoke("run", "squeezed_pair", "-o", path, "--trajectories", 2048, "--parallel", "serial").stderr
    assert "not stable while its phases run" in said
    return path


def test_run_validate_and_plot(store, tmp_path):
    report = json.loads(invoke("validate", store, "--json").stdout)
    assert report["agrees"]
    rows = {(row["quantity"], row["where"]): row for row in report["rows"]}
    assert {"position times velocity", "velocity times velocity", "kinetic temperature"} <= {name for name, _ in rows}
    assert not {"power", "first law", "light power"} & {name for name, _ in rows}
    assert any("left out" in note for note in report["notes"])
    # kinetic energy in quanta, from the closed form of the rotating frame, averaged over the states
    time = 1e-5 * np.arange(1, 41)
    noise = 1000 + 1e-6 * constants.k * 300 / (constants.hbar * 2 * math.pi * 50e3)
    closed = modulation.squeezed_pair(6 * math.pi, 5e3 * 6 * math.pi, noise, time)
    quanta = (0.5 * (closed.squeezed + closed.antisqueezed) + 0.5 + noise * time).mean() / 2
    kinetic = constants.hbar * 2 * math.pi * 50e3 * quanta / constants.k
    assert rows["kinetic temperature", "0"]["exact"] == pytest.approx(kinetic, rel=0.02)
    invoke("plot", store, "-o", tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 10_000


def test_validation_sees_wrong_phases(store):
    dataset, scenario = sb.open(store), sb.Scenario.from_toml(SCENARIO)
    assert validate(dataset).agrees
    for wrong in (
        {"phase_rate": None},
        {"phase_rate": 1.01e5},
        {"coupling_rate": 4e3},
        {"lattice": scenario.lattice.model_copy(update={"phase_step": 0.5})},
    ):
        assert abs(validate(dataset, scenario.model_copy(update=wrong)).worst.z) > 7, wrong


def test_findings_of_the_run(store):
    dataset = sb.open(store)
    found = analyse(dataset)
    assert max(abs(one.z) for one in found.findings if math.isfinite(one.z)) < 5
    least = found["smallest variance of any quadrature", "all"]
    closed = modulation.squeezed_pair(6 * math.pi, 5e3 * 6 * math.pi, 1125.0, 4e-4).squeezed
    assert least.exact == pytest.approx(closed, rel=0.03)
    assert least.value + 5 * least.stderr < 0.5
    assert not {"first law", "work of the coupling", "entropy to the surroundings"} & set(found.quantities)
    assert any("couplings change with time" in note for note in found.notes)
    detected = analyse(dataset, efficiency=0.5, n_surrogates=0)
    assert "measurement" not in detected.sections
    assert any("without drives or couplings that change with time" in note for note in detected.notes)
    array = sb.Scenario.from_toml(SCENARIO).oscillators()
    course = histories.history(dataset, partial(thermodynamics.kinetic_temperature, array), n_windows=8)
    assert np.abs(course.found.z(course.exact)).max() < 5
    assert course.exact[-1, 0] > 5 * course.exact[0, 0]


@pytest.mark.parametrize("per_period", [0.3, 1.0])
def test_states_within_turns_and_without_a_record(tmp_path, per_period):
    """Kept states at other phases, a steady state that swings, and moments in place of trajectories."""
    scenario = made(coupling_rate=0.05, damping_rate=0.2, lattice={"n": 2})
    assert scenario.stable
    plan = sb.Plan(
        scenario=scenario,
        step=per_period * math.pi,
        n_steps=200,
        n_trajectories=400,
        seed=5,
        statistics=("moments",),
    )
    store = sb.run(plan, tmp_path / "run.zarr", workers="serial")
    dataset = sb.open(store.path)
    found = validate(dataset)
    assert found.agrees
    assert {"kinetic temperature, moments", "position times position"} <= {row.quantity for row in found.rows}
    alone = validate(dataset.drop_vars(["position", "velocity"]))
    assert alone.agrees
    assert len(alone.judged) > 10
    still = validate(dataset, made(coupling_rate=0.05, damping_rate=0.2, phase_rate=None, lattice={"n": 2}))
    assert not still.agrees


# What is refused.


def test_what_needs_constants_is_refused(tmp_path):
    scenario = made()
    run = {"scenario": scenario, "step": math.pi, "n_steps": 4, "n_trajectories": 2}
    with pytest.raises(PlanError, match="steady states need constant ones"):
        sb.Plan(**run, initial="stationary")
    with pytest.raises(PlanError, match="ledgers need constant ones"):
        sb.Plan(**run, ledger=True)
    with pytest.raises(PlanError, match="floating point"):
        sb.Plan(**{**run, "n_steps": 10**8, "scenario": made(coupling_rate=0.3)})
    with pytest.raises(PlanError, match="no whole number makes up"):
        sb.run(sb.Plan(**{**run, "step": 1.0}), tmp_path / "run.zarr", workers="serial")
    with pytest.raises(PlanError, match="phase diagrams need constant"):
        phase_diagram(
            scenario,
            {"parameter": "coupling_rate", "start": 0.0, "stop": 0.1, "n": 3},
            {"parameter": "damping_rate", "start": 0.01, "stop": 0.1, "n": 3},
        )
    for command in (("modes",), ("quantum",), ("quantum", "--time", "1 us", "--efficiency", "0.5")):
        result = CliRunner().invoke(app, [command[0], "squeezed_pair", *command[1:]])
        assert isinstance(result.exception, PlanError)
        assert "need constant ones" in str(result.exception)


def test_too_many_particles_are_refused():
    with pytest.raises(ScenarioError, match="`phase_rate` of 41 particles needs"):
        made(lattice={"n": 41})
    assert made(lattice={"n": 41, "alternating": True}).modulated


def test_the_command_shows_the_quantum_state_after_a_time():
    text = invoke("quantum", "squeezed_pair", "--time", "400 us").output
    least = float(re.search(r"smallest variance of any quadrature ([\d.]+)", text)[1])
    assert least == pytest.approx(0.1196, rel=0.03)
    assert "recoil" not in text


def test_all_that_is_derived_is_documented():
    scenario = sb.Scenario.from_toml(SCENARIO)
    told = (SCENARIO.parent.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
    told = told.partition('Of `kind = "array"`')[2]
    assert [name for name in scenario.derived() if f"`{name}`" not in told] == []
    assert "largest_stable_coupling_rate" not in scenario.derived()
    assert any("averages over time" in note for note in scenario.notes())
