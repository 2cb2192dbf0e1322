"""Light fields against multiprecision differences, Maxwell's equations, and integrals over whole beams."""

import itertools
import math
import pickle

import mpmath
import numpy as np
import pytest
from scipy import constants
from scipy.spatial.transform import Rotation

from stochbind.errors import ScenarioError
from stochbind.optics import beams, waves

WAVELENGTH = 1064e-9
K = 2 * math.pi / WAVELENGTH
WAIST = 0.8e-6
KW = K * WAIST
Z_R = beams.rayleigh_range(WAVELENGTH, WAIST)
OBLIQUE = np.array([0.48, -0.6, 0.64])
LEVI_CIVITA = np.array([[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)])
ORIGIN = np.zeros((1, 3))


def tweezer(direction=(0, 0, 1), polarization=None, **changes):
    polarization = waves.elliptical(0.3, 0.4, direction) if polarization is None else polarization
    arguments = {"wavelength": WAVELENGTH, "waist": WAIST, "focus": (0.0, 0.0, 0.0), "amplitude": 1.0, **changes}
    return waves.GaussianTweezer(direction=direction, polarization=polarization, **arguments)


def plane(direction=(0, 0, 1), polarization=None, **changes):
    polarization = waves.elliptical(0.3, 0.4, direction) if polarization is None else polarization
    return waves.PlaneWave(WAVELENGTH, direction, polarization, **{"amplitude": 1.0, **changes})


def largest_difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


# Derivatives


def differences(function, point):
    """Derivatives of a scalar function of a point, of order 0 to 4: nested differences in 120 digits."""
    step = mpmath.mpf(10) ** -25

    def derivative(axes, at):
        if not axes:
            return function(at)
        up, down = list(at), list(at)
        up[axes[0]] += step
        down[axes[0]] -= step
        return (derivative(axes[1:], up) - derivative(axes[1:], down)) / (2 * step)

    tensors = []
    for order in range(5):
        tensor = np.empty((3,) * order, dtype=complex)
        for axes in itertools.combinations_with_replacement(range(3), order):
            number = complex(derivative(axes, [mpmath.mpf(float(c)) for c in point]))
            for same in itertools.permutations(axes):
                tensor[same] = number
        tensors.append(tensor)
    return tensors


def scalar(wave, gouy=1):
    """What multiplies the polarization, written in the laboratory; `gouy` is the sign of the Gouy phase."""

    def function(point):
        n = [mpmath.mpf(float(c)) for c in wave.direction]
        k = 2 * mpmath.pi / mpmath.mpf(wave.wavelength)
        phase = mpmath.mpf(wave.phase)
        if isinstance(wave, waves.PlaneWave):
            return wave.amplitude * mpmath.expj(phase + k * mpmath.fdot(n, point))
        r = [c - mpmath.mpf(float(f)) for c, f in zip(point, wave.focus, strict=True)]
        z = mpmath.fdot(n, r)
        q = 1 + gouy * 2j * z / (k * mpmath.mpf(wave.waist) ** 2)
        decay = (mpmath.fdot(r, r) - z**2) / (mpmath.mpf(wave.waist) ** 2 * q)
        return wave.amplitude * mpmath.expj(phase + k * z) * mpmath.exp(-decay) / q

    return function


def derivatives(wave, point, gouy=1):
    with mpmath.workdps(120):
        return differences(scalar(wave, gouy), point)


def reference(wave, u, longitudinal=False):
    """Field, gradient and curvature at one point, from the derivatives of the scalar function alone."""
    e, n = wave.polarization, wave.direction
    electric = [np.multiply.outer(tensor, e) for tensor in u[:4]]
    if longitudinal:
        along = [np.multiply.outer(1j / wave.wavenumber * tensor @ e, n) for tensor in u[1:]]
        electric = [across + more for across, more in zip(electric, along, strict=True)]
    magnetic = [np.einsum("iab,...ab->...i", LEVI_CIVITA, t) / (1j * wave.wavenumber) for t in electric[1:]]
    return [np.concatenate(both, axis=-1) for both in zip(electric, magnetic, strict=False)]


