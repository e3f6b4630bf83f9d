import unicodedata
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.core.ids import MAX_ID, first_id_at, now_ms
from services.post.domain import (
    MAX_TAG_CHARS,
    hashtags_of,
    mentions_of,
    months_down,
    normalized_tag,
    years_down,
)


@given(st.text(max_size=300) | st.text("#a1@_/.: \u0301\u200d\u0939\u093f", max_size=60))
def test_any_caption_parses(caption: str) -> None:
    tags = hashtags_of(caption)
    assert len(set(tags)) == len(tags)
    assert all(normalized_tag(tag) == tag for tag in tags)
    assert hashtags_of(" ".join(f"#{tag}" for tag in tags)) == tags
    mentions_of(caption)


@pytest.mark.parametrize(
    ("caption", "tags", "mentions"),
    [
        ("#Sunset, #sunset and #día", ("sunset", "día"), ()),
        ("mail me@example.org or @Some_one!", (), ("some_one",)),
        ("a#b ##c &#39; # @ab", (), ()),
        ("\N{FULLWIDTH LATIN SMALL LETTER A} \N{FULLWIDTH NUMBER SIGN}\N{FULLWIDTH LATIN SMALL LETTER A}", ("a",), ()),
        # words of all scripts: marks and joiners belong to them
        ("#हिन्दी #தமிழ் #കവിത", ("हिन्दी", "தமிழ்", "കവിത"), ()),
        ("#น้ำ", (unicodedata.normalize("NFKC", "น้ำ"),), ()),  # its last vowel has two parts there
        ("#Mu\N{COMBINING DIAERESIS}nchen", ("münchen",), ()),
        ("#می\N{ZERO WIDTH NON-JOINER}خواهم #a\N{ZERO WIDTH JOINER} b", ("می\N{ZERO WIDTH NON-JOINER}خواهم", "a"), ()),
        ("#東京・大阪", ("東京",), ()),  # whatever the Unicode version of this Python
        ("#one#two#1#three", ("one", "two", "three"), ()),
        ("#1 #2025 #_ #\N{COMBINING ACUTE ACCENT} #a1 #1a", ("a1", "1a"), ()),
        ("#" + "x" * 100 + " #" + "y" * 101, ("x" * 100,), ()),
        # nothing in an address
        ("see https://example.org/#about and HTTP://example.org/@name/x", (), ()),
        ("example.org:8080/#about example.org?q=@somebody example.org:80#about", (), ()),
        ("https://example.org,#tag https://example.org/x),@somebody", ("tag",), ("somebody",)),
        ("#\u039f\u0394\u039f\u03a3.\u0391 #\u039f\u0394\u039f\u03a3", ("\u03bf\u03b4\u03bf\u03c2",), ()),
        ("www.example.org/#a example.org/b#c blog.example/@name", (), ()),
        ("first.last+tag@example.co.uk, @real", (), ("real",)),
        ("a/#b 1.5 #c", ("b", "c"), ()),
        ("@name\N{COMBINING ACUTE ACCENT} @@two @three. (@four)", (), ("three", "four")),
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
        normalized_tag("o\N{COMBINING CIRCUMFLEX ACCENT}\N{COMBINING ACUTE ACCENT}" * MAX_TAG_CHARS)
        == "\u1ed1" * MAX_TAG_CHARS
    )
    with patch("services.post.domain.unicodedata.normalize", side_effect=AssertionError("normalised")):
        assert normalized_tag("\ufdfa" * 2_700) is None
