"""``native.csv``: scores on masks of another size, to lay beside published ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.functional.iou import set_iou
from net2vec_pl.records.run import NativeRow
from net2vec_pl.report.probes import nan_mean
from net2vec_pl.training.native import NativeTotals


@dataclass(frozen=True)
class NativeMeans:
    """Means of one probe over concepts, on masks of another size.

    Args:
        probe: Its name.
        masks: Size of the masks.
        iou: Mean set IoU over all concepts; NaN if none has one.
        argmax: Category -> mean IoU of the highest logit over its concepts: mIoU.
        scored: Category -> concepts that mean is over.
    """

    probe: str
    masks: str
    iou: float
    argmax: dict[str, float]
    scored: dict[str, int]

    @property
    def size(self) -> str:
        """What the masks are of, in words."""
        return "their own size" if self.masks == "native" else self.masks

    def __str__(self) -> str:
        """Say it in a sentence."""
        found = ", ".join(f"{name} {score:.3f}" for name, score in self.argmax.items())
        return f"{self.probe}: mean set IoU {self.iou:.3f}, mIoU by argmax: {found}."


def native_table(
    vocabulary: Vocabulary, names: Sequence[str], masks: str, totals: NativeTotals
) -> list[NativeRow]:
    """Tabulate every concept and probe.

    Args:
        vocabulary: The probed concepts.
        names: Of the probes, a bank each.
        masks: Size of the masks, in words.
        totals: The counts.
    """
    iou = set_iou(totals.intersection, totals.union)
    argmax = set_iou(totals.won, totals.either)
    return [
        NativeRow(
            concept.number,
            concept.name,
            concept.category,
            probe,
            masks,
            n_val=int(totals.images[c]),
            pixels=int(totals.pixels[c]),
            iou=float(iou[bank, c]),
            n_annotated=int(totals.annotated[c]),
            argmax=float(argmax[bank, c]),
        )
        for bank, probe in enumerate(names)
        for c, concept in enumerate(vocabulary)
    ]


def native_statements(rows: Sequence[NativeRow]) -> list[str]:
    """Say the means of every probe, a sentence each.

    Args:
        rows: ``native.csv``; may be empty.
    """
    return [f"On masks of {mean.size}, {mean}" for mean in native_means(rows)]


def native_means(rows: Sequence[NativeRow]) -> list[NativeMeans]:
    """Average the rows of every probe, in their order.

    Categories without any score are left out, and those of one concept, which always wins.

    Args:
        rows: ``native.csv``.
    """
    found = []
    for probe in dict.fromkeys(row.probe for row in rows):
        mine = [row for row in rows if row.probe == probe]
        rivals = Counter(row.category for row in mine)
        scored: dict[str, list[float]] = {}
        for row in mine:
            if isfinite(row.argmax) and rivals[row.category] > 1:
                scored.setdefault(row.category, []).append(row.argmax)
        found.append(
            NativeMeans(
                probe,
                mine[0].masks,
                nan_mean(row.iou for row in mine),
                {category: nan_mean(scores) for category, scores in scored.items()},
                {category: len(scores) for category, scores in scored.items()},
            )
        )
    return found
