"""Accounts that nothing but their addresses bring together, and groups that hold two rings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watch.campaign import (
    Harvest,
    Judged,
    Score,
    apart,
    card_groups,
    describe,
    groups,
    hidden,
    joined,
    judge,
    leads,
    of_cards,
    owners,
    pool_groups,
    rings,
    score,
    worth_a_look,
)
from stillwatch.watch.campaign.classes.network import is_office
from stillwatch.watch.campaign.groups import CROWD, components, part
from stillwatch.watch.campaign.population import Population
from stillwatch.watch.detect import test as stage

DAY = 86400.0
NOW = 1.78e9


def population(people: list[dict[str, object]], places: list[list[str]]) -> Population:
    """People are sign-up records; places their addresses."""
    activity = pa.Table.from_pylist(
        [{"account": p["account"], "calls": 20, "first": NOW, "last": NOW + DAY, "org_ref": None, "end_users": 0} for p in people],
        schema=pa.schema([("account", pa.string()), ("calls", pa.int64()), ("first", pa.float64()), ("last", pa.float64()), ("org_ref", pa.string()),
                          ("end_users", pa.int64())]),
    )  # fmt: skip
    uses = pa.Table.from_pylist(
        [{"account": p["account"], "address_ref": a, "calls": 1, "first": NOW, "last": NOW + DAY} for p, some in zip(people, places, strict=True) for a in some],
        schema=pa.schema([("account", pa.string()), ("address_ref", pa.string()), ("calls", pa.int64()), ("first", pa.float64()), ("last", pa.float64())]),
    )  # fmt: skip
    coded, joined = owners(activity, pa.Table.from_pylist(people), uses)
    harness = pa.table({"who": np.arange(len(people)), "client": np.ones(len(people), np.int64), "calls": np.full(len(people), 20)})
    return describe(joined, coded.column("owner").to_numpy(), uses, harness)


def person(k: int, **more: object) -> dict[str, object]:
    shape = ("a", "a1", "a.a", "x")[k % 4]
    return {"account": f"{k:05d}", "created_at": NOW - (20 + 7 * k) * DAY, "payment_ref": f"card{k}", "mail_domain_ref": f"web{k % 3}", "mail_shape": shape,
            "verified": k % 2 == 0} | more  # fmt: skip


def rows(who: list[int], client: int = 1) -> pa.Table:
    n = len(who)
    return pa.table({
        "client": np.full(n, client), "system": np.zeros(n, np.int64), "tools": np.zeros(n, np.int64), "agent": np.ones(n, np.int64), "who": np.array(who),
        "owner": np.array(who), "calls": np.full(n, 10), "repeated": np.zeros(n, np.int64), "texts": np.full(n, 10), "with_text": np.full(n, 10), "first": np.full(n, NOW),
        "last": np.full(n, NOW + DAY),
    })  # fmt: skip


KEYS = ["client", "system", "tools"]
DEALT = Harvest(texts=200, sigma=0.0, likeness=0.1)


def judged(s: Score, threshold: float = 20.0) -> Judged:
    return judge(s, DEALT, threshold)


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), min_size=2, max_size=15))
def test_components_are_those_of_a_walk(places: list[list[int]]) -> None:
    pop = population([person(k) for k in range(len(places))], [[f"p{a}" for a in set(some)] for some in places])
    labels = components(pop, np.arange(len(places)), cards=False)
    for start in range(len(places)):
        reached, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for other in range(len(places)):
                if other not in reached and set(places[here]) & set(places[other]):
                    reached.add(other)
                    todo.append(other)
        assert {k for k in range(len(places)) if labels[k] == labels[start]} == reached


def test_bare_questions_from_one_pool_are_a_ring_without_counting_the_pool() -> None:
    honest = [person(k) for k in range(200)]
    ring = [
        person(200 + k, created_at=NOW - 0.1 * k * DAY, payment_ref=f"ring{k // 3}", mail_shape="x99", verified=False) for k in range(12)
    ]
    pool = [[f"pool{k % 5}", f"pool{(k + 1) % 5}"] for k in range(12)]
    pop = population(honest + ring, [[f"home{k}"] for k in range(200)] + pool)
    same_client = rows(list(range(212)))
    (everybody,) = groups(same_client, KEYS, pop, by_client=False)
    pooled, any_client = pool_groups(same_client, KEYS, pop)
    assert any_client.who.tolist() == pooled.who.tolist()
    result = score(pop, pooled)
    assert judged(result).passes
    assert not result.of("network").assessed
    (found,) = rings(pop, [judged(s) for s in (score(pop, everybody), result) if judged(s).passes])
    assert found.accounts == set(range(200, 212))


def test_a_household_or_a_carrier_is_no_pool() -> None:
    people = [person(k) for k in range(CROWD + 40)]
    pop = population(people, [["carrier", f"home{k // 2}"] for k in range(len(people))])
    assert not list(pool_groups(rows(list(range(len(people)))), KEYS, pop))


def test_two_rings_with_one_tool_are_two() -> None:
    honest = [person(k) for k in range(200)]
    both = [
        person(200 + k, created_at=NOW - 0.1 * k * DAY, payment_ref=f"ring{k // 4}", mail_shape=("x99", "y7")[k // 20], verified=False) for k in range(40)
    ]  # fmt: skip
    places = [[f"pool{k // 20}-{k % 4}", f"pool{k // 20}-{(k + 1) % 4}"] for k in range(40)]
    pop = population(honest + both, [[f"home{k}"] for k in range(200)] + places)
    (group,) = groups(rows(list(range(200, 240)), client=7), KEYS, pop, by_client=False)
    whole = score(pop, group)
    assert judged(whole).passes
    (some,) = groups(rows([*range(200, 213), *range(220, 233)], client=7), KEYS, pop, by_client=False)
    mixed = judged(score(pop, some))  # what some accounts of both sent: more than the accounts of either
    assert mixed.passes
    own = [judged(piece) for piece in apart(pop, whole, 20.0)]
    for passing in (own, [mixed, *own], [*own, mixed]):
        found = rings(pop, passing)
        assert sorted(min(r.accounts) for r in found) == [200, 220]
        assert sum(len(r.accounts) for r in found) == 40


def test_a_ring_s_ordinary_questions_bring_nobody_in_whom_its_addresses_and_cards_do_not_tie_to_it() -> None:
    alike: dict[str, object] = {
        "created_at": NOW - DAY,
        "mail_shape": "x99",
        "verified": False,
    }  # they look like it in all that an occasion brings along
    honest = [person(k, **(alike if k in (1, 2, 3) else {})) for k in range(200)]
    ring = [
        person(200 + k, created_at=NOW - 0.1 * k * DAY, payment_ref=f"ring{k // 4}", mail_shape="x99", verified=False) for k in range(40)
    ]
    pool = [[f"pool{(7 * k + i * i) % 20}" for i in range(4)] for k in range(40)]
    pop = population(honest + ring, [[f"home{k}"] for k in range(200)] + pool)
    (own,) = groups(rows(list(range(200, 240)), client=7), KEYS, pop, by_client=False)
    (ordinary,) = groups(rows([1, 2, 3, *range(205, 240)], client=8), KEYS, pop, by_client=False)
    with_strangers = judged(score(pop, ordinary))
    assert with_strangers.passes and with_strangers.score.member[:3].any()
    (found,) = rings(pop, [judged(score(pop, own)), with_strangers])
    assert found.accounts == set(range(200, 240))


def test_a_few_of_a_ring_among_many_honest_people_accuse_nobody() -> None:
    """Camouflage in a wording that many use: the group shows a ring's addresses, yet hardly any account of it is the ring's."""
    people = [person(k) for k in range(300)]
    places = [[f"pool{k % 3}", f"pool{(k + 1) % 3}"] if k < 6 else [f"home{k}"] for k in range(300)]
    pop = population(people, places)
    (group,) = groups(rows(list(range(80))), KEYS, pop, by_client=False)
    assert not judged(score(pop, group), 5.0).passes


def test_mail_names_at_own_domains_say_nothing() -> None:
    people = [person(k) for k in range(100)] + [person(100 + k, mail_domain_ref=f"firm{k}", mail_shape="api") for k in range(10)]
    pop = population(people, [[f"home{k}"] for k in range(110)])
    assert (pop.mail_shape.codes[100:] == -1).all()
    assert (pop.mail_shape.codes[:100] >= 0).all()


def test_accounts_of_several_cards_are_one_lead_together() -> None:
    people = [person(k) for k in range(200)] + [person(200 + k, payment_ref=f"bought{k // 4}") for k in range(16)]
    pop = population(people, [[f"home{k}"] for k in range(216)])
    cards = list(card_groups(rows(list(range(216))), pop))
    assert [g.who.tolist() for g in cards] == [list(range(at, at + 4)) for at in range(200, 216, 4)]
    like = [judge(score(pop, g), DEALT, 20.0) for g in cards] + [
        judge(score(pop, cards[0]), Harvest(texts=200, sigma=12.0, likeness=0.5), 20.0)
    ]
    assert [j.score.group for j in of_cards(like)] == cards  # people with interests of their own are not taken in
    together = score(pop, joined(cards))
    assert together.group.who.tolist() == list(range(200, 216))
    assert together.group.calls.sum() == sum(int(g.calls.sum()) for g in cards)
    assert not together.of("payment").assessed
    assert "16 accounts pay with 4 cards" in together.of("payment").text
    assert not judge(together, DEALT, 5.0).passes


def test_an_office_that_nobody_verified_is_a_place_and_a_pool_or_a_mail_provider_is_none() -> None:
    def place(mails: list[str], addresses: list[list[str]]) -> bool:
        people = [person(k) for k in range(100)] + [person(100 + k, mail_domain_ref=m) for k, m in enumerate(mails)]
        pop = population(people, [[f"home{k}"] for k in range(100)] + addresses)
        return is_office(pop, np.arange(100, 100 + len(mails)))

    office = [[f"room{k % 3}"] for k in range(12)]
    assert place(["firm" if k < 8 else "web1" for k in range(12)], office)
    assert not place(["firm" if k < 4 else "web1" for k in range(12)], office)  # most of them are anybody
    assert not place(["web1"] * 12, office)  # many others have that domain
    assert not place(["firm"] * 12, [[f"home-{k}"] for k in range(12)])
    assert not place(["firm"] * 12, [[f"pool{j}" for j in range(12)] for _ in range(12)])  # drawn anew for every call


def test_fields_of_their_own_acquit_no_ring_that_asks_for_training_material() -> None:
    """A sorted list costs nothing; customers of one reseller ask what they need, and ordinary questions in a tutor's app are what others ask."""
    people = [person(k) for k in range(200)] + [person(200 + k, payment_ref=f"bought{k // 4}") for k in range(24)]
    pop = population(people, [[f"home{k}"] for k in range(224)])
    (group,) = groups(rows(list(range(200, 224)), client=7), KEYS, pop, by_client=False)
    s = score(pop, group)
    asked = {"mark": "D11", "shown": 0.9, "usual": 0.02}
    assert judge(s, Harvest(texts=200, sigma=12.0, likeness=0.1, **asked), 15.0).passes  # type: ignore[arg-type]
    assert not judge(s, Harvest(texts=200, sigma=12.0, likeness=0.5, **asked), 15.0).passes  # type: ignore[arg-type]
    assert not judge(s, Harvest(texts=200, sigma=12.0, likeness=0.1), 15.0).passes


