"""Files in the working folder: found by import path, and never taken for Python's own modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from net2vec_pl import cli

ROOT = Path(__file__).parents[1]
SHADOWS = ("calendar", "random", "types", "token", "logging", "torch", "hydra", "PIL")


@pytest.mark.parametrize("entry", [["train.py"], ["-m", "net2vec_pl"]])
def test_a_file_named_like_a_module_of_python_is_left_alone(
    entry: list[str], tmp_path: Path
) -> None:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py was imported')")
    for name in ("train.py", "conf", "net2vec_pl"):  # a checkout of its own, which is worked in
        os.symlink(ROOT / name, tmp_path / name)
    if entry == ["train.py"]:
        (tmp_path / "train.py").unlink()
        (tmp_path / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    places = os.pathsep.join(place for place in sys.path if "site-" in place)
    done = subprocess.run(
        [sys.executable, *entry, "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pairs_per_chunk" in done.stdout
    assert done.stderr == ""


def test_the_working_folder_is_searched_last_wherever_it_stood(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/a", str(tmp_path), "/b"])
    for _ in range(2):  # twice as once
        cli.working_folder_last()
        assert sys.path == ["/a", "/b", str(tmp_path)]
