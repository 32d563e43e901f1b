"""Folders as runs leave them, with scores and embeddings of one's choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol
from net2vec_pl.records import write_csv
from net2vec_pl.records.run import (
    ClassifiedRow,
    ClassifierScores,
    ConceptRow,
    FilterRow,
    SeedRow,
)
from support.banks import made_up_header
from support.fake_data.val_pixels import counts_of
from support.tables import write_table

Weight = npt.NDArray[Any]


@dataclass(frozen=True)
class OtherSeed:
    """What a further seed of the same run learned.

    Args:
        weight: The embeddings.
        scores: Concept -> val set IoU of several filters.
        ap: Concept -> average precision; the scores if absent.
    """

    weight: Weight
    scores: Mapping[str, float]
    ap: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Classified:
    """What a run found out about whole images.

    Args:
        accuracy: Concept -> val accuracy of all filters.
        best: Concept -> that of the best filter; half the accuracy if absent.
        weight: The embeddings; random ones if absent.
    """

    accuracy: Mapping[str, float]
    best: Mapping[str, float] | None = None
    weight: Weight | None = None


@dataclass(frozen=True)
class Extras:
    """The files that a run may leave or not.

    Args:
        filters: Best concept and val set IoU of every filter; on train each beats those before it.
        needed: Concept -> filters for 80 % of the gain in set IoU.
        needed_to_classify: The same for accuracy.
        images: Val images that the run has left its counts of; it has left none if 0.
        groups: How many groups they are of; each is its own if 0.
    """

    filters: Sequence[tuple[str, float]] = ()
    needed: Mapping[str, float] = field(default_factory=dict)
    needed_to_classify: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    groups: int = 0

    def write(self, folder: Path) -> None:
        """Write them into a run's folder."""
        analysis = folder / "analysis"
        analysis.mkdir()
        if self.filters:
            filters = [
                FilterRow(k, 0.9, name, single_train=0.8 + k / 100, single_val=score, n_concepts=1)
                for k, (name, score) in enumerate(self.filters)
            ]
            write_csv(filters, folder / "filters.csv")
        for name, of in {
            "filters_needed": self.needed,
            "filters_needed_classification": self.needed_to_classify,
        }.items():
            rows: list[dict[str, Any]] = [
                {"name": c, "category": "any", "for_70%": n - 1, "for_80%": n, "for_90%": n + 5}
                for c, n in of.items()
            ]
            if rows:
                write_table(rows, analysis / f"{name}.csv")


