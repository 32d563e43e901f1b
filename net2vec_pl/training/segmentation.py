"""Train a bank of concept embeddings to segment, all concepts at once, over a frozen layer.

For each pair of an image and a concept it contains: threshold the activation, combine the bits
linearly, upsample bilinearly, and compare the sigmoid with the concept's mask. Source: Net2Vec,
section 3.2. Several banks learn side by side: other seeds, other subsets of the filters.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Float64, Int64
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torchmetrics import MeanMetric

from net2vec_pl import processes
from net2vec_pl.activations import BankCounts, as_kept, fire, respond
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional import (
    LOSSES,
    DensePairScores,
    PairScores,
    PixelPass,
    overlap,
    sum_rows,
)
from net2vec_pl.metrics import ConceptAP, SetIoU
from net2vec_pl.probes import ConceptBank, Scorer
from net2vec_pl.protocol import NET2VEC, Protocol
from net2vec_pl.training.rowwise import RowwiseAdam, RowwiseOptimizer, RowwiseSGD
from net2vec_pl.training.scoring import Track, rows_of, score_all, score_maps, thresholds_on

_MOST_ALPHA = 0.9999


class SegmentationProbe(pl.LightningModule):
    """A frozen backbone, its thresholds and a trainable bank.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        bank: The embeddings, the only thing that learns: B banks of C rows, one after another.
        alpha: Weight of the positive pixels of each concept, in [0, 1]; where the protocol weighs
            by IoU, only to begin with.
        mask_size: (sh, sw) of the masks.
        protocol: Input, loss, optimiser and schedule.
        scale: What each filter is divided by before it is an input, its standard deviation say;
            for raw activations only.
        pairs_per_chunk: Pairs at mask resolution at a time; None leaves it to the device.
        compiled: Compile the pass over the pixels.
        stage_key: Says in checkpoints which configuration they are of.

    Attributes:
        num_banks: B.
        tells_loss: Whether the loss is computed and logged; the bank learns without.
        alpha: Weight of the positive pixels of each row, B times C.
        set_iou: Set IoU of every row over the val images of the epoch.
        ap: Pixel average precision over the same.
    """

    thresholds: Tensor
    alpha: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: FrozenBackbone,
        thresholds: Float[Tensor, "K"],
        bank: ConceptBank,
        alpha: Float[Tensor, "C"],
        mask_size: tuple[int, int],
        protocol: Protocol,
        *,
        scale: Float[Tensor, "K"] | None = None,
        pairs_per_chunk: int | None = None,
        compiled: bool = False,
        stage_key: str = "",
    ) -> None:
        super().__init__()
        self.strict_loading = False  # a checkpoint never holds the backbone
        self.automatic_optimization = False  # rows step on their own, see RowwiseOptimizer
        self.backbone = backbone
        self.bank = bank
        self.protocol = protocol
        self.tells_loss = True
        self.num_concepts = len(alpha)
        self.num_banks = len(bank.weight) // len(alpha)
        self.register_buffer("thresholds", thresholds.clone())
        self.register_buffer("alpha", alpha.float().repeat(self.num_banks))
        self.register_buffer("scale", torch.ones_like(thresholds) if scale is None else scale)
        self.stage_key = stage_key
        self.mask_size = mask_size
        self.pixels = PixelPass(
            backbone.shape[1:],
            mask_size,
            LOSSES[protocol.loss],
            align_corners=protocol.align_corners,
            pairs_per_chunk=pairs_per_chunk,
            compiled=compiled,
        )
        self.set_iou, self.train_iou = SetIoU(len(bank.weight)), SetIoU(len(bank.weight))
        self.ap = ConceptAP(len(bank.weight))
        self.train_loss = MeanMetric(distributed_available_fn=processes.are_several)

    @torch.no_grad()
    def training_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Add every pair's gradient to its concept's row and step the rows that are due."""
        scores = self._scores(batch)
        logits, rows = self._logits(scores, batch), self._rows(batch)
        if self.protocol.weighting == "iou":
            for one in self.pixels.against(logits, batch.masks, batch.known):
                counts = overlap(predict(one.logits), one.mask, one.known)
                self.train_iou.update(counts, rows[one.bank, one.pairs])
        loss, gradient = self.pixels.descend(
            logits, batch.masks, self.alpha[rows], known=batch.known, wanted=self.tells_loss
        )
        of_parameters = [torch.cat([scores.weight_gradients(g) for g in gradient])]
        if self.bank.bias is not None:
            of_parameters.append(gradient.sum((2, 3)).flatten())
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        rowwise = optimizer.optimizer
        assert isinstance(rowwise, RowwiseOptimizer)
        rowwise.learn(of_parameters, rows.flatten())
        # Lightning counts steps here; in on_train_epoch_end it would come after the validation.
        optimizer.step(flush=self.trainer.is_last_batch)
        if loss is not None:
            self.train_loss.update(loss.flatten())

    @torch.no_grad()
    def slopes(self, batch: ConceptBatch) -> Float[Tensor, "P K"]:
        """Return the gradient of every pair's loss with respect to its row of the first bank."""
        scores = self._scores(batch)
        logits, rows = self._logits(scores, batch)[:1], self._rows(batch)[:1]
        _, gradient = self.pixels.descend(
            logits, batch.masks, self.alpha[rows], known=batch.known, wanted=False
        )
        return scores.weight_gradients(gradient[0])

    @torch.no_grad()
    def masks(self, batch: ConceptBatch) -> Bool[Tensor, "P sh sw"]:
        """Return the masks that the first bank predicts for the pairs of a batch."""
        logits = self._logits(self._scores(batch), batch)[0]
        return predict(self.pixels.enlarge(logits))

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.protocol.lr_for(self.mask_size, self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss over the pairs of the epoch, and weigh the next epoch's pixels."""
        if self.train_loss.update_called:
            self.log("train/loss", self.train_loss.compute())
            self.train_loss.reset()
        if self.protocol.weighting == "iou":
            found = self.train_iou.compute().nan_to_num(0.0).view(-1)
            # Not all the weight, or a concept that is nowhere right would call everything its own.
            self.alpha.copy_((1 / (1 + found / 2)).clamp(max=_MOST_ALPHA))
            self.train_iou.reset()

    def validation_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Count the pairs of a batch towards set IoU and average precision."""
        counts = self.score(batch, self.ap)
        self.set_iou.update(counts.flatten(0, 1), self._rows(batch).flatten())

    @torch.no_grad()
    def score(self, batch: ConceptBatch, ap: ConceptAP | None = None) -> Int64[Tensor, "B P 2"]:
        """Return intersection and union of every pair of a batch in each bank.

        Args:
            batch: The pairs.
            ap: Counts the pixels of each row too, if given.
        """
        return score_maps(self.pixels, self.logits(batch), batch, self.num_concepts, ap)

    @torch.no_grad()
    def logits(self, batch: ConceptBatch) -> Float[Tensor, "B P h w"]:
        """Return the logits of a batch's pairs on the activation grid, in each bank."""
        return self._logits(self._scores(batch), batch)

    def _scores(self, batch: ConceptBatch) -> PairScores | DensePairScores:
        scorer = Scorer(self.protocol.input, self.thresholds, self.scale)
        if self.protocol.input == "bits":
            read = fire(self.backbone, self.thresholds, batch)
            return scorer.pairs(read, batch.image, batch.concept)
        activation = respond(self.backbone, batch)
        if self.protocol.probe != NET2VEC:
            activation = as_kept(activation)
        return scorer.pairs(activation, batch.image, batch.concept)

    def _rows(self, batch: ConceptBatch) -> Int64[Tensor, "B P"]:
        return rows_of(self.num_banks, self.num_concepts, batch.concept)

    def _logits(
        self, scores: PairScores | DensePairScores, batch: ConceptBatch
    ) -> Float[Tensor, "B P h w"]:
        """Return the logits of a batch's pairs on the activation grid, in each bank."""
        weights = self.bank.weight.view(self.num_banks, self.num_concepts, -1)
        each = [scores.logits(weight) for weight in weights]
        logits = (
            torch.stack(each) if len(each) > 1 else each[0][None]
        )  # without a copy of large maps
        if self.bank.bias is not None:
            logits += self.bank.bias[self._rows(batch)][:, :, None, None]
        return logits

    def on_validation_epoch_end(self) -> None:
        """Start the next epoch's counts; callbacks have read this one's."""
        self.set_iou.reset()
        self.ap.reset()

    def configure_optimizers(self) -> RowwiseOptimizer:
        """Return the optimiser of the bank."""
        protocol = self.protocol
        options: dict[str, Any] = {
            "lr": protocol.lr_for(self.mask_size),
            "images_per_step": protocol.reference_batch_size,
            "stepped": self.bank.constrain,
        }
        parameters: list[dict[str, Any]] = [
            {"params": [self.bank.weight], "weight_decay": protocol.weight_decay}
        ]
        if self.bank.bias is not None:
            parameters.append({"params": [self.bank.bias]})
        num_rows = len(self.bank.weight)
        if protocol.optimizer == "adam":
            return RowwiseAdam(parameters, num_rows, **options)
        return RowwiseSGD(parameters, num_rows, momentum=protocol.momentum, **options)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep bank and thresholds; name the backbone by its digest."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("backbone.")}
        checkpoint["backbone_digest"] = self.backbone.digest
        checkpoint["stage_key"] = self.stage_key

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network.

        Raises:
            BackboneError: If the checkpoint was made with other weights.
        """
        if checkpoint.get("backbone_digest") != self.backbone.digest:
            raise BackboneError(
                f"the checkpoint is of a network with digest {checkpoint.get('backbone_digest')}, "
                f"but {self.backbone.model} has {self.backbone.digest}."
            )


def predict(logits: Float[Tensor, "P sh sw"]) -> Bool[Tensor, "P sh sw"]:
    """Return the binary mask: sigmoid above one half, which is a logit above zero."""
    return logits > 0


def mean_slopes(probe: SegmentationProbe, batches: Iterable[ConceptBatch]) -> Float[Tensor, "C K"]:
    """Return each concept's slope of the loss where its first bank stands, the mean over images.

    Args:
        probe: The probe.
        batches: This process's share of the images.
    """
    slopes = torch.zeros_like(probe.bank.weight[: probe.num_concepts])
    images = torch.zeros(len(slopes), dtype=torch.int64, device=slopes.device)
    for batch in batches:
        batch = batch.to(probe.device, non_blocking=True)
        slopes += sum_rows(probe.slopes(batch), batch.concept, len(slopes))
        images += torch.bincount(batch.concept, minlength=len(slopes))
    return (processes.sum_over(slopes) / processes.sum_over(images)[:, None]).cpu()


def score_bank(
    probe: SegmentationProbe,
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    *,
    ap: bool = True,
    track: Track = iter,
) -> tuple[BankCounts, Float[Tensor, "B C"]]:
    """Score every bank on some images, over all processes.

    Args:
        probe: The trained probe.
        stream: Where the images come from.
        rows: The images.
        ap: Whether average precision is wanted; NaN without it.
        track: Shows how far it is.

    Returns:
        The counts of every pair, and average precision.
    """
    return score_all(
        probe.pixels,
        probe.logits,
        stream,
        rows,
        num_banks=probe.num_banks,
        num_concepts=probe.num_concepts,
        device=probe.device,
        ap=ap,
        track=track,
    )


def calibrate(
    probe: SegmentationProbe,
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    *,
    track: Track = iter,
) -> Float64[Tensor, "B C"]:
    """Move the biases of a probe to where set IoU on some images is largest.

    Args:
        probe: A probe whose banks have biases.
        stream: Where the images come from.
        rows: The images, train images.
        track: Shows how far it is.

    Returns:
        Set IoU of each row on these images, at its new bias.
    """
    assert probe.bank.bias is not None
    threshold, score = thresholds_on(
        probe.pixels,
        probe.logits,
        stream,
        rows,
        num_banks=probe.num_banks,
        num_concepts=probe.num_concepts,
        device=probe.device,
        track=track,
    )
    with torch.no_grad():
        probe.bank.bias.sub_(threshold.flatten().to(probe.bank.bias))
    return score
