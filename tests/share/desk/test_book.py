"""The desk's database: processes that die and processes at once, a whole ledger, cut tails, traits that go out once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.share.desk import audit, heads, incoming, sharing
from stillwatch.share.desk.desk import Desk, DeskError, open_desk
from stillwatch.share.desk.people import Hand, enrol
from stillwatch.share.net.access import ClientError
from stillwatch.share.tokens import seal
from stillwatch.share.wire import stix as wire
from tests.kit import at_once, break_after, every_break
from tests.share.desk.labs import COUNSEL, DAY, OPS, Labs, PretendHub, desk_at, draft, prepared, reopened
from tests.share.hub.samples import NOW, campaign_release
from tests.share.release.test_door import CAMPAIGN

OTHER = "f" * 16


def pulled(number: int, *, revoked: bool = False, owner: str = OTHER, version: str = "") -> Any:
    """A partner's campaign as a client gives it to the desk."""
    r = campaign_release(owner, number)
    o = wire.objects(r)[0]
    received = wire.Received(r.id, "campaign", version or o["modified"], r.id, owner, "amber", "2027-02-01", revoked, r)
    return SimpleNamespace(received=received, object=o, owner=(owner,))


class Partners(PretendHub):
    """A hub with pages of partners' objects: each is (checkpoint, objects)."""

    pages: list[tuple[str, list[Any]]]

    def pull(self, after: str | None, directory: Any, **_: Any) -> Iterator[tuple[str, list[Any], list[tuple[str, str]]]]:
        for checkpoint, objects in self.pages:
            if after is None or checkpoint > after:
                yield checkpoint, objects, [("bad", f"forged, page {checkpoint}")]


def kinds(desk: Desk) -> list[str]:
    return [e["kind"] for e in desk.ledger() if e["kind"] != "person"]


def test_two_commands_at_once_and_a_killed_one_leave_a_whole_ledger(tmp_path: Path) -> None:
    """A07: two writers made the ledger unusable, and so did a power cut within a line."""
    folder = desk_at(tmp_path / "d").folder

    def writer(number: int) -> Callable[[], int]:
        def work() -> int:
            for k in range(15):
                open_desk(folder).record("note", {"i": number, "k": k}, NOW)
            return number

        return work

    assert at_once([writer(i) for i in range(4)]) == [0, 1, 2, 3]
    notes = [e["detail"] for e in open_desk(folder).ledger() if e["kind"] == "note"]
    assert len(notes) == 60
    assert [n["k"] for n in notes if n["i"] == 2] == list(range(15))

    def one(n: int) -> Callable[[], object]:
        return lambda: open_desk(folder).record("note", {"i": 9, "k": n}, NOW)

    for n in every_break(one):
        left = [e["detail"]["k"] for e in open_desk(folder).ledger() if e["kind"] == "note" and e["detail"]["i"] == 9]
        assert set(left) <= set(range(n + 1))


def test_the_ledger_shows_every_tampering_and_a_cut_tail_shows_at_the_hub(tmp_path: Path) -> None:
    """A07c: the last line taken out was not noticed."""
    desk, hub = desk_at(tmp_path / "d"), PretendHub(tmp_path / "hub")
    made = prepared(desk)
    sharing.approve(desk, made.release.id, COUNSEL, NOW)
    assert sharing.send(desk, made.release.id, hub, NOW).note == ""  # type: ignore[arg-type]
    whole = desk.book.lines()
    assert hub.got("head")[-1]["n"] == len(whole)
    heads.check_heads(desk, hub)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError, match="only added to"), desk.book.write() as db:
        db.execute("DELETE FROM entry WHERE n = 1")

    def put(lines: list[bytes]) -> None:
        with desk.book.write() as db:
            for name in ("entry_stays", "entry_is_kept"):
                db.execute(f"DROP TRIGGER IF EXISTS {name}")
            db.execute("DELETE FROM entry")
            rows = [(n, "any", x) for n, x in enumerate(lines)]
            db.executemany("INSERT INTO entry (n, kind, line) VALUES (?, ?, ?)", rows)

    changed = whole[2].replace(b"prepared", b"approved")
    for lines in (whole[1:], [whole[0], *whole[2:]], [*whole[:2], changed, *whole[3:]], [*whole, b"{}"], [*whole, whole[3]], [b"junk"]):
        put(lines)
        with pytest.raises(DeskError, match=r"desk\.db, entry \d: not as it was written"):
            desk.ledger()
    put(whole[:-1])
    desk.ledger()  # the chain alone cannot tell
    pages = heads.logged_heads(hub)[0]  # type: ignore[arg-type]
    with pytest.raises(DeskError, match="its end was cut off, or an old copy was put back"):
        heads.compare(desk, pages)
    with pytest.raises(DeskError, match="its end was cut off"):
        audit.of_desk(desk, pages)
    desk.record("note", {"written": "anew"}, NOW)
    with pytest.raises(DeskError, match="it was written anew"):
        audit.of_desk(desk, pages)
    hub.place.write_text("")
    other = Partners(tmp_path / "other")
    other.pages = []
    desk.remember(heads_seen=None)
    other._add("head", {"n": 99, "head": "0" * 64})
    with pytest.raises(DeskError, match="had 99 entries"):
        incoming.pull(desk, other, NOW)  # type: ignore[arg-type]
    put(whole)
    facts = audit.of_desk(desk, pages)
    assert "1, all of them of this ledger" in facts.files["report.html"].decode()


