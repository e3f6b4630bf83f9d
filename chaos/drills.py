"""Fires the paging alerts by real faults, and waits until they are inactive again."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from aiohttp import web
from aiokafka import AIOKafkaProducer

from chaos.faults import Act
from chaos.load import SIGNED_IN_S, Load, Person, gather_people, sign_in_again
from deploy.observability.answers import ASK_TIMEOUT_S, Prometheus
from devstack.names import GATEWAY
from devstack.observability import PROMETHEUS, Observability
from devstack.stack import Stack
from libs.common.core.console import columns, say
from libs.common.core.settings import Settings
from libs.common.stores.postgres import open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event
from libs.contracts.events import PostDeleted
from libs.contracts.records import encode
from libs.invalidation import Invalidation, InvalidationStamps
from ops.client import Api

PEOPLE = 6  # each has fewer followers than the push threshold of `make up`, so that their posts are pushed
INACTIVE_S = 360.0  # an alert is inactive within 6 minutes of the repair
POLL_S = 0.5
MESSAGES = 1_050_000  # the alert is for more than a million
SMALL_DISK = "64m"
WATCHED = ("page", "ticket")
FACTOR = 10.0
CLEAN_MINUTES = 20.0
REAL_WINDOWS, CLEAN_LOAD = "real windows", "clean load"
REAL = ("the gateway is frozen", "redis is frozen")  # drills that are run with real windows as well


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault and the pages that it must fire.

    Args:
        name: what is done.
        pages: names of alerts; a name and a store, separated by a space.
        begin: returns when the fault is in place.
        end: repairs it.
        least_s: the fault lasts at least this long, in seconds at real windows.
    """

    name: str
    pages: tuple[str, ...]
    begin: Act
    end: Act
    least_s: float = 0.0


@dataclass(slots=True)
class Row:
    """The result for one page: seconds from the fault until it fired and was sent, and from the repair to inactive."""

    fault: str
    page: str
    fired_s: float | None = None
    sent_s: float | None = None
    inactive_s: float | None = None

    @property
    def is_clean(self) -> bool:
        """True if it fired, and not before the fault, and became inactive in time."""
        return bool(self.fired_s) and self.inactive_s is not None and self.inactive_s <= INACTIVE_S


@dataclass(slots=True)
class Pager:
    """Receives the notifications of Alertmanager, as a service for pages would."""

    url: str = ""
    sent: dict[str, float] = field(default_factory=dict)
    """Page → when its first notification of firing came, monotonic."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Pager"]:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/", self._receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            if alert["status"] == "firing":
                self.sent.setdefault(_name(alert["labels"]), time.monotonic())
        return web.Response()


def _name(labels: Mapping[str, str]) -> str:
    """The alert's name; a store stands behind it, because each store has a drill of its own."""
    return " ".join(filter(None, (labels["alertname"], labels.get("store"))))


