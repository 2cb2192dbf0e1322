"""Exceptional points against closed forms and 50 digits, of orders two to four; and what must not count as one."""

import math

import mpmath
import numpy as np
import pytest

import stochbind as sb
from stochbind import amplitudes
from stochbind.analysis.mode_families import mode_family, scenario_family
from stochbind.errors import ScenarioError
from stochbind.modes.continuation import encircle, follow
from stochbind.modes.exceptional_points import degeneracies, exceptional_points
from stochbind.modes.spectrum import modes
from stochbind.oscillators import Oscillators


def pair_in_the_frame(g_r, g_a):
    noise = np.array([[50.0, 1j * g_a], [-1j * g_a, 50.0]])
    return lambda detuning: amplitudes.optical_binding_pair(g_r, g_a, detuning, noise)[0]


def full_pair(g_r, g_a, damping=1e-3, mass=(1.0, 1.0), frequency=1.0):
    """A pair with the second stiffness as the parameter."""
    mass = np.array(mass)
    scale = 2 * frequency * math.sqrt(mass.prod())

    def family(stiffness):
        return Oscillators(
            mass=mass,
            stiffness=np.array([mass[0] * frequency**2, stiffness]),
            friction=mass * damping,
            bath_temperature=np.ones(2),
            coupling=scale * np.array([[0, g_r + g_a], [g_r - g_a, 0]]),
            reduced=True,
        )

    return family


def places(points):
    return np.array([point.parameter for point in points])


# Pairs


@pytest.mark.parametrize(("g_r", "g_a"), [(0.3, 0.8), (0.0, 1.0), (-0.7, 0.71), (1.0, 1.0000001), (0.5, -2.0)])
def test_the_points_of_the_letter(g_r, g_a):
    """PRL, eq. (12): 2 g_a -+ 2 sqrt(g_a^2 - g_r^2), to 1e-12 of the coupling, though 1e-3 apart in one case."""
    truth = 2 * g_a + 2 * math.sqrt(g_a**2 - g_r**2) * np.array([-1, 1])
    family = pair_in_the_frame(g_r, g_a)
    found = exceptional_points(family, truth[0] - 1.7, truth[1] + 2.1)
    np.testing.assert_allclose(places(found), truth, rtol=0, atol=1e-12 * abs(g_a))
    for point in found:
        assert (point.order, point.multiplicity, point.kind) == (2, 2, "exceptional")
        assert abs(point.frequency) < 1e-12
        h = family(point.parameter)
        assert np.linalg.norm(h @ point.vector) < 1e-7 * np.linalg.norm(h)
        # the vector is right beyond the root of the round-off, to which its eigenvalues are
        kernel = np.array([h[0, 1], -h[0, 0]]) / np.linalg.norm(h[0])
        assert abs(np.vdot(kernel, point.vector)) == pytest.approx(1.0, abs=1e-12)


def test_no_points_where_the_coupling_is_mostly_reciprocal():
    assert exceptional_points(pair_in_the_frame(0.81, 0.8), -5, 9) == ()
    assert len(exceptional_points(pair_in_the_frame(0.79, 0.8), -5, 9)) == 2


def test_a_point_on_an_end_of_the_interval_counts():
    g_a = 1.0
    family = pair_in_the_frame(0.5, g_a)
    low, high = 2 - math.sqrt(3), 2 + math.sqrt(3)
    np.testing.assert_allclose(places(exceptional_points(family, low, high)), [low, high], rtol=1e-12)
    assert exceptional_points(family, low + 1e-6, high - 1e-6) == ()
    assert len(exceptional_points(family, low, high - 1e-6)) == 1
    np.testing.assert_allclose(places(exceptional_points(family, low - 1, low + 1, n_points=5)), [low], rtol=1e-12)


