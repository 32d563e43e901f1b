"""A question that the package does not know: one file, and one word on the command line."""

from pathlib import Path

import pytest
from support.cli import QUICK, read_table, run_cli, without

DEPTH = '''
"""How deep is it?"""

from dataclasses import dataclass
from typing import ClassVar

from net2vec_pl.errors import ConfigError
from net2vec_pl.records import Record
from net2vec_pl.studies import Question, Study, at_least


@dataclass(frozen=True)
class DepthRow(Record):
    name: str
    depth: int


@dataclass(frozen=True)
class Depth(Question):
    name: ClassVar[str] = "depth"
    depth: int = at_least(1, 2)

    def check(self, setup):
        if self.depth > 9:
            raise ConfigError(f"analysis.depth={self.depth}: nothing is so deep.")

    def run(self, study: Study) -> None:
        study.write([DepthRow(name, self.depth) for name in study.job.vocabulary.names], "depth")
        study.find("How deep?", "depth", float(self.depth), len(study.categories), "It is deep.")


@dataclass(frozen=True)
class Odd(Question):
    depth: complex = 1j

    def run(self, study: Study) -> None:
        pass
'''
SMALL = [
    *without(QUICK, "report", "analysis"),
    "data.names=[sky,grass,tree]",
    "analysis.permutations=20",
    "run.dir=out",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that has the question."""
    (tmp_path / "deep_questions.py").write_text(DEPTH)
    return tmp_path


def left_by(folder: Path) -> tuple[list[str], set[str]]:
    """Return the analyses that ran, and the depths in the table."""
    log = (folder / "out" / "train.log").read_text().splitlines()
    rows = read_table(folder / "out" / "analysis" / "depth.csv")
    assert [row["name"] for row in rows] == ["sky", "grass", "tree"]
    ran = [line.partition("analysis: ")[2] for line in log if "analysis: " in line]
    return ran, {row["depth"] for row in rows}


def test_it_leaves_its_table_and_its_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "analysis.names=[deep_questions.Depth,intervals]"
    assert run_cli(monkeypatch, folder, *SMALL, asked, "+analysis.depth=3") == 0
    assert left_by(folder) == (["intervals", "depth"], {"3"})
    found = read_table(folder / "out" / "findings.csv")
    assert [(row["measure"], row["value"]) for row in found if row["question"] == "How deep?"] == [
        ("depth", "3.0")
    ]
    assert "It is deep." in (folder / "out" / "findings.md").read_text()
    assert "It is deep." in (folder / "out" / "report.html").read_text()


def test_its_options_stand_in_a_file_of_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine" / "analysis").mkdir(parents=True)
    (folder / "mine" / "analysis" / "deep.yaml").write_text(
        "defaults: [_options]\nnames: [deep_questions.Depth]\ndepth: 4\n"
    )
    assert run_cli(monkeypatch, folder, "--config-dir", "mine", *SMALL, "analysis=deep") == 0
    assert left_by(folder) == (["depth"], {"4"})


def test_its_default_holds_where_nothing_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli(monkeypatch, folder, *SMALL, "analysis.names=[deep_questions.Depth]") == 0
    assert left_by(folder) == (["depth"], {"2"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["+analysis.depth=0"], "analysis.depth=0 must be a whole number from 1."),
        (["+analysis.depth=10"], "analysis.depth=10: nothing is so deep."),
        (["+analysis.dept=3"], "unknown option of analysis 'dept'. Did you mean 'depth'"),
        (
            ["analysis.names=[deep_questions.Depht]"],
            "unknown Question of deep_questions 'Depht'. Did you mean 'Depth'",
        ),
        (["analysis.names=[depth]", "+analysis.depth=3"], "unknown analysis 'depth'."),
        (["analysis.names=[deep_questions.Odd]"], "analysis deep_questions.Odd has no name"),
        (["analysis.names=[intervals]", "+analysis.depth=3"], "unknown option of analysis 'depth'"),
    ],
)
def test_a_mistake_is_named(
    options: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = "analysis.names=[deep_questions.Depth]"
    assert run_cli(monkeypatch, folder, *SMALL, asked, *options) == 1
    assert message in capsys.readouterr().err
