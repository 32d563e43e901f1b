"""Scores over annotated images against a loop over banks, images, categories and pixels."""

import math

import numpy as np
import pytest
import torch
from support.gloo import in_processes
from torch import Tensor
from torch.nn.functional import interpolate

from net2vec_pl.data.batch import ImageBatch
from net2vec_pl.functional import LOSSES, PixelPass
from net2vec_pl.training.wide import WideCounts

CATEGORIES = ["object", "color", "object", "object", "color", "object"]
NUMBERS = [4, 9, 2, 7, 5, 8]  # the last one is in no image
GRID, MASK, BANKS, IMAGES = (3, 4), (7, 6), 3, 9
CPU = torch.device("cpu")


def planted() -> tuple[ImageBatch, Tensor]:
    """Draw label maps, and the logits of all pairs of an image and a concept of its categories.

    Objects lie in two layers, so that they overlap; image 0 is annotated for nothing, image 1 for
    colors alone, image 2 has no object though it is annotated for them.
    """
    rng = np.random.default_rng(3)
    maps = np.stack(
        [
            rng.choice([0, 4, 2, 7], size=(IMAGES, *MASK)),
            rng.choice([0, 0, 4, 2], size=(IMAGES, *MASK)),
            rng.choice([0, 9, 5], size=(IMAGES, *MASK)),
        ],
        axis=1,
    )
    maps[2, :2] = 0
    maps[3, 2] = 0
    for_colors, for_objects = np.arange(IMAGES) > 0, np.arange(IMAGES) > 1
    asked = np.stack([for_colors if c == "color" else for_objects for c in CATEGORIES], 1)
    image, concept = asked.nonzero()
    batch = ImageBatch(
        row=torch.arange(IMAGES),
        image=torch.from_numpy(image),
        concept=torch.from_numpy(concept),
        images=torch.zeros(IMAGES, 3, 2, 2, dtype=torch.uint8),
        label_maps=torch.from_numpy(maps).int(),
        number=torch.tensor(NUMBERS).int()[concept],
        whole=torch.zeros(len(image), dtype=torch.bool),
    )
    logits = torch.from_numpy(rng.normal(size=(BANKS, len(image), *GRID)) - 0.2).float()
    return batch, logits


def pixels() -> PixelPass:
    return PixelPass(GRID, MASK, LOSSES["bce"], align_corners=True, pairs_per_chunk=5)


def part(batch: ImageBatch, logits: Tensor, rows: list[int]) -> tuple[ImageBatch, Tensor]:
    """Cut some images out, with their pairs."""
    keep = torch.isin(batch.image, torch.tensor(rows).long())
    place = {row: i for i, row in enumerate(rows)}
    cut = ImageBatch(
        row=torch.tensor(rows).long(),
        image=torch.tensor([place[row] for row in batch.image[keep].tolist()]).long(),
        concept=batch.concept[keep],
        images=batch.images[rows],
        label_maps=batch.label_maps[rows],
        number=batch.number[keep],
        whole=batch.whole[keep],
    )
    return cut, logits[:, keep]


def scores(parts: list[list[int]]) -> tuple[list[list[float]], list[list[float]]]:
    batch, logits = planted()
    counts = WideCounts(BANKS, CATEGORIES, CPU)
    for rows in parts:
        cut, maps = part(batch, logits, rows)
        counts.add(pixels(), maps, cut)
    found = counts.scores()
    return found.annotated.tolist(), found.argmax.tolist()


