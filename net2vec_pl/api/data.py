"""The ``data`` of ``learn``: a torch Dataset, a reader, a folder, or a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from torch.utils.data import DataLoader, Dataset

from net2vec_pl.data import ConceptReader
from net2vec_pl.data.groups import with_groups
from net2vec_pl.datasets import DatasetReader
from net2vec_pl.datasets.files.layouts import DOCS, choice_of
from net2vec_pl.errors import ConfigError, unknown

ProbeData: TypeAlias = (
    Dataset[Any]
    | list[Any]
    | tuple[Dataset[Any], Dataset[Any]]
    | ConceptReader
    | str
    | PathLike[str]
)
_DRAWN = "shapes"
_OF_DATASET = ("split", "image_size", "mask_size")
# Folders of files of any size, and the option that ``names`` is for.
_FILES = {"masks": "data.labels", "classes": "data.names"}


@dataclass(frozen=True)
class GivenData:
    """A dataset as the configuration names it, and itself if it exists already.

    Args:
        choice: The choice of the group ``data``.
        values: Options of the group by dotted name.
        reader: The dataset; None where the configuration says how to open it.
    """

    choice: str
    values: Mapping[str, Any]
    reader: ConceptReader | None = None


def data_given(arguments: Mapping[str, Any]) -> GivenData:
    """Find out what the data are.

    Args:
        arguments: Those of ``learn``.

    Raises:
        ConfigError: If the data are of no known kind, or an argument is of another kind of data.
        DataError: If they cannot be read.
    """
    data = arguments["data"]
    folder = isinstance(data, str | PathLike) and data != _DRAWN
    choice = _choice(data) if folder else None
    for name in _OF_DATASET:
        given = arguments[name] is not None and isinstance(data, ConceptReader | str | PathLike)
        if given and choice not in _FILES:
            raise ConfigError(
                f"{name} belongs to a torch Dataset; {_named(data)} says itself how it is split "
                "and how large its images and masks are."
            )
    groups = arguments["groups"]
    if isinstance(data, ConceptReader):
        reader = data if groups is None else with_groups(data, groups, "groups")
        return _live(reader, arguments["names"])
    if isinstance(data, str | PathLike):
        return _at(data, choice, arguments)
    parts = data if isinstance(data, tuple) else (data,)
    if isinstance(data, DataLoader):
        raise ConfigError("data is a DataLoader: give its .dataset, which has no batches.")
    if len(parts) not in (1, 2) or not all(hasattr(part, "__getitem__") for part in parts):
        raise ConfigError(
            f"data={_named(data)} must be a torch Dataset of (image, mask) or (image, {{name: "
            "mask}), two of them for train and val, a ConceptReader, a folder of images with masks "
            f"({DOCS}), or {_DRAWN!r}."
        )
    split = arguments["split"]
    return _live(
        DatasetReader(
            data if len(parts) == 1 else (parts[0], parts[1]),
            arguments["names"],
            **({} if split is None else {"split": split}),
            groups=groups,
            image_size=arguments["image_size"],
            mask_size=arguments["mask_size"],
            seed=arguments["seed"],
        )
    )


def _live(reader: ConceptReader, names: Any = None) -> GivenData:
    kind = type(reader)
    target = f"{kind.__module__}.{kind.__qualname__}"
    return GivenData("custom", {"data._target_": target, "data.names": names}, reader)


def _choice(data: str | PathLike[str]) -> str:
    """Return which dataset a folder is; BRODEN's reader tells what is wrong with any other."""
    root = Path(data).expanduser()
    choice = choice_of(root) if root.is_dir() else None
    return choice if choice in _FILES else "broden"


def _at(data: str | PathLike[str], choice: str | None, arguments: Mapping[str, Any]) -> GivenData:
    """Take a name, or a folder whose layout tells what it is."""
    names, groups = arguments["names"], arguments["groups"]
    if not isinstance(groups, str | None):
        raise ConfigError(
            f"groups of {_named(data)} must be a pattern on the names of its images, as in "
            "'^([^_]+)_', or 'folder'; a value per row needs the dataset itself."
        )
    if data == _DRAWN:
        return GivenData(_DRAWN, {"data.names": names, "data.group": groups})
    if isinstance(data, str) and "/" not in data and not Path(data).exists():
        raise ConfigError(unknown("dataset", data, [_DRAWN]) + f" A folder does: {DOCS}.")
    root = {"data.root": str(Path(data).expanduser())}
    if choice not in _FILES:
        return GivenData("broden", root | {"data.names": names, "data.group": groups})
    given = {"data.group": groups} | {
        f"data.{name}": arguments[name] for name in ("split", "image_size", "mask_size")
    }
    given[_FILES[choice]] = names
    return GivenData(choice, root | {k: v for k, v in given.items() if v is not None})


def _named(data: object) -> str:
    return repr(data) if isinstance(data, str | PathLike) else type(data).__name__
