"""What a run puts on its page: the same masks and numbers that its tables have."""

import html
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.cli import QUICK, by_name, read_table, run_cli

import net2vec_pl
import net2vec_pl.page.layer as page_of_layer
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.options import quoted
from net2vec_pl.page.gallery import (
    EMBEDDING,
    FILTER,
    TRUTH,
    Gallery,
    choose_images,
    gallery,
)
from net2vec_pl.page.rows import concept_rows
from net2vec_pl.page.views import Bank, Views
from net2vec_pl.records import Estimate
from net2vec_pl.records.run import ClassifiedRow, ClassifierScores, ConceptRow
from net2vec_pl.records.studies import IntervalRow, NeededRow
from net2vec_pl.report import LayerTables
from net2vec_pl.report.layer_page import LayerPage
from net2vec_pl.studies.study import Study

SMALL = [option for option in QUICK if option != "report=false"]


def page_of(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> LayerPage:
    """Run the main job and catch its page before it becomes a file."""
    caught: list[LayerPage] = []
    monkeypatch.setattr(page_of_layer, "write_report", lambda _path, page: caught.append(page))
    assert run_cli(monkeypatch, folder, *SMALL, *arguments, "run.dir=out") == 0
    (page,) = caught
    return page


def set_iou(page: LayerPage, concept: int, name: str) -> float:
    """Set IoU over the examples of a concept."""
    inside = union = 0
    for example in page.concepts[concept].examples:
        mask, truth = example.masks[name], example.masks[TRUTH]
        inside, union = inside + (mask & truth).sum(), union + (mask | truth).sum()
    return float(inside / union)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("protocol=best", "cache=none"),  # what is kept in memory is float16
        ("protocol=netdissect",),
        ("protocol.input=raw", "protocol.threshold_order=after", "cache=none"),
    ],
)
def test_masks_are_those_that_the_tables_score(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...]
) -> None:
    page = page_of(monkeypatch, tmp_path, *options, "protocol.denominator=containing")
    scores = by_name(tmp_path / "out" / "concepts.csv")
    few = 0
    for c, concept in enumerate(page.concepts):
        row = scores[str(concept.row["name"])]
        if 0 < int(row["n_val"]) == len(concept.examples) and row["status"] == "ok":
            few += 1
            assert set_iou(page, c, EMBEDDING) == pytest.approx(float(row["multi_val"]), abs=1e-6)
            assert set_iou(page, c, FILTER) == pytest.approx(float(row["single_val"]), abs=1e-6)
    assert few > 10


def test_every_number_can_be_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = page_of(monkeypatch, tmp_path, "target=both", "analysis=basic", "seeds=2")
    assert page.findings
    assert set(page.spaces) == {"segmentation", "classification"}
    names = [str(concept.row["name"]) for concept in page.concepts]
    assert len(set(names)) == len(names)
    bank = net2vec_pl.load_bank(tmp_path / "out")
    for name in bank.names:
        c = names.index(name)
        for near in bank.nearest(name, 3):
            found = page.spaces["segmentation"].cosine[c, names.index(near.name)]
            assert found == pytest.approx(near.cosine, abs=1e-6)
        for k, weight in page.concepts[c].filters["segmentation"]:
            assert weight == pytest.approx(float(bank[name][k]))
    reader = ShapesReader(num_images=60, image_size=32, seed=0)
    largest = np.array(
        [
            bank.backbone(reader[row].image[None])[0].flatten(1).amax(1).numpy()
            for row in np.flatnonzero(~reader.is_train).tolist()
        ]
    )
    for view in page.filters:
        k = int(view.row["filter"])
        values = [value for _, value in view.pictures]
        np.testing.assert_allclose(values, np.sort(largest[:, k])[: -len(values) - 1 : -1], 1e-4)
        np.testing.assert_allclose(values, [largest[at, k] for at, _ in view.pictures], 1e-4)
        for c, share in view.concepts:
            unit = bank[names[c]] / bank[names[c]].norm()
            assert share == pytest.approx(float(unit[k]), abs=1e-6)
    assert len(page.figures) > 5
    assert "digest" in page.made["data"]


