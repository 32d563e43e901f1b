"""What is read of a network's answer, against literal means."""

import math

import pytest
import torch
from support.planted_use import SIZE, UseNetwork

from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.backbones.continued import Answer
from net2vec_pl.studies.causal_readouts import Head, LaterLayer


@pytest.fixture
def later() -> LaterLayer:
    scaling = InputScaling.named("unit")
    backbone = FrozenBackbone(UseNetwork(), "later", scaling, (SIZE, SIZE))
    related = torch.tensor([[True, False, False], [False, True, False]])
    weight = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    return LaterLayer("later", ["a", "b", "c"], related, backbone, 0, weight)


def test_scores_are_averaged_over_the_place_of_each_concept(later: LaterLayer) -> None:
    maps, places = torch.randn(1, 7, 2, 2), torch.zeros(1, 2, 2, 2).double()
    places[0, 0, 0], places[0, 1, 1, 1] = torch.tensor([1.0, 0.25]).double(), 0.5
    values = later.values(Answer(None, (maps,)), places)
    scores = torch.einsum("tk,khw->thw", later.weight, maps[0])
    torch.testing.assert_close(values[0, 0], (scores[:, 0, 0] + 0.25 * scores[:, 0, 1]) / 1.25)
    torch.testing.assert_close(values[0, 1], scores[:, 1, 1])


def test_a_concept_without_a_place_is_nan_and_leaves_gradients_of_others_alone(
    later: LaterLayer,
) -> None:
    maps, places = torch.randn(1, 7, 2, 2, requires_grad=True), torch.zeros(1, 2, 2, 2).double()
    places[0, 0] = 1
    own = later.own(later.values(Answer(None, (maps,)), places))
    assert own[0, 1].isnan()
    (gradient,) = torch.autograd.grad(own[0, 0], maps)
    torch.testing.assert_close(gradient[0, :, 0, 0], later.weight[0] / 4)


def test_effects_are_of_what_is_related_and_of_all_else() -> None:
    related = torch.tensor([[True, True, False, False], [False] * 4])
    head = Head("classes", ["a", "b", "c", "d"], related, torch.tensor([2.0, 1.0, 0.0, 4.0]))
    answer = Answer(torch.tensor([[2.0, 3.0, 9.0, -8.0]]), ())
    values = head.values(answer, torch.ones(1, 2, 1, 1).double())
    assert values.tolist() == [[[1.0, 3.0, 0.0, -2.0]]]  # over the spread of each class
    effects = head.effects(values)
    assert effects[0, 0].tolist() == [2.0, -1.0, 1.0]
    assert math.isnan(effects[0, 1, 0])
