"""A user's own torch Dataset is a reader: its pixels and labels come back, mistakes are told."""

import logging
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import config
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset
from torchvision import tv_tensors
from torchvision.datasets import OxfordIIITPet, VOCSegmentation
from torchvision.transforms.functional import pil_to_tensor, to_tensor

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample, scan_files
from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError
from net2vec_pl.datasets import DatasetReader
from net2vec_pl.datasets.from_torch.items import read_item
from net2vec_pl.datasets.from_torch.labels import nearest, packed
from net2vec_pl.datasets.split import train_rows
from net2vec_pl.errors import ConfigError, DataError

NAMES = ["cat", "sofa"]


class Given(Dataset[Any]):
    """Items as they are given, and how often each was read; an exception is raised."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.reads = [0] * len(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        self.reads[row] += 1
        if isinstance(self.items[row], Exception):
            raise self.items[row]
        return self.items[row]


def picture(row: int, height: int = 4, width: int = 6) -> np.ndarray:
    """Return an RGB image (H, W, 3)."""
    rng = np.random.default_rng(row)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask_of(row: int, height: int = 2, width: int = 3) -> np.ndarray:
    """Return a mask of labels 0, 1 and 2."""
    return np.random.default_rng(100 + row).integers(0, 3, (height, width), dtype=np.uint8)


def pairs(count: int = 4) -> list[Any]:
    return [(picture(row), mask_of(row)) for row in range(count)]


@contextmanager
def untyped() -> Iterator[None]:
    """Call as users do, whose arguments nothing checks before our code does."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)


def refused(items: Sequence[Any], names: Any = NAMES, **options: Any) -> str:
    """Return what is said of a dataset that cannot be used."""
    with untyped(), pytest.raises(ConfigError) as caught:
        DatasetReader(Given(items), names, **options)
    return str(caught.value)


def fault(item: Any) -> str:
    """Return what is said of an item that cannot be used."""
    with pytest.raises(UnreadableRowError) as caught:
        read_item(item)
    return str(caught.value)


# ---- what comes back


def test_a_dataset_of_pairs_gives_its_pixels_and_labels() -> None:
    mask = np.array([[0, 1, 2], [2, 255, 0]])
    reader = DatasetReader(Given([(picture(0), mask), *pairs(3)]), NAMES)
    sample = reader[0]
    assert sample.image.permute(1, 2, 0).tolist() == picture(0).tolist()
    assert sample.label_maps.dtype == torch.int32
    assert sample.label_maps.tolist() == [[[0, 1, 2], [2, -1, 0]]]
    assert (sample.map_categories, sample.image_labels) == (("object",), ())
    assert (reader.image_size, reader.mask_size) == ((4, 6), (2, 3))
    assert (reader.name, reader.image_names) == ("given", ["0000", "0001", "0002", "0003"])
    assert reader.vocabulary == Vocabulary(
        [
            Concept(1, "cat", "object", ("object",), True),
            Concept(2, "sofa", "object", ("object",), True),
        ]
    )
    assert reader.categories == (Category("object", True),)
    assert reader.annotated.tolist() == [[True]] * 4
    assert [len(reader), reader.is_train.tolist().count(False)] == [4, 1]
    assert torch.equal(reader[-4].image, sample.image)
    with pytest.raises(IndexError):
        reader[4]


def forms_of_an_image() -> dict[str, Any]:
    pixels = picture(7)
    pil, tensor = Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)
    return {
        "PIL": pil,
        "array (H, W, 3)": pixels,
        "array backwards": pixels[..., ::-1].copy()[..., ::-1],
        "array (3, H, W)": tensor.numpy(),
        "tensor uint8": tensor,
        "ToTensor": to_tensor(pil),
        "float64": to_tensor(pil).double().numpy(),
        "half": to_tensor(pil).half(),
        "tv_tensor": tv_tensors.Image(tensor),
        "needs gradient": to_tensor(pil).requires_grad_(),
    }


