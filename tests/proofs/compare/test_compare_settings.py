"""What makes a setting, a group, a label and their order, and what is said to differ."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_data.runs import Classified, Extras, OtherSeed, write_run

from net2vec_pl.compare import check, tables
from net2vec_pl.compare.collect import collect
from net2vec_pl.compare.over_images import counted
from net2vec_pl.compare.settings import Group, grouped
from net2vec_pl.protocol import ClassificationProtocol, Protocol
from net2vec_pl.records.compare import SegmentedMeans

SCORES = {"sky": 0.5, "sea": 0.4, "ear": 0.3}
DATA = {"name": "made up", "digest": "d1g35t", "mask_size": [8, 8], "readable": 10}
SEEDED = np.ones((3, 2))
BESIDE = "compared as they are: a difference in scores may come from it"
SCALED, STD = "mean [0.5, 0.5, 0.5]", "[0.25, 0.25, 0.25]"
APART = "compared in groups of their own, never with each other"


def run(top: Path, name: str, **options: Any) -> None:
    scores = options.pop("scores", SCORES)
    write_run(top / "runs" / name, scores, **options)


def groups(top: Path) -> list[Group]:
    return grouped(collect([str(top / "runs")]).entries)


def labels(top: Path) -> list[str]:
    return [setting.label for group in groups(top) for setting in group.settings]


def differing(top: Path) -> list[str]:
    return [difference.statement for difference in check.differences(groups(top))]


def test_settings_stand_by_series_in_order_of_appearance_and_then_by_depth(tmp_path: Path) -> None:
    run(tmp_path, "a", layer="conv5", model="shapesnet")
    run(tmp_path, "b", layer="conv2", model="alexnet", header={"module_path": "features.3"})
    run(tmp_path, "c", layer="conv3", model="shapesnet")
    run(tmp_path, "d", layer="conv1", model="alexnet", header={"module_path": "features.0"})
    (group,) = groups(tmp_path)
    assert [s.label for s in group.settings] == [
        "shapesnet conv3", "shapesnet conv5", "alexnet conv1", "alexnet conv2",
    ]  # fmt: skip
    assert [s.series for s in group.settings] == ["shapesnet"] * 2 + ["alexnet"] * 2


def test_layers_of_an_unknown_network_stand_by_the_size_of_their_maps_first(tmp_path: Path) -> None:
    for name, layer, side in (("a", "b.2", 2), ("b", "a.10", 2), ("c", "z", 9), ("d", "a.9", 2)):
        run(tmp_path, name, layer=layer, model="own", header={"activation_shape": [8, side, 4]})
    assert labels(tmp_path) == ["z", "a.9", "a.10", "b.2"]


def test_seeds_of_a_setting_stand_in_order_and_a_copy_is_a_setting_of_its_own(
    tmp_path: Path,
) -> None:
    for name, seed in (("a", 5), ("b", 3), ("c", 5)):
        run(tmp_path, name, seed=seed)
    (group,) = groups(tmp_path)
    assert [s.entry_labels for s in group.settings] == [["conv5 seed 3", "conv5 seed 5"],
                                                        ["conv5 #2"]]  # fmt: skip


def test_further_seeds_of_a_run_have_its_seed_and_more_and_their_own_scores(
    tmp_path: Path,
) -> None:
    others = [
        OtherSeed(
            SEEDED * (i + 2.0), {name: 0.1 * i for name in SCORES}, dict.fromkeys(SCORES, 0.9)
        )
        for i in (1, 2)
    ]
    run(tmp_path, "a", seed=7, weight=SEEDED, single=0.2, others=others)
    (group,) = groups(tmp_path)
    (setting,) = group.settings
    assert [e.seed for e in setting.entries] == [7, 8, 9]
    assert [e.scores["multi_val"]["sea"] for e in setting.entries] == [0.4, 0.1, 0.2]
    assert [e.scores["ap_val"]["sea"] for e in setting.entries] == [0.4, 0.9, 0.9]
    assert [e.scores["single_val"]["sea"] for e in setting.entries] == [0.2] * 3
    banks = [e.embeddings["segmentation"].weight for e in setting.entries]
    assert [bank[0, 0] for bank in banks] == [1.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"layer": "conv4"}, ["conv4", "conv5"]),
        ({"model": "alexnet", "layer": "conv5"}, ["shapesnet", "alexnet"]),
        ({"protocol": {"name": "best"}}, ["paper", "best"]),
        ({"protocol": {"lr": 0.5}}, ["lr=0.0001", "lr=0.5"]),
        ({"protocol": {"classification": ClassificationProtocol(lr=0.5)}},
         ["classification.lr=0.1", "classification.lr=0.5"]),
        ({"header": {"weights_digest": "0123456789abcdef"}}, ["weights of sha", "weights 012345"]),
        ({"header": {"input_transform": {"image_size": [64, 32]}}}, ["16x16", "64x32"]),
        ({"header": {"versions": {"net2vec_pl": "9"}}}, ["v0", "v9"]),
        ({"header": {"data": DATA | {"name": "other", "digest": "0"}}}, ["made up", "other"]),
        ({"scores": SCORES | {"leg": 0.1}}, ["3 concepts", "4 concepts"]),
        ({"seed": 1}, ["conv5"]),
    ],
)  # fmt: skip
def test_a_label_says_what_differs_and_nothing_else(
    options: dict[str, Any], found: list[str], tmp_path: Path
) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", **options)
    assert labels(tmp_path) == found


def test_pieces_of_a_label_have_an_order(tmp_path: Path) -> None:
    run(tmp_path, "a")
    other = {"data": DATA | {"name": "other", "digest": "0"}, "weights_digest": "w" * 9}
    further = {"versions": {"net2vec_pl": "9"}, "input_transform": {"image_size": [64, 32]}}
    run(tmp_path, "b", layer="conv4", protocol={"name": "best"}, header=other | further,
        scores={"sky": 0.5})  # fmt: skip
    assert labels(tmp_path) == [
        "made up weights of sha conv5 paper 16x16 3 concepts v0",
        "other weights wwwwww conv4 best 64x32 1 concepts v9",
    ]


def test_one_protocol_among_others_names_what_its_namesakes_change(tmp_path: Path) -> None:
    run(tmp_path, "a", protocol={"tau": 0.01})
    run(tmp_path, "b", protocol={"tau": 0.02})
    run(tmp_path, "c", protocol={"name": "best", "lr": 0.5})
    assert labels(tmp_path) == ["paper tau=0.01", "paper tau=0.02", "best"]


def test_groups_have_one_digest_and_one_denominator(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", digest="other", layer="conv4")
    run(tmp_path, "c", protocol={"denominator": "annotated"}, layer="conv3")
    run(tmp_path, "d", protocol={"name": "best"}, layer="conv2")
    run(tmp_path, "e", header={"data": DATA | {"name": "renamed"}}, layer="conv1")
    found = groups(tmp_path)
    assert [group.name for group in found] == ["made up", "made up #2", "made up #3"]
    layers = [{setting.first.layer for setting in group.settings} for group in found]
    assert layers == [{"conv5", "conv2", "conv1"}, {"conv4"}, {"conv3"}]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"header": {"versions": {"net2vec_pl": "9"}}},
         "package version: 0 (v0); 9 (v9) - the numbers may have moved between versions; the "
         "changelog says which."),
        ({"header": {"weights_digest": "0123456789abcdef"}},
         f"weights of shapesnet: of shapesnet (weights of sha); 0123456789ab (weights 012345) - "
         f"{BESIDE}."),
        ({"header": {"input_transform": {"name": "own", "image_size": [64, 32]}}},
         f"input of shapesnet: image_size [16, 16], {SCALED}, name half, std {STD} (16x16); "
         f"image_size [64, 32], {SCALED}, name own, std {STD} (64x32) - {BESIDE}."),
        ({"protocol": {"lr": 0.5}}, f"protocol.lr: 0.0001 (lr=0.0001); 0.5 (lr=0.5) - {BESIDE}."),
        ({"protocol": {"denominator": "annotated"}},
         "protocol.denominator: containing (denominator=containing); annotated "
         f"(denominator=annotated) - {APART}."),
        ({"header": {"data": DATA | {"mask_size": [4, 6]}}, "layer": "conv4"},
         f"mask size: 4x6 (conv4); 8x8 (conv5) - {APART}."),
        ({"header": {"data": DATA | {"digest": "0123456789"}}, "layer": "conv4"},
         f"data: made up, digest d1g35t (conv5); made up, digest 01234567 (conv4) - {APART}."),
    ],
)  # fmt: skip
def test_what_differs_is_told_whole(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", **options)
    assert differing(tmp_path) == [told]


def test_models_have_weights_of_their_own(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", model="alexnet", header={"module_path": "features.0"})
    run(tmp_path, "c", protocol={"name": "best"})
    assert differing(tmp_path) == []


def test_an_option_that_one_protocol_lacks_is_absent(tmp_path: Path) -> None:
    older = {name: value for name, value in Protocol().plain().items() if name != "lr_decay"}
    run(tmp_path, "a")
    run(tmp_path, "b", layer="conv4", header={"protocol": older})
    assert differing(tmp_path) == [
        f"protocol.lr_decay: none (conv5 lr_decay=none); absent (conv4) - {BESIDE}."
    ]


def test_concepts_that_some_lack_are_told_of_each_target(tmp_path: Path) -> None:
    run(tmp_path, "a", layer="conv4", classified=Classified({"sky": 0.5, "park": 0.5}))
    run(tmp_path, "b", classified=Classified({"sky": 0.5}),
        scores={"sea": 0.4, "sky": 0.5})  # fmt: skip
    run(tmp_path, "c", layer="conv3")
    (group,) = groups(tmp_path)
    digests = {s.first.layer: s.first.vocabularies for s in group.settings}
    one, two = (digests[layer] for layer in ("conv4", "conv5"))
    assert digests["conv3"] == {"segmentation": one["segmentation"]}
    assert [told["segmentation"][:18] for told in (one, two)] == [
        "3 concepts, digest",
        "2 concepts, digest",
    ]
    # conv4 and conv3 are of one series, conv5 probes other concepts
    a, c, b = labels(tmp_path)[1], labels(tmp_path)[0], labels(tmp_path)[2]
    assert (a, b, c) == ("conv4 3 concepts", "conv5 2 concepts", "conv3 3 concepts")
    over = "scores and embeddings are compared over those that all have"
    assert differing(tmp_path) == [
        f"concepts probed, segmentation: {one['segmentation']} ({c}, {a}); "
        f"{two['segmentation']} ({b}) - {over}.",
        f"concepts scored, segmentation: by all: 2 ({c}, {a}, {b}); not by all: ear ({b}) - "
        "scores are compared over the 2 that all have.",
        f"concepts probed, classification: {one['classification']} ({a}); "
        f"{two['classification']} ({b}) - {over}.",
        f"concepts scored, classification: by all: 1 ({a}, {b}); not by all: park ({b}) - "
        "scores are compared over the 1 that all have.",
    ]


def test_the_order_of_concepts_makes_no_other_vocabulary(tmp_path: Path) -> None:
    kinds = dict.fromkeys(SCORES, "object")
    run(tmp_path, "a", categories=kinds)
    run(tmp_path, "b", layer="conv4", categories=kinds, scores=dict(reversed(SCORES.items())))
    assert differing(tmp_path) == []
    (group,) = groups(tmp_path)
    scores = group.scores("segmentation")
    assert scores is not None
    assert scores.concepts == ("ear", "sea", "sky")
    assert scores.mean("multi_val").tolist() == [[0.3, 0.4, 0.5]] * 2


# -------------------- what intervals are over


def segmented(top: Path) -> list[SegmentedMeans]:
    """Return the means of every setting and category."""
    (group,) = groups(top)
    found = counted(group.scores("segmentation"))
    return [row.segmented for row in tables.category_rows(group, found) if row.segmented]


def over(top: Path) -> list[tuple[str, str]]:
    """Return what the intervals of each setting are over, or why there are none."""
    rows = segmented(top)
    assert all((row.gain.mean.low == row.gain.mean.low) == bool(row.interval_over) for row in rows)
    return [*dict.fromkeys((row.interval_over, row.no_interval) for row in rows)]


def untested(top: Path) -> list[str]:
    """Say why the pairs of settings have no p, by their mean of several filters."""
    (group,) = groups(top)
    rows = tables.pair_rows(group, counted(group.scores("segmentation")))
    assert all((row.p == row.p) == (row.untested == "") for row in rows)
    return [row.untested for row in rows if row.score == "multi_val"]


@pytest.mark.parametrize(
    ("extras", "expected"),
    [
        (Extras(images=10), ("images", "")),
        (Extras(images=9), ("", "fewer than 10 images")),
        (Extras(images=12, groups=3), ("groups", "")),
        (Extras(images=12, groups=2), ("", "fewer than 3 groups, or 10 images")),
        (Extras(images=9, groups=3), ("", "fewer than 3 groups, or 10 images")),
        (Extras(), ("", "no val_counts.safetensors")),
    ],
)
def test_intervals_are_over_val_images_or_it_is_told_why_there_are_none(
    extras: Extras, expected: tuple[str, str], tmp_path: Path
) -> None:
    run(tmp_path, "a", extras=extras)
    assert over(tmp_path) == [expected]


def test_counts_of_other_scores_are_not_taken(tmp_path: Path) -> None:
    run(tmp_path, "a", extras=Extras(images=12))
    run(tmp_path, "b", scores={name: of + 0.01 for name, of in SCORES.items()}, layer="conv4",
        extras=Extras(images=12))  # fmt: skip
    name = "val_counts.safetensors"
    shutil.copy(tmp_path / "runs" / "a" / name, tmp_path / "runs" / "b" / name)
    assert over(tmp_path) == [("", f"{name} is of other scores"), ("images", "")]
    (tmp_path / "runs" / "b" / name).write_bytes(b"cut off")
    assert over(tmp_path) == [("", f"{name} cannot be read"), ("images", "")]


def test_seeds_have_intervals_over_the_images_that_they_share(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tmp_path, f"{seed}", seed=seed, extras=Extras(images=12))
    assert over(tmp_path) == [("images", "")]
    run(tmp_path, "2", seed=2, extras=Extras(images=13))
    assert over(tmp_path) == [("", "seeds were scored on different val images")]


def test_settings_are_tested_where_their_images_and_groups_are_the_same(tmp_path: Path) -> None:
    for layer, extras in {
        "conv2": Extras(images=12), "conv3": Extras(images=12), "conv4": Extras(images=13),
        "conv5": Extras(images=12, groups=6),
    }.items():  # fmt: skip
        run(tmp_path, layer, layer=layer, extras=extras)
    assert untested(tmp_path) == ["", *["scored on other val images"] * 5]
    run(tmp_path, "conv1", layer="conv1")
    assert untested(tmp_path)[:4] == ["no val_counts.safetensors"] * 4


# -------------------- detection


@pytest.mark.parametrize(
    ("best", "expected"), [(0.04, 1.0), (0.0399, 0.0), (0.2, 1.0), (float("nan"), 0.0)]
)
def test_a_filter_detects_a_concept_from_a_set_iou_of_4_percent_on(
    best: float, expected: float, tmp_path: Path
) -> None:
    run(tmp_path, "a", extras=Extras(filters=[("sky", best), ("other", 0.9)]))
    assert segmented(tmp_path)[-1].detected_by_single == expected


@pytest.mark.parametrize("filters", [[0.3, 0.01], [0.01, 0.3]])
def test_of_a_concepts_filters_the_best_on_train_detects_it(
    filters: list[float], tmp_path: Path
) -> None:
    run(tmp_path, "a", extras=Extras(filters=[("sky", score) for score in filters]))
    assert segmented(tmp_path)[-1].detected_by_single == float(filters[-1] >= 0.04)


@pytest.mark.parametrize(("score", "expected"), [(0.04, 1), (0.0399, 0)])
def test_the_same_bar_holds_for_a_combination(score: float, expected: int, tmp_path: Path) -> None:
    run(tmp_path, "a", scores={"sky": score})
    assert segmented(tmp_path)[-1].detected_by_multi == expected


@pytest.mark.parametrize(("level", "expected"), [(0.49, 1), (0.5, 0)])
def test_what_is_detected_is_above_its_reference_level_too(
    level: float, expected: int, tmp_path: Path
) -> None:
    levels = {"sky": level, "sea": 0.9, "ear": 0.9}
    run(tmp_path, "a", levels=levels, extras=Extras(filters=[("sky", 0.5), ("sea", 0.5)]))
    assert segmented(tmp_path)[-1].detected_by_single == expected
    assert segmented(tmp_path)[-1].detected_by_multi == expected
