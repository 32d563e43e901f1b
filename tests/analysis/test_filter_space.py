"""Filters over their spread: what is done there is done to activations."""

import torch

from net2vec_pl.analysis.filter_space import FilterSpace, centred_quarter

SPACE = FilterSpace(torch.tensor([2.0, 0.0, 0.5], dtype=torch.float64))


def test_a_change_of_z_is_one_of_activations_and_leaves_filters_that_never_vary() -> None:
    x = torch.randn(2, 3, 4, 5)
    changed = SPACE.changed(lambda z: 3 * z + 1)(x)
    torch.testing.assert_close(changed[:, 0], 3 * x[:, 0] + 2)
    torch.testing.assert_close(changed[:, 2], 3 * x[:, 2] + 0.5)
    assert torch.equal(changed[:, 1], x[:, 1])


def test_directions_have_length_one_or_none() -> None:
    rows = torch.tensor([[3.0, 9.0, 4.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    assert SPACE.unit(rows).tolist() == [[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]]


def test_random_directions_are_those_of_their_seed() -> None:
    drawn = SPACE.random(500, 3)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(500).double())
    assert torch.equal(drawn, SPACE.random(500, 3))
    assert not torch.equal(drawn, SPACE.random(500, 4))
    assert drawn.mean(0).abs().max() < 0.1
    assert not drawn[:, 1].any()


def test_the_middle_is_half_of_each_side() -> None:
    middle = centred_quarter((8, 4))
    assert middle.sum() == 8
    assert middle[2:6, 1:3].all()
    assert centred_quarter((1, 1)).all()
    assert centred_quarter((7, 7)).sum() == 9
