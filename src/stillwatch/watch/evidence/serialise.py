"""``campaigns.jsonl``, ``leads.jsonl`` and ``run.json``: records <-> JSON, with a format version apart from the release.

Every version that was ever written stays readable; tests keep a line of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from stillwatch.records import TECHNIQUES, Campaign, Lead, RunRecord

T = TypeVar("T")

CAMPAIGN_FORMAT: Final = {
    "name": "stillwatch.campaign",
    "version": 2,
}  # 2: its own threshold and number of tests; caps and questions of reasons
LEAD_FORMAT: Final = {"name": "stillwatch.lead", "version": 1}
RUN_FORMAT: Final = {"name": "stillwatch.run", "version": 2}  # 2: notices are objects, were sentences


def to_json_line(value: Mapping[str, object]) -> str:
    """One line of JSON.  What cannot be seen stands as an escape: it neither ends a line nor turns the reading direction where the file is shown."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return (text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)) + "\n"


def iso(at: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def campaign_to_json(c: Campaign) -> dict[str, Any]:
    """A campaign as plain JSON values."""
    d: dict[str, Any] = msgspec.to_builtins(c)
    d["techniques"] = [{"id": i, "name": TECHNIQUES[i].name, "grade": grade} for i, grade in c.techniques]
    return {"format": CAMPAIGN_FORMAT, "id": c.id, "first_call": iso(c.first), "last_call": iso(c.last), **d}


def campaign_from_json(d: Mapping[str, Any]) -> Campaign:
    """The campaign of a line of ``campaigns.jsonl``.

    Raises:
        ValueError: a field is missing or wrong, or the format is another or newer one; the text names it.
    """
    rest, _ = _checked(d, CAMPAIGN_FORMAT)
    try:
        rest["techniques"] = [[t["id"], t["grade"]] for t in rest["techniques"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"techniques: each needs an id and a grade ({error!r})") from None
    for name in ("first_call", "last_call"):
        rest.pop(name, None)
    return _convert(rest, Campaign)


def lead_to_json(lead: Lead) -> dict[str, Any]:
    """A lead as plain JSON values."""
    d: dict[str, Any] = msgspec.to_builtins(lead)
    return {"format": LEAD_FORMAT, "id": lead.id, "first_call": iso(lead.first), "last_call": iso(lead.last), **d}


def lead_from_json(d: Mapping[str, Any]) -> Lead:
    """The lead of a line of ``leads.jsonl``.

    Raises:
        ValueError: as ``campaign_from_json``.
    """
    rest, _ = _checked(d, LEAD_FORMAT)
    for name in ("first_call", "last_call"):
        rest.pop(name, None)
    return _convert(rest, Lead)


def run_to_json(run: RunRecord) -> dict[str, Any]:
    """A run record as plain JSON values."""
    return {"format": RUN_FORMAT, **msgspec.to_builtins(run)}


def run_from_json(d: Mapping[str, Any]) -> RunRecord:
    """The run record of ``run.json``.

    Raises:
        ValueError: as ``campaign_from_json``.
    """
    rest, version = _checked(d, RUN_FORMAT)
    if version == 1 and isinstance(rest.get("notices"), list):
        rest["notices"] = [{"code": "note", "text": text} for text in rest["notices"]]
    return _convert(rest, RunRecord)


def _checked(d: Mapping[str, Any], newest: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The fields without the format, and its version."""
    if not isinstance(d, Mapping):
        raise ValueError("not a JSON object")
    rest = dict(d)
    written = rest.pop("format", None)
    for version in range(1, newest["version"] + 1):
        if written == {"name": newest["name"], "version": version}:
            return rest, version
    raise ValueError(f"format: expected {newest['name']}, at most version {newest['version']}; written by another or a newer Stillwatch")


def _convert(rest: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(rest, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
