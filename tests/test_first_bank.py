"""The examples run as they stand, and leave what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import net2vec_pl

ROOT = Path(__file__).parents[1]


def test_the_first_bank_is_learned_asked_and_converted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "first_bank.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"first_bank.safetensors", "first_bank.html", "first_bank.png"}
    assert "house" in net2vec_pl.load_bank(tmp_path / "first_bank.safetensors")
    with Image.open(tmp_path / "first_bank.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 20  # more than an empty figure
    assert "Warning" not in done.stderr
    assert "knows 8 of 10 concepts" in done.stdout
    assert "house - wall: roof" in done.stdout
    pairs = re.findall(r"filter +\d+: ([\d.]+) +combination: ([\d.]+)", done.stdout)
    assert len(pairs) == 10
    assert all(float(multi) > float(single) for single, multi in pairs)
    difference = re.search(r"own logits: (\S+)", done.stdout)
    assert difference is not None
    assert float(difference[1]) < 1e-4


def test_the_cells_of_an_example_are_those_of_a_notebook() -> None:
    lines = (ROOT / "examples" / "first_bank.py").read_text(encoding="utf-8").splitlines()
    marks = [line for line in lines if line.startswith("# %%")]
    assert set(marks) == {"# %%", "# %% [markdown]"}
    assert lines[0] == "# %% [markdown]"
    for place, line in enumerate(lines):
        if line == "# %% [markdown]":
            text = lines[place + 1 : lines.index("# %%", place)]
            assert all(word.startswith("#") or not word for word in text)
