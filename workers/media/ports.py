"""Ports of the media worker."""

from pathlib import Path
from typing import Protocol

from libs.contracts.base import Event
from workers.media.domain.picture import Decoded, Refused


class Decoder(Protocol):
    """Makes variants."""

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        """Write the variants of `source` into `folder`, under the names of `domain.FILES`.

        Raises:
            DecodingFailedError, OSError: decoding failed for a reason that is not the picture.
        """


class EventPublisher(Protocol):
    """Publishes events about uploads."""

    async def publish(self, event: Event) -> None:
        """Publish an event. When this returns, the event is stored. Raises UnavailableError."""
