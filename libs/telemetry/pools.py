"""The use of pools, which is read when Prometheus asks. So a call through a pool costs nothing."""

from collections import defaultdict
from typing import Protocol
from weakref import WeakSet

from libs.telemetry.metrics import gauge

SIZE = gauge("feedmill_pool_size")
IN_USE = gauge("feedmill_pool_in_use")
WAITING = gauge("feedmill_pool_waiting")


class Pool(Protocol):
    """A limited number of slots. The properties must be cheap."""

    @property
    def size(self) -> int: ...

    @property
    def in_use(self) -> int: ...

    @property
    def waiting(self) -> int: ...


_pools: defaultdict[str, WeakSet[Pool]] = defaultdict(WeakSet)


def watch_pool(name: str, pool: Pool) -> None:
    """Export the use of the pool for as long as it exists. Pools of one name are added up."""
    pools = _pools[name]
    if not pools:
        SIZE.labels(name).set_function(lambda: sum(one.size for one in pools))
        IN_USE.labels(name).set_function(lambda: sum(one.in_use for one in pools))
        WAITING.labels(name).set_function(lambda: sum(one.waiting for one in pools))
    pools.add(pool)
