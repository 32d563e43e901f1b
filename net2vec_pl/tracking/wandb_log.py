"""Weights & Biases: one run for a job, with its configuration, scores, tables, figures and bank.

All that is logged at the end is read from the run folder, so that W&B shows what the folder holds.
"""

import csv
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args
from urllib.parse import urlparse

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.options import flat
from net2vec_pl.probes import BankFile
from net2vec_pl.runs import BANK, CLASSIFIERS, REPORT, headline
from net2vec_pl.tracking.log import JobLog

_log = logging.getLogger(__name__)
Mode = Literal["online", "offline", "disabled"]
_OLD_NAMES = {"run": "online", "dryrun": "offline"}  # which W&B still takes

_TABLES = ("layers", "concepts", "filters", "classification", "seeds", "findings")
_KEYS = {"multi_val": "val/set_iou", "single_val": "val/single_iou", "ap_val": "val/ap"}
# Of a bank's header, what says of an artifact which bank it is.
_METADATA = (
    "model", "weights_digest", "tau", "protocol", "deviations", "data", "seed", "seeds", "versions",
)  # fmt: skip
_IN_ARTIFACT = (".safetensors", ".csv", ".md", ".yaml", ".html")
_NOT_IN_ARTIFACT = ("wandb", "state")
_LONGEST_NAME = 128


class _LayerLogger(WandbLogger):
    LOGGER_JOIN_CHAR = "/"


class WandbLog(JobLog):
    """A run of W&B; where there are several layers, their keys begin with the layer's folder.

    Args:
        run: Is open.
        folder: The run folder.
    """

    forks: ClassVar[bool] = False  # this process alone has the run

    def __init__(self, run: wandb.Run, folder: Path) -> None:
        self.run = run
        self.folder = folder

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return a logger that writes into the job's run."""
        return _LayerLogger(experiment=self.run, prefix=self._prefix(folder), save_dir=folder)

    def leave(self, layers: Sequence[Path]) -> None:
        """Log tables, figures and pages, the scores as the summary, and the bank as an artifact."""
        for at in dict.fromkeys([self.folder, *layers]):
            prefix = self._prefix(at)
            self.run.log(_under(prefix, _tables(at) | _figures(at) | _report(at)))
            self.run.summary.update(_under(prefix, _scores(at)))
        self.run.log_artifact(_artifact(self.folder, layers), aliases=["latest", self.run.id])

    def _prefix(self, folder: Path) -> str:
        return "" if folder == self.folder else folder.relative_to(self.folder).as_posix()


def mode_of(given: str | None) -> Mode:
    """Return the mode given, else that of WANDB_MODE, else the one that asks for nothing.

    W&B's older names are understood: ``dryrun`` is ``offline``, and ``run`` is ``online``.

    Args:
        given: ``logger.mode``.

    Raises:
        ConfigError: If it is unknown, or online without an API key, for which W&B would ask.
    """
    mode = given or os.environ.get("WANDB_MODE")
    mode = _OLD_NAMES.get(str(mode), mode)
    if not mode:
        return "online" if _has_key() else "offline"
    if mode not in get_args(Mode):
        name = "logger.mode" if given else "WANDB_MODE"
        raise ConfigError(unknown(name, str(mode), [*get_args(Mode), *_OLD_NAMES]))
    if mode == "online" and not _has_key():
        raise ConfigError(
            "logger.mode=online needs an API key: run `wandb login`, set WANDB_API_KEY, or take "
            "logger.mode=offline."
        )
    return cast(Mode, mode)


