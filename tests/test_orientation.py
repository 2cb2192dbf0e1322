"""Torques as particles turn, against turned particles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import constants
from scipy.spatial.transform import Rotation

from dipole_arrays import Lit, largest_difference, travelling
from stochbind import errors
from stochbind.optics import orientation, particles, polarizability
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.waves import PlaneWave, circular
from stochbind.scenario import parse

K = 2 * np.pi / 1064e-9
AXES = np.array([60e-9, 85e-9, 50e-9])


def wave(polarization, direction=(0.0, 0.0, 1.0), amplitude=1e7):
    return PlaneWave(1064e-9, np.array(direction), np.array(polarization), amplitude)


def array(rotation, light, scattering="multiple", *, reaction=True):
    make = polarizability.size_corrected if reaction else None
    alpha = make(AXES, 1.45, K, rotation) if make else polarizability.ellipsoid(AXES, 1.45, rotation)
    return Dipoles(light=light, polarizability=alpha.electric[None], scattering=scattering, radiation_reaction=reaction)


@pytest.mark.parametrize("reaction", [True, False])
@pytest.mark.parametrize("polarization", [[0.0, 1.0, 0.0], [1.0, 1j, 0.0], [1.0, 0.3 + 0.4j, 0.0]])
def test_torques_change_as_those_of_turned_particles_do(polarization, reaction):
    start = Rotation.from_rotvec([0.4, -0.7, 1.1])
    light = wave(polarization)
    place = np.array([[1e-7, 2e-7, 3e-7]])
    found = orientation.torque_derivative(array(start, light, reaction=reaction), place)[0]
    step = 1e-4
    for b in range(3):
        turned = []
        for sign in (2, 1, -1, -2):
            rotation = Rotation.from_rotvec(sign * step * np.eye(3)[b]) * start
            turned.append(array(rotation, light, reaction=reaction).torque(place)[0])
        expected = (-turned[0] + 8 * turned[1] - 8 * turned[2] + turned[3]) / (12 * step)
        assert found[:, b] == pytest.approx(expected, rel=1e-8, abs=1e-10 * np.abs(found).max())
        assert np.abs(found[b] - expected).max() > 1e-3 * np.abs(found).max()  # twin: transposed


def anisotropic(seed):
    """An electric and a magnetic polarizability with radiation reaction, (6, 6)."""
    rng = np.random.default_rng(seed)
    result = np.zeros((6, 6), dtype=complex)
    for part in (slice(0, 3), slice(3, 6)):
        turned = Rotation.random(random_state=rng).as_matrix()
        static = turned @ np.diag(rng.uniform(2, 8, 3) * 1e-21 * (1 + 0.1j)) @ turned.T
        result[part, part] = np.linalg.inv(np.linalg.inv(static) - 1j * K**3 / (6 * np.pi) * np.eye(3))
    return result


def twisted(alpha, field):
    """Torque on a dipole of a polarizability in this field, with what its own radiation carries away."""
    dipole = alpha @ field
    whole = field + 1j * K**3 / (6 * np.pi) * dipole
    twist = (np.cross(dipole[part].conj(), whole[part]).real for part in (slice(0, 3), slice(3, 6)))
    return 0.5 * constants.epsilon_0 * sum(twist)


@pytest.mark.parametrize("scattering", ["single", "one_event", "multiple"])
def test_particles_turn_in_the_light_that_others_scatter_to_them(scattering):
    """Each of two electric and magnetic particles is turned in the field it is in, of Jackson's dipoles."""
    direction, electric = [0.0, 0.6, 0.8], 1e7 * np.array([1.0, 0.4j, -0.3j])
    place = np.array([[0.0, 0.0, 0.0], [150e-9, 180e-9, -100e-9]])
    alpha = np.array([anisotropic(seed) for seed in (1, 2)])
    pair = Dipoles(
        light=PlaneWave(1064e-9, direction, electric, np.linalg.norm(electric)),
        polarizability=alpha[:, :3, :3],
        magnetic=alpha[:, 3:, 3:],
        scattering=scattering,
    )
    light = travelling(direction, electric, K)

    def derivative(fields, polarizability):
        step, result = 1e-4, np.zeros((2, 3, 3))
        for j, b in np.ndindex(2, 3):
            for sign, weight in ((2, -1), (1, 8), (-1, -8), (-2, 1)):
                turn = np.kron(np.eye(2), Rotation.from_rotvec(sign * step * np.eye(3)[b]).as_matrix())
                result[j, :, b] += weight / (12 * step) * twisted(turn @ polarizability[j] @ turn.T, fields[j])
        return result

    found = orientation.torque_derivative(pair, place)
    lit, incident = Lit(light, alpha, K), light(place)
    source = lit.dipoles(place) if scattering == "multiple" else np.einsum("nij,nj->ni", alpha, incident)
    scattered = np.array([lit.others(j, place[j], place, source) for j in range(2)])

    def expected(polarizability, first_order=scattering == "single"):
        whole = derivative(incident + scattered, polarizability)
        return whole - derivative(scattered, polarizability) if first_order else whole

    assert largest_difference(found, expected(alpha)) < 1e-9
    electric_only = alpha.copy()
    electric_only[:, 3:, 3:] = 0.0
    # Without others; electric alone; with the second order in the light of others, or without it.
    twins = derivative(incident, alpha), expected(electric_only), expected(alpha, scattering != "single")
    for twin in twins:
        assert largest_difference(found, twin) > 1e-3


