"""What libraries call the classes of their networks."""

import pytest
import torch

from net2vec_pl.backbones.class_names import class_names, imagenet_offsets
from net2vec_pl.backbones.frozen import FrozenBackbone
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.studies.causal_head import classes_of


def test_torchvision_names_classes_of_as_many_as_its_weights_have() -> None:
    names = class_names("resnet18", 1000)
    assert names is not None
    assert (names[0], names[817], names[999]) == ("tench", "sports car", "toilet tissue")
    assert class_names("resnet18", 7) is None
    assert class_names("UseNetwork", 1000) is None


def test_timm_names_those_of_imagenet_and_where_wordnet_has_them() -> None:
    pytest.importorskip("timm")
    names = class_names("timm/vit_tiny_patch16_224", 1000)
    assert names is not None
    assert names[0] == "tench"
    offsets = imagenet_offsets(names)
    assert offsets is not None
    assert offsets[0] == 1440764
    assert imagenet_offsets(["cat", "dog"]) is None


def tiny(**labels: object) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", **labels
    )
    network: torch.nn.Module = transformers.ResNetForImageClassification(config)
    return network


def test_a_network_of_hugging_face_carries_the_names_of_its_classes() -> None:
    named = tiny(id2label={0: "sports car, sport car", 1: "street", 2: "sky"})
    assert class_names("ResNetForImageClassification", 3, named) == ["sports car", "street", "sky"]
    assert class_names("ResNetForImageClassification", 4, named) is None
    assert class_names("ResNetForImageClassification", 3, tiny(num_labels=3)) is None  # LABEL_0


def test_the_causal_question_reads_them_off_the_networks_answer() -> None:
    network = tiny(id2label={0: "car", 1: "street"})
    backbone = FrozenBackbone(network, None, InputScaling.named("unit"), (64, 64))
    assert classes_of(backbone, numbered=False) == ["car", "street"]
