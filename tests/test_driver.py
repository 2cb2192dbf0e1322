"""The driver: every task is done once its turn has come, whatever happens to workers, and nobody waits for ever."""

import contextlib
import errno
import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stochbind.engine import driver
from stochbind.engine.driver import drive
from stochbind.engine.workers import (
    SchedulerLost,
    WorkerDied,
    dask_workers,
    local_dask_workers,
    process_workers,
    serial_workers,
    thread_workers,
)
from stochbind.errors import IncompleteError, PlanError, ScenarioError, StoreError


def double(task):
    return 2 * task


def slow(seconds, task):
    time.sleep(seconds)
    return task


def deadly(seconds, poison, task):
    time.sleep(seconds)
    if task in poison:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def singles(n):
    return ((i,) for i in range(n))


class Gathered(list):
    """What `progress` was told."""

    def __call__(self, task, receipt):
        self.append((task, receipt))

    @property
    def tasks(self):
        return [task for task, _ in self]


class Simulated:
    """Workers without any: each call runs when it is waited for, and its worker dies as `fate(task)` says.

    With `crowd` tasks on each worker, a death takes the others with it, as on a cluster that queues tasks at workers.
    """

    first_worker_patience = 0.05

    def __init__(self, n=2, fate=lambda task: False, crowd=1, slots=None):
        self.n, self.fate, self.crowd = n, fate, crowd
        self.queue, self.results, self.rebuilds = [], {}, 0
        self.most = 0
        self.present = slots or (lambda workers: n)

    def slots(self):
        return self.present(self)

    def submit(self, function, *args):
        handle = object()
        self.queue.append((handle, function, args))
        self.most = max(self.most, len(self.queue))
        return handle

    def wait(self, handles, timeout):
        if not self.slots():
            time.sleep(timeout)
            return set()
        group, self.queue = self.queue[: self.crowd], self.queue[self.crowd :]
        die = any([self.fate(*args) for _, _, args in group])
        for handle, function, args in group:
            try:
                self.results[handle] = WorkerDied("by fate") if die else function(*args)
            except Exception as error:
                self.results[handle] = error
        return {handle for handle, _, _ in group}

    def result(self, handle):
        result = self.results.pop(handle)
        if isinstance(result, Exception):
            raise result
        return result

    def cancel(self, handles):
        self.queue = [call for call in self.queue if call[0] not in handles]
        return set()

    def lost(self, error):
        return isinstance(error, (WorkerDied, SchedulerLost))

    def rebuild(self):
        self.rebuilds += 1
        self.queue, self.results = [], {}

    def close(self):
        pass


@pytest.mark.parametrize("make", [serial_workers, lambda: thread_workers(3), lambda: process_workers(2)])
def test_all_is_done_and_chains_keep_their_order(make):
    chains = [[10 * i + j for j in range(1 + i % 4)] for i in range(50)] + [[]]
    gathered = Gathered()
    with make() as workers:
        assert drive(double, iter(chains), workers, progress=gathered) == ()
        assert sorted(gathered) == sorted((task, 2 * task) for chain in chains for task in chain)
        place = {task: index for index, task in enumerate(gathered.tasks)}
        for chain in chains:
            assert sorted(chain, key=place.__getitem__) == chain
        assert drive(double, [], workers) == ()


def test_chains_are_taken_when_there_is_place_for_them():
    taken = []

    def chains():
        for i in range(10**6):
            taken.append(i)
            yield (i, -i)

    done, begun = [], []

    def work(task):
        done.append(task)
        begun.append(len(taken) - len([task for task in done if task <= 0]))
        if len(done) == 200:
            raise ScenarioError("enough")

    with serial_workers() as workers, pytest.raises(ScenarioError, match="enough"):
        drive(work, chains(), workers)
    assert len(taken) <= 110  # 200 tasks are 100 chains, and few more
    assert max(begun) <= 2 * driver.TASKS_PER_SLOT + 1


def test_no_more_than_a_window_is_ever_queued():
    workers = Simulated(n=4)
    drive(double, ((i, i, i) for i in range(300)), workers)
    assert workers.most == driver.TASKS_PER_SLOT * 4


def test_the_loop_costs_less_than_a_tenth_of_a_millisecond():
    with serial_workers() as workers:
        best = []
        for _ in range(3):
            begun = time.perf_counter()
            drive(double, singles(2000), workers)
            best.append((time.perf_counter() - begun) / 2000)
    assert min(best) < 1e-4


