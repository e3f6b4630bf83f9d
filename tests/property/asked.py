"""The owners and the feeds of a system in one process, as the oracle asks them."""

from collections.abc import Iterable

from libs.common.core.errors import NotFoundError
from libs.contracts.internal.feed import FeedPageView, FeedReason
from ops.records import Followees
from services.feed.domain.feed import Order
from tests.property.owners import PEOPLE
from tests.property.system import System

LIMIT = 4  # so that feeds take several pages


class Asked:
    """Implements `ops.oracle.Owners` and `Feeds`."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def followees(self, reader_id: int) -> Followees:
        found = await self._system.owners.followees(reader_id)
        return Followees(found.all, found.pull)

    async def posts(self, author_ids: Iterable[int]) -> dict[int, int]:
        owners, wanted = self._system.owners, set(author_ids)
        there = (owners.posts[post_id] for post_id in await self.published(owners.posts))
        return {record.post_id: record.author_id for record in there if record.author_id in wanted}

    async def published(self, post_ids: Iterable[int]) -> set[int]:
        owners = self._system.owners
        return set(post_ids) & owners.posts.keys() - owners.deleted

    async def readers(self) -> list[int]:
        return list(PEOPLE)

    async def page(self, reader_id: int, order: str, cursor: str | None, *, fresh: bool) -> FeedPageView:
        served = await self._system.reader.page(reader_id, Order(order), LIMIT, cursor, fresh=fresh)
        return FeedPageView.model_validate_json(served.body)

    async def explain(self, reader_id: int, post_id: int) -> FeedReason | None:
        try:
            return FeedReason(reason=(await self._system.explainer.explain(reader_id, post_id)).reason)
        except NotFoundError:
            return None
