"""Comparisons of one kind: many settings, none in common, few concepts, ties."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from support.cli import run_cli
from support.fake_data.runs import Classified, Extras, write_run

from net2vec_pl.compare import draw, tables, tell
from net2vec_pl.compare.collect import collect
from net2vec_pl.compare.over_images import Counted, counted
from net2vec_pl.compare.settings import Group, Scores, Setting, grouped
from net2vec_pl.records import Estimate, Finding
from net2vec_pl.records.compare import CategoryRow, LeftOutRow, SeedMean, SegmentedMeans

from .conftest import compared


def group_of(top: Path) -> Group:
    (group,) = grouped(collect([str(top / "runs")]).entries)
    return group


def over_images(group: Group) -> dict[str, Counted | str]:
    return counted(group.scores("segmentation"))


def findings(group: Group) -> list[Finding]:
    found = over_images(group)
    categories, pairs = tables.category_rows(group, found), tables.pair_rows(group, found)
    return tell.findings(group, categories, pairs)


def printed(
    categories: list[CategoryRow], differences: list[str], left_out: list[LeftOutRow]
) -> list[str]:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    tell.print_comparison(categories, differences, left_out, console)
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


@pytest.mark.parametrize("count", [40, 41, 47])
def test_the_console_has_the_first_forty_settings(count: int) -> None:
    rows = [
        CategoryRow("g", f"setting {i}", "m", "l", 1, kind, SegmentedMeans(
            n_concepts=3, multi_val=SeedMean(Estimate(0.5, 0.4, 0.6)),
            single_val=SeedMean(Estimate(i / 100)), won=2,
        ))
        for i in range(count)
        for kind in ("object", "all")
    ]  # fmt: skip
    lines = printed(rows, [], [])
    assert lines[2] == "┃ setting ┃ concepts ┃ single ┃ multi ┃ won ┃"
    assert lines[4:44] == [
        f"│ setting {i} │ 3 │ {i / 100:.3f} │ 0.500 [0.400, 0.600] │ 2 │" for i in range(40)
    ]
    more = [f"and {count - 40} more; categories.csv has all."] if count > 40 else []
    assert lines[45:] == more


def test_what_is_told_is_no_markup() -> None:
    left_out = [LeftOutRow("a [b]", "failed", "no [c]")]
    assert printed([], ["x: [red] (y)"], left_out) == [
        "differs: x: [red] (y)", "left out: a [b] (no [c])",
    ]  # fmt: skip


def test_equal_settings_leave_the_first_as_best_and_the_lead_open(tmp_path: Path) -> None:
    for layer in ("conv3", "conv4", "conv5"):
        write_run(tmp_path / "runs" / layer, {"sky": 0.5, "sea": 0.25}, layer=layer,
                  extras=Extras(images=12))  # fmt: skip
    best, by_category, gain = findings(group_of(tmp_path))
    interval = r" \[0\.\d{3}, 0\.\d{3}\]"
    assert re.fullmatch(
        f"conv3 has the highest mean val set IoU of several filters: 0.375{interval} \\(95 % "
        "interval over images; concepts: 2\\); next is conv4 with 0.375, a difference of 0.000 "
        r"\[0.000, 0.000\] over images, p = 1 \(swaps of images, corrected for all pairs\); "
        r"its lead over conv4, conv5 is not certain \(p >= 0.05\)\.",
        best.statement,
    )
    assert re.fullmatch(
        "By category, val set IoU of several filters is highest at conv3 for part "
        f"\\(0.500{interval}\\), object \\(0.250{interval}\\)\\.",
        by_category.statement,
    )
    assert re.fullmatch(
        "Mean gain in val set IoU of several filters over the best single one: at conv3, "
        f"0.275{interval} \\(there 2 of 2 concepts gain\\)\\.",
        gain.statement,
    )


def test_without_counts_the_spread_of_the_concepts_is_told_and_nothing_is_tested(
    tmp_path: Path,
) -> None:
    for layer, more in (("conv4", 0.0), ("conv5", 0.1)):
        scores = {f"c{i}": 0.1 * i + more for i in range(5)}
        write_run(tmp_path / "runs" / layer, scores, layer=layer)
    best, by_category, gain = findings(group_of(tmp_path))
    assert best.statement == (
        "conv5 has the highest mean val set IoU of several filters: 0.300 (middle half of the "
        "concepts: 0.200 to 0.400; concepts: 5); next is conv4 with 0.200, a difference of 0.100 "
        "(not tested: no val_counts.safetensors)."
    )
    assert "highest at conv5 for part (0.300), object (0.300)." in by_category.statement
    assert gain.statement.endswith(
        "largest at conv5, 0.200 (there 4 of 5 concepts gain); "
        "smallest at conv4, 0.100 (there 3 of 5 concepts gain)."
    )


def test_a_lead_that_is_certain_is_told_without_reserve(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(12)]
    for layer, score in (("conv4", 0.3), ("conv5", 0.7)):
        write_run(tmp_path / "runs" / layer, dict.fromkeys(names, score), layer=layer,
                  extras=Extras(images=14))  # fmt: skip
    statement = findings(group_of(tmp_path))[0].statement
    assert re.fullmatch(
        r"conv5 has .*: 0.700 \[0.\d+, 0.\d+\] \(95 % interval over images; concepts: 12\); "
        r"next is conv4 with 0.300, a difference of 0.400 \[0.3\d+, 0.4\d+\] over images, "
        r"p (<=|=) 0.000\d+ "
        r"\(swaps of images, corrected for all pairs\)\.",
        statement,
    )


@pytest.mark.parametrize(
    ("p", "certain"), [(0.0499, True), (0.05, False)], ids=["below", "at the limit"]
)
def test_a_lead_is_certain_below_5_percent(p: float, certain: bool, tmp_path: Path) -> None:
    for layer, score in (("conv4", 0.3), ("conv5", 0.7)):
        write_run(tmp_path / "runs" / layer, {"sky": score}, layer=layer, extras=Extras(images=12))
    group = group_of(tmp_path)
    found = over_images(group)
    pairs = [replace(row, p_fdr=p) for row in tables.pair_rows(group, found)]
    statement = tell.findings(group, tables.category_rows(group, found), pairs)[0].statement
    assert ("is not certain" in statement) is not certain
    assert f"p = {p:.2g} (swaps" in statement


def test_a_p_at_its_floor_is_at_most_that(tmp_path: Path) -> None:
    for layer, score in (("conv4", 0.3), ("conv5", 0.7)):
        write_run(tmp_path / "runs" / layer, {"sky": score}, layer=layer, extras=Extras(images=40))
    assert "over images, p <= 0.0001 (swaps" in findings(group_of(tmp_path))[0].statement


def test_groups_too_few_for_a_test_have_an_interval_and_a_word(tmp_path: Path) -> None:
    for layer, score in (("conv4", 0.3), ("conv5", 0.7)):
        write_run(tmp_path / "runs" / layer, {"sky": score}, layer=layer,
                  extras=Extras(images=20, groups=4))  # fmt: skip
    statement = findings(group_of(tmp_path))[0].statement
    assert re.search(r"0.400 \[.*\] over groups \(not tested: fewer than 6 groups\)\.$", statement)


def test_a_lead_over_more_settings_than_can_be_named_is_cut(tmp_path: Path) -> None:
    for i in range(14):
        write_run(tmp_path / "runs" / f"{i:02d}", {"sky": 0.5}, layer=f"features.{i}", model="own",
                  extras=Extras(images=12))  # fmt: skip
    statement = findings(group_of(tmp_path))[0].statement
    named = ", ".join(f"features.{i}" for i in range(1, 13))
    assert statement.endswith(f"its lead over {named} and 1 more is not certain (p >= 0.05).")


def test_what_only_classifies_has_accuracies_alone(tmp_path: Path) -> None:
    accuracy = {"sky": 0.75, "sea": 0.5, "ear": float("nan")}
    write_run(tmp_path / "runs" / "a", {}, classified=Classified(accuracy, {"sky": 0.5, "sea": 0.5,
              "ear": 0.5}))  # fmt: skip
    rows = tables.category_rows(group_of(tmp_path), {})
    assert {name for row in rows for name in row.cells()} & {"multi_val", "gain", "won"} == set()
    assert [(r.category, r.classified.n_classified, r.classified.accuracy.mean.value)
            for r in rows if r.classified] == [
        ("part", 1, 0.75), ("object", 1, 0.5), ("all", 2, 0.625),
    ]  # fmt: skip
    (finding,) = findings(group_of(tmp_path))
    assert finding.statement == (
        "conv5 has the highest mean balanced val accuracy: 0.625 (middle half of the concepts: "
        "0.500 to 0.750; concepts: 2)."
    )


@pytest.mark.parametrize(("count", "drawn"), [(2, False), (3, True)])
def test_embeddings_of_fewer_than_three_concepts_are_not_drawn(
    count: int, drawn: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for layer in ("conv4", "conv5"):
        scores = {name: 0.5 for name in ("sky", "sea", "ear")[:count]}
        weight = np.random.default_rng(0).normal(size=(count, 6))
        write_run(tmp_path / "runs" / layer, scores, layer=layer, weight=weight)
    found = compared(monkeypatch, tmp_path, "runs")
    assert ("distances_segmentation" in found.files) is drawn
    (row,) = found.table("embedding_distances")
    assert (row["n_concepts"], row["n_tested"]) == (str(count), "3" if drawn else "0")
    assert row["distance"] == ("0.0" if drawn else "nan")
    told = [r["statement"] for r in found.table("findings") if "Embeddings" in r["statement"]]
    same = "those of conv4 and conv5 correlate by 1.00, p "
    assert bool(told) is drawn
    assert all(same in statement for statement in told)


def test_seeds_alone_are_told_by_their_correlation(tmp_path: Path) -> None:
    """Cosines rank 2 1 3 at seed 0, 3 1 2 at seed 1 and 2 3 1 at seed 2."""
    a = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    for seed, weight in enumerate((a, a[::-1].copy(), a[[1, 0, 2]])):
        write_run(tmp_path / "runs" / f"{seed}", {"sky": 0.5, "sea": 0.4, "ear": 0.3}, seed=seed,
                  weight=weight)  # fmt: skip
    group = group_of(tmp_path)
    embedded = tables.embedded(group, "segmentation")
    assert embedded is not None
    (finding,) = tell.embedding_findings(group, "segmentation", embedded)
    correlations = [
        row.correlation.value for row in tables.distance_rows(group, "segmentation", embedded)
    ]
    assert correlations == pytest.approx([0.5, -1.0, -0.5])
    assert finding.value == pytest.approx(-1 / 3)
    assert finding.statement == (
        "Embeddings (segmentation) of 3 concepts, by Spearman's correlation of their cosines: "
        "seeds of one setting correlate by -0.33 to -0.33."
    )


def scores_of(values: list[list[float]]) -> Scores:
    rows = np.array(values)
    settings = tuple(Setting(f"s{i}", "s", ()) for i in range(len(rows)))
    names = tuple(f"c{i}" for i in range(rows.shape[1]))
    return Scores(settings, names, ("object",) * len(names), {}, {"multi_val": [*rows[:, None]]})


def scattered(values: list[list[float]], patch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    drawn: list[list[tuple[str, str]]] = []
    patch.setattr(draw, "concept_scatters", lambda pairs, *_: drawn.append(pairs))
    draw.scatters(scores_of(values), "segmentation")
    return drawn[0]


def test_scatters_are_of_the_three_pairs_that_differ_most_and_no_setting_comes_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # By concept, so that means are equal though scores are not: s0 and s5 are furthest apart.
    apart = [0.45, 0.30, 0.12, 0.11, 0.0, -0.45, -0.30, 0.02]
    values = [[0.5 + a, 0.5 - a] for a in apart]
    pairs = scattered(values, monkeypatch)
    assert pairs == [("s0", "s5"), ("s1", "s6"), ("s2", "s4")]


def test_no_concept_in_common_leaves_no_scatter() -> None:
    assert draw.scatters(scores_of([[], []]), "segmentation") is None
    assert draw.scatters(scores_of([[0.5]]), "segmentation") is None


def test_a_comparison_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "a", {"sky": 0.5})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "comparison.html").write_text("mine")
    assert run_cli(monkeypatch, tmp_path, "task=compare", "runs=runs", "run.dir=out") == 1
    assert "out already holds a comparison; choose another run.dir." in capsys.readouterr().err
    assert (tmp_path / "out" / "comparison.html").read_text() == "mine"


def test_one_run_alone_has_a_page_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs" / "a", {"sky": 0.5})
    found = compared(monkeypatch, tmp_path, "runs")
    page = found.page
    assert page.texts[0] == ("h1", "Runs on made up, compared")
    assert page.texts[1][1].startswith("Settings: 1. Entries: 1. ")
    assert page.under("What differs, and what is left out") == [
        (
            "p",
            "The runs have data, concepts, protocol and package version in common, "
            "and runs of one network its weights.",
        ),
        ("p", "No run is left out."),
    ]
    assert not (found.folder / "left_out.csv").exists()
    assert found.files == ["depth", "concepts"]
