"""Cells of the accounts file: what a cell says, and what only looks like a value.

A placeholder that a thousand accounts show ("N/A" as a card) must never become a trait that they share: it is unknown, as an empty cell is.
"""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from typing import Final

from stillwatch.watch.intake.errors import RowError

_NO_WORD: Final = re.compile(r"[\W_]+")
_UNKNOWN: Final = frozenset(
    (
        *("na", "null", "nil", "none", "nan", "unknown", "undefined", "unspecified", "missing", "empty", "blank", "tbd", "notset"),
        *("notavailable", "notapplicable", "notprovided", "notspecified", "notknown", "novalue", "nodata"),
    )
)
_SHEET_ERROR: Final = re.compile(r"#[A-Z]+(?:/0)?[!?]")  # #REF! and its like
_GUARDED: Final = re.compile(r'="(.*)"', re.DOTALL)  # ="0012" keeps a spreadsheet from reading a number
_CUT_SHORT: Final = re.compile(r"\d[.,]\d+E\+\d{2,}")
_NO_CARD: Final = frozenset(("nocard", "nopayment", "nopaymentmethod"))
_ZEROES: Final = re.compile(r"[0xX*•\W_]+")
_NO_MAIL: Final = _UNKNOWN | {"noemail", "nomail"}
#: Whole numbers beyond it are not exact as floats.
_EXACT: Final = 1 << 53


def _bare(text: str) -> str:
    return text.casefold() if text.isalnum() else _NO_WORD.sub("", text.casefold())  # most cells are one word


def text_of(value: object, field: str) -> str | None:
    r"""Return what a cell says, without outer blanks; None for an empty cell or a placeholder.

    Raises RowError naming ``field`` for a value that is no longer what was exported: bytes that are not UTF-8, digits that a spreadsheet
    cut short, lists and structures.

    >>> [text_of(v, "org") for v in ("  Acme ", 12.0, "", "N/A", "(null)", "-", "#REF!", r"\N", '="007"')]
    ['Acme', '12', None, None, None, None, None, None, '007']
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.replace("\0", "").strip()
        if guarded := _GUARDED.fullmatch(text):
            text = guarded[1].strip()
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float | Decimal):
        if math.isnan(value):
            return None
        text = str(int(value)) if -_EXACT < value < _EXACT and value == int(value) else str(value)
    elif isinstance(value, date):  # and datetime
        text = value.isoformat()
    else:
        raise RowError(field, "not a plain value", type(value).__name__)
    bare = _bare(text)
    if not bare or bare in _UNKNOWN or text == "\\N" or _SHEET_ERROR.fullmatch(text):
        return None
    if "\ufffd" in text:
        raise RowError(field, "not UTF-8")
    if field != "created_at" and _CUT_SHORT.fullmatch(text):
        raise RowError(field, "digits that a spreadsheet cut short", "format the column as text before it is saved")
    return text


def payment_of(value: object, field: str) -> str | None:
    """As ``text_of``; zeroes, crosses and "no card" are no card either."""
    text = text_of(value, field)
    return None if text is None or _ZEROES.fullmatch(text) or _bare(text) in _NO_CARD else text


def mail_of(value: object, field: str) -> str | None:
    """As ``text_of``; "none@none.example" and its like are no address."""
    text = text_of(value, field)
    if text is None:
        return None
    local, at, _ = text.rpartition("@")
    return None if at and (not _bare(local) or _bare(local) in _NO_MAIL) else text


_YES: Final = frozenset(
    ("1", "true", "yes", "y", "t", "verified", "isverified", "confirmed", "approved", "passed", "pass", "complete", "completed")
)
_NO: Final = frozenset(
    ("0", "false", "no", "n", "f", "unverified", "notverified", "unconfirmed", "notconfirmed", "failed", "fail", "rejected", "denied")
)


def truth_of(value: object, field: str) -> bool | None:
    """Return whether a cell says yes; None where it says nothing.  Raises RowError for any other word: it is no answer.

    >>> truth_of("Y", "verified"), truth_of("Not verified", "verified"), truth_of("-", "verified"), truth_of(1.0, "verified")
    (True, False, None, True)
    """
    text = text_of(value, field)
    if text is None:
        return None
    word = _bare(text.removesuffix(".0"))
    if word not in _YES | _NO:
        raise RowError(field, "neither yes nor no")
    return word in _YES
