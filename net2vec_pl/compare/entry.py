"""An entry of a comparison: one layer of a run, as learned from one seed; read from its files."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from net2vec_pl.analysis.detectors import detector_scores
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.concepts import Concept
from net2vec_pl.errors import RunFolderError
from net2vec_pl.options import flat
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Cell, read_csv, read_rows
from net2vec_pl.records.run import ClassifiedRow, ConceptRow, FilterRow, SeedRow
from net2vec_pl.report.probes import KNOWN
from net2vec_pl.report.val_counts import ValCounts
from net2vec_pl.runs import BANK, CLASSIFIERS, COUNTS

SEGMENTATION, CLASSIFICATION = "segmentation", "classification"
# What is compared of each target: the learned combination first.
SCORES = {
    SEGMENTATION: ("multi_val", "single_val", "ap_val"),
    CLASSIFICATION: ("accuracy", "best_accuracy"),
}
_BANKS = {SEGMENTATION: BANK, CLASSIFICATION: CLASSIFIERS}
_NEEDED = {SEGMENTATION: "filters_needed", CLASSIFICATION: "filters_needed_classification"}
_LEVEL = "for_80%"


@dataclass(frozen=True)
class Embeddings:
    """A bank of one seed.

    Args:
        concepts: The concepts by row.
        weight: Their embeddings.
    """

    concepts: tuple[Concept, ...]
    weight: Float[np.ndarray, "C K"]


@dataclass(frozen=True)
class Entry:
    """One layer of a run, learned from one seed.

    Args:
        folder: Folder of the layer.
        header: The header of its bank: what the bank belongs to.
        seed: Seed of its training.
        embeddings: By target: segmentation, classification.
        scores: Score -> concept -> value, of the concepts that have it.
        n_images: Train and val images of every concept.
        detected: Concept -> val set IoU of the filter that detects it, chosen on train, the first
            seed's; empty without filters.csv.
        needed: Target -> concept -> filters for 80 % of the gain, where that was asked.
        known: Concept -> whether it beats every reference level, where the run has any.
        levels: Concept -> val set IoU of its best reference level, where the run has any.
        place: Which of the run's seeds this is.
    """

    folder: Path
    header: Mapping[str, Any]
    seed: int
    embeddings: Mapping[str, Embeddings]
    scores: Mapping[str, Mapping[str, float]]
    n_images: Mapping[str, tuple[int, int]]
    detected: Mapping[str, float] = field(default_factory=dict)
    needed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    known: Mapping[str, bool] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    place: int = 0

    @property
    def model(self) -> str:
        """Name of the network; a network of the user's own goes by its class."""
        model = self.header["model"]
        return str(model.get("_target_") or model["name"])

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return str(self.header["layer"])

    @cached_property
    def protocol(self) -> Mapping[str, object]:
        """Every option of the protocol by its dotted name."""
        return flat(self.header["protocol"])

    @cached_property
    def concepts(self) -> dict[str, Concept]:
        """The probed concepts by name."""
        return {c.name: c for bank in self.embeddings.values() for c in bank.concepts}

    @cached_property
    def vocabularies(self) -> dict[str, str]:
        """Number of probed concepts, and a digest of their ids and names, by target."""
        told = {}
        for target, bank in self.embeddings.items():
            pairs = sorted((c.number, c.name) for c in bank.concepts)
            digest = blake2b(json.dumps(pairs).encode(), digest_size=4).hexdigest()
            told[target] = f"{len(pairs)} concepts, digest {digest}"
        return told

    @property
    def vocabulary(self) -> str:
        """What stands for the probed concepts: those that are segmented, if any are."""
        return next(iter(self.vocabularies.values()))

    def val_pairs(self, names: Sequence[str]) -> PairCounts | None:
        """Read the val pixels of some concepts, in their order; None if the run left none.

        Nothing is kept, for thousands of entries would not fit into memory.

        Raises:
            RunFolderError: If the file is damaged.
        """
        path = self.folder / COUNTS
        if not path.exists():
            return None
        counts = ValCounts.load(path)
        if self.place >= len(counts.multi):
            return None
        return counts.pairs([self.concepts[name].number for name in names], self.place)


