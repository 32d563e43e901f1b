"""Classify whole images by pooled activations: with all filters, with subsets, and with one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl.analysis.accuracy_gain import accuracy_gain
from net2vec_pl.analysis.group_alone import group_alone
from net2vec_pl.analysis.jackknife import LEAST_GROUPS, LEAST_IMAGES, Interval
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.batch import PairIndex, annotated_for
from net2vec_pl.functional.balanced import BalancedSampler, Examples
from net2vec_pl.functional.classifier_scores import (
    ClassificationScores,
    is_right,
    score_classifiers,
)
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import BankFile, SingleClassifiers, best_single_classifiers
from net2vec_pl.records.run import ClassifiedRow
from net2vec_pl.report.tables import classification_table
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.training import ClassificationBank, ClassificationProbe

# Of the balanced val sets, whatever the seed of a run: what is compared is scored on the same.
_VAL_SEED = 2018


@dataclass(frozen=True)
class Images:
    """What is classified: N readable images, split, and C concepts.

    Args:
        pooled: Mean activation of each filter.
        present: Whether an image carries a concept.
        absent: Whether it is known to lack a concept.
        annotated: Whether an image is annotated for the concept's category.
        is_train: Whether an image is of the train split.
        vocabulary: The concepts.
        groups: The group of an image; None where each is its own.
    """

    pooled: Float[Tensor, "N K"]
    present: Bool[np.ndarray, "N C"]
    absent: Bool[np.ndarray, "N C"]
    annotated: Bool[np.ndarray, "N C"]
    is_train: Bool[np.ndarray, "N"]
    vocabulary: Vocabulary
    groups: Int64[np.ndarray, "N"] | None = None

    @property
    def numbers(self) -> list[int]:
        """Label number of each concept."""
        numbers: list[int] = self.vocabulary.numbers.tolist()
        return numbers

    @property
    def examples(self) -> Examples:
        """The balanced val images on which accuracies are taken, as rows of the val images."""
        present, absent = self.present[~self.is_train], self.absent[~self.is_train]
        return BalancedSampler(present, self.numbers, _VAL_SEED, absent).draw()

    def logits(self, bank: ClassificationBank | SingleClassifiers) -> Iterator[Tensor]:
        """Yield the logits of one classifier of each concept after the other, on val, (N, C)."""
        return bank.logits(self.pooled[torch.from_numpy(~self.is_train)])

    def score(self, bank: ClassificationBank | SingleClassifiers) -> ClassificationScores:
        """Score classifiers on val."""
        val, logits = ~self.is_train, self.logits(bank)
        present, absent = self.present[val], self.absent[val]
        return score_classifiers(logits, present, self.annotated[val], self.examples, absent)


@dataclass(frozen=True)
class Classified:
    """What a layer's classification came to.

    Args:
        images: What was classified.
        bank: The classifiers over all filters, one of each seed.
        scores: Theirs on val.
        best: The best filter of all, chosen on train.
        best_scores: Its scores.
        table: ``classification.csv``.
    """

    images: Images
    bank: ClassificationBank
    scores: ClassificationScores
    best: SingleClassifiers
    best_scores: ClassificationScores
    table: list[ClassifiedRow]

    def gain(self) -> Interval:
        """Return the mean gain in balanced accuracy over the best filter, over what both score.

        The interval is over val images, or groups of them.
        """
        images, examples = self.images, self.images.examples
        right = [
            is_right(next(images.logits(bank)), examples).cpu().numpy().astype(np.float64)
            for bank in (self.bank, self.best)
        ]
        both = (self.scores.accuracy[0] + self.best_scores.accuracy[0]).isfinite().numpy()
        concept, image = examples.concept(), examples.image
        scored = both[concept]
        groups = images.groups
        unit = image if groups is None else groups[~images.is_train][image]
        return accuracy_gain(
            (right[0] - right[1])[scored],
            concept[scored],
            examples.positive[scored],
            unit[scored],
            least=LEAST_IMAGES if groups is None else LEAST_GROUPS,
        )

    def bank_file(self, job: LayerJob) -> BankFile:
        """Return the bank as it is written."""
        return BankFile(
            weight=self.bank.weight[0],
            threshold=job.activations.thresholds.cpu(),
            alpha=torch.full((len(self.images.vocabulary),), 0.5),
            bias=self.bank.bias[0],
            vocabulary=self.images.vocabulary,
            header=job.header | {"target": "classification"},
            other_seeds=self.bank.weight[1:],
            other_biases=self.bank.bias[1:],
            units=job.backbone.units,
        )


def classify(job: LayerJob) -> Classified:
    """Train and score the classifiers of a layer."""
    images = _images(job)
    seeds = job.setup.seeds
    banks = [train_classifiers(job, images, f"classifiers-{seed}", seed=seed) for seed in seeds]
    bank = ClassificationBank(
        torch.cat([b.weight for b in banks]), torch.cat([b.bias for b in banks])
    )
    largest = bank.weight[0].abs().nan_to_num(0).argmax(1)
    one = torch.nn.functional.one_hot(largest, images.pooled.shape[1]).bool()[None]
    top = train_classifiers(job, images, "classifiers-top", seed=seeds[0], mask=one)
    train = images.is_train
    best = best_single_classifiers(
        images.pooled[torch.from_numpy(train)], images.present[train], images.absent[train]
    )
    scores = [images.score(b) for b in (bank, top, best)]
    selection = job.setup.classified
    assert selection is not None
    group = None
    if images.groups is not None:
        group = group_alone(images.present, images.absent, train, images.groups)
    table = classification_table(selection, bank.weight[0], best, largest, scores, group)
    return Classified(images, bank, scores[0], best, scores[2], table)


def train_classifiers(
    job: LayerJob,
    images: Images,
    name: str,
    *,
    seed: int,
    mask: Bool[Tensor, "G C K"] | None = None,
) -> ClassificationBank:
    """Train classifiers, once.

    Every process trains the same ones: pooled activations are small, and the sums stay in one
    order.

    Args:
        job: The layer.
        images: What is classified.
        name: Name of the stage.
        seed: Seed of draws and initial vectors.
        mask: The filters that each may use.
    """
    protocol = job.setup.options.protocol.classification

    def learn() -> Tensors:
        train = images.is_train
        probe = ClassificationProbe(
            images.pooled[torch.from_numpy(train)],
            images.present[train],
            images.numbers,
            protocol,
            seed=seed,
            layer=job.backbone.module_path,
            mask=mask,
            absent=images.absent[train],
        )
        job.fitter(epochs=protocol.epochs).fit(probe, None)
        return dict(vars(probe.bank()))

    return ClassificationBank(**job.stages.once(name, learn))


def _images(job: LayerJob) -> Images:
    setup, selection = job.setup, job.setup.classified
    assert selection is not None
    assert job.activations.pooled is not None
    reader, rows = setup.reader, setup.scan.readable
    vocabulary = selection.vocabulary
    index = PairIndex(vocabulary, setup.scan, len(reader))
    return Images(
        pooled=job.activations.pooled[torch.from_numpy(rows)],
        present=index.present(rows),
        absent=index.absent(rows),
        annotated=annotated_for(vocabulary, reader, rows),
        is_train=reader.is_train[rows],
        vocabulary=vocabulary,
        groups=None if reader.groups is None else reader.groups[rows],
    )
