"""Modes against closed forms, 50 digits, and the propagator; and twins that get them wrong."""

import math
import time

import mpmath
import numpy as np
import pytest
from scipy import linalg

import stochbind as sb
from stochbind import amplitudes
from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin
from stochbind.modes.spectrum import energy_metric, modes, quanta_metric
from stochbind.oscillators import Oscillators
from stochbind.quantum.quadratures import quadratures
from systems import oscillator, overdamped_pair, underdamped_pair


def array(stiffness, coupling, damping, mass=None, **others):
    n = len(stiffness)
    mass = np.ones(n) if mass is None else np.asarray(mass)
    return Oscillators(
        mass=mass,
        stiffness=np.asarray(stiffness, dtype=float),
        friction=mass * damping,
        bath_temperature=np.ones(n),
        coupling=np.asarray(coupling, dtype=float),
        reduced=True,
        **others,
    )


def identical_pair(g_r, g_a, damping, omega=1.0):
    one, other = 2 * omega * (g_r + g_a), 2 * omega * (g_r - g_a)
    return array([omega**2] * 2, [[0, one], [other, 0]], damping)


def in_the_frame(g_r, g_a, detuning, diffusion=50.0):
    noise = np.array([[diffusion, 1j * g_a], [-1j * g_a, diffusion]])
    return amplitudes.optical_binding_pair(g_r, g_a, detuning, noise)


# Frequencies


@pytest.mark.parametrize("quality", [10.0, 1e9])
def test_frequencies_to_the_last_places_at_any_quality(quality):
    """A pair that is amplified one way, against the roots of its characteristic polynomial in 50 digits."""
    system = array([1.0, 1.2, 0.9], [[0, 0.1, 0.02], [0.03, 0, 0.1], [0.01, 0.04, 0]], np.array([1, 2, 0.7]) / quality)
    drift = system.langevin().drift_matrix
    with mpmath.workdps(50):
        exact = [complex(w) for w in mpmath.eig(mpmath.matrix(drift.tolist()), left=False, right=False)]
    truth = 1j * np.array(sorted((w for w in exact if w.imag < 0), key=lambda w: -w.imag))
    found = modes(system)
    value = found.frequency * system.langevin().time_unit
    np.testing.assert_allclose(value.real, truth.real, rtol=1e-15)
    np.testing.assert_allclose(value.imag, truth.imag, rtol=2e-10)
    assert np.all(found.round_off < 1e-14)
    if quality > 1e6:  # the twin: a plain eigensolver
        plain = np.linalg.eigvals(drift)
        plain = 1j * np.array(sorted((w for w in plain if w.imag < 0), key=lambda w: -w.imag))
        assert np.abs(plain.imag / truth.imag - 1).max() > 1e-8


def test_frequency_and_petermann_factor_of_one_oscillator():
    for quality in (0.7, 5.0, 1e8):
        one = oscillator(quality)
        (frequency,) = modes(one).frequency
        gamma = 1 / quality
        truth = -0.5j * gamma + math.sqrt(1 - gamma**2 / 4)
        assert abs(frequency - truth) < 1e-15
        assert frequency.imag == pytest.approx(-0.5 * gamma, rel=1e-9, abs=0)
        (factor,) = modes(one, metric=energy_metric(one)).petermann
        assert factor == pytest.approx(1 / (1 - gamma**2 / 4), rel=1e-9, abs=0)


def test_the_metric_decides_what_petermann_factors_compare():
    """Particles of different frequencies, uncoupled: orthogonal in energies and in quanta, not in scaled units."""
    system = array([1.0, 9.0], np.zeros((2, 2)), 0.0, mass=[1.0, 2.0])
    for metric in (energy_metric(system), quanta_metric(system), np.diag(energy_metric(system))):
        np.testing.assert_allclose(modes(system, metric=metric).petermann, 1.0, rtol=1e-12)
    np.testing.assert_allclose(modes(quadratures(system)).petermann, 1.0, rtol=1e-12)
    assert modes(system).petermann.max() > 1.1  # the twin
    coupled = array([1.0, 9.0], [[0, 0.3], [0.1, 0]], 0.2, mass=[1.0, 2.0])
    np.testing.assert_allclose(
        modes(coupled, metric=quanta_metric(coupled)).petermann, modes(quadratures(coupled)).petermann, rtol=1e-11
    )


