from pathlib import Path

import pytest
from support.states import same_content
from support.tiny_reader import TinyReader

from net2vec_pl.data import Sample, UnreadableRowError
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.errors import DataError
from net2vec_pl.formats import FORMATS, convert_dataset, write_coco
from net2vec_pl.formats.broden_writer import write_broden


class HalfReader(TinyReader):
    """The tiny images, of which the first cannot be read."""

    def __getitem__(self, row: int) -> Sample:
        if row == 0:
            raise UnreadableRowError("image one.jpg is empty")
        return super().__getitem__(row)


class NoReader(TinyReader):
    def __getitem__(self, row: int) -> Sample:
        raise UnreadableRowError("gone")


def test_there_are_two_formats() -> None:
    assert dict(FORMATS) == {"broden": write_broden, "coco": write_coco}


def test_a_dataset_is_written_as_it_is(tmp_path: Path) -> None:
    given = ShapesReader(num_images=12, image_size=32)
    assert convert_dataset(given, write_broden, tmp_path / "out") == []
    assert same_content(given, BrodenReader(tmp_path / "out"))


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0 \(a/one\.jpg\) of tiny .*on_error=skip.*is empty"):
        convert_dataset(HalfReader(), write_broden, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_rows_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    left = convert_dataset(HalfReader(), write_broden, tmp_path / "out", skip=True)
    assert left == ["row 0 (a/one.jpg): image one.jpg is empty"]
    found = BrodenReader(tmp_path / "out")
    assert found.image_names == ["b/two.png"]
    assert found.is_train.tolist() == [False]
    with pytest.raises(DataError, match="none of the 2 rows of tiny can be read"):
        convert_dataset(NoReader(), write_broden, tmp_path / "other", skip=True)


def test_a_folder_in_use_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(DataError, match="not empty"):
        convert_dataset(NoReader(), write_broden, tmp_path, skip=True)
