"""The page of samples shows what a reader reads: every layer, label, gap and fault, by name."""

import base64
import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cli import composed
from support.held_sets import HeldReader, HeldRow

from net2vec_pl.data import Scan, scan_files
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.doctor.examination import NotReadyError, examine
from net2vec_pl.doctor.samples import choose_rows, write_samples

QUICK = [
    "task=doctor", "data.num_images=30", "data.image_size=32", "loader.workers=0",
    "callbacks.progress=false", "trainer=cpu", "sample=30",
]  # fmt: skip
LONG = "a very <b>long</b> name & more, " * 6 + "without_any_place_to_break" * 4


def odd_set() -> tuple[SomeRows, Scan]:
    """Return rows of every kind: layers, unknown pixels, nothing, nothing annotated, a fault."""
    concepts = [(1, LONG, ("part",)), (7, "lamp", ("object",)), (9, "attic-s", ("scene",))]
    lamp = np.array([[7, 7, 0], [0, -1, -8]])
    rows = [
        HeldRow(
            [("object", lamp), ("part", lamp // 7), ("part", np.array([[1, 0, 0], [0, 0, 0]]))],
            [("scene", 9)],
            notes=("480 x 640, resized by squash",),
        ),
        HeldRow([("object", lamp * 0)], train=False),
        HeldRow(),
        HeldRow(fault="mask <x>.png is absent"),
    ]
    pixels = {"object": True, "part": True, "scene": False}
    reader = HeldReader("odd <set>", concepts, rows, pixels=pixels, prefix="films/")
    scan = Scan(
        row=np.array([0, 0]),
        number=np.array([1, 7]),
        pixels=np.array([2, 2]),
        readable=np.array([0, 1, 2]),
        unreadable=((3, "mask <x>.png is absent"),),
        digest="",
    )
    return SomeRows(reader, np.arange(4)), scan


def sections(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split('<section class="sample">')


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", html))).strip()


def pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/\w+;base64,([^"]*)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_every_row_shows_what_it_holds(tmp_path: Path) -> None:
    sample, scan = odd_set()
    write_samples(tmp_path / "page.html", sample, scan, [0, 1, 2])
    head, full, empty, nothing = sections(tmp_path / "page.html")
    assert "3 of 4 rows (3 train, 1 val), images of 4 x 6, masks of 2 x 3, 3 concepts." in head
    assert "odd &lt;set&gt;" in head
    assert "films/3.png : mask <x>.png is absent" in text_of(head)
    told = text_of(full)
    assert "row 0, train · 480 x 640, resized by squash · scene: attic-s image" in told
    titles = ["image", "object", "part, layer 1 of 2", "part, layer 2 of 2"]
    assert re.findall("<figcaption>(.*?)</figcaption>", full) == titles
    assert "1 lamp 33.3% unknown 16.7% unknown for lamp alone 16.7%" in told
    assert f"1 {LONG.strip()} 16.7%" in re.sub(r"\s+", " ", told)
    assert len(pictures(full)) == 4
    assert "row 1, val · annotated, and nothing there: object · not annotated: part, scene" in (
        text_of(empty)
    )
    assert "row 2, train · not annotated: object, part, scene" in text_of(nothing)
    assert len(pictures(empty)) == len(pictures(nothing)) == 1
    assert "://" not in head + full + empty + nothing  # it is one file


def test_masks_lie_where_they_are(tmp_path: Path) -> None:
    sample, scan = odd_set()
    write_samples(tmp_path / "page.html", sample, scan, [0])
    image, lamp, *_ = pictures(sections(tmp_path / "page.html")[1])
    assert image.shape == lamp.shape == (213, 320, 3)
    differs = np.abs(image.astype(int) - lamp).sum(2) > 60
    blocks = differs[:212, :318].reshape(2, 106, 3, 106).mean((1, 3))
    assert blocks[0, :2].min() > 0.3
    assert blocks[1, 1:].min() > 0.3  # hatched
    assert max(blocks[0, 2], blocks[1, 0]) < 0.1


def test_rows_are_of_both_splits_and_of_every_category() -> None:
    reader = ShapesReader(num_images=200, image_size=32)
    scan = scan_files(reader)
    chosen = choose_rows(reader, scan)
    assert chosen == sorted({*chosen})
    assert len(chosen) == 20
    for place in range(len(reader.categories)):
        for train in (True, False):
            some = reader.annotated[chosen, place] & (reader.is_train[chosen] == train)
            assert some.any()
    assert choose_rows(reader, scan, most=500) == list(range(200))


def test_a_row_that_shows_nothing_is_among_them_and_a_broken_one_is_not() -> None:
    sample, scan = odd_set()
    assert choose_rows(sample, scan) == [0, 1, 2]
    assert choose_rows(sample, scan, most=2) == [0, 1]


def test_doctor_writes_the_page_where_it_is_asked_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examine(composed(*QUICK))
    assert "page=samples.html writes a page of images with their masks" in capsys.readouterr().out
    assert not [*tmp_path.iterdir()]
    examine(composed(*QUICK, "page=new/samples.html"))
    path = tmp_path / "new" / "samples.html"
    assert f"20 images with their masks: {path}" in capsys.readouterr().out
    assert [*path.parent.iterdir()] == [path]
    assert len(sections(path)) == 21


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("data.csv", "page=data.csv must end in .html, as in page=samples.html"),
        ("file/samples.html", "page=file/samples.html cannot be written: "),
    ],
)
def test_a_page_that_cannot_be_written_is_told(
    page: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data.csv", "file"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(NotReadyError, match=re.escape(message)):
        examine(composed(*QUICK, f"page={page}"))
    assert (tmp_path / "data.csv").read_text() == "mine"
