"""A run that only classifies, some of the concepts, with numbers of filters that were asked for."""

import numpy as np
import pytest
from support.kept_figures import keep_figures
from support.planted_run import FILTERS
from support.relearned import Classifier, Layer, Pooled
from support.tables import check_table

from proofs.conftest import FEW, Make, PlantedRun

NAMES = ["ball", "dog", "red-c", "grey-c"]
SIZES = [3, 7, FILTERS]


@pytest.fixture(scope="module")
def alone(make_run: Make) -> PlantedRun:
    """The run; most of what is asked for needs masks."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "alone",
            'data.names=["b*","*-c","DOG"]',
            "layer=early",
            "target=classification",
            "seed=2",
            "report=false",
            "analysis.names=[sharing,subsets,intervals]",
            "analysis.sizes=[7,16,3,7]",
            *FEW,
        )


def test_what_needs_masks_is_left_out(alone: PlantedRun) -> None:
    lines = alone.console.splitlines()
    for name in ("intervals", "sharing"):
        assert f"analysis {name} is left out: it needs segmentation" in lines
    assert [line for line in lines if line.startswith("analysis: ")] == ["analysis: subsets"]
    assert "classification: 4 concepts are probed" in lines
    assert not [line for line in lines if line.startswith("segmentation:")]
    files = {path.name for path in alone.folder.glob("*.csv")}
    assert files == {"classification.csv", "findings.csv"}
    assert not (alone.folder / "bank.safetensors").exists()
    assert lines[-1] == f"Run folder: {alone.folder}"


def test_the_concepts_that_were_named_are_classified(alone: PlantedRun) -> None:
    pooled, rows = Pooled(Layer(alone.drawn)), alone.concepts("classification")
    assert list(rows) == NAMES
    assert alone.classifiers.vocabulary.names == NAMES
    assert alone.classifiers.other_seeds is None
    for c, name in enumerate(NAMES):
        mine = pooled.learn(name, 2)
        assert alone.classifiers.weight[c].numpy() == pytest.approx(mine.weight, abs=1e-5)
        assert float(rows[name]["accuracy"]) == pytest.approx(pooled.accuracy(name, mine))


def test_subsets_have_the_sizes_that_were_asked_for_and_all_filters(alone: PlantedRun) -> None:
    pooled, expected = Pooled(Layer(alone.drawn)), []
    for name, category in zip(NAMES, ("object", "object", "color", "color"), strict=True):
        full = pooled.learn(name, 2)
        order = np.argsort(-np.abs(full.weight), kind="stable")
        for size in SIZES:
            kept = np.isin(np.arange(FILTERS), order[:size])
            anew = pooled.learn(name, 2, kept)
            expected.append(
                {
                    "name": name,
                    "category": category,
                    "filters": size,
                    "retrained": pooled.accuracy(name, anew),
                    "masked": pooled.accuracy(name, Classifier(full.weight * kept, full.bias)),
                }
            )
    check_table(alone.table("analysis/subsets_classification"), expected)
    said = alone.finding("median filters for 80 % of the gain_classification")
    assert said["statement"].startswith("To classify with 80% of what all filters gain over ")
    assert "need more than 3." in said["statement"]  # the least of those that were tried
    assert "left out" not in said["statement"]
