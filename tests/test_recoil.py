"""Recoil of scattered and absorbed photons: by counting photons, by angular quadrature, and by unitarity."""

import math

import numpy as np
import pytest
from scipy import constants

from dipole_arrays import (
    OBLIQUE,
    REACTION,
    SCATTERING,
    K,
    array,
    crossed,
    directions,
    largest_difference,
    places,
    plane,
    reacting,
    real_tensors,
    tensors,
)
from stochbind.errors import NoiseError, ScenarioError
from stochbind.optics import beams, binding, linearised, polarizability, recoil, waves
from stochbind.optics.dipoles import Dipoles

EPS, HBAR, C = constants.epsilon_0, constants.hbar, constants.c
OMEGA = C * K
LEVI_CIVITA = np.array([[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)])


def passive(n, seed=3, size=3e-21, absorbing=0.0):
    """Random symmetric polarizabilities with radiation reaction; `absorbing` is the part that is lost, or won."""
    static = real_tensors(n, seed, size).astype(complex)
    return reacting(static + 1j * absorbing / size * static @ static)


def crossed_planes():
    return waves.Superposition((plane(), plane(OBLIQUE, angle=0.9, phase=1.3)))


def unitary_array(n=3, *, absorbing=0.0, magnetic=True):
    return Dipoles(
        light=crossed_planes(),
        polarizability=passive(n, 3, absorbing=absorbing),
        magnetic=passive(n, 4, absorbing=absorbing) if magnetic else None,
    )


# By counting photons


def photon_rate(power):
    return power / (HBAR * OMEGA)


def one(alpha, light, **more):
    return Dipoles(light=light, polarizability=alpha * np.eye(3)[None], **more)


def test_one_particle_scatters_photons_one_by_one():
    """Each takes hbar k along z and leaves hbar k along n, with 1/5 of n_x^2 along the dipole and 2/5 across it."""
    light, alpha = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (1, 0, 0), 1e6), 3e-21
    found = recoil.recoil(one(alpha, light, scattering="single", radiation_reaction=False), np.zeros((1, 3)))
    dipole = EPS * alpha * 1e6
    scattered = OMEGA**4 * dipole**2 / (12 * math.pi * EPS * C**3)  # Larmor
    expected = (HBAR * K) ** 2 / 2 * photon_rate(scattered) * np.diag([1 / 5, 2 / 5, 1 + 2 / 5])
    np.testing.assert_allclose(found.scattering, expected, rtol=1e-12, atol=1e-14 * expected.max())
    assert not found.absorption.any()
    isotropic = (HBAR * K) ** 2 / 2 * photon_rate(scattered) * np.diag([1 / 3, 1 / 3, 1 + 1 / 3])
    assert largest_difference(found.scattering, isotropic) > 0.04  # twin: without the dipole's pattern


def test_one_electric_and_magnetic_dipole_scatter_forward():
    """A first Kerker particle: what it sends along n has the weight (1 + n_z)^2, so it recoils little."""
    light, alpha = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (1, 0, 0), 1e6), 1e-21
    both = one(alpha, light, magnetic=alpha * np.eye(3)[None], scattering="single", radiation_reaction=False)
    found = recoil.recoil(both, np.zeros((1, 3))).scattering
    n, weight = directions(20)
    share = weight * (1 + n[:, 2]) ** 2
    scattered = 2 * OMEGA**4 * (EPS * alpha * 1e6) ** 2 / (12 * math.pi * EPS * C**3)
    kick = np.array([0, 0, 1]) - n
    expected = (HBAR * K) ** 2 / 2 * photon_rate(scattered) * np.einsum("d,da,db->ab", share, kick, kick) / share.sum()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected.max())
    backward = np.einsum("d,da,db->ab", weight * (1 - n[:, 2]) ** 2, kick, kick)
    assert largest_difference(found / found[2, 2], backward / backward[2, 2]) > 0.1  # twin: the sign of n x M