def test_curves_and_histograms_count_what_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = ("analysis=basic", "analysis.names=[subsets]", "analysis.sizes=[1,4]")
    page = page_of(monkeypatch, tmp_path, *options, "analysis.penalties=0")
    retrained = {
        (row["name"], int(row["filters"])): float(row["retrained"])
        for row in read_table(tmp_path / "out" / "analysis" / "subsets.csv")
    }
    rows = read_table(tmp_path / "out" / "concepts.csv")
    for column, words in (("multi_val", "combination"), ("single_val", "best single filter")):
        mean = np.nanmean([float(row[column]) for row in rows])
        assert page.key_numbers[f"mean set IoU on val, {words}"] == f"{mean:.3f}"
    scored = [view for view in page.concepts if np.isfinite(view.row["multi_val"])]
    assert scored
    for view in scored:
        assert [size for size, _ in view.curve] == [1, 4, 128]
        for size, value in view.curve:
            assert value == pytest.approx(retrained[str(view.row["name"]), size])
        assert view.curve[-1][1] == pytest.approx(view.row["multi_val"], abs=1e-6)
        assert EMBEDDING in view.scores
        assert (FILTER in view.scores) == np.isfinite(view.row["best_filter"])
        for scores in view.scores.values():
            assert scores.present.sum() == view.row["n_val"]
            assert scores.present.sum() + scores.absent.sum() == len(page.pictures)


def test_images_score_by_their_means_where_they_are_classified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = page_of(monkeypatch, tmp_path, "target=classification")
    assert page.score == "mean response"
    bank = net2vec_pl.load_bank(tmp_path / "out")
    reader = ShapesReader(num_images=60, image_size=32, seed=0)
    val = [reader[row].image for row in np.flatnonzero(~reader.is_train).tolist()]
    pooled = bank.backbone(torch.stack(val)).mean((2, 3))
    views = {view.row["name"]: view for view in page.concepts}
    for name in bank.names:
        if not bank[name].isfinite().all():
            continue
        expected = pooled @ (bank[name] / bank[name].norm())
        shown = views[name].scores[EMBEDDING].pictures
        assert shown
        for picture, _, score in shown:
            assert score == pytest.approx(float(expected[picture]), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        ("target=classification",),
        ("data.names=[sky]",),
        ("target=classification", "data.names=[sky]"),
        ("target=classification", "layer=head"),
    ],
)
def test_a_page_is_left_whatever_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert run_cli(monkeypatch, tmp_path, *SMALL, *options, "run.dir=out") == 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_the_last_line_of_a_run_is_the_path_of_its_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch, tmp_path, *SMALL, "run.dir=out") == 0
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last == f"Report: {tmp_path / 'out' / 'report.html'}"


def test_several_layers_have_a_page_each_and_one_that_leads_to_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *SMALL, "layer=[conv4,conv5]", "run.dir=out") == 0
    overview = (tmp_path / "out" / "report.html").read_text()
    for layer in ("conv4", "conv5"):
        assert f'<a href="{layer}/report.html">{layer}</a>' in overview
        assert (tmp_path / "out" / layer / "report.html").exists()


def test_a_run_of_several_layers_killed_at_its_last_page_has_not_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layers = (*SMALL, "layer=[conv3,conv4]", "data.names=[sky]", "analysis=none")
    folder = tmp_path / "it's #1"
    place = 'run.dir="it\'s #1"'

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.job.leave_overview", stop)
        assert run_cli(broken, tmp_path, *layers, place) == 130
    assert run_cli(monkeypatch, tmp_path, f"run.resume={quoted(folder)}") == 0
    page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
    command = re.search("<code>(python train.py task=compare .*)</code>", page)
    assert command is not None
    options = shlex.split(command[1])[2:]
    assert run_cli(monkeypatch, tmp_path, *options, "run.dir=compared") == 0


def test_a_filter_that_never_answers_has_no_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def silence_two(study: Study) -> Gallery:
        seen = gallery(study)
        seen.largest[:, :2] = 0
        return seen

    monkeypatch.setattr(page_of_layer, "gallery", silence_two)
    page = page_of(monkeypatch, tmp_path, "data.names=[sky]", "analysis=none")
    assert [bool(view.pictures) for view in page.filters[:3]] == [False, False, True]


