"""Derivatives of the forces of light against differences of the forces, and against what symmetry demands."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dipole_arrays import (
    OBLIQUE,
    SCATTERING,
    WAVELENGTH,
    K,
    array,
    crossed,
    differences,
    largest_difference,
    places,
    plane,
    real_tensors,
    tensors,
)
from stochbind.errors import ScenarioError
from stochbind.optics import binding, linearised, waves
from stochbind.optics.dipoles import Dipoles

#: Of differences of fourth order with this step: h^4 of the fifth derivative, and round-off over h.
STEP, ACCURACY = 2e-10, 2e-9


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("scattering", SCATTERING)
def test_jacobian_is_the_derivative_of_the_forces(scattering, magnetic):
    """Anisotropic, absorbing, close together, in light without symmetry: every element is right."""
    dipoles, place = array(4, scattering=scattering, magnetic=magnetic), places(4)
    found = linearised.jacobian(dipoles, place)
    expected = differences(dipoles.force, place, STEP)
    assert largest_difference(found, expected) < ACCURACY
    assert largest_difference(found.T, expected) > 0.1  # twin: who feels whom
    other = SCATTERING[(SCATTERING.index(scattering) + 1) % 3]
    another = linearised.jacobian(array(4, scattering=other, magnetic=magnetic), place)
    assert largest_difference(another, expected) > 1e-4  # twin: another order of scattering


@pytest.mark.parametrize("magnetic", [False, True])
def test_far_field_is_the_leading_order_of_the_coupling(magnetic):
    """Between different particles, what is left out falls off as one more power of the distance."""
    light = waves.Superposition((plane(), plane(OBLIQUE, phase=1.3)))
    off = ~np.kron(np.eye(3, dtype=bool), np.ones((3, 3), dtype=bool))
    error = []
    for factor in (30, 300):
        place = factor * places(3)
        exact, far = (
            linearised.jacobian(array(3, light=light, magnetic=magnetic, scattering="single", far_field=f), place)[off]
            for f in (False, True)
        )
        error.append(largest_difference(far, exact))
    assert error[0] < 0.1
    assert error[0] / error[1] == pytest.approx(10, rel=0.5)


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("scattering", SCATTERING)
def test_derivatives_of_the_dipoles(scattering, magnetic):
    dipoles, place = array(3, scattering=scattering, magnetic=magnetic), places(3)
    dipole, derivative = linearised.dipole_derivatives(dipoles, place)

    def induced(position):
        found = dipoles.solve(position)
        return found.source if scattering == "single" else found.dipole

    np.testing.assert_allclose(dipole, induced(place), rtol=1e-13)
    expected = differences(induced, place, STEP).reshape(derivative.shape)
    assert largest_difference(derivative, expected) < ACCURACY
    assert largest_difference(derivative.conj(), expected) > 0.1


@pytest.mark.parametrize("scattering", SCATTERING)
def test_shifting_all_particles_in_a_plane_wave_changes_nothing(scattering):
    """Only its phase: rows sum to zero along every axis. In two waves they do not."""
    place = places(4)
    sums = {}
    for name, light in (("one", plane(OBLIQUE)), ("two", crossed())):
        found = linearised.jacobian(array(4, light=light, scattering=scattering), place).reshape(12, 4, 3)
        sums[name] = np.abs(found.sum(axis=1)).max() / np.abs(found).max()
    assert sums["one"] < 1e-13
    assert sums["two"] > 1e-3


@pytest.mark.parametrize("scattering", SCATTERING)
def test_turning_everything_turns_the_jacobian(scattering):
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    wave = plane(OBLIQUE)
    turned = waves.PlaneWave(WAVELENGTH, turn @ wave.direction, turn @ wave.polarization, wave.amplitude)
    electric, magnetic, place = tensors(3, 5), tensors(3, 6), places(3)
    before = Dipoles(light=wave, polarizability=electric, magnetic=magnetic, scattering=scattering)
    after = Dipoles(
        light=turned, polarizability=turn @ electric @ turn.T, magnetic=turn @ magnetic @ turn.T, scattering=scattering
    )
    every = np.kron(np.eye(3), turn)
    expected = every @ linearised.jacobian(before, place) @ every.T
    assert largest_difference(linearised.jacobian(after, place @ turn.T), expected) < 1e-12


@pytest.mark.parametrize("far_field", [False, True])
def test_along_the_beams_it_is_the_published_coupling(far_field):
    """Light whose phase alone changes along z: C and K = sum of C of `binding`, Rudolph et al. (84), (85)."""
    field = np.array([[1e6 * np.exp(0.3j), 0], [0.8e6, 0.3e6], [0.2e6j, 0.7e6]])
    place = np.array([[0.0, 0.0], [1.3e-6, 0.2e-6], [-0.4e-6, 0.9e-6]])
    alpha = np.array([2e-21, 3e-21, 1.5e-21])
    dipoles = Dipoles(
        light=Foci(field),
        polarizability=alpha[:, None, None] * np.eye(3),
        scattering="single",
        far_field=far_field,
    )
    jacobian = linearised.jacobian(dipoles, np.pad(place, ((0, 0), (0, 1)))).reshape(3, 3, 3, 3)[:, 2, :, 2]
    expected = binding.binding(place, field, alpha, K, math.inf, far_field=far_field)
    coupling = jacobian * (1 - np.eye(3))
    assert largest_difference(coupling, expected.coupling) < 1e-12
    assert largest_difference(-np.diag(jacobian), expected.stiffness) < 1e-12
    np.testing.assert_allclose(-np.diag(jacobian), coupling.sum(axis=1), rtol=1e-12)
    assert largest_difference(coupling.T, expected.coupling) > 0.1


class Foci:
    """A field of its own around each particle, which changes along z as exp(ikz) only."""

    wavenumber = K

    def __init__(self, field):
        electric = np.pad(field, ((0, 0), (0, 1)))
        self.field = np.concatenate([electric, np.cross([0.0, 0.0, 1.0], electric)], axis=1)

    def at(self, points):
        value = np.exp(1j * K * points[:, 2])[:, None] * self.field
        along = np.array([0.0, 0.0, 1j * K])
        gradient = along[:, None] * value[:, None]
        return waves.Values(value, gradient, along[:, None, None] * gradient[:, None])


def test_light_scattered_once_between_real_particles_has_a_potential_each():
    """F_j is the gradient of a function of r_j for fixed others: each particle's own block is symmetric."""
    dipoles = Dipoles(light=crossed(), polarizability=real_tensors(3), scattering="single")
    found = linearised.jacobian(dipoles, places(3)).reshape(3, 3, 3, 3)
    for j in range(3):
        own = found[j, :, j]
        np.testing.assert_allclose(own, own.T, rtol=0, atol=1e-12 * np.abs(own).max())
    complex_ones = Dipoles(light=crossed(), polarizability=tensors(3), scattering="single")
    own = linearised.jacobian(complex_ones, places(3))[:3, :3]
    assert largest_difference(own, own.T) > 0.01


def test_one_particle_alone():
    dipoles = array(1)
    expected = differences(dipoles.force, np.zeros((1, 3)), STEP)
    for scattering in SCATTERING:
        found = linearised.jacobian(array(1, scattering=scattering), np.zeros((1, 3)))
        assert largest_difference(found, expected) < ACCURACY


@pytest.mark.parametrize("scattering", SCATTERING)
def test_blocks_of_pairs_change_nothing(scattering, monkeypatch):
    dipoles, place = array(5, scattering=scattering), places(5)
    expected = linearised.jacobian(dipoles, place)
    monkeypatch.setattr("stochbind.optics.dipoles.PAIRS_AT_ONCE", 7)
    assert largest_difference(linearised.jacobian(dipoles, place), expected) < 1e-13


def test_one_set_of_places_at_a_time():
    dipoles = array(3)
    for function in (linearised.jacobian, linearised.dipole_derivatives, linearised.single_derivatives):
        with pytest.raises(ScenarioError, match=r"`position` must be one set of places, \(3, 3\), but has shape"):
            function(dipoles, np.stack([places(3), places(3, 2)]))
        with pytest.raises(ScenarioError, match="Particles 0 and 1 are at one place"):
            function(dipoles, np.zeros((3, 3)))
