"""What classifiers of images say beyond one filter, and beyond the group of an image."""

import numpy as np

from net2vec_pl.studies.study import Study, interval, middle_half


def told_of_classifiers(study: Study, question: str) -> None:
    """Set the classifiers over all filters against the best filter, and against groups.

    Args:
        study: A layer whose images were classified.
        question: The question that findings answer.
    """
    _against_one_filter(study, question)
    _against_groups(study, question)


def _against_one_filter(study: Study, question: str) -> None:
    """Say how much better whole embeddings classify than the best filter of all."""
    multi = study.classified.scores.accuracy[0].numpy()
    single = study.classified.best_scores.accuracy[0].numpy()
    both = np.isfinite(multi - single)
    if not both.any():
        return
    gain = study.classified.gain().array()
    bounded = bool(np.isfinite(gain).all())
    over = f"95 % interval {study.over_images}; " if bounded else ""
    study.find(
        question,
        "gain in balanced accuracy",
        gain,
        int(both.sum()),
        f"Embeddings classify images with a balanced accuracy of {multi[both].mean():.3f}, "
        f"the best single filter of all with {single[both].mean():.3f}: a gain of "
        f"{interval(gain) if bounded else f'{gain[0]:.3f}'} over {int(both.sum())} concepts "
        f"({over}{middle_half((multi - single)[both])}).{study.if_few if bounded else ''}",
    )


def _against_groups(study: Study, question: str) -> None:
    """Say for how many concepts a classifier ranks images better than their groups alone do."""
    rows = [
        (row.multi.auc, row.group_auc)
        for row in study.classified.table
        if row.group_auc is not None and np.isfinite(row.multi.auc)
    ]
    if not rows:
        return
    mine, group = np.array(rows).T
    above = int((mine > group).sum())
    study.find(
        question,
        "concepts that are classified better than by the image's group",
        float(above),
        len(rows),
        f"Classifiers rank images better than the group of an image alone does for {above} of "
        f"{len(rows)} concepts: mean ROC AUC {mine.mean():.3f} against {group.mean():.3f}, which "
        "is what the share of a group's other images that carry the concept gives.",
    )
