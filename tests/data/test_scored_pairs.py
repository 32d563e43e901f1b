"""Which pairs are scored: concepts that an image contains, or all that it was annotated for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import oracles
from support.planted import PlantedReader, World
from torch import Tensor

from net2vec_pl.activations import MemorySink, survey
from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import BitBatch, ConceptDataModule, ImageBatch, PairIndex, Sample, scan_files
from net2vec_pl.data.batch import ConceptBatch, PairPlaces
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

Pairs = dict[tuple[int, int], Tensor]


class TwoCategories(PlantedReader):
    """Concepts 1 and 2 are objects, 3 is a part; few images were annotated for parts.

    Every sixth image holds concept 2 as a whole. Image 5 was annotated for nothing, though objects
    are in it; image 8 contains nothing.
    """

    def __init__(self) -> None:
        super().__init__(num_images=24)
        self.categories = (Category("object", True), Category("part", True))
        kinds = ("object", "object", "part")
        self.vocabulary = Vocabulary(
            Concept(n, f"concept {n}", kind, (kind,), True)
            for n, kind in zip((1, 2, 3), kinds, strict=True)
        )
        self.maps[::2, 0] = 0
        self.maps[1::3, 1] = 0
        self.maps[8] = 0
        self.annotated = np.ones((24, 2), dtype=bool)
        self.annotated[::4, 1] = False
        self.maps[torch.from_numpy(~self.annotated[:, 1]), 2] = 0
        self.maps[5, 2] = 0
        self.annotated[5] = False

    def __getitem__(self, row: int) -> Sample:
        whole = (("object", 2),) if row % 6 == 0 else ()
        return Sample(self.images[row], self.maps[row], ("object", "object", "part"), whole)

    def mask(self, row: int, concept: int) -> Tensor:
        """Return the ground truth of any concept in any image, literally."""
        if concept == 1 and row % 6 == 0:
            return torch.ones(self.mask_size, dtype=torch.bool)
        return (self.maps[row] == concept + 1).any(0)

    def contains(self, row: int, concept: int) -> bool:
        return bool(self.mask(row, concept).any())

    def is_scored(self, row: int, concept: int) -> bool:
        """Return whether a pair counts where absent concepts count too."""
        known = self.annotated[row, 1 if concept == 2 else 0]
        return bool(known) or self.contains(row, concept)


@pytest.fixture(scope="module")
def two() -> TwoCategories:
    return TwoCategories()


def stream_of(
    reader: PlantedReader, *, annotated: bool = True, names: list[str] | None = None
) -> ConceptDataModule:
    vocabulary = reader.vocabulary if names is None else reader.vocabulary.matching(names)
    return ConceptDataModule(
        reader, vocabulary, scan_files(reader), batch_size=5, score_annotated=annotated
    )


def in_memory(reader: PlantedReader, stream: ConceptDataModule) -> ConceptDataModule:
    """Return the same stream from a cache of bits."""
    backbone = World(reader, Protocol()).probe().backbone
    sink, rows = (
        MemorySink([backbone.shape], reader.mask_size, torch.device("cpu")),
        stream.all_rows,
    )
    survey([backbone], stream, 0.1, threshold_rows=rows, sink=sink, sink_rows=rows)
    return stream.from_source(sink.caches()[0])


def pairs_in(stream: ConceptDataModule, rows: list[int], kind: type[ConceptBatch]) -> Pairs:
    """Return the mask of every pair that some rows are scored with."""
    found: Pairs = {}
    for batch in stream.scoring_dataloader(np.array(rows)):
        assert isinstance(batch, kind)
        assert (batch.image.diff() >= 0).all()
        masks = batch.masks(slice(None))
        keys = zip(batch.row[batch.image].tolist(), batch.concept.tolist(), strict=True)
        for key, mask in zip(keys, masks, strict=True):
            assert key not in found
            found[key] = mask
    return found


def test_images_are_paired_with_all_concepts_of_what_they_were_annotated_for(
    two: TwoCategories,
) -> None:
    index = PairIndex(two.vocabulary, scan_files(two), len(two))
    wider = PairIndex.annotated(index, two.vocabulary, two)
    for row in range(len(two)):
        assert wider[row].tolist() == [c for c in range(3) if two.is_scored(row, c)]
        assert set(index[row].tolist()) == {c for c in range(3) if two.contains(row, c)}
        assert wider.pairs_per_image[row] == len(wider[row])
    assert wider[5].tolist() == [0, 1]  # what is there stays, annotated or not
    assert wider[8].tolist() == [0, 1]
    assert wider.pairs_per_image.sum() > index.pairs_per_image.sum()


def test_concepts_keep_their_rows_in_any_vocabulary(two: TwoCategories) -> None:
    vocabulary = Vocabulary([two.vocabulary[2], two.vocabulary[0]])
    index = PairIndex(vocabulary, scan_files(two), len(two))
    wider = PairIndex.annotated(index, vocabulary, two)
    for row in range(len(two)):
        expected = [place for place, c in enumerate((2, 0)) if two.is_scored(row, c)]
        assert wider[row].tolist() == expected


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("names", [None, ["concept 3", "concept 2"]])
def test_absent_concepts_are_scored_with_empty_masks(
    two: TwoCategories, cached: bool, names: list[str] | None
) -> None:
    stream = stream_of(two, names=names)
    concepts = [n - 1 for n in stream.index.numbers.tolist()]
    if cached:
        stream = in_memory(two, stream)
    rows = [9, 5, 0, 12, 8, 3, 6, 1]
    found = pairs_in(stream, rows, BitBatch if cached else ImageBatch)
    scored = {(r, i) for r in rows for i, c in enumerate(concepts) if two.is_scored(r, c)}
    assert set(found) == scored
    absent = 0
    for (row, place), mask in found.items():
        assert torch.equal(mask, two.mask(row, concepts[place]))
        absent += not mask.any()
    assert absent > 0


@pytest.mark.parametrize("cached", [False, True])
def test_what_is_trained_on_does_not_change(two: TwoCategories, cached: bool) -> None:
    plain, wider = stream_of(two, annotated=False), stream_of(two)
    if cached:
        plain, wider = (in_memory(two, stream) for stream in (plain, wider))
    loaders = (plain.train_dataloader(), wider.train_dataloader())
    for one, other in zip(*loaders, strict=True):
        for name in ("row", "image", "concept"):
            assert torch.equal(getattr(one, name), getattr(other, name))
        assert torch.equal(one.masks(slice(None)), other.masks(slice(None)))
    for split in ("train", "val"):
        assert wider.pair_rows[split].tolist() == plain.pair_rows[split].tolist()
        assert plain.scored_rows[split].tolist() == plain.pair_rows[split].tolist()
    assert 8 in wider.scored_rows["train"]
    assert 8 not in wider.pair_rows["train"]


def test_without_absent_concepts_the_pairs_are_those_of_training(two: TwoCategories) -> None:
    stream = stream_of(two, annotated=False)
    assert stream.score_index is stream.index
    found = pairs_in(stream, [*range(24)], ImageBatch)
    assert set(found) == {(r, c) for r in range(24) for c in range(3) if two.contains(r, c)}


def test_a_batch_of_no_images_has_no_pairs(two: TwoCategories) -> None:
    for stream in (stream_of(two), in_memory(two, stream_of(two))):
        loader = stream.scoring_dataloader(stream.all_rows)
        assert loader.collate_fn is not None
        batch = loader.collate_fn([])
        assert len(batch.image) == len(batch.concept) == 0
        assert batch.masks(slice(None)).shape == (0, *two.mask_size)


# -------------------- what set IoU divides by


def probe_of(two: TwoCategories) -> SegmentationProbe:
    return World(two, Protocol(), seeds=(0, 1)).probe()


def literal_set_iou(probe: SegmentationProbe, two: TwoCategories, rows: list[int]) -> Tensor:
    """Return set IoU (B, C), where false alarms on annotated images count."""
    found = torch.zeros(2, 3, dtype=torch.float64)
    weight = probe.bank.weight.detach().double().numpy()
    for bank in range(2):
        for concept in range(3):
            inside = either = 0
            for row in rows:
                if not two.is_scored(row, concept):
                    continue
                answer = probe.backbone(two.images[row][None])[0].numpy()
                bits = oracles.binarise(answer, probe.thresholds.numpy())
                mask = two.mask(row, concept).numpy()
                counts = oracles.multi_filter_counts(weight[3 * bank + concept], bits, mask)
                inside, either = inside + counts[0], either + counts[1]
            found[bank, concept] = inside / either
    return found


@pytest.mark.parametrize("cached", [False, True])
def test_set_iou_counts_false_alarms_on_annotated_images(two: TwoCategories, cached: bool) -> None:
    probe, stream = probe_of(two), stream_of(two)
    containing = stream_of(two, annotated=False)
    if cached:
        backbone = probe.backbone
        sink = MemorySink([backbone.shape], two.mask_size, torch.device("cpu"))
        rows = stream.all_rows
        thresholds = [probe.thresholds]
        survey(
            [backbone], stream, 0.1, threshold_rows=rows, thresholds=thresholds, sink=sink,
            sink_rows=rows,
        )  # fmt: skip
        stream = stream.from_source(sink.caches()[0])
    for split in ("train", "val"):
        rows = stream.scored_rows[split]
        counts, _ = score_bank(probe, stream, rows)
        expected = literal_set_iou(probe, two, rows.tolist())
        torch.testing.assert_close(counts.set_iou(3), expected, rtol=0, atol=1e-12)
        fewer, _ = score_bank(probe, containing, containing.scored_rows[split])
        assert (fewer.set_iou(3) >= counts.set_iou(3)).all()
        assert (fewer.set_iou(3) > counts.set_iou(3)).any()
        assert torch.equal(
            torch.stack([counts.image, counts.concept], 1),
            torch.tensor([(r, c) for r in rows.tolist() for c in range(3) if two.is_scored(r, c)]),
        )


# -------------------- places of pairs, and images about one concept


@given(
    order=st.permutations(range(24)),
    some=st.integers(0, 24),
    batch=st.lists(st.integers(0, 23), max_size=8),
)
def test_pairs_of_a_batch_are_found_in_the_list_of_all(
    two: TwoCategories, order: list[int], some: int, batch: list[int]
) -> None:
    index = PairIndex(two.vocabulary, scan_files(two), len(two))
    rows, given = order[:some], [row for row in batch if row in order[:some]]
    places = PairPlaces(index, np.array(rows, dtype=np.int64))
    listed = list(zip(places.image.tolist(), places.concept.tolist(), strict=True))
    assert listed == [(row, c) for row in rows for c in index[row].tolist()]
    found = places.of(torch.tensor(given, dtype=torch.int64)).tolist()
    assert [listed[p] for p in found] == [(row, c) for row in given for c in index[row].tolist()]


@pytest.mark.parametrize("concept", [0, 2])
def test_images_are_about_a_concept_whether_or_not_they_contain_it(
    two: TwoCategories, concept: int
) -> None:
    (batch,) = [b for b in stream_of(two).rows_dataloader(np.array([5, 8, 0, 2]))]
    assert isinstance(batch, ImageBatch)
    about = batch.about(concept)
    assert about.row.tolist() == [5, 8, 0, 2]
    assert about.image.tolist() == [0, 1, 2, 3]
    assert about.concept.tolist() == [concept] * 4
    assert not about.masks(slice(None)).any()
    assert about.masks(slice(None)).shape == (4, *two.mask_size)
    assert about.images is batch.images
    probe = probe_of(two)
    rows = [3 * bank + concept for bank in range(2)]
    bits = (two.images[[5, 8, 0, 2]] / 255 > probe.thresholds[:, None, None]).double()
    logits = torch.einsum("nkhw,k->nhw", bits, probe.bank.weight[rows[0]].detach().double())
    assert torch.equal(probe.masks(about), logits > 0)
