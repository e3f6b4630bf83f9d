"""How events change the lists, followees and stamps that Redis has for a reader."""

import pytest

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.base import Event, Payload
from libs.contracts.events import FollowCreated, FollowDeleted, MuteCreated, MuteDeleted
from services.feed.consumers import FeedConsumers
from services.feed.tests.world import World

READER, AUTHOR = 1, 2
LEFT = (FollowDeleted(follower_id=READER, followee_id=AUTHOR), MuteCreated(muter_id=READER, muted_id=AUTHOR))
CAME = (FollowCreated(follower_id=READER, followee_id=AUTHOR), MuteDeleted(muter_id=READER, muted_id=AUTHOR))


@pytest.fixture
async def world() -> World:
    """The author is pulled: that they come and go changes nothing else of the reader's followees."""
    world = World()
    world.graph.follows[READER], world.graph.pull = {AUTHOR}, {AUTHOR}
    await world.readers.get(READER)
    return world


async def handle(world: World, payload: Payload) -> None:
    consumers = FeedConsumers(world.readers, world.window, world.posts, world.lists, world.cache, world.stamps)
    envelope = Event(payload=payload, entity="1", entity_version=1).envelope("tests", None)
    for _ in range(2):
        await consumers.on_events([ReceivedEvent(envelope, payload, 0, 0)])


@pytest.mark.parametrize(("left", "came"), list(zip(LEFT, CAME, strict=True)))
async def test_an_author_who_comes_back_between_two_reads_is_kept_again(
    world: World, left: Payload, came: Payload
) -> None:
    world.graph.follows[READER] = set()
    await handle(world, left)
    assert not world.cache.followees[READER].all
    world.graph.follows[READER] = {AUTHOR}
    await handle(world, came)
    world.graph.down = True
    assert (await world.readers.get(READER)).followees.pull == {AUTHOR}


@pytest.mark.parametrize("left", LEFT)
async def test_marks_of_who_parted_are_made_up_for(world: World, left: Payload) -> None:
    await handle(world, left)
    assert world.stamps.visibility == {READER}


@pytest.mark.parametrize("left", LEFT)
async def test_a_late_event_does_not_forget_who_is_followed_again(world: World, left: Payload) -> None:
    await handle(world, left)
    world.graph.down = True
    assert (await world.readers.get(READER)).followees.pull == {AUTHOR}


@pytest.mark.parametrize("came", CAME)
async def test_who_is_not_followed_after_all_is_not_kept(world: World, came: Payload) -> None:
    world.graph.follows[READER] = set()
    await handle(world, LEFT[0])
    await handle(world, came)
    assert not world.cache.followees[READER].all


@pytest.mark.parametrize("came", CAME)
async def test_nothing_is_kept_for_who_does_not_read(world: World, came: Payload) -> None:
    world.cache.followees.clear()
    await handle(world, came)
    assert not world.cache.followees
