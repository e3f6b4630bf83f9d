"""Dead letters, made by a consumer on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.settings import Settings
from libs.common.kafka.admin import create_topics
from libs.common.kafka.consumer import ConsumerRunner, ReceivedEvent
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event
from libs.contracts.events import UserCreated
from libs.contracts.records import Header
from ops import dlq
from ops.__main__ import _parser
from ops.dead_letters import DeadLetters, Letter

pytestmark = pytest.mark.stores
TOPIC = "users"


@pytest.fixture
async def settings(store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics of each test's own, for the command line too."""
    settings = settings_for(Settings, {**store_env, "FEEDMILL_NAMESPACE": f"dlq{uuid4().hex[:8]}_"})
    for name in ("kafka_bootstrap", "namespace"):
        monkeypatch.setenv(f"FEEDMILL_{name.upper()}", getattr(settings, name))
    for name in ("internal_secret", "cursor_secret"):
        monkeypatch.setenv(f"FEEDMILL_{name.upper()}", "x" * 32)
    await create_topics(settings, partitions=1)
    return settings


class Handler:
    """Has a bug that the user 1 meets."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.has_bug = True

    async def __call__(self, deliveries: Sequence[ReceivedEvent]) -> None:
        for delivery in deliveries:
            if self.has_bug and delivery.payload.key() == "1":
                raise KeyError("bug")
        self.users += [delivery.payload.key() for delivery in deliveries]


class DyingProducer(EventProducer):
    """Whose process is killed before it appends the note."""

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...]) -> None:
        if topic.endswith(".dlq"):
            raise UnavailableError
        await super().send_raw(topic, key, value, headers)


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[EventProducer]:
    async with EventProducer(settings, "tests") as producer:
        yield producer


@asynccontextmanager
async def consuming(settings: Settings, handler: Handler, producer: EventProducer) -> AsyncIterator[None]:
    task = asyncio.create_task(ConsumerRunner(settings, "g", [TOPIC], handler, producer).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def publish(producer: EventProducer, *user_ids: int) -> None:
    for user_id in user_ids:
        await producer.publish(Event(payload=UserCreated(user_id=user_id), entity=str(user_id), entity_version=1))


async def waiting(settings: Settings) -> list[Letter]:
    """Return what a new process finds."""
    async with DeadLetters(settings) as letters:
        await letters.look()
        return [await letters.letter(TOPIC, offset) for offset in letters.waiting(TOPIC)]


@pytest.fixture
async def handler(settings: Settings, producer: EventProducer) -> Handler:
    """Which has left two letters."""
    handler = Handler()
    await producer.send_raw(settings.topic(TOPIC), b"7", b"no event", (("type", b"user.created"),))
    await publish(producer, 1, 2)

    async def is_done() -> bool:
        return handler.users == ["2"] and len(await waiting(settings)) == 2

    async with consuming(settings, handler, producer):
        await eventually(is_done)
    return handler


async def test_a_letter_says_what_it_was_and_why_it_died(settings: Settings, handler: Handler) -> None:
    garbage, event = await waiting(settings)
    assert (garbage.key, garbage.value, garbage.original_headers()) == (b"7", b"no event", (("type", b"user.created"),))
    assert "Undecodable" in garbage.header("dlq-error")
    assert (event.header("dlq-group"), event.header("dlq-attempts"), event.header("dlq-offset")) == ("g", "3", "1")
    assert "bug" in event.header("dlq-error")


async def test_a_replayed_letter_is_handled_and_a_dropped_one_is_not_and_neither_waits_any_more(
    settings: Settings, handler: Handler, producer: EventProducer
) -> None:
    garbage, event = await waiting(settings)
    async with DeadLetters(settings) as letters:
        await letters.look()
        await letters.drop(garbage, producer)
        await letters.replay(event, producer)
        with pytest.raises(NotFoundError):
            await letters.letter(TOPIC, event.offset)
        assert REGISTRY.get_sample_value("feedmill_dead_letters_waiting", {"topic": TOPIC}) == 2
        await letters.look()
        assert REGISTRY.get_sample_value("feedmill_dead_letters_waiting", {"topic": TOPIC}) == 0
    assert await waiting(settings) == []
    handler.has_bug = False

    async def replayed() -> bool:
        return handler.users == ["2", "1"]

    async with consuming(settings, handler, producer):
        await eventually(replayed)


async def test_a_replay_that_was_cut_short_leaves_the_letter_waiting(settings: Settings, handler: Handler) -> None:
    _, event = await waiting(settings)
    async with DyingProducer(settings, "tests") as producer, DeadLetters(settings) as letters:
        with pytest.raises(UnavailableError):
            await letters.replay(event, producer)
    assert event in await waiting(settings)


async def test_what_dies_again_is_a_new_letter(settings: Settings, handler: Handler, producer: EventProducer) -> None:
    _, event = await waiting(settings)
    async with DeadLetters(settings) as letters:
        await letters.replay(event, producer)

    async def died_again() -> bool:
        again = (await waiting(settings))[-1]
        return again.offset > event.offset and again.original_headers() == event.original_headers()

    async with consuming(settings, handler, producer):
        await eventually(died_again)


async def test_the_command_line(settings: Settings, handler: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    async def run(*arguments: str) -> str:
        await dlq.run(_parser().parse_args(["dlq", *arguments]))
        return capsys.readouterr().out

    listed = await run("list")
    assert f"{TOPIC}: 2" in listed
    assert "posts: 0" in listed
    assert "group=g type=user.created key=1 from=0:1 attempts=3" in listed
    assert '"user_id": "1"' in await run("show", TOPIC, "1")
    assert "b'no event'" in await run("show", TOPIC, "0")
    assert await run("drop", TOPIC, "--group", "other") == ""
    assert "replayed users 1: every group of users" in await run("replay", TOPIC, "1")
    assert await run("drop", TOPIC, "--all") == "dropped users 0\n"
    assert f"{TOPIC}: 0" in await run("list")
    with pytest.raises(NotFoundError):
        await run("replay", TOPIC, "1")
    with pytest.raises(NotFoundError):
        await run("list", "nosuch")
