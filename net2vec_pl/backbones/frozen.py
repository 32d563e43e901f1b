"""A network that only answers: never trained, never in train mode, never run past its layer."""

from typing import Any, NoReturn

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from net2vec_pl.backbones.layers import resolve_layer, trace_layers
from net2vec_pl.backbones.registry import architecture, build_custom, build_network
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.backbones.weights import load_weights, weights_digest
from net2vec_pl.errors import BackboneError

# Large batches of large maps cost a CPU more in fresh memory than they save.
_CPU_CHUNK = 8


class _LayerReached(Exception):  # noqa: N818  # a signal, not an error
    """Raised inside the network once the layer has answered."""


class FrozenBackbone(nn.Module):
    """Read one layer of a frozen network; input scaling is part of it.

    The forward pass ends as soon as the layer has answered for the last time, so nothing later runs
    and nothing later (an in-place ReLU, say) can overwrite what was read.

    Args:
        network: Any network that takes scaled RGB images (N, 3, H, W).
        layer: A module path, a paper name, or None for the last layer that gives an activation map.
        scaling: How pixels become the network's input.
        image_size: (H, W) of the images to come.
        model: The network's name.

    Attributes:
        layer: Name of the layer, as given.
        module_path: Dotted path of its module.
        shape: (K, h, w) of the activation for images of ``image_size``.
        digest: Digest of the network's weights.

    Raises:
        BackboneError: If the layer is unknown or gives no activation map.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | None,
        scaling: InputScaling,
        image_size: tuple[int, int],
        *,
        model: str = "network",
    ) -> None:
        super().__init__()
        self.model = model
        self.scaling = scaling
        self.network = network.requires_grad_(False).float().eval()
        traced = trace_layers(network, image_size)
        self.layer, info = resolve_layer(layer, architecture(model).layers, traced, model)
        self.module_path = info.module_path
        assert info.shape is not None
        self.shape: tuple[int, int, int] = (info.shape[0], info.shape[1], info.shape[2])
        self.digest = weights_digest(network)
        self._calls = info.calls
        self.register_buffer("_mean", torch.tensor(scaling.mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(scaling.std)[:, None, None], persistent=False)
        self._mean: Tensor
        self._std: Tensor
        self.network.to(memory_format=torch.channels_last)  # several times faster on CPUs  # type: ignore[call-overload]
        self.eval()

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Stay in eval mode, whatever the caller wants: batch-norm statistics are frozen too."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        """Return the layer's output for RGB images in 0 to 255, float32."""
        size = _CPU_CHUNK if images.device.type == "cpu" else len(images)
        return torch.cat([self._read(chunk) for chunk in torch.split(images, size)]).contiguous()

    def _read(self, images: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        answers: list[Tensor] = []

        def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            answers.append(output)
            if len(answers) == self._calls:
                _stop()

        scaled = (images.float() / 255 - self._mean) / self._std
        handle = self.network.get_submodule(self.module_path).register_forward_hook(note)
        try:
            self.network(scaled.contiguous(memory_format=torch.channels_last))
        except _LayerReached:
            pass
        finally:
            handle.remove()
        if not answers or answers[-1].shape != (len(images), *self.shape):
            given = [tuple(answer.shape) for answer in answers[-1:]]
            raise BackboneError(
                f"layer {self.layer!r} of {self.model} gave {given} for {len(images)} images, but "
                f"{self.shape} for one: a layer must answer each image by itself."
            )
        return answers[-1]


def _stop() -> NoReturn:
    raise _LayerReached


def build_backbone(
    *,
    name: str,
    image_size: tuple[int, int],
    layer: str | None = None,
    weights: str | None = None,
    target: str | None = None,
    kwargs: dict[str, Any] | None = None,
    scaling: InputScaling | None = None,
) -> FrozenBackbone:
    """Build a network, fill it, and freeze it at a layer.

    Args:
        name: A registered name, a torchvision model, or any name for a network of your own.
        image_size: (H, W) of the images to come.
        layer: A paper name or module path; None takes the last layer that gives an activation map.
        weights: See :func:`~net2vec_pl.backbones.weights.load_weights`.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``.
        scaling: Input scaling; torchvision's if None.

    Raises:
        BackboneError: If any of these cannot be found or do not fit each other.
    """
    network = build_custom(target, kwargs or {}) if target else build_network(name)
    load_weights(network, weights, model=name, spare_keys=architecture(name).spare_keys)
    return FrozenBackbone(
        network, layer, scaling or InputScaling.named("torchvision"), image_size, model=name
    )
