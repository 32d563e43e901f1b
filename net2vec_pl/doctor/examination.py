"""Make all checks, print them, and end with what must be fixed.

Every check is made, whatever the others say. Nothing is written, but the page of samples where one
is asked for, and nothing is downloaded.
"""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from net2vec_pl.config import Config
from net2vec_pl.doctor.checks import Check, fix
from net2vec_pl.doctor.versions import check_versions
from net2vec_pl.errors import Net2VecError

_STYLES = {"ok": "green", "warning": "yellow", "fix": "bold red"}


class NotReadyError(Net2VecError):
    """A run that would fail; says what to fix."""


def examine(config: Config) -> None:
    """Check everything that a run of the same options would need, and say so line by line.

    Args:
        config: The composed tree of conf/, with ``task=doctor``.

    Raises:
        ConfigError: If ``sample`` is no number of rows.
        NotReadyError: If something must be fixed before a run.
    """
    told: list[Check] = []
    console = Console()
    for section, checks in _sections(config):
        console.print(section, style="bold", highlight=False)
        for check in checks:
            told.append(check)
            _print(check, console)
    fixes = list(dict.fromkeys(check.text for check in told if check.verdict == "fix"))
    if fixes:
        listed = (f"  {number}. {_indented(text, 5)}" for number, text in enumerate(fixes, start=1))
        raise NotReadyError("\n".join(["not ready. To fix:", *listed]))
    warnings = sum(check.verdict == "warning" for check in told)
    console.print(f"ready, warnings: {warnings}" if warnings else "ready", highlight=False)


def _sections(config: Config) -> Iterator[tuple[str, Iterator[Check]]]:
    yield "versions", check_versions()
    try:
        from net2vec_pl.doctor.sections import sections
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        yield "imports", iter([fix(f"the packages cannot be imported together: {error}")])
    else:
        yield from sections(config)


def _print(check: Check, console: Console) -> None:
    line = Text(f"  {check.verdict:<9}", style=_STYLES[check.verdict])
    line.append(_indented(check.text, 11), style="default")
    console.print(line, soft_wrap=True, highlight=False)


def _indented(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * width)
