"""Temperatures fitted to spectra: of known lines, of runs, of particles that are not one line."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

import stochbind as sb
import systems
from stochbind.analysis import exact_windows, fitting, periodograms
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError


def run(array, *, step, n_steps, n_trajectories, seed=3):
    equations = array.langevin()
    return sb.simulate(
        equations, step=step, n_steps=n_steps, n_trajectories=n_trajectories, seed=seed, initial=equations.stationary
    ).isel(time=slice(1, None))


@pytest.mark.parametrize(
    ("quality", "interval", "window"), [(3.0, 0.5, 256), (10.0, 0.5, 256), (100.0, 0.5, 2048), (1e6, 4e4, 1024)]
)
def test_the_exact_spectrum_of_a_particle_gives_its_own_line(quality, interval, window):
    """At Q = 1e6 states are kept every 6366 periods: frequencies are known by their aliases."""
    line = fitting.exact_line(systems.oscillator(quality), 0, interval=interval, window=window)
    assert line.frequency == pytest.approx(1 / (2 * math.pi), rel=1e-12, abs=0)
    assert line.damping_rate == pytest.approx(1 / quality, rel=1e-10, abs=0)
    assert line.temperature == pytest.approx(1.0, rel=1e-10, abs=0)


def test_the_line_is_the_lorentzian_of_the_laboratory():
    """Against the formula fitted plainly, where neither taper nor aliases matter: frequent states, long windows."""
    array, gamma = systems.oscillator(10.0), 0.1
    frequency, exact = exact_windows.steady_spectrum(array.langevin(), 0.05, 32768)
    omega = 2 * np.pi * frequency
    lorentzian = 4 * gamma / ((1 - omega**2) ** 2 + (gamma * omega) ** 2)
    near = (frequency > 0.1) & (frequency < 0.25)
    np.testing.assert_allclose(exact[near, 0, 0].real, lorentzian[near], rtol=2e-3)
    assert np.abs(exact[near, 0, 0].real / (0.5 * lorentzian[near]) - 1).min() > 0.9  # the twin: two-sided


def test_fit_of_si_spectra_with_recoil():
    """Recoil counts as heat: T + D/(m gamma k); in SI."""
    mass, omega, gamma, temperature = 3e-18, 2 * np.pi * 50e3, 2e3, 300.0
    bare = {
        "mass": np.array([mass]), "stiffness": np.array([mass * omega**2]), "friction": np.array([mass * gamma]),
        "bath_temperature": np.array([temperature]), "coupling": np.zeros((1, 1)),
    }  # fmt: skip
    array = sb.Oscillators(**bare)
    heated = sb.Oscillators(**bare, diffusion=np.array([[0.5 * mass * gamma * array.boltzmann * temperature]]))
    for one, expected in ((array, 300.0), (heated, 450.0)):
        line = fitting.exact_line(one, 0, interval=1e-6, window=8192)
        assert line.temperature == pytest.approx(expected, rel=1e-6, abs=0)
        assert line.frequency == pytest.approx(50e3, rel=1e-7, abs=0)
        assert line.damping_rate == pytest.approx(gamma, rel=1e-6, abs=0)


@pytest.mark.parametrize(("quality", "interval", "window"), [(10.0, 0.5, 256), (1e6, 4e4, 1024)])
def test_fit_of_a_record(quality, interval, window):
    array = systems.oscillator(quality)
    record = run(array, step=interval, n_steps=8 * window, n_trajectories=48)
    spectrum = periodograms.spectrum_of_record(record, array, 0, window=window)
    fit = fitting.fit_line(array, spectrum)
    for found, truth in ((fit.frequency, 1 / (2 * math.pi)), (fit.damping_rate, 1 / quality), (fit.temperature, 1.0)):
        assert abs(found.z(truth)) < 4
    stderr = [float(one.stderr) for one in (fit.frequency, fit.damping_rate, fit.temperature)]
    np.testing.assert_allclose(fit.likelihood_error, stderr, rtol=0.45)  # an error bar of 48 groups, by two ways
    assert stderr[2] < 0.06
    assert fit.note == ""
    assert abs(fit.misfit) < 4
    # The twins: a mass wrong by a factor of two, and density of the other side added, are seen.
    for wrong in (
        fitting.fit_line(replace(array, mass=2 * array.mass, stiffness=2 * array.stiffness), spectrum),
        fitting.fit_line(array, replace(spectrum, density=2 * spectrum.density)),
    ):
        assert abs(wrong.temperature.z(1.0)) > 4


def test_spectra_of_a_record_are_those_of_scipy():
    array = systems.underdamped_pair()
    record = run(array, step=0.4, n_steps=1100, n_trajectories=5)
    found = periodograms.spectrum_of_record(record, array, 1, window=128, start=20)
    series = record.position.isel(time=slice(20, 20 + 8 * 128), particle=1).to_numpy()
    expected = signal.welch(series, fs=1 / 0.4, window="hann", nperseg=128, noverlap=0, detrend=False)[1].mean(axis=0)
    np.testing.assert_array_equal(found.count, np.ones(5 * 8))
    mean = found.count @ found.density / found.count.sum()
    np.testing.assert_allclose(mean, expected, rtol=1e-10)


def test_spectra_of_a_run_are_those_of_its_record(tmp_path):
    particle = [{"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.1, "bath_temperature": 1.0}]
    scenario = sb.OscillatorScenario(name="one", units="reduced", particle=particle)
    plan = sb.Plan.from_scenario(
        scenario, step=0.5, n_steps=2048, n_trajectories=32, seed=1, initial="stationary",
        statistics=[sb.statistics.SpectrumStatistic(window=256)],
    )  # fmt: skip
    sb.run(plan, tmp_path / "run.zarr")
    dataset, array = sb.open(tmp_path / "run.zarr"), scenario.oscillators()
    added = periodograms.spectrum_of_statistic(dataset, array, 0)
    read = periodograms.spectrum_of_record(dataset, array, 0, window=256, start=1)
    assert (added.window, read.window) == (256, 256)
    assert added.interval == pytest.approx(0.5, rel=1e-12, abs=0)
    assert added.count.sum() == 32 * 8
    one, other = (fitting.fit_line(array, spectrum) for spectrum in (added, read))
    assert abs(one.temperature.z(1.0)) < 4
    assert float(one.temperature.value) == pytest.approx(float(other.temperature.value), rel=0.1, abs=0)
    with pytest.raises(PlanError, match='the statistic "spectra"'):
        periodograms.spectrum_of_statistic(dataset.drop_vars("cross_spectrum"), array, 0)


def test_noise_floor():
    """White noise of a detector raises the temperature, unless it is a part of the fit."""
    array = systems.oscillator(10.0)
    record = run(array, step=0.5, n_steps=4096, n_trajectories=32)
    noise = 0.3 * np.random.default_rng(0).normal(size=record.position.shape)
    noisy = record.assign(position=record.position + noise)
    spectrum = periodograms.spectrum_of_record(noisy, array, 0, window=256)
    fit = fitting.fit_line(array, spectrum, noise_floor=True)
    assert abs(fit.temperature.z(1.0)) < 4
    assert abs(fit.noise_floor.z(2 * 0.5 * 0.3**2)) < 4
    assert fit.note == ""
    without = fitting.fit_line(array, spectrum)
    assert without.misfit > 20
    assert "not that of one line" in without.note


def test_a_split_line_is_flagged_and_foretold():
    """Coupling of several widths splits the line; the fit of a run still goes to the fit of the exact spectrum."""
    array = systems.underdamped_pair(mass=(1, 1), u=(1, 1), friction=(0.05, 0.05), c=(0.3, 0.3), temperature=(1, 1))
    record = run(array, step=0.5, n_steps=8192, n_trajectories=32)
    fit = fitting.fit_line(array, periodograms.spectrum_of_record(record, array, 0, window=512))
    assert fit.misfit > 20
    where = float(fit.note.partition("missing at ")[2].split(". ")[0])
    lines = np.sqrt([0.7, 1.3]) / (2 * np.pi)
    assert np.abs(lines - where).min() < 0.01
    exact = fitting.exact_line(array, 0, interval=0.5, window=512)
    assert exact.damping_rate > 1.3 * 0.05  # what a laboratory would report of two lines of 0.05
    assert abs(exact.temperature - 1.0) > 0.01
    assert abs(fit.damping_rate.z(exact.damping_rate)) < 4
    assert abs(fit.temperature.z(exact.temperature)) < 4
    weak = systems.underdamped_pair(mass=(1, 1), u=(1, 1), friction=(0.05, 0.05), c=(1e-4, 1e-4), temperature=(1, 1))
    assert fitting.exact_line(weak, 0, interval=0.5, window=512).temperature == pytest.approx(1.0, rel=1e-4, abs=0)


def test_the_hotter_particle_of_the_one_way_pair(unidirectional):
    """Its exact spectrum is a Lorentzian squared beside one; the driver's is a line at the temperature of its bath."""
    array = unidirectional.oscillators()
    driver = fitting.exact_line(array, 1, interval=2e-6, window=4096)
    assert driver.temperature == pytest.approx(300.0, rel=2e-3, abs=0)
    driven = fitting.exact_line(array, 0, interval=2e-6, window=4096)
    assert driven.temperature > 350.0
    assert driven.damping_rate < 0.9 * driver.damping_rate  # the tip of a narrower line


