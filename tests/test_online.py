"""Statistics accumulated during a run: what is read from them, and their exact means.

The datasets are made here from arrays of states, by plain sums, and the states are exact Gaussian paths.
"""

import functools
import re
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import linalg, stats

import stochbind as sb
import systems
from stochbind.analysis import comparisons, exact_windows, online, statistics, thermodynamics, transfer, windows
from stochbind.analysis.validation import validate
from stochbind.errors import IncompleteError, PlanError, ScenarioError, TooFewSamplesError
from stochbind.langevin import Langevin, Moments
from stochbind.propagation import covariance_root
from stochbind.protocols import Drive, Protocol
from stochbind.scenario import parse

INTERVAL = 0.6
LAGS = (0, 1, 2, 3, 4, 8)


def paths(equations, initial, n_saves, n_trajectories, seed=0, interval=INTERVAL):
    """Exact paths in SI, (trajectory, time, coordinate); the first state is one interval after time zero."""
    rng = np.random.default_rng(seed)
    step = equations.propagator(interval)
    root = covariance_root(step.covariance)
    d = equations.dimension
    x = initial.mean + rng.normal(size=(n_trajectories, d)) @ covariance_root(initial.covariance).T
    result = np.empty((n_trajectories, n_saves, d))
    for k in range(n_saves):
        x = x @ step.matrix.T + step.shift + rng.normal(size=x.shape) @ root.T
        result[:, k] = x
    return result * equations.unit


def labels(equations):
    return [f"{c.quantity} {c.particle}" for c in equations.coordinate]


def outer_mean(left, right):
    """Mean over all but the last axis of left_i right_j; NaN if there is nothing."""
    left, right = (x.reshape(-1, x.shape[-1]) for x in (left, right))
    return left.T @ right / len(left) if len(left) else np.full((left.shape[1],) * 2, np.nan)


def moments_dataset(states, group, window, interval=INTERVAL):
    n, n_saves, d = states.shape
    times = interval * np.arange(1, n_saves + 1)
    starts = range(0, n_saves, window)
    groups = [states[g : g + group] for g in range(0, n, group)]
    shape = (len(starts), len(groups))
    arrays = {name: np.empty((*shape, d, d)) for name in ("second", "before", "lagged", "first", "last")}
    count = np.zeros(shape)
    for w, begin in enumerate(starts):
        for g, block in enumerate(groups):
            finite = np.isfinite(block[:, : begin + window]).all(axis=(1, 2))
            part = block[finite, begin : begin + window]
            count[w, g] = finite.sum()
            arrays["second"][w, g] = outer_mean(part, part)
            arrays["before"][w, g] = outer_mean(part[:, :-1], part[:, :-1])
            arrays["lagged"][w, g] = outer_mean(part[:, 1:], part[:, :-1])
            arrays["first"][w, g] = outer_mean(part[:, 0], part[:, 0])
            arrays["last"][w, g] = outer_mean(part[:, -1], part[:, -1])
    dims = ("moments_window", "group", "coordinate", "coordinate_from")
    stops = [min(begin + window, n_saves) - 1 for begin in starts]
    return xr.Dataset(
        {f"moments_{name}": (dims, value) for name, value in arrays.items()} | {"moments_count": (dims[:2], count)},
        coords={
            "moments_start": ("moments_window", times[list(starts)]),
            "moments_stop": ("moments_window", times[stops]),
        },
    )


