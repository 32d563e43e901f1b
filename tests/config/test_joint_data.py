"""``data=joint`` opens each set with the defaults of its own choice, and joins them."""

from pathlib import Path

import pytest
from support.cli import composed
from support.fake_data.ade20k import write_ade20k_2021
from support.fake_data.broden import write_broden_fixture

from net2vec_pl.config.plan import Plan
from net2vec_pl.data import ConceptReader
from net2vec_pl.errors import ConfigError, DataError


def opened(*options: str) -> ConceptReader:
    return Plan(composed("data=joint", *options)).reader


def test_sets_have_their_own_defaults_and_the_sizes_of_all(tmp_path: Path) -> None:
    write_broden_fixture(tmp_path / "small")
    write_ade20k_2021(tmp_path / "ade")
    joint = opened(
        f"+data.sets.broden={{name: broden, root: {tmp_path / 'small'}}}",
        f"+data.sets.ade={{name: ade20k, root: {tmp_path / 'ade'}, mask_size: [4, 5]}}",
        "data.image_size=[8,10]",
        "data.mask_size=7",  # the set itself says otherwise
    )
    assert joint.name == "broden+ade"
    assert (joint.image_size, joint.mask_size) == ((8, 10), (4, 5))
    assert len(joint) == 5 + 3
    door = joint.vocabulary[joint.vocabulary.row("door")]
    assert {*door.categories} == {"object", "part"}  # in both sets
    assert door.number == 61


def test_without_sizes_sets_have_those_of_the_network(tmp_path: Path) -> None:
    write_ade20k_2021(tmp_path)
    both = [f"+data.sets.{name}={{name: ade20k, root: {tmp_path}}}" for name in "ab"]
    joint = opened(*both, "model=alexnet")
    assert (joint.image_size, joint.mask_size) == ((224, 224), (112, 112))
    assert Plan(composed("data=ade20k", f"data.root={tmp_path}")).reader.image_size == (96, 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], r"^data=joint needs data\.sets, one entry a dataset: .*#joining-datasets\.$"),
        (["+data.sets.a=DIR"], r"^data\.sets\.a: 'DIR' must be options with a name, as in"),
        (["+data.sets.a={name: brodn}"], r"^data\.sets\.a: unknown dataset 'brodn'\. Did you mean"),
        (
            ["+data.sets.a={name: broden, rot: x}"],
            r"^data\.sets\.a: unknown option of data=broden 'rot'\. Did you mean 'root'\?",
        ),
        (
            ["+data.sets.a={name: broden, names: [sky]}"],
            r"^data\.sets\.a: names is said once for all sets, as data\.names\.",
        ),
        (["+data.sets.a={name: ade20k}"], r"^data\.sets\.a: data=ade20k needs data\.root=DIR"),
        (["+data.sets.a={name: shapes}"], r"needs two sets or more, not 1"),
    ],
)
def test_a_set_that_cannot_be_meant_is_told(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(*options)


def test_a_set_that_cannot_be_opened_is_told_by_its_name() -> None:
    with pytest.raises(DataError, match=r"^data\.sets\.a: data\.root=none: no such folder"):
        opened("+data.sets.a={name: broden, root: none}")
