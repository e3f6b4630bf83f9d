"""Ports that ask the interaction and the media service: each fake, and the adapter over the service's own routes."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from libs.clients.interaction import InteractionClient
from libs.clients.media import MediaClient
from libs.common.testing.events import CollectedEvents
from libs.contracts.public import Engagement
from libs.media.readiness import MediaReadiness
from services.interaction import internal as interaction
from services.interaction.domain import Mark, MarkKind
from services.interaction.service.interactions import LikesAndSaves
from services.interaction.tests import fakes as around
from services.media import internal as media
from services.media.domain import ProcessingStatus, StoredMedia
from services.media.tests.fakes import InMemoryMediaStore
from services.post.clients import HttpUploads
from services.post.ports import EngagementCounts, PostMedia
from services.post.tests import fakes
from services.post.tests.fakes import AUTHOR, InMemoryMedia, document, failed, processing, ready
from services.user.clients import HttpAvatarSource
from services.user.domain.people import Avatar, AvatarUpload
from services.user.ports import ProfileMedia
from services.user.tests.fakes import InMemoryProfileMedia
from tests.conformance.owners import client_of

READER, POST = 1, 100


def http_marks() -> EngagementCounts:
    """A post with nine likes, one of them the reader's."""
    store, ledger = around.InMemoryMarks(), around.InMemoryLedger()
    store.rows[READER, MarkKind.LIKE, POST] = Mark(READER, MarkKind.LIKE, POST, 1, 1, active=True)
    ledger.members[POST, MarkKind.LIKE] = set(range(1, 10))
    others = around.InMemoryComments(), ledger, around.InMemoryPosts(), around.InMemoryPeople()
    use_case = LikesAndSaves(store, around.InMemoryActiveMarks(store), *others, CollectedEvents(), lambda: 1)
    return InteractionClient(client_of(interaction.router, SimpleNamespace(marks=use_case)))


def fake_marks() -> EngagementCounts:
    return fakes.InMemoryMarks()


@pytest.mark.parametrize("make", [fake_marks, http_marks])
async def test_marks_are_counts_and_the_readers_own(make: Callable[[], EngagementCounts]) -> None:
    port = make()
    assert await port.of(READER, [POST]) == {POST: Engagement(like_count=9, is_liked=True)}
    assert await port.of(None, [POST]) == {POST: Engagement(like_count=9)}
    assert await port.of(READER, []) == {}


STATES = (ready(1), processing(2), failed(3))


def media_client() -> MediaClient:
    """The media service with one upload of each state."""
    store = InMemoryMediaStore()
    store.media = {
        1: StoredMedia(1, AUTHOR, ProcessingStatus.READY, document=document(1)),
        2: StoredMedia(2, AUTHOR, ProcessingStatus.PROCESSING),
        3: StoredMedia(3, AUTHOR, ProcessingStatus.FAILED, reason="corrupt"),
    }

    async def mark_used(*_: object) -> None: ...

    use_cases = SimpleNamespace(library=store, lifetime=SimpleNamespace(mark_used=mark_used))
    return MediaClient(client_of(media.router, use_cases))


def fake_avatars() -> ProfileMedia:
    fake = InMemoryProfileMedia()
    avatar = Avatar(1, document(1).paths["thumbnail"])
    fake.media = {1: AvatarUpload(AUTHOR, avatar), 2: AvatarUpload(AUTHOR, None), 3: AvatarUpload(AUTHOR, None)}
    return fake


@pytest.mark.parametrize("port", [InMemoryMedia(*STATES), HttpUploads(media_client())])
async def test_uploads_have_their_states(port: PostMedia) -> None:
    def by_id(states: list[MediaReadiness]) -> dict[int, MediaReadiness]:
        return {one.media_id: one for one in states}

    assert by_id(await port.states([1, 2, 3, 4])) == by_id(list(STATES))


@pytest.mark.parametrize("port", [fake_avatars(), HttpAvatarSource(media_client())])
async def test_only_a_ready_upload_makes_an_avatar(port: ProfileMedia) -> None:
    found = [await port.for_profile(AUTHOR, media_id) for media_id in (1, 2, 4)]
    assert found == [AvatarUpload(AUTHOR, Avatar(1, document(1).paths["thumbnail"])), AvatarUpload(AUTHOR, None), None]
