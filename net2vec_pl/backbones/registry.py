"""Networks by name, with the layer names papers use.

Every torchvision model of images can be built by its name; the ones registered here also know the
paper's names for their layers. Any other ``torch.nn.Module`` is built from its import path.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torchvision
from torch import nn

from net2vec_pl.backbones.shapesnet import ShapesNet
from net2vec_pl.backbones.shapesvit import ShapesViT
from net2vec_pl.errors import BackboneError, unknown


@dataclass(frozen=True)
class Architecture:
    """What is known of a network by name.

    Args:
        layers: Paper name -> module path, in order of depth; outputs are read after the ReLU where
            the network has a module for it. ``layer=all`` reads them all.
        kwargs: Further arguments for the builder.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)


_VGG16_CONVS = {
    "conv1_1": 1, "conv1_2": 3, "conv2_1": 6, "conv2_2": 8,
    "conv3_1": 11, "conv3_2": 13, "conv3_3": 15, "conv4_1": 18, "conv4_2": 20, "conv4_3": 22,
    "conv5_1": 25, "conv5_2": 27, "conv5_3": 29,
}  # fmt: skip
_ALEXNET_CONVS = {"conv1": 1, "conv2": 4, "conv3": 7, "conv4": 9, "conv5": 11}
_INCEPTIONS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
# The ends of the stages in table 2 of Sandler et al., MobileNetV2, and the convolution behind them.
_MOBILENET_V2 = (1, 3, 6, 10, 13, 16, 17, 18)
_RESNET = Architecture(layers={"conv1": "relu"} | {f"layer{n}": f"layer{n}" for n in range(1, 5)})

ARCHITECTURES: dict[str, Architecture] = {
    "shapesnet": Architecture(layers={f"conv{n}": f"conv{n}" for n in range(1, 6)}),
    "shapesvit": Architecture(
        layers={f"block.{n}": f"blocks.{n}" for n in range(4)} | {"norm": "norm"}
    ),
    "alexnet": Architecture(
        layers={name: f"features.{at}" for name, at in _ALEXNET_CONVS.items()}
        | {"fc6": "classifier.2", "fc7": "classifier.5", "fc8": "classifier.6"}
    ),
    "vgg16": Architecture(
        layers={name: f"features.{at}" for name, at in _VGG16_CONVS.items()}
        | {"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6"}
    ),
    "googlenet": Architecture(
        layers={"conv1": "conv1", "conv2": "conv2", "conv3": "conv3"}
        | {f"inception_{n}": f"inception{n}" for n in _INCEPTIONS},
        # torchvision's weights expect the input in [-1, 1]; the network converts it from the usual
        # scaling.
        kwargs={"aux_logits": False, "transform_input": True, "init_weights": True},
    ),
    "resnet18": _RESNET,
    "resnet50": _RESNET,
    "resnet152": _RESNET,
    "mobilenet_v2": Architecture(layers={f"features.{n}": f"features.{n}" for n in _MOBILENET_V2}),
    "densenet161": Architecture(
        layers={"conv1": "features.relu0"}
        | {f"denseblock{n}": f"features.denseblock{n}" for n in range(1, 5)}
        | {"norm5": "features.norm5"}
    ),
}  # fmt: skip

SHIPPED_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "shapesnet": ShapesNet,
    "shapesvit": ShapesViT,
}
SHIPPED_SIZE = (96, 96)  # of the images that they were trained on


# Networks with a backbone inside, for which torchvision has weights of their own.
_DENSE = {
    module: frozenset(torchvision.models.list_models(module=module))
    for module in (torchvision.models.segmentation, torchvision.models.detection)
}


def known_models() -> list[str]:
    """Return the registered names, then every other model of torchvision that takes images.

    Those are its models for classification, then for segmentation, then for detection.
    """
    modules = [torchvision.models, *_DENSE]
    others = [name for module in modules for name in torchvision.models.list_models(module=module)]
    return [*ARCHITECTURES, *(name for name in others if name not in ARCHITECTURES)]


def architecture(name: str) -> Architecture:
    """Return what is known of a model; layers of unregistered models go by module path."""
    return ARCHITECTURES.get(name, Architecture())


def is_detector(name: str) -> bool:
    """Return whether a model is one of torchvision's for detection, which scale their input."""
    return name in _DENSE[torchvision.models.detection]


def build_network(
    name: str,
    kwargs: Mapping[str, Any] | None = None,
    image_size: tuple[int, int] = (800, 1333),
) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: A registered name or a torchvision model.
        kwargs: Further arguments for torchvision's builder, such as those that come with weights.
        image_size: (H, W) of the images to come, for detectors would enlarge them; by default they
            do.

    Raises:
        BackboneError: If no model has this name; near names are listed.
    """
    if name in SHIPPED_NETWORKS:
        return SHIPPED_NETWORKS[name]()
    known = known_models()
    if name not in known:
        raise BackboneError(unknown("model", name, known))
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, **{**_arguments(name, image_size), **(kwargs or {})}
    )
    return network


def _arguments(name: str, image_size: tuple[int, int]) -> Mapping[str, Any]:
    """Return arguments with which a model is built without a download, for images as they come."""
    if not any(name in names for names in _DENSE.values()):
        return architecture(name).kwargs
    bare = {"weights_backbone": None}
    if not is_detector(name) or name.startswith("ssd"):  # which have a size of their own
        return bare
    return {**bare, "min_size": min(image_size), "max_size": max(image_size)}


def build_custom(target: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """Build any ``torch.nn.Module`` from the import path of what makes it.

    Args:
        target: A class or a function, ``package.module.Name``, or a method of a class,
            ``package.module.Name.from_pretrained``.
        kwargs: Arguments of the call.

    Raises:
        BackboneError: If the path leads nowhere, the call fails or its result is no module.
    """
    make = _import(target)
    try:
        network = make(**kwargs)
    except Exception as error:  # whatever the user's own code may raise
        raise BackboneError(
            f"model._target_={target}, model.kwargs={dict(kwargs)}: {error}"
        ) from error
    if not isinstance(network, nn.Module):
        raise BackboneError(
            f"model._target_={target} gives a {type(network).__name__}, not a torch.nn.Module."
        )
    return network


def _import(target: str) -> Callable[..., Any]:
    """Import a class, a function, or a method of a class."""
    path, _, name = target.rpartition(".")
    if not path:
        raise BackboneError(f"model._target_={target} must be an import path, package.module.Name.")
    try:
        owner = importlib.import_module(path)
    except ImportError as error:
        module, _, kind = path.rpartition(".")
        found = sys.modules.get(module)  # has been imported on the way, if there is one
        if found is None or (hasattr(found, "__path__") and not hasattr(found, kind)):
            raise BackboneError(
                f"model._target_={target}: cannot import {path!r} ({error})."
            ) from error
        owner = _member(found, module, kind)
    member: Callable[..., Any] = _member(owner, path, name)
    return member


def _member(owner: Any, path: str, name: str) -> Any:
    if not hasattr(owner, name):
        names = [n for n in vars(owner) if callable(getattr(owner, n)) and not n.startswith("_")]
        raise BackboneError(f"model._target_: {unknown(f'name in {path}', name, names)}")
    return getattr(owner, name)
