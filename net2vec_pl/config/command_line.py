"""Compose the configuration that a command line asks for, and hand it to the task.

Nothing heavy is imported here, so that ``--help`` and a mistyped option answer at once.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from net2vec_pl.config.resolvers import job_digest, register_resolvers
from net2vec_pl.config.sweeps import SweepFolder, composed_job
from net2vec_pl.config.text import text_kept
from net2vec_pl.errors import Net2VecError, RunFolderError, SweepError, unknown
from net2vec_pl.options import quoted
from net2vec_pl.sweeps import DIGEST, run_job, summary, write_ledger

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)
Task = Callable[[str, DictConfig], None]
# Plug-in of Hydra -> the extra that brings it.
_EXTRAS = {
    "joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray",
    "optuna": "optuna",
}  # fmt: skip
_MULTIRUN = ("-m", "--multirun")

register_resolvers()  # here, since the workers of some launchers import this file and no more


def config_dir() -> Path:
    """Return conf/: at the top of a checkout, inside the package of an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def run_task(task: Task) -> None:
    """Run the task that the command line asks for, or the jobs of the sweep that it asks for.

    Args:
        task: Does the task of a name with a configuration. A sweep does its jobs in processes of
            their own, each with a command line of its own.

    Raises:
        Exception: Whatever the task raises.
    """
    SweepFolder.current = None
    # Stable: -m comes first, for Hydra reads options on one side of it only.
    arguments = sorted(sys.argv[1:], key=lambda argument: argument not in _MULTIRUN)
    sys.argv[1:] = text_kept(recalled(text_kept(arguments)))
    _register_other_models(sys.argv[1:])
    failed: list[Exception] = []
    try:
        hydra.main(config_path=str(config_dir()), config_name="config", version_base="1.3")(
            partial(_dispatch, task, failed)
        )()
    finally:
        _tell_sweep()
    for error in failed:
        raise error


def recalled(arguments: Sequence[str]) -> list[str]:
    """Put the options of a stopped run before those given, if ``run.resume=FOLDER`` is among them.

    So the run that goes on is the run that was stopped. What is given besides wins: another number
    of processes, say. Recalling twice changes nothing, as processes started by this one do.

    Args:
        arguments: Arguments of the command line.

    Raises:
        RunFolderError: If the folder holds no run.
    """
    given = [a for a in arguments if a.startswith("run.resume=")]
    if not given or given[-1] == "run.resume=null":
        return list(arguments)
    folder = _value_of(given[-1])
    if not folder:
        raise RunFolderError("run.resume is empty; name the folder of the run to resume.")
    if {*_MULTIRUN} & {*arguments}:
        raise RunFolderError("run.resume names a single run; leave out --multirun.")
    at = Path(folder).absolute()
    recorded = at / ".hydra" / "overrides.yaml"
    if not recorded.exists():
        raise RunFolderError(
            f"run.resume={folder} is not a run folder: {recorded} is missing. "
            "Name the folder that a run printed, or that holds its .hydra/."
        )
    before = [str(option) for option in OmegaConf.load(recorded)]
    options = {option.partition("=")[0]: option for option in [*before, *arguments]}
    options |= {name: f"{name}={quoted(at)}" for name in ("run.resume", "run.dir")}
    options["hydra.mode"] = "hydra.mode=RUN"  # the run may have been a job of a sweep
    flags = recorded.with_name("flags.yaml")
    return [*(OmegaConf.load(flags) if flags.exists() else ()), *options.values()]


def _value_of(option: str) -> str:
    """Return the value of an option as Hydra reads it, or as it stands if Hydra cannot."""
    try:
        return str(OverridesParser.create().parse_override(option).value() or "")
    except HydraException:
        return option.partition("=")[2]


def _dispatch(task: Task, failed: list[Exception], config: DictConfig) -> float | None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return _dispatch_job(config)  # Hydra must know which job has failed
    try:
        digest = job_digest(config)
        if os.environ.get(DIGEST, digest) != digest:
            raise SweepError(
                "this job's configuration differs from the one its sweep composed; start the sweep "
                "again."
            )
        name = str(config.task)
        if name not in choices("task"):
            raise Net2VecError(unknown("task", name, choices("task")))
        task(name, config)
    except Exception as error:
        failed.append(error)  # Hydra would say something before we do
    return None


