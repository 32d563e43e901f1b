"""A run with groups: the same scores, other intervals, and words for it."""

from typing import Any

import numpy as np
import pytest
from support.cli import composed

import net2vec_pl
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.config.plan import Plan
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.doctor.data import dataset
from net2vec_pl.doctor.found import Found
from net2vec_pl.errors import ConfigError
from net2vec_pl.inference import Bank
from net2vec_pl.report.probes import beside

READER = ShapesReader(num_images=60, image_size=32)
SMALL: dict[str, Any] = {
    "names": ["sky", "grass", "tree", "house", "brick"],
    "protocol": "lda",
    "analyses": ["intervals", "worth"],
}
TABLES = ("concepts", "probes", "intervals", "gains", "filters")


def learned(groups: Any, **more: Any) -> Bank:
    bank: Bank = net2vec_pl.learn("shapesnet", data=READER, groups=groups, **(SMALL | more))
    return bank


@pytest.fixture(scope="module")
def plain() -> Bank:
    return learned(None)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_groups_move_intervals_by_their_number_and_no_score(plain: Bank) -> None:
    groups = [row // 8 for row in range(len(READER))]  # on both sides of the split
    grouped = learned(groups, protocol="paper", options={"protocol.epochs": 1})
    alone = learned(None, protocol="paper", options={"protocol.epochs": 1}, analyses="none")
    results, other = grouped.results, alone.results
    assert results is not None
    assert other is not None
    assert results.groups is not None
    assert results.groups.tolist() == groups
    scores, others = (
        [row["val"] for row in of.tables["probes"].cells()] for of in (results, other)
    )
    np.testing.assert_array_equal(scores, others)
    counts = results.counts
    assert counts is not None
    pairs = beside(counts, counts, len(SMALL["names"]), results.groups)
    expected = SetIouIntervals(pairs).multi.array()
    rows = [row for row in results.tables["probes"].cells() if row["probe"] == "paper"]
    found = np.array([[row["val"], row["val_low"], row["val_high"]] for row in rows], dtype=float)
    np.testing.assert_array_equal(found.T, expected)
    by_image = SetIouIntervals(beside(counts, counts, len(SMALL["names"]))).multi.array()
    assert not np.array_equal(by_image[1:], expected[1:])
    number = len({groups[row] for row in counts.image.tolist()})
    told = [f.statement for f in results.findings if "by test" in f.statement]
    told += [f.statement for f in results.findings if f.measure.startswith("mean gain in")]
    told += [f.statement for f in results.findings if f.measure.endswith("calibrated")]
    assert len(told) == 4
    for statement in told:
        assert f"over {number} groups of images" in statement
        assert "No paired test can decide" not in statement  # there are more than six
    assert plain.results is not None
    assert plain.results.counts is not None
    both = beside(counts, plain.results.counts, len(SMALL["names"]), results.groups)
    expected = SetIouIntervals(both).gain.array().T
    for one, two in ((grouped, plain), (plain, grouped)):  # one of the two knows the groups
        gains = [row.difference for row in one.compare(two)]
        sign = 1 if one is grouped else -1
        bounds = [sorted([sign * gain.low, sign * gain.high]) for gain in gains]
        np.testing.assert_allclose(bounds, expected[:, 1:], atol=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_groups_of_one_image_give_the_same_tables_to_the_last_bit(plain: Bank) -> None:
    alone = learned([f"film {row}" for row in range(len(READER))])
    assert plain.results is not None
    assert alone.results is not None
    for name in TABLES:
        tables = [bank.results.tables[name].cells() for bank in (alone, plain)]
        assert repr(tables[0]) == repr(tables[1])
    np.testing.assert_array_equal(alone.file.weight.numpy(), plain.file.weight.numpy())


def test_a_folder_or_a_name_takes_a_pattern() -> None:
    with pytest.raises(ConfigError, match="groups of 'shapes' must be a pattern on the names"):
        net2vec_pl.learn("shapesnet", data="shapes", groups=[1, 2])
    with pytest.raises(ConfigError, match=r"data\.group='z.' must have one pair of parentheses"):
        net2vec_pl.learn("shapesnet", data="shapes", groups="z+")


def test_the_doctor_tells_of_groups() -> None:
    plan = Plan(composed("data.num_images=40", "data.image_size=32", r"data.group='(\d)\D*$'"))
    found = Found(40)
    told = [*dataset(plan, found)]
    assert any(c.verdict == "ok" and "10 groups of images" in c.text for c in told)
    assert any(c.verdict == "warning" and "on both sides of the split" in c.text for c in told)
    assert found.reader is not None
    some = SomeRows(found.reader, np.array([3, 5]))
    assert some.groups is not None
    assert some.groups.tolist() == found.reader.groups[[3, 5]].tolist()  # type: ignore[index]
