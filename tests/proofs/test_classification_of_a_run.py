"""``classification.csv`` and its bank: trained once more, scored with scikit-learn."""

import numpy as np
import pytest
import torch
from support.planted_run import CONCEPTS, FILTERS, LATE
from support.relearned import CATEGORIES, NAMES, NUMBERS, Classifier, Layer, Pooled
from support.tables import check_table

from net2vec_pl.analysis.intervals import mean_over_concepts
from net2vec_pl.probes import SingleClassifiers, best_single_classifiers
from proofs.conftest import PlantedRun


def best_of(pooled: Pooled) -> SingleClassifiers:
    """Choose the best filter of every concept, on train."""
    return best_single_classifiers(
        torch.from_numpy(pooled.split(True)).float(), pooled.present(True)
    )


def scores(pooled: Pooled, name: str, classifier: Classifier, prefix: str = "") -> dict[str, float]:
    """Return the five scores of a classifier, as columns.

    Of the planted categories only scenes are not annotated throughout: where a scene is labelled.
    """
    ap, auc = pooled.ranking(name, classifier)
    scene = CONCEPTS[name][1] == "scene"
    return {
        f"{prefix}accuracy": pooled.accuracy(name, classifier),
        f"{prefix}ap": ap,
        f"{prefix}auc": auc,
        f"{prefix}ap_annotated": np.nan if scene else ap,
        f"{prefix}auc_annotated": np.nan if scene else auc,
    }


def check_classification(run: PlantedRun, layer: Layer, seed: int) -> None:
    """Compare a run's table with classifiers that are trained here."""
    pooled = Pooled(layer)
    best, expected = best_of(pooled), []
    for c, name in enumerate(NAMES):
        present = layer.drawn.present[:, c]
        every = pooled.learn(name, seed)
        top = int(np.abs(every.weight).argmax())
        alone = pooled.learn(name, seed, np.arange(len(every.weight)) == top)
        k = int(best.filter[c])
        single = Classifier(
            float(best.slope[c]) * (np.arange(len(every.weight)) == k), float(best.bias[c])
        )
        expected.append(
            {
                "id": NUMBERS[c],
                "name": name,
                "category": CATEGORIES[c],
                "n_train": int(present[layer.drawn.is_train].sum()),
                "n_val": int(present[~layer.drawn.is_train].sum()),
                "top_filter": top,
                "best_filter": k,
                **scores(pooled, name, every),
                **scores(pooled, name, alone, "top_"),
                **scores(pooled, name, single, "best_"),
                "norm": float(np.linalg.norm(every.weight)),
                "status": "no annotated val images without it" if name == "park-s" else "ok",
            }
        )
    check_table(run.table("classification"), expected, within=1e-6)


def test_every_concept_is_classified_as_well_as_it_is_by_itself(
    mixed: PlantedRun, mixed_layer: Layer
) -> None:
    check_classification(mixed, mixed_layer, seed=3)


def test_every_layer_is_classified_by_its_own_filters(
    run: PlantedRun, two_layers: PlantedRun
) -> None:
    check_classification(run, Layer(run.drawn), seed=0)
    late = PlantedRun(two_layers.folder / "late", two_layers.drawn)
    check_classification(late, Layer(late.drawn, "late", LATE), seed=0)


def test_the_bank_of_classifiers_has_those_of_every_seed(
    mixed: PlantedRun, mixed_layer: Layer
) -> None:
    pooled, bank = Pooled(mixed_layer), mixed.classifiers
    assert bank.other_seeds is not None
    assert bank.other_biases is not None
    assert bank.bias is not None
    assert bank.other_seeds.shape == (1, len(NAMES), FILTERS)
    for c, name in enumerate(NAMES):
        first, other = (pooled.learn(name, seed) for seed in (3, 4))
        assert bank.weight[c].numpy() == pytest.approx(first.weight, abs=1e-5)
        assert bank.other_seeds[0, c].numpy() == pytest.approx(other.weight, abs=1e-5)
        biases = [float(bank.bias[c]), float(bank.other_biases[0, c])]
        assert biases == pytest.approx([first.bias, other.bias], abs=1e-5)
    assert bank.vocabulary.names == NAMES
    assert bank.alpha.tolist() == [0.5] * len(NAMES)
    assert bank.threshold.tolist() == mixed.bank.threshold.tolist()
    assert bank.scale is None


def test_embeddings_are_set_against_the_best_filter_of_all(run: PlantedRun) -> None:
    rows = run.table("classification")
    several, single = (
        np.array([float(row[column]) for row in rows]) for column in ("accuracy", "best_accuracy")
    )
    gain = mean_over_concepts(several - single, 200, seed=0)
    expected = {
        "question": "Do embeddings say more than single filters?",
        "measure": "gain in balanced accuracy",
        "value": float((several - single).mean()),
        "low": float(gain.low),
        "high": float(gain.high),
        "n": 8,
        "statement": f"Embeddings classify images with a balanced accuracy of {several.mean():.3f},"
        f" the best single filter of all with {single.mean():.3f}: a gain of {gain.value:.3f} "
        f"[{gain.low:.3f}, {gain.high:.3f}] over 8 concepts (95 % interval over concepts).",
    }
    check_table([run.finding(str(expected["measure"]))], [expected])
    assert several.mean() > single.mean()
