"""Trajectories in memory: the numbers of a run, refusals, complex amplitudes, protocols and drives, threads.

Bias that a statistical test can detect: with n independent values, 5/sqrt(n) standard deviations of one value.
"""

import math
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind import amplitudes
from stochbind.engine import simulation
from stochbind.engine.blocks import n_cores
from stochbind.errors import PlanError, StochbindError
from stochbind.forces import Force
from stochbind.langevin import Langevin, Moments
from stochbind.protocols import Drive, Kick, Protocol

OPTIONS = {"step": 0.1, "n_steps": 10, "n_trajectories": 3}


def pull(x, p):
    return -p[0] * x * x * x


def push(x, p):
    return p[0] * x


def by_hand(strength):
    """A pair in which each particle has a force of the user's own."""
    force = Force(function=pull, parameters=np.full((2, 1), strength))
    return systems.underdamped_pair().langevin().with_forces(force)


def z_of(values, exact):
    """Deviation of the mean of independent values from the exact one, in standard errors; along the first axis."""
    return (values.mean(axis=0) - exact) / (values.std(axis=0, ddof=1) / math.sqrt(len(values)))


# ---------------------------------------------------------------------- the numbers of a run


@pytest.mark.parametrize(
    "own", [(), (Force(function=pull, parameters=np.full((2, 1), 0.3)),)], ids=["linear", "forces"]
)
def test_the_numbers_are_those_of_a_run_bit_for_bit(own, tmp_path):
    scenario = systems.pair_scenario(0.5, 0.2).model_copy(
        update={"drive": [{"particle": 1, "force": 0.2, "frequency": 0.7, "phase": 0.3}]}
    )
    plan = sb.Plan(
        scenario=scenario, step=0.05, n_steps=60, save_every=4, n_trajectories=37, seed=5, ledger=True, forces=own
    )
    sb.run(plan, tmp_path / "run.zarr")
    stored = sb.open(tmp_path / "run.zarr")
    options = {"step": 0.05, "n_steps": 60, "save_every": 4, "n_trajectories": 37}
    array = scenario.oscillators()
    start = array.initial_moments("thermal")
    found = sb.simulate(plan.system, seed=5, initial=start, ledger=array, **options)
    for name in ("position", "velocity", "work", "heat", "drive_work"):
        expected = stored[name].to_numpy()
        np.testing.assert_array_equal(found[name], expected[..., 0] if name in ("position", "velocity") else expected)
    np.testing.assert_array_equal(found.time, stored.time)
    other = sb.simulate(plan.system, seed=6, initial=start, ledger=array, **options)
    assert np.abs(other.position - found.position).max() > 0.1  # the twin


@pytest.mark.parametrize("n_trajectories", [257, 600])
def test_numbers_do_not_depend_on_threads_trajectories_or_what_is_kept(n_trajectories):
    system, start = by_hand(0.2), Moments(np.ones(4), np.eye(4))
    options = {"step": 0.1, "n_steps": 24, "initial": start, "seed": 8}
    whole = sb.simulate(system, n_trajectories=600, n_threads=1, **options)
    found = sb.simulate(system, n_trajectories=n_trajectories, n_threads=3, save_every=6, **options)
    for name in ("position", "velocity"):
        np.testing.assert_array_equal(found[name], whole[name][:n_trajectories, 5::6])
    assert whole.position[:, -1].to_numpy().std() > 0.1
    assert not np.array_equal(whole.position[0], whole.position[1])  # the twin: trajectories differ


def test_reference_in_numpy_makes_the_same_numbers():
    found, expected = (
        sb.simulate(by_hand(0.2), step=0.1, n_steps=6, n_trajectories=5, compiled=compiled)
        for compiled in (True, False)
    )
    np.testing.assert_array_equal(found.position, expected.position)
    assert np.abs(found.position).max() > 0


# ---------------------------------------------------------------------- refusals

