"""Forces of the user's own in runs: every kind of worker, refusals, identity, divergence; and the cache of loops."""

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind import fields
from stochbind.engine import stored_forces
from stochbind.engine.stored_forces import identity
from stochbind.errors import PlanError, StochbindError, StoreMismatchError
from stochbind.forces import Force
from stochbind.langevin import Moments
from test_ledger import run_with_power_cuts, tree_digest

HERE = str(Path(__file__).parent)
CLI = Path(sys.executable).parent / "stochbind"
STRENGTH = 0.2


def hard(x, p):
    return -p[0] * x * x * x


def spring(x_j, x_k, p):
    stretch = x_k - x_j
    return p[0] * stretch * stretch * stretch


def soft(x, p):
    """Beyond the barrier nothing holds: from there the path leaves all bounds in a finite time."""
    return p[0] * x * x * x


FORCES = (
    Force(function=hard, parameters=np.array([[0.2], [0.1]])),
    Force(function=spring, parameters=np.array([[[0.0], [0.1]], [[0.02], [0.0]]])),
)


def own_plan(forces=FORCES, **change):
    settings = {"step": 0.05, "n_steps": 40, "n_trajectories": 40, "save_every": 4, "seed": 3, **change}
    return sb.Plan(scenario=systems.pair_scenario(0.4, 0.1), forces=forces, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "run.zarr"
    sb.run(own_plan(), path, workers="serial")
    return path


# ---------------------------------------------------------------------- workers


def test_all_kinds_of_workers_write_the_same_files(finished, tmp_path):
    expected = tree_digest(finished)
    sb.run(own_plan(), tmp_path / "threads.zarr")
    with sb.process_workers(2) as workers:
        sb.run(own_plan(), tmp_path / "processes.zarr", workers=workers)
    with sb.local_dask_workers(2) as workers:
        sb.run(own_plan(), tmp_path / "dask.zarr", workers=workers)
    for name in ("threads", "processes", "dask"):
        assert tree_digest(tmp_path / f"{name}.zarr") == expected, name
    sb.run(own_plan(FORCES[:1]), tmp_path / "other.zarr")
    assert tree_digest(tmp_path / "other.zarr") != expected  # the twin


def test_numpy_functions_give_the_same_numbers(finished, tmp_path):
    forces = tuple(Force(function=f.function, parameters=f.parameters, vectorized=True) for f in FORCES)
    sb.run(own_plan(forces), tmp_path / "run.zarr")
    found, expected = (sb.open(path)["position"].to_numpy() for path in (tmp_path / "run.zarr", finished))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert own_plan(forces).fingerprint != own_plan().fingerprint
    wrong = tuple(Force(function=f.function, parameters=1.01 * f.parameters, vectorized=True) for f in FORCES)
    sb.run(own_plan(wrong), tmp_path / "wrong.zarr")
    assert np.abs(sb.open(tmp_path / "wrong.zarr")["position"].to_numpy() - expected).max() > 1e-5  # the twin


def test_a_lambda_is_for_threads_and_dask(finished, tmp_path):
    plan = own_plan((Force(function=lambda x, p: -p[0] * x * x * x, parameters=FORCES[0].parameters), FORCES[1]))
    with (
        sb.process_workers(1) as workers,
        pytest.raises(PlanError, match=r"cannot be handed to other processes .*over threads"),
    ):
        sb.run(plan, tmp_path / "run.zarr", workers=workers)
    sb.run(plan, tmp_path / "run.zarr")  # the same store goes on
    expected = sb.open(finished)["position"]
    np.testing.assert_array_equal(sb.open(tmp_path / "run.zarr")["position"], expected)


# ---------------------------------------------------------------------- faults of functions


def no_number(x, p):
    return None


def pair_of_numbers(x, p):
    return x, p[0]


def too_many(x, y, z, p):
    return x


def text(x, p):
    return p[0] * float(str(x) + "0")


def infinite(x, p):
    return p[0] / (x - x)


def beyond(x, p):
    return p[7] * x


def writes(x, p):
    p[0] += 1.0
    return p[0] * x


def objects(x, p):
    return -p[0] * {"a": x, 1: [x]}["a"]


def gives_up(x, p):
    if abs(x) > 1e-3:
        raise ValueError("too far")
    return 0.0


@pytest.mark.parametrize(
    "function", [no_number, pair_of_numbers, too_many, text, infinite, beyond, writes, objects, gives_up]
)
def test_functions_that_do_not_work_are_told_in_one_sentence(function, tmp_path):
    plan = own_plan((Force(function=function, parameters=np.ones((2, 1))),))
    with pytest.raises(PlanError) as caught:
        sb.run(plan, tmp_path / "run.zarr", workers="serial")
    message = str(caught.value)
    assert f"`{function.__name__}`" in message or "no finite slope" in message
    assert "\n" not in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "function",
    [lambda x, p: np.zeros((3, 3)), lambda x, p: None, lambda x, p: x.astype(complex), lambda x, p: x[100]],
    ids=["shape", "none", "complex", "index"],
)
def test_numpy_functions_that_do_not_work_are_told_in_one_sentence(function):
    equations = systems.oscillator(3.0).langevin()
    force = Force(function=function, parameters=np.ones((1, 1)), vectorized=True)
    with pytest.raises(PlanError, match=r"^The force `<lambda>` (cannot be evaluated \(|has no finite value).*\.$"):
        sb.simulate(equations.with_forces(force), step=0.1, n_steps=2)


