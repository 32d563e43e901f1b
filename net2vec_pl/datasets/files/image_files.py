"""List the image files of a folder, and match masks to images by their names."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

from net2vec_pl.errors import DataError, shorten

DOCS = "docs/datasets.md#masks"
_log = logging.getLogger(__name__)


@cache
def _suffixes() -> frozenset[str]:
    return frozenset(Image.registered_extensions()) - {".pdf", ".ps", ".eps", ".h5", ".hdf"}


def is_image_file(path: Path) -> bool:
    """Return whether a name is that of an image; hidden files of systems are none."""
    return path.suffix.lower() in _suffixes() and not path.name.startswith(".")


def files_by_key(folder: Path, *, suffix: str = "") -> dict[str, Path]:
    """List the images in a folder and below it.

    Args:
        folder: The folder.
        suffix: What the names end in, before the dot; others are left out.

    Returns:
        Paths by key: the path below the folder without the suffix, with ``/``, in the order of
        keys.

    Raises:
        DataError: If there is no such folder, or no such file, or two files have one key.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. {DOCS} has the layouts that are read.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if not (is_image_file(path) and path.is_file() and path.stem.endswith(suffix)):
            continue
        below = path.relative_to(folder).parent.as_posix()
        key = f"{below}/{path.stem.removesuffix(suffix)}".removeprefix("./")
        if key in found:
            raise DataError(
                f"{found[key]} and {path} have the same name but for their endings; keep one."
            )
        found[key] = path
    if not found:
        ending = f" whose name ends in {suffix!r} before the dot" if suffix else ""
        raise DataError(f"{folder} holds no image{ending}: {DOCS}")
    return dict(sorted(found.items()))


def matched(
    images: Mapping[str, Path], masks: Mapping[str, Path], *, suffix: str = ""
) -> dict[str, tuple[Path, Path]]:
    """Match images and masks of the same key, or of the same name if no key is the same.

    Args:
        images: Paths by key.
        masks: Paths by key.
        suffix: What was taken off the masks' names, for the message.

    Returns:
        (image, mask) by the image's key. What has no partner is left out, with a word of warning.

    Raises:
        DataError: If nothing matches.
    """
    pairs = {key: (images[key], masks[key]) for key in images if key in masks}
    if not pairs:
        by_name = {PurePosixPath(key).name: path for key, path in masks.items()}
        names = {key: PurePosixPath(key).name for key in images}
        if len(by_name) == len(masks) and len({*names.values()}) == len(names):
            pairs = {k: (images[k], by_name[n]) for k, n in names.items() if n in by_name}
    if not pairs:
        image, mask = next(iter(images)), next(iter(masks))
        raise DataError(
            f"no mask has the name of an image: images are called {image!r}, masks {mask!r}"
            f"{_hint(images, masks, suffix)}. {DOCS}"
        )
    used = {mask for _, mask in pairs.values()}
    tell_left_out("images have no mask", [str(images[k]) for k in images if k not in pairs])
    tell_left_out("masks have no image", [str(path) for path in masks.values() if path not in used])
    return pairs


def _hint(images: Mapping[str, Path], masks: Mapping[str, Path], suffix: str) -> str:
    for key in images:
        name = PurePosixPath(key).name
        for mask in masks:
            rest = PurePosixPath(mask).name.removeprefix(name)
            if rest and PurePosixPath(mask).name.startswith(name):
                return f". Did you mean data.suffix={rest}{suffix}?"
    return ""


def tell_left_out(what: str, paths: list[str]) -> None:
    """Warn of files that are left out; ``what`` follows their number."""
    if paths:
        _log.warning("%d %s and are left out: %s", len(paths), what, shorten(paths, shown=4))
