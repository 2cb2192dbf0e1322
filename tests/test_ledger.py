"""The ledger of trajectories: first law, heat and work beside exact rates and other routes, order, resume.

What a statistical test can detect: with n independent values, 5/sqrt(n) standard deviations of one value; the twins
show that this is enough.
"""

import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

import stochbind as sb
import systems
from stochbind import bridge, fields
from stochbind.analysis import thermodynamics
from stochbind.engine import noise
from stochbind.engine.layout import Layout
from stochbind.errors import PlanError
from stochbind.forces import Force
from stochbind.langevin import Moments
from stochbind.oscillators import Oscillators
from stochbind.protocols import Drive, Protocol

RECOIL = np.array([[0.2, 0.15], [0.15, 0.3]])


def three_particles():
    return Oscillators(
        mass=np.array([1.0, 0.7, 1.4]), stiffness=np.array([1.3, 1.0, 0.8]), friction=np.array([0.3, 0.5, 0.2]),
        bath_temperature=np.array([1.0, 0.4, 0.8]), reduced=True,
        coupling=np.array([[0.0, 0.3, 0.0], [0.1, 0.0, -0.2], [0.25, 0.0, 0.0]]),
    )  # fmt: skip


ARRAYS = {
    "pair": systems.underdamped_pair(),
    "recoil": systems.underdamped_pair(diffusion=RECOIL),
    "overdamped": systems.overdamped_pair(temperature=(1.5, 0.2), diffusion=RECOIL),
    "three": three_particles(),
}


def transposed(array):
    return replace(array, coupling=array.coupling.T.copy())


def energy(array, record):
    """Harmonic energy of each particle, without interaction."""
    result = 0.5 * array.stiffness * record.position.to_numpy() ** 2
    if array.mass is not None:
        result = result + 0.5 * array.mass * record.velocity.to_numpy() ** 2
    return result


def z_of(values, exact):
    return (values.mean(axis=0) - exact) / (values.std(axis=0, ddof=1) / math.sqrt(len(values)))


def recoil_power(array):
    if array.mass is None or array.diffusion is None:
        return np.zeros(array.n_particles)
    return np.diagonal(np.asarray(array.diffusion).real) / array.mass


# ---------------------------------------------------------------------- first law


@pytest.mark.parametrize("name", list(ARRAYS))
@pytest.mark.parametrize("step", [0.1, 3.0, 30.0])
def test_first_law_of_every_kept_interval(name, step):
    array = ARRAYS[name]
    system = Protocol.constant(array.langevin(), drives=[Drive(0, 0.7, 1.3, 0.2), Drive(1, 0.2, 0.0)])
    start = array.langevin().stationary
    record = sb.simulate(
        system, step=step, n_steps=60, n_trajectories=20, save_every=3, ledger=array, initial=start, seed=3
    )
    received = record.work.sum("source") + record.heat + record.drive_work
    gain = np.diff(energy(array, record), axis=1)
    residual = gain - np.diff(received.to_numpy(), axis=1)
    scale = np.abs(record.work).max() + np.abs(record.heat).max()
    assert np.abs(residual).max() < 1e-13 * scale
    assert np.abs(gain - np.diff((received - record.drive_work).to_numpy(), axis=1)).max() > 1e-3  # the twin


@pytest.mark.parametrize("name", ["pair", "recoil", "overdamped", "three"])
@pytest.mark.parametrize("step", [0.1, 3.0])
def test_heat_of_each_path_is_that_of_its_definition(name, step):
    """The ledger takes heat as what the first law leaves; `bridge.heat_forms` integrates it from its definition."""
    array = ARRAYS[name]
    equations = array.langevin()
    d, n_steps, block = equations.dimension, 12, 7
    start = Moments(np.zeros(d), np.zeros((d, d)))
    record = sb.simulate(array, step=step, n_steps=n_steps, n_trajectories=block, ledger=array, initial=start, seed=9)
    forms = bridge.heat_forms(array, step)
    parts = [record.position] if array.overdamped else [record.position, record.velocity]
    state = np.concatenate([part.to_numpy() for part in parts], axis=-1) / equations.unit
    before = np.concatenate([np.zeros((block, 1, d)), state[:, :-1]], axis=1)
    heat = np.empty((block, n_steps, array.n_particles))
    for n in range(n_steps):
        normal = noise.normals(9, noise.Stream.BATH, np.arange(block), n, d)
        heat[:, n] = bridge.evaluate(forms, before[:, n].T, normal).T
    found = np.diff(record.heat.to_numpy(), axis=1, prepend=0.0)
    np.testing.assert_allclose(found, heat, atol=1e-9 * np.abs(heat).max())
    wrong = bridge.heat_forms(transposed(array), step)
    normal = noise.normals(9, noise.Stream.BATH, np.arange(block), 0, d)
    assert np.abs(bridge.evaluate(wrong, before[:, 1].T, normal).T - found[:, 1]).max() > 1e-3  # the twin


