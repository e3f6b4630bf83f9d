"""Fixtures with a real Redis, as a single node and as a cluster; and the spans that a test records."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.feedlists.tests.cluster import redis_cluster
from libs.telemetry import tracing


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Record each span of the test, unless its parent is not sampled."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("tests"))
    return exporter


@pytest.fixture(scope="session")
def cluster_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables of a Redis cluster for this test session."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server is installed: the stores of this run are no plain processes")
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield {"FEEDMILL_REDIS_URL": url, "FEEDMILL_REDIS_CLUSTER": "true"}


@pytest.fixture(params=["one", pytest.param("cluster", marks=pytest.mark.xdist_group("redis-cluster"))])
async def redis(request: pytest.FixtureRequest, store_env: dict[str, str]) -> AsyncIterator["Redis"]:
    """A client for a single node, then for the cluster: all code must work with both."""
    where = request.getfixturevalue("cluster_env") if request.param == "cluster" else {}
    async with open_redis(settings_for(Settings, {**store_env, **where})) as client:
        yield client


@pytest.fixture
async def prefix(redis: "Redis", store_env: dict[str, str]) -> AsyncIterator[str]:
    """A prefix of keys that are deleted after the test."""
    prefix = f"{store_env['FEEDMILL_NAMESPACE']}lists:"
    yield prefix
    async for key in redis.scan_iter(match=f"{prefix}*", count=1_000):
        await redis.delete(key)