def test_functions_that_cannot_be_stored_are_refused():
    for function in (functools.partial(hard), np.sin):
        plan = own_plan((Force(function=function, parameters=np.ones((2, 1)), vectorized=True),))
        with pytest.raises(PlanError, match="neither source nor code"):
            plan.to_dict()
    things = {"a": 1}
    with pytest.raises(PlanError, match=r"uses `things`, .*, which a plan cannot hold"):
        identity(lambda x, p: x * things["a"])


# ---------------------------------------------------------------------- identity


def digest_of(text, **names):
    """Digest of the function `f` that a text defines; its source cannot be found, as in a console."""
    scope = {"np": np, **names}
    exec(text, scope)
    return identity(scope["f"])[1]


def test_the_digest_tells_all_that_a_function_does():
    base = digest_of("def f(x, p): return np.sin(x) * k", k=2.0)
    assert base == digest_of("def f(x, p): return np.sin(x) * k", k=2.0)
    others = {
        digest_of("def f(x, p): return np.cos(x) * k", k=2.0),
        digest_of("def f(x, p): return np.sin(x) * k", k=2.5),
        digest_of("def f(x, p): return np.sin(x) * k", k=np.array(2.0)),
        digest_of("def f(x, p): return -np.sin(x) * k", k=2.0),
        digest_of("def f(x, p, k=2.0): return np.sin(x) * k"),
        digest_of("def f(x, p, k=2.5): return np.sin(x) * k"),
        digest_of("def g(x): return x\ndef f(x, p): return g(x)"),
        digest_of("def g(x): return -x\ndef f(x, p): return g(x)"),
        digest_of("def g(x): return f(x, 1)\ndef f(x, p): return g(x)"),
    }
    assert len(others | {base}) == 10


def made(strength):
    def inner(x, p):
        return -strength * p[0] * x

    return inner


def test_values_that_a_function_closes_over_are_part_of_its_identity(monkeypatch):
    one, other, again = (identity(made(strength)) for strength in (1.0, 2.0, 1.0))
    assert one == again != other
    first, second = (lambda x, p: p[0] * x), (lambda x, p: -p[0] * x)  # on one line, with one source
    assert identity(first) != identity(second)

    def uses_global(x, p):
        return STRENGTH * x

    before = identity(uses_global)
    monkeypatch.setitem(globals(), "STRENGTH", 0.3)
    assert identity(uses_global) != before
    numba = pytest.importorskip("numba")
    assert identity(numba.njit(made(1.0))) == one


def test_another_function_is_another_run(finished):
    def spring(x_j, x_k, p):  # the name of the other, with another sign
        stretch = x_j - x_k
        return p[0] * stretch * stretch * stretch

    other = own_plan((FORCES[0], Force(function=spring, parameters=FORCES[1].parameters)))
    assert other.fingerprint != own_plan().fingerprint
    with pytest.raises(StoreMismatchError, match=r"forces\[1\]\.source"):
        sb.run(other, finished)


# ---------------------------------------------------------------------- without the function

SCRIPT = """
import sys
import numpy as np
import stochbind as sb
{imports}
def mine(x, p):
    {trace}
    return -p[0] * x * x * x

scenario = sb.Scenario.from_toml({scenario!r})
plan = sb.Plan(scenario=scenario, step=0.05, n_steps=40, n_trajectories=40, seed=3,
               forces=(sb.Force(function=mine, parameters=np.full((2, 1), 0.1)),))
if __name__ == "__main__":
    sb.run(plan, sys.argv[1], workers="serial", part=(1, 2) if sys.argv[2] == "half" else None)
"""


