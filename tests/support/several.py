"""The command line in several processes of this computer."""

import subprocess
import sys
from pathlib import Path

from support.cli import QUICK, without

CODE = "from net2vec_pl.cli import main; main()"
# 61 images, so that shares and last batches are uneven.
UNEVEN = [*without(QUICK, "data.num_images", "protocol.epochs"), "data.num_images=61"]
JOB = [*UNEVEN, "protocol.epochs=3", "loader.batch_size=16"]


def run_in(folder: Path, processes: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in several processes, in a folder of its own."""
    (folder / "train.py").write_text(CODE)
    several = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={processes}"]
    return subprocess.run(
        [sys.executable, "train.py", *options, *several, "run.dir=out"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
