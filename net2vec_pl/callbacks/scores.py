"""Log set IoU, average precision and embedding norms every epoch, over all and by category."""

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.training import SegmentationProbe


def means_by_category(
    values: Float[Tensor, "R"], vocabulary: Vocabulary, prefix: str
) -> dict[str, float]:
    """Average over the concepts that have a value, over all and by primary category.

    Args:
        values: One value per row of a bank, NaN where there is none; of several seeds, the mean.
        vocabulary: The concepts by row.
        prefix: Log key; a category's mean goes to ``prefix/category``.

    Returns:
        Log key -> mean; NaN where no concept has a value.

    Example:
        >>> from net2vec_pl.concepts import Concept
        >>> sky = Vocabulary([Concept(1, "sky", "object", ("object",), True)])
        >>> means_by_category(torch.tensor([0.5]), sky, "val/set_iou")
        {'val/set_iou': 0.5, 'val/set_iou/object': 0.5}
    """
    category = [concept.category for concept in vocabulary]
    values = values.view(-1, len(category)).mean(0)
    means = {prefix: float(values.nanmean())}
    for name in dict.fromkeys(category):
        chosen = torch.tensor([c == name for c in category], device=values.device)
        means[f"{prefix}/{name}"] = float(values[chosen].nanmean())
    return means


class LogScores(pl.Callback):
    """Log ``val/set_iou`` and ``val/ap`` at the end of every validation.

    Args:
        vocabulary: The concepts by row.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the module's counts before it resets them; the counts are those of all processes."""
        assert isinstance(pl_module, SegmentationProbe)
        for metric, key in ((pl_module.set_iou, "val/set_iou"), (pl_module.ap, "val/ap")):
            # torchmetrics makes a scalar of the vector of a single concept.
            means = means_by_category(metric.compute().reshape(-1), self.vocabulary, key)
            for name, value in means.items():
                pl_module.log(name, value, prog_bar=name == "val/set_iou")


class LogEmbeddingNorms(pl.Callback):
    """Log ``embedding/norm``, the mean Euclidean length of the embeddings, every epoch.

    Args:
        vocabulary: The concepts by row.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the norms of the bank as it stands."""
        assert isinstance(pl_module, SegmentationProbe)
        norms = pl_module.bank.weight.detach().norm(dim=1)
        pl_module.log_dict(means_by_category(norms, self.vocabulary, "embedding/norm"))
