"""Gaussian states against The Walrus, multiprecision arithmetic, sums over Fock states and closed forms."""

import mpmath
import numpy as np
import pytest
import thewalrus.quantum as walrus
from scipy import integrate
from scipy.stats import unitary_group
from thewalrus import symplectic as walrus_symplectic
from thewalrus.decompositions import symplectic_eigenvals

import stochbind as sb
from stochbind.errors import ScenarioError
from stochbind.langevin import Moments
from stochbind.oscillators import Oscillators
from stochbind.quantum import entanglement, quadratures, squeezing, states, symplectic


def random_covariance(seed, n_modes, *, pure=False, strength=0.6):
    """A random state from the library that is the oracle: squeezers between interferometers, on thermal modes."""
    rng = np.random.default_rng(seed)
    first, second = unitary_group.rvs(n_modes, size=2, random_state=rng) if n_modes > 1 else np.ones((2, 1, 1))
    squeezers = walrus_symplectic.squeezing(strength * rng.normal(size=n_modes))
    turn = walrus_symplectic.interferometer(first) @ squeezers @ walrus_symplectic.interferometer(second)
    quanta = np.zeros(n_modes) if pure else rng.exponential(0.4, n_modes)
    return turn @ np.diag(np.tile(quanta + 0.5, 2)) @ turn.T, np.sort(quanta + 0.5)


STACKS = [(2, 0, (0,)), (3, 1, (0, 2)), (4, 2, (1, 3))]


@pytest.mark.parametrize(("n_modes", "seed", "party"), STACKS)
def test_random_states_as_the_walrus_has_them(n_modes, seed, party):
    stack, exact = zip(*(random_covariance((seed, i), n_modes) for i in range(12)), strict=True)
    found = states.GaussianState(np.zeros(2 * n_modes), np.array(stack))
    np.testing.assert_allclose(found.symplectic_eigenvalues, exact, rtol=1e-11)
    oracle = [np.sort(symplectic_eigenvals(v)) for v in stack]
    np.testing.assert_allclose(found.symplectic_eigenvalues, oracle, rtol=1e-9)
    negativity = [walrus.log_negativity(v, modes_A=list(party), hbar=1) for v in stack]
    assert max(negativity) > 0.3
    np.testing.assert_allclose(found.logarithmic_negativity(party), negativity, atol=1e-10)
    np.testing.assert_allclose(found.entropy, [walrus.vonneumann_entropy(v, hbar=1) for v in stack], atol=1e-10)
    rest = [j for j in range(n_modes) if j not in party]
    information = [
        sum(
            walrus.vonneumann_entropy(walrus.reduced_gaussian(np.zeros(2 * n_modes), v, list(modes))[1], hbar=1)
            for modes in (party, rest)
        )
        - walrus.vonneumann_entropy(v, hbar=1)
        for v in stack
    ]
    np.testing.assert_allclose(found.mutual_information(party), information, atol=1e-9)
    quanta = [walrus.photon_number_mean_vector(np.zeros(2 * n_modes), v, hbar=1) for v in stack]
    np.testing.assert_allclose(found.occupation, quanta, atol=1e-12)
    assert found.physical.all()
    # the twin: with the vacuum at one, or without the transposition, the numbers are others
    assert not symplectic.is_physical(0.4 * np.array(stack)).any()
    assert np.abs(entanglement.logarithmic_negativity(2 * np.array(stack), party) - negativity).max() > 0.1
    assert (symplectic.symplectic_eigenvalues(np.array(stack)) > 0.5 - 1e-12).all()


@pytest.mark.parametrize("seed", range(4))
def test_pure_states(seed):
    v, _ = random_covariance(seed, 3, pure=True)
    found = states.GaussianState(np.zeros(6), v)
    np.testing.assert_allclose(found.symplectic_eigenvalues, 0.5, rtol=1e-11)
    assert found.purity == pytest.approx(1.0, rel=1e-11)
    assert found.entropy == pytest.approx(0.0, abs=1e-9)
    assert found.physical
    # of a pure state each party has the same entropy, and the mutual information is twice that
    one, others = (symplectic.entropy(symplectic.reduced(v, modes)) for modes in (0, (1, 2)))
    assert one == pytest.approx(others, rel=1e-8)
    assert found.mutual_information(0) == pytest.approx(2 * one, rel=1e-8)


