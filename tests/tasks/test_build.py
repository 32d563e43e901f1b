"""From options to objects: each option reaches its own field, and limits are where they say."""

import logging
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import ModelCheckpoint
from support.cli import composed

from net2vec_pl.backbones import InputScaling, Precision
from net2vec_pl.backbones.registry import Architecture
from net2vec_pl.backbones.shapesnet import ShapesNet
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.callbacks import LogEmbeddingNorms, LogScores
from net2vec_pl.data import ShapesReader
from net2vec_pl.data.shapes.vocabulary import VOCABULARY
from net2vec_pl.errors import ConfigError
from net2vec_pl.protocol import Protocol
from net2vec_pl.tasks import build

SIZE = (32, 32)


# -------------------- plain values


def test_the_default_options_are_those_of_conf(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "num_cores", lambda: 3)
    assert build.options_from(composed()) == build.Options(
        protocol=Protocol(),
        seed=0,
        seeds=1,
        batch_size=64,
        workers=3,
        min_train=1,
        min_val=1,
        cache="memory",
        cache_bytes=4 * 1024**3,
        cache_dir=tmp_path / "cache",
        compiled=None,
        pairs_per_chunk=None,
        targets=("segmentation",),
        report=True,
    )


def test_every_option_reaches_its_own_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    given = build.options_from(
        composed(
            "seed=7",
            "seeds=3",
            "loader.batch_size=5",
            "loader.workers=2",
            "data.min_train=4",
            "data.min_val=6",
            "cache=device",
            "cache.max_gib=0.5",
            "fit.compile=true",
            "fit.pairs_per_chunk=9",
            "target=both",
            "report=false",
            "protocol.tau=0.01",
        )
    )
    assert given == build.Options(
        protocol=Protocol(tau=0.01),
        seed=7,
        seeds=3,
        batch_size=5,
        workers=2,
        min_train=4,
        min_val=6,
        cache="device",
        cache_bytes=512 * 1024**2,
        cache_dir=tmp_path / "cache",
        compiled=True,
        pairs_per_chunk=9,
        targets=("segmentation", "classification"),
        report=False,
    )
    on_disk = build.options_from(composed("cache=disk", "cache.dir=mine", "fit.compile=false"))
    assert on_disk.cache == "disk"
    assert on_disk.cache_dir == tmp_path / "mine"
    assert on_disk.compiled is False


@pytest.mark.parametrize(
    ("overrides", "reads"),
    [
        ([], False),
        (["protocol.input=raw"], True),
        (["protocol.input=root"], True),
        (["protocol.threshold_order=after"], True),
        (["protocol.input=raw", "target=both"], True),
        (["protocol.input=raw", "target=classification"], False),
    ],
)
def test_activations_are_read_besides_bits_where_they_are_asked_for(
    overrides: list[str], reads: bool
) -> None:
    assert build.options_from(composed(*overrides)).reads_raw is reads


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("seed", 0, 2**32 - 1),
        ("seeds", 1, 1000),
        ("loader.batch_size", 1, 2**63 - 1),
        ("loader.workers", 0, 2**63 - 1),
        ("data.min_train", 1, 2**63 - 1),
        ("data.min_val", 1, 2**63 - 1),
        ("fit.pairs_per_chunk", 1, 2**63 - 1),
    ],
)
def test_counts_reach_from_their_least_to_their_most(name: str, lowest: int, highest: int) -> None:
    config = composed()
    limit = "" if highest == 2**63 - 1 else f" to {highest}"
    for value in (lowest, highest):
        OmegaConf.update(config, name, value)
        build.options_from(config)
    for wrong in (lowest - 1, highest + 1, True, 2.0):
        OmegaConf.update(config, name, wrong)
        with pytest.raises(ConfigError) as caught:
            build.options_from(config)
        text = f"{name}={wrong} must be a whole number from {lowest}{limit}."
        assert str(caught.value) == text


def test_workers_are_as_many_as_cores_and_no_more_than_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores, workers in ((1, 1), (8, 8), (64, 8)):
        monkeypatch.setattr(build, "num_cores", lambda cores=cores: cores)
        assert build.workers_from("auto") == workers


def test_names_come_as_a_list_or_alone() -> None:
    assert build.name_list("layer", None) is None
    assert build.name_list("layer", "conv1") == ["conv1"]
    assert build.name_list("layer", 7) == ["7"]
    assert build.name_list("layer", OmegaConf.create(["b", 1, "a"])) == ["b", "1", "a"]
    with pytest.raises(ConfigError, match=r"layer=\[0.5\] must be a list of names"):
        build.name_list("layer", OmegaConf.create([0.5]))


def test_an_option_without_its_group_names_the_groups_that_have_it() -> None:
    for option, known in (
        ("+workers=1", "loader.workers"),
        ("+seeed=1", "layer, seed, seeds, loader"),
    ):
        with pytest.raises(ConfigError, match=f"Known: {known}"):
            build.check_options(composed(option))
    config = composed("+mine=1")
    build.check_options(config, own=["mine"])


def test_switches_are_true_or_false() -> None:
    for name in ("report", "callbacks.scores", "callbacks.norms", "callbacks.progress"):
        with pytest.raises(ConfigError, match=rf"^{name}=1 must be true or false\.$"):
            build.check_options(composed(f"{name}=1"))


# -------------------- data and network


