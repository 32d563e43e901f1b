"""A bank of concept embeddings, loaded: ask it about concepts, and let it segment new images.

It works without Hydra and without a run folder; the file says which network it belongs to.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from net2vec_pl.analysis import space
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.inference.export import to_cavs, to_conv2d, to_csv, to_numpy
from net2vec_pl.inference.network import network_of
from net2vec_pl.inference.onnx_model import write_onnx
from net2vec_pl.inference.pixels import Images
from net2vec_pl.inference.scoring import grid_logits, image_probabilities, in_batches
from net2vec_pl.probes import BankFile
from net2vec_pl.runs import BANK, CLASSIFIERS

if TYPE_CHECKING:
    from captum.concept import CAV


class Neighbour(NamedTuple):
    """A concept that an embedding, or a sum of them, is near to.

    Args:
        name: The concept.
        cosine: Cosine of the two directions, in [-1, 1].
    """

    name: str
    cosine: float


class Bank:
    """Concept embeddings over the filters of one layer, with what it takes to use them.

    Args:
        file: The bank.
        weights: A weights file of its network, where the one that the bank names has moved.
        network: The network itself, for one that cannot be built from what the bank says.
        device: Where the network runs.

    Example:
        >>> bank = load_bank("runs/NAME")  # doctest: +SKIP
        >>> bank.segment("photo.jpg", ["sky"])[0, 0]  # doctest: +SKIP
    """

    def __init__(
        self,
        file: BankFile,
        *,
        weights: str | None = None,
        network: nn.Module | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.file = file
        self.device = torch.device(device)
        self.protocol = file.protocol
        self._weights, self._network = weights, network

    @property
    def header(self) -> dict[str, Any]:
        """What the bank belongs to: model, layer, protocol, data; plain JSON."""
        return self.file.header

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts by row."""
        return self.file.vocabulary

    @property
    def names(self) -> list[str]:
        """Names of the concepts by row."""
        return self.file.vocabulary.names

    @property
    def segments(self) -> bool:
        """Whether the bank gives masks; else it classifies whole images."""
        return self.file.segments

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) that images are brought to, that of the images it was learned on."""
        height, width = self.file.header["input_transform"]["image_size"]
        return height, width

    @property
    def mask_size(self) -> tuple[int, int]:
        """(sh, sw) of the masks it was learned on."""
        height, width = self.file.header["data"]["mask_size"]
        return height, width

    @cached_property
    def backbone(self) -> FrozenBackbone:
        """The frozen network at its layer, built at first use.

        Raises:
            BackboneError: If it cannot be built, or its weights are others than the bank's.
        """
        return network_of(self.file, self._weights, self._network).to(self.device)

    def __repr__(self) -> str:
        concepts, filters = self.file.weight.shape
        name, layer = self.header["model"]["name"], self.header["layer"]
        return f"Bank({concepts} concepts over {filters} filters of {name} {layer})"

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Float[Tensor, "K"]:
        """Return the embedding of a concept.

        Raises:
            ConfigError: If the bank has no such concept; near names are listed.
        """
        return self.file.weight[self.vocabulary.row(name)]

    def nearest(self, name: str, k: int = 5) -> list[Neighbour]:
        """Return the concepts whose embeddings have the most similar direction.

        Args:
            name: A concept.
            k: How many, at least 1.

        Raises:
            ConfigError: If the concept is unknown or has no embedding, or k is below 1.
        """
        row = self.vocabulary.row(name)
        found = space.nearest(self.file.weight.double().numpy(), k)
        if found.left_out[row]:
            raise ConfigError(f"{name} has no nearest concepts: {found.left_out[row]}.")
        pairs = zip(found.index[row], found.cosine[row], strict=True)
        return [Neighbour(self.names[c], float(cosine)) for c, cosine in pairs]

    def arithmetic(self, expression: str, k: int = 5) -> list[Neighbour]:
        """Answer concept arithmetic; see :func:`net2vec_pl.analysis.space.analogy`.

        Args:
            expression: Such as ``"tree - wood"``, with spaces around the signs.
            k: How many answers, at least 1; the terms are none.

        Raises:
            ConfigError: If a term is no concept, or the terms cancel each other.
        """
        found = space.analogy(expression, self.names, self.file.weight.double().numpy(), k)
        if not len(found.index):
            raise ConfigError(f"{expression!r} has no answer: {found.reason}.")
        pairs = zip(found.index, found.cosine, strict=True)
        return [Neighbour(self.names[c], float(cosine)) for c, cosine in pairs]

    def logits(
        self, images: Images, concepts: Sequence[str] | None = None
    ) -> Float[Tensor, "N c h w"]:
        """Return concept logits on the activation grid.

        Args:
            images: See :func:`~net2vec_pl.inference.pixels.each_image`; brought to
                ``image_size``.
            concepts: The concepts wanted, in this order; all if None.

        Raises:
            ConfigError: If a concept is unknown, or the bank classifies whole images.
            DataError: If an image cannot be read.
        """
        self._check_segments()
        rows = self._rows(concepts)
        return self._in_batches(images, lambda batch: self._logits(batch, rows))

    def probabilities(
        self,
        images: Images,
        concepts: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "N c H W"]:
        """Return at every pixel the probability of every concept, in [0, 1].

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concepts: Names of the concepts wanted, in this order; all if None.
            size: (H, W) wanted; that of the masks the bank was learned on if None.
        """
        enlarged = self._enlarged(images, concepts, size)
        return enlarged.sigmoid_()

    def segment(
        self,
        images: Images,
        concepts: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Bool[Tensor, "N c H W"]:
        """Return the mask of every concept: where its probability is above one half.

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concepts: Names of the concepts wanted, in this order; all if None.
            size: (H, W) wanted. With None these are the masks that the run scored, except that a
                run that kept activations, not bits, in memory kept them in half precision, which
                turns a pixel here and there.
        """
        return self._enlarged(images, concepts, size) > 0

    def score(self, images: Images, concepts: Sequence[str] | None = None) -> Float[Tensor, "N c"]:
        """Return how likely each image contains each concept, in [0, 1].

        A bank that segments tells the largest probability anywhere on the activation grid; one that
        classifies, the probability of the image. NaN where a concept has no embedding.

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concepts: Names of the concepts wanted, in this order; all if None.
        """
        if self.segments:
            return self.logits(images, concepts).flatten(2).amax(2).sigmoid()
        rows = self._rows(concepts)
        return self._in_batches(
            images, lambda batch: image_probabilities(self.file, self.backbone, batch, rows)
        )

    def to_conv2d(self, concepts: Sequence[str] | None = None) -> nn.Conv2d:
        """Return concepts as a plain 1x1 convolution (K, c), whose logits are those of the bank.

        What it takes depends on ``protocol.input``, and is said by the threshold and the layer:
        with ``bits``, ``(activation > bank.file.threshold[:, None, None]).float()``; with ``raw``
        the activation itself, for scales are part of the weights; with ``root`` its signed root,
        ``activation.abs().sqrt().copysign(activation)``. One of a bank that classifies takes means
        over positions (N, K, 1, 1).

        Args:
            concepts: Names of the concepts wanted, in this order; all if None.

        Raises:
            ConfigError: If a concept is unknown.
        """
        return to_conv2d(self.file, self._rows(concepts))

    def to_onnx(
        self,
        path: str | PathLike[str],
        concepts: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Write network, thresholds and concepts as one ONNX model.

        Its input ``images`` is uint8 RGB (N, 3, H, W), any number of images of ``image_size``; its
        output ``logits`` is (N, c, H, W): a mask is where they are above 0, as :meth:`segment`
        says, and their sigmoid is the probability. Of a bank that classifies it is (N, c). The
        metadata hold names of concepts, model, layer and digest of the weights. All is float32,
        whatever the precision of the run; another runtime rounds otherwise, so that a filter may
        fire, or not, where its activation lies within rounding of its threshold.

        Where onnxruntime is installed, the file is compared with PyTorch before it is kept.

        Args:
            path: Path of the file.
            concepts: Names of the concepts wanted, at least one; all if None.
            size: (H, W) of the logits; that of the masks the bank was learned on if None.

        Raises:
            ConfigError: If a concept is unknown, or packages are missing (the extra ``onnx``).
            BackboneError: If the network cannot be built, or not be written as ONNX.
        """
        rows = self._rows(concepts)
        on_cpu = self.device.type == "cpu"
        backbone = self.backbone if on_cpu else copy.deepcopy(self.backbone).cpu()
        write_onnx(Path(path), self.file, backbone, rows, size or self.mask_size)

    def to_cavs(self, concepts: Sequence[str] | None = None) -> "dict[str, CAV]":
        """Return concepts as concept activation vectors of captum, by name.

        TCAV (Kim et al., ICML 2018) takes a vector over all K * h * w values of a layer. An
        embedding is spread evenly over positions, which makes it the gradient of the mean logit
        with respect to what the bank reads: the activations, scales included, or in their place
        their bits or roots. (Of a layer with an in-place one behind it captum sees what that one
        leaves.) To score, hand them over and nothing is trained::

            tcav = TCAV(bank.backbone.network, bank.header["module_path"])
            cav = bank.to_cavs(["sky"])["sky"]
            tcav.cavs[str(cav.concepts[0].id)][cav.layer] = cav
            tcav.interpret(images.requires_grad_(), [cav.concepts], target=0)  # scaled as usual

        Args:
            concepts: Names of the concepts wanted, all if None; each takes 4 * K * h * w bytes.

        Raises:
            ConfigError: If a concept is unknown, or captum is missing (the extra ``captum``).
        """
        return to_cavs(self.file, self._rows(concepts))

    def to_numpy(self, path: str | PathLike[str]) -> None:
        """Write all as ``.npz``, to be loaded without pickle.

        It holds ``weight`` (C, K), ``threshold`` (K,), ``names`` and ``categories`` (C,), the
        header as JSON text, and ``bias`` (C,) and ``scale`` (K,) where the bank has them.

        Args:
            path: Path of the file.
        """
        to_numpy(self.file, Path(path))

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a row per concept: id, name, category, its weight of every filter, its bias if any.

        Args:
            path: Path of the file.
        """
        to_csv(self.file, Path(path))

    def _rows(self, concepts: Sequence[str] | None) -> list[int]:
        if isinstance(concepts, str):  # which is a sequence of strings too
            concepts = [concepts]
        return [self.vocabulary.row(n) for n in (self.names if concepts is None else concepts)]

    def _check_segments(self) -> None:
        if not self.segments:
            raise ConfigError("this bank classifies whole images and has no masks: use score().")

    def _in_batches(self, images: Images, answer: Callable[[Tensor], Tensor]) -> Tensor:
        return in_batches(images, self.image_size, self.device, answer)

    def _logits(self, images: UInt8[Tensor, "N 3 H W"], rows: Sequence[int]) -> Tensor:
        return grid_logits(self.file, self.backbone, images, rows)

    def _enlarged(
        self, images: Images, concepts: Sequence[str] | None, size: tuple[int, int] | None
    ) -> Tensor:
        self._check_segments()
        rows = self._rows(concepts)
        enlarge = enlarger(
            self.backbone.shape[1:],
            size or self.mask_size,
            align_corners=self.protocol.align_corners,
            device=self.device,
        )
        return self._in_batches(images, lambda batch: enlarge(self._logits(batch, rows)))


def load_bank(
    path: str | PathLike[str],
    *,
    weights: str | None = None,
    network: nn.Module | None = None,
    device: torch.device | str = "cpu",
) -> Bank:
    """Load a bank; no pickle is read, and no network built before it is needed.

    Args:
        path: ``bank.safetensors``, ``classification.safetensors``, or the folder of a run, whose
            bank is taken.
        weights: A weights file of its network, where the one that the bank names has moved; see
            :func:`~net2vec_pl.backbones.weights.load_weights`.
        network: The network itself, with its weights, for one that cannot be built from what the
            bank says; it is frozen, in float32, from then on. Either way its weights must be those
            that the bank was learned on.
        device: Where the network runs.

    Raises:
        RunFolderError: If there is no bank, it cannot be read, or it lacks something that a bank
            must say.

    Example:
        >>> load_bank("runs/NAME").nearest("sky")  # doctest: +SKIP
    """
    return Bank(BankFile.load(_found(Path(path))), weights=weights, network=network, device=device)


def _found(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in (BANK, CLASSIFIERS):
        if (path / name).exists():
            return path / name
    below = sorted(str(p.parent) for p in path.glob(f"*/{BANK}"))
    hint = f" Did you mean {' or '.join(below[:3])}?" if below else ""
    raise RunFolderError(f"{path} holds no {BANK}: it is not a finished run.{hint}")
