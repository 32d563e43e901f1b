"""A network that only answers: never trained, never in train mode, never run past its layer."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from net2vec_pl.backbones.filled import filled_network, scaling_of
from net2vec_pl.backbones.hooks import listening
from net2vec_pl.backbones.layers import all_layers, resolve_layer
from net2vec_pl.backbones.layouts import put_back
from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.outputs import tensor_of, with_tensor
from net2vec_pl.backbones.precision import Precision
from net2vec_pl.backbones.registry import architecture
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.backbones.tracing import trace_layers
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.errors import BackboneError
from net2vec_pl.units import Units

# Large batches of large maps cost a CPU more in fresh memory than they save.
_CPU_CHUNK = 8
# By how much of the largest activation an image may be answered otherwise: kernels round.
_ALIKE = 0.01


class _LayerReached(Exception):  # noqa: N818  # a signal, not an error
    """Raised inside the network once the layer has answered."""


class FrozenBackbone(nn.Module):
    """Read one layer of a frozen network; input scaling is part of it.

    The forward pass ends as soon as the layer has answered for the last time, so nothing later runs
    and nothing later (an in-place ReLU, say) can overwrite what was read.

    Args:
        network: Any network that takes scaled RGB images (N, 3, H, W).
        layer: A module path, a paper name, a short name such as ``block.9``, or None for the last
            block of a transformer and for the last layer of other networks that gives maps; see
            :func:`~net2vec_pl.backbones.layers.resolve_layer`.
        scaling: How pixels become the network's input.
        image_size: (H, W) of the images to come.
        model: The network's name.
        precision: Precision of the network's products.
        vectors: Whether the layer may be one that gives a vector (K,), read as a map (K, 1, 1).

    Attributes:
        image_size: (H, W) of the images.
        layer: Name of the layer, as given.
        module_path: Dotted path of its module, with ``:KEY`` behind it where it gives several
            tensors.
        units: What is read of the layer's filters; see :meth:`with_units`.
        shape: (K, h, w) of the activation for images of ``image_size``; K is the number of units.
        digest: Digest of the network's weights.

    Raises:
        BackboneError: If the layer is unknown, gives no activation map, or does not answer each
            image by itself and alike every time.
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
        self._vectors, self.image_size = vectors, image_size
        self.units = Units()
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
        _check_alike([self])

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

    def run(self, images: Float[Tensor, "N 3 H W"] | UInt8[Tensor, "N 3 H W"]) -> Any:
        """Return what the whole network says to RGB images in 0 to 255, at its precision."""
        scaled = (images.float() / 255 - self._mean) / self._std
        with self.precision.running(images.device):
            return self.network(scaled.contiguous(memory_format=torch.channels_last))

    def at(self, layer: str | None) -> "FrozenBackbone":
        """Return the same network, frozen at another of its layers.

        Raises:
            BackboneError: If the layer is unknown or gives no activation map.
        """
        return self.at_each([layer])[0]

    def at_each(self, layers: Sequence[str | None]) -> list["FrozenBackbone"]:
        """Return the same network, frozen at each of some layers, which are checked together.

        Raises:
            BackboneError: If a layer is unknown or gives no activation map.
        """
        others = [self._twin(Units()) for _ in layers]
        for other, layer in zip(others, layers, strict=True):
            other._choose(layer)
        if others:
            _check_alike(others)
        return others

    def with_units(self, units: Units) -> "FrozenBackbone":
        """Return the same network at the same layer, read in other units than its filters.

        Args:
            units: Take maps of the layer's filters.

        Raises:
            BackboneError: If they were made for another number of filters.
        """
        filters = self._info.laid_out[0]
        if units.filters not in (None, filters):
            raise BackboneError(
                f"units={units.plain['name']} were made for a layer of {units.filters} filters, "
                f"but {self.layer!r} of {self.model} has {filters}."
            )
        other = self._twin(units.to(self.device))
        other.shape = (units.number(filters), *self.shape[1:])
        return other

    def at_all(self) -> list["FrozenBackbone"]:
        """Return the same network, frozen at each of its layers that have a name, by depth.

        See :func:`~net2vec_pl.backbones.layers.all_layers` for networks without such names.
        """
        names = architecture(self.model).layers
        layers = all_layers(names, self._traced, vectors=self._vectors)
        return self.at_each(layers)

    def lay_out(self, output: Any) -> Float[Tensor, "N K h w"]:
        """Return the activation maps in what the layer's module returns."""
        info = self._info
        assert info.layout is not None
        return info.layout(tensor_of(output, info.key))

    def put_back(self, output: Any, activation: Float[Tensor, "N K h w"]) -> Any:
        """Return what the layer's module would have returned with other activation maps."""
        info = self._info
        assert info.layout is not None
        changed = put_back(info.layout, tensor_of(output, info.key), activation)
        return with_tensor(output, info.key, changed)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self._mean.device

    @property
    def calls(self) -> int:
        """How often the layer's module runs in one pass; the last answer is what is read."""
        return self._info.calls

    @property
    def signed(self) -> bool:
        """Whether activations fall below zero: no ReLU stands at the end of the layer."""
        return not self._info.rectified if self.units.signed is None else self.units.signed

    @property
    def hooked(self) -> str:
        """Dotted path of the module, without the key of a tensor."""
        return self.module_path.partition(":")[0]

    def _twin(self, units: Units) -> "FrozenBackbone":
        """Return a copy that shares the network and has units of its own."""
        other = copy.copy(self)
        other._modules = {**self._modules}  # the copy has the same dict
        other.units = units
        return other

    def _choose(self, layer: str | None) -> None:
        self.layer, self._info = resolve_layer(
            layer, architecture(self.model).layers, self._traced, self.model, vectors=self._vectors
        )
        self.module_path = self._info.module_path
        filters, height, width = self._info.laid_out
        self.shape: tuple[int, int, int] = (filters, height, width)


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
    outputs: list[list[Any]] = [[] for _ in backbones]
    missing, reader = sum(backbone._info.calls for backbone in backbones), get_ident()

    def note(at: int, output: Any) -> None:
        if get_ident() != reader:  # another thread reads the same network
            return
        activation = backbones[at].lay_out(output)
        # A layer that is not the last may be overwritten by an in-place one behind it.
        outputs[at].append(activation if len(backbones) == 1 else activation.clone())
        if sum(map(len, outputs)) == missing:
            raise _LayerReached

    ears = [(backbone.hooked, partial(note, at)) for at, backbone in enumerate(backbones)]
    with suppress(_LayerReached), listening(first.network, ears):
        first.run(images)
    for backbone, activations in zip(backbones, outputs, strict=True):
        expected = backbone._info.laid_out
        if not activations or activations[-1].shape != (len(images), *expected):
            given = [tuple(activation.shape) for activation in activations[-1:]]
            raise BackboneError(
                f"layer {backbone.layer!r} of {backbone.model} gave {given} for {len(images)} "
                f"images, but {expected} for one: a layer must give one activation per image."
            )
    pairs = zip(backbones, outputs, strict=True)
    return [backbone.units(activations[-1].float()) for backbone, activations in pairs]


