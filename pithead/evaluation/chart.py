"""Curves as pictures: one drawing, as SVG for a page and as PNG for everything else."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, Protocol

from PIL import Image, ImageDraw, ImageFont

# Pictures speak ASCII: the font that pillow brings has no ² and no –.
WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 62
FONT = 12
INK, PALE, PAPER = "#222222", "#d8d8d8", "#ffffff"
SCALE = 2  # pixels of a PNG to a unit
BESIDE = 1.6  # units between the rows of text

Anchor = Literal["start", "middle", "end"]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis says, from where to where, and whether steps are factors of ten."""

    label: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1; what is beyond an end lies on it."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            share = (math.log10(max(value, self.low)) - low) / (high - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """The values at which a line is drawn."""
        if self.log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**exponent for exponent in range(first, last + 1)]
        return [self.low + (self.high - self.low) * i / 5 for i in range(6)]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: its name, its colour, and its points (x, y) in order."""

    name: str
    colour: str
    points: tuple[tuple[float, float], ...]
    dots: bool = False
    """Whether every point is marked: the curve is known at these only."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves in one frame."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    def svg(self) -> str:
        """The picture as an SVG element that asks for nothing else."""
        pen = _Svg()
        _draw(self, pen)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)}" font-family="sans-serif">'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>{"".join(pen.parts)}</svg>'
        )

    def png(self) -> bytes:
        """The picture as the bytes of a PNG."""
        image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
        _draw(self, _Png(ImageDraw.Draw(image)))
        stream = io.BytesIO()
        image.save(stream, format="PNG", optimize=True)
        return stream.getvalue()


class _Pen(Protocol):
    def line(self, points: Points, colour: str, width: float) -> None: ...

    def dot(self, x: float, y: float, colour: str) -> None: ...

    def text(self, x: float, y: float, words: str, size: int, anchor: Anchor) -> None: ...

    def upright(self, x: float, y: float, words: str, size: int) -> None: ...


class _Svg:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def line(self, points: Points, colour: str, width: float) -> None:
        course = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{course}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
            'stroke-linejoin="round"/>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>')

    def text(self, x: float, y: float, words: str, size: int, anchor: Anchor) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{INK}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def upright(self, x: float, y: float, words: str, size: int) -> None:
        self.parts.append(
            f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)" font-size="{size}" fill="{INK}" '
            f'text-anchor="middle">{escape(words)}</text>'
        )


class _Png:
    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def line(self, points: Points, colour: str, width: float) -> None:
        course = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(course, fill=colour, width=max(1, round(width * SCALE)), joint="curve")

    def dot(self, x: float, y: float, colour: str) -> None:
        x, y, r = x * SCALE, y * SCALE, 2.4 * SCALE
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def text(self, x: float, y: float, words: str, size: int, anchor: Anchor) -> None:
        side = {"start": "l", "middle": "m", "end": "r"}[anchor] + "s"
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), words, fill=INK, font=font, anchor=side)

    def upright(self, x: float, y: float, words: str, size: int) -> None:
        font = ImageFont.load_default(size * SCALE)
        left, top, right, bottom = self._draw.textbbox((0, 0), words, font=font)
        strip = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)), 0)
        ImageDraw.Draw(strip).text((-left, -top), words, fill=255, font=font)
        turned = strip.rotate(90, expand=True)
        place = (round(x * SCALE - turned.width), round(y * SCALE - turned.height / 2))
        self._draw.bitmap(place, turned, fill=INK)


def _draw(chart: Chart, pen: _Pen) -> None:
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    pen.text(LEFT, TOP - 14, chart.title, FONT + 2, "start")
    for value in chart.x.ticks():
        x = LEFT + chart.x.place(value) * across
        pen.line([(x, TOP), (x, TOP + down)], PALE, 0.75)
        pen.text(x, TOP + down + 1.3 * FONT, f"{value:g}", FONT - 1, "middle")
    for value in chart.y.ticks():
        y = TOP + (1 - chart.y.place(value)) * down
        pen.line([(LEFT, y), (LEFT + across, y)], PALE, 0.75)
        pen.text(LEFT - 6, y + 4, f"{value:g}", FONT - 1, "end")
    pen.text(LEFT + across / 2, TOP + down + 2.6 * FONT, chart.x.label, FONT, "middle")
    pen.upright(14, TOP + down / 2, chart.y.label, FONT)
    for series in chart.series:
        course = [
            (LEFT + chart.x.place(x) * across, TOP + (1 - chart.y.place(y)) * down) for x, y in series.points
        ]
        if len(course) > 1:
            pen.line(course, series.colour, 2)
        if series.dots or len(course) == 1:
            for x, y in course:
                pen.dot(x, y, series.colour)
    pen.line([(LEFT, TOP), (LEFT, TOP + down), (LEFT + across, TOP + down)], INK, 1)
    _legend(chart, pen)


def _legend(chart: Chart, pen: _Pen) -> None:
    """The names of the curves in one row under everything."""
    step = (WIDTH - 20) / max(1, len(chart.series))
    y = HEIGHT - 12
    for i, series in enumerate(chart.series):
        x = 12 + i * step
        pen.line([(x, y - 4), (x + 14, y - 4)], series.colour, 3)
        pen.text(x + 18, y, series.name, FONT - 2, "start")
