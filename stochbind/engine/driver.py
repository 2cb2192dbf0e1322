"""The driver: feeds chains of tasks to workers, and goes on whatever happens to these.

Tasks must be idempotent. What is done is known to whoever wrote it down, not to the driver: a task that is reported
lost may have been finished, and one that is interrupted is simply made again.

A worker may die because of its task, or by accident. A task whose worker died is made again, and from its second death
on so that no two such tasks run at once; a task that finishes was innocent, and its deaths were accidents. These tell
how likely an accident is, so that a task is given up only when it has failed `most_failures` times in a row *and*
accidents do not explain that (to one in a million). A task that seems guilty is judged at the end, when most is known.
"""

from __future__ import annotations

import contextlib
import errno
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from stochbind.checks import integer
from stochbind.engine.workers.base import SchedulerLost, Workers
from stochbind.errors import IncompleteError, PlanError, StochbindError, StoreError

#: Tasks in flight for each task that runs: few, since what the scheduler holds costs memory and time.
TASKS_PER_SLOT = 3
#: Tasks in flight while there are no workers: an adaptive cluster starts some when it sees tasks.
TASKS_WITHOUT_SLOTS = 8
#: A task hangs if it takes this many times longer than the longest so far (and longer than the patience).
HANGING = 20.0
#: How long workers may be absent before they are made anew [s].
GRACE = 30.0
#: Rebuilds, and tasks that are given up, in a row without any task finished in between.
MOST_REBUILDS = 3
MOST_HOPELESS = 20
#: Rebuilds because tasks hang, in a row without any task finished: each tells more about who is guilty.
MOST_HANGS = 20
#: Deaths that chance explains with a smaller probability than this are no accidents.
CHANCE = 1e-6
#: Nor are more deaths in a row than this many times `most_failures`.
CERTAINTY = 10
#: How long running tasks are waited for when a run ends by an error, and when it is interrupted [s].
LAST_TASKS = 20.0
LAST_TASKS_INTERRUPTED = 3.0

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

Progress = Callable[[Any, Any], None]


class Failure(NamedTuple):
    """A task that was given up, and with it the rest of its chain.

    Attributes
    ----------
    task : object
        The task.
    n_failures : int
        How many times it failed.
    error : str
        The last error, in one sentence.
    traceback : str
        Where the last error arose; empty if the worker died.
    """

    task: Any
    n_failures: int
    error: str
    traceback: str


class _Run:
    """A chain, and what became of its present task so far."""

    def __init__(self, chain: Sequence[Any]) -> None:
        self.chain = chain
        self.index = 0
        self.n_errors = 0
        self.n_deaths = 0
        self.error = ""
        self.traceback = ""
        self.submitted = 0.0

    @property
    def task(self) -> Any:
        return self.chain[self.index]

    def failure(self) -> Failure:
        return Failure(self.task, self.n_errors + self.n_deaths, self.error, self.traceback)


def drive(
    function: Callable[[Any], Any],
    chains: Iterable[Sequence[Any]],
    workers: Workers,
    *,
    progress: Progress | None = None,
    patience: float = 600.0,
    most_failures: int = 3,
    report_failure: Callable[[Failure], None] | None = None,
) -> tuple[Failure, ...]:
    """Run all tasks of all chains on workers.

    Parameters
    ----------
    function : callable
        Takes a task, and returns something small. Must be idempotent.
    chains : iterable of sequences
        The tasks: those of a chain run one after the other, in order; chains are independent of each other. They are
        taken from the iterable only when there is a place to run them, and one that has begun goes first.
    workers : Workers
        What runs them.
    progress : callable, optional
        Called with each finished task and with what `function` returned.
    patience : float, optional
        How long the longest task may take [s]; or 20 times the longest so far, if that is longer. Workers that take
        longer hang, and are made anew.
    most_failures : int, optional
        How many times a task may fail before it is given up.
    report_failure : callable, optional
        Called with each `Failure`.

    Returns
    -------
    tuple of Failure
        The tasks that were given up; empty if all are done. If 20 tasks are given up (or as many as are in flight, if
        that is more) and none is finished in between, no more chains are begun. If workers were made anew 20 times
        because tasks hang, and none is finished in between, all that hung are given up, and the rest is left.

    Raises
    ------
    StochbindError
        If `function` raises one: it ends the run at once.
    StoreError
        If `function` raises an `OSError` because there is no space to write to.
    IncompleteError
        If there are no workers, or if they were lost and made anew three times and nothing was finished since.
    PlanError
        If `function` cannot be handed to the workers, or a parameter is wrong.
    """
    integer("most_failures", most_failures, minimum=1, error=PlanError)
    if not patience > 0:
        raise PlanError(f"`patience` must be positive, but is {patience!r}.")
    return _Drive(function, chains, workers, progress, patience, most_failures, report_failure).drive()


