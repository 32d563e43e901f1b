"""What a bank says of a batch of images: the very sums of the fit, on the activation grid."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.datasets.images.any_image import fit
from net2vec_pl.inference.pixels import Images, each_image
from net2vec_pl.probes import BankFile, Scorer

_IMAGES_AT_ONCE = 8


def in_batches(
    images: Images,
    size: tuple[int, int],
    device: torch.device,
    answer: Callable[[UInt8[Tensor, "n 3 h w"]], Float[Tensor, "n *S"]],
) -> Float[Tensor, "N *S"]:
    """Ask about some images at a time.

    Args:
        images: See :func:`~net2vec_pl.inference.pixels.each_image`.
        size: (h, w) that they are brought to.
        device: Where they are asked about.
        answer: Says something of each image.

    Returns:
        All answers, on the host.
    """
    answers: list[Tensor] = []
    waiting: list[UInt8[Tensor, "3 h w"]] = []

    def ask(batch: Tensor) -> None:
        answers.append(answer(batch.to(device)).cpu())
        waiting.clear()

    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for image in each_image(images):
            waiting.append(fit(image, size))
            if len(waiting) == _IMAGES_AT_ONCE:
                ask(torch.stack(waiting))
        if waiting:
            ask(torch.stack(waiting))
        elif not answers:
            ask(torch.empty(0, 3, *size, dtype=torch.uint8))
    return torch.cat(answers)


def grid_logits(
    file: BankFile,
    backbone: FrozenBackbone,
    images: UInt8[Tensor, "N 3 H W"],
    rows: Sequence[int],
) -> Float[Tensor, "N c h w"]:
    """Return the logits of some concepts on the activation grid.

    Args:
        file: The bank, one that segments.
        backbone: Its network at its layer.
        images: Images of the size of the bank's.
        rows: The concepts.
    """
    activation = backbone(images)
    device, (n, _, h, w), c = activation.device, activation.shape, len(rows)
    image = torch.arange(n, device=device).repeat_interleave(c)
    concept = torch.arange(c, device=device).repeat(n)
    scale = None if file.scale is None else file.scale.to(device)
    scorer = Scorer(file.protocol.input, file.threshold.to(device), scale)
    scores = scorer.pairs(activation, image, concept)
    logits = scores.logits(file.weight[list(rows)].to(device)).view(n, c, h, w)
    if file.bias is not None:
        logits = logits + file.bias[list(rows)].to(device)[:, None, None]
    return logits


def image_probabilities(
    file: BankFile,
    backbone: FrozenBackbone,
    images: UInt8[Tensor, "N 3 H W"],
    rows: Sequence[int],
) -> Float[Tensor, "N c"]:
    """Return the probabilities of some concepts for whole images.

    Args:
        file: The bank, one that classifies.
        backbone: Its network at its layer.
        images: Images of the size that the bank was learned on.
        rows: Rows of the concepts wanted.
    """
    assert file.bias is not None, "classifiers have a bias"
    pooled = backbone(images).mean((2, 3))
    weight, bias = file.weight[list(rows)].to(pooled), file.bias[list(rows)].to(pooled)
    probabilities: Tensor = (pooled @ weight.T + bias).sigmoid()
    return probabilities
