"""Studies: what they find, their files, interruptions, and what they refuse."""

import csv
import html.parser
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
import systems
from stochbind import studies
from stochbind.analysis import refrigerators
from stochbind.analysis.findings.analyses import analyse
from stochbind.analysis.refrigerator_pairs import Pair
from stochbind.analysis.statistics import Estimate
from stochbind.cli import app
from stochbind.engine.sweep_store import SweepStore
from stochbind.errors import PlanError, ScenarioError, StoreError, StoreMismatchError, TooFewSamplesError, UnstableError
from stochbind.plots import studies as plots
from stochbind.studies import base, cooling, folders
from stochbind.studies.cooling import sign_change
from stochbind.studies.driving import one_way_of, relative_change, weighted
from stochbind.studies.notes import Notes, runs

SMALL = ["--points", "5", "--trajectories", "64", "--steps", "4096", "--parallel", "serial", "--quiet"]
SCENARIOS = Path(__file__).parent.parent / "scenarios"
FILES = ("table.csv", "figure.png", "report.html")


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, ["study", *map(str, arguments)], catch_exceptions=code != 0)
    if code == 0:
        assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def cooled(tmp_path_factory):
    """A small refrigerator study, made by its command, and what the command said."""
    path = tmp_path_factory.mktemp("study") / "deep" / "refrigerator"
    return path, invoke("refrigerator", "-o", path, *SMALL, "--figure", "svg").stdout


def overdamped(c_a, c_b, *, temperature=(1.0, 0.8), **more):
    """The Loos-Klapp pair as a scenario."""
    particle = [{"stiffness": 1.0, "friction": 1.0, "bath_temperature": t} for t in temperature]
    given = {"dynamics": "overdamped", "coupling": [[0.0, c_a], [c_b, 0.0]], "particle": particle}
    return sb.OscillatorScenario(**{"name": "pair", "units": "reduced", "run": {"step": 0.25}, **given, **more})


def design():
    """The small study once more."""
    scenario = sb.Scenario.from_toml(SCENARIOS / "loos_klapp_pair.toml")
    return studies.RefrigeratorDesign(scenario, n_points=5, n_trajectories=64, n_steps=4096)


@pytest.fixture(scope="module")
def study(cooled):
    return base.finished(design(), cooled[0])


# ---------------------------------------------------------------------- what they find


def test_cooling_ends_at_the_ratio_of_the_temperatures(cooled, study):
    _, said = cooled
    assert study.agrees
    assert abs(study.zero.relative_error) < 0.03
    assert abs(study.zero.found.z(0.8)) < 5
    assert abs(study.zero.bias) < 1e-12  # the form of the fit is exact for this pair
    assert 0 < study.zero.found.stderr < 0.01
    assert said.splitlines() == list(study.sentences())
    assert "changes its sign at c_cold/c_hot = 0.8" in said or "changes its sign at c_cold/c_hot = 0.79" in said
    heat = study.column("bath heat", "cold")
    exact = Pair.of(study.array).heat(0.8, 0.8 * study.ratio, 1.0, 0.8)[:, 1]
    np.testing.assert_allclose(heat.exact, exact, rtol=1e-9)
    assert np.abs((heat.value - exact) / heat.stderr).max() < 5
    moments = study.column("heat from the bath", "1")
    np.testing.assert_allclose(moments.exact, exact, rtol=1e-9)
    assert np.all(moments.stderr > 1.5 * heat.stderr)  # why heat is taken from the ledger
    works = study.column("light work")
    np.testing.assert_allclose(heat.value + study.column("bath heat", "hot").value + works.value, 0, atol=1e-14)
    performance = study.column("performance")
    np.testing.assert_allclose(performance.exact, (study.ratio / (1 - study.ratio))[: len(performance.exact)])
    assert study.best.ratio == pytest.approx(0.4, rel=1e-6, abs=0)


@pytest.mark.parametrize("wrong", ["sign", "other bath"])
def test_wrong_heat_is_seen(cooled, monkeypatch, wrong):
    """The twins of the above."""
    right, store = cooling.bath_heat, SweepStore.open(cooled[0] / folders.SWEEP)

    def spoilt(dataset, weights):
        if wrong == "other bath":
            return right(dataset, weights[..., ::-1])
        found = right(dataset, weights)
        return Estimate(-found.value, found.stderr, found.n_eff)

    monkeypatch.setattr(cooling, "bath_heat", spoilt)
    monkeypatch.setattr(cooling, "analysed", lambda *_: ())
    study = design().evaluate(store, cooled[0])
    assert not study.agrees
    assert "DISAGREEMENT" in list(study.sentences())[-1]