def forms_of_a_mask() -> dict[str, Any]:
    labels = mask_of(7)
    palette = Image.fromarray(labels, mode="P")
    palette.putpalette([5, 5, 5, 9, 9, 9, 80, 0, 0])
    return {
        "PIL L": Image.fromarray(labels),
        "PIL P": palette,
        "PIL I": Image.fromarray(labels.astype(np.int32)),
        "PIL I;16": Image.fromarray(labels.astype(np.uint16)),
        "uint8": labels,
        "int64 (1, H, W)": torch.from_numpy(labels).long()[None],
        "pil_to_tensor": pil_to_tensor(palette),
        "floats": torch.from_numpy(labels).float(),
        "bfloat16": torch.from_numpy(labels).bfloat16(),
        "tv_tensor": tv_tensors.Mask(torch.from_numpy(labels)),
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_all_forms_of_an_image_and_a_mask_are_one_sample_and_one_fingerprint() -> None:
    images = forms_of_an_image().values()
    items = [(image, mask_of(7)) for image in images]
    items += [(picture(7), mask) for mask in forms_of_a_mask().values()]
    reader = DatasetReader(Given(items), NAMES, split=[True] + [False] * (len(items) - 1))
    want = reader[0]
    assert want.image.permute(1, 2, 0).tolist() == picture(7).tolist()
    for row in range(1, len(items)):
        sample = reader[row]
        assert sample.image.is_contiguous()
        assert sample.image.dtype == torch.uint8
        assert torch.equal(sample.image, want.image), row
        assert torch.equal(sample.label_maps, want.label_maps), row
        assert reader.fingerprint(row) == reader.fingerprint(1)
    assert reader.fingerprint(0) != reader.fingerprint(1)  # of the other split


def test_grey_images_are_three_equal_channels() -> None:
    grey = picture(3)[..., 0]
    for image in (grey, grey[None], grey[..., None], Image.fromarray(grey), to_tensor(grey)):
        assert read_item((image, mask_of(0))).image.tolist() == [grey.tolist()] * 3


def test_an_image_lies_as_its_mask_does_whatever_exif_says() -> None:
    image = Image.fromarray(picture(0))
    image.getexif()[0x0112] = 3
    assert read_item((image, mask_of(0))).image.permute(1, 2, 0).tolist() == picture(0).tolist()


def test_bool_masks_are_label_one() -> None:
    mask = mask_of(0) > 0
    for form in (mask, torch.from_numpy(mask), Image.fromarray(mask)):
        assert read_item((picture(0), form)).all_masks[0].tolist() == mask.astype(int).tolist()


def test_labels_that_a_dict_of_names_leaves_out_are_nothing() -> None:
    items = [(picture(0), np.array([[7, 1, 9], [0, 255, 300]])), *pairs(2)]
    reader = DatasetReader(Given(items), {300: "tree", 7: "sky"})
    assert reader.vocabulary.names == ["tree", "sky"]
    assert reader.vocabulary.numbers.tolist() == [300, 7]
    assert reader[0].label_maps.tolist() == [[[7, 0, 0], [0, -1, 300]]]


def test_a_label_beyond_the_names_is_an_unreadable_row() -> None:
    items = [*pairs(3), (picture(3), np.array([[0, 5, 3]]).repeat(2, 0))]
    reader = DatasetReader(Given(items), NAMES)
    message = "its mask holds label 3, 5, but there are names for 1 to 2 only"
    with pytest.raises(UnreadableRowError, match=re.escape(message)):
        reader[3]
    with pytest.raises(DataError, match=re.escape(f"row 3 (0003): {message}")):
        scan_files(reader)


# ---- masks with names


def test_named_masks_may_overlap_and_be_absent() -> None:
    cat = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    fur = np.array([[0, 7, 255], [0, 0, 0]])
    items = [(picture(0), {"cat": cat, "fur": fur}), (picture(1), {}), (picture(2), {"sky": ~cat})]
    reader = DatasetReader(Given(items))
    assert reader.vocabulary.names == ["cat", "fur", "sky"]
    assert reader[0].label_maps.tolist() == [[[1, 1, -3], [0, 0, 0]], [[0, 2, 0], [0, 0, 0]]]
    assert reader[0].map_categories == ("object", "object")
    assert reader[1].label_maps.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert reader[2].label_maps.tolist() == [[[0, 0, 3], [3, 3, 3]]]
    assert DatasetReader(Given(items), ["sky", "fur"])[0].label_maps.tolist() == [
        [[0, 2, -3], [0, 0, 0]]
    ]


def test_names_are_looked_for_in_every_row_but_once_and_only_if_not_given() -> None:
    mask = mask_of(0) > 0
    items = [(picture(row), {"cat": mask}) for row in range(19)]
    items.append((picture(19), {"cat": mask, "rare": mask}))
    data = Given([*items, OSError("gone")])
    reader = DatasetReader(data)
    assert reader.vocabulary.names == ["cat", "rare"]
    assert data.reads == [2] * 16 + [1] * 5
    pickle.loads(pickle.dumps(reader))
    assert data.reads == [2] * 16 + [1] * 5
    told = Given(items)
    DatasetReader(told, ["rare"])
    assert told.reads == [2] * 16 + [0] * 4


def test_more_than_254_named_masks_are_no_trouble() -> None:
    masks = {f"background {n}": np.array([[n == 254, True, False]]) for n in range(300)}
    items = [(picture(0), masks), (picture(1), {"background": np.ones((2, 3))})]
    with pytest.raises(UnreadableRowError, match="2x3"):
        read_item((picture(0), masks | {"other": np.ones((2, 3))}))
    items[0] = (picture(0, 2, 6), masks)
    reader = DatasetReader(Given([items[0], (picture(1, 2, 6), masks)]))
    assert reader.vocabulary.numbers[254] == 255
    assert (reader[0].label_maps == 255).any(0).tolist() == [[True, True, False]]


@given(
    st.lists(arrays(np.bool_, (3, 4)), max_size=6),
)
@settings(deadline=None)
def test_packing_keeps_every_mask_and_uses_few_maps(masks: list[np.ndarray]) -> None:
    maps = packed(dict(enumerate(masks, 1)), (3, 4))
    for number, mask in enumerate(masks, 1):
        assert ((maps == number).any(0) == mask).all()
    assert {*np.unique(maps).tolist()} <= {*range(len(masks) + 1)}
    deepest = int(np.sum(masks, axis=0).max()) if masks else 0
    assert max(deepest, 1) <= len(maps) <= max(len(masks), 1)


def test_masks_that_do_not_overlap_share_a_map() -> None:
    left = np.array([[True, True, False, False]])
    third = np.array([[False, False, False, True]])
    middle = np.array([[False, True, True, False]])
    maps = packed({4: left, 5: middle, 6: third}, (1, 4))
    assert maps.tolist() == [[[4, 4, 0, 6]], [[0, 5, 5, 0]]]


# ---- sizes


@given(
    arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 250)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@settings(deadline=None)
def test_masks_are_resized_as_pil_resizes_them(labels: np.ndarray, size: tuple[int, int]) -> None:
    eight_bits = Image.fromarray(labels.astype(np.uint8)).resize(
        size[::-1], Image.Resampling.NEAREST
    )
    assert nearest(labels, size).tolist() == np.array(eight_bits).tolist()


def test_sizes_are_those_that_agree_or_the_usual() -> None:
    def sizes(*items: tuple[tuple[int, int], tuple[int, int]], **given: Any) -> Any:
        data = [(picture(0, *image), np.ones(mask, dtype=int)) for image, mask in items]
        reader = DatasetReader(Given(data * 2), NAMES, **given)
        assert reader[0].image.shape == (3, *reader.image_size)
        assert reader[0].label_maps.shape == (1, *reader.mask_size)
        return reader.image_size, reader.mask_size

    assert sizes(((8, 12), (4, 6))) == ((8, 12), (4, 6))
    assert sizes(((8, 12), (2, 3))) == ((8, 12), (2, 3))
    assert sizes(((8, 12), (8, 12))) == ((8, 12), (4, 6))
    assert sizes(((8, 12), (8, 12)), image_size=(16, 12)) == ((16, 12), (8, 6))
    assert sizes(((8, 12), (8, 12)), image_size=(8, 24)) == ((8, 24), (4, 12))
    assert sizes(((9, 13), (9, 13))) == ((9, 13), (4, 6))
    assert sizes(((1, 1), (1, 1))) == ((1, 1), (1, 1))
    assert sizes(((8, 12), (4, 6)), ((12, 8), (6, 4))) == ((224, 224), (112, 112))
    assert sizes(((8, 12), (4, 6)), ((8, 12), (2, 3))) == ((8, 12), (4, 6))
    assert sizes(((8, 12), (2, 3)), image_size=64) == ((64, 64), (2, 3))
    assert sizes(((8, 12), (4, 6)), image_size=(6, 10)) == ((6, 10), (3, 5))
    assert sizes(((8, 12), (4, 6)), mask_size=7, image_size=(6, 10)) == ((6, 10), (7, 7))


def test_images_are_resized_with_antialias_and_half_a_pixel() -> None:
    image = np.tile(np.array([0, 200, 100, 100], dtype=np.uint8), (2, 1))
    reader = DatasetReader(Given([(image, np.ones((1, 2)))] * 2), NAMES, image_size=(2, 2))
    # A pixel of the result weighs the four of its neighbourhood 3, 3, 1 (and 0 beyond the border).
    assert reader[0].image[0, 0].tolist() == [round(700 / 7), round((200 + 300 + 300) / 7)]


def test_proportions_may_differ_by_a_pixel_of_rounding_only() -> None:
    read_item((picture(0, 375, 500), np.ones((112, 149))))
    read_item((picture(0, 375, 500), np.ones((7, 10))))
    said = fault((picture(0, 375, 500), np.ones((112, 112))))
    assert said == (
        "its image is 375x500 and its mask 112x112 (height x width), which differ in proportions; "
        "crop and resize both alike"
    )
    assert "or turn both as EXIF says" in fault((picture(0, 375, 500), np.ones((500, 375))))


@pytest.mark.parametrize("size", [0, (4,), (4, 0), (4.0, 4), "ab"])
def test_sizes_are_sides_or_pairs(size: Any) -> None:
    said = refused(pairs(), image_size=size)
    assert said == f"image_size={size!r} must be a side or (height, width), 1 or more pixels."
    assert refused(pairs(), mask_size=size).startswith("mask_size=")


# ---- what is refused


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(pairs())

    def __len__(self) -> int:
        return 4


class NoLength(Dataset[Any]):
    pass


class Flips(Given):
    def __getitem__(self, row: int) -> Any:
        super().__getitem__(row)
        return picture(self.reads[row]), mask_of(row)


def test_what_is_no_map_style_dataset_is_refused() -> None:
    for data, said in [
        (Stream(), "Stream has no length; give a map-style dataset, with __len__ and __getitem__."),
        (NoLength(), "NoLength has no length; give a map-style dataset"),
        (Given([]), "Given is empty."),
        ((Given(pairs()), Given([])), "Given is empty."),
        ((), "0 datasets were given; give one, or (train, val)."),
        (Flips(pairs()), "row 0 of the dataset differs when it is read again, as with random augm"),
    ]:
        with untyped(), pytest.raises(ConfigError, match=re.escape(said)):
            DatasetReader(data, NAMES)  # type: ignore[arg-type]


PAIR = "a pair (image, mask) or (image, {name: mask})"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            {"image": picture(0), "mask": mask_of(0)},
            f"the item is a dict of image, mask, not {PAIR}; wrap the dataset",
        ),
        (picture(0), f"the item is array uint8 (4, 6, 3), not {PAIR}"),
        (
            (picture(0), mask_of(0), 3),
            f"the item has 3 parts (array uint8 (4, 6, 3), array uint8 (2, 3), int); give {PAIR}",
        ),
        (("cat.jpg", mask_of(0)), "its image is str; give a PIL image, array or tensor"),
        (
            (picture(0).astype(int), mask_of(0)),
            "its image is array int64 (4, 6, 3); give uint8, or floats from 0 to 1 as ToTensor",
        ),
        (
            (torch.zeros(4, 5, 6), mask_of(0)),
            "its image is tensor float32 (4, 5, 6); known shapes: (3, H, W), (H, W, 3), (1, H, W) "
            "and (H, W)",
        ),
        ((torch.zeros(2, 3, 4, 6), mask_of(0)), "its image is tensor float32 (2, 3, 4, 6); known"),
        ((torch.zeros(3, 0, 6), mask_of(0)), "its image is tensor float32 (3, 0, 6); known shapes"),
        (
            (torch.full((3, 4, 6), -1.5), mask_of(0)),
            "its image holds floats from -1.5 to -1.5; known are 0 to 1. It looks normalised: give "
            "images as they are before Normalize, and say by scaling=... how the network wants t",
        ),
        ((torch.full((3, 4, 6), torch.nan), mask_of(0)), "its image holds floats from nan to nan"),
        (
            (torch.full((3, 4, 6), 200.0), mask_of(0)),
            "its image holds floats from 200 to 200; known are 0 to 1, and uint8 from 0 to 255",
        ),
        ((picture(0), 3), "its mask is 3, a label of the whole image; give a mask"),
        ((picture(0), torch.tensor(3)), "its mask is 3, a label of the whole image; give a mask"),
        ((picture(0), None), "its mask is NoneType; give a mask of label numbers (H, W)"),
        (
            (picture(0), Image.fromarray(picture(0))),
            "its mask is in colours (",
        ),
        (
            (picture(0), torch.zeros(5, 2, 3)),
            "its mask is tensor float32 (5, 2, 3), not (H, W); one mask a concept? Give {name: mas",
        ),
        ((picture(0), np.zeros(5)), "its mask is array float64 (5,), not (H, W)"),
        ((picture(0), np.zeros((0, 3))), "its mask is array float64 (0, 3), not (H, W)"),
        (
            (picture(0), np.full((2, 3), 0.5)),
            "its mask holds 0.5; give whole numbers or bool. ToTensor divides masks by 255, "
            "PILToTensor leaves them; soft masks need a threshold",
        ),
        ((picture(0), np.full((2, 3), np.nan)), "its mask holds nan; give whole numbers or bool."),
        ((picture(0), np.full((2, 3), np.inf)), "its mask holds inf; give whole numbers or bool."),
        ((picture(0), np.full((2, 3), 2**40)), "its mask holds 1.1e+12; give whole numbers or b"),
        ((picture(0), np.full((2, 3), "a")), "its mask holds <U1; give whole numbers or bool"),
        (
            (picture(0), np.full((2, 3), -1)),
            "its mask holds -1; labels are 0 (nothing) or more, 255 is unknown",
        ),
        ((picture(0), {3: mask_of(0)}), "a key of its masks is 3; keys are concepts' names"),
        ((picture(0), {"cat": 1}), "its mask 'cat' is 1, a label of the whole image; give a mask"),
        (
            (picture(0), {"cat": mask_of(0), "fur": mask_of(0, 4, 6)}),
            "its masks differ in size: 2x3, 4x6",
        ),
    ],
)
def test_an_item_that_is_no_pair_says_what_it_is(item: Any, said: str) -> None:
    assert fault(item).startswith(said)
    assert refused([item, item]).startswith(f"the dataset cannot be used: row 0: {said}")


