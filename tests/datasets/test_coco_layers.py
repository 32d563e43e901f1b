import numpy as np

from net2vec_pl.data.reader import UNKNOWN, unknown_label
from net2vec_pl.datasets.coco.layers import Seen, pack_layers

ALL, NONE = np.ones((1, 2), dtype=np.bool_), np.zeros((1, 2), dtype=np.bool_)
LEFT = np.array([[True, False]])


def packed(*concepts: Seen, complete: bool = False) -> list[list[int]]:
    return [layer[0].tolist() for layer in pack_layers(concepts, NONE, complete=complete)]


def test_three_concepts_over_each_other_take_three_maps() -> None:
    seen = [Seen(1, ALL, NONE), Seen(2, LEFT, NONE), Seen(3, ALL, NONE)]
    assert packed(*seen) == [[1, 1], [2, 3], [3, 0]]


def test_what_is_there_is_not_written_as_unknown_too() -> None:
    assert packed(Seen(1, LEFT, ALL)) == [[1, unknown_label(1)]]


def test_a_category_in_doubt_is_written_once() -> None:
    seen = [Seen(1, LEFT, ALL), Seen(2, NONE, ALL)]
    assert packed(*seen, complete=True) == [[UNKNOWN, UNKNOWN], [1, 0]]
    assert packed(*seen) == [[1, unknown_label(1)], [unknown_label(2), unknown_label(2)]]
