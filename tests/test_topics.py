"""Everyday questions in the words of real life, and the ones that only look like them."""
# ruff: noqa: E501 (tables of sentences; a Chinese character counts twice)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo import catalogue
from handlers.data import FOLDER, synonyms, topics
from models.search import Index
from models.topics import Topics, goods_like
from models.words import leaving

WORDS = Index.build((product.doc for product in catalogue.load().products), synonyms()).words

SAID = {
    "my_parcel": "发货了吗|东西没收到|几号能到|急|急急急|急用|快点吧|出貨了嗎？|发了没|怎么还没发货啊|都三天了还不发|我的快递到哪了|东西啥时候到|单号多少|快递单号发我|催一下|帮我催催|明天能到吗|我买的龙井到哪了|物流怎么不动了|显示签收了我没收到|發活了嗎|法货了没|寄咗未|咋还没到|老板，我的包裹呢|什么时候发货|龙井什么时候发货|还没收到货|到没到|能不能今天发|track",
    "my_payment": "付了没|我付过了|付款成功了吗|钱扣了订单显示未付款|扣了两次钱|付不了款|支付失败了|收到钱了吗|我付钱了|付款码发我一下|二维码扫不了",
    "pay_ways": "怎么付款|能用支付宝吗|货到付款可以吗|可以刷信用卡吗|支付方式有哪些|怎么在手机上付",
    "my_refund": "钱退了吗|多久到账|退款到哪了|退款什么时候到账|怎么还没退|没成团钱呢|退款几天|退的钱到哪|退款了嗎|钱还没到账|老板同意了吗",
    "change_order": "不付了|先不付|不想买了|收货信息错了|地址写错了|改地址|能换个地址吗|电话填错了|要大包的|换成250g的|备注一下|不要了|我不想要了|能退吗|怎么退货|我要退款|退团|先别发货|拍错了|买错了|取消订单|龙井不要了|喝不惯 想退|换个口味|多加一盒",
    "care": "千万别压坏了|别给我发错了|麻烦包结实点|轻拿轻放啊",
    "something_wrong": "坏了|压扁了|龙井压扁了|盒子压坏了|漏了|少了一包|发错了|寄错了|过期了|难喝|太难吃了|有虫|发霉了|跟图片不一样|包装破了|少发了一盒瓜子|坚果有哈喇味|收到是碎的|味道不对|有异味",
    "group_rules": "拼团怎么玩|怎么开团|团购规则|不成团怎么办|没拼满会怎么样|啥时候成团|几个人成团|有团吗|一个人能拼吗|拼團怎麼開",
    "share": "怎么邀请朋友|分享给朋友|转发给朋友|怎么分享|海报|我的二维码|邀請朋友",
    "freight": "邮费多少|包邮吗|运费怎么算|多少包邮|满多少包邮|龙井包邮吗|還要運費嗎|免邮吗|凑单推荐|可以自提吗",
    "return_freight": "退货运费谁出|退貨運費誰出|寄回去的邮费你们出吗|来回运费谁承担",
    "carrier": "走顺丰吗|发什么快递|可以发顺丰吗|哪家快递|别发极兔|能送货上门吗|不要放驿站|順豐可以嗎|用的什么快递",
    "delivery_time": "几天能到|多久到|到北京要几天|下单后多久发货|今天下单什么时候发|周末发货吗|过年还发货吗|发货时间|赶得上中秋吗|幾天到|发到上海多久|多久发货",
    "regions": "新疆能发吗|偏远地区发吗|能寄香港吗|港澳|西藏能寄吗|海外可以寄吗|农村能送到吗|我们这里能送吗|哪些地区不发",
    "returns": "支持退换吗|七天无理由吗|退换政策|怎么退换|坏了包赔吗|会不会压坏|路上会不会碎|不好喝能退吗",
    "discounts": "最低多少|能便宜点吗|打折吗|有券吗|讲讲价|有没有优惠|网上更低|太贵了|便宜啲啦|老顾客有优惠吗|送点什么|有活动吗|龙井能便宜点吗|抹个零|多买有优惠吗|价保吗|用券",
    "product_facts": "保质期|龙井保质期多久|龙井保质期|碧螺春的配料|龙井产地|红茶价格|保值期多长|配料|配料表有吗|产地是哪里|哪里产的|怎么泡|龙井怎么泡|还有吗|瓜子还有吗|真的假的|是正品吗|甜不甜|多少钱|几钱|呢款龙井几钱|什么时候补货|一盒多少克|有什么区别|要放冰箱吗|是今年的新茶吗|有哪些口味|好喝吗|凤梨酥甜吗",
    "shop_phone": "电话|电话多少|有电话吗|怎么联系你们|老板微信号|留个电话|联系方式",
    "shop_where": "你们在哪|在哪|有实体店吗|店在哪里|从哪里发货|发个定位|你们是哪里的",
    "shop_hours": "几点开门|几点下班|营业时间|周末上班吗|放假吗|现在还营业吗|開門了嗎",
    "invoice": "能开发票吗|发票|开票|电子发票有吗|可以报销吗|抬头开公司的|發票",
    "licence": "执照|有营业执照吗|你们正规吗|有食品许可证吗|什么公司|资质看一下",
    "who_answers": "谁在回我|你们老板是谁|你是机器人吗|是真人吗|你是谁|自动回复吧|怎么称呼|是AI吗",
    "health": "高血压能喝吗|吃药能喝吗|减肥有用吗|小孩能喝吗|孕妇可以吃吗|龙井降血糖吗|晚上喝会睡不着吗|胃不好能喝绿茶吗|有什么功效|糖尿病人能吃吗",
    "hello": "你好|您好|在吗|亲，在吗|hello|早上好|老板在吗|哈喽|晚上好呀|吃了吗",
    "thanks": "谢谢|谢谢啦|多谢|辛苦了|好的谢谢|3q|thanks|唔該|🙏|收到，谢谢",
    "ok": "好的|嗯嗯|知道了|OK|👌|没事了|不急|我再看看|收到货了|好喝|明白|好",
    "laughter": "哈哈|哈哈哈哈哈|hhh|😂|笑死我了|666|😄😄",
    "bye": "再见|拜拜|88|bye|改天再来|晚安啦",
    "anger": "骗子|骗子，什么时候发货|投诉|我要投诉你们|12315见|曝光你们|垃圾|再也不买了|黑店|气死我了|什么态度|騙子|差评|龙井是假货，退我钱|🤬",
}  # fmt: skip
UTTERANCES = [(topic, said) for topic, line in SAID.items() for said in line.split("|")]


