"""The main job: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor

import net2vec_pl
from net2vec_pl import processes
from net2vec_pl.activations import count_single_filters
from net2vec_pl.activations.cache import make_root
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.functional.iou import set_iou
from net2vec_pl.probes import BankFile, ConceptBank, SingleFilterBaseline, initial_rows
from net2vec_pl.report import (
    BankScores,
    LastWords,
    concept_table,
    filter_table,
    layer_row,
    print_summary,
    seed_table,
    write_csv,
)
from net2vec_pl.report.tables import Row
from net2vec_pl.tasks import build
from net2vec_pl.tasks.answers import Answers, find_answers
from net2vec_pl.tasks.folder import finished, layer_folder, mean_score, run_folder
from net2vec_pl.tasks.launch import StopOnSigterm, launched
from net2vec_pl.tasks.loggers import logger_for
from net2vec_pl.tasks.setup import Setup, set_up
from net2vec_pl.tasks.stages import Stages, Tensors
from net2vec_pl.training import SegmentationProbe, score_bank

_log = logging.getLogger(__name__)


def run(config: DictConfig) -> float:
    """Do the whole job of a configuration and leave a run folder.

    Args:
        config: The composed tree of conf/.

    Returns:
        Mean val set IoU over the probed concepts (and layers), for sweepers.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    build.quiet_lightning()
    options = build.options_from(config)
    if config.run.resume and finished(Path(config.run.dir)):
        _log.info(
            "%s has finished: nothing is left to do, whatever else was asked for", config.run.dir
        )
        return mean_score(Path(config.run.dir))
    trainer = build.trainer_from(config.trainer, options.protocol, Path(), False, [])
    with launched(trainer), run_folder(config) as folder:
        if options.cache == "disk":
            processes.from_first(lambda: make_root(options.cache_dir))
        device = trainer.strategy.root_device
        setup = set_up(config, options, folder, device)
        _log.info("device %s, %d process(es)", device, processes.count())
        stages = [
            Stages(
                layer_folder(folder, backbone, len(setup.backbones)), _key(setup, backbone, config)
            )
            for backbone in setup.backbones
        ]
        jobs = zip(setup.backbones, stages, find_answers(setup, stages), strict=True)
        tables = [_layer(setup, config, *job) for job in jobs]
        rows = [
            layer_row(backbone.layer, backbone.shape, table)
            for backbone, table in zip(setup.backbones, tables, strict=True)
        ]
        if processes.is_first() and len(rows) > 1:
            write_csv(rows, folder / "layers.csv")
        for stage in stages:
            stage.finish()
    return float(np.mean([row["multi_val"] for row in rows]))


def _layer(
    setup: Setup, config: DictConfig, backbone: FrozenBackbone, stages: Stages, answers: Answers
) -> list[Row]:
    """Do all that is done for one layer, and return its table of concepts."""
    baseline = _baseline(setup, backbone, stages, answers)
    probe = _fit(setup, config, backbone, stages, answers)
    scores = _score(setup, probe, stages, answers)
    concepts = concept_table(setup.selection, baseline, scores[0])
    if processes.is_first():
        folder, vocabulary = stages.folder, setup.selection.vocabulary
        write_csv(concepts, folder / "concepts.csv")
        write_csv(
            filter_table(answers.thresholds.cpu(), baseline, vocabulary), folder / "filters.csv"
        )
        if len(scores) > 1:
            write_csv(seed_table(vocabulary, setup.seeds, scores), folder / "seeds.csv")
        bank = _bank_file(setup, backbone, probe, config)
        bank.save(folder / "bank.safetensors")  # the last: it says that the run has finished
        print_summary(concepts, folder, LastWords())
    return concepts


def _baseline(
    setup: Setup, backbone: FrozenBackbone, stages: Stages, answers: Answers
) -> SingleFilterBaseline:
    def count() -> Tensors:
        cells = BilinearCells(
            backbone.shape[1:],
            setup.reader.mask_size,
            align_corners=setup.options.protocol.align_corners,
        )
        num_concepts = len(setup.selection.vocabulary)
        counted: Tensors = {}
        for split, rows in setup.stream.pair_rows.items():
            loader = answers.stream.rows_dataloader(rows)
            batches = setup.progress(f"single filters, {split}")(loader)
            counts = count_single_filters(
                backbone, answers.thresholds, batches, num_concepts, cells
            )
            counted |= {f"{split}.inside": counts.intersection, f"{split}.union": counts.union}
        return {name: count.cpu() for name, count in counted.items()}

    counted = stages.once("baseline", count)
    return SingleFilterBaseline(
        *(set_iou(counted[f"{s}.inside"], counted[f"{s}.union"]) for s in ("train", "val"))
    )


