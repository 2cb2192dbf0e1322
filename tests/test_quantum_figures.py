"""The scripts that draw entanglement and squeezing: their numbers, and that they write figures."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stochbind.plots.style import COLORS

SCRIPTS = Path(__file__).parent.parent / "scripts" / "figures"


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        import entanglement_map
        import squeezing

        yield entanglement_map, squeezing
    for name in ("entanglement_map", "squeezing", "saving"):
        sys.modules.pop(name)


@pytest.mark.parametrize("recoil", [0.25, 0.75, 1.0])
def test_how_much_of_the_plane_entangles(scripts, recoil):
    quiet, entangling = scripts[0].areas(recoil)
    allowed, below = 2 * np.arcsin(recoil) / np.pi, 2 * np.arccos(recoil) / np.pi
    assert quiet == pytest.approx(allowed, abs=0.004)
    assert entangling == pytest.approx(allowed * below, abs=0.004)


def test_the_map_is_zero_where_the_closed_form_says_so(scripts):
    side = np.linspace(0.0, 2 * np.pi, 23)
    found = scripts[0].negativity(side, side[:, None] + 1e-9, 0.6)
    impossible = np.abs(np.sin(side + 1e-9)) > 0.6
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(impossible[:, None], found.shape))
    rows = found[~impossible]
    np.testing.assert_array_equal(rows > 1e-12, np.broadcast_to(np.abs(np.cos(side)) > 0.6, rows.shape))


def test_curves(scripts):
    script = scripts[1]
    at, estimate = script.simulated(2.0, n_trajectories=4000)
    truth = script.exact(2.0, at)
    assert max(abs(float(one.z(value))) for one, value in zip(estimate, truth, strict=True)) < 5
    recoil = np.array([0.4, 0.9, 1.01])
    still, runs = (script.entangled_at_most(recoil, running=one, duration=0.7) for one in (False, True))
    assert still[2] == 0 == runs[2]
    assert runs[0] > 0.07
    assert 0 < runs[1] < 1e-3
    assert 0 < still[0] < 0.02


def test_the_figures_are_drawn_and_shipped(scripts, tmp_path):
    scripts[0].figure(n_points=9).savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000
    assert len(COLORS) >= len(scripts[1].RECOIL)
    for name in ("entanglement_map.png", "squeezing.png"):
        assert 10_000 < (SCRIPTS.parents[1] / "docs" / "images" / name).stat().st_size < 150_000
