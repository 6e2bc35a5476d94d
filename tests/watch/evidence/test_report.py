"""The report: what was not assessed, long lists, caps, leads, foreign text, colours."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import a_campaign, a_lead, a_run, parsed
from jinja2 import PackageLoader
from rich.console import Console

from stillwatch.records import Campaign, Case, Notice, Reason, StreamRow
from stillwatch.watch.evidence import explain, render_report, unjudged, unknown_fields
from stillwatch.watch.evidence.pictures import COLOURS, contrast, letter_on
from stillwatch.watch.evidence.summary import sentences
from stillwatch.watch.evidence.tables import cell

TURN = "cust\u202e1‮2"  # turns the reading direction


def page(case: Case) -> str:
    html = render_report(case, generated_at=1.7e9).html
    parsed(html)
    return html


def printed(c: Campaign) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(explain(c, a_run()))
    return console.export_text()


def streams(n: int, name: str = "account") -> tuple[StreamRow, ...]:
    return tuple(
        StreamRow(
            f"{name} {i:05d}-0a1b2c3d4e5f", 120, 100, 1.76e9, 1.761e9, 17.25, {"card": f"card {i // 4:x}", "mail domain": f"d{i % 3}",
            "mail pattern": f"p{i % 40}", "sign-up day": f"s{i % 200}", "age": f"own {i}", "address": f"x{i // 9}"},
        )
        for i in range(n)
    )  # fmt: skip


@pytest.mark.parametrize("campaigns", [(), (a_campaign(),)])
def test_what_was_not_assessed_is_said_with_and_without_campaigns(campaigns: tuple[Campaign, ...]) -> None:
    hidden = Notice("unknown-text", "No prompt can be read in 90 of 100 calls (90 %).", 0.9, "calls", "A ring goes unseen there.")
    html = page(Case(a_run(notices=(hidden, Notice("note", "a remark"))), campaigns))
    section = html[html.index('id="unjudged"') : html.index("</div>", html.index('id="unjudged"'))]
    assert "What was not assessed" in section
    assert "No prompt can be read in 90 of 100 calls (90 %). A ring goes unseen there." in section
    assert "1 row of 101 (under 1 %) could not be used" in section
    assert "a remark" not in section
    assert "a remark" in html
    assert ("network: not assessed in c-1" in section) == bool(campaigns)
    if campaigns:
        assert html.index('id="unjudged"') < html.index('id="campaigns"')


def test_nothing_unjudged_is_said_too() -> None:
    assert unjudged(Case(a_run(rejected=0), ())) == ()
    assert "Nothing that this run could tell" in page(Case(a_run(rejected=0), ()))


def test_a_thousand_notes_are_cut_and_what_was_not_judged_is_not() -> None:
    notes = tuple(Notice("intake", f"part-{i}: holds no calls") for i in range(1000))
    hidden = tuple(Notice("x", f"not judged {i}", 0.1, "calls") for i in range(60))
    case = Case(a_run(notices=notes + hidden), ())
    html, said = page(case), sentences(case)
    assert html.count("holds no calls") == 50
    assert "950 more in" in html
    assert sum("holds no calls" in s for s in said) == 20
    assert said[-1] == "980 more notes in run.json."
    assert html.count("<li>not judged ") == sum(s.startswith("Not judged: not judged") for s in said) == 60


def test_unknown_fields_say_how_much_they_hide() -> None:
    notices = unknown_fields({"payment": 610, "mail": 0, "text": 5, "verification": 1}, calls=1000, accounts=620)
    assert [(n.code, n.of, round(n.share or 0, 3)) for n in notices] == [
        ("unknown-payment", "accounts", 0.984),
        ("unknown-text", "calls", 0.005),
        ("unknown-verification", "accounts", 0.002),
    ]
    assert notices[0].text == "No card or other payment is known of 610 of 620 accounts (98 %)."
    assert all(n.unjudged and n.hides.endswith(".") for n in notices)
    assert unknown_fields({"payment": 0}, calls=0, accounts=0) == ()
    assert "of 1 of 1 account (100 %)" in unknown_fields({"mail": 1}, calls=1, accounts=1)[0].text


def test_each_campaign_has_the_threshold_and_q_of_its_own_kind() -> None:
    ring = a_campaign(threshold_bits=20.5, tested=4321, q=0.003)
    lone = a_campaign(id="c-2", kind="single", accounts=1, streams=streams(1), threshold_bits=9.25, tested=12, q=0.02)
    html = page(Case(a_run(), (ring, lone)))
    assert "20.5 needed among 4,321 groups tested" in html
    assert "9.2 needed among 12 lone accounts tested" in html
    assert "about 1 in 300" in html
    assert "about 1 in 50" in html
    assert "12.3" not in html  # the run's one threshold is nobody's
    assert "9.2 needed among 12 lone accounts tested; p below 1 in a billion; q about 1 in 50" in " ".join(printed(lone).split())


def test_a_chance_that_rests_on_the_model_is_said_once() -> None:
    assert page(Case(a_run(), (a_campaign(),))).count("should not be taken literally") == 1
    assert printed(a_campaign()).count("should not be taken literally") == 1
    assert "taken literally" not in printed(a_campaign(p=0.001, q=0.01))


def test_one_account_is_singular_everywhere() -> None:
    lone = a_campaign(kind="single", accounts=1, calls=1, streams=streams(1), calls_until_found=1)
    html = page(Case(a_run(accounts=1, calls=1, units_tested=1), (lone,)))
    for text in (html, printed(lone), page(Case(a_run(accounts=1, calls=1, units_tested=1, rejected=1), ()))):
        assert not re.search(r"(?<![\d,])1 (accounts|calls|rows|groups|campaigns|leads|words)\b", text)
    assert "<h3>1 account</h3>" in html
    assert "1 call of 1 account belongs to it" in html


def test_caps_are_drawn_and_said() -> None:
    c = a_campaign(reasons=(Reason("payment", 30.0, "Cards.", cap=30.0), Reason("mail", 29.0, "Mail.", cap=30.0)))
    html = page(Case(a_run(), (c,)))
    assert html.count('class="cap"') == 1
    assert "payment: at least +30.0" in html
    assert "mail: +29.0" in html
    assert "An arrow marks a cap" in html
    assert 'class="cap"' not in page(Case(a_run(), (a_campaign(),)))
    text = " ".join(printed(c).split())
    assert text.count("Capped: evidence of this kind counts no more.") == 1


def test_reasons_stand_by_question() -> None:
    c = a_campaign(
        reasons=(
            Reason("content", 5.0, "Asks for reasoning.", question="harvest"),
            Reason("payment", 30.0, "Cards.", question="hand"),
            Reason("network", 0.0, "Too few addresses.", assessed=False, question="hidden"),
            Reason("old", 1.0, "No question."),
        )
    )
    for text in (page(Case(a_run(), (c,))), printed(c)):
        places = [text.index(heading) for heading in ("Is it one hand?", "Is the hand hidden?", "Is it a harvest?", "Other evidence")]
        if "<h4>" in text:
            places = [text.index(f"<h4>{h}</h4>") for h in ("Is it one hand?", "Is the hand hidden?", "Is it a harvest?", "Other evidence")]
        assert places == sorted(places)
        assert places[1] < text.index("Too few addresses.") < places[2]
        assert "not assessed" in text
    assert "Other evidence" not in printed(a_campaign())


def test_leads_are_shown_in_order_and_the_rest_counted() -> None:
    leads = tuple(a_lead(id=f"l-{i}", accounts=tuple(f"who {j}" for j in range(1 + i))) for i in range(25))
    html = page(Case(a_run(), (), leads))
    assert "25 leads are worth a look" in html
    assert "The first 20 of 25 leads" in html
    assert html.index("Lead l-0<") < html.index("Lead l-19<")
    assert "Lead l-20" not in html
    assert "1 account, 40 calls" in html
    for said in ("hand +9.5, hidden +2.0 bits", "They share a card.", "Too few share it.", "Ask for the sign-up records.", "and 5 more in"):
        assert said in html
    assert "Leads" not in page(Case(a_run(), ()))


def test_a_hundred_campaigns_of_a_thousand_accounts_are_under_two_megabytes_and_none_is_left_out() -> None:
    big = tuple(
        a_campaign(
            id=f"c-{k:010x}",
            accounts=1000,
            streams=streams(1000, f"cust-{k}"),
            reasons=tuple(
                Reason(f"reason {j}", 30.0 - j, "A sentence on what the log shows. " * 5, tuple(f"chatcmpl-{i:032x}" for i in range(6)))
                for j in range(8)
            ),
            timeline=tuple((1.76e9 + i * 3600, i * 37 % 91 + 1) for i in range(49)),
            skeletons=a_campaign().skeletons * 4,
        )
        for k in range(100)
    )
    inputs = tuple({"file": f"log-{i}.gz", "bytes": 10**9, "sha256": f"{i:064x}", "calls": 1000, "rejected": 3} for i in range(5000))
    report = render_report(Case(a_run(inputs=inputs), big), generated_at=1.7e9)
    assert len(report.html.encode()) < 2_000_000
    rows = list(csv.DictReader(io.StringIO(report.files["report-accounts.csv"].decode("utf-8-sig"))))
    assert [(r["campaign"], r["account"]) for r in rows] == [(c.id, s.account) for c in big for s in c.streams]
    assert rows[0]["attributed_calls"] == "100"
    assert rows[0]["first_call"] == "2025-10-09T08:53:20.000000+00:00"
    digests = [r["sha256"] for r in csv.DictReader(io.StringIO(report.files["report-inputs.csv"].decode("utf-8-sig")))]
    assert digests == [i["sha256"] for i in inputs]
    assert report.html.count("SHA-256 <code>") == 2  # of each file beside it


def test_short_lists_stay_on_the_page_with_all_inputs() -> None:
    inputs = (
        *a_run().inputs,
        {"file": "accounts.csv", "bytes": 9, "sha256": "cd" * 32, "kind": "accounts"},
    )
    c = a_campaign(accounts=50, streams=streams(50))
    report = render_report(Case(a_run(inputs=inputs), (c,)), generated_at=1.7e9)
    assert report.files == {}
    assert all(s.account in report.html for s in c.streams)
    assert "ab" * 32 in report.html
    assert "cd" * 32 in report.html
    assert set(render_report(Case(a_run(), (replace(c, streams=streams(51)),)), generated_at=1.7e9).files) == {"report-accounts.csv"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "＝", "＠"])
def test_no_cell_is_a_formula(start: str) -> None:
    evil = f'{start}HYPERLINK("http://x","y")'
    c = a_campaign(streams=(StreamRow(evil, 1, 1, 0.0, 1.0, -2.5, {evil: evil}), *streams(60)))
    body = render_report(Case(a_run(), (c,)), generated_at=0.0).files["report-accounts.csv"].decode("utf-8-sig")
    head, first, *_ = csv.reader(io.StringIO(body))
    for text in (head[-1], first[1], head[7], first[7]):
        assert not text.lstrip().startswith(tuple("=+-@＝＠"))
    assert first[6] == "-2.5"  # a number of ours stays one


@given(st.text())
def test_any_text_is_a_harmless_cell(text: str) -> None:
    made = cell(text)
    assert not made.lstrip().startswith(tuple("=+-@"))
    assert len(next(csv.reader(io.StringIO(f'"{made.replace(chr(34), chr(34) * 2)}"')))) == 1
    assert "\n" not in made


def test_foreign_text_cannot_turn_or_hide_a_line() -> None:
    c = a_campaign(
        id=TURN, reasons=(Reason(TURN, 1.0, TURN, (TURN,)), Reason(f"x{TURN}", 1.0, TURN, (TURN,), False)), against=(TURN,),
        streams=(StreamRow(TURN, 1, 1, 1.0, 2.0, 0.0, {TURN: TURN}), *streams(60)), families=(TURN,),
    )  # fmt: skip
    run = a_run(
        command=TURN, notices=(Notice(TURN, TURN), Notice(TURN, TURN, 0.5, TURN, TURN)), inputs=({**a_run().inputs[0], "file": TURN},)
    )
    lead = a_lead(id=TURN, bits={TURN: 1.0}, accounts=(TURN,), why=TURN, why_not=TURN, settle=TURN)
    report = render_report(Case(run, (c,), (lead,)), generated_at=0.0)
    for text in (report.html, printed(c), report.files["report-accounts.csv"].decode()):
        assert "\u202e" not in text
        assert "\\u202e" in text
    lone = a_campaign(streams=(StreamRow("half \ud800 a pair", 1, 1, 1.0, 2.0, 0.0),))
    assert "half \\ud800 a pair" in render_report(Case(a_run(), (lone,)), generated_at=0.0).html.encode().decode()


def _variables(css: str, after: str) -> dict[str, str]:
    block = css[css.index(after) :]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block[: block.index("}")]))


def test_every_text_has_contrast_aa_in_both_schemes() -> None:
    css = PackageLoader("stillwatch.watch.evidence").get_source(None, "report.html")[0]  # type: ignore[arg-type]
    light = _variables(css, ":root {")
    dark = {**light, **_variables(css, "dark) { :root {")}
    assert dark["paper"] != light["paper"]
    for scheme in (light, dark):
        for text, ground in (
            ("ink", "paper"),
            ("ink", "panel"),
            ("soft", "paper"),
            ("soft", "panel"),
            ("for", "paper"),  # links
            ("ink", "line"),  # the dot of a value that nobody else has
            ("onfixed", "fixed"),
        ):
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground, scheme)
        for shape in ("for", "against", "fixed", "soft"):  # shapes that carry meaning
            assert contrast(scheme[shape], scheme["paper"]) >= 3
    for colour in COLOURS:
        assert contrast(letter_on(colour), colour) >= 4.5, colour
        assert f"background: {colour}; color: {letter_on(colour)}" in page(Case(a_run(), (a_campaign(),)))


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_a_heading_is_printed_with_its_picture() -> None:
    html = page(Case(a_run(), (a_campaign(),)))
    for heading in ("Why", "When", "Who shares what"):
        assert re.search(rf'<div class="part"><h3>{heading}</h3>', html)
    rules = html[html.index("@media print") :]
    assert "h1, h2, h3, h4 { break-after: avoid; }" in rules
    assert re.search(r"\.part,[^{]*svg[^{]*\{ break-inside: avoid; \}", rules)
