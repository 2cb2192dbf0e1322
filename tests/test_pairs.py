"""Rates, regimes and special points of a pair of tweezers, against numbers and routes of their own."""

import math

import numpy as np
import pytest
from scipy import constants, integrate

from stochbind.errors import ScenarioError
from stochbind.optics import beams, binding, pairs, particles, regimes

K = 2 * math.pi / 1064e-9
WAIST = 0.8e-6
Z_R = beams.rayleigh_range(1064e-9, WAIST)
KAPPA = K - 1 / Z_R
# A pair of silica spheres of 105 nm in tweezers of 0.3 W
VOLUME = particles.sphere_volume(np.array([105e-9]))
MASS = float(1850 * VOLUME[0])
ALPHA = float((particles.sphere_susceptibility(np.array([1.45**2])) * VOLUME)[0])
FIELD = float(beams.peak_field(np.array([0.3]), WAIST)[0])
OMEGA = math.sqrt(constants.epsilon_0 * ALPHA * FIELD**2 / (2 * Z_R**2) / MASS)
G = pairs.strength(MASS, OMEGA, ALPHA, FIELD, K, Z_R)


def light(distance, phase, alpha=(ALPHA, ALPHA), field=(FIELD, FIELD), angle=(math.pi / 2, math.pi / 2)):
    """Constants in SI units of two tweezers along x; the first leads by `phase`."""
    position = np.array([[0.0, 0.0], [distance, 0.0]])
    amplitude = beams.linear_polarization(np.array(field), np.array([phase, 0.0]), np.array(angle))
    return binding.binding(position, amplitude, np.array(alpha), K, Z_R)


# --- Rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kd", "phase"), [(14.763, 0.4), (9.1, -2.0), (20.4, 1.3), (7.0, 3.0)])
def test_rates_of_the_published_form_are_those_of_the_binding(kd, phase):
    found = light(kd / K, phase)
    rates = pairs.rates_from(found.coupling, found.diffusion, MASS, OMEGA)
    formula = pairs.far_field_rates(kd, phase, G, pairs.recoil_ratio(K, Z_R) * G)
    for a, b in zip(rates, formula, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * G / kd)
    assert rates.recoil_correlation.imag == pytest.approx(rates.antireciprocal, rel=1e-11, abs=0)
    wrong = pairs.rates_from(found.coupling.T, found.diffusion, MASS, OMEGA)  # the twin: the effect on k of j
    assert wrong.reciprocal == pytest.approx(rates.reciprocal, rel=1e-11, abs=0)
    assert wrong.recoil_correlation.imag == pytest.approx(-wrong.antireciprocal, rel=1e-11, abs=0)


def test_rates_of_different_particles_and_polarizations():
    alpha, field, angle = (3.9e-21, 2.6e-21), (1.2e7, 0.9e7), (1.1, 2.0)
    mass, omega = np.array([1e-17, 7e-18]), np.array([3e5, 4e5])
    found = light(2.3e-6, 0.9, alpha, field, angle)
    rates = pairs.rates_from(found.coupling, found.diffusion, mass, omega)
    strength = pairs.strength(mass, omega, alpha, field, K, Z_R, angle)
    kd = K * 2.3e-6
    formula = pairs.far_field_rates(kd, 0.9, strength, rates.recoil)
    assert rates.reciprocal == pytest.approx(formula.reciprocal, rel=1e-11, abs=0)
    assert rates.antireciprocal == pytest.approx(formula.antireciprocal, rel=1e-11, abs=0)
    parallel = math.cos(angle[0] - angle[1])  # the far-field D12 has the projections of (92), not this
    assert parallel != pytest.approx(math.sin(angle[0]) * math.sin(angle[1]), rel=0.1, abs=0)
    # The definition of the dimensionless momenta, one by one
    expected = np.diagonal(found.diffusion).real / (constants.hbar * mass * omega)
    np.testing.assert_allclose(rates.recoil, expected, rtol=1e-14)
    back = pairs.constants_from(rates, mass, omega)
    np.testing.assert_allclose(back.coupling, found.coupling, rtol=1e-13)
    np.testing.assert_allclose(back.stiffness, found.stiffness, rtol=1e-13)
    np.testing.assert_allclose(back.diffusion, found.diffusion, rtol=1e-13)


