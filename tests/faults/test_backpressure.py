"""Fan-out too far behind: what it does not push is pulled, and stands in the lists when it has caught up."""

import sys

import pytest

from devstack.deployables import DEPLOYABLES
from devstack.environment import deployable_environ
from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from ops.oracle import open_oracle
from tests.conftest import operator_settings
from tests.e2e.world import feed_shows, follow, publish, stranger

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
FANOUT = next(one for one in DEPLOYABLES if one.name == "fanout")
LOW = {  # thresholds that a few posts exceed
    "FEEDMILL_BACKPRESSURE_LEVEL1": "1",
    "FEEDMILL_BACKPRESSURE_LEVEL2": "2",
    "FEEDMILL_BACKPRESSURE_LEVEL3": "3",
    "FEEDMILL_BACKPRESSURE_RESUME": "1",
}


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
        env = {**stack.environ(stack.provider().endpoints()), **LOW}
        command = [sys.executable, "-m", FANOUT.module]
        stack.table.spawn(FANOUT.name, command, deployable_environ(env, stack.state, FANOUT), stack.settings.root)

        async def taken_in() -> bool:
            """In the ledger as skipped, and by now in the list, since explaining reads the feed."""
            answers = [await api.call("GET", f"/feed/explain/{post_id}", reader) for post_id in skipped]
            return all(answer["delivery"] and answer["delivery"]["mode"] == "skipped" for answer in answers)

        await eventually(taken_in, 90.0)
        await feed_shows(api, reader, [*pushed, *skipped])
        async with open_oracle(operator_settings(stack, monkeypatch), grace_s=0, fresh=True) as oracle:
            for verdict in await oracle.check(int(reader.user_id)):
                assert (verdict.findings, verdict.complete) == ([], True)

        async def healed() -> bool:
            return await reasons(api, reader, skipped) == {"pushed"}

        await eventually(healed, 30.0)
        stack.table.stop(FANOUT.name)
        stack.up(only=[FANOUT.name])
        after = await publish(api, author)

        async def delivered() -> bool:
            return await reasons(api, reader, after) == {"pushed"}

        await eventually(delivered, 90.0)
