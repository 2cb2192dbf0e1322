"""Light of several lasers that do not interfere, and scenarios lit by it, against dipoles with Jackson's fields."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import constants

from dipole_arrays import (
    OBLIQUE,
    SCATTERING,
    Lit,
    array,
    crossed,
    differences,
    directions,
    largest_difference,
    places,
    plane,
    radiated,
    travelling,
)
from stochbind.optics import approximations, patterns, recoil, waves
from stochbind.optics.trapped import TrappedDipoles
from stochbind.scenario import parse

EPS, HBAR = constants.epsilon_0, constants.hbar


def second_laser(phase=0.0):
    return plane(OBLIQUE, angle=0.5, ellipticity=-0.2, amplitude=1.2e6, phase=phase)


def averaged(quantity, **more):
    """Mean over the phase between two coherent lasers, of what is quadratic in the light: two phases are enough."""
    both = [array(light=waves.Superposition((crossed(), second_laser(phase))), **more) for phase in (0.4, 0.4 + np.pi)]
    each = [quantity(TrappedDipoles(parts=(part,))) for part in both]
    return sum(each) / 2, each[0]


def two_lasers(**more):
    return TrappedDipoles(parts=(array(**more), array(light=second_laser(), **more)))


QUANTITIES = {
    "force": lambda lit, place: lit.force(place),
    "torque": lambda lit, place: lit.torque(place),
    "torque_derivative": lambda lit, place: lit.torque_derivative(place),
    "jacobian": lambda lit, place: lit.jacobian(place),
    "binding_force": lambda lit, place: lit.binding(place).force,
    "binding_jacobian": lambda lit, place: lit.binding(place).jacobian,
    "scattering": lambda lit, place: lit.recoil(place).scattering,
    "absorption": lambda lit, place: lit.recoil(place).absorption,
}


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize("scattering", SCATTERING)
def test_lasers_that_do_not_interfere_are_the_mean_over_their_phase(name, scattering):
    place = places(3)
    both = two_lasers(scattering=scattering)
    found = QUANTITIES[name](both, place)
    expected, in_phase = averaged(lambda lit: QUANTITIES[name](lit, place), scattering=scattering)
    assert largest_difference(found, expected) < 1e-12
    assert largest_difference(found, in_phase) > 1e-2  # twin: lasers that interfere
    for part in both.parts:
        assert largest_difference(QUANTITIES[name](TrappedDipoles(parts=(part,)), place), expected) > 1e-2  # and one


def test_errors_of_approximations_are_those_in_the_light_of_all_lasers():
    place, both = places(3), two_lasers(radiation_reaction=True)
    found = approximations.deviations(both, place)
    for name in ("single", "one_event"):
        rough, best = (
            averaged(lambda lit: recoil.scattering_diffusion(lit.parts[0], place), scattering=scattering)[0]
            for scattering in (name, "multiple")
        )
        assert found[name].diffusion == pytest.approx(largest_difference(rough, best), rel=1e-9, abs=0)
    other_way = approximations.deviations(TrappedDipoles(parts=both.parts[::-1]), place)
    alone = approximations.deviations(TrappedDipoles(parts=both.parts[:1]), place)
    for name, deviation in found.items():
        assert other_way[name] == pytest.approx(deviation, rel=1e-9, abs=0)
        assert abs(alone[name].diffusion / deviation.diffusion - 1) > 1e-2  # twin: the first laser only


TWO_LASERS = """
name = "two"
kind = "dipoles"
motion = ["x", "z"]

[light]
wavelength = "532 nm"

[[wave]]
kind = "plane"
direction = [1.0, 0.0, 0.0]
polarization = [0.0, 1.0, 0.0]
intensity = "10 mW/um^2"

[[wave]]
kind = "plane"
direction = [0.0, 0.6, 0.8]
polarization = [1.0, 0.0, 0.0]
ellipticity = "30 deg"
intensity = "20 mW/um^2"
detuning = "80 MHz"

[gas]
pressure = "1e-3 mbar"
temperature = "300 K"

[[particle]]
radius = "50 nm"
density = "2000 kg/m^3"
refractive_index = 2.0
extinction_coefficient = 0.1
position = ["0 um", "0 um", "0 um"]
stiffness = ["50 uN/m", "60 uN/m", "70 uN/m"]

