"""Single filters counted pixel by pixel: thresholded after upsampling, or one for each concept."""

from functools import partial

import numpy as np
import pytest
import torch
from support import oracles
from support.gloo import in_processes
from support.planted import GRID, PlantedReader
from torch import Tensor, nn

from net2vec_pl.activations import (
    count_chosen_filters,
    count_chosen_upsampled,
    count_single_filters,
    count_upsampled_filters,
    extract,
    upsampled_above,
)
from net2vec_pl.activations.upsampled import Enlarge
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ConceptDataModule, scan_files
from net2vec_pl.functional import bilinear_matrix, upsample
from net2vec_pl.functional.cells import BilinearCells

MASK = 11
THRESHOLDS = torch.tensor([150.1, 90.1, 200.1]) / 255  # which no upsampled pixel comes close to
CHOSEN = torch.tensor([2, -1, 0])
Counts = dict[tuple[int, int, int], tuple[int, int]]


class Some(PlantedReader):
    """Images without any concept, and in two categories of which some images have but one."""

    def __init__(self) -> None:
        super().__init__(num_images=17, mask=MASK)
        self.maps[5] = 0
        self.maps[8, :2] = 0
        self.annotated[5] = False


def frozen(reader: PlantedReader) -> FrozenBackbone:
    network = nn.Sequential(nn.Identity())
    return FrozenBackbone(network, "0", InputScaling.named("unit"), reader.image_size)


def stream_of(reader: PlantedReader, *, annotated: bool = False) -> ConceptDataModule:
    return ConceptDataModule(
        reader,
        reader.vocabulary,
        scan_files(reader),
        batch_size=5,
        score_annotated=annotated,
    )


def enlarger(align_corners: bool) -> Enlarge:
    matrix = bilinear_matrix(GRID, MASK, align_corners=align_corners)
    return lambda maps: upsample(maps, matrix, matrix)


def literal(reader: PlantedReader, align_corners: bool, *, after: bool) -> Counts:
    """Return |M and L| and |M or L| by image, concept and filter, for every concept and image."""
    found: Counts = {}
    for row in range(len(reader)):
        answer = reader.images[row].double() / 255
        if after:
            large = nn.functional.interpolate(
                answer[None], (MASK, MASK), mode="bilinear", align_corners=align_corners
            )[0]
            maps = (large > THRESHOLDS[:, None, None]).numpy()
        else:
            bits = oracles.binarise(answer.numpy(), THRESHOLDS.numpy())
            maps = oracles.single_filter_maps(bits, MASK, MASK, align_corners)
        for concept in range(3):
            mask = (reader.maps[row] == concept + 1).any(0).numpy()
            for k in range(3):
                both = int((maps[k] & mask).sum()), int((maps[k] | mask).sum())
                found[row, concept, k] = both
    return found


def pairs_of(stream: ConceptDataModule, rows: list[int]) -> list[tuple[int, int]]:
    return [(row, int(c)) for row in rows for c in stream.score_index[row]]


