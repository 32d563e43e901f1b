"""``learn`` takes folders of image files, which it recognises by their layout."""

from pathlib import Path

import pytest
from support.fake_data.mask_sets import labels, photograph, save
from support.layouts import NAMES, as_index_masks

from net2vec_pl.api.data import data_given
from net2vec_pl.errors import ConfigError

NOTHING = dict.fromkeys(("names", "split", "groups", "image_size", "mask_size"))


def test_a_folder_of_masks_takes_names_split_and_sizes(tmp_path: Path) -> None:
    as_index_masks(tmp_path)
    found = data_given(
        {**NOTHING, "data": tmp_path, "names": [*NAMES], "split": 0.4, "image_size": 48}
    )
    assert (found.choice, found.reader) == ("masks", None)
    assert found.values == {
        "data.root": str(tmp_path),
        "data.labels": [*NAMES],
        "data.split": 0.4,
        "data.image_size": 48,
    }
    with pytest.raises(ConfigError, match=r"^groups of .* must be a pattern"):
        data_given({**NOTHING, "data": tmp_path, "groups": [1, 2]})


def test_a_folder_of_classes_and_any_other(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(photograph(0), tmp_path / "a" / name / "1.png")
    save(labels(0, (1,)), tmp_path / "b" / "1.png")
    assert data_given({**NOTHING, "data": str(tmp_path / "a")}).choice == "classes"
    assert data_given({**NOTHING, "data": tmp_path / "b"}).choice == "broden"
