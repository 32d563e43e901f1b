"""The files of the project around the package: CI, hooks, templates, citation."""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from net2vec_pl import __version__

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "CITATION.cff",
    ROOT / ".pre-commit-config.yaml",
    *sorted((ROOT / ".github").rglob("*.yml")),
]


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = _load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    return found


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _pythons(setup: configparser.ConfigParser) -> list[str]:
    return re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_a_mapping(path: Path) -> None:
    assert isinstance(_load(path), dict)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")))
def test_every_issue_form_asks_for_something(path: Path) -> None:
    form = _load(path)
    assert form["name"]
    assert form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) > 0


def test_ci_tests_the_pythons_that_the_package_claims(
    jobs: dict[str, Any], setup: configparser.ConfigParser
) -> None:
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    assert tested == _pythons(setup)
    allowed = SpecifierSet(setup["options"]["python_requires"])
    assert set(allowed.filter(f"3.{minor}" for minor in range(30))) >= set(tested)
    before = f"3.{min(int(python.split('.')[1]) for python in tested) - 1}"
    assert before not in allowed


def test_the_lowest_versions_are_tested_on_the_lowest_python(
    jobs: dict[str, Any], setup: configparser.ConfigParser
) -> None:
    python = next(s["with"] for s in jobs["lowest"]["steps"] if "with" in s)["python-version"]
    assert python == _pythons(setup)[0]


def test_ci_calls_make_only_and_every_target_exists(jobs: dict[str, Any]) -> None:
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert sorted(runs) == ["make docs", "make lowest", "make test", "make test-browser"]
    assert {run.removeprefix("make ") for run in runs} <= set(targets)


def test_hooks_run_the_versions_of_the_project() -> None:
    repositories = _load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_the_citation_and_the_changelog_name_this_version() -> None:
    assert _load(ROOT / "CITATION.cff")["version"] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[?([\w.]+)", changelog, re.MULTILINE)
    assert sections[:2] == ["Unreleased", __version__]
