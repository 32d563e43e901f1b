"""Get BRODEN itself: download its archive, when asked to, and unpack it."""

import logging
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from net2vec_pl.datasets.broden.download import Wanted, download
from net2vec_pl.datasets.broden.unpacking import unpack
from net2vec_pl.errors import ConfigError, DataError, unknown

NAMES = ("broden1_224", "broden1_227", "broden1_384")
PAGE = "docs/datasets.md#broden"
# As in script/dlbroden.sh of https://github.com/CSAILVision/NetDissect. Archives of the same names
# at data.csail.mit.edu/soundnet/actions3 are another dataset, BRODEN with regions of actions.
_ADDRESS = "http://netdissect.csail.mit.edu/data/{}.zip"
# From scripts/init.sh of https://github.com/rmassidda/bisturi (commit 55683c4); of the other two
# archives, and of any size, nothing is published that we know of.
_DIGESTS = {"broden1_224": "be13c292eaef3300da03f8d0e48eab1c"}
_ZIP = b"PK\x03\x04"
_log = logging.getLogger(__name__)


def get_broden(
    root: Path,
    *,
    mirrors: Sequence[str] = (),
    digest: str | None = None,
    progress: bool = True,
) -> Path:
    """Download and unpack BRODEN into a folder of its name, unless it is there.

    Args:
        root: The folder, whose name says which: ``broden1_224``, ``broden1_227`` or
            ``broden1_384``.
        mirrors: Further addresses of the archive, asked first.
        digest: MD5, SHA-1 or SHA-256 of the archive, in place of the published one.
        progress: Whether to show bars.

    Returns:
        The folder.

    Raises:
        ConfigError: If there is no such dataset, or an address or digest is none.
        DataError: If it cannot be had; the text tells how to get it by hand.
    """
    if root.name not in NAMES:
        raise ConfigError(unknown("archive, by the last folder of data.root,", root.name, NAMES))
    if (root / "index.csv").is_file():
        return root
    wanted = Wanted(
        urls=[*mirrors, _ADDRESS.format(root.name)],
        magic=_ZIP,
        digest=digest or _DIGESTS.get(root.name),
    )
    archive = root.with_name(f"{root.name}.zip")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f"{root.name}.lock")):
            if (root / "index.csv").is_file():  # another process was first
                return root
            if root.is_dir() and not any(root.iterdir()):
                root.rmdir()
            if not archive.is_file():
                _log.info("downloading %s", archive.name)
                download(wanted, archive, progress=progress)
            _log.info("unpacking %s", archive.name)
            unpack(archive, root, needs="index.csv")
            archive.unlink()
    except (DataError, OSError) as error:
        raise DataError(f"{error}\n{by_hand(root)}") from error
    return root


def by_hand(root: Path) -> str:
    """Tell how to get an archive without this module."""
    return (
        f"By hand: get {root.name}.zip from {_ADDRESS.format(root.name)}, or from a colleague, and "
        f"unpack it so that {root / 'index.csv'} exists. data.mirrors=[URL] asks other addresses "
        f"first, and data.digest=DIGEST accepts another archive; see {PAGE}."
    )
