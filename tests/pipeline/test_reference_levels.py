"""``probes.csv`` of the paper's protocol: levels from the masks alone, and the run's own rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.cli import QUICK, by_name, read_table, run_cli, without
from torch import Tensor, nn
from torch.nn.functional import interpolate

from net2vec_pl import learn
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.functional.average_precision import bin_floors
from net2vec_pl.pipeline import worth
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes.closed_form import Scaled, Solution

GRID, MASK = 4, 16
Rows = dict[str, dict[str, dict[str, str]]]  # probe -> concept -> row


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    options = [*without(QUICK, "beside"), "data.categories=[color,object]", "run.dir=out"]
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *options) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def rows(out: Path) -> Rows:
    found: Rows = {}
    for row in read_table(out / "probes.csv"):
        found.setdefault(row["probe"], {})[row["name"]] = row
    return found


@pytest.fixture(scope="module")
def masks(rows: Rows) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return of each concept its masks in train images that have it, in val, and its category's.

    The last are masks of all val images that are annotated for its category.
    """
    reader = ShapesReader(num_images=60, image_size=32)
    category = [c.name for c in reader.categories]
    samples = [reader[row] for row in range(len(reader))]
    found = {}
    for concept in reader.vocabulary:
        if concept.name not in rows["paper"]:
            continue
        every = np.stack([(s.label_maps == concept.number).any(0).numpy() for s in samples])
        here, train = every.any((1, 2)), reader.is_train
        asked = reader.annotated[:, category.index(concept.category)] & ~train
        found[concept.name] = (
            every[here & train],
            every[here & ~train],
            every[asked | here & ~train],
        )
    return found


def set_iou(called: np.ndarray, mask: np.ndarray) -> float:
    return float((called & mask).sum() / (called | mask).sum())


def test_every_concept_stands_beside_every_level(rows: Rows, out: Path) -> None:
    assert list(rows) == [
        "paper",
        "paper, calibrated",
        "mean_difference",
        "lda",
        "random direction",
        "single filter, calibrated",
        "everything",
        "position",
        "single filter",
    ]
    scored = [r["name"] for r in read_table(out / "concepts.csv") if r["multi_val"] != "nan"]
    assert len(scored) > 20
    for of_probe in rows.values():
        assert set(scored) <= set(of_probe)


