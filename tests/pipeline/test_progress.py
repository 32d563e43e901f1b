"""Bars count batches or images, and hand on what they wrap."""

import pytest

from net2vec_pl.pipeline.progress import Progress

BATCHES = [[1, 2, 3], [4, 5, 6], [7]]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_bar_of_images_counts_them_and_tells_their_rate(
    enabled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    wrap = Progress(enabled=enabled).of_images("reading", 7)
    assert [*wrap(BATCHES)] == BATCHES
    shown = capsys.readouterr().err
    assert ("reading" in shown, "100%" in shown, "images/s" in shown) == (enabled,) * 3


def test_a_bar_of_images_that_was_stopped_is_not_full(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in Progress(enabled=True).of_images("reading", 6)(BATCHES):
        break
    assert "0%" in capsys.readouterr().err
