"""The exact step in JAX: a compiled scan in double precision."""

from peers.serving import N_TRAJECTORIES, one_step, serve

STEPS = 1000


def linear_pair():
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    matrix, root = map(jnp.asarray, one_step())

    @jax.jit
    def path(key):
        def step(state, index):
            normal = jax.random.normal(jax.random.fold_in(key, index), state.shape)
            return matrix @ state + root @ normal, None

        return jax.lax.scan(step, jnp.zeros((4, N_TRAJECTORIES)), jnp.arange(STEPS))[0]

    key = jax.random.key(0)
    return lambda: path(key).block_until_ready(), N_TRAJECTORIES * STEPS


if __name__ == "__main__":
    serve({"linear pair": linear_pair})