def test_masks_of_two_kinds_are_refused() -> None:
    named = (picture(0), {"cat": mask_of(0)})
    assert refused([*pairs(2), named]) == (
        "some masks of the dataset are label numbers, others are {name: mask}; use one kind."
    )
    reader = DatasetReader(Given([*pairs(16), named]), NAMES)
    with pytest.raises(UnreadableRowError, match="of another kind than the first"):
        reader[16]
    late = DatasetReader(Given([named] * 16 + pairs(1)))
    with pytest.raises(UnreadableRowError, match="of another kind than the first"):
        late[16]


def test_masks_of_0_and_255_are_refused() -> None:
    mask = np.array([[0, 255, 0], [0, 0, 0]], dtype=np.uint8)
    said = "masks hold only 0, 255, but 255 means unknown; for masks of 0 and 255 give mask > 0."
    assert refused([(picture(0), mask)] * 2) == f"the first 2 {said}"
    assert refused([(picture(0), {"cat": mask})] * 2, None) == f"the first 2 {said}"
    assert "hold only 255, but" in refused([(picture(0), np.full((2, 3), 255))] * 2)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            None,
            "the masks are label numbers without names: 1, 2 occur in the first 4. Say what the",
        ),
        ("cat", "names='cat' is one text; give a list of names or {label: name}."),
        ([], "names is empty"),
        ({}, "names is empty"),
        (["cat", 3], "names holds 3; every name is a text."),
        (["cat", ""], "names holds ''; every name is a text."),
        (["cat", "sofa", "cat"], "names holds more than once: cat."),
        ({1: "cat", 2: "cat"}, "names holds more than once: cat."),
        ({"cat": "1"}, "names holds 'cat': '1'; labels are 1, 2, ..."),
        ({-1: "cat"}, "names holds -1: 'cat'"),
        ({True: "cat"}, "names holds True: 'cat'"),
        ({0: "road"}, "names calls label 0 'road', but 0 is nothing and needs no name. If 0 is a"),
        ({255: "void"}, "names calls label 255 'void', but 255 means unknown."),
        ([f"n{i}" for i in range(255)], "names calls label 255 'n254', but 255 means unknown."),
        (
            ["Background", "cat"],
            "names begins with 'Background', but label 0 is nothing and needs no name: leave it "
            "out, or give {1: 'Background', ...} if label 1 has this name.",
        ),
    ],
)
def test_names_that_cannot_be_are_refused(names: Any, said: str) -> None:
    assert refused(pairs(), names).startswith(said)


