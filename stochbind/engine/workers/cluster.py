"""Workers of a Dask cluster: one on this machine, or one that is there already."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stochbind.checks import short
from stochbind.engine.workers.base import SINGLE_THREADED, SchedulerLost, WorkerDied, Workers, collect, require_portable
from stochbind.engine.workers.threads import require_some
from stochbind.errors import IncompleteError, PlanError

if TYPE_CHECKING:
    from distributed import Client

#: How long an answer of a scheduler is waited for, and a connection to it [s].
ANSWER_TIME = 10.0
CONNECTING_TIME = 25.0
#: After how many tasks dask's memory of their keys is cleared: it would keep 100 000, also of tasks long done.
CACHED_KEYS = 5000

#: Settings of the clusters that are started here.
#:
#: Deaths are counted by the driver, so that the scheduler reports each of them; each worker has one task and none that
#: queues behind it, so that a death concerns that task only; and the scheduler keeps no long diary.
SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.no-workers-timeout": "5 minutes",
    "distributed.scheduler.worker-ttl": "5 minutes",
    "distributed.admin.low-level-log-length": 100,
    "distributed.admin.log-length": 100,
    "distributed.worker.profile.enabled": False,
} | {f"distributed.nanny.pre-spawn-environ.{name}": int(value) for name, value in SINGLE_THREADED.items()}

#: Addresses of schedulers. Dask would try others for long, and leave a client that cannot be closed.
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucxx?)://[^\s/]+:\d{1,5}(/\S*)?|inproc://\S+", re.ASCII)


class Handle:
    """A task at a scheduler, and what became of it."""

    def __init__(self, future: Any) -> None:
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    async def land(self, finished: queue.SimpleQueue[Handle]) -> None:
        """Fetch the result as soon as it is there, in the thread of the client, and tell the driver."""
        future = self.future
        try:
            self.result = await future
        except BaseException as error:
            self.error = _loss(error) or error if future.status == "error" else SchedulerLost(str(error))
        finally:
            self.future = None
            future.release()  # not when its last reference goes: an error's traceback would keep one
            finished.put(self)


def _loss(error: BaseException) -> Exception | None:
    """The loss that an error of the scheduler about a task means; None if it is an error of the task."""
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError

    if isinstance(error, KilledWorker):
        return WorkerDied(f"its worker {error.last_worker.address} died")
    if isinstance(error, NoWorkerError):
        return SchedulerLost(str(error))
    return None


def _forget_keys() -> None:
    """Clear the cache of keys, where dask has one."""
    from dask.utils import key_split

    clear = getattr(key_split, "cache_clear", None)
    if clear is not None:
        clear()


class DaskWorkers:
    """Runs tasks on the workers of a Dask cluster.

    Parameters
    ----------
    connect : callable
        Gives a context manager of a client.
    own : bool
        Whether the cluster is made by `connect` and ends with its context: then it is rebuilt by making another.
    first_worker_patience : float
        How long to wait for the first worker [s].
    """

    def __init__(
        self, connect: Callable[[], AbstractContextManager[Client]], own: bool, first_worker_patience: float
    ) -> None:
        self.first_worker_patience = first_worker_patience
        self._connect, self._own = connect, own
        self._name = f"units-{uuid.uuid4().hex}"  # a client may serve several runs: their tasks are not the same
        self._count = 0
        self._function: Callable[..., Any] | None = None
        self._open()

    def _open(self) -> None:
        self._context = self._connect()
        self._client = self._context.__enter__()
        self._finished: queue.SimpleQueue[Handle] = queue.SimpleQueue()

    def slots(self) -> int:
        """Number of threads of all workers; zero where the scheduler does not answer."""
        try:
            return sum(self._client.nthreads(callback_timeout=ANSWER_TIME).values())
        except Exception:  # what a broken connection raises is not told by any document
            return 0

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Handle:
        """Hand a call to the scheduler."""
        from distributed.protocol import pickle

        if function is not self._function:
            require_portable(function, pickle.dumps)
            self._function = function
        self._count += 1
        if self._count % CACHED_KEYS == 0:
            _forget_keys()
        handle = Handle(None)
        try:
            handle.future = self._client.submit(function, *args, key=(self._name, self._count), pure=False)
            loop: Any = self._client.loop
            loop.add_callback(handle.land, self._finished)
        except Exception as error:
            if self._client.status == "running":
                raise
            handle.error = SchedulerLost(str(error))
            self._finished.put(handle)
        return handle

    def wait(self, handles: Collection[Any], timeout: float) -> set[Any]:
        """Wait for the scheduler to tell of finished tasks."""
        return collect(self._finished, handles, timeout)

    def result(self, handle: Handle) -> Any:
        """What the call returned or raised; `WorkerDied` or `SchedulerLost` if it was lost."""
        if handle.error is not None:
            raise handle.error
        return handle.result

    def cancel(self, handles: Iterable[Handle]) -> set[Handle]:
        """Take calls back. What has begun goes on unseen."""
        for handle in handles:
            future = handle.future
            if future is not None:  # otherwise it is finished
                with contextlib.suppress(Exception):  # the scheduler may be gone
                    future.release()
        return set()

    def lost(self, error: BaseException) -> bool:
        """Whether a worker died, or the scheduler was lost."""
        return isinstance(error, (WorkerDied, SchedulerLost))

    def rebuild(self) -> None:
        """Make another cluster, or connect anew to one that is not ours and restart the workers that hang."""
        if not self._own and self.slots() > 0:
            self._restart_busy_workers()
            self._finished = queue.SimpleQueue()
            return
        self.close()
        self._open()

    def _restart_busy_workers(self) -> None:
        """Restart the workers that have tasks of ours; those without a nanny cannot be."""
        with contextlib.suppress(Exception):
            processing = self._client.processing()
            busy = [name for name, keys in processing.items() if any(key[0] == self._name for key in keys)]
            if busy:
                self._client.restart_workers(busy, timeout=30, raise_for_error=False)

    def close(self) -> None:
        """End the client, and the cluster if it is ours."""
        context, self._context = self._context, contextlib.nullcontext()  # type: ignore[assignment]
        context.__exit__(None, None, None)


@contextlib.contextmanager
def dask_workers(cluster: Any, *, first_worker_patience: float = 300.0) -> Iterator[Workers]:
    """Workers of a Dask cluster that is there already, and stays.

    Parameters
    ----------
    cluster : Client, cluster, str or Path
        A client, a cluster object such as those of dask-jobqueue, the address of a scheduler (``tcp://host:port``), or
        the path of a scheduler file. The workers must see the store's path.
    first_worker_patience : float, optional
        How long to wait for the first worker [s].

    Raises
    ------
    PlanError
        If a text cannot be an address.
    IncompleteError
        If the scheduler cannot be reached within half a minute.
    """
    with _quiet():
        workers = DaskWorkers(lambda: _client(cluster), False, first_worker_patience)
        try:
            yield workers
        finally:
            workers.close()


@contextlib.contextmanager
def local_dask_workers(n: int) -> Iterator[Workers]:
    """Workers of a Dask cluster of processes on this machine, one thread each.

    Parameters
    ----------
    n : int
        Number of processes.

    Raises
    ------
    PlanError
        If `n` is not positive.
    IncompleteError
        If the cluster cannot start.
    """
    require_some(n)
    with _quiet():
        workers = DaskWorkers(lambda: _local_client(n), True, 300.0)
        try:
            yield workers
        finally:
            workers.close()


@contextlib.contextmanager
def owned_dask_workers(
    make: Callable[[], AbstractContextManager[Any]], *, first_worker_patience: float
) -> Iterator[Workers]:
    """Workers of a cluster object that is made here, by a function, and ends here."""

    @contextlib.contextmanager
    def connect() -> Iterator[Client]:
        import dask

        with dask.config.set(SETTINGS), make() as cluster, _client(cluster) as client:
            yield client

    with _quiet():
        workers = DaskWorkers(connect, True, first_worker_patience)
        try:
            yield workers
        finally:
            workers.close()


@contextlib.contextmanager
def _local_client(n: int) -> Iterator[Client]:
    """A client of a cluster of processes on this machine; both end with the context."""
    import dask
    from distributed import LocalCluster

    with dask.config.set(SETTINGS):
        cluster = _started(
            lambda: LocalCluster(
                n_workers=n,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        )
        try:
            with _client(cluster) as client:
                yield client
        finally:
            with contextlib.suppress(Exception):  # workers that died are no reason to fail now
                cluster.close(timeout=20)


def _started(make: Callable[[], Any], attempts: int = 2) -> Any:
    """A cluster; on a busy machine the first attempt may fail."""
    for attempt in range(attempts):
        try:
            return make()
        except (OSError, RuntimeError, TimeoutError) as error:
            if attempt == attempts - 1:
                raise IncompleteError(
                    f"The Dask cluster cannot start ({str(error).rstrip('.')}). A script that starts one needs "
                    '`if __name__ == "__main__":` around its main part; or spread the work over processes.'
                ) from None
    return None


@contextlib.contextmanager
def _client(cluster: Any) -> Iterator[Client]:
    """A client of what the user gave; it is closed at the end unless it is the user's own."""
    from distributed import Client

    if isinstance(cluster, Client):
        if cluster.status != "running":
            raise IncompleteError(
                f"The Dask client is {cluster.status}: its scheduler is gone; start the same run again to continue it."
            )
        yield cluster
        return
    client = _reach(cluster)
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.close(timeout=5)


def _reach(cluster: Any) -> Client:
    """Connect to a scheduler; a scheduler file is read again and again, since a new scheduler writes a new one."""
    from distributed import Client

    if isinstance(cluster, str) and "://" in cluster:
        require_address(cluster)
    deadline = time.monotonic() + CONNECTING_TIME
    while True:
        target: Any = None
        try:
            target = _address(cluster)
            return Client(target, timeout=min(5.0, CONNECTING_TIME), set_as_default=False)
        except Exception as error:  # each kind of address has its own errors, and its own missing packages
            if time.monotonic() > deadline:
                where = f" at {target}" if isinstance(target, str) else ""
                given = f" (scheduler file {cluster})" if where and target != cluster else ""
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise IncompleteError(
                    f"The Dask scheduler{where}{given} cannot be reached: {reason.rstrip('.')}. Start it, and the "
                    "same run again to continue it."
                ) from None
        time.sleep(0.2)


def _address(cluster: Any) -> Any:
    """What `Client` takes: the address in a scheduler file, or what was given."""
    if not isinstance(cluster, (str, os.PathLike)):
        return cluster
    text = os.fspath(cluster)
    if "://" in text or (re.search(r":\d+$", text) and not Path(text).exists()):
        return text
    try:
        address = json.loads(Path(text).read_text(encoding="utf-8"))["address"]
    except OSError as error:
        raise OSError(f"the scheduler file {text} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        address = None
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise ValueError(f"the scheduler file {text} holds no address")
    return address


def require_address(text: str) -> str:
    """The address of a scheduler, if it is one."""
    if not ADDRESS.fullmatch(text):
        raise PlanError(
            'The address of a Dask scheduler must look like "tcp://host:port" (or begin with tls, ws, wss, ucx or '
            f"inproc), but is {short(text)}."
        )
    return text


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What happens to workers is told by exceptions; the log of distributed repeats it as tracebacks."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]  # the two have own levels
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
