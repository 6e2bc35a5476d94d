"""Three labs' desks, a hub and a key-holder: approval, sending, answers, decisions, retraction, expiry, the ledger and the export for counsel."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import stillwatch.share.release as door
from stillwatch.cli.main import app
from stillwatch.share.desk import audit, sharing
from stillwatch.share.desk.desk import Desk, DeskError, add_person, make_desk, open_desk
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.keyholder.server import KeyHolder
from stillwatch.share.net.access import new_token
from tests.share.hub.samples import NOW
from tests.share.release.test_door import CAMPAIGN

COUNSEL = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
DAY = 86400.0


class Labs:
    """Desks joined to one hub."""

    def __init__(self, home: Path, served: Any) -> None:
        self.now = [NOW]
        self.db = Database(open_database(str(home / "hub.db")))
        hub = Hub(
            self.db,
            origin="hub.example/log",
            key=Ed25519PrivateKey.from_private_bytes(b"h" * 32),
            limits=Limits(requests=1e6, burst=1e6),
            clock=lambda: self.now[0],
        )
        url = served(hub.app())
        holder = KeyHolder(home / "kh", clock=lambda: self.now[0])
        holder_url = served(holder.app())
        self.desks: dict[str, Desk] = {}
        self.hubs: dict[str, HubClient] = {}
        self.holders: dict[str, KeyHolderClient] = {}
        for name in "abc":
            desk = make_desk(home / f"lab-{name}")
            add_person(desk, door.Person(f"Counsel {name}", ("release", "counsel"), COUNSEL.public_key().public_bytes_raw().hex()))
            self.desks[name] = open_desk(home / f"lab-{name}")
            token = new_token()
            with self.db.write() as c:
                self.db.enrol(c, name, owner=name, role="security", token=token, public=desk.key.public_key(), now=1)
                ident = self.db.ensure_collection(c, "signals", "Signals", 1)
                self.db.allow(c, name, ident, can_read=True, can_write=True, now=1)
            self.hubs[name] = HubClient(url, token)
            holder.enrol(name, f"blind-{name}")
            self.holders[name] = KeyHolderClient(holder_url, f"blind-{name}")

    def release(self, name: str, campaign: Any = CAMPAIGN, **more: Any) -> str:
        draft = door.Draft(campaign, grounds=door.grounds_of(campaign), **more)
        made = sharing.prepare_campaign(self.desks[name], campaign, draft, self.now[0])
        assert isinstance(made, sharing.Prepared), made
        return self.out(name, made)

    def answer(self, name: str, subject: str, kind: str, value: str) -> str:
        made = sharing.answer(self.desks[name], subject, self.now[0], kind=kind, value=value, days=(date(2026, 11, 1), date(2026, 11, 20)))
        assert isinstance(made, sharing.Prepared), made
        return self.out(name, made)

    def out(self, name: str, made: sharing.Prepared) -> str:
        folder = sharing.approve(self.desks[name], made.release.id, f"Counsel {name}", COUNSEL, self.now[0])
        assert not sharing.send(self.desks[name], folder, self.hubs[name], self.now[0]).failures
        return made.release.id

    def pull(self, name: str) -> sharing.News:
        return sharing.pull(self.desks[name], self.hubs[name], self.now[0])


@pytest.fixture
def labs(tmp_path: Path, served: Any) -> Labs:
    return Labs(tmp_path, served)


def test_a_campaign_goes_out_is_answered_and_is_taken_back_everywhere(labs: Labs) -> None:
    mine = labs.release("a", networks=(door.Network("proxy-pool", "198.51.100.0/24"),))
    for name in "bc":
        news = labs.pull(name)
        assert news.new > 8
        assert not news.refused
        path, record = next((p, r) for p, r in labs.desks[name].inbox() if p.stem == mine)
        assert path.parent.name == labs.desks["a"].member  # under the partner's key
        assert record["state"] == "live"
    b, c = labs.desks["b"], labs.desks["c"]
    with pytest.raises(DeskError, match="rule R02"):
        sharing.decide(b, mine, "block", "Ops", None, "", NOW)
    with pytest.raises(DeskError, match="rule R02"):
        sharing.decide(b, mine, "limit", "Ops", replace(CAMPAIGN, bits=2.0), "", NOW)
    first = sharing.decide(b, mine, "prioritise", "Ops", None, "a look", NOW)
    second = sharing.decide(b, "campaign--", "block", "Ops", CAMPAIGN, "own evidence", NOW)
    labs.answer("b", mine, "sighting", "seen")
    labs.answer("c", mine, "opinion", "disagree")
    told = labs.pull("a").answered
    assert sorted(told) == [(mine, "opinion: disagree"), (mine, "seen, 2026-11-01 to 2026-11-20")]
    labs.answer("a", mine, "retraction", "error")
    news = labs.pull("b")
    assert news.retracted == (mine,)
    assert news.reopened == (str(first), str(second))
    assert labs.pull("b").reopened == ()
    assert labs.pull("c").retracted == (mine,)
    for desk in (b, c):
        states = {r["state"] for p, r in desk.inbox() if r["about"] == mine and p.parent.name == labs.desks["a"].member}
        assert states == {"retracted"}
        with pytest.raises(DeskError, match=r"no live campaign .*\(retracted\)"):
            sharing.decide(desk, mine, "watch", "Ops", None, "", NOW)


def test_expiry_reopens_decisions_too(labs: Labs) -> None:
    mine = labs.release("a", valid_days=10)
    labs.pull("b")
    number = sharing.decide(labs.desks["b"], mine, "watch", "Ops", None, "", NOW)
    labs.now[0] += 11 * DAY
    news = labs.pull("b")
    assert news.expired == (mine,)
    assert news.reopened == (str(number),)


def test_nothing_leaves_without_the_right_person_s_approval_of_these_very_bytes(labs: Labs) -> None:
    a, hub = labs.desks["a"], labs.hubs["a"]
    made = sharing.prepare_campaign(a, CAMPAIGN, door.Draft(CAMPAIGN, grounds=door.grounds_of(CAMPAIGN)), NOW)
    assert isinstance(made, sharing.Prepared)
    other = Ed25519PrivateKey.generate()
    with pytest.raises(DeskError, match="not approved"):
        sharing.send(a, made.folder, hub, NOW)
    with pytest.raises(DeskError, match="nobody of that name"):
        sharing.approve(a, made.release.id, "Mallory", COUNSEL, NOW)
    with pytest.raises(DeskError, match="not the key"):
        sharing.approve(a, made.release.id, "Counsel a", other, NOW)
    changed = json.loads(made.bundle)
    changed["objects"][-1]["name"] = "Customer Muster AG"
    (made.folder / "bundle.json").write_text(json.dumps(changed))
    with pytest.raises(DeskError, match="not what was prepared"):
        sharing.approve(a, made.release.id, "Counsel a", COUNSEL, NOW)
    (made.folder / "bundle.json").write_bytes(made.bundle)
    with pytest.raises(DeskError, match="expired"):
        sharing.approve(a, made.release.id, "Counsel a", COUNSEL, NOW + 100 * DAY)
    with pytest.raises(DeskError, match="lapsed"):
        sharing.approve(replace(a, policy=door.Policy(a.member, a.policy.people, ())), made.release.id, "Counsel a", COUNSEL, NOW)
    sharing.approve(a, made.release.id, "Counsel a", COUNSEL, NOW)
    signed = json.loads((made.folder / "signed.json").read_bytes())
    signed["objects"][-1]["name"] = "Customer Muster AG"
    good = (made.folder / "signed.json").read_bytes()
    (made.folder / "signed.json").write_text(json.dumps(signed))
    with pytest.raises(DeskError, match="something else than what was approved"):
        sharing.send(a, made.folder, hub, NOW)
    (made.folder / "signed.json").write_bytes(good)
    approval = json.loads((made.folder / "approval.json").read_bytes())
    (made.folder / "approval.json").write_text(json.dumps({**approval, "by": "Somebody else"}))
    with pytest.raises(DeskError, match="signature does not hold"):
        sharing.send(a, made.folder, hub, NOW)
    (made.folder / "approval.json").write_text(json.dumps(approval))
    assert sharing.waiting(a) == [made.folder]
    assert sharing.send(a, made.folder, hub, NOW).stored > 8
    assert sharing.send(a, made.folder, hub, NOW).stored > 8  # twice does no harm
    assert sharing.waiting(a) == []


def test_what_is_withheld_is_in_the_ledger_with_its_reasons(labs: Labs) -> None:
    a = labs.desks["a"]
    made = sharing.prepare_campaign(
        a, replace(CAMPAIGN, kind="single", bits=1.0, techniques=(("D11", "observed"),)), door.Draft(CAMPAIGN), NOW
    )
    assert isinstance(made, door.Withheld)
    (entry,) = [e for e in a.ledger() if e["kind"] == "withheld"]
    assert [r["rule"] for r in entry["detail"]["refusals"]] == ["R01", "R02"]
    told = json.loads(CliRunner().invoke(app, ["release", "withheld", "--desk", str(a.folder), "--json"]).stdout)
    assert [r["rule"] for r in told["withheld"][0]["refusals"]] == ["R01", "R02"]
    assert not (a.folder / "outbox").exists()


def test_a_partner_s_forged_object_is_not_believed(labs: Labs) -> None:
    import sqlalchemy as sa

    from stillwatch.share.hub.tables import objects

    mine = labs.release("a")
    with labs.db.write() as c:  # the hub itself changes what it stores
        body = c.execute(sa.select(objects.c.body).where(objects.c.id == mine)).scalar_one()
        c.execute(objects.update().where(objects.c.id == mine).values(body=body.replace(b'"confidence":85', b'"confidence":15')))
    news = labs.pull("b")
    assert [i for i, _ in news.refused] == [mine]
    assert "not what a campaign" in news.refused[0][1] or "signature" in news.refused[0][1]
    assert any(e["kind"] == "received-refused" for e in labs.desks["b"].ledger())


def test_a_pull_that_breaks_off_goes_on_from_its_checkpoint(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        labs.release("a", replace(CAMPAIGN, first=CAMPAIGN.first - DAY * n))
    whole = HubClient.pull

    def broken(self: HubClient, *args: Any) -> Any:
        for at, page in enumerate(whole(self, *args, limit=5)):
            if at == 6:
                raise KeyboardInterrupt
            yield page

    monkeypatch.setattr(HubClient, "pull", broken)
    with pytest.raises(KeyboardInterrupt):
        labs.pull("b")
    before = len(list(labs.desks["b"].inbox()))
    assert 0 < before < 27
    monkeypatch.setattr(HubClient, "pull", whole)
    labs.pull("b")
    labs.pull("c")
    assert {p.stem for p, _ in labs.desks["b"].inbox()} == {p.stem for p, _ in labs.desks["c"].inbox()}
    told = json.loads(CliRunner().invoke(app, ["hub", "inbox", "--desk", str(labs.desks["b"].folder), "--json"]).stdout)
    assert {c["campaign"] for c in told["campaigns"]} <= {p.stem for p, _ in labs.desks["b"].inbox()}
    assert {c["partner"] for c in told["campaigns"]} == {labs.desks["a"].member}


def test_the_ledger_shows_every_tampering(labs: Labs) -> None:
    a = labs.desks["a"]
    labs.release("a")
    path = a.folder / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert [e["kind"] for e in a.ledger()] == ["prepared", "approved", "sent"]
    for changed in (
        lines[1:],
        [lines[0], lines[2]],
        [lines[0].replace(b"prepared", b"approved"), *lines[1:]],
        [*lines, b"{}\n"],
        [*lines, lines[2]],
        [*lines[:2], b"junk\n"],
    ):
        path.write_bytes(b"".join(changed))
        with pytest.raises(DeskError, match=r"ledger\.jsonl, line \d"):
            a.ledger()
    path.write_bytes(b"".join(lines))
    assert a.folder.stat().st_mode & 0o777 == 0o700
    assert (a.folder / "lab.key").stat().st_mode & 0o777 == 0o600


def test_the_export_for_counsel(labs: Labs, tmp_path: Path) -> None:
    mine = labs.release("a")
    labs.pull("b")
    sharing.decide(labs.desks["b"], mine, "block", "Ops", CAMPAIGN, "own evidence", NOW)
    labs.answer("b", mine, "opinion", "strongly-disagree")
    sharing.prepare_campaign(labs.desks["a"], replace(CAMPAIGN, bits=1.0), door.Draft(CAMPAIGN), NOW)
    labs.pull("a")
    labs.answer("a", mine, "retraction", "error")
    labs.pull("b")
    pack = audit.of_desk(labs.desks["a"])
    assert pack.files == audit.of_desk(labs.desks["a"]).files  # the same bytes again
    rates = json.loads(pack.files["rates.json"])
    assert rates == {
        "campaigns_sent": 1, "retracted": 1, "retracted_by_reason": {"error": 1}, "error_rate": 1.0, "appeals_upheld": 0, "objections_of_partners": 1, "withheld": 1,
        "decisions": 0, "decisions_reopened": 0,
    }  # fmt: skip
    message = json.loads(pack.files["messages.jsonl"].splitlines()[0])
    assert message["approved_by"] == "Counsel a"
    assert message["legal_basis"] == "us-doj-ftc-2014"
    assert "2014" in message["source"]
    assert message["removed"]["trait-values"] == 1
    assert f"releases/{mine}/bundle.json" in pack.files
    decisions = json.loads(audit.of_desk(labs.desks["b"]).files["decisions.jsonl"])
    assert (decisions["action"], decisions["evidence"]["campaign"], decisions["because"]) == ("block", "c-1", "retracted")
    assert decisions["reopened"]
    audit.write(pack, tmp_path / "out")
    report = (tmp_path / "out" / "report.html").read_text()
    assert "below the 10" in report
    assert all(r.id in report for r in door.RULES)
    with labs.db.read() as c:
        theirs = audit.of_hub(labs.db, c)
    rates = json.loads(theirs.files["rates.json"])
    assert rates["contributions"] == 3
    assert rates["objects_refused"] == 0
    assert rates["reads"] >= 2
    manifest = json.loads(theirs.files["manifest.json"])
    assert set(manifest) == set(theirs.files) - {"manifest.json"}


def test_the_hub_s_export_stops_at_a_log_that_was_touched(labs: Labs) -> None:
    from stillwatch.share.hub.tables import log

    labs.release("a")
    with labs.db.write() as c:
        c.execute(log.update().where(log.c.number == 1).values(detail=b"{}"))
    with labs.db.read() as c, pytest.raises(DeskError, match="log entry 1"):
        audit.of_hub(labs.db, c)


def test_a_desk_is_made_once_and_says_what_is_wrong(tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "d")
    with pytest.raises(DeskError, match="desk already"):
        make_desk(tmp_path / "d")
    with pytest.raises(DeskError, match="release init"):
        open_desk(tmp_path / "none")
    policy = desk.folder / "policy.toml"
    good = policy.read_text()
    for bad, why in ((good + "colour = 1\n", "colour"), (good.replace(desk.member, "f" * 16), "fingerprint"), (good + "[", "policy.toml")):
        policy.write_text(bad)
        with pytest.raises(DeskError, match=why):
            open_desk(desk.folder)