def _fit(
    setup: Setup, config: DictConfig, backbone: FrozenBackbone, stages: Stages, answers: Answers
) -> SegmentationProbe:
    options, vocabulary = setup.options, setup.selection.vocabulary
    numbers = vocabulary.numbers.tolist()
    rows = [initial_rows(numbers, backbone.shape[0], seed) for seed in setup.seeds]
    compiled = options.compiled
    probe = SegmentationProbe(
        backbone,
        answers.thresholds,
        ConceptBank(torch.cat(rows), bias=options.protocol.bias),
        torch.tensor([entry.alpha for entry in setup.selection.probed]),
        setup.reader.mask_size,
        options.protocol,
        pairs_per_chunk=options.pairs_per_chunk,
        compiled=setup.device.type == "cuda" if compiled is None else compiled,
        stage_key=stages.key,
    )
    checkpoint = stages.checkpoint()
    epochs_done = 0 if checkpoint is None else _epochs_done(checkpoint)
    if epochs_done:
        _log.info("fit: goes on after epoch %d of %d", epochs_done, options.protocol.epochs)
    with logger_for(config, stages.folder, epochs_done) as logger:
        callbacks = build.callbacks_from(config.callbacks, vocabulary, stages.folder)
        if processes.count() > 1:
            callbacks.append(StopOnSigterm())
        trainer = build.trainer_from(
            config.trainer, options.protocol, stages.folder, logger, callbacks
        )
        try:
            trainer.fit(probe, datamodule=answers.stream, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop
    return probe.to(trainer.strategy.root_device)  # Lightning may leave it on the CPU


def _epochs_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"]) + 1


def _score(
    setup: Setup, probe: SegmentationProbe, stages: Stages, answers: Answers
) -> list[BankScores]:
    """Score the bank of every seed on train and val."""

    def score() -> Tensors:
        scored = {}
        for split, rows in setup.stream.pair_rows.items():
            batches = setup.progress(f"scores, {split}")(answers.stream.rows_dataloader(rows))
            scored[split], scored[f"{split}.ap"] = score_bank(probe, batches)
        return scored

    scored = stages.once("scores", score)
    weights = probe.bank.weight.detach().cpu().chunk(probe.num_seeds)
    return [
        BankScores(scored["train"][s], scored["val"][s], scored["val.ap"][s], weight)
        for s, weight in enumerate(weights)
    ]


def _bank_file(
    setup: Setup, backbone: FrozenBackbone, probe: SegmentationProbe, config: DictConfig
) -> BankFile:
    def by_seed(rows: Float[Tensor, "R *S"]) -> Float[Tensor, "S C *S"]:
        return torch.stack(rows.detach().cpu().chunk(probe.num_seeds))

    weight = by_seed(probe.bank.weight)
    bias = None if probe.bank.bias is None else by_seed(probe.bank.bias)
    return BankFile(
        weight=weight[0],
        threshold=probe.thresholds.cpu(),
        alpha=probe.alpha.cpu(),
        bias=None if bias is None else bias[0],
        vocabulary=setup.selection.vocabulary,
        header=_header(setup, backbone, config),
        other_seeds=weight[1:],
        other_biases=None if bias is None else bias[1:],
    )


def _key(setup: Setup, backbone: FrozenBackbone, config: DictConfig) -> dict[str, Any]:
    """Return everything that a layer's results depend on."""
    header = _header(setup, backbone, config)
    del header["versions"]["torch"]  # a newer one may finish what an older one began
    concepts = [(e.concept.name, e.n_train, e.n_val) for e in setup.selection.probed]
    return header | {"concepts": concepts, "batch_size": setup.options.batch_size}


def _header(setup: Setup, backbone: FrozenBackbone, config: DictConfig) -> dict[str, Any]:
    """Say what a bank belongs to: enough to rebuild its backbone and to compare runs."""
    protocol, reader = setup.options.protocol, setup.reader
    return {
        "target": "segmentation",
        "model": build.plain(config.model),
        "weights_digest": backbone.digest,
        "layer": backbone.layer,
        "module_path": backbone.module_path,
        "activation_shape": list(backbone.shape),
        "input_transform": vars(backbone.scaling) | {"image_size": list(reader.image_size)},
        "tau": protocol.tau,
        "protocol": vars(protocol),
        "deviations": protocol.deviations(),
        "data": {
            "name": reader.name,
            "digest": setup.census.digest,
            "mask_size": list(reader.mask_size),
            "readable": len(setup.census.readable),
            "unreadable": len(setup.census.unreadable),
        },
        "seed": setup.options.seed,
        "seeds": setup.options.seeds,
        "versions": {"net2vec_pl": net2vec_pl.__version__, "torch": version("torch")},
    }
