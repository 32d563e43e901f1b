"""Whether the network can be built, its weights are there, and its layers can be read."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision

from net2vec_pl.backbones.registry import architecture
from net2vec_pl.backbones.weights import load_weights, weights_digest
from net2vec_pl.config.plan import Plan
from net2vec_pl.doctor.checks import Check, ok, warning
from net2vec_pl.doctor.found import Found

_STAND_IN = (224, 224)


def weights(plan: Plan, found: Found) -> Iterator[Check]:
    """Load the weights, unless they would have to be downloaded."""
    network, name = plan.network.build(), plan.network.name
    given = plan.network.weights
    if given is None:
        yield warning(f"{name} has random weights: model.weights=null")
    elif (absent := _to_download(name, given)) is not None:
        yield warning(absent)
    else:
        load_weights(network, given, model=name, spare_keys=architecture(name).spare_keys)
        yield ok(f"{name} with weights {given}, digest {weights_digest(network)}")


def layers(plan: Plan, found: Found) -> Iterator[Check]:
    """Freeze the network at its layers; their shapes do not depend on weights."""
    size = found.reader.image_size if found.reader else _STAND_IN
    found.backbones = plan.network.with_random_weights().freeze(
        plan.layers, size, vectors="segmentation" not in found.targets
    )
    for backbone in found.backbones:
        filters, h, w = backbone.shape
        yield ok(
            f"layer {backbone.layer} (module {backbone.module_path}): {filters} filters of "
            f"{h} x {w} on images of {size[0]} x {size[1]}"
        )


def _to_download(model: str, weights: str) -> str | None:
    """Return what a run would download, and where to; None if it would not."""
    try:
        named = torchvision.models.get_model_weights(model).__members__
    except ValueError:
        return None
    if weights not in named:
        return None
    url = named[weights].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if file.is_file():
        return None
    size = named[weights].meta.get("_file_size")
    return (
        f"the {weights} weights of {model} are not here; a run downloads {url}"
        + (f" ({size:.0f} MB)" if size else "")
        + f" to {file.parent}. Without a network put the file there, or give model.weights=FILE"
    )