def test_a_dataset_without_any_mask_is_refused() -> None:
    said = "no item of the dataset has a mask: every {name: mask} is empty."
    assert refused([(picture(0), {})] * 3, None) == said


# ---- the scan


def test_what_the_dataset_raises_is_an_unreadable_row() -> None:
    data = Given([*pairs(3), KeyError("lost")])
    reader = DatasetReader(data, NAMES)
    with pytest.raises(UnreadableRowError, match="KeyError: 'lost'"):
        reader[3]
    scan = scan_files(reader, on_error="skip")
    assert scan.unreadable == ((3, "KeyError: 'lost'"),)
    assert scan.readable.tolist() == [0, 1, 2]
    only = "the dataset cannot be used: row 0: KeyError: 'lost'."
    assert refused([KeyError("lost")]) == only


def test_the_scan_reads_every_row_once() -> None:
    data = Given([*pairs(20), OSError("gone")])
    reader = DatasetReader(data, NAMES)
    before = [*data.reads]
    scan = scan_files(reader, on_error="skip")
    assert [now - then for now, then in zip(data.reads, before, strict=True)] == [1] * 21
    labels = np.stack([mask_of(row) for row in range(20)])
    want = [(row, n, int((labels[row] == n).sum())) for row in range(20) for n in (1, 2)]
    found = zip(scan.row.tolist(), scan.number.tolist(), scan.pixels.tolist(), strict=True)
    assert [*found] == [entry for entry in want if entry[2]]


