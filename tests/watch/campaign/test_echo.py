"""Accounts that send one another's answers on: what makes a group, what never does, and the exam of its bits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watch import link
from stillwatch.watch.campaign.classes.echo import CAP, PARTNERS, exchanges
from stillwatch.watch.detect.read import Progress, Settings, read
from stillwatch.watch.detect.settle import settle

PIPELINES = Path(__file__).parents[4] / "shared" / "worlds" / "pipeline-dev"
ACCOUNTS = 2000
Return = tuple[int, int]  # (account that was answered, account whose prompt holds the answer)


def echoes(returns: Sequence[Return], owner: Sequence[int] = range(ACCOUNTS), clients: Sequence[int] = ()) -> pa.Table:
    """Each answer comes back once, in the order given."""
    n = np.arange(len(returns))
    said, who = (np.array([r[k] for r in returns], np.int64) for k in (0, 1))
    own = np.array(owner, np.int64)
    return pa.table(
        {
            "answer": 2 * n, "said_who": said, "said_owner": own[said], "said_at": n * 1.0, "quote": 2 * n + 1, "who": who, "owner": own[who],
            "at": n + 0.5, "client": np.array(clients or [7] * len(n), np.int64), "system": n * 0, "shingles": n % 5 + 2,
        }
    )  # fmt: skip


def dealt(rng: np.random.Generator, accounts: Sequence[int], n: int) -> list[Return]:
    """A load balancer: whoever is next gets the answer, whoever had received it."""
    return [(int(a), int(b)) for a, b in rng.choice(np.array(accounts), (n, 2))]


def people(rng: np.random.Generator, n: int, each: float, home: float) -> list[Return]:
    """A crowd that knows itself: an answer that comes back comes home with chance ``home``, else to anybody else, the busy more often."""
    busy = rng.lognormal(0, 0.7, n)
    out = []
    for a in rng.choice(n, rng.poisson(n * each), p=busy / busy.sum()):
        others = np.where(np.arange(n) == a, 0, busy)
        out.append((int(a), int(a) if rng.random() < home else int(rng.choice(n, p=others / others.sum()))))
    return out


def test_a_pipeline_over_a_load_balancer_is_one_group() -> None:
    returns = dealt(np.random.default_rng(1), range(100, 130), 300)
    (found,) = exchanges(echoes(returns), ACCOUNTS)
    assert set(found.who) >= set(range(100, 130)) - {w for w in range(100, 130) if not any(w in r for r in returns)}
    assert found.bits == CAP
    assert (found.away, found.home) == (sum(a != b for a, b in returns), sum(a == b for a, b in returns))
    assert found.quotes.num_rows == found.away and len(found.calls) == 2 * found.away
    assert found.text.startswith("Echo: 30 accounts")
    for answer, quote in found.examples(3):
        assert quote == answer + 1 and returns[answer // 2][0] != returns[answer // 2][1]


@pytest.mark.parametrize(
    "returns",
    [
        [],
        [(k, 0) for k in range(1, 24)] * 3,  # a teacher grades pasted essays
        [(0, k) for k in range(1, 60)],  # a forum's favourite answer
        [(0, 1), (1, 0)] * 40,  # two colleagues
        [(a, b) for a in range(3) for b in range(3)] * 20,  # a family of three
        [(k, k) for k in range(50)] * 10,  # people go on with their own conversations
        [(a, 10 + b) for a in range(6) for b in range(6)],  # answers made with some keys, judged with others
    ],
    ids=["nothing", "teacher", "forum", "pair", "three", "own", "judges"],
)
def test_what_is_no_group(returns: list[Return]) -> None:
    assert exchanges(echoes(returns), ACCOUNTS) == []


def test_one_owners_keys_are_one() -> None:
    returns = dealt(np.random.default_rng(2), range(20), 300)
    assert exchanges(echoes(returns, [0 if k < 20 else k for k in range(ACCOUNTS)]), ACCOUNTS) == []
    # Three owners with several keys each exchange with two others only.
    assert exchanges(echoes(returns, [k % 3 if k < 20 else k for k in range(ACCOUNTS)]), ACCOUNTS) == []


def test_two_rings_that_a_handful_of_exchanges_joins_are_two() -> None:
    rng = np.random.default_rng(3)
    returns = [*dealt(rng, range(20), 150), *dealt(rng, range(40, 70), 250), (3, 45), (50, 8), (61, 12)]
    one, two = exchanges(echoes(returns), ACCOUNTS)
    assert set(one.who) == set(range(40, 70)) and set(two.who) == set(range(20))
    large = [(k, k + 1000) for k in range(3)] + dealt(rng, range(450), 4000) + dealt(rng, range(1000, 1450), 4000)
    assert [len(e.who) for e in exchanges(echoes(large), ACCOUNTS)] == [450, 450]


def test_who_exchanges_with_two_of_them_is_beside() -> None:
    returns = [*dealt(np.random.default_rng(4), range(20), 200), (30, 1), (30, 2), (31, 5), (6, 32), (7, 32)]
    (found,) = exchanges(echoes(returns), ACCOUNTS)
    assert found.beside.tolist() == [30, 32]


def test_people_who_mostly_quote_themselves_are_cleared_and_camouflage_is_no_alibi() -> None:
    rng = np.random.default_rng(5)
    ring = dealt(rng, range(20), 100)
    chat = [(k % 20, k % 20) for k in range(300)]
    (cleared,) = exchanges(echoes(ring + chat), ACCOUNTS)
    assert cleared.bits < -100
    (other,) = exchanges(echoes(ring + chat, clients=[7] * 100 + [8] * 300), ACCOUNTS)
    assert other.bits > 20


def test_chance_meetings_of_a_busy_log_weigh_nothing() -> None:
    rng = np.random.default_rng(6)
    pairs = [(int(a), int(b)) for a, b in rng.choice(60, (400, 2)) if a != b]
    assert all(e.bits < 0 for e in exchanges(echoes(pairs), 60))


@given(st.randoms(use_true_random=False))
def test_row_order_and_names_do_not_matter(random: object) -> None:
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    table = echoes(dealt(rng, range(12), 60) + dealt(rng, range(20, 32), 60) + [(1, 21)])
    told = [(e.who.tolist(), e.beside.tolist(), e.away, e.home, e.bits, e.examples(3)) for e in exchanges(table, ACCOUNTS)]
    again = exchanges(table.take(rng.permutation(table.num_rows)), ACCOUNTS)
    assert [(e.who.tolist(), e.beside.tolist(), e.away, e.home, e.bits, e.examples(3)) for e in again] == told


@pytest.mark.parametrize("each", [2, 4, 8, 16])
@pytest.mark.parametrize("n", [5, 8, 15, 30])
def test_exam_people_who_come_home_half_the_time(n: int, each: int) -> None:
    """The mean of 2**bits over crowds at the edge of the null is at most 1, though the accounts were chosen by what is weighed."""
    rng = np.random.default_rng(100 * n + each)
    sums = [sum(2**e.bits for e in exchanges(echoes(people(rng, n, each, 0.5)), ACCOUNTS)) for _ in range(60)]
    assert np.mean(sums) <= 1.0
    assert max(sums) < 2**7


def test_the_exam_rejects_bits_without_the_people_who_know_each_other() -> None:
    from stillwatch.watch.campaign.classes import echo

    rng = np.random.default_rng(9)
    found = [e for _ in range(20) for e in exchanges(echoes(people(rng, 15, 8, 0.5)), ACCOUNTS)]
    alone = [echo._unrelated_bits(len(e.who), len({*zip(*(e.quotes.column(c).to_pylist() for c in ("said_who", "who")), strict=True)}), ACCOUNTS, 1e-5) for e in found]  # fmt: skip
    assert min(alone) > CAP


def test_a_peer_review_is_one_of_the_things_this_class_cannot_tell() -> None:
    """Pupils who paste only each other's answers look like a pipeline: that is why echo says one hand and never harvest."""
    returns = [(k, (k + step) % 25) for k in range(25) for step in (3, 7, 11)]
    (found,) = exchanges(echoes(returns), ACCOUNTS)
    assert found.bits > 20 and len(found.who) == 25 and len(returns) / 25 <= PARTNERS


@pytest.mark.skipif(not PIPELINES.is_dir(), reason="the labelled world is not here (expected in ../shared/worlds/pipeline-dev)")
def test_pipelines_that_share_nothing_else(tmp_path: Path) -> None:
    import csv

    truth = {r["account"]: r["campaign"] for r in csv.DictReader((PIPELINES / "truth_accounts.csv").open())}
    with ExitStack() as stack:
        settings = Settings([str(PIPELINES / "calls.jsonl.gz")], tmp_path, PIPELINES / "accounts.csv")
        seen = settle(read(settings, Progress(), stack, now=1.8e9))
        engine = seen.read.engine
        prints = engine.keep("prints", link.print_calls(seen.calls))
        table = engine.fetch(link.echoes(seen.calls, engine.keep("quotes", link.quotes(seen.calls, prints))))
        found = exchanges(table, len(seen.pop.accounts))
        rings = [{truth[seen.pop.accounts[w]] for w in np.r_[e.who, e.beside].tolist()} for e in found]
    assert sorted(map(tuple, rings)) == [("p-airoboros",), ("p-evolkit",), ("p-self_instruct",)]
    assert all(e.bits > 15 and len(e.who) >= 10 for e in found)
