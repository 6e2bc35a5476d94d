"""Names last: by example what must hold, by property that it holds whatever comes."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.watch.case.names import FIFTH, HALF, Known, Named, Sighting, assign, fresh_id


def ring(*accounts: str | int, family: str = "f", first: float = 0.0, kind: str = "ring") -> Sighting:
    names = [str(a) for a in accounts]
    return Sighting(kind, frozenset(names), frozenset([family]), min(names), first, first + 1)


class Book:
    """Runs one after the other over one book, as a case file keeps it."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.runs = 0

    def run(self, *found: Sighting) -> list[Named]:
        self.runs += 1
        names = assign(found, list(self.known.values()))
        for s, n in zip(found, names, strict=True):
            k = self.known.get(n.id, Known(n.id, frozenset(), frozenset(), self.runs))
            self.known[n.id] = Known(n.id, k.accounts | s.accounts, k.families | s.families, k.born, k.parents | set(n.parents))
        return names

    def ids(self, *found: Sighting) -> list[str]:
        return [n.id for n in self.run(*found)]


def test_a_ring_that_replaces_a_third_of_its_accounts_each_day_keeps_its_name() -> None:
    rng = random.Random(3)
    book, accounts, made = Book(), [f"a{i}" for i in range(30)], 30
    names = set()
    for today in range(60):
        (name,) = book.run(Sighting("ring", frozenset(accounts), frozenset([f"f{today // 7}"]), min(accounts), today, today + 1))
        names.add(name.id)
        assert name.parents == ()
        gone = rng.sample(accounts, 9)
        accounts = [a for a in accounts if a not in gone] + [f"a{made + i}" for i in range(9)]
        made += 9
    assert len(names) == 1


def test_one_shared_account_or_one_shared_tool_makes_no_ring_of_two() -> None:
    book = Book()
    a, b = book.ids(ring(1, 2, 3, 4), ring(5, 6, 7, 8))
    c, d = book.ids(ring(4, 5, 11, 12), ring(21, 22, 23))  # an honest account of each; the same tool
    assert len({a, b, c, d}) == 4
    assert book.known[c].parents == frozenset() == book.known[d].parents
    assert book.ids(ring(8, 9, 10)) != [b]


def test_between_a_fifth_and_a_half_the_family_decides() -> None:
    book = Book()
    (name,) = book.ids(ring(*range(8)))
    assert book.ids(ring(6, 7, *range(20, 26), family="other")) != [name]
    assert book.ids(ring(0, 1, *range(30, 36))) == [name]
    assert book.ids(ring(1, 2, 3, *range(40, 54))) == [name]  # three of the fourteen that it had by now
    assert book.ids(ring(4, *range(60, 67))) != [name]


def test_the_larger_part_of_a_split_keeps_the_name_and_the_other_says_where_it_came_from() -> None:
    book = Book()
    (whole,) = book.ids(ring(*range(10)))
    small, large = book.run(ring(0, 1, 2), ring(*range(3, 10)))
    assert large == Named(whole, False)
    assert small.new
    assert small.parents == (whole,)
    assert small.id != whole


def test_a_join_keeps_the_larger_ones_name_and_names_the_other_and_both_come_back() -> None:
    book = Book()
    small, large = book.ids(ring(1, 2, 3), ring(*range(10, 20)))
    (both,) = book.run(ring(1, 2, 3, *range(10, 20)))
    assert both == Named(large, False, (small,), (small,))
    assert book.ids(ring(1, 2, 3), ring(*range(10, 20))) == [small, large]  # looked at apart again
    (again,) = book.run(ring(1, 2, 3, *range(10, 20)))
    assert again == both


def test_an_account_alone_that_becomes_a_ring_is_its_parent_and_a_rings_last_account_is_not_the_ring() -> None:
    book = Book()
    (alone,) = book.ids(ring("a", kind="single"))
    assert book.ids(ring("a", kind="single", family="other")) == [alone]
    grown = book.run(ring("a", "b", "c"))[0]
    assert grown.parents == grown.joined == (alone,)
    book = Book()
    (all_,) = book.ids(ring("a", "b", "c"))
    last = book.run(ring("a", kind="single"))[0]
    assert (last.new, last.parents) == (True, (all_,))


