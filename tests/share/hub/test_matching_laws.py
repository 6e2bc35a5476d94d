"""Laws of matching: for any batches, replacements and withdrawals of any members."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stillwatch.share.hub.database import DAY, Database, Incoming, open_database
from stillwatch.share.hub.quorum import Matching, QuorumError
from stillwatch.share.hub.taxii import micros
from tests.share.hub.conftest import Lab
from tests.share.hub.matching import garbage, released, signed, tag_of, tokens
from tests.share.hub.samples import NOW

pytestmark = pytest.mark.slow
LABS = {n: Lab(n, Ed25519PrivateKey.from_private_bytes(n.encode() * 32), f"token-{n}") for n in "abcdef"}
OWNERS = {**dict(zip(LABS, LABS, strict=True)), "f": "e"}  # two members of one owner
VALUES = ("x", "y")
ACT = st.tuples(st.sampled_from(sorted(LABS)), st.sampled_from(["send", "garbage", "withdraw", "release"]), st.sampled_from(VALUES))
ACTS = st.lists(ACT, max_size=8)
Act = tuple[str, str, str]


@dataclass
class World:
    """A hub's matching without HTTP."""

    db: Database
    matching: Matching
    now: int = int(NOW * 1e6)

    def do(self, act: Act) -> tuple[Any, int]:
        """(what the member is answered, what it has spent afterwards)."""
        name, what, value = act
        self.now += 1_000_000
        lab, today = LABS[name], datetime.fromtimestamp(self.now / 1e6, UTC).date()
        with self.db.read() as c:
            member = self.db.member(c, lab.token, int(NOW * 1e6))
        assert member is not None
        try:
            if what == "withdraw":
                with self.db.write() as c:
                    reply: Any = self.matching.withdraw(c, [tag_of(value)], member, self.now)
            else:
                some = (
                    [garbage(lab, value)]
                    if what == "garbage"
                    else tokens(lab, [value], 3, released(lab) if what == "release" else None, today)
                )
                batch = self.matching.examine(signed(lab, some, today=today), member, today.isoformat())
                with self.db.write() as c:
                    reply = self.matching.take_in(c, batch, member, self.now)
        except QuorumError as error:
            reply = (error.status, str(error))
        with self.db.read() as c:
            return reply, self.matching.spent(c, name, "payment", self.now)

    def night(self) -> None:
        self.now += DAY
        assert self.matching.settle(self.now)

    def told(self, name: str) -> list[Any]:
        with self.db.read() as c:
            member = self.db.member(c, LABS[name].token, int(NOW * 1e6))
            assert member is not None
            return self.matching.answers(c, member, 0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's database with six members, of whom each has released a campaign."""
    path = tmp_path_factory.mktemp("laws") / "hub.db"
    db = Database(open_database(str(path)))
    with db.write() as c:
        ident = db.ensure_collection(c, "signals", "Signals", 1)
        for name, lab in LABS.items():
            db.enrol(c, name, owner=OWNERS[name], role="security", token=lab.token, public=lab.key.public_key(), now=1)
            db.allow(c, name, ident, can_read=True, can_write=True, now=1)
            member = db.member(c, lab.token, int(NOW * 1e6))
            assert member is not None
            (o,) = (o for o in lab.signed() if o["type"] == "campaign")
            incoming = Incoming(o["id"], "campaign", o["modified"], micros(o["modified"]), "", "2027-02-01", rfc8785.dumps(o))
            assert db.add(c, ident, member, [incoming], 1) == [""]
    db.close()
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@contextmanager
def world(template: Path) -> Iterator[World]:
    with TemporaryDirectory() as home:
        shutil.copy(template, Path(home) / "hub.db")
        db = Database(open_database(str(Path(home) / "hub.db")))
        yield World(db, Matching(db, quorum=3, a_day=500, every=86_400, registry=CollectorRegistry(), now=int(NOW * 1e6)))
        db.close()


@settings(max_examples=25, deadline=None)
@given(first=ACTS, second=ACTS, other=ACTS)
def test_replies_and_answers_of_the_day_do_not_depend_on_what_others_send(
    template: Path, first: list[Act], second: list[Act], other: list[Act]
) -> None:
    mine = [a for a in second if a[0] == "a"]
    seen = []
    for rest in ([a for a in second if a[0] != "a"], [a for a in other if a[0] != "a"]):
        with world(template) as w:
            for act in first:
                w.do(act)
            assert w.told("a") == []  # nothing before the day's end
            w.night()
            answers = w.told("a")
            replies = []
            for n in range(max(len(mine), len(rest))):
                for act in rest[n : n + 1]:
                    w.do(act)
                    assert w.told("a") == answers
                replies += [w.do(act)[0] for act in mine[n : n + 1]]
                assert w.told("a") == answers
            seen.append((replies, answers))
    assert seen[0] == seen[1]


@settings(max_examples=20, deadline=None)
@given(acts=st.lists(ACT, min_size=1, max_size=12), nights=st.sets(st.integers(0, 11), max_size=1))
def test_what_is_spent_never_falls_within_24_hours_and_no_more_than_the_quota_is_taken(
    template: Path, acts: list[Act], nights: set[int]
) -> None:
    spent = dict.fromkeys(LABS, 0)
    with world(template) as w:
        for n, act in enumerate(acts):
            if n in nights:
                w.matching.settle(w.now + 43_200_000_000)  # the run of midnight, twelve hours on
                w.now += 43_200_000_000
            _, now = w.do(act)
            assert spent[act[0]] <= now <= 500
            spent[act[0]] = now


@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations("abcde"),
    how=st.lists(st.sampled_from(["send", "release"]), min_size=5, max_size=5),
    later=st.lists(st.sampled_from(["send", "garbage", "release"]), max_size=4),
    beyond=st.integers(0, 2),
    apart=st.booleans(),
)
def test_answers_do_not_change_with_who_contributed_beyond_the_quorum(
    template: Path, order: list[str], how: list[str], later: list[str], beyond: int, apart: bool
) -> None:
    seen = []
    for extra in (0, beyond):
        with world(template) as w:
            for name, what in zip(order[:3], how, strict=False):
                w.do((name, what, "x"))
            if apart:
                w.night()
            for name, what in zip(order[3 : 3 + extra], how[3:], strict=False):
                w.do((name, what, "x"))
                for more in later:
                    w.do((name, more, "x"))
            if extra and apart:  # and they take it back again
                w.night()
                w.do((order[3], "withdraw", "x"))
            w.night()
            seen.append([w.told(name) for name in order[:3]])
    assert all(len(answers) == 1 and answers[0]["state"] == "matched" for answers in seen[0])
    assert seen[0] == seen[1]


