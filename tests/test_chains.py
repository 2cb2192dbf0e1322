"""Chains and lattices: places, couplings against optics in SI, waves, stability, response; PRA eqs. (96)-(101)."""

import math

import numpy as np
import pytest
from scipy import constants, linalg, optimize

import stochbind as sb
from stochbind.errors import NoiseError, ScenarioError, UnstableError
from stochbind.optics import binding, chain_response, chains, lattices, pairs

QUARTER = 0.25 * math.pi
#: The chain of PRA, Fig. 2(b): frequency and damping rate in units of the latter.
FREQUENCY, DAMPING = 20.0, 1.0


def chain(n, turns=0):
    """Places in units of 1/k, and phases: kd = pi/4 beside whole turns, and a step of pi/4."""
    return lattices.chain(n, QUARTER + 2 * math.pi * turns), lattices.stepped_phases(1, n, QUARTER)


def rates(n, coupling_rate=1.0):
    return chains.couplings(*chain(n), coupling_rate)


def drift(coupling):
    """The whole drift, as equations of motion of first order."""
    n = len(coupling)
    force = FREQUENCY**2 * np.eye(n) - 2 * FREQUENCY * coupling
    return np.block([[np.zeros((n, n)), np.eye(n)], [-force, -DAMPING * np.eye(n)]])


def growth(coupling):
    return np.linalg.eigvals(drift(coupling)).real.max()


def test_places():
    np.testing.assert_array_equal(lattices.chain(3, 2.0), [[0, 0], [2, 0], [4, 0]])
    np.testing.assert_array_equal(lattices.square(2, 2, 3.0), [[0, 0], [3, 0], [0, 3], [3, 3]])
    for n in (3, 4, 7):
        ring = lattices.ring(n, 1.5)
        np.testing.assert_allclose(np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1), 1.5, rtol=1e-14)
        turned = ring @ np.array([[0, 1], [-1, 0]])
        assert ((ring * np.roll(turned, 1, axis=0)).sum(axis=1) > 0).all()  # counter-clockwise
    row = math.sqrt(0.75)
    expected = [[0, 0], [1, 0], [0.5, row], [1.5, row], [1, 2 * row], [2, 2 * row]]
    np.testing.assert_allclose(lattices.triangular(3, 2, 1.0), expected, rtol=1e-14)
    middle = lattices.triangular(3, 3, 1.0)
    distance = np.linalg.norm(middle - middle[4], axis=1)
    assert np.isclose(distance, 1.0, rtol=1e-14).sum() == 6


def test_phases():
    np.testing.assert_allclose(lattices.stepped_phases(2, 3, 0.1, 1.0), [0, 0.1, 0.2, 1, 1.1, 1.2])
    np.testing.assert_allclose(lattices.alternating_phases(2, 2, 0.3), [0, 0.3, 0.3, 0])
    winding = lattices.winding_phases(5, 2)
    step = np.exp(1j * (np.roll(winding, -1) - winding))
    np.testing.assert_allclose(step, np.exp(0.8j * math.pi), rtol=1e-14)  # the same also where the ring closes


def test_couplings_of_a_pair_and_of_a_chain():
    """PRA (91): E_1 = E_2 exp(i pi/4) at kd = pi/4 has C_12 = C and C_21 = 0; a step of pi/4 is the other way."""
    place = lattices.chain(2, QUARTER)
    np.testing.assert_allclose(chains.couplings(place, [QUARTER, 0.0]), [[0, 1], [0, 0]], atol=1e-15)
    np.testing.assert_allclose(rates(2), [[0, 0], [1, 0]], atol=1e-15)
    # one way all positive, the other way in turn zero, positive and negative
    first_row, first_column = rates(9)[0, 1:], rates(9)[1:, 0]
    m = np.arange(1, 9)
    np.testing.assert_allclose(first_column, 1.0 / m, rtol=1e-12)
    np.testing.assert_allclose(first_row * m, [0, -1, 0, 1, 0, -1, 0, 1], atol=1e-14)
    other = chains.couplings(chain(9)[0], -chain(9)[1])
    np.testing.assert_allclose(other, rates(9).T, atol=1e-15)
    assert np.abs(other - rates(9)).max() > 0.9


