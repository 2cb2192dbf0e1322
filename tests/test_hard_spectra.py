"""Spectra that a plain eigensolver gets wrong: skin effect, high exceptional points, bad scales; right, or not told."""

import math

import mpmath
import numpy as np
import pytest
from scipy import linalg
from scipy.optimize import linear_sum_assignment

from stochbind import stability as verdicts
from stochbind.analysis import phase_spectra
from stochbind.langevin import Langevin
from stochbind.modes import decomposition
from stochbind.modes.localisation import skin_effect
from stochbind.modes.spectrum import modes
from stochbind.oscillators import Oscillators
from stochbind.stability import symmetrising_scale

SKIN = [(25, 0.1), (40, 0.1), (100, 0.01)]


def chain(n, t):
    """Hatano-Nelson chain: one to the right, t to the left."""
    return np.eye(n, k=-1) + t * np.eye(n, k=1)


def chain_values(n, t):
    with mpmath.workdps(50):
        root = 2 * mpmath.sqrt(mpmath.mpf(t))
        return np.array([float(root * mpmath.cos(mpmath.pi * j / (n + 1))) for j in range(1, n + 1)])


def rotated(matrix):
    """The same matrix in a basis that mixes everything, without a rounding of the basis."""
    n = len(matrix)
    turn = linalg.hadamard(n).astype(float)
    return turn @ matrix @ turn.T / n


def array(stiffness, damping):
    """Oscillators of unit mass with this stiffness matrix."""
    n = len(stiffness)
    return Oscillators(
        mass=np.ones(n),
        stiffness=np.diagonal(stiffness).copy(),
        friction=np.full(n, damping),
        bath_temperature=np.ones(n),
        coupling=np.diag(np.diagonal(stiffness)) - stiffness,
        reduced=True,
    )


def second_order(stiffness, damping):
    n = len(stiffness)
    return np.block([[np.zeros((n, n)), np.eye(n)], [-stiffness, -damping * np.eye(n)]])


def raising(n):
    """J_z + i J_y of a spin: nilpotent, one Jordan block of n, and real."""
    spin = (n - 1) / 2
    m = spin - np.arange(n)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return np.diag(m) + 0.5 * (up - up.T)


def errors(found, truth):
    """Errors of eigenvalues in the order of those found."""
    distance = np.abs(np.asarray(found)[:, None] - truth)
    row, column = linear_sum_assignment(distance)
    return distance[row, column]


# The skin effect


@pytest.mark.parametrize(("n", "t"), SKIN)
def test_skin_effect_leaves_no_error(n, t, monkeypatch):
    truth = chain_values(n, t)
    order = np.random.default_rng(n).permutation(n)
    for h in (chain(n, t), chain(n, t)[np.ix_(order, order)]):
        found = modes(h.astype(complex))
        error = errors(found.frequency, truth)
        assert (error <= found.round_off).all()
        assert error.max() < 1e-15
        assert found.round_off.max() < 1e-14
        assert set(found.order) == {1}
        assert found.phase == "unbroken"
    np.testing.assert_allclose(
        skin_effect(modes(chain(n, t).astype(complex))).growth, 0.5 * math.log(1 / t), rtol=1e-12
    )
    # the twin: coordinates as they are, and as LAPACK balances them
    monkeypatch.setattr(decomposition, "symmetrising_scale", lambda matrix: np.ones(len(matrix)))
    plain = modes(chain(n, t).astype(complex))
    assert errors(plain.frequency, truth).max() > 1e-13