def test_fingerprints_tell_pixels_labels_and_splits_apart() -> None:
    image, mask = picture(0), mask_of(0)
    other, labels = image.copy(), mask.copy()
    other[0, 0, 0] ^= 1
    labels[0, 0] = 1 if mask[0, 0] != 1 else 2
    items = [(image, mask), (other, mask), (image, labels), (image, mask), (image, mask)]
    reader = DatasetReader(Given([*items, OSError()]), NAMES, split=[True] * 4 + [False] * 2)
    prints = [reader.fingerprint(row) for row in range(6)]
    assert prints[0] == prints[3]
    assert len({*prints}) == 5
    reader.fingerprint(0)
    assert torch.equal(reader[1].image, torch.from_numpy(other).permute(2, 0, 1))


def test_workers_by_spawn_read_the_same() -> None:
    reader = DatasetReader(Given(pairs(5)), NAMES)
    loader = torch.utils.data.DataLoader(
        reader, batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    for row, sample in enumerate(loader):
        assert torch.equal(sample.image, reader[row].image)
        assert torch.equal(sample.label_maps, reader[row].label_maps)


# ---- unknown pixels


def test_unknown_pixels_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    mask = np.array([[1, 255, 1], [1, 1, 255]])
    reader = DatasetReader(Given([(picture(0), mask), *pairs(1)]), NAMES)
    reader[0], reader[1]
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert caplog.messages == [
        "given: 16.7% of the pixels of the first 2 masks are 255, unknown; "
        "such pixels are left out."
    ]


def test_unknown_pixels_of_later_rows_are_told_too(caplog: pytest.LogCaptureFixture) -> None:
    mask = np.array([[1, 255, 1], [1, 1, 255]])
    reader = DatasetReader(Given([*pairs(16), (picture(0), mask), (picture(0), mask)]), NAMES)
    assert not caplog.messages
    reader[16], reader[17]
    assert len(caplog.messages) == 1
    assert "33.3% of the pixels of the mask of 0016 are 255" in caplog.text


def test_processes_but_the_first_are_silent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("net2vec_pl.processes.rank", lambda: 1)
    mask = np.array([[1, 255, 1], [1, 1, 255]])
    DatasetReader(Given([(picture(0), mask), *pairs(1)]), NAMES)[0]
    assert not caplog.messages


# ---- the split


@pytest.mark.parametrize(
    ("share", "count", "val"), [(0.3, 10, 3), (0.3, 2, 1), (0.01, 5, 1), (0.99, 5, 4), (0.25, 6, 2)]
)
def test_a_share_of_the_rows_is_val(share: float, count: int, val: int) -> None:
    found = train_rows(share, None, count, seed=0)
    assert [len(found), int((~found).sum())] == [count, val]


def test_the_split_follows_from_its_seed_alone() -> None:
    found = [train_rows(0.3, None, 40, seed=seed).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("make", [list, tuple, np.array, torch.tensor])
def test_a_split_may_be_said_of_every_row(make: Callable[[Any], Any]) -> None:
    assert train_rows(make([True, False, True]), None, 3, 0).tolist() == [True, False, True]


def test_a_split_may_be_said_by_name() -> None:
    for said in (["train", "val", "train"], np.array(["train", "val", "train"])):
        assert train_rows(said, None, 3, 0).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (0.0, "split=0 must be the share of val images, between 0 and 1"),
        (1, "split=1 must be the share of val images"),
        (-0.1, "split=-0.1 must"),
        (float("nan"), "split=nan must"),
        ("val", "split='val' must be the share of val images, or 'train' or 'val' of every row."),
        (None, "split=None must be"),
        (True, "split=True must be"),
        (
            [0, 2, 1, 3],
            "split holds 0; it takes True (train) or False (val), or 'train' or 'val', f",
        ),
        (["train", "test", "val", "val"], "split holds 'test'"),
        ([True, False], "split has 2 values, the dataset has 4 rows."),
        ([True] * 4, "split leaves all 4 rows in train; both sides need images."),
        (["val"] * 4, "split leaves all 4 rows in val; both sides need images."),
    ],
)
def test_splits_that_cannot_be_are_refused(split: Any, said: str) -> None:
    assert refused(pairs(), split=split).startswith(said)