@pytest.mark.parametrize(("topic", "said"), UTTERANCES)
def test_an_everyday_question_is_recognised(topic: str, said: str) -> None:
    heard = topics().match(said, WORDS)
    assert heard is not None
    assert heard.name == topic


@pytest.mark.parametrize(
    "said",
    [
        "加湿器", "团圆饼", "订单", "退订单", "龙井", "碧螺春", "便宜的龙井", "包邮的龙井", "打折的茶叶", "无糖的点心", "蓝牙耳机", "下雨了怎么办", "我想结婚",
        "商品", "帮助", "购物车", "结算", "2", "A12", "G7K2", "买 A12 x3", "参团 G7K2", "香菇", "送妈妈的礼物", "80块以下的绿茶", "明天去爬山", "保质期长的坚果",
        "桂花糕 两盒", "茶叶罐", "发财树", "电话线", "有没有便宜点的龙井", "怎么买", "不辣的辣酱",
    ],
)  # fmt: skip
def test_what_is_no_everyday_question_is_left_alone(said: str) -> None:
    assert topics().match(said, WORDS) is None


@pytest.mark.parametrize(
    ("said", "not_this"),
    [
        ("退订", "change_order"), ("会不会压坏", "something_wrong"), ("你们是不是骗子", "anger"), ("是不是假货吗", "anger"), ("要不要放冰箱", "change_order"),
        ("少点糖有吗", "discounts"), ("投票怎么投", "invoice"), ("快递在哪", "shop_where"), ("退款多久到账", "delivery_time"),
        ("我要退订单", "my_refund"), ("没拼成会退钱吗", "group_rules"), ("让朋友帮我付", "share"), ("送给朋友的茶", "share"), ("送什么人好", "discounts"),
    ],
)  # fmt: skip
def test_a_cue_in_other_company_is_another_thing(said: str, not_this: str) -> None:
    heard = topics().match(said, WORDS)
    assert heard is None or heard.name != not_this