# ---------------------------------------------------------------------- mean rates, exact at any step


@pytest.mark.parametrize("name", list(ARRAYS))
@pytest.mark.parametrize("step", [0.1, 3.0, 30.0])
def test_mean_heat_and_work_are_exact_at_any_step(name, step):
    """Of the steady state; the transposed coupling, and recoil that is forgotten, are caught."""
    array = ARRAYS[name]
    equations = array.langevin()
    n_steps = max(4, math.ceil(12.0 / step))
    options = {"step": step, "n_steps": n_steps, "n_trajectories": 8000, "save_every": n_steps, "seed": 6}
    record = sb.simulate(array, ledger=array, initial=equations.stationary, **options)
    duration = n_steps * step
    steady = equations.stationary_covariance()
    heat, work = record.heat[:, 0].to_numpy() / duration, record.work[:, 0].to_numpy() / duration
    used = np.abs(array.coupling) > 0
    exact = thermodynamics.heat_current(array, steady) + recoil_power(array)
    assert np.abs(z_of(heat, exact)).max() < 5
    assert np.abs(z_of(work[:, used], thermodynamics.power(array, steady)[used])).max() < 5
    assert not work[:, ~used].any()
    # the twins
    other = transposed(array)
    wrong = other.langevin().stationary_covariance()
    wrong_power = thermodynamics.power(other, wrong)
    assert np.abs(z_of(work[:, used], wrong_power[used])).max() > 5
    assert np.abs(z_of(heat, -exact)).max() > 5
    if name == "recoil":
        assert np.abs(z_of(heat, exact - recoil_power(array))).max() > 5


def test_mean_work_of_a_pair_has_its_closed_form():
    """Loos and Klapp: heat of the overdamped pair, from a formula that shares nothing with the package."""
    _, heat = systems.overdamped_truth()
    array = systems.overdamped_pair()
    record = sb.simulate(
        array, step=2.0, n_steps=40, n_trajectories=20_000, save_every=40, ledger=array,
        initial=array.langevin().stationary,
    )  # fmt: skip
    assert np.abs(z_of(record.heat[:, 0].to_numpy() / 80.0, heat)).max() < 5
    assert np.abs(z_of(record.heat[:, 0].to_numpy() / 80.0, -heat)).max() > 5


@pytest.mark.parametrize("overdamped", [False, True])
@pytest.mark.parametrize("step", [0.2, 4.0])
def test_mean_power_of_a_drive(overdamped, step):
    r"""Over whole cycles, :math:`\tfrac12 F \mathrm{Re}(-i\omega q\,e^{i\phi})`; with the phase of the drive."""
    array = systems.overdamped_pair() if overdamped else systems.underdamped_pair()
    equations = array.langevin()
    force, phase, cycles = 0.9, 0.7, 4
    omega = 2 * math.pi / 4.0  # a whole number of steps in each cycle
    drive = Drive(1, force, omega, phase)
    protocol = Protocol.constant(equations, drives=[drive])
    matrix = array.force_matrix - 1j * omega * np.diag(array.friction)
    if array.mass is not None:
        matrix = matrix - omega**2 * np.diag(array.mass)
    amplitude = np.linalg.solve(matrix, [0.0, force * np.exp(-1j * phase)])
    exact = 0.5 * force * (-1j * omega * amplitude[1] * np.exp(1j * phase)).real
    per_cycle = 4.0 / step
    settle = round(16 * per_cycle)
    n_steps = settle + round(cycles * per_cycle)
    record = sb.simulate(
        protocol, step=step, n_steps=n_steps, save_every=round(cycles * per_cycle), n_trajectories=20_000,
        ledger=array, initial=equations.stationary, seed=5,
    )  # fmt: skip
    power = np.diff(record.drive_work.to_numpy(), axis=1)[:, -1] / (cycles * 4.0)
    z = z_of(power[:, 1], exact)
    assert abs(z) < 5
    assert not power[:, 0].any()
    assert abs(z_of(power[:, 1], 0.5 * force * abs(omega * amplitude[1]))) > 5  # the twin: in phase with the velocity
    assert exact > 0