@pytest.mark.parametrize("direction", [(0, 0, 1), OBLIQUE, (0.2, -0.1, -3.0), (0, 0, -1)])
def test_derivatives_of_a_tweezer(direction):
    focus = np.array([2e-7, -1e-7, 3e-7])
    points = focus + np.array([[0.4, -0.7, 0.9], [0, 0, 0], [-2.5, 1.3, 4.0]]) * WAIST
    u = mirrored = None
    for longitudinal in (False, True):
        wave = tweezer(direction, focus=focus, amplitude=2e7, phase=0.7, longitudinal=longitudinal)
        u = u or [derivatives(wave, point) for point in points]
        mirrored = mirrored or derivatives(wave, points[0], gouy=-1)
        found = wave.at(points)
        for i in range(len(points)):
            for part, expected in zip(found, reference(wave, u[i], longitudinal), strict=True):
                assert largest_difference(part[i], expected) < 1e-12
        for wrong in (reference(wave, u[0], not longitudinal), reference(wave, mirrored, longitudinal)):
            for part, expected in zip(found, wrong, strict=True):
                assert largest_difference(part[0], expected) > 1e-3


def test_derivatives_of_a_plane_wave():
    wave = plane(OBLIQUE, amplitude=3e5, phase=-1.1)
    points = np.random.default_rng(1).normal(size=(4, 3)) * 1e-6
    found = wave.at(points)
    for i, point in enumerate(points):
        for part, expected in zip(found, reference(wave, derivatives(wave, point)), strict=True):
            assert largest_difference(part[i], expected) < 1e-12
            assert largest_difference(part[i], expected.conj()) > 0.1
    np.testing.assert_allclose(found.value[:, 3:], np.cross(OBLIQUE, found.value[:, :3]), rtol=0, atol=1e-9)


def test_far_from_a_tweezer_there_is_nothing():
    wave = tweezer(longitudinal=True)
    edge = WAIST * math.sqrt(waves.lasers.LARGEST_EXPONENT)
    inside, outside = wave.at([[edge * 0.999, 0, 0]]), wave.at([[edge * 1.001, 0, 0], [0, -1.0, 0]])
    assert 0 < np.abs(inside.curvature).max() < 1e-20 * K**2
    assert all((part == 0).all() for part in outside)
    width = math.hypot(1, 1e-3 / Z_R)  # far along the beam, which is wide there
    field = tweezer().at([[0, 0, 1e-3], [WAIST * width, 0, 1e-3]]).value[:, :3]
    np.testing.assert_allclose(np.linalg.norm(field, axis=1), np.exp([0, -1]) / width, rtol=1e-9)


# Maxwell's equations


def residuals(wave, points):
    """What is left of Faraday, Ampere, both Gauss laws, and Helmholtz across the beam; relative to k or k^2."""
    value, gradient, curvature = wave.at(points)
    electric, magnetic = value[:, :3], value[:, 3:]
    curl = np.einsum("iab,nafb->nfi", LEVI_CIVITA, gradient.reshape(-1, 3, 2, 3))
    divergence = np.einsum("nafa->nf", gradient.reshape(-1, 3, 2, 3))
    helmholtz = (np.einsum("naai->ni", curvature) + wave.wavenumber**2 * value)[:, :3] @ wave.polarization.conj()
    left = {
        "faraday": curl[:, 0] / K - 1j * magnetic,
        "ampere": curl[:, 1] / K + 1j * electric,
        "electric": divergence[:, 0] / K,
        "magnetic": divergence[:, 1] / K,
        "helmholtz": helmholtz / K**2,
    }
    return {name: np.abs(number).max() for name, number in left.items()}


def test_plane_waves_solve_maxwell():
    left = residuals(plane(OBLIQUE), np.random.default_rng(2).normal(size=(20, 3)) * 1e-6)
    assert max(left.values()) < 1e-14


@pytest.mark.parametrize("longitudinal", [False, True])
def test_orders_at_which_tweezers_solve_maxwell(longitudinal):
    """Residuals fall as powers of 1/kw; the longitudinal field gains two orders."""
    place = np.random.default_rng(3).uniform(-1, 1, size=(40, 3)) @ np.vstack(
        [waves.transverse_basis(OBLIQUE), np.zeros(3)]
    )
    left = []
    for waist in (3e-6, 6e-6, 12e-6):
        wave = tweezer(OBLIQUE, waist=waist, longitudinal=longitudinal)
        left.append(residuals(wave, waist * place + 0.4 * wave.rayleigh_range * place[::-1, :1] * OBLIQUE))
    orders = {name: np.log2([a[name] / b[name] for a, b in itertools.pairwise(left)]) for name in left[0]}
    expected = {"electric": 3, "ampere": 3, "helmholtz": 4} if longitudinal else {"electric": 1, "ampere": 1}
    for name, order in (expected | {"helmholtz": 4}).items():
        np.testing.assert_allclose(orders[name], order, rtol=0, atol=0.05, err_msg=name)
    assert max(step[name] for step in left for name in ("faraday", "magnetic")) < 1e-14