def test_a_store_opens_without_the_function_and_the_command_line_says_what_to_do(tmp_path):
    """Made by another program; here the function is not known."""
    scenario = tmp_path / "pair.toml"
    scenario.write_text(systems.pair_scenario(0.4, 0.1).to_toml())
    script, path = tmp_path / "script.py", tmp_path / "run.zarr"
    script.write_text(SCRIPT.format(imports="", trace="pass", scenario=str(scenario)))
    subprocess.run([sys.executable, script, path, "half"], check=True)
    with pytest.warns(UserWarning, match="not finished"):
        assert sb.open(path).attrs["own_forces"] == 1
    options = ["--step", "0.05", "--steps", "40", "--trajectories", "40", "--seed", "3"]
    found = subprocess.run([CLI, "run", scenario, "-o", path, *options], capture_output=True, text=True)
    assert found.returncode == 2
    assert "holds a run with forces of its own (`mine`), which a store knows by name only; continue it" in found.stderr
    assert "Traceback" not in found.stderr
    plan = sb.Store.open(path).plan
    with pytest.raises(PlanError, match="a force of its own, `mine`, which a store does not hold; continue it from"):
        sb.run(plan, path)
    subprocess.run([sys.executable, script, path, "whole"], check=True)
    table = sb.validate(sb.open(path))
    assert table.agrees
    assert any("not linear" in note for note in table.notes)
    assert all(np.isnan(row.exact) for row in table.rows)
    done = subprocess.run([CLI, "validate", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert plan.fingerprint == sb.Store.open(path).plan.fingerprint


def test_opening_a_store_executes_nothing(finished, tmp_path):
    """No part of a store is code: neither a source text nor a pickle."""
    marks = (b"\x80\x04", b"\x80\x05", b"def hard", b"stretch", b"cloudpickle", b"test_forces_in_runs")
    text = (finished / "zarr.json").read_bytes()
    assert b'"hard"' in text  # by name only
    for mark in marks:
        assert mark not in text
    plan = sb.Store.open(finished).plan
    assert plan.forces[0].function is not hard
    with pytest.raises(PlanError, match="which a store does not hold"):
        plan.forces[0].function(1.0, [1.0])


# ---------------------------------------------------------------------- trajectories that diverge


def diverging_plan(**change):
    """Cold enough that few trajectories cross the barrier of the softening spring, hot enough that some do."""
    scenario = systems.pair_scenario(0.2, 0.1, temperature=(0.12, 0.05))
    force = Force(function=soft, parameters=np.array([[1.0], [1.0]]))
    settings = {"step": 0.05, "n_steps": 800, "n_trajectories": 100, "save_every": 8, "seed": 2, **change}
    return sb.Plan(scenario=scenario, forces=(force,), allowed_bias=0.05, **settings)


@pytest.mark.parametrize("ledger", [False, True])
def test_trajectories_that_diverge_are_told_and_leave_the_others_alone(ledger, tmp_path):
    plan = diverging_plan(ledger=ledger)
    store = sb.run(plan, tmp_path / "run.zarr")
    dataset = sb.open(tmp_path / "run.zarr")
    position = dataset["position"].to_numpy()[..., 0]
    lost = ~np.isfinite(position).all(axis=(1, 2))
    assert 2 <= lost.sum() <= 90
    assert dataset.attrs["diverged"] == np.flatnonzero(lost).tolist()
    assert list(store.diverged) == np.flatnonzero(lost).tolist()
    # Velocities and energies leave the range of numbers before positions do.
    fine = np.all(
        [np.isfinite(dataset[name]).all(axis=(2, *range(3, dataset[name].ndim))) for name in store.quantities], 0
    )
    for trajectory, first in store.diverged.items():
        assert fine[trajectory].tolist() == [True] * first + [False] * (100 - first)
    assert fine[~lost].all()
    assert len(set(store.diverged.values())) > 3  # the twin: not all at one time
    # Alone: any trajectory is the same whatever its neighbours do.
    array = plan.scenario.oscillators()
    start = array.initial_moments("thermal")
    options = {"step": 0.05, "n_steps": 800, "save_every": 8, "seed": 2, "initial": start, "allowed_bias": 0.05}
    first_lost = int(np.flatnonzero(lost)[0])
    alone = sb.simulate(plan.system, n_trajectories=max(first_lost, 1), **options)
    assert alone.attrs["diverged"] == []
    np.testing.assert_array_equal(alone.position, position[:first_lost])
    memory = sb.simulate(plan.system, n_trajectories=100, **options)
    assert memory.attrs["diverged"] == dataset.attrs["diverged"]
    slow = sb.simulate(plan.system, n_trajectories=first_lost + 1, compiled=False, **{**options, "n_steps": 80})
    np.testing.assert_array_equal(slow.position, position[: first_lost + 1, :10])


def test_validation_leaves_diverged_trajectories_out(tmp_path):
    sb.run(diverging_plan(ledger=True), tmp_path / "run.zarr")
    table = sb.validate(sb.open(tmp_path / "run.zarr"))
    n_lost = len(sb.open(tmp_path / "run.zarr").attrs["diverged"])
    assert table.n_trajectories == 100 - n_lost < 100
    assert any(f"{n_lost} of 100 trajectories diverged and are left out" in note for note in table.notes)
    assert all(np.isfinite(row.value) for row in table.rows)
    done = subprocess.run([CLI, "validate", tmp_path / "run.zarr"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_a_diverged_run_continues(tmp_path, monkeypatch):
    from stochbind.engine.layout import Layout

    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan: cls(32, 30)))
    plan = diverging_plan(ledger=True)
    sb.run(plan, tmp_path / "whole.zarr", workers="serial")
    path = tmp_path / "parts.zarr"
    assert run_with_power_cuts(plan, path, monkeypatch) == 16
    assert tree_digest(path) == tree_digest(tmp_path / "whole.zarr")


def test_command_line_warns_of_divergence_and_exits_with_zero(tmp_path):
    scenario = tmp_path / "soft.toml"
    text = systems.pair_scenario(0.2, 0.1, temperature=(0.12, 0.05), cubic_stiffness=-1.0).to_toml()
    scenario.write_text(text)
    options = ["--step", "0.05", "--steps", "800", "--save-every", "8", "--trajectories", "100", "--seed", "2"]
    done = subprocess.run(
        [CLI, "run", scenario, "-o", tmp_path / "run.zarr", *options, "--allowed-bias", "0.05", "--parallel", "serial"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    store = sb.Store.open(tmp_path / "run.zarr")
    lost = store.diverged
    first = min(lost, key=lambda trajectory: (lost[trajectory], trajectory))
    assert f"warning: {len(lost)} of 100 trajectories diverged, the first of them trajectory {first} by" in done.stderr
    assert "RuntimeWarning" not in done.stderr
    # The cubic spring of the package and the function of the user's own are the same force.
    expected = sb.run(diverging_plan(), tmp_path / "own.zarr").diverged
    assert lost == expected


def test_a_force_that_is_infinite_somewhere_diverges_without_a_warning():
    equations = systems.oscillator(3.0).langevin()
    force = Force(function=lambda x, p: p[0] * x / (1.0 - x * x) - p[0] * x / (1 - x * x), parameters=np.ones((1, 1)))
    start = Moments(np.array([1.0, 0.0]), np.zeros((2, 2)))
    unit = equations.unit[0]
    for compiled in (True, False):
        record = sb.simulate(
            equations.with_forces(force, fields.duffing(np.array([0.1]))), step=0.1, n_steps=3, n_trajectories=2,
            initial=Moments(start.mean / unit, start.covariance), compiled=compiled,
        )  # fmt: skip
        assert record.attrs["diverged"] == [0, 1]
        assert np.isnan(record.position[:, -1]).all()


# ---------------------------------------------------------------------- the cache of compiled loops

COLD = """
import sys, numpy as np
import stochbind as sb
sys.path.insert(0, {tests!r})
import systems
record = sb.simulate(systems.underdamped_pair(), step=0.1, n_steps=3, n_trajectories=2)
print(repr(record.position.to_numpy().tolist()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty", "impossible", "no home"])
def test_a_cold_cache_works_for_two_processes_at_once(kind, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    if kind == "no home":
        del environment["HOME"]
        environment["XDG_CACHE_HOME"] = "~nobody-at-all/cache"
    else:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "cache") if kind == "empty" else "/dev/null/cache"
    script = [sys.executable, "-W", "error", "-c", COLD.format(tests=HERE)]
    processes = [
        subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2 if kind == "empty" else 1)
    ]
    results = [process.communicate() for process in processes]
    expected = sb.simulate(systems.underdamped_pair(), step=0.1, n_steps=3, n_trajectories=2).position.to_numpy()
    for process, (output, message) in zip(processes, results, strict=True):
        assert process.returncode == 0, message
        assert eval(output) == expected.tolist()
    if kind == "empty":
        assert any((tmp_path / "cache").rglob("*.nbc"))


STRENGTH = 1.0


def strong(x, p):
    return -STRENGTH * p[0] * x * x * x


def test_a_function_whose_globals_changed_is_compiled_anew(monkeypatch):
    equations = systems.oscillator(3.0).langevin().with_forces(Force(function=strong, parameters=np.ones((1, 1))))
    options = {"step": 0.05, "n_steps": 40, "n_trajectories": 8, "save_every": 40}
    ends = []
    for value in (1.0, 5.0):
        monkeypatch.setitem(globals(), "STRENGTH", value)
        fast, plain = (sb.simulate(equations, **options, compiled=way).position.to_numpy() for way in (True, False))
        np.testing.assert_allclose(fast, plain, atol=1e-13)
        ends.append(fast)
    assert np.abs(ends[1] - ends[0]).max() > 1e-3


class Spring:
    def __init__(self, strength):
        self.strength = strength

    def force(self, x, p):
        return -self.strength * p[0] * x


def keyword(x, p, *, strength=1.0):
    return -strength * p[0] * x


def with_module(x, p):
    return -systems.oscillator * x


def test_identities_see_what_a_function_depends_on():
    with pytest.raises(PlanError, match="is a method"):
        stored_forces.identity(Spring(1.0).force)
    with pytest.raises(PlanError, match="uses the module `systems`"):
        stored_forces.identity(with_module)
    before = stored_forces.identity(keyword)
    keyword.__kwdefaults__["strength"] = 50.0
    try:
        assert stored_forces.identity(keyword) != before
    finally:
        keyword.__kwdefaults__["strength"] = 1.0
    assert stored_forces.identity(keyword) == before


def test_functions_that_work_in_place_cannot_move_other_particles():
    def in_place(x_j, x_k, p):
        x_j -= x_k
        x_j *= -p[0]
        return x_j

    equations = systems.underdamped_pair().langevin()
    force = Force(function=in_place, parameters=np.ones((2, 2, 1)), vectorized=True)
    with pytest.raises(PlanError, match="read-only"):
        sb.simulate(equations.with_forces(force), step=0.05, n_steps=4, allowed_bias=1e9)


@pytest.mark.parametrize("wrong", [strong, [1.0], Force(function=strong, parameters=np.ones((2, 1)))])
def test_what_is_no_force_is_told(wrong):
    with pytest.raises(StochbindError, match="forces"):
        replace(systems.oscillator(3.0), forces=wrong).langevin()


def runaway(n_trajectories):
    scenario = sb.OscillatorScenario(
        name="runaway",
        units="reduced",
        particle=[
            {"mass": 1.0, "stiffness": 1.0, "cubic_stiffness": -3.0, "damping_rate": 0.3, "bath_temperature": 1.0}
        ],
    )
    return sb.Plan(
        scenario=scenario, step=0.02, n_steps=3000, n_trajectories=n_trajectories, save_every=30, allowed_bias=1e9
    )


def test_a_run_of_which_every_trajectory_diverges_is_finished(tmp_path):
    """Chunks of nothing but NaN are data: written, flushed, and in the ledger."""
    store = sb.run(runaway(20), tmp_path / "run.zarr", workers="serial")
    store.require_complete()
    store.verify()
    assert sorted(store.diverged) == list(range(20))
    record = sb.open(tmp_path / "run.zarr")
    assert len(record.attrs["diverged_time"]) == 20
    with pytest.raises(StochbindError, match="stayed finite"):
        sb.validate(record)


def test_wrappers_nested_tuples_and_classes_have_identities_of_their_own():
    import numba

    def base(x, p):
        return -p[0] * x

    def wrapped(inner, factor):
        if factor == 1.0:

            @functools.wraps(inner)
            def wrapper(x, p):
                return inner(x, p)
        else:

            @functools.wraps(inner)
            def wrapper(x, p):
                return 9.0 * inner(x, p)

        return wrapper

    assert identity(wrapped(base, 1.0))[1] != identity(wrapped(base, 9.0))[1]
    compiled = wrapped(numba.njit(base), 9.0)  # carries the py_func of what it wraps
    equations = systems.oscillator(3.0).langevin()
    nine = equations.with_forces(Force(function=compiled, parameters=np.ones((1, 1)), vectorized=True))
    np.testing.assert_allclose(nine.drift(np.array([1.0, 0.0])) - equations.drift(np.array([1.0, 0.0])), [0.0, -9.0])

    def nested(values):
        return lambda x, p: -x * values[0][-1]

    assert identity(nested(((1.0, 9.0), (2.0,))))[1] != identity(nested(((1.0,), (9.0, 2.0))))[1]

    class Constants:
        k = 1.0

    with pytest.raises(PlanError, match="uses the class"):
        identity(lambda x, p: -Constants.k * x)
