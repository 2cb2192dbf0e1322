"""Trapped particles: what they do to each other, where they rest, and numbers of published traps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import constants

from dipole_arrays import (
    SCATTERING,
    WAVELENGTH,
    array,
    crossed,
    differences,
    largest_difference,
    places,
    plane,
    reacting,
    real_tensors,
)
from stochbind.optics import approximations, particles, patterns, waves
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles
from stochbind.scenario import parse

EPS, HBAR = constants.epsilon_0, constants.hbar
SCENARIOS = Path(__file__).parent.parent / "scenarios"


def one_of(dipoles, j):
    """Particle j of an array, alone in its light."""
    return Dipoles(
        light=dipoles.light,
        polarizability=dipoles.polarizability[[j]],
        magnetic=None if dipoles.magnetic is None else dipoles.magnetic[[j]],
    )


# --- What particles do to each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("scattering", SCATTERING)
def test_binding_is_all_forces_less_those_on_each_alone(scattering, magnetic):
    """Also its derivatives; traps take no part. In a tweezer a particle alone has a stiffness of its own."""
    place = places(3)
    lit = TrappedDipoles(
        parts=tuple(array(light=light, scattering=scattering, magnetic=magnetic) for light in (crossed(), plane())),
        trap_stiffness=np.full((3, 3), 1e-5),
    )

    def alone(at):
        return sum(np.concatenate([one_of(part, j).force(at[[j]]) for j in range(3)]) for part in lit.parts)

    def between(at):
        return sum(part.force(at) for part in lit.parts) - alone(at)

    found = lit.binding(place)
    assert largest_difference(found.force, between(place)) < 1e-12
    jacobian = differences(between, place, 2e-10)
    assert largest_difference(found.jacobian, jacobian) < 1e-8
    own = differences(alone, place, 2e-10)
    for twin in (jacobian + own, jacobian + 1e-3 * own):  # not taken away; a thousandth of it left
        assert largest_difference(twin, jacobian) > 1e-5


def test_strength_is_the_largest_force_of_one_on_the_other():
    """In two tweezers far apart the force on each along the line between them, over all differences of phase."""
    place = np.array([[0.0, 0.0, 0.0], [20 * WAVELENGTH, 0.0, 0.0]])
    force = []
    for phase in np.linspace(0, 2 * np.pi, 60, endpoint=False):
        light = waves.parallel_tweezers(
            place[:, :2], WAVELENGTH, WAVELENGTH, np.array([1e6, 2e6]), np.array([0.0, phase]), np.full(2, np.pi / 2)
        )
        alpha = np.array([1, 3])[:, None, None] * 1e-21 * np.eye(3)
        lit = TrappedDipoles(parts=(Dipoles(light=light, polarizability=alpha),))
        force.append(lit.binding(place).force[:, 0])
    found = approximations.strength(lit, place)
    assert np.abs(force).max(axis=0) == pytest.approx([found, found], rel=1e-2, abs=0)  # up to 1/kd


# --- Where they rest --------------------------------------------------------------------------------------------------


def antireciprocal_pair():
    """Like particles in an oblique wave, at a distance where they drive each other in opposite senses.

    Light alone adds minus the coupling to each stiffness; unequal traps make up for it, so that both oscillate alike.
    """
    light = plane((0.25, 0, 1), angle=np.pi / 2, ellipticity=0.0, amplitude=2e6)
    return TrappedDipoles(
        parts=(Dipoles(light=light, polarizability=reacting(2e-21 * np.eye(3)) * np.ones((2, 1, 1))),),
        trap_position=np.array([[0.0, 0.0, 0.0], [1.2 * WAVELENGTH, 0.0, 0.0]]),
        trap_stiffness=np.array([[2.013e-6], [2e-6]]) * np.ones(3),
    )


def test_eigenvalues_of_the_equilibrium_are_those_of_all_forces():
    """Non-reciprocal forces have no potential: the eigenvalues of a symmetric matrix would be others, and real."""
    lit = antireciprocal_pair()
    moves = np.tile([False, False, True], (2, 1))
    found = lit.equilibrium(lit.trap_position, moves)
    force = lit.force(found.position)
    assert force[:, 2] == pytest.approx(0, abs=1e-9 * np.abs(lit.force(lit.trap_position)[:, 2]).max())
    assert not (found.position - lit.trap_position)[:, :2].any()
    matrix = -differences(lit.force, found.position, 2e-10)[2::3, 2::3]
    assert largest_difference(found.force_matrix, matrix) < 1e-8
    # Of a 2 x 2 matrix: half the trace, plus and minus the root of the discriminant.
    middle, half = 0.5 * np.trace(matrix), 0.5 * (matrix[0, 0] - matrix[1, 1])

    def split(product):
        root = np.sqrt(complex(half**2 + product))
        return np.array([middle - root, middle + root])

    spread = np.abs(matrix[0, 1])
    expected = split(matrix[0, 1] * matrix[1, 0])
    distance = min(np.abs(found.eigenvalue - order).max() for order in (expected, expected.conj()))
    assert distance < 1e-6 * spread
    symmetric = split((0.5 * (matrix[0, 1] + matrix[1, 0])) ** 2)
    assert min(np.abs(found.eigenvalue - order).max() for order in (symmetric, symmetric.conj())) > 0.1 * spread
    assert np.abs(found.eigenvalue.imag).max() > 0.1 * spread
    assert found.holds


# --- Noise of light followed once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.5, -0.5])
@pytest.mark.parametrize("magnetic", [False, True])
def test_recoil_of_a_particle_alone_is_the_curl_of_its_force(magnetic, loss):
    """J - J^T = 4 Im D/hbar, with photons absorbed and emitted, also where light is followed once."""
    light = waves.Superposition((plane(), plane((0.48, -0.6, 0.64), angle=0.9, phase=1.3)))
    alpha = [reacting(static + 1j * loss * np.abs(static).max() * np.eye(3)) for static in real_tensors(2, size=2e-21)]
    alone = Dipoles(
        light=light,
        polarizability=alpha[0][None],
        magnetic=alpha[1][None] if magnetic else None,
        scattering="single",
    )
    place = places(1)
    found = TrappedDipoles(parts=(alone,)).recoil(place)
    jacobian = differences(alone.force, place, 2e-10)
    curl = jacobian - jacobian.T
    scattered, absorbed = (4 * np.asarray(part).imag / HBAR for part in found)
    assert np.abs(scattered + absorbed - curl).max() < 1e-9 * np.abs(jacobian).max()
    assert np.abs(curl).max() > 1e-2 * np.abs(jacobian).max()
    for twin in (scattered - absorbed, scattered, -curl):  # conjugated; left out; transposed
        assert np.abs(twin - curl).max() > 1e-2 * np.abs(jacobian).max()


# --- Numbers of published traps ---------------------------------------------------------------------------------------


def test_a_silicon_sphere_scatters_backward():
    """90 nm in diameter at 420 nm (Jazayeri et al.): all multipoles together, 0.1834 forward over backward."""
    a, b = particles.mie_coefficients(5.1 + 0.2j, 2 * math.pi / 420e-9 * 45e-9, 6)
    n = np.arange(1, 7)
    forward, backward = ((2 * n + 1) @ (a + b), -((2 * n + 1) * (-1) ** n) @ (a - b))
    assert abs(forward / backward) ** 2 == pytest.approx(0.1834, abs=5e-5)
    assert abs((a[0] + b[0]) / (a[0] - b[0])) ** 2 == pytest.approx(0.1710, abs=5e-5)  # dipoles alone


class TestSilicaInTweezers:
    """105 nm silica in 0.3 W at 1064 nm, in a waist of 0.8 um (like Rieser et al., Science 377, 987 (2022))."""

    k, radius, waist = 2 * math.pi / 1064e-9, 105e-9, 0.8e-6
    field = math.sqrt(4 * 0.3 / (math.pi * waist**2 * EPS * constants.c))
    mass = 1850 * 4 / 3 * math.pi * radius**3
    alpha = 4 * math.pi * radius**3 * (1.45**2 - 1) / (1.45**2 + 2)

    def test_scattered_power_and_radiation_pressure(self):
        """0.294 mW; the force is that power over c, less than it in a focus (Gouy's phase): 0.8 to 1.0 pN."""
        power = self.k**4 * self.alpha**2 / (6 * math.pi) * 0.5 * EPS * constants.c * self.field**2
        assert power == pytest.approx(0.294e-3, rel=2e-3, abs=0)
        light = waves.GaussianTweezer(1064e-9, self.waist, (0, 0, 0), (0, 0, 1), (0, 1, 0), self.field)
        small = Dipoles(light=light, polarizability=reacting(self.alpha * np.eye(3), self.k)[None])
        lit = TrappedDipoles(parts=(small,))
        reaction = abs(1 - 1j * self.k**3 / (6 * math.pi) * self.alpha) ** -2  # the particle's own, left out above
        assert patterns.scattered_power(lit, np.zeros((1, 3))) == pytest.approx(power * reaction, rel=1e-9)
        force = lit.force(np.zeros((1, 3)))[0]
        gouy = 1 - 2 / (self.k * self.waist) ** 2
        assert force[2] == pytest.approx(power * reaction / constants.c * gouy, rel=1e-9, abs=0)
        assert 0.8e-12 < force[2] < 1.0e-12
        mie = particles.efficiencies(1.45, self.k * self.radius)
        pressure = mie.pressure * self.radius**2 * 2 * 0.3 / self.waist**2 / constants.c
        assert 0.8e-12 < pressure * gouy < pressure < 1.0e-12

    def test_pressure_where_gas_and_photons_heat_alike(self):
        """2.6e-6 mbar; at the published 1e-7 mbar the gas heats by 4.4e4 quanta a second."""
        text = (SCENARIOS / "rieser_like_pair.toml").read_text()
        rates = {}
        for pressure in ("2.6e-6", "1e-7"):
            derived = parse(text.replace('"10 mbar"', f'"{pressure} mbar"')).derived()
            rates[pressure] = [derived[f"{source}_heating_rate"].value[0] for source in ("gas", "recoil")]
        gas, photons = rates["2.6e-6"]
        assert 2.6 * photons / gas == pytest.approx(2.6, abs=0.05)  # as many digits as are given
        assert rates["1e-7"] == pytest.approx([4.4e4, 1.139e6], rel=1e-2)
        # The same by hand: Epstein's friction, and photons that leave with 2/5 of their momentum squared along z.
        omega = math.sqrt(0.5 * EPS * self.alpha * self.field**2 * (2 / (self.k * self.waist**2)) ** 2 / self.mass)
        molecule = 0.0289647 / constants.N_A
        speed = math.sqrt(2 * math.pi * molecule / (constants.k * 300))
        friction = 8 / 3 * (1 + math.pi / 8) * speed * self.radius**2 * 2.6e-4
        assert gas == pytest.approx(friction * constants.k * 300 / (self.mass * HBAR * omega), rel=1e-2)
        rate = self.k**4 * self.alpha**2 / (6 * math.pi) * 0.5 * EPS * self.field**2 / (HBAR * self.k)
        kappa = self.k - 2 / (self.k * self.waist**2)
        kick = 0.5 * HBAR**2 * (kappa**2 + 2 / 5 * self.k**2) * rate
        assert photons == pytest.approx(kick / (self.mass * HBAR * omega), rel=1e-3)
