"""The main job, small: the run folder keeps its contract; one command gives one bank."""

import math
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from support.cli import QUICK, read_table, run_cli

from net2vec_pl.probes import BankFile

CONCEPT_COLUMNS = [
    "id", "name", "category", "n_train", "n_val", "alpha", "best_filter", "single_train",
    "single_val", "multi_train", "multi_val", "ap_val", "norm", "status",
]  # fmt: skip
FILTER_COLUMNS = [
    "filter", "threshold", "best_concept", "single_train", "single_val", "n_concepts",
]  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *QUICK, "run.dir=out", "data.num_images=120") == 0
    return folder / "out"


def test_a_run_leaves_what_the_contract_says(run_folder: Path) -> None:
    files = {p.relative_to(run_folder).as_posix() for p in run_folder.rglob("*") if p.is_file()}
    assert {
        "bank.safetensors", "concepts.csv", "filters.csv", "metrics.csv", "train.log",
        "checkpoints/last.ckpt", ".hydra/config.yaml", ".hydra/resolved.yaml",
    } <= files  # fmt: skip
    assert not any(name.endswith(".part") for name in files)


def test_every_concept_has_a_full_row_or_a_reason(run_folder: Path) -> None:
    rows = read_table(run_folder / "concepts.csv")
    assert list(rows[0]) == CONCEPT_COLUMNS
    scores = CONCEPT_COLUMNS[CONCEPT_COLUMNS.index("best_filter") : -1]
    for row in rows:
        assert all(row.values()), row
        if row["status"] == "ok":
            assert all(math.isfinite(float(row[name])) for name in scores), row
            assert all(0 <= float(row[name]) <= 1 for name in scores if "_" in name[5:]), row
    reasons = {row["status"].split(":")[0] for row in rows}
    assert "ok" in reasons
    assert {r["status"] for r in rows if r["category"] in ("scene", "texture")} == {
        "image-level: not segmented"
    }


def test_filters_count_the_concepts_that_chose_them(run_folder: Path) -> None:
    concepts, filters = (
        read_table(run_folder / "concepts.csv"),
        read_table(run_folder / "filters.csv"),
    )
    assert list(filters[0]) == FILTER_COLUMNS
    chosen = [row["best_filter"] for row in concepts if row["best_filter"] != "nan"]
    for row in filters:
        assert int(row["n_concepts"]) == chosen.count(row["filter"])


def test_the_bank_says_what_it_belongs_to(run_folder: Path) -> None:
    bank = BankFile.load(run_folder / "bank.safetensors")
    probed = [r["name"] for r in read_table(run_folder / "concepts.csv") if float(r["norm"]) >= 0]
    assert bank.vocabulary.names == probed
    assert bank.weight.shape == (len(probed), len(bank.threshold))
    assert {
        "model", "weights_digest", "layer", "module_path", "input_transform", "tau", "protocol",
        "deviations", "data", "seed", "versions", "target",
    } <= set(bank.header)  # fmt: skip
    assert any("epochs = 1 (paper: 30)" in line for line in bank.header["deviations"])


def test_the_checkpoint_holds_the_bank_of_the_run(run_folder: Path) -> None:
    state = torch.load(run_folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    bank = BankFile.load(run_folder / "bank.safetensors")
    torch.testing.assert_close(state["bank.weight"], bank.weight, rtol=0, atol=0)
    torch.testing.assert_close(state["thresholds"], bank.threshold, rtol=0, atol=0)
    assert not any(key.startswith("backbone") for key in state)


def test_the_log_holds_means_by_category_and_no_scalar_per_concept(run_folder: Path) -> None:
    columns = set(read_table(run_folder / "metrics.csv")[0])
    assert {
        "train/loss",
        "val/set_iou",
        "val/ap",
        "val/set_iou/object",
        "embedding/norm",
    } <= columns
    assert len(columns) < 40


def test_the_saved_configuration_has_nothing_left_to_resolve(run_folder: Path) -> None:
    text = (run_folder / ".hydra" / "resolved.yaml").read_text()
    assert "${" not in text
    assert OmegaConf.create(text).layer == "conv5"


def test_the_same_command_gives_the_same_bank_and_another_seed_another(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    again = [*QUICK, "data.num_images=120"]
    assert run_cli(monkeypatch, tmp_path, *again, "run.dir=again", "loader.workers=2") == 0
    assert run_cli(monkeypatch, tmp_path, *again, "run.dir=other", "seed=1") == 0
    first = BankFile.load(run_folder / "bank.safetensors").weight
    same = BankFile.load(tmp_path / "again" / "bank.safetensors").weight
    other = BankFile.load(tmp_path / "other" / "bank.safetensors").weight
    torch.testing.assert_close(same, first, rtol=0, atol=0)
    assert not torch.equal(other, first)


def test_results_do_not_depend_on_how_many_images_go_through_the_network_at_once(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    again = [*QUICK, "data.num_images=120", "loader.batch_size=7", "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *again) == 0
    one, two = (
        read_table(run_folder / "concepts.csv"),
        read_table(tmp_path / "out" / "concepts.csv"),
    )
    for name in ("best_filter", "single_train", "single_val", "n_train"):
        assert [r[name] for r in one] == [r[name] for r in two]


@pytest.mark.parametrize(
    "cache", ["cache=none", "cache.max_gib=1e-9", "cache=disk", "cache=device"]
)
def test_every_cache_gives_the_same_tables_and_bank(
    cache: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    again = [*QUICK, "data.num_images=120", cache, "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *again) == 0
    for name in ("concepts.csv", "filters.csv"):
        assert (tmp_path / "out" / name).read_text() == (run_folder / name).read_text()
    streamed = BankFile.load(tmp_path / "out" / "bank.safetensors").weight
    cached = BankFile.load(run_folder / "bank.safetensors").weight
    torch.testing.assert_close(streamed, cached, rtol=0, atol=1e-6)


@pytest.mark.parametrize("logger", ["tensorboard", "wandb", "none"])
def test_every_logger_works_without_an_account_or_a_network(
    logger: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert run_cli(monkeypatch, tmp_path, *QUICK, f"logger={logger}", "run.dir=out") == 0
    left = [p.name for p in (tmp_path / "out").rglob("*")]
    if logger == "wandb":
        assert any(name.endswith(".wandb") for name in left)
    if logger == "tensorboard":
        assert any(name.startswith("events.out") for name in left)
    assert ("metrics.csv" in left) is False


def test_a_dead_filter_and_a_concept_without_val_images_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ["run.dir=out", "data.num_images=40", "layer=conv4"]
    assert run_cli(monkeypatch, tmp_path, *QUICK, *arguments) == 0
    rows = read_table(tmp_path / "out" / "concepts.csv")
    assert any("too few" in row["status"] for row in rows)
    assert all(row["n_train"].isdigit() for row in rows)
