"""Dependencies of the routes."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from libs.common.stores.idempotency import Idempotency
from libs.common.web.app import use_cases
from services.post.service.creator import PostCreator
from services.post.service.reader import PostReader
from services.post.service.writer import PostWriter


@dataclass(frozen=True, slots=True)
class PostUseCases:
    """The use cases, as composed in `__main__`."""

    creator: PostCreator
    writer: PostWriter
    reader: PostReader
    idempotency: Idempotency


UseCases = Annotated[PostUseCases, Depends(use_cases)]
