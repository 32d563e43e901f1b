"""The main job: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor

import net2vec_pl
from net2vec_pl.activations import count_single_filters, fill_cache, find_thresholds
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import (
    Census,
    ConceptDataModule,
    ConceptReader,
    Selection,
    select_concepts,
    take_census,
)
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import BankFile, ConceptBank, SingleFilterBaseline, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.report import (
    BankScores,
    LastWords,
    concept_table,
    filter_table,
    print_summary,
    write_csv,
)
from net2vec_pl.tasks import build
from net2vec_pl.tasks.folder import prepare_folder, tell_backbone, tell_data
from net2vec_pl.tasks.progress import Progress
from net2vec_pl.training import SegmentationProbe, score_bank

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """What every step of the job needs."""

    protocol: Protocol
    seed: int
    reader: ConceptReader
    backbone: FrozenBackbone
    census: Census
    selection: Selection
    stream: ConceptDataModule
    progress: Progress
    cache_bytes: int


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
    build.quiet_lightning()
    setup = _set_up(config, folder)
    with build.logger_for(config, folder) as logger:
        callbacks = build.callbacks_from(config.callbacks, setup.selection.vocabulary, folder)
        trainer = build.trainer_from(config.trainer, setup.protocol, folder, logger, callbacks)
        setup.backbone.to(trainer.strategy.root_device)
        _log.info("device %s", trainer.strategy.root_device)
        thresholds = _thresholds(setup)
        setup = _with_cache(setup, thresholds)
        baseline = _baseline(setup, thresholds)
        probe = _fit(setup, thresholds, trainer)
        scores = _score(setup, probe)

    _bank_file(setup, probe, config).save(folder / "bank.safetensors")
    concepts = concept_table(setup.selection, baseline, scores)
    write_csv(concepts, folder / "concepts.csv")
    filters = filter_table(thresholds.cpu(), baseline, setup.selection.vocabulary)
    write_csv(filters, folder / "filters.csv")
    print_summary(concepts, folder, LastWords())
    return float(scores.val.nanmean())


def _set_up(config: DictConfig, folder: Path) -> Setup:
    """Open and check everything the user gave, the cheap things first."""
    build.check_options(config)
    protocol = build.protocol_from(config.protocol)
    seed = build.whole_number("seed", config.seed, 0, 2**32 - 1)
    batch_size = build.whole_number("loader.batch_size", config.loader.batch_size, 1)
    workers = build.workers_from(config.loader.workers)
    min_train = build.whole_number("data.min_train", config.data.min_train, 1)
    min_val = build.whole_number("data.min_val", config.data.min_val, 1)
    cache_bytes = build.cache_bytes(config.cache)
    prepare_folder(folder, config)
    build.trainer_from(config.trainer, protocol, folder, False, [])  # to refuse it before the work
    pl.seed_everything(seed, verbose=False)
    progress = Progress(enabled=config.callbacks.progress)
    data = config.data
    reader = build.reader_from(data)
    backbone = build.backbone_from(config.model, config.layer, protocol, reader.image_size)
    tell_backbone(backbone, protocol)
    on_error = str(data.on_error)
    track = progress("reading images and masks")
    census = take_census(reader, workers=workers, on_error=on_error, track=track)
    selection = select_concepts(
        reader,
        census,
        categories=build.name_list("data.categories", data.categories),
        names=build.name_list("data.names", data.names),
        min_train=min_train,
        min_val=min_val,
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
    return Setup(protocol, seed, reader, backbone, census, selection, stream, progress, cache_bytes)


def _thresholds(setup: Setup) -> Float[Tensor, "K"]:
    stream, protocol = setup.stream, setup.protocol
    rows = stream.train_rows if protocol.threshold_images == "train" else stream.all_rows
    batches = setup.progress("thresholds")(stream.rows_dataloader(rows))
    return find_thresholds(setup.backbone, batches, len(rows), protocol.tau)


def _with_cache(setup: Setup, thresholds: Float[Tensor, "K"]) -> Setup:
    """Keep the layer's bits if that is wanted and they fit; what follows then reads those."""
    if setup.cache_bytes == 0:
        return setup
    rows = np.concatenate(list(setup.stream.pair_rows.values()))
    batches = setup.progress("bits")(setup.stream.rows_dataloader(rows))
    cache = fill_cache(setup.backbone, thresholds, batches, len(rows), setup.cache_bytes)
    return setup if cache is None else replace(setup, stream=setup.stream.from_source(cache))


def _baseline(setup: Setup, thresholds: Float[Tensor, "K"]) -> SingleFilterBaseline:
    cells = BilinearCells(
        setup.backbone.shape[1:],
        setup.reader.mask_size,
        align_corners=setup.protocol.align_corners,
    )
    num_concepts = len(setup.selection.vocabulary)
    scores = {}
    for split, rows in setup.stream.pair_rows.items():
        loader = setup.stream.rows_dataloader(rows)
        batches = setup.progress(f"single filters, {split}")(loader)
        counts = count_single_filters(setup.backbone, thresholds, batches, num_concepts, cells)
        scores[split] = counts.set_iou().cpu()
    return SingleFilterBaseline(**scores)


def _fit(setup: Setup, thresholds: Float[Tensor, "K"], trainer: pl.Trainer) -> SegmentationProbe:
    numbers = setup.selection.vocabulary.numbers.tolist()
    rows = initial_rows(numbers, setup.backbone.shape[0], setup.seed)
    probe = SegmentationProbe(
        setup.backbone,
        thresholds,
        ConceptBank(rows, bias=setup.protocol.bias),
        torch.tensor([entry.alpha for entry in setup.selection.probed]),
        setup.reader.mask_size,
        setup.protocol,
    )
    try:
        trainer.fit(probe, datamodule=setup.stream)
    except SystemExit as stop:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from stop
    return probe.to(trainer.strategy.root_device)  # Lightning may leave it on the CPU


def _score(setup: Setup, probe: SegmentationProbe) -> BankScores:
    scored = {}
    for split, rows in setup.stream.pair_rows.items():
        batches = setup.progress(f"scores, {split}")(setup.stream.rows_dataloader(rows))
        scored[split] = score_bank(probe, batches)
    norm = probe.bank.weight.detach().norm(dim=1).cpu()
    return BankScores(scored["train"][0], scored["val"][0], scored["val"][1], norm)


def _bank_file(setup: Setup, probe: SegmentationProbe, config: DictConfig) -> BankFile:
    bias = probe.bank.bias
    return BankFile(
        weight=probe.bank.weight.detach().cpu(),
        threshold=probe.thresholds.cpu(),
        alpha=probe.alpha.cpu(),
        bias=None if bias is None else bias.detach().cpu(),
        vocabulary=setup.selection.vocabulary,
        header=_header(setup, config),
    )


def _header(setup: Setup, config: DictConfig) -> dict[str, Any]:
    """Say what a bank belongs to: enough to rebuild its backbone and to compare runs."""
    backbone, protocol, reader = setup.backbone, setup.protocol, setup.reader
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
        "seed": setup.seed,
        "versions": {"net2vec_pl": net2vec_pl.__version__, "torch": version("torch")},
    }
