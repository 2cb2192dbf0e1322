"""Polarizabilities of particles against Mie theory, a T matrix, quadrature and the energy of far fields."""

import math

import mpmath
import numpy as np
import pytest
from scipy import constants, integrate, special
from scipy.spatial.transform import Rotation

from stochbind.errors import ScenarioError
from stochbind.optics import particles, polarizability
from stochbind.optics.polarizability import Polarizability

# the silicon sphere of Jazayeri et al., and a silica sphere as in many tweezers
SILICON = 5.1 + 0.2j
K_SILICON, R_SILICON = 2 * math.pi / 420e-9, 45e-9
SILICA = 1.45
K_SILICA, R_SILICA = 2 * math.pi / 1064e-9, 105e-9
#: Plane wave along x with E along y and H along z.
PLANE_WAVE = np.array([0, 1, 0, 0, 0, 1])
SHAPES = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (3.0, 1.0, 1.0), (0.3, 1.0, 2.5), (1.0, 1e-3, 2.0), (1e3, 1.0, 2.0)]


def near(value, rel):
    """Compare with a number of any size: pytest.approx alone lets everything below 1e-12 pass."""
    return pytest.approx(value, rel=rel, abs=0)


# --- geometry and statics ---------------------------------------------------------------------------------------------


def depolarization_by_quadrature(axes):
    """Eq. (33) as printed, s = a^2 t/(1 - t)."""
    with mpmath.workdps(25):
        a = [mpmath.mpf(x) for x in axes]

        def factor(i):
            def integrand(s):
                return 1 / ((s + a[i] ** 2) * mpmath.sqrt(mpmath.fprod(s + x**2 for x in a)))

            points = [0, *sorted(x**2 for x in a), mpmath.inf]
            return mpmath.fprod(a) / 2 * mpmath.quad(integrand, points)

        return np.array([float(factor(i)) for i in range(3)])


@pytest.mark.parametrize("axes", SHAPES)
def test_depolarization_factors_are_the_integral(axes):
    found = particles.depolarization_factors(axes)
    np.testing.assert_allclose(found, depolarization_by_quadrature(axes), rtol=1e-9)
    assert found.sum() == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(particles.depolarization_factors(np.array(axes) * 1e-9), found, rtol=1e-13)
    if len(set(axes)) == 3:  # the twin: factors of other axes are seen
        assert np.abs(np.roll(found, 1) - found).max() > 0.1


def test_depolarization_of_needles_discs_and_almost_spheres():
    e = math.sqrt(1 - 1e-10)
    needle = (1 - e**2) / e**2 * (math.atanh(e) / e - 1)
    assert particles.depolarization_factors([1.0, 1.0, 1e5])[2] == near(needle, 1e-5)
    # a thin disc of aspect ratio q: N = 1 - pi q/2 + 2 q^2
    assert particles.depolarization_factors([1.0, 1.0, 1e-4])[2] == pytest.approx(1 - math.pi / 2e4 + 2e-8, abs=1e-11)
    # N_1 = 1/3 - (4/15) d for a_1 = 1 + d, and half of that back for each other axis
    almost = particles.depolarization_factors([1 + 1e-7, 1.0, 1.0])
    np.testing.assert_allclose(almost - 1 / 3, np.array([-4, 2, 2]) / 15 * 1e-7, rtol=1e-6)
    np.testing.assert_allclose(particles.depolarization_factors(np.full((2, 4, 3), 5e-8)), 1 / 3, rtol=1e-14)


def test_susceptibility_of_spheres_plates_and_rods():
    eps = np.array([2.1, -4.0 + 0.5j])
    found = particles.ellipsoid_susceptibility(eps, np.ones((2, 3)))
    np.testing.assert_allclose(found, np.tile(particles.sphere_susceptibility(eps), (3, 1)).T, rtol=1e-14)
    plate = particles.ellipsoid_susceptibility(4.0, [1.0, 1.0, 1e-7])
    np.testing.assert_allclose(plate, [3.0, 3.0, 3.0 / 4.0], rtol=1e-5)  # E and D continuous
    rod = particles.ellipsoid_susceptibility(4.0, [1.0, 1.0, 1e7])
    np.testing.assert_allclose(rod, [2 * 3 / 5, 2 * 3 / 5, 3.0], rtol=1e-5)