def test_what_a_larger_group_shows_of_the_same_people_holds_for_a_part_that_leaves_it_open() -> None:
    people = [person(k) for k in range(200)] + [person(200 + k, payment_ref=f"firm{k // 4}") for k in range(32)]
    pop = population(people, [[f"home{k}"] for k in range(232)])
    (whole,) = groups(rows(list(range(200, 232)), client=7), KEYS, pop, by_client=False)
    some = part(whole, whole.who < 220)

    def passing(of_some: float, texts: int = 90) -> list[int]:
        tested = stage.Tested.__new__(stage.Tested)
        tested.threshold, tested.passing = 12.0, []
        asked = Asked(
            {32: Harvest(texts=900, sigma=9.0, likeness=0.1, pairs=9000), 20: Harvest(texts=texts, sigma=of_some, likeness=0.1, pairs=300)}
        )
        failed = stage._passing(tested, [score(pop, some), score(pop, whole)], asked)  # type: ignore[arg-type]
        assert len(failed) + len(tested.passing) == 2
        return [len(j.score.group.who) for j in tested.passing]

    assert passing(2.5) == []
    assert passing(0.0) == [20]  # dealt beyond doubt: a ring among the users of one tool
    assert passing(2.5, 450) == [20]  # half of all they ask: the rest may be camouflage


