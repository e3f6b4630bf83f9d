"""The HTTP server of a deployable: graceful shutdown, and problem documents for requests that are not HTTP."""

import logging
import sys
import time
from contextlib import suppress
from types import FrameType
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.core.context import request_id, set_request_id
from libs.common.core.errors import BadRequestError
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.web.problems import PROBLEM_TYPE, problem_of

KEEP_ALIVE_S = 75  # longer than the clients: nginx keeps idle connections 60 s, deployables 15 s
log = get_logger(__name__)


class _HttpProtocol(HttpToolsProtocol):
    """Answers requests that are not valid HTTP with a problem document."""

    def send_400_response(self, msg: str) -> None:
        set_request_id(uuid4().hex)
        body = bytes(problem_of(BadRequestError(msg)).body)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\n"
        head += f"x-request-id: {request_id()}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Serves for `shutdown_delay_s` after SIGTERM while not ready, so that load balancers stop sending requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self._state = app.state
        self._settings = settings
        self._signal: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._signal is not None:  # a second signal stops at once
            super().handle_exit(sig, frame)
            return
        self._signal = sig
        self._state.stop_by = time.monotonic() + self._settings.shutdown_delay_s + self._settings.drain_s

    async def on_tick(self, counter: int) -> bool:
        if self._signal is not None and time.monotonic() >= self._state.stop_by - self._settings.drain_s:
            super().handle_exit(self._signal, None)
        return await super().on_tick(counter)


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Exits with status 1 if the deployable cannot start."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=_HttpProtocol,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    server = _Server(config, app, settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)
