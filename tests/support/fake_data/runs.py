"""Folders as runs leave them, with scores and embeddings of one's choice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol
from net2vec_pl.report import write_csv
from support.banks import made_up_header


def write_run(
    folder: Path,
    scores: Mapping[str, float],
    *,
    layer: str = "conv5",
    seed: int = 0,
    weight: np.ndarray[Any, Any] | None = None,
    digest: str = "d1g35t",
    protocol: Mapping[str, Any] | None = None,
    model: str = "shapesnet",
    single: float = 0.1,
) -> Path:
    """Write a bank and its table, as an artifact of a run holds them.

    Args:
        folder: Where to.
        scores: Concept -> val set IoU of several filters.
        layer: Name of the layer.
        seed: Of the run.
        weight: The embeddings; random ones if absent.
        digest: Of the data.
        protocol: Options that are not the paper's.
        model: Name of the network.
        single: Val set IoU of every concept's best filter.
    """
    concepts = [
        Concept(i, name, ("object", "part")[i % 2], (("object", "part")[i % 2],), True)
        for i, name in enumerate(scores, start=1)
    ]
    if weight is None:
        weight = np.random.default_rng(seed).normal(size=(len(concepts), 8))
    bank = BankFile(
        weight=torch.from_numpy(weight).float(),
        threshold=torch.zeros(weight.shape[1]),
        alpha=torch.full((len(concepts),), 0.5),
        bias=None,
        vocabulary=Vocabulary(concepts),
        header=made_up_header(
            weight.shape[1],
            model={"name": model, "weights": None},
            weights_digest=f"of {model}",
            layer=layer,
            module_path=layer,
            protocol=Protocol(**(protocol or {})).plain(),
            data={"name": "made up", "digest": digest, "mask_size": [8, 8], "readable": 10},
            seed=seed,
        ),
    )
    folder.mkdir(parents=True)
    rows = [
        {"id": c.number, "name": c.name, "category": c.category, "n_train": 5, "n_val": 5}
        | {"single_val": single, "multi_val": scores[c.name], "ap_val": scores[c.name]}
        for c in concepts
    ]
    write_csv(rows, folder / "concepts.csv")
    bank.save(folder / "bank.safetensors")
    return folder
