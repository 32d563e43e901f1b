"""How Sphinx builds the site: ``make docs``. Nothing is fetched, to build or to read."""

import re
import shutil
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
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
exclude_patterns = ["_build"]
highlight_language = "none"

html_theme = "furo"
html_title = f"net2vec_pl {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it fetches pages, which browsers refuse from disk

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "off"  # the outputs are stored: make notebooks

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

# Files beside docs/ that have a page here; other files are named in plain text.
ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "datasets.md",
    "examples/first_bank.py": "example.md",
    "sweeps/README.md": "wandb.md",
    **{f"examples/{path.name}": f"notebooks/{path.name}" for path in NOTEBOOKS},
}
TABS = re.compile(r"<!-- tabs -->\n(.*?)<!-- end of tabs -->\n", re.DOTALL)
TAB = re.compile(r"^\*\*([^*\n]+)\*\*$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)")

(ROOT / "docs" / "notebooks").mkdir(exist_ok=True)
for path in NOTEBOOKS:  # Sphinx reads what stands below docs/ only
    shutil.copy2(path, ROOT / "docs" / "notebooks")


def lead_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links to files outside docs/ at their pages; a code host follows them as they are."""
    notebook = docname.startswith("notebooks/")
    docs = Path(app.srcdir)
    here = docs.parent / "examples" if notebook else (docs / docname).parent

    def replaced(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if not target.is_relative_to(docs.parent) or (target.is_relative_to(docs) and not notebook):
            return link[0]
        if target.is_relative_to(docs):
            return f"[{link[1]}](/{target.relative_to(docs).as_posix()})"
        page = PAGES.get(target.relative_to(docs.parent).as_posix())
        return link[1] if page is None else f"[{link[1]}](/{page})"

    source[0] = LINK.sub(replaced, source[0])


def tabs_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make tabs of what stands between two comments; a code host shows one below the other."""

    def replaced(block: re.Match[str]) -> str:
        _, *parts = TAB.split(block[1])
        tabs = zip(parts[::2], parts[1::2], strict=True)
        items = [f":::{{tab-item}} {name}\n:sync: {name}\n{text}:::\n" for name, text in tabs]
        return "::::{tab-set}\n:sync-group: way\n\n" + "\n".join(items) + "::::\n"

    source[0] = TABS.sub(replaced, source[0])


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
    """Find ``room.file.name`` as ``room.name`` or ``name``, as its page has it."""
    parts = node.get("reftarget", "").split(".")
    if node.get("refdomain") != "py" or len(parts) < 3:
        return None
    for shorter in (".".join([*parts[:-2], parts[-1]]), f"{parts[0]}.{parts[-1]}"):
        found = env.domains.python_domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], shorter, node, text
        )
        if found is not None:
            return found
    return None


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", lead_inside)
    app.connect("source-read", tabs_inside)
    app.connect("missing-reference", find_in_room)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