def precise(covariance):
    """Symplectic eigenvalues of the very same numbers, in 60 digits."""
    with mpmath.workdps(60):
        n = len(covariance) // 2
        form = mpmath.matrix(symplectic.symplectic_form(n).tolist())
        value = mpmath.eig(form * mpmath.matrix(covariance.tolist()), left=False, right=False)
        return np.array(sorted(float(abs(v.imag)) for v in value)[::2])


def test_a_ground_state_beside_very_hot_modes():
    v = states.squeezed([1.0, -0.5, 3.0], [0.3, 1.0, 0.0], [0.0, 3e9, 2e4]).covariance.copy()
    v[0, 1] = v[1, 0] = 0.1  # a little correlation, so that nothing is a block by itself
    v[3, 5] = v[5, 3] = 40.0
    exact = precise(v)
    found = symplectic.symplectic_eigenvalues(v)
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    # the twin: the eigenvalues of JV as LAPACK finds them lose the small one
    plain = np.sort(np.abs(np.linalg.eigvals(symplectic.symplectic_form(3) @ v).imag))[::2]
    assert np.abs(plain / exact - 1).max() > 1e-9


def test_a_ground_state_that_is_correlated_with_very_hot_modes():
    """The root of the covariance alone has seven digits of it, the inverse of that all."""
    deviation = np.sqrt(np.tile([2e4, 0.5, 3e9], 2))
    v = (np.eye(6) + 0.02 * (np.ones((6, 6)) - np.eye(6))) * deviation[:, None] * deviation
    exact = precise(v)
    np.testing.assert_allclose(symplectic.symplectic_eigenvalues(v), exact, rtol=1e-11)
    root = np.linalg.cholesky(v)
    plain = np.linalg.eigvalsh(1j * root.T @ symplectic.symplectic_form(3) @ root)[3:]
    assert np.abs(plain / exact - 1).max() > 1e-9


@pytest.mark.parametrize(
    "v",
    [
        states.two_mode_squeezed(5.0).covariance,
        states.two_mode_squeezed(8.0).covariance,
        states.squeezed(5.0, 0.7).covariance,
        symplectic.mixed(states.thermal([0.0, 1e9]).covariance, np.array([[1, 1], [1, -1]]) / np.sqrt(2)),
    ],
)
def test_rounding_makes_no_state_unphysical(v):
    assert symplectic.is_physical(v)
    assert not symplectic.is_physical(0.98 * v)
    # what is well conditioned is judged as closely as before
    assert not symplectic.is_physical((1 - 2e-9) * states.vacuum(2).covariance)


@pytest.mark.parametrize("party", [(0,), (2,), (0, 2)])
def test_witnesses_touch_what_they_bound(party):
    v = [random_covariance((4, i), 3)[0] for i in range(12)]
    rows = (
        (entanglement.entanglement_witness(v[0], party), lambda c: entanglement.transposed_eigenvalue(c, party)),
        (squeezing.witness(v[0]), squeezing.smallest_variance),
        (squeezing.mode_witness(v[0]), squeezing.mode_variance),
        (symplectic.smallest_pair(v[0]), lambda c: symplectic.symplectic_eigenvalues(c)[0]),
    )
    for weight, function in rows:
        np.testing.assert_allclose(np.einsum("...jk,jk->...", weight, v[0]), function(v[0]), rtol=1e-10)
        for other in v[1:]:
            assert (np.einsum("...jk,jk->...", weight, other) > function(other)).all()
    assert entanglement.transposed_eigenvalue(v[0], party) < 0.5
    with pytest.raises(ScenarioError, match="must be one covariance"):
        squeezing.witness(np.array(v))
    with pytest.raises(ScenarioError, match="must be one covariance"):
        entanglement.entanglement_witness(np.array(v))


