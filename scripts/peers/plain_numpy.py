"""The same work in NumPy, written as well as it goes."""

import numpy as np

from peers.ours import SIZES, random_step
from peers.serving import N_TRAJECTORIES, one_step, serve

GENERATORS = {"SFC64": np.random.SFC64, "PCG64": np.random.PCG64, "PCG64DXSM": np.random.PCG64DXSM,
              "Philox": np.random.Philox}  # fmt: skip


def normals(bits):
    steps, out, generator = 250, np.empty((16, 256)), np.random.Generator(bits(0))

    def run():
        for _ in range(steps):
            generator.standard_normal(out=out)

    return run, steps * out.size


def one_product(matrix, root, n_trajectories, steps):
    """One product a step: x' = [E L] [x z], nothing allocated, trajectories side by side in memory."""
    d = len(matrix)
    both, generator = np.hstack([matrix, root]), np.random.Generator(np.random.SFC64(0))
    stack, new = np.zeros((2 * d, n_trajectories)), np.empty((d, n_trajectories))

    def run():
        for _ in range(steps):
            generator.standard_normal(out=stack[d:])
            np.matmul(both, stack, out=new)
            stack[:d] = new
        return new

    return run, n_trajectories * steps


def rows(matrix, root, n_trajectories, steps):
    """A trajectory in each row, as one would first write it."""
    d, generator = len(matrix), np.random.Generator(np.random.SFC64(0))
    turned, turned_root = np.ascontiguousarray(matrix.T), np.ascontiguousarray(root.T)

    def run():
        state = np.zeros((n_trajectories, d))
        for _ in range(steps):
            state = state @ turned + generator.standard_normal((n_trajectories, d)) @ turned_root
        return state.T

    return run, n_trajectories * steps


def growth(n_particles):
    matrix, root = random_step(n_particles)
    n_trajectories = 64 if n_particles > 200 else 256
    steps = max(1, int(4e8 / (2 * matrix.size + 100 * len(matrix)) / n_trajectories))
    return one_product(matrix, root, n_trajectories, steps)


if __name__ == "__main__":
    serve(
        {
            **{f"normals, {name}": lambda bits=bits: normals(bits) for name, bits in GENERATORS.items()},
            "linear pair, one product": lambda: one_product(*one_step(), N_TRAJECTORIES, 1000),
            "linear pair, rows": lambda: rows(*one_step(), N_TRAJECTORIES, 1000),
            **{f"linear, N = {n}": lambda n=n: growth(n) for n in SIZES},
        }
    )
