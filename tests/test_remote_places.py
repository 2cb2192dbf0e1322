"""Places at URLs: objects in memory; and leases, between real processes that share a folder through fsspec."""

import os
import re
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import xarray as xr
import zarr

import stochbind as sb
import systems
from stochbind.engine import remote_places
from stochbind.engine.places import place
from stochbind.engine.remote_places import RemotePlace
from stochbind.errors import PlanError, StoreDamagedError, StoreError, StoreLockedError

ATTRIBUTES = {"schema": 1}


def contents(group):
    group.create_array("x", data=np.arange(1.0, 41.0), chunks=(1,), dimension_names=("i",))
    group.attrs["stochbind"] = ATTRIBUTES


@pytest.fixture
def empty(request):
    store = place(f"memory://{request.node.name}/run.zarr")
    yield store
    store.delete(store.keys())


@pytest.fixture
def store(empty):
    empty.create(contents)
    return empty


@pytest.fixture
def quick(monkeypatch):
    """Leases that are renewed and given up soon."""
    for name, seconds in (("RENEWAL", 0.05), ("LEFT_AFTER", 0.6), ("_LOOK", 0.02)):
        monkeypatch.setattr(remote_places, name, seconds)


@pytest.mark.parametrize("word", ["processes", "dask", "tcp://127.0.0.1:1", "x.toml", "serial", "threads"])
def test_workers_that_do_not_see_memory_are_refused(empty, word):
    plan = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), step=0.4, n_steps=6, n_trajectories=4)
    if word in ("serial", "threads"):
        assert sb.run(plan, empty.url, workers=word).done.all()
        return
    with pytest.raises(PlanError, match="use serial or threads"):
        sb.run(plan, empty.url, workers=word)
    assert not empty.exists()


def test_a_store_in_memory(store):
    assert isinstance(store, RemotePlace)
    assert str(store) == store.address == store.url
    assert not store.shared
    assert store.attributes() == ATTRIBUTES
    assert store.free_bytes() is None
    assert store.writable()
    group = zarr.open_group(store.zarr_store(), mode="r+")
    group["x"][3] = -1.0
    store.flush(["x/c/3"])
    dataset = xr.open_zarr(store.zarr_store(read_only=True))
    np.testing.assert_array_equal(dataset["x"], [1.0, 2.0, 3.0, -1.0, *range(5, 41)])
    assert zarr.open_group(store.url, mode="r").metadata.consolidated_metadata is not None
    with pytest.raises(StoreError, match="exists already"):
        store.create(contents)
    assert "engine/lock/draft" not in store.keys("")


def test_objects_come_and_go(store):
    assert store.read("y/some") is None
    store.write_all({"y/some": b"one", "y/other": memoryview(np.arange(3.0)).cast("B"), "y/empty": b""})
    assert store.read("y/some") == b"one"
    assert np.frombuffer(store.read("y/other")).tolist() == [0.0, 1.0, 2.0]
    store.write("y/some", b"two")
    assert store.read("y/some") == b"two"
    assert store.keys("y") == ["y/empty", "y/other", "y/some"]
    assert store.missing(["y/none", "y/some", "y/empty", "zarr.json"]) == ["y/none", "y/empty"]
    many = [f"x/c/{i}" for i in range(60)]
    assert store.missing(many) == many[40:]
    store.delete(["y/some", "y/none", "y/other", "y/empty"])
    assert store.keys("y") == []
    store.sweep()


@pytest.mark.parametrize(
    ("alter", "error", "words"),
    [
        (lambda store: store.delete(store.keys()), StoreError, "there is no such store"),
        (lambda store: store.delete(["zarr.json"]), StoreError, "it holds no zarr.json"),
        (lambda store: store.write("zarr.json", b"{"), StoreDamagedError, "its zarr.json is damaged (JSON"),
        (lambda store: store.write("zarr.json", b"[]"), StoreError, "but other data"),
    ],
)
def test_other_things_are_no_stores(store, alter, error, words):
    alter(store)
    with pytest.raises(StoreError, match=re.escape(words)) as caught:
        store.attributes()
    assert type(caught.value) is error


@pytest.mark.parametrize("n_written", [0, 1, 2, 3, 4])
def test_what_a_killed_creator_left_does_not_count(empty, quick, monkeypatch, n_written):
    """The connection is lost after some objects; nobody sees a store; another run makes it from the beginning."""
    real, count = empty._files.pipe_file, 0

    def lost(path, data):
        nonlocal count
        count += "x/c/" in path
        if count > n_written:
            raise ConnectionError("the connection was lost")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(empty._files, "pipe_file", lost)
        with pytest.raises(StoreError, match="cannot be written: the connection was lost"):
            empty.create(contents)
    assert not empty.exists()
    empty.create(lambda group: group.attrs.update({"stochbind": ATTRIBUTES}))
    assert empty.attributes() == ATTRIBUTES
    assert not [key for key in empty.keys("") if key.startswith("x/")]
    assert empty.keys("engine/lock") == ["engine/lock/zarr.json"]


def test_data_of_others_are_not_written_over(empty):
    empty.write("somebody/else", b"1")
    with pytest.raises(StoreError, match="exists already"):
        empty.create(contents)
    assert empty.keys() == ["somebody/else"]