def test_one_particle_absorbs_photons_one_by_one():
    """(hbar k)^2/2 times the rate of absorbed photons along the beam, and nothing across it."""
    light, static = plane(OBLIQUE), 3e-21 + 0.5e-21j
    alpha = static / (1 - 1j * REACTION * static)
    along = np.outer(OBLIQUE, OBLIQUE)
    found = recoil.recoil(one(alpha, light), np.zeros((1, 3))).absorption
    absorbed = 0.5 * OMEGA * EPS * 1e12 * static.imag * abs(alpha / static) ** 2
    expected = (HBAR * K) ** 2 / 2 * photon_rate(absorbed) * along
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected.max())
    # Photons that push: the force of what is absorbed is hbar k times their rate.
    force = one(alpha, light).force(np.zeros((1, 3)))[0] @ OBLIQUE
    lossless = EPS / 2 * 1e12 * K * REACTION * abs(alpha) ** 2
    assert 2 * np.trace(found).real / (HBAR * K) == pytest.approx(force - lossless, rel=1e-12, abs=0)
    # Without radiation reaction in it, all of the imaginary part is absorption.
    bare = recoil.recoil(one(static, light, radiation_reaction=False), np.zeros((1, 3))).absorption
    expected = (HBAR * K) ** 2 / 2 * photon_rate(0.5 * OMEGA * EPS * 1e12 * static.imag) * along
    np.testing.assert_allclose(bare, expected, rtol=0, atol=1e-12 * expected.max())
    assert largest_difference(found, expected) > 0.01


def test_one_particle_with_gain_emits_photons_one_by_one():
    """Stimulated emission adds noise as absorption does; the force alone changes its sign."""
    light = plane(OBLIQUE)
    found, force = [], []
    for loss in (0.5e-21, -0.5e-21):
        particle = one(1e-21 + 1j * loss, light, radiation_reaction=False)
        found.append(recoil.recoil(particle, np.zeros((1, 3))).absorption)
        force.append(particle.force(np.zeros((1, 3)))[0] @ OBLIQUE)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert force[0] == pytest.approx(-force[1], rel=1e-12, abs=0)
    assert np.linalg.eigvalsh(found[1])[0] > -1e-12 * np.abs(found[1]).max()


def test_two_particles_far_apart_recoil_independently_and_close_together_as_one():
    light, alpha = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (1, 0, 0), 1e6), 1e-22
    alone = recoil.recoil(one(alpha, light, scattering="single"), np.zeros((1, 3))).scattering
    pair = Dipoles(light=light, polarizability=alpha * np.eye(3) * np.ones((2, 1, 1)), scattering="single")
    near, far = (
        recoil.recoil(pair, np.array([[0, 0, 0], [0, d / K, 0]])).scattering.reshape(2, 3, 2, 3) for d in (1e-4, 1e5)
    )
    assert largest_difference(near[0, :, 1].real, alone) < 1e-7
    assert np.abs(far[0, :, 1]).max() < 1e-4 * alone.max()
    for found in (near, far):
        assert largest_difference(found[0, :, 0], alone) < 1e-12


# By angular quadrature


