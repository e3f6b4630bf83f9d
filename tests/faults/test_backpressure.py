"""Fan-out too far behind: pages report it, posts are pulled, and the lists have them when it has caught up."""

import sys

import pytest

from devstack.environment import deployable_environ
from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from libs.deployables import DEPLOYABLES
from ops.client import Account, Api, Json
from ops.oracle import open_oracle
from tests.conftest import operator_settings
from tests.e2e.world import feed_shows, follow, publish, stranger

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
FANOUT = next(one for one in DEPLOYABLES if one.name == "fanout")
FAR = 1_000_000  # more than is ever posted here
NO_PARTITION = {
    "FEEDMILL_USER_URL": "http://127.0.0.1:9"
}  # nobody tells who follows, so that posts wait (RFC 863's port)


def respawn(stack: Stack, thresholds: tuple[int, int, int], **settings: str) -> None:
    """Restart the worker with other thresholds of lag."""
    stack.table.stop(FANOUT.name)
    names = ("LEVEL1", "LEVEL2", "LEVEL3", "RESUME")
    levels = {f"FEEDMILL_BACKPRESSURE_{n}": str(lag) for n, lag in zip(names, (*thresholds, 1), strict=True)}
    env = {**stack.environ(stack.provider().endpoints()), **levels, **settings}
    command = [sys.executable, "-m", FANOUT.module]
    stack.table.spawn(FANOUT.name, command, deployable_environ(env, stack.state, FANOUT), stack.settings.root)


async def reasons(api: Api, reader: Account, post_ids: list[str]) -> set[str]:
    return {(await api.call("GET", f"/feed/explain/{post_id}", reader))["reason"] for post_id in post_ids}


async def test_posts_that_are_not_pushed_are_pulled_and_healed(
    stack: Stack, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Api(base_url) as api:
        author, reader = await stranger(api), await stranger(api)
        await follow(api, reader, author)
        pushed = await publish(api, author)
        await feed_shows(api, reader, pushed)
        stack.table.stop(FANOUT.name)
        skipped = await publish(api, author, 8)
        respawn(stack, (1, 2, 3))

        async def taken_in() -> bool:
            """The delivery progress says skipped. The list has the post, because an explanation reads the feed."""
            answers = [await api.call("GET", f"/feed/explain/{post_id}", reader) for post_id in skipped]
            return all(answer["delivery"] and answer["delivery"]["mode"] == "skipped" for answer in answers)

        await eventually(taken_in, 90.0)
        await feed_shows(api, reader, [*pushed, *skipped])
        async with open_oracle(operator_settings(stack, monkeypatch), grace_s=0, fresh=True) as oracle:
            findings: list[object] = []

            async def complete() -> bool:
                """Once the level has fallen back; with these thresholds one event that waits lifts it."""
                verdicts = await oracle.check(int(reader.user_id))
                findings.extend(finding for verdict in verdicts for finding in verdict.findings)
                return all(verdict.complete for verdict in verdicts)

            await eventually(complete, 30.0)
            assert findings == []

        async def healed() -> bool:
            return await reasons(api, reader, skipped) == {"pushed"}

        await eventually(healed, 30.0)
        stack.table.stop(FANOUT.name)
        stack.up(only=[FANOUT.name])
        after = await publish(api, author)

        async def delivered() -> bool:
            return await reasons(api, reader, after) == {"pushed"}

        await eventually(delivered, 90.0)


async def test_readers_are_told_how_far_behind_fan_out_is(stack: Stack, base_url: str) -> None:
    """A page that was cached before says it, too."""
    async with Api(base_url) as api:
        author, reader = await stranger(api), await stranger(api)
        await follow(api, reader, author)

        async def told(delivery: str) -> Json | None:
            page = await api.call("GET", "/feed", reader)
            coverage: Json = page["coverage"]
            assert coverage["complete"] == (coverage["delivery"] == "normal")
            return page if coverage["delivery"] == delivery else None

        try:
            await eventually(lambda: told("normal"), 60.0)
            respawn(stack, (1, FAR, 2 * FAR), **NO_PARTITION)
            await publish(api, author, 3)
            await eventually(lambda: told("behind"), 60.0)
            respawn(stack, (1, 2, FAR), **NO_PARTITION)
            await eventually(lambda: told("active_only"), 60.0)
        finally:
            stack.table.stop(FANOUT.name)
            stack.up(only=[FANOUT.name])
        await eventually(lambda: told("normal"), 90.0)
