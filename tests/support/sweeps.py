"""Sweeps from the command line, in processes of their own, and what they leave."""

import os
import subprocess
import sys
from pathlib import Path

from support.cli import QUICK, read_table, without

SMALL = [*without(QUICK, "data.num_images"), "data.num_images=40"]


def sweep_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "net2vec_pl", "-m", "hydra.sweep.dir=sweep", *SMALL, *options]


def run_sweep(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sweep_command(*options),
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def ledger_of(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the ledger by layer, seed and so on: what the overrides say."""
    fixed = {option.split("=")[0] for option in SMALL}
    rows = read_table(folder / "sweep" / "ledger.csv")
    words = [row["overrides"].split() for row in rows]
    names = [" ".join(w for w in of if w.split("=")[0] not in fixed) for of in words]
    return dict(zip(names, rows, strict=True))


def banks(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("sweep/*/bank.safetensors")}
