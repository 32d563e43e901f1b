"""The classes of a network's answer, and how they are read."""

from collections.abc import Sequence

import torch

from net2vec_pl.analysis.related import Related
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.class_names import class_names
from net2vec_pl.backbones.outputs import meant_key, tensor_of
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.studies.causal_images import Samples
from net2vec_pl.studies.causal_readouts import Head

CLASSES = "classes"


def classes_of(backbone: FrozenBackbone, *, numbered: bool) -> list[str]:
    """Return the names of the classes that a network answers with; none if it does not.

    Args:
        backbone: The network.
        numbered: Whether classes without names are called by their numbers.
    """
    blank = torch.zeros(1, 3, *backbone.image_size, dtype=torch.uint8, device=backbone.device)
    with torch.no_grad():
        output = backbone.run(blank)
    key = meant_key(output)
    answer = None if key is None else tensor_of(output, key)
    if answer is None or answer.ndim != 2 or answer.shape[1] < 2:
        return []
    names = class_names(backbone.model, answer.shape[1], backbone.network)
    if names is None and numbered:
        return [str(number) for number in range(answer.shape[1])]
    return names or []


def head(
    job: LayerJob, samples: Samples, classes: Sequence[str], related: Sequence[Related]
) -> Head:
    """Return what reads the classes, in units of their spread over the images that are looked at.

    Args:
        job: The layer.
        samples: The images.
        classes: Names of all classes.
        related: The classes of each concept.
    """
    backbone, answers = job.backbone, []
    with torch.no_grad():
        for seen in samples.batches(samples.having):
            output = backbone.run(seen.images)
            key = meant_key(output)
            assert key is not None
            answers.append(tensor_of(output, key).float())
    chosen = torch.zeros(len(related), len(classes), dtype=torch.bool, device=job.setup.device)
    for row, one in zip(chosen, related, strict=True):
        row[list(one.classes)] = True
    return Head(CLASSES, classes, chosen, torch.cat(answers).std(0, correction=0))
