"""``task=predict`` with the banks of a planted run, worked out by hand from pixels and weights."""

import contextlib
import io
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from support.cli import read_table, run_cli
from support.planted_run import CONCEPTS, FILTERS, SIZE, PlantedImages, floor, gain
from torchvision.transforms.functional import resize

from net2vec_pl.figures.overlay import draw_overlay
from proofs.conftest import PlantedRun

Floats = npt.NDArray[np.float64]
LEVELS = (55, 105, 155, 205, 255)
SEGMENTED = list(CONCEPTS)[:-1]
# Category -> its concepts, and their colours in the palette.
SHEETS = {
    "object": ["ball", "cup", "dog"],
    "part": ["ear", "fin"],
    "color": ["red-c", "grey-c"],
}
COLOURS = ["#0072b2", "#e69f00", "#009e73"]


@dataclass(frozen=True)
class Prediction:
    """What a prediction left, and what it printed.

    Args:
        folder: Of the prediction.
        console: The text.
        photographs: Name -> pixels (3, H, W), in the order of the files.
    """

    folder: Path
    console: str
    photographs: dict[str, torch.Tensor]

    def labels(self, category: str, name: str) -> npt.NDArray[np.uint8]:
        """Return a mask as it was written."""
        image = Image.open(self.folder / "masks" / category / f"{name}.png")
        assert image.mode == "P"
        return np.asarray(image)

    def told(self) -> list[list[str]]:
        """Return the rows of the table that was printed."""
        lines = [line for line in self.console.splitlines() if line.startswith("│")]
        return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


