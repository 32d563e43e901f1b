"""Download one large file: resumed where it broke off, from the first of its addresses that works.

What has arrived lies in ``NAME.part`` beside the target, with ``NAME.part.json`` saying which
version of the file it belongs to. Only a file of the right kind, size and digest gets its name.
"""

import hashlib
import http.client
import json
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from net2vec_pl.errors import ConfigError, DataError

ATTEMPTS = 6  # in a row that bring nothing
TIMEOUT = 30.0  # seconds without a byte
_PATIENCE = 60.0  # seconds between two attempts at most
_BLOCK = 1 << 20
_FAULTS_OF_LINE = (OSError, http.client.HTTPException)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256"}
_log = logging.getLogger(__name__)


class _WrongAddressError(Exception):
    """An address that will not give the file, however often it is asked."""


@dataclass(frozen=True)
class Wanted:
    """What is to be downloaded.

    Args:
        urls: Addresses (http or https) of the same file, tried in this order.
        magic: Bytes that it begins with, by which an error page is told from it.
        size: Its bytes, if known.
        digest: Its digest, if known: hexadecimal MD5, SHA-1 or SHA-256, told apart by length.
    """

    urls: Sequence[str]
    magic: bytes
    size: int | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        for url in self.urls:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ConfigError(f"the address {url} must begin with http:// or https://.")
        if self.digest is not None:
            _algorithm(self.digest)


