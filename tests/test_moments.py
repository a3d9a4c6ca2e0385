"""Moments as merchants say them, and the hours in which the shop keeps quiet."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from conftest import NOON
from hypothesis import given
from hypothesis import strategies as st

from models.moments import quiet_until, take_moment

CHINA = ZoneInfo("Asia/Shanghai")


def at(text: str) -> datetime:
    """A moment of Shanghai, "2026-03-02 12:00"."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)


@pytest.mark.parametrize(
    ("said", "moment", "rest"),
    [
        ("明天10:00 龙井到了。", "2026-03-03 10:00", "龙井到了。"),
        ("今天 18:30 龙井", "2026-03-02 18:30", "龙井"),
        ("后天晚上8点半 龙井", "2026-03-04 20:30", "龙井"),
        ("18:30 龙井", "2026-03-02 18:30", "龙井"),
        ("9:00 龙井", "2026-03-03 09:00", "龙井"),
        ("今天9:00 龙井", "2026-03-02 09:00", "龙井"),
        ("周三10:00 龙井", "2026-03-04 10:00", "龙井"),
        ("周一10:00 龙井", "2026-03-09 10:00", "龙井"),
        ("周一18:00 龙井", "2026-03-02 18:00", "龙井"),
        ("下周三下午3点 龙井", "2026-03-11 15:00", "龙井"),
        ("11月25日10:00 龙井", "2026-11-25 10:00", "龙井"),
        ("1月5日 龙井", "2027-01-05 10:00", "龙井"),
        ("3/8 9:00 龙井", "2026-03-08 09:00", "龙井"),
        ("明天 3月茶上市", "2026-03-03 10:00", "3月茶上市"),
        ("tomorrow 10:00 longjing", "2026-03-03 10:00", "longjing"),
        ("friday 8pm longjing", "2026-03-06 20:00", "longjing"),
        ("现在 龙井", "2026-03-02 12:00", "龙井"),
        ("明早8点:龙井", "2026-03-03 08:00", "龙井"),
        ("十二月三十一日 龙井", "2026-12-31 10:00", "龙井"),
    ],
)
def test_a_moment_is_read_as_merchants_say_it(said: str, moment: str, rest: str) -> None:
    assert take_moment(said, NOON, CHINA) == (at(moment), rest)


@pytest.mark.parametrize("said", ["龙井到了", "", "25:00 龙井", "明天10:99 龙井", "2月30日10:00 龙井", "13月1日 龙井"])
def test_what_is_no_moment_is_none(said: str) -> None:
    assert take_moment(said, NOON, CHINA) is None


@given(st.text(alphabet="今明后天周三下午晚上点半月日0123456789:/- 龙amp", max_size=16))
def test_reading_a_moment_never_raises_and_never_gives_the_distant_past(said: str) -> None:
    found = take_moment(said, NOON, CHINA)
    assert found is None or found[0] > NOON - timedelta(days=7)


@pytest.mark.parametrize(
    ("moment", "quiet", "until"),
    [
        ("2026-03-02 21:59", "22-8", None),
        ("2026-03-02 22:00", "22-8", "2026-03-03 08:00"),
        ("2026-03-03 07:59", "22-8", "2026-03-03 08:00"),
        ("2026-03-03 08:00", "22-8", None),
        ("2026-03-02 13:00", "12-14", "2026-03-02 14:00"),
        ("2026-03-02 23:00", "22-24", "2026-03-03 00:00"),
        ("2026-03-02 23:00", "0-0", None),
        ("2026-03-02 03:00", "0-6", "2026-03-02 06:00"),
    ],
)
def test_the_quiet_hours_end_in_the_morning(moment: str, quiet: str, until: str | None) -> None:
    assert quiet_until(at(moment), quiet, CHINA) == (at(until) if until else None)
