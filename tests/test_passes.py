"""One reading of a record for many sums: pieces, cells, and what goes from one piece to the next."""

from itertools import pairwise

import dask.array
import numpy as np
import pytest
import xarray as xr

import stochbind as sb
import systems
from stochbind.analysis import passes, statistics, thermodynamics, windows
from stochbind.analysis.passes import Cells, cut, independent_cells
from stochbind.errors import IncompleteError, TooFewSamplesError
from stochbind.oscillators import Oscillators

EQUATIONS = systems.underdamped_pair().langevin()


def record_of(n_trajectories, n_times, *, chunks=None, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, n_trajectories, n_times, 2, 1))
    arrays = [value if chunks is None else dask.array.from_array(value, chunks=(*chunks, 2, 1)) for value in values]
    dims = ("trajectory", "time", "particle", "axis")
    time = 0.5 * np.arange(1, n_times + 1)
    return xr.Dataset(
        {name: (dims, value) for name, value in zip(("position", "velocity"), arrays, strict=True)}, {"time": time}
    )


def states(data, start):
    """Scaled states, straight from their definition."""
    joined = [data[name].transpose("trajectory", "time", ...).values[..., 0] for name in ("position", "velocity")]
    return np.concatenate(joined, axis=-1)[:, start:] / EQUATIONS.unit


class Collector:
    """Keeps everything that it is handed."""

    def __init__(self):
        self.pieces = []

    def add(self, state, *, cells, first, last):
        self.pieces.append((state.copy(), cells.copy(), first, last))

    def joined(self):
        """States and cells, (n, t, d) and (n, t), put together by the order that is promised."""
        done, parts, found = 0, [], []
        for state, cells, first, last in self.pieces:
            assert first == done
            done = 0 if last else done + state.shape[1]
            parts.append((state, np.repeat(cells[:, None], state.shape[1], axis=1)))
            if last:
                found.append([np.concatenate(one, axis=1) for one in zip(*parts, strict=True)])
                parts = []
        assert not parts
        return [np.concatenate(one) for one in zip(*found, strict=True)]


@pytest.mark.parametrize("chunks", [None, (3, 5), (4, 64), ((1, 6), (7, 30, 3))])
@pytest.mark.parametrize("slab", [1, 700, 2**24])
@pytest.mark.parametrize(("start", "n_blocks"), [(0, 1), (3, 4)])
def test_every_state_comes_once_and_in_order(chunks, slab, start, n_blocks, monkeypatch):
    monkeypatch.setattr(passes, "_SLAB_BYTES", slab)
    data = record_of(7, 40, chunks=chunks)
    cells, one, other, calls = cut(data, start=start, n_blocks=n_blocks), Collector(), Collector(), []
    reading = passes.read(
        data, EQUATIONS, [one, other], start=start, cells=cells, progress=lambda *numbers: calls.append(numbers)
    )
    found, where = one.joined()
    np.testing.assert_array_equal(found, states(data, start))
    np.testing.assert_array_equal(other.joined()[0], found)
    block = np.searchsorted(cells.edge, np.arange(40 - start), side="right") - 1
    np.testing.assert_array_equal(where, cells.group[:, None] * n_blocks + block)
    np.testing.assert_allclose(np.bincount(where.ravel()) / where.size, reading.weight, rtol=1e-14)
    assert (reading.n_groups, reading.n_states, reading.n_trajectories) == (7 * n_blocks, 40 - start, 7)
    assert reading.interval == 0.5
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (found.shape[0] * found.shape[1],) * 2


def test_pieces_are_bounded_whatever_the_chunks(monkeypatch):
    monkeypatch.setattr(passes, "_SLAB_BYTES", 4096)
    for chunks in (None, (2, 10), (16, 400)):
        collector = Collector()
        passes.read(
            record_of(16, 400, chunks=chunks), EQUATIONS, [collector], cells=Cells(np.arange(16), np.array([0, 400]))
        )
        sizes = [state.nbytes for state, *_ in collector.pieces]
        assert max(sizes) <= 4096
        assert np.mean(sizes) > 2000  # small chunks are read together


def test_dimensions_in_another_order():
    data, collector = record_of(5, 12), Collector()
    passes.read(data.transpose("time", "axis", "particle", "trajectory"), EQUATIONS, [collector], cells=cut(data))
    np.testing.assert_array_equal(collector.joined()[0], states(data, 0))


def test_what_is_missing_is_refused():
    data = record_of(4, 6, chunks=(2, 3))
    data["velocity"][2, 3] = np.nan
    with pytest.raises(IncompleteError, match="never computed"):
        passes.read(data, EQUATIONS, [], cells=cut(data))
    with pytest.raises(TooFewSamplesError, match="at least 2 states, but the window holds 1"):
        passes.read(data, EQUATIONS, [], start=5)
    with pytest.raises(TooFewSamplesError, match="at least 7 states"):
        cut(data, n_blocks=7)


