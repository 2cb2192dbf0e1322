"""Reducers: what is added up online beside brute force, the same bits however the work is cut, and messages."""

import itertools
import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stochbind as sb
import systems
from stochbind.engine.accounts import Ledger
from stochbind.engine.reducers.accumulation import Accumulator
from stochbind.engine.reducers.kinds import Context, reducers_of
from stochbind.engine.reducers.trees import canonical, merge_groups, merge_rows, split
from stochbind.errors import PlanError, ScenarioError
from stochbind.oscillators import Oscillators
from stochbind.scenario.statistics import (
    CorrelationStatistic,
    CurrentStatistic,
    HistogramStatistic,
    MomentStatistic,
    SpectrumStatistic,
    statistics_of,
)

PAIR = systems.underdamped_pair()
RNG = np.random.default_rng(20)


def si_pair():
    """Two particles in SI, of unlike mass and bath, so that each coordinate has a unit of its own."""
    return Oscillators(
        mass=np.array([1e-17, 3e-17]), stiffness=np.array([1e-6, 2e-6]), friction=np.array([1e-13, 2e-13]),
        bath_temperature=np.array([300.0, 150.0]), coupling=np.array([[0.0, 1e-7], [3e-7, 0.0]]),
    )  # fmt: skip


def overdamped(n):
    return Oscillators(
        stiffness=1.0 + np.arange(n), friction=np.ones(n), bath_temperature=np.ones(n), coupling=np.zeros((n, n)),
        reduced=True,
    )  # fmt: skip


def context(n_saves, array=PAIR, *, interval=0.1, ledger=True):
    return Context.of(array, array.langevin(), interval=interval, n_saves=n_saves, ledger=ledger)


def noise(n_saves, n_trajectories, d=4, seed=1):
    """States with a mean, correlated in time and between coordinates."""
    x = np.random.default_rng(seed).standard_normal((n_saves + 3, d, n_trajectories))
    x = x[3:] + 0.5 * x[2:-1] + 0.2 * np.roll(x[:-3], 1, axis=1)
    return np.ascontiguousarray(x + 0.3 * np.arange(d)[None, :, None])


def walk(n_saves, n_trajectories, n=2, seed=2):
    """A ledger since time zero, in units of order one."""
    rng = np.random.default_rng(seed)
    shapes = ((n_saves, n, n, n_trajectories), (n_saves, n, n_trajectories), (n_saves, n, n_trajectories))
    return Ledger(*(np.cumsum(rng.standard_normal(shape), axis=0) for shape in shapes))


