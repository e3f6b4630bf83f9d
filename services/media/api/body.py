"""Bodies of uploads."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from libs.media.image_types import canonical_type
from services.media.errors import BrokenBodyError


def declared_type(request: Request) -> str:
    """Return the canonical Content-Type, or an empty string."""
    return canonical_type(request.headers.get("content-type", ""))


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in chunks. Raises BrokenBodyError."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise BrokenBodyError from error
