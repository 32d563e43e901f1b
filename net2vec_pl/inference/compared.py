"""Two banks side by side: which one finds each concept better, and do they point the same way?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn.functional import cosine_similarity

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import MULTI, SINGLE, paired_test
from net2vec_pl.errors import ConfigError, shorten
from net2vec_pl.inference.results import Results
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Estimate, Record, Table

_BETTER = {MULTI: "this", SINGLE: "other"}
_UNPAIRED = "scored on other images"
_UNCOUNTED = "not tested: a bank from learn() or of a run folder has the counts that a test needs"


@dataclass(frozen=True)
class Side:
    """One of two banks.

    Args:
        file: The bank.
        results: What its run found; None where it was loaded alone.
    """

    file: BankFile
    results: Results | None

    @property
    def names(self) -> list[str]:
        """Its concepts."""
        return self.file.vocabulary.names


@dataclass(frozen=True)
class ComparedRow(Record):
    """A concept that two banks have.

    Args:
        name: The concept.
        category: Its primary category.
        score: Set IoU of this bank on val, or accuracy where banks classify; NaN where the bank was
            loaded without its tables.
        other: The same of the other bank.
        difference: The first less the second. The 95 % interval over val images needs two banks
            that were scored on the same images, masks of the same size, and counts of both, from
            ``learn`` or a run folder.
        p: Of a paired test over images, or groups of them, corrected for the number of concepts
            (false discovery rate); NaN where there is no interval.
        better: ``this`` or ``other`` where p is at most 5 %, else ``undecided``, or why it could
            not be tested.
        cosine: Of the two embeddings, where both are of one layer of one network and read it in
            the same way; else NaN.
    """

    name: str
    category: str
    score: float
    other: float
    difference: Estimate
    p: float
    better: str
    cosine: float


def compare_banks(bank: Side, other: Side, seed: int = 0) -> Table[ComparedRow]:
    """Compare two banks on the concepts that both have, in the order of the first.

    Args:
        bank: This bank.
        other: The other.
        seed: Seed of the swaps.

    Raises:
        ConfigError: If they have no concept in common, or only one of them gives masks.
    """
    if bank.file.segments != other.file.segments:
        raise ConfigError("one of the two banks segments and the other classifies whole images.")
    names = [name for name in bank.names if name in other.names]
    if not names:
        known = [shorten(side.names) for side in (bank, other)]
        raise ConfigError(
            f"the two banks have no concept in common: {known[0]} here, {known[1]} there."
        )
    vocabulary = bank.file.vocabulary
    mine, others = _scores(bank, names), _scores(other, names)
    cosines, tested = _cosines(bank, other, names), _tested(bank, other, names, seed)
    counted = all(side.results is not None and side.results.counts for side in (bank, other))
    reason = _UNPAIRED if counted else _UNCOUNTED
    return Table(
        ComparedRow(
            name,
            vocabulary[vocabulary.row(name)].category,
            mine[name],
            others[name],
            *tested.get(name, (Estimate(mine[name] - others[name]), nan, reason)),
            cosines[at],
        )
        for at, name in enumerate(names)
    )


def _scores(side: Side, names: Sequence[str]) -> dict[str, float]:
    if side.results is None:
        return dict.fromkeys(names, nan)
    table, column = ("concepts", "multi_val")
    if not side.file.segments:
        table, column = ("classification", "accuracy")
    rows = {row["name"]: float(row[column]) for row in side.results.tables[table].cells()}
    return {name: rows.get(name, nan) for name in names}


def _cosines(bank: Side, other: Side, names: Sequence[str]) -> list[float]:
    def reads(file: BankFile) -> tuple[Any, ...]:
        header = file.header
        layer = header["weights_digest"], header["module_path"], file.units.header
        return *layer, file.protocol.input, file.segments

    if reads(bank.file) != reads(other.file):
        return [nan] * len(names)
    mine, others = (
        side.file.weight[[side.file.vocabulary.row(name) for name in names]].double()
        for side in (bank, other)
    )
    return list(map(float, cosine_similarity(mine, others, eps=1e-300)))


def _tested(
    bank: Side, other: Side, names: Sequence[str], seed: int
) -> Mapping[str, tuple[Estimate, float, str]]:
    """Return difference, p and verdict of each concept; nothing where images differ."""
    mine, others = _pairs(bank, names), _pairs(other, names)
    if mine is None or others is None or bank.file.header["data"] != other.file.header["data"]:
        return {}
    if not all(torch.equal(mine[part], others[part]) for part in (0, 1)):
        return {}
    image, concept, multi, single = (part.numpy() for part in (*mine, others[2]))
    group = next((groups[image] for groups in _groups(bank, other)), None)
    pixels = PairCounts(image, concept, multi, single, len(names), group)
    gain = SetIouIntervals(pixels).gain.array()
    test = paired_test(pixels, seed=seed)
    return {
        name: (
            Estimate(*gain[:, at].tolist()),
            float(test.p_fdr[at]),
            _BETTER.get(test.verdict[at], test.verdict[at]),
        )
        for at, name in enumerate(names)
    }


def _groups(*sides: Side) -> Iterator[npt.NDArray[np.int64]]:
    """Return the groups of the dataset's rows, of every bank whose run was told of any."""
    for side in sides:
        if side.results is not None and side.results.groups is not None:
            yield side.results.groups


def _pairs(
    side: Side, names: Sequence[str]
) -> tuple[Int64[Tensor, "P"], Int64[Tensor, "P"], Int64[Tensor, "2 P"]] | None:
    """Return image, place among the names, and pixels of every val pair, in one order."""
    counts = None if side.results is None else side.results.counts
    if counts is None:
        return None
    place = torch.full((len(side.names),), -1)
    for at, name in enumerate(names):
        place[side.file.vocabulary.row(name)] = at
    concept = place[counts.concept]
    kept = concept >= 0
    image, concept = counts.image[kept], concept[kept]
    order = torch.from_numpy(np.lexsort((concept.numpy(), image.numpy())))
    pixels = torch.stack([counts.intersection[0], counts.union[0]])[:, kept]
    return image[order], concept[order], pixels[:, order]