@pytest.mark.parametrize(("make", "bent"), [(systems.overdamped_pair, False), (systems.underdamped_pair, True)])
def test_a_zero_and_its_error_bar(make, bent):
    """Of made-up currents with known errors: without bias, of the scatter that is told."""
    pair, rng = Pair.of(make(c=(0.6, 0.1))), np.random.default_rng(1)
    ratio = 0.8 * np.linspace(0.15, 1.35, 9)
    heat = pair.heat(0.6, 0.6 * ratio, 1.0, 0.8)[:, 1]
    stderr = 0.01 * heat.max() * rng.uniform(0.5, 1.5, 9)
    ideal, chi_square = sign_change(ratio, Estimate(heat, stderr, 256.0), bent=bent)
    assert ideal.value == pytest.approx(0.8, rel=1e-8, abs=0)
    assert chi_square < 1e-12
    made_up = [Estimate(heat + stderr * rng.normal(size=9), stderr, 256.0) for _ in range(200)]
    found = [sign_change(ratio, each, bent=bent) for each in made_up]
    z = np.array([(zero.value - 0.8) / zero.stderr for zero, _ in found])
    assert abs(z.mean()) < 5 / np.sqrt(200)
    assert z.std() == pytest.approx(1.0, abs=0.2)
    assert np.mean([chi for _, chi in found]) == pytest.approx(7 - bent, rel=0.2)
    tiny = sign_change(ratio, Estimate(1e-19 * made_up[0].value, 1e-19 * stderr, 256.0), bent=bent)[0]  # watts
    assert float(tiny.value) == pytest.approx(float(found[0][0].value), rel=1e-6, abs=0)
    assert float(tiny.stderr) == pytest.approx(float(found[0][0].stderr), rel=1e-4, abs=0)
    swapped = pair.heat(0.6, 0.6 * ratio, 0.8, 0.8)[:, 1]  # the twin: other temperatures, another zero
    other, _ = sign_change(ratio, Estimate(swapped, stderr, 256.0), bent=bent)
    assert abs(other.value - 0.8) > 10 * other.stderr
    with pytest.raises(TooFewSamplesError, match="cannot be told from these points"):
        sign_change(ratio, Estimate(heat, 1000 * stderr, 256.0), bent=bent)
    with pytest.raises(TooFewSamplesError, match="cannot be told"):
        sign_change(ratio[:3], Estimate(heat[:3], 10 * stderr[:3], 256.0), bent=False)


def test_a_driven_particle_heats_its_bath_whatever_that_is(tmp_path):
    pair = systems.pair_scenario(0.5, 0.2).model_copy(update={"run": {"step": 0.5}})
    study = studies.one_way(pair, tmp_path / "one", n_points=3, n_trajectories=128, n_steps=8192, workers="serial")
    assert study.agrees
    exact = study.column("heat into the bath", "0").exact
    np.testing.assert_allclose(
        exact, -systems.underdamped_heat(mass=(1, 1), u=(1, 1), friction=(0.3, 0.3), c=(0.5, 0))[0]
    )
    assert abs(study.heat.z(exact[0])) < 5
    assert abs(study.change.z(0.0)) < 5
    assert study.largest < 0.05
    assert abs(study.driver_heat.z(0.0)) < 5
    assert study.driver_heat.stderr < 1e-4 * exact[0]
    moments = study.column("heat from the bath", "1")  # of second moments, which know nothing of the work
    np.testing.assert_array_less(np.abs(moments.value), 5 * moments.stderr)
    flow = study.column("information flow", "into 0")
    assert np.all(flow.value > 10 * flow.stderr)
    assert np.all(np.abs(flow.z) < 5)
    least = flow.value.argmin()
    (told,) = (sentence for sentence in study.findings() if "nats" in sentence)
    assert f"{flow.value[least]:.4g} +- {flow.stderr[least]:.2g} to {flow.value.max():.4g} +- " in told
    assert (tmp_path / "one" / "report.html").exists()
    temperature = study.temperature
    heat = study.column("heat into the bath", "0")
    tilted = Estimate(heat.value * temperature, heat.stderr, 128.0)  # the twin: heat that depends on the bath
    assert abs(relative_change(temperature, tilted).z(0.0)) > 5


