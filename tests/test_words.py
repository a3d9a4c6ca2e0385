"""Words people type: folding, fillers, numerals, yes and no, leaving, phones and addresses."""
# ruff: noqa: E501 (tables of sentences; a Chinese character counts twice)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import words
from models.regions import Address, Missing, parse_address, regions
from models.words import (
    has_phone,
    initials,
    is_no,
    is_yes,
    leaving,
    looks_like_address,
    number,
    numeral,
    one_edit,
    pinyin,
    plain,
    quantity,
    unfill,
)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("買 Ａ１２ ×３", "买 a12 ×3"),
        ("  參團　Ｇ７Ｋ２ ", "参团 g7k2"),
        ("龍井", "龙井"),
        ("甚麼時候發貨？", "甚么时候发货?"),
        ("這是什么", "这是什么"),
        ("蚌埠這邊能送嗎", "蚌埠这边能送吗"),
        ("龙\u200b井\u202e", "龙井"),
        ("👌🏻", "👌"),
        ("2️⃣", "2"),
        ("a\tb\nc\x00", "a b c"),
        ("", ""),
    ],
)
def test_the_same_words_are_heard_however_they_are_written(said: str, heard: str) -> None:
    assert plain(said) == heard


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("請問你們家龍井茶多少錢呀？", "龙井茶多少钱"),
        ("那个就是你们家的碧螺春呢", "碧螺春"),
        ("嗯，发货了吗", "发货了"),
        ("hello longjing", "longjing"),
        ("老板，瓜子还有没有啊~~", "瓜子还有没有"),
        ("我想问一下邮费，谢谢", "邮费"),
        ("history", "history"),
        ("亲子套餐", "亲子套餐"),
    ],
)
def test_fillers_and_particles_come_off(said: str, wish: str) -> None:
    assert unfill(said) == wish


@pytest.mark.parametrize("said", ["你好", "您好", "谢谢", "嗯", "啊", "什么", "请问", "在吗"])
def test_a_word_of_its_own_is_never_emptied(said: str) -> None:
    assert unfill(said)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("2", 2), ("２", 2), ("②", 2), ("❷", 2), ("2️⃣", 2), ("二", 2), ("两", 2), ("第2个", 2), ("第二", 2), ("2号", 2),
        ("要第2个", 2), ("就2号吧", 2), ("(2)", 2), ("【2】", 2), ("2.", 2), ("2、", 2), ("十二", 12), ("二十三", 23),
        ("200", 200), ("第三款吧", 3), ("No.3", 3),
    ],
)  # fmt: skip
def test_a_number_points_at_a_line(said: str, line: int) -> None:
    assert numeral(said) == line
    assert quantity(said) is None


@pytest.mark.parametrize(
    ("said", "pieces"),
    [
        ("3盒", 3), ("两份", 2), ("俩", 2), ("x3", 3), ("X３", 3), ("×3", 3), ("*2", 2), ("来3份", 3), ("再来三盒吧", 3),
        ("买两罐", 2), ("一共5包", 5), ("要十二袋", 12), ("3件就行", 3),
    ],
)  # fmt: skip
def test_a_number_with_a_measure_word_is_a_quantity(said: str, pieces: int) -> None:
    assert quantity(said) == pieces
    assert numeral(said) is None


@pytest.mark.parametrize("said", ["+5", "1_0", "٣", "1234567", "-1", "2.5", "龙井", "", "两斤", "0盒", "²", "五" * 30])
def test_what_only_looks_like_a_number_is_none(said: str) -> None:
    assert quantity(said) is None
    assert numeral(said) is None or said == "²"  # NFKC reads a small 2 above the line as 2


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("两百五", 250),
        ("两百零五", 205),
        ("一千零八", 1008),
        ("三十二", 32),
        ("十", 10),
        ("百", 100),
        ("一万二", 12000),
    ],
)
def test_chinese_numbers_are_counted_as_people_say_them(said: str, value: int) -> None:
    assert number(said) == value


def test_sounds_and_initials_of_goods() -> None:
    assert (pinyin("龙井"), pinyin("绿茶"), pinyin("重庆")) == ("longjing", "lvcha", "chongqing")
    assert (initials("龙井"), initials("碧螺春")) == ("lj", "blc")


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        ("longjing", "longjing", True), ("longjin", "longjing", True), ("longjing", "longjign", True),
        ("longjing", "lomgjing", True), ("longjing", "langjang", False), ("", "a", True), ("", "ab", False),
    ],
)  # fmt: skip
def test_one_slip_of_the_finger_is_forgiven(a: str, b: str, near: bool) -> None:
    assert one_edit(a, b) is near
    assert one_edit(b, a) is near


