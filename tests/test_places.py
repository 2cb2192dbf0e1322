"""Places of stores: bytes that appear whole, locks that end with their holder, refusals in one sentence.

With real files, real processes and real SIGKILL.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from stochbind.engine import locks
from stochbind.engine.places import LocalPlace, place
from stochbind.errors import PlanError, StoreDamagedError, StoreError, StoreLockedError

ATTRIBUTES = {"schema": 1, "plan": {}}


def contents(group):
    """A small store: an array, a group, and the attributes."""
    group.create_array("x", data=np.arange(6.0), chunks=(3,))
    group.create_group("theory").create_array("y", data=np.arange(4.0))
    group.attrs["stochbind"] = ATTRIBUTES


@pytest.fixture
def store(tmp_path):
    local = place(tmp_path / "run.zarr")
    local.create(contents)
    return local


def python(code, *arguments, **options):
    """A process that runs some code, with its output in a pipe."""
    code = "import sys, time, os\nfrom stochbind.engine.places import place\n" + textwrap.dedent(code)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@contextlib.contextmanager
def holding(where, *part):
    """A process that holds a lock, until it is killed."""
    holder = python(
        """
        part = tuple(map(int, sys.argv[2:])) or None
        with place(sys.argv[1]).lock(part):
            print("held", flush=True)
            time.sleep(600)
        """,
        where,
        *part,
    )
    try:
        assert holder.stdout.readline() == "held\n", holder.communicate()
        yield holder
    finally:
        holder.kill()
        holder.communicate()


# ---------------------------------------------------------------------- names


def test_what_is_a_path(tmp_path):
    assert isinstance(place("run.zarr"), LocalPlace)
    assert isinstance(place(tmp_path), LocalPlace)
    assert place(f"file://{tmp_path}/run.zarr").path == tmp_path / "run.zarr"
    assert place("a::b:c.zarr").path == Path("a::b:c.zarr")
    assert str(place("some/run.zarr")) == "some/run.zarr"
    assert place("some/run.zarr").address == os.path.join(os.path.realpath("."), "some/run.zarr")
    assert place("sweep.zarr").child("point_3").path == Path("sweep.zarr/point_3").absolute()
    with pytest.raises(PlanError, match="zero byte"):
        place("run\0.zarr")


# ---------------------------------------------------------------------- nowhere else


@pytest.mark.parametrize("key", ["../secret", "x/../../secret", "/secret", "out/secret", "link", "out"])
def test_nothing_is_touched_out_of_the_store(store, tmp_path, key):
    """By no key and through no link, which a store that others made may hold."""
    (tmp_path / "folder").mkdir()
    for secret in (tmp_path / "secret", tmp_path / "folder" / "secret"):
        secret.write_text("precious")
    (store.path / "out").symlink_to(tmp_path / "folder")
    (store.path / "link").symlink_to(tmp_path / "secret")
    key = f"{tmp_path}{key}" if key[0] == "/" else key
    for act in (
        lambda: store.read(key),
        lambda: store.write(key, b"owned"),
        lambda: store.write_all({"x/fine": b"1", key: b"owned"}),
        lambda: store.delete([key]),
        lambda: store.missing([key]),
        lambda: store.keys(key),
        lambda: store.flush([key]),
        lambda: store.child(key),
        lambda: zarr.open_array(store.zarr_store(read_only=True), path=key) if ".." not in key else store.read(key),
    ):
        with pytest.raises((StoreDamagedError, ValueError)):
            act()
    assert {p.read_text() for p in (tmp_path / "secret", tmp_path / "folder" / "secret")} == {"precious"}
    assert sorted(os.listdir(tmp_path / "folder")) == ["secret"]
    assert not list(store.path.rglob("*.partial"))


def test_links_within_the_store_are_followed(store, tmp_path):
    store.write("x/one", b"1")
    (store.path / "y").symlink_to("x")
    (store.path / "x" / "two").symlink_to("one")
    assert store.read("y/two") == b"1"
    (tmp_path / "other.zarr").symlink_to(store.path)
    assert place(tmp_path / "other.zarr").read("y/one") == b"1"


def test_a_lock_that_is_a_link_is_not_followed(store, tmp_path):
    (tmp_path / "secret").write_text("precious")
    (store.path / "engine" / "lock" / "all").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError), store.lock():
        pass
    assert (tmp_path / "secret").read_text() == "precious"


def test_what_has_no_end_is_not_read(store):
    os.mkfifo(store.path / "x" / "pipe")
    assert store.read("x/pipe") is None
    assert store.missing(["x/pipe"]) == ["x/pipe"]
    (store.path / "zarr.json").unlink()
    os.mkfifo(store.path / "zarr.json")
    with pytest.raises(StoreError, match=r"holds no zarr\.json"):
        store.attributes()
    os.unlink(store.path / "zarr.json")
    with open(store.path / "zarr.json", "wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(StoreDamagedError, match=r"its zarr\.json is damaged: it has 268435457 bytes"):
        store.attributes()
    (store.path / "zarr.json").unlink()
    (store.path / "zarr.json").symlink_to("/dev/zero")
    with pytest.raises(StoreDamagedError, match="link out of the store"):
        store.attributes()


def test_a_relative_path_stays_where_it_was(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = place("run.zarr")
    group = zarr.open_group(relative.zarr_store(read_only=True), mode="r")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert str(relative) == "run.zarr"
    assert relative.read("zarr.json") == store.read("zarr.json")
    assert relative.child("x").read("zarr.json") is not None
    np.testing.assert_array_equal(group["x"][:], np.arange(6.0))
    assert place("run.zarr").read("zarr.json") is None  # the twin


# ---------------------------------------------------------------------- bytes


def test_files_come_and_go(store):
    assert store.read("x/some") is None
    assert store.read("x") is None
    assert store.read("x/zarr.json/deeper") is None
    store.write_all({"x/some": b"one", "new/er/file": memoryview(np.arange(3.0))})
    assert store.read("x/some") == b"one"
    assert np.frombuffer(store.read("new/er/file")).tolist() == [0.0, 1.0, 2.0]
    store.write("x/some", b"two")
    assert store.read("x/some") == b"two"
    assert store.keys("new") == ["new/er/file"]
    (store.path / "new" / "er" / "file.123.partial").write_bytes(b"half")
    assert store.keys("new") == ["new/er/file"]
    assert "zarr.json" in store.keys("")
    assert "x/some" in store.keys("")
    store.flush(["x/some", "new/er/file"])
    store.delete(["x/some", "never/there", "new/er/file"])
    assert store.read("x/some") is None
    assert store.keys("new") == []
    assert store.keys("nowhere") == []
    store.sweep()
    assert not list(store.path.rglob("*.partial"))


def test_missing_files_are_those_that_are_not_there_or_empty(store):
    n = 6
    keys = [f"{folder}/c.{i}" for i in range(n) for folder in ("x", "theory/y", "nowhere")]
    (store.path / "x" / "c.0.5f.partial").write_bytes(b"half")
    for i in range(0, n, 2):
        store.write(f"x/c.{i}", b"1")
        store.write(f"theory/y/c.{i}", b"" if i else b"1")
    (store.path / "x" / "c.1").mkdir()
    absent = [key for key in keys if not (store.path / key).is_file() or not (store.path / key).stat().st_size]
    assert 0 < len(absent) < len(keys)
    assert store.missing(iter(keys)) == absent
    assert store.missing(["zarr.json", "other.json"]) == ["other.json"]


def test_folders_and_files_are_flushed_once(store, monkeypatch):
    """Everything that is new is flushed, file before folder; a later call that needs the first finds it on disk."""
    calls = []
    real = os.fsync

    def fsync(descriptor):
        calls.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), store.path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)

    def begun(key):  # while a file is flushed, the next one is made
        while key == "a/two" and not calls:
            time.sleep(0.001)
        return key, (b"1", b"23")

    store.write_all(begun(key) for key in ("a/b/one", "a/two", "a/b/three"))
    files, folders = calls[:3], calls[3:]
    assert sorted(re.sub(r"\.[0-9a-f]{32}\.partial$", "", name) for name in files) == ["a/b/one", "a/b/three", "a/two"]
    assert sorted(folders) == [".", "a", "a/b"]
    assert store.read("a/two") == b"123"
    calls.clear()
    store.write("a/b/four", b"4")
    assert calls[1:] == ["a/b"]  # no folder above has a new entry
    calls.clear()
    store.flush(["a/b/one", "a/b/three", "a/b/one"])
    assert calls[:2] == ["a/b/one", "a/b/three"]
    assert sorted(calls[2:]) == [".", "a", "a/b"]


def test_a_killed_writer_leaves_the_old_or_the_new(store):
    """SIGKILL at any moment: each file is one of those that were written, and what is left is swept."""
    rng = np.random.default_rng(1)
    size, left = 200_000, 0
    for _ in range(8):
        writer = python(
            """
            store, size = place(sys.argv[1]), int(sys.argv[2])
            print("begin", flush=True)
            for i in range(10**9):
                byte = bytes([i % 256])
                store.write_all({"x/one": byte * size, "x/two": byte * size})
            """,
            store,
            size,
        )
        assert writer.stdout.readline() == "begin\n"
        time.sleep(rng.uniform(0.01, 0.06))
        writer.kill()
        writer.communicate()
        for key in ("x/one", "x/two"):
            found = store.read(key)
            assert found is None or (len(found) == size and len(set(found)) == 1)
        left += len(list(store.path.rglob("*.partial")))
        store.sweep()
        assert not list(store.path.rglob("*.partial"))
    assert left > 0  # or the kills came too late to show anything


# ---------------------------------------------------------------------- refusals


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    """A real file system of one megabyte, where one may be mounted; else this is left to the limit below."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        store = place(disk / "run.zarr")
        store.create(contents)
        assert 0 < store.free_bytes() < 2**20
        noise = np.random.default_rng(0).normal(size=2**17)  # that no codec can make smaller
        store.write("x/small", bytes(2**19))
        with pytest.raises(StoreError, match=re.escape(f"{store}: cannot be written: No space left on device.")):
            store.write_all({"x/one": bytes(2**18), "x/two": bytes(2**19)})
        assert store.missing(["x/small", "x/one", "x/two"]) == ["x/one", "x/two"]
        assert not list(store.path.rglob("*.partial"))
        store.delete(["x/small"])
        store.write_all({"x/one": bytes(2**17), "x/two": bytes(2**17)})
        # At the end, as Zarr's threads may be writing chunks that are not missed any more.
        with (
            pytest.raises(StoreError, match=r"No space left on device; start the same run again\.$"),
            store.writing("; start the same run again"),
        ):
            zarr.open_group(store.zarr_store()).create_array("z", data=noise)
        with pytest.raises(StoreError, match="No space left on device"):
            place(disk / "other.zarr").create(lambda group: group.create_array("x", data=noise))
        assert sorted(os.listdir(disk)) == ["run.zarr"]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_limit_of_the_size_of_files_is_told(store):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(StoreError, match=re.escape(f"{store}: cannot be written: File too large.")):
            store.write("x/large", bytes(2**17))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.missing(["x/large"]) == ["x/large"]
    assert not list(store.path.rglob("*.partial"))