def test_lines_that_are_not_resolved_are_refused():
    narrow = systems.oscillator(1e6)
    record = run(narrow, step=0.5, n_steps=4096, n_trajectories=32)
    with pytest.raises(TooFewSamplesError, match=r"not resolved.*use windows of about .* states") as told:
        fitting.fit_line(narrow, periodograms.spectrum_of_record(record, narrow, 0, window=1024))
    assert told.value.estimate.n_eff == 32 * 3
    array = systems.oscillator(10.0)
    short = run(array, step=0.5, n_steps=257, n_trajectories=5)
    with pytest.raises(TooFewSamplesError, match="at least 8 groups"):
        fitting.fit_line(array, periodograms.spectrum_of_record(short, array, 0, window=256))
    with pytest.raises(TooFewSamplesError, match="has 512 states, but the record has 256"):
        periodograms.spectrum_of_record(short, array, 0, window=512)


def test_bad_requests():
    array = systems.oscillator(10.0)
    record = run(array, step=0.5, n_steps=64, n_trajectories=2)
    with pytest.raises(PlanError, match="`window` must be even, but is 33"):
        periodograms.spectrum_of_record(record, array, 0, window=33)
    with pytest.raises(PlanError, match="`oscillator` must be at most 0"):
        fitting.exact_line(array, 1, interval=0.5, window=64)
    with pytest.raises(ScenarioError, match="overdamped"):
        fitting.exact_line(systems.overdamped_pair(), 0, interval=0.5, window=64)


def test_a_periodogram_does_not_depend_on_how_a_record_is_cut():
    """Windows that lie across pieces are those of the whole, by SciPy."""
    rng = np.random.default_rng(5)
    state = rng.normal(size=(3, 160, 2))
    cells = np.array([0, 1, 0])
    one = periodograms._Periodograms(2, 1, 32)
    for begin, end in ((0, 5), (5, 60), (60, 61), (61, 160)):
        one.add(state[:, begin:end], cells=cells, first=begin, last=end == 160)
    windows = state[..., 1].reshape(3, 5, 32)
    _, density = signal.periodogram(windows, window="hann", detrend=False, scaling="spectrum", axis=-1)
    density[..., 1:-1] *= 0.5  # two-sided
    power = density.sum(axis=1) * signal.get_window("hann", 32).sum() ** 2
    np.testing.assert_allclose(one.sums, [power[0] + power[2], power[1]], rtol=1e-10, atol=1e-10)
    assert one.count.tolist() == [10.0, 5.0]