@pytest.mark.parametrize(("n", "t"), SKIN)
def test_skin_effect_of_oscillators(n, t):
    """Positions and velocities are scaled alike, so that all have one damping rate, and the verdict is on that."""
    damping, coupling = 0.01, 0.02
    system = array(np.eye(n) - coupling * chain(n, t), damping)
    found = modes(system)
    truth = np.sqrt(1 - coupling * chain_values(n, t) - damping**2 / 4) - 0.5j * damping
    assert errors(found.frequency, truth).max() < 1e-15
    assert found.phase == "unbroken"
    verdict = system.langevin().stability
    assert verdict.growth_rate == pytest.approx(-0.5 * damping, rel=1e-12, abs=0)
    assert verdict.round_off < 1e-13
    assert sum(verdict.participation.values()) == pytest.approx(1.0)
    assert verdict.participation[n - 1] > 0.5  # where the skin is
    drift = system.langevin().drift_matrix
    value = phase_spectra.spectra(drift[None] / system.langevin().time_unit)
    assert value.growth_rate[0] == pytest.approx(-0.5 * damping, rel=1e-12, abs=0)
    assert abs(np.linalg.eigvals(drift).real + 0.5 * damping).max() > 1e-9  # the twin: without the scale


def test_the_scale_makes_symmetric_what_can_be():
    rng = np.random.default_rng(2)
    symmetric = rng.normal(size=(7, 7))
    symmetric = symmetric + symmetric.T
    scale = 2.0 ** rng.integers(-30, 30, 7)
    found = symmetrising_scale(symmetric * scale[:, None] / scale)
    np.testing.assert_allclose(found / found[0], scale / scale[0], rtol=1e-15)
    # of a ring, which goes round one way, and of what acts one way only there is none
    for matrix in (chain(8, 0.1) + np.eye(8, k=7) + 0.1 * np.eye(8, k=-7), np.triu(symmetric), np.eye(3)):
        np.testing.assert_array_equal(symmetrising_scale(matrix), 1.0)
    # elements that are as good as zero do not decide
    nearly = chain(8, 0.1)
    nearly[0, 7], nearly[7, 0] = 1e-300, 1e-18
    np.testing.assert_array_equal(symmetrising_scale(nearly), symmetrising_scale(chain(8, 0.1)))
    # many at once, and the stiffness of a drift of second order
    many = np.stack([chain(8, 0.1), chain(8, 0.2)])
    for one, each in zip(many, symmetrising_scale(many), strict=True):
        np.testing.assert_array_equal(each, symmetrising_scale(one))
        drift = second_order(np.eye(8) - 1e-9 * one, 0.1)
        np.testing.assert_array_equal(symmetrising_scale(drift), np.tile(each, 2))


# What cannot be told is said


@pytest.mark.parametrize(("n", "t"), [(8, 2**-3), (16, 2**-10), (64, 2**-3)])
def test_round_off_holds_where_nothing_can_be_told(n, t):
    """In a basis that mixes everything no scale helps; the uncertainty then is as large as the errors are."""
    if n == 8:  # here LAPACK's numbers are right to 1e-13, and to the last places after refinement
        assert errors(modes(rotated(chain(n, t)) + 0j).frequency, chain_values(n, t)).max() < 1e-15
        return
    found = modes(rotated(chain(n, t)) + 0j)
    error = errors(found.frequency, chain_values(n, t))
    assert (error <= found.round_off).all()
    assert error.max() > 0.05
    assert error.max() > 1e-2 * found.round_off.max()  # and it is no empty bound


@pytest.mark.parametrize("coupling", [2.0**3, 2.0**7])
def test_round_off_of_the_mean_of_those_that_meet(coupling):
    """Two modes that meet, strongly coupled to others: their mean is as uncertain as their projector is large."""
    triangle = np.array([[1, 1, 3, 1], [0, 1, coupling, 0], [0, 0, 1.125, 1], [0, 0, 0, 2]])
    found = decomposition.decompose(rotated(triangle))
    meeting = found.order == 2
    assert meeting.sum() == 2
    error = np.abs(found.value[meeting] - 1)
    assert (error <= found.round_off[meeting]).all()
    assert (found.round_off < 1e-7).all()
    # the twin: that of the matrix alone
    assert error.max() > 10 * np.finfo(float).eps * np.linalg.norm(triangle)


