"""Find images by path, folder and pattern, and name what each of them leads to."""

import glob
import mimetypes
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from net2vec_pl.errors import ConfigError, DataError

# Images by their suffix, which PIL reads under another name (.mpo, of two lenses), or cannot read:
# then the file is listed as skipped. Tables of types know some of them, on some machines.
_OTHER_SUFFIXES = (
    ".mpo", ".jps", ".pns", ".jpeg2000", ".btf", ".svs", ".ndpi",
    ".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avci", ".jxl", ".jxr", ".wdp", ".webp",
    ".svg", ".psb", ".xcf", ".exr", ".hdr", ".dcm", ".flif", ".bpg",
    ".dng", ".3fr", ".arw", ".cr2", ".cr3", ".erf", ".gpr", ".iiq", ".kdc", ".mrw", ".nef", ".nrw",
    ".orf", ".pef", ".raf", ".rw2", ".rwl", ".srw", ".x3f",
)  # fmt: skip
# What PIL may open by a plug-in and what looks like no image: data, and pages to be printed.
_NO_IMAGES = (".h5", ".hdf", ".grib", ".bufr", ".ps", ".mpg", ".mpeg")


@dataclass(frozen=True)
class Source:
    """A file that should be an image.

    Args:
        path: As it was named, or found.
        name: What its results are called: its place among the others, mostly without suffix.
    """

    path: Path
    name: str


def find_images(given: Sequence[str]) -> list[Source]:
    """Find every file that looks like an image.

    Files that are named are taken as they are. Folders are searched with all below them for the
    suffixes of images; what is hidden is left out.

    Args:
        given: Files, folders and patterns (``*``, ``?``, ``**``).

    Returns:
        Each file once, in the order of what was given, and by name within it.

    Raises:
        ConfigError: If nothing is given, or something leads nowhere.
        DataError: If no image is there.
    """
    if not given or not all(given):
        raise ConfigError("images is empty; name an image, a folder or a pattern: images=DIR.")
    found: dict[str, Path] = {}
    roots = []
    for name in given:
        root, paths = _expanded(name)
        roots.append(root)
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    if not found:
        raise DataError(
            f"images={','.join(given)}: no image is there. In a folder, files are known as images "
            "by their suffix (.jpg, .png, .tif, ...)."
        )
    top = os.path.commonpath(roots)
    names = _names([Path(at).relative_to(top) for at in found])
    return [Source(path, name) for path, name in zip(found.values(), names, strict=True)]


def _expanded(given: str) -> tuple[str, list[Path]]:
    """Return the folder under which results are named, and the files."""
    path = Path(given).expanduser()
    if path.is_dir():
        return os.path.abspath(path), list(_below(path))
    if os.path.lexists(path):
        return os.path.abspath(path.parent), [path]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not matches:
        raise ConfigError(
            f"images={given}: no such file or folder, and no pattern that fits any. Name "
            "images, a folder of them, or a pattern in quotes: 'images=\"photos/*.jpg\"'."
        )
    plain = path.parent
    while glob.has_magic(str(plain)):
        plain = plain.parent
    files = [f for m in matches for f in (_below(m) if m.is_dir() else [m])]
    return os.path.abspath(plain), [*dict.fromkeys(files)]


def _below(folder: Path) -> Iterator[Path]:
    """Yield what looks like an image in a folder and all below it; links to folders are followed.

    A folder that cannot be listed, or that is called like an image, is yielded too: reading it will
    say so.
    """
    closed: list[Path] = []
    seen = {os.path.realpath(folder)}
    if _looks_like_image(folder):
        yield folder
    for at, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda error: closed.append(Path(str(error.filename)))
    ):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(at, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in sorted([*files, *kept]):
            if not name.startswith(".") and _looks_like_image(Path(name)):
                yield Path(at, name)
    yield from closed


def _looks_like_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _NO_IMAGES:
        return False
    kind = mimetypes.guess_type(f"image{suffix}", strict=False)[0] or ""
    return suffix in _suffixes() or kind.startswith("image/") or suffix in _OTHER_SUFFIXES


@cache
def _suffixes() -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, form in known.items() if form in Image.OPEN)


def _names(places: Sequence[Path]) -> list[str]:
    """Return places without suffix; those that would be alike keep it.

    Example:
        >>> _names([Path("a/x.jpg"), Path("b/x.jpg"), Path("b/x.png")])
        ['a/x', 'b/x.jpg', 'b/x.png']
    """
    names = [place.with_suffix("").as_posix() for place in places]
    while len(set(names)) < len(names):
        count = Counter(names)
        names = [p.as_posix() if count[n] > 1 else n for p, n in zip(places, names, strict=True)]
    return names
