"""Scores on masks of any size against a loop over images, pixels and concepts."""

import numpy as np
import pytest
import torch
from support.gloo import in_processes
from support.oracles import upsample
from torch import Tensor

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data.batch import ImageBatch
from net2vec_pl.data.reader import UNKNOWN, Sample, unknown_label
from net2vec_pl.functional import LOSSES, PixelPass
from net2vec_pl.training import native
from net2vec_pl.training.native import NativeCounts
from net2vec_pl.training.scoring import score_maps
from net2vec_pl.training.wide import WideCounts

CPU = torch.device("cpu")
GRID, BANKS = (3, 4), 2
OBJECT, PART, BOTH = ("object",), ("part",), ("object", "part")
VOCABULARY = Vocabulary(
    [
        Concept(4, "car", "object", OBJECT, pixels=True),
        Concept(9, "wheel", "part", PART, pixels=True),
        Concept(2, "tree", "object", BOTH, pixels=True),
        Concept(7, "sky", "object", OBJECT, pixels=True),
        Concept(5, "trunk", "part", PART, pixels=True),
        Concept(8, "nowhere", "object", OBJECT, pixels=True),
    ]
)
SIZES = [(7, 6), (5, 9), (12, 8), (1, 1), (6, 6), (7, 6), (3, 4)]
LAYERS = ("object", "object", "part")


def planted(*, unknown: bool = True) -> list[tuple[Tensor, Sample, Tensor]]:
    """Draw logits, what is known of each image, and the categories that it is annotated for.

    Objects lie in two layers, so that they overlap; tree is an object and a part. Label 3 is not
    probed. Image 2 is annotated for parts alone, though cars are in it; image 4 is sky all over;
    image 5 has no layers.
    """
    rng = np.random.default_rng(5)
    found = []
    for image, size in enumerate(SIZES):
        objects = [0, 4, 2, 7, 3, *([UNKNOWN, unknown_label(4)] if unknown else [])]
        parts = [0, 9, 5, 2, *([UNKNOWN, unknown_label(2), unknown_label(5)] if unknown else [])]
        maps = np.stack([rng.choice(of, size=size) for of in (objects, [0, 0, *objects], parts)])
        labels = (("object", 7), ("scene", 70)) if image == 4 else ()
        layers = () if image == 5 else LAYERS
        sample = Sample(
            torch.zeros(3, 2, 2, dtype=torch.uint8),
            torch.from_numpy(maps).int()[: len(layers)],
            layers,
            labels,
        )
        annotated = torch.tensor([image != 2 or c.category == "part" for c in VOCABULARY])
        logits = rng.normal(size=(BANKS, len(VOCABULARY), *GRID)) - 0.2
        found.append((torch.from_numpy(logits).float(), sample, annotated))
    return found


class Pixel:
    """What one pixel of an image is known to be.

    Args:
        sample: The image.
        y: Its row.
        x: Its column.
    """

    def __init__(self, sample: Sample, y: int, x: int) -> None:
        self.place = y, x
        self.labels: list[int] = sample.label_maps[:, y, x].tolist()
        self.categories = sample.map_categories
        self.whole = {number for _, number in sample.image_labels}

    def holds(self, concept: Concept) -> bool:
        return concept.number in self.labels or concept.number in self.whole

    def leaves_open(self, concept: Concept) -> bool:
        for label, category in zip(self.labels, self.categories, strict=True):
            unknown = label == -1 and category in concept.categories
            if (unknown or label == -1 - concept.number) and not self.holds(concept):
                return True
        return False


def compete(
    pixel: Pixel, annotated: Tensor, scores: np.ndarray, won: np.ndarray, either: np.ndarray
) -> None:
    """Let the concepts of each category compete for a pixel."""
    for category in ("object", "part"):
        mine = [c for c, of in enumerate(VOCABULARY) if of.category == category and annotated[c]]
        if not any(pixel.holds(VOCABULARY[c]) for c in mine):
            continue
        winner = max(mine, key=lambda c: scores[c])
        for c in mine:
            if not pixel.leaves_open(VOCABULARY[c]):
                won[c] += winner == c and pixel.holds(VOCABULARY[c])
                either[c] += winner == c or pixel.holds(VOCABULARY[c])


def literal(*, everywhere: bool = False, align_corners: bool = True) -> list[np.ndarray]:
    """Count pixel by pixel what :class:`NativeTotals` holds, in its order."""
    counts = np.zeros((4, BANKS, len(VOCABULARY)), dtype=int)
    facts = np.zeros((3, len(VOCABULARY)), dtype=int)
    for logits, sample, annotated in planted():
        sh, sw = sample.label_maps.shape[1:]
        pixels = [Pixel(sample, y, x) for y in range(sh) for x in range(sw)]
        inside = [any(pixel.holds(c) for pixel in pixels) for c in VOCABULARY]
        scored = [has or (everywhere and bool(annotated[c])) for c, has in enumerate(inside)]
        facts[0] += scored
        facts[1] += annotated.numpy()
        facts[2] += [sum(pixel.holds(c) for pixel in pixels) for c in VOCABULARY]
        for bank in range(BANKS):
            maps = logits[bank].numpy()
            alone = np.stack([upsample(m, sh, sw, align_corners) for m in maps])
            rival = np.stack([upsample(m, sh, sw, False) for m in maps])
            for pixel in pixels:
                compete(pixel, annotated, rival[:, *pixel.place], *counts[2:, bank])
                for c, concept in enumerate(VOCABULARY):
                    if scored[c] and not pixel.leaves_open(concept):
                        called = alone[c, *pixel.place] > 0
                        counts[0, bank, c] += called and pixel.holds(concept)
                        counts[1, bank, c] += called or pixel.holds(concept)
    return [*counts, *facts]


