"""What stands above the columns of a page is what is in them."""

from typing import Any

import pytest

from net2vec_pl.report.columns import concept_columns, filter_columns

# Column of the table -> split, method and quantity that its heading and meaning must tell.
CONCEPTS = {
    "multi_val": ("On val images", "embedding", "set IoU"),
    "single_val": ("On val images", "best filter", "set IoU"),
    "ap_val": ("val images", "embedding", "AP"),
    "accuracy": ("val images", "embedding", "accuracy"),
    "best_accuracy": ("val images", "best filter", "accuracy"),
    "auc": ("val images", "embedding", "ROC AUC"),
    "multi_train": ("train", "embedding", "set IoU"),
    "single_train": ("train", "best filter", "set IoU"),
    "n_val": ("Val images", "val images", "contain"),
    "n_train": ("Train images", "train images", "contain"),
    "gain_low": ("val images", "low", "gain"),
    "gain_high": ("val images", "high", "gain"),
    "best_filter": ("train images", "best filter", "filter"),
    "alpha": ("loss", "alpha", "Weight"),
    "norm": ("Length", "norm", "embedding"),
    "name": ("", "concept", ""),
    "category": ("", "category", ""),
    "status": ("why there are no scores", "status", ""),
}
# Those of the methods that a page draws as bars, and those that name a concept or a filter.
BARS = {"multi_val": "multi", "accuracy": "multi"}
BARS |= {"single_val": "single", "best_accuracy": "single"}
LINKS = {"name": "concept", "best_filter": "filter"}
ASIDE = {"gain_low", "gain_high", "multi_train", "single_train", "alpha", "norm", "p_fdr"}


@pytest.mark.parametrize("name", CONCEPTS)
def test_a_column_of_concepts_is_called_what_it_is(name: str) -> None:
    (column,) = concept_columns({name: 0})
    text = f"{column['label']}: {column['meaning']}"
    assert all(part in text for part in CONCEPTS[name])
    train = "train" in name or name == "best_filter"
    assert ("train" in text.lower()) == train
    assert ("val" in text.lower().replace("interval", "")) == (
        not train and "val images" in " ".join(CONCEPTS[name]).lower()
    )
    for one, other in (("embedding", "best filter"), ("low", "high")):
        assert not (one in text and other in text) or name == "gain"
    assert column["bar"] == BARS.get(name, "")
    assert column["link"] == LINKS.get(name, "")
    assert column["main"] == (name not in ASIDE)


def test_the_gain_is_that_of_the_embedding() -> None:
    (column,) = concept_columns({"gain": 0})
    assert column["meaning"] == "Set IoU of the embedding less that of the best filter"


def test_telling_columns_come_first_and_unknown_ones_last_and_aside() -> None:
    row: dict[str, Any] = dict.fromkeys(["p_fdr", "norm", "n_val", "single_val", "multi_val"], 0)
    columns = concept_columns(row | {"name": "sky"})
    order = ["name", "multi_val", "single_val", "n_val", "norm", "p_fdr"]
    assert [column["name"] for column in columns] == order
    assert [column["main"] for column in columns] == [name not in ASIDE for name in order]
    assert columns[-1]["label"] == "p fdr"


def test_columns_of_filters_tell_of_their_best_concept() -> None:
    row: dict[str, Any] = {
        "threshold": 0, "single_train": 0, "n_concepts": 0, "single_val": 0, "best_concept": "",
        "filter": 0, "shared_by": 0,
    }  # fmt: skip
    columns = {str(column["name"]): column for column in filter_columns(row)}
    assert [(name, column["label"]) for name, column in columns.items()] == [
        ("filter", "filter"),
        ("best_concept", "its best concept"),
        ("single_val", "set IoU on it"),
        ("n_concepts", "concepts that chose it"),
        ("threshold", "threshold"),
        ("single_train", "set IoU on it, train"),
        ("shared_by", "shared by"),
    ]
    assert columns["single_val"]["meaning"] == "On val images of its best concept"
    assert [n for n, c in columns.items() if c["link"]] == ["filter", "best_concept"]
    assert [n for n, c in columns.items() if not c["main"]] == ["single_train"]
    assert [n for n, c in columns.items() if c["bar"]] == ["single_val"]
