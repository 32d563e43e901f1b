"""What an offline run of W&B wrote, read back by W&B's own command line."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class OfflineRun:
    """A run in a folder ``offline-run-*``."""

    folder: Path

    @cached_property
    def told(self) -> dict[str, Any]:
        """State, exit_code, run_id, config and summary."""
        told: dict[str, Any] = json.loads(_inspect(self.folder, "--summary"))
        return told

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Everything, in order."""
        return [json.loads(line) for line in _inspect(self.folder).splitlines()]

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged, step by step."""
        return [r["history"]["item"] for r in self.records if r["type"] == "history"]

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """The artifacts that were logged on purpose, not those that carry tables."""
        found = [r["artifact"] for r in self.records if r["type"] == "artifact"]
        return [artifact for artifact in found if artifact["type"] != "run_table"]

    def keys_of(self, kind: str) -> set[str]:
        """Return the names of the summary that hold a kind of media, as in ``table-file``."""
        values = self.told["summary"].items()
        return {name for name, v in values if isinstance(v, dict) and v.get("_type") == kind}


def offline_runs(folder: Path) -> list[OfflineRun]:
    """Return the runs below a folder, in the order of their beginning."""
    return [OfflineRun(path) for path in sorted(folder.rglob("offline-run-*")) if path.is_dir()]


def _inspect(folder: Path, *options: str) -> str:
    tool = str(Path(sys.executable).parent / "wandb")
    return subprocess.run(
        [tool, "leet", "inspect", *options, "--json", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def without_account(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Let W&B find neither a key nor options, and write below a folder what it keeps at home."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("NETRC", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home / name))