def accumulate(reducers, states, ledger=None, *, block=None, batch=None, segment=None, piece=None, group=1):
    """All units of a run, cut as given; (n_rows, n_groups, n_entries) by name."""
    n_saves, _, n = states.shape
    block, segment = block or n, segment or n_saves
    within = min(group, batch or group)
    batch, piece = batch or block, piece or segment
    rows = []
    for first in range(0, n_saves, segment):
        last = min(first + segment, n_saves)
        columns = []
        for b in range(0, n, block):
            for c in range(b, min(b + block, n), batch):
                here = slice(c, min(c + batch, b + block, n))
                size = here.stop - here.start
                accumulator = Accumulator(reducers, first=first, n_trajectories=size, group=within)
                for t in range(first, last, piece):
                    now = slice(t, min(t + piece, last))
                    part = before = None
                    if ledger is not None:
                        part = Ledger(*(x[now, ..., here] for x in ledger))
                        zero = [x[:1, ..., here] * 0.0 for x in ledger]
                        before = Ledger(*(x[t - 1 : t, ..., here] for x in ledger)) if t else Ledger(*zero)
                    accumulator.add(np.ascontiguousarray(states[now, :, here]), part, before)
                columns.append(accumulator.result())
        rows.append({name: np.concatenate([c[name] for c in columns], axis=1) for name in columns[0]})
    found = {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}
    return {name: merge_groups(value, group // within) for name, value in found.items()}


def finished(reducers, data):
    """As it is read: rows of totals are summed first, then described."""
    found = {}
    for reducer in reducers:
        part = data[reducer.name]
        found |= reducer.describe(part if reducer.per_window else merge_rows(part))
    return found


# ---------------------------------------------------------------------- beside brute force


@pytest.mark.parametrize("window", [1, 2, 8, 64])
@pytest.mark.parametrize("n_saves", [1, 7, 64, 75])
@pytest.mark.parametrize("array", [PAIR, si_pair(), systems.overdamped_pair()], ids=["reduced", "si", "overdamped"])
def test_moments_are_those_of_the_states(window, n_saves, array):
    d = array.langevin().dimension
    x, group = noise(n_saves, 11, d), 4
    reducers = reducers_of([MomentStatistic(window=window)], context(n_saves, array))
    found = finished(reducers, accumulate(reducers, x, group=group))
    y = x * array.langevin().unit[:, None]
    scale = np.abs(y).max(axis=(0, 2))
    for w, g in itertools.product(range(-(-n_saves // window)), range(3)):
        part = y[w * window : (w + 1) * window, :, g * group : (g + 1) * group]
        n, _, b = part.shape
        expected = {
            "moments_mean": part.mean(axis=(0, 2)) / scale,
            "moments_second": np.einsum("tib,tjb->ij", part, part) / (n * b) / np.outer(scale, scale),
            "moments_first": part[0] @ part[0].T / b / np.outer(scale, scale),
            "moments_last": part[-1] @ part[-1].T / b / np.outer(scale, scale),
        }
        if n > 1:
            expected["moments_before"] = (
                np.einsum("tib,tjb->ij", part[:-1], part[:-1]) / ((n - 1) * b) / np.outer(scale, scale)
            )
            expected["moments_lagged"] = (
                np.einsum("tib,tjb->ij", part[1:], part[:-1]) / ((n - 1) * b) / np.outer(scale, scale)
            )
        else:
            assert np.isnan(found["moments_lagged"][w, g]).all()
        assert found["moments_count"][w, g] == b
        assert found["moments_start"][w] == pytest.approx((w * window + 1) * 0.1, rel=1e-14, abs=0)
        assert found["moments_stop"][w] == pytest.approx((w * window + n) * 0.1, rel=1e-14, abs=0)
        for name, value in expected.items():
            square = scale if name == "moments_mean" else np.outer(scale, scale)
            np.testing.assert_allclose(found[name][w, g].to_numpy() / square, value, rtol=1e-12, atol=1e-13)
    if n_saves > 8 and window > 8:  # the twin
        lagged = found["moments_lagged"][0, 0].to_numpy()
        assert np.abs(lagged - lagged.T).max() > 1e-3 * np.abs(lagged).max()


def test_sums_of_moments_by_hand():
    """Two states of one trajectory in one coordinate: 2, then 3; thirteen is 4 + 9."""
    reducers = reducers_of([MomentStatistic(window=2)], context(2, overdamped(1), ledger=False))
    data = accumulate(reducers, np.array([[[2.0]], [[3.0]]]))["moments"]
    np.testing.assert_array_equal(data, [[[1.0, 5.0, 4.0, 6.0, 4.0, 9.0]]])
    assert finished(reducers, {"moments": data})["moments_second"][0, 0, 0, 0] == 6.5


@pytest.mark.parametrize(("window", "lags"), [(2, None), (16, None), (32, (0, 1, 5, 31)), (256, (7,))])
@pytest.mark.parametrize("start", [0, 1, 40])
def test_correlations_are_those_of_the_states(window, lags, start):
    n_saves, group = 600, 4
    x = noise(n_saves, 11)
    statistic = CorrelationStatistic(window=window, lags=lags, start=start)
    array = si_pair()
    reducers = reducers_of([statistic], context(n_saves, array))
    found = finished(reducers, accumulate(reducers, x, group=group))
    unit = array.langevin().unit
    windows = [w for w in range(n_saves // window) if w * window >= start]
    lags = statistic.all_lags
    np.testing.assert_allclose(found["lag"], np.array(lags) * 0.1, rtol=1e-14)
    for g in range(3):
        part = x[:, :, g * group : (g + 1) * group]
        assert found["correlation_count"][g] == len(windows) * part.shape[2]
        for index, lag in enumerate(lags):
            expected = np.mean(
                [
                    np.einsum("tib,tjb->ij", y[lag:], y[: window - lag]) / ((window - lag) * part.shape[2])
                    for y in (part[w * window : (w + 1) * window] for w in windows)
                ],
                axis=0,
            )
            result = found["correlation"][g, index].to_numpy() / np.outer(unit, unit)
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


def test_the_receiver_of_a_correlation_comes_first():
    """Coordinate 0 is coordinate 1, five states later: <x_0(t + 5) x_1(t)> is large, and not <x_1(t + 5) x_0(t)>."""
    n_saves, delay = 512, 5
    source = np.random.default_rng(3).standard_normal((n_saves + delay, 20))
    x = np.stack([source[:-delay], source[delay:], *np.zeros((2, n_saves, 20))], axis=1)
    reducers = reducers_of([CorrelationStatistic(window=64, lags=(0, delay), start=0)], context(n_saves))
    unit = PAIR.langevin().unit
    found = finished(reducers, accumulate(reducers, x, group=32))["correlation"][0].to_numpy() / np.outer(unit, unit)
    assert found[1, 0, 1] == pytest.approx(1.0, abs=0.1)
    assert abs(found[1, 1, 0]) < 0.1
    assert abs(found[0, 0, 1]) < 0.1


@pytest.mark.parametrize("window", [8, 64, 1024])
@pytest.mark.parametrize("array", [si_pair(), overdamped(1), overdamped(3)], ids=["pair", "one", "three"])
def test_spectra_are_those_of_numpy(window, array):
    equations, n_saves, group, start = array.langevin(), 2200, 4, 70
    d = equations.dimension
    x = noise(n_saves, 6, d)
    reducers = reducers_of([SpectrumStatistic(window=window, start=start)], context(n_saves, array))
    found = finished(reducers, accumulate(reducers, x, group=group))
    taper = np.sin(np.pi * np.arange(window) / window) ** 2
    windows = [w for w in range(n_saves // window) if w * window >= start]
    sides = np.where(np.isin(np.arange(window // 2 + 1), [0, window // 2]), 1.0, 2.0)
    np.testing.assert_allclose(found["frequency"], np.fft.rfftfreq(window, 0.1), rtol=1e-14)
    for g in range(2):
        part = x[:, :, g * group : (g + 1) * group]
        total = np.zeros((window // 2 + 1, d, d), complex)
        for w in windows:
            z = np.fft.rfft(part[w * window : (w + 1) * window] * taper[:, None, None], axis=0)
            total += np.einsum("fib,fjb->fij", z, z.conj())
        count = len(windows) * part.shape[2]
        assert found["spectrum_count"][g] == count
        expected = total * (sides * 0.1 / np.sum(taper**2) / count)[:, None, None]
        result = found["cross_spectrum"][g].to_numpy() / np.outer(equations.unit, equations.unit)
        size = np.abs(expected).max()
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-13 * size)
        if d > 1:  # the twin
            assert np.abs(np.conj(result) - expected).max() > 1e-3 * size


def test_the_spectrum_of_a_sinusoid_and_parseval():
    """Integrated over frequency it is the mean square, 0.5 of a cosine; and it stands at its frequency."""
    window, interval, cycles = 256, 0.1, 20
    t = np.arange(4 * window)
    phase = np.random.default_rng(4).uniform(0, 2 * np.pi, 3)
    x = np.cos(2 * np.pi * cycles * t[:, None, None] / window + phase[None, None, :]) * np.ones((1, 4, 1))
    reducers = reducers_of([SpectrumStatistic(window=window, start=0)], context(len(t)))
    found = finished(reducers, accumulate(reducers, x, group=4))
    spectrum, frequency = found["cross_spectrum"][0].to_numpy(), found["frequency"].to_numpy()
    unit = PAIR.langevin().unit
    assert np.argmax(spectrum[:, 0, 0].real) == cycles
    assert frequency[cycles] == pytest.approx(cycles / (window * interval), rel=1e-14, abs=0)
    integral = spectrum.sum(axis=0) * (frequency[1] - frequency[0])
    np.testing.assert_allclose(integral, 0.5 * np.outer(unit, unit), rtol=1e-12)
    # Of any states, the integral is the mean square under the taper.
    y = noise(4 * window, 5)
    found = finished(reducers, accumulate(reducers, y, group=8))
    taper = np.sin(np.pi * np.arange(window) / window) ** 2
    parts = y.reshape(4, window, 4, 5)
    mean = np.einsum("t,wtib,wtjb->ij", taper**2, parts, parts) / (20 * np.sum(taper**2)) * np.outer(unit, unit)
    integral = found["cross_spectrum"][0].to_numpy().sum(axis=0) * (frequency[1] - frequency[0])
    np.testing.assert_allclose(integral.real, mean, rtol=1e-11)


def test_the_phase_of_a_cross_spectrum():
    """Coordinate 0 is coordinate 1 later by a delay: S_01 has the phase minus 2 pi f delay."""
    window, delay, n = 512, 3, 64
    source = np.random.default_rng(5).standard_normal((4 * window + delay, n))
    x = np.stack([source[:-delay], source[delay:], *np.zeros((2, 4 * window, n))], axis=1)
    reducers = reducers_of([SpectrumStatistic(window=window, start=0)], context(4 * window))
    found = finished(reducers, accumulate(reducers, x, group=n))
    cross, frequency = found["cross_spectrum"][0].to_numpy(), found["frequency"].to_numpy()
    k = slice(10, 100)
    expected = np.exp(-2j * np.pi * frequency[k] * delay * 0.1)
    np.testing.assert_allclose(cross[k, 0, 1] / np.abs(cross[k, 0, 1]), expected, atol=0.05)
    np.testing.assert_array_equal(cross[k, 1, 0], cross[k, 0, 1].conj())
    assert np.abs(cross[k, 1, 0] / np.abs(cross[k, 1, 0]) - expected).max() > 1.0  # the twin


@pytest.mark.parametrize("of", ["position", "velocity"])
@pytest.mark.parametrize("start", [0, 16])
def test_histograms_of_states_are_those_of_numpy(of, start):
    array, n_saves, group = si_pair(), 75, 4
    x = noise(n_saves, 11)
    statistic = HistogramStatistic(of=of, window=16, n_bins=30, largest=2.0, start=start)
    reducers = reducers_of([statistic], context(n_saves, array))
    found = finished(reducers, accumulate(reducers, x, group=group))
    name = f"histogram_{of}"
    heavy = np.array([1e-6, 2e-6]) if of == "position" else np.array([1e-17, 3e-17])
    scale = np.sqrt(1.380649e-23 * np.array([300.0, 150.0]) / heavy)
    np.testing.assert_allclose(found[f"{name}_scale"], scale, rtol=1e-12)
    rows = slice(0, 2) if of == "position" else slice(2, 4)
    y = x[start:, rows] * array.langevin().unit[rows][:, None]
    edges = found[f"{name}_edge"].to_numpy()
    np.testing.assert_allclose(edges, scale[:, None] * np.linspace(-2, 2, 31), rtol=1e-12, atol=1e-12 * scale.max())
    for g, p in itertools.product(range(3), range(2)):
        part = y[:, p, g * group : (g + 1) * group].ravel()
        expected, _ = np.histogram(np.clip(part, edges[p, 0], edges[p, -1]), edges[p])
        np.testing.assert_array_equal(found[name][g, p], expected)
        assert found[name][g, p].sum() == part.size
        assert found[f"{name}_count"][g] == -(-(75 - start) // 16) * min(group, 11 - g * group)


@pytest.mark.parametrize("of", ["heat", "work", "drive_work"])
def test_histograms_of_the_ledger_telescope(of):
    """Counted is what is gained from window end to window end, the first from time zero."""
    n_saves, window = 75, 8
    x, ledger = noise(n_saves, 11), walk(n_saves, 11)
    statistic = HistogramStatistic(of=of, window=window, n_bins=40, largest=9.0, start=0)
    reducers = reducers_of([statistic], context(n_saves))
    data = accumulate(reducers, x, ledger, group=16, piece=16)
    found = finished(reducers, data)[f"histogram_{of}"][0].to_numpy()
    ends = getattr(ledger, of)[window - 1 :: window]
    gains = np.diff(ends, axis=0, prepend=0.0 * ends[:1])
    energy = np.array([1.0, 0.8])
    gains = gains / energy[(slice(None), *(None,) * (gains.ndim - 2))]
    for index in np.ndindex(found.shape[:-1]):
        values = np.clip(gains[(slice(None), *index)].ravel(), -9, 9)
        np.testing.assert_array_equal(found[index], np.histogram(values, np.linspace(-9, 9, 41))[0])
        assert found[index].sum() == 9 * 11


def test_currents_are_gains_per_time():
    n_saves, window, group = 75, 8, 4
    x, ledger = noise(n_saves, 11), walk(n_saves, 11)
    reducers = reducers_of([CurrentStatistic(window=window)], context(n_saves))
    found = finished(reducers, accumulate(reducers, x, ledger, group=group, piece=24))
    assert found["current_heat"].shape == (9, 3, 2)  # the incomplete window is left out
    np.testing.assert_allclose(found["currents_stop"], 0.1 * 8 * np.arange(1, 10), rtol=1e-14)
    np.testing.assert_allclose(found["currents_start"], 0.1 * 8 * np.arange(9), rtol=1e-14, atol=1e-14)
    for name in ("heat", "work", "drive_work"):
        ends = getattr(ledger, name)[window - 1 :: window]
        power = np.diff(ends, axis=0, prepend=0.0 * ends[:1]) / (window * 0.1)
        for g in range(3):
            part = power[..., g * group : (g + 1) * group]
            assert (found["current_count"][:, g] == part.shape[-1]).all()
            np.testing.assert_allclose(found[f"current_{name}"][:, g], part.mean(axis=-1), rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(found[f"current_{name}_square"][:, g], (part**2).mean(axis=-1), rtol=1e-12)
    # All windows together gain what the ledger holds at the end of the last.
    whole = np.einsum("wgp,wg->p", found["current_heat"], found["current_count"]) * window * 0.1
    np.testing.assert_allclose(whole, ledger.heat[71].sum(axis=-1), rtol=1e-11)


def test_a_ledger_of_a_real_run():
    """Mean heat of windows of a simulation beside the record that it gives."""
    array = PAIR
    record = sb.simulate(
        array, step=0.2, n_steps=64, n_trajectories=50, ledger=array, initial=array.langevin().stationary, seed=2
    )
    states = np.concatenate([record.position, record.velocity], axis=-1) / array.langevin().unit
    states = np.ascontiguousarray(states.transpose(1, 2, 0))
    ledger = Ledger(*(np.ascontiguousarray(np.moveaxis(record[name].to_numpy(), 0, -1)) for name in Ledger._fields))
    reducers = reducers_of(["currents", "moments"], context(64, interval=0.2))
    found = finished(reducers, accumulate(reducers, states, ledger, group=64))
    np.testing.assert_allclose(
        found["current_heat"][0, 0], record.heat[:, -1].mean("trajectory") / (64 * 0.2), rtol=1e-12
    )
    np.testing.assert_allclose(
        found["current_work"][0, 0], record.work[:, -1].mean("trajectory") / (64 * 0.2), rtol=1e-12
    )
    assert found["moments_second"].dims == ("moments_window", "group", "coordinate", "coordinate_from")
    assert context(64).labels == ["position 0", "position 1", "velocity 0", "velocity 1"]


# ---------------------------------------------------------------------- the same bits, however the work is cut


ALL = (
    MomentStatistic(window=8),
    CorrelationStatistic(window=16, start=32),
    SpectrumStatistic(window=16, start=32),
    HistogramStatistic(of="position", window=4, start=7),
    HistogramStatistic(of="work", window=16, start=0),
    CurrentStatistic(window=4),
)
N_SAVES, N_TRAJECTORIES = 150, 137


@pytest.fixture(scope="module")
def run():
    states, ledger = noise(N_SAVES, N_TRAJECTORIES), walk(N_SAVES, N_TRAJECTORIES)
    states[40:, :, 5] = np.nan
    states[90:, 1, 77] = np.inf
    states[90:, 2, 78] = 1e160
    reducers = reducers_of(ALL, context(N_SAVES))
    return reducers, states, ledger


def merged(reducers, data, group, wanted):
    found = {}
    for reducer in reducers:
        part = data[reducer.name] if reducer.per_window else merge_rows(data[reducer.name])
        found[reducer.name] = merge_groups(part, wanted // group)
    return found


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_bits_do_not_depend_on_how_the_work_is_cut(run, data):
    reducers, states, ledger = run
    group = 2 ** data.draw(st.integers(0, 5))
    block = group * 2 ** data.draw(st.integers(0, 3))
    batch = 2 ** data.draw(st.integers(0, 7))
    batch = min(batch, block)
    segment = 16 * 2 ** data.draw(st.integers(0, 4))
    piece = 16 * data.draw(st.integers(1, 8))
    found = accumulate(reducers, states, ledger, block=block, batch=batch, segment=segment, piece=piece, group=group)
    same = accumulate(reducers, states, ledger, group=group)
    finest = accumulate(reducers, states, ledger, group=1)
    parts = (merged(reducers, found, group, 32), merged(reducers, same, group, 32), merged(reducers, finest, 1, 32))
    for reducer in reducers:
        first, second, third = (part[reducer.name] for part in parts)
        assert np.isfinite(first).all()
        assert first.tobytes() == second.tobytes() == third.tobytes()


@pytest.mark.parametrize("batch", [1, 3, 7, 100, 136])
def test_the_bits_do_not_depend_on_the_batch(run, batch):
    reducers, states, ledger = run
    found = accumulate(reducers, states, ledger, batch=batch, piece=48)
    whole = accumulate(reducers, states, ledger)
    for reducer in reducers:
        assert found[reducer.name].tobytes() == whole[reducer.name].tobytes()


def test_sums_in_another_order_have_other_bits(run):
    """The twin: plain sums, or trees that are cut at odd places, are told apart."""
    reducers, states, ledger = run
    data = accumulate(reducers, states, ledger, group=1)["moments"]
    tree = merge_groups(data, 256)[:, 0]
    assert tree.tobytes() != np.cumsum(data, axis=1)[:, -1].tobytes()
    assert tree.tobytes() != (merge_groups(data[:, :3], 4) + merge_groups(data[:, 3:], 256))[:, 0].tobytes()
    assert tree.tobytes() == (merge_groups(data[:, :128], 128) + merge_groups(data[:, 128:], 128))[:, 0].tobytes()


def test_the_tree_by_hand():
    one, tiny = 1.0, 2.0**-53  # one + tiny is one; tiny + tiny counts
    data = np.array([one, tiny, tiny, tiny, 3.0])[None, :, None]
    assert ((one + tiny) + tiny) + tiny == 1.0
    np.testing.assert_array_equal(merge_groups(data, 2)[0, :, 0], [1.0, 2.0**-52, 3.0])
    np.testing.assert_array_equal(merge_groups(data, 4)[0, :, 0], [1.0 + 2.0**-52, 3.0])


def test_sums_over_time_and_trajectories_are_exact():
    """Of numbers on two grids, in any order; as rational numbers, the grids differ from the numbers by 2^-51 each."""
    rng = np.random.default_rng(6)
    values = rng.standard_normal((3000, 1)) ** 3 * 100.0
    grids = np.zeros((2, 3000))
    row, rest = values[:, 0].copy(), np.empty(3000)
    numba.njit(lambda row, rest: split(row, rest, 0.25, 3000))(row, rest)
    grids[:] = row, rest
    exact = [sum(map(Fraction, grid)) for grid in grids]
    for grid, total in zip(grids, exact, strict=True):
        for order in (np.arange(3000), rng.permutation(3000)):
            assert Fraction(float(np.cumsum(grid[order])[-1])) == total
    error = sum(exact) - sum(map(Fraction, values[:, 0])) / 4
    assert 0 < abs(error) < 3000 * Fraction(1, 2**51)
    assert np.cumsum(values)[-1] != np.cumsum(values[::-1])[-1]  # the twin: plain sums depend on their order


@pytest.mark.parametrize("n", [1, 256, 257, 1000, 5000])
def test_canonical_groups(n):
    data = np.random.default_rng(n).standard_normal((2, n, 3))
    whole, size = canonical(data, n, 1)
    assert whole.shape[1] <= 256
    assert size == 2 ** max(0, math.ceil(math.log2(n / 256)))
    for group in (2, 4):
        if group <= size:
            again, other = canonical(merge_groups(data, group), n, group)
            assert (again.tobytes(), other) == (whole.tobytes(), size)


def test_a_diverged_trajectory_is_left_out_from_then_on():
    n_saves = 64
    states, ledger = noise(n_saves, 4), walk(n_saves, 4)
    lost = states.copy()
    lost[20, 3, 2] = np.nan  # and finite again afterwards
    statistics = (MomentStatistic(window=16), SpectrumStatistic(window=16, start=0), CurrentStatistic(window=16),
                  HistogramStatistic(window=16, start=0))  # fmt: skip
    reducers = reducers_of(statistics, context(n_saves))
    found = accumulate(reducers, lost, ledger, group=4, piece=16)
    fine = accumulate(reducers, states, ledger, group=4, piece=16)
    others = accumulate(reducers, np.ascontiguousarray(states[..., [0, 1, 3]]),
                        Ledger(*(x[..., [0, 1, 3]] for x in ledger)), group=4, piece=16)  # fmt: skip
    np.testing.assert_array_equal(found["moments"][:, 0, 0], [4, 3, 3, 3])
    np.testing.assert_array_equal(found["currents"][:, 0, 0], [4, 3, 3, 3])
    assert found["spectra"][0, 0, 0] == 4 + 3 * 3
    assert found["histogram_position"][0, 0, 1:].sum() == 2 * 16 * (4 + 3 * 3)
    assert found["moments"][0].tobytes() == fine["moments"][0].tobytes()
    np.testing.assert_allclose(found["moments"][1:], others["moments"][1:], rtol=1e-12, atol=1e-12)
    assert all(np.isfinite(value).all() for value in found.values())
    # A ledger that diverges while states do not.
    ledger.heat[30:, 1, 1] = np.inf
    found = accumulate(reducers, states, ledger, group=4, piece=32)
    np.testing.assert_array_equal(found["currents"][:, 0, 0], [4, 3, 3, 3])
    np.testing.assert_array_equal(found["moments"][:, 0, 0], [4, 4, 4, 4])


# ---------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MomentStatistic(window=48), "`?window`?: must be a power of two, such as 32 or 64, but is 48"),
        (lambda: MomentStatistic(window=0), "must be at least 1"),
        (lambda: SpectrumStatistic(window=4), "must be at least 8"),
        (lambda: MomentStatistic(length=3), "is not a known field"),
        (lambda: CorrelationStatistic(lags=(2, 1)), "must be whole numbers from 0 on that increase"),
        (lambda: CorrelationStatistic(lags=(0, True)), "must be a whole number"),
        (lambda: CorrelationStatistic(lags=(-1, 2)), "must be whole numbers from 0 on that increase"),
        (lambda: CorrelationStatistic(window=8, lags=(8,)), "must be below `window` = 8, but the largest is 8"),
        (lambda: HistogramStatistic(of="momentum"), "momentum"),
        (lambda: HistogramStatistic(n_bins=1), "must be at least 2"),
    ],
)
def test_a_wrong_statistic_is_refused(make, words):
    with pytest.raises(ScenarioError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("statistics", "options", "words"),
    [
        (["currents"], {"ledger": False}, "'currents' is of heat and work, but the run keeps no ledger"),
        (["histogram_work"], {"ledger": False}, "'histogram_work' is of heat and work"),
        (["spectra"], {"n_saves": 1000}, "finds no window of 1024 kept states between its start 0 and the end"),
        ([SpectrumStatistic(window=8, start=90)], {}, "finds no window of 8 kept states between its start 90"),
        (["moments", MomentStatistic(window=8)], {}, "'moments' is there 2 times"),
        (["histogram_velocity"], {"array": systems.overdamped_pair()}, "needs velocities, but overdamped"),
        (["speeds"], {}, "names .*'moments'.* but holds 'speeds'"),
        ([["moments"]], {}, r"names .*'moments'.* but holds \['moments'\]"),
        ([{"kind": ["moments"]}], {}, r"names .*'moments'.* but holds \{'kind': "),
        ("moments", {}, r'must be a list, such as \["moments"\]'),
        ([{"kind": "moments", "window": 3}], {}, "must be a power of two"),
    ],
)
def test_a_statistic_that_cannot_be_is_refused(statistics, options, words):
    with pytest.raises(PlanError, match=words) as caught:
        reducers_of(statistics, context(options.pop("n_saves", 96), **options))
    assert "\n" not in str(caught.value)


def test_misuse_of_an_accumulator():
    reducers = reducers_of([MomentStatistic(window=8), CurrentStatistic(window=8)], context(64))
    with pytest.raises(ValueError, match="must be a power of two, but is 3"):
        Accumulator(reducers, first=0, n_trajectories=4, group=3)
    with pytest.raises(ValueError, match="must be a multiple of the window 8, but is 4"):
        Accumulator(reducers, first=4, n_trajectories=4, group=1)
    with pytest.raises(ValueError, match="needs the ledger"):
        Accumulator(reducers, first=0, n_trajectories=4, group=1).add(noise(8, 4))
    accumulator = Accumulator(reducers[:1], first=0, n_trajectories=4, group=1)
    accumulator.add(noise(12, 4))
    with pytest.raises(ValueError, match="follows one that ended within a window"):
        accumulator.add(noise(4, 4))
    with pytest.raises(ValueError, match="must be a power of two, but is 3"):
        merge_groups(np.zeros((1, 4, 1)), 3)


def test_statistics_as_a_user_writes_them():
    written = ["moments", "histogram_heat", {"kind": "correlations", "window": 16, "lags": [0, 4]}]
    made = statistics_of(written)
    assert made == (MomentStatistic(), HistogramStatistic(of="heat"), CorrelationStatistic(window=16, lags=(0, 4)))
    assert [item.name for item in made] == ["moments", "histogram_heat", "correlations"]
    assert statistics_of([item.model_dump(mode="json") for item in made]) == made
    assert CorrelationStatistic().all_lags == (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
