"""How often intervals hold the truth, and tests err, in what is said of numbers of filters.

Images are drawn from two overlapping concepts over correlated filters; cells of an image resemble
each other. Every figure quoted in :mod:`net2vec_pl.analysis.closed_form` and
:mod:`net2vec_pl.analysis.subsets` comes from here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.closed_form import direction_agreement, neighbours, unit_rows
from net2vec_pl.analysis.subsets import filters_needed

Array = np.ndarray
_CELLS, _SHARE, _SHRINKAGE = 10, 0.3, 0.01


@dataclass
class World:
    """Filters that are correlated, and concepts that are added to them.

    Args:
        mixing: Of independent values into filters.
        apart: What each concept adds.
        alike: Correlation between cells of an image.
    """

    mixing: Array
    apart: Array
    alike: float = 0.3

    def sums(self, images: int, folds: int, rng: Generator) -> list[Array]:
        """Draw train images; return their sums by fold."""
        concepts, size = self.apart.shape
        whole = np.sqrt(self.alike) * rng.normal(size=(images, 1, size))
        own = np.sqrt(1 - self.alike) * rng.normal(size=(images, _CELLS, size))
        truth = (rng.random((images, _CELLS, concepts)) < _SHARE).astype(float)
        x = (whole + own) @ self.mixing.T + truth @ self.apart
        parts = [
            (y.reshape(-1, size), f.reshape(-1, concepts))
            for y, f in zip(np.array_split(x, folds), np.array_split(truth, folds), strict=True)
        ]
        found = [(len(y), y.sum(0), y.T @ y, f.sum(0), f.T @ y) for y, f in parts]
        return [np.array(one) for one in zip(*found, strict=True)]


def lda(by_fold: list[Array], folds: Array) -> Array:
    """Return Fisher's discriminant of every concept from some folds."""
    count, total, square, inside, inside_total = (one[folds].sum(0) for one in by_fold)
    mean, size = total / count, len(total)
    covariance = square / count - np.outer(mean, mean)
    pull = _SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    outside = (total - inside_total) / (count - inside)[:, None]
    difference = inside_total / inside[:, None] - outside
    return np.linalg.solve((1 - _SHRINKAGE) * covariance + pull, difference.T).T


def without_each(by_fold: list[Array]) -> Array:
    """Return the same without each fold."""
    every = np.arange(len(by_fold[0]))
    return np.array([lda(by_fold, every[every != left]) for left in every])


def _equally_near(rng: Generator, size: int, strength: float) -> World:
    """Three concepts, of which the second and third are equally far from the first."""
    mixing = 0.6 * rng.normal(size=(size, size)) / np.sqrt(size) + np.eye(size)
    q = np.linalg.qr(rng.normal(size=(size, 3)))[0].T
    best = strength * np.array([q[0], 0.5 * q[0] + 0.87 * q[1], 0.5 * q[0] + 0.87 * q[2]])
    return World(mixing, best @ mixing @ mixing.T)


def neighbour_intervals(draws: int, images: int, folds: int, size: int = 30) -> Array:
    """Return (value, low, high) of the first concept's cosine with the second, and of its lead."""
    rng = np.random.default_rng(1)
    world = _equally_near(rng, size, 0.6)
    found = []
    for _ in range(draws):
        by_fold = world.sums(images, folds, rng)
        full, without = lda(by_fold, np.arange(folds)), without_each(by_fold)
        # The order of the two is fixed, so that neither value is the larger by choice.
        one = neighbours(full[:2], without[:, :2], np.ones((folds, 2)))
        both = neighbours(full, without, np.ones((folds, 3)))
        found.append([one.cosine.array()[:, 0], both.lead.array()[:, 0]])
    return np.array(found)


def _coverage(draws: int, images: int, folds: int) -> float:
    found = neighbour_intervals(draws, images, folds)[:, 0]
    mean = found[:, 0].mean()  # over training sets of this size
    return float(((found[:, 1] <= mean) & (mean <= found[:, 2])).mean())


def _wrongly_sure(draws: int, images: int, folds: int) -> float:
    return float((neighbour_intervals(draws, images, folds)[:, 1, 1] > 0).mean())


