"""Particles that move along several axes: names and order, runs and stores, the exact theory, the ledger."""

import json
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest
import typer.testing
from pydantic import Field, TypeAdapter
from scipy import linalg

import stochbind as sb
import systems
from stochbind.analysis import online, thermodynamics, transfer
from stochbind.analysis.statistics import record
from stochbind.cli import app
from stochbind.engine import bias
from stochbind.engine.layout import Layout
from stochbind.engine.repairing import repair
from stochbind.engine.solvers import OWN_SOLVERS
from stochbind.engine.verification import verify
from stochbind.errors import PlanError, ScenarioError
from stochbind.oscillators import Oscillators, coordinate_names
from stochbind.protocols import Drive, Kick, Protocol
from stochbind.scenario import OscillatorScenario, TweezerScenario, files

#: Two particles along three axes: stiffness and coupling of (0x, 0y, 0z, 1x, 1y, 1z), not reciprocal.
STIFFNESS = np.array([1.0, 1.3, 0.7, 1.1, 0.9, 0.8])
COUPLING = np.array(
    [
        [0.0, 0.1, 0.0, 0.3, 0.0, -0.1],
        [-0.1, 0.0, 0.05, 0.0, 0.2, 0.0],
        [0.0, 0.0, 0.0, 0.1, 0.0, 0.25],
        [0.1, 0.0, 0.0, 0.0, -0.1, 0.0],
        [0.0, 0.15, 0.0, 0.1, 0.0, 0.0],
        [0.05, 0.0, 0.1, 0.0, 0.0, 0.0],
    ]
)
TEMPERATURE = np.array([1.0, 1.0, 1.0, 0.6, 0.6, 0.6])
#: From particle-major to axis-major order.
SWAP = np.arange(6).reshape(2, 3).T.ravel()


class AxesScenario(OscillatorScenario):
    """Oscillators that are particles along several axes: one table for each, ordered by particles."""

    directions: Annotated[tuple[str, ...], Field(strict=False)] = ("x",)

    def _check_physics(self):
        self.oscillators().langevin()

    @property
    def axes(self):
        return self.directions

    @property
    def n_particles(self):
        return len(self.particle) // len(self.directions)


def register(kind, patch):
    """Let files and stores know a kind in place of the plain oscillators."""
    union = Annotated[TweezerScenario | kind, Field(discriminator="kind")]
    patch.setattr(files, "_ADAPTER", TypeAdapter(union))
    patch.setitem(files._KINDS, "oscillators", kind)


@pytest.fixture(scope="module", autouse=True)
def known():
    with pytest.MonkeyPatch.context() as patch:
        register(AxesScenario, patch)
        yield


def settings(order=slice(None), **change):
    """Of the pair above, with its oscillators in some order."""
    stiffness, temperature = STIFFNESS[order], TEMPERATURE[order]
    coupling = COUPLING[order][:, order]
    particles = [
        {"mass": 1.0, "stiffness": u, "damping_rate": 0.4, "bath_temperature": t}
        for u, t in zip(stiffness, temperature, strict=True)
    ]
    return {"name": "pair", "units": "reduced", "particle": particles, "coupling": coupling.tolist(), **change}


def scenario(**change):
    return AxesScenario(**settings(**{"directions": ("x", "y", "z"), **change}))


def flat_scenario(**change):
    """The same oscillators as six particles along one axis."""
    return OscillatorScenario(**settings(**change))


STATISTICS = (
    "moments",
    {"kind": "correlations", "window": 16, "start": 128},
    {"kind": "spectra", "window": 64, "start": 128},
    {"kind": "histograms", "start": 128, "n_bins": 20},
    {"kind": "histograms", "of": "work", "n_bins": 20, "window": 16},
    {"kind": "currents", "window": 16},
)


def plan(of=None, **change):
    run = {
        "step": 0.25, "n_steps": 512, "n_trajectories": 48, "save_every": 2, "seed": 3, "ledger": True,
        "statistics": STATISTICS,
    }  # fmt: skip
    return sb.Plan(scenario=of or scenario(), **{**run, **change})


