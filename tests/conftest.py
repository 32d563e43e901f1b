"""Fixtures for all tests: the planted world, the real images beside the project, a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import config
from support.planted import PlantedReader

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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep scans of the tests out of the user's cache folder, in child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NET2VEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def untyped() -> Iterator[None]:
    """Let calls through that have wrong types, as they come from users, who have no such checks."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, for the tests of pages."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: make test-browser")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(names)} is installed: make test-browser")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
