"""What can be asked of a run besides scores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.studies.study import Study


@dataclass(frozen=True)
class Question(ABC):
    """An analysis; subclasses are frozen dataclasses whose fields are its options.

    A field of another question's name is the same option: ``analysis.permutations=50`` sets it for
    both. Types of fields: ``int``, ``float``, ``bool``, ``str``, ``str | None``, ``tuple[str, ...]
    | None`` and ``tuple[int, ...] | None``; for the last two ``auto`` on the command line is None.

    Attributes:
        name: What the log and the doctor call it.
        needs: The targets without which it cannot be asked: ``segmentation``, ``classification``.
            A run without one of them leaves the question out.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    def check(self, setup: Setup) -> None:  # noqa: B027 (most can be asked of anything)
        """Refuse what cannot be asked of these concepts and layers, before anything is probed.

        Args:
            setup: The concepts and layers.

        Raises:
            ConfigError: If an option does not fit them.
        """

    def prepare(self, jobs: Sequence[LayerJob]) -> None:  # noqa: B027 (most share nothing)
        """Do once what all layers need, before each is asked.

        Args:
            jobs: One per layer.
        """

    @abstractmethod
    def run(self, study: Study) -> None:
        """Answer the question for one layer; leave tables, figures and findings.

        Args:
            study: The layer's results; see :class:`~net2vec_pl.studies.study.Study`.
        """


def at_least(minimum: int, default: int | None) -> Any:
    """Declare a field that takes whole numbers from a minimum; without it the minimum is 0.

    Args:
        minimum: The least value that the command line may give.
        default: The value where none is given.
    """
    return field(default=default, metadata={"minimum": minimum})
