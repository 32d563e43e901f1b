"""Whether a run would take its options."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.config.plan import Plan
from net2vec_pl.data import ConceptDataModule, Selection
from net2vec_pl.data.selection import PROBED, Considered
from net2vec_pl.doctor.checks import Check, ok
from net2vec_pl.doctor.found import Found
from net2vec_pl.pipeline.progress import Progress
from net2vec_pl.pipeline.setup import Setup, Subject
from net2vec_pl.pipeline.trainers import trainer_from


def options(plan: Plan, found: Found) -> Iterator[Check]:
    """Check the plain options."""
    found.options = plan.options
    targets, protocol = " and ".join(found.targets), found.protocol
    yield ok(f"{targets}, protocol={protocol.name}, {protocol.epochs} epochs")


def analyses(plan: Plan, found: Found) -> Iterator[Check]:
    """Check which analyses are asked for."""
    found.questions = plan.questions
    yield ok(f"analyses: {', '.join(q.name for q in found.questions) or 'none'}")


def logger(plan: Plan, found: Found) -> Iterator[Check]:
    """Check what the run logs to."""
    yield ok(f"logger={plan.tracking.name}")


def trainer(plan: Plan, found: Found) -> Iterator[Check]:
    """Let Lightning check its arguments."""
    found.trainer = trainer_from(plan.trainer, found.protocol.epochs)
    yield ok(f"Lightning takes trainer={dict(plan.trainer)}")


def subjects(plan: Plan, found: Found) -> Iterator[Check]:
    """Check what analyses ask of layers and concepts."""
    if found.questions is not None and (setup := setup_of(plan, found)) is not None:
        for question in found.questions:
            question.check(setup)
        yield ok("analyses: the layers have the filters and concepts they ask for")


def setup_of(plan: Plan, found: Found) -> Setup | None:
    """Return the setup of a run on the sample, as if all concepts asked for were left."""
    if found.options is None or found.sample is None or found.scan is None:
        return None
    if not (found.backbones and found.asked):
        return None
    chosen = {target: _all_of(asked) for target, asked in found.asked.items()}
    first = chosen[found.targets[0]]
    stream = ConceptDataModule(
        found.sample,
        first.vocabulary,
        found.scan,
        score_annotated=found.protocol.denominator == "annotated",
    )
    return Setup(
        options=found.options,
        subject=Subject(plan.network, plan.layers, found.sample, plan.concepts),
        folder=Path(),
        command="",
        backbones=found.backbones,
        scan=found.scan,
        selection=first,
        classified=chosen.get("classification"),
        stream=stream,
        progress=Progress(enabled=False),
    )


def _all_of(asked: Vocabulary) -> Selection:
    return Selection(tuple(Considered(concept, 0, 0, PROBED, np.nan) for concept in asked))