def test_two_persons_own_up_to_a_gap_and_nobody_else(tmp_path: Path) -> None:
    desk, hub = desk_at(tmp_path / "d"), PretendHub(tmp_path / "hub")
    assert heads.log_head(desk, hub) == ""  # type: ignore[arg-type]
    with pytest.raises(DeskError, match="nothing is lost"):
        heads.own_up(desk, hub, COUNSEL, OPS, "", NOW)  # type: ignore[arg-type]
    night = shutil.copytree(desk.folder, tmp_path / "backup")
    made = prepared(desk)
    sharing.approve(desk, made.release.id, COUNSEL, NOW)
    sharing.send(desk, made.release.id, hub, NOW)  # type: ignore[arg-type]

    restored = open_desk(night)  # last night's copy, after the disk died
    with pytest.raises(DeskError, match=r"an old copy was put back.*release gap"):
        heads.check_heads(restored, hub)  # type: ignore[arg-type]
    with pytest.raises(DeskError, match="another person"):
        heads.own_up(restored, hub, COUNSEL, COUNSEL, "", NOW)  # type: ignore[arg-type]
    late = Hand("Late", Ed25519PrivateKey.generate())
    enrol(restored, late, ("release",), NOW, by=OPS)
    with pytest.raises(DeskError, match="two persons who were enrolled before"):
        heads.own_up(restored, hub, late, OPS, "", NOW)  # type: ignore[arg-type]
    assert len(heads.own_up(restored, hub, COUNSEL, OPS, "the disk died", NOW)) == 1  # type: ignore[arg-type]
    heads.check_heads(restored, hub)  # type: ignore[arg-type]
    export = audit.of_desk(open_desk(night), heads.logged_heads(hub)[0]).files  # type: ignore[arg-type]
    assert json.loads(export["gaps.jsonl"])["by"] == ["Counsel", "Ops"]

    anew = desk_at(tmp_path / "anew")  # whoever has lab.key writes a ledger with founders of his own
    with pytest.raises(DeskError, match="it is not this member's"):
        heads.own_up(anew, hub, COUNSEL, OPS, "", NOW)  # type: ignore[arg-type]


def test_a_hub_that_logs_no_heads_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, hub = desk_at(tmp_path / "d"), PretendHub(tmp_path / "hub")

    def told(why: str) -> Callable[..., None]:
        def ask(*_: object, **__: object) -> None:
            raise ClientError(why)

        return ask

    monkeypatch.setattr(hub, "log_ledger", told("http://hub.example/hub/ledger/: 404 Not found"))
    assert "too old" in heads.log_head(desk, hub)  # type: ignore[arg-type]
    assert heads.log_head(desk, hub) == ""  # type: ignore[arg-type]
    monkeypatch.setattr(hub, "log_ledger", told("http://hub.example: the hub does not answer"))
    assert "the next push logs it" in heads.log_head(desk, hub)  # type: ignore[arg-type]