WRONG = [
    *({"step": value} for value in (math.nan, -1, 0, True, "a", None, math.inf, [0.1], 10**400, 1e308, 1e-300)),
    *({"n_steps": value} for value in (0, -1, True, 1.5, "3", None, 2**60, math.nan)),
    *({"n_trajectories": value} for value in (0, -1, True, 1.5, 2**50, 10**9)),
    *({"save_every": value} for value in (0, -1, True, 1.5, 3, 20, None)),
    *({"seed": value} for value in (-1, True, 1.5, 2**63, "x", None)),
    *({"solver": value} for value in ("nope", 3, ["exact"], b"exact", {"exact": 1})),
    *({"allowed_bias": value} for value in (math.nan, -1, 0, True, "a", math.inf, None)),
    *({"n_threads": value} for value in (0, -1, True, 1.5, "a")),
    *({"ledger": value} for value in (True, 3, "pair")),
    {"ledger": systems.underdamped_pair(), "solver": "heun", "step": 0.01},
    {"ledger": systems.underdamped_pair(), "solver": "sdeint:itoEuler", "allowed_bias": 3.0},
    {"initial": "rest"},
    {"initial": (np.zeros(4), np.eye(4))},
    {"initial": Moments(np.zeros(3), np.eye(3))},
    {"initial": Moments(np.zeros(4), np.eye(3))},
    {"initial": Moments(np.zeros((4, 1)), np.eye(4))},
    {"initial": Moments(np.zeros(4), -np.eye(4))},
    {"initial": Moments(np.zeros(4), np.diag([1.0, 1.0, 0.0, 1.0]) + np.eye(4, k=1) + np.eye(4, k=-1))},
    {"initial": Moments(np.zeros(4), np.eye(4) + np.eye(4, k=1))},
    {"initial": Moments(np.full(4, math.nan), np.eye(4))},
    {"initial": Moments(np.zeros(4), np.full((4, 4), math.inf))},
    {"initial": Moments([1, 2, 3, "a"], np.eye(4))},
    {"initial": Moments(np.zeros(4, complex), np.eye(4))},
]


@pytest.mark.parametrize(
    "wrong", WRONG, ids=[f"{name}-{i}" for i, case in enumerate(WRONG) for name in [next(iter(case))]]
)
def test_wrong_arguments_are_refused_in_one_sentence(wrong):
    with pytest.raises(StochbindError) as caught:
        sb.simulate(systems.underdamped_pair().langevin(), **{**OPTIONS, **wrong})
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 300
    name = next(iter(wrong))
    assert f"`{name}" in text or name in ("ledger", "n_trajectories") or wrong == {"step": 1e308}


@pytest.mark.parametrize("wrong", [{"step": True}, {"solver": ["exact"]}, {"allowed_bias": True}, {"ledger": 3},
                                   {"forces": 3}, {"forces": (3,)}, {"forces": None}, {"initial": 3}])  # fmt: skip
def test_plans_refuse_the_same(wrong):
    with pytest.raises(PlanError, match=f"`{next(iter(wrong))}`"):
        sb.Plan(**{"scenario": systems.pair_scenario(0.5, 0.2), **OPTIONS, **wrong})


@pytest.mark.parametrize("system", [3, None, "pair", np.eye(4)])
def test_only_equations_can_be_simulated(system):
    with pytest.raises(PlanError, match="`system` must be"):
        sb.simulate(system, **OPTIONS)


@pytest.mark.parametrize(
    "other",
    [systems.overdamped_pair(), systems.underdamped_pair(c=(0.2, 0.5)), systems.oscillator(3.0),
     systems.underdamped_pair(mass=(1.2, 0.7)), systems.underdamped_pair(friction=(0.3, 0.6))],
)  # fmt: skip
def test_the_ledger_of_other_oscillators_is_refused(other):
    system = systems.underdamped_pair().langevin()
    with pytest.raises(PlanError, match="`ledger` must be the Oscillators that `system` describes"):
        sb.simulate(system, ledger=other, **OPTIONS)
    constant = replace(system, constant_drift=np.array([0.0, 0.0, 0.1, 0.0]))
    with pytest.raises(PlanError, match="their equations are others"):
        sb.simulate(constant, ledger=systems.underdamped_pair(), **OPTIONS)
    sb.simulate(system, ledger=systems.underdamped_pair(), **OPTIONS)  # equal, though another object


def test_nothing_is_done_before_the_refusal(monkeypatch):
    def never(*_, **__):
        raise AssertionError("worked before looking")

    for solver in simulation.SOLVERS.values():
        monkeypatch.setattr(type(solver), "program", never)
    for wrong in ({"initial": Moments(np.zeros(3), np.eye(3))}, {"n_trajectories": 10**9}, {"ledger": 3}):
        with pytest.raises(StochbindError):
            sb.simulate(systems.underdamped_pair(), **{**OPTIONS, **wrong})


# ---------------------------------------------------------------------- complex amplitudes


def binding_pair():
    h, gamma = amplitudes.optical_binding_pair(0.3, 0.4, 0.2, np.array([[1.0, 0.3 + 0.4j], [0.3 - 0.4j, 0.8]]))
    return h - 0.25j * np.eye(2), gamma


