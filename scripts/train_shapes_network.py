"""Train a network that comes with the package, on pictures that the shapes dataset draws for it.

``python scripts/train_shapes_network.py shapesnet`` takes five to ten minutes on two cores,
``shapesvit`` half an hour. Each overwrites ``net2vec_pl/backbones/NAME.safetensors``. A network
learns which concepts, colours aside, are in a picture: one binary cross-entropy per concept, over
the pictures that were annotated for it, since what was not annotated is unknown. Scores are of the
weights as they are stored.
"""

import argparse
import json
import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, UInt8
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import net2vec_pl.backbones
from net2vec_pl.backbones.registry import build_network
from net2vec_pl.data.reader import Sample
from net2vec_pl.datasets.shapes.reader import FORMAT_VERSION, ShapesReader
from net2vec_pl.functional.average_precision import NUM_BINS, average_precision, logit_bins

FOLDER = Path(net2vec_pl.backbones.__file__).parent

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Args:
        train_images: Pictures to learn from.
        train_seed: Their seed.
        test_images: Pictures to score on.
        test_seed: Their seed.
        epochs: Passes over the train pictures; each sees every picture once, as it is or mirrored.
        batch_size: Pictures per step.
        learning_rate: Peak of a one-cycle schedule of AdamW.
        weight_decay: Of AdamW.
        seed: Of the initial weights, the order and the mirroring.
    """

    train_images: int = 10_000
    train_seed: int = 1000
    test_images: int = 1500
    test_seed: int = 2000
    epochs: int = 9
    batch_size: int = 50
    learning_rate: float = 4e-3
    weight_decay: float = 2e-3
    seed: int = 0


SETTINGS = {
    "shapesnet": Settings(),
    # A transformer has to learn from pictures that neighbours belong together: it wants more.
    "shapesvit": Settings(
        train_images=40_000, epochs=3, batch_size=25, learning_rate=2e-3, weight_decay=0.02
    ),
}


@dataclass(frozen=True)
class Scores:
    """Held-out accuracy, each a mean over concepts.

    Args:
        mean_ap: Average precision in [0, 1].
        balanced_accuracy: Mean of the true positive and the true negative rate at probability 1/2.
    """

    mean_ap: float
    balanced_accuracy: float


class PresenceTask(pl.LightningModule):
    """Learns which concepts are in a picture.

    Args:
        network: The network.
        settings: How to train.
    """

    def __init__(self, network: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.network = network.to(memory_format=torch.channels_last)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch of (image, present, annotated)."""
        image, present, annotated = batch
        mirrored = torch.rand(len(image), 1, 1, 1) < 0.5
        logits = self.network(scale(torch.where(mirrored, image.flip(3), image)))
        return presence_loss(logits, present, annotated)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW and its one-cycle schedule."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), weight_decay=self.settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.settings.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def scale(image: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N 3 H W"]:
    """Scale 0 to 255 to -2 to 2, as the network expects."""
    return (image / 255.0 - 0.5) / 0.25


def presence_loss(
    logits: Float[Tensor, "N C"], present: Bool[Tensor, "N C"], annotated: Bool[Tensor, "N C"]
) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy over what was annotated."""
    loss = nn.functional.binary_cross_entropy_with_logits(
        logits, present.to(logits.dtype), reduction="none"
    )
    return loss[annotated].mean()


def scored_rows(reader: ShapesReader) -> list[int]:
    """Return the rows of the vocabulary that a network scores: all but the colours."""
    return [row for row, c in enumerate(reader.vocabulary) if c.category != "color"]


def draw_pictures(num_images: int, seed: int) -> TensorDataset:
    """Draw pictures with (image, present, annotated); the last two have a column per concept."""
    reader = ShapesReader(num_images=num_images, seed=seed)
    rows = scored_rows(reader)
    place = {category.name: at for at, category in enumerate(reader.categories)}
    annotated = np.stack(
        [
            reader.annotated[:, [place[name] for name in reader.vocabulary[row].categories]].any(1)
            for row in rows
        ],
        axis=1,
    )
    numbers = reader.vocabulary.numbers[rows]
    images, present = [], []
    for row in range(num_images):
        sample = reader[row]
        images.append(sample.image)
        present.append(np.isin(numbers, seen_numbers(sample)))
    return TensorDataset(
        torch.stack(images), torch.from_numpy(np.stack(present)), torch.from_numpy(annotated)
    )


def seen_numbers(sample: Sample) -> list[int]:
    """Return the label numbers that occur anywhere in a sample."""
    return [*np.unique(sample.label_maps).tolist(), *(number for _, number in sample.image_labels)]


@torch.inference_mode()
def score(network: nn.Module, pictures: TensorDataset) -> Scores:
    """Score a network on pictures, over what was annotated."""
    _, present, annotated = pictures.tensors
    network.eval()
    loader = DataLoader(pictures, batch_size=100)
    logits = torch.cat([network(scale(image)) for image, _, _ in loader])
    precisions, accuracies = [], []
    for concept in range(logits.shape[1]):
        known = annotated[:, concept]
        scores, truth = logits[known, concept], present[known, concept]
        bins = logit_bins(scores)
        found, other = (torch.bincount(bins[t], minlength=NUM_BINS) for t in (truth, ~truth))
        precisions.append(average_precision(found, other))
        accuracies.append(
            0.5 * ((scores[truth] > 0).double().mean() + (scores[~truth] <= 0).double().mean())
        )
    means = (torch.stack(values).nanmean().item() for values in (precisions, accuracies))
    return Scores(*means)


def stored_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights as they are stored: float16, without the counters of batch norm."""
    state = network.state_dict()
    return {
        name: value.to(torch.float16, memory_format=torch.contiguous_format)
        for name, value in state.items()
        if value.is_floating_point()
    }


def train(name: str, settings: Settings) -> nn.Module:
    """Train a network and round its weights to what will be stored."""
    pl.seed_everything(settings.seed)
    pictures = draw_pictures(settings.train_images, settings.train_seed)
    task = PresenceTask(build_network(name), settings)
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator="cpu",
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(task, DataLoader(pictures, batch_size=settings.batch_size, shuffle=True))
    task.network.load_state_dict(stored_state(task.network), strict=False)
    return task.network


def main() -> None:
    """Train, score and store the network that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*SETTINGS])
    name = parser.parse_args().name
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    settings = SETTINGS[name]
    network = train(name, settings)
    scores = score(network, draw_pictures(settings.test_images, settings.test_seed))
    logger.info("mean AP %.4f, balanced accuracy %.4f", scores.mean_ap, scores.balanced_accuracy)
    metadata = {
        "mean_ap": f"{scores.mean_ap:.4f}",
        "balanced_accuracy": f"{scores.balanced_accuracy:.4f}",
        "settings": json.dumps(asdict(settings)),
        "shapes_format": str(FORMAT_VERSION),
        "input": "(RGB / 255 - 0.5) / 0.25",
        "concepts": ",".join(
            ShapesReader(1).vocabulary[row].name for row in scored_rows(ShapesReader(1))
        ),
    }
    weights = FOLDER / f"{name}.safetensors"
    save_file(stored_state(network), weights, metadata=metadata)
    logger.info("wrote %s (%d kB)", weights, weights.stat().st_size // 1000)


if __name__ == "__main__":
    main()
