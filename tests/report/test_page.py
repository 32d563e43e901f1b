"""Pages hold all they need, and names are text, whatever they look like."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from support.cli import run_cli
from support.fake_data.runs import write_run

from net2vec_pl.figures.style import new_figure, save_figure
from net2vec_pl.report.page import Link, PageFigure, PageTable, write_page

EVIL = "<script>alert('x')</script>&\""


class Tags(HTMLParser):
    """Counts what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    scores = {EVIL: 0.1, "sky": 0.9, "sea": 0.4, "sun": 0.2}
    for layer in ("conv4", "conv5"):
        write_run(folder / "runs" / layer, scores, layer=layer)
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, "task=compare", "runs=runs", "run.dir=out") == 0
    return (folder / "out" / "comparison.html").read_text()


def test_a_page_asks_nothing_of_a_network(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.sources
    assert all(source.startswith(("data:image/", "#")) for source in tags.sources)
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page


def test_names_are_text(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.scripts == 1
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_every_section_that_is_linked_is_there(page: str) -> None:
    linked = set(re.findall(r'href="#([\w]+)"', page))
    assert {"findings", "differences", "runs", "made"} <= linked
    assert linked <= set(re.findall(r'id="([\w]+)"', page))
    assert "task=compare runs=runs" in page


def test_a_long_table_says_how_much_of_it_is_shown() -> None:
    rows = [{"n": i, "value": (0.5, 0.25, 0.75 + i)} for i in range(12_000)]
    table = PageTable("A table", rows, "file.csv")
    assert len(table.cells) == 10_000  # of two cells each
    assert "10000 of 12000" in table.cut
    assert table.cells[0][1].text == "0.500 [0.250, 0.750]"
    assert table.cells[0][1].key == "0.5"
    assert not PageTable("A table", rows[:1200], "file.csv").cut


@pytest.mark.parametrize(
    ("value", "text", "key"),
    [
        ((0.5, 0.25, 1.75), "0.500 [0.250, 1.750]", "0.5"),
        ((12.0, -999.0, 25.5), "12.000 [-999.000, 25.500]", "12.0"),
        ((5e-5, -1e-4, 2e-4), "5e-05 [-0.0001, 0.0002]", "5e-05"),
        ((0.5, np.nan, 0.75), "0.500", "0.5"),
        (12, "12", "12.0"),
        (0.0625, "0.062", "0.0625"),
        (np.nan, "–", "nan"),
        (4512.3, "4512", "4512.3"),
        ("sky", "sky", "sky"),
        (True, "True", "True"),
        (Link("conv5", "a.html"), "conv5", "conv5"),
    ],
)
def test_a_cell_is_read_with_three_digits_and_sorted_by_all(
    value: object, text: str, key: str
) -> None:
    rows = [{"n": 0.5, "value": value}, {"n": 0.25, "value": "another"}]
    (_, cell), _ = PageTable("A table", rows, "file.csv").cells
    assert (cell.text, cell.key) == (text, key)
    assert cell.number == (not isinstance(value, str | bool | Link))
    assert cell.address == ("a.html" if isinstance(value, Link) else "")


def test_what_every_row_says_is_told_once() -> None:
    rows = [{"layer": f"conv{i}", "model": "vgg16", "score": 0.5 + i, "p": 1.0} for i in range(3)]
    table = PageTable("A table", rows, "file.csv")
    assert table.same == {"model": "vgg16", "p": "1"}
    assert table.columns == {"layer": False, "score": True}
    assert [len(row) for row in table.cells] == [2, 2, 2]
    assert not PageTable("A table", rows[:1], "file.csv").same


@pytest.mark.parametrize("points", [10, 20_000])
def test_a_large_figure_is_shown_as_a_picture(tmp_path: Path, points: int) -> None:
    figure, (axes,) = new_figure()
    axes.scatter(*np.random.default_rng(0).random((2, points)))
    save_figure(figure, tmp_path, "cloud")
    shown = PageFigure.load(tmp_path, "cloud", "Cloud", "a cloud").source
    assert shown.startswith("data:image/svg") == (points == 10)
    assert shown.startswith("data:image/")
    assert len(shown) < 400_000


def test_a_link_leads_from_the_page_to_the_file_and_is_no_markup(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    page.parent.mkdir()
    report = tmp_path / "runs" / "a b#1" / "report.html"
    link = Link.to_file("<conv5>", report, page)
    assert (page.parent / unquote(link.address)).resolve() == report
    rows = [{"entry": link, "score": 0.5}, {"entry": Link("conv4", "x.html"), "score": 0.25}]
    content = {"title": "t", "table": PageTable("Means", rows, "t.csv"), "compare": "c"}
    write_page(page, "layers.html", **content, command="c", version="0", made="now")
    assert '<a href="../runs/a%20b%231/report.html">&lt;conv5&gt;</a>' in page.read_text()
