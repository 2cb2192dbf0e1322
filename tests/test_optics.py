"""Light and matter against numbers and routes of their own."""

import math

import mpmath
import numpy as np
import pytest
from scipy import constants, optimize

import stochbind as sb
from stochbind.optics import beams, binding, gas, green

K = 2 * math.pi / 1064e-9
WAIST = 0.8e-6
Z_R = beams.rayleigh_range(1064e-9, WAIST)
ALPHA = np.array([3.9e-21, 2.6e-21])


def pair(distance, phase, *, fields=(1.2e7, 0.9e7), angle=math.pi / 2, far_field=True, alpha=ALPHA):
    """Two tweezers along x; the field of the first leads by `phase`."""
    position = np.array([[0.0, 0.0], [distance, 0.0]])
    field = beams.linear_polarization(np.array(fields), np.array([phase, 0.0]), np.full(2, angle))
    return binding.binding(position, field, alpha, K, Z_R, far_field=far_field)


def test_convention_row_receives():
    """E_1 = E_2 exp(i phi) and k d = phi = pi/4: particle 1 feels particle 2, and not the other way round."""
    found = pair(math.pi / 4 / K, math.pi / 4)
    kappa = K - 1 / Z_R
    # Rudolph et al. (92), polarization perpendicular to the axis
    c = constants.epsilon_0 * ALPHA[0] * ALPHA[1] * K**2 * kappa**2 * 1.2e7 * 0.9e7 / (8 * math.pi * math.pi / 4 / K)
    assert found.coupling[0, 1] == pytest.approx(c, rel=1e-12, abs=0)
    assert abs(found.coupling[1, 0]) < 1e-12 * c
    assert found.diffusion[0, 1] == pytest.approx((1 + 1j) * constants.hbar * c / 4, rel=1e-12, abs=0)  # (93)
    assert found.coupling[0, 0] == found.coupling[1, 1] == 0.0
    opposite = pair(math.pi / 4 / K, -math.pi / 4)
    assert abs(opposite.coupling[0, 1]) < 1e-12 * c  # the twin: the other phase gives the other direction
    assert opposite.coupling[1, 0] == pytest.approx(c, rel=1e-12, abs=0)


@pytest.mark.parametrize("far_field", [True, False])
def test_antireciprocity_is_the_imaginary_diffusion(far_field):
    rng = np.random.default_rng(3)
    position = rng.uniform(-4e-6, 4e-6, (7, 2))
    field = (rng.normal(size=(7, 2)) + 1j * rng.normal(size=(7, 2))) * 1e7
    alpha = rng.uniform(1, 5, 7) * 1e-21
    found = binding.binding(position, field, alpha, K, Z_R, far_field=far_field)
    anti = found.coupling - found.coupling.T
    expected = 4 * found.diffusion.imag / constants.hbar
    off = ~np.eye(7, dtype=bool)
    np.testing.assert_allclose(anti[off], expected[off], rtol=0, atol=1e-12 * np.abs(found.coupling).max())
    assert np.abs(anti).max() > 0.1 * np.abs(found.coupling).max()
    conjugated = 4 * found.diffusion.conj().imag / constants.hbar
    assert np.abs(anti - conjugated).max() > 0.1 * np.abs(found.coupling).max()  # the twin: wrong sign is seen
    np.testing.assert_allclose(found.diffusion, found.diffusion.conj().T, rtol=1e-12)
    np.testing.assert_allclose(found.stiffness, found.coupling.sum(axis=1), rtol=1e-12)


