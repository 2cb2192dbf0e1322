"""Workers by a word: what the command line and `stochbind.run` take."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager

from stochbind.checks import short
from stochbind.engine.blocks import n_cores
from stochbind.engine.workers.base import Workers
from stochbind.engine.workers.cluster import dask_workers, local_dask_workers
from stochbind.engine.workers.processes import process_workers
from stochbind.engine.workers.threads import serial_workers, thread_workers
from stochbind.errors import PlanError

KINDS = ("serial", "threads", "processes", "dask")


def workers_of(word: str, number: int | None = None) -> AbstractContextManager[Workers]:
    """Workers by a word, to be used in a ``with``.

    Parameters
    ----------
    word : str
        "serial", "threads", "processes" or "dask" (a cluster of processes of this machine); the address
        (``tcp://...``) or the file (``.json``) of a Dask scheduler; or a cluster file, ``FILE.toml`` or
        ``FILE.toml:NAME``.
    number : int, optional
        Number of threads or processes; by default one for each core.

    Raises
    ------
    PlanError
        If the word is none of these.
    """
    n = number or n_cores()
    if word in KINDS:
        if word == "serial":
            return serial_workers()
        return {"threads": thread_workers, "processes": process_workers, "dask": local_dask_workers}[word](n)
    if isinstance(word, str):
        file, _, name = word.rpartition(".toml:")
        if file or word.endswith(".toml"):
            from stochbind.engine.clusters import cluster_workers

            return cluster_workers(f"{file}.toml" if file else word, name if file else None)
        if "://" in word or word.endswith(".json"):
            return dask_workers(word)
    close = difflib.get_close_matches(str(word), KINDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise PlanError(
        f"Workers must be {', '.join(KINDS)}, the address (tcp://...) or the file (.json) of a Dask scheduler, or a "
        f"cluster file (.toml), but are {short(word)}{hint}"
    )
