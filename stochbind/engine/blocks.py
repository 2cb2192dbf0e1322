"""Blocks of trajectories: their initial states, and the cores they are spread over."""

from __future__ import annotations

import os

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise


def initial_state(seed: int, mean: FloatArray, root: FloatArray, rows: range) -> FloatArray:
    """Scaled state at time zero of some trajectories, shape (d, B), of a Gaussian with a mean and a covariance root."""
    normal = noise.normals(seed, noise.Stream.INITIAL_STATE, np.arange(rows.start, rows.stop), 0, len(mean))
    state = np.repeat(mean[:, None], len(rows), axis=1)
    for j in range(len(mean)):  # a loop, not a matrix product: its bits do not depend on the size of the block
        state += root[:, j, None] * normal[j]
    return state


def n_cores() -> int:
    """Cores that this process may use: one in a worker of Dask or of a pool, all that it is bound to otherwise."""
    import multiprocessing
    import sys

    if multiprocessing.parent_process() is not None:
        return 1
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            distributed.get_worker()
        except ValueError:
            pass
        else:
            return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
