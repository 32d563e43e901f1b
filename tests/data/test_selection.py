from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import oracles
from support.fake_data.broden import GOLDEN_LABELS, FakeImage, FakeLabel, random_images
from support.fake_data.broden import write_broden_fixture as write

from net2vec_pl.data.scan import Scan, scan_files
from net2vec_pl.data.selection import Considered, Selection, select_concepts
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.errors import ConfigError, DataError

IMAGE_LEVEL = "image-level: not segmented"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "broden", random_images(24, seed=1))


def opened(folder: Path) -> tuple[BrodenReader, Scan]:
    reader = BrodenReader(folder)
    return reader, scan_files(reader, on_error="skip")


def select(
    folder: Path,
    *,
    categories: list[str] | None = None,
    names: list[str] | None = None,
    min_train: int = 1,
    min_val: int = 1,
) -> Selection:
    return select_concepts(
        *opened(folder), categories=categories, names=names, min_train=min_train, min_val=min_val
    )


def by_name(selection: Selection) -> dict[str, Considered]:
    return {entry.concept.name: entry for entry in selection.considered}


def test_alpha_and_counts_are_the_oracles(folder: Path) -> None:
    data = oracles.read_broden(folder)
    table = oracles.present(data)
    considered = select(folder).considered
    assert len(considered) == len(GOLDEN_LABELS)
    for entry in considered:
        number = entry.concept.number
        train = oracles.concept_images(data, table, "train", number)
        assert entry.n_train == len(train)
        assert entry.n_val == len(oracles.concept_images(data, table, "val", number))
        if not train:
            assert np.isnan(entry.alpha)
            continue
        masks = np.stack([oracles.label_mask(data["rows"][i], number) for i in train])
        assert entry.alpha == pytest.approx(oracles.alpha(masks), abs=1e-12)


def test_unreadable_images_do_not_count(folder: Path) -> None:
    before = by_name(select(folder))["red-c"]
    (folder / "images" / "some" / "000.jpg").unlink()  # a train image; all show colours
    after = by_name(select(folder))["red-c"]
    assert (after.n_train, after.n_val) == (before.n_train - 1, before.n_val)
    data = oracles.read_broden(folder)
    train = oracles.concept_images(data, oracles.present(data), "train", 2)[1:]
    masks = np.stack([oracles.label_mask(data["rows"][i], 2) for i in train])
    assert after.alpha == pytest.approx(oracles.alpha(masks), abs=1e-12)


def test_image_level_concepts_are_listed_and_not_segmented(folder: Path) -> None:
    entries = by_name(select(folder))
    assert entries["street-s"].status == IMAGE_LEVEL
    assert entries["street-s"].n_train > 0
    assert "street-s" not in select(folder).vocabulary.names


def test_minima_are_enforced_with_the_reason(tmp_path: Path) -> None:
    cell = np.full((4, 5), 256)
    images = [
        FakeImage("a.png", "train", {"object": [cell]}),
        FakeImage("b.png", "train", {"object": [cell], "part": [cell * 0 + 300]}),
        FakeImage("c.png", "val", {"object": [cell], "color": [cell * 0 + 2]}),
        FakeImage("d.png", "val", {"part": [cell * 0 + 300]}),
    ]
    write(tmp_path, images)
    statuses = {name: entry.status for name, entry in by_name(select(tmp_path)).items()}
    assert statuses["car"] == statuses["lid"] == "ok"
    assert statuses["red-c"] == "too few train images: 0 < 1"
    strict = by_name(select(tmp_path, min_train=2))
    assert strict["car"].status == "ok"
    assert strict["lid"].status == "too few train images: 1 < 2"
    with pytest.raises(DataError, match=r"lid \(too few val images: 1 < 2\)"):
        select(tmp_path, min_val=2)


def test_rows_follow_the_dataset_and_nothing_vanishes(folder: Path) -> None:
    selection = select(folder, min_train=5)
    reader = BrodenReader(folder)
    assert [entry.concept for entry in selection.considered] == list(reader.vocabulary)
    assert [entry.concept for entry in selection.probed] == list(selection.vocabulary)
    assert selection.dropped
    assert len(selection.probed) + len(selection.dropped) == len(selection.considered)


def test_patterns_choose_by_name(folder: Path) -> None:
    names = [entry.concept.name for entry in select(folder, names=["C?R", "*l*"]).considered]
    assert names == ["wheel", "handle", "car", "lid"]


def test_categories_choose_concepts_that_occur_in_them(folder: Path) -> None:
    selection = select(folder, categories=["object"])
    assert by_name(selection).keys() == {"wheel", "handle", "door", "car"}
    both = select(folder, categories=["object", "part"], names=["*l*"])
    assert by_name(both).keys() == {"wheel", "handle", "lid"}