# ---------------------------------------------------------------------- forces beyond the linear ones


def spring(x_j, x_k, p):
    stretch = x_k - x_j
    return p[0] * stretch * stretch * stretch


def nonlinear(*, reciprocal=False, temperature=(1.0, 0.8)):
    """A non-reciprocal pair with cubic traps and a cubic spring between them."""
    array = systems.underdamped_pair(c=(0.3, 0.3) if reciprocal else (0.4, 0.1), temperature=temperature)
    strength = np.array([[[0.0], [0.1]], [[0.1], [0.0]]]) * (1.0 if reciprocal else np.array([[[1.0]], [[0.2]]]))
    forces = (fields.duffing(np.array([0.2, 0.1])), Force(function=spring, parameters=strength))
    return replace(array, forces=forces)


@pytest.mark.parametrize("drives", [(), (Drive(0, 0.7, 1.3, 0.2),)])
def test_first_law_with_forces_path_by_path(drives):
    array = nonlinear()
    system = Protocol.constant(array.langevin(), drives=drives) if drives else array
    record = sb.simulate(
        system, step=0.15, n_steps=80, n_trajectories=30, save_every=4, ledger=array, seed=3,
        initial=Moments(np.zeros(4), np.eye(4)),
    )  # fmt: skip
    received = (record.work.sum("source") + record.heat + record.drive_work).to_numpy()
    np.testing.assert_allclose(
        np.diff(energy(array, record), axis=1), np.diff(received, axis=1), atol=1e-12 * np.abs(received).max()
    )
    assert np.abs(record.work.to_numpy()[:, -1, 0, 0]).min() > 0


def test_work_of_kicks_without_noise_or_friction_changes_the_energy_alone():
    """A cold, frictionless pair: then heat is zero, and the first law tells the work of the kicks independently."""
    array = replace(nonlinear(temperature=(0.0, 0.0)), friction=np.zeros(2))
    start = Moments(np.array([0.8, -0.5, 0.2, 0.3]), np.zeros((4, 4)))
    record = sb.simulate(array, step=0.1, n_steps=50, ledger=array, initial=start, allowed_bias=10.0)
    assert np.abs(record.heat.to_numpy()).max() < 1e-13
    assert np.abs(record.work.to_numpy()[0, -1]).min() > 1e-3
    warm = sb.simulate(nonlinear(), step=0.1, n_steps=50, ledger=nonlinear(), initial=start)
    assert np.abs(warm.heat.to_numpy()).min() > 1e-6  # the twin


def deterministic_work(array, start, duration):
    """Work of every force along the path without noise, by an ODE solver."""
    n = 2

    def rates(_, y):
        q, v = y[:n], y[n : 2 * n]
        own = np.array([-0.2 * q[0] ** 3, -0.1 * q[1] ** 3])
        pair = np.zeros((n, n))
        for j, k in ((0, 1), (1, 0)):
            strength = float(array.forces[1].parameters[j, k, 0])
            pair[j, k] = strength * (q[k] - q[j]) ** 3 + array.coupling[j, k] * q[k]
        force = -array.stiffness * q + own + pair.sum(axis=1) - array.friction * v
        work = pair + np.diag(own)
        return np.concatenate([v, force / array.mass, (work * v[:, None]).ravel(), -array.friction * v**2])

    y = integrate.solve_ivp(rates, (0, duration), np.concatenate([start, np.zeros(6)]), rtol=1e-11, atol=1e-12).y[:, -1]
    return y[4:8].reshape(2, 2), y[8:]


def test_order_of_the_work_by_kicks():
    """Beside an ODE solver, without noise: slope two of work and heat in the step, for each directed force."""
    array = nonlinear(temperature=(0.0, 0.0))
    unit = array.langevin().unit
    start = np.array([1.1, -0.7, 0.3, 0.5])
    work, heat = deterministic_work(array, start, 4.0)
    errors = []
    for n in (40, 80, 160):
        record = sb.simulate(
            array, step=4.0 / n, n_steps=n, save_every=n, ledger=array, allowed_bias=10.0,
            initial=Moments(start / unit, np.zeros((4, 4))),
        )  # fmt: skip
        errors.append([
            np.abs(record.work.to_numpy()[0, 0] - work).max(), np.abs(record.heat.to_numpy()[0, 0] - heat).max()
        ])  # fmt: skip
    slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(slopes - 2.0) < 0.2), (errors, slopes)
    assert np.max(errors[-1]) < 1e-3 < np.abs(work - work.T).max()  # the twin: transposed, it is far away


