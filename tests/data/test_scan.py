from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import oracles
from support.fake_data.broden import random_images, set_cell, write_broden_fixture

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.scan import RowFacts, Scan, scan_files
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.datasets.shapes.reader import ShapesReader
from net2vec_pl.errors import ConfigError, DataError


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return write_broden_fixture(tmp_path / "broden")


def census_of(folder: Path, *, workers: int = 0) -> Scan:
    return scan_files(BrodenReader(folder), workers=workers)


def oracle_pixels(folder: Path) -> list[tuple[int, int, int]]:
    """Return (row, number, pixels) of every label in every image, from the literal masks."""
    data = oracles.read_broden(folder)
    return [
        (i, number, int(mask.sum()))
        for i, row in enumerate(data["rows"])
        for number in sorted(data["labels"])
        if number > 0 and (mask := oracles.label_mask(row, number)).any()
    ]


def entries(scan: Scan) -> list[tuple[int, int, int]]:
    columns = (scan.row.tolist(), scan.number.tolist(), scan.pixels.tolist())
    return list(zip(*columns, strict=True))


def test_pixels_are_those_of_the_oracles_masks(golden: Path) -> None:
    assert entries(census_of(golden)) == oracle_pixels(golden)


@pytest.mark.parametrize("seed", [0, 1])
def test_pixels_of_random_datasets_are_the_oracles(tmp_path: Path, seed: int) -> None:
    write_broden_fixture(tmp_path, random_images(25, seed))
    assert entries(census_of(tmp_path)) == oracle_pixels(tmp_path)


def test_a_label_in_two_categories_and_two_layers_is_counted_once_a_pixel(golden: Path) -> None:
    found = {(row, number): pixels for row, number, pixels in entries(census_of(golden))}
    assert found[0, 5] == 5  # 2 as an object, 2 and 1 in two layers of parts, none in common
    assert found[1, 5] == 20  # an image-level label covers what maps of it cover, once
    assert found[0, 60] == 2


def test_all_rows_of_a_sound_dataset_are_readable(golden: Path) -> None:
    scan = census_of(golden)
    assert scan.readable.tolist() == [0, 1, 2, 3, 4]
    assert scan.unreadable == ()


def test_an_unreadable_row_is_named_with_its_image_and_file(golden: Path) -> None:
    mask = golden / "images" / "ade" / "two_object.png"
    mask.unlink()
    with pytest.raises(DataError) as caught:
        census_of(golden)
    text = str(caught.value)
    assert text.startswith("1 of 5 rows of broden cannot be used; data.on_error=skip")
    assert f"row 1 (ade/two.jpg): mask {mask} is absent" in text


def test_skip_lists_what_it_leaves_out_and_counts_the_rest(golden: Path) -> None:
    everything = oracle_pixels(golden)
    (golden / "images" / "ade" / "two.jpg").write_bytes(b"")
    set_cell(golden / "index.csv", 4, "texture", "9")
    scan = scan_files(BrodenReader(golden), on_error="skip")
    assert scan.readable.tolist() == [0, 2, 4]
    assert [row for row, _ in scan.unreadable] == [1, 3]
    assert "two.jpg is empty" in scan.unreadable[0][1]
    assert "label 9 of texture" in scan.unreadable[1][1]
    assert entries(scan) == [entry for entry in everything if entry[0] in (0, 2, 4)]


def test_skip_refuses_when_nothing_is_left(golden: Path) -> None:
    for path in (golden / "images").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match="5 of 5 rows of broden cannot be used"):
        scan_files(BrodenReader(golden), on_error="skip")


def test_an_unknown_way_to_meet_errors_is_refused(golden: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.on_error 'skp'\. Did you mean 'skip'"):
        scan_files(BrodenReader(golden), on_error="skp")


def test_the_digest_does_not_change_by_itself(golden: Path) -> None:
    digest = census_of(golden).digest
    assert census_of(golden).digest == digest
    for path in golden.rglob("*"):
        path.touch()  # the content counts, not the date
    assert census_of(golden).digest == digest


def test_the_digest_is_that_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one = write_broden_fixture(tmp_path / "one")
    other = write_broden_fixture(tmp_path / "elsewhere" / "other")
    assert census_of(one).digest == census_of(other).digest


@pytest.mark.parametrize("file", ["ade/one.jpg", "ade/one_part_2.png", "pascal/five_object.png"])
def test_the_digest_changes_with_a_byte_of_a_file(golden: Path, file: str) -> None:
    before = census_of(golden).digest
    path = golden / "images" / file
    path.write_bytes(path.read_bytes() + b"\0")  # decoders do not mind
    assert census_of(golden).digest != before


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("index.csv", 0, "split", "val"),
        ("index.csv", 4, "texture", "70"),
        ("index.csv", 4, "scene", "70"),
        ("label.csv", 1, "name", "tyre"),
    ],
)
def test_the_digest_changes_with_the_tables(
    golden: Path, table: str, row: int, column: str, value: str
) -> None:
    before = census_of(golden).digest
    set_cell(golden / table, row, column, value)
    assert census_of(golden).digest != before


def test_the_digest_changes_when_an_unreadable_row_does(golden: Path) -> None:
    path = golden / "images" / "ade" / "two.jpg"
    digests = set()
    for content in (b"", b"damaged", b"damaged otherwise"):
        path.write_bytes(content)
        digests.add(scan_files(BrodenReader(golden), on_error="skip").digest)
    assert len(digests) == 3


def test_workers_change_nothing(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path, random_images(40))
    (tmp_path / "images" / "some" / "017.jpg").write_bytes(b"")
    alone = scan_files(BrodenReader(tmp_path), on_error="skip")
    together = scan_files(BrodenReader(tmp_path), workers=2, on_error="skip")
    assert together.digest == alone.digest
    assert together.unreadable == alone.unreadable
    assert entries(together) == entries(alone)
    np.testing.assert_array_equal(together.readable, alone.readable)


def test_progress_sees_every_row_once(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path, random_images(20))
    seen: list[int] = []

    def track(batches: Iterable[list[RowFacts]]) -> Iterable[list[RowFacts]]:
        for batch in batches:
            seen.extend(fact.row for fact in batch)
            yield batch

    scan_files(BrodenReader(tmp_path), track=track)
    assert seen == list(range(20))


def test_of_many_unreadable_rows_twelve_are_named_and_the_others_counted(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path / "many", random_images(20, seed=3))
    names = BrodenReader(tmp_path / "many").image_names
    for name in names[2:17]:
        (tmp_path / "many" / "images" / name).unlink()
    with pytest.raises(DataError) as caught:
        census_of(tmp_path / "many")
    first, *lines = str(caught.value).split("\n  ")
    assert first == (
        f"15 of {len(names)} rows of many cannot be used; data.on_error=skip goes on without them."
    )
    absent = [tmp_path / "many" / "images" / name for name in names[2:14]]
    assert lines == [
        *(f"row {row} ({names[row]}): image {absent[row - 2]} is absent" for row in range(2, 14)),
        "and 3 more",
    ]


def test_the_digest_changes_with_names_and_the_size_of_masks() -> None:
    plain, renamed, wider = (ShapesReader(num_images=2, image_size=32) for _ in range(3))
    first, *others = renamed.vocabulary
    renamed.vocabulary = Vocabulary([replace(first, name="soot-c"), *others])
    wider.mask_size = (16, 8)
    assert len({scan_files(reader).digest for reader in (plain, renamed, wider)}) == 3
