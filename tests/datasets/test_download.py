"""Against servers that break off, lie, ignore what is asked, or serve something else."""

import hashlib
import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.file_server import FileServer, Reply, file_server

from net2vec_pl.datasets.broden import download as module
from net2vec_pl.datasets.broden.download import ATTEMPTS, Wanted, download
from net2vec_pl.errors import ConfigError, DataError

BODY = b"PK\x03\x04" + np.random.default_rng(0).bytes(50_000)
MD5 = hashlib.md5(BODY).hexdigest()
PAGE = b"<!DOCTYPE html>\n<html>Please log in</html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as served:
        yield served


class Getting:
    """Downloads to a folder, without waiting between attempts."""

    def __init__(self, server: FileServer, folder: Path) -> None:
        self.server, self.target, self.waits = server, folder / "a.zip", list[float]()

    def __call__(self, *paths: str, **known: Any) -> bytes:
        urls = [self.server.url + path for path in paths or ("/a",)]
        wanted = Wanted(urls, b"PK\x03\x04", **known)
        download(wanted, self.target, progress=False, sleep=self.waits.append)
        left = {path.name for path in self.target.parent.iterdir()}
        assert left == {"a.zip"}
        return self.target.read_bytes()


@pytest.fixture
def get(server: FileServer, tmp_path: Path) -> Getting:
    return Getting(server, tmp_path / "data")


@pytest.mark.parametrize("digest", [None, MD5, MD5.upper(), hashlib.sha256(BODY).hexdigest()])
def test_a_file_is_downloaded(get: Getting, digest: str | None) -> None:
    get.server.replies["/a"] = [Reply(BODY)]
    assert get(digest=digest, size=len(BODY)) == BODY
    assert get.server.asked == [("/a", None)]


def test_what_breaks_off_is_gone_on_with(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, cut=20_000), Reply(BODY, cut=15_000), Reply(BODY)]
    assert get(digest=MD5) == BODY
    ranges = [None, "bytes=20000-", "bytes=35000-"]
    assert [asked for _, asked in get.server.asked] == ranges
    assert get.waits == [0.5, 0.5]  # each attempt brought something


def test_a_later_call_goes_on_too(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, cut=20_000), Reply(status=503)]
    with pytest.raises(DataError, match="503 Service Unavailable; given up after 6 attempts"):
        get()
    get.server.replies["/a"] = [Reply(BODY)]
    get.server.asked.clear()
    assert get("/none", "/a", digest=MD5) == BODY  # an address before does not lose the part
    assert get.server.asked == [("/none", None), ("/a", "bytes=20000-")]


def test_a_file_that_changed_meanwhile_is_begun_anew(get: Getting) -> None:
    get.server.replies["/a"] = [
        Reply(bytes(BODY[:4]) + bytes(50_000), cut=20_000),
        Reply(BODY, tag='"2"'),
    ]
    assert get() == BODY
    assert len(get.server.asked) == 2


def test_a_server_that_ignores_ranges_is_begun_anew(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, cut=20_000), Reply(BODY, ranges=False)]
    assert get(digest=MD5) == BODY


def test_without_a_version_nothing_is_gone_on_with(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, cut=20_000, tag=""), Reply(BODY, tag="")]
    assert get(digest=MD5) == BODY
    assert get.server.asked == [("/a", None)] * 2


def test_a_server_that_never_gets_further_is_given_up(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, cut=20_000, tag="")]
    with pytest.raises(DataError, match="the connection ended after 20000 bytes; given up"):
        get()
    assert len(get.server.asked) == ATTEMPTS + 1


def test_a_part_longer_than_the_file_is_begun_anew(get: Getting) -> None:
    get.target.parent.mkdir()
    (get.target.parent / "a.zip.part").write_bytes(bytes(60_000))
    notes = {"url": f"{get.server.url}/a", "version": '"1"'}
    (get.target.parent / "a.zip.part.json").write_text(json.dumps(notes))
    get.server.replies["/a"] = [Reply(BODY)]
    assert get(digest=MD5) == BODY
    assert [asked for _, asked in get.server.asked] == ["bytes=60000-", None]


@pytest.mark.parametrize("notes", ["", "[]", "{}", '{"url": 3}'])
def test_damaged_notes_begin_anew(get: Getting, notes: str) -> None:
    get.target.parent.mkdir()
    (get.target.parent / "a.zip.part").write_bytes(b"other")
    (get.target.parent / "a.zip.part.json").write_text(notes)
    get.server.replies["/a"] = [Reply(BODY)]
    assert get() == BODY