def directly_summed(dipoles, place, order):
    """D from the far field of dipoles that move, by differences: nothing of the package but the dipoles."""
    n, weight = directions(order)
    k = dipoles.light.wavenumber

    def amplitude(position):
        found = dipoles.solve(position)
        strength = found.source if dipoles.scattering == "single" else found.dipole
        total = np.zeros((len(n), 3), dtype=complex)
        for at, dipole in zip(position, strength, strict=True):
            p, m = dipole[:3], dipole[3:] if len(dipole) == 6 else np.zeros(3)
            total += np.exp(-1j * k * n @ at)[:, None] * (p - n * (n @ p)[:, None] - np.cross(n, m))
        return total

    columns = []
    step = 2e-10
    for i in range(place.size):
        shift = np.zeros(place.size)
        shift[i] = step
        f = [amplitude(place + c * shift.reshape(place.shape)) for c in (-2, -1, 1, 2)]
        columns.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step))
    derivative = np.stack(columns)
    strength = HBAR**2 / 2 * EPS * k**3 / (2 * HBAR) / (4 * math.pi) ** 2
    return strength * np.einsum("d,udc,vdc->uv", weight, derivative, derivative.conj())


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("scattering", SCATTERING)
def test_closed_form_is_the_sum_over_directions(scattering, magnetic):
    """Rudolph et al. (76): close together and far apart, anisotropic and absorbing; and by differences throughout."""
    for scale, distance in ((0.12, 0.5), (1.0, 4.0), (9.0, 60.0)):
        place = scale * places(3)
        if scale < 1:  # so close that dipoles of this size would see little but each other
            size, step_accuracy = 1e-23, 1e-6
        else:
            size, step_accuracy = 4e-21, 2e-9
        dipoles = array(3, magnetic=magnetic, scattering=scattering, size=size)
        found = recoil.recoil(dipoles, place).scattering
        expected = recoil.quadrature(dipoles, place)
        closest = K * min(np.linalg.norm(place[j] - place[k]) for j in range(3) for k in range(j))
        assert 0.3 * distance < closest < 1.5 * distance
        assert largest_difference(found, expected) < 1e-12
        np.testing.assert_allclose(found, found.conj().T, rtol=0, atol=1e-14 * np.abs(found).max())
        assert np.linalg.eigvalsh(found)[0] > -1e-13 * np.abs(found).max()
        if scale <= 1:
            assert largest_difference(found, directly_summed(dipoles, place, 24)) < step_accuracy
        assert largest_difference(found.conj(), expected) > 1e-3  # twin, which transposing is as well
        assert largest_difference(2 * found, expected) > 0.5  # twin


@pytest.mark.parametrize("far_field", [False, True])
def test_along_the_beams_it_is_the_published_diffusion(far_field):
    """Rudolph et al. (87), corrected, of `binding`: light whose phase alone changes along z."""
    amplitude = np.array([1.0, 0.7, 1.2])
    place = np.array([[0.0, 0.0], [1.3e-6, 0.2e-6], [-0.4e-6, 0.9e-6]])
    alpha = np.array([2e-21, 3e-21, 1.5e-21]) * amplitude
    light = waves.PlaneWave(2 * math.pi / K, (0, 0, 1), (0.6, 0.8j, 0), 1e6)
    dipoles = Dipoles(
        light=light, polarizability=alpha[:, None, None] * np.eye(3), scattering="single", far_field=far_field
    )
    found = recoil.recoil(dipoles, np.pad(place, ((0, 0), (0, 1)))).scattering.reshape(3, 3, 3, 3)[:, 2, :, 2]
    field = 1e6 * np.tile([0.6, 0.8j], (3, 1))
    expected = binding.binding(place, field, alpha, K, math.inf, far_field=far_field).diffusion
    assert largest_difference(found, expected) < 1e-12


# By unitarity


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize("absorbing", [0.0, 0.4, -0.4])
def test_unitarity_ties_the_curl_of_the_forces_to_the_diffusion(absorbing, magnetic):
    """J - J^T = 4 Im D/hbar along all axes, between all particles and at each, with all orders of scattering.

    The scattering matrix S is unitary, the forces are i hbar <S^dagger dS>, and D is their noise: so the antisymmetric
    part of their derivatives is that of D, absorbed photons counted as scattered ones, and emitted ones with the
    complex conjugate of their noise: they are created, not annihilated.
    """
    dipoles, place = unitary_array(absorbing=absorbing, magnetic=magnetic), places(3)
    jacobian, found = linearised.jacobian(dipoles, place), recoil.recoil(dipoles, place)
    anti, scale = jacobian - jacobian.T, np.abs(jacobian).max()
    whole = found.diffusion
    assert np.abs(anti).max() > 0.05 * scale
    assert np.abs(anti - 4 * whole.imag / HBAR).max() < 1e-12 * scale
    # Twins: conjugated, transposed, twice, with the absorbed light alone conjugated, and nothing.
    mixed = found.scattering + found.absorption.conj() if absorbing else 0 * whole
    for wrong in (whole.conj(), whole.T, 2 * whole, mixed):
        assert np.abs(anti - 4 * wrong.imag / HBAR).max() > 0.04 * scale


