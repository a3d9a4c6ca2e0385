"""Whatever comes in an envelope that is sealed as it should be is answered by the whole shop, and never by a fault."""

import hashlib
import random
from dataclasses import replace

from knocking import mutated
from town import Town

from bot.simulator.wire import Person
from bot.wechat.codec import Codec

SAID = (
    "买 A11 50g x2",
    "参团 G7K2",
    "开团 A6",
    "地址 张三 13800138000 浙江省杭州市西湖区文三路1号",
    "搜 龙井 50-100元",
    "商品",
    "1",
    "加 A1 x3",
    "购物车 结算",
    "取消 2A3B4C5D",
    "换规格 2A3B4C5D 50g",
    "订阅 龙井",
    "退订",
    "我的包裹到哪了",
    "发货 2A3B4C5D 顺丰 SF1234567890",
    "改价 A1-1 29.9",
    "上架 龙井250g 88 库存50 #茶",
    "设团 A1 3人 29.9 24小时",
    "推送 #龙井 明天10:00 来了",
    "确认 1234",
)
ODD = "９0零十百Ａa -+.:：，。、#＃×xX\t\n\u202e\u200b\ufeff\U0001f375\u0301<>&]['\"{}%\\/=;AG"


def twisted(rng: random.Random, words: str) -> str:
    """What was sense, with some of it cut, doubled or put in."""
    said = list(words)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(said) + 1)
        match rng.randrange(4):
            case 0:
                said[at:at] = rng.choice(ODD)
            case 1:
                del said[at : at + rng.randint(1, 3)]
            case 2:
                said[at:at] = rng.choice(SAID)[: rng.randint(1, 8)]
            case _:
                said[at:at] = rng.choice(["9" * 30, "0", "-1", "1e9", "99999999", "0.001", "两百五十"])
    return "".join(said)


async def test_whatever_is_sealed_as_it_should_be_is_answered(town: Town, long: bool) -> None:
    """Words that are nearly commands, events and rubbish, from a follower and from the owner, as fast as they like."""
    house, rng = town.stage.house, random.Random(5)
    assert house.settings.wechat is not None
    wechat, wire = house.settings.wechat, town.stage.driver.wire
    token = wechat.token.get_secret_value()
    codec = Codec(token, wechat.app_id, [wechat.encoding_aes_key.get_secret_value()])
    owner, mei = await town.owner(), town.wechat("小美")
    limits = replace(house.figures.limits, messages_per_minute=10**9, messages_per_day=10**9)
    house.desk.figures = replace(house.figures, limits=limits)

    def body(person: Person) -> bytes:
        kind, fields = rng.choice(
            [
                ("subscribe", {"EventKey": "qrscene_join:G7K2", "Ticket": "T"}),
                ("CLICK", {"EventKey": rng.choice(["goods", "join:G7K2", "cancelorder:2A3B4C5D", "buy:A11:2"])}),
                ("SCAN", {"EventKey": "card:K7QP", "Ticket": "T"}),
                ("location", {"Location_X": "30.1", "Location_Y": "120.2", "Scale": "15", "Label": "杭州"}),
            ]
        )
        if rng.random() < 0.8:
            kind, fields = "text", {"Content": twisted(rng, rng.choice(SAID))}
        written = wire.wechat(person, kind, fields).body.encode("utf-8", "surrogatepass")
        return mutated(rng, written) if rng.random() < 0.3 else written

    answered = 0
    for _ in range(10_000 if long else 250):
        sealed, stamp, nonce = codec.encrypt(body(rng.choice([owner, mei]).person)), str(house.clock.timestamp()), "7"

        def signature(*parts: str) -> str:
            return hashlib.sha1("".join(sorted([token, *parts])).encode()).hexdigest()

        query = {"timestamp": stamp, "nonce": nonce, "signature": signature(stamp, nonce), "encrypt_type": "aes"}
        query["msg_signature"] = signature(stamp, nonce, sealed)
        envelope = f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
        async with town.stage.http.post(f"{town.stage.url}/wechat", params=query, data=envelope.encode()) as answer:
            assert answer.status in (200, 403), await answer.text()
            answered += (await answer.text()).startswith("<xml>")
    assert answered > 100, "most of it is understood, or asked about"
    assert {"failed", "not_recorded"}.isdisjoint(house.counts), house.counts