def test_modes_make_the_propagator():
    """A sum over modes and their conjugates, against the Taylor series of the exponential."""
    for system in (underdamped_pair(), underdamped_pair(friction=(0.01, 4.0)), overdamped_pair(c=(0.9, -0.9))):
        equations = system.langevin()
        found = modes(system)
        time_ = 1.7 * equations.time_unit
        turned = np.exp(-1j * found.frequency * time_)
        both = np.where(found.oscillating, 2.0, 1.0)
        matrix = np.einsum("in,n,jn->ij", found.right, turned * both, found.left.conj())
        np.testing.assert_allclose(matrix.real, equations.propagator(time_).matrix, atol=1e-13)
        np.testing.assert_allclose(found.left.conj().T @ found.right, np.eye(len(found)), atol=1e-13)
        wrong = np.einsum("in,n,jn->ij", found.right, turned * both, found.right.conj())  # as of a reciprocal array
        assert np.abs(wrong.real - equations.propagator(time_).matrix).max() > 1e-3


def test_left_vectors_tell_who_excites_a_mode():
    """In a one-way pair a push on the driver excites the mode of the driven; the other way nothing comes."""
    system = array([1.0, 1.5], [[0, 0.2], [0, 0]], 0.1)
    found = modes(system)
    driven = int(np.argmax(found.participation[:, 0] > 0.999))
    assert abs(found.left[3, driven]) > 0.1 * abs(found.left[2, driven])  # velocity of the driver, of the driven
    other = 1 - driven
    assert abs(found.left[2, other]) == 0
    np.testing.assert_allclose(found.participation.sum(axis=1), 1.0)


# The optically bound pair


def test_one_mode_decays_and_one_grows():
    """PRL, below eq. (12): at g_r = 0 and a detuning of 2 g_a the modes (a_1 -+ i a_2)/sqrt2 decay and grow at g_a."""
    g_a = 0.8
    found = modes(in_the_frame(0.0, g_a, 2 * g_a)[0])
    np.testing.assert_allclose(found.frequency, [1j * g_a, -1j * g_a], atol=1e-15)
    growing, decaying = found.right.T
    assert abs(np.vdot(np.array([1, 1j]) / math.sqrt(2), decaying)) == pytest.approx(1.0, abs=1e-14)
    assert abs(np.vdot(np.array([1, -1j]) / math.sqrt(2), growing)) == pytest.approx(1.0, abs=1e-14)
    assert abs(np.vdot(np.array([1, -1j]) / math.sqrt(2), decaying)) < 1e-14  # the twin: phases the other way round
    np.testing.assert_allclose(found.petermann, 1.0, rtol=1e-14)
    assert found.phase == "broken"
    assert not found.stability.stable
    assert found.stability.growth_rate == pytest.approx(g_a, rel=1e-14, abs=0)


@pytest.mark.parametrize(("g_r", "g_a", "detuning"), [(0.3, 0.8, 0.5), (1.0, 0.2, -0.7), (0.3, 0.8, 1.0)])
def test_petermann_factors_of_a_pair(g_r, g_a, detuning):
    """Of two modes both have K = 1/(1 - |<r_1|r_2>|^2)."""
    h = in_the_frame(g_r, g_a, detuning)[0]
    found = modes(h)
    truth = 0.5 * np.emath.sqrt(detuning**2 + 4 * g_r**2 - 4 * g_a * detuning)
    assert np.abs(found.frequency**2 - truth**2).max() < 1e-14
    one, two = np.linalg.eig(h)[1].T
    factor = 1 / (1 - abs(np.vdot(one, two)) ** 2)
    np.testing.assert_allclose(found.petermann, factor, rtol=1e-12)
    assert factor > 1.02
    assert found.phase == ("unbroken" if truth.imag == 0 else "broken")


