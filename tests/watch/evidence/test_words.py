"""Numbers and foreign text in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import a_campaign, a_lead, a_run

from stillwatch.records import Case, Notice
from stillwatch.watch.evidence.summary import COLUMNS, sentences, table_rows
from stillwatch.watch.evidence.words import chance, count, figure, line, odds, part, standing


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0.0, "no weight"),
        (-0.9, "no weight"),
        (3.0, "about 8 to 1"),
        (3.3, "about 10 to 1"),
        (-3.0, "about 8 to 1 against"),
        (10.0, "about 1,000 to 1"),
        (21.5, "about 3 million to 1"),
        (29.8, "about 900 million to 1"),
        (29.89, "about 1 billion to 1"),
        (153.0, "more than a billion to 1"),
        (-5000.0, "more than a billion to 1 against"),
    ],
)
def test_odds_have_one_significant_digit(bits: float, said: str) -> None:
    assert odds(bits) == said


@given(st.floats(-2000, 2000))
def test_no_odds_claim_more_than_one_digit(bits: float) -> None:
    digits = "".join(re.findall(r"\d", odds(bits).removesuffix(" against").removesuffix(" to 1")))
    assert len(digits.rstrip("0")) <= 1


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (1.0, "1"),
        (0.25, "0.2"),
        (0.034, "about 1 in 30"),
        (2e-8, "about 1 in 50 million"),
        (1.1e-9, "about 1 in 900 million"),
        (1e-46, "below 1 in a billion"),
        (0.0, "below 1 in a billion"),
    ],
)
def test_chances_are_readable(p: float, said: str) -> None:
    assert chance(p) == said


@pytest.mark.parametrize(("p", "said"), [(1.0, "1"), (0.034, "0.03"), (0.00123, "0.001"), (4.4e-7, "4e-7"), (2e-9, "2e-9"), (0.0, "<1e-9")])
def test_figures_are_short(p: float, said: str) -> None:
    assert figure(p) == said


def test_one_is_singular() -> None:
    assert (count(1, "account"), count(0, "account"), count(1200, "account")) == ("1 account", "0 accounts", "1,200 accounts")


def test_a_share_is_nothing_or_all_only_if_it_is() -> None:
    assert [part(n, 1000) for n in (0, 1, 500, 999, 1000)] == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert part(0, 0) == "0 %"


def test_foreign_text_stays_on_its_line_and_in_its_direction() -> None:
    assert line("a\u202eb\u2066c\x1b[31m\r\n\td\ud800\u2028") == "a\\u202eb\\u2066c\\x1b[31m\\r\\n\\td\\ud800\\u2028"
    assert line("Ünïcode 漢字 עברית") == "Ünïcode 漢字 עברית"


@given(st.text())
def test_nothing_unseen_is_left(text: str) -> None:
    assert line(text).isprintable() or not line(text).isascii()
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", line(text))


def test_a_campaign_stands_beside_what_its_own_kind_of_test_asked_for() -> None:
    run = a_run(threshold_bits=12.3)
    assert standing(a_campaign(threshold_bits=20.5, tested=4321), run).startswith("84.2 bits, 20.5 needed among 4,321 groups tested; p ")
    lone = a_campaign(kind="single", threshold_bits=9.0, tested=1, p=0.003, q=0.02)
    assert standing(lone, run) == "84.2 bits, 9.0 needed among 1 lone account tested; p about 1 in 300; q about 1 in 50"
    assert "12.3 needed;" in standing(a_campaign(), run)  # version 1: the run's threshold was that of groups
    assert "threshold not recorded" in standing(a_campaign(kind="single"), run)


def test_the_terminal_says_thresholds_leads_and_what_was_not_judged() -> None:
    hidden = Notice("unknown-text", "No prompt can be read in 90 of 100 calls (90 %).", 0.9, "calls", "A ring goes unseen there.")
    run = a_run(notices=(hidden, Notice("note", "a remark\u202e")), timings={"read": 1.0})
    case = Case(run, (a_campaign(threshold_bits=20.5, q=0.003), a_campaign(id="c-2", kind="single")), (a_lead(),))
    first, second = table_rows(case)
    assert len(first) == len(COLUMNS)
    assert first == ("c-1", "30", "300", "2001-09-09", "84.2", "20.5", "0.003", "D01 D11")
    assert second[5] == "?"
    assert sentences(case) == [
        "100 calls of 20 accounts read in 1.0 s.",
        "1 lead worth a look, none a campaign: see the report and leads.jsonl.",
        "Not judged: No prompt can be read in 90 of 100 calls (90 %). A ring goes unseen there.",
        "Not judged: 1 row of 101 (under 1 %) could not be used; the reasons are in quarantine.jsonl. What they hold was not looked at.",
        "Not judged: network: not assessed in 2 of 2 campaigns. It speaks neither for nor against there.",
        "Note: a remark\\u202e",
    ]
    none = sentences(Case(run, ()))
    assert none[0] == "No campaign: none of 50 tests, of groups and lone accounts, reached its threshold; a group needed 12.3 bits."
    assert none[2].startswith("Not judged: No prompt")
    assert sentences(Case(a_run(units_tested=1), ()))[0].startswith(
        "No campaign: the only test, of groups and lone accounts, did not reach"
    )
