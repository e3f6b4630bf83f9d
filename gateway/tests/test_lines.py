import json
from typing import Any

import pytest

from gateway.lines import MAX_BYTES, parse
from gateway.render import TEMPLATE
from libs.contracts.media import VARIANTS
from libs.telemetry.catalog import BY_NAME

FIELDS: dict[str, Any] = {
    "method": "GET",
    "route": "/v1/posts",
    "path": "/v1/posts/7",
    "protocol": "HTTP/1.1",
    "status": "200",
    "seconds": 0.012,
    "ended_at": 1_700_000_000.123,
    "body_bytes": 512,
    "cache": "",
    "media_kind": "other",
    "upstream_seconds": "0.011",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "8448eb211c80319c",
    "trace_flags": "00",
}


def datagram(**changes: Any) -> bytes:
    """Return a line as nginx sends it."""
    return b"<190>Nov 27 13:11:02 feedmill: " + json.dumps(FIELDS | changes).encode()


def test_a_line_is_read() -> None:
    line = parse(datagram())
    assert line.model_dump() == FIELDS
    assert not line.is_sampled
    assert parse(datagram(trace_flags="01", later="a field of the next release")).is_sampled


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0.011", 0.011), ("0.500, 0.250", 0.75), ("1.000 : 0.250", 1.25), ("-", None), ("", None), ("-, 0.010", 0.01)],
)
def test_the_wait_is_that_of_all_attempts(written: str, seconds: float | None) -> None:
    assert parse(datagram(upstream_seconds=written)).waited_s == seconds


def test_nginx_writes_these_fields() -> None:
    written = TEMPLATE.read_text().partition("log_format line")[2].partition(";")[0]
    assert all(f'"{name}":' in written for name in FIELDS)
    assert written.count('":') == len(FIELDS)


def test_the_kinds_of_files_are_those_of_the_contract() -> None:
    kinds = {*VARIANTS, "other"}
    assert set(BY_NAME["feedmill_gateway_cache_total"].labels["kind"]) == kinds
    assert {parse(datagram(media_kind=kind)).media_kind for kind in kinds} == kinds


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"\x00\xff\xfe{",
        b"<190>Nov 27 13:11:02 feedmill: ",
        b"<190>Nov 27 13:11:02 feedmill: {}",
        b"<190>Nov 27 13:11:02 feedmill: []",
        b"<190>Nov 27 13:11:02 feedmill: {" + b'"a":{' * 300,
        b"<190>" + b" " * 100 + datagram(),
        datagram()[:-1],
        datagram() + b"{",
        datagram(path="/v1" * MAX_BYTES),
        datagram(method="BREW"),
        datagram(method=7),
        datagram(route="/v1/made-up"),
        datagram(route=None),
        datagram(status="2000"),
        datagram(status="٢٠٠"),
        datagram(status=200),
        datagram(seconds=-1),
        datagram(seconds="0.1"),
        datagram(seconds=1e300),
        datagram(seconds=float("nan")),
        datagram(seconds=float("inf")),
        datagram(ended_at=1e300),
        datagram(body_bytes=2**63),
        datagram(body_bytes=True),
        datagram(cache="WARM"),
        datagram(media_kind="../../etc"),
        datagram(trace_id="0" * 31 + "g"),
        datagram(trace_id="0" * 32 + "\n"),
        datagram(span_id="1"),
        datagram(trace_flags="11"),
        datagram(path="\ud800"),
        datagram().replace(b"/v1/posts/7", b"/v1/\xff\xfe"),
        datagram().replace(b"/v1/posts/7", b"/v1/\n"),
    ],
)
def test_what_nginx_did_not_write_is_refused(forged: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has another message
        parse(forged)
