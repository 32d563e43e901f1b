"""What closed forms read of the planted images, and LDA from it, by loops."""

from typing import Any

import numpy as np

from net2vec_pl.functional.average_precision import bin_floors
from support.planted_run import FILTERS, SIZE, PlantedImages

SHRINKAGE = 0.01
FLOORS = np.sort(bin_floors().numpy())
Array = np.ndarray[Any, Any]


class World:
    """Roots of what filters give, and masks, as flat positions of images; sums by loops."""

    def __init__(self, concept: str) -> None:
        images = PlantedImages()
        drawn = images.drawn
        names = [c.name for c in images.vocabulary]
        c = names.index(concept)
        x = np.sqrt(drawn.activation).transpose(0, 2, 3, 1).reshape(len(images), SIZE**2, FILTERS)
        truth = drawn.masks[:, c].reshape(len(images), -1)
        self.train = np.flatnonzero(drawn.is_train)
        spread = x[self.train].reshape(-1, FILTERS).std(0)
        live = spread > 1e-9
        self.x = np.where(live, x / np.where(live, spread, 1), 0.0)
        self.truth, self.own = truth, drawn.present[:, c]
        self.val = np.flatnonzero(~drawn.is_train & self.own)
        self.fold = np.arange(len(self.train)) * 20 // len(self.train)

    def sums(self, images: Array) -> tuple[Array, Array, Array]:
        """Covariance, mean difference and mean of the means over some images, in any number."""
        flat = self.x[images].reshape(-1, FILTERS)
        covariance = np.cov(flat.T, bias=True)
        mine = images[self.own[images]]
        if not len(mine):
            return covariance, np.zeros(FILTERS), np.zeros(FILTERS)
        inside, outside = (self.x[mine][self.truth[mine] == t].mean(0) for t in (True, False))
        return covariance, inside - outside, (inside + outside) / 2

    def lda(self, images: Array) -> Array:
        covariance, difference, _ = self.sums(images)
        pull = SHRINKAGE * np.trace(covariance) / FILTERS * np.eye(FILTERS)
        w = np.linalg.solve((1 - SHRINKAGE) * covariance + pull, difference)
        return np.asarray(w)

    def val_iou(self, w: Array, images: Array) -> float:
        """Cut where set IoU is best on some train images, tried at every bin; score on val."""
        if not w.any():
            return 0.0
        bias = -self.sums(images)[2] @ w
        mine = images[self.own[images]]
        score, truth = self.x[mine] @ w + bias, self.truth[mine]
        scores = np.array([iou(score > cut, truth) for cut in FLOORS])
        high = int(np.flatnonzero(scores == scores.max())[-1])
        worse = np.flatnonzero(scores[:high] < scores.max())
        low = worse[-1] + 1 if len(worse) else high
        cut = (FLOORS[low] + FLOORS[high]) / 2  # half way between the scores that it parts
        return iou(self.x[self.val] @ w + bias > cut, self.truth[self.val])


def iou(found: Array, truth: Array) -> float:
    return float((found & truth).sum() / (found | truth).sum())