def test_a_task_that_raises_is_tried_again_then_given_up():
    tries, told, gathered = [], [], Gathered()

    def work(task):
        tries.append(task)
        if task == 5 or (task == 8 and tries.count(8) < 3):
            raise ValueError(f"not {task}")
        return task

    chains = [[10 * i + j for j in range(3)] for i in range(-1, 3)] + [[4, 5, 6], [7, 8, 9]]
    with serial_workers() as workers:
        failures = drive(work, chains, workers, progress=gathered, report_failure=told.append)
    (failure,) = failures
    assert told == [failure]
    assert failure[:3] == (5, 3, "ValueError: not 5")
    assert "in work" in failure.traceback
    assert tries.count(5) == tries.count(8) == 3
    assert sorted(gathered.tasks) == sorted({task for chain in chains for task in chain} - {5, 6})


def test_a_run_in_which_everything_fails_ends_soon():
    begun = []

    def chains():
        for i in range(10**6):
            begun.append(i)
            yield (i,)

    def work(task):
        raise KeyError(task)

    with serial_workers() as workers:
        failures = drive(work, chains(), workers)
    assert driver.MOST_HOPELESS <= len(failures) == len(begun) < 2 * driver.MOST_HOPELESS
    with serial_workers() as workers:  # the twin: half of the tasks fail, and all are tried
        failures = drive(lambda task: 1 // (task % 2), singles(200), workers)
    assert len(failures) == 100


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ScenarioError("wrong from the start"), ScenarioError),
        (OSError(errno.ENOSPC, "No space left on device", "/disk/chunk"), StoreError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StoreError),
        (OSError(errno.EROFS, "Read-only file system"), StoreError),
    ],
)
def test_errors_that_concern_all_end_the_run_at_once(error, expected):
    done = []

    def work(task):
        done.append(task)
        if task == 7:
            raise error

    with serial_workers() as workers, pytest.raises(expected, match=getattr(error, "strerror", None) or "start"):
        drive(work, singles(100), workers)
    assert done == list(range(8))


def test_running_tasks_may_finish_when_a_run_ends_by_an_error():
    begun, done, gate = [], [], threading.Event()

    def work(task):
        begun.append(task)
        if task == 0:
            gate.wait(10)
            raise ScenarioError("the end")
        gate.set()
        time.sleep(0.3)
        done.append(task)

    with thread_workers(2) as workers:
        with pytest.raises(ScenarioError, match="the end"):
            drive(work, singles(100), workers)
        assert 1 in done
        assert sorted(done) == sorted(set(begun) - {0})
        assert len(begun) <= 4


def test_other_system_errors_are_tried_again():
    tries = []

    def work(task):
        tries.append(task)
        if len(tries) < 3:
            raise OSError(errno.EIO, "Input/output error")

    with serial_workers() as workers:
        assert drive(work, singles(1), workers) == ()
    assert len(tries) == 3


def test_an_interrupt_leaves_at_once_and_takes_queued_tasks_back():
    begun, done = [], []

    def work(task):
        begun.append(task)
        time.sleep(0.05)

    def progress(task, receipt):
        done.append(task)
        if len(done) == 4:
            raise KeyboardInterrupt

    with thread_workers(2) as workers:
        with pytest.raises(KeyboardInterrupt):
            drive(work, singles(1000), workers, progress=progress)
        count = len(begun)
        time.sleep(0.2)
        assert len(begun) == count <= 8


def test_wrong_parameters_and_functions():
    with serial_workers() as workers:
        with pytest.raises(PlanError, match="most_failures"):
            drive(double, [], workers, most_failures=0)
        with pytest.raises(PlanError, match="patience"):
            drive(double, [], workers, patience=0.0)
    with process_workers(1) as workers, pytest.raises(PlanError, match="top level"):
        drive(lambda task: task, singles(3), workers)


def simulated_deaths(seed, *, accident, poison, crowd=1, n_tasks=120):
    """Tasks given up, and tasks done, where workers die by accident with a probability, and of some tasks always."""
    chance = random.Random(seed)
    workers = Simulated(n=4, fate=lambda task: task in poison or chance.random() < accident, crowd=crowd)
    gathered = Gathered()
    chains = [range(i, i + 4) for i in range(0, n_tasks, 4)]
    failures = drive(double, chains, workers, progress=gathered)
    return {failure.task for failure in failures}, gathered.tasks


@pytest.mark.parametrize("crowd", [1, 3])
@pytest.mark.parametrize("accident", [0.0, 0.05, 0.3, 0.6])
def test_accidents_are_told_from_poison(accident, crowd):
    if crowd > 1 and accident > 0.3:
        pytest.skip("nine of ten groups die by accident")
    poison = {17, 51, 102}
    for seed in range(60):
        given_up, done = simulated_deaths(seed, accident=accident, poison=poison, crowd=crowd)
        assert given_up == poison, seed
        assert sorted(done) == sorted(set(range(120)) - {17, 18, 19, 51, 102, 103}), seed