def windows_of(states, window, start):
    """Whole windows that begin at a kept state or later, (trajectory, window, time, coordinate)."""
    n, n_saves, d = states.shape
    first, count = -(-start // window), n_saves // window
    return states[:, first * window : count * window].reshape(n, count - first, window, d)


def grouped(values, group):
    return np.array([values[g : g + group].mean(axis=0) for g in range(0, len(values), group)])


def counts(n, group):
    return np.array([min(group, n - g) for g in range(0, n, group)], dtype=float)


def correlation_dataset(states, group, window, start, interval=INTERVAL):
    part = windows_of(states, window, start)
    value = np.stack(
        [np.einsum("nwti,nwtj->nij", part[:, :, k:], part[:, :, : window - k]) / (window - k) for k in LAGS], axis=1
    ) / part.shape[1]  # fmt: skip
    return xr.Dataset(
        {
            "correlation": (("group", "lag", "coordinate", "coordinate_from"), grouped(value, group)),
            "correlation_count": ("group", counts(len(states), group)),
        },
        coords={"lag": interval * np.array(LAGS)},
    )


def spectrum_dataset(states, group, window, start, interval=INTERVAL):
    part = windows_of(states, window, start)
    taper = np.sin(np.pi * np.arange(window) / window) ** 2
    transform = np.fft.rfft(part * taper[:, None], axis=2)
    value = np.einsum("nwfi,nwfj->nfij", transform, transform.conj()) / part.shape[1]
    value *= interval / (taper**2).sum()
    value[:, 1:-1] *= 2
    return xr.Dataset(
        {
            "cross_spectrum": (("group", "frequency", "coordinate", "coordinate_from"), grouped(value, group)),
            "spectrum_count": ("group", counts(len(states), group)),
        },
        coords={"frequency": np.fft.rfftfreq(window, interval)},
    )


def histogram_dataset(states, of, scale, group, start, n_bins=40):
    """Counts in equal bins from -6 to 6 scales; the outer ones are open."""
    n, _, n_particles = states.shape
    edge = np.linspace(-6, 6, n_bins + 1)
    value = np.empty((len(counts(n, group)), n_particles, n_bins))
    for g in range(len(value)):
        for j in range(n_particles):
            part = states[g * group : (g + 1) * group, start:, j] / scale[j]
            value[g, j] = np.histogram(np.clip(part, -5.99, 5.99), edge)[0]
    name = f"histogram_{of}"
    return xr.Dataset(
        {
            name: (("group", "particle", f"{of}_bin"), value),
            f"{name}_count": ("group", counts(n, group)),
            f"{name}_edge": (("particle", f"{of}_edge"), scale[:, None] * edge),
            f"{name}_scale": ("particle", scale),
        }
    )


def full_dataset(scenario, n_saves, n_trajectories, *, group=8, window=32, initial="thermal", seed=0):
    array, equations = scenario.oscillators(), scenario.langevin()
    states = paths(equations, array.initial_moments(initial), n_saves, n_trajectories, seed)
    start = 0 if initial == "stationary" else int(np.ceil(6 / -equations.stability.growth_rate / INTERVAL))
    start = -(-start // window) * window
    parts = [moments_dataset(states, group, window)]
    if n_saves >= start + window:
        n = array.n_particles
        parts += [maker(states, group, window, start) for maker in (correlation_dataset, spectrum_dataset)]
        parts.append(histogram_dataset(states[..., :n], "position", np.ones(n), group, start))
        if not array.overdamped:
            parts.append(histogram_dataset(states[..., n:], "velocity", np.ones(n), group, start))
    result = xr.merge(parts).assign_coords(coordinate=labels(equations), coordinate_from=labels(equations))
    for name in ("correlation", "cross_spectrum", "histogram_position", "histogram_velocity"):
        if name in result:
            result[name].attrs["start"] = INTERVAL * (start + 1)
    result.attrs = {"scenario": scenario.to_toml(), "initial": initial}
    return result


@pytest.fixture(scope="module")
def pair():
    return full_dataset(systems.pair_scenario(0.5, 0.2), 1210, 250)


# ------------------------------------------------------------------------------------------------- moments


@pytest.mark.parametrize(("window", "n_saves", "first"), [(8, 40, 0), (8, 45, 2), (16, 33, 1), (1, 12, 3), (64, 40, 0)])
def test_record_sums(window, n_saves, first):
    """Against plain sums over all states and over the pairs inside windows; the last window and group are smaller."""
    equations = systems.underdamped_pair().langevin()
    states = np.random.default_rng(0).normal(size=(23, n_saves, 4)) * equations.unit
    data = moments_dataset(states, 4, window).assign_coords(coordinate=labels(equations))
    found = online.record_of_moments(data, equations, start=INTERVAL * (window * first + 1))
    used = states[:, window * first :] / equations.unit
    pieces = [used[:, k : k + window] for k in range(0, used.shape[1], window)]
    before = np.concatenate([piece[:, :-1] for piece in pieces], axis=1)
    after = np.concatenate([piece[:, 1:] for piece in pieces], axis=1)
    expected = {
        "second": outer_mean(used, used),
        "before": outer_mean(before, before),
        "lagged": outer_mean(after, before),
        "first_state": outer_mean(used[:, 0], used[:, 0]),
        "last_state": outer_mean(used[:, -1], used[:, -1]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(np.tensordot(found.weight, getattr(found, name), 1), value, rtol=1e-12, atol=1e-15)
    assert (found.n_groups, found.n_states) == (6, n_saves - window * first)
    assert found.interval == pytest.approx(INTERVAL, rel=1e-12, abs=0)
    assert found.weight.sum() == pytest.approx(1.0)
    if window > 1:  # the twin: a transposed lag
        assert not np.allclose(np.tensordot(found.weight, found.lagged, 1).T, expected["lagged"])


def test_record_puts_coordinates_in_order():
    equations = systems.underdamped_pair().langevin()
    states = np.random.default_rng(0).normal(size=(8, 20, 4))
    data = moments_dataset(states, 2, 4).assign_coords(coordinate=labels(equations))
    found = online.record_of_moments(data, equations)
    shuffled = data.isel(coordinate=[2, 0, 3, 1], coordinate_from=[2, 0, 3, 1])
    np.testing.assert_array_equal(online.record_of_moments(shuffled, equations).lagged, found.lagged)
    with pytest.raises(ScenarioError, match="position 0, position 1, velocity 0, velocity 1"):
        online.record_of_moments(data, systems.overdamped_pair().langevin())


def test_diverged_trajectories_are_left_out():
    equations = systems.underdamped_pair().langevin()
    states = np.random.default_rng(0).normal(size=(8, 32, 4))
    states[3, 20:] = np.nan
    single = moments_dataset(states, 1, 8).assign_coords(coordinate=labels(equations))
    found = online.record_of_moments(single, equations)
    kept = np.delete(states, 3, axis=0) / equations.unit
    np.testing.assert_allclose(np.tensordot(found.weight, found.second, 1), outer_mean(kept, kept), rtol=1e-12)
    paired = online.record_of_moments(
        moments_dataset(states, 2, 8).assign_coords(coordinate=labels(equations)), equations
    )
    assert paired.n_groups == 4
    assert paired.weight[1] == pytest.approx((2 + 2 + 1 + 1) / (8 * 4 - 2))
    for name in ("second", "before", "lagged", "first_state", "last_state"):
        assert np.isfinite(getattr(paired, name)).all()
    states[:, 30] = np.nan
    with pytest.raises(TooFewSamplesError, match="No trajectory"):
        online.record_of_moments(moments_dataset(states, 2, 8).assign_coords(coordinate=labels(equations)), equations)


def test_record_messages():
    equations = systems.underdamped_pair().langevin()
    data = moments_dataset(np.ones((4, 20, 4)), 2, 8).assign_coords(coordinate=labels(equations))
    with pytest.raises(TooFewSamplesError, match="at least 2 states"):
        online.record_of_moments(data, equations, start=100.0)
    with pytest.raises(TooFewSamplesError, match="keep two or more"):
        online.record_of_moments(data.isel(moments_window=[1]), equations)
    assert online.record_of_moments(data.isel(moments_window=[0]), equations).n_states == 8
    with pytest.raises(PlanError, match='"moments"'):
        online.record_of_moments(xr.Dataset(), equations)
    for function, kind in (
        (online.correlation, "correlations"),
        (online.spectrum, "spectra"),
        (functools.partial(online.current, name="heat"), "currents"),
        (functools.partial(online.histogram, of="heat"), "histograms"),
    ):
        with pytest.raises(PlanError, match=f'the statistic "{kind}"') as told:
            function(xr.Dataset())
        (advice,) = re.findall(r"`(statistics = .*)`", str(told.value))
        (asked,) = scenario_with(advice).run.statistics  # it can be written into a file as it stands
        assert asked.kind == kind
    assert asked.of == "heat"
    with pytest.raises(ScenarioError):
        scenario_with('[[run.statistic]]\nkind = "moments"')


def scenario_with(lines):
    text = (Path(__file__).parent.parent / "scenarios" / "cold_to_hot_pair.toml").read_text()
    return parse(text.replace("[run]", f"[run]\n{lines}"))


# ------------------------------------------------------------------------------------------ exact windows


def second_moments(protocol, initial, times):
    result = []
    for instant in times:
        moments = protocol.moments(instant, initial)
        result.append(moments.covariance + np.outer(moments.mean, moments.mean))
    return np.array(result)


def lagged_moments(protocol, initial, times, interval):
    """<x(t + interval) x(t)^T>, from the step of each time: mean and covariance apart."""
    result = []
    for instant in times:
        before, after = protocol.moments(instant, initial), protocol.moments(instant + interval, initial)
        matrix = linalg.expm(protocol.equations.drift_matrix * (interval / protocol.equations.time_unit))
        result.append(matrix @ before.covariance + np.outer(after.mean, before.mean))
    return np.array(result)


@pytest.mark.parametrize("drift", [[[-0.3, 1.0], [-1.0, -0.1]], [[0.02, 1.0], [-1.0, 0.01]]], ids=["stable", "grows"])
@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize(("window", "n_states"), [(8, 24), (8, 27), (4, 17), (1, 9), (2, 2), (64, 20), (16, 33)])
def test_exact_record_of_windows(drift, driven, window, n_states):
    """Against a plain sum over all states, and over the pairs inside windows."""
    equations = Langevin(drift_matrix=drift, noise_covariance=[[0.1, 0.05], [0.05, 0.3]], constant_drift=[0.2, -0.1])
    drives = (Drive(None, 0.7, 1.3, 0.4, coordinate=1),) if driven else ()
    protocol = Protocol.constant(equations, drives=drives)
    initial = Moments(np.array([1.0, -2.0]), np.array([[0.5, 0.1], [0.1, 0.2]]))
    first, interval = 2.3, 0.37
    times = first + interval * np.arange(n_states)
    second = second_moments(protocol, initial, times)
    begins = np.array([k for k in range(n_states - 1) if (k + 1) % window], dtype=int)
    found = exact_windows.exact_record_of_windows(
        protocol if driven else equations, initial, first_time=first, interval=interval, window=window,
        n_states=n_states,
    )  # fmt: skip
    np.testing.assert_allclose(found.second[0], second.mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(found.first_state[0], second[0], rtol=1e-11)
    np.testing.assert_allclose(found.last_state[0], second[-1], rtol=1e-11)
    assert (found.interval, found.n_states) == (interval, n_states)
    if window == 1:
        assert np.isnan(found.before).all()
        assert np.isnan(found.lagged).all()
        return
    lagged = lagged_moments(protocol, initial, times[begins], interval)
    np.testing.assert_allclose(found.before[0], second[begins].mean(axis=0), rtol=1e-11)
    np.testing.assert_allclose(found.lagged[0], lagged.mean(axis=0), rtol=1e-10)
    if window < n_states:  # the twin: pairs across the edges counted too
        every = statistics.exact_record(protocol, initial, first_time=first, interval=interval, n_states=n_states)
        assert not np.allclose(every.before, found.before, rtol=1e-6)


def test_many_windows_cost_no_more():
    equations = systems.underdamped_pair().langevin()
    begin = time.perf_counter()
    exact = exact_windows.exact_record_of_windows(
        equations, systems.underdamped_pair().initial_moments("rest"), first_time=1.0, interval=0.6, window=64,
        n_states=64 * 10**9 + 5,
    )  # fmt: skip
    assert time.perf_counter() - begin < 1.0
    np.testing.assert_allclose(exact.second[0], equations.stationary.covariance, rtol=1e-7, atol=1e-9)


def test_the_record_serves_the_theory():
    """Regression of the drift, and the first law, from exact sums over windows."""
    array = systems.underdamped_pair()
    equations = array.langevin()
    exact = exact_windows.exact_record_of_windows(
        equations, array.initial_moments("thermal"), first_time=0.6, interval=0.6, window=8, n_states=50
    )
    found = transfer.regressed_equations(equations, exact)
    np.testing.assert_allclose(found.drift_matrix, equations.drift_matrix, atol=1e-10)
    steady = exact_windows.exact_record_of_windows(
        equations, equations.stationary, first_time=0.6, interval=0.6, window=8, n_states=50
    )
    residual = thermodynamics.first_law(array, steady.second, steady.first_state, steady.last_state, steady.duration)
    np.testing.assert_allclose(residual, 0.0, atol=1e-12)


# ------------------------------------------------------------------- exact correlations, spectra and shares


def dense_spectrum(equations, interval, window, taper):
    """Mean spectra from the dense covariance of all states of a window, with SciPy's exponential: no lag sums."""
    d = equations.dimension
    covariance = linalg.solve_continuous_lyapunov(equations.drift_matrix, -equations.noise_covariance)
    step = linalg.expm(equations.drift_matrix * (interval / equations.time_unit))
    whole = np.empty((window, d, window, d))
    for a in range(window):
        for b in range(window):
            power = np.linalg.matrix_power(step, abs(a - b))
            whole[a, :, b] = power @ covariance if a >= b else covariance @ power.T
    phase = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), np.arange(window)) / window) * taper
    result = np.einsum("fa,aibj,fb->fij", phase, whole, phase.conj()) * 2 * interval / (taper**2).sum()
    result[[0, -1]] /= 2
    return result * np.outer(equations.unit, equations.unit)


@pytest.mark.parametrize("array", [systems.underdamped_pair(), systems.overdamped_pair(), systems.oscillator(300.0)])
def test_steady_spectrum_of_finite_windows(array):
    """Against the dense covariance of a window; twins: another taper, conjugated, the spectrum of no window."""
    equations = array.langevin()
    window, interval = 32, 0.8
    taper = np.hanning(window + 1)[:-1]
    frequency, found = exact_windows.steady_spectrum(equations, interval, window)
    expected = dense_spectrum(equations, interval, window, taper)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(frequency, np.fft.rfftfreq(window, interval), rtol=1e-14)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * scale)
    # the integral over all frequencies is the mean square
    square = np.diagonal(equations.stationary.covariance) * equations.unit**2
    total = found.sum(axis=0) * frequency[1]
    np.testing.assert_allclose(np.diagonal(total).real, square, rtol=1e-10)
    flat = dense_spectrum(equations, interval, window, np.ones(window))
    assert np.abs(flat - expected).max() > 0.005 * scale
    if array.n_particles > 1:
        assert np.abs(found - expected.conj()).max() > 0.005 * scale
    omega = 2 * np.pi * frequency[:, None, None]
    matrix, noise = equations.drift_matrix / equations.time_unit, equations.noise_covariance / equations.time_unit
    inverse = np.linalg.inv(1j * omega * np.eye(len(matrix)) - matrix)
    endless = 2 * inverse @ noise @ inverse.conj().swapaxes(1, 2) * np.outer(equations.unit, equations.unit)
    assert np.abs(endless[1:-1] - expected[1:-1]).max() > 0.005 * scale


def test_spectrum_of_white_states_is_flat():
    """Overdamped states kept so rarely that they are independent: 2 dt <x^2>, and half of it at both ends."""
    array = systems.overdamped_pair(c=(0.0, 0.0))
    equations = array.langevin()
    _, found = exact_windows.steady_spectrum(equations, 200.0, 16)
    variance = np.diagonal(systems.overdamped_truth(c=(0.0, 0.0))[0])
    np.testing.assert_allclose(found[1:-1].real, np.diag(400 * variance)[None].repeat(7, axis=0), atol=1e-9)
    np.testing.assert_allclose(found[[0, -1]].real, np.diag(200 * variance)[None].repeat(2, axis=0), atol=1e-9)


def test_steady_correlation():
    """A one-way pair: the driven particle follows, the other does not; at lag zero the closed covariance."""
    array = systems.overdamped_pair(c=(0.5, 0.0))
    equations = array.langevin()
    found = exact_windows.steady_correlation(equations, [0.0, 0.7])
    np.testing.assert_allclose(found[0], systems.overdamped_truth(c=(0.5, 0.0))[0], rtol=1e-10)
    rate = np.array([1.3 / 0.7, 0.8 / 1.9])
    assert found[1, 1, 1] == pytest.approx(found[0, 1, 1] * np.exp(-0.7 * rate[1]), rel=1e-10, abs=0)
    assert found[1, 1, 0] == pytest.approx(found[0, 1, 0] * np.exp(-0.7 * rate[1]), rel=1e-10, abs=0)
    follows = 0.5 / 0.7 * (np.exp(-0.7 * rate[1]) - np.exp(-0.7 * rate[0])) / (rate[0] - rate[1])
    expected = found[0, 0, 1] * np.exp(-0.7 * rate[0]) + follows * found[0, 1, 1]
    assert found[1, 0, 1] == pytest.approx(expected, rel=1e-10, abs=0)


def test_normal_shares():
    edge = np.array([[-1.0, 0.5, 2.0], [0.0, 1.0, 3.0]])
    found = exact_windows.normal_shares(edge, 0.3, np.array([1.0, 2.0]))
    for row, deviation in enumerate((1.0, 2.0)):
        law = stats.norm(0.3, deviation)
        below = [0.0, *law.cdf(edge[row]), 1.0]
        np.testing.assert_allclose(found[row], np.diff(below), rtol=1e-12)
    point = exact_windows.normal_shares(np.array([-1.0, 1.0]), 0.0, 0.0)
    np.testing.assert_array_equal(point, [0.0, 1.0, 0.0])


# -------------------------------------------------------------------------------------------------- estimates


def distances(found, exact):
    """z of all elements, real and imaginary parts."""
    value, stderr = found["value"].to_numpy(), found["stderr"].to_numpy()
    parts = [(np.real(value), np.real(stderr), np.real(exact))]
    if np.iscomplexobj(value):
        parts.append((np.imag(value), np.imag(stderr), np.imag(exact)))
    z = []
    for mean, error, truth in parts:
        known = error > 1e-9 * np.abs(value).max()
        z.append(statistics.Estimate(mean[known], error[known], found.attrs["n_eff"]).z(truth[known]))
    return np.concatenate(z)


def test_correlations_agree(pair):
    equations = systems.pair_scenario(0.5, 0.2).langevin()
    found = online.correlation(pair)
    assert found["value"].dims == ("lag", "coordinate", "coordinate_from")
    exact = exact_windows.steady_correlation(equations, pair["lag"].to_numpy())
    z = distances(found, exact)
    assert np.abs(z).max() < 4.5
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.6
    assert np.abs(distances(found, exact.swapaxes(1, 2))).max() > 10  # the twin: transposed
    hot = systems.pair_scenario(0.5, 0.2, temperature=(1.1, 0.8)).langevin()
    assert np.abs(distances(found, exact_windows.steady_correlation(hot, pair["lag"].to_numpy()))).max() > 6


def test_spectra_agree(pair):
    equations = systems.pair_scenario(0.5, 0.2).langevin()
    found = online.spectrum(pair)
    _, exact = exact_windows.steady_spectrum(equations, INTERVAL, 32)
    z = distances(found, exact)
    assert np.abs(z).max() < 5
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.3
    for twin in (exact.conj(), exact.swapaxes(1, 2), exact / 2, exact * 0.375):  # 0.375: the mean square of the taper
        assert np.abs(distances(found, twin)).max() > 10


def test_estimates_need_two_groups(pair):
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        online.correlation(pair.isel(group=[0]))
    two = online.correlation(pair.isel(group=[0, 1]))
    assert two.attrs["n_eff"] == 2


def test_histograms_agree(pair):
    equations = systems.pair_scenario(0.5, 0.2).langevin()
    for of, first in (("position", 0), ("velocity", 2)):
        found = online.histogram(pair, of)
        assert found["value"].dims == ("particle", "bin")
        np.testing.assert_allclose(found["value"].sum("bin"), 1.0)
        assert np.isneginf(found["lower"][:, 0]).all()
        assert np.isposinf(found["upper"][:, -1]).all()
        variance = np.diagonal(equations.stationary.covariance * np.outer(equations.unit, equations.unit))
        deviation = np.sqrt(variance[first : first + 2])
        edge = found["upper"].to_numpy()[:, :-1]
        exact = exact_windows.normal_shares(edge, 0.0, deviation)
        common = exact > 1e-3  # where counts are many enough to be normal
        part = {"value": found["value"].where(common, 0.0), "stderr": found["stderr"].where(common, 0.0)}
        z = distances(xr.Dataset(part, attrs=found.attrs), exact)
        assert np.abs(z).max() < 4.5
        warm = exact_windows.normal_shares(edge, 0.0, deviation * np.sqrt(1.05))
        assert np.abs(distances(xr.Dataset(part, attrs=found.attrs), warm)).max() > 5


def currents_dataset(power, work, group, window, interval):
    """Mean powers of the windows of each trajectory, (trajectory, window, ...), in groups."""
    dims = ("currents_window", "group", "particle")
    n_windows = power.shape[1]
    arrays = {"heat": (dims, power), "work": ((*dims, "source"), work), "drive_work": (dims, np.zeros_like(power))}
    made = {}
    for name, (where, value) in arrays.items():
        made[f"current_{name}"] = (where, np.moveaxis(grouped(value, group), 1, 0))
        made[f"current_{name}_square"] = (where, np.moveaxis(grouped(value**2, group), 1, 0))
    start = np.arange(n_windows) * window * interval
    return xr.Dataset(
        made | {"current_count": (dims[:2], np.tile(counts(len(power), group), (n_windows, 1)))},
        coords={"currents_start": ("currents_window", start), "currents_stop": ("currents_window", start + window)},
    )


def test_currents():
    rng = np.random.default_rng(0)
    power, work = rng.normal(1.0, 1.0, (11, 6, 2)), rng.normal(2.0, 1.0, (11, 6, 2, 2))
    data = currents_dataset(power, work, 2, 8, 0.5)
    found = online.current(data, "heat", start=8.0)
    np.testing.assert_allclose(found["value"], power[:, 2:].mean(axis=(0, 1)), rtol=1e-12)
    single = online.current(currents_dataset(power, work, 1, 8, 0.5), "heat", start=8.0)
    np.testing.assert_allclose(single["stderr"], power[:, 2:].mean(axis=1).std(axis=0, ddof=1) / np.sqrt(11))
    assert online.current(data, "work")["value"].dims == ("particle", "source")
    np.testing.assert_allclose(online.current(data, "work_square")["value"], (work**2).mean(axis=(0, 1)))
    data["current_heat"][:, 3] = np.nan  # a group that diverged from the start
    data["current_count"][:, 3] = 0.0
    rest = online.current(data, "heat")
    np.testing.assert_allclose(rest["value"], np.delete(power, [6, 7], axis=0).mean(axis=(0, 1)), rtol=1e-12)
    assert rest.attrs["n_eff"] == 5
    with pytest.raises(PlanError, match="drive_work, drive_work_square, heat"):
        online.current(data, "energy")
    with pytest.raises(TooFewSamplesError, match="begins at 99"):
        online.current(data, "heat", start=99.0)


# ------------------------------------------------------------------------------------------------- validation


def test_a_run_without_trajectories_is_validated(pair):
    found = validate(pair)
    assert found.agrees, found.worst
    assert found.n_trajectories == 250
    settled = 6 / -systems.pair_scenario(0.5, 0.2).langevin().stability.growth_rate
    assert settled <= found.window[0] <= settled + 32 * INTERVAL
    assert found.window[1] == pytest.approx(1210 * INTERVAL)
    quantities = {row.quantity for row in found.rows}
    assert quantities >= {
        "kinetic temperature", "position temperature", "heat current", "power", "non-reciprocal power", "first law",
        "energy ratio", "energy asymmetry", "response ratio", "response asymmetry", "correlation after 0.6",
        "spectrum, band 1", "cross-spectrum, band 2, imaginary", "position within 1 sigma", "velocity above zero",
    }  # fmt: skip
    assert len(found.rows) < 80
    z = np.array([row.z for row in found.rows])
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.6
    for row in found.rows:
        if row.quantity.endswith("temperature"):
            assert 0 < row.stderr < 0.01 * row.exact


@pytest.mark.parametrize(
    ("wrong", "caught_by"),
    [
        (
            systems.pair_scenario(0.5, 0.2, temperature=(1.1, 0.8)),
            ("kinetic temperature", "spectrum, band 1", "position within 1 sigma", "correlation after 0.6"),
        ),
        (systems.pair_scenario(0.2, 0.5), ("heat current", "correlation after 1.8", "spectrum, band 2")),
        (systems.pair_scenario(0.5, 0.2, damping=0.4), ("heat current", "spectrum, band 1", "correlation after 1.8")),
        (systems.pair_scenario(-0.5, -0.2), ("correlation after 4.8", "cross-spectrum, band 2, real")),
    ],
    ids=["hot bath", "transposed coupling", "damping", "sign of the coupling"],
)
def test_wrong_theory_is_caught(pair, wrong, caught_by):
    found = validate(pair, wrong)
    assert not found.agrees
    for name in caught_by:
        assert max(abs(row.z) for row in found.rows if row.quantity == name) > 5, name


def steady_distances(data):
    """Largest distance of each quantity of the steady state."""
    array = systems.pair_scenario(0.5, 0.2).oscillators()
    found = comparisons.steady_comparisons(
        data, array, array.langevin(), initial="thermal", interval=INTERVAL, notes=[]
    )
    return {one.quantity: np.abs(one.estimate.z(one.truth, scale=one.scale)).max() for one in found}


@pytest.mark.parametrize(
    ("name", "change", "caught_by"),
    [
        ("correlation", lambda value: np.swapaxes(value, -1, -2), "correlation after 1.8"),
        ("cross_spectrum", np.conj, "cross-spectrum, band 3, imaginary"),
        ("cross_spectrum", lambda value: np.swapaxes(value, -1, -2), "cross-spectrum, band 2, imaginary"),
        ("cross_spectrum", lambda value: value / 2, "spectrum, band 1"),
        ("cross_spectrum", lambda value: value * 0.375 / 0.25, "spectrum, band 3"),
        ("histogram_position", lambda value: np.roll(value, 1, axis=-1), "position above zero"),
    ],
    ids=["lag", "conjugate", "transposed", "one side", "taper", "bins"],
)
def test_a_wrong_statistic_is_caught(pair, name, change, caught_by):
    right = steady_distances(pair)
    assert max(right.values()) < 4
    wrong = steady_distances(pair.assign({name: pair[name].copy(data=change(pair[name].to_numpy()))}))
    assert wrong[caught_by] > 10
    kind = name.removeprefix("histogram_").replace("cross_", "")
    assert all(wrong[other] == right[other] for other in right if kind not in other)


def test_a_transposed_lag_of_the_moments_is_caught(pair):
    name = "moments_lagged"
    found = validate(pair.assign({name: pair[name].copy(data=np.swapaxes(pair[name].to_numpy(), -1, -2))}))
    assert not found.agrees
    assert found.worst.quantity.startswith("response")


@pytest.mark.parametrize("initial", ["rest", "thermal", "stationary"])
def test_fair_before_the_steady_state(initial):
    scenario = systems.pair_scenario(0.5, 0.2, damping=0.05)
    array, equations = scenario.oscillators(), scenario.langevin()
    states = paths(equations, array.initial_moments(initial), 22, 3000)
    data = moments_dataset(states, 100, 4).assign_coords(coordinate=labels(equations))
    data.attrs = {"scenario": scenario.to_toml(), "initial": initial}
    found = validate(data)
    assert found.agrees, found.worst
    assert found.window == pytest.approx((13 * INTERVAL, 22 * INTERVAL))
    temperature = found.value("kinetic temperature", "0")
    if initial == "stationary":
        assert temperature.exact == pytest.approx(temperature.steady, rel=1e-9, abs=0)
    else:
        assert abs(temperature.exact - temperature.steady) > 5 * temperature.stderr  # the twin: not steady yet


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [({"start": INTERVAL}, "they begin before the steady state"), ({}, "it is not told when they begin")],
)
def test_what_begins_too_early_is_left_out(pair, attrs, reason):
    array, notes = systems.pair_scenario(0.5, 0.2).oscillators(), []
    early = pair.copy()
    early["correlation"] = early["correlation"].copy()
    early["correlation"].attrs = attrs
    found = comparisons.steady_comparisons(
        early, array, array.langevin(), initial="thermal", interval=INTERVAL, notes=notes
    )
    assert not any(one.quantity.startswith("correlation") for one in found)
    assert f"Left out, as {reason}: correlation." in notes
    assert "correlation after 0.6" in steady_distances(pair)


