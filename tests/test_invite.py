"""Invite cards: what makes a card good for another day, and cards in chat."""

from datetime import UTC, datetime, timedelta

from town import Town

from handlers.invite import thing_of
from models.follower import FollowerGlance
from models.invite import Came, Card, InviteGlance, facts_hash
from models.product import ProductGlance
from models.talk import Talking

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def drawn_card(**changes: object) -> Card:
    """A card as an errand brought it home."""
    card = Card(code="K7QP", follower_id=1, thing="A12", made=NOW)
    facts: dict[str, object] = {
        "drawn": "d1",
        "picture": "ab" * 32,
        "media_id": "m1",
        "media_until": NOW + 2 * DAY,
        "scene_url": "http://weixin.example/q/1",
        "scene_until": NOW + 30 * DAY,
    }
    card.keep(**(facts | changes))  # type: ignore[arg-type]
    return card


def test_the_qr_carries_the_intent_that_opens_the_card() -> None:
    assert drawn_card().scene == "card:K7QP"


def test_a_card_that_is_kept_and_true_is_shown_at_once() -> None:
    assert drawn_card().shown_good("d1", NOW)


def test_another_price_or_seat_line_draws_it_again() -> None:
    assert not drawn_card().shown_good("d2", NOW)
    assert facts_hash({"line": "还差 2 人"}) != facts_hash({"line": "还差 1 人"})


def test_a_picture_the_platform_has_forgotten_is_uploaded_again_not_drawn_again() -> None:
    card = drawn_card()
    assert not card.shown_good("d1", NOW + 3 * DAY)
    assert card.drawn_good("d1", NOW + 3 * DAY)


def test_a_card_of_a_channel_without_media_is_good_as_long_as_its_code() -> None:
    card = drawn_card(media_id="", media_until=None)
    assert card.shown_good("d1", NOW + 20 * DAY)


def test_a_code_is_renewed_before_its_thirty_days_end() -> None:
    card = drawn_card(media_until=NOW + 60 * DAY)
    assert card.shown_good("d1", NOW + 24 * DAY)
    assert not card.shown_good("d1", NOW + 26 * DAY)


def test_the_card_is_for_what_was_said_else_for_what_was_last_shown() -> None:
    talk = Talking()
    assert thing_of("", talk, NOW) == ""
    talk.saw("product", "A12", NOW)
    talk.saw("group", "G7K2", NOW + timedelta(seconds=5))
    assert thing_of("", talk, NOW + timedelta(minutes=1)) == "G7K2"
    assert thing_of("这个", talk, NOW + timedelta(minutes=1)) == "G7K2"
    assert thing_of("", talk, NOW + timedelta(minutes=30)) == ""
    assert thing_of("aI2", talk, NOW) == "A12"
    assert thing_of("g7k2", talk, NOW) == "G7K2"
    assert thing_of("小店", talk, NOW) == ""


# -- in chat ---------------------------------------------------------------------------------------------


async def test_a_card_is_drawn_sent_and_the_second_time_shown_at_once(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    first = await mei.says("邀请卡 A1")
    assert "正在画" in first.text
    await town.settles()
    sent = [h for h in mei.inbox if h.media_id]
    assert len(sent) == 1
    again = await mei.says("邀请卡 a1")
    assert again.media_id == sent[0].media_id
    assert not again.text
    await town.later(hours=80)  # the platform keeps pictures for three days
    assert "正在画" in (await mei.says("邀请卡 A1")).text
    await town.settles()
    renewed = [h for h in mei.inbox if h.media_id]
    assert renewed[0].media_id != sent[0].media_id
    assert renewed[0].picture == sent[0].picture


async def test_a_friend_who_scans_sees_the_thing_of_the_card_and_is_counted_once(town: Town) -> None:
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    await mei.follows()
    await mei.says("邀请卡 A1")
    await town.settles()
    card = mei.last.picture
    assert card is not None
    seen = await hao.scans(card)  # subscribes by it
    assert "朋友" in seen.text
    assert "龙井" in seen.text
    assert "告诉您一声" not in seen.text
    assert "龙井" in (await hao.scans(card)).text  # follows already
    assert "朋友" not in (await mei.scans(card)).text
    reader = town.stage.house.store.reader
    who = await FollowerGlance(reader).visit("wechat", town.stage.house.settings.wechat.account, mei.person.who, "")
    assert who is not None
    assert await InviteGlance(reader).came(who.me.id) == Came(cards=1, scanned=1, new=1)


async def test_on_weibo_the_card_is_an_article_and_its_code_an_integer(town: Town) -> None:
    lin, yan = town.weibo("小林"), town.weibo("小燕")
    await lin.follows()
    assert "正在画" in (await lin.says("邀请卡 A1")).text
    await town.settles()
    sent = [h for h in lin.inbox if h.article]
    assert len(sent) == 1
    article = sent[0].article
    assert article is not None
    assert "看 A1" in article.text
    sha256 = article.picture.rsplit("/", 1)[1].removesuffix(".jpg")
    assert await ProductGlance(town.stage.house.store.reader).picture(sha256)
    assert (await lin.says("邀请卡 A1")).article == article
    assert "龙井" in (await yan.follows("1")).text


async def test_nobody_is_invited_to_what_does_not_exist(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    assert "编号" in (await mei.says("邀请卡 GZZZ")).text
    assert "A999" in (await mei.says("邀请卡 A999")).text
    tao = town.wechat("小陶")
    assert "龙井" in (await tao.follows("card:ZZZZ")).text  # a card nobody made: the shelf, and the following stays
    reader = town.stage.house.store.reader
    account = town.stage.house.settings.wechat.account
    known = await FollowerGlance(reader).visit("wechat", account, tao.person.who, "")
    assert known is not None
    assert known.me.following
