"""Masks, overlays and scores of photographs: those of the run, of the right pixels, of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from rich.console import Console
from support.cli import QUICK, read_table, run_cli
from support.fake_data.photographs import picture, write_awkward, write_damaged
from support.real import LAYER, first_rows

from net2vec_pl.concepts import Concept
from net2vec_pl.data import ConceptReader
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.datasets.images.any_image import read_any_image
from net2vec_pl.errors import ConfigError
from net2vec_pl.functional.resize import bilinear_matrix, upsample
from net2vec_pl.inference import Bank, load_bank
from net2vec_pl.predict import masks
from net2vec_pl.predict.sources import _looks_like_image, find_images
from net2vec_pl.predict.tables import ScoreTable

QUIET = ["task=predict", "trainer=cpu", "callbacks.progress=false", "run.dir=out"]
Row = dict[str, str]


@dataclass
class Run:
    """A run that has finished, its dataset, and its val images as files."""

    folder: Path
    reader: ConceptReader
    photographs: Path

    @property
    def bank(self) -> Bank:
        return load_bank(self.folder)

    @property
    def val(self) -> list[int]:
        return [row for row in range(len(self.reader)) if not self.reader.is_train[row]]

    def set_iou(self, concept: Concept, predicted: Sequence[npt.NDArray[np.bool_]]) -> float:
        """Score masks of the val images as the run does, over those that contain the concept."""
        inter = union = 0
        for row, mask in zip(self.val, predicted, strict=True):
            truth = (self.reader[row].label_maps == concept.number).any(0).numpy()
            if truth.any():
                inter, union = inter + (truth & mask).sum(), union + (truth | mask).sum()
        return inter / union


def with_photographs(folder: Path, reader: ConceptReader) -> Run:
    """Write the val images of a run's dataset as photographs, named in their order."""
    run = Run(folder, reader, folder.parent / "photographs")
    run.photographs.mkdir()
    for row in run.val:
        pixels = reader[row].image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(run.photographs / f"{row:04}.png")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *QUICK, "target=both", "run.dir=run") == 0
    return with_photographs(folder / "run", ShapesReader(num_images=60, image_size=32))


def predicted(patch: pytest.MonkeyPatch, folder: Path, run: Run, *arguments: str) -> Path:
    assert run_cli(patch, folder, *QUIET, f"bank={run.folder}", *arguments) == 0
    return folder / "out"


def labels(out: Path, folder: str, name: str) -> npt.NDArray[np.uint8]:
    image = Image.open(out / "masks" / folder / f"{name}.png")
    assert image.mode == "P"
    return np.asarray(image)


def expected_labels(bank: Bank, pixels: torch.Tensor, names: list[str]) -> npt.NDArray[np.int64]:
    """Return literally what a mask is: the likeliest of some concepts, if above one half."""
    height, width = pixels.shape[1:]
    probability = bank.probabilities(pixels, names, size=(height, width))[0].double().numpy()
    best = probability.argmax(0) + 1
    return np.where(probability.max(0) > 0.5, best, 0)


# -------------------- the masks of the run


def check_masks_of_the_run(patch: pytest.MonkeyPatch, folder: Path, run: Run) -> None:
    scores = {row["name"]: row for row in read_table(run.folder / "concepts.csv")}
    wanted = ["size=mask", "probabilities=true", f"images={run.photographs}"]
    out = predicted(patch, folder, run, *wanted)
    archives = [np.load(p) for p in sorted((out / "probabilities").glob("*.npz"))]
    vocabulary = run.bank.vocabulary
    assert archives[0]["names"].tolist() == vocabulary.names
    by_image = [archive["probabilities"] for archive in archives]
    assert by_image[0].dtype == np.float16
    checked = 0
    for c, concept in enumerate(vocabulary):
        known = float(scores[concept.name]["multi_val"])
        if np.isfinite(known):
            found = run.set_iou(concept, [maps[c] > 0.5 for maps in by_image])
            assert found == pytest.approx(known, abs=1e-6), concept.name
            checked += found > 0
    assert checked > 5
    segmented = run.bank.segment(sorted(run.photographs.glob("*.png"))).numpy()
    assert np.array_equal(np.stack(by_image) > 0.5, segmented)
    areas = {(r["name"], r["concept"]): float(r["area"]) for r in read_table(out / "scores.csv")}
    for i, row in enumerate(run.val):
        for c, name in enumerate(vocabulary.names):
            assert areas[f"{row:04}", name] == pytest.approx(segmented[i, c].mean(), abs=1e-5)


