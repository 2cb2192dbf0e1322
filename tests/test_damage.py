"""Damaged stores: all of it is found and named, and mended to the same bytes; what is damaged gives no numbers."""

import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading

import numpy as np
import pytest

import damage
import stochbind as sb
import systems
from conftest import SCENARIOS
from damage import LAYOUT, files
from stochbind import cli
from stochbind.engine import checking, ensemble, repairing, sweep_repairing, sweeps, units, verification
from stochbind.engine.places import LocalPlace
from stochbind.engine.store import Store
from stochbind.errors import IncompleteError, PlanError, StoreDamagedError, StoreError, StoreMismatchError

KINDS = list(damage.plans())


@pytest.fixture(autouse=True)
def _unflushed(monkeypatch):
    """Nobody cuts the power here, and flushing takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Finished runs with all that a store can hold, and the content of their files."""
    folder = tmp_path_factory.mktemp("finished")
    result = {}
    for name, plan in damage.plans().items():
        Store.create(folder / name, plan, LAYOUT)
        sb.run(plan, folder / name, workers="serial")
        result[name] = (folder / name, plan, files(folder / name))
    return result


@pytest.fixture(params=KINDS)
def copied(request, finished, tmp_path):
    """A copy of a finished run: where, its plan, and the content of its files."""
    path, plan, content = finished[request.param]
    shutil.copytree(path, tmp_path / "run.zarr")
    return tmp_path / "run.zarr", plan, content


# ---------------------------------------------------------------------- any damage


def test_random_damage_is_found_and_mended(tmp_path):
    """Flipped bits, files cut, emptied, removed, and replaced by others; `scripts/torture` does many more."""
    outcomes = list(damage.trials(tmp_path, 60, seed=1))
    assert [outcome for outcome in outcomes if not outcome.told or not outcome.same] == []
    kinds = [kind for kind in ("flipped", "cut", "emptied", "removed", "replaced") for o in outcomes if kind in o.what]
    assert len(set(kinds)) == 5


def test_every_file_is_accounted_for(copied):
    """Every third removed, one after another: each is missed, by its name."""
    path, _, content = copied
    for key, data in list(content.items())[::3]:
        (path / key).unlink()
        report = repairing.examine(path)
        if report.whole:
            assert key.startswith("engine/ledger/")
            assert report.n_done == report.n_units - 1  # the run is not finished: that is all one can know
        else:
            assert any(key.startswith(found.file) for found in report.damages)
        (path / key).write_bytes(data)
    assert repairing.examine(path).whole


def test_many_damages_at_once_are_all_named_and_mended(copied):
    path, plan, content = copied
    rng = np.random.default_rng(2)
    spared = {"zarr.json", "engine/zarr.json"}
    for key in sorted(set(content) - spared)[::3]:
        damage.damage(path, key, ("flip", "empty", "delete")[int(rng.integers(3))], rng)
    (path / "zarr.json").unlink()
    first = repairing.examine(path)
    assert [found.file for found in first.damages] == ["zarr.json"]
    assert len(repairing.repair(path, workers="serial").damages) > 20
    sb.run(plan, path, workers="serial")  # of the last units of blocks, entries in the ledger were removed, too
    assert files(path) == content


def test_units_are_named_with_their_trajectories(copied):
    path, plan, _ = copied
    store = Store.open(path)
    for block, segment in ((1, 2), (2, 0)):
        damage.damage(path, store.keys(block, segment)[0], "flip", np.random.default_rng(0))
    found = repairing.examine(path).damages
    assert [(d.block, d.segment) for d in found] == [(1, 2), (2, 0)]
    assert [d.trajectories for d in found] == [range(8, 16), range(16, plan.n_trajectories)]
    with pytest.raises(StoreDamagedError) as told:
        store.verify()
    assert "(trajectories 8 to 15 in segment 2), and 1 more like it" in str(told.value)
    assert str(told.value).endswith(f"`stochbind repair {path}` makes them anew.")


