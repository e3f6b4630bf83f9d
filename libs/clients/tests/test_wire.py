"""Requests as servers of the last release know them: a change here is a change of the contract."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
import pytest

from libs.clients.feed import FeedClient
from libs.clients.interaction import InteractionClient
from libs.clients.media import MediaClient
from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.common.web.client import ServiceClient
from libs.contracts.internal.post import RankingFeatures, RankingFeaturesAnswer

Sent = tuple[str, Any]


class Recorder:
    """Answers every question with nothing found."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        self.sent.append((path, params))
        return {"ids": [], "ranges": [], "posts": [], "next_cursor": None, "coverage": {"complete": True}, "reason": ""}

    async def query(self, path: str, body: Any) -> Any:
        self.sent.append((path, orjson.loads(orjson.dumps(body))))
        return {name: [] for name in ("users", "audiences", "posts", "marks", "media", "post_ids")}

    async def send_bytes(self, path: str, body: bytes, content_type: str, params: dict[str, Any]) -> Any:
        self.sent.append((path, params))
        return {"media_id": 1, "status": "processing"}


Call = Callable[[ServiceClient], Awaitable[object]]
CALLS: list[tuple[Call, Sent]] = [
    (lambda c: UserClient(c).authors([2]), ("/internal/users/batch", {"user_ids": [2]})),
    (lambda c: UserClient(c).people(1, [2]), ("/internal/users/batch", {"user_ids": [2], "reader_id": 1})),
    (
        lambda c: UserClient(c).post_authors(1, [2]),
        ("/internal/users/batch", {"user_ids": [2], "reader_id": 1, "posts": True}),
    ),
    (lambda c: UserClient(c).post_authors(None, [2]), ("/internal/users/batch", {"user_ids": [2], "posts": True})),
    (
        lambda c: UserClient(c).audiences([1], 0),
        ("/internal/users/audiences", {"user_ids": [1], "followers_up_to": 0}),
    ),
    (lambda c: UserClient(c).follower_ranges(1, 5), ("/internal/users/1/follower-ranges", {"size": 5})),
    (lambda c: UserClient(c).user_ids(0, 5), ("/internal/users/ids", {"after": 0, "limit": 5})),
    (
        lambda c: UserClient(c).mend_counts(1, [2], []),
        ("/internal/users/1/counts", {"there": [2], "gone": []}),
    ),
    (lambda c: PostClient(c).records([1]), ("/internal/posts/batch", {"post_ids": [1]})),
    (lambda c: PostClient(c).author_of(2, 1), ("/internal/posts/batch", {"post_ids": [1], "reader_id": 2})),
    (lambda c: PostClient(c).ranking_features([1]), ("/internal/posts/traits", {"post_ids": [1]})),
    (
        lambda c: PostClient(c).recent([1], 5, None, 9),
        ("/internal/posts/recent", {"author_ids": [1], "after_id": 5, "limit_each": 9}),
    ),
    (lambda c: PostClient(c).hydrate(0, [1]), ("/internal/posts/hydrate", {"post_ids": [1], "reader_id": 0})),
    (lambda c: InteractionClient(c).of(0, [1]), ("/internal/marks", {"reader_id": 0, "post_ids": [1]})),
    (lambda c: InteractionClient(c).audit([1]), ("/internal/counts/audit", {"post_ids": [1]})),
    (lambda c: InteractionClient(c).mend([1]), ("/internal/counts/mend", {"post_ids": [1]})),
    (lambda c: MediaClient(c).find([1]), ("/internal/media/batch", {"media_ids": [1]})),
    (lambda c: MediaClient(c).find([1], profile_of=2), ("/internal/media/batch", {"media_ids": [1], "profile_of": 2})),
    (lambda c: MediaClient(c).store(2, b""), ("/internal/media/store", {"owner_id": 2})),
    (lambda c: FeedClient(c).readers(), ("/internal/feed/readers", None)),
    (
        lambda c: FeedClient(c).page(1, "ranked", None, fresh=True),
        ("/internal/feed/1", {"order": "ranked", "fresh": 1}),
    ),
    (lambda c: FeedClient(c).explain(1, 2), ("/internal/feed/1/explain/2", None)),
]


@pytest.mark.parametrize(("call", "sent"), CALLS)
async def test_requests_keep_their_form(call: Call, sent: Sent) -> None:
    recorder = Recorder()
    await call(cast("ServiceClient", recorder))
    assert recorder.sent == [sent]


def test_ranking_features_travel_as_arrays_of_numbers() -> None:
    answer = RankingFeaturesAnswer(posts=[RankingFeatures(1, 2, 3, 4, 5)])
    assert answer.model_dump_json() == '{"posts":[[1,2,3,4,5]]}'
    assert RankingFeaturesAnswer.model_validate_json(answer.model_dump_json()) == answer
