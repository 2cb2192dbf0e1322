"""The command line, on real stores; mistakes have tests of their own."""

import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
from stochbind.cli import app

SCENARIO = str(Path(__file__).parent.parent / "scenarios" / "cold_to_hot_pair.toml")
SMALL = ["--trajectories", "64", "--steps", "400", "--parallel", "serial"]


def invoke(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "deep" / "run.zarr"
    invoke("run", SCENARIO, "-o", path, *SMALL)
    return path


def test_run_says_what_it_does_and_can_be_repeated(store):
    result = invoke("run", SCENARIO, "-o", store, *SMALL)
    assert "complete already" in result.stderr
    assert "64 trajectories of 400 steps" in result.stderr
    assert result.stdout == ""


def test_run_over_a_real_dask_cluster(tmp_path, store):
    """In a process of its own, as a user does; the same numbers as serially."""
    path = tmp_path / "run.zarr"
    command = [sys.executable, "-m", "stochbind.cli", "run", SCENARIO, "-o", path, *SMALL[:4], "--workers", "2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert "complete, fingerprint" in done.stderr
    np.testing.assert_array_equal(sb.open(path)["velocity"], sb.open(store)["velocity"])


def test_dry_run_writes_nothing(tmp_path):
    result = invoke("run", SCENARIO, "-o", tmp_path / "run.zarr", "--dry-run")
    assert "MB" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_options_override_the_run_table(tmp_path):
    path = tmp_path / "run.zarr"
    options = ["--step", "0.25", "--save-every", "2", "--seed", "5", "--initial", "rest", "-q"]
    result = invoke("run", SCENARIO, "-o", path, *SMALL, *options)
    assert result.output == ""
    plan = sb.Store.open(path).plan
    assert (plan.step, plan.save_every, plan.seed, plan.initial) == (0.25, 2, 5, "rest")
    assert (plan.n_trajectories, plan.n_steps) == (64, 400)


def test_step_with_a_unit(tmp_path):
    name = Path(SCENARIO).with_name("unidirectional_pair.toml")
    result = invoke("run", name, "-o", tmp_path / "x", "--step", "1500 ns", "--dry-run")
    assert "steps of 1.5e-06 s" in result.stdout


def test_info_of_a_scenario_and_of_a_store(store):
    text = invoke("info", SCENARIO).stdout
    assert "damping_rate" in text
    assert "stable: the mode at" in text
    report = json.loads(invoke("info", SCENARIO, "--json").stdout)
    assert report["derived"]["coupling"]["value"] == [[0.0, 0.5], [0.2, 0.0]]
    assert report["stability"]["stable"] is True
    of_store = json.loads(invoke("info", store, "--json").stdout)["store"]
    kept = {key: of_store[key] for key in ("record", "ledger", "keep_bits", "statistics")}
    assert kept == {"record": True, "ledger": False, "keep_bits": 52, "statistics": []}
    assert of_store["complete"] is True
    assert of_store["n_steps"] == 400
    in_si = json.loads(invoke("info", "unidirectional_pair", "--json").stdout)["derived"]
    assert in_si["trap_frequency"]["unit"] == "Hz"
    assert in_si["trap_frequency"]["value"][1] == pytest.approx(55.47e3, rel=1e-4, abs=0)


def lattice(tmp_path, rows, columns):
    """Spheres in one plane wave, which stand where traps hold them."""
    text = """
name = "lattice"
kind = "dipoles"
origin = "given"
[light]
wavelength = "1064 nm"
[[wave]]
kind = "plane"
direction = [0.0, 0.0, 1.0]
polarization = [1.0, 0.0, 0.0]
intensity = "1 mW/um^2"
[gas]
pressure = "10 mbar"
temperature = "300 K"
"""
    for place in range(rows * columns):
        text += f"""[[particle]]
radius = "75 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["{2 * (place % columns)} um", "{2 * (place // columns)} um", "0 um"]
stiffness = ["1 uN/m", "1 uN/m", "1 uN/m"]
"""
    path = tmp_path / "lattice.toml"
    path.write_text(text)
    return path


def test_info_of_many_particles_is_short_and_of_two_whole(tmp_path):
    many = invoke("info", lattice(tmp_path, 5, 3)).stdout
    assert many.startswith("lattice (dipoles, 15 particles along x, y, z)\n")
    coupling = next(line for line in many.splitlines() if line.startswith("coupling"))
    path = tmp_path / "lattice.toml"
    value = np.abs(sb.Scenario.from_toml(path).oscillators().coupling)
    assert coupling.split(maxsplit=1)[1].startswith(
        f"45 x 45, magnitudes from {value.min():.6g} N/m to {value.max():.6g} N/m; --json has all  ("
    )
    assert len(many.splitlines()) < 60
    assert np.shape(json.loads(invoke("info", path, "--json").stdout)["derived"]["coupling"]["value"]) == (45, 45)

    two = invoke("info", lattice(tmp_path, 1, 2)).stdout
    assert "--json" not in two
    lines = two.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("coupling"))
    rows = [row.count(",") for row in lines[first : first + 6]]
    assert rows[:5] == [6] * 5  # a row of the matrix in a line
    assert "]] N/m" in lines[first + 5]


def test_info_counts_one_particle_and_tells_the_verdict_before_the_numbers(tmp_path):
    assert invoke("info", "duffing_particle").stdout.startswith("Duffing particle (oscillators, 1 particle)\n")
    text = invoke("info", "rieser_like_pair").stdout
    assert text.index("The array is") < text.index("Note: ") < text.index("wavenumber ")


def test_a_quantity_of_which_nothing_is_known_is_told():
    from stochbind.cli.showing import _shown
    from stochbind.scenario.base import Derived

    assert _shown(Derived(np.full((1, 13), np.nan), "N", ""), 0) == "1 x 13, none of them known; --json has all"
    assert _shown(Derived(np.arange(13.0), "N", ""), 0) == "13 values, magnitudes from 0 N to 12 N; --json has all"
    assert "--json" not in _shown(Derived(np.ones((3, 12)), "N", ""), 0)


def sections_of_derived_quantities():
    """What the documentation says of the derived quantities of each kind."""
    text = (Path(SCENARIO).parent.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
    text = text.partition("## Derived quantities")[2].partition("\n## ")[0]
    kinds = ["dipoles", "tweezers", "oscillators", "array"]
    starts = [text.index(f'Of `kind = "{kind}"`') for kind in kinds]
    return {kind: text[a:b] for kind, a, b in zip(kinds, starts, [*starts[1:], None], strict=True)}


@pytest.mark.parametrize(
    "name",
    [
        *("silicon_pair", "ellipsoid_pair", "unidirectional_pair", "nonlinear_pair", "cold_to_hot_pair", "overdamped"),
        *("square_lattice", "directional_chain"),
    ],
)
def test_every_derived_quantity_is_documented(name):
    if name == "overdamped":
        particle = {"stiffness": 1.0, "friction": 1.0, "bath_temperature": 1.0}
        scenario = sb.OscillatorScenario(name=name, units="reduced", dynamics="overdamped", particle=[particle])
    else:
        scenario = sb.Scenario.from_toml(Path(SCENARIO).with_name(f"{name}.toml"))
    told = sections_of_derived_quantities()[scenario.kind]
    assert [quantity for quantity in scenario.derived() if f"`{quantity}`" not in told] == []
    assert "`no_such_quantity`" not in told


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "stochbind", "scenarios"], capture_output=True, text=True, check=True)
    assert "cold_to_hot_pair: " in done.stdout


