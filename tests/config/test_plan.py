"""From options to objects: each option reaches its own field, and limits are where they say."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from support.cli import composed

from net2vec_pl.backbones import FrozenBackbone, InputScaling, Precision
from net2vec_pl.backbones.shapesnet import ShapesNet
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.config import values
from net2vec_pl.config.known import check_options
from net2vec_pl.config.plan import Plan
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline.options import ConceptChoice, FitCallbacks, RunOptions
from net2vec_pl.protocol import Protocol

SIZE = (32, 32)


# -------------------- plain values


def test_the_default_options_are_those_of_conf(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(values, "num_cores", lambda: 3)
    assert Plan(composed()).options == RunOptions(
        protocol=Protocol(),
        seed=0,
        seeds=1,
        batch_size=64,
        workers=3,
        cache="memory",
        cache_bytes=4 * 1024**3,
        cache_dir=tmp_path / "cache",
        compiled=None,
        pairs_per_chunk=None,
        targets=("segmentation",),
        report=True,
        callbacks=FitCallbacks(),
        trainer={"accelerator": "auto", "devices": 1},
        beside=("mean_difference", "lda"),
    )
    assert Plan(composed()).concepts == ConceptChoice()


def test_every_option_reaches_its_own_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Plan(
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
            "data.categories=[object]",
            'data.names=["*tree*"]',
            "data.on_error=skip",
            "callbacks.norms=false",
            "trainer=cpu",
            "trainer.devices=2",
            "beside=[pattern,lda,lda]",
        )
    )
    assert given.options == RunOptions(
        protocol=Protocol(tau=0.01),
        seed=7,
        seeds=3,
        batch_size=5,
        workers=2,
        cache="device",
        cache_bytes=512 * 1024**2,
        cache_dir=tmp_path / "cache",
        compiled=True,
        pairs_per_chunk=9,
        targets=("segmentation", "classification"),
        report=False,
        callbacks=FitCallbacks(norms=False),
        trainer={"accelerator": "cpu", "devices": 2},
        beside=("pattern", "lda"),
    )
    assert given.concepts == ConceptChoice(["object"], ["*tree*"], min_train=4, min_val=6)
    assert given.on_error == "skip"
    on_disk = Plan(composed("cache=disk", "cache.dir=mine", "fit.compile=false")).options
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
    assert Plan(composed(*overrides)).options.reads_raw is reads


@pytest.mark.parametrize(
    ("overrides", "reads"),
    [
        ([], "root"),
        (["beside=[]"], ""),
        (["protocol=lda", "beside=[]"], "root"),
        (["protocol=lda", "protocol.input=bits"], "bits"),
        (["protocol.input=raw"], "raw"),
        (["protocol.bias=true", "protocol.calibrate=halves", "beside=[]"], "bits"),
        (["target=classification"], ""),
    ],
)
def test_sums_are_of_what_closed_forms_read(overrides: list[str], reads: str) -> None:
    assert Plan(composed(*overrides)).options.sums_of == reads


def read(config: DictConfig) -> None:
    plan = Plan(config)
    assert plan.options
    assert plan.concepts


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
        read(config)
    for wrong in (lowest - 1, highest + 1, True, 2.0):
        OmegaConf.update(config, name, wrong)
        with pytest.raises(ConfigError) as caught:
            read(config)
        text = f"{name}={wrong} must be a whole number from {lowest}{limit}."
        assert str(caught.value) == text


def test_workers_are_as_many_as_cores_and_no_more_than_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores, workers in ((1, 1), (8, 8), (64, 8)):
        monkeypatch.setattr(values, "num_cores", lambda cores=cores: cores)
        assert values.workers_from("auto") == workers


def test_names_come_as_a_list_or_alone() -> None:
    assert values.name_list("layer", None) is None
    assert values.name_list("layer", "conv1") == ["conv1"]
    assert values.name_list("layer", 7) == ["7"]
    assert values.name_list("layer", OmegaConf.create(["b", 1, "a"])) == ["b", "1", "a"]
    with pytest.raises(ConfigError, match=r"layer=\[0.5\] must be a list of names"):
        values.name_list("layer", OmegaConf.create([0.5]))


def test_an_option_without_its_group_names_the_groups_that_have_it() -> None:
    for option, known in (
        ("+workers=1", "loader.workers"),
        ("+seeed=1", "layer, seed, seeds, loader"),
    ):
        with pytest.raises(ConfigError, match=f"Known: {known}"):
            check_options(composed(option))
    config = composed("+mine=1")
    check_options(config, own=["mine"])


def test_switches_are_true_or_false() -> None:
    for name in ("report", "callbacks.scores", "callbacks.norms", "callbacks.progress"):
        with pytest.raises(ConfigError, match=rf"^{name}=1 must be true or false\.$"):
            check_options(composed(f"{name}=1"))


# -------------------- data and network


def test_pictures_are_drawn_by_their_own_options() -> None:
    given = composed("data.num_images=5", "data.image_size=48", "data.seed=9", "seed=3")
    reader = Plan(given).reader
    assert isinstance(reader, ShapesReader)
    assert (len(reader), reader.image_size, reader.seed) == (5, (48, 48), 9)


@pytest.mark.parametrize("seed", [0, 3])
def test_random_weights_are_drawn_from_the_seed_of_the_model(seed: int) -> None:
    plan = Plan(composed("model.weights=null", f"model.seed={seed}", "seed=5", "layer=conv1"))
    (backbone,) = plan.network.freeze(plan.layers, SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = weights_digest(ShapesNet())
    assert backbone.digest == expected


def test_the_seed_of_a_model_is_a_whole_number_from_zero() -> None:
    config = composed()
    del config.model.seed
    assert Plan(config).network.seed == 0
    for seed in (0, 1, 2**32 - 1):
        config.model = {"name": "mine", "seed": seed}
        assert Plan(config).network.seed == seed
    for wrong in (-1, 2**32, None, "1"):
        config.model = {"name": "mine", "seed": wrong}
        with pytest.raises(ConfigError, match=r"^model.seed=.* from 0 to 4294967295\.$"):
            assert Plan(config).network


def test_scaling_and_precision_are_the_models_unless_the_protocol_says_otherwise() -> None:
    given = ["model.scaling=unit", "layer=conv1", "data.num_images=5"]
    (own,) = backbones_of(*given)
    (paper,) = backbones_of(*given, "protocol.scaling=paper", "protocol.precision=bf16")
    assert own.scaling == InputScaling.named("unit")
    assert paper.scaling == InputScaling.named("paper")
    assert (own.precision, paper.precision) == (Precision.TF32, Precision.BF16)
    # What was read must be what is named.
    assert own._std.flatten().tolist() == [1, 1, 1]
    assert paper._std.flatten().tolist() == pytest.approx([0.224] * 3)


def backbones_of(*overrides: str) -> list[FrozenBackbone]:
    plan = Plan(composed(*overrides))
    return plan.subject.frozen(plan.options)
