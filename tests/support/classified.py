"""What a planted run finds of its classifiers, worked out once more by loops."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from net2vec_pl.data.groups import if_few, over_images
from net2vec_pl.functional.balanced import BalancedSampler
from net2vec_pl.probes import SingleClassifiers, best_single_classifiers
from support.jackknifed import jackknifed
from support.relearned import NAMES, NUMBERS, Classifier, Floats, Pooled

Example = tuple[tuple[int, bool], int, float]  # concept and class, unit, difference


def best_of(pooled: Pooled) -> SingleClassifiers:
    """Choose the best filter of every concept, on train."""
    return best_single_classifiers(
        torch.from_numpy(pooled.split(True)).float(), pooled.present(True)
    )


def single_of(best: SingleClassifiers, c: int, num_filters: int) -> Classifier:
    """Return the classifier of a concept's best filter."""
    slope = float(best.slope[c]) * (np.arange(num_filters) == int(best.filter[c]))
    return Classifier(slope, float(best.bias[c]))


def gain_finding(
    pooled: Pooled, seed: int, concepts: Sequence[str] = NAMES, films: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the finding that sets whole embeddings against the best filter.

    Args:
        pooled: What is classified.
        seed: Of the run.
        concepts: Those that are scored.
        films: The group of each val image, where there are groups.
    """
    best, sampler = best_of(pooled), BalancedSampler(pooled.present(False), NUMBERS, 2018)
    drawn, accuracies = sampler.draw(), []
    examples: list[Example] = []
    for name in concepts:
        c = NAMES.index(name)
        every = pooled.learn(name, seed)
        mine = drawn.of(c)
        images, positive = drawn.image[mine], drawn.positive[mine]
        right: list[Floats] = [
            np.asarray((pooled.logits(of)[images] > 0) == positive, np.float64)
            for of in (every, single_of(best, c, len(every.weight)))
        ]
        accuracies.append([of.mean() for of in right])
        examples += [
            ((c, bool(p)), int(n if films is None else films[n]), float(a - b))
            for n, p, a, b in zip(images, positive, *right, strict=True)
        ]
    several, single = np.array(accuracies).T
    n, half = len(concepts), sorted(several - single)
    low, high = (half[round(q * (n - 1))] for q in (0.25, 0.75))
    interval = _interval(examples)
    groups = None if films is None else len({*films})
    return {
        "question": "Do embeddings say more than single filters?",
        "measure": "gain in balanced accuracy",
        **interval,
        "n": n,
        "statement": f"Embeddings classify images with a balanced accuracy of {several.mean():.3f},"
        f" the best single filter of all with {single.mean():.3f}: a gain of "
        f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}] over {n} "
        f"concepts (95 % interval {over_images(groups)}; middle half of the concepts: {low:.3f} to "
        f"{high:.3f}).{if_few(groups)}",
    }


def _interval(examples: list[Example]) -> dict[str, float]:
    """Return the mean over concepts and classes, and its interval with one unit left out."""

    def mean(some: list[Example]) -> float:
        keys = {key for key, _, _ in some}
        return float(np.mean([np.mean([d for k, _, d in some if k == key]) for key in keys]))

    value, units = mean(examples), sorted({unit for _, unit, _ in examples})
    without, weights = [], []
    for unit in units:
        without.append(mean([e for e in examples if e[1] != unit]))
        mine = [key for key, of, _ in examples if of == unit]
        weights.append(sum(1 / sum(k == key for k, _, _ in examples) for key in mine))
    low, high = jackknifed(value, without, weights)
    return {"value": value, "low": low, "high": high}