def test_the_criterion_of_duan_may_miss_entanglement_of_modes_that_are_not_squeezed():
    v = np.zeros((4, 4))
    v[:2, :2], v[2:, 2:] = [[1.5, 1.3], [1.3, 1.5]], [[1.5, -0.5], [-0.5, 1.5]]
    assert (squeezing.mode_variance(v) == 1.5).all()
    assert entanglement.transposed_eigenvalue(v) == pytest.approx(np.sqrt(0.2), rel=1e-12)
    assert entanglement.simon(v) < 0
    assert entanglement.duan(v) == pytest.approx(0.1, rel=1e-12)


def test_squeezing_far_beyond_the_vacuum_does_not_spoil_purity():
    v = states.squeezed([12.0, -15.0]).covariance
    np.testing.assert_allclose(symplectic.symplectic_eigenvalues(v), 0.5, rtol=1e-12)
    assert symplectic.purity(v) == pytest.approx(1.0, rel=1e-12)
    assert symplectic.is_physical(v)


@pytest.mark.parametrize("quanta", [0.0, 0.3, 7.0, 1e12])
def test_entropy_and_purity_of_a_thermal_mode(quanta):
    v = states.thermal([quanta]).covariance
    assert symplectic.purity(v) == pytest.approx(1 / (2 * quanta + 1), rel=1e-12)
    if quanta < 100:
        probability = (quanta / (quanta + 1)) ** np.arange(2000) / (quanta + 1)
        probability = probability[probability > 0]
        exact = -(probability * np.log(probability)).sum()
    else:
        exact = float(1 + mpmath.log(quanta + 0.5))
    assert symplectic.entropy(v) == pytest.approx(exact, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("r", "quanta"), [(0.8, 0.0), (0.8, 0.5), (0.2, 0.5), (-0.6, 0.1)])
def test_two_modes_squeezed_together(r, quanta):
    v = states.two_mode_squeezed(r, quanta).covariance
    exact = max(0.0, 2 * abs(r) - np.log(2 * quanta + 1))
    assert entanglement.logarithmic_negativity(v) == pytest.approx(exact, abs=1e-12)
    nu = (quanta + 0.5) * np.exp(-2 * abs(r))
    assert entanglement.transposed_eigenvalue(v) == pytest.approx(nu, rel=1e-12)
    assert squeezing.smallest_variance(v) == pytest.approx(nu, rel=1e-12)
    assert (squeezing.mode_variance(v) >= 0.5).all()  # neither is squeezed alone
    for criterion in (entanglement.duan(v), entanglement.simon(v)):
        assert (criterion < 0) == (exact > 0)
    n, pair = v[0, 0] - 0.5, 0.5 * abs(v[0, 1] - v[2, 3])
    assert entanglement.duan(v) == pytest.approx(n - pair, rel=1e-12)
    sign = np.sign(r)
    quiet = np.array([1, -sign, 0, 0]) / np.sqrt(2), np.array([0, 0, 1, sign]) / np.sqrt(2)
    for direction in quiet:
        assert direction @ v @ direction == pytest.approx(nu, rel=1e-12)


def test_criteria_of_random_pairs():
    v = np.array([random_covariance((9, i), 2, strength=0.4)[0] for i in range(300)])
    nu = entanglement.transposed_eigenvalue(v)
    entangled = nu < 0.5
    assert 30 < entangled.sum() < 270
    np.testing.assert_array_equal(entanglement.simon(v) < 0, entangled)
    other = np.array([np.sort(symplectic_eigenvals(one))[-1] for one in symplectic.partial_transpose(v, 0)])
    np.testing.assert_allclose(entanglement.simon(v), (nu**2 - 0.25) * (other**2 - 0.25), atol=1e-10)
    certified = entanglement.duan(v) < 0
    assert certified.any()
    assert entangled[certified].all()  # sufficient
    assert not certified[entangled].all()  # not necessary: where a mode is squeezed alone
    # which party is transposed does not matter
    np.testing.assert_allclose(entanglement.transposed_eigenvalue(v, 1), nu, rtol=1e-9)


