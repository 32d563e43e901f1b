"""Make the image that a concept's embedding, or one filter, responds to most.

Gradient ascent on an image, under the priors of Olah et al., *Feature Visualization*, Distill 2017,
https://distill.pub/2017/feature-visualization: the image is a spectrum whose frequencies are scaled
as those of photographs (1/f) in colours that are uncorrelated in ImageNet; it is shifted, zoomed
and turned a little at every step; its total variation is held down.

What rises is the response of the raw activations to the unit embedding. A bank is trained on
thresholded activations, but a threshold has no gradient: the image shows the direction of the
embedding, not the mask it would draw. Net2Vec's paper has no such images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from net2vec_pl.errors import ConfigError, unknown

Respond = Callable[[Tensor], Tensor]
_OBJECTIVES = ("mean", "max")

# Square root of the covariance of RGB in ImageNet, as Lucid (the code of Olah et al.) has it.
_COLOUR_COVARIANCE_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_CONTRAST = 4.0  # Lucid's too: a spectrum divided by it fills, but does not crowd, the sigmoid
# Standard deviation of the spectra of noise: faint enough to leave no blotches in the images, and
# strong enough for most filters of a deep layer to answer some of it.
_NOISE = 0.3


@dataclass(frozen=True)
class SynthesisOptions:
    """How an image is synthesised.

    Args:
        steps: Steps of Adam; 0 leaves the noise it starts from.
        lr: Adam's learning rate, above 0.
        objective: Over positions, the ``mean`` response (a texture, everywhere) or the ``max`` (one
            instance, if the field of view is smaller than the image): the score of
            :func:`~net2vec_pl.analysis.examples.image_scores`.
        total_variation: Weight of the mean absolute difference of neighbouring pixels, against the
            objective in standard deviations of the response to noise; from 1 (fine) to 30 (soft).
        shift: Largest random shift, as a share of the side.
        zoom: Largest random change of scale, as a share.
        turn: Largest random rotation, in degrees.
        starts: Noise images to choose a start from; a filter that a ReLU silences on one of them
            may answer another.
        batch_size: Images in one pass through the network.

    Raises:
        ConfigError: If a value is out of range.
    """

    steps: int = 128
    lr: float = 0.05
    objective: str = "mean"
    total_variation: float = 3.0
    shift: float = 0.04
    zoom: float = 0.1
    turn: float = 5.0
    starts: int = 8
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.objective not in _OBJECTIVES:
            raise ConfigError(unknown("objective of a synthesis", self.objective, _OBJECTIVES))
        least = dict.fromkeys(("starts", "batch_size"), 1)
        least |= dict.fromkeys(("steps", "total_variation", "shift", "zoom", "turn"), 0)
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise ConfigError(
                    f"{name}={getattr(self, name)} of a synthesis must be at least {low}."
                )
        if not (self.lr > 0 and self.zoom < 1):
            raise ConfigError(f"lr={self.lr} must be above 0, and zoom={self.zoom} below 1.")


@dataclass(frozen=True)
class Synthesis:
    """Synthesised images and how far their objectives rose.

    Args:
        images: RGB in [0, 1]; mid-grey where there is none.
        course: The objective before every step, on the image as it was shifted, zoomed and turned,
            and last on the finished image itself; NaN where there is none.
        noise: The mean objective over the noise images one could start from.
        spread: Standard deviation of the response over those noise images and all positions.
        status: ``ok``, or why there is no image, or none that excites more than noise does.
    """

    images: Float32[np.ndarray, "D 3 H W"]
    course: Float64[np.ndarray, "D steps1"]
    noise: Float64[np.ndarray, " D"]
    spread: Float64[np.ndarray, " D"]
    status: tuple[str, ...]

    @property
    def reached(self) -> Float64[np.ndarray, " D"]:
        """The objective on the finished images."""
        return self.course[:, -1]


def synthesise(
    respond: Respond,
    directions: Float[Tensor, "D K"],
    image_size: tuple[int, int],
    seed: int,
    options: SynthesisOptions | None = None,
) -> Synthesis:
    r"""Synthesise one image per direction.

    .. math:: \mathrm{argmax}_x \; \mathrm{mean}_{ij} \sum_k \hat w_k A_{k,ij}(x),
        \quad \hat w = w / ||w||_2

    Each direction starts at the one of ``starts`` noise images that excites it most, and meets the
    same shifts, so its image depends on the seed and on nothing else in the batch.

    Args:
        respond: Images in [0, 1] (N, 3, H, W) to activations (N, K, h, w), with gradient:
            :meth:`~net2vec_pl.backbones.FrozenBackbone.respond`.
        directions: Embeddings, one-hot rows for filters, or any mixture; of any length. They choose
            the device.
        image_size: (H, W).
        seed: Seed of noise and shifts. On a CPU the same seed gives the same images.
        options: How; see :class:`SynthesisOptions`.

    Returns:
        A result for every direction; one that cannot be followed has a grey image and the reason
        in its status.

    Raises:
        ConfigError: If the directions have another number of filters than the activations.
    """
    options = options or SynthesisOptions()
    norm = directions.norm(dim=1, keepdim=True)
    chance = torch.Generator().manual_seed(seed)
    starts = _noise(options.starts, image_size, chance).to(directions.device)
    views = _views(options, image_size, chance).to(directions.device)

    unit = torch.where(norm > 0, directions / norm, 0.0)
    objective, spread = _answer_noise(respond, starts, unit, image_size, options)
    noise = objective.mean(0)
    status = [_fault(n, s) for n, s in zip(norm[:, 0].tolist(), spread.tolist(), strict=True)]
    alive = torch.tensor([at for at, text in enumerate(status) if text == "ok"], dtype=torch.long)

    images = torch.full((len(directions), 3, *image_size), 0.5)
    course = torch.full((len(directions), options.steps + 1), torch.nan, dtype=torch.float64)
    for part in torch.split(alive, options.batch_size) if len(alive) else ():
        on = part.to(directions.device)
        start = starts[objective[:, on].argmax(0)]
        images[part], course[part] = _ascend(
            respond, unit[on], spread[on], start, views, image_size, options
        )
    _judge(status, course, options.steps)
    return Synthesis(
        images=images.numpy(),
        course=course.numpy(),
        noise=noise.double().cpu().numpy(),
        spread=spread.double().cpu().numpy(),
        status=tuple(status),
    )


def _fault(norm: float, spread: float) -> str:
    if norm == 0:
        return "zero vector: no direction"
    if not (np.isfinite(norm) and np.isfinite(spread)):
        return "not finite: the direction or the network's answer"
    if spread == 0:
        return "answers all noise alike: no gradient to follow"
    return "ok"


def _judge(status: list[str], course: Float64[Tensor, "D steps1"], steps: int) -> None:
    """Replace the status of directions whose ascent came to nothing."""
    for at, values in enumerate(course):
        if status[at] != "ok" or steps == 0:
            continue
        if not values.isfinite().all():
            status[at] = "not finite: the objective on the way"
        elif values.min() == values.max():
            status[at] = "the objective never moved: no gradient to follow"
        elif values[-1] <= values[0]:
            status[at] = "the objective did not rise"


@torch.no_grad()
def _answer_noise(
    respond: Respond,
    starts: Float[Tensor, "S 3 H half 2"],
    unit: Float[Tensor, "D K"],
    image_size: tuple[int, int],
    options: SynthesisOptions,
) -> tuple[Float[Tensor, "S D"], Float[Tensor, " D"]]:
    """Return the objective on every noise image, and the spread of the response over them."""
    parts = torch.split(decode(starts, image_size), options.batch_size)
    activation = torch.cat([respond(part) for part in parts])
    if activation.shape[1] != unit.shape[1]:
        raise ConfigError(
            f"directions over {unit.shape[1]} filters, but the layer has {activation.shape[1]}: "
            "were they learned on another layer?"
        )
    maps = torch.einsum("nkhw,dk->dnhw", activation, unit)
    values = maps.flatten(1)
    values = values - values[:, :1]  # a response that never varies has a spread of exactly 0
    spread = (values - values.mean(1, keepdim=True)).square().mean(1).sqrt()
    return _pooled(maps, options.objective).T, spread


def _ascend(
    respond: Respond,
    unit: Float[Tensor, "B K"],
    spread: Float[Tensor, " B"],
    start: Float[Tensor, "B 3 H half 2"],
    views: Float[Tensor, "steps 2 3"],
    image_size: tuple[int, int],
    options: SynthesisOptions,
) -> tuple[Float[Tensor, "B 3 H W"], Float64[Tensor, "B steps1"]]:
    spectrum = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([spectrum], lr=options.lr)
    course = []
    for view in views:
        image = decode(spectrum, image_size)
        value = _own(respond(_seen(image, view)), unit, options.objective)
        course.append(value.detach().double())
        # Every image's loss has its own parameters: a sum trains each as if it were alone.
        loss = options.total_variation * total_variation(image) - value / spread
        (spectrum.grad,) = torch.autograd.grad(loss.sum(), spectrum)
        optimiser.step()
    with torch.no_grad():
        image = decode(spectrum, image_size)
        course.append(_own(respond(image), unit, options.objective).double())
    return image.nan_to_num(nan=0.5).cpu(), torch.stack(course, dim=1).cpu()


def _own(
    activation: Float[Tensor, "B K h w"], unit: Float[Tensor, "B K"], objective: str
) -> Float[Tensor, " B"]:
    """Return the objective of image b for direction b."""
    return _pooled(torch.einsum("bkhw,bk->bhw", activation, unit), objective)


def _pooled(maps: Float[Tensor, "*B h w"], objective: str) -> Float[Tensor, "*B"]:
    return maps.amax((-2, -1)) if objective == "max" else maps.mean((-2, -1))


# -------------------- how an image is written, and seen


def _noise(
    count: int, image_size: tuple[int, int], chance: torch.Generator
) -> Float[Tensor, "S 3 H half 2"]:
    height, width = image_size
    return _NOISE * torch.randn(count, 3, height, width // 2 + 1, 2, generator=chance)


def decode(
    spectrum: Float[Tensor, "N 3 H half 2"], image_size: tuple[int, int]
) -> Float[Tensor, "N 3 H W"]:
    """Turn spectra into images in [0, 1].

    A frequency f, in cycles per pixel, is scaled by 1/f, so that a step moves the coarse and the
    fine alike; its three channels are uncorrelated colours, which the root of ImageNet's colour
    covariance turns into RGB. A spectrum of zeros is mid-grey.

    Args:
        spectrum: Real and imaginary parts of the half spectrum of ``torch.fft.rfft2``.
        image_size: (H, W).
    """
    height, width = image_size
    rows = torch.fft.fftfreq(height, device=spectrum.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=spectrum.device)
    scale = 1 / torch.hypot(rows, columns).clamp(min=1 / max(image_size))
    scaled = torch.view_as_complex(spectrum) * scale
    plain = torch.fft.irfft2(scaled, s=image_size, norm="ortho") / _CONTRAST
    root = torch.tensor(_COLOUR_COVARIANCE_ROOT, device=spectrum.device)
    colours = root / root.norm(dim=0).max()
    return torch.einsum("cd,ndhw->nchw", colours, plain).sigmoid()


def _views(
    options: SynthesisOptions, image_size: tuple[int, int], chance: torch.Generator
) -> Float[Tensor, "steps 2 3"]:
    """Draw a shift, a zoom and a turn for every step, as matrices of ``affine_grid``."""
    draw = torch.rand(options.steps, 4, generator=chance) * 2 - 1
    zoom = 1 + options.zoom * draw[:, 0]
    angle = torch.deg2rad(options.turn * draw[:, 1])
    shift = 2 * options.shift * draw[:, 2:]  # affine_grid's side is 2 long
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    aspect = image_size[0] / image_size[1]
    across = torch.stack([cos, -sin * aspect, shift[:, 0]], dim=1)
    down = torch.stack([sin / aspect, cos, shift[:, 1]], dim=1)
    return torch.stack([across, down], dim=1)


def _seen(images: Float[Tensor, "N 3 H W"], view: Float[Tensor, "2 3"]) -> Float[Tensor, "N 3 H W"]:
    """Shift, zoom and turn images alike; beyond the border they are mirrored."""
    grid = F.affine_grid(view.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def total_variation(images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, " N"]:
    """Return the mean absolute difference of neighbouring pixels, down plus across.

    Example:
        >>> import torch
        >>> total_variation(torch.tensor([0.0, 1.0]).expand(1, 3, 2, 2))
        tensor([1.])
    """
    down = images.diff(dim=2).abs().mean((1, 2, 3))
    across = images.diff(dim=3).abs().mean((1, 2, 3))
    return down + across