@pytest.mark.parametrize("absorbing", [0.0, 0.4])
def test_unitarity_does_not_need_reciprocal_particles(absorbing):
    """A static polarizability that is Hermitian, not symmetric, as in a static magnetic field, loses nothing either."""
    rng = np.random.default_rng(12)
    turned = np.einsum("abc,nc->nab", LEVI_CIVITA, rng.normal(size=(3, 3)))
    static = real_tensors(3, 3, 3e-21) + 1e-21j * turned
    alpha = reacting(static + 1j * absorbing / 3e-21 * static @ static)
    dipoles = Dipoles(light=crossed_planes(), polarizability=alpha, magnetic=passive(3, 4))
    jacobian, found = linearised.jacobian(dipoles, places(3)), recoil.recoil(dipoles, places(3))
    anti, scale = jacobian - jacobian.T, np.abs(jacobian).max()
    assert np.abs(anti - 4 * found.diffusion.imag / HBAR).max() < 1e-12 * scale
    assert found.absorption.any() == (absorbing > 0)
    assert np.abs(alpha - np.swapaxes(alpha, -1, -2)).max() > 0.2 * np.abs(alpha).max()


@pytest.mark.parametrize("scattering", ["single", "one_event"])
def test_without_all_orders_it_is_an_approximation(scattering):
    """Of the order of the light scattered between particles: ten times weaker ones break it ten times less."""
    error = []
    for size in (3e-21, 3e-22):
        dipoles = Dipoles(light=crossed(), polarizability=passive(3, size=size), scattering=scattering)
        jacobian = linearised.jacobian(dipoles, places(3))
        anti = jacobian - jacobian.T
        curl = 4 * recoil.recoil(dipoles, places(3)).diffusion.imag / HBAR
        error.append(np.abs(anti - curl).max() / np.abs(curl).max())
    assert 1e-5 < error[0] < 0.3
    assert error[1] < 0.15 * error[0]


def test_published_relation_of_real_polarizabilities():
    """Below Rudolph et al. (90), without the i: between different particles, in any light, along all axes."""
    dipoles = Dipoles(light=crossed(), polarizability=real_tensors(4), scattering="single", radiation_reaction=False)
    jacobian = linearised.jacobian(dipoles, places(4))
    curl = 4 * recoil.recoil(dipoles, places(4)).diffusion.imag / HBAR
    anti = jacobian - jacobian.T
    other = ~np.kron(np.eye(4, dtype=bool), np.ones((3, 3), dtype=bool))
    np.testing.assert_allclose(anti[other], curl[other], rtol=0, atol=1e-13 * np.abs(curl[other]).max())
    # A particle of real polarizability has a potential, but its recoil a curl: reaction would give it the force.
    assert np.abs(anti[~other]).max() < 1e-13 * np.abs(jacobian).max()
    assert np.abs(curl[~other]).max() > 0.01 * np.abs(curl).max()


# Positive, or not


@pytest.mark.parametrize("seed", range(5))
def test_diffusion_of_any_array_is_positive(seed):
    """Closer than a wavelength over 2 pi too, with gain, and to any order; its far field need not be."""
    place = 0.25 * places(6, seed)
    for scattering in SCATTERING:
        dipoles = Dipoles(
            light=crossed(),
            polarizability=tensors(6, seed, 1e-23),
            magnetic=tensors(6, seed + 9, 1e-23),
            scattering=scattering,
        )
        found = recoil.recoil(dipoles, place)
        for part in (*found, found.diffusion):
            assert np.linalg.eigvalsh(part)[0] > -1e-12 * np.abs(part).max()


