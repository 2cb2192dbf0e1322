"""Workers of all kinds: they run calls, and say when one was lost."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import pytest

from stochbind.engine import workers as kinds
from stochbind.engine.workers import choice, cluster, processes, threads
from stochbind.errors import IncompleteError, NoiseError, PlanError

KINDS = {
    "serial": kinds.serial_workers,
    "threads": lambda: kinds.thread_workers(2),
    "processes": lambda: kinds.process_workers(2),
    "dask": lambda: kinds.local_dask_workers(2),
}


@pytest.fixture(scope="module", params=KINDS)
def workers(request):
    with KINDS[request.param]() as made:
        yield made


class Awkward(Exception):
    """Cannot be made again from what pickle keeps."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def add(x, y):
    return x + y


def fail(kind):
    if kind == "awkward":
        raise Awkward("salt", "pepper")
    if kind == "noise":
        raise NoiseError("negative", -0.5)
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")


def mark(path, seconds=0.0, pid=False):
    path.write_text(str(os.getpid()) if pid else "begun")
    time.sleep(seconds)
    return os.getpid()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def environment():
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}


def pid():
    return os.getpid()


def finish(workers, handles, seconds=30.0):
    """Results of handles, once they are all there."""
    left, deadline = set(handles), time.monotonic() + seconds
    while left:
        assert time.monotonic() < deadline, f"{len(left)} calls are not finished"
        left -= workers.wait(left, 1.0)
    return [workers.result(handle) for handle in handles]


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_calls_are_run_and_results_come_back(workers):
    handles = [workers.submit(add, i, 10 * i) for i in range(20)]
    assert finish(workers, handles) == [11 * i for i in range(20)]
    n = 1 if type(workers) is threads.SerialWorkers else 2
    until(lambda: workers.wait(set(), 0.01) or workers.slots() == n)
    assert workers.wait(set(), 0.01) == set()


@pytest.mark.parametrize("kind", ["awkward", "noise", "space"])
def test_errors_come_back_with_their_place(workers, kind):
    handle = workers.submit(fail, kind)
    with pytest.raises(Exception, match=r"salt and pepper|negative|No space") as caught:
        finish(workers, [handle])
    error = caught.value
    assert not workers.lost(error)
    if kind == "awkward" and isinstance(workers, processes.ProcessWorkers):
        assert type(error) is RuntimeError  # pickle cannot carry the error itself
    if kind == "noise":
        assert isinstance(error, NoiseError)
        assert error.eigenvalue == -0.5
    elif kind == "space":
        assert error.errno == errno.ENOSPC
    assert "in fail" in "".join(traceback.format_exception(error))


def test_a_death_is_told_from_an_error(workers):
    if isinstance(workers, threads.SerialWorkers):
        pytest.skip("the death would be ours")
    with pytest.raises(kinds.WorkerDied, match=r"died|ended") as caught:
        finish(workers, [workers.submit(die)])
    assert workers.lost(caught.value)
    assert not workers.lost(ValueError())
    assert finish(workers, [workers.submit(add, 2, 2)]) == [4]


def test_a_killed_process_is_replaced(tmp_path):
    with KINDS["processes"]() as workers:
        files = [tmp_path / name for name in "ab"]
        handles = [workers.submit(mark, file, 0.5, True) for file in files]
        after = workers.submit(add, 1, 1)
        left = set(handles) | {after}
        while not all(file.exists() and file.read_text() for file in files):
            left -= workers.wait(left, 0.02)
        victim = int(files[0].read_text())
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(kinds.WorkerDied, match="exit code -9"):
            finish(workers, [handles[0]])
        survivor = int(files[1].read_text())
        while after in left or handles[1] in left:
            left -= workers.wait(left, 1.0)
        assert workers.result(handles[1]) == survivor
        assert workers.result(after) == 2
        pids = set()
        for _ in range(10):
            pids |= set(finish(workers, [workers.submit(pid), workers.submit(pid)]))
        assert victim not in pids
        assert survivor in pids


def test_an_idle_process_that_is_killed_costs_no_task():
    with KINDS["processes"]() as workers:
        for _ in range(2):
            for number in set(finish(workers, [workers.submit(pid) for _ in range(6)])):
                os.kill(number, signal.SIGKILL)
            assert finish(workers, [workers.submit(add, 1, i) for i in range(6)]) == [1 + i for i in range(6)]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_queued_calls_can_be_taken_back(kind, tmp_path):
    make = {"threads": kinds.thread_workers, "processes": kinds.process_workers}[kind]
    with make(1) as workers:
        first = workers.submit(mark, tmp_path / "first", 0.4)
        others = [workers.submit(mark, tmp_path / f"other{i}") for i in range(3)]
        handles = {first, *others}
        while not (tmp_path / "first").exists():
            assert not workers.wait(handles, 0.02)
        assert workers.cancel(handles) == {first}
        finish(workers, [first])
        finish(workers, [workers.submit(add, 1, 1)])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["first"]


def test_processes_have_one_thread_each(workers, monkeypatch):
    if isinstance(workers, threads.SerialWorkers):
        pytest.skip("these are this very process")
    (found,) = finish(workers, [workers.submit(environment)])
    assert set(found.values()) == {"1"}


def test_the_environment_here_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with kinds.process_workers(1) as workers:
        assert environment()["OMP_NUM_THREADS"] == "7"
        assert environment()["NUMBA_NUM_THREADS"] is None
        (found,) = finish(workers, [workers.submit(environment)])
        assert found["OMP_NUM_THREADS"] == "1"


