"""From configuration to objects: a plain table of names instead of import paths in YAML."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from net2vec_pl.backbones import FrozenBackbone, InputScaling, Precision, build_backbone
from net2vec_pl.backbones.registry import architecture
from net2vec_pl.callbacks import LogEmbeddingNorms, LogScores
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import BrodenReader, ConceptReader, ShapesReader
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.protocol import Protocol
from net2vec_pl.tasks.known import check_groups
from net2vec_pl.tasks.side_by_side import num_cores
from net2vec_pl.tasks.stages import WholeCheckpoints

_log = logging.getLogger(__name__)
_MAX_WORKERS = 8
_OPTIONS = (
    "layer", "seed", "seeds", "loader", "fit", "run", "task", "data", "model", "protocol", "cache",
    "trainer", "logger", "callbacks", "target", "analysis", "report",
)  # fmt: skip
_TARGETS = {
    "segmentation": ("segmentation",),
    "classification": ("classification",),
    "both": ("segmentation", "classification"),
}
_CACHES = ("memory", "device", "disk", "none")
# A rank may wait this long for another, one that builds a cache, say; a dead one ends all at once.
_PATIENCE = timedelta(days=7)
# What Lightning says of things that are so on purpose here.
_EXPECTED = (
    ".*exists and is not empty.*",  # metrics.csv lies in the run folder itself
    ".*smaller than the logging interval.*",
    ".*module\\(s\\) in eval mode.*",  # the frozen backbone
    ".*does not have many workers.*",
    ".*treespec, LeafSpec.*",
    ".*`max_epochs=.*` reached.*",
    ".*sync_dist=True.*",  # values are those of all processes already
    ".*broadcast_buffers.*",  # the new name is not in every version
)


@dataclass(frozen=True)
class Options:
    """The options of the main job that are plain values, checked.

    Args:
        protocol: How to train.
        seed: Seed of the order of images, and of the first bank.
        seeds: How many banks to train side by side, from seeds ``seed``, ``seed + 1`` and on.
        batch_size: Images a batch, over all processes.
        workers: Worker processes of each process.
        min_train: Fewest train images a concept needs.
        min_val: Fewest val images.
        cache: Where the network's answers are kept.
        cache_bytes: The most they may take in memory.
        cache_dir: The folder for them on disk.
        compiled: Whether to compile the pass over the pixels; None leaves it to the device.
        pairs_per_chunk: Pairs at mask resolution at a time; None leaves it to the device.
        targets: What the banks do: ``segmentation``, ``classification``, or both.
        report: Whether to leave a page.
    """

    protocol: Protocol
    seed: int
    seeds: int
    batch_size: int
    workers: int
    min_train: int
    min_val: int
    cache: Literal["memory", "device", "disk", "none"]
    cache_bytes: int
    cache_dir: Path
    compiled: bool | None
    pairs_per_chunk: int | None
    targets: tuple[str, ...]
    report: bool

    @property
    def reads_raw(self) -> bool:
        """Whether anything that segments reads activations besides bits."""
        protocol = self.protocol
        reads = protocol.input != "bits" or protocol.threshold_order == "after"
        return "segmentation" in self.targets and reads


def options_from(config: DictConfig) -> Options:
    """Read and check the options of the main job.

    Raises:
        ConfigError: If one is unknown, of another type or out of range.
    """
    check_options(config)
    chunk = config.fit.pairs_per_chunk
    if config.cache.name not in _CACHES:
        raise ConfigError(unknown("cache", str(config.cache.name), _CACHES))
    if config.target not in _TARGETS:
        raise ConfigError(unknown("target", str(config.target), _TARGETS))
    if config.fit.compile not in ("auto", True, False):
        raise ConfigError(f"fit.compile={config.fit.compile} must be auto, true or false.")
    return Options(
        protocol=protocol_from(config.protocol),
        seed=whole_number("seed", config.seed, 0, 2**32 - 1),
        seeds=whole_number("seeds", config.seeds, 1, 1000),
        batch_size=whole_number("loader.batch_size", config.loader.batch_size, 1),
        workers=workers_from(config.loader.workers),
        min_train=whole_number("data.min_train", config.data.min_train, 1),
        min_val=whole_number("data.min_val", config.data.min_val, 1),
        cache=config.cache.name,
        cache_bytes=_cache_bytes(config.cache),
        cache_dir=Path(str(config.cache.get("dir") or "cache")).absolute(),
        compiled=None if config.fit.compile == "auto" else config.fit.compile,
        pairs_per_chunk=None if chunk == "auto" else whole_number("fit.pairs_per_chunk", chunk, 1),
        targets=_TARGETS[config.target],
        report=config.report,
    )


def quiet_lightning() -> None:
    """Keep Lightning from remarking on what is so on purpose."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _EXPECTED:
        warnings.filterwarnings("ignore", message)