@pytest.mark.parametrize("chunks", [None, (2, 7)])
@pytest.mark.parametrize("n_blocks", [1, 4])
def test_record_of_blocks_is_that_of_the_window(chunks, n_blocks, monkeypatch):
    """Averages over all states and all pairs, those across the edges of blocks included, and cell by cell."""
    monkeypatch.setattr(passes, "_SLAB_BYTES", 600)
    data = record_of(5, 42, chunks=chunks)
    cells = cut(data, start=2, n_blocks=n_blocks)
    found, state = statistics.record(data, EQUATIONS, start=2, cells=cells), states(data, 2)

    def average(left, right):
        return np.einsum("nti,ntj->ij", left, right) / (left.shape[0] * left.shape[1])

    truth = {
        "second": average(state, state),
        "before": average(state[:, :-1], state[:, :-1]),
        "lagged": average(state[:, 1:], state[:, :-1]),
        "first_state": average(state[:, :1], state[:, :1]),
        "last_state": average(state[:, -1:], state[:, -1:]),
    }
    for name, expected in truth.items():
        np.testing.assert_allclose(np.tensordot(found.weight, getattr(found, name), 1), expected, rtol=1e-11)
    inner = np.concatenate([state[:, a:b][:, 1:] for a, b in pairwise(cells.edge)], axis=1)
    before = np.concatenate([state[:, a:b][:, :-1] for a, b in pairwise(cells.edge)], axis=1)
    without_edges = average(inner, before)
    assert np.allclose(without_edges, truth["lagged"]) == (n_blocks == 1)
    last, edge = n_blocks * 3 + n_blocks - 1, cells.edge[-2]
    np.testing.assert_allclose(found.second[last], average(state[3:4, edge:], state[3:4, edge:]), rtol=1e-12)
    begin = max(edge, 1)
    pairs = average(state[3:4, begin:], state[3:4, begin - 1 : -1])
    np.testing.assert_allclose(found.lagged[last], pairs * (1.0 if n_blocks == 1 else 40 / 39), rtol=1e-12)


def test_first_law_of_blocks():
    """The gains of energy in blocks add up to that of the window, and each is that of its block."""
    array = systems.underdamped_pair()
    data = sb.simulate(array, step=0.1, n_steps=4000, n_trajectories=2, seed=3, initial=EQUATIONS.stationary)

    def residual(record):
        return thermodynamics.first_law(array, record.second, record.first_state, record.last_state, record.duration)

    whole = statistics.record(data, EQUATIONS, cells=cut(data))
    blocks = statistics.record(data, EQUATIONS, cells=cut(data, n_blocks=8))
    np.testing.assert_allclose(blocks.weight @ residual(blocks), whole.weight @ residual(whole), rtol=1e-9)
    second_half = statistics.record(data, EQUATIONS, start=1999, cells=cut(data, start=1999))
    halves = statistics.record(data, EQUATIONS, cells=Cells(np.arange(2), np.array([0, 2000, 4000])))
    np.testing.assert_allclose(residual(halves)[1::2], residual(second_half), atol=2e-3)
    assert not np.allclose(residual(halves)[::2], residual(second_half), atol=0.02)


def energy_time(data, equations):
    """Integrated autocorrelation time that the cut in time goes by [s]."""
    squares = passes._Squares(equations, data.sizes["trajectory"], data.sizes["time"])
    passes.read(data, equations, [squares], cells=cut(data))
    return squares.correlation_time * float(data["time"][1] - data["time"][0])


@pytest.mark.parametrize("series_bytes", [2**25, 8 * 3 * 4 * 4000])
def test_blocks_are_as_long_as_energy_lasts(series_bytes, monkeypatch):
    """The energy of a weakly damped oscillator lasts for 1/gamma, while its position forgets itself at once."""
    monkeypatch.setattr(passes, "_SERIES_BYTES", series_bytes)
    monkeypatch.setattr(passes, "_FEWEST_BINS", 600)
    damping = 0.04
    array = Oscillators(
        mass=[1.0], stiffness=[1.0], friction=[damping], bath_temperature=[1.0], coupling=[[0.0]], reduced=True
    )
    equations = array.langevin()
    data = sb.simulate(array, step=0.5, n_steps=40000, n_trajectories=4, seed=1, initial=equations.stationary)
    assert energy_time(data, equations) == pytest.approx(1 / damping, rel=0.2, abs=0)
    series = data["position"].values[..., 0]
    assert passes.autocorrelation_time(series) * 0.5 < 0.2 / damping
    cells = independent_cells(data, equations)
    length = np.diff(cells.edge).min() * 0.5
    assert cells.n_groups == 24
    assert length > 10 / damping


def test_many_trajectories_are_not_cut_in_time_nor_short_records():
    many = record_of(24, 2000)
    assert independent_cells(many, EQUATIONS).n_blocks == 1
    assert independent_cells(record_of(1, 30), EQUATIONS).n_groups == 1
    assert independent_cells(record_of(1, 2000), EQUATIONS).n_groups == 24
    assert independent_cells(record_of(300, 10), EQUATIONS).n_groups == passes.N_GROUPS
    trend = record_of(1, 2000)
    trend["position"] = trend["position"] * np.exp(0.01 * trend["time"])
    assert independent_cells(trend, EQUATIONS).n_blocks == 1


def test_one_long_trajectory_is_judged_in_its_steady_state_only():
    scenario = systems.pair_scenario(0.5, 0.2)
    array = scenario.oscillators()
    data = sb.simulate(
        array, step=0.5, n_steps=20000, n_trajectories=2, seed=5, initial=array.initial_moments("thermal")
    )
    window = windows.recorded(data.isel(trajectory=[0]), scenario, "thermal")
    assert window.found.n_groups >= 8
    z = window.found.estimate(lambda second: second).z(window.exact.second[0])
    assert np.abs(z).max() < 4.5
    short = data.isel(time=slice(0, 30))
    assert windows.recorded(short, scenario, "rest").found.n_groups == 2
    with pytest.raises(TooFewSamplesError, match="in its steady state"):
        windows.recorded(short.isel(trajectory=[0]), scenario, "rest").found.estimate(lambda second: second)
