from pathlib import Path

import pytest

from libs.contracts import events
from libs.contracts.__main__ import check
from libs.contracts.base import Event
from libs.contracts.codec import UndecodableError, decode
from libs.contracts.media import VARIANTS
from libs.telemetry.catalog import BY_NAME

EXAMPLES = sorted((Path(events.__file__).parent / "examples").glob("*.json"))


def test_generated_files_are_up_to_date() -> None:
    assert check() == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_golden_examples_decode_and_say_the_same_again(path: Path) -> None:
    received = decode(path.read_bytes())
    assert received is not None
    assert decode(received.envelope.encode()) == received
    # Fields that a type gained since the example was written have a default.
    assert received.envelope.data.items() <= received.payload.model_dump(mode="json").items()


@pytest.mark.parametrize("raw", [None, b"", b"{", b"[]", b'{"type":"post.created"}'])
def test_poison_is_told_apart(raw: bytes | None) -> None:
    with pytest.raises(UndecodableError):
        decode(raw)


def test_types_of_a_newer_release_are_passed_over() -> None:
    raw = (EXAMPLES[0]).read_bytes().replace(b'"version": 1', b'"version": 99', 1)
    assert decode(raw) is None


def test_an_act_published_twice_is_one_event() -> None:
    payload = events.PostDeleted(post_id=5, author_id=6)
    first, again = (Event(payload=payload, entity="5", entity_version=2) for _ in range(2))
    assert first.event_id == again.event_id
    assert first.event_id != Event(payload=payload, entity="5", entity_version=3).event_id


def test_the_gateway_counts_each_variant() -> None:
    kinds = BY_NAME["feedmill_gateway_cache_total"].labels["kind"]
    assert set(kinds) == {*VARIANTS, "other"}