def test_what_may_not_be_written_is_told(tmp_path):
    """As a user without rights: a read-only store cannot be locked, written, or made beside."""
    with (tmp_path / "inner").open("w"):  # a file where a folder is wanted
        pass
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        place(tmp_path / "inner" / "run.zarr").create(contents)
    folder = Path("/tmp") / f"stochbind-places-{os.getpid()}"  # pytest's own are closed to others
    try:
        place(folder / "run.zarr").create(contents)
        for entry in [folder, *folder.rglob("*")]:
            entry.chmod(0o555 if entry.is_dir() else 0o444)
        code = """
            from stochbind.errors import StoreError
            place(sys.argv[2]).create(lambda group: None)  # to import all of it
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            store, other = place(sys.argv[1]), place(sys.argv[1] + "2")
            print(store.writable(), other.writable(), store.attributes()["schema"])
            def lock():
                with store.lock():
                    pass
            for act in (lock, lambda: store.write("x/c/0", b"1"), lambda: store.delete(["x/c/0"]),
                        lambda: other.create(lambda group: None)):
                try:
                    act()
                except StoreError as error:
                    print(error)
            """
        output, errors = python(code, folder / "run.zarr", tmp_path / "mine.zarr", cwd="/").communicate()
        lines = output.splitlines()
        assert lines[0] == "False False 1", errors
        assert lines[1] == (f"{folder}/run.zarr: cannot be written to; copy it to a place of your own to continue it.")
        assert lines[2:4] == [f"{folder}/run.zarr: cannot be written: Permission denied."] * 2
        assert lines[4] == f"{folder}/run.zarr2: cannot be written: Permission denied."
    finally:
        for entry in [folder, *folder.rglob("*")]:
            entry.chmod(0o755)
        shutil.rmtree(folder)


