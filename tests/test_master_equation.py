"""The master equation of optical binding against density matrices, and when it entangles."""

import itertools
import math

import numpy as np
import pytest

import stochbind as sb
from stochbind.errors import NoiseError, PlanError, ScenarioError
from stochbind.optics import beams, binding, pairs
from stochbind.oscillators import Oscillators
from stochbind.quantum import entanglement, squeezing, states, symplectic
from stochbind.quantum import master_equation as me

LEVELS = 9


def operators():
    """z1, z2, p1, p2 as matrices, of LEVELS number states each."""
    lower = np.diag(np.sqrt(np.arange(1.0, LEVELS)), 1)
    z, p = (lower + lower.T) / math.sqrt(2), (lower - lower.T) / (1j * math.sqrt(2))
    one = np.eye(LEVELS)
    return [np.kron(z, one), np.kron(one, z), np.kron(p, one), np.kron(one, p)]


def density_matrix(seed, quanta=3):
    """A random state of few quanta, so that the highest levels stay out of reach."""
    rng = np.random.default_rng(seed)
    low = [i * LEVELS + j for i, j in itertools.product(range(quanta), repeat=2)]
    root = rng.normal(size=(len(low), len(low))) + 1j * rng.normal(size=(len(low), len(low)))
    rho = np.zeros((LEVELS**2, LEVELS**2), complex)
    rho[np.ix_(low, low)] = root @ root.conj().T
    return rho / np.trace(rho).real


def moments(rho):
    r = operators()
    mean = np.array([np.trace(one @ rho).real for one in r])
    second = np.array([[0.5 * np.trace((a @ b + b @ a) @ rho).real for b in r] for a in r])
    return mean, second


def dissipated(rho, left, right):
    """left rho right - {right left, rho} / 2."""
    both = right @ left
    return left @ rho @ right - 0.5 * (both @ rho + rho @ both)


def change_of(rho, *, g_r, g_a, diffusion, omega, detuning):
    """Eq. (7) with (9) of the letter, as printed, on a density matrix."""
    z1, z2, p1, p2 = operators()
    h = 0.5 * omega * (p1 @ p1 + p2 @ p2) + 0.5 / omega * (
        (omega - detuning / 2) ** 2 * z1 @ z1 + (omega + detuning / 2) ** 2 * z2 @ z2
    )
    h = h + (g_r + g_a) * z1 @ z1 + (g_r - g_a) * z2 @ z2
    result = -1j * (h @ rho - rho @ h) + 2j * g_r * (z1 @ z2 @ rho - rho @ z1 @ z2)
    for (j, a), (k, b) in itertools.product(enumerate((z1, z2)), repeat=2):
        result = result + 2 * diffusion[j, k] * dissipated(rho, a, b)
    return result


def pair(g_r=0.31, g_a=-0.47, recoil=(0.9, 1.3), correlation=0.38):
    return pairs.Rates(np.asarray(g_r), np.asarray(g_a), np.array(recoil), np.asarray(correlation + 1j * g_a))


def matrix_of(rates):
    d = np.diag(rates.recoil).astype(complex)
    d[0, 1], d[1, 0] = rates.recoil_correlation, np.conj(rates.recoil_correlation)
    return d


@pytest.mark.parametrize("seed", range(3))
def test_moments_change_as_those_of_density_matrices(seed):
    rates, omega, detuning = pair(), 2.1, 0.4
    rho = density_matrix(seed)
    mean, second = moments(rho)

    def rate(diffusion):
        return moments(
            change_of(
                rho, g_r=rates.reciprocal, g_a=rates.antireciprocal, diffusion=diffusion, omega=omega, detuning=detuning
            )
        )

    slope, spread = rate(matrix_of(rates))
    equation = me.pair_generator(rates, omega, detuning=detuning)
    np.testing.assert_allclose(slope, equation.drift @ mean, atol=1e-12)
    half = equation.drift @ second
    np.testing.assert_allclose(spread, half + half.T + equation.noise, atol=1e-12)
    # what the force of the light is, in plain words
    force = slope[2] + (omega - detuning / 2) ** 2 / omega * mean[0]
    assert force == pytest.approx(2 * (rates.reciprocal + rates.antireciprocal) * (mean[1] - mean[0]), abs=1e-12)
    # twins: the other sign of Im D, the noise of an amplitude in place of that of a momentum, the coupling turned round
    wrong = rate(matrix_of(rates).conj())[0]
    assert np.abs(wrong - equation.drift @ mean).max() > 0.05
    assert np.abs(spread - half - half.T - 0.5 * equation.noise).max() > 0.5
    other = equation.drift.copy()
    other[2, 1], other[3, 0] = other[3, 0], other[2, 1]
    assert np.abs(slope - other @ mean).max() > 0.05


