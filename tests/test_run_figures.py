"""Figures of runs: what is joined, what the axes are, what is left out, and which run tables follow the motion."""

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

import stochbind as sb
from stochbind.analysis import transfer, windows
from stochbind.analysis.validation import Row
from stochbind.cli import app
from stochbind.errors import TooFewSamplesError
from stochbind.plots import runs

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def record(n, interval):
    """One trajectory of n particles at frequency 1."""
    time = interval * np.arange(1, 41)
    position = np.cos(2 * np.pi * time[None, :, None, None] + np.arange(n)[:, None])
    return xr.Dataset(
        {"position": (("trajectory", "time", "particle", "axis"), position)}, coords={"time": time, "axis": ["z"]}
    )


@pytest.mark.parametrize(("interval", "joined"), [(0.1, True), (0.33, True), (0.34, False), (2.0, False)])
def test_states_far_apart_are_not_joined(interval, joined):
    ax = runs.paths(Figure().subplots(), record(2, interval), period=1.0)
    assert {line.get_linestyle() for line in ax.lines} == {"-" if joined else "None"}
    assert ("states only" in ax.get_title()) == (not joined)
    assert {line.get_linestyle() for line in runs.paths(Figure().subplots(), record(2, interval)).lines} == {"-"}


@pytest.mark.parametrize("n", [2, 7, 10])
def test_the_legend_covers_no_motion_and_says_who_is_drawn(n):
    figure = Figure(figsize=(4, 3), layout="constrained")
    ax = runs.paths(figure.subplots(), record(n, 0.1), period=1.0)
    figure.draw_without_rendering()
    title = ax.get_legend().get_title().get_text()
    assert title == ("particle" if n <= 7 else "first 7 of 10 particles")
    below = ax.transData.inverted().transform(ax.get_legend().get_window_extent())[0, 1]
    assert below > max(line.get_ydata().max() for line in ax.lines)


class Table:
    """As much of a validation as the panel of temperatures asks for."""

    judged = ()

    def __init__(self, *value):
        self.rows = [Row("kinetic temperature", str(j), "K", each, 0.0, each, 0.0, 1.0) for j, each in enumerate(value)]


@pytest.mark.parametrize(
    ("values", "bath", "scale", "labels"),
    [
        ((300.0, 310.0), 300.0, "linear", None),
        ((300.0, 1200.0), 300.0, "log", "bare"),
        ((1.7e-3, 1.8e-3), 300.0, "log", "powers"),
        ((1e8, 2e9), 300.0, "log", "powers"),
        ((1e-3, 2e-3), 0.0, "linear", None),
    ],
)
def test_the_axis_of_temperatures_shows_all(values, bath, scale, labels):
    figure = Figure(figsize=(4, 3))
    ax = runs.temperatures(figure.subplots(), Table(*values), np.full(2, bath))
    assert ax.get_yscale() == scale
    figure.draw_without_rendering()
    words = [label.get_text() for which in ("major", "minor") for label in ax.get_yticklabels(which=which)]
    words = [word for word in words if word]
    if labels is not None:
        assert any("10^" in word for word in words) == (labels == "powers")
    low, high = ax.get_ylim()
    seen = [y for y, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True) if label.get_text()]
    assert sum(low <= y <= high for y in seen) + len(words) < 40  # not all minor ticks of seven decades


def test_the_shortest_period():
    pair = sb.Scenario.from_toml(SCENARIOS / "unstable_chain.toml").oscillators()
    fastest = np.abs(np.linalg.eigvals(pair.langevin().drift_matrix).imag).max() / pair.langevin().time_unit
    assert windows.shortest_period(pair.langevin()) == pytest.approx(2 * math.pi / fastest)
    assert 20e-6 < windows.shortest_period(pair.langevin()) < 25e-6
    overdamped = sb.Langevin(drift_matrix=[[-1.0]], noise_covariance=[[1.0]])
    assert windows.shortest_period(overdamped) == math.inf


def test_an_unstable_array_has_no_response(tmp_path, monkeypatch):
    from stochbind import plots

    drawn, overview = [], plots.overview
    monkeypatch.setattr(plots, "overview", lambda *args, **words: drawn.append(overview(*args, **words)) or drawn[-1])
    run = ["run", "unstable_chain", "-o", tmp_path / "a.zarr", "--trajectories", 32, "--parallel", "serial", "-q"]
    for words in (run, ["plot", tmp_path / "a.zarr", "-o", tmp_path / "a.png"]):
        assert CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False).exit_code == 0
    (panel,) = [ax for ax in drawn[0].axes if ax.get_title(loc="left") == "(d) response"]
    assert not panel.lines
    assert [text.get_text() for text in panel.texts] == ["none: the array is unstable"]


@pytest.mark.parametrize("name", ["saturating_pair", "reheating_pair", "directional_chain", "unstable_chain"])
def test_run_tables_follow_the_motion(name):
    plan = sb.Plan.from_scenario(sb.Scenario.from_toml(SCENARIOS / f"{name}.toml"))
    assert plan.step * plan.save_every < windows.shortest_period(plan.scenario.langevin()) / 3


@pytest.mark.parametrize(
    ("name", "step", "words"),
    [("cold_to_hot_pair", 5.0, "every 5, too"), ("rieser_like_pair", 5e-5, "every 5e-05 s, too")],
)
def test_records_that_are_too_rare_are_told_in_their_units(name, step, words):
    array = sb.Scenario.from_toml(SCENARIOS / f"{name}.toml").oscillators()
    initial = array.initial_moments("thermal")
    data = sb.simulate(array, step=step, n_steps=40, n_trajectories=8, initial=initial, seed=1)
    with pytest.raises(TooFewSamplesError, match=words):
        transfer.found_spectrum(array, data, 10)
