"""Cluster files: which machines a run is spread over, by name.

A small TOML file with a table for each cluster::

    [cluster.here]
    kind = "local"
    workers = 4

    [cluster.running]
    kind = "scheduler"
    file = "scheduler.json"     # or address = "tcp://10.0.0.1:8786"

    [cluster.site]
    kind = "slurm"              # or "pbs", "lsf", "sge"
    jobs = 10                   # or adapt = {minimum = 0, maximum = 50}
    cores = 32
    memory = "64GB"
    walltime = "04:00:00"
    queue = "regular"           # this and all other keys go to dask-jobqueue as they are

Reading a file executes nothing. What a batch job of one's own site runs is for the site's user to say: the options
``python`` and ``job_script_prologue`` of dask-jobqueue end up in job scripts. So use cluster files of your own only.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from stochbind.checks import short
from stochbind.engine.workers.base import SINGLE_THREADED, Workers
from stochbind.engine.workers.cluster import ADDRESS, dask_workers, local_dask_workers, owned_dask_workers
from stochbind.errors import PlanError

#: Classes of dask-jobqueue, by kind.
QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
KINDS = ("local", "scheduler", *QUEUES)
#: How long the first worker may take [s]; jobs may queue for a day.
PATIENCE = 300.0
QUEUE_PATIENCE = 86400.0
#: How long before the end of its job a worker leaves [s], at most.
MARGIN = 300.0

_LARGEST_FILE = 2**20
_OWN_KEYS = {
    "local": {"workers"},
    "scheduler": {"address", "file", "patience_minutes"},
    "queue": {"jobs", "adapt", "patience_minutes"},
}

ClusterClass = Callable[..., Any]


def cluster_workers(
    file: str | Path, name: str | None = None, *, cluster_class: Callable[[str], ClusterClass] | None = None
) -> AbstractContextManager[Workers]:
    """Workers of a cluster that a file describes.

    Parameters
    ----------
    file : str or Path
        The cluster file.
    name : str, optional
        Which of its clusters; may be left out if there is one only.
    cluster_class : callable, optional
        Gives the class of a batch system by its name in dask-jobqueue ("SLURMCluster"); by default, imports it.

    Returns
    -------
    context manager of Workers
        The file is checked at once; workers are started when the context is entered.

    Raises
    ------
    PlanError
        If the file cannot be read, or what it says is wrong or needs a package that is not installed.
    IncompleteError
        On entering, if the scheduler cannot be reached.
    """
    path = Path(file).expanduser()
    name, table = _table(path, name)
    where = f"{path}: [cluster.{name}]"
    kind = _choice(where, table)
    options = {key: value for key, value in table.items() if key != "kind"}
    if kind == "local":
        _refuse_others(where, options, _OWN_KEYS["local"])
        return local_dask_workers(_whole(where, "workers", options.get("workers"), 1))
    patience = _patience(where, options, QUEUE_PATIENCE if kind in QUEUES else PATIENCE)
    if kind == "scheduler":
        _refuse_others(where, options, _OWN_KEYS["scheduler"])
        return dask_workers(_scheduler(where, path, options), first_worker_patience=patience)
    return _queue_workers(where, kind, options, patience, cluster_class or _of_jobqueue)


def _table(path: Path, name: str | None) -> tuple[str, Mapping[str, Any]]:
    """The table of one cluster, and its name."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise PlanError(f"{path}: is no cluster file: it is larger than 1 MB.")
        data = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: the cluster file cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"{path}: the cluster file is no TOML: {error}.") from None
    tables = data.get("cluster")
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise PlanError(f"{path}: holds no clusters; write tables such as [cluster.here].")
    other = sorted(set(data) - {"cluster"})
    if other:
        raise PlanError(f"{path}: `{other[0]}` is not known; a cluster file holds tables [cluster.NAME] only.")
    if name is None:
        if len(tables) > 1:
            raise PlanError(f"{path}: holds {len(tables)} clusters; choose one by its name: {', '.join(tables)}.")
        name = next(iter(tables))
    if name not in tables:
        raise PlanError(f"{path}: there is no cluster {name!r}{_close(name, tables)}; there are {', '.join(tables)}.")
    return name, tables[name]


def _choice(where: str, table: Mapping[str, Any]) -> str:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        found = f"is {short(kind)}{_close(kind, KINDS)}" if "kind" in table else "is missing"
        raise PlanError(f"{where}: `kind` must be one of {', '.join(KINDS)}, but {found}.")
    return kind