def random_equation(seed, n=2, rank=3):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(2 * n, 2 * n))
    jump = rng.normal(size=(rank, 2 * n)) + 1j * rng.normal(size=(rank, 2 * n))
    return h + h.T, jump


@pytest.mark.parametrize("seed", range(3))
def test_any_quadratic_master_equation(seed):
    h, jump = random_equation(seed)
    # sum over k of L_k rho L_k^+ with L_k = c_k R
    gamma = np.einsum("ki,kj->ij", jump, jump.conj())
    rho, r = density_matrix(seed), operators()
    energy = sum(0.5 * h[i, j] * r[i] @ r[j] for i, j in itertools.product(range(4), repeat=2))
    change = -1j * (energy @ rho - rho @ energy)
    for c in jump:
        lindblad = sum(c[i] * r[i] for i in range(4))
        change = change + dissipated(rho, lindblad, lindblad.conj().T)
    equation = me.generator(h, gamma)
    (mean, second), (slope, spread) = moments(rho), moments(change)
    np.testing.assert_allclose(slope, equation.drift @ mean, atol=1e-11)
    half = equation.drift @ second
    np.testing.assert_allclose(spread, half + half.T + equation.noise, atol=1e-11)
    wrong = me.generator(h, gamma.conj())
    assert np.abs(slope - wrong.drift @ mean).max() > 0.05
    # and back; the wrong sign of the commutator gives the conjugate
    np.testing.assert_allclose(me.dissipator(equation), gamma, atol=1e-12)
    assert np.abs(me.dissipator(equation) - gamma.conj()).max() > 0.5


def test_the_pair_in_general_form():
    rates, omega = pair(), 1.7
    g_r, g_a = rates.reciprocal, rates.antireciprocal
    h = omega * np.eye(4)
    h[0, 0] += 2 * (g_r + g_a)
    h[1, 1] += 2 * (g_r - g_a)
    h[0, 1] = h[1, 0] = -2 * g_r
    gamma = np.zeros((4, 4), complex)
    gamma[:2, :2] = 2 * matrix_of(rates)
    general, own = me.generator(h, gamma), me.pair_generator(rates, omega)
    np.testing.assert_allclose(general.drift, own.drift, atol=1e-14)
    np.testing.assert_allclose(general.noise, own.noise, atol=1e-14)


