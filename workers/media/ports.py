"""What the media worker needs of others."""

from pathlib import Path
from typing import Protocol

from libs.contracts.base import Event
from workers.media.domain.picture import Decoded, Refused


class Decoder(Protocol):
    """Makes variants."""

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        """Write the variants of `source` into `folder`, under the names of `domain.FILES`.

        Raises:
            DecodingFailedError, OSError: through no fault of the picture.
        """


class EventPublisher(Protocol):
    """Tells others."""

    async def publish(self, event: Event) -> None:
        """Returns when the event can't be lost any more; raises UnavailableError."""
