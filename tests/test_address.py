"""Addresses: read from one line or piece by piece, read back once, masked and sealed ever after."""

import logging

import pytest
from sqlalchemy import text
from town import Town

from models.address import PIECES, AddressUnclear, Label, read_label

LINE = "张三 13800138000 浙江省杭州市西湖区文三路1号"


@pytest.mark.parametrize(
    "said",
    [
        LINE,
        "张三,13800138000,浙江省杭州市西湖区文三路1号",
        "浙江省杭州市西湖区文三路1号 张三 +86 138-0013-8000",
        "收货人: 张三 手机号码: 13800138000 所在地区: 浙江省杭州市西湖区 详细地址: 文三路1号",
        "张三，13800138000，浙江省杭州市西湖区文三路1号，310000",
        "所在地区：浙江省 杭州市 西湖区 详细地址：文三路1号 收件人：张三 联系电话：0086-13800138000 邮编：310000",
        "张三 电话13800138000 浙江省杭州市西湖区文三路1号",
        "张三，电话 13800138000，地址浙江杭州西湖区文三路1号",
        "收货人：张三，电话：13800138000，地址：浙江省杭州市西湖区文三路1号",
        "寄到 我叫张三 13800138000 浙江省杭州市西湖区文三路1号 什么时候能到",
        PIECES.join(["张三", "13800138000", "浙江杭州", "西湖区", "文三路1号"]),
        PIECES.join(["寄到我家", "13800138000", "我叫张三", "浙江省杭州市西湖区文三路1号"]),
        PIECES.join(["西湖区文三路1号 13800138000 张三", "浙江杭州"]),
        PIECES.join(["浙江省杭州市西湖区文三路1号", "13800138000", "我叫张三"]),
    ],
)
def test_one_address_however_it_is_said(said: str) -> None:
    assert read_label(said).one_line() == LINE


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("张三 13800138000", "region"),
        ("张三 13800138000 浙江省杭州市", "district"),
        ("张三 13800138000 浙江省杭州市西湖区", "detail"),
        ("张三 浙江省杭州市西湖区文三路1号", "phone"),
        ("13800138000 浙江省杭州市西湖区文三路1号", "name"),
    ],
)
def test_what_is_missing_is_named(said: str, field: str) -> None:
    with pytest.raises(AddressUnclear) as unclear:
        read_label(said)
    assert unclear.value.facts["field"] == field


def test_words_that_tell_nothing_do_not_become_the_name() -> None:
    said = PIECES.join(["张三 浙江省杭州市西湖区文三路1号", "等一下", "13800138000"])
    assert read_label(said).name == "张三"


def test_a_whole_address_said_again_replaces_the_half_one() -> None:
    said = PIECES.join(["张三 浙江省杭州市西湖区文三路1号", "李四 13900139000 广东省深圳市南山区科技园1栋"])
    assert read_label(said).one_line() == "李四 13900139000 广东省深圳市南山区科技园1栋"


def test_letters_of_a_house_keep_their_case() -> None:
    assert read_label("Lily 13800138000 北京市朝阳区建国路1号A座").one_line().endswith("A座")


def test_a_masked_label_shows_neither_the_phone_nor_the_house() -> None:
    masked = Label("张三", "13800138000", "浙江省杭州市西湖区", "文三路1号").masked()
    assert masked == "张* 138****8000 浙江省杭州市西湖区***"


async def test_an_address_is_read_back_in_full_once_and_masked_afterwards(town: Town) -> None:
    mei = town.wechat("小美")
    assert LINE in (await mei.says(f"地址 {LINE}")).text
    shown = (await mei.says("地址")).text
    assert "138****8000" in shown
    assert "13800138000" not in shown
    assert "文三路" not in shown


async def test_what_is_missing_is_asked_one_thing_at_a_time(town: Town) -> None:
    mei = town.wechat("小美")
    answers = [(await mei.says(said)).text for said in ("地址 张三", "浙江杭州", "西湖区", "文三路1号", "13800138000")]
    for answer, asked in zip(answers, ("省", "区", "门牌", "手机", LINE), strict=True):
        assert asked in answer


async def test_a_pasted_address_needs_no_command(town: Town) -> None:
    mei = town.wechat("小美")
    assert (
        "Lily 13900139000 上海市浦东新区世纪大道100号A座"
        in (await mei.says("Lily 13900139000 上海市浦东新区世纪大道100号A座")).text
    )


