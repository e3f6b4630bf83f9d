from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.common.web.text import Name, Prose, Text, VisibleText

BLANK = [" ", "\n\t", "\u3000", "\u200b\u200d", "\u2800", "\u3164 \u115f", "\ufe0f", "\u202e", ""]


@pytest.mark.parametrize("text", BLANK)
@pytest.mark.parametrize("kind", [VisibleText, Name])
def test_what_shows_nothing_is_no_text(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError, match="must not be blank"):
        TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize("text", ["two\nlines", "to\u202eright", "\u2066x", "esc\x1b[1m", "a\u2028b"])
def test_a_name_is_one_line_and_stays_in_its_place(text: str) -> None:
    with pytest.raises(ValidationError, match="line breaks or control characters"):
        TypeAdapter(Name).validate_python(text)


@pytest.mark.parametrize("kind", [Prose, VisibleText])
def test_prose_has_lines_and_no_other_control_characters(kind: Any) -> None:
    for text in ("two\nlines\r\n\tand more", "to\u202eright", "a\u2028b"):
        assert TypeAdapter(kind).validate_python(text) == text
    for text in ("esc\x1b[1m", "a\x07b", "a\x85b"):
        with pytest.raises(ValidationError, match="control characters"):
            TypeAdapter(kind).validate_python(text)


@pytest.mark.parametrize(
    "text", ["a", "\u0915\u094d\u200d\u0937", "\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c", "7"]
)
def test_text_of_any_script_is_taken_without_the_blanks_around_it(text: str) -> None:
    assert TypeAdapter(Name).validate_python(f" \n{text}\t") == text


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_is_what_every_store_can_hold(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(text)
