"""A Hugging Face hub on loopback, as far as its libraries ask it: the repositories are the folders below a root."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

REVISION = "a" * 40
#: Who gives it may publish.
TOKEN = "hf_stand_in"


@contextmanager
def serve_hub(root: Path) -> Iterator[str]:
    """Serve ``root/owner/name`` as dataset and model ``owner/name``; yield the address for ``HF_ENDPOINT``."""
    handler = type("Handler", (_Handler,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    root: Path

    def do_GET(self) -> None:
        match unquote(urlparse(self.path).path).strip("/").split("/"):
            case ["api", "datasets" | "models", owner, name, "revision", _] if (self.root / owner / name).is_dir():
                self._describe(self.root / owner / name, f"{owner}/{name}")
            case ["api", "datasets" | "models", owner, name, "tree", _, *folder]:
                self._list(self.root / owner / name, "/".join(folder))
            case ["datasets", owner, name, "resolve", _, *path] | [owner, name, "resolve", _, *path]:
                self._send_file(self.root / owner / name, "/".join(path))
            case _:
                self._send(b"", 404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(b"", 401)
            return
        match urlparse(self.path).path.strip("/").split("/"):
            case ["api", "validate-yaml"]:
                self._send_json({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                wanted = json.loads(body)
                name = f"{wanted['organization']}/{wanted['name']}"
                (self.root / name).mkdir(parents=True, exist_ok=True)
                self._send_json({"url": f"http://{self.headers['Host']}/{name}", "id": name})
            case ["api", "models", owner, name, "preupload", _]:
                files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
                self._send_json({"files": [file | {"shouldIgnore": False, "oid": None} for file in files]})
            case ["api", "models", owner, name, "commit", _]:
                self._commit(self.root / owner / name, body)
                commit = f"http://{self.headers['Host']}/{owner}/{name}/commit/{REVISION}"
                self._send_json({"commitUrl": commit, "commitOid": REVISION, "success": True})
            case _:
                self._send(b"", 404)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _commit(self, repository: Path, body: bytes) -> None:
        """Write the files of a commit, lines of JSON with their content in base64."""
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                file = repository / line["value"]["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(line["value"]["content"]))

    def _describe(self, repository: Path, name: str) -> None:
        files = [{"rfilename": str(file.relative_to(repository))} for file in repository.rglob("*") if file.is_file()]
        self._send_json({"id": name, "sha": REVISION, "private": False, "tags": [], "siblings": files})

    def _list(self, repository: Path, folder: str) -> None:
        inside = repository / folder
        if not inside.is_dir():
            self._send(b"", 404, {"X-Error-Code": "EntryNotFound"})
            return
        entries = inside.rglob("*") if "recursive=true" in self.path.lower() else inside.iterdir()
        self._send_json([_entry(repository, path) for path in entries])

    def _send_file(self, repository: Path, path: str) -> None:
        file = repository / path
        if not file.is_file():
            code = "EntryNotFound" if repository.is_dir() else "RepoNotFound"
            self._send(b"", 404, {"X-Error-Code": code})
            return
        content = file.read_bytes()
        self._send(content, 200, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": REVISION})

    def _send_json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), 200, {"Content-Type": "application/json"})

    def _send(self, body: bytes, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def _entry(repository: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(repository))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _digest(path.read_bytes()), "size": path.stat().st_size}


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
