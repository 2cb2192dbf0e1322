"""Dipoles in a row, Kerker pairs and non-reciprocity factors, against routes and numbers of their own."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy import constants, linalg, optimize
from scipy.spatial.transform import Rotation

from stochbind.errors import ScenarioError
from stochbind.optics import kerker, reciprocity, rows

K = 2 * math.pi / 420e-9
FIELD = math.sqrt(2 * 1.3e9 / (constants.epsilon_0 * constants.c))  # 1.3 mW/um^2
INDEX = 5.1 + 0.2j
RAYLEIGH = 4 * math.pi * 45e-9**3 * (INDEX**2 - 1) / (INDEX**2 + 2)
CORRECTED = RAYLEIGH / (1 - 1j * K**3 * RAYLEIGH / (6 * math.pi))
MIE_E = 6j * math.pi * (0.0701041 - 0.2369106j) / K**3
MIE_M = 6j * math.pi * (0.0918969 + 0.1787674j) / K**3
LONG = np.linspace(300e-9, 2000e-9, 8501)
ODD_ELECTRIC = np.array([0.9 + 0.2j, 1.3 + 0.4j, -0.7 + 0.1j]) * 1e-21
ODD_MAGNETIC = np.array([-0.6 + 0.3j, 0.2 + 0.05j, 1.1 + 0.2j]) * 1e-21
ODD_PLACE = np.array([0.0, 180e-9, 510e-9])


# --- The equations, by other routes ----------------------------------------------------------------------------------


def vector_field(place, source_place, p, m):
    """E and eta H at a place by the dipoles at others: Jackson, Classical Electrodynamics, (9.18) and (9.36)."""
    k = mpmath.mpf(K)
    e, h = mpmath.matrix(3, 1), mpmath.matrix(3, 1)
    for x, moment, twin in zip(source_place, p, m, strict=True):
        r = abs(place - x)
        n = mpmath.matrix([mpmath.sign(place - x), 0, 0])
        wave = mpmath.exp(1j * k * r) / (4 * mpmath.pi)
        for d, parallel, crossed, sign in ((moment, e, h, 1), (twin, h, e, -1)):
            along = n * (n.T * d)[0]
            own = k**2 * (d - along) * wave / r + (3 * along - d) * (1 / r**3 - 1j * k / r**2) * wave
            other = k**2 * cross(n, d) * wave / r * (1 - 1 / (1j * k * r)) * sign
            for i in range(3):
                parallel[i] += own[i]
                crossed[i] += other[i]
    wave = FIELD * mpmath.exp(1j * k * place)
    return e + wave * mpmath.matrix([0, 1, 0]), h + wave * mpmath.matrix([0, 0, 1])


def cross(a, b):
    return mpmath.matrix([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def vector_forces(place, electric, magnetic, events, stale=True):
    """Forces along x by iterating vector fields to 60 digits; `stale` takes the derivative with the sources before."""
    number = range(len(place))
    zero = [mpmath.matrix(3, 1)] * len(place)
    p, m = zero, zero
    old = (p, m)
    h = mpmath.mpf("1e-25")
    others = [[x for x in number if x != j] for j in number]

    def seen(j, x, sources):
        return vector_field(x, *([v[i] for i in others[j]] for v in (place, *sources)))

    for event in range(events + 1):
        fields = [seen(j, place[j], (p, m)) for j in number]
        old = (p, m)
        p = [mpmath.mpmathify(electric[j]) * fields[j][0] for j in number]
        m = [mpmath.mpmathify(magnetic[j]) * fields[j][1] for j in number]
        assert event <= events
    sources = old if stale else (p, m)
    result = []
    for j in number:
        left, right = seen(j, place[j] - h, sources), seen(j, place[j] + h, sources)
        slope = [(right[c] - left[c]) / (2 * h) for c in range(2)]
        pull = (p[j].H * slope[0])[0] + (m[j].H * slope[1])[0]
        recoil = cross(p[j].apply(mpmath.conj), m[j])[0]
        k = mpmath.mpf(K)
        half = mpmath.mpf(constants.epsilon_0) / 2
        result.append(mpmath.re(half * pull - half * k**4 / (6 * mpmath.pi) * recoil))
    return result


@pytest.mark.parametrize("events", [1, 2, None])
def test_forces_and_jacobian_are_those_of_vector_fields(events):
    found = rows.row_forces(ODD_PLACE, ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD, events=events)
    with mpmath.workdps(60):
        place = [mpmath.mpf(float(x)) for x in ODD_PLACE]
        passes = 60 if events is None else events
        forces = vector_forces(place, ODD_ELECTRIC, ODD_MAGNETIC, passes)
        if events is None:  # the iteration has converged
            assert abs(vector_forces(place, ODD_ELECTRIC, ODD_MAGNETIC, 50)[0] / forces[0] - 1) < 1e-17
        step = mpmath.mpf("1e-20")
        columns = []
        for k in range(3) if events else [1]:
            shifted = [[x + s * step * (j == k) for j, x in enumerate(place)] for s in (1, -1)]
            up, down = (vector_forces(p, ODD_ELECTRIC, ODD_MAGNETIC, passes) for p in shifted)
            columns.append([float((a - b) / (2 * step)) for a, b in zip(up, down, strict=True)])
    np.testing.assert_allclose(found.isolated + found.interaction, [float(f) for f in forces], rtol=1e-13)
    expected = np.array(columns).T
    got = found.jacobian if events else found.jacobian[:, 1:2]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert np.abs(got.T - expected.T).max() == np.abs(got - expected).max()
    if events:
        assert np.abs(got.T - expected).max() > 0.1 * np.abs(expected).max()  # the twin: the effect of j on k is seen


def test_the_derivative_takes_the_sources_before_the_event():
    found = rows.row_forces(ODD_PLACE, ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD)
    with mpmath.workdps(60):
        fresh = vector_forces([mpmath.mpf(float(x)) for x in ODD_PLACE], ODD_ELECTRIC, ODD_MAGNETIC, 1, stale=False)
    assert abs(float(fresh[0]) / (found.isolated + found.interaction)[0] - 1) > 1e-3


def local_fields(place, electric, magnetic):
    """All scattering, solved with the scalar equations (4) as printed; fields (N, 2) by E0 = 1."""
    number = len(place)
    matrix = np.eye(2 * number, dtype=complex)
    for j in range(number):
        for n in range(number):
            if j == n:
                continue
            r = abs(place[j] - place[n])
            a = (-1 / r**3 + 1j * K / r**2 + K**2 / r) * np.exp(1j * K * r) / (4 * math.pi)
            b = (1j * K / r**2 + K**2 / r) * np.exp(1j * K * r) / (4 * math.pi)
            b = b if place[j] > place[n] else -b
            matrix[2 * j, 2 * n : 2 * n + 2] = -a * electric[n], -b * magnetic[n]
            matrix[2 * j + 1, 2 * n : 2 * n + 2] = -b * electric[n], -a * magnetic[n]
    return np.linalg.solve(matrix, np.repeat(np.exp(1j * K * place), 2)).reshape(number, 2)


@pytest.mark.parametrize(
    ("electric", "magnetic"),
    [(ODD_ELECTRIC, ODD_MAGNETIC), (np.full(3, MIE_E), np.full(3, MIE_M)), (np.full(3, RAYLEIGH), np.zeros(3))],
)
def test_the_forces_add_up_to_the_momentum_that_the_light_loses(electric, magnetic):
    fields = local_fields(ODD_PLACE, electric, magnetic)
    p, m = electric * fields[:, 0], magnetic * fields[:, 1]
    incident = np.exp(1j * K * ODD_PLACE)
    taken = K * np.imag(incident.conj() @ (p + m))
    mu, weight = np.polynomial.legendre.leggauss(40)
    scattered = 0.0
    for phi in np.arange(60) * 2 * math.pi / 60:
        # the polar axis is x: n = (mu, s cos phi, s sin phi)
        s = np.sqrt(1 - mu**2)
        n = np.stack([mu, s * math.cos(phi), s * math.sin(phi)], axis=-1)
        phase = np.exp(-1j * K * np.outer(mu, ODD_PLACE))
        dipole_y, dipole_z = (phase @ p)[:, None] * [0, 1, 0], (phase @ m)[:, None] * [0, 0, 1]
        amplitude = np.cross(np.cross(n, dipole_y), n) - np.cross(n, dipole_z)
        scattered += np.sum(weight * mu * (np.abs(amplitude) ** 2).sum(axis=-1)) * 2 * math.pi / 60
    expected = constants.epsilon_0 * FIELD**2 / 2 * (taken - (K**2 / (4 * math.pi)) ** 2 * scattered)
    found = rows.row_forces(ODD_PLACE, electric, magnetic, K, FIELD, events=None)
    total = (found.isolated + found.interaction).sum()
    assert total == pytest.approx(expected, rel=1e-12, abs=0)
    recoil = constants.epsilon_0 * K**4 / (12 * math.pi) * FIELD**2 * np.sum((p.conj() * m).real)
    if magnetic.any():  # the twin: the other sign of the recoil term of (3)
        assert abs(total + 2 * recoil - expected) > 1e-2 * abs(expected)


# --- Properties ------------------------------------------------------------------------------------------------------


def test_shifting_all_particles_changes_nothing_and_labels_are_only_labels():
    found = rows.row_forces(ODD_PLACE, ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD, events=None)
    scale = np.abs(found.jacobian).max()
    np.testing.assert_allclose(found.jacobian.sum(axis=-1), 0, atol=1e-13 * scale)
    assert np.abs(found.jacobian.sum(axis=-2)).max() > 0.1 * scale  # columns are not: forces do not add up to zero
    order = [2, 0, 1]
    other = rows.row_forces(ODD_PLACE[order], ODD_ELECTRIC[order], ODD_MAGNETIC[order], K, FIELD, events=None)
    np.testing.assert_allclose(other.interaction, found.interaction[order], rtol=1e-12)
    np.testing.assert_allclose(other.jacobian, found.jacobian[np.ix_(order, order)], atol=1e-12 * scale)


def test_batches_are_the_rows_one_by_one():
    places = ODD_PLACE + np.array([[[0.0, 0.0, 1e-8]], [[0.0, 2e-8, 3e-8]]])
    batch = rows.row_forces(places, ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD, events=None)
    assert batch.interaction.shape == (2, 1, 3)
    assert batch.jacobian.shape == (2, 1, 3, 3)
    for i in range(2):
        one = rows.row_forces(places[i, 0], ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD, events=None)
        np.testing.assert_allclose(batch.interaction[i, 0], one.interaction, rtol=1e-13)
        np.testing.assert_allclose(batch.jacobian[i, 0], one.jacobian, rtol=1e-11)


def test_electric_and_magnetic_dipoles_may_change_their_parts():
    found = rows.row_forces(ODD_PLACE, ODD_ELECTRIC, ODD_MAGNETIC, K, FIELD, events=None)
    dual = rows.row_forces(ODD_PLACE, ODD_MAGNETIC, ODD_ELECTRIC, K, FIELD, events=None)
    np.testing.assert_allclose(dual.interaction, found.interaction, rtol=1e-11)


def test_a_particle_without_polarizability_is_not_there():
    electric, magnetic = (np.array([1, 0, 1]) * alpha for alpha in (MIE_E, MIE_M))
    three = rows.row_forces(ODD_PLACE, electric, magnetic, K, FIELD, events=None)
    pair = kerker.pair_forces(ODD_PLACE[2], MIE_E, MIE_M, K, FIELD, events=None)
    np.testing.assert_allclose(three.interaction, [pair.force_a, 0, pair.force_b], rtol=1e-12)
    np.testing.assert_allclose(three.jacobian[0, 2], pair.slope_a, rtol=1e-12)
    np.testing.assert_allclose(three.jacobian[2, 2], pair.slope_b, rtol=1e-12)
    np.testing.assert_allclose(three.jacobian[0, 0], -pair.slope_a, rtol=1e-12)


def test_the_number_of_events():
    none = kerker.pair_forces(200e-9, RAYLEIGH, -RAYLEIGH, K, FIELD, events=0)
    assert none.force_a == none.force_b == none.slope_a == 0
    every = kerker.pair_forces(200e-9, RAYLEIGH, -RAYLEIGH, K, FIELD, events=None)
    errors = [
        abs(kerker.pair_forces(200e-9, RAYLEIGH, -RAYLEIGH, K, FIELD, events=n).slope_a / every.slope_a - 1)
        for n in (1, 3, 5, 40)
    ]
    assert errors[0] > errors[1] > errors[2] > 1e-5
    assert errors[3] < 1e-12


def test_no_digits_are_lost_far_away():
    """Second Kerker pair: f_B is 1e-12 of the isolated force at 200 um, from the printed sums with 50 digits."""
    length = 200e-6
    with mpmath.workdps(50):
        k, a, r = mpmath.mpf(K), mpmath.mpc(RAYLEIGH), mpmath.mpf(length)
        wave = mpmath.exp(1j * k * r) / (4 * mpmath.pi)
        phi, psi = (-1 / r**3 + 1j * k / r**2 + k**2 / r) * wave, (1j * k / r**2 + k**2 / r) * wave
        dphi = mpmath.diff(lambda s: (-1 / s**3 + 1j * k / s**2 + k**2 / s) * mpmath.exp(1j * k * s), r) / 4 / mpmath.pi
        dpsi = mpmath.diff(lambda s: (1j * k / s**2 + k**2 / s) * mpmath.exp(1j * k * s), r) / 4 / mpmath.pi
        ext = mpmath.exp(1j * k * r)
        e, h = ext + a * (phi - psi), ext + a * (psi - phi)
        de, dh = 1j * k * ext + a * (dphi - dpsi), 1j * k * ext + a * (dpsi - dphi)
        pull = mpmath.re(mpmath.conj(a * e) * de - mpmath.conj(a * h) * dh)
        whole = pull + k**4 / (6 * mpmath.pi) * abs(a) ** 2 * mpmath.re(mpmath.conj(e) * h)
        alone = k**4 / (6 * mpmath.pi) * abs(a) ** 2
        expected = float((whole - alone) * constants.epsilon_0 / 2 * FIELD**2)
    found = kerker.pair_forces(length, RAYLEIGH, -RAYLEIGH, K, FIELD)
    assert abs(expected) < 1e-11 * found.isolated[0]
    # What is left of 1/r - 1/r; the whole force less the isolated one would be right to 1e-4 only.
    assert found.force_b == pytest.approx(expected, rel=1e-8, abs=0)


# --- The numbers of Jazayeri et al. ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "isolated", "force_a", "force_b"),
    [
        (
            -1,
            1.206e-14,
            [-53.4, 10.0, 37.4, 3.03, -8.02, 9.78, -10.6],
            [4.2, 1.33, 0.54, 0.26, 0.082, 0.033, 0.016],
        ),
        (0, 5.78e-16, [-11.0, 2.62, 9.12, 0.82, -1.93, 2.45, -2.63], None),
        (1, -1.090e-14, None, None),  # the wave pulls an ideal first-Kerker particle, which therefore has optical gain
    ],
)
def test_forces_of_figure_3(ratio, isolated, force_a, force_b):
    length = np.array([150, 200, 250, 300, 400, 500, 600]) * 1e-9
    found = kerker.pair_forces(length, RAYLEIGH, ratio * RAYLEIGH, K, FIELD)
    np.testing.assert_allclose(found.isolated, isolated, rtol=1e-3)
    for forces, expected in ((found.force_a, force_a), (found.force_b, force_b)):
        if expected is not None:
            np.testing.assert_allclose(forces * 1e15, expected, rtol=0.02)


def test_radiation_damping_makes_the_first_kerker_particle_be_pushed():
    assert rows.isolated_force(CORRECTED, CORRECTED, K, FIELD)[0] == pytest.approx(1.275e-14, rel=1e-3, abs=0)
    assert rows.isolated_force(MIE_E, MIE_M, K, FIELD)[0] == pytest.approx(7.2282e-14, rel=1e-4, abs=0)


def zeros(found):
    return [(round(zero.distance * 1e9), zero.stable) for zero in found]


def test_zeros_of_the_second_kerker_pair():
    found = kerker.equilibria(150e-9, 1200e-9, RAYLEIGH, -RAYLEIGH, K, FIELD)
    places = [193, 303, 412, 518, 624, 730, 836, 941, 1047, 1152]
    assert zeros(found) == [(place, i % 2 == 0) for i, place in enumerate(places)]
    for zero in found:  # a particle pair that is a little too close is driven apart where that is stable
        near = kerker.pair_forces(zero.distance - 1e-10, RAYLEIGH, -RAYLEIGH, K, FIELD)
        assert (near.force_a - near.force_b < 0) == zero.stable


@pytest.mark.parametrize(
    ("electric", "magnetic", "events", "zeroth", "first"),
    [
        (RAYLEIGH, -RAYLEIGH, 1, 0.994, 0.999),
        (RAYLEIGH, -RAYLEIGH, None, 0.977, 0.976),
        (RAYLEIGH, 0, 1, 0.807, 0.981),  # one-way beyond 0.6 um as well, whatever the text to Fig. 3 says
        (MIE_E, MIE_M, 1, 0.64, 0.99),
        (MIE_E, MIE_M, None, 0.63, 0.85),
        (RAYLEIGH, RAYLEIGH, 1, 1.0, 0.16),  # of the two factors only that of order one shows no one-way signature
    ],
)
def test_how_much_of_the_distances_is_one_way(electric, magnetic, events, zeroth, first):
    found = kerker.pair_curves(LONG, electric, magnetic, K, FIELD, events=events)
    for factor, expected in ((found.zeroth, zeroth), (found.first, first)):
        assert np.mean(np.abs(factor - 0.5) < 0.05) == pytest.approx(expected, abs=0.006)


def test_factors_of_the_curves():
    """(1) and (2) as printed, the derivatives by finite differences."""
    length, step = np.linspace(150e-9, 2e-6, 7), 1e-12
    for curves in kerker.ideal_curves(length, RAYLEIGH, K, FIELD).values():
        pair = [curves.force_a, curves.force_b]
        np.testing.assert_array_equal(curves.distance, length)
        np.testing.assert_allclose(
            curves.zeroth, abs(sum(pair)) / (abs(pair[0] - pair[1]) + abs(sum(pair))), rtol=1e-12
        )
    near, far = (kerker.ideal_curves(length + s, RAYLEIGH, K, FIELD) for s in (-step, step))
    for name, curves in kerker.ideal_curves(length, RAYLEIGH, K, FIELD).items():
        a, b = far[name].force_a - near[name].force_a, far[name].force_b - near[name].force_b
        np.testing.assert_allclose(curves.first, abs(a + b) / (abs(a - b) + abs(a + b)), rtol=1e-4)


def test_the_real_particle_of_figure_4():
    found = kerker.pair_curves(np.linspace(150e-9, 2e-6, 2001), MIE_E, MIE_M, K, FIELD)
    assert found.force_a.max() == pytest.approx(43e-15, rel=0.02, abs=0)


def test_the_first_kerker_pair_has_no_zeros():
    """The text to Fig. 5 has two unstable ones, and forces of the same order; neither follows from its equations."""
    assert kerker.equilibria(60e-9, 3e-6, RAYLEIGH, RAYLEIGH, K, FIELD) == ()
    found = kerker.ideal_curves(np.array([150, 300, 600, 1200]) * 1e-9, RAYLEIGH, K, FIELD)["first Kerker"]
    np.testing.assert_allclose(np.abs(found.force_a / found.force_b), [0.38, 0.025, 0.032, 0.014], rtol=0.04)
    assert (found.force_a - found.force_b > 0).all()


def printed_binding(length, alpha, ratio, recoil=1.0, strength=1.0):
    """f_A - f_B from (3)-(5), one event; the scattered field times `strength`, the recoil term times `recoil`."""
    wave = np.exp(1j * K * length) / (4 * math.pi)
    phi, psi = (-1 / length**3 + 1j * K / length**2 + K**2 / length) * wave, (1j * K / length**2 + K**2 / length) * wave
    dphi = (3 / length**4 - 3j * K / length**3 - 2 * K**2 / length**2 + 1j * K**3 / length) * wave
    dpsi = (-2j * K / length**3 - 2 * K**2 / length**2 + 1j * K**3 / length) * wave
    force = []
    for sign in (-1, 1):
        source, here = (np.exp(1j * K * length), 1) if sign < 0 else (1, np.exp(1j * K * length))
        s = strength * alpha * source
        e, h = here + s * (phi + sign * ratio * psi), here + s * (sign * psi + ratio * phi)
        de = 1j * K * here + s * (sign * dphi + ratio * dpsi)
        dh = 1j * K * here + s * (dpsi + sign * ratio * dphi)
        pull = np.real(np.conj(alpha * e) * de + np.conj(ratio * alpha * h) * dh)
        force.append(pull - recoil * K**4 / (6 * math.pi) * abs(alpha) ** 2 * ratio * np.real(np.conj(e) * h))
    return constants.epsilon_0 / 2 * FIELD**2 * (force[0] - force[1])


def printed_zeros(binding):
    grid = np.linspace(100e-9, 1200e-9, 4000)
    value = binding(grid)
    where = np.flatnonzero(value[1:] * value[:-1] < 0)
    return [
        (round(optimize.brentq(binding, grid[i], grid[i + 1], xtol=1e-13) * 1e9), bool(value[i] < 0)) for i in where
    ]


def test_what_would_give_the_first_kerker_pair_zeros():
    length = np.array([120e-9, 300e-9, 700e-9])
    found = kerker.pair_forces(length, RAYLEIGH, RAYLEIGH, K, FIELD)
    np.testing.assert_allclose(found.force_a - found.force_b, printed_binding(length, RAYLEIGH, 1), rtol=1e-10)
    three = [False, True, False]
    flipped = printed_zeros(lambda x: printed_binding(x, RAYLEIGH, 1, recoil=-1.0))
    assert flipped == list(zip([237, 271, 383], three, strict=True))

    def linear(x):
        return printed_binding(x, CORRECTED, 1, strength=1e-3) - printed_binding(x, CORRECTED, 1, strength=-1e-3)

    assert printed_zeros(linear) == list(zip([228, 275, 388], three, strict=True))
    assert zeros(kerker.equilibria(100e-9, 3e-6, CORRECTED, CORRECTED, K, FIELD, events=None)) == [(393, False)]


@pytest.mark.parametrize(
    ("alpha", "ratio", "power_a", "power_b"),
    [
        (RAYLEIGH.real, -1, -1, -4),
        (RAYLEIGH, -1, -1, -3),
        (RAYLEIGH, 1, -3, -1),
        (RAYLEIGH, 0, -1, -1),
        (RAYLEIGH.real, 0, -1, -2),
    ],
)
def test_decay_with_distance(alpha, ratio, power_a, power_b):
    """Envelopes over half a wavelength, far enough for the leading power alone."""
    sizes = []
    for far in (1e-3, 4e-3):
        found = kerker.pair_forces(far + np.linspace(0, 210e-9, 400), alpha, ratio * alpha, K, FIELD)
        sizes.append((np.abs(found.force_a).max(), np.abs(found.force_b).max()))
    slopes = np.log(np.array(sizes[1]) / np.array(sizes[0])) / math.log(4)
    np.testing.assert_allclose(slopes, [power_a, power_b], atol=0.02)


def test_absorption_leaves_the_second_kerker_pair_a_force_on_b():
    """Light absorbed by B makes f_B fall off as 1/L^3, not 1/L^4, and turns its sign at 11.5 um."""
    length = np.array([3e-6, 10e-6, 13e-6, 100e-6])
    found = kerker.pair_forces(length, RAYLEIGH, -RAYLEIGH, K, FIELD)
    near = 6 * abs(RAYLEIGH) ** 2 / length**4
    far = -4 * K * RAYLEIGH.real * RAYLEIGH.imag / length**3
    expected = constants.epsilon_0 * FIELD**2 / (8 * math.pi) * (near + far)
    np.testing.assert_allclose(found.force_b, expected, rtol=1e-4)
    np.testing.assert_array_equal(np.sign(found.force_b), [1, 1, -1, -1])


def test_close_pairs_of_zeros_are_not_stepped_over():
    """At this ratio of the polarizabilities the binding force hardly reaches below zero."""

    def lowest(turn):
        grid = np.linspace(150e-9, 700e-9, 20001)
        found = kerker.pair_forces(grid, RAYLEIGH, turn * RAYLEIGH, K, FIELD)
        return (found.force_a - found.force_b).min() / 1e-15

    turn = optimize.brentq(lowest, 0.0, 1.0, xtol=1e-10)  # one sign beyond, zeros before
    found = kerker.equilibria(150e-9, 700e-9, RAYLEIGH, (turn - 1e-6) * RAYLEIGH, K, FIELD)
    assert len(found) == 2
    assert found[1].distance - found[0].distance < 3e-10  # the samples are 1 nm apart
    assert [zero.stable for zero in found] == [False, True]


# --- Traps and heat --------------------------------------------------------------------------------------------------


def test_the_signs_around_traps():
    spring = kerker.pair_forces(300e-9, RAYLEIGH, -RAYLEIGH, K, FIELD)
    found = rows.around_traps(spring.jacobian, [2e-6, 3e-6])
    np.testing.assert_allclose(found.stiffness, [2e-6 + spring.slope_a, 3e-6 - spring.slope_b], rtol=1e-13)
    assert found.coupling[0, 1] == spring.slope_a
    assert found.coupling[1, 0] == -spring.slope_b
    # What they mean, from forces at displaced positions: B is moved, then A.
    step = 1e-12
    for j, k in ((0, 1), (1, 0)):
        force = []
        for sign in (1, -1):
            place = np.array([0.0, 300e-9])
            place[k] += sign * step
            force.append(rows.row_forces(place, RAYLEIGH, -RAYLEIGH, K, FIELD).interaction[j])
        measured = (force[0] - force[1]) / (2 * step)
        assert found.coupling[j, k] == pytest.approx(measured, rel=1e-5, abs=0)
    assert spring.slope_b != pytest.approx(measured, rel=0.5, abs=0)  # the twin: +f_B' has the wrong sign
    reciprocal = rows.around_traps([[-4.0, 4.0], [4.0, -4.0]], [1.0, 1.0])  # a spring between them
    np.testing.assert_array_equal(reciprocal.stiffness, 5.0)
    np.testing.assert_array_equal(reciprocal.coupling, [[0.0, 4.0], [4.0, 0.0]])


def heat_into_baths(stiffness, coupling, friction, temperature):
    """Overdamped pair, by its Lyapunov equation; temperatures in units of energy."""
    drift = (coupling - np.diag(stiffness)) / friction[:, None]
    noise = np.diag(2 * temperature / friction)
    covariance = linalg.solve_continuous_lyapunov(drift, -noise)
    rate = drift @ covariance  # <dx_j/dt o x_k> off the diagonal
    return np.array([coupling[0, 1] * rate[0, 1], coupling[1, 0] * rate[1, 0]])


def test_a_cold_particle_is_cooled_where_the_factor_of_order_one_says_so():
    t_a, t_b = 1.0, 0.7
    friction = np.array([1.0, 1.7])
    cooled = 0
    for length in np.linspace(120e-9, 900e-9, 391):
        pair = kerker.pair_forces(length, MIE_E, MIE_M, K, FIELD, events=None)
        trap = rows.around_traps(pair.jacobian / 1e-6, np.full(2, 50.0))
        heat = heat_into_baths(trap.stiffness, trap.coupling, friction, np.array([t_a, t_b]))
        factor = kerker.pair_curves([length], MIE_E, MIE_M, K, FIELD, events=None).first[0]
        c_a, c_b = trap.coupling[0, 1], trap.coupling[1, 0]
        expected = (1 - t_b / t_a) / 2 < factor < 0.5 and abs(c_b) < abs(c_a)
        assert (heat[1] < 0) == expected == (0 < c_b / c_a < t_b / t_a)
        assert not expected or heat[0] > 0
        if abs(c_b) < abs(c_a):
            assert factor == pytest.approx((1 - c_b / c_a) / 2, rel=1e-12, abs=0)
        cooled += expected
    assert 10 < cooled < 381


def test_one_way_heat_does_not_depend_on_the_temperature_of_the_driven_particle():
    pair = kerker.pair_forces(300e-9, RAYLEIGH, -RAYLEIGH, K, FIELD)
    found = rows.around_traps(pair.jacobian / 1e-6, np.array([2.0, 3.0]))
    one_way = found.coupling * [[0, 1], [0, 0]]
    friction = np.array([1.0, 1.7])
    c, u = one_way[0, 1], found.stiffness
    for t_a in (0.3, 1.0, 5.0):
        heat = heat_into_baths(u, one_way, friction, np.array([t_a, 0.8]))
        assert heat[0] == pytest.approx(c**2 * 0.8 / (friction[1] * u[0] + friction[0] * u[1]), rel=1e-12, abs=0)
        assert heat[1] == 0
    two_way = [heat_into_baths(u, np.array([[0, c], [c, 0]]), friction, np.array([t, 0.8]))[0] for t in (0.3, 5.0)]
    assert abs(two_way[0] - two_way[1]) > 0.1 * abs(two_way[0])  # the twin: a reciprocal pair does


# --- Non-reciprocity factors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(1, -1, 0), (1, 0, 0.5), (0, -3, 0.5), (2, 2, 1), (-2, -2, 1), (0, 0, 0), (4, -1, 0.375), (4, 1, 0.625)],
)
def test_factor(a, b, expected):
    assert reciprocity.factor(a, b) == expected
    total, difference = abs(Fraction(a + b)), abs(Fraction(a - b))
    if total + difference:  # (1) as printed
        assert Fraction(expected) == total / (difference + total)


def test_factor_at_the_ends_of_the_range_of_numbers():
    found = reciprocity.factor([1e308, 1e-320, 1.0], [1e308, 1e-320, 1e-320])
    np.testing.assert_array_equal(found, [1, 1, 0.5])


def test_factors_of_order_zero_along_any_direction():
    rng = np.random.default_rng(5)
    force_a, force_b = rng.normal(size=(2, 4, 3))
    directions = rng.normal(size=(5, 3))
    found = reciprocity.zeroth(force_a, force_b, directions)
    for i in range(4):
        for j in range(5):
            a, b = directions[j] @ force_a[i], directions[j] @ force_b[i]
            assert found[i, j] == pytest.approx(abs(a + b) / (abs(a - b) + abs(a + b)), rel=1e-12, abs=0)
    assert found.shape == (4, 5)
    np.testing.assert_allclose(reciprocity.zeroth(force_a, force_b, -1e200 * directions), found, rtol=1e-12)
    np.testing.assert_array_equal(
        reciprocity.zeroth(force_a, force_b)[:, 1], reciprocity.factor(force_a, force_b)[:, 1]
    )


def skewed(separation):
    """Opposite forces along the line between two particles, equal ones across it, and a drag along z by x alone."""
    r = np.linalg.norm(separation)
    pull, across = math.cos(3 * r) / r, 0.3 * math.sin(2 * r)
    sideways = np.array([-separation[1], separation[0], 0]) / r
    drag = np.array([0, 0, 0.2 * separation[0] ** 2])
    return pull * separation / r + across * sideways + drag, -pull * separation / r + across * sideways


def gradients(separation, particle):
    """Jacobians [v, w] of both forces by the position of particle 0 (A) or 1 (B), by central differences."""
    result = np.zeros((2, 3, 3))
    for w in range(3):
        shift = np.eye(3)[w] * 1e-6 * (1 if particle == 1 else -1)
        for body in range(2):
            result[body, :, w] = (skewed(separation + shift)[body] - skewed(separation - shift)[body]) / 2e-6
    return result


def test_factors_of_order_one():
    separation = np.array([1.3, 0.0, 0.0])
    by_a, by_b = gradients(separation, 0), gradients(separation, 1)
    found = reciprocity.first(*by_a)
    np.testing.assert_allclose(reciprocity.first(*by_b), found, atol=1e-9)  # forces of the separation alone
    assert found[0, 0] == pytest.approx(0, abs=1e-9)  # along the line: opposite
    assert found[1, 0] == pytest.approx(1)  # across it: equal
    assert found[2, 0] == pytest.approx(0.5)  # the drag acts on A alone
    assert found[0, 1] == pytest.approx(1)
    assert found[1, 1] == pytest.approx(0, abs=1e-9)
    transposed = reciprocity.first(by_a[0].T, by_a[1].T)
    assert abs(transposed[2, 0] - found[2, 0]) > 0.4  # the twin: [v, w] is no [w, v]


def test_rotating_the_laboratory_rotates_the_directions():
    rng = np.random.default_rng(6)
    rotation = Rotation.from_rotvec([0.7, -0.4, 1.1]).as_matrix()
    gradient = rng.normal(size=(2, 3, 3))
    seen = rotation @ gradient @ rotation.T
    found = reciprocity.first(*seen, directions=rotation.T)  # the old axes in the new laboratory are its columns
    np.testing.assert_allclose(found, reciprocity.first(*gradient), atol=1e-12)
    wrong = reciprocity.first(*seen, directions=rotation)
    assert np.abs(wrong - found).max() > 0.1


# --- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: rows.row_forces([0.0, 1e-7, 0.0], 1e-21, 0, K, 1.0), "at one place"),
        (lambda: rows.row_forces(1e-7, 1e-21, 0, K, 1.0), "one for each particle"),
        (lambda: rows.row_forces([0.0, 1e-7], [1e-21] * 3, 0, K, 1.0), r"`electric` must have shape \(2,\)"),
        (lambda: rows.row_forces([0.0, 1e-7], 1e-21, math.nan * 1j, K, 1.0), "`magnetic.* must be finite"),
        (lambda: rows.row_forces([0.0, 1e-7], 1e-21, 0, -K, 1.0), "`wavenumber` must be positive"),
        (lambda: rows.row_forces([0.0, 1e-7], 1e-21, 0, K, -1.0), "`amplitude` must be zero or positive"),
        (lambda: rows.row_forces([0.0, 1e-7], 1e-21, 0, K, 1.0, events=-1), "`events` must be at least 0"),
        (lambda: rows.row_forces([0.0, 1e-7], 1e-21, 0, K, 1.0, events=1.5), "`events` must be a whole number"),
        (lambda: rows.row_forces([0.0, 1e-250], 1e-21, 0, K, 1.0), "too large or too small"),
        (lambda: rows.row_forces([0.0, 1e-9], 1e-21, 0, K, 1.0, events=1000), "too large or too small"),
        (lambda: kerker.pair_forces([1e-7, -1e-7], 1e-21, 0, K, 1.0), r"`distance` must be positive, .*\[1\]"),
        (lambda: kerker.pair_forces("far", 1e-21, 0, K, 1.0), "`distance` must be an array of numbers"),
        (lambda: kerker.pair_curves(1e-7, 1e-21, 0, K, 1.0), "`distance` must have shape"),
        (lambda: kerker.equilibria(2e-7, 1e-7, 1e-21, 0, K, 1.0), "`shortest` must be positive and below"),
        (lambda: rows.around_traps(np.zeros((2, 3)), [1, 1]), r"`jacobian` must have shape \(..., N, N\)"),
        (lambda: rows.around_traps(np.zeros((2, 2)), [1, 1, 1]), "`trap_stiffness` must have shape"),
        (lambda: reciprocity.factor(1j, 1), "`of_a` must be an array of real numbers"),
        (lambda: reciprocity.factor([1, 2], [1, 2, 3]), "must have shapes that fit each other"),
        (lambda: reciprocity.zeroth([1, 2], [1, 2, 3]), r"`force_a` must have shape \(..., 3\)"),
        (lambda: reciprocity.first(np.eye(3), np.eye(2)), r"`gradient_b` must have shape \(..., 3, 3\)"),
        (lambda: reciprocity.first(np.eye(3), [[[1], [2, 3]]]), "`gradient_b` must be an array of real numbers"),
        (lambda: reciprocity.zeroth([1, 2, 3], [1, 2, math.inf]), r"`force_b` must be finite, but force_b\[2\]"),
        (lambda: reciprocity.zeroth([1, 2, 3], [1, 2, 3], [[0, 0, 0]]), r"`directions\[0\]` must not be zero"),
        (lambda: reciprocity.zeroth([1, 2, 3], [1, 2, 3], [1, 0, 0]), r"`directions` must have shape \(M, 3\)"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ScenarioError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
