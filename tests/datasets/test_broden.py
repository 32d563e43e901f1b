import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import oracles
from support.fake_data.broden import (
    CATEGORIES,
    GOLDEN_IMAGES,
    GOLDEN_LABELS,
    IMAGE_SIZE,
    MASK_SIZE,
    FakeImage,
    FakeLabel,
    grid,
    random_images,
    read_table,
    set_cell,
    write_broden_fixture,
    write_map,
    write_picture,
    write_table,
)
from support.oracles import BoolArray

from net2vec_pl.data.reader import Sample, UnreadableRowError
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.datasets.images.any_image import read_any_image
from net2vec_pl.errors import DataError


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return write_broden_fixture(tmp_path / "broden")


def mask_of(sample: Sample, number: int) -> BoolArray:
    """Return the union over layers and categories, from what the reader gives."""
    mask = (sample.label_maps == number).any(0)
    if number in [found for _, found in sample.image_labels]:
        mask = torch.ones_like(mask)
    out: BoolArray = mask.numpy()
    return out


# -------------------- what a folder means


def test_masks_of_every_row_and_label_are_the_oracles(golden: Path) -> None:
    reader, data = BrodenReader(golden), oracles.read_broden(golden)
    assert reader.image_names == [row["image"] for row in data["rows"]]
    assert reader.vocabulary.numbers.tolist() == [n for n in data["labels"] if n > 0]
    for i, row in enumerate(data["rows"]):
        for number in reader.vocabulary.numbers.tolist():
            expected = oracles.label_mask(row, number)
            np.testing.assert_array_equal(mask_of(reader[i], number), expected)


def test_random_datasets_match_the_oracle_too(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path, random_images(20, seed=3))
    reader, data = BrodenReader(tmp_path), oracles.read_broden(tmp_path)
    for i, row in enumerate(data["rows"]):
        for number in reader.vocabulary.numbers.tolist():
            expected = oracles.label_mask(row, number)
            np.testing.assert_array_equal(mask_of(reader[i], number), expected)


def test_numbers_above_255_are_decoded(golden: Path) -> None:
    reader = BrodenReader(golden)
    assert {256, 300} <= set(reader[0].label_maps.flatten().tolist())
    assert set(reader[2].label_maps.flatten().tolist()) == {0, 2, 62, 700}


def test_a_pixel_may_carry_two_labels_of_one_category(golden: Path) -> None:
    sample = BrodenReader(golden)[0]
    assert sample.map_categories == ("color", "object", "part", "part")
    assert sample.label_maps[2:, 0, 0].tolist() == [5, 300]
    assert mask_of(sample, 5)[0, 0]
    assert mask_of(sample, 300)[0, 0]


def test_a_mask_is_the_union_over_categories_and_layers(golden: Path) -> None:
    wheel = np.zeros(MASK_SIZE, dtype=bool)
    wheel[1, 2:4] = True  # as an object
    wheel[0, :2] = True  # as a part, first layer
    wheel[3, 4] = True  # second layer
    np.testing.assert_array_equal(mask_of(BrodenReader(golden)[0], 5), wheel)


def test_a_cell_may_mix_maps_and_numbers(golden: Path) -> None:
    sample = BrodenReader(golden)[1]
    assert sample.map_categories == ("object", "part")
    assert sample.image_labels == (("part", 5), ("scene", 70))
    assert mask_of(sample, 5).all()
    assert mask_of(sample, 300).sum() == 1


def test_an_unannotated_category_is_not_background(golden: Path) -> None:
    reader = BrodenReader(golden)
    names = [category.name for category in reader.categories]
    annotated = [
        {name for name, seen in zip(names, line, strict=True) if seen} for line in reader.annotated
    ]
    assert annotated == [
        {"color", "object", "part", "scene"},
        {"object", "part", "scene"},
        {"color", "material"},
        {"texture"},
        {"object", "part"},  # objects were annotated here, and there are none
    ]
    assert not reader[4].label_maps[0].any()


def test_rows_without_annotations_are_left_out(golden: Path) -> None:
    reader = BrodenReader(golden)
    assert len(reader) == len(GOLDEN_IMAGES) - 1
    assert "none/zero.jpg" not in reader.image_names


