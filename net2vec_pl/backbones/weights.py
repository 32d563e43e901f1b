"""Load weights (torchvision's by name, a local file, the shipped ones, none) and digest them."""

import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from net2vec_pl.backbones.checkpoints import Found, find_state, nearest
from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.torchvision_weights import fetch, named_weights
from net2vec_pl.backbones.weight_files import read_file
from net2vec_pl.errors import BackboneError, shorten, unknown

SHIPPED = "shipped"
_SHOWN_KEYS = 4
# What only training needs, or what the constructor works out: neither must fit.
_NEVER_NEEDED = re.compile(
    r"(^|\.)(num_batches_tracked|n_averaged|queue|queue_ptr|mask_token|relative_position_index"
    r"|relative_coords_table|attn_mask|position_ids)$"
)
_MISSHAPEN = re.compile(r"size mismatch for (\S+):")
_log = logging.getLogger(__name__)


def load_weights(
    network: nn.Module,
    weights: str | None,
    *,
    model: str,
    adapt: Callable[[Any], Any] | None = None,
) -> Leftover:
    """Fill a network in place, as far as the weights fit.

    Args:
        network: The network.
        weights: ``shipped`` for weights inside this package; the name of one of torchvision's
            weights of this model (``DEFAULT``, ``IMAGENET1K_V1`` ...), which may be downloaded; a
            local file, see :func:`~net2vec_pl.backbones.weight_files.read_file`; or None to keep
            the random ones.
        model: The model's name, for torchvision and for messages.
        adapt: Brings a state dict to the network as the library that built it does. It may raise
            anything, and is left out where fewer entries fit with it.

    Returns:
        What did not fit. Whoever reads a layer must ask it whether that layer can do without.

    Raises:
        BackboneError: If the weights cannot be found, read or downloaded, if none of them fits, or
            if they are whole numbers where the network has real ones.
    """
    if weights is None:
        return Leftover()
    what, own = f"weights {weights!r}", network.state_dict()
    content = _content(weights, model)
    found = find_state(content, own)
    if adapt:
        found = _adapted(found, content, own, adapt)
    if not found.tensors:
        raise BackboneError(f"model.weights={weights} holds no state dict.")
    if not found.fitting:
        raise BackboneError(f"{what} do not match {model}. {_foreign(found, own)}")
    _refuse_whole_numbers(found, own, what, model)
    missing, extra, misshapen = _fill(network, found, what, model)
    _log_source(what, found)
    missing = _really_missing(network, missing)
    return Leftover(
        what + (f" (read without {found.prefix!r})" if found.prefix else ""),
        model,
        absent={
            # Looking for the nearest takes a while, and no message shows more than a few.
            name: _with_nearest(name, own[name], found, extra) if at < _SHOWN_KEYS else name
            for at, name in enumerate(missing)
        },
        misshapen={
            name: _of_another_shape(name, own[name], found.entries[name]) for name in misshapen
        },
        extra=tuple(name for name in extra if not _NEVER_NEEDED.search(name)),
    )


def _adapted(
    found: Found, content: Any, own: Mapping[str, Any], adapt: Callable[[Any], Any]
) -> Found:
    """Return what is found in a checkpoint once a library has changed it, unless less fits then."""
    readings = []
    for prefix, state in ((found.prefix, found.tensors), ("", content)):
        with suppress(Exception):  # of a filter that is made for other files
            other = find_state(adapt(state), own)
            readings.append(replace(other, prefix=prefix + other.prefix))
    best = max([*readings, found], key=lambda reading: reading.fitting)  # of equals, the first
    if best.fitting > found.fitting:
        _log.info("the network's library changes weights so that they fit")
    return best


def _content(weights: str, model: str) -> Any:
    """Read the file that weights stand for."""
    named = named_weights(model)
    if weights == SHIPPED:
        with as_file(files("net2vec_pl.backbones") / f"{model}.safetensors") as path:
            if not path.is_file():
                raise BackboneError(f"model.weights={weights}: no weights of {model} are shipped.")
            return read_file(path)
    if weights in named:
        return read_file(fetch(named[weights], model))
    path = Path(weights).expanduser()
    if path.exists() or "/" in weights or "." in weights:
        return read_file(path)
    if not named:
        raise BackboneError(
            f"model.weights={weights}: {model} has no named weights. Give a local .pth or "
            ".safetensors file, or model.weights=null for random ones."
        )
    raise BackboneError(
        unknown(f"weights of {model}", weights, named)
        + " A local .pth or .safetensors file does too."
    )