def test_divergence_left_by_the_longitudinal_field():
    point = np.array([0.5, -0.3, 0.8]) * WAIST
    wave = tweezer(longitudinal=True)
    found = np.einsum("aa->", wave.at([point]).gradient[0, :, :3])
    third = derivatives(wave, point)[3]
    expected = -(third[0, 0] + third[1, 1]) @ wave.polarization / (2 * K**2)
    assert found == pytest.approx(expected, rel=1e-11)
    without = np.einsum("aa->", tweezer().at([point]).gradient[0, :, :3])
    assert abs(found) < 0.2 * abs(without)


# Integrals over a cross section


def flow(wave, z):
    """Of a beam along z through the plane at z: energy density/2, power, and angular momentum times k."""
    line = np.linspace(-6, 6, 61) * wave.waist * math.hypot(1, z / wave.rayleigh_range)
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    value = wave.at(np.stack([x, y, np.full_like(x, z)], axis=-1)).value
    electric, magnetic = value[:, :3], value[:, 3:]
    scale = constants.epsilon_0 * constants.c / 2 * (line[1] - line[0]) ** 2
    poynting = np.cross(electric, magnetic.conj()).real
    return (
        scale * (np.abs(electric[:, :2]) ** 2).sum(),
        scale * poynting[:, 2].sum(),
        scale * wave.wavenumber * (x * poynting[:, 1] - y * poynting[:, 0]).sum(),
    )


@pytest.mark.parametrize("z", [0.0, 1.3e-6])
@pytest.mark.parametrize("handedness", [1, -1])
def test_power_and_spin_of_the_whole_beam(z, handedness):
    """Power is P and angular momentum +-P/omega with the longitudinal field; without it, half of that."""
    power = 0.35
    polarization = waves.circular((0, 0, 1), handedness)
    amplitude = waves.amplitude_of_power(power, WAIST)
    wave = tweezer(polarization=polarization, amplitude=amplitude, longitudinal=True)
    plain = tweezer(polarization=polarization, amplitude=amplitude)
    energy, through, spin = flow(wave, z)
    assert energy == pytest.approx(power, rel=1e-9)
    assert through == pytest.approx(power, rel=1e-9)
    assert spin == pytest.approx(handedness * power, rel=3 * wave.paraxial_error())
    energy, through, spin = flow(plain, z)
    assert energy == pytest.approx(power, rel=1e-9)
    assert through == pytest.approx(power * (1 - plain.paraxial_error()), rel=1e-9)
    assert spin == pytest.approx(handedness * power / 2, rel=3 * wave.paraxial_error())


def test_amplitudes():
    power = 0.35
    amplitude = waves.amplitude_of_power(power, WAIST)
    assert amplitude**2 == pytest.approx(4 * power / (math.pi * WAIST**2 * constants.epsilon_0 * constants.c))
    peak_intensity = 2 * power / (math.pi * WAIST**2)
    assert waves.amplitude_of_intensity(peak_intensity) == pytest.approx(amplitude, rel=1e-14)
    value = plane(amplitude=amplitude).at(ORIGIN).value[0]
    poynting = np.cross(value[:3], value[3:].conj()).real / (2 * constants.mu_0 * constants.c)
    np.testing.assert_allclose(poynting, [0, 0, peak_intensity], rtol=1e-9, atol=1e-9 * peak_intensity)
    assert waves.amplitude_of_power(0.0, WAIST) == waves.amplitude_of_intensity(0.0) == 0.0


# Phases and polarizations


