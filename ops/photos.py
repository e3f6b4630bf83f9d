"""Sample photos, painted: skies over ridges, cities at night, seas, flowers, terrazzo, dunes."""

import io
import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Color = tuple[int, int, int]
SIZES = ((1080, 1350), (1080, 1080), (1080, 720))
JPEG_QUALITY = 88
GRAIN = 9  # standard deviation of the film grain, in levels

SKIES: tuple[tuple[Color, Color, Color], ...] = (
    ((27, 38, 79), (233, 109, 103), (255, 214, 143)),
    ((16, 52, 92), (74, 144, 196), (240, 224, 200)),
    ((45, 20, 70), (196, 70, 120), (255, 170, 110)),
    ((10, 60, 70), (70, 160, 150), (250, 230, 170)),
    ((60, 80, 130), (170, 170, 210), (250, 210, 200)),
)
PALETTES: tuple[tuple[Color, ...], ...] = (
    ((242, 232, 220), (214, 90, 70), (240, 180, 90), (50, 90, 100), (120, 160, 140)),
    ((245, 240, 230), (40, 60, 90), (230, 140, 120), (250, 200, 140), (110, 130, 160)),
    ((232, 238, 232), (30, 90, 80), (220, 170, 60), (190, 80, 60), (90, 150, 170)),
)


def paint(motif: str, seed: int) -> bytes:
    """A JPEG of the motif; the same seed paints the same picture."""
    rng = random.Random(seed)
    picture = MOTIFS[motif](rng, rng.choice(SIZES))
    noise = Image.effect_noise(picture.size, GRAIN).convert("L")
    picture = ImageChops.add(picture, Image.merge("RGB", (noise,) * 3), 1, -128)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def gradient(size: tuple[int, int], stops: Sequence[Color]) -> Image.Image:
    """Vertical blend through the stops."""
    column = Image.new("RGB", (1, len(stops)))
    column.putdata(list(stops))
    width, height = size
    margin = height // (2 * max(1, len(stops) - 1))  # the stops lie at the edges, not half a step inside
    tall = column.resize((1, height + 2 * margin), Image.Resampling.BICUBIC)
    return tall.crop((0, margin, 1, height + margin)).resize((width, height))


