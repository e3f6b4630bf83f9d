"""Log lines: their context, and that they have no personal data."""

import ast
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from asyncpg.exceptions import CheckViolationError, UniqueViolationError
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError
from structlog.testing import capture_logs

from libs.common.core.context import Caller, set_caller, set_request_id
from libs.common.core.logging import ACCOUNT_KEYS, AccountHash, get_logger, processors
from libs.telemetry.tracing import remote_span, trace_ids

ROOT = Path(__file__).parents[3]
SECRET = "a secret of this test"
PACKAGES = ("libs", "services", "workers", "gateway", "ops")
# Keys of lines that are neither ids of content nor hashed are numbers, names of parts of the system, or errors.
CONTENT_IDS = {"post_id", "media_id"}
PERSONAL = {"account", "address", "caption", "email", "name", "path", "phone", "text", "token", "user", "username"}
log = get_logger(__name__)


class Picture(BaseModel):
    width: int


def line(event: str, **keys: object) -> structlog.typing.EventDict:
    with capture_logs(processors(SECRET)) as lines:
        log.error(event, **keys)
    (written,) = lines
    return written


def test_the_hash_depends_on_the_account_and_the_secret() -> None:
    hashed = AccountHash(SECRET)
    assert len({hashed(17), hashed(18), AccountHash("another one")(17)}) == 3
    assert hashed(17) == hashed("17") == AccountHash(SECRET)(17)
    assert len(hashed(17)) == 16


def test_a_line_has_request_trace_and_hashed_account(spans: InMemorySpanExporter) -> None:
    def in_a_request() -> None:
        rid = uuid4().hex
        set_request_id(rid)
        set_caller(Caller(17, "203.0.113.9"))
        with remote_span("GET", SpanKind.SERVER, None):
            written = line("something", post_id=5)
            assert (written["trace_id"], written["span_id"]) == trace_ids()
        assert written["request_id"] == rid
        assert written["user"] == AccountHash(SECRET)(17)
        assert written["post_id"] == 5
        assert "203.0.113.9" not in str(written)

    copy_context().run(in_a_request)


def test_a_line_outside_of_a_request_has_no_context() -> None:
    assert not {"request_id", "trace_id", "span_id", "user"} & line("something").keys()


@pytest.mark.parametrize("key", ACCOUNT_KEYS)
def test_ids_of_accounts_are_hashed(key: str) -> None:
    assert line("something", **{key: 17})[key] == AccountHash(SECRET)(17)


def test_errors_do_not_quote_values() -> None:
    error = UniqueViolationError("duplicate key value violates unique constraint")
    error.detail = "Key (email)=(maria@example.org) already exists."
    assert "maria" in str(error)
    try:
        raise error
    except UniqueViolationError:
        written = line("request_failed", exc_info=True)
    assert "duplicate key value" in written["exception"]
    assert "maria" not in written["exception"]
    with pytest.raises(ValidationError) as caught:
        Picture.model_validate({"width": "maria@example.org"})
    written = line("not_read", error=repr(caught.value))
    assert "width" in written["error"]
    assert "maria" not in written["error"]


def test_errors_of_several_lines_do_not_quote_values() -> None:
    error = CheckViolationError("new row violates check constraint")
    error.detail = "Failing row contains (17, first line\nsecond line of maria)."
    try:
        raise error
    except CheckViolationError:
        written = line("request_failed", exc_info=True)
    assert "violates check constraint" in written["exception"]
    assert "maria" not in written["exception"]
    assert (
        "maria"
        not in line("not_read", error="invalid input for query argument $2: 'maria' (an int is needed)")["error"]
    )


def log_keywords() -> Iterator[tuple[str, str]]:
    """Yield the place of each call of a logger, with each key that it gives."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            if "tests" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id in {"log", "_log", "logger"}
                ):
                    for keyword in node.keywords:
                        yield f"{file.relative_to(ROOT)}:{node.lineno}", keyword.arg or ""


def test_no_line_has_personal_data() -> None:
    found = list(log_keywords())
    assert len(found) > 60
    wrong = [
        (place, key)
        for place, key in found
        if key in PERSONAL or (key.endswith("_id") and key not in {*ACCOUNT_KEYS, *CONTENT_IDS})
    ]
    assert wrong == []
