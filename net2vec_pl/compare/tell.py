"""What a comparison says: findings, the page, and the last words on the console."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.analysis.chance import p_text
from net2vec_pl.analysis.mean_differences import PERMUTATIONS
from net2vec_pl.compare.settings import ALL, Group
from net2vec_pl.compare.tables import Embedded
from net2vec_pl.errors import shorten
from net2vec_pl.records import Cell, Estimate, Finding, Record
from net2vec_pl.records.compare import CategoryRow, LeftOutRow, PairRow, SeedMean, SegmentedMeans
from net2vec_pl.report.page import Link

# What a cell of a page's table may be; the three numbers are a value and its bounds.
Shown: TypeAlias = Cell | tuple[Cell, Cell, Cell] | Link
_NAMES = {"multi_val": "val set IoU of several filters", "accuracy": "balanced val accuracy"}
_CONSOLE_ROWS = 40
_UNCERTAIN = 0.05
_IN_LABELS = ("group", "model", "layer", "target")
# How to read a table on the page; docs/compare.md names every column.
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
}


@dataclass(frozen=True)
class _Mean:
    """The mean score of a setting in a category.

    Args:
        setting: Label of the setting.
        category: The category, or ``all``.
        of: The mean.
        n: Over how many concepts.
        interval_over: What the interval is over: ``images`` or ``groups``; empty without one.
    """

    setting: str
    category: str
    of: SeedMean
    n: int | float
    interval_over: str

    @property
    def score(self) -> Estimate:
        """The mean with its interval."""
        return self.of.mean

    @property
    def spread(self) -> str:
        """What the interval is over, or without one how concepts spread."""
        if self.interval_over:
            return f"95 % interval over {self.interval_over}"
        return f"middle half of the concepts: {self.of.q25:.3f} to {self.of.q75:.3f}"


def _scored(categories: Sequence[CategoryRow]) -> dict[str, list[_Mean]]:
    """Return the means of the learned embeddings by score, of the settings that have them."""
    found: dict[str, list[_Mean]] = {"multi_val": [], "accuracy": []}
    for row in categories:
        place = row.setting, row.category
        if row.segmented is not None:
            several, over = row.segmented.multi_val, row.segmented.interval_over
            found["multi_val"].append(_Mean(*place, several, row.segmented.n_concepts, over))
        if row.classified is not None:
            accuracy, n = row.classified.accuracy, row.classified.n_classified
            found["accuracy"].append(_Mean(*place, accuracy, n, ""))
    return {
        score: [mean for mean in means if np.isfinite(mean.score.value)]
        for score, means in found.items()
    }


def findings(
    group: Group, categories: Sequence[CategoryRow], pairs: Sequence[PairRow]
) -> list[Finding]:
    """State which setting scores best, by how much, and for which category another does.

    Args:
        group: The settings.
        categories: Rows of ``categories.csv``.
        pairs: Rows of ``pairs.csv``.
    """
    found: list[Finding] = []
    for score, means in _scored(categories).items():
        if means:
            mine = [pair for pair in pairs if pair.score == score]
            found.append(_best(group, score, [m for m in means if m.category == ALL], mine))
            found += _by_category(group, score, means)
    gains = [
        (row.setting, of)
        for row in categories
        if row.category == ALL
        if (of := row.segmented) is not None and np.isfinite(of.gain.mean.value)
    ]
    if gains:
        found.append(_gain(group, gains))
    return found


def _finding(group: Group, measure: str, value: Estimate, n: int | float, text: str) -> Finding:
    return Finding(group.name, measure, value.value, value.low, value.high, int(n), text)


def _best(group: Group, score: str, means: Sequence[_Mean], pairs: Sequence[PairRow]) -> Finding:
    best, *others = sorted(means, key=lambda mean: -mean.score.value)
    text = (
        f"{best.setting} has the highest mean {_NAMES[score]}: "
        f"{_told(best.score)} ({best.spread}; concepts: {best.n})"
    )
    if others:
        text += _lead(best.setting, others[0], pairs)
    return _finding(group, f"highest mean {score}", best.score, best.n, f"{text}.")


def _lead(best: str, second: _Mean, pairs: Sequence[PairRow]) -> str:
    """Tell by how much the best setting leads the second, and over which others uncertainly."""
    with_best = {
        (pair.second if pair.first == best else pair.first): pair
        for pair in pairs
        if best in (pair.first, pair.second)
    }
    pair = with_best[second.setting]
    text = (
        f"; next is {second.setting} with {second.score.value:.3f}, a difference of "
        f"{abs(pair.difference):.3f}{_tested(pair, best)}"
    )
    if level := [label for label, pair in with_best.items() if pair.p_fdr >= _UNCERTAIN]:
        text += f"; its lead over {shorten(level)} is not certain (p >= {_UNCERTAIN})"
    rest = [o for o, other in with_best.items() if other.untested not in ("", pair.untested)]
    if rest:
        text += f"; its lead over {shorten(rest)} is not tested"
    return text


def _tested(pair: PairRow, best: str) -> str:
    """Tell the interval and test of a difference, or why there are none."""
    low, high = (pair.low, pair.high) if pair.first == best else (-pair.high, -pair.low)
    interval = f" [{low:.3f}, {high:.3f}] over {pair.interval_over}" if pair.interval_over else ""
    if pair.untested:
        return f"{interval} (not tested: {pair.untested})"
    sign = "<=" if pair.p <= 1 / (1 + PERMUTATIONS) else "="  # at its floor it is at most that
    how = f"swaps of {pair.interval_over}, corrected for all pairs"
    return f"{interval}, p {sign} {pair.p_fdr:.2g} ({how})"


def _by_category(group: Group, score: str, means: Sequence[_Mean]) -> list[Finding]:
    """Name the best setting of every category, where there is more than one setting."""
    if len({mean.setting for mean in means}) < 2:
        return []
    best: dict[str, _Mean] = {}
    for mean in means:
        leader = best.get(mean.category)
        if mean.category != ALL and (leader is None or mean.score.value > leader.score.value):
            best[mean.category] = mean
    at: dict[str, list[str]] = {}
    for name, mean in best.items():
        at.setdefault(mean.setting, []).append(f"{name} ({_told(mean.score)})")
    told = [f"at {setting} for {', '.join(of)}" for setting, of in at.items()]
    text = f"By category, {_NAMES[score]} is highest {'; '.join(told)}."
    number = Estimate(float(len(best)))
    return [_finding(group, f"categories at their best {score}", number, len(best), text)]


def _gain(group: Group, rows: Sequence[tuple[str, SegmentedMeans]]) -> Finding:
    """Tell of the settings with the largest and the smallest mean gain."""
    least, most = (choose(rows, key=lambda row: row[1].gain.mean.value) for choose in (min, max))
    told = [
        f"at {setting}, {_told(of.gain.mean)} (there {of.won} of {of.n_concepts} concepts gain)"
        for setting, of in ([most] if least is most else [most, least])
    ]
    size = "" if least is most else "largest "
    text = "Mean gain in val set IoU of several filters over the best single one: "
    text += size + "; smallest ".join(told)
    best = most[1]
    return _finding(
        group, "largest mean gain of several filters", best.gain.mean, best.n_concepts, f"{text}."
    )


def embedding_findings(group: Group, target: str, found: Embedded) -> list[Finding]:
    """State which settings' embeddings are most and least alike, and how alike seeds leave them.

    Args:
        group: The settings.
        target: What the embeddings do, segment or classify.
        found: The comparison of their embeddings.
    """
    alike, p = found.pairs.value["correlation"], found.pairs.p["correlation"]
    of = {pair: t for pair, t in found.by_settings().items() if np.isfinite(p[t]).all()}
    means = {pair: float(alike[t].mean()) for pair, t in of.items()}
    apart = sorted((q for q in means if q[0] != q[1]), key=lambda q: -means[q])

    def correlation(pair: tuple[str, str]) -> str:
        least_alike = float(p[of[pair]].max())
        return f"{means[pair]:.2f}, {p_text(least_alike, found.pairs.permutations)}"

    told = []
    if len(apart) == 1:
        told.append(f"those of {' and '.join(apart[0])} correlate by {correlation(apart[0])}")
    elif apart:
        told.append(f"{' and '.join(apart[0])} are most alike ({correlation(apart[0])})")
        told.append(f"{' and '.join(apart[-1])} are least alike ({correlation(apart[-1])})")
    if seeds := [mean for (first, second), mean in means.items() if first == second]:
        told.append(f"seeds of one setting correlate by {min(seeds):.2f} to {max(seeds):.2f}")
    if not told:
        return []
    n, value = len(found.pairs.compared), means[apart[0]] if apart else float(np.mean(seeds))
    text = f"Embeddings ({target}) of {n} concepts, by Spearman's correlation of their cosines: "
    measure = f"highest correlation of embeddings, {target}"
    return [_finding(group, measure, Estimate(value), n, f"{text}{'; '.join(told)}.")]


def _told(score: Estimate) -> str:
    """Write a mean with its interval, if it has one."""
    bounds = f" [{score.low:.3f}, {score.high:.3f}]" if np.isfinite(score.low) else ""
    return f"{score.value:.3f}{bounds}"


# -------------------- tables as they are read


def readable(
    rows: Sequence[Record], left_out: Sequence[str] = _IN_LABELS
) -> list[dict[str, Shown]]:
    """Put bounds beside their values, and leave out columns that say nothing.

    Args:
        rows: Rows of a table, with ``NAME``, ``NAME_low`` and ``NAME_high``. The middle half of
            the concepts, ``NAME_q25`` to ``NAME_q75``, is shown where no row has such bounds.
        left_out: Further columns that the page does not show; those that headings and labels tell.

    Returns:
        The same columns for every row; text is empty where a row does not have one.
    """
    found = [row.cells() for row in rows]
    columns = dict.fromkeys(name for cells in found for name in cells)
    table = [{name: cells.get(name, "") for name in columns} for cells in found]
    shown = [name for name in columns if name not in left_out and _says(table, name)]
    read = []
    for cells in table:
        row: dict[str, Shown] = {}
        for name in shown:
            if name.endswith("_q25"):
                if f"{name[:-4]}_low" not in shown:
                    row[f"{name[:-4]}_middle_half"] = _middle_half(cells, name[:-4])
            elif not (name.endswith(("_low", "_high", "_q75")) or name in ("low", "high")):
                row[name] = _with_bounds(cells, name)
        read.append(row)
    return read


def _says(rows: Sequence[Mapping[str, Cell]], column: str) -> bool:
    values = [row[column] for row in rows]
    return any(not (v == "" or (isinstance(v, float) and np.isnan(v))) for v in values)


def _middle_half(row: Mapping[str, Cell], name: str) -> str:
    low, high = (row[f"{name}_{end}"] for end in ("q25", "q75"))
    return f"{low:.3f} to {high:.3f}" if isinstance(low, float) and low == low else ""


def _with_bounds(row: Mapping[str, Cell], name: str) -> Shown:
    low, high = ("low", "high") if name == "difference" else (f"{name}_low", f"{name}_high")
    return (row[name], row[low], row[high]) if low in row else row[name]


def print_comparison(
    categories: Sequence[CategoryRow],
    differences: Sequence[str],
    left_out: Sequence[LeftOutRow],
    console: Console,
) -> None:
    """Print the means over all concepts, what differs, and what is left out.

    Args:
        categories: Rows of ``categories.csv``.
        differences: Sentences.
        left_out: Rows of ``left_out.csv``.
        console: Where to print.
    """
    rows = [row for row in categories if row.category == ALL]
    for group in dict.fromkeys(row.group for row in rows):
        mine = [row for row in rows if row.group == group]
        console.print(_means(group, mine[:_CONSOLE_ROWS]))
        if len(mine) > _CONSOLE_ROWS:
            console.print(f"and {len(mine) - _CONSOLE_ROWS} more; categories.csv has all.")
    for statement in differences:
        console.print(f"[yellow]differs[/yellow]: {escape(statement)}", highlight=False)
    for row in left_out:
        told = escape(f"{row.folder} ({row.reason})")
        console.print(f"[yellow]left out[/yellow]: {told}", highlight=False, soft_wrap=True)


def _means(group: str, rows: Sequence[CategoryRow]) -> Table:
    table = Table(title=f"{escape(group)}: means over the concepts that all have scored, on val")
    table.add_column("setting", overflow="fold", min_width=12)
    columns = {"concepts": "n_concepts", "known": "known", "single": "single_val",
               "multi": "multi_val", "won": "won", "accuracy": "accuracy"}  # fmt: skip
    shown = {title: name for title, name in columns.items() if _has(rows, name)}
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(escape(row.setting), *(_cell(row, name) for name in shown.values()))
    return table


def _has(rows: Sequence[CategoryRow], name: str) -> bool:
    return any(np.isfinite(row.estimate(name).value) for row in rows)


def _cell(row: CategoryRow, name: str) -> str:
    found = row.estimate(name)
    if not np.isfinite(found.value):
        return "-"
    if name in ("n_concepts", "known", "won"):
        return f"{found.value:.0f}"
    return _told(found) if name == "multi_val" else f"{found.value:.3f}"
