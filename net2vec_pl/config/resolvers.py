"""What conf/ computes: names of folders that stay the same when a command is given again."""

import json
import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from omegaconf import DictConfig, OmegaConf

# A job is its configuration, but for where it writes and logs, and how many read its files.
_ELSEWHERE = ("hydra", "run", "logger", "loader.workers", "callbacks.progress")
_ELSEWHERE_IN_FRONT = re.compile(rf"[+~]*({'|'.join(map(re.escape, _ELSEWHERE))})[.=]")
_LONGEST = 60


def register_resolvers() -> None:
    """Make ``slug``, ``job_digest`` and ``sweep_name`` known to configurations."""
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    OmegaConf.register_new_resolver(
        "job_digest", lambda *, _root_: job_digest(_root_), replace=True
    )
    # Cached: the jobs of a sweep take over what it resolved to for the sweep itself.
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True, use_cache=True)


def slug(name: Any) -> str:
    """Make the name of a network or layer, a list of layers, or none, fit for a folder name.

    Example:
        >>> slug(["conv4", "a/b"]), slug(None)
        ('conv4+a_b', 'last')
    """
    names = name if isinstance(name, Iterable) and not isinstance(name, str) else [name or "last"]
    return _plain("+".join(map(str, names)))


def job_digest(config: DictConfig) -> str:
    """Return eight hexadecimal digits that stand for all that decides what a job finds.

    Args:
        config: The composed tree of conf/.
    """
    decisive: dict[str, Any] = {
        str(key): OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        for key, node in config.items()
        if key not in _ELSEWHERE
    }
    for group, _, name in (option.partition(".") for option in _ELSEWHERE):
        if isinstance(of := decisive.get(group), dict):  # else it is refused later
            of.pop(name, None)
    return _digest(decisive)


def sweep_name(overrides: Iterable[str], params: Any = None) -> str:
    """Name a sweep after its experiment and what it varies: the same command, the same folder.

    Args:
        overrides: The options of the command line.
        params: What a sweeper's file varies.

    Example:
        >>> sweep_name(["model=alexnet", "layer=conv4,conv5", "seed=0,1"])
        'layer+seed-1a2fc356'
    """
    fixed = OmegaConf.to_container(params) if OmegaConf.is_config(params) else params
    given = sorted(o for o in map(str, overrides) if not _ELSEWHERE_IN_FRONT.match(o))
    options = [(name, values) for name, _, values in (o.partition("=") for o in given)]
    varied = [name for name, values in options if _varies(values)]
    names = list(dict.fromkeys([*map(str, fixed or ()), *varied])) or ["single"]
    experiments = [f"{value}-" for name, value in options if name == "experiment"]
    words = "".join([*experiments, "+".join(names)])
    return f"{_plain(words)[:_LONGEST]}-{_digest([given, fixed or {}])}"


def _varies(values: str) -> bool:
    return "," in re.sub(r"\[[^\]]*\]|\{[^}]*\}", "", values) or bool(
        re.match(r"(choice|range|interval|glob|shuffle|sort|tag)\(", values)
    )


def _digest(what: Any) -> str:
    text = json.dumps(what, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)
