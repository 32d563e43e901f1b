"""The tables of scores where hardly two numbers are equal: all recounted, none planted by hand."""

import numpy as np
import pytest
from support.planted_run import CONCEPTS, FILTERS
from support.planted_variants import MixedLayer
from support.relearned import NAMES, SEGMENTED, Floats, Layer, seed_rows
from support.tables import check_table

from proofs.conftest import PlantedRun

Banks = dict[int, dict[str, Floats]]


def test_concepts(mixed: PlantedRun, mixed_layer: Layer, mixed_banks: Banks) -> None:
    layer, expected = mixed_layer, []
    for name in NAMES:
        segmented = name in SEGMENTED
        best = layer.best_filter(name) if segmented else -1
        w = mixed_banks[3].get(name, np.full(FILTERS, np.nan))
        status = "ok" if best >= 0 else "no filter overlaps it"
        expected.append(
            {
                "id": CONCEPTS[name][0],
                "name": name,
                "category": CONCEPTS[name][1],
                "n_train": len(layer.images(name, train=True)),
                "n_val": len(layer.images(name, train=False)),
                "alpha": layer.alpha(name),
                "best_filter": best if best >= 0 else np.nan,
                "single_train": layer.filter_iou(name, best, train=True) if best >= 0 else np.nan,
                "single_val": layer.filter_iou(name, best) if best >= 0 else np.nan,
                "multi_train": layer.set_iou(name, w, train=True) if segmented else np.nan,
                "multi_val": layer.set_iou(name, w) if segmented else np.nan,
                "ap_val": layer.ap(name, w) if segmented else np.nan,
                "norm": float(np.linalg.norm(w)),
                "status": status if segmented else "image-level: not segmented",
            }
        )
    check_table(mixed.table("concepts"), expected, within=1e-6)


def test_filters(mixed: PlantedRun, mixed_layer: MixedLayer) -> None:
    best = [mixed_layer.best_filter(name) for name in SEGMENTED]
    expected = []
    for k in range(FILTERS):
        name = mixed_layer.best_concept(k)
        scores = [mixed_layer.filter_iou(name, k, s) if name else np.nan for s in (True, False)]
        expected.append(
            {
                "filter": k,
                "threshold": float(mixed_layer.thresholds[k]),
                "best_concept": name,
                "single_train": scores[0],
                "single_val": scores[1],
                "n_concepts": best.count(k),
            }
        )
    check_table(mixed.table("filters"), expected)


def test_seeds(mixed: PlantedRun, mixed_layer: Layer, mixed_banks: Banks) -> None:
    check_table(mixed.table("seeds"), seed_rows(mixed_layer, mixed_banks), within=1e-5)


def test_the_bank(mixed: PlantedRun, mixed_layer: MixedLayer, mixed_banks: Banks) -> None:
    first, other = (np.stack([mixed_banks[s][name] for name in SEGMENTED]) for s in (3, 4))
    bank = mixed.bank
    assert bank.weight.numpy() == pytest.approx(first, abs=1e-5)
    assert bank.other_seeds is not None
    assert bank.other_seeds.numpy() == pytest.approx(other[None], abs=1e-5)
    assert bank.threshold.tolist() == mixed_layer.thresholds
    assert (bank.header["seed"], bank.header["seeds"], bank.header["tau"]) == (3, 2, 0.5)
