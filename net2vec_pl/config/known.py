"""The options of every group of conf/. What a group does not know is refused, never dropped."""

import inspect
from collections.abc import Iterable, Mapping, Sequence

import pytorch_lightning as pl
from omegaconf import DictConfig

from net2vec_pl.backbones.registry import SHIPPED_NETWORKS
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.protocol import Protocol
from net2vec_pl.units import KINDS

_OPTIONS = (
    "layer", "seed", "seeds", "loader", "fit", "run", "task", "data", "model", "protocol", "cache",
    "trainer", "logger", "callbacks", "target", "analysis", "report", "beside",
    "units",
)  # fmt: skip
_CONCEPTS = ("categories", "names", "min_train", "min_val", "on_error")
_MODEL = ("default_layer", "weights", "scaling", "seed", "_target_", "kwargs")
# By group; where its files differ, by the name of the file.
_PLAIN: Mapping[str, tuple[str, ...]] = {
    "loader": ("batch_size", "workers"),
    "fit": ("pairs_per_chunk", "compile"),
    "run": ("resume", "dir"),
    "callbacks": ("scores", "norms", "checkpoint", "progress"),
    "protocol": tuple(Protocol.__dataclass_fields__),
}  # fmt: skip
_NAMED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "data": {
        "broden": (*_CONCEPTS, "root"),
        "shapes": (*_CONCEPTS, "num_images", "image_size", "seed"),
        "custom": (*_CONCEPTS, "_target_", "kwargs"),
        "coco": (
            *_CONCEPTS,
            "annotations",
            "images",
            "panoptic",
            "val_share",
            "seed",
            "image_size",
            "mask_size",
            "resize",
        ),
    },
    "cache": {"memory": ("max_gib",), "device": ("max_gib",), "disk": ("dir",), "none": ()},
    "units": KINDS,
    "logger": {"csv": (), "tensorboard": (), "wandb": ("project", "mode"), "none": ()},
}
# Arguments of Lightning's Trainer that are not the user's, and what is to be said of them.
_NOT_OF_TRAINER = {
    "max_epochs": "protocol.epochs sets it",
    "precision": "the bank is float32, and the network's precision is protocol.precision",
    "logger": "logger=csv, tensorboard, wandb or none sets it",
    "callbacks": "the group callbacks sets them",
    "default_root_dir": "run.dir sets it",
    "enable_progress_bar": "callbacks.progress sets it",
    "enable_checkpointing": "callbacks.checkpoint sets it",
    "num_sanity_val_steps": "a run always takes 0",
    "enable_model_summary": "a run always takes false",
    "use_distributed_sampler": "a run shares its images itself",
    "plugins": "a run brings its own",
}


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


def check_groups(config: DictConfig) -> None:
    """Refuse what a group of the configuration does not know, such as ``+loader.x=1``.

    Args:
        config: The composed tree of conf/.

    Raises:
        ConfigError: If a group is none, or has an option that nothing would read.
    """
    for group in (*_PLAIN, *_NAMED, "analysis", "model", "trainer"):
        if not isinstance(config[group], DictConfig):
            raise ConfigError(f"{group}={config[group]} must be a group of options.")
    for group, known in _PLAIN.items():
        _check(group, config[group], known)
    for group, by_name in _NAMED.items():
        name = str(config[group].name)
        if name not in by_name and "_target_" in {*config[group]}:
            name = "custom"  # the user's own, under a name of its own
        if name in by_name:  # else the group itself is refused, where it is read
            _check(f"{group}={name}", config[group], ("name", *by_name[name]))
    _check_model(config.model)
    _check_trainer(config.trainer)


def _check(group: str, options: DictConfig, known: Iterable[str]) -> None:
    for name in map(str, options):
        if name not in known:
            raise ConfigError(unknown(f"option of {group}", name, known))


def _check_model(model: DictConfig) -> None:
    if "kwargs" in model and model.name in SHIPPED_NETWORKS:
        raise ConfigError(
            f"model.kwargs: model={model.name} takes no arguments. They are those of your own "
            "network: model=custom model._target_=my_nets.MyNet '+model.kwargs.width=64'."
        )
    _check("model", model, ("name", *_MODEL))


def _check_trainer(trainer: DictConfig) -> None:
    for name, hint in _NOT_OF_TRAINER.items():
        if name in trainer:
            raise ConfigError(f"trainer.{name} cannot be given: {hint}.")
    arguments = inspect.signature(pl.Trainer).parameters
    _check("trainer", trainer, [name for name in arguments if name not in _NOT_OF_TRAINER])
