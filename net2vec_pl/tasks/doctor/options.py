"""Whether a run would take its options."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptDataModule, Selection
from net2vec_pl.data.selection import PROBED, Considered
from net2vec_pl.tasks import build
from net2vec_pl.tasks.analyses import analyses_from, check_analyses
from net2vec_pl.tasks.doctor.checks import Check, ok
from net2vec_pl.tasks.doctor.found import Found
from net2vec_pl.tasks.loggers import check_logger
from net2vec_pl.tasks.progress import Progress
from net2vec_pl.tasks.setup import Setup


def options(config: DictConfig, found: Found) -> Iterator[Check]:
    """Check the plain options."""
    found.options = build.options_from(config)
    targets, protocol = " and ".join(found.targets), found.protocol
    yield ok(f"{targets}, protocol={protocol.name}, {protocol.epochs} epochs")


def analyses(config: DictConfig, found: Found) -> Iterator[Check]:
    """Check which analyses are asked for."""
    found.analyses = analyses_from(config.analysis, found.targets)
    yield ok(f"analyses: {', '.join(found.analyses.names) or 'none'}")


def logger(config: DictConfig, found: Found) -> Iterator[Check]:
    """Check what the run logs to."""
    check_logger(config.logger)
    yield ok(f"logger={config.logger.name}")


def trainer(config: DictConfig, found: Found) -> Iterator[Check]:
    """Let Lightning check its arguments."""
    found.trainer = build.trainer_from(config.trainer, found.protocol.epochs, Path(), False, [])
    yield ok(f"Lightning takes trainer={build.plain(config.trainer)}")


def subjects(config: DictConfig, found: Found) -> Iterator[Check]:
    """Check what analyses ask of layers and concepts."""
    if found.analyses is not None and (setup := setup_of(found)) is not None:
        check_analyses(found.analyses, setup)
        yield ok("analyses: the layers have the filters and concepts they ask for")


def setup_of(found: Found) -> Setup | None:
    """Return the setup of a run on the sample, as if all concepts asked for were left."""
    if found.options is None or found.sample is None or found.census is None:
        return None
    if not (found.backbones and found.asked):
        return None
    chosen = {target: _all_of(asked) for target, asked in found.asked.items()}
    first = chosen[found.targets[0]]
    stream = ConceptDataModule(
        found.sample,
        first.vocabulary,
        found.census,
        score_annotated=found.protocol.denominator == "annotated",
    )
    return Setup(
        options=found.options,
        folder=Path(),
        reader=found.sample,
        backbones=found.backbones,
        census=found.census,
        selection=first,
        classified=chosen.get("classification"),
        stream=stream,
        progress=Progress(enabled=False),
    )


def _all_of(asked: Vocabulary) -> Selection:
    return Selection(tuple(Considered(concept, 0, 0, PROBED, np.nan) for concept in asked))