@pytest.mark.parametrize("group", [64, 125])
def test_few_groups(pair, group):
    """Two and four groups: error bars are uncertain, and no quantity is a false alarm."""
    scenario = systems.pair_scenario(0.5, 0.2)
    for seed in range(3):
        found = validate(full_dataset(scenario, 300, 250, group=group, window=16, seed=seed))
        assert found.agrees, found.worst
        assert any("at least 8" in note for note in found.notes)


def test_overdamped_pair_and_windows_of_one_state():
    scenario = systems_overdamped()
    data = full_dataset(scenario, 300, 200, window=16)
    found = validate(data)
    assert found.agrees, found.worst
    assert any(row.quantity.startswith("cross-spectrum") for row in found.rows)
    equations = scenario.langevin()
    states = paths(equations, scenario.oscillators().initial_moments("thermal"), 100, 64)
    single = moments_dataset(states, 4, 1).assign_coords(coordinate=labels(equations))
    single.attrs = data.attrs
    found = validate(single)
    assert found.agrees, found.worst
    assert any("hold no pairs" in note for note in found.notes)


def systems_overdamped():
    return sb.OscillatorScenario(
        name="overdamped",
        units="reduced",
        dynamics="overdamped",
        coupling=[[0.0, 0.5], [0.2, 0.0]],
        particle=[
            {"stiffness": 1.3, "friction": 0.7, "bath_temperature": 1.0},
            {"stiffness": 0.8, "friction": 1.9, "bath_temperature": 0.8},
        ],
    )