def test_splits_come_from_the_file(golden: Path) -> None:
    assert BrodenReader(golden).is_train.tolist() == [True, True, False, False, False]
    set_cell(golden / "index.csv", 0, "split", "val")
    assert BrodenReader(golden).is_train.tolist() == [False, True, False, False, False]


def test_the_primary_category_covers_most_and_ties_go_to_the_later(golden: Path) -> None:
    reader, data = BrodenReader(golden), oracles.read_broden(golden)
    primary = {concept.name: concept.category for concept in reader.vocabulary}
    assert primary["wheel"] == "part"
    assert primary["door"] == "object"  # although its parts are listed first
    assert primary["handle"] == "part"  # a tie
    for concept in reader.vocabulary:
        assert concept.category == CATEGORIES[oracles.primary_category(data, concept.number)]


def test_categories_of_a_concept_keep_the_files_order(golden: Path) -> None:
    reader = BrodenReader(golden)
    assert reader.vocabulary[reader.vocabulary.row("door")].categories == ("part", "object")
    assert reader.vocabulary[reader.vocabulary.row("wheel")].categories == ("object", "part")


def test_only_categories_with_maps_have_pixels(golden: Path) -> None:
    reader, data = BrodenReader(golden), oracles.read_broden(golden)
    assert [c.name for c in reader.categories if c.pixels] == list(oracles.PIXEL_CATEGORIES)
    assert [c.name for c in reader.categories] == list(CATEGORIES)
    segmentable = sorted(reader.vocabulary.segmentable().numbers.tolist())
    assert segmentable == oracles.pixel_concepts(data)


def test_sizes_are_height_and_width(golden: Path) -> None:
    reader = BrodenReader(golden)
    assert (reader.image_size, reader.mask_size) == (IMAGE_SIZE, MASK_SIZE)
    assert reader[0].image.shape == (3, *IMAGE_SIZE)
    assert reader[0].image.dtype == torch.uint8


def test_a_row_with_labels_alone_has_no_layers(golden: Path) -> None:
    sample = BrodenReader(golden)[3]
    assert sample.label_maps.shape == (0, *MASK_SIZE)
    assert sample.label_maps.dtype == torch.int32
    assert sample.map_categories == ()
    assert sample.image_labels == (("texture", 71),)


def test_an_image_is_read_as_it_was_written(golden: Path) -> None:
    path = golden / "images" / "ade" / "one.jpg"
    pixels = np.random.default_rng(5).integers(0, 256, (*IMAGE_SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")  # nothing is lost; suffixes do not matter
    image = BrodenReader(golden)[0].image
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)


def test_grey_images_become_three_equal_channels(golden: Path) -> None:
    path = golden / "images" / "ade" / "one.jpg"
    write_picture(path, IMAGE_SIZE, mode="L")
    image = BrodenReader(golden)[0].image
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    grey = np.asarray(Image.open(path)).astype(int)
    assert np.abs(image[0].numpy().astype(int) - grey).max() <= 2  # two decoders


def test_cmyk_images_become_rgb(golden: Path) -> None:
    path = golden / "images" / "ade" / "one.jpg"
    Image.new("CMYK", IMAGE_SIZE[::-1], (0, 255, 255, 0)).save(path)  # red ink alone
    image = BrodenReader(golden)[0].image
    assert image.shape == (3, *IMAGE_SIZE)
    assert image[0].float().mean() > 200
    assert image[1:].float().mean() < 60


def test_an_image_of_16_bits_is_read_as_predict_reads_it(golden: Path) -> None:
    path = golden / "images" / "ade" / "one.jpg"
    write_16_bit(path, IMAGE_SIZE)
    assert torch.equal(BrodenReader(golden)[0].image, read_any_image(path))


def test_a_palette_image_becomes_rgb(golden: Path) -> None:
    path = golden / "images" / "ade" / "one.jpg"
    Image.new("RGB", IMAGE_SIZE[::-1], (250, 3, 120)).convert("P").save(path, format="GIF")
    expected = np.asarray(Image.open(path).convert("RGB"))
    image = BrodenReader(golden)[0].image.permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(image, expected)


# -------------------- folders that are not datasets


def expect_refusal(root: Path, *parts: str) -> None:
    """Check that opening fails, and that the message holds each of these texts."""
    with pytest.raises(DataError) as caught:
        BrodenReader(root)
    assert not isinstance(caught.value, UnreadableRowError)
    for part in parts:
        assert part in str(caught.value)


def test_an_absent_root_is_named(tmp_path: Path) -> None:
    expect_refusal(tmp_path / "nowhere", f"data.root={tmp_path / 'nowhere'}", "no such folder")


def test_the_parent_of_a_dataset_gets_a_hint(golden: Path) -> None:
    expect_refusal(
        golden.parent,
        f"data.root={golden.parent} is not in BRODEN's layout",
        "index.csv, category.csv, label.csv, images absent",
        f"Did you mean {golden}?",
    )


def test_an_empty_folder_gets_no_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not in BRODEN's layout") as caught:
        BrodenReader(tmp_path)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", ["index.csv", "category.csv", "label.csv", "c_part.csv"])
def test_an_absent_table_is_named(golden: Path, name: str) -> None:
    (golden / name).unlink()
    expect_refusal(golden, str(golden), f"{name}", "absent", "BRODEN's layout")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("index.csv", "image"),
        ("index.csv", "sw"),
        ("index.csv", "material"),  # category.csv lists it
        ("category.csv", "name"),
        ("label.csv", "category"),
        ("c_part.csv", "coverage"),
    ],
)
def test_a_missing_column_is_named(golden: Path, table: str, column: str) -> None:
    rows = [{k: v for k, v in row.items() if k != column} for row in read_table(golden / table)]
    write_table(golden / table, rows)
    expect_refusal(golden, str(golden / table), f"no column {column}")


