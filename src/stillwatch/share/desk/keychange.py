"""A new signing key for a lab that keeps its past: old key, new key and a person sign that the one follows the other."""

from __future__ import annotations

import json
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.desk.book import time_text
from stillwatch.share.desk.desk import NEXT_KEY, Desk, open_desk, settle, write_private
from stillwatch.share.desk.people import Hand, the_person


def rotate_key(desk: Desk, by: Hand, now: float) -> Desk:
    """Give the lab a new key; gives the desk under it.

    The ledger goes on: its entries hold under the key that was in force.  The statement is left as ``key-change.json`` for the hub's operator, who enrols the
    new key.  A break leaves the old key or the new one, each with the ledger that names it.

    Raises:
        DeskError: the person is not enrolled, or has none of the roles release, counsel and operator.
    """
    key = Ed25519PrivateKey.generate()
    with desk.book.write():
        the_person(desk, by, "release", "counsel", "operator")
        n, _ = desk.book.head()
        said: dict[str, Any] = {
            "statement": "stillwatch-key-change-1",
            "old": desk.key.public_key().public_bytes_raw().hex(),
            "new": key.public_key().public_bytes_raw().hex(),
            "by": by.name,
            "n": n,
            "at": time_text(now),
        }
        signed = rfc8785.dumps(said)
        detail = {
            "statement": said,
            "by_old": desk.key.sign(signed).hex(),
            "by_new": key.sign(signed).hex(),
            "hand": by.key.sign(signed).hex(),
        }
        write_private(desk.folder / NEXT_KEY, key.private_bytes_raw())  # before the ledger names it: else a break would lose it
        desk.record("key-changed", detail, now)
    settle(desk.folder, desk.book, desk.key)
    write_private(desk.folder / "key-change.json", json.dumps(detail, indent=1).encode())
    return open_desk(desk.folder)