def test_a_removed_store_is_not_begun_anew(store):
    with store.lock():
        shutil.rmtree(store.path)
        with pytest.raises(StoreError, match="removed or moved"):
            store.write("x/one", b"1")
    assert not store.exists()


# ---------------------------------------------------------------------- creation


def test_a_store_is_plain_zarr(store):
    group = zarr.open_group(store.zarr_store(read_only=True), mode="r")
    assert group.metadata.consolidated_metadata is not None
    np.testing.assert_array_equal(group["x"][...], np.arange(6.0))
    names = [name for name, _ in zarr.open_group(store.path, use_consolidated=False).members(max_depth=None)]
    assert {"x", "theory", "theory/y"} < set(names)
    with store.lock(), pytest.raises(StoreLockedError), place(store.path).lock():
        pass  # a reader is told nothing about locks (a warning is an error here)
    with store.lock((1, 2)):
        assert len(list(zarr.open_group(store.path, use_consolidated=False).members(max_depth=None))) == len(names)
    assert store.attributes() == ATTRIBUTES
    assert store.exists()
    assert store.writable()


def test_a_store_appears_whole_or_not_at_all(tmp_path):
    store = place(tmp_path / "deep" / "er" / "run.zarr")

    def fails(group):
        contents(group)
        assert not store.exists()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.create(fails)
    assert os.listdir(tmp_path) == []
    store.create(contents)
    assert store.attributes() == ATTRIBUTES
    with pytest.raises(StoreError, match="exists already; choose another path, or remove it"):
        store.create(contents)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="exists already"):
        place(tmp_path / "link").create(contents)