async def test_an_address_can_be_left_half_said(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says("地址 张三")
    await mei.says("算了")
    assert "还没有" in (await mei.says("地址")).text


async def test_nobody_else_sees_it(town: Town) -> None:
    await town.wechat("小美").says(f"地址 {LINE}")
    assert "还没有" in (await town.wechat("小红").says("地址")).text


async def test_on_an_unsigned_channel_it_goes_to_the_person_and_not_into_the_reply(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    answer = await lin.says(f"地址 {LINE}")
    assert "13800138000" not in answer.text + answer.raw_response
    await town.settles()
    assert any(LINE in heard.text for heard in lin.inbox)


async def test_the_database_holds_no_readable_address(town: Town) -> None:
    await town.wechat("小美").says(f"地址 {LINE}")
    async with town.stage.house.store.session() as session:
        row = (await session.execute(text("SELECT name, phone, region, detail FROM address"))).one()
    kept = b"".join(bytes(value) for value in row)
    for word in ("张三", "13800138000", "杭州", "文三路"):
        assert word.encode() not in kept


@pytest.mark.parametrize("said", ["我的手机13800138000", "西湖区文三路1号2栋", LINE])
async def test_words_with_a_phone_or_an_address_are_never_searched_or_logged(
    town: Town, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = (await town.wechat("小美").says(said)).text
    assert "没找到" not in answer
    assert "按" not in answer
    for word in ("13800138000", "文三路"):
        assert word not in caplog.text


async def test_a_book_has_names_and_an_order_goes_to_the_place_that_was_meant(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says(f"地址 家 {LINE}")
    kept = await mei.says("地址 公司 李四 13900139000 上海市浦东新区世纪大道100号")
    assert "李四 13900139000 上海市浦东新区世纪大道100号" in kept.text
    book = (await mei.says("地址")).text
    assert "家 张* 138****8000" in book
    assert "公司 李* 139****9000" in book
    assert "现在寄第 2 个" in book
    assert "寄到家" in (await mei.says("1")).text
    assert "现在寄第 1 个" in (await mei.says("地址")).text
    assert "寄到公司" in (await mei.says("寄单位")).text
    placed = await mei.says("买 A11")
    placed = await mei.says("1") if "要哪种" in placed.text else placed
    assert "上海市浦东新区" in placed.text
    assert "寄到家" not in placed.text
    assert "张* 138****8000" in (await mei.says("寄家里")).text, "the order on screen goes home"
    assert "浙江省" in (await mei.says("订单")).text or "浙江省" in (await mei.says("1")).text


async def test_the_same_place_is_kept_once_and_a_name_is_written_over(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says(f"地址 {LINE}")
    await mei.says(f"地址 家 {LINE}")
    await mei.says("地址 家 李四 13900139000 上海市浦东新区世纪大道100号")
    shown = (await mei.says("地址")).text
    assert "家 李* 139****9000" in shown
    assert "138****8000" not in shown


async def test_a_full_book_asks_to_strike_one_out_and_the_rest_move_up(town: Town) -> None:
    mei = town.wechat("小美")
    for n in range(1, 6):
        await mei.says(f"地址 张三 13800138000 浙江省杭州市西湖区文三路{n}号")
    assert "最多记 5 个" in (await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路6号")).text
    assert "已删掉" in (await mei.says("删地址 2")).text
    assert "没有第 5 个" in (await mei.says("删地址 5")).text
    assert "文三路6号" in (await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路6号")).text
    assert "现在寄第 5 个" in (await mei.says("地址")).text


async def test_a_full_book_never_stands_in_the_way_of_an_order(town: Town) -> None:
    mei = town.wechat("小美")
    for n in range(1, 6):
        await mei.says(f"地址 张三 13800138000 浙江省杭州市西湖区文三路{n}号")
    await mei.says("买 A11")
    assert "合计" in (await mei.says("1")).text


async def test_a_place_nobody_has_named_is_said_so(town: Town) -> None:
    assert "还没有" in (await town.wechat("小美").says("寄公司")).text


async def test_a_pasted_block_loses_nothing_between_its_lines(town: Town) -> None:
    block = "收货人: 王小明\n手机号码: 137 0013 7000\n所在地区: 广东省深圳市南山区粤海街道\n详细地址: 科技园路1号大厦"
    kept = (await town.wechat("小美").says(block)).text
    assert "王小明 13700137000 广东省深圳市南山区粤海街道科技园路1号大厦" in kept


async def test_a_place_of_the_book_is_meant_by_its_number_or_its_name(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says(f"地址 家 {LINE}")
    await mei.says("地址 爸妈 李四 13900139000 上海市浦东新区世纪大道100号")
    assert "寄到家" in (await mei.says("换地址 1")).text
    assert "寄到爸妈" in (await mei.says("寄给爸妈")).text
    assert "寄到家" in (await mei.says("换地址 家")).text
    placed = await mei.says("买 A11")
    placed = await mei.says("1") if "要哪种" in placed.text else placed
    assert "浙江省" in placed.text
    assert "李* 139****9000 上海市浦东新区***" in (await mei.says("改地址 爸妈")).text
    assert "没有第 5 个" in (await mei.says("改地址 5")).text
