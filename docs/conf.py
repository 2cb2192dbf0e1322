"""Configuration of the documentation, built by `python3 scripts/go.py check` into out/docs.

The pages need no network, neither to be built nor to be read: formulas become MathML, which browsers
show by themselves, and nothing is linked from other projects' inventories or from a content network.
"""

import html
import re
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _project["name"]
release = version = _project["version"]
author = _project["authors"][0]["name"]
copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
]
default_role = "py:obj"  # `name` in a docstring: a link where there is one to make, code otherwise

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
math_numfig = False

templates_path = ["templates"]
exclude_patterns = ["templates"]

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
numpydoc_show_class_members = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"stochbind {release}"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_theme_options = {"show_nav_level": 2, "navigation_with_keys": False, "footer_start": ["copyright"]}


# docutils puts the index of \dot q_j under the q, not beside it
_ACCENT = re.compile(r"<munderover>\s*(<mi>.</mi>)\s*(.*?)\s*(<mo[^>]*>[¨˙ˆ]</mo>)\s*</munderover>", re.S)


def _accent_first(match):
    letter, index, accent = match.groups()
    return f'<msub><mover accent="true">{letter}{accent}</mover>{index}</msub>'


def _mathml(node, as_block):
    """Return the formula as MathML, or as code, with a warning, where docutils cannot convert it."""
    tex = re.sub(r"\\label\{[^}]*\}|\\(begin|end)\{equation\*?\}", "", node.astext())
    tex = re.sub(r"\\(begin|end)\{(?:align|gather|split)(?:ed)?\*?\}", r"\\\1{aligned}", tex)
    if as_block and r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    tex = re.sub(r"(\\[dt]?frac)\s*(\d)\s*(\d)", r"\1{\2}{\3}", tex)  # docutils takes \frac12 for 12 over what follows
    try:
        return _ACCENT.sub(_accent_first, tex2mathml(tex.strip(), as_block=as_block))
    except Exception as error:
        logging.getLogger(__name__).warning("%s in the formula %s", error, tex, location=node)
        return f"<code>{html.escape(tex)}</code>"


def _visit_math(translator, node):
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _visit_math_block(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(_mathml(node, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
