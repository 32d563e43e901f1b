"""The folder of a cache on disk: named by the digest of its key, and complete or not there.

A cache is a folder named by the digest of its key (everything that its content depends on). It
holds ``part-i-of-n.h5``, one per process that built it (``disk_sink.py`` says what is in it), and
``complete.json``, written last: the key, and size and digest of every part. The folder gets its
name only when all of it is there.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock

from net2vec_pl import processes
from net2vec_pl.errors import CacheError

FORMAT_VERSION = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheKey:
    """Everything that the content of a cache depends on.

    Args:
        parts: Plain JSON: model, weights, layer, input scaling, precision, data, thresholds.
    """

    parts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the key, hexadecimal."""
        text = json.dumps(self.parts | {"format_version": FORMAT_VERSION}, sort_keys=True)
        return blake2b(text.encode(), digest_size=10).hexdigest()


class CacheFolder:
    """The place of one cache among others.

    Args:
        root: The folder of all caches.
        key: Key of this one.
    """

    def __init__(self, root: Path, key: CacheKey) -> None:
        self.key = key
        self.path = root / key.digest
        self._building = root / f"{key.digest}.building"
        self._lock = FileLock(root / f"{key.digest}.lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other runs from building the same cache meanwhile; wait for one that does."""
        if not processes.is_first():
            yield
            return
        make_root(self.path.parent)
        if not _acquired_at_once(self._lock):
            _log.info("another run is building the cache %s; waiting for it", self.path)
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def is_complete(self) -> bool:
        """Return whether the cache is there, whole and undamaged; say so if it is damaged.

        Raises:
            CacheError: If what is there has another key.
        """
        if not self.path.exists():
            return False
        try:
            manifest = json.loads((self.path / "complete.json").read_text())
            key, parts = manifest["key"], manifest["parts"]
            fits = {p.name: _describe(p) for p in self.parts()} == parts and len(parts) > 0
            key = dict(key)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            fits, key = False, None
        if fits and key != self._key_parts:
            differing = sorted(
                k for k in {*key, *self._key_parts} if key.get(k) != self._key_parts.get(k)
            )
            raise CacheError(
                f"the cache {self.path} was made for something else ({', '.join(differing)} "
                "differ) and cannot be used; remove it, or choose another cache.dir."
            )
        if not fits:
            _log.warning("the cache %s is damaged or incomplete; it will be rebuilt", self.path)
        return fits

    @property
    def _key_parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = json.loads(json.dumps(self.key.parts))
        return parts | {"format_version": FORMAT_VERSION}

    def prepare(self) -> Path:
        """Make room for the parts and return where this process's one goes."""
        if processes.is_first():
            for folder in (self.path, self._building):
                shutil.rmtree(folder, ignore_errors=True)
            self._building.mkdir(parents=True)
        processes.wait()
        return self._building / f"part-{processes.rank()}-of-{processes.count()}.h5"

    def finish(self) -> None:
        """Give a cache whose parts are all written its name."""
        processes.wait()
        if processes.is_first():
            parts = {p.name: _describe(p) for p in sorted(self._building.glob("part-*.h5"))}
            manifest = {"key": self._key_parts, "parts": parts}
            (self._building / "complete.json").write_text(json.dumps(manifest, indent=1))
            os.replace(self._building, self.path)
        processes.wait()

    def parts(self) -> list[Path]:
        """Return the files of a complete cache."""
        return sorted(self.path.glob("part-*.h5"))


def make_root(root: Path) -> None:
    """Make the folder of all caches.

    Raises:
        CacheError: If it cannot be made or written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root):
            pass
    except OSError as error:
        message = f"cache.dir={root} cannot be written: {error.strerror}."
        raise CacheError(message) from error


def _acquired_at_once(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return False
    return True


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = file_digest(file, lambda: blake2b(digest_size=16))
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}


def forecast_bytes(
    num_images: int, shape: tuple[int, int, int], mask_size: tuple[int, int], map_layers: int
) -> int:
    """Return what a cache takes at most: bits not compressed at all, label maps to an eighth."""
    k, h, w = shape
    return num_images * (k * -(-h * w // 8) + map_layers * mask_size[0] * mask_size[1] * 2 // 8)


def check_room(root: Path, needed: int) -> None:
    """Refuse to begin what the disk will not hold.

    Raises:
        CacheError: If there is less room than needed.
    """
    at = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    free = shutil.disk_usage(at).free
    _log.info(
        "the cache needs up to %.0f MiB of disk; %.0f MiB are free", needed / 2**20, free / 2**20
    )
    if free < needed:
        raise CacheError(
            f"the cache may take {needed / 2**30:.2f} GiB, but {at} has {free / 2**30:.2f} left: "
            "free some, name another cache.dir, or choose cache=memory or cache=none."
        )