class _Drive:
    """The state of `drive`."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        chains: Iterable[Sequence[Any]],
        workers: Workers,
        progress: Progress | None,
        patience: float,
        most_failures: int,
        report_failure: Callable[[Failure], None] | None,
    ) -> None:
        self.function, self.workers = function, workers
        self.progress, self.report_failure = progress, report_failure
        self.patience, self.most_failures = patience, most_failures
        self.fresh: Iterator[_Run] = (_Run(chain) for chain in chains if len(chain))
        self.ready: deque[_Run] = deque()  # chains that have begun: their next task, or one to be made again
        self.suspects: deque[_Run] = deque()  # whose task died twice or more: not two at once
        self.aside: deque[_Run] = deque()  # whose task is judged at the end
        self.flying: dict[Any, _Run] = {}
        self.suspect: _Run | None = None  # the one that flies
        self.failures: list[Failure] = []
        self.innocent_runs = self.innocent_deaths = 0
        self.hopeless = self.deaths = self.rebuilds = self.hangs = 0  # since the last finished task
        self.longest = 0.0
        self.slots = 0
        self.watched = 0.0
        self.absent_since = time.monotonic()
        self.ever_present = False

    def drive(self) -> tuple[Failure, ...]:
        try:
            self._watch()
            while self._fill():
                for handle in self.workers.wait(self.flying.keys(), min(1.0, self.patience / 4)):
                    if handle in self.flying:  # otherwise it went with a rebuild
                        self._settle(handle)
                self._watch()
        except BaseException as error:
            self._leave(LAST_TASKS if isinstance(error, Exception) else LAST_TASKS_INTERRUPTED)
            raise
        return tuple(self.failures)

    # What flies next

    def _limit(self) -> int:
        """How many tasks may be in flight: a few for each that runs; one while all workers die of something."""
        if self.deaths > max(3, self.slots):
            return 1
        return TASKS_PER_SLOT * self.slots or TASKS_WITHOUT_SLOTS

    def _fill(self) -> bool:
        """Submit tasks; false if there are none, and none in flight."""
        limit = self._limit()
        while len(self.flying) < limit:
            run = self._next()
            if run is None:
                break
            run.submitted = time.monotonic()
            self.flying[self.workers.submit(self.function, run.task)] = run
        return bool(self.flying)

    def _next(self) -> _Run | None:
        if self.suspects and self.suspect is None:
            self.suspect = self.suspects.popleft()
            return self.suspect
        if self.ready:
            return self.ready.popleft()
        run = next(self.fresh, None)
        if run is not None or self.flying:
            return run
        while self.aside:
            run = self.aside.popleft()
            if not self._is_guilty(run):
                self.suspect = run
                return run
            self._give_up(run)
        return None

    # What became of a task

    def _settle(self, handle: Any) -> None:
        run = self._land(handle)
        try:
            receipt = self.workers.result(handle)
        except Exception as error:
            if isinstance(error, SchedulerLost):
                self.ready.appendleft(run)
                self._rebuild(str(error))
            elif self.workers.lost(error):
                self._died(run, f"A worker that ran it died ({error}).")
            elif isinstance(error, StochbindError):
                raise
            elif isinstance(error, OSError) and error.errno in _NO_SPACE:
                where = f"{error.filename}: " if error.filename else ""
                raise StoreError(f"{where}cannot be written to: {error.strerror}.") from error
            else:
                self._failed(run, error)
        else:
            self._finished(run, receipt)

    def _land(self, handle: Any) -> _Run:
        run = self.flying.pop(handle)
        if run is self.suspect:
            self.suspect = None
        return run

    def _finished(self, run: _Run, receipt: Any) -> None:
        self.innocent_runs += 1 + run.n_deaths
        self.innocent_deaths += run.n_deaths
        self.hopeless = self.deaths = self.rebuilds = self.hangs = 0
        self._ended(run)
        task = run.task
        run.index += 1
        run.n_errors = run.n_deaths = 0
        if run.index < len(run.chain):
            self.ready.append(run)
        if self.progress is not None:
            self.progress(task, receipt)

    def _ended(self, run: _Run) -> None:
        self.longest = max(self.longest, time.monotonic() - run.submitted)

    def _failed(self, run: _Run, error: Exception) -> None:
        self._ended(run)
        run.n_errors += 1
        run.error = f"{type(error).__name__}: {error}"
        run.traceback = "".join(traceback.format_exception(error))
        if run.n_errors >= self.most_failures:
            self._give_up(run)
        else:
            self.ready.append(run)

    def _died(self, run: _Run, error: str) -> None:
        run.n_deaths += 1
        run.error, run.traceback = error, ""
        self.deaths += 1
        if self._is_guilty(run):
            self.aside.append(run)
            self._despair()
        elif run.n_deaths == 1:
            self.ready.append(run)
        else:
            self.suspects.append(run)

    def _is_guilty(self, run: _Run) -> bool:
        """Whether a task died more often in a row than accidents explain."""
        if run.n_deaths < self.most_failures:
            return False
        accident = self.innocent_deaths / max(1, self.innocent_runs)
        return accident**run.n_deaths < CHANCE or run.n_deaths >= CERTAINTY * self.most_failures

    def _give_up(self, run: _Run) -> None:
        failure = run.failure()
        self.failures.append(failure)
        if run.n_deaths < self.most_failures:
            self._despair()
        if self.report_failure is not None:
            self.report_failure(failure)

    def _despair(self) -> None:
        """Begin no more chains when tasks are given up one after the other, and none finishes: it is the run."""
        self.hopeless += 1
        if self.hopeless >= max(MOST_HOPELESS, TASKS_PER_SLOT * self.slots):
            self.fresh = iter(())

    # What became of the workers

    def _watch(self) -> None:
        """Look after the workers, once in a while: whether there are any, and whether one hangs."""
        now = time.monotonic()
        if now - self.watched < min(1.0, self.patience / 4):
            return
        self.slots = self.workers.slots()
        self.watched = now = time.monotonic()
        if not self.slots:
            self._wait_for_workers(now)
            return
        self.ever_present, self.absent_since = True, now
        limit = max(self.patience, HANGING * self.longest)
        running = list(self.flying)[: self.slots]  # workers take the oldest first
        hanging = [handle for handle in running if now - self.flying[handle].submitted > limit]
        for handle in hanging:
            self._died(self._land(handle), f"It had not ended after {limit:.3g} s.")
        if hanging:
            self.workers.cancel(hanging)
            self.hangs += 1
            self._renew()
            if self.hangs >= MOST_HANGS:
                self._give_up_all()

    def _give_up_all(self) -> None:
        """End a run in which tasks hang and none finishes: give up all that are suspected, and leave the rest."""
        self.fresh = iter(())
        suspected = [run for run in (*self.aside, *self.suspects, *self.ready) if run.n_deaths]
        for queue in (self.aside, self.suspects, self.ready):
            queue.clear()
        for run in suspected:
            self._give_up(run)

    def _wait_for_workers(self, now: float) -> None:
        for run in self.flying.values():
            run.submitted = now  # nobody works on it
        absent = now - self.absent_since
        if self.ever_present and absent > GRACE:
            self._rebuild("there are no workers")
        elif not self.ever_present and absent > self.workers.first_worker_patience:
            raise IncompleteError(
                f"No worker came within {absent:.0f} s; start workers, and the same run again to continue it."
            )

    def _rebuild(self, reason: str) -> None:
        """Make the workers anew that were lost, a few times; nobody is blamed."""
        if self.rebuilds >= MOST_REBUILDS:
            raise IncompleteError(
                f"The workers were started anew {self.rebuilds} times, and nothing was finished since (at last: "
                f"{reason.rstrip('.')}); start the same run again to continue it."
            )
        self.rebuilds += 1
        self._renew()

    def _renew(self) -> None:
        """Make the workers anew; what was in flight is made again."""
        self.ready.extendleft(reversed(self.flying.values()))
        handles = list(self.flying)
        self.flying.clear()
        self.suspect = None
        self.workers.cancel(handles)
        self.workers.rebuild()
        self.absent_since = time.monotonic()
        self.ever_present = False
        self.watched = 0.0

    def _leave(self, seconds: float) -> None:
        """Take back what is queued, and let what runs finish, for a while."""
        with contextlib.suppress(Exception):
            running = set(self.workers.cancel(list(self.flying)))
            deadline = time.monotonic() + seconds
            while running and time.monotonic() < deadline:
                running -= self.workers.wait(running, deadline - time.monotonic())
