"""What ``learn`` gives: a bank with its scores, tables, figures, page and card."""

import io
import math
import pickle
import re
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import net2vec_pl
from net2vec_pl import Bank
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.paired_test import paired_test
from net2vec_pl.errors import ConfigError
from net2vec_pl.figures.style import save_figure
from net2vec_pl.records import Table
from net2vec_pl.records.kinds import FolderTables, kind_of
from net2vec_pl.report.probes import beside

SMALL = {"data.num_images": 80, "data.image_size": 48, "protocol.epochs": 2}
NAMES = ["sky", "sea", "grass", "house", "wall", "roof", "tree", "crown"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learned") / "run"


@pytest.fixture(scope="module")
def bank(folder: Path) -> Bank:
    return net2vec_pl.learn(
        "shapesnet", names=NAMES, target="both", seeds=2, analyses="all", device="cpu",
        options=SMALL | {
            "analysis.permutations": 100, "analysis.steps": 4,
            "analysis.sizes": [1, 4], "protocol.classification.epochs": 2,
        },
        folder=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def other() -> Bank:
    return net2vec_pl.learn(
        "shapesnet", names=["tree", *NAMES[:3]], protocol="lda", device="cpu", options=SMALL
    )


def png(figure: Figure, folder: Path) -> bytes:
    save_figure(figure, folder, "drawn")
    return (folder / "drawn.png").read_bytes()


def test_scores_are_rows_by_place_and_name(bank: Bank) -> None:
    assert [row.name for row in bank.scores] == bank.names
    assert bank.scores["sky"] is bank.scores[bank.names.index("sky")]
    assert [row.name for row in bank.scores[:2]] == bank.names[:2]
    with pytest.raises(ConfigError, match=r"unknown row 'skyy'. Did you mean 'sky'"):
        bank.scores["skyy"]
    assert bank.classifiers is not None
    assert 0.4 < bank.classifiers.scores["sky"].multi.accuracy <= 1
    assert bank.classifiers.score(torch.zeros(3, 48, 48, dtype=torch.uint8)).shape == (1, 8)


def test_every_table_of_the_folder_is_at_hand_and_can_be_read_back(
    bank: Bank, folder: Path
) -> None:
    files = {path.stem for path in (*folder.glob("*.csv"), *folder.glob("analysis/*.csv"))}
    assert {*bank.tables} == files
    unread = {name for name in files if kind_of(name) is None}
    assert unread == {name for name in files if name.startswith("category_matrix")}
    read = FolderTables(folder)
    for name in files - unread:
        assert isinstance(read[name], Table)
        # Cells: a record without an optional part and one read from an empty cell differ.
        assert len(read[name]) == len(bank.tables[name])
        for mine, theirs in zip(bank.tables[name].cells(), read[name].cells(), strict=True):
            same = {k: v for k, v in mine.items() if k in theirs}
            assert repr(same) == repr({k: theirs[k] for k in same}), name
    assert bank.findings == bank.tables["findings"]
    assert any("combination" in found.statement.lower() for found in bank.findings)


def test_tables_go_to_pandas(bank: Bank) -> None:
    pandas = pytest.importorskip("pandas")
    frame = bank.tables["gains"].to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(bank.tables["gains"].cells()[0])
    assert len(frame) == len(bank.tables["gains"])


def test_without_pandas_it_is_said_how_to_get_it(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        bank.scores.to_pandas()


def test_a_notebook_shows_tables_and_the_bank(bank: Bank) -> None:
    table = bank.scores._repr_html_()
    assert table.count("<tr>") == 1 + len(bank.scores)
    assert f"{bank.scores['sky'].multi_val:.3f}" in table
    card = bank._repr_html_()
    ranked = sorted(bank.scores, key=lambda row: -row.multi_val)
    shown = re.findall(r"<td>(?:best|worst)</td><td>(\S+?)</td>", card)
    assert shown == [row.name for row in (*ranked[:3], *ranked[-3:])]
    pictures = [b64decode(data) for data in re.findall(r"base64,([^\"]+)", card)]
    assert len(pictures) == 12
    sizes = {Image.open(io.BytesIO(data)).size for data in pictures}
    assert sizes == {(48, 48)}


def test_the_card_shows_the_true_mask_and_the_one_found(bank: Bank) -> None:
    source = bank.results.source
    assert source is not None
    shown = source.example("sky")
    assert shown is not None
    image, mask = shown
    assert mask.any()
    found = bank.segment(image, ["sky"])[0, 0]
    assert found.shape == mask.shape
    card = bank._repr_html_()
    row = re.search(r"<td>sky</td>.*?</tr>", card)
    if row is not None:
        datas = re.findall(r"base64,([^\"]+)", row[0])
        for data, one in zip(datas, (mask, found), strict=True):
            seen = np.asarray(Image.open(io.BytesIO(b64decode(data)))).mean(2)
            on = one.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy()
            light = image.float().mean(0).numpy()
            assert abs(seen[on].mean() - light[on].mean()) < 12
            assert abs(seen[~on].mean() - 0.2 * light[~on].mean()) < 12


def test_a_page_can_be_had_later(bank: Bank, folder: Path, tmp_path: Path) -> None:
    assert bank.report(tmp_path / "page.html") == tmp_path / "page.html"
    made = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d")
    first, later = (
        made.sub("", path.read_text("utf-8"))
        for path in (folder / "report.html", tmp_path / "page.html")
    )
    assert first == later


def test_a_page_of_a_run_without_a_folder(other: Bank, tmp_path: Path) -> None:
    page = other.report(tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/svg+xml") >= len(other.plot)
    assert "none was kept" in page
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_every_figure_can_be_drawn_again(bank: Bank, folder: Path, tmp_path: Path) -> None:
    files = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {*bank.plot} == files
    assert {"levels", "intervals"} <= {*dir(bank.plot)}
    figure = bank.plot.levels()
    assert isinstance(figure, Figure)
    assert png(figure, tmp_path) == (folder / "figures" / "levels.png").read_bytes()


def test_a_bank_survives_pickling(bank: Bank, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(bank))
    assert repr(again.scores) == repr(bank.scores)
    assert png(again.plot.levels(), tmp_path) == png(bank.plot.levels(), tmp_path)
    picture = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    assert torch.equal(again.segment(picture), bank.segment(picture))
    assert "img" not in again._repr_html_()
    with pytest.raises(net2vec_pl.Net2VecError, match="loaded or pickled"):
        again.report(tmp_path / "page.html")


def test_a_live_network_travels_with_its_bank() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
    bank = net2vec_pl.learn(
        network, names=["sky"], analyses="none", beside=(), device="cpu", options=SMALL
    )
    picture = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    again = pickle.loads(pickle.dumps(bank))
    assert torch.equal(again.logits(picture), bank.logits(picture))


def test_two_banks_are_compared_image_by_image(bank: Bank, other: Bank) -> None:
    rows = bank.compare(other)
    assert [row.name for row in rows] == [n for n in bank.names if n in other]
    for row in rows:
        assert row.score == bank.scores[row.name].multi_val
        assert row.other == other.scores[row.name].multi_val
        assert row.difference.value == pytest.approx(row.score - row.other)
        assert np.isnan(row.cosine)  # one reads bits, the other roots
    # The interval and the test are those of the pairs of these concepts alone.
    sky = rows["sky"]
    place = bank.names.index("sky"), other.names.index("sky")
    assert bank.results.counts is not None
    assert other.results.counts is not None
    mine, theirs = (
        type(counts)(
            counts.image[counts.concept == at],
            torch.zeros(int((counts.concept == at).sum()), dtype=torch.int64),
            counts.intersection[:, counts.concept == at],
            counts.union[:, counts.concept == at],
        )
        for counts, at in zip((bank.results.counts, other.results.counts), place, strict=True)
    )
    alone = beside(mine, theirs, 1)
    drawn = SetIouIntervals(alone).gain.array()[:, 0]
    assert sky.difference.value == pytest.approx(drawn[0])
    assert sky.difference.low == pytest.approx(drawn[1])
    assert sky.difference.high == pytest.approx(drawn[2])
    certain = paired_test(alone).p[0] < 0.001
    assert not certain or sky.better == ("this" if sky.difference.value > 0 else "other")
    back = other.compare(bank)["sky"]
    assert back.difference.value == pytest.approx(-sky.difference.value)
    assert {back.better, sky.better} in ({"this", "other"}, {"undecided"})


def test_the_same_bank_differs_in_nothing(bank: Bank) -> None:
    for row in bank.compare(bank):
        assert row.difference.value == 0
        few = math.isnan(row.difference.low)
        assert few or (row.difference.low, row.difference.high) == (0, 0)
        assert row.better == ("fewer than 10 images" if few else "undecided")
        assert row.cosine == pytest.approx(1)


def test_banks_of_other_images_are_compared_without_a_test(bank: Bank) -> None:
    elsewhere = net2vec_pl.learn(
        "shapesnet", names=["sky", "sea"], analyses="none", beside=(), device="cpu",
        options=SMALL | {"data.seed": 5},
    )  # fmt: skip
    for row in bank.compare(elsewhere):
        assert row.better == "scored on other images"
        assert np.isnan(row.difference.low)
        assert row.difference.value == row.score - row.other
        assert -1 <= row.cosine <= 1
    loaded = Bank(elsewhere.file)
    assert bank.compare(loaded)[0].better.startswith("not tested: ")
    assert np.isnan(bank.compare(loaded)[0].other)
    assert bank.classifiers is not None
    with pytest.raises(ConfigError, match="segments and the other classifies"):
        bank.compare(bank.classifiers)
    nothing = net2vec_pl.learn(
        "shapesnet", names=["sand"], analyses="none", beside=(), device="cpu", options=SMALL
    )
    with pytest.raises(ConfigError, match=r"no concept in common: sky, .* here, sand there"):
        bank.compare(nothing)


def test_the_front_door_says_what_is_behind_it() -> None:
    assert dir(net2vec_pl) == sorted(net2vec_pl.__all__)
    for name in net2vec_pl.__all__:
        assert getattr(net2vec_pl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lern'"):
        _ = getattr(net2vec_pl, "lern")  # noqa: B009  # which type checkers know


def test_editors_are_told_the_same_names() -> None:
    stub = Path(net2vec_pl.__file__).with_suffix(".pyi").read_text("utf-8")
    pairs = re.findall(r"from net2vec_pl\.(\w+) import \w+ as (\w+)", stub)
    assert {name: room for room, name in pairs} == vars(net2vec_pl)["_ROOMS"]
    assert re.findall(r'^    "(\w+)",', stub, re.MULTILINE) == dir(net2vec_pl)
