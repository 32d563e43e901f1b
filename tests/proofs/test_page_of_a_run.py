"""``report.html`` of planted runs, read back from the file, against what was planted."""

import base64
import importlib.util
import re
import shutil
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.cli import by_name, read_table
from support.planted_run import CONCEPTS, FILTERS, SIZE, PlantedImages
from support.report_html import ReportPage, text_of, unpacked

import net2vec_pl
from net2vec_pl.analysis.examples import choose
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.probes import BankFile
from proofs.conftest import Make, PlantedRun

NAMES = list(CONCEPTS)
SEGMENTED = NAMES[:-1]
SCORED = SEGMENTED[:-1]  # no filter overlaps the last one
BEST = {"ball": 0, "cup": 1, "dog": 2, "ear": 5, "fin": 11, "red-c": 0}
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def page(run: PlantedRun) -> ReportPage:
    return ReportPage(run.folder / "report.html")


@pytest.fixture(scope="module")
def classified(make_run: Make) -> PlantedRun:
    """Images classified and nothing segmented, on the network without its dead filter."""
    return make_run(
        "classified", "layer=late", "target=classification", "analysis=none",
        "model.weights=null", "seed=5", "seeds=3",
    )  # fmt: skip


@pytest.fixture(scope="module")
def lacking(
    make_run: Make, two_layers: PlantedRun, tmp_path_factory: pytest.TempPathFactory
) -> PlantedRun:
    """A run after one epoch that leaves out two images that cannot be read, and rare concepts."""
    data = tmp_path_factory.mktemp("damaged") / "data"  # a copy: other runs read the planted one
    shutil.copytree(two_layers.folder.parent / "data", data)
    rows = read_table(data / "index.csv")
    for split in ("train", "val"):
        path = data / "images" / next(row["image"] for row in rows if row["split"] == split)
        path.write_bytes(path.read_bytes()[:50])
    return make_run(
        "lacking", "target=both", "layer=early", "analysis=none", "data.on_error=skip",
        "data.min_val=3", "protocol.epochs=1", f"data.root={data}",
    )  # fmt: skip


def shown(run: PlantedRun) -> npt.NDArray[np.int64]:
    """Return the rows of the dataset that the page shows: val images that can be read."""
    val = ~run.drawn.is_train
    for row in run.table("skipped") if (run.folder / "skipped.csv").exists() else []:
        val[int(row["row"])] = False
    return np.flatnonzero(val)


def read(value: Any) -> Any:
    """Return a cell as a page holds it: numbers with five digits, none where there is none."""
    try:
        number = float(value)
    except ValueError:
        return value
    return float(f"{number:.5g}") if np.isfinite(number) else None


# -------------------- the first screen


def test_it_is_called_after_network_layer_and_data(page: ReportPage) -> None:
    assert page.title == ("custom early on data",) * 2


def test_key_numbers_are_means_over_the_concepts_that_both_score(
    page: ReportPage, run: PlantedRun
) -> None:
    (of_all,) = [row for row in run.table("analysis/gains") if row["category"] == "all"]
    several, single = (
        np.mean([1, 1, 1, 1 / 2, 1 / 2, 1 / 2]),
        np.mean([1, 1 / 4, 1 / 3, 1, 0.5, 0.5]),
    )

    def bounds(of: str) -> str:
        return f"[{float(of_all[f'{of}_low']):.3f}, {float(of_all[f'{of}_high']):.3f}]"

    rows = run.concepts("classification").values()
    accuracy, best = (np.mean([float(r[c]) for r in rows]) for c in ("accuracy", "best_accuracy"))
    assert list(page.key_numbers.items()) == [
        ("mean set IoU on val, combination", f"{several:.3f} {bounds('multi')}"),
        ("mean set IoU on val, best single filter", f"{single:.3f} {bounds('single')}"),
        ("concepts that the combination segments better", "2 of 6"),
        ("mean balanced accuracy, all filters", f"{accuracy:.3f}"),
        ("mean balanced accuracy, best single filter", f"{best:.3f}"),
        ("filters", "16"),
    ]
    assert bounds("multi") != bounds("single")


