"""Desks joined to one hub, and the persons of each."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import stillwatch.share.release as door
from stillwatch import records
from stillwatch.share.desk import incoming, sharing
from stillwatch.share.desk.desk import Desk, make_desk, open_desk
from stillwatch.share.desk.people import Hand, enrol
from stillwatch.share.hub.client import Directory, HubClient, Watched
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.keyholder.server import KeyHolder
from stillwatch.share.net.access import new_token
from stillwatch.share.tlog.log import Checkpoint
from stillwatch.watch.case import CaseFile, Decision, Run
from stillwatch.watch.case.names import sighting
from stillwatch.watch.evidence import campaign_to_json, to_json_line
from tests.share.hub.samples import NOW
from tests.share.release.test_door import CAMPAIGN

COUNSEL = Hand("Counsel", Ed25519PrivateKey.from_private_bytes(b"c" * 32))
OPS = Hand("Ops", Ed25519PrivateKey.from_private_bytes(b"o" * 32))
DAY = 86400.0


def desk_at(folder: Path) -> Desk:
    """A desk with two founders: Counsel approves and is counsel, Ops operates and approves."""
    desk = make_desk(folder)
    enrol(desk, COUNSEL, ("release", "counsel"), NOW)
    enrol(desk, OPS, ("release", "operator"), NOW)
    return desk


def draft(campaign: records.Campaign = CAMPAIGN, **more: Any) -> door.Draft:
    return door.Draft(campaign, grounds=door.grounds_of(campaign), **more)


def prepared(desk: Desk, campaign: records.Campaign = CAMPAIGN, now: float = NOW, **more: Any) -> sharing.Prepared:
    made = sharing.prepare_campaign(desk, campaign, draft(campaign, **more), now)
    assert isinstance(made, sharing.Prepared), made
    return made


def evidence(home: Path, campaign: records.Campaign = CAMPAIGN, *, decided: bool = True) -> incoming.Evidence:
    """Results and a case file as detect and ``case decide`` leave them, and the evidence read from there."""
    home.mkdir(exist_ok=True)
    with CaseFile(home / "case.db") as file:
        ((name, _),) = file.name(Run("run", NOW, "ops", "1", []), [sighting(campaign)])
        line = to_json_line(campaign_to_json(replace(campaign, id=name)))
        (home / "campaigns.jsonl").write_text(line)
        if decided:
            file.decide(name, Decision("block", "Ops", "seen in our own logs", sha256(line.rstrip("\n").encode()).hexdigest(), NOW))
    return incoming.local_evidence(home, name, home / "case.db")


class Labs:
    """Three desks joined to one hub."""

    def __init__(self, home: Path, served: Any) -> None:
        self.now = [NOW]
        self.db = Database(open_database(str(home / "hub.db")))
        self.hub = Hub(
            self.db,
            origin="hub.example/log",
            key=Ed25519PrivateKey.from_private_bytes(b"h" * 32),
            limits=Limits(requests=1e6, burst=1e6),
            clock=lambda: self.now[0],
        )
        url = served(self.hub.app())
        holder = KeyHolder(home / "kh", clock=lambda: self.now[0])
        holder_url = served(holder.app())
        self.desks: dict[str, Desk] = {}
        self.hubs: dict[str, HubClient] = {}
        self.holders: dict[str, KeyHolderClient] = {}
        for name in "abc":
            desk = self.desks[name] = desk_at(home / f"lab-{name}")
            token = new_token()
            with self.db.write() as c:
                self.db.enrol(c, name, owner=name, role="security", token=token, public=desk.key.public_key(), now=1)
                ident = self.db.ensure_collection(c, "signals", "Signals", 1)
                self.db.allow(c, name, ident, can_read=True, can_write=True, now=1)
            self.hubs[name] = HubClient(url, token)
            holder.enrol(name, f"blind-{name}")
            self.holders[name] = KeyHolderClient(holder_url, f"blind-{name}")

    def release(self, name: str, campaign: records.Campaign = CAMPAIGN, **more: Any) -> str:
        return self.out(name, prepared(self.desks[name], campaign, self.now[0], **more))

    def answer(self, name: str, subject: str, kind: str, value: str) -> str:
        made = sharing.answer(self.desks[name], subject, self.now[0], kind=kind, value=value, days=(date(2026, 11, 1), date(2026, 11, 20)))
        assert isinstance(made, sharing.Prepared), made
        return self.out(name, made)

    def out(self, name: str, made: sharing.Prepared) -> str:
        r = sharing.approve(self.desks[name], made.release.id, COUNSEL, self.now[0])
        sent = sharing.send(self.desks[name], r.id, self.hubs[name], self.now[0])
        assert not sent.failures, sent
        return made.release.id

    def pull(self, name: str) -> incoming.News:
        return incoming.pull(self.desks[name], self.hubs[name], self.now[0])

    def kinds(self, name: str) -> list[str]:
        """What the ledger holds beside its persons."""
        return [e["kind"] for e in self.desks[name].ledger() if e["kind"] != "person"]


class PretendHub:
    """A hub in memory, for what happens between desk and hub: keeps what it was sent, each once, in a file that outlives a process that dies."""

    url = "http://hub.example"

    def __init__(self, place: Path) -> None:
        self.place = place

    def _add(self, kind: str, body: object) -> None:
        with self.place.open("a") as f:
            f.write(json.dumps([kind, body], sort_keys=True) + "\n")

    def got(self, kind: str) -> list[Any]:
        lines = dict.fromkeys(self.place.read_text().splitlines() if self.place.exists() else ())
        return [body for k, body in map(json.loads, lines) if k == kind]

    def push(self, objects: list[Any]) -> Any:
        self._add("push", objects)
        return sharing.Sent(len(objects), (), "")

    def state_persons(self, statements: list[Any]) -> int:
        return len(statements)

    def send_tokens(self, batch: Any) -> Any:
        self._add("tokens", batch)
        return {"taken": 1, "answered": 0}

    def withdraw(self, tags: list[str]) -> int:
        self._add("withdraw", tags)
        return len(tags)

    def log_ledger(self, n: int, head: str) -> None:
        self._add("head", {"n": n, "head": head})

    def directory(self) -> Directory:
        return Directory("hub.example/log+0+", 2, {})

    def watch(self, seen: str | None, directory: Directory, key: Any, now: int) -> Watched:
        return Watched("hub.example/log\n1\n" + "A" * 43 + "=\n\n", Checkpoint(directory.log, 1, b"", ""), 1, 1, 1)

    def ended(self, after: int, log_key: str) -> list[tuple[str, int, str]]:
        return []

    def mine(self, after: int = -1) -> list[Any]:
        heads = self.got("head")
        return [{"number": n, "entry": {"kind": "ledger-head"}, "detail": h} for n, h in enumerate(heads) if n > after]


def reopened(desk: Desk) -> Desk:
    """The desk as another process would open it."""
    return open_desk(desk.folder)


def tmp_key(place: Path, hand: Hand) -> str:
    """A person's key as a file."""
    place.touch(0o600)
    place.write_bytes(hand.key.private_bytes_raw())
    return str(place)
