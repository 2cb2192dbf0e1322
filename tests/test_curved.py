"""Error bars near an extremum: the law of quadratic forms, and how often intervals hold the truth where slopes fail."""

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.analysis import information
from stochbind.analysis.curved import curved_estimate, widened
from stochbind.analysis.embedding import Design, Embedding
from stochbind.analysis.statistics import Record
from stochbind.analysis.transfer import jackknife
from stochbind.analysis.transfer_entropy import entropies_of, exact_transfer_entropy
from stochbind.errors import TooFewSamplesError


def record_of(second):
    weight = np.full(len(second), 1 / len(second))
    return Record(second, second, second, second, second, weight, 1.0, 2)


def normal_record(correlation, rng, *, n_groups=32, n_states=40):
    """Second moments of independent normal states of two coordinates."""
    state = rng.normal(size=(n_groups, n_states, 2))
    state[..., 1] = correlation * state[..., 0] + np.sqrt(1 - correlation**2) * state[..., 1]
    return record_of(np.einsum("gtj,gtk->gjk", state, state) / n_states)


def plain_jackknife(record, function):
    value, replicate = record.jackknife(lambda part: function(part.second[0]))
    n = len(replicate)
    return n * value - (n - 1) * replicate.mean(axis=0), np.sqrt((n - 1) * replicate.var(axis=0))


def test_linear_functions_have_the_error_bar_of_a_mean():
    rng = np.random.default_rng(1)
    record = normal_record(0.3, rng)
    found = curved_estimate(record, lambda second: np.array([second[0, 1], second[0, 0] - second[1, 1]]))
    mean = record.estimate(lambda second: np.stack([second[:, 0, 1], second[:, 0, 0] - second[:, 1, 1]], axis=-1))
    np.testing.assert_allclose(found.value, mean.value, rtol=1e-12)
    np.testing.assert_allclose(found.stderr, mean.stderr, rtol=1e-9)


def test_square_of_what_is_zero():
    """Of noise of variance V in each of m directions, q is V times the root of m, and the bias mV/2."""
    rng = np.random.default_rng(2)
    sigma, found, value = 0.3, [], []
    for _ in range(60):
        second = sigma * rng.normal(size=(32, 2, 2))
        one = curved_estimate(record_of(second), lambda mean: np.array([0.5 * np.sum(mean**2)]))
        _, slope = plain_jackknife(record_of(second), lambda mean: np.array([0.5 * np.sum(mean**2)]))
        # s^2 = j^2 + jq + q^2, solved for q
        found.append(0.5 * (np.sqrt(4 * one.stderr[0] ** 2 - 3 * slope[0] ** 2) - slope[0]))
        value.append(one.value[0])
    variance = sigma**2 / 32
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(2 * variance, rel=0.1, abs=0)
    assert np.std(value) == pytest.approx(2 * variance / np.sqrt(2), rel=0.25, abs=0)
    assert abs(np.mean(value)) < 4 * np.std(value) / np.sqrt(60) < 2 * variance  # the twin: the bias would be seen


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_coverage_of_mutual_information_near_zero(distance):
    """Of correlations so many standard errors from zero; by the jackknife alone a few are off by far."""
    correlation = distance / np.sqrt(32 * 40)
    exact = -0.5 * np.log1p(-(correlation**2))
    rng = np.random.default_rng(3)
    z, twin = [], []

    def shared(second):
        return np.array([information.mutual_information(second, np.array([0]), np.array([1]))])

    for _ in range(80):
        record = normal_record(correlation, rng)
        z.append(curved_estimate(record, shared).z(exact)[0])
        value, stderr = plain_jackknife(record, shared)
        twin.append((value[0] - exact) / stderr[0])
    assert np.mean(np.abs(z) < 1.96) > 0.9
    assert np.abs(z).max() < 5
    assert np.mean(np.abs(twin) < 1.96) < 0.91
    assert np.abs(twin).max() > 5 or distance == 0


@pytest.mark.parametrize("coupling", [0.0, 0.04, 0.1])
def test_coverage_of_transfer_entropy_near_zero(coupling):
    array = systems.overdamped_pair(c=(coupling, 0.0))
    n, groups = 80, 32
    run = sb.simulate(
        array, step=0.5, n_steps=100, n_trajectories=n * groups, initial=array.langevin().stationary, seed=4
    )
    design = Design.of(array, None, 1)
    every, one = Embedding(design, n * groups), Embedding(design, groups)
    state = run["position"].to_numpy() / array.langevin().unit
    every.add(state, cells=np.arange(n * groups), first=0, last=True)
    exact = exact_transfer_entropy(array, 0.5)[0, 1]
    z, twin = [], []
    for sums in every.sums.reshape(n, groups, *every.sums.shape[1:]):
        one.sums[:] = sums
        found = entropies_of(one, 0.5)
        z.append(found.per_sample.z(exact)[0, 1])
        plain = jackknife(sums, one.entropies)[0].stderr[0, 1]
        twin.append((found.per_sample.value[0, 1] - exact) / plain)
    assert np.mean(np.abs(z) < 1.96) > 0.9
    assert np.abs(z).max() < 5
    assert np.mean(np.abs(twin) < 1.96) < 0.91
    assert np.abs(twin).max() > 5 or coupling == 0


def test_error_bars_where_the_slope_tells_all():
    assert widened(np.array(1.0), np.array(0.02)) == pytest.approx(1.0, rel=0.02, abs=0)
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        curved_estimate(record_of(np.eye(2)[None]), lambda second: second[0])
