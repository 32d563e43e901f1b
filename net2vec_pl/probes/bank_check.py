"""What a bank must hold, checked as it is loaded: all who read it later may rely on it.

A header is JSON that anybody may have edited. Fields that older versions did not write are
optional; options of the protocol that came later have their defaults.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.protocol import Protocol
from net2vec_pl.units import units_from

_MEANING = "The file is damaged, was edited, or was not written by a run of net2vec_pl."
UNITS = "units."  # before the names of their tensors
_TARGETS = ("segmentation", "classification")
_LARGEST_SIDE, _LARGEST_SEED = 1 << 16, (1 << 32) - 1


@dataclass(frozen=True)
class _Field:
    """A field of a header.

    Args:
        name: With dots where it lies within a group.
        wanted: What it must be, in words.
        fits: Whether a value is that.
        optional: Whether it may be absent.
    """

    name: str
    wanted: str
    fits: Callable[[Any], bool]
    optional: bool = False


def check_bank(path: object, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Check what a file holds: every field that is read, and whether the tensors fit together.

    Args:
        path: Path of the file, for the message.
        header: As it was read, with its vocabulary.
        tensors: By name.

    Raises:
        RunFolderError: If something is absent, of another type, or fits nothing; the first fault.
    """
    faults = _faults(header, tensors)
    if (fault := next(faults, None)) is not None:
        raise RunFolderError(f"bank {path} cannot be used: {fault}. {_MEANING}")


def _faults(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Say what is wrong; whatever a later check relies on is checked before it."""
    for field in _FIELDS:
        yield from _fault_of(field, header)
    try:
        protocol = Protocol.parse(header["protocol"])
    except (ConfigError, OverflowError) as error:
        yield f"the protocol in its header cannot be read: {str(error).rstrip('.')}"
        return
    yield from _of_vocabulary(header["vocabulary"])
    yield from _of_tensors(header, protocol, tensors)
    yield from _of_units(header, tensors)


def _fault_of(field: _Field, header: Mapping[str, Any]) -> Iterator[str]:
    *groups, last = field.name.split(".")
    at = header
    for group in groups:  # which are fields of their own, and come first
        at = at[group]
    if last in at:
        if not field.fits(at[last]):
            yield f"{field.name} in its header is {_brief(at[last])}, but must be {field.wanted}"
    elif not field.optional:
        yield f"its header has no {field.name}, which must be {field.wanted}"


def _of_vocabulary(rows: list[Any]) -> Iterator[str]:
    for place, row in enumerate(rows):
        name = f"concept {place} of the vocabulary in its header"
        if not isinstance(row, dict):
            yield f"{name} is {_brief(row)}, but must be a group of fields"
            return
        for field in _OF_CONCEPT:
            if field.name not in row:
                yield f"{name} has no {field.name}, which must be {field.wanted}"
            elif not field.fits(row[field.name]):
                yield (
                    f"{field.name} of {name} is {_brief(row[field.name])}, but must be "
                    f"{field.wanted}"
                )
    for key in ("name", "number"):
        if len({row[key] for row in rows}) < len(rows):
            yield f"two concepts of the vocabulary in its header have the same {key}"


def _of_tensors(
    header: Mapping[str, Any], protocol: Protocol, tensors: Mapping[str, Tensor]
) -> Iterator[str]:
    c, k = len(header["vocabulary"]), header["activation_shape"][0]
    shapes = {
        "weight": (c, k),
        "threshold": (k,),
        "alpha": (c,),
        "bias": (c,),
        "scale": (k,),
        "other_seeds": (None, c, k),
        "other_biases": (len(tensors.get("other_seeds", ())), c),
    }
    segments = header.get("target", _TARGETS[0]) == _TARGETS[0]
    needed = {
        "weight": True,
        "threshold": True,
        "alpha": True,
        "bias": protocol.bias or not segments,
        "scale": segments and protocol.input != "bits",
    }
    told = f"of {c} concepts in the vocabulary and {k} filters in activation_shape"
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        wanted = " x ".join("seeds" if side is None else str(side) for side in shape)
        if tensor is None:
            if needed.get(name, False):
                yield f"it has no tensor {name}, which must be {wanted}, {told}"
        elif tensor.dtype != torch.float32:
            yield f"its tensor {name} is of {tensor.dtype}, but must be of torch.float32"
        elif tensor.dim() != len(shape) or any(
            side not in (None, given) for side, given in zip(shape, tensor.shape, strict=True)
        ):
            given = " x ".join(map(str, tensor.shape)) or "a single number"
            yield f"its tensor {name} is {given}, but must be {wanted}, {told}"


def _of_units(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    plain = header.get("units", {})
    try:
        units = units_from(plain, of_units(tensors))
    except ValueError as error:
        yield str(error)
        return
    wanted, k = units.filters, header["activation_shape"][0]
    if wanted is not None and units.number(wanted) != k:
        yield f"its units are {units.number(wanted)}, but activation_shape has {k}"
    if "digest" in plain and plain["digest"] != units.header["digest"]:
        yield "the tensors of its units are not those that its header names"


def of_units(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the units of a bank, by their own names."""
    return {n.removeprefix(UNITS): value for n, value in tensors.items() if n.startswith(UNITS)}


def vocabulary_of(rows: list[dict[str, Any]]) -> Vocabulary:
    """Read a vocabulary that has been checked; fields that are not known are left aside."""
    known = [field.name for field in _OF_CONCEPT]
    return Vocabulary.from_plain({name: row[name] for name in known} for row in rows)


def _brief(value: Any, most: int = 60) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of too many digits
        text = "a number of thousands of digits"
    return text if len(text) <= most else f"{text[:most]}..."


# -------------------- kinds of values


def _is_group(value: Any) -> bool:
    return isinstance(value, dict)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_name_or_null(value: Any) -> bool:
    return value is None or _is_name(value)


def _is_whole(value: Any, least: int, most: int = (1 << 63) - 1) -> bool:
    return type(value) is int and least <= value <= most


def _is_seed(value: Any) -> bool:
    return _is_whole(value, 0, _LARGEST_SEED)


def _is_count(value: Any) -> bool:
    return _is_whole(value, 0)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30  # of float32; false for NaN


def _are_sides(count: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list)
        and len(value) == count
        and all(_is_whole(side, 1, _LARGEST_SIDE) for side in value)
    )


