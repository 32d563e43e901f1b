"""Means of ``native.csv``: over the concepts of a category that compete."""

import math

import torch
from torch import Tensor

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.report.native import native_means, native_statements, native_table
from net2vec_pl.training.native import NativeTotals

VOCABULARY = Vocabulary(
    [
        Concept(number, name, category, (category,), pixels=True)
        for number, name, category in (
            (4, "car", "object"),
            (9, "wheel", "part"),
            (2, "tree", "object"),
            (7, "sky", "object"),
        )
    ]
)


def whole(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


TOTALS = NativeTotals(
    intersection=torch.stack([whole(1, 2, 3, 0), whole(0, 0, 0, 0)]),
    union=torch.stack([whole(4, 4, 4, 0), whole(1, 1, 1, 0)]),
    won=torch.stack([whole(1, 5, 1, 0), whole(0, 5, 2, 0)]),
    either=torch.stack([whole(2, 5, 4, 0), whole(2, 5, 4, 0)]),
    images=whole(2, 3, 4, 0),
    annotated=whole(6, 5, 6, 6),
    pixels=whole(20, 30, 40, 0),
)


def test_rows_divide_the_counts_of_their_own_probe_and_concept() -> None:
    rows = native_table(VOCABULARY, ["lda", "paper"], "8x9", TOTALS)
    assert [(row.probe, row.name) for row in rows[2:6]] == [
        ("lda", "tree"), ("lda", "sky"), ("paper", "car"), ("paper", "wheel"),
    ]  # fmt: skip
    tree, sky = rows[2:4]
    assert (tree.id, tree.category, tree.masks) == (2, "object", "8x9")
    assert (tree.n_val, tree.pixels, tree.n_annotated) == (4, 40, 6)
    assert (tree.iou, tree.argmax) == (3 / 4, 1 / 4)
    assert math.isnan(sky.iou)
    assert math.isnan(sky.argmax)
    assert rows[6].argmax == 2 / 4


def test_a_concept_without_rivals_has_no_part_in_the_means() -> None:
    rows = native_table(VOCABULARY, ["lda", "paper"], "8x9", TOTALS)
    lda, paper = native_means(rows)
    assert lda.iou == (1 + 2 + 3) / 4 / 3
    assert lda.argmax == {"object": (1 / 2 + 1 / 4) / 2}
    assert paper.argmax == {"object": (0 + 2 / 4) / 2}
    assert lda.scored == {"object": 2}
    assert native_statements(rows) == [
        "On masks of 8x9, lda: mean set IoU 0.500, mIoU by argmax: object 0.375.",
        "On masks of 8x9, paper: mean set IoU 0.000, mIoU by argmax: object 0.250.",
    ]


def test_masks_of_their_own_size_are_called_so() -> None:
    rows = native_table(VOCABULARY, ["lda"], "native", NativeTotals(
        *(value[:1] for value in list(vars(TOTALS).values())[:4]),
        *list(vars(TOTALS).values())[4:],
    ))  # fmt: skip
    assert native_statements(rows)[0].startswith("On masks of their own size, lda: ")


def test_without_rows_nothing_is_said() -> None:
    assert native_statements([]) == []
