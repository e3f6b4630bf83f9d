"""The hot keys of Redis as a metric."""

import re
from collections.abc import Awaitable, Callable

from libs.common.core.logging import AccountHash, get_logger
from libs.telemetry.metrics import gauge

OPERATIONS = gauge("feedmill_hot_key_operations")
_PERSONAL = re.compile(r"\d{10,}|(?<=\{ip:)[^}]+")  # ids of accounts and posts, addresses of clients
log = get_logger(__name__)


class HotKeyWatch:
    """Shows the listed keys, each with its operations per second, and with hashes in place of ids and addresses.

    Args:
        find: see `HotKeys.find`.
        hashed: of the logs, so that an operator finds the key of an account.
    """

    def __init__(self, find: Callable[[], Awaitable[dict[str, float]]], hashed: AccountHash) -> None:
        self._find = find
        self._hashed = hashed
        self._shown: set[str] = set()

    async def sample(self) -> None:
        """Update the metric. While Redis does not answer, the last values stay; never raises."""
        try:
            keys = await self._find()
        except Exception as error:
            log.warning("hot_keys_not_read", error=repr(error))
            return
        found = {_PERSONAL.sub(lambda part: self._hashed(part[0]), key): per_s for key, per_s in keys.items()}
        for key in self._shown - found.keys():
            OPERATIONS.remove(key)
        for key, per_s in found.items():
            if key not in self._shown:
                log.warning("key_is_hot", key=key, per_s=per_s)
            OPERATIONS.labels(key).set(per_s)
        self._shown = set(found)
