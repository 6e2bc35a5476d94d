"""Which answers come back: DuckDB and Polars agree, and both agree with plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_steps import both

from stillwatch.store import Engine
from stillwatch.watch import link
from stillwatch.watch.link import echo

PRINTS = st.frozensets(st.integers(1, 12), max_size=4)
#: (account, time, prints of prompt, of the answer, of the answer sent back)
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), PRINTS, st.none() | PRINTS, st.none() | PRINTS), min_size=1, max_size=14)
Row = tuple[int, int, frozenset[int], frozenset[int] | None, frozenset[int] | None]


def calls_table(rows: list[Row]) -> pa.Table:
    n = len(rows)
    lists = pa.list_(pa.int64())
    column = {name: pa.array([None if r[k] is None else sorted(r[k]) for r in rows], lists) for k, name in ((2, "prints"), (3, "answer_prints"), (4, "resent_prints"))}  # fmt: skip
    return pa.table(
        {
            "call": np.arange(n), "order": np.arange(n), "text": np.arange(n), "who": [r[0] for r in rows], "owner": [r[0] // 2 for r in rows],
            "at": [float(r[1]) for r in rows], "client": [7] * n, "system": [0] * n, **column,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as e:
        yield e


def loops(rows: list[Row]) -> set[tuple[int, int, int]]:
    """(answer, quote, shingles), print by print."""
    shared: dict[tuple[int, int], int] = {}
    for p in range(1, 13):
        said = [i for i, r in enumerate(rows) if p in (r[3] or ())]
        sent = [i for i, r in enumerate(rows) if p in r[2] or p in (r[4] or ())]
        if not said or not sent or len({rows[i][0] // 2 for i in said}) > 1:
            continue
        began = min(rows[i][1] for i in said)
        if min(rows[i][1] for i in sent) <= began:
            continue
        for a in said:
            for q in sent:
                if rows[a][1] == began:
                    shared[a, q] = shared.get((a, q), 0) + 1
    return {(a, q, n) for (a, q), n in shared.items() if n >= echo.LEAST}


@pytest.mark.no_cover
@settings(max_examples=40)
@given(ROWS)
def test_echoes_agree_with_loops(engine: Engine, rows: list[Row]) -> None:
    got = both(engine, calls_table(rows), lambda f: link.echoes(f, link.quotes(f, link.print_calls(f))))
    assert {(r["answer"], r["quote"], r["shingles"]) for r in got} == loops(rows)
    for r in got:
        said, sent = rows[int(str(r["answer"]))], rows[int(str(r["quote"]))]
        assert (r["said_who"], r["said_owner"], r["said_at"]) == (said[0], said[0] // 2, said[1])
        assert (r["who"], r["owner"], r["at"]) == (sent[0], sent[0] // 2, sent[1])


def test_an_answer_that_became_a_template_is_nobodys(engine: Engine) -> None:
    words = frozenset({1, 2, 3})
    some: list[Row] = [(0, 0, frozenset(), words, None), *((2 + k % 3, 1 + k, words, None, None) for k in range(echo.TEMPLATE))]
    build = lambda f: link.echoes(f, link.quotes(f, link.print_calls(f)))  # noqa: E731
    assert len(both(engine, calls_table(some), build)) == echo.TEMPLATE
    assert both(engine, calls_table([*some, (4, 900, words, None, None)]), build) == []


def test_a_log_without_answers_gives_none(engine: Engine, tmp_path: Path) -> None:
    table = calls_table([(0, 0, frozenset({1, 2}), None, None), (2, 1, frozenset({1, 2}), None, None)])
    assert both(engine, table, lambda f: link.echoes(f, link.quotes(f, link.print_calls(f)))) == []
