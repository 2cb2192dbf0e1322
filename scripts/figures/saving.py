"""Where the figures go: docs/images, or the folder named on the command line."""

import sys
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def folder():
    """Return the folder of the command line, which is made if it is not there."""
    if len(sys.argv) > 2 or sys.argv[-1].startswith("-"):
        raise SystemExit(f"usage: python3 {sys.argv[0]} [FOLDER]")
    chosen = Path(sys.argv[1]) if len(sys.argv) == 2 else IMAGES
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def save(figure, into, name):
    """Write a figure and say so."""
    path = into / name
    figure.savefig(path, dpi=100)
    print(f"{path}: written, {path.stat().st_size / 1000:.0f} kB")
