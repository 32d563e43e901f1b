"""Sets joined: every row is its set's with numbers mapped by name; what a set lacks is unknown."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.held_sets import HeldReader, HeldRow, held_sets

import net2vec_pl
from net2vec_pl.data import ConceptReader, scan_files
from net2vec_pl.data.batch import annotated_for
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.datasets import BrodenReader, JointReader, ShapesReader
from net2vec_pl.errors import ConfigError

LAMP = np.array([[7, 0, -1], [-8, 0, 0]])
WHEEL = np.array([[3, 3, 0], [0, -4, -1]])


def street() -> HeldReader:
    return HeldReader(
        "street",
        [(7, "lamp", ("object",)), (9, "car", ("object",))],
        [HeldRow([("object", LAMP)]), HeldRow([("object", LAMP)], train=False)],
        pixels={"object": True},
        groups=[5, 5],
    )


def parts() -> HeldReader:
    return HeldReader(
        "parts",
        [
            (3, "wheel", ("part",)),
            (7, "door", ("part", "object")),
            (1, "car", ("part",)),
            (4, "attic", ("scene",)),
        ],
        [HeldRow([("part", WHEEL)], [("scene", 4)]), HeldRow([("part", WHEEL), ("object", LAMP)])],
        pixels={"part": True, "object": True, "scene": False},
    )


def test_a_literal_set_of_two() -> None:
    joint = JointReader([street(), parts()])
    assert joint.name == "street+parts"
    assert [(c.number, c.name, c.category, c.categories) for c in joint.vocabulary] == [
        (7, "lamp", "object", ("object",)),
        (9, "car", "object", ("object", "part")),  # object: 2 images annotated, part: 2 as well
        (3, "wheel", "part", ("part",)),
        (10, "door", "part", ("part", "object")),  # 7 is the lamp's
        (4, "attic", "scene", ("scene",)),
    ]
    assert [(c.name, c.pixels) for c in joint.categories] == [
        ("object", True), ("part", True), ("scene", False),
    ]  # fmt: skip
    assert joint.annotated.tolist() == [
        [True, False, False], [True, False, False], [False, True, True], [True, True, False],
    ]  # fmt: skip
    assert joint.is_train.tolist() == [True, False, True, True]
    assert joint.image_names == ["street/0.png", "street/1.png", "parts/0.png", "parts/1.png"]
    assert joint.groups is not None
    assert joint.groups.tolist() == [0, 0, 1, 2]
    assert joint[0].label_maps.tolist() == [[[7, 0, -1], [-8, 0, 0]]]
    assert joint[3].label_maps.tolist() == [
        [[3, 3, 0], [0, -4, -1]],
        [[10, 0, -1], [-11, 0, 0]],  # the door: 7 of its own set
    ]
    assert joint[3].map_categories == ("part", "object")


def by_name(reader: ConceptReader, row: int) -> list[object]:
    """Return what a row holds, with names instead of numbers."""
    sample = reader[row]
    names = {0: "", -1: "?"}
    for c in reader.vocabulary:
        names |= {c.number: c.name, -1 - c.number: f"?{c.name}"}
    return [
        sample.image.tolist(),
        [[names[n] for n in labels.flatten().tolist()] for labels in sample.label_maps],
        sample.map_categories,
        [(category, names[n]) for category, n in sample.image_labels],
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(held_sets(), min_size=2, max_size=3))
def test_every_row_is_that_of_its_set_by_name(sets: list[HeldReader]) -> None:
    joint = JointReader(sets)
    assert len({c.number for c in joint.vocabulary}) == len(joint.vocabulary)
    assert {c.name for c in joint.vocabulary} == {c.name for s in sets for c in s.vocabulary}
    for concept in joint.vocabulary:
        of_sets = [c for s in sets for c in s.vocabulary if c.name == concept.name]
        assert {*concept.categories} == {name for c in of_sets for name in c.categories}
        assert concept.category in {c.category for c in of_sets}
    row = 0
    for reader in sets:
        own = [category.name for category in reader.categories]
        for place in range(len(reader)):
            assert by_name(joint, row) == by_name(reader, place)
            known = dict(zip(own, reader.annotated[place].tolist(), strict=True))
            assert joint.annotated[row].tolist() == [
                known.get(category.name, False) for category in joint.categories
            ]
            row += 1
    assert row == len(joint) == len({*joint.image_names})


@settings(max_examples=30, deadline=None)
@given(held_sets("one"), held_sets("two"))
def test_joined_sets_can_be_joined_again(one: HeldReader, two: HeldReader) -> None:
    """A set in which everything is renumbered holds the same names."""
    joint = JointReader({"new": JointReader([one, two]), "old": two})
    for place in range(len(two)):
        row = len(one) + place
        assert by_name(joint, row) == by_name(joint, row + len(two)) == by_name(two, place)


def test_the_category_with_the_most_annotated_images_is_the_primary_one() -> None:
    few, many = street(), parts()
    many.annotated = np.ones((2, 3), dtype=np.bool_)
    few.annotated = np.array([[True], [False]])
    car = JointReader([few, many]).vocabulary
    assert car[car.row("car")].category == "part"
    assert car[car.row("car")].categories == ("object", "part")


def test_two_small_sets_outweigh_a_larger_one_and_every_clash_gets_a_number_of_its_own() -> None:
    def of(name: str, category: str, images: int) -> HeldReader:
        rows = [HeldRow([(category, LAMP)])] * images
        concepts = [(7, "car", (category,)), (8, f"{name} 8", (category,)), (9, name, (category,))]
        return HeldReader(name, concepts, rows, pixels={category: True})

    joint = JointReader([of("a", "object", 3), of("b", "part", 2), of("c", "part", 2)])
    assert [(c.number, c.name, c.category) for c in joint.vocabulary] == [
        (7, "car", "part"), (8, "a 8", "object"), (9, "a", "object"), (10, "b 8", "part"),
        (11, "b", "part"), (12, "c 8", "part"), (13, "c", "part"),
    ]  # fmt: skip


def test_what_a_set_does_not_annotate_is_unknown_for_every_concept_of_that_kind() -> None:
    joint = JointReader([street(), parts()])
    known = annotated_for(joint.vocabulary, joint, np.arange(4))
    assert known[:, joint.vocabulary.row("wheel")].tolist() == [False, False, True, True]
    assert known[:, joint.vocabulary.row("lamp")].tolist() == [True, True, False, True]


def test_groups_of_two_sets_are_never_equal() -> None:
    first, second = street(), street()
    joint = JointReader([first, second])
    assert joint.groups is not None
    assert joint.groups.tolist() == [0, 0, 1, 1]
    assert joint.name == "street+street-2"
    assert joint.image_names[2] == "street-2/0.png"
    first.groups = second.groups = None
    assert JointReader([first, second]).groups is None


def test_names_stay_as_they_are_where_all_are_different() -> None:
    rows = [HeldRow([("object", LAMP)])]
    concepts = [(7, "lamp", ("object",))]
    sets = [HeldReader(p, concepts, rows, pixels={"object": True}, prefix=p) for p in "ab"]
    assert JointReader(sets).image_names == ["a0.png", "b0.png"]


def test_sets_of_other_sizes_are_refused_with_what_to_set() -> None:
    larger = HeldReader("large", [], [], pixels={}, size=(4, 4))
    with pytest.raises(ConfigError) as error:
        JointReader([street(), larger])
    assert str(error.value) == (
        "datasets of different sizes cannot be joined: street has images of 4x6 and masks of 2x3, "
        "large has images of 4x6 and masks of 4x4. A folder in BRODEN's layout has one size; give "
        "the others the same, as in data.image_size=[224,224] data.mask_size=[112,112]. See "
        "docs/datasets.md#joining-datasets."
    )


def test_one_set_is_no_joint_one() -> None:
    with pytest.raises(ConfigError, match="two sets or more, not 1"):
        JointReader([street()])


def test_masks_of_another_size_are_those_of_the_sets() -> None:
    class Sized(HeldReader):
        def at_mask_size(self, size: tuple[int, int] | None) -> HeldReader:
            labels = np.full(size or (8, 8), 7)
            row = HeldRow([("object", labels)])
            return HeldReader(
                "s", [(7, "x", ("object",))], [row], pixels={"object": True}, size=size or (8, 8)
            )

    one, two = (
        Sized(n, [(7, n, ("object",))], [HeldRow([("object", LAMP)])], pixels={"object": True})
        for n in ("one", "two")
    )
    joint = JointReader([one, two])
    for size in ((4, 5), None):
        other = joint.at_mask_size(size)
        assert other.mask_size == (size or (8, 8))
        assert other[0].label_maps.tolist()[0][0][0] == 7
        assert other[1].label_maps.tolist()[0][0][0] == 8  # numbers stay the joint ones
    assert joint.mask_size == (2, 3)
    with pytest.raises(ConfigError, match="the masks of street exist at 2x3 only"):
        JointReader([street(), parts()]).at_mask_size((4, 6))


def test_a_digest_changes_with_what_numbers_become() -> None:
    rows = [HeldRow([("object", LAMP)])]
    first, same, swapped = (
        HeldReader(
            "s", [(a, "lamp", ("object",)), (b, "car", ("object",))], rows, pixels={"object": True}
        )
        for a, b in ((7, 9), (7, 9), (9, 7))
    )
    as_it_is, renumbered = JointReader([first, same]), JointReader([first, swapped])
    assert as_it_is.vocabulary == renumbered.vocabulary
    assert as_it_is.fingerprint(1) == same.fingerprint(0)
    assert renumbered.fingerprint(1) != same.fingerprint(0)
    assert renumbered[1].label_maps.tolist() == [[[9, 0, -1], [-10, 0, 0]]]


def test_it_can_be_sent_to_another_process_and_says_what_its_sets_say() -> None:
    told = HeldReader(
        "told", [(2, "a", ("object",))], [HeldRow(notes=("640x480",))], pixels={"object": True}
    )
    joint = pickle.loads(pickle.dumps(JointReader([street(), told])))
    assert joint.notes(2) == ("640x480",)
    assert joint.notes(0) == ()


def test_two_halves_joined_give_the_run_of_the_whole_bit_for_bit() -> None:
    whole = ShapesReader(num_images=40, image_size=32)
    halves = [SomeRows(whole, rows) for rows in np.split(np.arange(40), [17])]
    joint = JointReader(halves)
    assert scan_files(joint).digest == scan_files(whole).digest
    quick: dict[str, Any] = {
        "analyses": "none",
        "beside": (),
        "device": "cpu",
        "names": ["sky", "red-c"],
        "options": {"protocol.epochs": 1},
    }
    one, two = (net2vec_pl.learn("shapesnet", data=data, **quick) for data in (whole, joint))
    assert torch.equal(one.file.weight, two.file.weight)
    assert repr(one.scores) == repr(two.scores)


def test_camvid_and_shapes_know_what_both_know(shared: object) -> None:
    camvid = BrodenReader(f"{shared}/data/camvid_broden_224")
    shapes = ShapesReader(num_images=4, image_size=224)
    joint = JointReader({"camvid": camvid, "shapes": shapes})
    assert len(joint) == len(camvid) + 4
    colours = {c.name for c in camvid.vocabulary} & {c.name for c in shapes.vocabulary}
    assert colours
    assert len(joint.vocabulary) == len(camvid.vocabulary) + len(shapes.vocabulary) - len(colours)
    for row, (reader, place) in ((0, (camvid, 0)), (len(camvid), (shapes, 0))):
        assert by_name(joint, row) == by_name(reader, place)