def test_work_and_heat_of_windows(pair):
    """Powers with their exact steady means; the twin: means that are 5 per cent off."""
    scenario = systems.pair_scenario(0.5, 0.2)
    array, equations = scenario.oscillators(), scenario.langevin()
    steady = equations.stationary.covariance
    heat, work = thermodynamics.heat_current(array, steady), thermodynamics.power(array, steady)
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 0.05, (250, 37, 2, 3))
    data = currents_dataset(heat + noise[..., 0], work + noise[..., 1:] * (work != 0), 8, 32, INTERVAL)
    joined = xr.merge([pair, data]).assign_attrs(pair.attrs)
    found = validate(joined)
    assert found.agrees, found.worst
    assert found.value("heat along the path", "0").exact == pytest.approx(heat[0])
    assert found.value("work along the path", "0 <- 1").exact == pytest.approx(work[0, 1])
    joined["current_heat"] = joined["current_heat"] * 1.05
    assert not validate(joined).agrees


@pytest.mark.parametrize(
    ("n_saves", "first", "judged"),
    [(64, 0, 64), (65, 0, 65), (66, 0, 66), (80, 0, 80), (95, 64, 31), (130, 64, 66), (170, 64, 106), (250, 128, 122)],
)
def test_a_run_that_ends_just_beyond_a_window_is_judged_by_the_windows_before(n_saves, first, judged):
    """The exact means of the wider part hold for transients, too. The steady state comes after 67 states."""
    array = systems.pair_scenario(0.5, 0.2).oscillators()
    equations = array.langevin()
    states = paths(equations, array.initial_moments("rest"), n_saves, 2000, seed=n_saves)
    data = moments_dataset(states, 50, 64).assign_coords(coordinate=labels(equations))
    data = data.assign_attrs(units_done=1, units_total=1)
    settled = windows.settled(equations.stability.growth_rate, INTERVAL, n_saves)
    found = windows.accumulated(data, systems.pair_scenario(0.5, 0.2), "rest")
    assert found.first_time == pytest.approx((first + 1) * INTERVAL)
    assert found.found.n_states == found.exact.n_states == judged
    assert judged >= 0.5 * (n_saves - settled)
    estimate = found.found.estimate(lambda second: thermodynamics.kinetic_temperature(array, second))
    assert np.abs(estimate.z(thermodynamics.kinetic_temperature(array, found.exact.second[0]))).max() < 4
    if first == 0:
        steady = thermodynamics.kinetic_temperature(array, equations.steady.covariance)
        assert np.abs(estimate.z(steady)).max() > 5  # the twin: the part holds a transient