def test_a_length_that_is_too_long_is_given_up(get: Getting) -> None:
    get.server.replies["/a"] = [Reply(BODY, length=len(BODY) + 7), Reply(BODY, length=7)]
    with pytest.raises(DataError, match="the connection ended after"):
        get()


@pytest.mark.parametrize("known", [{"digest": MD5}, {"size": len(BODY)}])
def test_a_length_that_is_too_short_is_found_by_digest_or_size(
    get: Getting, known: dict[str, Any]
) -> None:
    get.server.replies["/a"] = [Reply(BODY, length=30_000)]
    with pytest.raises(DataError, match=f"instead of {next(iter(known.values()))}"):
        get(**known)
    assert [*get.target.parent.iterdir()] == []


@pytest.mark.parametrize("body", [PAGE, PAGE[:3]])
def test_an_error_page_is_told_from_the_file(get: Getting, body: bytes) -> None:
    get.server.replies["/a"] = [Reply(body, kind="text/html")]
    with pytest.raises(DataError, match=r"the file there is another one: it begins '<!D"):
        get()
    assert [*get.target.parent.iterdir()] == []
    assert len(get.server.asked) == 1


def test_another_file_of_the_same_kind_is_told_by_its_digest(get: Getting) -> None:
    other = b"PK\x03\x04other"
    get.server.replies |= {"/a": [Reply(other)], "/b": [Reply(BODY)]}
    found = hashlib.md5(other).hexdigest()
    with pytest.raises(DataError, match=f"has the md5 digest {found} instead of {MD5}"):
        get(digest=MD5)
    assert get("/a", "/b", digest=MD5) == BODY


def test_mirrors_are_tried_in_turn_and_all_are_named(get: Getting) -> None:
    get.server.replies |= {"/b": [Reply(PAGE)], "/c": [Reply(BODY)]}
    assert get("/a", "/b", "/c") == BODY
    get.target.unlink()
    with pytest.raises(DataError) as caught:
        get("/a", "/b")
    lines = str(caught.value).split("\n  ")
    assert lines[0] == "a.zip cannot be downloaded:"
    assert lines[1] == f"{get.server.url}/a: 404 Not Found"
    assert lines[2].startswith(f"{get.server.url}/b: the file there is another one")


def test_a_server_that_is_busy_is_asked_again_when_it_says(get: Getting) -> None:
    busy = Reply(status=503, retry_after=7)
    get.server.replies["/a"] = [busy, Reply(status=429, retry_after=900), Reply(BODY)]
    assert get() == BODY
    assert get.waits == [7, 60]


def test_a_host_that_is_not_there_is_given_up(get: Getting, tmp_path: Path) -> None:
    with file_server() as gone:
        pass
    wanted = Wanted([f"{gone.url}/a"], b"PK")
    with pytest.raises(DataError, match="refused; given up after 6 attempts"):
        download(wanted, tmp_path / "a.zip", progress=False, sleep=get.waits.append)
    assert get.waits == [1, 2, 4, 8, 16]


def test_silence_is_not_waited_out(get: Getting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    get.server.replies["/a"] = [Reply(BODY, wait=0.5), Reply(BODY)]
    assert get(digest=MD5) == BODY


def test_redirects_are_followed(get: Getting) -> None:
    get.server.replies |= {
        "/a": [Reply(status=302, location="/b")],
        "/b": [Reply(BODY, cut=20_000), Reply(BODY)],
    }
    assert get(digest=MD5) == BODY
    assert get.server.asked[-1] == ("/b", "bytes=20000-")


def test_a_disk_that_is_too_small_is_told_before(
    get: Getting, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 40_000))
    get.server.replies["/a"] = [Reply(BODY)]
    with pytest.raises(DataError, match=r"needs 0.0 GiB more, but .* has 0.0 GiB free"):
        get()


def test_what_is_no_address_or_digest_is_refused() -> None:
    with pytest.raises(ConfigError, match="the address file:///etc/passwd must begin with http"):
        Wanted(["file:///etc/passwd"], b"")
    for digest in ("", "123", "g" * 32):
        with pytest.raises(ConfigError, match="must be an MD5"):
            Wanted([], b"", digest=digest)
