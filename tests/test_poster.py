"""Pictures: the invite card can be scanned and read, an upload is made safe, the demo's goods have a face."""

import hashlib
import io
import random
import re
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import pytest
import zxingcpp
from PIL import Image, ImageFont

from bot.web import lettering
from bot.web.picture import BadPicture, clean_jpeg, sketch
from bot.web.poster import HIGH, WIDE, CardFacts, draw_card
from bot.web.qr import qr_matrix, qr_svg
from models.prices import yuan

URL = "http://weixin.qq.com/q/02aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"
FACTS = CardFacts(
    kind="group",
    shop_name="山野好物",
    title="西湖龙井 明前特级 150g 罐装",
    price_fen=12900,
    was_fen=16800,
    line="3人团 · 还差 2 人",
    deadline="今晚 20:00 截止",
    initials="林",
    qr_url=URL,
    picture=None,
    footer="长按或扫码进店 · 不想收消息回 退订",
)
ODD = {
    "emoji": "龙井🍵👨‍👩‍👧‍👦☕️🇨🇳",
    "right-to-left override": "龙井\u202egnp.exe\u202c\u200f\u2067茶",
    "markup": "<script>alert('茶')</script>&amp;",
    "sixty characters": "南北干货" * 15,
    "one long word": "W" * 60,
    "rare characters": "𠮷𡃁㵘䶮龘喆堃",
    "traditional": "臺灣凍頂烏龍茶禮盒",
    "other writing": "قهوة ชา चाय ξαφε Чай さくら 한국 Crème Brûlée ﬁne ½",
    "control characters": "龙\x00井\x1b[31m\r\n\t茶\ufeff\u2028x\x85",
    "lone surrogates": "茶\ud83d\udc00茶",
    "combining heap": "茶" + "\u0301" * 300,
    "nothing": "",
    "only emoji": "🎉🎉",
    "blanks": " \u3000 \n",
}


def _noise(size: tuple[int, int], seed: int = 1) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))


def _file(image: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def _read(jpeg: bytes) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(Image.open(io.BytesIO(jpeg)).convert("L"))]


