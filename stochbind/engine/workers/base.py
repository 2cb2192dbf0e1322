"""What all kinds of workers have in common: the protocol, and how they say that a task was lost."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol

from stochbind.errors import PlanError

#: Libraries that would start threads of their own inside a task: one task has one core.
SINGLE_THREADED = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


class WorkerDied(Exception):
    """The worker of a task died under it: the task may be the cause."""


class SchedulerLost(Exception):
    """A task was lost with the scheduler, or with its result: the task is not the cause."""


class Workers(Protocol):
    """What runs tasks. A handle is whatever `submit` returns: hashable, and good for the other methods.

    All methods are called from one thread.

    Attributes
    ----------
    first_worker_patience : float
        How long to wait for the first worker [s]: short on one's own machine, long where jobs queue.
    """

    first_worker_patience: float

    def slots(self) -> int:
        """How many tasks run at once now; may change, and may be zero."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Queue a call and return its handle.

        Raises `PlanError` if the function cannot be handed to these workers.
        """

    def wait(self, handles: Collection[Any], timeout: float) -> set[Any]:
        """Wait until some of the handles are finished, and return those; empty after `timeout` seconds.

        `handles` are all that are open: what finishes and is not among them is forgotten.
        """

    def result(self, handle: Any) -> Any:
        """What a finished call returned; raises what it raised, or an error for which `lost` is true."""

    def cancel(self, handles: Iterable[Any]) -> set[Any]:
        """Take calls back; return those that go on, because they have begun. These stay open until they end."""

    def lost(self, error: BaseException) -> bool:
        """Whether an error means that a worker or the scheduler was lost, rather than that the function failed."""

    def rebuild(self) -> None:
        """Make the workers anew, where they hang or are gone; all open handles are void.

        Raises `IncompleteError` if that is impossible.
        """

    def close(self) -> None:
        """End the workers, within seconds; closed workers can be closed again."""


def collect(finished: queue.SimpleQueue[Any], handles: Collection[Any], timeout: float) -> set[Any]:
    """Those of the handles that arrive in a queue: at least one, unless none comes within `timeout` seconds."""
    found: set[Any] = set()
    with contextlib.suppress(queue.Empty):
        handle = finished.get(timeout=timeout)
        while True:
            if handle in handles:
                found.add(handle)
            handle = finished.get_nowait()
    return found


def require_portable(function: Callable[..., Any], dumps: Callable[[Any], bytes]) -> bytes:
    """The pickled function; raises `PlanError` if it cannot be handed to another process."""
    try:
        return dumps(function)
    except Exception as error:  # picklers of users' objects raise whatever they like
        raise PlanError(
            f"This run cannot be handed to other processes ({error}); define its forces by `def` at the top level of a "
            "module, or spread the work over threads."
        ) from None


@contextlib.contextmanager
def single_threaded_environment() -> Iterator[None]:
    """Let processes that are started inside inherit an environment in which libraries use one thread."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(SINGLE_THREADED)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
