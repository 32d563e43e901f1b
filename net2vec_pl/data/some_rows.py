"""Some rows of a dataset, as a dataset."""

import numpy as np
import numpy.typing as npt

from net2vec_pl.data.reader import ConceptReader, Sample


class SomeRows(ConceptReader):
    """Some rows of a dataset.

    Args:
        reader: The dataset.
        rows: Rising.
        name: What to call them; as the dataset if None.

    Attributes:
        reader: The dataset.
        rows: Which of its rows these are.
    """

    def __init__(
        self, reader: ConceptReader, rows: npt.NDArray[np.int64], name: str | None = None
    ) -> None:
        self.reader, self.rows = reader, rows
        self.name = name or reader.name
        self.vocabulary, self.categories = reader.vocabulary, reader.categories
        self.image_names = [reader.image_names[row] for row in rows.tolist()]
        self.is_train, self.annotated = reader.is_train[rows], reader.annotated[rows]
        self.groups = None if reader.groups is None else reader.groups[rows]
        self.image_size, self.mask_size = reader.image_size, reader.mask_size

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the dataset."""
        return len(self.rows) == len(self.reader)

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        return self.reader[int(self.rows[row])]

    def notes(self, row: int) -> tuple[str, ...]:
        """Return what the dataset says of a row; see :class:`ConceptReader`."""
        return self.reader.notes(int(self.rows[row]))

    def fingerprint(self, row: int) -> bytes:
        """Digest one row; see :class:`ConceptReader`."""
        return self.reader.fingerprint(int(self.rows[row]))
