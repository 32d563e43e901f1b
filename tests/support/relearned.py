"""What a planted run learns, learned once more: slow, literal, one concept after another.

The planted concepts have fewer images than a step takes (64), so a concept steps once an epoch,
by the mean gradient over all its train images, whatever their order. Grid and masks have one size,
so nothing is upsampled. Letters as in :mod:`support.oracles`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from net2vec_pl.functional.balanced import BalancedSampler
from support import oracles
from support.planted_run import CONCEPTS, FILTERS, SIZE, Drawn

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NAMES = list(CONCEPTS)
NUMBERS = [number for number, _ in CONCEPTS.values()]
CATEGORIES = [category for _, category in CONCEPTS.values()]
SEGMENTED = [name for name, (_, category) in CONCEPTS.items() if category != "scene"]
MOMENTUM = 0.9
# The paper's rate is for masks of 112 x 112 pixels, over which the loss is a sum.
LR = 1e-4 * 112**2 / SIZE**2


@dataclass(frozen=True)
class Layer:
    """A layer of the planted network.

    Args:
        drawn: What lies where.
        name: ``early`` or ``late``.
        filters: The filters of ``early`` that it has.
        epochs: For which embeddings are trained.
    """

    drawn: Drawn
    name: str = "early"
    filters: Sequence[int] = tuple(range(FILTERS))
    epochs: int = 30

    @cached_property
    def fired(self) -> Bools:
        """Where its filters fire, (N, K, h, w)."""
        return self.drawn.fired[:, list(self.filters)]

    @cached_property
    def activation(self) -> Floats:
        """What its filters answer, (N, K, h, w)."""
        return self.drawn.activation[:, list(self.filters)]

    def images(self, concept: str, train: bool) -> npt.NDArray[np.int64]:
        """Return the images of a split that have a concept."""
        drawn = self.drawn
        return np.flatnonzero(drawn.present[:, NAMES.index(concept)] & (drawn.is_train == train))

    def scored(self, concept: str, train: bool) -> npt.NDArray[np.int64]:
        """Return the images of a split on which a concept is scored: those that have it."""
        return self.images(concept, train)

    def mask(self, concept: str) -> Bools:
        """Return where a concept is, (N, h, w)."""
        return self.drawn.masks[:, NAMES.index(concept)]

    def alpha(self, concept: str) -> float:
        """Return the weight of a concept's pixels: 1 - its mean share of a train image."""
        return oracles.alpha(self.mask(concept)[self.images(concept, train=True)])

    def start(self, concept: str, seed: int) -> Floats:
        """Draw the embedding from which training starts."""
        key = [seed, CONCEPTS[concept][0], crc32(self.name.encode())]
        bound = len(self.filters) ** -0.5
        return np.random.default_rng(key).uniform(-bound, bound, len(self.filters))

    def gradient(self, concept: str, w: Floats) -> Floats:
        """Return the slope of the loss, the mean over the concept's train images."""
        images = self.images(concept, train=True)
        logits = np.einsum("k,nkij->nij", w, self.fired[images].astype(np.float64))
        slope = oracles.logit_gradient(
            logits, self.mask(concept)[images], self.alpha(concept), "agreement"
        )
        return np.asarray(np.einsum("nij,nkij->k", slope, self.fired[images].astype(np.float64)))

    def losses(self, concept: str, w: Floats) -> list[float]:
        """Return the loss of each train image that has the concept."""
        return [
            oracles.agreement_loss(
                np.einsum("k,kij->ij", w, self.fired[n].astype(np.float64))[None],
                self.mask(concept)[n][None],
                self.alpha(concept),
            )
            for n in self.images(concept, train=True)
        ]

    def learn(
        self,
        concept: str,
        start: Floats,
        kept: Bools | bool = True,
        shrink: float = 0.0,
    ) -> list[Floats]:
        """Train an embedding; return it before the first epoch and after each.

        Args:
            concept: Its concept.
            start: The embedding from which training starts.
            kept: The filters that it may use.
            shrink: By how much every weight is nearer to zero after a step.
        """
        w, buffer = start * kept, np.zeros_like(start)
        known = [w]
        for _ in range(self.epochs):
            buffer = MOMENTUM * buffer + self.gradient(concept, w)
            w = (w - LR * buffer) * kept
            w = np.sign(w) * np.maximum(np.abs(w) - shrink, 0)
            known.append(w)
        return known

    def logits(self, concept: str, w: Floats, images: npt.NDArray[np.int64]) -> Floats:
        """Return the map of an embedding on some images."""
        return np.asarray(np.einsum("k,nkij->nij", w, self.fired[images].astype(np.float64)))

    def counts(self, concept: str, predicted: Bools, n: int) -> tuple[int, int]:
        """Return intersection and union of a predicted mask with that of an image."""
        mask = self.mask(concept)[n]
        return int((predicted & mask).sum()), int((predicted | mask).sum())

    def pairs(self, concept: str, w: Floats, train: bool = False) -> list[tuple[int, int, int]]:
        """Return image, intersection and union of each image that counts."""
        images = self.scored(concept, train)
        maps = self.logits(concept, w, images) > 0
        return [(int(n), *self.counts(concept, m, n)) for n, m in zip(images, maps, strict=True)]

    def set_iou(self, concept: str, w: Floats, train: bool = False) -> float:
        """Return the set IoU of an embedding."""
        _, inside, union = zip(*self.pairs(concept, w, train), strict=True)
        return sum(inside) / sum(union) if sum(union) else np.nan

    def ap(self, concept: str, w: Floats) -> float:
        """Return the average precision over the pixels of the val images that count.

        Logits enter as the run ranks them: without the lowest 18 bits of a float32.
        """
        images = self.scored(concept, train=False)
        logits = self.logits(concept, w, images).astype(np.float32)
        rounded = (logits.view(np.int32) >> 18 << 18).view(np.float32)
        rounded[np.abs(logits) < 2.0**-10] = 0
        return float(average_precision_score(self.mask(concept)[images].ravel(), rounded.ravel()))

    def filter_pairs(self, concept: str, k: int, train: bool = False) -> list[tuple[int, int, int]]:
        """Return image, intersection and union of one filter's mask on each image that counts."""
        images = self.scored(concept, train)
        return [(int(n), *self.counts(concept, self.fired[n, k], n)) for n in images]

    def filter_iou(self, concept: str, k: int, train: bool = False) -> float:
        """Return the set IoU of one filter."""
        _, inside, union = zip(*self.filter_pairs(concept, k, train), strict=True)
        return sum(inside) / sum(union) if sum(union) else np.nan

    def best_filter(self, concept: str) -> int:
        """Return the filter of largest set IoU on train, the first of equals; -1 if all are 0."""
        scores = [self.filter_iou(concept, k, train=True) for k in range(len(self.filters))]
        return int(np.argmax(scores)) if max(scores) > 0 else -1

    def best_concept(self, k: int) -> str:
        """Return the concept of a filter's largest set IoU on train; empty if all are 0."""
        scores = [self.filter_iou(concept, k, train=True) for concept in SEGMENTED]
        return SEGMENTED[int(np.argmax(scores))] if max(scores) > 0 else ""


