"""Text that people send."""

from typing import Annotated

from pydantic import AfterValidator


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("may not contain the NUL character")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Unicode that every store can hold. Lone surrogates never get here: pydantic refuses them."""
