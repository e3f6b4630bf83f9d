"""The headers `X-Network-Quality` and `X-Device-Type` of clients. Unknown values are ignored."""

from collections.abc import MutableMapping
from typing import Annotated, Any

from fastapi import Depends, Header
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.web.middleware import PUBLIC, header
from libs.telemetry.metrics import counter

DEVICES = counter("feedmill_requests_by_device_total")
DEVICE_TYPES = frozenset({b"phone", b"tablet", b"desktop"})
_SLOW = frozenset({b"2g", b"3g"})
# This text cannot occur inside of a JSON string, where its quotes would be escaped.
_USUAL, _SMALL = b'"preferred":"medium"', b'"preferred":"small"'


async def _device_headers(
    x_network_quality: Annotated[
        str | None, Header(description="2g, 3g, lte or wifi; selects `media[].preferred`: `small` for 2g and 3g")
    ] = None,
    x_device_type: Annotated[str | None, Header(description="phone, tablet or desktop; for statistics")] = None,
) -> None:
    """Declare the headers for the OpenAPI document; `Devices` reads them."""


DEVICE_HEADERS = [Depends(_device_headers)]
"""FastAPI dependencies of routes that answer with media."""


class Devices:
    """ASGI middleware that counts device types, and sets `preferred` of media to `small` for slow networks.

    It changes the finished JSON, so that cached pages are the same for all devices.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PUBLIC):
            await self._app(scope, receive, send)
            return
        device = header(scope, b"x-device-type").lower()
        DEVICES.labels(device.decode() if device in DEVICE_TYPES else "unknown").inc()
        is_slow = header(scope, b"x-network-quality").lower() in _SLOW
        await self._app(scope, receive, _SmallPreferred(send) if is_slow else send)


class _SmallPreferred:
    """A `send` that sets `preferred` to `small` in JSON bodies, and leaves other bodies unchanged."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if dict(message["headers"]).get(b"content-type", b"").startswith(b"application/json"):
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            message, start = {**message, "body": self._body.replace(_USUAL, _SMALL)}, self._start
            others = [header for header in start["headers"] if header[0] != b"content-length"]
            length = (b"content-length", b"%d" % len(message["body"]))
            await self._send({**start, "headers": [*others, length]})
        await self._send(message)
