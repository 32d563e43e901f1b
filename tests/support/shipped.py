"""The networks that come with the package: their weights, and what they know of new pictures."""

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score
from torch import nn

import net2vec_pl.backbones
from net2vec_pl.backbones.registry import build_network
from net2vec_pl.datasets.shapes.reader import ShapesReader


def weights_of(name: str) -> Path:
    """Return the file of a network's weights."""
    return Path(net2vec_pl.backbones.__file__).with_name(f"{name}.safetensors")


def metadata_of(name: str) -> dict[str, str]:
    """Return what the file says of how the weights were made."""
    with safe_open(weights_of(name), framework="pt") as file:
        return dict(file.metadata())


def trained(name: str) -> nn.Module:
    """Return a network with its weights, of which only counters of batch norm may be missing."""
    network = build_network(name)
    missing, extra = network.load_state_dict(load_file(weights_of(name)), strict=False)
    assert not extra
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return network.eval()


def mean_precision(network: nn.Module, concepts: list[str]) -> float:
    """Return the mean average precision with which concepts are found in 150 new pictures."""
    reader = ShapesReader(num_images=150, seed=77)
    samples = [reader[row] for row in range(len(reader))]
    images = torch.stack([sample.image for sample in samples])
    with torch.inference_mode():
        logits = network((images / 255.0 - 0.5) / 0.25).numpy()
    place = [category.name for category in reader.categories]
    precisions = []
    for column, name in enumerate(concepts):
        concept = reader.vocabulary[reader.vocabulary.row(name)]
        known = reader.annotated[:, [place.index(c) for c in concept.categories]].any(axis=1)
        present = np.array(
            [
                bool((s.label_maps == concept.number).any())
                or concept.number in [number for _, number in s.image_labels]
                for s in samples
            ]
        )[known]
        if present.any():
            precisions.append(average_precision_score(present, logits[known, column]))
    assert len(precisions) > 45
    return float(np.mean(precisions))
