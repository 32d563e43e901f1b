"""The model card of a bank on the Hub: front matter that says what is known, then bank.md."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.cards import NAMES, SCORES, bank_of, concepts

from net2vec_pl.probes import BankFile
from net2vec_pl.records import Record
from net2vec_pl.records.run import ClassifiedRow, ClassifierScores
from net2vec_pl.report import card_text, hub_card, write_card

pytest.importorskip("huggingface_hub", reason="no huggingface_hub")


def front_of(
    bank: BankFile, table: Sequence[Record] = (), license: str | None = None
) -> dict[str, Any]:
    _, front, _ = hub_card(bank, "owner/my-bank", table, license=license).split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def named(data: str) -> BankFile:
    bank = bank_of()
    return replace(bank, header=bank.header | {"data": bank.header["data"] | {"name": data}})


def test_the_front_matter_says_what_the_bank_is_of() -> None:
    front = front_of(bank_of())
    assert front == {
        "library_name": "net2vec_pl",
        "pipeline_tag": "image-segmentation",
        "tags": ["net2vec", "interpretability", "concept-embeddings", "vgg16", "broden"],
    }
    assert front_of(bank_of("classification"))["pipeline_tag"] == "image-classification"
    assert front_of(bank_of(), license="cc-by-4.0")["license"] == "cc-by-4.0"


@pytest.mark.parametrize("name", ["me: too", "a/b/c", "- x", "yes", "own er/data", "#1"])
def test_a_dataset_is_a_tag_unless_its_name_is_one_of_the_hub(name: str) -> None:
    front = front_of(named(name), concepts(SCORES))
    assert front["tags"][-1] == name
    assert "datasets" not in front
    front = front_of(named("owner/data"), concepts(SCORES))
    assert front["datasets"] == ["owner/data"]
    assert front["tags"][-1] == "vgg16"


def test_the_results_are_the_means_of_the_card() -> None:
    rows = [*concepts(SCORES)]
    rows[1] = replace(rows[1], ap_val=np.nan)
    rows[-1] = replace(rows[-1], ap_val=0.9)  # of a concept that has no set IoU
    (index,) = front_of(bank_of(), rows)["model-index"]
    assert index["name"] == "my-bank"
    (result,) = index["results"]
    assert result["task"] == {"type": "image-segmentation"}
    assert result["dataset"] == {"name": "broden", "type": "broden", "split": "val"}
    (line,) = re.findall(r"\| all \|.*", card_text(bank_of(), "bank.safetensors", rows))
    iou, ap = (float(cell) for cell in (line.split(" | ")[3], line.split(" | ")[5].rstrip(" |")))
    assert iou != ap
    assert [(m["type"], m["value"]) for m in result["metrics"]] == [
        ("set_iou", iou),
        ("average_precision", ap),
    ]


def test_classifiers_have_their_own_scores() -> None:
    rows = [
        ClassifiedRow(
            id=row.id, name=row.name, category=row.category, n_train=9, n_val=9,
            n_val_without=9, n_val_annotated=9, top_filter=0, best_filter=0,
            multi=ClassifierScores(0.75, 0.5, auc, np.nan, np.nan),
            top=ClassifierScores(*[np.nan] * 5), best=ClassifierScores(0.5, *[np.nan] * 4),
            norm=1.0, status="ok",
        )
        for row, auc in zip(concepts(SCORES), [0.9, 0.7, *[np.nan] * 7], strict=True)
    ]  # fmt: skip
    (index,) = front_of(bank_of("classification"), rows)["model-index"]
    (result,) = index["results"]
    assert result["task"] == {"type": "image-classification"}
    assert [(m["type"], m["value"]) for m in result["metrics"]] == [
        ("balanced_accuracy", 0.75),
        ("average_precision", 0.5),
        ("roc_auc", 0.8),
    ]


@pytest.mark.parametrize("table", [[], concepts(dict.fromkeys(NAMES, np.nan))])
def test_without_scores_no_results_are_claimed(table: Sequence[Record]) -> None:
    assert "model-index" not in front_of(bank_of(), table)


def test_a_card_without_a_table_says_that_scores_were_not_at_hand() -> None:
    text = hub_card(bank_of(), "owner/my-bank")
    assert "none were at hand when this card was written.\n\n## Limits" in text
    assert "No control was run" not in text
    assert "could be scored" not in text


def test_the_body_is_the_card_that_lies_beside_a_bank(tmp_path: Path) -> None:
    controls = ["Random vectors reach 0.01."]
    write_card(tmp_path / "bank.md", bank_of(), concepts(SCORES), controls)
    beside = (tmp_path / "bank.md").read_text(encoding="utf-8")
    text = hub_card(bank_of(), "owner/my-bank", concepts(SCORES), controls)
    _, _, body = text.split("---\n", 2)
    assert body == "\n" + beside.replace(
        'load_bank("bank.safetensors")', 'load_bank("hf://owner/my-bank")'
    )
