"""Workers that are processes of this machine, each with a pipe of its own.

A pool of `concurrent.futures` breaks as a whole when one of its processes is killed, and does not say whose task it
was. Here each process has at most one task, so that a death concerns that task only, and is replaced by itself.
Pipes need no semaphores, so that nothing is left in the system however the driver ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from stochbind.engine.workers.base import WorkerDied, Workers, require_portable, single_threaded_environment
from stochbind.engine.workers.threads import require_some
from stochbind.errors import IncompleteError

#: How long processes that are in the middle of a task are waited for when the workers close [s].
CLOSING_TIME = 5.0


class RemoteTraceback(Exception):
    """Where an error arose in another process, as text; the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Handle:
    """A call that is queued, running or finished."""

    def __init__(self, function: bytes, arguments: bytes) -> None:
        self.function = function
        self.arguments = arguments
        self.result: Any = None
        self.error: Exception | None = None


class Worker:
    """One process, its pipe, and the call that it runs."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with single_threaded_environment():
            self.process.start()
        theirs.close()
        self.handle: Handle | None = None
        self.function: bytes | None = None
        self.ready = False
        self.begun = False

    def end(self, seconds: float = 0.0) -> None:
        """End the process: by itself if it does so in time, else by force."""
        self.connection.close()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class ProcessWorkers:
    """Runs tasks in processes; one that dies is replaced at once."""

    first_worker_patience = 300.0

    def __init__(self, n: int) -> None:
        self._n = n
        self._queue: deque[Handle] = deque()
        self._finished: list[Handle] = []
        self._stillborn = 0  # processes in a row that failed before they could take a task
        self._function: tuple[Callable[..., Any], bytes] | None = None
        self._workers: list[Worker] = []
        self._fill()

    def slots(self) -> int:
        """Number of processes that have started."""
        return sum(worker.ready for worker in self._workers)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Handle:
        """Queue a call."""
        if self._function is None or self._function[0] is not function:
            self._function = function, require_portable(function, pickle.dumps)
        handle = Handle(self._function[1], pickle.dumps(args))
        self._queue.append(handle)
        self._dispatch()
        return handle

    def wait(self, handles: Collection[Any], timeout: float) -> set[Any]:
        """Hear what processes have to say, and give them their next calls."""
        deadline = time.monotonic() + timeout
        while not self._finished:
            workers = {worker.connection: worker for worker in self._workers}
            heard = wait(list(workers), max(0.0, deadline - time.monotonic()))
            for connection in heard:
                self._hear(workers[connection])  # type: ignore[index]
            self._fill()
            self._dispatch()
            if not heard and time.monotonic() >= deadline:
                break
        found = {handle for handle in self._finished if handle in handles}
        self._finished.clear()
        return found

    def result(self, handle: Handle) -> Any:
        """What the call returned or raised; `WorkerDied` if its process died."""
        if handle.error is not None:
            raise handle.error
        return handle.result

    def cancel(self, handles: Iterable[Handle]) -> set[Handle]:
        """Take calls back that have not begun; return the others."""
        taken = set(handles)
        queued = taken & set(self._queue)
        self._queue = deque(handle for handle in self._queue if handle not in queued)
        return taken - queued

    def lost(self, error: BaseException) -> bool:
        """Whether a process died."""
        return isinstance(error, WorkerDied)

    def rebuild(self) -> None:
        """Kill all processes, and start others."""
        self._queue.clear()
        self._finished.clear()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._fill()

    def close(self) -> None:
        """Let running tasks finish, for a while; then kill."""
        self._queue.clear()
        deadline = time.monotonic() + CLOSING_TIME
        for worker in self._workers:  # all pipes first, so that the processes end side by side
            worker.connection.close()
        for worker in self._workers:
            worker.end(max(0.0, deadline - time.monotonic()))
        self._workers.clear()

    def _fill(self) -> None:
        """Start processes until there are enough."""
        while len(self._workers) < self._n:
            if self._stillborn > self._n + 2:
                raise IncompleteError(
                    "Worker processes die while they start. A script that starts them needs "
                    '`if __name__ == "__main__":` around its main part; otherwise look for lack of memory. Start the '
                    "same run again to continue it."
                )
            self._workers.append(Worker())

    def _dispatch(self) -> None:
        """Give calls to processes that have none."""
        for worker in self._workers:
            if not self._queue:
                return
            if worker.ready and worker.handle is None:
                handle = self._queue[0]
                known = worker.function == handle.function
                try:
                    worker.connection.send_bytes(pickle.dumps((None if known else handle.function, handle.arguments)))
                except OSError:
                    continue  # it died idle, which its pipe tells next; the call keeps its place
                worker.handle, worker.function, worker.begun = self._queue.popleft(), handle.function, False

    def _hear(self, worker: Worker) -> None:
        """Take what came through the pipe of a process: that it is ready, or has begun, a result, or its end."""
        try:
            message = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._bury(worker)
            return
        handle = worker.handle
        if not message or handle is None:
            worker.ready, worker.begun, self._stillborn = True, handle is not None, 0
            return
        worked, value, text = pickle.loads(message)
        if worked:
            handle.result = value
        else:
            value.__cause__ = RemoteTraceback(text)
            handle.error = value
        self._finished.append(handle)
        worker.handle = None

    def _bury(self, worker: Worker) -> None:
        """A process died: its call is lost if it had begun, and goes to another if not."""
        worker.process.join(1.0)
        code = worker.process.exitcode
        if worker.ready:
            self._stillborn = 0
        elif code is not None and code > 0:  # not by a signal: its own fault
            self._stillborn += 1
        handle = worker.handle
        if handle is not None and worker.begun:
            handle.error = WorkerDied(f"its process ended with exit code {code}")
            self._finished.append(handle)
        elif handle is not None:
            self._queue.appendleft(handle)
        self._workers.remove(worker)
        worker.end()


def _serve(connection: Connection) -> None:
    """Run calls until the pipe closes: the main part of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pickled, function = b"", None
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(b"")
        while True:
            given, arguments = pickle.loads(connection.recv_bytes())
            connection.send_bytes(b"")  # it has begun: if this process dies from now on, the task may be the cause
            if given is not None:
                pickled, function = given, None
            try:
                if function is None:
                    function = pickle.loads(pickled)
                answer = pickle.dumps((True, function(*pickle.loads(arguments)), ""))
            except Exception as error:
                answer = _error_message(error)
            connection.send_bytes(answer)


def _error_message(error: Exception) -> bytes:
    """An error as a message; one that pickle cannot carry there and back becomes words."""
    text = "".join(traceback.format_exception(error))
    try:
        message = pickle.dumps((False, error, text))
        pickle.loads(message)
    except Exception:  # whatever the error's own class raises
        message = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"), text))
    return message


def _end_with_parent() -> None:
    """End this process when its driver ends, however it ends: a killed driver cannot tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def process_workers(n: int) -> Iterator[Workers]:
    """Workers that are processes of this machine, one task and one thread each.

    A script that calls it needs ``if __name__ == "__main__":`` around its main part.

    Parameters
    ----------
    n : int
        Number of processes.

    Raises
    ------
    PlanError
        If `n` is not positive.
    """
    workers = ProcessWorkers(require_some(n))
    try:
        yield workers
    finally:
        workers.close()
