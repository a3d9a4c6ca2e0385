"""Product pictures: what was uploaded made safe and small, and the drawn ones of the demo catalogue."""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from bot.web.sketch import sketch

__all__ = ["BadPicture", "Picture", "clean_jpeg", "sketch"]

MOST_RAW = 10 * 1024 * 1024
MOST_PIXELS = 25_000_000
MOST_JPEG = 300_000
MOST_THUMB = 40_000
_SIDE, _THUMB_SIDE = 1200, 320
_SMALLEST = 16
_SCANS = 100
_FORMATS = ["JPEG", "PNG", "WEBP"]


class BadPicture(ValueError):
    """Not a picture that the shop takes; reason is one of large, kind, pixels, small, broken."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Picture:
    sha256: str
    """Of jpeg, 64 hex digits: its address."""
    jpeg: bytes
    thumb: bytes
    width: int
    """Pixels of jpeg."""
    height: int


def clean_jpeg(raw: bytes) -> Picture:
    """Decodes a JPEG, PNG or WebP of at most 10 MiB and 25 million pixels and encodes it afresh.

    The result has at most 1200 pixels a side and 300 KB, its thumbnail 320 and 40 KB; turned upright,
    transparent parts white, without any metadata (a phone writes where it was). The same bytes give the same
    result. The largest may take a second: call it in a thread. Raises BadPicture for everything else.
    """
    if len(raw) > MOST_RAW:
        raise BadPicture("large")
    webp = raw[:4] == b"RIFF" and raw[8:12] == b"WEBP"
    if not webp and not raw.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        raise BadPicture("kind")
    # A progressive JPEG may repeat its scans, some bytes each, and every one walks over the whole picture.
    if raw.startswith(b"\xff\xd8") and raw.count(b"\xff\xda") > _SCANS:
        raise BadPicture("broken")
    try:
        image = _decoded(raw)
        jpeg = _within(image, _SIDE, MOST_JPEG)
        thumb = _within(image, _THUMB_SIDE, MOST_THUMB)
    except BadPicture:
        raise
    except Exception as fault:  # decoders fail in many ways on hostile input, and all mean the same
        raise BadPicture("broken") from fault
    with Image.open(io.BytesIO(jpeg)) as made:
        wide, high = made.size
    return Picture(hashlib.sha256(jpeg).hexdigest(), jpeg, thumb, wide, high)


def _decoded(raw: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise BadPicture("pixels") from fault
    with opened:
        wide, high = opened.size
        if wide * high > MOST_PIXELS:
            raise BadPicture("pixels")
        if min(wide, high) < _SMALLEST:
            raise BadPicture("small")
        opened.draft("RGB", (_SIDE, _SIDE))
        opened.load()
        image: Image.Image = opened
        if image.mode in {"I", "I;16", "I;16B", "F"}:
            image = image.convert("I").point([value // 256 for value in range(65536)], "L")
        if image.mode in {"P", "PA", "LA", "La", "RGBa"} or "transparency" in image.info:
            image = image.convert("RGBA")
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "RGBA":
            paper = Image.new("RGB", image.size, (255, 255, 255))
            paper.paste(image, mask=image.getchannel("A"))
            return paper
        plain = image.convert("RGB")
        plain.info = {}  # a comment or a profile would be written into the new file
        return plain


def _within(image: Image.Image, side: int, most: int) -> bytes:
    """A JPEG of at most so many pixels a side and so many bytes: first coarser, then smaller."""
    while True:
        fitted = image.copy()
        fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in (86, 76, 64, 50):
            out = io.BytesIO()
            fitted.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= most:
                return out.getvalue()
        side = side * 3 // 4
