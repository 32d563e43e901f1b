"""Read a file of weights, whatever it is called, or say what it is instead."""

import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from net2vec_pl.errors import BackboneError, shorten

_HEAD = 512  # bytes
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_TAR_AT = 257
# First bytes of what is no file of weights -> what it is, and what to do.
_OTHERS = {
    b"version https://git-lfs": (
        "is a pointer of Git LFS, not the file itself: run `git lfs pull` where it comes from"
    ),
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"\x89HDF": "is an HDF5 file, as Keras writes it: save the state dict of a torch module",
    b"\x93NUMPY": "is a NumPy array: save the state dict of a torch module",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml")
# Where checkpoints keep their weights, for the line that saves them alone.
_NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "teacher", "params")
# How a pickle names the class of an object; the old format of torch has its source beside it.
_AN_OBJECT = rb"(?:c(?!collections\n)|\(X\x06\x00\x00\x00module)"


def read_file(path: Path) -> Any:
    """Read what a file of weights holds.

    What the file is, its first bytes tell: a state dict or a checkpoint of torch, in either format;
    safetensors; or the JSON index of several of these. Pickles are read with ``weights_only=True``:
    no code in the file runs.

    Args:
        path: The file.

    Returns:
        Tensors by name, or whatever a checkpoint keeps them in.

    Raises:
        BackboneError: If there is no such file, or if it is damaged or of another kind.
    """
    what = f"model.weights={path}"
    if not path.is_file():
        raise BackboneError(f"{what}: no such file{_files_in(path)}.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if (other := _other_kind(head)) is not None:
        raise BackboneError(f"{what} {other}.")
    try:
        if _is_safetensors(head, path.stat().st_size):
            return safetensors.torch.load_file(path)
        if head.lstrip().startswith(b"{"):
            return _read_index(path)
        return _read_torch(path, head)
    except (SafetensorError, OSError, EOFError, RuntimeError) as error:
        raise BackboneError(
            f"{what} cannot be read: {_first_line(error)}. Is it cut short or damaged?"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _files_in(path: Path) -> str:
    if not path.is_dir():
        return ""
    names = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
    return f", but a folder; give a file in it: {shorten(names) or 'it holds no weights'}"


def _other_kind(head: bytes) -> str | None:
    """Return what a file is that holds no weights of torch; None if it may hold some."""
    if not head:
        return "cannot be read: it is empty"
    if _header_size(head) is not None:
        return None
    if head.lstrip().lower().startswith(_PAGES):
        return "is a page of the web, not weights: the download needs a login or another address"
    for start, text in _OTHERS.items():
        if head.startswith(start):
            return text
    if head[_TAR_AT:].startswith(b"ustar"):
        return "is a tar archive: unpack it first"
    if head.startswith((_ZIP, _PICKLE)) or head.lstrip().startswith(b"{"):
        return None
    return f"is no file of weights that torch or safetensors wrote: it begins with {head[:16]!r}"


def _header_size(head: bytes) -> int | None:
    """Return how long the JSON of a safetensors file is, in bytes; None if it is none."""
    return struct.unpack("<Q", head[:8])[0] if head[8:9] == b"{" else None


def _is_safetensors(head: bytes, size: int) -> bool:
    length = _header_size(head)
    # A pickle, a zip or JSON may have a brace there, but then the "length" is beyond all files.
    others = (_ZIP, _PICKLE, b"{")
    return length is not None and (not head.startswith(others) or 8 + length <= size)


def _read_index(path: Path) -> dict[str, Any]:
    """Read the files that the index of a model in several files names."""
    try:
        names = json.loads(path.read_text())["weight_map"].values()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BackboneError(
            f"model.weights={path} is a JSON file without a weight_map, so no index of weights."
        ) from error
    shards = [path.parent / name for name in dict.fromkeys(names)]
    if absent := [shard.name for shard in shards if not shard.is_file()]:
        raise BackboneError(
            f"model.weights={path} names files that do not lie beside it: {shorten(absent)}."
        )
    return {key: value for shard in shards for key, value in read_file(shard).items()}


def _read_torch(path: Path, head: bytes) -> Any:
    if head.startswith(_ZIP):
        _refuse_program(path)
    try:
        with path.open("rb") as file:  # by its name torch would guess what it is
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError):
        raise
    except Exception as error:  # pickle.UnpicklingError and whatever a damaged pickle raises
        told = re.search(r"WeightsUnpickler error: (.+)", str(error))
        name = re.search(r"GLOBAL (\S+)", str(error))
        fault = told.group(1).rstrip(". ") if told else _first_line(error)
        fault = f"it refers to {name.group(1)}" if name else fault
        raise BackboneError(
            f"model.weights={path} is not a plain state dict: {fault}, and no code in it is run. "
            f"If you trust the file, save its weights alone: {_saving_line(path)}"
        ) from error


def _refuse_program(path: Path) -> None:
    """Refuse a zip archive that is a program of TorchScript, or not torch's at all."""
    if not zipfile.is_zipfile(path):
        return  # cut short: torch says so
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise BackboneError(
            f"model.weights={path} is a program of TorchScript, which holds code. If you trust the "
            f"file, save its weights alone: {_line('jit.load({}, {})', 'x.state_dict()', path)}"
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise BackboneError(
            f"model.weights={path} is a zip archive that holds no weights of torch, but "
            f"{shorten(names, 3) or 'nothing'}."
        )


def _saving_line(path: Path) -> str:
    """Return a command that saves the weights of a checkpoint as a plain state dict."""
    state, pickled = "x", _pickled(path)
    if re.search(rb"(?:\A|\.)\x80\x02" + _AN_OBJECT, pickled):
        state = "x.state_dict()"
    else:
        for nest in _NESTS:
            name = b"X" + struct.pack("<I", len(nest)) + nest.encode()
            if name in pickled:
                memo = rb"(?:q.|r....)"
                whole = re.search(re.escape(name) + memo + _AN_OBJECT, pickled, re.DOTALL)
                state = f"x['{nest}']" + (".state_dict()" if whole else "")
                break
    return _line("load({}, {}, weights_only=False)", state, path)


def _line(load: str, state: str, path: Path) -> str:
    plain = path.with_name(f"{path.stem}_plain.pth")
    return (
        f'python -c "import torch; x = torch.{load.format(repr(str(path)), repr("cpu"))}; '
        f'torch.save({state}, {str(plain)!r})"'
    )


def _pickled(path: Path) -> bytes:
    """Return the pickle of a checkpoint; without its tensors, where it is a zip archive."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl")))