@pytest.fixture(scope="module")
def stored(tmp_path_factory, known):
    path = tmp_path_factory.mktemp("axes") / "run.zarr"
    sb.Store.create(path, plan(), Layout(16, 128, 1))
    sb.run(plan(), path, workers="serial")
    return path


@pytest.fixture(scope="module")
def flat(tmp_path_factory, known):
    path = tmp_path_factory.mktemp("flat") / "run.zarr"
    sb.run(plan(flat_scenario()), path, workers="serial")
    return sb.open(path).load()


# ---------------------------------------------------------------------- names and order


def test_oscillators_are_ordered_by_particles_then_axes():
    array = scenario().oscillators()
    assert (array.axes, array.n_oscillators, array.n_particles) == (("x", "y", "z"), 6, 2)
    assert array.names == ("0x", "0y", "0z", "1x", "1y", "1z")
    places = [(0, "x"), (0, "y"), (0, "z"), (1, "x"), (1, "y"), (1, "z")]
    coordinates = array.langevin().coordinate
    assert coordinates == tuple((name, *where) for name in ("position", "velocity") for where in places)
    assert coordinate_names(coordinates)[4:8] == ["position 1y", "position 1z", "velocity 0x", "velocity 0y"]
    one = systems.underdamped_pair()
    assert (one.axes, one.n_oscillators, one.n_particles, one.names) == (("x",), 2, 2, ("0", "1"))
    assert coordinate_names(one.langevin().coordinate)[2] == "velocity 0"
    assert replace(one, axis=("z",)).langevin().coordinate[1] == ("position", 1, "z")


@pytest.mark.parametrize("axis", [(), ("x", "x"), ("x", ""), ("w", "x", "y", "z"), 3, ("x", 1), "0"])
def test_wrong_axes_are_refused(axis):
    with pytest.raises(ScenarioError, match="`axis` must be the name of a direction, or one to 3 different names"):
        replace(systems.underdamped_pair(), axis=axis)


def test_particles_are_whole():
    with pytest.raises(ScenarioError, match="must hold 3 values for each particle, one along each of x, y, z, but"):
        replace(systems.underdamped_pair(), axis=("x", "y", "z"))


def test_who_takes_part_in_a_mode_is_told_by_particles():
    found = scenario().langevin().stability
    assert set(found.participation) == {0, 1}
    assert sum(found.participation.values()) == pytest.approx(1.0)
    assert "particle 1 (" in found.sentence


# ---------------------------------------------------------------------- drives and kicks


def test_drives_and_kicks_are_along_an_axis():
    equations = scenario().langevin()
    drift = Drive(1, 2.0, 0.5, axis="y").drift(equations)
    assert np.flatnonzero(drift).tolist() == [6 + 4]
    assert drift[10] == pytest.approx(2.0 * equations.force_scale[4])
    shift = Kick.momentum(equations, 1.0, 1, 0.5, axis="z").shift
    assert np.flatnonzero(shift).tolist() == [6 + 5]
    for axis in (None, "w"):
        with pytest.raises(ScenarioError, match=f"one of x, y, z, along which particles move, but is {axis!r}"):
            Drive(1, 2.0, 0.5, axis=axis).drift(equations)
    with pytest.raises(ScenarioError, match="`particle` must be"):
        Drive(2, 2.0, 0.5, axis="y").drift(equations)
    single = systems.underdamped_pair().langevin()
    assert np.array_equal(Drive(1, 2.0, 0.5, axis="x").drift(single), Drive(1, 2.0, 0.5).drift(single))


DRIVE = {"particle": 1, "force": 0.5, "frequency": 0.8}


def test_drives_of_a_scenario_name_their_axis():
    driven = scenario(drive=[{**DRIVE, "axis": "y"}])
    (found,) = driven.driven(driven.langevin()).drives
    assert found.oscillator(driven.langevin()) == 4
    assert files.parse(driven.to_toml()) == driven
    with pytest.raises(ScenarioError, match=r"drive\[0\].axis must be one of x, y, z, but is missing"):
        scenario(drive=[DRIVE])
    with pytest.raises(ScenarioError, match=r"drive\[0\].axis must be one of x, but is 'y'"):
        flat_scenario(drive=[{**DRIVE, "axis": "y"}])
    old = sb.Plan(scenario=flat_scenario(drive=[DRIVE]), step=0.1, n_steps=1, n_trajectories=1)
    assert "axis" not in json.dumps(old.to_dict())  # plans of one axis are what they were


