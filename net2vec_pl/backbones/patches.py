"""What a transformer says of its tokens: how many are no patches, and how large patches are."""

from dataclasses import dataclass
from typing import Any

from torch import nn

# Parameters that hold such tokens: timm, torchvision, Hugging Face, and Meta's own code.
_CLASS = ("cls_token", "class_token", "class_embedding")
_OTHER = (
    "dist_token",
    "distillation_token",
    "reg_token",
    "register_token",
    "register_tokens",
    "storage_tokens",
)


@dataclass(frozen=True)
class Patches:
    """What is known of the tokens of a network.

    Args:
        prefix: Tokens in front of the patches: class, distillation, registers. Blocks may run
            before they join, as in CaiT.
        has_class: Whether the first of them is a class token.
        size: Side of a patch, in pixels; None if the network does not say.
        grid: (h, w) of the patches of the images it is made for; None if it does not say.
    """

    prefix: int = 0
    has_class: bool = False
    size: int | None = None
    grid: tuple[int, int] | None = None


def known_patches(network: nn.Module) -> Patches:
    """Read what a network says of its tokens: from its parameters and its configuration."""
    by_name = {name.rpartition(".")[2]: value for name, value in network.named_parameters()}
    counts = {
        name: by_name[name].numel() // by_name[name].shape[-1]
        for name in (*_CLASS, *_OTHER)
        if name in by_name
    }
    has_class = any(name in counts for name in _CLASS)
    sides = _said(network, "patch_size")
    grid = _said(network, "grid_size")
    return Patches(
        sum(counts.values()),
        has_class,
        max(sides, default=None),
        (grid[0], grid[1]) if len(grid) == 2 else None,
    )


def _said(network: nn.Module, name: str) -> list[int]:
    """Return whole numbers that a module of the network has by a name; the outermost one's."""
    for module in network.modules():
        given: Any = getattr(module, name, None)
        numbers = list(given) if isinstance(given, tuple | list) else [given]
        if all(isinstance(number, int) for number in numbers):
            return numbers
    return []
