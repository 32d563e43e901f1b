"""From the filters of a layer to units, position by position: frozen, differentiable modules.

Each is made of a plain description and of named tensors, which is how a bank keeps it.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

FILTERS = "filters"
STEPS = 100  # of non-negative least squares


class Units(nn.Module):
    """Filters as they are; the others extend this.

    Args:
        plain: ``name`` and what else tells these units from others; plain JSON.
        tensors: By name, float32.
    """

    words = "filters"
    signed: ClassVar[bool | None] = None  # whether values fall below zero; None: as filters do

    def __init__(
        self, plain: Mapping[str, Any] | None = None, tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.plain: dict[str, Any] = dict(plain or {"name": FILTERS})
        for name, value in (tensors or {}).items():
            self.register_buffer(name, value.detach().float().contiguous())

    @property
    def are_filters(self) -> bool:
        """Whether nothing is done to the filters."""
        return bool(self.plain["name"] == FILTERS)

    @property
    def filters(self) -> int | None:
        """K, the number of filters that are taken; None if any number is."""
        return None

    def number(self, filters: int) -> int:
        """Return U, how many units so many filters give."""
        return filters

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N U h w"]:
        """Return the units at every position."""
        return activation

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What is kept of it in a file, on the CPU."""
        return {name: value.cpu() for name, value in self.state_dict().items()}

    @cached_property
    def header(self) -> dict[str, Any]:
        """Plain description and digest of the tensors, for the header of a bank."""
        digest = blake2b(json.dumps(self.plain, sort_keys=True).encode(), digest_size=8)
        for name, value in sorted(self.tensors.items()):
            digest.update(name.encode() + value.numpy().tobytes())
        return self.plain | {"digest": digest.hexdigest()}


class Signed(Units):
    """The part of each filter above zero, then the part of each below, turned upwards.

    Shang et al., *Understanding and Improving Convolutional Neural Networks via Concatenated
    Rectified Linear Units*, ICML 2016.
    """

    words = "signed halves of filters"
    signed = False

    def number(self, filters: int) -> int:
        """Return 2K."""
        return 2 * filters

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N U h w"]:
        """Return max(A, 0) of all filters, then max(-A, 0)."""
        return torch.cat([activation, -activation], dim=1).relu()


class Directions(Units):
    """Projections on directions: ``weight`` (U, K), and ``bias`` (U,) if there is one."""

    signed = True
    weight: Tensor

    @property
    def filters(self) -> int | None:
        """K."""
        return self.weight.shape[1]

    def number(self, filters: int) -> int:
        """Return U."""
        return len(self.weight)

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N U h w"]:
        """Return W x + b at every position."""
        projected = _times(self.weight, activation)
        bias: Tensor | None = getattr(self, "bias", None)
        return projected if bias is None else projected + bias[:, None, None]


class Rotation(Directions):
    """Directions at right angles to each other, drawn at random."""

    words = "axes of a random rotation"


class Components(Directions):
    """Principal components: of the activation less its mean."""

    words = "principal components"


class Encoder(Directions):
    """Latents of a sparse autoencoder: what its activation leaves of W x + b.

    ``relu`` leaves what is above zero; ``topk`` of this the ``k`` largest at a position (Gao et
    al., 2024); ``jumprelu`` what is above ``threshold`` (U,) (Rajamanoharan et al., 2024).
    """

    words = "latents"
    signed = False
    threshold: Tensor

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N U h w"]:
        """Return the latents at every position; where the k-th largest is tied, all of the tie."""
        latents = super().forward(activation).relu()
        kind = self.plain["activation"]
        if kind == "topk":
            least = latents.topk(self.plain["k"], dim=1).values[:, -1:]
            return torch.where(latents >= least, latents, 0)
        if kind == "jumprelu":
            return torch.where(latents > self.threshold[:, None, None], latents, 0)
        return latents


