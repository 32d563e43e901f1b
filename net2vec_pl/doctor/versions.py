"""Whether the packages at hand are those that are asked for, and go with each other.

Nothing heavy is imported here, for packages that do not go together may fail as they are imported.
"""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from net2vec_pl.doctor.checks import Check, fix, ok, warning
from net2vec_pl.version import __version__

_SHOWN = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "h5py",
    "wandb",
)  # fmt: skip


def check_versions() -> Iterator[Check]:
    """Tell versions, and which of them another package does not take."""
    yield ok(f"net2vec_pl {__version__}, python {platform.python_version()}")
    found = {name: at_hand for name in _SHOWN if (at_hand := _version(name))}
    yield from (ok(f"{name} {at_hand}") for name, at_hand in found.items())
    if _version("net2vec_pl") is None:
        yield warning("net2vec_pl is not installed, so it is not known which versions it needs")
        yield from (fix(f"pip install {name}") for name in _SHOWN if name not in found)
    else:
        yield from _python()
    for package in ("net2vec_pl", *found):
        yield from _needs(package, everything=package == "net2vec_pl")


def _python() -> Iterator[Check]:
    needed = metadata("net2vec_pl")["Requires-Python"] or ""
    if not SpecifierSet(needed).contains(platform.python_version(), prereleases=True):
        yield fix(f"python{needed} is needed, not {platform.python_version()}")


def _needs(package: str, *, everything: bool) -> Iterator[Check]:
    """Find what a package needs and has not: of all packages, or of those shown."""
    for needed in _requirements(package):
        name = canonicalize_name(needed.name)
        at_hand = _version(name)
        if not (everything or name in _SHOWN):
            continue
        if at_hand is None:
            yield fix(f"{package} needs {needed}, which is not installed: pip install '{needed}'")
        elif not needed.specifier.contains(at_hand, prereleases=True):
            yield fix(
                f"{package} {_version(package)} needs {needed}, not {at_hand}: install the two "
                f"together, pip install {package} '{needed}'"
            )


def _requirements(package: str) -> Iterator[Requirement]:
    try:
        texts = requires(package) or ()
    except PackageNotFoundError:
        return
    for text in texts:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield needed


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
