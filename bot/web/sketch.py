"""Drawn pictures for the demo catalogue: a tin of tea, a basket of fruit, folded towels, with their name."""

import io
import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from bot.web.easel import SIDE, Box, Colour, Stage, mix
from bot.web.lettering import clean, font, lines, put, rounded, width

_TONES: tuple[tuple[Colour, Colour], ...] = (
    ((250, 240, 226), (232, 208, 180)),
    ((235, 244, 236), (196, 219, 204)),
    ((236, 241, 250), (197, 210, 232)),
    ((252, 236, 233), (236, 200, 196)),
    ((246, 240, 250), (214, 202, 230)),
    ((240, 246, 246), (192, 216, 220)),
)
_DYES: tuple[Colour, ...] = (
    (52, 120, 94),
    (188, 72, 58),
    (58, 92, 146),
    (206, 140, 52),
    (122, 82, 128),
    (70, 130, 140),
    (170, 96, 70),
)


def sketch(name: str, category: str, seed: int) -> bytes:
    """A JPEG of 600 × 600 pixels, about 25 KB, in about 35 ms; the same three values give the same bytes.

    What is drawn follows from words in the name and the category (茶, 坚果, 巾, 锅, 笔 …); else a gift box.
    """
    chance = random.Random(f"{name}|{category}|{seed}".encode("utf-8", "backslashreplace"))
    stage = Stage(chance.choice(_TONES))
    _motif(name, category)(stage, name, chance)
    picture = stage.finish()
    _name_plate(picture, name, category)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()


