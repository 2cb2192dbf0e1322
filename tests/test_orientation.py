"""Torques as particles turn, against turned particles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import constants
from scipy.spatial.transform import Rotation

from stochbind import errors
from stochbind.optics import orientation, particles, polarizability
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.waves import PlaneWave, circular

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


def test_bad_input():
    with pytest.raises(errors.ScenarioError, match="inertia"):
        orientation.libration_rates(np.zeros((1, 3, 3)), -np.eye(3)[None])
