"""Scores of classifiers, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from net2vec_pl.functional import classifier_scores
from net2vec_pl.functional.balanced import BalancedSampler, Examples
from net2vec_pl.functional.classifier_scores import (
    balanced_accuracy,
    ranking_scores,
    score_classifiers,
)

# A score, whether positive, whether a negative would count.
IMAGES = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.booleans()), min_size=1, max_size=40
)


@given(images=IMAGES)
def test_ranking_is_scikit_learns_with_ties_and_images_left_out(
    images: list[tuple[int, bool, bool]],
) -> None:
    logits, positive, covered = (np.array(values) for values in zip(*images, strict=True))
    negative = ~positive & covered
    ap, auc = ranking_scores(
        torch.from_numpy(logits)[None].float(),
        torch.from_numpy(positive)[None],
        [torch.from_numpy(negative)[None]],
    )[:, 0].tolist()
    if not positive.any() or not negative.any():
        assert np.isnan([ap, auc]).all()
        return
    kept = positive | negative
    assert ap == pytest.approx(average_precision_score(positive[kept], logits[kept]))
    assert auc == pytest.approx(roc_auc_score(positive[kept], logits[kept]))


def test_several_negatives_and_rows_are_scored_as_each_alone() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4, 200)).round(1)
    positive = random.random((4, 200)) < 0.2
    negatives = [~positive, ~positive & (random.random((4, 200)) < 0.5)]
    found = ranking_scores(
        torch.from_numpy(logits), torch.from_numpy(positive), map(torch.from_numpy, negatives)
    )
    assert found.shape == (4, 4)
    for c in range(4):
        for n, negative in enumerate(negatives):
            kept = positive[c] | negative[c]
            pair = (positive[c][kept], logits[c][kept])
            assert found[2 * n, c].item() == pytest.approx(average_precision_score(*pair))
            assert found[2 * n + 1, c].item() == pytest.approx(roc_auc_score(*pair))


def test_large_logits_are_not_made_equal() -> None:
    logits = torch.tensor([[90.0, 91.0, 92.0, 93.0]])
    positive = torch.tensor([[False, False, True, True]])
    assert ranking_scores(logits, positive, [~positive]).flatten().tolist() == [1, 1]
    assert ranking_scores(-logits, positive, [~positive])[1].item() == 0


def test_accuracy_counts_examples_and_one_half_is_wrong_for_either() -> None:
    logits = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 5.0], [-3.0, -5.0]])
    examples = Examples(
        image=np.array([0, 1, 2, 3, 0, 1, 2, 3]),
        positive=np.array([True, False, False, True, True, False, True, False]),
        count=np.array([4, 4]),
    )
    assert balanced_accuracy(logits, examples).tolist() == [0.5, 0.5]


def test_accuracy_matches_a_count_by_hand() -> None:
    random = np.random.default_rng(1)
    present = random.random((80, 6)) < 0.3
    logits = random.normal(size=(80, 6))
    examples = BalancedSampler(present, range(6), 0).draw()
    found = balanced_accuracy(torch.from_numpy(logits), examples).tolist()
    for c in range(6):
        images = examples.image[examples.of(c)]
        f = 1 / (1 + np.exp(-logits[images, c]))
        assert found[c] == np.mean(np.abs(present[images, c] - f) < 0.5)


# -------------------- a split

PRESENT = np.random.default_rng(2).random((50, 5)) < 0.4
PRESENT[:, 1], PRESENT[:, 2] = False, True
ANNOTATED = PRESENT | (np.random.default_rng(3).random((50, 5)) < 0.5)
ANNOTATED[:, 3] = PRESENT[:, 3]
LOGITS = torch.randn(2, 50, 5, generator=torch.Generator().manual_seed(0))
LOGITS[:, :, 4] = torch.nan
BALANCED = BalancedSampler(PRESENT, range(5), 0).draw()


def test_scores_that_cannot_be_are_nan_and_say_why() -> None:
    scores = score_classifiers(LOGITS, PRESENT, ANNOTATED, BALANCED)
    assert scores.reason == [
        "",
        "no val images with it, 10 are needed",
        "no val images without it, 10 are needed",
        "",
        "no classifier",
    ]
    assert scores.reason_annotated == [
        "",
        "no val images with it, 10 are needed",
        "no val images without it, 10 are needed",
        "no annotated val images without it, 10 are needed",
        "no classifier",
    ]
    for name in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated"):
        reasons = scores.reason_annotated if "annotated" in name else scores.reason
        bare = [why == "" for why in reasons]
        assert getattr(scores, name).isfinite().tolist() == [bare, bare]


@pytest.mark.parametrize("of_positives", [True, False])
@pytest.mark.parametrize(("count", "scored"), [(9, False), (10, True)])
def test_a_class_of_nine_known_images_is_no_class(
    of_positives: bool, count: int, scored: bool
) -> None:
    few = np.arange(60)[:, None] < count
    unknown = np.arange(60)[:, None] >= 55  # which would be enough for either class
    present, absent = (few, ~few) if of_positives else (~few, few)
    present, absent = present & ~unknown, absent & ~unknown
    drawn = BalancedSampler(present, [0], 0, absent).draw()
    logits = torch.randn(1, 60, 1, generator=torch.Generator().manual_seed(0))
    scores = score_classifiers(logits, present, np.ones_like(present), drawn, absent)
    with_it = "with" if of_positives else "without"
    reason = "" if scored else f"9 val images {with_it} it, 10 are needed"
    assert scores.reason == scores.reason_annotated == [reason]
    for name in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated"):
        assert getattr(scores, name).isfinite().tolist() == [[scored]], name
    known = {count, 55 - count}
    assert {int(scores.n_with[0]), int(scores.n_without[0])} == known
    assert scores.n_with.tolist() == [count if of_positives else 55 - count]


def test_too_few_annotated_negatives_take_their_scores_alone() -> None:
    present, annotated = np.arange(40)[:, None] < 20, np.arange(40)[:, None] < 29
    drawn = BalancedSampler(present, [0], 0).draw()
    logits = torch.randn(1, 40, 1, generator=torch.Generator().manual_seed(0))
    scores = score_classifiers(logits, present, annotated, drawn)
    assert scores.reason == [""]
    assert scores.reason_annotated == ["9 annotated val images without it, 10 are needed"]
    assert scores.auc.isfinite().all()
    assert scores.auc_annotated.isnan().all()
    assert scores.ap_annotated.isnan().all()
    assert scores.n_without.tolist() == [20]
    assert scores.n_without_annotated.tolist() == [9]


def test_negatives_are_all_images_or_those_annotated() -> None:
    scores = score_classifiers(LOGITS, PRESENT, ANNOTATED, BALANCED)
    for g in range(2):
        logits, true, kept = LOGITS[g, :, 0].numpy(), PRESENT[:, 0], ANNOTATED[:, 0]
        expected = {
            "ap": average_precision_score(true, logits),
            "auc": roc_auc_score(true, logits),
            "ap_annotated": average_precision_score(true[kept], logits[kept]),
            "auc_annotated": roc_auc_score(true[kept], logits[kept]),
        }
        for name, value in expected.items():
            assert getattr(scores, name)[g, 0].item() == pytest.approx(value), name
    assert scores.ap[0, 0] != scores.ap_annotated[0, 0]


def test_scores_do_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_classifiers(LOGITS, PRESENT, ANNOTATED, BALANCED)
    monkeypatch.setattr(classifier_scores, "_ENTRIES_AT_ONCE", 100)
    parts = score_classifiers(LOGITS, PRESENT, ANNOTATED, BALANCED)
    for name in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated"):
        torch.testing.assert_close(
            getattr(whole, name), getattr(parts, name), rtol=0, atol=0, equal_nan=True
        )


def test_one_concept_and_none_at_all() -> None:
    one = BalancedSampler(PRESENT[:, :1], [0], 0).draw()
    scores = score_classifiers(LOGITS[:, :, :1], PRESENT[:, :1], ANNOTATED[:, :1], one)
    assert scores.ap.shape == (2, 1)
    none = BalancedSampler(PRESENT[:, :0], [], 0).draw()
    scores = score_classifiers(LOGITS[:, :, :0], PRESENT[:, :0], ANNOTATED[:, :0], none)
    assert scores.accuracy.shape == scores.auc_annotated.shape == (2, 0)


def test_a_logit_that_overflows_leaves_its_concept_without_scores() -> None:
    logits = LOGITS[:1, :, [0, 0]].clone()
    logits[0, 7, 1] = torch.inf
    flags = PRESENT[:, [0, 0]], ANNOTATED[:, [0, 0]]
    scores = score_classifiers(logits, *flags, BalancedSampler(flags[0], [0, 0], 0).draw())
    for name in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated"):
        assert getattr(scores, name).isnan().tolist() == [[False, True]]
    assert scores.reason == ["", "no classifier"]