class Factors(Units):
    r"""How much of each row of a dictionary an activation holds, none below zero.

    The non-negative z of least :math:`\|x - D'z\|`, by a fixed number of steps of FISTA (Beck &
    Teboulle, 2009), which starts over where it goes uphill (O'Donoghue & Candès, 2015). The steps
    are plain products, so that gradients and ONNX go through. ``dictionary`` is (U, K), each row of
    length 1.
    """

    words = "factors of a non-negative factorisation"
    signed = False
    dictionary: Tensor

    def __init__(
        self, plain: Mapping[str, Any] | None = None, tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__(plain, tensors)
        gram = self.dictionary.double() @ self.dictionary.double().T
        largest = torch.linalg.matrix_norm(gram, 2).clamp(min=1e-30)
        # One step is z - (G z - D x) / largest: its two products, divided once and for all.
        self.register_buffer("_gram", (gram / largest).float(), persistent=False)
        self.register_buffer("_scaled", (self.dictionary / largest).float(), persistent=False)
        self._gram: Tensor
        self._scaled: Tensor

    @property
    def filters(self) -> int | None:
        """K."""
        return self.dictionary.shape[1]

    def number(self, filters: int) -> int:
        """Return U."""
        return len(self.dictionary)

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N U h w"]:
        """Return z at every position."""
        towards = _times(self._scaled, activation)
        found = ahead = torch.zeros_like(towards)
        pace = torch.ones_like(towards[:, :1])
        for _ in range(STEPS):
            before, found = found, (ahead - _times(self._gram, ahead) + towards).relu()
            uphill = ((ahead - found) * (found - before)).sum(1, keepdim=True) > 0
            pace = torch.where(uphill, 1.0, pace)
            last, pace = pace, (1 + (1 + 4 * pace**2) ** 0.5) / 2
            ahead = found + (last - 1) / pace * (found - before)
        return found


def _times(matrix: Float[Tensor, "U K"], maps: Float[Tensor, "N K h w"]) -> Tensor:
    return torch.einsum("uk,nkhw->nuhw", matrix, maps)


# Name -> the module, and the tensors that it needs and may have besides.
_KINDS: Mapping[str, tuple[type[Units], tuple[str, ...], tuple[str, ...]]] = {
    FILTERS: (Units, (), ()),
    "rotation": (Rotation, ("weight",), ()),
    "signed": (Signed, (), ()),
    "pca": (Components, ("weight", "bias"), ()),
    "nmf": (Factors, ("dictionary",), ()),
    "sae": (Encoder, ("weight",), ("bias", "threshold")),
}
NAMES = tuple(_KINDS)


def units_from(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Units:
    """Undo :attr:`Units.header` and :attr:`Units.tensors`.

    Args:
        plain: The description; its digest is left aside.
        tensors: By name.

    Raises:
        ValueError: If the two make no units; says why.
    """
    name = plain.get("name", FILTERS)  # an older bank says nothing of units
    if name not in _KINDS:
        raise ValueError(f"its units are called {name!r}, which is none of {', '.join(NAMES)}")
    kind, needed, allowed = _KINDS[name]
    _check_tensors(name, tensors, needed, allowed)
    if kind is Encoder:
        _check_activation(plain, tensors)
    described = {option: value for option, value in plain.items() if option != "digest"}
    return kind({"name": name} | described, tensors)


def _check_tensors(
    kind: str, tensors: Mapping[str, Tensor], needed: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    for name in needed:
        if name not in tensors:
            raise ValueError(f"its units {kind} have no tensor {name}")
    for name, value in tensors.items():
        dims = 2 if name in ("weight", "dictionary") else 1
        if name not in (*needed, *allowed) or value.dim() != dims or value.dtype != torch.float32:
            raise ValueError(
                f"its units {kind} cannot have a tensor {name} of {value.dtype} and shape "
                f"{tuple(value.shape)}"
            )
    if len({len(value) for value in tensors.values()}) > 1:
        raise ValueError(f"the tensors of its units {kind} are of different lengths")


def _check_activation(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    activation, k, latents = plain.get("activation"), plain.get("k"), len(tensors["weight"])
    if activation not in ("relu", "topk", "jumprelu"):
        raise ValueError(f"the activation of its latents is {activation!r}, which is not known")
    if activation == "topk" and not (type(k) is int and 1 <= k <= latents):
        raise ValueError(f"k of its latents is {k!r}, but must be from 1 to {latents}")
    if activation == "jumprelu" and "threshold" not in tensors:
        raise ValueError("its latents have no threshold")


def told(plain: Mapping[str, Any], number: int) -> str:
    """Say what stands in place of filters; empty where filters do.

    Args:
        plain: From :attr:`Units.plain` or a header; none of an older bank.
        number: U.

    Example:
        >>> told({"name": "pca"}, 16), told({"name": "sae", "file": "sae.safetensors"}, 8192)
        ('16 principal components', '8192 latents of sae.safetensors')
    """
    name = plain.get("name", FILTERS)
    if name == FILTERS:
        return ""
    of = f" of {plain['file']}" if "file" in plain else ""
    return f"{number} {_KINDS[name][0].words}{of}"
