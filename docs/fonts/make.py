"""Rebuilds the two subset fonts and characters.txt in bot/web/static/fonts (see README.md here)."""

import argparse
import unicodedata
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTCollection, TTFont
from opencc import OpenCC

TARGET = Path(__file__).resolve().parents[2] / "bot" / "web" / "static" / "fonts"
FACE = 2  # in both collections: 0 JP, 1 KR, 2 SC, 3 TC, 4 HK
# What GB2312 lacks and people and goods bear: given names, Cantonese dishes, the signs of a price tag.
MORE = (
    "喆堃燊垚珺玥甯赟昉彧祎璟曈翀翯骉镕瞭堉暐玮珈琁珅翊旸晢昰炘煊烜焜熠璎琇琤瑢瑭瑀瑄瓅祐禛禔稀"
    "榮娢婳嫄媛嬅孆峣嵘弢彣忻怡慜懋晟晧暠梓栩桉楠榕槿樾橦沄泓淏渼湉溦滢漪潆澍濋灏瀚炜芃芮荞莳菡葳蒴"
    "蕖藜蓥邳郗鄄钊钘铄锜锟镓閤雯靓颀馨骁骐骝鸾麒黉甡旭俐俣倢倩偲傢儇冇冚叻咗咁唔啲嘅嘢嚟佢哋喺搵攞煲焗腩"
    "糍粿飏菓镬鳕鲷鲍鲑鳀蚬蛏蟶藠荸苤蕺芡薏糗糅馕馓馃饸饹橙柚檬柠猕榴梿芒薯碁翡釉钧窑砵盅瓯檀楂"
    "·•…—–―‘’“”‹›«»€£¥￥№℃℉％‰×÷±≈≤≥≠√∞①②③④⑤⑥⑦⑧⑨⑩○●◎□■△▲▽▼☆★♀♂♥→←↑↓㎡㎏㎜㎝㎎㏄〇"
)


def wanted() -> set[int]:
    """The code points kept: printable ASCII and Latin-1, every character of GB2312, and MORE."""
    points = set(range(0x20, 0x7F)) | set(range(0xA1, 0x180)) - {0xAD}
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                points.add(ord(bytes((high, low)).decode("gb2312")))
            except UnicodeDecodeError:
                continue
    points |= {ord(character) for character in MORE}
    return {point for point in points if unicodedata.category(chr(point)) not in {"Cc", "Cf", "Zl", "Zp"}}


def subset(collection: Path, target: Path) -> int:
    """Writes one woff2 and returns its size in bytes; the same collection gives the same bytes."""
    font = TTCollection(str(collection)).fonts[FACE]
    options = Options()
    options.flavor = "woff2"
    options.hinting = False  # phones show the card scaled; hints would cost a tenth of the size for nothing
    options.layout_features = []
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]  # the licence stays inside the file
    options.drop_tables += ["VORG", "vhea", "vmtx", "BASE", "DSIG", "GPOS", "GSUB", "GDEF"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=wanted())
    subsetter.subset(font)
    font.flavor, font.recalcTimestamp = "woff2", False
    font.save(str(target))
    return target.stat().st_size


def characters(points: set[int]) -> str:
    """Three lines: what the fonts draw; what they do not; the simplified form each of those is drawn as."""
    simplify = OpenCC("t2s")
    outside, drawn_as = [], []
    for point in (*range(0x3400, 0xA000), *range(0xF900, 0xFB00)):
        if point in points:
            continue
        simple = simplify.convert(unicodedata.normalize("NFKC", chr(point)))
        if len(simple) == 1 and ord(simple) in points:
            outside.append(chr(point))
            drawn_as.append(simple)
    return "\n".join(("".join(map(chr, sorted(points))), "".join(outside), "".join(drawn_as))) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("regular", type=Path, help="NotoSansCJK-Regular.ttc")
    parser.add_argument("bold", type=Path, help="NotoSansCJK-Bold.ttc")
    parser.add_argument("--target", type=Path, default=TARGET)
    given = parser.parse_args()
    subset(given.regular, given.target / "NotoSansCJKsc-Regular.woff2")
    subset(given.bold, given.target / "NotoSansCJKsc-Bold.woff2")
    points = set(TTFont(given.target / "NotoSansCJKsc-Bold.woff2").getBestCmap())
    points &= set(TTFont(given.target / "NotoSansCJKsc-Regular.woff2").getBestCmap())
    (given.target / "characters.txt").write_text(characters(points), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