def _are_colours(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_finite, value))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_name, value))


_GROUP, _NAME, _SIDE = "a group of fields", "a name", "whole numbers from 1"
_SEED = f"a whole number from 0 to {_LARGEST_SEED}"
# Groups stand before what lies within them. The options of the protocol that are named here are
# those that the first version had; what they may be is the protocol's own matter.
_FIELDS = (
    _Field("model", _GROUP, _is_group),
    _Field("model.name", _NAME, _is_name),
    _Field("model.weights", "a name or file of weights, or null", _is_name_or_null),
    _Field("model._target_", "an import path, or null", _is_name_or_null, optional=True),
    _Field("model.kwargs", f"{_GROUP}, or null", lambda v: v is None or _is_group(v), True),
    _Field("model.seed", _SEED, _is_seed, optional=True),
    _Field("weights_digest", "the digest of the network's weights", _is_name),
    _Field("layer", _NAME, _is_name),
    _Field("module_path", "the path of a module", _is_name),
    _Field("activation_shape", f"three {_SIDE}: filters, height, width", _are_sides(3)),
    _Field("input_transform", _GROUP, _is_group),
    _Field("input_transform.name", _NAME, _is_name),
    _Field("input_transform.mean", "three numbers", _are_colours),
    _Field(
        "input_transform.std",
        "three numbers above 0",
        lambda value: _are_colours(value) and min(value) > 0,
    ),
    _Field("input_transform.image_size", f"two {_SIDE}: height, width", _are_sides(2)),
    _Field("tau", "a number above 0 and below 1", lambda v: _is_finite(v) and 0 < v < 1),
    _Field("protocol", _GROUP, _is_group),
    *(
        _Field(f"protocol.{name}", "one of the protocol's values", lambda _: True)
        for name in (
            "name", "tau", "threshold_images", "align_corners", "loss", "bias", "lr", "momentum",
            "epochs", "reference_batch_size", "shuffle", "scaling",
        )
    ),
    _Field("deviations", "a list of sentences", _are_names, optional=True),
    _Field("data", _GROUP, _is_group),
    _Field("data.name", _NAME, _is_name),
    _Field("data.digest", "the digest of the data", _is_name),
    _Field("data.mask_size", f"two {_SIDE}: height, width", _are_sides(2)),
    _Field("data.readable", "a number of images", _is_count),
    _Field("data.unreadable", "a number of images", _is_count, optional=True),
    _Field("units", _GROUP, _is_group, optional=True),
    _Field("seed", _SEED, _is_seed),
    _Field("seeds", "a whole number from 1", lambda v: _is_whole(v, 1), optional=True),
    _Field(
        "versions",
        "names of versions by package",
        lambda value: _is_group(value) and all(map(_is_name, value.values())),
    ),
    _Field("versions.net2vec_pl", _NAME, _is_name),
    _Field("target", " or ".join(_TARGETS), lambda value: value in _TARGETS, optional=True),
    _Field("vocabulary", "a list of concepts", lambda value: isinstance(value, list)),
)  # fmt: skip
_OF_CONCEPT = (
    _Field("number", "a whole number from 1", lambda v: _is_whole(v, 1)),
    _Field("name", _NAME, _is_name),
    _Field("category", _NAME, _is_name),
    _Field("categories", "a list of names", _are_names),
    _Field("pixels", "true or false", lambda value: isinstance(value, bool)),
)
assert {field.name for field in _OF_CONCEPT} == set(Concept.__dataclass_fields__)