def test_a_rule_that_counts_deaths_only_blames_the_innocent(monkeypatch):
    monkeypatch.setattr(driver, "CHANCE", 2.0)
    assert any(simulated_deaths(seed, accident=0.3, poison=set())[0] for seed in range(10))


def test_a_run_of_nothing_but_poison_ends():
    given_up, done = simulated_deaths(1, accident=0.0, poison=set(range(10**4)), n_tasks=4000)
    assert not done
    assert len(given_up) < 2 * driver.MOST_HOPELESS


def test_poison_dies_three_times_where_there_are_no_accidents():
    deaths = []
    workers = Simulated(fate=lambda task: task == 7 and not deaths.append(task))
    (failure,) = drive(double, singles(30), workers)
    assert failure.task == 7
    assert failure.n_failures == len(deaths) == 3
    assert "by fate" in failure.error


def test_suspects_never_run_at_once():
    """Two poisonous tasks and an innocent one whose worker they share, again and again."""
    workers = Simulated(n=3, fate=lambda task: task in (0, 2), crowd=3)
    gathered = Gathered()
    failures = drive(double, singles(9), workers, progress=gathered)
    assert {failure.task for failure in failures} == {0, 2}
    assert sorted(gathered.tasks) == [1, 3, 4, 5, 6, 7, 8]


class Killing(Gathered):
    """Kills a worker, chosen at random, whenever some more tasks are finished."""

    def __init__(self, pids, every, most):
        self.pids, self.every, self.most = pids, every, most
        self.rng, self.n = random.Random(3), 0

    def __call__(self, task, receipt):
        super().__call__(task, receipt)
        if len(self) % self.every == 0 and self.n < self.most and (pids := sorted(self.pids())):
            self.n += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(pids), signal.SIGKILL)


def test_real_processes_killed_at_random_and_one_that_is_poison():
    with process_workers(3) as workers:
        killing = Killing(lambda: [worker.process.pid for worker in workers._workers], every=3, most=15)
        work = functools.partial(deadly, 0.02, {40})
        failures = drive(work, (range(i, i + 4) for i in range(0, 80, 4)), workers, progress=killing)
    assert killing.n == 15
    assert {failure.task for failure in failures} == {40}
    assert sorted(killing.tasks) == sorted(set(range(80)) - {40, 41, 42, 43})


def test_a_real_cluster_with_workers_killed_and_a_task_that_is_poison():
    with local_dask_workers(2) as workers:
        killing = Killing(lambda: workers._client.run(os.getpid, on_error="ignore").values(), every=7, most=1)
        work = functools.partial(deadly, 0.02, {10})
        failures = drive(work, ((i, i + 100) for i in range(20)), workers, progress=killing)
    assert killing.n == 1
    assert {failure.task for failure in failures} == {10}
    assert sorted(killing.tasks) == sorted(({*range(20)} | {*range(100, 120)}) - {10, 110})


def test_a_task_that_hangs_is_given_up_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(driver, "HANGING", 2.0)
    gathered, tasks = Gathered(), [600.0 if i == 5 else 0.001 * i for i in range(30)]
    with process_workers(2) as workers:  # a function that needs no imports, which take long on a busy machine
        (failure,) = drive(time.sleep, [(task,) for task in tasks], workers, progress=gathered, patience=1.5)
    assert failure.task == 600.0
    assert "not ended" in failure.error
    assert sorted(gathered.tasks) == sorted(set(tasks) - {600.0})


class Hanging(Simulated):
    """Calls hang as `fate(task)` says, until their workers are made anew."""

    def wait(self, handles, timeout):
        for call in self.queue[: self.n]:
            if not self.fate(*call[2]):
                self.queue.remove(call)
                self.queue.insert(0, call)
                fate, self.fate = self.fate, lambda task: False
                try:
                    return super().wait(handles, timeout)
                finally:
                    self.fate = fate
        time.sleep(timeout)
        return set()


@pytest.mark.parametrize(
    ("n", "bad"), [(10, {8, 9}), (10, {0, 1}), (1, {0}), (30, {3, 4, 11, 28, 29}), (4, {0, 1, 2, 3})]
)
def test_tasks_that_hang_are_named_and_all_others_done(n, bad):
    gathered = Gathered()
    failures = drive(double, singles(n), Hanging(2, bad.__contains__), progress=gathered, patience=0.04)
    assert {failure.task for failure in failures} == bad
    assert all(failure.n_failures == 3 and "not ended" in failure.error for failure in failures)
    assert sorted(gathered.tasks) == sorted({*range(n)} - bad)