def test_an_index_without_rows_is_refused(golden: Path) -> None:
    write_table(golden / "index.csv", [], read_table(golden / "index.csv")[0])
    expect_refusal(golden, str(golden / "index.csv"), "lists no image")


def test_an_index_without_annotations_is_refused(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path, [FakeImage("a.jpg"), FakeImage("b.jpg", "val")])
    expect_refusal(tmp_path, str(tmp_path / "index.csv"), "annotates none of its images")


@pytest.mark.parametrize(
    ("column", "value", "parts"),
    [
        ("split", "test", ("split must be 'train' or 'val', not 'test'",)),
        ("split", "", ("split must be 'train' or 'val', not ''",)),
        ("ih", "8.0", ("ih must be a whole number, not '8.0'",)),
        ("sw", "", ("sw must be a whole number, not ''",)),
        ("iw", "-3", ("iw must be a whole number, not '-3'",)),
        ("sh", "²", ("sh must be a whole number, not '²'",)),
        ("sh", "0", ("mask size 0x5 must be above 0",)),
    ],
)
def test_a_wrong_cell_of_the_index_is_named_with_its_line(
    golden: Path, column: str, value: str, parts: tuple[str, ...]
) -> None:
    set_cell(golden / "index.csv", 1, column, value)
    expect_refusal(golden, f"{golden / 'index.csv'}, line 3", *parts)


@pytest.mark.parametrize(
    ("column", "value", "parts"),
    [
        ("number", "five", ("number must be a whole number, not 'five'",)),
        ("number", "65536", ("number 65536 does not fit R + 256 * G",)),
        ("category", "vehicle(3)", ("category 'vehicle(3)' is not in category.csv",)),
        ("category", "", ("category '' is not in category.csv",)),
    ],
)
def test_a_wrong_cell_of_the_labels_is_named_with_its_line(
    golden: Path, column: str, value: str, parts: tuple[str, ...]
) -> None:
    set_cell(golden / "label.csv", 1, column, value)
    expect_refusal(golden, f"{golden / 'label.csv'}, line 3", *parts)


def test_a_coverage_that_is_no_number_is_named(golden: Path) -> None:
    set_cell(golden / "c_part.csv", 0, "coverage", "much")
    expect_refusal(golden, str(golden / "c_part.csv"), "'much'")


