"""The lines that nginx sends about requests, one in each datagram, as the log format `line` writes them."""

import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from gateway.routes import NAMES

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
METHODS = get_args(Method)
_SECONDS = re.compile(r"\d+\.\d+")
MAX_BYTES = 2048  # a line has about 450
HEADER_BYTES = 64  # of syslog: priority, time, tag
CacheStatus = Literal["", "HIT", "REVALIDATED", "STALE", "UPDATING", "MISS", "EXPIRED", "BYPASS"]


class Line(BaseModel):
    """A request that nginx has answered.

    Fields:
        route: one of `routes.NAMES`.
        path: empty unless it has only words and ids.
        seconds: from the first byte of the request to the last byte of the answer. nginx counts milliseconds.
        ended_at: Unix time in seconds.
        cache: empty where nothing is cached.
        upstream_seconds: as nginx writes it, one number for each attempt.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    method: Literal[Method, "other"]
    route: str
    path: str = Field(max_length=300)
    protocol: str = Field(max_length=16)
    status: Annotated[str, Field(pattern="^[0-9]{3}$")]
    seconds: float = Field(ge=0, le=86_400)
    ended_at: float = Field(ge=0, le=2**40)
    body_bytes: int = Field(ge=0, lt=2**63)
    cache: CacheStatus
    media_kind: Literal["original", "large", "medium", "small", "thumbnail", "other"]
    upstream_seconds: str = Field(max_length=100)
    trace_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    span_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    trace_flags: Literal["00", "01"]

    @property
    def waited_s(self) -> float | None:
        """Seconds that all attempts to reach a service took; None if there was no attempt."""
        attempts = [float(part) for part in _SECONDS.findall(self.upstream_seconds)]
        return sum(attempts) if attempts else None

    @property
    def is_sampled(self) -> bool:
        """True if the trace is recorded."""
        return self.trace_flags == "01"


def parse(datagram: bytes) -> Line:
    """Return the line in a datagram.

    Raises:
        ValueError: nginx did not send it.
    """
    if len(datagram) > MAX_BYTES:
        raise ValueError("too long")
    line = Line.model_validate_json(datagram[datagram.index(b"{", 0, HEADER_BYTES) :])
    if line.route not in NAMES:
        raise ValueError("unknown route")
    return line
