"""Plant one-line errors, one at a time, and count by room how many the tests catch.

    python scripts/mutants.py                   # all lists of tests/mutants; hours
    python scripts/mutants.py compare page      # some of them
    python scripts/mutants.py --sample 10       # so many errors of each list, drawn from a seed
    python scripts/mutants.py --tree ../older --tests tests/tasks compare
                                                # in another checkout, by other tests
    python scripts/mutants.py --write           # and put the table into docs/testing.md

A list names the tests that should see its errors, and holds errors as ``file``, ``old`` and ``new``
text. Each is planted in a copy of the checkout; it is caught if one of the tests fails. The
libraries are loaded once, and tests run in forks: most take less time than importing PyTorch.
"""

import argparse
import contextlib
import importlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tests" / "mutants"
PAGE = ROOT / "docs" / "testing.md"
_BEGIN, _END = "<!-- mutants -->", "<!-- end of mutants -->"
_LIBRARIES = (
    "beartype", "h5py", "hydra", "hypothesis", "jaxtyping", "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg", "matplotlib.figure", "omegaconf", "pytest",
    "pytorch_lightning", "rich.console", "safetensors.torch", "scipy.stats", "sklearn.cluster",
    "sklearn.manifold", "sklearn.metrics", "torch", "torchvision", "wandb",
)  # fmt: skip
_PATIENCE = 900  # seconds; an error that makes the tests hang is caught too


@dataclass(frozen=True)
class Mutant:
    """A planted error.

    Args:
        room: Name of its list.
        file: Where, from the top of the checkout.
        old: What stands there, once.
        new: What takes its place.
        tests: The tests that should see it.
    """

    room: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def title(self) -> str:
        """A line that says what is planted where."""
        old, new = (re.sub(r"\s+", " ", text) for text in (self.old, self.new))
        return f"{self.file}: {old} -> {new}"


def read_list(path: Path) -> list[Mutant]:
    """Read the errors of a room.

    Raises:
        ValueError: If there is none, or the text of one does not stand in its file exactly once.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    tests = tuple(content["tests"])
    found = [Mutant(path.stem, **entry, tests=tests) for entry in content["mutant"]]
    for mutant in found:
        if (times := (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)) != 1:
            raise ValueError(f"{path.name}: stands {times} times, not once: {mutant.title}")
    return found


class Worker:
    """A copy of a checkout, in which tests run in a fork, with or without a planted error."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.folder = folder
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            if (tree / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, folder / name)

    def fits(self, mutant: Mutant) -> bool:
        """Return whether an error can be planted, which an older checkout may not allow."""
        path = self.folder / mutant.file
        return path.exists() and path.read_text(encoding="utf-8").count(mutant.old) == 1

    def start(self, tests: Sequence[str], mutant: Mutant | None) -> None:
        """Begin to run some tests, with an error planted or without."""
        self.begun, self._undo = time.monotonic(), b""
        if mutant is not None:
            self._path = self.folder / mutant.file
            self._undo = self._path.read_bytes()
            text = self._undo.decode("utf-8").replace(mutant.old, mutant.new)
            self._path.write_text(text, encoding="utf-8")
        self._child = os.fork()
        if not self._child:
            os.setsid()
            self._test(tests)

    def failed(self) -> bool | None:
        """Return whether a test has failed, or they take too long; None while they run."""
        done, status = os.waitpid(self._child, os.WNOHANG)
        if not done and time.monotonic() - self.begun < _PATIENCE:
            return None
        with contextlib.suppress(ProcessLookupError):  # what the tests have left running, too
            os.killpg(self._child, signal.SIGKILL)
        if not done:
            os.waitpid(self._child, 0)
        if self._undo:
            self._path.write_bytes(self._undo)
        return not done or os.waitstatus_to_exitcode(status) != 0

    def _test(self, tests: Sequence[str]) -> NoReturn:
        """Run some tests in this process, which is a fork, and end it."""
        status = 1
        try:
            os.chdir(self.folder)
            sys.path[:0] = [str(self.folder), str(self.folder / "tests")]
            sys.dont_write_bytecode = True
            os.environ |= {
                "PYTHONPATH": os.pathsep.join(sys.path[:2]),  # for processes that tests start
                "PYTHONDONTWRITEBYTECODE": "1",
                "OMP_NUM_THREADS": "1",
            }
            os.environ.setdefault("NET2VEC_SHARED", str(ROOT.parent / "shared"))
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            pytest = importlib.import_module("pytest")
            options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={self.folder}.pytest"]
            status = int(pytest.main([*options, *tests]))
        finally:
            os._exit(status)


