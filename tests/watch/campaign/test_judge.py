"""Three questions put together: what is a campaign, what is none, and what is said of it; and how leads are ranked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stillwatch.watch.campaign.classes import Finding, Group
from stillwatch.watch.campaign.groups import CONTENT, INSTITUTION
from stillwatch.watch.campaign.harvest import Harvest
from stillwatch.watch.campaign.judge import CAUSE, judge
from stillwatch.watch.campaign.leads import harvest_bits, of_cards, worth
from stillwatch.watch.campaign.scoring import OCCASION_CAP, Score

N, THRESHOLD = 20, 15.0
DEALT = Harvest(600, 0.2, 0.3, pairs=3000)
ASKED = replace(DEALT, likeness=0.1, mark="D11", shown=0.9, usual=0.02)


def group(*, texts: int = 600, with_text: int | None = None, **changes: Any) -> Group:
    each = np.full(N, texts // N)
    known = each if with_text is None else np.full(N, with_text // N)
    base = Group(1, None, (1,), np.arange(N), each, 0 * each, np.minimum(each, known), known, np.zeros(N), np.ones(N), 0 * each)
    return replace(base, **changes)


def score(
    convicting: float = 0.0, occasion: float = 0.0, *, of: Group | None = None, bits: dict[str, float] | None = None, **more: Any
) -> Score:
    findings = tuple(Finding(i, b, i) for i, b in ({"slices": 0.0} | (bits or {})).items())
    values = {"member": np.ones(N, bool), "member_bits": np.ones(N), "owners": N, "pure": True} | more
    return Score(of or group(), findings, convicting, occasion, **values)


def crowd(quota: float = 5.0, *, slices: float = 0.0, occasion: float = OCCASION_CAP, **more: Any) -> Score:
    bits = {"slices": slices, "registration": 9.0, "network": 9.0, "quota": quota}
    return score(0.0, occasion, bits=bits, pool=True, **more)


def passes(s: Score, h: Harvest) -> bool:
    j = judge(s, h, THRESHOLD)
    assert j.passes == (not j.why_not)
    assert bool(j.why_not) == bool(j.settle)
    assert sum(f.bits for f in j.findings) == pytest.approx(j.bits, abs=0.01)  # what is listed adds up to what is said
    return j.passes


@pytest.mark.parametrize(
    ("harvest", "is_one"),
    [
        (DEALT, True),
        (replace(DEALT, texts=59), False),
        (replace(DEALT, texts=60), True),
        (replace(DEALT, sigma=3.0), True),
        (replace(DEALT, sigma=3.1), False),  # hardly dealt
        (replace(ASKED, sigma=3.1), True),
        (replace(ASKED, sigma=12.0), True),  # a sorted list
        (replace(ASKED, sigma=12.0, likeness=0.2), False),  # people, who ask what others ask
        (replace(DEALT, sigma=12.0, likeness=0.1), False),  # ... or have interests, and nobody asks for training material
        (replace(ASKED, sigma=12.0, shown=0.19), False),
        (replace(ASKED, sigma=12.0, usual=0.31), False),
        (replace(DEALT, sigma=None), False),
        (replace(ASKED, sigma=None), True),
    ],
)
def test_cards_are_a_campaign_where_the_items_are_dealt_or_training_material(harvest: Harvest, is_one: bool) -> None:
    assert passes(score(THRESHOLD), harvest) is is_one
    assert not passes(score(THRESHOLD - 0.1), harvest)
    assert not passes(score(THRESHOLD, owners=2), harvest)
    assert not passes(score(THRESHOLD, place=True), harvest)  # under one roof


def test_a_sorted_list_hides_nobody_who_shares_cards_a_pool_and_the_days_of_sign_up() -> None:
    """Interests cost nothing where a list is sorted by subject; what a reseller's customers do not share is the pool."""
    fields = replace(DEALT, sigma=12.0, likeness=0.5)
    alike = {"registration": 9.0, "mail": 0.0}
    assert passes(score(THRESHOLD, pool=True, bits=alike), fields)
    assert passes(score(THRESHOLD, pool=True, bits={"registration": 0.0, "mail": 9.0}), fields)
    assert not passes(score(THRESHOLD, pool=True, bits=alike), replace(fields, texts=59))
    assert not passes(score(THRESHOLD, pool=False, bits=alike), fields)
    assert not passes(score(THRESHOLD, pool=True, bits={"registration": 1.0, "mail": 1.0}), fields)
    assert not passes(score(THRESHOLD - 0.1, pool=True, bits=alike), fields)  # what an occasion explains