@pytest.mark.parametrize("squeezed", [False, True])
def test_complex_amplitudes_have_the_exact_correlations(squeezed):
    """Occupations, cross-correlations and anomalous ones, to 2 % at 5 sigma; conjugated noise is another system."""
    h, gamma = binding_pair()
    c = np.array([[0.3, 0.2j], [0.2j, -0.1 + 0.2j]]) if squeezed else None
    system = Langevin.from_complex(h, gamma, c)
    twin = Langevin.from_complex(h, gamma.conj(), None if c is None else c.conj())
    start = system.stationary
    record = sb.simulate(system, step=0.7, n_steps=3, n_trajectories=60_000, save_every=3, initial=start, seed=4)
    assert list(record.data_vars) == ["amplitude"]
    a = record.amplitude.to_numpy()[:, 0]
    products = {"normal": (a[:, :, None] * a[:, None, :].conj()), "anomalous": a[:, :, None] * a[:, None, :]}
    worst, caught = 0.0, 0.0
    for name, function in (("normal", amplitudes.correlation), ("anomalous", amplitudes.anomalous_correlation)):
        for part in (np.real, np.imag):
            values = part(products[name])
            used = values.std(axis=0) > 0
            exact, wrong = (part(function(s.stationary_covariance())) for s in (system, twin))
            with np.errstate(all="ignore"):
                worst = max(worst, np.abs(z_of(values, exact)[used]).max())
                caught = max(caught, np.abs(z_of(values, wrong)[used]).max())
    assert worst < 5
    assert caught > 20
    # by a second route: the Lyapunov equation of the amplitudes, -iHN + iNH^+ + Gamma = 0
    n = amplitudes.correlation(system.stationary_covariance())
    np.testing.assert_allclose(-1j * h @ n + 1j * n @ h.conj().T + gamma, 0, atol=1e-12)


# ---------------------------------------------------------------------- protocols


def quench(equations):
    softer = replace(equations, drift_matrix=0.6 * equations.drift_matrix)
    return Protocol(pieces=((1.07, equations), (0.6, softer), (math.inf, equations)))


def kicked(equations):
    flip = np.diag([1.0, 1.0, -1.0, 0.5])
    return Protocol.constant(
        equations, kicks=[Kick.momentum(equations, 0.55, 1, 0.9), Kick(1.2, matrix=flip), Kick(0.0, shift=np.ones(4))]
    )


def driven(equations):
    return Protocol.constant(equations, drives=[Drive(0, 0.8, 1.1, 0.4), Drive(1, 0.3, 0.0, 0.2)])


def periodic(equations):
    stronger = replace(equations, noise_covariance=3.0 * equations.noise_covariance)
    return Protocol(
        pieces=((0.31, equations), (0.4, stronger)), periodic=True, kicks=[Kick(0.2, shift=np.array([0.0, 0, 1, 0]))],
        drives=[Drive(1, 0.5, 2.0)],
    )  # fmt: skip


@pytest.mark.parametrize("make", [quench, kicked, driven, periodic])
def test_protocols_agree_with_their_exact_moments(make):
    """Means to 0.02 and second moments to 3 % at 5 sigma, also with steps longer than a period."""
    protocol = make(systems.underdamped_pair().langevin())
    plain = protocol.pieces[0][1]
    start = Moments(np.array([0.5, -0.3, 0.2, 0.0]), np.diag([0.5, 1.0, 0.8, 0.3]))
    caught = 0.0
    for step, n_steps in ((0.1, 24), (1.2, 2)):
        record = sb.simulate(
            protocol, step=step, n_steps=n_steps, save_every=n_steps, n_trajectories=40_000, initial=start, seed=2
        )
        state = np.concatenate([record.position[:, 0], record.velocity[:, 0]], axis=-1) / plain.unit
        for system in (protocol, plain):
            exact = system.moments(n_steps * step, start)
            second = exact.covariance + np.outer(exact.mean, exact.mean)
            products = state[:, :, None] * state[:, None, :]
            worst = max(np.abs(z_of(state, exact.mean)).max(), np.abs(z_of(products, second)).max())
            if system is protocol:
                assert worst < 5
            else:
                caught = max(caught, worst)
    assert caught > 10  # the twin: as if nothing were done to the equations