def test_lab_frame_turns_the_body_and_not_the_laboratory():
    turn = Rotation.from_rotvec([0, 0, math.pi / 2])  # the long axis x of the body comes to lie along y
    np.testing.assert_allclose(particles.lab_frame([3.0, 2.0, 1.0], turn), np.diag([2.0, 3.0, 1.0]), atol=1e-15)
    third = Rotation.from_rotvec([0, 0, math.pi / 6])
    found = particles.lab_frame([3.0, 2.0, 1.0], third)
    along = third.as_matrix() @ [1, 0, 0]
    np.testing.assert_allclose(found @ along, 3 * along, rtol=1e-14)
    twin = particles.lab_frame([3.0, 2.0, 1.0], third.inv())
    assert np.abs(twin @ along - 3 * along).max() > 0.1
    many = Rotation.from_quat(np.random.default_rng(1).normal(size=(5, 4)))
    tensor = particles.lab_frame(np.tile([3.0, 2.0, 1.0 + 1j], (5, 1)), many)
    np.testing.assert_allclose(np.trace(tensor, axis1=1, axis2=2), 6 + 1j, rtol=1e-13)
    np.testing.assert_allclose(tensor, tensor.transpose(0, 2, 1), rtol=1e-13)


def test_volume_and_moments_of_inertia_are_integrals_over_slices():
    axes = np.array([1.2, 0.7, 2.0])

    def slices(i, power):
        others = axes[np.arange(3) != i].prod()
        return integrate.quad(lambda x: x**power * math.pi * others * (1 - (x / axes[i]) ** 2), -axes[i], axes[i])[0]

    volume = slices(0, 0)
    assert particles.ellipsoid_volume(axes) == near(volume, 1e-12)
    square = np.array([slices(i, 2) for i in range(3)]) / volume
    np.testing.assert_allclose(particles.moments_of_inertia(axes, 5.0), 5.0 * (square.sum() - square), rtol=1e-12)
    ball = particles.moments_of_inertia([[2.0] * 3, [1.0] * 3], [1.0, 3.0])
    np.testing.assert_allclose(ball, [[1.6] * 3, [1.2] * 3], rtol=1e-14)


# --- finite size ------------------------------------------------------------------------------------------------------


def radiation_correction_by_quadrature(chi, axes, k):
    """Eq. (68) from the distribution of distances in a ball, stretched.

    Two points of the unit ball differ by s with the weight of two overlapping balls, pi (4 + s)(2 - s)^2/12; the kernel
    scales as 1/s, which leaves integrals over the distance and over the direction.
    """
    axes = np.array(axes)
    distance = integrate.quad(lambda s: s * math.pi / 12 * (4 + s) * (2 - s) ** 2, 0, 2)[0]
    u, weight = np.polynomial.legendre.leggauss(200)
    phi = 2 * math.pi * np.arange(200) / 200
    sine = np.sqrt(1 - u**2)[:, None]
    r = axes * np.stack(np.broadcast_arrays(sine * np.cos(phi), sine * np.sin(phi), u[:, None]), axis=-1)
    length = np.linalg.norm(r, axis=-1, keepdims=True)
    kernel = (length**2 + r**2) / length**3
    direction = np.einsum("u,upi->i", weight, kernel) * 2 * math.pi / 200
    volume = 4 / 3 * math.pi * axes.prod()
    return k**2 * chi**2 / (8 * math.pi * volume) * axes.prod() ** 2 * distance * direction


@pytest.mark.parametrize("axes", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (0.6, 1.0, 1.7)])
def test_radiation_correction_is_the_double_integral(axes):
    chi = np.array([0.8 + 0.1j, 1.3, 2.0])
    found = particles.radiation_correction(chi, axes, 0.3)
    np.testing.assert_allclose(found, radiation_correction_by_quadrature(chi, axes, 0.3), rtol=1e-10)


