"""Ports that ask the user service: each fake, and the client over the service's own routes and fakes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from libs.clients.user import UserClient
from services.feed.clients import HttpFollowGraph
from services.feed.domain.feed import Followees, Relation
from services.feed.ports import Graph
from services.feed.tests import world as feed
from services.interaction.ports import VisiblePeople
from services.interaction.tests.fakes import InMemoryPeople
from services.post.ports import UserProfiles
from services.post.tests.fakes import AUTHOR as ANN
from services.post.tests.fakes import OTHER as BOB
from services.post.tests.fakes import InMemoryAuthors
from services.user import internal
from services.user.domain.people import Edge
from services.user.tests.test_people import House
from tests.conformance.owners import client_of
from workers.fanout.ports import FollowerGraph
from workers.fanout.tests.world import AUTHOR, InMemoryGraph

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
READER = 1


def users(house: House) -> UserClient:
    return UserClient(client_of(internal.router, SimpleNamespace(profiles=house.profiles, audiences=house.audiences)))


def follow(house: House, follower_id: int, author_id: int) -> None:
    edge = Edge(follower_id, author_id)
    house.world.follows.add(edge)
    house.world.pull_until[edge] = LONG_AGO


Source = Callable[[Sequence[int], bool], FollowerGraph]


def fake_source(followers: Sequence[int], is_push: bool) -> FollowerGraph:
    return InMemoryGraph(followers, is_push=is_push)


def http_source(followers: Sequence[int], is_push: bool) -> FollowerGraph:
    house = House(people=AUTHOR)
    for follower_id in followers:
        follow(house, follower_id, AUTHOR)
    house.world.modes[AUTHOR] = ("push" if is_push else "pull", 1)
    return users(house)


@pytest.mark.parametrize("source", [fake_source, http_source])
class TestFollowerGraph:
    async def test_followers_of_small_push_authors_come_along(self, source: Source) -> None:
        one = (await source([3, 5, 9], True).audiences([AUTHOR, 99], 3))[AUTHOR]
        assert (one.follower_count, one.is_push, one.followers) == (3, True, [3, 5, 9])
        for other in (source([3, 5, 9], True), source([3], False)):
            found = await other.audiences([AUTHOR, 99], 2)
            assert {author_id: one.followers for author_id, one in found.items()} == {AUTHOR: None}

    async def test_ranges_adjoin_and_hold_everybody(self, source: Source) -> None:
        made = source([3, 5, 9, 12, 20], True)
        ranges = await made.follower_ranges(AUTHOR, 2)
        assert ranges == [(0, 5), (5, 12), (12, 20)]
        pages = [[page async for page in made.followers(AUTHOR, within)] for within in ranges]
        assert [[i for page in found for i in page] for found in pages] == [[3, 5], [9, 12], [20]]
        assert [page async for page in made.followers(AUTHOR, (20, 30))] == []


def fake_graph() -> Graph:
    graph = feed.InMemoryGraph()
    graph.follows[READER], graph.pull = {2, 3}, {3}
    return graph


def http_graph() -> Graph:
    house = House(people=4)
    follow(house, READER, 2)
    follow(house, READER, 3)
    house.world.modes[3] = ("pull", 1)
    return HttpFollowGraph(users(house))


@pytest.mark.parametrize("make", [fake_graph, http_graph])
class TestFollowGraph:
    async def test_followees_and_relations(self, make: Callable[[], Graph]) -> None:
        graph = make()
        assert await graph.followees(READER) == Followees(frozenset({2, 3}), frozenset({3}))
        assert await graph.followees(4) == Followees(frozenset(), frozenset())
        assert await graph.relation(READER, 2) == Relation(hidden=False, following=True, muted=False)
        assert await graph.relation(READER, 4) == Relation(hidden=False, following=False, muted=False)
        assert {i: one.user_id for i, one in (await graph.authors([2, 3])).items()} == {2: 2, 3: 3}
        assert await graph.authors([]) == {}


async def test_who_is_hidden_from_a_reader() -> None:
    house = House(people=6)
    house.world.blocks += [Edge(READER, 2), Edge(3, READER)]
    house.world.banned.add(4)
    house.world.profiles |= {i: replace(house.world.profiles[i], is_private=True) for i in (5, 6)}
    follow(house, READER, 6)
    graph = HttpFollowGraph(users(house))
    assert [i for i in range(2, 8) if (await graph.relation(READER, i)).hidden] == [2, 3, 4, 5, 7]


class FakePeople:
    def __init__(self) -> None:
        self.people: VisiblePeople = (people := InMemoryPeople())
        self.authors: UserProfiles = (authors := InMemoryAuthors())
        people.blocked_pairs.add(frozenset((READER, BOB)))
        authors.hidden |= {(READER, BOB), (None, BOB)}


class HttpPeople:
    """The second author blocks the reader, and has a private account."""

    def __init__(self) -> None:
        house = House(people=BOB)
        house.world.blocks.append(Edge(BOB, READER))
        house.world.profiles[BOB] = replace(house.world.profiles[BOB], is_private=True)
        self.people: VisiblePeople = (client := users(house))
        self.authors: UserProfiles = client


@pytest.mark.parametrize("side", [FakePeople, HttpPeople])
class TestProfiles:
    async def test_people_parted_by_a_block_are_left_out(self, side: type[FakePeople | HttpPeople]) -> None:
        assert list(await side().people.people(READER, [ANN, BOB])) == [ANN]
        assert await side().people.people(READER, []) == {}

    async def test_authors_whose_posts_are_hidden_are_left_out(self, side: type[FakePeople | HttpPeople]) -> None:
        for reader_id in (READER, None):
            found = await side().authors.post_authors(reader_id, [ANN, BOB, 99])
            assert {user_id: author.user_id for user_id, author in found.items()} == {ANN: ANN}
