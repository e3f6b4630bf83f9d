"""The hash is right when it decodes to the picture it was made from."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.media.decoding.blurhash import _DIGITS, Pixels, encode


def number(text: str) -> int:
    value = 0
    for char in text:
        value = value * 83 + _DIGITS.index(char)
    return value


def to_linear(value: int) -> float:
    return value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4


def to_srgb(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 255 * (value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


def decoded(text: str) -> list[list[float]]:
    """The coefficients that a client reads, in linear light."""
    maximum = (number(text[1]) + 1) / 166
    mean = number(text[2:6])
    factors = [[to_linear(mean >> shift & 255) for shift in (16, 8, 0)]]
    for at in range(6, len(text), 2):
        levels = number(text[at : at + 2])
        signed = [(levels // 361 - 9) / 9, (levels // 19 % 19 - 9) / 9, (levels % 19 - 9) / 9]
        factors.append([math.copysign(level * level, level) * maximum for level in signed])
    return factors


def by_definition(pixels: Pixels, i: int, j: int, channel: int) -> float:
    height, width = len(pixels), len(pixels[0])
    total = sum(
        to_linear(pixels[y][x][channel]) * math.cos(math.pi * i * x / width) * math.cos(math.pi * j * y / height)
        for y in range(height)
        for x in range(width)
    )
    return total * (1 if i == j == 0 else 2) / (width * height)


def root(value: float) -> float:
    return math.copysign(math.sqrt(abs(value)), value)


def plain(colour: tuple[int, int, int]) -> Pixels:
    return [[colour] * 8 for _ in range(8)]


def test_known_answers() -> None:
    assert encode(plain((0, 0, 0)), 1, 1) == "000000"
    assert encode(plain((255, 255, 255)), 1, 1) == "00TSUA"


@pytest.mark.parametrize("components", [(1, 1), (4, 3), (3, 4), (9, 9)])
def test_length_and_alphabet(components: tuple[int, int]) -> None:
    text = encode(plain((10, 200, 99)), *components)
    assert len(text) == 4 + 2 * components[0] * components[1]
    assert set(text) <= set(_DIGITS)


def test_coefficients_are_those_of_the_definition() -> None:
    pixels = [[(x * 8, 255 - y * 8, (x * y) % 256) for x in range(32)] for y in range(24)]
    text = encode(pixels, 4, 3)
    assert number(text[0]) == 3 + 2 * 9
    half_a_level = 0.5 / 9 * math.sqrt((number(text[1]) + 1) / 166) + 1e-9
    for at, factor in enumerate(decoded(text)):
        for channel, value in enumerate(factor):
            wanted = by_definition(pixels, at % 4, at // 4, channel)
            if at == 0:
                assert abs(to_srgb(value) - to_srgb(wanted)) <= 0.51
            else:
                assert abs(root(value) - root(wanted)) <= half_a_level


colours = st.tuples(*[st.integers(0, 255)] * 3)


@given(left=colours, right=colours)
def test_the_mean_is_kept(left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    pixels = [[left] * 4 + [right] * 4 for _ in range(8)]
    mean = number(encode(pixels, 4, 3)[2:6])
    for channel, shift in enumerate((16, 8, 0)):
        wanted = to_srgb((to_linear(left[channel]) + to_linear(right[channel])) / 2)
        assert abs((mean >> shift & 255) - wanted) <= 1
