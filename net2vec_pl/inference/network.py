"""Rebuild the network that a bank belongs to."""

from torch import nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling, Precision, build_backbone
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
    model, transform = header["model"], header["input_transform"]
    scaling = InputScaling.of(transform["name"], transform["mean"], transform["std"])
    size = tuple(transform["image_size"])
    precision = Precision(file.protocol.precision)
    vectors = not file.segments
    if network is not None:
        backbone = FrozenBackbone(
            network,
            header["module_path"],
            scaling,
            size,
            model=model["name"],
            precision=precision,
            vectors=vectors,
        )
    else:
        try:
            backbone = build_backbone(
                name=model["name"],
                image_size=size,
                layer=header["module_path"],
                weights=weights or model["weights"],
                seed=model.get("seed", header["seed"]),  # before model.seed the run's was taken
                target=model.get("_target_"),
                kwargs=model.get("kwargs"),
                scaling=scaling,
                precision=precision,
                vectors=vectors,
            )
        except BackboneError as error:
            raise BackboneError(f"the bank's network cannot be built: {error} {_REMEDY}") from error
    if backbone.digest != header["weights_digest"]:
        given = (
            "the network given has"
            if network is not None
            else f"{weights or model['weights'] or 'random weights'} have"
        )
        raise BackboneError(
            f"the bank was learned on {model['name']} with weights of digest "
            f"{header['weights_digest']}, but {given} {backbone.digest}. {_REMEDY}"
        )
    return backbone
