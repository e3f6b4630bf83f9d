"""Types of text in requests."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator

# Characters that are invisible but not in a category of blanks: Hangul and Braille fillers, variation selectors.
_INVISIBLE = {
    *"\u034f\u115f\u1160\u2800\u3164\uffa0",
    *map(chr, range(0x180B, 0x1810)),
    *map(chr, range(0xFE00, 0xFE10)),
}
_BIDI_CONTROLS = {
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}  # change the direction of the following text


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Text that all stores accept: without NUL and lone surrogates."""


def _visible(text: str) -> str:
    text = text.strip()
    if all(unicodedata.category(char)[0] in "ZC" or char in _INVISIBLE for char in text):
        raise ValueError("must not be blank")
    return text


def _one_line(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") or char in _BIDI_CONTROLS for char in text):
        raise ValueError("must not contain line breaks or control characters")
    return text


def _prose(text: str) -> str:
    if any(unicodedata.category(char) == "Cc" and char not in "\t\n\r" for char in text):
        raise ValueError("must not contain control characters")
    return text


Prose = Annotated[Text, AfterValidator(_prose)]
"""Text that may have several lines."""

VisibleText = Annotated[Prose, AfterValidator(_visible)]
"""Text with at least one visible character; blanks around it are removed."""

Name = Annotated[Text, AfterValidator(_visible), AfterValidator(_one_line)]
"""One line of visible text, without characters that change the layout of surrounding text."""
