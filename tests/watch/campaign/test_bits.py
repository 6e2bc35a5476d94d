"""The arithmetic of evidence: exact on small cases, calibrated on unrelated customers."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watch.campaign.assemble import q_values, threshold_bits
from stillwatch.watch.campaign.classes.payment import multiple
from stillwatch.watch.campaign.classes.slices import slices_bits
from stillwatch.watch.campaign.population import Trait
from stillwatch.watch.campaign.single import e_bits
from stillwatch.watch.campaign.urn import CONCENTRATIONS, even_bits, predicted_bits, urn_bits, urn_of_codes


def urn_by_hand_of_one(draws: list[int], rates: dict[int, float], a: float) -> float:
    """Draw by draw, as the docstring says, for one concentration."""
    ratio, seen = 1.0, dict.fromkeys(rates, 0)
    for i, x in enumerate(draws):
        ratio *= (a * rates[x] + seen[x]) / (a + i) / rates[x]
        seen[x] += 1
    return ratio


def urn_by_hand(draws: list[int], rates: dict[int, float]) -> float:
    """Averaged over the concentrations."""
    return math.log2(sum(urn_by_hand_of_one(draws, rates, a) for a in CONCENTRATIONS) / len(CONCENTRATIONS))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.lists(st.floats(0.01, 1.0), min_size=5, max_size=5))
def test_urn_agrees_with_its_twin_in_any_order(draws: list[int], rates: list[float]) -> None:
    values, counts = np.unique(draws, return_counts=True)
    bits = urn_bits(counts, np.array(rates)[values])
    table = dict(enumerate(rates))
    assert bits == pytest.approx(urn_by_hand(draws, table), abs=1e-6)
    assert bits == pytest.approx(urn_by_hand(draws[::-1], table), abs=1e-6)


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=30),
    st.lists(st.integers(0, 9), max_size=10),
    st.lists(st.integers(0, 50), min_size=10, max_size=10),
)
def test_the_kernel_agrees_with_numpy(speaking: list[int], silent: list[int], others: list[int]) -> None:
    everybody = np.array(speaking + silent)
    counts = np.array(others) + np.bincount(everybody, minlength=10)
    bits, distinct, shared = urn_of_codes(np.array(speaking), everybody, counts, int(counts.sum()))
    values, often = np.unique(speaking, return_counts=True)
    rates = np.minimum(1.0, np.maximum(np.array(others)[values], 1) / max(sum(others), 1))
    assert bits == pytest.approx(urn_bits(often, rates), abs=1e-6)
    assert (distinct, shared) == (len(values), int((often > 1).sum()))


def predicted_by_hand(codes: list[int], reference: list[bool], counts: list[int], least: float, others: int) -> list[float]:
    """Account by account, as the docstring says."""
    seen = [c for c, r in zip(codes, reference, strict=True) if r and c >= 0]
    outside = {c: counts[c] - seen.count(c) for c in set(codes) if c >= 0}
    total = sum(max(0, n) for n in outside.values()) + sum(n for c, n in enumerate(counts) if c not in outside)
    if total < others or len(seen) < 2:
        return [0.0] * len(codes)
    rates = {c: max(n, 1) / total for c, n in outside.items()}

    def likelihood(a: float) -> float:
        return math.log2(urn_by_hand_of_one(seen, rates, a))

    a = max(CONCENTRATIONS, key=lambda a: (likelihood(a), -a))
    out = []
    for c, r in zip(codes, reference, strict=True):
        if c < 0:
            out.append(0.0)
            continue
        expected = (seen.count(c) - r + a * rates[c]) / (len(seen) - r + a)
        out.append(min(6.0, max(least, math.log2(expected / rates[c]))))
    return out


@given(
    st.lists(st.tuples(st.integers(-1, 6), st.booleans()), min_size=1, max_size=25),
    st.lists(st.integers(0, 50), min_size=7, max_size=7),
    st.sampled_from([0, 20]),
)
def test_what_the_others_predict_agrees_with_its_twin(accounts: list[tuple[int, bool]], elsewhere: list[int], others: int) -> None:
    codes, reference = [c for c, _ in accounts], [r for _, r in accounts]
    counts = [n + codes.count(c) for c, n in enumerate(elsewhere)]
    if sum(counts) == sum(r and c >= 0 for c, r in accounts):
        return  # nobody else: refused by ``others`` wherever it is asked
    bits = predicted_bits(np.array(codes), np.array(reference), np.array(counts), sum(counts), -3.0, others)
    assert bits.tolist() == pytest.approx(predicted_by_hand(codes, reference, counts, -3.0, others), abs=1e-6)


def test_urn_is_an_e_value_exactly() -> None:
    rates = np.array([0.6, 0.3, 0.1])
    expectation = 0.0
    for draws in product(range(3), repeat=6):
        values, counts = np.unique(draws, return_counts=True)
        expectation += float(np.prod(rates[list(draws)])) * 2 ** urn_bits(counts, rates[values])
    assert expectation == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("n", [5, 40])
def test_unrelated_customers_rarely_earn_bits(seed: int, n: int) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    rates = rng.dirichlet(np.full(300, 0.5))
    bits = []
    for _ in range(3000):
        values, counts = np.unique(rng.choice(300, n, p=rates), return_counts=True)
        bits.append(urn_bits(counts, np.maximum(rates[values], 1e-12)))
    for b in (3, 6):
        assert np.mean(np.array(bits) >= b) <= 2.0**-b


def test_shared_cards_weigh_more_the_rarer_they_are() -> None:
    counts = np.array([4, 4, 4])
    weights = [urn_bits(counts, np.full(3, rate)) for rate in (0.3, 0.03, 0.003, 0.0003)]
    assert all(a < b for a, b in pairwise(weights))
    assert urn_bits(np.array([1]), np.array([0.5])) == 0.0


def test_slices() -> None:
    assert slices_bits(0, 1000) == 0.0  # a gate: what everybody's own prompts show too earns nothing
    assert slices_bits(500, 1000) < -100
    assert slices_bits(1, 1) == pytest.approx(math.log2(0.02 / 0.30))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_even_work_speaks_for_a_load_balancer_and_peoples_use_against(seed: int) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    assert even_bits(np.full(30, 20)) > 20
    assert even_bits(1 + rng.poisson(20, 30)) > 20
    assert even_bits(1 + rng.geometric(0.05, 30)) < 0
    assert even_bits(np.ones(30, np.int64)) == 0.0


def test_e_values_of_p_values() -> None:
    ps = np.linspace(1e-4, 0.9999, 20_000)
    assert np.mean([2 ** e_bits(p) for p in ps]) < 1.05
    assert e_bits(1.0) == -1.0
    assert e_bits(1e-6) > e_bits(1e-3) > e_bits(0.5)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40))
def test_q_values_agree_with_the_definition(bits: list[float]) -> None:
    p = [min(1.0, 2.0**-b) for b in bits]
    got = q_values(np.array(bits))
    for b, q in zip(p, got, strict=True):
        expected = min(min(1.0, x * len(p) / sum(y <= x for y in p)) for x in p if x >= b)
        assert q == pytest.approx(expected)


def test_threshold_is_the_false_alarm_budget() -> None:
    assert threshold_bits(1000, 0.01) == pytest.approx(math.log2(100_000))
    assert threshold_bits(0, 1.0) == 0.0


@given(st.lists(st.integers(-1, 6), max_size=30), st.lists(st.integers(-1, 6), max_size=30))
def test_cards_of_several_accounts_are_counted_without_a_groups(mine: list[int], others: list[int]) -> None:
    codes = np.array(mine + others, np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=7)
    left = [others.count(c) for c in range(7)]
    t = Trait(codes, counts, tuple("abcdefg"), int(counts.sum()))
    assert multiple(t, np.array(mine, np.int64)) == (sum(n > 1 for n in left), sum(n > 0 for n in left))
