"""Exactness, conventions and the physics that the documentation claims."""

import tempfile
from pathlib import Path

import mpmath
import numpy as np
from scipy import constants

import stochbind as sb
from bench import ROOT, line
from stochbind.analysis import thermodynamics
from stochbind.engine.solvers import Exact
from stochbind.optics import beams, binding
from stochbind.oscillators import Oscillators


def exactness() -> None:
    """One step of the coefficients that run, against the closed form with 80 digits."""
    mpmath.mp.dps = 80
    worst_matrix = worst_covariance = 0.0
    for quality in (1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9):
        array = Oscillators(
            mass=np.ones(1), stiffness=np.ones(1), friction=np.array([1 / quality]), bath_temperature=np.ones(1),
            coupling=np.zeros((1, 1)), reduced=True,
        )  # fmt: skip
        for step in (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3):
            found = {name: table[0] for name, table in Exact().program(array.langevin(), step).coefficients.items()}
            gamma, t = mpmath.mpf(1 / quality), mpmath.mpf(step)
            omega = mpmath.sqrt(1 - gamma**2 / 4)
            decay, c, s = mpmath.exp(-gamma * t / 2), mpmath.cos(omega * t), mpmath.sin(omega * t)
            rows = [[c + gamma / (2 * omega) * s, s / omega], [-s / omega, c - gamma / (2 * omega) * s]]
            matrix = decay * mpmath.matrix(rows)
            covariance = np.array((mpmath.eye(2) - matrix * matrix.T).tolist(), dtype=float)
            expected = np.array(matrix.tolist(), dtype=float)
            deviation = np.sqrt(np.diag(covariance))
            error = (found["root"] @ found["root"].T - covariance) / np.outer(deviation, deviation)
            worst_matrix = max(worst_matrix, np.abs(found["matrix"] - expected).max() / np.abs(expected).max())
            worst_covariance = max(worst_covariance, np.abs(error).max())
    line("one-step matrix, Omega dt 1e-3..1e3, Q 10..1e9: relative error", f"{worst_matrix:.1e}")
    line("one-step covariance, the same grid: relative error", f"{worst_covariance:.1e}")


def conventions() -> None:
    k, z_r = 2 * np.pi / 1064e-9, beams.rayleigh_range(1064e-9, 0.8e-6)
    rng = np.random.default_rng(0)
    for far in (True, False):
        position = rng.uniform(-5e-6, 5e-6, (10, 2))
        field = (rng.normal(size=(10, 2)) + 1j * rng.normal(size=(10, 2))) * 1e7
        found = binding.binding(position, field, np.full(10, 3.9e-21), k, z_r, far_field=far)
        off = ~np.eye(10, dtype=bool)
        error = (found.coupling - found.coupling.T - 4 * found.diffusion.imag / constants.hbar)[off]
        name = "far field" if far else "exact"
        line(f"C - C^T - 4 Im D / hbar over max C, {name}", f"{np.abs(error).max() / np.abs(found.coupling).max():.1e}")
    position = np.array([[0.0, 0.0], [np.pi / 4 / k, 0.0]])
    field = beams.linear_polarization(np.full(2, 1e7), np.array([np.pi / 4, 0.0]), np.full(2, np.pi / 2))
    coupling = binding.binding(position, field, np.full(2, 3.9e-21), k, z_r).coupling
    line("C_21 / C_12 at k d = phi = pi/4", f"{abs(coupling[1, 0] / coupling[0, 1]):.1e}")
    scenario = sb.Scenario.from_toml(ROOT / "scenarios" / "reciprocal_pair.toml")
    array = scenario.oscillators()
    second = array.langevin().stationary_covariance()
    largest = np.abs(thermodynamics.power(array, second)).max()
    scale = constants.k * 300 * float((array.friction / array.mass)[0])
    line("power between equal baths, reciprocal, over k_B T gamma", f"{largest / scale:.1e}")


def cold_to_hot() -> None:
    """Heat drawn from the colder bath on both sides of the limit, simulated and exact."""
    base = sb.Scenario.from_toml(ROOT / "scenarios" / "cold_to_hot_pair.toml")
    for ratio in (-0.2, 0.4, 0.7, 0.9, 1.2):
        scenario = base.model_copy(update={"coupling": [[0.0, 0.5], [0.5 * ratio, 0.0]]})
        plan = sb.Plan.from_scenario(scenario, n_steps=8000)
        with tempfile.TemporaryDirectory() as folder:
            sb.run(plan, Path(folder) / "run.zarr")
            row = sb.validate(sb.open(Path(folder) / "run.zarr"), scenario).value("heat current", "1")
        words = "cools" if row.value > 5 * row.stderr else "heats" if row.value < -5 * row.stderr else "undecided"
        value = f"{row.value:+.5f} +- {row.stderr:.5f}, exact {row.exact:+.5f}: {words} the colder bath"
        line(f"heat from the colder bath, c_B/c_A = {ratio} (T_B/T_A = 0.8)", value)