def download(
    wanted: Wanted,
    target: Path,
    *,
    progress: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file, going on where an earlier call was interrupted.

    Args:
        wanted: What, and from where.
        target: Where to; a file that is there already is replaced.
        progress: Whether to show a bar.
        sleep: Waits between attempts.

    Returns:
        The target.

    Raises:
        DataError: If no address gives the whole, right file, or the disk is too small.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for url in wanted.urls:
        part = _Part(target, url)
        try:
            _fetch(wanted, part, progress=progress, sleep=sleep)
            _check_digest(wanted, part)
        except _WrongAddressError as error:
            _log.warning("%s: %s", url, error)
            faults.append(f"{url}: {error}")
            continue
        part.finish()
        return target
    lines = "\n  ".join(faults)
    raise DataError(f"{target.name} cannot be downloaded:\n  {lines}")


class _Part:
    """What has arrived of a file from one address, and of which version of it."""

    def __init__(self, target: Path, url: str) -> None:
        self.target, self.url = target, url
        self.path = target.with_name(f"{target.name}.part")
        self._notes = target.with_name(f"{target.name}.part.json")
        self.version: str | None = None
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            self._begun = notes["url"] == url and self.path.is_file()
            self.version = notes["version"] if self._begun else None
        except (OSError, ValueError, KeyError, TypeError):
            self._begun = False

    @property
    def size(self) -> int:
        """Bytes that have arrived from this address; another's are kept until it answers."""
        return self.path.stat().st_size if self._begun else 0

    def begin(self, version: str | None) -> None:
        """Start from nothing, on a version of the file (an ETag or a date; None if unknown)."""
        self._begun, self.version = True, version
        self.path.write_bytes(b"")
        self._notes.write_text(json.dumps({"url": self.url, "version": version}), encoding="utf-8")

    def drop(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self._begun, self.version = False, None

    def finish(self) -> None:
        """Give the file its name."""
        self.path.replace(self.target)
        self._notes.unlink(missing_ok=True)


def _fetch(wanted: Wanted, part: _Part, *, progress: bool, sleep: Callable[[float], None]) -> None:
    """Ask one address until the file is whole, as long as attempts bring something."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bars:
        task = bars.add_task(part.target.name, total=wanted.size)

        def show(done: int, total: int | None) -> None:
            bars.update(task, completed=done, total=total)

        failed, most = 0, part.size
        while True:
            wait = 0.0
            try:
                if _attempt(wanted, part, show):
                    return
                fault = f"the connection ended after {part.size} bytes"
            except urllib.error.HTTPError as error:
                if error.code not in _PASSING:
                    raise _WrongAddressError(f"{error.code} {error.reason}") from error
                fault, wait = f"{error.code} {error.reason}", _wait_of(error)
            except _FAULTS_OF_LINE as error:
                fault = str(getattr(error, "reason", error)) or type(error).__name__
            failed = 0 if part.size > most else failed + 1
            most = max(most, part.size)
            if failed >= ATTEMPTS:
                raise _WrongAddressError(f"{fault}; given up after {ATTEMPTS} attempts")
            _log.info("%s: %s; trying again", part.url, fault)
            sleep(min(max(wait, 2.0**failed / 2), _PATIENCE))


def _wait_of(error: urllib.error.HTTPError) -> float:
    text = error.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _attempt(wanted: Wanted, part: _Part, show: Callable[[int, int | None], None]) -> bool:
    """Ask once; return whether the file is whole."""
    request = urllib.request.Request(part.url, headers={"User-Agent": "net2vec_pl"})
    if part.size and part.version:
        request.add_header("Range", f"bytes={part.size}-")
        request.add_header("If-Range", part.version)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.drop()  # longer than the file: it is another one by now
        return False
    with answer:
        goes_on = answer.status == 206 and _start_of(answer) == part.size
        total = _total_of(answer, part.size if goes_on else 0)
        _check_size(wanted, total)
        if not goes_on:
            if answer.status == 206:
                part.drop()
                raise OSError("the server sent another part than was asked for")
            part.begin(_version_of(answer))
        _check_disk(part, total)
        _write(wanted, part, answer, lambda done: show(done, total or wanted.size))
    known = total if total is not None else wanted.size
    return part.size == known if known is not None else True


def _start_of(answer: http.client.HTTPResponse) -> int:
    text = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(text) if text.isdecimal() else 0


def _version_of(answer: http.client.HTTPResponse) -> str | None:
    tag = answer.headers.get("ETag", "")
    strong = tag if tag and not tag.startswith("W/") else None  # If-Range takes no weak ones
    return strong or answer.headers.get("Last-Modified")


def _total_of(answer: http.client.HTTPResponse, have: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdecimal() else None


def _check_size(wanted: Wanted, total: int | None) -> None:
    if wanted.size is not None and total is not None and total != wanted.size:
        raise _WrongAddressError(f"the file there has {total} bytes instead of {wanted.size}")


def _check_disk(part: _Part, total: int | None) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.size > free:
        raise DataError(
            f"{part.target} needs {(total - part.size) / 2**30:.1f} GiB more, but "
            f"{part.path.parent} has {free / 2**30:.1f} GiB free."
        )


def _write(
    wanted: Wanted, part: _Part, answer: http.client.HTTPResponse, show: Callable[[int], None]
) -> None:
    done = part.size
    with part.path.open("ab") as file:
        while block := answer.read(_BLOCK):
            if done == 0 and not block.startswith(wanted.magic[: len(block)]):
                file.close()
                part.drop()
                begin = block[:40].decode("ascii", "replace").split("\n")[0]
                raise _WrongAddressError(f"the file there is another one: it begins {begin!r}")
            file.write(block)
            done += len(block)
            show(done)


def _check_digest(wanted: Wanted, part: _Part) -> None:
    if wanted.size is not None and part.size != wanted.size:
        found = part.size
        part.drop()
        raise _WrongAddressError(f"the file there has {found} bytes instead of {wanted.size}")
    if wanted.digest is None:
        return
    algorithm = _algorithm(wanted.digest)
    with part.path.open("rb") as file:
        found_digest = hashlib.file_digest(file, algorithm).hexdigest()
    if found_digest != wanted.digest.lower():
        part.drop()
        raise _WrongAddressError(
            f"the file there has the {algorithm} digest {found_digest} instead of {wanted.digest}"
        )


def _algorithm(digest: str) -> str:
    hexadecimal = digest.isascii() and all(c in "0123456789abcdef" for c in digest.lower())
    if not hexadecimal or len(digest) not in _DIGESTS:
        raise ConfigError(
            f"the digest {digest!r} must be an MD5 (32 hexadecimal digits), SHA-1 (40) or "
            "SHA-256 (64)."
        )
    return _DIGESTS[len(digest)]