def test_weighted_lines():
    """Against NumPy's fit, whose weights are one over the error bars."""
    rng = np.random.default_rng(2)
    x, stderr = np.linspace(1, 10, 8), rng.uniform(0.5, 2, 8)
    value = 3 + 0.2 * x + stderr * rng.normal(size=8)
    (slope, _), covariance = np.polyfit(x, value, 1, w=1 / stderr, cov="unscaled")
    mean = np.average(value, weights=stderr**-2)
    given = Estimate(value, stderr, 64.0)
    assert weighted(given).value == pytest.approx(mean)
    found = relative_change(x, given)
    assert (found.value, found.stderr) == pytest.approx((9 * slope / mean, 9 * covariance[0, 0] ** 0.5 / mean))


def test_many_pairs_are_studied_together():
    """Copies share two baths: the design sweeps the coupling of all, and cools as many times as much."""
    scenario = systems.pair_scenario(0.5, 0.2)
    one = studies.RefrigeratorDesign(scenario, step=0.5)
    many = studies.RefrigeratorDesign(sb.OscillatorScenario(**{**scenario.to_dict(), "copies": 3}), step=0.5)
    np.testing.assert_array_equal(one.ratio, many.ratio)
    for index in (0, 4):
        flows = [refrigerators.balance(each.sweep.point(index).oscillators()) for each in (one, many)]
        assert flows[1].cooling_power == pytest.approx(3 * flows[0].cooling_power, rel=1e-9, abs=0)
        coupling = one.sweep.point(index).oscillators().coupling
        assert coupling[1, 0] / coupling[0, 1] == pytest.approx(one.ratio[index], rel=1e-12, abs=0)


def test_a_sweep_of_ones_own(tmp_path):
    """All that validation tells, at every point; an axis of text."""
    scenario = systems.pair_scenario(0.5, 0.2).model_copy(update={"run": {"step": 0.1, "n_steps": 200, "seed": 3}})
    solver = {"parameter": "run.solver", "values": ["exact", "strang"]}
    cold = {"parameter": "particle[1].bath_temperature", "values": [0.5, 2.0], "name": "cold"}
    given = sb.Sweep(scenario, [solver, cold])
    study = studies.sweep(given, tmp_path / "sweep", n_trajectories=7, workers="serial", formats=["pdf"])
    point = SweepStore.open(tmp_path / "sweep" / "sweep.zarr").point(3)
    result = analyse(sb.open(point.path), coefficients=point.coefficients)
    mine = [line for line in study.table if line.point == 3]
    assert [(line.quantity, line.where, line.value, line.z) for line in mine] == [
        (one.quantity, one.where, one.value, one.z) for one in result.findings
    ]
    assert {"kinetic temperature", "energy", "first law"} < {line.quantity for line in mine}
    assert mine[0].parameters == {"solver": "strang", "cold": 2.0}
    first = (tmp_path / "sweep" / "figure.pdf").read_bytes()
    study.write(["pdf"])
    assert (tmp_path / "sweep" / "figure.pdf").read_bytes() == first
    assert "kinetic temperature goes from" in next(study.sentences())
    with pytest.raises(KeyError, match="no line 'colour'"):
        study.column("colour")


# ---------------------------------------------------------------------- files