def test_of_two_that_race_to_create_one_wins(tmp_path):
    """Several rounds, both processes starting at the same instant."""
    rounds = 6
    code = """
        from stochbind.errors import StoreError, StoreLockedError
        def contents(group):
            group.create_array("x", shape=(9,), dtype="f8")
            group.attrs["stochbind"] = {"by": os.getpid()}
        print("ready", flush=True)
        start = float(sys.stdin.readline())
        for i in range(int(sys.argv[2])):
            time.sleep(max(0.0, start + 0.15 * i - time.time()))
            try:
                place(f"{sys.argv[1]}/{i}.zarr").create(contents)
                print(os.getpid())
            except StoreLockedError as error:
                assert "another run has just begun there" in str(error), error
                print("locked")
            except StoreError as error:
                assert "exists already" in str(error), error
                print("exists")
        """
    racers = [python(code, tmp_path, rounds, stdin=subprocess.PIPE) for _ in range(2)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    start = f"{time.time() + 0.2}\n"
    output = []
    for racer in racers:
        racer.stdin.write(start)
        racer.stdin.flush()
    for racer in racers:
        out, errors = racer.communicate()
        assert racer.returncode == 0, errors
        output.append(out.split())
    for i in range(rounds):
        winners = [racer.pid for racer, lines in zip(racers, output, strict=True) if lines[i] == str(racer.pid)]
        assert [place(tmp_path / f"{i}.zarr").attributes()["by"]] == winners
    assert sorted(os.listdir(tmp_path)) == [f"{i}.zarr" for i in range(rounds)]


def test_what_a_killed_creator_left_is_removed(tmp_path):
    creator = python(
        """
        def never(group):
            print("begun", flush=True)
            time.sleep(600)
        place(sys.argv[1]).create(never)
        """,
        tmp_path / "run[1].zarr",
    )
    try:
        assert creator.stdout.readline() == "begun\n"
        (draft,) = tmp_path.iterdir()
        other = tmp_path / ".run[1].zarr.another-host.1234567.ab12cd34.draft"
        other.mkdir()
        place(tmp_path / "run[1].zarr").create(contents)
        assert draft.exists()  # its maker lives
    finally:
        creator.kill()
        creator.communicate()
    shutil.rmtree(tmp_path / "run[1].zarr")
    place(tmp_path / "run[1].zarr").create(contents)
    assert not draft.exists()
    assert other.exists()  # nobody here knows whether its maker lives


# ---------------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    ("alter", "error", "words"),
    [
        (lambda path: shutil.rmtree(path), StoreError, "there is no such store"),
        (lambda path: (shutil.rmtree(path), path.write_text("")), StoreError, "not a stochbind store, but a file"),
        (lambda path: (path / "zarr.json").unlink(), StoreError, "or only half copied: it holds no zarr.json"),
        (lambda path: (path / "zarr.json").write_bytes(b"\xff\xfe"), StoreDamagedError, "damaged (no text)"),
        (lambda path: (path / "zarr.json").write_text('{"attri'), StoreDamagedError, "its zarr.json is damaged (JSON"),
        (lambda path: (path / "zarr.json").write_text("[" * 10**5), StoreDamagedError, "its zarr.json is damaged"),
        (lambda path: (path / "zarr.json").write_text("{}"), StoreError, "not a stochbind store, but other data"),
        (lambda path: (path / "zarr.json").write_text("[1]"), StoreError, "not a stochbind store, but other data"),
    ],
)
def test_other_things_are_no_stores(store, alter, error, words):
    alter(store.path)
    with pytest.raises(StoreError, match=re.escape(words)) as caught:
        store.attributes()
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"{store}: ")