def agreement_of_training_sets(
    draws: int, images: int = 100, size: int = 100
) -> tuple[float, float]:
    """Return the mean cosine of LDA between independent training sets, and its mean estimate."""
    rng = np.random.default_rng(0)
    mixing = 0.6 * rng.normal(size=(size, size)) / np.sqrt(size) + np.eye(size)
    world = World(mixing, rng.normal(size=(2, size)) * 0.9 / np.sqrt(size))
    drawn, found = [], []
    for _ in range(draws):
        by_fold = world.sums(images, 20, rng)
        drawn.append(unit_rows(lda(by_fold, np.arange(20))))
        found.append(direction_agreement(without_each(by_fold)))
    gram = np.einsum("rck,sck->rsc", np.array(drawn), np.array(drawn))
    return float(gram[np.triu_indices(draws, 1)].mean()), float(np.mean(found))


def _rotations(draws: int) -> float:
    """A filter basis that is itself one random rotation, beside 20 others."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(draws):
        apart = rng.normal(size=(5, 12))
        turned = [np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(21)]
        best = np.array([np.abs(apart @ q).max(1).mean() for q in turned])
        found.append(p_value(best[0], best[1:]) <= 0.05)
    return float(np.mean(found))


@dataclass
class Choice:
    """How sizes chosen on val and on train compare with those of very many images.

    Args:
        val: Chosen size over the true one, the geometric mean.
        train: Likewise.
    """

    val: float
    train: float


def choices_of_size(draws: int, train: int, val: int, decay: float = 0.7) -> Choice:
    """Choose the filters needed for 80 % of the gain on val, and on train; 64 filters."""
    rng, sizes = np.random.default_rng(0), [1, 2, 4, 8, 16, 32, 64]
    strength, found = 1.2 if decay < 0.9 else 0.5, []
    for _ in range(draws):
        apart = rng.permutation(strength * decay ** np.arange(64)) * rng.choice([-1, 1], 64)
        drawn = [_patches(n, apart, rng) for n in (train, val, 600)]
        (x, truth), floor = drawn[0], np.array([f.mean() for _, f in drawn])
        covariance = np.cov(x.T, bias=True)
        covariance = 0.99 * covariance + 0.01 * np.trace(covariance) / 64 * np.eye(64)
        difference = x[truth].mean(0) - x[~truth].mean(0)
        order = np.argsort(-np.abs(np.linalg.solve(covariance, difference)) * x.std(0))
        curves = np.zeros((len(sizes), 3))
        for row, size in enumerate(sizes):
            some = order[:size]
            w = np.linalg.solve(covariance[np.ix_(some, some)], difference[some])
            cut = _best_cut(x[:, some] @ w, truth)
            curves[row] = [_iou(y[:, some] @ w >= cut, f) for y, f in drawn]
        needed = filters_needed(curves, sizes, (0.8,), floor).needed[0]
        if np.isfinite(needed).all():
            found.append(np.log(needed[:2] / needed[2]))
    of_train, of_val = np.exp(np.mean(found, axis=0)).tolist()
    return Choice(of_val, of_train)


def _patches(images: int, apart: Array, rng: Generator) -> tuple[Array, Array]:
    size = (images, 16, len(apart))
    x = np.sqrt(0.3) * rng.normal(size=(images, 1, len(apart))) + np.sqrt(0.7) * rng.normal(
        size=size
    )
    truth = rng.random((images, 16)) < rng.beta(2, 5, size=(images, 1))
    return (x + truth[:, :, None] * apart).reshape(-1, len(apart)), truth.ravel()


def _best_cut(score: Array, truth: Array) -> float:
    order = np.argsort(-score)
    inside = np.cumsum(truth[order])
    union = np.arange(1, len(order) + 1) + truth.sum() - inside
    return float(score[order][(inside / union).argmax()])


def _iou(found: Array, truth: Array) -> float:
    return float((found & truth).sum() / (found | truth).sum())


CASES: dict[str, Callable[[int], float]] = {
    "coverage, cosine of neighbours, 200 images in 20 folds": lambda n: _coverage(n, 200, 20),
    "coverage, cosine of neighbours, 200 images in 5 folds": lambda n: _coverage(n, 200, 5),
    "level, nearest of two equally near, 200 images in 20 folds": lambda n: _wrongly_sure(
        n, 200, 20
    ),
    "level, nearest of two equally near, 200 images in 5 folds": lambda n: _wrongly_sure(n, 200, 5),
    "level, filters against 20 rotations, 5 concepts": _rotations,
}
