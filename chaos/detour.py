"""Proxies to the stores that can be slow, or cut connections."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from devstack.providers import StoreProvider
from devstack.stores import Endpoints
from libs.common.testing.proxy import FaultProxy, address_of


@asynccontextmanager
async def detour(stores: StoreProvider) -> AsyncIterator[tuple[Mapping[str, FaultProxy], Endpoints]]:
    """Start a proxy to each store, and yield endpoints that lead there. Kafka has none if it has no second address."""
    ways, given = {}, vars(stores.endpoints()).copy()
    async with AsyncExitStack() as opened:
        for store, url in vars(stores.endpoints()).items():
            address, proxy_port = address_of(url), 0
            if store == "kafka":
                second = stores.kafka_detour()
                if second is None:
                    continue
                address, proxy_port = second.address, second.proxy_port
            ways[store] = await opened.enter_async_context(FaultProxy(address, proxy_port))
            given[store] = url.replace(address_of(url), ways[store].address)
        yield ways, Endpoints(**given)