def _close(word: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _refuse_others(where: str, options: Mapping[str, Any], known: set[str]) -> None:
    for key in options:
        if key not in known:
            raise PlanError(
                f"{where}: `{key}` is not a known key{_close(key, known)}; there are kind, {', '.join(sorted(known))}."
            )


def _whole(where: str, key: str, value: Any, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        found = "is missing" if value is None else f"is {short(value)}"
        raise PlanError(f"{where}: `{key}` must be a whole number of at least {minimum}, but {found}.")
    return value


def _patience(where: str, options: dict[str, Any], default: float) -> float:
    """How long the first worker may take [s]."""
    value = options.pop("patience_minutes", default / 60)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise PlanError(f"{where}: `patience_minutes` must be a positive number, but is {short(value)}.")
    return 60.0 * value


def _scheduler(where: str, path: Path, options: Mapping[str, Any]) -> str | Path:
    """Address or file of a scheduler; a file is looked for beside the cluster file."""
    for key, value in options.items():
        if not isinstance(value, str) or not value:
            raise PlanError(f"{where}: `{key}` must be a string, but is {short(value)}.")
    if len(options) != 1:
        raise PlanError(f"{where}: give either `address` or `file` of the scheduler.")
    if "file" in options:
        return path.parent / Path(options["file"]).expanduser()
    if not ADDRESS.fullmatch(options["address"]):
        raise PlanError(f'{where}: `address` must look like "tcp://host:port", but is {short(options["address"])}.')
    return str(options["address"])


# Batch systems


def _queue_workers(
    where: str, kind: str, options: dict[str, Any], patience: float, cluster_class: Callable[[str], ClusterClass]
) -> AbstractContextManager[Workers]:
    jobs, adapt = options.pop("jobs", None), options.pop("adapt", None)
    if (jobs is None) == (adapt is None):
        raise PlanError(f"{where}: give either `jobs` or `adapt = {{minimum = ..., maximum = ...}}`.")
    if adapt is None:
        _whole(where, "jobs", jobs, 1)
    else:
        _check_adapt(where, adapt)
    arguments = job_arguments(where, kind, options)
    made_by = cluster_class(QUEUES[kind])
    command = getattr(getattr(made_by, "job_cls", None), "submit_command", None)
    if isinstance(command, str) and shutil.which(command.split()[0]) is None:
        raise PlanError(
            f"{where}: there is no `{command.split()[0]}` on this machine; start the run where jobs can be submitted."
        )

    @contextlib.contextmanager
    def make() -> Iterator[Any]:
        try:
            cluster = made_by(**arguments)
        except (TypeError, ValueError) as error:
            raise PlanError(f"{where}: dask-jobqueue refuses these options: {str(error).rstrip('.')}.") from None
        with cluster:
            if adapt is None:
                cluster.scale(jobs=jobs)
            else:
                cluster.adapt(minimum_jobs=adapt["minimum"], maximum_jobs=adapt["maximum"])
            yield cluster

    return owned_dask_workers(make, first_worker_patience=patience)


def _check_adapt(where: str, adapt: Any) -> None:
    if not isinstance(adapt, dict) or set(adapt) != {"minimum", "maximum"}:
        raise PlanError(f"{where}: `adapt` must be {{minimum = ..., maximum = ...}}, but is {short(adapt)}.")
    _whole(where, "adapt.minimum", adapt["minimum"], 0)
    _whole(where, "adapt.maximum", adapt["maximum"], max(1, adapt["minimum"]))


def job_arguments(where: str, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a class of dask-jobqueue: the user's, and what is good for long runs unless the user says else.

    One process for each core; libraries with one thread; and workers that leave before their job ends, so that their
    tasks go to others in good order.
    """
    arguments = dict(options)
    arguments.setdefault("scheduler_options", {"dashboard": False, "dashboard_address": ":0"})
    if "cores" in arguments:
        arguments.setdefault("processes", _whole(where, "cores", arguments["cores"], 1))
    lines = arguments.get("job_script_prologue", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise PlanError(f"{where}: `job_script_prologue` must be a list of strings, but is {short(lines)}.")
    arguments["job_script_prologue"] = [f"export {name}={value}" for name, value in SINGLE_THREADED.items()] + lines
    if "walltime" in arguments and "worker_extra_args" not in arguments:
        seconds = _walltime(where, kind, arguments["walltime"])
        lifetime = seconds - min(MARGIN, 0.2 * seconds)
        stagger = min(MARGIN, 0.2 * seconds) / 2
        arguments["worker_extra_args"] = [
            "--lifetime",
            f"{lifetime - stagger:.0f}s",
            "--lifetime-stagger",
            f"{stagger:.0f}s",
        ]
    return arguments


def _walltime(where: str, kind: str, value: Any) -> float:
    """Seconds of "HH:MM:SS" or "D-HH:MM:SS", and of the "HH:MM" of LSF."""
    pattern = r"()(\d+):(\d+)()" if kind == "lsf" else r"(?:(\d+)-)?(\d+):(\d+):(\d+)"
    match = re.fullmatch(pattern, value, re.ASCII) if isinstance(value, str) and len(value) < 30 else None
    if match is None:
        form = "04:00" if kind == "lsf" else "04:00:00"
        raise PlanError(f'{where}: `walltime` must look like "{form}", but is {short(value)}.')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    if total < 60:
        raise PlanError(f"{where}: `walltime` must be at least a minute, but is {short(value)}.")
    return float(total)


def _of_jobqueue(name: str) -> ClusterClass:
    try:
        module = importlib.import_module("dask_jobqueue")
    except ImportError:
        raise PlanError(
            'Batch systems need the package dask-jobqueue: install it by `pip install "stochbind[cluster]"`.'
        ) from None
    return getattr(module, name)  # type: ignore[no-any-return]
