"""Which concepts to look at, and along which directions of a layer."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.tasks.analyses.study import Study

_SHOWN = 3


def chosen_concepts(study: Study, names: Sequence[str], scores: Sequence[float]) -> list[int]:
    """Return the concepts asked for, or those with the best scores.

    Names of concepts that are not probed were refused before; see ``analysis.concepts``.
    """
    if study.options.concepts is not None:
        return [names.index(name) for name in study.options.concepts if name in names]
    order = np.argsort(-np.nan_to_num(np.array(scores), nan=-1.0), kind="stable")
    return [int(c) for c in order[:_SHOWN] if np.isfinite(scores[c])]


def directions(study: Study) -> tuple[Float[Tensor, "C K"], Float[Tensor, "C K"]]:
    """Return the embedding and the best filter of every concept, as directions of activations.

    A bank learned on bits lends its weights to the activations behind them, as in section 5.1 of
    the paper; one learned on scaled activations is scaled back.
    """
    if study.segmentation is not None:
        weight, best = study.segmented.weight, study.segmented.baseline.best_filter()
        scale = study.job.answers.scale
        if scale is not None:
            weight = torch.where(scale.cpu() > 0, weight / scale.cpu(), 0)
    else:
        weight, best = study.classified.bank.weight[0], study.classified.best.filter
    single = one_hot(best.clamp(min=0), weight.shape[1]).float()
    return weight, single.masked_fill(best[:, None] < 0, 0)


def vocabulary_of(study: Study) -> tuple[Vocabulary, list[float]]:
    """Return the concepts of :func:`directions`, and the score of each."""
    if study.segmentation is not None:
        return study.job.vocabulary, study.segmented.scores[0].val.tolist()
    accuracy: list[float] = study.classified.scores.accuracy[0].tolist()
    return study.classified.images.vocabulary, accuracy
