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


# Python runs this before anything else: jobs then end at once, for what is tested is the launcher.
STAND_IN = """
import os, sys
from pathlib import Path

words = sys.orig_argv
if words[1:3] == ["-m", "net2vec_pl"] and words[-1] == "hydra.mode=RUN":
    folder = Path(words[-2].split("=", 1)[1].strip(chr(34)))
    if "layer=conv9" in words:
        Path(os.environ["NET2VEC_CAUSE"]).write_text("unknown layer")
        os._exit(1)
    (folder / "concepts.csv").write_text("name,multi_val\\nsky,0.5\\n")
    (folder / "bank.safetensors").write_text("")
    os._exit(0)
"""


def with_stand_ins(folder: Path) -> dict[str, str]:
    """Return the environment of a sweep whose jobs end at once: failed at conv9, else finished."""
    (folder / "sitecustomize.py").write_text(STAND_IN)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def ledger_of(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the ledger by layer, seed and so on: what the overrides say."""
    fixed = {option.split("=")[0] for option in SMALL}
    rows = read_table(folder / "sweep" / "ledger.csv")
    words = [row["overrides"].split() for row in rows]
    names = [" ".join(w for w in of if w.split("=")[0] not in fixed) for of in words]
    return dict(zip(names, rows, strict=True))


def banks(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("sweep/*/bank.safetensors")}
