"""The single-filter baseline: against the oracle, ties, nothing to choose, and a planted filter."""

import torch
from support import oracles

from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import SingleFilterBaseline, SingleFilterCounts

GRID, MASK = (5, 6), (12, 13)


def test_counts_and_choice_equal_the_oracle() -> None:
    torch.manual_seed(0)
    cells = BilinearCells(GRID, MASK, align_corners=True)
    counts = SingleFilterCounts(3, 7, torch.device("cpu"))
    inter, union = torch.zeros(3, 7, dtype=torch.long), torch.zeros(3, 7, dtype=torch.long)
    for _ in range(6):
        fired = torch.rand(7, *GRID) > 0.8
        concept = torch.randperm(3)[:2]
        masks = torch.rand(2, *MASK) > 0.5
        counts.add(fired[None], masks, torch.zeros(2).long(), concept, cells)
        for mask, c in zip(masks, concept.tolist(), strict=True):
            i, u = oracles.single_filter_counts(fired.numpy(), mask.numpy())
            inter[c] += torch.from_numpy(i)
            union[c] += torch.from_numpy(u)
    assert torch.equal(counts.intersection, inter)
    assert torch.equal(counts.union, union)
    best = SingleFilterBaseline(counts.set_iou(), counts.set_iou()).best_filter().tolist()
    assert best == [oracles.best_filter(inter[c].numpy(), union[c].numpy()) for c in range(3)]


def test_ties_go_to_the_lowest_filter_and_nothing_is_chosen_from_nothing() -> None:
    train = torch.tensor([[0.1, 0.4, 0.4], [0.0, 0.0, 0.0], [torch.nan, torch.nan, torch.nan]])
    baseline = SingleFilterBaseline(train.double(), train.double())
    assert baseline.best_filter().tolist() == [1, -1, -1]
    assert baseline.best_concept().tolist() == [0, 0, 0]


def test_the_filter_is_chosen_on_train_and_not_on_val() -> None:
    train, val = torch.tensor([[0.2, 0.3]]).double(), torch.tensor([[0.9, 0.1]]).double()
    assert SingleFilterBaseline(train, val).best_filter().tolist() == [1]


def test_a_planted_filter_reaches_set_iou_one() -> None:
    cells = BilinearCells((4, 4), (8, 8), align_corners=True)
    counts = SingleFilterCounts(2, 3, torch.device("cpu"))
    torch.manual_seed(1)
    for _ in range(5):
        fired = torch.rand(3, 4, 4) > 0.5
        planted = torch.from_numpy(oracles.single_filter_maps(fired.numpy(), 8, 8))
        image, concept = torch.zeros(2).long(), torch.tensor([0, 1])
        counts.add(fired[None], planted[[2, 0]], image, concept, cells)
    baseline = SingleFilterBaseline(counts.set_iou(), counts.set_iou())
    assert baseline.best_filter().tolist() == [2, 0]
    assert baseline.train.amax(1).tolist() == [1.0, 1.0]


def test_several_images_at_once_count_as_each_by_itself() -> None:
    torch.manual_seed(2)
    cells = BilinearCells(GRID, MASK, align_corners=False)
    fired, image = torch.rand(4, 7, *GRID) > 0.7, torch.tensor([0, 0, 2, 3, 3, 3])
    concept, masks = torch.tensor([2, 0, 1, 0, 1, 2]), torch.rand(6, *MASK) > 0.5
    together, alone = (SingleFilterCounts(3, 7, torch.device("cpu")) for _ in range(2))
    together.add(fired, masks, image, concept, cells)
    for i in range(4):
        mine = image == i
        none = torch.zeros(int(mine.sum())).long()
        alone.add(fired[i : i + 1], masks[mine], none, concept[mine], cells)
    assert torch.equal(together.intersection, alone.intersection)
    assert torch.equal(together.union, alone.union)
    assert len({*together.union.flatten().tolist()}) > 10


def test_filters_choose_concepts_and_concepts_filters_on_train_by_the_least_difference() -> None:
    train = torch.tensor([[0.300, 0.301, 0.1], [0.2, 0.0, 0.1001], [0.1, 0.3, 0.0]]).double()
    baseline = SingleFilterBaseline(train, train.flip(0, 1))
    assert baseline.best_filter().tolist() == [1, 0, 1]
    assert baseline.best_concept().tolist() == [0, 0, 1]
