"""Long chains: the steady state of 200 particles beside SciPy's, and all that is asked of 1000."""

import time

import numpy as np
from scipy import linalg

import stochbind as sb
from bench import ROOT, line
from stochbind.optics import chain_response, chains
from stochbind.propagation import lyapunov

#: What is claimed: seconds of the steady state of 200 particles, its distance from SciPy's, and its time over SciPy's.
SECONDS, DISTANCE, RATIO = 10.0, 1e-9, 1.0
REPEATS = 7


def arrays() -> None:
    """Times on one core; raises if a claim does not hold."""
    steady_state(200)
    everything(1000)


def chain(n: int) -> sb.Scenario:
    """The shipped stable chain, of n particles."""
    scenario = sb.Scenario.from_toml(ROOT / "scenarios" / "directional_chain.toml")
    return scenario.model_copy(update={"lattice": scenario.lattice.model_copy(update={"n": n})})


def timed(function):
    """Seconds of the processor, and the result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def steady_state(n: int) -> None:
    equations = chain(n).langevin()
    drift, noise = equations.drift_matrix, equations.noise_covariance
    ours, plain = [], []
    for _ in range(REPEATS):
        seconds, (found, resolved) = timed(lambda: lyapunov(drift, noise))
        ours.append(seconds)
        seconds, expected = timed(lambda: linalg.solve_continuous_lyapunov(drift, -noise))
        plain.append(seconds)
    distance = float(np.abs(found - expected).max() / np.abs(expected).max())
    ratio = min(ours) / min(plain)
    line(f"steady state of a chain of {n}, refined", f"{min(ours):.3f} s")
    line("the same by scipy.linalg.solve_continuous_lyapunov", f"{min(plain):.3f} s: ratio {ratio:.2f}")
    line("largest difference, of the largest variance", f"{distance:.1e}")
    if not (resolved and distance < DISTANCE and min(ours) < SECONDS and ratio <= RATIO):
        raise RuntimeError(f"the steady state of {n} took {min(ours):.3f} s, is {distance:.1e} off, ratio {ratio:.2f}")


def everything(n: int) -> None:
    seconds, scenario = timed(lambda: chain(n))
    line(f"chain of {n}: couplings, recoil with its eigenvalues, and all checks", f"{seconds:.2f} s")
    rates, omega, gamma = scenario.rates, scenario.angular_frequency, scenario.damping_rate
    for name, task in (
        ("growth rate from the couplings", lambda: chains.growth_rate(rates, omega, gamma)),
        ("stability limit", lambda: chains.stability_limit(rates, omega, gamma)),
        ("response of all to forces on all, at one frequency",
         lambda: chain_response.susceptibility(rates, omega, gamma, 0.99 * omega)),
        ("directional gain at 10 frequencies",
         lambda: chain_response.directional_gain(rates, omega, gamma, np.linspace(0.97, 1.0, 10) * omega)),
        ("stability with the mode that decides, from the whole drift", lambda: scenario.langevin().stability),
        ("steady state", lambda: scenario.langevin().stationary_covariance()),
        ("a simulation: 16 trajectories of 100 steps, of 5 us",
         lambda: sb.simulate(scenario.oscillators(), step=5e-6, n_steps=100, n_trajectories=16, save_every=10)),
    ):  # fmt: skip
        line(f"    {name}", f"{timed(task)[0]:.2f} s")
