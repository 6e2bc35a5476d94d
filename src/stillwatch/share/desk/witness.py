"""The hub's log as this desk saw it: held against what was seen before and against other members, and what is done when it contradicts itself.

A contradiction stops all pulls for good, with both signed heads in the ledger.  One way on is provided for: a hub that lost its newest entries in a disaster
says so in a signed statement that is an entry of its log; a person accepts it here, after having asked by another way whether there was one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature

from stillwatch.share.desk.desk import Desk, DeskError
from stillwatch.share.desk.people import Hand, the_person
from stillwatch.share.hub.client import Directory, HubClient, Watched, read_verifier
from stillwatch.share.tlog import log as tree

#: Heads that are remembered: a lost one cannot be proven, so an older one must be.
KEPT: Final = 32


def watch(desk: Desk, hub: HubClient, now: float) -> tuple[Watched, Directory]:
    """Hold the hub's log against what was seen before and against what other members cosigned, and cosign it.

    Returns:
        The log as it was found, and the members under the log's key as it was pinned when the hub was joined.

    Raises:
        SplitView: the hub signed two logs; both signed heads are in the ledger then.
        LogError: the log is not in order.
    """
    there = _standing(desk)
    if there is not None:
        d = there["detail"]
        raise tree.SplitView(
            f"{d['why']} (found at {there['at']}; both signed heads are in the ledger, entry {there['n']})", tuple(d["notes"])
        )
    directory = _pinned(desk, hub)
    try:
        found = hub.watch(desk.book.recall("seen"), directory, desk.key, int(now))
    except tree.SplitView as error:
        desk.record("contradiction", {"why": str(error), "hub": hub.url, "notes": list(error.notes)}, now)
        raise
    _keep(desk, found.note)
    return found, directory


def _standing(desk: Desk) -> dict[str, Any] | None:
    """The contradiction that nobody has settled."""
    found, settled = desk.book.entries("contradiction"), desk.book.entries("restore-accepted")
    return found[-1] if found and not any(s["n"] > found[-1]["n"] for s in settled) else None


def _pinned(desk: Desk, hub: HubClient) -> Directory:
    directory, log = hub.directory(), desk.book.recall("log")
    if log is None:
        desk.remember(log=directory.log)
        return directory
    return replace(directory, log=str(log))


def _keep(desk: Desk, note: str) -> None:
    with desk.book.write():
        seen = desk.book.recall("seen")
        if seen is not None and tree.read_checkpoint(seen).size > tree.read_checkpoint(note).size:
            return  # another pull, which began later, was quicker
        heads = [n for n in desk.book.recall("heads") or [] if n != note]
        desk.remember(seen=note, heads=[*heads, note][-KEPT:])


@dataclass(frozen=True, slots=True)
class Restored:
    """A hub's signed statement that it went back: to how many entries, from how many that this desk had seen."""

    size: int
    seen: int


def accept_restore(desk: Desk, hub: HubClient, by: Hand, now: float) -> Restored:
    """Go on with a hub that lost its newest entries, where its statement holds for all that this desk remembers; a named person answers for it.

    Raises:
        DeskError: there is nothing to settle, no such person, or no statement of the hub's holds.
    """
    there, seen = _standing(desk), desk.book.recall("seen")
    if there is None or seen is None:
        raise DeskError(f"{hub.url}: nothing contradicts what was seen of its log; there is nothing to accept")
    the_person(desk, by)
    directory = _pinned(desk, hub)
    origin, public = read_verifier(directory.log)
    had = tree.verify_note(seen, origin, public)
    note, head, tiles = hub.head(directory.log)
    why = "it has signed none"
    used = [e["detail"]["restored"] for e in desk.book.entries("restore-accepted")]
    for told in hub.restored():
        if told in used:
            why = "it was accepted before, for another disaster"
            continue
        try:
            size = _holds(told, origin, public, had, head, tiles)
            _fits(desk, size, origin, public, tiles)
        except (tree.LogError, KeyError, TypeError, ValueError) as error:
            why = str(error)
            continue
        statement = {"restored": told, "lost": seen, "now": note}
        signature = by.key.sign(rfc8785.dumps(statement)).hex()
        detail = {"by": by.name, "public_key": by.public, "signature": signature, "size": size, "seen": had.size, **statement}
        with desk.book.write():
            desk.record("restore-accepted", detail, now)
            # Everything is asked for again: what was lost may come anew, under other numbers.
            desk.remember(seen=note, heads=[note], checkpoint=None, ended=None, heads_seen=None)
        return Restored(size, had.size)
    raise DeskError(f"{hub.url}: no statement of its that it went back to a backup holds here ({why}); do not go on with it")


def _holds(told: dict[str, Any], origin: str, public: Any, had: tree.Checkpoint, head: tree.Checkpoint, tiles: tree.Tiles) -> int:
    """The size to which a statement goes back."""
    detail, entry, number = dict(told["detail"]), told["entry"], int(told["number"])
    try:
        public.verify(bytes.fromhex(detail["signature"]), tree.restored_bytes(detail))
    except InvalidSignature:
        raise tree.LogError("its signature does not hold") from None
    size, root = int(detail["size"]), bytes.fromhex(detail["root"])
    if detail["format"] != tree.RESTORED or detail["origin"] != origin:
        raise tree.LogError("it is of another log")
    if sha256(bytes.fromhex(told["salt"]) + rfc8785.dumps(detail)).hexdigest() != entry["detail"] or entry["kind"] != "restored":
        raise tree.LogError("it is not what the log's entry says")
    try:
        path = tree.inclusion(number, head.size, tiles.get)
        tree.verify_inclusion(tree.leaf_hash(rfc8785.dumps(entry)), number, head.size, path, head.root)
    except tree.LogError as error:
        raise tree.LogError(f"it is not the first entry after what was kept ({error})") from None
    if number != size:
        raise tree.LogError("it is not the first entry after what was kept")
    if not size < had.size:
        raise tree.LogError(f"it goes back to {size} entries, and {had.size} were seen")
    if tree.root(size, tiles.get) != root or head.size <= size:
        raise tree.LogError("what the log has now does not begin with what was kept")
    return size


def _fits(desk: Desk, size: int, origin: str, public: Any, tiles: tree.Tiles) -> None:
    """Every head that is remembered and not lost must be a beginning of what was kept."""
    for note in desk.book.recall("heads") or []:
        older = tree.verify_note(note, origin, public)
        if older.size <= size and tree.root(older.size, tiles.get) != older.root:
            raise tree.LogError(f"what was kept does not begin with the {older.size} entries that were seen before")
