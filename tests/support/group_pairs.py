"""What an image's group alone gives, by loops over images and pairs of them."""

from collections.abc import Sequence

import numpy as np


def group_pairs(images: Sequence[tuple[int, bool, bool | None]]) -> tuple[float, float]:
    """Score each val image by a loop over all others, and compare all pairs.

    Args:
        images: The group of each, whether it is of train, and whether it has the concept; None
            where that is unknown.

    Returns:
        Area under the ROC curve, and balanced accuracy.
    """
    known = [(i, *image) for i, image in enumerate(images) if image[2] is not None]
    train = [label for _, _, is_train, label in known if is_train]
    scored = []
    for i, group, is_train, label in known:
        if is_train:
            continue
        alike = [k for k in known if k[1] == group and k[0] != i]
        labels = [k[3] for k in alike if k[2]] or [k[3] for k in alike] or train
        scored.append((group, sum(map(bool, labels)) / len(labels) if labels else np.nan, label))
    some, others = ([s for s in scored if s[2] is flag] for flag in (True, False))
    if not train or not some or not others:
        return np.nan, np.nan
    overall = sum(map(bool, train)) / len(train)

    def right(share: float, label: bool) -> float:
        return 0.5 if share == overall else float((share > overall) == label)

    auc, accuracy = [], []
    for p in some:
        for n in others:
            same = p[0] == n[0]
            auc.append(0.5 if same or p[1] == n[1] else float(p[1] > n[1]))
            accuracy.append(0.5 if same else (right(p[1], True) + right(n[1], False)) / 2)
    return float(np.mean(auc)), float(np.mean(accuracy))
