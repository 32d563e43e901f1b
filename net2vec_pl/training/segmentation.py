"""Train a bank of concept embeddings to segment, all concepts at once, over a frozen layer.

For each pair of an image and a concept it contains: threshold the activation, combine the bits
linearly, upsample bilinearly, and compare the sigmoid with the concept's mask. Source: Net2Vec,
section 3.2.
"""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int64
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torchmetrics import MeanMetric

from net2vec_pl.activations import fire
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptBatch
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional import LOSSES, PairScores, PixelPass
from net2vec_pl.functional.pixels import Masks
from net2vec_pl.metrics import ConceptAP, SetIoU
from net2vec_pl.probes import ConceptBank
from net2vec_pl.protocol import Protocol
from net2vec_pl.training.rowwise_sgd import RowwiseSGD


class SegmentationProbe(pl.LightningModule):
    """A frozen backbone, its thresholds and a trainable bank.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        bank: The embeddings, the only thing that learns: S times C rows, those of the first seed
            first.
        alpha: Weight of the positive pixels of each concept, in [0, 1].
        mask_size: (sh, sw) of the masks.
        protocol: Loss, optimiser and schedule.
        pairs_per_chunk: As in :class:`~net2vec_pl.functional.pixels.PixelPass`.
        compiled: Likewise.
        stage_key: Says in checkpoints which configuration they are of.

    Attributes:
        num_seeds: S.
        set_iou: Set IoU of every row over the val images of the epoch.
        ap: Pixel average precision over the same.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        thresholds: Float[Tensor, "K"],
        bank: ConceptBank,
        alpha: Float[Tensor, "C"],
        mask_size: tuple[int, int],
        protocol: Protocol,
        *,
        pairs_per_chunk: int | None = None,
        compiled: bool = False,
        stage_key: str = "",
    ) -> None:
        super().__init__()
        self.strict_loading = False  # a checkpoint never holds the backbone
        self.automatic_optimization = False  # rows step on their own, see RowwiseSGD
        self.backbone = backbone
        self.bank = bank
        self.protocol = protocol
        self.register_buffer("thresholds", thresholds.clone())
        self.register_buffer("alpha", alpha.float())
        self.thresholds: Tensor
        self.alpha: Tensor
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
        self.num_seeds = len(bank.weight) // len(alpha)
        self.set_iou = SetIoU(len(bank.weight))
        self.ap = ConceptAP(len(bank.weight))
        self.train_loss = MeanMetric()

    @torch.no_grad()
    def training_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Add every pair's gradient to its concept's row and step the rows that are due."""
        scores = self._scores(batch)
        seeds = range(self.num_seeds)
        descents = [self.pixels.descend(*self._pairs(scores, batch, seed)) for seed in seeds]
        gradients = [gradient for _, gradient in descents]
        of_weights = torch.cat([scores.weight_gradients(gradient) for gradient in gradients])
        of_parameters = [of_weights]
        if self.bank.bias is not None:
            of_parameters.append(torch.cat([gradient.sum((1, 2)) for gradient in gradients]))
        rows = torch.cat([self._rows(batch, seed) for seed in seeds])
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        rowwise = optimizer.optimizer
        assert isinstance(rowwise, RowwiseSGD)
        rowwise.learn(of_parameters, rows)
        # Lightning counts steps here; in on_train_epoch_end it would come after the validation.
        optimizer.step(flush=self.trainer.is_last_batch)
        self.train_loss.update(torch.cat([loss for loss, _ in descents]))

    def on_train_epoch_end(self) -> None:
        """Log the mean loss over the pairs of the epoch."""
        self.log("train/loss", self.train_loss.compute())
        self.train_loss.reset()

    def validation_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Count the pairs of a batch towards set IoU and average precision."""
        self.score(batch, self.set_iou, self.ap)

    @torch.no_grad()
    def score(self, batch: ConceptBatch, set_iou: SetIoU, ap: ConceptAP) -> None:
        """Count the pairs of a batch towards metrics over the rows of the bank."""
        scores = self._scores(batch)
        for seed in range(self.num_seeds):
            logits, masks, _ = self._pairs(scores, batch, seed)
            rows = self._rows(batch, seed)
            for pairs, upsampled in self.pixels.upsampled(logits):
                mask = masks(pairs)
                set_iou.update(predict(upsampled), mask, rows[pairs])
                ap.update(upsampled, mask, rows[pairs])

    def _scores(self, batch: ConceptBatch) -> PairScores:
        fired = fire(self.backbone, self.thresholds, batch)
        return PairScores(fired, batch.image, batch.concept)

    def _rows(self, batch: ConceptBatch, seed: int) -> Int64[Tensor, "P"]:
        return batch.concept + seed * len(self.alpha)

    def _pairs(
        self, scores: PairScores, batch: ConceptBatch, seed: int
    ) -> tuple[Float[Tensor, "P h w"], Masks, Float[Tensor, "P"]]:
        """Return logits on the activation grid, masks and alpha of a batch's pairs."""
        rows = slice(seed * len(self.alpha), (seed + 1) * len(self.alpha))
        logits = scores.logits(self.bank.weight[rows])
        if self.bank.bias is not None:
            logits += self.bank.bias[rows][batch.concept][:, None, None]
        return logits, batch.masks, self.alpha[batch.concept]

    def on_validation_epoch_end(self) -> None:
        """Start the next epoch's counts; callbacks have read this one's."""
        self.set_iou.reset()
        self.ap.reset()

    def configure_optimizers(self) -> RowwiseSGD:
        """Return the optimiser of the bank."""
        return RowwiseSGD(
            self.bank.parameters(),
            len(self.bank.weight),
            lr=self.protocol.lr_for(self.mask_size),
            momentum=self.protocol.momentum,
            images_per_step=self.protocol.reference_batch_size,
        )

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


def score_bank(
    probe: SegmentationProbe, batches: Iterable[ConceptBatch]
) -> tuple[Float[Tensor, "S C"], Float[Tensor, "S C"]]:
    """Return set IoU and average precision per seed and concept over any images, each once.

    Args:
        probe: The trained probe.
        batches: This process's share of the images.
    """
    rows = len(probe.bank.weight)
    set_iou, ap = SetIoU(rows).to(probe.device), ConceptAP(rows).to(probe.device)
    for batch in batches:
        probe.score(batch.to(probe.device, non_blocking=True), set_iou, ap)
    # torchmetrics makes a scalar of the vector of a single concept.
    return (
        set_iou.compute().view(probe.num_seeds, -1).cpu(),
        ap.compute().view(probe.num_seeds, -1).cpu(),
    )
