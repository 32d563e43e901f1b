"""Write a dataset in a format by its name, without the rows that cannot be read."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.errors import DataError
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.formats.checked import check_reader
from net2vec_pl.formats.coco_writer import write_coco
from net2vec_pl.formats.written import check_free

FORMATS: Mapping[str, Callable[[ConceptReader, Path], None]] = {
    "broden": write_broden,
    "coco": write_coco,
}


class _Rows(SomeRows):
    """Some rows of a dataset; one that cannot be read is named."""

    def __getitem__(self, row: int) -> Sample:
        try:
            return super().__getitem__(row)
        except UnreadableRowError as error:
            raise DataError(
                f"row {self.rows[row]} ({self.image_names[row]}) of {self.name} cannot be used; "
                f"data.on_error=skip goes on without it: {error}"
            ) from error


def convert_dataset(
    reader: ConceptReader,
    write: Callable[[ConceptReader, Path], None],
    folder: Path,
    *,
    skip: bool = False,
) -> list[str]:
    """Write a dataset in another format.

    Args:
        reader: The dataset.
        write: The format: a value of :data:`FORMATS`.
        folder: Where to; it must not exist, or be empty. It appears when all of it is written.
        skip: Whether to leave out rows that cannot be read, or to stop at the first.

    Returns:
        What was left out: the name of each row and why.

    Raises:
        DataError: If the folder holds anything, the reader contradicts itself, a row cannot be read
            or the format cannot hold the dataset.
    """
    check_free(folder)
    check_reader(reader)
    left_out: dict[int, str] = {}
    for row in range(len(reader)) if skip else ():
        try:
            reader[row]
        except UnreadableRowError as error:
            left_out[row] = f"row {row} ({reader.image_names[row]}): {error}"
    kept = [row for row in range(len(reader)) if row not in left_out]
    if not kept:
        raise DataError(f"none of the {len(reader)} rows of {reader.name} can be read.")
    write(_Rows(reader, np.array(kept, dtype=np.int64)), folder)
    return [*left_out.values()]
