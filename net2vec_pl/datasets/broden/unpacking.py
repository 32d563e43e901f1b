"""Unpack a zip file that may be anything: nothing lands outside its folder, and sizes are bounded.

A folder is there whole or not at all: files are unpacked beside it and renamed at the end.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from net2vec_pl.errors import DataError

MAX_FILES = 2_000_000
MAX_BYTES = 100 * 2**30
_BLOCK = 1 << 20
Track = Callable[[Iterable[zipfile.ZipInfo]], Iterable[zipfile.ZipInfo]]


def unpack(
    archive: Path,
    target: Path,
    *,
    needs: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    track: Track = iter,
) -> Path:
    """Unpack a zip file into a new folder.

    Args:
        archive: The zip file.
        target: The folder; if the archive holds a single folder, that one becomes it.
        needs: A file that the folder must hold then.
        max_files: Most entries that are unpacked.
        max_bytes: Most bytes that are unpacked.
        track: Wraps the entries, for a progress bar.

    Returns:
        The target.

    Raises:
        DataError: If the archive is damaged, lacks that file, is larger than it may be, or has an
            entry that is no plain file or would land elsewhere; or if the disk is too small.
    """
    if target.exists():
        raise DataError(f"{target} is there already; remove it to have it unpacked anew.")
    place = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
    try:
        with zipfile.ZipFile(archive) as source:
            entries = source.infolist()
            _check(entries, archive, max_files, max_bytes)
            _check_disk(sum(entry.file_size for entry in entries), target)
            place.mkdir(parents=True)
            for entry in track(entries):
                _extract(source, entry, place)
        found = next((f for f in (place, *place.iterdir()) if (f / needs).is_file()), None)
        if found is None:
            raise DataError(f"{archive} holds no {needs}: it is another archive.")
        found.replace(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} is damaged, or no zip file: {error}. Remove it.") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked into {target}: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return target


def _check(entries: list[zipfile.ZipInfo], archive: Path, max_files: int, max_bytes: int) -> None:
    """Look at all entries before the first is unpacked."""
    if len(entries) > max_files:
        raise DataError(f"{archive} holds {len(entries)} entries; {max_files} are the most.")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise DataError(f"{archive} unpacks to {total} bytes; {max_bytes} are the most.")
    if sum(entry.compress_size for entry in entries) > archive.stat().st_size:
        raise DataError(f"{archive} is no honest archive: its entries overlap.")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive} holds {entry.filename!r}, a link or another special file.")
        if not _stays_inside(entry.filename):
            raise DataError(f"{archive} holds {entry.filename!r}, which lies outside its folder.")


def _stays_inside(name: str) -> bool:
    """Return whether a path stays below the folder it is unpacked to, on any system."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts:
            return False
    return "\0" not in name


def _check_disk(needed: int, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DataError(
            f"{target} needs {needed / 2**30:.1f} GiB, but {target.parent} has "
            f"{free / 2**30:.1f} GiB free."
        )


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path) -> None:
    path = place / entry.filename
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open(entry) as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file, _BLOCK)  # zipfile reads no more than the entry's size
