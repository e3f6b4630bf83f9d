"""The runtime of a deployable: clients, consumers, background tasks, readiness and draining."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import RENEW_AGAIN_S, RENEW_S, IdMinter, NodeLeaseStore
from libs.common.core.logging import get_logger
from libs.common.core.policies import SERVICE_READ, Policy
from libs.common.core.settings import Settings
from libs.common.kafka.consumer import ConsumerRunner, Handler, ReceivedEvent, kafka_member
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.web.auth import NoKeys, ServiceTokens, TokenVerifier
from libs.common.web.client import ServiceClient
from libs.common.web.paging import Cursors
from libs.telemetry.metrics import gauge

ReadyCheck = Callable[[], Awaitable[bool]]
READY_DEADLINE_S = 2.0
CHECK_S = 5.0  # from the end of all readiness checks to the next time, for metrics
LEAVE_S = 5.0  # after draining: background tasks leave their consumer groups and flush events
GATHER_MS = 250  # for counts and other work that nobody waits for
FLUSH_S = 1.0  # for the events of the last commits; the relay of another process publishes the rest
PUBLISHERS = ("outbox-direct", "outbox-relay")
CHECK_PASSED = gauge("feedmill_check_passed")
log = get_logger(__name__)
S_co = TypeVar("S_co", bound=Settings, covariant=True)


class Runtime(Generic[S_co]):
    """Opens clients, consumers and background tasks, and closes them in reverse order at the end.

    Args:
        name: the deployable's name.
        settings: its settings.
        stack: `compose` may open more resources on it.
        redis: a client with the policy for writes.
        urls: service name → URL.
        groups: declared consumer groups → topics; `consume` accepts no other group.
        migrations: names of those that the deployable's own store must have.
    """

    def __init__(
        self,
        name: str,
        settings: S_co,
        stack: AsyncExitStack,
        redis: "Redis",
        urls: Mapping[str, str] = {},
        groups: Mapping[str, tuple[str, ...]] = {},
        migrations: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.settings = settings
        self.stack = stack
        self.redis = redis
        self.tokens = ServiceTokens(settings.internal_secret.get_secret_value(), name)
        self.cursors = Cursors(settings.cursor_secret.get_secret_value())
        self.token_verifier = TokenVerifier(NoKeys())
        """Checks access tokens; `compose` may set another one."""
        self.ready_checks: dict[str, ReadyCheck] = {}
        self._urls = urls
        self._groups = dict(groups)
        self._migrations = migrations
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._outboxes: list[Outbox] = []
        self._clients: dict[tuple[str, Policy], ServiceClient] = {}
        self._producer: EventProducer | None = None

    def client(self, service: str, policy: Policy = SERVICE_READ) -> ServiceClient:
        """The client for calls to a service under this policy; the same object for the same arguments."""
        if (service, policy) not in self._clients:
            client = ServiceClient(service, self._urls[service], self.settings, self.tokens, policy)
            self.stack.push_async_callback(client.close)
            self._clients[service, policy] = client
        return self._clients[service, policy]

    async def producer(self) -> EventProducer:
        """The event producer, which is opened once per deployable."""
        if self._producer is None:
            self._producer = await self.stack.enter_async_context(EventProducer(self.settings, self.name))
        return self._producer

    async def consume(
        self,
        group: str,
        handler: Handler,
        on_dead_letter: Callable[[ReceivedEvent], Awaitable[None]] | None = None,
        *,
        runner: type[ConsumerRunner] = ConsumerRunner,
        serves_without: bool = False,
        gather_ms: int = 0,
    ) -> None:
        """Start to consume the topics that libs/deployables declares for the group.

        Args:
            group: a declared group; each can be consumed once.
            handler: see `Handler`.
            on_dead_letter: called after an event was moved to the dead letters.
            runner: `ConsumerRunner` handles partitions separately, `GatheringRunner` together. `UnorderedRunner`
                handles each event alone.
            serves_without: true if the deployable is ready even if Kafka was down when it started.
            gather_ms: how much later events may be handled, so that more of them are handled together.
        """
        consumer = runner(
            self.settings,
            group,
            self._groups.pop(group),
            handler,
            await self.producer(),
            on_dead_letter,
            partial(kafka_member, gather_ms=gather_ms),
        )
        self.ready_checks[group] = consumer.assigned_or_kafka_away if serves_without else consumer.assigned
        self.start(group, consumer.run())

    def check_complete(self) -> None:
        """Raise RuntimeError if a declared group is not consumed."""
        if self._groups:
            raise RuntimeError(f"declared, but not consumed: {', '.join(self._groups)}")

    def check_migrated(self, applied: Collection[str]) -> None:
        """Raise UnavailableError if a migration has not run. More may have: those of a newer release."""
        if missing := [name for name in self._migrations if name not in applied]:
            raise UnavailableError(f"The migration {missing[0]} has not run.")

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background until shutdown. If it ends early, the process is not live and stops itself."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(stop_on_end)
        self.stack.push_async_callback(cancel, task)

    def relay(self, outbox: Outbox) -> None:
        """Publish the events of the outbox. While an event waits for too long, writes are refused."""
        self._outboxes.append(outbox)
        direct, relay = PUBLISHERS
        self.start(direct, outbox.run_direct())
        self.start(relay, outbox.run_relay())

    def accepts_writes(self) -> bool:
        """False while events wait too long for Kafka (`outbox_wait_s`)."""
        return all(outbox.waited_s < self.settings.outbox_wait_s for outbox in self._outboxes)

    async def minter(self, leases: NodeLeaseStore) -> IdMinter:
        """An id minter whose lease is renewed in the background."""
        minter = IdMinter(leases)
        await minter.acquire()

        async def renew() -> None:
            wait_s = RENEW_S
            while True:
                await asyncio.sleep(wait_s)
                try:
                    await minter.renew()
                    wait_s = RENEW_S
                except Exception as error:  # mint() raises once the lease has expired
                    log.warning("id_lease_not_renewed", error=repr(error))
                    wait_s = RENEW_AGAIN_S

        self.start("id-lease", renew())
        return minter

    def live(self) -> bool:
        """True while all background tasks run."""
        return not any(task.done() for task in self._tasks.values())

    async def readiness(self) -> dict[str, bool]:
        """The results of all readiness checks, by name; errors and time-outs count as False."""

        async def ask(check: ReadyCheck) -> bool:
            try:
                async with asyncio.timeout(READY_DEADLINE_S):
                    return await check()
            except Exception as error:
                log.warning("readiness_check_failed", error=repr(error))
                return False

        answers = await asyncio.gather(*(ask(check) for check in self.ready_checks.values()))
        return dict(zip(self.ready_checks, answers, strict=True))

    async def export_checks(self) -> None:
        """Export the results of all readiness checks as metrics, until cancelled."""
        while True:
            for name, has_passed in (await self.readiness()).items():
                CHECK_PASSED.labels(name).set(has_passed)
            await asyncio.sleep(CHECK_S)

    async def drain(self, left_s: float) -> None:
        """Let all background tasks finish their current work, and cancel those that take longer than `left_s`.

        The tasks that publish events end last, because the other tasks may still commit events.
        """
        publishers = {task for name, task in self._tasks.items() if name in PUBLISHERS}
        await _finish(set(self._tasks.values()) - publishers, left_s - FLUSH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await asyncio.gather(*(outbox.flush() for outbox in self._outboxes))
        await _finish(publishers, FLUSH_S)


def stop_on_end(task: asyncio.Task[None]) -> None:
    """Stop the process: the task should have run until it is cancelled."""
    if not task.cancelled():
        log.error(
            "background_task_ended", task=task.get_name(), error=repr(task.exception()), exc_info=task.exception()
        )
        signal.raise_signal(signal.SIGTERM)


def stop_if_failed(task: asyncio.Task[None]) -> None:
    """Stop the process if the task has failed."""
    if not task.cancelled() and task.exception():
        stop_on_end(task)


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel the task, and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _finish(tasks: Collection[asyncio.Task[None]], left_s: float) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=left_s)
        for task in late:
            log.warning("background_task_cancelled", task=task.get_name())
            task.cancel()