def test_what_chose_the_accounts_is_no_evidence_of_a_harvest_again() -> None:
    chosen = group(chosen=frozenset({CONTENT}))
    assert passes(score(THRESHOLD, of=chosen), ASKED)
    assert not passes(score(THRESHOLD, of=chosen), replace(ASKED, sigma=12.0))
    assert passes(score(THRESHOLD, pool=True), replace(DEALT, sigma=12.0, likeness=0.1))


def test_an_occasion_alone_convicts_nobody_and_four_things_that_none_brings_along_do() -> None:
    assert not passes(score(0.0, OCCASION_CAP, bits={"registration": 30.0}), ASKED)
    assert passes(crowd(), DEALT)
    assert passes(crowd(quota=0.0), ASKED)
    assert not passes(crowd(quota=2.9), DEALT)
    assert not passes(crowd(slices=-1.0), ASKED)
    assert not passes(crowd(occasion=OCCASION_CAP - 0.1), ASKED)
    assert not passes(crowd(), replace(ASKED, sigma=3.1))
    assert not passes(crowd(), replace(ASKED, texts=59))
    assert not passes(replace(crowd(), pool=False), ASKED)
    assert not passes(crowd(owners=11), ASKED)
    assert judge(crowd(), DEALT, THRESHOLD).bits == OCCASION_CAP + 3 * CAUSE
    assert not judge(crowd(), DEALT, OCCASION_CAP + 3 * CAUSE + 0.1).passes


def test_unread_prompts_are_a_harvest_only_where_work_is_dealt_evenly() -> None:
    unread = group(with_text=280)
    assert passes(score(THRESHOLD, of=unread, bits={"quota": 3.0}), Harvest(0, None, None))
    assert not passes(score(THRESHOLD, of=unread, bits={"quota": 2.9}), Harvest(0, None, None))
    assert not passes(score(THRESHOLD, of=group(texts=40, with_text=0), bits={"quota": 9.0}), Harvest(0, None, None))
    assert "could not be judged" in judge(score(THRESHOLD, of=unread), Harvest(0, None, None), THRESHOLD).why_not
    assert all(
        not f.assessed for f in judge(score(THRESHOLD, of=unread), Harvest(0, None, None), THRESHOLD).findings if f.question == "harvest"
    )


def test_partners_word_needs_evidence_of_ones_own() -> None:
    told = {"bits": {"partners": 9.0}, "local": 2.5}
    assert passes(score(THRESHOLD - 2, 3.0, **told), replace(DEALT, texts=8))
    assert not passes(score(THRESHOLD - 2, 3.0, **(told | {"local": 2.4})), DEALT)
    assert not passes(score(THRESHOLD - 2, 3.0, **(told | {"pure": False})), DEALT)
    assert not passes(score(THRESHOLD - 2, 3.0, bits={"partners": 2.9}, local=9.0), DEALT)
    assert not passes(score(THRESHOLD - 2, 3.0, **told), replace(DEALT, texts=7))
    assert not passes(score(THRESHOLD - 2, 3.0, **told), replace(DEALT, sigma=12.0, likeness=0.5))


@pytest.mark.parametrize(
    ("s", "harvest", "said"),
    [
        (score(THRESHOLD, place=True), DEALT, "pay with the same cards and call from one place"),
        (score(1.0, of=group(chosen=frozenset({INSTITUTION}))), DEALT, "an institution"),
        (score(1.0, openly=True), DEALT, "say openly whom they belong to"),
        (score(THRESHOLD, owners=2), DEALT, "Fewer than three accounts"),
        (score(0.0, OCCASION_CAP), DEALT, "an occasion could have brought about"),
        (score(1.0), DEALT, "Too little ties the accounts together: 1.0 of 15.0 bits"),
        (score(THRESHOLD), replace(DEALT, texts=59), "It is small: 59 different texts, 60 are needed"),
        (score(THRESHOLD), replace(DEALT, sigma=12.0), "have interests of their own"),
        (score(THRESHOLD), replace(DEALT, sigma=3.5), "may have interests of their own"),
        (score(THRESHOLD), replace(DEALT, sigma=None), "too few prompts an account"),
    ],
)
def test_what_is_no_campaign_says_why_and_what_would_settle_it(s: Score, harvest: Harvest, said: str) -> None:
    j = judge(s, harvest, THRESHOLD)
    assert said in j.why_not
    assert j.settle