def test_everything_scores_the_share_of_pixels(
    rows: Rows, masks: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    for name, row in rows["everything"].items():
        train, val, annotated = masks[name]
        assert float(row["train"]) == pytest.approx(train.mean(), abs=1e-12)
        assert float(row["val"]) == pytest.approx(val.mean(), abs=1e-12)
        assert float(row["ap"]) == pytest.approx(val.mean(), abs=1e-12)
        assert float(row["annotated"]) == pytest.approx(annotated.mean(), abs=1e-12)
        assert int(row["n_val"]) == len(val)
        assert row["cosine"] == row["over_reference"] == "nan"
        assert row["known"] == ""


def test_position_is_the_mean_mask_cut_where_train_is_best(
    rows: Rows, masks: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    floors = bin_floors().numpy()
    for name, row in rows["position"].items():
        train, val, annotated = masks[name]
        size = MASK // GRID
        share = train.reshape(-1, GRID, size, GRID, size).mean((0, 2, 4))
        place = torch.from_numpy(share / share.max())[None, None].float()
        up = interpolate(place, (MASK, MASK), mode="bilinear", align_corners=True)[0, 0]
        score = up.double().numpy()

        def called(cut: float, of: np.ndarray, score: np.ndarray = score) -> np.ndarray:
            return np.broadcast_to(score > cut, of.shape)

        found = [set_iou(called(floor, train), train) for floor in floors]
        exact = max(set_iou(called(cut, train), train) for cut in np.unique(score) - 1e-6)
        assert float(row["train"]) == pytest.approx(max(found), abs=2e-3), name
        assert float(row["train"]) == pytest.approx(exact, abs=0.01), name
        cut = floors[np.flatnonzero(np.array(found) == max(found))[-1]]
        assert float(row["val"]) == pytest.approx(set_iou(called(cut, val), val), abs=2e-3), name
        wide = set_iou(called(cut, annotated), annotated)
        assert float(row["annotated"]) == pytest.approx(wide, abs=2e-3), name


def test_the_runs_own_rows_are_those_of_concepts(rows: Rows, out: Path) -> None:
    concepts = by_name(out / "concepts.csv")
    pairs = {"id": "id", "category": "category", "n_val": "n_val", "val": "multi_val"}
    pairs |= {"ap": "ap_val", "over_reference": "over_reference", "known": "known"}
    pairs |= {f"over_reference_{end}": f"over_reference_{end}" for end in ("low", "high")}
    for name, row in rows["paper"].items():
        for column, other in pairs.items():
            assert row[column] == concepts[name][other], (name, column)
        assert float(row["gain"]) == 0
        assert float(row["cosine"]) == pytest.approx(1)
    for name, row in rows["single filter"].items():
        assert row["val"] == concepts[name]["single_val"], name
        gain = float(row["val"]) - float(concepts[name]["multi_val"])
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-12, nan_ok=True)


def test_the_reference_of_a_concept_is_its_best_level(rows: Rows, out: Path) -> None:
    levels = [rows[name] for name in ("everything", "position", "random direction")]
    names = ("everything", "position", "random direction")
    chosen = set()
    for name, concept in by_name(out / "concepts.csv").items():
        if name not in levels[0]:
            assert (concept["reference"], concept["known"]) == ("", "")
            continue
        scores = [float(level[name]["val"]) for level in levels]
        assert float(concept["reference_val"]) == max(scores)
        assert scores[names.index(concept["reference"])] == max(scores)
        gain = float(concept["multi_val"]) - max(scores)
        assert float(concept["over_reference"]) == pytest.approx(gain, abs=1e-12)
        chosen.add(concept["reference"])
    assert len(chosen) > 1


def test_a_calibrated_probe_is_no_worse_on_train(rows: Rows, out: Path) -> None:
    concepts = by_name(out / "concepts.csv")
    for name, row in rows["paper, calibrated"].items():
        assert float(row["train"]) >= float(concepts[name]["multi_train"]) - 1e-3
        assert float(row["cosine"]) == pytest.approx(1)
    for name, row in rows["single filter, calibrated"].items():
        # Its candidates include the filter that is best at the common threshold.
        assert float(row["train"]) >= float(concepts[name]["single_train"]) - 0.02, name


@pytest.mark.parametrize("column", ["annotated", "argmax"])
def test_scores_that_heed_false_alarms_are_there_for_all_that_has_maps(
    column: str, rows: Rows
) -> None:
    for name, of_probe in rows.items():
        values = np.array([float(row[column]) for row in of_probe.values()])
        assert np.isnan(values).all() == (name == "single filter"), name
        if name != "single filter":
            assert (values >= 0).all()
            assert (values <= 1).all()


def test_false_alarms_on_other_images_cost(
    rows: Rows, masks: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    for probe in ("paper", "lda", "everything", "position"):
        for name in masks:
            row = rows[probe][name]
            assert float(row["annotated"]) <= float(row["val"]) + 1e-12


def test_random_directions_differ_and_bins_of_logits_resolve_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of many filters that are never negative, the scores of a drawn direction are far from 0."""
    found: list[Solution] = []

    def noted(job: LayerJob, scaled: Scaled) -> Solution:
        found.append(drawn(job, scaled))
        covariance, weight = scaled.covariance, found[0].weight
        spread = (weight @ covariance * weight).sum(1).sqrt()
        torch.testing.assert_close(spread, torch.ones_like(spread))
        torch.testing.assert_close(weight @ scaled.mean, -found[0].bias)
        assert ((weight @ scaled.mean).abs() > 1).any()
        return found[0]

    drawn = worth._random
    monkeypatch.setattr(worth, "_random", noted)
    options = [*without(QUICK, "beside"), "data.categories=[color]", "protocol=lda"]
    assert run_cli(monkeypatch, tmp_path, *options, "run.dir=out") == 0
    (weight,) = (one.weight for one in found)
    across = torch.corrcoef(weight) - torch.eye(len(weight))
    assert across.abs().max() < 0.5


class Opponents(nn.Module):
    """Differences of colours: activations of either sign.

    Args:
        sign: What they are multiplied by.
        rectified: Whether a ReLU cuts them at 0.
    """

    def __init__(self, sign: float, *, rectified: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=8, bias=False)
        self.act = nn.ReLU() if rectified else nn.Identity()
        mixed = torch.tensor([[1, -1, 0], [1, 0, -1], [0, 1, -1], [1, 1, -2]])
        with torch.no_grad():
            self.conv.weight.copy_(sign * mixed[:, :, None, None].expand(4, 3, 8, 8) / 64)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv(images))
        return out


def calibrated_single(sign: float, *, rectified: bool = False) -> dict[str, float]:
    data = ShapesReader(num_images=60, image_size=32)
    network = Opponents(sign, rectified=rectified)
    bank = learn(network, "act", data=data, protocol="lda", seed=0)
    return {r.name: r.val.value for r in bank.tables["probes"] if r.probe == worth.SINGLE_TUNED}


def test_a_filter_tells_a_concept_from_either_side_where_activations_have_a_sign() -> None:
    above, below = calibrated_single(1), calibrated_single(-1)
    # What is best at the common threshold, where only high activations count, may be one more.
    assert sum(abs(below[name] - above[name]) > 0.01 for name in above) <= 1
    # Behind a ReLU a filter is one-sided: what falls below zero is cut off.
    above, below = calibrated_single(1, rectified=True), calibrated_single(-1, rectified=True)
    assert max(abs(above[name] - below[name]) for name in above) > 0.1
