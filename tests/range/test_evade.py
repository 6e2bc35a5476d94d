"""The price of staying unseen, with defences simple enough to foretell it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.kit import NOBODY

from stillwatch.range import WorldSpec, build_world
from stillwatch.range.evade import EVERYTHING, MOVES, Remembered, Seen, Stage, fits, leaves, scaled, search, with_moves
from stillwatch.range.prices import BASIS, Prices, bill, usable
from stillwatch.range.ring import Ring
from stillwatch.range.spec import Honest

PLAIN = Ring(name="ring", accounts=30, calls=20, techniques={"D11": 1.0})
SPEC = WorldSpec(name="small", answers=True, honest=Honest(**NOBODY), campaigns=(PLAIN,))


def nobody(ring: Ring, seed: int) -> Seen:
    return Seen(0.0, None, 0)


def everybody(ring: Ring, seed: int) -> Seen:
    return Seen(1.0, 1.0, 0)


def cards_and_homes(ring: Ring, seed: int) -> Seen:
    """A defence that looks at cards and addresses alone."""
    return Seen(0.5 * (ring.accounts_per_card > 1) + 0.5 * (ring.pool_kind != "own" and ring.pool < 10 * ring.accounts), 0.0, 0)


def test_who_is_not_seen_pays_nothing_and_who_always_is_has_no_price() -> None:
    free = search(PLAIN, SPEC, nobody, seeds=(1,), runs=30)
    assert free.best is not None
    assert (free.best.moves, free.best.beyond, free.runs) == ((), 0.0, 1)
    lost = search(PLAIN, SPEC, everybody, seeds=(1, 2), runs=30)
    assert lost.best is None
    assert lost.runs == 30
    assert lost.leaves == ()


def test_the_search_finds_the_two_moves_that_matter_and_no_third() -> None:
    result = search(PLAIN, SPEC, cards_and_homes, seeds=(1,), runs=60)
    assert result.best is not None
    ring = with_moves(PLAIN, result.best.moves)
    assert ring.accounts_per_card == 1
    assert len(result.best.moves) == 2
    both = [("own cards", "own homes"), ("own cards", "a pool ten times as large")]
    assert result.best.per_1000 == round(min(sum(bill(with_moves(PLAIN, m), SPEC.prices, 14).values()) / 0.6 for m in both), 2)
    assert result.best.beyond == pytest.approx(result.best.per_1000 - sum(bill(PLAIN, SPEC.prices, 14).values()) / 0.6, abs=0.01)


def test_bundles_are_of_one_kind_each_and_every_move_makes_a_ring() -> None:
    assert fits(EVERYTHING)
    assert not fits(("own cards", "two accounts a card"))
    assert not fits(("a college", "people's mail names"))
    for move in MOVES:
        assert with_moves(PLAIN, (move,)) != PLAIN


def test_bills_add_up_by_hand() -> None:
    p = Prices()
    ring = with_moves(PLAIN, ("own cards", "own homes", "bought verification", "old accounts"))
    items = bill(ring, p, 14)
    assert items["accounts"] == 30 * 8.5
    assert items["age"] == 30 * 2
    assert items["cards"] == 30 * 2
    assert items["addresses"] == 30 * 1.5 * 3
    assert items["ordinary calls"] == items["harvest"] == 600 * 5 / 1000
    assert bill(PLAIN, p, 14)["cards"] == 8 * 2
    assert usable(with_moves(PLAIN, ("a fifth of the items twice",))) == 500
    assert set(BASIS) == set(Prices.__struct_fields__)
    assert scaled(PLAIN, 300).pool == 600


def test_what_is_left_behind_is_said() -> None:
    assert any(x.startswith("cards: 4") for x in leaves(PLAIN))
    careful = leaves(with_moves(PLAIN, EVERYTHING[:-1]))
    assert not any(x.startswith(("cards", "addresses", "one ")) for x in careful)
    assert careful[-1].startswith("the list itself")


def test_answers_are_remembered_for_the_same_world_alone(tmp_path: Path) -> None:
    asked: list[int] = []

    def oracle(ring: Ring, seed: int) -> Seen:
        asked.append(seed)
        return Seen(0.5, None, 0)

    for mark, calls in (("a", 1), ("a", 1), ("b", 2)):
        assert Remembered(tmp_path / "answers.jsonl", mark, oracle)(PLAIN, 1) == Seen(0.5, None, 0)
        assert len(asked) == calls


def test_an_answer_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    Remembered(tmp_path / "answers.jsonl", "a", nobody)(PLAIN, 1)
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert Remembered(path, "a", everybody)(PLAIN, 1) == Seen(1.0, 1.0, 0)
    assert Remembered(path, "a", nobody)(PLAIN, 1) == Seen(1.0, 1.0, 0)


def test_the_stage_builds_the_world_that_build_would(tmp_path: Path) -> None:
    """But for the ring's and the honest people's order at equal times, of which there are none here."""
    build_world(SPEC, seed=3, out=tmp_path / "a", processes=1)
    Stage(SPEC).build(PLAIN, 3, tmp_path / "b")
    for file in ("accounts.csv", "truth_accounts.csv", "calls.jsonl.gz", "truth_calls.csv.gz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert len({r["account"] for r in csv.DictReader((tmp_path / "b" / "truth_accounts.csv").open()) if r["campaign"]}) == 30


def test_the_documented_prices_are_the_real_ones() -> None:
    text = (Path(__file__).parents[2] / "docs" / "range.md").read_text()
    for item in Prices.__struct_fields__:
        assert f"| `{item}` | {getattr(Prices(), item):g} | {BASIS[item]} |" in text
