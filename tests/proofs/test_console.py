"""What a run prints: what it works on, its scores, its findings, and where all of it lies."""

import re
from collections.abc import Sequence
from statistics import fmean

import pytest

from proofs.conftest import PlantedRun

Rows = Sequence[dict[str, str]]
LAYERS = {"early": 16, "late": 14}
CATEGORIES = ("object", "part", "color", "scene", "all")


def printed(text: str) -> list[str]:
    """Return the lines of a text: cells of tables with bars between, nothing of their frames."""
    lines = []
    for line in text.splitlines():
        if set(line) - set("┏━┳┓┡╇┩├─┼┤└┴┘│┃ "):
            lines.append(" | ".join(re.split(r"\s*[│┃]\s*", line)).strip(" |"))
    return lines


def among(rows: Rows, category: str) -> Rows:
    """Return the rows of a category, or all."""
    return [row for row in rows if category in (row["category"], "all")]


def scored_means(rows: Rows, columns: Sequence[str]) -> list[str]:
    """Return the means of columns over rows, as they are printed."""
    return [f"{fmean(float(r[c]) for r in rows):.3f}" if rows else "-" for c in columns]


def accuracies(rows: Rows) -> list[str]:
    """Return the table of classification."""
    lines = [
        "Balanced accuracy on val, means over concepts, by category",
        "category | concepts | scored | top filter | best filter | all filters | AP | AUC",
    ]
    columns = ("top_accuracy", "best_accuracy", "accuracy", "ap", "auc")
    for category in CATEGORIES:
        asked = among(rows, category)
        scored = [row for row in asked if row["accuracy"] != "nan"]
        cells = [category, str(len(asked)), str(len(scored)), *scored_means(scored, columns)]
        lines.append(" | ".join(cells))
    sizes = [int(row[column]) for row in rows for column in ("n_val", "n_val_without")]
    return [
        *lines,
        f"Every concept scored has at least {min(sizes)} val images with it and as many without.",
    ]


def segmentation(rows: Rows, order: Sequence[str]) -> list[str]:
    """Return the tables of what gains most and of means, and the sentence below."""
    by_name = {row["name"]: row for row in rows}
    lines = [
        f"Set IoU on val: the {len(order)} concepts that gain most from combining filters",
        "concept | category | images | best filter | single | multi | gain",
    ]
    for name in order:
        row = by_name[name]
        single, several = float(row["single_val"]), float(row["multi_val"])
        facts = [name, row["category"], row["n_val"], row["best_filter"]]
        scores = [f"{single:.3f}", f"{several:.3f}", f"{several - single:+.3f}"]
        lines.append(" | ".join([*facts, *scores]))
    lines += [
        "Means over concepts, by category",
        "category | concepts | scored | single | multi | AP | won",
    ]
    both = [row for row in rows if "nan" not in (row["single_val"], row["multi_val"])]
    wins = {r["name"] for r in both if float(r["multi_val"]) > float(r["single_val"])}
    for category in CATEGORIES:
        scored = among(both, category)
        won = len([row for row in scored if row["name"] in wins])
        cells = [category, str(len(among(rows, category))), str(len(scored))]
        cells += scored_means(scored, ("single_val", "multi_val", "ap_val"))
        lines.append(" | ".join([*cells, f"{won / len(scored):.0%}" if scored else "-"]))
    share = f"{len(wins) / len(both):.0%}"
    lines.append(
        "The combination of filters scores higher on val than the best single filter for "
        f"{len(wins)} of {len(both)} concepts ({share})."
    )
    return lines


def test_a_run_prints_its_scores_its_findings_and_its_folder(run: PlantedRun) -> None:
    order = ["cup", "dog", "ball", "fin", "red-c", "ear"]  # of equals the first of the dataset
    expected = [
        *accuracies(run.table("classification")),
        *segmentation(run.table("concepts"), order),
        *[line for line in (run.folder / "findings.md").read_text().splitlines() if line],
        f"Run folder: {run.folder}",
        f"Report: {run.folder / 'report.html'}",
    ]
    lines = printed(run.console)
    assert lines[lines.index(expected[0]) :] == expected
    # By hand: cup and dog gain, ear loses, the others neither.
    assert "cup | object | 8 | 1 | 0.250 | 1.000 | +0.750" in expected
    assert "ear | part | 11 | 5 | 1.000 | 0.500 | -0.500" in expected
    assert "object | 3 | 3 | 0.528 | 1.000 | 1.000 | 67%" in expected
    assert "scene | 1 | 0 | - | - | - | -" in expected
    won = "scores higher on val than the best single filter for 2 of 6 concepts (33%)."
    assert len([line for line in expected if line.endswith(won)]) == 1