def test_the_wave_number_at_the_focus_is_reduced_by_the_gouy_phase():
    wave = tweezer(OBLIQUE, focus=(1e-6, 2e-6, 3e-6), phase=0.9, amplitude=3.0)
    value, gradient, _ = wave.at([wave.focus])
    np.testing.assert_allclose(value[0, :3], 3.0 * np.exp(0.9j) * wave.polarization, rtol=1e-14)
    slope = (wave.polarization.conj() @ (OBLIQUE @ gradient[0])[:3]) / (wave.polarization.conj() @ value[0, :3])
    assert slope == pytest.approx(1j * (K - 1 / Z_R), rel=1e-12)
    assert abs(slope - 1j * (K + 1 / Z_R)) > 0.05 * K


def test_the_trap_along_the_beam():
    """The intensity curves as Rudolph et al. (79) and the stiffness of a tweezer have it."""
    wave = tweezer(OBLIQUE, amplitude=1.4e7)
    value, gradient, curvature = (part[0, ..., :3] for part in wave.at(ORIGIN))
    second = np.einsum("a,b,abi,i->", OBLIQUE, OBLIQUE, curvature, value.conj()).real
    second += np.sum(np.abs(OBLIQUE @ gradient) ** 2)  # half of the second derivative of |E|^2
    polarizability = 3.9e-21
    expected = beams.axial_stiffness(np.array(1.0), np.array(polarizability), np.array(1.4e7), Z_R)
    assert -constants.epsilon_0 * polarizability / 2 * second == pytest.approx(expected, rel=1e-10)


def intensity(wave, points):
    return (np.abs(wave.at(points).value[:, :3]) ** 2).sum(axis=1)


@pytest.mark.parametrize("wave", [plane(OBLIQUE, phase=0.3), tweezer(OBLIQUE, waist=40e-6, phase=0.3)])
def test_standing_waves(wave):
    """Antinodes at k z = psi/2 and nodes a quarter of a wavelength on: a positive phase moves them along n."""
    psi = 0.8
    pattern = waves.standing_wave(wave, psi)
    places = np.array([psi / 2, psi / 2 + math.pi / 2, -psi / 2, 0.0]) / K
    found = intensity(pattern, places[:, None] * OBLIQUE)
    expected = 4 * np.cos(np.array([0, math.pi / 2, psi, psi / 2])) ** 2  # the third is the twin: the other sign
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(intensity(waves.standing_wave(wave, math.pi), ORIGIN), 0, rtol=0, atol=1e-25)
    value = pattern.at(ORIGIN).value[0]
    np.testing.assert_allclose(value[:3], (1 + np.exp(0.8j)) * np.exp(0.3j) * wave.polarization, rtol=1e-12)
    np.testing.assert_allclose(
        value[3:], (1 - np.exp(0.8j)) * np.exp(0.3j) * np.cross(OBLIQUE, wave.polarization), rtol=1e-3
    )


@pytest.mark.parametrize("make", [plane, tweezer])
@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), OBLIQUE])
def test_handedness(make, direction):
    """Positive: the real field turns counter-clockwise about the direction, and so does Im(E* x E)."""
    direction = np.array(direction, dtype=float)
    for handedness in (1, -1):
        field = make(direction, waves.circular(direction, handedness)).at(ORIGIN).value[0, :3]
        now, later = field.real, (field * np.exp(-0.1j)).real  # e^{-i omega t}
        assert np.cross(now, later) @ direction == pytest.approx(handedness * math.sin(0.1) / 2, rel=1e-12)
        np.testing.assert_allclose(np.cross(field.conj(), field).imag, handedness * direction, rtol=0, atol=1e-14)


def test_elliptical_polarization():
    vector = waves.elliptical(0.3, 0.2, OBLIQUE)
    first, second = waves.transverse_basis(OBLIQUE)
    stokes = np.array([first @ vector, second @ vector])
    assert np.linalg.norm(stokes) == pytest.approx(1, rel=1e-14)
    s1 = abs(stokes[0]) ** 2 - abs(stokes[1]) ** 2
    s2 = 2 * (stokes[0].conj() * stokes[1]).real
    s3 = 2 * (stokes[0].conj() * stokes[1]).imag
    expected = (math.cos(0.4) * math.cos(0.6), math.cos(0.4) * math.sin(0.6), math.sin(0.4))
    np.testing.assert_allclose((s1, s2, s3), expected, rtol=1e-13)
    np.testing.assert_allclose(waves.linear(0.3, OBLIQUE), math.cos(0.3) * first + math.sin(0.3) * second)


