"""The scripts that draw conditional states and feedback: their numbers, and that they write their figures."""

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts" / "figures"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import feedback
    import measurement

    yield measurement, feedback
    for name in ("measurement", "feedback", "saving"):
        sys.modules.pop(name, None)


def test_their_numbers_and_files(scripts, tmp_path, monkeypatch, capsys):
    measurement, feedback = scripts
    monkeypatch.setattr(measurement, "EFFICIENCIES", np.array([0.6, 0.97, 0.999]))
    monkeypatch.setattr(measurement, "N_STEPS", 250)
    monkeypatch.setattr(measurement, "POINTS", 3)
    monkeypatch.setattr(feedback, "GAINS", np.array([0.01, 0.1]))
    monkeypatch.setattr(feedback, "LATE", np.array([0.0, 1.0]))
    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path)])
    for script in scripts:
        script.main()
        name = f"{script.__name__}.png"
        assert (tmp_path / name).stat().st_size > 10_000
        assert 10_000 < (SCRIPTS.parents[1] / "docs" / "images" / name).stat().st_size < 150_000
    said = capsys.readouterr().out
    assert "g_r = 0.02 Omega, D11 = 10 g_r: entangled beyond eta = 0.9682; necessary 0.9000" in said
    assert "pair, driven 1, 0.1: n = [ 3.6319 25.5708]" in said
    deviations = [float(line.rsplit("|z| <= ")[1].split(",")[0]) for line in said.splitlines() if "|z| <= " in line]
    assert len(deviations) == 21
    assert max(deviations) < 5.0
