"""The exam that every evidence class takes: what it guarantees, over which null."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watch.campaign.classes import LOCAL, EvidenceClass
from stillwatch.watch.campaign.classes.base import Group
from stillwatch.watch.campaign.classes.payment import LEAST_RATE, card_bits
from stillwatch.watch.campaign.groups import card_sharers
from stillwatch.watch.campaign.population import Population, Trait, trait
from stillwatch.watch.campaign.scoring import together

N, K = 600, 30


def lab(rng: np.random.Generator, *, cards: float = 0.0, occasion: bool = False) -> Population:
    """Honest customers; a share ``cards`` of cards serves a family.  With an ``occasion`` the first ``K`` came in one week, by one office and one mail service."""
    card = np.arange(N)
    for i in range(0, N, 3):
        if rng.random() < cards:
            card[i : i + 3] = i
    day, mail, place = rng.integers(0, 300, N), rng.integers(0, 40, N), np.arange(N)
    if occasion:
        day[:K], mail[:K], place[:K] = rng.integers(0, 3, K), 99, rng.integers(N, N + 4, K)
    codes = np.unique(place, return_inverse=True)[1].astype(np.int64)
    unknown = Trait(np.full(N, -1), np.zeros(0, np.int64), (), 0)
    return Population(
        accounts=tuple(f"a{i}" for i in range(N)), owner=np.arange(N), relation=("",) * N, declared=np.zeros(N, bool), calls=np.full(N, 20), first=np.zeros(N), last=np.ones(N),
        created=np.full(N, -1e6), verified=np.full(N, -1, np.int8), verified_known=(0, 0), end_users=np.zeros(N, np.int64), programme=unknown,
        payment=trait([str(c) for c in card]), mail_domain=trait([str(m) for m in mail]), mail_shape=trait([str(s) for s in rng.integers(0, 9, N)]),
        signup_day=trait([str(d) for d in day]), age=trait([str(d // 30) for d in day]), client=unknown, client_codes={},
        address_offsets=np.arange(N + 1), address_codes=codes, address_counts=np.bincount(codes), address_uses=N, address_first=np.zeros(codes.max() + 1),
        address_last=np.ones(codes.max() + 1), address_labels=tuple(map(str, range(codes.max() + 1))), echo=np.full(N, -1),
    )  # fmt: skip


def crowd(rng: np.random.Generator, families: bool, first: bool) -> Group:
    """``K`` customers, drawn by families where those come along together, or the first ones."""
    if first:
        who = np.arange(K)
    elif families:
        who = np.sort((rng.choice(N // 3, K // 3, replace=False)[:, None] * 3 + np.arange(3)).ravel())
    else:
        who = np.sort(rng.choice(N, K, replace=False))
    calls = 1 + rng.geometric(0.1, K)
    return Group(1, None, (1,), who, calls, np.zeros(K, np.int64), calls, calls, np.zeros(K), np.ones(K), np.zeros(K, np.int64))


def mean_e(c: EvidenceClass, seed: int, *, cards: float, families: bool, occasion: bool, runs: int = 300) -> float:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    reps = np.arange(K)
    return float(
        np.mean(
            [2.0 ** c.finding(lab(rng, cards=cards, occasion=occasion), crowd(rng, families, occasion), reps).bits for _ in range(runs)]
        )
    )


@pytest.mark.parametrize("c", [c for c in LOCAL if c.convicts], ids=lambda c: c.id)
@pytest.mark.parametrize(
    ("cards", "families", "occasion"),
    [(0.0, False, False), (0.05, False, False), (0.05, True, False), (0.0, False, True), (0.02, False, True)],
)
def test_a_class_that_convicts_is_an_e_value_under_occasions_too(c: EvidenceClass, cards: float, families: bool, occasion: bool) -> None:
    assert mean_e(c, 5, cards=cards, families=families, occasion=occasion) <= 1.15  # 1, and the error of 300 runs


@pytest.mark.parametrize("families", [False, True], ids=["each for himself", "families ask together"])
@pytest.mark.parametrize(("cards", "asks"), [(0.1, 0.3), (0.3, 0.2)])
def test_cards_of_those_who_ask_the_same_are_an_e_value_with_the_others_counted_by_a_sample(
    cards: float, asks: float, families: bool
) -> None:
    rng, payment = np.random.default_rng(8), next(c for c in LOCAL if c.id == "payment")
    found = []
    for _ in range(150):
        pop = lab(rng, cards=cards)
        asking = np.repeat(rng.random(N // 3) < asks, 3) if families else rng.random(N) < asks
        sharing = card_sharers(pop)
        own = np.setdiff1d(np.arange(N), sharing)
        seen = rng.choice(own, min(len(own), 200), replace=False)
        who = sharing[asking[sharing]]
        if len(who) < 3:
            found.append(1.0)  # no group
            continue
        n = np.ones(len(who), np.int64)
        beside = ceil((asking[seen].sum() + 1) / (len(seen) + 1) * len(own))
        group = Group(None, None, (0,), who, n, 0 * n, n, n, 0.0 * n, 1.0 * n, 0 * n, beside=beside)
        found.append(2.0 ** payment.finding(pop, group, np.arange(len(who))).bits)
    assert np.mean(found) <= 1.2  # 1, and the error of 150 runs


@pytest.mark.parametrize("ident", ["mail", "registration", "network"])
def test_a_class_that_ranks_is_none_under_an_occasion(ident: str) -> None:
    (c,) = [c for c in LOCAL if c.id == ident]
    assert not c.convicts
    assert mean_e(c, 6, cards=0.0, families=False, occasion=True, runs=20) > 2**10


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.floats(0.02, 0.5))
def test_cards_agree_with_their_slow_twin(sizes: list[int], rate: float) -> None:
    several = [s for s in sizes if s > 1]
    by_rate = []
    for r in (0.1, 0.3, 0.6, 0.9, 0.99):
        ratio = 1.0
        for s in sizes:
            ratio *= max(r, rate) / rate if s > 1 else (1 - max(r, rate)) / (1 - rate)
        by_rate.append(ratio)
    larger = 1.0
    for s in several:
        larger *= (1 / 63) / (1 / (s - 1) - 1 / s)
    expected = np.log2(np.mean(by_rate)) + (np.log2((1 + larger) / 2) if several else 0.0)
    assert card_bits(np.array(sizes), rate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rate", [LEAST_RATE, 0.1, 0.3])
def test_cards_are_an_e_value_at_the_assumed_rate_exactly_and_below_it(rate: float) -> None:
    """Families' sizes do not matter here: each card serves two, so the part of the sizes is the same for every card that serves several."""
    from math import comb

    for true in (rate, rate / 2, 0.0):
        total = sum(
            comb(6, k) * true**k * (1 - true) ** (6 - k) * 2 ** card_bits(np.array([2] * k + [1] * (6 - k)), rate) for k in range(7)
        )
        assert total <= 1.0 + 1e-9


def test_several_classes_count_as_the_mean_of_every_choice() -> None:
    assert together([]) == 0.0
    assert together([7.0]) == 7.0
    assert together([3.0, -2.0]) == pytest.approx(np.log2((8 + 0.25 + 2) / 3))
    assert together([20.0, -6.0]) > 18.0  # cards of one's own take little from an echo


def test_cards_of_one_customer_are_no_evidence_and_shared_ones_are_the_more_the_more_there_are() -> None:
    assert card_bits(np.ones(30, np.int64), 0.02) < 0
    bits = [card_bits(np.array([4] * k), 0.02) for k in (1, 2, 4, 8)]
    assert all(a < b for a, b in pairwise(bits))
    assert bits[0] < 6 < bits[1] < 20 < bits[3]
