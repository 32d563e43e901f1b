"""Find the state dict in a checkpoint, and give its entries the names that a network has."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy

# Names that torch's own wrappers put in front of a module's.
_WRAPPERS = {"module", "_orig_mod"}
# Copies beside the network proper: where both fit, the other one is taken.
_COPIES = {
    "student", "ema", "model_ema", "ema_model", "state_dict_ema", "params_ema", "averaged_model",
    "encoder_k", "momentum_encoder", "key_encoder", "target_encoder", "teacher_momentum",
}  # fmt: skip
# Old names of DenseNet's layers, as torchvision's own files have them.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_DEPTH = 4
_EXTRA_STATE = "_extra_state"


@dataclass(frozen=True)
class Found:
    """The part of a checkpoint that fits a network best.

    Args:
        entries: Its entries by the network's names; those the network lacks keep their own names,
            without the prefix.
        metadata: What modules wrote about themselves, by module path: their version, for instance.
        fitting: How many entries have a name and a shape of the network's.
        prefix: What was stripped from the names of the file; nests count, as ``state_dict.``.
        unwrapped: Whether ``module`` and ``_orig_mod`` were left out of names, wherever they stood.
        rivals: Prefixes that would fit as well, as of averaged copies.
        tried: Prefixes that most tensors of the file share; no name fits without them either.
    """

    entries: Mapping[str, Any]
    metadata: Mapping[str, Any]
    fitting: int
    prefix: str
    unwrapped: bool
    rivals: tuple[str, ...]
    tried: tuple[str, ...]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those of the entries that are tensors."""
        return {name: v for name, v in self.entries.items() if isinstance(v, Tensor)}


def find_state(content: Any, own: Mapping[str, Any]) -> Found:
    """Find the state dict of a network in a checkpoint.

    Nested dictionaries are searched, and any prefix is stripped: the one is taken with which most
    entries have a name and a shape of the network's. ``module`` and ``_orig_mod``, which torch's
    wrappers write anywhere, are left out of names where more entries fit without them.

    Args:
        content: What the file holds.
        own: The network's state dict.
    """
    flat = dict(_flatten(content))
    metadata = dict(_flatten_metadata(content))
    readings = [_read_as(flat, metadata, own, rename) for rename in (_same, _unwrapped)]
    return max(readings, key=lambda found: found.fitting)  # as it stands, where both fit


def _flatten(content: Any, nest: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every entry of nested dictionaries by its dotted name."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    for key, value in content.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Mapping) and not key.endswith(_EXTRA_STATE):
            yield from _flatten(value, f"{nest}{key}.", depth + 1)
        else:
            yield nest + key, value


def _flatten_metadata(content: Any, nest: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield what the modules of nested state dicts wrote about themselves, by dotted path."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    yield from ((nest + _dotted(path), told) for path, told in _told(content).items())
    for key, value in content.items():
        if isinstance(key, str):
            yield from _flatten_metadata(value, f"{nest}{key}.", depth + 1)


def _same(name: str) -> str:
    return name


def _unwrapped(name: str) -> str:
    name = _OLD_DENSENET.sub(r"\1\2", name)
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _read_as(
    flat: Mapping[str, Any],
    metadata: Mapping[str, Any],
    own: Mapping[str, Any],
    rename: Callable[[str], str],
) -> Found:
    """Read a checkpoint with all names changed alike, those of the network too."""
    names = {rename(name): name for name in own}
    given = {rename(name): value for name, value in flat.items()}
    fits = _fits_of_prefixes(given, {short: own[name] for short, name in names.items()})
    ranks = {prefix: (-fit, -named, _is_copy(prefix)) for prefix, (fit, named) in fits.items()}
    prefix = min(ranks, key=ranks.__getitem__, default="")  # of equals, the first in the file
    fitting = fits.get(prefix, (0, 0))[0]
    entries = {names.get(name, name): value for name, value in _below(prefix, given)}
    paths = {rename(_dotted(path)): path for path in _told(own)}
    told = _below(prefix, {rename(path): value for path, value in metadata.items()})
    return Found(
        {k: value for k, value in entries.items() if isinstance(value, Tensor) or k in own},
        _told(own) | {paths[path]: value for path, value in told if path in paths},
        fitting,
        prefix,
        rename is _unwrapped,
        tuple(p for p, (fit, _) in fits.items() if p != prefix and fit == fitting > 0),
        tuple(_shared_prefixes(flat)),
    )


def _below(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value


def _fits_of_prefixes(
    given: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    """Count, for each prefix, how many entries fit without it, and how many at least by name."""
    fitting, named = Counter[str](), Counter[str]()
    for name, value in given.items():
        for start in [0, *(dot.end() for dot in re.finditer(r"\.", name))]:
            if (of_network := own.get(name[start:], given)) is not given:
                named[name[:start]] += 1
                fitting[name[:start]] += _is_alike(value, of_network)
    return {prefix: (fitting[prefix], count) for prefix, count in named.items()}


def _is_alike(value: Any, of_network: Any) -> bool:
    """Return whether a value can fill an entry; a lazy one takes any shape."""
    if is_lazy(of_network) or not isinstance(of_network, Tensor):
        return True
    return isinstance(value, Tensor) and value.shape == of_network.shape


def _is_copy(prefix: str) -> bool:
    return any(part in _COPIES for part in prefix.split("."))


def _dotted(path: str) -> str:
    return f"{path}." if path else ""


def _told(state: Any) -> dict[str, Any]:
    return dict(getattr(state, "_metadata", None) or {})


def _shared_prefixes(flat: Mapping[str, Any]) -> list[str]:
    """Return the prefixes that most tensors share, the shortest first."""
    names = [name for name, value in flat.items() if isinstance(value, Tensor)]
    count = Counter(name[: dot.end()] for name in names for dot in re.finditer(r"\.", name))
    return sorted((p for p, shared in count.items() if 2 * shared > len(names)), key=len)


def nearest(name: str, value: Any, given: Mapping[str, Any]) -> str | None:
    """Return the entry of a file that may be the one that a network calls otherwise.

    Args:
        name: The network's name of the entry.
        value: The network's value.
        given: The entries of the file; those of the same shape are preferred.
    """
    alike = [other for other, v in given.items() if _is_alike(v, value)]
    near = difflib.get_close_matches(name, alike or list(given), n=1, cutoff=0.3)
    return near[0] if near else None
