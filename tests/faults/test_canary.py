"""The canary beside the running system: it checks feeds, and outlives what it asks."""

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from ops.client import Api
from tests.e2e.world import feed, follow, publish, stranger

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


async def test_it_checks_feeds_and_outlives_the_feed_service(stack: Stack, base_url: str) -> None:
    canary_url = f"http://127.0.0.1:{stack.state.port('canary')}"

    async with Api(base_url) as api, httpx2.AsyncClient(base_url=canary_url) as canary:

        async def checked(outcome: str) -> float:
            text = (await canary.get("/metrics")).text
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
            wanted = ("feedmill_oracle_feeds_total", {"outcome": outcome})
            return sum(sample.value for sample in samples if (sample.name, sample.labels) == wanted)

        async def rises(outcome: str) -> None:
            before = await checked(outcome)

            async def risen() -> bool:
                return await checked(outcome) > before

            await eventually(risen, 60.0)

        author, reader = await stranger(api), await stranger(api)
        await follow(api, reader, author)
        await publish(api, author, 3)
        await feed(api, reader)
        await rises("clean")

        stack.table.stop("feed")
        try:
            await rises("skipped")
            assert (await canary.get("/health/live")).status_code == 200
            assert (await canary.get("/health/ready")).status_code == 503
        finally:
            stack.up(only=["feed"])
        await feed(api, reader)
        await rises("clean")
        assert (await canary.get("/health/ready")).status_code == 200

        stack.table.stop("canary")
        assert '"event":"stopping"' in stack.table.log_path("canary").read_text().replace(" ", "")
        stack.up(only=["canary"])
