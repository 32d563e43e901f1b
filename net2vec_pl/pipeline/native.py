"""Score the run's probes once more, on val images with masks of another size."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from net2vec_pl import processes
from net2vec_pl.data import ConceptReader, ImageBatch
from net2vec_pl.data.batch import annotated_for
from net2vec_pl.data.reader import Sample
from net2vec_pl.pipeline.calibrated import Calibrated
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.worth import REFERENCES
from net2vec_pl.records.run import NativeRow
from net2vec_pl.report.native import native_table
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.training.native import NativeCounts, NativeTotals

_Item = tuple[int, Sample]
_MOST_IMAGES = 8  # through the network at a time
_MOST_PIXELS = 2**23  # of label maps at a time
_MOST_LOGITS = 2**23  # on the grid, of one bank


class _Rows(Dataset[_Item]):
    """Rows with their numbers; large masks come one by one, so that few are in memory."""

    def __init__(self, reader: ConceptReader) -> None:
        self._reader = reader

    def __getitem__(self, row: int) -> _Item:
        return row, self._reader[row]


def native_rows(job: LayerJob, probes: Sequence[Calibrated]) -> list[NativeRow]:
    """Score probes on the masks of ``score.mask_size``; nothing where the run asks for none.

    Images go through the network again, for a cache holds masks of the run's size.

    Args:
        job: The layer.
        probes: What gives their logits; reference levels are left out.
    """
    reader, size = job.setup.native_reader, job.setup.options.score_size
    if reader is None or size is None:
        return []
    masks = size if isinstance(size, str) else f"{size[0]}x{size[1]}"
    names = [name for probe in probes for name in probe.group.names]
    kept = [bank for bank, name in enumerate(names) if name not in REFERENCES]
    stage = "-".join(["native", masks, *job.setup.options.beside])
    counts = job.stages.once(stage, lambda: _counted(job, reader, probes, kept))
    chosen = [names[bank] for bank in kept]
    return native_table(job.vocabulary, chosen, masks, NativeTotals(**counts))


def _counted(
    job: LayerJob, reader: ConceptReader, probes: Sequence[Calibrated], kept: Sequence[int]
) -> Tensors:
    setup, options = job.setup, job.setup.options
    counts = NativeCounts(
        len(kept),
        job.vocabulary,
        align_corners=options.protocol.align_corners,
        everywhere=options.protocol.denominator == "annotated",
        device=setup.device,
    )
    given = [probe.maps(job) for probe in probes]
    grid = job.backbone.shape[1] * job.backbone.shape[2]
    most = max(min(_MOST_IMAGES, _MOST_LOGITS // (grid * len(job.vocabulary))), 1)
    rows = processes.share(_rows(job))
    loader = DataLoader(
        _Rows(reader),
        sampler=rows.tolist(),
        num_workers=options.workers,
        collate_fn=list,
    )
    batches = setup.progress(f"scores on masks of {options.score_size}")(_batches(loader, most))
    for items in batches:
        batch = _batch(items, len(job.vocabulary)).to(setup.device)
        annotated = annotated_for(job.vocabulary, reader, batch.row.cpu().numpy())
        with torch.no_grad():
            maps = torch.cat([maps(batch) for maps in given])[kept]
        of_images = maps.view(len(kept), len(items), -1, *maps.shape[2:]).unbind(1)
        for (_, sample), of_image, known in zip(items, of_images, annotated, strict=True):
            counts.add(of_image, sample, torch.from_numpy(known))
    return vars(counts.totals())


def _rows(job: LayerJob) -> npt.NDArray[np.int64]:
    """Return the val images that may count: those annotated for any category of a concept."""
    reader, rows = job.setup.reader, job.setup.stream.val_rows
    names = {name for concept in job.vocabulary for name in concept.categories}
    asked = [category.name in names for category in reader.categories]
    return rows[reader.annotated[rows][:, asked].any(1)]


def _batches(items: Iterable[list[_Item]], most: int) -> Iterator[list[_Item]]:
    """Put images together until they are as many, or as large, as may be."""
    batch: list[_Item] = []
    pixels = 0
    for (item,) in items:
        batch.append(item)
        pixels += item[1].label_maps.numel()
        if len(batch) == most or pixels >= _MOST_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _batch(items: Sequence[_Item], num_concepts: int) -> ImageBatch:
    """Pair every image with every concept; its masks stay outside, for they differ in size."""
    images: list[Tensor] = [sample.image for _, sample in items]
    pairs = len(items) * num_concepts
    return ImageBatch(
        row=torch.tensor([row for row, _ in items]),
        image=torch.arange(len(items)).repeat_interleave(num_concepts),
        concept=torch.arange(num_concepts).repeat(len(items)),
        images=torch.stack(images),
        label_maps=torch.zeros(len(items), 0, 1, 1, dtype=torch.int32),
        number=torch.zeros(pairs, dtype=torch.int32),
        whole=torch.zeros(pairs, dtype=torch.bool),
    )
