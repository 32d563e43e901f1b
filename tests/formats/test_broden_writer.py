from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.cli import read_table
from support.tiny_reader import TinyReader

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import (
    UNKNOWN,
    UnreadableRowError,
    unknown_label,
)
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.datasets.shapes.reader import ShapesReader
from net2vec_pl.errors import DataError
from net2vec_pl.formats.broden_writer import write_broden


def test_what_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    given = ShapesReader(num_images=150, image_size=48)
    write_broden(given, tmp_path / "shapes")
    found = BrodenReader(tmp_path / "shapes")
    assert found.vocabulary == given.vocabulary
    assert found.categories == given.categories
    assert found.image_names == given.image_names
    assert (found.image_size, found.mask_size) == (given.image_size, given.mask_size)
    np.testing.assert_array_equal(found.is_train, given.is_train)
    np.testing.assert_array_equal(found.annotated, given.annotated)
    for row in range(len(given)):
        one, other = given[row], found[row]
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label_maps, other.label_maps)
        assert one.map_categories == other.map_categories
        assert one.image_labels == other.image_labels


def test_rows_of_the_index_are_brodens(tmp_path: Path) -> None:
    write_broden(TinyReader(), tmp_path / "tiny")
    lines = (tmp_path / "tiny" / "index.csv").read_text().splitlines()
    assert lines == [
        "image,split,ih,iw,sh,sw,object,part,scene",
        "a/one.png,train,4,4,2,2,a/one_object.png,a/one_part_1.png;a/one_part_2.png,301",
        "b/two.png,val,4,4,2,2,b/two_object.png,b/two_part.png,",
    ]


def test_maps_hold_the_number_as_red_and_green(tmp_path: Path) -> None:
    write_broden(TinyReader(), tmp_path / "tiny")
    pixels = np.asarray(Image.open(tmp_path / "tiny" / "images" / "a" / "one_object.png"))
    assert pixels[0, 0].tolist() == [300 - 256, 1, 0]
    assert pixels[1, 1].tolist() == [7, 0, 0]


def test_tables_count_images_and_covered_shares(tmp_path: Path) -> None:
    write_broden(TinyReader(), tmp_path / "tiny")
    labels = {line["name"]: line for line in read_table(tmp_path / "tiny" / "label.csv")}
    # The door covers 1/4 as an object, and 1/4 and 2/4 in the two layers of parts.
    assert labels["door"]["category"] == "part(1);object(1)"
    assert (labels["door"]["frequency"], float(labels["door"]["coverage"])) == ("2", 1.0)
    assert (labels["house"]["frequency"], float(labels["house"]["coverage"])) == ("2", 1.0)
    assert labels["street-s"]["category"] == "scene(1)"
    (door,) = read_table(tmp_path / "tiny" / "c_part.csv")
    assert (door["code"], door["number"], door["frequency"]) == ("1", "7", "1")
    assert float(door["coverage"]) == 0.75
    assert read_table(tmp_path / "tiny" / "category.csv")[0] == {
        "name": "object",
        "first": "7",
        "last": "300",
        "count": "2",
        "frequency": "3",
    }


def test_a_category_annotated_but_not_seen_stays_annotated(tmp_path: Path) -> None:
    write_broden(TinyReader(), tmp_path / "tiny")
    found = BrodenReader(tmp_path / "tiny")
    np.testing.assert_array_equal(found.annotated, TinyReader().annotated)
    assert not found[1].label_maps[1].any()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(DataError, match="not empty"):
        write_broden(TinyReader(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_broden(TinyReader(), tmp_path)
    assert (tmp_path / "index.csv").is_file()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/../../x.png", "b.png"], "cannot hold"),
        (["a;b.png", "b.png"], "cannot hold"),
        (["a.png", "a.jpg"], "would both become a.png"),
        (["a.png", "a_object.png"], "would both become a_object.png"),
    ],
)
def test_names_that_the_layout_cannot_hold_leave_nothing_behind(
    tmp_path: Path, names: list[str], message: str
) -> None:
    reader = TinyReader()
    reader.image_names = names
    with pytest.raises(DataError, match=message):
        write_broden(reader, tmp_path / "tiny")
    assert not any(tmp_path.iterdir())


def test_a_fault_of_the_dataset_leaves_nothing_behind(tmp_path: Path) -> None:
    reader = TinyReader()
    reader.samples[1] = replace(reader.samples[1], image_labels=(("scene", 301),))
    reader.samples.pop()
    with pytest.raises(IndexError):
        write_broden(reader, tmp_path / "tiny")
    assert not any(tmp_path.iterdir())


