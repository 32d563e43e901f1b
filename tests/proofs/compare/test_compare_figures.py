"""What the figures of a comparison are made of: the right numbers, in the right order."""

import numpy as np
import pytest
from support import compared_tables as expected
from support.compared_runs import (
    COMMON,
    CONV3,
    CONV4,
    CONV5,
    FEATURES_3,
    FEATURES_14,
    GROUPS,
    KINDS,
    Made,
)

from .conftest import Compared

IOU, ACCURACY = "set IoU on val, combination", "balanced accuracy on val, all filters"
PANELS = {
    "set IoU on val, best single filter": "single_val",
    IOU: "multi_val",
    "average precision on val": "ap_val",
    ACCURACY: "accuracy",
    "balanced accuracy on val, best filter": "best_accuracy",
    "filters for 80 % of the gain over the reference level (median)": "filters_needed",
    "filters for 80 % of the gain over chance (median)": "filters_needed_classification",
    "concepts that a filter detects": "detected_by_single",
    "concepts that a combination detects": "detected_by_multi",
}
SERIES = {
    "made up": "shapesnet denominator=containing 10 concepts",
    "made up #2": "mine.Net denominator=containing 4 concepts",
    "made up #3": "shapesnet denominator=annotated 3 concepts",
}


def test_curves_have_the_means_and_bounds_of_every_setting_and_category(
    all_runs: Compared,
) -> None:
    drawn = all_runs.of("curves_over_depth")
    for (panels, labels, series), group in zip(drawn, GROUPS, strict=True):
        assert labels == expected.labels(group)
        assert series == [SERIES[group]] * len(labels)
        rows = expected.categories(group)
        kinds = dict.fromkeys(row["category"] for row in rows)
        wanted: dict[str, dict[str, list[list[float]]]] = {}
        for title, score in PANELS.items():
            for kind in kinds:
                mine = [row for row in rows if row["category"] == kind]
                curve = [
                    [row.get(name, np.nan) for name in (score, f"{score}_low", f"{score}_high")]
                    for label in labels
                    for row in mine
                    if row["setting"] == label
                ]
                if np.isfinite(np.array(curve, dtype=float)[:, 0]).any():
                    at = {row["setting"] for row in mine}
                    absent = [[np.nan] * 3 for label in labels if label not in at]
                    assert not absent or labels[1] not in at  # conv4 has no scenes
                    full = [curve[0], *absent, *curve[1:]]
                    wanted.setdefault(title, {})[kind] = full
        assert [*panels] == [*wanted]
        for title, lines in wanted.items():
            assert {*panels[title]} == {*lines}
            for kind, curve in lines.items():
                np.testing.assert_allclose(panels[title][kind], np.array(curve, dtype=float).T)


def values(
    settings: list[Made], concepts: list[str], score: str
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[expected.mean(made, score, c) for c in concepts] for made in settings])


def test_heat_maps_have_the_concepts_that_all_have(all_runs: Compared) -> None:
    drawn = iter(all_runs.of("concept_heat_map"))
    for group in GROUPS:
        for names, title in ((expected.SEGMENTED, IOU), (expected.CLASSIFIED, ACCURACY)):
            if not (settings := expected.having(group, names)):
                continue
            scores, concepts, categories, labels, score = next(drawn)
            wanted = expected.scored(settings[0], names)
            assert [*concepts] == wanted
            assert [*categories] == [KINDS[c] for c in wanted]
            assert labels == [made.label for made in settings]
            assert score == title
            np.testing.assert_allclose(scores, values(settings, wanted, names[0]).T)
    assert not [*drawn]


def test_scatters_show_the_pair_that_differs_most_first_on_x(all_runs: Compared) -> None:
    cases = [
        ((CONV3, CONV4), COMMON, "multi_val", "set IoU"),
        ((CONV3, CONV5), ["sky", "ear", "sea", "red", "park"], "accuracy", "accuracy"),
        ((FEATURES_3, FEATURES_14), ["sky", "ear", "sea", "red"], "multi_val", "set IoU"),
    ]
    for found, (settings, wanted, name, title) in zip(
        all_runs.of("concept_scatters"), cases, strict=True
    ):
        pairs, scores, concepts, categories, score = found
        assert pairs == [tuple(made.label for made in settings)]  # no setting twice
        assert ([*concepts], score) == (wanted, title)
        assert [*categories] == [KINDS[c] for c in wanted]
        np.testing.assert_allclose(scores[0], values([*settings], wanted, name))
    apart = {
        (a.layer, b.layer): np.abs(
            values([a], COMMON, "multi_val") - values([b], COMMON, "multi_val")
        ).mean()
        for a, b in ((CONV3, CONV4), (CONV3, CONV5), (CONV4, CONV5))
    }
    assert max(apart, key=lambda pair: apart[pair]) == ("conv3", "conv4")


def test_distances_are_drawn_of_every_two_entries(all_runs: Compared) -> None:
    drawn = iter(all_runs.of("distance_heat_maps"))
    for group in ("made up", "made up #2"):
        of: dict[str, list[expected.Row]] = {}
        for row in expected.distances(group):
            of.setdefault(row["target"], []).append(row)
        for rows in of.values():
            squares, labels = next(drawn)
            assert [*labels] == [
                *dict.fromkeys(row[s] for s in ("first", "second") for row in rows)
            ]
            names = {
                "distance per pair of concepts (alike: 0)": "distance_per_pair",
                "Spearman's correlation of cosines (alike: 1)": "correlation",
            }
            assert [*squares] == [*names]
            for title, name in names.items():
                square = squares[title]
                assert np.isnan(np.diag(square)).all()
                for row in rows:
                    a, b = labels.index(row["first"]), labels.index(row["second"])
                    assert square[a, b] == square[b, a] == pytest.approx(row[name])
    assert not [*drawn]
