"""Read the encoder of a sparse autoencoder from a safetensors file, in any of a few layouts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from net2vec_pl.errors import ConfigError, shorten
from net2vec_pl.units.transforms import Units, units_from

ACTIVATIONS = ("relu", "topk", "jumprelu")
_Tensors = Mapping[str, Tensor]
_NORMALISED = "none"  # what SAELens calls input that is taken as it is


@dataclass(frozen=True)
class _Found:
    """What a file says; None where it does not.

    Args:
        weight: (U, K).
        bias: (U,).
        centre: The decoder's bias (K,).
        centred: Whether that is taken from the input first.
        activation: One of ``ACTIVATIONS``.
        k: Of ``topk``.
        threshold: Of ``jumprelu``, (U,).
    """

    weight: Tensor
    bias: Tensor | None
    centre: Tensor | None = None
    centred: bool | None = None
    activation: str | None = None
    k: int | None = None
    threshold: Tensor | None = None


def encoder_from(options: Mapping[str, Any], filters: int) -> Units:
    """Return the latents of a sparse autoencoder as units.

    Args:
        options: ``file``, and what the file does not say: ``activation``, ``k``, ``threshold``,
            ``centred``.
        filters: K of the layer.

    Raises:
        ConfigError: If the file cannot be read, is of no known layout, leaves something open that
            no option says, or is of another width.
    """
    path = Path(str(options["file"]))
    tensors = _read(path)
    layout = next((name for name, (fits, _) in _LAYOUTS.items() if fits(tensors)), None)
    if layout is None:
        raise ConfigError(
            f"units.file={path} is of no layout that is known ({', '.join(_LAYOUTS)}): it holds "
            f"{shorten(sorted(tensors), 6)}."
        )
    try:
        found = _LAYOUTS[layout][1](tensors, path)
    except KeyError as error:
        raise ConfigError(f"units.file={path}, read as {layout}, has no tensor {error}.") from error
    _check_shapes(path, found, filters)
    plain = {"name": "sae", "file": path.name, **_activation(path, layout, found, options)}
    made = {"weight": found.weight, "bias": _bias(path, layout, found, options)}
    if plain["activation"] == "jumprelu":
        given, number = options.get("threshold"), len(found.weight)
        own = found.threshold if given is None else torch.full((number,), float(given))
        assert own is not None
        made["threshold"] = own.relu()  # a latent is above zero anyway
    try:
        return units_from(plain, {name: value.float() for name, value in made.items()})
    except ValueError as error:
        raise ConfigError(f"units.file={path}: {error}.") from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        hint = (
            ""
            if path.suffix == ".safetensors"
            else (
                " It must be a safetensors file: safetensors.torch.save_file(state_dict, PATH) "
                "writes one."
            )
        )
        raise ConfigError(f"units.file={path} cannot be read: {error}.{hint}") from error


def _check_shapes(path: Path, found: _Found, filters: int) -> None:
    if found.weight.dim() != 2 or found.weight.shape[1] != filters:
        given = " x ".join(map(str, found.weight.shape))
        raise ConfigError(
            f"units.file={path}: its encoder is {given} (latents x filters), but the layer has "
            f"{filters} filters: it was trained on another layer or network."
        )
    sizes = {"bias": len(found.weight), "centre": filters, "threshold": len(found.weight)}
    for name, size in sizes.items():
        value = getattr(found, name)
        if value is not None and value.shape != (size,):
            raise ConfigError(
                f"units.file={path}: its {name} is of shape {tuple(value.shape)}, not ({size},)."
            )


def _activation(
    path: Path, layout: str, found: _Found, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what follows the linear map: what the file says, else what the options say."""
    k = found.k if options.get("k") is None else options["k"]
    threshold = options.get("threshold") is not None
    asked = options.get("activation") or (
        "topk" if options.get("k") is not None else "jumprelu" if threshold else None
    )
    kind = asked or found.activation
    if found.activation is not None and kind != found.activation:
        raise ConfigError(
            f"units.file={path} says that its activation is {found.activation}, not {kind}: leave "
            "out units.activation, units.k and units.threshold."
        )
    if kind is None:
        raise ConfigError(
            f"units.file={path}, read as {layout}, does not say what follows its linear map. Give "
            "units.activation=relu, units.k=K for the K largest of a position, or "
            "units.threshold=T for what is above T, as of a batch top-k encoder after training."
        )
    if kind == "topk" and k is None:
        raise ConfigError(f"units.file={path} does not say how many latents are kept: units.k=K.")
    if kind == "jumprelu" and not threshold and found.threshold is None:
        raise ConfigError(f"units.file={path} has no threshold: units.threshold=T.")
    return {"activation": kind, **({"k": k} if kind == "topk" else {})}


def _bias(path: Path, layout: str, found: _Found, options: Mapping[str, Any]) -> Tensor:
    """Return the bias of the linear map, with that of the decoder if it comes off the input."""
    bias = torch.zeros(len(found.weight)) if found.bias is None else found.bias.float()
    centred = found.centred if options.get("centred") is None else options["centred"]
    if found.centre is None or not found.centre.any():
        return bias
    if centred is None:
        raise ConfigError(
            f"units.file={path}, read as {layout}, has a bias of the decoder, and does not say "
            "whether it is taken from the input first: units.centred=true or false."
        )
    if not centred:
        return bias
    return (bias.double() - found.weight.double() @ found.centre.double()).float()


