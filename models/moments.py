"""Moments as merchants say them (明天10:00, 周三晚上8点, 11月25日) and the hours in which the shop keeps quiet."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo

from models.words import number

_BETWEEN = " ,.:;、。"
TEN = time(10)  # a day without an hour means ten in the morning
_DAYS = {"今天": 0, "今日": 0, "今": 0, "明天": 1, "明日": 1, "明": 1, "后天": 2, "大后天": 3}
_DAYS |= {"today": 0, "tomorrow": 1}
_WEEK = {c: i for i, c in enumerate("一二三四五六")} | {"日": 6, "天": 6, "末": 5}
_ENGLISH_WEEK = {name: i for i, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_N = r"[0-9]{1,2}|[一二两三四五六七八九十]{1,3}"
_NOW = re.compile(r"(?:现在|马上|立刻|立即|now)(?![a-z])")
_DAY = re.compile(
    r"(?P<word>大后天|今天|今日|明天|明日|后天|today|tomorrow|今(?=早|晚|上午|下午)|明(?=早|晚|上午|下午))"
    r"|(?P<next>下)?(?:个)?(?:周|星期|礼拜)(?P<week>[一二三四五六日天末])"
    r"|(?P<english>mon|tue|wed|thu|fri|sat|sun)[a-z]*"
    rf"|(?P<month>{_N})\s?月\s?(?P<day>{_N})\s?[日号]?"
    r"|(?P<m>[0-9]{1,2})[/-](?P<d>[0-9]{1,2})(?![0-9:])"
)
_TIME = re.compile(
    r"(?P<part>凌晨|早上|上午|早|中午|下午|傍晚|晚上|晚)?\s*"
    rf"(?:(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?![0-9])|(?P<clock>{_N})\s?[点时](?:(?P<half>半)|(?P<after>[0-9]{{1,2}})分?)?"
    r"|(?P<twelve>[0-9]{1,2})(?=\s?[ap]m))(?:\s?(?P<english>am|pm))?"
)
_LATE = {"下午", "傍晚", "晚上", "晚", "pm"}


def take_moment(text: str, now: datetime, zone: tzinfo) -> tuple[datetime, str] | None:
    """The moment that plain text begins with, read in the shop's zone, as UTC, and the rest; None for none.

    What has passed today is tomorrow's when no day was named; a date that has passed is next year's.
    """
    said = text.lstrip()
    if found := _NOW.match(said):
        return now, said[found.end() :].lstrip(_BETWEEN)
    local = now.astimezone(zone)
    day = _DAY.match(said)
    rest = said[day.end() :].lstrip() if day else said
    hour = _TIME.match(rest)
    if day is None and hour is None:
        return None
    when = _clock(hour) if hour else TEN
    if when is None:
        return None
    if hour:
        rest = rest[hour.end() :]
    on = _day(day, local, when) if day else local.date()
    if on is None:
        return None
    moment = datetime.combine(on, when, tzinfo=zone)
    if day is None and moment <= local:
        moment = datetime.combine(on + timedelta(days=1), when, tzinfo=zone)
    return moment.astimezone(now.tzinfo), rest.lstrip(_BETWEEN)


def _day(found: re.Match[str], local: datetime, when: time) -> date | None:
    today = local.date()
    if word := found["word"]:
        return today + timedelta(days=_DAYS[word])
    if found["week"] or found["english"]:
        wanted = _WEEK[found["week"]] if found["week"] else _ENGLISH_WEEK[found["english"]]
        monday = today - timedelta(days=today.weekday())
        if found["next"]:
            return monday + timedelta(days=7 + wanted)
        on = monday + timedelta(days=wanted)
        passed = on < today or (on == today and when <= local.time())
        return on + timedelta(days=7) if passed else on
    month, day = number(found["month"] or found["m"]), number(found["day"] or found["d"])
    for year in (today.year, today.year + 1):
        try:
            on = date(year, month or 0, day or 0)
        except ValueError:
            continue
        if on >= today:
            return on
    return None


def _clock(found: re.Match[str]) -> time | None:
    hour = number(found["hour"] or found["clock"] or found["twelve"])
    minute = int(found["minute"] or found["after"] or (30 if found["half"] else 0))
    if hour is None:
        return None
    part = found["part"] or found["english"] or ""
    if (part in _LATE and hour < 12) or (part == "中午" and hour < 3):
        hour += 12
    elif part == "am" and hour == 12:
        hour = 0
    return time(hour, minute) if hour < 24 and minute < 60 else None


def quiet_until(now: datetime, quiet: str, zone: tzinfo) -> datetime | None:
    """When the quiet hours that hold `now` end ("22-8": from 22:00 to 08:00 of the zone), or None.

    The two hours being equal means that it is never quiet.
    """
    start, end = (int(part) % 24 for part in quiet.split("-"))
    local = now.astimezone(zone)
    inside = start <= local.hour or local.hour < end if start > end else start <= local.hour < end
    if start == end or not inside:
        return None
    day = local.date() + timedelta(days=1 if local.hour >= end else 0)
    return datetime.combine(day, time(end), tzinfo=zone).astimezone(now.tzinfo)
