"""The scripts that draw the papers' figures: their numbers, and that they write them."""

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts" / "figures"


@pytest.fixture(scope="module")
def scripts():
    """The scripts as modules, as they see each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        import coupling_map
        import one_way_interaction
        import regimes_of_binding

        yield one_way_interaction, coupling_map, regimes_of_binding
    for name in ("coupling_map", "one_way_interaction", "regimes_of_binding", "saving"):
        sys.modules.pop(name)


def test_the_particles_of_one_way_interaction(scripts):
    one_way = scripts[0]
    pairs = one_way.pairs()
    np.testing.assert_allclose(one_way.WAVENUMBER * one_way.RADIUS, 0.673198, rtol=1e-6)
    np.testing.assert_allclose(one_way.AMPLITUDE, 9.89696e5, rtol=1e-5)
    assert pairs["electric dipoles"][0] == pytest.approx((1.022938 + 0.008911j) * 1e-21, rel=1e-6, abs=0)
    electric, magnetic = pairs["silicon spheres"]
    assert electric == pytest.approx((1.33381 + 0.39469j) * 1e-21, rel=1e-5, abs=0)
    assert magnetic == pytest.approx((-1.00646 + 0.51738j) * 1e-21, rel=1e-5, abs=0)
    for name, ratio in (("first Kerker", 1), ("second Kerker", -1)):
        assert pairs[name][1] == ratio * pairs[name][0]


@pytest.mark.parametrize(
    ("name", "force_a"),
    [
        ("second Kerker", [-53.4, 10.0, 37.4, 3.03, -8.02, 9.78, -10.6]),
        ("electric dipoles", [-11.0, 2.62, 9.12, 0.82, -1.93, 2.45, -2.63]),
    ],
)
def test_forces_of_figure_3(scripts, name, force_a):
    found = scripts[0].curves(name, np.array([150, 200, 250, 300, 400, 500, 600]) * 1e-9)
    np.testing.assert_allclose(found.force_a * 1e15, force_a, rtol=0.01)


def test_zeros(scripts):
    found = scripts[0].zeros("second Kerker")
    assert [(round(z.distance * 1e9), z.stable) for z in found] == [
        (place, i % 2 == 0) for i, place in enumerate((193, 303, 412, 518, 624, 730, 836, 941, 1047, 1152))
    ]
    assert scripts[0].zeros("first Kerker") == ()


@pytest.mark.parametrize(
    ("name", "events", "fractions"),
    [
        ("second Kerker", 1, (0.994, 0.999)),
        ("second Kerker", None, (0.977, 0.976)),
        ("electric dipoles", 1, (0.807, 0.981)),
        ("silicon spheres", 1, (0.64, 0.99)),
        ("silicon spheres", None, (0.63, 0.85)),
        ("first Kerker", 1, (1.0, 0.16)),
    ],
)
def test_how_much_is_one_way(scripts, name, events, fractions):
    assert scripts[0].fractions(name, events) == pytest.approx(fractions, abs=0.006)


def test_how_much_of_the_plane_each_regime_takes(scripts):
    found = scripts[2].areas(600)
    expected = {
        "reciprocal": 0.375,
        "directional": 0.417,
        "antireciprocal": 0.375,
        "recoil": 0.047,
        "reciprocal and directional": 0.130,
        "directional and antireciprocal": 0.130,
        "directional and recoil": 0.024,
        "reciprocal and antireciprocal": 0.0,
        "reciprocal and recoil": 0.0,
        "antireciprocal and recoil": 0.0,
        "none": 0.069,
    }
    assert found == pytest.approx(expected, abs=0.002)
    # each place is counted once: inclusion and exclusion
    assert 1 - found["none"] == pytest.approx(
        sum(v for k, v in found.items() if "and" not in k and k != "none")
        - sum(v for k, v in found.items() if " and " in k),
        abs=1e-12,
    )


@pytest.mark.parametrize(
    ("name", "rates"), [("I", (1, 0, 0)), ("II", (0.5, 0.5, 0.5)), ("III", (0, 1, 0)), ("IV", (0, 0, 1))]
)
def test_special_places_of_the_regimes(scripts, name, rates):
    here = scripts[2].rates(*scripts[2].POINTS[name])
    found = (here.reciprocal, here.antireciprocal, here.recoil_correlation.real)
    np.testing.assert_allclose(found, rates, atol=1e-12)


def test_couplings_at_one_way_points(scripts):
    pair = scripts[1].scenario()
    points = np.array([[np.pi / 4, 2.261e-6], [-np.pi / 4, 2.261e-6]])
    forth, back = scripts[1].at_points(points)
    assert abs(forth[1]) < 1e-9 * forth[0]
    assert abs(back[0]) < 1e-9 * back[1]  # the opposite phase turns the arrow
    assert forth[0] == pytest.approx(pair.binding.coupling[0, 1], rel=1e-9, abs=0)


def test_the_scripts_write_figures(scripts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path / "new")])
    for script in scripts:
        script.main()
    written = {path.name: path for path in (tmp_path / "new").iterdir()}
    assert set(written) == {
        "kerker_and_electric_pairs.png",
        "silicon_spheres.png",
        "first_kerker_pair.png",
        "coupling_map.png",
        "regimes_of_binding.png",
    }
    shipped = SCRIPTS.parents[1] / "docs" / "images"
    for name in written:
        assert 10_000 < (shipped / name).stat().st_size < 150_000
    said = capsys.readouterr().out
    assert "second Kerker: f_A = f_B at 193S 303U 412S 518U" in said
    assert "first Kerker: f_A = f_B at no distance" in said
    assert "point II: g_r = 0.500, g_a = 0.500, Re D12 = 0.500" in said
    assert "none: 0.069 of the plane" in said


def test_wrong_arguments(scripts, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["figure", "a", "b"])
    with pytest.raises(SystemExit, match="usage: python3 figure"):
        scripts[1].main()
