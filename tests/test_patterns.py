"""Scattered fields at any points and far away, against quadrature, Maxwell's equations, Mie theory and unitarity."""

import math

import numpy as np
import pytest
from scipy import constants

from dipole_arrays import OBLIQUE, K, array, crossed, places, plane, radiated, tensors
from stochbind.errors import ScenarioError
from stochbind.optics import particles, patterns, polarizability, waves
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles

FLUX = 0.5 * constants.epsilon_0 * constants.c
AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])


def sphere_of_directions(n):
    """Nodes and weights of a quadrature that is exact for what dipoles scatter over a few wavelengths."""
    cosine, weight = np.polynomial.legendre.leggauss(n)
    azimuth = np.arange(2 * n) * math.pi / n
    sine = np.sqrt(1 - cosine**2)[:, None]
    nodes = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine[:, None] + 0 * azimuth], axis=-1)
    return nodes.reshape(-1, 3), np.repeat(weight, 2 * n) * math.pi / n


def trapped(*parts):
    return TrappedDipoles(parts=parts)


def one(alpha, light):
    """A particle at the origin."""
    return trapped(Dipoles(light=light, polarizability=alpha.electric[None], magnetic=alpha.magnetic[None]))


# --- The power -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scattering", ["single", "one_event", "multiple"])
@pytest.mark.parametrize("magnetic", [False, True])
def test_the_pattern_integrates_to_the_power(scattering, magnetic):
    group, place = trapped(array(4, light=crossed(), magnetic=magnetic, scattering=scattering)), places(4)
    nodes, weight = sphere_of_directions(24)
    pattern = patterns.power_per_solid_angle(group, place, nodes)
    np.testing.assert_allclose(pattern @ weight, patterns.scattered_power(group, place), rtol=1e-12)
    # without interference it would be another
    singles = [patterns.scattered_power(patterns.alone(group, j), place[j : j + 1]) for j in range(4)]
    assert abs(sum(singles) / (pattern @ weight) - 1) > 1e-2


def test_lasers_that_do_not_interfere_add_up():
    light = [plane(), plane(OBLIQUE, phase=0.4)]
    parts = [array(3, light=wave) for wave in light]
    together = array(3, light=waves.Superposition(tuple(light)))
    place = places(3)
    sums = sum(patterns.scattered_power(trapped(part), place) for part in parts)
    np.testing.assert_allclose(patterns.scattered_power(trapped(*parts), place), sums, rtol=1e-14)
    assert abs(patterns.scattered_power(trapped(together), place) / sums - 1) > 1e-3


@pytest.mark.parametrize("ellipticity", [0.0, 0.4])
def test_one_particle_scatters_its_cross_section(ellipticity):
    light = plane(OBLIQUE, ellipticity=ellipticity)
    alpha = polarizability.Polarizability(*tensors(2))
    field = light.at(np.zeros((1, 3))).value[0]
    intensity = FLUX * light.amplitude**2
    power = patterns.scattered_power(one(alpha, light), np.zeros((1, 3)))
    assert power == pytest.approx(intensity * alpha.scattering(K, field), rel=1e-12, abs=0)
    assert power != pytest.approx(intensity * alpha.extinction(K, field), rel=0.1, abs=0)


def test_lossless_particles_scatter_what_the_forward_wave_loses():
    """The optical theorem; particles with a gain or a loss break it."""
    light, place = plane(OBLIQUE, ellipticity=0.4), places(4)
    for loss in (0.0, 0.05):
        radius, index = 0.15e-6, 1.6 + 1j * loss
        alpha = [polarizability.mie(radius, index, K) for _ in range(4)]
        group = Dipoles(
            light=light,
            polarizability=np.array([a.electric for a in alpha]),
            magnetic=np.array([a.magnetic for a in alpha]),
        )
        forward = patterns.far_amplitude(group, place, [OBLIQUE])[0]
        incident = light.at(np.zeros((1, 3))).value[0, :3]
        taken = FLUX * 4 * math.pi / K * np.vdot(incident, forward).imag
        scattered = patterns.scattered_power(trapped(group), place)
        assert (abs(scattered / taken - 1) < 1e-12) == (loss == 0.0)
        assert taken > 0


# --- The pattern -----------------------------------------------------------------------------------------------------


def test_a_sphere_scatters_as_mie_theory_says():
    """S1 and S2 of Bohren and Huffman, (4.74), of the first order; exchanged they are wrong."""
    radius, index = 0.16e-6, 2.1 + 0.1j
    a, b = (c[0] for c in particles.mie_coefficients(index, K * radius, 1))
    angle = np.linspace(0.1, 3.0, 9)
    across, along = 1.5 * (a + b * np.cos(angle)), 1.5 * (a * np.cos(angle) + b)
    light = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (1, 0, 0), 1e6)
    group, here = one(polarizability.mie(radius, index, K), light), np.zeros((1, 3))
    unit = FLUX * light.amplitude**2 / K**2
    for other, amplitude, wrong in ((0, along, across), (1, across, along)):
        directions = np.zeros((9, 3))
        directions[:, other], directions[:, 2] = np.sin(angle), np.cos(angle)
        found = patterns.power_per_solid_angle(group, here, directions) / unit
        np.testing.assert_allclose(found, np.abs(amplitude) ** 2, rtol=1e-10)
        assert np.abs(found / np.abs(wrong) ** 2 - 1).max() > 0.1


