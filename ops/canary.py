"""The canary samples feeds of recent readers and counts of all users, a few at a time, without end.

It also counts the dead letters that wait, reads the progress of all consumer groups and finds hot keys of Redis.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import Field

from libs.common.core.logging import AccountHash, get_logger
from libs.common.core.settings import Settings
from libs.common.stores.hot_keys import WINDOW_S, HotKeys
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from ops import dead_letters, progress
from ops.counts import open_owners
from ops.hot_keys import HotKeyWatch
from ops.oracle import CHECKED, Oracle, open_oracle
from ops.reconcile import SETTLE_S, CountOwners, Drift, Reconciler

log = get_logger(__name__)


class CanarySettings(Settings):
    """Settings of the canary, besides those of every process."""

    canary_every_s: float = Field(default=30, gt=0, description="pause between two samples")
    canary_readers: int = Field(default=2, ge=1, description="readers in a sample")
    canary_users: int = Field(default=5, ge=1, description="users whose counts are reconciled at a time")
    canary_settle_s: float = Field(default=SETTLE_S, gt=0, description="between two looks at counts that differ")


class Canary:
    """Samples feeds without end. While a dependency is unavailable, it skips the sample and reports no fault."""

    def __init__(self, oracle: Oracle, readers: int) -> None:
        self._oracle = oracle
        self._readers = readers

    async def sample(self) -> None:
        """Check the feeds of some readers. It never raises."""
        try:
            for reader_id in await self._oracle.readers(self._readers):
                await self._check(reader_id)
        except Exception as error:
            CHECKED.labels("skipped").inc()
            log.warning("sample_skipped", error=repr(error))

    async def ready(self) -> bool:
        """Whether there is somebody to ask. Raises UnavailableError."""
        await self._oracle.readers(0)
        return True

    async def _check(self, reader_id: int) -> None:
        for verdict in await self._oracle.check(reader_id):
            for one in verdict.findings:
                log.error(
                    "feed_faulty",
                    reader_id=reader_id,
                    order=verdict.order,
                    fault=one.fault,
                    post_id=one.post_id,
                    cause=verdict.causes.get(one.post_id),
                )


class CountsCanary:
    """Reconciles one user after the other, without end. A user that it had to skip is checked in the next round."""

    def __init__(self, owners: CountOwners, reconciler: Reconciler, users: int) -> None:
        self._owners = owners
        self._reconciler = reconciler
        self._users = users
        self._after_id = 0

    async def sample(self) -> None:
        """Check the counts of the next users. It never raises."""
        try:
            user_ids = await self._owners.user_ids(self._after_id, self._users)
            self._after_id = user_ids[-1] if user_ids else 0
            drifts = await self._reconciler.check(user_ids)
            for one in drifts:
                log.error("count_wrong", **_logged(one))
            for one in await self._reconciler.mend(drifts):
                log.error("count_not_mended", **_logged(one))
        except Exception as error:
            log.warning("reconciliation_skipped", error=repr(error))


def _logged(one: Drift) -> dict[str, object]:
    """The keys of a log line. Ids of accounts are hashed there, those of posts are not."""
    which = {} if one.entity_id == one.user_id else {"post_id": one.entity_id}
    return {"place": one.place, "user_id": one.user_id, **which, "recorded": one.recorded, "found": one.found}


async def _again_and_again(pause_s: float, sample: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(pause_s)
        await sample()


async def compose(runtime: Runtime[CanarySettings]) -> None:
    """Start the samples, the reconciliation, and the watch on Kafka and Redis."""
    settings = runtime.settings
    canary = Canary(await runtime.stack.enter_async_context(open_oracle(settings)), settings.canary_readers)
    runtime.ready_checks["feed"] = canary.ready
    owners = await runtime.stack.enter_async_context(open_owners(settings))
    reconciler = Reconciler(owners, settings.canary_settle_s)
    counts = CountsCanary(owners, reconciler, settings.canary_users)
    runtime.start("reconciliation", _again_and_again(settings.canary_every_s, counts.sample))
    runtime.start("samples", _again_and_again(settings.canary_every_s, canary.sample))
    runtime.start("dead-letters", dead_letters.watch(settings))
    runtime.start("consumer-progress", progress.watch(settings))
    hot_keys = HotKeyWatch(
        HotKeys(runtime.redis, settings.namespace).find, AccountHash(settings.internal_secret.get_secret_value())
    )
    runtime.start("hot-key-list", _again_and_again(WINDOW_S, hot_keys.sample))


APPLICATION = Application(name="canary", settings=CanarySettings, compose=compose)

if __name__ == "__main__":
    APPLICATION.main()
