"""A bank of concept embeddings, loaded: ask it about concepts, and let it segment new images.

It works without Hydra and without a run folder; the file says which network it belongs to.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from net2vec_pl.analysis import space
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.functional import DensePairScores, Fired, PairScores
from net2vec_pl.functional.inputs import INPUTS
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.inference.network import network_of
from net2vec_pl.inference.pixels import Images, each_image, fit
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol
from net2vec_pl.runs import BANK, CLASSIFIERS

_IMAGES_AT_ONCE = 8


class Neighbour(NamedTuple):
    """A concept that an embedding, or a sum of them, is near to.

    Args:
        name: The concept.
        cosine: Of the two directions, in [-1, 1].
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
        self.protocol = Protocol.parse(file.header["protocol"])
        self._weights, self._network = weights, network

    @property
    def header(self) -> dict[str, object]:
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
        return self.header.get("target", "segmentation") == "segmentation"

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
            images: As for :meth:`logits`.
            concepts: Likewise.
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
            images: As for :meth:`logits`.
            concepts: Likewise.
            size: As for :meth:`probabilities`. With None these are the masks that the run scored.
        """
        return self._enlarged(images, concepts, size) > 0

    def score(self, images: Images, concepts: Sequence[str] | None = None) -> Float[Tensor, "N c"]:
        """Return how likely each image contains each concept, in [0, 1].

        A bank that segments tells the largest probability anywhere on the activation grid; one that
        classifies, the probability of the image. NaN where a concept has no embedding.

        Args:
            images: As for :meth:`logits`.
            concepts: Likewise.
        """
        if self.segments:
            return self.logits(images, concepts).flatten(2).amax(2).sigmoid()
        rows, bias = self._rows(concepts), self.file.bias
        assert bias is not None, "classifiers have a bias"
        weight, bias = self.file.weight[rows].to(self.device), bias[rows].to(self.device)
        return self._in_batches(
            images, lambda batch: (self.backbone(batch).mean((2, 3)) @ weight.T + bias).sigmoid()
        )

    def _rows(self, concepts: Sequence[str] | None) -> list[int]:
        return [self.vocabulary.row(n) for n in (self.names if concepts is None else concepts)]

    def _check_segments(self) -> None:
        if not self.segments:
            raise ConfigError("this bank classifies whole images and has no masks: use score().")

    def _in_batches(self, images: Images, answer: Callable[[Tensor], Tensor]) -> Tensor:
        """Ask about some images at a time, each brought to the network's size."""
        answers: list[Tensor] = []
        waiting: list[UInt8[Tensor, "3 H W"]] = []
        with torch.no_grad():
            for image in each_image(images):
                waiting.append(fit(image, self.image_size))
                if len(waiting) == _IMAGES_AT_ONCE:
                    answers.append(answer(torch.stack(waiting).to(self.device)).cpu())
                    waiting = []
            if waiting or not answers:
                blank = torch.empty(0, 3, *self.image_size, dtype=torch.uint8)
                last = torch.stack(waiting) if waiting else blank
                answers.append(answer(last.to(self.device)).cpu())
        return torch.cat(answers)

    def _logits(self, images: UInt8[Tensor, "N 3 H W"], rows: list[int]) -> Tensor:
        answer = self.backbone(images)
        n, c = len(images), len(rows)
        image = torch.arange(n, device=self.device).repeat_interleave(c)
        concept = torch.arange(c, device=self.device).repeat(n)
        scores: PairScores | DensePairScores
        if self.protocol.input == "bits":
            above = answer > self.file.threshold.to(self.device)[:, None, None]
            scores = PairScores(Fired.of(above), image, concept)
        else:
            scale = self.file.scale
            assert scale is not None, "banks on activations are scaled"
            share = torch.where(scale > 0, 1 / scale, 0).to(self.device)[:, None, None]
            scores = DensePairScores(INPUTS[self.protocol.input](answer) * share, image, concept)
        logits = scores.logits(self.file.weight[rows].to(self.device)).view(n, c, *answer.shape[2:])
        if self.file.bias is not None:
            logits = logits + self.file.bias[rows].to(self.device)[:, None, None]
        return logits

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
            bank says. Either way its weights must be those that the bank was learned on.
        device: Where the network runs.

    Raises:
        RunFolderError: If there is no bank, or it cannot be read.

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
    raise RunFolderError(f"{path} holds no {BANK}: it is no run that has finished.{hint}")
