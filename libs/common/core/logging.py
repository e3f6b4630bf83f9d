"""JSON logs, one object per line. Event names are constant; data belong in keys."""

import logging
import sys
from typing import Any, cast

import orjson
import structlog

from libs.common.core.context import request_id, trace_id

Logger = structlog.stdlib.BoundLogger


def _add_context(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if current := request_id():
        event.setdefault("request_id", current)
    if trace := trace_id():
        event.setdefault("trace_id", trace)
    return event


def _dump(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def get_logger(name: str) -> Logger:
    """A logger that adds `name` to each line as `module`."""
    return cast(Logger, structlog.get_logger(module=name))


def configure_logging(deployable: str, level: str) -> None:
    """Send structlog and the standard library's logs to stdout as JSON."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
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