@pytest.mark.parametrize("product", catalogue.load().products, ids=lambda product: product.code)
def test_no_name_and_no_keyword_of_goods_is_taken_for_a_question(product: catalogue.Product) -> None:
    for said in (product.name, product.category, *product.keywords):
        assert topics().match(said, WORDS) is None
        assert leaving(said) is None
        assert goods_like(said, WORDS, synonyms())


@pytest.mark.parametrize(
    ("said", "not_this"),
    [("一星期能到吗", "anger"), ("工商银行可以付吗", "anger"), ("SF12345678", "anger"), ("我妈的生日快到了", "anger")],
)
def test_ordinary_words_are_not_taken_for_anger(said: str, not_this: str) -> None:
    heard = topics().match(said, WORDS)
    assert heard is None or heard.name != not_this


def test_there_are_enough_utterances_to_speak_of_real_life() -> None:
    assert len(UTTERANCES) >= 150
    assert set(SAID) == set(topics().names)


def test_leaving_is_never_also_an_everyday_question_that_is_heard_first() -> None:
    """The resolver asks `leaving` before C1; a question about an order must therefore not look like an exit."""
    orders = [said for topic, said in UTTERANCES if topic not in {"anger"}]
    assert [said for said in orders if leaving(said) is not None] == []


def test_anger_beats_everything() -> None:
    heard = topics().match("骗子！什么时候发货，保质期多久，退款多久到账", WORDS)
    assert heard is not None
    assert heard.name == "anger"


def test_the_longest_cue_wins_and_the_files_order_breaks_ties() -> None:
    tables = {"first": {"cues": ["快递"]}, "second": {"cues": ["什么快递", "邮费"]}, "third": {"cues": ["快送"]}}
    two = Topics(tables)
    heard = two.match("发什么快递")
    assert heard is not None
    assert (heard.name, heard.cue, heard.score) == ("second", "什么快递", 4)
    tie = two.match("快递快送")
    assert tie is not None
    assert tie.name == "first"


@pytest.mark.parametrize(
    "said",
    [
        "加湿器",
        "团圆饼",
        "蓝牙耳机",
        "龙井",
        "送妈妈",
        "一百左右",
        "longjing",
        "lj",
        "小鱼干",
        "80以内",
        "坚果礼盒",
        "我想买龙井",
        "便宜的红茶",
        "過年送禮",
        "推荐一款茶",
        "100块能买什么",
        "想给我妈买点茶",
    ],
)
def test_goods_words_a_price_an_occasion_or_no_verb_is_searched(said: str) -> None:
    assert goods_like(said, WORDS, synonyms())


@pytest.mark.parametrize(
    "said",
    [
        "你今天吃了吗",
        "下雨了怎么办",
        "我想结婚",
        "??",
        "😂",
        "",
        "明天去爬山",
        "你喜欢我吗",
        "this is a very long english sentence",
        "为什么呢",
        "…",
        "123",
    ],
)
def test_a_sentence_that_is_no_wish_is_not_searched(said: str) -> None:
    assert not goods_like(said, WORDS, synonyms())


def test_a_sentence_not_understood_gives_two_guesses() -> None:
    assert [topic.name for topic in topics().guess("你们那个快递盒子好看")] == ["my_parcel", "something_wrong"]
    assert topics().guess("天") == []


def test_a_wrong_data_file_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="unknown keys"):
        Topics({"hello": {"cue": ["你好"]}})
    with pytest.raises(ValueError, match="a cue without a word"):
        Topics({"hello": {"cues": ["…"]}})
    with pytest.raises(FileNotFoundError):
        Topics.load(FOLDER / "nothing.toml")


@given(st.text(max_size=100))
def test_nothing_typed_raises(said: str) -> None:
    topics().match(said, WORDS)
    topics().match(said)
    topics().guess(said)
    goods_like(said, WORDS, synonyms())
