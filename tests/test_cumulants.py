"""Cumulants and generating functions of heat and work in windows of time."""

from __future__ import annotations

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import cumulants, currents, ledgers
from stochbind.errors import ScenarioError, TooFewSamplesError
from tests.test_currents import CORRELATED, pair


@pytest.fixture(scope="module")
def run():
    array = pair()
    start = array.initial_moments("stationary")
    return sb.simulate(
        array, step=0.05, n_steps=4000, n_trajectories=512, save_every=20, initial=start, ledger=array, seed=21
    )


@pytest.mark.parametrize("array", [pair(), pair("overdamped"), pair(diffusion=CORRELATED)])
def test_exact_cumulants(array):
    """Mean and variance by other routes; all of them, per time, tend to the rates of long times."""
    equations = array.langevin()
    for current in (currents.work_current(array, 0, 1), currents.heat_current(array, 1)):
        rates = currents.cumulant_rates(equations, current, 4)
        for duration in (0.5, 20.0):
            found = cumulants.exact_cumulants(equations, current, duration)
            assert found[0] == pytest.approx(rates[0] * duration, rel=1e-8)
            assert found[1] == pytest.approx(currents.window_variance(equations, current, duration), rel=1e-8)
        late, later = (cumulants.exact_cumulants(equations, current, t) for t in (200.0, 300.0))
        assert (later - late) / 100.0 == pytest.approx(rates, rel=1e-5)  # the ends cancel


@pytest.mark.parametrize("where", [(0, 1), (1, 0), (0, None), (1, None)], ids=str)
def test_found_cumulants(run, where):
    array = pair()
    found = cumulants.found_cumulants(run, array, *where, window=20)
    assert (np.abs(found.found.z(found.exact)) < 5).all()
    told = np.isfinite(found.logarithm.value)
    assert (np.abs(found.logarithm.z(found.exact_logarithm)[told]) < 5).all()
    # of twice the window, or a bath that is hotter by a fifth, the numbers are others
    longer = cumulants.found_cumulants(run, array, *where, window=40)
    assert abs(found.found.z(longer.exact)[1]) > 5
    hotter = pair(temperature=(1.2, 0.6))
    assert abs(found.found.z(cumulants.found_cumulants(run, hotter, *where, window=20).exact)[1]) > 5


def test_rare_windows_are_not_told(run):
    """The mean of exp(kJ) to one side of the work exists only for small k: there it stays untold."""
    found = cumulants.found_cumulants(run, pair(), 0, 1, window=20)
    assert np.isfinite(found.logarithm.value[0])
    assert np.isnan(found.logarithm.value[1])


def test_bad_questions(run):
    with pytest.raises(ScenarioError, match="underdamped"):
        cumulants.found_cumulants(run, pair("overdamped"), 0, 1)
    with pytest.raises(TooFewSamplesError, match="8 independent groups"):
        cumulants.found_cumulants(run.isel(trajectory=slice(4), time=slice(40)), pair(), 0, 1)


@pytest.mark.parametrize("kind", ["overdamped", "underdamped"])
def test_what_a_ledger_does_not_see(kind):
    """Long steps: the variance of the ledger is that of all work, less the hidden part."""
    array = pair(kind)
    current, step = currents.work_current(array, 0, 1), 0.5 if kind == "overdamped" else 8.0
    start = array.initial_moments("stationary")
    one = sb.simulate(array, step=step, n_steps=32, n_trajectories=20_000, initial=start, ledger=array, seed=8)
    work = one["work"].to_numpy()[:, -1, 0, 1]
    variance, duration = work.var(), 32 * step
    error = np.sqrt((np.mean((work - work.mean()) ** 4) - variance**2) / len(work))
    whole = currents.window_variance(array.langevin(), current, duration)
    hidden = ledgers.hidden_variance(array, 0, 1, step) * duration
    assert abs(variance - (whole - hidden)) < 4 * error
    assert abs(variance - whole) > 8 * error
    # It falls with the step: overdamped in proportion, underdamped with its fourth power.
    rough, fine = (ledgers.hidden_variance(array, 0, 1, h) for h in (0.1, 0.05))
    assert np.log2(rough / fine) == pytest.approx(1.0 if kind == "overdamped" else 4.0, abs=0.1)