class Range:
    """Where drills run: the system, its alerting, and people who use it."""

    factor = 1.0

    def __init__(self, stack: Stack, settings: Settings, pager: Pager) -> None:
        self._stack, self._settings, self._pager = stack, settings, pager
        self.observability: Observability = stack.observability
        self.http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.observability.port(PROMETHEUS)}", timeout=ASK_TIMEOUT_S
        )
        self._prometheus = Prometheus(self.http)

    def forget(self) -> None:
        """Let Prometheus forget earlier faults, because windows that still contain them would fire."""
        self._stack.table.stop(PROMETHEUS)
        shutil.rmtree(self._stack.state.directory / "data" / PROMETHEUS)
        self.observability.start()

    def use_factor(self, factor: float) -> None:
        """Let Prometheus and Alertmanager work with windows that are `factor` times shorter, and send pages here."""
        self.factor = factor
        self.observability.render(factor, {"FEEDMILL_PAGER_URL": self._pager.url})
        self.observability.follow()

    async def targets(self) -> float:
        """The number of processes that Prometheus scrapes."""
        return sum(value for _, value in await self._prometheus.now("count(up)", time.time()))

    async def _firing(self, severities: Sequence[str] = ("page",)) -> set[str]:
        firing = await self._prometheus.firing()
        return {_name(labels) for labels in firing if labels.get("severity") in severities}

    async def run(self, drills: Sequence[Drill]) -> list[Row]:
        """Run the drills under load, one after the other."""
        rows = []
        if not drills:
            return []
        async with Api(self._settings.public_url) as api:
            people = await gather_people(api, PEOPLE, PEOPLE - 1)
            for drill in drills:
                people = await sign_in_again(api, people)
                rows += (found := await self._drill(drill, people))
                say(f"{drill.name}: {'clean' if all(row.is_clean for row in found) else 'NOT CLEAN'}")
                print(table(found), flush=True)
        return rows

    async def _drill(self, drill: Drill, people: Sequence[Person]) -> list[Row]:
        await self._quiet(drill)
        rows = {page: Row(drill.name, page) for page in drill.pages}
        async with Load(self._settings.public_url, people).going_on():
            say(drill.name)
            await asyncio.sleep(60 / self.factor)  # so that ratios have a denominator
            self._pager.sent.clear()
            for page in await self._firing() & rows.keys():
                rows[page].fired_s = 0.0
            begun = time.monotonic()
            try:
                await drill.begin()
                await self._until_fired(drill, rows, begun)
            finally:
                await drill.end()
            repaired = time.monotonic()
            say("  repaired")
            await self._until_inactive(rows, begun, repaired)
        for page, at in self._pager.sent.items():
            if page in rows:
                rows[page].sent_s = at - begun
        return list(rows.values())

    async def _until_fired(self, drill: Drill, rows: Mapping[str, Row], begun: float) -> None:
        while time.monotonic() - begun < INACTIVE_S:
            await self._note(rows, begun)
            lasted = time.monotonic() - begun >= drill.least_s / self.factor
            if lasted and all(row.fired_s is not None or row.page in _AFTERWARDS for row in rows.values()):
                return
            await asyncio.sleep(POLL_S)

    async def _until_inactive(self, rows: Mapping[str, Row], begun: float, repaired: float) -> None:
        quiet_since: float | None = None
        while time.monotonic() - repaired < 2 * INACTIVE_S:
            firing = await self._note(rows, begun)
            now = time.monotonic()
            for page, row in rows.items():
                if page in firing or row.fired_s is None:
                    row.inactive_s = None
                elif row.inactive_s is None:
                    row.inactive_s = now - repaired
                    say(f"  {page} is inactive")
            is_late = any(row.fired_s is None for page, row in rows.items() if page in _AFTERWARDS)
            is_over = not firing & rows.keys() and not is_late
            quiet_since = (quiet_since or now) if is_over else None
            if quiet_since and now - quiet_since > 120 / self.factor:  # none comes back
                return
            await asyncio.sleep(POLL_S)

    async def _note(self, rows: Mapping[str, Row], begun: float) -> set[str]:
        """Note which pages fire for the first time. Return all that fire."""
        firing = await self._firing()
        for page in firing & rows.keys():
            if rows[page].fired_s is None:
                rows[page].fired_s = time.monotonic() - begun
                say(f"  {page} fires")
        return firing

    async def _quiet(self, drill: Drill) -> None:
        """Wait until none of its pages fires, but not forever."""

        async def quiet() -> bool:
            return not await self._firing() & set(drill.pages)

        with suppress(AssertionError):
            await eventually(quiet, INACTIVE_S)

    async def clean_load(self, minutes: float) -> dict[str, float]:
        """Run the load without a fault, with a restart of Prometheus at half time.

        Returns:
            alert that fired → seconds after the start. Pages and tickets count.
        """
        found: dict[str, float] = {}
        begun, restarted = time.monotonic(), False
        async with Api(self._settings.public_url) as api:
            people = await gather_people(api, PEOPLE, PEOPLE - 1)
            while (passed := time.monotonic() - begun) < minutes * 60:
                people = await sign_in_again(api, people)
                shift_ends = min(passed + SIGNED_IN_S, minutes * 60)
                async with Load(self._settings.public_url, people).going_on():
                    while (passed := time.monotonic() - begun) < shift_ends:
                        if passed > minutes * 30 and not restarted:
                            restarted = True
                            await asyncio.to_thread(self._restart_prometheus)
                            say("Prometheus was restarted")
                        for name in await self._firing(WATCHED):
                            found.setdefault(name, passed)
                        await asyncio.sleep(5 * POLL_S)
        return found

    def _restart_prometheus(self) -> None:
        self._stack.table.stop(PROMETHEUS)
        self.observability.start()


