"""Leases of node numbers for ids, stored in Cassandra."""

from libs.common.stores.cassandra import CassandraStore


class CassandraNodeLeases(CassandraStore):
    """Implements `libs.common.core.ids.NodeLeaseStore`."""

    cql = {
        "read": "SELECT until_ms FROM id_nodes WHERE node = ?",
        "create": "INSERT INTO id_nodes (node, until_ms) VALUES (?, ?) IF NOT EXISTS",
        "extend": "UPDATE id_nodes SET until_ms = ? WHERE node = ? IF until_ms = ?",
    }

    async def until_ms(self, node: int) -> int | None:
        row = await self._row("read", node)
        return row.until_ms if row else None

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        if seen_until_ms is None:
            return await self._applied("create", node, until_ms)
        return await self._applied("extend", until_ms, node, seen_until_ms)
