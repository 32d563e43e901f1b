"""A server of files that misbehaves as it is told: breaks off, lies, redirects, sends pages."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """How one request is answered.

    Args:
        body: The whole file.
        status: Of an answer that is no file.
        cut: Bytes after which the connection is closed.
        length: What Content-Length says, if not the truth.
        ranges: Whether a Range is heeded.
        tag: The ETag; empty gives none, and no date either.
        wait: Seconds of silence after the first bytes.
        location: Where a redirect leads.
        kind: The type of the content.
        retry_after: Seconds that the server asks to wait.
    """

    body: bytes = b""
    status: int = 200
    cut: int | None = None
    length: int | None = None
    ranges: bool = True
    tag: str = '"1"'
    wait: float = 0.0
    location: str = ""
    kind: str = "application/zip"
    retry_after: int | None = None


@dataclass
class FileServer:
    """Replies by path, in turn, the last one for ever; and what was asked."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range

    def next_reply(self, path: str) -> Reply:
        """Return how the next request is answered."""
        replies = self.replies.get(path, [Reply(status=404)])
        return replies.pop(0) if len(replies) > 1 else replies[0]


class _Handler(BaseHTTPRequestHandler):
    served: FileServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as the next reply says."""
        asked = self.headers.get("Range")
        self.served.asked.append((self.path, asked))
        reply = self.served.next_reply(self.path)
        if reply.status != 200:
            self.send_response(reply.status)
            for name, value in (("Location", reply.location), ("Retry-After", reply.retry_after)):
                if value:
                    self.send_header(name, str(value))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.findall(r"\d+", asked)[0]) if asked and reply.ranges else 0
        if reply.tag and self.headers.get("If-Range", reply.tag) != reply.tag:
            start = 0
        if start > len(reply.body):
            self.send_error(416)
            return
        body = reply.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(body) if reply.length is None else reply.length))
        if start:
            total = len(reply.body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if reply.tag:
            self.send_header("ETag", reply.tag)
        self.end_headers()
        sent = body if reply.cut is None else body[: reply.cut]
        self.wfile.write(sent[:10])
        self.wfile.flush()
        time.sleep(reply.wait)
        try:
            self.wfile.write(sent[10:])
        except OSError:  # the other side did not wait
            return
        self.close_connection = True


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    served = FileServer(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"served": served})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
