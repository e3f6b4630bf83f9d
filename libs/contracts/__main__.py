"""`python -m libs.contracts write|check`: write or check the schemas and pages that are generated from the code."""

import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from libs.contracts.base import Envelope, Payload
from libs.contracts.codec import UndecodableError, decode
from libs.contracts.topics import EVENT_TYPES, TOPICS
from libs.deployables import consumers, producers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


def _schema(model: type[BaseModel]) -> str:
    return _pretty(model.model_json_schema(mode="serialization"))


def _name(payload: type[Payload]) -> str:
    return f"{payload.type}.v{payload.version}"


def generated() -> dict[Path, str]:
    """The text of all generated files, by path."""
    files = {HERE / "schemas" / "envelope.json": _schema(Envelope), ROOT / "docs" / "events.md": events_page()}
    for payload in EVENT_TYPES.values():
        files[HERE / "schemas" / f"{_name(payload)}.json"] = _schema(payload)
    return files


def events_page() -> str:
    """The page with the table of topics, as Markdown."""
    lines = [
        "# Events",
        "",
        "Generated from `libs/contracts` and `libs/deployables` by `make contracts`. The envelope and each payload",
        "have a JSON Schema in `libs/contracts/schemas`, and golden examples beside it.",
        "Every topic has a dead-letter topic `<topic>.dlq`.",
        "",
        "| topic | key | types | produced by | consumed by | partitions |",
        "|---|---|---|---|---|---|",
    ]
    for topic in TOPICS:
        types = ", ".join(f"`{event.type}`" for event in topic.events)
        produced, consumed = ", ".join(producers(topic.name)), ", ".join(consumers(topic.name))
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
    """Write the generated files; the exit status."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def check() -> int:
    """Check generated files and golden examples; the exit status, 1 if one is out of date or does not decode."""
    stale = [path.name for path, text in generated().items() if not path.is_file() or path.read_text() != text]
    if stale:
        print(f"out of date, run `make contracts`: {', '.join(stale)}")
    if fault := _examples_fault():
        print(fault)
    return 1 if stale or fault else 0


if __name__ == "__main__":
    sys.exit({"write": write, "check": check}[sys.argv[1]]())