def read_entries(folder: Path) -> list[Entry]:
    """Read what a finished layer left: an entry for each of its seeds.

    Args:
        folder: With a bank and its table; every other file may be absent.

    Raises:
        RunFolderError: If a file is damaged, or the bank has no table.
    """
    banks = {
        target: BankFile.load(folder / name)
        for target, name in _BANKS.items()
        if (folder / name).exists()
    }
    try:
        return list(_by_seed(folder, banks))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fault = f"{type(error).__name__} {error}"
        raise RunFolderError(f"{folder} is damaged, or of another version: {fault}") from error


def _by_seed(folder: Path, banks: Mapping[str, BankFile]) -> Iterator[Entry]:
    header = next(iter(banks.values())).header
    n_images, scores = _scores(folder, banks)
    detected = _detected(folder / "filters.csv")
    needed = {
        target: _column(_optional(folder / "analysis" / f"{name}.csv"), _LEVEL)
        for target, name in _NEEDED.items()
    }
    seed = int(header["seed"])
    first = {target: _embeddings(bank, bank.weight) for target, bank in banks.items()}
    known, levels = _known(folder / "concepts.csv"), _levels(folder / "concepts.csv")
    yield Entry(folder, header, seed, first, scores, n_images, detected, needed, known, levels)
    bank, others = banks.get(SEGMENTATION), folder / "seeds.csv"
    if bank is None or bank.other_seeds is None or not others.exists():
        return
    rows = read_csv(SeedRow, others)
    for i, weight in enumerate(bank.other_seeds, start=1):
        cells = [row.cells() for row in rows if row.seed == seed + i]
        of_seed = {name: _column(cells, name) for name in ("multi_val", "ap_val")}
        single = {"single_val": scores["single_val"]}
        learned = {SEGMENTATION: _embeddings(bank, weight)}
        yield Entry(
            folder, header, seed + i, learned, of_seed | single, n_images, detected, place=i
        )


def _scores(
    folder: Path, targets: Iterable[str]
) -> tuple[dict[str, tuple[int, int]], dict[str, dict[str, float]]]:
    """Read the train and val images of every concept, and its scores, from the targets' tables."""
    n_images: dict[str, tuple[int, int]] = {}
    scores: dict[str, dict[str, float]] = {}
    for target in targets:
        rows: Sequence[ConceptRow | ClassifiedRow] = (
            read_csv(ConceptRow, folder / "concepts.csv")
            if target == SEGMENTATION
            else read_csv(ClassifiedRow, folder / "classification.csv")
        )
        n_images |= {row.name: (row.n_train, row.n_val) for row in rows}
        cells = [row.cells() for row in rows]
        scores |= {name: _column(cells, name) for name in SCORES[target]}
    return n_images, scores


def _embeddings(bank: BankFile, weight: Tensor) -> Embeddings:
    return Embeddings(tuple(bank.vocabulary), weight.double().numpy())


def _column(rows: Iterable[Mapping[str, Cell]], name: str) -> dict[str, float]:
    values = ((str(row["name"]), float(row[name])) for row in rows)
    return {concept: value for concept, value in values if np.isfinite(value)}


def _detected(path: Path) -> dict[str, float]:
    """Score concepts as :func:`~net2vec_pl.analysis.detectors.detector_scores` does."""
    rows = read_csv(FilterRow, path) if path.exists() else []
    concepts = [*dict.fromkeys(row.best_concept for row in rows if row.best_concept)]
    number = {name: c for c, name in enumerate(concepts)}
    score = detector_scores(
        np.array([number.get(row.best_concept, -1) for row in rows], dtype=np.int64),
        np.array([row.single_train for row in rows], dtype=np.float64),
        np.array([row.single_val for row in rows], dtype=np.float64),
        len(concepts),
    )
    return dict(zip(concepts, score.tolist(), strict=True))


def _optional(path: Path) -> list[dict[str, str]]:
    return read_rows(path) if path.exists() else []


def _known(path: Path) -> dict[str, bool]:
    return {r["name"]: r["known"] == KNOWN for r in _optional(path) if r.get("known")}


def _levels(path: Path) -> dict[str, float]:
    return _column([r for r in _optional(path) if r.get("reference_val")], "reference_val")
