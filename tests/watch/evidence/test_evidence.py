"""Report, explanation, skeleton and serialisation of a case."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import NASTY, a_campaign, a_lead, a_run, parsed
from rich.console import Console

from stillwatch.records import Case, Notice, Reason, Segment, StreamRow
from stillwatch.watch.evidence import (
    campaign_from_json,
    campaign_to_json,
    explain,
    lead_from_json,
    lead_to_json,
    render_report,
    run_from_json,
    run_to_json,
    skeleton,
    to_json_line,
)

GOLDEN = Path(__file__).parent / "golden"


def test_the_report_stands_alone_and_says_all_that_it_must() -> None:
    html = render_report(Case(a_run(), (a_campaign(),)), generated_at=1.7e9).html
    page = parsed(html)
    assert page.links == ["#c-1"]
    assert {"c-1", "campaigns"} <= page.ids
    assert "script" not in page.tags
    assert "http" not in html.replace("http-equiv", "")
    for heading in (
        "Techniques",
        "Why",
        "When",
        "Who shares what",
        "The form of its prompts",
        "What speaks against it",
        "How to rebuild it",
    ):
        assert f"<h3>{heading}</h3>" in html
    for said in (
        "account farm",
        "84.2 bits",
        "not assessed",
        "Something speaks against it.",
        "after 88 calls",
        "ab" * 32,
        "98 % of the sampled fillings",
    ):
        assert said in html
    assert html.startswith("<!doctype html>\n<html")
    assert page.tags.count("svg") == 3
    assert '<table class="matrix">' in html
    assert html == render_report(Case(a_run(), (a_campaign(),)), generated_at=1.7e9).html


def test_nothing_hostile_gets_into_the_page() -> None:
    streams = (StreamRow(NASTY, 1, 1, 1.0, 2.0, 0.0, {NASTY: NASTY}), StreamRow("b", 1, 1, 1.0, 2.0, 0.0, {NASTY: NASTY}))
    bad = a_campaign(
        reasons=(Reason(NASTY, 1.0, NASTY, (NASTY,)),), against=(NASTY,), streams=streams, skeletons=((Segment(False, (3, 3, 3), 0.0, NASTY),),), families=(NASTY,)
    )  # fmt: skip
    html = render_report(Case(a_run(command=NASTY, notices=(Notice(NASTY, NASTY, 0.5, NASTY, NASTY),)), (bad,)), generated_at=0.0).html
    assert "script" not in parsed(html).tags
    assert "<script" not in html


def test_clear_text_only_where_the_record_has_it() -> None:
    assert "secret wrapper" not in render_report(Case(a_run(), (a_campaign(),)), generated_at=0.0).html
    shown = a_campaign(skeletons=((Segment(False, (2, 2, 2), 0.0, "secret wrapper"),),))
    assert "secret wrapper" in render_report(Case(a_run(), (shown,)), generated_at=0.0).html


def test_a_report_without_campaigns_says_what_was_examined() -> None:
    html = render_report(Case(a_run(), ()), generated_at=0.0).html
    parsed(html)
    assert "No campaign found among 20 accounts and 100 calls" in html


def test_explain_fits_eighty_columns_and_shows_reasons_and_calls() -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))
    console.print(explain(a_campaign(reasons=(*a_campaign().reasons, Reason("quota", 2.0, NASTY))), a_run()))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for said in ("Campaign c-1", "+30.0", "-1.5", "call 1", "Something speaks against it.", "does not say who the operator is", "[bold]"):
        assert said in text


def test_a_campaign_survives_its_line() -> None:
    line = to_json_line(campaign_to_json(a_campaign()))
    data = json.loads(line)
    assert data["first_call"].startswith("2001-09-09T01:46:40")
    assert data["techniques"][0] == {"id": "D01", "name": "account farm", "grade": "inferred"}
    assert campaign_from_json(data) == a_campaign()
    assert run_from_json(json.loads(to_json_line(run_to_json(a_run())))) == a_run()


def test_a_lead_survives_its_line_and_a_bad_one_is_refused() -> None:
    data = json.loads(to_json_line(lead_to_json(a_lead())))
    assert data["format"] == {"name": "stillwatch.lead", "version": 1}
    assert data["accounts"] == ["account 1", "account 2"]
    assert lead_from_json(data) == a_lead()
    with pytest.raises(ValueError, match="accounts"):
        lead_from_json({**data, "accounts": 2})


def test_lines_of_version_1_stay_readable() -> None:
    """Written by 0.1.0 before thresholds by kind of test, caps and notices with a code; the files never change."""
    c = campaign_from_json(json.loads((GOLDEN / "campaign-1.jsonl").read_text()))
    assert c == a_campaign(accounts=2, streams=a_campaign().streams[:2])
    assert (c.threshold_bits, c.tested, c.reasons[0].cap, c.reasons[0].question) == (None, None, None, "")
    assert not c.reasons[2].assessed
    run = run_from_json(json.loads((GOLDEN / "run-1.json").read_text()))
    assert run.notices == (Notice("note", "a notice"),)
    assert not run.notices[0].unjudged


def test_lines_of_version_2_stay_readable() -> None:
    c = campaign_from_json(json.loads((GOLDEN / "campaign-2.jsonl").read_text()))
    assert (c.threshold_bits, c.tested) == (20.5, 4321)
    assert c.reasons == (Reason("payment", 30.0, "Cards.", ("call 1",), cap=30.0, question="hand"),)
    run = run_from_json(json.loads((GOLDEN / "run-2.json").read_text()))
    assert run.notices == (Notice("unknown-text", "No prompt.", 0.9, "calls", "A ring goes unseen there."),)
    assert lead_from_json(json.loads((GOLDEN / "lead-1.jsonl").read_text())) == a_lead()


def test_what_reaches_its_cap_is_capped() -> None:
    assert Reason("payment", 29.99, "Cards.", cap=30.0).capped
    assert not Reason("payment", 29.9, "Cards.", cap=30.0).capped
    assert not Reason("payment", 30.0, "Cards.").capped
    assert not Reason("payment", 0.0, "Cards.", assessed=False, cap=0.0).capped


def test_no_foreign_text_breaks_a_line_of_json() -> None:
    """A line separator in an account's name ended the line for readers that split text; half a surrogate pair could not be written at all."""
    text = "a\u2028b\x85c\u202ed\ud800e\U000e0041f 漢字"
    line = to_json_line(campaign_to_json(a_campaign(against=(text,))))
    assert line.splitlines() == [line.removesuffix("\n")]
    assert "漢字" in line
    assert campaign_from_json(json.loads(line.encode().decode())).against == (text,)


