"""The launchers that exist for Hydra; jobs are stand-ins, which end at once."""

import csv
from pathlib import Path

import pytest
from support.sweeps import banks, ledger_of, run_sweep, with_stand_ins

JOBLIB = ["hydra/launcher=parallel", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
RAY = [
    "hydra/launcher=ray_gpus",
    "hydra.launcher.ray.remote.num_gpus=0",
    "hydra.launcher.ray.remote.num_cpus=1",
]


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        ("hydra_joblib_launcher", JOBLIB),
        ("hydra_submitit_launcher", SUBMITIT),
        ("hydra_ray_launcher", RAY),
    ],
    ids=["joblib", "submitit", "ray"],
)
def test_jobs_run_side_by_side_and_a_failure_is_one_jobs_own(
    plugin: str, options: list[str], tmp_path: Path
) -> None:
    pytest.importorskip(f"hydra_plugins.{plugin}", reason=f"{plugin} is not installed")
    quick = with_stand_ins(tmp_path)
    done = run_sweep(tmp_path, *options, "layer=conv5,conv9", "seed=3", **quick)
    assert done.returncode == 1
    found = ledger_of(tmp_path)
    assert {
        name: (row["state"], row["cause"], row["multi_val"]) for name, row in found.items()
    } == {
        "layer=conv5 seed=3": ("finished", "", "0.5"),
        "layer=conv9 seed=3": ("failed", "unknown layer", ""),
    }
    before = banks(tmp_path)
    again = run_sweep(tmp_path, "layer=conv5,conv9", "seed=3", **quick)  # on another launcher
    assert again.returncode == 1
    assert banks(tmp_path) == before
    assert again.stdout.count(": already finished") == 1


def test_a_launcher_that_is_not_installed_is_named_with_what_brings_it(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['hydra_plugins'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    done = run_sweep(tmp_path, "hydra/launcher=slurm", "seed=0,1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "pip install 'net2vec_pl[slurm]'" in done.stderr
    assert not list(csv.reader(done.stdout))