@pytest.mark.parametrize("prefix", ["statistics/moments/", "position/", "engine/checkpoint/", "engine/ledger/"])
def test_exchanged_files_are_seen_by_the_digests_alone(finished, tmp_path, monkeypatch, prefix):
    """Their checksums are right. A twin that compares no digests sees nothing."""
    path, _, content = finished["recorded"]
    path = shutil.copytree(path, tmp_path / "run.zarr")
    first, second = [key for key in content if key.startswith(f"{prefix}c")][:2]
    (path / first).write_bytes(content[second])
    assert repairing.examine(path).damages
    usual = checking._unit_damages

    def blind(*arguments):
        return (found for found in usual(*arguments) if found.fault != "is not what was written")

    with monkeypatch.context() as patched:
        patched.setattr(checking, "_unit_damages", blind)
        assert repairing.examine(path).whole
    repairing.repair(path, workers="serial")
    assert files(path) == content


def test_verification_that_ignores_statistics_fails_these_tests(finished, tmp_path, monkeypatch):
    usual = checking._unit_damages
    monkeypatch.setattr(
        checking,
        "_unit_damages",
        lambda *arguments: (d for d in usual(*arguments) if not d.file.startswith("statistics/")),
    )
    shutil.copytree(finished["statistics"][0], tmp_path / "run.zarr")
    rng = np.random.default_rng(1)
    damage.damage(tmp_path / "run.zarr", "statistics/moments/c.1.1.0", "flip", rng)
    assert repairing.examine(tmp_path / "run.zarr").whole


# ---------------------------------------------------------------------- made anew from the keys


def test_units_made_anew_show_what_digests_cannot(copied):
    """A unit of wrong numbers with the right digests, as a faulty processor would have written it."""
    path, plan, content = copied
    store = Store.open(path)
    unit = store.read_unit(1, 1, checkpoint=False)
    state = content[store.keys(1, 1)[-2]] if plan.record else None
    rows = unit.data if plan.record else unit.statistics
    name = next(iter(rows))
    rows[name].flat[5] = np.nextafter(rows[name].flat[5], 1.0)
    end = store.read_checkpoint(1, 1).T if state else np.zeros((8, 4))
    if not plan.record:
        end = units.make_unit(store, (), 1, 1, np.zeros_like(store.read_checkpoint(1, 3))).checkpoint
    store.write(1, 1, unit._replace(checkpoint=np.ascontiguousarray(end)))
    if not plan.record:
        (path / store.keys(1, 1)[-2]).unlink()
    assert verification.verify(Store.open(path)).whole
    n = store.n_blocks * store.n_segments
    report = verification.verify(Store.open(path), recompute=n)
    assert report.n_recomputed == n
    assert (1, 1) in {(found.block, found.segment) for found in report.damages}
    assert all(found.block == 1 for found in report.damages)


@pytest.mark.parametrize("recompute", [1, 5, 100])
def test_sound_units_are_made_anew_to_the_same_bits(copied, recompute):
    path, _, content = copied
    told = []
    report = verification.verify(
        Store.open(path), recompute=recompute, seed=3, progress=lambda *numbers: told.append(numbers)
    )
    assert report.whole
    assert report.n_recomputed == min(recompute, report.n_units)
    assert told[-1] == (report.n_units + report.n_recomputed,) * 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert files(path) == content
    with pytest.raises(PlanError, match="`recompute`"):
        verification.verify(Store.open(path), recompute=-1)


def test_without_a_record_the_cheap_units_are_chosen(finished, monkeypatch):
    path = finished["statistics"][0]
    made = []
    usual = units.make_unit
    monkeypatch.setattr(units, "make_unit", lambda *arguments: made.append(arguments[2:4]) or usual(*arguments))
    verification.verify(Store.open(path), recompute=6, seed=0)
    assert sorted(made) == [(block, segment) for block in range(3) for segment in (0, 3)]


# ---------------------------------------------------------------------- repair


