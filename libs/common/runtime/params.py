"""Path parameters."""

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from libs.common.ids import parse_id
from libs.common.runtime.errors import NotFoundError


def _known(text: str) -> int:
    value = parse_id(text)
    if value is None:
        raise NotFoundError
    return value


PathId = Annotated[int, BeforeValidator(_known), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,19}$"})]
"""An id in a path. What is no id can't be found: 404, as for one that there is not."""
