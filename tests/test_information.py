"""Exact information: flows, mutual information and transfer entropy against closed forms and other routes."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import information, statistics, thermodynamics, transfer_entropy
from stochbind.analysis.curved import curved_estimate
from stochbind.analysis.directions import found_directions
from stochbind.analysis.findings import knowledge
from stochbind.analysis.findings.base import Setting, Subject
from stochbind.errors import NoiseError, PlanError, UnstableError
from tests.test_currents import CORRELATED, pair


def groups(array):
    return [information.coordinates(array, [j]) for j in range(array.n_oscillators)]


def random_pairs(kind, n=20):
    generator = np.random.default_rng(11)
    while n:
        stiffness, friction, mass = generator.uniform(0.5, 2.0, (3, 2))
        array = sb.Oscillators(
            stiffness=stiffness, friction=friction, bath_temperature=generator.uniform(0.2, 2.0, 2),
            coupling=np.diag(generator.uniform(-0.5, 0.6, 2))[:, ::-1], mass=None if kind == "overdamped" else mass,
            reduced=True,
        )  # fmt: skip
        if array.langevin().stability.stable:
            n -= 1
            yield array


def test_flow_of_overdamped_pairs():
    """I_A = <x_B o dx_A/dt> <x_A x_B> / det(Sigma), Loos and Klapp; of the transposed coupling it is another."""
    for array in random_pairs("overdamped"):
        (_, c_a), (c_b, _) = array.coupling
        (t_a, t_b), (g_a, g_b), (u_a, u_b) = array.bath_temperature, array.friction, array.stiffness
        unit = array.langevin().unit
        covariance = array.langevin().stationary_covariance()
        spread = covariance * np.outer(unit, unit)
        rate = (c_a * t_b - c_b * t_a) / (g_b * u_a + g_a * u_b)
        exact = rate * spread[0, 1] / np.linalg.det(spread)
        found = [information.flow(array.langevin(), covariance, group) for group in groups(array)]
        assert found == pytest.approx([exact, -exact], rel=1e-10)
        assert found[0] != pytest.approx(exact * (c_b * t_b - c_a * t_a) / (c_a * t_b - c_b * t_a), rel=1e-3)


@pytest.mark.parametrize("kind", ["overdamped", "underdamped"])
def test_second_law_with_information(kind):
    """What each bath gains is never less than what the particle learns; without information it may be."""
    broken = 0
    for array in random_pairs(kind, 60):
        covariance = array.langevin().stationary_covariance()
        gain = -thermodynamics.heat_current(array, covariance) / array.bath_temperature
        flows = np.array([information.flow(array.langevin(), covariance, group) for group in groups(array)])
        assert flows.sum() == pytest.approx(0.0, abs=1e-12)
        assert (gain - flows >= -1e-12).all()
        broken += int((gain < -1e-9).any())
    assert broken > 5  # baths that lose entropy: a second law without information would refuse them


def test_flow_is_the_change_of_mutual_information():
    """In a transient both flows add up to its derivative; common noise included."""
    array = pair(diffusion=CORRELATED)
    equations, (first, second) = array.langevin(), groups(array)
    start = sb.Moments(np.zeros(4), np.diag([0.3, 1.1, 0.7, 2.0]))
    h = 1e-4
    before, now, after = (equations.moments(t, start).covariance for t in (2.0 - h, 2.0, 2.0 + h))
    change = [information.mutual_information(c, first, second) for c in (before, after)]
    total = sum(information.flow(equations, now, group) for group in (first, second))
    assert total == pytest.approx((change[1] - change[0]) / (2 * h), rel=1e-6)


def test_mutual_information_of_two_numbers():
    """-ln(1 - r^2)/2, in any units."""
    for r in (0.0, 0.3, -0.9):
        covariance = np.array([[1e-18, r * 1e-6], [r * 1e-6, 1e6]])
        found = information.mutual_information(covariance, np.array([0]), np.array([1]))
        assert found == pytest.approx(-0.5 * math.log1p(-(r**2)), rel=1e-9, abs=1e-15)


def test_transfer_entropy_of_a_one_way_pair():
    """(sqrt(r^2 + K) - r)/2 by Geweke's integral over frequencies, r the sender's rate; none the other way."""
    array = pair("overdamped", coupling=(0.6, 0.0))
    (t_a, t_b), (g_a, g_b) = array.bath_temperature, array.friction
    r, k = array.stiffness[1] / g_b, (0.6 / g_a) ** 2 * (t_b / g_b) / (t_a / g_a)
    exact = 0.5 * (math.sqrt(r**2 + k) - r)
    omega = np.linspace(0, 2e4, 4_000_001)
    integral = np.trapezoid(np.log1p(k / (r**2 + omega**2)), omega) / (2 * math.pi)
    assert integral == pytest.approx(exact, rel=1e-4)
    assert information.transfer_entropy(array, [0], [1]) == pytest.approx(exact, rel=1e-10)
    assert information.transfer_entropy(array, [1], [0]) == 0.0


@pytest.mark.parametrize(
    "array",
    [pair("overdamped"), pair(), pair(diffusion=CORRELATED), pair("overdamped", diffusion=CORRELATED)],
    ids=["overdamped", "underdamped", "recoil", "overdamped with recoil"],
)
def test_sampled_transfer_entropy_by_a_long_history(array):
    """Determinants of the covariance of a history of many states: no Riccati equation."""
    h, n = 0.7, 60
    equations = array.langevin()
    covariance, step = equations.stationary_covariance(), equations.propagator(h).matrix
    powers = [covariance]
    for _ in range(n):
        powers.append(step @ powers[-1])
    d = equations.dimension
    whole = np.block([[powers[i - j] if i >= j else powers[j - i].T for j in range(n + 1)] for i in range(n + 1)])
    size = np.sqrt(np.diagonal(whole))
    whole = whole / np.outer(size, size)

    def log_det(past, now):
        index = np.concatenate([*(t * d + past for t in range(n)), n * d + now]).astype(int)
        return np.linalg.slogdet(whole[np.ix_(index, index)])[1]

    first, second = groups(array)
    nobody = np.zeros(0)
    for receiver, sender, names in ((first, second, ([0], [1])), (second, first, ([1], [0]))):
        both = np.concatenate([receiver, sender])
        exact = 0.5 * (log_det(receiver, receiver) - log_det(receiver, nobody))
        exact -= 0.5 * (log_det(both, receiver) - log_det(both, nobody))
        assert information.sampled_transfer_entropy(array, h, *names) == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize("diffusion", [None, CORRELATED], ids=["gas", "recoil"])
@pytest.mark.parametrize("kind", ["overdamped", "underdamped"])
def test_continuous_transfer_entropy_is_the_limit(kind, diffusion):
    array = pair(kind, diffusion=diffusion)
    for names in (([0], [1]), ([1], [0])):
        rate = information.transfer_entropy(array, *names)
        rough, fine = (information.sampled_transfer_entropy(array, h, *names) / h for h in (2e-3, 1e-3))
        assert 2 * fine - rough == pytest.approx(rate, rel=1e-5)


def test_chain_with_a_go_between():
    """0 <- 1 <- 2: the far particle tells of 0 through 1 alone, so that given 1 it tells nothing."""
    coupling = np.array([[0.0, 0.4, 0.0], [0.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    for mass in (None, np.ones(3)):
        array = sb.Oscillators(
            stiffness=np.ones(3), friction=np.full(3, 0.5), bath_temperature=np.ones(3), coupling=coupling, mass=mass,
            reduced=True,
        )  # fmt: skip
        assert information.transfer_entropy(array, [0], [2]) > 1e-4
        assert information.transfer_entropy(array, [0], [2], given=[1]) == pytest.approx(0, abs=1e-12)
        assert information.transfer_entropy(array, [0], [1], given=[2]) > 1e-3
        assert information.transfer_entropy(array, [2], [0]) == pytest.approx(0, abs=1e-12)
        together = information.transfer_entropy(array, [0], [1, 2])
        parts = information.transfer_entropy(array, [0], [1], given=[2]) + information.transfer_entropy(array, [0], [2])
        assert together == pytest.approx(parts, rel=1e-9)  # the chain rule
        # states kept rarely do not show the go-between in time: it comes back with the interval
        shares = [
            information.sampled_transfer_entropy(array, h, [0], [2], given=[1])
            / information.sampled_transfer_entropy(array, h, [0], [2])
            for h in (0.5, 0.01)
        ]
        assert shares[1] < min(0.05, 0.5 * shares[0])


def test_bad_questions():
    array = pair()
    with pytest.raises(PlanError, match="no oscillator in common"):
        information.transfer_entropy(array, [0], [0])
    with pytest.raises(PlanError, match="`sender` must be at most 1"):
        information.transfer_entropy(array, [0], [2])
    with pytest.raises(PlanError, match="`receiver` must hold one or more different"):
        information.transfer_entropy(array, [0, 0], [1])
    with pytest.raises(UnstableError, match="Transfer entropy needs a steady state"):
        information.sampled_transfer_entropy(pair(coupling=(5.0, 5.0)), 0.1, [0], [1])
    with pytest.raises(NoiseError, match="without noise tells at once"):
        information.transfer_entropy(pair("overdamped", temperature=(0.0, 1.0)), [0], [1])


def ellipsoids(**change):
    """Two particles with two axes each, coupled across them."""
    coupling = np.zeros((4, 4))
    coupling[0, 2], coupling[1, 3], coupling[0, 1] = 0.4, 0.2, 0.1
    settings = {
        "stiffness": np.array([1.0, 1.5, 1.2, 1.4]), "friction": np.full(4, 0.6), "axis": ("x", "z"), "reduced": True,
        "bath_temperature": np.array([1.0, 1.0, 2.0, 2.0]), "coupling": coupling, "mass": np.ones(4),
    }  # fmt: skip
    return sb.Oscillators(**(settings | change))


def analysed(array, *, n_steps=200, step=0.4):
    """What `sb.analyse` finds of a record of the steady state."""
    equations = array.langevin()
    run = sb.simulate(array, step=step, n_steps=n_steps, n_trajectories=64, initial=equations.stationary, seed=3)
    setting = Setting(
        run, OfArray(array), "stationary", 0, n_steps + 1, step, 0.0, n_steps * step, 64, steady=True, notes=[]
    )
    moments = statistics.record(run, equations)
    subject = Subject(**{item.name: getattr(setting, item.name) for item in fields(Setting)}, found=moments, exact=None)
    return run, subject, {(row.quantity, row.where): row for row in knowledge.information_findings(subject)}


class OfArray(NamedTuple):
    """As much of a scenario as findings ask for."""

    array: sb.Oscillators
    reduced: bool = True

    def oscillators(self):
        return self.array


def test_information_is_of_particles_and_not_of_axes():
    array = ellipsoids()
    run, subject, found = analysed(array)
    assert [*found] == [
        ("mutual information", "0 and 1"), ("information flow", "into 0"), ("information flow", "into 1"),
        ("second law with information", "0"), ("second law with information", "1"),
    ]  # fmt: skip
    covariance, (a, b) = array.langevin().stationary_covariance(), ([0, 1, 4, 5], [2, 3, 6, 7])
    parts = [np.linalg.slogdet(covariance[np.ix_(index, index)])[1] for index in (a, b, [*a, *b])]
    exact = found["mutual information", "0 and 1"].exact
    assert exact == pytest.approx(0.5 * (parts[0] + parts[1] - parts[2]), rel=1e-9, abs=0)
    assert found["information flow", "into 0"].exact == pytest.approx(-found["information flow", "into 1"].exact)
    assert max(abs(row.z) for row in found.values()) < 5
    assert found["second law with information", "0"].exact > 0
    # and measures of direction: of forces between axes, of signals between particles
    rows = {(row.name, row.where): row for row in found_directions(run, array).measures}
    assert {where for name, where in rows if name == "lagged correlations"} == {"0x <- 0z", "0x <- 1x", "0z <- 1z"}
    for name in ("transfer entropy", "information flow", "energy bursts"):
        assert [where for other, where in rows if other == name] == ["0 <- 1"]
    flow = curved_estimate(subject.found, lambda second: [information.flow(array.langevin(), second, np.array(a))])
    assert rows["information flow", "0 <- 1"].estimate.value == found["information flow", "into 0"].value == flow.value
    assert rows["transfer entropy", "0 <- 1"].exact == pytest.approx(1.0)
    assert transfer_entropy.exact_transfer_entropy(array, 0.4).shape == (2, 2)
    assert abs(rows["transfer entropy", "0 <- 1"].estimate.z(1.0)) < 5


def test_information_of_more_than_two_is_in_one_place():
    """What flows into one of three comes from both others, and is no property of a pair."""
    array = sb.Oscillators(
        stiffness=np.ones(3), friction=np.ones(3), bath_temperature=np.ones(3), coupling=0.4 * np.eye(3, k=1),
        reduced=True,
    )  # fmt: skip
    run, _, found = analysed(array)
    assert [where for name, where in found if name == "information flow"] == ["into 0", "into 1", "into 2"]
    assert "information flow" not in {row.name for row in found_directions(run, array).measures}


def test_common_noise_is_knowledge_without_coupling():
    recoil = np.array([[0.4, 0.3], [0.3, 0.4]])
    plain = {"axis": "x", "stiffness": np.ones(2), "friction": np.ones(2), "bath_temperature": np.ones(2)}
    array = ellipsoids(**plain, mass=np.ones(2), coupling=np.zeros((2, 2)), diffusion=recoil)
    _, _, found = analysed(array)
    row = found["mutual information", "0 and 1"]
    # <x_0 x_1> = <v_0 v_1> = D_01, beside 1 + D_00
    assert row.exact == pytest.approx(-math.log1p(-((0.3 / 1.4) ** 2)), rel=1e-9, abs=0)
    assert abs(row.z) < 5
    assert row.value > 5 * row.stderr
    assert ("second law with information", "0") not in found
    _, _, none = analysed(
        ellipsoids(**plain, mass=np.ones(2), coupling=np.zeros((2, 2)), diffusion=np.diag([0.4, 0.4]))
    )
    assert none == {}
