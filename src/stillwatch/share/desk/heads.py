"""The ledger's head in the hub's log, so that a ledger whose end was cut off, or that was written anew, shows.

A chain cannot tell that its newest entries are gone, and whoever holds ``lab.key`` can write another one.  What he cannot do is take a head back that the hub
has logged and other members have cosigned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from stillwatch.share.desk.desk import Desk, DeskError
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
        hub._ask("POST", "/hub/ledger/", json={"n": n, "head": head})
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


def compare(desk: Desk, heads: Iterable[Head], lines: Sequence[bytes] | None = None) -> None:
    """Hold the ledger against heads that were logged.

    Raises:
        DeskError: it is shorter than a head, or another one.
    """
    every = desk.book.lines() if lines is None else lines
    for h in heads:
        there = f"{desk.folder}: the hub's log holds (entry {h.number}) that this ledger had {h.n} entries"
        if h.n > len(every):
            raise DeskError(
                f"{there}, and it has {len(every)}: its end was cut off, or an old copy was put back. Restore the newest copy; tell counsel"
            )
        if h.n < 1 or sha256(every[h.n - 1]).hexdigest() != h.head:
            raise DeskError(f"{there} with another last one: it was written anew. Restore the true ledger; tell counsel")


def check_heads(desk: Desk, hub: HubClient) -> None:
    """Compare with what the hub logged since the last time; the export looks at all of it.

    Raises:
        DeskError: as ``compare``.
    """
    heads, last = logged_heads(hub, desk.book.recall("heads_seen") or -1)
    if heads:
        compare(desk, heads)
    if last != -1:
        desk.remember(heads_seen=last)