def test_a_pair_is_unstable_exactly_beyond_the_damping():
    """For identical particles iff sqrt(g_a^2 - g_r^2) > gamma/2: exact, without a rotating frame."""
    g_r, g_a = 0.03, 0.05
    threshold = 2 * math.sqrt(g_a**2 - g_r**2)
    for factor in (1 - 1e-6, 1 + 1e-6):
        found = modes(identical_pair(g_r, g_a, factor * threshold))
        assert found.stability.stable is (factor > 1)
        assert found.phase == "broken"
        slope = 0.5 / (1 + 0.25 * threshold**2)  # of the damping of the mode against that of the particles
        assert found.damping[0] == pytest.approx(slope * (factor - 1) * threshold, rel=1e-5, abs=0)
    # the twins: twice the damping rate, or the couplings of one sign
    assert modes(identical_pair(g_r, g_a, 0.51 * threshold)).damping[0] < -1e-2
    assert modes(identical_pair(g_a, g_r, 1e-3)).phase == "unbroken"


def test_modes_of_amplitudes_are_given_once():
    h, gamma = in_the_frame(0.3, 0.8, 0.5)
    for time_unit in (1.0, 1e-3):
        found = modes(Langevin.from_complex(h, gamma, time_unit=time_unit))
        np.testing.assert_allclose(found.frequency, modes(h).frequency, rtol=1e-13)
        np.testing.assert_allclose(h @ found.right, found.right * found.frequency, atol=1e-13)
        assert len(found) == 2
    assert found.stability.sentence == Langevin.from_complex(h, gamma, time_unit=time_unit).stability.sentence
    slow, noise = in_the_frame(0.3, 0.8, -0.5)  # the twin: as a drift of real coordinates each is there twice
    real = modes(Langevin.from_complex(slow, noise).drift_matrix)
    np.testing.assert_allclose(real.frequency, np.repeat(modes(slow).frequency[1], 2), rtol=1e-13)
    # with parametric driving the equations hold conjugates: da/dt = -i delta a + g a^*, frequencies sqrt(delta^2 - g^2)
    delta, g = 0.5, 0.3
    driven = np.array([[g, delta], [-delta, -g]])
    equations = Langevin(
        drift_matrix=driven,
        noise_covariance=np.zeros((2, 2)),
        coordinate=[("real", 0, "a"), ("imaginary", 0, "a")],
    )
    np.testing.assert_allclose(modes(equations).frequency, [0.4], atol=1e-15)


# Eigenvalues that are equal


def one_way_chain(n, coupling=0.01, damping=1e-3):
    return array(np.ones(n), coupling * np.eye(n, k=-1), damping)


@pytest.mark.parametrize("n", [2, 3, 12])
def test_a_one_way_chain_of_equal_particles_is_one_exceptional_point(n):
    system = one_way_chain(n)
    found = modes(system)
    truth = -0.5e-3j + math.sqrt(1 - 0.25e-6)
    assert np.abs(found.frequency - truth).max() < 1e-15
    assert set(found.order) == {n}
    assert found.phase == "exceptional"
    assert np.isinf(found.petermann).all()
    assert np.all(found.participation[:, -1] > 1 - 1e-9)  # the one that drives nobody is left
    if n == 12:  # the twin: the whole matrix at once
        turn = linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))[0]
        plain = np.linalg.eigvals(turn.T @ system.langevin().drift_matrix @ turn)
        assert np.abs(plain.real + 0.5e-3).max() > 1e-4


def test_detuned_one_way_chains_are_not_exceptional():
    found = modes(array([1.0, 1.1, 1.2], 0.01 * np.eye(3, k=-1), 1e-3))
    assert set(found.order) == {1}
    assert found.phase == "unbroken"