def test_killed_at_every_write_of_prepare_approve_and_send_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    steps = 0

    def places(n: int) -> tuple[Path, PretendHub]:
        return tmp_path / f"d{n}", PretendHub(tmp_path / f"hub{n}")

    def work(n: int) -> Callable[[], object]:
        folder, hub = places(n)
        desk_at(folder)

        def run() -> None:
            desk = open_desk(folder)
            made = prepared(desk)
            sharing.approve(desk, made.release.id, COUNSEL, NOW)
            sharing.send(desk, made.release.id, hub, NOW)  # type: ignore[arg-type]

        return run

    for n in every_break(work, step=2):
        steps += 1
        folder, hub = places(n)
        desk = open_desk(folder)
        before = kinds(desk)
        assert before == ["prepared", "approved", "sending", "sent"][: len(before)]
        assert ("sending" in before) >= bool(hub.got("push"))  # nothing leaves that is not put down first
        if "approved" not in before:
            sharing.approve(desk, prepared(desk).release.id, COUNSEL, NOW)
        for r in sharing.waiting(desk):
            sharing.send(desk, r.id, hub, NOW)  # type: ignore[arg-type]
        after = kinds(desk)
        assert [after.count(k) for k in ("approved", "sending", "sent")] == [1, 1, 1]
        assert len(hub.got("push")) == 1
        assert sharing.waiting(desk) == []
    assert steps > 10


def test_two_that_send_at_once_put_it_down_once(tmp_path: Path) -> None:
    folder, hub = desk_at(tmp_path / "d").folder, PretendHub(tmp_path / "hub")
    desk = open_desk(folder)
    made = prepared(desk)
    sharing.approve(desk, made.release.id, COUNSEL, NOW)
    said = at_once([lambda: sharing.send(open_desk(folder), made.release.id, hub, NOW).stored] * 2)  # type: ignore[arg-type]
    assert said[0] == said[1]
    assert len(hub.got("push")) == 1
    assert kinds(desk).count("sent") in (1, 2)  # two where the second began after the first had ended
    assert kinds(desk).count("sent") == kinds(desk).count("sending")


def test_killed_at_every_write_of_a_pull_each_event_is_taken_in_once(tmp_path: Path) -> None:
    def hub_of(n: int) -> Partners:
        hub = Partners(tmp_path / f"hub{n}")
        first = [pulled(k) for k in range(3)]
        taken_back = pulled(1, revoked=True, version="2027-01-01T00:00:00.001Z")
        hub.pages = [("1", first), ("2", [pulled(3), taken_back]), ("3", [pulled(4)])]
        return hub

    def work(n: int) -> Callable[[], object]:
        desk, hub = desk_at(tmp_path / f"d{n}"), hub_of(n)
        hub.pages, rest = hub.pages[:1], hub.pages
        incoming.pull(desk, hub, NOW)  # type: ignore[arg-type]
        incoming.decide(desk, pulled(1).received.id, "watch", OPS, NOW)
        hub.pages = rest
        return lambda: incoming.pull(open_desk(desk.folder), hub, NOW)  # type: ignore[arg-type]

    for n in every_break(work, step=2):
        desk, hub = open_desk(tmp_path / f"d{n}"), hub_of(n)
        gone = [r for r in desk.inbox() if r.state == "retracted"]
        assert [e["kind"] for e in desk.ledger()].count("reopened") == len(gone)  # retraction and re-opening are one
        incoming.pull(desk, hub, NOW)  # type: ignore[arg-type]
        assert len(desk.inbox()) == 5
        assert sum(e["detail"]["objects"] for e in desk.ledger() if e["kind"] == "received") == 6
        assert kinds(desk).count("reopened") == 1
        refused = [e["detail"]["reason"] for e in desk.ledger() if e["kind"] == "received-refused"]
        assert refused == ["forged, page 1", "forged, page 2", "forged, page 3"]


def test_two_pulls_at_once_take_each_event_in_once(tmp_path: Path) -> None:
    folder, hub = desk_at(tmp_path / "d").folder, Partners(tmp_path / "hub")
    hub.pages = [(f"{n:03}", [pulled(n * 3 + k) for k in range(3)]) for n in range(12)]
    new = at_once([lambda: incoming.pull(open_desk(folder), hub, NOW).new] * 3)  # type: ignore[arg-type]
    assert sum(new) == 36
    desk = open_desk(folder)
    assert len(desk.inbox()) == 36
    assert sum(e["detail"]["objects"] for e in desk.ledger() if e["kind"] == "received") == 36


def test_the_highest_version_never_goes_back_and_an_id_stays_its_owner_s(tmp_path: Path) -> None:
    desk, hub = desk_at(tmp_path / "d"), Partners(tmp_path / "hub")
    back = pulled(0, revoked=True, version="2027-01-01T00:00:00.001Z")
    thief = pulled(0, version="2027-01-03T00:00:00.000Z")
    thief.owner = ("e" * 16,)
    hub.pages = [
        ("1", [pulled(0)]),
        ("2", [back]),
        ("3", [pulled(0), thief, pulled(0, version="2027-01-02T00:00:00.000Z")]),
    ]
    news = incoming.pull(desk, hub, NOW)  # type: ignore[arg-type]
    assert news.new == 2
    assert [why for _, why in news.refused if "forged" not in why] == ["it is another partner's", "it was retracted and stays so"]
    assert [r.state for r in desk.inbox()] == ["retracted"]


