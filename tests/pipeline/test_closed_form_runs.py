"""Runs whose probes are solved for: wherever activations lie, however often they are stopped."""

import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.cli import QUICK, by_name, read_table, run_cli, without
from support.several import UNEVEN, Forked, run_forked

from net2vec_pl.probes import BankFile

# As few concepts as show all there is.
FEW = [*QUICK, "data.categories=[color,object]"]
BESIDE = [*without(FEW, "beside"), "protocol=lda", "beside=[mean_difference]"]
TABLES = ("concepts.csv", "probes.csv", "filters.csv")


def finished(folder: Path, *options: str) -> Path:
    """Run the command line once, and return the folder of the run."""
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *options, "run.dir=out") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("memory"), *BESIDE)


def banks(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "bank.safetensors")


def assert_same(one: Path, other: Path, tables: tuple[str, ...] = TABLES) -> None:
    mine, others = banks(one), banks(other)
    assert mine.keys() == others.keys()
    for name, values in mine.items():
        assert torch.equal(values, others[name]), name
    for table in tables:
        assert (one / table).read_text() == (other / table).read_text(), table


@pytest.mark.parametrize(
    "protocol", ["lda", "mean_difference", "ridge", "pattern", "logistic", "best"]
)
def test_every_protocol_leaves_a_bank_and_its_scores(protocol: str, tmp_path: Path) -> None:
    more = ["protocol.calibrate=train"] if protocol == "best" else []
    out = finished(tmp_path, *FEW, f"protocol={protocol}", *more)
    bank = BankFile.load(out / "bank.safetensors")
    assert bank.protocol.name == protocol
    assert bank.protocol.calibrate != "none"
    assert bank.bias is not None
    assert bank.scale is not None
    assert bank.weight.isfinite().all()
    assert bank.bias.isfinite().all()
    rows = by_name(out / "concepts.csv")
    assert set(bank.vocabulary.names) <= set(rows)
    for name, weight in zip(bank.vocabulary.names, bank.weight, strict=True):
        row = rows[name]
        assert row["status"] in ("ok", "no filter overlaps it")
        assert float(row["norm"]) == pytest.approx(float(weight.norm()), rel=1e-5)
        assert 0 <= float(row["multi_train"]) <= 1
    assert "known" not in rows["blue-c"]  # nothing is beside the probe
    assert not (out / "probes.csv").exists()
    assert not (out / "state").exists()
    assert (out / "checkpoints").exists() == (protocol in ("logistic", "best"))


@pytest.mark.parametrize("cache", ["none", "device", "cache.max_gib=1e-9"])
def test_results_do_not_depend_on_where_activations_are_kept(
    cache: str, memory: Path, tmp_path: Path
) -> None:
    option = cache if "=" in cache else f"cache={cache}"
    assert_same(memory, finished(tmp_path, *BESIDE, option))


@pytest.mark.parametrize(
    "choices", [["protocol=lda"], ["protocol=lda", "protocol.input=bits"], ["protocol=paper"]]
)
def test_a_disk_cache_changes_nothing_and_may_be_found_again(
    choices: list[str], tmp_path: Path
) -> None:
    """Only bits can be kept on disk: with roots the network runs anew."""
    options = [*without(BESIDE, "protocol=lda"), *choices]
    for name in ("memory", "first", "second"):
        (tmp_path / name).mkdir()
    kept = ["cache=disk", f"cache.dir={tmp_path}/cache"]
    memory = finished(tmp_path / "memory", *options)
    assert_same(memory, finished(tmp_path / "first", *options, *kept))
    assert bool(list((tmp_path / "cache").rglob("*.h5"))) == (choices != ["protocol=lda"])
    assert_same(memory, finished(tmp_path / "second", *options, *kept))


def assert_close(one: Path, other: Path) -> None:
    """Compare runs whose convolutions may differ in their last bits."""
    mine, others = banks(one), banks(other)
    for name, values in mine.items():
        torch.testing.assert_close(others[name], values, rtol=1e-3, atol=1e-3)
    for table in ("concepts.csv", "probes.csv"):
        rows = read_table(one / table), read_table(other / table)
        for row, others_row in zip(*rows, strict=True):
            assert row.keys() == others_row.keys()
            for name in ("multi_val", "multi_train", "single_val", "val", "train"):
                if name in row:
                    near = pytest.approx(float(row[name]), abs=0.01, nan_ok=True)
                    assert float(others_row[name]) == near, (name, row)