# ---------------------------------------------------------------------- a run, beside the same run along one axis


def test_a_store_has_an_axis_of_its_own_for_each_direction(stored, flat):
    dataset = sb.open(stored)
    for name in ("position", "velocity"):
        assert dataset[name].dims == ("trajectory", "time", "particle", "axis")
        expected = flat[name].to_numpy().reshape(48, 256, 2, 3)
        np.testing.assert_array_equal(dataset[name], expected)
        np.testing.assert_array_equal(dataset[name].sel(particle=1, axis="y"), flat[name].to_numpy()[:, :, 4, 0])
        assert not np.array_equal(dataset[name], expected.reshape(48, 256, 3, 2).swapaxes(2, 3))  # the twin: swapped
    assert dataset["axis"].to_numpy().tolist() == ["x", "y", "z"]
    assert dataset["position"].attrs["long_name"].endswith("along x, y, z")
    names = ["0x", "0y", "0z", "1x", "1y", "1z"]
    assert dataset["work"].dims == ("trajectory", "time", "oscillator", "source")
    assert dataset["heat"].dims == dataset["drive_work"].dims == ("trajectory", "time", "oscillator")
    assert "each oscillator" in dataset["heat"].attrs["long_name"]
    assert dataset["oscillator"].to_numpy().tolist() == dataset["source"].to_numpy().tolist() == names
    for name in ("work", "heat", "drive_work"):
        np.testing.assert_array_equal(dataset[name], flat[name])
    assert flat["heat"].dims == ("trajectory", "time", "particle")
    assert "oscillator" not in flat.dims
    assert sb.Store.open(stored).plan.scenario == scenario()


def test_statistics_name_oscillators(stored, flat):
    dataset = sb.open(stored)
    assert dataset["coordinate"].to_numpy()[[0, 4, 11]].tolist() == ["position 0x", "position 1y", "velocity 1z"]
    assert flat["coordinate"].to_numpy()[[0, 4, 11]].tolist() == ["position 0", "position 4", "velocity 5"]
    for name in ("moments_second", "correlation", "cross_spectrum", "histogram_position", "histogram_work"):
        np.testing.assert_array_equal(dataset[name], flat[name])
    assert dataset["histogram_work"].dims == ("group", "oscillator", "source", "work_bin")
    assert dataset["current_work"].dims == ("currents_window", "group", "oscillator", "source")
    found = online.histogram(dataset, "position")
    assert found["value"].dims == found["lower"].dims == ("oscillator", "bin")
    assert online.histogram(flat, "position")["value"].dims == ("particle", "bin")
    assert online.current(dataset, "heat")["value"].dims == ("oscillator",)


def test_memory_holds_what_the_store_holds(stored):
    array = scenario().oscillators()
    memory = sb.simulate(
        array, step=0.25, n_steps=512, n_trajectories=48, save_every=2, seed=3, ledger=array,
        initial=array.initial_moments("thermal"),
    )  # fmt: skip
    dataset = sb.open(stored)
    for name in ("position", "velocity", "work", "heat", "drive_work"):
        assert memory[name].dims == dataset[name].dims
        np.testing.assert_array_equal(memory[name], dataset[name])
    assert memory["axis"].to_numpy().tolist() == ["x", "y", "z"]
    assert memory["oscillator"].to_numpy().tolist() == list(array.names)
    shuffled = tuple(array.langevin().coordinate[i] for i in (*SWAP, *(6 + SWAP)))
    odd = replace(array.langevin(), coordinate=shuffled)
    assert sb.simulate(odd, step=0.1, n_steps=2)["position"].dims == ("trajectory", "time", "particle")