@pytest.mark.parametrize("g", [0.05, 1e-3])
def test_points_of_the_full_equations_to_ten_digits(g):
    """Unequal masses: (u_1/m_1 - u_2/m_2)^2 = -4 C_12 C_21/m_1 m_2, and the same by 50-digit eigenvalues."""
    mass, g_r, g_a = (1.0, 2.5), 0.3 * g, g
    family = full_pair(g_r, g_a, mass=mass)
    coupling = family(1.0).coupling
    difference = 2 * math.sqrt(-coupling[0, 1] * coupling[1, 0] / (mass[0] * mass[1]))
    truth = mass[1] * (1 + difference * np.array([-1, 1]))
    found = exceptional_points(family, mass[1] * (1 - 6 * g), mass[1] * (1 + 5 * g))
    np.testing.assert_allclose(places(found), truth, rtol=1e-14)
    np.testing.assert_allclose((places(found) / mass[1] - 1) / difference, [-1, 1], rtol=1e-10)
    for point, sign in zip(found, (-1, 1), strict=True):
        mean = 1 + 0.5 * sign * difference  # of the squares of the frequencies
        value = -0.5e-3j + math.sqrt(mean - 0.25e-6)
        assert abs(point.frequency - value) < 1e-13
        with mpmath.workdps(50):
            assert abs(mpmath_root(family, point.parameter) - point.parameter) < 1e-10 * difference


def mpmath_root(family, guess):
    """Where the difference of two frequencies vanishes, squared, by the secant method in 50 digits."""

    def square(stiffness):
        array = family(float(guess))
        m, f, c = (mpmath.matrix(np.asarray(a).tolist()) for a in (array.mass, array.friction, array.coupling))
        drift = mpmath.zeros(4)
        for j in range(2):
            drift[j, j + 2] = 1
            drift[j + 2, j + 2] = -f[j] / m[j]
            drift[j + 2, j] = -(mpmath.mpf(float(array.stiffness[0])) if j == 0 else stiffness) / m[j]
            drift[j + 2, 1 - j] = c[j, 1 - j] / m[j]
        value = [w for w in mpmath.eig(drift, left=False, right=False) if mpmath.im(w) > 0]
        return mpmath.re((value[0] - value[1]) ** 2)

    begin = mpmath.mpf(guess)
    return mpmath.findroot(square, (begin * (1 + mpmath.mpf("1e-9")), begin * (1 - mpmath.mpf("1e-9"))), tol=1e-40)


def test_the_frame_has_the_points_of_the_full_equations_but_for_its_own_error():
    """The points move by the order of g^2, and no symmetry is left where the particles are not equally damped."""
    errors = []
    for g in (0.04, 0.02):
        family = full_pair(0.3 * g, g)
        full = places(exceptional_points(family, 1 - 6 * g, 1 + 5 * g))
        root = math.sqrt(1 - 0.3**2) * g
        frame = (1 + 2 * root * np.array([-1, 1])) ** 2  # Omega_2 - Omega_1 = -+ 2 sqrt(g_a^2 - g_r^2)
        errors.append(np.abs(frame - full).max() / g)
    assert errors[0] < 0.2
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.2)
    uneven = full_pair(0.012, 0.04, damping=np.array([1e-3, 5e-3]))
    assert exceptional_points(uneven, 0.76, 1.2) == ()


# Higher orders


def trimer(gain):
    """Gain, nothing, loss: frequencies 0 and -+sqrt(2 - gain^2), of order three at sqrt 2."""
    return np.array([[1j * gain, 1, 0], [1, 0, 1], [0, 1, -1j * gain]])


def test_order_three_of_a_trimer():
    (point,) = exceptional_points(trimer, 0.0, 3.0)
    assert point.parameter == pytest.approx(math.sqrt(2), rel=1e-13, abs=0)
    assert (point.order, point.multiplicity) == (3, 3)
    truth = np.array([1, -1j * math.sqrt(2), -1]) / 2
    assert abs(np.vdot(truth, point.vector)) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(places(exceptional_points(trimer, -3.0, 3.0)), [-math.sqrt(2), math.sqrt(2)], rtol=1e-12)


@pytest.mark.parametrize("n", [3, 4])
def test_the_ends_of_a_one_way_chain_closed_to_a_ring(n):
    """Frequencies are n-th roots of what closes the ring: no square root anywhere."""

    def ring(closing):
        h = np.eye(n, k=-1).astype(complex)
        h[0, -1] = closing
        return 0.7 * np.eye(n) + h

    for start, stop in ((-1.0, 1.0), (-0.7, 1.3)):  # on the grid of the scan, and off it
        (point,) = exceptional_points(ring, start, stop)
        assert abs(point.parameter) < 1e-12
        assert (point.order, point.multiplicity) == (n, n)
        assert abs(point.frequency - 0.7) < 1e-12
        assert abs(point.vector[-1]) == pytest.approx(1.0, abs=1e-12)


