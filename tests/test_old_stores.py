"""Stores of earlier versions open for ever, and their numbers can be made again from their keys, to the last bit.

If recomputation fails here because steps were changed on purpose, raise `stochbind.engine.structure.STEPS`, and make a
new store beside the old one, which must still open:

    .venv/bin/python tests/test_old_stores.py tests/stores/schema-2-steps-2.zip
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
from stochbind.engine import structure
from stochbind.engine.layout import Layout

STORES = sorted((Path(__file__).parent / "stores").glob("*.zip"))


def plan():
    particles = [
        {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.3, "bath_temperature": t, "cubic_stiffness": 0.2}
        for t in (1.0, 0.8)
    ]
    scenario = sb.OscillatorScenario(
        name="kept pair", units="reduced", kind="oscillators", coupling=[[0.0, 0.5], [0.2, 0.0]], particle=particles
    )
    statistics = [
        "moments",
        {"kind": "correlations", "window": 16, "start": 0},
        {"kind": "spectra", "window": 32, "start": 0},
        {"kind": "histograms", "start": 0, "n_bins": 20},
        {"kind": "currents", "window": 16},
    ]
    return sb.Plan(
        scenario=scenario, step=0.05, n_steps=256, save_every=2, n_trajectories=6, ledger=True, statistics=statistics
    )


@pytest.mark.parametrize("file", STORES, ids=lambda file: file.stem)
def test_a_kept_store_opens_and_has_the_numbers_of_its_keys(file, tmp_path):
    zipfile.ZipFile(file).extractall(tmp_path)
    store = sb.Store.open(tmp_path / "run.zarr")
    store.verify()
    dataset = sb.open(tmp_path / "run.zarr").load()
    assert np.isfinite(dataset.position).all()
    assert float(dataset.histogram_position.sum()) == 6 * 128 * 2
    if store.versions["steps"] == str(structure.STEPS):
        from stochbind.engine.verification import verify

        report = verify(store, recompute=100)
        assert report.whole
        assert report.n_recomputed == store.n_blocks * store.n_segments


def test_there_is_a_store_of_these_steps():
    assert f"schema-{structure.SCHEMA}-steps-{structure.STEPS}" in [file.stem for file in STORES]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sb.Store.create(Path(folder) / "run.zarr", plan(), Layout(4, 64, 1))
        sb.run(plan(), Path(folder) / "run.zarr", workers="serial")
        shutil.make_archive(str(Path(sys.argv[1]).with_suffix("")), "zip", folder)
