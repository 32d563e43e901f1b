"""The launchers and the sweeper that exist for Hydra, with our jobs."""

import csv
from pathlib import Path

import pytest
from support.sweeps import banks, ledger_of, run_sweep

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
    done = run_sweep(tmp_path, *options, "layer=conv5,conv9", "seed=3")
    assert done.returncode == 1
    found = ledger_of(tmp_path)
    assert {name: row["state"] for name, row in found.items()} == {
        "layer=conv5 seed=3": "finished",
        "layer=conv9 seed=3": "failed",
    }
    assert "unknown layer" in found["layer=conv9 seed=3"]["cause"]
    before = banks(tmp_path)
    again = run_sweep(tmp_path, "layer=conv5,conv9", "seed=3")  # on another launcher
    assert again.returncode == 1
    assert banks(tmp_path) == before
    assert again.stdout.count(": done before") == 1


def test_optuna_searches_the_score_and_outlives_a_job_that_fails(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="Optuna is not installed")
    search = [
        "experiment=search",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.sampler.seed=5",
        "+hydra.sweeper.params.layer='choice(conv4,conv9)'",
    ]
    done = run_sweep(tmp_path, *search)
    rows = ledger_of(tmp_path).values()
    states = sorted(row["state"] for row in rows)
    assert states == ["failed", "failed", "finished"], done.stderr  # as the seed draws them
    best = (tmp_path / "sweep" / "optimization_results.yaml").read_text()
    highest = max(float(row["multi_val"]) for row in rows if row["multi_val"])
    assert float(best.split("best_value:")[1]) == pytest.approx(highest)
    assert "layer: conv4" in best


def test_a_launcher_that_is_not_installed_is_named_with_what_brings_it(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['hydra_plugins'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    done = run_sweep(tmp_path, "hydra/launcher=slurm", "seed=0,1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "pip install 'net2vec_pl[slurm]'" in done.stderr
    assert not list(csv.reader(done.stdout))