def test_what_to_ask_for(pair):
    nothing = pair[["correlation", "correlation_count"]].assign_attrs(pair.attrs)
    with pytest.raises(PlanError, match=r'record = true.*"moments" among the `statistics`'):
        validate(nothing)
    with pytest.raises(IncompleteError, match="finish the run"):
        validate(pair.assign_attrs(units_done=3, units_total=4))
    assert validate(pair.assign_attrs(diverged=[3, 7])).notes[0].startswith("2 trajectories diverged")
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        validate(pair.isel(group=[0]))


def test_what_a_run_accumulates(tmp_path):
    """The statistics of a real run against plain sums over its own record, and its validation without the record."""
    scenario = systems.pair_scenario(0.5, 0.2)
    window, group, step = 16, 1, 0.5
    statistics_of_run = [
        {"kind": "moments", "window": window},
        {"kind": "correlations", "window": window, "lags": LAGS},
        {"kind": "spectra", "window": window},
        {"kind": "histograms", "of": "position", "n_bins": 40},
        {"kind": "currents", "window": window},
    ]
    plan = sb.Plan(
        scenario=scenario, step=step, n_steps=203, n_trajectories=48, ledger=True, statistics=statistics_of_run, seed=5
    )
    sb.run(plan, tmp_path / "run.zarr")
    data = sb.open(tmp_path / "run.zarr").load()
    equations = scenario.langevin()
    states = np.concatenate([data[name].to_numpy()[..., 0] for name in ("position", "velocity")], axis=-1)
    start = -(-int(np.ceil(6 / -equations.stability.growth_rate / step)) // window) * window
    plain = [
        moments_dataset(states, group, window, step),
        correlation_dataset(states, group, window, start, step),
        spectrum_dataset(states, group, window, start, step),
    ]
    expected = xr.merge(plain).assign_coords(coordinate=labels(equations))
    for name in ("second", "before", "lagged", "first_state", "last_state"):
        found, sums = (
            getattr(online.record_of_moments(one, equations, start=start * step), name) for one in (data, expected)
        )
        np.testing.assert_allclose(found, sums, rtol=1e-11, atol=1e-13)
    for function in (online.correlation, online.spectrum):
        found, sums = function(data), function(expected)
        np.testing.assert_allclose(found["value"], sums["value"], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found["stderr"], sums["stderr"], rtol=1e-8, atol=1e-12)
    late = data["work"][:, [start - 1, 191]].to_numpy()
    power = (late[:, 1] - late[:, 0]) / ((192 - start) * step)
    np.testing.assert_allclose(
        online.current(data, "work", start=start * step)["value"], power.mean(axis=0), rtol=1e-9, atol=1e-12
    )
    unrecorded = data.drop_vars(["position", "velocity", "work", "heat", "drive_work"])
    found = validate(unrecorded)
    assert found.agrees, found.worst
    assert {"kinetic temperature", "work along the path", "first law"} <= {row.quantity for row in found.rows}
    assert not validate(unrecorded, systems.pair_scenario(0.2, 0.5)).agrees
