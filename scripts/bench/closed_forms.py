"""Closed forms of steady states beside the matrix route and beside simulations, each with its distance."""

import math
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import stochbind as sb
from bench import line
from stochbind.analysis import currents, entropy, information, refrigerators, transfer_entropy
from stochbind.analysis import thermodynamics as thermo
from stochbind.analysis.findings.analyses import Analysis

#: What is claimed: of the matrix route, of the standard errors of a simulation, and of its distance in units of them.
MATRIX, RELATIVE_ERROR, DISTANCE = 1e-10, 0.01, 5.0
RECOIL = 0.4


class Row(NamedTuple):
    """One closed form: its value, that of the general route, and the finding of `stochbind.analyse` to compare with."""

    name: str
    closed: float
    matrix: float
    finding: tuple[str, str]


def closed_forms() -> None:
    """A table for each of four pairs; raises if a claim does not hold."""
    failed = []
    with sb.process_workers(2) as workers:
        for name, scenario, options, rows_of in (
            # Within a step the area between two overdamped paths is not seen: variance of work is 0.2 % too small.
            ("overdamped pair", overdamped(), (8192, 0.005, 128, 204_800), overdamped_rows),
            ("underdamped pair", underdamped(), (8192, 0.1, 8, 10_240), underdamped_rows),
            ("identical pair, correlated recoil", identical(), (1024, 1.0, 1, 1024), identical_rows),
            ("pair of two frequencies, correlated recoil", pumped(), (1024, 1.0, 1, 1024), pumped_rows),
        ):
            names = ("n_trajectories", "step", "save_every", "n_steps")
            plan = sb.Plan.from_scenario(
                scenario, initial="stationary", ledger=True, seed=1, **dict(zip(names, options, strict=True))
            )
            with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
                sb.run(plan, Path(folder) / "run.zarr", workers=workers)
                found = sb.analyse(sb.open(Path(folder) / "run.zarr"), n_surrogates=0)
            line(name, f"{found.n_trajectories} trajectories of {found.n_states} states every {plan.save_interval:g}")
            line("", "     closed form  matrix - 1     simulated  rel. error       z")
            for row in rows_of(scenario.oscillators(), plan.save_interval):
                failed += [f"{name}: {row.name} {why}" for why in show(row, found)]
    if failed:
        raise RuntimeError("; ".join(failed))


def show(row: Row, found: Analysis) -> list[str]:
    """Print a row, and tell what does not hold."""
    quantity, where = row.finding
    # Of a variance that a ledger does not see whole, the name says so
    named = (one for one in found.findings if one.quantity.removesuffix(", as the ledger sees it") == quantity)
    finding = next(one for one in named if one.where.startswith(where))
    # The variance of what flows in a window depends on its length; its ratio to that of long windows is exact.
    scale = row.closed / finding.exact if row.name.startswith("variance") else 1.0
    value, stderr = scale * finding.value, scale * finding.stderr
    matrix, error, z = row.matrix / row.closed - 1.0, stderr / abs(row.closed), (value - row.closed) / stderr
    line(f"    {row.name}", f"{row.closed:16.10f}  {matrix:+10.1e}  {value:+12.6f}  {100 * error:8.2f} %  {z:+6.2f}")
    claims = (
        (abs(matrix) <= MATRIX, f"differs by {matrix:.1e} from the matrix route"),
        (error <= RELATIVE_ERROR, f"is known to {100 * error:.2f} % only"),
        (abs(z) < DISTANCE, f"is {z:+.1f} standard errors off"),
    )
    return [why for holds, why in claims if not holds]


def pair(particles, coupling, **options) -> sb.OscillatorScenario:
    """A pair in reduced units; particles are given by mass, stiffness, friction and bath temperature."""
    names = ("mass", "stiffness", "friction", "bath_temperature")
    particle = [{name: value for name, value in zip(names, one, strict=True) if value is not None} for one in particles]
    matrix = [[0.0, coupling[0]], [coupling[1], 0.0]]
    return sb.OscillatorScenario(name="pair", units="reduced", coupling=matrix, particle=particle, **options)


def overdamped() -> sb.OscillatorScenario:
    return pair([(None, 1.2, 0.8, 1.0), (None, 0.9, 1.2, 0.8)], (0.9, 0.3), dynamics="overdamped")


def underdamped() -> sb.OscillatorScenario:
    return pair([(1.0, 1.0, 0.5, 1.0), (1.2, 1.3, 0.6, 0.8)], (0.9, 0.3))


def identical() -> sb.OscillatorScenario:
    diffusion = [[RECOIL, 0.6 * RECOIL], [0.6 * RECOIL, RECOIL]]
    return pair([(1.0, 1.0, 0.4, 1.0), (1.0, 1.0, 0.4, 0.5)], (0.6, 0.1), momentum_diffusion=diffusion)


