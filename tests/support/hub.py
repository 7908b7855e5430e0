"""A model hub on this machine: the part of the Hugging Face hub's HTTP interface that downloads use."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True)
class Hub:
    """Where it is (`HF_ENDPOINT`), and which files were asked for."""

    url: str
    downloaded: list[str] = field(default_factory=list)


@contextmanager
def serve_hub(hub_id: str, folder: Path) -> Iterator[Hub]:
    """Serves one repository, the files of a folder, at any revision; other ids are answered by 401, as the hub does."""
    downloaded: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.split("?")[0]
            if path.startswith(f"/api/models/{hub_id}/tree/"):
                self._send(200, json.dumps(_tree(folder)).encode(), with_body)
            elif path.startswith(f"/api/models/{hub_id}/"):
                self._send(200, json.dumps({"id": hub_id, "sha": COMMIT}).encode(), with_body)
            elif path.startswith(f"/{hub_id}/resolve/"):
                key = path.removeprefix(f"/{hub_id}/resolve/").split("/", 1)[1]
                if with_body:
                    downloaded.append(key)
                self._send(200, (folder / key).read_bytes(), with_body)
            else:
                self._send(401, b'{"error":"Invalid username or password."}', with_body)

        def _send(self, status: int, body: bytes, with_body: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{_git_hash(body)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Hub(f"http://127.0.0.1:{server.server_port}", downloaded)
    finally:
        server.shutdown()
        server.server_close()


def _tree(folder: Path) -> list[dict[str, object]]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return [
        {"type": "file", "path": str(f.relative_to(folder)), "size": f.stat().st_size, "oid": _git_hash(f.read_bytes())}
        for f in files
    ]


def _git_hash(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
