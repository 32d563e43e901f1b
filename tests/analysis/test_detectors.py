import numpy as np

from net2vec_pl.analysis.detectors import DETECTED, detected, detector_scores

NAN = np.nan


def test_the_best_filter_on_train_speaks_for_its_best_concept_alone() -> None:
    best_concept = np.array([0, 0, 2, -1, 1, 3, 3])
    train = np.array([0.3, 0.2, 0.1, 0.9, 0.1, 0.2, 0.2])
    val = np.array([0.02, 0.10, 0.03, NAN, NAN, 0.04, 0.5])
    found = detector_scores(best_concept, train, val, 5)
    # Concept 0 has a filter of higher score on val, which nobody could know; 3 takes the first.
    np.testing.assert_array_equal(found, [0.02, NAN, 0.03, 0.04, NAN])
    assert np.isnan(detector_scores(best_concept[:0], train[:0], val[:0], 2)).all()


def test_scores_match_a_loop() -> None:
    rng = np.random.default_rng(0)
    best_concept, train, val = rng.integers(-1, 6, 40), rng.random(40).round(1), rng.random(40)
    found = detector_scores(best_concept, train, val, 7)
    for c in range(7):
        mine = [k for k in range(40) if best_concept[k] == c]
        expected = val[max(mine, key=lambda k: train[k])] if mine else NAN
        np.testing.assert_equal(found[c], expected)


def test_one_bar_and_the_reference_level_decide() -> None:
    score = np.array([DETECTED, DETECTED - 1e-6, 0.5, 0.5, 0.5, 0.03, NAN])
    level = np.array([NAN, NAN, 0.5, 0.49, NAN, 0.01, 0.1])
    assert detected(score, level).tolist() == [True, False, False, True, True, False, False]


def test_a_constant_mask_detects_nothing() -> None:
    share = np.array([0.01, 0.05, 0.3])  # of the pixels: what calling all of them scores
    assert (share >= DETECTED).any()
    assert not detected(share, share).any()


def test_the_best_of_many_that_see_nothing_is_not_high_on_val() -> None:
    rng, found = np.random.default_rng(1), []
    concept = np.arange(20).repeat(10)  # ten filters each, alike; one in six is above the bar
    for _ in range(100):
        train, val = rng.normal(0.03, 0.01, (2, 200))
        largest = val.reshape(20, 10).max(axis=1)
        score = detector_scores(concept, train, val, 20)
        found.append([np.mean(s >= DETECTED) for s in (score, largest)])
    by_train, by_val = np.mean(found, axis=0)
    assert 0.13 < by_train < 0.19  # 0.159
    assert by_val > 0.7
