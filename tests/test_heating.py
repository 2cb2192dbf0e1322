"""Heating rates of normal modes: closed forms, exact moments, least squares by statsmodels, and simulated releases."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import constants

import stochbind as sb
from stochbind.analysis import heating, passes, temperatures
from stochbind.analysis.reheating import reheating
from stochbind.errors import ScenarioError, TooFewSamplesError
from stochbind.langevin import Moments
from stochbind.optics import beams, binding, gas, pairs

SCENARIOS = Path(__file__).parent.parent / "scenarios"
WAVENUMBER = 2 * math.pi / 1064e-9
Z_R = beams.rayleigh_range(1064e-9, 0.8e-6)


@pytest.fixture(scope="module")
def rieser():
    return sb.Scenario.from_toml(SCENARIOS / "rieser_like_pair.toml")


@pytest.fixture(scope="module")
def release():
    return sb.Scenario.from_toml(SCENARIOS / "reheating_pair.toml")


def pair(recoil=0.05, cross=0.03, coupling=0.0, damping=0.0, energy=0.0):
    """Two equal particles in reduced units, of frequency one."""
    return sb.Oscillators(
        mass=np.ones(2),
        stiffness=np.ones(2),
        friction=np.full(2, damping),
        bath_temperature=np.full(2, energy),
        coupling=np.array([[0.0, coupling], [coupling, 0.0]]),
        diffusion=np.array([[recoil, cross], [cross, recoil]]),
        reduced=True,
    )


def three(damping=0.0):
    """Three unequal particles, reciprocally coupled, with correlated recoil."""
    rng = np.random.default_rng(3)
    root, mass = rng.normal(size=(3, 3)), np.array([1.0, 1.7, 0.6])
    coupling = np.array([[0.0, 0.2, 0.1], [0.2, 0.0, -0.15], [0.1, -0.15, 0.0]])
    return sb.Oscillators(
        mass=mass,
        stiffness=np.array([1.0, 1.9, 1.1]),
        friction=damping * mass,
        bath_temperature=np.full(3, 0.4),
        coupling=coupling,
        diffusion=0.01 * root @ root.T,
        reduced=True,
    )


def at_pressure(scenario, pascal):
    return scenario.model_copy(update={"gas": scenario.gas.model_copy(update={"pressure": pascal})})


@pytest.mark.parametrize(
    ("wavelength", "waist", "near", "far"),
    [(1064e-9, 0.8e-6, 2.28, 3.43), (1064e-9, 0.73e-6, 2.25, 3.38), (1550e-9, 1.0e-6, 3.25, 4.87)],
)
def test_distances_at_which_heating_rates_differ_by_10_to_15_percent(wavelength, waist, near, far):
    k, z_r = 2 * math.pi / wavelength, beams.rayleigh_range(wavelength, waist)
    found = heating.distance_of_difference([0.15, 0.10], k, z_r) * 1e6
    np.testing.assert_allclose(found, [near, far], atol=0.005)
    np.testing.assert_allclose(heating.largest_difference(found * 1e-6, k, z_r), [0.15, 0.10], rtol=1e-12)


def test_largest_difference_is_that_of_the_light():
    """From the diffusion matrix of two spheres, k d an odd number of quarter turns."""
    distance = 4.5 * math.pi / WAVENUMBER
    field = beams.linear_polarization(np.full(2, 1e7), np.zeros(2), np.full(2, math.pi / 2))
    place = np.array([[0.0, 0.0], [distance, 0.0]])
    d = binding.binding(place, field, np.full(2, 1e-21), WAVENUMBER, Z_R).diffusion
    found = heating.largest_difference(distance, WAVENUMBER, Z_R)
    assert found == pytest.approx(2 * d[0, 1].real / d[0, 0].real, rel=1e-12)
    kappa = WAVENUMBER - 1 / Z_R
    closed = 15 * kappa**2 / (4.5 * math.pi * (5 * kappa**2 + 2 * WAVENUMBER**2))
    assert found == pytest.approx(closed, rel=1e-12)
    assert found * 4.5 * math.pi == pytest.approx(2.02, abs=0.005)
    assert abs(found - d[0, 1].real / d[0, 0].real) > 0.4 * found  # the twin: per mean, not half of it


@pytest.mark.parametrize(("micrometres", "photons"), [(2.5, 14.6), (2.0, 11.7), (1.5, 8.8)])
def test_about_one_photon_in_ten_couples(rieser, micrometres, photons):
    """The recoil heating over the largest coupling rate, from masses and fields, is twice the inverse difference."""
    array = rieser.oscillators()
    omega = np.sqrt(rieser.trap_stiffness / rieser.mass)
    alpha = rieser.susceptibility * 4 / 3 * math.pi * rieser.radius**3
    strength = pairs.strength(rieser.mass, omega, alpha, rieser.peak_field, WAVENUMBER, Z_R)
    recoil = array.diffusion[0, 0].real / (constants.hbar * rieser.mass[0] * omega[0])
    ratio = recoil * WAVENUMBER * micrometres * 1e-6 / strength
    assert ratio == pytest.approx(photons, abs=0.05)
    assert 2 / heating.largest_difference(micrometres * 1e-6, WAVENUMBER, Z_R) == pytest.approx(ratio, rel=1e-9)


def test_pressure_at_which_the_gas_heats_like_recoil(rieser):
    low = at_pressure(rieser, 1e-5)  # 1e-7 mbar
    derived = low.derived()
    assert derived["recoil_heating_rate"].value[0] == pytest.approx(1.139e6, rel=1e-3)
    assert derived["gas_heating_rate"].value[0] == pytest.approx(4.4e4, rel=0.01)
    pressure = heating.pressure_of_equal_heating(rieser)
    np.testing.assert_allclose(pressure / 100, 2.6e-6, rtol=0.01)
    equal = at_pressure(rieser, float(pressure[0])).derived()
    np.testing.assert_allclose(equal["gas_heating_rate"].value, equal["recoil_heating_rate"].value, rtol=1e-9)
    # Epstein's law, which holds where the gas is dilute
    heat = rieser.oscillators().thermal_energy[0]
    per_pascal = 8 / 3 * (1 + math.pi / 8) * rieser.radius[0] ** 2
    per_pascal *= math.sqrt(2 * math.pi * gas.AIR_MOLAR_MASS / constants.N_A / heat)
    epstein = rieser.oscillators().diffusion[0, 0].real / (heat * per_pascal)
    assert pressure[0] == pytest.approx(epstein, rel=0.02)


@pytest.mark.parametrize("name", ["directional_chain", "saturating_pair"])
def test_only_spheres_in_a_gas_have_a_pressure(name):
    scenario = sb.Scenario.from_toml(SCENARIOS / f"{name}.toml")
    with pytest.raises(ScenarioError, match=f'kind = "tweezers", but `scenario` is "{scenario.kind}"'):
        heating.pressure_of_equal_heating(scenario)
    with pytest.raises(ScenarioError, match='but `scenario` is "Oscillators"'):
        heating.pressure_of_equal_heating(scenario.oscillators())


def test_light_that_no_gas_can_match(rieser):
    cold = [p.model_copy(update={"bath_temperature": 1e-9}) for p in rieser.particle]
    with pytest.raises(ScenarioError, match="less than recoil does at any pressure"):
        heating.pressure_of_equal_heating(rieser.model_copy(update={"particle": cold}))


def test_heating_is_what_modes_gain():
    """Exact moments, from rest, after a whole number of half periods of each mode."""
    array = three()
    equations, heat = array.langevin(), heating.mode_heating(array)
    rest = Moments(np.zeros(6), np.zeros((6, 6)))
    for k, omega in enumerate(heat.modes.rate):
        time = 20 * math.pi / omega
        second = equations.moments(time, rest).covariance
        energy = 0.5 * (
            temperatures.mode_kinetic_temperature(array, second)[k]
            + temperatures.mode_position_temperature(array, second)[k]
        )
        assert heat.rate[k] * omega * time == pytest.approx(energy, rel=1e-9)
        assert abs(2 * heat.rate[k] * omega * time - energy) > 0.9 * energy  # the twin: 2D in place of D
    alone = replace(array, diffusion=np.diag(np.diagonal(array.diffusion)))
    assert np.abs(heating.mode_heating(alone).rate / heat.rate - 1).max() > 0.1  # the twin: uncorrelated recoil
    # all heat is that of the particles
    total = (np.diagonal(array.diffusion).real / array.mass).sum()
    assert heat.recoil.sum() == pytest.approx(total, rel=1e-12)


def test_gas_heats_all_modes_alike():
    heat = heating.mode_heating(three(damping=0.02))
    np.testing.assert_allclose(heat.gas, 0.02 * 0.4, rtol=1e-12)
    np.testing.assert_allclose(heat.gas_rate + heat.recoil_rate, heat.rate, rtol=1e-12)


def test_a_pair_of_equal_particles(rieser):
    """Modes of constants made from rates, D11 +- Re D12, in quanta of the frequency; in SI (D11 +- Re D12)/m."""
    mass, omega = rieser.mass[0], 2 * math.pi * 55e3
    rates = pairs.Rates(np.array(0.0), np.array(0.0), np.array([1.1e6, 1.1e6]), np.array(8e4 + 0j))
    si = pairs.constants_from(rates, mass, omega)
    array = sb.Oscillators(
        mass=np.full(2, mass),
        stiffness=np.full(2, mass * omega**2),
        friction=np.zeros(2),
        bath_temperature=np.zeros(2),
        coupling=si.coupling,
        diffusion=si.diffusion,
    )
    heat = heating.mode_heating(array)
    expected = heating.collective_recoil(rates)
    np.testing.assert_allclose(np.sort(heat.rate)[::-1], expected, rtol=1e-12)
    np.testing.assert_allclose(expected, [1.18e6, 1.02e6])
    np.testing.assert_allclose(
        np.sort(heat.recoil), np.sort(si.diffusion.real @ [1, 1] / mass)[[0, 0]] * [102 / 118, 1]
    )
    # without coupling the forces leave the modes open, and the noise decides
    np.testing.assert_allclose(np.abs(heat.modes.shape), math.sqrt(0.5), rtol=1e-9)
    assert np.abs(temperatures.normal_modes(array).shape[0, 0]) != pytest.approx(math.sqrt(0.5))


def test_modes_of_nearly_one_frequency_are_not_mixed():
    """Noise decides only where forces do not: particles apart by more than round-off are modes of their own."""
    for difference, mixed in ((1e-11, True), (1e-7, False), (1e-4, False)):
        array = replace(pair(), stiffness=np.array([1.0, 1.0 + difference]))
        heat = heating.mode_heating(array)
        share = np.full((2, 2), math.sqrt(0.5)) if mixed else np.eye(2)
        np.testing.assert_allclose(np.abs(heat.modes.shape), share, atol=1e-9)
        np.testing.assert_allclose(np.sort(heat.recoil), [0.02, 0.08] if mixed else [0.05, 0.05], rtol=1e-9)


def test_motion_is_correlated_without_coupling():
    array = pair(damping=0.1, energy=0.2)
    equations = array.langevin()
    steady = equations.stationary_covariance() * np.outer(equations.unit, equations.unit)
    assert steady[2, 3] == pytest.approx(0.03 / 0.1, rel=1e-10)  # <p1 p2> = Re D12 / gamma
    assert steady[0, 1] == pytest.approx(0.03 / 0.1, rel=1e-10)
    coefficient = heating.noise_correlation(array)[0, 1]
    assert coefficient == pytest.approx(0.03 / (0.05 + 0.1 * 0.2), rel=1e-12)
    assert steady[2, 3] / steady[2, 2] == pytest.approx(coefficient, rel=1e-10)
    # released from rest, without gas: <a1* a2> = Re D12 t after whole half periods, and the same coefficient
    free = pair()
    equations, time = free.langevin(), 40 * math.pi
    second = equations.moments(time, Moments(np.zeros(4), np.zeros((4, 4)))).covariance
    second = second * np.outer(equations.unit, equations.unit)
    assert 0.5 * (second[0, 1] + second[2, 3]) == pytest.approx(0.03 * time, rel=1e-9)
    assert second[2, 3] / second[2, 2] == pytest.approx(heating.noise_correlation(free)[0, 1], rel=1e-9)
    silent = replace(free, diffusion=np.diag([0.05, 0.0]))
    np.testing.assert_allclose(heating.noise_correlation(silent), [[1, 0], [0, 0]], atol=1e-12)


def test_each_mode_has_a_temperature_of_its_own(release):
    """In the steady state, k_B T_pm = k_B T + (D11 +- Re D12) / (m gamma)."""
    array = at_pressure(release, 0.1).oscillators()
    second = array.langevin().stationary_covariance()
    d, damping = array.diffusion.real, array.friction[0] * array.boltzmann
    differential, common = 300 + (d[0, 0] - d[0, 1]) / damping, 300 + (d[0, 0] + d[0, 1]) / damping
    for function in (temperatures.mode_kinetic_temperature, temperatures.mode_position_temperature):
        found = function(array, second)
        np.testing.assert_allclose(found, [differential, common], rtol=1e-6)
        assert np.abs(found - found[::-1]).min() > 0.02  # the twin: uncorrelated recoil


def simulated(array, *, interval, n_steps, n_trajectories, seed=1, initial="ground"):
    return sb.simulate(
        array,
        step=interval,
        n_steps=n_steps,
        n_trajectories=n_trajectories,
        initial=array.initial_moments(initial),
        seed=seed,
    )


def test_released_pair(release):
    """Rates of the shipped scenario by both estimators, within one per cent, and theories that must be refused."""
    array = release.oscillators()
    assert abs(array.coupling[0, 1]) < 1e-6 * array.stiffness[0]
    record = simulated(array, interval=20e-6, n_steps=60, n_trajectories=24000)
    found = reheating(record, array)
    exact = found.exact.rate
    for estimate in (found.by_increments, found.by_energies):
        assert np.abs(estimate.z(exact)).max() < 5
        np.testing.assert_allclose(estimate.value, exact, rtol=0.01)
        assert np.abs(estimate.z(2 * exact)).min() > 20  # the twin: 2D in place of D
        assert np.abs(estimate.z(exact.mean())).max() > 5  # the twin: uncorrelated recoil
    assert np.abs(found.by_increments.z(found.exact.recoil_rate)).min() > 5  # the twin: without the gas
    assert abs(found.difference.z(found.exact_difference)) < 5
    assert found.difference.value == pytest.approx(0.142, abs=0.005)
    assert abs(found.difference.z(0.0)) > 20
    # errors as predicted: one gain is worth one sample; of energies only the logarithm of their growth
    np.testing.assert_allclose(found.by_increments.stderr / exact, 1 / math.sqrt(24000 * 59), rtol=0.2)
    energy = 0.5 + exact * 20e-6 * np.array([[1], [60]])
    predicted = 1 / np.sqrt(24000 * 0.5 * np.log(energy[1] / energy[0]))
    np.testing.assert_allclose(found.by_energies.stderr / exact, predicted, rtol=0.2)


def test_estimators_by_hand():
    """Without damping and once a period: plain differences, and generalised least squares by statsmodels."""
    array = pair()
    turn = 2 * math.pi
    record = simulated(array, interval=turn, n_steps=40, n_trajectories=500)
    found = reheating(record, array)
    state = np.stack([record.position, record.velocity], axis=-1)
    modes = np.stack([state[:, :, 0] + state[:, :, 1], state[:, :, 0] - state[:, :, 1]]) / math.sqrt(2)
    order = np.argsort(found.exact.rate)[::-1]  # the common one is heated more
    gain = (np.diff(modes, axis=2) ** 2).sum(axis=-1).mean(axis=(1, 2)) / (2 * turn)
    np.testing.assert_allclose(found.by_increments.value[order], gain, rtol=1e-7)
    mean = 0.5 * (modes**2).sum(axis=-1).mean(axis=1)
    time = turn * np.arange(40)
    for k, one in zip(order, mean, strict=True):
        n = one[0] + found.by_increments.value[k] * time
        covariance = np.minimum(n[:, None], n) ** 2
        fit = sm.GLS(one, sm.add_constant(time), sigma=covariance).fit()
        assert found.by_energies.value[k] == pytest.approx(fit.params[1], rel=1e-6)
        error = math.sqrt(fit.normalized_cov_params[1, 1] / 500)
        assert found.by_energies.stderr[k] == pytest.approx(error, rel=0.2)
        plain = sm.OLS(one, sm.add_constant(time)).fit()
        assert abs(plain.params[1] - fit.params[1]) > 0.1 * error  # the twin: all points alike


def test_increments_of_damped_modes_that_began_anywhere():
    array = replace(three(damping=0.2), diffusion=0.1 * three().diffusion)
    record = simulated(array, interval=0.7, n_steps=100, n_trajectories=2000, initial="thermal")
    found = reheating(record, array)
    assert np.abs(found.by_increments.z(found.exact.rate)).max() < 5
    assert np.abs(found.by_energies.z(found.exact.rate)).max() < 5
    np.testing.assert_allclose(found.by_increments.value, found.exact.rate, rtol=0.02)
    undamped = replace(array, friction=np.full(3, 1e-3) * array.mass)
    wrong = reheating(record.isel(time=slice(0, 20)), undamped)
    assert np.abs(wrong.by_increments.z(found.exact.rate)).max() > 5  # the twin: another drift
    assert found.difference is None
    assert math.isnan(found.exact_difference)


def test_records_are_read_in_pieces(monkeypatch):
    array = pair(coupling=0.01)
    record = simulated(array, interval=1.3, n_steps=300, n_trajectories=40)
    whole, pieces = reheating(record, array), reheating(record.chunk(time=7, trajectory=9), array)
    np.testing.assert_allclose(pieces.by_increments.value, whole.by_increments.value, rtol=1e-12)
    np.testing.assert_allclose(pieces.by_energies.value, whole.by_energies.value, rtol=1e-12)
    monkeypatch.setattr(passes, "_SLAB_BYTES", 4096)  # several trajectories, and then others, in several pieces each
    equal = reheating(record.chunk(time=7, trajectory=10), array)
    np.testing.assert_allclose(equal.by_increments.value, whole.by_increments.value, rtol=1e-12)
    np.testing.assert_allclose(equal.by_energies.value, whole.by_energies.value, rtol=1e-12)
    few = reheating(record.isel(trajectory=slice(0, 4)), array)
    assert few.difference is None
    with pytest.raises(TooFewSamplesError, match="at least 2 trajectories"):
        reheating(record.isel(trajectory=slice(0, 1)), array)


def test_what_has_no_heating_rates():
    array = pair()
    record = simulated(array, interval=1.0, n_steps=10, n_trajectories=4)
    for wrong in (
        replace(array, coupling=np.array([[0.0, 0.1], [-0.1, 0.0]])),
        replace(array, friction=np.array([0.0, 0.1])),
    ):
        with pytest.raises(ScenarioError, match="modes that move alone"):
            reheating(record, wrong)
    still = replace(array, diffusion=np.zeros((2, 2)))
    with pytest.raises(ScenarioError, match="a mode of the record gains nothing"):
        reheating(simulated(still, interval=1.0, n_steps=10, n_trajectories=4, initial="rest"), still)
    hot = replace(array, bath_temperature=np.full(2, 1e9), diffusion=1e-9 * array.diffusion)  # energies hardly change
    kept = reheating(simulated(hot, interval=1.0, n_steps=10, n_trajectories=9, initial="thermal"), hot)
    assert np.isfinite(kept.by_energies.value).all()
    with pytest.raises(ScenarioError, match="overdamped; give it masses"):
        heating.mode_heating(replace(array, mass=None, friction=np.ones(2)))
    with pytest.raises(ScenarioError, match="`distance` must be positive"):
        heating.largest_difference(-1.0, WAVENUMBER, Z_R)
    with pytest.raises(ScenarioError, match="`difference` must be positive"):
        heating.distance_of_difference(0.0, WAVENUMBER, Z_R)


def test_analysis_of_a_release(release, tmp_path):
    plan = sb.Plan.from_scenario(release, n_trajectories=512, n_steps=100)
    sb.run(plan, tmp_path / "run.zarr", workers="serial")
    record = sb.open(tmp_path / "run.zarr")
    found = [one for one in sb.analyse(record).findings if one.section == "heating"]
    assert len(found) == 5
    assert max(abs(one.z) for one in found) < 5
    assert [one.where for one in found[:2]] == [
        "mode 0 (5.547e+04 Hz), differential",
        "mode 1 (5.547e+04 Hz), common",
    ]
    # the twin: half a wavelength more, where the stretch is heated more than the centre of mass
    far = release.particle[1].model_copy(update={"position": (2.39624e-6 + 0.5 * 1064e-9, 0.0)})
    other = release.model_copy(update={"particle": (release.particle[0], far)})
    turned = sb.analyse(record, other)["difference of the rates over their mean", "common less differential"]
    assert turned.exact < -0.1
    assert abs(turned.z) > 5
    assert "heating" not in sb.analyse(record, initial="thermal").sections


def test_the_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCENARIOS.parent / "scripts" / "figures"))
    import reheating as script

    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path)])
    monkeypatch.setattr(script, "TRAJECTORIES", 64)
    script.main()
    for name in ("reheating", "saving"):
        sys.modules.pop(name)
    said = capsys.readouterr().out
    assert "15 % at 2.28 um, 10 % at 3.43 um" in said
    assert "\n2.3962 um: +" in said
    assert "exact +14.19%" in said
    assert (tmp_path / "reheating.png").stat().st_size > 10_000