def quadrature_diffusion(position, field, alpha):
    """D from the recoil of the scattered light, angle by angle: Rudolph et al. (76), expanded as in (81) with E5."""
    mu, w_mu = np.polynomial.legendre.leggauss(80)
    phi = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    kappa = K - 1 / Z_R
    result = np.zeros((len(position), len(position)), dtype=complex)
    for m, weight in zip(mu, w_mu, strict=True):
        s = math.sqrt(1 - m * m)
        n = np.stack([s * np.cos(phi), s * np.sin(phi), np.full_like(phi, m)], axis=-1)
        transverse = np.eye(3) - n[:, :, None] * n[:, None, :]
        phase = np.exp(-1j * K * (n[:, :2] @ position.T))  # (angle, particle)
        amplitude = alpha[None, :, None] * phase[:, :, None] * np.pad(field, ((0, 0), (0, 1)))[None]
        kick = kappa - K * m
        overlap = np.einsum("aki,aij,alj->kl", amplitude.conj(), transverse, amplitude)
        result += weight * kick**2 * (2 * np.pi / len(phi)) * overlap.T
    # L_n^+ L_n: eps0 k^3 / (2 hbar) / (4 pi)^2; D = hbar^2/2 of it
    return constants.hbar**2 / 2 * constants.epsilon_0 * K**3 / (2 * constants.hbar) / (4 * np.pi) ** 2 * result


def test_diffusion_is_the_recoil_of_the_scattered_light():
    rng = np.random.default_rng(4)
    position = np.array([[0.0, 0.0], [1.1e-6, 0.3e-6], [-0.5e-6, 1.4e-6]])
    field = (rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))) * 1e7
    alpha = np.array([1.0, 2.0, 3.0]) * 1e-21
    exact = binding.binding(position, field, alpha, K, Z_R, far_field=False).diffusion
    expected = quadrature_diffusion(position, field, alpha)
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-10 * np.abs(exact).max())
    assert np.abs(exact.conj() - expected).max() > 0.01 * np.abs(exact).max()  # the twin: conjugation is seen
    far = binding.binding(position, field, alpha, K, Z_R, far_field=True).diffusion
    np.testing.assert_allclose(np.diag(far), np.diag(expected), rtol=1e-10)
    assert np.abs(far - expected).max() > 1e-3 * np.abs(exact).max()  # close pairs: the far field is an approximation


def test_coupling_is_the_derivative_of_the_binding_force():
    """F_j = (eps0/2) alpha_j alpha_k Re d/dz_j [E_j* e^(-i kappa z_j) G(r_j - r_k) E_k e^(i kappa z_k)], by mpmath."""
    mpmath.mp.dps = 40
    distance, phase = 1.4e-6, 0.7
    fields = (1.2e7, 0.9e7)
    kappa = mpmath.mpf(K) - 1 / mpmath.mpf(Z_R)

    def energy_amplitude(first, second, e_first, e_second):
        r = mpmath.sqrt(mpmath.mpf(distance) ** 2 + (first - second) ** 2)
        x = mpmath.mpf(K) * r
        # E along y: only the isotropic part of G counts
        g = mpmath.mpf(K) ** 3 / (4 * mpmath.pi) * mpmath.exp(1j * x) * (1 / x + 1j / x**2 - 1 / x**3)
        return mpmath.conj(e_first) * mpmath.exp(-1j * kappa * first) * g * e_second * mpmath.exp(1j * kappa * second)

    def force(first, second, e_first, e_second):
        slope = mpmath.diff(lambda z: energy_amplitude(z, second, e_first, e_second), first, h=mpmath.mpf(10) ** -16)
        return mpmath.mpf(constants.epsilon_0) / 2 * mpmath.mpf(ALPHA[0]) * mpmath.mpf(ALPHA[1]) * mpmath.re(slope)

    e1, e2 = fields[0] * mpmath.exp(1j * mpmath.mpf(phase)), mpmath.mpf(fields[1])
    found = pair(distance, phase, fields=fields, far_field=False)
    h = mpmath.mpf(10) ** -13
    for j, (first, second) in enumerate([(e1, e2), (e2, e1)]):
        expected = (force(0, h, first, second) - force(0, -h, first, second)) / (2 * h)
        assert found.coupling[j, 1 - j] == pytest.approx(float(expected), rel=1e-8, abs=0)
        # moving j alone changes its force by -K_j: equal and opposite, so K_j is the row sum
        own = (force(h, 0, first, second) - force(-h, 0, first, second)) / (2 * h)
        assert -float(own) == pytest.approx(found.stiffness[j], rel=1e-8, abs=0)
        radiation = constants.epsilon_0 * ALPHA[j] ** 2 * K**3 * float(kappa) * fields[j] ** 2 / (12 * math.pi)
        assert found.force[j] - radiation == pytest.approx(float(force(0, 0, first, second)), rel=1e-10, abs=0)


