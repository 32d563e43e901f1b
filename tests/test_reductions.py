"""What several processes share, sum, gather and tell each other; alone all of it is plain."""

from functools import partial

import numpy as np
import pytest
import torch
from support.gloo import in_processes

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError


def together(rank: int) -> dict[str, object]:
    total = processes.sum_over(torch.tensor([rank + 1, 10 * rank]))
    parts = processes.gather(torch.tensor([[rank, 7]]))
    made = processes.from_first(lambda: f"made by {rank}")
    processes.wait()
    return {
        "rank": (processes.rank(), processes.count(), processes.is_first()),
        "share": processes.share(np.arange(7)).tolist(),
        "sum": total.tolist(),
        "gathered": [part.tolist() for part in parts],
        "made": made,
    }


def test_three_processes_share_rows_and_bring_everything_together() -> None:
    found = in_processes(together, 3)
    assert [of["rank"] for of in found] == [(0, 3, True), (1, 3, False), (2, 3, False)]
    assert [of["share"] for of in found] == [[0, 3, 6], [1, 4], [2, 5]]
    assert [of["sum"] for of in found] == [[6, 30]] * 3
    assert [of["gathered"] for of in found] == [[[[0, 7]], [[1, 7]], [[2, 7]]]] * 3
    assert [of["made"] for of in found] == ["made by 0"] * 3


def refused(rank: int) -> str:
    def refuse() -> None:
        raise ConfigError(f"refused by {rank}")

    try:
        processes.from_first(refuse)
    except ConfigError as error:
        return str(error)
    return "nothing"


def test_what_the_first_process_raises_all_raise() -> None:
    assert in_processes(refused, 2) == ["refused by 0"] * 2


def test_one_process_is_the_first_and_has_everything() -> None:
    assert (processes.rank(), processes.count(), processes.is_first()) == (0, 1, True)
    rows, value = np.arange(5), torch.tensor([3])
    assert processes.share(rows).tolist() == rows.tolist()
    assert processes.sum_over(value) is value
    assert processes.gather(value) == [value]
    assert processes.from_first(partial(int, "7")) == 7
    processes.wait()
    with pytest.raises(ValueError, match="invalid"):
        processes.from_first(partial(int, "x"))