def test_a_name_is_not_given_again_to_who_comes_with_the_same_first_call() -> None:
    book = Book()
    (first,) = book.ids(ring("a", "b", "c"))
    (other,) = book.ids(ring("a", "x", "y"))
    assert first != other
    assert first == fresh_id("ring", "a", 0.0)


def test_who_takes_in_the_one_it_came_out_of_is_no_child_of_a_child() -> None:
    one = Known("one", frozenset("abcd"), frozenset(), 1)
    two = Known("two", frozenset("abcdefgh"), frozenset(), 2, frozenset(["one"]))
    three = Known("three", frozenset("xyz"), frozenset(), 3)
    (name,) = assign([ring(*"abcdefghxyz")], [one, two, three])
    assert name == Named("two", False, ("one", "three"), ("one", "three"))
    child, parent = Known("one", one.accounts, one.families, 2, frozenset(["two"])), Known("two", two.accounts, two.families, 1)
    (name,) = assign([ring(*"abcdefghxyz")], [child, parent, three])
    assert name == Named("two", False, ("three",), ("one", "three"))


def _circle(known: dict[str, Known]) -> bool:
    done: set[str] = set()
    while ready := {i for i, k in known.items() if i not in done and k.parents <= done}:
        done |= ready
    return len(done) < len(known)


accounts = st.frozensets(st.sampled_from("abcdefghijkl"), min_size=1, max_size=8)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    some = draw(accounts)
    first = float(draw(st.integers(0, 2)))
    kind = "single" if len(some) == 1 else "ring"
    return Sighting(kind, some, draw(st.frozensets(st.sampled_from("xyz"), max_size=2)), min(some), first, first)


runs = st.lists(st.lists(sightings(), max_size=5), min_size=1, max_size=6)


@settings(max_examples=300)
@given(runs=runs, seed=st.integers())
def test_whatever_is_found_names_are_one_to_one_lasting_and_free_of_order(runs: list[list[Sighting]], seed: int) -> None:
    book = Book()
    rng = random.Random(seed)
    for found in runs:
        before = dict(book.known)
        names = book.run(*found)
        assert len({n.id for n in names}) == len(found)
        for s, n in zip(found, names, strict=True):
            assert n.new == (n.id not in before)
            if not n.new:  # never a ring that it shares nothing with
                shared = s.accounts & before[n.id].accounts
                assert len(shared) >= min(2, len(s.accounts | before[n.id].accounts))
            assert set(n.parents) | set(n.joined) <= set(before)
            assert n.id not in n.parents
        assert not _circle(book.known)
        order = list(range(len(found)))
        rng.shuffle(order)
        shuffled = list(before.values())
        rng.shuffle(shuffled)
        again = assign([found[i] for i in order], shuffled)
        if len(set(found)) == len(found):
            assert again == [names[i] for i in order]
        assert sorted(n.id for n in again) == sorted(n.id for n in names)


def slow_twin(found: Sequence[Sighting], known: Sequence[Known]) -> list[str | None]:
    """The name of each that goes on, by trying all pairs again after each choice; None for new ones."""
    out: list[str | None] = [None] * len(found)
    left, free = set(range(len(found))), {k.id: k for k in known}
    while True:
        best = None
        for at in left:
            for k in free.values():
                s = found[at]
                shared = len(s.accounts & k.accounts)
                one = len(s.accounts) == len(k.accounts) == 1 and shared == 1
                least = min(len(s.accounts), len(k.accounts))
                enough = shared >= 2 and (shared >= HALF * least or (shared >= FIFTH * least and s.families & k.families))
                if not (one or enough):
                    continue
                me = (fresh_id(s.kind, s.earliest, s.first), sorted(s.accounts), sorted(s.families))
                weight = (-shared, -shared / len(s.accounts | k.accounts), k.born, k.id, me)
                if best is None or weight < best[0]:
                    best = (weight, at, k.id)
        if best is None:
            return out
        _, at, name = best
        out[at] = name
        left.remove(at)
        del free[name]


@settings(max_examples=200)
@given(runs=runs, last=st.lists(sightings(), max_size=6, unique=True))
def test_a_slow_twin_agrees(runs: list[list[Sighting]], last: list[Sighting]) -> None:
    book = Book()
    for found in runs:
        book.run(*found)
    known = list(book.known.values())
    names = assign(last, known)
    assert [None if n.new else n.id for n in names] == slow_twin(last, known)
