"""Events change the cached followees of a reader."""

import pytest

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.base import Event, Payload
from libs.contracts.events import FollowCreated, FollowDeleted, MuteCreated, MuteDeleted
from services.feed.consumers import FeedConsumers
from services.feed.tests.world import World

READER, AUTHOR = 1, 2
REMOVED = (FollowDeleted(follower_id=READER, followee_id=AUTHOR), MuteCreated(muter_id=READER, muted_id=AUTHOR))
ADDED = (FollowCreated(follower_id=READER, followee_id=AUTHOR), MuteDeleted(muter_id=READER, muted_id=AUTHOR))


@pytest.fixture
async def world() -> World:
    """The author is pulled, and the only followee."""
    world = World()
    world.graph.follows[READER], world.graph.pull = {AUTHOR}, {AUTHOR}
    await world.readers.get(READER)
    return world


async def handle(world: World, payload: Payload) -> None:
    consumers = FeedConsumers(world.readers, world.window, world.posts, world.lists, world.cache, world.stamps)
    envelope = Event(payload=payload, entity="1", entity_version=1).envelope("tests", None)
    for _ in range(2):
        await consumers.on_events([ReceivedEvent(envelope, payload, 0, 0)])


@pytest.mark.parametrize(("removed", "added"), list(zip(REMOVED, ADDED, strict=True)))
async def test_an_author_followed_again_between_two_reads_is_cached_again(
    world: World, removed: Payload, added: Payload
) -> None:
    world.graph.follows[READER] = set()
    await handle(world, removed)
    assert not world.cache.followees[READER].all
    world.graph.follows[READER] = {AUTHOR}
    await handle(world, added)
    world.graph.down = True
    assert (await world.readers.get(READER)).followees.pull == {AUTHOR}


@pytest.mark.parametrize("removed", REMOVED)
async def test_a_removal_writes_the_visibility_stamp_of_the_reader(world: World, removed: Payload) -> None:
    await handle(world, removed)
    assert world.stamps.visibility == {READER}


@pytest.mark.parametrize("removed", REMOVED)
async def test_a_late_unfollow_does_not_remove_an_author_followed_again(world: World, removed: Payload) -> None:
    await handle(world, removed)
    world.graph.down = True
    assert (await world.readers.get(READER)).followees.pull == {AUTHOR}


@pytest.mark.parametrize("added", ADDED)
async def test_a_late_follow_does_not_cache_an_unfollowed_author(world: World, added: Payload) -> None:
    world.graph.follows[READER] = set()
    await handle(world, REMOVED[0])
    await handle(world, added)
    assert not world.cache.followees[READER].all


@pytest.mark.parametrize("added", ADDED)
async def test_no_followees_are_cached_for_inactive_readers(world: World, added: Payload) -> None:
    world.cache.followees.clear()
    await handle(world, added)
    assert not world.cache.followees
