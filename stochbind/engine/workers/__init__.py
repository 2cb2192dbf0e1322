"""What runs tasks: this process, its threads, a pool of processes, or a Dask cluster."""

from stochbind.engine.workers.base import SchedulerLost, WorkerDied, Workers
from stochbind.engine.workers.cluster import dask_workers, local_dask_workers
from stochbind.engine.workers.processes import process_workers
from stochbind.engine.workers.threads import serial_workers, thread_workers

__all__ = [
    "SchedulerLost",
    "WorkerDied",
    "Workers",
    "dask_workers",
    "local_dask_workers",
    "process_workers",
    "serial_workers",
    "thread_workers",
]
