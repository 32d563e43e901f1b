"""What a probe knows, on counts whose every set IoU is planted."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.records import Estimate
from net2vec_pl.records.run import ProbeRow
from net2vec_pl.report.probes import Contender, beside, knowledge, probe_means, probe_table

UNION = 100
Table = Sequence[Sequence[float]]  # of each concept, the set IoU on each of its images


def contender(name: str, table: Table, role: str = "reference", banks: int = 1) -> Contender:
    """Return what scores so on each image of each concept; a union of 0 where it is NaN.

    Other banks score the opposite.
    """
    pairs = [(n, c, value) for c, row in enumerate(table) for n, value in enumerate(row)]
    image, concept = (torch.tensor([pair[place] for pair in pairs]) for place in (0, 1))
    value = torch.tensor([pair[2] for pair in pairs]).double()
    union = torch.where(value.isnan(), 0, UNION)
    first = (value.nan_to_num(0.0) * UNION).round().long()
    inside = torch.stack([first, *[union - first] * (banks - 1)])
    numbers = torch.arange(len(table)).double() / 10

    def ramp(start: float) -> Tensor:
        return start + numbers

    counts = BankCounts(image, concept, inside, union.expand(banks, -1))
    return Contender(name, role, counts, ramp(1), ramp(2), ramp(3), ramp(4), ramp(5))  # type: ignore[arg-type]


def verdicts(own: Table, *levels: Table) -> list[str]:
    references = [contender(f"level {n}", table) for n, table in enumerate(levels)]
    return [found.known for found in knowledge(contender("own", own, "probe"), references, 0)]


def test_a_concept_far_above_every_level_is_known_and_one_far_below_is_not() -> None:
    own = [[0.8] * 12, [0.1] * 12, [0.5] * 12]
    level = [[0.3] * 12, [0.6] * 12, [0.5] * 12]
    found = knowledge(contender("own", own, "probe"), [contender("level", level)], 0)
    assert [one.known for one in found] == ["yes", "no", "undecided"]
    assert [one.level for one in found] == [0.3, 0.6, 0.5]
    assert [one.gain.value for one in found] == pytest.approx([0.5, -0.5, 0.0])
    # All images are alike, so that no resample differs.
    assert [one.gain.low for one in found] == pytest.approx([0.5, -0.5, 0.0])
    assert [one.gain.high for one in found] == pytest.approx([0.5, -0.5, 0.0])


def test_a_gain_on_half_of_the_images_is_undecided() -> None:
    assert verdicts([[0.9, 0.1] * 6], [[0.3, 0.6] * 6]) == ["undecided"]


def test_each_concept_has_the_level_that_is_best_for_it() -> None:
    own = [[0.5] * 12, [0.5] * 12, [0.5] * 12]
    levels = [
        contender("first", [[0.1] * 12, [0.9] * 12, [0.3] * 12]),
        contender("second", [[0.7] * 12, [0.2] * 12, [0.3] * 12]),
        contender("third", [[0.2] * 12, [0.3] * 12, [0.4] * 12]),
    ]
    found = knowledge(contender("own", own, "probe"), levels, 0)
    assert [one.reference for one in found] == ["second", "first", "third"]
    assert [one.level for one in found] == [0.7, 0.9, 0.4]
    assert [one.gain.value for one in found] == pytest.approx([-0.2, -0.4, 0.1])
    assert [one.known for one in found] == ["no", "no", "yes"]


def test_a_level_is_best_by_its_sums_and_not_by_its_mean_over_images() -> None:
    """The first covers one image whole and one of 10 not at all; by pixels it has 100 of 1,100."""
    own = contender("own", [[0.5, 0.5]], "probe")
    large, even = contender("large", [[1.0, 0.0]]), contender("even", [[0.4, 0.4]])
    large.counts.union[:, 1] = 10 * UNION
    (found,) = knowledge(own, [large, even], 0)
    assert found.reference == "even"
    assert found.level == pytest.approx(0.4)


def test_the_first_bank_alone_counts() -> None:
    own = contender("own", [[0.8] * 12], "probe", banks=2)
    (found,) = knowledge(own, [contender("level", [[0.3] * 12], banks=3)], 0)
    assert found.gain.value == pytest.approx(0.5)
    assert own.val().tolist() == [0.8]


def test_a_concept_of_one_image_or_none_is_not_tested() -> None:
    assert verdicts([[0.8], [], [0.8] * 12], [[0.3], [], [0.3] * 12]) == [
        "fewer than 10 images",
        "no image",
        "yes",
    ]


def test_the_number_of_concepts_is_corrected_for() -> None:
    """One of ten images is turned: 22 of 1,024 swaps are as far from 0, and p is 0.021."""
    better, worse, equal = [[0.8] * 9 + [0.3]], [[0.3] * 9 + [0.8]], [[0.5] * 10]
    assert verdicts(better, worse) == ["yes"]
    found = verdicts(better + 9 * equal, worse + 9 * equal)
    assert found == 10 * ["undecided"]
    # If all of them are better, none of ten is a chance.
    assert verdicts(10 * better, 10 * worse) == 10 * ["yes"]


def test_what_has_no_score_says_so() -> None:
    nan = [math.nan] * 12
    own = [nan, [0.5] * 12, [0.5] * 12, nan]
    levels = [
        contender("first", [[0.3] * 12, nan, nan, nan]),
        contender("second", [[0.2] * 12, nan, [0.1] * 12, nan]),
    ]
    found = knowledge(contender("own", own, "probe"), levels, 0)
    assert [one.known for one in found] == [
        "no embedding",
        "no single filter",
        "yes",
        "no embedding",
    ]
    assert [one.reference for one in found] == ["first", "", "second", ""]
    assert [one.level for one in found] == pytest.approx(
        [0.3, math.nan, 0.1, math.nan], nan_ok=True
    )
    assert [math.isnan(one.gain.value) for one in found] == [True, True, False, True]


def test_a_level_that_is_zero_everywhere_is_a_level() -> None:
    (found,) = knowledge(
        contender("own", [[0.5] * 12], "probe"), [contender("level", [[0.0] * 12])], 0
    )
    assert found.reference == "level"
    assert found.level == 0
    assert found.known == "yes"


def vocabulary(count: int) -> Vocabulary:
    return Vocabulary(Concept(5 + n, f"c{n}", "part", ("part",), True) for n in range(count))


def table() -> list[ProbeRow]:
    """Tabulate a probe, another one, and two levels, on two concepts of 12 images and one of 1."""
    return probe_table(
        vocabulary(3),
        [
            contender("own", [[0.8] * 12, [0.5] * 12, [0.2]], "probe"),
            contender("other", [[0.3] * 12, [0.9] * 12, [0.6]], "probe"),
            contender("low", [[0.1] * 12, [0.6] * 12, [0.1]]),
            contender("high", [[0.4] * 12, [0.2] * 12, [0.4]]),
        ],
        seed=0,
    )


def test_a_table_has_a_row_for_each_contender_and_concept() -> None:
    rows = table()
    assert [(row.probe, row.role) for row in rows[::3]] == [
        ("own", "probe"),
        ("other", "probe"),
        ("low", "reference"),
        ("high", "reference"),
    ]
    assert [(row.id, row.name, row.category, row.n_val) for row in rows] == 4 * [
        (5, "c0", "part", 12),
        (6, "c1", "part", 12),
        (7, "c2", "part", 1),
    ]
    assert [row.val.value for row in rows] == pytest.approx(
        [0.8, 0.5, 0.2, 0.3, 0.9, 0.6, 0.1, 0.6, 0.1, 0.4, 0.2, 0.4]
    )
    assert [row.gain.value for row in rows] == pytest.approx(
        [0, 0, 0, -0.5, 0.4, 0.4, -0.7, 0.1, -0.1, -0.4, -0.3, 0.2]
    )
    assert [row.over_reference.value for row in rows[:6]] == pytest.approx(
        [0.4, -0.1, -0.2, -0.1, 0.3, 0.2]
    )
    assert all(math.isnan(row.over_reference.value) for row in rows[6:])
    assert [row.known for row in rows] == [
        *("yes", "no", "fewer than 10 images", "no", "yes", "fewer than 10 images"),
        *6 * [""],
    ]
    for start in range(4):
        mine = rows[3 * start : 3 * start + 3]
        for place, name in enumerate(("train", "ap", "annotated", "argmax", "cosine")):
            found = [getattr(row, name) for row in mine]
            assert found == pytest.approx([place + 1, place + 1.1, place + 1.2]), name
    assert math.isnan(rows[2].val.low)  # resamples of one image tell nothing
    assert rows[0].val.low == pytest.approx(0.8)


def test_means_are_over_concepts_with_a_score() -> None:
    own, other, low, high = probe_means(table())
    assert [m.name for m in (own, other, low, high)] == ["own", "other", "low", "high"]
    assert [m.role for m in (own, high)] == ["probe", "reference"]
    assert [m.val for m in (own, other, low, high)] == pytest.approx([0.5, 0.6, 0.8 / 3, 1.0 / 3])
    assert (own.ap, own.annotated, own.argmax) == pytest.approx((2.1, 3.1, 4.1))
    assert own.over_reference == pytest.approx(0.1 / 3)
    assert math.isnan(low.over_reference)
    assert [m.known for m in (own, other, low, high)] == [1, 1, 0, 0]
    assert [m.tested for m in (own, other, low, high)] == [3, 3, 3, 3]


def test_concepts_without_a_score_enter_no_mean() -> None:
    nan = math.nan
    gone = Estimate(nan)
    both = [
        ProbeRow(
            n, f"c{n}", "part", "own", "probe", 3, nan, Estimate(v), gone, v, v, nan, nan, gone, k
        )
        for n, (v, k) in enumerate([(0.5, "yes"), (nan, "no image"), (0.1, "undecided")])
    ]
    (found,) = probe_means(both)
    assert (found.val, found.ap, found.annotated) == pytest.approx((0.3, 0.3, 0.3))
    assert math.isnan(found.argmax)
    assert (found.known, found.tested) == (1, 2)
    assert math.isnan(found.over_reference)


def test_counts_beside_one_another_are_of_the_same_pairs() -> None:
    one, two = contender("one", [[0.8, 0.2], [0.5]]), contender("two", [[0.1, 0.3], [0.9]], banks=2)
    found = beside(one.counts, two.counts, 2)
    assert found.multi.tolist() == [[80, 20, 50], [100, 100, 100]]
    assert found.single.tolist() == [[10, 30, 90], [100, 100, 100]]
    assert found.image.tolist() == [0, 1, 0]
    assert found.concept.tolist() == [0, 0, 1]


def test_interval_and_test_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(SetIouIntervals):
        @property
        def gain(self) -> Interval:
            found = super().gain
            return replace(found, low=0 * found.low)

    assert verdicts([[0.8] * 12], [[0.3] * 12]) == ["yes"]
    monkeypatch.setattr("net2vec_pl.report.probes.SetIouIntervals", Wide)
    assert verdicts([[0.8] * 12], [[0.3] * 12]) == ["undecided"]
