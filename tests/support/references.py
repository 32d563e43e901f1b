"""What a run gave when it was last looked at: digests of its tables, and some of their columns."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from threadpoolctl import threadpool_info

from support.cli import read_table

FOLDER = Path(__file__).parents[1] / "references"
# What the last bits of a sum may depend on, besides the number of threads, which is one.
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")
# Table -> columns that are kept as they stand, besides the digest of all of it.
COLUMNS: Mapping[str, Sequence[str]] = {
    "concepts": ("name", "n_train", "n_val", "best_filter", "single_val", "multi_val", "ap_val"),
    "classification": ("name", "best_filter", "accuracy", "best_accuracy", "auc"),
    "findings": ("measure", "value", "low", "high", "n"),
    "analysis/intervals": ("gain_low", "gain_high", "p_fdr", "verdict"),
    "analysis/filters_needed": ("for_80%",),
    "analysis/control_means": ("control", "mean", "lead"),
    "analysis/nearest": ("neighbour", "cosine"),
    "seeds": ("name", "seed", "multi_val", "cosine"),
    "layers": ("layer", "single_val", "multi_val"),
}


@dataclass(frozen=True)
class Reference:
    """A run as it was.

    Args:
        machine: What the last bits depend on.
        digests: Of the content of every table and bank.
        columns: Table -> column -> cells.
    """

    machine: dict[str, str]
    digests: dict[str, str]
    columns: dict[str, dict[str, list[str]]]

    @classmethod
    def of(cls, run: Path) -> "Reference":
        """Look at a run."""
        paths = sorted([*run.rglob("*.csv"), *run.rglob("*.safetensors")])
        names = {path.relative_to(run).as_posix(): path for path in paths}
        digests = {
            name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in names.items()
        }
        columns = {
            name: _columns(read_table(path), COLUMNS[table])
            for name, path in names.items()
            for table in COLUMNS
            if f"/{name}".endswith(f"/{table}.csv")
        }
        return cls(machine(), digests, columns)

    @classmethod
    def load(cls, name: str) -> "Reference":
        """Read a reference from its file."""
        return cls(**json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))

    def save(self, name: str) -> None:
        """Write the reference into its file."""
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(_on_one_line(text) + "\n", encoding="utf-8")


def content_of(run: Path) -> dict[str, str]:
    """Return digests of a run's tables, and the tensors of its banks without their headers."""
    digests = Reference.of(run).digests
    return {name: digest for name, digest in digests.items() if name.endswith(".csv")} | {
        f"{path.name}: {name}": tensor.tobytes().hex()
        for path in sorted(run.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def _columns(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> dict[str, list[str]]:
    return {name: [_short(row[name]) for row in rows] for name in names}


def _short(cell: str) -> str:
    """Round a number to what another machine may be held to."""
    try:
        return cell if cell.lstrip("-").isdigit() else f"{float(cell):.5g}"
    except ValueError:
        return cell


def _on_one_line(text: str) -> str:
    """Keep the cells of a column on one line."""
    lines: list[str] = []
    for line in text.splitlines():
        inside = line.startswith("    ")
        lines[-1:] = [lines[-1] + line.strip()] if inside and lines else [*lines[-1:], line]
    return "\n".join(lines).replace('","', '", "')


def machine() -> dict[str, str]:
    """Return what the last bits of a run depend on."""
    libraries = {name: version(name) for name in _LIBRARIES}
    blas = {str(info.get("architecture", "")) for info in threadpool_info()}
    return libraries | {
        "python": platform.python_version(),
        "cpu": _cpu(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "blas": " ".join(sorted(filter(None, blas))),
    }


def _cpu() -> str:
    """Name the processor, its caches and what it can do."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor()
    wanted = ("model name", "model", "stepping", "cache size", "flags")
    first = path.read_text().split("\n\n")[0].splitlines()
    facts: dict[str, Any] = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)
    }
    told = [f"{facts.get(name)}" for name in wanted]
    return f"{facts.get('model name')} {hashlib.sha256(repr(told).encode()).hexdigest()[:8]}"