def test_killed_at_every_write_of_a_decision_it_is_there_or_not(tmp_path: Path) -> None:
    folder, hub = desk_at(tmp_path / "d").folder, Partners(tmp_path / "hub")
    hub.pages = [("1", [pulled(0)])]
    incoming.pull(open_desk(folder), hub, NOW)  # type: ignore[arg-type]
    ident = pulled(0).received.id
    count = 0
    for _ in every_break(lambda _: lambda: incoming.decide(open_desk(folder), ident, "watch", OPS, NOW)):
        decided = len([e for e in open_desk(folder).ledger() if e["kind"] == "decision"])
        assert decided - count in (0, 1)
        count = decided


def test_a_batch_of_traits_that_was_broken_off_goes_again_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [bytes([k]) * 64 for k in range(3)]
    monkeypatch.setattr(sharing, "tokens_of", lambda *_: (outputs, "00" * 32))
    monkeypatch.setattr(PretendHub, "holder_key", lambda *_: None, raising=False)
    context = seal.Context("campaign--" + "0" * 8 + "-0000-5000-8000-000000000000", date(2026, 11, 1), date(2026, 11, 9))
    values = {"payment": ["x", "y", "z"]}

    def contribute(desk: Desk, hub: PretendHub) -> dict[str, Any]:
        return sharing.contribute(desk, context, values, 9, hub, [], NOW)  # type: ignore[arg-type]

    def work(n: int) -> Callable[[], object]:
        folder = desk_at(tmp_path / f"d{n}").folder
        return lambda: contribute(open_desk(folder), PretendHub(tmp_path / f"hub{n}"))

    for n in every_break(work):
        desk, hub = open_desk(tmp_path / f"d{n}"), PretendHub(tmp_path / f"hub{n}")
        assert ("tokens-sending" in kinds(desk)) >= bool(hub.got("tokens"))
        assert bool(desk.state().get("tags")) == ("tokens-sending" in kinds(desk))
        sharing.send_batches(desk, hub, NOW)  # type: ignore[arg-type]
        assert len(hub.got("tokens")) == kinds(desk).count("tokens") == kinds(desk).count("tokens-sending") <= 1
        assert desk.book.intended() == []

    desk, hub = desk_at(tmp_path / "refusing"), PretendHub(tmp_path / "hub-refusing")

    def refuse(_: object, batch: Any) -> None:
        raise ClientError("http://hub.example/hub/tokens/: 422 Refused: an old epoch")

    with monkeypatch.context() as m:
        m.setattr(PretendHub, "send_tokens", refuse)
        with pytest.raises(ClientError, match="old epoch"):
            contribute(desk, hub)
    assert kinds(desk) == ["tokens-sending", "tokens-refused"]
    assert contribute(desk, hub) == {"payment": 3}  # given up, so it is not in the way


def test_withdrawal_goes_with_the_retraction_also_after_a_break(tmp_path: Path) -> None:
    def work(n: int) -> Callable[[], object]:
        desk, hub = desk_at(tmp_path / f"d{n}"), PretendHub(tmp_path / f"hub{n}")
        mine = prepared(desk).release.id
        sharing.approve(desk, mine, COUNSEL, NOW)
        sharing.send(desk, mine, hub, NOW)  # type: ignore[arg-type]
        desk.book.keep_tags({f"{k:032x}": (mine, "payment", str(k)) for k in range(3)} | {"f" * 32: ("another", "payment", "9")})
        made = sharing.answer(desk, mine, NOW, kind="retraction", value="error")
        assert isinstance(made, sharing.Prepared)
        sharing.approve(desk, made.release.id, OPS, NOW)
        return lambda: sharing.send(open_desk(desk.folder), made.release.id, hub, NOW)  # type: ignore[arg-type]

    for n in every_break(work, step=2):
        desk, hub = open_desk(tmp_path / f"d{n}"), PretendHub(tmp_path / f"hub{n}")
        for r in sharing.waiting(desk, again=True):
            sharing.send(desk, r.id, hub, NOW)  # type: ignore[arg-type]
        assert hub.got("withdraw") == [[f"{k:032x}" for k in range(3)]]
        assert kinds(desk).count("tokens-withdrawn") == 1
        assert list(desk.state()["tags"]) == ["f" * 32]