def test_the_quietest_quadrature():
    v = random_covariance(3, 2)[0]
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(200_000, 4))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    tried = np.einsum("ni,ij,nj->n", direction, v, direction).min()
    assert squeezing.smallest_variance(v) <= tried < squeezing.smallest_variance(v) + 2e-2
    angle = np.linspace(0, np.pi, 20_001)
    for j in range(2):
        one = np.zeros((len(angle), 4))
        one[:, j], one[:, 2 + j] = np.cos(angle), np.sin(angle)
        scanned = np.einsum("ni,ij,nj->n", one, v, one).min()
        assert squeezing.mode_variance(v)[j] == pytest.approx(scanned, rel=1e-6)
    # a beam splitter brings the quietest quadrature of all into one mode
    value, vector = np.linalg.eigh(v)
    row = (vector[:2, 0] - 1j * vector[2:, 0])[None]
    assert squeezing.mode_variance(symplectic.mixed(v, row))[0] == pytest.approx(value[0], rel=1e-9)
    assert squeezing.decibel(0.05) == pytest.approx(-10.0)
    assert squeezing.decibel(0.5) == 0.0


def test_mixed_modes_are_those_of_the_walrus():
    v = random_covariance(5, 3)[0]
    u = unitary_group.rvs(3, random_state=2)
    turn = walrus_symplectic.interferometer(u)
    np.testing.assert_allclose(symplectic.mixed(v, u), turn @ v @ turn.T, atol=1e-12)
    assert np.abs(symplectic.mixed(v, u.conj()) - turn @ v @ turn.T).max() > 0.05
    np.testing.assert_allclose(symplectic.mixed(v, u[1:2]), symplectic.reduced(turn @ v @ turn.T, 1), atol=1e-12)


def test_squeezed_states_are_quiet_along_their_angle():
    v = states.squeezed(0.7, 0.4, 0.2).covariance
    along, across = np.array([np.cos(0.4), np.sin(0.4)]), np.array([-np.sin(0.4), np.cos(0.4)])
    assert along @ v @ along == pytest.approx(0.7 * np.exp(-1.4), rel=1e-12)
    assert across @ v @ across == pytest.approx(0.7 * np.exp(1.4), rel=1e-12)
    assert along @ v @ across == pytest.approx(0.0, abs=1e-12)


def test_wigner_function():
    covariance = random_covariance(8, 2)[0]
    found = states.GaussianState(np.array([0.3, -0.2, 1.1, 0.4]), covariance)
    total, _ = integrate.dblquad(lambda p, z: found.wigner(z, p, 1), -12, 12, -12, 12, epsabs=1e-7)
    assert total == pytest.approx(1.0, abs=1e-6)
    # its marginal is the distribution of a quadrature
    p = np.linspace(-15, 15, 6001)
    marginal = found.wigner(0.7, p, 1).sum() * (p[1] - p[0])
    variance = covariance[1, 1]
    assert marginal == pytest.approx(np.exp(-0.5 * 0.9**2 / variance) / np.sqrt(2 * np.pi * variance), rel=1e-9)
    ground = states.GaussianState(*states.vacuum(1))
    z = np.array([0.0, 1.0])
    np.testing.assert_allclose(ground.wigner(z, 0.5), np.exp(-(z**2) - 0.25) / np.pi, rtol=1e-12)
    with pytest.raises(ScenarioError, match="not of a stack"):
        states.GaussianState(np.zeros(2), np.stack([np.eye(2)] * 2)).wigner(0.0, 0.0)