def test_info_tells_what_is_kept(tmp_path):
    plan = sb.Plan.from_scenario(
        sb.Scenario.from_toml(SCENARIO),
        n_steps=2048,
        n_trajectories=4,
        record=False,
        statistics=["spectra", "moments"],
        initial="stationary",
    )
    sb.Store.create(tmp_path / "run.zarr", plan)
    lines = invoke("info", tmp_path / "run.zarr").stdout.splitlines()
    assert {"record: False", "keep_bits: none", "ledger: False"} < set(lines)
    assert any(
        line.startswith("statistics: ") and {"moments", "spectra"} <= set(line[12:].split(", ")) for line in lines
    )


@pytest.mark.parametrize("record", [True, False])
def test_when_a_trajectory_diverged_is_told_as_far_as_it_is_known(capsys, record):
    from stochbind.cli import running

    scenario = SimpleNamespace(reduced=True)
    plan = SimpleNamespace(n_trajectories=9, scenario=scenario, record=record, time=np.array([0.5, 1.0, 1.5]))
    running._tell_diverged(SimpleNamespace(diverged={7: 2, 3: 1}, plan=plan))
    told = " ".join(capsys.readouterr().err.split())
    assert "2 of 9 trajectories diverged" in told
    assert ("trajectory 3 by 1;" in told) == record
    assert ("trajectory 3 in the part of the run that ends at 1;" in told) == (not record)