@pytest.mark.parametrize("broken", ["zarr.json", "engine/zarr.json"])
@pytest.mark.parametrize("kind", ["flip", "truncate", "empty", "delete"])
def test_each_copy_of_what_the_run_is_mends_the_other(copied, broken, kind):
    path, _, content = copied
    damage.damage(path, broken, kind, np.random.default_rng(4))
    with pytest.raises(StoreError):
        sb.open(path)
    assert [found.file for found in repairing.examine(path).damages] == [broken]
    repairing.repair(path, workers="serial")
    assert files(path) == content


def test_without_both_copies_nobody_knows(copied):
    path, _, content = copied
    for key in ("zarr.json", "engine/zarr.json"):
        (path / key).write_bytes(content[key][:-100])
    for call in (repairing.examine, repairing.repair):
        with pytest.raises(StoreDamagedError, match=r"zarr.json is damaged|both copies of what the run is"):
            call(path)
    with pytest.raises(StoreError, match="no such store"):
        repairing.repair(path.with_name("none.zarr"))
    other = path.with_name("other")
    other.mkdir()
    with pytest.raises(StoreError, match="not a stochbind store"):
        repairing.repair(other)


def test_coefficients_of_another_processor_are_not_put_in(copied, monkeypatch):
    path, _, content = copied
    usual = sb.Plan.coefficients
    monkeypatch.setattr(
        sb.Plan,
        "coefficients",
        lambda self: {k: np.nextafter(v, 9.0) if v.dtype == float else v for k, v in usual(self).items()},
    )
    (path / "theory/unit/zarr.json").unlink()
    repairing.repair(path, workers="serial")  # which has nothing to do with them
    assert files(path) == content
    damage.damage(path, "coefficients/matrix/c/0/0/0", "flip", np.random.default_rng(0))
    before = files(path)
    with pytest.raises(StoreDamagedError, match=r"coefficients/matrix is damaged.* copy it from a backup"):
        repairing.repair(path)
    assert files(path) == before


def test_a_repair_that_is_killed_can_be_repeated(copied):
    """At many of the files that it puts in place or removes; real processes and real kills."""
    path, plan, content = copied
    store = Store.open(path)
    spoiled = [store.keys(1, 1)[0], store.keys(1, 3)[-2], store.keys(2, 2)[-1]]
    spoiled += ["time/zarr.json", "coefficients/root/c/0/0/0"]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["damage"])
    n_killed = 0
    for at in itertools.count(1, 9):
        for key in spoiled:
            (path / key).write_bytes(content[key][:20])
        process = context.Process(target=damage.killed, args=(path, at, "repair", {"workers": "serial"}))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        n_killed += 1
        with contextlib.suppress(StoreDamagedError):  # a run in between does what it can, and nothing wrong
            sb.run(plan, path, workers="serial")
        repairing.repair(path, workers="serial")
        assert files(path) == content
    assert files(path) == content
    assert n_killed > 2


def test_an_unfinished_run_stays_so(copied):
    path, plan, content = copied
    for segment in (3, 2):
        (path / Store.open(path).keys(1, segment)[-1]).unlink()
    if not plan.record:  # as the run would have left it
        store = Store.open(path, check=False)
        unit = units.make_unit(store, (), 1, 0)
        unit = units.make_unit(store, (), 1, 1, np.ascontiguousarray(unit.checkpoint.T))
        store.write(1, 1, unit)
    assert repairing.repair(path, workers="serial").whole
    report = repairing.examine(path)
    assert (report.n_done, report.n_units) == (10, 12)
    sb.run(plan, path, workers="serial").verify()
    assert files(path) == content


def stiffer(x, parameters):
    return -parameters[0] * x * x * x