@pytest.mark.parametrize(
    "said",
    [
        "好",
        "好的呀",
        "嗯",
        "嗯嗯嗯",
        "行",
        "行吧",
        "对",
        "对对对",
        "要",
        "OK",
        "ok!",
        "可以，谢谢",
        "👌",
        "👌🏻",
        "👌👌",
        "好！",
        "冇問題",
        "yes",
    ],
)
def test_yes_in_many_words(said: str) -> None:
    assert is_yes(said)
    assert not is_no(said)


@pytest.mark.parametrize(
    "said",
    [
        "不",
        "不用",
        "不用了谢谢",
        "算了",
        "算了吧",
        "别",
        "不要",
        "不要了",
        "先不用",
        "下次吧",
        "唔使",
        "no",
        "🙅",
        "没兴趣",
        "算了不换了",
        "算了我再看看",
        "不要不要不用了",
    ],
)
def test_no_in_many_words(said: str) -> None:
    assert is_no(said)
    assert not is_yes(said)


@pytest.mark.parametrize(
    "said",
    [
        "可以吗",
        "好吗？",
        "要吗",
        "龙井",
        "2",
        "好像不对",
        "要两盒",
        "不辣的",
        "别的",
        "不要花茶",
        "算了还是要吧",
        "算了继续拼",
        "算了吗",
        "",
        "？",
    ],
)
def test_neither_yes_nor_no(said: str) -> None:
    assert not is_yes(said)
    assert not is_no(said)


@pytest.mark.parametrize(
    "said",
    [
        "退订", "退訂", "TD", "td.", "T", "ｔ", "退 订", "别发了", "別發了", "别推了", "太吵", "太吵了吧", "屏蔽", "怎么取关", "不要再发",
        "取消订阅", "不要再发消息了", "你们别再给我发消息了行不行", "能不能别发了", "退订所有推送谢谢", "我已经退订了怎么还在发", "怎么退订",
        "吵死了!!", "烦死了别发了", "拉黑了", "不想收到你们的消息", "消息太多了", "取消关注", "请勿打扰", "unsubscribe", "STOP", "退订吧",
        "我要退订", "回T退订", "退订订单", "別再傳訊息了", "推送关掉", "关闭推送", "别天天发了", "骚扰我干嘛", "别发顺丰了,以后都别发消息了",
    ],
)  # fmt: skip
def test_any_wording_of_stop_sending_leaves_all(said: str) -> None:
    assert leaving(said) == ""


@pytest.mark.parametrize(
    ("said", "goods"),
    [
        ("退订 龙井", "龙井"), ("退订龙井", "龙井"), ("退訂龍井", "龙井"), ("我要退订碧螺春了", "碧螺春"), ("龙井退订", "龙井"),
        ("把龙井退订了吧", "龙井"), ("取消订阅 碧螺春", "碧螺春"), ("退订单丛", "单丛"), ("unsubscribe longjing", "longjing"),
        ("别推龙井了", "龙井"), ("退订上新", "上新"),
    ],
)  # fmt: skip
def test_one_may_leave_one_kind_of_goods(said: str, goods: str) -> None:
    assert leaving(said) == goods


@pytest.mark.parametrize(
    "said",
    [
        "取消", "取消订单", "退款", "退货", "退团", "退订单", "我要退订单", "退订单 AB12CD34", "退订金", "算了", "不要了", "不用", "T恤", "别发顺丰",
        "先别发货", "别推荐花茶", "不用推荐了", "少发了一包", "发错了", "暂停", "免打扰 22-8", "注销", "删 2", "清空", "龙井", "订阅 龙井",
        "不想收货了", "别给我发错了", "别发极兔", "", "？",
    ],
)  # fmt: skip
def test_what_is_about_an_order_is_no_exit(said: str) -> None:
    assert leaving(said) is None


@pytest.mark.parametrize(
    "said", ["13800138000", "我电话138 0013 8000", "+86 138-0013-8000", "0571-88886666", "１３８００１３８０００"]
)
def test_a_phone_is_seen(said: str) -> None:
    assert has_phone(said)


@pytest.mark.parametrize("said", ["运单123456789012345", "SF13800138000123", "AB12", "23800138000", "龙井", "138"])
def test_other_numbers_are_no_phone(said: str) -> None:
    assert not has_phone(said)


@pytest.mark.parametrize(
    "said",
    [
        "浙江省杭州市西湖区文三路1号",
        "西湖区文三路1号",
        "张江路88弄",
        "我在浙江省杭州市",
        "深圳市南山区科技园路腾讯大厦",
        "幸福小区三栋",
    ],
)
def test_an_address_is_seen(said: str) -> None:
    assert looks_like_address(said)


@pytest.mark.parametrize("said", ["发到杭州要几天", "在哪条路上", "龙井村的茶", "2号", "村里能送吗", "第2个", "龙井"])
def test_talk_about_places_is_no_address(said: str) -> None:
    assert not looks_like_address(said)