def pumped() -> sb.OscillatorScenario:
    diffusion = [[RECOIL, 0.9 * RECOIL], [0.9 * RECOIL, RECOIL]]
    return pair([(1.0, 1.0, 0.2, 0.5), (1.0, 1.6, 0.2, 0.5)], (0.2, 0.2), momentum_diffusion=diffusion)


class Numbers:
    """A pair in the symbols of the equations; overdamped, the masses are zero."""

    def __init__(self, array: sb.Oscillators) -> None:
        (self.u_a, self.u_b), (self.g_a, self.g_b) = array.stiffness, array.friction
        self.m_a, self.m_b = (0.0, 0.0) if array.mass is None else array.mass
        (self.t_a, self.t_b) = array.bath_temperature
        self.c_a, self.c_b = array.coupling[0, 1], array.coupling[1, 0]
        self.a1 = self.m_a * self.g_b + self.m_b * self.g_a
        a0, a2 = self.m_a * self.m_b, self.m_a * self.u_b + self.m_b * self.u_a + self.g_a * self.g_b
        a3, self.a4 = self.g_a * self.u_b + self.g_b * self.u_a, self.u_a * self.u_b - self.c_a * self.c_b
        self.hurwitz = self.a1 * a2 * a3 - a0 * a3**2 - self.a1**2 * self.a4
        self.rate = 1.0 / a3 if array.overdamped else self.g_a * self.g_b * self.a1 / self.hurwitz
        self.area = self.rate * (self.c_a * self.t_b - self.c_b * self.t_a)
        self.flux = self.c_a * self.area, -self.c_b * self.area  # heat into the baths
        self.entropy = self.flux[0] / self.t_a + self.flux[1] / self.t_b

    def work_variance(self) -> float:
        """Of the work on A, per time: by an integral over frequencies, which is elementary if overdamped."""
        white = 2.0 * self.c_a**2 * self.t_a * self.t_b * self.rate
        if self.m_a == 0.0:
            return white + 2.0 * self.g_a * self.g_b * self.rate * self.flux[0] ** 2
        slope = 4.0 * self.g_a * self.g_b * self.flux[0] / self.rate
        omega = np.tan(np.linspace(0.0, 0.5 * math.pi, 4001)[:-1])  # of a periodic function, sums are exact
        delta = (self.u_a - self.m_a * omega**2 - 1j * self.g_a * omega) * (
            self.u_b - self.m_b * omega**2 - 1j * self.g_b * omega
        ) - self.c_a * self.c_b
        density = omega**4 * (1.0 + omega**2) / np.abs(delta) ** 4
        return white + slope**2 * float(density.sum()) * (0.5 * math.pi / 4000) / (2.0 * math.pi)


def flows(array: sb.Oscillators, n: Numbers) -> list[Row]:
    """Heat, entropy, performance and fluctuations of work of a pair in two baths."""
    second = array.langevin().stationary_covariance()
    heat = thermo.heat_current(array, second)
    spread = currents.variance_rate(array.langevin(), currents.work_current(array, 0, 1))
    performance, variance = n.c_b / (n.c_a - n.c_b), n.work_variance()
    found = refrigerators.balance(array).performance
    bath, path = "heat from the bath, by balance", "heat from bath and recoil, along the path"
    return [
        Row("heat from bath A", -n.flux[0], heat[0], (bath, "0")),
        Row("heat from bath B", -n.flux[1], heat[1], (bath, "1")),
        Row("heat from bath A, along the path", -n.flux[0], heat[0], (path, "0")),
        Row("heat from bath B, along the path", -n.flux[1], heat[1], (path, "1")),
        Row("entropy production", n.entropy, entropy.total(array, second), ("entropy production, in all", "")),
        Row("coefficient of performance", performance, found, ("coefficient of performance", "")),
        Row("variance of the work on A, per time", variance, spread, ("variance of the work, per time", "0")),
    ]  # fmt: skip


