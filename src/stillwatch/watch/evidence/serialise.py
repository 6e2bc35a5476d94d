"""``campaigns.jsonl`` and ``run.json``: records <-> JSON, with a format version apart from the release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from stillwatch.records import TECHNIQUES, Campaign, RunRecord

T = TypeVar("T")

CAMPAIGN_FORMAT: Final = {"name": "stillwatch.campaign", "version": 1}
RUN_FORMAT: Final = {"name": "stillwatch.run", "version": 1}


def to_json_line(value: Mapping[str, object]) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


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
    rest = _checked(d, CAMPAIGN_FORMAT)
    try:
        rest["techniques"] = [[t["id"], t["grade"]] for t in rest["techniques"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"techniques: each needs an id and a grade ({error!r})") from None
    for name in ("first_call", "last_call"):
        rest.pop(name, None)
    return _convert(rest, Campaign)


def run_to_json(run: RunRecord) -> dict[str, Any]:
    """A run record as plain JSON values."""
    return {"format": RUN_FORMAT, **msgspec.to_builtins(run)}


def run_from_json(d: Mapping[str, Any]) -> RunRecord:
    """The run record of ``run.json``.

    Raises:
        ValueError: as ``campaign_from_json``.
    """
    return _convert(_checked(d, RUN_FORMAT), RunRecord)


def _checked(d: Mapping[str, Any], expected: dict[str, object]) -> dict[str, Any]:
    if not isinstance(d, Mapping):
        raise ValueError("not a JSON object")
    rest = dict(d)
    if rest.pop("format", None) != expected:
        raise ValueError(f"format: expected {expected['name']} version {expected['version']}; written by another or a newer Stillwatch")
    return rest


def _convert(rest: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(rest, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
