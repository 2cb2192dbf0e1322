"""Records, error bars and exact window averages."""

import pickle

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import stochbind as sb
import systems
from stochbind.analysis import passes, statistics, transfer
from stochbind.errors import IncompleteError, TooFewSamplesError
from stochbind.langevin import Langevin, Moments


def dataset(position, velocity=None, interval=0.5):
    arrays = {"position": position} if velocity is None else {"position": position, "velocity": velocity}
    dims = ("trajectory", "time", "particle", "axis")
    return xr.Dataset(
        {name: (dims, value) for name, value in arrays.items()},
        coords={"time": np.arange(1, position.shape[1] + 1) * interval},
    )


def random_dataset(n_trajectories, n_times, seed=0):
    rng = np.random.default_rng(seed)
    return dataset(*(rng.normal(size=(n_trajectories, n_times, 2, 1)) for _ in range(2)))


def plain_record(data, unit, start):
    """The sums of a record, straight from their definition."""
    state = np.concatenate([data["position"].values[..., 0], data["velocity"].values[..., 0]], axis=-1) / unit
    state = state[:, start:]
    return {
        "second": np.einsum("nti,ntj->ij", state, state) / state.shape[0] / state.shape[1],
        "before": np.einsum("nti,ntj->ij", state[:, :-1], state[:, :-1]) / state.shape[0] / (state.shape[1] - 1),
        "lagged": np.einsum("nti,ntj->ij", state[:, 1:], state[:, :-1]) / state.shape[0] / (state.shape[1] - 1),
        "first_state": np.einsum("ni,nj->ij", state[:, 0], state[:, 0]) / len(state),
        "last_state": np.einsum("ni,nj->ij", state[:, -1], state[:, -1]) / len(state),
    }


@pytest.mark.parametrize("slab", [2**30, 2000])
@pytest.mark.parametrize(("n_trajectories", "start"), [(7, 0), (300, 3)])
def test_record_sums(n_trajectories, start, slab, monkeypatch):
    monkeypatch.setattr(passes, "_SLAB_BYTES", slab)
    equations = systems.underdamped_pair().langevin()
    data = random_dataset(n_trajectories, 20)
    found = statistics.record(data, equations, start=start, cells=passes.cut(data, start=start))
    assert found.n_groups == min(n_trajectories, statistics.N_GROUPS)
    for name, expected in plain_record(data, equations.unit, start).items():
        np.testing.assert_allclose(np.tensordot(found.weight, getattr(found, name), 1), expected, rtol=1e-12)
    merged = found.regrouped(5)
    assert merged.n_groups == 5
    np.testing.assert_allclose(
        np.tensordot(merged.weight, merged.second, 1), np.tensordot(found.weight, found.second, 1)
    )


def test_record_refuses_what_is_missing():
    equations = systems.underdamped_pair().langevin()
    data = random_dataset(4, 6)
    data["velocity"][2, 3] = np.nan
    with pytest.raises(IncompleteError, match="never computed"):
        statistics.record(data, equations)
    with pytest.raises(TooFewSamplesError, match="at least 2 states"):
        statistics.record(random_dataset(4, 6), equations, start=5)
    one = random_dataset(1, 6)
    with pytest.raises(TooFewSamplesError, match=r"at least 2 trajectories, or one .* 80 autocorrelation") as caught:
        statistics.record(one, equations).estimate(lambda second: second)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    np.testing.assert_allclose(copy.estimate.value, plain_record(one, equations.unit, 0)["second"], rtol=1e-12)
    assert np.isnan(copy.estimate.stderr).all()
    assert copy.estimate.n_eff == 1


def test_estimate_z():
    estimate = statistics.Estimate(np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.5, 0.0, 0.0, 1e-30]), 9.0)
    z = estimate.z(np.array([2.0, 2.0, 0.0, 5.0 + 1e-12]))
    assert z[0] == pytest.approx(stats.norm.ppf(stats.t.cdf(-2.0, 8)), rel=1e-12, abs=0)
    assert -2.0 < z[0] < -1.7
    assert statistics.Estimate(np.array(3.0), np.array(1.0), 1e9).z(0.0) == pytest.approx(3.0, rel=1e-6, abs=0)
    assert z[1] == z[2] == 0.0
    assert abs(z[3]) < 1
    assert abs(estimate.z(np.array([1, 2.1, 0, 5])))[1] > 10


def test_standard_errors_cover():
    """95 per cent intervals of a variance hold the truth in 93 to 97 per cent of 1000 ensembles."""
    rng = np.random.default_rng(1)
    weight = np.full(64, 1 / 64)
    hits = 0
    for _ in range(1000):
        sample = np.mean(rng.normal(size=(64, 30)) ** 2, axis=1)
        estimate = statistics.weighted_mean(sample, weight)
        hits += abs(estimate.z(1.0)) < 1.96
    assert 930 <= hits <= 970


