"""Times of logs: seconds, milli-, micro- and nanoseconds since the epoch, and ISO 8601."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

from stillwatch.watch.intake.errors import RowError

EARLIEST: Final = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_UTC: Final = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)  # as psql and BigQuery write it
#: Clocks differ; a call that lies further ahead of now than this is none.
AHEAD: Final = 86_400.0

OUT_OF_RANGE: Final = "time out of range (2015 to 2100)"
FUTURE: Final = "later than a day from now"


def epoch(value: object, field: str, latest: float = LATEST) -> float:
    """Return seconds since the epoch in UTC.

    Numbers are scaled by their size (1e11 and more are milliseconds, 1e14 microseconds, 1e17 nanoseconds); text is a number or ISO 8601,
    and without an offset it counts as UTC.  Raises RowError naming ``field`` for anything missing, unreadable, before 2015, or not before ``latest``.

    >>> epoch("2026-09-05T10:00:00Z", "startTime") == epoch(1788602400000, "startTime") == epoch("1788602400", "startTime")
    True
    """
    if type(value) is float and EARLIEST <= value < latest:  # nearly every line
        return value
    if isinstance(value, float | int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        number = _from_text(value, field)
    elif value is None:
        raise RowError(field, "missing")
    else:
        raise RowError(field, "not a time", type(value).__name__)
    if number >= 1e11:
        number = number / 1e3 if number < 1e14 else number / 1e6 if number < 1e17 else number / 1e9
    # The comparisons are written so that NaN fails them.
    if not EARLIEST <= number < LATEST:
        raise RowError(field, OUT_OF_RANGE)
    if not number < latest:
        raise RowError(field, FUTURE)
    return float(number)


def _from_text(value: str, field: str) -> float:
    plain = value.strip()
    if not plain:
        raise RowError(field, "missing")
    try:
        number = float(plain)
    except ValueError:
        try:
            moment = datetime.fromisoformat(_UTC.sub("+00:00", plain))
        except ValueError:
            raise RowError(field, "not a time", "neither a number nor ISO 8601") from None
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            return math.nan
    return number
