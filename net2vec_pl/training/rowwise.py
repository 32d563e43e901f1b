"""Optimisers in which every concept keeps its own time.

Concepts are independent given a frozen layer, and training them together must not change what each
learns. So a concept's row takes a step after a fixed number of its own images, however they fall
into batches and whichever process sees them: the number of steps an epoch, and the images each mean
gradient runs over, are those of training it alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.optim import Optimizer

from net2vec_pl import processes
from net2vec_pl.functional import sum_rows, tally


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


def _flat(gradient: Float[Tensor, "P ..."]) -> Float[Tensor, "P K"]:
    """Make rows of the gradients of every pair, be they vectors or numbers, be there none."""
    return gradient.reshape(len(gradient), gradient.shape[1:].numel())


class RowwiseOptimizer(Optimizer, ABC):
    """An optimiser whose rows step on their own, each after so many of its own images.

    A step takes the mean gradient over the row's images since its last one. Images are those of all
    processes, taken in the order of their numbers.

    Args:
        params: Parameters of shape (R, ...), alike in every process; or groups of them.
        num_rows: R.
        images_per_step: Images of its own that a row waits for (64 in the paper).
        weight_decay: A step first takes this share of the row, times the learning rate: decoupled
            decay (Loshchilov & Hutter, ICLR 2019).
        stepped: Called with the numbers of the rows that have just stepped: a constraint, say.
        options: Options of the update itself.
    """

    def __init__(
        self,
        params: Iterable[Any],
        num_rows: int,
        *,
        images_per_step: int,
        weight_decay: float = 0.0,
        stepped: Callable[[Tensor], None] | None = None,
        **options: float,
    ) -> None:
        shared = {"images_per_step": images_per_step, "weight_decay": weight_decay}
        super().__init__(params, options | shared)
        self._stepped = stepped
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = {
                    "sum": torch.zeros_like(param),
                    "images": torch.zeros(num_rows, dtype=torch.int64, device=param.device),
                    "steps": torch.zeros(num_rows, dtype=torch.int64, device=param.device),
                    **{name: torch.zeros_like(param) for name in self._memories},
                }

    @property
    @abstractmethod
    def _memories(self) -> tuple[str, ...]:
        """What is remembered of each weight."""

    @abstractmethod
    def _change(
        self, group: dict[str, Any], state: dict[str, Tensor], rows: Tensor, mean: Tensor
    ) -> Tensor:
        """Return what is taken from some rows, given their mean gradients."""

    def _items(self) -> list[tuple[dict[str, Any], Tensor, dict[str, Tensor]]]:
        return [(group, p, self.state[p]) for group in self.param_groups for p in group["params"]]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state; PyTorch makes every tensor of it a float, counts too."""
        super().load_state_dict(state_dict)
        for _, _, state in self._items():
            for name in ("images", "steps"):
                state[name] = state[name].long()

    @torch.no_grad()
    def learn(self, gradients: Iterable[Float[Tensor, "P ..."]], row: Int64[Tensor, "P"]) -> None:
        """Take in a batch: add gradients to their rows, and step the rows that fill up.

        A batch in which a row fills up is split at that place, so every process must call this as
        often as the others, if only with no gradients.

        Args:
            gradients: One per parameter: the gradient of every pair of image and row.
            row: The row of each pair.
        """
        gradients = list(gradients)
        group, _, state = self._items()[0]
        num_rows = len(state["images"])
        everywhere = torch.stack(processes.gather(tally(row, num_rows)))
        before = state["images"] + everywhere[: processes.rank()].sum(0)
        turn = (before[row] + occurrence(row)) // group["images_per_step"]
        filled = (state["images"] + everywhere.sum(0)) // group["images_per_step"]
        turns = int(filled.max()) + 1
        slot = turn * num_rows + row
        sums = [
            processes.sum_over(sum_rows(_flat(g), slot, turns * num_rows)).view(
                turns, num_rows, *g.shape[1:]
            )
            for g in gradients
        ]
        images = processes.sum_over(tally(slot, turns * num_rows))
        for t, seen in enumerate(images.view(turns, num_rows)):
            for (_, _, state), total in zip(self._items(), sums, strict=True):
                state["sum"] += total[t]
                state["images"] += seen
            self.step()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, *, flush: bool = False) -> None:  # type: ignore[override]
        """Step the rows that have seen enough images.

        Args:
            closure: Called first if given, as every optimiser does; gradients come through
                :meth:`learn`.
            flush: Step every row that has seen an image at all, as at the end of an epoch.
        """
        if closure is not None:
            closure()
        group, _, state = self._items()[0]
        due = state["images"] >= (1 if flush else group["images_per_step"])
        rows = due.nonzero().flatten()  # once: each time the host waits for a GPU
        for group, param, state in self._items():
            shape = (-1, *[1] * (param.dim() - 1))
            mean = state["sum"][rows] / state["images"][rows].view(shape)
            state["steps"][rows] += 1
            param[rows] *= 1 - group["lr"] * group["weight_decay"]
            param[rows] -= self._change(group, state, rows, mean)
            state["sum"].index_fill_(0, rows, 0)
            state["images"].index_fill_(0, rows, 0)
        if self._stepped is not None:
            self._stepped(rows)


class RowwiseSGD(RowwiseOptimizer):
    """PyTorch's SGD with momentum: ``buffer = momentum * buffer + gradient; row -= lr * buffer``.

    Args:
        params: Parameters of shape (R, ...).
        num_rows: R.
        lr: Learning rate.
        momentum: In [0, 1).
        options: What :class:`RowwiseOptimizer` takes.
    """

    _memories = ("buffer",)

    def __init__(
        self, params: Iterable[Any], num_rows: int, *, lr: float, momentum: float, **options: Any
    ) -> None:
        super().__init__(params, num_rows, lr=lr, momentum=momentum, **options)

    def _change(
        self, group: dict[str, Any], state: dict[str, Tensor], rows: Tensor, mean: Tensor
    ) -> Tensor:
        state["buffer"][rows] = group["momentum"] * state["buffer"][rows] + mean
        change: Tensor = group["lr"] * state["buffer"][rows]
        return change


class RowwiseAdam(RowwiseOptimizer):
    """Kingma & Ba's Adam (ICLR 2015) as PyTorch has it, every row with a step count of its own.

    Args:
        params: Parameters of shape (R, ...).
        num_rows: R.
        lr: Learning rate.
        options: What :class:`RowwiseOptimizer` takes.
    """

    _memories = ("mean", "square")
    _betas, _eps = (0.9, 0.999), 1e-8

    def __init__(self, params: Iterable[Any], num_rows: int, *, lr: float, **options: Any) -> None:
        super().__init__(params, num_rows, lr=lr, **options)

    def _change(
        self, group: dict[str, Any], state: dict[str, Tensor], rows: Tensor, mean: Tensor
    ) -> Tensor:
        moments = []
        steps = state["steps"][rows].view(-1, *[1] * (mean.dim() - 1))
        for name, beta, value in zip(self._memories, self._betas, (mean, mean**2), strict=True):
            state[name][rows] = beta * state[name][rows] + (1 - beta) * value
            moments.append(state[name][rows] / (1 - beta**steps))
        change: Tensor = group["lr"] * moments[0] / (moments[1].sqrt() + self._eps)
        return change
