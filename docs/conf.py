"""How Sphinx builds the site: ``make docs``. Nothing is fetched, to build or to read."""

import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

import net2vec_pl

log = getLogger(__name__)

project = "net2vec_pl"
author = "net2vec_pl contributors"
release = net2vec_pl.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
highlight_language = "none"

html_theme = "furo"
html_title = f"net2vec_pl {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it fetches pages, which browsers refuse from disk

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

# Files beside docs/ that have a page here; other files are named in plain text.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "datasets.md",
    "examples/first_bank.py": "example.md",
    "sweeps/README.md": "wandb.md",
}
LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)")


def lead_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links to files outside docs/ at their pages; a code host follows them as they are."""
    here, root = Path(app.srcdir, docname).parent, Path(app.srcdir).parent

    def replaced(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(app.srcdir) or not target.is_relative_to(root):
            return link[0]
        page = PAGES.get(target.relative_to(root).as_posix())
        return link[1] if page is None else f"[{link[1]}](/{page})"

    source[0] = LINK.sub(replaced, source[0])


def visit_math(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw without a script or a font."""
    block = isinstance(node, nodes.math_block)
    mathml = convert(node.astext(), display="block" if block else "inline")
    if "\\" in mathml:
        log.warning("a command of TeX is left in %s", node.astext(), location=node)
    self.body.append(
        f'<div class="math" style="overflow: auto; padding: 0.3em 0">{mathml}</div>'
        if block
        else mathml
    )
    raise nodes.SkipNode


def find_in_room(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Element | None:
    """Find ``room.file.name`` as ``room.name``: a room's names are shown on its own page."""
    parts = node.get("reftarget", "").split(".")
    if node.get("refdomain") != "py" or len(parts) < 3:
        return None
    shorter = ".".join([*parts[:-2], parts[-1]])
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], shorter, node, text
    )


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", lead_inside)
    app.connect("missing-reference", find_in_room)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
