"""QR codes: the dark and light squares that the invite card paints, and the drawing on a pay page."""

import html

import segno

LONGEST = 300
"""Bytes: above this the squares get too small for a phone that reads off another phone."""

_MASK = 2
"""Trying all eight masks takes five times as long, and any of them can be read."""


def qr_matrix(text: str) -> tuple[bytes, ...]:
    """The rows of the code without its quiet zone, one byte a square: 1 is dark.

    Raises ValueError for an empty text or one of more than 300 bytes.
    """
    return tuple(bytes(1 if square else 0 for square in row) for row in _code(text).matrix)


def qr_svg(text: str, label: str = "") -> str:
    """An inline <svg> (no style attribute, so it passes a strict CSP) with a quiet zone of four squares.

    It has no width of its own: the page's stylesheet sizes the class "qr". Label is for a screen reader.
    Raises ValueError as qr_matrix does.
    """
    rows = qr_matrix(text)
    side = len(rows) + 8
    runs: list[str] = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                runs.append(f"M{x + 4} {y + 4}h{end - x}v1h-{end - x}z")
            x = end + 1
    spoken = f' aria-label="{html.escape(label)}"' if label else ""
    return (
        f'<svg class="qr" role="img"{spoken} viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path fill="#000" d="{"".join(runs)}"/></svg>'
    )


def _code(text: str) -> segno.QRCode:
    size = len(text.encode("utf-8", "surrogatepass"))
    if not 0 < size <= LONGEST:
        raise ValueError(f"a QR code of {size} bytes: it takes 1 to {LONGEST}")
    # Level M survives a messenger's recompression; a long text gets larger squares from level L instead.
    return segno.make_qr(text, error="m" if size <= 120 else "l", mask=_MASK, boost_error=False)
