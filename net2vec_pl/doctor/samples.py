"""A page of sample images with their masks, to see whether data are read as they are meant."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Int32, UInt8
from PIL import Image

from net2vec_pl.config.plan import Plan
from net2vec_pl.data import ConceptReader, Sample, Scan
from net2vec_pl.data.reader import UNKNOWN
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.doctor.checks import Check, fix, ok
from net2vec_pl.doctor.found import Found
from net2vec_pl.figures.colours import distinct_colours
from net2vec_pl.figures.overlay import draw_areas
from net2vec_pl.report.packing import data_uri
from net2vec_pl.report.page import write_page
from net2vec_pl.version import __version__

_MOST, _BROKEN = 20, 12  # rows that are shown, and rows that are named
_SIDE = 320  # pixels of the longer side of a picture
_QUALITY = 80
_COLOURS = 255  # areas of a panel, and colours of a page


@dataclass(frozen=True)
class Entry:
    """A line of a panel's list; what is unknown has no colour."""

    number: str
    name: str
    share: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """The masks of one layer of one image, drawn over it."""

    title: str
    image: str
    entries: Sequence[Entry]


def page(plan: Plan, found: Found) -> Iterator[Check]:
    """Write the page that is asked for, of rows of each split and category."""
    if found.page is None:
        yield ok("page=samples.html writes a page of images with their masks")
        return
    if found.page.suffix.lower() not in (".html", ".htm"):
        yield fix(f"page={found.page} must end in .html, as in page=samples.html")
        return
    if found.sample is None or found.scan is None:
        return
    path = found.page.expanduser().absolute()
    chosen = choose_rows(found.sample, found.scan)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_samples(path, found.sample, found.scan, chosen)
    except OSError as error:
        yield fix(f"page={found.page} cannot be written: {error.strerror}")
    else:
        yield ok(f"{len(chosen)} images with their masks: {path}")


def choose_rows(reader: ConceptReader, scan: Scan, most: int = _MOST) -> list[int]:
    """Choose rows of both splits and of every category in turn, and one that shows nothing.

    Args:
        reader: The dataset.
        scan: What is where in it.
        most: Rows to choose; all that can be read if there are no more.

    Returns:
        Rows, rising.
    """
    labelled = np.isin(scan.readable, scan.row)
    readable = scan.readable[np.argsort(~labelled, kind="stable")]  # those that show something
    kinds: list[npt.NDArray[np.int64]] = [
        readable[reader.annotated[readable, place] & (reader.is_train[readable] == train)]
        for place in range(len(reader.categories))
        for train in (True, False)
    ]
    kinds.append(scan.readable[~labelled][:1])
    chosen: dict[int, None] = {}
    for turn in range(len(readable)):
        for rows in kinds:
            if turn < len(rows) and len(chosen) < most:
                chosen[int(rows[turn])] = None
    chosen |= dict.fromkeys(readable[: max(most - len(chosen), 0)].tolist())
    return sorted(chosen)


