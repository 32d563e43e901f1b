"""A network up to its layer, the thresholds and a bank as one ONNX model: pixels to logits."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.hooks import listening
from net2vec_pl.errors import BackboneError, ConfigError
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.inference.export import to_conv2d
from net2vec_pl.probes import BankFile, Scorer
from net2vec_pl.runs.files import whole

if TYPE_CHECKING:
    import onnx

_FORMAT = "net2vec_pl concept bank 1"
_TOLERANCE = 1e-4  # of what onnxruntime gives, relative to the largest value if that is above 1


class PixelsToLogits(nn.Module):
    """What a bank says of images, as one network of plain tensor operations.

    Args:
        file: The bank.
        backbone: Its network; runs in float32 and to its end, for a tracer follows no exception
            (what lies behind the layer is not in the traced graph).
        rows: The concepts wanted.
        size: (H, W) of the logits of a bank that segments; one that classifies has one per image.
    """

    def __init__(
        self, file: BankFile, backbone: FrozenBackbone, rows: Sequence[int], size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.network, self._path = backbone.network, backbone.hooked
        self._lay_out, self._units = backbone.lay_out, backbone.units
        self._segments = file.segments
        self._input = file.protocol.input
        self.conv = to_conv2d(file, rows).requires_grad_(False)
        self._enlarge = enlarger(
            backbone.shape[1:], size, align_corners=file.protocol.align_corners
        )
        scaling = backbone.scaling
        for name, value in (
            ("mean", torch.tensor(scaling.mean)),
            ("std", torch.tensor(scaling.std)),
        ):
            self.register_buffer(name, value[:, None, None].clone())
        self.register_buffer("threshold", file.threshold.clone())
        self.mean: Tensor
        self.std: Tensor
        self.threshold: Tensor
        self.eval()

    def forward(
        self, images: UInt8[Tensor, "N 3 H W"]
    ) -> tuple[Float[Tensor, "N c *HW"], Float[Tensor, "N K h w"]]:
        """Return logits, and what the layer answers."""
        activation = self._activation(images)
        return self.logits(activation), activation

    def logits(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N c *HW"]:
        """Return logits, given what the layer answers."""
        if not self._segments:
            classified: Tensor = self.conv(activation.mean((2, 3), keepdim=True)).flatten(1)
            return classified
        scorer = Scorer(self._input, self.threshold)
        return self._enlarge(self.conv(scorer.features(activation)))

    def _activation(self, images: Tensor) -> Tensor:
        outputs: list[Tensor] = []

        def note(output: Any) -> None:
            # A copy: an in-place layer behind this one would write over it.
            outputs.append(self._lay_out(output).clone())

        with listening(self.network, [(self._path, note)]):
            self.network((images.float() / 255 - self.mean) / self.std)
        activation: Tensor = self._units(outputs[-1])
        return activation


def write_onnx(
    path: Path,
    file: BankFile,
    backbone: FrozenBackbone,
    rows: Sequence[int],
    size: tuple[int, int],
) -> None:
    """Write the model; see :meth:`net2vec_pl.inference.Bank.to_onnx`.

    Args:
        path: Path of the file, written whole or not at all.
        file: The bank.
        backbone: Its network, on the CPU.
        rows: The concepts wanted, at least one.
        size: (H, W) of the logits of a bank that segments.

    Raises:
        ConfigError: If no concept is wanted, or packages are missing.
        BackboneError: If the network cannot be traced, or onnxruntime answers otherwise.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it, and says so late
    except ImportError as error:
        raise ConfigError(
            f"ONNX models need more packages ({error}): pip install 'net2vec_pl[onnx]'."
        ) from error
    if not rows:
        raise ConfigError("an ONNX model needs at least one concept.")
    image_size = file.header["input_transform"]["image_size"]
    network = PixelsToLogits(file, backbone, rows, size)
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, *image_size), dtype=torch.uint8, generator=noise)
    model = _traced(network, images)
    if find_spec("onnxruntime") is not None:
        _check(model.SerializeToString(), network, images)
    del model.graph.output[1]  # the activation, which nobody but the check wants
    properties = {
        "format": _FORMAT,
        "target": "segmentation" if file.segments else "classification",
        "model": file.header["model"]["name"],
        "layer": file.header["layer"],
        "weights_digest": file.header["weights_digest"],
        "image_size": json.dumps(image_size),
        "concepts": json.dumps([file.vocabulary.names[row] for row in rows]),
    }
    onnx.helper.set_model_props(model, properties)
    with whole(path) as part:
        part.write_bytes(model.SerializeToString())


def _traced(network: PixelsToLogits, images: UInt8[Tensor, "N 3 H W"]) -> "onnx.ModelProto":
    """Trace a network for any number of images."""
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                network,
                (images,),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["logits", "activation"],
                dynamic_shapes={"images": {0: torch.export.Dim("N")}},
            )
    except Exception as error:  # whatever a network of the user's, or a tracer, may raise
        cause = error.__cause__ or error
        said = next(iter(str(cause).splitlines()), "")
        raise BackboneError(
            f"the network cannot be written as ONNX: {type(cause).__name__}: {said}"
        ) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]  # lines of source, by their paths on this machine
    return model


def _check(content: bytes, network: PixelsToLogits, images: UInt8[Tensor, "N 3 H W"]) -> None:
    """Compare what onnxruntime and PyTorch answer.

    Logits are compared given the same activation: where that lies within rounding of a threshold,
    its bit may be another.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    activations = session.run(["logits", "activation"], {"images": images[:2].numpy()})
    logits, activation = map(torch.from_numpy, activations)
    with torch.no_grad():
        wanted = {"activation": network(images[:2])[1], "logits": network.logits(activation)}
    for name, given in (("activation", activation), ("logits", logits)):
        room = _TOLERANCE * wanted[name].nan_to_num().abs().amax().clamp(min=1)
        if not torch.allclose(given, wanted[name], rtol=0, atol=float(room), equal_nan=True):
            raise BackboneError(
                f"the network cannot be written as ONNX: another {name} comes from onnxruntime "
                f"than from PyTorch, by up to {float((given - wanted[name]).abs().amax()):.2g}."
            )
