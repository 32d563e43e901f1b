"""What would excite a vector most? Images made by gradient ascent."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from net2vec_pl import processes
from net2vec_pl.analysis.synthesis import Synthesis as Made
from net2vec_pl.analysis.synthesis import SynthesisOptions, synthesise
from net2vec_pl.figures.synthesis import synthesis_grid
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.records.studies import SynthesisRow
from net2vec_pl.studies.looks import check_concepts, chosen_concepts, directions, vocabulary_of
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study


@dataclass(frozen=True)
class Synthesis(Question):
    """Leaves ``synthesis.csv`` and ``figures/synthesis``: embedding and best filter side by side.

    Args:
        concepts: Concepts to look at; None for those with the best scores.
        steps: Steps of gradient ascent.
    """

    name: ClassVar[str] = "synthesis"
    concepts: tuple[str, ...] | None = None
    steps: int = at_least(0, 64)

    def check(self, setup: Setup) -> None:
        """Refuse concepts that are not probed."""
        check_concepts(self.concepts, setup)

    def run(self, study: Study) -> None:
        """Make images that excite each direction."""
        if not processes.is_first():
            return
        job = study.job
        vocabulary, scores = vocabulary_of(study)
        chosen = chosen_concepts(self.concepts, vocabulary.names, scores)
        if not chosen:
            return
        both = torch.stack([vectors[chosen] for vectors in directions(study)], 1)  # (n, 2, K)
        made = synthesise(
            job.backbone.respond,
            both.flatten(0, 1).nan_to_num(0).to(job.setup.device),
            job.setup.reader.image_size,
            study.seed,
            SynthesisOptions(steps=self.steps),
        )
        names = [vocabulary.names[c] for c in chosen]
        study.write(_rows(names, made), "synthesis")
        captions = [
            [f"{what}: {v:.2f}" for what, v in zip(("embedding", "filter"), row, strict=True)]
            for row in made.reached.reshape(-1, 2).tolist()
        ]
        images = made.images.reshape(len(chosen), 2, *made.images.shape[1:])
        title = "made to excite; mean response reached"
        study.draw("synthesis", synthesis_grid, names, images, captions, title)


def _rows(names: list[str], made: Made) -> list[SynthesisRow]:
    return [
        SynthesisRow(
            concept=names[i // 2],
            direction=("embedding", "best filter")[i % 2],
            on_noise=float(made.noise[i]),
            reached=float(made.reached[i]),
            deviations_of_noise=float(
                (made.reached[i] - made.noise[i]) / made.spread[i] if made.spread[i] > 0 else np.nan
            ),
            status=made.status[i],
        )
        for i in range(len(made.status))
    ]