def mix(a: Color, b: Color, share: float) -> Color:
    """`share` of b in a."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def glow(picture: Image.Image, at: tuple[int, int], radius: int, color: Color) -> Image.Image:
    """A soft light."""
    halo = Image.new("RGB", picture.size)
    ImageDraw.Draw(halo).ellipse(_circle(at, radius), fill=color)
    return ImageChops.screen(picture, halo.filter(ImageFilter.GaussianBlur(radius / 2)))


def _circle(at: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    return at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius


def _ridge(rng: random.Random, width: int, base: float, height: float) -> list[tuple[float, float]]:
    waves = [(rng.uniform(0.5, 1) / n, n * rng.uniform(0.7, 1.3), rng.uniform(0, math.tau)) for n in (1, 2, 4, 9, 19)]
    return [
        (x, base - height * sum(a * math.sin(f * math.tau * x / width + p) for a, f, p in waves))
        for x in range(0, width + 8, 6)
    ]


def ridges(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Mountains in the mist before a low sun."""
    width, height = size
    top, middle, low = rng.choice(SKIES)
    picture = gradient(size, (top, middle, low))
    sun = rng.randrange(width // 5, width * 4 // 5), int(height * rng.uniform(0.3, 0.5))
    picture = glow(picture, sun, width // 5, mix(low, (255, 240, 210), 0.4))
    draw = ImageDraw.Draw(picture)
    draw.ellipse(_circle(sun, width // 18), fill=mix(low, (255, 255, 245), 0.8))
    layers = rng.randint(4, 6)
    for layer in range(layers):
        share = layer / (layers - 1)
        line = _ridge(rng, width, height * (0.52 + 0.4 * share), height * (0.07 - 0.03 * share))
        draw.polygon(
            [(0, height), *line, (width, height)], fill=mix(mix(low, middle, 0.4), mix(top, (8, 10, 20), 0.6), share)
        )
    return picture


def city(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Towers with lit windows at dusk."""
    width, height = size
    top, middle, low = rng.choice(SKIES)
    picture = gradient(size, (mix(top, (0, 0, 0), 0.45), mix(middle, (20, 10, 50), 0.35), low))
    draw = ImageDraw.Draw(picture)
    for _ in range(90):
        x, y = rng.randrange(width), rng.randrange(height // 2)
        draw.ellipse(_circle((x, y), rng.choice((1, 1, 2))), fill=(230, 230, 255))
    for depth in (0.0, 0.5, 1.0):
        x = -20
        while x < width:
            wide, tall = rng.randint(60, 150), int(height * rng.uniform(0.2, 0.55) * (1 - depth * 0.25))
            wall = mix(mix(middle, (30, 30, 60), 0.6), (8, 9, 20), depth)
            draw.rectangle((x, height - tall, x + wide, height), fill=wall)
            _windows(draw, rng, (x, height - tall, wide, tall), lit=0.12 + 0.3 * depth)
            x += wide + rng.randint(-10, 24)
    return picture


def _windows(draw: ImageDraw.ImageDraw, rng: random.Random, house: tuple[int, int, int, int], lit: float) -> None:
    left, top, wide, tall = house
    for x in range(left + 10, left + wide - 12, 16):
        for y in range(top + 12, top + tall, 22):
            if rng.random() < lit:
                draw.rectangle(
                    (x, y, x + 7, y + 11), fill=rng.choice(((255, 214, 130), (255, 190, 100), (200, 220, 255)))
                )


def sea(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Waves under the moon, or the sun."""
    width, height = size
    top, middle, low = rng.choice(SKIES)
    horizon = int(height * rng.uniform(0.38, 0.5))
    picture = Image.new("RGB", size)
    picture.paste(gradient((width, horizon), (top, middle, low)))
    picture.paste(
        gradient((width, height - horizon), (mix(low, middle, 0.5), mix(top, (5, 40, 60), 0.4))), (0, horizon)
    )
    moon = rng.randrange(width // 4, width * 3 // 4), int(horizon * rng.uniform(0.45, 0.8))
    picture = glow(picture, moon, width // 6, mix(low, (255, 245, 220), 0.5))
    draw = ImageDraw.Draw(picture)
    draw.ellipse(_circle(moon, width // 22), fill=(255, 248, 230))
    for _ in range(900):
        depth = rng.random() ** 2
        y = horizon + 4 + depth * (height - horizon)
        spread = 40 + depth * width * 0.4
        x, length = rng.gauss(moon[0], spread), 6 + depth * 90 * rng.random()
        shine = math.exp(-(((x - moon[0]) / (spread * 0.8)) ** 2))
        draw.line(
            (x - length, y, x + length, y),
            fill=mix(mix(middle, top, depth), (255, 240, 210), shine * 0.85),
            width=1 + int(depth * 4),
        )
    return picture


def bloom(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Flowers of many petals on a soft ground."""
    palette = rng.choice(PALETTES)
    picture = gradient(size, (mix(palette[0], palette[4], 0.3), palette[0], mix(palette[0], palette[2], 0.25)))
    width, height = size
    flowers = [
        (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height, rng.uniform(0.12, 0.3) * width)
        for _ in range(5)
    ]
    for x, y, radius in sorted(flowers, key=lambda flower: flower[2]):
        color, turn, petals = rng.choice(palette[1:]), rng.uniform(0, math.tau), rng.randint(7, 13)
        draw = ImageDraw.Draw(picture)
        for ring in range(4):
            reach = radius * (1 - ring * 0.22)
            for petal in range(petals):
                angle = turn + (petal + ring * 0.5) * math.tau / petals
                at = x + math.cos(angle) * reach * 0.55, y + math.sin(angle) * reach * 0.55
                draw.ellipse(_circle(at, reach * 0.38), fill=mix(color, (255, 255, 245), 0.12 + ring * 0.14))
            picture = picture if ring else picture.filter(ImageFilter.GaussianBlur(2))
            draw = ImageDraw.Draw(picture)
        draw.ellipse(_circle((x, y), radius * 0.14), fill=mix(palette[2], (120, 70, 20), 0.3))
    return picture


def terrazzo(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Chips of stone in plaster."""
    palette = rng.choice(PALETTES)
    picture = Image.new("RGB", size, palette[0])
    draw = ImageDraw.Draw(picture)
    for _ in range(420):
        at = rng.randrange(size[0]), rng.randrange(size[1])
        radius, corners = rng.uniform(6, 60) * rng.random() + 6, rng.randint(4, 7)
        angles = sorted(rng.uniform(0, math.tau) for _ in range(corners))
        chip = [(at[0] + radius * rng.uniform(0.6, 1) * math.cos(a), at[1] + radius * math.sin(a)) for a in angles]
        draw.polygon(chip, fill=mix(rng.choice(palette[1:]), palette[0], rng.uniform(0, 0.35)))
    return picture.filter(ImageFilter.SMOOTH)


def dunes(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Sand in slanting light."""
    width, height = size
    _, middle, low = rng.choice(SKIES)
    picture = gradient(size, (mix(middle, (255, 255, 255), 0.35), mix(low, (255, 255, 255), 0.3), low))
    sand = mix((226, 160, 98), low, 0.25)
    for layer in range(6):
        share = layer / 5
        base = int(height * (0.3 + 0.5 * share))
        crest = Image.new("L", size)
        line = _ridge(rng, width, height * (0.42 + 0.5 * share), height * 0.06)
        ImageDraw.Draw(crest).polygon([(0, height), *line, (width, height)], fill=255)
        bright, dark = mix(sand, (255, 240, 210), 0.7 - 0.5 * share), mix(sand, (80, 36, 44), 0.35 + 0.4 * share)
        slope = gradient((width, height - base), (bright, mix(sand, bright, 0.4), dark, dark))
        picture.paste(slope, (0, base), crest.crop((0, base, width, height)))
    return picture


MOTIFS: dict[str, Callable[[random.Random, tuple[int, int]], Image.Image]] = {
    "ridges": ridges,
    "city": city,
    "sea": sea,
    "bloom": bloom,
    "terrazzo": terrazzo,
    "dunes": dunes,
}