def tried(
    mutants: Sequence[Mutant], tree: Path, count: int, *, unchecked: bool
) -> dict[Mutant, bool]:
    """Return of every error that fits the checkout whether it was caught.

    Args:
        mutants: The errors.
        tree: The checkout.
        count: Of workers.
        unchecked: Leave out to see first that the tests pass where no error is planted.

    Raises:
        ValueError: If a test fails where no error is planted.
    """
    found: dict[Mutant, bool] = {}
    with tempfile.TemporaryDirectory() as scratch:
        idle = [Worker(tree, Path(scratch) / f"worker{i}") for i in range(count)]
        jobs: list[tuple[tuple[str, ...], Mutant | None]] = [
            *((tests, None) for tests in ([] if unchecked else _all_tests(mutants))),
            *((mutant.tests, mutant) for mutant in mutants if idle[0].fits(mutant)),
        ]
        at_work: list[tuple[Worker, tuple[str, ...], Mutant | None]] = []
        while jobs or at_work:
            while jobs and idle:
                at_work.append((idle.pop(), *jobs.pop(0)))
                at_work[-1][0].start(*at_work[-1][1:])
            time.sleep(0.05)
            for entry in [*at_work]:
                worker, tests, mutant = entry
                if (failed := worker.failed()) is None:
                    continue
                at_work.remove(entry)
                idle.append(worker)
                seconds = f"{time.monotonic() - worker.begun:5.0f} s"
                if mutant is not None:
                    found[mutant] = failed
                    print(seconds, "caught" if failed else "MISSED", mutant.title, flush=True)
                elif failed:
                    raise ValueError(f"these fail without a planted error: {' '.join(tests)}")
                else:
                    print(seconds, "passed", *tests, flush=True)
    return found


def _all_tests(mutants: Sequence[Mutant]) -> list[tuple[str, ...]]:
    return [*dict.fromkeys(mutant.tests for mutant in mutants)]


def table(found: dict[Mutant, bool]) -> str:
    """Tabulate by room, in Markdown."""
    lines = ["| room | planted | caught | |", "|---|---|---|---|"]
    for room in [*dict.fromkeys(mutant.room for mutant in found), "all"]:
        caught = [is_caught for m, is_caught in found.items() if room in (m.room, "all")]
        share = f"{sum(caught) / len(caught):.0%}"
        lines.append(f"| {room} | {len(caught)} | {sum(caught)} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Read the lists that are asked for, try their errors, and say what was caught."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    known = sorted(path.stem for path in LISTS.glob("*.toml"))
    parser.add_argument("rooms", nargs="*", default=known, metavar="ROOM", help=", ".join(known))
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout")
    parser.add_argument("--tests", nargs="+", help="in place of those that a list names")
    parser.add_argument("--sample", type=int, help="errors of each list")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--unchecked", action="store_true", help="do not try the tests first")
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE.name}")
    given = parser.parse_args()
    mutants: list[Mutant] = []
    for room in given.rooms:
        some = read_list(LISTS / f"{room}.toml")
        if given.tests:
            some = [replace(mutant, tests=tuple(given.tests)) for mutant in some]
        mutants += random.Random(0).sample(some, min(given.sample or len(some), len(some)))
    with contextlib.redirect_stdout(io.StringIO()):
        for name in _LIBRARIES:
            importlib.import_module(name)
    found = tried(mutants, given.tree.resolve(), given.workers, unchecked=given.unchecked)
    told = table({mutant: found[mutant] for mutant in mutants if mutant in found})
    print(told)
    if given.write:
        if given.sample:
            told += f"\n\nThis is a sample, {given.sample} of each list, drawn from a seed."
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(_BEGIN)[0], text.split(_END)[1]
        PAGE.write_text(f"{before}{_BEGIN}\n{told}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
