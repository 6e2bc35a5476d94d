"""The ledger's head in the hub's log, so that a ledger whose end was cut off, or that was written anew, shows.

A chain cannot tell that its newest entries are gone, and whoever holds ``lab.key`` can write another one.  What he cannot do is take a head back that the hub
has logged and other members have cosigned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature

from stillwatch.share.desk.desk import Desk, DeskError, public_of
from stillwatch.share.desk.people import Hand, enrolled, people, the_person, two
from stillwatch.share.hub.client import HubClient
from stillwatch.share.net.access import ClientError

#: How a hub answers that does not know the address.
_UNKNOWN: Final = re.compile(": 40[45] ")


@dataclass(frozen=True, slots=True)
class Head:
    """What the hub logged: after ``n`` entries the last line's digest was ``head``; ``number`` is the log's entry."""

    n: int
    head: str
    number: int


def log_head(desk: Desk, hub: HubClient) -> str:
    """Have the hub log the ledger's head; "" or what to tell the user.  A push has succeeded by then, so nothing is raised."""
    n, head = desk.book.head()
    if not n or desk.book.recall("logged") == [n, head]:
        return ""
    try:
        hub.log_ledger(n, head)
    except ClientError as error:
        if not _UNKNOWN.search(str(error)):
            return f"The ledger's head was not logged ({error}); the next push logs it."
        told = desk.book.recall("hub_without_heads") == hub.url
        desk.remember(hub_without_heads=hub.url)
        return "" if told else "This hub is too old to log the ledger's head: that entries were cut off would not show there."
    desk.remember(logged=[n, head])
    return ""


def logged_heads(hub: HubClient, after: int = -1) -> tuple[list[Head], int]:
    """The heads of our ledger that the hub logged after an entry of the log, and the last entry that was looked at."""
    found: list[Head] = []
    while page := hub.mine(after):
        found += [
            Head(int(e["detail"]["n"]), str(e["detail"]["head"]), int(e["number"])) for e in page if e["entry"]["kind"] == "ledger-head"
        ]
        after = int(page[-1]["number"])
    return found, after


def compare(desk: Desk, heads: Sequence[Head], entries: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Hold the ledger against heads that were logged.

    Args:
        heads: the newer ones, or all.
        entries: the ledger, where it was checked already.

    Raises:
        DeskError: it is shorter than a head, or another one, and no two persons have said why.
    """
    if not heads:
        return
    every = desk.ledger() if entries is None else entries
    lines = desk.book.lines()
    lost = [h for h in heads if not _fits(lines, h)]
    if not lost:
        return
    told = _gaps(desk, every, lines)
    for h in lost:
        if (h.n, h.head, h.number) in told:
            continue
        there = f"{desk.folder}: the hub's log holds (entry {h.number}) that this ledger had {h.n} entries"
        after = "Put the newest copy back; where none is left two persons say so with stillwatch release gap"
        if h.n > len(lines):
            raise DeskError(f"{there}, and it has {len(lines)}: its end was cut off, or an old copy was put back. {after}")
        raise DeskError(f"{there} with another last one: it was written anew. {after}")


def _fits(lines: Sequence[bytes], h: Head) -> bool:
    return 0 < h.n <= len(lines) and sha256(lines[h.n - 1]).hexdigest() == h.head


def check_heads(desk: Desk, hub: HubClient) -> None:
    """Compare with what the hub logged since the last time; the export looks at all of it.

    Raises:
        DeskError: as ``compare``.
    """
    seen = desk.book.recall("heads_seen")
    heads, last = logged_heads(hub, -1 if seen is None else seen)
    compare(desk, heads)
    if last != -1:
        desk.remember(heads_seen=last)


def own_up(desk: Desk, hub: HubClient, by: Hand, second: Hand, why: str, now: float) -> list[Head]:
    """Two persons say that entries are lost, as after a disk that died: the ledger goes on, and the gap stands in it.

    They must have been enrolled before the newest head that the ledger still fits, so nobody who writes a ledger anew can say it with persons of his own.

    Raises:
        DeskError: nothing is lost, no logged head fits, or they are not two persons who were enrolled then.
    """
    two(by, second)
    heads, _ = logged_heads(hub)
    with desk.book.write():
        entries, lines = desk.ledger(), desk.book.lines()
        told = _gaps(desk, entries, lines)
        lost = [h for h in heads if not _fits(lines, h) and (h.n, h.head, h.number) not in told]
        fitting = [h for h in heads if _fits(lines, h)]
        if not lost:
            raise DeskError(f"{desk.folder}: every head in the hub's log is one of this ledger; nothing is lost")
        if not fitting:
            raise DeskError(
                f"{desk.folder}: no head in the hub's log is one of this ledger, so it is not this member's; make a new desk and have it enrolled"
            )
        for hand in (by, second):
            the_person(desk, hand)
        n, _ = desk.book.head()
        fit = max(fitting, key=lambda h: h.n)
        said: dict[str, Any] = {
            "statement": "stillwatch-gap-1",
            "member": desk.member,
            "n": n,
            "why": why,
            "fits": astuple(fit),
            "lost": [astuple(h) for h in lost],
        }
        signed = rfc8785.dumps(said)
        signatures = [{"name": h.name, "public_key": h.public, "signature": h.key.sign(signed).hex()} for h in (by, second)]
        detail = {"statement": said, "signatures": signatures}
        _accepted(desk, {"n": n, "detail": detail}, entries, lines)
        desk.record("gap", detail, now)
    return lost


def _gaps(desk: Desk, entries: Sequence[Mapping[str, Any]], lines: Sequence[bytes]) -> set[tuple[int, str, int]]:
    """The heads that two persons have given up."""
    return {
        (int(n), str(head), int(number)) for e in entries if e["kind"] == "gap" for n, head, number in _accepted(desk, e, entries, lines)
    }


def _accepted(desk: Desk, entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], lines: Sequence[bytes]) -> list[Any]:
    said, signatures = entry["detail"]["statement"], entry["detail"]["signatures"]
    try:
        fit = Head(*said["fits"])
        there = enrolled(people(desk, entries[: fit.n]))
        hands = [there[s["name"]] for s in signatures]
        if len({h.public_key for h in hands}) != 2 or said["n"] != entry["n"] or not _fits(lines, fit):
            raise ValueError("it takes two persons")
        for person, s in zip(hands, signatures, strict=True):
            public_of(person.public_key).verify(bytes.fromhex(s["signature"]), rfc8785.dumps(said))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        raise DeskError(
            f"{desk.folder}: ledger entry {entry['n']}: a gap takes two persons who were enrolled before the newest entry that is still there"
        ) from None
    return list(said["lost"])
