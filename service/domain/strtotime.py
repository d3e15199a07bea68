"""Reads dates as PHP's `strtotime` does, by which the portal reads every date field.

The grammar is the documented one (php.net, "Supported Date and Time Formats"), the tests hold it
against PHP itself. Only what a reader of our warnings needs is worked out: whether PHP reads the
text at all, and which day it takes it for.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

LONGEST = 100
"""Characters. Nothing longer is meant as a date."""
MAX_ZONES = 2
"""PHP ignores a second zone with a warning, and fails at a third."""
_TURN, _CENTURY = 70, 100


@dataclass(slots=True)
class Reading:
    """What PHP takes a text for.

    `relative`: words such as "tomorrow" or a week's number decide the day, or change it.
    `lost_year`: a year was written, and is not read: PHP takes the present one.
    """

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    relative: bool = False
    dates: int = 0
    times: int = 0
    zones: int = 0
    lost_year: bool = False

    @property
    def written(self) -> bool:
        """Whether a day is written down: at least its month and its number."""
        return self.month is not None and self.day is not None

    def kept(self) -> date | None:
        """Return the day of a text that names all of it; None where it does not, or no day."""
        if self.year is None or self.month is None or self.day is None:
            return None
        try:
            first = date(self.year + (self.month - 1) // 12, (self.month - 1) % 12 + 1, 1)
            found = first + timedelta(days=self.day - 1)
            if self.weekday is not None:
                found += timedelta(days=(self.weekday - found.weekday()) % 7)
        except (ValueError, OverflowError):
            return None
        return found

    @property
    def exact(self) -> bool:
        """Whether the day is kept as it is written: not the 31st of February, not day 0."""
        kept = self.kept()
        if self.year is None:
            return True
        return kept is not None and (kept.year, kept.month, kept.day) == (
            self.year,
            self.month,
            self.day,
        )


_DAY = r"(?P<d>3[01]|[0-2]?\d)(?:st|nd|rd|th)?"
_DAY_LZ = r"(?P<d>0\d|[12]\d|3[01])"
_MONTH = r"(?P<m>1[0-2]|0?\d)"
_MONTH_LZ = r"(?P<m>0\d|1[0-2])"
_YEAR, _YEAR4, _YEAR2 = r"(?P<y>\d{1,4})", r"(?P<y>\d{4})", r"(?P<y>\d\d)"
_MONTH_WORDS = (
    "january february march april may june july august september october november december"
)
_MONTHS = _MONTH_WORDS.split()
_ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
_NAMES = sorted([*_MONTHS, *(name[:3] for name in _MONTHS), "sept"], key=len, reverse=True)
_NAMED = rf"(?P<name>(?i:{'|'.join(_NAMES)}))"
_ROMANS = "|".join(sorted(_ROMAN, key=len, reverse=True))
_MONTH_TEXT = rf"(?P<name>(?i:{'|'.join(_NAMES)})|{_ROMANS})"
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_DAY_NAME = "|".join([f"{day}s?|{day[:3]}" for day in _DAYS])
_DAY_TEXT = rf"(?:{_DAY_NAME}|weekdays?)"
_H24, _H24_LZ, _H12 = r"(?:2[0-4]|[01]?\d)", r"(?:[01]\d|2[0-4])", r"(?:1[0-2]|0?[1-9])"
_MIN, _MIN_LZ = r"(?:[0-5]?\d)", r"(?:[0-5]\d)"
_SEC, _SEC_LZ = r"(?:60|[0-5]?\d)", r"(?:60|[0-5]\d)"
_MERIDIAN = r"(?:[AaPp]\.?[Mm]\.?(?=[\0\t ]|$))"
_CORRECTION = (
    rf"(?:GMT)?[+-](?:{_H24_LZ}:{_MIN_LZ}:{_SEC_LZ}|{_H24_LZ}{_MIN_LZ}{_SEC_LZ}|{_H24}:?{_MIN}?)"
)
_ZONE = r"(?:[A-Z][a-z]+(?:[_/-][A-Za-z]+)+|\(?[A-Za-z]{1,6}\)?)"
_SP, _ANY = r"(?:[ \t]*|[\u00a0\u202f]?)", r"[ \t.-]*"
_UNIT = (
    r"(?:ms|µs|(?:msec|millisecond|µsec|microsecond|usec|sec|second|min|minute|hour|day|fortnight"
    rf"|forthnight|month|year)s?|{_DAY_TEXT}|weeks?)"
)
_ORDINAL = (
    "(?:first|second|third|fourth|fifth|sixth|seventh|eighth?|ninth|tenth|eleventh|twelfth"
    "|next|last|previous|this)"
)
_T24 = rf"(?i:t)?{_H24}[:.]{_MIN}"
_TINY12 = rf"{_H12}{_SP}{_MERIDIAN}"
_T12 = rf"{_H12}[:.]{_MIN_LZ}(?:[:.]{_SEC_LZ})?{_SP}{_MERIDIAN}"
_NO_YEAR = rf"{_MONTH_TEXT}{_ANY}{_DAY}(?:[,.stndrh\t ]+|$)"

DATE, TIME, ZONE, RELATIVE, BACK, ONLY_YEAR = "DTZRB4"
"""What a form says: a date, a time, a zone, words; `B` forgets a time, `4` is a bare year."""

_FORMS = [
    (RELATIVE + BACK, r"(?i:yesterday|midnight|today|tomorrow)"),
    (RELATIVE, r"(?i:now)"),
    (RELATIVE + BACK + TIME, r"(?i:noon)"),
    (RELATIVE + ZONE, r"@-?\d+(?:\.\d{0,6})?"),
    (RELATIVE, r"(?i:(?:first|last) day of)"),
    (RELATIVE + BACK + TIME, rf"(?i:(?:back|front) of ){_H24}(?:{_SP}{_MERIDIAN})?"),
    (RELATIVE, rf"(?i:{_ORDINAL}[ \t]+(?:{_DAY_NAME})[ \t]+of)"),
    (TIME, rf"{_T12}|{_TINY12}"),
    (TIME, rf"{_H12}:{_MIN_LZ}:{_SEC_LZ}[:.]\d+{_MERIDIAN}"),
    (TIME, rf"{_T24}(?:[:.]{_SEC}(?:\.\d+)?)?|(?i:t){_H24}"),
    (ONLY_YEAR + TIME, rf"(?i:t)?{_H24_LZ}{_MIN_LZ}"),
    (TIME, rf"(?i:t)?{_H24_LZ}{_MIN_LZ}{_SEC_LZ}"),
    (DATE, rf"{_MONTH}/{_DAY}(?:/{_YEAR})?"),
    (DATE, rf"(?P<y>[+-]?\d{{4}}|[+-]\d{{5,19}})-{_MONTH_LZ}-{_DAY_LZ}"),
    (DATE, rf"{_YEAR4}/{_MONTH}/{_DAY}"),
    (DATE, rf"{_YEAR4}/{_MONTH_LZ}/{_DAY_LZ}/"),
    (DATE, rf"{_YEAR2}-{_MONTH_LZ}-{_DAY_LZ}"),
    (DATE, rf"{_YEAR4}-{_MONTH}"),
    (DATE, rf"{_YEAR}-{_MONTH}-{_DAY}"),
    (DATE, rf"{_DAY}{_ANY}{_MONTH_TEXT}{_ANY}{_YEAR}"),
    (DATE, rf"{_DAY}[.\t-]{_MONTH}[.-]{_YEAR4}"),
    (DATE, rf"{_DAY}[.\t]{_MONTH}\.{_YEAR2}"),
    (DATE, rf"{_MONTH_TEXT}{_ANY}{_YEAR4}"),
    (DATE, rf"{_YEAR4}{_ANY}{_MONTH_TEXT}"),
    (DATE, rf"{_MONTH_TEXT}{_ANY}{_DAY}[,.stndrh\t ]+{_YEAR}"),
    (DATE, _NO_YEAR),
    (DATE, rf"{_DAY}{_ANY}{_MONTH_TEXT}"),
    (DATE, rf"{_YEAR4}{_MONTH_LZ}{_DAY_LZ}"),
    (DATE + TIME, rf"{_YEAR4}-{_MONTH}-{_DAY}T{_H24}:{_MIN}:{_SEC}"),
    (
        DATE + TIME,
        rf"{_YEAR4}-{_MONTH_LZ}-{_DAY_LZ}T{_H24_LZ}:{_MIN_LZ}:{_SEC_LZ}\.\d+(?:{_CORRECTION})?",
    ),
    (DATE + TIME, rf"{_YEAR4}{_MONTH_LZ}{_DAY_LZ}T{_H24}:{_MIN_LZ}:{_SEC_LZ}"),
    (DATE + TIME, rf"{_YEAR4}{_MONTH_LZ}{_DAY_LZ}(?i:t){_H24}{_MIN_LZ}{_SEC_LZ}"),
    (DATE + TIME, rf"{_YEAR4}{_MONTH_LZ}{_DAY_LZ}{_H24_LZ}{_MIN_LZ}{_SEC_LZ}"),
    (DATE + TIME, rf"{_YEAR4}:{_MONTH_LZ}:{_DAY_LZ} {_H24_LZ}:{_MIN_LZ}:{_SEC_LZ}"),
    (DATE + RELATIVE, r"\d{4}[.-]?(?:00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])"),
    (DATE + RELATIVE, r"\d{4}-?W(?:0[1-9]|[1-4]\d|5[0-3])(?:-?[0-7])?"),
    (DATE, rf"{_NAMED}-{_DAY_LZ}-{_YEAR}"),
    (DATE, rf"{_YEAR}-{_NAMED}-{_DAY_LZ}"),
    (
        DATE + TIME + ZONE,
        rf"{_DAY}/{_NAMED}/{_YEAR4}:{_H24_LZ}:{_MIN_LZ}:{_SEC_LZ}[ \t]+{_CORRECTION}",
    ),
    (ONLY_YEAR, r"\d{4}"),
    (RELATIVE, r"(?i:ago)"),
    (RELATIVE + BACK, rf"(?P<weekday>(?i:{_DAY_TEXT}))"),
    (RELATIVE, rf"(?i:{_ORDINAL}[ \t]+week)"),
    (RELATIVE, rf"(?i:{_ORDINAL}[ \t]+{_UNIT})"),
    (DATE, _NAMED),
    (ZONE, rf"{_CORRECTION}|{_ZONE}"),
    (DATE + TIME, rf"{_NO_YEAR}(?:{_T12}|{_T24}(?:[:.]{_SEC})?)"),
    (RELATIVE, rf"(?i:[+-]*[ \t]*\d{{1,13}}{_SP}(?:{_UNIT}|week))"),
    ("", r"[ .,\t\n\0\u00a0\u202f]"),
]
_COMPILED = [(says, re.compile(form)) for says, form in _FORMS]
_ZONE_WORDS = (
    "acdt acst addt adt aedt aest ahdt ahst akdt akst amt apt ast awdt awst awt bdst bdt bmt bst "
    "cast cat cddt cdt cemt cest cet cmt cpt cst cwt chst dmt eat eddt edt eest eet emt ept est "
    "ewt ffmt fmt gdt gmt gst hdt hkst hkt hmt hpt hst hwt iddt idt imt ist jdt jmt jst kdt kmt "
    "kst lst mddt mdst mdt mest met mmt mpt msd msk mst mwt nddt ndt npt nst nwt nzdt nzmt nzst "
    "pddt pdt pkst pkt plmt pmt ppmt ppt pst pwt qmt rmt sast sdmt sjmt smt sst tbmt tmt uct utc "
    "wast wat wemt west wet wib wita wit wmt yddt ydt ypt yst ywt cuba egypt eire gb iceland iran "
    "israel japan libya navajo nz poland prc roc rok turkey zulu gb-eire nz-chat w-su"
)
_ABBREVIATIONS = frozenset(_ZONE_WORDS.split())
_REGIONS = re.compile(
    "(?i:africa|america|antarctica|arctic|asia|atlantic|australia|brazil|canada|chile|etc|europe"
    "|indian|mexico|pacific|us)/.+"
)


def read(text: str) -> Reading | None:
    """Return what `strtotime` takes a text for; None where it reads nothing. Not to be changed."""
    return _read(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=1024)
def _read(text: str) -> Reading | None:
    text = text.strip(" \t\n\v\f\r") or text[:1]
    if not text:
        return None
    reading, at = Reading(), 0
    while at < len(text):
        found = _longest(text, at)
        if found is None or not _take(reading, *found):
            return None
        at = found[1].end()
    return reading


def _longest(text: str, at: int) -> tuple[str, re.Match[str]] | None:
    """Return the longest form at a place, of equals the first, as PHP's scanner does."""
    best: tuple[str, re.Match[str]] | None = None
    for says, form in _COMPILED:
        match = form.match(text, at)
        if match is not None and (best is None or match.end() > best[1].end()):
            best = says, match
    return best


