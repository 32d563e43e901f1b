"""What a vector looks at: scores of val images, from the activations that were planted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch
from matplotlib.path import Path as Outline
from support.kept_figures import keep_figures, kept_figure
from support.planted_run import CONCEPTS, FILTERS, LATE, SIZE, TILE, PlantedImages
from support.rows import assert_rows

from proofs.conftest import FEW, Make, PlantedRun

Array = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]
QUESTION = "What does a vector look at?"
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#888888"
PERCENTILES = (0, 20, 40, 60, 80, 90, 100)


@pytest.fixture(scope="session")
def raw(make_run: Make) -> PlantedRun:
    """A bank that was learned on activations over their standard deviation."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        names = "analysis.names=[examples,synthesis]"
        return make_run("raw", "layer=late", "protocol.input=raw", "report=false", names, *FEW)


@dataclass(frozen=True)
class Looks:
    """The scores of val images along the directions of a run.

    Args:
        run: The run.
        seed: Of the run.
        concepts: Probed concepts.
        chosen: Those that are looked at, in their order.
        activation: What the layer answers to all images, (N all, K, h, w).
        fired: Where its filters fire.
        present: Whether an image has a concept, (N, C).
        scores: By direction, score of every image for every concept, (N, C); NaN for none.
    """

    run: PlantedRun
    seed: int
    concepts: list[str]
    chosen: list[str]
    activation: Array
    fired: Bits
    present: Bits
    scores: dict[str, Array]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The val images."""
        return np.flatnonzero(~self.run.drawn.is_train)


# Of every run: its seed, the concepts asked for, and its filters.
RUNS: dict[str, tuple[int, list[str], list[int]]] = {
    "run": (0, [], list(range(FILTERS))),
    "looked": (3, ["dog", "grey-c", "ball"], list(range(FILTERS))),
    "raw": (0, [], LATE),
}


def best_of(table: dict[str, dict[str, str]], column: str) -> list[str]:
    """The three concepts of the highest score; of equals the first."""
    scored = [name for name, row in table.items() if row["status"] == "ok"]
    return sorted(scored, key=lambda name: -float(table[name][column]))[:3]


@pytest.fixture(params=RUNS)
def looks(request: pytest.FixtureRequest) -> Looks:
    return looks_of(request, request.param)


@pytest.fixture(params=["looked", "raw"])
def kept(request: pytest.FixtureRequest) -> Looks:
    return looks_of(request, request.param)


def looks_of(request: pytest.FixtureRequest, name: str) -> Looks:
    run: PlantedRun = request.getfixturevalue(name)
    concepts = [concept for concept in CONCEPTS if concept != "park-s"]
    val = ~run.drawn.is_train
    seed, chosen, filters = RUNS[name]
    everything = run.drawn.activation[:, filters]
    activation = everything[val].reshape(val.sum(), len(filters), -1)
    embedding = run.bank.weight.double().numpy()
    if name == "raw":
        scale = everything.std((0, 2, 3))
        embedding = np.divide(embedding, scale, out=np.zeros_like(embedding), where=scale > 0)
    scores = np.full((2, val.sum(), len(concepts)), np.nan)
    for c, concept in enumerate(concepts):
        unit = embedding[c] / np.linalg.norm(embedding[c])
        scores[0, :, c] = [float((unit @ image).max()) for image in activation]
        if (best := run.concepts()[concept]["best_filter"]) != "nan":
            scores[1, :, c] = activation[:, int(best)].max(1)
    scores = scores.round(5)  # the network works in single precision
    present = run.drawn.present[val][:, : len(concepts)]
    of = {"embedding": scores[0], "best filter": scores[1]}
    chosen = chosen or best_of(run.concepts(), "multi_val")
    fired = run.drawn.fired[:, filters]
    return Looks(run, seed, concepts, chosen, everything, fired, present, of)


def found(scores: Array, present: Bits) -> Array:
    """Images with the concept among the first K; of equals as many as are to be expected."""
    if np.isnan(scores).any():
        return np.full(len(scores), np.nan)
    hits = np.zeros(len(scores))
    for k in range(1, len(scores) + 1):
        last = np.sort(scores)[-k]
        above, equal = scores > last, scores == last
        share = (k - above.sum()) / equal.sum()
        hits[k - 1] = present[above].sum() + share * present[equal].sum()
    return hits


def area(scores: Array, present: Bits) -> float:
    """How often an image with the concept scores above one without it; equals count half."""
    if np.isnan(scores).any():
        return np.nan
    pairs = [(a > b) + (a == b) / 2 for a in scores[present] for b in scores[~present]]
    return float(np.mean(pairs))


def areas(looks: Looks) -> Array:
    return np.array(
        [
            [area(scores[:, c], looks.present[:, c]) for c in range(len(looks.concepts))]
            for scores in looks.scores.values()
        ]
    )


def test_recall_and_area_are_those_of_the_activations(looks: Looks) -> None:
    expected = []
    auc = areas(looks)
    for c, concept in enumerate(looks.concepts):
        present = looks.present[:, c]
        n = int(present.sum())
        row: dict[str, Any] = {"name": concept, "category": CONCEPTS[concept][1], "n_val": n}
        for i, (name, scores) in enumerate(looks.scores.items()):
            key, missing = name.replace(" ", "_"), np.isnan(scores[:, c]).sum()
            row[f"{key}_recall"] = float(found(scores[:, c], present)[n - 1] / n)
            row[f"{key}_auc"] = float(auc[i, c])
            said = f"{missing} of {len(present)} images have no finite score"
            row[f"{key}_status"] = said if missing else "ok"
        expected.append(row)
    assert_rows(looks.run.table("analysis/examples"), expected)


def test_the_finding_says_how_far_embeddings_lead(looks: Looks) -> None:
    auc = areas(looks)
    several, single = auc[:, np.isfinite(auc).all(0)]
    lead, n = several - single, len(several)
    low, high = sorted(lead)[round((n - 1) / 4)], sorted(lead)[round(3 * (n - 1) / 4)]
    expected = {
        "question": QUESTION,
        "measure": "lead of embeddings in the ROC AUC of image scores",
        "value": float(lead.mean()),
        "low": np.nan,
        "high": np.nan,
        "n": n,
        "statement": "The score of an image (largest response anywhere, raw activations) tells "
        "images with the concept from others with a mean ROC AUC of "
        f"{several.mean():.3f}, that of the best single filter with {single.mean():.3f}: a lead of "
        f"{lead.mean():.3f} over {n} concepts with at least 1 val images each with and without "
        f"them (middle half of the concepts: {low:.3f} to {high:.3f}).",
    }
    rows = [row for row in looks.run.table("findings") if row["question"] == QUESTION]
    assert_rows(rows, [expected])
    assert f"* {expected['statement']}" in (looks.run.folder / "findings.md").read_text()


def test_figures_are_of_the_concepts_asked_for_or_of_the_best(looks: Looks) -> None:
    names = {path.stem for path in (looks.run.folder / "figures").iterdir()}
    for kind in ("scores", "recall", "examples"):
        of = [name for name in names if name.startswith(f"{kind}_")]
        assert sorted(of) == sorted(f"{kind}_{c.replace('-', '_')}" for c in looks.chosen)


def test_what_is_best_is_another_question_on_train(raw: PlantedRun) -> None:
    """Else either would do to choose what is looked at."""
    assert set(best_of(raw.concepts(), "multi_val")) != set(best_of(raw.concepts(), "multi_train"))


def drawn(looks: Looks, kind: str, concept: str) -> list[Axes]:
    figure = kept_figure(looks.run.folder, f"{kind}_{concept.replace('-', '_')}")
    return list(figure.axes)


def test_histograms_count_val_images_with_and_without_the_concept(kept: Looks) -> None:
    for concept in kept.chosen:
        c = kept.concepts.index(concept)
        present = kept.present[:, c]
        axes = drawn(kept, "scores", concept)
        assert axes[0].figure.get_suptitle() == concept
        assert [axis.get_title() for axis in axes] == ["embedding", "best filter"]
        for axis, scores in zip(axes, kept.scores.values(), strict=True):
            some = scores[np.isfinite(scores[:, c]), c]
            low, high = (some.min(), some.max()) if len(some) else (-0.5, 0.5)
            steps = [patch for patch in axis.patches if isinstance(patch, StepPatch)]
            sides = (("without", ~present, GREY), ("with", present, BLUE))
            for patch, (name, among, colour) in zip(steps, sides, strict=True):
                edges = np.linspace(low, high, 41)
                mine = scores[among & np.isfinite(scores[:, c]), c]
                values, at, _ = patch.get_data()
                np.testing.assert_allclose(at, edges, atol=1e-4)
                # A score on an edge may fall to either side of it in single precision.
                up_to = values.cumsum()
                for reach, edge in zip(up_to, edges[1:], strict=True):
                    assert (mine < edge - 1e-4).sum() <= reach <= (mine < edge + 1e-4).sum()
                assert up_to[-1] == len(mine)
                assert patch.get_label() == f"{name} the concept ({len(mine)})"
                assert to_hex(patch.get_facecolor()) == colour


def test_curves_of_recall_stand_beside_chance_and_the_best_possible(kept: Looks) -> None:
    for concept in kept.chosen:
        c = kept.concepts.index(concept)
        present = kept.present[:, c]
        n, count = int(present.sum()), len(present)
        (axis,) = drawn(kept, "recall", concept)
        k = np.arange(1, count + 1)
        expected = {
            name: (found(scores[:, c], present) / n, colour, "-")
            for (name, scores), colour in zip(kept.scores.items(), (BLUE, ORANGE), strict=True)
        }
        expected |= {
            "best possible": (np.minimum(k / n, 1), GREY, ":"),
            "chance": (k / count, GREY, "--"),
        }
        assert axis.get_title() == concept
        assert [line.get_label() for line in axis.lines] == list(expected)
        for line in axis.lines:
            curve, colour, style = expected[str(line.get_label())]
            np.testing.assert_array_equal(line.get_xdata(), k)
            np.testing.assert_allclose(np.asarray(line.get_ydata()), curve, atol=1e-9)
            assert (to_hex(line.get_color()), line.get_linestyle()) == (colour, style)


def enclosed(axis: Axes) -> Bits:
    """The pixels inside the outlines of an image."""
    centres = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).reshape(-1, 2)
    inside = np.zeros(SIZE * SIZE, dtype=np.bool_)
    for collection in axis.collections:
        for path in collection.get_paths():
            for polygon in path.to_polygons():
                inside ^= Outline(polygon).contains_points(centres)
    return inside.reshape(SIZE, SIZE)


def dark_outside(image: npt.NDArray[np.uint8], mask: Bits) -> npt.NDArray[np.uint8]:
    light = np.where(mask, 1, 0.2)
    return np.asarray((image * light).transpose(1, 2, 0)).astype(np.uint8)


def assert_strip(
    axes: Sequence[Axes],
    title: str,
    captions: Sequence[str],
    images: Sequence[npt.NDArray[np.uint8]],
    masks: dict[str, Sequence[Bits]],
    truth: Sequence[Bits],
) -> None:
    n = len(images)
    assert axes[0].figure.get_suptitle() == f"{title} (outlined: ground truth)"
    assert [axis.get_title() for axis in axes[:n]] == captions
    assert [axis.get_ylabel() for axis in axes[::n]] == ["image", *masks]
    rows = [[np.ones_like(mask) for mask in truth], *masks.values()]
    for row, shown in enumerate(rows):
        for i in range(n):
            axis = axes[row * n + i]
            picture = np.asarray(axis.images[0].get_array())
            np.testing.assert_array_equal(picture, dark_outside(images[i], shown[i]))
            np.testing.assert_array_equal(enclosed(axis), truth[i])


def test_strips_show_images_by_percentile_with_both_masks_and_the_truth(kept: Looks) -> None:
    pictures, activation = PlantedImages(), kept.activation
    for concept in kept.chosen:
        c = kept.concepts.index(concept)
        scores = kept.scores["embedding"][:, c]
        order = np.argsort(scores, kind="stable")
        at = [order[round(p / 100 * (len(order) - 1))] for p in PERCENTILES]
        rows = kept.rows[at]
        weight = kept.run.bank.weight[c].double().numpy()
        if kept.run.bank.scale is None:
            answers: Array = kept.fired[rows].astype(np.float64)
        else:
            scale = activation.std((0, 2, 3))[:, None, None]
            answers = np.where(scale > 0, activation[rows] / np.where(scale > 0, scale, 1), 0)
        best = kept.run.concepts()[concept]["best_filter"]
        single = np.zeros((7, SIZE, SIZE), dtype=np.bool_)
        if best != "nan":
            single = kept.fired[rows, int(best)]
        assert_strip(
            drawn(kept, "examples", concept),
            f"{concept}, by percentile of its score",
            [f"{p} %: {scores[i]:.2f}" for p, i in zip(PERCENTILES, at, strict=True)],
            [pictures[row].image.numpy() for row in rows],
            {
                "embedding": list(np.einsum("k,nkhw->nhw", weight, answers) > 0),
                "best filter": list(single),
            },
            kept.run.drawn.masks[rows, c],
        )


# -------------------- masks of a grid that is coarser than the images


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_best_filter_is_cut_before_or_after_it_is_enlarged(make_run: Make, order: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        run = make_run(
            f"looked_coarse_{order}",
            "layer=late",
            "model._target_=support.planted_networks.CoarseNetwork",
            f"protocol.threshold_order={order}",
            "report=false",
            "analysis.names=[examples]",
            "analysis.concepts=[ball]",
            *FEW,
        )
    last = LATE.index(0)  # filter 0 answers nothing where it is silent
    assert run.concepts()["ball"]["best_filter"] == str(last)
    shape = (-1, FILTERS, 3, TILE, 3, TILE)
    answers = run.drawn.activation.reshape(shape).mean((3, 5))[:, 0]
    corner = np.linspace(0, 2, SIZE)  # the outer samples of grid and mask coincide
    lines = np.array([np.interp(corner, range(3), np.eye(3)[i]) for i in range(3)])

    def enlarged(maps: Array) -> Array:
        return np.asarray(np.einsum("nhw,hy,wx->nyx", maps, lines, lines))

    cut = enlarged((answers > 0) * 1.0) > 0.5 + 1e-6 if order == "before" else enlarged(answers) > 0
    assert_single_masks(run, "ball", cut)


def assert_single_masks(run: PlantedRun, concept: str, masks: Bits) -> None:
    """Compare the lowest row of a strip with the masks of the images that its highest row shows."""
    axes = kept_figure(run.folder, f"examples_{concept}").axes
    n, pictures = len(axes) // 3, PlantedImages()
    for i in range(n):
        shown = np.asarray(axes[i].images[0].get_array())
        (row,) = [
            row
            for row in np.flatnonzero(~run.drawn.is_train).tolist()
            if (pictures[row].image.numpy().transpose(1, 2, 0) == shown).all()
        ]
        drawn = np.asarray(axes[2 * n + i].images[0].get_array())
        expected = dark_outside(pictures[row].image.numpy(), masks[row])
        np.testing.assert_array_equal(drawn, expected)


def test_a_concept_without_a_best_filter_has_no_mask(make_run: Make) -> None:
    """Not that of the last filter either, which here does fire."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        names, concepts = "analysis.names=[examples]", "analysis.concepts=[grey-c]"
        run = make_run("no_mask", "layer=late", "report=false", names, concepts, *FEW)
    assert run.concepts()["grey-c"]["best_filter"] == "nan"
    assert run.drawn.fired[~run.drawn.is_train, LATE[-1]].any()
    assert_single_masks(run, "grey_c", np.zeros_like(run.drawn.masks[:, 0]))
