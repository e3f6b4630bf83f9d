"""BlurHash: the lowest frequencies of a picture as a short string, shown until the picture is loaded."""

import math
from collections.abc import Sequence

Pixels = Sequence[Sequence[tuple[int, int, int]]]
"""Rows of sRGB pixels."""
Linear = tuple[float, float, float]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_AC_STEPS = 9  # an AC channel is stored as one of 19 levels, 9 on either side of zero
_MAXIMUM_STEPS = 82
_MAXIMUM_UNIT = 166  # the greatest AC value is stored in 1/166ths


def encode(pixels: Pixels, x_components: int, y_components: int) -> str:
    """The hash of `pixels`, with 1 to 9 components along each axis."""
    factors = _factors(pixels, x_components, y_components)
    dc, ac = factors[0], factors[1:]
    peak = max((abs(value) for factor in ac for value in factor), default=0.0)
    level = max(0, min(_MAXIMUM_STEPS, math.floor(peak * _MAXIMUM_UNIT - 0.5)))
    maximum = (level + 1) / _MAXIMUM_UNIT
    parts = [_digits((x_components - 1) + (y_components - 1) * 9, 1), _digits(level if ac else 0, 1)]
    parts.append(_digits(_dc(dc), 4))
    parts += [_digits(_ac(factor, maximum), 2) for factor in ac]
    return "".join(parts)


def _factors(pixels: Pixels, x_components: int, y_components: int) -> list[Linear]:
    """Cosine coefficients, row by row of components: first along each row, then down the columns."""
    height, width = len(pixels), len(pixels[0])
    linear = [[tuple(_LINEAR[value] for value in pixel) for pixel in row] for row in pixels]
    along = [_cosines(i, width) for i in range(x_components)]
    down = [_cosines(j, height) for j in range(y_components)]
    rows = [[[_dot(basis, [p[c] for p in row]) for c in range(3)] for basis in along] for row in linear]
    factors: list[Linear] = []
    for j, basis in enumerate(down):
        for i in range(x_components):
            scale = (1 if i == j == 0 else 2) / (width * height)
            red, green, blue = (scale * _dot(basis, [row[i][c] for row in rows]) for c in range(3))
            factors.append((red, green, blue))
    return factors


def _cosines(frequency: int, length: int) -> list[float]:
    return [math.cos(math.pi * frequency * at / length) for at in range(length)]


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _to_linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


_LINEAR = [_to_linear(value) for value in range(256)]


def _to_srgb(value: float) -> int:
    share = max(0.0, min(1.0, value))
    curved = share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return round(curved * 255)


def _dc(factor: Linear) -> int:
    red, green, blue = (_to_srgb(value) for value in factor)
    return red << 16 | green << 8 | blue


def _ac(factor: Linear, maximum: float) -> int:
    packed = 0
    for value in factor:
        root = math.copysign(math.sqrt(abs(value) / maximum), value)
        level = math.floor(root * _AC_STEPS + _AC_STEPS + 0.5)
        packed = packed * (2 * _AC_STEPS + 1) + max(0, min(2 * _AC_STEPS, level))
    return packed


def _digits(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**power % 83] for power in reversed(range(length)))
