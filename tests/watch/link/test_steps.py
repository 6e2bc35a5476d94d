"""The relational steps: DuckDB and Polars agree, and both agree with plain loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.store import Engine
from stillwatch.watch import link
from stillwatch.watch.link import steps

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 5), st.frozensets(st.integers(1, 8), max_size=5)),
    min_size=1,
    max_size=40,
)


def calls_table(rows: list[tuple[int, int, int, frozenset[int]]]) -> pa.Table:
    n = len(rows)
    order = np.random.default_rng(5).integers(-(2**63), 2**63, n)
    return pa.table(
        {
            "call": np.arange(n), "call_id": [f"c{i}" for i in range(n)], "account": [f"a{r[0]}" for r in rows], "who": [r[0] for r in rows],
            "owner": [r[0] // 2 for r in rows], "client": [r[1] for r in rows], "agent": [r[1] for r in rows], "system": [0] * n, "tools": [0] * n,
            "text": [r[2] for r in rows], "at": [float(i) for i in range(n)], "order": order,
            "prints": pa.array([sorted(r[3]) for r in rows], pa.list_(pa.int64())),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as e:
        yield e


def both(engine: Engine, table: pa.Table, build: object) -> list[dict[str, object]]:
    """The rows of a step on DuckDB, which must be those on Polars."""
    duck = engine.keep("t", table)
    try:
        one = engine.fetch(build(duck))  # type: ignore[operator]
    finally:
        engine.drop("t")
    two = build(nw.from_native(pl.from_arrow(table)).lazy()).collect().to_native().to_arrow()  # type: ignore[operator]
    rows = sorted(one.to_pylist(), key=repr)
    assert rows == sorted(two.select(one.column_names).to_pylist(), key=repr)
    return rows


ELSEWHERE = st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["x", "y", "z", None]), st.frozensets(st.integers(0, 1)))


@settings(max_examples=40)
@given(st.lists(ELSEWHERE, max_size=60))
def test_calls_from_elsewhere_agree_with_loops(engine: Engine, rows: list[tuple[int, int, str | None, frozenset[int]]]) -> None:
    table = pa.table({
        "call": np.arange(len(rows)), "who": [r[0] for r in rows], "client": pa.array([r[1] for r in rows], pa.int64()),
        "address_ref": pa.array([r[2] for r in rows], pa.string()), "groups": pa.array([sorted(r[3]) for r in rows], pa.list_(pa.int64())),
    })  # fmt: skip
    want = []
    for group in range(2):
        for who in range(3):
            inside = [r for r in rows if r[0] == who and r[2] is not None and group in r[3]]
            outside = [r for r in rows if r[0] == who and r[2] is not None and group not in r[3]]
            apart = all({r[i] for r in inside}.isdisjoint(r[i] for r in outside) for i in (1, 2))
            if min(len(inside), len(outside)) >= steps.APART and apart:
                want.append((group, who))
    in_group = lambda t: t.select("call", "groups").explode("groups").filter(~nw.col("groups").is_null()).select("call", group="groups")  # noqa: E731
    got = both(engine, table, lambda t: link.elsewhere(t, in_group(t)))
    assert sorted((r["group"], r["who"]) for r in got) == want


@settings(max_examples=40)
@given(ROWS)
def test_recurring_fingerprints(engine: Engine, rows: list[tuple[int, int, int, frozenset[int]]]) -> None:
    got = both(engine, calls_table(rows), lambda f: link.recurring(link.print_calls(f)))
    expected = []
    for p in range(1, 9):
        mine = [r for r in rows if p in r[3]]
        owners, texts = {r[0] // 2 for r in mine}, {r[2] for r in mine}
        enough = (len(owners) > 1 and len(mine) >= steps.MIN_CALLS) or len(mine) >= steps.MIN_CALLS_ALONE
        if len(texts) > 1 and enough:
            expected.append({"print": p, "n": len(mine)})
    assert got == sorted(expected, key=repr)


@settings(max_examples=40)
@given(ROWS)
def test_streams_count_what_a_fair_share_of_owners_sent(engine: Engine, rows: list[tuple[int, int, int, frozenset[int]]]) -> None:
    got = both(engine, calls_table(rows), lambda f: link.streams(link.harness_calls(f), ["client", "system", "tools"]))
    senders: dict[tuple[int, int], set[int]] = {}
    for who, client, text, _ in rows:
        senders.setdefault((client, text), set()).add(who // 2)
    calls = Counter((r[1], r[0]) for r in rows)
    known = Counter((r[1], r[0]) for r in rows if r[2])
    owners: dict[int, set[int]] = {}
    for who, client, _, _ in rows:
        owners.setdefault(client, set()).add(who // 2)

    def common(client: int, text: int) -> bool:
        n = len(senders[client, text])
        return text != 0 and n >= steps.SENDERS and n >= steps.SENT_BY * len(owners[client])

    repeated = Counter((r[1], r[0]) for r in rows if common(r[1], r[2]))
    texts = Counter((c, w) for c, w, _ in {(r[1], r[0], r[2]) for r in rows if r[2]})
    assert {(r["client"], r["who"]): (r["calls"], r["with_text"], r["repeated"], r["texts"]) for r in got} == {
        k: (n, known[k], repeated[k], texts[k]) for k, n in calls.items()
    }


SENT = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1), st.none() | st.just("x")), min_size=1, max_size=30
)


@settings(max_examples=40)
@given(SENT, st.randoms())
def test_a_repeat_is_the_same_id_account_time_and_text(
    engine: Engine, sent: list[tuple[int, int, int, int, str | None]], shuffled: object
) -> None:
    def kept(rows: list[tuple[int, int, int, int, str | None]]) -> list[tuple[object, ...]]:
        table = calls_table([(0, 0, 0, frozenset())] * len(rows)).drop_columns(["call_id", "account", "at", "text"])
        for name, values in zip(("call_id", "account", "at", "text", "address_ref"), zip(*rows, strict=True), strict=True):
            made = [f"{name}{v}" for v in values] if name in ("call_id", "account") else list(values)
            table = table.append_column(
                name, pa.array(made, pa.float64() if name == "at" else pa.int64() if name == "text" else pa.string())
            )
        table = table.append_column("status", pa.nulls(len(rows), pa.string())).append_column("model", pa.nulls(len(rows), pa.string()))
        gone = {r["call"] for r in both(engine, table, lambda f: link.repeats(f, link.duplicates(f)))}
        return [row for n, row in enumerate(rows) if n not in gone]

    stay = kept(sent)
    assert sorted({r[:4] for r in sent}) == sorted(r[:4] for r in stay)
    other = list(sent)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    assert sorted(kept(other), key=repr) == sorted(stay, key=repr)


def keyed(rows: list[tuple[str, str | None, str | None]]) -> pa.Table:
    """(account, key, status)."""
    account, key, status = zip(*rows, strict=True)
    strings = {"account": pa.array(account, pa.string()), "key": pa.array(key, pa.string()), "status": pa.array(status, pa.string())}
    return pa.table({"call": np.arange(len(rows)), **strings})


def test_a_key_counts_as_its_one_user_whatever_the_order(engine: Engine) -> None:
    rows = [
        ("k1", "k1", "failure"), ("ada", "k1", "success"), ("k2", "k2", "success"), ("bo", "k2", None), ("cy", "k2", None), ("k3", "k3", None),
        ("dee", None, "success"), ("ada", "k4", None),
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        table = keyed(order)
        loose = both(engine, table, link.loose_keys)
        assert [(r["key"], r["least"], r["most"], r["calls"]) for r in loose] == [("k1", "ada", "ada", 1), ("k2", "bo", "cy", 1)]
        got = both(engine, table, lambda f: link.with_users(f, link.loose_keys(f)).select("call", "account"))
        assert sorted(r["account"] for r in got) == ["ada", "ada", "ada", "bo", "cy", "dee", "k2", "k3"]


def test_a_key_that_was_never_answered_is_nobodys(engine: Engine) -> None:
    rows = [
        ("x1", "x1", "failure"),
        ("x1", "x1", "failure"),
        ("x2", "x2", "failure"),
        ("x2", "x2", "success"),
        ("x3", "x3", None),
        ("ada", "k", "failure"),
    ]
    assert both(engine, keyed(rows), link.unanswered_keys) == [{"account": "x1", "calls": 2}]


def test_a_known_system_text_stands_for_an_unknown_text(engine: Engine) -> None:
    table = (
        calls_table([(w, 0, 0, frozenset({5})) for w in range(4)]).drop_columns(["system"]).append_column("system", pa.array([1, 1, 2, 0]))
    )
    assert both(engine, table, lambda f: link.recurring(link.print_calls(f))) == [{"print": 5, "n": 4}]
    same = table.drop_columns(["system"]).append_column("system", pa.array([1] * 4))
    assert both(engine, same, lambda f: link.recurring(link.print_calls(f))) == []


def test_fingerprints_of_one_template_make_one_family_whatever_the_row_order() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for call in range(300):
        order = int(rng.integers(-(2**63), 2**63))
        template = 100 if call % 3 else 200
        rows += [(template + k, order, 200 if call % 3 else 100) for k in range(8)]
        rows.append((999, order, 300))  # a phrase that everybody uses
    table = pa.table(dict(zip(("print", "order", "n"), (pa.array(c, pa.int64()) for c in zip(*rows, strict=True)), strict=True)))
    found = {r["print"]: r["family"] for r in link.group_prints(table).to_pylist()}
    assert len({found[100 + k] for k in range(8)}) == 1
    assert len({found[200 + k] for k in range(8)}) == 1
    assert found[100] != found[200]
    shuffled = table.take(rng.permutation(table.num_rows))
    assert link.group_prints(shuffled).sort_by("print").equals(link.group_prints(table).sort_by("print"))
    assert link.group_prints(table.slice(0, 0)).num_rows == 0


def test_thinning_takes_the_same_calls_for_all_fingerprints(engine: Engine) -> None:
    n = 2000
    order = np.random.default_rng(9).integers(-(2**63), 2**63, n)
    table = pa.table(
        {
            "call": np.arange(n),
            "order": order,
            "owner": np.arange(n) % 7,
            "text": np.arange(n),
            "system": np.zeros(n, np.int64),
            "prints": pa.array([[1, 2]] * n, pa.list_(pa.int64())),
        }
    )
    rows = both(engine, table, lambda f: link.sampled(link.print_calls(f), link.recurring(link.print_calls(f))))
    one, two = ({r["order"] for r in rows if r["print"] == p} for p in (1, 2))
    assert one == two
    assert 150 < len(one) < 400


def test_spool_gives_back_single_texts(tmp_path: Path) -> None:
    from stillwatch.records import CALLS
    from stillwatch.store import Spool
    from stillwatch.watch.sketch import sketch_batch

    with Spool(tmp_path, now=2.0) as spool:
        folder = spool.folder
        assert folder.stat().st_mode & 0o077 == 0
        for k in range(3):
            batch = pa.RecordBatch.from_pylist(
                [{"call_id": f"{k}-{i}", "account": "a", "at": 1.0, "roles": ["user"], "segments": [f"text {k} {i}"]} for i in range(5)],
                schema=CALLS,
            )
            spool.add(batch, sketch_batch(batch, 5 * k))
        spool.finish([])
        assert spool.texts([1, 7, 14]) == {1: [("user", "text 0 1")], 7: [("user", "text 1 2")], 14: [("user", "text 2 4")]}
        assert spool.texts([]) == {}
    assert not folder.exists()
