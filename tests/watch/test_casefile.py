"""How a campaign's record is made from the calls of its parts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watch.campaign import Group, Harvest, Ring, Score, judge
from stillwatch.watch.casefile.material import SAMPLE, sampled, shares_of
from stillwatch.watch.casefile.ring import _common, _first, _wanted
from stillwatch.watch.link.steps import SENDERS, SENT_BY

SENT = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=40)


@given(SENT)
def test_texts_that_a_fair_share_of_owners_sent_agree_with_loops(sent: list[tuple[int, int]]) -> None:
    owner, text = (np.array(x) for x in zip(*sent, strict=True))
    owners = {o for o, _ in sent}
    want = []
    for _, t in sent:
        senders = {o for o, u in sent if u == t}
        want.append(int(t != 0 and len(senders) >= SENDERS and len(senders) >= SENT_BY * len(owners)))
    assert _common(owner, text).tolist() == want


@given(st.lists(st.integers(0, 4), max_size=30))
def test_each_text_is_counted_at_its_first_call_and_none_where_it_is_not_known(texts: list[int]) -> None:
    want = [int(t != 0 and t not in texts[:i]) for i, t in enumerate(texts)]
    assert _first(np.array(texts, np.int64)).tolist() == want


@given(st.permutations(range(60)))
def test_the_texts_looked_at_do_not_hang_on_the_order_of_rows(order: list[int]) -> None:
    rows = pa.table({"call": [1000 + i for i in order], "order": order})
    assert sampled(rows) == [1000 + i for i in range(SAMPLE)]


def group(who: list[int], **more: object) -> Group:
    n = len(who)
    shape = {"family": None, "client": None, "key": (), "who": np.array(who)} | more
    zeros = {c: np.zeros(n, np.int64) for c in ("calls", "repeated", "texts", "with_text", "clients")}
    return Group(**zeros, first=np.zeros(n), last=np.zeros(n), **shape)  # type: ignore[arg-type]


def ring(*groups: Group) -> Ring:
    harvest = Harvest(texts=100, sigma=0.0, likeness=0.1)
    scores = [Score(g, (), 30.0, 0.0, np.ones(len(g.who), bool), np.full(len(g.who), 9.0), len(g.who), True) for g in groups]
    made = Ring(judge(scores[0], harvest, 10.0))
    for s in scores:
        made.add(judge(s, harvest, 10.0), frozenset(s.group.who.tolist()[:-1]))
    return made


def test_each_part_names_its_own_streams_and_members_alone() -> None:
    parts = [
        group([1, 2, 3], family=7, key=(7,)),
        group([2, 3, 4], family=7, client=5, key=(7, 5)),
        group([4, 5, 6], key=(5, 8, 9)),
        group([5, 6, 7], key=(5, 8, 9, 0), pool=0),
        group([6, 7, 8], key=(0,), pool=0),
        group([7, 8, 9], key=(2,), picked=2),
    ]
    rows = _wanted(ring(*parts)).to_pylist()
    assert Counter(r["kind"] for r in rows) == {"family": 2, "split": 2, "harness": 4, "pool": 2, "picked": 2}
    assert [(r["family"], r["client"], r["who"]) for r in rows if r["kind"] == "split"] == [(7, 5, 2), (7, 5, 3)]
    assert {(r["client"], r["system"], r["tools"]) for r in rows if r["kind"] == "harness"} == {(5, 8, 9)}
    assert {r["picked"] for r in rows if r["kind"] == "picked"} == {2}
    assert all(r["picked"] == -1 for r in rows if r["kind"] != "picked")


def test_shares_count_prompts_and_not_marks() -> None:
    asked = [("user", "Think step by step and show your chain of thought.")]
    said = [("user", "Guten Tag")]
    shares = shares_of([asked, said, said, asked])
    assert shares
    assert set(shares.values()) == {0.5}
    assert shares_of([]) is None
    assert shares_of([[], []]) is None