[[particle]]
radius = "65 nm"
density = "3000 kg/m^3"
refractive_index = 1.6
position = ["300 nm", "100 nm", "200 nm"]
stiffness = ["80 uN/m", "60 uN/m", "40 uN/m"]
bath_temperature = "100 K"
"""


# A scenario along two axes, with everything different between particles, axes and lasers.
GREEN = 2 * math.pi / 532e-9
RADIUS = np.array([50e-9, 65e-9])
MASS = np.array([2000.0, 3000.0]) * 4 / 3 * math.pi * RADIUS**3
TRAP = np.array([[50e-6, 60e-6, 70e-6], [80e-6, 60e-6, 40e-6]])
FREE = np.array([0, 2, 3, 5])


@pytest.fixture(scope="module")
def scenario():
    return parse(TWO_LASERS)


@pytest.fixture(scope="module")
def lit(scenario):
    """The same particles in each laser."""
    peak = [math.sqrt(2 * intensity / (EPS * constants.c)) for intensity in (10e9, 20e9)]
    # The minor axis of the ellipse is the direction cross the major one, (0, 0.8, -0.6), a quarter period later.
    ellipse = math.cos(math.pi / 6) * np.array([1, 0, 0]) + 1j * math.sin(math.pi / 6) * np.array([0, 0.8, -0.6])
    beams = (([1, 0, 0], peak[0] * np.array([0, 1, 0])), ([0, 0.6, 0.8], peak[1] * ellipse))
    alpha = np.array([particle.matrix for particle in scenario.polarizability])
    return [Lit(travelling(direction, electric, GREEN), alpha, GREEN) for direction, electric in beams]


class TestUnequalParticlesInTwoLasers:
    def test_forces_balance_at_the_origin(self, scenario, lit):
        place = scenario.origin_position
        light = sum(each.force(place) for each in lit)
        held = TRAP * (place - np.array([[0, 0, 0], [300e-9, 100e-9, 200e-9]]))
        assert (light - held).ravel()[FREE] == pytest.approx(0, abs=1e-9 * np.abs(light).max())
        assert np.abs(held[:, [0, 2]]).min() > 1e-3 * np.abs(light).max()
        assert place[:, 1] == pytest.approx([0, 100e-9], abs=1e-20)  # no motion along y
        derived = scenario.derived()
        alone = sum(
            Lit(each.light, each.polarizability[[j]], GREEN).force(place[[j]]) * np.eye(2)[:, [j]]
            for each in lit
            for j in (0, 1)
        )
        assert derived["binding_force"].value == pytest.approx(light - alone, abs=1e-9 * np.abs(light).max())
        assert derived["force"].value == pytest.approx(light - held, abs=1e-9 * np.abs(light).max())
        assert np.abs(alone).max() > 0.1 * np.abs(light).max()

    def test_the_oscillators(self, scenario, lit):
        found, place = scenario.oscillators(), scenario.origin_position
        jacobian = sum(differences(each.force, place, 0.01 / GREEN) for each in lit)
        jacobian = (jacobian - np.diag(TRAP.ravel()))[np.ix_(FREE, FREE)]
        whole = found.coupling - np.diag(found.stiffness)
        scale = np.abs(found.coupling).max()
        assert np.abs(whole - jacobian).max() < 1e-7 * scale
        assert np.abs(whole - jacobian.T).max() > 1e-2 * scale  # twin: transposed
        assert found.stiffness == pytest.approx(-np.diagonal(jacobian), abs=1e-7 * scale)

    def test_particle_by_particle_and_axis_by_axis(self, scenario):
        """Masses, friction by Epstein's law, baths: of particle 0 along x and z, then of particle 1."""
        found = scenario.oscillators()
        molecule = 0.0289647 / constants.N_A
        speed = math.sqrt(2 * math.pi * molecule / (constants.k * 300))
        epstein = 8 / 3 * (1 + math.pi / 8) * speed * RADIUS**2 * 0.1
        for name, expected, rel in (
            ("mass", MASS, 1e-12),
            ("friction", epstein, 1e-3),
            ("bath_temperature", np.array([300.0, 100.0]), 1e-12),
        ):
            assert getattr(found, name) == pytest.approx(expected[[0, 0, 1, 1]], rel=rel, abs=0)
            assert getattr(found, name) != pytest.approx(expected[[0, 1, 0, 1]], rel=1e-2, abs=0)  # twin: axes first

    def test_photons_scattered_and_absorbed(self, scenario, lit):
        found, place = np.asarray(scenario.oscillators().diffusion), scenario.origin_position
        parts = [sum(part) for part in zip(*(each.recoil(place) for each in lit), strict=True)]
        scattered, absorbed = (part[np.ix_(FREE, FREE)] for part in parts)
        expected = scattered + absorbed
        assert largest_difference(found, expected) < 1e-8
        for wrong in (scattered, scattered + absorbed.conj(), expected.conj(), 2 * expected):  # twins
            assert largest_difference(wrong, expected) > 1e-3
        derived = scenario.derived()
        share = np.diagonal(absorbed).real / np.diagonal(expected).real
        assert derived["absorption_share"].value == pytest.approx(share, abs=1e-7)
        assert share[0] > 0.1

    def test_absorbed_power_flows_in_through_a_sphere(self, scenario, lit):
        """Poynting's vector on a sphere around each particle, summed over the lasers."""
        place, radius = scenario.origin_position, 100e-9
        normal, weight = directions(20)
        flux = np.zeros((2, 2))
        for (laser, each), j in itertools.product(enumerate(lit), range(2)):
            at, dipole = place[j] + radius * normal, each.dipoles(place)
            field = each.light(at)
            for i in range(2):
                field = field + np.concatenate(radiated(at - place[i], dipole[i], GREEN), axis=-1)
            poynting = 0.5 * EPS * constants.c * np.cross(field[:, :3], field[:, 3:].conj()).real
            flux[laser, j] = -(radius**2) * weight @ np.sum(poynting * normal, axis=-1)
        found = scenario.absorbed_power
        assert found == pytest.approx(flux.sum(axis=0), abs=1e-9 * flux.max())
        assert abs(found[1]) < 1e-9 * found[0]  # glass
        assert flux[:, 0].min() > 0.1 * found[0]  # twin: one laser only

    def test_quanta_per_second(self, scenario, lit):
        """The energy grows by D/m per second from recoil, and by kB T times the damping rate from the gas."""
        array, derived, place = scenario.oscillators(), scenario.derived(), scenario.origin_position
        diffusion = np.diagonal(sum(sum(each.recoil(place)) for each in lit)).real[FREE]
        mass, temperature = MASS[[0, 0, 1, 1]], np.array([300, 300, 100, 100])
        quantum = HBAR * np.sqrt(array.stiffness / mass)
        assert derived["recoil_heating_rate"].value == pytest.approx(diffusion / mass / quantum, rel=1e-7, abs=0)
        gas = array.friction / mass * constants.k * temperature / quantum
        assert derived["gas_heating_rate"].value == pytest.approx(gas, rel=1e-9, abs=0)