def write_samples(path: Path, sample: SomeRows, scan: Scan, rows: Sequence[int]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: Path of the page.
        sample: The rows of the dataset that were read.
        scan: What is where in them, and what cannot be read.
        rows: Those of them to show.

    Raises:
        OSError: If it cannot be written.
    """
    reader = sample.reader
    named = {concept.number: concept.name for concept in reader.vocabulary}
    frequent = [number for number, _ in Counter(scan.number.tolist()).most_common(_COLOURS)]
    colours = dict(zip(frequent, distinct_colours(len(frequent)), strict=True))
    train = int(reader.is_train.sum())
    (h, w), (sh, sw) = reader.image_size, reader.mask_size
    write_page(
        path,
        "samples.html",
        name=reader.name,
        summary=(
            f"{len(rows)} of {len(reader)} rows ({train} train, {len(reader) - train} val), "
            f"images of {h} x {w}, masks of {sh} x {sw}, {len(named)} concepts."
        ),
        rows=[_row(sample, row, named, colours) for row in rows],
        broken=[
            {"name": sample.image_names[row], "fault": fault}
            for row, fault in scan.unreadable[:_BROKEN]
        ],
        broken_total=len(scan.unreadable),
        looked_at=len(sample),
        version=__version__,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


def _row(
    rows: SomeRows,
    row: int,
    named: Mapping[int, str],
    colours: Mapping[int, UInt8[np.ndarray, "3"]],
) -> dict[str, object]:
    sample = rows[row]
    picture = _sized(sample.image.numpy())
    shown = {*(category for category, _ in sample.image_labels)}
    shown |= {c for c, m in zip(sample.map_categories, sample.label_maps, strict=True) if m.any()}
    known = dict(zip((c.name for c in rows.categories), rows.annotated[row].tolist(), strict=True))
    return {
        "row": int(rows.rows[row]),
        "name": rows.image_names[row],
        "split": "train" if rows.is_train[row] else "val",
        "notes": rows.notes(row),
        "labels": [f"{category}: {named[n]}" for category, n in sample.image_labels],
        "nothing": ", ".join(name for name in known if known[name] and name not in shown),
        "unannotated": ", ".join(name for name in known if not known[name]),
        "image": data_uri(Image.fromarray(picture.transpose(1, 2, 0)), _QUALITY),
        "panels": _panels(sample, picture, named, colours),
    }


def _sized(image: UInt8[np.ndarray, "3 h w"]) -> UInt8[np.ndarray, "3 H W"]:
    """Make the longer side 320, so that numbers on small areas can be read."""
    height, width = image.shape[1:]
    scale = _SIDE / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    resized = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).resize(size)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _panels(
    sample: Sample,
    picture: UInt8[np.ndarray, "3 H W"],
    named: Mapping[int, str],
    colours: Mapping[int, UInt8[np.ndarray, "3"]],
) -> list[Panel]:
    """Draw every layer that shows anything; several of a category are numbered."""
    layers = Counter(sample.map_categories)
    place = Counter[str]()
    panels = []
    for category, labels in zip(sample.map_categories, sample.label_maps.numpy(), strict=True):
        place[category] += 1
        if labels.any():
            layer = f", layer {place[category]} of {layers[category]}"
            title = f"{category}{layer if layers[category] > 1 else ''}"
            panels.append(_panel(title, labels, picture, named, colours))
    return panels


def _panel(
    title: str,
    labels: Int32[np.ndarray, "h w"],
    picture: UInt8[np.ndarray, "3 H W"],
    named: Mapping[int, str],
    colours: Mapping[int, UInt8[np.ndarray, "3"]],
) -> Panel:
    numbers, pixels = np.unique(labels, return_counts=True)
    share = dict(zip(numbers.tolist(), (pixels / labels.size).tolist(), strict=True))
    known = sorted((n for n in share if n > 0), key=lambda n: -share[n])[:_COLOURS]
    areas = np.zeros(labels.shape, dtype=np.uint8)
    for place, number in enumerate(known, start=1):
        areas[labels == number] = place
    grey = np.full(3, 128, dtype=np.uint8)  # of what only the 256th and rarer concepts have
    chosen = np.array([colours.get(n, grey) for n in known], dtype=np.uint8).reshape(-1, 3)
    drawn = draw_areas(picture, areas, chosen, labels < 0 if (labels < 0).any() else None)
    entries = [
        Entry(str(place), named[n], _percent(share[n]), "#" + bytes(chosen[place - 1]).hex())
        for place, n in enumerate(known, start=1)
    ]
    for n in sorted((n for n in share if n < 0), reverse=True):
        name = "unknown" if n == UNKNOWN else f"unknown for {named[UNKNOWN - n]} alone"
        entries.append(Entry("", name, _percent(share[n]), ""))
    return Panel(title, data_uri(drawn, _QUALITY), entries)


def _percent(share: float) -> str:
    """Word a share above 0.

    Example:
        >>> _percent(0.123), _percent(0.00001)
        ('12.3%', '< 0.1%')
    """
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"
