"""A network that only answers: never trained, never in train mode, never run past its layer."""

import copy
from collections.abc import Sequence
from threading import get_ident
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from net2vec_pl.backbones.layers import all_layers, resolve_layer, trace_layers
from net2vec_pl.backbones.precision import Precision
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
        precision: Precision of the network's products.
        vectors: Whether the layer may be one that gives a vector (K,), read as a map (K, 1, 1).

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
        precision: Precision = Precision.TF32,
        vectors: bool = False,
    ) -> None:
        super().__init__()
        self._vectors = vectors
        self.model = model
        self.scaling = scaling
        self.network = network.requires_grad_(False).float().eval()
        self._traced = trace_layers(network, image_size)
        self._choose(layer)
        self.precision = precision
        self.digest = weights_digest(network)
        self.register_buffer("_mean", torch.tensor(scaling.mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(scaling.std)[:, None, None], persistent=False)
        self._mean: Tensor
        self._std: Tensor
        self.network.to(memory_format=torch.channels_last)  # several times faster on CPUs  # type: ignore[call-overload]
        self.eval()

    def train(self, mode: bool = True) -> "FrozenBackbone":
        """Stay in eval mode, whatever the caller wants: batch-norm statistics are frozen too."""
        return super().train(False)

    def forward(self, images: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        """Return the layer's output for RGB images in 0 to 255, float32."""
        return read_layers([self], images)[0]

    def respond(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        """Return the layer's output with its gradient with respect to the images.

        The network itself stays frozen: its parameters get no gradient.

        Args:
            images: RGB in 0 to 1, on the network's device, of the size the layer was chosen for.

        Raises:
            BackboneError: If the layer does not answer each image by itself.
        """
        return _read([self], images * 255)[0]

    def at(self, layer: str | None) -> "FrozenBackbone":
        """Return the same network, frozen at another of its layers.

        Raises:
            BackboneError: If the layer is unknown or gives no activation map.
        """
        other = copy.copy(self)
        other._choose(layer)
        return other

    def at_all(self) -> list["FrozenBackbone"]:
        """Return the same network, frozen at each of its layers that have a name, by depth.

        See :func:`~net2vec_pl.backbones.layers.all_layers` for networks without such names.
        """
        names = architecture(self.model).layers
        return [self.at(layer) for layer in all_layers(names, self._traced, vectors=self._vectors)]

    def _choose(self, layer: str | None) -> None:
        self.layer, info = resolve_layer(
            layer, architecture(self.model).layers, self._traced, self.model, vectors=self._vectors
        )
        assert info.shape is not None
        shape = (*info.shape, 1, 1)[:3]
        self.module_path, self._calls = info.module_path, info.calls
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])


@torch.no_grad()
def read_layers(
    backbones: Sequence[FrozenBackbone], images: UInt8[Tensor, "N 3 H W"]
) -> list[Float[Tensor, "N K h w"]]:
    """Run a network once and return what each of its layers answers, float32.

    Args:
        backbones: One network, frozen at each of the layers (:meth:`FrozenBackbone.at`).
        images: RGB, 0 to 255; may be none.

    Raises:
        BackboneError: If a layer does not answer each image by itself.
    """
    size = _CPU_CHUNK if images.device.type == "cpu" else max(len(images), 1)
    chunks = [_read(backbones, chunk) for chunk in torch.split(images, size) if len(chunk)]
    if not chunks:
        return [torch.empty(0, *b.shape, device=images.device) for b in backbones]
    return [torch.cat(activations).contiguous() for activations in zip(*chunks, strict=True)]


def _read(backbones: Sequence[FrozenBackbone], images: Tensor) -> list[Tensor]:
    first = backbones[0]
    activations: list[list[Tensor]] = [[] for _ in backbones]
    missing, reader = sum(backbone._calls for backbone in backbones), get_ident()

    def note(activation: list[Tensor], output: Tensor) -> None:
        if get_ident() != reader:  # another thread reads the same network
            return
        # A layer that is not the last may be overwritten by an in-place one behind it.
        activation.append(output if len(backbones) == 1 else output.clone())
        if sum(map(len, activations)) == missing:
            raise _LayerReached

    handles = [
        backbone.network.get_submodule(backbone.module_path).register_forward_hook(
            lambda _module, _inputs, output, activation=activation: note(activation, output)
        )
        for backbone, activation in zip(backbones, activations, strict=True)
    ]
    scaled = (images.float() / 255 - first._mean) / first._std
    try:
        with first.precision.running(images.device):
            first.network(scaled.contiguous(memory_format=torch.channels_last))
    except _LayerReached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for backbone, activation in zip(backbones, activations, strict=True):
        if backbone._vectors and activation and activation[-1].dim() == 2:
            activation[-1] = activation[-1][:, :, None, None]
        if not activation or activation[-1].shape != (len(images), *backbone.shape):
            given = [tuple(output.shape) for output in activation[-1:]]
            raise BackboneError(
                f"layer {backbone.layer!r} of {backbone.model} gave {given} for {len(images)} "
                f"images, but {backbone.shape} for one: a layer must give one activation per image."
            )
    return [activation[-1].float() for activation in activations]


def build_backbone(
    *,
    name: str,
    image_size: tuple[int, int],
    layer: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    target: str | None = None,
    kwargs: dict[str, Any] | None = None,
    scaling: InputScaling | None = None,
    precision: Precision = Precision.TF32,
    vectors: bool = False,
) -> FrozenBackbone:
    """Build a network, fill it, and freeze it at a layer.

    What is random in a network's weights is drawn from a seed of its own; the state of torch's
    generator stays as it is.

    Args:
        name: A registered name, a torchvision model, or any name for a network of your own.
        image_size: (H, W) of the images to come.
        layer: A paper name or module path; None takes the last layer that gives an activation map.
        weights: See :func:`~net2vec_pl.backbones.weights.load_weights`.
        seed: Seed of the weights that are not loaded.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``.
        scaling: Input scaling; torchvision's if None.
        precision: Precision of the network's products.
        vectors: Whether the layer may give a vector.

    Raises:
        BackboneError: If any of these cannot be found or do not fit each other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_custom(target, kwargs or {}) if target else build_network(name)
    load_weights(network, weights, model=name, spare_keys=architecture(name).spare_keys)
    return FrozenBackbone(
        network,
        layer,
        scaling or InputScaling.named("torchvision"),
        image_size,
        model=name,
        precision=precision,
        vectors=vectors,
    )
