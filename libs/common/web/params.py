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
"""An id in a path. What is no id can't be found: 404, as for one that there is not."""


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,19}", value):
        raise ValueError("must be a whole number")
    return value


Digits = BeforeValidator(_digits)
"""For whole numbers in a query. Pydantic alone also takes ` 5`, `1_0` and `20.0`."""

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
