"""Requests and answers between deployables, under `/internal`.

Processes of two releases talk to one another during an update. Ids travel as JSON numbers, but in public shapes as
strings. Answers may gain fields: readers ignore unknown ones.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class InternalRequest(BaseModel):
    """An unknown field is refused with 422: a server that ignored a new filter would show too much."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def body(self) -> dict[str, Any]:
        """The JSON object to send. Fields at their defaults are left out, so servers of the last release accept it."""
        return self.model_dump(exclude_defaults=True)
