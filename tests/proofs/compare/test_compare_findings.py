"""Every sentence of a comparison, whole, from numbers worked out from what was made up."""

from collections.abc import Sequence

import pytest
from support import compared_tables as expected
from support.compared_runs import (
    ALONE,
    CONV3,
    CONV4,
    CONV5,
    FEATURES_3,
    FEATURES_14,
    GROUPS,
    LEFT_OUT,
    NAN,
    Made,
)
from support.compared_tables import Row, assert_rows

from .conftest import Compared

TITLES = {"multi_val": "val set IoU of several filters", "accuracy": "balanced val accuracy"}


def category(made: Made, kind: str = "all") -> Row:
    (row,) = [
        r
        for r in expected.categories(made.group)
        if (r["setting"], r["category"]) == (made.label, kind)
    ]
    return row


def told(row: Row, score: str) -> str:
    low, high = row[f"{score}_low"], row[f"{score}_high"]
    return f"{row[score]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low == low else "")


def spread(row: Row, score: str) -> str:
    if row[f"{score}_low"] == row[f"{score}_low"]:
        return f"95 % interval over {row['interval_over']}"
    return f"middle half of the concepts: {row[f'{score}_q25']:.3f} to {row[f'{score}_q75']:.3f}"


def finding(group: str, measure: str, value: Sequence[float], n: int, text: str) -> Row:
    point, low, high = (float(v) for v in (*value, NAN, NAN)[:3])
    row: Row = {"question": group, "measure": measure, "value": point, "low": low, "high": high}
    return row | {"n": n, "statement": text}


def best(score: str, made: Made, following: Made, uncertain: Sequence[Made], rest: str = "") -> Row:
    """Say that a setting is the best, by how much, and over which others this is not certain."""
    row, second = category(made), category(following)
    (pair,) = [
        p
        for p in expected.pairs(made.group)
        if p["score"] == score and {p["first"], p["second"]} == {made.label, following.label}
    ]
    sign = 1 if pair["first"] == made.label else -1
    n = row["n_concepts" if score == "multi_val" else "n_classified"]
    text = (
        f"{made.label} has the highest mean {TITLES[score]}: {told(row, score)} "
        f"({spread(row, score)}; concepts: {n}); next is {following.label} with "
        f"{second[score]:.3f}, a difference of {sign * pair['difference']:.3f}"
    )
    if pair["untested"]:
        text += f" (not tested: {pair['untested']})"
    else:
        low, high = sorted((sign * pair["low"], sign * pair["high"]))
        over = pair["interval_over"]
        text += (
            f" [{low:.3f}, {high:.3f}] over {over}, p = {pair['p_fdr']:.2g} (swaps of {over}, "
            "corrected for all pairs)"
        )
    if uncertain:
        names = ", ".join(made.label for made in uncertain)
        text += f"; its lead over {names} is not certain (p >= 0.05)"
    value = [row[score], row[f"{score}_low"], row[f"{score}_high"]]
    return finding(made.group, f"highest mean {score}", value, n, f"{text}{rest}.")


def by_category(score: str, at: dict[str, tuple[Made, list[str]]]) -> Row:
    parts = []
    for made, kinds in at.values():
        of = ", ".join(f"{kind} ({told(category(made, kind), score)})" for kind in kinds)
        parts.append(f"at {made.label} for {of}")
    n = sum(len(kinds) for _, kinds in at.values())
    group = next(iter(at.values()))[0].group
    text = f"By category, {TITLES[score]} is highest {'; '.join(parts)}."
    return finding(group, f"categories at their best {score}", [n], n, text)


def gain(most: Made, least: Made | None) -> Row:
    def of(made: Made) -> str:
        row = category(made)
        return (
            f"at {made.label}, {told(row, 'gain')} (there {row['won']} of {row['n_concepts']} "
            "concepts gain)"
        )

    text = "Mean gain in val set IoU of several filters over the best single one: "
    text += f"largest {of(most)}; smallest {of(least)}" if least else of(most)
    row = category(most)
    value = [row["gain"], row["gain_low"], row["gain_high"]]
    measure = "largest mean gain of several filters"
    return finding(most.group, measure, value, row["n_concepts"], f"{text}.")