def test_jordan_blocks_behind_any_basis():
    """Orders are those of the Jordan form, in bases that mix everything."""
    rng = np.random.default_rng(3)
    for order, rest in ((2, (0.3,)), (3, ()), (2, (0.3, -0.5, 1.1)), (4, (1.5,))):
        jordan = np.diag([*[-0.2] * order, *rest]).astype(complex)
        jordan[range(order - 1), range(1, order)] = 0.4
        basis = linalg.qr(rng.normal(size=jordan.shape) + 1j * rng.normal(size=jordan.shape))[0]
        found = modes(basis @ jordan @ basis.conj().T)
        assert sorted(found.order) == sorted([order] * order + [1] * len(rest))
        assert np.abs(found.frequency[found.order == order] + 0.2).max() < 1e-14
        # the twin: as many equal eigenvalues, with a vector each
        diagonal = np.diag(np.diagonal(jordan))
        assert set(modes(basis @ diagonal @ basis.conj().T).order) == {1}


def test_just_beside_an_exceptional_point_modes_are_two():
    g_r, g_a = 0.3, 0.8
    detuning = 2 * g_a - 2 * math.sqrt(g_a**2 - g_r**2)
    assert modes(in_the_frame(g_r, g_a, detuning)[0]).phase == "exceptional"
    assert modes(in_the_frame(g_r, g_a, detuning * (1 - 1e-9))[0]).phase == "unbroken"
    found = modes(in_the_frame(g_r, g_a, detuning * (1 + 1e-9))[0])
    assert found.phase == "broken"
    assert found.petermann.min() > 1e8


def test_critical_damping():
    found = modes(oscillator(0.5))
    assert list(found.order) == [2, 2]
    np.testing.assert_allclose(found.frequency, [-1j, -1j], atol=1e-15)
    assert not found.oscillating.any()


def test_modes_of_one_frequency_have_factors_of_their_subspace():
    """K does not depend on which vectors the eigensolver takes: it is that of the principal angles of two spaces."""
    rng = np.random.default_rng(5)
    basis = rng.normal(size=(4, 4))
    h = basis @ np.diag([1.0, 1.0, 2.0, 3.0]) @ np.linalg.inv(basis) + 0j
    found = modes(h)
    assert list(found.order) == [1] * 4
    angle = linalg.subspace_angles(basis[:, :2], np.linalg.inv(basis).T[:, :2])
    np.testing.assert_allclose(sorted(found.petermann[:2]), sorted(1 / np.cos(angle) ** 2), rtol=1e-8)
    np.testing.assert_allclose(found.left.conj().T @ found.right, np.eye(4), atol=1e-10)
    ring = np.roll(np.eye(8), 1, axis=0)  # clockwise only: a normal matrix all the same
    np.testing.assert_allclose(modes((ring + 0.3 * ring.T).astype(complex)).petermann, 1.0, rtol=1e-12)


# Phases, and arrays at the edge


def test_phases_of_any_array():
    """Equal damping is unbroken, pairs of one frequency are broken, and what has no symmetry has no phase."""
    reciprocal = array([1.0, 1.1, 0.9], [[0, 0.1, 0], [0.1, 0, 0.1], [0, 0.1, 0]], 0.01)
    assert modes(reciprocal).phase == "unbroken"
    uneven = array([1.0, 1.1], [[0, 0.1], [0.1, 0]], np.array([0.01, 0.03]))
    assert modes(uneven).phase == "none"
    # loss on one side, in a frame: frequencies are equal up to a coupling of half the difference of the dampings
    for coupling, phase in ((0.02, "unbroken"), (0.005, "exceptional"), (0.004, "broken")):
        h = np.array([[-0.005j, coupling], [coupling, -0.015j]])
        assert modes(h).phase == phase
        # in the full equations damping changes frequencies too, in second order
        full = modes(array([1.0, 1.0], [[0, -2 * coupling], [-2 * coupling, 0]], np.array([0.01, 0.03])))
        assert full.phase == "none"
        if phase != "exceptional":
            assert full.pt_phase(1e-3) == phase
    assert modes(oscillator(10.0)).phase == "none"
    assert modes(overdamped_pair()).phase == "none"
    with pytest.raises(ScenarioError, match="`tolerance` must be zero or positive"):
        modes(h).pt_phase(-1.0)


