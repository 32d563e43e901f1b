"""Unknown pixels of samples, batches and scans, against loops over pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import unknown_oracles
from support.unknown_data import CONCEPTS, LAYERS, SIZE, UnknownReader

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptDataModule, Sample, scan_files, select_concepts
from net2vec_pl.data.batch import ImageBatch, PairIndex, collate
from net2vec_pl.data.reader import UNKNOWN, unknown_label
from net2vec_pl.data.scan import label_pixels
from net2vec_pl.data.unknown import Area, AreaExchange, AreaFinder, Areas, UnknownRows

EVERY = slice(None)


def batch_of(reader: UnknownReader, rows: list[int], *, annotated: bool = False) -> ImageBatch:
    scan = scan_files(reader)
    stream = ConceptDataModule(
        reader, reader.vocabulary, scan, batch_size=64, score_annotated=annotated
    )
    (batch,) = stream.scoring_dataloader(np.array(rows))
    assert isinstance(batch, ImageBatch)
    return batch


@pytest.mark.parametrize("annotated", [False, True])
def test_masks_and_known_pixels_are_the_oracles(annotated: bool) -> None:
    reader = UnknownReader()
    batch = batch_of(reader, [*range(len(reader))], annotated=annotated)
    masks, known = batch.masks(EVERY), batch.known(EVERY)
    assert known is not None
    for pair, (row, concept) in enumerate(
        zip(batch.image.tolist(), batch.concept.tolist(), strict=True)
    ):
        truth = reader.truth(row, concept)
        assert masks[pair].tolist() == [[value is True for value in line] for line in truth]
        assert known[pair].tolist() == [[value is not None for value in line] for line in truth]
    assert torch.equal(batch.known(slice(30, 36)), known[30:36])  # type: ignore[arg-type]


def test_a_label_wins_over_unknown_layers_and_crowds_concern_one_concept() -> None:
    layers = torch.tensor([[[4, UNKNOWN, unknown_label(4), 0]], [[UNKNOWN, 7, 7, 0]]]).int()
    sample = Sample(torch.zeros(3, 1, 4).byte(), layers, ("object", "object"), (("object", 9),))
    areas = AreaFinder(Vocabulary(CONCEPTS)).find(sample)
    found = {int(c): area.pixels[0].tolist() for area in areas for c in area.concepts}
    assert found == {
        0: [True, True, True, False],  # the mask is taken out where it is known
        1: [True, True, False, False],
        2: [True, True, False, False],
    }


def test_a_sample_that_knows_everything_has_no_area() -> None:
    finder = AreaFinder(Vocabulary(CONCEPTS))
    image = torch.zeros(3, 2, 2).byte()
    assert finder.find(Sample(image, torch.zeros(0, 2, 2).int(), (), ())) == []
    assert finder.find(Sample(image, torch.full((1, 2, 2), 4).int(), ("object",), ())) == []
    # What is unknown of other categories, or of concepts that nobody asks for, is none either.
    other = torch.tensor([[[UNKNOWN, unknown_label(77)]]]).int()
    assert finder.find(Sample(image, other, ("scene",), ())) == []


def test_a_batch_that_knows_everything_says_so() -> None:
    reader = UnknownReader()
    assert batch_of(reader, [1, 2]).areas is None
    assert batch_of(reader, [1, 2]).known(EVERY) is None
    mixed = batch_of(reader, [1, 3])
    first = mixed.pairs_by_image()[0]
    assert mixed.areas is not None
    assert mixed.known(first) is None
    assert Areas.stack([[], []], 3) is None
    assert Areas.join([None, None]) is None


def test_areas_move_with_their_batch_and_stay_with_other_pairs() -> None:
    batch = batch_of(UnknownReader(), [3, 4])
    assert batch.areas is not None
    moved = batch.to("meta")
    assert moved.areas is not None
    assert moved.areas.packed.device.type == "meta"
    about = batch.about(0)
    known = about.known(EVERY)
    assert known is not None
    assert not about.masks(EVERY).any()  # no label of nothing equals that of unknown pixels
    for n in range(2):
        truth = UnknownReader().truth(3 + n, 0)
        expected = [[value is False for value in line] for line in truth]
        assert (known[n] & ~torch.tensor([[v is True for v in ln] for ln in truth])).tolist() == (
            expected
        )


def test_the_scan_counts_what_is_known() -> None:
    reader = UnknownReader()
    scan = scan_files(reader)
    found = list(zip(scan.row.tolist(), scan.number.tolist(), strict=True))
    assert scan.known is not None
    expected = {}
    for row in range(len(reader)):
        for c, concept in enumerate(reader.vocabulary):
            known = [there for *_, there in unknown_oracles.pixels(reader.truth(row, c))]
            if any(known):
                expected[row, concept.number] = (sum(known), len(known))
    assert sorted(found) == sorted(expected)
    assert dict(
        zip(found, zip(scan.pixels.tolist(), scan.known.tolist(), strict=True), strict=True)
    ) == (expected)


def test_an_image_level_label_is_known_everywhere() -> None:
    sample = Sample(
        torch.zeros(3, 2, 2).byte(),
        torch.tensor([[[UNKNOWN, 7], [0, 0]]]).int(),
        ("object",),
        (("object", 4),),
    )
    reader = UnknownReader(3)
    reader.samples[0] = sample
    reader.samples[1:] = [replace(sample, label_maps=sample.label_maps.clamp(min=0))] * 2
    reader.mask_size = (2, 2)
    numbers, pixels = label_pixels(sample)
    assert (numbers.tolist(), pixels.tolist()) == ([4, 7], [4, 1])
    scan = scan_files(reader)
    assert scan.known is not None
    assert scan.known.tolist() == [4, 3, 4, 4, 4, 4]


@pytest.mark.parametrize("seed", range(3))
def test_alpha_is_the_oracles(seed: int) -> None:
    reader = UnknownReader(9 + seed)
    scan = scan_files(reader)
    train = np.flatnonzero(reader.is_train).tolist()
    for c, entry in enumerate(select_concepts(reader, scan).considered):
        expected = unknown_oracles.alpha([reader.truth(row, c) for row in train])
        assert entry.alpha == pytest.approx(expected, abs=1e-12)


def test_what_is_known_nowhere_is_not_annotated_and_what_is_half_known_is_not_absent() -> None:
    reader = UnknownReader()
    maps = reader.samples[4].label_maps
    maps[maps == 9] = 0  # nowhere to be seen, but unknown in places
    index = PairIndex(reader.vocabulary, scan_files(reader), len(reader))
    rows = np.arange(len(reader))
    absent, whole = index.absent(rows), index.unknown(rows, whole=True)
    wider = PairIndex.annotated(index, reader.vocabulary, reader)
    for row in rows.tolist():
        for c in range(len(CONCEPTS)):
            values = {value for line in reader.truth(row, c) for value in line}
            assert absent[row, c] == (values == {False})
            assert (c in wider[row]) == (values != {None})
            if values == {None}:
                assert whole[row, c]
    assert 3 in wider[4]
    assert not absent[4, 3]
    assert whole[0, [0, 2]].all()
    assert not whole[1:].any()
    few = Vocabulary([CONCEPTS[3], CONCEPTS[0]])
    narrow = PairIndex(few, scan_files(reader), len(reader))
    np.testing.assert_array_equal(narrow.absent(rows), absent[:, [3, 0]])


def test_rows_without_unknown_pixels_lack_what_they_do_not_have() -> None:
    reader = UnknownReader(unknown=False)
    scan = scan_files(reader)
    assert (scan.known, scan.unknown) == (None, None)
    index = PairIndex(reader.vocabulary, scan, len(reader))
    rows = np.arange(len(reader))
    np.testing.assert_array_equal(index.absent(rows), ~index.present(rows))


def area(concepts: list[int], *bits: int) -> Area:
    pixels = torch.zeros(2, 8, dtype=torch.bool)
    pixels.view(-1)[list(bits)] = True
    return Area(np.array(concepts), pixels)


def areas_of(*of: Area) -> Areas:
    stacked = Areas.stack([of], 3)
    assert stacked is not None
    return stacked


def unknown_in(areas: Areas | None, concept: int) -> list[int]:
    if areas is None:
        return []
    found = areas.of_pairs(torch.zeros(1).long(), torch.tensor([concept]), 16)
    return [] if found is None else found[0].nonzero().flatten().tolist()


def test_exchanged_areas_come_from_the_image_that_gave_the_mask() -> None:
    areas = {5: areas_of(area([0, 1], 1, 2), area([2], 9)), 7: areas_of(area([0], 3))}
    exchange = AreaExchange(areas)
    for concept, source, target in [(0, 5, 7), (0, 7, 6), (0, 6, 5), (2, 5, 5)]:
        exchange.give(concept, source, target)
    found = exchange.exchanged()
    assert {row: [unknown_in(found.get(row), c) for c in range(3)] for row in (5, 6, 7)} == {
        5: [[], [1, 2], [9]],
        6: [[3], [], []],
        7: [[1, 2], [], []],
    }
    assert areas[5].num_bytes == 2 * 8 + 2 * 3 + 2 * 2
    alone = AreaExchange({7: areas[7]})
    alone.give(0, 6, 7)
    assert alone.exchanged() == {}


def test_areas_of_one_image_stand_by_themselves() -> None:
    both = Areas.stack([[area([0], 1)], [], [area([1], 2), area([2], 3)]], 3)
    assert both is not None
    assert both.of_image(1) is None
    last = both.of_image(2)
    assert last is not None
    assert last.image.tolist() == [0, 0]
    assert [unknown_in(last, c) for c in range(3)] == [[], [2], [3]]
    joined = Areas.join([both.of_image(0), None, last])
    assert joined is not None
    assert joined.image.tolist() == both.image.tolist() == [0, 2, 2]


def test_rows_of_unknown_areas_are_found_by_label() -> None:
    numbers = np.array([4, 2, 7])
    rows = UnknownRows.join(
        [
            UnknownRows.of_areas(2, [area([0, 2], 1)], numbers),
            UnknownRows.of_areas(5, [area([1], *range(16))], numbers),
        ]
    )
    asked = np.array([5, 2, 9])
    assert rows.of(np.array([7, 2]), asked).tolist() == [[False, True], [True, False], [False] * 2]
    assert rows.of(np.array([7, 2]), asked, whole=True).tolist() == [
        [False, True],
        *[[False] * 2] * 2,
    ]


def test_all_layers_are_padded_with_what_is_known() -> None:
    reader = UnknownReader()
    index = PairIndex(reader.vocabulary, scan_files(reader), len(reader))
    one = replace(reader[3], label_maps=reader[3].label_maps[:1], map_categories=LAYERS[:1])
    batch = collate([3, 4], [one, reader[4]], index, (SIZE, SIZE), (SIZE, SIZE))
    assert batch.label_maps[0, 1:].eq(0).all()
