"""The train images of a layer with masks of other images: sums, and a stream to calibrate on."""

from dataclasses import replace

from net2vec_pl.activations import MemoryCache
from net2vec_pl.activations.exchange import MaskedImages, exchanged, pairs_of
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.moments import moments_of
from net2vec_pl.probes.moments import Sums


def with_other_masks(job: LayerJob, seed: int) -> ConceptDataModule:
    """Return ``job.raw_stream``, whose train images have masks of other images of each concept.

    Args:
        job: The layer.
        seed: Seed of the exchange; see :func:`~net2vec_pl.activations.exchange.exchanged`.
    """
    stream, groups = job.raw_stream, job.setup.reader.groups
    rows = stream.pair_rows["train"]
    if isinstance(stream.source, MemoryCache):
        return stream.from_source(stream.source.shuffled(rows, seed, groups))
    pairs, areas = pairs_of(
        job.activations.stream.source, rows
    )  # those of a cache, if there is one
    mixed = exchanged(pairs, areas, rows, seed, groups)
    return stream.from_source(MaskedImages(stream.source, *mixed))


def sums_of(job: LayerJob, stream: ConceptDataModule) -> Sums:
    """Return the sums of a layer with means inside and outside of the masks of a stream.

    The covariance needs no mask and stays that of the layer.

    Args:
        job: The layer.
        stream: Its train images, with other masks.
    """
    reads, thresholds = job.beside_reads, job.activations.thresholds
    rows = stream.pair_rows["train"]
    other = moments_of(job.setup, job.backbone, thresholds, stream, rows, reads).sums
    return replace(
        job.moments(reads).sums,
        inside=other.inside,
        inside_total=other.inside_total,
        own_count=other.own_count,
        own_total=other.own_total,
    )
