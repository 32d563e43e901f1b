"""What the processes of a sweep are told, before its first job."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from net2vec_pl.config.sweeps import SweepFolder

PACKAGE = str(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", [PACKAGE]), ("/a", ["/a", PACKAGE]), (f"{PACKAGE}:/a", [PACKAGE, "/a"])],
)
def test_workers_find_the_package_and_do_not_search_the_working_folder(
    given: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SweepFolder, "current", None)
    monkeypatch.setenv("PYTHONPATH", given)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    SweepFolder().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": "sweep"}}}))
    assert SweepFolder.current == Path("sweep")
    assert os.environ["PYTHONPATH"].split(os.pathsep) == expected
    assert os.environ["PYTHONSAFEPATH"] == "1"
