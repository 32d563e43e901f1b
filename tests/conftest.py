"""Fixtures for all tests: the planted world, and the real images beside the project."""

import os
from pathlib import Path

import pytest
from planted import PlantedReader


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