@pytest.mark.parametrize(("column", "value"), [("name", "red-c"), ("number", "2")])
def test_labels_listed_twice_are_named(golden: Path, column: str, value: str) -> None:
    set_cell(golden / "label.csv", 1, column, value)
    expect_refusal(golden, str(golden / "label.csv"), f"{column} listed more than once: {value}")


def test_categories_listed_twice_are_named(golden: Path) -> None:
    set_cell(golden / "category.csv", 1, "name", "part")
    expect_refusal(golden, str(golden / "category.csv"), "category listed more than once: part")


@pytest.mark.parametrize("name", ["index.csv", "category.csv", "label.csv", "c_part.csv"])
def test_tables_may_begin_with_a_byte_order_mark(golden: Path, name: str) -> None:
    before = BrodenReader(golden)
    (golden / name).write_text((golden / name).read_text(), encoding="utf-8-sig")
    assert BrodenReader(golden).vocabulary == before.vocabulary


def test_a_name_may_hold_commas_quotes_and_line_breaks(golden: Path) -> None:
    name = 'lid, "big"\nor small'
    set_cell(golden / "label.csv", -2, "name", name)
    assert name in BrodenReader(golden).vocabulary.names


def test_a_table_in_another_encoding_is_named(golden: Path) -> None:
    path = golden / "label.csv"
    path.write_bytes(path.read_bytes().replace(b"wheel", "räder".encode("latin-1")))
    expect_refusal(golden, str(path), "is not UTF-8 text", "0xe4")


def test_images_listed_twice_are_named(golden: Path) -> None:
    set_cell(golden / "index.csv", 1, "image", "ade/one.jpg")
    expect_refusal(golden, str(golden / "index.csv"), "image listed more than once: ade/one.jpg")


# -------------------- rows that cannot be read


IMAGE, MASK = "ade/one.jpg", "ade/one_part_1.png"


def write_truncated(path: Path, format_: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format=format_)
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])