class AnyOrder(RuleBasedStateMachine):
    """Commands in any order, some killed after any write: the ledger is whole, each event is in it once, the hub has what the ledger says."""

    home: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.home / f"d{len(list(self.home.iterdir()))}"
        self.hub = Partners(self.folder.with_suffix(".hub"))
        self.hub.pages = []
        self.objects = self.decided = 0
        desk_at(self.folder)

    def _do(self, kill: int | None, work: Callable[[Desk], object]) -> None:
        def run() -> None:
            with suppress(DeskError):  # such as a decision on what was taken back
                work(open_desk(self.folder))

        if kill is None:
            run()
        else:
            break_after(kill, run)

    kills = st.none() | st.integers(0, 40)

    @rule(kill=kills, day=st.integers(0, 3))
    def prepare(self, kill: int | None, day: int) -> None:
        self._do(kill, lambda d: sharing.prepare_campaign(d, CAMPAIGN, draft(), NOW + day * DAY))

    @rule(kill=kills)
    def approve(self, kill: int | None) -> None:
        self._do(kill, lambda d: [sharing.approve(d, r.id, COUNSEL, NOW + 3 * DAY) for r in d.book.releases() if r.stage == "prepared"])

    @rule(kill=kills)
    def push(self, kill: int | None) -> None:
        self._do(kill, lambda d: [sharing.send(d, r.id, self.hub, NOW + 3 * DAY) for r in sharing.waiting(d)])  # type: ignore[arg-type]

    @rule()
    def a_partner_releases(self) -> None:
        self.hub.pages.append((f"{len(self.hub.pages):04}", [pulled(self.objects)]))
        self.objects += 1

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def a_partner_takes_back(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, self.objects - 1))
        back = pulled(number, revoked=True, version=f"2027-01-01T00:00:00.{len(self.hub.pages):03}Z")
        self.hub.pages.append((f"{len(self.hub.pages):04}", [back]))

    @rule(kill=kills)
    def pull(self, kill: int | None) -> None:
        self._do(kill, lambda d: incoming.pull(d, self.hub, NOW))  # type: ignore[arg-type]

    @precondition(lambda self: self.objects)
    @rule(kill=kills, data=st.data())
    def decide(self, kill: int | None, data: st.DataObject) -> None:
        ident = pulled(data.draw(st.integers(0, self.objects - 1))).received.id
        self._do(kill, lambda d: incoming.decide(d, ident, "watch", OPS, NOW))

    @invariant()
    def whole(self) -> None:
        desk = open_desk(self.folder)
        entries = desk.ledger()
        retracted = {r.id for r in desk.inbox() if r.state == "retracted"}
        decisions = {e["n"] for e in entries if e["kind"] == "decision" and e["detail"]["campaign"] in retracted}
        reopened = [e["detail"]["decision"] for e in entries if e["kind"] == "reopened"]
        assert sorted(reopened) == sorted(decisions)  # each once, and none left out
        taken = sum(len(some) for at, some in self.hub.pages if at <= (desk.book.recall("checkpoint") or ""))
        assert sum(e["detail"]["objects"] for e in entries if e["kind"] == "received") == taken
        sent = [e["detail"]["release"] for e in entries if e["kind"] == "sent"]
        assert len(sent) == len(set(sent))
        assert set(sent) == {r.id for r in desk.book.releases() if r.stage == "sent"}
        assert len(self.hub.got("push")) <= len({e["detail"]["release"] for e in entries if e["kind"] == "sending"})
        heads.compare(desk, heads.logged_heads(self.hub)[0])  # type: ignore[arg-type]


def test_any_order_of_commands_and_kills(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    AnyOrder.home = tmp_path
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=8, stateful_step_count=14, deadline=None))  # type: ignore[no-untyped-call]


def test_a_release_that_must_not_go_does_not_keep_the_others(tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.cli.member.time", SimpleNamespace(time=lambda: NOW + 2 * DAY))
    labs = Labs(tmp_path, served)
    a = labs.desks["a"]
    good = prepared(a, now=NOW)
    short = prepared(a, valid_days=1)
    for made in (short, good):
        sharing.approve(a, made.release.id, COUNSEL, NOW)
    a.remember(hub=labs.hubs["a"].url, token=labs.hubs["a"].token)
    done = CliRunner().invoke(app, ["hub", "push", "--desk", str(a.folder)])
    assert done.exit_code == 1, done.output
    assert "not sent: " in done.output
    assert "1 releases sent" in done.output
    assert {r.id: r.stage for r in reopened(a).book.releases()} == {good.release.id: "sent", short.release.id: "prepared"}
