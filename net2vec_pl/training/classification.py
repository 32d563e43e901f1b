"""Train classifiers of images on the pooled activations of a layer, all concepts at once.

A concept is present with probability f(x) = sigmoid(b + w . p(x)), where p(x) averages each
filter's raw activations over the image. Source: Net2Vec, section 3.3. Concepts learn from their
own balanced draws and step on their own, so each becomes what it would become alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from torchmetrics import MeanMetric

from net2vec_pl import processes
from net2vec_pl.errors import DataError
from net2vec_pl.functional.balanced import BalancedSampler
from net2vec_pl.probes import initial_rows
from net2vec_pl.protocol import ClassificationProtocol

# Of gathered activations: what a processor's cache holds, or enough to fill a GPU.
_FLOATS_AT_ONCE, _ON_DEVICE = 1 << 20, 1 << 26


@dataclass(frozen=True)
class ClassificationBank:
    """Trained classifiers: G of every concept, NaN where a concept could not be trained.

    Args:
        weight: w of each; 0 at the filters it may not use.
        bias: b of each.
    """

    weight: Float[Tensor, "G C K"]
    bias: Float[Tensor, "G C"]

    def logits(self, pooled: Float[Tensor, "N K"]) -> Iterator[Float[Tensor, "N C"]]:
        """Yield the logits of one of the G classifiers after the other."""
        for weight, bias in zip(self.weight, self.bias, strict=True):
            yield torch.addmm(bias.to(pooled.device), pooled, weight.T.to(pooled.device))


class LeadingRowsSGD(Optimizer):
    """PyTorch's SGD on the leading rows of its parameters; the others keep weight and momentum.

    Args:
        params: Parameters of shape (C, ...).
        lr: Learning rate.
        momentum: In [0, 1).
    """

    def __init__(self, params: Iterator[nn.Parameter], *, lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = {"momentum_buffer": torch.zeros_like(param)}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None, *, rows: int = 0) -> None:  # type: ignore[override]
        """Step the first rows by their gradients.

        Args:
            closure: Called first if given, as every optimiser does.
            rows: How many.
        """
        if closure is not None:
            closure()
        for group in self.param_groups:
            for param in group["params"]:
                buffer = self.state[param]["momentum_buffer"][:rows]
                buffer.mul_(group["momentum"]).add_(param.grad[:rows])
                param[:rows].sub_(buffer, alpha=group["lr"])


class ClassificationProbe(pl.LightningModule):
    """Classifiers of every concept over pooled activations, trained by ``trainer.fit(probe)``.

    Each concept has G of them, which see the same examples and start from the same vector, but may
    use different filters. Concepts are held in falling order of their number of examples: those
    that still have a batch when others are through with their epoch are the leading rows.

    Args:
        pooled: Activations of the train images, averaged over space.
        present: Which of them carries which concept.
        numbers: Label number of each concept; draws and initial vectors follow from them.
        protocol: Optimiser and schedule; its epochs are the trainer's ``max_epochs``.
        seed: Seed of draws and initial vectors.
        layer: Module path of the layer; initial vectors follow from it too.
        mask: The filters that each classifier may use; by default one per concept uses all.
        absent: Which images are known to lack which concept; all that do not carry it if None.

    Raises:
        DataError: If an activation is not finite.
    """

    def __init__(
        self,
        pooled: Float[Tensor, "N K"],
        present: Bool[np.ndarray, "N C"],
        numbers: Sequence[int],
        protocol: ClassificationProtocol,
        *,
        seed: int,
        layer: str = "",
        mask: Bool[Tensor, "G C K"] | None = None,
        absent: Bool[np.ndarray, "N C"] | None = None,
    ) -> None:
        super().__init__()
        _check_finite(pooled)
        self.automatic_optimization = False  # concepts step on their own
        self.protocol = protocol
        lacking = ~present if absent is None else absent
        count = BalancedSampler(present, numbers, seed, lacking).count
        self.order = np.argsort(-count, kind="stable")
        ordered = [numbers[c] for c in self.order]
        flags = present[:, self.order], lacking[:, self.order]
        self.sampler = BalancedSampler(flags[0], ordered, seed, flags[1])
        start = initial_rows(ordered, pooled.shape[1], seed, layer)
        allowed = torch.ones(1, *start.shape, dtype=torch.bool) if mask is None else mask
        allowed = allowed.cpu()[:, self.order].transpose(0, 1).contiguous()
        self.weight = nn.Parameter(start[:, None] * allowed)
        self.bias = nn.Parameter(torch.zeros(allowed.shape[:2]))
        self.register_buffer("pooled", pooled.float(), persistent=False)
        self.register_buffer("mask", None if mask is None else allowed, persistent=False)
        self.pooled: Tensor
        self.mask: Tensor | None
        self.train_loss = MeanMetric(distributed_available_fn=processes.are_several)

    def train_dataloader(self) -> range:
        """Return the steps of an epoch; their examples are drawn when it starts."""
        longest = int(self.sampler.count.max(initial=0))
        return range(-(-longest // self.protocol.batch_size))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return SGD for the concepts that have a batch, and its schedule."""
        optimizer = LeadingRowsSGD(
            self.parameters(), lr=self.protocol.lr, momentum=self.protocol.momentum
        )
        schedule = StepLR(optimizer, self.protocol.lr_step, self.protocol.lr_factor)
        return [optimizer], [schedule]

    def on_train_epoch_start(self) -> None:
        """Draw this epoch's examples; make room for what each step needs."""
        examples = self.sampler.draw(self.current_epoch)
        self.image = torch.from_numpy(examples.image).to(self.device)
        self.positive = torch.from_numpy(examples.positive).to(self.device)
        count = torch.from_numpy(examples.count).to(self.device)
        self.end = count.cumsum(0)
        self.start = self.end - count
        for param in self.parameters():
            param.grad = torch.zeros_like(param)
        per_concept = self.protocol.batch_size * self.pooled.shape[1]
        budget = _FLOATS_AT_ONCE if self.device.type == "cpu" else _ON_DEVICE
        self.chunk = max(1, budget // per_concept)
        self.gathered = self.pooled.new_empty(self.chunk * per_concept)

    @torch.no_grad()
    def training_step(self, batch: int, batch_idx: int) -> None:
        """Step every concept that has a batch of this number in the epoch."""
        active = int((self.sampler.count > batch * self.protocol.batch_size).sum())
        for first in range(0, active, self.chunk):
            self._descend(slice(first, min(active, first + self.chunk)), batch)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step(rows=active)

    def _descend(self, rows: slice, batch: int) -> None:
        """Set the gradients of some concepts' mean loss over their batch."""
        done = batch * self.protocol.batch_size
        width = min(self.protocol.batch_size, int(self.sampler.count[rows.start]) - done)
        first = self.start[rows, None] + done
        place = first + torch.arange(width, device=self.device)
        inside = place < self.end[rows, None]
        place = torch.where(inside, place, first)
        target = self.positive[place].float()[:, :, None]
        pooled = self._gather(self.image[place].flatten()).view(*place.shape, -1)
        logits = torch.baddbmm(self.bias[rows, None], pooled, self.weight[rows].mT)
        share = (inside / inside.sum(1, keepdim=True))[:, :, None]
        error = (logits.sigmoid() - target) * share
        gradient, of_bias = self.weight.grad, self.bias.grad
        assert gradient is not None
        assert of_bias is not None
        torch.bmm(error.mT, pooled, out=gradient[rows])
        if self.mask is not None:
            gradient[rows] *= self.mask[rows]
        of_bias[rows] = error.sum(1)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, target.expand_as(logits), share.expand_as(logits), reduction="none"
        )
        self.train_loss.update(loss.sum(1))

    def _gather(self, images: Tensor) -> Tensor:
        room = self.gathered[: len(images) * self.pooled.shape[1]].view(len(images), -1)
        return torch.index_select(self.pooled, 0, images, out=room)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss over the epoch's batches and move the schedule on."""
        self.log("train/loss", self.train_loss.compute())
        self.train_loss.reset()
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        schedule.step()

    @torch.no_grad()
    def bank(self) -> ClassificationBank:
        """Return the classifiers, on the CPU, in the order in which the concepts were given."""
        place = torch.from_numpy(np.argsort(self.order))
        none = torch.from_numpy(self.sampler.count == 0)[place, None]
        weight = self.weight.cpu()[place].masked_fill(none[:, :, None], torch.nan)
        bias = self.bias.cpu()[place].masked_fill(none, torch.nan)
        return ClassificationBank(weight.transpose(0, 1).contiguous(), bias.T.contiguous())


def _check_finite(pooled: Float[Tensor, "N K"]) -> None:
    bad = int((~pooled.isfinite()).sum())
    if bad:
        raise DataError(
            f"{bad} of {pooled.numel()} pooled activations are not finite: the network overflows, "
            "or an image file is damaged."
        )