def test_batches_change_no_more_than_a_convolution_does(memory: Path, tmp_path: Path) -> None:
    assert_close(memory, finished(tmp_path, *BESIDE, "loader.batch_size=7"))


@pytest.mark.parametrize(
    "where",
    [
        "pipeline.closed_form.solution",
        "pipeline.layer.calibrate",
        "pipeline.calibrated.score_all",
        "report.tables.write_csv",
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    where: str, memory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"net2vec_pl.{where}", stop)
        assert run_cli(broken, tmp_path, *BESIDE, "run.dir=out") == 130
    assert (tmp_path / "out/state/moments-root.safetensors").exists()
    assert run_cli(monkeypatch, tmp_path, "run.resume=out") == 0
    assert_same(memory, tmp_path / "out")


def test_a_killed_run_goes_on_to_the_same_bytes(memory: Path, tmp_path: Path) -> None:
    run = Forked(tmp_path, *BESIDE, "run.dir=out")
    while not (tmp_path / "out/state/probe.safetensors").exists() and run.poll() is None:
        pass
    run.kill()
    assert Forked(tmp_path, "run.resume=out").wait() == 0
    assert_same(memory, tmp_path / "out")


def test_other_probes_beside_are_not_taken_for_those_of_a_stopped_run(
    memory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    other = [*without(BESIDE, "beside"), "beside=[pattern]"]
    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.report.tables.write_csv", stop)
        assert run_cli(broken, tmp_path, *other, "run.dir=out") == 130
    assert run_cli(monkeypatch, tmp_path, *BESIDE, "run.dir=out") == 0
    assert_same(memory, tmp_path / "out")


def test_two_processes_solve_and_score_as_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    options = [*without(UNEVEN, "beside"), "protocol=lda", "beside=[mean_difference]"]
    # A convolution's last bits depend on its batch: one image each.
    options += ["data.categories=[color,object]", "cache=none"]
    alone = finished(one, *options, "loader.batch_size=1")
    done = run_forked(two, 2, *without(options, "trainer"), "loader.batch_size=2")
    assert done.returncode == 0, done.stderr
    mine, others = banks(alone), banks(two / "out")
    for name, values in mine.items():
        torch.testing.assert_close(others[name], values, rtol=0, atol=1e-6)
    for table in TABLES:
        assert (alone / table).read_text() == (two / "out" / table).read_text(), table


def test_shares_may_be_empty(tmp_path: Path) -> None:
    few = without(UNEVEN, "beside", "data.num_images", "trainer")
    few += ["data.num_images=4", "protocol=lda", "beside=[mean_difference]"]
    done = run_forked(tmp_path, 3, *few)  # three train images and one val image
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["protocol=lda", "protocol.bias=false"], "closed forms need a bias"),
        (["protocol.calibrate=train"], "leaves nothing to calibrate"),
        (["protocol.probe=lad"], "unknown value of protocol.probe 'lad'"),
        (["beside=[nonsense]"], "unknown probe of beside 'nonsense'"),
        (["beside=[ridge]"], "unknown probe of beside 'ridge'"),
        (["protocol=lda", "protocol.shrinkage=2"], "protocol.shrinkage=2"),
        (["protocol=lda", "protocol.own_covariance=-0.1"], "protocol.own_covariance=-0.1"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = without(QUICK, "beside") if options[0].startswith("beside") else QUICK
    assert run_cli(monkeypatch, tmp_path, *given, *options, "run.dir=out") == 1
    stderr = capsys.readouterr().err.strip()
    assert message in stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") <= 1
    assert "Traceback" not in stderr


def test_layers_of_one_run_are_those_of_runs_of_their_own(memory: Path, tmp_path: Path) -> None:
    out = finished(tmp_path, *BESIDE, "layer=[conv2,conv4]")
    layers = sorted(path.parent.name for path in out.glob("*/bank.safetensors"))
    assert len(layers) == 2
    for name, folder in zip(("conv2", "conv4"), layers, strict=True):
        (tmp_path / name).mkdir()
        assert_same(out / folder, finished(tmp_path / name, *BESIDE, f"layer={name}"))


def test_seeds_of_a_closed_form_are_one_bank(memory: Path, tmp_path: Path) -> None:
    out = finished(tmp_path, *BESIDE, "seeds=2")
    bank = BankFile.load(out / "bank.safetensors")
    assert bank.other_seeds is not None
    assert bank.other_biases is not None
    assert torch.equal(bank.other_seeds[0], bank.weight)
    assert bank.bias is not None
    assert torch.equal(bank.other_biases[0], bank.bias)
    assert (out / "probes.csv").read_text() == (memory / "probes.csv").read_text()
    assert all(float(r["cosine"]) == pytest.approx(1) for r in read_table(out / "seeds.csv"))


def test_a_concept_alone_scores_as_among_others(memory: Path, tmp_path: Path) -> None:
    """Its images and their scale are the same; competitors are not, so argmax is left out."""
    out = finished(tmp_path, *without(BESIDE, "data.categories"), "data.names=[blue-c]")
    both = (
        [row for row in read_table(folder / "probes.csv") if row["name"] == "blue-c"]
        for folder in (memory, out)
    )
    for expected, row in zip(*both, strict=True):
        assert row["probe"] == expected["probe"]
        for column in ("train", "val", "gain", "ap", "annotated", "cosine"):
            near = pytest.approx(float(expected[column]), abs=1e-6, nan_ok=True)
            assert float(row[column]) == near, (row["probe"], column)
        # Without a rival every labelled pixel is its own.
        alone = math.nan if row["probe"] == "single filter" else 1.0
        assert float(row["argmax"]) == pytest.approx(alone, nan_ok=True)


def test_scores_over_annotated_images(memory: Path, tmp_path: Path) -> None:
    """The same embeddings, whose thresholds and scores heed false alarms elsewhere."""
    out = finished(tmp_path, *BESIDE, "protocol.denominator=annotated")
    assert torch.equal(banks(out)["weight"], banks(memory)["weight"])
    assert not torch.equal(banks(out)["bias"], banks(memory)["bias"])
    for row in read_table(out / "probes.csv"):
        if row["probe"] != "single filter":
            near = pytest.approx(float(row["val"]), abs=1e-12, nan_ok=True)
            assert float(row["annotated"]) == near, row


def test_both_targets_go_together(memory: Path, tmp_path: Path) -> None:
    out = finished(tmp_path, *BESIDE, "target=both")
    for table in ("concepts.csv", "probes.csv"):
        assert (out / table).read_text() == (memory / table).read_text()
    assert (out / "classification.csv").exists()


def test_questions_are_answered_by_solved_probes(tmp_path: Path) -> None:
    """Subsets are solved for under masks, controls on shuffled masks; the L1 path is left out."""
    options = [*without(BESIDE, "analysis", "data.categories"), "data.names=[blue-c,red-c]"]
    options += ["analysis=basic", "analysis.names=[subsets,controls,worth]"]
    out = finished(tmp_path, *options, "analysis.permutations=100")
    rows = read_table(out / "analysis/subsets.csv")
    assert rows
    assert not (out / "analysis/penalties.csv").exists()
    assert "no L1 path" in (out / "train.log").read_text()
    assert read_table(out / "analysis/controls.csv")
    findings = (out / "findings.md").read_text()
    assert "Which concepts does the layer know?" in findings
    assert "lda knows " in findings


def test_a_calibrated_bank_scores_no_less_on_train(memory: Path, tmp_path: Path) -> None:
    out = finished(tmp_path, *BESIDE, "protocol.calibrate=none")
    assert torch.equal(banks(out)["weight"], banks(memory)["weight"])
    as_it_is, moved = (by_name(folder / "concepts.csv") for folder in (out, memory))
    gains = [
        float(moved[n]["multi_train"]) - float(row["multi_train"]) for n, row in as_it_is.items()
    ]
    assert min(gains) > -1e-3
    assert max(gains) > 0.05
    rows = read_table(out / "probes.csv"), read_table(memory / "probes.csv")
    calibrated = [float(row["val"]) for row in rows[0] if row["probe"] == "lda, calibrated"]
    own = [float(row["val"]) for row in rows[1] if row["probe"] == "lda"]
    assert calibrated == pytest.approx(own, abs=1e-3, nan_ok=True)


def test_means_of_every_contender_are_finite(memory: Path) -> None:
    rows = read_table(memory / "probes.csv")
    probes = list(dict.fromkeys(row["probe"] for row in rows))
    assert probes == [
        "lda",
        "mean_difference",
        "random direction",
        "single filter, calibrated",
        "everything",
        "position",
        "single filter",
    ]
    for name in probes:
        scores = [float(r["val"]) for r in rows if r["probe"] == name]
        assert any(map(math.isfinite, scores)), name