def test_every_layer_is_told_in_its_turn(two_layers: PlantedRun) -> None:
    expected = []
    for layer, order in (
        ("early", ["cup", "dog", "ball", "fin", "red-c", "ear"]),
        ("late", ["cup", "ear", "dog", "ball", "fin", "red-c"]),
    ):
        folder = two_layers.folder / layer
        of_layer = PlantedRun(folder, two_layers.drawn)
        expected += accuracies(of_layer.table("classification"))
        expected += segmentation(of_layer.table("concepts"), order)
        expected += [f"Run folder: {folder}", f"Report: {folder / 'report.html'}"]
    expected.append(f"Report of all layers: {two_layers.folder / 'report.html'}")
    lines = printed(two_layers.console)
    assert lines[lines.index(expected[0]) :] == expected


def test_a_run_says_first_what_it_works_on(run: PlantedRun, two_layers: PlantedRun) -> None:
    about = [
        "protocol paper, tau 0.3",
        "deviates from the paper: tau = 0.3 (paper: 0.005)",
        "deviates from the paper: lr_scaling = area (paper: none)",
        "deviates from the paper: shuffle = True (paper: False)",
        "deviates from the paper: scaling = model (paper: paper)",
        "data: 47 images (28 train, 19 val), masks 12x12",
        "annotated images: object 47, part 47, color 47, scene 20",  # of which 12 + 8 have a cup
        "segmentation: 7 concepts are probed",
        "1 concepts skipped, image-level: park-s",
        "classification: 8 concepts are probed",
        "device cpu, 1 process(es)",
    ]
    early, late = (f"custom at {layer}: {k} filters, 12x12" for layer, k in LAYERS.items())
    first = [line for line in printed(run.console) if "scan kept" not in line]
    assert first[: 1 + len(about)] == [early, *about]
    again = [line for line in printed(two_layers.console) if "scan kept" not in line]
    assert again[: 2 + len(about)] == [early, late, *about]


def test_findings_stand_under_their_questions_in_the_order_in_which_they_were_found(
    run: PlantedRun,
) -> None:
    rows = run.table("findings")
    assert list(rows[0]) == ["question", "measure", "value", "low", "high", "n", "statement"]
    questions = [
        "Are combinations of filters needed?",
        "How many filters does a concept need?",
        "Are filters shared between concepts?",
        "Where do combinations fail?",
        "Do embeddings say more than single filters?",
        "What does a vector look at?",
        "Is it real?",
    ]
    assert list(dict.fromkeys(row["question"] for row in rows)) == questions
    lines = ["# Findings", ""]
    for question in questions:
        lines += [f"## {question}", ""]
        lines += [f"* {row['statement']}" for row in rows if row["question"] == question] + [""]
    assert (run.folder / "findings.md").read_text() == "\n".join(lines)
    measures = [row["measure"] for row in rows if row["question"] in questions[:4]]
    assert measures == [
        "mean gain in val set IoU",
        "concepts with a higher score by the combination",
        "median filters for 80 % of the gain",
        "concepts that reach 80 % of the gain under an L1 penalty",
        "median filters for 80 % of the gain_classification",
        "unique detectors",
        "concepts with the combination below the single filter",
        "share of chosen filters that several concepts choose",
        "mean overlap of the 10 largest weights",
        "pairs of concepts that share more filters than popularity gives",
    ]


@pytest.mark.parametrize("column", ["value", "low", "high"])
def test_an_interval_holds_its_number(run: PlantedRun, column: str) -> None:
    for row in run.table("findings"):
        if row["low"] != "nan":
            assert float(row["low"]) <= float(row[column]) <= float(row["high"]), row["measure"]