# ---------------------------------------------------------------------- locks


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ((), (), False),
        ((), (1, 2), False),
        ((1, 2), (), False),
        ((1, 2), (1, 2), False),
        ((1, 2), (2, 2), True),
        ((1, 2), (1, 3), True),
    ],
)
def test_who_may_hold_a_store_together(store, first, second, together):
    with holding(store.path, *first) as holder:
        if together:
            with store.lock(second):
                pass
            with pytest.raises(StoreLockedError), store.lock(first):  # and giving up one part frees no other
                pass
        else:
            with pytest.raises(StoreLockedError) as caught, store.lock(second or None):
                pass
            what = "part 1 of 2 of it" if first == second == (1, 2) else "it"
            pattern = (
                rf"{re.escape(str(store))}: another run \(process {holder.pid} on {re.escape(os.uname().nodename)}, "
                rf"since \d{{4}}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d\) is writing to {what}; wait for it to end\."
            )
            assert re.fullmatch(pattern, str(caught.value))
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with store.lock(second or None):  # nobody has to unlock anything
            pass
    with store.lock():
        pass
    assert store.keys("engine/lock") == ["engine/lock/zarr.json"]


def test_many_holders_are_counted(store):
    with holding(store.path, 1, 3) as one, holding(store.path, 3, 3):
        (store.path / "engine" / "lock" / "2-of-3").write_text(json.dumps(locks.holder()))  # it was killed
        words = rf"process {one.pid} on .*, and 1 more, are writing to it"
        with pytest.raises(StoreLockedError, match=words), store.lock():
            pass


def test_a_lock_is_given_to_one_at_a_time(store):
    """Processes that take and give it as fast as they can, while its file comes and goes."""
    code = """
        from stochbind.errors import StoreLockedError
        store, end, taken = place(sys.argv[1]), time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            try:
                with store.lock():
                    with open(sys.argv[1] + "/inside", "x"):
                        taken += 1
                    os.unlink(sys.argv[1] + "/inside")
            except StoreLockedError:
                pass
        print(taken)
        """
    takers = [python(code, store) for _ in range(3)]
    for taker in takers:
        output, errors = taker.communicate()
        assert taker.returncode == 0, errors  # the file "inside" was there: two were inside
        assert int(output) > 0
    assert store.keys("engine/lock") == ["engine/lock/zarr.json"]


def test_without_locks_work_goes_on(store, monkeypatch):
    """A file system that has none says ENOLCK; any other trouble is told."""
    trouble = 37  # ENOLCK

    def flock(descriptor, how):
        raise OSError(trouble, os.strerror(trouble))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with store.lock(), store.lock((1, 2)):
        assert store.exists()
    trouble = 5  # EIO
    with pytest.raises(StoreError, match="cannot be written: Input/output error"), store.lock():
        pass


@pytest.mark.parametrize(("part", "words"), [((0, 2), "at least 1"), ((3, 2), "no part 3 of 2"), ((1, 1.5), "whole")])
def test_parts_that_cannot_be(store, part, words):
    with pytest.raises(PlanError, match=words), store.lock(part):
        pass
