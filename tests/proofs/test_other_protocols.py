"""Protocols that read activations, have biases, upsample, or threshold afterwards.

Each table follows from the bank that lies beside it.
"""

from collections.abc import Callable

import numpy as np
import pytest
from support import oracles
from support.kept_figures import keep_figures
from support.planted_run import CONCEPTS, FILTERS, SIZE, TILE
from support.planted_variants import NETWORK
from support.relearned import NAMES, SEGMENTED, Bools, Floats

from proofs.conftest import FEW, Make, PlantedRun

Predict = Callable[[int], Bools]  # from an image to the mask that is predicted


def set_iou(run: PlantedRun, name: str, train: bool, predict: Predict) -> float:
    """Return the set IoU of predicted masks over the images that have a concept."""
    drawn, c = run.drawn, NAMES.index(name)
    inside = union = 0
    for n in np.flatnonzero(drawn.present[:, c] & (drawn.is_train == train)):
        predicted, mask = predict(int(n)), drawn.masks[n, c]
        inside, union = inside + (predicted & mask).sum(), union + (predicted | mask).sum()
    return float(inside / union) if union else np.nan


# -------------------- biases, on roots of activations


@pytest.fixture(scope="module")
def best(make_run: Make) -> PlantedRun:
    """Two banks of the protocol that segments best."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "best",
            "protocol=best",
            "protocol.tau=0.3",
            "protocol.epochs=3",
            "layer=early",
            "seeds=2",
            "seed=1",
            "report=false",
            "analysis.names=[subsets]",
            *FEW,
        )


def spread(run: PlantedRun) -> Floats:
    """Return the standard deviation of the roots of each filter, over all positions."""
    values = np.sqrt(run.drawn.activation)
    same = (values == values[:1, :, :1, :1]).all(axis=(0, 2, 3))
    return np.where(same, 0, values.std(axis=(0, 2, 3)))


def roots(run: PlantedRun) -> Floats:
    """Return what the bank reads, as half precision keeps it."""
    kept = run.drawn.activation.astype(np.float16).astype(np.float64)
    scale = spread(run)[:, None, None]
    return np.asarray(np.divide(np.sqrt(kept), scale, out=np.zeros_like(kept), where=scale > 0))


def combined(inputs: Floats, w: Floats, bias: float) -> Predict:
    """Return the masks of an embedding."""
    return lambda n: np.asarray(np.einsum("k,kij->ij", w, inputs[n]) + bias > 0)


def test_a_bank_of_activations_has_their_spread_and_a_bias_of_each_seed(best: PlantedRun) -> None:
    bank = best.bank
    assert bank.scale is not None
    assert bank.scale.numpy() == pytest.approx(spread(best), rel=1e-3, abs=1e-7)
    assert bank.bias is not None
    assert bank.other_biases is not None
    assert bank.other_biases.shape == (1, len(SEGMENTED))
    assert not np.allclose(bank.bias, bank.other_biases[0])


def test_scores_are_those_of_weights_and_biases_together(best: PlantedRun) -> None:
    bank, inputs, rows = best.bank, roots(best), best.concepts()
    assert bank.bias is not None
    assert bank.other_seeds is not None
    assert bank.other_biases is not None
    weights = (bank.weight, bank.other_seeds[0])
    biases = (bank.bias, bank.other_biases[0])
    seeds = best.table("seeds")
    assert [row["seed"] for row in seeds] == ["1", "2"] * len(SEGMENTED)
    for c, name in enumerate(SEGMENTED):
        for s in range(2):
            w = weights[s][c].double().numpy()
            predict = combined(inputs, w, float(biases[s][c]))
            row = seeds[2 * c + s]
            for split in ("train", "val"):
                score = set_iou(best, name, split == "train", predict)
                assert float(row[f"multi_{split}"]) == pytest.approx(score), (name, s, split)
                if s == 0:
                    assert rows[name][f"multi_{split}"] == row[f"multi_{split}"]
            assert float(row["norm"]) == pytest.approx(np.linalg.norm(w), rel=1e-5)
    first, second = ([float(row["multi_val"]) for row in seeds[s::2]] for s in range(2))
    assert first != second


def test_what_is_masked_keeps_the_bias_of_the_first_seed(best: PlantedRun) -> None:
    bank, inputs = best.bank, roots(best)
    assert bank.bias is not None
    found = iter(best.table("analysis/subsets"))
    for c, name in enumerate(SEGMENTED):
        w = bank.weight[c].double().numpy()
        order = np.argsort(-np.abs(w), kind="stable")
        for size in (1, 2, 4, 8, FILTERS):
            kept = np.where(np.isin(np.arange(FILTERS), order[:size]), w, 0)
            score = set_iou(best, name, False, combined(inputs, kept, float(bank.bias[c])))
            row = next(found)
            assert (row["name"], row["filters"]) == (name, str(size))
            assert float(row["masked"]) == pytest.approx(score), (name, size)
    assert not (best.folder / "analysis" / "l1_path.csv").exists()  # a path is SGD's
    assert "no L1 path: its proximal steps belong to SGD" in best.console


# -------------------- a grid of tiles


@pytest.fixture(scope="module", params=["before", "after"])
def coarse(request: pytest.FixtureRequest, make_run: Make) -> PlantedRun:
    """One position for each tile; thresholds before or after upsampling."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            f"coarse_{request.param}",
            NETWORK,
            "layer=coarse",
            f"protocol.threshold_order={request.param}",
            f"protocol.align_corners={request.param == 'after'}",
            "protocol.tau=0.04",
            "report=false",
            "analysis.names=[intervals]",
            *FEW,
        )


