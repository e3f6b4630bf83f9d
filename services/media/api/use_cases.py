"""Dependencies of the routes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from libs.common.stores.idempotency import Idempotency
from libs.common.web.app import use_cases
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime


@dataclass(frozen=True, slots=True)
class MediaUseCases:
    """The use cases, as composed in `__main__`."""

    library: MediaLibrary
    lifetime: Lifetime
    idempotency: Idempotency
    mint: Callable[[], int]


UseCases = Annotated[MediaUseCases, Depends(use_cases)]
