"""Turns the colour chunks of a PNG into an ICC profile, so that all pictures are converted in the same way.

Sources:
- the chunks and their precedence: PNG (third edition) 4.3 and 11.3.2
- the code points of cICP: ITU-T H.273
- the profile: ICC.1:2001-04
- the Bradford matrix: Lindbloom, "Chromatic Adaptation"
"""

import struct
from collections.abc import Callable, Mapping, Sequence

Vector = tuple[float, float, float]
Curve = Callable[[float], float]

_D50: Vector = (0.9642, 1.0, 0.8249)  # the white point of ICC profiles
_CONES: tuple[Vector, Vector, Vector] = (
    (0.8951, -0.7502, 0.0389),
    (0.2664, 1.7135, -0.0685),
    (-0.1614, 0.0367, 1.0296),
)
"""The Bradford matrix, column by column."""
_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES = {  # code point of cICP → x and y of white, red, green, blue
    1: _SRGB_PRIMARIES,
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_CURVE_STEPS = 4096
_FIXED = 65_536


def _srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _bt709(value: float) -> float:
    return value / 4.5 if value < 0.081 else float(((value + 0.099) / 1.099) ** (1 / 0.45))


def _power(exponent: float) -> Curve:
    return lambda value: float(value**exponent)


_CURVES: dict[int, Curve] = {1: _bt709, 4: _power(2.2), 5: _power(2.8), 6: _bt709, 8: _power(1), 13: _srgb, 14: _bt709}


def png_profile(chunks: Mapping[bytes, bytes], embedded: bytes | None, *, is_grey: bool) -> bytes | None:
    """The ICC profile of a PNG: from cICP, else the embedded one, else none for sRGB, else from gAMA and cHRM.

    Args:
        chunks: the content of the colour chunks, by name.
        embedded: the profile in the iCCP chunk.
        is_grey: true for greyscale pictures.

    Returns:
        None for sRGB, or if no chunk is usable; HDR (PQ and HLG) is not usable.
    """
    code = chunks.get(b"cICP", b"")
    if len(code) == 4 and code[0] in _PRIMARIES and code[1] in _CURVES:
        return _profile(_PRIMARIES[code[0]], _CURVES[code[1]], is_grey=is_grey)
    if embedded:
        return embedded
    gamma, chroma = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    exponent = 100_000 / (int.from_bytes(gamma) or 1) if len(gamma) == 4 else 0.0
    has_gamma, has_chroma = 0.1 <= exponent <= 10, len(chroma) == 32
    if b"sRGB" in chunks or not (has_gamma or has_chroma):
        return None
    primaries = [value / 100_000 for value in struct.unpack(">8I", chroma)] if has_chroma else _SRGB_PRIMARIES
    try:
        return _profile(primaries, _power(exponent) if has_gamma else _srgb, is_grey=is_grey)
    except (ZeroDivisionError, struct.error):  # impossible primaries
        return None


def _profile(primaries: Sequence[float], curve: Curve, *, is_grey: bool) -> bytes:
    tone = struct.pack(">4sII", b"curv", 0, _CURVE_STEPS) + b"".join(
        struct.pack(">H", round(65_535 * curve(step / (_CURVE_STEPS - 1)))) for step in range(_CURVE_STEPS)
    )
    white, *lights = (_xyz(*primaries[at : at + 2]) for at in range(0, 8, 2))
    tags = {b"wtpt": _xyz_tag(_D50)}
    if is_grey:
        tags |= {b"kTRC": tone}
    else:
        shares = _shares(lights, white)
        for name, light, share in zip((b"r", b"g", b"b"), lights, shares, strict=True):
            x, y, z = (share * value for value in light)
            tags |= {name + b"XYZ": _xyz_tag(_adapted((x, y, z), white)), name + b"TRC": tone}
    return _packed(b"GRAY" if is_grey else b"RGB ", tags)


def _xyz(x: float, y: float) -> Vector:
    return x / y, 1.0, (1 - x - y) / y


def _determinant(a: Vector, b: Vector, c: Vector) -> float:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])


def _shares(columns: Sequence[Vector], wanted: Vector) -> Vector:
    """The factors of the columns whose sum is `wanted` (Cramer's rule)."""
    a, b, c = columns
    whole = _determinant(a, b, c)
    return _determinant(wanted, b, c) / whole, _determinant(a, wanted, c) / whole, _determinant(a, b, wanted) / whole


def _adapted(colour: Vector, white: Vector) -> Vector:
    """The colour adapted from the white point `white` to that of ICC profiles (Bradford)."""
    cones, before, after = (_sum(_CONES, xyz) for xyz in (colour, white, _D50))
    red, green, blue = (cone * a / b for cone, a, b in zip(cones, after, before, strict=True))
    return _shares(_CONES, (red, green, blue))


def _sum(columns: Sequence[Vector], shares: Vector) -> Vector:
    x, y, z = (sum(column[row] * share for column, share in zip(columns, shares, strict=True)) for row in range(3))
    return x, y, z


def _xyz_tag(xyz: Vector) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * _FIXED) for value in xyz))


def _packed(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content
    white = struct.pack(">3i", *(round(value * _FIXED) for value in _D50))
    head = struct.pack(">I4xI4s4s4s12x4s28x", at + len(body), 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    return (head + white).ljust(128, b"\0") + table + body
