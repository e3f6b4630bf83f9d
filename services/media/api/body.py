"""Bodies of uploads."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from libs.media.image_types import canonical_type
from services.media.errors import BrokenBodyError


def declared_type(request: Request) -> str:
    """The Content-Type by its registered name; empty when there is none."""
    return canonical_type(request.headers.get("content-type", ""))


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise BrokenBodyError from error
