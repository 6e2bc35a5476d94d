"""Sign-up times of a whole column: some forms can be told apart only where the other values of the column decide.

Whether 06/04/2026 is in April or June is decided by any value of the column with a number over 12 in one place; where none has one the column
is refused, once.  Numbers of days as spreadsheets keep them are read where the whole column holds nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, NamedTuple

from stillwatch.watch.intake.cells import text_of
from stillwatch.watch.intake.errors import RowError

#: A sign-up may be older than any call.
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_SHEET_ZERO: Final = datetime(1899, 12, 30, tzinfo=UTC).timestamp()
_DAY: Final = 86400.0
_MONTHS: Final = {m: i + 1 for i, m in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))}
_MONTH: Final = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_NUMBER: Final = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:[.,]\d*)?|\d\.\d{9,}e\+?\d{1,2}", re.IGNORECASE)
_CTIME: Final = re.compile(rf"({_MONTH} \d{{1,2}}) (\d{{1,2}}:\d\d:\d\d)((?: [a-z+\-:0-9]+)?) (\d{{4}})", re.IGNORECASE)
_DATE: Final = re.compile(
    rf"""(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\ )?
    (?: (?P<y>\d{{4}})(?P<s>[-/.])(?P<m>\d{{1,2}})(?P=s)(?P<d>\d{{1,2}})
      | (?P<a>\d{{1,2}})(?P<t>[-/.])(?P<b>\d{{1,2}})(?P=t)(?P<last>\d{{4}}|\d{{2}})
      | (?P<d1>\d{{1,2}})(?:st|nd|rd|th)?[\ -](?P<n1>{_MONTH})\.?,?[\ -](?P<y1>\d{{4}})
      | (?P<n2>{_MONTH})\.?\ (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,?\ (?P<y2>\d{{4}}) )
    (?: (?:T|,?\ at\ |,?\ ) (?P<H>\d{{1,2}}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)? (?:\ ?(?P<half>[ap])\.?m\.?)? )?
    (?:\ ?(?P<utc>Z|UTC|GMT|UT)|\ ?(?:UTC|GMT)?(?P<o>[+-]\d\d(?::?\d\d)?)(?:\ [a-z]{{3,5}})?)?
    (?:\ ?\([^()]*\)|\[[^\[\]]*\])?""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(slots=True)
class Times:
    """``values`` [cells] seconds since the epoch in UTC, None where unknown; ``bad`` cells by position, with the reason.

    ``refused`` is why not one value of the column could be read, ``note`` how its values were understood where that is not plain.
    """

    values: list[float | None]
    bad: list[tuple[int, str]] = field(default_factory=list)
    refused: str = ""
    note: str = ""


class _Slashed(NamedTuple):
    """A date of which the column must say what is the day; ``rest`` are seconds of the day less the offset."""

    a: int
    b: int
    year: int
    short: bool
    rest: float


class _Days(NamedTuple):
    """Days since a spreadsheet's zero, if the column holds nothing else."""

    seconds: float


def read_times(cells: Sequence[object], name: str = "created_at") -> Times:
    """Read a column of cells as they stand in the file.

    >>> read_times(["2026-06-01 00:00:00 UTC", "1780272000", 1780272000000, None, "soon"]).values
    [1780272000.0, 1780272000.0, 1780272000.0, None, None]
    >>> read_times(["06/04/2026", "11/17/2024"]).note
    'read as month/day/year'
    """
    out = Times([None] * len(cells))
    slashed: dict[int, _Slashed] = {}
    days: dict[int, float] = {}
    example, known, read = "", 0, 0
    for i, cell in enumerate(cells):
        if cell is None or cell == "":
            continue
        try:
            text = text_of(cell, name)
            if text is None or text == "NaT":
                continue
            known += 1
            example = example or form(text)
            found = _one(text, name)
        except RowError as bad:
            out.bad.append((i, bad.reason))
            continue
        if isinstance(found, _Slashed):
            slashed[i] = found
        elif isinstance(found, _Days):
            days[i] = found.seconds
        else:
            out.values[i], read = found, read + 1
    if slashed:
        example = form(str(text_of(cells[next(iter(slashed))], name)))
        _decide(out, slashed, example)
    if days and not read and not slashed:
        for i, seconds in days.items():
            out.values[i] = seconds
        out.note = "spreadsheet's numbers of days, read as days since 1899-12-30"
    else:
        out.bad += [(i, "a spreadsheet's number of days among other times") for i in days]
    if known and not out.refused and all(v is None for v in out.values):
        out.refused = f"no value is a time (they look like {example}); write ISO 8601, such as 2026-06-01T08:00:00Z, or seconds since 1970"
    if out.refused:
        out.bad.clear()
    out.bad.sort()
    return out


def form(text: str) -> str:
    """The form of a value without the value, up to 32 characters: digits are 9, letters a.

    >>> form("06/04/2026 08:23 PM")
    '99/99/9999 99:99 aa'
    """
    return "".join("9" if c.isdecimal() else "a" if c.isalpha() else c if c in " -/:.,+" else "?" for c in text[:32])


def _decide(out: Times, slashed: dict[int, _Slashed], example: str) -> None:
    """Which of two numbers is the month, for the whole column."""
    month_first, day_first = any(s.b > 12 for s in slashed.values()), any(s.a > 12 for s in slashed.values())
    if month_first == day_first:
        why = (
            "values contradict one another in which number is the month"
            if month_first
            else "no value over 12 tells which number is the month"
        )
        reason = f"dates like {example}: {why}; write 2026-06-01 (ISO 8601)"
    elif day_first and any(s.short for s in slashed.values()):
        # 26/06/15 is a day in June 2015 or in June 2026.
        reason = f"dates like {example}: a year of two digits cannot be told from the day; write 2026-06-01 (ISO 8601)"
    else:
        out.note = "read as month/day/year" if month_first else "read as day/month/year"
        for i, s in slashed.items():
            month, day = (s.a, s.b) if month_first else (s.b, s.a)
            try:
                out.values[i] = _within(_midnight(s.year, month, day) + s.rest)
            except (ValueError, RowError):
                out.bad.append((i, "not a time"))
        return
    if all(v is None for v in out.values):
        out.refused = reason
    else:
        out.bad += [(i, "day and month cannot be told apart") for i in slashed]


def _one(text: str, name: str) -> float | _Slashed | _Days:
    """Read one value.  Raises RowError for what is no time in any column."""
    text = " ".join(text.split())
    if _NUMBER.fullmatch(text):
        return _number(text, name)
    if turned := _CTIME.search(text):
        text = f"{turned[1]} {turned[4]} {turned[2]}{turned[3]}"
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            moment = datetime.fromisoformat(text)  # compact forms, weeks
            return _within((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), name)
        rest = _clock(found)
        if found["a"]:
            short = len(found["last"]) == 2
            a, b = int(found["a"]), int(found["b"])
            if max(a, b) > 31 or min(a, b) > 12 or min(a, b) < 1:
                raise ValueError
            return _Slashed(a, b, int(found["last"]) + 2000 * short, short, rest)
        year = int(found["y"] or found["y1"] or found["y2"])
        month = int(found["m"]) if found["m"] else _MONTHS[(found["n1"] or found["n2"])[:3].lower()]
        return _within(_midnight(year, month, int(found["d"] or found["d1"] or found["d2"])) + rest, name)
    except (ValueError, OverflowError):
        raise RowError(name, "not a time") from None


def _clock(found: re.Match[str]) -> float:
    """Seconds of the day in UTC, less than 0 or more than a day where the offset takes them there."""
    if found["H"] is None:
        return 0.0
    hour, minute, second = int(found["H"]), int(found["M"]), int(found["S"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + 12 * (found["half"].lower() == "p")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError
    offset = timedelta()
    if o := found["o"]:
        hours, minutes = int(o[1:3]), int(o[-2:]) if len(o) > 3 else 0
        offset = (timedelta(hours=hours, minutes=minutes)) * (-1 if o[0] == "-" else 1)
        timezone(offset)  # ValueError beyond a day
    return hour * 3600 + minute * 60 + second + float(f"0.{found['f'] or 0}") - offset.total_seconds()


def _midnight(year: int, month: int, day: int) -> float:
    return (date(year, month, day) - date(1970, 1, 1)).days * _DAY


def _number(text: str, name: str) -> float | _Days:
    plain = text.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?", text) else text.replace(",", ".")
    number = float(plain)
    if re.fullmatch(r"(?:19|20)\d{6}(?:\d{6})?(?:\.0*)?", plain):  # 20260601, 20260601083000
        digits = plain.partition(".")[0]
        try:
            moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            raise RowError(name, "not a time") from None
        return _within(moment.timestamp(), name)
    if EARLIEST <= _SHEET_ZERO + number * _DAY < LATEST:
        return _Days(_SHEET_ZERO + number * _DAY)
    if number >= 1e11:
        number = number / 1e3 if number < 1e14 else number / 1e6 if number < 1e17 else number / 1e9
    return _within(number, name)


def _within(seconds: float, name: str = "created_at") -> float:
    if not EARLIEST <= seconds < LATEST:
        raise RowError(name, "time out of range (2000 to 2100)")
    return float(seconds)