def test_forces_of_ones_own_need_the_plan(tmp_path):
    plan = sb.Plan(
        scenario=systems.pair_scenario(0.3, 0.1), step=0.05, n_steps=40, n_trajectories=12,
        forces=(sb.Force(function=stiffer, parameters=np.array([[0.1], [0.2]])),),
    )  # fmt: skip
    path = tmp_path / "run.zarr"
    Store.create(path, plan, LAYOUT)
    store = sb.run(plan, path, workers="serial")
    content = files(path)
    for key in (store.keys(0, 1)[0], "coefficients/matrix/zarr.json"):
        (path / key).unlink()
        with pytest.raises(PlanError, match="continue it from Python, with the plan"):
            repairing.repair(path)
        other = sb.Plan(scenario=plan.scenario, step=0.05, n_steps=40, n_trajectories=12)
        with pytest.raises(StoreMismatchError, match="holds another run than `plan`"):
            repairing.repair(path, plan=other)
        repairing.repair(path, plan=plan, workers="serial")
        assert files(path) == content
    with pytest.raises(PlanError, match="continue it from Python, with the plan"):
        verification.verify(Store.open(path), recompute=2)
    assert verification.verify(Store.open(path), recompute=2, plan=plan).whole


# ---------------------------------------------------------------------- what others do with damage


def test_no_unit_starts_from_a_damaged_checkpoint(copied):
    """Removed after the store was opened, it would read as NaN; exchanged, as another state."""
    path, _, content = copied
    store = Store.open(path)
    key, ledger = store.keys(1, 2)[-2], store.keys(1, 3)[-1]
    for spoiled in (None, content[store.keys(0, 2)[-2]]):
        (path / ledger).unlink()
        store = Store.open(path)
        (path / key).unlink() if spoiled is None else (path / key).write_bytes(spoiled)
        with pytest.raises(StoreDamagedError, match=r"checkpoint.* is not what was written .*stochbind repair"):
            units.run_unit((), units.Task(str(path), 1, 3))
        assert not store.is_done(1, 3)
        for name in (key, ledger):
            (path / name).write_bytes(content[name])


def test_a_run_that_goes_on_is_not_taken_for_damage(tmp_path):
    """Without a record checkpoints are removed meanwhile."""
    plan = damage.plans()["statistics"]
    Store.create(tmp_path / "run.zarr", plan, LAYOUT)
    thread = threading.Thread(target=sb.run, args=(plan, tmp_path / "run.zarr"), kwargs={"workers": "serial"})
    thread.start()
    seen = []
    while thread.is_alive():
        report = repairing.examine(tmp_path / "run.zarr")
        assert report.damages == ()
        seen.append(report.n_done)
    thread.join()
    assert min(seen) < 12
    assert seen == sorted(seen)


def _looked_at_once(look, ledger, entries):
    return look(entries)


def _looked_at_twice(look, ledger, entries):
    return look(entries) and look(ledger())


@pytest.mark.parametrize("settled", [checking.settled, _looked_at_once, _looked_at_twice])
def test_whoever_looks_at_a_run_looks_until_it_stands_still(tmp_path, monkeypatch, settled):
    """Two units are done, and checkpoints removed, within each look. Twins that look once or twice see damage."""
    path, plan = tmp_path / "run.zarr", dataclasses.replace(damage.plans()["statistics"], n_steps=160)
    store = Store.create(path, plan, LAYOUT)
    made, state = [], None
    for segment in range(store.n_segments):
        made.append(units.make_unit(store, (), 0, segment, state))
        state = np.ascontiguousarray(made[-1].checkpoint.T)
    for module in (checking, verification):
        monkeypatch.setattr(module, "settled", settled)

    def seen(owner, name, look):
        store.place.delete(key for segment in range(10) for key in store.keys(0, segment))
        store.write(0, 0, made[0])
        usual = getattr(owner, name)

        def go_on(*arguments):
            for segment in np.flatnonzero(~store.done_in(0))[:2]:
                store.write(0, int(segment), made[segment])
            return usual(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, go_on)
            try:
                return look()
            except StoreDamagedError as error:
                return str(error)

    looks = (
        seen(LocalPlace, "missing", lambda: verification.verify(store).damages),
        seen(LocalPlace, "missing", lambda: not Store.open(path)),
        seen(Store, "read_checkpoint", lambda: store.diverged),  # what is removed reads as if all were
    )
    once, twice = settled is _looked_at_once, settled is _looked_at_twice  # verification looks again at less
    assert [bool(found) for found in looks] == [once, once or twice, once]


