"""Does the network use it? Directions are taken out of a layer and put in, and it goes on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import numpy as np

from net2vec_pl import processes
from net2vec_pl.analysis.related import Related, related_classes
from net2vec_pl.analysis.wordnet import kinds_among
from net2vec_pl.backbones.class_names import imagenet_offsets
from net2vec_pl.backbones.continued import Continuation
from net2vec_pl.errors import BackboneError, ConfigError
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.records.causal import CausalClassRow
from net2vec_pl.studies.causal_directions import directions_of
from net2vec_pl.studies.causal_head import classes_of, head
from net2vec_pl.studies.causal_images import Samples
from net2vec_pl.studies.causal_looks import draw_pictures
from net2vec_pl.studies.causal_measure import Intervention, Measured
from net2vec_pl.studies.causal_readouts import Readout, later_layer
from net2vec_pl.studies.causal_tables import Told, tell
from net2vec_pl.studies.looks import check_concepts
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study

_MOST = 4  # concepts, where none are named
_DOSES = (1, 2, 4, 8, 16)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Causal(Question):
    """Leaves ``causal.csv`` and its companions, dose curves, a matrix and pictures.

    Args:
        concepts: Concepts to change; None for those with classes, then those segmented best, 4 in
            all.
        images: Val images that a concept needs.
        random_directions: How many random directions everything is compared with.
        doses: Of steering, in standard deviations of a filter; None for 1, 2, 4, 8 and 16.
        later: A later layer at which effects are read too; None for the network's last one, and
            only where no class has to do with a concept.
        related: Classes of concepts, such as ``"car: sports car, minivan"``; None for those that
            WordNet or the names tell.
        wordnet: A folder with WordNet's dict files.
    """

    name: ClassVar[str] = "causal"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    concepts: tuple[str, ...] | None = None
    images: int = at_least(1, 12)
    random_directions: int = at_least(1, 50)
    doses: tuple[int, ...] | None = at_least(1, None)
    later: str | None = None
    related: tuple[str, ...] | None = None
    wordnet: str | None = None

    def check(self, setup: Setup) -> None:
        """Refuse unknown concepts and classes, no WordNet, and a layer that is not a later one."""
        check_concepts(self.concepts, setup)
        names = setup.selection.vocabulary.names
        if self.wordnet is not None:
            kinds_among([], [], Path(self.wordnet))
        for backbone in setup.backbones:
            if self.later is not None:
                Continuation(backbone, [backbone.at(self.later)])
        if self.related is not None:
            classes = classes_of(setup.backbones[0], numbered=True)
            if not classes:
                raise ConfigError(
                    f"analysis.related={list(self.related)}: {setup.backbones[0].model} does not "
                    "answer with a row of classes. analysis.later=LAYER reads a later layer."
                )
            related_classes(names, classes, self.related)

    def run(self, study: Study) -> None:
        """Change the layer, and say what follows."""
        found = self._readers(study)
        if found is None:
            return
        concepts, readouts, continuation, samples = found
        directions = directions_of(study, concepts, self.random_directions)
        doses = tuple(map(float, self.doses or _DOSES))
        intervention = Intervention(continuation, directions, readouts, samples, doses)
        asked = repr((concepts, doses, self.later, self.related, self.images, self.wordnet))
        digest = blake2b(f"{asked}{self.random_directions}".encode(), digest_size=4).hexdigest()
        progress = study.job.setup.progress
        made = study.job.stages.once(f"causal-{digest}", lambda: intervention.measure(progress))
        names = [study.job.vocabulary.names[c] for c in concepts]
        for number, readout in enumerate(readouts):
            told = Told(study, readout, directions.kinds, concepts, doses, samples)
            tell(told, Measured.read(made, number))
        if processes.is_first():
            draw_pictures(study, intervention, names)

    def _readers(
        self, study: Study
    ) -> tuple[tuple[int, ...], list[Readout], Continuation, Samples] | None:
        """Choose the concepts and images, and where effects are read; None if nowhere."""
        job = study.job
        if not job.backbone.units.are_filters:
            _log.info("analysis causal is left out: only units=filters can be written to")
            return None
        classes = classes_of(job.backbone, numbered=self.related is not None)
        related = self._related(study, classes)
        concepts = self._chosen(study, related)
        headed = any(related[c].classes for c in concepts)
        later = None if headed and self.later is None else job.backbone.at(self.later)
        try:
            continuation = Continuation(job.backbone, [later] if later else [])
        except BackboneError as error:
            if self.later is not None:
                raise
            _log.info("analysis causal is left out: no classes are known, and %s", error)
            return None
        samples = Samples.drawn(job, concepts, self.images)
        readouts: list[Readout] = []
        if headed:
            readouts.append(head(job, samples, classes, [related[c] for c in concepts]))
        if later is not None:
            readouts.append(later_layer(job, later, concepts))
        return concepts, readouts, continuation, samples

    def _related(self, study: Study, classes: Sequence[str]) -> list[Related]:
        """Find the classes of each concept, and say which they are."""
        names = study.job.vocabulary.names
        if not classes:
            return [Related()] * len(names)
        folder = None if self.wordnet is None else Path(self.wordnet)
        offsets = None if folder is None else imagenet_offsets(classes)
        found = related_classes(names, classes, self.related, folder, offsets)
        if any(one.classes for one in found):
            rows = [
                CausalClassRow(n, r.how or "none", "; ".join(classes[i] for i in r.classes))
                for n, r in zip(names, found, strict=True)
            ]
            study.write(rows, "causal_classes")
        return found

    def _chosen(self, study: Study, related: Sequence[Related]) -> tuple[int, ...]:
        """Return the concepts asked for; else those with classes first, by their scores."""
        names = study.job.vocabulary.names
        if self.concepts is not None:
            return tuple(names.index(name) for name in self.concepts if name in names)
        score = np.nan_to_num(np.array(study.segmented.scores[0].val.tolist()), nan=-1.0)
        without = np.array([not one.classes for one in related])
        order = np.lexsort((-score, without))[:_MOST]
        return tuple(int(c) for c in order if score[c] >= 0)
