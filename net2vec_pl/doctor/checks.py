"""What a check says."""

from dataclasses import dataclass
from typing import Literal

GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One line of the doctor's.

    Args:
        verdict: ``fix`` if a run would fail, ``warning`` if it would not do what was meant.
        text: What was found; of a fix also how to fix it.
    """

    verdict: Literal["ok", "warning", "fix"]
    text: str


def ok(text: str) -> Check:
    """Say what is as it should be."""
    return Check("ok", text)


def warning(text: str) -> Check:
    """Say what should be known, and stops nothing."""
    return Check("warning", text)


def fix(text: str) -> Check:
    """Say what must be fixed, and how."""
    return Check("fix", text)


def in_gib(size: int) -> str:
    """Word a number of bytes.

    Example:
        >>> in_gib(3 * 2**29), in_gib(2**20)
        ('1.50 GiB', '1 MiB')
    """
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.0f} MiB"
