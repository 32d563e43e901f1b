"""BRODEN from a server of this machine, with the real layout in it."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import QUICK, composed, run_cli
from support.fake_data.broden import random_images, write_broden_fixture
from support.file_server import FileServer, Reply, file_server

from net2vec_pl.config.plan import Plan
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.datasets.broden import archive
from net2vec_pl.datasets.broden.archive import get_broden
from net2vec_pl.errors import ConfigError, DataError
from net2vec_pl.formats.broden_writer import write_broden

NAME = "broden1_227"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as served:
        monkeypatch.setattr(archive, "_ADDRESS", f"{served.url}/official/{{}}.zip")
        yield served


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    folder = write_broden_fixture(tmp_path / "origin" / NAME, random_images(12))
    path = shutil.make_archive(str(tmp_path / "origin"), "zip", folder.parent, NAME)
    return Path(path).read_bytes()


def test_it_is_downloaded_unpacked_and_tidied_up_behind(
    tmp_path: Path, server: FileServer, packed: bytes
) -> None:
    server.replies[f"/official/{NAME}.zip"] = [Reply(packed, cut=2000), Reply(packed)]
    root = tmp_path / "data" / NAME
    assert get_broden(root, progress=False) == root
    assert BrodenReader(root).image_names == BrodenReader(tmp_path / "origin" / NAME).image_names
    left = {path.name for path in root.parent.iterdir() if path.suffix != ".lock"}
    assert left == {NAME}
    asked = len(server.asked)
    get_broden(root, progress=False)
    assert len(server.asked) == asked


def test_mirrors_come_first_and_an_empty_folder_does_not_matter(
    tmp_path: Path, server: FileServer, packed: bytes
) -> None:
    server.replies["/mirror.zip"] = [Reply(packed)]
    root = tmp_path / "data" / NAME
    root.mkdir(parents=True)
    get_broden(root, mirrors=[f"{server.url}/mirror.zip"], progress=False)
    assert (root / "index.csv").is_file()
    assert [path for path, _ in server.asked] == ["/mirror.zip"]


def test_an_archive_that_lies_there_is_unpacked(
    tmp_path: Path, server: FileServer, packed: bytes
) -> None:
    root = tmp_path / "data" / NAME
    root.parent.mkdir()
    (root.parent / f"{NAME}.zip").write_bytes(packed)
    get_broden(root, progress=False)
    assert (root / "index.csv").is_file()
    assert server.asked == []


def test_another_archive_than_the_published_one_is_accepted_by_its_digest(
    tmp_path: Path, server: FileServer, packed: bytes
) -> None:
    server.replies["/official/broden1_224.zip"] = [Reply(packed)]
    root = tmp_path / "broden1_224"
    with pytest.raises(DataError, match="instead of be13c292eaef3300da03f8d0e48eab1c"):
        get_broden(root, progress=False)
    get_broden(root, digest=hashlib.md5(packed).hexdigest(), progress=False)
    assert (root / "index.csv").is_file()


def test_what_cannot_be_had_is_told_with_the_way_by_hand(
    tmp_path: Path, server: FileServer
) -> None:
    root = tmp_path / NAME
    with pytest.raises(DataError) as caught:
        get_broden(root, mirrors=[f"{server.url}/m"], progress=False)
    text = str(caught.value)
    assert f"{server.url}/m: 404 Not Found" in text
    assert f"By hand: get {NAME}.zip from {server.url}/official/{NAME}.zip" in text
    assert f"so that {root / 'index.csv'} exists" in text
    assert text.endswith("see docs/datasets.md#broden.")
    page = Path(__file__).parents[2] / "docs" / "datasets.md"
    assert "## BRODEN" in page.read_text() + (page.parents[1] / "data" / "README.md").read_text()


def test_a_folder_with_something_else_in_it_is_left_alone(
    tmp_path: Path, server: FileServer, packed: bytes
) -> None:
    server.replies[f"/official/{NAME}.zip"] = [Reply(packed)]
    root = tmp_path / NAME
    root.mkdir()
    (root / "mine.txt").touch()
    with pytest.raises(DataError, match="is there already"):
        get_broden(root, progress=False)
    assert (root / "mine.txt").exists()


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'broden1_225'\. Did you mean 'broden1_22[47]'"):
        get_broden(Path("data/broden1_225"))


def test_the_command_line_downloads_only_if_it_is_asked_to(
    tmp_path: Path, server: FileServer, packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.replies[f"/official/{NAME}.zip"] = [Reply(packed)]
    monkeypatch.chdir(tmp_path)
    options = ["data=broden", f"data.root=data/{NAME}", "callbacks.progress=false"]
    with pytest.raises(DataError, match=r"no such folder.*docs/datasets\.md#broden"):
        _ = Plan(composed(*options)).reader
    assert server.asked == []
    assert len(Plan(composed(*options, "data.download=true")).reader) == 12
    assert len(Plan(composed(*options)).reader) == 12


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.download=perhaps", "data.download=perhaps must be true or false"),
        ("data.scan=new", "unknown value of data.scan 'new'"),
    ],
)
def test_options_that_are_none_are_refused(option: str, message: str) -> None:
    plan = Plan(composed("data=broden", "data.root=x", option))
    with pytest.raises(ConfigError, match=message):
        _ = plan.scan, plan.reader


def test_a_second_run_keeps_the_scan_of_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through the whole command line: the option reaches the scan."""
    write_broden(ShapesReader(num_images=60, image_size=32), tmp_path / "set")
    monkeypatch.setenv("NET2VEC_CACHE", str(tmp_path / "cache"))
    options = [o for o in QUICK if not o.startswith("data.")]
    common = [*options, "data=broden", "data.root=set"]
    said = []
    for i, scan in enumerate(("kept", "kept", "anew")):
        given = [*common, f"data.scan={scan}", "logger=none", f"run.dir=run{i}"]
        assert run_cli(monkeypatch, tmp_path, *given) == 0
        said.append("scan kept from before" in (tmp_path / f"run{i}" / "train.log").read_text())
    assert said == [False, True, False]
