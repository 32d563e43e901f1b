"""Messages name what was given, what it may have meant, and what there is."""

import pytest

from net2vec_pl.errors import shorten, unknown

NAMES = [f"n{i}" for i in range(14)]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, ""),
        (1, "n0"),
        (12, ", ".join(NAMES[:12])),
        (13, f"{', '.join(NAMES[:12])} and 1 more"),
        (14, f"{', '.join(NAMES[:12])} and 2 more"),
    ],
)
def test_twelve_names_are_told_and_the_rest_counted(count: int, told: str) -> None:
    assert shorten(NAMES[:count]) == told


def test_fewer_may_be_shown() -> None:
    assert shorten(iter("abc"), 3) == "a, b, c"
    assert shorten(iter("abcd"), 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("given", "known", "told"),
    [
        ("conv5-3", ["fc6", "conv5_3"],
         "unknown layer 'conv5-3'. Did you mean 'conv5_3'? Known: fc6, conv5_3."),
        ("CONV5", ["Conv5"], "unknown layer 'CONV5'. Did you mean 'Conv5'? Known: Conv5."),
        ("aab", ["AAA", "aac", "aad", "aae"],
         "unknown layer 'aab'. Did you mean 'aae' or 'aad' or 'aac'? Known: AAA, aac, aad, aae."),
        ("zzz", ["b", "a", "b"], "unknown layer 'zzz'. Known: b, a."),
        ("zzz", [], "unknown layer 'zzz'. Known: none."),
    ],
)  # fmt: skip
def test_an_unknown_name_is_told_with_near_ones_in_their_own_spelling(
    given: str, known: list[str], told: str
) -> None:
    assert unknown("layer", given, known) == told
