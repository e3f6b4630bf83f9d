"""What users get while a dependency is unavailable (the table in docs/guarantees.md), and that it recovers alone.

Ranking, the feature store and recommendations have no row yet: there are none.
"""

import secrets

import pytest

from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import Fault
from ops.client import Json
from tests.e2e.world import snapshot, stranger
from tests.faults.system import Blow, System, problem_of, shown

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
AWAY_S = 40.0  # until breakers are open and everybody knows
ANY = [Blow.KILL, Blow.PAUSE, Fault.LATENCY, Fault.RESET]


async def reads(system: System, quality: str, cache: str, order: str = "chronological") -> None:
    """Check the headers and the coverage of the feed, and that all posts are in it."""

    async def read() -> bool:
        answer = await system.feed(order)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["x-feed-quality"], answer.headers["x-cache-status"]) == (quality, cache)
        coverage = answer.json()["coverage"]
        if quality == "degraded":
            assert not coverage["complete"]
            assert "source_down" in [gap["reason"] for gap in coverage["gaps"]]
        assert set(shown(answer)) <= set(system.world.posts)
        assert len(shown(answer)) == len(set(shown(answer)))
        return bool(shown(answer))

    await eventually(read, AWAY_S)


@pytest.mark.parametrize("how", [*ANY, Fault.BLACK_HOLE, Fault.REFUSED])
async def test_without_redis_feeds_come_from_the_records(system: System, how: Blow | Fault) -> None:
    async with system.without("redis", how):
        for order in ("chronological", "ranked"):
            await reads(system, "degraded", "miss", order)
        assert (await system.publish()).status_code == 201
        answer = await system.feed()
        assert shown(answer) == system.newest(answer)


@pytest.mark.parametrize("how", ANY)
async def test_without_cassandra_known_posts_are_shown_and_nothing_is_half_written(
    system: System, how: Blow | Fault
) -> None:
    await system.feed()
    key = secrets.token_hex(8)
    async with system.without("cassandra", how):
        await reads(system, "degraded", "stale")
        problem_of(await system.publish(key))
    first = await eventually(lambda: published(system, key), AWAY_S) or {}
    assert first["post_id"] == (await system.publish(key)).json()["post_id"]


@pytest.mark.parametrize("how", [Blow.KILL, Blow.PAUSE, Fault.RESET])
async def test_without_postgres_caches_are_read_and_writes_refused(system: System, how: Blow | Fault) -> None:
    idle, other = [await stranger(system.api) for _ in range(2)]
    await system.feed()
    profile = await system.api.call("GET", f"/users/{other.user_id}", idle)
    await system.publish()
    await system.api.call("GET", f"/users/{system.world.author.user_id}", idle)
    await system.comment()
    async with system.without("postgres", how):
        await reads(system, "degraded", "stale")
        assert await system.api.call("GET", f"/users/{other.user_id}", idle) == profile
        problem_of(await system.api.send("GET", f"/users/{system.world.author.user_id}", idle))  # did something
        problem_of(await system.mute())


async def test_a_slow_postgres_is_waited_for(system: System) -> None:
    async with system.without("postgres", Fault.LATENCY):
        await reads(system, "normal", "miss")
        assert (await system.mute()).status_code == 204


@pytest.mark.parametrize("store", ["redis", "cassandra", "postgres"])
async def test_connections_that_lost_their_server_are_given_up(system: System, store: str) -> None:
    async with system.without(store, Fault.HALF_OPEN):
        await system.is_whole()


@pytest.mark.parametrize("how", list(Blow))
async def test_without_the_user_service_followees_are_as_last_known(system: System, how: Blow) -> None:
    await system.feed()
    await system.comment()
    async with system.without("user", how):
        await reads(system, "degraded", "stale")
        if how is Blow.KILL:  # nginx gives a paused one up after 15 s
            problem_of(await system.mute())
        assert (await system.publish()).status_code in (201, 202)


@pytest.mark.parametrize("how", list(Blow))
async def test_without_the_post_service_known_posts_are_shown(system: System, how: Blow) -> None:
    await system.feed()
    async with system.without("post", how):
        for order in ("chronological", "ranked"):
            await reads(system, "degraded", "stale", order)
        if how is Blow.KILL:  # nginx gives a paused one up after 15 s
            problem_of(await system.publish())


@pytest.mark.parametrize("how", list(Blow))
async def test_without_the_interaction_service_counts_are_as_posts_know_them(system: System, how: Blow) -> None:
    async with system.without("interaction", how):
        await reads(system, "degraded", "miss")
        if how is Blow.KILL:  # nginx gives a paused one up after 15 s
            problem_of(await system.api.send("POST", f"/posts/{system.world.posts[0]}/like", system.world.reader))


@pytest.mark.parametrize("how", list(Blow))
async def test_without_the_media_service_pictures_that_are_there_are_posted_and_shown(
    system: System, how: Blow
) -> None:
    async with system.without("media", how):
        assert (await system.publish()).status_code == 201
        await reads(system, "normal", "miss")
        if how is Blow.KILL:  # nginx gives a paused one up after 15 s
            wanted = {"content_type": "image/jpeg", "file_size": len(snapshot())}
            problem_of(await system.api.send("POST", "/media/upload-url", system.world.author, json=wanted))


async def test_without_the_object_store_media_wait_and_the_feed_works(system: System) -> None:
    api, world = system.api, system.world
    folder = system.stack.state.directory / "data" / "objects"
    wanted = {"content_type": "image/jpeg", "file_size": len(snapshot())}
    place = await api.call("POST", "/media/upload-url", world.author, json=wanted)
    urls = (await api.call("GET", f"/media/{world.media_id}", world.author))["urls"]
    folder.rename(folder.with_name("away"))
    try:
        put = await api.http.request("PUT", place["upload_url"], content=snapshot(), headers=place["headers"])
        problem_of(put)
        problem_of(await api.http.get(urls["large"]))
        await reads(system, "normal", "miss")
        assert not folder.exists()
    finally:
        folder.with_name("away").rename(folder)
    put = await api.http.request("PUT", place["upload_url"], content=snapshot(), headers=place["headers"])
    assert put.status_code == 204
    assert (await api.http.get(urls["large"])).status_code == 200
    await system.is_whole()


async def published(system: System, key: str) -> Json | None:
    answer = await system.publish(key)
    body: Json = answer.json()
    return body if answer.status_code == 201 else None