@contextmanager
def wandb_log(
    project: str | None, given: str | None, configuration: Mapping[str, Any], folder: Path
) -> Iterator[JobLog]:
    """Open the run of a job in its first process; close it in the end, as failed if the job has.

    Args:
        project: Of W&B.
        given: The mode asked for; has been checked.
        configuration: Configuration of the run.
        folder: The run folder.

    Raises:
        ConfigError: If W&B cannot open a run.
    """
    mode = mode_of(given)
    runs: list[wandb.Run] = []
    if mode != "disabled":
        processes.from_first(lambda: runs.append(_open(project, mode, configuration, folder)))
    if not runs:
        yield JobLog()
        return
    run, exit_code = runs[0], 1
    try:
        yield WandbLog(run, folder)
        exit_code = 0
    except Exception as error:
        run.summary["failure"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        run.finish(exit_code=exit_code)
        wandb.teardown()  # else W&B's own process stays as long as this one


def _open(
    project: str | None, mode: Mode, configuration: Mapping[str, Any], folder: Path
) -> wandb.Run:
    """Open a run: the agent's in a sweep, else the one of the folder, so that it goes on there."""
    note = folder / "wandb_id"
    ours = note.read_text() if note.exists() else None
    try:
        run = wandb.init(
            project=None if "WANDB_SWEEP_ID" in os.environ else project,
            id=None if "WANDB_RUN_ID" in os.environ else ours,
            name=os.environ.get("WANDB_NAME", folder.name),
            dir=folder,
            resume="allow",
            config=flat(configuration),  # so a sweep's protocol.lr is ours
            settings=wandb.Settings(mode=mode, silent=True),
        )
    except wandb.Error as error:
        raise ConfigError(
            f"W&B could not start a run: {error}. logger.mode=offline needs no network."
        ) from error
    note.write_text(run.id)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    if mode == "online":
        _log.info("W&B: %s", run.url)
    else:
        _log.info("W&B: offline; upload by: wandb sync %s", Path(run.dir).parent)
    return run


def _has_key() -> bool:
    """Return whether W&B would find an API key without a question."""
    if {"WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"} & {*os.environ}:
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc(os.path.expanduser(path)).authenticators(host or ""):
                return True
        except (OSError, NetrcParseError):
            continue
    return False


def _under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}" if prefix else name: value for name, value in values.items()}


def _scores(folder: Path) -> dict[str, float]:
    return {_KEYS.get(name, f"val/{name}"): mean for name, mean in headline(folder).items()}


def _tables(folder: Path) -> dict[str, Any]:
    paths = {name: folder / f"{name}.csv" for name in _TABLES}
    return {name: _table(path) for name, path in paths.items() if path.exists()}


def _table(path: Path) -> wandb.Table:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = [_numbers(column) for column in zip(*rows, strict=True)]
    data = [list(row) for row in zip(*columns, strict=True)]
    return wandb.Table(columns=[*header], data=data)


def _numbers(column: Sequence[str]) -> Sequence[float | None] | Sequence[str]:
    """Read a column of a table as numbers if all of it are; where there is none, None."""
    try:
        values = [float(cell or "nan") for cell in column]
    except ValueError:
        return column
    return [None if value != value else value for value in values]


def _figures(folder: Path) -> dict[str, Any]:
    paths = sorted((folder / "figures").glob("*.png"))
    return {f"figures/{path.stem}": wandb.Image(str(path)) for path in paths}


def _report(folder: Path) -> dict[str, Any]:
    path = folder / REPORT
    # As it is: the page brings its own style.
    return {"report": wandb.Html(str(path), inject=False)} if path.exists() else {}


def _artifact(folder: Path, layers: Sequence[Path]) -> wandb.Artifact:
    """Return the run folder's results, in its own layout."""
    headers = [
        BankFile.load(next(p for p in (at / BANK, at / CLASSIFIERS) if p.exists())).header
        for at in layers
    ]
    names = [header["layer"] for header in headers]
    first = headers[0]
    name = "-".join(["bank", first["data"]["name"], first["model"]["name"], *names])
    artifact = wandb.Artifact(
        re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST_NAME],
        type="bank",
        metadata={"layers": names, "scores": _scores(folder)} | {k: first[k] for k in _METADATA},
    )
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in _IN_ARTIFACT and not {*inside.parts} & {*_NOT_IN_ARTIFACT}:
            # Results never change: W&B need not copy them first, into the user's home.
            artifact.add_file(str(path), name=inside.as_posix(), policy="immutable")
    return artifact
