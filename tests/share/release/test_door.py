"""The ten rules, one by one, and the documents they let out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

import stillwatch.share.release as door
from stillwatch import records
from stillwatch.share.release.scan import findings

TODAY = date(2026, 11, 24)
ME = "0123456789abcdef"
POLICY = door.Policy(ME)
CAMPAIGN = records.Campaign(
    id="c-1", kind="ring", bits=80.0, p=1e-20, q=1e-9, first=1.79e9, last=1.7905e9, calls=4321, accounts=77,
    techniques=(("D01", "inferred"), ("D04", "inferred"), ("D11", "observed")),
    reasons=(records.Reason("payment", 10.0, "12 accounts share a card", ("call-1", "call-2")),),
    against=("nothing",),
    streams=(records.StreamRow("acct-secret", 30, 20, 1.0, 2.0, 9.0, {"card": "visa-4711"}),),
    timeline=((1.79e9, 20),), bin_seconds=3600.0, skeletons=(), families=("winnow-1:00ff",), calls_until_found=9,
)  # fmt: skip
DRAFT = door.Draft(CAMPAIGN, grounds=door.grounds_of(CAMPAIGN), ledger="lab", removed=door.scrubbed(CAMPAIGN))


def release(draft: door.Draft = DRAFT, policy: door.Policy = POLICY, today: date = TODAY, **more: object) -> door.Release:
    made = door.prepare(draft, policy, today, **more)  # type: ignore[arg-type]
    assert isinstance(made, door.Release), made
    return made


def refused(draft: door.Draft, rule: str, policy: door.Policy = POLICY, today: date = TODAY) -> str:
    made = door.prepare(draft, policy, today)
    assert isinstance(made, door.Withheld)
    assert rule in [r.rule for r in made.refusals], made.refusals
    assert all(r.reason and r.reference for r in made.refusals)
    return next(r.reason for r in made.refusals if r.rule == rule)


def test_nothing_of_what_stays_is_in_what_leaves() -> None:
    text = release().canonical.decode()
    for secret in ("acct-secret", "visa-4711", "call-1", "share a card", "4321", "77", "winnow", "1.79", "80.0", "c-1"):
        assert secret not in text
    document = json.loads(text)
    assert document["accounts"] == 2
    assert document["confidence"] == 85
    assert document["first_day"] == "2026-09-21"
    assert document["grounds"] == ["coordinated-inauthentic-accounts", "false-identity"]
    assert {s["removed"] for s in document["scrub"]} >= {"account-references", "call-references", "trait-values", "scores"}


def test_a_release_has_no_public_constructor() -> None:
    with pytest.raises(TypeError, match="prepare"):
        door.Release()
    with pytest.raises(AttributeError):
        release().document = None  # type: ignore[misc, assignment]


def test_the_same_evidence_gives_the_same_bytes_and_its_id_is_made_from_them() -> None:
    assert release().canonical == release().canonical
    assert release().id == release().id != release(tlp := replace(DRAFT, tlp="green")).id, tlp
    assert door.reopen(json.loads(release().canonical)).id == release().id


def test_r01_terms_of_service_alone_are_not_enough_unless_counsel_says_so() -> None:
    assert "terms of service" in refused(replace(DRAFT, grounds=()), "R01")
    assert release(replace(DRAFT, grounds=(), counsel_releases=True)).document.counsel


def test_r02_own_evidence_and_no_call_for_action() -> None:
    assert "below the 10" in refused(replace(DRAFT, subject=replace(CAMPAIGN, bits=3.0), peer_signals=("campaign--x",)), "R02")
    pooled = replace(CAMPAIGN, bits=20.0, reasons=(*CAMPAIGN.reasons, records.Reason("partners", 12.0, "partners")))
    assert "own evidence is 8.0 bits" in refused(replace(DRAFT, subject=pooled), "R02")
    assert "q = " in refused(replace(DRAFT, subject=replace(CAMPAIGN, q=0.2)), "R02")
    assert "asks peers" in refused(replace(DRAFT, asks_for="block them"), "R02")


@pytest.mark.parametrize(
    ("by_member", "until", "why"),
    [
        ({"a": 10, "b": 10, "c": 10}, date(2026, 1, 1), "3 contributors"),
        ({"a": 40, "b": 10, "c": 10, "d": 10, "e": 10}, date(2026, 1, 1), "50 %"),
        (dict.fromkeys("abcde", 10), date(2026, 11, 1), "23 days old"),
        ({**dict.fromkeys("abcd", 10), "e": 0}, date(2026, 1, 1), "4 contributors"),
    ],
)
def test_r03_no_small_groups(by_member: dict[str, int], until: date, why: str) -> None:
    assert why in refused(door.Draft(door.Statistic("D11", by_member, until), ledger="lab"), "R03")


def test_r03_five_even_contributors_of_old_data_may_be_counted() -> None:
    made = release(door.Draft(door.Statistic("D11", dict.fromkeys("abcde", 10), date(2026, 1, 1)), ledger="lab"))
    assert json.loads(made.canonical)["campaigns"] == 2


@pytest.mark.parametrize(
    ("today", "basis"),
    [
        (date(2026, 9, 30), "us-cisa-2015"),
        (date(2026, 10, 1), "us-doj-ftc-2014"),
        (date(2027, 6, 30), "us-doj-ftc-2014"),
        (date(2027, 7, 1), None),
    ],
)
def test_r04_the_legal_basis_is_a_dated_switch_that_fails_closed(today: date, basis: str | None) -> None:
    old = replace(DRAFT, subject=replace(CAMPAIGN, first=1.75e9, last=1.751e9))
    if basis is None:
        assert "counsel must renew" in refused(old, "R04", today=today)
    else:
        assert release(old, today=today).document.stamp.legal_basis == basis
    assert "none" in refused(DRAFT, "R04", policy=door.Policy(ME, legal=()))


def test_r05_the_scrub_record_is_complete() -> None:
    refused(replace(DRAFT, removed=()), "R05")
    assert dict(door.scrubbed(CAMPAIGN)) == {
        "account-references": 1, "call-references": 2, "counts": 5, "free-text": 1, "prompt-skeletons": 1, "reasons": 1, "scores": 5, "times": 4, "trait-values": 1,
    }  # fmt: skip


def test_r06_template_fragments_stay_whatever_is_said_for_them() -> None:
    good = door.Fragment("Think step by step and put your reasoning into tags", 50, 900)
    assert "20 accounts" in refused(replace(DRAFT, fragment=replace(good, accounts=3)), "R06")
    assert "e-mail" in refused(replace(DRAFT, fragment=replace(good, text="write to jo@example.org")), "R06")
    assert "counsel" in refused(replace(DRAFT, fragment=good), "R06")
    assert "version 1" in refused(replace(DRAFT, fragment=good, counsel_releases=True), "R06")


def test_r07_only_suspects_are_matched_within_caps() -> None:
    batch = door.Batch("payment", "2026q4", 30, 0, 8, 0)
    draft = door.Draft(batch, ledger="lab")
    assert "in no campaign" in refused(replace(draft, subject=replace(batch, others=1)), "R07")
    assert "cap" in refused(replace(draft, subject=replace(batch, size=10_001)), "R07")
    assert "budget" in refused(replace(draft, subject=replace(batch, sent_today=100_000)), "R07")
    token = door.Token("0" * 32, "1" * 64, "2" * 96)
    assert release(draft, tokens=[token]).document.tokens == (token,)


def test_r08_expiry_is_mandatory() -> None:
    for days in (0, -1, 181):
        assert f"{days} days" in refused(replace(DRAFT, valid_days=days), "R08")
    assert release(replace(DRAFT, valid_days=180)).document.stamp.valid_until == "2027-05-23"


def test_r09_members_and_security_only() -> None:
    assert "government" in refused(replace(DRAFT, audience="government"), "R09")
    refused(replace(DRAFT, purpose="pricing"), "R09")


def test_r10_no_ledger_no_release() -> None:
    refused(replace(DRAFT, ledger=""), "R10")


def test_every_rule_is_told_at_once_with_its_reference() -> None:
    made = door.prepare(door.Draft(CAMPAIGN), POLICY, date(2028, 1, 1))
    assert isinstance(made, door.Withheld)
    assert {r.rule for r in made.refusals} == {"R01", "R04", "R05", "R10"}
    assert [r.id for r in door.RULES] == [f"R{n:02d}" for n in range(1, 11)]


def test_answers_to_partners_carry_no_number() -> None:
    of = release().id
    days = (date(2026, 11, 1), date(2026, 11, 20))
    seen = release(door.Draft(of, ledger="lab"), answer="sighting", value="seen", days=days)
    assert set(json.loads(seen.canonical)) == {"format", "kind", "stamp", "subject", "seen", "first_day", "last_day"}
    for kind, value in (("opinion", "agree"), ("retraction", "error"), ("sighting", "not-seen")):
        assert isinstance(door.prepare(door.Draft(of, ledger="lab"), POLICY, TODAY, answer=kind, value=value, days=days), door.Release)  # type: ignore[arg-type]
    made = door.prepare(door.Draft(of, ledger="lab"), POLICY, TODAY, answer="opinion", value="they should be cut off")
    assert isinstance(made, door.Withheld)
    assert made.refusals[0].rule == "schema"


def test_the_shipped_schema_is_the_code_s() -> None:
    shipped = Path(door.__file__).parent / "release-1.schema.json"
    assert json.loads(shipped.read_text()) == door.schema(), (
        "write it anew from stillwatch.share.release.schema() and say why in the changelog"
    )


def test_golden_document_stays_readable() -> None:
    golden = Path(__file__).parent / "golden-release-1.json"
    raw = json.loads(golden.read_text())
    assert door.reopen(raw["document"]).id == raw["id"]


@pytest.mark.parametrize(
    "text",
    [
        "mail me at jo@example.org", "see https://example.org/x", "call +49 170 1234567", "pay $ 400", "AKIAIOSFODNN7EXAMPLE", "from 203.0.113.7", "Dear Anna",
        "c2VjcmV0IG1lc3NhZ2UgaGVyZQ==", "p\u0430yment", "zero\u200bwidth", "\uff11\uff12\uff13\uff14\uff15\uff16", "Dr. Meier asks",
    ],
)  # fmt: skip
def test_the_scan_sees(text: str) -> None:
    assert findings(text)


def test_the_scan_lets_plain_words_pass() -> None:
    assert findings("Think step by step, internationalization included, and put your reasoning between tags.") == ()


def test_the_first_documents_may_come_from_many_threads_at_once() -> None:
    script = """
import sys, threading
from tests.share.hub.samples import campaign_release
sys.setswitchinterval(1e-6)
go = threading.Barrier(12)
def first(n):
    go.wait()
    campaign_release("ab" * 8, n, networks=0)
threads = [threading.Thread(target=first, args=(n,)) for n in range(12)]
[t.start() for t in threads]
[t.join() for t in threads]
print("whole")
"""
    for _ in range(4):  # it crashed two times in three
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
        assert done.stdout == "whole\n", done.stderr
