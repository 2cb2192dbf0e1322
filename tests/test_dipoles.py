"""Forces and torques of light on dipoles, against the Maxwell stress tensor, textbooks, other codes and the papers."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy import constants
from scipy.spatial.transform import Rotation

from dipole_arrays import (
    OBLIQUE,
    REACTION,
    SCATTERING,
    WAVELENGTH,
    K,
    array,
    crossed,
    directions,
    largest_difference,
    on_sphere,
    places,
    plane,
    radiated,
    real_tensors,
    tensors,
)
from stochbind.errors import ScenarioError
from stochbind.optics import green, kerker, linearised, polarizability, reciprocity, rows, waves
from stochbind.optics.dipoles import Dipoles

DATA = Path(__file__).parent / "data"
EPS = constants.epsilon_0
#: The light of Jazayeri et al.: 420 nm and 1.3 mW per square micrometre.
BLUE = 420e-9
K_BLUE = 2 * math.pi / BLUE
AMPLITUDE = waves.amplitude_of_intensity(1.3e9)
SILICON = polarizability.mie(45e-9, 5.1 + 0.2j, K_BLUE)


def two_waves():
    """Exact solutions of Maxwell's equations, which a tweezer is not."""
    return waves.Superposition((plane(), plane(OBLIQUE, angle=0.9, amplitude=7e5, phase=1.3)))


def one(light, electric, magnetic=None, **more):
    """A single particle of isotropic polarizability."""
    eye = np.eye(3)[None]
    return Dipoles(
        light=light, polarizability=electric * eye, magnetic=None if magnetic is None else magnetic * eye, **more
    )


# The Maxwell stress tensor


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("scattering", ["one_event", "multiple"])
def test_forces_and_torques_are_those_of_the_stress_tensor(scattering, magnetic):
    """Of the light, the particle's own dipole, and the field that the others' sources make, on a sphere around it.

    Self-consistent dipoles are the sources as well. With one event, the others' sources are the dipoles that the light
    alone induces, and the particle's own dipole is the one induced by light and scattered field: no field of Maxwell
    for all particles at once, but one for each.
    """
    light, place = two_waves(), places(3)
    found_array = array(3, light=light, magnetic=magnetic, scattering=scattering, size=3e-21)
    solution = found_array.solve(place)
    force, torque = found_array.force(place), found_array.torque(place)
    for j in range(3):
        own = [(place[j], solution.dipole[j])]
        others = [(place[k], solution.source[k]) for k in range(3) if k != j]
        expected = on_sphere(light, own + others, place[j], 0.17e-6, 30)
        assert largest_difference(force[j], expected[0]) < 1e-11
        assert largest_difference(torque[j], expected[1]) < 1e-11
        if magnetic:  # twin: the recoil of electric and magnetic dipole together is seen
            p, m = solution.dipole[j, :3], solution.dipole[j, 3:]
            recoil = EPS * K**4 / (12 * math.pi) * np.cross(p.conj(), m).real
            assert largest_difference(force[j] + recoil, expected[0]) > 1e-3
    if scattering == "multiple":
        np.testing.assert_allclose(solution.source, solution.dipole, rtol=1e-12)
        twin = array(3, light=light, magnetic=magnetic, scattering="one_event", size=3e-21).force(place)
        assert largest_difference(twin, force) > 1e-4


def test_single_scattering_is_the_first_order_of_one_event():
    """Weak particles: the difference is second order in the scattered field, the first order itself is not."""
    light, place = crossed(), places(3)
    ratio = []
    for size in (1e-23, 1e-24):
        single, event = (array(3, light=light, scattering=s, size=size).force(place) for s in ("single", "one_event"))
        whole = array(3, light=light, size=size)
        alone = np.concatenate([one_of(whole, j).force(place[j : j + 1]) for j in range(3)])
        ratio.append(np.abs(single - event).max() / np.abs(single - alone).max())
    assert ratio[0] < 1e-1
    assert ratio[0] / ratio[1] == pytest.approx(10, rel=0.1, abs=0)


