"""The main job: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from jaxtyping import Float
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger
from rich.console import Console
from torch import Tensor

import net2vec_pl
from net2vec_pl.activations import count_single_filters, find_thresholds
from net2vec_pl.activations.extract import device_of
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import (
    ConceptDataModule,
    ConceptReader,
    Selection,
    select_concepts,
    take_census,
)
from net2vec_pl.data.census import Census
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import BankFile, ConceptBank, SingleFilterBaseline, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.report import BankScores, concept_table, filter_table, print_summary, write_csv
from net2vec_pl.tasks import build
from net2vec_pl.tasks.folder import prepare_folder, tell_data
from net2vec_pl.tasks.progress import Progress
from net2vec_pl.training import SegmentationProbe, score_bank

_log = logging.getLogger(__name__)


def run(config: DictConfig) -> float:
    """Do the whole job of a configuration and leave a run folder.

    Args:
        config: The composed tree of conf/.

    Returns:
        Mean val set IoU over the probed concepts, for sweepers.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    protocol = build.protocol_from(config.protocol)
    seed = build.whole_number("seed", config.seed, 0)
    batch_size = build.whole_number("loader.batch_size", config.loader.batch_size, 1)
    workers = build.workers_from(config.loader.workers)
    prepare_folder(folder, config)
    pl.seed_everything(seed, verbose=False)
    progress = Progress(enabled=config.callbacks.progress)

    reader = build.reader_from(config.data)
    backbone = build.backbone_from(config.model, config.layer, protocol, reader.image_size)
    _tell_backbone(backbone, protocol)
    census = take_census(
        reader,
        workers=workers,
        on_error=config.data.on_error,
        track=progress("reading images and masks"),
    )
    selection = select_concepts(
        reader,
        census,
        categories=config.data.categories,
        names=config.data.names,
        min_train=config.data.min_train,
        min_val=config.data.min_val,
    )
    tell_data(reader, census, selection, folder)
    stream = ConceptDataModule(
        reader,
        selection.vocabulary,
        census,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        shuffle=protocol.shuffle,
    )

    logger = build.logger_from(config.logger, folder)
    try:
        callbacks = build.callbacks_from(config.callbacks, selection.vocabulary, folder)
        trainer = build.trainer_from(config.trainer, protocol, folder, logger, callbacks)
        if isinstance(logger, Logger):
            logger.log_hyperparams(build.plain(config))
        backbone.to(trainer.strategy.root_device)
        thresholds = _thresholds(backbone, stream, protocol, progress)
        baseline = _baseline(
            backbone, thresholds, stream, selection, reader.mask_size, protocol, progress
        )
        probe = _fit(backbone, thresholds, selection, reader, protocol, seed, trainer, stream)
        scores = _score(probe, stream, progress)
    finally:
        if isinstance(logger, WandbLogger):
            import wandb

            wandb.finish()

    header = _header(config, protocol, backbone, reader, census)
    _bank_file(probe, selection, header).save(folder / "bank.safetensors")
    concepts = concept_table(selection, baseline, scores)
    write_csv(concepts, folder / "concepts.csv")
    write_csv(
        filter_table(thresholds.cpu(), baseline, selection.vocabulary), folder / "filters.csv"
    )
    print_summary(concepts, folder, Console())
    return float(scores.val.nanmean())


def _thresholds(
    backbone: FrozenBackbone, stream: ConceptDataModule, protocol: Protocol, progress: Progress
) -> Float[Tensor, "K"]:
    rows = stream.train_rows if protocol.threshold_images == "train" else stream.all_rows
    batches = progress("thresholds")(stream.rows_dataloader(rows))
    return find_thresholds(backbone, batches, len(rows), protocol.tau)


def _baseline(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    stream: ConceptDataModule,
    selection: Selection,
    mask_size: tuple[int, int],
    protocol: Protocol,
    progress: Progress,
) -> SingleFilterBaseline:
    cells = BilinearCells(backbone.shape[1:], mask_size, align_corners=protocol.align_corners)
    scores = {}
    for split, rows in (("train", stream.train_pair_rows), ("val", stream.val_pair_rows)):
        batches = progress(f"single filters, {split}")(stream.rows_dataloader(rows))
        counts = count_single_filters(
            backbone, thresholds, batches, len(selection.vocabulary), cells
        )
        scores[split] = counts.set_iou().cpu()
    return SingleFilterBaseline(**scores)


def _fit(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    selection: Selection,
    reader: ConceptReader,
    protocol: Protocol,
    seed: int,
    trainer: pl.Trainer,
    stream: ConceptDataModule,
) -> SegmentationProbe:
    rows = initial_rows(selection.vocabulary.numbers.tolist(), backbone.shape[0], seed)
    probe = SegmentationProbe(
        backbone,
        thresholds,
        ConceptBank(rows, bias=protocol.bias),
        torch.tensor([entry.alpha for entry in selection.probed]),
        reader.mask_size,
        protocol,
    )
    trainer.fit(probe, datamodule=stream)
    # Lightning leaves the module on the CPU when it is done.
    return probe.to(trainer.strategy.root_device)


def _score(probe: SegmentationProbe, stream: ConceptDataModule, progress: Progress) -> BankScores:
    train, _ = score_bank(
        probe, progress("scores, train")(stream.rows_dataloader(stream.train_pair_rows))
    )
    val, ap_val = score_bank(
        probe, progress("scores, val")(stream.rows_dataloader(stream.val_pair_rows))
    )
    return BankScores(train, val, ap_val, probe.bank.weight.detach().norm(dim=1).cpu())


def _bank_file(probe: SegmentationProbe, selection: Selection, header: dict[str, Any]) -> BankFile:
    bias = probe.bank.bias
    return BankFile(
        weight=probe.bank.weight.detach().cpu(),
        threshold=probe.thresholds.cpu(),
        alpha=probe.alpha.cpu(),
        bias=None if bias is None else bias.detach().cpu(),
        vocabulary=selection.vocabulary,
        header=header,
    )


def _header(
    config: DictConfig,
    protocol: Protocol,
    backbone: FrozenBackbone,
    reader: ConceptReader,
    census: Census,
) -> dict[str, Any]:
    """Say what a bank belongs to: enough to rebuild its backbone and to compare runs."""
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
            "digest": census.digest,
            "mask_size": list(reader.mask_size),
            "readable": len(census.readable),
            "unreadable": len(census.unreadable),
        },
        "seed": config.seed,
        "versions": {"net2vec_pl": net2vec_pl.__version__, "torch": version("torch")},
    }


def _tell_backbone(backbone: FrozenBackbone, protocol: Protocol) -> None:
    filters, h, w = backbone.shape
    _log.info("%s at %s: %d filters, %dx%d", backbone.model, backbone.layer, filters, h, w)
    deviations = protocol.deviations()
    _log.info(
        "protocol %s, tau %g%s",
        protocol.name,
        protocol.tau,
        f"; departs from the paper's code in: {', '.join(deviations)}" if deviations else "",
    )
    _log.info("device %s", device_of(backbone))
