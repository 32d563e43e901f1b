"""A bank in the forms that other tools load: a layer of PyTorch, captum's CAVs, NumPy and CSV.

The network of a bank, its thresholds and the bank as one ONNX model: see
:mod:`net2vec_pl.inference.onnx_model`.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from net2vec_pl.errors import ConfigError
from net2vec_pl.functional.inputs import inverse_scale
from net2vec_pl.probes import BankFile
from net2vec_pl.probes.bank_check import UNITS
from net2vec_pl.runs.files import whole
from net2vec_pl.units import told

if TYPE_CHECKING:
    from captum.concept import CAV


def to_conv2d(file: BankFile, rows: Sequence[int]) -> nn.Conv2d:
    """Return concepts as a 1x1 convolution; see :meth:`~net2vec_pl.inference.Bank.to_conv2d`.

    It takes activation maps (N, K, h, w). Those of a transformer's tokens come from
    :meth:`~net2vec_pl.backbones.FrozenBackbone.lay_out`, or from calling ``bank.backbone``.

    Args:
        file: The bank.
        rows: The concepts wanted, in this order; may be repeated.
    """
    size = (file.weight.shape[1], len(rows), 1)
    empty = nn.Conv2d(*size, bias=file.bias is not None, device="meta")  # draws no random number
    conv = empty.to_empty(device="cpu")
    with torch.no_grad():
        conv.weight.copy_(_directions(file, rows)[:, :, None, None])
        if conv.bias is not None and file.bias is not None:
            conv.bias.copy_(file.bias[rows])
    return conv


def to_cavs(file: BankFile, rows: Sequence[int]) -> "dict[str, CAV]":
    """Return concepts as captum's CAVs; see :meth:`~net2vec_pl.inference.Bank.to_cavs`.

    Args:
        file: The bank.
        rows: The concepts wanted.

    Raises:
        ConfigError: If captum is not installed, or the bank is not over filters.
    """
    try:
        from captum.concept import CAV, Concept
    except ImportError as error:
        raise ConfigError(
            f"CAV objects need captum ({error}): pip install 'net2vec_pl[captum]'."
        ) from error
    if not file.units.are_filters:
        raise ConfigError(
            f"a CAV is a direction over filters, and this bank's are over "
            f"{told(file.units.plain, file.weight.shape[1])}."
        )
    _, height, width = file.header["activation_shape"]
    cavs = {}
    for row, direction in zip(rows, _directions(file, rows), strict=True):
        concept = file.vocabulary[row]
        # TCAV flattens (K, h, w); the mean logit depends on every position alike.
        spread = direction.repeat_interleave(height * width) / (height * width)
        stats = {"weights": spread[None], "classes": [concept.number], "accs": None}
        cavs[concept.name] = CAV(
            [Concept(concept.number, concept.name, None)], file.header["module_path"], stats
        )
    return cavs


def to_numpy(file: BankFile, path: Path) -> None:
    """Write a bank as ``.npz``; see :meth:`~net2vec_pl.inference.Bank.to_numpy`.

    Args:
        file: The bank.
        path: Path of the file; keeps its name whatever it ends in.
    """
    tensors = {name: getattr(file, name) for name in ("weight", "threshold", "bias", "scale")}
    tensors |= {f"{UNITS}{name}": value for name, value in file.units.tensors.items()}
    arrays = {name: value.numpy() for name, value in tensors.items() if value is not None}
    with whole(path) as part, part.open("wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            names=np.array(file.vocabulary.names),
            categories=np.array([c.category for c in file.vocabulary]),
            header=np.array(json.dumps(file.header)),
            **arrays,
        )


def to_csv(file: BankFile, path: Path) -> None:
    """Write a bank as a table; see :meth:`~net2vec_pl.inference.Bank.to_csv`.

    Args:
        file: The bank.
        path: Path of the file.
    """
    filters = [f"filter_{k}" for k in range(file.weight.shape[1])]
    bias = np.empty((len(file.weight), 0)) if file.bias is None else file.bias[:, None].numpy()
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "name", "category", *filters, *["bias"] * bias.shape[1]])
        for concept, *values in zip(file.vocabulary, file.weight.numpy(), bias, strict=True):
            numbers = [str(value) for array in values for value in array]  # exact for float32
            writer.writerow([concept.number, concept.name, concept.category, *numbers])


def _directions(file: BankFile, rows: Sequence[int]) -> Float[Tensor, "c K"]:
    """Return embeddings for unscaled activations, or for bits as they are."""
    weight = file.weight[list(rows)]
    return weight if file.scale is None else weight * inverse_scale(file.scale)
