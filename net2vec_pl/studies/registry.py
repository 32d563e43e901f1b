"""The questions that can be asked, by name or by import path."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.extensions import load
from net2vec_pl.studies.causal import Causal
from net2vec_pl.studies.closed_form import ClosedForm
from net2vec_pl.studies.controls import Controls
from net2vec_pl.studies.examples import Examples
from net2vec_pl.studies.intervals import Intervals
from net2vec_pl.studies.question import Question
from net2vec_pl.studies.sharing import Sharing
from net2vec_pl.studies.space import Space
from net2vec_pl.studies.subsets import Subsets
from net2vec_pl.studies.synthesis import Synthesis
from net2vec_pl.studies.worth import Worth

_log = logging.getLogger(__name__)

# In the order in which they are asked.
BUILT_IN: Mapping[str, type[Question]] = {
    kind.name: kind
    for kind in (
        Worth,
        Intervals,
        Subsets,
        ClosedForm,
        Sharing,
        Space,
        Causal,
        Examples,
        Synthesis,
        Controls,
    )
}


def kinds_of(names: Iterable[str]) -> list[type[Question]]:
    """Find questions.

    Args:
        names: Names of built-in questions, or import paths of others.

    Returns:
        Each once: the built-in ones in their own order, then the others as given.

    Raises:
        ConfigError: If there is no such question.
    """
    found = dict.fromkeys(_kind(name) for name in names)
    built_in = [kind for kind in BUILT_IN.values() if kind in found]
    return list(dict.fromkeys([*built_in, *found]))


def _kind(name: str) -> type[Question]:
    if name in BUILT_IN:
        return BUILT_IN[name]
    if "." not in name:
        hint = " One of your own is given by its import path, as in my_file.MyQuestion."
        raise ConfigError(unknown("analysis", name, BUILT_IN) + hint)
    kind = load(Question, name)  # type: ignore[type-abstract]
    if not hasattr(kind, "name"):
        raise ConfigError(f"analysis {name} has no name; give the class one, as in name = 'depth'.")
    return kind


def possible(questions: Sequence[Question], targets: Sequence[str]) -> list[Question]:
    """Leave out the questions that need a target that the run does not have.

    Args:
        questions: Those asked for.
        targets: What is done: segmentation, classification.
    """
    able = [question for question in questions if set(question.needs) <= {*targets}]
    for question in questions:
        if question not in able:
            needed = " and ".join(question.needs)
            _log.info("analysis %s is left out: it needs %s", question.name, needed)
    return able