def test_one_image_cannot_be_split() -> None:
    assert refused(pairs(1)) == "split leaves all 1 rows in train; both sides need images."


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=30), st.floats(0.05, 0.95), st.integers(0, 9)
)
def test_groups_stay_on_one_side(groups: list[int], share: float, seed: int) -> None:
    if len({*groups}) < 2:
        with pytest.raises(ConfigError, match="groups has one value for all rows"):
            train_rows(share, groups, len(groups), seed)
        return
    found = train_rows(share, groups, len(groups), seed)
    assert {True, False} == {*found.tolist()}
    for group in {*groups}:
        assert len({t for t, g in zip(found.tolist(), groups, strict=True) if g == group}) == 1
    largest = max(groups.count(group) for group in groups)
    assert abs(int((~found).sum()) - share * len(groups)) <= largest + 0.5


def test_equal_groups_hold_the_share() -> None:
    groups = [row // 4 for row in range(40)]
    found = train_rows(0.3, groups, 40, seed=3)
    assert int((~found).sum()) == 12
    for same in ([f"film {group}" for group in groups], np.array(groups), torch.tensor(groups)):
        assert train_rows(0.3, same, 40, seed=3).tolist() == found.tolist()


def test_groups_on_both_sides_of_a_told_split_are_named() -> None:
    said = "group 'b' has rows in train and in val; keep it on one side."
    assert refused(pairs(), split=[True, True, False, False], groups=["a", "b", "b", "c"]) == said
    train_rows([True, True, False, False], ["a", "a", "b", "c"], 4, 0)
    assert refused(pairs(), groups=["a"]) == "groups has 1 values, the dataset has 4 rows."


def test_train_and_val_may_be_datasets_of_their_own() -> None:
    reader = DatasetReader((Given(pairs(3)), Given(pairs(2))), NAMES)
    assert reader.is_train.tolist() == [True] * 3 + [False] * 2
    assert reader.image_names == ["train/0000", "train/0001", "train/0002", "val/0000", "val/0001"]
    assert torch.equal(reader[4].image, reader[1].image)
    assert reader.name == "given"
    with pytest.raises(ConfigError, match="these two are the split, so drop it"):
        DatasetReader((Given(pairs(3)), Given(pairs(2))), NAMES, split=0.5)
    with pytest.raises(ConfigError, match="group 1 has rows in train and in val"):
        DatasetReader((Given(pairs(3)), Given(pairs(2))), NAMES, groups=[0, 1, 1, 1, 2])


# ---- real layouts


def write_voc(root: Path, count: int = 5) -> list[tuple[Image.Image, np.ndarray]]:
    """Write a folder as VOC's archive unpacks; return what is in it."""
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    known = []
    for row in range(count):
        height, width = (40, 60) if row % 2 else (60, 44)
        labels = np.zeros((height, width), dtype=np.uint8)
        labels[5:30, 5:30] = 1 + row % 2
        labels[30:32] = 255
        mask = Image.fromarray(labels)
        mask.putpalette([value % 256 for value in range(768)])
        mask.save(base / "SegmentationClass" / f"2007_{row:06d}.png")
        image = base / "JPEGImages" / f"2007_{row:06d}.jpg"
        Image.fromarray(picture(row, height, width)).save(image)
        known.append((Image.open(image).convert("RGB"), labels))
    names = [f"2007_{row:06d}\n" for row in range(count)]
    (base / "ImageSets" / "Segmentation" / "trainval.txt").write_text("".join(names))
    return known


def test_torchvisions_voc_is_read_as_it_is(tmp_path: Path) -> None:
    known = write_voc(tmp_path)
    data = VOCSegmentation(str(tmp_path), image_set="trainval")
    reader = DatasetReader(data, ["aeroplane", "bicycle"], split=0.4)
    assert reader.name == "vocsegmentation"
    assert reader.image_names == [f"2007_{row:06d}.jpg" for row in range(5)]
    assert (reader.image_size, reader.mask_size) == ((224, 224), (112, 112))
    for row, (image, labels) in enumerate(known):
        shown = np.where(labels == 255, -1, labels.astype(np.int32))
        small = Image.fromarray(shown).resize((112, 112), Image.Resampling.NEAREST)
        sample = reader[row]
        assert sample.label_maps[0].tolist() == np.array(small).tolist()
        want = np.array(image.resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(sample.image.permute(1, 2, 0).numpy() - want).max() <= 1
    parts = Subset(data, [3, 1]), Subset(data, [0, 2, 4])
    halves = DatasetReader(parts, ["aeroplane", "bicycle"])
    assert halves.image_names == [f"2007_{row:06d}.jpg" for row in (3, 1, 0, 2, 4)]
    assert halves.name == "vocsegmentation"
    assert DatasetReader((data, data), ["a", "b"]).image_names[5] == "val/2007_000000.jpg"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open file
def test_a_damaged_file_is_an_unreadable_row(tmp_path: Path) -> None:
    write_voc(tmp_path)
    path = tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000002.png"
    path.write_bytes(path.read_bytes()[:-30])  # PIL opens it, and fails when its pixels are read
    data = VOCSegmentation(str(tmp_path), image_set="trainval")
    reader = DatasetReader(data, ["aeroplane", "bicycle"])
    assert reader[1].label_maps.any()
    with pytest.raises(UnreadableRowError, match=r"^OSError: "):
        reader[2]


def test_torchvisions_pets_are_read_as_they_are(tmp_path: Path) -> None:
    base = tmp_path / "oxford-iiit-pet"
    for folder in ("images", "annotations/trimaps"):
        (base / folder).mkdir(parents=True)
    for row in range(3):
        trimap = np.random.default_rng(row).integers(1, 4, (30, 40), dtype=np.uint8)
        Image.fromarray(trimap).save(base / "annotations" / "trimaps" / f"pug_{row}.png")
        Image.fromarray(picture(row, 30, 40)).save(base / "images" / f"pug_{row}.jpg")
    lines = "".join(f"pug_{row} 1 2 1\n" for row in range(3))
    (base / "annotations" / "trainval.txt").write_text(lines)
    reader = DatasetReader(OxfordIIITPet(str(tmp_path), target_types="segmentation"), {1: "pet"})
    assert {*reader[0].label_maps.flatten().tolist()} == {0, 1}
    assert reader.image_names == ["0000", "0001", "0002"]
    said = "its mask is 0, a label of the whole image; give a mask"
    with pytest.raises(ConfigError, match=said):
        DatasetReader(OxfordIIITPet(str(tmp_path)), {1: "pet"})


class Voc(Dataset[Any]):
    """As a user wrote it in a notebook."""

    def __init__(self, root: Path) -> None:
        self.images = sorted((root / "JPEGImages").glob("*.jpg"))
        self.masks = sorted((root / "SegmentationClass").glob("*.png"))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        im = Image.open(self.images[i]).convert("RGB").resize((224, 224))
        m = np.array(Image.open(self.masks[i]).resize((112, 112), Image.Resampling.NEAREST))
        m = m.astype(np.int64)
        return torch.from_numpy(np.array(im)).permute(2, 0, 1).float() / 255, torch.from_numpy(m)


class Wrapped(ConceptReader):
    """The reader that the user wrote by hand before."""

    image_size, mask_size = (224, 224), (112, 112)

    def __init__(self, data: Voc) -> None:
        self.data = data
        self.image_names = [str(i) for i in range(len(data))]

    def __getitem__(self, row: int) -> Sample:
        image, mask = self.data[row]
        labels = torch.where(mask == 255, UNKNOWN, mask).int()
        return Sample((image * 255).round().byte(), labels[None], ("object",), ())

    def fingerprint(self, row: int) -> bytes:
        return str(row).encode()


def test_a_notebooks_dataset_gives_what_a_reader_by_hand_gave(tmp_path: Path) -> None:
    write_voc(tmp_path)
    data = Voc(tmp_path / "VOCdevkit" / "VOC2012")
    reader, by_hand = DatasetReader(data, ["crack", "car"]), Wrapped(data)
    assert (reader.image_size, reader.mask_size) == (by_hand.image_size, by_hand.mask_size)
    for row in range(5):
        sample, want = reader[row], by_hand[row]
        assert torch.equal(sample.image, want.image)
        assert torch.equal(sample.label_maps, want.label_maps)
        assert replace(sample, image=want.image, label_maps=want.label_maps) == want
    # The resizing in her dataset and the reader's own are the same for masks.
    raw = VOCSegmentation(str(tmp_path), image_set="trainval")
    plain = DatasetReader(raw, ["crack", "car"])
    for row in range(5):
        assert torch.equal(plain[row].label_maps, by_hand[row].label_maps)


def test_a_name_may_be_given() -> None:
    assert DatasetReader(Given(pairs()), NAMES, name="rooms").name == "rooms"


def test_names_of_files_are_used_only_where_they_are_unique() -> None:
    data = Given(pairs(3))
    data.images = ["a/x.jpg", "b/x.jpg", "c.jpg"]  # type: ignore[attr-defined]
    assert DatasetReader(data, NAMES).image_names == ["0000", "0001", "0002"]
    data.images = torch.zeros(3)  # type: ignore[attr-defined]
    data.imgs = [("a/x.jpg", 0), ("b/y.jpg", 0), (Path("c.jpg"), 1)]  # type: ignore[attr-defined]
    assert DatasetReader(data, NAMES).image_names == ["x.jpg", "y.jpg", "c.jpg"]


# ---- masks of other sizes, and masks as PIL images


def test_masks_come_at_another_size_and_at_their_own() -> None:
    items = [(picture(row, 8, 8), mask_of(row, 8, 8)) for row in range(3)]
    reader = DatasetReader(Given(items), NAMES)
    assert reader.mask_size == (4, 4)
    own = reader.at_mask_size(None)
    assert own[1].label_maps[0].tolist() == mask_of(1, 8, 8).tolist()
    two = reader.at_mask_size((2, 2))
    assert (two.mask_size, two[1].label_maps.shape) == ((2, 2), (1, 2, 2))
    assert reader[1].label_maps.shape == (1, 4, 4)
    assert torch.equal(own.at_mask_size((4, 4))[1].label_maps, reader[1].label_maps)


def test_a_row_without_masks_has_an_empty_one_of_its_images_own_size() -> None:
    reader = DatasetReader(Given([(picture(0, 8, 8), {"cat": mask_of(0, 8, 8)}), (picture(1), {})]))
    assert reader.at_mask_size(None)[1].label_maps.shape == (1, 4, 6)


def test_pil_masks_are_checked_as_files_are(tmp_path: Path) -> None:
    Image.fromarray(mask_of(0)).save(tmp_path / "mask.jpg")
    assert "is a JPEG, whatever its suffix" in fault(
        (picture(0), Image.open(tmp_path / "mask.jpg"))
    )
    floats = Image.fromarray(mask_of(0).astype(np.float32))
    assert "its mask is floats; a mask is grey" in fault((picture(0), floats))
    clear = Image.merge("LA", [Image.fromarray(mask_of(0)), Image.new("L", (3, 2), 0)])
    assert not read_item((picture(0), clear)).all_masks[0].any()
