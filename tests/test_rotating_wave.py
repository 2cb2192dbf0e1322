"""Arrays in a rotating frame: the matrix of the Letter, both orderings of the noise, and what is left out."""

import math

import numpy as np
import pytest
from scipy import constants

import stochbind as sb
from stochbind import amplitudes
from stochbind.errors import NoiseError, PlanError, ScenarioError
from stochbind.modes.rotating_wave import rotating_frame, rotating_wave_error
from stochbind.modes.spectrum import modes
from stochbind.optics.pairs import rates_from
from stochbind.oscillators import Oscillators
from stochbind.quantum.quadratures import quadratures, with_quantum_baths
from systems import overdamped_pair


def pair(g_r, g_a, *, frequency=(1.0, 1.0), damping=0.0, temperature=0.0, diffusion=None, reduced=True):
    own = np.array(frequency)
    scale = 2 * math.sqrt(own.prod())
    return Oscillators(
        mass=np.ones(2),
        stiffness=own**2,
        friction=np.full(2, damping),
        bath_temperature=np.full(2, temperature),
        coupling=scale * np.array([[0, g_r + g_a], [g_r - g_a, 0]]),
        diffusion=diffusion,
        reduced=reduced,
    )


def test_the_matrix_and_the_noise_of_the_letter(unidirectional):
    """PRL, eqs. (8), (10), (11), from the tweezers; noise D, not 2D, and the minus at particle 1."""
    array = with_quantum_baths(unidirectional.oscillators())
    array = Oscillators(
        mass=array.mass,
        stiffness=array.stiffness * [1.0, 1.02],
        friction=np.zeros(2),
        bath_temperature=np.zeros(2),
        coupling=array.coupling,
        diffusion=array.diffusion,
    )
    own = np.sqrt(array.stiffness / array.mass)
    rates = rates_from(array.coupling, array.diffusion, array.mass, own)
    cross = complex(rates.recoil_correlation)
    noise = np.array([[rates.recoil[0], cross], [cross.conjugate(), rates.recoil[1]]])
    detuning = own[1] - own[0] + 2 * float(rates.antireciprocal)
    h, gamma = amplitudes.optical_binding_pair(
        float(rates.reciprocal), float(rates.antireciprocal), float(detuning), noise
    )
    frame = rotating_frame(array)
    np.testing.assert_allclose(frame.H, h, atol=1e-10 * np.abs(h).max())
    np.testing.assert_allclose(frame.normal_noise, gamma, rtol=1e-6)
    np.testing.assert_allclose(frame.symmetric_noise, gamma.real, rtol=1e-12)
    assert frame.frequency == pytest.approx(own.mean())
    # the twins: couplings the other way round, frequencies the other way round, and twice the noise
    assert np.abs(frame.H.T - h).max() > 0.1 * np.abs(h).max()
    assert np.abs(frame.H[::-1, ::-1] - h).max() > 0.1 * np.abs(h).max()
    assert np.abs(2 * gamma.real - frame.symmetric_noise).max() > 0.1 * gamma.real.max()


def test_the_frequency_of_the_frame_shifts_all_frequencies():
    array = pair(0.01, 0.02, frequency=(1.0, 1.03), damping=1e-3)
    here, there = rotating_frame(array), rotating_frame(array, 0.9)
    np.testing.assert_allclose(modes(there.H).frequency + 0.9, modes(here.H).frequency + here.frequency, rtol=1e-13)
    assert there.frequency == 0.9


def test_steady_states_of_both_orderings_are_that_of_the_full_equations():
    """Occupations of a damped pair, to the order of the rates over the frequency."""
    recoil = np.array([[0.04, 0.01 + 0.004j], [0.01 - 0.004j, 0.04]])
    for size, tolerance in ((1.0, 1.5e-2), (0.1, 1.5e-3)):
        array = with_quantum_baths(
            pair(0.002 * size, 0.004 * size, damping=0.02 * size, temperature=3.0, diffusion=recoil * size)
        )
        second = quadratures(array).stationary_covariance()
        full = 0.5 * (np.diagonal(second)[:2] + np.diagonal(second)[2:]) - 0.5
        for ordering in ("symmetric", "normal"):
            covariance = rotating_frame(array).langevin(ordering).stationary_covariance()
            value = amplitudes.occupation(covariance, ordering=ordering)
            np.testing.assert_allclose(value, full, rtol=tolerance)
        wrong = amplitudes.occupation(rotating_frame(array).langevin("symmetric").stationary_covariance())
        assert np.abs(wrong - full).min() > 0.4  # half a quantum too many