def one_of(dipoles, j):
    """Particle j of an array, alone."""
    magnetic = None if dipoles.magnetic is None else dipoles.magnetic[j : j + 1]
    return Dipoles(
        light=dipoles.light,
        polarizability=dipoles.polarizability[j : j + 1],
        magnetic=magnetic,
        radiation_reaction=dipoles.radiation_reaction,
    )


@pytest.mark.parametrize("magnetic", [False, True])
def test_forces_add_up_to_the_momentum_that_the_light_loses(magnetic):
    """Plane wave: momentum taken out of the beam, by the optical theorem, less that of the light scattered far away."""
    light, place = plane(OBLIQUE, amplitude=1e6), places(3)
    dipoles = array(3, light=light, magnetic=magnetic, size=3e-21)
    force = dipoles.force(place)
    solution = dipoles.solve(place)
    n, weight = directions(40)

    def amplitude(n):
        """Far field over exp(ikr)/r."""
        total = np.zeros((len(n), 3), dtype=complex)
        for at, dipole in zip(place, solution.dipole, strict=True):
            p, m = dipole[:3], dipole[3:] if magnetic else np.zeros(3)
            out = p - n * (n @ p)[:, None] - np.cross(n, m)
            total += K**2 / (4 * math.pi) * np.exp(-1j * K * n @ at)[:, None] * out
        return total

    scattered = 0.5 * EPS * weight * np.sum(np.abs(amplitude(n)) ** 2, axis=-1)
    forward = amplitude(light.direction[None])[0]
    taken = 0.5 * EPS * 4 * math.pi / K * np.vdot(1e6 * light.polarization, forward).imag
    expected = taken * light.direction - scattered @ n
    np.testing.assert_allclose(force.sum(axis=0), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    backward = taken * light.direction + scattered @ n
    assert largest_difference(backward, expected) > 0.01
    # The far field is that of Jackson's dipoles.
    near = sum(np.asarray(radiated(1e6 / K * n - at, d).electric) for at, d in zip(place, solution.dipole, strict=True))
    np.testing.assert_allclose(
        np.abs(near) * 1e6 / K, np.abs(amplitude(n)), rtol=0, atol=1e-4 * np.abs(near).max() * 1e6
    )


def test_without_light_no_force_and_scaling_with_intensity():
    place = places(3)
    dark = array(3, light=plane(amplitude=0.0))
    assert not dark.force(place).any()
    force, double = (array(3, light=plane(amplitude=a)).force(place) for a in (1e6, 2e6))
    np.testing.assert_allclose(double, 4 * force, rtol=1e-12)


@pytest.mark.parametrize("scattering", SCATTERING)
def test_turning_everything_turns_the_forces(scattering):
    """Light, places and tensors rotated together: forces and torques rotate, and only together."""
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    place, wave = places(3), plane(OBLIQUE)
    turned_wave = waves.PlaneWave(WAVELENGTH, turn @ wave.direction, turn @ wave.polarization, wave.amplitude)
    electric, magnetic = tensors(3, 5), tensors(3, 6)
    before = Dipoles(light=wave, polarizability=electric, magnetic=magnetic, scattering=scattering)
    after = Dipoles(
        light=turned_wave,
        polarizability=turn @ electric @ turn.T,
        magnetic=turn @ magnetic @ turn.T,
        scattering=scattering,
    )
    for name in ("force", "torque"):
        expected = getattr(before, name)(place) @ turn.T
        assert largest_difference(getattr(after, name)(place @ turn.T), expected) < 1e-12
        unturned = Dipoles(light=turned_wave, polarizability=electric, magnetic=magnetic, scattering=scattering)
        assert largest_difference(getattr(unturned, name)(place @ turn.T), expected) > 0.01  # twin


# One particle


def riccati(x, index):
    """Mie's a1 and b1 from spherical Bessel functions with 40 digits."""
    with mpmath.workdps(40):

        def psi(z):
            return mpmath.sin(z) / z - mpmath.cos(z)

        def xi(z):
            return psi(z) - 1j * (mpmath.cos(z) / z + mpmath.sin(z))

        x, m = mpmath.mpf(x), mpmath.mpc(index)
        y = m * x
        slope = {z: mpmath.diff(psi, z) for z in (x, y)}
        outgoing = mpmath.diff(xi, x)
        a = (m * psi(y) * slope[x] - psi(x) * slope[y]) / (m * psi(y) * outgoing - xi(x) * slope[y])
        b = (psi(y) * slope[x] - m * psi(x) * slope[y]) / (psi(y) * outgoing - m * xi(x) * slope[y])
        return complex(a), complex(b)


def test_force_on_a_mie_dipole_is_mie_radiation_pressure():
    """Q_pr = 6 Re(a1 + b1 - a1 b1*)/x^2 for the dipoles alone (Bohren and Huffman, section 4.5)."""
    radius, index = 45e-9, 5.1 + 0.2j
    x = K_BLUE * radius
    a, b = riccati(x, index)
    pressure = 6 / x**2 * (a + b - a * b.conjugate()).real
    light = waves.PlaneWave(BLUE, (0, 0, 1), waves.elliptical(0.3, 0.2, (0, 0, 1)), AMPLITUDE)
    force = one(light, SILICON.electric[0, 0], SILICON.magnetic[0, 0]).force(np.zeros((1, 3)))[0]
    expected = 1.3e9 / constants.c * math.pi * radius**2 * pressure
    assert force[2] == pytest.approx(expected, rel=1e-11, abs=0)
    assert force[2] == pytest.approx(7.2282e-14, rel=1e-4, abs=0)
    assert np.abs(force[:2]).max() < 1e-15 * force[2]
    with_wrong_sign = 1.3e9 / constants.c * math.pi * radius**2 * 6 / x**2 * (a + b + a * b.conjugate()).real
    assert abs(force[2] / with_wrong_sign - 1) > 0.05  # twin


def test_forces_of_kerker_particles_alone():
    """Rayleigh's polarizability: 1.206e-14 N (second Kerker), 5.78e-16 N (electric), and a first Kerker is pulled."""
    alpha = polarizability.rayleigh(45e-9, 5.1 + 0.2j).electric[0, 0]
    light = waves.PlaneWave(BLUE, (1, 0, 0), (0, 1, 0), AMPLITUDE)
    found = {ratio: one(light, alpha, ratio * alpha).force(np.zeros((1, 3)))[0, 0] for ratio in (-1, 0, 1)}
    assert found[-1] == pytest.approx(1.206e-14, rel=1e-3, abs=0)
    assert found[0] == pytest.approx(5.78e-16, rel=1e-3, abs=0)
    assert found[1] == pytest.approx(-1.090e-14, rel=1e-3, abs=0)
    assert rows.isolated_force(alpha, alpha, K_BLUE, AMPLITUDE)[0] == pytest.approx(found[1], rel=1e-12, abs=0)


def test_force_along_the_gradient_of_the_intensity():
    """A real polarizability in a standing wave: -grad of -(eps0 alpha/4)|E|^2 (Rudolph et al., (7) with the square)."""
    alpha, place = 3e-21, np.array([[0.0, 0.0, 0.11e-6]])
    light = waves.standing_wave(waves.PlaneWave(WAVELENGTH, (0, 0, 1), (1, 0, 0), 1e6))
    force = one(light, alpha).force(place)[0, 2]
    slope = np.vdot(light.at(place).value[0, :3], light.at(place).gradient[0, 2, :3]).real * 2
    assert force == pytest.approx(EPS * alpha / 4 * slope, rel=1e-12, abs=0)
    assert force == pytest.approx(-EPS * alpha * 1e12 * K * math.sin(2 * K * place[0, 2]), rel=1e-12, abs=0)


@pytest.mark.parametrize("far_field", [False, True])
def test_single_scattering_forces_of_real_polarizabilities(far_field):
    """Rudolph et al. (7), with |E|^2: differences of (eps0/4) alpha |E|^2 and (eps0/2) Re E_j* alpha G alpha E_k."""
    n, place, light = 3, places(3), crossed()
    alpha = real_tensors(n)
    dipoles = Dipoles(light=light, polarizability=alpha, scattering="single", far_field=far_field)
    sources = np.einsum("nij,nj->ni", alpha, light.at(place).value[:, :3])

    def tensor(j, k, at):
        if not far_field:
            return green.electric(at - place[k], K)
        # Far away the scattered light is a plane wave, as seen by a particle that moves a little.
        r = np.linalg.norm(place[j] - place[k])
        u = (place[j] - place[k]) / r
        return K**2 * np.exp(1j * K * u @ (at - place[k])) / (4 * math.pi * r) * (np.eye(3) - np.outer(u, u))

    def potential(j, at, power):
        field = light.at(at[None]).value[0, :3]
        own = alpha[j] @ field
        shared = sum(np.vdot(own, tensor(j, k, at) @ sources[k]).real for k in range(n) if k != j)
        size = np.vdot(field, own).real
        return EPS * (0.25 * size ** (power / 2) + 0.5 * shared)

    def forces(power):
        result = np.empty((n, 3))
        for j in range(n):
            for a, axis in enumerate(1e-9 * np.eye(3)):
                f = [potential(j, place[j] + c * axis, power) for c in (-2, -1, 1, 2)]
                result[j, a] = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-9
        return result

    found = dipoles.force(place)
    assert largest_difference(found, forces(2)) < 1e-9
    assert largest_difference(found, forces(1)) > 0.5  # twin: as printed, without the square


# Pairs, and the papers


@pytest.mark.parametrize(("events", "scattering"), [(1, "one_event"), (None, "multiple")])
@pytest.mark.parametrize("case", ["Mie", "second Kerker", "first Kerker", "electric"])
def test_rows_along_the_wave_agree_with_the_scalar_equations(case, events, scattering):
    """Jazayeri et al. (3)-(5) for three particles, against the vectors; the Jacobian along the row as well."""
    rayleigh = polarizability.rayleigh(45e-9, 5.1 + 0.2j).electric[0, 0]
    electric, magnetic = {
        "Mie": (SILICON.electric[0, 0], SILICON.magnetic[0, 0]),
        "second Kerker": (rayleigh, -rayleigh),
        "first Kerker": (rayleigh, rayleigh),
        "electric": (rayleigh, 0.0),
    }[case]
    x = np.array([0.0, 171e-9, 480e-9])
    factor = np.array([1.0, 0.7, 1.2])
    expected = rows.row_forces(x, electric * factor, magnetic * factor, K_BLUE, AMPLITUDE, events=events)
    eye = factor[:, None, None] * np.eye(3)
    light = waves.PlaneWave(BLUE, (1, 0, 0), (0, 1, 0), AMPLITUDE)
    dipoles = Dipoles(light=light, polarizability=electric * eye, magnetic=magnetic * eye, scattering=scattering)
    place = np.outer(x, [1.0, 0.0, 0.0])
    force = dipoles.force(place)
    assert largest_difference(force[:, 0], expected.isolated + expected.interaction) < 1e-12
    assert np.abs(force[:, 1:]).max() < 1e-13 * np.abs(force).max()
    jacobian = linearised.jacobian(dipoles, place).reshape(3, 3, 3, 3)[:, 0, :, 0]
    assert largest_difference(jacobian, expected.jacobian) < 1e-11
    assert largest_difference(jacobian.T, expected.jacobian) > 0.1  # twin
    other = rows.row_forces(x, electric * factor, magnetic * factor, K_BLUE, AMPLITUDE, events=0 if events else 1)
    assert largest_difference(force[:, 0], other.isolated + other.interaction) > 1e-3  # twin: another order


def non_reciprocity(light, electric, separation):
    """Factors of order zero (3,) and one (3, 3) of a pair, along x, y, z."""
    place = np.array([np.zeros(3), separation])
    dipoles = Dipoles(light=light, polarizability=electric)
    alone = np.concatenate([one_of(dipoles, j).force(place[j : j + 1]) for j in range(2)])
    interaction = dipoles.force(place) - alone
    # In a plane wave the force on a particle alone is the same everywhere.
    by_a = linearised.jacobian(dipoles, place).reshape(2, 3, 2, 3)[:, :, 0]
    return reciprocity.zeroth(*interaction), reciprocity.first(*by_a)


@pytest.mark.parametrize("distance", [200e-9, 430e-9, 910e-9])
def test_symmetries_of_two_electric_dipoles_side_by_side(distance):
    """Jazayeri et al., section III, Fig. 2(a): along x reciprocal, along y anything but; and what breaks that."""
    alpha = SILICON.electric[0, 0] * np.eye(3) * np.ones((2, 1, 1))
    separation = np.array([distance, 0.0, 0.0])
    light = waves.PlaneWave(BLUE, (0, 1, 0), (0, 0, 1), AMPLITUDE)
    zeroth, first = non_reciprocity(light, alpha, separation)
    found = [zeroth[0], first[0, 0], zeroth[1], first[1, 0], first[0, 1], first[1, 1]]
    np.testing.assert_allclose(found, [0, 0, 1, 1, 1, 0], atol=1e-9)
    # Fig. 2(b): a phase between the two, by a wave that comes at an angle; (c): a wave along the pair; and unlike ones.
    at_an_angle = waves.PlaneWave(BLUE, (0.5, math.sqrt(0.75), 0), (0, 0, 1), AMPLITUDE)
    along = waves.PlaneWave(BLUE, (1, 0, 0), (0, 0, 1), AMPLITUDE)
    unlike = alpha * np.array([1.0, 0.6 + 0.2j])[:, None, None]
    for other, particles in ((at_an_angle, alpha), (along, alpha), (light, unlike)):
        assert non_reciprocity(other, particles, separation)[1][0, 0] > 0.01


def test_second_kerker_pair_is_one_way():
    """Jazayeri et al., section IV: A feels B, B hardly A; turning the wave round exchanges the two."""
    alpha = polarizability.rayleigh(45e-9, 5.1 + 0.2j).electric * np.ones((2, 1, 1))
    place = np.array([[0.0, 0, 0], [400e-9, 0, 0]])
    found = []
    for way in (1, -1):
        light = waves.PlaneWave(BLUE, (way, 0, 0), (0, 1, 0), AMPLITUDE)
        dipoles = Dipoles(light=light, polarizability=alpha, magnetic=-alpha, scattering="one_event")
        found.append(dipoles.force(place)[:, 0] - one_of(dipoles, 0).force(place[:1])[0, 0])
    assert found[0][0] == pytest.approx(-8.02e-15, rel=1e-3, abs=0)
    assert found[0][1] == pytest.approx(0.082e-15, rel=1e-2, abs=0)
    np.testing.assert_allclose(found[1], -found[0][::-1], rtol=1e-10)
    pair = kerker.pair_forces(400e-9, alpha[0, 0, 0], -alpha[0, 0, 0], K_BLUE, AMPLITUDE)
    np.testing.assert_allclose(found[0], [pair.force_a, pair.force_b], rtol=1e-10)


# Torques


def test_torque_on_an_ellipsoid_turns_it_towards_the_field():
    """Rudolph et al. (17b): (eps0/4)(alpha_par - alpha_perp)|E|^2 sin 2 theta, until its long axis is along E."""
    light = waves.PlaneWave(WAVELENGTH, (0, 0, 1), (1, 0, 0), 1e6)

    def torque(theta, index=1.5):
        turn = Rotation.from_rotvec([0, 0, theta])
        found = polarizability.ellipsoid([90e-9, 40e-9, 40e-9], index, turn)
        dipoles = Dipoles(light=light, polarizability=found.electric[None], radiation_reaction=False)
        return dipoles.torque(np.zeros((1, 3)))[0]

    long, short = np.diag(polarizability.ellipsoid([90e-9, 40e-9, 40e-9], 1.5).electric.real)[:2]
    assert long > 1.2 * short
    for theta in (0.2, 0.7, 1.4, 2.0):
        expected = -EPS / 4 * (long - short) * 1e12 * math.sin(2 * theta)
        np.testing.assert_allclose(torque(theta), [0, 0, expected], rtol=1e-12, atol=1e-12 * abs(expected))
    step = 1e-3
    assert (torque(step)[2] - torque(-step)[2]) / (2 * step) < 0  # stable
    assert (torque(math.pi / 2 + step)[2] - torque(math.pi / 2 - step)[2]) / (2 * step) > 0  # across the field: not


@pytest.mark.parametrize("handedness", [1, -1])
def test_circular_light_turns_what_absorbs(handedness):
    """The absorbed power over the frequency; nothing without absorption, which takes the angular momentum radiated."""
    light = waves.PlaneWave(WAVELENGTH, OBLIQUE, waves.circular(OBLIQUE, handedness), 1e6)
    origin, omega = np.zeros((1, 3)), constants.c * K
    scale = EPS * 1e12 * 3e-21
    spin = np.cross(light.polarization.conj(), light.polarization).imag @ light.direction  # +-1 photon by photon
    for static in (3e-21, 3e-21 + 0.4e-21j):
        alpha = static / (1 - 1j * REACTION * static)
        absorbed = K * (alpha.imag - REACTION * abs(alpha) ** 2) * light_intensity(1e6)
        found = one(light, alpha).torque(origin)[0]
        np.testing.assert_allclose(found, spin * absorbed / omega * light.direction, rtol=0, atol=1e-14 * scale)
        assert absorbed > 0.01 * scale * omega if static.imag else abs(absorbed) < 1e-14 * scale * omega
        twin = one(light, alpha, radiation_reaction=False).torque(origin)[0]
        assert np.abs(twin - found).max() > 1e-3 * scale  # the light scattered takes nothing away
    # The magnetic dipole takes its share by the same rule.
    both = one(light, 0j, alpha).torque(origin)[0]
    np.testing.assert_allclose(both, found, rtol=1e-12)
    assert abs(spin) == pytest.approx(1.0, abs=1e-14)


def light_intensity(amplitude):
    return 0.5 * EPS * constants.c * amplitude**2


def test_torque_to_first_order_in_the_scattered_field():
    """ "single" is of first and second order in the polarizabilities, and what a small factor leaves of one event."""
    place = places(3)

    def torque(size, scattering="single"):
        return array(3, scattering=scattering, size=size, radiation_reaction=False).torque(place)

    # Of a T + b T^2, three sizes determine each other.
    one_size, two, three = (torque(size * 4e-21) for size in (1, 2, 3))
    assert largest_difference(3 * two - 3 * one_size, three) < 1e-12
    event = [torque(size * 4e-21, "one_event") for size in (1, 2, 3)]
    assert largest_difference(3 * event[1] - 3 * event[0], event[2]) > 1e-3  # twin: third order and above
    whole = array(3, size=1e-24, radiation_reaction=False)
    alone = np.concatenate([one_of(whole, j).torque(place[j : j + 1]) for j in range(3)])
    first_order = np.abs(torque(1e-24) - alone).max()
    assert np.abs(torque(1e-24) - torque(1e-24, "one_event")).max() < 0.01 * first_order


# Other codes


def reference(name):
    found = json.loads((DATA / "miepy_clusters.json").read_text())["clusters"][name]
    k = 2 * math.pi / found["wavelength"]
    spheres = [polarizability.mie(r, complex(*i), k) for r, i in zip(found["radius"], found["index"], strict=True)]
    polarization = [*(complex(*part) for part in found["polarization"]), 0]
    dipoles = Dipoles(
        light=waves.PlaneWave(found["wavelength"], (0, 0, 1), polarization, 1.0),
        polarizability=[s.electric for s in spheres],
        magnetic=[s.magnetic for s in spheres],
        radius=found["radius"],
    )
    return found, dipoles


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("silicon pair along the wave", 0.022), ("silica pair across the wave", 0.015), ("three unequal spheres", 0.009)],
)
def test_forces_and_torques_of_miepy(name, left_out):
    """Multi-sphere Mie theory: the same to 2e-10, a factor from constants, with dipoles alone; `left_out` with all."""
    found, dipoles = reference(name)
    for place, alone, whole in zip(found["position"], found["dipoles"], found["whole"], strict=True):
        force, torque = dipoles.force(place), dipoles.torque(place)
        assert largest_difference(force, np.array(alone["force"])) < 3e-10
        if name.startswith("three"):  # by symmetry the others have no torque
            assert largest_difference(torque, np.array(alone["torque"])) < 3e-10
        assert largest_difference(force, np.array(whole["force"])) < left_out
        # Twin: a single event is not what multi-sphere Mie theory has.
        once = Dipoles(
            light=dipoles.light,
            polarizability=dipoles.polarizability,
            magnetic=dipoles.magnetic,
            scattering="one_event",
        )
        assert largest_difference(once.force(place), np.array(alone["force"])) > 1e-5