def test_maps_are_upsampled_as_the_protocol_says(coarse: PlantedRun) -> None:
    activation = coarse.drawn.activation[:, :, ::TILE, ::TILE]
    protocol = coarse.bank.header["protocol"]
    after, aligned = protocol["threshold_order"] == "after", protocol["align_corners"]
    thresholds = [oracles.exact_threshold(activation[:, k], 0.04) for k in range(FILTERS)]
    assert coarse.bank.threshold.numpy() == pytest.approx(np.array(thresholds), rel=1e-6)
    kept = activation.astype(np.float32)
    bits = oracles.binarise(kept, coarse.bank.threshold.numpy())

    def of_filter(k: int) -> Predict:
        def predict(n: int) -> Bools:
            if after:
                upsampled = oracles.upsample(kept[n, k], SIZE, SIZE, aligned)
                return np.asarray(upsampled > float(coarse.bank.threshold[k]) + 1e-9)
            maps = oracles.single_filter_maps(bits[n, k : k + 1], SIZE, SIZE, aligned)
            return np.asarray(maps[0])

        return predict

    rows = coarse.concepts()
    intervals = coarse.concepts("analysis/intervals")
    w = coarse.bank.weight.double().numpy()
    for c, name in enumerate(SEGMENTED):
        scores = [set_iou(coarse, name, True, of_filter(k)) for k in range(FILTERS)]
        best = int(np.nanargmax(scores)) if np.nanmax(scores) > 0 else -1
        assert rows[name]["best_filter"] == (str(best) if best >= 0 else "nan"), name
        if best >= 0:
            assert float(rows[name]["single_train"]) == pytest.approx(scores[best]), name
            on_val = set_iou(coarse, name, False, of_filter(best))
            assert float(rows[name]["single_val"]) == pytest.approx(on_val), name
            assert float(intervals[name]["single"]) == pytest.approx(on_val), name

        def several(n: int, c: int = c) -> Bools:
            logits = np.einsum("k,kij->ij", w[c], bits[n].astype(np.float64))
            return np.asarray(oracles.upsample(logits, SIZE, SIZE, aligned) > 1e-6)

        for split in ("train", "val"):
            score = set_iou(coarse, name, split == "train", several)
            assert float(rows[name][f"multi_{split}"]) == pytest.approx(score, abs=0.01), name
    assert CONCEPTS.keys() == rows.keys()