def test_every_row_of_every_table_is_counted_by_hand(tmp_path: Path) -> None:
    reader = TinyReader()
    reader.vocabulary = Vocabulary(
        [*reader.vocabulary[1:], reader.vocabulary[0], Concept(9, "lid", "part", ("part",), True)]
    )
    reader.categories = (*reader.categories, Category("texture", pixels=False))
    reader.annotated = np.pad(reader.annotated, ((0, 0), (0, 1)))
    write_broden(reader, tmp_path / "tiny")
    expected = {
        "category.csv": [
            "name,first,last,count,frequency",
            "object,7,300,2,3",
            "part,7,9,2,1",
            "scene,301,301,1,1",
            "texture,0,0,0,0",
        ],
        "label.csv": [
            "number,name,category,frequency,coverage,syns",
            "300,house,object(2),2,1.0,",
            "301,street-s,scene(1),1,1.0,",
            "7,door,part(1);object(1),2,1.0,",
            "9,lid,part(0),0,0.0,",
        ],
        "c_object.csv": [
            "code,number,name,frequency,coverage",
            "1,300,house,2,1.0",
            "2,7,door,1,0.25",
        ],
        "c_part.csv": [
            "code,number,name,frequency,coverage",
            "1,7,door,1,0.75",
            "2,9,lid,0,0.0",
        ],
        "c_scene.csv": ["code,number,name,frequency,coverage", "1,301,street-s,1,1.0"],
        "c_texture.csv": ["code,number,name,frequency,coverage"],
    }
    for name, lines in expected.items():
        assert (tmp_path / "tiny" / name).read_text().splitlines() == lines, name


def test_categories_of_a_concept_are_written_the_most_frequent_first(tmp_path: Path) -> None:
    reader = TinyReader()
    reader.samples[1] = replace(
        reader.samples[1], label_maps=torch.tensor([[[7, 0], [0, 0]]]).int()
    )
    write_broden(reader, tmp_path / "tiny")
    labels = {line["name"]: line for line in read_table(tmp_path / "tiny" / "label.csv")}
    assert labels["door"]["category"] == "object(2);part(1)"
    assert (labels["door"]["frequency"], labels["door"]["coverage"]) == ("3", "1.25")


def test_unknown_pixels_are_blue_and_read_back_as_they_were(tmp_path: Path) -> None:
    reader = TinyReader()
    labels = torch.tensor([[[300, UNKNOWN], [unknown_label(300), 0]]]).int()
    reader.samples[1] = replace(reader.samples[1], label_maps=labels)
    write_broden(reader, tmp_path / "tiny")
    pixels = np.asarray(Image.open(tmp_path / "tiny" / "images" / "b" / "two_object.png"))
    assert pixels.reshape(4, 3).tolist() == [[44, 1, 0], [0, 0, 255], [44, 1, 255], [0, 0, 0]]
    found = BrodenReader(tmp_path / "tiny")[1]
    assert torch.equal(found.label_maps[0], labels[0])
    house = {line["name"]: line for line in read_table(tmp_path / "tiny" / "label.csv")}["house"]
    assert (house["frequency"], house["coverage"]) == ("2", "1.0")  # 3/4 and 1/4: what is known


@pytest.mark.parametrize(("blue", "red"), [(77, 44), (255, 9), (1, 0)])
def test_any_other_blue_is_refused(tmp_path: Path, blue: int, red: int) -> None:
    write_broden(TinyReader(), tmp_path / "tiny")
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    pixels[1, 1] = (red, 0, blue)
    Image.fromarray(pixels).save(tmp_path / "tiny" / "images" / "b" / "two_object.png")
    wanted = "label.csv does not know: 9" if blue == 255 else f"has {blue} in its blue channel"
    with pytest.raises(UnreadableRowError, match=wanted):
        BrodenReader(tmp_path / "tiny")[1]


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("a;b", 7, "categories of these names: a;b"),
        ("bow (ribbon)", 7, "categories of these names"),
        ("split", 7, "categories of these names: split"),
        ("object", 1 << 16, "numbers up to 65535, not 65536"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(
    tmp_path: Path, name: str, number: int, message: str
) -> None:
    reader = TinyReader()
    reader.categories = (Category(name, pixels=True), *reader.categories[1:])
    reader.vocabulary = Vocabulary([Concept(number, "door", name, (name,), pixels=True)])
    with pytest.raises(DataError, match=message):
        write_broden(reader, tmp_path / "tiny")
