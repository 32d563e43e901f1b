"""Look at some val images once, and keep all that a page shows of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from net2vec_pl.activations import respond
from net2vec_pl.analysis.examples import image_scores
from net2vec_pl.data import ImageBatch
from net2vec_pl.data.batch import collate
from net2vec_pl.functional.iou import overlap, set_iou
from net2vec_pl.report.packing import mask_samples
from net2vec_pl.studies.looks import directions, single_masks
from net2vec_pl.studies.study import Study

EMBEDDING, FILTER, TRUTH, UNSURE = "embedding", "best filter", "ground truth", "unknown"
_MOST = 400  # images; their small copies are a quarter of a page that is still quick to open
_OF_EACH_CONCEPT = 4
_IMAGES_AT_ONCE = 16


@dataclass(frozen=True)
class Gallery:
    """M val images, and what a layer says of them; P pairs of an image and a concept it has.

    Args:
        pictures: The images.
        present: Whether each contains each concept.
        sure: Whether it is known if each contains each concept.
        scores: Direction -> how much every image responds along it, on raw activations: anywhere,
            or on average where nothing is segmented, for classifiers read means.
        largest: The largest activation of every filter in every image.
        image: The image of each pair.
        concept: The concept of each pair.
        masks: ``ground truth``, ``best filter``, ``embedding`` -> masks of the pairs, made small;
            empty where nothing is segmented. ``unknown`` -> pixels that do not count.
        iou: ``best filter``, ``embedding`` -> image IoU of each pair at the full size of masks.
    """

    pictures: list[UInt8[np.ndarray, "3 H W"]]
    present: Bool[np.ndarray, "M C"]
    sure: Bool[np.ndarray, "M C"]
    scores: dict[str, Float[np.ndarray, "M C"]]
    largest: Float[np.ndarray, "M K"]
    image: Int64[np.ndarray, "P"]
    concept: Int64[np.ndarray, "P"]
    masks: dict[str, Bool[np.ndarray, "P _h _w"]]
    iou: dict[str, Float[np.ndarray, "P"]]


@dataclass
class _Album:
    """What a gallery is made of, batch by batch."""

    pictures: list[np.ndarray] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    largest: list[Tensor] = field(default_factory=list)
    image: list[Tensor] = field(default_factory=list)
    concept: list[Tensor] = field(default_factory=list)
    masks: dict[str, list[Tensor]] = field(default_factory=dict)
    iou: dict[str, list[Tensor]] = field(default_factory=dict)


def gallery(study: Study) -> Gallery:
    """Choose val images, ask the network about them, and predict their masks."""
    job = study.job
    rows = job.setup.scan.readable
    val = rows[~job.setup.reader.is_train[rows]]
    index = job.setup.stream.index
    chosen = val[choose_images(index.present(val), seed=study.seed)]
    embedding, single = directions(study)
    vectors = torch.cat([embedding, single]).to(job.setup.device)
    album = _Album()
    for batch in _batches(study, chosen):
        _look(study, batch, vectors, album)
    scores = torch.cat(album.scores).numpy()
    return Gallery(
        pictures=album.pictures,
        present=index.present(chosen),
        sure=index.present(chosen) | index.absent(chosen),
        scores={EMBEDDING: scores[:, : len(embedding)], FILTER: scores[:, len(embedding) :]},
        largest=torch.cat(album.largest).numpy(),
        image=torch.cat(album.image).numpy(),
        concept=torch.cat(album.concept).numpy(),
        masks={name: torch.cat(masks).numpy() for name, masks in album.masks.items()},
        iou={name: torch.cat(iou).numpy() for name, iou in album.iou.items()},
    )


def choose_images(
    present: Bool[np.ndarray, "N C"], most: int = _MOST, each: int = _OF_EACH_CONCEPT, seed: int = 0
) -> Int64[np.ndarray, "M"]:
    """Choose images at random, so that as many concepts as possible are on some of them.

    Args:
        present: Which concepts each image contains.
        most: Images to choose; all if there are no more.
        each: Images that a concept should be on; rare concepts are served first.
        seed: Seed of the choice.

    Returns:
        Their positions, rising.
    """
    n = len(present)
    if n <= most:
        return np.arange(n)
    order = np.random.default_rng(seed).permutation(n)
    chosen = np.zeros(n, dtype=np.bool_)
    for concept in np.argsort(present.sum(0), kind="stable"):
        missing = each - int((chosen & present[:, concept]).sum())
        others = order[present[order, concept] & ~chosen[order]]
        room = most - int(chosen.sum())
        chosen[others[: max(min(missing, room), 0)]] = True
    rest = order[~chosen[order]]
    chosen[rest[: most - int(chosen.sum())]] = True
    return np.flatnonzero(chosen)


def _batches(study: Study, rows: Int64[np.ndarray, "M"]) -> Iterator[ImageBatch]:
    setup = study.job.setup
    reader = setup.reader
    starts = range(0, len(rows), _IMAGES_AT_ONCE)
    for start in setup.progress("images of the report")(starts):
        some = rows[start : start + _IMAGES_AT_ONCE].tolist()
        samples = [reader[row] for row in some]
        yield collate(some, samples, setup.stream.index, reader.image_size, reader.mask_size)


def _look(study: Study, batch: ImageBatch, vectors: Tensor, album: _Album) -> None:
    seen = len(album.pictures)
    album.pictures += list(batch.images.numpy())
    batch = batch.to(study.job.setup.device)
    with torch.no_grad():
        activation = respond(study.job.backbone, batch)
        reduce = "mean" if study.segmentation is None else "max"
        album.scores.append(image_scores(activation, vectors, reduce).cpu())
        album.largest.append(activation.flatten(2).amax(2).cpu())
        album.image.append(batch.image.cpu() + seen)
        album.concept.append(batch.concept.cpu())
        if study.segmentation is None:
            return
        masks = {
            TRUTH: batch.masks(slice(None)),
            FILTER: single_masks(study, activation, batch.image, batch.concept),
            EMBEDDING: study.segmented.probe.masks(batch),
        }
    known = batch.known(slice(None))
    unsure = torch.zeros_like(masks[TRUTH]) if known is None else ~known
    for name, mask in {**masks, UNSURE: unsure}.items():
        album.masks.setdefault(name, []).append(_small(mask).cpu())
        if name in (FILTER, EMBEDDING):
            counts = overlap(mask, masks[TRUTH], known)
            album.iou.setdefault(name, []).append(set_iou(*counts.unbind(1)).cpu())


def _small(masks: Bool[Tensor, "P h w"]) -> Bool[Tensor, "P _h _w"]:
    """Make masks as small as the page holds them: all of them at full size may not fit."""
    rows, columns = (torch.from_numpy(mask_samples(side)) for side in masks.shape[1:])
    return masks[:, rows.to(masks.device)][:, :, columns.to(masks.device)]