def test_validate_prints_and_decides(store):
    text = invoke("validate", store).stdout
    assert "All agree" in text
    assert "heat current" in text
    report = json.loads(invoke("validate", store, "--json").stdout)
    assert report["agrees"] is True
    assert {"quantity", "where", "value", "stderr", "exact", "z", "unit", "steady"} == set(report["rows"][0])


def test_validate_fails_on_disagreement(store, monkeypatch):
    from stochbind.analysis import validation

    monkeypatch.setattr(validation, "LARGEST_Z", 1e-6)
    result = CliRunner().invoke(app, ["validate", str(store)])
    assert result.exit_code == 3
    assert "DISAGREEMENT" in result.output


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plot(store, tmp_path, suffix):
    invoke("plot", store, "-o", tmp_path / f"figure{suffix}")
    assert (tmp_path / f"figure{suffix}").stat().st_size > 10_000


@pytest.mark.parametrize("window", [64, 1])
def test_a_run_without_a_record_is_drawn_from_its_moments(tmp_path, monkeypatch, window):
    """The response, too, where windows hold pairs of states; only the path cannot be drawn."""
    from stochbind import plots

    drawn = []
    overview = plots.overview
    monkeypatch.setattr(
        plots, "overview", lambda *args, **words: drawn.append((args, overview(*args, **words))) or drawn[-1][1]
    )
    text = (
        Path(SCENARIO)
        .read_text()
        .replace("[run]", f'[run]\nrecord = false\nstatistics = [{{ kind = "moments", window = {window} }}]')
    )
    (tmp_path / "bare.toml").write_text(text)
    invoke("run", tmp_path / "bare.toml", "-o", tmp_path / "bare.zarr", *SMALL)
    invoke("plot", tmp_path / "bare.zarr", "-o", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    (_, _, exact, found), figure = drawn[0]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title[:3] for title in titles] == ["(a)", "(b)", "(c)", "(d)"]
    assert not any("trajectory" in title for title in titles)
    assert (found is None) == (window == 1)
    if found is not None:
        truth = np.array(
            [
                np.interp(found.angular_frequency, exact.angular_frequency, np.abs(exact.value[:, j, k]))
                for j, k in ((0, 1), (1, 0))
            ]
        )
        size = np.abs([found.value[:, 0, 1], found.value[:, 1, 0]]).max(axis=1)
        np.testing.assert_allclose(size, truth.max(axis=1), rtol=0.2)
        assert abs(size[0] / truth[1].max() - 1) > 0.5  # not the other way round


def test_the_table_fits_a_narrow_terminal(store):
    """Nothing is cut off, and no line is longer than 84 columns."""
    lines = invoke("validate", store).stdout.splitlines()
    rows = [line for line in lines if line.strip().startswith(("heat current", "response asymmetry", "non-reciprocal"))]
    assert len(rows) == 4
    assert all(len(line.rstrip()) <= 84 and "…" not in line for line in rows)


