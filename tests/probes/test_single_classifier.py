"""The best filter for classification: fits, choice, and data that cannot be fitted."""

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float32
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor

from net2vec_pl.probes import single_classifier
from net2vec_pl.probes.single_classifier import RIDGE, best_single_classifiers, fit_single


def world(
    images: int = 300, filters: int = 6, concepts: int = 4, seed: int = 0
) -> tuple[Float32[np.ndarray, "N K"], Bool[np.ndarray, "N C"]]:
    """Return skewed activations of unlike scales, and concepts that follow filters with noise."""
    random = np.random.default_rng(seed)
    pooled = random.gamma(0.5, 1, (images, filters)) * 10.0 ** np.arange(-2, filters - 2)
    standard = (pooled - pooled.mean(0)) / pooled.std(0)
    present = standard[:, :concepts] + random.normal(size=(images, concepts)) > 1
    return pooled.astype(np.float32), present


def standardised(pooled: Float32[np.ndarray, "N K"]) -> Tensor:
    exact = torch.from_numpy(pooled).double()
    return ((exact - exact.mean(0)) / exact.std(0, correction=0)).T.contiguous()


def balanced_loss(x: Tensor, positive: Tensor, a: Tensor, b: Tensor) -> Tensor:
    z = a * x + b
    softplus = torch.nn.functional.softplus
    return (softplus(-z[positive]).mean() + softplus(z[~positive]).mean() + RIDGE * a**2) / 2


def test_fits_are_scikit_learns_with_the_same_ridge() -> None:
    pooled, present = world()
    x = standardised(pooled)
    fits = fit_single(x, torch.from_numpy(present.T.copy()))
    for c in range(4):
        for k in range(6):
            reference = LogisticRegression(
                C=1 / (RIDGE * len(x[k])), class_weight="balanced", tol=1e-10, max_iter=1000
            ).fit(x[k][:, None].numpy(), present[:, c])
            assert fits.slope[c, k].item() == pytest.approx(
                reference.coef_.item(), rel=1e-4, abs=1e-5
            )
            assert fits.bias[c, k].item() == pytest.approx(
                reference.intercept_.item(), rel=1e-4, abs=1e-5
            )


def test_the_ridge_hardly_matters_where_classes_overlap() -> None:
    pooled, present = world()
    found = best_single_classifiers(torch.from_numpy(pooled), present)
    for c in range(4):
        chosen = pooled[:, [int(found.filter[c])]].astype(np.float64)
        scale = chosen.std()
        reference = LogisticRegression(C=1e6, class_weight="balanced", tol=1e-10, max_iter=1000)
        reference.fit(chosen / scale, present[:, c])
        assert found.slope[c].item() * scale == pytest.approx(reference.coef_.item(), rel=0.01)
        assert found.bias[c].item() == pytest.approx(reference.intercept_.item(), rel=0.01)


def test_the_choice_is_the_best_of_all_by_a_slow_search() -> None:
    pooled, present = world(concepts=5, seed=1)
    found = best_single_classifiers(torch.from_numpy(pooled), present)
    for c in range(5):
        true, accuracies = present[:, c], []
        for k in range(6):
            x = (pooled[:, [k]] - pooled[:, k].mean()) / pooled[:, k].std()
            fit = LogisticRegression(
                C=1 / (RIDGE * len(x)), class_weight="balanced", tol=1e-10, max_iter=1000
            ).fit(x, true)
            right = fit.predict(x) == true
            accuracies.append((right[true].mean() + right[~true].mean()) / 2)
        assert found.filter[c].item() == np.argmax(accuracies)
        assert found.train_accuracy[c].item() == pytest.approx(max(accuracies))
        assert found.reason[c] == ""