_AFTERWARDS = ("FanoutLate",)
"""Pages about work that is done late: they fire only once it is done, after the repair."""


def drills(stack: Stack, settings: Settings) -> Sequence[Drill]:
    """Return all drills. Each page of deploy/observability/rules is in one of them."""
    table_, stores = stack.table, stack.provider()
    in_thread = partial(partial, asyncio.to_thread)

    def freeze(*names: str) -> tuple[Act, Act]:
        def send(number: signal.Signals) -> None:
            for name in names:
                table_.signal_tree(name, number)

        return in_thread(send, signal.SIGSTOP), in_thread(send, signal.SIGCONT)

    def kill(name: str) -> tuple[Act, Act]:
        return in_thread(table_.kill, name), in_thread(stack.up, [name])

    def again_and_again(name: str, frozen_s: float, every_s: float) -> tuple[Act, Act]:
        stutter = _Stutter(partial(table_.signal_tree, name), frozen_s, every_s)
        return stutter.begin, stutter.end

    def behind(name: str, topic: str) -> tuple[Act, Act]:
        stop, go_on = freeze(name)

        async def begin() -> None:
            await stop()
            await _send_many(settings, topic)

        return begin, go_on

    disk = _SmallDisk(settings)
    found = [
        Drill("the gateway is frozen", ("GatewayDown",), *freeze(GATEWAY)),
        Drill("the feed service is killed", ("ProcessDown", "ErrorBudgetBurn", "ErrorRate"), *kill("feed")),
        Drill(
            "the feed service stops for 0.8 s of each second",
            ("FeedP50Slow", "FeedP99Slow", "FeedLatencyBudgetBurn"),
            *again_and_again("feed", 0.8, 1.0),
        ),
        Drill("the post service stops for 4.5 s of every 13 s", ("PostingSlow",), *again_and_again("post", 4.5, 13.0)),
        Drill(
            "the fan-out worker is frozen",
            ("WorkerDown", "ConsumerStuck", "FanoutLate"),
            *freeze("fanout"),
            least_s=420,
        ),
        Drill("a target is missing", ("ProcessAbsent",), *_without_target(stack, "counters")),
        Drill("the disk of the object store is full", ("StorageFull",), disk.begin, disk.end),
        Drill("feed lists in Redis lack posts", ("FeedWrong",), *_wrong_lists(settings)),
        Drill("the counters are a million events behind", ("ConsumerLag",), *behind("counters", "interactions")),
        Drill("fan-out is a million events behind", ("FanoutLag",), *behind("fanout", "feed.fanout")),
    ]
    if stores.name != "given":
        for store in ("cassandra", "postgres", "redis"):
            stop, go_on = in_thread(stores.pause, store), in_thread(stores.resume, store)
            found.append(Drill(f"{store} is frozen", (f"StoreAway {store}",), stop, go_on))
        stop, go_on = in_thread(stores.pause, "kafka"), in_thread(stores.resume, "kafka")
        found.append(Drill("kafka is frozen", ("StoreAway kafka", "OutboxWaiting"), stop, go_on))
    return found


class _Stutter:
    """Stops a process for a part of each period."""

    def __init__(self, send: Callable[[signal.Signals], None], frozen_s: float, every_s: float) -> None:
        self._send, self._frozen_s, self._every_s = send, frozen_s, every_s
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._send(signal.SIGCONT)

    async def _run(self) -> None:
        while True:
            self._send(signal.SIGSTOP)
            await asyncio.sleep(self._frozen_s)
            self._send(signal.SIGCONT)
            await asyncio.sleep(self._every_s - self._frozen_s)