def write_run(
    folder: Path,
    scores: Mapping[str, float],
    *,
    layer: str = "conv5",
    seed: int = 0,
    weight: Weight | None = None,
    digest: str = "d1g35t",
    protocol: Mapping[str, Any] | None = None,
    model: str = "shapesnet",
    single: float | Mapping[str, float] = 0.1,
    ap: Mapping[str, float] | None = None,
    categories: Mapping[str, str] | None = None,
    images: Mapping[str, tuple[int, int]] | None = None,
    others: Sequence[OtherSeed] = (),
    classified: Classified | None = None,
    extras: Extras | None = None,
    header: Mapping[str, Any] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Path:
    """Write a bank and its table, as an artifact of a run holds them.

    Args:
        folder: Where to.
        scores: Concept -> val set IoU of several filters; with none nothing is segmented.
        layer: Name of the layer.
        seed: Of the run.
        weight: The embeddings; random ones if absent.
        digest: Of the data.
        protocol: Options that are not the paper's.
        model: Name of the network.
        single: Val set IoU of every concept's best filter.
        ap: Concept -> average precision; the scores if absent.
        categories: Concept -> category; object and part by turns if absent.
        images: Concept -> train and val images; 5 and 5 if absent.
        others: Further seeds.
        classified: What there is of whole images.
        extras: Further files.
        header: What the banks say of themselves otherwise.
        levels: Concept -> val set IoU of its best reference level.
    """
    names = dict.fromkeys([*scores, *(classified.accuracy if classified else ())])
    turns = {name: ("object", "part")[i % 2] for i, name in enumerate(names, start=1)}
    kinds = turns | dict(categories or {})
    numbers = {name: i for i, name in enumerate(sorted(kinds) if categories else names, start=1)}
    concepts = {n: Concept(numbers[n], n, kinds[n], (kinds[n],), True) for n in names}
    drawn = np.random.default_rng(seed).normal(size=(len(names), 8))
    folder.mkdir(parents=True)

    def said(filters: int, target: str) -> dict[str, Any]:
        own = made_up_header(
            filters,
            model={"name": model, "weights": None},
            weights_digest=f"of {model}",
            layer=layer,
            module_path=layer,
            protocol=Protocol(**(protocol or {})).plain(),
            data={"name": "made up", "digest": digest, "mask_size": [8, 8], "readable": 10},
            seed=seed,
        )
        for name, value in (header or {}).items():  # of a group what is given, the rest as it is
            whole = not isinstance(value, Mapping) or name == "protocol"
            own[name] = value if whole else own[name] | value
        grid = own["activation_shape"][1:]
        return own | {"target": target, "activation_shape": [filters, *grid]}

    def bank(of: Sequence[str], own: Weight | None, target: str) -> BankFile:
        rows = torch.from_numpy(drawn[: len(of)] if own is None else own).float()
        return BankFile(
            weight=rows,
            threshold=torch.zeros(rows.shape[1]),
            alpha=torch.full((len(of),), 0.5),
            bias=torch.zeros(len(of)) if target == "classification" else None,
            vocabulary=Vocabulary(concepts[name] for name in of),
            header=said(rows.shape[1], target),
            other_seeds=torch.stack([torch.from_numpy(o.weight).float() for o in others])
            if others and target == "segmentation"
            else None,
        )

    def counted(name: str) -> tuple[int, str, str, int, int]:
        return numbers[name], name, kinds[name], *(images or {}).get(name, (5, 5))

    if scores:
        segmented = [
            ConceptRow(
                *counted(name),
                alpha=0.5,
                best_filter=0,
                single_train=0.77,
                single_val=single[name] if isinstance(single, Mapping) else single,
                multi_train=0.88,
                multi_val=score,
                ap_val=(ap or scores)[name],
                norm=0.99,
                status="ok",
                reference_val=levels[name] if levels else None,
            )
            for name, score in scores.items()
        ]
        write_csv(segmented, folder / "concepts.csv")
        bank([*scores], weight, "segmentation").save(folder / "bank.safetensors")
    if others:
        seeds = [(scores, ap or scores), *((o.scores, o.ap or o.scores) for o in others)]
        of_seeds = [
            SeedRow(
                *counted(name)[:3],
                seed=seed + i,
                multi_train=0.88,
                multi_val=of[name],
                ap_val=precision[name],
                norm=0.99,
                cosine=0.98,
            )
            for name in scores
            for i, (of, precision) in enumerate(seeds)
        ]
        write_csv(of_seeds, folder / "seeds.csv")
    if classified:
        best = classified.best or {name: a / 2 for name, a in classified.accuracy.items()}
        by_concept = [
            ClassifiedRow(
                *counted(name),
                n_val_without=20,
                n_val_annotated=20,
                top_filter=0,
                best_filter=1,
                multi=ClassifierScores(accuracy, 0.66, 0.67, 0.68, 0.69),
                top=ClassifierScores(0.55, 0.56, 0.57, 0.58, 0.59),
                best=ClassifierScores(best[name], 0.46, 0.47, 0.48, 0.49),
                norm=0.99,
                status="ok",
            )
            for name, accuracy in classified.accuracy.items()
        ]
        write_csv(by_concept, folder / "classification.csv")
        bank([*classified.accuracy], classified.weight, "classification").save(
            folder / "classification.safetensors"
        )
    if extras:
        extras.write(folder)
        if extras.images:
            one = single if isinstance(single, Mapping) else dict.fromkeys(scores, single)
            counts_of(
                [numbers[name] for name in scores],
                [[of[name] for name in scores] for of in (scores, *(o.scores for o in others))],
                [one[name] for name in scores],
                extras.images,
                extras.groups,
            ).save(folder / "val_counts.safetensors")
    return folder
