"""Which files are for training: what folders say counts only if they say both."""

from pathlib import Path

from net2vec_pl.datasets.files.split import split_names


def test_folders_of_both_sides_are_the_split(tmp_path: Path) -> None:
    names, is_train = split_names(["train/a", "val/b", "test/c"], None, tmp_path, 0)
    assert (names, is_train.tolist()) == (["train/a", "val/b"], [True, False])


def test_a_folder_of_one_side_alone_is_no_split(tmp_path: Path) -> None:
    given = [f"train/{i}" for i in range(10)]
    names, is_train = split_names(given, None, tmp_path, 0)
    assert names == given
    assert is_train.sum() == 7  # a share of 0.3 is drawn