def test_green_tensor_solves_the_wave_equation():
    """curl curl G = k^2 G away from the source, by finite differences of the closed form in 3D."""

    def full(r):
        x = K * np.linalg.norm(r)
        n = r / np.linalg.norm(r)
        a = 1 / x + 1j / x**2 - 1 / x**3
        b = -1 / x - 3j / x**2 + 3 / x**3
        return K**3 / (4 * np.pi) * np.exp(1j * x) * (a * np.eye(3) + b * np.outer(n, n))

    point, h = np.array([0.8e-6, 0.5e-6, 0.0]), 2e-9
    in_plane = green.in_plane(point[:2], K, far_field=False)
    np.testing.assert_allclose(in_plane.value, full(point)[:2, :2], rtol=1e-12)
    step = np.array([0, 0, h])
    curvature = (full(point + step) - 2 * full(point) + full(point - step)) / h**2
    np.testing.assert_allclose(in_plane.z_curvature, curvature[:2, :2], rtol=2e-4)

    def laplacian(i, j):
        return sum(
            (full(point + h * e)[i, j] - 2 * full(point)[i, j] + full(point - h * e)[i, j]) / h**2 for e in np.eye(3)
        )

    # divergence-free columns: curl curl = -laplacian
    np.testing.assert_allclose(laplacian(0, 1), -(K**2) * full(point)[0, 1], rtol=1e-3)
    far = green.in_plane(point[:2] * 1e3, K, far_field=True).value
    np.testing.assert_allclose(
        far, green.in_plane(point[:2] * 1e3, K, far_field=False).value, rtol=0, atol=1e-3 * abs(far).max()
    )


@pytest.mark.parametrize(("distance", "modulus"), [(1e-6, 0.038), (2e-6, 0.010), (3e-6, 0.0045), (5e-6, 0.0016)])
def test_far_field_error_table(distance, modulus):
    position = np.array([[0.0, 0.0], [distance, 0.0]])
    field = beams.linear_polarization(np.ones(2), np.zeros(2), np.full(2, np.pi / 2))
    exact = green.in_plane(position[0] - position[1], K, far_field=False)
    kappa = K - 1 / Z_R
    far = green.in_plane(position[0] - position[1], K, far_field=True).value[1, 1] * kappa**2
    ratio = (kappa**2 * exact.value[1, 1] - exact.z_curvature[1, 1]) / far
    assert abs(ratio) - 1 == pytest.approx(modulus, abs=0.0006)
    error = binding.far_field_error(position, field, K, Z_R)
    assert error[0, 1] == pytest.approx(abs(ratio - 1), rel=1e-9, abs=0)
    assert error[0, 0] == 0


def test_rieser_like_numbers():
    """105 nm silica at 1064 nm, w = 0.8 um, 0.3 W, 2.5 um apart: frequencies and rates by hand."""
    particle = {"radius": 105e-9, "density": 1850.0, "refractive_index": 1.45, "power": 0.3, "polarization": np.pi / 2}
    scenario = sb.TweezerScenario(
        name="pair",
        light={"wavelength": 1064e-9, "waist": 0.8e-6},
        gas={"pressure": 1e-5, "temperature": 300.0},
        particle=[{**particle, "position": (0.0, 0.0)}, {**particle, "position": (2.5e-6, 0.0)}],
    )
    derived = {name: item.value for name, item in scenario.derived().items()}
    assert derived["mass"][0] == pytest.approx(8.971e-18, rel=1e-4, abs=0)
    assert derived["trap_frequency"][0] == pytest.approx(55.47e3, rel=1e-4, abs=0)
    assert derived["recoil_heating_rate"][0] == pytest.approx(1.139e6, rel=1e-3, abs=0)
    assert derived["gas_heating_rate"][0] == pytest.approx(4.4e4, rel=0.01, abs=0)  # at 1e-7 mbar
    trap = 2 * derived["mass"][0] * derived["trap_angular_frequency"][0]
    strength = derived["coupling"][0, 1] / trap / np.cos(K * 2.5e-6) / (2 * np.pi)
    assert strength == pytest.approx(12.42e3, rel=1e-3, abs=0)
    bound = 2 * derived["mass"][0] * derived["angular_frequency"][0]
    assert derived["coupling_rate"][0, 1] == pytest.approx(derived["coupling"][0, 1] / bound, rel=1e-12, abs=0)
    assert scenario.wavenumber * 2.5e-6 == pytest.approx(14.763, rel=1e-4, abs=0)


