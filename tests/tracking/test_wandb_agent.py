"""The real ``wandb agent`` works through a sweep of ours, against a stand-in for the server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cli import QUICK
from support.wandb_runs import OfflineRun, offline_runs, without_account
from support.wandb_server import grid, run_id, sweep_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path / "home")


def work_through(folder: Path, **parameters: list[Any]) -> dict[str, OfflineRun]:
    """Let an agent work through sweeps/layers.yaml, made small, and return its runs by id."""
    sweep = yaml.safe_load((ROOT / "sweeps" / "layers.yaml").read_text())
    sweep["program"] = str(ROOT / sweep["program"])
    sweep["command"] += QUICK
    sweep["parameters"] = {name: {"values": values} for name, values in parameters.items()}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    tools = Path(sys.executable).parent
    with sweep_server(path) as environment:
        # The agent starts a bare `python`.
        found = {"PATH": f"{tools}:{os.environ['PATH']}"}
        agent = subprocess.run(
            [tools / "wandb", "agent", "me/project/abcd1234"],
            cwd=folder,
            env=os.environ | environment | found,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert agent.returncode == 0, agent.stderr
    runs = offline_runs(folder / "runs")
    by_id = {run.told["run_id"]: run for run in runs}
    assert len(runs) == len(by_id) == len(grid(sweep))
    return by_id


def assert_finished(run: OfflineRun, **options: Any) -> None:
    assert (run.told["state"], run.told["exit_code"]) == ("finished", 0)
    assert {name: run.told["config"][name] for name in options} == options
    assert run.told["config"]["protocol.epochs"] == 1
    assert 0 < run.told["summary"]["val/set_iou"] < 1
    assert run.keys_of("table-file") == {"concepts", "filters"}
    assert [artifact["type"] for artifact in run.artifacts] == ["bank"]


def test_the_agent_gets_a_run_for_every_point_and_sees_which_failed(tmp_path: Path) -> None:
    runs = work_through(tmp_path, layer=["conv5", "conv9"])
    assert_finished(runs[run_id(0)], layer="conv5")
    failed = runs[run_id(1)].told
    assert (failed["state"], failed["exit_code"]) == ("failed", 1)
    assert failed["config"]["layer"] == "conv9"
    assert "unknown layer of shapesnet 'conv9'" in failed["summary"]["failure"]
    assert "val/set_iou" not in failed["summary"]


@pytest.mark.slow
def test_the_agent_gets_dotted_options_lists_and_groups_as_they_were_asked_for(
    tmp_path: Path,
) -> None:
    asked: dict[str, list[Any]] = {
        "layer": ["conv4", "conv5"],
        "protocol.tau": [1e-05, 0.005],
        "protocol": ["best"],
    }
    runs = work_through(tmp_path, **asked)
    for number, point in enumerate(
        grid({"parameters": {k: {"values": v} for k, v in asked.items()}})
    ):
        assert_finished(runs[run_id(number)], **point)
        assert runs[run_id(number)].told["config"]["protocol.input"] == "root"
