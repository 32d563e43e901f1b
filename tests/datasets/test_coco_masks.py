"""Every form of mask against pycocotools' own COCO.annToMask."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as tools
from pycocotools.coco import COCO
from support.fake_data.coco import annotation, image, runs, square, write_json

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.coco import CocoReader
from net2vec_pl.datasets.coco.masks import coco_tools, runs_of, union
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.errors import ConfigError

SIZE = (40, 56)
RNG = np.random.default_rng(0)
BLOBS = RNG.random((5, 8)).repeat(8, axis=0).repeat(7, axis=1) > 0.5


def compressed(mask: Any) -> dict[str, Any]:
    found = tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": found["size"], "counts": found["counts"].decode()}


FORMS = {
    "polygon": [[5.5, 3.2, 30.1, 8.9, 22.4, 35.0, 7.7, 28.3]],
    "two polygons": [square(1, 1, 9, 9), [20, 20, 50.5, 22, 31, 39.9]],
    "polygons over each other": [square(1, 1, 20, 20), square(10, 10, 30, 30)],
    "polygon to the edge": [[0, 0, 56, 0, 56, 40, 0, 40]],
    "polygon a pixel beyond": [[-0.6, -0.5, 56.4, 0, 50, 40.4]],
    "polygon of three points": [[3, 3, 20, 9, 8, 30]],
    "uncompressed runs": runs(BLOBS),
    "compressed runs": compressed(BLOBS),
    "noise": compressed(RNG.random(SIZE) > 0.5),
    "all of it": compressed(np.ones(SIZE, dtype=np.bool_)),
    "the last pixel": compressed(np.arange(40 * 56).reshape(SIZE) == 40 * 56 - 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_is_what_pycocotools_reads(form: str, tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "a.json",
        [image(1, SIZE), image(2, SIZE)],
        [annotation(1, 3, FORMS[form])],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(path))
        expected = theirs.annToMask(theirs.loadAnns([103])[0])
    found = CocoReader(path, resizing=Resizing("squash", SIZE, SIZE))[0].label_maps
    assert expected.any()
    np.testing.assert_array_equal(found[0].numpy(), 3 * expected)


@settings(max_examples=60)
@given(
    bits=st.lists(st.booleans(), min_size=1, max_size=300),
    height=st.integers(1, 7),
    crowded=st.booleans(),
)
def test_both_forms_of_runs_are_the_mask(bits: list[bool], height: int, crowded: bool) -> None:
    width = -(-len(bits) // height)
    mask = np.resize(np.array(bits), (height, width))
    form = compressed(mask) if crowded else runs(mask)
    again = json.loads(json.dumps(form))
    np.testing.assert_array_equal(union(runs_of(again, mask.shape, "it"), mask.shape), mask)


RUNS = compressed(BLOBS)
DAMAGED = {
    "empty": ([], "has no mask"),
    "absent": (None, "has no mask"),
    "two points": ([[1, 2, 3, 4]], "three points or more"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "three points or more"),
    "flat": ([1, 2, 3, 4, 5, 6], "three points or more"),
    "words": ([["a", "b", "c", "d", "e", "f"]], "no list of numbers"),
    "nan": ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
    "shares": ([[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], "within 0 to 1"),
    "outside": ([square(1, 1, 70, 9)], "outside its image of 56 x 40"),
    "above": ([[1, -5, 9, 1, 9, 9]], "outside its image"),
    "other size": (RUNS | {"size": [56, 40]}, r"size \[56, 40\], its image is \[40, 56\]"),
    "cut": (RUNS | {"counts": RUNS["counts"][:-3]}, "damaged RLE"),
    "text": (RUNS | {"counts": "äöü"}, "damaged RLE"),
    "no end": (RUNS | {"counts": "ooooooooo"}, "damaged RLE"),
    "no runs": ({"size": [*SIZE]}, "damaged RLE"),
    "short": ({"size": [*SIZE], "counts": [1, 2]}, "do not add up to 40 x 56"),
    "negative": ({"size": [*SIZE], "counts": [2300, -60]}, "damaged RLE"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_mask_is_named(fault: str) -> None:
    segmentation, message = DAMAGED[fault]
    with pytest.raises(UnreadableRowError, match=f"annotation 7.*{message}"):
        runs_of(segmentation, SIZE, "annotation 7 (dog)")


def test_without_pycocotools_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)
    with pytest.raises(ConfigError, match=r"pip install 'net2vec_pl\[coco\]'"):
        coco_tools()
