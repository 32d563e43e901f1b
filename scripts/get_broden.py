"""Download and unpack BRODEN: ``make data NAME=broden1_224``, or this file with ``--help``."""

import argparse
import logging
import sys
from pathlib import Path

from net2vec_pl.datasets.broden.archive import NAMES, get_broden
from net2vec_pl.errors import Net2VecError


def main() -> int:
    """Get what the command line asks for; return 1 if it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help=f"which: {', '.join(NAMES)}")
    parser.add_argument("--folder", type=Path, default=Path("data"), help="where to; data/")
    parser.add_argument("--mirror", action="append", default=[], help="an address to ask first")
    parser.add_argument("--digest", help="MD5, SHA-1 or SHA-256 of the archive")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        found = get_broden(given.folder / given.name, mirrors=given.mirror, digest=given.digest)
    except Net2VecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    logging.info("%s is there: python train.py data=broden data.root=%s", given.name, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
