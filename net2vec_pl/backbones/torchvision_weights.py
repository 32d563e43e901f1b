"""What comes with torchvision's weights: their file, the builder's arguments, the input scaling."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum

from net2vec_pl.backbones.registry import SHIPPED_NETWORKS, SHIPPED_SIZE, is_detector
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.errors import BackboneError

USUAL_SIZE = (224, 224)
# Detectors that were trained with norms that divide by the deviation alone.
_WITHOUT_EPSILON = ("FasterRCNN", "MaskRCNN", "KeypointRCNN", "RetinaNet")


def named_weights(model: str) -> dict[str, WeightsEnum]:
    """Return torchvision's weights of a model by name, ``DEFAULT`` among them; maybe none."""
    try:
        return dict(torchvision.models.get_model_weights(model).__members__)
    except ValueError:
        return {}


def entry_of(model: str, weights: str | None) -> WeightsEnum | None:
    """Find which of torchvision's weights are meant.

    Args:
        model: A model's name.
        weights: The name of weights, or a file that is called as torchvision calls it.

    Returns:
        Their entry in torchvision's tables, or None where the weights are not torchvision's.
    """
    named = named_weights(model)
    if weights is None or weights in named:
        return named.get(weights or "")
    of_file = {file_name(entry): entry for entry in named.values()}
    return of_file.get(Path(weights).name)


def builder_arguments(entry: WeightsEnum) -> dict[str, Any]:
    """Return the arguments with which torchvision builds a network for some weights.

    Only those are named that change what the network computes and that differ from the defaults.
    """
    kind, size = type(entry).__name__, entry.meta.get("min_size")
    if kind == "Inception_V3_Weights":
        return {"transform_input": True, "init_weights": True}
    if kind.startswith("ViT_") and size != USUAL_SIZE:
        return {"image_size": size[0]}
    if kind.startswith(("DeepLabV3", "FCN_")):
        return {"aux_loss": True}
    return {}


def finish(network: nn.Module, entry: WeightsEnum) -> None:
    """Change what torchvision changes in some detectors once they have their weights."""
    kind = type(entry).__name__.removesuffix("_ResNet50_FPN_Weights")
    if kind in _WITHOUT_EPSILON and entry.name == "COCO_V1":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0


def own_scaling(model: str, weights: str | None) -> InputScaling:
    """Return the input scaling that weights were trained with.

    Args:
        model: A model's name.
        weights: Name or file of its weights.

    Returns:
        What torchvision says of its own weights; the usual scaling for all others. Detectors scale
        their input themselves, from 0 to 1.
    """
    if is_detector(model):
        return InputScaling.named("unit")
    if (entry := entry_of(model, weights)) is None:
        return InputScaling.named("torchvision")
    preset = entry.transforms()
    return InputScaling.fitting(preset.mean, preset.std)


def own_size(model: str, weights: str | None) -> tuple[int, int] | None:
    """Return (H, W) of the images that a network is made for, if it says.

    Args:
        model: A model's name.
        weights: Name or file of its weights. Those of classifiers name the size of their crops;
            networks for segmentation and detection take any size.
    """
    if model in SHIPPED_NETWORKS:
        return SHIPPED_SIZE
    entry = entry_of(model, weights)
    sides = getattr(entry.transforms(), "crop_size", None) if entry else None
    return (sides[0], sides[0]) if sides else None


def file_name(entry: WeightsEnum) -> str:
    """Return what torchvision calls the file of some weights."""
    return str(entry.url).rsplit("/", 1)[-1]


def kept_file(entry: WeightsEnum) -> Path:
    """Return where the file of some weights lies once it has been downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file_name(entry)


def fetch(entry: WeightsEnum, model: str) -> Path:
    """Download the file of some weights, unless it is there already.

    Args:
        entry: The weights.
        model: The model's name, for messages.

    Returns:
        The file. A fresh one has been compared with the hash in its name.

    Raises:
        BackboneError: If it cannot be downloaded.
    """
    path = kept_file(entry)
    if path.is_file():
        return path
    name, url = file_name(entry), entry.url
    digest = torch.hub.HASH_REGEX.search(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest and digest.group(1))
    except (URLError, OSError, RuntimeError) as error:
        raise BackboneError(
            f"the {entry.name} weights of {model} could not be downloaded ({error}). Put the file "
            f"{name}, from {url}, into {path.parent}, or give its path: "
            f"model.weights=/path/to/{name}. "
            "model.weights=null probes the network with random weights."
        ) from error
    return path
