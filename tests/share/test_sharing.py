"""Three labs' desks, a hub and a key-holder: approval, sending, answers, decisions, retraction, expiry, the ledger and the export for counsel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import stillwatch.share.release as door
from stillwatch.cli.main import app
from stillwatch.share.desk import audit, incoming, sharing
from stillwatch.share.desk.desk import DeskError, make_desk, open_desk
from stillwatch.share.desk.people import Hand, enrol, remove
from stillwatch.share.hub.client import HubClient
from stillwatch.share.tlog.log import SplitView
from tests.share.desk.labs import COUNSEL, DAY, OPS, Labs, draft, evidence, prepared, tmp_key
from tests.share.hub.samples import NOW
from tests.share.release.test_door import CAMPAIGN


@pytest.fixture
def labs(tmp_path: Path, served: Any) -> Labs:
    return Labs(tmp_path, served)


def test_a_campaign_goes_out_is_answered_and_is_taken_back_everywhere(labs: Labs, tmp_path: Path) -> None:
    mine = labs.release("a", networks=(door.Network("proxy-pool", "192.31.196.0/24"),))
    for name in "bc":
        news = labs.pull(name)
        assert news.new > 8
        assert not news.refused
        record = next(r for r in labs.desks[name].inbox() if r.id == mine)
        assert record.owner == labs.desks["a"].member  # under the partner's key
        assert record.state == "live"
    b, c = labs.desks["b"], labs.desks["c"]
    own = evidence(tmp_path / "found")
    first = incoming.decide(b, mine, "prioritise", OPS, NOW, note="a look")
    second = incoming.decide(b, "campaign--", "block", OPS, NOW, evidence=own, second=COUNSEL, note="own evidence")
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
        states = {r.state for r in desk.inbox() if r.about == mine and r.owner == labs.desks["a"].member}
        assert states == {"retracted"}
        with pytest.raises(DeskError, match=r"no live campaign .*\(retracted\)"):
            incoming.decide(desk, mine, "watch", OPS, NOW)


def test_to_limit_or_block_takes_two_persons_and_local_evidence_of_that_campaign(labs: Labs, tmp_path: Path) -> None:
    mine = labs.release("a")
    labs.pull("b")
    b = labs.desks["b"]
    own = evidence(tmp_path / "found")
    weak = replace(own, campaign=replace(own.campaign, bits=2.0))
    other = replace(own, campaign=replace(own.campaign, techniques=(("D02", "observed"),)))
    auditor, thief = Hand("Auditor", Ed25519PrivateKey.generate()), Hand("Ops", Ed25519PrivateKey.generate())
    enrol(b, auditor, ("auditor",), NOW, by=OPS)
    for action, more, why in (
        ("block", {}, "rule R02"),
        ("block", {"second": COUNSEL}, "rule R02"),
        ("limit", {"evidence": weak, "second": COUNSEL}, "rule R02"),
        ("limit", {"evidence": other, "second": COUNSEL}, "of that campaign .*none of its techniques"),
        ("block", {"evidence": own}, "two persons"),
        ("block", {"evidence": own, "second": OPS}, "another person"),
        ("block", {"evidence": own, "second": Hand("Nobody", COUNSEL.key)}, "nobody of that name"),
        ("block", {"evidence": own, "second": auditor}, "has not the role"),
    ):
        with pytest.raises(DeskError, match=why):
            incoming.decide(b, mine, action, OPS, NOW, **more)  # type: ignore[arg-type]
    with pytest.raises(DeskError, match="not the key"):
        incoming.decide(b, mine, "watch", thief, NOW)
    refused = [e["detail"] for e in b.ledger() if e["kind"] == "refused"]
    assert len(refused) == 9
    assert {r["subject"] for r in refused} == {mine}
    number = incoming.decide(b, mine, "block", OPS, NOW, evidence=own, second=COUNSEL)
    detail = b.ledger()[number]["detail"]
    assert [s["name"] for s in detail["signatures"]] == ["Ops", "Counsel"]
    assert detail["evidence"]["digest"] == own.digest
    export = audit.of_desk(b).files
    assert len(export["refused.jsonl"].splitlines()) == 9


def test_evidence_is_what_the_case_file_knows_and_not_any_file_of_that_shape(tmp_path: Path) -> None:
    with pytest.raises(DeskError, match="decide on it there first: stillwatch case decide"):
        evidence(tmp_path / "undecided", decided=False)
    own = evidence(tmp_path / "found")
    lines = tmp_path / "found" / "campaigns.jsonl"
    lines.write_text(lines.read_text().replace('"bits": 80.0', '"bits": 900.0'))
    with pytest.raises(DeskError, match=r"no run in .* found it with these figures"):
        incoming.local_evidence(tmp_path / "found", own.campaign.id, tmp_path / "found" / "case.db")
    with pytest.raises(DeskError, match=r"not evidence of this lab: .*no case file"):
        incoming.local_evidence(tmp_path / "found", own.campaign.id, tmp_path / "none.db")
    with pytest.raises(DeskError, match="no campaign of that id"):
        incoming.local_evidence(tmp_path / "found", "c-other", tmp_path / "found" / "case.db")
    with pytest.raises(DeskError, match="cannot be read"):
        incoming.local_evidence(tmp_path, "c-other", tmp_path / "found" / "case.db")


def test_expiry_reopens_decisions_too(labs: Labs) -> None:
    mine = labs.release("a", valid_days=10)
    labs.pull("b")
    number = incoming.decide(labs.desks["b"], mine, "watch", OPS, NOW)
    labs.now[0] += 11 * DAY
    news = labs.pull("b")
    assert news.expired == (mine,)
    assert news.reopened == (str(number),)


def test_what_a_partner_deletes_without_revoking_it_reopens_decisions_too(labs: Labs) -> None:
    """P10."""
    mine = labs.release("a")
    labs.pull("b")
    number = incoming.decide(labs.desks["b"], mine, "watch", OPS, NOW)
    labs.hubs["a"]._ask("DELETE", f"/api/collections/signals/objects/{mine}/")
    news = labs.pull("b")
    assert news.deleted == (mine,)
    assert news.reopened == (str(number),)
    again = labs.pull("b")
    assert (again.deleted, again.reopened) == ((), ())
    assert [r.state for r in labs.desks["b"].inbox("campaign")] != ["live"]


def test_two_heads_that_cannot_both_be_true_are_kept_and_stop_every_pull(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    """P12 and P13 at the desk."""
    b = labs.desks["b"]
    labs.pull("b")
    b.remember(hub=labs.hubs["b"].url, token=labs.hubs["b"].token)

    def split(*_: object) -> None:
        raise SplitView("two heads", ("first head, signed", "second head, signed"))

    with monkeypatch.context() as m:
        m.setattr(HubClient, "watch", split)
        done = CliRunner().invoke(app, ["hub", "watch", "--desk", str(b.folder)])
    assert done.exit_code == 3
    assert "DO NOT TRUST THIS HUB: two heads" in done.output
    assert b.ledger()[-1]["detail"]["notes"] == ["first head, signed", "second head, signed"]
    with pytest.raises(SplitView, match=r"two heads .* both signed heads are in the ledger"):
        labs.pull("b")


def test_nothing_leaves_without_the_right_person_s_approval_of_these_very_bytes(labs: Labs) -> None:
    a, hub = labs.desks["a"], labs.hubs["a"]
    made = prepared(a)
    ident = made.release.id
    with pytest.raises(DeskError, match="not approved"):
        sharing.send(a, ident, hub, NOW)
    with pytest.raises(DeskError, match="nobody of that name"):
        sharing.approve(a, ident, Hand("Mallory", COUNSEL.key), NOW)
    with pytest.raises(DeskError, match="not the key"):
        sharing.approve(a, ident, Hand("Counsel", Ed25519PrivateKey.generate()), NOW)
    changed = made.bundle.replace(b'"confidence":85', b'"confidence":15')
    assert changed != made.bundle
    (made.folder / "bundle.json").write_bytes(changed)  # what a person reads is not what would leave
    with pytest.raises(DeskError, match="the copy was changed"):
        sharing.approve(a, ident, COUNSEL, NOW)
    (made.folder / "bundle.json").write_bytes(made.bundle)
    with a.book.write() as db:
        db.execute("UPDATE release SET bundle = ?", (changed,))
    with pytest.raises(DeskError, match="not what was prepared"):
        sharing.approve(a, ident, COUNSEL, NOW)
    with a.book.write() as db:
        db.execute("UPDATE release SET bundle = ?", (made.bundle,))
    with pytest.raises(DeskError, match="expired"):
        sharing.approve(a, ident, COUNSEL, NOW + 100 * DAY)
    lapsed = replace(a, policy=door.Policy(a.member, (), ()))
    with pytest.raises(DeskError, match="lapsed"):
        sharing.approve(lapsed, ident, COUNSEL, NOW)
    sharing.approve(a, ident, COUNSEL, NOW)
    with a.book.write() as db:
        db.execute("UPDATE release SET bundle = ?", (changed,))
    with pytest.raises(DeskError, match="not what was prepared"):
        sharing.send(a, ident, hub, NOW)
    with a.book.write() as db:
        db.execute("UPDATE release SET bundle = ?", (made.bundle,))
    assert sharing.waiting(a) == []  # a refusal takes the approval with it
    sharing.approve(a, ident, COUNSEL, NOW)
    assert [r.id for r in sharing.waiting(a)] == [ident]
    assert sharing.send(a, ident, hub, NOW).stored > 8
    assert sharing.send(a, ident, hub, NOW).stored > 8  # twice does no harm
    assert sharing.waiting(a) == []
    assert [r.id for r in sharing.waiting(a, again=True)] == [ident]
    assert labs.kinds("a") == ["prepared", "refused", "approved", "refused", "approved", "sending", "sent", "sending", "sent"]


def test_send_asks_again_for_basis_expiry_and_the_persons_who_signed(labs: Labs) -> None:
    """A05 and part 3: what held at the approval may not hold when it is sent."""
    a, hub = labs.desks["a"], labs.hubs["a"]
    third, fourth = (Hand(n, Ed25519PrivateKey.generate()) for n in ("Third", "Fourth"))
    enrol(a, third, ("release",), NOW, by=OPS)
    enrol(a, fourth, ("counsel",), NOW, by=COUNSEL)
    bare = replace(CAMPAIGN, kind="single", techniques=(("D11", "observed"),))
    made = sharing.prepare_campaign(a, bare, door.Draft(bare), NOW, counsel=fourth)
    assert isinstance(made, sharing.Prepared)
    ident = made.release.id
    cases = (
        (lambda: sharing.send(a, ident, hub, NOW + 91 * DAY), "expired"),
        (lambda: sharing.send(replace(a, policy=door.Policy(a.member, (), ())), ident, hub, NOW), "lapsed"),
        (
            lambda: (remove(a, "Third", NOW, OPS), sharing.send(a, ident, hub, NOW)),
            "Third, who signed it, has not the role release any more",
        ),
        (
            lambda: (remove(a, "Fourth", NOW, OPS), sharing.send(a, ident, hub, NOW)),
            "Fourth, who signed it, has not the role counsel any more",
        ),
    )
    for n, (attempt, why) in enumerate(cases):
        sharing.approve(a, ident, third if n < 3 else COUNSEL, NOW)
        with pytest.raises(DeskError, match=why):
            attempt()
        assert labs.kinds("a")[-1] == "refused"
        assert why in a.ledger()[-1]["detail"]["reason"] or why == "lapsed"
    assert "sending" not in labs.kinds("a")


def test_counsel_s_release_is_a_signature_by_name_and_key_and_not_the_approver_s(labs: Labs) -> None:
    """A12."""
    a = labs.desks["a"]
    bare = replace(CAMPAIGN, kind="single", techniques=(("D11", "observed"),))
    with pytest.raises(DeskError, match="Ops: has not the role counsel"):
        sharing.prepare_campaign(a, bare, door.Draft(bare), NOW, counsel=OPS)
    assert isinstance(
        sharing.prepare_campaign(a, bare, door.Draft(bare, counsel_releases=True), NOW), door.Withheld
    )  # saying so is not enough
    made = sharing.prepare_campaign(a, bare, door.Draft(bare), NOW, counsel=COUNSEL)
    assert isinstance(made, sharing.Prepared)
    said = next(e["detail"]["counsel"] for e in a.ledger() if e["kind"] == "prepared")
    assert (said["name"], said["public_key"]) == ("Counsel", COUNSEL.public)
    assert [x["role"] for x in said["approvals"]] == ["counsel"]
    with pytest.raises(DeskError, match="somebody else must approve"):
        sharing.approve(a, made.release.id, COUNSEL, NOW)
    sharing.approve(a, made.release.id, OPS, NOW)
    roles = [x["role"] for e in a.ledger() if e["kind"] == "approved" for x in e["detail"]["approvals"]]
    assert sorted(roles) == ["counsel", "release"]
    assert not sharing.send(a, made.release.id, labs.hubs["a"], NOW).failures
    message = json.loads(audit.of_desk(a).files["messages.jsonl"])
    assert message["counsel"] == f"Counsel, key {COUNSEL.public}"
    assert (message["approved_by"], message["approved_key"]) == ("Ops", OPS.public)


def test_what_rests_on_counsel_s_opinion_counsel_signs(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    a = labs.desks["a"]
    policy = a.folder / "policy.toml"
    grounds = policy.read_text().partition("[[legal]]")[0]
    policy.write_text(grounds + '[[legal]]\nbasis = "counsel-opinion"\nknown_until = 2027-01-31\nsource = "memo of 1 November"\n')
    a = labs.desks["a"] = open_desk(a.folder)
    with pytest.raises(DeskError, match="rests on counsel's word"):
        prepared(a)
    made = sharing.prepare_campaign(a, CAMPAIGN, draft(), NOW, counsel=COUNSEL)
    assert isinstance(made, sharing.Prepared)
    sharing.approve(a, made.release.id, OPS, NOW)
    assert not sharing.send(a, made.release.id, labs.hubs["a"], NOW).failures
    with pytest.raises(DeskError, match="rests on counsel's word"):
        sharing.answer(a, made.release.id, NOW, kind="retraction", value="error")
    key = tmp_key(a.folder.parent / "counsel.key", COUNSEL)
    command = ["release", "retract", made.release.id, "--reason", "error", "--desk", str(a.folder), "--counsel", "Counsel", "--key", key]
    monkeypatch.setattr("stillwatch.cli.release.time", SimpleNamespace(time=lambda: NOW))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (back,) = [r.id for r in a.book.releases() if r.id.startswith("retraction--")]
    sharing.approve(a, back, OPS, NOW)
    assert not sharing.send(a, back, labs.hubs["a"], NOW).failures
    roles = [x["role"] for x in a.ledger()[a.book.releases()[-1].approved or 0]["detail"]["approvals"]]
    assert sorted(roles) == ["counsel", "counsel", "release", "release"]


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
    assert news.refused[0][0] == mine
    assert all("campaign that is not here" in why for _, why in news.refused[1:])  # nor what belongs to it
    assert not labs.desks["b"].inbox()
    assert any(word in news.refused[0][1] for word in ("not what a campaign", "signature", "approval"))
    assert any(e["kind"] == "received-refused" for e in labs.desks["b"].ledger())


def test_a_pull_that_breaks_off_goes_on_from_its_checkpoint(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        labs.release("a", replace(CAMPAIGN, first=CAMPAIGN.first - DAY * n))
    whole = HubClient.pull

    def broken(self: HubClient, *args: Any, **more: Any) -> Any:
        for at, page in enumerate(whole(self, *args, limit=5, **more)):
            if at == 6:
                raise KeyboardInterrupt
            yield page

    monkeypatch.setattr(HubClient, "pull", broken)
    with pytest.raises(KeyboardInterrupt):
        labs.pull("b")
    before = len(labs.desks["b"].inbox())
    assert 0 < before < 27
    monkeypatch.setattr(HubClient, "pull", whole)
    labs.pull("b")
    labs.pull("c")
    assert {r.id for r in labs.desks["b"].inbox()} == {r.id for r in labs.desks["c"].inbox()}
    told = json.loads(CliRunner().invoke(app, ["hub", "inbox", "--desk", str(labs.desks["b"].folder), "--json"]).stdout)
    assert {c["campaign"] for c in told["campaigns"]} <= {r.id for r in labs.desks["b"].inbox()}
    assert {c["partner"] for c in told["campaigns"]} == {labs.desks["a"].member}


def test_the_export_for_counsel(labs: Labs, tmp_path: Path) -> None:
    mine = labs.release("a")
    labs.pull("b")
    own = evidence(tmp_path / "found")
    incoming.decide(labs.desks["b"], mine, "block", OPS, NOW, evidence=own, second=COUNSEL, note="own evidence")
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
        "refused": 0, "decisions": 0, "decisions_reopened": 0,
    }  # fmt: skip
    message = json.loads(pack.files["messages.jsonl"].splitlines()[0])
    assert message["approved_by"] == "Counsel"
    assert message["legal_basis"] == "us-doj-ftc-2014"
    assert "2014" in message["source"]
    assert message["removed"]["trait-values"] == 1
    assert f"releases/{mine}/bundle.json" in pack.files
    decisions = json.loads(audit.of_desk(labs.desks["b"]).files["decisions.jsonl"])
    assert (decisions["action"], decisions["evidence"]["campaign"], decisions["because"]) == ("block", own.campaign.id, "retracted")
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
