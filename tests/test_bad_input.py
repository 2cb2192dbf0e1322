"""What a clumsy user does to the command line and to stores: one sentence, the right exit code, nothing written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
from stochbind import cli, errors

SCENARIO = """\
name = "pair"
kind = "oscillators"
units = "reduced"
coupling = [
    [0.0, 0.5],
    [0.2, 0.0],
]

[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 1.0

[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 0.8

[run]
step = 0.5
n_steps = 100
n_trajectories = 40
"""
TWEEZERS = """\
name = "tweezers"
kind = "tweezers"

[light]
wavelength = "1064 nm"
waist = "0.8 um"

[gas]
pressure = "10 mbar"
temperature = "300 K"

[[particle]]
radius = "105 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["0 um", "0 um"]
power = "0.3 W"
polarization = "90 deg"

[[particle]]
radius = "105 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["2.261 um", "0 um"]
power = "0.3 W"
polarization = "90 deg"

[run]
step = "2 us"
n_steps = 10
n_trajectories = 40
"""


def snapshot(folder):
    """Every path below a folder, with the contents of the files."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else path.is_symlink()
        for path in sorted(folder.rglob("*"))
    }


class Outcome:
    """What a command said, and with which code it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def sentence(self):
        """The one line that says what is wrong."""
        (line,) = (line for line in self.err.splitlines() if line.startswith("error: "))
        assert self.err.endswith(line + "\n"), self.err
        assert line.endswith((".", "?")), line
        assert "Traceback" not in self.err
        return line.removeprefix("error: ")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with two scenarios that load."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair.toml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "tweezers.toml").write_text(TWEEZERS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def stochbind(monkeypatch, capsys):
    """The command line, called as `stochbind.cli.main` calls it."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["stochbind", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Outcome(ended.value.code, *capsys.readouterr())

    return call


RUN = ("run", "pair.toml", "-o", "run.zarr", "--parallel", "serial")


def refused(stochbind, folder, code, *arguments):
    """Call, and insist on the code, one sentence, no output, and an untouched directory; returns the sentence."""
    before = snapshot(folder)
    outcome = stochbind(*arguments)
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert snapshot(folder) == before
    return outcome.sentence


def test_without_mistakes_the_commands_work(stochbind, folder):
    """The twin of everything below."""
    assert stochbind(*RUN).code == 0
    for command in (("info", "run.zarr"), ("validate", "run.zarr"), ("plot", "run.zarr", "-o", "x.png")):
        assert stochbind(*command).code == 0
    assert stochbind("run", "tweezers.toml", "-o", "other.zarr", "--parallel", "serial").code == 0
    assert set(snapshot(folder)) >= {Path("run.zarr"), Path("x.png"), Path("other.zarr")}


# ---------------------------------------------------------------------- scenarios


@pytest.mark.parametrize(
    ("name", "old", "new", "parts"),
    [
        ("pair", "stiffness =", "stifness =", ["line 11: particle[0].stifness", "did you mean `stiffness`"]),
        ("pair", "mass = 1.0", "mass = -1.0", ["line 10: particle[0].mass", "must be positive", "-1.0"]),
        ("pair", "mass = 1.0", "mass = nan", ["line 10: particle[0].mass", "must be finite", "nan"]),
        ("pair", "[0.2, 0.0],\n", "", ["line 4: coupling", "must be square"]),
        ("pair", "coupling = [\n    [0.0, 0.5],\n    [0.2, 0.0],\n]", "coupling = []", ["line 4: coupling", "square"]),
        (
            "pair",
            'units = "reduced"',
            'units = "reduced"\nmomentum_diffusion = [[1.0, 2.0], [2.0, 1.0]]',
            ["line 4: `momentum_diffusion` must be positive semidefinite", "eigenvalue is -1 (largest 3)"],
        ),
        (
            "pair",
            "n_trajectories = 40",
            "n_trajectories = 0",
            ["line 24: run.n_trajectories: must be at least 1, but is 0"],
        ),
        ("tweezers", '"1064 nm"', '"1064 nW"', ["line 5: light.wavelength: must be a length", "'1064 nW'"]),
        ("tweezers", '"2.261 um"', '"0.2 um"', ["particle[0] and particle[1] overlap", "move them apart"]),
        ("tweezers", '"2.261 um"', '"1.2 um"', ["too close for separate tweezers", "%", "move them"]),
        ("tweezers", '["2.261 um", "0 um"]', "[]", ["line 24: particle[1].position[0]: is missing from the list"]),
    ],
)
def test_scenarios_that_are_wrong(stochbind, folder, name, old, new, parts):
    path = folder / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    before = snapshot(folder)
    for command in (("run", path.name, "-o", "run.zarr", "--parallel", "serial"), ("info", path.name)):
        outcome = stochbind(*command)
        assert outcome.code == 2
        assert outcome.err.startswith(f"error: {path.name}: ")
        assert "Traceback" not in outcome.err
        for part in parts:
            assert part in outcome.err
    assert snapshot(folder) == before


def test_scenarios_that_are_not_there(stochbind, folder):
    (folder / "binary.toml").write_bytes(bytes(range(256)))
    (folder / "huge.toml").write_bytes(b"#" * 2_000_000)
    (folder / "deep.toml").write_text("a = " + "[" * 100_000)
    (folder / "run.zarr").mkdir()
    for path, sentence in {
        "none.toml": "none.toml: there is no such file.",
        "pear.toml": "pear.toml: there is no such file; did you mean pair.toml.",
        "unidirectonal_pair": "unidirectonal_pair: there is no such file and no such scenario; did you mean "
        "unidirectional_pair?",
        ".": ".: is a directory; give a scenario file.",
        "run.zarr": "run.zarr: is a directory; give a scenario file.",
        "binary.toml": "binary.toml: line 2: is not text in UTF-8; save the file as UTF-8.",
        "huge.toml": "huge.toml: is larger than 1000000 bytes, too large for a scenario file.",
        "deep.toml": "deep.toml: is nested more than 20 deep.",
        "x" * 300: f"{'x' * 300}: cannot be read: File name too long.",
    }.items():
        assert refused(stochbind, folder, 2, "run", path, "-o", "out.zarr") == sentence


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--trajectories", "0"], "`n_trajectories` must be at least 1, but is 0."),
        (["--trajectories", "-5"], "`n_trajectories` must be at least 1, but is -5."),
        (["--trajectories", str(10**30)], f"`n_trajectories` must be at most 1099511627775, but is {10**30}."),
        (["--steps", "0"], "`n_steps` must be at least 1, but is 0."),
        (["--save-every", "3"], "`save_every` must divide `n_steps`, but 100 / 3 leaves 1; try n_steps = 99."),
        (["--save-every", "0"], "`save_every` must be at least 1, but is 0."),
        (["--save-every", "101"], "`save_every` must be at most `n_steps` = 100, but is 101."),
        (["--seed", "-1"], "`seed` must be at least 0, but is -1."),
        (["--seed", str(2**63)], f"`seed` must be at most {2**63 - 1}, but is {2**63}."),
        (["--initial", "Rest"], '`initial` must be "thermal", "stationary", "rest" or "ground", but is \'Rest\'.'),
        (["--step", "2 us"], "`--step` must be a bare number in reduced units, but is '2 us'."),
        (["--step", "0,5"], "`--step` must be a bare number in reduced units, but is '0,5'."),
        (["--step", "-1"], "`step` must be positive, but step is -1."),
        (["--step", "0"], "`step` must be positive, but step is 0."),
        (["--step", "nan"], "`step` must be finite, but step is nan."),
        (["--step", "inf"], "`step` must be finite, but step is inf."),
    ],
)
def test_options_that_are_wrong(stochbind, folder, options, sentence):
    assert refused(stochbind, folder, 2, *RUN, *options) == sentence
    assert refused(stochbind, folder, 2, *RUN, *options, "--dry-run") == sentence


