"""Parses dates as precise as the page states them: to the year, month or day."""

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from bookwheel_extraction.values.numerals import normalize_numbers, plain_text
from bookwheel_extraction.values.parsed import Parsed, refuse

_MAX_LENGTH = 200
_MAX_YEAR = 2200
_MONTHS = MappingProxyType(
    {
        name: number
        for number, names in enumerate(
            (
                "january jan januar jänner janvier janv enero ene gennaio gen januari janeiro stycznia styczeń января",
                "february feb februar februari février févr fév febrero febbraio fevereiro luty lutego февраля",
                "march mar märz mrz mär maart mars marzo mrt março marzec marca марта",
                "april apr avril avr abril abr aprile kwiecień kwietnia апреля",
                "may mai mayo maggio mag mei maio maj maja мая",
                "june jun juni juin junio giugno giu junho czerwiec czerwca июня",
                "july jul juli juillet juil julio luglio lug julho lipiec lipca июля",
                "august aug août agosto ago augustus augusti sierpień sierpnia августа",
                "september sep sept septembre septiembre settembre set setembro wrzesień września сентября",
                "october oct oktober okt octobre octubre ottobre ott outubro październik października октября",
                "november nov novembre noviembre novembro listopad listopada ноября",
                "december dec dezember dez décembre déc diciembre dic dicembre desember dezembro grudnia декабря",
            ),
            start=1,
        )
        for name in names.split()
    }
)
_MONTH = r"(?P<month>[^\W\d_]{3,12})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|ª|°|\.)?"
_YEAR = r"(?P<year>\d{4})"
_LABEL = re.compile(
    r"(?i)^(?:(?:first |originally |date |year )?(?:published(?: on)?|publication(?: date| year)?|release date|released"
    r"|pub date|copyright)"
    r"|erschienen(?: am)?|erscheinungsdatum|erscheinungstermin|erscheinungsjahr|veröffentlicht(?: am)?"
    r"|parution|paru le|date de parution|publié le|fecha de publicación|publicado|data di pubblicazione|pubblicato"
    r"|verschijningsdatum|verschenen|date|datum|fecha|data"
    r"|on|am|le|im|in|en|©|\(c\)|c(?=\d{4}$))\s*:?\s*(?=[\d\w\[-])"
)
_WEEKDAY = re.compile(
    r"(?i)^(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so)(?:[a-z]{0,6}day|[a-z]{0,6}tag|ttwoch)?\.?,? (?=\w)"
)
_TIME = re.compile(
    r"(?:(?<=\d)T|,? )\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"
    r"(?: ?(?:Z|[A-Z]{2,5}|[+-]\d{2}:?\d{2})){0,2}(?: \([^()]{0,40}\))?$"
)
_BEFORE_CHRIST = re.compile(
    r"(?i) ?\b(?:b\.? ?c\.?(?: ?e\.?)?|v\.? ?chr\.?|v\. ?u\. ?z\.?|av\. ?j\.?-? ?c\.?|a\. ?de ?c\.?|a\. ?c\.?"
    r"|p\. ?n\. ?e\.?)$"
)
_AFTER_CHRIST = re.compile(
    r"(?i)^(?:a\.? ?d\.?|c\.? ?e\.?) ?(?=\d{1,4}$)|(?<=\d) ?(?:a\.? ?d\.?|c\.? ?e\.?|n\. ?chr\.?)$"
)
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_YEAR}-(?P<month>\d\d)(?:-(?P<day>\d\d))?(?:Z|[+-]\d\d:\d\d)?",
        rf"{_YEAR}[/.](?P<month>\d{{1,2}})[/.](?P<day>\d{{1,2}})",
        rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)",
        rf"{_DAY} ?(?:de |d'|of |-)?{_MONTH},? ?(?:de |del |-)?{_YEAR}(?: ?г\.?)?",
        rf"{_MONTH} {_DAY},? {_YEAR}",
        rf"{_MONTH},? ?(?:de |del |of |-)?{_YEAR}",
        rf"{_YEAR},? {_MONTH}(?: {_DAY})?",
        rf"{_YEAR}年(?: ?(?P<month>\d{{1,2}})月(?: ?(?P<day>\d{{1,2}})日)?)?",
        rf"{_YEAR}년(?: ?(?P<month>\d{{1,2}})월(?: ?(?P<day>\d{{1,2}})일)?)?",
        rf"(?P<month>\d{{1,2}})[/.]{_YEAR}",
        r"(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})",
    )
)
_TWO_ORDERS = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})")
_YEAR_ONLY = re.compile(r"(?P<sign>-)?\[?(?P<year>\d{1,4})(?:\.0)?\]?")


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date as precise as stated. A negative year is one before Christ, as stated: 750 BC is -750."""

    year: int
    month: int | None = None
    day: int | None = None

    def isoformat(self) -> str:
        """Return `2004`, `2004-05`, `2004-05-01` or `-0750`."""
        parts = [f"{'-' if self.year < 0 else ''}{abs(self.year):04d}"]
        parts += [f"{part:02d}" for part in (self.month, self.day) if part is not None]
        return "-".join(parts)


def parse_date(value: object) -> Parsed[PartialDate]:
    """Parse `2004`, `2004-05`, `5 May 2004`, `Mai 2004`, `750 BC`.

    A date with two readings such as `01/02/2004`, a range and an approximate date are refused.
    """
    if value is None or value == "":
        return Parsed()
    text = plain_text(value)
    if text is None or len(text) > _MAX_LENGTH:
        return refuse("not_a_date", value)
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(found: str) -> Parsed[PartialDate]:
    text = normalize_numbers(found).strip(" .,;")
    label = _LABEL.match(text)
    text = text[label.end() :] if label else text
    if not text:
        return Parsed()
    text = _TIME.sub("", _WEEKDAY.sub("", text))
    era = _BEFORE_CHRIST.search(text)
    text = _AFTER_CHRIST.sub("", text[: era.start()] if era else text)
    year = _YEAR_ONLY.fullmatch(text)
    if year and bool(year["sign"]) + bool(era) < 2:
        return _date(found, int(year["year"]) * (-1 if year["sign"] or era else 1))
    if era:
        return refuse("not_a_date", found)
    orders = _TWO_ORDERS.fullmatch(text)
    if orders:
        return _of_two_orders(found, int(orders[1]), int(orders[3]), int(orders[4]))
    for pattern in _PATTERNS:
        match = pattern.fullmatch(text)
        if match:
            return _of_match(found, match)
    return refuse("not_a_date", found)


def _of_match(found: str, match: re.Match[str]) -> Parsed[PartialDate]:
    month_text, day_text = match.groupdict().get("month"), match.groupdict().get("day")
    if month_text is None:
        return _date(found, int(match["year"]))
    month = int(month_text) if month_text.isdigit() else _MONTHS.get(month_text.casefold())
    if month is None:
        return refuse("not_a_date", found)
    day = int(day_text) if day_text else None
    if month == 0 and not day:  # databases write an unknown month or day as 0
        return _date(found, int(match["year"]))
    return _date(found, int(match["year"]), month, day or None)


def _of_two_orders(found: str, first: int, second: int, year: int) -> Parsed[PartialDate]:
    """Parse day and month in either order, if only one is possible."""
    dates = {
        date.value for date in (_date(found, year, second, first), _date(found, year, first, second)) if date.value
    }
    if len(dates) == 1:
        return Parsed(dates.pop())
    return refuse("ambiguous" if dates else "not_a_date", found)


def _date(found: str, year: int, month: int | None = None, day: int | None = None) -> Parsed[PartialDate]:
    if year == 0 or year > _MAX_YEAR:
        return refuse("out_of_range", found)
    if month is not None and not 1 <= month <= 12:
        return refuse("not_a_date", found)
    if month is not None and day is not None and not 1 <= day <= _days(year, month):
        return refuse("not_a_date", found)
    return Parsed(PartialDate(year, month, day))


def _days(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (31, 29 if is_leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