def test_radiation_correction_of_silica_is_half_of_the_story():
    """Alone, eq. (68) moves silica by 8.3 %; with the form factor it is 0.6 %, as in the Mie coefficient."""
    eps, size = SILICA**2, K_SILICA * R_SILICA
    chi = np.full(3, particles.sphere_susceptibility(eps))
    alone = particles.radiation_correction(chi, [R_SILICA] * 3, K_SILICA) / chi
    np.testing.assert_allclose(alone, 4 / 15 * size**2 * chi, rtol=1e-13)
    assert alone[0].real == pytest.approx(0.083, abs=5e-4)
    whole = particles.size_correction(chi, [R_SILICA] * 3, K_SILICA)
    np.testing.assert_allclose(whole, 0.6 * size**2 * (eps - 2) / (eps + 2), rtol=1e-12)
    assert whole[0].real == pytest.approx(0.006, abs=5e-4)
    # Mie theory itself, at the same k R and with radiation reaction taken out: the sign of higher orders differs
    a1 = complex(mie_reference(SILICA, size)[0])
    mie = 1 / (1 / (6j * math.pi * a1) + 1j / (6 * math.pi)) / size**3
    static = polarizability.rayleigh(1.0, SILICA).electric[0, 0]
    assert mie.real / static.real - 1 == pytest.approx(-0.0036, abs=1e-4)


def spheroid_dipole(axial, equatorial, k, eps):
    """Polarizability along the axis of a spheroid from its T matrix (null-field method, azimuthal order zero).

    The field H is along the azimuth; continuity of H and of the tangential E, and Green's identity with outgoing and
    with regular multipoles, give incident and scattered amplitudes as surface integrals of the field inside.
    """
    n = 2 * np.arange(5) + 1
    u, weight = np.polynomial.legendre.leggauss(120)
    sine = np.sqrt(1 - u**2)
    r = 1 / np.sqrt(u**2 / axial**2 + sine**2 / equatorial**2)
    slope = r**3 * u * sine * (1 / axial**2 - 1 / equatorial**2)

    def waves(q, outgoing):
        z, order = q * r, n[:, None]
        f, before = special.spherical_jn(order, z), special.spherical_jn(order - 1, z)
        if outgoing:
            f = f + 1j * special.spherical_yn(order, z)
            before = before + 1j * special.spherical_yn(order - 1, z)
        angular = special.lpmv(1, order, u)
        along = -(order * (order + 1)) * special.eval_legendre(order, u) * f / r
        return f * angular, (z * before - order * f) * angular - slope * along

    inside, outgoing, regular = waves(k * np.sqrt(eps + 0j), False), waves(k, True), waves(k, False)

    def surface(test):
        value, derivative = test
        product = value[:, None] * inside[1] / eps - inside[0] * derivative[:, None]
        return (weight * r * product).sum(axis=-1)

    t = -surface(regular) @ np.linalg.inv(surface(outgoing))
    return -6j * math.pi * t[0, 0] / k**3


@pytest.mark.parametrize(("axial", "equatorial"), [(1.0, 1.0), (1.5, 1.0), (0.6, 1.0), (2.0, 1.0)])
@pytest.mark.parametrize("eps", [2.1025, 12 + 1j, -5 + 0.3j])
def test_size_correction_is_complete_to_second_order(axial, equatorial, eps):
    """What it leaves of the T matrix falls with the fourth power of the size; half a correction leaves the second."""
    axes = np.array([equatorial, equatorial, axial])
    chi = particles.ellipsoid_susceptibility(eps, axes)
    static = chi[2] * particles.ellipsoid_volume(axes)
    rest, half = [], []
    for k in (0.04, 0.02):
        alpha = spheroid_dipole(axial, equatorial, k, eps)
        whole = 1 - (1 / alpha + 1j * k**3 / (6 * math.pi)) * static
        rest.append(abs(whole - particles.size_correction(chi, axes, k)[2]))
        half.append(abs(whole - particles.radiation_correction(chi, axes, k)[2] / chi[2]))
        made = polarizability.size_corrected(axes, np.sqrt(eps + 0j), k).electric[2, 2]
        assert made == near(alpha, 2 * rest[-1])
    assert rest[0] < 0.1 * half[0]
    assert rest[0] / rest[1] == near(16, 0.05)
    assert half[0] / half[1] == near(4, 0.05)  # the twin