def test_the_table_is_in_its_file(cooled, study):
    path, _ = cooled
    with (path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(study.table)
    for row, line in zip(rows, study.table, strict=True):
        assert (int(row["point"]), row["quantity"], row["where"]) == (line.point, line.quantity, line.where)
        assert (float(row["value"]), float(row["stderr"])) == (line.value, line.stderr)
        assert float(row["n_eff"]) == line.n_eff
        assert float(row["ratio"]) == line.parameters["ratio"]
    assert list(rows[0])[:3] == ["point", "coupling_onto_cold", "ratio"]


def test_notes_are_merged_where_only_numbers_differ():
    notes = Notes(["0", "1"], 5)
    for point, share in enumerate((21, 19, 0.5, 1e-05)):
        notes.add(point, [f"Of the work 0 <- 1 {share} % is unseen.", f"Of the work 1 <- 0 {share} % is unseen."])
    notes.add(4, ["Not cooled.", "Of the work 0 <- 1 1 % is unseen.", "Takes 5e+06 steps."])
    assert list(notes.told()) == [
        "Of the work 0 <- 1 1e-05 to 21 % is unseen.",  # of all points
        "Points 0 to 3: Of the work 1 <- 0 1e-05 to 21 % is unseen.",  # the twin: particles are told apart
        "Point 4: Not cooled.",
        "Point 4: Takes 5e+06 steps.",
    ]
    assert runs([0, 1, 3, 4, 5, 9]) == "0, 1, 3 to 5, 9"


def test_long_steps_are_noted(tmp_path):
    """The slowest mode of the pair decays at 1 - sqrt(0.5 * 0.2); the couplings of the points differ."""
    loud = ["--step", "20", "--points", "5", "--dry-run"]
    assert "Note: A step lasts" in invoke("refrigerator", "-o", tmp_path / "x", *loud).stdout
    assert "Note:" not in invoke("refrigerator", "-o", tmp_path / "x", "--step", "2", *loud[2:]).stdout
    seeds = [{"parameter": "run.seed", "values": [1, 2]}]
    rate = 1 - np.sqrt(0.5 * 0.2)
    for ledger in (True, False):
        run = {"step": 20, "n_steps": 64, "n_trajectories": 2, "ledger": ledger}
        given = sb.Sweep(overdamped(0.5, 0.2, run=run), seeds)
        found = studies.SweepDesign(given).check()
        if not ledger:
            assert found is None  # the twin: no ledger, nothing left out
            continue
        assert f"lasts {20 * rate:.3g} decay times" in found
        assert studies.SweepDesign(given, step=2.9 / rate).check() is None


def test_scenarios_that_are_not_there(tmp_path):
    for name, sentence in (
        ("nosuch", "nosuch: there is no such file and no such shipped scenario; `stochbind scenarios` lists"),
        ("loos_klap_pair", "no such shipped scenario; did you mean loos_klapp_pair?"),
    ):
        result = invoke("refrigerator", name, "-o", tmp_path / "x", code=2)
        assert isinstance(result.exception, ScenarioError)
        assert sentence in str(result.exception)


def test_the_least_that_commands_take_is_what_studies_take(tmp_path):
    fewest = {"refrigerator": ("5", "256"), "one-way": ("3", "256")}
    for command, (n_points, n_steps) in fewest.items():
        least = ["-o", tmp_path / "x", "--points", n_points, "--steps", n_steps, "--dry-run"]
        assert f"{n_points} points" in invoke(command, *least).stdout
        for option, value in (("--points", int(n_points) - 1), ("--steps", int(n_steps) - 1)):
            assert invoke(command, *least, option, value, code=2).exit_code == 2


class Page(html.parser.HTMLParser):
    """What a page refers to, and its text; every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self.open, self.told = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        self.told += [value for name, value in attrs if name == "alt"]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_needs_nothing_beside_it(cooled):
    path, said = cooled
    page = Page((path / "report.html").read_text())
    (picture,) = page.sources
    assert picture.startswith("data:image/png;base64,iVBOR")
    text = "".join(page.words)
    for sentence in said.splitlines():
        assert sentence in text
    assert "performance" in text
    assert "http" not in text.replace("https://", "http")
    assert (path / "figure.svg").read_text().lstrip().startswith("<?xml")


def test_the_report_tells_what_the_figure_shows(cooled, study):
    page = Page((cooled[0] / "report.html").read_text())
    text, figure = "".join(page.words), study.figure()
    assert study.caption(figure) in text
    assert [f"({name}) " in study.caption(figure) for name in "abcde"] == [True] * 4 + [False]
    (alt,) = page.told
    for ax in figure.axes[:4]:
        assert ax.get_title(loc="left") in alt
        assert f"{ax.get_ylabel()} over {ax.get_xlabel()}" in alt
        assert ax.get_legend() is not None
    named = {words.get_text() for ax in figure.axes[:4] for words in ax.get_legend().get_texts()}
    assert {
        "temperature, cold / hot",
        "end of cooling, fit",
        "simulated",
        "no cooling below",
        "normal distribution",
    } <= (named)
    assert "000000000" not in text
    assert "= []" not in text
    written = text[text.index('name = "Loos') : text.index("stochbind 0.")]
    (cooled[0].parent / "again.toml").write_text(written)
    assert sb.Scenario.from_toml(cooled[0].parent / "again.toml") == study.sweep.base


@pytest.mark.parametrize(("stderr", "hidden"), [(0.001, True), (0.2, False)])
def test_error_bars_that_points_hide(stderr, hidden):
    """A panel is some 200 points high, and a point of the figure 4: bars of a few hundredths of the height are seen."""
    figure, axes = plots.panels((1, 1), "x")
    value = np.array([0.0, 1.0])
    curve = plots.Curve("", value, value, np.array([0.0, stderr]), value, value)
    plots.curves(axes[0], [curve], xlabel="x", ylabel="y")
    assert plots.hides_error_bars(figure) is hidden


@pytest.mark.parametrize(("heating", "extend"), [(-0.5, "neither"), (-3.0, "min")])
def test_colours_that_are_cut_are_marked(heating, extend):
    """On maps that do not have all the levels of performance, too."""
    ratio = np.array([0.2, 0.6, 1.0])
    power = np.linspace(heating, 1.0, 9).reshape(3, 3)
    figure, axes = plots.panels((1, 1), "x")
    chart = plots.Chart(ratio, ratio, power, np.abs(power), ratio, power[0], 0.5, 0.3)
    plots.cooling_chart(axes[0], chart)
    assert figure.axes[1]._colorbar.extend == extend


def test_text_of_a_scenario_is_no_markup(tmp_path):
    scenario = systems.pair_scenario(0.5, 0.2).model_copy(
        update={"name": "<b>pair</b> & $x$", "description": "<script>", "run": {"step": 0.5, "n_steps": 64}}
    )
    given = sb.Sweep(scenario, [{"parameter": "particle[0].stiffness", "values": [1.0, 2.0]}])
    studies.sweep(given, tmp_path / "x", n_trajectories=4, workers="serial")
    text = (tmp_path / "x" / "report.html").read_text()
    assert "<script>" not in text
    assert "Sweep: <b>pair</b> & $x$" in "".join(Page(text).words)


# ---------------------------------------------------------------------- interruptions


def test_killed_and_continued_it_ends_with_the_same_bytes(cooled, tmp_path):
    whole, _ = cooled
    path = tmp_path / "killed"
    line = ["study", "refrigerator", "-o", path, *SMALL[:-1]]
    with subprocess.Popen(
        [sys.executable, "-m", "stochbind.cli", *map(str, line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not (path / "sweep.zarr/points/1").exists():
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (path / "table.csv").exists()
    invoke("refrigerator", "-o", path, *SMALL)
    for name in FILES:
        assert (path / name).read_bytes() == (whole / name).read_bytes(), name


def test_interrupted_while_it_writes_its_files(cooled, study, tmp_path, monkeypatch):
    """Each file is the old or the new one; what a killed writer left is removed, and the rest is made."""
    path = tmp_path / "study"
    path.mkdir()
    (path / "table.csv").write_text("old")
    left = path / "table.csv.0123.partial"
    left.write_text("half")
    (path / "notes.txt").write_text("mine")

    class PowerCut(BaseException):
        pass

    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(PowerCut):
            folders.write(path, "table.csv", "new")
    assert (path / "table.csv").read_text() == "old"
    replace(study, directory=path).write()
    assert not list(path.glob("*.partial"))
    assert (path / "notes.txt").read_text() == "mine"
    for name in FILES:
        assert (path / name).read_bytes() == (cooled[0] / name).read_bytes(), name


def test_a_dry_run_writes_nothing(tmp_path):
    said = invoke("one-way", "-o", tmp_path / "x", "--dry-run").stdout
    assert "7 points (driven_bath_temperature 7)" in said
    assert "Forecast" in said
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what is refused


def test_other_folders_are_left_alone(cooled, tmp_path):
    path, _ = cooled
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    (tmp_path / "file").write_text("words")
    (tmp_path / "empty").mkdir()
    for name, error, sentence in (
        ("thesis", StoreError, r"holds something else \(chapter.tex\), and no study; choose a new folder"),
        ("file", StoreError, "is a file; give a folder"),
        ("study.zarr", PlanError, "must be the folder of a study, .* leave out '.zarr'"),
        ("report.html", PlanError, "must be the folder of a study"),
    ):
        with pytest.raises(error, match=sentence):
            studies.refrigerator(overdamped(0.8, 0.3), tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "words"
    with pytest.raises(PlanError, match="a study is written into a folder of this machine"):
        folders.checked("s3://bucket/study")
    assert folders.checked(tmp_path / "empty") == tmp_path / "empty"
    with pytest.raises(StoreMismatchError, match=r"holds another sweep \(.*choose another path"):
        studies.refrigerator(overdamped(0.7, 0.3), path, n_points=5, n_trajectories=64, n_steps=4096)
    sb.run(sb.Plan.from_scenario(overdamped(0.8, 0.3), n_trajectories=2, n_steps=2), tmp_path / "one" / "sweep.zarr")
    with pytest.raises(StoreError, match="holds one run, and not the sweep of a study"):
        folders.checked(tmp_path / "one")


def test_formats_of_figures_are_known(tmp_path):
    result = invoke("refrigerator", "-o", tmp_path / "x", "--figure", "jpg", code=2)
    assert isinstance(result.exception, PlanError)
    assert str(result.exception) == "A figure is written as png, pdf or svg, but not as 'jpg'."
    assert list(tmp_path.iterdir()) == []


THREE = [{"stiffness": 1.0, "friction": 1.0, "bath_temperature": t} for t in (1.0, 0.8, 0.6)]
NAMED = {
    "bath": [{"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 0.8}],
    "particle": [{"stiffness": 1.0, "friction": 1.0, "bath": name} for name in ("hot", "cold")],
}


@pytest.mark.parametrize(
    ("scenario", "error", "sentence"),
    [
        (lambda: overdamped(0.8, 0.3, temperature=(1.0, 1.0)), ScenarioError, "All oscillators are in one bath"),
        (lambda: overdamped(1.2, 0.3), UnstableError, r"point 5 \(coupling.* needs a steady state"),
        (lambda: overdamped(0.0, 0.3), ScenarioError, "as nothing couples the hotter one to it"),
        (lambda: overdamped(0.8, 0.3, coupling=[[0, 1, 1], [0.1, 0, 0], [0.1, 0, 0]], particle=THREE), PlanError,
         "pair: has 3 bath temperatures, but this study is of two"),
        (lambda: systems.pair_scenario(0.5, 0.2, cubic_stiffness=0.1), PlanError, "forces that are not linear"),
        (lambda: overdamped(0.8, 0.3, momentum_diffusion=[[0.1, 0.0], [0.0, 0.1]]),
         PlanError, "has momentum diffusion, which heats whatever the couplings are"),
        (lambda: sb.Scenario.from_toml(SCENARIOS / "unidirectional_pair.toml"),
         PlanError, 'whose couplings follow from the light; give one of kind = "oscillators"'),
        (lambda: sb.Scenario.from_toml(SCENARIOS / "n_pair_refrigerator.toml"),
         PlanError, "has baths of a finite heat capacity, which have no steady currents"),
        (lambda: sb.Sweep(overdamped(0.8, 0.3), [{"parameter": "run.seed", "values": [1, 2]}]), PlanError,
         "pair: is a sweep already"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_refrigerator(tmp_path, scenario, error, sentence):
    with pytest.raises(error, match=sentence):
        studies.refrigerator(scenario(), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_one_way(tmp_path):
    def refused(scenario, sentence, **more):
        with pytest.raises(PlanError, match=sentence):
            studies.one_way(scenario, tmp_path / "x", **more)

    refused(overdamped(0.3, -0.3), "couples both particles to each other equally")
    refused(overdamped(0.3, 0.1, particle=THREE, coupling=np.zeros((3, 3)).tolist()), "has 3 particles")
    refused(overdamped(0.3, 0.1, **NAMED), "names its baths")
    refused(overdamped(0.3, 0.1, temperature=(1.0, 0.0)), "particle 1 drives, and needs a bath above zero")
    refused(overdamped(0.3, 0.1), "`points` must be at least 3", n_points=2)
    refused(overdamped(0.3, 0.1), "`n_steps` must be at least 256", n_steps=10)
    refused(overdamped(0.3, 0.1), "`n_trajectories` must be at least 2", n_trajectories=0)
    assert list(tmp_path.iterdir()) == []
    found, driven = one_way_of(overdamped(0.1, -0.3))
    assert (found.coupling, driven) == (((0.0, 0.0), (-0.3, 0.0)), 1)


def test_what_is_no_sweep_to_study(tmp_path):
    with pytest.raises(PlanError, match=r"pair: has no \[sweep\] table"):
        studies.sweep(overdamped(0.8, 0.3), tmp_path / "x")
    kept = {"step": 0.5, "n_steps": 64, "n_trajectories": 4, "record": False}
    for run, sentence in (
        ({"statistics": ["histogram_position"], "initial": "stationary"}, "keeps neither trajectories nor moments"),
        ({"statistics": ["moments"]}, None),
    ):
        scenario = overdamped(0.8, 0.3, run={**kept, **run})
        given = sb.Sweep(scenario, [{"parameter": "particle[0].stiffness", "values": [1.0, 2.0]}])
        if sentence is None:
            studies.SweepDesign(given).check()
            continue
        with pytest.raises(PlanError, match=sentence):
            studies.sweep(given, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
