"""Options that nothing would read are refused, each with what is known instead."""

import inspect

import pytest
import pytorch_lightning as pl
from support.cli import composed

from net2vec_pl.config.known import check_groups
from net2vec_pl.errors import ConfigError

# What decides how long a bank is trained, and so what its header says.
EPOCHS = "a run takes protocol.epochs whole epochs"
OF_A_RUN = {
    "max_epochs": "protocol.epochs sets it",
    "min_epochs": EPOCHS,
    "max_steps": EPOCHS,
    "min_steps": EPOCHS,
    "max_time": f"{EPOCHS}, and the bank says so. A run that is stopped (Ctrl-C, or `timeout "
    "-s INT 8h python train.py ...`) goes on with run.resume=FOLDER",
    "limit_train_batches": EPOCHS,
    "overfit_batches": EPOCHS,
    "fast_dev_run": "for a short try take protocol.epochs=1",
    "limit_val_batches": "scores are of all val images",
    "val_check_interval": "scores are logged at the end of epochs",
    "log_every_n_steps": "scores are logged at the end of epochs",
    "limit_test_batches": "a run has no test images",
    "limit_predict_batches": "task=predict reads all images",
    "accumulate_grad_batches": "every concept takes steps of its own, after "
    "protocol.reference_batch_size of its images",
    "gradient_clip_val": "every concept takes steps of its own, which Lightning cannot clip; "
    "protocol.lr makes them smaller",
    "gradient_clip_algorithm": "every concept takes steps of its own",
    "precision": "the bank is float32, and the network's precision is protocol.precision",
    "logger": "logger=csv, tensorboard, wandb or none sets it",
    "callbacks": "the group callbacks sets them",
    "default_root_dir": "run.dir sets it",
    "enable_progress_bar": "callbacks.progress sets it",
    "enable_checkpointing": "callbacks.checkpoint sets it",
    "enable_autolog_hparams": "logger=none logs nothing",
    "model_registry": "Bank.push_to_hub publishes a bank",
    "barebones": "logger=none and the group callbacks",
    "profiler": "its report would reach no file",
    "num_sanity_val_steps": "a run always takes 0",
    "enable_model_summary": "a run always takes false",
    "use_distributed_sampler": "a run shares its images itself",
    "reload_dataloaders_every_n_epochs": "a run orders the images of every epoch itself",
    "sync_batchnorm": "the network is frozen",
    "plugins": "a run brings its own",
}
OF_THE_USER = (
    "accelerator", "strategy", "devices", "num_nodes", "check_val_every_n_epoch", "deterministic",
    "benchmark", "inference_mode", "detect_anomaly",
)  # fmt: skip


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_groups(composed(*overrides))
    return str(caught.value)


def test_arguments_of_the_trainer_that_a_run_sets_are_refused_with_where_to_set_them() -> None:
    config = composed()
    for name, hint in OF_A_RUN.items():
        config.trainer = {name: 1}
        with pytest.raises(ConfigError) as caught:
            check_groups(config)
        assert str(caught.value).startswith(f"trainer.{name} cannot be given: {hint}")
    config.trainer = {"max_epoch": 1, "devices": 1}
    with pytest.raises(ConfigError) as caught:
        check_groups(config)
    text = str(caught.value)
    assert text.startswith("unknown option of trainer 'max_epoch'.")
    assert not [name for name in OF_A_RUN if f"'{name}'" in text or f" {name}," in text]


def test_every_argument_of_lightnings_trainer_is_either_passed_on_or_refused() -> None:
    assert {*inspect.signature(pl.Trainer).parameters} <= {*OF_A_RUN, *OF_THE_USER}
    config = composed()
    config.trainer = dict.fromkeys(OF_THE_USER, 1)
    check_groups(config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+loader.x=1"], "unknown option of loader 'x'. Known: batch_size, workers."),
        (
            ["+fit.x=1"],
            "unknown option of fit 'x'. Known: pairs_per_chunk, compile.",
        ),
        (["+run.x=1"], "unknown option of run 'x'. Known: resume, dir."),
        (
            ["+callbacks.x=1"],
            "unknown option of callbacks 'x'. Known: scores, norms, checkpoint, progress.",
        ),
        (
            ["cache=disk", "+cache.max_gib=1"],
            "unknown option of cache=disk 'max_gib'. Known: name, dir.",
        ),
        (
            ["cache=none", "+cache.max_gib=1"],
            "unknown option of cache=none 'max_gib'. Known: name.",
        ),
        (["+cache.seed=1"], "unknown option of cache=memory 'seed'. Known: name, max_gib."),
        (
            ["logger=wandb", "+logger.seed=1"],
            "unknown option of logger=wandb 'seed'. Known: name, project, mode.",
        ),
        (
            ["+data.root=x"],
            "unknown option of data=shapes 'root'. Known: name, categories, names, min_train, "
            "min_val, on_error, scan, group, num_images, image_size, seed.",
        ),
        (
            ["data=broden", "+data.seed=1"],
            "unknown option of data=broden 'seed'. Known: name, categories, names, min_train, "
            "min_val, on_error, scan, group, root, download, mirrors, digest.",
        ),
        (
            ["+model.x=1"],
            "unknown option of model 'x'. Known: name, default_layer, weights, scaling, seed, "
            "_target_, kwargs.",
        ),
        (
            ["+model.kwargs.width=3"],
            "model.kwargs: model=shapesnet takes no arguments. They are those of your own "
            "network: model=custom model._target_=my_nets.MyNet '+model.kwargs.width=64'.",
        ),
        (
            ["model=shapesvit", "+model.kwargs.width=3"],
            "model.kwargs: model=shapesvit takes no arguments. They are those of your own "
            "network: model=custom model._target_=my_nets.MyNet '+model.kwargs.width=64'.",
        ),
    ],
)
def test_an_option_that_nothing_reads_is_refused(overrides: list[str], message: str) -> None:
    assert refusal(*overrides) == message


@pytest.mark.parametrize("group", ["loader", "fit", "data", "cache", "model", "trainer"])
def test_a_value_in_place_of_a_group_is_refused(group: str) -> None:
    config = composed()
    config[group] = 3
    with pytest.raises(ConfigError) as caught:
        check_groups(config)
    assert str(caught.value) == f"{group}=3 must be a group of options."


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data=broden", "cache=device", "logger=wandb", "+trainer.benchmark=true"],
        ["model=custom", "model._target_=a.B", "+model.kwargs.width=3", "cache=disk"],
        ["model=resnet18", "+model.kwargs.num_classes=3"],
    ],
)
def test_what_is_known_passes(overrides: list[str]) -> None:
    check_groups(composed(*overrides))


def test_an_unknown_name_of_a_group_is_left_to_what_reads_it() -> None:
    config = composed()
    config.cache.name = "memroy"
    check_groups(config)
