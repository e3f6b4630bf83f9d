"""JSON logs, one object per line, without personal data. Event names are constant; data belong in keys.

An account appears as a keyed hash of its id, so that its lines can be found, but not whose they are.
"""

import hmac
import logging
import re
import sys
from typing import Any, cast

import orjson
import structlog

from libs.common.core.context import caller, request_id
from libs.telemetry.tracing import trace_ids

Logger = structlog.stdlib.BoundLogger
ACCOUNT_KEYS = ("user_id", "owner_id", "author_id", "reader_id")
"""Keys of log events whose values are ids of accounts. Their hashes are written."""
HASH_DIGITS = 16  # 64 bits: among 500 million accounts, a collision is unlikely
_PURPOSE = b"feedmill: accounts in logs"
# PostgreSQL names the row that was in the way, and pydantic the value that did not fit.
_VALUES = re.compile(r"(DETAIL:|query argument \$\d+:).*?(?=\n\n|\Z)|(input_value=)[^\n]*", re.DOTALL)


class AccountHash:
    """Hashes ids of accounts with a key that is derived from the secret of this system. It changes with the secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")

    def __call__(self, account: object) -> str:
        return hmac.digest(self._key, str(account).encode(), "sha256").hex()[:HASH_DIGITS]


class _Context:
    """Adds the request, the trace, and the account that asked; replaces ids of accounts by their hashes."""

    def __init__(self, hashed: AccountHash) -> None:
        self._hashed = hashed

    def __call__(self, _: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if current := request_id():
            event.setdefault("request_id", current)
        if ids := trace_ids():
            event["trace_id"], event["span_id"] = ids
        if (who := caller()) is not None and who.account is not None:
            event["user"] = self._hashed(who.account)
        for key in ACCOUNT_KEYS:
            if key in event:
                event[key] = self._hashed(event[key])
        return event


def _without_values(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Remove values of users from the texts of errors."""
    for key in ("error", "exception"):
        if isinstance(text := event.get(key), str):
            event[key] = _VALUES.sub(lambda found: f"{found[1] or found[2]} (not logged)", text)
    return event


def _dump(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def get_logger(name: str) -> Logger:
    """A logger that adds `name` to each line as `module`."""
    return cast(Logger, structlog.get_logger(module=name))


def processors(secret: str) -> list[structlog.typing.Processor]:
    """What each line passes before it is written."""
    return [
        structlog.contextvars.merge_contextvars,
        _Context(AccountHash(secret)),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_values,
    ]


def configure_logging(deployable: str, level: str, secret: str) -> None:
    """Send structlog and the standard library's logs to stdout as JSON. The secret is the key of `AccountHash`."""
    shared = processors(secret)
    render = structlog.processors.JSONRenderer(serializer=_dump)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(deployable=deployable)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=render))
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level)), force=True)
