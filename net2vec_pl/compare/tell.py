"""What a comparison says: findings, the page, and the last words on the console."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.compare.entry import SCORES
from net2vec_pl.compare.settings import Group
from net2vec_pl.compare.tables import ALL, Embedded
from net2vec_pl.errors import shorten
from net2vec_pl.report.tables import Row

_NAMES = {"multi_val": "val set IoU of several filters", "accuracy": "balanced val accuracy"}
_CONSOLE_ROWS = 40
_UNCERTAIN = 0.05
_IN_LABELS = ("group", "model", "layer", "target")
# How to read a table on the page; docs/compare.md names every column.
NOTES = {
    "categories": "Means over concepts, with 95 % intervals. multi_val: set IoU of several "
    "filters, single_val: of the best single one, gain: the first less the second, won: share of "
    "concepts with a gain, _std: spread over seeds.",
    "concepts_by_entry": "Set IoU of several filters on val, mean over seeds.",
    "concepts_by_entry_classification": "Balanced accuracy on val, mean over seeds.",
    "pairs": "difference: the first's mean less the second's; p: of sign flips over concepts, "
    "p_fdr: corrected for all pairs; first_higher: share of concepts.",
    "embedding_distances": "What lies within the distance of two seeds is no difference. _chance: "
    "the mean over permutations of the concepts, _p: the share of them that are as alike.",
}


def findings(group: Group, categories: Sequence[Row], pairs: Sequence[Row]) -> list[Row]:
    """State which setting scores best, by how much, and for which category another does.

    Args:
        group: The settings.
        categories: Of ``categories.csv``.
        pairs: Of ``pairs.csv``.
    """
    found: list[Row] = []
    for names in SCORES.values():
        score = names[0]
        scored = [row for row in categories if np.isfinite(row.get(score, np.nan))]
        if scored:
            found.append(_best(group, score, [r for r in scored if r["category"] == ALL], pairs))
            found += _by_category(group, score, scored)
    gains = [r for r in categories if r["category"] == ALL and np.isfinite(r.get("gain", np.nan))]
    if gains:
        found.append(_gain(group, gains))
    return found


def _finding(group: Group, measure: str, value: Sequence[float], n: int, text: str) -> Row:
    point, low, high = (*value, np.nan, np.nan)[:3]
    where: Row = {"question": group.name, "measure": measure}
    return where | {"value": point, "low": low, "high": high, "n": n, "statement": text}


def _best(group: Group, score: str, rows: Sequence[Row], pairs: Sequence[Row]) -> Row:
    best, *others = sorted(rows, key=lambda row: -row[score])
    n = best["n_concepts" if score == "multi_val" else "n_classified"]
    over = best["interval_over"] if score == "multi_val" else "concepts"
    text = (
        f"{best['setting']} has the highest mean {_NAMES[score]}: {_told(best, score)} "
        f"(95 % interval over {over}; concepts: {n})"
    )
    if others:
        second = others[0]["setting"]
        with_best = {
            (p["second"] if p["first"] == best["setting"] else p["first"]): p
            for p in pairs
            if p["score"] == score and best["setting"] in (p["first"], p["second"])
        }
        pair = with_best[second]
        low, high = pair["low"], pair["high"]
        if pair["first"] != best["setting"]:
            low, high = -high, -low
        text += (
            f"; next is {second} with {others[0][score]:.3f}, a difference of "
            f"{abs(pair['difference']):.3f} [{low:.3f}, {high:.3f}] over concepts, "
            f"p = {pair['p_fdr']:.2g} (sign flips over concepts, corrected for all pairs)"
        )
        if level := [label for label, p in with_best.items() if p["p_fdr"] >= _UNCERTAIN]:
            text += f"; its lead over {shorten(level)} is not certain (p >= {_UNCERTAIN})"
    value = [best[score], best[f"{score}_low"], best[f"{score}_high"]]
    return _finding(group, f"highest mean {score}", value, n, f"{text}.")


def _by_category(group: Group, score: str, rows: Sequence[Row]) -> list[Row]:
    """Name the best setting of every category, where settings are several."""
    if len({row["setting"] for row in rows}) < 2:
        return []
    best: dict[str, Row] = {}
    for row in rows:
        if row["category"] != ALL and row[score] > best.get(row["category"], {score: -1.0})[score]:
            best[row["category"]] = row
    at: dict[str, list[str]] = {}
    for name, row in best.items():
        at.setdefault(row["setting"], []).append(f"{name} ({_told(row, score)})")
    told = [f"at {setting} for {', '.join(of)}" for setting, of in at.items()]
    text = f"By category, {_NAMES[score]} is highest {'; '.join(told)}."
    return [
        _finding(group, f"categories at their best {score}", [float(len(best))], len(best), text)
    ]


def _gain(group: Group, rows: Sequence[Row]) -> Row:
    least, most = (choose(rows, key=lambda row: row["gain"]) for choose in (min, max))
    told = [
        f"at {row['setting']}, {_told(row, 'gain')} (there {row['won']:.0%} "
        f"[{row['won_low']:.0%}, {row['won_high']:.0%}] of the concepts gain)"
        for row in ([most] if least is most else [most, least])
    ]
    size = "" if least is most else "largest "
    text = "Mean gain in val set IoU of several filters over the best single one: "
    text += size + "; smallest ".join(told)
    value = [most["gain"], most["gain_low"], most["gain_high"]]
    return _finding(
        group, "largest mean gain of several filters", value, most["n_concepts"], text + "."
    )


def embedding_findings(group: Group, target: str, found: Embedded) -> list[Row]:
    """State which settings' embeddings are most and least alike, and how alike seeds leave them."""
    alike, p = found.pairs.value["correlation"], found.pairs.p["correlation"]
    of = {pair: t for pair, t in found.by_settings().items() if np.isfinite(alike[t]).all()}
    means = {pair: float(alike[t].mean()) for pair, t in of.items()}
    apart = sorted((q for q in means if q[0] != q[1]), key=lambda q: -means[q])

    def correlation(pair: tuple[str, str]) -> str:
        return f"{means[pair]:.2f}, p = {p[of[pair]].max():.2g}"

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
    return [_finding(group, measure, [value], n, f"{text}{'; '.join(told)}.")]