@pytest.mark.parametrize(
    ("kerker", "dark", "bright"),
    [(polarizability.kerker_first, -1, 1), (polarizability.kerker_second, 1, -1)],
)
def test_kerker_particles_are_dark_on_one_side(kerker, dark, bright):
    """The first kind backward, the second forward; the other sign of the magnetic dipole exchanges them."""
    group = one(kerker((1.0 + 0.3j) * 1e-21), plane(OBLIQUE))
    backward, forward = patterns.power_per_solid_angle(group, np.zeros((1, 3)), [-OBLIQUE, OBLIQUE])
    power = {-1: backward, 1: forward}
    assert power[dark] < 1e-28 * power[bright]


def test_two_particles_interfere_by_their_distance():
    """Weak dipoles in step: the pattern of one times 4 cos^2 of half the difference of phases."""
    alpha = polarizability.Polarizability(1e-25 * np.eye(3), np.zeros((3, 3)))
    light = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (0, 1, 0), 1e6)
    pair = trapped(Dipoles(light=light, polarizability=np.array([alpha.electric] * 2)))
    place = np.array([[-0.4e-6, 0, 0], [0.4e-6, 0, 0]])
    angle = np.linspace(0, 2 * math.pi, 13)
    directions = np.column_stack([np.cos(angle), 0 * angle, np.sin(angle)])
    single = patterns.power_per_solid_angle(patterns.alone(pair, 0), place[:1], directions)
    factor = patterns.power_per_solid_angle(pair, place, directions) / single
    np.testing.assert_allclose(factor, 4 * np.cos(0.4e-6 * K * np.cos(angle)) ** 2, atol=1e-4)


def test_the_length_of_a_direction_does_not_matter():
    group, place = array(3), places(3)
    np.testing.assert_allclose(
        patterns.far_amplitude(group, place, 3e-9 * AXES), patterns.far_amplitude(group, place, AXES), rtol=1e-14
    )


# --- The field -------------------------------------------------------------------------------------------------------


def test_far_away_the_field_is_that_of_the_amplitude():
    group, place = array(3, light=crossed()), places(3)
    direction = OBLIQUE / np.linalg.norm(OBLIQUE)
    amplitude = patterns.far_amplitude(group, place, [direction])[0]
    errors = []
    for distance in (1e-3, 1e-2):
        found = patterns.scattered_field(group, place, [distance * direction])[0]
        expected = amplitude * np.exp(1j * K * distance) / distance
        np.testing.assert_allclose(found[3:], np.cross(direction, found[:3]), atol=0.01 * np.abs(expected).max())
        errors.append(np.abs(found[:3] - expected).max() / np.abs(expected).max())
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)  # what is left falls off faster by 1/distance


def test_the_flux_through_any_sphere_is_the_power():
    """Poynting's vector of the scattered field, in the near field as well."""
    group, place = array(3, light=crossed()), places(3, extent=0.3e-6, spacing=0.2e-6)
    nodes, weight = sphere_of_directions(40)
    power = patterns.scattered_power(trapped(group), place)
    for radius in (0.9e-6, 3e-6):
        field = patterns.scattered_field(group, place, radius * nodes)
        outward = np.einsum("ni,ni->n", nodes, np.cross(field[:, :3], field[:, 3:].conj()).real)
        assert FLUX * radius**2 * (outward @ weight) == pytest.approx(power, rel=1e-9, abs=0)


def test_fields_obey_faraday_and_ampere():
    group, place = array(3, light=plane()), places(3)
    point, step = np.array([0.9e-6, -0.7e-6, 0.8e-6]), 1e-10
    nearby = np.concatenate([point + step * AXES, point - step * AXES, [point]])
    value = patterns.total_field(group, place, nearby)
    slope = (value[:3] - value[3:6]) / (2 * step)

    def curl(d):
        return np.array([d[1, 2] - d[2, 1], d[2, 0] - d[0, 2], d[0, 1] - d[1, 0]])

    electric, magnetic = value[6, :3], value[6, 3:]
    largest = K * np.abs(value[6]).max()
    assert np.abs(curl(slope[:, :3]) - 1j * K * magnetic).max() < 1e-5 * largest
    assert np.abs(curl(slope[:, 3:]) + 1j * K * electric).max() < 1e-5 * largest
    assert np.abs(curl(slope[:, 3:]) - 1j * K * electric).max() > 0.1 * largest


