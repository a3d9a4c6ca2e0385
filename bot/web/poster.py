"""The card to be passed on: one JPEG with what it is for, a price, a deadline and a QR code of its own."""

import hashlib
import io
import threading
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bot.web.lettering import clean, font, letter, lines, put, rounded, width
from bot.web.qr import qr_matrix
from models.prices import yuan

Colour = tuple[int, int, int]
Kind = Literal["shop", "product", "group", "pay"]

WIDE, HIGH = 750, 1200
MOST_BYTES = 200_000

_INK: Colour = (38, 34, 32)
_SOFT: Colour = (128, 121, 116)
_FAINT: Colour = (172, 165, 160)
_PRICE: Colour = (206, 44, 40)
_WHITE: Colour = (255, 255, 255)

_CARD = (32, 160, 718, 1128)
_LEFT, _RIGHT = 60, 690
_QR = (434, 848)
_QR_SIDE = 256
_LETTERS = 346
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says, in plain values; every text may be anything a person typed, and "" leaves it out."""

    kind: Kind
    shop_name: str
    title: str
    price_fen: int | None
    was_fen: int | None
    line: str
    """What matters beside the price: 「3人团 · 还差 2 人」."""
    deadline: str
    initials: str
    """The inviter, of whom one character is shown in a circle; "" shows 友. Who asks to pay is named in full."""
    qr_url: str
    """What the code says, 1 to 300 bytes."""
    picture: bytes | None
    """JPEG, as bot.web.picture.clean_jpeg made it; None (or one that cannot be read) shows a drawn panel."""
    footer: str


@dataclass(frozen=True, slots=True)
class _Dress:
    top: Colour
    bottom: Colour
    pale: Colour
    greeting: str


_DRESSES = {
    "shop": _Dress((34, 122, 98), (14, 78, 70), (230, 243, 236), "邀请您来店里逛逛"),
    "product": _Dress((232, 98, 66), (190, 44, 50), (253, 238, 231), "觉得这件您会喜欢"),
    "group": _Dress((246, 128, 60), (208, 46, 58), (255, 238, 226), "邀请您一起拼团"),
    "pay": _Dress((64, 118, 172), (34, 66, 120), (231, 239, 249), "想请您帮忙付"),
}


def draw_card(facts: CardFacts) -> bytes:
    """A JPEG of 750 × 1200 pixels and at most 200 KB; the same facts give the same bytes, from any thread.

    Takes 15 ms or less once its base and faces are open (first card: about 250 ms).
    Raises ValueError if qr_url is empty or longer than 300 bytes.
    """
    code = _code(facts.qr_url)
    dress = _DRESSES[facts.kind]
    card = _base(facts.kind).copy()
    draw = ImageDraw.Draw(card)
    _head(draw, facts, dress)
    title = lines(facts.title, font(44, True), _RIGHT - _LEFT, 2) or lines(
        facts.shop_name or "本店", font(44, True), _RIGHT - _LEFT, 2
    )
    room = (_RIGHT - _LEFT + 16, 564 if len(title) < 2 else 508)
    picture = _kept_picture(facts.picture, room) if facts.picture else None
    if picture is None:
        sign = letter(facts.shop_name if facts.kind == "shop" else facts.title, "好")
        picture = _panel(facts.kind, sign, room)
    card.paste(picture, (_LEFT - 8, 180), rounded(room, 20))
    base_line = 180 + room[1] + (66 if len(title) < 2 else 60)
    for line in title:
        put(draw, (_LEFT, base_line), line, font(44, True), _INK)
        base_line += 56
    _offer(card, draw, facts, dress)
    card.paste(code, _QR)
    for at, line in enumerate(lines(facts.footer, font(24), WIDE - 80, 1)):
        put(draw, (WIDE / 2, 1174 + at * 32), line, font(24), _WHITE, "ms")
    return _jpeg(card)


def _head(draw: ImageDraw.ImageDraw, facts: CardFacts, dress: _Dress) -> None:
    put(draw, (104, 82), letter(facts.initials, "友"), font(44, True), dress.bottom, "mm")
    put(draw, (166, 74), _greeting(facts, dress), font(36, True), _WHITE)
    for line in lines(facts.shop_name, font(26), _RIGHT - 166, 1):
        put(draw, (166, 118), line, font(26), dress.pale)


def _greeting(facts: CardFacts, dress: _Dress) -> str:
    known = bool(letter(facts.initials, ""))
    if known and facts.kind != "pay":
        return dress.greeting
    face = font(36, True)
    who = lines(facts.initials, face, _RIGHT - 166 - width(dress.greeting, face), 1) if known else ["朋友"]
    return who[0] + dress.greeting


def _offer(card: Image.Image, draw: ImageDraw.ImageDraw, facts: CardFacts, dress: _Dress) -> None:
    """The column beside the code: price, what matters, deadline, in the middle of the code's height."""
    said = _said(facts.line)
    until = lines(facts.deadline, font(26), _LETTERS, 2)
    if facts.price_fen is None and not said and not until:
        said = ["扫码进店看看"]
    high = (86 if facts.price_fen is not None else 0) + (22 + 40 * len(said) if said else 0) + 38 * len(until)
    y = _QR[1] + max(-24, (_QR_SIDE - high - 12 * (bool(said) + bool(until))) // 2)
    if facts.price_fen is not None:
        _price(draw, y + 66, facts.price_fen, facts.was_fen)
        y += 86
    if said:
        y += 6
        pill = (int(max(width(line, font(30, True)) for line in said)) + 40, 16 + 40 * len(said))
        card.paste(dress.pale, (_LEFT, y), rounded(pill, 28))
        for line in said:
            put(draw, (_LEFT + 20, y + 38), line, font(30, True), dress.bottom)
            y += 40
        y += 28
    for line in until:
        put(draw, (_LEFT, y + 26), line, font(26), _SOFT)
        y += 38


def _said(text: str) -> list[str]:
    """One line if it fits; else broken at its "·" if that gives two that fit; else wherever it must."""
    face, room = font(30, True), _LETTERS - 40
    whole = clean(text)
    parts = [part.strip() for part in whole.split("·")]
    if width(whole, face) > room and len(parts) == 2 and all(width(part, face) <= room for part in parts):
        return parts
    return lines(whole, face, room, 2)


def _price(draw: ImageDraw.ImageDraw, base_line: int, now: int, was: int | None) -> None:
    whole, _, rest = yuan(now).partition(".")
    sizes = (font(size, True) for size in (76, 54))
    big = next((face for face in sizes if width(whole, face) < 230), font(40, True))
    x = _LEFT - 2.0
    for text, face in (("¥", font(40, True)), (whole, big), (f".{rest}" if rest else "", font(40, True))):
        put(draw, (x, base_line), text, face, _PRICE)
        x += width(text, face)
    if was is None or was <= now:
        return
    text = f"¥{yuan(was)}"
    x += 16
    end = x + width(text, font(28))
    if end <= _LEFT + _LETTERS:
        put(draw, (x, base_line), text, font(28), _FAINT)
        draw.line((x - 2, base_line - 10, end + 2, base_line - 10), fill=_FAINT, width=2)


def _code(text: str) -> Image.Image:
    rows = qr_matrix(text)
    side = len(rows)
    small = Image.frombytes("L", (side, side), b"".join(rows)).point([255] + [24] * 255)
    # Whole pixels to a square: a scanner forgives a smaller code sooner than uneven squares.
    square = max(2, _QR_SIDE // side)
    code = small.resize((side * square, side * square), Image.Resampling.NEAREST)
    white = Image.new("L", (_QR_SIDE, _QR_SIDE), 255)
    white.paste(code, ((_QR_SIDE - code.width) // 2, (_QR_SIDE - code.height) // 2))
    return white.convert("RGB")


_pictures: dict[tuple[bytes, tuple[int, int]], Image.Image] = {}


def _kept_picture(jpeg: bytes, room: tuple[int, int]) -> Image.Image | None:
    """The picture cut to its place; the last 16 are kept (1 MB each): one product is invited to often."""
    key = (hashlib.sha256(jpeg).digest(), room)
    kept = _pictures.get(key)
    if kept is None:
        try:
            kept = _picture(jpeg, room)
        except Exception:  # whatever a decoder says of what a stranger uploaded: the card does without
            return None
        with _lock:
            while len(_pictures) >= 16:
                del _pictures[next(iter(_pictures))]
            _pictures[key] = kept
    return kept


def _picture(jpeg: bytes, room: tuple[int, int]) -> Image.Image:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:
        if opened.width * opened.height > 25_000_000:
            raise ValueError("picture too large")
        opened.draft("RGB", room)
        return ImageOps.fit(opened.convert("RGB"), room, Image.Resampling.BILINEAR)


@lru_cache(maxsize=32)
def _panel(kind: str, sign: str, room: tuple[int, int]) -> Image.Image:
    """What stands where a picture would: the first character, large, as a seal."""
    dress = _DRESSES[kind]
    panel = _slope(room, _WHITE, dress.pale)
    wide, high = room
    rings = Image.new("L", (wide * 2, high * 2), 0)
    draw = ImageDraw.Draw(rings)
    for step, radius in enumerate((620, 500, 380)):
        draw.ellipse((wide - radius, high - radius, wide + radius, high + radius), fill=28 + 26 * step)
    panel.paste(_mix(dress.pale, dress.top, 0.35), (0, 0), rings.reduce(2))
    seal = (220, 220)
    at = ((wide - seal[0]) // 2, (high - seal[1]) // 2)
    panel.paste(_slope(seal, dress.top, dress.bottom), at, rounded(seal, 44))
    put(ImageDraw.Draw(panel), (wide / 2, high / 2), sign, font(132, True), _WHITE, "mm")
    return panel


@cache
def _base(kind: str) -> Image.Image:
    """All that does not change from card to card; kept for the process, copied for each card."""
    dress = _DRESSES[kind]
    base = _slope((WIDE, HIGH), dress.top, dress.bottom)
    light = Image.new("L", (WIDE, HIGH), 0)
    draw = ImageDraw.Draw(light)
    draw.ellipse((470, -260, 930, 200), fill=26)
    draw.ellipse((-240, 900, 260, 1400), fill=20)
    draw.ellipse((600, 20, 760, 180), fill=22)
    base.paste(_WHITE, (0, 0), light.filter(ImageFilter.GaussianBlur(2)))
    left, top, right, bottom = _CARD
    size = (right - left, bottom - top)
    shadow = Image.new("L", (WIDE, HIGH), 0)
    shadow.paste(70, (left, top + 12), rounded(size, 36))
    base.paste(_mix(dress.bottom, (0, 0, 0), 0.6), (0, 0), shadow.filter(ImageFilter.GaussianBlur(14)))
    base.paste(_WHITE, (left, top), rounded(size, 36))
    base.paste(_WHITE, (56, 34), rounded((96, 96), 48))
    base.paste(dress.pale, (60, 38), rounded((88, 88), 44))
    return base


def _slope(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, size[1]))
    column.putdata([_mix(top, bottom, y / max(1, size[1] - 1)) for y in range(size[1])])
    return column.resize(size, Image.Resampling.NEAREST)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _jpeg(card: Image.Image) -> bytes:
    """As fine as 200 KB allow; only a picture of pure noise gets below the first quality."""
    data = b""
    for quality in (88, 78, 64, 45):
        out = io.BytesIO()
        card.save(out, "JPEG", quality=quality)
        data = out.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data


__all__ = ["HIGH", "MOST_BYTES", "WIDE", "CardFacts", "clean", "draw_card"]