def test_rates_of_a_pair_are_those_of_the_letter():
    for kd, phase in ((4.0, 0.7), (9.3, -1.1)):
        place = np.array([[0.0, 0.0], [0.0, kd]])
        pair = pairs.far_field_rates(kd, phase, kd, 7.0)
        coupling = chains.couplings(place, [phase, 0.0])
        mixed = chains.recoil(place, [phase, 0.0], 7.0)
        np.testing.assert_allclose(coupling[0, 1], pair.reciprocal + pair.antireciprocal, rtol=1e-13)
        np.testing.assert_allclose(coupling[1, 0], pair.reciprocal - pair.antireciprocal, rtol=1e-13)
        np.testing.assert_allclose(mixed[0, 1], pair.recoil_correlation, rtol=1e-13)


@pytest.mark.parametrize("polarization", [0.5 * math.pi, 0.4])
def test_rates_of_a_lattice_are_those_of_the_optics_in_si(polarization):
    """Against the couplings and the diffusion of `optics.binding`, which follow from Green's tensor."""
    k, z_r, alpha, field, spacing = 2 * math.pi / 1064e-9, 1.9e-6, 3e-21, 2e7, 2.3e-6
    place = lattices.triangular(2, 3, spacing)
    phase = lattices.stepped_phases(2, 3, 0.9, -0.4)
    light = field * np.exp(1j * phase)[:, None] * np.array([math.cos(polarization), math.sin(polarization)])
    exact = binding.binding(place, light, np.full(6, alpha), k, z_r)
    largest = float(pairs.largest_coupling(spacing, alpha, field, k, z_r))
    rate = 0.5 * largest  # in units of m omega_0
    ratio = pairs.recoil_ratio(k, z_r) * k * spacing
    found = chains.couplings(k * place, phase, rate, polarization=polarization)
    np.testing.assert_allclose(2 * found, exact.coupling, rtol=0, atol=1e-11 * largest)
    mixed = chains.recoil(k * place, phase, ratio * rate, rate, polarization=polarization)
    np.testing.assert_allclose(
        constants.hbar * mixed, exact.diffusion, rtol=0, atol=1e-10 * constants.hbar * ratio * rate
    )
    np.testing.assert_allclose(found - found.T, 2 * mixed.imag, rtol=0, atol=1e-12 * largest)
    wrong = chains.couplings(k * place, -phase, rate, polarization=polarization)
    assert np.abs(2 * wrong - exact.coupling).max() > 0.1 * largest
    assert np.abs(2 * chains.couplings(k * place, phase, rate) - exact.coupling).max() > 0.01 * largest


def test_recoil_that_no_light_has_is_refused():
    """All pairs obey the inequality of two particles, and yet the matrix has a negative eigenvalue."""
    k, z_r = 2 * math.pi / 1064e-9, math.pi * (0.8e-6) ** 2 / 1064e-9
    kd = k * 0.45e-6
    ratio = pairs.recoil_ratio(k, z_r) * kd
    place, phase = lattices.chain(40, kd), np.zeros(40)
    with pytest.raises(NoiseError, match=r"smallest eigenvalue is -0\.0117") as caught:
        chains.recoil(place, phase, ratio)
    j, m = np.arange(40), np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    direct = np.eye(40) + np.sinc(m * kd / math.pi) * kd / ratio * (m > 0)
    assert np.linalg.eigvalsh(direct)[0] == pytest.approx(caught.value.eigenvalue, rel=1e-9)
    assert np.abs(direct[j[:-1], j[1:]]).max() < 0.2
    assert np.linalg.eigvalsh(chains.recoil(lattices.chain(40, 2 * kd), phase, 2 * ratio))[0] > 0.4 * 2 * ratio


