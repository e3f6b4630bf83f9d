"""The user service."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from libs.clients.batches import in_batches
from libs.common.web.client import ServiceClient
from libs.contracts.internal.user import (
    FOLLOWERS_A_PAGE,
    USERS_A_CALL,
    AccountAudit,
    AccountIds,
    AccountMendRequest,
    AudienceRecord,
    AudiencesAnswer,
    AudiencesRequest,
    AuthorsAnswer,
    AuthorsRequest,
    FolloweesAnswer,
    FollowerRanges,
    IdRange,
    RelationAnswer,
)
from libs.contracts.public import Author

USERS = "/internal/users"


class UserClient:
    """Profiles, the graph, and the counts of accounts."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        """Return profiles for any reader. Unknown and banned users are left out."""
        return await self._authors(AuthorsRequest(user_ids=list(user_ids)))

    async def people(self, reader_id: int, user_ids: Sequence[int]) -> dict[int, Author]:
        """Profiles without people on either side of a block with the reader."""
        return await self._authors(AuthorsRequest(user_ids=list(user_ids), reader_id=reader_id))

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        """Profiles of people whose posts the reader may see; without a reader, of public accounts."""
        return await self._authors(AuthorsRequest(user_ids=list(user_ids), reader_id=reader_id, posts=True))

    async def _authors(self, request: AuthorsRequest) -> dict[int, Author]:
        if not request.user_ids:
            return {}
        answer = AuthorsAnswer.model_validate(await self._client.query(f"{USERS}/batch", request.body()))
        return {author.user_id: author for author in answer.users}

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        """Audiences by author; unknown authors are left out."""

        async def ask(batch: Sequence[int]) -> list[AudienceRecord]:
            body = AudiencesRequest(user_ids=list(batch), followers_up_to=followers_up_to).body()
            return AudiencesAnswer.model_validate(await self._client.query(f"{USERS}/audiences", body)).audiences

        return {one.user_id: one for one in await in_batches(list(author_ids), USERS_A_CALL, ask)}

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[IdRange]:
        """Adjoining ranges of at most `size` followers, together all of them."""
        answer = await self._client.get(f"{USERS}/{author_id}/follower-ranges", {"size": size})
        return FollowerRanges.model_validate(answer).ranges

    async def followers(self, author_id: int, within: IdRange) -> AsyncIterator[Sequence[int]]:
        """Follower ids in the range, ascending, page by page; no page is empty."""
        after, up_to = within
        while True:
            params = {"after": after, "up_to": up_to, "limit": FOLLOWERS_A_PAGE}
            answer = await self._client.get(f"{USERS}/{author_id}/follower-ids", params)
            ids = AccountIds.model_validate(answer).ids
            if ids:
                yield ids
            if len(ids) < FOLLOWERS_A_PAGE or ids[-1] == up_to:
                return
            after = ids[-1]

    async def followees(self, user_id: int) -> FolloweesAnswer:
        """The followees whose posts belong in the user's feed; muted and banned ones do not."""
        return FolloweesAnswer.model_validate(await self._client.get(f"{USERS}/{user_id}/followees"))

    async def relation(self, reader_id: int, author_id: int) -> RelationAnswer:
        """Return the reader's relation to the author: follow, block, mute."""
        return RelationAnswer.model_validate(await self._client.get(f"{USERS}/{reader_id}/relation/{author_id}"))

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        """Return ids of accounts above `after_id`, ascending; `limit` is at most 10,000."""
        answer = await self._client.get(f"{USERS}/ids", {"after": after_id, "limit": limit})
        return AccountIds.model_validate(answer).ids

    async def audit_counts(self, user_id: int) -> AccountAudit:
        """Return the stored counts of the account, and the same counts from its records."""
        return AccountAudit.model_validate(await self._client.get(f"{USERS}/{user_id}/counts"))

    async def mend_counts(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        """Report which posts exist and which do not, and have the account's counts corrected."""
        await self._client.query(f"{USERS}/{user_id}/counts", AccountMendRequest(there=there, gone=gone).body())
