"""What libraries call the classes of their networks."""

import pytest

from net2vec_pl.backbones.class_names import class_names, imagenet_offsets


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
