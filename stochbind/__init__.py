"""Stochastic trajectories of optically bound and levitated nanoparticle arrays."""

__version__ = "0.1.0"