# ---------------------------------------------------------------------- workers that come late


def test_a_checkpoint_that_is_removed_meanwhile_starts_no_unit_as_nan(copied, monkeypatch):
    """What was checked is what is used. A twin that reads it again makes nothing but NaN."""
    path, _, _ = copied
    store, usual = Store.open(path), Store.read_checkpoint
    last = store.n_segments - 1
    file = path / store.keys(1, last - 1)[-2]

    def vanishing(self, block, segment):
        state = usual(self, block, segment)
        file.unlink()
        return state

    data = file.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "read_checkpoint", vanishing)
        made = units.make_unit(store, (), 1, last)
    assert made.checkpoint.tobytes() == usual(store, 1, last).T.tobytes()
    nothing = usual(store, 1, last - 1)
    assert np.isnan(nothing).all()
    assert np.isnan(units.make_unit(store, (), 1, last, nothing).checkpoint).any()
    file.write_bytes(data)


def test_a_late_worker_finds_its_unit_done(finished, tmp_path, monkeypatch):
    """It saw a unit that was not done; meanwhile others went on to the end, and its checkpoint is gone."""
    path, _, content = finished["statistics"]
    path = shutil.copytree(path, tmp_path / "run.zarr")
    task, done, looks = units.Task(str(path), 1, 2), Store.is_done, []

    def late(self, *unit):
        looks.append(unit)
        return len(looks) > 1 and done(self, *unit)

    monkeypatch.setattr(Store, "is_done", late)
    units.run_unit((), task)
    assert (len(looks), files(path)) == (2, content)
    state = units.make_unit(Store.open(path), (), 1, 0).checkpoint
    for again, same in ((True, False), (False, True)):  # the checkpoint goes while the unit is made; or it must be made
        looks.clear()
        with monkeypatch.context() as patched:
            patched.setattr(units, "make_unit", lambda store, *_: store.read_unit(1, 2, checkpoint=False)._replace(
                checkpoint=state
            ))  # fmt: skip
            units.run_unit((), task._replace(again=again))
        assert (files(path) == content) == same
        (path / "engine/checkpoint/c.2.1.0").unlink(missing_ok=True)
        for key, data in content.items():
            (path / key).write_bytes(data)


@pytest.mark.parametrize("twin", [False, True])
def test_what_a_late_worker_writes_is_removed_by_the_next_run(finished, tmp_path, monkeypatch, twin):
    path, plan, content = finished["statistics"]
    path = shutil.copytree(path, tmp_path / "run.zarr")
    store, state = Store.open(path), None
    for segment in range(2):
        unit = units.make_unit(store, (), 1, segment, state)
        state = np.ascontiguousarray(unit.checkpoint.T)
        store.write(1, segment, unit)
    extra = {store.keys(1, segment)[-2] for segment in range(2)}
    assert set(files(path)) - set(content) == extra
    if twin:
        monkeypatch.setattr(Store, "prune", lambda self: None)
    sb.run(plan, path, workers="serial")
    assert (files(path) == content) != twin


_poisoned = True


def poison(x, parameters):
    if _poisoned:
        raise RuntimeError("poison")
    return stiffer(x, parameters)