@pytest.mark.parametrize("direction", [OBLIQUE, (0.3, 0.1, -0.9), (1e-9, 2e-9, -1.0), (1, 0, 0), (0, 1e-160, 1e-200)])
def test_the_transverse_basis_is_the_smallest_rotation(direction):
    n = np.array(direction) / np.abs(direction).max()
    n /= np.linalg.norm(n)
    first, second = waves.transverse_basis(direction)
    np.testing.assert_allclose(np.linalg.det([first, second, n]), 1, rtol=1e-14)
    np.testing.assert_allclose([first @ n, second @ n, first @ second], 0, rtol=0, atol=1e-15)
    axis = np.array([-n[1], n[0], 0.0]) / math.hypot(n[0], n[1])
    turn = Rotation.from_rotvec(axis * math.atan2(math.hypot(n[0], n[1]), n[2]))
    np.testing.assert_allclose([first, second], turn.apply(np.eye(3)[:2]), rtol=0, atol=1e-14)


def test_the_transverse_basis_along_z():
    np.testing.assert_array_equal(waves.transverse_basis((0, 0, 7)), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(waves.transverse_basis((0, 0, -7)), [[1, 0, 0], [0, -1, 0]])


# Symmetries and sums


def turned(values, matrix, axial):
    blocks = np.zeros((6, 6))
    blocks[:3, :3], blocks[3:, 3:] = matrix, axial * matrix
    return (
        np.einsum("ij,nj->ni", blocks, values.value),
        np.einsum("ab,ij,nbj->nai", matrix, blocks, values.gradient),
        np.einsum("ab,cd,ij,nbdj->naci", matrix, matrix, blocks, values.curvature),
    )


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("longitudinal", [False, True])
def test_turning_everything_turns_the_fields(mirror, longitudinal):
    """Turned or mirrored: E is a vector, H an axial one."""
    matrix = mirror * Rotation.from_rotvec([0.7, -1.9, 0.4]).as_matrix()
    points = np.random.default_rng(5).normal(size=(10, 3)) * WAIST
    focus = np.array([3e-7, 1e-7, -2e-7])
    wave = tweezer(OBLIQUE, focus=focus, longitudinal=longitudinal)
    other = tweezer(matrix @ OBLIQUE, matrix @ wave.polarization, focus=matrix @ focus, longitudinal=longitudinal).at(
        points @ matrix.T
    )
    for found, expected in zip(other, turned(wave.at(points), matrix, mirror), strict=True):
        assert largest_difference(found, expected) < 1e-13
    for found, expected in zip(other, turned(wave.at(points), matrix, -mirror), strict=True):
        assert largest_difference(found, expected) > 0.1


class Kept(waves.Wave):
    """A wave that gives the same arrays each time."""

    wavenumber, detuning = K, 0.0

    def __init__(self, values):
        self.values = values

    def at(self, points):
        return self.values


def test_superpositions_add_fields():
    parts = (plane(OBLIQUE, detuning=5.0), tweezer(phase=0.4, detuning=5.0), tweezer(OBLIQUE, detuning=5.0))
    points = np.random.default_rng(6).normal(size=(5, 3)) * 1e-6
    together = waves.Superposition(parts)
    assert (together.wavenumber, together.detuning) == (parts[0].wavenumber, 5.0)
    each = [wave.at(points) for wave in parts]
    for found, *several in zip(together.at(points), *each, strict=True):
        np.testing.assert_allclose(found, sum(several), rtol=1e-13)
    nested = waves.Superposition((waves.Superposition(parts[:2]), parts[2]))
    np.testing.assert_array_equal(nested.at(points).curvature, together.at(points).curvature)
    kept = Kept(each[0])
    twice = waves.Superposition((kept, kept))
    np.testing.assert_array_equal(twice.at(points).value, 2 * each[0].value)
    np.testing.assert_array_equal(twice.at(points).value, 2 * each[0].value)  # nothing was added to what `kept` keeps
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(nested)).at(points).value, nested.at(points).value)


def test_waves_of_one_frequency_are_grouped():
    rounded = math.nextafter(WAVELENGTH, 1)  # the same wavelength, out of another computation
    a, b, c, d = plane(), plane(detuning=80e6), tweezer(wavelength=rounded), tweezer(detuning=8e7)
    other = tweezer(wavelength=1550e-9, waist=1.2e-6)
    assert a.wavenumber != c.wavenumber
    groups = waves.coherent_groups([a, b, c, other, d])
    assert [group.waves for group in groups] == [(a, c), (b, d), (other,)]
    assert waves.coherent_groups([]) == ()


