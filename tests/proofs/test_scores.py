"""``concepts.csv``, ``filters.csv``, ``seeds.csv``, ``layers.csv``, ``metrics.csv`` and the bank.

What was planted is there to be counted by hand; what is learned is learned once more, literally.
"""

from importlib.metadata import version
from statistics import fmean as mean
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.planted_run import CONCEPTS, FILTERS, LATE, PlantedNetwork, floor
from support.relearned import SEGMENTED, Floats, Layer, learn_all, seed_rows
from support.tables import check_table

import net2vec_pl
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.data import scan_files
from net2vec_pl.datasets import BrodenReader
from net2vec_pl.protocol import Protocol
from proofs.conftest import PlantedRun

# Concept -> best filter, and set IoU of it and of several filters, on train and on val.
PLANTED: dict[str, tuple[float, ...]] = {
    "ball": (0, 1, 1, 1, 1),
    "cup": (1, 3 / 4, 1 / 4, 1, 1),
    "dog": (2, 1 / 3, 1 / 3, 1, 1),
    "ear": (5, 1 / 2, 1, 1, 1 / 2),
    "fin": (11, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
    "red-c": (0, 1 / 2, 1 / 2, 1 / 2, 1 / 2),
    "grey-c": (np.nan, np.nan, np.nan, 0, 0),
    "park-s": (np.nan,) * 5,
}
# Concept -> train and val images, tiles of nine in a train image.
IMAGES = {
    "ball": (12 + 4, 8 + 2, 1),
    "cup": (12, 8, 4),
    "dog": (3 * 4, 3 * 3, 2),
    "ear": (4 * 4, 3 * 3 + 2, 2),
    "fin": (4, 2, 1),
    "red-c": (12 + 4, 8 + 2, 2),
    "grey-c": (3 * 4, 3 * 3, 1),
    "park-s": (12, 8, 9),
}
# Filter -> its best concept, and set IoU on train and val.
DETECTS: dict[int, tuple[str, float, float]] = {
    0: ("ball", 1, 1),
    1: ("cup", 3 / 4, 1 / 4),
    6: ("cup", 1 / 4, 3 / 4),
    2: ("dog", 1 / 3, 1 / 3),
    7: ("dog", 1 / 3, 1 / 3),
    12: ("dog", 1 / 3, 1 / 3),
    5: ("ear", 1 / 2, 1),
    10: ("ear", 1 / 2, 0),
    11: ("fin", 1 / 2, 1 / 2),
}
SEEDS = (0, 1)
EPOCHS = 30


@pytest.fixture(scope="module")
def banks(run: PlantedRun) -> dict[int, dict[str, list[Floats]]]:
    """What each seed learns, by seed and concept."""
    return {seed: learn_all(Layer(run.drawn), seed) for seed in SEEDS}


def test_every_concept_scores_what_was_planted(
    run: PlantedRun, banks: dict[int, dict[str, list[Floats]]]
) -> None:
    layer, expected = Layer(run.drawn), []
    for name, (number, category) in CONCEPTS.items():
        best, single_train, single_val, multi_train, multi_val = PLANTED[name]
        n_train, n_val, tiles = IMAGES[name]
        segmented = name in SEGMENTED
        w = banks[0][name][-1] if segmented else np.full(1, np.nan)
        status = "ok" if np.isfinite(best) else "no filter overlaps it"
        expected.append(
            {
                "id": number,
                "name": name,
                "category": category,
                "n_train": n_train,
                "n_val": n_val,
                "alpha": 1 - tiles / 9,
                "best_filter": best if np.isnan(best) else int(best),
                "single_train": float(single_train),
                "single_val": float(single_val),
                "multi_train": float(multi_train),
                "multi_val": float(multi_val),
                "ap_val": layer.ap(name, w) if segmented else np.nan,
                "norm": float(np.linalg.norm(w)),
                "status": status if segmented else "image-level: not segmented",
            }
        )
    check_table(run.table("concepts"), expected, within=1e-6)


def test_average_precision_is_that_of_the_planted_pixels(run: PlantedRun) -> None:
    found = run.concepts()
    for name in ("ball", "cup", "dog"):
        assert float(found[name]["ap_val"]) == 1
    # Of an image's nine tiles two are the concept; all but they fire for one at most.
    assert float(found["ear"]["ap_val"]) == float(found["fin"]["ap_val"]) == 1 / 2
    # Half of red is found first; the rest is among the tiles on which nothing fires.
    assert 1 / 2 < float(found["red-c"]["ap_val"]) < 1


def test_every_filter_has_the_concept_that_was_planted(run: PlantedRun) -> None:
    nothing = ("", np.nan, np.nan)
    chosen = [int(best) for best, *_ in PLANTED.values() if np.isfinite(best)]
    expected = []
    for k in range(FILTERS):
        concept, on_train, on_val = DETECTS.get(k, nothing)
        expected.append(
            {
                "filter": k,
                "threshold": floor(k),
                "best_concept": concept,
                "single_train": float(on_train),
                "single_val": float(on_val),
                "n_concepts": chosen.count(k),
            }
        )
    check_table(run.table("filters"), expected)


def test_every_seed_has_its_own_row_after_that_of_the_seed_before(
    run: PlantedRun, banks: dict[int, dict[str, list[Floats]]]
) -> None:
    last = {s: {name: banks[s][name][-1] for name in SEGMENTED} for s in SEEDS}
    check_table(run.table("seeds"), seed_rows(Layer(run.drawn), last), within=1e-6)
    cups = [float(row["multi_val"]) for row in run.table("seeds") if row["name"] == "cup"]
    assert cups == [1, 4 / 5]  # so that it shows which seed a table has


def test_the_bank_holds_what_is_learned(
    run: PlantedRun, banks: dict[int, dict[str, list[Floats]]]
) -> None:
    first, other = (np.stack([banks[s][name][-1] for name in SEGMENTED]) for s in SEEDS)
    bank = run.bank
    assert bank.vocabulary.names == SEGMENTED
    assert bank.weight.numpy() == pytest.approx(first, abs=1e-5)
    assert bank.other_seeds is not None
    assert bank.other_seeds.numpy() == pytest.approx(other[None], abs=1e-5)
    assert bank.threshold.tolist() == [floor(k) for k in range(FILTERS)]
    assert bank.alpha.tolist() == pytest.approx([1 - IMAGES[n][2] / 9 for n in SEGMENTED])
    assert bank.bias is bank.other_biases is bank.scale is None


@pytest.mark.parametrize("target", ["segmentation", "classification"])
def test_a_bank_says_what_it_belongs_to(run: PlantedRun, target: str) -> None:
    found = dict((run.bank if target == "segmentation" else run.classifiers).header)
    model, data, protocol = (found.pop(name) for name in ("model", "data", "protocol"))
    assert model["_target_"] == "support.planted_run.PlantedNetwork"
    assert model["weights"] == "network.safetensors"
    assert {**data, "digest": ""} == {
        "name": "data", "digest": "", "mask_size": [12, 12], "readable": 47, "unreadable": 0,
    }  # fmt: skip
    assert protocol == Protocol(tau=0.3).plain()
    assert len({data["digest"], found.pop("weights_digest")}) == 2
    unit = {"name": "unit", "mean": [0.0] * 3, "std": [1.0] * 3, "image_size": [12, 12]}
    assert found == {
        "layer": "early",
        "module_path": "early",
        "activation_shape": [FILTERS, 12, 12],
        "input_transform": unit,
        "tau": 0.3,
        "deviations": [
            "tau = 0.3 (paper: 0.005)",
            "lr_scaling = area (paper: none)",
            "shuffle = True (paper: False)",
            "scaling = model (paper: paper)",
        ],
        "seed": 0,
        "seeds": 2,
        "versions": {"net2vec_pl": net2vec_pl.__version__, "torch": version("torch")},
        "target": target,
    }


def test_a_bank_names_the_digests_of_its_data_and_its_network(run: PlantedRun) -> None:
    world, network = run.folder.parent, PlantedNetwork()
    network.load_state_dict(safetensors.torch.load_file(world / "network.safetensors"))
    for bank in (run.bank, run.classifiers):
        assert bank.header["data"]["digest"] == scan_files(BrodenReader(world / "data")).digest
        assert bank.header["weights_digest"] == weights_digest(network)


def test_the_second_layer_has_tables_and_a_bank_of_its_own(two_layers: PlantedRun) -> None:
    late = PlantedRun(two_layers.folder / "late", two_layers.drawn)
    layer = Layer(late.drawn, "late", LATE)
    banks = learn_all(layer, 0)
    w = np.stack([banks[name][-1] for name in SEGMENTED])
    assert late.bank.weight.numpy() == pytest.approx(w, abs=1e-5)
    assert late.bank.threshold.tolist() == [floor(k) for k in LATE]
    assert late.bank.header["layer"] == late.bank.header["module_path"] == "late"
    assert late.bank.header["activation_shape"] == [len(LATE), 12, 12]
    assert late.classifiers.header["layer"] == "late"
    found = late.concepts()
    for name in SEGMENTED:
        best = layer.best_filter(name)
        scores = {
            "single_train": layer.filter_iou(name, best, train=True) if best >= 0 else np.nan,
            "single_val": layer.filter_iou(name, best) if best >= 0 else np.nan,
            "multi_train": layer.set_iou(name, banks[name][-1], train=True),
            "multi_val": layer.set_iou(name, banks[name][-1]),
            "ap_val": layer.ap(name, banks[name][-1]),
        }
        assert found[name]["best_filter"] == (str(best) if best >= 0 else "nan")
        row = {column: float(found[name][column]) for column in scores}
        assert row == pytest.approx(scores, nan_ok=True)
    # Filter 7 is no filter of it, so that a third of dog cannot be seen.
    assert float(found["dog"]["multi_val"]) == pytest.approx(2 / 3)
    for cells, k in zip(late.table("filters"), LATE, strict=True):
        concept, on_train, on_val = DETECTS.get(k, ("", np.nan, np.nan))
        assert cells["best_concept"] == concept
        assert float(cells["threshold"]) == floor(k)
        assert [float(cells["single_train"]), float(cells["single_val"])] == pytest.approx(
            [on_train, on_val], nan_ok=True
        )


def test_the_first_of_two_layers_is_that_of_a_run_by_itself(
    run: PlantedRun, two_layers: PlantedRun
) -> None:
    early = PlantedRun(two_layers.folder / "early", two_layers.drawn)
    for name in ("concepts", "filters", "classification"):
        assert early.table(name) == run.table(name)
    assert not (early.folder / "seeds.csv").exists()
    assert torch.equal(early.bank.weight, run.bank.weight)
    assert torch.equal(early.classifiers.weight, run.classifiers.weight)


def test_the_layers_have_the_means_of_their_tables(two_layers: PlantedRun) -> None:
    expected = []
    for layer, filters in (("early", FILTERS), ("late", len(LATE))):
        of_layer = PlantedRun(two_layers.folder / layer, two_layers.drawn)
        row: dict[str, Any] = {"layer": layer, "filters": filters, "height": 12, "width": 12}
        for table, columns in (
            ("concepts", ("single_val", "multi_val", "ap_val")),
            ("classification", ("best_accuracy", "top_accuracy", "accuracy", "ap", "auc")),
        ):
            for column in columns:
                values = [float(cells[column]) for cells in of_layer.table(table)]
                row[column] = float(np.nanmean(values))
        expected.append(row)
    check_table(two_layers.table("layers"), expected)
    early = expected[0]
    assert early["single_val"] == pytest.approx((1 + 1 / 4 + 1 / 3 + 1 + 1 / 2 + 1 / 2) / 6)
    assert early["multi_val"] == pytest.approx((1 + 1 + 1 + 1 / 2 + 1 / 2 + 1 / 2 + 0) / 7)


def test_every_epoch_logs_its_means_over_concepts_seeds_and_categories(
    run: PlantedRun, banks: dict[int, dict[str, list[Floats]]]
) -> None:
    layer, rows = Layer(run.drawn), run.table("metrics")
    assert len(rows) == 2 * EPOCHS
    for epoch in range(EPOCHS):
        scored, trained = rows[2 * epoch : 2 * epoch + 2]
        assert scored["epoch"] == trained["epoch"] == str(epoch)
        expected: dict[str, dict[str, float]] = {
            "val/set_iou": {},
            "val/ap": {},
            "embedding/norm": {},
        }
        for name in SEGMENTED:
            ws = [banks[seed][name][epoch + 1] for seed in SEEDS]
            expected["val/set_iou"][name] = mean(layer.set_iou(name, w) for w in ws)
            expected["val/ap"][name] = mean(layer.ap(name, w) for w in ws)
            expected["embedding/norm"][name] = mean(np.linalg.norm(w) for w in ws)
        for key, by_name in expected.items():
            row = trained if key == "embedding/norm" else scored
            assert float(row[key]) == pytest.approx(mean(by_name.values()), abs=2e-6), (key, epoch)
            for category in ("object", "part", "color"):
                among = [v for n, v in by_name.items() if CONCEPTS[n][1] == category]
                found = float(row[f"{key}/{category}"])
                assert found == pytest.approx(mean(among), abs=2e-6), (key, category, epoch)
            other = scored if row is trained else trained
            assert {other[column] for column in other if column.startswith(key)} == {""}
        losses = [
            loss
            for seed in SEEDS
            for name in SEGMENTED
            for loss in layer.losses(name, banks[seed][name][epoch])
        ]
        assert float(trained["train/loss"]) == pytest.approx(mean(losses), rel=1e-5)
    assert set(rows[0]) == {
        *("epoch", "step", "train/loss"),
        *(f"{key}{of}" for key in expected for of in ("", "/object", "/part", "/color")),
    }


def test_the_last_epoch_is_the_bank_of_the_tables(run: PlantedRun) -> None:
    last = run.table("metrics")[-2]
    for key, column in (("val/set_iou", "multi_val"), ("val/ap", "ap_val")):
        values = [float(row[column]) for row in run.table("seeds")]
        assert float(last[key]) == pytest.approx(mean(values), abs=1e-6)
