"""Val pixels in a run folder: what is read is what was written, in few bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from net2vec_pl.activations import BankCounts
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import RunFolderError
from net2vec_pl.report.val_counts import ValCounts

VOCABULARY = Vocabulary(Concept(n, f"c{n}", "part", ("part",), True) for n in (7, 400, 31))
IMAGE, ROW = torch.tensor([3, 3, 8, 8, 9]), torch.tensor([0, 2, 0, 1, 2])
GROUPS = np.array([0, 0, 0, 5, 0, 0, 0, 0, 2, 5])


def counts(banks: int, seed: int) -> BankCounts:
    union = torch.from_numpy(np.random.default_rng(seed).integers(1, 12_544, size=(banks, 5)))
    return BankCounts(IMAGE, ROW, union // 3, union)


MULTI, SINGLE = counts(2, 0), counts(1, 1)


def kept(tmp_path: Path, groups: np.ndarray | None = GROUPS) -> ValCounts:
    ValCounts.of(VOCABULARY, MULTI, SINGLE, groups).save(tmp_path / "a.safetensors")
    return ValCounts.load(tmp_path / "a.safetensors")


def test_what_is_read_is_what_was_counted(tmp_path: Path) -> None:
    found = kept(tmp_path)
    assert found.concept.tolist() == [7, 31, 7, 400, 31]
    assert found.group is not None
    assert found.group.tolist() == [5, 5, 2, 2, 5]
    again = found.bank_counts(VOCABULARY)
    for name in ("image", "concept", "intersection", "union"):
        assert torch.equal(getattr(again, name), getattr(MULTI, name)), name
    groups = found.groups()
    assert groups is not None
    assert groups[IMAGE].tolist() == GROUPS[IMAGE].tolist()
    assert kept(tmp_path, None).groups() is None


def test_numbers_take_the_smallest_integers_that_hold_them(tmp_path: Path) -> None:
    kept(tmp_path)
    types = {name: value.dtype for name, value in load_file(tmp_path / "a.safetensors").items()}
    assert types == {
        "image": torch.int8, "concept": torch.int16, "group": torch.int8,
        "multi": torch.int16, "single": torch.int16,
    }  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_of_the_asked_concepts_in_their_order(seed: int, tmp_path: Path) -> None:
    found = kept(tmp_path).pairs([31, 7], seed)
    assert found.image.tolist() == [3, 3, 8, 9]
    assert found.concept.tolist() == [0, 1, 1, 0]
    at = [1, 0, 2, 4]
    assert found.multi.tolist() == [
        MULTI.intersection[seed, at].tolist(),
        MULTI.union[seed, at].tolist(),
    ]
    assert found.single.tolist() == [
        SINGLE.intersection[0, at].tolist(),
        SINGLE.union[0, at].tolist(),
    ]
    assert found.group is not None
    assert found.group.tolist() == [5, 5, 2, 5]
    np.testing.assert_allclose(
        found.totals[0, 0] / found.totals[0, 1],
        MULTI.set_iou(3)[seed, [2, 0]].numpy(),
    )


def test_no_concept_and_no_pair_are_no_failure(tmp_path: Path) -> None:
    assert len(kept(tmp_path).pairs([]).image) == 0
    none = BankCounts(IMAGE[:0], ROW[:0], MULTI.union[:, :0], MULTI.union[:, :0])
    empty = ValCounts.of(VOCABULARY, none, none, GROUPS)
    empty.save(tmp_path / "b.safetensors")
    again = ValCounts.load(tmp_path / "b.safetensors")
    assert len(again.pairs([7]).image) == len(again.bank_counts(VOCABULARY).image) == 0


@pytest.mark.parametrize("content", [b"", b"no safetensors"], ids=["empty", "other"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "val_counts.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"val_counts\.safetensors cannot be read"):
        ValCounts.load(path)
    path.unlink()
    with pytest.raises(RunFolderError, match="cannot be read"):
        ValCounts.load(path)
