"""A kept scan is the scan: taken again whenever anything that it depends on has changed."""

import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from support.fake_data.broden import random_images, set_cell, write_broden_fixture

from net2vec_pl.data import Sample, Scan, UnreadableRowError, current_scan, kept_scan, scan_files
from net2vec_pl.data.kept_scan import KEPT, cache_folder, key_of, load_scan, save_scan
from net2vec_pl.data.scan import RowFacts
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.errors import ConfigError, DataError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NET2VEC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scans"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return write_broden_fixture(tmp_path / "broden")


class Watched:
    """Takes scans and counts the rows that each reads."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.read = folder, 0

    def track(self, batches: Iterable[list[RowFacts]]) -> Iterable[list[RowFacts]]:
        for batch in batches:
            self.read += len(batch)
            yield batch

    def scan(self, **options: object) -> tuple[Scan, int]:
        """Return a scan and how many rows were read for it."""
        self.read = 0
        scan = current_scan(BrodenReader(self.folder), track=self.track, **options)  # type: ignore[arg-type]
        return scan, self.read


def assert_equal(found: Scan, wanted: Scan) -> None:
    for field in fields(Scan):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        assert type(one) is type(other)
        np.testing.assert_equal(one, other)
        assert not isinstance(one, np.ndarray) or one.dtype == other.dtype


@pytest.mark.usefixtures("cache")
def test_the_second_start_reads_no_row_and_finds_the_same(golden: Path) -> None:
    watched = Watched(golden)
    wanted = scan_files(BrodenReader(golden))
    first, read = watched.scan()
    assert read == 5
    again, read = watched.scan()
    assert read == 0
    assert_equal(first, wanted)
    assert_equal(again, wanted)


def _touch(folder: Path) -> None:
    os.utime(folder / "images" / "ade" / "one_part_2.png", ns=(1, 1))


def _grow(folder: Path) -> None:
    path = folder / "images" / "ade" / "one.jpg"
    stat = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _remove(folder: Path) -> None:
    (folder / "images" / "ade" / "two.jpg").unlink()


def _split(folder: Path) -> None:
    set_cell(folder / "index.csv", 0, "split", "val")


def _label(folder: Path) -> None:
    set_cell(folder / "index.csv", 4, "texture", "70")


def _name(folder: Path) -> None:
    set_cell(folder / "label.csv", 1, "name", "tyre")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("change", [_touch, _grow, _remove, _split, _label, _name])
def test_any_change_is_noticed_and_gives_what_a_new_scan_gives(
    golden: Path, change: Callable[[Path], None]
) -> None:
    watched = Watched(golden)
    watched.scan()
    change(golden)
    scan, read = watched.scan(on_error="skip")
    assert read == 5
    assert_equal(scan, scan_files(BrodenReader(golden), on_error="skip"))


@pytest.mark.usefixtures("cache")
def test_anew_reads_what_size_and_time_of_change_do_not_tell(golden: Path) -> None:
    watched = Watched(golden)
    path = golden / "images" / "ade" / "one.jpg"
    data = path.read_bytes()
    path.write_bytes(data + b"\0")
    before, _ = watched.scan()
    stat = path.stat()
    path.write_bytes(data + b"\1")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert watched.scan()[0].digest == before.digest
    anew, read = watched.scan(anew=True)
    assert (read, anew.digest) == (5, scan_files(BrodenReader(golden)).digest)
    assert anew.digest != before.digest
    kept, read = watched.scan()
    assert (read, kept.digest) == (0, anew.digest)


@pytest.mark.usefixtures("cache")
def test_unreadable_rows_stop_or_are_left_out_as_in_a_new_scan(golden: Path) -> None:
    (golden / "images" / "ade" / "two.jpg").write_bytes(b"")
    watched = Watched(golden)
    texts = []
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            watched.scan()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    scan, read = watched.scan(on_error="skip")
    assert read == 0
    assert_equal(scan, scan_files(BrodenReader(golden), on_error="skip"))
    with pytest.raises(ConfigError, match=r"data\.on_error 'skp'"):
        watched.scan(on_error="skp")


@pytest.mark.usefixtures("cache")
def test_a_dataset_none_of_whose_rows_can_be_read_is_refused_both_times(golden: Path) -> None:
    for path in (golden / "images").rglob("*.jpg"):
        path.unlink()
    for _ in range(2):
        with pytest.raises(DataError, match="5 of 5 rows of broden cannot be used"):
            Watched(golden).scan(on_error="skip")


class Moody(BrodenReader):
    """A reader whose second row the machine cannot read now and then."""

    def __getitem__(self, row: int) -> Sample:
        if row == 1 and os.environ.get("MOOD") == "bad":
            raise UnreadableRowError("the drive does not answer")
        return super().__getitem__(row)


@pytest.mark.usefixtures("cache")
def test_a_fault_of_the_machine_is_not_kept(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOOD", "bad")
    assert len(current_scan(Moody(golden), on_error="skip").unreadable) == 1
    monkeypatch.setenv("MOOD", "good")
    assert_equal(current_scan(Moody(golden)), scan_files(BrodenReader(golden)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a scan",
        lambda data: data[: len(data) // 2],
        lambda data: data[:100] + bytes(20) + data[120:],
    ],
    ids=["empty", "foreign", "cut", "overwritten"],
)
def test_a_damaged_file_is_taken_anew_with_a_word(
    golden: Path,
    cache: Path,
    damage: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(golden)
    watched.scan()
    (file,) = cache.glob("*.npz")
    file.write_bytes(damage(file.read_bytes()))
    scan, read = watched.scan()
    assert read == 5
    assert_equal(scan, scan_files(BrodenReader(golden)))
    assert f"the kept scan {file} is damaged" in caplog.text
    assert watched.scan()[1] == 0


def test_a_file_of_pickles_is_not_unpickled(golden: Path, cache: Path) -> None:
    watched = Watched(golden)
    watched.scan()
    (file,) = cache.glob("*.npz")
    np.savez(file, plain=np.array([object()], dtype=object))
    assert watched.scan()[1] == 5


def test_a_file_of_another_key_or_format_is_not_used(tmp_path: Path, golden: Path) -> None:
    reader = BrodenReader(golden)
    key = key_of(reader)
    assert key is not None
    other = key_of(BrodenReader(write_broden_fixture(tmp_path / "other")))
    assert other is not None
    scan = scan_files(reader)
    save_scan(scan, tmp_path / "scan.npz", key)
    found = load_scan(tmp_path / "scan.npz", key, reader)
    assert found is not None
    assert_equal(found, scan)
    assert load_scan(tmp_path / "scan.npz", other, reader) is None
    assert load_scan(tmp_path / "absent.npz", key, reader) is None


def test_a_folder_that_cannot_be_written_costs_a_scan_and_a_word(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NET2VEC_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert Watched(golden).scan()[1] == 5
    assert "the scan of broden cannot be kept" in caplog.text


def test_a_full_disk_costs_a_word(
    golden: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert Watched(golden).scan()[1] == 5
    assert "No space left" in caplog.text
    assert [*cache.glob("*.npz*")] == []


def test_the_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NET2VEC_CACHE", "mine")
    assert cache_folder() == Path("mine/scans")
    monkeypatch.delenv("NET2VEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/theirs")
    assert cache_folder() == Path("/theirs/net2vec_pl/scans")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "net2vec_pl" / "scans"


def test_nothing_is_kept_of_a_dataset_that_is_not_in_files(cache: Path) -> None:
    reader = ShapesReader(num_images=2, image_size=32)
    assert key_of(reader) is None
    assert_equal(current_scan(reader), scan_files(reader))
    assert not cache.exists()


def test_nothing_is_kept_if_files_change_meanwhile(
    golden: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def track(batches: Iterable[list[RowFacts]]) -> Iterable[list[RowFacts]]:
        yield from batches
        _touch(golden)

    current_scan(BrodenReader(golden), track=track)
    assert "is not kept: files changed" in caplog.text
    assert [*cache.glob("*.npz")] == []


def test_a_reader_without_a_key_is_scanned_with_a_word(
    golden: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = BrodenReader(golden)
    reader.rule = lambda: 3  # type: ignore[attr-defined]
    assert_equal(current_scan(reader), scan_files(reader))
    assert "is not kept, for its reader has no key" in caplog.text
    assert not cache.exists()


def test_options_code_and_mask_size_of_a_reader_are_in_its_key(golden: Path) -> None:
    plain, again, other, wider = (BrodenReader(golden) for _ in range(4))
    other.unknown = 255  # type: ignore[attr-defined]
    wider.mask_size = (8, 10)
    keys = [key_of(reader) for reader in (plain, again, other, wider, Moody(golden))]
    assert keys[0] == keys[1]
    assert len({*keys}) == 4


def _own_reader(value: int) -> type[BrodenReader]:
    """Make a reader as a notebook does: its code is in no file."""
    names: dict[str, object] = {"__name__": "notebook", "BrodenReader": BrodenReader}
    text = "class Own(BrodenReader):\n    def fingerprint(self, row):\n        return b'%d'"
    exec(text % value, names)
    found = names["Own"]
    assert isinstance(found, type)
    return found


def test_the_code_of_a_reader_in_no_file_is_in_its_key(golden: Path) -> None:
    keys = [key_of(_own_reader(value)(golden)) for value in (1, 1, 2)]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_scans_that_were_not_used_for_longest_are_removed(golden: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    for i in range(KEPT):
        (cache / f"{i}.npz").touch()
        os.utime(cache / f"{i}.npz", (1000 + i, 1000 + i))
    Watched(golden).scan()
    left = {path.name for path in cache.glob("*.npz")}
    assert len(left) == KEPT
    assert "0.npz" not in left
    assert "1.npz" in left
    (kept,) = left - {f"{i}.npz" for i in range(KEPT)}
    os.utime(cache / kept, (1, 1))
    Watched(golden).scan()
    assert (cache / kept).stat().st_mtime > 1000 + KEPT


def _take(folder: Path, start: Any, log: Path, results: Any) -> None:
    def track(batches: Iterable[list[RowFacts]]) -> Iterable[list[RowFacts]]:
        with log.open("a") as file:
            file.write("read\n")
        time.sleep(0.3)
        yield from batches

    reader = BrodenReader(folder)
    start.wait()
    results.put(current_scan(reader, track=track).digest)


def test_of_processes_that_start_together_one_reads(golden: Path, cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(3), context.Queue()
    log = golden.parent / "log"
    processes = [
        context.Process(target=_take, args=(golden, start, log, results)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    digests = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert digests == {scan_files(BrodenReader(golden)).digest}
    assert log.read_text() == "read\n"
    assert len([*cache.glob("*.npz")]) == 1


def test_one_does_not_wait_for_ever_for_another(
    golden: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = key_of(BrodenReader(golden))
    assert key is not None
    cache.mkdir(parents=True)
    monkeypatch.setattr(kept_scan, "_PATIENCE", 0.1)
    with FileLock(cache / f"{key.reader}.lock"):
        assert Watched(golden).scan()[1] == 5
    assert "cannot be shared" in caplog.text


@pytest.mark.slow  # for it imports torch anew
def test_the_key_is_the_same_in_another_process(golden: Path) -> None:
    """There strings hash otherwise, so it depends on no order of a set."""
    text = (
        "import sys; from net2vec_pl.datasets.broden.reader import BrodenReader; "
        "from net2vec_pl.data.kept_scan import key_of; print(key_of(BrodenReader(sys.argv[1])))"
    )
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONHASHSEED": "1",
    }
    command = [sys.executable, "-c", text, str(golden)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(key_of(BrodenReader(golden)))


@pytest.mark.usefixtures("cache")
def test_workers_change_nothing(tmp_path: Path) -> None:
    folder = write_broden_fixture(tmp_path / "many", random_images(40))
    current_scan(BrodenReader(folder), workers=2)
    assert_equal(Watched(folder).scan()[0], scan_files(BrodenReader(folder)))


@pytest.mark.usefixtures("cache")
def test_the_log_says_where_a_scan_comes_from(
    golden: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Watched(golden).scan()
    assert "unchanged" not in caplog.text
    Watched(golden).scan()
    assert "files of broden are unchanged: scan kept from before" in caplog.text
