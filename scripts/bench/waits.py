"""How long a user waits: imports, the command line, the demo."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import ROOT, line


def starts() -> None:
    for name, command in {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import stochbind": [sys.executable, "-c", "import stochbind"],
        "stochbind --help": [sys.executable, "-m", "stochbind.cli", "--help"],
    }.items():
        # As on a machine of one's own, where Python keeps what it has compiled.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            times.append(time.perf_counter() - start)
        line(f"time of `{name}`, best of 5", f"{min(times):.2f} s")


def demo() -> None:
    """The demo's three commands, start to end."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "run.zarr"
        start = time.perf_counter()
        for command in (
            ["run", ROOT / "scenarios" / "unidirectional_pair.toml", "-o", store],
            ["validate", store],
            ["plot", store, "-o", Path(folder) / "figure.png"],
        ):
            subprocess.run([sys.executable, "-m", "stochbind.cli", *map(str, command)], check=True, capture_output=True)
        line("demo: run with Dask, validate, plot", f"{time.perf_counter() - start:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    line("largest process of it", f"{peak:.0f} MB")
