"""The sections of the benchmark; `scripts/benchmark` runs them, `scripts/peers` holds what is measured against."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def line(name, value):
    """Print one line of the result."""
    print(f"{name:72s} {value}", flush=True)