def test_miepy_gives_what_is_stored(monkeypatch):
    pytest.importorskip("miepy")
    specification = importlib.util.spec_from_file_location("miepy_clusters", DATA / "miepy_clusters.py")
    clusters = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "miepy_clusters", clusters)
    specification.loader.exec_module(clusters)
    name = "three unequal spheres"
    stored, _ = reference(name)
    case = clusters.CLUSTERS[name]
    found = clusters.solved(case, case["position"][0], 2, True)
    np.testing.assert_allclose(found["force"], stored["dipoles"][0]["force"], rtol=1e-8)


# Numerics


@pytest.mark.parametrize("magnetic", [False, True])
def test_adding_up_scattering_events_is_solving_the_equations(magnetic):
    """Forty particles: weak ones are added up, strong ones eliminated; both obey the equations they solve."""
    place = places(40, extent=1.5e-6, spacing=0.45e-6)
    for size in (2e-22, 2e-20):
        dipoles = array(40, magnetic=magnetic, size=size)
        found = dipoles.solve(place)
        field = (dipoles.matrix(place) @ found.source.ravel()).reshape(found.source.shape)
        expected = np.einsum("nij,nj->ni", dipoles.alpha, found.incident + field)
        assert largest_difference(found.source, expected) < 1e-13
        np.testing.assert_allclose(found.scattered, field, rtol=0, atol=1e-13 * np.abs(field).max())


