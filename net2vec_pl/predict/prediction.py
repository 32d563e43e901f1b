"""Let a bank segment images, or classify them."""

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.errors import DataError, RunFolderError
from net2vec_pl.inference import Bank, load_bank
from net2vec_pl.pipeline.progress import Progress
from net2vec_pl.predict.image import (
    MASKS,
    OVERLAYS,
    PROBABILITIES,
    InputImage,
    Writer,
    read,
)
from net2vec_pl.predict.masks import sheets_of
from net2vec_pl.predict.options import Options
from net2vec_pl.predict.sources import Source, find_images
from net2vec_pl.predict.tables import SCORES, ScoreTable, palette_rows, score_table
from net2vec_pl.records import write_csv
from net2vec_pl.records.predict import SkippedImage
from net2vec_pl.report import LastWords

_log = logging.getLogger(__name__)
PALETTE, SKIPPED = "palette.csv", "skipped.csv"
_LEFT = (MASKS, OVERLAYS, PROBABILITIES, SCORES, PALETTE, SKIPPED)


def predict(options: Options, at: Path, taken: Callable[[], AbstractContextManager[Path]]) -> None:
    """Let a bank segment images, or classify them.

    Args:
        options: What is asked of which bank.
        at: The folder of the prediction.
        taken: Takes that folder, once bank and images are found.

    Raises:
        Net2VecError: If bank, concepts or images cannot be had, or the folder is taken.
    """
    bank = load_bank(options.bank, weights=options.weights, device=options.device)
    vocabulary = bank.vocabulary.asked_for(None, options.concepts)
    sources = find_images(options.images)
    if any((at / name).exists() for name in _LEFT):
        raise RunFolderError(f"{at} already holds a prediction; choose another run.dir.")
    model, layer = bank.backbone.model, bank.backbone.layer  # weights are checked before all else
    _log.info("%s at %s: %d concepts, on %s", model, layer, len(vocabulary), bank.device)
    # Large, but within what PIL reads; what is larger it refuses.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    beside = options.bank if options.bank.is_dir() else options.bank.parent
    with taken() as folder:
        with score_table(folder, vocabulary, beside, masks=bank.segments) as table:
            skipped = _go_through(sources, bank, vocabulary, options, folder, table)
        console = LastWords()
        table.tell(console)
        if skipped:
            _log.warning("skipped: %d of %d, see %s", len(skipped), len(sources), SKIPPED)
        for name in _LEFT:
            if (folder / name).exists():
                console.print(str(folder / name), soft_wrap=True, highlight=False, markup=False)


def _go_through(
    sources: Sequence[Source],
    bank: Bank,
    vocabulary: Vocabulary,
    options: Options,
    folder: Path,
    table: ScoreTable,
) -> list[SkippedImage]:
    """Read, ask and write some images at a time; return those that cannot be read."""
    writer = _writer(bank, vocabulary, options, folder) if bank.segments else None
    batches = [
        sources[i : i + options.batch_size] for i in range(0, len(sources), options.batch_size)
    ]
    skipped: list[SkippedImage] = []
    track = Progress(enabled=options.progress)("images")
    with ThreadPoolExecutor(options.workers) as threads:
        for batch in track(batches):
            tried = list(threads.map(partial(_try, image_size=bank.image_size), batch))
            skipped += [fault for fault in tried if not isinstance(fault, InputImage)]
            images = [p for p in tried if isinstance(p, InputImage)]
            if skipped:
                write_csv(skipped, folder / SKIPPED)
            if not images:
                continue
            answers = _ask(bank, images, vocabulary)
            scores = answers.flatten(2).amax(2).sigmoid() if writer else answers
            areas: Iterable[np.ndarray | None] = [None] * len(images)
            if writer:
                areas = threads.map(writer, images, answers)
            for image, score, area in zip(images, scores, areas, strict=True):
                table.add(image.source, score.numpy(), area)
    if not table.images:
        raise DataError(_all_skipped(skipped))
    return skipped


def _try(source: Source, image_size: tuple[int, int]) -> InputImage | SkippedImage:
    try:
        return read(source, image_size)
    except UnreadableRowError as error:
        # File names may hold bytes that are no text.
        told = (t.encode(errors="backslashreplace") for t in (str(source.path), str(error)))
        return SkippedImage(*(text.decode() for text in told))


def _ask(bank: Bank, images: Sequence[InputImage], vocabulary: Vocabulary) -> Tensor:
    pixels = [image.fitted for image in images]
    return (bank.logits if bank.segments else bank.score)(pixels, vocabulary.names)


def _writer(bank: Bank, vocabulary: Vocabulary, options: Options, folder: Path) -> Writer:
    sheets = sheets_of(list(vocabulary))
    write_csv(palette_rows(sheets), folder / PALETTE)
    return Writer(
        folder,
        sheets,
        None if options.own_size else bank.mask_size,
        bank.protocol.align_corners,
        vocabulary.names if options.probabilities else None,
    )


def _all_skipped(skipped: Sequence[SkippedImage]) -> str:
    faults = "".join(f"\n  {row.fault}" for row in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return f"none of {len(skipped)} images can be read:{faults}{more}"
