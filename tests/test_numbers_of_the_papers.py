"""Every headline number of the two papers on quantum optical binding, in one place, as it is right.

PRL: Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024); PRA: Rudolph et al., Phys. Rev. A 110, 063507 (2024). Where a
printed number or equation is wrong, the test has the right one, and fails with the printed one. Those of chains, PRA
eqs. (96)-(101) and Fig. 2(b), are in test_chains.py, and the heat along stable ones in test_arrays.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import constants, integrate, optimize

import stochbind as sb
from stochbind import amplitudes
from stochbind.analysis import heating, saturation, thermodynamics
from stochbind.langevin import Moments
from stochbind.modes.exceptional_points import exceptional_points
from stochbind.modes.spectrum import modes
from stochbind.optics import binding, chain_response, chains, lattices, pairs, particles, regimes
from stochbind.quantum import conditional_states, entanglement, measurement, modulation, squeezing
from stochbind.quantum.master_equation import completely_positive, equations_of_motion, evolved, pair_generator

HBAR = constants.hbar
TURN = 2 * math.pi
#: Waist and wavelength of the reference pair.
K, Z_R = TURN / 1064e-9, math.pi * 0.8e-6**2 / 1064e-9


@pytest.fixture(scope="module")
def reference():
    """Like the pair of Rieser et al., Science 377, 987 (2022)."""
    return sb.Scenario.from_toml("scenarios/rieser_like_pair.toml")


def pair_at(distance, scenario):
    """G/kd, D11 and kd of the reference pair at a distance [m]; the frequency is that of the tweezers alone."""
    omega = np.sqrt(scenario.trap_stiffness / scenario.mass)
    alpha = scenario.susceptibility * particles.sphere_volume(scenario.radius)
    strength = pairs.strength(scenario.mass, omega, alpha, scenario.peak_field, K, Z_R)
    return strength / (K * distance), strength * pairs.recoil_ratio(K, Z_R), K * distance


def rates(g_r=0.0, g_a=0.0, recoil=1.0, common=0.0):
    return pairs.Rates(np.array(g_r), np.array(g_a), np.full(2, recoil), np.array(common + 1j * g_a))


def chain(n):
    return lattices.chain(n, 0.25 * math.pi + TURN), lattices.stepped_phases(1, n, 0.25 * math.pi)


# PRL


@pytest.mark.parametrize(
    ("phase", "distance", "expected"),
    [(0, 0, (1, 0, 0)), (0.25, 0.25, (0.5, 0.5, 0.5)), (0.5, 0.5, (0, 1, 0)), (0, 0.5, (0, 0, 1))],
)
def test_points_of_figure_3a(phase, distance, expected):
    kd = 8 * math.pi + distance * math.pi
    found = pairs.far_field_rates(kd, phase * math.pi, kd, 0.0)
    values = (found.reciprocal, found.antireciprocal, found.recoil_correlation.real)
    assert values == pytest.approx(expected, abs=1e-12)


def test_regions_of_figure_3a_are_no_partition():
    middle = (np.arange(1500) + 0.5) * math.pi / 1500
    kd = 8 * math.pi + middle[:, None]
    here = pairs.far_field_rates(kd, middle, kd, 0.0)
    flags = regimes.regimes(here.reciprocal, here.antireciprocal, here.recoil_correlation)
    assert [float(flag.mean()) for flag in flags] == pytest.approx([0.375, 0.417, 0.375, 0.047], abs=1e-3)
    blue, green, orange, violet = flags
    overlaps = [(blue & green).mean(), (orange & green).mean(), (violet & green).mean()]
    assert overlaps == pytest.approx([0.130, 0.130, 0.024], abs=1e-3)
    assert (~(blue | green | orange | violet)).mean() == pytest.approx(0.069, abs=1e-3)


def test_exceptional_points():
    g_r, g_a = 0.6, 1.0

    def family(detuning):
        return amplitudes.optical_binding_pair(g_r, g_a, detuning, np.array([[9, 1j], [-1j, 9]]))[0]

    found = exceptional_points(family, -1.0, 5.0)
    assert [one.parameter for one in found] == pytest.approx([2 * g_a - 1.6, 2 * g_a + 1.6], rel=1e-10, abs=0)
    assert [one.order for one in found] == [2, 2]


def test_gas_holds_a_pair_whose_modes_grow_by_less_than_half_its_damping():
    g_r, g_a, omega = 0.003, 0.005, 1.0
    limit = 2 * math.sqrt(g_a**2 - g_r**2)
    for damping, stable in ((limit * (1 - 1e-6), False), (limit * (1 + 1e-6), True)):
        array = sb.Oscillators(
            mass=np.ones(2),
            stiffness=np.full(2, omega**2),
            friction=np.full(2, damping),
            bath_temperature=np.ones(2),
            coupling=2 * omega * np.array([[0, g_r + g_a], [g_r - g_a, 0]]),
            reduced=True,
        )
        assert array.langevin().stability.stable is stable


def test_the_decaying_and_the_growing_mode():
    g_a = 0.7
    H, _ = amplitudes.optical_binding_pair(0.0, g_a, 2 * g_a, np.array([[9, g_a * 1j], [-g_a * 1j, 9]]))
    found = modes(sb.Langevin.from_complex(H, np.zeros((2, 2))))
    order = np.argsort(found.frequency.imag)
    assert found.frequency.imag[order] == pytest.approx([-g_a, g_a], rel=1e-12, abs=0)
    # b = (a_1 -+ i a_2)/sqrt 2 obeys db/dt = -+ g_a b: the upper one decays
    for row, sign in ((np.array([1, -1j]), -1), (np.array([1, 1j]), 1)):
        np.testing.assert_allclose(-1j * row @ H, sign * g_a * row, atol=1e-15)


def test_where_the_decaying_mode_saturates(reference):
    """D11 kd/2G - 1/2: with the noise 2D of the text below PRL (11) it would be 11.5 in place of 5.75."""
    assert saturation.saturated_occupation(12.5, 1.0) == pytest.approx(5.75, rel=1e-12, abs=0)
    for distance, quanta in ((2.5e-6, 6.80), (3e-6, 8.26)):
        g, recoil, _ = pair_at(distance, reference)
        assert saturation.saturated_occupation(recoil, g) == pytest.approx(quanta, abs=0.006)
    H, noise = amplitudes.optical_binding_pair(0.0, 1.0, 2.0, np.array([[12.5, 1j], [-1j, 12.5]]))
    row = np.array([1, -1j]) / math.sqrt(2)
    # d<n>/dt = -2 g_a <n> + what noise adds to b = (a_1 - i a_2)/sqrt 2
    added = (row @ noise @ row.conj()).real
    assert added / (-2 * (row @ H @ row.conj()).imag) == pytest.approx(5.75, rel=1e-12, abs=0)


def test_modes_heat_differently_by_ten_to_fifteen_percent():
    for wavelength, waist, near, far in (
        (1064e-9, 0.8e-6, 2.28e-6, 3.43e-6),
        (1064e-9, 0.73e-6, 2.25e-6, 3.38e-6),
        (1550e-9, 1e-6, 3.25e-6, 4.87e-6),
    ):
        k, z_r = TURN / wavelength, math.pi * waist**2 / wavelength
        found = heating.distance_of_difference(np.array([0.15, 0.10]), k, z_r)
        assert found == pytest.approx([near, far], abs=0.006e-6)
    assert float(heating.largest_difference(1.0, K, Z_R)) * K == pytest.approx(2.02, abs=0.005)


def test_one_photon_in_ten(reference):
    for distance, photons in ((2.5e-6, 14.6), (2e-6, 11.7), (1.5e-6, 8.8)):
        g, recoil, _ = pair_at(distance, reference)
        assert recoil / g == pytest.approx(photons, abs=0.06)


def test_the_pressure_at_which_recoil_and_gas_heat_alike(reference):
    low = type(reference).model_validate({**reference.to_dict(), "gas": {"pressure": 1e-5, "temperature": 300.0}})
    derived = low.derived()
    assert derived["gas_heating_rate"].value[0] == pytest.approx(4.4e4, rel=0.01, abs=0)
    assert derived["recoil_heating_rate"].value[0] == pytest.approx(1.14e6, rel=2e-3, abs=0)
    assert heating.pressure_of_equal_heating(low) / 100 == pytest.approx([2.6e-6] * 2, rel=0.01, abs=0)


def test_no_entanglement_if_recoil_exceeds_the_coupling():
    g, omega = 1.0, 100.0
    generator = np.random.default_rng(1)
    for recoil, entangled in ((1.0 - 1e-3, True), (1.0 + 1e-3, False)):
        pair = rates(g_r=g, recoil=recoil)
        assert bool(entanglement.never_entangles(pair)) is not entangled
        assert (float(entanglement.entangling_rate(pair_generator(pair, omega))) > 1e-4) is entangled
    # the condition for complete positivity is another one: the imaginary part of D12 in place of g_r
    assert completely_positive(pair_generator(rates(g_r=g, recoil=0.5), omega))
    # products of squeezed states, at the edge, are not entangled at any time
    r = generator.uniform(-1, 1, (60, 2))
    start = np.zeros((60, 4, 4))
    for j in (0, 1):
        start[:, j, j], start[:, 2 + j, 2 + j] = 0.5 * np.exp(2 * r[:, j]), 0.5 * np.exp(-2 * r[:, j])
    equation = pair_generator(rates(g_r=g, recoil=1.0), omega)
    least = min(entanglement.transposed_eigenvalue(v).min() for v in evolved(equation, start, 0.01, 200))
    assert least > 0.5 - 1e-12


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 5.0])
def test_squeezing_stops_at_half_the_recoil_over_the_coupling(ratio):
    """V_min = D11/2g with phi = 2 omega t; within a turn it swings by about g/omega, here 1 %."""
    g, kd = 0.01, 8 * math.pi
    running = modulation.running_phase(kd, g * kd, ratio * g, 1.0)
    assert modulation.squeezing_threshold(kd, g * kd) == pytest.approx(g, rel=1e-9, abs=0)
    vacuum = Moments(np.zeros(4), 0.5 * np.eye(4))
    difference = np.kron(np.eye(2), np.array([[-1.0, 1.0]]) / math.sqrt(2))
    times = TURN * 60 + np.arange(8) * math.pi / 4
    found = [
        float(squeezing.smallest_variance(difference @ running.moments(t, vacuum).covariance @ difference.T))
        for t in times
    ]
    assert np.mean(found) == pytest.approx(ratio / 2, rel=2e-3, abs=0)
    assert found == pytest.approx([ratio / 2] * 8, rel=0.014, abs=0)


def test_conditional_entanglement_takes_more_than_is_necessary():
    for coupling, threshold in ((0.02, 0.968), (0.1, 0.941)):
        array = sb.Oscillators(
            mass=np.ones(2),
            stiffness=np.full(2, 1 + 2 * coupling),
            friction=np.zeros(2),
            bath_temperature=np.zeros(2),
            coupling=2 * coupling * np.array([[0.0, 1.0], [1.0, 0.0]]),
            diffusion=10 * coupling * np.eye(2),
            reduced=True,
        )

        def eigenvalue(efficiency, array=array):
            known = measurement.conditional_covariance(measurement.Homodyne(array, efficiency))
            return float(entanglement.transposed_eigenvalue(known)) - 0.5

        assert optimize.brentq(eigenvalue, 0.9, 0.999) == pytest.approx(threshold, abs=6e-4)
        rates = pairs.Rates(np.array(coupling), np.array(0.0), np.full(2, 10 * coupling), np.array(0j))
        assert conditional_states.necessary_efficiency(rates) == pytest.approx(0.9, rel=1e-12)


def test_the_reference_pair(reference):
    assert reference.mass[0] == pytest.approx(8.971e-18, rel=1e-3, abs=0)
    assert math.sqrt(reference.trap_stiffness[0] / reference.mass[0]) / TURN == pytest.approx(55.47e3, rel=1e-3)
    for distance, coupling, kd in ((2.5e-6, 12.42e3, 14.763), (3e-6, 10.35e3, 17.716)):
        g, recoil, found = pair_at(distance, reference)
        assert g / TURN == pytest.approx(coupling, rel=1e-3, abs=0)
        assert found == pytest.approx(kd, rel=1e-3, abs=0)
        assert recoil == pytest.approx(1.139e6, rel=1e-3, abs=0)
    volume = particles.sphere_volume(reference.radius)
    amplitude, alpha = reference.peak_field[0], (reference.susceptibility * volume)[0]
    scattered = constants.epsilon_0 * constants.c * K**4 * alpha**2 * amplitude**2 / (12 * math.pi)
    assert scattered == pytest.approx(0.294e-3, rel=2e-3, abs=0)
    assert 0.8e-12 < reference.radiation_pressure[0] < 1.0e-12


# PRA


@pytest.mark.parametrize("far_field", [True, False])
def test_the_commutator_is_kept(far_field):
    """C - C^T = 4 Im D / hbar, without the factor i printed below (90); E_1 = E_2 exp(i pi/4) of (91)-(93)."""
    kd = 0.25 * math.pi + 2 * TURN
    field = 1e7 * np.array([[0, np.exp(0.25j * math.pi)], [0, 1]])
    light = binding.binding(np.array([[0, 0], [kd / K, 0]]), field, np.full(2, 4e-21), K, Z_R, far_field=far_field)
    scale = abs(light.coupling[0, 1])
    assert light.coupling - light.coupling.T == pytest.approx(4 * light.diffusion.imag / HBAR, abs=1e-12 * scale)
    if far_field:
        assert abs(light.coupling[1, 0]) < 1e-12 * scale < light.coupling[0, 1]
        np.testing.assert_allclose(light.diffusion[0, 1], (1 + 1j) * HBAR * light.coupling[0, 1] / 4, rtol=1e-12)


def test_recoil_is_that_of_photons_in_all_directions():
    """(87a): the mean square of (kappa - k n_z) over the dipole pattern, (P_s/hbar c k) hbar^2 (kappa^2 + 2k^2/5)/2."""
    kappa, amplitude, alpha = K - 1 / Z_R, 1e7, 4e-21
    light = binding.binding(np.zeros((1, 2)), amplitude * np.array([[0, 1.0]]), np.array([alpha]), K, Z_R)
    power = constants.epsilon_0 * constants.c * K**4 * alpha**2 * amplitude**2 / (12 * math.pi)

    def pattern(polar, azimuth):  # polarized along y
        y, z = math.sin(polar) * math.sin(azimuth), math.cos(polar)
        return 3 / (8 * math.pi) * (1 - y**2) * (kappa - K * z) ** 2 * math.sin(polar)

    kick, _ = integrate.dblquad(pattern, 0, TURN, 0, math.pi)
    expected = power / (HBAR * constants.c * K) * HBAR**2 * kick / 2
    assert light.diffusion[0, 0].real == pytest.approx(expected, rel=1e-10, abs=0)


def test_a_pair_hands_on_one_way():
    """|chi_21|^2 = (2g/gamma)^2 = 4 at g = gamma, nothing back; the driven particle is at T + 2 (g/gamma)^2 T."""
    coupling = chains.couplings(*chain(2), 1.0)
    found = np.abs(chain_response.susceptibility(coupling, 20.0, 1.0, 20.0)) ** 2
    assert found[1, 0] == pytest.approx(4.0, rel=1e-12, abs=0)
    assert found[0, 1] < 1e-25
    array = replace(stable_chain(2), coupling=2 * 20 * coupling)
    kinetic = thermodynamics.kinetic_temperature(array, array.langevin().stationary_covariance())
    assert kinetic == pytest.approx([1.0, 3.0], rel=1e-9, abs=0)


def stable_chain(n):
    """The chain with g = 0.3 damping rates, in baths of one unit of temperature."""
    return sb.Oscillators(
        mass=np.ones(n),
        stiffness=np.full(n, 400.0),
        friction=np.ones(n),
        bath_temperature=np.ones(n),
        coupling=2 * 20 * chains.couplings(*chain(n), 0.3),
        reduced=True,
    )


def test_the_far_field_recoil_of_a_dense_chain_is_impossible():
    """For more than two particles D_jj D_kk > |D_jk|^2 is not enough, contrary to the text below PRA (87)."""
    place = np.stack([0.45e-6 * np.arange(40), np.zeros(40)], axis=1)
    field = np.tile([0, 1e7 + 0j], (40, 1))
    found = {
        far: binding.binding(place, field, np.full(40, 4e-21), K, Z_R, far_field=far).diffusion for far in (True, False)
    }
    least = {far: float(np.linalg.eigvalsh(d)[0] / d[0, 0].real) for far, d in found.items()}
    assert least[True] == pytest.approx(-0.0117, abs=1e-4)
    assert least[False] > -1e-12
    size = np.abs(found[True] - np.diag(np.diagonal(found[True])))
    assert size.max() < 0.2 * found[True][0, 0].real


def test_occupation_in_two_orderings():
    """The Wigner function has half a quantum more than normal order: of the same pair, at every time."""
    H, normal = amplitudes.optical_binding_pair(0.2, 0.1, 0.3, np.array([[2.0, 0.1 + 0.1j], [0.1 - 0.1j, 2.0]]))
    symmetric = amplitudes.to_symmetric(H, normal)
    for time in (0.3, 2.0):
        found = []
        for noise, start in ((normal, 0.0), (symmetric, 0.5)):
            begin = Moments(np.zeros(4), amplitudes.real_covariance(start * np.eye(2)))
            covariance = sb.Langevin.from_complex(H, noise).moments(time, begin).covariance
            found.append(amplitudes.correlation(covariance))
        np.testing.assert_allclose(found[1] - found[0], 0.5 * np.eye(2), atol=1e-12)


def test_equations_of_a_generator_are_those_of_its_trajectories():
    """Recoil of 2D in the momentum is D in each quantum: without coupling n grows at D11, whatever the frequency."""
    equation = pair_generator(rates(recoil=3.0), 50.0)
    vacuum = Moments(np.zeros(4), 0.5 * np.eye(4))
    covariance = equations_of_motion(equation).moments(10 * TURN / 50.0, vacuum).covariance
    quanta = 0.5 * (covariance[0, 0] + covariance[2, 2]) - 0.5
    assert quanta == pytest.approx(3.0 * 10 * TURN / 50.0, rel=1e-9, abs=0)
