"""JSON that is not what it should be ends in one message that says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.fake_data.coco import CATEGORIES, annotation, image, square, write_json

from net2vec_pl.datasets.coco import CocoReader
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.errors import ConfigError, DataError, Net2VecError

SIZES = Resizing("squash", (8, 12), (8, 12))
GOOD = {
    "images": [image(1), image(2)],
    "annotations": [annotation(1, 1, [square(0, 0, 6, 8)])],
    "categories": CATEGORIES,
}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}
TEXTS = {
    "empty": ("", "is empty"),
    "text": ("hello", "is not JSON: Expecting value in line 1, column 1"),
    "half": (json.dumps(GOOD)[:200], "ends in the middle: was it copied or downloaded only in"),
    "nearly all": (json.dumps(GOOD)[:-1], "ends in the middle"),
    "a list": ("[1, 2]", r"has no list of annotations.*found: none of them"),
    "something else": ('{"features": []}', r"has no list of annotations.*found: features"),
}


@pytest.mark.parametrize("fault", TEXTS)
def test_a_file_that_is_no_coco_json(fault: str, tmp_path: Path) -> None:
    text, message = TEXTS[fault]
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"{path} {message}.*See docs/datasets\.md#coco"):
        CocoReader(path, resizing=SIZES)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\x89PNG\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="is not JSON"):
        CocoReader(tmp_path / "a.json", resizing=SIZES)


def test_an_absent_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "instances.json").touch()
    with pytest.raises(DataError, match=r"no such file\. .* holds instances\.json"):
        CocoReader(tmp_path / "instance.json", resizing=SIZES)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        CocoReader(tmp_path, resizing=SIZES)


CONTENTS: dict[str, tuple[dict[str, Any], str]] = {
    "captions": (
        {"annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}]},
        "without category_id, such as captions",
    ),
    "boxes": ({"annotations": [BOX, BOX | {"segmentation": []}]}, "boxes or keypoints only"),
    "keypoints": (
        {"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2]}]},
        "boxes or keypoints only",
    ),
    "no image_id": ({"annotations": [{"id": 1}]}, "annotations without image_id"),
    "other image": ({"annotations": [annotation(9, 1, [[]])]}, "of image id 9, which it lacks"),
    "other category": (
        {"annotations": [annotation(1, 2, [[]])]},
        r"of category id 2 on 0001\.png; its categories are 1, 3, 90",
    ),
    "no categories": ({"categories": []}, "names no category"),
    "no name": ({"categories": [{"id": 1}]}, "a category without a name: {'id': 1}"),
    "empty name": ({"categories": [{"id": 1, "name": " "}]}, "a category without a name"),
    "id of text": ({"categories": [{"id": "1", "name": "dog"}]}, "id '1', not a whole number"),
    "same id": (
        {"categories": [{"id": 1, "name": "dog"}, {"id": 1, "name": "cat"}]},
        "category id 1 belongs to 'dog' and 'cat'",
    ),
    "same name": (
        {"categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}]},
        "same category name more than once: dog",
    ),
    "same image id": (
        {"images": [image(1), image(1, file_name="b.png")]},
        "same image id more than once: 1",
    ),
    "same image": (
        {"images": [image(1), image(2, file_name="0001.png")]},
        r"same image more than once: 0001\.png",
    ),
    "no images": ({"images": []}, "lists no image"),
    "no file name": ({"images": [image(1, file_name="")]}, "image 1 has no file_name"),
    "no id": ({"images": [{"file_name": "a.png"}]}, "an image without an id"),
    "no size": ({"images": [image(1, height=None)]}, r"0001\.png has the size Nonex12"),
}


@pytest.mark.parametrize("fault", CONTENTS)
def test_content_that_contradicts_itself(fault: str, tmp_path: Path) -> None:
    change, message = CONTENTS[fault]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError, match=rf"{message}.*See docs/datasets\.md#coco"):
        CocoReader(path, resizing=SIZES)


def test_one_box_among_masks_is_a_fault_of_its_image(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", GOOD["images"], [*GOOD["annotations"], BOX])
    with pytest.raises(DataError, match=r"annotation 1 \(person\) has no mask"):
        CocoReader(path, resizing=SIZES)[0]


def two(folder: Path, **change: Any) -> list[Path]:
    """Write train and val files; the latter with a change."""
    train = write_json(folder / "train.json", [image(1)], [])
    return [
        train,
        write_json(folder / "val.json", **({"images": [image(2)], "annotations": []} | change)),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 1, "name": "cat"}]}, "id 1 is 'person' and 'cat'"),
        (
            {"categories": [{"id": 4, "name": "dog", "supercategory": "living"}]},
            "'dog' has the ids 3 and 4",
        ),
        ({"images": [image(1)]}, r"image 0001\.png is in train and in val"),
    ],
)
def test_two_files_that_do_not_go_together(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        CocoReader(two(tmp_path, **change), resizing=SIZES)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    paths = two(tmp_path)
    cases: list[tuple[Any, Any, str]] = [
        (paths, tmp_path / "none", "none: no such folder"),
        (paths[0], [tmp_path, tmp_path], "two folders, but data.annotations one file"),
        ([*paths, paths[0]], None, r"one path, or two: those of train and val"),
    ]
    for annotations, images, message in cases:
        with pytest.raises(Net2VecError, match=message):
            CocoReader(annotations, images, resizing=SIZES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no 0001\.png, nor any other of the first 1"):
        CocoReader(paths, tmp_path / "empty", resizing=SIZES)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="letterbox"):
        Resizing("leterbox", (8, 12), None)