def test_what_looks_like_a_harvest_comes_first_among_leads() -> None:
    assert harvest_bits(Harvest(60, None, None)) == 0.0
    assert harvest_bits(Harvest(0, None, None)) == 0.0
    assert harvest_bits(Harvest(60, 1.0, None)) == 4.0
    assert harvest_bits(Harvest(60, 3.5, None)) == 0.0
    assert harvest_bits(Harvest(60, 40.0, None)) == -12.0
    assert harvest_bits(Harvest(60, None, 0.19)) == 2.0
    assert harvest_bits(Harvest(60, None, 0.2)) == 0.0
    assert harvest_bits(Harvest(240, None, None)) == 2.0
    assert harvest_bits(Harvest(6000, None, None)) == 2.0
    assert harvest_bits(Harvest(15, None, None)) == -2.0
    assert harvest_bits(Harvest(1, None, None)) == -3.0
    assert harvest_bits(Harvest(60, None, None, 0, "D11", 0.2, 0.01)) == 4.0
    assert harvest_bits(Harvest(60, None, None, 0, "D11", 0.2, 0.07)) == 0.0


def test_worth_rises_with_each_answer_and_a_tie_of_a_client_alone_is_little() -> None:
    one = judge(score(6.0), DEALT, THRESHOLD)
    assert worth(one) == 6.0 + harvest_bits(DEALT)
    assert worth(judge(score(40.0, owners=2), DEALT, THRESHOLD)) == 8.0 + harvest_bits(DEALT)  # at most
    untied = judge(score(0.0, 6.0, of=group(family=None)), DEALT, THRESHOLD)
    assert worth(untied) == worth(one) - 4.0
    by_card = judge(score(0.0, 0.0, of=group(family=None, chosen=frozenset({"payment"}))), DEALT, THRESHOLD)
    assert worth(by_card) == 5.0 + harvest_bits(DEALT)
    shared = judge(score(6.0, bits={"slices": -40.0}), DEALT, THRESHOLD)
    assert worth(shared) == worth(one) - 10.0
    ranked = [worth(judge(score(6.0), replace(DEALT, sigma=s), THRESHOLD)) for s in (0.0, 2.0, 4.0, 9.0)]
    assert all(a > b for a, b in pairwise(ranked))
    assert of_cards([one, by_card]) == [by_card]
    assert of_cards([judge(score(of=group(chosen=frozenset({"payment"}))), replace(DEALT, sigma=9.0), THRESHOLD)]) == []


def test_where_the_rules_begin() -> None:
    assert score(THRESHOLD, owners=3).stands(THRESHOLD)
    assert score().weight("nothing") == 0.0
    assert score(bits={"partners": 3.0}, local=2.5).together(0.0) and not score(bits={"partners": 3.0}, local=2.4).together(0.0)
    assert score(1.0, bits={"partners": 3.0}, local=2.5).possible(1.0)
    assert crowd(owners=12).possible(99.0) and not crowd(owners=11).possible(99.0)
    met = {"mail": 3.0, "network": 3.0}
    assert score(bits=met).came_together()
    assert score(bits={"registration": 3.0, "network": 3.0}).came_together()
    assert not score(bits={"mail": 2.9, "network": 3.0}).came_together()
    assert not score(bits={"mail": 3.0, "network": 2.9}).came_together()
    assert score(bits={"mail": 3.0}, of=group(chosen=frozenset({"network"}))).came_together()
    assert not score(bits=met, pure=False).came_together()
    assert score(bits=met, of=group(family=None, key=(1, 2, 3))).came_together()
    assert not score(bits=met, of=group(family=None, key=(1, 2))).came_together()  # a pool alone holds its accounts' camouflage too
    causes = next(f for f in judge(crowd(), DEALT, THRESHOLD).findings if f.id == "causes")
    assert (causes.bits, causes.cap) == (12.0, 12.0)
    assert not [f for f in judge(score(THRESHOLD), DEALT, THRESHOLD).findings if f.id == "causes"]
    assert passes(crowd(), replace(ASKED, texts=60))
    assert passes(score(THRESHOLD, of=group(texts=60, with_text=0), bits={"quota": 3.0}), Harvest(0, None, None))