def literal() -> np.ndarray:
    """Count pixel by pixel: intersection and union of masks, then of the category's winner."""
    batch, logits = planted()
    counts = np.zeros((4, BANKS, len(CATEGORIES)))
    for bank in range(BANKS):
        up = interpolate(logits[bank, None], MASK, mode="bilinear", align_corners=True)[0]
        for n in range(IMAGES):
            of_image = [p for p, i in enumerate(batch.image.tolist()) if i == n]
            for category in ("object", "color"):
                mine = {
                    int(batch.concept[p]): up[p].numpy()
                    for p in of_image
                    if CATEGORIES[int(batch.concept[p])] == category
                }
                for y in range(MASK[0]):
                    for x in range(MASK[1]):
                        here = {
                            c for c in mine if (batch.label_maps[n, :, y, x] == NUMBERS[c]).any()
                        }
                        for c, score in mine.items():
                            counts[0, bank, c] += score[y, x] > 0 and c in here
                            counts[1, bank, c] += score[y, x] > 0 or c in here
                        if not here:
                            continue
                        winner = max(mine, key=lambda c: mine[c][y, x])
                        for c in mine:
                            counts[2, bank, c] += winner == c and c in here
                            counts[3, bank, c] += winner == c or c in here
    return counts


def test_counts_are_those_of_a_loop_over_pixels() -> None:
    counts = literal()
    with np.errstate(invalid="ignore"):
        annotated, argmax = counts[0] / counts[1], counts[2] / counts[3]
    found = scores([list(range(IMAGES))])
    np.testing.assert_allclose(found[0], annotated, rtol=1e-12)
    np.testing.assert_allclose(found[1], argmax, rtol=1e-12)
    assert (annotated[:, :5] > 0).all()
    assert (argmax[:, :5] > 0).all()
    assert (annotated[:, 5] == 0).all()  # in no image: what is called is wrong
    assert len(np.unique(argmax[:, :5])) == 15  # banks and concepts differ


@pytest.mark.parametrize(
    "parts", [[[n] for n in range(IMAGES)], [[5, 0, 3], [], [1, 2, 4, 6, 7, 8]]]
)
def test_batches_change_nothing(parts: list[list[int]]) -> None:
    assert scores(parts) == scores([list(range(IMAGES))])


def in_a_share(rank: int) -> tuple[list[list[float]], list[list[float]]]:
    """Count all images but one in the first process."""
    return scores([[0, 1, 2, 3], [4, 5, 6, 7], []] if rank == 0 else [[], [8], []])


def test_two_processes_count_as_one() -> None:
    assert in_processes(in_a_share) == 2 * [scores([list(range(IMAGES))])]


def test_without_a_pixel_there_is_no_score() -> None:
    counts = WideCounts(2, ["object", "color"], CPU)
    found = counts.scores()
    assert found.annotated.shape == found.argmax.shape == (2, 2)
    assert found.annotated.isnan().all()
    assert found.argmax.isnan().all()
    batch, logits = planted()
    none, maps = part(batch, logits, [0])
    counts.add(pixels(), maps[:2], none)
    assert counts.scores().annotated.isnan().all()


def test_the_winner_of_a_pixel_with_two_labels_need_only_be_one_of_them() -> None:
    """Two objects cover the first pixel, none the second, the second object the third."""
    batch = ImageBatch(
        row=torch.tensor([0]),
        image=torch.tensor([0, 0]),
        concept=torch.tensor([0, 1]),
        images=torch.zeros(1, 3, 1, 3, dtype=torch.uint8),
        label_maps=torch.tensor([[[[1, 0, 2]], [[2, 0, 0]]]]).int(),
        number=torch.tensor([1, 2]).int(),
        whole=torch.tensor([False, False]),
    )
    maps = torch.tensor([[[[2.0, 9.0, -1.0]], [[1.0, -1.0, -2.0]]]])
    counts = WideCounts(1, ["object", "object"], CPU)
    counts.add(PixelPass((1, 3), (1, 3), LOSSES["bce"], align_corners=True), maps, batch)
    found = counts.scores()
    # Of the first: 1 of the pixels called or its own, of which there are 2; then 1 of 2, and 0.
    assert found.annotated.tolist() == [[1 / 2, 1 / 2]]
    assert found.argmax.tolist() == [[1 / 2, 0.0]]
    assert not math.isnan(found.argmax.sum())
