"""Rebuild the network that a bank belongs to."""

from typing import Any

from torch import nn

from net2vec_pl.backbones import (
    LIVE,
    FrozenBackbone,
    InputScaling,
    Precision,
    build_backbone,
    copied,
)
from net2vec_pl.errors import BackboneError
from net2vec_pl.probes import BankFile

_REMEDY = "Where its weights are another file now: weights=FILE."


def network_of(
    file: BankFile, weights: str | None = None, network: nn.Module | None = None
) -> FrozenBackbone:
    """Build the network of a bank, fill it, freeze it at the bank's layer, and check its weights.

    Args:
        file: The bank.
        weights: A weights file, where the one that the bank names has moved.
        network: The network itself; else it is built as the run built it.

    Raises:
        BackboneError: If the network cannot be built, or its weights are not the bank's.
    """
    header = file.header
    name, size = header["model"]["name"], tuple(header["input_transform"]["image_size"])
    options: dict[str, Any] = {
        "scaling": _scaling(file),
        "image_size": size,
        "layer": header["module_path"],
        "precision": Precision(file.protocol.precision),
        "vectors": not file.segments,
    }
    if network is not None:
        backbone = FrozenBackbone(copied(network), model=name, **options)
    else:
        backbone = _built(file, weights, options)
    _check_weights(file, backbone, weights, given=network is not None)
    return backbone.with_units(file.units)


def _scaling(file: BankFile) -> InputScaling:
    transform = file.header["input_transform"]
    return InputScaling.of(transform["name"], transform["mean"], transform["std"])


def _built(file: BankFile, weights: str | None, options: dict[str, Any]) -> FrozenBackbone:
    """Build the network as the run built it."""
    model = file.header["model"]
    if model["weights"] == LIVE and weights is None:
        raise BackboneError(
            f"the bank was learned on a live network of class {model['_target_']}, which no file "
            "describes. Give the network itself, with its weights: network=..."
        )
    try:
        return build_backbone(
            name=model["name"],
            weights=weights or model["weights"],
            # Before there was model.seed, the seed of the run was taken.
            seed=model.get("seed", file.header["seed"]),
            target=model.get("_target_"),
            # As the run built it, also where other arguments go with these weights today.
            kwargs=model.get("kwargs", {}),
            **options,
        )
    except BackboneError as error:
        raise BackboneError(f"the bank's network cannot be built: {error} {_REMEDY}") from error


def _check_weights(
    file: BankFile, backbone: FrozenBackbone, weights: str | None, *, given: bool
) -> None:
    model, digest = file.header["model"], file.header["weights_digest"]
    if backbone.digest == digest:
        return
    named = f"{weights or model['weights'] or 'random weights'} have"
    raise BackboneError(
        f"the bank was learned on {model['name']} with weights of digest {digest}, but "
        f"{'the network given has' if given else named} {backbone.digest}. {_REMEDY}"
    )