def test_the_long_axis_librates_about_the_polarization():
    """An ellipsoid in linear light: N = -eps0/2 (alpha_2 - alpha_1) E^2 theta about the beam."""
    light = wave([0.0, 1.0, 0.0], amplitude=1e7)
    held = array(Rotation.identity(), light, reaction=False)
    derivative = orientation.torque_derivative(held, np.zeros((1, 3)))[0]
    alpha = np.diagonal(polarizability.ellipsoid(AXES, 1.45).electric).real
    expected = -0.5 * constants.epsilon_0 * 1e14 * np.diag([alpha[1] - alpha[2], 0.0, alpha[1] - alpha[0]])
    assert derivative == pytest.approx(expected, rel=1e-10, abs=1e-12 * np.abs(expected).max())
    assert expected[2, 2] < 0
    inertia = particles.moments_of_inertia(AXES, 1850.0 * particles.ellipsoid_volume(AXES))
    rate = orientation.libration_rates(derivative[None], np.diag(inertia)[None])[0]
    wanted = np.sort(np.sqrt(np.maximum(-np.diagonal(expected) / inertia, 0.0)))
    assert rate.real == pytest.approx(wanted, rel=1e-8, abs=1e-6 * wanted.max())
    assert 1e5 < wanted[-1] / (2 * np.pi) < 1e7


def test_the_short_axis_does_not():
    light = wave([1.0, 0.0, 0.0])
    derivative = orientation.torque_derivative(array(Rotation.identity(), light), np.zeros((1, 3)))
    assert np.linalg.eigvalsh(derivative[0] + derivative[0].T)[-1] > 0
    inertia = np.diag(particles.moments_of_inertia(AXES, 1e-18))[None]
    assert np.abs(orientation.libration_rates(derivative, inertia).imag).max() > 0


def test_spheres_and_circular_light():
    """A sphere turns into itself; in circular light an ellipsoid is not held about the beam."""
    sphere = Dipoles(
        light=wave(circular([0, 0, 1], 1)), polarizability=polarizability.mie(70e-9, 1.45, K).electric[None]
    )
    scale = constants.epsilon_0 * 1e14 * 1e-21
    assert np.abs(orientation.torque_derivative(sphere, np.zeros((1, 3)))).max() < 1e-12 * scale
    ellipsoid = array(Rotation.identity(), wave(circular([0, 0, 1], 1)))
    derivative = orientation.torque_derivative(ellipsoid, np.zeros((1, 3)))[0]
    assert abs(derivative[2, 2]) < 1e-9 * np.abs(derivative).max()


