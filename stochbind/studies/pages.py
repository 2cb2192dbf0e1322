"""The report of a study: one page of HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import math
import tomllib
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import tomli_w

from stochbind import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.scenario import Scenario
    from stochbind.studies.base import Study
    from stochbind.studies.tables import Line

#: Rows beyond this are in the file of the table only.
_MOST_ROWS = 2000
_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
figure { margin: 1rem 0; }
figcaption { font-size: 0.9rem; }
img { max-width: 100%; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.15rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th.text, td.text { text-align: left; }
tr.far { background: #fdd; }
pre { background: #f5f5f5; padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; }
"""


def report(study: Study, figure: Figure, picture: bytes) -> str:
    """The page of a study.

    Parameters
    ----------
    study : Study
        What to tell.
    figure : matplotlib.figure.Figure
        Its figure.
    picture : bytes
        The same, as PNG.

    Returns
    -------
    str
        HTML, with the figure inside; the same for the same study.
    """
    from stochbind.plots.studies import described

    base, title = study.sweep.base, escape(study.title)
    about = "".join(f"<p>{escape(text)}</p>\n" for text in (base.description.strip(), base.source.strip()) if text)
    found = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in study.sentences())
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in study.notes)
    told = f"<h2>Notes</h2>\n<ul>\n{notes}\n</ul>\n" if notes else ""
    axes = "\n".join(f"<li>{escape(text)}</li>" for text in _axes(study))
    image = base64.b64encode(picture).decode()
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{about}"
        f"<h2>Findings</h2>\n<ul>\n{found}\n</ul>\n"
        f'<figure>\n<img alt="{escape(described(figure))}" src="data:image/png;base64,{image}">\n'
        f"<figcaption>{escape(study.caption(figure))}</figcaption>\n</figure>\n{told}"
        f"<h2>Table</h2>\n{_table(study)}"
        f"<h2>What was run</h2>\n<ul>\n{axes}\n</ul>\n<pre>{escape(_text(base))}</pre>\n"
        f"<p>stochbind {escape(__version__)}, fingerprint {escape(study.fingerprint)}. Errors are standard "
        "errors, z is the distance from the exact value in these.</p>\n</body>\n</html>\n"
    )


def _axes(study: Study) -> Iterator[str]:
    """What is swept, one sentence for each axis."""
    for axis in study.sweep.axes:
        for setting in axis.settings:
            first, last = (_known(setting.values[k], ".6g") for k in (0, -1))
            ends = f"{first} to {last} {setting.unit}".rstrip()
            yield f"{setting.parameter}: {len(axis)} values, {ends}"


def _text(base: Scenario) -> str:
    """The file of a scenario, without the lists that are empty, as they are if they are left out."""
    return tomli_w.dumps({key: value for key, value in tomllib.loads(base.to_toml()).items() if value != []})


def _table(study: Study) -> str:
    lines = [line for line in study.table if line.quantity in study.shown]
    rest = "" if len(lines) <= _MOST_ROWS else f" The first {_MOST_ROWS} of {len(lines)} rows are shown."
    names = list(dict.fromkeys(name for line in lines for name in line.parameters))
    text = ("quantity", "of")
    head = ["point", *names, *text, "simulated", "± stderr", "exact", "z", "samples", "unit"]
    cells = "".join(f"<th{_class(name in text)}>{escape(name)}</th>" for name in head)
    rows = "\n".join(_row(line, names) for line in lines[:_MOST_ROWS])
    return (
        f"<p>All quantities are in table.csv.{rest}</p>\n<table>\n<thead><tr>{cells}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table>\n"
    )


def _row(line: Line, names: list[str]) -> str:
    parameters = [line.parameters.get(name, "") for name in names]
    numbers = [f"{line.value:.6g}", f"{line.stderr:.2g}", _known(line.exact, ".6g"), _known(line.z, "+.2f")]
    cells = [f"<td>{escape(_known(value, '.6g'))}</td>" for value in (line.point, *parameters)]
    cells += [f"<td{_class(True)}>{escape(text)}</td>" for text in (line.quantity, line.where)]
    cells += [f"<td>{escape(text)}</td>" for text in (*numbers, f"{line.n_eff:.4g}", line.unit)]
    return f"<tr{' class=far' if abs(line.z) > 5 else ''}>{''.join(cells)}</tr>"


def _known(value: object, form: str) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else format(value, form)
    return str(value)


def _class(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
