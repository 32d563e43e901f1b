"""What each choice of a protocol is worth in mean val set IoU, on two layers of a real network.

``python -m benchmarks.protocols``         each departure from the paper, and from the best
``python -m benchmarks.protocols search``  the same on held-out train images, as best was chosen

The real images lie beside the project or where NET2VEC_SHARED says; there is nothing to measure
without them.
"""

import copy
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from net2vec_pl.activations import MemorySink, PooledActivations, count_single_filters, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling, build_backbone
from net2vec_pl.data import ConceptDataModule, Scan, scan_files, select_concepts
from net2vec_pl.datasets import BrodenReader
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.functional.inputs import INPUTS, as_they_are
from net2vec_pl.probes import ConceptBank, SingleFilterBaseline, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

LAYERS = ("features.14.conv.0", "features.18")
BEST = Protocol(
    name="best",
    input="root",
    loss="bce",
    weighting="iou",
    bias=True,
    optimizer="adam",
    lr=0.03,
    lr_decay="cosine",
    weight_decay=0.5,
    reference_batch_size=32,
)
# What must change together: Adam's steps do not depend on the scale of the loss, SGD's do.
_ADAM = {"optimizer": "adam", "lr": 0.03}
FROM_PAPER: Mapping[str, dict[str, Any]] = {
    "paper": {},
    "loss=bce": {"loss": "bce"},
    "weighting=iou": {"weighting": "iou"},
    "bias=true": {"bias": True},
    "optimizer=adam lr=0.03": _ADAM,
    "input=raw": {"input": "raw"},
    "input=root": {"input": "root"},
    "reference_batch_size=16": {"reference_batch_size": 16},
    "epochs=90": {"epochs": 90},
    "tau=0.02": {"tau": 0.02},
    "threshold_images=train": {"threshold_images": "train"},
    "align_corners=false": {"align_corners": False},
    "denominator=annotated": {"denominator": "annotated"},
    "shuffle=false": {"shuffle": False},
    "scaling=paper": {"scaling": "paper"},
}
FROM_BEST: Mapping[str, dict[str, Any]] = {
    "best": {},
    "input=raw": {"input": "raw"},
    "input=bits": {"input": "bits"},
    "loss=agreement": {"loss": "agreement"},
    "weighting=size": {"weighting": "size"},
    "bias=false": {"bias": False},
    "optimizer=sgd lr=1e-4": {"optimizer": "sgd", "lr": 1e-4, "weight_decay": 0.0},
    "lr_decay=none": {"lr_decay": "none"},
    "weight_decay=0": {"weight_decay": 0.0},
    "weight_decay=1": {"weight_decay": 1.0},
    "reference_batch_size=16": {"reference_batch_size": 16},
    "reference_batch_size=64": {"reference_batch_size": 64},
    "lr=0.01": {"lr": 0.01},
    "epochs=15": {"epochs": 15},
}