def test_the_t_matrix_of_the_test_knows_spheres():
    assert spheroid_dipole(1.0, 1.0, 0.6, SILICA**2) == pytest.approx(
        polarizability.mie(1.0, SILICA, 0.6).electric[0, 0], rel=1e-12, abs=0
    )


# --- Mie --------------------------------------------------------------------------------------------------------------


def mie_reference(index, x, n=1):
    """Return a_n and b_n in 40 digits, from Bessel functions; Bohren and Huffman (4.53)."""
    with mpmath.workdps(40):
        m, x = mpmath.mpc(index), mpmath.mpf(x)
        y = m * x

        def bessel(order, z):
            return mpmath.sqrt(mpmath.pi / (2 * z)) * mpmath.besselj(order + 0.5, z)

        def hankel(order, z):
            return mpmath.sqrt(mpmath.pi / (2 * z)) * mpmath.hankel1(order + 0.5, z)

        def slope(function, z):
            return z * function(n - 1, z) - n * function(n, z)

        def coefficient(weight):
            upper = weight * bessel(n, y) * slope(bessel, x) - bessel(n, x) * slope(bessel, y)
            return upper / (weight * bessel(n, y) * slope(hankel, x) - hankel(n, x) * slope(bessel, y))

        return coefficient(m**2), coefficient(mpmath.mpf(1))


@pytest.mark.parametrize("index", [1.45, SILICON, 1.5 + 1e-3j, 0.26 + 6.97j])
@pytest.mark.parametrize("x", [1e-5, 1e-2, 0.0999, 0.1, 0.673198, 3.0])
def test_mie_coefficients(index, x):
    a, b = particles.mie_coefficients(index, x)
    for n in (1, 2):
        electric, magnetic = (complex(value) for value in mie_reference(index, x, n))
        assert a[n - 1] == near(electric, 2e-12)
        assert b[n - 1] == near(magnetic, 2e-12)
    assert abs(np.conj(a[0]) - complex(mie_reference(index, x)[0])) > 0.1 * abs(a[0])  # the other time convention


def test_small_spheres_are_not_left_to_miepython():
    """Why there are continued fractions: in double precision b1 loses digits as x^-2."""
    import miepython

    exact = complex(mie_reference(SILICA, 1e-4)[1])
    assert abs(miepython.coefficients(SILICA, 1e-4, 1)[1][0] / exact - 1) > 1e-9
    assert abs(particles.mie_coefficients(SILICA, 1e-4)[1][0] / exact - 1) < 1e-14


def test_silicon_sphere_of_the_kerker_pair():
    """90 nm in diameter at 420 nm, n = 5.1 + 0.2i: near the second Kerker condition."""
    size = K_SILICON * R_SILICON
    a, b = particles.mie_coefficients(SILICON, size)
    assert a[0] == pytest.approx(0.0701041 - 0.2369106j, abs=1e-6)
    assert b[0] == pytest.approx(0.0918969 + 0.1787674j, abs=1e-6)
    assert abs(a[0]) / abs(a[1]) == pytest.approx(58, abs=0.5)
    assert abs(b[0]) / abs(b[1]) == pytest.approx(95, abs=0.5)
    assert particles.neglected_multipoles(SILICON, size) == near(abs(a[1]) / abs(a[0]), 1e-12)
    particle = polarizability.mie(R_SILICON, SILICON, K_SILICON)
    np.testing.assert_allclose(particle.electric, np.eye(3) * (1.33381 + 0.39469j) * 1e-21, rtol=1e-5)
    np.testing.assert_allclose(particle.magnetic, np.eye(3) * (-1.00646 + 0.51738j) * 1e-21, rtol=1e-5)
    small = polarizability.rayleigh(R_SILICON, SILICON)
    np.testing.assert_allclose(small.electric, np.eye(3) * (1.022938 + 0.008911j) * 1e-21, rtol=1e-4)
    assert abs(a[0] + b[0]) ** 2 / abs(a[0] - b[0]) ** 2 == pytest.approx(0.1710, abs=1e-4)  # forward over backward
    electric, magnetic = particle.electric[0, 0], particle.magnetic[0, 0]
    recoil = K_SILICON**4 / (6 * math.pi) * (electric.conj() * magnetic).real
    dipoles = (particle.extinction(K_SILICON, PLANE_WAVE) - recoil) * 1.3e9 / constants.c
    assert dipoles == near(7.2282e-14, rel=1e-5)
    pressure = particles.efficiencies(SILICON, size).pressure
    assert pressure * math.pi * R_SILICON**2 * 1.3e9 / constants.c == near(dipoles, rel=5e-4)  # quadrupoles add 0.04 %