def test_what_cannot_be_handed_over_is_refused(workers):
    if isinstance(workers, threads.SerialWorkers):
        pytest.skip("nothing is handed over")
    lock = threading.Lock()
    with pytest.raises(PlanError, match="cannot be handed to other processes"):
        workers.submit(lambda x: lock, 1)
    assert finish(workers, [workers.submit(add, 1, 2)]) == [3]


@pytest.mark.parametrize("make", [kinds.thread_workers, kinds.process_workers, kinds.local_dask_workers])
@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2"])
def test_wrong_numbers_of_workers(make, n):
    with pytest.raises(PlanError, match="number of workers"), make(n):
        pass


def test_threads_that_hang_are_told_and_left(monkeypatch):
    monkeypatch.setattr(threads, "CLOSING_TIME", 0.2)
    event = threading.Event()
    begun = time.monotonic()
    with kinds.thread_workers(1) as workers:
        workers.submit(event.wait, 60)
        with pytest.raises(IncompleteError, match="hangs"):
            workers.rebuild()
    assert time.monotonic() - begun < 5
    event.set()


def test_processes_that_hang_are_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "CLOSING_TIME", 0.2)
    with kinds.process_workers(1) as workers:
        handle = workers.submit(mark, tmp_path / "pid", 600, True)
        until(lambda: workers.wait({handle}, 0.02) or (tmp_path / "pid").exists())
        until(lambda: (tmp_path / "pid").read_text())
        hanging = int((tmp_path / "pid").read_text())
        workers.rebuild()
        assert not is_alive(hanging)
        (other,) = finish(workers, [workers.submit(pid)])
        workers.submit(mark, tmp_path / "again", 600)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert not is_alive(other)


def test_a_script_without_its_guard_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from stochbind.engine.workers import process_workers
        from stochbind.errors import IncompleteError
        with process_workers(1) as workers:
            handle = workers.submit(pow, 2, 3)
            try:
                while not workers.wait({handle}, 1.0):
                    pass
            except IncompleteError as error:
                print(error)
        """)
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert '`if __name__ == "__main__":`' in result.stdout


def test_processes_end_with_a_killed_driver(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        from stochbind.engine.workers import process_workers
        if __name__ == "__main__":
            with process_workers(2) as workers:
                handles = {workers.submit(os.getpid) for _ in range(8)}
                while handles:
                    for handle in (done := workers.wait(handles, 5.0)):
                        print(workers.result(handle), flush=True)
                    handles -= done
                print("busy", flush=True)
                handles = {workers.submit(time.sleep, 600) for _ in range(2)}
                workers.wait(handles, 600)
        """)
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pids = set()
    for line in process.stdout:
        if line.strip() == "busy":
            break
        pids.add(int(line))
    assert pids
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: not any(is_alive(number) for number in pids))


@pytest.mark.parametrize(
    "target", ["tcp://127.0.0.1:1", "127.0.0.1:1", "missing.json", "empty.json", "old.json", "odd.json", "deep.json"]
)
def test_a_scheduler_that_cannot_be_reached_is_named(target, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTING_TIME", 0.3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "old.json").write_text('{"address": "tcp://127.0.0.1:1"}')
    (tmp_path / "odd.json").write_text('{"address": "foo://bar:1"}')
    (tmp_path / "deep.json").write_text(200_000 * "[")
    begun = time.monotonic()
    with pytest.raises(IncompleteError, match=target) as caught, kinds.dask_workers(target):
        pass
    assert time.monotonic() - begun < 15
    assert "same run again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "word", ["foo://bar:1", "tcp://bar", "tcp://", "tcp://bar:x", "http://bar:1", "://", "tcp://a b:1"]
)
def test_what_is_no_address_is_refused_at_once(word):
    for take in (choice.check_word, lambda word: kinds.dask_workers(word).__enter__()):
        begun = time.monotonic()
        with pytest.raises(PlanError, match="tcp://host:port"):
            take(word)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "word", ["tcp://bar:1", "tls://[::1]:8786", "ws://a.b:80/ws", "wss://a:1", "ucx://a:1", "inproc://a/1/2"]
)
def test_addresses_are_told_from_others(word):
    assert choice.check_word(word) is None


def test_one_client_serves_several_workers_at_once(workers):
    if not isinstance(workers, cluster.DaskWorkers):
        pytest.skip("of Dask only")
    client = workers._client
    with kinds.dask_workers(client) as one, kinds.dask_workers(client) as two:
        first, second = [one.submit(add, 1, i) for i in range(5)], [two.submit(add, 2, i) for i in range(5)]
        assert finish(one, first) == [1 + i for i in range(5)]
        assert finish(two, second) == [2 + i for i in range(5)]
    assert client.status == "running"
    with kinds.dask_workers(client.scheduler.address) as third:
        assert finish(third, [third.submit(add, 3, 4)]) == [7]


def test_what_is_taken_back_from_a_scheduler_is_forgotten(workers, tmp_path):
    if not isinstance(workers, cluster.DaskWorkers):
        pytest.skip("of Dask only")
    first = [workers.submit(mark, tmp_path / name, 0.5) for name in "ab"]
    others = [workers.submit(mark, tmp_path / f"other{i}", 0.2) for i in range(9)]
    until(lambda: len(list(tmp_path.iterdir())) >= 2)
    assert workers.cancel({*first, *others}) == set()
    assert finish(workers, [workers.submit(add, 1, 1)]) == [2]
    assert len(list(tmp_path.iterdir())) < 11
    until(lambda: workers._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0)


def test_dask_workers_are_made_anew():
    with kinds.local_dask_workers(1) as workers:
        (before,) = finish(workers, [workers.submit(pid)])
        workers.rebuild()
        (after,) = finish(workers, [workers.submit(pid)])
        assert after != before
        until(lambda: not is_alive(before))
