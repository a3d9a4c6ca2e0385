"""The easel for drawn product pictures: shapes laid over one another on a lit sheet."""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bot.web.lettering import font, put

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

SIDE = 600
_FINE = 2  # shapes are drawn at twice the size and halved, which smooths their edges


class Stage:
    """A sheet on which shapes are laid one over the other, with light from the upper left."""

    def __init__(self, tone: tuple[Colour, Colour]) -> None:
        self.sheet = Image.new("RGB", (SIDE * _FINE, SIDE * _FINE))
        light, deep = tone
        column = Image.new("RGB", (1, 64))
        for y in range(64):
            wall, table = mix(light, deep, y / 60), mix(mix(light, deep, 0.5), light, (y - 41) / 30)
            column.putpixel((0, y), wall if y < 41 else table)
        column = column.resize((1, SIDE * _FINE), Image.Resampling.BILINEAR)
        self.sheet.paste(column.resize(self.sheet.size, Image.Resampling.NEAREST))

    def shade(self, box: Box, strength: int = 90) -> None:
        """A soft shadow in the ellipse of box, blurred while it is small."""
        left, top, right, bottom = (round(edge / 5) for edge in box)
        edge = 10  # room for the blur
        small = Image.new("L", (right - left + 2 * edge, bottom - top + 2 * edge), 0)
        ImageDraw.Draw(small).ellipse((edge, edge, edge + right - left, edge + bottom - top), fill=strength)
        small = small.filter(ImageFilter.GaussianBlur(3))
        soft = small.resize((small.width * 5 * _FINE, small.height * 5 * _FINE), Image.Resampling.BILINEAR)
        self.sheet.paste((70, 52, 44), ((left - edge) * 5 * _FINE, (top - edge) * 5 * _FINE), soft)

    def lay(
        self,
        colour: Colour,
        box: Box,
        draw: Callable[[ImageDraw.ImageDraw, Box], None],
        *,
        depth: float = 0.35,
    ) -> None:
        """A shape in box, lit from the left; draw gets a brush and the box in the brush's own pixels."""
        left, top, right, bottom = (round(edge * _FINE) for edge in box)
        size = (max(1, right - left), max(1, bottom - top))
        mask = Image.new("L", size, 0)
        draw(ImageDraw.Draw(mask), (0, 0, size[0] - 1, size[1] - 1))
        strip = Image.new("RGB", (32, 1))
        for x in range(32):
            lit = math.cos((x / 31 - 0.3) * math.pi * 0.9)
            glow = mix(colour, (255, 255, 255), depth * max(0.0, lit) * 0.55)
            strip.putpixel((x, 0), mix(glow, (24, 16, 18), depth * max(0.0, 0.75 - lit) * 0.5))
        strip = strip.resize((size[0], 1), Image.Resampling.BILINEAR)
        self.sheet.paste(strip.resize(size, Image.Resampling.NEAREST), (left, top), mask)

    def ball(self, colour: Colour, x: float, y: float, radius: float) -> None:
        """A sphere: darker rims, a light spot up on the left."""
        full = round(radius * 2 * _FINE)
        glow, mask = _globe(full)
        filled = Image.composite(
            Image.new("RGB", glow.size, mix(colour, (255, 255, 255), 0.3)),
            Image.new("RGB", glow.size, mix(colour, (60, 10, 20), 0.2)),
            glow,
        )
        self.sheet.paste(filled, (round((x - radius) * _FINE), round((y - radius) * _FINE)), mask)

    def box(self, colour: Colour, box: Box, radius: float = 8, depth: float = 0.35) -> None:
        self.lay(
            colour,
            box,
            lambda brush, edge: brush.rounded_rectangle(edge, radius * _FINE, fill=255),
            depth=depth,
        )

    def oval(self, colour: Colour, box: Box, depth: float = 0.35) -> None:
        self.lay(colour, box, lambda brush, edge: brush.ellipse(edge, fill=255), depth=depth)

    def poly(self, colour: Colour, points: Sequence[tuple[float, float]], depth: float = 0.3) -> None:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        box = (min(xs), min(ys), max(xs), max(ys))
        inside = [((x - box[0]) * _FINE, (y - box[1]) * _FINE) for x, y in points]
        self.lay(colour, box, lambda brush, _: brush.polygon(inside, fill=255), depth=depth)

    def arc(self, colour: Colour, box: Box, start: float, end: float, thick: float) -> None:
        self.lay(
            colour,
            box,
            lambda brush, edge: brush.arc(edge, start, end, fill=255, width=round(thick * _FINE)),
            depth=0.3,
        )

    def finish(self) -> Image.Image:
        """The sheet at its final size."""
        return self.sheet.reduce(_FINE)

    def word(self, text: str, x: float, y: float, size: int, colour: Colour, *, down: bool = False) -> None:
        """A label centred on (x, y), written across or downwards."""
        brush = ImageDraw.Draw(self.sheet)
        face = font(size * _FINE, True)
        signs = list(text) if down else [text]
        first = y - (len(signs) - 1) * size * 0.57
        for step, sign in enumerate(signs):
            put(brush, (x * _FINE, (first + step * size * 1.14) * _FINE), sign, face, colour, "mm")


def mix(one: Colour, other: Colour, share: float) -> Colour:
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _globe(full: int) -> tuple[Image.Image, Image.Image]:
    mask = Image.new("L", (full, full), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, full - 1, full - 1), fill=255)
    # radial_gradient is dark in the middle: turned round, shifted up to the left
    glow = ImageChops.invert(Image.radial_gradient("L")).resize((full * 3 // 2, full * 3 // 2))
    return glow.crop((full * 2 // 5, full * 2 // 5, full * 2 // 5 + full, full * 2 // 5 + full)), mask
