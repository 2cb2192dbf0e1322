"""One trajectory by sdeint, which has no ensembles."""

import numpy as np

from peers.serving import STEP, pair, serve
from stochbind.propagation import covariance_root


def linear_pair(method):
    import sdeint

    equations = pair()
    drift, noise = equations.drift_matrix, covariance_root(equations.noise_covariance)
    steps = 1000
    times = np.arange(steps + 1) * STEP
    rng = np.random.default_rng(0)

    def run():
        getattr(sdeint, method)(lambda x, t: drift @ x, lambda x, t: noise, np.zeros(4), times, generator=rng)

    return run, steps


if __name__ == "__main__":
    names = ("itoEuler", "itoSRI2")
    serve({f"linear pair, {name}": lambda name=name: linear_pair(name) for name in names})