def test_the_imaginary_part_of_the_recoil_comes_back():
    """Nobody put it in: it is in the couplings, and the commutator of the noise asks for it."""
    array = sb.Scenario.from_toml("scenarios/unidirectional_pair.toml").oscillators()
    momentum = np.sqrt(array.stiffness * array.mass)
    recoil = array.diffusion / (constants.hbar * np.sqrt(np.outer(momentum, momentum)))
    assert rotating_frame(array).normal_noise[0, 1] == pytest.approx(recoil[0, 1], rel=1e-6)


def test_noise_below_the_vacuum_has_no_normal_order():
    cold = pair(0.0, 0.0, damping=0.01)
    with pytest.raises(NoiseError, match="normally ordered Gamma"):
        rotating_frame(cold).langevin("normal")
    rotating_frame(with_quantum_baths(cold)).langevin("normal")


@pytest.mark.parametrize("g", [0.05, 0.025, 1e-3])
def test_the_error_of_a_purely_antireciprocal_pair(g):
    """Exact for equal frequencies: omega = Omega sqrt(1 -+ 2ig/Omega), of which the frame keeps Omega -+ ig."""
    error = rotating_wave_error(pair(0.0, g))
    truth = np.sqrt(1 + 2j * g * np.array([1, -1]))
    np.testing.assert_allclose(error.full, truth, atol=1e-14)
    np.testing.assert_allclose(error.rotating, [1 + 1j * g, 1 - 1j * g], atol=1e-14)
    assert error.scale == pytest.approx(g)
    assert error.relative == pytest.approx(g / 2, rel=0.01)  # of the frequency, in first order
    assert error.relative_damping == pytest.approx(g**2 / 2, rel=0.02)  # of the rates, in second order only


def test_frequencies_without_binding_make_the_error_of_the_rates_first_order():
    """The shift g_r -+ g_a of PRL, eq. (9), is of first order itself: 2.7 % of a rate at a coupling of 0.05."""
    g_r, g_a = 0.025, 0.05
    detuning, scale = 2 * g_a, 2.0
    own = 1 + np.array([-1, 1]) * detuning / 2
    stiffness = own**2 + scale * np.array([g_r + g_a, g_r - g_a])
    array = Oscillators(
        mass=np.ones(2),
        stiffness=stiffness,
        friction=np.zeros(2),
        bath_temperature=np.zeros(2),
        coupling=scale * np.array([[0, g_r + g_a], [g_r - g_a, 0]]),
        reduced=True,
    )
    letter = math.sqrt(g_a**2 - g_r**2)
    full = modes(array).frequency.imag.max()
    assert letter / full - 1 == pytest.approx(0.027, abs=0.002)
    best = rotating_wave_error(array)
    assert best.rotating.imag.max() / full - 1 == pytest.approx(0.0, abs=0.002)


def test_uncoupled_oscillators_are_judged_by_their_damping():
    error = rotating_wave_error(pair(0.0, 0.0, frequency=(1.0, 1.2), damping=0.02))
    assert error.scale == pytest.approx(0.01)
    assert error.relative == pytest.approx((1.0 - math.sqrt(1 - 1e-4)) / 0.01, rel=1e-6)
    assert rotating_wave_error(pair(0.0, 0.0)).relative == 0.0


def test_wrong_input_is_refused():
    with pytest.raises(ScenarioError, match="overdamped"):
        rotating_frame(overdamped_pair())
    with pytest.raises(ScenarioError, match="modes that oscillate"):
        rotating_wave_error(pair(0.0, 0.0, damping=3.0))
    with pytest.raises(ScenarioError, match="`frequency` must be finite"):
        rotating_frame(pair(0.0, 0.1), math.inf)
    with pytest.raises(PlanError, match="`ordering` must be"):
        rotating_frame(pair(0.0, 0.1)).langevin("antinormal")
