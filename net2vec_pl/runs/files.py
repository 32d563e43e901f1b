"""Files that are there whole or not at all, whatever interrupts their writing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Lend a place beside a file; what is written there becomes the file once all is written.

    Args:
        path: Path of the file; one that is there is replaced.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "table.csv")
        >>> with whole(path) as part:
        ...     _ = part.write_text("a,b")
        >>> path.read_text()
        'a,b'
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