def test_with_fewer_rebuilds_tasks_that_hang_are_blamed_before_they_are_proven_guilty(monkeypatch):
    monkeypatch.setattr(driver, "MOST_HANGS", driver.MOST_REBUILDS)
    failures = drive(double, singles(10), Hanging(2, {8, 9}.__contains__), patience=0.04)
    assert {failure.task: failure.n_failures for failure in failures} == {8: 3, 9: 2}


def test_a_run_in_which_everything_hangs_ends_and_names_what_hung():
    workers, told = Hanging(4, lambda task: True), []
    failures = drive(double, singles(1000), workers, patience=0.04, report_failure=told.append)
    assert workers.rebuilds == driver.MOST_HANGS
    assert 4 <= len(failures) <= driver.TASKS_PER_SLOT * 4
    assert list(failures) == told


def test_threads_that_hang_end_the_run(monkeypatch):
    monkeypatch.setattr(driver, "LAST_TASKS", 0.1)
    monkeypatch.setattr("stochbind.engine.workers.threads.CLOSING_TIME", 0.1)
    event = threading.Event()
    with pytest.raises(IncompleteError, match="hangs"), thread_workers(1) as workers:
        drive(lambda task: event.wait(60), singles(3), workers, patience=0.3)
    event.set()


@pytest.mark.parametrize("error", [SystemExit(5), KeyboardInterrupt(), GeneratorExit()])
def test_a_task_that_exits_does_not_end_threads(error):
    def work(task):
        if task in (3, 4):
            raise error
        return task

    gathered = Gathered()
    with thread_workers(2) as workers:
        failures = drive(work, singles(10), workers, progress=gathered, patience=2.0)
    assert {failure.task for failure in failures} == {3, 4}
    assert all(type(error).__name__ in failure.error and "in work" in failure.traceback for failure in failures)
    assert sorted(gathered.tasks) == sorted({*range(10)} - {3, 4})


def test_the_calling_thread_itself_can_be_interrupted():
    def work(task):
        raise KeyboardInterrupt

    with serial_workers() as workers, pytest.raises(KeyboardInterrupt):
        drive(work, singles(3), workers)


def test_a_cluster_without_workers_is_named(monkeypatch):
    begun = time.monotonic()
    with pytest.raises(IncompleteError, match="No worker came"):
        drive(double, singles(3), Simulated(slots=lambda workers: 0), patience=0.1)
    assert time.monotonic() - begun < 5


def test_workers_that_vanish_are_made_anew(monkeypatch):
    monkeypatch.setattr(driver, "GRACE", 0.05)
    counts = iter([2, 2, 2, 0, 0, 0, 0, 0, 0])
    workers = Simulated(slots=lambda workers: 2 if workers.rebuilds else next(counts, 0))
    gathered = Gathered()
    assert drive(double, singles(30), workers, progress=gathered, patience=0.05) == ()
    assert sorted(gathered.tasks) == list(range(30))
    if workers.rebuilds:
        assert workers.rebuilds == 1


def test_rebuilding_in_vain_ends_the_run():
    workers = Simulated()
    lost = workers.result

    def result(handle):
        lost(handle)
        raise SchedulerLost("gone")

    workers.result = result
    with pytest.raises(IncompleteError, match=r"3 times.*gone.*same run again"):
        drive(double, singles(30), workers)
    assert workers.rebuilds == driver.MOST_REBUILDS


def scheduler(file, *, worker_file=None):
    """A scheduler in a process of its own, or a worker of it."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    program = "dask_worker" if worker_file else "dask_scheduler"
    options = (
        ["--nthreads", "1", "--no-dashboard"]
        if worker_file
        else ["--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    )
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", file, "--no-dashboard", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def end(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_scheduler_that_is_killed_and_started_again(tmp_path):
    file, gathered, processes = tmp_path / "scheduler.json", Gathered(), []

    def start():
        file.unlink(missing_ok=True)  # or else a worker takes the old one
        processes[:] = [scheduler(file), scheduler(file, worker_file=file)]

    def replace():
        while len(gathered) < 5:
            time.sleep(0.01)
        for process in processes:
            end(process)
        start()

    start()
    killer = threading.Thread(target=replace)
    try:
        with dask_workers(file) as workers:
            drive(double, singles(1), workers)
            address = json.loads(file.read_text())["address"]
            killer.start()
            failures = drive(functools.partial(slow, 0.05), singles(60), workers, progress=gathered)
        killer.join()
        assert failures == ()
        assert set(gathered.tasks) == set(range(60))
        assert json.loads(file.read_text())["address"] != address
    finally:
        for process in processes:
            end(process)