def test_waves_of_an_endless_chain():
    """The closed form against sums of many terms; and its constant imaginary part."""
    for kd, step in ((QUARTER, QUARTER), (0.9, -0.3), (2.0, 1.1)):
        for kappa in (0.4, 1.3, -0.8, 2.4):
            m = np.arange(1, 400_001)
            weight = np.exp(-((m / 1e5) ** 2))  # summable, and one where it matters
            terms = np.cos((kd - step) * m) * np.exp(-1j * kappa * m) + np.cos((kd + step) * m) * np.exp(1j * kappa * m)
            np.testing.assert_allclose((terms * weight / m).sum(), chains.symbol(kappa, kd, step), atol=1e-9)
    kappa = np.linspace(0.01, 0.49 * math.pi, 20)
    np.testing.assert_allclose(chains.symbol(kappa, QUARTER, QUARTER).imag, -0.5 * math.pi, rtol=1e-14)
    np.testing.assert_allclose(chains.symbol(-kappa, QUARTER, QUARTER).imag, 0.5 * math.pi, rtol=1e-14)
    np.testing.assert_allclose(chains.symbol(kappa + 0.5 * math.pi, QUARTER, QUARTER).imag, 0, atol=1e-14)
    printed = -np.log(1 - np.exp(-1j * kappa)) - 0.5 * np.log(1 + np.exp(2j * kappa))
    np.testing.assert_allclose(chains.symbol(kappa, QUARTER, QUARTER), printed, rtol=1e-13)
    found = chains.dispersion(kappa, 0.3, FREQUENCY, QUARTER, QUARTER)
    np.testing.assert_allclose(found, FREQUENCY**2 - 2 * 0.3 * FREQUENCY * printed, rtol=1e-14)
    for lost in (0.0, 0.5 * math.pi, -0.5 * math.pi):
        with pytest.raises(ScenarioError, match="diverges"):
            chains.symbol(lost, QUARTER, QUARTER)


def test_limits_of_stability():
    """By the closed criterion, and by a search with the eigenvalues of the whole drift."""
    for n, limit in ((3, 0.635), (4, 0.4885), (5, 0.4045), (10, 0.3270), (20, 0.3192), (40, 0.3184)):
        found = chains.stability_limit(rates(n), FREQUENCY, DAMPING)
        assert found == pytest.approx(limit, abs=6e-5 if limit < 0.6 else 5e-4)
        root = optimize.brentq(lambda g, n=n: growth(rates(n, g)), 0.2, 0.9, xtol=1e-12)
        assert found == pytest.approx(root, rel=1e-8)
    assert chains.stability_limit(rates(100), FREQUENCY, DAMPING) == pytest.approx(1 / math.pi, rel=1e-5)
    # Waves near a divergence of the dispersion are softer, by the logarithm of N; the faster the particles, the less.
    for frequency, limit in ((FREQUENCY, 0.99739), (100 * FREQUENCY, 1.0000)):
        found = chains.stability_limit(rates(300), frequency, DAMPING) * math.pi
        assert found == pytest.approx(limit, abs=6e-6)
    assert chains.stability_limit(rates(3) + rates(3).T, FREQUENCY, DAMPING) == pytest.approx(
        FREQUENCY / 2 / np.linalg.eigvalsh(rates(3) + rates(3).T).max(), rel=1e-12
    )
    assert chains.stability_limit(np.tril(rates(5)), FREQUENCY, DAMPING) == math.inf  # one-way couplings alone


def test_limits_of_lattices():
    """Of the table in the documentation, found again by a search with the eigenvalues of the whole drift."""
    kd = 2 * math.pi * 3.125
    for place, side, limit in (
        (lattices.square, 3, 0.410),
        (lattices.triangular, 3, 0.267),
        (lattices.triangular, 5, 0.127),
    ):
        unit = chains.couplings(place(side, side, kd), lattices.stepped_phases(side, side, QUARTER))
        found = chains.stability_limit(unit, FREQUENCY, DAMPING)
        assert found == pytest.approx(limit, abs=5e-4)
        assert found == pytest.approx(optimize.brentq(lambda g, c=unit: growth(g * c), 0.05, 0.9, xtol=1e-12), rel=1e-8)


def test_growth_of_the_published_chain():
    """It is linearly unstable for three particles and more."""
    assert chains.growth_rate(rates(2), FREQUENCY, DAMPING) == pytest.approx(-0.5, rel=1e-9)
    for n, rate in ((3, 0.292), (10, 1.032), (20, 1.064), (40, 1.067)):
        found = chains.growth_rate(rates(n), FREQUENCY, DAMPING)
        assert found == pytest.approx(rate, abs=5e-4)
        assert found == pytest.approx(growth(rates(n)), rel=1e-6)
    nearest = np.diag(np.diagonal(rates(40), -1), -1)
    assert chains.growth_rate(nearest, FREQUENCY, DAMPING) < 0  # without the long range it would be stable