ELLIPSOID = """
name = "ellipsoid"
kind = "dipoles"
origin = "given"

[light]
wavelength = "1064 nm"

[[wave]]
kind = "plane"
direction = [0.0, 0.0, 1.0]
polarization = [0.0, 1.0, 0.0]
peak_field = "1e7 V/m"

[gas]
pressure = "1e-3 mbar"
temperature = "300 K"

[[particle]]
semi_axes = ["60 nm", "85 nm", "50 nm"]
density = "1850 kg/m^3"
refractive_index = 1.45
polarizability = "rayleigh"
position = ["0 um", "0 um", "0 um"]
stiffness = ["1 uN/m", "1 uN/m", "1 uN/m"]
"""


class TestEllipsoidsInScenarios:
    mass = 1850.0 * 4 / 3 * np.pi * AXES.prod()

    def test_they_librate_as_rigid_bodies(self):
        """Stiffness eps0/2 (alpha_y - alpha_other) E^2 over the inertia m (a^2 + b^2)/5 about x and z."""
        alpha = np.diagonal(polarizability.ellipsoid(AXES, 1.45).electric).real
        square = []
        for other in (2, 0):
            inertia = self.mass * (AXES[1] ** 2 + AXES[other] ** 2) / 5
            square.append(0.5 * constants.epsilon_0 * 1e14 * (alpha[1] - alpha[other]) / inertia)
        scenario = parse(ELLIPSOID)
        rate = scenario.derived()["libration_angular_frequency"].value[0]
        assert rate[1:] == pytest.approx(np.sort(np.sqrt(square)), rel=1e-8, abs=0)
        assert abs(rate[0]) < 1e-5 * rate[1]  # about the field nothing holds it
        whole = np.trace(scenario.particle[0].inertia)
        assert whole == pytest.approx(2 / 5 * self.mass * (AXES**2).sum(), rel=1e-12, abs=0)

    def test_the_angles_turn_about_z_then_the_new_y_then_the_new_z(self):
        a, b, c = np.radians([20.0, 50.0, 110.0])

        def about_z(angle):
            return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        scenario = parse(ELLIPSOID + 'orientation = ["20 deg", "50 deg", "110 deg"]\n')
        found = scenario.array.parts[0].polarizability[0]
        body = polarizability.ellipsoid(AXES, 1.45).electric
        turn, other_way = about_z(a) @ about_y @ about_z(c), about_z(c) @ about_y @ about_z(a)
        assert largest_difference(found, turn @ body @ turn.T) < 1e-12
        for twin in (other_way, turn.T):  # about fixed axes; from the laboratory to the body
            assert largest_difference(found, twin @ body @ twin.T) > 1e-2
        moments = self.mass / 5 * ((AXES**2).sum() - AXES**2)
        assert largest_difference(scenario.particle[0].inertia, turn @ np.diag(moments) @ turn.T) < 1e-12

    def test_the_gas_holds_them_back_as_spheres_of_their_volume(self):
        """Epstein's law, in a thin gas."""
        molecule = 0.0289647 / constants.N_A
        speed = np.sqrt(2 * np.pi * molecule / (constants.k * 300))
        epstein = 8 / 3 * (1 + np.pi / 8) * speed * AXES.prod() ** (2 / 3) * 0.1
        assert parse(ELLIPSOID).oscillators().friction == pytest.approx([epstein] * 3, rel=1e-3, abs=0)


def test_bad_input():
    with pytest.raises(errors.ScenarioError, match="inertia"):
        orientation.libration_rates(np.zeros((1, 3, 3)), -np.eye(3)[None])