@settings(max_examples=40, deadline=None)
@given(acts=st.lists(ACT, min_size=8, max_size=24), nights=st.sets(st.integers(0, 23), max_size=4))
def test_told_is_what_a_slow_twin_says(template: Path, acts: list[Act], nights: set[int]) -> None:
    """Who is told "matched" is who holds the tag with a good share, not taken back, where owners of such are at least three.

    Of what a member sends for a tag the first and the last count; what once made an answer is not replaced.
    """
    sent: dict[tuple[str, str], list[bool]] = {}  # first and last, whether each is good
    told: dict[tuple[str, str], str] = {}

    def expected() -> None:
        for value in VALUES:
            live = {n for n in LABS if any(sent.get((n, value), ()))}
            matched = live if len({OWNERS[n] for n in live}) >= 3 else set()
            for n in matched:
                if not sent[n, value][0]:
                    sent[n, value] = [True]
            for n in LABS:
                if n in matched:
                    told[n, value] = "matched"
                elif (n, value) in told:
                    told[n, value] = "withdrawn"

    with world(template) as w:
        for at, (name, what, value) in enumerate(acts):
            if at in nights:
                w.night()
                expected()
            reply, _ = w.do((name, what, value))
            if isinstance(reply, tuple):
                continue  # above the quota
            mine = sent.get((name, value), [])
            sent[name, value] = [False] * len(mine) if what == "withdraw" else [*mine[:1], what != "garbage"]
        w.night()
        expected()
        seen = {(n, v): a["state"] for n in LABS for a in w.told(n) for v in VALUES if a["tag"] == tag_of(v)}
        assert seen == told
