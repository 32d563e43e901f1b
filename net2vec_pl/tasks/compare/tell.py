"""What a comparison says: findings, the page, and the last words on the console."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.report.tables import Row
from net2vec_pl.tasks.compare.entry import SCORES
from net2vec_pl.tasks.compare.settings import Group
from net2vec_pl.tasks.compare.tables import ALL, Embedded

_NAMES = {"multi_val": "val set IoU of several filters", "accuracy": "balanced val accuracy"}
_CONSOLE_ROWS = 40
ONE_SEED = (
    "Embeddings of one seed began as the same random vectors, whatever their layer, and are alike "
    "for that reason too; runs of different seeds tell how much"
)


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
        f"{best['setting']} has the highest mean {_NAMES[score]}: {_told(best, score)} over {n} "
        f"concepts (95 % interval over {over})"
    )
    if others:
        second = others[0]["setting"]
        pair = next(
            p for p in pairs
            if p["score"] == score and {p["first"], p["second"]} == {best["setting"], second}
        )  # fmt: skip
        low, high = pair["low"], pair["high"]
        if pair["first"] != best["setting"]:
            low, high = -high, -low
        text += (
            f"; next is {second} with {others[0][score]:.3f}, a difference of "
            f"{abs(pair['difference']):.3f} [{low:.3f}, {high:.3f}] over concepts, "
            f"p = {pair['p_fdr']:.2g} (sign flips over concepts, corrected for all pairs)"
        )
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
    told = [f"{name} at {row['setting']} ({_told(row, score)})" for name, row in best.items()]
    text = f"By category, {_NAMES[score]} is highest for {', '.join(told)}."
    return [
        _finding(group, f"categories at their best {score}", [float(len(best))], len(best), text)
    ]


def _gain(group: Group, rows: Sequence[Row]) -> Row:
    least, most = (choose(rows, key=lambda row: row["gain"]) for choose in (min, max))
    wins = f"for {most['won']:.0%} [{most['won_low']:.0%}, {most['won_high']:.0%}] of the concepts"
    text = f"Several filters gain {_told(most, 'gain')} over the best single one at "
    text += f"{most['setting']}, and win {wins}"
    if least is not most:
        text += f"; least at {least['setting']}, {_told(least, 'gain')}, {least['won']:.0%}"
    value = [most["gain"], most["gain_low"], most["gain_high"]]
    return _finding(
        group, "largest mean gain of several filters", value, most["n_concepts"], text + "."
    )


def embedding_findings(group: Group, target: str, found: Embedded) -> list[Row]:
    """State which embeddings are most and least alike, and how alike seeds alone leave them.

    Embeddings of one seed began as the same random vectors, whatever the layer, so those of
    different seeds are looked at where there are any.
    """
    pairs, alike = found.pairs, found.pairs.value["correlation"]
    fair = ~found.same_setting & ~found.same_seed
    chosen = fair if fair.any() else ~found.same_setting
    told = []
    if np.isfinite(alike[chosen]).any():
        of = np.where(chosen, alike, np.nan)
        for word, t in (("most alike are", np.nanargmax(of)), ("least", np.nanargmin(of))):
            first, second = found.labels[pairs.first[t]], found.labels[pairs.second[t]]
            p = pairs.p["correlation"][t]
            told.append(f"{word} {first} and {second} (Spearman {alike[t]:.2f}, p = {p:.2g})")
    if np.isfinite(alike[found.same_setting]).any():
        seeds = np.nanmean(alike[found.same_setting])
        told.append(f"seeds of one setting correlate by {seeds:.2f} on average")
    if not told:
        return []
    where = "pairs of different seeds" if fair.any() else f"pairs of one seed. {ONE_SEED}"
    n, value = len(pairs.compared), [float(np.nanmax(alike[chosen], initial=-1.0))]
    text = f"Embeddings ({target}) of {n} concepts: {'; '.join(told)}. Looked at: {where}."
    return [_finding(group, f"highest correlation of embeddings, {target}", value, n, text)]


def _told(row: Row, score: str) -> str:
    return f"{row[score]:.3f} [{row[f'{score}_low']:.3f}, {row[f'{score}_high']:.3f}]"


# -------------------- tables as they are read


def readable(rows: Sequence[Row], left_out: Sequence[str] = ()) -> list[Row]:
    """Put bounds beside their values, and leave out columns that say nothing.

    Args:
        rows: Of a table, with ``NAME``, ``NAME_low`` and ``NAME_high``.
        left_out: Further columns that the page does not show.
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
