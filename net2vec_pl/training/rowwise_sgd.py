"""SGD in which every concept keeps its own time.

Concepts are independent given a frozen layer, and training them together must not change what each
learns. So a concept's row takes a step after a fixed number of its own images, however they fall
into batches: the number of steps an epoch, and the images each mean gradient runs over, are those
of training it alone.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.optim import Optimizer


def occurrence(values: Int64[Tensor, "P"]) -> Int64[Tensor, "P"]:
    """Count, at each place, how often its value has come before.

    Example:
        >>> occurrence(torch.tensor([5, 7, 5, 5, 7])).tolist()
        [0, 0, 1, 2, 1]
    """
    order = values.argsort(stable=True)
    ordered = values[order]
    first = torch.searchsorted(ordered, ordered)
    result = torch.empty_like(values)
    result[order] = torch.arange(len(values), device=values.device) - first
    return result


class RowwiseSGD(Optimizer):
    """SGD with momentum whose rows step on their own, each after so many of its own images.

    The update of a row is PyTorch's: ``buffer = momentum * buffer + gradient; row -= lr * buffer``,
    with the mean gradient over the row's images since its last step.

    Args:
        params: Parameters of shape (C, ...); row c belongs to concept c.
        num_rows: C.
        lr: Learning rate.
        momentum: In [0, 1).
        images_per_step: Images of its own that a row waits for (64 in the paper).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        num_rows: int,
        *,
        lr: float,
        momentum: float,
        images_per_step: int,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "images_per_step": images_per_step}
        )
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = {
                    "sum": torch.zeros_like(param),
                    "buffer": torch.zeros_like(param),
                    "images": torch.zeros(num_rows, dtype=torch.int64, device=param.device),
                }

    def _items(self) -> list[tuple[dict[str, Any], Tensor, dict[str, Tensor]]]:
        return [(group, p, self.state[p]) for group in self.param_groups for p in group["params"]]

    def turns(self, concept: Int64[Tensor, "P"]) -> list[Bool[Tensor, "P"]]:
        """Split the pairs of a batch at the places where their rows step.

        Args:
            concept: The concept of each pair; every pair is one image of its concept.

        Returns:
            Masks over the pairs, to be added one after another with a step after each. There is one
            unless a row fills up within the batch.
        """
        group, _, state = self._items()[0]
        turn = (state["images"][concept] + occurrence(concept)) // group["images_per_step"]
        return [turn == t for t in range(int(turn.max()) + 1 if len(turn) else 0)]

    @torch.no_grad()
    def add(self, gradients: Iterable[Tensor], images: Int64[Tensor, "C"]) -> None:
        """Add gradients summed over images.

        Args:
            gradients: One per parameter, in order.
            images: How many images of each row they come from.
        """
        for (_, _, state), gradient in zip(self._items(), gradients, strict=True):
            state["sum"] += gradient
            state["images"] += images

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, *, flush: bool = False) -> None:  # type: ignore[override]
        """Step the rows that have seen enough images.

        Args:
            closure: Called first if given, as every optimiser does; gradients come through
                :meth:`add`.
            flush: Step every row that has seen an image at all, as at the end of an epoch.
        """
        if closure is not None:
            closure()
        for group, param, state in self._items():
            due = state["images"] >= (1 if flush else group["images_per_step"])
            shape = (-1, *[1] * (param.dim() - 1))
            mean = state["sum"][due] / state["images"][due].view(shape)
            state["buffer"][due] = group["momentum"] * state["buffer"][due] + mean
            param[due] -= group["lr"] * state["buffer"][due]
            state["sum"][due] = 0
            state["images"][due] = 0
