"""``bank.safetensors``: a bank, its thresholds, and a JSON header that says what they belong to."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import RunFolderError
from net2vec_pl.probes.bank_check import UNITS, check_bank, of_units, vocabulary_of
from net2vec_pl.protocol import Protocol
from net2vec_pl.runs.files import whole
from net2vec_pl.units import Units, units_from

FORMAT_VERSION = 1
_HEADER = "net2vec_pl"


@dataclass(frozen=True)
class BankFile:
    """What a run learned, free of any run folder.

    Args:
        weight: Row c is the embedding of concept c.
        threshold: T_k of each filter.
        alpha: Weight of the positive pixels of each concept.
        bias: Bias of each concept, if the bank has one.
        vocabulary: The concepts by row.
        header: Model, weights digest, layer, tau, protocol, data digest, input transform; plain
            JSON.
        scale: What each filter's raw activations are divided by; None if the bank reads bits.
        other_seeds: The embeddings of further seeds, if several were trained.
        other_biases: Their biases, if the bank has any.
        units: What stands in place of filters, if anything does.
    """

    weight: Float[Tensor, "C K"]
    threshold: Float[Tensor, "K"]
    alpha: Float[Tensor, "C"]
    bias: Float[Tensor, "C"] | None
    vocabulary: Vocabulary
    header: dict[str, Any]
    scale: Float[Tensor, "K"] | None = None
    other_seeds: Float[Tensor, "S C K"] | None = None
    other_biases: Float[Tensor, "S C"] | None = None
    units: Units = field(default_factory=Units)

    @property
    def segments(self) -> bool:
        """Whether the bank gives masks; else it classifies whole images."""
        return bool(self.header.get("target", "segmentation") == "segmentation")

    @cached_property
    def protocol(self) -> Protocol:
        """How it was learned; options that came after the file was written have their defaults."""
        return Protocol.parse(self.header["protocol"])

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        tensors = {"weight": self.weight, "threshold": self.threshold, "alpha": self.alpha}
        if self.bias is not None:
            tensors["bias"] = self.bias
        for name in ("scale", "other_seeds", "other_biases"):
            value = getattr(self, name)
            if value is not None and len(value):
                tensors[name] = value
        tensors |= {f"{UNITS}{name}": value for name, value in self.units.tensors.items()}
        header = self.header | {
            "format_version": FORMAT_VERSION,
            "vocabulary": self.vocabulary.to_plain(),
        }
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        # Not save_file, which makes files that nobody but their owner can read.
        with whole(path) as part:
            part.write_bytes(safetensors.torch.save(plain, {_HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: str | Path) -> "BankFile":
        """Read a bank.

        Raises:
            RunFolderError: If the file is absent, damaged, no bank, or of a newer format, or lacks
                something that a bank must say.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
            tensors = safetensors.torch.load_file(path)
            header = json.loads(metadata.get(_HEADER, "{}"))
        except (OSError, SafetensorError, ValueError, RecursionError) as error:
            raise RunFolderError(f"bank {path} cannot be read: {error}") from error
        version = header.pop("format_version", None) if isinstance(header, dict) else None
        if type(version) is not int:
            raise RunFolderError(f"{path} is a safetensors file, but not a concept bank.")
        if version > FORMAT_VERSION:
            raise RunFolderError(
                f"bank {path} has format {version}; this version reads up to {FORMAT_VERSION}."
            )
        check_bank(path, header, tensors)
        vocabulary = vocabulary_of(header.pop("vocabulary"))
        return cls(
            weight=tensors["weight"],
            threshold=tensors["threshold"],
            alpha=tensors["alpha"],
            bias=tensors.get("bias"),
            vocabulary=vocabulary,
            header=header,
            scale=tensors.get("scale"),
            other_seeds=tensors.get("other_seeds"),
            other_biases=tensors.get("other_biases"),
            units=units_from(header.get("units", {}), of_units(tensors)),
        )
