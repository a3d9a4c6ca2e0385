"""Invite cards: what makes a card good for another day, and cards in chat."""

from datetime import UTC, datetime, timedelta

from handlers.invite import thing_of
from models.invite import Card, facts_hash
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