def learn_all(layer: Layer, seed: int) -> dict[str, list[Floats]]:
    """Train all embeddings of a seed; return those of all epochs, by concept."""
    return {name: layer.learn(name, layer.start(name, seed)) for name in SEGMENTED}


@dataclass(frozen=True)
class Classifier:
    """A classifier of images that have a concept.

    Args:
        weight: Of every filter's mean activation.
        bias: Of the concept.
    """

    weight: Floats
    bias: float


@dataclass(frozen=True)
class Pooled:
    """The mean activation of a layer's filters over each image, and what is learned from it.

    Args:
        layer: The layer.
    """

    layer: Layer

    @cached_property
    def mean(self) -> Floats:
        """Mean activations, (N, K)."""
        return np.asarray(self.layer.activation.mean((2, 3)))

    def present(self, train: bool) -> Bools:
        """Return which image of a split has which concept."""
        drawn = self.layer.drawn
        return np.asarray(drawn.present[drawn.is_train == train])

    def split(self, train: bool) -> Floats:
        """Return the mean activations of a split."""
        return np.asarray(self.mean[self.layer.drawn.is_train == train])

    def learn(self, concept: str, seed: int, kept: Bools | bool = True) -> Classifier:
        """Train a classifier, on as many images with the concept as without, drawn every epoch."""
        c = NAMES.index(concept)
        pooled, sampler = self.split(True), BalancedSampler(self.present(True), NUMBERS, seed)
        w, bias = self.layer.start(concept, seed) * kept, 0.0
        buffer, of_bias = np.zeros_like(w), 0.0
        for epoch in range(30):
            examples = sampler.draw(epoch)
            mine = examples.of(c)
            x, positive = pooled[examples.image[mine]], examples.positive[mine]
            error = oracles.sigmoid(x @ w + bias) - positive
            buffer = MOMENTUM * buffer + (x * error[:, None]).mean(0)
            of_bias = MOMENTUM * of_bias + float(error.mean())
            rate = 0.1 if epoch < 15 else 0.01
            w, bias = (w - rate * buffer) * kept, bias - rate * of_bias
        return Classifier(w, bias)

    def logits(self, classifier: Classifier) -> Floats:
        """Return the logits of the val images."""
        return np.asarray(self.split(False) @ classifier.weight + classifier.bias)

    def accuracy(self, concept: str, classifier: Classifier) -> float:
        """Return the share of the balanced val images that a classifier gets right."""
        c = NAMES.index(concept)
        examples = BalancedSampler(self.present(False), NUMBERS, 2018).draw()
        mine = examples.of(c)
        logits = self.logits(classifier)[examples.image[mine]]
        return float(np.mean((logits > 0) == examples.positive[mine]))

    def ranking(
        self, concept: str, classifier: Classifier, among: Bools | None = None
    ) -> tuple[float, float]:
        """Return average precision and ROC AUC over some of the val images, by default all."""
        present = self.present(False)[:, NAMES.index(concept)]
        some = np.ones_like(present) if among is None else among | present
        if present[some].all():
            return np.nan, np.nan
        logits = self.logits(classifier)[some].round(5)  # what is equal but for rounding is equal
        return (
            float(average_precision_score(present[some], logits)),
            float(roc_auc_score(present[some], logits)),
        )


def seed_rows(layer: Layer, banks: Mapping[int, Mapping[str, Floats]]) -> list[dict[str, Any]]:
    """Return the rows of ``seeds.csv``.

    Args:
        layer: What lies where.
        banks: Seed -> concept -> embedding; the first seed is the one that cosines are taken with.
    """
    rows = []
    for name in SEGMENTED:
        first = next(iter(banks.values()))[name]
        for seed, bank in banks.items():
            w = bank[name]
            lengths = np.linalg.norm(w) * np.linalg.norm(first)
            rows.append(
                {
                    "id": CONCEPTS[name][0],
                    "name": name,
                    "category": CONCEPTS[name][1],
                    "seed": seed,
                    "multi_train": layer.set_iou(name, w, train=True),
                    "multi_val": layer.set_iou(name, w),
                    "ap_val": layer.ap(name, w),
                    "norm": float(np.linalg.norm(w)),
                    "cosine": float(w @ first / lengths),
                }
            )
    return rows