def test_the_pair_as_oscillators():
    rates, omega, detuning, gamma, quanta = pair(), 3.0, 0.5, 0.02, 4.0
    constants = pairs.constants_from(rates, 1.0, omega)
    h = float(constants.diffusion[0, 0].real / (rates.recoil[0] * omega))  # hbar of the SI
    own = np.array([omega - detuning / 2, omega + detuning / 2]) ** 2
    array = Oscillators(
        mass=np.ones(2),
        stiffness=own + constants.stiffness,
        friction=np.full(2, gamma),
        bath_temperature=np.full(2, omega * (quanta + 0.5)),
        coupling=constants.coupling,
        diffusion=constants.diffusion / h,
        reduced=True,
    )
    found = me.array_generator(array, omega)
    exact = me.pair_generator(rates, omega, detuning=detuning, damping=gamma, occupation=quanta)
    np.testing.assert_allclose(found.drift, exact.drift, atol=1e-12)
    np.testing.assert_allclose(found.noise, exact.noise, atol=1e-12)
    back = me.rates_of(me.pair_generator(rates, omega))
    for one, other in zip(back, rates, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    turned = me.rates_of(found, 1, 0)
    assert turned.antireciprocal == pytest.approx(-rates.antireciprocal)
    assert turned.recoil[1] == pytest.approx(rates.recoil[0] + gamma * (quanta + 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_positive_dissipators_and_no_others_are_completely_positive(seed):
    h, jump = random_equation(seed, n=3, rank=2)
    gamma = np.einsum("ki,kj->ij", jump, jump.conj())
    equation = me.generator(h, gamma)
    assert me.completely_positive(equation)
    assert me.least_dissipation(equation) == pytest.approx(0.0, abs=1e-12)  # there are fewer jumps than quadratures
    half = me.Generator(equation.drift, 0.9 * equation.noise)
    assert not me.completely_positive(half)
    # without noise enough, a pure state loses uncertainty
    v = states.vacuum(3).covariance
    kept = [symplectic.is_physical(next(me.evolved(one, v, 1e-3))) for one in (equation, half)]
    assert kept == [True, False]


def test_complete_positivity_of_a_pair_is_that_of_its_recoil():
    rng = np.random.default_rng(4)
    g_r, g_a, re = rng.normal(size=(3, 500))
    recoil = rng.exponential(1.5, size=(500, 2))
    rates = pairs.Rates(g_r, g_a, recoil, re + 1j * g_a)
    found = me.completely_positive(me.pair_generator(rates, 10.0))
    assert 50 < found.sum() < 450
    np.testing.assert_array_equal(found, pairs.completely_positive(rates))
    # in the far field it is a condition on the distance alone
    kd, phase = rng.uniform(1.0, 30.0, 500), rng.uniform(0, 2 * np.pi, 500)
    far = pairs.far_field_rates(kd, phase, kd, 0.7)
    np.testing.assert_array_equal(me.completely_positive(me.pair_generator(far, 10.0)), np.abs(np.sin(kd)) <= 0.7)


@pytest.mark.parametrize("quanta", [0.0, 10.0, 1e3])
def test_classical_damping_is_nearly_completely_positive(quanta):
    gamma = 0.01
    quiet = pairs.Rates(np.asarray(0.0), np.asarray(0.0), np.zeros(2), np.asarray(0j))
    equation = me.pair_generator(quiet, 1.0, damping=gamma, occupation=quanta)
    missing = -me.least_dissipation(equation)
    noise = gamma * (2 * quanta + 1)
    assert missing == pytest.approx(0.5 * (np.hypot(noise, gamma) - noise), rel=1e-3, abs=1e-15)
    if quanta:
        assert missing == pytest.approx(gamma / (8 * quanta + 4), rel=3e-3, abs=1e-15)
    assert not me.completely_positive(equation)
    mended = equation.noise + np.diag([gamma / (8 * quanta + 4) * 1.001] * 2 + [0, 0])
    assert me.completely_positive(me.Generator(equation.drift, mended))


def edge_cases():
    rng = np.random.default_rng(12)
    return [
        (float(kd), float(phase)) for kd, phase in zip(rng.uniform(2, 30, 6), rng.uniform(-1.3, 1.3, 6), strict=True)
    ]


@pytest.mark.parametrize(("kd", "phase"), edge_cases())
@pytest.mark.parametrize("ratio", [0.999, 1.001])
def test_the_edge_of_entanglement(kd, phase, ratio):
    g, omega = 1.0, 20.0
    rates = pairs.far_field_rates(kd, phase, g * kd, ratio * g * abs(math.cos(phase)))
    separable = ratio > 1
    assert entanglement.never_entangles(rates) == separable
    assert entanglement.entanglement_threshold(rates) == pytest.approx(g * abs(math.cos(phase)), rel=1e-12)
    equation = me.pair_generator(rates, omega, detuning=0.3)
    assert entanglement.creates_no_negativity(equation) == separable
    assert (entanglement.entangling_rate(equation) > 1e-9) != separable
    lowest = 1.0
    for inputs in ([0.0, 0.0], [1.5, 0.3], [-0.8, 1.2]):
        v = states.squeezed(inputs, [0.0, 0.7]).covariance
        for step in (1e-5, 3e-2):
            lowest = min(lowest, *entanglement.transposed_eigenvalue(np.array(list(me.evolved(equation, v, step, 20)))))
    # also the plain vacuum is entangled at once, by a little, below the edge
    assert (lowest < 0.5 - 1e-10) != separable
    assert lowest > 0.5 - 1e-12 if separable else True


def test_random_product_states_stay_without_entanglement():
    rng = np.random.default_rng(60)
    kd, phase = rng.uniform(1.1, 30.0, 60), rng.uniform(0, 2 * np.pi, 60)
    r, angle = rng.uniform(-1.5, 1.5, (60, 2)), rng.uniform(0, np.pi, (60, 2))
    v = np.array([states.squeezed(*one).covariance for one in zip(r, angle, strict=True)])

    def lowest(recoil, kd):
        equation = me.pair_generator(pairs.far_field_rates(kd, phase, kd, recoil), 8.0)
        return entanglement.transposed_eigenvalue(np.array(list(me.evolved(equation, v, 0.01, 100)))).min(axis=0)

    assert lowest(1.0, kd).min() > 0.5
    # the twin, at distances where so little recoil is completely positive
    assert (lowest(0.3, np.pi * np.ceil(kd / np.pi)) < 0.49).sum() > 20


def test_only_the_cosine_of_the_phase_matters():
    """Neither the condition of complete positivity, nor one with g_a for g_r, is that of entanglement."""
    rng = np.random.default_rng(7)
    kd, phase = rng.uniform(2, 30, 400), rng.uniform(0, 2 * np.pi, 400)
    rates = pairs.far_field_rates(kd, phase, kd, 0.6)
    equation = me.pair_generator(rates, 10.0)
    found = entanglement.creates_no_negativity(equation)
    np.testing.assert_array_equal(found, np.abs(np.cos(phase)) <= 0.6)
    np.testing.assert_array_equal(found, entanglement.never_entangles(rates))
    assert (found != me.completely_positive(equation)).any()
    assert (found != (rates.antireciprocal**2 + rates.recoil_correlation.real**2 <= 0.36)).any()
    np.testing.assert_array_equal(entanglement.creates_no_negativity(equation, 1), found)


@pytest.mark.parametrize("ratio", [0.99, 1.01])
def test_the_geometric_mean_of_both_recoils_counts(ratio):
    rates = pairs.far_field_rates(9.0, 0.4, 9.0, ratio * math.cos(0.4) * np.array([4.0, 0.25]))
    assert entanglement.never_entangles(rates) == (ratio > 1)
    assert entanglement.creates_no_negativity(me.pair_generator(rates, 20.0)) == (ratio > 1)
    assert entanglement.never_entangles(rates._replace(recoil=rates.recoil[::-1])) == (ratio > 1)


@pytest.mark.parametrize("party", [(0,), (1,), (0, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_more_particles(seed, party):
    """Positions scatter light together: entangled from the vacuum exactly where the criterion says."""
    rng = np.random.default_rng(seed)
    n = 3
    root = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    gamma, h = np.zeros((2 * n, 2 * n), complex), np.diag(rng.uniform(3, 5, 2 * n))
    gamma[:n, :n] = root @ root.conj().T
    coupling = rng.normal(size=(n, n))
    h[:n, :n] += 0.5 * (coupling + coupling.T)
    equation = me.generator(h, gamma)
    v = states.vacuum(n).covariance
    assert (entanglement.entangling_rate(equation, party) > 1e-9) == (np_edge(equation, party) > 1e-9)
    # on the edge: with local recoil that makes up for what is missing, and a little less or more
    local = np.diag([0.0] * n + [1.0] * n)
    for excess, separable in ((1e-3, True), (-1e-3, False)):
        one = me.Generator(equation.drift, equation.noise + local * (np_edge(equation, party) + excess))
        assert entanglement.creates_no_negativity(one, party) == separable
        after = np.array(list(me.evolved(one, v, 1e-6, 5)))
        assert (entanglement.transposed_eigenvalue(after, party).min() < 0.5 - 1e-11) != separable


def np_edge(equation, party):
    """Minus the smallest eigenvalue of the momentum block of the transposed dissipator."""
    block = me.dissipator(me.partially_transposed(equation, party))
    n = len(block) // 2
    return -np.linalg.eigvalsh(block[:n, :n])[0]


@pytest.mark.parametrize(("angle", "kd"), [(np.pi / 2, 1.41003), (0.0, 2.22948)])
def test_near_fields_may_entangle(angle, kd):
    """Closer than that, coupling exceeds recoil; in the far field only below kd = 1.01, or never."""
    wavelength, waist = 1064e-9, 0.8e-6
    k = 2 * np.pi / wavelength
    field = beams.linear_polarization(np.full(2, 1e7), phase=np.zeros(2), angle=np.full(2, angle))
    found = []
    for near in (True, False):
        for ratio in (0.9999, 1.0001):
            position = np.array([[0.0, 0.0], [ratio * kd / k, 0.0]])
            z_r = beams.rayleigh_range(wavelength, waist)
            light = binding.binding(position, field, np.full(2, 4e-21), k, z_r, far_field=not near)
            rates = pairs.rates_from(light.coupling, light.diffusion, 1e-18, 3e5)
            assert pairs.completely_positive(rates)
            found.append(bool(entanglement.never_entangles(rates)))
    assert found == [False, True, True, True]


def test_negativity_never_grows_above_the_edge():
    rates = pairs.far_field_rates(9.0, 0.3, 9.0, 1.0)
    equation = me.pair_generator(rates, 5.0)
    v = states.two_mode_squeezed(1.0).covariance
    course = entanglement.logarithmic_negativity(np.array([v, *me.evolved(equation, v, 0.01, 40)]))
    assert course[0] == pytest.approx(2.0)
    assert (np.diff(course) <= 1e-12).all()


def test_evolution_is_that_of_the_equations_of_motion():
    rates = pairs.far_field_rates(np.array([5.0, 6.0]), 0.4, 6.0, np.array([[1.0, 2.0], [0.5, 0.7]]))
    stack = me.pair_generator(rates, 30.0, damping=2.0, occupation=3.0)
    start = states.squeezed([0.4, -0.2], 0.3)
    *_, found = me.evolved(stack, start.covariance, 0.7, 3)
    for i in range(2):
        equations = me.equations_of_motion(me.Generator(stack.drift[i], stack.noise[i]))
        exact = equations.moments(2.1, start).covariance
        np.testing.assert_allclose(found[i], exact, rtol=1e-11, atol=1e-11)
    assert [c.quantity for c in equations.coordinate] == ["position", "position", "velocity", "velocity"]


def test_trajectories_sample_the_wigner_function():
    from stochbind.analysis.gaussian_states import recorded_state

    rates = pairs.far_field_rates(4 * np.pi, 0.0, 4 * np.pi, 0.2)  # a recoil that no free space allows
    equations = me.equations_of_motion(me.pair_generator(rates, 6.0))
    start = states.squeezed([0.8, 0.8])
    record = sb.simulate(equations, step=0.4, n_steps=2, n_trajectories=300_000, initial=start, seed=11)
    found = recorded_state(record, equations)
    assert found.time == pytest.approx(0.8)
    exact = equations.moments(0.8, start).covariance
    covariance = found.covariance()
    assert np.abs(covariance.z(exact)).max() < 5
    np.testing.assert_allclose(np.diag(covariance.value), np.diag(exact), rtol=0.01)
    for function in (
        entanglement.transposed_eigenvalue,
        entanglement.logarithmic_negativity,
        symplectic.symplectic_eigenvalues,
        symplectic.purity,
        squeezing.smallest_variance,
        squeezing.mode_variance,
    ):
        estimate = found.estimate(function)
        truth = function(exact)
        assert np.abs(estimate.z(truth)).max() < 5, function
        np.testing.assert_allclose(estimate.value, truth, rtol=0.01)
        assert (estimate.stderr < 0.006 * np.abs(truth)).all()
    assert entanglement.logarithmic_negativity(exact) > 0.1
    # the twin: a quantum state whose noise were that of amplitudes
    wrong = me.equations_of_motion(me.Generator(equations.drift_matrix, 0.5 * equations.noise_covariance))
    assert np.abs(covariance.z(wrong.moments(0.8, start).covariance)).max() > 10
    with pytest.raises(PlanError, match="at most 1"):
        recorded_state(record, equations, index=2)
    with pytest.raises(sb.errors.TooFewSamplesError, match="at least 16"):
        recorded_state(record.isel(trajectory=slice(9)), equations)
    with pytest.raises(sb.errors.IncompleteError, match="diverged"):
        recorded_state(record.where(record.trajectory > 3), equations)


BAD = [
    (lambda: me.generator(np.eye(3), np.eye(3)), ScenarioError, "all z and then all p"),
    (lambda: me.generator(np.eye(2), np.diag([1.0, -1.0])), NoiseError, "dissipator"),
    (lambda: me.pair_generator(pair(), 0.0), ScenarioError, "`frequency`"),
    (lambda: me.pair_generator(pair(), 1.0, detuning=2.0), ScenarioError, "no trap"),
    (lambda: me.pair_generator(pair(), 1.0, damping=-1.0), ScenarioError, "`damping`"),
    (
        lambda: me.pair_generator(pair()._replace(recoil_correlation=np.asarray(0.1 + 0.47j)), 1.0),
        ScenarioError,
        "same scattered",
    ),
    (lambda: me.pair_generator(pair(recoil=(-1.0, 1.0)), 1.0), NoiseError, "`recoil`"),
    (lambda: me.evolved(me.pair_generator(pair(), 1.0), np.eye(4), 0.0), PlanError, "`step`"),
    (lambda: me.evolved(me.pair_generator(pair(), 1.0), np.eye(4), 1.0, 0), PlanError, "`n_steps`"),
    (lambda: entanglement.entangling_rate(me.pair_generator(pair(), 1.0), (0, 1)), ScenarioError, "leave one"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
