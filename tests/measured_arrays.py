"""Measured arrays with simple numbers: unit mass, trap frequency, and Planck's constant."""

import numpy as np

from stochbind.oscillators import Oscillators


def one(diffusion, *, damping=0.0, temperature=0.0, frequency=1.0):
    """One oscillator, whose recoil gives it so many quanta in a unit of time."""
    return Oscillators(
        mass=np.ones(1),
        stiffness=np.full(1, frequency**2),
        friction=np.full(1, damping),
        bath_temperature=np.full(1, temperature),
        coupling=np.zeros((1, 1)),
        diffusion=np.full((1, 1), diffusion * frequency),
        reduced=True,
    )


def pair(on_first, on_second, recoil, *, common=0.0, damping=0.0, temperature=0.0, stiffness=None):
    """Two oscillators of which each feels the other with a constant of its own, by default with the spring of that."""
    coupling = np.array([[0.0, on_first], [on_second, 0.0]])
    return Oscillators(
        mass=np.ones(2),
        stiffness=1.0 + coupling.sum(axis=1) if stiffness is None else np.full(2, stiffness),
        friction=np.full(2, damping),
        bath_temperature=np.full(2, temperature),
        coupling=coupling,
        diffusion=np.array([[recoil, common], [np.conj(common), recoil]]),
        reduced=True,
    )


def covariance_z(sample, expected):
    """Deviation of the second moments of independent Gaussian vectors (n, d) from their covariance, in errors."""
    count = len(sample)
    variance = np.diagonal(expected)
    error = np.sqrt((np.outer(variance, variance) + expected**2) / count)
    return (sample.T @ sample / count - expected) / error
