"""TAXII 2.1 without I/O: what a request means, what an answer looks like.

Section numbers are those of the TAXII 2.1 specification (OASIS).
"""

from __future__ import annotations

import hmac
import json
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from stillwatch.share.net.access import MEDIA, error_body

__all__ = ["MEDIA", "Refused", "Wanted", "error_body"]

_BARE: Final = MEDIA.partition(";")[0]
#: The most objects a page holds.
MAX_PAGE: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?Z", re.ASCII)
_SINGLE: Final = frozenset({"limit", "added_after", "next"})
_MATCH: Final = frozenset({"match[id]", "match[type]", "match[version]", "match[spec_version]"})


class Refused(Exception):
    """A request that is answered with an error; ``status`` is HTTP's."""

    def __init__(self, status: int, title: str, description: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(title)
        self.status, self.title, self.description, self.headers = status, title, description, dict(headers or {})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters of a page: TAXII's, with what they mean here.  Empty means any."""

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    spec: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("last",)
    at: tuple[int, ...] = ()
    added_after: int | None = None
    after: int = 0
    limit: int = 1000


def micros(text: str) -> int:
    """Microseconds of an RFC 3339 time in UTC; finer digits are cut off.

    Raises:
        ValueError: it is none.
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]} is not a time such as 2026-11-24T00:00:00.000000Z")
    whole = datetime.fromisoformat(found[1]).replace(tzinfo=UTC) - _EPOCH
    return (whole.days * 86400 + whole.seconds) * 1_000_000 + int((found[2] or "0")[:6].ljust(6, "0"))


def time_text(at: int) -> str:
    """RFC 3339 in UTC with six decimals (2)."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def negotiate(accept: str | None) -> None:
    """Whether the client takes what we send (1.6.8.2, 3.1).

    Raises:
        Refused: 406.
    """
    if accept is None or not accept.strip():
        return
    ranges = parse_accept_header(accept, MIMEAccept)
    # Whoever names no version takes ours.
    if ranges.quality(MEDIA if ranges.find(MEDIA) >= 0 else _BARE) <= 0:
        raise Refused(406, "Not acceptable", f"This server sends {MEDIA} only.")


def check_content_type(header: str | None) -> None:
    """Whether a body says that it is ours.

    Raises:
        Refused: 415.
    """
    kind, parameters = parse_options_header(header)
    if kind.lower() != _BARE or parameters.get("version", "2.1") != "2.1":
        raise Refused(415, "Unsupported media type", f"Send {MEDIA}.")


def wanted(query: Sequence[tuple[str, str]], key: bytes, scope: str, *, versions: bool = True) -> Wanted:
    """The filters of a request.

    Args:
        query: parameters in order, decoded.
        key: what page tokens are signed with.
        scope: the path; a token holds for one path and one set of filters.
        versions: whether match[version] has a meaning here.

    Raises:
        Refused: 400, naming the parameter.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in _SINGLE | _MATCH and name in given:
            raise Refused(400, "Bad parameter", f"{name} is given twice; separate values by commas.")
        if "\x00" in value:
            raise Refused(400, "Bad parameter", f"{name[:40]} holds a null character.")
        given[name] = value
    limit = MAX_PAGE
    if "limit" in given:
        if not re.fullmatch(r"[0-9]{1,18}", given["limit"], re.ASCII) or int(given["limit"]) == 0:
            raise Refused(400, "Bad parameter", "limit must be a whole number above 0.")
        limit = min(limit, int(given["limit"]))
    added_after = None
    if "added_after" in given:
        try:
            added_after = micros(given["added_after"])
        except ValueError as error:
            raise Refused(400, "Bad parameter", f"added_after: {error}.") from None
    lists = _lists(given)
    chosen: tuple[str, ...] = ("last",)
    at: list[int] = []
    if versions and lists.get("match[version]"):
        chosen, at = _versions(lists["match[version]"])
    w = Wanted(
        ids=lists.get("match[id]", ()),
        types=lists.get("match[type]", ()),
        spec=lists.get("match[spec_version]", ()),
        versions=chosen,
        at=tuple(at),
        added_after=added_after,
        limit=limit,
    )
    if not given.get("next"):
        return w
    told = _read_next(given["next"], key, scope)
    if any(name in given for name in (*_MATCH, "added_after")) and replace(w, after=told.after, limit=told.limit) != told:
        raise Refused(400, "Bad parameter", "next was given for other filters; send the same, or next alone.")
    return replace(told, limit=limit if "limit" in given else told.limit)


def _versions(values: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    words = tuple(v for v in values if v in ("first", "last", "all"))
    if "all" in words and len(values) > 1:
        raise Refused(400, "Bad parameter", "match[version]: all stands alone.")
    try:
        return words, [micros(v) for v in values if v not in words]
    except ValueError as error:
        raise Refused(400, "Bad parameter", f"match[version]: {error}; or first, last, all.") from None


def _lists(given: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(v for v in given[name].split(",") if v) for name in _MATCH if name in given}


def next_token(seq: int, key: bytes, scope: str, w: Wanted) -> str:
    """An opaque token: where the next page begins, and under which filters, signed together with the path.

    It carries the filters itself: clients go on with it alone (3.5 lets them, OpenCTI's connector does).
    """
    body = json.dumps([seq, w.ids, w.types, w.spec, w.versions, w.at, w.added_after, w.limit], separators=(",", ":")).encode()
    told = urlsafe_b64encode(zlib.compress(body)).decode().rstrip("=")
    return f"{told}.{_mark(key, scope, told)}"


def _mark(key: bytes, scope: str, told: str) -> str:
    return hmac.new(key, f"{scope} {told}".encode(), "sha256").hexdigest()[:32]


def _read_next(token: str, key: bytes, scope: str) -> Wanted:
    told, _, mark = token.rpartition(".")
    if not told.isascii() or not mark.isascii() or not hmac.compare_digest(_mark(key, scope, told), mark):
        raise Refused(400, "Bad parameter", "next is not one that this server gave for this address; begin again without it.")
    seq, ids, types, spec, versions, at, added_after, limit = json.loads(zlib.decompress(urlsafe_b64decode(told + "=" * (-len(told) % 4))))
    return Wanted(tuple(ids), tuple(types), tuple(spec), tuple(versions), tuple(at), added_after, seq, limit)


def envelope(bodies: Sequence[bytes], more: str | None) -> bytes:
    """An envelope (3.7); stored objects go out as they are."""
    if not bodies:
        return b"{}"
    head = b'{"more":true,"next":' + json.dumps(more).encode() + b',"objects":[' if more else b'{"objects":['
    return head + b",".join(bodies) + b"]}"


def manifest(rows: Sequence[Any], more: str | None) -> bytes:
    """A manifest (5.3.1)."""
    if not rows:
        return b"{}"
    out: dict[str, Any] = {"more": True, "next": more} if more else {}
    out["objects"] = [
        {"id": r.id, "date_added": time_text(r.added), "version": r.version, "media_type": "application/stix+json;version=2.1"}
        for r in rows
    ]
    return json.dumps(out).encode()


def status_body(ident: str, at: int, results: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """A status (4.3.1).

    Args:
        results: id, version and "" or the reason of the failure, for each object.
    """
    good = [{"id": i, "version": v} for i, v, why in results if not why]
    bad = [{"id": i, "version": v, "message": why} for i, v, why in results if why]
    out: dict[str, Any] = {
        "id": ident,
        "status": "complete",
        "request_timestamp": time_text(at),
        "total_count": len(results),
        "success_count": len(good),
        "failure_count": len(bad),
        "pending_count": 0,
    }
    return out | ({"successes": good} if good else {}) | ({"failures": bad} if bad else {})
