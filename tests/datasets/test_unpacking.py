"""Archives that are right, damaged, or made to do harm."""

import shutil
import stat
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from net2vec_pl.datasets.broden.unpacking import unpack
from net2vec_pl.errors import DataError


def archive_of(path: Path, files: dict[str, bytes | None], mode: int = 0) -> Path:
    """Write a zip file; None is a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name if content is not None else f"{name}/")
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content or b"")
    return path


GOOD = {"set/index.csv": b"a,b", "set/images": None, "set/images/a/1.png": b"\x89PNG"}


def assert_nothing_left(archive: Path) -> None:
    assert {path.name for path in archive.parent.iterdir()} <= {archive.name}


@pytest.mark.parametrize("depth", ["set/", ""])
def test_a_folder_is_unpacked_whether_the_archive_holds_it_or_its_files(
    tmp_path: Path, depth: str
) -> None:
    files = {name.replace("set/", depth): content for name, content in GOOD.items()}
    archive = archive_of(tmp_path / "a.zip", files)
    seen = []

    def track(entries: object) -> object:
        for entry in entries:  # type: ignore[attr-defined]
            seen.append(entry.filename)
            yield entry

    assert unpack(archive, tmp_path / "out", needs="index.csv", track=track) == tmp_path / "out"  # type: ignore[arg-type]
    assert (tmp_path / "out" / "index.csv").read_bytes() == b"a,b"
    assert (tmp_path / "out" / "images" / "a" / "1.png").read_bytes() == b"\x89PNG"
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out"}
    assert len(seen) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../up.txt",
        "a/../../up.txt",
        "/etc/up.txt",
        "C:/up.txt",
        "C:up.txt",
        "..\\up.txt",
        "\\up",
        "//host/up",
    ],
)
def test_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = archive_of(inner / "a.zip", {"index.csv": b"", name: b"harm"})
    with pytest.raises(DataError, match="which lies outside its folder"):
        unpack(archive, inner / "out", needs="index.csv")
    assert_nothing_left(archive)
    assert {path.name for path in tmp_path.iterdir()} == {"inner"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int) -> None:
    archive = archive_of(tmp_path / "a.zip", {"index.csv": b"/etc/passwd"}, kind | 0o777)
    with pytest.raises(DataError, match=r"'index\.csv', a link or another special file"):
        unpack(archive, tmp_path / "out", needs="index.csv")
    assert_nothing_left(archive)


def test_sizes_and_numbers_are_bounded(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"index.csv": bytes(1000), "b": b""})
    unpack(archive, tmp_path / "out", needs="index.csv", max_files=2, max_bytes=1000)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(DataError, match="unpacks to 1000 bytes; 999 are the most"):
        unpack(archive, tmp_path / "out", needs="index.csv", max_bytes=999)
    with pytest.raises(DataError, match="holds 2 entries; 1 are the most"):
        unpack(archive, tmp_path / "out", needs="index.csv", max_files=1)
    assert_nothing_left(archive)


def test_an_entry_that_holds_more_than_it_says_is_damaged(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"index.csv": bytes(100_000)})
    data = archive.read_bytes()
    assert data.count((100_000).to_bytes(4, "little")) == 2  # in the entry and in the directory
    archive.write_bytes(data.replace((100_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged, or no zip file"):
        unpack(archive, tmp_path / "out", needs="index.csv", max_bytes=1000)
    assert_nothing_left(archive)


def test_entries_that_overlap_are_refused(tmp_path: Path) -> None:
    """One kernel of data that every entry points at: the densest of zip bombs."""
    archive = archive_of(tmp_path / "a.zip", {"index.csv": bytes(range(256)) * 40})
    with zipfile.ZipFile(archive, "a") as file:
        file.filelist *= 400
        file._didModify = True  # type: ignore[attr-defined]
        file.fp.seek(file.start_dir)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no honest archive"):
        unpack(archive, tmp_path / "out", needs="index.csv")
    assert_nothing_left(archive)


def test_damaged_archives_leave_nothing(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"index.csv": b"", "b": bytes(range(256)) * 9})
    data = archive.read_bytes()
    middle = len("index.csv") + 30 + 2 + 30 + 1 + 20  # among the compressed bytes of b
    overwritten = data[:middle] + bytes(9) + data[middle + 9 :]
    for damaged in (b"", b"PK\x03\x04", data[:-30], data[:60], overwritten):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.zip is damaged, or no zip file: .*\. Remove it\."):
            unpack(archive, tmp_path / "out", needs="index.csv")
        assert_nothing_left(archive)


def test_another_archive_is_told_by_what_it_lacks(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"readme.txt": b""})
    with pytest.raises(DataError, match=r"holds no index\.csv: it is another archive"):
        unpack(archive, tmp_path / "out", needs="index.csv")
    assert_nothing_left(archive)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", GOOD)
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="is there already"):
        unpack(archive, tmp_path / "out", needs="index.csv")


def test_what_a_killed_run_has_left_is_replaced(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", GOOD)
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking" / "index.csv").touch()
    unpack(archive, tmp_path / "out", needs="index.csv")
    assert (tmp_path / "out" / "index.csv").read_bytes() == b"a,b"


def test_a_disk_that_is_too_small_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 6))
    archive = archive_of(tmp_path / "a.zip", GOOD)
    with pytest.raises(DataError, match=r"out needs 0\.0 GiB, but .* has 0\.0 GiB free"):
        unpack(archive, tmp_path / "out", needs="index.csv")
    assert_nothing_left(archive)
