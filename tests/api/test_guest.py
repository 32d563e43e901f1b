"""A call leaves the calling program as it was: networks, random states, logs, warnings, memory."""

import logging
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from support.small_networks import Tower
from torch import nn
from torch.utils.data import Dataset

import net2vec_pl
from net2vec_pl.datasets import ShapesReader

BARE: dict[str, Any] = {
    "names": ["sky", "tree"],
    "protocol": "lda",
    "analyses": "none",
    "beside": (),
    "device": "cpu",
}


pytestmark = pytest.mark.usefixtures("untyped")  # the checks draw random numbers


@pytest.fixture(scope="module")
def images() -> ShapesReader:
    return ShapesReader(num_images=40, image_size=32)


def a_network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU())


def test_nothing_is_printed_and_no_file_is_left(
    images: ShapesReader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bank = net2vec_pl.learn(a_network(), "1", data=images, **BARE | {"protocol": "paper"})
    bank._repr_html_()
    assert list(tmp_path.iterdir()) == []
    assert "".join(capfd.readouterr()) == ""


def test_random_states_are_those_of_before(images: ShapesReader) -> None:
    def states() -> list[Any]:
        of_numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
        return [torch.get_rng_state().tolist(), str(of_numpy), random.getstate()]

    before, environment = states(), dict(os.environ)
    net2vec_pl.learn(a_network(), "1", data=images, **BARE)
    assert states() == before
    with pytest.raises(net2vec_pl.Net2VecError):
        net2vec_pl.learn(a_network(), "nowhere", data=images, **BARE)
    assert states() == before
    assert dict(os.environ) == environment


def test_the_network_is_left_as_it_was(images: ShapesReader) -> None:
    network = Tower().train()
    network.second.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    needing = [p.requires_grad for p in network.parameters()]
    modes = [m.training for m in network.modules()]
    strides = [p.stride() for p in network.parameters()]
    bank = net2vec_pl.learn(network, "norm", data=images, **BARE)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert [p.requires_grad for p in network.parameters()] == needing
    assert [m.training for m in network.modules()] == modes
    assert [p.stride() for p in network.parameters()] == strides
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    # The bank keeps the weights it was learned on, whatever becomes of the network.
    picture, wanted = images[0].image, bank.logits(images[0].image)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(bank.logits(picture), wanted)


def test_hooks_of_the_users_own_work_and_stay(images: ShapesReader) -> None:
    network = a_network()
    network[0].register_forward_hook(lambda _m, _i, output: output * 0)
    bank = net2vec_pl.learn(network, "1", data=images, **BARE)
    assert not bank.file.threshold.any()  # the hook was there
    assert len(network[0]._forward_hooks) == 1


def test_no_logging_is_set_up(images: ShapesReader) -> None:
    def state() -> list[Any]:
        names = ("", "net2vec_pl", "pytorch_lightning", "py.warnings")
        found = [logging.getLogger(name) for name in names]
        return [(log.level, list(log.handlers), log.propagate, log.disabled) for log in found]

    before, filters = state(), list(warnings.filters)
    net2vec_pl.learn(a_network(), "1", data=images, **BARE)
    assert state() == before
    assert list(warnings.filters) == filters


def test_a_program_that_uses_hydra_goes_on(images: ShapesReader, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: {name: theirs}\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        before = compose("mine")
        stored = dict(ConfigStore.instance().repo)
        net2vec_pl.learn(a_network(), "1", data=images, **BARE)
        with pytest.raises(net2vec_pl.Net2VecError):
            net2vec_pl.learn("regnet_y_400mff", data=images, **BARE)
        assert compose("mine") == before
        assert dict(ConfigStore.instance().repo) == stored
    assert not GlobalHydra.instance().is_initialized()
    net2vec_pl.learn(a_network(), "1", data=images, **BARE)
    assert not GlobalHydra.instance().is_initialized()


def test_numbers_do_not_depend_on_what_the_caller_has_set(images: ShapesReader) -> None:
    network = a_network()
    wanted = net2vec_pl.learn(network, "1", data=images, **BARE)
    picture = images[0].image

    def same() -> None:
        found = net2vec_pl.learn(network, "1", data=images, **BARE)
        assert torch.equal(found.file.weight, wanted.file.weight)
        assert torch.equal(found.logits(picture), wanted.logits(picture))

    with torch.autocast("cpu", torch.bfloat16):
        same()
    with torch.inference_mode():
        same()
    try:
        torch.set_default_dtype(torch.float64)
        same()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_network_lent_to_a_bank_is_left_as_it_was(images: ShapesReader) -> None:
    network = a_network()
    bank = net2vec_pl.learn(network, "1", data=images, **BARE)
    again = net2vec_pl.Bank(bank.file, network=network)
    assert torch.equal(again.logits(images[0].image), bank.logits(images[0].image))
    assert network.training
    assert all(p.requires_grad for p in network.parameters())


class Damaged(Dataset[Any]):
    """Images of a bright square with its mask; one of them cannot be read."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        if row == 20:
            raise OSError("no such file")
        mask = torch.zeros(16, 16, dtype=torch.uint8)
        mask[row % 8 : row % 8 + 6, 4:12] = 1
        return (mask * 200).expand(3, -1, -1).contiguous(), mask


def test_warnings_are_those_of_python() -> None:
    with pytest.warns(net2vec_pl.Net2VecWarning, match="1 unreadable images") as caught:
        bank = net2vec_pl.learn(
            a_network(), "1", data=Damaged(), on_error="skip", **BARE | {"names": ["square"]}
        )
    assert len(caught) == 1
    assert [(row.row, "no such file" in row.fault) for row in bank.tables["skipped"]] == [
        (20, True)
    ]


LOOP = """
import gc, os, sys, threading, warnings
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import Dataset
import net2vec_pl
from net2vec_pl.datasets import ShapesReader

warnings.simplefilter("ignore")
images = ShapesReader(num_images=40, image_size=32)
network = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU())

def call():
    bank = net2vec_pl.learn(network, "1", data=images, names=["sky", "tree"], protocol="lda",
                            analyses="none", beside=(), device="cpu", scaling="unit")
    bank.segment(images[0].image, ["sky"])

def held():
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    tensors = sum(type(o) is torch.Tensor for o in gc.get_objects())
    hooks = sum(len(m._forward_hooks) for m in network.modules())
    files = len(os.listdir("/proc/self/fd"))
    return (len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE") >> 20, tensors, hooks, files,
            threading.active_count())

for _ in range(20):  # until all that is made once is made
    call()
print(*held())
for _ in range(180):
    call()
print(*held())
"""


WARNING = """
import sys, warnings
sys.path.insert(0, {tests!r})
from api.test_guest import BARE, Damaged, a_network
import net2vec_pl
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net2vec_pl.learn(a_network(), "1", data=Damaged(), on_error="skip", **BARE | dict(names=["a"]))
print([(w.category.__name__, w.filename == __file__, w.lineno) for w in caught])
"""


def test_warnings_name_the_line_of_the_call(tmp_path: Path) -> None:
    done = run_script(tmp_path, WARNING.format(tests=str(Path(__file__).parents[1])))
    assert done.strip() == "[('Net2VecWarning', True, 8)]"


def run_script(folder: Path, text: str) -> str:
    """Run a script in a process without the checks of types that tests have."""
    (folder / "script").mkdir()  # importlib remembers folders on sys.path that change
    (folder / "script" / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, str(folder / "script" / "script.py")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_two_hundred_calls_leave_nothing_behind(tmp_path: Path) -> None:
    before, after = (
        list(map(int, line.split())) for line in run_script(tmp_path, LOOP).splitlines()
    )
    assert after[0] - before[0] < 90  # objects: less than one for every other call
    assert after[1] - before[1] < 16  # MiB
    assert after[2:] == before[2:]  # tensors, hooks, files, threads
