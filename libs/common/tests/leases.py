"""Lease stores for tests of minting."""

from enum import Enum, auto

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import NODE_BITS, SEQUENCE_BITS, NodeLeaseStore

NODES = 2  # fewer than there are minters, so that they meet


class Lost(Enum):
    """What the network loses."""

    NOTHING = auto()
    REQUEST = auto()
    ANSWER = auto()


class InMemoryLeases:
    def __init__(self) -> None:
        self.ends: dict[int, int] = {}

    async def until_ms(self, node: int) -> int | None:
        return self.ends.get(node)

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        if self.ends.get(node) != seen_until_ms:
            return False
        self.ends[node] = until_ms
        return True


class FewNodes:
    """A store with only `NODES` node numbers, those of `store` from `first` on."""

    def __init__(self, store: NodeLeaseStore, first: int = 0) -> None:
        self._store, self._first = store, first
        self.lost = Lost.NOTHING

    async def until_ms(self, node: int) -> int | None:
        return await self._store.until_ms(self._first + node % NODES)

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        if self.lost is Lost.REQUEST:
            raise UnavailableError("the request was lost")
        extended = await self._store.extend(self._first + node % NODES, seen_until_ms, until_ms)
        if self.lost is Lost.ANSWER:
            raise UnavailableError("the answer was lost")
        return extended

    @staticmethod
    def physical(minted: int) -> int:
        """The id as the node that its number stands for would have minted it."""
        node = minted >> SEQUENCE_BITS & (1 << NODE_BITS) - 1
        return minted - ((node - node % NODES) << SEQUENCE_BITS)
