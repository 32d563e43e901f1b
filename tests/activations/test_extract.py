"""What counts as firing, at the threshold itself too, and the counts of all filters at once."""

import numpy as np
import pytest
import torch
from support import oracles
from torch import Tensor, nn

from net2vec_pl.activations import count_single_filters, count_upsampled_filters, extract, fire
from net2vec_pl.activations.pairs import BankCounts
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ImageBatch
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.functional.resize import enlarger

THRESHOLDS = torch.tensor([0.0, 51 / 255, 1.0])
MASK = 9


def batch(concepts_of: list[list[int]], seed: int = 0) -> ImageBatch:
    """Return images of which every pixel is 0, 51, 102 or 255; labels are concepts + 1."""
    draw = torch.Generator().manual_seed(seed)
    levels, n = torch.tensor([0, 51, 102, 255], dtype=torch.uint8), len(concepts_of)
    maps = torch.randint(0, 4, (n, 2, MASK, MASK), generator=draw).int()
    concept = torch.tensor([c for concepts in concepts_of for c in concepts])
    return ImageBatch(
        row=torch.arange(n),
        image=torch.arange(n).repeat_interleave(torch.tensor([len(c) for c in concepts_of])),
        concept=concept,
        images=levels[torch.randint(0, 4, (n, 3, 4, 4), generator=draw)],
        label_maps=maps,
        number=(concept + 1).int(),
        whole=torch.zeros(len(concept), dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def backbone() -> FrozenBackbone:
    return FrozenBackbone(nn.Sequential(nn.Identity()), "0", InputScaling.named("unit"), (4, 4))


def above(given: ImageBatch) -> Tensor:
    """Compare whole numbers: 0 is not above 0, 51 not above 51, and nothing is above 255."""
    return given.images.int() > torch.tensor([0, 51, 255])[:, None, None]


def test_a_filter_fires_above_its_threshold_and_not_at_it(backbone: FrozenBackbone) -> None:
    given = batch([[0], [1, 2]])
    bits = fire(backbone, THRESHOLDS, given).dense()
    assert torch.equal(bits, above(given))
    assert bits[:, 0].any()
    assert bits[:, 1].any()
    assert not bits[:, 2].any()


@pytest.mark.parametrize("images_per_chunk", [1, 2, 128])
def test_all_filters_are_counted_with_all_concepts_of_each_image(
    backbone: FrozenBackbone, images_per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extract._IMAGES_PER_CHUNK, "cpu", images_per_chunk)
    batches = [batch([[0, 2], [], [2], [0, 1, 2]], seed=1), batch([[1]], seed=2)]
    cells = BilinearCells((4, 4), (MASK, MASK), align_corners=True)
    found = count_single_filters(backbone, THRESHOLDS, batches, 3, cells)
    inside, either = np.zeros((3, 3), dtype=int), np.zeros((3, 3), dtype=int)
    for given in batches:
        for place, (image, concept) in enumerate(
            zip(given.image.tolist(), given.concept.tolist(), strict=True)
        ):
            mask = (given.label_maps[image] == concept + 1).any(0).numpy()
            assert np.array_equal(given.masks(slice(place, place + 1))[0].numpy(), mask)
            maps = oracles.single_filter_maps(above(given)[image].numpy(), MASK, MASK)
            for k in range(3):
                inside[concept, k] += (maps[k] & mask).sum()
                either[concept, k] += (maps[k] | mask).sum()
    assert found.intersection.tolist() == inside.tolist()
    assert found.union.tolist() == either.tolist()


def test_upsampled_filters_fire_above_their_threshold_and_not_at_it(
    backbone: FrozenBackbone,
) -> None:
    given = batch([[0]])
    given.images.zero_()
    thresholds = torch.tensor([0.0, -0.1, 0.1])
    enlarge = enlarger((4, 4), (MASK, MASK), align_corners=True)
    found = count_upsampled_filters(backbone, thresholds, [given], 1, enlarge)
    mask = int((given.label_maps[0] == 1).any(0).sum())
    assert found.intersection.tolist() == [[0, mask, 0]]
    assert found.union.tolist() == [[mask, MASK * MASK, mask]]


def test_counts_of_pairs_sum_by_concept_before_they_are_divided() -> None:
    counts = BankCounts(
        image=torch.tensor([3, 3, 7, 9]),
        concept=torch.tensor([2, 0, 0, 2]),
        intersection=torch.tensor([[1, 2, 3, 4], [0, 5, 0, 0]]),
        union=torch.tensor([[10, 4, 12, 5], [1, 5, 5, 1]]),
    )
    expected = [[5 / 16, torch.nan, 5 / 15], [5 / 10, torch.nan, 0]]
    torch.testing.assert_close(
        counts.set_iou(3), torch.tensor(expected).double(), equal_nan=True, rtol=1e-7, atol=0
    )
