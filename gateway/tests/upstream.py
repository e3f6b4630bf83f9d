"""A service for the gateway to stand before: it answers with what it got."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

PICTURE = bytes(range(256)) * 8


class Upstream(ThreadingHTTPServer):
    """Listens on a free port until the `with` block ends; `hits` counts requests by path."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.hits: Counter[str] = Counter()
        self.origins: dict[str, str | None] = {}
        """The `Origin` of the last request, by path."""
        self.held, self.go = threading.Semaphore(0), threading.Event()
        """How many requests for `…/held` have come, and when to answer them."""
        self.broken = self.deleted = False
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.go.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        self.server.hits[path] += 1
        self.server.origins[path] = self.headers.get("Origin")
        if path.endswith("/hang-up"):
            self.close_connection = True
        elif path.endswith("/held"):
            self.server.held.release()
            self.server.go.wait(30)
            self._echo(path)
        elif path.startswith("/v1/m/"):
            self._picture(path)
        else:
            self._echo(path)

    do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - the base class looks for these

    def _echo(self, path: str) -> None:
        got = {
            "service": self.server.name,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body_bytes": self._read_body(),
            "padding": "x" * 2000,
        }
        busy = path.endswith("/busy")
        self._answer(503 if busy else 200, json.dumps(got).encode(), **({"Retry-After": "9"} if busy else {}))

    def _picture(self, path: str) -> None:
        if self.server.broken:
            self._answer(500, b"{}")
        elif self.server.deleted:
            self._answer(404, b"{}")
        else:
            life_s = 1 if "/brief/" in path else 60
            kept = "no-store" if path.endswith("/private") else "public, max-age=31536000, immutable"
            headers = {"Content-Type": "image/webp", "Cache-Control": kept, "ETag": '"tag"'}
            if not path.endswith("/private"):
                headers["X-Accel-Expires"] = str(life_s)
            is_known = self.headers.get("If-None-Match") == '"tag"'
            self._answer(304 if is_known else 200, b"" if is_known else PICTURE, **headers)

    def _read_body(self) -> int:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        total = 0
        while size := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return total

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        fixed = {"Content-Type": "application/json", "X-Request-Id": "upstream", "Content-Length": str(len(body))}
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Nobody reads it."""