def test_of_several_that_race_to_create_one_wins(empty, quick):
    start, results = threading.Barrier(3), []

    def create():
        start.wait()
        try:
            empty.create(contents)
            results.append("made")
        except StoreError as error:
            results.append("exists" if "exists already" in str(error) else type(error).__name__)

    threads = [threading.Thread(target=create) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("made") <= 1  # those that find each other's lease at once may all give way
    assert set(results) <= {"made", "exists", "StoreLockedError"}
    assert empty.exists() == ("made" in results)


@pytest.mark.parametrize(
    ("url", "words"),
    [("nowhere://bucket/run.zarr", "Protocol not known: nowhere"), ("s3://bucket/run.zarr", "s3fs")],
)
def test_what_is_missing_is_named(url, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=words) as caught:
        place(url)
    assert str(caught.value).startswith(f"{url}: ")


# ---------------------------------------------------------------------- leases


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (None, None, False),
        (None, (1, 2), False),
        ((1, 2), None, False),
        ((1, 2), (1, 2), False),
        ((1, 2), (2, 2), True),
        ((1, 2), (11, 12), True),
    ],
)
def test_who_may_hold_a_store_together(store, quick, first, second, together):
    with store.lock(first):
        if together:
            with store.lock(second):
                assert len(store.keys("engine/lock")) == 3
        else:
            with pytest.raises(StoreLockedError, match=rf"another run \(process {os.getpid()} on "), store.lock(second):
                pass
        time.sleep(0.15)
        (lease,) = set(store.keys("engine/lock")) - {"engine/lock/zarr.json"}
        assert b'"renewal": ' in store.read(lease)
    assert store.keys("engine/lock") == ["engine/lock/zarr.json"]


@pytest.mark.parametrize("jump", [-3e7, 0.0, 3e7])
def test_a_lease_left_behind_counts_for_a_minute_of_our_own_clock(store, quick, monkeypatch, jump):
    """Whatever it says about its time, and wherever the clock of this machine jumps."""
    store.write("engine/lock/all.00ff", b'{"process": 1, "host": "far", "since": "2999-01-01 00:00+00:00"}')
    start, real = time.monotonic(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump * (time.monotonic() > start + 0.2))
    with store.lock():
        assert 0.6 < time.monotonic() - start < 5.0
        assert len(store.keys("engine/lock")) == 2
    assert store.keys("engine/lock") == ["engine/lock/zarr.json"]


def test_a_lease_that_is_renewed_refuses_whatever_its_time(store, quick):
    """The clock of its holder is a millennium behind, which nobody compares."""
    done = threading.Event()
    started = threading.Event()

    def renew():
        renewal = 0
        while not done.wait(0.1):
            renewal += 1
            text = f'{{"process": 77, "host": "far", "since": "1026-01-01 00:00+00:00", "renewal": {renewal}}}'
            store.write("engine/lock/3-of-4.00ff", text.encode())
            started.set()

    holder = threading.Thread(target=renew)
    holder.start()
    started.wait()
    try:
        with pytest.raises(StoreLockedError, match=r"process 77 on far, since 1026-.* is writing to it"), store.lock():
            pass
        with pytest.raises(StoreLockedError, match="part 3 of 4 of it"), store.lock((3, 4)):
            pass
        with store.lock((2, 4)):
            pass
    finally:
        done.set()
        holder.join()


SHARED = """
    import os, sys, time
    import fsspec.config
    fsspec.config.conf["file"] = {"auto_mkdir": True}
    from stochbind.engine import remote_places
    from stochbind.errors import StoreLockedError
    remote_places.RENEWAL, remote_places.LEFT_AFTER, remote_places._LOOK = 0.1, 1.5, 0.05
    store = remote_places.RemotePlace("file://" + sys.argv[1])
    """


def python(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(SHARED) + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_lease_is_given_to_one_at_a_time(tmp_path):
    """Processes that take and give it as fast as they can."""
    code = """
        end, taken = time.monotonic() + 2.0, 0
        while time.monotonic() < end:
            try:
                with store.lock():
                    with open(sys.argv[1] + "/inside", "x"):
                        taken += 1
                    time.sleep(0.02)
                    os.unlink(sys.argv[1] + "/inside")
            except StoreLockedError:
                pass
        print(taken)
        """
    takers = [python(code, tmp_path) for _ in range(2)]
    total = 0
    for taker in takers:
        output, errors = taker.communicate()
        assert taker.returncode == 0, errors  # the file "inside" was there: two were inside
        total += int(output)
    assert total > 3
    assert os.listdir(tmp_path / "engine" / "lock") == []


def test_a_killed_holder_is_followed(tmp_path):
    holder = python(
        """
        with store.lock():
            print("held", flush=True)
            time.sleep(600)
        """,
        tmp_path,
    )
    follower = None
    try:
        assert holder.stdout.readline() == "held\n"
        code = """
            try:
                with store.lock():
                    print("taken")
            except StoreLockedError as error:
                print(error)
            """
        output, errors = python(code, tmp_path).communicate()
        assert f"another run (process {holder.pid} on " in output, errors
        holder.kill()
        holder.wait()
        follower = python(code, tmp_path)
        output, errors = follower.communicate()
        assert output == "taken\n", errors
    finally:
        holder.kill()
        holder.communicate()
    assert os.listdir(tmp_path / "engine" / "lock") == []
