"""``net2vec_pl.learn``: a bank of concept embeddings in one call."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from inspect import signature
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, overload

import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from net2vec_pl import processes
from net2vec_pl.api.arguments import Arguments
from net2vec_pl.api.banks import bank_of
from net2vec_pl.api.data import ProbeData
from net2vec_pl.api.manners import as_a_guest
from net2vec_pl.api.request import Request
from net2vec_pl.data.groups import Groups
from net2vec_pl.datasets.split import Split
from net2vec_pl.errors import RunFolderError
from net2vec_pl.inference import Bank
from net2vec_pl.job import run_job
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.protocol import Protocol
from net2vec_pl.runs.folder import run_folder
from net2vec_pl.studies import Question

_SHOWN = 6  # of a list, in the words of a call
Target = Literal["segmentation", "classification", "both"]
Cache = Literal["memory", "device", "disk", "none"]


@overload
def learn(  # type: ignore[overload-overlap]  # "all" is a str too
    network: nn.Module | str,
    layer: Literal["all"] | list[str] | tuple[str, ...],
    *,
    data: ProbeData = "shapes",
    names: Sequence[str] | Mapping[int, str] | None = None,
    categories: Sequence[str] | None = None,
    split: Split | None = None,
    groups: Groups | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    mask_size: int | tuple[int, int] | None = None,
    min_train: int = 1,
    min_val: int = 1,
    on_error: Literal["raise", "skip"] = "raise",
    weights: str | PathLike[str] | None = None,
    scaling: str | Mapping[str, Sequence[float]] | None = None,
    units: str | Mapping[str, Any] = "filters",
    protocol: str | Protocol = "paper",
    probe: str | type[Fitter] | None = None,
    target: Target = "segmentation",
    analyses: str | Sequence[str | Question] = "basic",
    beside: Sequence[str] = ("mean_difference", "lda"),
    seed: int = 0,
    seeds: int = 1,
    device: str | torch.device = "auto",
    devices: int = 1,
    cache: Cache = "memory",
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = False,
    logger: str | Logger | None = None,
    folder: str | PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Bank]: ...
@overload
def learn(
    network: nn.Module | str,
    layer: str | None = None,
    *,
    data: ProbeData = "shapes",
    names: Sequence[str] | Mapping[int, str] | None = None,
    categories: Sequence[str] | None = None,
    split: Split | None = None,
    groups: Groups | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    mask_size: int | tuple[int, int] | None = None,
    min_train: int = 1,
    min_val: int = 1,
    on_error: Literal["raise", "skip"] = "raise",
    weights: str | PathLike[str] | None = None,
    scaling: str | Mapping[str, Sequence[float]] | None = None,
    units: str | Mapping[str, Any] = "filters",
    protocol: str | Protocol = "paper",
    probe: str | type[Fitter] | None = None,
    target: Target = "segmentation",
    analyses: str | Sequence[str | Question] = "basic",
    beside: Sequence[str] = ("mean_difference", "lda"),
    seed: int = 0,
    seeds: int = 1,
    device: str | torch.device = "auto",
    devices: int = 1,
    cache: Cache = "memory",
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = False,
    logger: str | Logger | None = None,
    folder: str | PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Bank: ...
def learn(
    network: nn.Module | str,
    layer: str | Sequence[str] | None = None,
    *,
    data: ProbeData = "shapes",
    names: Sequence[str] | Mapping[int, str] | None = None,
    categories: Sequence[str] | None = None,
    split: Split | None = None,
    groups: Groups | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    mask_size: int | tuple[int, int] | None = None,
    min_train: int = 1,
    min_val: int = 1,
    on_error: Literal["raise", "skip"] = "raise",
    weights: str | PathLike[str] | None = None,
    scaling: str | Mapping[str, Sequence[float]] | None = None,
    units: str | Mapping[str, Any] = "filters",
    protocol: str | Protocol = "paper",
    probe: str | type[Fitter] | None = None,
    target: Target = "segmentation",
    analyses: str | Sequence[str | Question] = "basic",
    beside: Sequence[str] = ("mean_difference", "lda"),
    seed: int = 0,
    seeds: int = 1,
    device: str | torch.device = "auto",
    devices: int = 1,
    cache: Cache = "memory",
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = False,
    logger: str | Logger | None = None,
    folder: str | PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Bank | dict[str, Bank]:
    """Learn a vector per concept over the filters of a layer of a frozen network.

    This is the whole job of the command line, with the same numbers to the last bit. The network
    given is copied, so it may go on being trained. Nothing is printed, and no file is kept unless
    ``folder`` is given.

    Args:
        network: A network that takes scaled RGB images (N, 3, H, W), with its weights; or the name
            of one, as in ``model=`` of the command line. Hooks of its own run on the copy too.
        layer: A module path such as ``"layer4"`` (:meth:`torch.nn.Module.named_modules` lists
            them), or the name that papers use where the network is given by name. None takes the
            last layer that gives a map. A list takes several from one pass over the images, and
            ``"all"`` all that have a name.
        data: A torch Dataset of ``(image, mask)`` or ``(image, {name: mask})``, or two of them for
            train and val; see :class:`~net2vec_pl.datasets.DatasetReader`. Or a
            :class:`~net2vec_pl.data.ConceptReader`, a folder in BRODEN's layout, or ``"shapes"``.
        names: With a Dataset whose masks hold numbers, the name of each: of 1, 2 and so on as a
            list, or by number. Otherwise which concepts to learn, as names or shell patterns; all
            if None.
        categories: Learn only concepts of these categories.
        split: Of a Dataset: the share of val images (0.3 if None), or for each image whether it is
            a train image.
        groups: Of a Dataset: what each image belongs to, such as its film; no group is split
            between train and val.
        image_size: Of a Dataset: (H, W) that images are brought to.
        mask_size: Of a Dataset: (sh, sw) that masks are brought to.
        min_train: Fewest train images that a concept needs.
        min_val: Fewest val images.
        on_error: What to do about unreadable images.
        weights: Of a network given by name: a file, or a name of torchvision's; its own if None.
        scaling: How pixels become the network's input: ``"torchvision"``, ``"half"``, ``"unit"``
            or ``{"mean": [...], "std": [...]}``; the network's own if None, torchvision's for a
            live one.
        units: What is probed at the layer: ``"filters"``, ``"rotation"``, ``"signed"``, ``"pca"``,
            ``"nmf"`` or ``"sae"``; with options as in ``{"name": "sae", "file": PATH}``.
        protocol: Its name (``"paper"``, ``"best"``, ``"lda"``, …), or all of its options as an
            object.
        probe: What learns, in place of the protocol's: a name, or a class of your own.
        target: What the bank does: give masks, or classify whole images. With ``"both"`` the
            classifiers are ``bank.classifiers``.
        analyses: ``"basic"``, ``"all"``, ``"none"``, or a list of questions: names, or objects.
        beside: Probes in closed form that are scored beside this one, with reference levels.
        seed: Seed of everything that is drawn.
        seeds: How many banks to learn side by side.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        devices: Processes, one per device. More than one needs a script, which each of them runs
            from its beginning, as with Lightning's ddp; a notebook is told which command does it.
        cache: Where activations are kept; ``"disk"`` needs ``options={"cache.dir": DIR}``.
        batch_size: Images at a time.
        workers: Processes that read images; 0 reads them in this one.
        progress: Whether to show bars.
        logger: A logger of Lightning; or ``"csv"``, ``"tensorboard"`` or ``"wandb"``, which write
            into ``folder``.
        folder: Where to leave everything that a run of the command line leaves. A run that was
            stopped there goes on.
        options: Any other option of the command line, by its dotted name:
            ``{"protocol.epochs": 5}``.

    Returns:
        The bank, with scores, tables, findings and figures; several layers give a bank for each,
        by its name.

    Raises:
        ConfigError: If an argument cannot be used.
        DataError: If data is unreadable, or leaves nothing to learn.
        BackboneError: If network, weights or layer cannot be had.
        RunFolderError: If the folder is taken.

    Example:
        >>> import net2vec_pl, torchvision
        >>> network = torchvision.models.resnet50(weights="DEFAULT")  # doctest: +SKIP
        >>> bank = net2vec_pl.learn(  # doctest: +SKIP
        ...     network, "layer4", data=dataset, names=["dog", "tree"], protocol="best"
        ... )
        >>> bank.scores["dog"].multi_val, bank.segment("photo.jpg")  # doctest: +SKIP
    """
    return _learned(dict(locals()))


def _learned(arguments: Arguments) -> Bank | dict[str, Bank]:
    alone = processes.alone() if arguments["devices"] == 1 else nullcontext()
    with as_a_guest(), alone, _place(arguments["folder"]) as folder:
        request = Request(arguments, folder)
        layers = run_job(
            request.subject,
            request.options,
            request.questions,
            run_folder(lambda: folder, request.save),
            request.open_log,
            _call(arguments),
        )
        processes.wait()  # until the first one has written everything
        banks = {found.job.backbone.layer: bank_of(found) for found in layers}
        processes.wait()  # until all have read it, for the folder may go
    one = isinstance(arguments["layer"], str | None) and arguments["layer"] != "all"
    return next(iter(banks.values())) if one else banks


def _call(arguments: Arguments) -> str:
    """Write down the call, for the page: what is not as usual, objects by their class."""
    usual = signature(learn).parameters
    given = [f"{k}={_brief(v)}" for k, v in arguments.items() if v is not usual[k].default]
    return f"net2vec_pl.learn({', '.join(given)})"


def _brief(value: object) -> str:
    if isinstance(value, str | int | float | Mapping | PathLike):
        return repr(value)
    if isinstance(value, list | tuple):
        parts = [_brief(part) for part in value[:_SHOWN]]
        return f"[{', '.join(parts)}{', …' * (len(value) > _SHOWN)}]"
    return f"<{type(value).__name__}>"


@contextmanager
def _place(folder: str | PathLike[str] | None) -> Iterator[Path]:
    """Lend a folder: the one asked for, or one that is gone afterwards."""
    if folder is None:
        with TemporaryDirectory(prefix="net2vec_pl-") as temporary:
            yield Path(temporary)
    else:
        at = Path(folder).absolute()
        try:
            at.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"folder={at} cannot be made: {error.strerror}.") from error
        yield at
