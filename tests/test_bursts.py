"""Bursts of energy: found and paired as by plain loops; no direction in equilibrium, and that of the coupling."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

import stochbind as sb
import systems
from stochbind.analysis.burst_detection import Detector
from stochbind.analysis.bursts import BurstCounts, burst_counts, bursts_of, found_bursts
from stochbind.errors import PlanError, TooFewSamplesError, UnstableError
from stochbind.oscillators import Oscillators


def unit_array(n):
    """Energies are squares of positions."""
    ones = np.ones(n)
    return Oscillators(
        stiffness=2 * ones, friction=ones, bath_temperature=ones, coupling=np.zeros((n, n)), reduced=True
    )


def plain_bursts(high, value, dead_time):
    """(peak, start, end) of the bursts of one series, and the state after those that the start cuts."""
    above = np.flatnonzero(high)
    parts = np.split(above, np.flatnonzero(np.diff(above) > dead_time) + 1) if len(above) else []
    whole, after = [], 0
    for part in parts:
        if part[0] < dead_time:
            after = part[-1] + 1
        elif part[-1] + dead_time < len(high):
            whole.append(part[0] + int(np.argmax(value[part[0] : part[-1] + 1])))
    return whole, after


@pytest.mark.parametrize("dead_time", [1, 3])
@pytest.mark.parametrize("cuts", [(), (1, 2, 9, 50, 51, 180)])
def test_bursts_are_those_of_plain_loops(dead_time, cuts):
    rng = np.random.default_rng(dead_time)
    state = rng.normal(size=(6, 200, 4))
    weight = np.array([0.5, 0.2, 0.3, 0.4])
    detector = Detector(weight, 2, 1, dead_time)
    found = []
    for begin, end in pairwise([0, *cuts, 200]):
        found += detector.add(state[:, begin:end], first=begin).tolist()
    value = (weight * state**2).reshape(6, 200, 2, 2).sum(axis=2)
    expected, after = [], 0
    for a in range(6):
        for i in range(2):
            whole, cut = plain_bursts(value[a, :, i] >= 1, value[a, :, i], dead_time)
            expected += [[a, peak, i] for peak in whole]
            after = max(after, cut)
    assert sorted(found) == sorted(expected)
    assert len(found) > 50
    assert detector.known_from == after
    single = Detector(weight, 2, 1, dead_time + 3)
    assert len(single.add(state, first=0)) < len(found)  # the twin: another dead time joins more of them


@pytest.mark.parametrize("cuts", [(), (7, 8, 60, 150, 290)])
def test_pairs_and_passages_are_those_of_plain_loops(cuts):
    rng = np.random.default_rng(8)
    array, window, length = unit_array(3), 6, 300
    high = rng.random((5, length, 3)) < 0.06
    state = np.where(high, 1.0 + rng.random(high.shape), 0.1) / array.langevin().unit
    counts = BurstCounts(array, 5, threshold=np.ones(3), window=window, dead_time=1, chain=[0, 1, 2])
    for begin, end in pairwise([0, *cuts, length]):
        counts.add(state[:, begin:end], cells=np.arange(5), first=begin, last=end == length)

    value = (state * array.langevin().unit) ** 2
    plain = [[plain_bursts(high[a, :, i], value[a, :, i], 1) for i in range(3)] for a in range(5)]
    begin = max(after for one in plain for _, after in one)
    end = int(begin + counts.states[0, 0])
    assert length - 20 - 2 * window < end <= length - 2 * window
    for a in range(5):
        peaks = [plain[a][i][0] for i in range(3)]
        other = [plain[(a + 1) % 5][i][0] for i in range(3)]
        for k in range(3):
            lead = [s for s in peaks[k] if begin <= s < end]
            assert counts.bursts[a, k] == len(lead)
            for j in range(3):
                later = [[u - s for u in peaks[j] if 0 < u - s <= window] for s in lead]
                chance = [any(0 < u - s <= window for u in other[j]) for s in lead]
                expected = [sum(map(bool, later)), sum(min(x) for x in later if x), sum(map(len, later))]
                assert counts.pairs[a, :, j, k].tolist() == [*expected, len(lead), sum(chance)]
        for way, (first, middle, last) in enumerate(((0, 1, 2), (2, 1, 0))):
            took = []
            for s in (s for s in peaks[first] if begin <= s < end):
                via = min((u for u in peaks[middle] if 0 < u - s <= window), default=None)
                if via is not None:
                    took += [min((u - s for u in peaks[last] if 0 < u - via <= window), default=0)]
            took = [time for time in took if time]
            assert counts.passages[a, 1:, way].tolist() == [len(took), sum(took)]
    assert counts.passages[:, 1].sum() > 10


def run(array, seed, n_steps=2500, step=0.2):
    start = array.langevin().stationary
    return sb.simulate(array, step=step, n_steps=n_steps, n_trajectories=128, initial=start, seed=seed)


@pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])
def test_unlike_particles_in_equilibrium_show_no_direction(make):
    array = make(c=(0.4, 0.4), temperature=(1.0, 1.0))
    found = found_bursts(run(array, 1), array)
    assert abs(found.asymmetry.z(0.0)[0, 1]) < 4
    assert found.asymmetry.stderr[0, 1] < 0.05
    assert found.asymmetry.value[0, 1] == -found.asymmetry.value[1, 0]
    # they do follow each other more than by chance; and the twin: shares of bursts that are followed seem one-way
    for j, k in ((0, 1), (1, 0)):
        error = np.hypot(found.followed.stderr[j, k], found.chance.stderr[j, k])
        assert found.followed.value[j, k] > found.chance.value[j, k] + 3 * error
    share = found.followed
    assert abs(share.value[0, 1] - share.value[1, 0]) > 5 * np.hypot(share.stderr[0, 1], share.stderr[1, 0])


@pytest.mark.parametrize("mass", [None, (1.0, 1.0)])
@pytest.mark.parametrize("strength", [0.5, -0.5])
def test_bursts_follow_one_way_coupling(mass, strength):
    """Of the particle that drives, whatever the sign; transposed, the other way round."""
    value = []
    for c in ((strength, 0.0), (0.0, strength)):
        alike = {"u": (1.0, 1.0), "friction": (0.7, 0.7), "temperature": (1.0, 1.0), "c": c}
        array = systems.overdamped_pair(**alike) if mass is None else systems.underdamped_pair(mass=mass, **alike)
        value.append(found_bursts(run(array, 2, n_steps=4000), array).asymmetry)
    assert value[0].z(0.0)[0, 1] > 4
    assert value[1].z(0.0)[0, 1] < -4


def test_bursts_pass_along_a_chain():
    n = 4
    array = Oscillators(
        mass=np.ones(n), stiffness=np.ones(n), friction=0.3 * np.ones(n), bath_temperature=np.ones(n),
        coupling=0.3 * np.eye(n, k=-1), reduced=True,
    )  # fmt: skip
    dataset = run(array, 3, n_steps=4000)
    found = found_bursts(dataset, array, window=8.0)
    along, against = found.passed.value
    assert along - against > 4 * np.hypot(*found.passed.stderr)
    assert 0 < found.passage_time.value[0] < 3 * 8.0
    back = found_bursts(dataset, array, window=8.0, chain=[3, 2, 1, 0])
    np.testing.assert_allclose(back.passed.value, found.passed.value[::-1], rtol=1e-12)
    assert found.window == pytest.approx(8.0, rel=1e-12, abs=0)
    twice = found_bursts(dataset, array, window=8.0, threshold=6.0)
    np.testing.assert_allclose(twice.threshold, 2 * found.threshold, rtol=1e-12)
    assert (twice.rate.value < 0.5 * found.rate.value).all()


def test_rate_of_bursts_of_independent_states():
    """Without memory a burst begins at rate (1 - p)^m p, for a dead time of m states."""
    rng = np.random.default_rng(4)
    array, n = unit_array(2), 4000
    state = rng.normal(size=(64, n, 2))
    dataset = xr.Dataset(
        {"position": (("trajectory", "time", "particle"), state)}, coords={"time": 0.5 * np.arange(1, n + 1)}
    )
    found = found_bursts(dataset, array, dead_time=1.0, window=1.0, threshold=8.0)
    p = 2 * 0.022750131948179195  # eight times the mean energy of 1/2 is two standard deviations of these states
    assert np.abs(found.rate.z((1 - p) ** 2 * p / 0.5)).max() < 4
    assert abs(found.asymmetry.z(0.0)[0, 1]) < 4
    assert np.abs(found.followed.z(found.chance.value)).max() < 4.5 or found.followed.value[0, 0] == 0
    alone = found_bursts(dataset.isel(trajectory=[0]), array, dead_time=1.0, window=1.0)
    assert np.isnan(alone.chance.value).all()
    assert (alone.rate.value > 0).all()


def hand_counts(pairs):
    """Counts of two particles in as many cells, with so many pairs of either order."""
    counts = BurstCounts(unit_array(2), len(pairs), threshold=np.ones(2), window=4, dead_time=1, chain=[0, 1])
    counts.states[:], counts.bursts[:] = 100.0, 10.0
    counts.pairs[:, 2, 0, 1], counts.pairs[:, 2, 1, 0] = np.transpose(pairs)
    return counts


def test_few_pairs_have_an_error_bar_or_no_value():
    """Whether there are enough is decided for all of them, and not anew without each of the groups."""
    few = bursts_of(hand_counts([(2, 1)] * 7), 1.0).asymmetry  # 21 pairs, and 18 without a group
    assert few.value[0, 1] == pytest.approx(1 / 3, rel=1e-12, abs=0)
    assert few.stderr[0, 1] == pytest.approx(0.0, abs=1e-12)
    uneven = bursts_of(hand_counts([(5, 0), (0, 2)] * 3), 1.0).asymmetry
    assert uneven.stderr[0, 1] > 0.1
    for pairs in ([(2, 1)] * 6, [(20, 5)] + [(0, 0)] * 5):  # 18 pairs; all in one group, without which there are none
        none = bursts_of(hand_counts(pairs), 1.0).asymmetry
        assert np.isnan(none.value[0, 1])
        assert np.isnan(none.stderr[0, 1])


@pytest.mark.parametrize("mass", [None, np.ones(6)])
def test_energy_of_a_particle_is_that_of_all_its_axes(mass):
    """Against plain loops over the sums; the twin, each axis by itself, has other bursts."""
    rng = np.random.default_rng(6)
    n = 6
    array = Oscillators(
        stiffness=np.linspace(1, 2, n), friction=np.ones(n), bath_temperature=np.ones(n), coupling=np.zeros((n, n)),
        mass=mass, axis=("x", "y"), reduced=True,
    )  # fmt: skip
    counts = burst_counts(array, 3, 1.0, threshold=2.0, window=5.0, dead_time=2.0)
    d = array.langevin().dimension
    state = rng.normal(size=(3, 400, d)) / array.langevin().unit
    energy = np.zeros((3, 400, 3))
    for i in range(n):
        energy[..., i // 2] += 0.5 * array.stiffness[i] * (state[..., i] * array.langevin().unit[i]) ** 2
        if mass is not None:
            energy[..., i // 2] += 0.5 * (state[..., n + i] * array.langevin().unit[n + i]) ** 2
    mean = 1.0 if mass is None else 2.0  # equipartition, over two axes
    np.testing.assert_allclose(counts.threshold, 2.0 * mean, rtol=1e-10)
    counts.add(state, cells=np.arange(3), first=0, last=True)
    begin = max(plain_bursts(energy[a, :, j] > 2 * mean, energy[a, :, j], 2)[1] for a in range(3) for j in range(3))
    end = begin + int(counts.states[0, 0])
    for a in range(3):
        for j in range(3):
            whole, _ = plain_bursts(energy[a, :, j] > 2 * mean, energy[a, :, j], 2)
            assert counts.bursts[a, j] == len([peak for peak in whole if begin <= peak < end])
    assert counts.bursts.min() > 3


def test_bad_input():
    array = systems.overdamped_pair()
    dataset = run(array, 5, n_steps=20)
    for name, value in (("threshold", 0.0), ("window", -1.0), ("dead_time", float("nan"))):
        with pytest.raises(PlanError, match=name):
            found_bursts(dataset, array, **{name: value})
    for chain in ([0], [0, 0], [0, 2]):
        with pytest.raises(PlanError, match="chain"):
            found_bursts(dataset, array, chain=chain)
    with pytest.raises(TooFewSamplesError, match="too short"):
        found_bursts(dataset, array, window=10.0)
    with pytest.raises(UnstableError):
        found_bursts(dataset, systems.overdamped_pair(c=(2.0, 2.0)))