def _take(reading: Reading, says: str, match: re.Match[str]) -> bool:
    """Add one form to a reading; tell whether PHP goes on."""
    if BACK in says:
        reading.times = 0
    if ONLY_YEAR in says:
        if says == ONLY_YEAR + TIME and not reading.times:
            reading.times = 1
            return True
        reading.year = int(match[0][-4:])
        return True
    reading.relative |= RELATIVE in says
    reading.dates += DATE in says
    reading.times += TIME in says
    if ZONE in says:
        reading.zones += 1
        if reading.zones == 1 and not _is_zone(match[0]):
            return False
    named = match.groupdict()
    if DATE in says and named.keys() & {"name", "m"} and "y" not in named:
        reading.lost_year |= reading.year is not None
        reading.year = None
    _note(reading, named)
    return reading.dates <= 1 and reading.times <= 1 and reading.zones <= MAX_ZONES


def _note(reading: Reading, named: dict[str, str | None]) -> None:
    """Note the numbers that a form names."""
    if year := named.get("y"):
        reading.year = _full_year(year)
    if month := named.get("m"):
        reading.month = int(month)
    if name := named.get("name"):
        reading.month = _month(name)
    if day := named.get("d"):
        reading.day = int(day)
    if weekday := named.get("weekday"):
        days = [each[:3] for each in _DAYS]
        reading.weekday = days.index(weekday[:3].lower()) if weekday[:3].lower() in days else None


def _full_year(digits: str) -> int:
    year = int(digits)
    if len(digits) >= len("2026"):
        return year
    return year + (2000 if year < _TURN else 1900 if year < _CENTURY else 0)


def _month(name: str) -> int:
    if name in _ROMAN:
        return _ROMAN.index(name) + 1
    return [each[:3] for each in _MONTHS].index(name[:3].lower()) + 1


def _is_zone(text: str) -> bool:
    name = text.strip("()").lower()
    if any(each.isdigit() for each in name):
        return not name.endswith(":")
    return (len(name) == 1 and name != "j") or name in _ABBREVIATIONS or bool(_REGIONS.match(name))
