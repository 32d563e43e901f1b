"""Let every named text file end in exactly one newline; exit 1 if one had to be changed."""

import sys
from pathlib import Path


def mend(path: Path) -> bool:
    """Return whether the end of the file had to be changed."""
    text = path.read_bytes()
    ended = text.rstrip(b"\r\n") + b"\n" if text.strip() else b""
    if ended == text:
        return False
    path.write_bytes(ended)
    return True


if __name__ == "__main__":
    changed = [name for name in sys.argv[1:] if mend(Path(name))]
    sys.exit("\n".join(f"mended: {name}" for name in changed) or 0)
