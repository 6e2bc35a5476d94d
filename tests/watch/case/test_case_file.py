"""The case file: one transaction a run, the same run the same names, decisions that stay; whatever breaks or comes twice."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit import Clock, at_once, every_break
from tests.watch.case.test_names import ring, runs

from stillwatch.store.sqlite import Database
from stillwatch.watch.case import CaseError, CaseFile, Decision, Run
from stillwatch.watch.case.file import KIND

WHY = Decision("watch", "ana", "a ring by all it shows", "0" * 64, 5.0)


def run(key: str, at: float = 1.0) -> Run:
    return Run(key, at, "ana", "0.0", [{"file": "a.jsonl", "sha256": key}])


def names(path: Path, key: str, *found: object, at: float = 1.0) -> list[str]:
    with CaseFile(path) as file:
        return [n for n, _ in file.name(run(key, at), found)]  # type: ignore[arg-type]


def test_days_in_a_row_have_one_name_and_the_same_run_again_the_same(tmp_path: Path) -> None:
    path = tmp_path / "case.db"
    a, b = names(path, "monday", ring(1, 2, 3, 4), ring(*range(10, 20)))
    assert names(path, "tuesday", ring(2, 3, 4, 5), ring(*range(13, 23))) == [a, b]
    both = names(path, "wednesday", ring(1, 2, 3, 4, 5, *range(10, 23)))
    assert both == [b]
    assert names(path, "monday", ring(*range(10, 20)), ring(1, 2, 3, 4)) == [b, a]
    with CaseFile(path) as file:
        assert [(e.id, e.into, e.accounts) for e in file.entries()] == [(b, None, 18), (a, b, 4)]
        assert [(e.what, e.other) for e in file.history(a)] == [("found", ""), ("seen", ""), ("joined", b)]
        assert [(e.what, e.other) for e in file.history(b)] == [("found", ""), ("seen", ""), ("seen", ""), ("join", a)]
        assert file.name(run("wednesday"), [ring(1, 2, 3, 4, 5, *range(10, 23))]) == [(b, (a,))]
        assert file.find(a[:6]) == a
        assert file.members(a) == ["1", "2", "3", "4", "5"]


def test_a_split_is_told_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "case.db"
    (whole,) = names(path, "1", ring(*range(10)))
    small, large = names(path, "2", ring(0, 1, 2), ring(*range(3, 10)))
    assert large == whole
    with CaseFile(path) as file:
        assert [(e.what, e.other) for e in file.history(small)] == [("found", ""), ("split", whole)]
        assert [(e.what, e.other) for e in file.history(whole)] == [("found", ""), ("seen", ""), ("parted", small)]


def test_decisions_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / "case.db"
    (a,) = names(path, "1", ring(1, 2, 3))
    with CaseFile(path) as file:
        file.decide(a, WHY)
        file.decide(a, replace(WHY, action="block", at=6.0))
        assert [d.action for d in file.decisions(a)] == ["watch", "block"]
        assert file.entries()[0].decision == "block"
        assert file.history(a)[-1].text == "block, by ana: a ring by all it shows"
        for wrong, said in (
            (replace(WHY, action="shoot"), "no action"),
            (replace(WHY, by=" "), "who took it"),
            (replace(WHY, reason=""), "and why"),
            (replace(WHY, reason="a\x1b[2J"), "one line"),
        ):
            with pytest.raises(CaseError, match=said):
                file.decide(a, wrong)
        with pytest.raises(CaseError, match="no campaign of that name"):
            file.decide("c-none", WHY)
        with pytest.raises(CaseError, match="no campaign of that name"):
            file.find("c-none")
    with Database(path, KIND) as db:
        for statement in ("UPDATE decision SET action = 'none'", "DELETE FROM decision"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"), db.write() as w:
                w.execute(statement)


def test_a_directory_without_a_case_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="no case file there"):
        CaseFile.existing(tmp_path / "case.db")
    assert not list(tmp_path.iterdir())


def test_a_clock_that_jumps_changes_no_name(tmp_path: Path) -> None:
    path, clock = tmp_path / "case.db", Clock(1.79e9)
    (a,) = names(path, "1", ring(1, 2, 3), at=clock.now)
    assert names(path, "2", ring(1, 2, 3, 4), at=clock.on(-9000)) == [a]
    assert names(path, "3", ring(1, 2, 3, 4), at=clock.on(30000)) == [a]


def test_a_break_after_any_write_and_the_run_again_is_as_if_it_had_not_broken(tmp_path: Path) -> None:
    found = [ring(0, 1, 2), ring(*range(3, 10)), ring(20, 21, 22)]

    def story(path: Path) -> list[str]:
        first = names(path, "1", ring(*range(10)))
        second = names(path, "2", *found)
        with CaseFile(path) as file:
            if not file.decisions(first[0]):
                file.decide(first[0], WHY)
        return first + second

    def all_of(path: Path) -> list[object]:
        tables = ("run", "campaign", "member", "family", "sighting", "tie", "decision")
        with Database(path, KIND) as db:
            return [sorted(tuple(r) for r in db.read(f"SELECT * FROM {t}")) for t in tables]

    wanted = story(tmp_path / "whole.db")
    for n in every_break(lambda n: lambda: story(tmp_path / f"{n}.db")):
        assert story(tmp_path / f"{n}.db") == wanted, n
        assert all_of(tmp_path / f"{n}.db") == all_of(tmp_path / "whole.db"), n


def test_two_processes_at_once_give_one_ring_one_name(tmp_path: Path) -> None:
    path = tmp_path / "case.db"
    works = [lambda k=k: [names(path, f"{k}-{i}", ring(1, 2, 3, 10 + k), ring(20, 21, 22)) for i in range(5)] for k in range(4)]
    said = at_once(works)
    pairs = {tuple(pair) for process in said for pair in process}
    assert len(pairs) == 1
    with CaseFile(path) as file:
        assert len(file.entries()) == 2


@settings(max_examples=40)
@given(runs=runs, seed=st.integers())
def test_any_run_again_at_any_time_in_any_order_has_its_names(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[object]], seed: int
) -> None:
    path, rng = tmp_path_factory.mktemp("case") / "case.db", random.Random(seed)
    runs = [list(dict.fromkeys(found)) for found in runs]
    given_ = []
    for key, found in enumerate(runs):
        given_.append(dict(zip(found, names(path, str(key), *found), strict=True)))
        back = rng.randrange(key + 1)
        order = rng.sample(runs[back], len(runs[back]))
        assert dict(zip(order, names(path, str(back), *order), strict=True)) == given_[back]