class Tweezers:
    """A row of tweezers that do not overlap: along z the phase of each advances by k - 1/z_R."""

    def __init__(self, wavenumber, kappa):
        self.wavenumber = wavenumber
        self.along = np.array([0.0, 0.0, 1j * kappa])
        self.field = 1e7 * np.array([0, 1, 0, -1, 0, 0], dtype=complex)

    def at(self, points):
        value = np.exp(points @ self.along)[:, None] * self.field
        gradient = self.along[:, None] * value[:, None]
        return waves.Values(value, gradient, self.along[:, None, None] * gradient[:, None])


def test_far_field_of_a_dense_row_is_refused():
    """40 tweezers of 1064 nm, waist 0.8 um, 0.45 um apart: -0.0117 along the beams, 1 - 1/q of the infinite row.

    In a plane wave it is -1/14. Along the row the far field is worse by far: there it is not positive at 1 um either.
    """
    wavelength = 1064e-9
    k = 2 * math.pi / wavelength
    place = np.outer(np.arange(40), [1.0, 0.0, 0.0])
    kappa = k - 1 / beams.rayleigh_range(wavelength, 0.8e-6)
    for phase_rate, expected in ((kappa, -0.0117), (k, -1 / 14)):
        arguments = {"light": Tweezers(k, phase_rate), "polarizability": 1e-21 * np.eye(3) * np.ones((40, 1, 1))}
        far = Dipoles(**arguments, scattering="single", far_field=True)

        def smallest(axis, spacing, far=far):
            found = recoil.scattering_diffusion(far, spacing * place).reshape(40, 3, 40, 3)[:, axis, :, axis]
            return np.linalg.eigvalsh(found)[0] / found[0, 0].real

        assert smallest(2, 0.45e-6) == pytest.approx(expected, rel=0.02, abs=0)
        assert smallest(2, 1e-6) > 0.4
        assert smallest(0, 0.45e-6) < -2
        assert smallest(0, 1e-6) < -0.5
        for spacing in (0.45e-6, 1e-6):
            with pytest.raises(NoiseError, match=r"smallest eigenvalue is -.*The far field is at fault"):
                recoil.recoil(far, spacing * place)
            exact = recoil.recoil(Dipoles(**arguments, scattering="single"), spacing * place).diffusion
            assert np.linalg.eigvalsh(exact)[0] > -1e-13 * np.abs(exact).max()
        assert np.linalg.eigvalsh(recoil.recoil(far, 1.8e-6 * place).diffusion)[0] > 0


# Polarizabilities of the papers


def test_second_kerker_particle_amplifies():
    """It takes nothing from the light but scatters: the photons it adds make noise of their own."""
    alpha = polarizability.rayleigh(45e-9, 5.1).electric
    light = waves.PlaneWave(420e-9, (1, 0, 0), (0, 1, 0), 1e6)
    k = light.wavenumber
    particle = Dipoles(light=light, polarizability=alpha[None], magnetic=-alpha[None])
    found = recoil.recoil(particle, np.zeros((1, 3)))
    emitted = 2 * k**4 / (6 * math.pi) * abs(alpha[0, 0]) ** 2 * 0.5 * EPS * C * 1e12 / (HBAR * C * k)
    assert found.absorption[0, 0].real == pytest.approx((HBAR * k) ** 2 / 2 * emitted, rel=1e-12, abs=0)
    assert polarizability.kerker_second(alpha).gain(k) > 0.5


def test_what_is_not_one_array_is_refused():
    dipoles = array(3)
    for function in (recoil.recoil, recoil.quadrature, recoil.scattering_diffusion):
        with pytest.raises(ScenarioError, match=r"`position` must be one set of places, \(3, 3\), but has shape"):
            function(dipoles, np.stack([places(3), places(3, 2)]))
        with pytest.raises(ScenarioError, match="Particles 0 and 1 are at one place"):
            function(dipoles, np.zeros((3, 3)))


def test_blocks_of_pairs_change_nothing(monkeypatch):
    dipoles, place = array(5, scattering="single"), places(5)
    expected = recoil.recoil(dipoles, place).scattering
    monkeypatch.setattr(recoil, "PAIRS_AT_ONCE", 7)
    assert largest_difference(recoil.recoil(dipoles, place).scattering, expected) < 1e-13