@pytest.fixture(scope="module")
def photographs(run: PlantedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some val images as files, one of them larger, and a file that is no photograph."""
    folder = tmp_path_factory.mktemp("predicted") / "photos"
    (folder / "more").mkdir(parents=True)
    reader = PlantedImages(run.drawn)
    val = np.flatnonzero(~run.drawn.is_train).tolist()
    for row, name, (down, across) in zip(
        val, ("a.png", "b.png", "more/a.png", "more/d.png"), ((1, 1), (2, 3), (1, 1), (1, 1)),
        strict=False,
    ):  # fmt: skip
        pixels = reader[row].image.permute(1, 2, 0).numpy().repeat(down, 0).repeat(across, 1)
        Image.fromarray(pixels).save(folder / name)
    (folder / "c.jpg").write_bytes(b"no photograph")
    return folder


def predict(run: PlantedRun, photographs: Path, name: str, *options: str) -> Prediction:
    """Predict in the folder above the photographs."""
    said, folder = io.StringIO(), photographs.parent
    quiet = ["trainer=cpu", "callbacks.progress=false", "images=photos", f"run.dir={name}"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("COLUMNS", "200")
        patch.setenv("PYTHONPATH", str(run.folder.parent))
        weights = f"weights={run.folder.parent / 'network.safetensors'}"
        assert run_cli(patch, folder, "task=predict", weights, *quiet, *options) == 0
    images = {
        path.relative_to(photographs).with_suffix("").as_posix(): torch.from_numpy(
            np.asarray(Image.open(path)).transpose(2, 0, 1).copy()
        )
        for path in sorted(photographs.rglob("*.png"))
    }
    return Prediction(folder / name, said.getvalue(), images)


@pytest.fixture(scope="module")
def every(run: PlantedRun, photographs: Path) -> Prediction:
    """All concepts, masks of the photographs' own size, two photographs at a time."""
    return predict(run, photographs, "every", f"bank={run.folder}", "loader.batch_size=2")


@pytest.fixture(scope="module")
def some(run: PlantedRun, photographs: Path) -> Prediction:
    """Some concepts, masks of the run's size, and probabilities."""
    return predict(
        run, photographs, "some", f"bank={run.folder / 'bank.safetensors'}", "size=mask",
        "probabilities=true", 'concepts=["*-c",dog]',
    )  # fmt: skip


@pytest.fixture(scope="module")
def classes(run: PlantedRun, photographs: Path) -> Prediction:
    """What the classifiers say."""
    bank = run.folder / "classification.safetensors"
    return predict(run, photographs, "classes", f"bank={bank}")


# -------------------- by hand


def seen(pixels: torch.Tensor) -> npt.NDArray[np.int64]:
    """Return the brightness of what the network sees, (3, h, w)."""
    fitted = resize(pixels, [SIZE, SIZE], antialias=True)
    return np.asarray(fitted.numpy().astype(np.int64))


def bits(pixels: torch.Tensor) -> npt.NDArray[np.bool_]:
    """Return where each filter fires: where its channel is less than 32 from its level."""
    image = seen(pixels)
    fired = [abs(image[k // 5] - LEVELS[k % 5]) < 32 for k in range(FILTERS - 1)]
    return np.stack([*fired, np.zeros_like(fired[0])])


def logits(run: PlantedRun, pixels: torch.Tensor) -> dict[str, Floats]:
    """Return the logits of every concept on the grid."""
    weight = run.bank.weight.double().numpy()
    maps = np.einsum("ck,khw->chw", weight, bits(pixels))
    return dict(zip(SEGMENTED, maps, strict=True))


def enlarged(grid: Floats, size: tuple[int, int]) -> Floats:
    """Upsample linearly, so that corners lie on corners."""
    height, width = grid.shape
    out = np.empty(size)
    for i, j in itertools.product(range(size[0]), range(size[1])):
        y, x = i * (height - 1) / (size[0] - 1), j * (width - 1) / (size[1] - 1)
        top, left = min(int(y), height - 2), min(int(x), width - 2)
        down, right = y - top, x - left
        square = grid[top : top + 2, left : left + 2]
        out[i, j] = [1 - down, down] @ square @ [1 - right, right]
    return out


def maps_of(
    run: PlantedRun, pixels: torch.Tensor, size: tuple[int, int] | None = None
) -> dict[str, Floats]:
    """Return the logits of every concept at the size of the photograph, or at another."""
    height, width = size or tuple(pixels.shape[1:])
    return {n: enlarged(grid, (height, width)) for n, grid in logits(run, pixels).items()}


def sigmoid(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-value)))


def winners(maps: dict[str, Floats], names: list[str]) -> npt.NDArray[np.uint8]:
    """Return the place of the concept of the largest logit above 0, from 1; else 0."""
    stacked = np.stack([maps[name] for name in names])
    labels = np.where(stacked.max(0) > 0, stacked.argmax(0) + 1, 0)
    return np.asarray(labels.astype(np.uint8))


def short(value: float) -> str:
    return f"{float(value):.6g}"


# -------------------- masks


@pytest.mark.parametrize("category", SHEETS)
def test_at_every_pixel_the_likeliest_concept_above_one_half_wins(
    category: str, every: Prediction, run: PlantedRun
) -> None:
    found = set()
    for name, pixels in every.photographs.items():
        labels = every.labels(category, name)
        assert labels.shape == tuple(pixels.shape[1:])
        wanted = winners(maps_of(run, pixels), SHEETS[category])
        np.testing.assert_array_equal(labels, wanted, name)
        found |= set(np.unique(labels).tolist())
    assert len(found) > 1


def test_the_masks_of_the_right_size_are_those_of_what_was_planted(
    every: Prediction, run: PlantedRun
) -> None:
    val = np.flatnonzero(~run.drawn.is_train)
    checked = 0
    for at, name in ((0, "a"), (2, "more/a"), (3, "more/d")):
        for concept in ("ball", "cup", "dog"):  # several filters find these without fault
            index = SHEETS["object"].index(concept) + 1
            planted = run.drawn.masks[val[at], list(CONCEPTS).index(concept)]
            if planted.any():
                found = every.labels("object", name) == index
                np.testing.assert_array_equal(found, planted)
                checked += 1
    assert checked > 3


def test_masks_carry_the_colours_of_the_palette(every: Prediction) -> None:
    assert read_table(every.folder / "palette.csv") == [
        {"folder": of, "index": str(i), "concept": name, "category": of, "colour": COLOURS[i - 1]}
        for of, names in SHEETS.items()
        for i, name in enumerate(names, start=1)
    ]
    palette = Image.open(every.folder / "masks" / "object" / "a.png").getpalette()
    assert palette is not None
    colours = [bytes(palette[3 * i : 3 * i + 3]).hex() for i in range(4)]
    assert colours == ["000000", *(colour[1:] for colour in COLOURS)]


def test_masks_of_the_runs_size_are_asked_for_by_name(some: Prediction, run: PlantedRun) -> None:
    assert sorted(p.name for p in (some.folder / "masks").iterdir()) == ["color", "object"]
    for name, pixels in some.photographs.items():
        maps = maps_of(run, pixels, (SIZE, SIZE))
        np.testing.assert_array_equal(some.labels("object", name), winners(maps, ["dog"]))
        colours = winners(maps, ["red-c", "grey-c"])
        np.testing.assert_array_equal(some.labels("color", name), colours)
    assert [(row["folder"], row["index"], row["concept"]) for row in read_table(
        some.folder / "palette.csv"
    )] == [("object", "1", "dog"), ("color", "1", "red-c"), ("color", "2", "grey-c")]  # fmt: skip


@pytest.mark.parametrize("category", SHEETS)
def test_overlays_show_the_masks_over_the_photograph(
    category: str, every: Prediction, run: PlantedRun
) -> None:
    colours = np.array([list(bytes.fromhex(c[1:])) for c in COLOURS], np.uint8)
    names = SHEETS[category]
    for name, pixels in every.photographs.items():
        height, width = pixels.shape[1:]
        share = 480 / max(height, width)
        size = [round(height * share), round(width * share)]
        shown = resize(pixels, size, antialias=True).numpy()
        labels = winners(maps_of(run, pixels), names)
        drawn, file = draw_overlay(shown, labels, names, colours[: len(names)]), io.BytesIO()
        drawn.save(file, "jpeg", quality=90)
        found = every.folder / "overlays" / category / f"{name}.jpg"
        assert found.read_bytes() == file.getvalue()


def test_probabilities_are_those_of_the_logits(some: Prediction, run: PlantedRun) -> None:
    for name, pixels in some.photographs.items():
        with np.load(some.folder / "probabilities" / f"{name}.npz", allow_pickle=False) as held:
            assert held["names"].tolist() == ["dog", "red-c", "grey-c"]
            names, found = held["names"].tolist(), held["probabilities"]
        assert found.shape == (3, SIZE, SIZE)
        assert found.dtype == np.float16
        maps = maps_of(run, pixels, (SIZE, SIZE))
        wanted = np.stack([maps[concept] for concept in names])
        np.testing.assert_allclose(found, sigmoid(wanted), atol=6e-4)
        np.testing.assert_array_equal(found > 0.5, wanted > 0)


def test_probabilities_are_written_only_where_they_are_asked_for(
    every: Prediction, some: Prediction
) -> None:
    assert not (every.folder / "probabilities").exists()
    assert len(list((some.folder / "probabilities").rglob("*.npz"))) == 4


# -------------------- scores


def score_rows(
    run: PlantedRun, prediction: Prediction, names: list[str], size: tuple[int, int] | None = None
) -> list[dict[str, str]]:
    """Return all rows of ``scores.csv``; a score is the largest of the grid."""
    known, rows = run.concepts(), []
    for photograph, pixels in prediction.photographs.items():
        grids, maps = logits(run, pixels), maps_of(run, pixels, size)
        for name in names:
            rows.append({
                "image": f"photos/{photograph}.png",
                "name": photograph,
                "concept": name,
                "category": CONCEPTS[name][1],
                "score": short(float(sigmoid(grids[name].max()))),
                "area": short(float((maps[name] > 0).mean())),
                "multi_val": short(float(known[name]["multi_val"])),
            })  # fmt: skip
    return rows


def assert_same_rows(found: list[dict[str, str]], wanted: list[dict[str, str]]) -> None:
    """Compare tables whose scores may differ in the last digit."""
    assert [row | {"score": ""} for row in found] == [row | {"score": ""} for row in wanted]
    np.testing.assert_allclose(
        [float(row["score"]) for row in found], [float(row["score"]) for row in wanted], rtol=1e-5
    )


def test_scores_are_the_largest_probability_and_the_share_of_the_picture(
    every: Prediction, some: Prediction, run: PlantedRun
) -> None:
    found = read_table(every.folder / "scores.csv")
    assert_same_rows(found, score_rows(run, every, SEGMENTED))
    assert list(found[0]) == ["image", "name", "concept", "category", "score", "area", "multi_val"]
    wanted = score_rows(run, some, ["dog", "red-c", "grey-c"], (SIZE, SIZE))
    assert_same_rows(read_table(some.folder / "scores.csv"), wanted)


def test_the_concepts_found_most_often_and_best_known_are_told_first(
    every: Prediction, run: PlantedRun
) -> None:
    rows, known = score_rows(run, every, SEGMENTED), run.concepts()
    table = []
    for place, name in enumerate(SEGMENTED):
        areas = [float(row["area"]) for row in rows if row["concept"] == name]
        value = float(known[name]["multi_val"])
        count, mean = sum(area > 0 for area in areas), sum(areas) / 4
        cells = [name, CONCEPTS[name][1], str(count), f"{mean:.1%}", f"{value:.3f}"]
        table.append(((-count, -value, -mean, place), cells))
    assert every.told() == [cells for _, cells in sorted(table)]
    assert len({cells[2] for cells in every.told()}) > 1
    assert "Concepts in 4 images" in every.console
    heading = next(line for line in every.console.splitlines() if "found in" in line)
    assert [cell.strip() for cell in heading.strip("┃").split("┃")] == [
        "concept", "category", "found in", "mean area", "set IoU on val",
    ]  # fmt: skip


def test_what_cannot_be_read_is_listed_and_counted(every: Prediction) -> None:
    (row,) = read_table(every.folder / "skipped.csv")
    assert row["image"] == "photos/c.jpg"
    assert "c.jpg cannot be decoded" in row["fault"]
    assert "skipped: 1 of 5, see skipped.csv" in every.console


def test_the_last_lines_name_all_that_was_left(
    every: Prediction, some: Prediction, classes: Prediction
) -> None:
    for prediction, names in (
        (every, ["masks", "overlays", "scores.csv", "palette.csv", "skipped.csv"]),
        (some, ["masks", "overlays", "probabilities", "scores.csv", "palette.csv", "skipped.csv"]),
        (classes, ["scores.csv", "skipped.csv"]),
    ):
        last = prediction.console.splitlines()[-len(names) - 1 :]
        assert last[1:] == [str(prediction.folder / name) for name in names]
        assert not last[0].startswith(str(prediction.folder))


def test_it_is_logged_which_network_is_asked_of_how_many_concepts(
    every: Prediction, some: Prediction
) -> None:
    assert "custom at early: 7 concepts, on cpu" in every.console
    assert "custom at early: 3 concepts, on cpu" in some.console


# -------------------- classifiers


def test_classifiers_score_images_by_their_mean_activations(
    classes: Prediction, run: PlantedRun
) -> None:
    bank, known = run.classifiers, run.concepts("classification")
    assert bank.bias is not None
    wanted = []
    for photograph, pixels in classes.photographs.items():
        image = seen(pixels)
        activation = np.array(
            [
                floor(k)
                + gain(k) * np.maximum(1 - abs(image[k // 5] - LEVELS[k % 5]) / 32, 0).mean()
                for k in range(FILTERS - 1)
            ]
            + [0.0]
        )
        scores = sigmoid(bank.weight.double().numpy() @ activation + bank.bias.double().numpy())
        wanted += [
            {
                "image": f"photos/{photograph}.png",
                "name": photograph,
                "concept": name,
                "category": CONCEPTS[name][1],
                "score": short(score),
                "accuracy": short(float(known[name]["accuracy"])),
            }
            for name, score in zip(CONCEPTS, scores.tolist(), strict=True)
        ]
    found = read_table(classes.folder / "scores.csv")
    assert_same_rows(found, wanted)
    assert list(found[0]) == list(wanted[0])
    table = []
    for place, name in enumerate(CONCEPTS):
        count = sum(float(r["score"]) > 0.5 for r in wanted if r["concept"] == name)
        value = float(known[name]["accuracy"])
        cells = [name, CONCEPTS[name][1], str(count), f"{value:.3f}"]
        table.append(((-count, -value, place), cells))
    assert classes.told() == [cells for _, cells in sorted(table)]
    heading = next(line for line in classes.console.splitlines() if "found in" in line)
    assert heading.split("┃")[-2].strip() == "accuracy on val"