@pytest.fixture(scope="module")
def some() -> Some:
    return Some()


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
def test_filters_thresholded_after_upsampling_match_a_loop_with_interpolate(
    some: Some, align_corners: bool, annotated: bool
) -> None:
    stream, rows = stream_of(some, annotated=annotated), [*range(3, 14), 0, 16]
    found = count_upsampled_filters(
        frozen(some),
        THRESHOLDS,
        stream.scoring_dataloader(np.array(rows)),
        3,
        enlarger(align_corners),
    )
    expected = literal(some, align_corners, after=True)
    for concept in range(3):
        for k in range(3):
            own = [expected[r, c, k] for r, c in pairs_of(stream, rows) if c == concept]
            assert int(found.intersection[concept, k]) == sum(inside for inside, _ in own)
            assert int(found.union[concept, k]) == sum(either for _, either in own)
    before = literal(some, align_corners, after=False)
    assert before != expected  # the order matters


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("after", "pairs_per_chunk"), [(False, 64), (False, 4), (True, 64)])
def test_one_chosen_filter_of_every_concept_matches_a_loop(
    some: Some,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
    pairs_per_chunk: int,
    align_corners: bool,
    annotated: bool,
) -> None:
    monkeypatch.setattr(extract, "_PAIRS_PER_CHUNK", pairs_per_chunk)
    stream, rows = stream_of(some, annotated=annotated), [16, 2, 8, 3, 5, 11, 4, 0]
    common = (frozen(some), THRESHOLDS, stream, np.array(rows), CHOSEN)
    if after:
        found = count_chosen_upsampled(*common, enlarger(align_corners))
    else:
        cells = BilinearCells((GRID, GRID), (MASK, MASK), align_corners=align_corners)
        found = count_chosen_filters(*common, cells)
    expected = literal(some, align_corners, after=after)
    pairs = list(zip(found.image.tolist(), found.concept.tolist(), strict=True))
    assert pairs == pairs_of(stream, rows)
    counts = torch.cat([found.intersection, found.union]).T.tolist()
    for (row, concept), of_pair in zip(pairs, counts, strict=True):
        k = int(CHOSEN[concept])
        assert tuple(of_pair) == (expected[row, concept, k] if k >= 0 else (0, 0))


@pytest.mark.parametrize("after", [False, True])
def test_pairs_of_a_filter_sum_to_what_is_counted_for_all_filters(some: Some, after: bool) -> None:
    stream, backbone = stream_of(some), frozen(some)
    rows = stream.scored_rows["train"]
    cells = BilinearCells((GRID, GRID), (MASK, MASK), align_corners=True)
    batches = stream.scoring_dataloader(rows)
    if after:
        every = count_upsampled_filters(backbone, THRESHOLDS, batches, 3, enlarger(True))
    else:
        every = count_single_filters(backbone, THRESHOLDS, batches, 3, cells)
    for k in range(3):
        common = (backbone, THRESHOLDS, stream, rows, torch.full((3,), k))
        if after:
            found = count_chosen_upsampled(*common, enlarger(True))
        else:
            found = count_chosen_filters(*common, cells)
        for counts, sums in (
            (found.intersection[0], every.intersection[:, k]),
            (found.union[0], every.union[:, k]),
        ):
            assert torch.equal(torch.zeros_like(sums).index_add_(0, found.concept, counts), sums)
            assert sums.any()


def test_no_image_gives_no_counts(some: Some) -> None:
    stream, none = stream_of(some), np.zeros(0, dtype=np.int64)
    cells = BilinearCells((GRID, GRID), (MASK, MASK), align_corners=True)
    common = (frozen(some), THRESHOLDS, stream, none, CHOSEN)
    assert count_chosen_filters(*common, cells).union.shape == (1, 0)
    assert count_chosen_upsampled(*common, enlarger(True)).union.shape == (1, 0)


# -------------------- two processes


def count_a_share(rank: int, *, rows: list[int]) -> list[list[int]]:
    some = Some()
    stream, backbone = stream_of(some), frozen(some)
    cells = BilinearCells((GRID, GRID), (MASK, MASK), align_corners=True)
    common = (backbone, THRESHOLDS, stream, np.array(rows), CHOSEN)
    every = count_upsampled_filters(
        backbone, THRESHOLDS, stream.scoring_dataloader(np.array(rows)), 3, enlarger(True)
    )
    tables: list[Tensor] = [
        *vars(count_chosen_filters(*common, cells)).values(),
        *vars(count_chosen_upsampled(*common, enlarger(True))).values(),
        every.intersection,
        every.union,
    ]
    return [table.flatten().tolist() for table in tables]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 6, 7], [9]])
def test_two_processes_count_what_one_counts(rows: list[int]) -> None:
    expected = count_a_share(0, rows=rows)
    assert in_processes(partial(count_a_share, rows=rows)) == [expected, expected]


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_filter_at_its_threshold_everywhere_fires_nowhere(align_corners: bool) -> None:
    flat = torch.tensor([1 / 3, 0.140625, 1e-3])
    maps = flat[:, None, None].expand(-1, GRID, GRID)
    assert not upsampled_above(enlarger(align_corners), maps, flat).any()
