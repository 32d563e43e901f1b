"""Find the mask files of each concept of each image, by folders or by the ends of names."""

from collections.abc import Mapping
from pathlib import Path

from net2vec_pl.datasets.files.image_files import files_by_key, tell_left_out
from net2vec_pl.errors import DataError

DOCS = "docs/datasets.md#masks"


def masks_by_concept(
    images: Mapping[str, Path], folder: Path, *, by_folder: bool
) -> dict[str, dict[str, Path]]:
    """Return the mask of each concept, by the key of an image.

    Args:
        images: Image files by key, from
            :func:`~net2vec_pl.datasets.files.image_files.files_by_key`.
        folder: The folder of masks.
        by_folder: Whether a concept has a folder, as in ``CONCEPT/NAME.png`` (or, where images are
            in folders, ``train/CONCEPT/NAME.png``); otherwise its name ends a mask's, as in
            ``NAME_CONCEPT.png``.

    Raises:
        DataError: If no mask belongs to an image.
    """
    found: dict[str, dict[str, Path]] = {}
    alone = []
    for key, path in files_by_key(folder).items():
        image, concept = (_by_folder if by_folder else _by_suffix)(key, images)
        if concept:
            found.setdefault(image, {})[concept] = path
        else:
            alone.append(str(path))
    if not found:
        form = "CONCEPT/NAME" if by_folder else "NAME_CONCEPT"
        raise DataError(
            f"no mask below {folder} is called {form} with the name of an image, such as "
            f"{next(iter(images))!r}; the first is {alone[0]}. {DOCS}"
        )
    tell_left_out("masks have no image", alone)
    tell_left_out("images have no mask", [str(images[key]) for key in images if key not in found])
    return {key: found[key] for key in images if key in found}


def _by_folder(key: str, images: Mapping[str, Path]) -> tuple[str, str]:
    parts = key.split("/")
    for place in range(len(parts) - 1):
        image = "/".join([*parts[:place], *parts[place + 1 :]])
        if image in images:
            return image, parts[place]
    return "", ""


def _by_suffix(key: str, images: Mapping[str, Path]) -> tuple[str, str]:
    """Take the longest name of an image: ``a_1_sky`` is the sky of ``a_1``, not of ``a``."""
    for place in reversed(range(1, len(key))):
        if key[place] == "_" and key[:place] in images and key[place + 1 :]:
            return key[:place], key[place + 1 :]
    return "", ""
