"""Classifiers trained together against each trained alone, literally; and what they can learn."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float32, Float64
from support.planted import quiet_trainer
from torch import nn

from net2vec_pl.errors import DataError
from net2vec_pl.functional.balanced import BalancedSampler
from net2vec_pl.functional.classifier_scores import ClassificationScores, score_classifiers
from net2vec_pl.probes import initial_rows
from net2vec_pl.probes.single_classifier import best_single_classifiers
from net2vec_pl.protocol import ClassificationProtocol
from net2vec_pl.training import classification
from net2vec_pl.training.classification import (
    ClassificationBank,
    ClassificationProbe,
    LeadingRowsSGD,
)

PAPER = ClassificationProtocol()
SHORT = ClassificationProtocol(epochs=4, lr_step=2, batch_size=8)
NUMBERS = [31, 5, 77, 12, 9]
SEED = 3


def world(
    images: int = 90, filters: int = 7, seed: int = 0
) -> tuple[Float32[np.ndarray, "N K"], Bool[np.ndarray, "N C"]]:
    """Return activations and five concepts: rare, in half, in none, in most, in all images."""
    random = np.random.default_rng(seed)
    pooled = random.gamma(1, 1, (images, filters)).astype(np.float32)
    present = random.random((images, 5)) < [0.05, 0.5, 0, 0.8, 1]
    present[0, 0] = True
    return pooled, present


def fit(probe: ClassificationProbe) -> ClassificationBank:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning has something to say of every short loop
        quiet_trainer(probe.protocol.epochs).fit(probe)
    return probe.bank()


def train(
    pooled: Float32[np.ndarray, "N K"],
    present: Bool[np.ndarray, "N C"],
    protocol: ClassificationProtocol = SHORT,
    numbers: list[int] | None = None,
    mask: Bool[np.ndarray, "G C K"] | None = None,
) -> ClassificationBank:
    probe = ClassificationProbe(
        torch.from_numpy(pooled),
        present,
        numbers or NUMBERS[: present.shape[1]],
        protocol,
        seed=SEED,
        mask=None if mask is None else torch.from_numpy(mask),
    )
    return fit(probe)


def train_alone(
    pooled: Float32[np.ndarray, "N K"],
    present: Bool[np.ndarray, "N"],
    number: int,
    start: Float32[np.ndarray, "K"],
    protocol: ClassificationProtocol = SHORT,
) -> tuple[Float64[np.ndarray, "K"], float]:
    """Train one classifier as the paper does, in double precision, an example at a time."""
    sampler = BalancedSampler(present[:, None], [number], SEED)
    w, b = start.astype(np.float64), 0.0
    speed_w, speed_b = np.zeros_like(w), 0.0
    for epoch in range(protocol.epochs):
        lr = protocol.lr * protocol.lr_factor ** (epoch // protocol.lr_step)
        images = sampler.draw(epoch).image
        for first in range(0, len(images), protocol.batch_size):
            batch = images[first : first + protocol.batch_size]
            gradient_w, gradient_b = np.zeros_like(w), 0.0
            for i in batch:
                error = 1 / (1 + np.exp(-(b + w @ pooled[i]))) - present[i]
                gradient_w += error * pooled[i] / len(batch)
                gradient_b += error / len(batch)
            speed_w = protocol.momentum * speed_w + gradient_w
            speed_b = protocol.momentum * speed_b + gradient_b
            w, b = w - lr * speed_w, b - lr * speed_b
    return w, b


# -------------------- together and alone


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_training_together_is_training_each_alone_literally(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classification, "_FLOATS_AT_ONCE", chunk)
    pooled, present = world()
    bank = train(pooled, present)
    for c in (0, 1, 3):
        start = initial_rows([NUMBERS[c]], 7, SEED)[0].numpy()
        w, b = train_alone(pooled, present[:, c], NUMBERS[c], start)
        np.testing.assert_allclose(bank.weight[0, c].numpy(), w, rtol=0, atol=1e-5)
        assert bank.bias[0, c].item() == pytest.approx(b, abs=1e-5)
        assert np.abs(w - start).max() > 0.01


def test_the_papers_schedule_is_followed_for_thirty_epochs() -> None:
    pooled, present = world(images=150)
    bank = train(pooled, present[:, [1]], PAPER)
    start = initial_rows([NUMBERS[0]], 7, SEED)[0].numpy()
    w, b = train_alone(pooled, present[:, 1], NUMBERS[0], start, PAPER)
    np.testing.assert_allclose(bank.weight[0, 0].numpy(), w, rtol=0, atol=1e-5)
    assert bank.bias[0, 0].item() == pytest.approx(b, abs=1e-5)
    assert ClassificationProtocol(0.1, 0.9, 30, 15, 0.1, 64) == PAPER


def test_a_masked_classifier_is_one_over_its_filters_alone() -> None:
    pooled, present = world()
    mask = np.random.default_rng(1).random((3, 5, 7)) < 0.5
    mask[0] = True
    mask[2] = np.arange(7) == 4
    bank = train(pooled, present, mask=mask)
    for g in range(3):
        for c in (0, 1, 3):
            kept = mask[g, c]
            start = initial_rows([NUMBERS[c]], 7, SEED)[0].numpy()[kept]
            w, b = train_alone(pooled[:, kept], present[:, c], NUMBERS[c], start)
            np.testing.assert_allclose(bank.weight[g, c, kept].numpy(), w, rtol=0, atol=1e-5)
            assert bank.bias[g, c].item() == pytest.approx(b, abs=1e-5)
            assert (bank.weight[g, c].numpy()[~kept] == 0).all()
    everything = train(pooled, present)
    torch.testing.assert_close(bank.weight[:1], everything.weight, equal_nan=True)


def test_a_concept_does_not_depend_on_those_beside_it_or_on_their_order() -> None:
    pooled, present = world()
    together = train(pooled, present)
    for chosen in ([3], [4, 3, 0], [1, 0]):
        some = train(pooled, present[:, chosen], numbers=[NUMBERS[c] for c in chosen])
        torch.testing.assert_close(
            some.weight, together.weight[:, chosen], rtol=0, atol=1e-6, equal_nan=True
        )


def test_the_same_run_twice_is_the_same_to_the_bit() -> None:
    pooled, present = world()
    one, other = train(pooled, present), train(pooled, present)
    assert torch.equal(one.weight.nan_to_num(9), other.weight.nan_to_num(9))


def test_leading_rows_step_as_pytorchs_sgd_and_the_others_rest() -> None:
    ours, theirs = (nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    optimizer = LeadingRowsSGD(iter([ours]), lr=0.1, momentum=0.9)
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for rows in (3, 2, 2, 3):
        gradient = torch.randn(3, 2, generator=generator)
        ours.grad, theirs.grad = gradient, gradient.clone()
        before = ours.detach().clone()
        optimizer.step(rows=rows)
        reference.step()
        assert torch.equal(ours[rows:], before[rows:])
        torch.testing.assert_close(ours[:2], theirs[:2])
    assert not torch.allclose(ours[2], theirs[2])


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    pooled, present = world()

    def probe() -> ClassificationProbe:
        return ClassificationProbe(torch.from_numpy(pooled), present, NUMBERS, SHORT, seed=SEED)

    through, resumed, half = fit(probe()), probe(), quiet_trainer(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half.fit(probe())
        half.save_checkpoint(tmp_path / "last.ckpt")
        quiet_trainer(4).fit(resumed, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(resumed.bank().weight.nan_to_num(9), through.weight.nan_to_num(9))
    assert (tmp_path / "last.ckpt").stat().st_size < 20_000


# -------------------- what is learnt


def scores_of(
    bank: ClassificationBank,
    pooled: Float32[np.ndarray, "N K"],
    present: Bool[np.ndarray, "N C"],
) -> ClassificationScores:
    balanced = BalancedSampler(present, NUMBERS[: present.shape[1]], 0).draw()
    logits = bank.logits(torch.from_numpy(pooled))
    return score_classifiers(logits, present, np.ones_like(present), balanced)


def test_planted_filters_are_learnt_and_noise_is_not() -> None:
    """One filter; the balance of two, which neither shows alone; nothing at all."""
    random = np.random.default_rng(2)
    pooled = random.gamma(2, 1, (3000, 10)).astype(np.float32)
    present = np.stack(
        [
            pooled[:, 3] > 3.5,
            pooled[:, 1] - pooled[:, 6] > 1,
            random.random(3000) < 0.3,
        ],
        axis=1,
    )
    learn, test = slice(0, 2000), slice(2000, None)
    only = np.ones((2, 3, 10), dtype=np.bool_)
    only[1] = np.arange(10) == np.array([[3], [1], [0]])
    bank = train(pooled[learn], present[learn], PAPER, mask=only)
    scores = scores_of(bank, pooled[test], present[test])
    accuracy = scores.accuracy.numpy()
    assert (accuracy[0, :2] > 0.92).all()
    assert accuracy[1, 0] > 0.92
    assert accuracy[0, 1] > accuracy[1, 1] + 0.1
    assert np.abs(accuracy[:, 2] - 0.5).max() < 0.08
    assert (scores.auc[0, :2] > 0.98).all()
    assert (scores.ap[0, :2] > 0.95).all()
    single = best_single_classifiers(torch.from_numpy(pooled[learn]), present[learn])
    assert single.filter[0] == 3
    assert single.filter[1] in (1, 6)
    balanced = BalancedSampler(present[test], NUMBERS[:3], 0).draw()
    alone = score_classifiers(
        single.logits(torch.from_numpy(pooled[test])),
        present[test],
        np.ones_like(present[test]),
        balanced,
    )
    assert alone.accuracy[0, 0] > 0.97
    assert scores.accuracy[0, 1] > alone.accuracy[0, 1] + 0.1


def test_untrainable_concepts_have_no_classifier_and_no_scores() -> None:
    pooled, present = world()
    bank = train(pooled, present)
    finite = [True, True, False, True, False]
    assert bank.weight[0].isfinite().all(1).tolist() == finite
    assert bank.bias[0].isfinite().tolist() == finite
    val = np.random.default_rng(8).random((40, 5)) < 0.5
    scores = scores_of(bank, pooled[:40], val)
    assert scores.accuracy[0].isfinite().tolist() == finite
    assert scores.reason == ["", "", "no classifier", "", "no classifier"]
    val[:, 0] = False
    assert scores_of(bank, pooled[:40], val).reason[0] == ("no val images with it, 10 are needed")


def test_nothing_to_train_is_no_failure() -> None:
    pooled, present = world()
    assert train(pooled, present[:, [2, 4]]).weight.isnan().all()
    assert train(pooled, present[:, :0]).weight.shape == (1, 0, 7)


def test_one_filter_and_a_dead_filter() -> None:
    pooled, present = world()
    pooled[:, 2] = 0
    start = initial_rows([NUMBERS[0]], 1, SEED)[0].numpy()
    bank = train(pooled[:, :1], present[:, [1]])
    w, _ = train_alone(pooled[:, :1], present[:, 1], NUMBERS[0], start)
    np.testing.assert_allclose(bank.weight[0, 0].numpy(), w, rtol=0, atol=1e-5)
    dead = train(pooled, present[:, [1]])
    assert dead.weight[0, 0, 2] == initial_rows([NUMBERS[0]], 7, SEED)[0, 2]


def test_activations_that_are_not_finite_are_refused() -> None:
    pooled, present = world()
    pooled[3, 1], pooled[5, 2] = np.nan, np.inf
    with pytest.raises(DataError, match="2 of 630 pooled activations are not finite"):
        ClassificationProbe(torch.from_numpy(pooled), present, NUMBERS, SHORT, seed=SEED)


# -------------------- starts and losses


def test_classifiers_start_from_the_vectors_of_seed_layer_and_number() -> None:
    pooled, present = world()
    mask = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    probe = ClassificationProbe(
        torch.from_numpy(pooled), present, NUMBERS, SHORT, seed=SEED, layer="conv4", mask=mask
    )
    bank = probe.bank()
    start = initial_rows(NUMBERS, 7, SEED, "conv4")
    for c in (0, 1, 3):
        assert torch.equal(bank.weight[:, c], start[c] * mask[:, c])
        assert bank.bias[:, c].tolist() == [0, 0]
    assert bank.weight[:, [2, 4]].isnan().all()


def test_the_logged_loss_is_the_mean_over_the_batches_of_all_classifiers() -> None:
    pooled, present = world()
    protocol = ClassificationProtocol(lr=1e-12, epochs=1, batch_size=8)
    probe = ClassificationProbe(
        torch.from_numpy(pooled), present, NUMBERS, protocol, seed=SEED, layer="fc"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = quiet_trainer(1)
        trainer.fit(probe)
    losses = []
    for c in (0, 1, 3):
        w = initial_rows([NUMBERS[c]], 7, SEED, "fc")[0].double().numpy()
        images = BalancedSampler(present[:, [c]], [NUMBERS[c]], SEED).draw(0).image
        for first in range(0, len(images), 8):
            f = 1 / (1 + np.exp(-(pooled[images[first : first + 8]] @ w)))
            right = np.where(present[images[first : first + 8], c], f, 1 - f)
            losses.append(-np.log(right).mean())
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(np.mean(losses), rel=1e-5)


def test_all_that_is_not_finite_is_counted_in_the_refusal() -> None:
    pooled, present = world(images=10)
    pooled[[0, 3], [1, 2]] = np.nan, np.inf
    with pytest.raises(DataError, match=r"^2 of 70 pooled activations are not finite"):
        train(pooled, present)
