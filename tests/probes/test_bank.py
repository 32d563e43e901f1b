"""The bank: a 1x1 convolution whose rows start from seed, layer and concept alone."""

from zlib import crc32

import numpy as np
import torch

from net2vec_pl.probes import ConceptBank, initial_rows


def test_a_row_starts_alike_whichever_concepts_are_beside_it() -> None:
    together = initial_rows([3, 700, 5], 16, seed=1)
    torch.testing.assert_close(initial_rows([700], 16, seed=1), together[1:2], rtol=0, atol=0)
    assert not torch.equal(initial_rows([700], 16, seed=2), together[1:2])


def test_layers_of_one_seed_start_from_vectors_that_have_nothing_in_common() -> None:
    one, other = (initial_rows(range(40), 64, 0, layer).numpy() for layer in ("conv4", "conv5"))
    cosines = [
        (rows @ rows.T / np.outer(norm, norm))[np.triu_indices(40, 1)]
        for rows in (one, other)
        for norm in [np.linalg.norm(rows, axis=1)]
    ]
    assert abs(np.corrcoef(*cosines)[0, 1]) < 0.1  # 780 pairs: one standard deviation is 0.036


def test_rows_start_uniform_within_one_over_the_root_of_the_filters() -> None:
    rows = initial_rows(range(200), 64, seed=0).numpy()
    assert np.abs(rows).max() <= 1 / 8
    assert abs(rows.std() - (2 / 8) / np.sqrt(12)) < 1e-3
    assert abs(rows.mean()) < 1e-3


def test_logits_are_weighted_sums_of_filters() -> None:
    weight, activation = torch.randn(3, 5), torch.randn(2, 5, 4, 6)
    bank = ConceptBank(weight, bias=True)
    assert bank.bias is not None
    torch.nn.init.constant_(bank.bias, 2.0)
    expected = torch.einsum("ck,nkhw->nchw", weight, activation) + 2
    torch.testing.assert_close(bank(activation), expected)


def test_the_paper_has_no_bias() -> None:
    assert ConceptBank(torch.zeros(1, 2)).bias is None


def test_a_row_is_numpys_draw_from_seed_number_and_layer() -> None:
    rows = initial_rows([700, 3], 9, seed=4, layer="features.29")
    for row, number in zip(rows, (700, 3), strict=True):
        draw = np.random.default_rng([4, number, crc32(b"features.29")])
        assert row.tolist() == draw.uniform(-1 / 3, 1 / 3, 9).astype(np.float32).tolist()
    assert initial_rows([], 9, seed=4).shape == (0, 9)


def test_a_bank_starts_with_the_filters_it_keeps_and_no_bias() -> None:
    weight = torch.tensor([[1.0, -2, 3], [4, 5, -6]])
    kept = torch.tensor([[True, False, True], [False, True, True]])
    bank = ConceptBank(weight, bias=True, kept=kept)
    assert bank.weight.tolist() == [[1, 0, 3], [0, 5, -6]]
    assert bank.bias is not None
    assert bank.bias.tolist() == [0, 0]
    assert ConceptBank(weight).weight.tolist() == weight.tolist()


def test_rows_that_have_stepped_lose_what_they_may_not_use_and_shrink() -> None:
    kept = torch.tensor([[True, False, True], [False, True, True]])
    both, second = torch.tensor([0, 1]), torch.tensor([1])
    weight = torch.tensor([[1.0, -2, 0.25], [4, 5, -6]])
    bank = ConceptBank(weight, kept=kept)
    with torch.no_grad():
        bank.weight.copy_(weight)
    bank.constrain(second)
    assert bank.weight.tolist() == [[1, -2, 0.25], [0, 5, -6]]
    bank.constrain(both)
    assert bank.weight.tolist() == [[1, 0, 0.25], [0, 5, -6]]
    shrinking = ConceptBank(weight, shrink=torch.tensor([0.5, 5.0]))
    shrinking.constrain(second)
    assert shrinking.weight.tolist() == [[1, -2, 0.25], [0, 0, -1]]
    shrinking.constrain(both)
    assert shrinking.weight.tolist() == [[0.5, -1.5, 0], [0, 0, 0]]