def test_firms_with_one_work_are_a_lead_that_says_who_they_say_they_are() -> None:
    firms = [
        person(200 + k, payment_ref=f"firm{k // 4}", mail_domain_ref=f"firm{k // 4}.example", org_ref=f"firm{k // 4}", verified=True) for k in range(32)
    ]  # fmt: skip
    pop = population([person(k) for k in range(200)] + firms, [[f"home{k}"] for k in range(232)])
    assert pop.declared[200:].all()
    (group,) = groups(rows(list(range(200, 232)), client=7), KEYS, pop, by_client=False)
    s = score(pop, group)
    assert worth_a_look(pop, s)
    (lead,) = leads(pop, [judge(s, replace(DEALT, mark="D11", shown=0.9, usual=0.02), 15.0)], ())
    assert hidden(pop, lead.score).tolist() == list(range(200, 232))
    assert not lead.passes
    assert "say openly" in lead.why_not
    (one,) = groups(rows(list(range(200, 204)), client=7), KEYS, pop, by_client=False, owners=1)
    assert not worth_a_look(pop, score(pop, one))  # one firm is one owner


class Asked:
    """Answers by the size of the group."""

    def __init__(self, answers: dict[int, Harvest]) -> None:
        self.answers = answers

    def harvests(self, scores: list[Score], sample: int) -> list[Harvest]:
        return [self.answers[len(s.group.who)] for s in scores]