def test_fields_are_those_of_the_textbook():
    group, place = array(3, light=crossed()), places(3)
    points = np.array([[0.9e-6, -0.7e-6, 0.8e-6], [1.2e-6, 0.3e-6, -0.2e-6]])
    source = group.solve(place).dipole
    expected = radiated(points[:, None] - place, source)
    found = patterns.scattered_field(group, place, points)
    np.testing.assert_allclose(found[:, :3], expected.electric.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(found[:, 3:], expected.magnetic.sum(axis=1), rtol=1e-10)
    wrong = radiated(points[:, None] - place, source.conj())
    assert np.abs(found[:, :3] / wrong.electric.sum(axis=1) - 1).max() > 0.1


@pytest.mark.parametrize("scattering", ["single", "one_event", "multiple"])
@pytest.mark.parametrize("magnetic", [False, True])
def test_a_particle_that_scatters_nothing_feels_the_field_at_its_place(scattering, magnetic):
    place, point = places(4), np.array([[0.1e-6, 0.2e-6, 1.1e-6]])
    group = array(4, light=crossed(), magnetic=magnetic, scattering=scattering)
    probe = Dipoles(
        light=group.light,
        polarizability=np.concatenate([group.polarizability, 1e-40 * np.eye(3)[None]]),
        magnetic=None if not magnetic else np.concatenate([group.magnetic, np.zeros((1, 3, 3))]),
        scattering=scattering,
    )
    seen = probe.solve(np.concatenate([place, point])).scattered[-1]
    np.testing.assert_allclose(patterns.scattered_field(group, place, point)[0, : len(seen)], seen, rtol=1e-12)


def test_intensity_is_that_of_the_light_without_particles():
    light = plane(amplitude=2e6)
    group = trapped(array(2, light=light, size=1e-40), array(2, light=light, size=1e-40))
    points = np.random.default_rng(0).uniform(-1e-6, 1e-6, (7, 3))
    np.testing.assert_allclose(patterns.intensity(group, places(2), points), 2 * FLUX * 2e6**2, rtol=1e-9)


def test_many_points_are_as_each_alone(monkeypatch):
    group, place = array(3, light=crossed()), places(3)
    points = np.random.default_rng(1).uniform(1e-6, 2e-6, (20, 3))
    whole = patterns.total_field(group, place, points), patterns.far_amplitude(group, place, points)
    monkeypatch.setattr(patterns, "PAIRS_AT_ONCE", 7)
    np.testing.assert_allclose(patterns.total_field(group, place, points), whole[0], rtol=1e-13)
    np.testing.assert_allclose(patterns.far_amplitude(group, place, points), whole[1], rtol=1e-13)
    assert patterns.scattered_power(trapped(group), place) > 0


# --- Particles and bad input -----------------------------------------------------------------------------------------


def test_the_particle_at_a_point():
    position = [[0, 0, 0], [3, 0, 0], [4, 0, 0]]
    points = [[0, 0.5, 0], [1.5, 0, 0], [3.4, 0, 0], [3.6, 0, 0], [4, 0, 1.0]]
    assert patterns.particle_at(points, position, [1, 1, 1]).tolist() == [0, -1, 1, 2, 2]
    assert patterns.particle_at(points, position, [0, 0, 0]).tolist() == [-1] * 5


def test_one_of_the_particles_alone():
    group, place = array(3, light=crossed()), places(3)
    single = patterns.alone(trapped(group), 2)
    assert single.n_particles == 1
    found, expected = single.parts[0].solve(place[2:]), group.solve(place)
    np.testing.assert_allclose(found.incident[0], expected.incident[2], rtol=1e-14)
    np.testing.assert_array_equal(single.parts[0].alpha[0], group.alpha[2])


BIG = {"radius": np.array([1e-8, 1e-7])}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: patterns.scattered_field(array(2, **BIG), places(2), [[1, 0, 0], places(2)[1] + [5e-8, 0, 0]]),
            r"`points\[1\]`, \(.*\) m, is inside of particle 1, where its field is not that of a dipole; leave",
        ),
        (
            lambda: patterns.total_field(array(2), places(2), places(2)[:1]),
            r"`points\[0\]`.* is inside of particle 0",
        ),
        (
            lambda: patterns.scattered_field(array(2), places(2), [1, 0, 0]),
            r"`points` must have shape \(M, 3\), but has shape \(3,\)\.",
        ),
        (
            lambda: patterns.far_amplitude(array(2), places(2), [[1, 0, 0], [0, 0, 0]]),
            r"`directions\[1\]` must not be zero",
        ),
        (
            lambda: patterns.far_amplitude(array(2), places(2), [[math.nan, 0, 0]]),
            r"`directions` must be finite, but directions\[0, 0\] is nan\.",
        ),
        (
            lambda: patterns.scattered_power(trapped(array(2)), np.zeros((2, 3))),
            r"Particles 0 and 1 are at one place",
        ),
        (
            lambda: patterns.power_per_solid_angle(trapped(array(2)), np.zeros((3, 3)), AXES),
            r"`position` must have shape",
        ),
        (lambda: patterns.alone(trapped(array(2)), 2), "`particle` must be at most 1, but is 2"),
        (lambda: patterns.particle_at([[0, 0, 0]], places(2), [1, -1]), r"`radius` must be zero or positive"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ScenarioError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
