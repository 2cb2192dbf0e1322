"""Euler's scheme in diffrax, vectorised over trajectories, with the fastest of its Brownian paths."""

from peers.serving import N_TRAJECTORIES, STEP, pair, serve
from stochbind.propagation import covariance_root

STEPS = 1000


def linear_pair():
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    equations = pair()
    drift = jnp.asarray(equations.drift_matrix)
    noise = jnp.asarray(covariance_root(equations.noise_covariance))
    end = STEPS * STEP

    @jax.jit
    @jax.vmap
    def path(key):
        brownian = diffrax.UnsafeBrownianPath(shape=(noise.shape[1],), key=key)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, x, _: drift @ x), diffrax.ControlTerm(lambda t, x, _: noise, brownian)
        )
        found = diffrax.diffeqsolve(
            terms, diffrax.Euler(), t0=0.0, t1=end, dt0=STEP, y0=jnp.zeros(4), max_steps=STEPS + 10,
            saveat=diffrax.SaveAt(t1=True), adjoint=diffrax.ForwardMode(),
        )  # fmt: skip
        return found.ys[0]

    keys = jax.random.split(jax.random.key(0), N_TRAJECTORIES)
    return lambda: path(keys).block_until_ready().T, N_TRAJECTORIES * STEPS


if __name__ == "__main__":
    serve({"linear pair, Euler": linear_pair})