def test_stores_are_verified_repaired_and_made_longer(stored, tmp_path):
    path = tmp_path / "run.zarr"
    short = plan(n_trajectories=20, n_steps=400)
    sb.Store.create(path, short, Layout(16, 128, 1))
    sb.run(short, path, workers="serial")
    longer = sb.extend(path, n_trajectories=48, n_steps=512)
    sb.run(longer.plan, path, workers="serial")
    assert verify(sb.Store.open(path), recompute=3).whole
    np.testing.assert_array_equal(sb.open(path)["position"], sb.open(stored)["position"])
    np.testing.assert_array_equal(sb.open(path)["correlation"], sb.open(stored)["correlation"])
    victim = sorted(file for file in (path / "position").rglob("c*") if file.is_file())[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    assert not verify(sb.Store.open(path)).whole
    repair(path, workers="serial")
    assert victim.read_bytes() == whole


# ---------------------------------------------------------------------- beside the exact theory


def test_a_run_agrees_with_the_exact_theory(stored):
    found = sb.validate(sb.open(stored))
    assert found.agrees, found.worst
    assert found.value("kinetic temperature", "1z").exact == pytest.approx(
        found.value("kinetic temperature", "1z").value, rel=0.2
    )
    names = {row.quantity for row in found.rows}
    assert {"power", "first law", "heat along the path", "work along the path", "response ratio", "power, moments",
            "spectrum, band 1", "position within 1 sigma"} - names == set()  # fmt: skip
    work = found.value("power", "0x <- 1x")
    second = scenario().langevin().stationary_covariance()
    assert work.steady == pytest.approx(thermodynamics.power(scenario().oscillators(), second)[0, 3], rel=1e-9)
    pairs = {row.where for row in found.rows if row.quantity == "response ratio"}
    assert "0x <- 1x" in pairs
    assert {name for pair in pairs for name in pair.split(" <- ")} <= set(scenario().oscillators().names)


@pytest.mark.parametrize("name", ["statistics", "record"])
def test_swapped_order_is_caught(name, stored):
    """The twin: oscillators by axes, then particles."""
    dataset = sb.open(stored)
    wrong = dataset
    if name == "record":
        swapped = {
            key: (dataset[key].dims, dataset[key].to_numpy()[..., SWAP // 3, SWAP % 3].reshape(48, 256, 2, 3))
            for key in ("position", "velocity")
        }
        wrong = dataset[["position", "velocity"]].assign(swapped).assign_attrs(dataset.attrs)
        theory = scenario()
    else:
        wrong = dataset.drop_vars(["position", "velocity", "work", "heat", "drive_work"])
        theory = AxesScenario(**settings(SWAP, directions=("x", "y", "z")))
    assert not sb.validate(wrong, theory).agrees


def test_sums_over_a_record_keep_the_order(stored):
    dataset, equations = sb.open(stored), scenario().langevin()
    found = np.tensordot((part := record(dataset, equations)).weight, part.second, 1)
    state = np.concatenate([dataset[name].to_numpy().reshape(48, 256, 6) for name in ("position", "velocity")], axis=-1)
    state = state / equations.unit
    np.testing.assert_allclose(found, np.einsum("bti,btj->ij", state, state) / (48 * 256), rtol=1e-10, atol=1e-12)


def test_uncoupled_axes_are_as_many_runs_along_one():
    """In law: covariances at any time, and heat, of each axis alone; a coupling across axes is not."""
    keep = np.arange(6) % 3
    coupling = np.where(keep[:, None] == keep[None, :], COUPLING, 0.0)
    array = replace(scenario().oscillators(), coupling=coupling)

    def moments(of, time):
        equations = of.langevin()
        found = equations.moments(time, of.initial_moments("thermal"))
        return found.covariance * np.outer(equations.unit, equations.unit)

    def along(axis):
        index = np.arange(axis, 6, 3)
        alone = Oscillators(
            stiffness=STIFFNESS[index], friction=array.friction[index], mass=array.mass[index], axis="xyz"[axis],
            bath_temperature=TEMPERATURE[index], coupling=COUPLING[np.ix_(index, index)], reduced=True,
        )  # fmt: skip
        return alone, np.concatenate([index, 6 + index])

    for time in (0.7, 40.0):
        whole, expected = moments(array, time), np.zeros((12, 12))
        for axis in range(3):
            alone, index = along(axis)
            expected[np.ix_(index, index)] = moments(alone, time)
        np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-12)
        twin = moments(replace(array, coupling=COUPLING), time)
        assert np.abs(twin - expected).max() > 1e-2
    heat = thermodynamics.heat_current(array, array.langevin().stationary_covariance())
    for axis in range(3):
        alone, _ = along(axis)
        expected = thermodynamics.heat_current(alone, alone.langevin().stationary_covariance())
        np.testing.assert_allclose(heat[axis::3], expected, rtol=0, atol=1e-12)


def test_a_rotated_frame_gives_rotated_covariances():
    """Isotropic masses, friction and baths; all springs and couplings are one matrix that rotates."""
    rotation = linalg.expm(np.cross(np.eye(3), [0.3, -0.5, 0.9]))
    turn = np.kron(np.eye(2), rotation)
    force = np.diag(STIFFNESS) - COUPLING

    def covariance(matrix):
        array = replace(
            scenario().oscillators(),
            stiffness=np.diagonal(matrix).copy(),
            coupling=np.diag(np.diagonal(matrix)) - matrix,
        )
        equations = array.langevin()
        found = equations.stationary_covariance() * np.outer(equations.unit, equations.unit)
        return found[:6, :6], found[6:, :6]

    same, rotated = covariance(force), covariance(turn @ force @ turn.T)
    for before, after in zip(same, rotated, strict=True):
        np.testing.assert_allclose(after, turn @ before @ turn.T, rtol=0, atol=1e-11)
        for twin in (turn.T, np.kron(rotation, np.eye(2))):  # turned the other way; ordered by axes
            assert np.abs(after - twin @ before @ twin.T).max() > 1e-2


def test_overdamped_particles_move_along_two_axes():
    array = replace(systems.overdamped_pair(temperature=(1.0, 0.8)), axis=("y", "z"))
    assert array.names == ("0y", "0z")
    found = sb.simulate(array, step=0.5, n_steps=400, n_trajectories=256, initial=array.initial_moments("stationary"))
    assert found["position"].dims == ("trajectory", "time", "particle", "axis")
    sample = found["position"].to_numpy()[:, :, 0]
    covariance = np.einsum("bti,btj->ij", sample, sample) / sample[..., 0].size
    truth, _ = systems.overdamped_truth()
    np.testing.assert_allclose(covariance, truth, rtol=0, atol=0.03)  # five standard errors
    assert np.abs(covariance[::-1, ::-1] - truth).max() > 0.1  # the twin: y for z


# ---------------------------------------------------------------------- the ledger


def test_the_ledger_closes_for_each_oscillator(tmp_path):
    """Energy gained is heat and work, and the drive works on the one oscillator that it acts on."""
    driven = scenario(drive=[{**DRIVE, "axis": "y"}])
    options = {"n_trajectories": 64, "statistics": (), "n_steps": 400, "save_every": 1, "step": 0.05}
    sb.run(plan(driven, **options), tmp_path / "run.zarr", workers="serial")
    run = sb.open(tmp_path / "run.zarr").load()
    assert np.flatnonzero(np.abs(run.drive_work.to_numpy()).max(axis=(0, 1))).tolist() == [4]
    position, velocity = (run[name].to_numpy().reshape(64, 400, 6) for name in ("position", "velocity"))
    energy = 0.5 * STIFFNESS * position**2 + 0.5 * velocity**2
    gained = energy[:, -1] - energy[:, 0]

    def change(name):
        return (run[name][:, -1] - run[name][:, 0]).to_numpy()

    work = change("work")
    np.testing.assert_allclose(gained, change("heat") + work.sum(axis=2) + change("drive_work"), rtol=0, atol=1e-10)
    # By another route: trapezoids along the path. Their error is that of the work inside steps, of order step^(3/2).
    middle, moved = 0.5 * (position[:, 1:] + position[:, :-1]), np.diff(position, axis=1)
    expected = COUPLING * np.einsum("btk,btj->bjk", middle, moved)
    error = np.abs(work - expected).max()
    assert error < 0.02
    assert np.abs(work.swapaxes(1, 2) - expected).max() > 10 * error  # the twin: receiver and sender exchanged
    time = run.time.to_numpy()
    force = 0.5 * np.cos(0.8 * 0.5 * (time[1:] + time[:-1]))
    np.testing.assert_allclose(change("drive_work")[:, 4], (force * moved[:, :, 4]).sum(axis=1), rtol=0, atol=0.02)
    assert sb.validate(run).agrees


# ---------------------------------------------------------------------- words, figures, sweeps


def test_the_command_line_looks_at_it(stored, tmp_path):
    def invoke(*arguments):
        result = typer.testing.CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "pair (oscillators, 2 particles along x, y, z)" in invoke("info", stored)
    rows = json.loads(invoke("validate", stored, "--json"))["rows"]
    assert {row["where"] for row in rows if row["quantity"] == "heat current"} == set(scenario().oscillators().names)
    invoke("plot", stored, "-o", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    assert "all 6 units are what was written" in invoke("verify", stored)


def test_figures_name_oscillators(stored):
    from matplotlib.figure import Figure

    array, table = scenario().oscillators(), sb.validate(sb.open(stored))
    ax = sb.plots.temperatures(Figure().subplots(), table, array.bath_temperature, reduced=True)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(array.names)
    bare = replace(table, rows=tuple(row for row in table.rows if not row.quantity.endswith("temperature")))
    assert not sb.plots.temperatures(Figure().subplots(), bare, array.bath_temperature).get_xticklabels()
    ax = sb.plots.paths(Figure().subplots(), sb.open(stored), reduced=True)
    labels = [line.get_label() for line in ax.get_lines()]
    assert labels == list(array.names)
    line = ax.get_lines()[4]
    expected = sb.open(stored)["position"].sel(particle=1, axis="y").isel(trajectory=0)[-60:]
    np.testing.assert_array_equal(line.get_ydata(), expected)
    omega, value = transfer.spectrum(array, array.langevin(), 50)
    pair = transfer.strongest_response(value)
    peak = np.abs(value).max(axis=0)
    assert peak[~np.eye(6, dtype=bool)].max() in (peak[pair], peak[pair[::-1]])
    ax = sb.plots.susceptibilities(Figure().subplots(), sb.plots.Response(omega, value, array.names, pair), None)
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told[0] == f"{array.names[pair[0]]} ← force on {array.names[pair[1]]}"


def test_a_step_that_is_too_long_is_told_of_an_oscillator():
    with pytest.raises(PlanError, match=r"steady variance of the (position|velocity) [01][xyz] wrong by"):
        bias.require_small(OWN_SOLVERS["heun"], scenario().langevin(), 0.5, 100, 0.01)


def test_protocols_keep_the_axes():
    equations = scenario().langevin()
    protocol = Protocol.constant(equations, kicks=[Kick.momentum(equations, 0.5, 0, 1.0, axis="z")])
    mean = protocol.moments(0.6, scenario().oscillators().initial_moments("thermal")).mean
    assert np.argmax(np.abs(mean)) == 6 + 2


def test_a_sweep_has_the_axes_too(tmp_path):
    base = scenario(run={"step": 0.25, "n_steps": 8, "n_trajectories": 4, "ledger": True})
    sweep = sb.Sweep(base, [{"parameter": "particle[3].stiffness", "values": [1.1, 1.5]}])
    wrong = sb.Sweep(base, [{"name": "oscillator", "parameter": "particle[3].stiffness", "values": [1.1, 1.5]}])
    with pytest.raises(PlanError, match="'oscillator' is named like what a run gives"):
        sb.run(wrong, tmp_path / "wrong.zarr", workers="serial")
    sb.run(sweep, tmp_path / "sweep.zarr", workers="serial")
    dataset = sb.open(tmp_path / "sweep.zarr")
    name = sweep.axes[0].name
    assert dataset["position"].dims == (name, "trajectory", "time", "particle", "axis")
    assert dataset["heat"].dims == (name, "trajectory", "time", "oscillator")
    assert dataset["oscillator"].to_numpy().tolist() == list(base.oscillators().names)
    moved = dataset["position"].isel({name: 1}) - dataset["position"].isel({name: 0})
    assert np.abs(moved.sel(particle=1, axis="x")).max() > 1e-6
