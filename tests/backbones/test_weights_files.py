"""Files of weights are told by their first bytes, whatever they are called."""

import argparse
import gzip
import io
import json
import pickle
import re
import shlex
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.checkpoints import Small, source
from torch import Tensor, nn

from net2vec_pl.backbones.weight_files import read_file
from net2vec_pl.errors import BackboneError

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2).half()}
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def assert_read(path: Path) -> None:
    content = read_file(path)
    assert list(content) == list(STATE)
    assert all(torch.equal(content[name], value) for name, value in STATE.items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin", "w", "w.pth.tar"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_suffix_does_not_matter(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / name
    match form:
        case "zip":
            torch.save(STATE, path)
        case "legacy":
            torch.save(STATE, path, _use_new_zipfile_serialization=False)
        case _:
            path.write_bytes(safetensors.torch.save({k: STATE[k] for k in STATE}))
            assert read_file(path).keys() == STATE.keys()
            return
    assert_read(path)


@pytest.mark.parametrize("start", [b"\x1f\x8b", b"\x80\x00", b"<!", b'{"'])
def test_a_header_of_safetensors_may_be_of_any_length(start: bytes, tmp_path: Path) -> None:
    length = int.from_bytes(start, "little")
    data = safetensors.torch.save({"conv.weight": torch.ones(1)})
    header = data[8 : 8 + int.from_bytes(data[:8], "little")].ljust(length)
    path = tmp_path / "w"
    path.write_bytes(length.to_bytes(8, "little") + header + torch.ones(1).numpy().tobytes())
    assert read_file(path)["conv.weight"] == 1


@pytest.mark.parametrize(
    "text", ['{"meta":{}, "weight_map": {"a": "w"}}', '{"weight_map":{"a":"w"}}']
)
def test_an_index_may_be_written_in_any_way(text: str, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w")
    (tmp_path / "index").write_text(text)
    assert read_file(tmp_path / "index")["a"] == 1


def _tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("w.pth")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _zipped(**files: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def _array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


LEGACY = {"_use_new_zipfile_serialization": False}
TENSORS = safetensors.torch.save(dict(STATE))
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be read: it is empty."),
    "Git LFS": (POINTER, "is a pointer of Git LFS, not the file itself: run `git lfs pull`"),
    "web page": (b"\n<!DOCTYPE html>\n<html>", "is a page of the web, not weights"),
    "XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a page of the web"),
    "gzip": (gzip.compress(_saved(STATE)), "is compressed with gzip: unpack it first."),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "is an HDF5 file, as Keras writes it"),
    "NumPy": (_array(), "is a NumPy array"),
    "text": (b"these are no weights, whatever", "it begins with b'these are no wei'."),
    "JSON": (json.dumps({"hidden_size": 8}).encode(), "is a JSON file without a weight_map"),
    "zip": (_zipped(readme="hello"), "is a zip archive that holds no weights of torch, but readme"),
    "tar": (_tarred(_saved(STATE)), "is a tar archive: unpack it first."),
    "damaged pickle": (b"\x80\x02}q\x00(X\x01\x00\x00\x00a", "Is it cut short or damaged?"),
    "newer pickle": (pickle.dumps({"a": [1]}, protocol=4), "is not a plain state dict: "),
    "cut zip": (_saved(STATE)[:900], "Is it cut short or damaged?"),
    "cut legacy": (_saved(STATE, **LEGACY)[:-9], "Is it cut short or damaged?"),
    "cut safetensors": (TENSORS[:-4], "Is it cut short or damaged?"),
    "cut header": (TENSORS[:40], "Is it cut short or damaged?"),
}


@pytest.mark.parametrize("kind", list(FOREIGN))
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w"])
def test_another_file_is_named_for_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    content, text = FOREIGN[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BackboneError) as caught:
        read_file(tmp_path / name)
    assert str(caught.value).startswith(f"model.weights={tmp_path / name} ")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"nowhere.pth: no such file\.$"):
        read_file(tmp_path / "nowhere.pth")
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "README.md").touch()
    with pytest.raises(BackboneError, match=r"give a file in it: config.json, model.safetensors."):
        read_file(tmp_path)


class Evil:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a file of weights ran",)


# What a checkpoint holds besides tensors -> the global that is refused.
GLOBALS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "numpy scalar": (
        lambda state: {"epoch": 3, "state_dict": state, "best_acc": np.float64(0.7)},
        "multiarray.scalar",
    ),
    "Namespace": (
        lambda state: {"model": state, "args": argparse.Namespace(lr=0.1)},
        "argparse.Namespace",
    ),
    "flat": (lambda state: {**state, "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
    "module": (lambda state: _module(state), "support.checkpoints.Small"),
    "module in a dict": (
        lambda state: {"model": _module(state), "epoch": 3},
        "support.checkpoints.Small",
    ),
}


def _module(state: dict[str, Tensor]) -> nn.Module:
    network = Small()
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("options", [{}, LEGACY])
@pytest.mark.parametrize("kind", list(GLOBALS))
def test_code_is_refused_with_the_line_that_saves_the_weights_alone(
    kind: str, options: dict[str, bool], tmp_path: Path
) -> None:
    state = source().state_dict()
    content, name = GLOBALS[kind]
    path = tmp_path / "their weights.pth"
    torch.save(content(state), path, **options)
    with pytest.raises(BackboneError) as caught:
        read_file(path)
    message = str(caught.value)
    assert message.startswith(f"model.weights={path} is not a plain state dict: it refers to ")
    assert name in message
    command = shlex.split(message[message.index("python -c") :])
    done = subprocess.run(
        [sys.executable, *command[1:]],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[1],
    )
    assert not done.stdout
    if kind == "flat":  # whoever puts a Namespace among the weights must take it out
        return
    plain = read_file(tmp_path / "their weights_plain.pth")
    assert all(torch.equal(plain[name], value) for name, value in state.items())


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_no_code_of_a_file_runs(
    options: dict[str, bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "w.pth", **options)
    with pytest.raises(BackboneError, match=r"refers to \S*print, and no code"):
        read_file(tmp_path / "w.pth")
    assert "ran" not in capsys.readouterr().out


def test_a_program_of_torchscript_is_refused_with_the_line_that_saves_its_weights(
    tmp_path: Path,
) -> None:
    path = tmp_path / "w.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(source(), torch.zeros(1, 3, 16, 16)), path)  # type: ignore[no-untyped-call]
    with pytest.raises(BackboneError, match=r"is a program of TorchScript") as caught:
        read_file(path)
    command = shlex.split(re.sub(r".*(?=python -c)", "", str(caught.value)))
    subprocess.run([sys.executable, *command[1:]], check=True, capture_output=True)
    plain = read_file(tmp_path / "w_plain.pth")
    assert torch.equal(plain["conv1.weight"], source().state_dict()["conv1.weight"])