# Bad input


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: plane((0, 0, 0), (1, 0, 0)), r"`direction` must not be zero"),
        (lambda: plane((0, 0, math.nan), (1, 0, 0)), r"direction\[2\] is nan"),
        (lambda: plane((0, 1), (1, 0, 0)), r"`direction` must have shape \(3,\)"),
        (lambda: plane((0, 0, 2), (1, 0, 1)), r"component along it is 0\.707107"),
        (lambda: plane((0, 0, 1), (1, 1j, 1e-5j)), r"component along it is 7\.07107e-06"),
        (lambda: plane((0, 0, 1), (0, 0, 0)), r"`polarization` must not be zero"),
        (lambda: plane((0, 0, 1), ("a", 0, 0)), r"`polarization` must be three complex numbers"),
        (lambda: plane((0, 0, 1), (1j * math.inf, 0, 0)), r"`polarization` must be finite"),
        (lambda: plane(amplitude=-1.0), r"`amplitude` must be zero or positive"),
        (lambda: plane(phase=math.inf), r"`phase` must be finite"),
        (lambda: plane(detuning="x"), r"`detuning` must be an array of numbers"),
        (lambda: tweezer(wavelength=0.0), r"`wavelength` must be positive"),
        (lambda: tweezer(waist=-1e-6), r"`waist` must be positive"),
        (lambda: tweezer(waist=0.5e-6), r"half the wavelength, 5\.32e-07 m, but is 5e-07 m"),
        (lambda: tweezer(focus=(0, 0)), r"`focus` must have shape"),
        (lambda: tweezer().at([0, 0, 0]), r"`points` must have shape \(N, 3\)"),
        (lambda: plane().at([[0, 0, math.inf]]), r"points\[0, 2\] is inf"),
        (lambda: waves.Superposition(()), r"`waves` must not be empty"),
        (lambda: waves.Superposition((plane(), plane(detuning=1e6))), r"waves\[1\] has .* 1000000 Hz"),
        (lambda: waves.Superposition((plane(), tweezer(wavelength=1e-6))), r"waves\[1\] has 1e-06 m"),
        (lambda: waves.standing_wave(plane(), math.nan), r"`phase` must be finite"),
        (lambda: waves.circular((0, 0, 1), 0), r"`handedness` must be 1 or -1, but is 0"),
        (lambda: waves.elliptical(0.0, 1.0, (0, 0, 1)), r"`ellipticity` must be between"),
        (lambda: waves.linear(math.nan, (0, 0, 1)), r"`angle` must be finite"),
        (lambda: waves.amplitude_of_power(-1.0, WAIST), r"`power` must be zero or positive"),
        (lambda: waves.amplitude_of_power(1.0, 0.0), r"`waist` must be positive"),
        (lambda: waves.amplitude_of_intensity(-1.0), r"`intensity` must be zero or positive"),
    ],
)
def test_bad_input(make, sentence):
    with pytest.raises(ScenarioError, match=sentence):
        make()


def test_vectors_are_normalised():
    wave = plane((0, 0, 1e-200), (3e200, 4e200j, 1e190))
    np.testing.assert_allclose(wave.direction, [0, 0, 1])
    np.testing.assert_allclose(wave.polarization, [0.6, 0.8j, 0], atol=1e-16)
    assert not wave.polarization.flags.writeable
    assert tweezer().paraxial_error() == pytest.approx(1 / KW**2)
    assert tweezer().rayleigh_range == pytest.approx(K * WAIST**2 / 2)


def test_a_detuning_that_would_change_the_wavelength_is_refused():
    plain = {"wavelength": 1e-6, "direction": (0, 0, 1), "polarization": (1, 0, 0), "amplitude": 1.0}
    assert waves.PlaneWave(**plain, detuning=-2.9e9).detuning == -2.9e9
    for detuning in (3.1e9, -3.1e9):
        with pytest.raises(ScenarioError, match=r"`detuning` must be at most 3e\+09 Hz"):
            waves.PlaneWave(**plain, detuning=detuning)