def test_without_analyses_the_means_are_over_what_each_scores_and_have_no_interval(
    two_layers: PlantedRun,
) -> None:
    page = ReportPage(two_layers.folder / "early" / "report.html")
    assert dict(list(page.key_numbers.items())[:3]) == {
        "mean set IoU on val, combination": f"{np.mean([1, 1, 1, 0.5, 0.5, 0.5, 0]):.3f}",
        "mean set IoU on val, best single filter": f"{np.mean([1, 1 / 4, 1 / 3, 1, 0.5, 0.5]):.3f}",
        "concepts that the combination segments better": "2 of 6",
    }


def test_findings_stand_below_their_questions_in_their_order(
    page: ReportPage, run: PlantedRun
) -> None:
    wanted: dict[str, list[str]] = {}
    for row in run.table("findings"):
        wanted.setdefault(row["question"], []).append(row["statement"])
    assert page.findings == wanted
    assert list(page.findings) == list(wanted)
    assert len(wanted) > 5
    assert [  # how many are folded up
        text_of(more) for more in re.findall("<summary>([0-9]+ more)</summary>", page.html)
    ] == [f"{len(of) - 1} more" for of in wanted.values() if len(of) > 1]


def test_where_no_analysis_was_asked_for_that_is_said(two_layers: PlantedRun) -> None:
    page = ReportPage(two_layers.folder / "early" / "report.html")
    assert not page.findings
    assert "This run was asked for no analysis; <code>analysis=all</code> makes" in page.html


# -------------------- the table of concepts

COLUMNS = [  # name, label, what it links to, bar, in the table
    ("name", "concept", "concept", "", True),
    ("category", "category", "", "", True),
    ("multi_val", "set IoU, embedding", "", "multi", True),
    ("single_val", "set IoU, best filter", "", "single", True),
    ("gain", "gain", "", "", True),
    ("ap_val", "AP, embedding", "", "", True),
    ("accuracy", "accuracy, embedding", "", "multi", True),
    ("best_accuracy", "accuracy, best filter", "", "single", True),
    ("auc", "ROC AUC, embedding", "", "", True),
    ("filters_for_80%", "filters for 80 %", "", "", True),
    ("best_filter", "best filter", "filter", "", True),
    ("n_val", "val images", "", "", True),
    ("n_val_without", "val images without it", "", "", True),
    ("n_train", "train images", "", "", True),
    ("status", "status", "", "", True),
    ("gain_low", "gain, low", "", "", False),
    ("gain_high", "gain, high", "", "", False),
    ("norm", "norm", "", "", False),
]


def described(columns: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(column[key] for key in ("name", "label", "link", "bar", "main")) for column in columns
    ]


def test_the_columns_are_these(page: ReportPage) -> None:
    assert described(page.content["columns"]) == COLUMNS


def test_every_cell_is_that_of_the_table_it_comes_from(page: ReportPage, run: PlantedRun) -> None:
    segmented, classified = run.concepts(), run.concepts("classification")
    needed, intervals = run.concepts("analysis/filters_needed"), run.concepts("analysis/intervals")
    assert list(page.concepts) == NAMES
    for name, shown in page.concepts.items():
        of, absent = segmented[name], {"for_80%": "nan", "gain_low": "nan", "gain_high": "nan"}
        gain = float(of["multi_val"]) - float(of["single_val"])
        wanted = {
            key: of[key]
            for key in (
                "name", "category", "multi_val", "single_val", "ap_val", "best_filter", "n_val",
                "n_train", "status", "norm",
            )
        }  # fmt: skip
        columns = ("accuracy", "best_accuracy", "auc", "n_val_without")
        wanted |= {key: classified[name][key] for key in columns}
        wanted |= {"gain": str(gain), "filters_for_80%": needed.get(name, absent)["for_80%"]}
        wanted |= {key: intervals.get(name, absent)[key] for key in ("gain_low", "gain_high")}
        assert shown["row"] == {key: read(value) for key, value in wanted.items()}


