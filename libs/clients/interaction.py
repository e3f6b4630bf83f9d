"""The interaction service."""

from collections.abc import Sequence

from libs.common.web.client import ServiceClient
from libs.contracts.internal.interaction import (
    CountsAnswer,
    CountsRequest,
    MarksRequest,
    PostAudit,
)
from libs.contracts.public import Engagement


class InteractionClient:
    """Counts of posts, and marks of readers."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> dict[int, Engagement]:
        """Counts by post, with the reader's marks; at most 500 posts."""
        if not post_ids:
            return {}
        body = MarksRequest(reader_id=reader_id, post_ids=list(post_ids)).body()
        answer = await self._client.query("/internal/marks", body)
        # Not validated: each feed page needs it, and pydantic takes a millisecond for 20 posts.
        return {one.pop("post_id"): Engagement.model_construct(**one) for one in answer["marks"]}

    async def audit(self, post_ids: Sequence[int]) -> list[PostAudit]:
        """Return the counts of at most 100 posts from the records, the ledger and the cache."""
        body = CountsRequest(post_ids=list(post_ids)).body()
        return CountsAnswer.model_validate(await self._client.query("/internal/counts/audit", body)).posts

    async def mend(self, post_ids: Sequence[int]) -> None:
        """Request a recount of at most 100 posts. The counters worker does it after the answer."""
        await self._client.query("/internal/counts/mend", CountsRequest(post_ids=list(post_ids)).body())
