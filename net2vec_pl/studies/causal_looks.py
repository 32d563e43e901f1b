"""Three pictures, and what the network says of them before and after a concept is taken out."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from net2vec_pl.backbones.continued import Answer
from net2vec_pl.figures.causal import before_and_after
from net2vec_pl.studies.causal_measure import Intervention
from net2vec_pl.studies.causal_readouts import LaterLayer, Readout
from net2vec_pl.studies.study import Study

_PICTURES, _CLASSES, _RELATED = 3, 5, 3


def draw_pictures(study: Study, intervention: Intervention, names: Sequence[str]) -> None:
    """Draw for each of three concepts the image of the sample that has most of it, each once.

    The concept is taken out by LEACE.

    Args:
        study: The layer.
        intervention: What is done to the layer.
        names: Names of the concepts.
    """
    readout, samples = intervention.readouts[0], intervention.samples
    erasures = intervention.directions.erasures()[-len(names) :]
    wanted = [c for c, row in enumerate(readout.related.cpu()) if row.any()]
    wanted = wanted[: min(_PICTURES, len(samples.having))]
    images, captions, said, used = [], [], [], set[int]()
    seen = list(samples.batches(samples.having))
    area = torch.cat([some.masks.flatten(2).sum(2) for some in seen]).cpu()
    pixels = torch.cat([some.images for some in seen])
    for c in wanted:
        place = next(n for n in area[:, c].argsort(descending=True).tolist() if n not in used)
        used.add(place)
        run = intervention.continuation.of(pixels[place : place + 1])
        with torch.no_grad():
            after = run(intervention.directions.space.changed(erasures[c]))
        images.append(pixels[place].cpu().numpy())
        captions.append(names[c])
        said.append((run.unchanged, after, c))
    if not images:
        return
    if isinstance(readout, LaterLayer):
        maps = np.stack([_maps(readout, *one) for one in said])
        study.draw("causal_pictures", before_and_after, np.stack(images), captions, maps=maps)
        return
    bars = [_bars(readout, *one) for one in said]
    study.draw("causal_pictures", before_and_after, np.stack(images), captions, bars=bars)


def _maps(
    readout: LaterLayer, before: Answer, after: Answer, concept: int
) -> Float[np.ndarray, "2 h w"]:
    row = int(readout.related[concept].nonzero()[0])
    return np.stack([readout.maps(answer)[0, row].cpu().numpy() for answer in (before, after)])


def _bars(
    readout: Readout, before: Answer, after: Answer, concept: int
) -> dict[str, tuple[float, float]]:
    """Return the logits of the related classes and of others that lead before: both times."""
    assert before.output is not None
    assert after.output is not None
    old, new, related = before.output[0], after.output[0], readout.related[concept]
    order = old.argsort(descending=True)
    mine = [int(t) for t in order if related[t]][:_RELATED]
    others = [int(t) for t in order if not related[t]][: _CLASSES - len(mine)]
    return {readout.targets[t]: (float(old[t]), float(new[t])) for t in [*mine, *others]}