def reader_from(data: DictConfig) -> ConceptReader:
    """Open the dataset of ``data=``.

    Raises:
        ConfigError: If its name is unknown or an argument is missing.
        DataError: If it cannot be opened.
    """
    if data.name == "broden":
        if data.root is None:
            raise ConfigError("data=broden needs data.root=DIR, the folder that holds index.csv.")
        return BrodenReader(data.root)
    if data.name == "shapes":
        return ShapesReader(
            num_images=whole_number("data.num_images", data.num_images, 1),
            image_size=whole_number("data.image_size", data.image_size, 1),
            seed=whole_number("data.seed", data.seed, 0),
        )
    raise ConfigError(unknown("dataset", str(data.name), ["broden", "shapes"]))


def protocol_from(config: DictConfig) -> Protocol:
    """Read and check ``protocol=``."""
    return Protocol.parse(plain(config))


def backbones_from(
    model: DictConfig,
    layer: object,
    protocol: Protocol,
    image_size: tuple[int, int],
    *,
    vectors: bool = False,
) -> list[FrozenBackbone]:
    """Build the network of ``model=`` and freeze it at each of the layers of ``layer=``.

    Args:
        model: The group ``model`` of conf/.
        layer: A name, a list of names, ``all``, or None for the last layer that gives a map.
        protocol: Scaling and precision.
        image_size: (H, W) of the images to come.
        vectors: Whether layers may give vectors.

    Raises:
        ConfigError: If the layers are not names, or one comes twice.
        BackboneError: If network, weights or layer cannot be had.
    """
    names: Sequence[str | None] = name_list("layer", layer) or [None]
    everywhere = names == ["all"]
    options = plain(model)
    scaling = "paper" if protocol.scaling == "paper" else options["scaling"]
    weights = options["weights"]
    backbone = build_backbone(
        name=str(options["name"]),
        image_size=image_size,
        layer=None if everywhere else names[0],
        weights=None if weights is None else str(weights),
        seed=model_seed(model),
        target=options.get("_target_"),
        kwargs=options.get("kwargs"),
        scaling=InputScaling.parse(scaling),
        precision=Precision(protocol.precision),
        vectors=vectors,
    )
    if everywhere:
        return _at_all(backbone)
    backbones = [backbone, *(backbone.at(name) for name in names[1:])]
    paths = [b.module_path for b in backbones]
    for b in backbones:
        if paths.count(b.module_path) > 1:
            raise ConfigError(f"layer={names}: {b.module_path} comes more than once.")
    return backbones


def model_seed(model: DictConfig) -> int:
    """Return ``model.seed``, from which a network's random weights are drawn.

    Raises:
        ConfigError: If it is no whole number.
    """
    return whole_number("model.seed", model.get("seed", 0), 0, 2**32 - 1)


def _at_all(backbone: FrozenBackbone) -> list[FrozenBackbone]:
    backbones = backbone.at_all()
    read = {b.layer for b in backbones}
    if left_out := [name for name in architecture(backbone.model).layers if name not in read]:
        _log.info("layer=all leaves out what gives no activation map: %s", ", ".join(left_out))
    return backbones


