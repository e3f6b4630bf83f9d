"""`feedmill dlq` lists, shows, replays and drops dead letters."""

import argparse
from collections.abc import AsyncIterator, Sequence

from libs.common.core.settings import Settings
from libs.common.kafka.producer import EventProducer
from libs.contracts.base import utc_now
from libs.contracts.codec import UndecodableError, decode
from ops.dead_letters import DEAD_LETTER_TOPICS, DeadLetters, Letter

LISTED = 50  # of a topic; nobody reads a longer list
ERROR_CHARACTERS = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, title="actions", metavar="ACTION")
    listing = actions.add_parser("list", help=f"what waits, oldest first, {LISTED} of a topic")
    listing.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(DEAD_LETTER_TOPICS)}; none: all")
    showing = actions.add_parser("show", help="one letter: headers, and the event or its raw bytes")
    showing.add_argument("topic", metavar="TOPIC")
    showing.add_argument("offset", metavar="OFFSET", type=int)
    for name, meaning in (("replay", "send letters to their topic again"), ("drop", "give letters up")):
        handling = actions.add_parser(name, help=meaning)
        handling.add_argument("topic", metavar="TOPIC")
        which = handling.add_mutually_exclusive_group(required=True)
        which.add_argument("offsets", nargs="*", type=int, default=[], metavar="OFFSET", help="as list shows it")
        which.add_argument("--all", action="store_true", help="all that wait")
        which.add_argument("--group", help="all that this group could not handle")


async def run(arguments: argparse.Namespace) -> None:
    """Run a sub-command and print the result. Raises NotFoundError, UnavailableError."""
    settings = Settings()
    async with EventProducer(settings, "ops") as producer, DeadLetters(settings) as letters:
        await letters.look()
        match arguments.action:
            case "list":
                await _list(letters, arguments.topics or DEAD_LETTER_TOPICS)
            case "show":
                print(_shown(await letters.letter(arguments.topic, arguments.offset)))
            case "replay":
                async for letter in _chosen(letters, arguments):
                    await letters.replay(letter, producer)
                    print(f"replayed {_name(letter)}: every group of {letter.topic} gets it again")
            case _:
                async for letter in _chosen(letters, arguments):
                    await letters.drop(letter, producer)
                    print(f"dropped {_name(letter)}")


async def _list(letters: DeadLetters, topics: Sequence[str]) -> None:
    for topic in topics:
        waiting = letters.waiting(topic)
        print(f"{topic}: {len(waiting)}")
        for offset in waiting[:LISTED]:
            print(f"  {_line(await letters.letter(topic, offset))}")


async def _chosen(letters: DeadLetters, arguments: argparse.Namespace) -> AsyncIterator[Letter]:
    for offset in arguments.offsets or letters.waiting(arguments.topic):
        letter = await letters.letter(arguments.topic, offset)
        if arguments.group in (None, letter.header("dlq-group")):
            yield letter


def _name(letter: Letter) -> str:
    return f"{letter.topic} {letter.offset}"


def _line(letter: Letter) -> str:
    age_s = int((utc_now() - letter.died_at).total_seconds())
    key = (letter.key or b"").decode(errors="replace")
    fields = {
        "group": letter.header("dlq-group"),
        "type": letter.header("type"),
        "key": key,
        "from": f"{letter.header('dlq-partition')}:{letter.header('dlq-offset')}",
        "attempts": letter.header("dlq-attempts"),
        "age_s": age_s,
        "trace": letter.header("traceparent"),
        "error": letter.header("dlq-error")[:ERROR_CHARACTERS],
    }
    return f"{letter.offset} " + " ".join(f"{name}={value}" for name, value in fields.items())


def _shown(letter: Letter) -> str:
    headers = "\n".join(f"{name}: {value.decode(errors='replace')}" for name, value in letter.headers)
    try:
        received = decode(letter.value)
        body = received.envelope.model_dump_json(indent=2) if received else repr(letter.value)
    except UndecodableError:
        body = repr(letter.value)
    return f"{_name(letter)}, died at {letter.died_at.isoformat()}\nkey: {letter.key!r}\n{headers}\n\n{body}"
