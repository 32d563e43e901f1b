"""Train a bank of concept embeddings to segment, all concepts at once, over a frozen layer.

For each pair of an image and a concept it contains: threshold the activation, combine the bits
linearly, upsample bilinearly, and compare the sigmoid with the concept's mask. Source: Net2Vec,
section 3.2.
"""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from net2vec_pl.activations import fire
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptBatch
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional import LOSSES, bilinear_matrix, upsample
from net2vec_pl.metrics import ConceptAP, SetIoU
from net2vec_pl.probes import ConceptBank
from net2vec_pl.protocol import Protocol
from net2vec_pl.training.rowwise_sgd import RowwiseSGD

# A chunk of pairs at mask resolution should stay in the processor's cache.
_PAIRS_PER_CHUNK = 32


class SegmentationProbe(pl.LightningModule):
    """A frozen backbone, its thresholds and a trainable bank.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        bank: The embeddings, the only thing that learns.
        alpha: Weight of the positive pixels of each concept, in [0, 1].
        mask_size: (sh, sw) of the masks.
        protocol: Loss, optimiser and schedule.

    Attributes:
        set_iou: Set IoU over the val images of the epoch.
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
        align = protocol.align_corners
        for name, size_in, size_out in zip(
            ("rows", "columns"), backbone.shape[1:], mask_size, strict=True
        ):
            matrix = bilinear_matrix(size_in, size_out, align_corners=align)
            self.register_buffer(f"_{name}", matrix, persistent=False)
        self._rows: Tensor
        self._columns: Tensor
        self.set_iou = SetIoU(len(alpha))
        self.ap = ConceptAP(len(alpha))

    def forward(self, batch: ConceptBatch) -> Float[Tensor, "P h w"]:
        """Return the logits of a batch's pairs on the activation grid."""
        fired = fire(self.backbone, self.thresholds, batch)
        logits: Tensor = self.bank(fired.float())[batch.image, batch.concept]
        return logits

    def training_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Add every pair's gradient to its concept's row and step the rows that are due."""
        logits = self(batch)
        loss, gradient = self._loss(logits.detach(), batch)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        rows = optimizer.optimizer
        assert isinstance(rows, RowwiseSGD)
        turns = rows.turns(batch.concept)
        parameters = list(self.bank.parameters())
        gradients = [  # all of them before the first step changes the bank
            torch.autograd.grad(
                logits, parameters, gradient * turn[:, None, None], retain_graph=True
            )
            for turn in turns
        ]
        for turn, added in zip(turns, gradients, strict=True):
            rows.add(added, torch.bincount(batch.concept[turn], minlength=len(self.alpha)))
            optimizer.step()
        if self.trainer.is_last_batch:  # not in on_train_epoch_end: validation comes before that
            optimizer.step(flush=True)
        self.log("train/loss", loss.mean(), on_step=False, on_epoch=True, batch_size=len(loss))

    def _loss(
        self, logits: Float[Tensor, "P h w"], batch: ConceptBatch
    ) -> tuple[Float[Tensor, "P"], Float[Tensor, "P h w"]]:
        """Return each pair's loss and its gradient on the activation grid."""
        loss_function = LOSSES[self.protocol.loss]
        losses, gradients = [], []
        for pairs in _chunks(len(logits)):
            upsampled = upsample(logits[pairs], self._rows, self._columns)
            loss, gradient = loss_function(
                upsampled, batch.masks(pairs), self.alpha[batch.concept[pairs]]
            )
            losses.append(loss)
            gradients.append(upsample(gradient, self._rows.T, self._columns.T))
        return torch.cat(losses), torch.cat(gradients)

    def validation_step(self, batch: ConceptBatch, batch_idx: int) -> None:
        """Count the pairs of a batch towards set IoU and average precision."""
        self.score(batch, self.set_iou, self.ap)

    @torch.no_grad()
    def score(self, batch: ConceptBatch, set_iou: SetIoU, ap: ConceptAP) -> None:
        """Count the pairs of a batch towards metrics."""
        logits = self(batch)
        for pairs in _chunks(len(logits)):
            upsampled = upsample(logits[pairs], self._rows, self._columns)
            masks, concept = batch.masks(pairs), batch.concept[pairs]
            set_iou.update(predict(upsampled), masks, concept)
            ap.update(upsampled, masks, concept)

    def on_validation_epoch_end(self) -> None:
        """Start the next epoch's counts; callbacks have read this one's."""
        self.set_iou.reset()
        self.ap.reset()

    def configure_optimizers(self) -> RowwiseSGD:
        """Return the optimiser of the bank."""
        return RowwiseSGD(
            self.bank.parameters(),
            len(self.alpha),
            lr=self.protocol.lr_for((len(self._rows), len(self._columns))),
            momentum=self.protocol.momentum,
            images_per_step=self.protocol.reference_batch_size,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep bank and thresholds; name the backbone by its digest."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("backbone.")}
        checkpoint["backbone_digest"] = self.backbone.digest

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
) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]]:
    """Return set IoU and average precision per concept over any images, each of them once.

    Args:
        probe: The trained probe.
        batches: The images.
    """
    set_iou = SetIoU(len(probe.alpha)).to(probe.device)
    ap = ConceptAP(len(probe.alpha)).to(probe.device)
    for batch in batches:
        probe.score(batch.to(probe.device, non_blocking=True), set_iou, ap)
    # torchmetrics makes a scalar of the vector of a single concept.
    return set_iou.compute().reshape(-1).cpu(), ap.compute().reshape(-1).cpu()


def _chunks(num_pairs: int) -> list[slice]:
    return [slice(i, i + _PAIRS_PER_CHUNK) for i in range(0, num_pairs, _PAIRS_PER_CHUNK)]