@pytest.mark.parametrize("step", [0.13, 4.7])
def test_drives_make_the_steady_response(step):
    """Amplitude and phase in the mean of the ensemble, after transients; the conjugated response is caught."""
    array = systems.underdamped_pair()
    equations = array.langevin()
    drive = Drive(0, 1.5, 0.9, 0.6)
    protocol = Protocol.constant(equations, drives=[drive])
    response = protocol.steady_response(drive)
    # by a second route: the dynamical matrix of the masses, m (-w^2 - i w g) + force matrix
    matrix = -np.diag(array.mass) * 0.9**2 - 0.9j * np.diag(array.friction) + array.force_matrix
    amplitude = np.linalg.solve(matrix, [1.5 * np.exp(-0.6j), 0.0])
    np.testing.assert_allclose(response[:2] * equations.unit[:2], amplitude, rtol=1e-12)
    n_steps = math.ceil(60 / step) // 4 * 4 + 4
    record = sb.simulate(
        protocol, step=step, n_steps=n_steps, save_every=n_steps // 4, n_trajectories=20_000, seed=1,
        initial=equations.stationary,
    ).isel(time=slice(2, None))  # fmt: skip
    phase = np.exp(-0.9j * record.time.to_numpy())[:, None]
    position = record.position.to_numpy()
    assert np.abs(z_of(position, (amplitude * phase).real)).max() < 5
    assert np.abs(z_of(position, (amplitude.conj() * phase).real)).max() > 20  # the twin
    assert np.abs(z_of(position, np.zeros_like(phase.real))).max() > 20  # the twin: no drive


# ---------------------------------------------------------------------- threads and cores


def test_threads_with_different_forces_do_not_disturb_each_other():
    """Compiled at the same time, with functions of the same kind number."""
    base = systems.oscillator(5.0).langevin()
    tasks = [
        base.with_forces(Force(function=function, parameters=np.array([[strength]])))
        for function in (pull, push)
        for strength in (0.1, 0.3)
    ]
    options = {"step": 0.1, "n_steps": 200, "n_trajectories": 300, "initial": Moments(np.ones(2), np.eye(2)), "seed": 3}
    expected = [sb.simulate(task, compiled=False, **{**options, "n_trajectories": 3}) for task in tasks]
    found, faults = [None] * len(tasks), []

    def work(index):
        try:
            found[index] = sb.simulate(tasks[index], **options)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.position[:3], other.position)
    assert len({float(one.position[0, -1, 0]) for one in found}) == len(tasks)  # the twin: they differ


def test_cores_are_all_in_the_main_process_and_one_in_a_worker():
    assert n_cores() == len(os.sched_getaffinity(0))
    with sb.process_workers(1) as workers:
        assert answer(workers) == 1
    with sb.local_dask_workers(1) as workers:
        assert answer(workers) == 1


def answer(workers):
    handle = workers.submit(n_cores)
    while handle not in workers.wait({handle}, 60.0):
        pass
    return workers.result(handle)


def test_cores_are_one_in_a_thread_of_dask():
    """A worker that is no process of ours, as in a cluster of threads."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(n_cores).result() == 1


def test_ledgers_of_heavier_particles_are_refused():
    """All of a mass, a spring, a drag and a temperature doubled: the same scaled equations, twice the energies."""
    array = systems.underdamped_pair()
    names = ("mass", "stiffness", "friction", "bath_temperature", "coupling")
    doubled = replace(array, **{name: 2.0 * getattr(array, name) for name in names})
    with pytest.raises(PlanError, match="`ledger` must be the Oscillators"):
        sb.simulate(array.langevin(), step=0.1, n_steps=1, ledger=doubled)


def test_overflow_is_divergence_in_numpy_too():
    import math as plain_math

    def explosive(x, p):
        return p[0] * plain_math.exp(300.0 * x)

    equations = systems.oscillator(3.0).langevin().with_forces(sb.Force(function=explosive, parameters=[[1e-6]]))
    options = {"step": 0.05, "n_steps": 400, "n_trajectories": 4, "save_every": 40, "seed": 1, "allowed_bias": 1e9}
    lost = [sb.simulate(equations, **options, compiled=way).attrs for way in (True, False)]
    assert lost[0]["diverged"] == lost[1]["diverged"] == [0, 1, 2, 3]
    assert lost[0]["diverged_time"] == lost[1]["diverged_time"]
    assert all(0 < time <= 20.0 for time in lost[0]["diverged_time"])


def test_steps_that_cannot_be_judged_are_told():
    runaway = replace(systems.oscillator(2.0), stiffness=np.array([-1.0])).langevin()
    runaway = runaway.with_forces(sb.fields.duffing(np.array([-1.0])))
    with pytest.warns(UserWarning, match="No equilibrium that holds"):
        sb.simulate(runaway, step=0.01, n_steps=2)