def test_efficiencies_are_those_of_the_dipoles_and_little_more():
    size = K_SILICON * R_SILICON
    exact, particle = particles.efficiencies(SILICON, size), polarizability.mie(R_SILICON, SILICON, K_SILICON)
    area = math.pi * R_SILICON**2
    a, b = particles.mie_coefficients(SILICON, size, 4)
    weight = 2 * np.arange(1, 5) + 1
    rest = 2 / size**2 * (weight * (a + b).real)[1:].sum()
    assert particle.extinction(K_SILICON) / area + rest == near(exact.extinction, 1e-9)
    rest = 2 / size**2 * (weight * (abs(a) ** 2 + abs(b) ** 2))[1:].sum()
    assert particle.scattering(K_SILICON, PLANE_WAVE) / area + rest == near(exact.scattering, 1e-9)
    assert exact.extinction > exact.scattering
    transparent = particles.efficiencies(SILICA, 0.6)
    assert transparent.extinction == near(transparent.scattering, 1e-9)
    assert particles.efficiencies(1.0, 0.6).scattering == pytest.approx(0.0, abs=1e-15)
    assert particles.neglected_multipoles(1.0, 0.05) == 0.0


# --- energy -----------------------------------------------------------------------------------------------------------


def random_particle(seed, *, passive=False):
    rng = np.random.default_rng(seed)
    e, m = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3))
    if passive:  # a static part that absorbs, driven by its own radiation
        e, m = ((x + x.conj().T) / 2 + 1j * x @ x.conj().T / 5 for x in (e, m))
        return Polarizability(e * 1e-21, m * 1e-21).with_radiation_reaction(K_SILICON)
    return Polarizability(e * 1e-21, m * 1e-21)


def plane_wave(direction, polarization):
    electric = np.cross(np.cross(direction, polarization), direction).astype(complex)
    return np.concatenate([electric, np.cross(direction, electric)])


def amplitude(particle, direction, field, k):
    """Far field of the dipoles along some directions: E = amplitude exp(ikr)/r."""
    dipole = particle.matrix @ field
    p, m = dipole[:3], dipole[3:]
    return k**2 / (4 * math.pi) * (p - direction * (direction @ p)[..., None] - np.cross(direction, m))


def test_cross_sections_are_those_of_the_far_field():
    """Extinction from the forward amplitude, scattering from all directions."""
    particle, k = random_particle(4), K_SILICON
    direction = np.array([0.36, 0.48, 0.8])
    field = plane_wave(direction, np.array([1.0, 2j, 0.3]))
    square = np.vdot(field[:3], field[:3]).real
    forward = amplitude(particle, direction, field, k)
    optical_theorem = 4 * math.pi / k * np.vdot(field[:3], forward).imag / square
    assert particle.extinction(k, field) == near(optical_theorem, 1e-12)
    conjugated = Polarizability(particle.electric.conj(), particle.magnetic.conj())
    assert conjugated.extinction(k, field) != near(optical_theorem, 0.1)  # the twin

    u, weight = np.polynomial.legendre.leggauss(6)
    phi = 2 * math.pi * np.arange(8) / 8
    sine = np.sqrt(1 - u**2)[:, None]
    normal = np.stack(np.broadcast_arrays(sine * np.cos(phi), sine * np.sin(phi), u[:, None]), axis=-1)
    power = (np.abs(amplitude(particle, normal, field, k)) ** 2).sum(axis=-1)
    total = np.einsum("u,up->", weight, power) * 2 * math.pi / 8 / square
    assert particle.scattering(k, field) == near(total, 1e-12)
    assert particle.scattering(k, 7j * field) == near(total, 1e-12)
    difference = particle.extinction(k, field) - particle.scattering(k, field)
    assert particle.absorption(k, field) == near(difference, 1e-10)


