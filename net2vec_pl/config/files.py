"""Open datasets of image files: ``data=masks``, ``data=table`` and ``data=classes``."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from net2vec_pl.config.sizes import SIZES, Size, sizes_from
from net2vec_pl.config.values import whole_number
from net2vec_pl.data import ConceptReader
from net2vec_pl.data.groups import groups_by_name
from net2vec_pl.datasets.files.concept_masks import ConceptMasksReader, Row, Shown
from net2vec_pl.datasets.files.image_files import files_by_key, matched
from net2vec_pl.datasets.files.index_masks import IndexMasksReader
from net2vec_pl.datasets.files.layouts import DOCS, images_folder, likely_layout, masks_folder
from net2vec_pl.datasets.files.mask_folders import masks_by_concept
from net2vec_pl.datasets.files.mask_labels import MaskLabels, labels_from
from net2vec_pl.datasets.files.mask_tables import Table, class_rows, read_table
from net2vec_pl.datasets.files.split import split_names
from net2vec_pl.datasets.from_torch.labels import CATEGORY
from net2vec_pl.datasets.images.mask_files import MaskCoding
from net2vec_pl.errors import ConfigError, DataError, unknown

Options: TypeAlias = Mapping[str, Any]
OwnSize: TypeAlias = Callable[[], Size]

MASKS = (
    "root", "images", "masks", "suffix", "image_suffix", "concept_from", "labels", "unknown",
    "split", "seed", *SIZES,
)  # fmt: skip
TABLE = ("file", "split", "seed", *SIZES)
CLASSES = ("root", "file", "split", "seed", *SIZES)


def open_masks(options: Options, own_size: OwnSize) -> ConceptReader:
    """Open images with masks of label numbers, or with a mask for each concept.

    Raises:
        ConfigError: If an option is missing or cannot be used.
        DataError: If the folders do not fit together.
    """
    sizes = sizes_from(options, own_size)
    root = _root(options)
    images = _folder(options, "images", root, images_folder)
    masks = _folder(options, "masks", root, masks_folder)
    suffix, of_image = str(options["suffix"] or ""), str(options["image_suffix"] or "")
    pictures = files_by_key(images, suffix=of_image)
    if suffix and images == masks:  # masks lie beside the images
        pictures = {k: p for k, p in pictures.items() if not p.stem.endswith(suffix)}
    if options["concept_from"] is not None:
        return _concept_masks(options, root, pictures, masks, sizes)
    labels = labels_from(_labels_given(options, root))
    pairs = matched(pictures, files_by_key(masks, suffix=suffix), suffix=suffix)
    names, is_train = _split([*pairs], options, root)
    return IndexMasksReader(
        root.resolve().name,
        {name: pairs[name] for name in names},
        labels,
        is_train,
        _coding(options["unknown"], labels),
        **sizes,
    )


def open_table(options: Options, own_size: OwnSize) -> ConceptReader:
    """Open what a CSV file lists: images, concepts, and masks if there are any.

    Raises:
        ConfigError: If an option is missing or cannot be used.
        DataError: If the table cannot be read.
    """
    if options["file"] is None:
        raise ConfigError(
            f"data=table needs data.file=CSV, with the columns image, concept, mask: {DOCS}#table"
        )
    return _of_table(options, own_size)


def open_classes(options: Options, own_size: OwnSize) -> ConceptReader:
    """Open images whose folder, or whose line in a CSV file, names their class.

    Raises:
        ConfigError: If an option is missing or cannot be used.
        DataError: If the folder or the table cannot be read.
    """
    if options["file"] is not None:
        return _of_table(options, own_size)
    if options["root"] is None:
        raise ConfigError(
            "data=classes needs data.root=DIR, with a folder for each class, or data.file=CSV, "
            f"with the columns image and concept: {DOCS}#classes"
        )
    root = _root(options)
    rows = {row.name: row for row in class_rows(root)}
    names, is_train = _split([*rows], options, root)
    chosen = [rows[name] for name in names]
    return ConceptMasksReader(
        root.resolve().name, chosen, is_train, **sizes_from(options, own_size)
    )


def _of_table(options: Options, own_size: OwnSize) -> ConceptReader:
    path = Path(str(options["file"])).expanduser()
    table = read_table(path)
    rows = {row.name: row for row in table.rows}
    if table.splits and options["split"] is None:
        names, is_train = [*rows], np.array(table.splits)
    else:
        names, is_train = _split([*rows], options, path.parent, table.groups)
    kept = _kept(table, names)
    return ConceptMasksReader(
        path.stem, kept.rows, is_train, kept.group_numbers, **sizes_from(options, own_size)
    )


def _split(
    names: list[str], options: Options, root: Path, groups: Sequence[Hashable] = ()
) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """Return the images to use and which are for training; a share is drawn by whole groups.

    Args:
        names: All there are.
        options: Those of the dataset, of which ``group`` counts before ``groups``.
        root: Where files of names are looked for.
        groups: A value per name, if the dataset has groups.
    """
    if options["group"] is not None:
        groups = groups_by_name(names, options["group"], "data.group").tolist()
    return split_names(names, options["split"], root, _seed(options), groups or None)


def _kept(table: Table, names: list[str]) -> Table:
    chosen = {*names}
    groups = [g for row, g in zip(table.rows, table.groups, strict=False) if row.name in chosen]
    return Table([row for row in table.rows if row.name in chosen], [], groups)


def _concept_masks(
    options: Options, root: Path, images: dict[str, Path], masks: Path, sizes: dict[str, Any]
) -> ConceptReader:
    layout = options["concept_from"]
    if layout not in ("folder", "suffix"):
        raise ConfigError(unknown("value of data.concept_from", str(layout), ("folder", "suffix")))
    found = masks_by_concept(images, masks, by_folder=layout == "folder")
    names, is_train = _split([*found], options, root)
    rows = [
        Row(
            name,
            images[name],
            tuple(Shown(CATEGORY.name, concept, path) for concept, path in found[name].items()),
        )
        for name in names
    ]
    given = options["labels"]
    chosen = None if given is None else labels_from(_labels_given(options, root)).names
    return ConceptMasksReader(root.resolve().name, rows, is_train, names=chosen, **sizes)


def _root(options: Options) -> Path:
    if options["root"] is None and not (options.get("images") and options.get("masks")):
        raise ConfigError(
            "data=masks needs data.root=DIR, with a folder of images and a folder of masks, or "
            f"data.images=DIR data.masks=DIR: {DOCS}#masks"
        )
    root = Path(str(options["root"] or options["images"])).expanduser()
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder. {DOCS} has the layouts that are read.")
    return root


def _folder(options: Options, what: str, root: Path, usual: Callable[[Path], Path | None]) -> Path:
    if options[what] is not None:
        given = Path(str(options[what])).expanduser()
        folder = root / given if options["root"] is not None else given
        if not folder.is_dir():
            raise DataError(f"data.{what}={folder}: no such folder. {DOCS}#masks")
        return folder
    if (found := usual(root)) is None:
        inside = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise DataError(
            f"data.root={root} has no folder of {what} by a usual name; give data.{what}=FOLDER. "
            f"It holds {', '.join(inside[:12]) or 'no folder'}. {likely_layout(root)}"
        )
    return found


def _labels_given(options: Options, root: Path) -> Any:
    given = options["labels"]
    if given is None:
        for name in ("labelmap.txt", "objectInfo150.txt", "labels.txt", "classes.txt"):
            if (root / name).is_file():
                return root / name
        raise ConfigError(
            "data.labels says what the numbers in the masks are called: a list of names, "
            f"{{number: name}}, or a file of them: {DOCS}#names-of-labels"
        )
    if isinstance(given, str) and not Path(given).expanduser().is_file():
        if (root / given).is_file():
            return root / given
        raise ConfigError(f"data.labels={given}: no such file. {DOCS}#names-of-labels")
    return given


def _coding(given: Any, labels: MaskLabels) -> MaskCoding:
    """Read ``data.unknown``: ``auto``, null, numbers, colours, or a list of these."""
    colours = labels.colours or None
    if given == "auto":
        return MaskCoding(colours=colours)
    numbers: list[int] = []
    unknown_colours = []
    for one in given if isinstance(given, list) else [] if given is None else [given]:
        if isinstance(one, int):
            numbers.append(whole_number("data.unknown", one, 0))
            continue
        try:
            red, green, blue = ImageColor.getrgb(str(one))[:3]
        except ValueError as error:
            raise ConfigError(
                f"data.unknown={one} must be auto, null, a number, or a colour such as '#e0e0c0': "
                f"{DOCS}#mask-files"
            ) from error
        unknown_colours.append((red, green, blue))
    return MaskCoding(tuple(numbers), tuple(unknown_colours), colours)


def _seed(options: Options) -> int:
    return whole_number("data.seed", options["seed"], 0, 2**32 - 1)
