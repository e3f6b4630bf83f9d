"""Dead letters: lists those that wait, replays them and drops them.

A single record can't be deleted from a topic. So the outcome of a letter is appended to the same topic as a note. Who
reads the topic to its end knows which letters wait. Retention deletes a letter before its note.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.kafka.producer import EventProducer
from libs.contracts.records import Header
from libs.contracts.topics import TOPICS, dead_letter_topic
from libs.telemetry.metrics import gauge

DEADLINE_S = 30.0  # for reading on to the end of all dead-letter topics
POLL_MS = 500
EVERY_S = 15.0  # how old the gauge may be; an alert waits for minutes
WAITING = gauge("feedmill_dead_letters_waiting")
DEAD_LETTER_TOPICS = tuple(topic.name for topic in TOPICS)
_WHY = "dlq-"  # what the consumer runner adds to the headers of the original
_NOTE = "dlq-handled"
log = get_logger(__name__)


class Outcome(StrEnum):
    """How an operator settled a letter."""

    REPLAYED = "replayed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that a group could not handle. `topic` is the contract's name; `offset` is that in the dead letters."""

    topic: str
    offset: int
    died_at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    def header(self, name: str) -> str:
        """Return the value of the header, or an empty string if there is none."""
        return next((value.decode(errors="replace") for key, value in self.headers if key == name), "")

    def original_headers(self) -> tuple[Header, ...]:
        """Return the headers of the original event, without the reason of the failure."""
        return tuple(header for header in self.headers if not header[0].startswith(_WHY))


class DeadLetters:
    """Reads all dead-letter topics, in no group. Stores only the offset of each letter that waits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self._waiting: dict[str, dict[int, None]] = {name: {} for name in DEAD_LETTER_TOPICS}
        self._names = {self._partition(name): name for name in DEAD_LETTER_TOPICS}

    async def __aenter__(self) -> Self:
        try:
            async with _answering():
                await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign(list(self._names))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def look(self) -> None:
        """Read to the current end of the topics.

        Raises:
            UnavailableError: the brokers do not answer.
        """
        async with _answering():
            begin = await self._consumer.beginning_offsets(list(self._names))
            end = await self._consumer.end_offsets(list(self._names))
            while behind := [tp for tp in self._names if await self._consumer.position(tp) < end[tp]]:
                for tp, records in (await self._consumer.getmany(*behind, timeout_ms=POLL_MS)).items():
                    for record in records:
                        self._read(self._waiting[self._names[tp]], record)
        for tp, name in self._names.items():
            self._waiting[name] = {offset: None for offset in self._waiting[name] if offset >= begin[tp]}
            WAITING.labels(name).set(len(self._waiting[name]))

    def waiting(self, topic: str) -> Sequence[int]:
        """Return offsets as of the last look, oldest first. Raises NotFoundError for a topic without dead letters."""
        if topic not in self._waiting:
            raise NotFoundError(f"topic {topic} has no dead letters; there are: {', '.join(DEAD_LETTER_TOPICS)}")
        return tuple(self._waiting[topic])

    async def letter(self, topic: str, offset: int) -> Letter:
        """Return a letter that waits.

        Raises:
            NotFoundError: there is none, or it was handled.
            UnavailableError: the brokers do not answer.
        """
        if offset not in self.waiting(topic):
            raise NotFoundError(f"no dead letter waits at {topic} {offset}")
        partition = self._partition(topic)
        async with _answering():
            read_up_to = await self._consumer.position(partition)
            self._consumer.seek(partition, offset)
            try:
                record = await self._consumer.getone(partition)
            finally:
                self._consumer.seek(partition, read_up_to)
        if record.offset != offset:
            raise NotFoundError(f"{topic} {offset} is forgotten by now")
        died_at = datetime.fromtimestamp(record.timestamp / 1_000, UTC)
        return Letter(topic, offset, died_at, record.key, record.value, tuple(record.headers))

    async def replay(self, letter: Letter, producer: EventProducer) -> None:
        """Send the original to its topic again: to every group there, not only to the one that failed.

        The note comes second. After a crash in between, the letter is replayed twice and never lost.
        """
        topic = self._settings.topic(letter.topic)
        await producer.send_raw(topic, letter.key, letter.value, letter.original_headers())
        await self._note(letter, Outcome.REPLAYED, producer)

    async def drop(self, letter: Letter, producer: EventProducer) -> None:
        """Mark the letter as dropped. It stays readable until the topic deletes it."""
        await self._note(letter, Outcome.DROPPED, producer)

    async def _note(self, letter: Letter, outcome: Outcome, producer: EventProducer) -> None:
        topic = self._settings.topic(dead_letter_topic(letter.topic))
        note = (_NOTE, str(letter.offset).encode())
        await producer.send_raw(topic, letter.key, outcome.encode(), (note,))
        self._waiting[letter.topic].pop(letter.offset, None)

    def _partition(self, topic: str) -> TopicPartition:
        return TopicPartition(self._settings.topic(dead_letter_topic(topic)), 0)

    @staticmethod
    def _read(waiting: dict[int, None], record: ConsumerRecord) -> None:
        handled = dict(record.headers).get(_NOTE)
        if handled is None:
            waiting[record.offset] = None
        else:
            waiting.pop(int(handled), None)


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield
    except (KafkaError, TimeoutError) as error:
        raise UnavailableError("Kafka does not respond.") from error


async def watch(settings: Settings) -> None:
    """Keep the gauge true until cancelled."""
    while True:
        try:
            async with DeadLetters(settings) as letters:
                while True:
                    await letters.look()
                    await asyncio.sleep(EVERY_S)
        except UnavailableError as error:
            log.warning("dead_letters_not_read", error=str(error))
            await asyncio.sleep(EVERY_S)