def test_the_cells_are_what_was_planted(page: ReportPage, run: PlantedRun) -> None:
    planted = {  # set IoU of several filters and of one, and how many filters reach 80 %
        "ball": (1, 1, 1),
        "cup": (1, 1 / 4, 2),
        "dog": (1, 1 / 3, 4),
        "ear": (1 / 2, 1, 2),
        "fin": (1 / 2, 1 / 2, 1),
        "red-c": (1 / 2, 1 / 2, 1),
    }
    for name, (several, single, needed) in planted.items():
        row, c = page.concepts[name]["row"], NAMES.index(name)
        assert (row["multi_val"], row["single_val"]) == (read(several), read(single))
        assert row["gain"] == read(several - single)
        assert (row["filters_for_80%"], row["best_filter"]) == (needed, BEST[name])
        for split, of in (("n_train", run.drawn.is_train), ("n_val", ~run.drawn.is_train)):
            assert row[split] == run.drawn.present[of, c].sum()
    assert page.concepts["grey-c"]["row"]["status"] == "no filter overlaps it"
    assert page.concepts["park-s"]["row"]["status"] == "image-level: not segmented"


def test_categories_have_colours_in_the_order_of_the_concepts(page: ReportPage) -> None:
    assert list(page.content["categories"].items()) == [
        ("object", "#0072B2"), ("part", "#E69F00"), ("color", "#009E73"), ("scene", "#CC79A7"),
    ]  # fmt: skip


def test_words_are_explained_that_the_page_uses(
    page: ReportPage, two_layers: PlantedRun, classified: PlantedRun
) -> None:
    shared = ["filter", "best filter", "embedding", "train, val", "[low, high]"]
    every = [*shared[:3], "set IoU", "AP", "accuracy, AUC", *shared[3:]]
    assert page.words == every
    without = ReportPage(classified.folder / "report.html")
    assert without.words == [*shared[:3], "accuracy, AUC", *shared[3:]]


# -------------------- pictures and examples


def test_pictures_are_the_val_images_in_their_order(page: ReportPage, run: PlantedRun) -> None:
    reader = PlantedImages(run.drawn)
    val = np.flatnonzero(~run.drawn.is_train).tolist()
    images = np.stack([reader[row].image.permute(1, 2, 0).numpy() for row in val]).astype(float)
    shown = np.stack(page.pictures).astype(float)
    assert shown.shape == images.shape
    apart = np.abs(shown[:, None] - images).mean((2, 3, 4))
    assert apart.argmin(1).tolist() == list(range(len(val)))
    turned = (images[..., ::-1], images.swapaxes(1, 2), images[:, ::-1], images[:, :, ::-1])
    for other in turned:  # no channel, row or column has changed its place
        assert (np.diag(apart) < np.abs(shown - other).mean((1, 2, 3))).all()