ZHANG = Address("张三", "13800138000", "浙江省", "杭州市", "西湖区", "文三路1号")


@pytest.mark.parametrize(
    "said",
    [
        "张三 13800138000 浙江省杭州市西湖区文三路1号",
        "浙江省杭州市西湖区文三路1号 张三 13800138000",
        "张三,13800138000,浙江省 杭州市 西湖区 文三路1号",
        "浙江省杭州市西湖区文三路1号张三13800138000",
        "张三13800138000浙江杭州西湖文三路1号",
        "張三 +86 138-0013-8000 浙江省杭州市西湖區文三路1號",
        "收货人: 张三\n手机号码: 138 0013 8000\n所在地区: 浙江省杭州市西湖区\n详细地址: 文三路1号",
        "详细地址：文三路1号\n所在地区：浙江省 杭州市 西湖区\n手机号码：+86-13800138000\n收货人：张三",
        "收件人 张三 电话 13800138000 地址 浙江省杭州市西湖区文三路1号",
        "寄到浙江省杭州市西湖区文三路1号 张三收 13800138000",
    ],
)
def test_one_pasted_line_is_an_address(said: str) -> None:
    assert parse_address(said) == ZHANG


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("小美 13800138000 北京朝阳建国路88号", Address("小美", "13800138000", "北京市", "北京市", "朝阳区", "建国路88号")),
        ("张三 13800138000 重庆市云阳县双江街道1号", Address("张三", "13800138000", "重庆市", "重庆市", "云阳县", "双江街道1号")),
        ("王女士 13800138000 余杭区五常街道西溪北苑3幢", Address("王女士", "13800138000", "浙江省", "杭州市", "余杭区", "五常街道西溪北苑3幢")),
        ("安吉 13800138000 江苏昆山前进路5号", Address("安吉", "13800138000", "江苏省", "苏州市", "昆山市", "前进路5号")),
        ("Lily 13800138000 广东省东莞市长安镇德政路3号A座", Address("Lily", "13800138000", "广东省", "东莞市", "长安镇", "德政路3号A座")),
        ("吉林 13800138000 吉林省长春市朝阳区人民大街1号", Address("吉林", "13800138000", "吉林省", "长春市", "朝阳区", "人民大街1号")),
    ],
)  # fmt: skip
def test_regions_are_completed_and_municipalities_count_twice(said: str, address: Address) -> None:
    assert parse_address(said) == address


@pytest.mark.parametrize(
    ("said", "field", "reply"),
    [
        ("13800138000 浙江省杭州市西湖区文三路1号", "name", "张三"),
        ("张三 浙江省杭州市西湖区文三路1号", "phone", "13800138000"),
        ("张三 138001380001 浙江省杭州市西湖区文三路1号", "phone", "138 0013 8000"),
        ("张三 13800138000 杭州市文三路1号", "district", "西湖区"),
        ("张三 13800138000 浙江省杭州市西湖区", "detail", "文三路1号"),
    ],
)
def test_what_an_address_lacks_is_named_and_can_be_said_afterwards(said: str, field: str, reply: str) -> None:
    missing = parse_address(said)
    assert isinstance(missing, Missing)
    assert missing.field == field
    assert parse_address(reply, missing.known) == ZHANG


def test_a_district_that_occurs_twice_is_asked_not_guessed() -> None:
    missing = parse_address("小美 13800138000 朝阳区建国路88号")
    assert isinstance(missing, Missing)
    assert missing.field == "region"
    whole = parse_address("北京市朝阳区", missing.known)
    assert whole == Address("小美", "13800138000", "北京市", "北京市", "朝阳区", "建国路88号")


def test_an_address_is_read_back_in_one_line() -> None:
    assert ZHANG.line == "张三 13800138000 浙江省杭州市西湖区文三路1号"
    assert Address("", "", "上海市", "上海市", "徐汇区", "漕溪北路1号").line == "上海市徐汇区漕溪北路1号"


def test_the_region_table_is_whole() -> None:
    table = regions()
    assert sum(len(code) == 2 for code in table.names) == 34
    assert sum(len(code) == 6 for code in table.names) > 3000
    assert table.split("浙江省杭州市西湖区").code == "330106"


ANY = st.text(max_size=120) | st.text(
    alphabet="退订別发了龙井第两百个盒收货人:13800138浙江省杭州市西湖区路号吗呢 ,\n①Ａ\u200b\ud800🙏", max_size=60
)


@given(ANY)
def test_nothing_typed_raises(said: str) -> None:
    for hear in (
        plain,
        words.fold,
        words.bare,
        unfill,
        numeral,
        quantity,
        number,
        pinyin,
        initials,
        is_yes,
        is_no,
        leaving,
    ):
        hear(said)
    has_phone(said)
    looks_like_address(said)
    parse_address(said)
    one_edit(said, said[:-1])