@torch.no_grad()
def _check_alike(backbones: Sequence[FrozenBackbone]) -> None:
    """Check that an image is answered alike every time, in whatever company.

    Raises:
        BackboneError: If a layer answers otherwise.
    """
    first = backbones[0]
    random = torch.Generator().manual_seed(0)
    size = (2, 3, *first.image_size)
    pair = torch.randint(0, 256, size, generator=random).byte().to(first.device)
    with torch.random.fork_rng(devices=[]):  # drop-out that was left on draws
        together = _read(backbones, pair[[0, 1, 0]])
        alone = _read(backbones, pair[:1])
    for backbone, three, one in zip(backbones, together, alone, strict=True):
        largest = float(three.abs().amax())
        off = float((three[[0, 2]] - one).abs().amax())
        if off > _ALIKE * largest:
            raise BackboneError(
                f"layer {backbone.layer!r} of {backbone.model} answers the same image otherwise "
                f"the next time or among other images, by {off / largest:.0%} of its largest "
                "activation: drop-out or batch statistics are on in eval mode."
            )


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
        name: See :func:`~net2vec_pl.backbones.filled.built_network`.
        image_size: (H, W) of the images to come.
        layer: A paper name or module path; None takes the last layer that gives an activation map.
        weights: See :func:`~net2vec_pl.backbones.weights.load_weights`.
        seed: Seed of the weights that are not loaded.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``, or for the library's builder; None takes those with which
            torchvision builds the network for these weights.
        scaling: Input scaling; None takes the one that belongs to the weights.
        precision: Precision of the network's products.
        vectors: Whether the layer may give a vector.

    Raises:
        BackboneError: If any of these cannot be found or do not fit each other, or if the layer
            needs entries that the weights lack.
    """
    network, leftover = filled_network(
        name, weights, image_size, seed=seed, target=target, kwargs=kwargs
    )
    backbone = FrozenBackbone(
        network,
        layer,
        scaling or scaling_of(name, weights),
        image_size,
        model=name,
        precision=precision,
        vectors=vectors,
    )
    check_weights([backbone], leftover, image_size)
    return backbone


def check_weights(
    backbones: Sequence[FrozenBackbone], leftover: Leftover, image_size: tuple[int, int]
) -> None:
    """Refuse layers that need entries of the network that its weights lack.

    Args:
        backbones: One network, frozen at each of the layers.
        leftover: What did not fit when it was filled.
        image_size: (H, W) of the images to come.

    Raises:
        BackboneError: If a layer does.
    """
    images = torch.zeros(1, 3, *image_size, dtype=torch.uint8)
    for backbone in backbones:
        leftover.check(backbone.network, backbone.layer, partial(backbone, images))