def test_a_concept_without_embedding_relies_on_no_filter_and_has_no_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    banks_of = vars(Views)["banks"].func

    def without_first(views: Views) -> dict[str, Bank]:
        (name, bank), *others = banks_of(views).items()
        first, *rest = bank.items()
        return {name: dict([(first[0], np.full_like(first[1], np.nan)), *rest]), **dict(others)}

    monkeypatch.setattr(Views, "banks", property(without_first))
    page = page_of(monkeypatch, tmp_path, "data.names=[sky,road,wood]", "analysis=none")
    (space,) = page.spaces.values()
    assert np.isnan(space.cosine[0]).all()
    assert np.isnan(space.position[0]).all()
    assert np.isfinite(space.cosine[1:, 1:]).all()
    assert page.concepts[0].filters == {}
    assert page.concepts[1].filters
    assert {c for view in page.filters for c, _ in view.concepts} == {1, 2}


def test_no_page_is_made_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 0
    assert not (tmp_path / "out" / "report.html").exists()
    assert run_cli(monkeypatch, tmp_path, *SMALL, "report=perhaps", "run.dir=other") == 1


@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 6))), st.integers(1, 40))
def test_chosen_images_serve_rare_concepts_first(present: np.ndarray, most: int) -> None:
    chosen = choose_images(present, most=most, each=2)
    assert len(chosen) == min(most, len(present))
    assert (np.diff(chosen) > 0).all()
    wanted = np.minimum(present.sum(0), 2)
    if most >= wanted.sum():
        assert (present[chosen].sum(0) >= wanted).all()
    rarest = int(np.argsort(present.sum(0), kind="stable")[0])
    assert present[chosen, rarest].sum() >= min(wanted[rarest], most)


def test_rows_join_what_several_tables_say() -> None:
    # alpha, best filter, single on train and val, multi on train and val, AP, norm
    sky = ConceptRow(1, "sky", "object", 3, 2, 0.5, 4, 0.2, 0.1, 0.4, 0.3, 0.5, 1.0, "ok")
    classified = [classified_row("sky", "object"), classified_row("street", "scene")]
    needed = [NeededRow("sky", "object", 0.1, 0.5, {"50%": 1.0, "80%": 2.0}, "ok")]
    intervals = [
        IntervalRow("sky", "object", 2, Estimate(0.3), Estimate(0.1), Estimate(0.2, -0.1, 0.4),
                    0.1, 0.2, 0.3, "undecided")
    ]  # fmt: skip
    rows = concept_rows(LayerTables([sky], classification=classified), intervals, needed)
    by_name = {row["name"]: row for row in rows}
    found = by_name["sky"]
    assert found["gain"] == pytest.approx(0.2)
    assert (found["gain_low"], found["gain_high"]) == (-0.1, 0.4)
    assert (found["accuracy"], found["best_filter"]) == (0.9, 4)
    assert found["filters_for_80%"] == 2.0
    assert np.isnan([by_name["street"][c] for c in ("multi_val", "gain", "gain_low")]).all()
    assert math.isnan(float(by_name["street"]["filters_for_80%"]))
    assert list(found) == list(by_name["street"])


def test_where_nothing_is_segmented_the_best_filter_is_the_best_classifier() -> None:
    tables = LayerTables(classification=[classified_row("street", "scene")])
    (found,) = concept_rows(tables, [], [])
    row = {"name": "street", "category": "scene", "n_train": 3, "n_val": 2, "status": "ok"}
    assert found == row | {
        "best_filter": 7,
        "accuracy": 0.9,
        "best_accuracy": 0.8,
        "auc": 0.95,
        "n_val_without": 12,
    }


def classified_row(name: str, category: str) -> ClassifiedRow:
    """Return the row of a concept in ``classification.csv``."""
    multi, top, best = (
        ClassifierScores(accuracy, 0.6, auc, 0.6, auc)
        for accuracy, auc in ((0.9, 0.95), (0.7, 0.75), (0.8, 0.85))
    )
    return ClassifiedRow(2, name, category, 3, 2, 12, 11, 5, 7, multi, top, best, 1.0, "ok")
