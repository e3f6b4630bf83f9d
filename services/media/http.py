"""What the public and the internal routes share."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from libs.media.image_types import canonical_type
from services.media.errors import BrokenBodyError
from services.media.lifetime import Lifetime
from services.media.service import MediaLibrary


async def _library(request: Request) -> MediaLibrary:
    library: MediaLibrary = request.app.state.library
    return library


Library = Annotated[MediaLibrary, Depends(_library)]


async def _lifetime(request: Request) -> Lifetime:
    lifetime: Lifetime = request.app.state.lifetime
    return lifetime


MediaLifetime = Annotated[Lifetime, Depends(_lifetime)]


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