def _name_plate(picture: Image.Image, name: str, category: str) -> None:
    """The name on a white plate, high enough to stay whole when an invite card crops the picture."""
    face, small = font(32, True), font(22)
    kind = clean(category)[:8]
    aside = width(kind, small) + 20 if kind else 0
    said = "".join(lines(name, face, SIDE - 96 - aside, 1))
    wide = round(width(said, face) + aside)
    plate = rounded((wide + 44, 66), 18).point(lambda value: value * 225 // 255)
    picture.paste((255, 255, 255), (24, 462), plate)
    brush = ImageDraw.Draw(picture)
    put(brush, (46, 506), said, face, (44, 38, 36))
    put(brush, (46 + wide, 505), kind, small, (136, 126, 120), "rs")


def _sign(name: str, most: int) -> str:
    """What fits on a label: the name's first word if it is short, else its first two characters."""
    first = next(iter(clean(name).split()), "")
    sign = "".join(character for character in first if character > "\u2fff" and character.isalpha())
    return sign if len(sign) <= most else sign[:2]


def _dye(chance: random.Random) -> Colour:
    return chance.choice(_DYES)


def _tea(stage: Stage, name: str, chance: random.Random) -> None:
    leaf = next((colour for word, colour in _BREWS if word in name), (164, 120, 48))
    tin = next((colour for word, colour in _TINS if word in name), _dye(chance))
    stage.shade((120, 405, 390, 465))
    stage.shade((340, 410, 545, 462), 80)
    stage.box(tin, (150, 150, 350, 440), 18)
    stage.box(mix(tin, (20, 20, 20), 0.25), (150, 150, 350, 196), 14)
    stage.box((238, 214, 150), (150, 196, 350, 203), 0)
    stage.box((250, 246, 236), (206, 222, 294, 420), 6, 0.15)
    stage.word(_sign(name, 4) or "茶", 250, 321, 40, mix(tin, (20, 20, 20), 0.35), down=True)
    stage.arc((246, 244, 240), (488, 352, 540, 410), 250, 110, 11)
    stage.lay((250, 249, 246), (380, 338, 512, 442), _bowl)
    stage.oval((228, 224, 216), (380, 322, 512, 356))
    stage.oval(leaf, (389, 327, 503, 353), 0.2)
    for _ in range(9):
        x, y = chance.randint(60, 130), chance.randint(418, 446)
        _leaf(stage, mix(leaf, (40, 80, 36), 0.75), x, y, chance.randint(16, 26), chance.uniform(-0.9, 0.9))


def _leaf(stage: Stage, colour: Colour, x: float, y: float, long: float, turn: float) -> None:
    along, over = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
    points = []
    for step in range(13):
        t = step / 12
        points.append((t, 0.22 * math.sin(t * math.pi)))
    outline = [(t, side) for t, side in points] + [(t, -side) for t, side in reversed(points)]
    stage.poly(
        colour,
        [
            (x + long * (t * along[0] + side * over[0]), y + long * (t * along[1] + side * over[1]))
            for t, side in outline
        ],
    )


def _bowl(brush: ImageDraw.ImageDraw, edge: Box) -> None:
    left, top, right, bottom = edge
    high = bottom - top
    brush.pieslice((left, top - high, right, bottom), 0, 180, fill=255)
    third = (right - left) / 3
    brush.rectangle((left + third, bottom - high * 0.16, right - third, bottom), fill=255)


def _pot(stage: Stage, name: str, chance: random.Random) -> None:
    glaze = chance.choice(((206, 220, 218), (236, 232, 224), (96, 128, 132)))
    clay = (150, 78, 56) if "紫砂" in name else glaze
    dark = mix(clay, (20, 16, 16), 0.2)
    stage.shade((120, 402, 470, 466))
    stage.arc(dark, (376, 236, 500, 400), 270, 92, 22)
    stage.poly(clay, [(120, 250), (150, 240), (226, 330), (210, 396)])
    stage.oval(clay, (170, 216, 430, 446))
    stage.box(dark, (236, 430, 364, 446), 6)
    stage.oval(dark, (222, 206, 378, 250))
    stage.oval(mix(clay, (255, 255, 255), 0.1), (228, 200, 372, 240))
    stage.ball(clay, 300, 196, 20)
    stage.shade((440, 424, 560, 462), 70)
    stage.lay(clay, (452, 386, 548, 450), _bowl)
    stage.oval(dark, (452, 376, 548, 398))
    stage.oval((188, 140, 62), (460, 379, 540, 395), 0.1)
    sign = _sign(name, 1)
    if sign:
        stage.word(sign, 300, 340, 64, mix(clay, (20, 16, 16) if sum(clay) > 400 else (255, 240, 220), 0.3))


def _fruit(stage: Stage, name: str, chance: random.Random) -> None:
    skin = next((colour for word, colour in _SKINS if word in name), (224, 76, 54))
    stage.shade((90, 392, 510, 468))
    small = any(word in name for word in ("葡萄", "提", "莓", "樱桃", "车厘子", "枣", "荔枝"))
    radius = 46.0 if small else 88.0
    spots = (
        [
            (300, 190),
            (250, 250),
            (350, 250),
            (205, 315),
            (300, 312),
            (395, 315),
            (160, 388),
            (253, 384),
            (347, 384),
            (440, 388),
        ]
        if small
        else [(300, 226), (206, 288), (394, 288), (300, 346)]
    )
    for x, y in spots:
        tint = mix(skin, (255, 236, 170), chance.uniform(0.0, 0.18))
        stage.ball(tint, x + chance.uniform(-5, 5), y + chance.uniform(-5, 5), radius)
        if not small:
            stage.oval(mix(skin, (60, 40, 20), 0.55), (x - 7, y - radius + 14, x + 7, y - radius + 22))
    for turn in (-0.5, -2.5):
        _leaf(stage, (78, 138, 66), 300, spots[0][1] - radius + 12, 92, turn)
    stage.lay((176, 124, 78), (96, 340 if not small else 380, 504, 452), _basket)
    for row in range(3):
        y = (376 if not small else 400) + row * 20
        stage.box((206, 160, 108), (128 + row * 9, y, 472 - row * 9, y + 8), 4, 0.3)


def _basket(brush: ImageDraw.ImageDraw, edge: Box) -> None:
    left, top, right, bottom = edge
    inset = (right - left) * 0.12
    brush.polygon([(left, top), (right, top), (right - inset, bottom), (left + inset, bottom)], fill=255)
    brush.rounded_rectangle((left, top, right, top + (bottom - top) * 0.2), 12, fill=255)


def _nuts(stage: Stage, name: str, chance: random.Random) -> None:
    kraft = chance.choice(((208, 166, 116), (60, 92, 84), (186, 84, 62), (226, 196, 140)))
    stage.shade((130, 402, 470, 462))
    stage.poly(kraft, [(170, 130), (430, 130), (446, 300), (436, 440), (164, 440), (154, 300)])
    stage.box(mix(kraft, (30, 20, 20), 0.22), (168, 118, 432, 152), 4)
    for x in range(180, 430, 14):
        stage.box(mix(kraft, (255, 255, 255), 0.2), (x, 122, x + 4, 148), 1, 0.1)
    stage.oval((252, 247, 236), (206, 196, 394, 384), 0.12)
    sign = _sign(name, 4) or "坚果"
    stage.word(sign[:2], 300, 272 if len(sign) > 2 else 290, 52, (92, 58, 36))
    if len(sign) > 2:
        stage.word(sign[2:], 300, 330, 44, (92, 58, 36))
    nut = next((colour for word, colour in _NUTS if word in name), (196, 138, 82))
    for _ in range(14):
        at, low = chance.uniform(90, 520), chance.uniform(424, 446)
        stage.oval(mix(nut, (60, 30, 10), chance.uniform(0, 0.3)), (at - 17, low - 12, at + 17, low + 12))


def _jar(stage: Stage, name: str, chance: random.Random) -> None:
    filling = next((colour for word, colour in _FILLINGS if word in name), (222, 152, 40))
    stage.shade((150, 402, 450, 464))
    stage.box(mix(filling, (255, 255, 255), 0.45), (180, 176, 420, 442), 40, 0.5)
    stage.box(filling, (190, 226, 410, 434), 34, 0.5)
    stage.box((214, 176, 106), (196, 128, 404, 186), 12)
    stage.box((190, 150, 84), (196, 170, 404, 180), 2)
    stage.box((253, 249, 240), (206, 270, 394, 386), 8, 0.12)
    stage.word(_sign(name, 3) or "好物", 300, 330, 50, mix(filling, (40, 20, 10), 0.6))
    stage.box((255, 250, 226), (208, 240, 218, 262), 5, 0.0)


def _sack(stage: Stage, name: str, chance: random.Random) -> None:
    cloth = chance.choice(((228, 212, 180), (214, 190, 150), (236, 226, 206)))
    grain = next((colour for word, colour in _GRAINS if word in name), (244, 234, 206))
    stage.shade((120, 400, 480, 466))
    stage.poly(cloth, [(176, 190), (424, 190), (462, 330), (446, 440), (154, 440), (138, 330)])
    neck = [(210, 112), (390, 112), (346, 178), (424, 194), (176, 194), (254, 178)]
    stage.poly(mix(cloth, (120, 90, 50), 0.15), neck)
    stage.box((178, 62, 48), (226, 172, 374, 188), 8)
    sign = _sign(name, 2) or "五谷"
    stage.oval((178, 62, 48), (220, 234, 380, 394), 0.2)
    stage.word(sign, 300, 314, 58 if len(sign) > 1 else 86, (255, 246, 230))
    for _ in range(60):
        x, y = chance.gauss(300, 100), chance.uniform(438, 458)
        stage.oval(mix(grain, (90, 60, 20), chance.uniform(0, 0.2)), (x - 8, y - 5, x + 8, y + 5), 0.2)


def _cloth(stage: Stage, name: str, chance: random.Random) -> None:
    dye = mix(_dye(chance), (255, 255, 255), 0.35)
    stage.shade((90, 396, 510, 470))
    for layer in range(4):
        top = 366 - layer * 66
        tint = mix(dye, (255, 255, 255), (0.0, 0.55, 0.2, 0.72)[layer])
        inset = 100 + layer * 8
        stage.box(tint, (inset, top, SIDE - inset, top + 78), 34, 0.3)
        for fold in (26, 50):
            edge = (inset + 20, top + fold, SIDE - inset - 4, top + fold + 3)
            stage.box(mix(tint, (60, 40, 50), 0.16), edge, 1, 0.1)
        stripe = (SIDE - inset - 96, top + 4, SIDE - inset - 84, top + 74)
        stage.box(mix(tint, (60, 40, 50), 0.1), stripe, 1, 0.1)
    stage.box((252, 248, 240), (226, 224, 374, 420), 4, 0.12)
    stage.word(_sign(name, 3) or "织物", 300, 322, 44, mix(dye, (30, 20, 30), 0.6), down=True)


def _pan(stage: Stage, name: str, chance: random.Random) -> None:
    metal = chance.choice(((70, 74, 80), (182, 66, 52), (58, 96, 92), (214, 206, 194)))
    dark = mix(metal, (12, 12, 14), 0.3)
    stage.shade((80, 396, 520, 470))
    for side in (-1, 1):
        x = 300 + side * 206
        stage.arc(dark, (x - 40, 270, x + 40, 330), 0, 360, 15)
    stage.box(metal, (116, 252, 484, 440), 56, 0.5)
    stage.box(dark, (104, 236, 496, 266), 14, 0.4)
    stage.lay(mix(metal, (255, 255, 255), 0.12), (120, 160, 480, 240), _dome)
    stage.box(dark, (286, 132, 314, 166), 6)
    stage.ball((60, 44, 36), 300, 124, 24)
    for x in (220, 300, 380):
        stage.arc((255, 255, 255), (x - 14, 44, x + 14, 96), 90, 250, 4)
    ink = mix(metal, (255, 255, 255) if sum(metal) < 500 else (60, 40, 40), 0.7)
    stage.word(_sign(name, 4) or "厨房", 300, 356, 46, ink)


def _dome(brush: ImageDraw.ImageDraw, edge: Box) -> None:
    left, top, right, bottom = edge
    brush.pieslice((left, top, right, bottom + (bottom - top)), 180, 360, fill=255)


def _appliance(stage: Stage, name: str, chance: random.Random) -> None:
    shell = chance.choice(((244, 240, 232), (206, 224, 216), (240, 214, 206), (88, 98, 112)))
    dark = mix(shell, (24, 22, 26), 0.45)
    stage.shade((120, 400, 500, 466))
    stage.arc(dark, (376, 180, 500, 400), 275, 85, 24)
    stage.poly(shell, [(190, 160), (410, 160), (436, 420), (164, 420)], 0.5)
    stage.poly(mix(shell, (24, 22, 26), 0.12), [(190, 160), (130, 186), (186, 214)])
    stage.box(dark, (184, 142, 416, 166), 10)
    stage.ball(dark, 300, 136, 16)
    stage.box(dark, (150, 416, 450, 442), 10)
    ink = mix(shell, (255, 255, 255) if sum(shell) < 400 else (60, 50, 50), 0.75)
    stage.word(_sign(name, 4) or "小电", 298, 286, 44, ink)
    stage.oval((240, 120, 70), (288, 350, 308, 370), 0.2)


def _bottle(stage: Stage, name: str, chance: random.Random) -> None:
    glass = mix(_dye(chance), (255, 255, 255), 0.42)
    stage.shade((110, 404, 500, 464))
    stage.box((250, 248, 244), (282, 92, 310, 180), 6)
    stage.box((250, 248, 244), (206, 84, 318, 108), 10)
    stage.box((236, 232, 226), (250, 148, 342, 186), 8)
    stage.box(glass, (196, 178, 396, 442), 36, 0.5)
    stage.box((255, 253, 249), (222, 244, 370, 402), 6, 0.12)
    sign = _sign(name, 4) or "护理"
    stage.word(sign[:2], 296, 298 if len(sign) > 2 else 322, 46, mix(glass, (20, 30, 30), 0.6))
    stage.word(sign[2:], 296, 352, 40, mix(glass, (20, 30, 30), 0.6))
    stage.box(mix(glass, (255, 255, 255), 0.35), (420, 330, 520, 442), 18, 0.4)
    stage.box((250, 248, 244), (424, 306, 516, 340), 8)
    _leaf(stage, (96, 150, 90), 92, 452, 86, -0.8)
    _leaf(stage, (120, 170, 104), 96, 450, 78, -0.15)


def _paper(stage: Stage, name: str, chance: random.Random) -> None:
    cover = _dye(chance)
    stage.shade((110, 404, 520, 466))
    stage.poly((252, 249, 242), [(150, 132), (400, 112), (422, 430), (172, 446)], 0.15)
    stage.poly(cover, [(136, 128), (388, 108), (410, 424), (158, 442)])
    stage.poly(mix(cover, (20, 16, 20), 0.25), [(136, 128), (166, 126), (188, 440), (158, 442)])
    stage.box((252, 247, 236), (224, 186, 358, 296), 6, 0.12)
    sign = _sign(name, 4) or "文具"
    stage.word(sign[:2], 291, 222 if len(sign) > 2 else 241, 38, mix(cover, (20, 16, 20), 0.4))
    stage.word(sign[2:], 291, 264, 34, mix(cover, (20, 16, 20), 0.4))
    for step, colour in enumerate(((232, 170, 60), (206, 74, 66), (72, 128, 150))):
        x, y = 444 + step * 30, 156 + step * 18
        stage.poly(colour, [(x, y + 34), (x + 20, y + 34), (x + 24, 440), (x + 4, 440)])
        stage.poly((240, 214, 176), [(x, y + 34), (x + 10, y), (x + 20, y + 34)])
        stage.poly((50, 44, 44), [(x + 7, y + 10), (x + 10, y), (x + 13, y + 10)])


def _gift(stage: Stage, name: str, chance: random.Random) -> None:
    paper = _dye(chance)
    band = (238, 210, 140)
    stage.shade((100, 400, 500, 468))
    stage.box(paper, (136, 236, 464, 440), 10)
    stage.box(mix(paper, (255, 255, 255), 0.14), (120, 196, 480, 256), 10)
    stage.box(band, (276, 196, 324, 440), 0, 0.25)
    stage.arc(band, (196, 112, 300, 210), 90, 10, 18)
    stage.arc(band, (300, 112, 404, 210), 170, 90, 18)
    stage.ball(band, 300, 196, 24)
    sign = _sign(name, 4) or "好礼"
    half = (len(sign) + 1) // 2
    stage.word(sign[:half], 206, 346, 48, mix(paper, (255, 244, 214), 0.85))
    stage.word(sign[half:], 394, 346, 48, mix(paper, (255, 244, 214), 0.85))


_BREWS = (
    ("绿", (184, 190, 92)),
    ("龙井", (186, 192, 90)),
    ("碧螺春", (186, 194, 96)),
    ("毛", (182, 188, 92)),
    ("白", (216, 184, 104)),
    ("红", (176, 74, 36)),
    ("普洱", (108, 44, 28)),
    ("乌龙", (206, 146, 54)),
    ("铁观音", (206, 160, 64)),
    ("大红袍", (178, 92, 36)),
    ("茉莉", (212, 196, 110)),
    ("菊", (226, 190, 84)),
)
_TINS = (
    ("龙井", (66, 122, 78)),
    ("绿", (76, 132, 88)),
    ("红", (156, 48, 44)),
    ("普洱", (92, 58, 46)),
    ("白", (206, 198, 182)),
    ("茉莉", (232, 222, 190)),
    ("乌龙", (52, 84, 92)),
    ("铁观音", (44, 92, 92)),
)
_SKINS = (
    ("苹果", (214, 56, 52)),
    ("橙", (240, 140, 40)),
    ("橘", (238, 128, 36)),
    ("柑", (236, 134, 40)),
    ("柚", (222, 208, 92)),
    ("柠檬", (240, 214, 72)),
    ("梨", (222, 206, 122)),
    ("桃", (240, 142, 132)),
    ("芒", (244, 178, 62)),
    ("葡萄", (104, 58, 116)),
    ("蓝莓", (66, 78, 136)),
    ("莓", (220, 48, 62)),
    ("樱桃", (164, 26, 48)),
    ("车厘子", (130, 22, 44)),
    ("枣", (150, 48, 34)),
    ("猕猴桃", (138, 116, 66)),
    ("荔枝", (206, 66, 74)),
    ("石榴", (206, 62, 66)),
    ("柿", (232, 112, 42)),
    ("百香果", (112, 52, 84)),
)
_NUTS = (
    ("核桃", (184, 134, 88)),
    ("腰果", (236, 212, 166)),
    ("杏仁", (190, 122, 72)),
    ("巴旦木", (190, 122, 72)),
    ("开心果", (168, 178, 104)),
    ("瓜子", (92, 78, 70)),
    ("花生", (214, 160, 104)),
    ("枣", (150, 48, 34)),
)
_FILLINGS = (
    ("蜂蜜", (228, 158, 36)),
    ("蜜", (228, 158, 36)),
    ("辣", (186, 44, 28)),
    ("莓", (170, 30, 54)),
    ("酱", (120, 56, 34)),
    ("油", (226, 188, 70)),
    ("膏", (86, 44, 34)),
)
_GRAINS = (
    ("黑", (60, 46, 54)),
    ("红", (170, 62, 48)),
    ("小米", (240, 200, 86)),
    ("绿豆", (120, 150, 70)),
    ("木耳", (66, 56, 54)),
    ("菇", (170, 126, 84)),
)

_Motif = Callable[[Stage, str, random.Random], None]
_MOTIFS: tuple[tuple[str, _Motif], ...] = (  # the first that has a word of the name, then of the category
    ("茶壶 紫砂 盖碗 茶具 茶杯 茶盏 公道杯", _pot),
    ("礼盒 礼品 礼物", _gift),
    ("茶饼 普洱 龙井 毛尖 碧螺春 铁观音 乌龙 大红袍 菊花茶 毛峰 白牡丹 银针 红茶 绿茶 白茶 花茶 茶叶", _tea),
    ("坚果 核桃 腰果 杏仁 巴旦木 开心果 瓜子 花生 零食 果干 糕 饼 酥 糖 蜜饯", _nuts),
    ("蜂蜜 花蜜 树蜜 梨膏 酱 罐头 茶油 麻油 香油 菜籽油 橄榄油 食用油", _jar),
    ("毛巾 浴巾 围巾 方巾 面巾 被 枕 床 毯 袜 家纺 布 棉 麻 丝 垫 件套", _cloth),
    ("洗 护 皂 乳 霜 膏 牙 沐浴 面膜 香薰 精油", _bottle),
    ("笔 文具 信纸 墨 手账 书签 本子 记本", _paper),
    ("电 水壶 养生壶 料理机 榨汁 灯 加湿", _appliance),
    ("锅 铲 刀 砧板 碗 盘 厨 保温 杯 壶", _pan),
    ("果 橙 橘 柑 柚 梨 桃 莓 芒 葡萄 提子 红提 车厘子 枣 荔枝 柠檬 石榴 柿", _fruit),
    ("茶", _tea),
    ("米 面 豆 粮 木耳 菇 燕麦 银耳 莲子 枸杞", _sack),
)


def _motif(name: str, category: str) -> _Motif:
    for text in (name, category):  # the name knows better: a pot may be sold in the category of teas
        for words, motif in _MOTIFS:
            if any(word in text for word in words.split()):
                return motif
    return _gift