# -------------------- layouts


def _saelens(tensors: _Tensors, path: Path) -> _Found:
    """SAELens: ``sae_weights.safetensors`` with ``cfg.json`` beside it."""
    config = _config(path)
    weight, bias = tensors["W_enc"].float().T.contiguous(), tensors.get("b_enc")
    threshold = tensors.get("threshold")
    if "log_threshold" in tensors:  # of older versions
        threshold = tensors["log_threshold"].exp()
    if config.get("rescale_acts_by_decoder_norm"):
        norm = tensors["W_dec"].float().norm(dim=1)
        weight = weight * norm[:, None]
        bias = None if bias is None else bias.float() * norm
    return _Found(
        weight,
        bias,
        tensors.get("b_dec"),
        config.get("apply_b_dec_to_input"),
        _saelens_activation(config, path) or ("jumprelu" if threshold is not None else None),
        config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k"),
        threshold,
    )


def _config(path: Path) -> dict[str, Any]:
    beside = path.with_name("cfg.json")
    if not beside.exists():
        return {}
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"units.file={path}: {beside} cannot be read: {error}.") from error
    found: dict[str, Any] = config if isinstance(config, dict) else {}
    scaled = found.get("normalize_activations", _NORMALISED)
    if scaled not in (_NORMALISED, None, False):
        raise ConfigError(
            f"units.file={path} wants its input normalised ({scaled}), which is not done here. "
            "SAELens folds a constant factor into the weights: "
            "sae.fold_activation_norm_scaling_factor(FACTOR) and save again."
        )
    return found


def _saelens_activation(config: Mapping[str, Any], path: Path) -> str | None:
    if not config:
        return None
    kind = config.get("architecture", "standard")
    if kind == "standard":
        older = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
        kind = {"relu": "relu", "topk": "topk"}.get(str(older), f"standard, {older}")
    if kind not in ACTIVATIONS:
        raise ConfigError(
            f"units.file={path} is a sparse autoencoder of the kind {kind!r}. Read are those of "
            f"one linear map and {', '.join(ACTIVATIONS)}."
        )
    return str(kind)


def _overcomplete(tensors: _Tensors, path: Path) -> _Found:
    """Overcomplete: a linear encoder, with batch normalisation or without."""
    if deeper := [name for name in tensors if name.startswith("encoder.mlp_blocks.")]:
        raise ConfigError(
            f"units.file={path} has an encoder of several layers ({deeper[0]}); those of one "
            "linear map are read."
        )
    at, norm = "encoder.final_block.0.", "encoder.final_block.1."
    if f"{at}weight" not in tensors:
        at = "encoder."
    weight, bias = tensors[f"{at}weight"].float(), tensors.get(f"{at}bias")
    if f"{norm}weight" in tensors:
        weight, bias = _normalised(tensors, norm, path, weight, bias)
    logs = tensors.get("thresholds")
    return _Found(
        weight,
        bias,
        activation=None if logs is None else "jumprelu",
        threshold=None if logs is None else logs.float().exp(),
    )


def _normalised(
    tensors: _Tensors, norm: str, path: Path, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Fold batch normalisation into the linear map."""
    if f"{norm}running_var" not in tensors:
        raise ConfigError(
            f"units.file={path} normalises its latents at every position (layer norm), which is "
            "not done here; encoders with batch norm or none are read."
        )
    scale = (
        tensors[f"{norm}weight"].double() / (tensors[f"{norm}running_var"].double() + 1e-5).sqrt()
    )
    before = 0 if bias is None else bias.double()
    shift = (before - tensors[f"{norm}running_mean"].double()) * scale
    return (weight.double() * scale[:, None]).float(), (
        shift + tensors[f"{norm}bias"].double()
    ).float()


def _linear(tensors: _Tensors, path: Path) -> _Found:
    """Two layers of PyTorch; ``k`` and ``threshold`` as dictionary_learning keeps them."""
    k, threshold = tensors.get("k"), tensors.get("threshold")
    weight = tensors["encoder.weight"]
    known = threshold is not None and bool(threshold.min() >= 0)  # -1: never set
    # With both it may be a top-k encoder or a batch top-k one, which take one or the other.
    activation = None if known and k is not None else "jumprelu" if known else "topk"
    centre = next((tensors[n] for n in ("b_dec", "bias", "decoder.bias") if n in tensors), None)
    return _Found(
        weight,
        tensors.get("encoder.bias"),
        centre,
        # dictionary_learning takes it off; an autoencoder of two plain layers may do either.
        True if "b_dec" in tensors or "bias" in tensors else None,
        activation if known or k is not None else None,
        None if k is None else int(k),
        threshold.expand(len(weight)) if known and threshold is not None else None,
    )


# Name -> whether tensors are of the layout, and what they say.
_LAYOUTS: Mapping[str, tuple[Callable[[_Tensors], bool], Callable[[_Tensors, Path], _Found]]] = {
    "SAELens": (lambda tensors: "W_enc" in tensors, _saelens),
    "overcomplete": (lambda tensors: "dictionary._weights" in tensors, _overcomplete),
    "encoder.weight and decoder.weight": (lambda tensors: "encoder.weight" in tensors, _linear),
}
