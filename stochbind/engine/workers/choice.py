"""Workers by a word: what the command line and `stochbind.run` take."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from stochbind.checks import short
from stochbind.engine.blocks import n_cores
from stochbind.engine.workers.base import Workers
from stochbind.engine.workers.cluster import dask_workers, local_dask_workers, require_address
from stochbind.engine.workers.processes import process_workers
from stochbind.engine.workers.threads import serial_workers, thread_workers
from stochbind.errors import PlanError

if TYPE_CHECKING:
    from stochbind.engine.abstract_place import Place

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
    check_word(word)
    n = number or n_cores()
    if word == "serial":
        return serial_workers()
    if word in KINDS:
        return {"threads": thread_workers, "processes": process_workers, "dask": local_dask_workers}[word](n)
    file, name = _cluster_file(word)
    if file:
        from stochbind.engine.clusters import cluster_workers

        return cluster_workers(file, name)
    return dask_workers(word)


def check_word(word: str) -> None:
    """Raise `PlanError` if there are no workers by this word."""
    if isinstance(word, str):
        if "://" in word:
            require_address(word)
            return
        if word in KINDS or _cluster_file(word)[0] or word.endswith(".json"):
            return
    close = difflib.get_close_matches(str(word), KINDS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise PlanError(
        f"Workers must be {', '.join(KINDS)}, the address (tcp://...) or the file (.json) of a Dask scheduler, or a "
        f"cluster file (.toml), but are {short(word)}{hint}"
    )


def check_place(word: str, where: Place) -> None:
    """Raise `PlanError` if these workers are other processes, and a store in memory is to be written."""
    if not where.shared and word not in ("serial", "threads"):
        raise PlanError(
            f"{where}: is in the memory of this process, which workers of {short(word)} do not see; use serial or "
            "threads, or another place."
        )


def _cluster_file(word: str) -> tuple[str, str | None]:
    """File and name of a cluster; an empty file if the word names none."""
    file, _, name = word.rpartition(".toml:")
    if file:
        return f"{file}.toml", name
    return (word, None) if word.endswith(".toml") else ("", None)


def n_processes(word: str, number: int | None = None) -> int:
    """How many units at once these workers make on this machine; 1 if they are elsewhere."""
    return (number or n_cores()) if word in KINDS[1:] else 1