def test_means_are_over_directions_and_polarizations():
    particle, k = random_particle(5), K_SILICON
    u, weight = np.polynomial.legendre.leggauss(4)
    mean = np.zeros(3)
    for cosine, share in zip(u, weight / 2 / 6 / 2, strict=True):
        for angle in 2 * math.pi * np.arange(6) / 6:
            sine = math.sqrt(1 - cosine**2)
            direction = np.array([sine * math.cos(angle), sine * math.sin(angle), cosine])
            first = np.cross(direction, [0.0, 0.0, 1.0]) / sine
            for polarization in (first, np.cross(direction, first)):
                field = plane_wave(direction, polarization)
                sections = particle.extinction(k, field), particle.scattering(k, field), particle.absorption(k, field)
                mean += share * np.array(sections)
    found = particle.extinction(k), particle.scattering(k), particle.absorption(k)
    np.testing.assert_allclose(found, mean, rtol=1e-12)


def test_ideal_kerker_particles_with_rayleigh_polarizability_break_the_optical_theorem():
    """They scatter 5.4e-15 to 5.6e-15 m^2 more than they take from a plane wave: they would need gain."""
    electric = polarizability.rayleigh(R_SILICON, SILICON).electric
    second, first = polarizability.kerker_second(electric), polarizability.kerker_first(electric)
    assert second.extinction(K_SILICON, PLANE_WAVE) == pytest.approx(0.0, abs=1e-24)
    assert -5.6e-15 < second.absorption(K_SILICON, PLANE_WAVE) < -5.4e-15
    assert first.absorption(K_SILICON, PLANE_WAVE) == near(-5.3e-15, 0.01)
    assert second.gain(K_SILICON) > 0.9
    assert "needs optical gain" in second.gain_note(K_SILICON)
    real = polarizability.mie(R_SILICON, SILICON, K_SILICON)
    assert np.linalg.eigvalsh(real.absorption_matrix(K_SILICON))[0] > 0
    assert real.gain_note(K_SILICON) is None
    assert real.gain(K_SILICON) == 0.0


def test_kerker_conditions_silence_one_direction():
    forward, backward = np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])
    field = plane_wave(forward, np.array([0, 1.0, 0]))
    for make, silent, loud in (
        (polarizability.kerker_first, backward, forward),
        (polarizability.kerker_second, forward, backward),
    ):
        particle = make(1e-21 + 1e-23j)
        assert np.abs(amplitude(particle, silent, field, K_SILICON)).max() < 1e-20
        assert np.abs(amplitude(particle, loud, field, K_SILICON)).max() > 1e-8
    reacting = polarizability.radiation_corrected(R_SILICON, SILICON, K_SILICON).electric
    assert polarizability.kerker_first(reacting).gain_note(K_SILICON) is None
    assert polarizability.kerker_second(reacting).gain(K_SILICON) > 0.3  # no passive particle is one