def _dispatch_job(config: DictConfig) -> float:
    if config.task != "run":
        raise SweepError(f"task={config.task} cannot be part of a sweep; leave out --multirun.")
    return run_job(composed_job(job_digest(config)))


def _tell_sweep() -> None:
    """Say what became of the jobs of a sweep, once Hydra has gone through them."""
    if SweepFolder.current is not None and SweepFolder.current.is_dir():
        write_ledger(SweepFolder.current)  # some may have been killed
        sys.stdout.write(summary(SweepFolder.current))


def choices(group: str) -> list[str]:
    """Return the choices of a group of conf/."""
    return sorted(
        p.stem for p in (config_dir() / group).glob("*.yaml") if not p.stem.startswith("_")
    )


def _register_other_models(arguments: Iterable[str]) -> None:
    """Let ``model=NAME`` mean any network by name; the registry refuses unknown ones."""
    given = [a.removeprefix("model=") for a in arguments if a.startswith("model=")]
    for name in {name for names in given for name in re.findall(r"[\w./~-]+", names)}:
        if (choice := model_choice(name)) != name:
            plain = OmegaConf.load(config_dir() / "model" / f"{choice}.yaml")
            *folders, last = filter(None, name.split("/"))  # Hydra looks for it without empty ones
            node = OmegaConf.merge(plain, {"name": name})
            ConfigStore.instance().store(group="/".join(["model", *folders]), name=last, node=node)


def model_choice(name: str) -> str:
    """Return the choice of ``model=`` that a network by name belongs to.

    Args:
        name: A choice itself, ``timm/NAME``, ``hf/OWNER/NAME``, or a name of torchvision's.
    """
    known, (library, _, own) = choices("model"), name.partition("/")
    if name in known:
        return name
    return library if own and library in known else "torchvision"


def explain(error: Exception) -> str:
    """Turn what Hydra says of a command line into one message that names the near options.

    Args:
        error: From composing the configuration.
    """
    text = str(error)
    if isinstance(error, MissingConfigException):
        missing = str(error.missing_cfg_file or "")
        group, _, choice = missing.rpartition("/")
        if choice in _EXTRAS and group.startswith("hydra/"):
            return f"{missing} is a plug-in: pip install 'net2vec_pl[{_EXTRAS[choice]}]' brings it."
        if group and (config_dir() / group).is_dir():
            return unknown(f"choice of {group}", choice, choices(group))
    if match := re.search(r"Could not override '([^']+)'", text):
        group, _, key = match[1].rpartition("@")
        name = group or key
        if name in _all_options():
            other = f"choice of {name.split('.')[0]}=" if "." in name else "task"
            return f"the option {name} belongs to another {other}."
        return unknown("option", name, _all_options()) + " `--help` shows every option."
    if isinstance(error, MissingMandatoryValue):
        return f"the option {error.full_key} must be given: {error.full_key}=VALUE."
    cause = f" ({error.__cause__})" if error.__cause__ and str(error.__cause__) not in text else ""
    kind = (
        "the command line" if isinstance(error, ConfigCompositionException) else "the configuration"
    )
    return f"{kind} cannot be read: {text.strip()}{cause}"


def _all_options() -> list[str]:
    """List every dotted option of the tree, over all choices of every group."""
    options: dict[str, None] = {}
    for path in sorted(config_dir().rglob("*.yaml")):
        group = path.relative_to(config_dir()).parent.as_posix().replace("/", ".")
        if group.startswith("hydra") or group == "experiment":
            continue
        plain = OmegaConf.to_container(OmegaConf.load(path))
        prefix = "" if group in (".", "task") else f"{group}."
        options.update(dict.fromkeys(_leaves(plain, prefix)))
        options.update({} if group == "." else {group: None})
    return list(options)


def _leaves(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, dict) or not node:
        return [prefix.rstrip(".")]
    names = [key for key in node if key not in ("defaults", "hydra")]
    return [leaf for key in names for leaf in _leaves(node[key], f"{prefix}{key}.")]