def test_the_table_of_a_sweep_is_never_cut(capsys):
    """However many axes it has: all of z and of the pair is there, on one line for each point."""
    from stochbind.analysis.validation import Row, Validation
    from stochbind.cli import sweeping

    base = sb.Scenario.from_toml(SCENARIO)
    names = ("particle[0].bath_temperature", "particle[1].damping_rate", "coupling[0][1]")
    axes = [
        {"parameter": name, "values": [0.123456, 0.234567], "name": f"{name[:8]}_of_axis_{i}"}
        for i, name in enumerate(names)
    ]
    store = SimpleNamespace(sweep=sb.Sweep(base, axes), path="sweep.zarr")
    z = [-104.23 - index for index in range(8)]
    rows = [Row("cross-spectrum, band 2, imaginary", "11 <- 10", "", 1.0, 1.0, 1.0, value, 1.0) for value in z]
    sweeping._print_table(store, [Validation((row,), (), (0.0, 1.0), 3, True) for row in rows])
    lines = capsys.readouterr().out.splitlines()
    assert "…" not in "".join(lines)
    for value in z:
        assert sum(line.split()[-3:] == ["<-", "10", f"{value:.2f}"] for line in lines) == 1
    assert max(map(len, lines)) > 100  # else it would have fitted anyway


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_says_so_and_goes_on(tmp_path, number, code):
    path = tmp_path / "run.zarr"
    command = [sys.executable, "-m", "stochbind.cli", "run", SCENARIO, "-o", str(path), "--steps", "100000"]
    command += ["--trajectories", "64", "--parallel", "processes", "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not path.exists():
        time.sleep(0.05)
    time.sleep(1.5)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    if process.returncode != 0:  # a fast machine may have finished
        assert process.returncode == code
        assert "the same command continues" in message
        assert "Traceback" not in message
    subprocess.run(command, check=True, capture_output=True)
    assert sb.Store.open(path).done.all()


def test_scenarios():
    listing = invoke("scenarios").stdout
    assert {"cold_to_hot_pair", "reciprocal_pair", "unidirectional_pair"} <= {
        x.split(":")[0] for x in listing.splitlines()
    }
    text = invoke("scenarios", "cold_to_hot_pair").stdout
    assert tomllib.loads(text)["kind"] == "oscillators"
    assert json.loads(invoke("scenarios", "--schema").stdout)["title"] == "stochbind scenario"


def test_help_is_light():
    """Help loads nothing heavy, so that it is there at once."""
    code = (
        "import sys\n"
        "from stochbind.cli import app\n"
        "from typer.testing import CliRunner\n"
        "assert 'validate' in CliRunner().invoke(app, ['--help']).output\n"
        "heavy = {'numpy', 'scipy', 'numba', 'dask', 'zarr', 'xarray', 'pint', 'matplotlib', 'distributed'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help_with_an_example():
    for command in ("run", "info", "validate", "plot", "scenarios"):
        assert f"stochbind {command}" in " ".join(invoke(command, "--help").stdout.split())


def test_runs_with_drives_forces_ledgers_and_lost_trajectories_can_be_validated_and_drawn(tmp_path):
    scenarios = Path(SCENARIO).parent
    driven, lost = tmp_path / "driven.zarr", tmp_path / "lost.zarr"
    invoke("run", scenarios / "driven_pair.toml", "-o", driven, "--trajectories", "64", "--parallel", "threads")
    report = json.loads(invoke("validate", driven, "--json").stdout)
    rows = {(row["quantity"], row["where"]): row for row in report["rows"]}
    assert report["agrees"]
    assert rows["kinetic temperature", "1"]["steady"] is None  # the drive never lets it rest
    power = rows["work of the drives", "1"]["value"]
    assert power == pytest.approx(0.1**2 / (2 * 0.1), rel=0.2, abs=0)  # F^2/(2 m gamma) at resonance
    invoke(
        "run", scenarios / "driven_pair.toml", "-o", tmp_path / "bare", "--no-ledger", "--trajectories", "8", *SMALL[2:]
    )
    assert "work" not in sb.open(tmp_path / "bare")

    text = (scenarios / "duffing_particle.toml").read_text().replace("cubic_stiffness = 1.0", "cubic_stiffness = -0.08")
    (tmp_path / "soft.toml").write_text(text)
    result = invoke("run", tmp_path / "soft.toml", "-o", lost, "--trajectories", "64", "--parallel", "serial")
    assert "trajectories diverged" in result.stderr
    n_lost = len(sb.open(lost).attrs["diverged"])
    assert 0 < n_lost < 64
    shown = invoke("validate", lost).stdout
    assert f"{n_lost} of 64 trajectories diverged" in " ".join(shown.split())
    assert "No verdict" in shown
    assert "position temperature" not in shown
    for store in (driven, lost):
        invoke("plot", store, "-o", tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 20_000
