"""Longer runs in stores that are there: what one run that was so long from the start would have given."""

import dataclasses
import itertools
import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest

import damage
import stochbind as sb
import systems
from conftest import SCENARIOS
from damage import files
from stochbind.engine import extension, repairing, units
from stochbind.engine.layout import Layout
from stochbind.engine.places import LocalPlace, place
from stochbind.engine.reducers.trees import merge_groups, merge_rows
from stochbind.engine.store import Store
from stochbind.engine.structure import bytes_digest, seal
from stochbind.errors import PlanError, StoreDamagedError, StoreError, StoreLockedError, StoreMismatchError

STATISTICS = (
    sb.statistics.MomentStatistic(window=8),
    sb.statistics.CorrelationStatistic(window=16, start=0),
    sb.statistics.HistogramStatistic(of="position", window=4, start=3),
)
COMMON = {"scenario": systems.pair_scenario(0.5, 0.2), "step": 0.4, "seed": 11, "statistics": STATISTICS}
LAYOUT = Layout(trajectories_per_block=8, saves_per_block=16, trajectories_per_group=4)


def make(path, layout=LAYOUT, **plan):
    plan = sb.Plan(**{**COMMON, **plan})
    if layout is not None:
        Store.create(path, plan, layout)
    return sb.run(plan, path, workers="serial")