def totals(
    images: list[int], *, everywhere: bool = False, align_corners: bool = True
) -> list[list[object]]:
    counts = NativeCounts(
        BANKS, VOCABULARY, align_corners=align_corners, everywhere=everywhere, device=CPU
    )
    for image in images:
        counts.add(*planted()[image])
    return [value.tolist() for value in vars(counts.totals()).values()]


EVERY = list(range(len(SIZES)))


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
def test_counts_are_those_of_a_loop_over_pixels(everywhere: bool, align_corners: bool) -> None:
    expected = literal(everywhere=everywhere, align_corners=align_corners)
    found = totals(EVERY, everywhere=everywhere, align_corners=align_corners)
    assert found == [value.tolist() for value in expected]
    intersection, union, won, either, images, annotated, _ = expected
    assert (intersection[:, :5] > 0).all()
    assert (intersection[:, :5] < union[:, :5]).all()
    assert (won[:, :5] > 0).all()
    assert (won[:, :5] < either[:, :5]).all()
    assert annotated.tolist() == [6, 7, 6, 6, 7, 6]
    assert (images[5] == 0) == (not everywhere)


@pytest.mark.parametrize("logits", [1, 20, 50])
def test_strips_and_order_change_nothing(logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = totals(EVERY)
    monkeypatch.setattr(native, "_STRIP", {"cpu": logits})
    assert totals(EVERY[::-1]) == expected


def in_a_share(rank: int) -> list[list[object]]:
    return totals(EVERY[:-1] if rank == 0 else EVERY[-1:])


def test_two_processes_count_as_one() -> None:
    assert in_processes(in_a_share) == 2 * [totals(EVERY)]


def test_at_the_runs_own_size_counts_are_the_runs_own() -> None:
    """Without unknown pixels; the winner of a run's table is that of its own upsampling."""
    size, numbers = SIZES[0], VOCABULARY.numbers
    images = [image for image in planted(unknown=False) if image[1].label_maps.shape[1:] == size]
    images = [image for image in images if len(image[1].label_maps) > 0]
    counts = NativeCounts(BANKS, VOCABULARY, align_corners=False, everywhere=True, device=CPU)
    for image in images:
        counts.add(*image)
    found = counts.totals()
    count = len(VOCABULARY)
    batch = ImageBatch(
        row=torch.arange(len(images)),
        image=torch.arange(len(images)).repeat_interleave(count),
        concept=torch.arange(count).repeat(len(images)),
        images=torch.zeros(len(images), 3, 2, 2, dtype=torch.uint8),
        label_maps=torch.stack([sample.label_maps for _, sample, _ in images]),
        number=torch.from_numpy(numbers).int().repeat(len(images)),
        whole=torch.zeros(count * len(images), dtype=torch.bool),
    )
    maps = torch.cat([logits for logits, _, _ in images], 1)
    pixels = PixelPass(GRID, size, LOSSES["bce"], align_corners=False)
    alone = score_maps(pixels, maps, batch, count).view(BANKS, len(images), count, 2).sum(1)
    assert torch.equal(alone[..., 0], found.intersection)
    assert torch.equal(alone[..., 1], found.union)
    wide = WideCounts(BANKS, [c.category for c in VOCABULARY], CPU)
    wide.add(pixels, maps, batch)
    assert torch.equal(wide._counts[2], found.won)
    assert torch.equal(wide._counts[3], found.either)


def one_line(labels: list[list[int]], layers: tuple[str, ...], logits: list[list[float]]) -> object:
    """Count a picture of one line of pixels, on a grid of as many; cars compete with trees."""
    vocabulary = Vocabulary([VOCABULARY[0], VOCABULARY[2]])
    counts = NativeCounts(1, vocabulary, align_corners=True, everywhere=False, device=CPU)
    sample = Sample(
        torch.zeros(3, 2, 2, dtype=torch.uint8), torch.tensor(labels).int()[:, None], layers, ()
    )
    maps = torch.tensor(logits)[None, :, None]
    counts.add(maps, sample, torch.tensor([True, True]))
    found = counts.totals()
    return [getattr(found, name)[0].tolist() for name in ("won", "either", "intersection", "union")]


def test_of_equal_logits_the_first_wins() -> None:
    found = one_line([[4, 2, 0]], OBJECT, [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert found == [[1, 0], [2, 1], [1, 1], [3, 3]]


def test_what_is_unknown_for_one_concept_counts_for_the_others() -> None:
    """Trees where only a car may be: a car that is called there is neither right nor wrong."""
    labels = [[2, 2, 2], [unknown_label(4), unknown_label(2), UNKNOWN]]
    found = one_line(labels, ("object", "object"), [[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    assert found == [[0, 0], [1, 3], [0, 0], [0, 3]]


def test_a_layer_of_another_category_leaves_nothing_open() -> None:
    """Of parts: trees are parts too, cars are not."""
    found = one_line([[2, 4], [UNKNOWN, UNKNOWN]], ("object", "part"), [[1.0, -1.0], [-1.0, 1.0]])
    assert found == [[0, 0], [2, 1], [0, 0], [2, 1]]