def masks_of(run: PlantedRun, concept: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the masks of a concept on all val images, worked out from bits and weights."""
    fired = run.drawn.fired[shown(run)]
    weight = run.bank.weight[run.bank.vocabulary.row(concept)].double().numpy()
    none = np.zeros(fired[:, 0].shape, dtype=np.bool_)
    return {
        "ground truth": run.drawn.masks[shown(run), NAMES.index(concept)],
        "best filter": fired[:, BEST[concept]] if concept in BEST else none,
        "embedding": np.einsum("k,nkhw->nhw", weight, fired) > 0,
    }


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("concept", SEGMENTED)
def test_examples_go_from_the_best_segmented_to_the_worst(
    concept: str, page: ReportPage, run: PlantedRun, lacking: PlantedRun
) -> None:
    assert_examples(page.concepts[concept]["examples"], masks_of(run, concept))
    if concept != "fin":
        after_one_epoch = ReportPage(lacking.folder / "report.html").concepts[concept]
        assert_examples(after_one_epoch["examples"], masks_of(lacking, concept))


def test_images_are_segmented_more_and_less_well(lacking: PlantedRun) -> None:
    captions = [
        [example["caption"] for example in concept["examples"]]
        for concept in ReportPage(lacking.folder / "report.html").concepts.values()
    ]
    assert any(of and of[0].split(",")[0] != of[-1].split(",")[0] for of in captions)


def assert_examples(shown: list[dict[str, Any]], masks: dict[str, npt.NDArray[np.bool_]]) -> None:
    truth = masks["ground truth"]
    having = [n for n in range(len(truth)) if truth[n].any()]
    ranked = sorted(having, key=lambda n: -iou(masks["embedding"][n], truth[n]))
    count = min(len(ranked), 4)
    chosen = [ranked[round(i * (len(ranked) - 1) / (count - 1))] for i in range(count)]
    assert [example["picture"] for example in shown] == chosen
    for n, example in zip(chosen, shown, strict=True):
        found = dict(map(unpacked, example["masks"]))
        assert list(found) == ["ground truth", "best filter", "embedding"]
        for name, mask in found.items():
            np.testing.assert_array_equal(mask, masks[name][n], name)
        embedding, single = (iou(masks[name][n], truth[n]) for name in ("embedding", "best filter"))
        assert example["caption"] == f"IoU: embedding {embedding:.2f}, best filter {single:.2f}"


def test_what_is_not_segmented_has_no_examples_and_no_scores(page: ReportPage) -> None:
    shown = page.concepts["park-s"]
    assert (shown["examples"], shown["scores"], shown["curve"]) == ([], [], [])
    assert list(shown["filters"]) == ["classification"]


# -------------------- how images score


def scores_of(run: PlantedRun, concept: str, of: str) -> Floats:
    """Return the largest response of every val image along a unit vector of filters."""
    activation = run.drawn.activation[~run.drawn.is_train]
    weight = run.bank.weight[SEGMENTED.index(concept)].double().numpy()
    vector = np.eye(FILTERS)[BEST[concept]] if of == "best filter" else weight
    vector = vector / np.sqrt((vector**2).sum())
    return np.asarray(np.einsum("k,nkhw->nhw", vector, activation).max((1, 2)))


@pytest.mark.parametrize(
    ("concept", "of"),
    [*((name, "embedding") for name in SEGMENTED), *((name, "best filter") for name in BEST)],
)
def test_images_score_by_their_largest_response(
    concept: str, of: str, page: ReportPage, run: PlantedRun
) -> None:
    (shown,) = [s for s in page.concepts[concept]["scores"] if s["name"] == of]
    scores = scores_of(run, concept, of)
    present = run.drawn.present[~run.drawn.is_train, NAMES.index(concept)]
    assert_histogram(shown, scores, present)
    wanted = choose(scores, (0, 25, 50, 75, 95, 100))
    assert [p for _, p, _ in shown["pictures"]] == [0, 25, 50, 75, 95, 100]
    for (picture, _, score), expected in zip(shown["pictures"], wanted.score, strict=True):
        assert score == pytest.approx(expected, abs=1e-5, rel=1e-4)
        assert scores[picture] == pytest.approx(score, abs=1e-5, rel=1e-4)
    if of == "best filter":  # these are exact, and so is the order of equal ones
        assert [picture for picture, _, _ in shown["pictures"]] == wanted.image.tolist()


def assert_histogram(shown: dict[str, Any], scores: Floats, present: npt.NDArray[np.bool_]) -> None:
    edges = np.linspace(scores.min(), scores.max(), 25)
    np.testing.assert_allclose(shown["edges"], edges, rtol=1e-4, atol=1e-5)
    exact = np.linspace(scores.astype(np.float32).min(), scores.astype(np.float32).max(), 25)
    for name, some in (("present", present), ("absent", ~present)):
        counts = np.histogram(scores.astype(np.float32).astype(float)[some], exact)[0]
        if of_ties(scores, exact):
            assert sum(shown[name]) == some.sum()
        else:
            assert shown[name] == counts.tolist()


def of_ties(scores: Floats, edges: Floats) -> bool:
    """Return whether a score lies so near an inner edge that rounding decides."""
    return bool((np.abs(scores[:, None] - edges[1:-1]) < 1e-6).any())


def test_scores_come_from_the_embedding_first_and_their_kind_is_named(page: ReportPage) -> None:
    for name in SEGMENTED:
        wanted = ["embedding", *(["best filter"] if name in BEST else [])]
        assert [scores["name"] for scores in page.concepts[name]["scores"]] == wanted
    assert page.content["score"] == "largest response anywhere"


# -------------------- filters


def test_curves_are_those_of_banks_trained_with_fewer_filters(
    page: ReportPage, run: PlantedRun
) -> None:
    rows = run.table("analysis/subsets")
    for name in SEGMENTED:
        wanted = [[int(r["filters"]), read(r["retrained"])] for r in rows if r["name"] == name]
        assert page.concepts[name]["curve"] == wanted
        assert [count for count, _ in wanted] == [1, 2, 4, 8, 16]
    # What can be said beforehand: one filter is the best one, all are the embedding.
    for name, needed in (("ball", 0), ("cup", 1), ("dog", 2), ("fin", 0)):
        row = page.concepts[name]["row"]
        curve = [value for _, value in page.concepts[name]["curve"]]
        assert curve[0] == row["single_val"]
        assert set(curve[needed:]) == {row["multi_val"]}


@pytest.mark.parametrize("space", ["segmentation", "classification"])
def test_the_ten_largest_weights_are_shown_by_size_with_their_sign(
    space: str, page: ReportPage, run: PlantedRun
) -> None:
    bank = run.bank if space == "segmentation" else run.classifiers
    for name, weight in zip(bank.vocabulary.names, bank.weight.tolist(), strict=True):
        order = sorted(range(FILTERS), key=lambda k: -abs(weight[k]))[:10]
        shown = page.concepts[name]["filters"][space]
        assert shown == [[k, read(weight[k])] for k in order]
    assert any(value < 0 for name in NAMES for _, value in page.concepts[name]["filters"][space])


def test_the_table_of_filters_is_filters_csv(page: ReportPage, run: PlantedRun) -> None:
    assert described(page.content["filterColumns"]) == [
        ("filter", "filter", "filter", "", True),
        ("best_concept", "its best concept", "concept", "", True),
        ("single_val", "set IoU on it", "", "single", True),
        ("n_concepts", "concepts that chose it", "", "", True),
        ("threshold", "threshold", "", "", True),
        ("single_train", "set IoU on it, train", "", "", False),
    ]
    wanted = [{k: read(v) for k, v in row.items()} for row in run.table("filters")]
    assert [shown["row"] for shown in page.filters] == wanted
    assert [shown["row"]["threshold"] for shown in page.filters] == [
        read(k / 64) for k in range(FILTERS - 1)
    ] + [0]


def test_a_filter_shows_the_concepts_whose_unit_embeddings_rely_on_it_most(
    page: ReportPage, run: PlantedRun
) -> None:
    weight = run.bank.weight.double().numpy()
    share = weight / np.sqrt((weight**2).sum(1, keepdims=True))
    for k, shown in enumerate(page.filters):
        order = sorted(range(len(share)), key=lambda c: -share[c, k])[:8]
        wanted = [[c, share[c, k]] for c in order if share[c, k] > 0]
        assert [c for c, _ in shown["concepts"]] == [c for c, _ in wanted]
        np.testing.assert_allclose(
            [v for _, v in shown["concepts"]], [v for _, v in wanted], rtol=1e-4
        )
    assert NAMES[page.filters[6]["concepts"][0][0]] == "cup"
    assert NAMES[page.filters[12]["concepts"][0][0]] == "dog"


def test_a_filter_shows_the_six_images_that_excite_it_most(
    page: ReportPage, run: PlantedRun
) -> None:
    largest = run.drawn.activation[~run.drawn.is_train].max((2, 3))
    for k, shown in enumerate(page.filters):
        order = sorted(range(len(largest)), key=lambda n, k=k: -largest[n, k])[:6]  # type: ignore[misc]
        wanted = [[n, read(largest[n, k])] for n in order if largest[n, k] != 0]
        assert shown["pictures"] == wanted
    assert [bool(shown["pictures"]) for shown in page.filters] == [True] * 15 + [False]


# -------------------- the space


@pytest.mark.parametrize("space", ["segmentation", "classification"])
def test_cosines_are_those_of_the_banks_rows(space: str, page: ReportPage, run: PlantedRun) -> None:
    bank = run.bank if space == "segmentation" else run.classifiers
    weight = bank.weight.double().numpy()
    unit = weight / np.sqrt((weight**2).sum(1, keepdims=True))
    wanted = np.full((len(NAMES), len(NAMES)), np.nan)
    wanted[: len(unit), : len(unit)] = unit @ unit.T
    np.testing.assert_allclose(page.cosines(space), wanted, atol=0.6 / 32767)


@pytest.mark.parametrize("space", ["segmentation", "classification"])
def test_the_map_is_that_of_the_analysis(space: str, page: ReportPage, run: PlantedRun) -> None:
    suffix, names = ("", SEGMENTED) if space == "segmentation" else ("_classification", NAMES)
    rows = {row["concept"]: row for row in run.table(f"analysis/clusters{suffix}")}
    (shown,) = [s for s in page.content["spaces"] if s["name"] == space]
    wanted = [
        [read(rows[n]["tsne_x"]), read(rows[n]["tsne_y"])] if n in rows else [None, None]
        for n in NAMES
    ]
    assert shown["position"] == wanted
    assert sum(point != [None, None] for point in shown["position"]) == len(names)
    perplexity = (len(names) - 1) / 3
    assert shown["note"] == f"t-SNE, cosine distance, perplexity {perplexity:.3g}, seed 0"


def test_what_was_segmented_is_shown_first(page: ReportPage) -> None:
    assert [s["name"] for s in page.content["spaces"]] == ["segmentation", "classification"]


# -------------------- figures

FIGURES = {
    "intervals": "Combinations and single filters, with intervals",
    "filter_curve": "Score over the number of filters",
    "filters_needed": "Concepts for which a number of filters is enough",
    "filter_curve_classification": "Score over the number of filters: classification",
    "filters_needed_classification": "Concepts for which a number of filters is enough: "
    "classification",
    "concepts_per_filter": "Concepts that share a best filter",
    "filter_overlap": "Filters that two concepts have in common",
    "failures": "Where the single filter does better",
    **{
        f"{name}{suffix}": f"{title}{told}"
        for suffix, told in (("", ""), ("_classification", ": classification"))
        for name, title in (
            ("map_tsne", "Map of embeddings (t-SNE)"),
            ("map_umap", "Map of embeddings (UMAP)"),
            ("similarity", "Cosines of embeddings"),
            ("tree", "Tree of embeddings"),
            ("category_matrix", "Categories among nearest concepts"),
        )
        if name != "map_umap" or importlib.util.find_spec("umap")
    },
    "comparisons": "Embeddings against other knowledge",
    **{
        f"{name}_{concept}": f"{title}: {concept}"
        for concept in ("ball", "cup", "dog")
        for name, title in (
            ("scores", "Scores of images"),
            ("recall", "Recall"),
            ("examples", "Images by percentile"),
        )
    },
    "synthesis": "Synthesised images",
}


def test_every_figure_has_its_title_in_the_order_of_the_analyses(
    page: ReportPage, run: PlantedRun
) -> None:
    folder = run.folder / "figures"
    assert {path.stem for path in folder.glob("*.svg")} == set(FIGURES)
    assert list(page.figures) == list(FIGURES.values())
    for name, title in FIGURES.items():
        heading, source, alt = page.figures[title]
        assert heading == title
        assert alt == f"{title}; the tables in analysis/ have its numbers"
        svg = (folder / f"{name}.svg").read_bytes()
        if len(svg) <= 300_000:
            assert source == "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
        else:
            assert source.startswith("data:image/webp;base64,")


# -------------------- how it was made


def made_of(run: PlantedRun, bank: BankFile, **others: list[str]) -> dict[str, list[str]]:
    """Return all that is told of how a planted run was made, with what is told otherwise."""
    train = int(run.drawn.is_train.sum())
    val = len(run.drawn.is_train) - train
    told = {
        "network": [
            f"custom, weights network.safetensors (digest {bank.header['weights_digest']})"
        ],
        "layer": [f"early: {FILTERS} filters on a grid of {SIZE} x {SIZE}"],
        "input": [f"{SIZE} x {SIZE} pixels, scaled as unit"],
        "data": [
            f"data: {train} train and {val} val images (digest {bank.header['data']['digest']}), "
            f"masks {SIZE} x {SIZE}"
        ],
        "protocol": ["paper, tau 0.3"],
        "deviates from the paper": [
            "tau = 0.3 (paper: 0.005)",
            "lr_scaling = area (paper: none)",
            "shuffle = True (paper: False)",
            "scaling = model (paper: paper)",
        ],
        "left out": ["segmentation: 1 concepts, image-level"],
        "on this page": [
            f"{val} of {val} val images; scores, percentiles and top images are of these, set IoU "
            "and all tables of all"
        ],
        "seeds": ["0, 1"],
        "versions": [f"net2vec_pl {net2vec_pl.__version__}, torch {version('torch')}"],
        "device": ["cpu"],
        "when": [],
        "run folder": [str(run.folder)],
    }
    return told | others


def assert_made(page: ReportPage, wanted: dict[str, list[str]]) -> None:
    made = page.made
    when = datetime.strptime(made["when"][0], "%Y-%m-%d %H:%M")
    age = datetime.fromtimestamp(page.path.stat().st_mtime) - when
    assert 0 <= age.total_seconds() < 120
    assert list((made | {"when": []}).items()) == list(wanted.items())


def test_how_it_was_made_is_told_line_by_line(page: ReportPage, run: PlantedRun) -> None:
    assert_made(page, made_of(run, run.bank))
    network = net2vec_pl.load_bank(run.folder / "bank.safetensors", weights=str(
        run.folder.parent / "network.safetensors"
    )).backbone.network  # fmt: skip
    assert f"(digest {weights_digest(network)})" in page.made["network"][0]
    assert page.command.startswith("python train.py data=broden data.root=data model=custom ")
    assert page.command.endswith(f" run.dir={run.folder.name}")
    assert " target=both seeds=2 analysis=all " in page.command


def test_what_was_left_out_is_counted_by_its_reason(lacking: PlantedRun) -> None:
    page = ReportPage(lacking.folder / "report.html")
    train, val = 27, 18  # one less of each
    epochs = "epochs = 1 (paper: 30)"
    every = made_of(lacking, lacking.bank)["deviates from the paper"]
    wanted = made_of(
        lacking,
        lacking.bank,
        data=[
            f"data: {train} train and {val} val images (digest "
            f"{lacking.bank.header['data']['digest']}), masks {SIZE} x {SIZE}"
        ],
        seeds=["0"],
        **{
            "deviates from the paper": [*every[:2], epochs, *every[2:]],
            "left out": [
                "segmentation: 1 concepts, too few val images",
                "segmentation: 1 concepts, image-level",
                "classification: 1 concepts, too few val images",
                "2 unreadable images; skipped.csv lists them",
            ],
            "on this page": [
                f"{val} of {val} val images; scores, percentiles and top images are of "
                "these, set IoU and all tables of all"
            ],
        },
    )
    assert_made(page, wanted)
    assert len(page.pictures) == val
    assert "fin" not in lacking.bank.vocabulary.names
    shown = page.concepts["fin"]
    assert shown["row"]["status"].startswith("too few val images")
    assert (shown["examples"], shown["scores"], shown["filters"]) == ([], [], {})
    assert page.cosines("segmentation")[NAMES.index("fin")].tolist() == pytest.approx(
        [np.nan] * 8, nan_ok=True
    )


# -------------------- other pages


def test_without_segmentation_the_page_tells_of_classifiers(classified: PlantedRun) -> None:
    page, bank = ReportPage(classified.folder / "report.html"), classified.classifiers
    assert page.title == ("custom late on data",) * 2
    table = classified.concepts("classification")
    means = {
        c: np.mean([float(r[c]) for r in table.values()]) for c in ("accuracy", "best_accuracy")
    }
    assert list(page.key_numbers.items()) == [
        ("mean balanced accuracy, all filters", f"{means['accuracy']:.3f}"),
        ("mean balanced accuracy, best single filter", f"{means['best_accuracy']:.3f}"),
        ("filters", str(bank.weight.shape[1])),
    ]
    names = [
        "name", "category", "accuracy", "best_accuracy", "auc", "best_filter", "n_val",
        "n_val_without", "n_train", "status",
    ]  # fmt: skip
    assert described(page.content["columns"]) == [c for c in COLUMNS if c[0] in names]
    for name, shown in page.concepts.items():
        assert shown["row"] == {column: read(table[name][column]) for column in names}
        assert shown["examples"] == shown["curve"] == []
        assert list(shown["filters"]) == ["classification"]
    assert list(page.concepts) == NAMES
    assert [s["name"] for s in page.content["spaces"]] == ["classification"]
    assert page.content["score"] == "mean response"


def test_without_segmentation_images_score_by_their_mean_response(classified: PlantedRun) -> None:
    page, bank = ReportPage(classified.folder / "report.html"), classified.classifiers
    loaded = net2vec_pl.load_bank(classified.folder / "classification.safetensors")
    reader = PlantedImages(classified.drawn)
    val = np.flatnonzero(~classified.drawn.is_train).tolist()
    with torch.no_grad():
        images = torch.stack([reader[row].image for row in val])
        activation = loaded.backbone(images).double().numpy()
    best = {
        n: int(float(r["best_filter"])) for n, r in classified.concepts("classification").items()
    }
    for name, weight in zip(bank.vocabulary.names, bank.weight.double().numpy(), strict=True):
        present = classified.drawn.present[val, NAMES.index(name)]
        for shown, of in zip(
            page.concepts[name]["scores"], ("embedding", "best filter"), strict=True
        ):
            vector = weight if of == "embedding" else np.eye(len(weight))[best[name]]
            scores = activation.mean((2, 3)) @ (vector / np.sqrt((vector**2).sum()))
            assert shown["name"] == of
            assert sum(shown["present"]) == present.sum()
            np.testing.assert_allclose(
                [shown["edges"][0], shown["edges"][-1]],
                [scores.min(), scores.max()],
                rtol=1e-3,
                atol=1e-4,
            )
            for picture, _, score in shown["pictures"]:
                assert score == pytest.approx(scores[picture], rel=1e-3, abs=1e-4)
    for k, shown in enumerate(page.filters):
        values = np.sort(activation[:, k].max((1, 2)))[::-1][:6]
        np.testing.assert_allclose(
            [v for _, v in shown["pictures"]], values[values != 0], rtol=1e-3
        )
        assert shown["row"] == {"filter": k}


def test_without_segmentation_how_it_was_made_says_so(classified: PlantedRun) -> None:
    page, bank = ReportPage(classified.folder / "report.html"), classified.classifiers
    filters = bank.weight.shape[1]
    wanted = made_of(
        classified,
        bank,
        network=[f"custom, weights random (digest {bank.header['weights_digest']})"],
        layer=[f"late: {filters} filters on a grid of {SIZE} x {SIZE}"],
        seeds=["5, 6, 7"],
        **{"left out": ["nothing"]},
    )
    assert_made(page, wanted)
    perplexity = (len(NAMES) - 1) / 3
    (space,) = page.content["spaces"]
    assert space["note"] == f"t-SNE, cosine distance, perplexity {perplexity:.3g}, seed 5"
    assert np.isfinite(np.array(space["position"], dtype=float)).all()


def test_the_overview_has_a_row_per_layer_and_leads_to_their_pages(two_layers: PlantedRun) -> None:
    folder = two_layers.folder
    overview = (folder / "report.html").read_text(encoding="utf-8")
    assert ReportPage(folder / "report.html").title == ("custom on data: 2 layers",) * 2
    rows = [[re.sub("<td.*?>", "", cell) for cell in row.split("</td>")[:-1]]
            for row in re.findall("<tr>(<td.*?)</tr>", overview)]  # fmt: skip
    names = re.findall('<button type="button">(.*?)</button>', overview)
    alike = re.search(r"In every row: (.*?)\.\s+<span", overview)
    table = read_table(folder / "layers.csv")
    same = [n for n in table[0] if table[0][n] == table[1][n]]
    assert names == [name for name in table[0] if name not in same]
    for cells, row in zip(rows, table, strict=True):
        link, *numbers = cells
        assert link == f'<a href="{row["layer"]}/report.html">{row["layer"]}</a>'
        assert (folder / row["layer"] / "report.html").exists()
        assert numbers == [told(row[name]) for name in names[1:]]
    if same:
        assert alike is not None
        assert alike[1] == ", ".join(f"{name} {told(table[0][name])}" for name in same)
    assert "<h3>Means over concepts, on val</h3>" in overview
    assert "File: layers.csv" in overview
    assert text_of(re.findall("by more than chance: (<code>.*?</code>)", overview)[0]) == (
        f"python train.py task=compare 'runs=\"{folder}\"'"
    )
    assert [row["layer"] for row in table] == ["early", "late"]
    of_early = by_name(folder / "early" / "concepts.csv")
    assert float(table[0]["multi_val"]) == pytest.approx(
        mean(r["multi_val"] for r in of_early.values())
    )


def mean(values: Iterable[str]) -> float:
    return float(np.nanmean([float(value) for value in values]))


def told(value: str) -> str:
    """Write a cell of a table with three digits, whole numbers as such."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.0f}" if number.is_integer() else f"{number:.3f}"
