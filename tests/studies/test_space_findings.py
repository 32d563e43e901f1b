"""What is said of planted embeddings, and what is not said of those that can say nothing."""

import logging
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from support.cli import read_table
from support.embeddings import bank, groups

from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.studies import Study
from net2vec_pl.studies.space import (
    NamedBank,
    Space,
    _arithmetic,
    _categories,
    _clusters,
    _neighbours,
    _tell_apart,
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    job = Mock(spec=LayerJob)
    job.folder, job.setup = tmp_path, Mock()
    job.setup.options.draw, job.setup.options.seed = False, 0
    return Study(job, None, None)


def named(weight: np.ndarray, categories: list[str], suffix: str = "") -> NamedBank:
    return NamedBank([f"c{c}" for c in range(len(weight))], categories, weight, suffix)


def statements(study: Study) -> list[str]:
    return [finding.statement for finding in study.findings]


def test_planted_categories_are_found_and_a_p_at_its_floor_is_a_bound(study: Study) -> None:
    planted = named(*groups(each=8))
    _clusters(study, planted, 10_000)
    _categories(study, planted, "segmentation", Space())
    clustered, near = statements(study)
    assert clustered.endswith("p <= 0.005).")
    assert near == (
        "Of the 5 nearest embeddings that segment, 100% are of the concept's own category in the "
        "mean over categories (chance 47%, p <= 0.001)."
    )


def test_a_small_set_is_asked_for_its_nearest(study: Study) -> None:
    _categories(study, named(bank(6), ["a", "b"] * 3), "segmentation", Space())
    assert statements(study)[0].startswith("Of the nearest embeddings that segment, ")


@pytest.mark.parametrize(
    ("weight", "categories", "reason"),
    [
        (bank(9), ["a"] * 9, "all concepts are of one category"),
        (bank(9), [*"abcdefghi"], "every concept has a category of its own"),
        (np.ones((9, 3)), ["a", "b", "c"] * 3, "all cosines are equal"),
    ],
)
def test_nothing_is_found_where_every_permutation_gives_the_same(
    study: Study,
    weight: np.ndarray,
    categories: list[str],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    _clusters(study, named(weight, categories), 100)
    _categories(study, named(weight, categories), "segmentation", Space())
    assert not study.findings
    assert reason in caplog.text
    assert "2 clusters and 2 categories are needed" in caplog.text


def test_embeddings_and_patterns_differ_where_none_of_the_nearest_is_the_same(study: Study) -> None:
    twins = np.eye(5)[[0, 0, 0, 1, 1, 2]]  # the first three are as near to each other
    others = twins.copy()
    others[[0, 1]] = [[9, 0, 0, 1, 0], [9, 0, 0, 0, 1]]  # nearest is one of the three, still
    others[3] = np.eye(5)[2]
    _tell_apart(study, named(twins, [""] * 6), named(others, [""] * 6))
    (finding,) = study.findings
    assert finding.value == pytest.approx(1 / 6)
    assert finding.n == 6
    assert finding.statement.endswith("another one, as for c3 (c4; c5).")


@pytest.mark.parametrize("concepts", [0, 1, 2])
def test_two_concepts_have_no_other_neighbour_to_differ_by(study: Study, concepts: int) -> None:
    weight = bank(4)
    weight[concepts:] = 0
    _tell_apart(study, named(weight, [""] * 4), named(bank(4, seed=1), [""] * 4))
    assert not study.findings


def test_a_tie_that_the_order_of_the_bank_decided_is_said(study: Study) -> None:
    _neighbours(study, named(np.eye(3)[[0, 0, 1, 1, 1, 2]], [""] * 6), 2)
    rows = read_table(study.job.folder / "analysis" / "nearest.csv")
    assert [(row["concept"], row["neighbour"], row["status"]) for row in rows][:6] == [
        ("c0", "c1", "ok"),
        ("c0", "c2", "3 more as near"),
        ("c1", "c0", "ok"),
        ("c1", "c2", "3 more as near"),
        ("c2", "c3", "ok"),
        ("c2", "c4", "ok"),
    ]


def test_no_sum_is_tried_unasked(study: Study) -> None:
    _arithmetic(study, named(bank(9), [""] * 9), Space())
    assert not study.tables.get("arithmetic")
    assert not (study.job.folder / "analysis").exists()
