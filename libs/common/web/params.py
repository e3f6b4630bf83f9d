"""Parameters in paths, queries and headers."""

import re
from typing import Annotated, Any

from fastapi import Header
from pydantic import BeforeValidator, WithJsonSchema

from libs.common.core.errors import NotFoundError
from libs.common.core.ids import parse_id


def _known(text: str) -> int:
    value = parse_id(text)
    if value is None:
        raise NotFoundError
    return value


PathId = Annotated[int, BeforeValidator(_known), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,19}$"})]
"""An id in a path. Text that is not an id gives 404, like an id that does not exist."""


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,19}", value):
        raise ValueError("must be a whole number")
    return value


Digits = BeforeValidator(_digits)
"""Accepts only digits for a number in a query. Pydantic alone also accepts ` 5`, `1_0` and `20.0`."""

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