class TestTablesOfAScenario:
    def test_ideal_particles_are_of_the_kind_that_is_named(self):
        """The first Kerker particle is dark behind, the second ahead, and their alpha is that of a static sphere."""
        static = 4 * math.pi * (50e-9) ** 3 * (1.5**2 - 1) / (1.5**2 + 2)
        for kind, sign in (("first", 1), ("second", -1)):
            text = TWO_LASERS.replace("refractive_index = 1.6", "refractive_index = 1.5").replace("65 nm", "50 nm")
            text = text.replace('position = ["300 nm"', f'polarizability = "{kind}_kerker"\nposition = ["300 nm"')
            scenario = parse(text)
            assert scenario.polarizability[1].electric == pytest.approx(static * np.eye(3), abs=1e-12 * static)
            assert scenario.polarizability[1].magnetic == pytest.approx(sign * static * np.eye(3), abs=1e-12 * static)
            alone = patterns.alone(TrappedDipoles(parts=scenario.array.parts[:1]), 1)
            behind, ahead = patterns.power_per_solid_angle(alone, np.zeros((1, 3)), [[-1, 0, 0], [1, 0, 0]])
            assert (ahead - behind) / (ahead + behind) == pytest.approx(sign, rel=1e-12)

    @pytest.mark.parametrize("longitudinal", [True, False])
    def test_a_tweezer_has_a_field_along_its_beam_if_asked_for(self, longitudinal):
        """Gauss's law in a focus: E_z = (i/k) dE_x/dx, where E_x falls off as exp(-x^2/w^2)."""
        table = (
            '[[wave]]\nkind = "tweezer"\nfocus = ["0 um", "0 um", "0 um"]\nwaist = "0.8 um"\npower = "10 mW"\n'
            'direction = [0.0, 0.0, 1.0]\npolarization = [1.0, 0.0, 0.0]\ndetuning = "40 MHz"\n'
            f"longitudinal = {str(longitudinal).lower()}\n\n[gas]"
        )
        parts = parse(TWO_LASERS.replace("[gas]", table)).array.parts
        (tweezer,) = (part.light for part in parts if part.light.detuning == 40e6)
        x = 0.3e-6
        field = tweezer.at(np.array([[x, 0.0, 0.0]])).value[0]
        along = -1j / GREEN * 2 * x / (0.8e-6) ** 2 * field[0]
        assert field[2] == pytest.approx(along if longitudinal else 0, rel=1e-10, abs=1e-12 * abs(field[0]))
        assert abs(along) > 0.05 * abs(field[0])