def test_susceptibility_is_that_of_the_equations_of_motion():
    """Against the inverse of the whole first-order system."""
    n, omega = 6, 19.3
    coupling = rates(n, 0.3)
    found = chain_response.susceptibility(coupling, FREQUENCY, DAMPING, omega)
    whole = np.linalg.inv(-1j * omega * np.eye(2 * n) - drift(coupling))[:n, n:]
    np.testing.assert_allclose(found, -1j * FREQUENCY * DAMPING * whole, rtol=1e-12, atol=1e-14)
    printed = chain_response.susceptibility(coupling, FREQUENCY, DAMPING, omega, as_printed=True)
    assert np.abs(printed - found).max() > 0.1
    at_resonance = [
        chain_response.susceptibility(coupling, FREQUENCY, DAMPING, FREQUENCY, as_printed=p) for p in (False, True)
    ]
    np.testing.assert_allclose(*at_resonance, rtol=1e-13)
    alone = chain_response.susceptibility(np.zeros((1, 1)), FREQUENCY, DAMPING, FREQUENCY)
    np.testing.assert_allclose(alone, 1.0, rtol=1e-14)


def test_pair_hands_on_one_way():
    found = chain_response.directional_gain(rates(2), FREQUENCY, DAMPING, FREQUENCY)
    assert found.forward == pytest.approx(4.0, rel=1e-12)
    assert found.backward == pytest.approx(0.0, abs=1e-25)


@pytest.mark.parametrize(
    ("n", "peak", "place", "backward", "resonant", "resonant_backward"),
    [
        (10, 4.81, 0.9615, 0.0125, 0.126, 7.15e-3),
        (20, 23.8, 0.9376, 2.2e-3, 4.64e-3, 8.9e-4),
        (40, 238, 0.9112, 6.2e-4, 7.0e-6, 1.5e-5),
    ],
)
def test_formal_curves_of_figure_2b(n, peak, place, backward, resonant, resonant_backward):
    """Of the equations of motion; as there is no steady state, they are the response of nothing."""
    found = chain_response.peak_gain(rates(n), FREQUENCY, DAMPING)
    assert found.gain == pytest.approx(peak, rel=2.5e-3)
    assert found.angular_frequency / FREQUENCY == pytest.approx(place, abs=6e-5)
    there = chain_response.directional_gain(rates(n), FREQUENCY, DAMPING, [found.angular_frequency, FREQUENCY])
    grid = np.linspace(18.0, 20.0, 1001)
    both = chain_response.directional_gain(rates(n), FREQUENCY, DAMPING, grid)
    assert both.backward.max() == pytest.approx(backward, rel=0.01)
    assert there.backward[0] < 0.8 * both.backward.max()
    assert there.forward[1] == pytest.approx(resonant, rel=6e-3)
    assert there.backward[1] == pytest.approx(resonant_backward, rel=0.04)
    for index, omega in enumerate((found.angular_frequency, FREQUENCY)):
        full = chain_response.susceptibility(rates(n), FREQUENCY, DAMPING, omega)
        np.testing.assert_allclose(abs(full[-1, 0]) ** 2, there.forward[index], rtol=1e-8)
        np.testing.assert_allclose(abs(full[0, -1]) ** 2, there.backward[index], rtol=1e-8)


@pytest.mark.parametrize(("n", "peak", "place"), [(10, 3.70, 1.0362), (20, 39.9, 1.0602), (40, 7.05e4, 1.0822)])
def test_peaks_of_the_printed_susceptibility(n, peak, place):
    found = chain_response.peak_gain(rates(n), FREQUENCY, DAMPING, as_printed=True)
    assert found.gain == pytest.approx(peak, rel=1e-3)
    assert found.angular_frequency / FREQUENCY == pytest.approx(place, abs=6e-5)


def test_stable_chains_hand_on_less_than_one_particle_has():
    for n, peak in ((2, 0.360), (10, 0.313), (20, 0.153), (40, 0.065)):
        gain = chain_response.peak_gain(rates(n, 0.3), FREQUENCY, DAMPING).gain
        assert gain == pytest.approx(peak, abs=6e-4)
        grid = np.linspace(18, 22, 801)
        both = chain_response.directional_gain(rates(n, 0.3), FREQUENCY, DAMPING, grid)
        assert both.forward.max() <= gain * (1 + 1e-9)
        assert gain > both.backward.max()


