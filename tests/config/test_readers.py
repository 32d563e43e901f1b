"""``data=NAME`` opens the dataset of that name, and nothing else."""

import pytest

from net2vec_pl.config.readers import open_reader
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import ConfigError


def test_an_unknown_dataset_is_told_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"^unknown dataset 'brodn'\. Did you mean 'broden'\?"):
        open_reader({"name": "brodn"}, lambda: (224, 224))


def test_broden_needs_its_folder() -> None:
    with pytest.raises(ConfigError, match=r"^data=broden needs data\.root=DIR"):
        open_reader({"name": "broden", "root": None, "group": None}, lambda: (224, 224))


def test_a_class_of_the_users_own_may_have_any_name() -> None:
    options = {
        "name": "mine",
        "_target_": "net2vec_pl.datasets.ShapesReader",
        "kwargs": {"num_images": 3},
        "group": None,
    }
    assert len(open_reader(options, lambda: (224, 224))) == 3


def test_the_size_of_the_network_is_asked_for_only_where_it_is_needed() -> None:
    def never() -> tuple[int, int]:
        raise AssertionError

    options = {"name": "shapes", "num_images": 3, "image_size": 48, "seed": 0, "group": None}
    assert isinstance(open_reader(options, never), ShapesReader)