def main() -> None:
    """Print a table of the choices asked for."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    shared = Path(os.environ.get("NET2VEC_SHARED", Path(__file__).parents[2] / "shared"))
    root = shared / "data" / "camvid_broden_224"
    if not root.is_dir():
        sys.exit(f"nothing measured: no real images in {shared}.")
    weights = str(shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth")
    reader = BrodenReader(root)
    scan = scan_files(reader, workers=2)
    searching = sys.argv[1:] == ["search"]
    splits = list(_held_out(reader, scan)) if searching else [(reader, scan)]
    what = "held-out train images" if searching else "val"
    print(f"Mean set IoU on {what}, by layer\n\n| from | change | {' | '.join(LAYERS)} |")
    print(f"|---|---|{'---|' * len(LAYERS)}")
    for name, base, changes in (
        ("paper", Protocol(), FROM_PAPER if not searching else {"paper": {}}),
        ("best", BEST, FROM_BEST),
    ):
        for change, options in changes.items():
            protocol = replace(base, **options)
            cells = [
                float(np.mean([mean_set_iou(weights, layer, protocol, *split) for split in splits]))
                for layer in LAYERS
            ]
            print(f"| {name} | {change} | {' | '.join(f'{c:.4f}' for c in cells)} |", flush=True)
    if not searching:
        cells = [single_filters(weights, layer, reader, scan) for layer in LAYERS]
        print(f"| paper | best single filter | {' | '.join(f'{c:.4f}' for c in cells)} |")


def mean_set_iou(
    weights: str, layer: str, protocol: Protocol, reader: BrodenReader, scan: Scan
) -> float:
    """Train a bank as a protocol says and score it on the reader's val images."""
    selection = select_concepts(reader, scan)
    backbone = _backbone(weights, layer, protocol, reader)
    stream = ConceptDataModule(
        reader,
        selection.vocabulary,
        scan,
        workers=2,
        shuffle=protocol.shuffle,
        score_annotated=protocol.denominator == "annotated",
    )
    on_train = protocol.threshold_images == "train"
    rows = stream.train_rows if on_train else stream.all_rows
    kept = np.concatenate(list(stream.scored_rows.values()))
    dense = None if protocol.input == "bits" else kept
    sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"), dense_rows=dense)
    transform = INPUTS.get(protocol.input, as_they_are)
    pooled = PooledActivations([backbone.shape[0]], len(reader), rows, transform)
    (thresholds,) = survey(
        [backbone],
        stream,
        protocol.tau,
        threshold_rows=rows,
        sink=sink,
        sink_rows=kept,
        watch=lambda layer, batch, activation: pooled.see(layer, batch.row, activation),
        watch_rows=rows,
    )
    cached = stream.from_source(sink.caches()[0])
    start = initial_rows(selection.vocabulary.numbers.tolist(), backbone.shape[0], 0)
    probe = SegmentationProbe(
        backbone,
        thresholds,
        ConceptBank(start, bias=protocol.bias),
        torch.tensor([entry.alpha for entry in selection.probed]),
        reader.mask_size,
        protocol,
        scale=pooled.spread(0),
    )
    trainer = pl.Trainer(
        max_epochs=protocol.epochs,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(probe, datamodule=cached)
    counts, _ = score_bank(probe, cached, cached.scored_rows["val"], ap=False)
    return float(counts.set_iou(len(selection.vocabulary))[0].nanmean())


def single_filters(weights: str, layer: str, reader: BrodenReader, scan: Scan) -> float:
    """Score the best single filter of each concept, chosen on train images, on val."""
    selection = select_concepts(reader, scan)
    backbone = _backbone(weights, layer, Protocol(), reader)
    stream = ConceptDataModule(reader, selection.vocabulary, scan, workers=2)
    sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"))
    rows = stream.all_rows
    (thresholds,) = survey(
        [backbone], stream, Protocol().tau, threshold_rows=rows, sink=sink, sink_rows=rows
    )
    cached = stream.from_source(sink.caches()[0])
    cells = BilinearCells(backbone.shape[1:], reader.mask_size, align_corners=True)
    scores = [
        count_single_filters(
            backbone,
            thresholds,
            cached.rows_dataloader(cached.pair_rows[split]),
            len(selection.vocabulary),
            cells,
        ).set_iou()
        for split in ("train", "val")
    ]
    baseline = SingleFilterBaseline(*scores)
    best = baseline.best_filter()[:, None].clamp(min=0)
    return float(baseline.val.gather(1, best).nanmean())


def _backbone(weights: str, layer: str, protocol: Protocol, reader: BrodenReader) -> FrozenBackbone:
    return build_backbone(
        name="mobilenet_v2",
        image_size=reader.image_size,
        layer=layer,
        weights=weights,
        scaling=InputScaling.named("paper" if protocol.scaling == "paper" else "torchvision"),
    )


def _held_out(reader: BrodenReader, scan: Scan) -> Iterator[tuple[BrodenReader, Scan]]:
    """Yield the train images alone, a part of them held out: at random, and a stretch of film.

    Pictures of one film resemble each other, so what is held out at random says how well a probe
    fits, and what is held out in one piece says more of how well it serves elsewhere.
    """
    train = scan.readable[reader.is_train[scan.readable]]
    inside = np.isin(scan.row, train)
    only_train = replace(
        scan,
        row=scan.row[inside],
        number=scan.number[inside],
        pixels=scan.pixels[inside],
        readable=train,
    )
    by_name = train[np.argsort(np.array(reader.image_names)[train])]
    mixed = np.random.default_rng(0).permutation(train)
    quarter = len(train) // 4
    for away in (mixed[:quarter], by_name[:quarter], by_name[-quarter:]):
        other = copy.copy(reader)
        other.is_train = ~np.isin(np.arange(len(reader)), away)
        yield other, only_train


if __name__ == "__main__":
    main()
