"""A bank takes concepts out of new images and puts them in, on a planted network."""

from typing import Any

import numpy as np
import pytest
import torch
from support.planted_use import UseReader, learned

from net2vec_pl.errors import ConfigError
from net2vec_pl.inference import Bank


@pytest.fixture(scope="module")
def bank() -> Bank:
    return learned([])


def pictures(num: int = 8) -> list[np.ndarray[Any, Any]]:
    reader = UseReader()
    return [reader[row].image.numpy() for row in np.flatnonzero(~reader.is_train)[:num]]


def test_the_bank_takes_a_concept_out_of_new_images(bank: Bank) -> None:
    images = pictures()
    used, unused = (bank.ablate(images, name) for name in ("used", "unused"))
    assert used.before.shape == used.after.shape == (8, 7)
    assert (used.after[:, 0] < 0.2 * used.before[:, 0]).all()
    assert ((unused.after - unused.before).abs()[:, 0] < 0.2 * used.before[:, 0]).all()
    alone = bank.ablate(images[:1], "used", among=images)
    torch.testing.assert_close(alone.after, used.after[:1])


def test_the_bank_puts_a_concept_into_new_images(bank: Bank) -> None:
    images, nowhere = pictures(), torch.zeros(12, 12, dtype=torch.bool)
    once, twice = (bank.steer(images, "used", dose) for dose in (1.0, 2.0))
    rise = (once.after - once.before)[:, 0]
    assert (rise > 0).all()
    torch.testing.assert_close((twice.after - twice.before)[:, 0], 2 * rise)
    everywhere = bank.steer(images, "used", 1.0, ~nowhere)
    torch.testing.assert_close((everywhere.after - everywhere.before)[:, 0], 4 * rise)
    unchanged = bank.steer(images, "used", 5.0, nowhere)
    torch.testing.assert_close(unchanged.after, unchanged.before)


def test_a_region_of_another_size_is_refused(bank: Bank) -> None:
    with pytest.raises(ConfigError, match=r"region must be 12 x 12, not \(3, 3\)"):
        bank.steer(pictures(1), "used", 1.0, torch.ones(3, 3, dtype=torch.bool))