def test_arrays_at_the_edge():
    free = array([0.0, 1.0], np.zeros((2, 2)), 0.0)
    assert sorted(modes(free).frequency.real) == [0.0, 0.0, 1.0]
    assert not modes(free).stability.stable
    system = array([1.0, 1.0], np.zeros((2, 2)), 0.0)
    np.testing.assert_array_equal(modes(system).frequency.imag, 0.0)
    assert list(modes(system).order) == [1, 1]
    relaxing = modes(overdamped_pair(c=(0.0, 0.0)))
    truth = sorted(u / f for u, f in zip((1.3, 0.8), (0.7, 1.9), strict=True))
    np.testing.assert_allclose(sorted(relaxing.damping), truth, rtol=1e-15)
    assert not relaxing.oscillating.any()
    several = array([1.0, 1.3, 2.0, 1.0, 1.3, 2.0], 0.1 * (1 - np.eye(6)), 0.01, axis=("x", "y", "z"))
    found = modes(several)
    assert found.participation.shape == (6, 2)
    np.testing.assert_allclose(found.participation, 0.5, atol=1e-12)  # two equal particles
    fourfold = modes(np.zeros((3, 3)))
    assert list(fourfold.order) == [1, 1, 1]


def test_a_drift_matrix_in_si_has_the_modes_of_scaled_equations():
    system = sb.Scenario.from_toml("scenarios/rieser_like_pair.toml").oscillators()
    equations = system.langevin()
    drift = equations.drift_matrix * equations.unit[:, None] / equations.unit / equations.time_unit
    np.testing.assert_allclose(modes(drift).frequency, modes(system).frequency, rtol=1e-13)
    np.testing.assert_allclose(modes(drift).damping, modes(system).damping, rtol=1e-11)
    assert modes(system).stability.growth_rate == pytest.approx(equations.stability.growth_rate, rel=1e-10, abs=0)


def test_two_hundred_particles_take_seconds():
    rng = np.random.default_rng(1)
    n = 200
    stiffness = 1 + 0.1 * rng.random(n)
    coupling = 0.01 * rng.normal(size=(n, n)) / (1 + np.abs(np.subtract.outer(np.arange(n), np.arange(n))))
    np.fill_diagonal(coupling, 0.0)
    began = time.perf_counter()
    found = modes(array(stiffness, coupling, 1e-3))
    assert time.perf_counter() - began < 20
    assert len(found) == n
    # all have one damping rate, so that the squares of the frequencies are eigenvalues of a matrix half as large
    square = np.linalg.eigvals(np.diag(stiffness) - coupling)
    truth = -0.5e-3j + np.sqrt(square - 0.25e-6 + 0j)
    np.testing.assert_allclose(np.sort(found.frequency.real), np.sort(truth.real), atol=1e-12)
    assert np.abs(found.left.conj().T @ found.right - np.eye(n)).max() < 1e-9


@pytest.mark.parametrize(
    ("equations", "options", "words"),
    [
        (np.ones((2, 3)), {}, "`drift_matrix` must have shape"),
        (np.full((2, 2), np.nan), {}, "`drift_matrix` must be finite"),
        (np.ones((2, 3)) + 0j, {}, "`H` must have shape"),
        (np.eye(2), {"metric": [1.0, -1.0]}, "`metric` must be positive"),
        (np.eye(2), {"metric": [1.0]}, "`metric` must have shape"),
        (np.eye(2), {"metric": [[1.0, 2.0], [2.0, 1.0]]}, "`metric` must be a symmetric, positive definite matrix"),
    ],
)
def test_wrong_input_is_refused(equations, options, words):
    with pytest.raises(ScenarioError, match=words):
        modes(equations, **options)


def test_metrics_need_traps_that_hold():
    with pytest.raises(ScenarioError, match="`stiffness` must be positive"):
        energy_metric(array([0.0], np.zeros((1, 1)), 0.0))
    with pytest.raises(ScenarioError, match="overdamped"):
        quanta_metric(overdamped_pair())
    assert energy_metric(overdamped_pair()).shape == (2,)