@pytest.mark.parametrize("one_way", [False, True])
def test_scales_of_many_orders_do_no_harm(one_way):
    """In SI elements are from 1 to 1e12 and more; the values are those of the same matrix in other units."""
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(6, 6))
    if one_way:  # round a ring: no two act on each other
        matrix = np.diag(np.diagonal(matrix)) + np.roll(np.diag(rng.uniform(1, 2, 6)), 1, axis=0)
    unit = 2.0 ** np.array([0, 40, -35, 20, 0, -40])
    with mpmath.workdps(50):
        truth = np.array([complex(w) for w in mpmath.eig(mpmath.matrix(matrix.tolist()), left=False, right=False)])
    scaled = matrix * unit[:, None] / unit
    for each in (matrix, scaled):
        found = decomposition.decompose(each)
        assert errors(found.value, truth).max() < 1e-14
        assert (errors(found.value, truth) <= found.round_off).all()
    form = decomposition.triangular(scaled)
    assert form.radius.max() < 1e-12
    rough = decomposition.triangular(scaled, balance=False)  # the twin
    assert errors(np.diagonal(rough.triangle), truth).max() > 1e-6


EXCEPTIONAL = [
    (rotated(np.eye(4) - 0.25 * np.eye(4, k=1)), 2.0**-17),
    (np.eye(5) + 0.05 * raising(5), 1e-4),
    (np.eye(6) + 0.05 * raising(6), 1e-4),
]


@pytest.mark.parametrize(("stiffness", "damping"), EXCEPTIONAL, ids=["order 4", "order 5", "order 6"])
def test_a_stable_array_at_a_high_exceptional_point_is_not_called_unstable(stiffness, damping):
    """All modes decay at half the damping rate; eigenvalues are wrong by the m-th root of the round-off."""
    drift = second_order(stiffness, damping)
    found = modes(array(stiffness, damping))
    np.testing.assert_allclose(found.damping, 0.5 * damping, rtol=1e-9)
    assert set(found.order) == {len(stiffness)}
    verdict = Langevin(drift_matrix=drift, noise_covariance=np.eye(len(drift))).stability
    assert not verdict.stable
    assert verdict.growth_rate == 0
    assert "as far as double precision can tell" in verdict.sentence
    many = phase_spectra.spectra(drift[None])
    assert many.verdict[0] == 1
    assert many.n_unstable[0] == 0
    # the twin: an uncertainty of the square root of the round-off, that of two modes that meet
    value = np.linalg.eigvals(drift)
    assert np.abs(value.real + 0.5 * damping).max() > 10 * math.sqrt(np.finfo(float).eps)
    # with more damping it is told
    damped = second_order(stiffness, 0.02)
    assert Langevin(drift_matrix=damped, noise_covariance=np.eye(len(drift))).stability.stable
    assert phase_spectra.spectra(damped[None]).verdict[0] == 0


def test_a_mode_in_doubt_decides_even_if_another_is_slower():
    """Of sixteen modes one surely decays, slowest; fifteen that meet are known to a tenth only."""
    triangle = np.diag([-(2.0**-8), *[-(2.0**-4)] * 15]) + 0.25 * np.eye(16, k=1)
    triangle[0, 1] = 0.0
    drift = rotated(triangle)
    found = Langevin(drift_matrix=drift, noise_covariance=np.eye(16)).stability
    assert not found.stable
    assert found.growth_rate == 0
    assert phase_spectra.spectra(drift[None]).verdict[0] == 1
    value, left, right = linalg.eig(drift, left=True, right=True)
    sure = np.argmin(np.abs(value + 2.0**-8))
    overlap = np.abs(np.vdot(left[:, sure], right[:, sure]))
    assert verdicts.eigenvalue_round_off(1.0, overlap, 16) < 1e-14
