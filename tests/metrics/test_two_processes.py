"""Two processes of a gloo group on this computer score as one process does."""

import math

import pytest
import torch
from support.gloo import in_processes

from net2vec_pl.functional import overlap
from net2vec_pl.metrics import ConceptAP, SetIoU

CONCEPTS = 4
Scores = dict[str, list[float]]  # plain, to come back from a process


def score(pairs: slice) -> Scores:
    """Return both metrics of some of 30 pairs; the last concept has none."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(30, 9, 8, generator=generator) < 0.3
    logits = torch.randn(30, 9, 8, generator=generator) + mask - 0.5
    concept = torch.randint(0, CONCEPTS - 1, (30,), generator=generator)
    set_iou, concept_ap = SetIoU(CONCEPTS), ConceptAP(CONCEPTS)
    for start in range(pairs.start, pairs.stop, 4):
        some = slice(start, min(start + 4, pairs.stop))
        set_iou.update(overlap(logits[some] > 0, mask[some]), concept[some])
        concept_ap.update(logits[some], mask[some], concept[some])
    return {"set_iou": set_iou.compute().tolist(), "concept_ap": concept_ap.compute().tolist()}


def score_a_part(rank: int) -> Scores:
    """Score 11 or 19 of the pairs."""
    return score((slice(0, 11), slice(11, 30))[rank])


@pytest.fixture(scope="module")
def of_two_processes() -> list[Scores]:
    return in_processes(score_a_part)


@pytest.mark.parametrize("metric", ["set_iou", "concept_ap"])
def test_two_processes_score_as_one(of_two_processes: list[Scores], metric: str) -> None:
    *expected, last = score(slice(0, 30))[metric]
    assert math.isnan(last)  # no pair has the last concept
    for scores in of_two_processes:
        assert scores[metric][:-1] == expected
    assert score(slice(0, 11))[metric][:-1] != expected
