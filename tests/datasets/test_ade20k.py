"""ADE20K: both releases give the same samples; parts of parts are layers; faults are told."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.fake_data.ade20k import (
    CINEMA,
    ROOM,
    SCENES,
    STREET,
    FakeScene,
    grid,
    write_ade20k_2016,
    write_ade20k_2021,
)

from net2vec_pl.data import scan_files
from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.ade20k.names import read_json, short_names
from net2vec_pl.datasets.ade20k.reader import Ade20kReader
from net2vec_pl.errors import ConfigError, DataError

SIZES = {"image_size": (6, 8), "mask_size": (3, 4)}
WRITERS = [write_ade20k_2016, write_ade20k_2021]


def opened(root: Path, **options: object) -> Ade20kReader:
    return Ade20kReader(root, **(SIZES | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("write", WRITERS)
def test_a_literal_set(write: Callable[[Path], Path], tmp_path: Path) -> None:
    reader = opened(write(tmp_path))
    assert [Path(name).name for name in reader.image_names] == [
        "ADE_train_00000002.jpg", "ADE_train_00000001.jpg", "ADE_val_00000001.jpg",
    ]  # fmt: skip
    assert reader.is_train.tolist() == [True, True, False]
    assert reader.annotated.tolist() == [
        [True, False, True],
        [True, True, True],
        [True, False, True],
    ]
    assert [(c.number, c.name, c.categories) for c in reader.vocabulary] == [
        (401, "car", ("object",)),
        (774, "door", ("object", "part")),  # an object of two images, a part of one
        (1180, "handle", ("part",)),
        (1212, "headlight", ("part",)),
        (2123, "screen", ("object",)),  # of two images, so the other one is CRT screen
        (2124, "CRT screen", ("object",)),
        (2420, "sky", ("object",)),
        (2978, "wall", ("object",)),
        (6656, "cinema-s", ("scene",)),
        (6657, "home_office-s", ("scene",)),
        (6658, "street-s", ("scene",)),
    ]
    street = reader[1]
    assert street.map_categories == ("object", "part", "part")
    assert street.label_maps.tolist() == [
        [[2420] * 4, [401, 401, 0, 2978], [401, 401, 774, 774]],
        [[0] * 4, [774, 774, 0, 0], [1212, 774, 1180, 0]],
        [[0] * 4, [1180, 0, 0, 0], [0, 1180, 0, 0]],
    ]
    assert street.image_labels == (("scene", 6658),)
    assert reader[0].map_categories == ("object",)
    assert reader.notes(1) == ("6 x 8, resized by squash",)


def test_both_releases_give_the_same_samples(tmp_path: Path) -> None:
    old, new = (opened(w(tmp_path / w.__name__)) for w in WRITERS)
    assert old.vocabulary == new.vocabulary
    for row in range(3):
        one, other = old[row], new[row]
        assert one.image.equal(other.image)
        assert one.label_maps.equal(other.label_maps)
        assert one.image_labels == other.image_labels
    assert len(scan_files(new).readable) == 3


def test_sizes_and_rules_are_those_asked_for(tmp_path: Path) -> None:
    wide = replace(
        STREET, maps=[np.kron(m, np.ones((1, 2), int)) for m in STREET.maps], size=(6, 16)
    )
    reader = opened(write_ade20k_2021(tmp_path, [wide, ROOM, CINEMA]), resize="letterbox")
    assert reader[1].image.shape == (3, 6, 8)
    labels = reader[1].label_maps
    assert labels.shape == (3, 3, 4)
    assert (labels[:, [0, 2]] == -1).sum() >= 4  # above and below is nothing
    larger = reader.at_mask_size((12, 16))
    assert larger.mask_size == (12, 16)
    assert larger[1].label_maps.shape == (3, 12, 16)
    assert reader.at_mask_size(None)[0].label_maps.shape == (1, 6, 8)  # its own
    assert reader[1].label_maps.equal(labels)
    with pytest.raises(ConfigError, match=r"unknown value of data\.resize 'crop'"):
        opened(tmp_path, resize="crop")


def test_images_lie_as_they_are_stored(tmp_path: Path) -> None:
    reader = opened(write_ade20k_2021(tmp_path))
    before, path = reader[1].image, tmp_path / reader.image_names[1]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data, tag = path.read_bytes(), exif.tobytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + data[2:])
    with Image.open(path) as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 6
    assert reader[1].image.equal(before)


def png(mode: str, size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"_seg.png": b""}, r"mask .*_seg\.png is absent"),
        ({"_parts_1.png": b"no image"}, r"mask .*_parts_1\.png cannot be decoded"),
        ({"_seg.png": png("L", (8, 6))}, r"_seg\.png is a PNG of mode L; ADE20K's are PNG, RGB"),
        ({"_seg.png": png("RGB", (8, 5))}, r"_seg\.png is 5x8 \(height x width\), its image 6x8"),
        ({".json": b""}, r"description .*00000001\.json is absent"),
        ({".json": b"{"}, r"00000001\.json is not ADE20K's description of an image: JSONDecode"),
        ({".json": b'{"annotation": {}}'}, r"description of an image: KeyError: 'object'"),
        ({".json": b"[]"}, r"description of an image: TypeError"),
    ],
)
def test_a_damaged_row_is_told_and_the_others_are_read(
    wrong: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    reader = opened(write_ade20k_2021(tmp_path, [replace(STREET, wrong=wrong), ROOM, CINEMA]))
    with pytest.raises(UnreadableRowError, match=message):
        reader[1]
    assert len(scan_files(reader, on_error="skip").readable) == 2
    assert reader.fingerprint(1)


def test_a_class_that_nothing_names_is_told(tmp_path: Path) -> None:
    write_ade20k_2021(tmp_path)
    path = next(tmp_path.rglob("ADE_val_00000001.json"))
    described = json.loads(path.read_text())
    described["annotation"]["object"] = []
    path.write_text(json.dumps(described))
    next(tmp_path.rglob("ADE_train_00000002.json")).write_text(json.dumps(described))
    with pytest.raises(UnreadableRowError, match=r"holds classes that no description names: 2123$"):
        opened(tmp_path)[2]


def test_descriptions_as_the_release_has_them(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    one = {"name": "café", "name_ndx": 5, "parts": {"part_level": 0}}
    path.write_bytes(
        json.dumps({"annotation": {"object": one}}, ensure_ascii=False).encode("latin-1")
    )
    assert read_json(path) == {(5, "café", False)}  # alone, it is not in a list
    nameless = [one, {"name": [], "name_ndx": 7, "parts": {"part_level": 1}}, one | {"name_ndx": 0}]
    path.write_text(json.dumps({"annotation": {"object": nameless}}))
    assert read_json(path) == {(5, "café", False)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 # 0 # 0 # sky # sky", r"line 1: '1 # 0 # 0 # sky # sky' is not instance # part level"),
        ("1 # x # 0 # sky # sky # ''", r"line 1: .* is not instance # part level"),
        ('1 # 0 # 0 # moon # moon # ""', r"class 'moon' is not in index_ade20k\.mat"),
    ],
)
def test_a_damaged_line_of_2016_is_told(line: str, message: str, tmp_path: Path) -> None:
    broken = replace(STREET, wrong={"_atr.txt": line.encode()})
    write_ade20k_2016(tmp_path, [broken, ROOM, CINEMA])
    with pytest.raises(UnreadableRowError, match=message):
        opened(tmp_path)[1]


def test_the_index_of_2016_must_be_there_and_be_one(tmp_path: Path) -> None:
    index = write_ade20k_2016(tmp_path) / "index_ade20k.mat"
    index.write_bytes(b"no matrix")
    with pytest.raises(DataError, match=r"index_ade20k\.mat is not ADE20K's index: .*#ade20k\.$"):
        opened(tmp_path)
    index.unlink()
    (tmp_path / "index_ade20k.pkl").write_bytes(b"never read")
    with pytest.raises(DataError, match=r"index_ade20k\.mat is absent: .*of 2016.*#ade20k\.$"):
        opened(tmp_path)


def test_another_folder_is_told_with_what_it_looks_like(tmp_path: Path) -> None:
    root = write_ade20k_2021(tmp_path / "ADE20K_2021_17_01")
    for folder, message in (
        (tmp_path / "none", r"data\.root=.*none: no such folder\. See docs/datasets\.md#ade20k\.$"),
        (tmp_path, r"not in ADE20K's layout: .* Did you mean .*ADE20K_2021_17_01\?"),
        (root / "images", r"no image below images/\*\*/training or images/\*\*/validation\."),
    ):
        with pytest.raises(DataError, match=message):
            opened(folder)
    shutil.rmtree(root / "images")
    for name in ("images", "annotations"):
        (root / name / "training").mkdir(parents=True)
    with pytest.raises(DataError, match=r"scene parsing benchmark .* which data=masks reads"):
        opened(root)


def test_a_digest_changes_with_every_file_and_rule(tmp_path: Path) -> None:
    reader = opened(write_ade20k_2021(tmp_path))
    before = reader.fingerprint(1)
    assert opened(tmp_path, resize="letterbox").fingerprint(1) != before
    mask = next(tmp_path.rglob("*_parts_2.png"))
    mask.write_bytes(mask.read_bytes() + b" ")
    assert reader.fingerprint(1) != before


def test_names_are_the_first_that_are_free() -> None:
    names = {1: "screen, CRT screen", 2: "screen, silver screen", 3: "screen", 4: "street-s"}
    assert short_names(names, Counter({2: 5, 3: 4, 1: 3}), {"street-s"}) == {
        1: "CRT screen", 2: "screen", 3: "screen (3)", 4: "street-s (4)",
    }  # fmt: skip


def test_an_image_without_scene_has_no_scene_label(tmp_path: Path) -> None:
    plain = FakeScene("training", "ADE_train_00000009", [grid([2420] * 4, [0] * 4, [0] * 4)])
    reader = opened(write_ade20k_2021(tmp_path, [plain, *SCENES]))
    assert reader[0].image_labels == ()
    assert reader.annotated[0].tolist() == [True, False, False]
