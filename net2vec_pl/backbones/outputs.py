"""The tensors in what a module returns: one, or some in a tuple, a list, a dict or a dataclass."""

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from net2vec_pl.errors import BackboneError

_HIDDEN = "last_hidden_state"  # what Hugging Face calls the output itself among its company


def tensors_of(output: Any) -> dict[str, Tensor]:
    """Return the tensors of an output by their keys; those of a tuple or list are "0", "1", ….

    Example:
        >>> import torch
        >>> list(tensors_of((torch.zeros(1), None, torch.zeros(2))))
        ['0', '2']
    """
    if isinstance(output, Mapping):
        items = list(output.items())
    elif isinstance(output, tuple | list):
        items = list(enumerate(output))
    elif is_dataclass(output):
        items = [(field.name, getattr(output, field.name)) for field in fields(output)]
    else:
        items = [("", output)]
    return {str(key): value for key, value in items if isinstance(value, Tensor)}


def meant_key(output: Any) -> str | None:
    """Return the key of the tensor that an output is about; None if nothing says which.

    It is the only tensor, Hugging Face's ``last_hidden_state``, or the first of a tuple, whose
    others are its company (attention scores, class tokens). The entries of a list or a dict are
    equals, such as the levels of a pyramid: one has to be named.
    """
    keys = list(tensors_of(output))
    if len(keys) == 1 or (keys and isinstance(output, tuple)):
        return keys[0]
    return _HIDDEN if _HIDDEN in keys else None


def tensor_of(output: Any, key: str) -> Tensor:
    """Return one tensor of an output.

    Args:
        output: What a module returned.
        key: From :func:`tensors_of`.

    Raises:
        BackboneError: If there is no such tensor this time.
    """
    try:
        return tensors_of(output)[key]
    except KeyError as error:
        raise BackboneError(f"a module that gave a tensor {key!r} gives none now.") from error


def with_tensor(output: Any, key: str, tensor: Tensor) -> Any:
    """Return an output with another tensor under one of its keys; the given one is left alone.

    Example:
        >>> import torch
        >>> with_tensor((torch.zeros(1), "company"), "0", torch.ones(1))
        (tensor([1.]), 'company')
    """
    if not key:
        return tensor
    if isinstance(output, Mapping):
        other = copy.copy(output)
        name = next(name for name in output if str(name) == key)
        other[name] = tensor  # type: ignore[index]
        return other
    if isinstance(output, tuple | list):
        items = [tensor if str(i) == key else item for i, item in enumerate(output)]
        named = hasattr(output, "_fields")
        return type(output)(*items) if named else type(output)(items)
    return replace(output, **{key: tensor})
