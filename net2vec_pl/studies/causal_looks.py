"""Three pictures, and what the network says of them before and after a concept is taken out."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl.backbones.continued import Answer
from net2vec_pl.figures.causal import before_and_after
from net2vec_pl.studies.causal_measure import Intervention
from net2vec_pl.studies.causal_readouts import LaterLayer, Readout
from net2vec_pl.studies.study import Study

_PICTURES, _CLASSES = 3, 5


def draw_pictures(study: Study, intervention: Intervention, names: Sequence[str]) -> None:
    """Draw the first images of the sample that have a concept, one for each of three concepts.

    The concept is taken out by LEACE.

    Args:
        study: The layer.
        intervention: What is done to the layer.
        names: Names of the concepts.
    """
    readout, samples = intervention.readouts[0], intervention.samples
    erasures = intervention.directions.erasures()[-len(names) :]
    wanted = [c for c, row in enumerate(readout.related.cpu()) if row.any()][:_PICTURES]
    images, captions, said = [], [], []
    for c in wanted:
        seen = next((s for s in samples.batches(samples.having) if s.present[:, c].any()), None)
        if seen is None:
            continue
        n = int(seen.present[:, c].nonzero()[0])
        run = intervention.continuation.of(seen.images[n : n + 1])
        with torch.no_grad():
            after = run(intervention.directions.space.changed(erasures[c]))
        images.append(seen.images[n].cpu().numpy())
        captions.append(f"without {names[c]}")
        said.append((run.unchanged, after, c))
    if not images:
        return
    if isinstance(readout, LaterLayer):
        maps = np.stack([_maps(readout, *one) for one in said])
        study.draw("causal_pictures", before_and_after, np.stack(images), captions, maps=maps)
        return
    bars = [_bars(readout, before, after) for before, after, _ in said]
    study.draw("causal_pictures", before_and_after, np.stack(images), captions, bars=bars)


def _maps(
    readout: LaterLayer, before: Answer, after: Answer, concept: int
) -> Float[np.ndarray, "2 h w"]:
    row = int(readout.related[concept].nonzero()[0])
    return np.stack([readout.maps(answer)[0, row].cpu().numpy() for answer in (before, after)])


def _bars(readout: Readout, before: Answer, after: Answer) -> dict[str, tuple[float, float]]:
    """Return the logits of the classes that lead before, before and after."""
    assert before.output is not None
    assert after.output is not None
    first: Tensor = before.output[0].topk(min(_CLASSES, before.output.shape[1])).indices
    pairs = torch.stack([before.output[0][first], after.output[0][first]], 1).tolist()
    named = zip(first.tolist(), pairs, strict=True)
    return {readout.targets[t]: (old, new) for t, (old, new) in named}