def test_a_conservative_array_does_no_work_in_equilibrium():
    """Cubic traps, a reciprocal cubic spring and one temperature: no work in the mean; two temperatures are caught."""
    options = {"step": 0.1, "n_steps": 400, "save_every": 100, "n_trajectories": 4000, "seed": 4}
    worst = []
    for temperature in ((0.7, 0.7), (2.0, 0.2)):
        array = nonlinear(reciprocal=True, temperature=temperature)
        record = sb.simulate(array, ledger=array, initial=array.langevin().stationary, **options)
        rate = np.diff(record.work.to_numpy(), axis=1)[:, -1] / 10.0  # after 30 units of time
        heat = np.diff(record.heat.to_numpy(), axis=1)[:, -1] / 10.0
        worst.append(max(np.abs(z_of(rate, 0.0)).max(), np.abs(z_of(heat, 0.0)).max()))
    assert worst[0] < 5
    assert worst[1] > 10  # the twin


def test_energy_balance_of_the_nonlinear_tweezer_pair():
    """Heat of gas and recoil against the definition, gamma (k_B T - m v^2) and D/m, along the same paths."""
    path = Path(__file__).parent.parent / "scenarios" / "nonlinear_pair.toml"
    scenario = sb.Scenario.from_toml(path)
    array = scenario.oscillators()
    step = scenario.run.step
    n_steps = 4000
    record = sb.simulate(
        array, step=step, n_steps=n_steps, save_every=20, n_trajectories=256, ledger=array, seed=2,
        initial=array.langevin().stationary,
    )  # fmt: skip
    duration = n_steps * step - 20 * step
    heat = (record.heat[:, -1] - record.heat[:, 0]).to_numpy() / duration
    # Means over the same kept states: the fluctuations of the two routes are the same, and their difference is small.
    square = (record.velocity.to_numpy() ** 2)[:, :-1]
    square = 0.5 * (square + (record.velocity.to_numpy() ** 2)[:, 1:])
    defined = array.friction / array.mass * (array.thermal_energy - array.mass * square.mean(axis=1))
    recoil = np.diagonal(np.asarray(array.diffusion).real) / array.mass
    assert np.abs(z_of(heat, (defined + recoil).mean(axis=0))).max() < 5
    work = (record.work[:, -1] - record.work[:, 0]).to_numpy().sum(axis=-1) / duration
    gain = np.diff(energy(array, record)[:, [0, -1]], axis=1)[:, 0] / duration
    np.testing.assert_allclose(heat + work, gain, atol=1e-10 * np.abs(work).max())
    assert np.abs(array.coupling - array.coupling.T).max() > 0.1 * np.abs(array.coupling).max()


# ---------------------------------------------------------------------- what is kept, and refusals


@pytest.mark.parametrize("array", [systems.underdamped_pair(diffusion=RECOIL), nonlinear()], ids=["linear", "forces"])
def test_what_is_kept_does_not_change_the_ledger(array):
    system = Protocol.constant(array.langevin(), drives=[Drive(0, 0.7, 1.3, 0.2)])
    options = {"step": 0.1, "n_steps": 60, "n_trajectories": 9, "ledger": array, "seed": 1}
    fine, coarse = (sb.simulate(system, save_every=save_every, **options) for save_every in (1, 12))
    for name in ("work", "heat", "drive_work"):
        np.testing.assert_array_equal(fine[name][:, 11::12], coarse[name])
    assert np.abs(coarse.heat.to_numpy()).min() > 0


def test_ledgers_that_cannot_be_kept_are_refused():
    array = systems.underdamped_pair()
    equations = array.langevin()
    options = {"step": 0.1, "n_steps": 4, "ledger": array}
    softer = replace(equations, drift_matrix=0.9 * equations.drift_matrix)
    changing = Protocol(pieces=((1.0, equations), (math.inf, softer)))
    kicked = Protocol.constant(equations, kicks=[sb.Kick(0.2, shift=np.ones(4))])
    for system in (changing, kicked):
        with pytest.raises(PlanError, match="coefficients that do not change with time"):
            sb.simulate(system, **options)
    with pytest.raises(PlanError, match=r"drives\[0\] drives a coordinate"):
        sb.simulate(Protocol.constant(equations, drives=[Drive(None, 1.0, 1.0, coordinate=2)]), **options)
    slow = replace(systems.overdamped_pair(), forces=(fields.duffing(np.ones(2)),))
    with pytest.raises(PlanError, match="give the particles a mass"):
        sb.simulate(slow, **{**options, "ledger": slow, "step": 0.01})
    rng = np.random.default_rng(0)
    coupling = 1e-3 * rng.normal(size=(60, 60)) * ~np.eye(60, dtype=bool)
    ones = np.ones(60)
    large = Oscillators(
        mass=ones, stiffness=ones, friction=ones, bath_temperature=ones, coupling=coupling, reduced=True
    )
    with pytest.raises(PlanError, match="tables of"):
        sb.simulate(large, step=0.1, n_steps=4, ledger=large)