def test_masks_of_a_runs_own_val_images_are_those_that_it_scored(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_masks_of_the_run(monkeypatch, tmp_path, run)


def test_masks_of_real_val_images_are_those_that_the_run_scored(
    shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = (shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth").resolve()
    root = first_rows(shared / "data" / "camvid_broden_224", tmp_path / "few", 24)
    arguments = [
        "data=broden", f"data.root={root}", "model=mobilenet_v2", f"model.weights={weights}",
        f"layer={LAYER}", "protocol.epochs=2", "run.dir=run", "callbacks.progress=false",
        "trainer=cpu", "analysis=none", "report=false", "loader.workers=0",
    ]  # fmt: skip
    assert run_cli(monkeypatch, tmp_path, *arguments) == 0
    check_masks_of_the_run(
        monkeypatch, tmp_path, with_photographs(tmp_path / "run", BrodenReader(root))
    )


def test_a_concept_asked_for_alone_has_the_mask_that_it_has_among_many(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    concept = run.bank.vocabulary[run.bank.vocabulary.row("sky")]
    asked = ["concepts=sky", "size=mask", f"images={run.photographs}"]
    out = predicted(monkeypatch, tmp_path, run, *asked)
    found = [labels(out, concept.category, f"{row:04}") for row in run.val]
    segmented = run.bank.segment(sorted(run.photographs.glob("*.png")))
    among = segmented[:, run.bank.names.index("sky")].numpy()
    assert np.array_equal(np.stack(found) == 1, among)
    (known,) = [r for r in read_table(run.folder / "concepts.csv") if r["name"] == "sky"]
    score = run.set_iou(concept, [mask == 1 for mask in found])
    assert score == pytest.approx(float(known["multi_val"]), abs=1e-6)
    (palette,) = read_table(out / "palette.csv")
    assert (palette["concept"], palette["index"]) == ("sky", "1")
    assert {r["multi_val"] for r in read_table(out / "scores.csv")} == {
        f"{float(known['multi_val']):.6g}"
    }


def test_nothing_depends_on_how_many_photographs_go_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = []
    for size, workers in ((1, 0), (5, 3)):
        folder = tmp_path / str(size)
        folder.mkdir()
        loader = [f"loader.batch_size={size}", f"loader.workers={workers}"]
        few = f'images="{run.photographs}/*[0-4].png"'
        out = predicted(monkeypatch, folder, run, few, *loader)
        files = [p for p in out.rglob("*.*") if p.suffix in (".png", ".jpg", ".csv")]
        left.append({p.relative_to(out): p.read_bytes() for p in files})
    assert left[0] == left[1]
    assert len(left[0]) > 40


def test_scores_are_those_of_the_bank(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = predicted(monkeypatch, tmp_path, run, f"images={run.photographs}", "concepts=[s*,red-c]")
    rows = read_table(out / "scores.csv")
    names = list(dict.fromkeys(row["concept"] for row in rows))
    assert "red-c" in names
    assert {"sky"} <= {name for name in names if name.startswith("s")}
    assert len(names) < len(run.bank)
    scores = run.bank.score(sorted(run.photographs.glob("*.png")), names).flatten()
    found = torch.tensor([float(row["score"]) for row in rows])
    torch.testing.assert_close(found, scores, rtol=0, atol=1e-5)


def test_a_classification_bank_leaves_scores_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bank = run.folder / "classification.safetensors"
    arguments = [*QUIET, f"bank={bank}", f"images={run.photographs}"]
    assert run_cli(monkeypatch, tmp_path, *arguments) == 0
    rows = read_table(tmp_path / "out" / "scores.csv")
    scores = load_bank(bank).score(sorted(run.photographs.glob("*.png"))).flatten()
    found = torch.tensor([float(row["score"]) for row in rows])
    torch.testing.assert_close(found, scores, rtol=0, atol=1e-5)
    assert "area" not in rows[0]
    known = {r["name"]: float(r["accuracy"]) for r in read_table(run.folder / "classification.csv")}
    for row in rows:
        assert float(row["accuracy"]) == pytest.approx(known[row["concept"]], abs=1e-5, nan_ok=True)
    assert not (tmp_path / "out" / "masks").exists()


# -------------------- photographs of all kinds


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_awkward_photograph_is_lost_and_damaged_ones_are_listed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    awkward = write_awkward(tmp_path / "photos" / "awkward kinds")
    damaged = write_damaged(tmp_path / "photos" / "damaged")
    (tmp_path / "photos" / "notes.txt").write_text("no image, and not called like one")
    asked = 'concepts=[sky,car,road,"*-c"]'
    out = predicted(monkeypatch, tmp_path, run, "images=photos", asked)
    skipped = {Path(row["image"]).name: row["fault"] for row in read_table(out / "skipped.csv")}
    assert skipped.keys() == damaged.keys()
    for name, message in damaged.items():
        assert message in skipped[name]
    assert f"skipped: {len(damaged)} of {len(damaged) + len(awkward)}" in capsys.readouterr().out
    written = {row["image"]: row["name"] for row in read_table(out / "scores.csv")}
    assert {Path(image).name for image in written} == awkward.keys()
    assert len(set(written.values())) == len(awkward)
    names_of: dict[str, list[str]] = {}
    for row in read_table(out / "palette.csv"):
        names_of.setdefault(row["folder"], []).append(row["concept"])
    assert names_of["object"] == ["sky", "road", "car"]
    bank = run.bank
    for image, name in written.items():
        pixels = read_any_image(tmp_path / image)
        assert tuple(pixels.shape[1:]) == awkward[Path(image).name][0].shape[:2]
        for category, names in names_of.items():
            found = labels(out, category, name)
            assert np.array_equal(found, expected_labels(bank, pixels, names)), image
            assert (out / "overlays" / category / f"{name}.jpg").exists()


def test_an_image_named_by_its_path_is_taken_whatever_it_is_called(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Image.fromarray(picture()).save(tmp_path / "a =, b", "PNG")
    out = predicted(monkeypatch, tmp_path, run, 'images="a =, b"', "concepts=[sky]")
    assert labels(out, "object", "a =, b").shape == picture().shape[:2]


# -------------------- which files


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found_names(*given: Path | str) -> list[str]:
    return [source.name for source in find_images([str(g) for g in given])]


def test_photographs_keep_their_folders_and_their_suffix_where_names_clash(tmp_path: Path) -> None:
    touched(tmp_path, "a/x.jpg", "b/x.jpg", "b/x.png", "b/x.jpg.png", "c/d/y.TIFF", "notes.txt")
    touched(tmp_path, ".hidden/z.jpg", "a/.z.jpg", "a/z.heic", "data.h5")
    everything = ["a/x", "a/z", "b/x.jpg", "b/x.jpg.png", "b/x.png", "c/d/y"]
    assert found_names(tmp_path) == everything
    assert found_names(tmp_path, tmp_path / "a", tmp_path / "b" / "x.png") == everything
    assert found_names(tmp_path / "a", tmp_path / "c") == ["a/x", "a/z", "c/d/y"]
    assert found_names(tmp_path / "*" / "x.jpg") == ["a/x", "b/x"]
    assert found_names(tmp_path / "**" / "*.TIFF") == ["c/d/y"]
    assert found_names(tmp_path / "notes.txt") == ["notes"]


def test_whatever_pil_knows_and_photographs_that_it_cannot_read_are_found() -> None:
    Image.init()
    no_photographs = {".h5", ".hdf", ".grib", ".bufr", ".ps", ".mpg", ".mpeg", ".pdf", ".palm"}
    for suffix in {*Image.registered_extensions()} - no_photographs:
        assert _looks_like_image(Path(f"x{suffix}")), suffix
        assert _looks_like_image(Path(f"x{suffix.upper()}")), suffix
    for suffix in (".mpo", ".heic", ".hif", ".cr3", ".nef", ".srw", ".jxl", ".exr", ".dcm"):
        assert _looks_like_image(Path(f"x{suffix}")), suffix
    for suffix in ("", ".txt", ".csv", ".json", ".mp4", ".xml", ".npy", *no_photographs):
        assert not _looks_like_image(Path(f"x{suffix}")), suffix


def test_the_photograph_of_two_lenses_is_read(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((8, 8, 3), grey, np.uint8)) for grey in (50, 200))
    first.save(tmp_path / "x.mpo", save_all=True, append_images=[second])
    assert found_names(tmp_path) == ["x"]
    assert (read_any_image(tmp_path / "x.mpo").float().mean() - 50).abs() < 2


def test_links_between_folders_are_followed_once(tmp_path: Path) -> None:
    touched(tmp_path, "a/x.jpg", "elsewhere/y.jpg")
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "there").symlink_to(tmp_path / "elsewhere")
    assert found_names(tmp_path / "a") == ["x", "there/y"]


def test_a_name_that_is_a_pattern_too_is_a_name(tmp_path: Path) -> None:
    touched(tmp_path, "x[1].jpg", "x1.jpg")
    assert found_names(tmp_path / "x[1].jpg") == ["x[1]"]


# -------------------- masks from logits


@pytest.mark.parametrize(
    ("size", "count"), [((1, 1), 3), ((5, 7), 1), ((300, 20), 40), ((9, 4), 255)]
)
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_strongest_concept_is_the_literal_one(
    size: tuple[int, int], count: int, align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "_TILE", (7, 5))
    torch.manual_seed(count)
    logits = torch.randn(count, 4, 3) - 1
    if count > 1:
        logits[1] = torch.nan
    found, pixels = masks.strongest(logits, size, align_corners=align_corners)
    matrices = [
        bilinear_matrix(a, b, align_corners=align_corners)
        for a, b in zip((4, 3), size, strict=True)
    ]
    maps = upsample(logits, *matrices).nan_to_num(-1.0)
    value, which = maps.max(0)
    assert torch.equal(found.long(), torch.where(value > 0, which + 1, 0))
    assert torch.equal(pixels, (maps > 0).sum((1, 2)))


def test_rounded_probabilities_say_the_same_of_one_half() -> None:
    logits = torch.tensor([-1e-3, -1e-6, 0.0, 1e-6, 1e-3, 40.0, torch.nan])[:, None, None]
    maps = list(masks.probability_maps(logits, (1, 1), align_corners=False))
    assert [bool(m > 0.5) for m in maps] == [False, False, False, True, True, True, False]


def test_a_concept_of_several_categories_is_on_the_sheet_of_its_first() -> None:
    sky = Concept(1, "sky", "object", ("object", "scene"), True)
    street = Concept(2, "street", "scene", ("scene", "object"), True)
    sheets = masks.sheets_of([sky, street])
    assert [(s.folder, s.columns) for s in sheets] == [("object", [0]), ("scene", [1])]
    assert [s.concepts for s in sheets] == [[sky], [street]]


def test_a_category_of_more_concepts_than_a_palette_takes_several_folders() -> None:
    concepts = [Concept(i + 1, f"c{i}", "a/b", ("a/b",), True) for i in range(600)]
    concepts += [Concept(601, "other", "a_b", ("a_b",), True)]
    sheets = masks.sheets_of(concepts)
    assert [(s.folder, len(s.columns)) for s in sheets] == [
        ("a_b", 255), ("a_b_2", 255), ("a_b_3", 90), ("a_b_4", 1),
    ]  # fmt: skip
    assert [c for s in sheets for c in s.columns] == list(range(601))


# -------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["images=x.png"], "the option bank must be given"),
        (["bank=nowhere", "images=x.png"], "bank nowhere cannot be read"),
        (["bank=empty", "images=x.png"], "empty holds no bank.safetensors"),
        (["bank=x.png", "images=x.png"], "bank x.png cannot be read"),
        (["bank=RUN"], "the option images must be given"),
        (["bank=RUN", "images=nowhere"], "images=nowhere: no such file or folder, and no pattern"),
        (["bank=RUN", "images=[x.png,no*.jpg]"], "images=no*.jpg: no such file or folder"),
        (["bank=RUN", "images=empty"], "images=empty: no image is there"),
        (["bank=RUN", "images=[]"], "images is empty"),
        (["bank=RUN", "images=film.mp4"], "image film.mp4 cannot be decoded"),
        (["bank=RUN", "images=x.png", "concepts=[montain]"], "Did you mean 'mountain'"),
        (["bank=RUN", "images=x.png", "concepts=[]"], "concepts is empty"),
        (["bank=RUN", "images=x.png", "size=huge"], "unknown value of size 'huge'"),
        (["bank=RUN", "images=x.png", "probabilities=7"], "probabilities=7 must be true or false"),
        (["bank=RUN", "images=x.png", "weights=other.pth"], "do not match"),
        (["bank=RUN", "images=x.png", "trainer.accelerator=gpx"], "trainer="),
        (["bank=RUN", "images=x.png", "loader.batch_size=0"], "loader.batch_size=0 must be"),
        (["bank=RUN", "images=x.png", "+siez=mask"], "unknown option 'siez'"),
        (["bank=RUN", "images=x.png", "run.dir=x.png"], "Choose another run.dir"),
        (["bank=RUN", "images=x.png", "run.dir=full"], "full already holds a prediction"),
        (["bank=RUN", "images=x.png", "run.dir=RUN"], "already holds a finished run"),
    ],
)
def test_a_mistake_is_one_message(
    arguments: list[str],
    message: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.fromarray(picture()).save(tmp_path / "x.png")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    touched(tmp_path, "empty/notes.txt", "full/masks/object/x.png")
    given = [a.replace("RUN", str(run.folder)) for a in arguments]
    quiet = [a for a in QUIET if a.split("=")[0] not in {g.split("=")[0] for g in given}]
    before = sorted(run.folder.rglob("*"))
    assert run_cli(monkeypatch, tmp_path, *quiet, *given) == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.count("error: ") == 1
    assert "Traceback" not in stderr
    assert not list(tmp_path.rglob("scores.csv"))
    assert sorted(run.folder.rglob("*")) == before


def test_a_finished_prediction_is_never_overwritten(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(picture()).save(tmp_path / "x.png")
    out = predicted(monkeypatch, tmp_path, run, "images=x.png")
    kept = [p for p in out.rglob("*") if p.is_file() and p.suffix != ".log"]
    before = {path: path.read_bytes() for path in kept}
    arguments = [*QUIET, f"bank={run.folder}", "images=x.png", "concepts=sky"]
    assert run_cli(monkeypatch, tmp_path, *arguments) == 1
    assert "already holds a prediction" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in kept} == before


def test_where_nothing_can_be_read_five_faults_are_told_and_the_rest_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touched(tmp_path, *(f"photos/{i}.png" for i in range(7)))
    arguments = [*QUIET, f"bank={run.folder}", "images=photos"]
    assert run_cli(monkeypatch, tmp_path, *arguments) == 1
    head, *lines, last = capsys.readouterr().err.splitlines()
    assert head == "error: none of 7 images can be read:"
    assert lines == [f"  image photos/{i}.png is empty" for i in range(5)]
    assert last == "  and 2 more"


def test_of_many_concepts_twenty_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    concepts = [Concept(i, f"c{i}", "object", ("object",), True) for i in range(1, 26)]
    console = Console(record=True)
    with (tmp_path / "scores.csv").open("w") as file:
        told = ScoreTable(file, concepts, tmp_path, masks=False)
        told.add(find_images([file.name])[0], np.linspace(0.4, 0.6, 25))
        told.tell(console)
    text = console.export_text()
    assert text.splitlines()[-1] == "and 5 more; scores.csv has all."
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert rows[0] == ["c14", "object", "1", "-"]  # the first above one half
    assert [row[2] for row in rows] == ["1"] * 12 + ["0"] * 8


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="images is empty"):
        find_images(["photo.jpg", ""])


def test_of_concepts_found_as_often_those_found_best_on_val_are_told_first(tmp_path: Path) -> None:
    names = ["poor", "unknown", "good", "rare"]
    (tmp_path / "concepts.csv").write_text("name,multi_val\npoor,0.01\ngood,0.5\nrare,0.9\n")
    concepts = [Concept(i, name, "object", ("object",), True) for i, name in enumerate(names, 1)]
    console = Console(record=True)
    with (tmp_path / "scores.csv").open("w") as file:
        told = ScoreTable(file, concepts, tmp_path, masks=True)
        told.add(find_images([file.name])[0], np.ones(4), np.array([1, 1, 0.1, 0]))
        told.tell(console)
    text = console.export_text()
    assert sorted(names, key=text.index) == ["good", "poor", "unknown", "rare"]
