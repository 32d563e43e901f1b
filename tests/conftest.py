"""Fixtures for all tests: the planted world, and the real images beside the project."""

import os
from pathlib import Path

import pytest
import torch
from planted import PlantedReader

# Tests are small: threads that wait for each other cost more than they bring, on a busy machine
# several times as much.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reader() -> PlantedReader:
    return PlantedReader()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real images and a real network, found beside the project or through NET2VEC_SHARED."""
    folder = Path(os.environ.get("NET2VEC_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "camvid_broden_224").is_dir():
        pytest.skip(f"no real images in {folder}: set NET2VEC_SHARED to the folder that has them")
    return folder
