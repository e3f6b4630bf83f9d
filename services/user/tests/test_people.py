"""Profiles and the graph, over fakes."""

import pytest

from libs.common.core.errors import ForbiddenError, NotFoundError
from libs.common.testing.events import CollectedEvents
from libs.media.errors import MediaNotFoundError
from services.user.domain.people import Avatar, AvatarUpload, Mode, ProfileChange, next_mode
from services.user.errors import CannotFollowSelfError, MediaNotReadyError
from services.user.service.audiences import Audiences
from services.user.service.blocks_and_mutes import BlocksAndMutes
from services.user.service.graph import FollowGraph
from services.user.service.profiles import Profiles
from services.user.tests.fakes import (
    InMemoryAudienceStore,
    InMemoryGraphStore,
    InMemoryPeopleLists,
    InMemoryProfileMedia,
    InMemoryProfileStore,
    SteppingClock,
    World,
)

STAR = 1


class House:
    """Profiles and graph over fakes."""

    def __init__(self, people: int = 30, threshold: int = 20) -> None:
        self.world, self.events, self.media, self.clock = (
            World(),
            CollectedEvents(),
            InMemoryProfileMedia(),
            SteppingClock(),
        )
        for user_id in range(1, people + 1):
            self.world.person(user_id)
        self.profiles = Profiles(InMemoryProfileStore(self.world), self.media, self.events, self.clock)
        self.changed_modes = 0
        self.audiences = Audiences(InMemoryAudienceStore(self.world), threshold, self._mode_changed, self.clock)
        parts = (self.profiles, self.audiences, self.events, self.clock)
        store, lists = InMemoryGraphStore(self.world), InMemoryPeopleLists(self.world)
        self.graph, self.barriers = FollowGraph(store, lists, *parts), BlocksAndMutes(store, lists, *parts)

    async def _mode_changed(self) -> None:
        self.changed_modes += 1

    async def mode(self) -> Mode:
        return (await self.audiences.audiences([STAR], 0))[STAR].mode


@pytest.mark.parametrize(
    ("mode", "followers", "expected"),
    [
        ("push", 99, "push"),
        ("push", 100, "pull"),
        ("pull", 100, "pull"),
        ("pull", 90, "pull"),
        ("pull", 89, "push"),
        ("push", 95, "push"),
    ],
)
def test_hysteresis(mode: Mode, followers: int, expected: Mode) -> None:
    assert next_mode(mode, followers, 100) == expected


async def test_following_twice_changes_and_tells_once() -> None:
    house = House()
    for _ in range(2):
        await house.graph.follow(2, STAR)
    assert (await house.profiles.get(STAR, None)).follower_count == 1
    for _ in range(2):
        await house.graph.unfollow(2, STAR)
    assert (await house.profiles.get(STAR, None)).follower_count == 0
    assert house.events.types() == ["follow.created", "follow.deleted"]


async def test_a_removed_follower_follows_no_more() -> None:
    house = House()
    await house.graph.follow(2, STAR)
    await house.graph.remove_follower(STAR, 2)
    assert house.world.follows == set()


async def test_whom_one_cannot_follow() -> None:
    house = House()
    with pytest.raises(CannotFollowSelfError):
        await house.graph.follow(STAR, STAR)
    for act in (house.graph.follow, house.graph.remove_follower):
        with pytest.raises(NotFoundError):
            await act(STAR, 999)


async def test_an_author_crosses_the_threshold_and_returns_below_it() -> None:
    house = House()
    for fan in range(2, 22):
        await house.graph.follow(fan, STAR)
    assert await house.mode() == "pull"
    await house.graph.unfollow(2, STAR)
    await house.graph.unfollow(3, STAR)
    assert await house.mode() == "pull"
    await house.graph.unfollow(4, STAR)
    assert await house.mode() == "push"
    assert house.changed_modes == 2


async def test_who_left_pull_mode_is_pulled_for_a_week_yet() -> None:
    house = House(threshold=1)
    await house.graph.follow(2, STAR)
    assert (await house.audiences.followees(2)).pull == [STAR]
    house.world.modes[STAR] = ("push", 2)
    house.world.left_pull[STAR] = house.clock.now
    house.clock.step(days=6)
    assert (await house.audiences.followees(2)).pull == [STAR]
    house.clock.step(days=2)
    assert (await house.audiences.followees(2)).pull == []
    assert (await house.audiences.followees(2)).ids == [STAR]


async def test_follower_pages_hold_each_once() -> None:
    house = House()
    for fan in range(2, 9):
        await house.graph.follow(fan, STAR)
    seen, below, pages = [], None, 0
    while pages == 0 or below is not None:
        page = await house.graph.followers(STAR, 2, below, 3)
        seen += [profile.user_id for profile in page.items]
        below, pages = page.last, pages + 1
    assert seen == [8, 7, 6, 5, 4, 3, 2]
    assert pages == 3


async def test_relationship_is_seen_from_the_reader() -> None:
    house = House()
    await house.graph.follow(2, STAR)
    seen = (await house.profiles.get(STAR, 2)).relationship
    assert seen is not None
    assert (seen.following, seen.followed_by) == (True, False)
    assert (await house.profiles.get(STAR, STAR)).relationship is None
    assert (await house.profiles.get(STAR, None)).relationship is None


async def test_mutuals_are_followers_whom_the_reader_follows() -> None:
    house = House()
    await house.graph.follow(3, STAR)
    await house.graph.follow(4, STAR)
    await house.graph.follow(2, 3)
    assert [p.user_id for p in (await house.graph.mutuals(STAR, 2, None, 10)).items] == [3]


async def test_one_changes_only_oneself() -> None:
    house = House()
    with pytest.raises(ForbiddenError):
        await house.profiles.update(2, STAR, ProfileChange(bio="mine"), None)
    with pytest.raises(NotFoundError):
        await house.profiles.update(2, 999, ProfileChange(bio="mine"), None)
    assert (await house.profiles.update(2, 2, ProfileChange(bio="hello"), None)).bio == "hello"
    await house.profiles.update(2, 2, ProfileChange(), None)
    assert house.events.types() == ["user.updated"]


async def test_an_avatar_is_ready_and_ones_own() -> None:
    house = House()
    house.media.media = {
        7: AvatarUpload(2, Avatar(7, "a/2/7/thumb")),
        8: AvatarUpload(2, None),
        9: AvatarUpload(3, None),
    }
    wish = ProfileChange(sets_avatar=True)
    assert (await house.profiles.update(2, 2, wish, 7)).avatar_path == "a/2/7/thumb"
    with pytest.raises(MediaNotReadyError):
        await house.profiles.update(2, 2, wish, 8)
    for absent in (9, 10):
        with pytest.raises(MediaNotFoundError):
            await house.profiles.update(2, 2, wish, absent)
    assert (await house.profiles.update(2, 2, wish, None)).avatar_path is None


async def test_search_goes_by_prefix_and_pages() -> None:
    house = House(people=12)
    first = await house.profiles.search("USER1", None, None, 2)
    rest = await house.profiles.search("user1", None, first.last, 10)
    assert [p.username for p in first.items + rest.items] == ["user1", "user10", "user11", "user12"]
    assert rest.last is None
    assert (await house.profiles.search("@user1", None, None, 2)).items == first.items
    for nobody in ("us%r", "@", "@@user1"):
        assert (await house.profiles.search(nobody, None, None, 2)).items == []
