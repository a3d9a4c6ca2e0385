"""Chinese lettering on pictures: which characters can be drawn, and how a long name is broken into lines."""

import threading
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_FONTS = Path(__file__).parent / "static" / "fonts"
_FACES = {False: "NotoSansCJKsc-Regular.woff2", True: "NotoSansCJKsc-Bold.woff2"}
_LONGEST = 400
_NOT_FIRST = frozenset("，。、；：！？…·）》」』】〕〉”’％%,.;:!?)]}~～")
_NOT_LAST = frozenset("（《「『【〔〈“‘([{¥￥")
_lock = threading.Lock()


@cache
def drawable() -> frozenset[str]:
    """Every character that both fonts draw."""
    return frozenset(_table()[0])


@lru_cache(maxsize=512)
def clean(text: str) -> str:
    """The text as it can be drawn: one line, no empty box, no character that turns the writing round.

    Control and bidi characters, emoji and characters that the fonts lack are left out; a traditional
    character outside them becomes its simplified one, a letter with an unknown accent its plain letter.
    What follows the 400th character is not looked at.
    """
    drawn: list[str] = []
    for character in unicodedata.normalize("NFC", text[:_LONGEST]):
        drawn.append(" " if character.isspace() else _substitute(character))
    return " ".join("".join(drawn).split())


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A face of that size in pixels, opened once (about 16 ms and 2 MB each)."""
    # BASIC layout: the text is clean, so there is nothing to shape, and nothing that could change direction.
    return ImageFont.truetype(str(_FONTS / _FACES[bold]), size, layout_engine=ImageFont.Layout.BASIC)


def put(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    face: ImageFont.FreeTypeFont,
    fill: tuple[int, int, int],
    anchor: str = "ls",
) -> None:
    """Draws one line; at is the left end of its base line unless the anchor (Pillow's) says otherwise."""
    with _lock:  # a face is shared by all threads, and FreeType loads one glyph at a time into it
        draw.text(at, text, font=face, fill=fill, anchor=anchor)


def width(text: str, face: ImageFont.FreeTypeFont) -> float:
    """Pixels from the start of the text to where the next character would stand."""
    with _lock:
        return face.getlength(text)


def lines(text: str, face: ImageFont.FreeTypeFont, room: float, most: int) -> list[str]:
    """The cleaned text broken into at most so many lines of room pixels; what is too long ends in "…".

    Chinese breaks anywhere but before a closing mark or after an opening one; words and numbers stay whole
    if they fit.
    """
    pieces = _pieces(clean(text))
    broken: list[str] = []
    line = ""
    while pieces:
        piece = pieces.pop(0)
        if width(line + piece.rstrip(), face) <= room:
            line += piece
        elif line:
            broken.append(line.rstrip())
            line = ""
            pieces.insert(0, piece.lstrip())
        else:  # one word wider than a line: cut it where the line ends
            fits = _fitting(piece, face, room)
            broken.append(piece[:fits])
            pieces.insert(0, piece[fits:])
        if len(broken) > most:
            break
    if line.strip():
        broken.append(line.rstrip())
    if len(broken) > most:
        last = broken[most - 1]
        while last and width(last + "…", face) > room:
            last = last[:-1]
        broken[most - 1 :] = [last.rstrip() + "…"]
    return broken


def _fitting(text: str, face: ImageFont.FreeTypeFont, room: float) -> int:
    fits = 1
    while fits < len(text) and width(text[: fits + 1], face) <= room:
        fits += 1
    return fits


def _pieces(text: str) -> list[str]:
    """What may not be torn: a word (up to 18 letters) with its blank, a character with its marks."""
    pieces: list[str] = []
    for character in text:
        before = pieces[-1][-1] if pieces else ""
        clings = before and (
            character in _NOT_FIRST or before in _NOT_LAST or character == " " or (_latin(character) and _latin(before))
        )
        if clings and len(pieces[-1]) < 18:
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _latin(character: str) -> bool:
    return (character.isalnum() and ord(character) < 0x250) or character in "-_./'&+#@"


def _substitute(character: str) -> str:
    known = drawable()
    if character in known:
        return character
    plain = _table()[1].get(character, "")
    if not plain and unicodedata.category(character)[0] in "LNPS":
        for form in ("NFKC", "NFKD"):
            parts = [part for part in unicodedata.normalize(form, character) if part in known]
            if parts and not unicodedata.combining(parts[0]):
                return "".join(parts)[:4].strip()
    return plain


@cache
def _table() -> tuple[str, dict[str, str]]:
    known, outside, drawn_as, _ = (_FONTS / "characters.txt").read_text(encoding="utf-8").split("\n")
    return known, dict(zip(outside, drawn_as, strict=True))


def letter(text: str, otherwise: str) -> str:
    """The first letter (capital), number or Chinese character, to stand in a circle; else otherwise."""
    for character in clean(text):
        if character.isalnum():
            return character.upper()[:1]
    return otherwise


def rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A smooth "L" mask of a rectangle with round corners (kept; do not draw on it)."""
    return _rounded(size, min(radius, min(size) // 2))


@lru_cache(maxsize=64)
def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    wide, high = size
    mask = Image.new("L", (wide * 4, high * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, wide * 4 - 1, high * 4 - 1), radius * 4, fill=255)
    return mask.reduce(4)