class _SmallDisk:
    """Mounts a small file system over the object store, and fills it. Needs root."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.object_store_dir

    async def begin(self) -> None:
        await _command("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(self._folder))
        # To the last byte: what would be written here is gone after the drill.
        await asyncio.to_thread(_fill, self._folder / "filler")

    async def end(self) -> None:
        await _command("umount", "--lazy", str(self._folder))


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4_096)):
            pass


async def _command(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{argv[0]}: {errors.decode().strip()}")


def _without_target(stack: Stack, name: str) -> tuple[Act, Act]:
    observability: Observability = stack.observability

    async def begin() -> None:
        observability.write_targets(without=name)

    async def end() -> None:
        observability.write_targets()

    return begin, end


def _wrong_lists(settings: Settings) -> tuple[Act, Act]:
    """Delete old posts from the lists of recent readers; the repair is that of the runbook.

    Follows of the last hour would hide it, because their posts are read from the records. So all are made older.
    """

    async def begin() -> None:
        async with open_postgres(settings, settings.keyspace("user")) as users:
            await users.execute("UPDATE follows SET pull_until = NULL")
        async with open_redis(settings) as redis:
            await InvalidationStamps(redis, settings).write(Invalidation(followees=True, all_pages=True))
            async for key in redis.scan_iter(match=f"{settings.redis_prefix('feed')}*:list:*", _type="list"):
                ids: Any = await redis.lrange(key, 0, -1)
                for post_id in ids[len(ids) // 2 :][:5]:
                    await redis.lrem(key, 0, post_id)

    async def end() -> None:
        await _command(sys.executable, "-m", "ops", "rebuild", "--all")

    return begin, end


async def _send_many(settings: Settings, topic: str) -> None:
    """Send events of a type that no release knows, so that consumers skip them."""
    event = encode(Event(payload=PostDeleted(post_id=1, author_id=1), entity="1", entity_version=1), "drill")
    value = json.dumps({**json.loads(event.value), "type": "drill.sent"}).encode()
    producer: Any = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks=0, max_batch_size=512 * 1024)
    await producer.start()
    try:
        partitions = await producer.partitions_for(settings.topic(topic))
        share = MESSAGES // len(partitions)
        for partition in partitions:
            sent = 0
            while sent < share:
                batch = producer.create_batch()
                while sent < share and batch.append(key=None, value=value, timestamp=None) is not None:
                    sent += 1
                batch.close()
                await producer.send_batch(batch, settings.topic(topic), partition=partition)
    finally:
        await producer.stop()


def table(rows: Sequence[Row]) -> str:
    """Page, fault, and seconds until it fired, was sent, and was inactive after the repair."""
    head = ("page", "fired", "sent", "inactive", "fault")
    cells = [(row.page, *map(_shown, (row.fired_s, row.sent_s, row.inactive_s)), row.fault) for row in rows]
    return columns([head, *cells])


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"


async def drill_alerts(stack: Stack, settings: Settings, wanted: Callable[[str], bool], factor: float) -> bool:
    """Run the wanted drills with shortened windows, some with real ones, and a load without a fault.

    Starts Prometheus and Alertmanager where they do not run. At the end everything is as after `make up OBS=1`.

    Returns:
        True if every page fired and became inactive in time, and nothing fired without a fault.
    """
    await asyncio.to_thread(partial(stack.up, observed=True))
    every, rows, alarms = drills(stack, settings), list[Row](), dict[str, float]()
    async with Pager().listening() as pager:
        place = Range(stack, settings, pager)

        async def follows() -> bool:
            return await place.targets() == len(stack.deployables)

        try:
            await asyncio.to_thread(place.forget)
            await eventually(follows, INACTIVE_S)
            await asyncio.to_thread(place.use_factor, factor)
            rows += await place.run([one for one in every if wanted(one.name)])
            await asyncio.to_thread(place.use_factor, 1)
            if wanted(REAL_WINDOWS):
                say("now with real windows")
                rows += await place.run([one for one in every if one.name in REAL])
            if wanted(CLEAN_LOAD):
                alarms = await place.clean_load(CLEAN_MINUTES)
        finally:
            await place.http.aclose()
            await asyncio.to_thread(place.use_factor, 1)
    print(table(rows))
    for name, at in alarms.items():
        print(f"{name} fired without a fault, after {at:.0f} s")
    return all(row.is_clean for row in rows) and not alarms
