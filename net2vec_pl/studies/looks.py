"""Which concepts to look at, and along which directions of a layer."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from net2vec_pl.activations import upsampled_above
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.studies.study import Study

_SHOWN = 3


def check_concepts(asked: Sequence[str] | None, setup: Setup) -> None:
    """Refuse concepts to look at that no target has.

    Args:
        asked: Their names.
        setup: The concepts there are.

    Raises:
        ConfigError: If one is unknown.
    """
    selections = [setup.selection, *([setup.classified] if setup.classified else [])]
    known = {name for selection in selections for name in selection.vocabulary.names}
    for concept in asked or ():
        if concept not in known:
            raise ConfigError(unknown("concept of analysis.concepts", concept, sorted(known)))


def chosen_concepts(
    asked: Sequence[str] | None, names: Sequence[str], scores: Sequence[float]
) -> list[int]:
    """Return the concepts asked for, or those with the best scores.

    Names of concepts that are not probed were refused before; see :func:`check_concepts`.
    """
    if asked is not None:
        return [names.index(name) for name in asked if name in names]
    order = np.argsort(-np.nan_to_num(np.array(scores), nan=-1.0), kind="stable")
    return [int(c) for c in order[:_SHOWN] if np.isfinite(scores[c])]


def directions(study: Study) -> tuple[Float[Tensor, "C K"], Float[Tensor, "C K"]]:
    """Return the embedding and the best filter of every concept, as directions of activations.

    A bank learned on bits lends its weights to the activations behind them, as in section 5.1 of
    the paper; one learned on scaled activations is scaled back.
    """
    if study.segmentation is not None:
        weight, best = study.segmented.weight, study.segmented.baseline.best_filter()
        scale = study.job.activations.scale
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


def single_masks(
    study: Study,
    activation: Float[Tensor, "N K h w"],
    image: Int64[Tensor, "P"],
    concept: Int64[Tensor, "P"],
) -> Bool[Tensor, "P sh sw"]:
    """Return for every pair of an image and a concept the mask of the concept's best filter.

    Args:
        study: The layer.
        activation: What the layer answers to the images.
        image: The image of each pair.
        concept: The concept of each; one without a best filter has an empty mask.
    """
    job, segmented = study.job, study.segmented
    chosen = segmented.baseline.best_filter().to(concept.device)[concept]
    activation = activation[image, chosen]
    thresholds = job.activations.thresholds[chosen]
    enlarge = segmented.probe.pixels.enlarge
    if job.setup.options.protocol.threshold_order == "after":
        on = upsampled_above(enlarge, activation, thresholds)
    else:
        on = enlarge((activation > thresholds[:, None, None]).float()) > 0.5
    return on & (chosen >= 0)[:, None, None]  # -1 has read the last filter
