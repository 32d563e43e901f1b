"""``concepts.csv``, ``filters.csv`` and ``seeds.csv`` of a planted run."""

import pytest

from proofs.conftest import PlantedRun

# Concept -> best filter, and set IoU of it and of several filters, on train and on val.
PLANTED = {
    "ball": ("0", 1, 1, 1, 1),
    "cup": ("1", 3 / 4, 1 / 4, 1, 1),
    "dog": ("2", 1 / 3, 1 / 3, 1, 1),
    "ear": ("5", 1 / 2, 1, 1, 1 / 2),
    "fin": ("11", 1 / 2, 1 / 2, 1 / 2, 1 / 2),
    "red-c": ("0", 1 / 2, 1 / 2, 1 / 2, 1 / 2),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_concept_scores_what_was_planted(run: PlantedRun, name: str) -> None:
    row = run.concepts()[name]
    columns = ("single_train", "single_val", "multi_train", "multi_val")
    assert row["best_filter"] == PLANTED[name][0]
    assert [float(row[column]) for column in columns] == pytest.approx(PLANTED[name][1:])