def _foreign(found: Found, own: Mapping[str, Any]) -> str:
    """Say what was tried with a file of which nothing fits, and what may belong to what."""
    tried = " or ".join(["as it stands", *(f"without {prefix!r}" for prefix in found.tried)])
    wanted = [
        _with_nearest(name, own[name], found, found.tensors)
        for name in [*own][:_SHOWN_KEYS]
        if isinstance(own[name], Tensor)
    ]
    return (
        f"None of its {len(found.tensors)} tensors has a name and a shape of the network's, "
        f"{tried}; absent: {', '.join(wanted)}; "
        f"not in the network: {shorten(found.tensors, _SHOWN_KEYS)}."
    )


def _with_nearest(name: str, value: Any, found: Found, names: Iterable[str]) -> str:
    """Name an entry of the network, with the one of the file that may be meant."""
    tensors = found.tensors
    near = nearest(name, value, {other: tensors[other] for other in names if other in tensors})
    if near == name:
        return _of_another_shape(name, value, tensors[near])
    return f"{name} (the file has {near})" if near else name


def _of_another_shape(name: str, value: Tensor, given: Tensor) -> str:
    return f"{name} is {tuple(given.shape)}, not {tuple(value.shape)}"


def _refuse_whole_numbers(found: Found, own: Mapping[str, Any], what: str, model: str) -> None:
    """Refuse whole numbers in place of real ones, which torch would convert without a word."""
    whole = [
        f"{name} is {value.dtype}"
        for name, value in found.tensors.items()
        if isinstance(of_network := own.get(name), Tensor)
        and of_network.is_floating_point()
        and not (value.is_floating_point() or value.is_complex())
    ]
    if whole:
        raise BackboneError(
            f"{what} are quantised, but {model} takes real numbers: {shorten(whole, _SHOWN_KEYS)}."
        )


def _fill(
    network: nn.Module, found: Found, what: str, model: str
) -> tuple[list[str], list[str], list[str]]:
    """Let the network load what fits, and return what is missing, too much, and of another shape.

    What is missing or too much is for the network's own ``load_state_dict`` to say.
    """
    state = OrderedDict(found.entries)
    state._metadata = OrderedDict(found.metadata)  # type: ignore[attr-defined]
    misshapen: list[str] = []
    try:
        try:
            result = network.load_state_dict(state, strict=False)
        except RuntimeError as error:
            misshapen = [n for n in _MISSHAPEN.findall(str(error)) if n in state]
            if not misshapen:
                raise
            for name in misshapen:
                del state[name]
            result = network.load_state_dict(state, strict=False)
    except Exception as error:  # the network's own code may raise anything
        text = " ".join(str(error).split())
        raise BackboneError(f"{what} cannot be loaded into {model}: {text}") from error
    missing, extra = map(list, result or ((), ()))  # some networks return nothing
    return [name for name in missing if name not in misshapen], extra, misshapen


def _really_missing(network: nn.Module, missing: Iterable[str]) -> list[str]:
    """Leave out what need not be in a file: what shares its memory with what was loaded, too."""
    state, names = network.state_dict(), {*missing}
    loaded = {_memory(value) for name, value in state.items() if name not in names}
    return [
        name for name in missing
        if name in state
        and not _NEVER_NEEDED.search(name)
        and (_memory(state[name]) is None or _memory(state[name]) not in loaded)
    ]  # fmt: skip


def _memory(value: Any) -> int | None:
    """Return where a tensor lies; None for anything else, and for tensors without memory."""
    plain = isinstance(value, Tensor) and not is_lazy(value)
    return (value.data_ptr() or None) if plain else None


def _log_source(what: str, found: Found) -> None:
    if found.prefix or found.unwrapped:
        rivals = f"; {shorten(found.rivals)} would fit as well" if found.rivals else ""
        stripped = f"{found.prefix!r} stripped" if found.prefix else "names of wrappers left out"
        _log.info("%s: %s, %d entries fit%s", what, stripped, found.fitting, rivals)


def weights_digest(network: nn.Module) -> str:
    """Digest names, shapes and values of all parameters and buffers, however they were stored.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        for part in _parts(name, value):
            digest.update(part)
    return digest.hexdigest()[:32]


def _parts(name: str, value: Any) -> Iterator[bytes | memoryview]:
    """Yield what the digest is of: an entry may also hold several tensors, or none."""
    if isinstance(value, Tensor):
        yield f"{name}{tuple(value.shape)}{value.dtype}".encode()
        plain = value.dequantize() if value.is_quantized else value
        yield plain.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    elif isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from _parts(f"{name}.{key}", part)
    else:
        yield f"{name}{value!r}".encode()
