from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import MAX_ID, first_id_at, now_ms
from services.post.domain import (
    MAX_HASHTAGS,
    MAX_TAG_CHARS,
    hashtags_of,
    mentions_of,
    months_down,
    normal_tag,
    years_down,
)


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=5))
def test_any_caption_parses_within_limits(caption: str, explicit: list[str]) -> None:
    tags = hashtags_of(caption, explicit)
    assert len(tags) <= MAX_HASHTAGS
    assert len(set(tags)) == len(tags)
    assert all(normal_tag(tag) == tag for tag in tags)
    assert len(mentions_of(caption)) <= 20


@pytest.mark.parametrize(
    ("caption", "tags", "mentions"),
    [
        ("#Sunset, #sunset and #día", ("sunset", "día"), ()),
        ("mail me@example.org or @Some_one!", (), ("some_one",)),
        ("a#b ##c &#39; # @ab", (), ()),
        ("\N{FULLWIDTH LATIN SMALL LETTER A} #\N{FULLWIDTH LATIN SMALL LETTER A}", ("a",), ()),
    ],
)
def test_tags_and_mentions(caption: str, tags: tuple[str, ...], mentions: tuple[str, ...]) -> None:
    assert (hashtags_of(caption), mentions_of(caption)) == (tags, mentions)


def test_buckets_go_down_to_the_first_and_no_further() -> None:
    now = first_id_at(now_ms())
    assert list(years_down(now))[-1] == 2024
    assert list(years_down(now, now)) == [next(years_down(now))]
    assert list(months_down(now))[-1] == 2024 * 12
    assert list(years_down(5, MAX_ID)) == []


def test_a_tag_may_be_decomposed_and_is_measured_before_it_grows() -> None:
    assert (
        normal_tag("o\N{COMBINING CIRCUMFLEX ACCENT}\N{COMBINING ACUTE ACCENT}" * MAX_TAG_CHARS)
        == "\u1ed1" * MAX_TAG_CHARS
    )
    with patch("services.post.domain.unicodedata.normalize", side_effect=AssertionError("normalised")):
        assert normal_tag("\ufdfa" * 2_700) is None
