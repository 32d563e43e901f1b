"""A stand-in for the Hugging Face Hub, as far as huggingface_hub asks it for models.

Repositories are created and committed to, small files in the commit and large ones by Git LFS, and
files of any revision are listed and downloaded. It counts what was asked, and says why not.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

OWNER, TOKEN = "owner", "hf_of_the_owner"
LARGE = (".safetensors",)
_NO_REPO = (404, "RepoNotFound")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/([a-z]+)(?:/([^/]+))?)?")


@dataclass
class Repo:
    """A repository: what its names of revisions mean, and the files of each commit."""

    private: bool = False
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    def add(self, files: dict[str, bytes], title: str) -> str:
        """Commit files to the main branch, over those that are there."""
        self.titles.append(title)
        oid = hashlib.sha1(f"{len(self.titles)}".encode()).hexdigest()
        self.commits[oid] = self.commits.get(self.refs.get("main", ""), {}) | files
        self.refs["main"] = oid
        return oid


@dataclass
class Hub:
    """What the stand-in knows; ``refusal`` answers every request with a status of its own."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    refusal: int | None = None


class RefusalError(Exception):
    """An answer other than 200.

    Args:
        status: Its status.
        code: The Hub's code for it, if any.
        commit: The commit of which it is said, if any.
        said: What it says, plain JSON.
    """

    def __init__(
        self, status: int, code: str = "", commit: str = "", said: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(status, code)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Repo-Commit": commit}
        self.said = said or {}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve an empty Hub."""
    hub = Hub()

    class Handler(_Handler):
        known = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    known: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        self.body = self._body()
        path, headers = urlsplit(self.path).path, {"content-type": "application/json"}
        try:
            if self.known.refusal is not None:
                raise RefusalError(self.known.refusal)
            if found := _RESOLVE.fullmatch(path):
                status, (content, more) = 200, self._file(*map(unquote, found.groups()))
                headers |= more
            else:
                status, content = 200, json.dumps(self._said(path)).encode()
        except RefusalError as refused:
            status, content = refused.status, json.dumps(refused.said).encode()
            headers |= {name: value for name, value in refused.headers.items() if value}
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    @property
    def _owner(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def _repo(self, name: str) -> Repo:
        repo = self.known.repos.get(name)
        if repo is None or (repo.private and not self._owner):
            raise RefusalError(*_NO_REPO)
        if repo.gated and not self._owner:
            raise RefusalError(403, "GatedRepo")
        return repo

    def _files(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]]:
        oid = repo.refs.get(revision, revision)
        if oid not in repo.commits:
            raise RefusalError(404, "RevisionNotFound")
        return oid, repo.commits[oid]

    def _file(self, name: str, revision: str, path: str) -> tuple[bytes, dict[str, str]]:
        oid, files = self._files(self._repo(name), revision)
        if path not in files:
            raise RefusalError(404, "EntryNotFound", oid)
        if self.command == "GET":
            self.known.downloads.append(path)
        tag = hashlib.sha256(files[path]).hexdigest()
        return files[path], {"X-Repo-Commit": oid, "ETag": f'"{tag}"'}

    def _said(self, path: str) -> Any:
        if self.command == "PUT":  # of a large file
            self.known.large[path.rpartition("/")[2]] = self.body
            return {}
        if path == "/api/repos/create":
            return self._create(json.loads(self.body))
        if path == "/api/validate-yaml":
            return {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(self.body))
        if found := _API.fullmatch(path):
            return self._said_of(*found.groups())
        raise RefusalError(404)

    def _said_of(self, name: str, what: str, revision: str | None) -> Any:
        repo = self._repo(name)
        if what == "preupload":
            return self._preupload(json.loads(self.body))
        if what == "commit":
            return self._commit(name, repo)
        if what == "tree":
            files = self._files(repo, unquote(revision or "main"))[1]
            return [
                {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                for path, content in files.items()
            ]
        if what == "refs":
            refs = [{"name": n, "ref": n, "targetCommit": oid} for n, oid in repo.refs.items()]
            return {"branches": refs[:1], "tags": refs[1:], "converts": []}
        oid = repo.refs.get("main", "")
        siblings = [{"rfilename": path} for path in repo.commits.get(oid, ())]
        return {"id": name, "sha": oid, "siblings": siblings}

    def _preupload(self, asked: dict[str, Any]) -> Any:
        modes = {
            path: "lfs" if path.endswith(LARGE) else "regular"
            for path in (file["path"] for file in asked["files"])
        }
        return {
            "files": [
                {"path": path, "uploadMode": mode, "shouldIgnore": False}
                for path, mode in modes.items()
            ]
        }

    def _create(self, asked: dict[str, Any]) -> Any:
        if not self._owner:
            raise RefusalError(401)
        if asked["organization"] != OWNER:
            raise RefusalError(403)
        name = f"{OWNER}/{asked['name']}"
        said = {"url": f"{self.known.url}/{name}"}
        if name in self.known.repos:
            raise RefusalError(409, said=said)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.known.repos[name] = Repo(private=bool(private))
        return said

    def _batch(self, asked: dict[str, Any]) -> Any:
        objects = [
            o | {"actions": {"upload": {"href": f"{self.known.url}/large/{o['oid']}"}}}
            for o in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, repo: Repo) -> Any:
        if not self._owner:
            raise RefusalError(403)
        title, files = "", {}
        for line in map(json.loads, self.body.splitlines()):
            key, value = line["key"], line["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.known.large[value["oid"]]
        oid = repo.add(files, title)
        return {"commitUrl": f"{self.known.url}/{name}/commit/{oid}", "commitOid": oid}
