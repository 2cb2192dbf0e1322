"""Workers inside this process: the calling thread itself, or threads of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from stochbind.engine.blocks import n_cores
from stochbind.engine.workers.base import Workers, collect
from stochbind.errors import IncompleteError, PlanError

#: How long threads that are in the middle of a task are waited for when the workers close [s].
CLOSING_TIME = 20.0


_Call = tuple[Callable[..., Any], tuple[Any, ...]]


class SerialWorkers:
    """Runs each task in the calling thread, inside `wait`."""

    first_worker_patience = 0.0

    def __init__(self) -> None:
        self._queue: deque[tuple[Future[Any], _Call]] = deque()

    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue a call."""
        handle: Future[Any] = Future()
        self._queue.append((handle, (function, args)))
        return handle

    def wait(self, handles: Collection[Any], timeout: float) -> set[Any]:
        """Run the next call, however long it takes."""
        while self._queue:
            handle, call = self._queue.popleft()
            if _run(handle, call) and handle in handles:
                return {handle}
        return set()

    def result(self, handle: Future[Any]) -> Any:
        """What the call returned or raised."""
        return handle.result()

    def cancel(self, handles: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Take calls back; none goes on."""
        for handle in handles:
            handle.cancel()
        return set()

    def lost(self, error: BaseException) -> bool:
        """Never: the caller is the worker."""
        return False

    def rebuild(self) -> None:
        """Impossible."""
        raise IncompleteError("The run cannot go on in this process; start it again to continue it.")

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()


class ThreadWorkers(SerialWorkers):
    """Runs tasks in threads: compiled loops run side by side.

    Threads cannot be killed. They are daemons, so that one that hangs does not keep the process from ending.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._calls: queue.SimpleQueue[tuple[Future[Any], _Call] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(n)]
        for thread in self._threads:
            thread.start()

    def slots(self) -> int:
        """Number of threads."""
        return self._n

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue a call."""
        handle: Future[Any] = Future()
        self._calls.put((handle, (function, args)))
        return handle

    def wait(self, handles: Collection[Any], timeout: float) -> set[Any]:
        """Wait for threads."""
        return collect(self._finished, handles, timeout)

    def cancel(self, handles: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Take calls back that have not begun; return the others."""
        return {handle for handle in handles if not handle.cancel()}

    def rebuild(self) -> None:
        """Impossible."""
        raise IncompleteError(
            "A task hangs, and threads cannot be ended from outside; start the same run again to continue it, or "
            "spread it over processes, where tasks that hang are ended."
        )

    def close(self) -> None:
        """Let running tasks finish, for a while; forget the others."""
        with contextlib.suppress(queue.Empty):
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    call[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        deadline = time.monotonic() + CLOSING_TIME
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                begun = _run(*call)
            except BaseException as error:  # SystemExit would end this thread unseen, and nobody learn of the task
                begun, failure = True, RuntimeError(f"the task raised {type(error).__name__}({error})")
                failure.__cause__ = error
                call[0].set_exception(failure)
            if begun:
                self._finished.put(call[0])


def _run(handle: Future[Any], call: _Call) -> bool:
    """Run a call into its handle; false if it was cancelled before."""
    if not handle.set_running_or_notify_cancel():
        return False
    function, args = call
    try:
        result = function(*args)
    except Exception as error:
        handle.set_exception(error)
    else:
        handle.set_result(result)
    return True


@contextlib.contextmanager
def serial_workers() -> Iterator[Workers]:
    """Workers that are this very thread: one task after the other."""
    workers = SerialWorkers()
    try:
        yield workers
    finally:
        workers.close()


@contextlib.contextmanager
def thread_workers(n: int | None = None) -> Iterator[Workers]:
    """Workers that are threads of this process.

    Parameters
    ----------
    n : int, optional
        Number of threads; by default, one for each core that this process may use.

    Raises
    ------
    PlanError
        If `n` is not positive.
    """
    workers = ThreadWorkers(n_cores() if n is None else require_some(n))
    with _pinned():
        try:
            yield workers
        finally:
            workers.close()


def require_some(n: int) -> int:
    """The number of workers, if it is positive."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise PlanError(f"The number of workers must be a positive whole number, but is {n!r}.")
    return n


def _pinned() -> contextlib.AbstractContextManager[Any]:
    """Linear algebra with one thread per task, where threadpoolctl can arrange that."""
    try:
        import threadpoolctl  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(1)  # type: ignore[no-any-return,unused-ignore]
