"""Forty dielectric spheres in a plane wave by Stoked: coupled point dipoles, Langevin steps."""

import numpy as np

from peers.serving import grid, serve


class PlaneWave:
    """Along z, polarised along x: what Stoked calls a source."""

    def E_field(self, x, y, z, k):
        return np.array([1e6 * np.exp(1j * k * z), np.zeros_like(z), np.zeros_like(z)])


def langevin(n_particles, steps):
    import stoked

    radius, wavelength = 75e-9, 1064e-9
    polarizability = [alpha[:, None] for alpha in stoked.polarizability_sphere(
        np.full(n_particles, radius), 1.45**2, wavelength)]  # fmt: skip
    position = np.column_stack([grid(n_particles), np.zeros(n_particles)])
    solver = stoked.brownian_dynamics(
        temperature=300.0, dt=1e-8, position=position, drag=stoked.drag_sphere(radius, 1.8e-5),
        inertia=stoked.inertia_sphere(radius, 1850.0),
        interactions=stoked.point_dipole_electrodynamics(polarizability, PlaneWave(), wavelength),
    )  # fmt: skip

    def run():
        solver.run(steps, progress=False)
        assert np.all(np.isfinite(solver.position))

    return run, steps


if __name__ == "__main__":
    serve({"nonlinear, N = 40": lambda: langevin(40, 2)})
