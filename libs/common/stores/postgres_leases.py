"""Leases of node numbers for ids, stored in PostgreSQL."""

from libs.common.stores.postgres import Postgres


class PostgresNodeLeases:
    """Implements `libs.common.core.ids.NodeLeaseStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def until_ms(self, node: int) -> int | None:
        row = await self._postgres.fetchrow("SELECT until_ms FROM id_nodes WHERE node = $1", node)
        return row["until_ms"] if row else None

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        sql = (
            "INSERT INTO id_nodes (node, until_ms) VALUES ($1, $2) ON CONFLICT (node)"
            " DO UPDATE SET until_ms = $2 WHERE id_nodes.until_ms = $3 RETURNING node"
        )
        return await self._postgres.fetchrow(sql, node, until_ms, seen_until_ms) is not None
