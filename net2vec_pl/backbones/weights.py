"""Load weights (torchvision's by name, a local file, the shipped ones, none) and digest them."""

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.error import URLError

import safetensors.torch
import torch
import torchvision
from safetensors import SafetensorError
from torch import Tensor, nn

from net2vec_pl.errors import BackboneError, shorten, unknown

SHIPPED = "shipped"
_SHOWN_KEYS = 4


def load_weights(
    network: nn.Module, weights: str | None, *, model: str, spare_keys: tuple[str, ...] = ()
) -> None:
    """Fill a network in place.

    Args:
        network: The network.
        weights: A local ``.pth``, ``.pt`` or ``.safetensors`` file; ``shipped`` for weights inside
            this package; the name of one of torchvision's weights of this model (``DEFAULT``,
            ``IMAGENET1K_V1`` ...), which may be downloaded; or None to keep the random ones.
        model: The model's name, for torchvision and for messages.
        spare_keys: Prefixes of entries that may be ignored.

    Raises:
        BackboneError: If the weights cannot be found, read or downloaded, or belong to another
            network.
    """
    if weights is None:
        return
    if weights == SHIPPED:
        with as_file(files("net2vec_pl.backbones") / f"{model}.safetensors") as path:
            state = read_state_dict(path)
    elif "/" in weights or Path(weights).suffix in (".pth", ".pt", ".safetensors", ".ckpt", ".bin"):
        state = read_state_dict(Path(weights).expanduser())
    else:
        state = _torchvision_state(model, weights)
    state = {
        key: value for key, value in state.items() if not key.startswith(spare_keys or ("\0",))
    }
    _fill(network, state, f"weights {weights!r}", model)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict, also one stored under ``state_dict`` or with a ``module.`` prefix.

    Pickles are read with ``weights_only=True``: no code in the file runs.

    Raises:
        BackboneError: If the file is absent, damaged or holds no state dict.
    """
    if not path.is_file():
        raise BackboneError(f"model.weights={path}: no such file.")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError) as error:
        raise BackboneError(f"model.weights={path} cannot be read: {error}") from error
    except Exception as error:  # pickle.UnpicklingError and whatever a damaged pickle raises
        raise BackboneError(
            f"model.weights={path} is not a plain state dict (it is loaded with weights_only=True, "
            f"so that no code in it runs): {str(error).splitlines()[0]}"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    entries = content.items() if isinstance(content, Mapping) else ()
    state = {re.sub(r"^module\.", "", k): v for k, v in entries if isinstance(v, Tensor)}
    if not state:
        raise BackboneError(f"model.weights={path} holds no state dict.")
    return state


def _torchvision_state(model: str, weights: str) -> dict[str, Tensor]:
    try:
        enum = torchvision.models.get_model_weights(model)
    except ValueError as error:
        raise BackboneError(
            f"model.weights={weights}: {model} has no named weights. Give a local .pth or "
            ".safetensors file, or model.weights=null for random ones."
        ) from error
    if weights not in enum.__members__:
        raise BackboneError(
            unknown(f"weights of {model}", weights, enum.__members__)
            + " A local .pth or .safetensors file does too."
        )
    entry = enum[weights]
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        name = entry.url.rsplit("/", 1)[-1]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise BackboneError(
            f"the {weights} weights of {model} could not be downloaded ({error}). Put the file "
            f"{name}, from {entry.url}, into {folder}, or give its path: "
            f"model.weights=/path/to/{name}. "
            "model.weights=null probes the network with random weights."
        ) from error
    return state


def _fill(network: nn.Module, state: Mapping[str, Tensor], what: str, model: str) -> None:
    own = network.state_dict()
    # num_batches_tracked says nothing about what a frozen network computes; old files lack it.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    shapes = [
        f"{k} is {tuple(state[k].shape)}, not {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    if missing or extra or shapes:
        parts = [
            f"{label}: {shorten(keys, _SHOWN_KEYS)}"
            for label, keys in (
                ("absent", missing),
                ("not in the network", extra),
                ("of another shape", shapes),
            )
            if keys
        ]
        raise BackboneError(f"{what} do not match {model}. {'; '.join(parts)}.")
    network.load_state_dict({k: state.get(k, v) for k, v in own.items()})


def weights_digest(network: nn.Module) -> str:
    """Digest names, shapes and values of all parameters and buffers, however they were stored.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