def test_pictures_are_drawn_by_their_own_options() -> None:
    data = composed("data.num_images=5", "data.image_size=48", "data.seed=9", "seed=3").data
    reader = build.reader_from(data)
    assert isinstance(reader, ShapesReader)
    assert (len(reader), reader.image_size, reader.seed) == (5, (48, 48), 9)


def test_layers_come_in_the_order_given() -> None:
    model = composed("model=shapesnet").model
    layers = OmegaConf.create(["conv3", "conv1", "conv5"])
    backbones = build.backbones_from(model, layers, Protocol(), SIZE)
    assert [b.layer for b in backbones] == ["conv3", "conv1", "conv5"]
    assert [b.shape[0] for b in backbones] == [64, 32, 128]
    alone = build.backbones_from(model, "conv2", Protocol(), SIZE)
    assert [b.layer for b in alone] == ["conv2"]
    (last,) = build.backbones_from(model, None, Protocol(), SIZE)
    assert last.module_path.startswith("conv5")
    with pytest.raises(ConfigError, match="conv1 comes more than once"):
        build.backbones_from(model, OmegaConf.create(["conv1", "conv2", "conv1"]), Protocol(), SIZE)


def test_all_layers_say_what_they_leave_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = Architecture(layers={"conv1": "conv1", "pool": "pool1", "head": "head"})
    monkeypatch.setattr(build, "architecture", lambda _name: names)
    with caplog.at_level(logging.INFO):
        backbones = build.backbones_from(composed().model, "all", Protocol(), SIZE)
    assert [b.layer for b in backbones] == [f"conv{n}" for n in range(1, 6)]
    assert caplog.messages == ["layer=all leaves out what gives no activation map: pool, head"]


@pytest.mark.parametrize("seed", [0, 3])
def test_random_weights_are_drawn_from_the_seed_of_the_model(seed: int) -> None:
    model = composed("model.weights=null", f"model.seed={seed}", "seed=5").model
    (backbone,) = build.backbones_from(model, "conv1", Protocol(), SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = weights_digest(ShapesNet())
    assert backbone.digest == expected


def test_the_seed_of_a_model_is_a_whole_number_from_zero() -> None:
    assert build.model_seed(OmegaConf.create({"name": "mine"})) == 0
    for seed in (0, 1, 2**32 - 1):
        assert build.model_seed(OmegaConf.create({"seed": seed})) == seed
    for wrong in (-1, 2**32, None, "1"):
        with pytest.raises(ConfigError, match=r"^model.seed=.* from 0 to 4294967295\.$"):
            build.model_seed(OmegaConf.create({"seed": wrong}))


def test_scaling_and_precision_are_the_models_unless_the_protocol_says_otherwise() -> None:
    model = composed("model.scaling=unit").model
    (own,) = build.backbones_from(model, "conv1", Protocol(), SIZE)
    papers = Protocol(scaling="paper", precision="bf16")
    (paper,) = build.backbones_from(model, "conv1", papers, SIZE)
    assert own.scaling == InputScaling.named("unit")
    assert paper.scaling == InputScaling.named("paper")
    assert (own.precision, paper.precision) == (Precision.TF32, Precision.BF16)
    # What was read must be what is named.
    assert own._std.flatten().tolist() == [1, 1, 1]
    assert paper._std.flatten().tolist() == pytest.approx([0.224] * 3)


# -------------------- the trainer


def chosen(folder: Path, **switches: bool) -> list[pl.Callback]:
    off = dict.fromkeys(("scores", "norms", "checkpoint"), False)
    config = OmegaConf.create(off | switches)
    return build.callbacks_from(config, VOCABULARY, folder, progress=False)


def test_each_switch_brings_its_own_callback(tmp_path: Path) -> None:
    assert chosen(tmp_path) == []
    assert [type(c) for c in chosen(tmp_path, scores=True)] == [LogScores]
    assert [type(c) for c in chosen(tmp_path, norms=True)] == [LogEmbeddingNorms]
    (checkpoint,) = chosen(tmp_path, checkpoint=True)
    assert isinstance(checkpoint, ModelCheckpoint)
    assert Path(str(checkpoint.dirpath)) == tmp_path / "checkpoints"
    assert checkpoint.filename == "last"
    assert checkpoint._save_on_train_epoch_end


def trainer(folder: Path, callbacks: list[pl.Callback], **options: object) -> pl.Trainer:
    config = OmegaConf.create({"accelerator": "cpu", "devices": 1} | options)
    return build.trainer_from(config, 3, folder, False, callbacks)


def test_a_trainer_runs_the_epochs_asked_for_and_validates_where_scores_are_read(
    tmp_path: Path,
) -> None:
    scored = trainer(tmp_path, chosen(tmp_path, scores=True))
    assert (scored.max_epochs, scored.limit_val_batches, scored.num_sanity_val_steps) == (3, 1.0, 0)
    assert isinstance(scored.limit_val_batches, float)  # a share: all of them
    assert scored.default_root_dir == str(tmp_path)
    assert trainer(tmp_path, []).limit_val_batches == 0
    assert trainer(tmp_path, [], limit_val_batches=2).limit_val_batches == 2
    assert not trainer(tmp_path, []).checkpoint_callbacks
    assert trainer(tmp_path, chosen(tmp_path, checkpoint=True)).checkpoint_callbacks


def test_apples_gpus_are_not_used_for_they_lack_doubles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert isinstance(trainer(tmp_path, [], accelerator="auto").accelerator, CPUAccelerator)
