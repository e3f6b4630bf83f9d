"""`python -m libs.contracts write|check|topics`: schemas and docs from the code; topics."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from libs.contracts.base import Envelope, Payload
from libs.contracts.codec import UndecodableError, decode
from libs.contracts.topics import EVENT_TYPES, TOPICS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


def _schema(model: type[BaseModel]) -> str:
    return _pretty(model.model_json_schema(mode="serialization"))


def _name(payload: type[Payload]) -> str:
    return f"{payload.type}.v{payload.version}"


def generated() -> dict[Path, str]:
    """Every file that is made from the code."""
    files = {HERE / "schemas" / "envelope.json": _schema(Envelope), ROOT / "docs" / "events.md": events_page()}
    for payload in EVENT_TYPES.values():
        files[HERE / "schemas" / f"{_name(payload)}.json"] = _schema(payload)
    return files


def events_page() -> str:
    """The table of topics, as Markdown."""
    lines = [
        "# Events",
        "",
        "Made from `libs/contracts` by `make contracts`. The envelope and each payload have a JSON Schema in",
        "`libs/contracts/schemas`, and golden examples beside it.",
        "Every topic has a dead-letter topic `<topic>.dlq`.",
        "",
        "| topic | key | types | produced by | consumed by | partitions |",
        "|---|---|---|---|---|---|",
    ]
    for topic in TOPICS:
        types = ", ".join(f"`{event.type}`" for event in topic.events)
        produced, consumed = ", ".join(topic.producers), ", ".join(topic.consumers)
        lines.append(f"| `{topic.name}` | {topic.key} | {types} | {produced} | {consumed} | {topic.partitions} |")
    return "\n".join(lines) + "\n"


def _examples_fault() -> str | None:
    seen = set()
    for path in sorted((HERE / "examples").glob("*.json")):
        try:
            received = decode(path.read_bytes())
        except UndecodableError as error:
            return f"{path.name}: {error}"
        if received is None:
            return f"{path.name}: no event has this type and version any more"
        seen.add((received.envelope.type, received.envelope.version))
    missing = sorted(set(EVENT_TYPES) - seen)
    return f"no golden example for {missing}" if missing else None


def write() -> int:
    """Write the generated files."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def check() -> int:
    """Fail when a generated file is out of date, or a golden example does not decode."""
    stale = [path.name for path, text in generated().items() if not path.is_file() or path.read_text() != text]
    if stale:
        print(f"out of date, run `make contracts`: {', '.join(stale)}")
    if fault := _examples_fault():
        print(fault)
    return 1 if stale or fault else 0


def topics() -> int:
    """Create the topics that are missing."""
    from libs.common.core.settings import Settings
    from libs.common.kafka.admin import create_topics

    created = asyncio.run(create_topics(Settings()))
    print(f"{len(created)} topics created, {2 * len(TOPICS)} in all")
    return 0


if __name__ == "__main__":
    sys.exit({"write": write, "check": check, "topics": topics}[sys.argv[1]]())
