"""Gaussian transfer entropy: exact against covariances of histories, found against statsmodels and the exact value."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from statsmodels.tsa.api import VAR
from statsmodels.tsa.stattools import grangercausalitytests

import stochbind as sb
import systems
from stochbind.analysis import embedding, information
from stochbind.analysis.embedding import Design, Embedding
from stochbind.analysis.transfer_entropy import entropies_of, exact_transfer_entropy, found_transfer_entropy
from stochbind.errors import NoiseError, PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

MAKERS = (systems.overdamped_pair, systems.underdamped_pair)


def chain(n=3, forward=0.4, back=0.0, temperature=None):
    """Each particle is driven by the next one."""
    coupling = forward * np.eye(n, k=1) + back * np.eye(n, k=-1)
    return Oscillators(
        stiffness=np.linspace(1.0, 1.4, n),
        friction=np.linspace(0.8, 1.2, n),
        bath_temperature=np.ones(n) if temperature is None else temperature,
        coupling=coupling,
        reduced=True,
    )


def of_covariance(array, interval, receiver, sender, n_history, known=()):
    """The definition, with the covariance of all states of the history written out."""
    equations = array.langevin()
    d = equations.dimension
    stationary = equations.stationary_covariance()
    power = [equations.propagator(lag * interval).matrix @ stationary for lag in range(n_history + 1)]
    lags = range(n_history + 1)  # block a is the state a intervals ago
    whole = np.block([[power[b - a] if b >= a else power[a - b].T for b in lags] for a in lags])

    def entropy(now, past):
        index = list(now) + [d * lag + i for lag in range(1, n_history + 1) for i in past]
        rest = index[len(now) :]
        return 0.5 * (
            np.linalg.slogdet(whole[np.ix_(index, index)])[1] - np.linalg.slogdet(whole[np.ix_(rest, rest)])[1]
        )

    j, k = (list(information.coordinates(array, group)) for group in (receiver, sender))
    given = [i for group in known for i in information.coordinates(array, group)]
    return entropy(j, j + given) - entropy(j, j + given + k)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n_history", [1, 3])
def test_exact_value_is_that_of_the_covariance_of_the_history(make, n_history):
    array = make(c=(0.5, 0.2), diffusion=np.array([[0.3, 0.1], [0.1, 0.2]]))
    found = exact_transfer_entropy(array, 0.3, n_history=n_history)
    expected = [of_covariance(array, 0.3, [j], [k], n_history) for j, k in ((0, 1), (1, 0))]
    np.testing.assert_allclose([found[0, 1], found[1, 0]], expected, rtol=1e-8)
    assert found[0, 0] == found[1, 1] == 0
    twin = exact_transfer_entropy(make(c=(0.2, 0.5), diffusion=array.diffusion), 0.3, n_history=n_history)
    assert abs(twin[0, 1] / expected[0] - 1) > 0.1  # transposed coupling is seen


@pytest.mark.parametrize("conditional", [False, True])
def test_exact_value_of_groups_and_given_the_others(conditional):
    array = chain(5, 0.4, 0.1)
    parties = [[0, 2], [1], [3]]  # 4 is hidden
    found = exact_transfer_entropy(array, 0.4, n_history=2, parties=parties, conditional=conditional)
    for j, k, other in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        known = [parties[other]] if conditional else []
        expected = of_covariance(array, 0.4, parties[j], parties[k], 2, known)
        assert found[j, k] == pytest.approx(expected, rel=1e-8, abs=0)


def test_long_history_is_the_whole_past():
    """Against the Riccati equation; and one state is less than all of them, as the other particle is hidden."""
    array = systems.overdamped_pair(c=(0.5, 0.2))
    whole = information.sampled_transfer_entropy(array, 0.3, [0], [1])
    assert exact_transfer_entropy(array, 0.3, n_history=64)[0, 1] == pytest.approx(whole, rel=1e-8, abs=0)
    assert exact_transfer_entropy(array, 0.3)[0, 1] != pytest.approx(whole, rel=1e-3, abs=0)


def test_exact_value_of_weak_damping_and_short_intervals():
    """Where covariances of histories are singular in double precision, conditioning step by step is not."""
    array = systems.underdamped_pair(friction=(1e-6, 1e-6), c=(1e-4, 0.0))
    short = exact_transfer_entropy(array, 1e-3)
    assert short[1, 0] == 0
    # to first order, what the position of the sender adds to the mean of the velocity, over the noise of one step
    hidden = array.langevin().stationary_covariance()
    unit = array.langevin().unit
    conditional = hidden[1, 1] - hidden[1, [0, 2]] @ np.linalg.solve(hidden[np.ix_([0, 2], [0, 2])], hidden[[0, 2], 1])
    shift = array.coupling[0, 1] ** 2 * conditional * unit[1] ** 2 * 1e-3**2
    noise = 2 * array.friction[0] * 1e-3
    assert short[0, 1] == pytest.approx(0.5 * np.log1p(shift / noise), rel=1e-2, abs=0)


def embedded(states, array, n_history, *, pieces=(100,), parties=None):
    """Sums of one trajectory that comes in pieces."""
    one = Embedding(Design.of(array, parties, n_history), 1)
    edges = [0, *pieces, states.shape[1]]
    for begin, end in pairwise(edges):
        one.add(states[:, begin:end], cells=np.zeros(len(states), dtype=int), first=begin, last=end == states.shape[1])
    return one


def scaled_states(array, **kwargs):
    equations = array.langevin()
    dataset = sb.simulate(array, initial=equations.stationary, **kwargs)
    names = ["position", "velocity"][: equations.dimension // array.n_oscillators]
    return np.concatenate([dataset[name].to_numpy() for name in names], axis=-1) / equations.unit


@pytest.mark.parametrize("n_history", [1, 4])
def test_same_numbers_as_granger_causality(n_history):
    array = systems.overdamped_pair(c=(0.5, 0.2))
    states = scaled_states(array, step=0.2, n_steps=2000, seed=1)
    one = embedded(states, array, n_history, pieces=(2, 3, 700))
    found = one.entropies(one.sums[0])
    for j, k in ((0, 1), (1, 0)):
        result = grangercausalitytests(states[0][:, [j, k]], [n_history])[n_history][1]
        expected = 0.5 * np.log(result[0].ssr / result[1].ssr)
        assert found[j, k] == pytest.approx(expected, abs=1e-9)
        assert found[k, j] != pytest.approx(expected, abs=1e-4)  # the twin: receiver and sender exchanged


def test_same_numbers_as_vector_autoregression():
    """Two coordinates of each: determinants of the residuals of a regression with and without the sender."""
    array = systems.underdamped_pair(c=(0.5, 0.2))
    states = scaled_states(array, step=0.3, n_steps=2000, seed=2)
    one = embedded(states, array, 3)

    def logarithm(columns, of):
        residual = VAR(states[0][:, columns]).fit(3, trend="c").resid[:, of]
        return np.linalg.slogdet(residual.T @ residual)[1]

    expected = 0.5 * (logarithm([0, 2], [0, 1]) - logarithm([0, 2, 1, 3], [0, 1]))
    assert one.entropies(one.sums[0])[0, 1] == pytest.approx(expected, abs=1e-9)


def test_pieces_do_not_matter():
    array = chain(3, 0.4, 0.1)
    states = scaled_states(array, step=0.2, n_steps=300, n_trajectories=5, seed=3)
    whole, cut = (embedded(states, array, 4, pieces=pieces).sums for pieces in ((), (1, 2, 5, 299)))
    np.testing.assert_allclose(cut, whole, rtol=1e-12, atol=1e-10)
    assert whole[0, 0, 0] == 5 * 296


@pytest.mark.parametrize("make", MAKERS)
def test_found_value_agrees_with_the_exact_one(make):
    equal = {"u": (1.0, 1.0), "friction": (0.4, 0.4), "temperature": (1.0, 1.0)}
    if make is systems.underdamped_pair:
        equal["mass"] = (1.0, 1.0)
    value = {}
    for c in ((0.4, 0.1), (0.1, 0.4)):
        array = make(c=c, **equal)
        dataset = sb.simulate(
            array, step=0.3, n_steps=400, n_trajectories=128, initial=array.langevin().stationary, seed=4
        )
        found = found_transfer_entropy(dataset, array, n_history=2)
        exact = exact_transfer_entropy(array, 0.3, n_history=2)
        assert np.abs(found.per_sample.z(exact)).max() < 4
        assert found.per_second.value[0, 1] == pytest.approx(found.per_sample.value[0, 1] / 0.3, rel=1e-12, abs=0)
        contrast = (exact[0, 1] - exact[1, 0]) / (exact[0, 1] + exact[1, 0])
        assert abs(found.asymmetry.z(contrast)[0, 1]) < 4
        assert found.p_value[0, 1] == pytest.approx(1 / 20)
        value[c] = found
    one, transposed = value.values()
    assert np.abs(one.per_sample.z(transposed.per_sample.value)).max() > 5  # the coupling is not to be transposed
    assert one.asymmetry.value[0, 1] > 0.5 > -0.5 > transposed.asymmetry.value[0, 1]


def test_given_the_go_between_nothing_comes_from_afar():
    array = chain(3, 0.6)
    dataset = sb.simulate(array, step=0.1, n_steps=500, n_trajectories=128, initial=array.langevin().stationary, seed=5)
    exact = [exact_transfer_entropy(array, 0.1, n_history=2, conditional=known) for known in (False, True)]
    found = [found_transfer_entropy(dataset, array, n_history=2, conditional=known) for known in (False, True)]
    for truth, value in zip(exact, found, strict=True):
        assert np.abs(value.per_sample.z(truth)).max() < 4
    assert exact[1][0, 2] < 0.02 * exact[0][0, 2]
    assert found[0].p_value[0, 2] == pytest.approx(1 / 20)
    assert found[0].per_sample.value[0, 2] > 5 * found[0].surrogate_deviation[0, 2]
    assert abs(found[1].per_sample.value[0, 2]) < 5 * found[1].surrogate_deviation[0, 2]


@pytest.mark.parametrize(("n_trajectories", "n_steps"), [(64, 200), (1, 12_800)])
def test_nothing_comes_from_strangers(n_trajectories, n_steps):
    """Surrogates and the bias of two particles without coupling; with the twin that the bias is seen."""
    array = systems.underdamped_pair(c=(0.0, 0.0))
    dataset = sb.simulate(
        array, step=0.5, n_steps=n_steps, n_trajectories=n_trajectories, initial=array.langevin().stationary, seed=6
    )
    found = found_transfer_entropy(dataset, array, n_history=2, n_surrogates=39)
    off = ~np.eye(2, dtype=bool)
    assert (np.abs(found.per_sample.value)[off] < 4 * found.surrogate_deviation[off]).all()
    assert (found.p_value[off] > 0.03).all()
    assert (found.p_value_chi_square[off] > 1e-3).all()
    error = found.surrogate_deviation[off] / np.sqrt(39)
    assert (np.abs(found.surrogate_mean[off]) < 5 * error).all()
    assert (found.bias[off] > 5 * error).all()
    assert np.isnan(found.asymmetry.value[0, 1])


@pytest.mark.parametrize("conditional", [False, True])
def test_surrogates_take_parties_from_other_trajectories(conditional):
    """Trajectories that rest at powers of ten tell where each party is from: never from the same one."""
    array, n = chain(3), 40
    value = 10.0 ** np.arange(-n / 2, n / 2)[:, None, None] * np.ones((n, 3, 3))
    value[:, :, 1] = 1 / value[:, :, 0]  # a product of one is of one trajectory
    one = Embedding(Design.of(array, None, 1, conditional=conditional), 1, n_surrogates=7)
    one.add(value, cells=np.zeros(n, dtype=int), first=0, last=True)
    own = one.sums[0]
    assert own[1, 2] == pytest.approx(2 * n, rel=1e-12, abs=0)
    for index, product in enumerate(one.surrogates):
        for party in range(3):  # alone, each is as it was
            columns = [0, 1 + party, 4 + party]
            np.testing.assert_allclose(product[np.ix_(columns, columns)], own[np.ix_(columns, columns)], rtol=1e-12)
        moved = not conditional or index % 3 in (0, 1)
        assert (abs(product[1, 2] - 2 * n) > 1) == moved
        assert product[1, 2] == product[2, 1] == pytest.approx(product[4, 5], rel=1e-12, abs=0)


@pytest.mark.parametrize("conditional", [False, True])
def test_surrogates_of_some_of_the_states_are_as_small_as_those_of_all(conditional, monkeypatch):
    """Plain estimates of nothing have the mean of chi-square, of all states and not of those that were shuffled."""
    monkeypatch.setattr(embedding, "_SHUFFLED", 0)
    monkeypatch.setattr(embedding, "_SHARE", 1 / 8)
    rng = np.random.default_rng(3)
    one = Embedding(Design.of(chain(3), None, 1, conditional=conditional), 1, n_surrogates=60)
    for _ in range(40):
        state = rng.normal(size=(200, 30, 3))
        state[..., 1] += state[..., 0]  # alike now, but nothing follows
        one.add(state, cells=np.zeros(200, dtype=int), first=0, last=True)
    n_states = one.sums[0, 0, 0]

    def mean(sums):
        each = one.entropies(sums).reshape(60, -1, 3, 3)
        chosen = np.einsum("rkjk->rjk", each) if conditional else each[:, 0]
        return chosen[:, ~np.eye(3, dtype=bool)].mean() * 2 * n_states

    assert n_states == one.surrogates[0, 0, 0] == 40 * 200 * 29
    assert mean(one.surrogates) == pytest.approx(1.0, rel=0.25, abs=0)
    assert mean(one._shuffled) > 3.0  # those of fewer states are larger
    for index, product in enumerate(one.surrogates):
        moved = not conditional or index % 3 in (0, 1)
        alike = product[1, 2] / one.sums[0, 1, 2]
        assert abs(alike) < 0.1 if moved else alike == pytest.approx(1.0, rel=0.05, abs=0)


def test_agrees_with_nearest_neighbours():
    """An estimate that knows nothing of normal laws, where the package is installed; it is biased by about 0.01."""
    infomeasure = pytest.importorskip("infomeasure")
    array = systems.overdamped_pair(c=(0.9, 0.0), temperature=(0.2, 1.0))
    states = scaled_states(array, step=0.5, n_steps=4000, seed=8)[0]
    found = embedded(states[None], array, 1).entropies(embedded(states[None], array, 1).sums[0])
    for j, k in ((0, 1), (1, 0)):
        other = infomeasure.transfer_entropy(
            states[:, k], states[:, j], approach="metric", src_hist_len=1, dest_hist_len=1, k=5
        )
        assert found[j, k] == pytest.approx(float(other), abs=0.03)
    assert found[0, 1] > 0.1


def test_law_of_the_plain_estimate_is_chi_square():
    array = systems.overdamped_pair(c=(0.0, 0.0))
    states = scaled_states(array, step=0.5, n_steps=200, n_trajectories=300, seed=7)
    sums = np.array([embedded(one[None], array, 2, pieces=()).sums[0] for one in states])
    sample = 2 * 198 * Embedding(Design.of(array, None, 2), 1).entropies(sums)[:, 0, 1]
    assert sample.mean() == pytest.approx(2.0, abs=4 * 2.0 / np.sqrt(300))
    assert sample.var() == pytest.approx(4.0, rel=0.5, abs=0)
    one = Embedding(Design.of(array, None, 2), 300)
    one.sums[:] = sums
    assert entropies_of(one, 1.0).bias[0, 1] == pytest.approx(2 / (2 * 198 * 300), rel=1e-12, abs=0)


def test_bad_input():
    array = chain(3)
    dataset = sb.simulate(array, step=0.2, n_steps=20, n_trajectories=4, initial=array.langevin().stationary)
    for parties in ([[0, 1], [1, 2]], [[0, 1, 2]], [[0], [3]], [[0], []]):
        with pytest.raises(PlanError, match="parties"):
            found_transfer_entropy(dataset, array, parties=parties)
    with pytest.raises(PlanError, match="n_history"):
        exact_transfer_entropy(array, 0.1, n_history=0)
    with pytest.raises(PlanError, match="interval"):
        exact_transfer_entropy(array, -0.1)
    with pytest.raises(TooFewSamplesError, match="shorter history"):
        found_transfer_entropy(dataset, array, n_history=8)
    with pytest.raises(NoiseError, match="noise"):
        exact_transfer_entropy(chain(3, temperature=np.array([1.0, 1.0, 0.0])), 0.1)
    still = dataset.assign(position=dataset["position"] * [1.0, 1.0, 0.0])
    with pytest.raises(TooFewSamplesError, match="every direction"):
        found_transfer_entropy(still, array)
    alike = dataset.assign(position=dataset["position"].isel(particle=[0, 0, 1]))
    with pytest.raises(TooFewSamplesError, match="alike"):
        found_transfer_entropy(alike, array)


@pytest.mark.parametrize(("n_history", "freedom"), [(1, 4), (3, 12)])
def test_chance_of_strangers_has_the_law_of_chi_square(n_history, freedom):
    """Two coordinates each: so many coefficients as there are products of them and their past."""
    strangers = systems.underdamped_pair(c=(0.0, 0.0))
    equations = strangers.langevin()
    record = sb.simulate(
        equations, step=0.5, n_steps=150, n_trajectories=60, initial=equations.stationary, seed=n_history
    )
    chance = []
    for i in range(0, 60, 2):
        one = found_transfer_entropy(
            record.isel(trajectory=slice(i, i + 2)), strangers, n_history=n_history, n_surrogates=0
        )
        plain = one.per_sample.value[0, 1] + one.bias[0, 1]
        expected = stats.chi2.sf(2 * one.n_samples * plain, freedom)
        assert one.p_value_chi_square[0, 1] == pytest.approx(expected, rel=1e-6, abs=0)
        chance += [one.p_value_chi_square[0, 1], one.p_value_chi_square[1, 0]]
    assert stats.kstest(chance, "uniform").pvalue > 1e-3
    wrong = stats.chi2.sf(stats.chi2.isf(chance, freedom), 2 * freedom)  # the twin: twice as many coefficients
    assert stats.kstest(wrong, "uniform").pvalue < 1e-6


def test_value_and_error_bar_per_second_are_those_per_state_over_the_interval():
    array = systems.overdamped_pair()
    equations = array.langevin()
    record = sb.simulate(equations, step=0.25, n_steps=200, n_trajectories=32, initial=equations.stationary, seed=1)
    found = found_transfer_entropy(record, array, n_surrogates=0)
    np.testing.assert_allclose(found.per_second.value, 4.0 * found.per_sample.value, rtol=1e-12)
    np.testing.assert_allclose(found.per_second.stderr, 4.0 * found.per_sample.stderr, rtol=1e-12)
