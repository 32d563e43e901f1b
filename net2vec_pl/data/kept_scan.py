"""Keep scans on disk, so that a dataset is read once and not at every start.

A kept scan is used while the reader (class, code, attributes) and the size and time of change of
each of its files stay the same. A file that changes but keeps both is not noticed:
``data.scan=anew`` reads everything again. Processes that start together share one scan: one takes
it, the others wait. Whatever goes wrong with the folder costs a scan and a word in the log, never
the run.
"""

import inspect
import io
import json
import logging
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from filelock import FileLock, Timeout

from net2vec_pl.data.reader import ConceptReader
from net2vec_pl.data.scan import (
    Scan,
    Track,
    check_on_error,
    fault_of,
    read_files,
    usable,
)
from net2vec_pl.data.unknown import UnknownRows
from net2vec_pl.runs.files import whole
from net2vec_pl.version import __version__

FORMAT = 1  # of the file; a new number where a scan means something else
KEPT = 50  # scans; beyond, those not used for longest are removed
_PLAIN, _UNKNOWN = "plain", "unknown."
_CHUNK, _THREADS = 512, 8  # of files looked up: on a network drive each takes a round trip
_PATIENCE = 1800.0  # seconds that a process waits for another one's scan
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanKey:
    """What a kept scan belongs to.

    Args:
        reader: Digest of how the dataset is read, hexadecimal.
        files: Digest of the names, sizes and times of change of its files, hexadecimal.
    """

    reader: str
    files: str


def current_scan(
    reader: ConceptReader,
    *,
    anew: bool = False,
    workers: int = 0,
    on_error: str = "raise",
    track: Track = iter,
) -> Scan:
    """Return the scan of a dataset: the kept one if nothing has changed, else a new one, kept.

    Args:
        reader: The dataset; one whose :meth:`~ConceptReader.files` are None is scanned.
        anew: Read every file even if a scan is kept.
        workers: Processes that read; 0 reads in this one.
        on_error: As for :func:`~net2vec_pl.data.scan.scan_files`.
        track: Wraps the batches of a new scan, for a progress bar.

    Raises:
        DataError: If a row cannot be read and ``on_error`` is ``raise``, or none can.
        ConfigError: If ``on_error`` is neither ``raise`` nor ``skip``.
    """
    check_on_error(on_error)

    def read() -> Scan:
        return read_files(reader, workers=workers, track=track)

    key = key_of(reader)
    scan = read() if key is None else _shared(reader, key, read, anew=anew)
    return usable(reader, scan, on_error)


def cache_folder() -> Path:
    """Return the folder of kept scans: in NET2VEC_CACHE, else in the user's cache folder.

    Raises:
        RuntimeError: If there is neither, nor a home.
    """
    own, users = os.environ.get("NET2VEC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / "scans"
    return Path(users or Path.home() / ".cache") / "net2vec_pl" / "scans"


def key_of(reader: ConceptReader) -> ScanKey | None:
    """Return what a scan of a dataset depends on; None if it cannot be told from files."""
    if len(reader) == 0 or reader.files(0) is None:
        return None
    how = blake2b(repr((FORMAT, __version__, PIL.__version__)).encode(), digest_size=16)
    for kind in type(reader).__mro__:  # one's own reader is changed more often than released
        if issubclass(kind, ConceptReader) and kind is not ConceptReader:
            how.update(repr((kind.__module__, kind.__qualname__)).encode() + _code_of(kind))
    try:
        _StatePickler(how).dump(vars(reader))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        _log.warning(
            "the scan of %s is not kept, for its reader has no key: %s", reader.name, error
        )
        return None
    return ScanKey(how.hexdigest(), _stamp_of(reader))


def _code_of(kind: type) -> bytes:
    try:
        return Path(inspect.getfile(kind)).read_bytes()
    except (OSError, TypeError):  # typed into a notebook or a prompt
        return b"".join(
            function.__code__.co_code + repr(function.__code__.co_consts).encode()
            for function in vars(kind).values()
            if inspect.isfunction(function)
        )


class _StatePickler(pickle.Pickler):
    """Digest an object without holding its bytes; equal objects digest alike in any process."""

    def __init__(self, digest: Any) -> None:
        super().__init__(_Sink(digest), protocol=5)

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):  # torch's own bytes hold an address
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented


class _Sink(io.RawIOBase):
    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return memoryview(data).nbytes