def whole_number(name: str, value: object, minimum: int, maximum: int = 2**63 - 1) -> int:
    """Check an option that counts something.

    Raises:
        ConfigError: If it is no whole number, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        limit = f" to {maximum}" if maximum < 2**63 - 1 else ""
        raise ConfigError(f"{name}={value} must be a whole number from {minimum}{limit}.")
    return value


def name_list(name: str, value: object) -> list[str] | None:
    """Read an option that lists names; a single name is a list of one, null is no choice.

    Raises:
        ConfigError: If it is anything else.
    """
    if value is None:
        return None
    if isinstance(value, str | int):
        return [str(value)]
    if not isinstance(value, ListConfig) or not all(isinstance(v, str | int) for v in value):
        raise ConfigError(f"{name}={value} must be a list of names, as in {name}=[one,two].")
    return [str(v) for v in value]


def check_options(config: DictConfig, own: Sequence[str] = ()) -> None:
    """Refuse what Hydra lets pass: options of our own making (+lr=3) and switches that are none.

    Args:
        config: The composed tree of conf/.
        own: Options that the task has besides those of the main job.

    Raises:
        ConfigError: If an option is unknown or a switch is neither true nor false.
    """
    known = (*_OPTIONS, *own)
    for name in map(str, config):
        if name not in known:
            groups = [
                g for g in _OPTIONS if isinstance(config[g], DictConfig) and name in config[g]
            ]
            raise ConfigError(unknown("option", name, [f"{g}.{name}" for g in groups] or known))
    check_groups(config)
    switches = {f"callbacks.{name}": value for name, value in config.callbacks.items()}
    for name, value in (switches | {"report": config.report}).items():
        if not isinstance(value, bool):
            raise ConfigError(f"{name}={value} must be true or false.")


def workers_from(workers: object) -> int:
    """Read ``loader.workers``: a number of processes, or ``auto``: one per core, 8 at most."""
    if workers == "auto":
        return min(num_cores(), _MAX_WORKERS)
    return whole_number("loader.workers", workers, 0)


def _cache_bytes(config: DictConfig) -> int:
    gib = config.get("max_gib", 1)
    if not isinstance(gib, int | float) or isinstance(gib, bool) or gib <= 0:
        raise ConfigError(f"cache.max_gib={gib} must be a number above 0.")
    return int(gib * 2**30)


def callbacks_from(
    config: DictConfig, vocabulary: Vocabulary, folder: Path, *, progress: bool
) -> list[pl.Callback]:
    """Build what ``callbacks=`` switches on; a bar if ``progress`` is to be shown."""
    chosen: list[pl.Callback] = []
    if config.scores:
        chosen.append(LogScores(vocabulary))
    if config.norms:
        chosen.append(LogEmbeddingNorms(vocabulary))
    if config.checkpoint:
        chosen.append(
            ModelCheckpoint(
                folder / "checkpoints",
                "last",
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    if progress:
        chosen.append(RichProgressBar(leave=True, console_kwargs={"stderr": True}))
    return chosen


def trainer_from(
    config: DictConfig,
    epochs: int,
    folder: Path,
    logger: Logger | bool,
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    """Build the Lightning trainer of ``trainer=``.

    Raises:
        ConfigError: If Lightning refuses the arguments.
    """
    progress = any(isinstance(callback, RichProgressBar) for callback in callbacks)
    checkpoint = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    scores = any(isinstance(callback, LogScores) for callback in callbacks)
    arguments = plain(config)
    if not scores:  # nobody would read them
        arguments.setdefault("limit_val_batches", 0)
    if arguments.get("accelerator") == "auto" and torch.backends.mps.is_available():
        arguments["accelerator"] = "cpu"  # scores are float64, which Apple's GPUs lack

    def make() -> pl.Trainer:
        return pl.Trainer(
            **arguments,
            max_epochs=epochs,
            default_root_dir=folder,
            logger=logger,
            callbacks=callbacks,
            enable_progress_bar=progress,
            enable_checkpointing=checkpoint,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            plugins=[WholeCheckpoints()],
        )

    try:
        trainer = make()
        if trainer.world_size > 1:
            if arguments.get("strategy", "auto") not in ("auto", "ddp"):
                raise ValueError("several processes work together by strategy=ddp (trainer=ddp)")
            # The probe exchanges gradients itself, and shares of val images differ in length.
            arguments["strategy"] = DDPStrategy(broadcast_buffers=False, timeout=_PATIENCE)
            trainer = make()
    except (
        TypeError,
        ValueError,
        RuntimeError,
        MisconfigurationException,
    ) as error:
        raise ConfigError(f"trainer={plain(config)}: {error}") from error
    return trainer


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested options as on the command line.

    Example:
        >>> flat({"seed": 0, "protocol": {"lr": 0.1}})
        {'seed': 0, 'protocol.lr': 0.1}
    """
    leaves: dict[str, Any] = {}
    for name, value in options.items():
        nested = isinstance(value, Mapping) and value
        leaves |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return leaves


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolve a configuration into plain dicts, lists, strings and numbers."""
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