def test_steps_in_si_need_a_unit(stochbind, folder):
    run = ("run", "tweezers.toml", "-o", "run.zarr", "--parallel", "serial", "--dry-run", "--step")
    assert stochbind(*run, "3 us").code == 0
    assert refused(stochbind, folder, 2, *run, "3") == "`--step` must have a unit, such as \"2 us\", but is '3'."
    assert refused(stochbind, folder, 2, *run, "3 kHz") == "`--step` must be a time, such as \"2 us\", but is '3 kHz'."


@pytest.mark.parametrize("step", ["1e-15", "1e-17", "1e-30", "1e-320"])
def test_a_step_too_short_to_resolve_is_refused_before_anything_is_written(stochbind, folder, step):
    for dry in ([], ["--dry-run"]):
        sentence = refused(stochbind, folder, 2, *RUN[:3], "new/folder/run.zarr", "--step", step, *dry, "-q")
        assert "so short beside the slowest decay" in sentence
        assert "longer steps are just as exact, so use one of" in sentence


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "pair.toml"], "Missing option"),
        (["run"], "Missing argument"),
        (["rum", "pair.toml"], "Did you mean 'run'?"),
        ([*RUN, "--trajectories", "1e3"], "--trajectories"),
        ([*RUN, "--steps", "ten"], "--steps"),
        ([*RUN, "--parallel", "mpi"], "Workers must be serial, threads,"),
        ([*RUN, "--workers", "0"], "--workers"),
        ([*RUN, "--trajectory", "5"], "--trajectory"),
        ([*RUN[:3], "a\0b"], "zero byte"),
    ],
)
def test_lines_that_cannot_be_parsed(stochbind, folder, arguments, part):
    before = snapshot(folder)
    outcome = stochbind(*arguments)
    assert outcome.code == 2
    assert part in " ".join(outcome.err.replace("│", " ").split())  # the box may break a line
    assert "Traceback" not in outcome.err
    assert snapshot(folder) == before


