"""bank.md: every fact of the bank stands in it, and no name of a concept breaks it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from support.cards import NAMES, SCORES, bank_of, concepts

from net2vec_pl.probes import BankFile
from net2vec_pl.records import Record
from net2vec_pl.records.run import ClassifiedRow, ClassifierScores
from net2vec_pl.report.card import write_card


def written(folder: Path, bank: BankFile, rows: Sequence[Record], *controls: str) -> str:
    write_card(folder / "bank.md", bank, rows, controls)
    assert [p.name for p in folder.iterdir()] == ["bank.md"]
    return (folder / "bank.md").read_text(encoding="utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of every table, as a reader of Markdown sees them."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    return [
        [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
            for row in re.findall(r"(?s)<tr>.*?</tr>", t)
        ]
        for t in re.findall(r"(?s)<table>.*?</table>", html)
    ]


def test_the_card_says_what_the_bank_belongs_to(tmp_path: Path) -> None:
    text = written(tmp_path, bank_of(tau=0.01, shuffle=False), concepts(SCORES))
    for fact in (
        "vgg16", "vgg_16.pth", "w31gh75", "conv5_3", "features.29", "6 x 14 x 15", "224 x 240",
        "broden", "d4t4", "63305 readable, 7 not", "112 x 120", "tau = 0.01 (paper: 0.005)",
        "seed 4", "net2vec_pl 0.1.0, torch 2.11", "fong2018net2vec", "1 without scores: 3 train",
        'load_bank("bank.safetensors")', "No control was run",
    ):  # fmt: skip
        assert fact in text
    assert "/home/me" not in text
    assert "shuffle =" not in text


def test_means_are_over_the_concepts_that_were_scored(tmp_path: Path) -> None:
    text = written(tmp_path, bank_of(), concepts(SCORES))
    means = next(table for table in tables(text) if table[0][0] == "category")
    finite = [score for score in SCORES.values() if np.isfinite(score)]
    assert means[-1][:4] == ["all", "9", "8", f"{np.mean(finite):.3f}"]
    parts = [s for i, s in enumerate(SCORES.values()) if i % 2 == 0 and np.isfinite(s)]
    assert means[1] == [
        "part", "5", "4", *(f"{np.mean(parts) * share:.3f}" for share in (1, 0.5, 1))
    ]  # fmt: skip


def test_best_and_worst_concepts_do_not_overlap_and_names_read_as_they_are(tmp_path: Path) -> None:
    text = written(tmp_path, bank_of(), concepts(SCORES))
    best, worst = (table for table in tables(text) if table[0][0] == "concept")
    escaped = [n.replace("<b>", "&lt;b&gt;").replace('"', "&quot;") for n in NAMES]
    assert [row[0] for row in best[1:]] == escaped[:5]
    assert [row[0] for row in worst[1:]] == escaped[5:8]
    assert best[1][2:] == ["10", "5", "0.500", "0.250", "0.500"]


def test_a_card_can_be_written_where_nothing_was_scored(tmp_path: Path) -> None:
    text = written(tmp_path, bank_of(), concepts(dict.fromkeys(NAMES, np.nan)))
    assert "Best by" not in text
    assert "9 without scores" in text
    assert tables(text)[-1][-1] == ["all", "9", "0", "–", "–", "–"]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_the_card_is_python_whatever_the_name(name: str, tmp_path: Path) -> None:
    scores = dict.fromkeys(NAMES, 0.1) | {name: 0.9}
    text = written(tmp_path, bank_of(), concepts(scores))
    (code,) = re.findall(r"(?s)```python\n(.*?)```", text)
    compile(code, "card", "exec")
    assert repr(name)[1:-1] in code.replace('\\"', '"')


def test_limits_follow_the_protocol(tmp_path: Path) -> None:
    plain = written(tmp_path, bank_of(), concepts(SCORES), "Random vectors reach [0.01, 0.02].")
    assert "counts images that contain the concept" in plain
    assert "The bank reads bits (activation above threshold, 0.5 % of all)" in plain
    assert "* Random vectors reach" in plain
    assert "No control was run" not in plain
    other = written(tmp_path, bank_of(denominator="annotated", input="raw"), concepts(SCORES))
    assert "counts images annotated for the concept's category" in other
    assert "reads bits" not in other


def test_the_card_of_classifiers_tells_of_images(tmp_path: Path) -> None:
    rows = [
        ClassifiedRow(
            id=row.id,
            name=row.name,
            category=row.category,
            n_train=row.n_train,
            n_val=row.n_val,
            n_val_without=57,
            n_val_annotated=31,
            top_filter=0,
            best_filter=0,
            multi=ClassifierScores(score, score, score, np.nan, np.nan),
            top=ClassifierScores(*[np.nan] * 5),
            best=ClassifierScores(0.5, *[np.nan] * 4),
            norm=1.0,
            status=row.status,
        )
        for row, score in zip(concepts(SCORES), SCORES.values(), strict=True)
    ]
    bank = bank_of("classification")
    bank = replace(bank, header=bank.header | {"model": {"name": "alexnet", "weights": None}})
    text = written(tmp_path, bank, rows)
    assert "bank.score(" in text
    assert "bank.segment(" not in text
    assert "Set IoU" not in text
    assert "| weights | random, digest" in text
    assert "ROC AUC" in text
    assert "| train images | val images | val images without it |" in text
    assert "| 57 |" in text
    assert "scaling = model (paper: paper)" in text
    assert "lr_scaling" not in text  # of the masks' learning rate
