"""The reader of COCO's JSON: what its pixels, splits and flags mean."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.fake_data.coco import CATEGORIES, annotation, image, runs, square, write_json
from support.states import DOUBT, NO, YES, state

from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError, unknown_label
from net2vec_pl.datasets.coco import CocoReader
from net2vec_pl.datasets.images.resizing import Resizing

SIZE = (8, 12)
NATIVE = Resizing("squash", SIZE, SIZE)
LEFT, RIGHT = [square(0, 0, 6, 8)], [square(6, 0, 12, 8)]


def opened(path: Path, resizing: Resizing = NATIVE, **more: Any) -> CocoReader:
    return CocoReader(path, resizing=resizing, **more)


def a_row(folder: Path, *annotations: dict[str, Any], **more: Any) -> CocoReader:
    """Open a dataset of one annotated image and one that has nothing."""
    images = [image(1, **more), image(2, **more)]
    return opened(write_json(folder / "coco.json", images, annotations))


def states(reader: CocoReader, name: str, row: int = 0) -> torch.Tensor:
    return state(reader[row], reader.vocabulary[reader.vocabulary.row(name)])


def test_categories_are_concepts_and_supercategories_their_categories(tmp_path: Path) -> None:
    reader = a_row(tmp_path, annotation(1, 90, LEFT))
    assert [(c.number, c.name, c.category) for c in reader.vocabulary] == [
        (1, "person", "living"),
        (3, "dog", "living"),
        (90, "cup", "kitchen"),
    ]
    assert [(c.name, c.pixels) for c in reader.categories] == [("living", True), ("kitchen", True)]
    sample = reader[0]
    assert sample.map_categories == ("kitchen",)
    assert sample.label_maps[0, 0].tolist() == [90] * 6 + [0] * 6


def test_an_image_without_annotations_holds_nothing_and_is_annotated(tmp_path: Path) -> None:
    reader = a_row(tmp_path, annotation(1, 1, LEFT))
    assert reader[1].label_maps.shape == (0, *SIZE)
    assert reader.annotated.all()


def test_an_id_of_0_moves_all_label_numbers_by_one(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "dog"}, {"id": 7, "name": "cup", "supercategory": ""}]
    path = write_json(
        tmp_path / "a.json", [image(1), image(2)], [annotation(1, 0, LEFT)], categories
    )
    reader = opened(path)
    assert reader.vocabulary.numbers.tolist() == [1, 8]
    assert {c.category for c in reader.vocabulary} == {"object"}  # none is named
    assert {*reader[0].label_maps.flatten().tolist()} == {0, 1}


def test_instances_of_a_concept_are_their_union_in_one_map(tmp_path: Path) -> None:
    overlapping = annotation(1, 1, [square(4, 0, 8, 8)])
    reader = a_row(tmp_path, annotation(1, 1, LEFT), overlapping)
    assert reader[0].label_maps.shape[0] == 1
    assert states(reader, "person")[0].tolist() == [YES] * 8 + [NO] * 4


def test_concepts_over_each_other_take_as_many_maps_as_lie_there(tmp_path: Path) -> None:
    reader = a_row(tmp_path, annotation(1, 1, LEFT), annotation(1, 3, [square(4, 0, 12, 8)]))
    assert reader[0].map_categories == ("living", "living")
    assert states(reader, "person")[0].tolist() == [YES] * 6 + [NO] * 6
    assert states(reader, "dog")[0].tolist() == [NO] * 4 + [YES] * 8


def test_a_crowd_is_unknown_but_where_an_instance_is(tmp_path: Path) -> None:
    crowd = np.zeros(SIZE, dtype=np.bool_)
    crowd[:, 4:9] = True
    reader = a_row(tmp_path, annotation(1, 1, LEFT), annotation(1, 1, runs(crowd), iscrowd=1))
    assert states(reader, "person")[0].tolist() == [YES] * 6 + [DOUBT] * 3 + [NO] * 3
    assert states(reader, "dog")[0].tolist() == [NO] * 12
    assert reader[0].label_maps[0, 0].tolist() == [1] * 6 + [unknown_label(1)] * 3 + [0] * 3


def test_of_a_whole_category_that_is_unknown_the_map_says_it_once(tmp_path: Path) -> None:
    everywhere = runs(np.ones(SIZE, dtype=np.bool_))
    reader = a_row(
        tmp_path,
        annotation(1, 1, everywhere, iscrowd=1),
        annotation(1, 3, everywhere, iscrowd=1),
    )
    assert {*reader[0].label_maps.flatten().tolist()} == {UNKNOWN}
    assert reader[0].label_maps.shape[0] == 1


FOUND = {1: LEFT, 3: RIGHT}


def test_lvis_says_for_every_image_what_was_looked_for(tmp_path: Path) -> None:
    lists: dict[str, Any] = {"neg_category_ids": [90], "not_exhaustive_category_ids": [3]}
    other: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    path = write_json(
        tmp_path / "lvis.json",
        [image(1, **lists), image(2, **other)],
        [annotation(1, category, mask) for category, mask in FOUND.items()],
        [{"id": c["id"], "name": c["name"]} for c in CATEGORIES],
    )
    reader = opened(path)
    assert [c.name for c in reader.categories] == ["person", "dog", "cup"]
    assert reader.annotated.tolist() == [[True, True, True], [False, False, False]]
    assert states(reader, "person")[0].tolist() == [YES] * 6 + [NO] * 6  # all of them
    assert states(reader, "dog")[0].tolist() == [DOUBT] * 6 + [YES] * 6  # there may be more
    assert {*states(reader, "cup").flatten().tolist()} == {NO}


def test_lvis_names_images_by_their_address(tmp_path: Path) -> None:
    entry = image(1, coco_url="http://images.example/train2017/000000000001.png")
    del entry["file_name"]
    path = tmp_path / "lvis.json"
    content = {"images": [entry], "annotations": [], "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    (tmp_path / "train2017").mkdir()
    Image.new("RGB", (12, 8)).save(tmp_path / "train2017" / "000000000001.png")
    both = write_json(tmp_path / "val.json", [image(2)], [])
    assert CocoReader([path, both], resizing=NATIVE).image_names == [
        "train2017/000000000001.png", "0002.png",
    ]  # fmt: skip


def panoptic(folder: Path, infos: list[dict[str, Any]], ids: np.ndarray) -> CocoReader:
    entry = {"image_id": 1, "file_name": "one.png", "segments_info": infos}
    path = write_json(folder / "panoptic.json", [image(1), image(2)], [entry])
    (folder / "panoptic").mkdir()
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
    Image.fromarray(colours).save(folder / "panoptic" / "one.png")
    return opened(path)


def test_panoptic_segments_are_read_by_their_colours(tmp_path: Path) -> None:
    ids = np.zeros(SIZE, dtype=np.int64)
    ids[:, :3], ids[:, 3:6], ids[:, 6:9] = 70_000, 300, 5
    infos = [
        {"id": 70_000, "category_id": 1, "iscrowd": 0},
        {"id": 300, "category_id": 1, "iscrowd": 0},
        {"id": 5, "category_id": 90, "iscrowd": 1},
    ]
    reader = panoptic(tmp_path, infos, ids)
    assert states(reader, "person")[0].tolist() == [YES] * 6 + [NO] * 3 + [DOUBT] * 3
    assert states(reader, "cup")[0].tolist() == [NO] * 6 + [DOUBT] * 6
    assert states(reader, "dog")[0].tolist() == [NO] * 9 + [DOUBT] * 3  # what is no segment


def test_a_panoptic_png_that_the_json_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRowError, match="does not list: 9"):
        panoptic(tmp_path, [], np.full(SIZE, 9))[0]


def test_an_annotation_without_box_and_mask_labels_the_image(tmp_path: Path) -> None:
    label = {"id": 1, "image_id": 1, "category_id": 90}
    reader = a_row(tmp_path, label, annotation(1, 1, LEFT))
    assert [c.pixels for c in reader.categories] == [True, False]
    assert reader[0].image_labels == (("kitchen", 90),)


@pytest.mark.parametrize(
    ("orientation", "stored", "listed", "corner"),
    [
        (6, (8, 12), (12, 8), "right"),  # turned to 12 x 8: the masks fit it so
        (6, (8, 12), (8, 12), "left"),  # the masks fit it as it is stored
        (3, (8, 12), (8, 12), "bottom"),  # they fit both ways: turned, as programs show it
    ],
)
def test_a_photograph_lies_as_its_masks_do(
    tmp_path: Path, orientation: int, stored: tuple[int, int], listed: tuple[int, int], corner: str
) -> None:
    pixels = np.zeros((*stored, 3), dtype=np.uint8)
    pixels[0, 0] = 255  # the corner that tells
    exif = Image.Exif()
    exif[274] = orientation
    for number in (1, 2):
        Image.fromarray(pixels).save(tmp_path / f"{number:04d}.png", exif=exif)
    path = write_json(tmp_path / "a.json", [image(1, listed), image(2, listed)], [])
    found = opened(path, Resizing("squash", listed, listed))[0].image[0]
    place = {"right": (0, -1), "left": (0, 0), "bottom": (-1, -1)}[corner]
    assert found[place] == 255


def test_a_photograph_that_fits_neither_way_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (24, 16)).save(tmp_path / "0001.png")
    reader = opened(write_json(tmp_path / "a.json", [image(1), image(2)], []))
    with pytest.raises(UnreadableRowError, match=r"16x24 .* made for 8x12: was it resized"):
        reader[0]


def test_images_and_masks_come_to_the_sizes_of_the_run(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", [image(1), image(2)], [annotation(1, 1, LEFT)])
    reader = opened(path, Resizing("squash", (16, 16), (4, 4)))
    assert (reader.image_size, reader.mask_size) == ((16, 16), (4, 4))
    assert reader[0].image.shape == (3, 16, 16)
    assert reader[0].label_maps[0, 0].tolist() == [1, 1, 0, 0]
    other = reader.at_mask_size((2, 2))
    assert (other.mask_size, other[0].label_maps.shape) == ((2, 2), (1, 2, 2))
    assert reader.at_mask_size(None)[0].label_maps.shape == (1, *SIZE)
    assert reader[0].label_maps.shape == (1, 4, 4)


def test_edges_of_a_letterbox_are_unknown_for_every_category(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", [image(1), image(2)], [annotation(1, 1, LEFT)])
    reader = opened(path, Resizing("letterbox", (12, 12), (12, 12)))
    for name, row in (("person", 0), ("cup", 0), ("cup", 1)):
        edge = states(reader, name, row)[:2]
        assert (edge == DOUBT).all()
    assert states(reader, "person")[2].tolist() == [YES] * 6 + [NO] * 6


def test_two_files_are_train_and_val_in_the_order_of_their_ids(tmp_path: Path) -> None:
    train = write_json(tmp_path / "train.json", [image(3), image(1)], [])
    val = write_json(tmp_path / "val.json", [image(2)], [annotation(2, 1, LEFT)])
    reader = CocoReader([train, val], resizing=NATIVE)
    assert reader.image_names == ["0001.png", "0002.png", "0003.png"]
    assert reader.is_train.tolist() == [True, False, True]
    assert reader[1].label_maps.any()


def test_two_files_may_use_the_same_ids_and_names_in_two_folders(tmp_path: Path) -> None:
    paths = [write_json(tmp_path / side / "a.json", [image(1)], []) for side in ("one", "two")]
    reader = CocoReader(paths, resizing=NATIVE)
    assert reader.image_names == ["train/0001.png", "val/0001.png"]


def test_a_share_is_drawn_from_one_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", [image(number) for number in range(1, 11)], [])
    drawn = [opened(path, split=0.3, seed=seed).is_train for seed in (0, 0, 1)]
    assert [int(split.sum()) for split in drawn] == [7, 7, 7]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_a_fingerprint_follows_the_files_the_annotations_and_the_sizes(tmp_path: Path) -> None:
    images = [image(1), image(2)]
    path = write_json(tmp_path / "a.json", images, [annotation(1, 1, LEFT)])
    before = [opened(path).fingerprint(row) for row in (0, 1)]
    assert opened(path, Resizing("letterbox", SIZE, SIZE)).fingerprint(0) != before[0]
    write_json(path, images, [annotation(1, 1, RIGHT)])
    after = [opened(path).fingerprint(row) for row in (0, 1)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True]
    Image.new("RGB", (12, 8), "red").save(tmp_path / "0002.png")
    assert opened(path).fingerprint(1) != after[1]


def _of_a_row(reader: CocoReader) -> int:
    return int(reader[0].label_maps.sum())


def test_processes_that_read_have_the_annotations(tmp_path: Path) -> None:
    reader = a_row(tmp_path, annotation(1, 1, LEFT))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_of_a_row, [reader]) == [48]
