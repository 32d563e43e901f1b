import numpy as np
import pytest

from net2vec_pl.analysis.chance import p_text, p_value


def test_p_counts_ties_and_never_reaches_zero() -> None:
    assert p_value(1.0, np.array([0.0, 1.0, 1.0 - 1e-12, 2.0])) == pytest.approx(4 / 5)
    assert p_value(9.0, np.zeros(99)) == pytest.approx(0.01)
    assert np.isnan(p_value(np.nan, np.zeros(3)))


@pytest.mark.parametrize("draws", [1, 9, 200, 999, 9999])
def test_only_a_p_that_no_permutation_reached_is_a_bound(draws: int) -> None:
    lowest, next_to_it = (p_value(1.0, (np.arange(draws) < n).astype(float)) for n in (0, 1))
    assert p_text(lowest, draws) == f"p <= {lowest:.2g}"
    assert p_text(next_to_it, draws) == f"p = {next_to_it:.2g}"
