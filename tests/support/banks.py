"""The kinds of banks that tests put to use, and headers of banks that no run has written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open

from net2vec_pl.protocol import Protocol

ABSENT = object()

# What a run is called here -> its options, and the folder below the run that holds its bank.
RUNS: dict[str, tuple[list[str], str]] = {
    "bits": (
        ["target=both", "layer=[conv4,conv5]", "protocol.classification.epochs=3"],
        "conv5",
    ),
    "best": (["protocol=best"], "."),
    "raw, random weights": (
        ["protocol.input=raw", "cache=none", "model.weights=null", "seed=3"],
        ".",
    ),
    "after, annotated, own network": (
        ["protocol=netdissect", "model=custom", "model._target_=support.small_networks.Tower"],
        ".",
    ),
}


def made_up_header(filters: int, **others: Any) -> dict[str, Any]:
    """Return all that the header of a run's bank says, with what should be otherwise."""
    protocol = Protocol()
    return {
        "model": {"name": "shapesnet", "weights": "shipped", "scaling": "half"},
        "weights_digest": "w31gh75",
        "layer": "conv5",
        "module_path": "conv5",
        "activation_shape": [filters, 4, 4],
        "input_transform": {
            "name": "half",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "image_size": [16, 16],
        },
        "tau": protocol.tau,
        "protocol": protocol.plain(),
        "deviations": protocol.deviations(),
        "data": {
            "name": "made up",
            "digest": "d1g35t",
            "mask_size": [8, 8],
            "readable": 10,
            "unreadable": 0,
        },
        "seed": 0,
        "seeds": 1,
        "versions": {"net2vec_pl": "0", "torch": "2"},
        "target": "segmentation",
    } | others


def fields_of(header: Mapping[str, Any], inside: str = "") -> list[str]:
    """List the fields of a header, those within groups by their dotted names."""
    found = []
    for name, value in header.items():
        found.append(inside + name)
        if isinstance(value, dict):
            found += fields_of(value, f"{inside}{name}.")
    return found


def edit_header(path: Path, change: Callable[[dict[str, Any]], Any], to: Path) -> Path:
    """Write a bank's file with another header, or with what ``change`` makes of it."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["net2vec_pl"])
    header = change(header) or header
    text = header if isinstance(header, str) else json.dumps(header)
    safetensors.torch.save_file(safetensors.torch.load_file(path), to, {"net2vec_pl": text})
    return to


def put(header: dict[str, Any], field: str, value: Any = ABSENT) -> None:
    """Give a field, named with dots, another value, or drop it."""
    *groups, last = field.split(".")
    for group in groups:
        header = header[group]
    if value is ABSENT:
        del header[last]
    else:
        header[last] = value
