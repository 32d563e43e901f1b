"""What the columns of a run's tables are called on a page, and what they mean."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from net2vec_pl.records import Cell


@dataclass(frozen=True)
class Column:
    """A column of a table on a page.

    Args:
        label: What stands above it.
        meaning: In a sentence.
        link: ``concept`` or ``filter``, if its cells name one.
        bar: ``single`` or ``multi``, if its scores are drawn, in the colour of best filter or
            embedding.
        main: Whether tables show it; the view of one concept shows all.
    """

    label: str
    meaning: str = ""
    link: str = ""
    bar: str = ""
    main: bool = True


_BALANCED = "On as many val images with the concept as without"
_KNOWN = {
    "name": Column("concept", link="concept"),
    "category": Column("category"),
    "multi_val": Column("set IoU, embedding", "On val images", bar="multi"),
    "single_val": Column("set IoU, best filter", "On val images", bar="single"),
    "known": Column("known", "Whether the embedding is above every reference level, by test"),
    "reference_val": Column(
        "reference level", "Set IoU of the best of: every pixel, mean position, a random direction"
    ),
    "gain": Column("gain", "Set IoU of the embedding less that of the best filter"),
    "ap_val": Column("AP, embedding", "Average precision over the pixels of val images"),
    "accuracy": Column("accuracy, embedding", _BALANCED, bar="multi"),
    "best_accuracy": Column("accuracy, best filter", _BALANCED, bar="single"),
    "auc": Column("ROC AUC, embedding", "Over all val images"),
    "group_auc": Column("ROC AUC, group", "Of what an image's group alone says"),
    "filters_for_80%": Column(
        "filters for 80 %", "Filters that reach 80 % of the gain over the reference level"
    ),
    "best_filter": Column(
        "best filter", "The single filter that does best on train images", link="filter"
    ),
    "n_val": Column("val images", "Val images that contain it"),
    "n_val_without": Column("val images without it", "Val images known to lack it"),
    "n_train": Column("train images", "Train images that contain it"),
    "status": Column("status", "ok, or why there are no scores"),
    "reference": Column("which reference level", "The best of them for this concept", main=False),
    "over_reference_low": Column(
        "over reference, low", "95 % interval over val images or groups", main=False
    ),
    "over_reference_high": Column(
        "over reference, high", "95 % interval over val images or groups", main=False
    ),
    "gain_low": Column("gain, low", "95 % interval over val images or groups", main=False),
    "gain_high": Column("gain, high", "95 % interval over val images or groups", main=False),
    "multi_train": Column("set IoU on train, embedding", main=False),
    "single_train": Column("set IoU on train, best filter", main=False),
    "alpha": Column("alpha", "Weight of the concept's pixels in the loss", main=False),
    "norm": Column("norm", "Length of the embedding", main=False),
}
_OF_FILTERS = {
    "filter": Column("filter", link="filter"),
    "best_concept": Column("its best concept", link="concept"),
    "single_val": Column("set IoU on it", "On val images of its best concept", bar="single"),
    "n_concepts": Column("concepts that chose it", "How many have it as their best filter"),
    "threshold": Column("threshold", "Above it the filter fires"),
    "single_train": Column("set IoU on it, train", main=False),
}


def concept_columns(row: Mapping[str, Cell]) -> list[dict[str, str | bool]]:
    """Describe the columns of a table of concepts, the telling ones first.

    Columns that are not known here stand last, and in the view of one concept only.
    """
    return _described(row, _KNOWN, main=False)


def filter_columns(row: Mapping[str, Cell]) -> list[dict[str, str | bool]]:
    """Describe the columns of a table of filters, the telling ones first."""
    return _described(row, _OF_FILTERS, main=True)


def _described(
    row: Mapping[str, Cell], known: Mapping[str, Column], main: bool
) -> list[dict[str, str | bool]]:
    order = [name for name in known if name in row]
    order += [name for name in row if name not in known]
    return [
        {"name": name, **asdict(known.get(name, Column(name.replace("_", " "), main=main)))}
        for name in order
    ]
