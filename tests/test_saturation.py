"""Saturation of quasi-modes: closed forms, exact moments in two orderings, and simulations in and out of the frame.

The optically bound pair is that of Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), with the noise of the
amplitudes corrected.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import constants, linalg

import stochbind as sb
from stochbind import amplitudes
from stochbind.analysis import saturation
from stochbind.errors import ScenarioError, TooFewSamplesError
from stochbind.langevin import Langevin, Moments
from stochbind.optics import beams, pairs
from stochbind.quantum.quadratures import quadratures, to_quadratures

SCENARIOS = Path(__file__).parent.parent / "scenarios"
RECOIL, COUPLING = 12.5, 1.0
DECAYING = np.array([1, 1j]) / math.sqrt(2)  # its conjugate projects on (a_1 - i a_2) / sqrt 2
VACUUM = {"normal": np.zeros((2, 2)), "symmetric": 0.5 * np.eye(2)}


def rotating(ordering, *, damping=0.0, thermal=0.0, factor=1.0):
    """The pair at point III in the rotating frame, with `factor` times the normally ordered noise."""
    diffusion = np.array([[RECOIL, 1j * COUPLING], [-1j * COUPLING, RECOIL]])
    h, gamma = amplitudes.optical_binding_pair(0.0, COUPLING, 2 * COUPLING, diffusion)
    h, gamma = h - 0.5j * damping * np.eye(2), factor * gamma + damping * thermal * np.eye(2)
    noise = gamma if ordering == "normal" else amplitudes.to_symmetric(h, gamma)
    return Langevin.from_complex(h, noise, reduced=True)


def start(ordering):
    return Moments(np.zeros(4), amplitudes.real_covariance(VACUUM[ordering]))


def in_mode(equations, time, ordering, mode=DECAYING):
    """Exact mean square of a quasi-mode, from the vacuum on."""
    moments = equations.moments(time, start(ordering))
    return (mode.conj() @ amplitudes.correlation(moments.covariance) @ mode).real


def full(ratio, *, damping=0.0, thermal=0.0, coupling=None, detuning=0.0):
    """The pair of oscillators, of frequency one, with g_a = `ratio`."""
    c = np.array([[0.0, 2 * ratio], [-2 * ratio, 0.0]]) if coupling is None else coupling
    return sb.Oscillators(
        mass=np.ones(2),
        stiffness=np.array([1.0, 1.0 + detuning]),
        friction=np.full(2, damping),
        bath_temperature=np.full(2, thermal + 0.5),
        coupling=c,
        diffusion=RECOIL * ratio * np.eye(2),
        reduced=True,
    )


def test_closed_form():
    assert saturation.saturated_occupation(RECOIL, COUPLING) == 5.75
    assert saturation.saturated_occupation(1.0, 1.0) == 0.0  # the least recoil that light can have
    for gas, thermal in ((4.0, 20.0), (0.5, 3.0), (2.5, 0.0)):
        exact = rotating("normal", damping=gas, thermal=thermal)
        found = saturation.saturated_occupation(RECOIL, [1.0, -1.0], damping=gas, thermal_occupation=thermal)
        reached = found[0] * (1 - math.exp(-3.0 * (2 + gas)))
        assert in_mode(exact, 3.0, "normal") == pytest.approx(reached, rel=1e-9)
        if gas > 2:
            assert in_mode(exact, 60.0 / (gas - 2), "normal", DECAYING.conj()) == pytest.approx(found[1], rel=1e-9)
        else:
            assert math.isinf(found[1])
            assert exact.stability.growth_rate == pytest.approx(1.0 - gas / 2, rel=1e-6)


@pytest.mark.parametrize(("micrometres", "quanta"), [(2.5, 6.80), (3.0, 8.26)])
def test_particles_like_those_of_the_experiment(micrometres, quanta):
    """Without gas, at the best phases: D11 k d / 2 G - 1/2."""
    k = 2 * math.pi / 1064e-9
    ratio = pairs.recoil_ratio(k, beams.rayleigh_range(1064e-9, 0.8e-6))
    found = saturation.saturated_occupation(ratio, 1 / (k * micrometres * 1e-6))
    assert found == pytest.approx(quanta, abs=0.005)
    rieser = sb.Scenario.from_toml(SCENARIOS / "rieser_like_pair.toml")
    omega, alpha = np.sqrt(rieser.trap_stiffness / rieser.mass), rieser.susceptibility * 4 / 3 * math.pi * 105e-9**3
    strength = pairs.strength(rieser.mass, omega, alpha, rieser.peak_field, k, rieser.rayleigh_range)
    recoil = rieser.derived()["recoil_heating_rate"].value[0]
    assert found == pytest.approx(recoil * k * micrometres * 1e-6 / (2 * strength) - 0.5, rel=1e-6)


@pytest.mark.parametrize("time", [0.1, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_both_orderings(time, damping):
    """They differ by half a quantum at any time, and tend to the closed form; the printed noise does not."""
    thermal = 3.0
    normal, symmetric = (
        in_mode(rotating(name, damping=damping, thermal=thermal), time, name) for name in ("normal", "symmetric")
    )
    assert symmetric - normal == pytest.approx(0.5, rel=1e-7)  # beside a mode that grows a million times
    limit = saturation.saturated_occupation(RECOIL, COUPLING, damping=damping, thermal_occupation=thermal)
    assert normal == pytest.approx(limit * (1 - math.exp(-(2 + damping) * time)), rel=1e-9)
    if not damping:
        printed = in_mode(rotating("normal", factor=2.0), time, "normal")
        assert printed == pytest.approx(2 * normal, rel=1e-9)  # the twin: 11.5 quanta in the end


@pytest.mark.parametrize("ordering", ["normal", "symmetric"])
def test_trajectories_in_the_rotating_frame(ordering):
    equations = rotating(ordering)
    record = sb.simulate(
        equations, step=0.5, n_steps=16, n_trajectories=40000, initial=start(ordering), seed=3
    ).amplitude.to_numpy()
    half = 0.0 if ordering == "normal" else 0.5
    decaying = record @ DECAYING.conj()
    late = (np.abs(decaying[:, 8:]) ** 2).mean(axis=1) - half
    exact = np.mean([in_mode(equations, 0.5 * (i + 1), ordering) - half for i in range(8, 16)])
    assert exact == pytest.approx(5.75, rel=1e-3)
    error = late.std() / math.sqrt(len(late))
    assert abs(late.mean() - exact) < 5 * error
    assert late.mean() == pytest.approx(5.75, rel=0.01)
    assert abs(late.mean() - 11.5) > 50 * error  # the twin: 2D in place of D
    assert abs(late.mean() + 0.5 - exact) > 5 * error  # the twin: the other ordering
    growing = np.abs(record @ DECAYING) ** 2
    gained = np.log(growing[:, -1].sum() / growing[:, 7].sum()) / (2 * 4.0)
    assert gained == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("ratio", [0.001, 0.004, 0.05])
def test_quasi_modes_of_the_full_oscillators(ratio):
    """In quanta of its own the occupation is 5.75 at any coupling; in those of the particles nearly so."""
    modes = saturation.quasi_modes(full(ratio))
    np.testing.assert_allclose(modes.growth_rate, [ratio, -ratio], rtol=ratio**2)
    assert modes.occupation[1] == pytest.approx(5.75, rel=1e-9)
    assert math.isinf(modes.occupation[0])
    n = 2
    commutator = 1j * (modes.left[:n].conj() * modes.left[n:] - modes.left[n:].conj() * modes.left[:n]).sum(axis=0)
    np.testing.assert_allclose(commutator, 1.0, rtol=1e-9)
    # plain eigenvectors of norm one, as of a = (z + ip)/sqrt 2
    equations = quadratures(full(ratio))
    drift, noise = equations.drift_matrix / equations.time_unit, equations.noise_covariance / equations.time_unit
    value, left, _ = linalg.eig(drift, left=True, right=True)
    one = left[:, np.argmin(value.real + 1e3 * (value.imag > 0))]
    plain = (one.conj() @ noise @ one).real / (2 * ratio) - 0.5
    assert plain == pytest.approx(5.75, rel=2 * ratio)
    if ratio == 0.004:
        rate = -value.real.min()
        assert (one.conj() @ noise @ one).real / (2 * rate) - 0.5 == pytest.approx(5.74995, abs=2e-6)


def test_occupation_in_time():
    """Against the whole exact covariance, projected."""
    array = full(0.03, coupling=np.array([[0.0, 0.09], [-0.02, 0.0]]), detuning=0.02, damping=0.01, thermal=4.0)
    modes = saturation.quasi_modes(array)
    ground = array.initial_moments("ground")
    begin = to_quadratures(array, ground).covariance
    time = np.array([0.3, 7.0, 60.0])
    found = modes.occupation_at(time, begin)
    for row, t in zip(found, time, strict=True):
        later = to_quadratures(array, array.langevin().moments(t, ground)).covariance
        exact = np.einsum("ik,ij,jk->k", modes.left.conj(), later, modes.left).real - 0.5
        np.testing.assert_allclose(row, exact, rtol=1e-8)
    # without any coupling the rates are exactly zero, and recoil alone feeds: D t
    alone = replace(full(0.0), diffusion=0.1 * np.eye(2))
    assert (saturation.quasi_modes(alone).growth_rate == 0).all()
    fed = saturation.quasi_modes(alone).occupation_at([0.0, 5.0], 0.5 * np.eye(4))
    np.testing.assert_allclose(fed, [[0, 0], [0.5, 0.5]], rtol=1e-12, atol=1e-12)
    free = replace(full(0.0), diffusion=0.1 * np.eye(2), coupling=np.array([[0.0, 0.1], [0.1, 0.0]]))
    idle = saturation.quasi_modes(free).occupation_at([5.0], 0.5 * np.eye(4))
    assert idle[0] == pytest.approx([0.5, 0.5], abs=0.1)  # D t, of modes that neither grow nor decay


def test_gas_in_the_full_oscillators():
    ratio = 0.002
    for gas, stable in ((1.99, False), (2.01, True), (6.0, True)):
        array = full(ratio, damping=gas * ratio, thermal=20.0)
        modes = saturation.quasi_modes(array)
        assert array.langevin().stability.stable == stable
        expected = saturation.saturated_occupation(
            RECOIL * ratio, np.array([-ratio, ratio]), damping=gas * ratio, thermal_occupation=20.0
        )
        assert np.isinf(modes.occupation[0]) == (not stable)
        np.testing.assert_allclose(modes.occupation, expected, rtol=5e-3)
    steady = to_quadratures(array, array.langevin().stationary).covariance
    exact = np.einsum("ik,ij,jk->k", modes.left.conj(), steady, modes.left).real - 0.5
    np.testing.assert_allclose(modes.occupation, exact, rtol=1e-9)


def test_trajectories_of_the_full_oscillators():
    array = sb.Scenario.from_toml(SCENARIOS / "saturating_pair.toml").oscillators()
    ground = array.initial_moments("ground")
    record = sb.simulate(array, step=25.0, n_steps=80, n_trajectories=16000, initial=ground, seed=2)
    found = saturation.quasi_record(record, array, start=40)
    exact = found.modes.occupation_at(found.times, 0.5 * np.eye(4)).mean(axis=0)
    assert exact[1] == pytest.approx(5.75, rel=1e-3)
    assert np.abs(found.occupation.z(exact)).max() < 5
    assert found.occupation.value[1] == pytest.approx(5.75, rel=0.01)
    assert abs(found.occupation.z(np.array([exact[0], 11.5]))[1]) > 20  # the twin: 2D in place of D
    assert abs(found.occupation.z(exact - 0.5)[1]) > 5  # the twin: the other ordering
    assert np.abs(found.growth_rate.z(found.modes.growth_rate)).max() < 5
    np.testing.assert_allclose(found.growth_rate.value, [0.004, -0.004], rtol=0.02)
    assert found.growth_rate.value[0] == pytest.approx(0.004, rel=1e-3)
    # the same from the amplitudes themselves, and from a record in pieces
    square = np.abs(saturation.quasi_amplitudes(record, array)[:, 40:]) ** 2
    np.testing.assert_allclose(found.occupation.value, square.mean(axis=(0, 1)) - 0.5, rtol=1e-9)
    pieces = saturation.quasi_record(record.chunk(trajectory=1500, time=11), array, start=40)
    np.testing.assert_allclose(pieces.growth_rate.value, found.growth_rate.value, rtol=1e-9)
    turned = replace(array, coupling=array.coupling.T)
    other = saturation.quasi_record(record, turned, start=40)
    assert np.abs(other.growth_rate.z(other.modes.growth_rate)).max() > 5  # the twin: transposed coupling
    with pytest.raises(TooFewSamplesError, match="at least 8"):
        saturation.quasi_record(record.isel(trajectory=slice(0, 5)), array)


def test_amplitudes_turn_as_their_modes_do():
    """Without noise: each is its start times a complex exponential, also of particles in SI."""
    for array, time in ((full(0.03, damping=0.01), 0.7), (in_si(full(0.03, damping=0.01)), 0.7e-5)):
        equations = array.langevin()
        moments = [
            equations.moments(t, Moments(np.array([1.0, -0.4, 0.3, 2.0]), np.zeros((4, 4)))) for t in (0.0, time)
        ]
        state = np.array([one.mean for one in moments]) * equations.unit
        dims = ("trajectory", "time", "particle", "axis")
        record = xr.Dataset(
            {"position": (dims, state[None, :, :2, None]), "velocity": (dims, state[None, :, 2:, None])}
        )
        begin, end = saturation.quasi_amplitudes(record, array)[0]
        modes = saturation.quasi_modes(array)
        np.testing.assert_allclose(end, begin * np.exp(modes.value * time), rtol=1e-9)
        assert (np.abs(end / begin - np.exp(modes.value.conj() * time)) > 0.5).all()  # the twin: the conjugate


def in_si(array):
    """The same pair with masses of 1e-18 kg and a frequency of 1e5 rad/s."""
    mass, omega = 1e-18, 1e5
    return sb.Oscillators(
        mass=mass * array.mass,
        stiffness=mass * omega**2 * array.stiffness,
        friction=mass * omega * array.friction,
        bath_temperature=array.bath_temperature,
        coupling=mass * omega**2 * array.coupling,
        diffusion=constants.hbar * mass * omega**2 * array.diffusion,
    )


def test_modes_that_do_not_oscillate():
    """Overdamped ones are left out, growing ones are refused."""
    (value,) = saturation.quasi_modes(
        replace(full(0.0), stiffness=np.array([1.0, 0.04]), friction=np.full(2, 1.0))
    ).value
    assert value == pytest.approx(-0.5 - 1j * math.sqrt(0.75), rel=1e-12)
    coupled = full(0.0, coupling=np.array([[0.0, 0.1], [0.1, 0.0]]))
    one = saturation.quasi_modes(replace(coupled, stiffness=np.array([1.0, 0.04]), friction=np.full(2, 1.0)))
    soft = 0.52 + math.sqrt(0.48**2 + 0.01)  # of the stiffer mode
    assert one.value == pytest.approx([-0.5 - 1j * math.sqrt(soft - 0.25)], rel=1e-9)
    assert len(saturation.quasi_modes(replace(coupled, friction=np.full(2, 3.0))).value) == 0
    for matrix, stiffness in (([[0, 1.5], [1.5, 0]], 1.0), ([[0, 3.0], [0.1, 0]], 0.2), ([[0, 0.1], [0.1, 0]], 1e-3)):
        array = replace(full(0.0, coupling=np.array(matrix)), stiffness=np.array([1.0, stiffness]))
        with pytest.raises(ScenarioError, match="grows without oscillating; weaken the coupling"):
            saturation.quasi_modes(array)
    # a common motion that is all but free: its amplitude is a momentum alone
    loose = full(0.0, coupling=(1 - 1e-13) * np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(ScenarioError, match=r"must have a quantum of its own, but one has the commutator 6\.3e-07"):
        saturation.quasi_modes(loose)


def test_what_has_no_quasi_modes():
    with pytest.raises(ScenarioError, match="exceptional point"):
        saturation.quasi_modes(full(0.0, coupling=np.array([[0.0, 0.1], [0.0, 0.0]])))
    with pytest.raises(ScenarioError, match="overdamped"):
        saturation.quasi_modes(replace(full(0.1), mass=None, friction=np.ones(2)))
    with pytest.raises(ScenarioError, match="as the same light makes both"):
        saturation.saturated_occupation(0.5, 1.0)
    with pytest.raises(ScenarioError, match="`damping` must be zero or positive"):
        saturation.saturated_occupation(2.0, 1.0, damping=-1.0)


def test_analysis_of_a_run(tmp_path):
    scenario = sb.Scenario.from_toml(SCENARIOS / "saturating_pair.toml")
    sb.run(sb.Plan.from_scenario(scenario, n_trajectories=512), tmp_path / "run.zarr", workers="serial")
    analysis = sb.analyse(sb.open(tmp_path / "run.zarr"), start_time=750.0)
    found = [one for one in analysis.findings if one.section == "heating"]
    assert [one.where for one in found] == ["mode 0 (1), grows", "mode 1 (1), decays"] * 2
    assert max(abs(one.z) for one in found) < 5
    assert analysis["occupation of the quasi-mode", "mode 1 (1), decays"].exact == pytest.approx(5.75, rel=1e-3)
    assert not analysis.steady
    hidden = sb.analyse(sb.open(tmp_path / "run.zarr"), scenario.model_copy(update={"coupling": ((0, 0.1), (0, 0))}))
    assert "heating" not in hidden.sections
    assert any(note.startswith("Quasi-modes are left out: ") for note in hidden.notes)


def test_the_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCENARIOS.parent / "scripts" / "figures"))
    import saturation as script

    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path)])
    monkeypatch.setattr(script, "TRAJECTORIES", 256)
    script.main()
    for name in ("saturation", "saving"):
        sys.modules.pop(name)
    said = capsys.readouterr().out
    assert "rotating frame: saturates at " in said
    assert "exact 5.747" in said
    assert "exact 77.002" in said
    assert (tmp_path / "saturation.png").stat().st_size > 10_000