@pytest.mark.parametrize("scattering", SCATTERING)
def test_many_sets_of_places_at_once(scattering):
    place = np.stack([places(4, seed) for seed in range(6)]).reshape(2, 3, 4, 3)
    dipoles = array(4, scattering=scattering)
    for name in ("force", "torque"):
        found = getattr(dipoles, name)(place)
        for i in np.ndindex(2, 3):
            np.testing.assert_allclose(found[i], getattr(dipoles, name)(place[i]), rtol=1e-11, atol=1e-30)


@pytest.mark.parametrize("scattering", SCATTERING)
def test_each_of_many_comes_out_as_it_does_alone(scattering):
    """To the last bit, and however many there are: what trajectories need that do not depend on their batch."""
    rng = np.random.default_rng(3)
    place = places(8, extent=1e-6) + rng.normal(size=(40, 8, 3)) * 1e-9
    dipoles = array(8, scattering=scattering, light=plane())
    force = dipoles.force(place)
    for size in (1, 7, 30):
        np.testing.assert_array_equal(dipoles.force(place[3 : 3 + size]), force[3 : 3 + size])


def test_blocks_of_pairs_change_nothing(monkeypatch):
    place = places(5)
    expected = array(5).force(place)
    monkeypatch.setattr("stochbind.optics.dipoles.PAIRS_AT_ONCE", 7)
    np.testing.assert_allclose(array(5).force(place), expected, rtol=1e-12)


# Refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"polarizability": np.ones((2, 3))}, "`polarizability` must have shape"),
        ({"polarizability": np.full((2, 3, 3), np.nan)}, "`polarizability` must be finite"),
        ({"polarizability": "silica"}, "`polarizability` must"),
        ({"polarizability": np.ones((0, 3, 3))}, "`polarizability` must not be empty"),
        ({"magnetic": np.ones((3, 3, 3))}, "`magnetic` must have shape"),
        ({"radius": [1e-7]}, "`radius` must have shape"),
        ({"radius": [1e-7, -1e-7]}, "`radius` must be zero or positive"),
        ({"scattering": "double"}, "`scattering` must be"),
        ({"far_field": True}, '`far_field` goes with scattering = "single"'),
        ({"far_field": True, "scattering": "one_event"}, "leave it out"),
    ],
)
def test_what_makes_no_array(changes, words):
    arguments = {"light": plane(), "polarizability": np.ones((2, 3, 3)) * 1e-21, **changes}
    with pytest.raises(ScenarioError) as raised:
        Dipoles(**arguments)
    assert words in str(raised.value)
    assert str(raised.value).endswith(".")
    assert str(raised.value).count(". ") == 0


def test_particles_may_be_anywhere_but_at_one_place():
    dipoles = Dipoles(light=plane(), polarizability=np.ones((2, 3, 3)) * 1e-21, radius=[1e-7, 0.6e-7])
    apart = np.array([[0.2e-6, 0, 0], [-0.2e-6, 0, 0]])  # their sum is zero, their difference is not
    assert np.isfinite(dipoles.force(apart)).all()
    for distance, refused in ((1.61e-7, False), (1.59e-7, True)):
        place = 5e-6 + np.array([[0, 0, 0], [0, 0, distance]])
        if refused:
            with pytest.raises(ScenarioError, match="Particles 0 and 1 overlap"):
                dipoles.force(place)
        else:
            dipoles.force(place)


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (np.zeros((2, 3)), "Particles 0 and 1 are at one place"),
        ([[0, 0, 0], [0, 0, 1.5e-7]], "Particles 0 and 1 overlap: their centres are 1.5e-07 m apart"),
        (np.zeros((3, 3)), "`position` must have shape (..., 2, 3), but has shape (3, 3)"),
        (np.zeros(3), "`position` must have shape (..., 2, 3)"),
        ([[0, 0, 0], [0, 0, np.inf]], "`position` must be finite"),
        ("here", "`position` must be an array of numbers"),
        ([[0, 0, 0], [0, 0, 1j]], "`position` must be an array of real numbers"),
        (np.array([[[0, 0, 0], [0, 0, 1e-6]], [[0, 0, 0], [0, 0, 1e-7]]]), "Particles 0 and 1 overlap"),
    ],
)
def test_places_that_cannot_be(position, words):
    radius = [0.0, 0.0] if "one place" in words else [1e-7, 0.6e-7]
    dipoles = Dipoles(light=plane(), polarizability=np.ones((2, 3, 3)) * 1e-21, radius=radius)
    for function in (dipoles.force, dipoles.torque, dipoles.solve):
        with pytest.raises(ScenarioError) as raised:
            function(position)
        assert words in str(raised.value)
        assert str(raised.value).count("\n") == 0
