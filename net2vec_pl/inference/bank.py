"""A bank of concept embeddings, loaded: ask it about concepts, and let it segment new images.

It works without Hydra and without a run folder; the file says which network it belongs to.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from net2vec_pl.analysis import space
from net2vec_pl.backbones import LIVE, FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import ConfigError, RunFolderError, shorten
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.inference.asked import device_of, new_file, sides_of
from net2vec_pl.inference.card import bank_card
from net2vec_pl.inference.causal import (
    Changed,
    Surroundings,
    answers,
    with_concept,
    without_concept,
)
from net2vec_pl.inference.compared import ComparedRow, Side, compare_banks
from net2vec_pl.inference.export import to_cavs, to_conv2d, to_csv, to_numpy
from net2vec_pl.inference.hub import HUB, fetch, push, without_folders
from net2vec_pl.inference.network import network_of
from net2vec_pl.inference.onnx_model import write_onnx
from net2vec_pl.inference.pixels import Images
from net2vec_pl.inference.plots import Plots
from net2vec_pl.inference.results import Results
from net2vec_pl.inference.scoring import grid_logits, image_probabilities, in_batches
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Finding, Table
from net2vec_pl.records.kinds import FolderTables
from net2vec_pl.report import control_statements, hub_card
from net2vec_pl.report.native import native_statements
from net2vec_pl.report.val_counts import ValCounts
from net2vec_pl.runs import BANK, CLASSIFIERS, COUNTS
from net2vec_pl.units import told

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
        backbone: The network, frozen at the bank's layer, in place of all these.
        results: What its run found beside it.

    Attributes:
        classifiers: The bank of the same run that classifies whole images, where this one segments
            and the run did both.

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
        backbone: FrozenBackbone | None = None,
        results: Results | None = None,
    ) -> None:
        self.file = file
        self.device = device_of(device)
        self.protocol = file.protocol
        self.classifiers: Bank | None = None
        self._weights, self._network, self._results = weights, network, results
        if backbone is not None:
            self.device = next(backbone.buffers()).device
            self.backbone = backbone

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network where the bank says how to build it."""
        state = dict(vars(self))
        if self.header["model"]["weights"] != LIVE:
            state.pop("backbone", None)
        return state

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

    @property
    def results(self) -> Results:
        """Everything that the run found beside the bank.

        Raises:
            RunFolderError: If the bank was loaded from a file, which holds none of it.
        """
        if self._results is None:
            raise RunFolderError(
                "this bank was loaded from a file alone, which has no scores, tables or figures. "
                "load_bank(FOLDER) reads the tables of a run folder."
            )
        return self._results

    @property
    def scores(self) -> Table[Any]:
        """How well each concept does, a row each: a run's ``concepts.csv``.

        Of a bank that classifies it is ``classification.csv``. ``bank.scores["sky"].multi_val`` is
        one score; columns are explained at :mod:`net2vec_pl.records.run`.
        """
        return self.results.tables["concepts" if self.segments else "classification"]

    @property
    def findings(self) -> Table[Finding]:
        """What the analyses found, each statement with its number and interval."""
        return self.results.findings

    @property
    def tables(self) -> Mapping[str, Table[Any]]:
        """Every table of the run by the name of its file, such as ``tables["gains"]``."""
        return self.results.tables

    @property
    def plot(self) -> Plots:
        """Every figure of the run by name; ``plot.intervals(axes)`` draws on axes of yours."""
        return self.results.plots

    def report(self, path: str | PathLike[str] = "report.html") -> Path:
        """Write the page of the run: one file that opens from disk.

        Args:
            path: Path of the page.

        Returns:
            The same path.

        Raises:
            RunFolderError: If the run is not at hand, for the bank was loaded or pickled.
        """
        if (source := self.results.source) is None:
            raise RunFolderError(
                "the page needs the images of the run, which a bank that was loaded or pickled no "
                "longer has. A run on the command line leaves report.html in its folder."
            )
        at = new_file(path)
        source.report(at)
        return at

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the bank as a safetensors file, which :func:`load_bank` reads.

        Args:
            path: Path of the file, written whole or not at all.

        Returns:
            The same path.
        """
        at = new_file(path)
        self.file.save(at)
        return at

    def push_to_hub(
        self,
        repo: str,
        *,
        license: str | None = None,  # as the Hub calls it
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Share the bank: put it, with its card, into a repository of the Hugging Face Hub.

        Of a file of weights, only its name is told.

        Args:
            repo: ``owner/name``; made if there is none.
            license: A license that the Hub knows, such as ``"mit"``; none is stated if None.
            private: Whether a repository that is made is private.
            token: Access token; the one that ``hf auth login`` stored if None.

        Returns:
            The address that :func:`load_bank` takes.

        Raises:
            ConfigError: If ``repo`` is no such name, or huggingface_hub is missing (the extra
                ``hub``).
            RunFolderError: If the Hub cannot be reached or does not let us in.
        """
        table = () if self._results is None else self.scores
        controls = () if self._results is None else control_statements(self.findings)
        native = () if self._results is None else self.tables.get("native", ())
        file = without_folders(self.file)
        scores = native_statements(native)
        card = hub_card(file, repo, table, controls, scores, license=license)
        return push(file, repo, card, private=private, token=token)

    def compare(self, other: "Bank") -> Table[ComparedRow]:
        """Compare two banks on the concepts that both have.

        Args:
            other: A bank of the same target, of any layer, network and data.

        Returns:
            A row per concept, see :class:`~net2vec_pl.inference.compared.ComparedRow`: both scores,
            their difference with an interval and a test where both were scored on the same images,
            and the cosine of the two embeddings where they are of one layer.

        Raises:
            ConfigError: If they have no concept in common, or do different things.
        """
        if not isinstance(other, Bank):
            kind = type(other).__name__
            raise ConfigError(f"compare() takes a Bank, not {kind}; load_bank(PATH) gives one.")
        return compare_banks(Side(self.file, self._results), Side(other.file, other._results))

    def _repr_html_(self) -> str:
        """Show the best and the worst concepts in a notebook, with masks."""
        if self._results is None:
            return f"<div><b>{escape(repr(self))}</b><br>{escape(shorten(self.names, 20))}</div>"
        pictured = self.segments and self._results.source is not None
        return bank_card(
            repr(self),
            self._results,
            "multi_val" if self.segments else "accuracy",
            (lambda image, name: self.segment(image, [name])[0, 0]) if pictured else None,
        )

    def __repr__(self) -> str:
        concepts, filters = self.file.weight.shape
        name, layer = self.header["model"]["name"], self.header["layer"]
        words = told(self.file.units.plain, filters) or f"{filters} filters"
        return f"Bank({concepts} concepts over {words} of {name} {layer})"

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

        Of equally near ones, the first in the order of the bank are returned.

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
            expression: Such as ``"tree - wood"``, with spaces around the signs; or
                ``"'black + white' - cat"``, where a name has such a sign in it.
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
        size: int | tuple[int, int] | None = None,
    ) -> Float[Tensor, "N c H W"]:
        """Return at every pixel the probability of every concept, in [0, 1].

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concepts: Names of the concepts wanted, in this order; all if None.
            size: (H, W) wanted, or one number for both; that of the masks the bank was learned on
                if None.
        """
        enlarged = self._enlarged(images, concepts, size)
        return enlarged.sigmoid_()

    def segment(
        self,
        images: Images,
        concepts: Sequence[str] | None = None,
        size: int | tuple[int, int] | None = None,
    ) -> Bool[Tensor, "N c H W"]:
        """Return the mask of every concept: where its probability is above one half.

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concepts: Names of the concepts wanted, in this order; all if None.
            size: (H, W) wanted, or one number for both. With None these are the masks that the run
                scored, except that a run that kept activations, not bits, in memory kept them in
                half precision, which turns a pixel here and there.
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
        over positions (N, K, 1, 1). Of a bank over other units than filters, the activation is
        ``bank.file.units(activation)``.

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
        write_onnx(new_file(path), self.file, backbone, rows, size or self.mask_size)

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
        header as JSON text, ``bias`` (C,) and ``scale`` (K,) where the bank has them, and the
        tensors of its units, named ``units.``, where these are not filters.

        Args:
            path: Path of the file.
        """
        to_numpy(self.file, new_file(path))

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a row per concept: id, name, category, its weight of every filter, its bias if any.

        Args:
            path: Path of the file.
        """
        to_csv(self.file, new_file(path))

    def ablate(self, images: Images, concept: str, among: Images | None = None) -> Changed:
        """Take a concept out of the layer, and let the network go on.

        Along the embedding, the layer is brought to what it gives on average where the bank does
        not find the concept; at right angles to it, nothing changes. Filters are taken over their
        spread. The weights of a bank that reads bits or roots are lent to activations.

        Args:
            images: What :func:`~net2vec_pl.inference.pixels.each_image` takes.
            concept: Its name.
            among: Images from which that mean and the spread of filters are taken; ``images``
                themselves if None.

        Returns:
            What the network says ``before`` and ``after``, such as logits (N, T).

        Raises:
            ConfigError: If the concept is unknown, or everywhere in the images.
            BackboneError: If the bank's units are not filters, or the answer is not one tensor.
        """
        around = self._around(images if among is None else among, concept)
        return answers(self.backbone, images, without_concept(around))

    def steer(
        self,
        images: Images,
        concept: str,
        dose: float,
        region: Bool[Tensor, "h w"] | None = None,
        among: Images | None = None,
    ) -> Changed:
        """Put a concept into the layer, and let the network go on.

        Args:
            images: As in :meth:`ablate`.
            concept: Its name.
            dose: How much is added along the embedding, in standard deviations of a filter;
                below 0 it is taken away.
            region: Where, on the layer's grid; in the middle half of its height and width if None.
            among: As in :meth:`ablate`.

        Returns:
            What the network says ``before`` and ``after``.

        Raises:
            ConfigError: If the concept is unknown, or the region is of another size.
            BackboneError: As in :meth:`ablate`.
        """
        around = self._around(images if among is None else among, concept)
        change = with_concept(around, dose, region, self.backbone.shape[1:])
        return answers(self.backbone, images, change)

    def _around(self, images: Images, concept: str) -> Surroundings:
        self._check_segments()
        return Surroundings.of(self.file, self.backbone, images, self.vocabulary.row(concept))

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
        self, images: Images, concepts: Sequence[str] | None, size: int | tuple[int, int] | None
    ) -> Tensor:
        self._check_segments()
        rows = self._rows(concepts)
        enlarge = enlarger(
            self.backbone.shape[1:],
            self.mask_size if size is None else sides_of(size),
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
            bank is taken, with its tables; or an address on the Hugging Face Hub, such as
            ``"hf://owner/name"``; see :func:`~net2vec_pl.inference.hub.fetch`.
        weights: A weights file of its network, where the one that the bank names has moved; see
            :func:`~net2vec_pl.backbones.weights.load_weights`.
        network: The network itself, with its weights, for one that cannot be built from what the
            bank says; a copy is read. Either way its weights must be those that the bank was
            learned on.
        device: Where the network runs.

    Raises:
        RunFolderError: If there is no bank, it cannot be read, or it lacks something that a bank
            must say.
        ConfigError: If an address on the Hub is malformed, or huggingface_hub is missing (the extra
            ``hub``).

    Example:
        >>> load_bank("runs/NAME").nearest("sky")  # doctest: +SKIP
    """
    on_hub = isinstance(path, str) and path.startswith(HUB)
    file = fetch(str(path)) if on_hub else _found(Path(path))
    bank = BankFile.load(file)
    results = _results(file, bank) if Path(path).is_dir() else None
    return Bank(bank, weights=weights, network=network, device=device, results=results)


def _results(file: Path, bank: BankFile) -> Results:
    """Read what a run has left beside its bank."""
    tables, path = FolderTables(file.parent), file.parent / COUNTS
    if not bank.segments or not path.exists():
        return Results(tables)
    counts = ValCounts.load(path)
    return Results(tables, counts=counts.bank_counts(bank.vocabulary), groups=counts.groups())


def _found(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in (BANK, CLASSIFIERS):
        if (path / name).exists():
            return path / name
    if below := sorted(str(p.parent) for p in path.glob(f"*/{BANK}")):
        raise RunFolderError(
            f"{path} holds no {BANK}, but below it are those of several layers. Did you mean "
            f"{' or '.join(below[:3])}?"
        )
    raise RunFolderError(f"{path} holds no {BANK}: it is not a finished run.")