# ---------------------------------------------------------------------- resume


def tree_digest(path):
    digest = hashlib.sha256()
    for file in sorted(p for p in Path(path).rglob("*") if p.is_file() and p.parent.name != "lock"):
        digest.update(str(file.relative_to(path)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def cubic(x_j, x_k, p):
    stretch = x_k - x_j
    return p[0] * stretch * stretch * stretch


def full_plan(**change):
    """Ledger, drives, forces of the package and of the user's own."""
    scenario = systems.pair_scenario(0.4, 0.1, cubic_stiffness=0.2).model_copy(
        update={"drive": [{"particle": 0, "force": 0.5, "frequency": 0.9}]}
    )
    own = Force(function=cubic, parameters=np.array([[[0.0], [0.1]], [[0.02], [0.0]]]))
    settings = {"step": 0.05, "n_steps": 200, "n_trajectories": 40, "save_every": 2, "seed": 3, **change}
    return sb.Plan(scenario=scenario, forces=(own,), ledger=True, **settings)


def run_with_power_cuts(plan, path, monkeypatch):
    """Run serially, stopped after each unit that is written, until nothing is left; how often it was stopped."""
    write, cuts = sb.Store.write, 0

    class PowerCut(BaseException):
        pass

    def once(store, *arguments):
        write(store, *arguments)
        raise PowerCut

    monkeypatch.setattr(sb.Store, "write", once)
    while True:
        try:
            sb.run(plan, path, workers="serial")
        except PowerCut:
            cuts += 1
        else:
            return cuts


def test_a_ledger_continues_from_any_unit(tmp_path, monkeypatch):
    """In memory and in a store cut into any units, stopped after each of them: the same bytes."""
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan: cls(16, 30)))
    plan = full_plan()
    sb.run(plan, tmp_path / "whole.zarr", workers="serial")
    path = tmp_path / "parts.zarr"
    assert run_with_power_cuts(plan, path, monkeypatch) == 12
    assert tree_digest(path) == tree_digest(tmp_path / "whole.zarr")
    array = plan.scenario.oscillators()
    options = {"step": 0.05, "n_steps": 200, "n_trajectories": 40, "save_every": 2, "seed": 3}
    memory = sb.simulate(plan.system, ledger=array, initial=array.initial_moments("thermal"), **options)
    stored = sb.open(path)
    for name in ("work", "heat", "drive_work"):
        np.testing.assert_array_equal(stored[name], memory[name])
    assert np.abs(memory.work.to_numpy()[:, -1]).min() > 0


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import stochbind as sb
import test_ledger
plan = test_ledger.full_plan(n_steps=40_000, n_trajectories=128, save_every=100)
if __name__ == "__main__":
    path, kind = sys.argv[1:]
    if kind == "serial":
        sb.run(plan, path, workers="serial")
    elif kind == "threads":
        sb.run(plan, path)
    elif kind == "processes":
        with sb.process_workers(2) as workers:
            sb.run(plan, path, workers=workers)
    else:
        with sb.local_dask_workers(2) as workers:
            sb.run(plan, path, workers=workers)
"""


@pytest.mark.slow
def test_killed_with_sigkill_a_ledger_loses_nothing(tmp_path):
    """Driver and workers killed in the middle, and continued by other kinds of workers: the same bytes."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    subprocess.run([sys.executable, script, tmp_path / "whole.zarr", "serial"], check=True)
    path, kills = tmp_path / "killed.zarr", 0
    for kind in ("threads", "dask"):
        process = subprocess.Popen([sys.executable, script, path, kind], start_new_session=True)
        done, deadline = units(path), time.monotonic() + 60
        while units(path) <= done and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        kills += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        sb.Store.open(path)  # readable after every kill
    assert kills >= 1
    subprocess.run([sys.executable, script, path, "processes"], check=True)
    assert tree_digest(path) == tree_digest(tmp_path / "whole.zarr")


def units(path):
    """Number of finished units, without opening the store."""
    return len(list((path / "engine" / "ledger").glob("c.*")))
