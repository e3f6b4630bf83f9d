"""Redis connections."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from libs.common.core.breaker import CircuitBreaker, Outcome
from libs.common.core.errors import UnavailableError
from libs.common.core.policies import REDIS_READ, REDIS_WRITE, Policy
from libs.common.core.settings import Settings
from libs.common.stores.hot_keys import SAMPLE
from libs.telemetry.calls import record_query, set_place
from libs.telemetry.pools import watch_pool

POOL_SIZE = 64
CLUSTER_POOL_SIZE = 512  # per node; beyond it the cluster client raises, while the other client waits
_NO_ANSWER = (RedisConnectionError, RedisTimeoutError, OSError)


@asynccontextmanager
async def open_redis(settings: Settings, policy: Policy = REDIS_WRITE, name: str = "redis") -> AsyncIterator["Redis"]:
    """Open a pooled client that answers in bytes, with a circuit breaker and a pool of this name.

    With `redis_cluster` it is the cluster client, which has the same methods. The keys of one call must be in one
    slot; the calls of a pipeline without transaction may use any slots.
    """
    url = settings.redis_url.get_secret_value()
    place = urlsplit(url)
    set_place("redis", place.path.strip("/") or "0", place.hostname or "", place.port or 6379)
    timeout_s = policy.timeout_s * settings.timeout_factor
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(_backoff(policy), policy.retries),
    }
    if settings.redis_cluster:
        cluster = cast(_Cluster, _Cluster.from_url(url, max_connections=CLUSTER_POOL_SIZE, **options))
        watch_pool(name, cluster)
        with contextlib.suppress(RedisError):  # the first call tries again
            await cluster.initialize()  # many concurrent first calls would close each other's connections
        try:
            yield cast("Redis", cluster)
        finally:
            await cluster.aclose()
        return

    async def probe() -> None:
        # A new connection, because callers may hold all of the pool. The breaker sets the time-out.
        async with Redis.from_url(url, retry=Retry(NoBackoff(), 0), single_connection_client=True) as own:
            await own.get("probe")

    breaker = CircuitBreaker(name, probe, settings.timeout_factor)
    options |= {
        "max_connections": POOL_SIZE,
        "timeout": timeout_s,
        "connection_class": _WatchedConnection,
        "breaker": breaker,
        "driver_info": None,  # Redis 7.0 answers to it with an error, in each new connection
    }
    pool = _Pool.from_url(url, **options)
    watch_pool(name, pool)
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await breaker.close()
        await client.aclose()
        await pool.aclose()


async def get_many(redis: "Redis", keys: Sequence[str]) -> list[bytes | None]:
    """The values of keys in any slots, with one command per node. Raises RedisError."""
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
            except (RedisError, RedisClusterException) as error:
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
    """Raises at once while the breaker is open, so that callers can continue without Redis."""

    @property
    def size(self) -> int:
        """How many connections may be open."""
        return int(self.max_connections)

    @property
    def in_use(self) -> int:
        """How many connections callers hold."""
        return len(self._in_use_connections)

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection."""
        condition: Any = self._condition
        return len(condition._waiters)

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        breaker: CircuitBreaker = self.connection_kwargs["breaker"]
        if not breaker.allows_calls():
            raise RedisConnectionError("Redis does not answer")
        try:
            return await super().get_connection(*args, **options)  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            if isinstance(error.__cause__, TimeoutError):  # the pool is exhausted, which says nothing about Redis
                raise MaxConnectionsError(str(error)) from error
            raise


def statement_of(command: Sequence[Any]) -> str:
    """Return the name of the command, with that of the function that it calls but not its version."""
    name = str(command[0])
    return f"FCALL {command[1].rpartition('_')[0]}" if name == "FCALL" else name


class _HiredisConnection(Connection):
    """Packs commands with hiredis, in a fifth of the time. A lost connection is always a RedisError.

    It measures each query, from packing its first command to the last answer. This is the only class that all clients
    and pipelines use, also those of a cluster.
    """

    _is_open = True
    _unanswered = 0  # commands of the query
    _statement = ""
    _started_s = 0.0

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        # The handshake is no query: some of its commands fail by design. The first query may be packed before it.
        query, self._unanswered, self._is_open = self._unanswered, 0, False
        try:
            await super().on_connect_check_health(check_health)
        finally:
            self._unanswered, self._is_open = query, True

    async def disconnect(self, *args: Any, **options: Any) -> None:
        self._unanswered = 0  # there will be no answer to what was sent
        await super().disconnect(*args, **options)

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except (RuntimeError, AttributeError) as error:  # from uvloop and redis-py, if it was reset before
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the connection was reset") from error

    def pack_command(self, *args: Any) -> list[bytes]:
        SAMPLE.command(args)
        unanswered, self._unanswered = self._unanswered, 0  # nothing is sent if one command can't be packed
        try:
            packed = [pack_command((*args[0].split(), *args[1:]))]
        except TypeError:  # hiredis rejects subclasses of str and bytes
            packed = super().pack_command(*args)
        if not self._is_open:
            return packed
        if unanswered:
            self._statement = "PIPELINE"
        else:
            self._statement, self._started_s = statement_of(args), time.perf_counter()
        self._unanswered = unanswered + 1
        return packed

    async def read_response(self, *args: Any, **options: Any) -> Any:
        left = self._unanswered - 1  # below 0 if the answer belongs to no query
        try:
            answer = await super().read_response(*args, **options)
        except BaseException as error:
            self._answered(left if isinstance(error, ResponseError) else min(left, 0), error)
            raise
        self._answered(left)
        return answer

    def _answered(self, left: int, error: BaseException | None = None) -> None:
        self._unanswered = max(left, 0)
        if left == 0:
            record_query("redis", self._statement, self._statement, time.perf_counter() - self._started_s, error)


class _WatchedConnection(_HiredisConnection):
    """Reports the outcome of each call to the circuit breaker."""

    def __init__(self, *, breaker: CircuitBreaker, **options: Any) -> None:
        super().__init__(**options)
        self._breaker = breaker

    async def _connect(self) -> None:
        # Success says nothing: the kernel accepts connections even for a process that hangs.
        with self._breaker.watch(_NO_ANSWER, REDIS_READ.timeout_s, success=Outcome.UNKNOWN):
            await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        with self._breaker.watch(_NO_ANSWER, REDIS_READ.timeout_s):
            return await super().read_response(*args, **options)


class _Cluster(RedisCluster):
    waiting = 0  # without a free connection it raises

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_kwargs["connection_class"] = _HiredisConnection
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = _HiredisConnection

    @property
    def size(self) -> int:
        """How many connections may be open, to all nodes together."""
        return sum(node.max_connections for node in self.get_nodes())

    @property
    def in_use(self) -> int:
        """How many connections callers hold."""
        return sum(len(node._connections) - len(node._free) for node in self.get_nodes())

    async def initialize(self, *args: Any, **kwargs: Any) -> "RedisCluster":
        """Connect to the cluster. Raises RedisConnectionError, which is retried, if it can't be reached."""
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """The slot of a command; for a function that of its first key, so that redis-py need not ask a node for it."""
        return self.keyslot(args[2]) if command == "FCALL" else await super()._determine_slot(command, *args)
