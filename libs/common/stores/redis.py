"""Redis connections."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from libs.common.core.breaker import CircuitBreaker, Outcome
from libs.common.core.errors import UnavailableError
from libs.common.core.policies import REDIS_READ, REDIS_WRITE, Policy
from libs.common.core.settings import Settings

POOL_SIZE = 64
CLUSTER_POOL_SIZE = 512  # a node; the cluster client fails beyond it, where the other one waits
_LOST = (RedisConnectionError, RedisTimeoutError, OSError)


@asynccontextmanager
async def open_redis(settings: Settings, policy: Policy = REDIS_WRITE, name: str = "redis") -> AsyncIterator["Redis"]:
    """A pooled client that answers in bytes, and has a breaker of this name.

    With `redis_cluster` it is the cluster's client, which takes the same calls; keys of one call lie in one slot, those
    of a pipeline without transaction anywhere.
    """
    url = settings.redis_url.get_secret_value()
    timeout_s = policy.timeout_s * settings.timeout_factor
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(_backoff(policy), policy.retries),
    }
    if settings.redis_cluster:
        cluster = _Cluster.from_url(url, max_connections=CLUSTER_POOL_SIZE, **options)
        with contextlib.suppress(RedisError):  # it tries again with the first call
            await cluster.initialize()  # many first calls at once would drop one another's connections
        try:
            yield cast("Redis", cluster)
        finally:
            await cluster.aclose()
        return

    async def probe() -> None:
        """On a connection of its own; time-outs are the breaker's."""
        async with Redis.from_url(url, retry=Retry(NoBackoff(), 0), single_connection_client=True) as own:
            await own.get("probe")

    breaker = CircuitBreaker(name, probe, settings.timeout_factor)
    options |= {
        "max_connections": POOL_SIZE,
        "timeout": timeout_s,
        "connection_class": _RedisConnection,
        "breaker": breaker,
    }
    pool = _Pool.from_url(url, **options)
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await breaker.close()
        await client.aclose()
        await pool.aclose()


async def get_many(redis: "Redis", keys: Sequence[str]) -> list[bytes | None]:
    """The values of keys that may lie on any node: one command to each. Raises RedisError."""
    values: Any = await (redis.mget_nonatomic(keys) if isinstance(redis, RedisCluster) else redis.mget(keys))
    return list(values)


C = TypeVar("C", bound=type)


def translates_errors(adapter: C) -> C:
    """Class decorator: public coroutine methods raise UnavailableError in place of RedisError."""

    def translated(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        @wraps(method)
        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await method(*args, **kwargs)
            except RedisError as error:
                raise UnavailableError("Redis does not respond.") from error

        return call

    for name, method in list(vars(adapter).items()):
        if not name.startswith("_") and iscoroutinefunction(method):
            setattr(adapter, name, translated(method))
    return adapter


def _backoff(policy: Policy) -> ConstantBackoff | ExponentialBackoff:
    if policy.growth == 1:
        return ConstantBackoff(policy.backoff_s)
    return ExponentialBackoff(cap=policy.timeout_s, base=policy.backoff_s)


class _Pool(BlockingConnectionPool):
    """Hands out no connection while the breaker is open: whoever asks can do without Redis at once."""

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        breaker: CircuitBreaker = self.connection_kwargs["breaker"]
        if not breaker.allows_calls():
            raise RedisConnectionError("Redis does not answer")
        try:
            return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            if isinstance(error.__cause__, TimeoutError):  # none became free: says nothing about Redis
                raise MaxConnectionsError(str(error)) from error
            raise


class _Steady(Connection):
    """A connection that was lost is a RedisError here. Packs commands by hiredis: in a fifth of the time."""

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except (RuntimeError, AttributeError) as error:  # uvloop's word, and redis-py's, for one that was reset before
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the connection was reset") from error

    def pack_command(self, *args: Any) -> list[bytes]:
        try:
            return [pack_command((*args[0].split(), *args[1:]))]
        except TypeError:  # hiredis takes no subclasses of str and bytes
            return super().pack_command(*args)


class _RedisConnection(_Steady):
    """Tells the breaker what came of it."""

    def __init__(self, *, breaker: CircuitBreaker, **options: Any) -> None:
        super().__init__(**options)
        self._breaker = breaker

    async def _connect(self) -> None:
        """A connection alone says nothing: the kernel takes it for a process that hangs."""
        with self._breaker.watch(_LOST, REDIS_READ.timeout_s, success=Outcome.UNKNOWN):
            await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        with self._breaker.watch(_LOST, REDIS_READ.timeout_s):
            return await super().read_response(*args, **options)


class _Cluster(RedisCluster):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_kwargs["connection_class"] = _Steady
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = _Steady

    async def initialize(self, *args: Any, **kwargs: Any) -> "RedisCluster":
        """A cluster that can't be reached is a RedisError here too: it passes."""
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """That of a function's first key: redis-py would ask a node in each call, and one that is gone at last."""
        return self.keyslot(args[2]) if command == "FCALL" else await super()._determine_slot(command, *args)