def _as_a_messenger_sends_it(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as card:
        small = card.resize((card.width * 6 // 10, card.height * 6 // 10), Image.Resampling.BILINEAR)
    return _file(small, quality=60)


@cache
def _box(bold: bool) -> bytes:
    return bytes(lettering.font(40, bold).getmask("\U0010fffd"))


def _is_tofu(character: str, face: ImageFont.FreeTypeFont, box: bytes) -> bool:
    return box == bytes(face.getmask(character))


@pytest.mark.parametrize("kind", ["shop", "product", "group", "pay"])
@pytest.mark.parametrize("picture", [None, "noise"])
def test_a_phone_reads_the_code_off_the_card_and_off_what_a_messenger_makes_of_it(kind, picture):
    jpeg = _file(_noise((900, 700)), quality=80) if picture else None
    card = draw_card(replace(FACTS, kind=kind, picture=jpeg))
    assert len(card) <= 200_000
    with Image.open(io.BytesIO(card)) as opened:
        assert (opened.format, opened.size) == ("JPEG", (WIDE, HIGH))
    assert _read(card) == [URL]
    assert _read(_as_a_messenger_sends_it(card)) == [URL]


@pytest.mark.parametrize("length", [1, 20, 64, 120, 121, 200, 300])
def test_a_short_and_a_long_address_are_both_read(length):
    url = ("https://shop.example/i/" + "Ab3_" * 100)[:length]
    card = draw_card(replace(FACTS, qr_url=url, picture=sketch("龙井", "茶叶", 1)))
    assert _read(card) == [url]
    assert _read(_as_a_messenger_sends_it(card)) == [url]


@pytest.mark.parametrize("url", ["", "x" * 301, "茶" * 101])
def test_an_address_that_no_phone_could_read_is_refused(url):
    with pytest.raises(ValueError, match="QR code"):
        draw_card(replace(FACTS, qr_url=url))


@pytest.mark.parametrize("what", ODD)
def test_an_odd_name_draws_without_an_empty_box_and_stays_inside_the_card(what, monkeypatch):
    drawn: list[str] = []
    inside = lettering.ImageDraw.ImageDraw.text

    def listen(self, at, text, font, fill, anchor):
        drawn.append(text)
        left, top, right, bottom = self.textbbox(at, text, font=font, anchor=anchor)
        wide, high = self.im.size
        assert left >= 0, text
        assert right <= wide, text
        assert top >= 0, text
        assert bottom <= high, text
        inside(self, at, text, font=font, fill=fill, anchor=anchor)

    monkeypatch.setattr(lettering.ImageDraw.ImageDraw, "text", listen)
    text = ODD[what]
    said = dict.fromkeys(("shop_name", "title", "line", "deadline", "initials", "footer"), text)
    for kind in ("group", "pay"):  # who asks to pay is named in full
        card = draw_card(replace(FACTS, kind=kind, was_fen=99999999999, **said))
        assert _read(card) == [URL]
        assert len(card) <= 200_000
    assert drawn
    for character in set("".join(drawn)):
        assert character in lettering.drawable(), repr(character)
        if character != " ":
            assert not _is_tofu(character, lettering.font(40, True), _box(True)), repr(character)
    sketch(text, text, 3)


def test_every_character_said_to_be_drawable_has_a_shape_in_both_fonts():
    for bold in (False, True):
        face = lettering.font(40, bold)
        boxes = [c for c in lettering.drawable() if not c.isspace() and _is_tofu(c, face, _box(bold))]
        assert boxes == []
    assert _is_tofu("\U0001f375", lettering.font(40, True), _box(True))  # the control: a box is seen


def test_all_of_gb2312_can_be_drawn():
    codes = (bytes((high, low)) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    chinese = {sign for code in codes if (sign := code.decode("gb2312", "ignore"))}
    assert len(chinese) == 6763
    assert chinese <= lettering.drawable()


def test_cleaning_keeps_what_can_be_read_and_loses_the_rest():
    assert lettering.clean(ODD["emoji"]) == "龙井"
    assert lettering.clean(ODD["right-to-left override"]) == "龙井gnp.exe茶"
    assert lettering.clean(ODD["traditional"]) == "台湾冻顶乌龙茶礼盒"
    assert lettering.clean(ODD["control characters"]) == "龙井[31m 茶 x"
    assert lettering.clean(ODD["markup"]) == ODD["markup"]
    assert lettering.clean("Crème ﬁne") == "Crème fine"
    assert lettering.clean(ODD["only emoji"]) == ""
    turning = r"[\x00-\x1f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
    assert not re.search(turning, lettering.clean("".join(ODD.values())))


def test_a_long_name_wraps_before_no_closing_mark_and_ends_in_dots():
    face = lettering.font(44, True)
    broken = lettering.lines("云南古树普洱茶（熟茶），" * 8, face, 300, 3)
    assert len(broken) == 3
    assert broken[-1].endswith("…")
    for line in broken:
        assert lettering.width(line, face) <= 300
        assert line[0] not in "，）。"
        assert line[-1] != "（"
    assert lettering.lines("龙井 Longjing 茶", face, 2000, 2) == ["龙井 Longjing 茶"]
    assert lettering.lines("x" * 400, face, 300, 2)[1].endswith("…")


def test_one_character_of_the_inviter_stands_in_the_circle_and_a_nameless_one_is_a_friend():
    assert lettering.letter("林小姐", "友") == "林"
    assert lettering.letter("🎉 amy", "友") == "A"
    assert lettering.letter("🎉\u202e", "友") == "友"


@pytest.mark.parametrize(
    ("fen", "shown"),
    [(2990, "29.9"), (2900, "29"), (2905, "29.05"), (5, "0.05"), (0, "0"), (100, "1"), (1000000, "10000")],
)
def test_a_price_is_shown_as_the_shop_shows_it(fen, shown):
    assert yuan(fen) == shown


def test_a_struck_price_shows_only_when_it_was_higher():
    plain = draw_card(replace(FACTS, was_fen=None))
    assert draw_card(replace(FACTS, was_fen=FACTS.price_fen)) == plain
    assert draw_card(replace(FACTS, was_fen=100)) == plain
    assert draw_card(FACTS) != plain


def test_the_card_s_own_words_promise_nothing_for_passing_it_on(monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(lettering.ImageDraw.ImageDraw, "text", lambda me, at, text, **how: drawn.append(text))
    for kind in ("shop", "product", "group", "pay"):
        for initials in ("林", ""):
            bare = replace(FACTS, price_fen=None, was_fen=None, line="", deadline="", title="", shop_name="")
            draw_card(replace(bare, kind=kind, initials=initials, footer=""))
    said = "".join(drawn)
    assert "邀请您" in said
    assert "林想请您帮忙付" in said
    assert "朋友想请您帮忙付" in said
    assert not re.search("转发|分享|奖|返|赚|免费|必中|红包|佣金", said)


def test_two_threads_drawing_at_once_give_the_same_bytes_for_the_same_facts():
    tea, fruit = sketch("西湖龙井", "茶叶", 1), sketch("赣南脐橙", "水果", 2)
    facts = [replace(FACTS, picture=tea), replace(FACTS, kind="product", title="赣南脐橙", picture=fruit)]
    alone = [draw_card(each) for each in facts]
    with ThreadPoolExecutor(2) as two:
        together = list(two.map(draw_card, facts * 8))
    assert together == alone * 8


def test_a_picture_that_cannot_be_read_is_left_out_of_the_card():
    without = draw_card(FACTS)
    whole = sketch("西湖龙井", "茶叶", 1)
    for broken in (b"", b"broken", whole[:2000], b"GIF89a", _file(_noise((40, 40)), "PNG")):
        assert draw_card(replace(FACTS, picture=broken)) == without
    assert draw_card(replace(FACTS, picture=whole)) != without


def test_an_upload_becomes_a_small_jpeg_a_thumbnail_and_an_address():
    raw = _file(_noise((2400, 1800)).resize((3000, 2250)), quality=40)
    picture = clean_jpeg(raw)
    assert len(picture.jpeg) <= 300_000
    assert len(picture.thumb) <= 40_000
    assert picture.sha256 == hashlib.sha256(picture.jpeg).hexdigest()
    with Image.open(io.BytesIO(picture.jpeg)) as jpeg, Image.open(io.BytesIO(picture.thumb)) as thumb:
        assert (jpeg.format, jpeg.size) == ("JPEG", (picture.width, picture.height))
        assert max(jpeg.size) <= 1200
        assert max(thumb.size) <= 320
    assert clean_jpeg(raw) == picture


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", mode) for mode in ("RGB", "L", "1", "CMYK")]
    + [("PNG", mode) for mode in ("RGB", "RGBA", "L", "P", "LA", "1", "I;16")]
    + [("WEBP", mode) for mode in ("RGB", "RGBA")],
)
def test_every_usual_way_to_store_a_picture_is_taken(kind, mode):
    image = _noise((120, 90)).convert("I" if mode == "I;16" else mode).convert(mode)
    picture = clean_jpeg(_file(image, kind))
    assert (picture.width, picture.height) == (120, 90)


def test_where_a_photo_was_taken_is_forgotten_and_a_photo_on_its_side_is_set_upright():
    image, exif = _noise((200, 100)), Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (30.0, 15.0, 0.0)}
    exif[0x010F] = "PhoneMaker"
    picture = clean_jpeg(_file(image, exif=exif.tobytes(), comment=b"hello"))
    assert (picture.width, picture.height) == (100, 200)
    for made in (picture.jpeg, picture.thumb):
        assert b"Exif" not in made
        assert b"PhoneMaker" not in made
        assert b"hello" not in made


def test_transparent_parts_become_white():
    made = clean_jpeg(_file(Image.new("RGBA", (64, 64), (200, 0, 0, 0)), "PNG"))
    with Image.open(io.BytesIO(made.jpeg)) as opened:
        assert opened.getpixel((30, 30)) == (255, 255, 255)


def _png_of(wide: int, high: int) -> bytes:
    """A PNG that says it is this large and hardly has any bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def _endless_scans() -> bytes:
    jpeg = _file(_noise((64, 64)), progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * 400 + jpeg[-2:]


HOSTILE = {
    "a bomb of 900 million pixels": (lambda: _png_of(30_000, 30_000), "pixels"),
    "a bomb of 100 million pixels": (lambda: _png_of(10_000, 10_000), "pixels"),
    "one pixel row too many": (lambda: _png_of(5000, 5001), "pixels"),
    "a pixel for counting readers": (lambda: _file(_noise((1, 1)), "PNG"), "small"),
    "a GIF": (lambda: _file(_noise((64, 64)).convert("P"), "GIF"), "kind"),
    "a BMP": (lambda: _file(_noise((64, 64)), "BMP"), "kind"),
    "a web page": (lambda: b"<!doctype html><script>alert(1)</script>", "kind"),
    "an SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "kind"),
    "a web page with a JPEG's head": (lambda: b"\xff\xd8\xff\xe0<html>", "broken"),
    "nothing": (lambda: b"", "kind"),
    "a torn JPEG": (lambda: _file(_noise((400, 400)))[:20_000], "broken"),
    "a torn PNG": (lambda: _file(_noise((400, 400)), "PNG")[:20_000], "broken"),
    "a torn WebP": (lambda: _file(_noise((400, 400)), "WEBP")[:5_000], "broken"),
    "a JPEG of 400 scans": (_endless_scans, "broken"),
    "more than 10 MiB": (lambda: _file(_noise((64, 64))) + bytes(10 * 1024 * 1024), "large"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_proper_picture_is_refused(what):
    make, reason = HOSTILE[what]
    raw = make()
    with pytest.raises(BadPicture) as refused:
        clean_jpeg(raw)
    assert refused.value.reason == reason


def test_a_damaged_file_is_refused_or_taken_but_never_anything_else():
    chance = random.Random(7)
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = _file(_noise((48, 48)), kind)
        for _ in range(60):
            raw = bytearray(whole)
            for _ in range(chance.randint(1, 12)):
                raw[chance.randrange(12, len(raw))] = chance.randrange(256)
            try:
                assert len(clean_jpeg(bytes(raw)).jpeg) <= 300_000
            except BadPicture:
                continue


def test_the_demo_s_goods_have_pictures_that_do_not_change_and_are_quickly_drawn():
    goods = [
        ("西湖龙井 明前特级", "茶叶"),
        ("赣南脐橙 5斤装", "水果"),
        ("每日坚果", "零食"),
        ("新疆长绒棉毛巾", "家纺"),
        ("铸铁珐琅锅", "厨房"),
        ("电热养生壶", "厨房电器"),
        ("桂花护手霜", "个护"),
        ("牛皮纸笔记本", "文具"),
        ("紫砂西施壶", "茶具"),
        ("洋槐蜂蜜", "粮油"),
        ("五常大米", "粮油"),
        ("手工剪刀", "其他"),
    ]
    sketch("茶", "茶", 0)
    start = time.process_time()
    pictures = [sketch(name, category, seed) for seed, (name, category) in enumerate(goods)]
    assert time.process_time() - start < 1.5, "48 of them would take too long for a first start"
    assert len(set(pictures)) == len(goods)
    assert pictures == [sketch(name, category, seed) for seed, (name, category) in enumerate(goods)]
    for jpeg in pictures:
        assert 10_000 < len(jpeg) < 60_000
        assert clean_jpeg(jpeg).width == 600


def test_the_code_on_a_pay_page_is_read_and_its_label_cannot_break_out():
    svg = qr_svg("weixin://wxpay/bizpayurl?pr=abc", '扫码支付"><script>')
    assert "<script" not in svg
    assert "style" not in svg
    side = int(re.search(r'viewBox="0 0 (\d+) ', svg)[1])
    page = Image.new("L", (side, side), 255)
    for x, y, long in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", svg):
        page.paste(0, (int(x), int(y), int(x) + int(long), int(y) + 1))
    page = page.resize((side * 4, side * 4), Image.Resampling.NEAREST)
    assert [found.text for found in zxingcpp.read_barcodes(page)] == ["weixin://wxpay/bizpayurl?pr=abc"]
    assert len(qr_matrix("a")) == 21
