"""Autocorrelation times and confidence intervals, and how often these hold the truth."""

import numpy as np
import pytest
from scipy import signal, stats

import stochbind as sb
import systems
from stochbind.analysis import autocorrelation as memory
from stochbind.analysis import resampling, statistics, thermodynamics
from stochbind.analysis.passes import cut, read
from stochbind.analysis.second_moments import SecondMoments
from stochbind.analysis.statistics import Estimate, jackknife, weighted_mean
from stochbind.errors import PlanError, TooFewSamplesError

N_RUNS = 1000


def first_order(phi, n, t, seed=0):
    """Autoregressive series of first order, in its steady state: its autocorrelation is phi^k exactly."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(n, 1)) / np.sqrt(1.0 - phi**2)
    value, _ = signal.lfilter([1.0], [1.0, -phi], rng.normal(size=(n, t)), axis=1, zi=phi * start)
    return value


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9, 0.98])
def test_autocorrelation_time_of_a_first_order_series(phi):
    exact = 0.5 * (1.0 + phi) / (1.0 - phi)
    series = first_order(phi, 40, 20000)
    assert memory.autocorrelation_time(series) == pytest.approx(exact, rel=0.04, abs=0.015)
    alone = [memory.autocorrelation_time(one) for one in series]
    assert np.mean(alone) == pytest.approx(exact, rel=0.05, abs=0.015)
    lag = np.arange(6)
    np.testing.assert_allclose(memory.autocorrelation(series)[lag], phi**lag, atol=0.03)
    # what it is for: the scatter of the means
    scatter = series.mean(axis=1).var(ddof=1) / series.var()
    assert 1.0 / memory.effective_sample_size(series[0]) == pytest.approx(scatter, rel=0.75, abs=0)
    assert memory.effective_sample_size(series) == pytest.approx(series.size / (2 * exact), rel=0.1, abs=0)


def test_autocorrelation_by_its_definition():
    series = first_order(0.8, 3, 50, seed=1)
    deviation = series - series.mean()
    direct = [np.mean(deviation[:, : 50 - k] * deviation[:, k:]) for k in range(50)]
    np.testing.assert_allclose(memory.autocorrelation(series), np.array(direct) / direct[0], atol=1e-12)


def test_short_series_are_not_taken_for_longer_ones():
    """About the mean of the series itself correlations come out too small, which is made up for."""
    series = first_order(0.95, 400, 1000, seed=2)
    exact = 0.5 * 1.95 / 0.05
    found = [memory.autocorrelation_time(one) for one in series]
    assert np.mean(found) == pytest.approx(exact, rel=0.1, abs=0)


def test_series_that_cannot_be_judged():
    np.testing.assert_array_equal(memory.autocorrelation(np.full(4, 3.0)), [1, 0, 0, 0])
    with pytest.raises(TooFewSamplesError, match="at least 2 samples in the order of time, but holds 1"):
        memory.autocorrelation(np.ones((3, 1)))
    with pytest.raises(TooFewSamplesError, match="must be finite"):
        memory.autocorrelation_time([1.0, np.nan, 2.0])


def test_interval_is_students():
    estimate = Estimate(np.array([1.0, 2.0]), np.array([0.5, 0.0]), 6.0)
    low, high = resampling.interval(estimate, 0.9)
    np.testing.assert_allclose([low[0], high[0]], stats.t.interval(0.9, 5, loc=1.0, scale=0.5), rtol=1e-12)
    assert low[1] == high[1] == 2.0
    with pytest.raises(PlanError, match="`level` must be between 0 and 1, but is 95"):
        resampling.interval(estimate, 95)


def test_bootstrap_of_a_mean_of_few_cells_is_as_wide_as_the_interval_of_student():
    """On average: eight cells drawn again vary by a part sqrt(7/8) of what they should."""
    rng = np.random.default_rng(0)
    ratio = []
    for seed in range(60):
        sample = rng.normal(size=8)
        low, high = resampling.bootstrap(lambda mean: mean, sample, weight=np.full(8, 0.125), level=0.8, seed=seed)
        exact = stats.t.interval(0.8, 7, sample.mean(), sample.std(ddof=1) / np.sqrt(8))
        ratio.append((high - low) / (exact[1] - exact[0]))
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)


def test_bootstrap_beside_an_independent_one():
    """Quantiles as SciPy finds them, at the widened level; and each cell counts as much as its share."""
    rng = np.random.default_rng(7)
    sample, weight = rng.exponential(size=(30, 2)), np.full(30, 1 / 30)

    def ratio(x):
        return x[..., 0] / x[..., 1]

    low, high = resampling.bootstrap(ratio, sample, weight=weight, n_resamples=20000, seed=1)
    level = 1 - 2 * stats.norm.cdf(np.sqrt(30 / 29) * stats.t.ppf(0.025, 29))
    other = stats.bootstrap(
        (sample[:, 0], sample[:, 1]), lambda x, y, axis: x.mean(axis) / y.mean(axis), paired=True, vectorized=True,
        n_resamples=20000, confidence_level=level, method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose([low, high], other, rtol=0.03)
    again = resampling.bootstrap(ratio, sample, weight=weight, n_resamples=20000, seed=1)
    assert (low, high) == (again.low, again.high)
    heavy = np.where(np.arange(30) == 0, 1.0, 1e-9)
    low, high = resampling.bootstrap(ratio, sample, weight=heavy / heavy.sum(), level=0.5)
    assert low == pytest.approx(ratio(sample[0]), rel=1e-6, abs=0)
    with pytest.raises(PlanError, match="`n_resamples` must be at least 100"):
        resampling.bootstrap(ratio, sample, weight=weight, n_resamples=10)
    with pytest.raises(TooFewSamplesError, match="at least 8") as caught:
        resampling.bootstrap(ratio, sample[:5], weight=np.full(5, 0.2))
    assert np.isfinite(caught.value.estimate.value)


ARRAY = systems.overdamped_pair()
COVARIANCE, HEAT = systems.overdamped_truth()


def heat(second):
    return thermodynamics.heat_current(ARRAY, second)[..., 0]


def temperature_ratio(second):
    temperature = thermodynamics.position_temperature(ARRAY, second)
    return temperature[..., 1] / temperature[..., 0]


def information(second):
    """Mutual information of two Gaussian coordinates [nats]."""
    return -0.5 * np.log1p(-(second[..., 0, 1] ** 2) / (second[..., 0, 0] * second[..., 1, 1]))


NONLINEAR = {
    "information": (information, -0.5 * np.log1p(-(COVARIANCE[0, 1] ** 2) / COVARIANCE[0, 0] / COVARIANCE[1, 1])),
    "temperature ratio": (temperature_ratio, 0.8 * COVARIANCE[1, 1] / (1.3 * COVARIANCE[0, 0])),
}


def covered(limits, truth):
    return np.mean([low <= truth <= high for low, high in limits])


@pytest.fixture(scope="module")
def many():
    """Second moments of each of the trajectories of 1000 runs of 40, (run, trajectory, d, d)."""
    equations = ARRAY.langevin()
    data = sb.simulate(ARRAY, step=0.5, n_steps=40, n_trajectories=40 * N_RUNS, seed=11, initial=equations.stationary)
    cells = cut(data.isel(trajectory=slice(2)))._replace(group=np.arange(40 * N_RUNS))
    moments = SecondMoments(cells.n_groups, 2)
    second = moments.averages(read(data, equations, [moments], cells=cells))["second"]
    return second.reshape(N_RUNS, 40, 2, 2)


@pytest.fixture(scope="module")
def long():
    """Records of 1000 runs of one long trajectory each."""
    equations = ARRAY.langevin()
    data = sb.simulate(
        ARRAY, step=0.5, n_steps=1200, n_trajectories=N_RUNS, seed=12, initial=equations.stationary
    ).load()
    return [statistics.record(data.isel(trajectory=[i]), equations) for i in range(N_RUNS)], data


WEIGHT = np.full(40, 1 / 40)


def test_linear_intervals_of_many_trajectories_cover(many):
    limits = [resampling.interval(weighted_mean(heat(second), WEIGHT)) for second in many]
    assert 0.93 <= covered(limits, HEAT[0]) <= 0.97
    wrong = [resampling.interval(weighted_mean(heat(second), WEIGHT)) for second in many[:, :4].repeat(10, axis=1)]
    assert covered(wrong, HEAT[0]) < 0.6  # each trajectory ten times: what is not independent does not count


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_intervals_of_many_trajectories_cover(name, many):
    function, truth = NONLINEAR[name]
    limits = [resampling.interval(jackknife(function, second, weight=WEIGHT)) for second in many]
    assert 0.93 <= covered(limits, truth) <= 0.97
    drawn = [
        resampling.bootstrap(function, second, weight=WEIGHT, n_resamples=400, seed=i)
        for i, second in enumerate(many[:500])
    ]
    assert 0.92 <= covered(drawn, truth) <= 0.98


def test_functions_of_trajectories_are_not_functions_of_means(many):
    function, truth = NONLINEAR["information"]
    wrong = [resampling.interval(weighted_mean(function(second), WEIGHT)) for second in many[:200]]
    assert covered(wrong, truth) < 0.8


def test_linear_intervals_of_one_long_trajectory_cover(long):
    records, data = long
    assert all(8 <= record.n_groups <= 24 for record in records)
    limits = [resampling.interval(record.estimate(heat)) for record in records]
    assert 0.93 <= covered(limits, HEAT[0]) <= 0.97
    # states taken for independent ones
    square = (data["position"].values[..., 1]) ** 2
    half = 1.96 * square.std(axis=1, ddof=1) / np.sqrt(square.shape[1])
    naive = np.abs(square.mean(axis=1) - COVARIANCE[1, 1]) <= half
    assert naive.mean() < 0.75


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_intervals_of_one_long_trajectory_cover(name, long):
    function, truth = NONLINEAR[name]
    limits = [resampling.interval(jackknife(function, record.second, weight=record.weight)) for record in long[0]]
    assert 0.93 <= covered(limits, truth) <= 0.97


def kinetic_intervals(friction, n_runs, n_blocks=None):
    """Intervals of a kinetic temperature, each from one underdamped trajectory, and the truth."""
    array = systems.underdamped_pair(friction=friction)
    equations = array.langevin()
    initial = equations.stationary
    data = sb.simulate(array, step=0.8, n_steps=1000, n_trajectories=n_runs, seed=13, initial=initial).load()
    limits = []
    for i in range(n_runs):
        one = data.isel(trajectory=[i])
        cells = None if n_blocks is None else cut(one, n_blocks=n_blocks)
        record = statistics.record(one, equations, cells=cells)
        temperature = record.estimate(lambda second: thermodynamics.kinetic_temperature(array, second)[..., 0])
        limits.append(resampling.interval(temperature))
    return limits, thermodynamics.kinetic_temperature(array, initial.covariance)[0]


def test_kinetic_temperature_of_one_long_trajectory_covers():
    assert 0.93 <= covered(*kinetic_intervals((0.9, 0.7), N_RUNS)) <= 0.97


def test_blocks_of_a_period_are_not_independent():
    """Energy lasts for the decay time of an oscillator, here about twenty units, and not for its period of six."""
    assert covered(*kinetic_intervals((0.06, 0.05), 100, n_blocks=125)) < 0.85
