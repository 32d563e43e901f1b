"""What setup.py and setup.cfg ship is what there is: rooms, configuration, the shipped weights."""

import configparser
import runpy
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_room_is_in_the_wheel() -> None:
    asked: dict[str, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **given: asked.update(given))
        runpy.run_path(str(ROOT / "setup.py"))
    package = ROOT / "net2vec_pl"
    rooms = {
        ".".join(("net2vec_pl", *p.parent.relative_to(package).parts))
        for p in package.rglob("*.py")
    }
    assert set(asked["packages"]) == rooms | {"net2vec_pl.conf"}


@pytest.mark.parametrize(
    ("name", "folder", "pattern"),
    [
        ("net2vec_pl.conf", ROOT / "conf", "*.yaml"),
        ("net2vec_pl.backbones", ROOT / "net2vec_pl" / "backbones", "*.safetensors"),
        ("net2vec_pl.report", ROOT / "net2vec_pl" / "report", "templates/*.*"),
    ],
)
def test_every_data_file_is_in_the_wheel(
    name: str, folder: Path, pattern: str, setup: configparser.ConfigParser
) -> None:
    globs = [g.strip() for g in setup["options.package_data"][name].split(",")]
    shipped = {path for glob in globs for path in folder.glob(glob)}
    there = set(folder.rglob(pattern))
    assert there
    assert there <= shipped


def test_no_upper_bound_leads_to_a_torch_that_torchvision_cannot_import(
    setup: configparser.ConfigParser,
) -> None:
    torch = next(r for r in setup["options"]["install_requires"].split() if r.startswith("torch>"))
    assert "<" not in torch
    assert "==" not in torch