@pytest.fixture(autouse=True)
def _unflushed(monkeypatch):
    """Kills are no losses of power: what is flushed when makes no difference here, but takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def statistics(store):
    """The sums over all trajectories, as binary trees; over time, too, unless they are per window."""
    found = {}
    for item in store.plan.reducers:
        data = store.read(f"statistics/{item.name}", ...)
        data = merge_groups(data, 1 << (data.shape[1] - 1).bit_length())
        found[item.name] = data if item.per_window else merge_rows(data)
    return found


def require_same(longer, fresh):
    """Bit for bit the same trajectories, states at the end, and statistics."""
    assert longer.done.all()
    for name in longer.quantities:
        np.testing.assert_array_equal(longer.read(name, ...), fresh.read(name, ...))
    np.testing.assert_array_equal(longer.read("engine/checkpoint", -1), fresh.read("engine/checkpoint", -1))
    for (name, found), expected in zip(statistics(longer).items(), statistics(fresh).values(), strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=name)


#: Lengths before and after: n_trajectories, n_steps.
LENGTHS = {
    "more blocks": ((16, 32), (24, 32)),
    "more segments": ((16, 32), (16, 64)),
    "out of part of a block": ((13, 32), (30, 32)),
    "out of part of a segment": ((16, 27), (16, 64)),
    "out of both": ((13, 27), (29, 61)),
    "to part of the same unit": ((9, 17), (11, 19)),
}


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "statistics alone"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_an_extended_run_is_one_long_run(tmp_path, lengths, record):
    """Also file by file: the layouts are the same."""
    (n, steps), (more, longer) = LENGTHS[lengths]
    make(tmp_path / "run.zarr", n_trajectories=n, n_steps=steps, record=record)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=more, n_steps=longer, record=record)
    store = extension.extend(tmp_path / "run.zarr", n_trajectories=more, n_steps=longer)
    assert store.plan.fingerprint == fresh.plan.fingerprint
    assert not store.done.all()
    store = sb.run(fresh.plan, tmp_path / "run.zarr", workers="serial")
    store.verify()
    require_same(store, fresh)
    assert files(tmp_path / "run.zarr") == files(tmp_path / "fresh.zarr")


def test_units_that_do_not_grow_are_left_alone(tmp_path):
    store = make(tmp_path / "run.zarr", n_trajectories=21, n_steps=40)
    before = files(tmp_path / "run.zarr")
    longer = extension.extend(tmp_path / "run.zarr", n_trajectories=21, n_steps=64)
    assert longer.done.sum() == 3 * 2  # of three segments of 16 steps, the last was half one
    sb.run(longer.plan, tmp_path / "run.zarr", workers="serial")
    after = files(tmp_path / "run.zarr")
    for block, segment in itertools.product(range(3), range(2)):
        for key in store.keys(block, segment):
            assert after[key] == before[key]


def test_growing_units_must_be_made_anew(tmp_path, monkeypatch):
    """A twin that leaves them: the end of the old run has a hole, and verification tells."""
    monkeypatch.setattr(extension, "_changed_units", lambda store, longer: [])
    make(tmp_path / "run.zarr", n_trajectories=13, n_steps=32)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=24, n_steps=32)
    extension.extend(tmp_path / "run.zarr", n_trajectories=24)
    store = sb.run(fresh.plan, tmp_path / "run.zarr", workers="serial")
    with pytest.raises(AssertionError):
        require_same(store, fresh)
    with pytest.raises(StoreDamagedError, match="is not what was written"):
        store.verify()


@pytest.mark.parametrize("n", [1, 5, 20, 32, 33])
def test_a_run_below_a_block_grows_beyond_it(tmp_path, n):
    """Its blocks stay as small; the numbers are those of a run with usual ones."""
    small = make(tmp_path / "run.zarr", None, n_trajectories=n, n_steps=40)
    assert small.layout.trajectories_per_block == (17 if n == 33 else n)  # blocks are about equal
    fresh = make(tmp_path / "fresh.zarr", None, n_trajectories=72, n_steps=100)
    extension.extend(tmp_path / "run.zarr", n_trajectories=72, n_steps=100)
    store = sb.run(fresh.plan, tmp_path / "run.zarr", workers="serial")
    assert store.layout == small.layout != fresh.layout
    store.verify()
    require_same(store, fresh)
    found, expected = sb.open(tmp_path / "run.zarr"), sb.open(tmp_path / "fresh.zarr")
    assert found.sizes["trajectory"] == 72
    np.testing.assert_array_equal(found["time"], expected["time"])
    np.testing.assert_array_equal(found["trajectory"], np.arange(72))


def test_runs_grow_again_and_again_and_before_they_are_finished(tmp_path):
    path = tmp_path / "run.zarr"
    Store.create(path, sb.Plan(n_trajectories=5, n_steps=7, **COMMON | {"statistics": STATISTICS[:1]}), LAYOUT)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=19, n_steps=50, statistics=STATISTICS[:1], ledger=False)
    for n, steps in ((5, 20), (12, 20), (12, 37), (19, 50)):
        store = extension.extend(path, n_trajectories=n, n_steps=steps)
        if steps != 37:
            sb.run(store.plan, path, workers="serial")
    require_same(sb.run(fresh.plan, path, workers="serial"), fresh)
    assert files(path) == files(tmp_path / "fresh.zarr")


def test_ledgers_and_drives_go_on(tmp_path):
    plan = {"scenario": sb.Scenario.from_toml(SCENARIOS / "driven_pair.toml"), "ledger": True, "step": 0.1}
    plan["statistics"] = (sb.statistics.CurrentStatistic(window=8),)
    make(tmp_path / "run.zarr", n_trajectories=5, n_steps=30, **plan)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=11, n_steps=48, **plan)
    extension.extend(tmp_path / "run.zarr", plan=fresh.plan)
    require_same(sb.run(fresh.plan, tmp_path / "run.zarr", workers="serial"), fresh)


def test_what_is_there_stays_readable_meanwhile(tmp_path):
    """Of growing units what is recorded stays; sums of parts of windows would be wrong, and are not shown."""
    path = tmp_path / "run.zarr"
    make(path, n_trajectories=8, n_steps=27)
    old = sb.open(path).load()
    extension.extend(path, n_steps=64)
    with pytest.warns(UserWarning, match="1 of 4 units are done"):
        new = sb.open(path).load()
    np.testing.assert_array_equal(new["position"][:, :27], old["position"])
    assert np.isnan(new["position"][:, 27:]).all()
    complete = new["moments_count"] > 0
    assert complete.values.any()
    assert not complete.values.all()
    filled = complete.any("group").values
    assert list(np.flatnonzero(filled)) == [0, 1]  # of windows of 8 states; 16 to 23 and 24 to 26 are made anew
    np.testing.assert_array_equal(new["moments_second"][filled], old["moments_second"][:2])


# ---------------------------------------------------------------------- what is refused


def test_what_is_no_extension_is_refused(tmp_path):
    path = tmp_path / "run.zarr"
    plan = make(path, n_trajectories=8, n_steps=32, save_every=2).plan
    before = files(path)
    for given, error, sentence in (
        ({"n_trajectories": 7}, PlanError, "`n_trajectories` is 8 in .* can only become larger, but 7 are asked for"),
        ({"n_steps": 30}, PlanError, "`n_steps` is 32 in"),
        ({"n_steps": 41}, PlanError, "`save_every` must divide `n_steps`"),
        ({"n_steps": 40.5}, PlanError, "`n_steps` must be"),
        ({"plan": plan, "n_steps": 64}, PlanError, "but not both"),
        ({"plan": dataclasses.replace(plan, seed=1)}, StoreMismatchError, "seed: 11 -> 1"),
        ({"plan": dataclasses.replace(plan, n_steps=16, statistics=())}, StoreMismatchError, "n_steps: 32 -> 16"),
    ):
        with pytest.raises(error, match=sentence):
            extension.extend(path, **given)
    assert extension.extend(path, n_trajectories=8, n_steps=32).done.all()
    assert files(path) == before
    with pytest.raises(StoreMismatchError, match=r"stochbind extend .*run.zarr --trajectories 9 --steps 32`"):
        sb.run(dataclasses.replace(plan, n_trajectories=9), path)
    with pytest.raises(StoreMismatchError, match="n_trajectories: 8 -> 7"):
        sb.run(dataclasses.replace(plan, n_trajectories=7), path)
    with pytest.raises(StoreError, match="no such store"):
        extension.extend(tmp_path / "none.zarr", n_steps=64)


def test_steps_that_depend_on_the_length_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.zarr"
    make(path, n_trajectories=4, n_steps=32)
    usual = sb.Plan.coefficients
    monkeypatch.setattr(sb.Plan, "coefficients", lambda self: {**usual(self), "start": np.arange(self.n_steps)})
    with pytest.raises(PlanError, match="change with time after the end of the run"):
        extension.extend(path, n_steps=64)
    extension.extend(path, n_trajectories=8)


def test_a_disk_without_room_is_told_before(tmp_path, monkeypatch):
    make(tmp_path / "run.zarr", n_trajectories=4, n_steps=32)
    before = files(tmp_path / "run.zarr")
    monkeypatch.setattr(LocalPlace, "free_bytes", lambda self: 10**5)
    with pytest.raises(StoreError, match=r"GB more, but 0\.0001 GB are free"):
        extension.extend(tmp_path / "run.zarr", n_trajectories=10**4)
    assert files(tmp_path / "run.zarr") == before


def own_force(x, parameters):
    return -parameters[0] * x * x * x


def test_forces_of_ones_own_need_the_plan(tmp_path):
    force = sb.Force(function=own_force, parameters=np.array([[0.1], [0.2]]))
    plan = {"forces": (force,), "step": 0.05, "statistics": ()}
    make(tmp_path / "run.zarr", n_trajectories=4, n_steps=20, **plan)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=7, n_steps=20, **plan)
    with pytest.raises(PlanError, match=r"`own_force`.*give the longer `plan`"):
        extension.extend(tmp_path / "run.zarr", n_trajectories=7)
    longer = sb.Plan(**{**COMMON, **plan}, n_trajectories=7, n_steps=20)
    extension.extend(tmp_path / "run.zarr", plan=longer)
    require_same(sb.run(longer, tmp_path / "run.zarr", workers="serial"), fresh)


# ---------------------------------------------------------------------- kills, and others at work


def test_another_run_at_work_refuses_it(tmp_path):
    path = tmp_path / "run.zarr"
    store = make(path, n_trajectories=4, n_steps=32)
    with store.lock((1, 2)), pytest.raises(StoreLockedError):
        extension.extend(path, n_steps=64)
    extension.extend(path, n_steps=64)
    with pytest.raises(StoreError, match="was changed since it was opened"), store.lock():
        pass


def test_a_unit_that_was_begun_before_is_not_written_after(tmp_path, monkeypatch):
    """A worker that outlived its run: its unit of the old length must not count for the longer one."""
    path = tmp_path / "run.zarr"
    plan = sb.Plan(**COMMON, n_trajectories=13, n_steps=32)
    Store.create(path, plan, LAYOUT)
    usual = units.make_unit

    def slow(store, forces, block, segment):
        unit = usual(store, forces, block, segment)
        if not extended:
            extended.append(extension.extend(path, n_trajectories=16))
        return unit

    extended = []
    monkeypatch.setattr(units, "make_unit", slow)
    with pytest.raises(StoreError, match="was changed while a unit of it was made"):
        units.run_unit((), units.Task(str(path), 1, 0))
    assert not Store.open(path).done.any()
    sb.run(extended[0].plan, path, workers="serial").verify()


def test_killed_anywhere_it_is_the_old_run_or_the_new(tmp_path):
    """At every file that is put in place or removed; real processes and real kills."""
    sizes = {"n_trajectories": 13, "n_steps": 24}
    old = make(tmp_path / "old.zarr", n_trajectories=11, n_steps=19).plan
    fresh = make(tmp_path / "fresh.zarr", **sizes)
    expected = files(tmp_path / "fresh.zarr")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stochbind.engine.extension", "damage"])
    seen = []
    for at in range(1, 100, 2):
        path = tmp_path / f"{at}.zarr"
        shutil.copytree(tmp_path / "old.zarr", path)
        process = context.Process(target=damage.killed, args=(path, at, "extend", sizes))
        process.start()
        process.join()
        if process.exitcode == 0:  # there was no such file
            break
        assert process.exitcode == -signal.SIGKILL
        began = (path / extension.JOURNAL).exists()
        if began:  # who only reads finishes nothing
            with pytest.raises(StoreError, match="start the extension again to finish it"):
                Store.open(path)
        extension.roll_forward(place(path))
        store = Store.open(path)
        assert not (path / extension.JOURNAL).exists()
        if store.plan.fingerprint == old.fingerprint:
            assert not began
            store.verify()
            assert store.done.all()
        else:
            assert store.plan.fingerprint == fresh.plan.fingerprint
        seen.append((began, store.plan.fingerprint == old.fingerprint))
        if at % 10 == 1:
            extension.extend(path, **sizes)
            sb.run(fresh.plan, path, workers="serial")
            assert files(path) == expected
        shutil.rmtree(path)
    assert {(False, True), (True, False), (False, False)} == set(seen)
    assert len(seen) > 10


def interrupted(path, monkeypatch, **sizes):
    """A store whose journal is in place, and none of it done."""
    with monkeypatch.context() as patched:
        patched.setattr(extension, "apply", lambda place, journal: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extension.extend(path, **sizes)
    assert (path / extension.JOURNAL).exists()


def test_where_one_may_not_write_an_interrupted_extension_is_told(tmp_path, monkeypatch):
    path = tmp_path / "run.zarr"
    make(path, n_trajectories=4, n_steps=32)
    interrupted(path, monkeypatch, n_steps=64)
    with monkeypatch.context() as patched:
        patched.setattr(LocalPlace, "writable", lambda self: False)
        with pytest.raises(StoreError, match="its extension was interrupted, and here it cannot be written to"):
            extension.extend(path, n_steps=64)
    before = files(path)
    for read in (sb.open, Store.open, repairing.examine):
        with pytest.raises(StoreError, match="start the extension again to finish it"):
            read(path)
    assert files(path) == before
    assert extension.extend(path, n_steps=64).plan.n_steps == 64


def test_a_store_that_was_changed_in_between_is_not_written_to(tmp_path, monkeypatch):
    """The one who extends was killed after others had opened the store."""
    path = tmp_path / "run.zarr"
    store = make(path, n_trajectories=4, n_steps=32)
    interrupted(path, monkeypatch, n_steps=64)
    with pytest.raises(StoreError, match="was changed since it was opened"), store.lock():
        pass


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_damaged_journal_is_found_and_repaired(tmp_path, monkeypatch, done):
    """However far it was done."""
    path = tmp_path / "run.zarr"
    old = make(path, n_trajectories=5, n_steps=19).plan
    interrupted(path, monkeypatch, n_trajectories=7, n_steps=32)
    journal = (path / extension.JOURNAL).read_bytes()
    longer = sb.Plan(**COMMON, n_trajectories=7, n_steps=32)
    with monkeypatch.context() as patched:
        calls = itertools.count(1)

        def stopping(usual):
            def call(self, *arguments):
                if next(calls) > done:
                    raise KeyboardInterrupt
                return usual(self, *arguments)

            return call

        for name in ("write_all", "delete"):
            patched.setattr(LocalPlace, name, stopping(getattr(LocalPlace, name)))
        with pytest.raises(KeyboardInterrupt):
            extension.roll_forward(place(path))
    root = json.loads((path / "zarr.json").read_bytes())["attributes"]["stochbind"]
    (path / extension.JOURNAL).write_bytes(journal.replace(b"n_steps", b"n_stops", 1))
    with pytest.raises(StoreDamagedError, match=r"engine/extension.json was altered; `stochbind repair"):
        sb.open(path)
    assert [damage.file for damage in repairing.examine(path).damages] == [extension.JOURNAL]
    repairing.repair(path, workers="serial")
    store = Store.open(path)
    assert store.plan.fingerprint == root["fingerprint"]
    assert store.plan.fingerprint == (longer if done == 2 else old).fingerprint
    sb.run(store.plan, path, workers="serial").verify()
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=store.plan.n_trajectories, n_steps=store.plan.n_steps)
    require_same(store, fresh)


# ---------------------------------------------------------------------- stores made by others


@pytest.mark.parametrize(
    "hostile",
    [
        {"remove": ["../victim"]},
        {"remove": ["zarr.json"]},
        {"members": {"../victim": "owned"}},
        {"members": {"/victim": "owned"}},
        {"members": {"position/c.0.0.0.0": "owned"}},
        {"members": {"position/zarr.json": "owned"}},
        {"root": "{}"},
        {"plan": {}},
        {},  # a twin: it is what was written, and is done
    ],
)
def test_a_journal_names_no_other_files(tmp_path, monkeypatch, hostile):
    """Its seal can be made by anybody."""
    path, victim = tmp_path / "run.zarr", tmp_path / "victim"
    make(path, n_trajectories=5, n_steps=19)
    interrupted(path, monkeypatch, n_steps=32)
    victim.write_text("precious")
    journal = json.loads((path / extension.JOURNAL).read_bytes())
    for key, value in hostile.items():
        value = (
            {name.replace("/victim", str(victim), 1) if name[0] == "/" else name: value[name] for name in value}
            if key == "members"
            else value
        )
        journal[key] = (
            value
            if key in ("root", "plan")
            else type(value)([*journal[key], *value])
            if isinstance(value, list)
            else journal[key] | value
        )
    journal["seal"] = seal(journal)
    (path / extension.JOURNAL).write_text(json.dumps(journal))
    before = files(tmp_path)
    if not hostile:
        extension.roll_forward(place(path))
        assert Store.open(path).plan.n_steps == 32
        return
    for act in (Store.open, sb.open, lambda path: extension.extend(path, n_steps=32)):
        with pytest.raises(StoreDamagedError, match=r"extension.json was altered"):
            act(path)
        assert files(tmp_path) == before
    repairing.repair(path, workers="serial")
    assert victim.read_text() == "precious"
    assert Store.open(path).plan.n_steps == 19


def test_metadata_name_no_files_out_of_the_store(tmp_path):
    """An absolute key, and one that the plan does not give."""
    victim = tmp_path / "zarr.json"
    victim.write_text("precious")
    for name, key in (("a", str(victim)), ("b", "../zarr.json"), ("c", "more/zarr.json"), ("d", "more")):
        path = tmp_path / name
        make(path, n_trajectories=2, n_steps=16, statistics=())
        root = json.loads((path / "zarr.json").read_bytes())
        attributes = root["attributes"]["stochbind"]
        attributes["metadata"][key] = bytes_digest(b"")
        attributes["seal"] = seal(attributes)
        (path / "zarr.json").write_text(json.dumps(root))
        with pytest.raises(StoreDamagedError):
            Store.open(path)
        if name != "d":  # without a seal it is mended from its copy
            with pytest.raises(StoreDamagedError):
                repairing.repair(path, workers="serial")
        assert victim.read_text() == "precious"
        assert not (path / "more").exists()