def test_the_commutators_are_kept():
    rates = pairs.far_field_rates(np.array([3.0, 8.0]), np.array([0.4, 5.0]), 7.0, [[9.0, 8.0], [7.0, 6.0]])
    found = pairs.constants_from(rates, MASS, OMEGA)
    assert found.coupling.shape == (2, 2, 2)
    left = found.coupling - found.coupling.swapaxes(-1, -2)
    np.testing.assert_allclose(left, 4 * found.diffusion.imag / constants.hbar, rtol=1e-12)  # no factor i
    np.testing.assert_array_equal(found.diffusion, found.diffusion.conj().swapaxes(-1, -2))
    again = pairs.rates_from(found.coupling, found.diffusion, MASS, OMEGA)
    for a, b in zip(again, rates, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_frequency_shifts():
    found = light(2.5e-6, 0.7)
    rates = pairs.rates_from(found.coupling, found.diffusion, MASS, OMEGA)
    shift = pairs.frequency_shifts(rates)
    exact = np.sqrt(OMEGA**2 + found.stiffness / MASS) - OMEGA
    np.testing.assert_allclose(shift, exact, rtol=np.abs(shift).max() / OMEGA)  # to first order
    assert np.abs(shift[::-1] / exact - 1).max() > 0.5  # the twin: each particle has its own


def test_recoil_is_positive_beyond_a_sixth_of_a_wavelength():
    rng = np.random.default_rng(1)
    kd, phase = rng.uniform(15 / 14, 60, 2000), rng.uniform(0, 7, 2000)
    rates = pairs.far_field_rates(kd, phase, 1.0, pairs.recoil_ratio(K, Z_R))
    assert rates.recoil.shape == (2000, 2)
    assert pairs.completely_positive(rates).all()
    np.testing.assert_allclose(np.abs(rates.recoil_correlation), np.abs(np.sin(kd)) / kd, rtol=1e-12)  # any phase
    # The same by eigenvalues, also where it fails: for a wide beam, too close for the far field.
    for kd, wide in ((0.2, 1e9), (0.2, Z_R), (2.0, Z_R)):
        rates = pairs.far_field_rates(kd, 0.3, 1.0, pairs.recoil_ratio(K, wide))
        diffusion = pairs.constants_from(rates, 1.0, 1.0).diffusion / constants.hbar
        assert pairs.completely_positive(rates) == (np.linalg.eigvalsh(diffusion)[0] >= 0)
    assert not pairs.completely_positive(pairs.far_field_rates(0.2, 0.3, 1.0, 14 / 15))


# --- The numbers of Rudolph et al. -----------------------------------------------------------------------------------


def test_a_pair_of_silica_spheres():
    assert pytest.approx(8.971e-18, rel=1e-3, abs=0) == MASS
    assert OMEGA / (2 * math.pi) == pytest.approx(55.47e3, rel=1e-3, abs=0)
    kd = K * np.array([2.5e-6, 3e-6])
    assert kd[0] == pytest.approx(14.763, abs=1e-3)
    np.testing.assert_allclose(G / kd / (2 * math.pi), [12.42e3, 10.35e3], rtol=1e-3)
    recoil = pairs.recoil_ratio(K, Z_R) * G
    assert recoil == pytest.approx(1.139e6, rel=1e-3, abs=0)
    # Occupation at which a mode saturates that antireciprocal coupling damps
    np.testing.assert_allclose(recoil / (2 * G / kd) - 0.5, [6.80, 8.26], atol=0.01)


@pytest.mark.parametrize(("distance", "photons"), [(2.5e-6, 14.6), (2e-6, 11.7), (1.5e-6, 8.8)])
def test_one_photon_in_ten_binds(distance, photons):
    found = light(distance, 0.0)
    rates = pairs.rates_from(found.coupling, found.diffusion, MASS, OMEGA)
    largest = np.hypot(rates.reciprocal, rates.recoil_correlation.real)  # G/kd, at equal phases
    assert rates.recoil[0] / largest == pytest.approx(photons, abs=0.06)


@pytest.mark.parametrize(
    ("wavelength", "waist", "near", "far"),
    [(1064e-9, 0.8e-6, 2.28e-6, 3.43e-6), (1064e-9, 0.73e-6, 2.25e-6, 3.38e-6), (1550e-9, 1e-6, 3.25e-6, 4.87e-6)],
)
def test_where_recoil_rates_of_the_modes_differ_by_fifteen_to_ten_percent(wavelength, waist, near, far):
    k = 2 * math.pi / wavelength
    ratio = pairs.recoil_ratio(k, beams.rayleigh_range(wavelength, waist))
    for distance, percent in ((near, 15), (far, 10)):
        kd = math.pi / 2 + math.pi * round(k * distance / math.pi - 0.5)  # the correlation is largest nearby
        rates = pairs.far_field_rates(kd, 0.0, 1.0, ratio)
        difference = 2 * abs(rates.recoil_correlation.real) / rates.recoil[0] * kd / (k * distance)
        assert 100 * difference == pytest.approx(percent, rel=0.005, abs=0)


# --- Regimes ---------------------------------------------------------------------------------------------------------

POINTS = {  # kd, phase; g_r, g_a, Re D12 in units of G/kd
    "I": (2 * math.pi, 0.0, 1.0, 0.0, 0.0),
    "II": (2.25 * math.pi, 0.25 * math.pi, 0.5, 0.5, 0.5),
    "III": (2.5 * math.pi, 0.5 * math.pi, 0.0, 1.0, 0.0),
    "IV": (2.5 * math.pi, 0.0, 0.0, 0.0, 1.0),
}


@pytest.mark.parametrize(
    ("point", "flags"),
    [
        ("I", (True, False, False, False)),
        ("II", (False, True, False, False)),  # on the border of blue and orange
        ("III", (False, False, True, False)),
        ("IV", (False, False, False, True)),
    ],
)
def test_the_four_points_of_figure_3(point, flags):
    kd, phase, *expected = POINTS[point]
    rates = pairs.far_field_rates(kd, phase, kd, 100.0)
    found = [rates.reciprocal, rates.antireciprocal, rates.recoil_correlation.real]
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert regimes.regimes(*expected) == flags


def test_on_either_side_of_the_maximally_unidirectional_point():
    for step, flags in ((-1e-6, (True, True, False, False)), (1e-6, (False, True, True, False))):
        rates = pairs.far_field_rates(math.pi / 4 + step, math.pi / 4 + step, 1.0, 100.0)
        assert regimes.regimes(rates.reciprocal, rates.antireciprocal, rates.recoil_correlation) == flags


def test_areas_of_the_regimes():
    """By counting, against closed forms and one-dimensional integrals: the regions overlap and leave gaps."""
    number = 1500
    angle = (np.arange(number) + 0.5) * math.pi / number
    kd, phase = np.meshgrid(angle, angle, indexing="ij")
    found = regimes.regimes(np.cos(kd) * np.cos(phase), np.sin(kd) * np.sin(phase), np.sin(kd) * np.cos(phase))
    area = [flag.mean() for flag in found]

    def directional(low):  # tan(kd) tan(phase) between 1/3 and 3, from which kd
        return integrate.quad(lambda a: math.atan(3 / math.tan(a)) - math.atan(1 / 3 / math.tan(a)), low, math.pi / 2)[
            0
        ]

    quarter = math.pi**2 / 4
    np.testing.assert_allclose(area[:3], [3 / 8, directional(1e-12) / quarter, 3 / 8], atol=1e-3)
    np.testing.assert_allclose(area, [0.375, 0.417, 0.375, 0.047], atol=1e-3)
    blue, green, orange, violet = found
    overlaps = [(a & b).mean() for a, b in ((blue, green), (orange, green), (violet, green))]
    np.testing.assert_allclose(overlaps, [0.130, 0.130, 0.024], atol=1e-3)
    assert not (blue & orange).any()
    assert not (violet & (blue | orange)).any()
    assert (~(blue | green | orange | violet)).mean() == pytest.approx(0.069, abs=1e-3)
    # The twin: a factor two for one of the inequalities, and its area is another.
    wrong = regimes.regimes(2 * np.cos(kd) * np.cos(phase), 2 * np.sin(kd) * np.sin(phase), np.sin(kd) * np.cos(phase))
    assert abs(wrong.recoil.mean() - area[3]) > 0.02


# --- Special points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driven", [1, 2])
def test_unidirectional_points(driven):
    found = regimes.unidirectional_points(20.0, driven=driven)
    assert found.distance_phase[0] == math.pi / 4
    assert found.distance_phase[-1] <= 20 < found.distance_phase[-1] + math.pi / 2
    assert ((found.phase >= 0) & (found.phase < 2 * math.pi)).all()
    for kd, phase in zip(*found, strict=True):
        constant = light(kd / K, phase)
        c = float(pairs.largest_coupling(kd / K, ALPHA, FIELD, K, Z_R))
        on, back = constant.coupling[0, 1], constant.coupling[1, 0]
        if driven == 2:
            on, back = back, on
        assert on == pytest.approx(c, rel=1e-11, abs=0)
        assert abs(back) < 1e-11 * c
        assert light(kd / K, phase + math.pi).coupling[driven - 1, 2 - driven] == pytest.approx(-c, rel=1e-11, abs=0)
        expected = constants.hbar * c / 2 * math.sin(kd) * np.exp(1j * phase)
        assert constant.diffusion[0, 1] == pytest.approx(expected, rel=1e-11, abs=0)


def test_the_unidirectional_points_are_all_there_are():
    """A search of the whole plane: where C12 is nearly C and C21 nearly 0, a listed point is near."""
    kd, phase = np.meshgrid(np.linspace(0.01, 10, 1000), np.linspace(0, 2 * math.pi, 1001), indexing="ij")
    rates = pairs.far_field_rates(kd, phase, kd, 0.0)
    near = (rates.reciprocal + rates.antireciprocal > 0.999) & (np.abs(rates.reciprocal - rates.antireciprocal) < 0.03)
    listed = regimes.unidirectional_points(10.0)
    distance = np.stack(
        [
            np.hypot(kd - a, np.angle(np.exp(1j * (phase - b))))
            for a, b in zip(listed.distance_phase, listed.phase, strict=True)
        ]
    )
    assert (distance.min(axis=0)[near] < 0.06).all()
    for i in range(len(listed.phase)):
        assert near[distance[i] < 0.01].any()


def test_the_published_unidirectional_point():
    """PRA (91)-(93), with polarizations at angles; D12 has the order of indices of (87b) corrected."""
    d = math.pi / 4 / K
    angle = (math.pi / 2 - 0.2, math.pi / 2 + 0.3)
    found = light(d, math.pi / 4, field=(1.2e7, 0.9e7), angle=angle)
    c = constants.epsilon_0 * ALPHA**2 * K**2 * KAPPA**2 / (8 * math.pi * d)
    c *= 1.2e7 * 0.9e7 * math.cos(0.2) * math.cos(0.3)  # their angles are from the perpendicular
    assert pairs.largest_coupling(d, ALPHA, (1.2e7, 0.9e7), K, Z_R, angle) == pytest.approx(c, rel=1e-12, abs=0)
    assert found.coupling[0, 1] == pytest.approx(c, rel=1e-11, abs=0)
    assert abs(found.coupling[1, 0]) < 1e-11 * c
    assert found.diffusion[0, 1] == pytest.approx((1 + 1j) * constants.hbar * c / 4, rel=1e-11, abs=0)
    assert found.diffusion[0, 1] != pytest.approx(
        (1 - 1j) * constants.hbar * c / 4, rel=0.5, abs=0
    )  # the twin: conjugated


def modes(g_r, g_a, detuning):
    return np.array([[g_a - detuning / 2, -g_r - g_a], [g_a - g_r, detuning / 2 - g_a]])  # PRL (11)


@pytest.mark.parametrize(("g_r", "g_a"), [(0.3, 0.8), (-0.2, -1.1), (0.0, 0.4), (0.5, -0.5)])
def test_exceptional_points(g_r, g_a):
    points = regimes.exceptional_points(g_r, g_a)
    assert points == tuple(sorted(points))
    for detuning in points:
        matrix = modes(g_r, g_a, detuning)
        assert np.trace(matrix) == 0
        assert abs(np.linalg.det(matrix)) < 1e-15  # both frequencies are zero, the matrix is not: it is defective
        assert np.abs(matrix).max() > 0.1
        other = np.linalg.det(modes(g_r, g_a, -detuning))  # the twin: particle 1 the faster one
        assert abs(other) > 0.05 or detuning == 0
    middle, half = sum(points) / 2, (points[1] - points[0]) / 2
    growth = np.linalg.eigvals(modes(g_r, g_a, middle)).imag.max()
    assert growth == pytest.approx(half / 2, abs=1e-7)
    assert np.linalg.eigvals(modes(g_r, g_a, points[1] + 0.1)).imag.max() < 1e-12


def test_gas_damps_the_growing_mode_up_to_the_exceptional_coupling():
    """Two equal oscillators with friction: stable if sqrt(g_a^2 - g_r^2) < gamma/2, without any approximation."""
    g_r, gamma, omega = 0.3, 1.1, 20.0
    for factor, stable in ((0.999, True), (1.001, False)):
        g_a = math.sqrt(g_r**2 + (factor * gamma / 2) ** 2)
        coupling = pairs.constants_from(pairs.Rates(g_r, g_a, np.ones(2), 1j * g_a), 1.0, omega).coupling
        drift = np.block([[np.zeros((2, 2)), np.eye(2)], [coupling - omega**2 * np.eye(2), -gamma * np.eye(2)]])
        assert (np.linalg.eigvals(drift).real.max() < 0) == stable


# --- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: pairs.far_field_rates(0.0, 0.0, 1.0, 1.0), "`distance_phase` must be positive"),
        (lambda: pairs.far_field_rates(1.0, math.nan, 1.0, 1.0), "`phase` must be finite"),
        (lambda: pairs.far_field_rates(1.0, 0.0, 1.0, -1.0), "`recoil` must be zero or positive"),
        (lambda: pairs.far_field_rates(1.0, 0.0, 1.0, [1.0, 1.0, 1.0]), "`recoil` must be a number or have shape"),
        (lambda: pairs.rates_from(np.eye(3), np.eye(3), 1.0, 1.0), r"`coupling` must have shape \(..., 2, 2\)"),
        (lambda: pairs.rates_from(np.eye(2), np.ones(2), 1.0, 1.0), r"`diffusion` must have shape \(..., 2, 2\)"),
        (lambda: pairs.rates_from(np.eye(2), np.eye(2), 0.0, 1.0), "`mass` must be positive"),
        (lambda: pairs.rates_from(np.eye(2), np.eye(2), 1.0, [1.0, -1.0]), "`angular_frequency` must be positive"),
        (lambda: pairs.largest_coupling(-1.0, 1.0, 1.0, K, Z_R), "`distance` must be positive"),
        (lambda: pairs.largest_coupling(1.0, [1.0] * 3, 1.0, K, Z_R), "`polarizability` must have shape"),
        (lambda: pairs.recoil_ratio(K, 1e-9), "`z_r` must be longer than 1/k"),
        (lambda: regimes.exceptional_points(1.0, 0.5), "`antireciprocal` must be at least as large"),
        (lambda: regimes.unidirectional_points(0.5), "`largest` must be at least pi/4"),
        (lambda: regimes.unidirectional_points(5.0, driven=3), "`driven` must be at most 2"),
        (lambda: regimes.regimes(1j, 0.0, 0.0), "`reciprocal` must be an array of real numbers"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ScenarioError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
