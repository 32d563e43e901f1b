"""``bank.md`` and ``classification.md``: each fact and each number of the cards."""

import re
from collections.abc import Mapping, Sequence
from statistics import fmean

import pytest
from support.planted_run import FILTERS

from proofs.conftest import PlantedRun

SEGMENTS = {"embedding": "multi_val", "best filter": "single_val", "average precision": "ap_val"}
CLASSIFIES = {
    "accuracy": "accuracy",
    "best filter": "best_accuracy",
    "average precision": "ap",
    "ROC AUC": "auc",
}


def section(card: str, title: str) -> list[str]:
    """Return the lines below a heading, without the empty ones."""
    below = re.split(r"(?m)^## ", card)
    (found,) = [part for part in below if part.startswith(f"{title}\n")]
    return [line for line in found.splitlines()[1:] if line]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table of Markdown."""
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def score(value: float | str) -> str:
    """Write a score as the cards do."""
    return "–" if str(value) == "nan" else f"{float(value):.3f}"


def means(rows: Sequence[Mapping[str, str]], columns: Mapping[str, str]) -> list[str]:
    """Return the table of means: of concepts that have the first score, by category."""
    first, lines = next(iter(columns.values())), []
    for category in ("object", "part", "color", "scene", "all"):
        asked = [row for row in rows if category in (row["category"], "all")]
        scored = [row for row in asked if row[first] != "nan"]
        cells = [category, str(len(asked)), str(len(scored))]
        for column in columns.values():
            values = [float(row[column]) for row in scored if row[column] != "nan"]
            cells.append(score(fmean(values) if values else "nan"))
        lines.append(cells)
    return table(["category", "concepts", "scored", *columns], lines)


def some(
    rows: Mapping[str, Mapping[str, str]], names: Sequence[str], columns: Mapping[str, str]
) -> list[str]:
    """Return the table of some concepts."""
    counts = {"train images": "n_train", "val images": "n_val"}
    if columns is CLASSIFIES:
        counts["val images without it"] = "n_val_without"
    head = ["concept", "category", *counts, *columns]
    return table(
        head,
        [
            [n, *(rows[n][c] for c in ("category", *counts.values()))]
            + [score(rows[n][c]) for c in columns.values()]
            for n in names
        ],
    )


def test_the_card_of_the_bank_has_its_scores(run: PlantedRun) -> None:
    rows = run.concepts()
    controls = [r["statement"] for r in run.table("findings") if r["question"] == "Is it real?"]
    assert len(controls) == 5
    assert section((run.folder / "bank.md").read_text(), "Scores") == [
        "Set IoU on val, and the average precision of pixels; means over the concepts that could "
        "be scored.",
        *means(run.table("concepts"), SEGMENTS),
        "Best by set IoU of the embedding:",
        *some(rows, ["ball", "cup", "dog", "ear", "fin"], SEGMENTS),
        "Worst by set IoU of the embedding:",
        *some(rows, ["red-c", "grey-c"], SEGMENTS),
        "* 1 without scores: image-level: not segmented",
        "Controls:",
        *[re.sub(r"([\[\]&])", r"\\\1", f"* {text}") for text in controls],
    ]


def test_the_card_of_the_classifiers_has_its_scores(run: PlantedRun) -> None:
    rows = run.concepts("classification")
    ranked = sorted(rows, key=lambda name: -float(rows[name]["accuracy"]))
    assert section((run.folder / "classification.md").read_text(), "Scores") == [
        "Balanced accuracy on val (one half is chance), average precision and ROC AUC; means over "
        "the concepts that could be scored.",
        *means(run.table("classification"), CLASSIFIES),
        "Best by accuracy:",
        *some(rows, ranked[:5], CLASSIFIES),
        "Worst by accuracy:",
        *some(rows, ranked[5:], CLASSIFIES),
        "All concepts asked for could be scored.",
        "No control was run; `analysis=all` compares with random vectors, shuffled masks and a "
        "random network.",
    ]
    assert rows[ranked[-1]]["accuracy"] < rows[ranked[0]]["accuracy"]


def test_without_controls_the_card_says_how_to_run_them(two_layers: PlantedRun) -> None:
    lines = section((two_layers.folder / "late" / "bank.md").read_text(), "Scores")
    assert lines[-1].startswith("No control was run; `analysis=all` compares")


@pytest.mark.parametrize(
    ("file", "bank", "layer", "filters"),
    [
        ("run/bank", "bank.safetensors", "early", FILTERS),
        ("run/classification", "classification.safetensors", "early", FILTERS),
        ("two/late/bank", "bank.safetensors", "late", FILTERS - 2),
    ],
)
def test_a_card_names_what_its_bank_is_of(
    run: PlantedRun, two_layers: PlantedRun, file: str, bank: str, layer: str, filters: int
) -> None:
    assert two_layers.folder.parent == run.folder.parent
    card = (run.folder.parent / f"{file}.md").read_text()
    header, segments = run.bank.header, bank == "bank.safetensors"
    count = 7 if segments else 8
    lines = card.splitlines()
    assert lines[0] == f"# Concept bank: custom {layer}, {count} concepts of data"
    assert lines[2].startswith(f"Each concept is a vector over the {filters} filters of one layer")
    assert section(card, "Use")[:7] == [
        "```python",
        "import net2vec_pl",
        f'bank = net2vec_pl.load_bank("{bank}")',
        f'bank["ball"]  # its embedding, ({filters},)',
        'bank.nearest("ball")  # concepts in a similar direction',
        'bank.segment("photo.jpg", ["ball"])  # its mask on an image'
        if segments
        else 'bank.score("photo.jpg", ["ball"])  # how likely an image carries it',
        "```",
    ]
    assert section(card, "Network")[2:] == [
        "| model | custom |",
        f"| weights | network.safetensors, digest `{header['weights_digest']}` |",
        f"| layer | {layer}, {filters} x 12 x 12 |",
        "| images | 12 x 12, scaled as unit |",
    ]
    assert section(card, "Data")[2:] == [
        f"| dataset | data, digest `{header['data']['digest']}` |",
        "| images | 47 readable, 0 not |",
        "| masks | 12 x 12 |",
    ]
    of_masks = ["* tau = 0.3 (paper: 0.005)", "* lr_scaling = area (paper: none)"]
    of_masks.append("* shuffle = True (paper: False)")
    seeds = " of 2" if file.startswith("run") else ""
    assert section(card, "Protocol") == [
        f"`paper`, {'tau = 0.3, ' if segments else ''}30 epochs, seed 0{seeds}.",
        "It deviates from the paper in:",
        *(of_masks if segments else []),
        "* scaling = model (paper: paper)",
    ]
    limits = section(card, "Limits")
    assert ("* Masks come from a grid of 12 x 12: nothing small is outlined." in limits) == segments
    bits = "* The bank reads bits (activation above threshold, 30.0 % of all), not how strong a "
    assert (f"{bits}response is." in limits) == segments
