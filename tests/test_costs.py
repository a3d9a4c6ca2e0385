"""What sending costs and what makes it cheaper: by the rules in force, for the one who asks."""

from test_fulfilment import digits
from test_sale import customer
from town import Town

ZONES = "设运费 首1件8元 续1件2元 满99包邮; 新疆、西藏 首1件20元 续1件5元"
HOME = "地址 张三 13800138000 浙江省杭州市西湖区文三路1号"
FAR = "地址 李四 13900139000 新疆维吾尔自治区乌鲁木齐市天山区人民路1号"


async def test_freight_is_told_for_the_place_where_ones_parcels_go(town: Town) -> None:
    boss, mei, lin = await town.owner(), await customer(town, "小美"), await customer(town, "小林")
    assert "满 ¥99 包邮，不满收 ¥8" in (await mei.says("邮费多少")).text
    await boss.says(f"确认 {digits((await boss.says(ZONES)).text)}")
    await mei.says(HOME)
    await lin.says(FAR)
    assert "寄到浙江省：首 1 件 ¥8，每多 1 件 ¥2，满 ¥99 包邮" in (await mei.says("邮费多少")).text
    assert "寄到新疆维吾尔自治区：首 1 件 ¥20" in (await lin.says("包邮吗")).text
    far = (await mei.says("偏远地区发吗")).text
    assert "新疆维吾尔自治区、西藏自治区：¥20 起" in far
    assert "其他地方：¥8 起" in far


async def test_a_place_that_is_not_served_is_said_so_before_anything_is_bought(town: Town) -> None:
    boss, lin = await town.owner(), await customer(town, "小林")
    await boss.says(f"确认 {digits((await boss.says('设运费 浙江、上海 首1件8元')).text)}")
    await lin.says(FAR)
    assert "新疆维吾尔自治区暂时送不到" in (await lin.says("邮费多少")).text
    assert "别的地方暂时送不到" in (await lin.says("偏远地区发吗")).text


async def test_a_cart_hears_what_is_missing_to_free_shipping(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "购物车" not in (await mei.says("包邮吗")).text
    await mei.says("加 A11 x2")
    await mei.says("1")
    assert "购物车还差 ¥61 就包邮" in (await mei.says("包邮吗")).text
    assert "购物车还差 ¥61" in (await mei.says("有什么优惠")).text


async def test_who_asks_for_something_off_hears_what_runs_now_the_best_first(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = (await mei.says("能便宜点吗")).text
    assert "不讲价" in before
    assert "人拼团" in before
    assert "限时" not in before
    for said in ("限时 A1 9折 3天", "限时 A11 85折 3天"):
        await boss.says(f"确认 {digits((await boss.says(said)).text)}")
    offered = (await mei.says("有券吗")).text
    assert offered.index("桐乡胎菊 限时8.5折") < offered.index("明前龙井 限时9折") < offered.index("人拼团")
    await town.later(days=4)
    assert "限时" not in (await mei.says("打折吗")).text


async def test_whether_one_may_fetch_it_is_answered_and_changes_nothing(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "没有自提点" in (await mei.says("可以自提吗")).text
