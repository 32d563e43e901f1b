import itertools

import numpy as np
import pytest

from net2vec_pl.analysis.seeds import spread_over_seeds


def test_spread_over_seeds_matches_a_loop_over_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, embeddings = rng.random((4, 3)), rng.normal(size=(4, 3, 6))
    embeddings[1, 2], scores[0, 1] = 0.0, np.nan
    found = spread_over_seeds(scores, embeddings)
    for c in range(3):
        rows = [e for e in embeddings[:, c] if (e != 0).any()]
        cosines = [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in itertools.combinations(rows, 2)
        ]
        assert found.cosine[c] == pytest.approx(np.mean(cosines))
        finite = [s for s in scores[:, c] if np.isfinite(s)]
        assert found.score_std[c] == pytest.approx(np.std(finite, ddof=1))
    np.testing.assert_array_equal(found.n_embeddings, [4, 4, 3])
    np.testing.assert_array_equal(found.n_scores, [4, 3, 4])


def test_one_seed_has_no_spread() -> None:
    found = spread_over_seeds(np.ones((1, 2)), np.ones((1, 2, 3)))
    assert np.isnan(found.score_std).all()
    assert np.isnan(found.cosine).all()
