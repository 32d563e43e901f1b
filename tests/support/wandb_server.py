"""A stand-in for the W&B server, as far as ``wandb agent`` talks to it: a grid, point by point."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

# What the agent asks of a sweep, and does nothing with here.
_UNUSED = (
    "description", "createdAt", "heartbeatAt", "updatedAt", "earlyStopJobRunning", "bestLoss",
    "controller", "scheduler",
)  # fmt: skip


def grid(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every point of a sweep whose parameters all list values."""
    parameters = sweep["parameters"]
    values = itertools.product(*(parameter["values"] for parameter in parameters.values()))
    return [dict(zip(parameters, point, strict=True)) for point in values]


def run_id(number: int) -> str:
    """Return the id that the server gives to the run of a point."""
    return f"point{number}"


@contextmanager
def sweep_server(path: Path) -> Iterator[dict[str, str]]:
    """Serve the grid of a sweep file, and return the environment in which W&B talks to it.

    The runs themselves stay offline: only the agent talks to the server.
    """
    answers = _Answers(path)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = json.loads(body) if body.startswith(b"{") else {}
            data = answers.to(asked.get("query", ""), asked.get("variables") or {})
            answer = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}",
                "WANDB_API_KEY": "0" * 40,
                "WANDB_MODE": "offline",
            }
        finally:
            server.shutdown()


class _Answers:
    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self.sweep = yaml.safe_load(self.text)
        self.commands = iter(
            {
                "type": "run",
                "run_id": run_id(number),
                "program": self.sweep["program"],
                "args": {name: {"value": value} for name, value in point.items()},
            }
            for number, point in enumerate(grid(self.sweep))
        )

    def to(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer one of the agent's four questions."""
        if "viewer" in query:
            me = {"id": "me", "username": "me", "entity": "me", "flags": "{}"}
            return {"viewer": me | {"teams": {"edges": []}}}
        if "SweepWithRuns" in query:
            about = {"id": "s", "name": "s", "method": self.sweep["method"], "state": "RUNNING"}
            found = dict.fromkeys(_UNUSED) | about | {"config": self.text, "runs": {"edges": []}}
            return {"project": {"sweep": found}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "agent"}}}
        if "agentHeartbeat" in query:
            busy = any(json.loads(variables.get("runState") or "{}").values())
            commands = [] if busy else [next(self.commands, {"type": "exit"})]
            heartbeat = {"agent": {"id": "agent"}, "commands": json.dumps(commands)}
            return {"agentHeartbeat": heartbeat}
        return {}
