"""Find runs in folders, by patterns and in exports of W&B; list what is left out, and why."""

import glob
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from net2vec_pl.compare.entry import Entry, read_entries
from net2vec_pl.errors import RunFolderError, shorten
from net2vec_pl.records import read_rows
from net2vec_pl.records.compare import ExportedRow, LeftOutRow
from net2vec_pl.runs import BANK, CLASSIFIERS, finished
from net2vec_pl.sweeps import read_ledger

_log = logging.getLogger(__name__)
# A run that was begun has one of these.
_BEGUN = (".hydra", "job.json", "state")
_LEDGER = "ledger.csv"
# Columns of W&B's runs table, and fields of ours.
_EXPORTED = {
    "model.name": "model",
    "layer": "layer",
    "protocol.name": "protocol",
    "protocol.tau": "tau",
    "seed": "seed",
    "data.name": "data",
    "val/set_iou": "multi_val",
    "val/ap": "ap_val",
    "val/accuracy": "accuracy",
}


@dataclass
class Collected:
    """What there is to compare.

    Args:
        entries: Entries of finished runs.
        left_out: Runs that cannot be compared, and why.
        exported: Runs of exports of W&B's table.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOutRow] = field(default_factory=list)
    exported: list[ExportedRow] = field(default_factory=list)

    def leave_out(self, folder: Path, state: str, reason: str) -> None:
        """Note that a run is left out."""
        self.left_out.append(LeftOutRow(str(folder), state, reason))


def collect(given: Sequence[str]) -> Collected:
    """Read all runs that are named.

    Args:
        given: Folders (of a run, of a sweep, or any that hold some), glob patterns, and exports of
            W&B's table of runs as CSV.

    Raises:
        RunFolderError: If a name leads nowhere, or no run that has finished is among them.
    """
    found = Collected()
    for path in [path for name in given for path in _expanded(name)]:
        if path.is_dir():
            _collect_folder(path, found)
        elif path.suffix == ".csv":
            found.exported += _exported(path)
        else:
            raise RunFolderError(f"runs={path} is a file; name the folder of the run.")
    if not found.entries:
        raise RunFolderError(_nothing(given, found))
    return found


def _nothing(given: Sequence[str], found: Collected) -> str:
    left_out = [f"{row.folder} ({row.reason})" for row in found.left_out]
    return (
        f"runs={','.join(given)}: no finished run is there"
        + (f"; left out: {shorten(left_out, 4)}" if left_out else "")
        + f". A run is a folder with {BANK} and concepts.csv, or one with such folders below it; "
        "an export of W&B's table only joins them."
    )


def _expanded(name: str) -> list[Path]:
    """Return what a name stands for: itself, or what fits the pattern."""
    if Path(name).exists():
        return [Path(name)]
    paths = sorted(map(Path, glob.glob(name, recursive=True)))
    if not paths:
        raise RunFolderError(
            f"runs={name}: no such file or folder, and no pattern that fits any. Name the folder "
            "of a run or of a sweep (multirun/NAME), or an export of W&B's table (*.csv)."
        )
    return [path for path in paths if path.is_dir() or path.suffix == ".csv"]


def _collect_folder(top: Path, found: Collected) -> None:
    known = {entry.folder for entry in found.entries}
    causes = _ledger(top) | _ledger(top.parent)
    for folder in _runs_below(top):
        causes |= _ledger(folder.parent)
        state, cause = causes.pop(folder, ("", ""))
        if not finished(folder):
            found.leave_out(folder, state or "not finished", cause or state or "not finished")
            continue
        for at in _layer_folders(folder):
            if at in known:
                continue
            try:
                found.entries += read_entries(at)
            except RunFolderError as error:
                found.leave_out(at, "damaged", str(error))
    for folder, (state, cause) in causes.items():
        if state != "finished" and top in (folder, *folder.parents) and not folder.exists():
            found.leave_out(folder, state, cause or state)


def _runs_below(folder: Path) -> Iterator[Path]:
    """Find the run folders in a folder, which may be one itself."""
    if finished(folder) or any((folder / name).exists() for name in _BEGUN):
        if _is_probing(folder):
            yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from _runs_below(path)


def _is_probing(folder: Path) -> bool:
    """Tell a run from the folder of another task, a comparison say."""
    path = folder / ".hydra" / "resolved.yaml"
    if not path.exists():
        return True
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return not any(line.startswith("task: ") and line != "task: run" for line in lines)


def _layer_folders(run: Path) -> list[Path]:
    """Return where the layers of a run have left their results."""
    places = [run, *(path for path in sorted(run.iterdir()) if path.is_dir())]
    return [at for at in places if (at / BANK).exists() or (at / CLASSIFIERS).exists()]


def _ledger(sweep: Path) -> dict[Path, tuple[str, str]]:
    """Read state and cause of every job of a sweep, if it is one."""
    if lines := read_ledger(sweep):
        return {sweep / line["job"]: (line["state"], line.get("cause", "")) for line in lines}
    path = sweep / _LEDGER
    if not path.exists():
        return {}
    try:
        rows = read_rows(path)
    except RunFolderError as error:
        _log.warning("%s", error)
        return {}
    return {
        sweep / row["job"]: (row.get("state", ""), row.get("cause", "").strip())
        for row in rows
        if row.get("job")
    }


def _exported(path: Path) -> list[ExportedRow]:
    """Read an export of W&B's table of runs."""
    rows = read_rows(path)
    if not {"Name", "State"} <= set(rows[0]):
        raise RunFolderError(
            f"runs={path}: no export of W&B's table of runs, which has the columns Name and State. "
            f"Its columns: {shorten(rows[0])}."
        )
    return [
        ExportedRow(
            entry=row["Name"],
            source=f"W&B export {path.name}",
            state=row["State"],
            **{ours: row[theirs] for theirs, ours in _EXPORTED.items() if row.get(theirs)},
        )
        for row in rows
    ]
