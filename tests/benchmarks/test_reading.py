"""The benchmark of reading measures what it says, and our reader reads the awkward files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.fake_data.broden import random_images, write_broden_fixture

from benchmarks import reading
from net2vec_pl.datasets import BrodenReader


def test_our_reader_reads_every_awkward_file() -> None:
    y, x = np.mgrid[:96, :128]
    photo = Image.fromarray(np.stack([2 * y, x, y + x], axis=-1).astype(np.uint8))
    decode = reading._ours()["ours (PIL)"]
    files = reading.awkward(photo)
    assert len(files) == 15
    wrong = [name for name, file in files.items() if not reading.reads_rightly(decode, *file)]
    assert wrong == []
    plain = reading.decoders()["PIL"]
    assert not reading.reads_rightly(plain, *files["PNG, alpha"])


@pytest.mark.parametrize("count", [5, 20, 33])
def test_the_large_dataset_has_as_many_rows_as_asked_for(tmp_path: Path, count: int) -> None:
    source = BrodenReader(write_broden_fixture(tmp_path / "small", random_images(10)))
    reading.make_large(tmp_path / "small", tmp_path / "large", count)
    reader = BrodenReader(tmp_path / "large")
    assert abs(len(reader) - count) <= 10  # rows of the source without annotation are left out
    for row in (0, len(reader) - 1):
        name = reader.image_names[row].partition("/")[2]
        twin = source[source.image_names.index(name)]
        assert (reader[row].image == twin.image).all()
        assert (reader[row].label_maps == twin.label_maps).all()