def test_radiation_pressure_moves_the_equilibrium():
    """Balance of the gradient force and the radiation pressure on the axis, by a root search of the forces."""
    u, f, z_r = np.array([2.0, 2.0, 2.0]), np.array([0.1, 0.6, 0.99]), 1.0

    def force(z, j):
        return -u[j] * z / (1 + z**2) ** 2 + f[j] / (1 + z**2)

    shift, softening = beams.pushed_equilibrium(u, f, z_r)
    for j in range(3):
        root = optimize.brentq(force, 0, 1, args=(j,))
        assert shift[j] == pytest.approx(root, rel=1e-10, abs=0)
        slope = -(force(root + 1e-6, j) - force(root - 1e-6, j)) / 2e-6
        assert softening[j] == pytest.approx(slope / u[j], rel=1e-6, abs=0)
    assert np.isnan(beams.pushed_equilibrium(u[:1], np.array([1.001]), z_r)[0][0])
    assert beams.pushed_equilibrium(u[:1], np.array([0.0]), z_r) == (0.0, 1.0)


def test_gas_friction_limits():
    radius = np.array([105e-9])
    mass = gas.AIR_MOLAR_MASS / constants.N_A
    thermal = constants.k * 300.0
    dilute = gas.friction(radius, 1e-3, 300.0, gas.AIR_MOLAR_MASS, gas.air_viscosity(300.0))
    epstein = 8 / 3 * (1 + np.pi / 8) * np.sqrt(2 * np.pi * mass / thermal) * radius**2 * 1e-3
    np.testing.assert_allclose(dilute, epstein, rtol=1e-4)
    np.testing.assert_allclose(gas.friction(radius, 1e-3, 300.0, gas.AIR_MOLAR_MASS, 5e-5), dilute, rtol=1e-4)
    dense = gas.friction(np.array([1e-3]), 1e5, 300.0, gas.AIR_MOLAR_MASS, gas.air_viscosity(300.0))
    np.testing.assert_allclose(dense, 6 * np.pi * gas.air_viscosity(300.0) * 1e-3, rtol=1e-3)
    assert gas.air_viscosity(293.15) == pytest.approx(1.81e-5, rel=0.01, abs=0)
    assert gas.friction(radius, 0.0, 300.0, gas.AIR_MOLAR_MASS, 1.8e-5)[0] == 0.0
    assert abs(dilute[0] / epstein[0] * np.pi / 2 - 1) > 0.5  # the twin: a wrong factor would be seen


def test_peak_field_carries_the_power():
    """The power through the focal plane, integrated over the Gaussian, is the power of the tweezer."""
    field = float(beams.peak_field(np.array(0.3), WAIST))
    r = np.linspace(0, 6 * WAIST, 20001)
    intensity = 0.5 * constants.epsilon_0 * constants.c * (field * np.exp(-((r / WAIST) ** 2))) ** 2
    assert np.trapezoid(intensity * 2 * np.pi * r, r) == pytest.approx(0.3, rel=1e-6, abs=0)


def test_polarization_along_the_axis_does_not_couple_in_the_far_field():
    along, across = pair(3e-6, 0.3, angle=0.0), pair(3e-6, 0.3)
    assert np.abs(along.coupling).max() < 1e-12 * np.abs(across.coupling).max()
    assert np.abs(pair(3e-6, 0.3, angle=0.0, far_field=False).coupling).max() > 0
