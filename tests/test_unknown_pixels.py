"""Unknown pixels count nowhere: every step against loops over the pixels that are known."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support import oracles, unknown_oracles
from support.gloo import in_processes
from support.unknown_data import CONCEPTS, SIZE, Colours, UnknownReader
from torch import Tensor

from net2vec_pl.activations import (
    CacheFolder,
    CacheKey,
    CacheSink,
    DiskCache,
    MemoryCache,
    MemorySink,
    count_chosen_filters,
    count_chosen_upsampled,
    count_single_filters,
    count_upsampled_filters,
    fire,
    respond,
    survey,
)
from net2vec_pl.activations.moments import MomentSums
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import BitBatch, ConceptBatch, ConceptDataModule, scan_files
from net2vec_pl.functional import LOSSES, PixelPass, set_iou
from net2vec_pl.functional.average_precision import bin_floors, logit_bins
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.training.scoring import score_all, thresholds_on
from net2vec_pl.training.wide import WideCounts

ROWS = np.arange(12)
GRID = (SIZE // 2, SIZE // 2)
MASK = (SIZE, SIZE)
CPU = torch.device("cpu")
C = len(CONCEPTS)
CATEGORIES = [concept.category for concept in CONCEPTS]


def stream_of(
    reader: UnknownReader, *, annotated: bool = False, size: int = 5
) -> ConceptDataModule:
    scan = scan_files(reader)
    return ConceptDataModule(
        reader, reader.vocabulary, scan, batch_size=size, score_annotated=annotated
    )


def layer() -> FrozenBackbone:
    return FrozenBackbone(Colours(), "out", InputScaling.named("unit"), MASK)


def pixel_pass(loss: str = "agreement", chunk: int = 4) -> PixelPass:
    return PixelPass(GRID, MASK, LOSSES[loss], align_corners=True, pairs_per_chunk=chunk)


def whole_batch(reader: UnknownReader, *, annotated: bool = False) -> ConceptBatch:
    (batch,) = stream_of(reader, annotated=annotated, size=64).scoring_dataloader(ROWS)
    assert isinstance(batch, ConceptBatch)
    return batch


def logits_of(batch: ConceptBatch, banks: int = 2) -> Tensor:
    """Return maps that follow from image and concept alone, so that no batch moves them."""
    image, concept = batch.row[batch.image.cpu()].tolist(), batch.concept.tolist()
    drawn = [
        np.random.default_rng([i, c]).normal(size=(banks, *GRID))
        for i, c in zip(image, concept, strict=True)
    ]
    stacked = np.array(drawn).reshape(-1, banks, *GRID).swapaxes(0, 1)
    return torch.from_numpy(stacked).float()


def enlarged(maps: Tensor) -> np.ndarray:
    return pixel_pass().enlarge(maps).double().numpy()


def truths_of(reader: UnknownReader, batch: ConceptBatch) -> list[unknown_oracles.Truth]:
    pairs = zip(batch.row[batch.image].tolist(), batch.concept.tolist(), strict=True)
    return [reader.truth(row, concept) for row, concept in pairs]


@pytest.mark.parametrize("loss", ["agreement", "bce"])
@pytest.mark.parametrize("alike", [True, False])
def test_loss_and_gradient_are_the_oracles(loss: str, alike: bool) -> None:
    reader = UnknownReader()
    batch = whole_batch(reader)
    logits = logits_of(batch)
    alpha = torch.rand(2, len(batch.concept), generator=torch.Generator().manual_seed(0))
    alpha = alpha[:1].expand(2, -1).clone() if alike else alpha
    found, gradient = pixel_pass(loss).descend(logits, batch.masks, alpha, known=batch.known)
    assert found is not None
    weights, scale = oracles.integer_weights(GRID[0], SIZE)  # grid and masks are square
    for bank in range(2):
        up = enlarged(logits[bank])
        for pair, truth in enumerate(truths_of(reader, batch)):
            value, slope = unknown_oracles.loss_and_slope(
                up[pair], truth, float(alpha[bank, pair]), loss
            )
            assert float(found[bank, pair]) == pytest.approx(value, rel=1e-4, abs=1e-3)
            down = weights.T @ slope @ weights / scale**2
            np.testing.assert_allclose(gradient[bank, pair].numpy(), down, rtol=1e-3, atol=1e-4)
    _, alone = pixel_pass(loss).descend(logits, batch.masks, alpha, known=batch.known, wanted=False)
    assert torch.equal(alone, gradient)


@pytest.mark.parametrize("annotated", [False, True])
def test_scores_and_thresholds_are_the_oracles(annotated: bool) -> None:
    reader = UnknownReader()
    stream, batch = stream_of(reader, annotated=annotated), whole_batch(reader, annotated=annotated)
    truths, up = truths_of(reader, batch), enlarged(logits_of(batch).flatten(0, 1))
    up = up.reshape(2, len(truths), *MASK)
    options = {"num_banks": 2, "num_concepts": C, "device": CPU}
    counts, ap = score_all(pixel_pass(), logits_of, stream, ROWS, **options)  # type: ignore[arg-type]
    cut, score = thresholds_on(pixel_pass(), logits_of, stream, ROWS, **options)  # type: ignore[arg-type]
    floors = bin_floors().numpy()
    for bank in range(2):
        for pair, truth in enumerate(truths):
            expected = unknown_oracles.counts(up[bank, pair] > 0, truth)
            found = counts.intersection[bank, pair], counts.union[bank, pair]
            assert (int(found[0]), int(found[1])) == expected
        for c in range(C):
            mine = [p for p in range(len(truths)) if int(batch.concept[p]) == c]
            of_bin = [logit_bins(torch.from_numpy(up[bank, p]).float()).numpy() for p in mine]
            expected_ap = unknown_oracles.average_precision(of_bin, [truths[p] for p in mine])
            assert float(ap[bank, c]) == pytest.approx(expected_ap, abs=1e-9)
            best = 0.0
            for level in range(0, len(floors), 8):
                sums = np.zeros(2)
                for bins, p in zip(of_bin, mine, strict=True):
                    sums += unknown_oracles.counts(bins >= level, truths[p])
                best = max(best, sums[0] / sums[1])
            above = np.zeros(2)
            for bins, p in zip(of_bin, mine, strict=True):
                level = int(np.searchsorted(floors, float(cut[bank, c]) - 1e-12))
                above += unknown_oracles.counts(bins >= level, truths[p])
            assert float(score[bank, c]) >= best - 1e-12
            assert float(score[bank, c]) == pytest.approx(above[0] / above[1], abs=1e-9)


def test_thresholds_of_some_images_pass_over_their_unknown_pixels() -> None:
    reader = UnknownReader()
    counted = torch.zeros(2, len(reader), dtype=torch.bool)
    counted[0, ROWS[::2]] = counted[1, ROWS[1::2]] = True
    options = {"num_banks": 2, "num_concepts": C, "device": CPU}
    stream = stream_of(reader)
    both = thresholds_on(pixel_pass(), logits_of, stream, ROWS, counted=counted, **options)  # type: ignore[arg-type]
    for bank in range(2):
        one = thresholds_on(pixel_pass(), logits_of, stream, ROWS[bank::2], **options)  # type: ignore[arg-type]
        for of_both, alone in zip(both, one, strict=True):
            assert torch.equal(of_both[bank], alone[bank])


def test_single_filters_are_the_oracles() -> None:
    reader, backbone = UnknownReader(), layer()
    thresholds = torch.full((6,), 0.3)
    thresholds[3:] = -0.7
    cells, enlarge = BilinearCells(GRID, MASK, align_corners=True), pixel_pass().enlarge
    batch = whole_batch(reader)
    fired = fire(backbone, thresholds, batch).dense()
    activation = respond(backbone, batch)
    before = enlarge(fired.flatten(0, 1).float()).view(len(ROWS), 6, *MASK) > 0.5
    after = enlarge((activation - thresholds[:, None, None]).flatten(0, 1)) > 0
    expected = np.zeros((2, 2, C, 6), dtype=np.int64)  # order, intersection and union
    for truth, i, c in zip(
        truths_of(reader, batch), batch.image.tolist(), batch.concept.tolist(), strict=True
    ):
        for order, maps in enumerate((before, after.view(len(ROWS), 6, *MASK))):
            for k in range(6):
                expected[order, :, c, k] += unknown_oracles.counts(maps[i, k].numpy(), truth)
    stream = stream_of(reader)
    found = [
        count_single_filters(backbone, thresholds, stream.rows_dataloader(ROWS), C, cells),
        count_upsampled_filters(backbone, thresholds, stream.rows_dataloader(ROWS), C, enlarge),
    ]
    for counts, of_order in zip(found, expected, strict=True):
        np.testing.assert_array_equal(counts.intersection.numpy(), of_order[0])
        np.testing.assert_array_equal(counts.union.numpy(), of_order[1])
    chosen = torch.tensor([0, 4, 2, -1, 5])
    few = [
        count_chosen_filters(backbone, thresholds, stream, ROWS, chosen, cells),
        count_chosen_upsampled(backbone, thresholds, stream, ROWS, chosen, enlarge),
    ]
    for pairs, counts in zip(few, found, strict=True):
        iou = counts.set_iou()[torch.arange(C), chosen]
        iou[3] = torch.nan
        torch.testing.assert_close(pairs.set_iou(C)[0], iou, equal_nan=True, rtol=0, atol=0)


def moments_of(reader: UnknownReader, rows: np.ndarray = ROWS, size: int = 5) -> dict[str, Tensor]:
    fold = torch.full((len(reader),), -1)
    fold[torch.from_numpy(ROWS)] = torch.arange(len(ROWS)) // 6
    step = torch.full((6,), 2.0**-8, dtype=torch.float64)
    sums = MomentSums((6, *GRID), C, fold, step, own=True)
    backbone = layer()
    for batch in stream_of(reader, size=size).rows_dataloader(rows):
        sums.add(respond(backbone, batch), batch)
    return sums.moments(CPU).tensors()


def test_moments_are_the_oracles() -> None:
    reader, backbone = UnknownReader(), layer()
    found = moments_of(reader)
    batch = whole_batch(reader)
    x = (respond(backbone, batch).double() * 2**8).round().numpy() / 2**8
    expected = {name: np.zeros(tuple(value.shape)) for name, value in found.items()}
    for truth, i, c in zip(
        truths_of(reader, batch), batch.image.tolist(), batch.concept.tolist(), strict=True
    ):
        f, (inside, known) = i // 6, unknown_oracles.shares(truth, GRID)
        expected["place"][c] += inside
        expected["own_place"][c] += known
        for y in range(GRID[0]):
            for column in range(GRID[1]):
                at = x[i, :, y, column]
                expected["inside"][f, c] += inside[y, column]
                expected["inside_total"][f, c] += inside[y, column] * at
                expected["own_count"][f, c] += known[y, column]
                expected["own_total"][f, c] += known[y, column] * at
                expected["own_square"][f, c] += known[y, column] * np.outer(at, at)
    for name in ("place", "own_place", "inside", "inside_total", "own_count", "own_total"):
        np.testing.assert_allclose(found[name].numpy(), expected[name], atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found["own_square"].numpy(), expected["own_square"], atol=1e-9)
    # What is not of a concept is of all positions, known or not.
    assert found["count"].tolist() == [6 * GRID[0] * GRID[1]] * 2


def wide_scores(parts: list[np.ndarray]) -> list[list[list[float]]]:
    counts = WideCounts(2, CATEGORIES, CPU)
    stream = stream_of(UnknownReader(), annotated=True, size=64)
    for rows in parts:
        for batch in stream.scoring_dataloader(rows):
            counts.add(pixel_pass(), logits_of(batch), batch)
    found = counts.scores()
    return [found.annotated.tolist(), found.argmax.tolist()]


def test_annotated_and_argmax_scores_are_the_oracles() -> None:
    reader = UnknownReader()
    batch = whole_batch(reader, annotated=True)
    truths, logits = truths_of(reader, batch), logits_of(batch)
    sums = np.zeros((2, 2, C, 2), dtype=np.int64)
    for bank in range(2):
        up = enlarged(logits[bank])
        for image in range(len(ROWS)):
            pairs = [p for p, i in enumerate(batch.image.tolist()) if i == image]
            for p in pairs:
                c = int(batch.concept[p])
                sums[0, bank, c] += unknown_oracles.counts(up[p] > 0, truths[p])
            for category in ("object", "part"):
                mine = [p for p in pairs if CATEGORIES[int(batch.concept[p])] == category]
                if mine:
                    of_category = unknown_oracles.argmax_counts(up[mine], [truths[p] for p in mine])
                    for p, counts in zip(mine, of_category, strict=True):
                        sums[1, bank, int(batch.concept[p])] += counts
    expected = set_iou(*torch.from_numpy(sums).unbind(-1))
    found = torch.tensor(wide_scores([ROWS[:7], ROWS[7:]]), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


class Kept:
    """What a network answers to a dataset, kept in memory and on disk."""

    def __init__(self, reader: UnknownReader, folder: Path) -> None:
        self.reader, self.backbone = reader, layer()
        scan = scan_files(reader)
        self.stream = ConceptDataModule(reader, reader.vocabulary, scan, batch_size=5)
        sink = MemorySink([self.backbone.shape], MASK, CPU)
        place = CacheFolder(folder, CacheKey({"layer": 0}))
        on_disk = CacheSink(
            [place.prepare()], [self.backbone.shape], rows=self.stream.all_rows,
            is_train=reader.is_train, scan=scan, mask_size=MASK,
        )  # fmt: skip
        (self.thresholds,) = self._survey(sink)
        on_disk.close(self._survey(on_disk))
        place.finish()
        (self.memory,) = sink.caches()
        self.paths = place.parts()
        self.disk = DiskCache(self.paths, reader.vocabulary.numbers)

    def _survey(self, sink: MemorySink | CacheSink) -> list[Tensor]:
        rows = self.stream.all_rows
        return survey(
            [self.backbone], self.stream, 0.2, threshold_rows=rows, sink=sink, sink_rows=rows
        )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(UnknownReader(), tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize("annotated", [False, True])
def test_caches_know_what_the_images_know(kept: Kept, annotated: bool) -> None:
    read = MemoryCache.read(kept.disk, kept.stream.all_rows, CPU)
    stream = (
        kept.stream.annotated(kept.reader.vocabulary, kept.reader) if annotated else kept.stream
    )
    for source in (kept.memory, kept.disk, read):
        cached = stream.from_source(source)
        pairs = zip(stream.scoring_dataloader(ROWS), cached.scoring_dataloader(ROWS), strict=True)
        for streamed, batch in pairs:
            assert isinstance(batch, BitBatch)
            assert torch.equal(batch.masks(slice(None)), streamed.masks(slice(None)))
            expected, found = streamed.known(slice(None)), batch.known(slice(None))
            assert expected is not None
            assert found is not None
            assert torch.equal(found, expected)
    assert kept.memory.num_bytes == read.num_bytes


def test_a_cache_of_few_concepts_keeps_only_their_areas(kept: Kept) -> None:
    numbers = np.array([9, 4])
    few = DiskCache(kept.paths, numbers)
    known = few.collate([few[1], few[3]]).known(slice(None))
    batch = few.collate([few[1], few[3]])
    assert known is not None
    assert batch.areas is not None
    assert batch.areas.concepts.shape[1] == 2
    assert few[1].areas is None
    for pair, (i, c) in enumerate(zip(batch.image.tolist(), batch.concept.tolist(), strict=True)):
        truth = kept.reader.truth([1, 3][i], [3, 0][c])
        assert known[pair].tolist() == [[value is not None for value in line] for line in truth]


def test_exchanged_masks_take_their_unknown_pixels_along(kept: Kept) -> None:
    rows = kept.stream.all_rows
    plain, mixed = (c.collate(rows.tolist()) for c in (kept.memory, kept.memory.shuffled(rows, 0)))

    def truths(batch: BitBatch, concept: int) -> list[tuple[bytes, bytes]]:
        mine = (batch.concept == concept).nonzero().flatten().tolist()
        known = batch.known(slice(None))
        assert known is not None
        masks = batch.masks(slice(None))
        return [(masks[p].numpy().tobytes(), known[p].numpy().tobytes()) for p in mine]

    for concept in range(C):
        before, after = truths(plain, concept), truths(mixed, concept)
        assert before != after
        assert sorted(before) == sorted(after)


def test_no_cache_of_known_images_says_anything_of_unknown_ones(tmp_path: Path) -> None:
    import h5py

    kept = Kept(UnknownReader(6, unknown=False), tmp_path)
    with h5py.File(kept.paths[0]) as file:
        assert "unknown" not in file
    assert kept.disk[0].areas is None
    assert kept.memory.collate([0, 1]).areas is None


def of_a_share(rank: int, size: int = 4) -> list[list[float]]:
    """Return every count over all processes."""
    reader, backbone = UnknownReader(), layer()
    thresholds, cells = torch.zeros(6), BilinearCells(GRID, MASK, align_corners=True)
    stream = stream_of(reader, size=size)
    single = count_single_filters(backbone, thresholds, stream.rows_dataloader(ROWS), C, cells)
    counts, ap = score_all(
        pixel_pass(), logits_of, stream, ROWS, num_banks=2, num_concepts=C, device=CPU
    )
    return [
        single.union.flatten().tolist(),
        counts.union.flatten().tolist(),
        ap.flatten().tolist(),
        *(value.flatten().tolist() for value in moments_of(reader, size=size).values()),
    ]


def test_two_processes_count_what_one_counts() -> None:
    alone = of_a_share(0)
    assert in_processes(partial(of_a_share, size=6)) == [alone, alone]


def test_garbage_under_unknown_pixels_is_nowhere_seen() -> None:
    one, other = (moments_of(UnknownReader(garbage=g)) for g in (0, 1))
    assert [*one] == [*other]
    assert all(torch.equal(one[name], other[name]) for name in one)
