"""What a stage gives back is the same thing, whether it has just been made or is recalled."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from support.gloo import in_processes
from torch import Tensor, nn

from net2vec_pl import processes
from net2vec_pl.runs.stages import Stages, WholeCheckpoints

KEY = {"layer": "conv5", "tau": 0.005, "versions": {"net2vec_pl": "1"}}
Tensors = dict[str, Tensor]


def of_every_kind() -> Tensors:
    """Tensors as steps of a job make them: views, with gradients, of all types, in any order."""
    counts = torch.arange(12).view(2, 3, 2)
    return {
        "weight": nn.Parameter(torch.arange(6.0).view(2, 3)).T,
        "union": counts[..., 1],
        "inside": counts[..., 0],
        "kept": torch.tensor([True, False]),
        "half": torch.tensor([0.5, torch.nan], dtype=torch.float16),
        "ap": torch.tensor(0.25, dtype=torch.float64),
        "none": torch.zeros(0, 3),
    }


def not_again() -> Tensors:
    raise AssertionError("the stage was made again")


def assert_same(one: Tensors, two: Tensors) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        other = two[name]
        torch.testing.assert_close(value, other, rtol=0, atol=0, equal_nan=True, check_stride=True)
        assert type(value) is type(other) is Tensor
        assert value.is_contiguous(), name
        assert not value.requires_grad, name
        assert not other.requires_grad, name


def test_what_is_made_is_what_is_recalled(tmp_path: Path) -> None:
    made = Stages(tmp_path, KEY).once("scores", of_every_kind)
    recalled = Stages(tmp_path, KEY).once("scores", not_again)
    assert_same(made, recalled)
    again = Stages(tmp_path, KEY).recall("scores")
    assert again is not None
    assert_same(made, again)
    for name, value in of_every_kind().items():
        torch.testing.assert_close(made[name], value.detach(), rtol=0, atol=0, equal_nan=True)


def test_every_stage_has_a_result_of_its_own(tmp_path: Path) -> None:
    stages = Stages(tmp_path, KEY)
    for number, name in enumerate(("thresholds", "baseline", "bank")):
        stages.once(name, lambda number=number: {"value": torch.tensor(number)})  # type: ignore[misc]
    values = [stages.once(n, not_again)["value"] for n in ("bank", "thresholds", "baseline")]
    assert [int(value) for value in values] == [2, 0, 1]
    assert stages.recall("scores") is None


def test_a_layer_has_results_of_its_own(tmp_path: Path) -> None:
    for number in (4, 5):
        stages = Stages(tmp_path / f"conv{number}", KEY)
        stages.once("thresholds", lambda number=number: {"value": torch.tensor(number)})  # type: ignore[misc]
    found = Stages(tmp_path / "conv4", KEY).once("thresholds", not_again)
    assert int(found["value"]) == 4


@pytest.mark.parametrize(
    "other", [KEY | {"tau": 0.01}, KEY | {"versions": {"net2vec_pl": "2"}}, KEY | {"seed": 1}, {}]
)
def test_another_configuration_makes_it_anew(other: dict[str, object], tmp_path: Path) -> None:
    Stages(tmp_path, KEY).once("scores", lambda: {"value": torch.zeros(1)})
    stages = Stages(tmp_path, other)
    assert stages.recall("scores") is None
    assert stages.once("scores", lambda: {"value": torch.ones(1)})["value"].tolist() == [1.0]
    assert stages.once("scores", not_again)["value"].tolist() == [1.0]
    assert Stages(tmp_path, KEY).recall("scores") is None


def test_the_order_of_a_configuration_does_not_matter(tmp_path: Path) -> None:
    Stages(tmp_path, KEY).once("scores", of_every_kind)
    assert Stages(tmp_path, dict(reversed(KEY.items()))).recall("scores") is not None


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b""])
def test_a_damaged_result_is_made_anew(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    stages = Stages(tmp_path, KEY)
    stages.once("scores", of_every_kind)
    path = tmp_path / "state" / "scores.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert stages.recall("scores") is None
    assert stages.once("scores", lambda: {"value": torch.ones(1)}).keys() == {"value"}
    assert stages.once("scores", not_again).keys() == {"value"}


def of_rank(rank: int, folder: Path) -> list[list[float]]:
    stages = Stages(folder / str(rank), KEY)
    made = stages.once("scores", lambda: {"value": torch.ones(1) / 3})["value"]
    processes.wait()
    recalled = stages.once("scores", not_again)[
        "value"
    ]  # of a folder in which a process wrote none
    return [made.tolist(), recalled.tolist()]


def test_the_first_process_writes_and_all_recall_what_it_wrote(tmp_path: Path) -> None:
    third = torch.tensor(1 / 3).item()
    assert in_processes(partial(of_rank, folder=tmp_path)) == [[[third], [third]]] * 2
    assert (tmp_path / "0" / "state" / "scores.safetensors").exists()
    assert not (tmp_path / "1").exists()


def saved(folder: Path, content: dict[str, object]) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content, path)
    return path


def test_only_a_whole_checkpoint_of_this_configuration_is_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages = Stages(tmp_path, KEY)
    assert stages.checkpoint() is None
    for other in ({"epoch": 1}, {"stage_key": Stages(tmp_path, {}).key}, {"stage_key": None}):
        saved(tmp_path, dict(other))
        assert stages.checkpoint() is None
    path = saved(tmp_path, {"stage_key": stages.key, "epoch": 1})
    assert stages.checkpoint() == path
    assert "damaged" not in caplog.text
    path.write_bytes(path.read_bytes()[:50])
    assert stages.checkpoint() is None
    assert f"{path} is damaged" in caplog.text


def test_what_the_results_replace_goes_and_the_rest_stays(tmp_path: Path) -> None:
    stages = Stages(tmp_path, KEY)
    stages.finish()  # nothing is there to be removed
    stages.once("scores", of_every_kind)
    path = saved(tmp_path, {"stage_key": stages.key})
    (tmp_path / "bank.safetensors").write_bytes(b"bank")
    stages.finish()
    assert not (tmp_path / "state").exists()
    assert path.exists()
    assert (tmp_path / "bank.safetensors").read_bytes() == b"bank"