def write_16_bit(path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(np.full(size, 300, dtype=np.uint16)).save(path, format="PNG")


def write_16_bit_rgb(path: Path, size: tuple[int, int]) -> None:
    """Write by hand what PIL cannot write, and would read as if it had 8 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        length, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
        return length + kind + data + check

    header = struct.pack(">IIBBBBB", size[1], size[0], 16, 2, 0, 0, 0)
    rows = (b"\0" + b"\0\5" * 3 * size[1]) * size[0]
    image = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + image)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


Damage = Callable[[Path], object]
DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "an absent image": (IMAGE, Path.unlink, "is absent"),
    "an empty image": (IMAGE, lambda path: path.write_bytes(b""), "is empty"),
    "a folder as an image": (IMAGE, replace_by_folder, "cannot be read: Is a directory"),
    "text as an image": (IMAGE, lambda path: path.write_text("no"), "cannot be decoded"),
    "half a JPEG": (
        IMAGE,
        lambda path: write_truncated(path, "JPEG", IMAGE_SIZE),
        "cannot be decoded",
    ),
    "half a PNG as an image": (
        IMAGE,
        lambda path: write_truncated(path, "PNG", IMAGE_SIZE),
        "cannot be decoded",
    ),
    "an image of another size": (
        IMAGE,
        lambda path: write_picture(path, (9, 10)),
        "is 9x10 (height x width), but the dataset is 8x10",
    ),
    "an image on its side": (
        IMAGE,
        lambda path: write_picture(path, (10, 8)),
        "is 10x8 (height x width), but the dataset is 8x10",
    ),
    "an absent mask": (MASK, Path.unlink, "is absent"),
    "an empty mask": (MASK, lambda path: path.write_bytes(b""), "is empty"),
    "half a mask": (MASK, lambda path: write_truncated(path, "PNG", MASK_SIZE), "be decoded"),
    "a mask of another size": (
        MASK,
        lambda path: write_map(path, np.zeros((5, 4), dtype=np.int64)),
        "is 5x4 (height x width), but the dataset is 4x5",
    ),
    "a grey mask": (
        MASK,
        lambda path: write_picture(path, MASK_SIZE, mode="L"),
        "8 bits a channel and PNG colour type 0; a BRODEN mask is 8-bit RGB",
    ),
    "a mask with alpha": (
        MASK,
        lambda path: write_picture(path, MASK_SIZE, mode="RGBA"),
        "8 bits a channel and PNG colour type 6; a BRODEN mask is 8-bit RGB",
    ),
    "a 16-bit mask": (
        MASK,
        lambda path: write_16_bit(path, MASK_SIZE),
        "16 bits a channel and PNG colour type 0; a BRODEN mask is 8-bit RGB",
    ),
    "a 16-bit RGB mask": (
        MASK,
        lambda path: write_16_bit_rgb(path, MASK_SIZE),
        "16 bits a channel and PNG colour type 2; a BRODEN mask is 8-bit RGB",
    ),
    "a JPEG mask": (
        MASK,
        lambda path: Image.new("RGB", MASK_SIZE[::-1]).save(path, format="JPEG"),
        "is a JPEG; a BRODEN mask is a PNG",
    ),
    "unknown labels in a mask": (
        MASK,
        lambda path: write_map(path, grid([5, 9, 999, 0, 60000], *[[5] * 5] * 3)),
        "holds labels that label.csv does not know: 9, 999, 60000",
    ),
}


@pytest.mark.parametrize(("file", "damage", "text"), DAMAGES.values(), ids=list(DAMAGES))
def test_damage_is_found_when_the_row_is_read(
    golden: Path, file: str, damage: Damage, text: str
) -> None:
    damage(golden / "images" / file)
    reader = BrodenReader(golden)  # opening looks at no row
    with pytest.raises(UnreadableRowError, match=re.escape(text)) as caught:
        reader[0]
    assert str(golden / "images" / file) in str(caught.value)
    assert reader[1].image.shape == (3, *IMAGE_SIZE)  # the others go on


@pytest.mark.parametrize("number", ["9", "99999"])
def test_an_unknown_label_in_a_cell_is_found_when_the_row_is_read(
    golden: Path, number: str
) -> None:
    set_cell(golden / "index.csv", 0, "scene", f"70;{number}")
    reader = BrodenReader(golden)
    with pytest.raises(UnreadableRowError, match=f"label {number} of scene is not in label.csv"):
        reader[0]


@pytest.mark.parametrize(
    ("column", "text"),
    [("ih", "ih x iw is 7x10, of most rows 8x10"), ("sw", "sh x sw is 4x7, of most rows 4x5")],
)
def test_a_row_of_another_size_is_found_when_it_is_read(
    golden: Path, column: str, text: str
) -> None:
    index = golden / "index.csv"
    before = index.read_text()
    for row, line, other in ((0, 0, 1), (4, 5, 0)):  # line 2 is of an image without annotations
        set_cell(index, line, column, "7")
        reader = BrodenReader(golden)
        assert (reader.image_size, reader.mask_size) == (IMAGE_SIZE, MASK_SIZE)
        with pytest.raises(UnreadableRowError, match=text):
            reader[row]
        assert reader[other].image.shape == (3, *IMAGE_SIZE)
        index.write_text(before)


def test_label_65535_is_the_largest(tmp_path: Path) -> None:
    labels = (*GOLDEN_LABELS, FakeLabel(65535, "last", ("object",)))
    numbers = np.full(MASK_SIZE, 65535)
    write_broden_fixture(tmp_path, [FakeImage("a.png", cells={"object": [numbers]})], labels)
    assert mask_of(BrodenReader(tmp_path)[0], 65535).all()


def test_elements_of_a_row_come_by_the_order_of_the_categories(golden: Path) -> None:
    sample = BrodenReader(golden)[0]
    assert sample.map_categories == ("color", "object", "part", "part")
    assert sample.image_labels == (("scene", 70),)
    lines = (golden / "category.csv").read_text().splitlines()
    rows = {line.split(",")[0]: line for line in lines[1:]}
    order = ["scene", "part", "object", "color", "texture", "material"]
    (golden / "category.csv").write_text("\n".join([lines[0], *(rows[name] for name in order)]))
    reader = BrodenReader(golden)
    assert [category.name for category in reader.categories] == order
    assert [category.pixels for category in reader.categories] == [0, 1, 1, 1, 0, 1]
    assert reader[0].map_categories == ("part", "part", "object", "color")
