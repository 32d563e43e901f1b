"""A bank, and a table of scores, of concepts whose names mean something to Markdown."""

from typing import Any

import numpy as np
import torch

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol
from net2vec_pl.records.run import ConceptRow

NAMES = ["a|b", "*sky*", "under_score", "`tick`", '"quoted"', "<b>", "[link](x)", "tree", "_x_"]
SCORES = dict(zip(NAMES, [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, np.nan], strict=True))


def bank_of(target: str = "segmentation", **options: Any) -> BankFile:
    protocol = Protocol(**options)
    concepts = [Concept(i, n, "object", ("object",), True) for i, n in enumerate(NAMES, 1)]
    return BankFile(
        weight=torch.zeros(len(NAMES), 6),
        threshold=torch.zeros(6),
        alpha=torch.zeros(len(NAMES)),
        bias=None,
        vocabulary=Vocabulary(concepts),
        header={
            "model": {"name": "vgg16", "weights": "/home/me/vgg_16.pth"},
            "weights_digest": "w31gh75",
            "layer": "conv5_3",
            "module_path": "features.29",
            "activation_shape": [6, 14, 15],
            "input_transform": {"name": "torchvision", "image_size": [224, 240]},
            "tau": protocol.tau,
            "protocol": protocol.plain(),
            "deviations": protocol.deviations(),
            "data": {
                "name": "broden",
                "digest": "d4t4",
                "mask_size": [112, 120],
                "readable": 63305,
                "unreadable": 7,
            },
            "seed": 4,
            "seeds": 1,
            "versions": {"net2vec_pl": "0.1.0", "torch": "2.11"},
            "target": target,
        },
    )


def concepts(scores: dict[str, float]) -> list[ConceptRow]:
    return [
        ConceptRow(
            id=i + 1,
            name=name,
            category="object" if i % 2 else "part",
            n_train=10 + i,
            n_val=5,
            alpha=0.5,
            best_filter=0,
            single_train=np.nan,
            single_val=score / 2,
            multi_train=np.nan,
            multi_val=score,
            ap_val=score,
            norm=1.0,
            status="ok" if np.isfinite(score) else "3 train images, below 5",
        )
        for i, (name, score) in enumerate(scores.items())
    ]
