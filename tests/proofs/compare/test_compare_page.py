"""The page of a comparison: every heading, sentence, table, link and figure."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from support import compared_tables as expected
from support.compared_runs import GROUPS, LEFT_OUT, SETTINGS
from support.html_parts import HtmlTable

import net2vec_pl

from .conftest import Compared

Row = Mapping[str, Any]
EMPTY = "–"
HIDDEN = ("group", "model", "layer", "target")  # a heading or a label says it
NOTES = {
    "categories": "Means over concepts, with 95 % intervals over val images where a run has left "
    "its counts. multi_val: set IoU of several filters, single_val: of the best single one, gain: "
    "the first less the second, won: concepts with a gain, _std: spread over seeds, _middle_half: "
    "between which values the middle half of the concepts lies.",
    "concepts_by_entry": "Set IoU of several filters on val, mean over seeds.",
    "concepts_by_entry_classification": "Balanced accuracy on val, mean over seeds.",
    "pairs": "difference: the first's mean less the second's, with a 95 % interval over the same "
    "val images; p: of a swap test over these, p_fdr: corrected for all pairs; first_higher: share "
    "of concepts.",
    "embedding_distances": "What lies within the distance of two seeds is no difference. _chance: "
    "the mean over permutations of the concepts, _p: the share of them that are as alike.",
    "runs": "",
    "left_out": "",
}


def number(value: float) -> str:
    """Write a number as a page does."""
    if value != value:
        return EMPTY
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.2g}"


def cell(row: Row, name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return value
    sides = ("low", "high") if name == "difference" else (f"{name}_low", f"{name}_high")
    bounds = [row.get(side, float("nan")) for side in sides]
    if any(bound != bound for bound in bounds):
        return number(value)
    form = (
        "{:.3f} [{:.3f}, {:.3f}]"
        if max(-bounds[0], bounds[1]) >= 0.001
        else "{:.2g} [{:.2g}, {:.2g}]"
    )
    return form.format(value, *bounds)


def half(row: Row, name: str) -> str:
    low, high = row[f"{name}_q25"], row[f"{name}_q75"]
    return f"{low:.3f} to {high:.3f}" if low == low else ""


def shown(rows: Sequence[Row], hidden: Sequence[str] = HIDDEN) -> tuple[dict[str, list[str]], str]:
    """Return the columns that a page shows, and what it says of those that are the same."""
    columns: dict[str, list[str]] = {}
    for name in rows[0]:
        bound = name in ("low", "high") or name.endswith(("_low", "_high", "_q75"))
        says = any(not (row[name] == "" or row[name] != row[name]) for row in rows)
        if name.endswith("_q25"):
            score = name[:-4]
            if says and not any(row[f"{score}_low"] == row[f"{score}_low"] for row in rows):
                columns[f"{score}_middle_half"] = [half(row, score) for row in rows]
        elif name not in hidden and not bound and says:
            columns[name] = [cell(row, name) for row in rows]
    same = [n for n, of in columns.items() if len(of) > 1 and len(set(of)) == 1]
    told = ", ".join(f"{name} {columns[name][0]}" for name in same)
    return {n: of for n, of in columns.items() if n not in same}, told and f"In every row: {told}."


def assert_shown(
    table: HtmlTable, title: str, name: str, rows: Sequence[Row], hidden: Sequence[str] = HIDDEN
) -> None:
    columns, same = shown(rows, hidden)
    assert table.title == title
    words = [NOTES[name], same, f"File: {name}.csv"]
    assert table.note == " ".join(word for word in words if word)
    assert table.columns == [*columns]
    assert table.rows == [list(row) for row in zip(*columns.values(), strict=True)]


def concepts(group: str, score: str) -> list[Row]:
    """Return the rows of one group alone, with its own settings."""
    names = ["group", "concept", "category", "score", *expected.labels(group)]
    rows = [row for row in expected.concepts(score) if row["group"] == group]
    return [{name: row[name] for name in names} for row in rows]


def test_tables_stand_on_the_page_as_their_files_have_them(all_runs: Compared) -> None:
    tables = all_runs.page.tables
    left_out = [dict(zip(("folder", "state", "reason"), of, strict=True)) for of in LEFT_OUT]
    assert_shown(tables.pop(0), "Left out", "left_out", left_out, ())
    for group in GROUPS:
        assert_shown(
            tables.pop(0), "Settings by category", "categories", expected.categories(group)
        )
        rows = concepts(group, "multi_val")
        assert_shown(tables.pop(0), "Concepts by setting", "concepts_by_entry", rows)
        if group == "made up":
            name = "concepts_by_entry_classification"
            assert_shown(tables.pop(0), "Concepts by setting", name, concepts(group, "accuracy"))
        if pairs := expected.pairs(group):
            assert_shown(tables.pop(0), "Settings two by two", "pairs", pairs)
        of: dict[str, list[Row]] = {}
        for row in expected.distances(group):
            of.setdefault(row["target"], []).append(row)
        for target, some in of.items():
            title = f"Embeddings two by two, {target}"
            assert_shown(tables.pop(0), title, "embedding_distances", some)
    title = "All entries, each over its own concepts"
    assert_shown(tables.pop(0), title, "runs", [_numbers(row) for row in expected.runs()], ())
    assert not tables


def _numbers(row: Row) -> Row:
    """Read what a bank says of itself as it was: its version is text."""
    return {k: str(v) if k == "version" else v for k, v in row.items()}


def test_only_entries_whose_run_has_a_page_lead_to_it(all_runs: Compared) -> None:
    *others, runs = all_runs.page.tables
    seeds = [label for made in SETTINGS for label in made.entries.values() if "conv5" in label][:2]
    assert runs.links == dict.fromkeys(seeds, "../runs/a/report.html")
    assert not any(table.links for table in others)


def test_figures_stand_under_their_group(all_runs: Compared) -> None:
    groups = {
        "made up": [
            ("depth", "Means over concepts"),
            ("concepts", "Concepts, segmentation"),
            ("scatter", "Settings that differ most"),
            ("concepts_classification", "Concepts, classification"),
            ("scatter_classification", "Settings that differ most"),
            ("distances_segmentation", "How alike embeddings are, segmentation"),
            ("distances_classification", "How alike embeddings are, classification"),
        ],
        "made up #2": [
            ("depth_2", "Means over concepts"),
            ("concepts_2", "Concepts, segmentation"),
            ("scatter_2", "Settings that differ most"),
            ("distances_segmentation_2", "How alike embeddings are, segmentation"),
        ],
        "made up #3": [
            ("depth_3", "Means over concepts"),
            ("concepts_3", "Concepts, segmentation"),
        ],
    }
    page = all_runs.page
    every = [figure for of in groups.values() for figure in of]
    assert all_runs.files == [name for name, _ in every]
    pictures = [(f"{title}; the tables have its numbers", _source(name)) for name, title in every]
    assert page.pictures == pictures
    for group, of in groups.items():
        captions = [t for tag, t in page.under(f"Data: {group}") if tag == "figcaption"]
        assert captions == [title for _, title in of]


def _source(name: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(name.encode()).decode()}"


def test_sentences_stand_on_the_page(all_runs: Compared) -> None:
    page = all_runs.page
    names = " and ".join(GROUPS)
    assert page.texts[0] == ("h1", f"Runs on {names}, compared")
    assert page.texts[1] == (
        "p",
        "Settings: 6. Entries: 10. An entry is one layer of a run, learned from one seed; a "
        "setting is all entries that differ in nothing but their seed.",
    )
    findings = [("li", row["statement"]) for row in all_runs.table("findings")]
    assert page.under("Findings") == findings
    told = [text for tag, text in page.under("What differs, and what is left out") if tag == "li"]
    assert told == expected.statements()
    headings = [text for tag, text in page.texts if tag == "h2"]
    data = [f"Data: {group}" for group in GROUPS]
    first = ["Findings", "What differs, and what is left out"]
    assert headings == [*first, *data, "Runs", "How it was made"]
    (command, version) = [text for _, text in page.under("How it was made")]
    out = all_runs.folder
    assert command.startswith("python train.py task=compare 'runs=[runs,first.csv,second.csv]'")
    assert command.endswith(f"run.dir={out}")
    assert version.startswith(f"net2vec_pl {net2vec_pl.__version__}, 20")