def test_a_chain_that_becomes_one_way():
    """All particles of one frequency: where the way back closes, all modes are one."""

    def chain(back):
        h = np.eye(5, k=-1) + back * np.eye(5, k=1)
        return h.astype(complex)

    (point,) = exceptional_points(chain, -0.3, 1.0)
    assert abs(point.parameter) < 1e-13
    assert (point.order, point.multiplicity) == (5, 5)


# What is none


def test_crossings_are_told_from_exceptional_points():
    turn = np.array([[1, 0.3], [0.2, 1]])

    def crossing(p, apart=0.0):
        return turn @ np.array([[p, apart], [apart, 0.4 - p]]) @ np.linalg.inv(turn) + 0j

    (point,) = degeneracies(crossing, -1.0, 1.3)
    assert point.parameter == pytest.approx(0.2, rel=1e-12, abs=0)
    assert (point.kind, point.order, point.multiplicity) == ("diabolic", 1, 2)
    assert exceptional_points(crossing, -1.0, 1.3) == ()
    # an avoided crossing has two exceptional points, off the real axis by its gap
    assert degeneracies(lambda p: crossing(p, 1e-6), -1.0, 1.3) == ()
    # and of an antireciprocal coupling that small both are real
    narrow = exceptional_points(lambda p: np.array([[p, 1e-6], [-1e-6, -p]], complex), -1.0, 1.3)
    np.testing.assert_allclose(places(narrow), [-1e-6, 1e-6], rtol=1e-9)


def test_modes_that_are_always_equal_meet_nowhere():
    def family(p):
        h = np.zeros((4, 4), complex)
        h[:2, :2] = [[p, 1.0], [0.0, p]]
        h[2:, 2:] = np.diag([-3.0, -3.0])
        return h

    assert degeneracies(family, -1.0, 1.3) == ()
    (point,) = degeneracies(lambda p: np.diag([p, p, 0.3]).astype(complex), -1.0, 1.3)
    assert (point.kind, point.multiplicity) == ("diabolic", 3)


def test_critical_damping_is_an_exceptional_point_of_one_oscillator():
    (point,) = exceptional_points(lambda damping: np.array([[0.0, 1.0], [-9.0, -damping]]), 0.0, 20.0)
    assert point.parameter == pytest.approx(6.0, rel=1e-12, abs=0)
    assert abs(point.frequency + 3j) < 1e-12


# Many