@given(st.floats(-1e3, 1e3), st.text(max_size=20), st.integers(0, 10**9), st.floats(0, 4e9))
def test_any_values_survive(bits: float, text: str, n: int, at: float) -> None:
    c = a_campaign(bits=bits, against=(text,), calls=n, first=at)
    assert campaign_from_json(json.loads(to_json_line(campaign_to_json(c)))) == c


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": {"name": "stillwatch.campaign", "version": 9}}, "at most version 2"),
        ({"format": {"name": "stillwatch.campaign", "version": 0}}, "at most version 2"),
        ({"format": {"name": "stillwatch.run", "version": 1}}, "stillwatch.campaign"),
        ({"bits": "many"}, "bits"),
        ({"techniques": [{}]}, "techniques"),
    ],
)
def test_a_bad_line_is_refused_by_field(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        campaign_from_json({**campaign_to_json(a_campaign()), **change})


def test_a_skeleton_finds_the_fixed_words_and_the_slots() -> None:
    texts = [
        f"Please grade the following answer with great care: {' '.join(f'w{k}x{j}' for j in range(k))} . Reply with one figure only."
        for k in range(3, 12)
    ]
    shape = skeleton(texts, show_text=True)
    assert [s.slot for s in shape] == [False, True, False]
    assert shape[0].text == "Please grade the following answer with great care:"
    assert shape[2].text == ". Reply with one figure only."
    assert shape[1].distinct == 1.0
    assert shape[1].text is None
    assert all(s.text is None for s in skeleton(texts, show_text=False))
    assert skeleton(texts[:1], show_text=True) == ()
    assert skeleton(["alpha beta gamma", "delta epsilon zeta"], show_text=True)[0].slot
