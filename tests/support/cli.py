"""The command line in this process, and the tables that it leaves."""

import csv
import os
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from net2vec_pl import cli
from net2vec_pl.config import command_line
from net2vec_pl.config.resolvers import register_resolvers

# A small main job without analyses and page: some 2 s.
QUICK = [
    "data.num_images=60",
    "data.image_size=32",
    "protocol.epochs=1",
    "loader.workers=0",
    "callbacks.progress=false",
    "trainer=cpu",
    "analysis=none",
    "beside=[]",
    "report=false",
]


def without(options: list[str], *prefixes: str) -> list[str]:
    """Leave out the options that begin with any of some prefixes."""
    return [option for option in options if not option.startswith(prefixes)]


def run_cli(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    """Run the command line in a folder of its own and return its exit status."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):  # a sweep sets them for its workers
        given = os.environ.get(name)
        monkeypatch.setenv(name, given or "")  # put back when the test ends
        if given is None:
            monkeypatch.delenv(name)
    GlobalHydra.instance().clear()
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def composed(*overrides: str) -> DictConfig:
    """Compose the tree of conf/."""
    register_resolvers()
    with initialize_config_dir(str(command_line.config_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_name(path: Path) -> dict[str, dict[str, str]]:
    """Read a table with a row per concept, by the names of the concepts."""
    return {row["name"]: row for row in read_table(path)}
