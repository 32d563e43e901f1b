"""The ways this job is done elsewhere, written straightforwardly over arrays and files.

Each function does one part of the main job as one would write it without this package, so that time
and result can be compared. They share nothing with the package: a mistake of ours is not in both.
Everything goes concept by concept; to measure a few concepts, pass the lists of these alone. Each
works where its tensors are, so a GPU needs no other code. Letters as in Fong & Vedaldi, *Net2Vec*,
CVPR 2018, https://arxiv.org/abs/1801.03454: N images, C concepts, K filters on an h x w grid, masks
of sh x sw pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Float32, Int64
from PIL import Image
from torch import Tensor, nn

Images = Sequence[Sequence[int]]
Masks = Sequence[Bool[Tensor, "n sh sw"]]


def weigh_concepts(masks: Masks) -> Float32[Tensor, "C"]:
    """Return alpha of every concept: 1 minus the mean share of its pixels on its train images.

    Args:
        masks: Per concept, its mask on each of its train images.
    """
    return torch.stack([1 - mask.float().mean() for mask in masks])


def fit_in_memory(
    fired: Bool[Tensor, "N K h w"],
    images: Images,
    masks: Masks,
    alpha: Float[Tensor, "C"],
    start: Float32[Tensor, "C K"],
    *,
    epochs: int,
    lr: float = 1e-4,
    momentum: float = 0.9,
    batch_size: int = 64,
) -> Float32[Tensor, "C K"]:
    """Fit one concept after the other, everything in memory: the plain PyTorch loop.

    The protocol is the paper's: SGD with momentum on batches of 64 images. Images come in the order
    given, every epoch alike. Nothing is scored in between.

    Args:
        fired: A > T, on the device to work on.
        images: Per concept, its train images: positions in ``fired``.
        masks: Per concept, its mask on each of these images, in the same order.
        alpha: Weight of each concept's pixels; see :func:`weigh_concepts`.
        start: The first embedding of each concept; left as it is.
        epochs: Passes over a concept's images.
        lr: Step size.
        momentum: Of the optimiser.
        batch_size: Images a step averages over; the last batch of an epoch may be smaller.

    Returns:
        The embeddings after the last epoch.
    """
    fitted = []
    for c, chosen in enumerate(images):
        bits = fired[torch.tensor(chosen, device=fired.device)]
        weight = start[c].clone().requires_grad_()
        optimizer = torch.optim.SGD([weight], lr=lr, momentum=momentum)
        for _ in range(epochs):
            for first in range(0, len(chosen), batch_size):
                batch = slice(first, first + batch_size)
                _step(weight, optimizer, bits[batch].float(), masks[c][batch], alpha[c])
        fitted.append(weight.detach())
    return torch.stack(fitted)


def fit_like_the_original(
    activations: Float32[np.ndarray, "N K h w"],
    thresholds: Float32[np.ndarray, "K"],
    images: Images,
    label_maps: Sequence[Sequence[Sequence[Path]]],
    numbers: Sequence[int],
    alpha: Float[Tensor, "C"],
    start: Float32[Tensor, "C K"],
    *,
    epochs: int,
    lr: float = 1e-4,
    momentum: float = 0.9,
    batch_size: int = 16,
) -> Float32[Tensor, "C K"]:
    """Fit one concept after the other, as the paper's own code does.

    Each batch is read anew from the stored activations and thresholded anew, and its masks are
    decoded anew from their files, in every epoch. Batches hold 16 images (that code's default; the
    paper says 64), in row order, never shuffled. Left out to its advantage: the validation after
    every epoch, and the counting of pixels for alpha. Its masks are mended: it reads only the first
    category of a concept that an image annotates; here all maps given are united.
    Source: https://github.com/ruthcfong/net2vec at 4d314fe.

    Args:
        activations: A, commonly an ``np.memmap``.
        thresholds: T.
        images: Per concept, its train images: positions in ``activations``.
        label_maps: Per concept and image, the PNG files of the concept's categories.
        numbers: The label number of each concept in these files.
        alpha: Weight of each concept's pixels; see :func:`weigh_concepts`.
        start: The first embedding of each concept, on the device to work on; left as it is.
        epochs: Passes over a concept's images.
        lr: Step size.
        momentum: Of the optimiser.
        batch_size: Images a step averages over; the last batch of an epoch may be smaller.

    Returns:
        The embeddings after the last epoch.
    """
    cuts = torch.from_numpy(thresholds).to(start.device)[:, None, None]
    fitted = []
    for c, chosen in enumerate(images):
        weight = start[c].clone().requires_grad_()
        optimizer = torch.optim.SGD([weight], lr=lr, momentum=momentum)
        for _ in range(epochs):
            for first in range(0, len(chosen), batch_size):
                batch = slice(first, first + batch_size)
                # A list of positions copies these images alone; asarray drops the memmap's class.
                activation = torch.from_numpy(np.asarray(activations[list(chosen[batch])]))
                fired = activation.to(start.device) > cuts
                mask = torch.stack([decode_mask(maps, numbers[c]) for maps in label_maps[c][batch]])
                _step(weight, optimizer, fired.float(), mask.to(start.device), alpha[c])
        fitted.append(weight.detach())
    return torch.stack(fitted)


def decode_mask(label_maps: Sequence[Path], number: int) -> Bool[Tensor, "sh sw"]:
    """Return where any of the label maps has the number; R + 256 G of a PNG, as in BRODEN.

    Args:
        label_maps: One file or more, all of one size.
        number: A label number, from 1.
    """
    found = []
    for path in label_maps:
        with Image.open(path) as image:
            # 8-bit channels would overflow in the product.
            channels = np.asarray(image.convert("RGB")).astype(np.int32)
        found.append(channels[:, :, 0] + 256 * channels[:, :, 1] == number)
    return torch.from_numpy(np.logical_or.reduce(found))


def count_by_concept(
    fired: Bool[Tensor, "N K h w"], images: Images, masks: Masks
) -> tuple[Int64[Tensor, "C K"], Int64[Tensor, "C K"]]:
    """Overlap every filter with every concept: the single-filter baseline.

    A filter's mask is its 0/1 map, upsampled bilinearly and cut above one half. As in the paper's
    code, an image is upsampled again for each of its concepts.

    Args:
        fired: A > T, on the device to work on.
        images: Per concept, the images that contain it: positions in ``fired``.
        masks: Per concept, its mask on each of these images, in the same order.

    Returns:
        Pixels in both masks and pixels in either, summed over a concept's images.
    """
    intersection = torch.zeros(len(images), fired.shape[1], dtype=torch.int64, device=fired.device)
    union = torch.zeros_like(intersection)
    for c, chosen in enumerate(images):
        for image, mask in zip(chosen, masks[c], strict=True):
            # Counted in float32, exact up to 2^24 pixels: sums of bools are several times slower.
            maps = (_upsample(fired[image].float(), mask) > 0.5).float().flatten(1)
            truth = mask.float().flatten()
            both = maps @ truth
            intersection[c] += both.long()
            union[c] += (maps.sum(1) + truth.sum() - both).long()
    return intersection, union


def thresholds_by_sort(
    activations: Float32[np.ndarray, "N K h w"], tau: float
) -> Float32[np.ndarray, "K"]:
    """Return T with P(A_k > T_k) = tau from all activations at once, by ``numpy.quantile``.

    The quantile is linear between order statistics. Several copies of the activations are made.

    Args:
        activations: A, in memory.
        tau: Share of values above the threshold, in (0, 1).
    """
    values = activations.transpose(1, 0, 2, 3).reshape(activations.shape[1], -1)
    # As a float64 array: NumPy would round a Python float to the values' float32, and with it the
    # place among some 10^5 values.
    level = np.array(1 - tau, dtype=np.float64)
    thresholds: npt.NDArray[np.float32] = np.quantile(values, level, axis=1).astype(np.float32)
    return thresholds


def _step(
    weight: Float32[Tensor, "K"],
    optimizer: torch.optim.Optimizer,
    fired: Float32[Tensor, "B K h w"],
    mask: Bool[Tensor, "B sh sw"],
    alpha: Float[Tensor, ""],
) -> None:
    logits = (fired * weight[None, :, None, None]).sum(1)
    loss = _agreement(_upsample(logits, mask), mask, alpha)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _upsample(
    grid: Float32[Tensor, "B h w"], like: Bool[Tensor, "*B sh sw"]
) -> Float32[Tensor, "B sh sw"]:
    size = like.shape[-2:]
    up = nn.functional.interpolate(grid[:, None], size=size, mode="bilinear", align_corners=True)
    return up[:, 0]


def _agreement(
    logits: Float32[Tensor, "B sh sw"], mask: Bool[Tensor, "B sh sw"], alpha: Float[Tensor, ""]
) -> Float32[Tensor, ""]:
    """Sum alpha L M + (1 - alpha)(1 - L)(1 - M) over pixels, negate, average over images."""
    found, truth = torch.sigmoid(logits), mask.float()
    agreed = alpha * truth * found + (1 - alpha) * (1 - truth) * (1 - found)
    return -agreed.sum((1, 2)).mean()
