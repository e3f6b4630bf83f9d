"""The use cases that the routes call."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from libs.common.web.app import use_cases
from services.feed.service.active import ActiveReaders
from services.feed.service.explain import FeedExplainer
from services.feed.service.reader import FeedReader
from services.feed.service.returning import ReturningReaders


@dataclass(frozen=True, slots=True)
class FeedUseCases:
    """The use cases of one process, composed in `__main__`."""

    reader: FeedReader
    explainer: FeedExplainer
    returning: ReturningReaders
    active: ActiveReaders


UseCases = Annotated[FeedUseCases, Depends(use_cases)]