def _stamp_of(reader: ConceptReader) -> str:
    """Digest paths, sizes and times of change; a file that is absent has neither."""
    rows = range(len(reader))
    names = list(dict.fromkeys(os.fspath(f) for row in rows for f in reader.files(row) or ()))
    chunks = [names[i : i + _CHUNK] for i in range(0, len(names), _CHUNK)]
    digest = blake2b(digest_size=16)
    with ThreadPoolExecutor(_THREADS) as threads:
        for part in threads.map(_look_up, chunks):
            digest.update(part)
    return digest.hexdigest()


def _look_up(names: list[str]) -> bytes:
    found = []
    for name in names:
        try:
            stat = os.stat(name)
            found.append(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}")
        except OSError:
            found.append(f"{name}\0absent")
    return "\0\0".join([*found, ""]).encode(errors="surrogateescape")


def _shared(reader: ConceptReader, key: ScanKey, read: Callable[[], Scan], *, anew: bool) -> Scan:
    """Load or take a scan; of several processes one takes it, and the others load that."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{key.reader}.npz"
        if not anew and (scan := load_scan(file, key, reader)):
            return scan
    except (OSError, RuntimeError) as error:
        _log.warning("the scan of %s cannot be kept: %s", reader.name, error)
        return read()
    with _locked(file, reader.name) as locked:
        if locked and not anew and (scan := load_scan(file, key, reader)):
            return scan  # taken by another process meanwhile
        scan = read()
        if locked:
            _keep(scan, file, key, reader)
        return scan


@contextmanager
def _locked(file: Path, name: str) -> Iterator[bool]:
    """Be the only process that takes a scan; yield whether that could be had."""
    lock = FileLock(file.with_suffix(".lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process that is reading %s", name)
            lock.acquire(timeout=_PATIENCE)
    except (OSError, NotImplementedError) as error:  # a Timeout too is an OSError
        _log.warning("the scan of %s cannot be shared: %s", name, error)
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _keep(scan: Scan, file: Path, key: ScanKey, reader: ConceptReader) -> None:
    if _stamp_of(reader) != key.files:
        _log.warning("the scan of %s is not kept: files changed while it was taken", reader.name)
        return
    try:
        save_scan(scan, file, key)
        by_age = sorted(file.parent.glob("*.npz"), key=lambda path: -path.stat().st_mtime)
        for old in by_age[KEPT:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".lock").unlink(missing_ok=True)
    except OSError as error:
        _log.warning("the scan of %s cannot be kept: %s", reader.name, error)


def save_scan(scan: Scan, file: Path, key: ScanKey) -> None:
    """Write a scan: arrays as such, and one entry of JSON with all else.

    Raises:
        OSError: If it cannot be written.
    """
    held = {**vars(scan)}
    unknown = held.pop("unknown")
    if unknown is not None:
        held |= {_UNKNOWN + name: value for name, value in vars(unknown).items()}
    arrays: dict[str, Any] = {
        n: value for n, value in held.items() if isinstance(value, np.ndarray)
    }
    plain = {name: value for name, value in held.items() if name not in arrays}
    text = json.dumps({"format": FORMAT, "key": [key.reader, key.files], "scan": plain})
    arrays[_PLAIN] = np.frombuffer(text.encode(), dtype=np.uint8)
    with whole(file) as part, part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_scan(file: Path, key: ScanKey, reader: ConceptReader) -> Scan | None:
    """Load a kept scan.

    Args:
        file: Where it may be.
        key: What it must belong to.
        reader: The dataset. Its unreadable rows are read again: what was wrong may have been the
            machine and not the file.

    Returns:
        The scan; None if there is none, it is damaged, or something has changed since.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        plain = json.loads(bytes(arrays.pop(_PLAIN)))
        if plain["format"] != FORMAT or plain["key"] != [key.reader, key.files]:
            return None
        held = plain["scan"] | arrays
        areas = {name: held.pop(name) for name in [*held] if name.startswith(_UNKNOWN)}
        if areas:
            held["unknown"] = UnknownRows(
                **{name.removeprefix(_UNKNOWN): value for name, value in areas.items()}
            )
        held["unreadable"] = tuple((int(row), str(fault)) for row, fault in held["unreadable"])
        scan = Scan(**held)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.error) as error:
        _log.warning("the kept scan %s is damaged and taken anew: %s", file, error)
        return None
    if any(fault_of(reader, row) != fault for row, fault in scan.unreadable):
        return None
    _log.info("files of %s are unchanged: scan kept from before", reader.name)
    try:
        os.utime(file)  # in use, so not among the first to be removed
    except OSError:
        _log.debug("%s is read-only", file)
    return scan