def correlations(group: str, target: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the mean correlation and the largest p of every two settings."""
    made = {label: m.label for m in GROUPS[group] for label in m.entries.values()}
    of: dict[tuple[str, str], list[Row]] = {}
    for row in expected.distances(group):
        if row["target"] == target:
            of.setdefault((made[row["first"]], made[row["second"]]), []).append(row)
    return {
        two: (
            sum(row["correlation"] for row in rows) / len(rows),
            max(row["correlation_p"] for row in rows),
        )
        for two, rows in of.items()
    }


def embeddings(group: str, target: str, n: int, value: float, text: str) -> Row:
    lead = f"Embeddings ({target}) of {n} concepts, by Spearman's correlation of their cosines: "
    return finding(
        group, f"highest correlation of embeddings, {target}", [value], n, f"{lead}{text}."
    )


def written(p: float) -> str:
    """Write a p-value of 999 permutations."""
    return f"p {'<=' if p <= 0.001 else '='} {p:.2g}"


def of_one_pair(group: str, target: str, n: int, one: Made, two: Made) -> Row:
    mean, p = correlations(group, target)[one.label, two.label]
    text = f"those of {one.label} and {two.label} correlate by {mean:.2f}, {written(p)}"
    return embeddings(group, target, n, mean, text)


def of_three() -> Row:
    found = correlations("made up", "segmentation")
    near, far = found[CONV4.label, CONV5.label], found[CONV3.label, CONV4.label]
    assert near[0] > found[CONV3.label, CONV5.label][0] > far[0]
    seeds = [found[CONV4.label, CONV4.label][0], found[CONV5.label, CONV5.label][0]]
    text = (
        f"{CONV4.label} and {CONV5.label} are most alike ({near[0]:.2f}, {written(near[1])}); "
        f"{CONV3.label} and {CONV4.label} are least alike ({far[0]:.2f}, {written(far[1])}); "
        f"seeds of one setting correlate by {min(seeds):.2f} to {max(seeds):.2f}"
    )
    return embeddings("made up", "segmentation", 9, near[0], text)


def alone() -> Row:
    row = category(ALONE)
    text = (
        f"{ALONE.label} has the highest mean val set IoU of several filters: "
        f"{told(row, 'multi_val')} ({spread(row, 'multi_val')}; concepts: 3)."
    )
    value = [row["multi_val"], row["multi_val_low"], row["multi_val_high"]]
    return finding(ALONE.group, "highest mean multi_val", value, 3, text)


@pytest.fixture(scope="module")
def findings() -> list[Row]:
    one, two = "made up", "made up #2"
    return [
        best("multi_val", CONV4, CONV5, [CONV5], f"; its lead over {CONV3.label} is not tested"),
        by_category("multi_val", {"4": (CONV4, ["object", "color"]), "5": (CONV5, ["part"])}),
        best("accuracy", CONV5, CONV3, []),
        by_category(
            "accuracy", {"5": (CONV5, ["object", "color", "scene"]), "3": (CONV3, ["part"])}
        ),
        gain(CONV5, CONV3),
        of_three(),
        of_one_pair(one, "classification", 6, CONV3, CONV5),
        best("multi_val", FEATURES_14, FEATURES_3, []),
        by_category(
            "multi_val",
            {"14": (FEATURES_14, ["object", "color"]), "3": (FEATURES_3, ["part"])},
        ),
        gain(FEATURES_14, FEATURES_3),
        of_one_pair(two, "segmentation", 4, FEATURES_3, FEATURES_14),
        alone(),
        gain(ALONE, None),
    ]


def test_findings_have_their_numbers_and_whole_sentences(
    all_runs: Compared, findings: list[Row]
) -> None:
    assert_rows(all_runs.table("findings"), findings)


def test_findings_stand_on_their_page_by_group(all_runs: Compared, findings: list[Row]) -> None:
    lines = ["# Findings", ""]
    for group in GROUPS:
        lines += [f"## {group}", ""]
        lines += [f"* {row['statement']}" for row in findings if row["question"] == group]
        lines.append("")
    assert (all_runs.folder / "findings.md").read_text() == "\n".join(lines)


def test_two_findings_by_hand(findings: list[Row]) -> None:
    """Of features.14: mean 0.6132, single 0.1233; of features.3: 0.3510 and 0.3933."""
    label = "mine.Net features.14 denominator=containing 4 concepts"
    other = "mine.Net features.3 denominator=containing 4 concepts"
    assert findings[7]["statement"].startswith(
        f"{label} has the highest mean val set IoU of several filters: 0.613 [0."
    )
    assert (
        f"(95 % interval over groups; concepts: 4); next is {other} with 0.351, a difference of "
        "0.262 [0."
    ) in findings[7]["statement"]
    # All 1,024 ways of swapping 10 groups, of which this one and its reverse reach so much.
    assert findings[7]["statement"].endswith(
        "over groups, p = 0.002 (swaps of groups, corrected for all pairs)."
    )
    assert findings[9]["statement"].startswith(
        "Mean gain in val set IoU of several filters over the best single one: largest at "
        f"{label}, 0.490 [0."
    )
    assert findings[9]["statement"].endswith("] (there 0 of 4 concepts gain).")


def cells(table: list[str]) -> list[list[str]]:
    """Return the cells of a table that was printed."""
    rows = [line.replace("┃", "│") for line in table if line[0] in "│┃"]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_the_console_tells_means_differences_and_what_is_left_out(all_runs: Compared) -> None:
    lines = [line for line in all_runs.console.splitlines() if line[0] not in "┏┡└"]
    for group, settings in GROUPS.items():
        head = f"{group}: means over the concepts that all have scored, on val"
        assert lines.pop(0).strip() == head
        classified = group == "made up"
        columns = ["setting", "concepts", "single", "multi", "won"]
        rows = [[*columns, "accuracy"] if classified else columns]
        for made in settings:
            row = category(made)
            numbers = [str(row["n_concepts"]), f"{row['single_val']:.3f}", told(row, "multi_val")]
            rows.append([made.label, *numbers, str(row["won"])])
            if classified:
                rows[-1].append(f"{row['accuracy']:.3f}" if made.accuracy else "-")
        assert cells(lines[: len(rows)]) == rows
        del lines[: len(rows)]
    said = [f"differs: {statement}" for statement in expected.statements()]
    said += [f"left out: {folder} ({reason})" for folder, _, reason in LEFT_OUT]
    said.append(str(all_runs.folder / "comparison.html"))
    assert " ".join(" ".join(lines).split()) == " ".join(said)