def _told(row: Row, score: str) -> str:
    return f"{row[score]:.3f} [{row[f'{score}_low']:.3f}, {row[f'{score}_high']:.3f}]"


# -------------------- tables as they are read


def readable(rows: Sequence[Row], left_out: Sequence[str] = _IN_LABELS) -> list[Row]:
    """Put bounds beside their values, and leave out columns that say nothing.

    Args:
        rows: Of a table, with ``NAME``, ``NAME_low`` and ``NAME_high``.
        left_out: Further columns that the page does not show; those that headings and labels tell.
    """
    shown = [c for c in (rows[0] if rows else ()) if c not in left_out and _says(rows, c)]
    bounds = {name for name in shown if name.endswith(("_low", "_high")) or name in ("low", "high")}
    kept = [name for name in shown if name not in bounds]
    return [{name: _with_bounds(row, name) for name in kept} for row in rows]


def _says(rows: Sequence[Row], column: str) -> bool:
    values = [row[column] for row in rows]
    return any(not (v == "" or (isinstance(v, float) and np.isnan(v))) for v in values)


def _with_bounds(row: Row, name: str) -> Any:
    low, high = ("low", "high") if name == "difference" else (f"{name}_low", f"{name}_high")
    return (row[name], row[low], row[high]) if low in row else row[name]


def print_comparison(
    categories: Sequence[Row], differences: Sequence[str], left_out: Sequence[Row], console: Console
) -> None:
    """Print the means over all concepts, what differs, and what is left out.

    Args:
        categories: Of ``categories.csv``.
        differences: Sentences.
        left_out: Rows with ``folder`` and ``reason``.
        console: Where to print.
    """
    rows = [row for row in categories if row["category"] == ALL]
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        console.print(_means(group, mine[:_CONSOLE_ROWS]))
        if len(mine) > _CONSOLE_ROWS:
            console.print(f"and {len(mine) - _CONSOLE_ROWS} more; categories.csv has all.")
    for statement in differences:
        console.print(f"[yellow]differs[/yellow]: {escape(statement)}", highlight=False)
    for row in left_out:
        told = escape(f"{row['folder']} ({row['reason']})")
        console.print(f"[yellow]left out[/yellow]: {told}", highlight=False, soft_wrap=True)


def _means(group: str, rows: Sequence[Row]) -> Table:
    table = Table(title=f"{escape(group)}: means over the concepts that all have scored, on val")
    table.add_column("setting", overflow="fold", min_width=12)
    columns = {"concepts": "n_concepts", "single": "single_val", "several": "multi_val",
               "won": "won", "accuracy": "accuracy"}  # fmt: skip
    shown = {title: name for title, name in columns.items() if _has(rows, name)}
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(escape(row["setting"]), *(_cell(row, name) for name in shown.values()))
    return table


def _has(rows: Sequence[Row], name: str) -> bool:
    return any(np.isfinite(row.get(name, np.nan)) for row in rows)


def _cell(row: Row, name: str) -> str:
    value = row[name]
    if not np.isfinite(value):
        return "-"
    if name == "n_concepts":
        return f"{value:.0f}"
    if name == "won":
        return f"{value:.0%}"
    return _told(row, name) if name == "multi_val" else f"{value:.3f}"