def test_all_points_of_a_random_family():
    """Real matrices A + p B: the real roots of the discriminant of their characteristic polynomial, of degree 20."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 5, 5))

    def family(p):
        return a + p * b + 0j

    with mpmath.workdps(60):
        nodes = [mpmath.cos(mpmath.pi * (k + mpmath.mpf(1) / 2) / 21) for k in range(21)]
        matrices = [mpmath.matrix(a.tolist()) + p * mpmath.matrix(b.tolist()) for p in nodes]
        values = []
        for matrix in matrices:
            root = mpmath.eig(matrix, left=False, right=False)
            values.append(mpmath.fprod((x - y) ** 2 for i, x in enumerate(root) for y in root[:i]))
        vandermonde = mpmath.matrix([[p**k for k in range(20, -1, -1)] for p in nodes])
        roots = mpmath.polyroots(mpmath.lu_solve(vandermonde, mpmath.matrix(values)), maxsteps=500, extraprec=300)
        truth = sorted(float(mpmath.re(r)) for r in roots if abs(mpmath.im(r)) < 1e-20 and abs(r) < 1)
    found = exceptional_points(family, -1.0, 1.0)
    assert len(truth) == 6
    np.testing.assert_allclose(places(found), truth, rtol=0, atol=1e-11)
    # modes that are followed are lost at the same places
    lost = follow(family, np.linspace(-1, 1, 41)).lost
    np.testing.assert_allclose(sorted(lost), truth, rtol=0, atol=1e-6)
    # and change places around each
    for at in truth:
        radius = 0.2 * min(abs(at - other) for other in [*truth, at + 1] if other != at)
        assert encircle(family, at, min(radius, 0.02)).swaps


def test_points_along_a_parameter_of_a_scenario(unidirectional):
    """Two equal tweezers a quarter of a wave apart in phase stand at an exceptional point: K_1 - K_2 = C_12 - C_21."""
    quarter = scenario_family(unidirectional, "particle[0].phase")(math.pi / 2)
    family = mode_family(quarter, "particle[0].power")
    found = exceptional_points(family, 0.15, 0.4)
    array = family(0.3)
    assert array.coupling[0, 1] == pytest.approx(-array.coupling[1, 0], rel=1e-9, abs=0)
    assert found[1].parameter == pytest.approx(0.3, rel=1e-12, abs=0)
    bare = 0.3 * (array.stiffness[0] - array.coupling[0, 1]) / array.stiffness[0]
    assert found[0].parameter < bare
    frame = exceptional_points(mode_family(quarter, "particle[0].power", rotating=True), 0.15, 0.4)
    np.testing.assert_allclose(places(frame), places(found), rtol=1e-3)
    assert np.abs(places(frame) - places(found)).max() > 1e-5  # the frame is not exact


def test_equal_particles_in_equal_tweezers_have_no_mode_that_grows(unidirectional):
    """At any phase: the squares of the frequencies differ by |C_12 + C_21|/m; at unequal powers they do grow."""
    equal = scenario_family(unidirectional, "particle[0].power")(0.3)
    for phase in (0.3, 1.0, 2.0, 2.7):
        array = mode_family(equal, "particle[0].phase")(phase)
        found = modes(array)
        assert found.phase == "unbroken"
        square = np.abs(found.frequency) ** 2
        difference = abs(array.coupling[0, 1] + array.coupling[1, 0]) / array.mass[0]
        assert square[1] - square[0] == pytest.approx(difference, rel=1e-9, abs=0)
    uneven = scenario_family(unidirectional, "particle[0].power")(0.24)
    assert not modes(mode_family(uneven, "particle[0].phase")(math.pi / 2)).stability.stable


def test_families_of_scenarios_refuse_what_is_no_number(unidirectional):
    for path, words in (
        ("particle[0].power_", "did you mean"),
        ("name", "changes no number"),
        ("light.binding", "must be a number"),
    ):
        with pytest.raises(ScenarioError, match=words):
            mode_family(unidirectional, path)
    with pytest.raises(ScenarioError, match=r"`particle\[0\]\.power` must be positive"):
        mode_family(unidirectional, "particle[0].power")(-1.0)
    reduced = sb.Scenario.from_toml("scenarios/driven_pair.toml")
    (point,) = exceptional_points(mode_family(reduced, "coupling[1][0]"), -0.1, 0.11)
    assert abs(point.parameter) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((trimer, 1.0, 1.0), "`stop` must be larger"),
        ((trimer, math.nan, 1.0), "`start` must be finite"),
        ((trimer, 0.0, 1.0, 3), "`n_points` must be at least 5"),
        ((lambda p: np.eye(2 if p < 0.5 else 3), 0.0, 1.0), "one kind and size"),
    ],
)
def test_wrong_input_is_refused(arguments, words):
    family, start, stop, *count = arguments
    with pytest.raises(ScenarioError, match=words):
        exceptional_points(family, start, stop, **({"n_points": count[0]} if count else {}))


def test_a_coarse_scan_is_not_lost_in_false_candidates():
    """Slopes of far points mislead; candidates that do not meet are let go before others are asked to join them."""
    positions = np.arange(10)
    apart = np.abs(np.subtract.outer(positions, positions))
    calls = []

    def family(phase):
        calls.append(phase)
        retarded = 0.25 * np.pi * apart - np.subtract.outer(positions, positions) * phase
        return np.cos(retarded) / np.where(apart == 0, 1, apart) * (apart > 0) + 0j

    found, cost = [], []
    for n_points in (11, 201):
        calls.clear()
        found.append([point.parameter for point in exceptional_points(family, 0.003, 1.567, n_points=n_points)])
        cost.append(len(calls))
    assert len(found[0]) > 2
    np.testing.assert_allclose(found[0], found[1], rtol=1e-11)
    assert cost[0] < 10 * cost[1]