def test_a_run_that_was_poisoned_leaves_nothing_of_it(tmp_path, monkeypatch):
    plan = sb.Plan(
        scenario=systems.pair_scenario(0.3, 0.1), step=0.05, n_steps=20, n_trajectories=4,
        forces=(sb.Force(function=poison, parameters=np.array([[0.1], [0.2]]), vectorized=True),),
    )  # fmt: skip
    path, folder = tmp_path / "run.zarr", tmp_path / "run.zarr/engine/ledger/failed"
    monkeypatch.setattr(sys.modules[__name__], "_poisoned", False)
    store = Store.create(path, plan)
    monkeypatch.setattr(sys.modules[__name__], "_poisoned", True)
    monkeypatch.setattr(ensemble, "prepare", lambda *_: None)
    with pytest.raises(IncompleteError, match="poison"):
        sb.run(plan, path, workers="serial")
    assert [file.name for file in folder.iterdir()] == ["0-0.json"]
    monkeypatch.setattr(sys.modules[__name__], "_poisoned", False)
    assert sb.run(plan, path, workers="serial").done.all()
    assert not folder.exists()
    assert store.place.keys("engine/ledger") == ["engine/ledger/c.0.0.0", "engine/ledger/zarr.json"]


# ---------------------------------------------------------------------- the command line


@pytest.fixture
def stochbind(monkeypatch, capsys):
    """The command line: exit code, output, errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["stochbind", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return ended.value.code, *capsys.readouterr()

    return call


def test_command_lines(stochbind, finished, tmp_path):
    path, _, content = finished["recorded"]
    path = shutil.copytree(path, tmp_path / "run.zarr")
    assert stochbind("verify", path, "-q") == (0, "", "")
    code, out, _ = stochbind("verify", path, "--recompute", 3)
    assert code == 0
    assert out == f"{path}: all 12 units are what was written, 3 of them made anew.\n"
    damage.damage(path, "heat/c.1.2.0", "delete", None)
    for command in ("verify", "info", "validate"):
        code, out, err = stochbind(command, path)
        assert code == 3
        assert f"`stochbind repair {path}` makes it anew" in err
    assert stochbind("verify", path)[1] == "heat/c.1.2.0 is missing or empty (trajectories 8 to 15 in segment 2)\n"
    code, out, _ = stochbind("verify", path, "--json", "-q")
    assert code == 3
    assert json.loads(out)["damages"][0]["trajectories"] == [8, 15]
    code, out, _ = stochbind("repair", path, "--parallel", "serial")
    assert code == 0
    assert out == "heat/c.1.2.0 is missing or empty (trajectories 8 to 15 in segment 2): made anew\n"
    assert files(path) == content
    assert stochbind("repair", path, "--parallel", "serial", "-q") == (0, "", "")
    (path / "engine/ledger/c.2.3.0").unlink()
    code, _, err = stochbind("verify", path, "-q")
    assert code == 75
    assert "11 of 12 units are done; start the same run again" in err
    code, _, err = stochbind("extend", path, "--trajectories", 30, "--parallel", "serial", "-q")
    assert (code, err) == (0, "")
    assert stochbind("verify", path, "--recompute", 2, "-q")[0] == 0
    assert Store.open(path).plan.n_trajectories == 30
    assert stochbind("extend", path, "--trajectories", 30)[0] == 0
    assert stochbind("extend", path)[0] == 2
    assert stochbind("extend", path, "--steps", 57)[0] == 2


def test_points_of_a_sweep_are_mended_as_runs(stochbind, tmp_path):
    path = tmp_path / "sweep.zarr"
    sweep = sb.Sweep.from_toml(SCENARIOS / "pair_through_directions.toml")
    overrides = {"n_trajectories": 4, "n_steps": 64, "statistics": (sb.statistics.MomentStatistic(window=8),)}
    sb.run(sweeps.with_run(sweep, **overrides), path, workers="serial")
    content = files(path)
    key = next(key for key in content if key.startswith("points/2/statistics/moments/c"))
    (path / key).unlink()
    assert [found.file for found in sweep_repairing.examine_sweep(path).damages] == [key]
    assert stochbind("verify", path, "-q")[0] == 3
    assert stochbind("repair", path, "--parallel", "serial", "-q")[0] == 0
    assert files(path) == content
    assert sweep_repairing.examine_sweep(path).whole
    assert "holds a sweep" in stochbind("extend", path, "--trajectories", 9)[2]
