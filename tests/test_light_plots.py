"""Pictures of light: panels draw what they are given, views of scenarios are right, the command line writes them."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from typer.testing import CliRunner

import stochbind as sb
from stochbind import plots
from stochbind.analysis import couplings, views
from stochbind.cli import app
from stochbind.errors import ScenarioError, StoreError
from stochbind.optics import kerker, patterns
from stochbind.optics.kerker import Equilibrium
from stochbind.optics.regimes import Regimes
from stochbind.scenario import DipoleScenario, TweezerScenario

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def axes(**options):
    return Figure().add_subplot(**options)


def scenario(name):
    return sb.Scenario.from_toml(SCENARIOS / f"{name}.toml")


@pytest.fixture(scope="module")
def silicon():
    return scenario("silicon_pair")


@pytest.fixture(scope="module")
def tweezers():
    return scenario("unidirectional_pair")


def altered(given, **changes):
    return type(given)(**{**{name: getattr(given, name) for name in given.model_fields_set}, **changes})


# --- Panels draw what they are given ---------------------------------------------------------------------------------


def test_force_curves_are_those_given():
    distance = np.linspace(1e-7, 1e-6, 30)
    a, b = 3e-14 * np.sin(distance * 1e7), 1e-14 * np.cos(distance * 1e7)
    zeros = (Equilibrium(2e-7, 1.0), Equilibrium(5e-7, -1.0), Equilibrium(8e-7, 2.0))
    ax = plots.force_curves(axes(), distance, a, b, zeros=zeros, given=4e-7)
    lines = {line.get_label(): line for line in ax.lines}
    for label, curve in (("$f_{A}$", a), ("$f_{B}$", b), ("$f_{A} - f_{B}$", a - b)):
        np.testing.assert_allclose(lines[label].get_xdata() * 1e-6, distance, rtol=1e-14)
        np.testing.assert_allclose(lines[label].get_ydata() * 1e-15, curve, rtol=1e-12)
    assert ax.get_ylabel() == "force on each other (fN)"
    np.testing.assert_allclose(lines["stable"].get_xdata(), [0.2, 0.8])
    np.testing.assert_allclose(lines["unstable"].get_xdata(), [0.5])
    assert lines["stable"].get_markerfacecolor() != lines["unstable"].get_markerfacecolor()


def test_a_steep_rise_leaves_the_rest_to_be_seen():
    distance = np.linspace(1e-7, 1e-6, 1000)
    force = 1e-14 * np.sin(distance * 1e8)
    flat = plots.force_curves(axes(), distance, force, -force)
    force[:5] = 1e-11
    steep = plots.force_curves(axes(), distance, force, -force)
    assert steep.get_ylabel() == flat.get_ylabel()
    assert max(steep.get_ylim()) < 30
    np.testing.assert_allclose(steep.lines[1].get_ydata() * 1e-15, force, rtol=1e-12)  # none is left out of the data


def test_reciprocity_curves_are_those_given():
    distance, factor = np.linspace(1e-7, 1e-6, 30), np.random.default_rng(0).uniform(size=(2, 30))
    ax = plots.reciprocity_curves(axes(), distance, {"zeroth": factor[0], "first": factor[1]})
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["zeroth"].get_ydata(), factor[0])
    np.testing.assert_array_equal(lines["first"].get_ydata(), factor[1])
    np.testing.assert_array_equal(lines["one-way"].get_ydata(), [0.5, 0.5])


def test_a_coupling_map_is_symmetric_about_zero():
    phase, distance = np.linspace(0, 2 * math.pi, 7), np.linspace(1e-6, 2e-6, 5)
    value = np.random.default_rng(1).normal(size=(5, 7)) * 1e-8
    points = np.array([[math.pi / 4, 1.5e-6]])
    ax = plots.coupling_map(axes(), phase, distance, value, label="coupling", points=points, given=(math.pi, 2e-6))
    (mesh,) = ax.collections
    np.testing.assert_allclose(mesh.get_array().reshape(5, 7) * 1e-9, value, rtol=1e-12)
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert mesh.norm.vmax == pytest.approx(np.abs(value).max() * 1e9)
    lines = {line.get_label(): line.get_xydata()[0] for line in ax.lines}
    np.testing.assert_allclose(lines["one-way, far away"], [45, 1.5])
    np.testing.assert_allclose(lines["given"], [180, 2.0])
    assert ax.figure.axes[1].get_ylabel() == "nN/m"


def test_a_map_of_zeros_and_one_without_a_unit():
    zero = plots.coupling_map(axes(), np.arange(3.0), np.arange(1.0, 3.0), np.zeros((2, 3)), label="ratio", unit="")
    assert zero.collections[0].norm.vmax == 1.0
    assert zero.figure.axes[1].get_ylabel() == ""


def test_a_regime_map_has_a_hatching_for_each():
    side = np.linspace(0, math.pi, 9)
    flags = Regimes(*(np.add.outer(side, side) > threshold for threshold in (1.0, 2.0, 3.0, 4.0)))
    ax = plots.regime_map(axes(), side, side, flags, points={"II": (math.pi / 4, math.pi / 2)})
    assert len({patch.hatches[0] for patch in ax.collections}) == 4
    assert len({colors.to_hex(patch.get_facecolor()[0]) for patch in ax.collections}) == 4
    assert [text.get_text() for text in ax.texts] == ["II"]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.25, 0.5]])


def test_a_field_map_shows_particles_as_discs():
    value = np.arange(12.0).reshape(3, 4) * 1e9
    value[1, 1] = np.nan
    centre, radius = np.array([[1e-6, 2e-6], [3e-6, 1e-6]]), np.array([1e-7, 2e-7])
    field = views.FieldPlane((0, 2), np.arange(4) * 1e-6, np.arange(3) * 1e-6, value, centre, radius)
    ax = plots.field_map(axes(), field)
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(3, 4) * 1e9, value, rtol=1e-14)
    discs = [patch for patch in ax.patches if isinstance(patch, Circle)]
    np.testing.assert_allclose([disc.center for disc in discs], centre * 1e6)
    np.testing.assert_allclose([disc.radius for disc in discs], radius * 1e6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (µm)", "z (µm)")


def test_a_scattering_pattern_is_the_one_given():
    angle = np.linspace(0, 2 * math.pi, 10)
    power = {"one": 1e-9 * np.cos(angle) ** 2, "both": 3e-9 + 0 * angle}
    ax = plots.scattering_pattern(axes(projection="polar"), angle, power, plane=(1, 2))
    for line, curve in zip(ax.lines, power.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), angle)
        np.testing.assert_allclose(line.get_ydata() * 1e-9, curve, rtol=1e-14)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["+y", "+z", "−y", "−z"]
    assert ax.get_title() == "scattered power (nW/sr)"


# --- The layout ------------------------------------------------------------------------------------------------------


def beam(direction, polarization=(0, 1, 0), *, focus=None, phase=0.0, detuning=0.0):
    given = np.array(direction, float)
    waist = None if focus is None else 0.8e-6
    place = None if focus is None else np.array(focus)
    return views.Beam(given / np.linalg.norm(given), np.array(polarization, complex), phase, detuning, place, waist)


def sketch(*beams, plane=(0, 2), motion=("x", "y", "z"), position=((0, 0, 0), (2e-6, 0, 0))):
    where = views.Scene(np.array(position, float), np.full(len(position), 1e-7), beams, motion, 1e-6)
    return plots.layout_sketch(axes(), where, plane, views.frame(where, plane))


def arrows(ax):
    """Direction of each arrow with one head."""
    found = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None and text.get_text() == ""]
    single = [text for text in found if type(text.arrow_patch.get_arrowstyle()).__name__ == "CurveFilledB"]
    return [np.array(text.xy) - np.array(text.xyann) for text in single]


def test_plane_waves_are_arrows_along_their_direction():
    for direction in ((1, 0, 0), (0, 0, -1), (0.6, 0, 0.8)):
        seen = np.array(direction)[[0, 2]]
        found = arrows(sketch(beam(direction)))
        assert len(found) == 3
        for arrow in found:
            assert arrow @ seen == pytest.approx(np.linalg.norm(arrow))


def test_plane_waves_stay_in_the_frame():
    for direction in ((1, 0, 0), (0.6, 0, 0.8), (-0.9, 0.1, 0.4)):
        ax = sketch(beam(direction, np.cross(direction, (0, 1, 1))), position=((0, 0, 0), (5e-6, 0, 0)))
        ends = np.array([end for text in ax.texts if not text.get_text() for end in (text.xy, text.xyann)])
        assert len(ends) > 8
        for values, (low, high) in zip(ends.T, (ax.get_xlim(), ax.get_ylim()), strict=True):
            assert low < values.min()
            assert values.max() < high


def test_light_along_the_line_of_sight_is_a_dot_or_a_cross():
    """Out of the plane x, y is along z; out of the plane x, z along -y."""
    for plane, direction in (((0, 1), (0, 0, 1)), ((0, 2), (0, -1, 0)), ((1, 2), (1, 0, 0))):
        for sign, marker in ((1, "."), (-1, "x")):
            pol = np.roll(direction, 1)
            for focus in (None, (0, 0, 0)):
                ax = sketch(beam(sign * np.array(direction), pol, focus=focus), plane=plane)
                assert arrows(ax) == []
                assert marker in [line.get_marker() for line in ax.lines]
                assert {".": "x", "x": "."}[marker] not in [line.get_marker() for line in ax.lines]


def test_tweezers_have_their_waist_at_the_focus():
    ax = sketch(beam((0, 0, 1), focus=(0, 0, 0.3e-6)), motion=("z",))
    low, high = sorted((line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 401), key=lambda e: e[0, 0])
    for edge, side in ((low, -1), (high, 1)):
        narrow = edge[np.abs(edge[:, 0]).argmin()]
        np.testing.assert_allclose(narrow, [side * 0.8, 0.3], atol=1e-12)
    length = math.pi * 0.64  # where the beam is wider by sqrt(2)
    assert np.interp(0.3 + length, high[:, 1], high[:, 0]) == pytest.approx(0.8 * math.sqrt(2), rel=1e-3)
    (arrow,) = arrows(ax)
    assert arrow[1] > 0


def test_elliptical_light_is_an_ellipse_and_lines_are_labelled():
    circular = beam((0, -1, 0), (1, 0, 1j) / np.sqrt(2), phase=math.pi / 2)
    ax = sketch(circular, beam((1, 0, 0), (0, 0, 1), detuning=80e6))
    ellipse = next(line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 73)
    radius = np.linalg.norm(ellipse - ellipse[:-1].mean(axis=0), axis=1)
    np.testing.assert_allclose(radius, radius[0], rtol=1e-9)
    words = [text.get_text() for text in ax.texts]
    assert {"90°, +0 MHz", "0°, +80 MHz", "0", "1", "motion along x, y, z"} <= set(words)


def test_the_telling_plane():
    def plane(position, *beams):
        return views.telling_plane(views.Scene(np.array(position, float), np.ones(len(position)), beams, ("x",), 1.0))

    line = [[0, 0, 0], [0, 1, 0]]
    assert plane(line, beam((0, 0, 1), (1, 0, 0))) == (1, 2)
    assert plane(line, beam((0, 1, 0), (0, 0, 1))) == (1, 2)  # polarization in the plane
    assert plane(line, beam((0, 1, 0), (1, 0, 0))) == (0, 1)
    square = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert plane(square, beam((0, 0, 1), (1, 0, 0))) == (0, 1)  # particles come first


# --- Views of scenarios ----------------------------------------------------------------------------------------------


def test_a_field_plane_holds_the_intensity(silicon):
    found = views.field_plane(silicon)
    first, second = found.plane
    assert np.isnan(found.intensity).any()
    where = views.layout(silicon)
    for row, column in ((3, 5), (-1, 40)):
        point = np.zeros((1, 3)) + where.position.mean(axis=0)
        point[0, first], point[0, second] = found.horizontal[column], found.vertical[row]
        expected = patterns.intensity(silicon.array, where.position, point)[0]
        assert found.intensity[row, column] == pytest.approx(expected, rel=1e-12)
    inside = (
        np.hypot(found.horizontal - where.position[0, first], found.vertical[:, None] - where.position[0, second])
        < where.radius[0]
    )
    assert np.isnan(found.intensity[inside]).all()
    np.testing.assert_allclose(found.disc_radius, where.radius)


def test_a_map_shows_every_wave(silicon):
    """Of particles far apart, that around the first."""
    near, far = (p.model_dump(exclude_none=True) for p in silicon.particle)
    far |= {"position": (1e-3, 0.0, 0.0)}
    found = views.field_plane(altered(silicon, particle=[near, far]))
    for side in (found.horizontal, found.vertical):
        assert np.diff(side).max() < silicon.light.wavelength / 7
    assert len(found.disc_radius) == 2
    assert found.horizontal[0] < 0 < found.horizontal[-1] < 1e-4


def test_force_curves_pass_through_the_forces_of_the_scenario(silicon):
    found = views.distance_curves(silicon, 2001)
    place = silicon.origin_position
    assert np.abs(place[:, 1:]).max() < 1e-12  # along x
    both = silicon.array.force(place)[:, 0]
    for curve, j in ((found.force_a, 0), (found.force_b, 1)):
        alone = patterns.alone(silicon.array, j).force(place[j : j + 1])[0, 0]
        expected = both[j] - alone
        largest = np.abs(found.force_a).max()
        assert np.interp(found.given, found.distance, curve) == pytest.approx(expected, rel=1e-4, abs=1e-5 * largest)
        assert abs(alone) > 1e-3 * largest  # which would show
    zeroth = np.interp(found.given, found.distance, found.zeroth)
    assert zeroth == pytest.approx(silicon.reciprocity_factors()[0][0], abs=0.02)


def test_forces_against_distance_are_those_of_a_row():
    """The ideal pair in a plane wave, by the equations for rows of particles; the traps play no part."""
    given = scenario("second_kerker_pair")
    events = {"one_event": 1, "multiple": None}[given.light.scattering]
    found = views.distance_curves(given, 80)
    alpha = [p.electric[0, 0] for p in given.polarizability], [p.magnetic[0, 0] for p in given.polarizability]
    amplitude = given.wave[0].waves(given.light.wavelength)[0].amplitude
    expected = kerker.pair_forces(found.distance, *map(np.array, alpha), given.wavenumber, amplitude, events=events)
    largest = np.abs(expected.force_a).max()
    np.testing.assert_allclose(found.force_a, expected.force_a, atol=1e-9 * largest)
    np.testing.assert_allclose(found.force_b, expected.force_b, atol=1e-9 * largest)
    ends = float(found.distance[0]), float(found.distance[-1])
    zeros = kerker.equilibria(*ends, *map(np.array, alpha), given.wavenumber, amplitude, events=events)
    np.testing.assert_allclose([z.distance for z in found.zeros], [z.distance for z in zeros], rtol=1e-9)
    assert [z.stable for z in found.zeros] == [z.stable for z in zeros]
    assert not np.allclose(found.force_b, expected.force_a, atol=0.1 * largest)  # the twin: labels exchanged


def test_the_pattern_of_the_second_kerker_pair():
    found = views.pattern(scenario("second_kerker_pair"))
    single, pair = found.power.values()
    forward, backward = 0, 360  # along +x and -x
    assert single[forward] < 1e-20 * single[backward]
    assert pair[forward] < 1e-2 * pair[backward]


def test_couplings_are_those_of_scenarios_with_that_phase_and_distance(tweezers):
    length, phase = 2.4e-6, 1.1
    found = couplings.couplings(tweezers, [length], [0.0, phase])[:, 0, 1]
    first, second = (p.model_dump() for p in tweezers.particle)
    first |= {"position": (0.0, 0.0), "phase": phase + 0.3}
    second |= {"position": (length, 0.0), "phase": 0.3}
    expected = altered(tweezers, particle=[first, second]).binding.coupling
    np.testing.assert_allclose(found, [expected[0, 1], expected[1, 0]], rtol=1e-10)
    assert abs(expected[0, 1] / expected[1, 0] - 1) > 0.1


def test_marked_points_are_one_way(tweezers):
    plane = couplings.coupling_plane(tweezers, 21)
    assert plane.given == pytest.approx((math.pi / 4, 2.261e-6))
    for driven, points in enumerate(plane.one_way):
        assert len(points) > 4
        for phase, distance in points:
            found = couplings.couplings(tweezers, [distance], [phase])[:, 0, 0]
            assert found[driven] > 0
            assert abs(found[1 - driven]) < 1e-12 * found[driven]
    assert plane.distance[0] <= plane.one_way[0][:, 1].min()
    assert plane.one_way[0][:, 1].max() <= plane.distance[-1]


def test_views_of_too_few_particles(tweezers, silicon):
    alone = altered(tweezers, particle=tweezers.particle[:1])
    with pytest.raises(ScenarioError, match="must have two particles at least"):
        couplings.couplings(alone, [1e-6], [0.0])
    with pytest.raises(ScenarioError, match="must have two particles at least"):
        couplings.coupling_plane(alone)
    with pytest.raises(ScenarioError, match="must be positive"):
        couplings.couplings(tweezers, [-1e-6], [0.0])
    with pytest.raises(ScenarioError, match=r"must be one of two particles .* but has 1"):
        views.distance_curves(altered(silicon, particle=silicon.particle[:1]))


# --- The command line ------------------------------------------------------------------------------------------------


def draw(tmp_path, name, suffix=".png"):
    path = tmp_path / f"figure{suffix}"
    result = CliRunner().invoke(app, ["plot", str(name), "-o", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "written" in result.stderr
    return path


@pytest.mark.parametrize(
    ("name", "suffix"), [("silicon_pair", ".png"), ("unidirectional_pair", ".svg"), ("pair_through_directions", ".png")]
)
def test_scenarios_can_be_drawn(tmp_path, name, suffix):
    path = draw(tmp_path, SCENARIOS / f"{name}.toml" if suffix == ".svg" else name, suffix)
    assert path.stat().st_size > 20_000


@pytest.mark.parametrize("kind", [DipoleScenario, TweezerScenario])
def test_single_particles_can_be_drawn(tmp_path, kind, silicon, tweezers):
    given = silicon if kind is DipoleScenario else tweezers
    (tmp_path / "one.toml").write_text(altered(given, name="one", particle=given.particle[:1]).to_toml())
    assert draw(tmp_path, tmp_path / "one.toml").stat().st_size > 10_000


def test_oscillators_have_no_light_to_draw(tmp_path):
    with pytest.raises(
        ScenarioError, match=r'^cold_to_hot_pair: is a scenario of kind "oscillators", which has numbers but no light'
    ):
        CliRunner().invoke(
            app,
            ["plot", "cold_to_hot_pair", "-o", str(tmp_path / "x.png")],
            catch_exceptions=False,
            standalone_mode=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_the_name_of_a_scenario_is_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "silicon_pair").mkdir()
    with pytest.raises(StoreError, match="is not a stochbind store"):
        CliRunner().invoke(app, ["plot", "silicon_pair", "-o", "x.png"], catch_exceptions=False, standalone_mode=False)


def test_the_help_tells_of_both():
    text = " ".join(CliRunner().invoke(app, ["plot", "--help"]).stdout.split())
    assert "the light of a scenario" in text
    assert "stochbind plot silicon_pair" in text