def test_the_ground_state_of_oscillators_is_the_vacuum():
    array = Oscillators(
        mass=np.array([2e-18, 3e-18]),
        stiffness=np.array([1e-6, 2e-6]),
        friction=np.full(2, 1e-16),
        bath_temperature=np.full(2, 300.0),
        coupling=np.array([[0.0, 1e-8], [2e-8, 0.0]]),
    )
    ground = states.state(array, array.initial_moments("ground"))
    np.testing.assert_allclose(ground.covariance, states.vacuum(2).covariance, atol=1e-12)
    assert ground.purity == pytest.approx(1.0, rel=1e-12)
    # and a squeezed one comes back from the units of a simulation
    made = states.squeezed([0.5, -0.3], 0.2)
    scaled = quadratures.to_scaled(array, made)
    np.testing.assert_allclose(states.state(array, scaled).covariance, made.covariance, rtol=1e-12, atol=1e-15)
    record = sb.simulate(array, step=1e-9, n_steps=1, n_trajectories=20_000, initial=scaled, seed=2)
    position = record.position.to_numpy()[:, 0, 0] / quadratures.quadrature_unit(array)[0]
    assert position.var() == pytest.approx(made.covariance[0, 0], rel=0.05)


def test_displaced_states():
    made = states.vacuum(1)
    moved = states.GaussianState(np.array([2.0, 0.0]), made.covariance)
    assert moved.occupation == pytest.approx([2.0])
    assert moved.n_modes == 1
    assert moved.moments.mean[0] == 2.0
    pair = states.GaussianState(np.array([1.0, 2.0, 3.0, 4.0]), np.eye(4)).reduced((1, 0))
    np.testing.assert_array_equal(pair.mean, [2, 1, 4, 3])


def test_states_that_no_quantum_mechanics_allows():
    cold = np.diag([0.3, 0.5])
    assert not symplectic.is_physical(cold)
    assert not symplectic.is_physical(np.zeros((2, 2)))  # at rest at the origin
    assert symplectic.is_physical(np.diag([0.3, 0.9]))
    np.testing.assert_array_equal(
        symplectic.is_physical(np.stack([cold, 0.5 * np.eye(2), -np.eye(2)])), [False, True, False]
    )
    # a state whose transpose only is forbidden
    pair = states.two_mode_squeezed(1.0).covariance
    assert symplectic.is_physical(pair)
    assert not symplectic.is_physical(symplectic.partial_transpose(pair, 1))


BAD = [
    (lambda: symplectic.purity(np.eye(3)), r"all z and then all p.*\(3, 3\)"),
    (lambda: symplectic.purity(np.array([[1.0, 0.2], [0.0, 1.0]])), "symmetric"),
    (lambda: symplectic.symplectic_eigenvalues(np.zeros((2, 2))), "positive definite"),
    (lambda: symplectic.purity(np.diag([1.0, np.nan])), "finite"),
    (lambda: symplectic.partial_transpose(np.eye(4), (0, 1)), "leave one or more"),
    (lambda: symplectic.partial_transpose(np.eye(4), 2), "at most 1"),
    (lambda: symplectic.reduced(np.eye(4), (0, 0)), "different modes"),
    (lambda: symplectic.reduced(np.eye(4), ()), "different modes"),
    (lambda: symplectic.mixed(np.eye(4), [[1, 1]]), "orthonormal"),
    (lambda: symplectic.symplectic_form(0), "at least 1"),
    (lambda: entanglement.duan(np.eye(6)), "two modes"),
    (lambda: squeezing.decibel(0.0), "positive"),
    (lambda: states.thermal([-1.0]), "zero or positive"),
    (lambda: states.squeezed([1.0, 2.0], [0.0, 0.0, 0.0]), "shapes are"),
    (lambda: states.squeezed(np.inf), "finite"),
    (lambda: states.squeezed(1e3), "too large"),
    (lambda: states.two_mode_squeezed(0.1, -1.0), "zero or positive"),
    (lambda: states.GaussianState(np.zeros(4), np.eye(2)), "`mean` must have shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call, message):
    with pytest.raises(ScenarioError, match=message):
        call()


def test_moments_are_what_is_made():
    assert isinstance(states.squeezed(0.1), Moments)
    assert isinstance(states.vacuum(2), Moments)
