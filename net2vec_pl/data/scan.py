"""One pass that reads every file once: what is where, how large, and what is unreadable.

Later steps never meet a damaged file, because rows that cannot be read are known, and named, before
any network runs. The same pass counts the pixels of every label (alpha and the train and val counts
follow from them) and digests the content.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.data.unknown import Area, AreaFinder, UnknownRows
from net2vec_pl.errors import ConfigError, DataError, unknown

_SHOWN = 12

Track = Callable[[Iterable[list["RowFacts"]]], Iterable[list["RowFacts"]]]


@dataclass(frozen=True)
class RowFacts:
    """What the scan learns of one row: its labels, what is unknown, a digest, or a fault."""

    row: int
    numbers: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]
    fingerprint: bytes
    unknown: UnknownRows | None = None
    fault: str = ""


@dataclass(frozen=True)
class Scan:
    """Which labels each image carries, and on how many pixels.

    Args:
        row: Row of the dataset, one per (image, label) entry, rising, shape (E,).
        number: Label number of the entry, rising within a row.
        pixels: Pixels of the label in the image: the union over categories and layers; all of them
            for an image-level label.
        readable: The rows that can be used, rising.
        unreadable: The others as (row, fault).
        digest: Digest of everything the dataset holds, hexadecimal.
        known: Pixels of the image that are known for the label; None if all are, in every image.
        unknown: Where which concepts have unknown pixels; None if nowhere.
    """

    row: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    readable: npt.NDArray[np.int64]
    unreadable: tuple[tuple[int, str], ...]
    digest: str
    known: npt.NDArray[np.int64] | None = None
    unknown: UnknownRows | None = None


def label_pixels(sample: Sample) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the pixels of each label of one image.

    Returns:
        Label numbers in rising order, and their pixels: the union over all layers, every pixel of
        the mask grid for an image-level label.
    """
    maps = sample.label_maps
    counts: dict[int, int] = {}
    for layer in range(maps.shape[0]):
        tally = torch.bincount(maps[layer].flatten().clamp(min=0))
        for number in tally.nonzero().flatten().tolist():
            again = number in counts
            counts[number] = int((maps == number).any(0).sum()) if again else int(tally[number])
    counts.pop(0, None)
    area = maps.shape[1] * maps.shape[2]
    counts.update({number: area for _, number in sample.image_labels})
    numbers = np.array(sorted(counts), dtype=np.int64)
    return numbers, np.array([counts[n] for n in sorted(counts)], dtype=np.int64)


def known_pixels(
    sample: Sample, numbers: npt.NDArray[np.int64], areas: Sequence[Area], of: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Count the pixels of one image that are known for each of its labels.

    Args:
        sample: The image.
        numbers: Its label numbers.
        areas: Its unknown areas.
        of: The label number of each concept of an area.
    """
    maps = sample.label_maps
    everywhere = {number for _, number in sample.image_labels}
    known = dict.fromkeys(numbers.tolist(), maps.shape[1] * maps.shape[2])
    for area in areas:
        for number in {*of[area.concepts].tolist()} & {*known} - everywhere:
            known[number] -= int((area.pixels & ~(maps == number).any(0)).sum())
    return np.array([*known.values()], dtype=np.int64)


class _Facts(Dataset[RowFacts]):
    def __init__(self, reader: ConceptReader) -> None:
        self.reader = reader
        self._finder = AreaFinder(reader.vocabulary)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, row: int) -> RowFacts:
        fingerprint = self.reader.fingerprint(row)
        try:
            sample = self.reader[row]
        except UnreadableRowError as error:
            none = np.zeros(0, dtype=np.int64)
            return RowFacts(row, none, none, none, fingerprint, fault=str(error))
        numbers, pixels = label_pixels(sample)
        areas = self._finder.find(sample)
        of = self.reader.vocabulary.numbers
        known = known_pixels(sample, numbers, areas, of)
        unknown = UnknownRows.of_areas(row, areas, of) if areas else None
        return RowFacts(row, numbers, pixels, known, fingerprint, unknown)


def scan_files(
    reader: ConceptReader, *, workers: int = 0, on_error: str = "raise", track: Track = iter
) -> Scan:
    """Read every row of a dataset once.

    Args:
        reader: The dataset.
        workers: Processes that read; 0 reads in this one.
        on_error: ``raise`` stops at unreadable rows, naming them; ``skip`` goes on without them.
        track: Wraps the batches, for a progress bar.

    Raises:
        DataError: If a row cannot be read and ``on_error`` is ``raise``, or none can.
        ConfigError: If ``on_error`` is neither.
    """
    check_on_error(on_error)
    return usable(reader, read_files(reader, workers=workers, track=track), on_error)


def read_files(reader: ConceptReader, *, workers: int = 0, track: Track = iter) -> Scan:
    """Read every row of a dataset once, whatever the faults; see :func:`scan_files`."""
    loader = DataLoader(_Facts(reader), batch_size=16, num_workers=workers, collate_fn=list)
    facts = [fact for batch in track(loader) for fact in batch]
    digest = blake2b(
        repr((reader.vocabulary.to_plain(), reader.mask_size)).encode(), digest_size=16
    )
    for fact in facts:
        digest.update(fact.fingerprint)
    used = [fact for fact in facts if not fact.fault]
    readable = np.array([fact.row for fact in used], dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)  # where no row can be read
    unknown_rows = [fact.unknown for fact in used if fact.unknown is not None]
    return Scan(
        row=np.repeat(readable, [len(fact.numbers) for fact in used]),
        number=np.concatenate([none, *(fact.numbers for fact in used)]),
        pixels=np.concatenate([none, *(fact.pixels for fact in used)]),
        readable=readable,
        unreadable=tuple((fact.row, fact.fault) for fact in facts if fact.fault),
        digest=digest.hexdigest(),
        known=np.concatenate([none, *(fact.known for fact in used)]) if unknown_rows else None,
        unknown=UnknownRows.join(unknown_rows) if unknown_rows else None,
    )


def fault_of(reader: ConceptReader, row: int) -> str:
    """Return why a row cannot be read, as a scan has it; empty if it can."""
    return _Facts(reader)[row].fault


def check_on_error(given: str) -> None:
    """Check what is to become of unreadable rows.

    Raises:
        ConfigError: If it is neither ``raise`` nor ``skip``.
    """
    if given not in ("raise", "skip"):
        raise ConfigError(unknown("value of data.on_error", given, ["raise", "skip"]))


def usable(reader: ConceptReader, scan: Scan, on_error: str) -> Scan:
    """Return a scan, unless its unreadable rows stop the run.

    Raises:
        DataError: If a row cannot be read and ``on_error`` is ``raise``, or none can.
    """
    if scan.unreadable and (on_error == "raise" or len(scan.unreadable) == len(reader)):
        raise DataError(_describe(reader, scan.unreadable))
    return scan


def _describe(reader: ConceptReader, unreadable: tuple[tuple[int, str], ...]) -> str:
    lines = [f"row {row} ({reader.image_names[row]}): {fault}" for row, fault in unreadable]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    return "\n  ".join(
        [
            f"{len(unreadable)} of {len(reader)} rows of {reader.name} cannot be used; "
            "data.on_error=skip goes on without them.",
            *lines,
        ]
    )