@pytest.mark.parametrize(
    ("names", "categories", "text"),
    [
        (["weel"], None, "unknown concept 'weel'. Did you mean 'wheel'?"),
        (["car", "x*"], None, "unknown concept 'x\\*'"),
        (None, ["objects"], "unknown category 'objects'. Did you mean 'object'?"),
    ],
)
def test_what_fits_nothing_is_refused(
    folder: Path, names: list[str] | None, categories: list[str] | None, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        select(folder, names=names, categories=categories)


@pytest.mark.parametrize(("min_train", "min_val"), [(0, 1), (1, 0)])
def test_a_minimum_below_one_is_refused(folder: Path, min_train: int, min_val: int) -> None:
    text = f"data.min_train={min_train} and data.min_val={min_val} must be 1 or more"
    with pytest.raises(ConfigError, match=text):
        select(folder, min_train=min_train, min_val=min_val)


def test_nothing_left_is_refused_with_reasons(folder: Path) -> None:
    with pytest.raises(DataError, match="no concept is left of the 1 asked for") as caught:
        select(folder, names=["street*"])
    assert f"street-s ({IMAGE_LEVEL})" in str(caught.value)
    assert "data.names=['street*']" in str(caught.value)


def test_no_names_at_all_leave_nothing(folder: Path) -> None:
    with pytest.raises(DataError, match="none matched"):
        select(folder, names=[])


@pytest.mark.parametrize(("split", "absent"), [("train", "val"), ("val", "train")])
def test_a_dataset_of_one_split_is_refused(tmp_path: Path, split: str, absent: str) -> None:
    cells = {"object": [np.full((4, 5), 256)]}
    write(tmp_path / "mine", [FakeImage(f"{i}.png", split, cells) for i in range(3)])
    with pytest.raises(DataError, match=f"mine has no readable {absent} image"):
        select(tmp_path / "mine")


def test_a_concept_that_occurs_nowhere_is_listed(tmp_path: Path) -> None:
    labels = (*GOLDEN_LABELS, FakeLabel(900, "unicorn", ("object",)))
    write(tmp_path, random_images(9), labels)
    entry = by_name(select(tmp_path))["unicorn"]
    assert (entry.n_train, entry.n_val) == (0, 0)
    assert entry.status == "too few train images: 0 < 1"


def test_every_field_of_every_concept_is_counted_by_hand(tmp_path: Path) -> None:
    cell = np.full((4, 5), 256)
    car, nothing = cell.copy(), cell * 0
    car[2:] = 0  # 10 of 20 pixels
    images = [
        FakeImage("a.png", "train", {"object": [car], "scene": [70]}),
        FakeImage("b.png", "train", {"object": [cell], "part": [nothing + 300]}),
        FakeImage("c.png", "train", {"object": [car]}),
        FakeImage("d.png", "val", {"object": [car]}),
        FakeImage("e.png", "val", {"object": [car], "color": [nothing + 2]}),
        FakeImage("f.png", "val", {"part": [nothing + 300], "scene": [70]}),
        FakeImage("g.png", "val", {"part": [nothing + 300], "scene": [70]}),
    ]
    write(tmp_path, images)
    names = ["red-c", "street-s", "car", "lid"]

    def told(**options: Any) -> list[tuple[str, int, int, str]]:
        selection = select_concepts(*opened(tmp_path), names=names, **options)
        assert {e.concept.name for e in selection.dropped} == {
            e.concept.name for e in selection.considered if e.status != "ok"
        }
        return [(e.concept.name, e.n_train, e.n_val, e.status) for e in selection.considered]

    red, street = ("red-c", 0, 1, "too few train images: 0 < 1"), ("street-s", 1, 2)
    car_row, lid = ("car", 3, 2, "ok"), ("lid", 1, 2)
    assert told() == [red, (*street, IMAGE_LEVEL), car_row, (*lid, "ok")]
    assert told(segmented=False) == [red, (*street, "ok"), car_row, (*lid, "ok")]
    assert told(min_val=2) == told()
    assert told(min_train=3) == [
        ("red-c", 0, 1, "too few train images: 0 < 3"),
        (*street, IMAGE_LEVEL),
        car_row,
        (*lid, "too few train images: 1 < 3"),
    ]
    with pytest.raises(DataError) as caught:
        told(min_val=3, segmented=False)
    assert str(caught.value) == (
        "no concept is left of the 4 asked for (data.categories=None, "
        f"data.names={names}): red-c (too few train images: 0 < 1), "
        "street-s (too few val images: 2 < 3), car (too few val images: 2 < 3), "
        "lid (too few val images: 2 < 3)."
    )
    alphas = {e.concept.name: e.alpha for e in select(tmp_path, names=names).considered}
    assert np.isnan(alphas.pop("red-c"))
    assert alphas == pytest.approx({"street-s": 0, "car": 1 - (10 + 20 + 10) / 60, "lid": 0})


def test_a_split_without_readable_images_is_refused(tmp_path: Path) -> None:
    cell = np.full((4, 5), 256)
    images = [FakeImage(f"{split}.png", split, {"object": [cell]}) for split in ("train", "val")]
    for split in ("train", "val"):
        folder = write(tmp_path / split, images)
        (folder / "images" / f"{split}.png").unlink()
        with pytest.raises(DataError, match=f"^{split} has no readable {split} image\\.$"):
            select(folder)
