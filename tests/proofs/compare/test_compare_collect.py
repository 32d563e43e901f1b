"""Which runs are found, and what is said of those that are not."""

import json
from pathlib import Path

import pytest
from support.fake_data.runs import Classified, write_run

from net2vec_pl.compare.collect import Collected, collect
from net2vec_pl.errors import RunFolderError

SCORES = {"sky": 0.5, "sea": 0.4, "ear": 0.3}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def found(*names: str) -> list[str]:
    return [entry.folder.as_posix() for entry in collect(names).entries]


def left_out(collected: Collected) -> list[tuple[str, str, str]]:
    return [(row.folder, row.state, row.reason) for row in collected.left_out]


def test_a_folder_a_pattern_and_a_list_lead_to_runs_in_order() -> None:
    for name in ("b", "a", "c/d", "c/.hidden"):
        write_run(Path("runs", name), SCORES)
    assert found("runs") == ["runs/a", "runs/b", "runs/c/d"]
    assert found("runs/[bc]*") == ["runs/b", "runs/c/d"]
    assert found("runs/b", "runs/a") == ["runs/b", "runs/a"]
    assert found("runs/b", "runs") == ["runs/b", "runs/a", "runs/c/d"]  # b once


def test_every_layer_of_a_run_is_found_and_what_only_classifies_too() -> None:
    write_run(Path("runs/two/conv5"), SCORES)
    write_run(Path("runs/two/conv4"), {}, classified=Classified(SCORES))
    Path("runs/two/layers.csv").write_text("layer\n")
    Path("runs/two/.hydra").mkdir()
    Path("runs/two/figures").mkdir()
    assert found("runs") == ["runs/two/conv4", "runs/two/conv5"]
    assert found("runs/two", "runs") == ["runs/two/conv4", "runs/two/conv5"]  # once


@pytest.mark.parametrize(("line", "expected"), [("task: compare", 1), ("task: run", 2)])
def test_folders_of_other_tasks_are_no_runs(line: str, expected: int) -> None:
    for name in ("a", "b"):
        write_run(Path("runs", name), SCORES)
    Path("runs/b/.hydra").mkdir()
    Path("runs/b/.hydra/resolved.yaml").write_text(f"seed: 0\n{line}\nlayer: x\n")
    assert len(found("runs")) == expected


def test_what_a_ledger_says_of_runs_that_are_left_out() -> None:
    write_run(Path("sweep/good"), SCORES)
    for name in ("bad", "running", "unknown"):
        Path("sweep", name, ".hydra").mkdir(parents=True)
    Path("sweep/ledger.csv").write_text(
        "job,state,cause\nbad,failed, no such layer \nrunning,running,\ngood,finished,\n"
        "gone,failed,lost\nlost,stopped,\nmoved,finished,\n"
    )
    assert left_out(collect(["sweep"])) == [
        ("sweep/bad", "failed", "no such layer"),
        ("sweep/running", "running", "running"),
        ("sweep/unknown", "not finished", "not finished"),
        ("sweep/gone", "failed", "lost"),
        ("sweep/lost", "stopped", "stopped"),
    ]
    assert left_out(collect(["sweep/good"])) == []
    assert left_out(collect(["sweep/good", "sweep/bad"])) == [
        ("sweep/bad", "failed", "no such layer")
    ]


def test_the_lines_of_jobs_are_the_ledger_where_there_are_any() -> None:
    write_run(Path("sweep/good"), SCORES)
    Path("sweep/bad").mkdir()
    line = {"job": "bad", "state": "failed", "started": "", "host": "h", "process": 1}
    Path("sweep/bad/job.json").write_text(json.dumps(line | {"cause": "no room"}))
    Path("sweep/ledger.csv").write_text("job,state,cause\nbad,stopped,of old\n")
    assert left_out(collect(["sweep"])) == [("sweep/bad", "failed", "no room")]


def test_a_damaged_run_is_left_out_with_the_fault() -> None:
    for name in ("good", "cut", "torn", "less", "empty"):
        write_run(Path("runs", name), SCORES)
    bank = Path("runs/cut/bank.safetensors")
    bank.write_bytes(bank.read_bytes()[:99])
    Path("runs/torn/concepts.csv").write_text("name,n_train\nsky\n")
    Path("runs/less/concepts.csv").write_text("name,n_train\nsky,5\n")
    Path("runs/empty/concepts.csv").unlink()
    rows = {folder: (state, reason) for folder, state, reason in left_out(collect(["runs"]))}
    assert {state for state, _ in rows.values()} == {"damaged"}
    assert rows["runs/less"][1] == (
        "table runs/less/concepts.csv is damaged, or of another version: no column 'id'."
    )
    assert rows["runs/torn"][1] == (
        "table runs/torn/concepts.csv is damaged: it is empty, or a row is cut off."
    )
    assert rows["runs/empty"][1].startswith("table runs/empty/concepts.csv cannot be read: ")
    assert rows["runs/cut"][1].startswith("bank runs/cut/bank.safetensors cannot be read: ")
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "runs=nowhere: no such file or folder, and no pattern that fits any. Name the "
         "folder of a run or of a sweep (multirun/NAME), or an export of W&B's table (*.csv)."),
        ("note.txt", "runs=note.txt is a file; name the folder of the run."),
        ("begun", "runs=begun: no finished run is there; left out: begun (not finished). A run is "
         "a folder with bank.safetensors and concepts.csv, or one with such folders below it; an "
         "export of W&B's table only joins them."),
        ("other.csv", "runs=other.csv: no export of W&B's table of runs, which has the columns "
         "Name and State. Its columns: a, State."),
    ],
)  # fmt: skip
def test_a_name_that_leads_to_no_run_is_told_whole(given: str, message: str) -> None:
    Path("note.txt").write_text("")
    Path("other.csv").write_text("a,State\n1,2\n")
    Path("begun/state").mkdir(parents=True)
    with pytest.raises(RunFolderError) as raised:
        collect([given])
    assert str(raised.value) == message