@pytest.mark.parametrize("drift", [[[-0.3, 1.0], [-1.0, -0.1]], [[0.02, 1.0], [-1.0, 0.01]]])
def test_exact_record_is_the_sum_of_moments(drift):
    """Doubling against a plain loop over the states, stable and unstable, with a constant drift and a mean."""
    equations = Langevin(drift_matrix=drift, noise_covariance=[[0.1, 0.05], [0.05, 0.3]], constant_drift=[0.2, -0.1])
    initial = Moments(np.array([1.0, -2.0]), np.array([[0.5, 0.1], [0.1, 0.2]]))
    start, stop, interval = 3, 40, 0.37
    second = []
    for k in range(start, stop):
        moments = equations.moments(interval * (k + 1), initial)
        second.append(moments.covariance + np.outer(moments.mean, moments.mean))
    found = statistics.exact_record(
        equations, initial, first_time=interval * (start + 1), interval=interval, n_states=stop - start
    )
    np.testing.assert_allclose(found.second[0], np.mean(second, axis=0), rtol=1e-11)
    np.testing.assert_allclose(found.before[0], np.mean(second[:-1], axis=0), rtol=1e-11)
    np.testing.assert_allclose(found.first_state[0], second[0], rtol=1e-11)
    np.testing.assert_allclose(found.last_state[0], second[-1], rtol=1e-11)
    if not np.any(equations.constant_drift):
        return
    step = equations.propagator(interval)
    means = [equations.moments(interval * (k + 1), initial).mean for k in range(start, stop - 1)]
    lagged = np.mean(
        [step.matrix @ s + np.outer(step.shift, m) for s, m in zip(second[:-1], means, strict=True)], axis=0
    )
    np.testing.assert_allclose(found.lagged[0], lagged, rtol=1e-11)


def test_regression_needs_motion_in_every_direction():
    equations = systems.underdamped_pair(c=(0.5, 0.0), temperature=(1.0, 0.0)).langevin()
    exact = statistics.exact_record(equations, equations.stationary, first_time=0.6, interval=0.6, n_states=50)
    with pytest.raises(TooFewSamplesError, match="does not move in every direction"):
        transfer.regressed_equations(equations, exact)


def test_regression_finds_the_drift_of_exact_moments():
    array = systems.underdamped_pair()
    equations = array.langevin()
    exact = statistics.exact_record(
        equations, array.initial_moments("thermal"), first_time=0.6, interval=0.6, n_states=50
    )
    found = transfer.regressed_equations(equations, exact)
    np.testing.assert_allclose(found.drift_matrix, equations.drift_matrix, atol=1e-10)
    rare = statistics.exact_record(
        equations, array.initial_moments("thermal"), first_time=4.0, interval=4.0, n_states=50
    )
    with pytest.raises(TooFewSamplesError, match="too rarely to follow the motion"):
        transfer.regressed_equations(equations, rare)


def test_jackknife_of_a_ratio():
    """Standard error of a ratio of variances against its scatter over many small ensembles."""
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(300):
        second = np.zeros((32, 2, 2))
        second[:, 0, 0], second[:, 1, 1] = (np.mean(rng.normal(size=(2, 32, 50)) ** 2, axis=-1)) * [[1.0], [2.0]]
        zero = np.zeros_like(second)
        record = statistics.Record(second, zero, zero, zero, zero, np.full(32, 1 / 32), 1.0, 2)
        value, replicate = record.jackknife(lambda part: part.second[0, 0, 0] / part.second[0, 1, 1])
        values.append(value)
        errors.append(np.sqrt(31 / 32 * np.sum((replicate - replicate.mean()) ** 2)))
    assert np.mean(values) == pytest.approx(0.5, abs=5 * np.std(values) / np.sqrt(300) + 0.001)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15, abs=0)


def test_jackknife_of_a_mean_is_the_mean():
    rng = np.random.default_rng(4)
    sample, weight = rng.normal(size=(20, 3)), np.full(20, 1 / 20)
    found, plain = (
        statistics.jackknife(lambda x: 2 * x, sample, weight=weight),
        statistics.weighted_mean(sample, weight),
    )
    np.testing.assert_allclose(found.value, 2 * plain.value, rtol=1e-12)
    np.testing.assert_allclose(found.stderr, 2 * plain.stderr, rtol=1e-12)
    assert found.n_eff == 20


def test_jackknife_takes_the_bias_away():
    """The square of a mean is too large by the variance of the mean: exactly what the jackknife takes off."""
    sample = np.random.default_rng(5).normal(size=12)
    found = statistics.jackknife(np.square, sample, weight=np.full(12, 1 / 12))
    assert found.value == pytest.approx(sample.mean() ** 2 - sample.var(ddof=1) / 12, rel=1e-12, abs=0)


def test_jackknife_of_unequal_groups():
    """Of a ratio of means of two kinds of groups, against its scatter over many such sets; equal shares are wrong."""
    rng = np.random.default_rng(6)
    size = np.where(np.arange(40) % 2, 4, 1)
    weight = size / size.sum()
    found = []
    for _ in range(400):
        above = 1.0 + rng.normal(size=40) / np.sqrt(size)
        below = 4.0 + rng.normal(size=40) / np.sqrt(size)
        estimate = statistics.jackknife(lambda x, y: x / y, above, below, weight=weight)
        found.append((estimate.value, estimate.stderr))
    value, stderr = np.transpose(found)
    assert value.mean() == pytest.approx(0.25, abs=4 * value.std() / 20)
    assert np.sqrt(np.mean(stderr**2)) == pytest.approx(value.std(), rel=0.12, abs=0)
    assert value.std() < 0.9 * 0.25 * np.sqrt(1 + 1 / 16) * np.sqrt(np.mean(1 / size) / 40)


def test_few_groups_of_a_nonlinear_function():
    sample = np.arange(1.0, 8.0)
    with pytest.raises(TooFewSamplesError, match=r"at least 8 independent .* has 7") as caught:
        statistics.jackknife(np.log, sample, weight=np.full(7, 1 / 7))
    assert caught.value.estimate.value == pytest.approx(np.log(4.0), abs=0.1)
    assert caught.value.estimate.stderr > 0
    with pytest.raises(TooFewSamplesError, match="at least 8") as caught:
        statistics.jackknife(np.log, sample[:1], weight=np.ones(1))
    assert caught.value.estimate.value == 0.0
    assert np.isnan(caught.value.estimate.stderr)


def test_public_estimate_is_exported():
    assert sb.Estimate is statistics.Estimate
