"""Is it a harvest: people have interests, a dealt list has none; and the three questions put together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from stillwatch.watch.campaign.harvest import Harvest, background, deck, examine, without_phrases, words_of

TOPICS = [
    "boat sail harbour keel mast wind",
    "bread oven flour yeast crust dough",
    "court law judge appeal clause verdict",
    "goal match league coach pitch referee",
]
FILLER = [f"w{i}" for i in range(200)]


def prompt(rng: np.random.Generator, topic: int | None, template: str = "") -> str:
    own = [] if topic is None else list(rng.choice(TOPICS[topic].split(), 3))
    return " ".join([template, *own, *rng.choice(FILLER, 6)])


def looked_at(prompts: list[str], who: list[int], others: list[str], seed: int = 1) -> Harvest:
    return examine(
        [words_of(p) for p in prompts],
        np.array(who),
        len(set(prompts)),
        background([words_of(p) for p in others]),
        np.random.default_rng(seed),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    print("seed 11")
    return np.random.default_rng(11)


def test_people_have_interests_and_a_dealt_list_has_none(rng: np.random.Generator) -> None:
    others = [prompt(rng, int(rng.integers(4))) for _ in range(300)]
    who = [w for w in range(20) for _ in range(10)]
    people = looked_at([prompt(rng, w % 4, "please help me with this") for w in who], who, others)
    dealt = looked_at([prompt(rng, int(rng.integers(4)), "please help me with this") for _ in who], who, others)
    assert people.sigma is not None and people.sigma > 6 and people.interests and not people.answered
    assert dealt.dealt and dealt.answered


def test_an_accounts_own_wording_is_no_interest(rng: np.random.Generator) -> None:
    """Wording of its own for each account costs nothing, so it must not make the accounts look like people."""
    others = [prompt(rng, int(rng.integers(4))) for _ in range(300)]
    who = [w for w in range(20) for _ in range(10)]
    found = looked_at([prompt(rng, int(rng.integers(4)), f"opening{w} wording{w} closing{w}") for w in who], who, others)
    assert found.dealt


def test_a_wrapper_of_its_own_in_half_of_an_accounts_prompts_is_no_interest(rng: np.random.Generator) -> None:
    others = [prompt(rng, int(rng.integers(4))) for _ in range(300)]
    who = [w for w in range(20) for _ in range(12)]
    sent = [prompt(rng, int(rng.integers(4)), f"o{w} p{w} q{w} r{w} s{w}" if i % 2 else "") for i, w in enumerate(who)]
    assert looked_at(sent, who, others).dealt


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 3), max_size=9)), min_size=1, max_size=12))
def test_phrases_agree_with_their_slow_twin(made: list[tuple[int, list[int]]]) -> None:
    who = np.unique([w for w, _ in made], return_inverse=True)[1]
    prompts = [np.array(p, np.int64) for _, p in made]
    got = without_phrases(prompts, who)
    for w, p, left in zip(who, prompts, got, strict=True):
        mine = [q.tolist() for q, v in zip(prompts, who, strict=True) if v == w]
        dropped = set()
        for i in range(len(p) - 3):
            phrase = p[i : i + 4].tolist()
            often = sum(any(q[j : j + 4] == phrase for j in range(len(q) - 3)) for q in mine)
            if often >= max(3, 0.2 * len(mine)):
                dropped |= set(range(i, i + 4))
        assert left.tolist() == [x for i, x in enumerate(p.tolist()) if i not in dropped]


def test_too_few_prompts_say_nothing(rng: np.random.Generator) -> None:
    found = looked_at([prompt(rng, 0) for _ in range(70)], list(range(70)), [prompt(rng, 1) for _ in range(100)])
    assert found.sigma is None
    assert not found.answered  # unknown is no harvest ...
    assert replace(found, mark="D18", shown=0.9, usual=0.01).answered  # ... unless the words themselves ask for training material
    assert looked_at([], [], []).sigma is None


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 8), st.integers(5, 9))
def test_the_deck_agrees_with_its_slow_twin(seed: int, accounts: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(accounts), each)
    dense = rng.random((len(who), 12)) * (rng.random((len(who), 12)) < 0.4)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)
    got = deck(csr_array(dense), who, np.random.default_rng(3))
    if (each * (each - 1) // 2) * accounts < 30:
        assert got is None
        return
    again = np.random.default_rng(3)

    def likeness(of: np.ndarray) -> float:
        return sum(float(dense[i] @ dense[j]) for i in range(len(of)) for j in range(len(of)) if of[i] == of[j])

    dealt = [likeness(again.permutation(who)) for _ in range(30)]
    assert got == pytest.approx((likeness(who) - np.mean(dealt)) / np.std(dealt, ddof=1), rel=1e-6, abs=1e-6)


def test_words_are_the_same_in_any_script_and_process() -> None:
    assert words_of("Bread bread BREAD").tolist() == words_of("bread").tolist() * 3
    assert len(words_of("面包和水")) == 4
    assert len(words_of("")) == 0