@pytest.mark.parametrize(("n", "share"), [(10, 0.9630), (20, 0.9895), (40, 0.9929)])
def test_gain_above_one_is_next_to_the_limit_of_stability(n, share):
    """Found by bisection, and found again on a fine grid of frequencies with plain solutions."""
    limit = chains.stability_limit(rates(n), FREQUENCY, DAMPING)
    edge = optimize.brentq(
        lambda s: chain_response.peak_gain(rates(n, s * limit), FREQUENCY, DAMPING).gain - 1, 0.9, 0.9995, xtol=1e-6
    )
    assert edge == pytest.approx(share, abs=6e-5)
    top = chain_response.peak_gain(rates(n, edge * limit), FREQUENCY, DAMPING).angular_frequency
    grid = np.linspace(top - 0.5, top + 0.5, 2001)
    matrix = (FREQUENCY**2 - grid**2 - 1j * DAMPING * grid)[:, None, None] * np.eye(n) - 2 * FREQUENCY * rates(
        n, edge * limit
    )
    column = np.linalg.solve(matrix, np.broadcast_to(np.eye(n)[:, :1], (len(grid), n, 1)))
    assert (abs(FREQUENCY * DAMPING * column[:, -1, 0]) ** 2).max() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("rate", "ratios"),
    [(0.3, {2: 0.265, 5: 0.104, 10: 0.066, 20: 0.030, 40: 0.0115}), (1.0, {10: 0.53, 20: 0.40, 40: 0.27})],
)
def test_signal_beside_recoil_noise_falls_with_the_length(rate, ratios):
    """At the peak of the response; 3.1 wavelengths between neighbours. Against noise summed up source by source."""
    kd = 6 * math.pi + QUARTER
    own = rate * kd * 0.98842
    for n, ratio in ratios.items():
        place, phase = chain(n, turns=3)
        coupling, noise = chains.couplings(place, phase, rate), chains.recoil(place, phase, own, rate)
        peak = chain_response.peak_gain(coupling, FREQUENCY, DAMPING)
        arguments = (coupling, noise, FREQUENCY, DAMPING, peak.angular_frequency)
        found = chain_response.signal_to_recoil_noise(*arguments, formally=True)
        assert found == pytest.approx(ratio, abs=6e-4 if rate < 1 else 6e-3)
        response = chain_response.susceptibility(coupling, FREQUENCY, DAMPING, peak.angular_frequency)[-1]
        sources = np.linalg.eigh(noise.real)
        heard = sum(v * abs(response @ u) ** 2 for v, u in zip(sources[0], sources[1].T, strict=True))
        assert found == pytest.approx(peak.gain * own / heard, rel=1e-6)
        if n > 2 and rate == 1.0:
            with pytest.raises(UnstableError, match=r"grows at 1\.0"):
                chain_response.signal_to_recoil_noise(*arguments)


def test_large_chains_in_seconds():
    """The gain of a chain of 300, against a plain solution of the equations at one frequency."""
    coupling = rates(300, 0.3)
    found = chain_response.directional_gain(coupling, FREQUENCY, DAMPING, [19.7])
    matrix = (FREQUENCY**2 - 19.7**2 - 19.7j) * np.eye(300) - 2 * FREQUENCY * coupling
    column = linalg.solve(matrix, np.eye(300)[:, 0])
    assert found.forward[0] == pytest.approx(abs(FREQUENCY * column[-1]) ** 2, rel=1e-6)


def test_bad_arguments_are_refused():
    place, phase = chain(3)
    for call, message in (
        (lambda: lattices.ring(2, 1.0), "`n` must be at least 3"),
        (lambda: lattices.chain(3, -1.0), "`spacing` must be positive"),
        (lambda: lattices.winding_phases(3, 1.5), "whole number"),
        (lambda: chains.couplings(np.zeros((2, 2)), [0, 0]), "position\\[0\\] and position\\[1\\] are one"),
        (lambda: chains.couplings(place, phase[:2]), "`phase` must have shape"),
        (lambda: chains.recoil(place, phase, -1.0), "`recoil_rate` must be zero or positive"),
        (lambda: chains.growth_rate(rates(3), 0.0, 1.0), "`frequency` must be positive"),
        (lambda: chains.stability_limit(rates(3)[:2], 1.0, 1.0), "`coupling` must have shape"),
        (lambda: chain_response.susceptibility(rates(3), 1.0, 0.0, 1.0), "`damping_rate` must be positive"),
    ):
        with pytest.raises(ScenarioError, match=message):
            call()
    assert sb.errors.ScenarioError is ScenarioError
