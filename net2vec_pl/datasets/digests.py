"""The fingerprint of a row that is made of files."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path


def files_digest(facts: str, files: Iterable[str | Path]) -> bytes:
    """Digest what is known of a row, and the bytes of its files.

    Args:
        facts: How the row is read, as text.
        files: Its files; one that cannot be read counts as such.
    """
    digest = blake2b(facts.encode(), digest_size=16)
    for file in files:
        try:
            digest.update(Path(file).read_bytes())
        except OSError:
            digest.update(b"unreadable")
    return digest.digest()
