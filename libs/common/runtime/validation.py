"""Bodies that routes parse themselves."""

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError


def request_invalid(error: ValidationError) -> RequestValidationError:
    """The failure as if FastAPI had found it in the body."""
    faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
    return RequestValidationError(faults)
