"""What a network says of new images with a concept taken out of its layer, or put in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor

from net2vec_pl.analysis.erasure import projection, steered
from net2vec_pl.analysis.filter_space import Change, FilterSpace, centred_quarter
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.continued import Continuation
from net2vec_pl.errors import BackboneError, ConfigError
from net2vec_pl.inference.pixels import Images
from net2vec_pl.inference.scoring import grid_logits, in_batches
from net2vec_pl.probes import BankFile


class Changed(NamedTuple):
    """What a network says of some images.

    Args:
        before: With its layer as it is, such as logits (N, T).
        after: With its layer changed.
    """

    before: Float[Tensor, "N *S"]
    after: Float[Tensor, "N *S"]


@dataclass(frozen=True)
class Surroundings:
    """What a layer gives on some images, as changes of it are measured.

    Args:
        space: The layer's filters over their spread.
        direction: That of the concept, of length 1.
        outside: Mean of z where the bank does not find the concept; NaN if it is everywhere.
    """

    space: FilterSpace
    direction: Float64[Tensor, "K"]
    outside: Float64[Tensor, "K"]

    @classmethod
    def of(
        cls, file: BankFile, backbone: FrozenBackbone, images: Images, row: int
    ) -> "Surroundings":
        """Measure a layer.

        Args:
            file: The bank, one that segments.
            backbone: Its network at its layer.
            images: The images.
            row: The concept.
        """

        def sums(batch: UInt8[Tensor, "n 3 H W"]) -> Float64[Tensor, "n 3 K1"]:
            x = backbone(batch).double()
            without = (grid_logits(file, backbone, batch, [row]) <= 0).double()
            parts = [x.sum((2, 3)), (x * x).sum((2, 3)), (x * without).sum((2, 3))]
            positions = torch.full_like(without.sum((2, 3)), x[0, 0].numel() if len(x) else 0)
            counts = [positions, positions, without.sum((2, 3))]
            pairs = zip(parts, counts, strict=True)
            return torch.stack([torch.cat(pair, 1) for pair in pairs], 1)

        summed = in_batches(images, backbone.image_size, backbone.device, sums).sum(0)
        mean, square, outside = (summed[:, :-1] / summed[:, -1:]).unbind()
        space = FilterSpace((square - mean * mean).clamp(min=0).sqrt())
        weight = file.weight[row].double().cpu()
        if file.protocol.input == "raw":  # else its weights are lent to activations
            scale = torch.ones_like(weight) if file.scale is None else file.scale.double().cpu()
            weight = torch.where(scale > 0, weight / scale, 0.0) * space.spread
        return cls(space, space.unit(weight), outside * space.inverse)


def without_concept(around: Surroundings) -> Change:
    """Return what brings a layer, along the concept, to what it is where the concept is not.

    Raises:
        ConfigError: If the concept is everywhere.
    """
    if not around.outside.isfinite().all():
        raise ConfigError(
            "the bank finds the concept everywhere in these images, so that nothing says what the "
            "layer gives without it: among=IMAGES takes that from others."
        )
    return around.space.changed(projection(around.direction, around.outside))


def with_concept(
    around: Surroundings,
    dose: float,
    region: Bool[Tensor, "h w"] | None,
    grid: tuple[int, int],
) -> Change:
    """Return what adds the concept to a layer.

    Args:
        around: What the layer gives.
        dose: How much, in standard deviations of a filter.
        region: Where on the layer's grid; in the middle half of its height and width if None.
        grid: (h, w).

    Raises:
        ConfigError: If the region is of another size.
    """
    where = centred_quarter(grid) if region is None else region
    if tuple(where.shape) != grid:
        raise ConfigError(f"region must be {grid[0]} x {grid[1]}, not {tuple(where.shape)}.")
    return around.space.changed(lambda z: steered(z, dose * around.direction, where))


def answers(backbone: FrozenBackbone, images: Images, change: Change) -> Changed:
    """Return what a network says of images, as it is and with its layer changed.

    Args:
        backbone: The network at the layer.
        images: The images.
        change: What is done to the layer.

    Raises:
        BackboneError: If the network's answer is not one tensor, or units are not filters.
    """
    whole = Continuation(backbone)

    def both(batch: UInt8[Tensor, "n 3 H W"]) -> Tensor:
        if not len(batch):
            raise ConfigError("there is no image to change anything in.")
        run = whole.of(batch)
        pair: Sequence[Tensor | None] = (run.unchanged.output, run(change).output)
        found = [output for output in pair if output is not None]
        if len(found) < len(pair):
            raise BackboneError(f"{backbone.model} does not answer with one tensor.")
        return torch.stack(found, 1)

    before, after = in_batches(images, backbone.image_size, backbone.device, both).unbind(1)
    return Changed(before, after)
