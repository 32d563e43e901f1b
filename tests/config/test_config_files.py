"""Folders as datasets and tools write them are opened by a command, and wrong ones are told."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.fake_data.mask_sets import (
    Drawn,
    labels,
    photograph,
    save,
    write_cityscapes,
    write_cvat,
    write_label_studio,
    write_sceneparse,
    write_voc,
)
from support.layouts import opened, write_rows

from net2vec_pl.data import ConceptReader
from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.errors import ConfigError, DataError, Net2VecError

CITY = {"suffix": "_gtFine_labelIds", "image_suffix": "_leftImg8bit"}
SETS: dict[str, tuple[Callable[[Path], Drawn], dict[str, Any], dict[int, int]]] = {
    "voc": (write_voc, {"labels": [f"n{n}" for n in range(1, 21)]}, {255: -1}),
    "cityscapes": (
        write_cityscapes,
        {"labels": {7: "road", 33: "bicycle"}, "unknown": [0, 1, 2, 3], **CITY},
        {0: -1, 3: -1},
    ),
    "sceneparse": (write_sceneparse, {}, {}),
    "cvat": (write_cvat, {"split": 0.4}, {}),
}


def refused(kind: type[Net2VecError], name: str = "masks", **options: Any) -> str:
    with pytest.raises(kind) as caught:
        opened(name, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", [*SETS])
def test_sets_in_their_own_layouts_are_read_as_drawn(tmp_path: Path, name: str) -> None:
    write, options, read_as = SETS[name]
    drawn = write(tmp_path)
    reader = opened("masks", root=tmp_path, mask_size=(9, 9), **options).at_mask_size(None)
    assert reader.image_names == sorted(drawn)
    assert 0 < reader.is_train.sum() < len(drawn)
    for row, image in enumerate(reader.image_names):
        want = drawn[image].astype(int)
        for value, number in read_as.items():
            want[drawn[image] == value] = number
        sample = reader[row]
        assert sample.label_maps[0].tolist() == want.tolist()
        assert sample.image.shape == (3, 48, 48)


def test_splits_come_from_lists_and_folders(tmp_path: Path) -> None:
    write_voc(tmp_path / "voc")
    names = {"labels": [f"n{n}" for n in range(1, 21)]}
    assert opened("masks", root=tmp_path / "voc", **names).is_train.tolist() == [1, 1, 0, 0]
    write_sceneparse(tmp_path / "ade")
    reader = opened("masks", root=tmp_path / "ade")
    assert reader.is_train.tolist() == [True, True, False]
    assert reader.vocabulary.names[149] == "thing, 150"
    lists = ["ImageSets/Segmentation/val.txt", "ImageSets/Segmentation/train.txt"]
    other = opened("masks", root=tmp_path / "voc", split=lists, **names)
    assert other.is_train.tolist() == [False, False, True, True]


def test_masks_take_half_of_the_networks_size_unless_all_are_smaller(tmp_path: Path) -> None:
    for row in range(3):
        save(photograph(0), tmp_path / "images" / f"{row}.png")
        save(labels(0, (1,)), tmp_path / "masks" / f"{row}.png")
    assert opened("masks", root=tmp_path, labels=["a"]).mask_size == (12, 18)
    small = opened("masks", root=tmp_path, labels=["a"], image_size=20)
    assert (small.image_size, small.mask_size) == ((20, 20), (10, 10))
    boxed = opened("masks", root=tmp_path, labels=["a"], resize="letterbox", image_size=20)
    assert (boxed[0].label_maps[0] == -1).any(1).tolist() == [True] * 2 + [False] * 6 + [True] * 2


def test_masks_beside_the_images_and_uppercase_suffixes(tmp_path: Path) -> None:
    for row in range(3):
        save(photograph(row), tmp_path / f"IMG é {row}.PNG")
        save(labels(row, (1,)), tmp_path / f"IMG é {row}_mask.Png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "._IMG.png").write_bytes(b"x")
    options = {"images": tmp_path, "masks": tmp_path, "suffix": "_mask", "labels": ["a"]}
    reader = opened("masks", **options, mask_size=(12, 18))
    assert reader.image_names == [f"IMG é {row}" for row in range(3)]
    assert reader[0].label_maps[0].tolist() == labels(0, (1,)).tolist()


def test_what_has_no_partner_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for row in range(4):
        save(photograph(row), tmp_path / "images" / f"{row}.png")
        save(labels(row, (1,)), tmp_path / "masks" / f"{row + 1}.png")
    assert opened("masks", root=tmp_path, labels=["a"]).image_names == ["1", "2", "3"]
    assert [m.split(" and are left out")[0] for m in caplog.messages] == [
        "1 images have no mask",
        "1 masks have no image",
    ]


def test_names_that_do_not_match_are_told_with_the_suffix_that_would(tmp_path: Path) -> None:
    save(photograph(0), tmp_path / "images" / "a.png")
    save(labels(0, (1,)), tmp_path / "masks" / "a_seg.png")
    said = refused(DataError, root=tmp_path, labels=["x"])
    assert "images are called 'a', masks 'a_seg'. Did you mean data.suffix=_seg?" in said


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({}, ConfigError, "data=masks needs data.root=DIR, with a folder of images"),
        ({"root": "nowhere"}, DataError, "data.root=nowhere: no such folder. docs/datasets.md"),
        ({"root": "empty"}, DataError, "has no folder of images by a usual name; give data.images"),
        ({"root": "bare"}, ConfigError, "data.labels says what the numbers in the masks"),
        ({"root": "bare", "labels": "no.txt"}, ConfigError, "data.labels=no.txt: no such file"),
        ({"root": "bare", "labels": ["a"]}, DataError, "holds no image"),
        ({"root": "bare", "labels": ["a"], "unknown": "blu"}, DataError, "holds no image"),
        ({"root": "bare", "concept_from": "x"}, DataError, "holds no image"),
    ],
)
def test_what_cannot_be_opened_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    kind: type[Net2VecError],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "bare/images", "bare/masks"):
        Path(folder).mkdir(parents=True)
    if options.get("labels") in (None, "no.txt") and "concept_from" not in options:
        save(photograph(0), Path("bare/images/a.png"))
    assert said in refused(kind, **options)


def test_unknown_and_layouts_of_concepts_are_checked(tmp_path: Path) -> None:
    write_cvat(tmp_path)
    said = "data.unknown=blu must be auto, null, a number, or a colour such as '#e0e0c0'"
    assert said in refused(ConfigError, root=tmp_path, unknown="blu", split=0.4)
    assert "Known: folder, suffix." in refused(ConfigError, root=tmp_path, concept_from="x")
    reader = opened("masks", root=tmp_path, unknown="#fa3253", split=0.4, mask_size=(12, 18))
    assert {*reader[0].label_maps.flatten().tolist()} == {0, -1, 2}


def test_a_label_without_a_name_is_refused_or_nothing(tmp_path: Path) -> None:
    write_voc(tmp_path)
    reader = opened("masks", root=tmp_path, labels=["a", "b"])
    with pytest.raises(UnreadableRowError, match="holds label 15, which has no name; there are na"):
        reader[0]
    some = opened("masks", root=tmp_path, labels={15: "person"}, mask_size=(12, 18))
    assert {*some[0].label_maps.flatten().tolist()} == {0, 15, -1}


# ---- tables and classes


def table(tmp_path: Path, lines: list[dict[str, str]], **options: Any) -> ConceptReader:
    for row in range(4):
        save(photograph(0), tmp_path / f"{row}.png")
        save(labels(0, (1,)), tmp_path / f"m{row}.png")
    write_rows(tmp_path / "t.csv", lines)
    return opened("table", file=tmp_path / "t.csv", **options)


def test_a_table_has_masks_labels_groups_and_images_that_show_nothing(tmp_path: Path) -> None:
    line = {"image": "", "concept": "", "mask": "", "split": "train", "group": "", "category": ""}
    lines = [
        line | {"image": "0.png", "concept": "cat", "mask": "m0.png", "group": "a"},
        line | {"image": "0.png", "concept": "dog", "mask": "m0.png", "group": "a"},
        line | {"image": "0.png", "concept": "indoor; dark", "group": "a", "category": "scene"},
        line | {"image": "1.png", "group": "b", "category": "object"},
        line | {"image": "2.png", "concept": "cat", "mask": "m2.png", "split": "val", "group": "c"},
        line | {"image": "3.png", "concept": "cat", "mask": "m3.png", "split": "test"},
    ]
    reader = table(tmp_path, lines, mask_size=(12, 18))
    assert reader.image_names == ["0.png", "1.png", "2.png"]
    assert reader.is_train.tolist() == [True, True, False]
    assert reader.groups is not None
    assert reader.groups.tolist() == [0, 1, 2]
    assert [(c.name, c.pixels) for c in reader.categories] == [("object", True), ("scene", False)]
    assert reader.annotated.tolist() == [[True, True], [True, False], [True, False]]
    assert [(c.number, c.name) for c in reader.vocabulary] == [
        *enumerate(["cat", "dog", "indoor", "dark"], 1)
    ]
    sample, drawn = reader[0], labels(0, (1,))
    assert sample.label_maps.tolist() == [drawn.tolist(), (2 * drawn.astype(int)).tolist()]
    assert sample.image_labels == (("scene", 3), ("scene", 4))
    assert reader[1].label_maps.tolist() == [np.zeros((12, 18), int).tolist()]
    assert len({reader.fingerprint(row) for row in range(3)}) == 3


def test_groups_stay_on_one_side_of_a_drawn_split(tmp_path: Path) -> None:
    lines = [
        {"image": f"{n}.png", "concept": "a", "mask": f"m{n}.png", "group": str(n // 2)}
        for n in range(4)
    ]
    for seed in range(4):
        first = table(tmp_path, lines, seed=seed).is_train.tolist()
        assert first in ([True, True, False, False], [False, False, True, True])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"concept": ""}, "line 3 has a mask, but no concept. docs/datasets.md#table"),
        ({"image": ""}, "line 3 names no image"),
        ({"split": "dev"}, "the split of 1.png is 'dev'; known: train, val"),
        ({"mask": ""}, "concept 'a' is in the categories 'object' and 'class'"),
        ({"mask": "", "category": "object"}, "category object has masks for some images and none"),
        ({"image": "0.png", "split": "val"}, "line 3: 0.png has split 'val' and 'train'"),
    ],
)
def test_lines_that_contradict_are_told(tmp_path: Path, change: dict[str, str], said: str) -> None:
    line = {"concept": "a", "split": "train", "category": ""}
    lines = [
        line | {"image": "0.png", "mask": "m0.png"},
        line | {"image": "1.png", "mask": "m1.png"},
    ]
    lines[1] |= change
    with pytest.raises(DataError) as caught:
        table(tmp_path, lines)
    assert said in str(caught.value)


def test_a_table_needs_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column concept; it has image, label"):
        table(tmp_path, [{"image": "a", "label": "b"}])
    assert "data=table needs data.file=CSV" in refused(ConfigError, "table")
    assert "cannot be read" in refused(DataError, "table", file=tmp_path / "none.csv")


@pytest.mark.parametrize("split", [True, False])
def test_folders_are_classes(tmp_path: Path, split: bool) -> None:
    for row in range(6):
        folder = ("val/" if row % 3 == 2 else "train/") if split else ""
        save(
            photograph(row), tmp_path / f"{folder}{'cat' if row < 3 else 'big dog'}" / f"{row}.png"
        )
    reader = opened("classes", root=tmp_path)
    assert reader.vocabulary.names == ["big dog", "cat"]
    assert [(c.name, c.pixels) for c in reader.categories] == [("class", False)]
    assert int(reader.is_train.sum()) == 4
    sample = reader[0]
    assert (sample.label_maps.shape, sample.image_labels) == ((0, 24, 24), (("class", 1),))
    assert torch.equal(reader.at_mask_size((9, 9))[0].image, sample.image)


def test_classes_in_a_file_and_loose_images(tmp_path: Path) -> None:
    save(photograph(0), tmp_path / "a.png")
    save(photograph(0), tmp_path / "b.png")
    write_rows(
        tmp_path / "c.csv",
        [
            {"image": "a.png", "concept": "red;round", "split": "train"},
            {"image": "b.png", "concept": "round", "split": "val"},
        ],
    )
    reader = opened("classes", file=tmp_path / "c.csv")
    assert reader[0].image_labels == (("class", 1), ("class", 2))
    assert "in no folder of a class: a, b" in refused(DataError, "classes", root=tmp_path)
    assert "data=classes needs data.root=DIR" in refused(ConfigError, "classes")


# ---- photographs that were turned


def turned(pixels: np.ndarray, path: Path) -> None:
    """Save a photograph that is to be turned a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.mark.parametrize(
    ("mask", "seen"), [((18, 12), "turned"), ((12, 18), "stored"), ((6, 9), "stored")]
)
def test_a_photograph_lies_as_its_mask(
    tmp_path: Path, mask: tuple[int, int], seen: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored = photograph(0)
    for row in range(2):
        turned(stored, tmp_path / "images" / f"{row}.png")
        save(np.ones(mask, dtype=np.uint8), tmp_path / "masks" / f"{row}.png")
    want = np.rot90(stored, -1) if seen == "turned" else stored
    reader = opened("masks", root=tmp_path, labels=["a"], image_size=list(want.shape[:2]))
    assert reader[0].image.permute(1, 2, 0).tolist() == want.tolist()
    assert not caplog.messages


def test_a_mask_that_fits_no_way_is_refused_and_a_square_one_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned(photograph(0), tmp_path / "images" / "0.png")
    save(np.ones((12, 12), dtype=np.uint8), tmp_path / "masks" / "0.png")
    square = photograph(0)[:, :12]
    for row in (1, 2):
        turned(square, tmp_path / "images" / f"{row}.png")
        save(np.ones((12, 12), dtype=np.uint8), tmp_path / "masks" / f"{row}.png")
    reader = opened("masks", root=tmp_path, labels=["a"], image_size=12)
    with pytest.raises(
        UnreadableRowError,
        match=r"is 12x18 \(height x width\), 18x12 turned as its EXIF tag says, but its mask is 12",
    ):
        reader[0]
    for row in (1, 2):
        assert reader[row].image.permute(1, 2, 0).tolist() == np.rot90(square, -1).tolist()
    assert len(caplog.messages) == 1
    assert "has an EXIF orientation, and its masks fit it turned as well as not" in caplog.text


def test_an_empty_mask_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for row in range(2):
        save(photograph(0), tmp_path / "images" / f"{row}.png")
        save(np.zeros((12, 18), dtype=np.uint8), tmp_path / "masks" / "cat" / f"{row}.png")
    reader = opened("masks", root=tmp_path, concept_from="folder")
    assert not reader[0].label_maps.any()
    assert not reader[1].label_maps.any()
    assert len(caplog.messages) == 1
    assert "0.png is empty, so nothing is there. Other empty masks are not told" in caplog.text


def test_concepts_may_be_chosen_and_numbered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for row in range(2):
        save(photograph(0), tmp_path / "images" / f"{row}.png")
        for name in ("cat", "dog"):
            save(labels(0, (1,)), tmp_path / "masks" / f"{row}_{name}.png")
    options: dict[str, Any] = {"root": tmp_path, "concept_from": "suffix"}
    reader = opened("masks", **options, labels={9: "dog", 4: "newt"})
    assert [(c.number, c.name) for c in reader.vocabulary] == [(9, "dog"), (4, "newt")]
    assert {*reader[0].label_maps.flatten().tolist()} == {0, 9}
    assert caplog.messages == ["there is no mask of newt"]
    said = "none of the concepts of data.labels has a mask: newt; there are masks of cat, dog."
    assert said in refused(DataError, **options, labels=["newt"])


def test_label_studio_becomes_a_table_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = write_label_studio(tmp_path / "export")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    (code,) = [part for part in re.findall(r"```py\n(.*?)```", page, re.S) if "brush" in part]
    exec(compile(code, "datasets.md", "exec"), {})
    reader = opened("table", file=tmp_path / "export" / "table.csv", mask_size=(9, 9), split=0.4)
    own = reader.at_mask_size(None)
    for row, name in enumerate(reader.image_names):
        assert own[row].label_maps.sum(0).tolist() == drawn[Path(name).stem].tolist()
