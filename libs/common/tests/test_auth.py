"""The one reader of the `Authorization` header."""

import pytest

from libs.common.web.auth import bearer_token


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer a.b-c_d", "a.b-c_d"),
        (b"bearer t", "t"),
        (b"BEARER   t", "t"),
        (b" Bearer t ", "t"),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearert", None),
        (b"Bearer\tt", None),
        (b"Bearer t u", None),
        (b"Bearer \xff", None),
        (b"Basic t", None),
    ],
)
def test_a_bearer_token(header: bytes, token: str | None) -> None:
    assert bearer_token({"headers": [(b"accept", b"*/*"), (b"authorization", header)]}) == token


def test_a_request_without_the_header_has_no_token() -> None:
    assert bearer_token({"headers": []}) is None