def test_single_precision_gives_the_same_fits() -> None:
    pooled, present = world(images=2000)
    x, positive = standardised(pooled), torch.from_numpy(present.T.copy())
    double, single = fit_single(x, positive), fit_single(x.float(), positive)
    torch.testing.assert_close(single.slope.double(), double.slope, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(single.loss.double(), double.loss, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outlier", [10.0, 1e3, 1e6])
def test_fits_of_heavy_tails_are_minima(outlier: float) -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(3, 400))
    x[:, ::100] *= outlier
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    positive = torch.from_numpy(random.random((2, 400)) < 0.1)
    fits = fit_single(torch.from_numpy(x), positive)
    for c in range(2):
        for k in range(3):
            at = (torch.from_numpy(x[k]), positive[c])
            least = balanced_loss(*at, fits.slope[c, k], fits.bias[c, k])
            assert least.item() == pytest.approx(fits.loss[c, k].item())
            assert least <= np.log(2) + 1e-12
            for da, db in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
                assert balanced_loss(*at, fits.slope[c, k] + da, fits.bias[c, k] + db) >= least


@pytest.mark.parametrize("positives", [1, 3, 50, 99])
@pytest.mark.parametrize("gap", [1e-3, 1.0, 1e3])
def test_classes_that_a_filter_separates_do_not_diverge(positives: int, gap: float) -> None:
    values = np.linspace(0, 1, 100)
    values[-positives:] += gap
    present = np.arange(100)[:, None] >= 100 - positives
    found = best_single_classifiers(torch.from_numpy(values[:, None]).float(), present)
    # Within a gap of a thousandth of the range the ridge moves the cut past an image or two.
    assert found.train_accuracy.item() >= (1 if gap >= 1 else 0.97)
    assert torch.isfinite(found.slope * found.bias).all()
    assert found.slope.item() > 0
    assert found.slope.item() * values.std() < 1000


def test_the_planted_filter_is_found_and_may_be_one_that_is_silent() -> None:
    random = np.random.default_rng(5)
    pooled = random.gamma(1, 1, (500, 8)).astype(np.float32)
    present = np.stack([pooled[:, 3] > 1.5, pooled[:, 6] < 0.5], axis=1)
    found = best_single_classifiers(torch.from_numpy(pooled), present)
    assert found.filter.tolist() == [3, 6]
    assert found.train_accuracy.min() > 0.97
    assert found.slope[0] > 0 > found.slope[1]
    (logits,) = found.logits(torch.from_numpy(pooled))
    right = (logits > 0).numpy() == present
    shares = [(right[p, c].mean() + right[~p, c].mean()) / 2 for c, p in enumerate(present.T)]
    np.testing.assert_allclose(found.train_accuracy, shares, atol=0.005)


def test_ties_go_to_the_lower_loss_then_to_the_lower_index() -> None:
    better = np.r_[np.zeros(50), np.ones(50)]
    worse = np.r_[np.zeros(50), np.ones(49), 0.6]
    pooled = np.stack([worse, better, better, worse], axis=1)
    found = best_single_classifiers(torch.from_numpy(pooled).float(), np.arange(100)[:, None] >= 50)
    assert found.filter.tolist() == [1]


def test_dead_filters_have_no_classifier() -> None:
    pooled, present = world()
    pooled[:, :5] = [0, 1, 1e-30, 7.3, 1e9]
    found = best_single_classifiers(torch.from_numpy(pooled), present)
    assert found.filter.tolist() == [5] * 4
    none = best_single_classifiers(torch.from_numpy(pooled[:, :5]), present)
    assert none.filter.tolist() == [-1] * 4
    assert none.reason == ["no filter varies over the train images"] * 4
    assert next(none.logits(torch.from_numpy(pooled))).isnan().all()


def test_concepts_without_a_class_have_no_classifier_and_say_why() -> None:
    pooled, present = world()
    present[:, 1], present[:, 2] = True, False
    found = best_single_classifiers(torch.from_numpy(pooled), present)
    assert found.reason == ["", "no train images without it", "no train images with it", ""]
    assert (found.filter >= 0).tolist() == [True, False, False, True]
    for values in (found.slope, found.bias, found.train_accuracy):
        assert values.isfinite().tolist() == [True, False, False, True]
    (logits,) = found.logits(torch.from_numpy(pooled))
    assert logits.isfinite().all(0).tolist() == [True, False, False, True]


def test_one_filter_one_concept_no_concept_and_no_image() -> None:
    pooled, present = world()
    one = best_single_classifiers(torch.from_numpy(pooled[:, :1]), present[:, :1])
    assert one.filter.tolist() == [0]
    assert best_single_classifiers(torch.from_numpy(pooled), present[:, :0]).reason == []
    empty = best_single_classifiers(torch.from_numpy(pooled[:0]), present[:0])
    assert empty.reason == ["no train images with it"] * 4


def test_the_choice_does_not_depend_on_the_size_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled, present = world(concepts=6)
    whole = best_single_classifiers(torch.from_numpy(pooled), present)
    monkeypatch.setattr(single_classifier, "_FLOATS_AT_ONCE", 2 * pooled.size)
    parts = best_single_classifiers(torch.from_numpy(pooled), present)
    assert torch.equal(whole.filter, parts.filter)
    torch.testing.assert_close(whole.slope, parts.slope, rtol=1e-4, atol=0)


def test_a_filter_that_says_nothing_puts_every_image_on_the_line_which_is_wrong() -> None:
    pooled = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    found = best_single_classifiers(pooled, np.array([[True], [False], [True], [False]]))
    assert found.filter.tolist() == [0]
    assert (found.slope.tolist(), found.bias.tolist()) == ([0], [0])
    assert found.train_accuracy.tolist() == [0]


def test_activations_below_zero_are_as_good_as_any() -> None:
    pooled, present = world()
    pooled = pooled[:, 2:4] / 8
    above, below = (best_single_classifiers(torch.from_numpy(pooled - s), present) for s in (0, 99))
    assert (pooled - 99 < 0).all()
    assert (above.filter >= 0).all()
    assert torch.equal(above.filter, below.filter)
    torch.testing.assert_close(above.slope, below.slope, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(above.bias + 99 * above.slope, below.bias, rtol=1e-2, atol=1e-1)


def test_a_missing_class_is_the_reason_before_filters_that_do_not_vary() -> None:
    present = np.array([[True, True], [True, False]])
    found = best_single_classifiers(torch.ones(2, 3), present)
    assert found.reason == [
        "no train images without it",
        "no filter varies over the train images",
    ]
    assert found.filter.tolist() == [-1, -1]


def test_both_classes_weigh_alike_in_what_is_reported() -> None:
    # 2 of 3 positives and 3 of 5 negatives are right at the best of all thresholds.
    values = np.array([3, 3, 0, 0, 0, 0, 3, 3], dtype=np.float32)
    present = np.array([True] * 3 + [False] * 5)
    found = best_single_classifiers(torch.from_numpy(values[:, None]), present[:, None])
    assert found.train_accuracy.tolist() == pytest.approx([(2 / 3 + 3 / 5) / 2])


def test_the_best_accuracy_wins_though_another_filter_has_the_lower_loss() -> None:
    sharp = np.r_[np.ones(9), -3, -np.ones(9), 3]  # 9 of 10 on their side, one far on the other
    broad = np.r_[[3.0] * 8, [-0.1] * 2, [-3.0] * 8, [0.1] * 2]  # 8 of 10, the others near by
    pooled = torch.from_numpy(np.stack([broad, sharp], axis=1)).float()
    positive = np.arange(20) < 10
    losses = [
        log_loss(positive, LogisticRegression(C=1e4).fit(x, positive).predict_proba(x))
        for x in (broad[:, None], sharp[:, None])
    ]
    assert losses[0] < losses[1] - 0.1
    found = best_single_classifiers(pooled, positive[:, None])
    assert found.filter.tolist() == [1]
    assert found.train_accuracy.tolist() == [0.9]
