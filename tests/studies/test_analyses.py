"""The analyses through the command line: what they leave, and what they say to bad input."""

import math
import pickle
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from matplotlib.figure import Figure
from support.cli import QUICK, composed, read_table, run_cli

from net2vec_pl.figures.style import save_figure
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Record, read_csv, write_csv
from net2vec_pl.records.studies import (
    ClusterRow,
    ComparisonRow,
    ControlMeansRow,
    ControlRow,
    DetectorRow,
    ExampleRow,
    FailureRow,
    FiltersUsedRow,
    GainRow,
    IntervalRow,
    MatrixRow,
    NeededRow,
    NeighbourRow,
    OverlapRow,
    PenaltyRow,
    ReachedRow,
    SharedFilterRow,
    SubsetRow,
    SumRow,
    SynthesisRow,
)
from net2vec_pl.studies import Study
from net2vec_pl.studies.registry import BUILT_IN

SMALL = [
    *(a for a in QUICK if not a.startswith("analysis")),
    "analysis=all",
    "analysis.replicates=50",
    "analysis.permutations=200",
    "analysis.penalties=2",
    "analysis.steps=2",
    'analysis.arithmetic=["sky + grass"]',
    "protocol.classification.epochs=2",
]
TABLES: dict[str, type[Record]] = {
    "intervals": IntervalRow, "gains": GainRow, "subsets": SubsetRow, "filters_needed": NeededRow,
    "cumulative_filters": ReachedRow, "l1_path": PenaltyRow, "shared_filters": SharedFilterRow,
    "filters_per_concept": FiltersUsedRow, "filter_overlap": OverlapRow, "detectors": DetectorRow,
    "failures": FailureRow, "nearest": NeighbourRow, "arithmetic": SumRow, "clusters": ClusterRow,
    "category_matrix": MatrixRow, "comparisons": ComparisonRow, "examples": ExampleRow,
    "synthesis": SynthesisRow, "controls": ControlRow, "control_means": ControlMeansRow,
}  # fmt: skip
FEW = "data.names=[sky,grass,tree,house,road,red-c,blue-c,green-c,brick,wood]"


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    """What the analyses of the run have left in memory."""
    return []


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, studies: list[Study]) -> Path:
    folder = tmp_path_factory.mktemp("all")

    def kept(*given: Any) -> Study:
        studies.append(Study(*given))
        return studies[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("net2vec_pl.studies.Study", kept)
        status = run_cli(patch, folder, *SMALL, "target=both", "seeds=2", "run.dir=out")
    assert status == 0
    return folder / "out"


def test_every_analysis_leaves_tables_and_figures(run_folder: Path) -> None:
    tables = {path.stem for path in (run_folder / "analysis").iterdir()}
    assert {
        "intervals", "gains", "subsets", "subsets_classification", "filters_needed", "l1_path",
        "cumulative_filters", "shared_filters", "filters_per_concept", "filter_overlap",
        "detectors", "failures", "nearest", "nearest_classification", "arithmetic", "clusters",
        "category_matrix", "comparisons", "examples", "synthesis", "controls", "control_means",
    } <= tables  # fmt: skip
    figures = {path.name for path in (run_folder / "figures").iterdir()}
    assert {"intervals.png", "intervals.svg", "filter_curve.png", "map_tsne.png"} <= figures
    assert not (run_folder / "state").exists()


def test_recipes_of_figures_outlive_the_run(
    run_folder: Path, studies: list[Study], tmp_path: Path
) -> None:
    (study,) = studies
    drawn = {path.stem for path in (run_folder / "figures").iterdir()}
    assert {*study.figures} == drawn
    for name, recipe in study.figures.items():
        pickled = pickle.dumps(recipe)
        assert {*re.findall(rb"net2vec_pl\.(\w+)", pickled)} == {b"figures"}  # no study, no job
        assert b"torch" not in pickled
        save_figure(pickle.loads(pickled)(), tmp_path, name)
        file = f"{name}.png"
        assert (tmp_path / file).read_bytes() == (run_folder / "figures" / file).read_bytes(), name


@pytest.mark.parametrize("draw", [True, False])
def test_recipes_are_kept_whether_or_not_the_run_draws(draw: bool, tmp_path: Path) -> None:
    job = Mock(spec=LayerJob)
    job.folder, job.setup = tmp_path, Mock()
    job.setup.options.draw = draw
    study = Study(job, None, None)
    study.draw("own", Figure, (3.0, 2.0), dpi=90)
    assert study.figures["own"]().get_size_inches().tolist() == [3.0, 2.0]
    assert study.figures["own"]().dpi == 90
    files = {path.name for path in tmp_path.glob("figures/*")}
    assert files == ({"own.png", "own.svg"} if draw else set())


def test_findings_answer_every_question_with_numbers(run_folder: Path) -> None:
    rows = read_table(run_folder / "findings.csv")
    assert len({row["question"] for row in rows}) >= 6
    assert all(math.isfinite(float(row["value"])) and row["statement"] for row in rows)
    gain = next(row for row in rows if row["measure"] == "mean gain in val set IoU")
    assert float(gain["low"]) <= float(gain["value"]) <= float(gain["high"])
    page = (run_folder / "findings.md").read_text()
    assert all(row["statement"] in page for row in rows)


@pytest.mark.parametrize("name", [name for name, kind in TABLES.items() if kind is not MatrixRow])
def test_every_table_is_read_back_as_it_was_written(
    name: str, run_folder: Path, tmp_path: Path
) -> None:
    written = run_folder / "analysis" / f"{name}.csv"
    write_csv(read_csv(TABLES[name], written), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == written.read_bytes()


def test_every_table_has_a_record(run_folder: Path) -> None:
    left = {path.stem.removesuffix("_classification") for path in run_folder.glob("analysis/*.csv")}
    assert left == set(TABLES)


def test_intervals_are_around_the_scores_of_the_run(run_folder: Path) -> None:
    concepts = {row["name"]: row for row in read_table(run_folder / "concepts.csv")}
    for row in read_table(run_folder / "analysis/intervals.csv"):
        concept = concepts[row["name"]]
        assert float(row["multi"]) == pytest.approx(float(concept["multi_val"]), abs=1e-6)
        if math.isfinite(float(row["single"])):
            assert float(row["single"]) == pytest.approx(float(concept["single_val"]), abs=1e-6)
        else:
            assert row["verdict"] == "no single filter"
        assert int(row["n"]) == int(concept["n_val"])


def test_the_largest_subset_is_the_bank_itself(run_folder: Path) -> None:
    full = {row["name"]: float(row["multi_val"]) for row in read_table(run_folder / "concepts.csv")}
    rows = read_table(run_folder / "analysis/subsets.csv")
    most = max(int(row["filters"]) for row in rows)
    assert most == BankFile.load(run_folder / "bank.safetensors").weight.shape[1]
    for row in rows:
        if int(row["filters"]) == most:
            assert float(row["retrained"]) == pytest.approx(full[row["name"]], abs=1e-6)
            assert float(row["masked"]) == pytest.approx(full[row["name"]], abs=1e-6)


def test_classifiers_have_scores_or_reasons(run_folder: Path) -> None:
    rows = read_table(run_folder / "classification.csv")
    assert {"scene", "texture"} <= {row["category"] for row in rows}
    for row in rows:
        scores = [float(row[f"{kind}accuracy"]) for kind in ("", "top_", "best_")]
        assert all(0 <= score <= 1 for score in scores) or row["status"] != "ok"
    bank = BankFile.load(run_folder / "classification.safetensors")
    assert bank.header["target"] == "classification"
    assert bank.bias is not None
    assert bank.bias.shape == bank.weight.shape[:1]


def test_every_analysis_is_named_in_the_configuration() -> None:
    named = {
        name for group in ("all", "causal") for name in composed(f"analysis={group}").analysis.names
    }
    assert named == {*BUILT_IN}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["analysis.names=[interval]"], "unknown analysis 'interval'. Did you mean 'intervals'"),
        (["target=segmentatio"], "unknown target 'segmentatio'. Did you mean 'segmentation'"),
        (["analysis.sizes=[1,9999]"], "128 filters, 9999 cannot be kept"),
        (["analysis.concepts=[skyy]"], "Did you mean 'sky'"),
        (["analysis.neighbours=0"], "analysis.neighbours=0 must be a whole number from 1"),
        (["+analysis.neighbors=3"], "Did you mean 'neighbours'"),
        (["protocol.input=rw"], "unknown value of protocol.input 'rw'"),
        (["protocol.classification.epochs=0"], "protocol.classification.epochs=0 is out of range"),
        (["layer=head"], "target=classification takes it"),
    ],
)
def test_a_mistake_is_named_before_anything_is_probed(
    given: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(monkeypatch, tmp_path, *SMALL, *given, "run.dir=out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "analysis").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["data.names=[sky]", "target=both"],
        ["data.names=[sky]", "protocol=lda"],
        ["data.names=[sky,grass]", "analysis.neighbours=99", "analysis.penalties=0"],
        [FEW, "protocol=best", "analysis.sizes=3", "seeds=2"],
        [FEW, "protocol=netdissect", "cache=none"],
        [FEW, "target=classification"],
        [FEW, "layer=[conv4,conv5]", "analysis.names=[intervals,controls]", "cache=disk"],
    ],
)
def test_small_and_other_runs_end_well(
    options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *SMALL, *options, "run.dir=out") == 0
    assert list((tmp_path / "out").rglob("findings.md"))


def test_missing_resources_and_unknown_terms_are_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vectors = tmp_path / "words.txt"
    vectors.write_text("zebra 0.1 0.2\nunicorn 0.3 0.4\n")
    options = [
        "analysis.names=[space]",
        "analysis.wordnet=/nowhere",
        f"analysis.words={vectors}",
        'analysis.arithmetic=["grass + sky", "gras - sky"]',
    ]
    assert run_cli(monkeypatch, tmp_path, *SMALL, FEW, *options, "run.dir=out") == 0
    out = tmp_path / "out"
    log = (out / "train.log").read_text()
    assert "WordNet" in log
    assert "/nowhere" in log
    sums = read_table(out / "analysis/arithmetic.csv")
    assert any(row["expression"] == "grass + sky" and row["status"] == "ok" for row in sums)
    assert any("Did you mean 'grass'" in row["status"] for row in sums)
    compared = {row["other"]: row["status"] for row in read_table(out / "analysis/comparisons.csv")}
    assert compared["word vectors"] == "no concept has a vector in word vectors"


def test_fully_connected_layers_are_classified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ["target=classification", "layer=head", "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *QUICK, *options) == 0
    assert len(read_table(tmp_path / "out" / "classification.csv")) > 10