# ---------------------------------------------------------------------- physics that forbids it


def test_no_steady_state_to_start_from(stochbind, folder):
    text = SCENARIO.replace("[0.0, 0.5]", "[0.0, 50.0]").replace("[0.2, 0.0]", "[20.0, 0.0]")
    (folder / "pair.toml").write_text(text)
    sentence = refused(stochbind, folder, 4, *RUN, "--initial", "stationary")
    assert sentence.startswith('The initial state "stationary" needs a steady state, but the system is unstable: ')
    assert "study the transient from another initial state" in sentence
    assert stochbind(*RUN, "--steps", "4").code == 0


def test_an_unstable_run_that_outgrows_floating_point(stochbind, folder):
    text = SCENARIO.replace("[0.0, 0.5]", "[0.0, 50.0]").replace("[0.2, 0.0]", "[20.0, 0.0]")
    (folder / "pair.toml").write_text(text)
    sentence = refused(stochbind, folder, 2, *RUN, "--steps", "100000")
    assert "outgrows floating point" in sentence
    assert "ask for a shorter time" in sentence


# ---------------------------------------------------------------------- where the output goes


def test_paths_that_are_taken(stochbind, folder):
    (folder / "file").write_text("mine")
    (folder / "mine").mkdir()
    (folder / "mine" / "data.csv").write_text("1,2,3")
    (folder / "empty").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "foreign.zarr").mkdir()
    (folder / "foreign.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    no_store = "is not a stochbind store, or only half copied: it holds no zarr.json; choose another path."
    for path, sentence in {
        "file": "file: is not a stochbind store, but a file; choose another path.",
        "mine": f"mine: {no_store}",
        "empty": f"empty: {no_store}",
        ".": f".: {no_store}",
        "foreign.zarr": "foreign.zarr: is not a stochbind store, but other data; choose another path.",
        "dangling": "dangling: exists already; choose another path, or remove it.",
        "file/run.zarr": "file/run.zarr: cannot be written: Not a directory.",
        "x" * 300: f"{'x' * 300}: cannot be written: File name too long.",
    }.items():
        assert refused(stochbind, folder, 74, *RUN[:3], path, *RUN[4:]) == sentence
    assert stochbind(*RUN[:3], "new/folder/run.zarr", *RUN[4:]).code == 0


def test_a_store_of_another_run_is_left_alone(stochbind, folder):
    assert stochbind(*RUN).code == 0
    assert stochbind(*RUN).code == 0  # the same again is no mistake
    for options, difference in {
        ("--seed", "5"): "seed: 0 -> 5",
        ("--trajectories", "21"): "n_trajectories: 40 -> 21",
        ("--step", "0.25", "--steps", "50"): "n_steps: 100 -> 50; step: 0.5 -> 0.25",
        ("--initial", "rest"): "initial: 'thermal' -> 'rest'",
    }.items():
        sentence = refused(stochbind, folder, 2, *RUN, *options)
        assert sentence == (
            f"run.zarr: holds another run ({difference}); choose another path, or ask for the run it holds."
        )
    text = SCENARIO.replace("bath_temperature = 0.8", "bath_temperature = 0.9").replace('"pair"', '"renamed"')
    (folder / "pair.toml").write_text(text)
    sentence = refused(stochbind, folder, 2, *RUN)
    assert "(scenario.particle[1].bath_temperature: 0.8 -> 0.9)" in sentence
    (folder / "pair.toml").write_text(text.replace("0.9", "0.8"))
    assert stochbind(*RUN).code == 0  # a name changes no number


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(stochbind, folder):
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    sentence = refused(stochbind, folder, 74, *RUN[:3], "locked/run.zarr", *RUN[4:])
    assert sentence == "locked/run.zarr: cannot be written: Permission denied."


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no files")
def test_a_file_system_that_takes_no_files(stochbind, folder):
    assert refused(stochbind, folder, 74, *RUN[:3], "/proc/self/run.zarr", *RUN[4:]).startswith("/proc/self/run.zarr: ")


def test_figures_that_cannot_be_written(stochbind, folder):
    assert stochbind(*RUN).code == 0
    (folder / "taken.png").mkdir()
    assert refused(stochbind, folder, 2, "plot", "run.zarr", "-o", "x.bmp") == (
        "`--output` must end in .png, .pdf or .svg, but is 'x.bmp'."
    )
    assert refused(stochbind, folder, 74, "plot", "run.zarr", "-o", "none/x.png") == (
        "none/x.png: cannot be written: No such file or directory."
    )
    assert refused(stochbind, folder, 74, "plot", "run.zarr", "-o", "taken.png") == (
        "taken.png: cannot be written: Is a directory."
    )


# ---------------------------------------------------------------------- stores that are damaged


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two blocks of trajectories."""
    path = tmp_path_factory.mktemp("finished")
    (path / "pair.toml").write_text(SCENARIO, encoding="utf-8")
    scenario = sb.Scenario.from_toml(path / "pair.toml")
    store = sb.run(sb.Plan.from_scenario(scenario), path / "run.zarr")
    assert store.n_blocks == 2
    return path


@pytest.fixture
def copied(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flip(path, where=0.5):
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def alter(path, *keys, value):
    """Change one entry of a JSON file."""
    data = json.loads(path.read_text())
    *outer, last = keys
    entry = data
    for key in outer:
        entry = entry[key]
    entry[last] = value
    path.write_text(json.dumps(data))


CHUNK = "position/c.0.0.0.0"
OWN = ("attributes", "stochbind")

#: What is seen whenever the store is opened: (what happened, the file, how, what the sentence says).
SEEN_AT_ONCE = {
    "chunk deleted": (CHUNK, Path.unlink, f"{CHUNK} is missing or empty"),
    "chunk empty": (CHUNK, empty, f"{CHUNK} is missing or empty"),
    "chunk a folder": (CHUNK, lambda path: (path.unlink(), path.mkdir()), f"{CHUNK} is missing or empty"),
    "velocity chunk deleted": ("velocity/c.1.0.0.0", Path.unlink, "velocity/c.1.0.0.0 is missing or empty"),
    "checkpoint deleted": ("engine/checkpoint/c.0.1.0", Path.unlink, "engine/checkpoint/c.0.1.0 is missing"),
    "time deleted": ("time/c/0", Path.unlink, "time is not what was written"),
    "coefficient deleted": ("coefficients/matrix/c/0/0/0", Path.unlink, "coefficients/matrix is not what was written"),
    "time flipped": ("time/c/0", flip, "time cannot be read"),
    "coefficient flipped": ("coefficients/matrix/c/0/0/0", flip, "coefficients/matrix cannot be read"),
    "theory flipped": ("theory/drift_matrix/c/0/0", flip, "theory/drift_matrix cannot be read"),
    "ledger torn": ("engine/ledger/c.1.0.0", truncate, "engine/ledger cannot be read"),
    "array deleted": ("position/zarr.json", Path.unlink, "position/zarr.json is missing or empty"),
    "array torn": ("position/zarr.json", truncate, "position/zarr.json was altered"),
    "ledger's json deleted": ("engine/ledger/zarr.json", Path.unlink, "engine/ledger/zarr.json is missing"),
    "coefficient's json empty": ("coefficients/unit/zarr.json", empty, "coefficients/unit/zarr.json is missing"),
    "coefficient's json flipped": ("coefficients/unit/zarr.json", flip, "coefficients/unit/zarr.json was altered"),
    "group deleted": ("engine/zarr.json", Path.unlink, "engine/zarr.json is missing"),
    "folder deleted": (
        "coefficients",
        shutil.rmtree,
        "coefficients/initial_mean/zarr.json is missing or empty, and 6 more like it",
    ),
    "array became a group": (
        "position/zarr.json",
        lambda path: path.write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}'),
        "position/zarr.json was altered",
    ),
    "array grew": (
        "position/zarr.json",
        lambda path: alter(path, "shape", value=[10**9, 100, 2, 1]),
        "position/zarr.json was altered",
    ),
    "dimension renamed": (
        "position/zarr.json",
        lambda path: alter(path, "dimension_names", 1, value="tine"),
        "position/zarr.json was altered",
    ),
    "unknown codec": (
        "position/zarr.json",
        lambda path: alter(path, "codecs", value=[{"name": "evil"}]),
        "position/zarr.json was altered",
    ),
    "root empty": ("zarr.json", empty, "its zarr.json is damaged"),
    "root torn": ("zarr.json", truncate, "its zarr.json is damaged"),
    "root binary": ("zarr.json", lambda path: path.write_bytes(bytes(range(256))), "its zarr.json is damaged"),
    "root nested": ("zarr.json", lambda path: path.write_text("[" * 100_000), "its zarr.json is damaged"),
    "seed altered": ("zarr.json", lambda path: alter(path, *OWN, "plan", "seed", value=9), "zarr.json was altered"),
    "plan altered": ("zarr.json", lambda path: alter(path, *OWN, "plan", "step", value="x"), "zarr.json was altered"),
    "plan lost": ("zarr.json", lambda path: alter(path, *OWN, "plan", value=None), "zarr.json"),
    "blocks altered": (
        "zarr.json",
        lambda path: alter(path, *OWN, "layout", "trajectories_per_block", value=0),
        "zarr.json was altered",
    ),
    "blocks halved": (
        "zarr.json",
        lambda path: alter(path, *OWN, "layout", "trajectories_per_block", value=8),
        "zarr.json was altered",
    ),
}

#: What only reading the data shows.
SEEN_BY_VALIDATE = {
    "byte flipped": (CHUNK, flip, f"{CHUNK} cannot be read (Stored and computed checksum do not match)"),
    "first byte flipped": (CHUNK, lambda path: flip(path, 0), f"{CHUNK} cannot be read"),
    "checksum flipped": (CHUNK, lambda path: flip(path, 1), f"{CHUNK} cannot be read"),
    "chunk torn": ("velocity/c.1.0.0.0", truncate, "velocity/c.1.0.0.0 cannot be read"),
    "checkpoint flipped": ("engine/checkpoint/c.0.0.0", flip, "engine/checkpoint/c.0.0.0 cannot be read"),
}


@pytest.mark.parametrize("damage", SEEN_AT_ONCE)
def test_damage_that_every_command_sees(stochbind, copied, damage):
    name, spoil, part = SEEN_AT_ONCE[damage]
    spoil(copied / "run.zarr" / name)
    for command in (("info", "run.zarr"), ("validate", "run.zarr"), RUN):
        sentence = refused(stochbind, copied, 3, *command)
        assert sentence.startswith("run.zarr: ")
        assert part in sentence
    with pytest.raises(errors.StoreDamagedError):
        sb.open("run.zarr")


@pytest.mark.parametrize("damage", SEEN_BY_VALIDATE)
def test_damage_that_validate_sees(stochbind, copied, damage):
    name, spoil, part = SEEN_BY_VALIDATE[damage]
    spoil(copied / "run.zarr" / name)
    assert part in refused(stochbind, copied, 3, "validate", "run.zarr")
    assert part in refused(stochbind, copied, 3, "plot", "run.zarr", "-o", "x.png")


def test_data_of_another_block_are_noticed(stochbind, copied):
    """The checksum of such a chunk is right; the digest in the ledger is not."""
    store = copied / "run.zarr"
    array = sb.Store.open(store).array("position")
    array[20:28] = np.asarray(array[0:8])
    for command in (("validate", "run.zarr"), ("plot", "run.zarr", "-o", "x.png"), RUN):
        assert refused(stochbind, copied, 3, *command) == (
            "run.zarr: position/c.1.0.0.0 is not what was written (trajectories 20 to 39 in segment 0): the store is "
            "damaged; `stochbind repair run.zarr` makes it anew."
        )


def test_the_remedy_that_the_message_names_works(stochbind, copied):
    before = snapshot(copied / "run.zarr")
    flip(copied / "run.zarr" / CHUNK)
    assert "stochbind repair run.zarr" in refused(stochbind, copied, 3, *RUN)
    assert stochbind("repair", "run.zarr").code == 0
    assert stochbind("validate", "run.zarr").code == 0
    assert snapshot(copied / "run.zarr") == before


def test_flipping_any_byte_is_noticed(copied):
    """Every file of the store: open and verify between them find the flip, or it changes no number."""
    store = copied / "run.zarr"
    expected = {name: array.to_numpy() for name, array in sb.open(store).load().items()}
    harmless, random = [], np.random.default_rng(1)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes()
        flip(path, random.random())
        try:
            sb.Store.open(store).verify()
            dataset = sb.open(store).load()
        except errors.StoreError:
            pass
        else:
            harmless.append(path)
            for name, array in expected.items():
                np.testing.assert_array_equal(dataset[name], array)
        path.write_bytes(content)
    assert all(path.name == "zarr.json" for path in harmless)  # words: units, long names, versions
    assert len(harmless) < len(files) / 4
    sb.Store.open(store).verify()


# ---------------------------------------------------------------------- stores that are not finished, or not there


def test_stores_that_are_not_there(stochbind, folder):
    (folder / "file").write_text("mine")
    (folder / "empty").mkdir()
    for command in ("validate", "plot"):
        options = ["-o", "x.png"] if command == "plot" else []
        for path, part in {
            "none.zarr": "none.zarr: there is no such store.",
            "file": "file: is not a stochbind store, but a file",
            "pair.toml": "pair.toml: is not a stochbind store, but a file",
            "empty": "empty: is not a stochbind store, or only half copied",
            "x" * 300: "File name too long",
        }.items():
            if (command, path) != ("plot", "pair.toml"):
                assert part in refused(stochbind, folder, 74, command, path, *options)
    assert "is not a stochbind store" in refused(stochbind, folder, 74, "info", "empty")


def test_a_copy_without_its_root_is_no_store(stochbind, copied):
    (copied / "run.zarr" / "zarr.json").unlink()
    for command in (("info", "run.zarr"), ("validate", "run.zarr"), RUN):
        assert "only half copied: it holds no zarr.json" in refused(stochbind, copied, 74, *command)


def test_stores_of_another_version(stochbind, copied):
    for schema, shown in ((99, "99"), ("1", "'1'"), (None, "None")):
        alter(copied / "run.zarr" / "zarr.json", *OWN, "schema", value=schema)
        sentence = refused(stochbind, copied, 74, "info", "run.zarr")
        assert sentence.startswith(f"run.zarr: has schema {shown}, this version of stochbind reads 2")


def test_a_run_that_is_not_finished(stochbind, copied):
    """Told with exit code 75; the same run again finishes it, and then all is well."""
    before = sb.open("run.zarr")["position"].to_numpy()
    (copied / "run.zarr" / "engine/ledger/c.1.0.0").unlink()
    for command in (("validate", "run.zarr"), ("plot", "run.zarr", "-o", "x.png")):
        assert refused(stochbind, copied, 75, *command) == (
            "run.zarr: the run is not finished, 1 of 2 units are done; start the same run again to continue it."
        )
    assert stochbind("info", "run.zarr").code == 0
    with pytest.warns(UserWarning, match="1 of 2 units are done"):
        sb.open("run.zarr")
    assert stochbind(*RUN).code == 0
    np.testing.assert_array_equal(sb.open("run.zarr")["position"], before)


def test_a_store_that_another_run_is_writing_to(stochbind, copied):
    (copied / "run.zarr" / "engine/ledger/c.1.0.0").unlink()
    with sb.Store.open("run.zarr").lock():
        sentence = refused(stochbind, copied, 75, *RUN)
        assert sentence.startswith(f"run.zarr: another run (process {os.getpid()} on ")
        assert sentence.endswith(") is writing to it; wait for it to end.")
    assert stochbind(*RUN).code == 0


# ---------------------------------------------------------------------- as a user sees it


def in_a_shell(*arguments, cwd, **options):
    command = [sys.executable, "-W", "error", "-m", "stochbind.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60, **options)


def test_real_processes_end_with_a_sentence_and_a_code(folder, finished):
    before = snapshot(folder)
    done = in_a_shell("run", "pair.toml", "-o", "run.zarr", "--steps", "0", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: `n_steps` must be at least 1, but is 0.\n")
    done = in_a_shell("info", "tweezer.toml", cwd=folder)
    message = "error: tweezer.toml: there is no such file; did you mean tweezers.toml.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert snapshot(folder) == before
    shutil.copytree(finished / "run.zarr", folder / "run.zarr")
    flip(folder / "run.zarr" / CHUNK)
    done = in_a_shell("validate", "run.zarr", cwd=folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: run.zarr: {CHUNK} cannot be read (")
    assert done.stderr.count("\n") == 1