def test_radiation_reaction_makes_lossless_particles_lossless():
    turn = Rotation.from_quat([0.1, 0.7, -0.3, 0.5])
    static = polarizability.ellipsoid([30e-9, 60e-9, 90e-9], SILICA, turn)
    assert static.gain(K_SILICA) == near(1.0, 1e-9)  # it scatters for nothing
    for particle in (
        static.with_radiation_reaction(K_SILICA),
        polarizability.size_corrected([30e-9, 60e-9, 90e-9], SILICA, K_SILICA, turn),
        polarizability.mie(R_SILICA, SILICA, K_SILICA),
    ):
        assert particle.extinction(K_SILICA) == near(particle.scattering(K_SILICA), 1e-12)
        assert particle.gain_note(K_SILICA) is None
    flipped = np.linalg.inv(np.linalg.inv(static.electric) + 1j * K_SILICA**3 / (6 * math.pi) * np.eye(3))
    assert Polarizability(flipped, np.zeros((3, 3))).gain_note(K_SILICA) is not None  # the twin: the other sign


def test_radiation_reaction_of_a_sphere_is_the_scalar_formula():
    static = polarizability.rayleigh(R_SILICON, SILICON).electric[0, 0]
    found = polarizability.radiation_corrected(R_SILICON, SILICON, K_SILICON)
    expected = static / (1 - 1j * K_SILICON**3 * static / (6 * math.pi))
    np.testing.assert_allclose(found.electric, expected * np.eye(3), rtol=1e-13)
    assert not found.magnetic.any()
    # what it absorbs is what the static one takes from the field inside, light of its own included
    inside = abs(expected / static) ** 2
    assert found.absorption(K_SILICON) == near(K_SILICON / 3 * 3 * static.imag * inside, 1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_passive_particles_stay_passive(seed):
    assert random_particle(seed, passive=True).gain(K_SILICON) == 0.0
    assert random_particle(seed).gain(K_SILICON) > 0.01
    rng = np.random.default_rng(seed)
    axes, index = rng.uniform(10e-9, 150e-9, 3), complex(rng.uniform(0.1, 5), rng.uniform(0, 3))
    turn = Rotation.from_quat(rng.normal(size=4))
    assert polarizability.size_corrected(axes, index, K_SILICON, turn).gain_note(K_SILICON) is None
    assert polarizability.mie(axes[0], index, K_SILICON).gain_note(K_SILICON) is None


def test_gain_is_relative():
    particle = random_particle(7)
    small = Polarizability(particle.electric * 1e-9, particle.magnetic * 1e-9)
    assert 0.0 < small.gain(K_SILICON) <= 1.0
    nothing = Polarizability(np.zeros((3, 3)), np.zeros((3, 3)))
    assert nothing.gain(K_SILICON) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: particles.depolarization_factors([1.0, 0.0, 1.0]), "`semi_axes` must be positive"),
        (lambda: particles.ellipsoid_volume([1.0, 1.0]), "`semi_axes` must have shape"),
        (lambda: polarizability.rayleigh(-1e-9, 1.45), "`radius` must be positive"),
        (lambda: polarizability.rayleigh(1e-9, 1.45 - 0.1j), "a positive imaginary part absorbs"),
        (lambda: polarizability.rayleigh(1e-9, 1j * math.sqrt(2.0) * (1 + 1e-320)), "too large or too small"),
        (lambda: polarizability.mie(1e-7, 1.45, 0.0), "`wavenumber` must be positive"),
        (lambda: polarizability.mie(1e-7, "glass", 1e7), "`index` must be an array of numbers"),
        (lambda: polarizability.ellipsoid([1e-7] * 3, 1.45, np.eye(3)), "`rotation` must be one scipy Rotation"),
        (lambda: Polarizability(np.eye(2), np.eye(3)), "`electric` must have shape"),
        (lambda: Polarizability(np.eye(3), np.full((3, 3), np.nan)), "`magnetic` must be finite"),
        (lambda: polarizability.kerker_first(np.eye(2)), "`electric` must have shape"),
        (lambda: random_particle(1).extinction(1e7, np.zeros(6)), "`field` must not be zero"),
        (lambda: random_particle(1).scattering(-1e7), "`wavenumber` must be positive"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ScenarioError, match=words):
        call()


def test_polarizabilities_are_read_only():
    particle = polarizability.rayleigh(1e-9, 1.45)
    with pytest.raises(ValueError, match="read-only"):
        particle.electric[0, 0] = 0
    with pytest.raises(AttributeError):
        particle.electric = np.eye(3)