def overdamped_rows(array: sb.Oscillators, interval: float) -> list[Row]:
    n = Numbers(array)
    covariance = array.langevin().stationary_covariance()
    unit = array.langevin().unit
    second = covariance * np.outer(unit, unit)
    across = (n.c_a * n.t_b * n.g_b * n.u_a + n.c_b * n.t_a * n.g_a * n.u_b) * n.rate / n.a4
    square = np.array([(n.t_a + n.c_a * across) / n.u_a, (n.t_b + n.c_b * across) / n.u_b])
    determinant = square.prod() - across**2
    spread = np.array([[square[0], across], [across, square[1]]])
    into_a = n.area * across / determinant
    one, other = np.array([0]), np.array([1])
    told = transfer_entropy.exact_transfer_entropy(array, interval) / interval
    closed = sampled_transfer(n, spread, interval)
    shared = information.mutual_information(covariance, one, other)
    flow = information.flow(array.langevin(), covariance, one)
    return [
        Row("<x_A^2> u_A", square[0] * n.u_a, second[0, 0] * n.u_a, ("position temperature", "0")),
        Row("<x_B^2> u_B", square[1] * n.u_b, second[1, 1] * n.u_b, ("position temperature", "1")),
        *flows(array, n),
        Row("information flow into A", into_a, flow, ("information flow", "into 0")),
        Row("mutual information", -0.5 * math.log1p(-(across**2) / square.prod()), shared, ("mutual information", "")),
        Row("transfer entropy to A", closed[0], told[0, 1], ("transfer entropy", "0 <- 1")),
        Row("transfer entropy to B", closed[1], told[1, 0], ("transfer entropy", "1 <- 0")),
    ]  # fmt: skip


def sampled_transfer(n: Numbers, spread: np.ndarray, interval: float) -> list[float]:
    """Transfer entropy per time between states kept every `interval`, one of them as the past, to A and to B."""
    drift = np.array([[-n.u_a / n.g_a, n.c_a / n.g_a], [n.c_b / n.g_b, -n.u_b / n.g_b]])
    mean = 0.5 * np.trace(drift)
    root = math.sqrt(mean**2 - np.linalg.det(drift))
    turn = (drift - mean * np.eye(2)) * (math.sinh(root * interval) / root)
    step = math.exp(mean * interval) * (math.cosh(root * interval) * np.eye(2) + turn)
    noise = spread - step @ spread @ step.T
    hidden = np.linalg.det(spread) / np.diagonal(spread)  # of A given B's state, and of B given A's
    more = np.array([step[0, 1] ** 2 * hidden[0], step[1, 0] ** 2 * hidden[1]])
    return list(0.5 * np.log1p(more / np.diagonal(noise)) / interval)


def underdamped_rows(array: sb.Oscillators, interval: float) -> list[Row]:
    del interval
    return flows(array, Numbers(array))


def identical_rows(array: sb.Oscillators, interval: float) -> list[Row]:
    """Recoil adds D/(m gamma) to the bath; what is common to both adds nothing to kinetic temperatures."""
    del interval
    m, u, gamma = array.mass[0], array.stiffness[0], array.friction[0] / array.mass[0]
    g_1, g_2 = (c / (2.0 * math.sqrt(m * u)) for c in (array.coupling[0, 1], array.coupling[1, 0]))
    t_1, t_2 = array.bath_temperature + RECOIL / (m * gamma)
    below = gamma**2 + 4.0 * g_1 * g_2
    kinetic = [t_1 + 2.0 * g_1 * (g_1 * t_2 - g_2 * t_1) / below, t_2 + 2.0 * g_2 * (g_2 * t_1 - g_1 * t_2) / below]
    c_12, c_21 = array.coupling[0, 1], array.coupling[1, 0]
    momenta = array.diffusion[0, 1].real / gamma
    across = (momenta / m + (c_21 * kinetic[0] + c_12 * kinetic[1]) / (2.0 * u)) / (u - c_12 * c_21 / u)
    square = [kinetic[0] + c_12 * across, kinetic[1] + c_21 * across]
    second = array.langevin().stationary_covariance()
    found = [*thermo.kinetic_temperature(array, second), *thermo.position_temperature(array, second)]
    names = [f"{what} temperature of {who}" for what in ("kinetic", "position") for who in "AB"]
    return [
        Row(name, value, matrix, (name.split(" of ")[0], "01"[name[-1] == "B"]))
        for name, value, matrix in zip(names, [*kinetic, *square], found, strict=True)
    ]


def pumped_rows(array: sb.Oscillators, interval: float) -> list[Row]:
    """Baths, recoil and coupling are the same for both; the frequencies differ, and heat flows."""
    del interval
    n = Numbers(array)
    cross = array.diffusion[0, 1].real
    gain = 2.0 * cross * n.g_a * n.g_b * (n.m_a * n.u_b - n.m_b * n.u_a) / n.hurwitz
    power = thermo.power(array, array.langevin().stationary_covariance())
    work, path = "work of the coupling", "work of the coupling, along the path"
    return [
        Row("work on A", n.c_a * gain, power[0, 1], (work, "0 <- 1")),
        Row("work on B", -n.c_b * gain, power[1, 0], (work, "1 <- 0")),
        Row("work on A, along the path", n.c_a * gain, power[0, 1], (path, "0 <- 1")),
    ]
